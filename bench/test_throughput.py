"""How fast is the engine? One round in a process of its own, or one on every device of a card at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bench import figures
from bench.replay import CLOCK, replay
from bench.rounds import Rounds
from fixtures import backend as backends
from fixtures import devices, local
from fixtures.case import Case
from reports.ledger import Ledger

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
    backend = backends.find(timed_case.backend)
    seed = random.SystemRandom().randrange(2**32)
    whole_card = local.devices() == (devices.CARD,) and backend.devices_per_card > 1
    taken = rounds.take_card(timed_case, seed) if whole_card else (rounds.take(timed_case, seed),)
    replay(benchmark, taken[0].samples_ns)
    for each in taken:
        ledger.add(each)
    engine = rounds.workshop.sources.engine(timed_case)
    found = figures.measurements(timed_case, backend, engine, rounds.workshop.described(timed_case), taken)
    for measurement in found:
        ledger.add(measurement)
    throughput = found[0]
    for name, value in (("metric", "throughput"), ("value", throughput.value), ("unit", throughput.unit)):
        record_property(name, value)
    benchmark.extra_info["signoff"] = {
        "images_per_second": throughput.value,
        **figures.latency(taken[0]),
        "timed": throughput.notes[0],
    }
