from __future__ import annotations

import json

import pytest

from bench.effort import EFFORTS, NIGHTLY, QUICK, SIGNOFF
from bench.settings import Settings
from tests import tiny

PLUGIN = """
import json, pytest
from bench import settings
from fixtures.errors import SetupError

def pytest_addoption(parser):
    settings.add_options(parser)

def pytest_configure(config):
    try:
        found = settings.read(config)
    except SetupError as error:
        raise pytest.UsageError(str(error)) from error
    told = {"effort": found.effort.name, "budget": found.effort.budget_seconds, "strictness": found.strictness,
            "judge_only": found.judge_only, "whole": found.whole_data_set, "allowed": dict(found.allowed),
            "policy": found.policy}
    (config.invocation_params.dir / "found.json").write_text(json.dumps(told))
"""


@pytest.fixture
def found(inside, monkeypatch):
    """Return a function that runs pytest with the options and returns what they came to, or what it said."""
    inside.makepyfile(given=PLUGIN)
    inside.syspathinsert()

    def run(*arguments: str, ini: str = "", **environment: str):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if ini:
            inside.makeini("[pytest]\naddopts = -p no:hypothesispytest -p no:cacheprovider\n" + ini)
        result = inside.runpytest_inprocess("-p", "given", *arguments)
        if result.ret == pytest.ExitCode.USAGE_ERROR:
            return result.stderr.str()
        return json.loads((inside.path / "found.json").read_text())

    return run


def test_nothing_asked_for_is_a_quick_look_that_the_interval_decides(found):
    told = found()
    assert told == {
        "effort": "quick",
        "budget": 210.0,
        "strictness": "quick",
        "judge_only": False,
        "whole": False,
        "allowed": {},
        "policy": "interval",
    }


@pytest.mark.parametrize("name", list(EFFORTS))
def test_an_effort_is_chosen_by_name(found, name):
    told = found(f"--effort={name}")
    assert (told["effort"], told["strictness"], told["budget"]) == (name, name, EFFORTS[name].budget_seconds)


def test_a_budget_bounds_whatever_the_effort(found):
    assert found("--effort=signoff", "--budget=30m")["budget"] == 1800
    assert found("--budget=90s")["budget"] == 90


@pytest.mark.parametrize("text", ["30", "m", "0m", "-3m", "1h30m", "²s", "1e3s", "nan s", "infs", ".s"])
def test_a_budget_that_is_no_time_is_said_at_once(found, text):
    assert f"--budget: expected a time such as 90s, 30m or 2h, found '{text}'" in found(f"--budget={text}")


def test_judging_alone_is_for_a_signature_unless_for_the_night(found):
    assert found("--judge-only")["strictness"] == "signoff"
    assert found("--judge-only", "--effort=nightly")["strictness"] == "nightly"
    assert found("--judge-only", "--budget=30m")["strictness"] == "signoff"


@pytest.mark.parametrize(
    ("option", "near"), [("--effort=nightli", "did you mean 'nightly'?"), ("--policy=points", "did you mean 'point'?")]
)
def test_an_unknown_name_is_said_with_the_nearest_one(found, option, near):
    assert near in found(option)


def test_what_may_differ_is_named_with_its_reason_which_may_hold_commas(found):
    told = found("--allow=data=the same set, renamed", "--allow", "batch = by design ")
    assert told["allowed"] == {"data": "the same set, renamed", "batch": "by design"}


def test_several_reasons_come_from_an_ini_file_and_from_the_environment(found):
    ini = "allow =\n    data=one, and another\n    mode=two"
    assert found(ini=ini)["allowed"] == {"data": "one, and another", "mode": "two"}
    assert found(ini=ini, SIGNOFF_ALLOW="batch=a, b\nsize=c")["allowed"] == {"batch": "a, b", "size": "c"}


@pytest.mark.parametrize("text", ["data", "data=", "data=  "])
def test_a_difference_without_a_reason_is_not_allowed(found, text):
    assert 'expected AXIS="reason"' in found(f"--allow={text}")


def test_an_axis_that_nobody_knows_is_said_before_anything_is_measured(found):
    assert "did you mean 'batch'?" in found("--allow=bath=because")


def test_flags_and_policy(found):
    told = found("--whole-data-set", "--policy=point")
    assert (told["whole"], told["policy"]) == (True, "point")


def test_every_effort_looks_where_the_protocol_looks_and_only_a_quick_one_signs_nothing_off():
    for effort in (QUICK, NIGHTLY, SIGNOFF):
        assert effort.looks == (5, 8, 12, 20)[: len(effort.looks)]
        assert effort.rounds >= 5
        assert effort.signs_off == (effort is not QUICK)
        assert effort.spread_seconds >= 600 or effort is QUICK
    assert QUICK.budget_seconds < 300
    assert SIGNOFF.window_seconds == 60
    assert Settings().effort == QUICK


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--judge-only",), "--judge-only: expected evidence to judge; found none; give it with --evidence=FILE"),
        (("--history=nowhere",), "expected a folder of accepted evidence; found none; make it, or check the path"),
    ],
    ids=["nothing to judge", "no history"],
)
def test_what_is_named_and_not_there_ends_a_run_before_anything_is_collected(tmp_path, arguments, said):
    done = tiny.run_pytest(tmp_path, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert said in done.stderr
