"""Batches on disk, a file per tensor: a whole data set is gigabytes, and is never held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np


def write(folder: Path, batches: Iterable[tuple[np.ndarray, ...]], at: Iterable[int] | None = None) -> Stored:
    """Write batches one after the other, numbered from 0 or as `at` says; return them as they are read again.

    Raises OSError where the disk is full.
    """
    import numpy as np

    folder.mkdir(exist_ok=True)
    for number, arrays in enumerate(batches) if at is None else zip(at, batches, strict=True):
        for tensor, array in enumerate(arrays):
            np.save(folder / f"{number}_{tensor}.npy", array, allow_pickle=False)
    return Stored(folder)


class Stored(Sequence[tuple["np.ndarray", ...]]):
    """The batches of a folder, read anew each time one is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tensors: dict[int, int] = {}
        for file in folder.glob("*_*.npy"):
            number = int(file.name.partition("_")[0])
            self._tensors[number] = self._tensors.get(number, 0) + 1

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of the batches, in order."""
        return sorted(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @overload
    def __getitem__(self, number: int) -> tuple[np.ndarray, ...]: ...
    @overload
    def __getitem__(self, number: slice) -> list[tuple[np.ndarray, ...]]: ...
    def __getitem__(self, number: int | slice) -> tuple[np.ndarray, ...] | list[tuple[np.ndarray, ...]]:
        import numpy as np

        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if number not in self._tensors:
            raise IndexError(number)
        files = (self._folder / f"{number}_{tensor}.npy" for tensor in range(self._tensors[number]))
        return tuple(np.load(file, allow_pickle=False) for file in files)
