"""Fresh processes that time: started together, let go together, and ended with everything they started."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.child import memory
from fixtures import home
from fixtures.case import Case
from fixtures.errors import SetupError

CHECKOUT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 1800.0
POLL_SECONDS = 0.05
GO = b"g"
STEPS = ("ready", "window")
"""Where all wait for each other: loaded and warm, and before the offline window."""


class RoundError(SetupError):
    """A round that crashed, hung, or computed something else than the accuracy path."""


class OutOfMemoryError(RoundError):
    """A round that needs more memory than there is: in a sweep over batches that is a result."""


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    request: dict[str, Any]
    log: Path
    killed: int
    """What the kernel had killed for want of memory when it started."""


def run(case: Case, requests: Sequence[dict[str, Any]], scratch: Path) -> list[dict[str, Any]]:
    """Run one process per request; all are loaded and warm before any is timed. Return their answers.

    Raises RoundError for one that crashes or hangs, OutOfMemoryError where that was for want of memory. An interrupt
    ends all of them with everything they started.
    """
    with contextlib.ExitStack() as started:
        children = [started.enter_context(_start(request, scratch, n)) for n, request in enumerate(requests)]
        patience = max(request.get("patience_seconds", PATIENCE_SECONDS) for request in requests)
        deadline = time.monotonic() + patience
        for step in STEPS:
            while not all(_reached(child, step) for child in children):
                _check(case, children, deadline, patience)
                time.sleep(POLL_SECONDS)
            for child in children:
                assert child.process.stdin
                with contextlib.suppress(BrokenPipeError):  # it ended meanwhile; what it left says why
                    os.write(child.process.stdin.fileno(), GO)
        while any(child.process.poll() is None for child in children):
            _check(case, children, deadline, patience)
            time.sleep(POLL_SECONDS)
        _check(case, children, deadline, patience)
        return [json.loads(Path(child.request["answer"]).read_text()) for child in children]


@contextlib.contextmanager
def _start(request: dict[str, Any], scratch: Path, number: int) -> Iterator[_Child]:
    file, log = scratch / f"request-{number}.json", scratch / f"log-{number}.txt"
    file.write_text(json.dumps(request))
    killed = memory.killed()
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
            yield _Child(process, request, log, killed)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _reached(child: _Child, step: str) -> bool:
    return Path(child.request[step]).exists() or child.process.poll() == 0


def _check(case: Case, children: Sequence[_Child], deadline: float, patience: float) -> None:
    """Raise RoundError for the first child that failed, or when patience ends."""
    for child in children:
        status = child.process.poll()
        if status:
            ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise _failed(case, f"to finish; it {ended}", child.log, _short(child, status))
    if time.monotonic() > deadline:
        late = next(child for child in children if child.process.poll() is None)
        raise _failed(case, f"to end within {patience:.0f} s; it hung", late.log)


def _keep(case: Case, log: Path) -> Path:
    """Put the log where it outlives the round; the next failure of the case takes its place."""
    kept = home.home() / "logs" / f"round-{case.profile}-{case.id}.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, kept)
    return kept


def _short(child: _Child, status: int) -> bool:
    """Tell whether a child ended for want of memory: it says so, or the kernel has killed one since it started."""
    by_kernel = status == -signal.SIGKILL and memory.killed() > child.killed
    return by_kernel or memory.short(child.log.read_text(errors="replace"))


def _failed(case: Case, found: str, log: Path, out_of_memory: bool = False) -> RoundError:
    tail = log.read_text(errors="replace").strip().splitlines()[-8:]
    said = ["Its last lines:", *tail, f"all of them: {_keep(case, log)}"] if tail else ["It printed nothing"]
    command = f"pytest -m accuracy --model {case.model} --backend {case.backend}"
    next_step = f"next: see whether the engine runs at all: {command}"
    if out_of_memory:
        next_step = "next: run a smaller batch, or free memory: more was needed than there is"
    kind = OutOfMemoryError if out_of_memory else RoundError
    return kind("\n".join([f"{case.id}: expected the timed process {found}. {said[0]}", *said[1:], next_step]))
