"""What the rounds of a campaign come to; the percentiles and the notes of single rounds are in test_rounds_devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import figures
from fixtures import backend as backends
from fixtures.engines import Engine
from reports.measurement import Measurement
from reports.round import Round
from tests import records

CASE = records.case(4, "ascend310")
CPU = records.case(4, "onnxruntime")
WINDOW = {"calls": 10, "images": 40, "ns": 1_000_000_000, "depth": 3}


def measured(processes: list[tuple[Round, ...]], **changes: Any) -> dict[str, Measurement]:
    case = processes[0][0].case
    engine = Engine(Path("e"), "ab" * 32, "key", {}, 0.0, **changes)
    data = {"dataset": "div2k", "digest": "cd" * 32}
    found = figures.measurements(case, backends.find(case.backend), engine, data, processes)
    assert len({each.metric for each in found}) == len(found)
    return {each.metric: each for each in found}


def alone(rates: list[float], case=CPU, **more: Any) -> list[tuple[Round, ...]]:
    return [(taken,) for taken in records.rounds(rates, case, **more)]


def card(rates: list[float], rounds: int = 2) -> list[tuple[Round, ...]]:
    made = []
    for number in range(rounds):
        taken = records.rounds(rates, CASE, card_round=f"{number}")
        for place, each in enumerate(taken):
            first, second, _ = each.samples_ns
            begun = {"begun_ns": [0, first, first + second]}
            taken[place] = replace(each, device=f"d{place}", details={**each.details, **begun})
        made.append(tuple(taken))
    return made


def test_the_three_figures_have_a_unit_each_and_throughput_comes_first():
    found = measured(alone([20.0] * 5, window=WINDOW))
    assert {name: each.unit for name, each in found.items()} == {
        "throughput": "images/s",
        "latency": "ms",
        "device_compute": "ms",
    }
    assert next(iter(found)) == "throughput"
    assert found["throughput"].value == pytest.approx(40)
    assert found["device_compute"].value == pytest.approx(200)  # 4 images at 20 images/s
    assert found["latency"].value == pytest.approx(400)  # host wall is twice that in these records


def test_a_figure_is_the_geometric_mean_over_processes():
    found = measured(alone([10.0, 40.0]))
    assert found["device_compute"].value == pytest.approx(200)
    assert found["latency"].value == pytest.approx(400)
    assert found["throughput"].value == pytest.approx(10)


@settings(deadline=None)  # the first example loads numpy
@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=6))
def test_a_figure_lies_between_the_slowest_and_the_fastest_process(rates):
    found = measured(alone(rates))
    assert 4e3 / max(rates) <= found["device_compute"].value * (1 + 1e-9)
    assert found["device_compute"].value <= 4e3 / min(rates) * (1 + 1e-9)


def test_every_figure_tells_effort_mode_rounds_and_batch():
    for each in measured(alone([20.0] * 5, window=WINDOW, noise={"c0": 0.05, "why": "prior"})).values():
        assert each.details["effort"] == "signoff"
        assert each.details["mode"] == "pure inference"
        assert (each.details["rounds"], each.details["batch"]) == (5, 4)
        assert each.details["noise"] == {"c0": 0.05, "why": "prior"}
        assert "pure inference, 5 rounds" in each.notes
        assert (each.engine["sha256"], each.data["dataset"]) == ("ab" * 32, "div2k")


def test_offline_throughput_says_its_windows_and_serial_calls_say_what_they_are():
    assert measured(alone([20.0], window=WINDOW))["throughput"].notes[0] == (
        "offline: 3 in flight, 1 s windows, drained, host wall"
    )
    assert measured(alone([20.0]))["throughput"].notes[0] == "calls one after the other, host wall"


def test_rounds_of_which_one_has_no_window_are_told_by_their_calls():
    taken = alone([20.0, 20.0], window=WINDOW)
    without = {name: value for name, value in taken[1][0].details.items() if name != "window"}
    found = measured([taken[0], (replace(taken[1][0], details=without),)])
    assert found["throughput"].value == pytest.approx(10)
    assert found["throughput"].notes[0].startswith("calls one after the other")


def test_what_a_tool_timed_on_the_device_has_no_latency_of_the_host():
    assert set(measured(alone([20.0], timed_section="device compute"))) == {"throughput", "device_compute"}


def test_a_device_that_tells_no_time_has_no_compute_figure():
    taken = alone([20.0])
    silent = {name: value for name, value in taken[0][0].details.items() if name != "device_ms"}
    assert set(measured([(replace(taken[0][0], details=silent),)])) == {"throughput", "latency"}


def test_an_average_that_a_tool_printed_is_called_one():
    found = measured(alone([20.0], flags=("no_samples",)))["device_compute"]
    assert found.notes[0] == "an average that the tool printed"
    assert "flag: no samples" in found.notes


def test_flags_are_counted_over_rounds():
    taken = alone([20.0] * 3)
    taken[1] = (replace(taken[1][0], flags=("slowed",)),)
    assert "flag: slowed (1 of 3)" in measured(taken)["throughput"].notes


def test_figures_keep_how_many_rounds_carry_each_flag():
    taken = alone([20.0] * 3)
    assert "flagged" not in measured(taken)["latency"].details
    taken[1] = (replace(taken[1][0], flags=("slowed", "host_busy")),)
    taken[2] = (replace(taken[2][0], flags=("host_busy",)),)
    assert measured(taken)["latency"].details["flagged"] == {"slowed": 1, "host_busy": 2}
    flagged = [tuple(replace(each, flags=("host_busy",)) for each in group) for group in card([20.0] * 4)]
    assert measured(flagged)["throughput"].details["flagged"] == {"host_busy": 2}  # rounds, of four devices each


def test_rounds_that_a_budget_ended_are_said_to_be_fewer_than_they_should():
    engine = Engine(Path("e"), "ab" * 32, "key", {}, 0.0)
    cut = "2 of 5 rounds: the budget of 3 min ended"
    for each in figures.measurements(CPU, backends.find(CPU.backend), engine, {}, alone([20.0] * 2), cut):
        assert f"pure inference, {cut}" in each.notes
        assert (each.details["cut"], each.details["rounds"]) == (cut, 2)


def test_percentiles_of_latency_are_over_all_calls_of_all_rounds():
    found = measured(alone([20.0] * 30))["latency"].details
    assert (found["calls"], found["too_few_calls_for"]) == (90, ["p99_ms"])
    assert found["p50_ms"] == pytest.approx(400)


def test_one_device_of_a_card_tells_what_the_card_would_reach():
    found = measured(alone([20.0], CASE, window=WINDOW))["throughput"]
    assert (found.value, found.details["per"]) == (pytest.approx(40), "device")
    assert found.details["per_card_extrapolated"] == pytest.approx(160)
    assert "a card: 160 images/s (x4, extrapolated from one device)" in found.notes[0]


def test_a_card_whose_other_devices_were_in_use_is_not_extrapolated():
    found = measured(alone([20.0], CASE, window=WINDOW, flags=("siblings_in_use",)))["throughput"]
    assert "per_card_extrapolated" not in found.details


def test_a_card_at_once_has_the_cards_throughput_and_one_devices_times():
    found = measured(card([20.0] * 4))
    assert (found["throughput"].details["per"], found["throughput"].details["devices"]) == ("card", 4)
    assert found["throughput"].value == pytest.approx(40)
    assert found["latency"].value == pytest.approx(400)  # a call is no faster because others run beside it
    assert found["device_compute"].value == pytest.approx(200)
    assert {each.details["rounds"] for each in found.values()} == {2}


def test_a_card_at_once_says_how_it_was_timed():
    serial = measured(card([20.0] * 4))["throughput"].notes[0]
    assert serial == "4 devices of one card at once, over the time they had in common, host wall"
    window = {**WINDOW, "begun_ns": 0}
    offline = [tuple(replace(r, details={**r.details, "window": window}) for r in each) for each in card([20.0] * 4)]
    found = measured(offline)["throughput"]
    assert found.value == pytest.approx(160)
    assert found.notes[0] == f"{serial}; offline: 3 in flight each, 1 s windows"


def test_an_arm_of_a_pair_has_no_throughput_and_says_whose_partner_it_was():
    baseline, _ = records.turns([(20.0, 22.0)] * 5, CPU, CASE)
    found = measured([(each,) for each in baseline])
    assert set(found) == {"latency", "device_compute"}
    assert found["latency"].details["pair"] == {"arm": 0, "other": CASE.id}


def test_the_whole_data_set_is_named_as_such():
    found = measured(alone([20.0], mode="whole data set"))
    assert all("whole data set, 1 round" in each.notes for each in found.values())


def test_what_was_supplied_is_never_called_measured():
    assert {each.source for each in measured(alone([20.0]), origin="supplied").values()} == {"supplied"}
