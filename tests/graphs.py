"""Small ONNX files, right and wrong in one way each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 8


def convolution(
    batch: int | str = "N", dtype: int = TensorProto.FLOAT, opset: int = 11, channels: int = 3, operator: str = "Relu"
) -> onnx.ModelProto:
    """Return image (N x 3 x 8 x 8) -> Conv -> another operator -> class (N x 4 x 8 x 8)."""
    kind = np.float64 if dtype == TensorProto.DOUBLE else np.float32
    weight = np.random.default_rng(0).normal(size=(4, channels, 3, 3)).astype(kind)
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["features"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["features"], ["class"], name="second"),
    ]
    return model(
        nodes,
        inputs={"image": (dtype, [batch, 3, SIZE, SIZE])},
        outputs={"class": (dtype, [batch, 4, SIZE, SIZE])},
        weights={"weight": weight},
        opset=opset,
    )


def model(
    nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], weights: dict[str, np.ndarray], opset: int = 11
) -> onnx.ModelProto:
    """Return a graph of these parts; inputs and outputs are name -> (type, shape)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def save(path: Path, graph: onnx.ModelProto) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path
