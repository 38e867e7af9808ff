"""Each option has an ini and an environment twin; the command line wins, then the environment."""

from __future__ import annotations

import json

import pytest

from fixtures import local

PLUGIN = """
import json
from fixtures import options

def pytest_addoption(parser):
    options.add(parser, "--engine-cache", metavar="DIR", help="where engines lie, 100 % of them")
    options.add(parser, "--backend", many=True, help="which backends")
    options.add_flag(parser, "--tune", help="let tuners start")

def pytest_configure(config):
    if config.option.help:
        return
    found = {
        "value": options.value(config, "--engine-cache"),
        "values": options.values(config, "backend"),
        "paths": [str(path) for path in options.paths(config, "engine-cache")],
        "flag": options.flag(config, "--tune"),
    }
    (config.invocation_params.dir / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture
def found(inside):
    """Return a function that runs pytest with a plugin of two options and returns what they came to."""
    inside.makepyfile(given=PLUGIN)
    inside.syspathinsert()

    def run(*arguments: str, ini: str = "") -> dict:
        if ini:
            inside.makeini("[pytest]\naddopts = -p no:hypothesispytest -p no:cacheprovider\n" + ini)
        inside.runpytest_inprocess("-p", "given", *arguments)
        return json.loads((inside.path / "found.json").read_text())

    return run


def test_nothing_asked_for_is_nothing(found):
    assert found() == {"value": None, "values": [], "paths": [], "flag": False}


def test_reads_the_command_line(found, inside):
    result = found("--engine-cache", "a", "--backend", "x,y", "--backend=z")
    assert result == {"value": "a", "values": ["x", "y", "z"], "paths": [str(inside.path / "a")], "flag": False}


def test_the_last_of_a_single_value_counts(found):
    assert found("--engine-cache=a", "--engine-cache=b")["value"] == "b"


def test_a_single_value_keeps_its_commas(found):
    assert found("--engine-cache=a,b")["value"] == "a,b"


def test_reads_the_environment(found, monkeypatch):
    monkeypatch.setenv("SIGNOFF_ENGINE_CACHE", "a")
    monkeypatch.setenv("SIGNOFF_BACKEND", "x, y,")
    assert found()["values"] == ["x", "y"]
    assert found()["value"] == "a"


def test_reads_the_ini_file(found):
    result = found(ini="engine_cache = a\nbackend =\n  x, y\n  z\n")
    assert (result["value"], result["values"]) == ("a", ["x", "y", "z"])


def test_the_command_line_wins_over_the_environment_and_that_over_the_ini_file(found, monkeypatch):
    ini = "engine_cache = ini\nbackend = ini\n"
    monkeypatch.setenv("SIGNOFF_ENGINE_CACHE", "environment")
    assert found(ini=ini)["value"] == "environment"
    assert found("--engine-cache=line", ini=ini)["value"] == "line"
    assert found(ini=ini)["values"] == ["ini"]


def test_an_empty_variable_is_none(found, monkeypatch):
    monkeypatch.setenv("SIGNOFF_BACKEND", "")
    assert found(ini="backend = ini\n")["values"] == ["ini"]


def test_a_path_of_the_ini_file_is_relative_to_it_and_one_of_the_command_line_to_the_caller(found, inside, monkeypatch):
    below = inside.mkdir("below")
    monkeypatch.chdir(below)
    arguments = ("-c", str(inside.path / "tox.ini"))
    inside.makeini("[pytest]\naddopts = -p no:hypothesispytest -p no:cacheprovider\nengine_cache = a\n")
    inside.runpytest_inprocess("-p", "given", *arguments)
    assert json.loads((below / "found.json").read_text())["paths"] == [str(inside.path / "a")]
    inside.runpytest_inprocess("-p", "given", *arguments, "--engine-cache=a")
    assert json.loads((below / "found.json").read_text())["paths"] == [str(below / "a")]


@pytest.mark.parametrize("arguments", ["--backend=", "--backend=,", "--engine-cache="])
def test_an_option_given_empty_is_an_error(inside, arguments):
    inside.makepyfile(given=PLUGIN)
    inside.syspathinsert()
    result = inside.runpytest_inprocess("-p", "given", arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = arguments.partition("=")[0]
    result.stderr.fnmatch_lines([f"*{name}: expected a value, found an empty one; give one or leave the option out*"])


def test_the_help_names_the_twins(inside):
    inside.makepyfile(given=PLUGIN)
    inside.syspathinsert()
    text = " ".join(inside.runpytest_inprocess("-p", "given", "--help").stdout.str().split())
    assert "where engines lie, 100 % of them (ini: engine_cache; environment: SIGNOFF_ENGINE_CACHE)" in text


@pytest.mark.parametrize(("said", "flag"), [("1", True), ("yes", True), ("0", False), ("no", False), ("off", False)])
def test_a_flag_is_set_by_the_environment_as_people_say_it(found, monkeypatch, said, flag):
    monkeypatch.setenv("SIGNOFF_TUNE", said)
    assert found()["flag"] is flag
    assert local.tune() is flag


def test_a_flag_is_set_by_the_line_and_by_the_ini_and_the_environment_wins_over_that(found, monkeypatch):
    assert found("--tune")["flag"]
    assert found(ini="tune = true\n")["flag"]
    monkeypatch.setenv("SIGNOFF_TUNE", "no")
    assert not found(ini="tune = true\n")["flag"]


def test_a_flag_that_says_neither_is_refused(inside, monkeypatch):
    inside.makepyfile(given=PLUGIN)
    inside.syspathinsert()
    monkeypatch.setenv("SIGNOFF_TUNE", "maybe")
    assert "SIGNOFF_TUNE: expected 1 or 0, found 'maybe'" in inside.runpytest_subprocess("-p", "given").stderr.str()
