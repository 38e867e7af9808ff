"""How fast is the engine? One round in a process of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bench import figures
from bench.replay import CLOCK, replay
from bench.rounds import Rounds
from fixtures.case import Case
from reports.ledger import Ledger
from reports.measurement import Measurement

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = [pytest.mark.perf, pytest.mark.benchmark(timer=CLOCK, group="throughput")]


def test_throughput(
    timed_case: Case,
    runnable: Callable[[Case], None],
    rounds: Rounds,
    ledger: Ledger,
    benchmark: BenchmarkFixture,
    record_property: Callable[[str, object], None],
) -> None:
    """Measure images per second and the latency of a call."""
    runnable(timed_case)
    taken = rounds.take(timed_case, seed=random.SystemRandom().randrange(2**32))
    replay(benchmark, taken.samples_ns)
    latency = figures.latency(taken)
    ledger.add(taken)
    ledger.add(
        Measurement(
            timed_case,
            "throughput",
            figures.throughput(taken),
            "images/s",
            engine=rounds.workshop.sources.engine(timed_case).as_dict(),
            data=rounds.workshop.described(timed_case),
            notes=("one round of serial, completed calls, host wall",),
            details={**latency, "batch": taken.batch, "started": taken.started, "seed": taken.seed},
        )
    )
    for name, value in (("metric", "throughput"), ("value", figures.throughput(taken)), ("unit", "images/s")):
        record_property(name, value)
    benchmark.extra_info["signoff"] = {
        "images_per_second": figures.throughput(taken),
        **latency,
        "timed": "serial completed calls, host wall",
    }
