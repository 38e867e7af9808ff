"""fp16 by a converted graph: near the fp32 graph, inputs and outputs as they were."""

from __future__ import annotations

import builtins

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from fixtures.nvidia import _precision as precision
from fixtures.nvidia._precision import PrecisionError
from fixtures.runtime import BrokenRuntimeError
from tests import graphs


def run(graph: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": image})
    return output


def test_computes_nearly_the_same_with_the_same_inputs_and_outputs() -> None:
    image = np.random.default_rng(1).normal(size=(2, 3, graphs.SIZE, graphs.SIZE)).astype(np.float32)
    whole = graphs.convolution()
    half, warnings = precision.half(onnx.ModelProto.FromString(whole.SerializeToString()))
    assert warnings == ()
    assert half.graph.initializer[0].data_type == TensorProto.FLOAT16
    assert half.graph.input[0] == whole.graph.input[0]
    assert half.graph.output[0] == whole.graph.output[0]
    expected, found = run(whole, image), run(half, image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())
    assert (found != expected).any(), "nothing was converted"


def scaled(values: list[float]) -> onnx.ModelProto:
    nodes = [helper.make_node("Mul", ["image", "scale"], ["class"], name="scaled")]
    kind = {"image": (TensorProto.FLOAT, [1, len(values)])}
    return graphs.model(nodes, kind, {"class": kind["image"]}, {"scale": np.array(values, np.float32)})


def test_says_in_one_line_what_fp16_cannot_hold() -> None:
    _, warnings = precision.half(scaled([1e-9, -1e-9, 2.0, 1e6]))
    (warning,) = warnings
    assert warning.startswith(
        "fp16: weights or constants beyond its range; the first of 3 warnings: the float32 number"
    )


def test_keeps_small_weights_that_fp16_holds_and_warns_of_none() -> None:
    small = [2.0**-24, 3 * 2.0**-24, -(2.0**-24), 9e-8]
    half, warnings = precision.half(scaled(small))
    assert warnings == ()
    assert onnx.numpy_helper.to_array(half.graph.initializer[0]).tolist() == [*small[:3], 2.0**-23]
    half, (warning,) = precision.half(scaled([4e-8, 1.0]))
    assert "will be truncated to 5.96" in warning
    assert onnx.numpy_helper.to_array(half.graph.initializer[0]).tolist() == [2.0**-24, 1.0]


def test_keeps_large_weights_that_fp16_holds() -> None:
    half, warnings = precision.half(scaled([60000.0, 1.0]))
    assert warnings == ()
    assert onnx.numpy_helper.to_array(half.graph.initializer[0]).tolist() == [60000.0, 1.0]


def test_refuses_a_graph_that_is_fp16_already() -> None:
    half, _ = precision.half(graphs.convolution())
    with pytest.raises(PrecisionError, match="found The model is already converted"):
        precision.half(half)


def test_says_what_to_install_where_the_converter_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: object, **named: object) -> object:
        if name.startswith("onnxconverter_common"):
            raise ImportError("no such library")
        return real(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BrokenRuntimeError, match="onnxconverter-common: expected"):
        precision.half(graphs.convolution())
