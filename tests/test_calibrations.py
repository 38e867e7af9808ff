"""What calibrations leave on a host, and what is read of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fixtures import calibrations, home
from fixtures.calibrations import Calibration
from fixtures.case import Case
from fixtures.errors import SetupError


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))


def calibration(day=0, mean=1.0, backend="onnxruntime", batch=1, **others):
    """Return one calibration; the day is a number."""
    case = Case("sample", "enet", 480, batch, backend)
    told = {"engine": "e" * 64, "device": "cpu", "versions": {"onnxruntime": "1"}, "boot": "b", "rounds": 8, "run": "r"}
    return Calibration(case, day=f"2026-11-{day + 1:02}", log_means={"latency": mean}, **(told | others))


def note(*those):
    for each in those:
        calibrations.note(each)


def test_days_are_counted_once_each():
    note(calibration(0), calibration(0), calibration(1))
    assert calibrations.days(calibration()) == 2


def test_what_is_noted_is_read_again():
    shown = replace(calibration(), case=Case("sample", "edsr", 256, 1, "t4", shows_size=True))
    note(shown)
    assert list(calibrations._lines()) == [shown]


def test_nothing_is_known_before_the_third_day():
    note(calibration(0, 1.0), calibration(0, 2.0), calibration(1, 3.0))
    assert calibrations.between("onnxruntime") is None
    note(calibration(2, 1.0))
    assert calibrations.between("onnxruntime").days == 3


def test_calibrations_of_one_day_count_as_their_mean():
    note(calibration(0, 0.9), calibration(0, 1.1), calibration(1, 1.0), calibration(2, 1.0))
    assert calibrations.between("onnxruntime") == calibrations.Between(0.0, 2, 3)


def test_cases_scatter_around_means_of_their_own():
    note(*(calibration(day, mean) for day, mean in enumerate((0.9, 1.0, 1.1))))
    note(*(calibration(day, 7.0, batch=4) for day in range(4)))
    found = calibrations.between("onnxruntime")
    assert found.variance == pytest.approx((2 * 0.01 + 3 * 0) / 5)
    assert (found.degrees, found.days) == (5, 4)


@pytest.mark.parametrize("change", [{"engine": "f" * 64}, {"device": "GPU-2"}, {"versions": {"onnxruntime": "2"}}])
def test_another_engine_device_or_version_starts_anew(change):
    note(calibration(0), calibration(1), calibration(2, **change))
    assert calibrations.between("onnxruntime") is None
    assert calibrations.days(calibration()) == 2


def test_the_figure_that_differs_most_counts():
    for day, (latency, compute) in enumerate(((1.0, 2.0), (1.0, 2.1), (1.0, 1.9))):
        note(replace(calibration(day), log_means={"latency": latency, "device_compute": compute}))
    assert calibrations.between("onnxruntime").variance == pytest.approx(0.01)


def test_another_host_that_shares_the_home_is_told_apart(monkeypatch):
    note(calibration(0), calibration(1))
    monkeypatch.setattr(calibrations.platform, "node", lambda: "another")
    note(calibration(2))
    assert calibrations.days(calibration()) == 1
    assert calibrations.between("onnxruntime") is None


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "7", "null", '{"host": 1}', '{"host": HOST}', '{"host": HOST, "case": 3}']
)
def test_what_is_no_line_of_ours_is_passed_over(line):
    note(calibration(0))
    with (home.home() / "calibrations.jsonl").open("a") as stream:
        stream.write(line.replace("HOST", json.dumps(calibrations.this_host())) + "\n")
    note(calibration(1))
    assert calibrations.days(calibration()) == 2


def test_a_line_that_was_cut_off_spoils_none_but_itself():
    note(calibration(0))
    file = home.home() / "calibrations.jsonl"
    file.write_text(file.read_text() + file.read_text()[:40] + "\n")
    note(calibration(1))
    assert calibrations.days(calibration()) == 2


def test_a_home_that_cannot_be_written_is_an_error_with_a_next_step(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(SetupError, match=r"expected to note a calibration; found: .*; make room, or set SIGNOFF_HOME"):
        note(calibration())


def test_nan_is_not_noted():
    with pytest.raises(ValueError, match="JSON"):
        note(calibration(mean=float("nan")))
