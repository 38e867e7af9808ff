"""TensorRT-RTX itself: real engines for SM 7.5 built on the CPU, and its real errors.

A second step of CI, where `pip install -e '.[dev,tensorrt]'` was run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fixtures import catalogue
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.export import export
from fixtures.model import Model
from fixtures.nvidia import _network as network
from fixtures.nvidia import plan, recorder
from fixtures.nvidia._build import BuildError, Settings, build
from fixtures.nvidia._network import GraphError
from fixtures.nvidia.compiler import TENSORRT_RTX
from fixtures.nvidia.session import SessionError, load
from fixtures.runtime import LOG, Source, Tensor
from tests import graphs
from tests.fake_nvidia import NAME, CudaRuntime

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed: pip install -e '.[dev,tensorrt]'")

SETTINGS = Settings("fp32", None, "7.5", 2048)
IMAGE = Tensor("image", (4, 3, graphs.SIZE, graphs.SIZE), "float32")
SIZES = [("edsr", 256), ("edsr", 240), ("enet", 480)]
BATCHES = (1, 4, 16)


def backend(**changes: Any) -> Backend:
    found: Backend = catalogue.find("backend", "t4_rtx")
    return replace(found, **changes)


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what test_export.py shows, that a graph computes what torch computes: here it is built only."""
    monkeypatch.setattr("fixtures.export._compare", lambda *_: None)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Source]:
    """Return a function that exports a model once per size, with random weights and an open batch.

    EDSR's own export is fixed to one batch; tracing it at 16 takes half a minute, and is no business of the builder's.
    """
    done: dict[tuple[str, int], Source] = {}

    def make(name: str, size: int) -> Source:
        if (name, size) not in done:
            import torch
            from safetensors.torch import save_file

            folder = tmp_path_factory.mktemp(name)
            model: Model = replace(catalogue.find("model", name), dynamic_batch=True)
            assert model.network is not None
            torch.manual_seed(0)
            save_file(model.network().state_dict(), folder / "weights.safetensors")
            export(model, folder / "weights.safetensors", size, 1, folder / "graph.onnx")
            done[name, size] = Source(model, folder / "weights.safetensors", folder / "graph.onnx", {})
        return done[name, size]

    return make


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_the_models_are_timed_and_judged_at_these_sizes_and_batches(name: str, size: int) -> None:
    model: Model = catalogue.find("model", name)
    assert size in (*model.perf_sizes, model.profiles["sample"].size)
    assert model.batches == BATCHES


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("name", "size"), SIZES)
def test_builds_the_model_for_a_t4_on_any_host(
    name: str, size: int, batch: int, exported: Callable[[str, int], Source], tmp_path: Path
) -> None:
    source, target = exported(name, size), tmp_path / TENSORRT_RTX.artefact
    assert TENSORRT_RTX.missing(backend(), source.model) is None
    built = TENSORRT_RTX.build(source, Case("sample", name, size, batch, "t4_rtx"), backend(), target)
    head = plan.read(target, "tensorrt_rtx")
    assert plan.version(head, target.stat().st_size) == trt.__version__
    assert built.facts["profile"] is True
    assert built.facts["layers"] > 50
    assert [text for text in built.warnings if not text.startswith("fp16: ")] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG, TENSORRT_RTX.artefact]
    assert "Engine generation completed" in (tmp_path / LOG).read_text()


