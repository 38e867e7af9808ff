"""An engine is run only if it takes and gives what its model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.case import Case
from fixtures.model import Gate, Model, Tensor
from fixtures.runtime import Signature
from fixtures.runtime import Tensor as Found
from fixtures.signature import SignatureError, check

MODEL = Model(
    "two",
    "data",
    "top1",
    (Tensor("image", ("N", 3, "S", "S")), Tensor("mask", ("N", "S"), "int64")),
    (Tensor("", ("N", 5)),),
    {},
    Gate(0.01),
    {},
)
CASE = Case("sample", "two", 8, 4, "b")
IMAGE, MASK = Found("image", (4, 3, 8, 8), "float32"), Found("mask", (4, 8), "int64")
OUTPUT = Found("PartitionedCall:0:logits", (4, 5), "float32")


def judge(inputs=(IMAGE, MASK), outputs=(OUTPUT,)):
    check(Signature(inputs, outputs), MODEL, CASE, Path("model.om"))


def test_takes_an_engine_that_fits_whatever_its_outputs_are_called():
    judge()
    check(None, MODEL, CASE, Path("weights"))


def test_open_axes_take_any_batch():
    judge(inputs=(Found("image", (-1, 3, 8, 8), "float32"), MASK))


def test_an_engine_with_several_batches_describes_its_outputs_at_the_largest():
    opened = (Found("image", (-1, 3, 8, 8), "float32"), MASK)
    judge(inputs=opened, outputs=(Found("o", (16, 5), "float32"),))
    with pytest.raises(SignatureError):
        judge(inputs=opened, outputs=(Found("o", (16, 5, 1), "float32"),))
    with pytest.raises(SignatureError):
        judge(outputs=(Found("o", (16, 5), "float32"),))


def test_half_precision_outputs_are_taken_and_half_precision_inputs_are_not():
    judge(outputs=(Found("o", (4, 5), "float16"),))
    with pytest.raises(SignatureError, match="expected input image float32 4 x 3 x 8 x 8; found image float16"):
        judge(inputs=(Found("image", (4, 3, 8, 8), "float16"), MASK))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": (Found("image", (1, 3, 8, 8), "float32"), MASK)}, "found image float32 1 x 3 x 8 x 8; name the"),
        ({"inputs": (IMAGE, Found("mask", (4, 8), "int32"))}, "expected input mask int64 4 x 8; found mask int32"),
        ({"inputs": (Found("image", (4, 8, 8, 3), "uint8"), MASK)}, "found image uint8 4 x 8 x 8 x 3"),
        ({"inputs": (IMAGE,)}, "expected 2 inputs, as two has; found 1: image float32"),
        ({"outputs": ()}, "expected 1 outputs, as two has; found 0"),
        ({"outputs": (Found("o", (4, 5, 1), "float32"),)}, r"expected output \(unnamed\) float32 4 x 5; found o"),
    ],
)
def test_refuses_what_differs_and_names_it(changes, message):
    with pytest.raises(SignatureError, match=message):
        judge(**changes)


def test_refuses_inputs_in_another_order():
    model_like = Model(
        "same", "d", "m", (Tensor("a", ("N", 2)), Tensor("b", ("N", 2))), (Tensor("o", ("N", 2)),), {}, Gate(0.1), {}
    )
    found = Signature((Found("b", (4, 2), "float32"), Found("a", (4, 2), "float32")), (Found("o", (4, 2), "float32"),))
    with pytest.raises(SignatureError, match=r"in the order \['a', 'b'\]; found \['b', 'a'\]"):
        check(found, model_like, CASE, Path("e"))
