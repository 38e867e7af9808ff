"""One timed round in a fresh process: `python -m bench.round REQUEST.json`, started in the checkout.

The request names catalogues, case, engine with sha256, inputs, expected outputs, device, seed and how long to time; the
answer is written beside it. Loaded and warm, it says that it is ready and waits to be let go, so that several can start
together. The caller holds the locks of devices and host.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.logs import ais_bench, benchmark, trtexec
from fixtures import backend as backends
from fixtures import catalogue, digest
from fixtures.case import Case
from fixtures.device import Device

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import SelfTimed, Session

READERS = {"trtexec": trtexec, "ais_bench": ais_bench, "benchmark": benchmark}
"""Read what a tool prints, by the name of its runtime."""
FIGURES = ("throughput_qps", "latency_ms", "gpu_compute_ms", "throughput", "compute_ms", "batch")
GO = threading.Event()
CHECKED = 3
"""Timed calls whose outputs are kept and compared: all of them would hold gigabytes."""


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
    """Go when the caller says so, and end when it does, even if it was killed: our standard input closes then."""
    while os.read(0, 1):  # not sys.stdin: its lock, held here, would be fatal to the interpreter's own end
        GO.set()
    os._exit(1)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Load the engine, warm up, time calls one after the other, and compare a sample of their outputs.

    Raises ValueError for an engine that is not the one the request names.
    """
    catalogue.extend(Path(folder) for folder in request["catalogues"])
    case = Case.from_dict(request["case"])
    backend = backends.find(case.backend)
    engine = Path(request["engine"]["path"])
    found = digest.of_file(engine)
    if found != request["engine"]["sha256"]:
        raise ValueError(f"{engine}: expected sha256 {request['engine']['sha256'][:16]}, found {found[:16]}")
    inputs = _read(Path(request["inputs"]))
    expected = _read(Path(request["expected"]))
    started = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    model, device = catalogue.find("model", case.model), Device(**request["device"])
    with catalogue.find("runtime", backend.runtime).open(engine, model, case, backend, device) as session:
        taken = _by_tool(session, inputs, request) if hasattr(session, "time") else _by_us(session, inputs, request)
    if log := taken.pop("log", ""):
        _read_summary(taken, backend.runtime, log)
    kept = taken.pop("kept")
    return {
        "started": started,
        "process": os.getpid(),
        **taken,
        "checked_calls": len(kept),
        "largest_relative_error": max(
            (relative_error(output, expected[index][0]) for index, output in kept.items()), default=math.inf
        ),
    }


def _wait(request: dict[str, Any]) -> None:
    """Say that everything is loaded and warm; wait to be let go."""
    Path(request["ready"]).touch()
    GO.wait()


def _by_us(session: Session, inputs: list[tuple[np.ndarray, ...]], request: dict[str, Any]) -> dict[str, Any]:
    """Time calls one after the other."""
    order = chain.from_iterable(_orders(len(inputs), request["seed"]))
    warmup = _calls(session, inputs, order, request["warmup_calls"], request["warmup_seconds"])
    session.device_ms()  # those of the warm-up
    _wait(request)
    conditions = getattr(session, "conditions", dict)
    begin: dict[str, Any] = conditions()
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    calls = _calls(session, inputs, order, max(request["calls"], len(inputs)), request["seconds"])
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    return {
        "warmup_ns": warmup.taken,
        "samples_ns": calls.taken,
        "begun_ns": calls.begun,
        "device_ms": list(session.device_ms()),
        "cpu_ns": cpu,
        "wall_ns": wall,
        "conditions_begin": begin,
        "conditions_end": conditions(),
        "timed_section": "host wall",
        "kept": calls.kept,
    }


def _by_tool(session: SelfTimed, inputs: list[tuple[np.ndarray, ...]], request: dict[str, Any]) -> dict[str, Any]:
    """Let a tool time that does so itself; where it tells no host times, its device times stand for them."""
    order = next(_orders(len(inputs), request["seed"]))
    _wait(request)
    wall = time.perf_counter_ns()
    timed = session.time([inputs[index] for index in order], request["seconds"], request["warmup_seconds"])
    wall = time.perf_counter_ns() - wall
    return {
        "warmup_ns": [],
        "samples_ns": list(timed.host_ns) or [round(milliseconds * 1e6) for milliseconds in timed.device_ms],
        "timed_section": "host wall" if timed.host_ns else "device compute",
        "device_ms": list(timed.device_ms),
        **({"begun_ns": list(timed.begun_ns)} if timed.begun_ns else {}),
        "wall_ns": wall,
        "flags": list(timed.flags),
        "log": timed.log,
        "tool": dict(timed.details),
        "different_inputs": len(inputs) * len(inputs[0][0]),
        "kept": {order[place]: outputs[0] for place, outputs in timed.outputs.items()},
    }


def _read_summary(taken: dict[str, Any], tool: str, log: str) -> None:
    """Keep what the tool says of its own run: its figures beside the samples, and what it warns of as flags."""
    if tool in READERS:
        said = READERS[tool].parse(log)
        taken["flags"] = list(dict.fromkeys([*taken["flags"], *said.flags]))
        taken["tool"]["reported"] = {name: said.as_dict()[name] for name in FIGURES if name in said.as_dict()}


def _read(path: Path) -> list[tuple[np.ndarray, ...]]:
    """Return batches: the file holds `BATCH_TENSOR` arrays."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        batches: dict[int, list[np.ndarray]] = {}
        for name in sorted(stored.files, key=lambda name: tuple(map(int, name.split("_")))):
            batches.setdefault(int(name.split("_")[0]), []).append(stored[name])
    return [tuple(arrays) for arrays in batches.values()]


def _orders(count: int, seed: int) -> Iterator[list[int]]:
    """Yield one random order of all batches after the other."""
    shuffler = random.Random(seed)
    while True:
        yield shuffler.sample(range(count), count)


@dataclass
class _Calls:
    """Nanoseconds per call, when each began (by one clock for all processes), and last outputs of some batches."""

    taken: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    kept: dict[int, np.ndarray] = field(default_factory=dict)


def _calls(
    session: Session, inputs: list[tuple[np.ndarray, ...]], order: Iterator[int], calls: int, seconds: float
) -> _Calls:
    """Time at least so many calls and so many seconds."""
    clock = time.perf_counter_ns
    found = _Calls()
    end = clock() + int(seconds * 1e9)
    while len(found.taken) < calls or clock() < end:
        index = next(order)
        batch = inputs[index]
        before = clock()
        outputs = session.run(batch)
        found.taken.append(clock() - before)
        found.begun.append(before)
        if index in found.kept or len(found.kept) < CHECKED:
            found.kept[index] = outputs[0]
    return found


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