def test_builds_the_graph_that_is_exported_for_one_batch(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    model: Model = catalogue.find("model", "edsr")
    assert model.network is not None
    assert not model.dynamic_batch
    save_file(model.network().state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(0)
    export(model, tmp_path / "weights.safetensors", 64, 4, tmp_path / "graph.onnx")
    source = Source(model, tmp_path / "weights.safetensors", tmp_path / "graph.onnx", {})
    for precision in ("fp16", "fp32"):
        target = tmp_path / precision
        chosen, case = backend(precision=precision), Case("sample", "edsr", 64, 4, "t4_rtx")
        assert TENSORRT_RTX.build(source, case, chosen, target).facts["profile"] is False
    assert (tmp_path / "fp16").stat().st_size < (tmp_path / "fp32").stat().st_size


def test_a_static_graph_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution(batch=4))
    for name in ("first", "second"):
        build(trt, path, [IMAGE], SETTINGS, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def failing(folder: Path, graph: onnx.ModelProto, settings: Settings = SETTINGS, image: Tensor = IMAGE) -> str:
    """Build a graph that cannot be built; return what is said."""
    path = graphs.save(folder / "graph.onnx", graph)
    with pytest.raises(SetupError) as raised:
        build(trt, path, [image], settings, folder / "engine")
    assert not (folder / "engine").exists()
    return str(raised.value)


def dangling() -> onnx.ModelProto:
    graph = graphs.convolution()
    graph.graph.node[1].input[0] = "nowhere"
    return graph


def custom() -> onnx.ModelProto:
    graph = graphs.convolution(operator="Warp")
    graph.graph.node[1].domain = "elsewhere"
    graph.opset_import.append(helper.make_opsetid("elsewhere", 1))
    return graph


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (graphs.convolution(operator="Bernoulli", opset=15), "found Bernoulli second (node 1), unsupported node; "),
        (graphs.convolution(operator="Warp"), "found Warp second (node 1), invalid node: "),
        (custom(), "Plugin not found"),
        (dangling(), "found Relu second (node 1), invalid graph: "),
        (graphs.convolution(channels=5), "found Conv first (node 0), invalid node: "),
    ],
)
def test_the_parsers_errors_are_one_sentence(graph: onnx.ModelProto, said: str, tmp_path: Path) -> None:
    found = failing(tmp_path, graph)
    assert said in found
    assert found.startswith(f"{tmp_path / 'graph.onnx'}: expected a graph that tensorrt_rtx {trt.__version__} reads; ")
    assert "\n" not in found


def parsed(graph: bytes) -> Any:
    heard = recorder.of(trt)
    empty = trt.Builder(heard.logger).create_network(0)
    parser = trt.OnnxParser(empty, heard.logger)
    return parser.parse(graph), parser, empty


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(b"", id="empty"),
        pytest.param(graphs.convolution(opset=99).SerializeToString(), id="opset 99"),
        pytest.param(graphs.convolution(opset=5).SerializeToString(), id="opset 5"),
        pytest.param(graphs.convolution(dtype=TensorProto.DOUBLE).SerializeToString(), id="float64"),
    ],
)
def test_what_the_parser_takes_without_a_word_is_refused(graph: bytes, tmp_path: Path) -> None:
    taken, _parser, _network = parsed(graph)
    assert taken, "TensorRT-RTX refuses it by itself now: our check may go"
    path = tmp_path / "graph.onnx"
    path.write_bytes(graph)
    with pytest.raises(GraphError):
        build(trt, path, [IMAGE], SETTINGS, tmp_path / "engine")


@pytest.mark.parametrize("batch", ["N", 4])
def test_a_profile_of_an_unknown_input_builds_where_nobody_checks(batch: int | str, tmp_path: Path) -> None:
    heard, graph = recorder.of(trt), graphs.convolution(batch=batch)
    builder = trt.Builder(heard.logger)
    network_of_trt = builder.create_network(0)
    parser = trt.OnnxParser(network_of_trt, heard.logger)
    assert parser.parse(graph.SerializeToString())
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM75, 0)
    profile = builder.create_optimization_profile()
    for name in ("image", "input.1") if batch == "N" else ("input.1",):
        profile.set_shape(name, IMAGE.shape, IMAGE.shape, IMAGE.shape)
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network_of_trt, config) is not None, "it checks by itself now"
    said = failing(tmp_path, graph, image=replace(IMAGE, name="input.1"))
    assert "expected the inputs input.1; found image" in said


