"""How noisy a host is taken to be, from what the user says, calibrations and the prior, and what it then can show."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import nights
from bench.statistics import two_hosts
from fixtures import calibrations, noise
from fixtures.backend import Backend
from fixtures.device import CPU, Device
from fixtures.errors import SetupError
from fixtures.noise import Noise
from tests.test_calibrations import calibration

ON_CPU = Backend("onnxruntime", runtime="onnxruntime")
T4 = Backend("t4", runtime="tensorrt")
IDLE = Device("GPU-1", 0, "Tesla T4", facts={"clocks_held_by": ["idle"]})
HELD = {"clocks_held_by": ["application clocks"]}
HELD_DEVICE = replace(IDLE, facts=HELD)


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    monkeypatch.delenv("SIGNOFF_NOISE", raising=False)


def test_a_host_without_an_accelerator_has_the_larger_prior():
    assert noise.of(ON_CPU, CPU) == Noise(0.05, "no accelerator: the prior")


@pytest.mark.parametrize(
    ("device", "conditions", "c0", "why"),
    [
        (IDLE, (), 0.05, "not seen to be locked"),
        (IDLE, ({"clocks_held_by": ["power cap"]},), 0.05, "not seen to be locked"),
        (IDLE, ({}, HELD), 0.02, "ours alone"),
        (replace(IDLE, facts=HELD), (), 0.02, "ours alone"),
        (replace(IDLE, busy="python3 (pid 7)"), (HELD,), 0.05, "others may use"),
        (replace(IDLE, unknown="inside a container"), (HELD,), 0.05, "others may use"),
        (Device("0000:81:00.0", 0, "310", facts={"power_w": 12.8}), (), 0.05, "not seen to be locked"),
    ],
)
def test_only_clocks_seen_to_be_held_on_a_device_of_our_own_have_the_smaller_prior(device, conditions, c0, why):
    found = noise.of(T4, device, conditions)
    assert found.c0 == c0
    assert why in found.why


def test_a_stand_in_says_so_whatever_it_was_calibrated_to(monkeypatch):
    emulated = Backend("ascend310~emulated", runtime="ascend")
    for day in range(3):
        calibrations.note(calibration(day, day / 10, backend=emulated.name))
    assert noise.of(emulated, HELD_DEVICE) == Noise(0.05, "a stand-in: the prior")


@pytest.mark.parametrize(("text", "c0"), [("3", 0.03), ("0.5", 0.005), (" 4 % ", 0.04), ("50%", 0.5)])
def test_what_the_user_sets_wins(monkeypatch, text, c0):
    for day in range(3):
        calibrations.note(calibration(day, day / 10))
    monkeypatch.setenv("SIGNOFF_NOISE", text)
    assert noise.of(ON_CPU, CPU) == Noise(c0, "set by --noise: a reviewed figure")


@pytest.mark.parametrize("text", ["0", "-2", "51", "little", "nan", "inf", "%"])
def test_what_is_no_percentage_is_refused(monkeypatch, text):
    monkeypatch.setenv("SIGNOFF_NOISE", text)
    with pytest.raises(SetupError, match=r"--noise \(SIGNOFF_NOISE\): expected a percentage .* found .*; leave it out"):
        noise.of(ON_CPU, CPU)


def test_two_days_of_calibration_leave_the_prior():
    for day, mean in enumerate((1.0, 1.5)):
        calibrations.note(calibration(day, mean))
    assert noise.of(ON_CPU, CPU).why == "no accelerator: the prior"


def test_three_days_are_shrunk_to_the_prior_with_four_degrees():
    for day, mean in enumerate((0.9, 1.0, 1.1)):
        calibrations.note(calibration(day, mean))
    found = noise.of(ON_CPU, CPU)
    assert found.c0 == pytest.approx(math.sqrt((4 * 0.05**2 + 2 * 0.01) / 6))
    assert found.why == "calibrated on 3 days; the prior of 5 % counts as 4 more"
    assert noise.of(T4, CPU).c0 == 0.05  # another backend


def test_days_that_agree_make_it_smaller_little_by_little():
    found = []
    for day in range(12):
        calibrations.note(calibration(day, 1.0))
        found.append(noise.of(ON_CPU, CPU).c0)
    assert found[2] == pytest.approx(0.05 * math.sqrt(4 / 6))
    assert found == sorted(found, reverse=True)
    assert found[-1] > 0.02


def test_the_smallest_margins_are_those_of_the_protocol():
    assert round(100 * noise.smallest_margin(0.02), 1) == 5.7
    assert round(100 * noise.smallest_margin(0.05), 1) == 14.9


@pytest.mark.parametrize("c0", [0.01, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_difference_of_the_smallest_margin_is_where_the_rule_starts_to_pass(c0, count):
    edge = math.log1p(noise.smallest_margin(c0, count))
    # Campaigns without scatter inside, whose means scatter by exactly c0.
    shifts = {1: (0.0,), 2: (-math.sqrt(0.5), math.sqrt(0.5)), 3: (-1.0, 0.0, 1.0)}[count]

    def side(mean):
        return two_hosts.Side(tuple((mean + shift * c0,) * 5 for shift in shifts), c0)

    verdicts = [two_hosts.decide(side(edge * factor), side(0.0), 1.0).status for factor in (0.999, 1.001)]
    assert verdicts == ["undecided", "passed"]


def test_the_table_of_the_documentation_is_computed():
    lines = (Path(__file__).resolve().parents[1] / "docs" / "noise.md").read_text().splitlines()
    rows = [[cell.strip().removesuffix(" %") for cell in line.strip("|").split("|")] for line in lines]
    rows = [[float(cell) for cell in row] for row in rows if len(row) == 4 and row[0][:1].isdigit()]
    assert len(rows) == 7
    for percent, *margins in rows:
        assert margins == [round(100 * noise.smallest_margin(percent / 100, count), 1) for count in (1, 2, 3)]


@given(st.floats(0.001, 0.5), st.floats(0.0001, 2.0))
def test_as_many_campaigns_are_asked_for_as_show_the_margin(c0, margin):
    needed = noise.campaigns_needed(margin, c0)
    enough = [count for count in (1, 2, 3) if noise.smallest_margin(c0, count) <= margin]
    assert needed == (min(enough) if enough else None)


def test_a_second_campaign_alone_shows_no_smaller_difference():
    assert noise.smallest_margin(0.05, 2) > noise.smallest_margin(0.05, 1) > noise.smallest_margin(0.05, 3)


@pytest.mark.parametrize(
    ("c0", "takes"),
    [(0.01, "5 % takes one campaign"), (0.02, "5 % takes three campaigns"), (0.05, "5 % cannot be shown")],
)
def test_it_tells_how_many_campaigns_show_what_a_night_may_lose(c0, takes):
    assert nights.APART == noise.WANTED
    assert noise.told(Noise(c0, "why")).endswith(f"three campaigns each; {takes}")


def test_it_is_told_in_a_line():
    assert noise.told(Noise(0.0213, "set by --noise: a reviewed figure")) == (
        "2.1 % (set by --noise: a reviewed figure); shows 6.1 % between two such hosts, 5.0 % with three campaigns each"
        "; 5 % takes three campaigns"
    )
