"""A classifier of four numbers in a catalogue of its own: the smallest thing that accuracy and perf can really run."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fixtures import catalogue, fingerprint
from fixtures.case import Case
from fixtures.selection import Selection
from fixtures.workshop import Workshop

CHECKOUT = Path(__file__).resolve().parents[1]
IMAGES, RIGHT = 12, 11
FIGURE = 100 * RIGHT / IMAGES

MODEL = """
from pathlib import Path
from fixtures.model import Checkpoint, Figure, Gate, Model, Profile, Tensor

HERE = Path(__file__).parents[2]
MODEL = Model(
    name="tiny", dataset="vectors", metric="top1",
    inputs=(Tensor("x", ("N", "S")),), outputs=(Tensor("logits", ("N", 3)),),
    gate=Gate(0.5, "absolute"), parity={{"fp32": Gate(0.5, "absolute")}},
    batches=(1, 4), dynamic_batch=True,
    profiles={{"sample": Profile(
        checkpoint=Checkpoint(HERE / "tiny.onnx"), data=HERE / "vectors", size=4,
        reference=Figure({figure!r}, "points", "this test", {network!r}))}},
)
"""

DATASET = """
import json
import numpy as np
from fixtures.dataset import Sample

class Vectors:
    name = "vectors"
    def names(self, folder): return sorted(path.name for path in folder.glob("*.json"))
    def files(self, folder, name): return (folder / name,)
    def problems(self, folder, names, official): return iter(())
    def size(self, folder): return 4
    def load(self, folder, name, size):
        found = json.loads((folder / name).read_text())
        return Sample(name, (np.array(found["x"], np.float32),), np.int64(found["label"]))

DATASET = Vectors()
"""

RUNTIME = """
import os, signal, sys, time
from fixtures.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeSession

class Faulty(OnnxRuntime):
    '''ONNX Runtime that goes wrong as FAULT says, in the timed process only.'''
    name = "faulty"
    def open(self, engine, model, case, backend, device):
        timed = getattr(sys.modules["__main__"].__spec__, "name", "") == "bench.round"
        session = super().open(engine, model, case, backend, device)
        return Session(session, os.environ["FAULT"] if timed else "")

class Session:
    def __init__(self, session, fault):
        self.session, self.fault = session, fault
        self.signature = session.signature
    def device_ms(self): return ()
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def run(self, inputs):
        outputs = self.session.run(inputs)
        outputs = (outputs[0] + float(os.environ.get("OFFSET", 0)),)  # in every process
        if len(inputs[0]) == int(os.environ.get("PAUSE_AT_BATCH", 0)):
            signal.pause()
        if self.fault == "crash":
            print("the device is on fire", flush=True)
            os._exit(7)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            print("waiting for the device", flush=True)
            open(os.environ["HUNG"] + ".part", "w").write(str(os.getpid()))
            os.rename(os.environ["HUNG"] + ".part", os.environ["HUNG"])
            signal.pause()
        if self.fault == "other":
            return (outputs[0] + 1,)
        if self.fault == "nan":
            return (outputs[0] * float("nan"),)
        if self.fault == "kept":
            self.kept = getattr(self, "kept", outputs)
            return self.kept
        return outputs

RUNTIME = Faulty()
"""

ABSENT = """
from fixtures.runtime import Missing

class Absent:
    name, artefact, emulator = "absent", "engine", False
    def missing(self, backend, model): return Missing("its driver is not installed", "install the driver")

RUNTIME = Absent()
"""

BACKENDS = {
    "absent": "batches=(1, 4)",
    "faulty": 'options={"graph_optimization": "all", "execution": "sequential"}',
}


def write(folder: Path, figure: float = FIGURE) -> Path:
    """Write the catalogue: one model, its data, and a backend that goes wrong on request; return the folder."""
    from onnx import TensorProto, helper, numpy_helper, save

    for part in ("fixtures/models", "fixtures/datasets", "fixtures/runtimes", "fixtures/backends", "vectors"):
        (folder / part).mkdir(parents=True)
    weights = numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [weights],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "tiny.onnx")
    for number in range(IMAGES):
        x = [0.1 * number, 0.0, 0.0, float(number)]
        x[number % 3] += 5
        label = number % 3 if number < RIGHT else (number + 1) % 3
        (folder / "vectors" / f"{number:02}.json").write_text(json.dumps({"x": x, "label": label}))
    network = fingerprint.of_file(folder / "tiny.onnx").digest
    (folder / "fixtures/models/tiny.py").write_text(MODEL.format(figure=figure, network=network))
    (folder / "fixtures/datasets/vectors.py").write_text(DATASET)
    (folder / "fixtures/runtimes/faulty.py").write_text(RUNTIME)
    (folder / "fixtures/runtimes/absent.py").write_text(ABSENT)
    for name, options in BACKENDS.items():
        text = f'from fixtures.backend import Backend\nBACKEND = Backend("{name}", runtime="{name}", {options})\n'
        (folder / f"fixtures/backends/{name}.py").write_text(text)
    return folder


DOUBLE = """
from pathlib import Path
from fixtures.model import Checkpoint, Figure, Gate, Model, Profile, Tensor
from fixtures.models.edsr import crop

