"""What a timed round is fed: real preprocessed inputs, enough different ones that nothing can keep one result."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from fixtures.feed import Feed
from fixtures.spread import spread

if TYPE_CHECKING:
    import numpy as np

DIFFERENT = 8
"""Different images at least, where the feed has them (measurement protocol)."""


def batches(feed: Feed, batch: int) -> list[tuple[np.ndarray, ...]]:
    """Return full batches, one array per model input, that go through 8 images in turn and hold each at least once.

    No two of them are equal, so that a large batch is not the same buffer again and again either.
    """
    import numpy as np

    samples = [feed.load(name) for name in spread(feed.names, DIFFERENT)]
    starts = range(0, len(samples), batch) if batch < len(samples) else range(min(2, len(samples)))
    return [
        tuple(
            np.stack(arrays)
            for arrays in zip(*(sample.inputs for sample in islice(cycle(samples), start, start + batch)), strict=True)
        )
        for start in starts
    ]
