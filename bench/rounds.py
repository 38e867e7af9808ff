"""Takes rounds: prepares what a fresh process needs, keeps device and host to itself, and reads the answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import children
from bench.children import RoundError
from bench.inputs import DIFFERENT, batches
from bench.looks import Looks
from fixtures import backend as backends
from fixtures import catalogue, devices, durations, host, locks
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
    "conditions_begin",
    "conditions_end",
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
        return self._take(case, seed, whole_card=False)[0]

    def take_card(self, case: Case, seed: int) -> tuple[Round, ...]:
        """Time one round on every device of a card at once, a process each, let go together; raise as `take` does.

        Raises RoundError for a tool that does not tell when its calls began: nothing would show that they overlapped.
        """
        return self._take(case, seed, whole_card=True)

    def _take(self, case: Case, seed: int, whole_card: bool) -> tuple[Round, ...]:
        began = time.monotonic()
        backend = backends.find(case.backend)
        runtime: Runtime = catalogue.find("runtime", backend.runtime)
        feed = self.workshop.feed(case)
        engine = self.workshop.sources.engine(case)
        _sweep()
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
            request = self._prepare(case, engine, feed, seed, Path(scratch))
            # Ours must be unloaded: it would be taken for somebody else's, and the round takes the device's lock.
            self.workshop.pool.close()
            used = devices.card(runtime, backend) if whole_card else (devices.choose(runtime, backend),)
            requests = [_on(device, request, number, Path(scratch)) for number, device in enumerate(used)]
            names = [*(devices.lock(device, backend) for device in used), locks.HOST]
            with locks.hold(names, self.workshop.progress.say):
                before = Looks(runtime, backend, used)
                before.refuse()
                answers = children.run(case, requests, Path(scratch))
                after = Looks(runtime, backend, used)
        if whole_card and any("begun_ns" not in answer for answer in answers):
            raise RoundError(
                f"{case.id}: expected to see when each call began, so that the devices of a card can be seen to run "
                f"together; found that {backend.runtime} does not tell; leave --device=card out"
            )
        if len(used) == 1:
            answers[0].pop("begun_ns", None)  # tells only how several lie beside each other
        if self.workshop.selection.subset is None:
            durations.note("round", case, time.monotonic() - began)
        common = {"versions": runtime.versions(backend), **({} if CPU in used else after.beside(before))}
        return tuple(
            self._round(case, engine, feed, seed, answer, common, *looks)
            for answer, *looks in zip(answers, before.found, after.found, strict=True)
        )

    def _round(
        self,
        case: Case,
        engine: Engine,
        feed: Feed,
        seed: int,
        answer: dict[str, Any],
        common: dict[str, Any],
        device: Device,
        after: Device,
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
            "device_used_by_others": bool(after.busy),
            "device_unhealthy": bool(after.unhealthy),
            "slowed": any("slowed" in answer.get(name, {}) for name in ("conditions_begin", "conditions_end")),
            "siblings_in_use": bool(common.get("siblings")),
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
                **common,
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
