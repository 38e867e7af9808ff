"""A round of two engines in one process that take turns: what disturbs one disturbs the other too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from bench.child.alone import WARMUP_CALLS
from bench.child.guards import Section
from bench.child.timing import PairPlan, Pairs, calls, orders, pairs, per_sample
from bench.statistics import steadiness

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import Session

    Batches = Sequence[tuple[np.ndarray, ...]]

CHECKS = {
    "not_steady": steadiness.not_steady,
    "disturbed": steadiness.disturbed,
    "autocorrelated": steadiness.autocorrelated,
}
"""What may be wrong with the log ratios of the pairs, by its flag."""
SPARE = 0.5
"""Pairs that are not steady are taken again where at least this part of the time of the round is left."""


def take(
    sessions: tuple[Session, Session],
    inputs: tuple[Batches, Batches],
    seed: int,
    plan: PairPlan,
    warmup_seconds: float,
    wait: Callable[[], None],
) -> dict[str, Any]:
    """Warm up both, then have them take turns (measurement protocol 4.2); baseline first in all that has two.

    Where the ratios are not steady, those pairs count as warm-up, which is doubled once.
    """
    started = time.perf_counter_ns()
    warmups = _warm_up(sessions, inputs, seed, warmup_seconds)
    several = per_sample(warmups)
    wait()
    found, told, section = _pairs(sessions, inputs, several, seed, plan, started)
    spare = plan.most_seconds - (time.perf_counter_ns() - started) / 1e9
    if steadiness.not_steady(found.log_ratios()) and spare >= SPARE * plan.most_seconds:
        more = _warm_up(sessions, inputs, seed, warmup_seconds)
        for arm in (0, 1):
            warmups[arm] += [*found.taken[arm], *more[arm]]
        found, told, section = _pairs(sessions, inputs, several, seed, plan, started)
    flags = [name for name, holds in CHECKS.items() if holds(found.log_ratios())]
    arms = [
        {
            "warmup_ns": warmups[arm],
            "samples_ns": found.taken[arm],
            "device_ms": _per_call(told["device_ms"][arm], found.per_sample, len(found.taken[arm])),
            "conditions_begin": told["begin"][arm],
            "conditions_end": told["end"][arm],
            "timed_section": "host wall",
            "flags": list(flags),
            "kept": found.kept[arm],
        }
        for arm in (0, 1)
    ]
    count = len(found.taken[0])
    return {
        "arms": arms,
        "section": section,
        "calls": 2 * count * several,
        "shortest_ns": several * min(sorted(taken)[count // 2] for taken in found.taken),
        "pair": {"first": f"{found.first:x}", "calls_per_sample": several},
    }


def _warm_up(
    sessions: tuple[Session, Session], inputs: tuple[Batches, Batches], seed: int, seconds: float
) -> list[list[int]]:
    return [
        calls(session, fed, chain.from_iterable(orders(len(fed), seed)), WARMUP_CALLS, seconds).taken
        for session, fed in zip(sessions, inputs, strict=True)
    ]


def _pairs(
    sessions: tuple[Session, Session],
    inputs: tuple[Batches, Batches],
    several: int,
    seed: int,
    plan: PairPlan,
    started_ns: int,
) -> tuple[Pairs, dict[str, Any], Section]:
    section = Section()
    told: dict[str, Any] = {}
    for session in sessions:
        session.device_ms()  # those of the warm-up
    told["begin"] = [getattr(session, "conditions", dict)() for session in sessions]
    with section.timed():
        found = pairs(sessions, inputs, several, seed, plan, started_ns)
    told["device_ms"] = [list(session.device_ms()) for session in sessions]
    told["end"] = [getattr(session, "conditions", dict)() for session in sessions]
    return found, told, section


def _per_call(device_ms: list[float], several: int, samples: int) -> list[float]:
    """Return device times per call, one for each sample; none where the device tells of other calls than these."""
    if len(device_ms) != several * samples:
        return []
    return [sum(device_ms[start : start + several]) / several for start in range(0, len(device_ms), several)]
