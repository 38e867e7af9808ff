"""Two engines taking turns in one process: disturbances hit both, and only their ratio is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.statistics import student
from bench.statistics.decision import PAIRS, ROUNDING, UNDECIDED, Decision, check, level_to_fail, status

if TYPE_CHECKING:
    import numpy.typing as npt

LOOKS = (5, 8, 12, 20)
"""After how many rounds a verdict is looked for: a chance of 1 % each, 4 % over all (measurement protocol 4.2)."""
LEVEL = 0.99
CAUTIOUS = 8
"""Rounds that a verdict needs when one of them was not steady (measurement protocol 4.4)."""
REACH = 1000
"""More rounds than these are nothing to propose."""


def value(baseline_ns: npt.ArrayLike, candidate_ns: npt.ArrayLike) -> float:
    """Return y of one round: the median over pairs of log(t_candidate / t_baseline) (measurement protocol 4.2).

    Both are the times of the same pairs, in any one unit. No outlier is removed; the median bounds their effect.
    Raises ValueError for series of different or no length, and for times that are not positive and finite.
    """
    import numpy as np

    baseline, candidate = np.asarray(baseline_ns, dtype=np.float64), np.asarray(candidate_ns, dtype=np.float64)
    if baseline.shape != candidate.shape or baseline.ndim != 1 or not baseline.size:
        raise ValueError(f"expected times of the same pairs, found shapes {baseline.shape} and {candidate.shape}")
    both = np.stack([baseline, candidate])
    if not (np.isfinite(both).all() and (both > 0).all()):
        raise ValueError(f"expected positive, finite times, found {both.min()} to {both.max()}")
    return float(np.median(np.log(candidate) - np.log(baseline)))


def decide(
    values: Sequence[float],
    required: float,
    constant: float = 0.0,
    looks: Sequence[int] = LOOKS,
    cautious: bool = False,
    gates: int = 1,
) -> Decision:
    """Judge rounds at the looks they reach; the first verdict stands, and rounds after it are not looked at.

    `values` are y of each round in the order taken, `constant` the logarithm of declared multipliers. Without a verdict
    the estimate is that of the last look reached, or of all rounds where none was. Of several `gates` that must all
    hold, one fails at the level of `level_to_fail` only. Raises ValueError for no rounds, for NaN or infinity, and for
    a look at fewer than two rounds.
    """
    check(required, constant, *values)
    taken = [look for look in sorted(looks) if not cautious or look >= CAUTIOUS]
    if not values or (taken and taken[0] < 2):
        raise ValueError(f"expected rounds, and looks at two or more of them, found {len(values)} and {tuple(looks)}")
    reached = [look for look in taken if look <= len(values)]
    for look in reached:
        found = _look(values[:look], required, constant, gates)
        if found.status != UNDECIDED:
            return found
    seen = values[: reached[-1]] if reached else values
    left = [look for look in taken if look > len(values)]
    return _undecided(seen, required, constant, len(values), left, CAUTIOUS if cautious else min(LOOKS), gates)


def _look(values: Sequence[float], required: float, constant: float, gates: int) -> Decision:
    count = len(values)
    estimate = constant - student.mean(values)
    half = _half_width(values, LEVEL)
    return Decision(
        status(estimate, half, _half_width(values, level_to_fail(LEVEL, gates)), required),
        *(estimate, estimate - half, estimate + half, LEVEL, required, PAIRS),
        *((count, count), (1, 1), None),
    )


def _half_width(values: Sequence[float], level: float) -> float:
    if (count := len(values)) < 2:
        return math.inf
    return student.quantile(level, count - 1) * student.deviation(values) / math.sqrt(count)


def _undecided(
    seen: Sequence[float], required: float, constant: float, given: int, left: Sequence[int], fewest: int, gates: int
) -> Decision:
    found = _look(seen, required, constant, gates)
    beyond = found.estimate - math.log(required)
    wanted = _wanted(beyond, seen, max(given + 1, fewest), LEVEL if beyond > 0 else level_to_fail(LEVEL, gates))
    if wanted is not None:
        # A verdict is given at looks only; beyond the last one the number says how far off the host is.
        wanted = next((look for look in left if look >= wanted), wanted)
    return Decision(
        UNDECIDED,
        *(found.estimate, found.lower, found.upper, LEVEL, required, PAIRS, found.rounds, found.campaigns),
        None if wanted is None else wanted - given,
    )


def _wanted(beyond: float, seen: Sequence[float], fewest: int, level: float) -> int | None:
    """Return the rounds k >= (t s / |S|)^2 at which this estimate and scatter would decide (protocol 4.2, 5)."""
    if len(seen) < 2:
        return fewest
    scatter = student.deviation(seen)
    if abs(beyond) <= ROUNDING:
        return None
    # t falls with k, so a start from the normal quantile never passes the answer.
    least = math.ceil(min((student.quantile(level) * scatter / beyond) ** 2, REACH + 1))
    for count in range(max(fewest, least), REACH + 1):
        if student.quantile(level, count - 1) * scatter / math.sqrt(count) < abs(beyond):
            return count
    return None
