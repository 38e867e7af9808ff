"""Verdicts as they must be, live: an engine against itself, and against one with an extra layer, on this machine.

`pytest tests/speed/test_live.py --benchmark-only` takes little more than a minute where five rounds decide.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.campaigns import paired_values
from bench.effort import NIGHTLY
from bench.rounds import Arm, Rounds
from bench.statistics import interleaved
from fixtures import backend as backends
from fixtures import catalogue, digest
from fixtures.case import Case
from fixtures.engines import Engine
from tests import tiny

LAYERS, CHANNELS, SIDE = 20, 32, 56
"""The network of the recordings of 10 ms: a 21st layer is 5 % more work."""
REQUIRED = 0.98
EFFORT = replace(NIGHTLY, spread_seconds=0.0)

MODEL = """
from pathlib import Path
from fixtures.model import Checkpoint, Figure, Gate, Model, Profile, Tensor

HERE = Path(__file__).parents[2]
MODEL = Model(
    name="stack", dataset="maps", metric="top1",
    inputs=(Tensor("x", ("N", 32, "S", "S")),), outputs=(Tensor("y", ("N", 32, "S", "S")),),
    gate=Gate(0.5, "absolute"), parity={"fp32": Gate(0.5, "absolute")}, batches=(1,),
    profiles={"sample": Profile(
        checkpoint=Checkpoint(HERE / "stack.onnx"), data=HERE / "maps", size=56,
        reference=Figure(1.0, "points", "none", "none"))},
)
"""
DATASET = """
import numpy as np
from fixtures.dataset import Sample

class Maps:
    name = "maps"
    def names(self, folder): return sorted(path.name for path in folder.glob("*.npy"))
    def files(self, folder, name): return (folder / name,)
    def problems(self, folder, names, official): return iter(())
    def size(self, folder): return 56
    def load(self, folder, name, size):
        return Sample(name, (np.load(folder / name, allow_pickle=False),), np.int64(0))

DATASET = Maps()
"""


def stack(path: Path, layers: int) -> None:
    """Write a stack of convolutions whose values neither vanish nor explode."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    weights, nodes = [], []
    for number in range(layers):
        kernel = rng.normal(0, math.sqrt(2 / (CHANNELS * 9)), (CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{number}"))
        source = "x" if number == 0 else f"r{number - 1}"
        nodes.append(helper.make_node("Conv", [source, f"w{number}"], [f"c{number}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{number}"], ["y" if number == layers - 1 else f"r{number}"]))
    shape = ["N", CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "stack",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        weights,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    for part, text in (("models/stack.py", MODEL), ("datasets/maps.py", DATASET)):
        place = folder / "fixtures" / part
        place.parent.mkdir(parents=True)
        place.write_text(text)
    stack(folder / "stack.onnx", LAYERS)
    (folder / "maps").mkdir()
    rng = np.random.default_rng(1)
    for number in range(8):
        np.save(folder / "maps" / f"{number}.npy", rng.normal(size=(CHANNELS, SIDE, SIDE)).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch, tiny.extended(folder):
        patch.setenv("SIGNOFF_HOME", str(folder / "home"))
        made = Rounds(tiny.workshop(folder, folder / "engines"))
        yield made
        made.close()


@pytest.mark.parametrize(
    ("layers", "expected"), [(LAYERS, "passed"), (LAYERS + 1, "failed")], ids=["unchanged", "one extra layer"]
)
def test_what_is_unchanged_passes_and_five_percent_more_work_fails(
    rounds, layers, expected, benchmark, tmp_path, capsys
):
    """Not more than 2 % slower than itself: taken in turn until it is decided."""
    case = Case("sample", "stack", SIDE, 1, "onnxruntime")
    own = rounds.workshop.sources.engine(case)
    if layers == LAYERS:
        other = own
    else:
        source = rounds.workshop.sources.source(case)
        stack(tmp_path / "stack.onnx", layers)
        path = tmp_path / "other.onnx"
        runtime = catalogue.find("runtime", "onnxruntime")
        runtime.build(replace(source, graph=tmp_path / "stack.onnx"), case, backends.find("onnxruntime"), path)
        other = Engine(path, digest.of_file(path), "other", {}, 0.0, "supplied")
    taken, decision = [], None

    def measure() -> None:
        nonlocal decision
        for look in EFFORT.looks:
            while len(taken) < look:
                seed = random.SystemRandom().randrange(2**32)
                taken.append(rounds.take_pair(Arm(case, own), Arm(case, other), seed, EFFORT))
            cautious = any("not_steady" in each.flags for pair in taken for each in pair)
            values = paired_values(taken, "latency", "median")
            decision = interleaved.decide(values, REQUIRED, cautious=cautious)
            if decision.status != "undecided":
                return

    benchmark.pedantic(measure, rounds=1)
    with capsys.disabled():
        flags = sorted({flag for pair in taken for each in pair for flag in each.flags})
        print(
            f"\n{layers} over {LAYERS} layers: {decision.status}, ratio {decision.ratio:.4f} [{decision.low:.4f}, "
            f"{decision.high:.4f}] at 99 %, required > {REQUIRED}; {len(taken)} rounds; "
            f"flags: {', '.join(flags) or 'none'}"
        )
    assert decision.status in (expected, "undecided")