HERE = Path(__file__).parents[2]
MODEL = Model(
    name="double", dataset="div2k", metric="psnr", postprocess=crop,
    inputs=(Tensor("low", ("N", 3, "S", "S")),), outputs=(Tensor("high", ("N", 3, "2S", "2S")),),
    gate=Gate(0.01), parity={{"fp32": Gate(0.005)}}, batches=(1,), perf_sizes=(16,),
    profiles={{"sample": Profile(
        checkpoint=Checkpoint(HERE / "double.onnx"), data=HERE / "pairs", size=24,
        reference=Figure(30.0, "dB", "this test", {network!r}))}},
)
"""


def write_double(folder: Path) -> None:
    """Add a model that doubles images, judged by PSNR at 24 px and timed on crops of 16 px, with three pairs."""
    from onnx import TensorProto, helper, numpy_helper, save
    from PIL import Image

    graph = helper.make_graph(
        [
            helper.make_node(
                "Resize",
                ["low", "", "scales"],
                ["high"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ],
        "double",
        [helper.make_tensor_value_info("low", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("high", TensorProto.FLOAT, ["N", 3, "H2", "W2"])],
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "double.onnx")
    network = fingerprint.of_file(folder / "double.onnx").digest
    (folder / "fixtures/models/double.py").write_text(DOUBLE.format(network=network))
    high, low = folder / "pairs" / "HR", folder / "pairs" / "LR"
    for part in (high, low):
        part.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(3):
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = coarse.resize((48, 40), Image.Resampling.BICUBIC)
        image.save(high / f"{number}.png")
        image.resize((24, 20), Image.Resampling.BICUBIC).save(low / f"{number}x2.png")


@contextlib.contextmanager
def extended(folder: Path) -> Iterator[Path]:
    """Have the registries of this process hold a catalogue for a while."""
    packages = [importlib.import_module(package) for package, _ in catalogue.REGISTRIES.values()]
    before = [list(package.__path__) for package in packages]
    known = set(sys.modules)
    catalogue.extend([folder])
    try:
        yield folder
    finally:
        for package, path in zip(packages, before, strict=True):
            package.__path__[:] = path
        for name in set(sys.modules) - known:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                parent, _, last = name.rpartition(".")
                vars(sys.modules[parent]).pop(last, None)
                del sys.modules[name]
        catalogue.entries.cache_clear()


class Quiet:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.told: list[tuple[str, int, int]] = []

    def say(self, sentence: str) -> None:
        """Keep a sentence."""
        self.said.append(sentence)

    @contextlib.contextmanager
    def track(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Keep how many of how many are done."""
        yield lambda done, of: self.told.append((title, done, of))


def case(backend: str = "onnxruntime", batch: int = 1) -> Case:
    """Return a case of the tiny model."""
    return Case("sample", "tiny", 4, batch, backend)


def workshop(folder: Path, store: Path, subset: int | None = None) -> Workshop:
    """Return a workshop that knows the catalogue and builds in a store of its own."""
    chosen = Selection("sample", ("tiny",), (), (), (), (), {}, {}, subset, store, (folder,))
    return Workshop(chosen, Quiet())


def start_pytest(home: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start pytest in the checkout, with everything it keeps below `home` and none of the caller's own settings.

    The tiny catalogue is given along; evidence goes to `home/evidence.jsonl`.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNOFF_", "PYTEST_"))}
    environment.pop("CI", None)  # pytest prints longer summaries there
    environment |= {"SIGNOFF_HOME": str(home), "SIGNOFF_LOCKS": str(home / "locks"), "COLUMNS": "200", **variables}
    if not (home / "catalogue").exists():
        write(home / "catalogue")
    # With a space before the path, pytest would take the folder of that path for its own root.
    given = [f"--catalogue={home / 'catalogue'}", f"--record={home / 'evidence.jsonl'}", *arguments]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *given]
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_pytest(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest like `start_pytest` to its end."""
    with start_pytest(home, *arguments, **variables) as process:
        output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
