"""What a timed round is fed: real preprocessed inputs, enough different ones that nothing can keep one result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import TYPE_CHECKING

from fixtures.dataset import Sample
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
    samples = [feed.load(name) for name in spread(feed.names, DIFFERENT)]
    starts = range(0, len(samples), batch) if batch < len(samples) else range(min(2, len(samples)))
    return [_stacked(islice(cycle(samples), start, start + batch)) for start in starts]


def whole(feed: Feed, batch: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield every image once, in order, in full batches: the last is filled with the first images again."""
    for start in range(0, len(feed.names), batch):
        yield _stacked(feed.load(feed.names[place % len(feed.names)]) for place in range(start, start + batch))


def _stacked(samples: Iterable[Sample]) -> tuple[np.ndarray, ...]:
    import numpy as np

    return tuple(np.stack(arrays) for arrays in zip(*(sample.inputs for sample in samples), strict=True))
