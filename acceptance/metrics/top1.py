"""Top-1 accuracy of a classifier in percentage points, so that a model's gate may be absolute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acceptance.metric import Result

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class _Answer:
    label: int
    right: bool


class Top1:
    """Percentage of images whose largest logit is the right class: outputs C logits, targets one class number each."""

    unit = "points"
    classes: Sequence[str] = ()

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}

    def update(self, outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Add images; on ties the first class is the answer.

        Raises ValueError naming the image whose output is not C numbers, whose target is no class, or that is there
        twice.
        """
        for output, target, name in zip(outputs, targets, names, strict=True):
            if name in self._answers:
                raise ValueError(f"{name}: already judged; every image counts once, so give each a name of its own")
            label = _label(target, output, name)
            self._answers[name] = _Answer(label, int(np.argmax(output)) == label)

    def merge(self, other: Self) -> None:
        """Add the images of another part; raise ValueError when an image is in both."""
        if twice := self._answers.keys() & other._answers.keys():
            raise ValueError(f"{min(twice)}: is in both parts ({len(twice)} such images); every image counts once")
        self._answers.update(other._answers)

    def result(self) -> Result:
        """Return the percentage of right answers and each labelled class's recall; raise ValueError without images."""
        if not self._answers:
            raise ValueError("top-1: expected at least one image; found none; check which part of the data set was run")
        by_class: dict[int, list[bool]] = {}
        for answer in self._answers.values():
            by_class.setdefault(answer.label, []).append(answer.right)
        names = dict(enumerate(self.classes))
        recall = {names.get(label, str(label)): _percentage(right) for label, right in sorted(by_class.items())}
        per_image = {name: _percentage([answer.right]) for name, answer in self._answers.items()}
        return Result(_percentage([answer.right for answer in self._answers.values()]), self.unit, per_image, recall)


METRIC = Top1


def _label(target: np.ndarray, output: np.ndarray, name: str) -> int:
    target = np.asarray(target)
    if output.ndim != 1 or not output.size or np.isnan(output).any():
        found = f"shape {output.shape}" if output.ndim != 1 or not output.size else "NaN"
        raise ValueError(
            f"{name}: expected one logit per class, all numbers; found {found}; check the engine's outputs"
        )
    if target.size != 1 or not np.issubdtype(target.dtype, np.integer) or not 0 <= int(target.item()) < output.size:
        found = f"{target.dtype} {target.tolist()!r}"
        raise ValueError(
            f"{name}: expected one class number from 0 to {output.size - 1}; found {found}; check the labels"
        )
    return int(target.item())


def _percentage(right: Sequence[bool]) -> float:
    return 100 * sum(right) / len(right)
