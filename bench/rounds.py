"""Starts rounds: prepares what a fresh process needs, keeps device and host to itself, and reads the answer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.inputs import DIFFERENT, batches
from fixtures import catalogue, home, host, locks
from fixtures.case import Case
from fixtures.engines import Engine
from fixtures.errors import SetupError
from fixtures.feed import Feed
from fixtures.workshop import Workshop
from reports.round import Round

if TYPE_CHECKING:
    import numpy as np

SCRATCH = "signoff-round-"
CHECKOUT = Path(__file__).resolve().parent.parent
SECONDS = 2.0
CALLS = 5
WARMUP_SECONDS = 0.5
WARMUP_CALLS = 3
PATIENCE_SECONDS = 1800.0
TOLERANCE = 1e-3
"""Largest difference between the outputs of timed calls and of the accuracy path, relative to the largest output: the
same engine in two processes may sum in another order, but computes the same."""


class RoundError(SetupError):
    """A round that crashed, hung, or computed something else than the accuracy path."""


@dataclass
class Rounds:
    """Takes timed rounds of cases."""

    workshop: Workshop

    def take(self, case: Case, seed: int) -> Round:
        """Time one round in a fresh process.

        Raises SetupError where the engine cannot be made, RoundError where the process fails or its outputs differ.
        """
        feed = self.workshop.feed(case)
        engine = self.workshop.sources.engine(case)
        backend = catalogue.find("backend", case.backend)
        _sweep()
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
            request = self._prepare(case, engine, feed, seed, Path(scratch))
            # Ours must be unloaded: a device in use is not measured, and its lock is taken by the round.
            self.workshop.pool.close()
            with locks.hold([backend.device, locks.HOST], self.workshop.progress.say):
                answer = _run(case, request, Path(scratch))
        if not (error := answer["largest_relative_error"]) <= TOLERANCE:
            raise RoundError(
                f"{case.id}: expected the timed calls to compute what the accuracy path computes; found outputs that "
                f"differ by {error:.2g} of the largest value, allowed {TOLERANCE:g}; nothing was measured; "
                f"judge the engine first: pytest -m accuracy --model {case.model} --backend {case.backend}"
            )
        different = min(DIFFERENT, len(feed.names))
        kept = ("cpu_ns", "wall_ns", "checked_calls", "largest_relative_error", "process")
        return Round(
            case,
            engine.sha256,
            tuple(answer["samples_ns"]),
            tuple(answer["warmup_ns"]),
            case.batch,
            backend.device,
            seed,
            answer["started"],
            flags=("few_inputs",) if different < DIFFERENT else (),
            details={
                **{name: answer[name] for name in kept},
                "threads": host.threads(),
                "data": feed.digest,
                "inputs": feed.described,
                "different_inputs": different,
            },
        )

    def _prepare(self, case: Case, engine: Engine, feed: Feed, seed: int, scratch: Path) -> dict[str, Any]:
        """Write inputs and what the accuracy path makes of them; return the request."""
        inputs = batches(feed, case.batch)
        session = self.workshop.pool.session(case, catalogue.find("backend", case.backend), engine)
        expected = [session.run(batch) for batch in inputs]
        _write(scratch / "inputs.npz", inputs)
        _write(scratch / "expected.npz", expected)
        return {
            "catalogues": [str(folder) for folder in self.workshop.selection.catalogues],
            "case": case.as_dict(),
            "engine": {"path": str(engine.path), "sha256": engine.sha256},
            "inputs": str(scratch / "inputs.npz"),
            "expected": str(scratch / "expected.npz"),
            "answer": str(scratch / "answer.json"),
            "seed": seed,
            "calls": CALLS,
            "seconds": SECONDS,
            "warmup_calls": WARMUP_CALLS,
            "warmup_seconds": WARMUP_SECONDS,
        }


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


def _run(case: Case, request: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Start the process, wait for it, and end it with everything it started if we are interrupted."""
    file, log = scratch / "request.json", scratch / "log.txt"
    file.write_text(json.dumps(request))
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "bench.round", str(file)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,  # closes with us: a round whose caller was killed ends itself
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            status = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise _failed(case, f"to end within {PATIENCE_SECONDS:.0f} s; it hung", log) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status != 0:
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise _failed(case, f"to finish; it {ended}", log)
    answer: dict[str, Any] = json.loads(Path(request["answer"]).read_text())
    return answer


def _keep(case: Case, log: Path) -> Path:
    """Put the log where it outlives the round; the next failure of the case takes its place."""
    kept = home.home() / "logs" / f"round-{case.profile}-{case.id}.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, kept)
    return kept


def _failed(case: Case, found: str, log: Path) -> RoundError:
    tail = log.read_text(errors="replace").strip().splitlines()[-8:]
    said = ["Its last lines:", *tail, f"all of them: {_keep(case, log)}"] if tail else ["It printed nothing"]
    next_step = (
        f"next: see whether the engine runs at all: pytest -m accuracy --model {case.model} --backend {case.backend}"
    )
    return RoundError("\n".join([f"{case.id}: expected the timed process {found}. {said[0]}", *said[1:], next_step]))
