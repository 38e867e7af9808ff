"""Faults planted in pre- and post-processing: what the 1 % gate catches, and what only the exact tests can.

A fault is an edit of the real function's source, or done to the network's outputs.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acceptance import gates
from acceptance.agreement import Agreement
from acceptance.basis import Basis
from acceptance.evaluation import Pass, evaluate
from acceptance.gates import Judged
from acceptance.metrics import miou, psnr
from fixtures import catalogue
from fixtures.case import Case
from fixtures.datasets import cityscapes, div2k
from fixtures.device import CPU
from fixtures.feed import Feed
from fixtures.model import SAMPLE, Model
from fixtures.selection import Selection
from fixtures.workshop import Workshop
from reports.verdict import Verdict
from tests import test_cityscapes, test_div2k, test_psnr
from tests.tiny import Quiet


def plant(patch: pytest.MonkeyPatch, module: ModuleType, function: str, old: str, new: str) -> Callable[..., Any]:
    """Put a function with edited source in the place of the real one; return it."""
    source = inspect.getsource(getattr(module, function))
    assert source.count(old) == 1, f"{module.__name__}.{function} was rewritten; plant the fault anew"
    scope = dict(vars(module))
    exec(compile(source.replace(old, new), f"planted in {module.__name__}", "exec"), scope)
    patch.setattr(module, function, scope[function])
    return scope[function]


def judge(model: Model, metric) -> Verdict:
    """Judge a figure on all sample images by the gate of the model."""
    profile = model.profiles["sample"]
    case = Case("sample", model.name, profile.size, 1, "onnxruntime")
    judged = Judged(case, model.metric, "the sample", metric.result(), Agreement(), None, "")
    return gates.accuracy(judged, model.gate, Basis(profile.reference, "sample reference", ()))


@dataclass
class Runner:
    """The engine of a model on its sample."""

    model: Model
    feed: Feed
    session: Any

    def run(self, metric, load: Callable[[str], Any] | None = None, keep: Callable[..., None] | None = None):
        """Return the metric over all images."""
        behind = Pass(self.model.postprocess, metric, keep=keep)
        evaluate(self.session, load or self.feed.load, self.feed.names, 1, behind, lambda done, of: None)
        return metric


def runner(name: str, store) -> Iterable[Runner]:
    chosen = Selection("sample", (name,), (), (), (), (), {}, {}, None, store, ())
    workshop = Workshop(chosen, Quiet())
    model = catalogue.find("model", name)
    case = Case("sample", name, model.profiles["sample"].size, 1, "onnxruntime")
    engine = workshop.sources.engine(case)
    # Opened past the pool: nothing is timed here, and two engines are open at once.
    backend = catalogue.find("backend", "onnxruntime")
    with catalogue.find("runtime", backend.runtime).open(engine.path, model, case, backend, CPU) as session:
        yield Runner(model, workshop.feed(case), session)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pytest.importorskip("torch", reason="the engine is exported with torch")
    pytest.importorskip("onnxruntime")
    return tmp_path_factory.mktemp("store")


# EDSR: the outputs of the network are kept, because each costs a second.


@pytest.fixture(scope="module")
def edsr(store):
    yield from runner("edsr", store)


@pytest.fixture(scope="module")
def photographs(edsr) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return low resolution, output (3 x H x W) and truth of every photograph."""
    outputs: dict[str, np.ndarray] = {}
    edsr.run(psnr.PSNR(), keep=outputs.__setitem__)
    samples = [edsr.feed.load(name) for name in edsr.feed.names]
    return {sample.name: (sample.inputs[0], outputs[sample.name], sample.target) for sample in samples}


def shifted(output: np.ndarray) -> np.ndarray:
    return np.concatenate([output[..., :1], output[..., :-1]], axis=2)


def bicubic(low: np.ndarray, truth: np.ndarray) -> np.ndarray:
    height, width = truth.shape[0] // 2, truth.shape[1] // 2
    image = Image.fromarray(low[:, :height, :width].transpose(1, 2, 0).astype(np.uint8))
    doubled = image.resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    return np.asarray(doubled).transpose(2, 0, 1).astype(np.float32)


