"""Whether an old toolkit runs a graph's pixel shuffles fast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.ascend import transpose

CANN = "5.0.2"


def shuffle(
    path: Path, shape: tuple[int | str, ...] = (1, 3, 8, 6), perm: tuple[int, ...] = (0, 1, 4, 2, 5, 3)
) -> Path:
    """Write a convolution to 256 channels and a pixel shuffle as opset 9 has it: Reshape, Transpose, Reshape."""
    from onnx import TensorProto, helper, numpy_helper, save

    batch, _, height, width = shape
    h, w = (height if isinstance(height, int) else 8), (width if isinstance(width, int) else 6)
    lead = batch if isinstance(batch, int) else -1
    constants = {
        "weights": np.zeros((256, 3, 1, 1), np.float32),
        "six": np.array([lead, 64, 2, 2, h, w], np.int64),
        "four": np.array([lead, 64, 2 * h, 2 * w], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weights"], ["wide"], kernel_shape=[1, 1]),
            helper.make_node("Reshape", ["wide", "six"], ["apart"]),
            helper.make_node("Transpose", ["apart"], ["together"], perm=list(perm)),
            helper.make_node("Reshape", ["together", "four"], ["y"]),
        ],
        "shuffle",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 64, 2 * h, 2 * w])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=6), path)
    return path


def toolkit(folder: Path, body: str) -> Path:
    file = folder / "opp" / transpose.PLACE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(body)
    return folder / "opp"


def listed(*shapes: list[int]) -> str:
    return (
        "raise SystemExit('this file is never run')\n"
        "white_list_shape = [[9, 9, 9, 9, 9, 9]]\n"
        "def other():\n    white_list_shape = [[8, 8, 8, 8, 8, 8]]\n"
        "def _by_dynamic_static_union_version(shape, core_num):\n"
        "    if core_num == 1:\n        white_list_shape_lhisi = [[7, 7, 7, 7, 7, 7]]\n"
        f"    white_list_shape = {[[2, 512, 1024], [1100], *shapes]}\n    return list(shape) in white_list_shape\n"
    )


def test_computes_the_shape_that_is_transposed(tmp_path: Path) -> None:
    graph = shuffle(tmp_path / "graph.onnx")
    assert transpose.transposed(graph, {"x": (1, 3, 8, 6)}) == ((1, 64, 2, 2, 8, 6),)


def test_an_open_batch_takes_the_batch_of_the_case(tmp_path: Path) -> None:
    graph = shuffle(tmp_path / "graph.onnx", ("N", 3, 8, 6))
    assert transpose.transposed(graph, {"x": (4, 3, 8, 6)}) == ((4, 64, 2, 2, 8, 6),)
    assert transpose.transposed(graph, {"x": (-1, 3, 8, 6)}) == ()


def test_the_shape_of_edsr_follows_from_its_graph(tmp_path: Path) -> None:
    import torch

    from fixtures import export
    from fixtures.models.edsr import MODEL, network

    graph = tmp_path / "edsr.onnx"
    with torch.no_grad():
        export._write(network().eval(), MODEL, 16, 2, graph)
    assert transpose.transposed(graph, {"input.1": (2, 3, 16, 16)}) == ((2, 64, 2, 2, 16, 16),)


def test_a_graph_without_pixel_shuffles_needs_no_list(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])],
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 2])],
    )
    save(helper.make_model(graph), tmp_path / "plain.onnx")
    report = transpose.report(tmp_path / "plain.onnx", {"x": (2, 3)}, toolkit(tmp_path, listed()), CANN)
    assert (report.shapes, report.warnings) == ((), ())
    assert report.note.startswith("not applicable")


def test_a_shape_that_is_not_listed_is_reported_with_what_to_add(tmp_path: Path) -> None:
    graph, opp = shuffle(tmp_path / "graph.onnx"), toolkit(tmp_path, listed([1, 64, 2, 2, 1020, 1020]))
    before = (opp / transpose.PLACE).read_bytes()
    report = transpose.report(graph, {"x": (1, 3, 8, 6)}, opp, CANN)
    assert report.absent == ((1, 64, 2, 2, 8, 6),)
    (warning,) = report.warnings
    assert "[1, 64, 2, 2, 8, 6]" in warning
    assert "slow TransposeD" in warning
    assert str(opp / transpose.PLACE) in warning
    assert report.as_dict()["absent"] == [[1, 64, 2, 2, 8, 6]]
    assert (opp / transpose.PLACE).read_bytes() == before


def test_a_shape_that_is_listed_is_no_warning(tmp_path: Path) -> None:
    graph, opp = shuffle(tmp_path / "graph.onnx"), toolkit(tmp_path, listed([1, 64, 2, 2, 8, 6]))
    report = transpose.report(graph, {"x": (1, 3, 8, 6)}, opp, CANN)
    assert (report.shapes, report.absent, report.warnings) == (((1, 64, 2, 2, 8, 6),), (), ())


@pytest.mark.parametrize(("cann", "warns"), [("5.1.RC2", True), ("", True), ("6.0.1", False), ("8.0.RC3", False)])
def test_only_old_toolkits_need_the_list(tmp_path: Path, cann: str, warns: bool) -> None:
    graph, opp = shuffle(tmp_path / "graph.onnx"), toolkit(tmp_path, listed())
    report = transpose.report(graph, {"x": (1, 3, 8, 6)}, opp, cann)
    assert bool(report.warnings) == warns
    assert report.absent  # recorded either way


@pytest.mark.parametrize(
    "body",
    [
        None,
        "def _by_dynamic_static_union_version(shape, core_num):\n    return True\n",
        "def other():\n    white_list_shape = [[1, 64, 2, 2, 8, 6]]\n",
        "def _by_dynamic_static_union_version(:\n",
        "\0\0",
        "def _by_dynamic_static_union_version(shape, n):\n    white_list_shape = load()\n",
        "def _by_dynamic_static_union_version(shape, n):\n    white_list_shape = 3\n",
    ],
)
def test_a_toolkit_without_the_list_is_not_applicable(tmp_path: Path, body: str | None) -> None:
    graph = shuffle(tmp_path / "graph.onnx")
    opp = toolkit(tmp_path, body) if body is not None else tmp_path / "opp"
    for place in (opp, None):
        report = transpose.report(graph, {"x": (1, 3, 8, 6)}, place, CANN)
        assert report.note == "not applicable: the toolkit has no such list"
        assert report.warnings == ()
        assert report.as_dict()["shapes"] == [[1, 64, 2, 2, 8, 6]]


@given(st.lists(st.lists(st.integers(1, 2000), min_size=1, max_size=6), max_size=30))
def test_reads_whatever_list_is_written(tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]]) -> None:
    file = toolkit(tmp_path_factory.mktemp("toolkit"), listed(*shapes)) / transpose.PLACE
    assert transpose.white_list(file) == {(2, 512, 1024), (1100,), *map(tuple, shapes)}
