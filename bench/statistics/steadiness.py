"""Whether a series of times is still warming up, was disturbed, or remembers: all on natural logarithms.

Of one side the series is log t per call, of a pair log(t_B/t_A). Below 30 samples nothing is said: thirds of fewer
than ten have no error to speak of, and a flag would be chance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ENOUGH = 30
DIFFERENCE = 0.02
"""Between thirds, in log time: less than the default margin is nobody's concern (measurement protocol 4.4)."""
ERRORS = 3.0
FAR_OUT = 3.0
"""Interquartile ranges beyond the quartiles."""
DISTURBED_SHARE = 0.10
CORRELATION = 0.3
REPLICATES = 100
"""Tell an error to 7 % of itself; the seed is fixed, so that a series has one answer."""


def not_steady(series: npt.ArrayLike) -> bool:
    """Tell whether the medians of three consecutive thirds differ by more than 2 % and 3 errors of that difference.

    The error is that of a circular block bootstrap within the thirds (measurement protocol 4.4). Raises ValueError for
    NaN or infinity, as all here.
    """
    import numpy as np

    values = _checked(series)
    if values.size < ENOUGH:
        return False
    thirds = np.array_split(values, 3)
    medians = [float(np.median(third)) for third in thirds]
    low, high = int(np.argmin(medians)), int(np.argmax(medians))
    difference = medians[high] - medians[low]
    if difference <= DIFFERENCE:
        return False
    block = _block(thirds)
    error = math.hypot(*(_error_of_median(thirds[each], block) for each in (low, high)))
    return difference > ERRORS * error


def disturbed(series: npt.ArrayLike) -> bool:
    """Tell whether more than 10 % lie beyond 3 interquartile ranges from the quartiles (measurement protocol 4.2).

    Nothing within 2 % of the quartiles counts: a clock of coarse ticks has a range of 0.
    """
    import numpy as np

    values = _checked(series)
    if values.size < ENOUGH:
        return False
    first, third = np.percentile(values, [25, 75])
    fence = max(FAR_OUT * (third - first), DIFFERENCE)
    return float(np.mean((values < first - fence) | (values > third + fence))) > DISTURBED_SHARE


def autocorrelated(series: npt.ArrayLike) -> bool:
    """Tell whether |r| of neighbours exceeds 0.3: pairing did not remove the disturbance (measurement protocol 4.2)."""
    values = _checked(series)
    return values.size >= ENOUGH and abs(lag_one([values])) > CORRELATION


def lag_one(parts: list[np.ndarray]) -> float:
    """Return the correlation of neighbours, each part around its own mean; 0 where nothing varies."""
    import numpy as np

    centred = [part - part.mean() for part in parts]
    total = sum(float(np.dot(part, part)) for part in centred)
    # Equal values differ from their mean by its rounding, and that has no meaning.
    if total <= 1e-24 * sum(part.size for part in centred):
        return 0.0
    return sum(float(np.dot(part[1:], part[:-1])) for part in centred) / total


def _checked(series: npt.ArrayLike) -> np.ndarray:
    import numpy as np

    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"expected one row of finite logarithms, found shape {values.shape} or NaN or infinity in it")
    return values


def _block(thirds: list[np.ndarray]) -> int:
    """Return how many calls to keep together: the optimal length for an AR(1) series, from r of neighbours.

    D. N. Politis and H. White, Econometric Reviews 23 (2004): b = (3/2 (2r/(1-r^2))^2 n)^(1/3) for circular blocks. At
    least four blocks remain in a third; what wanders more slowly than that is told from a drift by no method.
    """
    count = min(third.size for third in thirds)
    r = min(abs(lag_one(thirds)), 0.95)
    best = (1.5 * (2 * r / (1 - r * r)) ** 2 * count) ** (1 / 3)
    return max(1, min(math.ceil(best), count // 4))


def _error_of_median(values: np.ndarray, block: int) -> float:
    """Return the standard deviation of the median over replicates made of circular blocks."""
    import numpy as np

    blocks = math.ceil(values.size / block)
    starts = np.random.default_rng(0).integers(0, values.size, (REPLICATES, blocks, 1))
    chosen = (starts + np.arange(block)) % values.size
    replicates = values[chosen.reshape(REPLICATES, -1)[:, : values.size]]
    return float(np.median(replicates, axis=1, overwrite_input=True).std(ddof=1))
