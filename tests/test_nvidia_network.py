"""ONNX to network: what TensorRT takes without a word is refused, what it refuses is one sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from onnx import TensorProto, helper

from fixtures.nvidia import _network as network
from fixtures.nvidia import recorder
from fixtures.nvidia._network import GraphError
from fixtures.runtime import Tensor
from tests import fake_nvidia, graphs

IMAGE = Tensor("image", (4, 3, graphs.SIZE, graphs.SIZE), "float32")


def external(tmp_path: Path) -> Path:
    path = tmp_path / "graph.onnx"
    onnx.save(graphs.convolution(), path, save_as_external_data=True, location="weights", size_threshold=0)
    return path


def test_reads_a_graph(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution())
    network.check(path, network.read(path), [IMAGE])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty one"),
        (b"garbage" * 20, "140 bytes that are none"),
        (b"<!DOCTYPE html>", "15 bytes that are none"),
    ],
)
def test_refuses_a_file_that_is_no_graph(content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=rf"graph.onnx: expected .*; found {found}.*; export it again"):
        network.read(path)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="found nothing"):
        network.read(tmp_path / "absent.onnx")
    with pytest.raises(GraphError, match="found a directory"):
        network.read(tmp_path)


def test_refuses_a_truncated_graph(tmp_path: Path) -> None:
    whole = graphs.convolution().SerializeToString()
    path = tmp_path / "graph.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GraphError, match="bytes that are none"):
        network.read(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=some.integers(0, 600), flips=some.lists(some.tuples(some.integers(0, 700), some.integers(1, 255)), max_size=3)
)
def test_a_damaged_graph_is_read_or_refused_in_a_sentence(
    cut: int, flips: list[tuple[int, int]], tmp_path: Path
) -> None:
    data = bytearray(graphs.convolution().SerializeToString())
    for place, mask in flips:
        data[place % len(data)] ^= mask
    path = tmp_path / "graph.onnx"
    path.write_bytes(bytes(data[: len(data) - cut]))
    with contextlib.suppress(GraphError):  # nothing else may be raised
        network.check(path, network.read(path), [IMAGE])


def test_refuses_an_input_of_a_type_that_is_none(tmp_path: Path) -> None:
    graph = graphs.convolution()
    graph.graph.input[0].type.tensor_type.elem_type = 77
    path = graphs.save(tmp_path / "graph.onnx", graph)
    with pytest.raises(GraphError, match=r"to be float32 .*; found type 77"):
        network.check(path, network.read(path), [IMAGE])


@pytest.mark.parametrize("opset", [5, 99])
def test_refuses_an_opset_that_would_be_read_as_another(opset: int, tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution(opset=opset))
    with pytest.raises(GraphError, match=f"expected opset 7 to .*; found {opset}"):
        network.read(path)


def test_refuses_an_ir_version_of_the_future(tmp_path: Path) -> None:
    graph = graphs.convolution()
    graph.ir_version = 99
    with pytest.raises(GraphError, match="found 99"):
        network.read(graphs.save(tmp_path / "graph.onnx", graph))


def test_refuses_float64_which_would_become_float32(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution(dtype=TensorProto.DOUBLE))
    with pytest.raises(GraphError, match=r"expected no float64.*found weight"):
        network.read(path)


def test_refuses_weights_in_files_beside_it(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="files beside it, first weight"):
        network.read(external(tmp_path))


def holding(tensor: onnx.TensorProto, where: str) -> onnx.ModelProto:
    """Return a graph with a tensor where only nodes hold it: a constant, or a branch of one, stored or computed."""
    graph = graphs.convolution()
    constant = helper.make_node("Constant", [], ["c"], name="held", value=tensor)
    if where == "constant":
        graph.graph.node.append(constant)
        return graph
    kind = helper.make_tensor_value_info("c", tensor.data_type, list(tensor.dims))
    weights = [tensor] if where == "branch weight" else []
    nodes = [] if weights else [constant]
    branch = helper.make_graph(nodes, "branch", [], [kind], weights)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    graph.graph.node.append(helper.make_node("If", ["yes"], ["d"], then_branch=branch, else_branch=branch))
    return graph


PLACES = ("constant", "branch constant", "branch weight")


@pytest.mark.parametrize("where", PLACES)
def test_refuses_float64_wherever_a_graph_keeps_it(where: str, tmp_path: Path) -> None:
    wide = onnx.numpy_helper.from_array(np.array([0.1, 0.2]), "c")
    with pytest.raises(GraphError, match="expected no float64"):
        network.read(graphs.save(tmp_path / "graph.onnx", holding(wide, where)))
    narrow = onnx.numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "c")
    network.read(graphs.save(tmp_path / "graph.onnx", holding(narrow, where)))


@pytest.mark.parametrize("where", PLACES)
def test_refuses_files_beside_it_wherever_a_graph_names_them(where: str, tmp_path: Path) -> None:
    beside = onnx.numpy_helper.from_array(np.zeros(2, np.float32), "c")
    onnx.external_data_helper.set_external_data(beside, "weights", 0, 8)
    beside.ClearField("raw_data")
    with pytest.raises(GraphError, match=r"files beside it, first (c|Constant held);"):
        network.read(graphs.save(tmp_path / "graph.onnx", holding(beside, where)))


def test_refuses_float64_that_a_function_holds(tmp_path: Path) -> None:
    graph = graphs.convolution()
    wide = onnx.numpy_helper.from_array(np.array([0.1]), "c")
    constant = helper.make_node("Constant", [], ["c"], value=wide)
    graph.functions.append(helper.make_function("own", "f", [], ["c"], [constant], [helper.make_opsetid("", 11)]))
    with pytest.raises(GraphError, match=r"expected no float64.*found Constant c"):
        network.read(graphs.save(tmp_path / "graph.onnx", graph))


def test_refuses_a_graph_without_operators(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.model([], {}, {}, {"weight": np.zeros(3, np.float32)}))
    with pytest.raises(GraphError, match="found none in it"):
        network.read(path)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ([Tensor("input.1", IMAGE.shape, "float32")], "expected the inputs input.1; found image"),
        ([IMAGE, Tensor("mask", (1,), "float32")], "expected the inputs image, mask; found image"),
        ([], "expected the inputs ; found image"),
        ([Tensor("image", IMAGE.shape, "float16")], r"image to be float16 .* found float32"),
        ([Tensor("image", (4, 3, 8), "float32")], r"\[4, 3, 8\]; found float32 \[-1, 3, 8, 8\]"),
        ([Tensor("image", (4, 3, 16, 8), "float32")], r"\[4, 3, 16, 8\]; found"),
        ([Tensor("image", (0, 3, 8, 8), "float32")], r"\[0, 3, 8, 8\]; found"),
    ],
)
def test_refuses_other_inputs_than_the_model_has(inputs: list[Tensor], found: str, tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution())
    with pytest.raises(GraphError, match=found):
        network.check(path, network.read(path), inputs)


def test_refuses_another_batch_than_a_static_graph_has(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution(batch=1))
    with pytest.raises(GraphError, match=r"\[4, 3, 8, 8\]; found float32 \[1, 3, 8, 8\]"):
        network.check(path, network.read(path), [IMAGE])


def test_an_initializer_that_is_listed_as_input_is_no_input(tmp_path: Path) -> None:
    graph = graphs.convolution()
    graph.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, [4, 3, 3, 3]))
    path = graphs.save(tmp_path / "graph.onnx", graph)
    network.check(path, network.read(path), [IMAGE])


@given(some.lists(some.tuples(some.integers(1, 9), some.booleans()), min_size=1, max_size=5))
def test_open_axes_take_any_size_and_fixed_ones_their_own(axes: list[tuple[int, bool]]) -> None:
    wanted = [size for size, _ in axes]
    assert network.fits([-1 if is_open else size for size, is_open in axes], wanted)
    assert not network.fits([*wanted, 1], wanted)
    for place in range(len(axes)):
        assert not network.fits([size + (index == place) for index, size in enumerate(wanted)], wanted)


def parse(library: Any, graph: onnx.ModelProto) -> Any:
    heard = recorder.of(library)
    built = library.Builder(heard.logger).create_network(0)
    network.parse(library, heard, built, graph, Path("graph.onnx"))
    return built


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.0.0"])
def test_names_operator_and_node_that_cannot_be_parsed(version: str) -> None:
    library = fake_nvidia.tensorrt(version)
    with pytest.raises(
        GraphError,
        match=rf"that tensorrt {version} reads; found Bernoulli second \(node 1\), unsupported node; replace",
    ):
        parse(library, graphs.convolution(operator="Bernoulli"))


def integers() -> onnx.ModelProto:
    nodes = [helper.make_node("Identity", ["tokens"], ["same"], name="copy")]
    kind = {"tokens": (TensorProto.INT64, ["N", 8])}
    return graphs.model(nodes, kind, {"same": kind["tokens"]}, {})


def test_refuses_an_input_that_a_version_narrows() -> None:
    tokens = Tensor("tokens", (1, 8), "int64")
    network.check_parsed(Path("g"), (new := fake_nvidia.tensorrt("10.3.0")), parse(new, integers()), [tokens])
    old = fake_nvidia.tensorrt("8.6.1")
    with pytest.raises(GraphError, match=r"tokens to stay int64; found that tensorrt 8\.6\.1 makes it int32"):
        network.check_parsed(Path("g"), old, parse(old, integers()), [tokens])


def test_refuses_a_network_without_layers() -> None:
    library = fake_nvidia.tensorrt()
    empty = library.Builder(None).create_network(0)
    with pytest.raises(GraphError, match="found none in it"):
        network.check_parsed(Path("g"), library, empty, [])


def test_a_profile_fixes_every_open_input_and_a_static_graph_takes_none() -> None:
    library = fake_nvidia.tensorrt()
    builder, config = library.Builder(None), library.IBuilderConfig()
    assert network.add_profile(builder, config, parse(library, graphs.convolution()), [IMAGE])
    assert config.profiles == [{"image": [IMAGE.shape] * 3}]
    config = library.IBuilderConfig()
    assert not network.add_profile(builder, config, parse(library, graphs.convolution(batch=4)), [IMAGE])
    assert config.profiles == []


def test_refuses_a_profile_that_tensorrt_does_not_take() -> None:
    library = fake_nvidia.tensorrt()
    config = library.IBuilderConfig()
    config.add_optimization_profile = lambda profile: -1
    with pytest.raises(GraphError, match="expected a valid profile of image"):
        network.add_profile(library.Builder(None), config, parse(library, graphs.convolution()), [IMAGE])
