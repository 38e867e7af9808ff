"""torch, ONNX Runtime and OpenVINO: one graph, one answer, every setting in the recipe."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import catalogue, host
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.device import CPU
from fixtures.export import export
from fixtures.model import Model
from fixtures.models import enet
from fixtures.runtime import Source

SIZE = 64
NAMES = ("torch", "onnxruntime", "openvino")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Return ENet with random weights, exported with an open batch."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("source")
    torch.manual_seed(0)
    save_file(enet.network().state_dict(), folder / "weights.safetensors")
    export(enet.MODEL, folder / "weights.safetensors", SIZE, 1, folder / "graph.onnx")
    return Source(enet.MODEL, folder / "weights.safetensors", folder / "graph.onnx", {})


def backend(name: str, **changes: Any) -> Backend:
    found: Backend = catalogue.find("backend", name)
    return replace(found, **changes)


def images(batch: int) -> tuple[np.ndarray, ...]:
    return (np.random.default_rng(7).normal(size=(batch, 3, SIZE, SIZE)).astype(np.float32),)


def available(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed; pip install -e '.[dev]'")


def run(name: str, source: Source, folder: Path, batch: int, **changes: Any) -> np.ndarray:
    """Build, load and run; return the logits of a second call, after one with other inputs."""
    available(name)
    runtime, chosen = catalogue.find("runtime", name), backend(name, **changes)
    case = Case("sample", "enet", SIZE, batch, name)
    artefact = folder / runtime.artefact
    runtime.build(source, case, chosen, artefact)
    assert [path.name for path in folder.iterdir()] == [runtime.artefact]
    with runtime.open(artefact, source.model, case, chosen, CPU) as session:
        first = session.run((images(batch)[0] * 0,))[0]
        kept = first.copy()
        (output,) = session.run(images(batch))
        assert (first == kept).all(), "the outputs of a call must not change with the next"
    assert output.dtype == np.float32
    assert output.flags.c_contiguous
    logits: np.ndarray = output
    return logits


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", NAMES[1:])
def test_computes_what_torch_computes(name: str, batch: int, source: Source, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / name).mkdir()
    expected = run("torch", source, tmp_path / "torch", batch)
    found = run(name, source, tmp_path / name, batch)
    assert found.shape == (batch, 19, SIZE, SIZE)
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize("name", NAMES)
def test_says_why_it_cannot_run_where_its_package_is_absent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    missing = catalogue.find("runtime", name).missing(backend(name), enet.MODEL)
    assert missing.reason == f"{name} is not installed"
    assert missing.next_step.startswith("pip install ")


@pytest.mark.parametrize("name", NAMES)
def test_can_run_where_its_package_is(name: str) -> None:
    available(name)
    assert catalogue.find("runtime", name).missing(backend(name), enet.MODEL) is None


def test_torch_cannot_run_a_model_given_as_onnx() -> None:
    missing = catalogue.find("runtime", "torch").missing(backend("torch"), replace(enet.MODEL, network=None))
    assert missing.reason == "enet is given as an ONNX file only"


@pytest.mark.parametrize("name", NAMES)
def test_a_precision_that_would_not_be_run_is_not_recorded_as_if(name: str) -> None:
    missing = catalogue.find("runtime", name).missing(backend(name, precision="int4"), enet.MODEL)
    assert "asks for int4" in missing.reason
    assert f"backends/{name}.py" in missing.next_step


@pytest.mark.parametrize("name", NAMES)
def test_records_version_threads_and_processor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    available(name)
    monkeypatch.setattr(host, "threads", lambda: 3)
    compiler = catalogue.find("runtime", name).compiler
    options = compiler.options(backend(name), enet.MODEL)
    assert json.loads(json.dumps(options)) == options
    assert compiler.toolchain(backend(name))[name]
    assert compiler.target(backend(name)) == {"processor": host.processor()}
    assert str(options.get("threads") or options["INFERENCE_NUM_THREADS"]) == "3"


def test_records_every_option_of_onnxruntime() -> None:
    runtime = catalogue.find("runtime", "onnxruntime")
    chosen = Backend("x", "onnxruntime", options={"threads": 5, "graph_optimization": "disable"})
    settings = runtime.options(chosen, enet.MODEL)
    assert settings["threads"] == 5
    assert settings["graph_optimization"] == "disable"
    assert settings["execution"] == "sequential"


@pytest.mark.parametrize(
    ("option", "named"),
    [({"graph_optimisation": "all"}, "did you mean 'graph_optimization'"), ({"execution": "paralel"}, "'parallel'")],
)
def test_refuses_an_option_that_onnxruntime_would_not_see(option: dict[str, str], named: str) -> None:
    with pytest.raises(catalogue.CatalogueError, match=named):
        catalogue.find("runtime", "onnxruntime").options(Backend("x", "onnxruntime", options=option), enet.MODEL)


def test_onnxruntime_uses_the_threads_it_records(source: Source, tmp_path: Path) -> None:
    runtime, chosen = catalogue.find("runtime", "onnxruntime"), Backend("x", "onnxruntime", options={"threads": 1})
    case = Case("sample", "enet", SIZE, 1, "x")
    runtime.build(source, case, chosen, tmp_path / "engine")
    with runtime.open(tmp_path / "engine", source.model, case, chosen, CPU) as session:
        assert session._session.get_session_options().intra_op_num_threads == 1


def test_the_engine_of_onnxruntime_is_optimised_once_when_it_is_built(source: Source, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    runtime = catalogue.find("runtime", "onnxruntime")
    case = Case("sample", "enet", SIZE, 4, "x")
    counts = {}
    for level in ("all", "disable"):
        chosen = Backend("x", "onnxruntime", options={"graph_optimization": level})
        runtime.build(source, case, chosen, tmp_path / level)
        graph = onnx.load(tmp_path / level).graph
        counts[level] = len(graph.node)
        assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4
        with runtime.open(tmp_path / level, source.model, case, chosen, CPU) as session:
            used = session._session.get_session_options().graph_optimization_level
            assert used == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert counts["all"] < counts["disable"]


def test_a_models_own_options_come_before_the_backends(source: Source, tmp_path: Path) -> None:
    import onnx

    runtime = catalogue.find("runtime", "onnxruntime")
    own: Model = replace(enet.MODEL, engine={"onnxruntime": {"graph_optimization": "disable"}})
    case = Case("sample", "enet", SIZE, 1, "onnxruntime")
    runtime.build(source, case, backend("onnxruntime"), tmp_path / "theirs")
    runtime.build(replace(source, model=own), case, backend("onnxruntime"), tmp_path / "own")
    assert len(onnx.load(tmp_path / "own").graph.node) > len(onnx.load(tmp_path / "theirs").graph.node)


@pytest.mark.parametrize(("precision", "hint"), [("fp32", "f32"), ("bf16", "bf16"), ("fp16", "f16")])
def test_openvino_runs_the_precision_the_backend_is_named_for(precision: str, hint: str) -> None:
    available("openvino")
    plain = Backend("x", "openvino", precision=precision)
    assert catalogue.find("runtime", "openvino").options(plain, enet.MODEL)["INFERENCE_PRECISION_HINT"] == hint


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_that_is_none_fails_to_load(name: str, tmp_path: Path) -> None:
    available(name)
    (tmp_path / "engine").write_bytes(b"no engine" * 100)
    case = Case("sample", "enet", SIZE, 1, name)
    with pytest.raises(Exception):  # noqa: B017, PT011 - each runtime has errors of its own
        catalogue.find("runtime", name).open(tmp_path / "engine", enet.MODEL, case, backend(name), CPU)
