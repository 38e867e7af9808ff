"""One timed round in a fresh process: `python -m bench.round REQUEST.json`, started in the checkout.

The request names catalogues, one arm or the two of a pair (case, engine with sha256, inputs, expected outputs, device),
seed, mode and how long to time; the answer is written beside it. Loaded and warm, and again before its offline window,
it says that it is ready and waits to be let go, so that several go together. The caller holds the locks of devices and
host.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import alone, together, tools
from bench.child.arrays import Stored
from bench.child.guards import Guards, empty_call_ns, flags
from bench.child.timing import PairPlan, orders
from bench.mode import WHOLE
from fixtures import backend as backends
from fixtures import catalogue, digest, host
from fixtures.case import Case
from fixtures.device import CPU, Device
from fixtures.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import Session

GO = threading.Semaphore(0)


def main(argv: list[str]) -> int:
    """Run the round that a request describes; return the exit status."""
    request = json.loads(Path(argv[0]).read_text())
    answer = run(request)
    path = Path(request["answer"])
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(json.dumps(answer))
    scratch.replace(path)
    return 0


def _listen() -> None:
    """Go on when the caller says so, and end when it does, even if it was killed: our standard input closes then."""
    while os.read(0, 1):  # not sys.stdin: its lock, held here, would be fatal to the interpreter's own end
        GO.release()
    os._exit(1)


@dataclass(frozen=True)
class _Arm:
    """An engine to be timed, and what it is fed and must give."""

    case: Case
    engine: Path
    inputs: Stored
    expected: Stored
    device: Device

    @classmethod
    def read(cls, data: dict[str, Any]) -> _Arm:
        """Read the JSON form; raise ValueError for an engine that is not the one that was judged."""
        engine, wanted = Path(data["engine"]["path"]), data["engine"]["sha256"]
        if (found := digest.of_file(engine)) != wanted:
            raise ValueError(f"{engine}: expected sha256 {wanted[:16]}, found {found[:16]}")
        stored = Stored(Path(data["inputs"])), Stored(Path(data["expected"]))
        return cls(Case.from_dict(data["case"]), engine, *stored, Device(**data["device"]))

    @property
    def runtime(self) -> Runtime:
        """Return what runs it."""
        found: Runtime = catalogue.find("runtime", backends.find(self.case.backend).runtime)
        return found

    def open(self) -> Session:
        """Load the engine."""
        backend, model = backends.find(self.case.backend), catalogue.find("model", self.case.model)
        return self.runtime.open(self.engine, model, self.case, backend, self.device)

    def compared(self, kept: dict[int, np.ndarray]) -> dict[str, Any]:
        """Return how far outputs of timed calls are from those of the accuracy path."""
        errors = [relative_error(output, self.expected[index][0]) for index, output in kept.items()]
        return {"checked_calls": len(kept), "largest_relative_error": max(errors, default=math.inf)}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Load the engines, warm up, time them, and compare a sample of their outputs.

    The answer has what is of each arm under `arms`, and beside it what is of the process.

    Raises ValueError for an engine that is not the one the request names.
    """
    catalogue.extend(Path(folder) for folder in request["catalogues"])
    arms = [_Arm.read(each) for each in request["arms"]]
    guards = Guards(empty_ns=empty_call_ns())
    started = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    with contextlib.ExitStack() as opened:
        sessions = [opened.enter_context(arm.open()) for arm in arms]
        guards.look()
        gc.collect()
        gc.freeze()  # what is loaded by now stays; nobody looks through it again within a timed call
        taken = _pair(arms, sessions, request) if len(arms) > 1 else _single(arms[0], sessions[0], request)
        guards.look()
    section, by_tool = taken.pop("section"), "tool" in taken["arms"][0]
    computes = all(arm.device.id == CPU.id for arm in arms) and request["mode"] != WHOLE
    calls = None if by_tool else taken.pop("calls")
    told = guards.told(section, host.threads() if computes else None, calls)
    samples = None if by_tool else taken.pop("shortest_ns")
    for arm, each in zip(arms, taken["arms"], strict=True):
        clocks = each.get("conditions_begin", {}), each.get("conditions_end", {})
        each["flags"] = [*each.get("flags", ()), *flags(told, samples, *clocks)]
        each.update(arm.compared(each.pop("kept")))
    used = {"cpu_ns": section.cpu_ns} if not by_tool else {}
    return {"started": started, "process": os.getpid(), **taken, **used, "wall_ns": section.wall_ns, "guards": told}


def _wait(request: dict[str, Any], step: str) -> None:
    """Say that this step can begin; wait to be let go."""
    Path(request[step]).touch()
    GO.acquire()


def _single(arm: _Arm, session: Session, request: dict[str, Any]) -> dict[str, Any]:
    whole = request["mode"] == WHOLE
    seconds, warmup = request["serial_seconds"], request["warmup_seconds"]
    # A worker of ours times itself for the sake of our pipes; it would have to hold the whole data set.
    if hasattr(session, "time") and not (whole and arm.runtime.alternates):
        order = list(range(len(arm.inputs))) if whole else next(orders(len(arm.inputs), request["seed"]))
        batches = arm.inputs if whole else [arm.inputs[index] for index in order]
        _wait(request, "ready")
        tool: Any = session
        taken = tools.take(tool, batches, order, arm.case.batch, 0.0 if whole else seconds, warmup, arm.runtime.name)
        return {"section": taken.pop("section"), "arms": [{**taken, "different_inputs": _images(arm)}]}

    def wait(step: str) -> None:
        _wait(request, step)

    if whole:
        return alone.whole(session, arm.inputs, arm.expected.numbers, warmup, wait)
    inputs = list(arm.inputs)
    times = alone.Times(seconds, warmup, request["window_seconds"], request["again"])
    return alone.pure(session, inputs, arm.expected.numbers, arm.case.batch, request["seed"], times, wait)


def _pair(arms: list[_Arm], sessions: list[Session], request: dict[str, Any]) -> dict[str, Any]:
    plan = PairPlan(request["pair_seconds"])
    inputs = list(arms[0].inputs), list(arms[1].inputs)

    def wait() -> None:
        _wait(request, "ready")

    return together.take((sessions[0], sessions[1]), inputs, request["seed"], plan, request["warmup_seconds"], wait)


def _images(arm: _Arm) -> int:
    return len(arm.inputs) * len(arm.inputs[0][0])


def relative_error(output: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest expected value; infinite for another shape or a NaN."""
    import numpy as np

    if output.shape != expected.shape:
        return math.inf
    wide = np.result_type(output.dtype, np.float32)  # differences of unsigned integers would wrap around
    largest = float(np.abs(np.subtract(output, expected, dtype=wide)).max())
    return math.inf if math.isnan(largest) else largest / max(float(np.abs(expected.astype(wide)).max()), 1e-30)


if __name__ == "__main__":
    threading.Thread(target=_listen, daemon=True).start()
    sys.exit(main(sys.argv[1:]))
