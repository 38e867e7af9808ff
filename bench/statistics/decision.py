"""What the intervals say of two throughputs: passed, failed, or not to be told yet."""

from __future__ import annotations

import math
from dataclasses import dataclass

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"
PAIRS, CAMPAIGNS = "interleaved pairs", "two campaigns"

ROUNDING = 1e-12
"""Logarithms of equal ratios that were summed in another order differ by a few 1e-16: that is no difference."""


@dataclass(frozen=True)
class Decision:
    """An estimate of log(throughput of the candidate / throughput of the baseline), its interval, and the verdict.

    Natural logarithms, declared constants (devices per card, batch) included, `required` not subtracted.
    """

    status: str
    """`passed`, `failed` or `undecided`."""
    estimate: float
    lower: float
    """Minus infinity, as `upper` is infinity, where one round tells nothing of its scatter."""
    upper: float
    level: float
    """Of the two-sided interval: 0.99, 0.95, or that of repeated campaigns."""
    required: float
    """The ratio that must be exceeded."""
    method: str
    """`interleaved pairs` or `two campaigns`."""
    rounds: tuple[int, int]
    """That it rests on, of the candidate and of the baseline."""
    campaigns: tuple[int, int]
    more: int | None
    """Rounds, or campaigns per side, that would decide if the estimate and its scatter stay; None: not within reach, or
    nothing is left to decide."""

    @property
    def ratio(self) -> float:
        """Return candidate over baseline."""
        return math.exp(self.estimate)

    @property
    def low(self) -> float:
        """Return the lower end of the interval as a ratio."""
        return math.exp(self.lower)

    @property
    def high(self) -> float:
        """Return the upper end of the interval as a ratio, which may be infinity."""
        return math.exp(self.upper)


def status(estimate: float, half_width: float, to_fail: float, required: float) -> str:
    """Judge log(ratio) against the required ratio: +- half_width to pass, +- to_fail to fail (protocol 4.1)."""
    beyond = estimate - math.log(required)
    if beyond - half_width > ROUNDING:
        return PASSED
    return FAILED if beyond + to_fail < -ROUNDING else UNDECIDED


def level_to_fail(level: float, gates: int) -> float:
    """Return the level at which one of so many gates that must all hold fails: 1 - (1 - level) / gates.

    Each of them could fail by chance; to pass all of them need no more than their own level (measurement protocol 4.1).
    Raises ValueError for no gates.
    """
    if gates < 1:
        raise ValueError(f"expected one or more gates, found {gates}")
    return 1 - (1 - level) / gates


def check(required: float, *numbers: float) -> None:
    """Raise ValueError unless the ratio is positive and every number finite."""
    if not (math.isfinite(required) and required > 0):
        raise ValueError(f"expected a required ratio above 0, found {required}")
    if wrong := [number for number in numbers if not math.isfinite(number)]:
        raise ValueError(f"expected finite logarithms, found {wrong[0]}")
