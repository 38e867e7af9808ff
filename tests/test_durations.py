"""How long work took: remembered for the next plan, and never a reason to fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures import durations
from fixtures.case import Case
from fixtures.errors import SetupError

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


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("0.5h", 1800), ("1.5s", 1.5)])
def test_a_time_is_read_as_one_writes_it(text, seconds):
    assert durations.seconds(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "s", "30", "30 m", "-1s", "0s", "0.0m", "1.2.3s", "1e3s", "²s", "infs", "1d"])
def test_what_is_no_time_is_an_error_that_names_the_option(text):
    with pytest.raises(SetupError, match=r"--budget: expected a time such as 90s, 30m or 2h, found"):
        durations.seconds(text, "--budget")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the home of all tests here
@given(st.floats(1e-3, 1e6))
def test_any_number_of_seconds_can_be_written(seconds):
    assert durations.seconds(f"{seconds:f}s", "--budget") == pytest.approx(seconds, abs=1e-6)
