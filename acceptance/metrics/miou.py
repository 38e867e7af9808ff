"""Mean intersection over union of a segmentation as ENet's scripts define it, from one exact confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acceptance.metric import Result

if TYPE_CHECKING:
    from typing_extensions import Self

IGNORE = -1
BLOCK = 32768  # pixels at a time: the running maximum and its index stay in the cache


def confusion(logits: np.ndarray, target: np.ndarray, classes: int = 19) -> np.ndarray:
    """Count pixels by class: N x C x H x W float32 logits and N x H x W int to int64 C x C, rows truth.

    The prediction is the first class of the largest logit, where NaN counts as the largest. Pixels of target -1 are
    left out. Raises ValueError for other shapes, and for a target that is neither -1 nor a class, such as 255.
    """
    if logits.ndim != 4 or logits.shape[1] != classes or target.shape != (logits.shape[0], *logits.shape[2:]):
        found = f"logits {logits.shape} and target {target.shape}"
        raise ValueError(
            f"expected N x {classes} x H x W and N x H x W; found {found}; check the model's post-processing"
        )
    _check_target(target, classes)
    counts = np.zeros((classes + 1) * classes, np.int64)  # a row for ignored pixels first
    rows = max(1, BLOCK // max(1, target.shape[2]))
    for planes, labels in zip(logits, target, strict=True):
        for top in range(0, len(labels), rows):
            cells = labels[top : top + rows].astype(np.int64)
            cells -= IGNORE
            cells *= classes
            cells += _argmax(planes[:, top : top + rows])
            counts += np.bincount(cells.ravel(), minlength=counts.size)
    return counts.reshape(classes + 1, classes)[1:]


def iou(confusion: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every class, 0..1; 0 for a class that is neither labelled nor predicted."""
    intersection = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return intersection / np.maximum(union, 1)


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean IoU, 0..1, over all classes, absent ones counting 0, as ENet's scripts do."""
    return float(iou(confusion).mean())


class MIoU:
    """Mean IoU over a whole data set: outputs C x H x W logits, targets H x W int; C is that of the first image."""

    unit = "%"
    classes: Sequence[str] = ()

    def __init__(self) -> None:
        self._confusion = np.zeros((0, 0), np.int64)
        self._per_image: dict[str, float | None] = {}

    def update(self, outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Add images; raise ValueError naming the image that cannot be judged or is there twice."""
        for output, target, name in zip(outputs, targets, names, strict=True):
            if name in self._per_image:
                raise ValueError(f"{name}: already judged; every image counts once, so give each a name of its own")
            try:
                counts = confusion(output[None], target[None], classes=len(self._confusion) or len(output))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            self._add(counts)
            self._per_image[name] = _own_mean(counts)

    def merge(self, other: Self) -> None:
        """Add the images of another part; raise ValueError when an image is in both or the classes differ."""
        if twice := self._per_image.keys() & other._per_image.keys():
            raise ValueError(f"{min(twice)}: is in both parts ({len(twice)} such images); every image counts once")
        if self._per_image and other._per_image and len(self._confusion) != len(other._confusion):
            found = f"{len(self._confusion)} and {len(other._confusion)}"
            raise ValueError(f"expected parts with the same classes; found {found}; run both with the same model")
        if other._per_image:
            self._add(other._confusion)
            self._per_image.update(other._per_image)

    def result(self) -> Result:
        """Return the mean IoU of the data set in percent, with each class's and, to rank them, each image's own.

        An image's own figure is the mean over the classes that its label holds.
        Raises ValueError when no pixel was labelled.
        """
        if not self._confusion.any():
            found = f"none in {len(self._per_image)} images"
            raise ValueError(f"mIoU: expected labelled pixels; found {found}; check which part of the data set was run")
        numbers = [str(number) for number in range(len(self._confusion))]
        names = self.classes if len(self.classes) == len(numbers) else numbers
        per_class = {name: 100 * float(value) for name, value in zip(names, iou(self._confusion), strict=True)}
        per_image = {name: value for name, value in self._per_image.items() if value is not None}
        return Result(100 * mean_iou(self._confusion), self.unit, per_image, per_class, self._notes(per_class))

    def _add(self, counts: np.ndarray) -> None:
        self._confusion = self._confusion + counts if self._confusion.size else counts

    def _notes(self, per_class: Mapping[str, float]) -> tuple[str, ...]:
        notes = []
        labelled = self._confusion.sum(axis=1)
        if absent := [name for name, pixels in zip(per_class, labelled, strict=True) if not pixels]:
            verb = "is" if len(absent) == 1 else "are"
            counts = "counts" if len(absent) == 1 else "count"
            notes.append(f"{len(absent)} of {len(per_class)} classes {verb} absent and {counts} 0: {', '.join(absent)}")
        if empty := sorted(name for name, value in self._per_image.items() if value is None):
            listed = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
            notes.append(
                f"{len(empty)} of {len(self._per_image)} images have no labelled pixel and add nothing: {listed}"
            )
        return tuple(notes)


METRIC = MIoU


def _check_target(target: np.ndarray, classes: int) -> None:
    if not np.issubdtype(target.dtype, np.integer):
        raise ValueError(f"expected class numbers of an integer type; found {target.dtype}")
    if not target.size:
        return
    for value in (int(target.min()), int(target.max())):
        if not IGNORE <= value < classes:
            raise ValueError(
                f"expected targets from 0 to {classes - 1}, or {IGNORE} to ignore; found {value}; check the label map"
            )


def _argmax(planes: np.ndarray) -> np.ndarray:
    """First index of the largest of C x h x w, NaN being the largest: `planes.argmax(0)`, but several times faster."""
    index = np.zeros(planes.shape[1:], np.min_scalar_type(len(planes)))
    largest = planes[0].copy()
    above = np.empty(index.shape, bool)
    above_as_number = np.empty_like(index)
    for number, plane in enumerate(planes[1:], start=1):
        np.greater(plane, largest, out=above)
        np.maximum(largest, plane, out=largest)
        # numbers rise, so the last plane that lay above all before it is the maximum of the marked numbers
        np.multiply(above.view(np.uint8), index.dtype.type(number), out=above_as_number)
        np.maximum(index, above_as_number, out=index)
    if np.isnan(largest).any():  # kept by np.maximum; rare, so only these blocks pay
        return planes.argmax(axis=0)
    return index


def _own_mean(counts: np.ndarray) -> float | None:
    """Mean IoU in percent over the classes in an image's label; None where nothing is labelled."""
    labelled = counts.sum(axis=1) > 0
    return 100 * float(iou(counts)[labelled].mean()) if labelled.any() else None