def test_a_workspace_that_is_too_small_is_said(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["image", "weight"], ["class"], name="large", pads=[1, 1, 1, 1])]
    shape = [4, 64, 128, 128]
    kind = {"image": (TensorProto.FLOAT, shape)}
    weight = np.random.default_rng(0).normal(size=(64, 64, 3, 3)).astype(np.float32)
    graph = graphs.model(nodes, kind, {"class": kind["image"]}, {"weight": weight})
    settings = replace(SETTINGS, workspace_mb=1)
    path = graphs.save(tmp_path / "graph.onnx", graph)
    with pytest.raises(BuildError, match=r"within workspace limit.*; raise the option workspace_mb"):
        build(trt, path, [Tensor("image", tuple(shape), "float32")], settings, tmp_path / "engine")


def product() -> tuple[onnx.ModelProto, Tensor]:
    nodes = [helper.make_node("MatMul", ["image", "weight"], ["class"], name="product")]
    weight = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    inputs, outputs = {"image": (TensorProto.FLOAT, [8, 64])}, {"class": (TensorProto.FLOAT, [8, 32])}
    return graphs.model(nodes, inputs, outputs, {"weight": weight}), Tensor("image", (8, 64), "float32")


def test_a_product_of_matrices_in_fp32_is_refused_for_turing_and_built_in_fp16(tmp_path: Path) -> None:
    graph, image = product()
    said = failing(tmp_path, graph, image=image)
    assert "for Turing (SM75)" in said
    assert 'set precision="fp16"' in said
    path = graphs.save(tmp_path / "graph.onnx", graph)
    build(trt, path, [image], replace(SETTINGS, precision="fp16", fp16_route="graph"), tmp_path / "half")
    build(trt, path, [image], replace(SETTINGS, compute_capability="8.6"), tmp_path / "newer")


def test_a_compute_capability_it_has_not_is_said_with_those_it_has(tmp_path: Path) -> None:
    said = failing(tmp_path, graphs.convolution(), replace(SETTINGS, compute_capability="9.0"))
    assert "found 9.0; it has SM120, " in said
    assert "SM75" in said


def test_a_build_error_comes_through_the_child_with_the_case(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution(operator="Warp"))
    model = replace(catalogue.find("model", "enet"), engine={})
    case = Case("sample", "enet", graphs.SIZE, 4, "t4_rtx")
    with pytest.raises(SetupError, match=r"^enet-bs4-t4_rtx: .*found Warp second"):
        TENSORRT_RTX.build(Source(model, path, path, {}), case, backend(), tmp_path / "model.rtx")


def test_has_what_the_session_asks_for() -> None:
    for owner, names in {
        trt.ICudaEngine: (
            *("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_shape", "get_tensor_dtype"),
            *("get_tensor_profile_shape", "create_execution_context", "create_runtime_config"),
        ),
        trt.IExecutionContext: ("set_input_shape", "infer_shapes", "set_tensor_address", "execute_async_v3"),
        trt.IRuntimeConfig: ("dynamic_shapes_kernel_specialization_strategy",),
        trt.DynamicShapesKernelSpecializationStrategy: ("EAGER",),
    }.items():
        assert [name for name in names if not hasattr(owner, name)] == []


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="it is what is said on a host without a GPU")
def test_loading_without_a_gpu_says_the_cause_once(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution())
    build(trt, path, [IMAGE], SETTINGS, tmp_path / "engine")
    cudart = CudaRuntime()
    with pytest.raises(SessionError, match="CUDA driver version is insufficient") as raised:
        load(trt, cudart, NAME, tmp_path / "engine", {"image": IMAGE.shape})
    assert str(raised.value).count("cudaError 35") == 1
    assert cudart.held == {}


def test_an_engine_that_is_cut_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution())
    build(trt, path, [IMAGE], SETTINGS, tmp_path / "engine")
    whole = (tmp_path / "engine").read_bytes()
    (tmp_path / "engine").write_bytes(whole[:-1])
    with pytest.raises(plan.EngineError, match="copy it again"):
        plan.read(tmp_path / "engine", "tensorrt_rtx")


def test_the_network_keeps_types_that_the_library_names() -> None:
    graph = graphs.convolution(batch=4)
    taken, _parser, network_of_trt = parsed(graph.SerializeToString())
    assert taken
    network.check_parsed(Path("graph.onnx"), trt, network_of_trt, [IMAGE])
    assert "tensorrt_rtx" in sys.modules
