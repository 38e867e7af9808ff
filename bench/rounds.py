"""Takes rounds: prepares what a fresh process needs, keeps device and host to itself, and reads the answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import children
from bench.children import RoundError
from bench.inputs import DIFFERENT, batches
from fixtures import backend as backends
from fixtures import catalogue, devices, durations, host, locks
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.device import CPU, Device
from fixtures.engines import Engine
from fixtures.feed import Feed
from fixtures.runtime import Runtime
from fixtures.workshop import Workshop
from reports.round import Round

if TYPE_CHECKING:
    import numpy as np

SCRATCH = "signoff-round-"
LOOK_SECONDS = 1.2
"""Between two looks at a device: drivers report use as an average over up to a second, ours among it."""
SECONDS = 2.0
CALLS = 5
WARMUP_SECONDS = 0.5
WARMUP_CALLS = 3
TOLERANCE = 1e-3
"""Largest difference between the outputs of timed calls and of the accuracy path, relative to the largest output: the
same engine in two processes may sum in another order, but computes the same."""
KEPT = (
    "cpu_ns",
    "wall_ns",
    "checked_calls",
    "largest_relative_error",
    "process",
    "device_ms",
    "begun_ns",
    "timed_section",
    "tool",
)
"""What of an answer stands in the details of its round, where it is told."""


@dataclass
class Rounds:
    """Takes timed rounds of cases."""

    workshop: Workshop

    def take(self, case: Case, seed: int) -> Round:
        """Time one round in a fresh process on one device, which nobody else uses before or after.

        Raises SetupError where the engine cannot be made or the device is in use, RoundError where the process fails
        or its outputs differ.
        """
        backend, runtime = self._alone(case)
        return self._take(case, backend, [devices.choose(runtime, backend)], seed)[0]

    def take_card(self, case: Case, seed: int) -> tuple[Round, ...]:
        """Time one round on every device of a card at once, a process each, let go together; raise as `take` does."""
        backend, runtime = self._alone(case)
        return self._take(case, backend, devices.card(runtime, backend), seed)

    def _alone(self, case: Case) -> tuple[Backend, Runtime]:
        """Unload what we have loaded: it must not be taken for somebody else's."""
        backend = backends.find(case.backend)
        if self.workshop.pool.device not in (None, CPU):
            self.workshop.pool.close()
            time.sleep(LOOK_SECONDS)
        return backend, catalogue.find("runtime", backend.runtime)

    def _take(self, case: Case, backend: Backend, used: Sequence[Device], seed: int) -> tuple[Round, ...]:
        self._refuse(backend, used)
        feed = self.workshop.feed(case)
        engine = self.workshop.sources.engine(case)
        _sweep()
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
            request = self._prepare(case, engine, feed, seed, Path(scratch))
            # Ours must be unloaded: a device in use is not measured, and its lock is taken by the round.
            self.workshop.pool.close()
            requests = [_on(device, request, number, Path(scratch)) for number, device in enumerate(used)]
            with locks.hold(
                [*(devices.lock(device, backend) for device in used), locks.HOST], self.workshop.progress.say
            ):
                answers = children.run(case, requests, Path(scratch))
        if len(used) == 1:
            answers[0].pop("begun_ns", None)  # tells only how several lie beside each other
        after = self._look(backend, used)
        taken = tuple(
            self._round(case, engine, feed, seed, answer, device, then)
            for answer, device, then in zip(answers, used, after, strict=True)
        )
        durations.note("round", case, max(answer["wall_ns"] for answer in answers) / 1e9)
        return taken

    def _refuse(self, backend: Backend, used: Sequence[Device]) -> None:
        """Refuse a device that is not healthy and ours alone in two looks: its figure would be somebody else's too."""
        for device in (*used, *self._look(backend, used)):
            if trouble := device.unhealthy or device.busy:
                raise RoundError(
                    f"{backend.name}: expected device {device.index} ({device.id}) healthy and idle; found {trouble}; "
                    "wait until it is free, or choose another with --device"
                )

    def _look(self, backend: Backend, used: Sequence[Device]) -> list[Device]:
        """Return the devices as they are a moment later."""
        if CPU in used:
            return list(used)
        time.sleep(LOOK_SECONDS)
        now = {device.id: device for device in catalogue.find("runtime", backend.runtime).devices(backend)}
        return [now.get(device.id, device) for device in used]

    def _round(
        self, case: Case, engine: Engine, feed: Feed, seed: int, answer: dict[str, Any], device: Device, after: Device
    ) -> Round:
        if not (error := answer["largest_relative_error"]) <= TOLERANCE:
            raise RoundError(
                f"{case.id}: expected the timed calls to compute what the accuracy path computes; found outputs that "
                f"differ by {error:.2g} of the largest value, allowed {TOLERANCE:g}; nothing was measured; "
                f"judge the engine first: pytest -m accuracy --model {case.model} --backend {case.backend}"
            )
        different = min(DIFFERENT, len(feed.names), answer.get("different_inputs", DIFFERENT))
        flags = {
            "few_inputs": different < DIFFERENT,
            "device_used_by_others": bool(after.unhealthy or after.busy),
            "exclusivity_unknown": bool(device.unknown or after.unknown),
        }
        return Round(
            case,
            engine.sha256,
            tuple(answer["samples_ns"]),
            tuple(answer["warmup_ns"]),
            case.batch,
            device.id,
            seed,
            answer["started"],
            flags=(*(name for name, holds in flags.items() if holds), *answer.get("flags", ())),
            details={
                **{name: answer[name] for name in KEPT if answer.get(name) not in (None, [], {})},
                "threads": host.threads(),
                "data": feed.digest,
                "inputs": feed.described,
                "different_inputs": different,
                **({} if device.id == "cpu" else {"before": device.as_dict(), "after": after.as_dict()}),
            },
        )

    def _prepare(self, case: Case, engine: Engine, feed: Feed, seed: int, scratch: Path) -> dict[str, Any]:
        """Write inputs and what the accuracy path makes of them; return the request."""
        session = self.workshop.pool.session(case, backends.find(case.backend), engine)
        inputs = batches(feed, case.batch)[: getattr(session, "most_batches", None)]
        expected = [session.run(batch) for batch in inputs]
        _write(scratch / "inputs.npz", inputs)
        _write(scratch / "expected.npz", expected)
        return {
            "catalogues": [str(folder) for folder in self.workshop.selection.catalogues],
            "case": case.as_dict(),
            "engine": {"path": str(engine.path), "sha256": engine.sha256},
            "inputs": str(scratch / "inputs.npz"),
            "expected": str(scratch / "expected.npz"),
            "seed": seed,
            "calls": CALLS,
            "seconds": SECONDS,
            "warmup_calls": WARMUP_CALLS,
            "warmup_seconds": WARMUP_SECONDS,
        }


def _on(device: Device, request: dict[str, Any], number: int, scratch: Path) -> dict[str, Any]:
    """Return the request for one of several devices."""
    where = {"id": device.id, "index": device.index, "name": device.name, "card": device.card}
    places = {"answer": str(scratch / f"answer-{number}.json"), "ready": str(scratch / f"ready-{number}")}
    return {**request, **places, "device": where}


def _sweep() -> None:
    """Remove the inputs and outputs, often gigabytes, of runs that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        owner = left.name.removeprefix(SCRATCH).partition("-")[0]
        # Others write to this folder too: a link, or what another run removes meanwhile, is none of ours.
        with contextlib.suppress(OSError):
            ours = left.lstat().st_uid == os.getuid() and not left.is_symlink()
            if ours and owner.isdecimal() and not locks.alive(int(owner)):
                shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, arrays: list[tuple[np.ndarray, ...]]) -> None:
    import numpy as np

    named = {f"{batch}_{tensor}": array for batch, part in enumerate(arrays) for tensor, array in enumerate(part)}
    np.savez(path, allow_pickle=False, **named)
