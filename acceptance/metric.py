"""What a metric is: mergeable state that ends in one figure with its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fixtures import catalogue

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Self

    from fixtures.model import Model


@dataclass(frozen=True)
class Result:
    """A figure and what it was made from. Higher is better."""

    value: float
    unit: str
    per_image: Mapping[str, float]
    per_class: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What a reader must know to trust the figure, one sentence each."""


class Metric(Protocol):
    """State of one metric over any part of a data set. `METRIC` in a registry file is the class; it starts empty."""

    unit: str
    classes: Sequence[str]
    """Names of the classes by number, where the data set has them; `begin` sets it."""

    def update(self, outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Add images: one post-processed output and one target each."""
        ...

    def merge(self, other: Self) -> None:
        """Add what another part of the data set came to; the same as if this state had seen its images."""
        ...

    def result(self) -> Result:
        """Return the figure; raise ValueError when there is nothing to judge."""
        ...


def begin(model: Model) -> Metric:
    """Return the empty state of the model's metric, told what the data set calls its classes."""
    metric: Metric = catalogue.find("metric", model.metric)()
    metric.classes = getattr(catalogue.find("data set", model.dataset), "classes", ())
    return metric