def super_resolved(edsr, photographs, change) -> Verdict:
    metric = psnr.PSNR()
    for name, (low, output, truth) in photographs.items():
        metric.update([change(low, output, truth)], [truth], [name])
    return judge(edsr.model, metric)


def test_edsr_as_it_is_passes(edsr, photographs):
    verdict = super_resolved(edsr, photographs, lambda low, output, truth: output)
    assert verdict.status == "passed"
    assert verdict.observed == pytest.approx(edsr.model.profiles["sample"].reference.value, abs=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda low, output, truth: np.ascontiguousarray(output[::-1]),
        lambda low, output, truth: shifted(output),
        lambda low, output, truth: bicubic(low, truth),
    ],
    ids=["BGR output", "1 px shift", "bicubic instead of the network"],
)
def test_the_gate_catches_in_edsr(edsr, photographs, change):
    assert super_resolved(edsr, photographs, change).status == "failed"


FLOOR = (
    "band = planes[:, top : top + BAND].astype(np.float32, copy=False)",
    "band = np.floor(planes[:, top : top + BAND]).astype(np.float32)",
)
UNQUANTISED = (
    "total += _squared_error(band, truth[top : top + BAND])",
    "total += float(np.square(band - truth[top : top + BAND].transpose(2, 0, 1)).sum())",
)


@pytest.mark.parametrize(("old", "new"), [FLOOR, UNQUANTISED], ids=["floor for round", "no quantising"])
def test_the_gate_misses_in_edsr_what_the_exact_psnr_catches(edsr, photographs, monkeypatch, old, new):
    exact, right = small_psnr(), super_resolved(edsr, photographs, lambda low, output, truth: output)
    plant(monkeypatch, psnr, "_decibels", old, new)
    verdict = super_resolved(edsr, photographs, lambda low, output, truth: output)
    assert verdict.status == "passed"
    assert verdict.observed != right.observed
    assert small_psnr() != pytest.approx(exact, abs=1e-5)
    assert fails(test_psnr.test_rounds_half_to_even)


def test_the_gate_misses_bgr_on_both_sides_which_the_exact_loading_catches(edsr, photographs, monkeypatch, tmp_path):
    right = super_resolved(edsr, photographs, lambda low, output, truth: output)
    plant(
        monkeypatch,
        div2k,
        "_rgb",
        'return image if image.mode == "RGB" else image.convert("RGB")',
        "from PIL import Image\n        return Image.fromarray(np.asarray(image)[..., ::-1].copy())",
    )
    verdict = judge(edsr.model, edsr.run(psnr.PSNR()))
    assert verdict.status == "passed"
    assert 0 < right.observed - verdict.observed < 0.3
    assert loaded_pair() != LOADED_PAIR
    for seed, name in enumerate(("0801", "0802", "0803")):
        test_div2k.put(tmp_path, name, test_div2k.noise(40, 32, seed))
    with pytest.raises(AssertionError):
        test_div2k.test_load_returns_padded_lr_and_hr_as_it_is(tmp_path)


# ENet: the faults are in the preprocessing, so that each needs a pass of its own.


@pytest.fixture(scope="module")
def enet(store):
    if not (SAMPLE / "checkpoints" / "enet.safetensors").exists():
        pytest.skip(
            "fixtures/sample/checkpoints/enet.safetensors is not there: train it with fixtures.sample.training.enet"
        )
    yield from runner("enet", store)


CROPPED = ").crop(window)\n    # Each step"
SCENE_FAULTS = {
    "BGR input": ("np.asarray(crop).transpose(2, 0, 1)", "np.asarray(crop)[..., ::-1].transpose(2, 0, 1)"),
    "without mean and deviation": ("    pixels -= MEAN\n    pixels /= DEVIATION\n", ""),
    "crop off by 4 px": (CROPPED, ").crop((window[0] + 4, window[1], window[2] + 4, window[3]))\n    # Each step"),
    "crop off by 1 px": (CROPPED, ").crop((window[0] + 1, window[1], window[2] + 1, window[3]))\n    # Each step"),
    "nearest resize": ("picture.resize(resized, Resampling.BILINEAR)", "picture.resize(resized, Resampling.NEAREST)"),
    "bicubic resize": ("picture.resize(resized, Resampling.BILINEAR)", "picture.resize(resized, Resampling.BICUBIC)"),
}


