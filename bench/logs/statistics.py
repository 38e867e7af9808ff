"""The five figures that every tool prints of its times, and how they contradict each other."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Percentile = Callable[[Sequence[float], float], float]

SLACK = 1e-5
"""trtexec prints six digits: two figures that are equal may differ by this fraction once they are printed."""


@dataclass(frozen=True)
class Statistics:
    """Milliseconds; None for what was not printed, or not whole."""

    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    median: float | None = None
    percentiles: Mapping[float, float] = field(default_factory=dict)
    """By percent: {99.0: 15.5}."""

    @property
    def p99(self) -> float | None:
        """Return the 99th percentile, which a tool prints unless it was asked for others."""
        return self.percentiles.get(99.0)

    def as_dict(self) -> dict[str, float | None]:
        """Return min, max, mean, median and p99."""
        named = {"min": self.minimum, "max": self.maximum, "mean": self.mean, "median": self.median}
        return {**named, "p99": self.p99}

    def contradictions(self) -> tuple[str, ...]:
        """Return in words of a flag what cannot be: such a block was edited, mistyped, or put together from two."""
        ordered = sorted(self.percentiles.items())
        pairs: list[tuple[str, float | None, float | None]] = [
            ("min_above_max", self.minimum, self.maximum),
            ("mean_below_min", self.minimum, self.mean),
            ("mean_above_max", self.mean, self.maximum),
            ("median_below_min", self.minimum, self.median),
            ("median_above_max", self.median, self.maximum),
            *((f"median_above_p{percent:g}", self.median, value) for percent, value in ordered if percent >= 50),
            *((f"p{percent:g}_below_min", self.minimum, value) for percent, value in ordered),
            *((f"p{percent:g}_above_max", value, self.maximum) for percent, value in ordered),
            *((f"p{low[0]:g}_above_p{high[0]:g}", low[1], high[1]) for low, high in itertools.pairwise(ordered)),
        ]
        return tuple(name for name, low, high in pairs if _above(low, high))


def of(samples: Sequence[float], percentile: Percentile) -> Statistics:
    """Return the statistics of at least one sample; p99 as the tool defines it."""
    ordered = sorted(samples)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    mean = math.fsum(ordered) / len(ordered)
    return Statistics(ordered[0], ordered[-1], mean, median, {99.0: percentile(ordered, 99.0)})


def linear(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile by linear interpolation, as numpy does, which ais_bench asks.

    >>> linear([1.0, 2.0], 99.0)
    1.99
    """
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def element(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile as trtexec does: an element of the sorted samples, whose place it works out in float32.

    Of 100 samples the 99th percentile is therefore the slowest: `(1 - 0.99F) * 100` is below 1, and cut to 0
    (findPercentile of sampleReporting.cpp, 7.0 to 11.1).

    >>> element([1.0, 2.0], 99.0)
    2.0
    """
    part = _single(1 - _single(_single(percent) / 100))
    excluded = int(_single(part * _single(len(ordered))))
    return ordered[max(len(ordered) - 1 - excluded, 0)]


def _single(value: float) -> float:
    """Round to float32. One operation in float64 on two such numbers, rounded so, is that operation in float32."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high * (1 + SLACK)
