"""How far an engine's outputs lie from the fp32 reference's, image by image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BLOCK = 1 << 18
"""Values compared at once: three float32 blocks of 1 MB stay in the processor's cache."""


@dataclass
class Agreement:
    """Mergeable state over images: largest and RMS error in the output's own unit, cosine, and what is not finite."""

    values: int = 0
    squared_error: float = 0.0
    largest_error: float = 0.0
    dot: float = 0.0
    squared_output: float = 0.0
    squared_reference: float = 0.0
    rms_by_image: dict[str, float] = field(default_factory=dict)
    not_finite: list[str] = field(default_factory=list)
    """Images with a NaN or an infinity in the engine's output, in the order they were seen."""

    def update(self, output: np.ndarray, reference: np.ndarray | None, name: str) -> bool:
        """Add one image; without a reference only finiteness is checked. Return whether the output is finite.

        Raises ValueError where the two have different shapes, or the reference itself is not finite.
        """
        import numpy as np

        if reference is not None and output.shape != reference.shape:
            raise ValueError(
                f"{name}: expected an output of shape {reference.shape}, as fp32 gives; found {output.shape}"
            )
        found = _Image(0.0, 0.0, 0.0, 0.0, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows float32 is computed again in float64
            for part in _blocks(output, reference):
                if not math.isfinite(squared := _dot(part[0], part[0])):
                    self.not_finite.append(name)
                    return False
                if len(part) == 2:
                    found.add(part[0], part[1], squared)
        if reference is not None:
            if not math.isfinite(found.squared_reference):
                raise ValueError(f"{name}: expected a finite fp32 reference; found NaN or infinity; check the weights")
            self._add(found, output.size, name)
        return True

    def _add(self, image: _Image, values: int, name: str) -> None:
        self.values += values
        self.squared_error += image.squared_error
        self.largest_error = max(self.largest_error, image.largest_error)
        self.dot += image.dot
        self.squared_output += image.squared_output
        self.squared_reference += image.squared_reference
        self.rms_by_image[name] = math.sqrt(image.squared_error / values)

    def merge(self, other: Agreement) -> None:
        """Add what another part of the data came to."""
        self.values += other.values
        self.squared_error += other.squared_error
        self.largest_error = max(self.largest_error, other.largest_error)
        self.dot += other.dot
        self.squared_output += other.squared_output
        self.squared_reference += other.squared_reference
        self.rms_by_image |= other.rms_by_image
        self.not_finite += other.not_finite

    @property
    def rms(self) -> float | None:
        """Return the root-mean-square error over all values, or None where nothing was compared."""
        return math.sqrt(self.squared_error / self.values) if self.values else None

    @property
    def cosine(self) -> float | None:
        """Return the cosine between all outputs and all reference outputs, or None where it is not defined."""
        norms = math.sqrt(self.squared_output) * math.sqrt(self.squared_reference)
        return max(-1.0, min(1.0, self.dot / norms)) if norms else None

    @property
    def worst_image(self) -> str | None:
        """Return the image with the largest RMS error, or None where nothing was compared."""
        return max(self.rms_by_image, key=lambda name: self.rms_by_image[name], default=None)


@dataclass
class _Image:
    squared_error: float
    largest_error: float
    dot: float
    squared_output: float
    squared_reference: float

    def add(self, have: np.ndarray, want: np.ndarray, squared: float) -> None:
        """Add one block; `squared` is the sum of the squares of what we have."""
        error = have - want
        largest = max(float(error.max()), -float(error.min()))
        if math.isinf(largest):  # two large values of opposite sign
            error = have.astype("f8") - want
            largest = max(float(error.max()), -float(error.min()))
        self.squared_error += _dot(error, error)
        self.largest_error = max(self.largest_error, largest)
        self.dot += _dot(have, want)
        self.squared_output += squared
        self.squared_reference += _dot(want, want)


def _dot(left: np.ndarray, right: np.ndarray) -> float:
    """Sum products of float32: BLAS keeps 1e-5 of them over a block, several times faster than float64.

    It is finite exactly if all values are: squares of large ones, which overflow float32, are summed again in float64.
    """
    import numpy as np

    total = float(np.dot(left, right))
    return total if math.isfinite(total) else float(np.dot(left.astype("f8"), right.astype("f8")))


def _blocks(*arrays: np.ndarray | None) -> Iterator[list[np.ndarray]]:
    import numpy as np

    flat = [np.ascontiguousarray(array, np.float32).reshape(-1) for array in arrays if array is not None]
    for start in range(0, flat[0].size, BLOCK):
        yield [array[start : start + BLOCK] for array in flat]
