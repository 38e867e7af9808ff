"""What a fresh process needs before it can be timed: engine, inputs and expected outputs, as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import memory, timing
from bench.child.arrays import Stored, write
from bench.children import OutOfMemoryError, RoundError
from bench.inputs import batches, whole
from bench.mode import WHOLE
from fixtures import backend as backends
from fixtures import catalogue
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.device import Device
from fixtures.engines import Engine
from fixtures.feed import Feed
from fixtures.runtime import Runtime, Session
from fixtures.spread import spread
from fixtures.workshop import Workshop

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Arm:
    """A case to be timed; with another engine than its own, where one is named."""

    case: Case
    engine: Engine | None = None


@dataclass(frozen=True)
class Prepared:
    """An arm whose engine is there, with what it is fed."""

    case: Case
    engine: Engine
    feed: Feed

    @classmethod
    def of(cls, arm: Arm, workshop: Workshop) -> Prepared:
        """Build the engine if need be; raise SetupError where it or the data cannot be had."""
        return cls(arm.case, arm.engine or workshop.sources.engine(arm.case), workshop.feed(arm.case))

    @property
    def backend(self) -> Backend:
        """Return what runs it, and where."""
        return backends.find(self.case.backend)

    @property
    def runtime(self) -> Runtime:
        """Return how it is run."""
        found: Runtime = catalogue.find("runtime", self.backend.runtime)
        return found

    def written(self, workshop: Workshop, folder: Path, mode: str, every: bool) -> dict[str, Any]:
        """Write inputs, and what the accuracy path makes of those that are checked; return its part of a request.

        `every` batch is checked where it is not known beforehand which will be run.

        Raises RoundError for a tool that cannot go through a whole data set, OutOfMemoryError where memory is short
        already here.
        """
        folder.mkdir()
        session = self._session(workshop)
        most: int | None = getattr(session, "most_batches", None)
        if mode == WHOLE and most is not None and not self.runtime.alternates:
            raise RoundError(
                f"{self.case.id}: expected a tool that goes through the whole data set; found that "
                f"{self.backend.runtime} takes {most} of its batches; measure it in the mode pure inference"
            )
        fed = whole(self.feed, self.case.batch) if mode == WHOLE else iter(batches(self.feed, self.case.batch)[:most])
        inputs = write(folder / "inputs", fed)
        every |= mode != WHOLE and hasattr(session, "time")  # a tool decides that by itself
        checked = range(len(inputs)) if every else spread(range(len(inputs)), timing.CHECKED)
        write(folder / "expected", self._expected(session, inputs, checked), checked)
        return {
            "case": self.case.as_dict(),
            "engine": {"path": str(self.engine.path), "sha256": self.engine.sha256},
            "inputs": str(folder / "inputs"),
            "expected": str(folder / "expected"),
        }

    def _session(self, workshop: Workshop) -> Session:
        try:
            return workshop.pool.session(self.case, self.backend, self.engine)
        except Exception as error:
            self._raise_if_short(error)
            raise

    def _expected(self, session: Session, inputs: Stored, checked: Iterable[int]) -> Iterator[tuple[np.ndarray, ...]]:
        try:
            for number in checked:
                yield session.run(inputs[number])
        except Exception as error:
            self._raise_if_short(error)
            raise

    def _raise_if_short(self, error: Exception) -> None:
        if memory.short(f"{type(error).__name__}: {error}"):
            said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise OutOfMemoryError(
                f"{self.case.id}: expected memory for the accuracy path at this batch; found {said}; "
                "next: run a smaller batch, or free memory"
            ) from error


def on(device: Device) -> dict[str, Any]:
    """Return the device's part of a request."""
    return {"id": device.id, "index": device.index, "name": device.name, "card": device.card}
