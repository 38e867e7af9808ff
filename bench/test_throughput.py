"""How fast is the engine? Its rounds of the campaign of this run, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from bench.children import OutOfMemoryError
from bench.measuring import Measuring
from bench.replay import CLOCK, replay
from bench.units import BudgetError
from fixtures.case import Case
from reports.outcome import in_a_line

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = [pytest.mark.perf, pytest.mark.benchmark(timer=CLOCK, group="throughput")]


def test_throughput(
    timed_case: Case,
    runnable: Callable[[Case], None],
    campaign: Measuring,
    not_run: Callable[..., None],
    benchmark: BenchmarkFixture,
    record_property: Callable[[str, object], None],
) -> None:
    """Measure images per second offline, the latency of a call, and the device's own compute where it is told."""
    runnable(timed_case)
    try:
        taken = campaign.of(timed_case.id)
    except OutOfMemoryError as error:
        not_run(timed_case.backend, f"out of memory at batch {timed_case.batch}", in_a_line(str(error))[0], named=False)
        return
    except BudgetError as error:  # whoever names a backend sets the budget too: no failure
        not_run(timed_case.backend, error.reason, error.next_step, named=False)
        return
    replay(benchmark, list(chain.from_iterable(process[0].samples_ns for process in taken)))
    found = campaign.figures(timed_case.id)
    throughput = found[0]
    for name, value in (("metric", "throughput"), ("value", throughput.value), ("unit", throughput.unit)):
        record_property(name, value)
    told = {measurement.metric: measurement.value for measurement in found}
    benchmark.extra_info["signoff"] = {
        "images_per_second": throughput.value,
        **{f"{metric}_ms": value for metric, value in told.items() if metric != "throughput"},
        "timed": throughput.notes[0],
    }
