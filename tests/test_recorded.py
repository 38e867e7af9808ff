"""What becomes of the answer of a timed process; how rounds are taken is in test_rounds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench import recorded
from bench.campaigns import Campaign
from bench.children import RoundError
from bench.effort import NIGHTLY
from bench.mode import PURE, WHOLE
from fixtures import backend as backends
from fixtures.device import CPU, Device
from reports.round import Round
from tests import records

ANSWER = {"samples_ns": [7, 8, 9], "warmup_ns": [90], "started": "2026", "largest_relative_error": 0.0}
HELD = {"clocks_held_by": ["application clocks"]}
GPU = Device("GPU-1", name="Tesla T4", facts=HELD)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    monkeypatch.delenv("SIGNOFF_NOISE", raising=False)


def made(
    device: Device = CPU, backend: str = "onnxruntime", mode: str = PURE, after: Device | None = None, **answer: Any
) -> Round:
    arm = SimpleNamespace(
        case=records.case(4, backend),
        backend=backends.find(backend),
        engine=SimpleNamespace(sha256="ab" * 32),
        feed=SimpleNamespace(names=[f"{n}.png" for n in range(10)], digest="cd" * 32, described="ten images"),
    )
    return recorded.round_of(arm, 7, NIGHTLY, mode, {**ANSWER, **answer}, {}, device, after or device)


def test_a_round_tells_how_far_campaigns_of_its_host_lie_apart(monkeypatch):
    taken = made()
    assert taken.details["noise"] == {"c0": 0.05, "why": "no accelerator: the prior"}
    assert Campaign(taken.case, "one", {}, (taken,)).c0 == 0.05
    monkeypatch.setenv("SIGNOFF_NOISE", "1.5")
    assert made().details["noise"]["c0"] == pytest.approx(0.015)


def test_the_smaller_prior_needs_clocks_that_were_seen_to_be_held():
    assert made(GPU, "t4").details["noise"]["c0"] == 0.02
    idle = Device("GPU-1", name="Tesla T4")
    assert made(idle, "t4").details["noise"]["c0"] == 0.05
    assert made(idle, "t4", conditions_end=HELD).details["noise"]["c0"] == 0.02
    assert made(GPU, "t4~emulated").details["noise"]["c0"] == 0.05


def test_outputs_that_differ_from_the_accuracy_path_are_no_measurement():
    with pytest.raises(RoundError, match=r"differ by 0.5 of the largest value, allowed 0.001; nothing was measured"):
        made(largest_relative_error=0.5)
    with pytest.raises(RoundError):
        made(largest_relative_error=float("nan"))


def test_what_speaks_against_a_device_is_flagged():
    assert made(GPU, "t4").flags == ()
    assert made(GPU, "t4", after=Device("GPU-1", busy="python3 (pid 3)")).flags == ("device_used_by_others",)
    assert made(GPU, "t4", conditions_begin={"slowed": "by heat"}, flags=["not_steady"]).flags == (
        "slowed",
        "not_steady",
    )
    assert made(Device("GPU-1", unknown="no rights"), "t4").flags == ("exclusivity_unknown",)


def test_a_device_stands_in_the_record_as_it_was_before_and_after_and_a_processor_does_not():
    assert made(GPU, "t4").details["before"]["name"] == "Tesla T4"
    assert "before" not in made().details


def test_the_whole_data_set_says_how_many_images_filled_the_last_batch():
    taken = made(mode=WHOLE)
    assert taken.details["images"] == {"of the feed": 10, "timed": 12}
    assert taken.details["different_inputs"] == 10
    assert (made().details["different_inputs"], "images" in made().details) == (8, False)


def test_when_calls_began_is_kept_for_devices_that_ran_together_only():
    window = {"calls": 1, "images": 4, "ns": 10, "depth": 1, "begun_ns": 5}
    taken = made(begun_ns=[1, 2, 3], window=window)
    assert "begun_ns" not in taken.details
    assert taken.details["window"] == {"calls": 1, "images": 4, "ns": 10, "depth": 1}
