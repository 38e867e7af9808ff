"""What reading and scoring add to the inference: `pytest tests/speed --benchmark-only`.

Wall time, because a pass hides its own work behind the engine's: both sides in turns, the median of their ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.evaluation import Pass, evaluate, stack
from fixtures import catalogue
from fixtures.case import Case
from fixtures.model import SAMPLE
from fixtures.selection import Selection
from fixtures.tensorfile import Reader, Writer
from fixtures.workshop import Workshop
from tests.tiny import Quiet

WANTED = 1.15
REPEATS = {"edsr": 3, "enet": 15}


@pytest.mark.parametrize("model", ["edsr", "enet"])
def test_a_full_pass_beside_the_bare_inference(benchmark, capsys, tmp_path, request, model):
    if not (SAMPLE / "checkpoints" / f"{model}.safetensors").exists():
        pytest.skip(f"the sample checkpoint of {model} is not there")
    workshop = Workshop(Selection("sample", (model,), (), (), (), (), {}, {}, None, tmp_path / "store", ()), Quiet())
    request.addfinalizer(workshop.pool.close)
    whole, bare, inside = sides(workshop, model, tmp_path)
    seconds: dict[str, list[float]] = {"whole": [], "bare": [], "inside": []}
    for _ in range(1 + REPEATS[model]):
        seconds["bare"].append(timed(bare))
        seconds["whole"].append(timed(whole))
        seconds["inside"].append(inside())
    # The first of each warms up.
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    pairs = zip(seconds["whole"][1:], seconds["bare"][1:], strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    benchmark.extra_info.update(ratio=ratio, wanted=WANTED, seconds=medians, clock="perf_counter")
    benchmark.pedantic(whole, rounds=REPEATS[model])
    with capsys.disabled():
        shown = ", ".join(f"{name} {value:.2f} s" for name, value in medians.items())
        print(f" {model}: a pass takes {ratio:.2f} times the bare inference, {WANTED:g} wanted ({shown}) ", end="")


def sides(
    workshop: Workshop, model: str, folder: Path
) -> tuple[Callable[[], object], Callable[[], object], Callable[[], float]]:
    """Return a full pass at batch 1 with its comparison to a reference on disk, the same inference without
    reading and scoring, and what tells how long the engine took inside the last pass.
    """
    found = catalogue.find("model", model)
    case = Case("sample", model, found.profiles["sample"].size, 1, "onnxruntime")
    feed, engine = workshop.feed(case), workshop.sources.engine(case)
    session = workshop.pool.session(case, catalogue.find("backend", "onnxruntime"), engine)
    metric = catalogue.find("metric", found.metric)
    # The engine's own outputs stand for those of torch: the comparison costs the same.
    with Writer(folder / "reference.safetensors", len(feed.names)) as writer:
        evaluate(session, feed.load, feed.names, 1, Pass(found.postprocess, metric(), keep=writer.add), ignore)
    reference = Reader(folder / "reference.safetensors")
    inputs = [stack([feed.load(name)], 1) for name in feed.names]
    inside = 0.0

    def whole() -> object:
        nonlocal inside
        behind = Pass(found.postprocess, metric(), reference)
        evaluation = evaluate(session, feed.load, feed.names, 1, behind, ignore)
        inside = evaluation.inference_seconds
        return evaluation

    return whole, lambda: [session.run(batch) for batch in inputs], lambda: inside


def ignore(done: int, of: int) -> None:
    """Show no progress."""


def timed(side: Callable[[], object]) -> float:
    """Return the seconds that it takes."""
    started = time.perf_counter()
    side()
    return time.perf_counter() - started
