"""Student's t: how wide an interval must be when the scatter itself is estimated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=4096)
def quantile(level: float, degrees: float = math.inf) -> float:
    """Return t such that +-t holds the share `level` of the distribution; the normal one for infinite degrees."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + level / 2
    return float(ndtri(upper) if math.isinf(degrees) else stdtrit(degrees, upper))


def mean(values: Sequence[float]) -> float:
    """Return the mean, summed exactly: equal values have their own value as mean."""
    return math.fsum(values) / len(values)


def squares(values: Sequence[float]) -> float:
    """Return the sum of squared differences from the mean."""
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values)


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample of two or more."""
    return math.sqrt(squares(values) / (len(values) - 1))
