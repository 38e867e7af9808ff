"""What a case needs is made once per session, and what is wrong with it is found once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import catalogue, grid
from fixtures.dataset import DataError
from fixtures.workshop import Workshop
from tests.test_grid import DIGITS, selected

pytestmark = pytest.mark.usefixtures("registries")


class Told:
    """Keeps what would be said on the terminal."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.fixture
def workshop(tmp_path):
    """Return a function that makes a workshop for the digits, and the case of its first engine."""
    catalogue.extend([DIGITS])

    def make(**changes) -> tuple[Workshop, object]:
        chosen = selected(models=("digits",), backends=("onnxruntime",), store=tmp_path / "engines", **changes)
        return Workshop(chosen, Told()), grid.accuracy(chosen)[0]

    return make


def test_data_are_checked_once_however_many_cases_use_them(workshop):
    made, case = workshop()
    assert made.data(case) is made.data(replace(case, batch=4))
    assert made.feed(case) is made.feed(replace(case, batch=4))
    assert len(made.progress.sentences) == 1


def test_broken_data_are_checked_once_too(workshop, tmp_path):
    (tmp_path / "test.npz").write_bytes(b"not a zip")
    made, case = workshop(data={"digits": tmp_path})
    opened = []
    made._open = lambda *key, opening=made._open: opened.append(key) or opening(*key)
    for _ in range(3):
        with pytest.raises(DataError, match=r"test\.npz: expected `images` and `labels`"):
            made.data(case)
    assert len(opened) == 1


def test_other_data_than_the_profiles_are_not_its_own(workshop, tmp_path):
    made, case = workshop()
    assert made.data(case).own
    assert made.folder(case) == DIGITS / "handwritten"
    shutil.copy(DIGITS / "handwritten" / "train.npz", tmp_path / "test.npz")
    other, case = workshop(data={"digits": tmp_path})
    assert not other.data(case).own


def test_the_same_files_elsewhere_are_the_profiles_own(workshop, tmp_path):
    shutil.copy(DIGITS / "handwritten" / "test.npz", tmp_path)
    made, case = workshop(data={"digits": tmp_path})
    assert made.data(case).own


def test_a_named_folder_is_the_published_set_only_if_it_passes_its_check(workshop, monkeypatch):
    made, case = workshop(data={"digits": DIGITS / "handwritten"})
    model, dataset = catalogue.find("model", "digits"), catalogue.find("data set", "digits")
    published = replace(
        model.profiles["sample"], official=True, reference=replace(model.profiles["sample"].reference, data=None)
    )
    monkeypatch.setitem(model.profiles, "sample", published)
    assert made.data(case).own
    monkeypatch.setattr(
        type(dataset), "problems", lambda self, folder, names, official: iter(["half of it"] if official else [])
    )
    half, case = workshop(data={"digits": DIGITS / "handwritten"})
    assert not half.data(case).own
    (said,) = (sentence for sentence in half.progress.sentences if "not the published set" in sentence)
    assert "first of 1 differences: half of it; parity judges it" in said


def test_who_waits_for_a_build_lets_go_of_the_device_first(workshop):
    made, _ = workshop()
    closed = []
    made.pool.close = lambda: closed.append(len(made.progress.sentences))
    made.sources.store.waiting("waiting for another process")
    assert closed == [0]
    assert made.progress.sentences == ["waiting for another process"]


def test_data_of_another_size_than_the_profile_says_are_refused_for_every_model(workshop, monkeypatch):
    made, case = workshop()
    made.data(case)
    model = catalogue.find("model", "digits")
    monkeypatch.setitem(model.profiles, "sample", replace(model.profiles["sample"], size=28))
    with pytest.raises(DataError, match="expected inputs of size 28, as the profile says; found 8"):
        made.data(case)


def test_a_data_set_that_is_named_lies_below_the_home(workshop, monkeypatch, tmp_path):
    made, _ = workshop()
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    case = grid.accuracy(selected(profile="official", models=("enet",)))[0]
    assert made.folder(case) == Path(tmp_path / "home" / "data" / "cityscapes")


def test_an_onnx_file_alone_runs_where_its_runtime_is(workshop):
    made, case = workshop()
    assert made.missing(case) is None
    missing = made.missing(replace(case, backend="torch"))
    assert missing.reason == "digits is given as an ONNX file only"
    assert missing.next_step
