"""What the user asked for: where it may be said, what wins, and what a wrong name or number is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures import grid
from fixtures.plugin import SELECTION

pytestmark = pytest.mark.usefixtures("registries")

DIGITS = Path(__file__).parent / "digits"


@pytest.fixture
def read(inside):
    """Return a function that reads the options as pytest would, without running anything."""

    def read_options(*arguments, ini: str = ""):
        inside.makeini(f"[pytest]\naddopts = -p no:hypothesispytest -p no:cacheprovider\n{ini}")
        return inside.parseconfigure("-p", "fixtures.plugin", *map(str, arguments)).stash[SELECTION]

    return read_options


@pytest.fixture
def refused(read):
    """Return a function that gives the message of what is refused."""

    def message(*arguments, **options) -> str:
        with pytest.raises(pytest.UsageError) as caught:
            read(*arguments, **options)
        return str(caught.value)

    return message


def test_without_options_the_sample_of_every_model_runs_on_every_backend(read):
    selection = read()
    assert selection.profile == "sample"
    assert selection.models == ("edsr", "enet")
    assert (selection.backends, selection.required, selection.batches, selection.sizes) == ((), (), (), ())
    assert (selection.data, selection.weights, selection.subset, selection.store) == ({}, {}, None, None)


def test_the_command_line_wins_over_the_environment_and_that_over_the_ini(read, monkeypatch):
    ini = "model = edsr\nbatch =\n  1\n  4"
    assert read(ini=ini).models == ("edsr",)
    assert read(ini=ini).batches == (1, 4)
    monkeypatch.setenv("SIGNOFF_MODEL", "enet")
    assert read(ini=ini).models == ("enet",)
    assert read("--model", "edsr,enet", ini=ini).models == ("edsr", "enet")
    assert read("--model", "edsr", "--model", "enet", ini=ini).models == ("edsr", "enet")


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--model", "edrs", "unknown model 'edrs'; did you mean 'edsr'? Known: edsr, enet"),
        ("--backend", "onnxrutime", "unknown backend 'onnxrutime'; did you mean 'onnxruntime'? Known: "),
        ("--require", "opnvino", "unknown backend 'opnvino'; did you mean 'openvino'? Known: "),
        ("--profile", "offical", "unknown profile 'offical'; did you mean 'official'? Known: official, sample"),
        ("--data", "div2=photos", "unknown data set 'div2'; did you mean 'div2k'? Known: cityscapes, div2k"),
        ("--checkpoint", "ent=a.pth", "unknown model 'ent'; did you mean 'enet'? Known: edsr, enet"),
    ],
)
def test_an_unknown_name_gives_the_nearest_known_one(refused, option, name, message):
    assert refused(option, name).startswith(message)


def test_a_name_in_the_environment_is_checked_like_one_on_the_command_line(refused, monkeypatch):
    monkeypatch.setenv("SIGNOFF_BACKEND", "torhc")
    assert "did you mean 'torch'?" in refused()


@pytest.mark.parametrize("option", ["--batch", "--size", "--subset"])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "four", "1 4", "²"])
def test_a_number_is_a_whole_one_from_1(refused, option, text):
    assert refused(f"{option}={text}") == f"{option}: expected a whole number from 1, found {text!r}"


@pytest.mark.parametrize("option", ["--batch", "--model", "--data", "--subset"])
def test_an_option_that_is_given_empty_is_refused(refused, option):
    assert refused(f"{option}=").startswith(f"{option}: expected a value, found an empty one")


def test_what_is_named_twice_counts_once(read):
    selection = read("--backend", "torch,torch", "--model", "edsr,edsr", "--batch", "1,1,4", "--size", "256,256")
    assert (selection.backends, selection.models) == (("torch",), ("edsr",))
    assert (selection.batches, selection.sizes) == ((1, 4), (256,))


def test_a_backend_that_is_named_must_run(read):
    selection = read("--backend", "torch")
    assert selection.backends == selection.required == ("torch",)


def test_a_backend_that_is_required_leaves_the_others_in(read):
    selection = read("--require", "openvino")
    assert (selection.backends, selection.required) == ((), ("openvino",))
    assert {case.backend for case in grid.timed(selection)} >= {"onnxruntime", "openvino", "torch"}


def test_a_backend_that_is_required_runs_beside_those_that_are_named(read):
    """Else it would be asked for and silently left out."""
    selection = read("--backend", "torch", "--require", "openvino")
    assert selection.backends == selection.required == ("torch", "openvino")
    assert {case.backend for case in grid.timed(selection)} == {"openvino", "torch"}


def test_data_and_weights_are_named_with_paths_from_where_pytest_was_started(read, inside):
    selection = read("--data", "div2k=photos,cityscapes=/scenes", "--checkpoint", "edsr=a=b.pt")
    assert selection.data == {"div2k": inside.path / "photos", "cityscapes": Path("/scenes")}
    assert selection.weights == {"edsr": inside.path / "a=b.pt"}


def test_a_home_folder_may_be_written_as_a_tilde(read, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("--data", "div2k=~/photos").data == {"div2k": tmp_path / "photos"}


@pytest.mark.parametrize("option", ["--data", "--checkpoint"])
@pytest.mark.parametrize("text", ["div2k", "div2k=", "photos/"])
def test_a_path_without_a_name_is_refused(refused, option, text):
    assert refused(option, text) == f"{option}: expected NAME=PATH, found {text!r}"


def test_a_model_that_lacks_the_profile_is_left_out_unless_it_is_named(read, refused):
    assert read("--catalogue", DIGITS).models == ("digits", "edsr", "enet")
    assert read("--catalogue", DIGITS, "--profile", "official").models == ("edsr", "enet")
    message = refused("--catalogue", DIGITS, "--profile", "official", "--model", "digits")
    assert message == "unknown profile of digits 'official'. Known: sample"


def test_a_catalogue_may_be_named_in_the_environment_or_the_ini(read, monkeypatch):
    assert read(ini=f"catalogue = {DIGITS}").catalogues == (DIGITS,)
    monkeypatch.setenv("SIGNOFF_CATALOGUE", str(DIGITS))
    assert read("--model", "digits").catalogues == (DIGITS,)


def test_a_mistake_in_a_catalogue_is_told_without_a_traceback(inside):
    (inside.path / "mine").mkdir()
    done = inside.runpytest_inprocess("-p", "fixtures.plugin", "--catalogue=mine")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: catalogue */mine: expected at least one of fixtures/models, *"])
    assert "Traceback" not in str(done.stderr)


def test_the_engine_cache_is_one_folder(read, inside):
    assert read("--engine-cache", "a", "--engine-cache", "b").store == inside.path / "b"
