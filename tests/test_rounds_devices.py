"""Rounds on devices: nobody else on them, four at once where a card is asked for, and tools that time themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import figures, looks
from bench import rounds as bench_rounds
from bench.child import guards
from bench.effort import Effort
from bench.mode import WHOLE
from bench.rounds import Arm, RoundError, Rounds
from fixtures import backend as backends
from fixtures import devices, locks
from fixtures.device import Device
from fixtures.devices import DeviceError
from fixtures.engines import Engine
from reports.entry import Entry
from reports.round import Round
from tests import tiny

RUNTIME = """
import json, os
from pathlib import Path
from fixtures.device import Device
from fixtures.runtime import Timed
from fixtures.runtimes.onnxruntime import OnnxRuntime

class Session:
    def __init__(self, session, device):
        self.session, self.device, self.pending = session, device, []
        self.signature = session.signature
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def run(self, inputs):
        self.pending.append(2.0 + self.device.index)
        return self.session.run(inputs)
    def conditions(self):
        slowed = os.environ.get("SLOWED")
        return {"clock_mhz": 1590, **({"slowed": slowed} if slowed else {})}
    def device_ms(self):
        found, self.pending = tuple(self.pending), []
        return found

class Tool(Session):
    most_batches = 1
    def time(self, batches, seconds, warmup_seconds):
        outputs = {index: self.run(batch) for index, batch in enumerate(batches)}
        return Timed((4.0, 5.0, 9.0), outputs=outputs, flags=("unstable",), details={"tool": "watch 1.0"})

class Patient(Tool):
    most_batches = None
    def time(self, batches, seconds, warmup_seconds):
        assert seconds == 0 and [int(batch[0][0][3]) for batch in batches][1:] == list(range(1, 12))
        outputs = {index: self.run(batches[index]) for index in (0, 4, 8)}
        return Timed((4.0,), outputs=outputs, details={"fed": len(batches)})

class Cards(OnnxRuntime):
    name = "cards"
    def devices(self, backend):
        file = Path(os.environ["DEVICES"])
        states = json.loads(file.read_text())
        if len(states) > 1 and isinstance(states[0], list):
            file.write_text(json.dumps(states[1:]))
        states = states[0] if states and isinstance(states[0], list) else states
        return tuple(Device(**state) for state in states)
    def open(self, engine, model, case, backend, device):
        kind = {"cards": Session, "patient": Patient}.get(backend.name, Tool)
        return kind(super().open(engine, model, case, backend, device), device)

RUNTIME = Cards()
"""
ALONE = """
from fixtures.runtimes.cards import Cards

class Alone(Cards):
    name = "alone"
    alternates = False

