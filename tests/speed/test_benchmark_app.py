"""Our throughput beside OpenVINO's own benchmark_app: `pytest tests/speed/test_benchmark_app.py --benchmark-only`.

ENet's sample graph at batch 1 in fp32, one request, called one after the other: fresh processes in random order within
each pair, so that other work on the machine disturbs both alike. A third side calls our engine as benchmark_app does,
on one input and with the outputs left where OpenVINO wrote them: what it is faster than ours is the price of different
inputs and of outputs that stay with their caller.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.child import timing
from bench.inputs import batches
from fixtures import catalogue, host, locks
from fixtures.case import Case
from fixtures.device import CPU
from fixtures.model import SAMPLE
from fixtures.selection import Selection
from fixtures.workshop import Workshop
from tests.tiny import Quiet

CHECKOUT = Path(__file__).resolve().parents[2]
TOOL = Path(sysconfig.get_path("scripts"), "benchmark_app")
CASE = Case("sample", "enet", 480, 1, "openvino")
PAIRS, SECONDS, SEED = 40, 1, 20
SETTINGS = (
    *("NUM_STREAMS", "INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "EXECUTION_MODE_HINT"),
    *("ENABLE_CPU_PINNING", "ENABLE_HYPER_THREADING", "SCHEDULING_CORE_TYPE"),
)
"""What the plugin says it runs with, and what must be the same on both sides."""
ITS_WAY = "ours, called its way"
SIDES = ("benchmark_app", "ours", ITS_WAY)


def test_throughput_beside_benchmark_app(benchmark, capsys, tmp_path, request):
    if not TOOL.is_file():
        pytest.skip(f"{TOOL.name} is not installed beside this Python; pip install -e '.[dev]'")
    if not (SAMPLE / "checkpoints" / "enet.safetensors").exists():
        pytest.skip("the sample checkpoint of ENet is not there")
    runs = sides(tmp_path, request)
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    orders = random.Random(SEED)

    def take() -> None:
        for _ in range(PAIRS):
            for name in orders.sample(SIDES, len(SIDES)):
                with locks.hold([locks.HOST], print):
                    taken[name].append(runs[name]())

    started, before = datetime.now(timezone.utc), os.getloadavg()[0]
    benchmark.pedantic(take, rounds=1)
    settings = {json.dumps(run["settings"], sort_keys=True) for side in taken.values() for run in side}
    assert len(settings) == 1, f"sides ran with different settings: {settings}"
    lines = [
        f"{started:%Y-%m-%d %H:%M} UTC, {host.model()}, {host.threads()} threads, load {before:.2f} before and "
        f"{os.getloadavg()[0]:.2f} after, {PAIRS} pairs of {SECONDS} s, seed {SEED}"
    ]
    for name, other in (("ours", "benchmark_app"), (ITS_WAY, "benchmark_app"), ("ours", ITS_WAY)):
        for figure in ("throughput", "median_ms"):
            told = ratio([run[figure] for run in taken[name]], [run[figure] for run in taken[other]])
            benchmark.extra_info[f"{figure}: {name} over {other}"] = told
            lines.append(f"{figure:<10} {name} over {other}: {told[0]:.3f} [{told[1]:.3f}, {told[2]:.3f}] at 95 %")
    benchmark.extra_info.update(taken=taken, clock="perf_counter")
    with capsys.disabled():
        print("", *(f"  {line}" for line in lines), sep="\n")
        for name, side in taken.items():
            print(f"  {name}: " + ", ".join(f"{run['throughput']:.2f}/s {run['median_ms']:.2f} ms" for run in side))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the ratios of pairs with its 95 % t interval."""
    import numpy as np
    from scipy import stats

    logs = np.log(np.asarray(ours) / np.asarray(theirs))
    interval = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    return float(np.exp(logs.mean())), float(np.exp(interval.low)), float(np.exp(interval.high))


