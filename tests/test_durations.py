"""How long work took: remembered for the next plan, and never a reason to fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures import durations
from fixtures.case import Case

CASE = Case("sample", "edsr", 240, 1, "onnxruntime")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    return tmp_path


def test_the_last_time_is_what_is_expected():
    assert durations.guess("pass", CASE) is None
    for seconds in (5.0, 3.0):
        durations.note("pass", CASE, seconds)
    assert durations.guess("pass", CASE) == 3.0
    assert durations.guess("round", CASE) is None


def test_another_batch_stands_in_where_this_one_was_never_run():
    durations.note("pass", CASE, 5.0)
    assert durations.guess("pass", replace(CASE, batch=4)) == 5.0
    durations.note("pass", replace(CASE, batch=4), 7.0)
    assert durations.guess("pass", CASE) == 5.0
    for other in ({"size": 1020}, {"backend": "torch"}, {"model": "enet"}, {"profile": "official"}):
        assert durations.guess("pass", replace(CASE, **other)) is None


def test_a_damaged_line_hides_no_other(home):
    durations.note("pass", CASE, 5.0)
    with (home / "durations.jsonl").open("a") as stream:
        stream.write('{"work": "pass", "case"\n[]\n{"work": "pass", "case": 3, "seconds": "x"}\n')
    durations.note("pass", CASE, 6.0)
    assert durations.guess("pass", CASE) == 6.0


def test_a_home_that_cannot_be_written_is_no_failure(monkeypatch, home):
    (home / "file").write_text("")
    monkeypatch.setenv("SIGNOFF_HOME", str(home / "file" / "below"))
    durations.note("pass", CASE, 5.0)
    assert durations.guess("pass", CASE) is None


def test_the_file_does_not_grow_for_ever(home, monkeypatch):
    monkeypatch.setattr(durations, "KEPT", 3)
    for seconds in range(60):
        durations.note("pass", CASE, float(seconds))
    assert durations.guess("pass", CASE) == 59.0
    assert (home / "durations.jsonl").stat().st_size < 3 * 400 + 200


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (75, "75 s"), (5400, "90 min")])
def test_is_told_as_one_says_it(seconds, text):
    assert durations.told(seconds) == text
