"""Which batch is best, and what of a batch that could not be measured."""

from __future__ import annotations

from typing import Any

import pytest

from bench.children import OutOfMemoryError, RoundError
from bench.sweep import Sweep, best, sweeps
from bench.units import BudgetError
from fixtures.case import Case
from fixtures.runtime import Missing
from reports.measurement import Measurement
from tests import records

ONE, FOUR, EIGHT = (records.case(batch, "openvino", size=256, shows_size=True) for batch in (1, 4, 8))
SWEEP = Sweep((ONE, FOUR, EIGHT))


class Campaign:
    """Gives figures, or raises what stands in their place; what is measured again is slower."""

    def __init__(self, found: dict[Case, float | Exception], device: bool = False) -> None:
        self.found, self.device = {case.id: (case, value) for case, value in found.items()}, device
        self.measured_again: list[str] = []

    def figures(self, name: str, slower: float = 1.0) -> list[Measurement]:
        case, value = self.found[name]
        if isinstance(value, Exception):
            raise value
        told: dict[str, Any] = {"case": case, "samples": {}, "details": {"rounds": 5, "per": "device"}}
        made = [records.measurement(value / slower, metric="throughput", unit="images/s", **told)]
        if self.device:
            milliseconds = 1e3 * case.batch / (200.0 / slower)
            told["details"] = {"rounds": 5, "per": "batch"}
            made.append(records.measurement(milliseconds, metric="device_compute", unit="ms", **told))
        return made

    def again(self, name: str) -> list[Measurement]:
        self.measured_again.append(name)
        return self.figures(name, slower=1.25)


def test_a_sweep_has_the_batches_of_one_model_size_and_backend():
    other = records.case(1, "onnxruntime", size=256)
    found = sweeps([EIGHT, other, ONE])
    assert [each.candidates for each in found] == [(ONE, EIGHT), (other,)]
    assert found[0].id == ONE.id.replace("-bs1-", "-")


def test_the_best_is_measured_again_and_that_is_its_figure():
    campaign = Campaign({ONE: 10.0, FOUR: 30.0, EIGHT: 20.0})
    found = best(SWEEP, campaign)
    assert campaign.measured_again == [FOUR.id]
    assert (found.case, found.metric, found.unit, found.value) == (FOUR, "best_batch", "images/s", 24.0)
    assert found.details["chosen_by"] == {"1": 10.0, "4": 30.0, "8": 20.0}
    assert found.notes[1] == "measured again in 5 fresh rounds; when it was chosen it had 30"


def test_device_compute_decides_where_it_is_told():
    found = best(Sweep((ONE, FOUR)), Campaign({ONE: 10.0, FOUR: 30.0}, device=True))
    assert found.value == pytest.approx(160.0)
    assert found.notes[0] == "batch 1 is best of 1, 4 by device compute"
    assert found.details["per"] == "device"


def test_out_of_memory_is_a_result_and_never_the_best():
    found = best(SWEEP, Campaign({ONE: 10.0, FOUR: 30.0, EIGHT: OutOfMemoryError("short")}))
    assert found.case == FOUR
    assert found.details["lacking"] == {"8": "out of memory"}
    assert "8 (out of memory)" in found.notes[0]


def test_a_batch_that_failed_leaves_the_others():
    found = best(SWEEP, Campaign({ONE: 10.0, FOUR: RoundError("it crashed"), EIGHT: 5.0}))
    assert found.case == ONE
    assert found.details["lacking"] == {"4": "not measured"}


def test_where_none_could_be_measured_the_first_reason_is_raised():
    failed = Campaign({ONE: RoundError("it crashed"), FOUR: RoundError("so did it"), EIGHT: OutOfMemoryError("short")})
    with pytest.raises(RoundError, match="it crashed"):
        best(SWEEP, failed)


def test_where_memory_is_short_for_all_of_them_there_is_none():
    found = best(SWEEP, Campaign(dict.fromkeys((ONE, FOUR, EIGHT), OutOfMemoryError("short"))))
    assert found == Missing(
        "no batch was measured, and the best is one of several (of batch 1, 4, 8: out of memory)",
        "name smaller ones with --batch",
    )


def test_a_batch_by_itself_is_not_the_best_of_any_and_it_is_said_why_the_others_are_not_there():
    campaign = Campaign({ONE: 10.0, FOUR: BudgetError(60), EIGHT: OutOfMemoryError("short")})
    assert best(SWEEP, campaign) == Missing(
        "only batch 1 was measured, and the best is one of several (of batch 4: no round of it was started: the budget "
        "of 60 s was spent; of batch 8: out of memory)",
        "give more with --budget or name smaller ones with --batch",
    )
    assert campaign.measured_again == []


def test_where_the_budget_left_all_of_them_without_a_round_there_is_none_and_no_error():
    found = best(SWEEP, Campaign(dict.fromkeys((ONE, FOUR, EIGHT), BudgetError(1))))
    assert found.reason.endswith("(of batch 1, 4, 8: no round of it was started: the budget of 1 s was spent)")
    assert found.next_step == "give more with --budget"


def test_a_sweep_of_one_batch_has_no_best():
    found = best(Sweep((ONE,)), Campaign({ONE: 10.0}))
    assert found.reason == "only batch 1 was measured, and the best is one of several"
    assert found.next_step == "see why the others failed, or name more with --batch"