RUNTIME = Alone()
"""

BRIEF = Effort("quick", 1, (5,), 0.0, 0.0, 0.0, 0.0, signs_off=False)
"""As few calls as a round has."""
FOUR = [{"id": f"0000:8{n}:00.0", "index": n, "name": "310", "card": "2048", "processes": []} for n in range(4)]


@pytest.fixture
def rounds(tmp_path, monkeypatch):
    for name in ("HOME", "LOCKS"):
        monkeypatch.setenv(f"SIGNOFF_{name}", str(tmp_path / name))
    monkeypatch.delenv("SIGNOFF_DEVICE", raising=False)
    monkeypatch.setattr(looks, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(bench_rounds, "ACCELERATOR_WARMUP_SECONDS", 0.0)
    monkeypatch.setattr(bench_rounds, "QUICK_PAIR_SECONDS", 0.0)
    monkeypatch.setattr(bench_rounds.children, "POLL_SECONDS", 0.005)
    monkeypatch.setenv("DEVICES", str(tmp_path / "devices.json"))
    say(tmp_path, FOUR)
    folder = tiny.write(tmp_path / "catalogue")
    (folder / "fixtures/runtimes/cards.py").write_text(RUNTIME)
    (folder / "fixtures/runtimes/alone.py").write_text(ALONE)
    for name, runtime in {"cards": "cards", "tool": "cards", "alone": "alone", "patient": "alone"}.items():
        text = f'from fixtures.backend import Backend\nBACKEND = Backend("{name}", "{runtime}", devices_per_card=4)\n'
        (folder / f"fixtures/backends/{name}.py").write_text(text)
    with tiny.extended(folder):
        workshop = tiny.workshop(folder, tmp_path / "store")
        yield Rounds(workshop)
        workshop.pool.close()


def say(folder: Path, *states: list[dict[str, Any]]) -> None:
    """Have the driver show these states, one after the other, the last one for ever."""
    (folder / "devices.json").write_text(json.dumps(states if len(states) > 1 else states[0]))


def flags(taken: Round) -> tuple[str, ...]:
    """Return what is flagged of the round, and not of this host, which others use as well."""
    return tuple(name for name in taken.flags if name not in guards.FLAGS)


def with_trouble(**trouble: str) -> list[dict[str, Any]]:
    return [{**device, **trouble} for device in FOUR]


def test_records_the_device_its_state_and_the_times_it_tells(rounds):
    taken = rounds.take(tiny.case("cards"), 7, BRIEF)
    assert taken.device == "0000:80:00.0"
    assert taken.details["device_ms"] == [2.0] * len(taken.samples_ns)  # none of the warm-up among them
    assert taken.details["before"]["processes"] == []
    assert flags(taken) == ()
    Entry("run", taken).as_dict()


@pytest.mark.parametrize("trouble", [{"busy": "python3 (pid 12)"}, {"unhealthy": "health Alarm"}])
def test_a_device_in_use_or_not_healthy_is_not_timed_and_who_uses_it_is_named(rounds, tmp_path, trouble):
    say(tmp_path, with_trouble(**trouble))
    with pytest.raises(RoundError, match=rf"healthy and idle; found {next(iter(trouble.values()))[:7]}"):
        rounds.take(tiny.case("cards"), 7, BRIEF)


def test_a_device_that_is_idle_only_at_first_sight_is_not_timed(rounds, tmp_path):
    say(tmp_path, FOUR, FOUR, FOUR, with_trouble(busy="python3 (pid 12)"))
    with pytest.raises(RoundError, match="found python3"):
        rounds.take(tiny.case("cards"), 7, BRIEF)


def test_who_came_while_it_was_timed_is_flagged(rounds, tmp_path):
    # Loaded for the expected outputs, chosen, looked at twice, and looked at when all is done.
    say(tmp_path, FOUR, FOUR, FOUR, FOUR, [{**FOUR[0], "busy": "python3 (pid 12)"}, *FOUR[1:]])
    taken = rounds.take(tiny.case("cards"), 7, BRIEF)
    assert flags(taken) == ("device_used_by_others",)
    assert taken.details["after"]["busy"] == "python3 (pid 12)"


def test_a_device_that_is_not_shown_any_more_was_not_seen_idle(rounds, tmp_path):
    say(tmp_path, FOUR, FOUR, FOUR, FOUR, [{"id": "npu-0", "unknown": "npu-smi fails"}])
    taken = rounds.take(tiny.case("cards"), 7, BRIEF)
    assert flags(taken) == ("exclusivity_unknown",)
    assert taken.details["after"]["exclusivity_unknown"] == "its driver did not show it any more"


def test_nothing_is_extrapolated_from_a_card_whose_other_devices_are_in_use(rounds, tmp_path):
    say(tmp_path, [FOUR[0], {**FOUR[1], "busy": "python3 (pid 12)"}, *FOUR[2:]])
    taken = rounds.take(tiny.case("cards"), 7, BRIEF)
    assert flags(taken) == ("siblings_in_use",)
    assert taken.details["siblings"] == {"device 1": "python3 (pid 12)"}
    throughput = measured([taken])[0]
    assert "per_card_extrapolated" not in throughput.details
    assert "flag: siblings in use" in throughput.notes


def test_a_tool_that_does_not_tell_when_its_calls_began_times_no_card(rounds):
    with pytest.raises(RoundError, match="expected to see when each call began"):
        rounds.take_card(tiny.case("tool"), 7, BRIEF)


def test_a_round_says_what_ran_the_engine_and_under_which_conditions(rounds):
    taken = rounds.take(tiny.case("cards"), 7, BRIEF)
    assert set(taken.details["versions"]) == {"onnxruntime"}
    assert taken.details["conditions_begin"] == {"clock_mhz": 1590}
    assert flags(taken) == ()


def test_a_device_that_was_slowed_is_flagged(rounds, monkeypatch):
    monkeypatch.setenv("SLOWED", "hardware thermal")
    assert flags(rounds.take(tiny.case("cards"), 7, BRIEF)) == ("slowed",)


def test_a_use_that_cannot_be_read_is_flagged(rounds, tmp_path):
    say(tmp_path, [{**FOUR[0], "unknown": "no process table"}, *FOUR[1:]])
    assert flags(rounds.take(tiny.case("cards"), 7, BRIEF)) == ("exclusivity_unknown",)


def test_the_device_asked_for_is_timed(rounds, monkeypatch):
    monkeypatch.setenv("SIGNOFF_DEVICE", "0000:82:00.0")
    assert rounds.take(tiny.case("cards"), 7, BRIEF).details["device_ms"][0] == 4.0
    monkeypatch.setenv("SIGNOFF_DEVICE", "7")
    with pytest.raises(DeviceError, match="unknown device of cards '7'"):
        rounds.take(tiny.case("cards"), 7, BRIEF)


def test_a_host_without_the_device_says_so(rounds, tmp_path):
    say(tmp_path, [])
    with pytest.raises(DeviceError, match="found none; see python -m fixtures doctor"):
        rounds.take(tiny.case("cards"), 7, BRIEF)


def test_all_devices_of_a_card_are_timed_at_once_in_a_process_each(rounds):
    taken = rounds.take_card(tiny.case("cards"), 7, BRIEF)
    assert [each.device for each in taken] == [device["id"] for device in FOUR]
    assert len({each.details["process"] for each in taken}) == 4
    # Every process is loaded and warm before the first is let go, so that they overlap unless one ends at once.
    begun = [each.details["begun_ns"] for each in taken]
    assert all(len(times) == len(each.samples_ns) for times, each in zip(begun, taken, strict=True))


def test_a_card_that_lacks_a_device_is_not_timed_as_one(rounds, tmp_path):
    say(tmp_path, FOUR[:3])
    with pytest.raises(DeviceError, match="expected 4 devices on card 2048; found 3"):
        rounds.take_card(tiny.case("cards"), 7, BRIEF)


def test_a_tool_that_times_itself_is_given_what_it_can_take_and_its_outputs_are_checked(rounds):
    taken = rounds.take(tiny.case("tool"), 7, BRIEF)
    assert taken.samples_ns == (4_000_000, 5_000_000, 9_000_000)
    assert taken.details["timed_section"] == "device compute"
    assert taken.details["tool"] == {"tool": "watch 1.0"}
    assert set(flags(taken)) == {"unstable", "few_inputs"}
    assert taken.details["checked_calls"] == 1


def taken_at(begun: list[int], samples: list[int], **details: Any) -> Round:
    details["begun_ns"] = begun
    return Round(tiny.case("cards"), "0" * 64, tuple(samples), (), 2, "d", 7, "2026", details=details)


def test_a_cards_throughput_counts_the_calls_in_the_time_its_devices_had_in_common():
    first = taken_at([0, 100, 200], [100, 100, 100])  # 0 to 300
    late = taken_at([150, 250, 350], [100, 100, 100])  # 150 to 450: the window is 150 to 300
    # In it lie one and a half calls of each, of two images: as each runs a call in 100 ns, four images in 100 ns.
    assert figures.together([first, late]) == pytest.approx(4 / 100e-9)
    with pytest.raises(RoundError, match="no call in common"):
        figures.together([first, taken_at([400], [10])])


def measured(rounds: list[Round], backend: str = "cards", **changes: Any) -> list[Any]:
    engine = Engine(Path("e"), "0" * 64, "key", {}, 0.0, **changes)
    chosen = replace(backends.Backend(backend, "cards"), devices_per_card=4)
    data = {"dataset": "vectors", "digest": "d"}
    return figures.measurements(rounds[0].case, chosen, engine, data, [tuple(rounds)])


def test_one_devices_figure_is_kept_and_the_cards_is_said_to_be_extrapolated():
    found = measured([taken_at([0], [1_000_000])])[0]
    assert found.value == pytest.approx(2000)
    assert found.details["per"] == "device"
    assert found.details["per_card_extrapolated"] == pytest.approx(8000)
    assert any("x4, extrapolated from one device" in note for note in found.notes)
    assert found.source == "measured"


def test_the_figure_of_a_driven_card_is_the_cards():
    found = measured([taken_at([0, 10], [10, 10]), taken_at([0, 10], [10, 10])])[0]
    assert (found.details["per"], found.details["devices"]) == ("card", 2)
    assert "per_card_extrapolated" not in found.details


def test_device_compute_is_a_figure_of_its_own():
    found = measured([taken_at([0, 1], [9_000_000] * 2, device_ms=[3.0, 5.0])])
    throughput, compute = found[0], next(each for each in found if each.metric == "device_compute")
    assert (compute.value, compute.unit) == (pytest.approx(4.0), "ms")
    assert compute.details["median_ms"] == 4.0
    assert throughput.value == pytest.approx(2 / 0.009)


def test_what_is_emulated_or_supplied_is_never_called_measured():
    taken = [taken_at([0], [10])]
    emulated = measured(taken, "cards~emulated")[0]
    assert emulated.source == "emulated"
    assert any("none is a device's" in note for note in emulated.notes)
    assert measured(taken, origin="supplied")[0].source == "supplied"


def test_a_device_is_described_without_what_is_not_told():
    assert Device("x", 1, "310", health="OK").as_dict() == {"id": "x", "index": 1, "name": "310", "health": "OK"}


def test_a_stand_in_keeps_nobody_from_a_device():
    device = Device("0000:81:00.0")
    assert devices.lock(device, backends.Backend("ascend310", "ascend")) == "0000:81:00.0"
    assert devices.lock(device, backends.Backend("ascend310~emulated", "ascend")) != "0000:81:00.0"


def test_the_devices_of_a_card_share_a_round_and_tell_when_their_windows_began(rounds):
    taken = rounds.take_card(tiny.case("cards"), 7, BRIEF)
    assert len({each.details["card_round"] for each in taken}) == 1
    assert all(each.details["window"]["begun_ns"] > each.details["begun_ns"][-1] for each in taken)
    assert "card_round" not in rounds.take(tiny.case("cards"), 7, BRIEF).details


def test_an_accelerator_is_warmed_up_for_longer(rounds, monkeypatch):
    asked = []
    monkeypatch.setattr(bench_rounds, "ACCELERATOR_WARMUP_SECONDS", 2.0)
    monkeypatch.setattr(bench_rounds.children, "run", lambda case, requests, scratch: asked.extend(requests) or 1 / 0)
    for backend in ("cards", "onnxruntime"):
        with pytest.raises(ZeroDivisionError):
            rounds.take(tiny.case(backend), 7, BRIEF)
    assert [request["warmup_seconds"] for request in asked] == [2.0, 0.0]


def test_a_pair_takes_both_devices_and_keeps_the_times_that_each_tells(rounds, monkeypatch):
    held = []
    hold = locks.hold
    monkeypatch.setattr(locks, "hold", lambda names, waiting: held.append(sorted(names)) or hold(names, waiting))
    baseline, candidate = rounds.take_pair(Arm(tiny.case("cards")), Arm(tiny.case()), 7, BRIEF)
    assert held[-1] == ["0000:80:00.0", "cpu", "host"]
    assert (baseline.device, candidate.device) == ("0000:80:00.0", "cpu")
    assert baseline.details["device_ms"] == pytest.approx([2.0] * len(baseline.samples_ns))
    assert "device_ms" not in candidate.details
    assert baseline.details["before"]["processes"] == []
    assert "before" not in candidate.details
    assert baseline.details["conditions_end"] == {"clock_mhz": 1590}


def test_a_pair_on_a_device_in_use_is_not_timed(rounds, tmp_path):
    say(tmp_path, with_trouble(busy="python3 (pid 12)"))
    with pytest.raises(RoundError, match="healthy and idle; found python3"):
        rounds.take_pair(Arm(tiny.case()), Arm(tiny.case("cards")), 7, BRIEF)


def test_a_tool_that_times_itself_takes_no_turns(rounds):
    with pytest.raises(RoundError, match=r"tiny-bs1-alone: expected an engine that takes turns.*two campaigns"):
        rounds.take_pair(Arm(tiny.case()), Arm(tiny.case("alone")), 7, BRIEF)


def test_a_tool_that_takes_a_batch_at_a_time_goes_through_no_data_set(rounds):
    with pytest.raises(RoundError, match=r"tiny-bs1-alone: expected a tool that goes through the whole data set"):
        rounds.take(tiny.case("alone"), 7, BRIEF, WHOLE)


def test_a_tool_that_takes_them_all_is_given_the_whole_data_set_in_order(rounds):
    taken = rounds.take(tiny.case("patient"), 7, BRIEF, WHOLE)
    assert taken.details["tool"]["fed"] == tiny.IMAGES
    assert taken.details["different_inputs"] == tiny.IMAGES
    assert taken.details["checked_calls"] == 3


def test_a_worker_of_ours_is_given_a_whole_data_set_call_by_call(rounds):
    taken = rounds.take(tiny.case("tool"), 7, BRIEF, WHOLE)
    assert len(taken.samples_ns) == tiny.IMAGES
    assert "tool" not in taken.details
    assert len(taken.details["device_ms"]) == tiny.IMAGES
