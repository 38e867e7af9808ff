from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptance.metrics.top1 import METRIC, Top1


def judge(*answers: tuple[str, list[float], int]) -> Top1:
    metric = Top1()
    outputs = [np.array(logits, np.float32) for _, logits, _ in answers]
    metric.update(outputs, [np.array(label) for _, _, label in answers], [name for name, _, _ in answers])
    return metric


def test_three_of_four_are_75_points():
    result = judge(("a", [9, 0, 0], 0), ("b", [0, 9, 0], 1), ("c", [0, 9, 0], 1), ("d", [0, 9, 0], 0)).result()
    assert result.value == 75
    assert result.unit == Top1.unit == "points"
    assert result.per_image == {"a": 100, "b": 100, "c": 100, "d": 0}
    assert result.per_class == {"0": 50, "1": 100}  # recall of the classes that were labelled
    assert METRIC is Top1


def test_the_recall_is_named_as_the_data_set_names_its_classes():
    metric = judge(("a", [9, 0, 0], 0), ("b", [0, 9, 0], 2))
    metric.classes = ("cat", "dog")
    assert metric.result().per_class == {"cat": 100, "2": 0}


def test_the_first_class_wins_a_tie():
    assert judge(("a", [1, 5, 5], 1)).result().value == 100
    assert judge(("a", [1, 5, 5], 2)).result().value == 0


def test_takes_integer_logits_and_a_target_of_one_element():
    metric = Top1()
    metric.update([np.array([0, 200, 3], np.uint8)], [np.array([1], np.int32)], ["a"])
    assert metric.result().value == 100


@given(
    st.lists(st.tuples(st.lists(st.floats(-9, 9), min_size=4, max_size=4), st.integers(0, 3)), min_size=1, max_size=8),
    st.integers(0, 8),
    st.randoms(use_true_random=False),
)
def test_merging_parts_in_any_order_is_judging_all_at_once(answers, cut, shuffle: random.Random):
    named = [(str(number), *answer) for number, answer in enumerate(answers)]
    whole = judge(*named).result()
    shuffle.shuffle(named)
    parts = judge(*named[:cut]), judge(*named[cut:])
    parts[0].merge(parts[1])
    assert parts[0].result() == whole


@pytest.mark.parametrize("target", [3, -1, 1.0, [0, 1], []], ids=["above", "below", "float", "two", "none"])
def test_refuses_a_target_that_is_no_class(target):
    with pytest.raises(ValueError, match=r"^a: expected one class number from 0 to 2; found"):
        Top1().update([np.zeros(3, np.float32)], [np.array(target)], ["a"])


@pytest.mark.parametrize(
    ("output", "found"), [(np.zeros((1, 3)), "shape"), (np.zeros(0), "shape"), ([0, math.nan], "NaN")]
)
def test_refuses_an_output_that_is_not_one_number_per_class(output, found):
    with pytest.raises(ValueError, match=f"^a: expected one logit per class, all numbers; found {found}"):
        Top1().update([np.asarray(output, np.float32)], [np.array(0)], ["a"])


def test_counts_every_image_once():
    metric = judge(("a", [1, 0], 0))
    with pytest.raises(ValueError, match="a: already judged"):
        metric.update([np.zeros(2, np.float32)], [np.array(0)], ["a"])
    with pytest.raises(ValueError, match="a: is in both parts"):
        metric.merge(judge(("a", [1, 0], 0)))


def test_has_nothing_to_say_without_images():
    with pytest.raises(ValueError, match="at least one image; found none"):
        Top1().result()
