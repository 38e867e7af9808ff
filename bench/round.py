"""One timed round in a fresh process: `python -m bench.round REQUEST.json`, started in the checkout.

The request names catalogues, case, engine with sha256, inputs, expected outputs, device, seed and how long to time; the
answer is written beside it. The caller holds the locks of device and host.
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
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fixtures import catalogue, digest
from fixtures.case import Case

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import Session

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


def _end_with_caller() -> None:
    """End when the caller does, even if it was killed: its end of our standard input closes then."""
    while os.read(0, 1):  # not sys.stdin: its lock, held here, would be fatal to the interpreter's own end
        pass
    os._exit(1)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Load the engine, warm up, time calls one after the other, and compare a sample of their outputs.

    Raises ValueError for an engine that is not the one the request names.
    """
    catalogue.extend(Path(folder) for folder in request["catalogues"])
    case = Case.from_dict(request["case"])
    backend = catalogue.find("backend", case.backend)
    engine = Path(request["engine"]["path"])
    found = digest.of_file(engine)
    if found != request["engine"]["sha256"]:
        raise ValueError(f"{engine}: expected sha256 {request['engine']['sha256'][:16]}, found {found[:16]}")
    inputs = _read(Path(request["inputs"]))
    expected = _read(Path(request["expected"]))
    started = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    with catalogue.find("runtime", backend.runtime).open(
        engine, catalogue.find("model", case.model), case, backend
    ) as session:
        order = _order(len(inputs), request["seed"])
        warmup, _ = _calls(session, inputs, order, request["warmup_calls"], request["warmup_seconds"])
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        samples, kept = _calls(session, inputs, order, max(request["calls"], len(inputs)), request["seconds"])
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    return {
        "started": started,
        "process": os.getpid(),
        "warmup_ns": warmup,
        "samples_ns": samples,
        "cpu_ns": cpu,
        "wall_ns": wall,
        "checked_calls": len(kept),
        "largest_relative_error": max(relative_error(output, expected[index][0]) for index, output in kept.items()),
    }


def _read(path: Path) -> list[tuple[np.ndarray, ...]]:
    """Return batches: the file holds `BATCH_TENSOR` arrays."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        batches: dict[int, list[np.ndarray]] = {}
        for name in sorted(stored.files, key=lambda name: tuple(map(int, name.split("_")))):
            batches.setdefault(int(name.split("_")[0]), []).append(stored[name])
    return [tuple(arrays) for arrays in batches.values()]


def _order(count: int, seed: int) -> Iterator[int]:
    """Go through all batches in a random order, again and again."""
    shuffler = random.Random(seed)
    while True:
        yield from shuffler.sample(range(count), count)


def _calls(
    session: Session, inputs: list[tuple[np.ndarray, ...]], order: Iterator[int], calls: int, seconds: float
) -> tuple[list[int], dict[int, np.ndarray]]:
    """Time at least so many calls and so many seconds; return nanoseconds per call and last outputs of some batches."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    kept: dict[int, np.ndarray] = {}
    end = clock() + int(seconds * 1e9)
    while len(taken) < calls or clock() < end:
        index = next(order)
        batch = inputs[index]
        before = clock()
        outputs = session.run(batch)
        taken.append(clock() - before)
        if index in kept or len(kept) < CHECKED:
            kept[index] = outputs[0]
    return taken, kept


def relative_error(output: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest expected value; infinite for another shape or a NaN."""
    import numpy as np

    if output.shape != expected.shape:
        return math.inf
    wide = np.result_type(output.dtype, np.float32)  # differences of unsigned integers would wrap around
    largest = float(np.abs(np.subtract(output, expected, dtype=wide)).max())
    return math.inf if math.isnan(largest) else largest / max(float(np.abs(expected.astype(wide)).max()), 1e-30)


if __name__ == "__main__":
    threading.Thread(target=_end_with_caller, daemon=True).start()
    sys.exit(main(sys.argv[1:]))