def sides(folder: Path, request: pytest.FixtureRequest) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what takes one run of each side: the exported graph compiled by benchmark_app, and our engine of it."""
    import numpy as np

    workshop = Workshop(Selection("sample", ("enet",), (), (), (), (), {}, {}, None, folder / "store", ()), Quiet())
    request.addfinalizer(workshop.pool.close)
    backend = catalogue.find("backend", CASE.backend)
    options = catalogue.find("runtime", backend.runtime).options(backend, catalogue.find("model", CASE.model))
    inputs = [batch[0] for batch in batches(workshop.feed(CASE), CASE.batch)]
    np.save(folder / "inputs.npy", np.stack(inputs))
    np.save(folder / "input.npy", inputs[0])  # it writes its one request's input once, and calls it again and again
    (folder / "config.json").write_text(json.dumps({"CPU": options}))
    engine = workshop.sources.engine(CASE)
    source = workshop.sources.source(CASE)
    (tensor,) = source.model.inputs
    shape = ",".join(map(str, inputs[0].shape))
    theirs = [
        *(sys.executable, str(TOOL), "-m", str(source.graph), "-d", "CPU", "-api", "sync", "-t", str(SECONDS)),
        # It takes streams and threads beside a hint from a file only; without a word it would make the input uint8.
        *("-hint", "latency", "-load_config", str(folder / "config.json"), "-ip", "f32", "-op", "f32"),
        *("-shape", f"{tensor.name}[{shape}]", "-i", f"{tensor.name}:{folder / 'input.npy'}"),
        *("-report_type", "no_counters", "-report_folder", str(folder), "-json_stats"),
    ]
    ours = [sys.executable, "-m", "tests.speed.test_benchmark_app", str(engine.path), str(folder / "inputs.npy")]
    return {
        "benchmark_app": lambda: read(output(theirs), folder / "benchmark_report.json"),
        "ours": lambda: json.loads(output(ours).splitlines()[-1]),
        ITS_WAY: lambda: json.loads(output([*ours, ITS_WAY]).splitlines()[-1]),
    }


def output(command: Sequence[str]) -> str:
    """Return what a command prints; fail with what it said where it fails."""
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def read(text: str, report: Path) -> dict[str, Any]:
    """Return images per second, the median and the settings that benchmark_app tells."""
    told = json.loads(report.read_text())["execution_results"]
    report.unlink()
    said = dict(re.findall(r"^\[ INFO \]   (\w+): (.*)$", text, re.MULTILINE))
    return {
        "throughput": float(told["throughput"]),
        "median_ms": float(told["latency (ms)"]),
        "calls": int(told["total number of iterations"]),
        "settings": {name: said[name] for name in SETTINGS},
    }


def main(engine: Path, inputs: Path, its_way: bool) -> None:
    """Time our engine as rounds do, after one call as benchmark_app has: a window, then calls; print JSON."""
    import numpy as np

    backend, model = catalogue.find("backend", CASE.backend), catalogue.find("model", CASE.model)
    images = [(image,) for image in np.load(inputs, allow_pickle=False)]
    order = chain.from_iterable(timing.orders(1 if its_way else len(images), SEED))
    with catalogue.find("runtime", backend.runtime).open(engine, model, CASE, backend, CPU) as session:
        session.run(images[0])  # which leaves the first image in the request
        request = session._request
        called = SimpleNamespace(run=lambda _: request.infer()) if its_way else session
        window = timing.window(called, images, order, SECONDS)
        taken = timing.calls(called, images, order, 1, SECONDS).taken
        compiled = request.get_compiled_model()
        settings = {name: str(compiled.get_property(name)) for name in SETTINGS}
    told = {"throughput": window["calls"] / window["ns"] * 1e9, "median_ms": statistics.median(taken) / 1e6}
    print(json.dumps({**told, "calls": window["calls"], "settings": settings}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), ITS_WAY in sys.argv[3:])