def segmented(enet) -> Verdict:
    return judge(enet.model, enet.run(miou.MIoU()))


def test_enet_as_it_is_passes(enet):
    verdict = segmented(enet)
    assert verdict.status == "passed"
    assert verdict.observed == pytest.approx(enet.model.profiles["sample"].reference.value, abs=0.01)


@pytest.mark.parametrize("fault", ["BGR input", "without mean and deviation", "crop off by 4 px"])
def test_the_gate_catches_in_enet(enet, monkeypatch, fault):
    plant(monkeypatch, cityscapes, "preprocess", *SCENE_FAULTS[fault])
    assert segmented(enet).status == "failed"


@pytest.mark.parametrize("fault", ["crop off by 1 px", "nearest resize", "bicubic resize"])
def test_the_gate_misses_in_enet_what_the_exact_preprocessing_catches(enet, monkeypatch, fault):
    planted = plant(monkeypatch, cityscapes, "preprocess", *SCENE_FAULTS[fault])
    assert segmented(enet).status == "passed"
    exact_preprocessing_catches(planted, monkeypatch)


@pytest.mark.parametrize("fault", SCENE_FAULTS)
def test_the_exact_preprocessing_catches_every_fault(monkeypatch, fault):
    exact_preprocessing_catches(plant(monkeypatch, cityscapes, "preprocess", *SCENE_FAULTS[fault]), monkeypatch)


def exact_preprocessing_catches(planted: Callable[..., Any], patch: pytest.MonkeyPatch) -> None:
    assert preprocessed_scene() != PREPROCESSED_SCENE
    patch.setattr(test_cityscapes, "preprocess", planted)
    assert fails(test_cityscapes.test_preprocesses_usual_sizes_as_the_plain_algorithm)


# Small exact cases of our own, recorded once from the functions that reproduce the original's.

SMALL_PSNR = 34.28936419806479
LOADED_PAIR = "01d683329a5e048cb7d05e2f7da05713f969fb2b6cc11c1407d0a0780bc0dcc1"
PREPROCESSED_SCENE = "53f1794a89d0538812e5f8aa2982928b3533c35270283ce9164218e9de6f9375"


def small_psnr() -> float:
    random = np.random.default_rng(0)
    truth = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    return psnr.psnr((truth + random.normal(0, 5, truth.shape)).astype(np.float32), truth)


def loaded_pair() -> str:
    sample = div2k.DATASET.load(SAMPLE / "sr_photos", "0801", 240)
    return sha256(sample.inputs[0], sample.target)


def preprocessed_scene() -> str:
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (512, 1024, 3), dtype=np.uint8))
    label = Image.fromarray(random.integers(0, 34, (512, 1024), dtype=np.uint8))
    return sha256(*cityscapes.preprocess(image, label))


def sha256(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def test_the_small_exact_cases_hold_without_a_fault():
    assert small_psnr() == pytest.approx(SMALL_PSNR, abs=1e-9)
    assert loaded_pair() == LOADED_PAIR
    assert preprocessed_scene() == PREPROCESSED_SCENE


def fails(test: Callable[..., None]) -> bool:
    """Tell whether a parametrised test fails for any of its parameters."""
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    for values in mark.args[1]:
        try:
            test(*(values if isinstance(mark.args[0], tuple) else (values,)))
        except AssertionError:
            return True
    return False


def test_the_named_exact_tests_hold_without_a_fault():
    assert not fails(test_psnr.test_rounds_half_to_even)
    assert not fails(test_cityscapes.test_preprocesses_usual_sizes_as_the_plain_algorithm)
