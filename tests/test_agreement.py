from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from acceptance import agreement
from acceptance.agreement import Agreement

FINITE = st.floats(-1e3, 1e3, width=32)


@st.composite
def images(draw):
    """Return images of any shapes: output and reference, by name."""
    shapes = draw(st.lists(array_shapes(max_dims=3, max_side=9), min_size=1, max_size=5))
    return {
        f"{number}.png": (
            draw(arrays(np.float32, shape, elements=FINITE)),
            draw(arrays(np.float32, shape, elements=FINITE)),
        )
        for number, shape in enumerate(shapes)
    }


def judge(pairs) -> Agreement:
    found = Agreement()
    for name, (output, reference) in pairs.items():
        assert found.update(output, reference, name)
    return found


def flat(pairs, side: int) -> np.ndarray:
    return np.concatenate([pair[side].ravel() for pair in pairs.values()]).astype(np.float64)


@given(images())
def test_gives_what_numpy_gives_in_float64(pairs):
    found, have, want = judge(pairs), flat(pairs, 0), flat(pairs, 1)
    error = have - want
    scale = max(1.0, float(np.abs(have).max()), float(np.abs(want).max()))
    assert found.rms == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-4, abs=1e-6 * scale)
    assert found.largest_error == pytest.approx(np.abs(error).max(), rel=1e-5, abs=1e-6 * scale)
    norms = np.linalg.norm(have) * np.linalg.norm(want)
    if norms > 1e-3:
        assert found.cosine == pytest.approx(have @ want / norms, abs=1e-4)
    assert found.not_finite == []


@given(images(), st.integers(0, 5))
def test_merging_parts_is_the_same_as_seeing_all_images(pairs, cut):
    names = list(pairs)
    first, second = ({name: pairs[name] for name in part} for part in (names[:cut], names[cut:]))
    merged, whole = judge(first), judge(pairs)
    merged.merge(judge(second))
    assert merged.rms == pytest.approx(whole.rms)
    assert merged.largest_error == whole.largest_error
    assert merged.rms_by_image == whole.rms_by_image
    assert merged.worst_image == whole.worst_image
    assert merged.cosine == (None if whole.cosine is None else pytest.approx(whole.cosine))


@given(st.integers(1, 40), st.integers(0, 39), st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans())
def test_finds_one_value_that_is_not_finite_wherever_it_stands(size, place, bad, compared):
    output = np.ones(size, np.float32)
    output[place % size] = bad
    found = Agreement()
    assert not found.update(output, np.ones(size, np.float32) if compared else None, "0801.png")
    assert found.not_finite == ["0801.png"]
    assert found.rms is None


def test_finds_it_in_the_last_block_of_a_large_image():
    output = np.zeros(2 * agreement.BLOCK + 3, np.float32)
    output[-1] = np.nan
    assert not Agreement().update(output, None, "0801.png")


def test_infinities_of_both_signs_do_not_cancel():
    assert not Agreement().update(np.array([np.inf, -np.inf], np.float32), None, "0801.png")


def test_names_images_that_are_not_finite_in_order_and_compares_the_others():
    found, good, bad = Agreement(), np.ones(4, np.float32), np.full(4, np.nan, np.float32)
    for name, output in (("b", bad), ("a", good), ("c", bad)):
        found.update(output, good + 1, name)
    other = Agreement()
    other.update(bad, good, "d")
    found.merge(other)
    assert found.not_finite == ["b", "c", "d"]
    assert found.rms_by_image == {"a": 1.0}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("have", "want"), [(1e30, 0.0), (3e38, -3e38)])
def test_huge_but_finite_values_are_compared_and_not_called_infinite(have, want):
    found = Agreement()
    assert found.update(np.full(9, have, np.float32), np.full(9, want, np.float32), "0801.png")
    assert found.not_finite == []
    assert found.rms == pytest.approx(have - want)
    assert found.largest_error == pytest.approx(have - want)


def test_blocks_of_a_large_image_add_up(monkeypatch):
    output = np.arange(100, dtype=np.float32)
    reference = output[::-1].copy()
    whole, parts = Agreement(), Agreement()
    whole.update(output, reference, "a")
    monkeypatch.setattr(agreement, "BLOCK", 7)
    parts.update(output, reference, "a")
    assert parts.rms == pytest.approx(whole.rms)
    assert parts.cosine == pytest.approx(whole.cosine)
    assert parts.largest_error == whole.largest_error == 99


def test_equal_outputs_agree():
    found = judge({"a": (np.full(9, 3, np.float32),) * 2})
    assert (found.rms, found.largest_error, found.cosine) == (0.0, 0.0, 1.0)


def test_the_worst_image_has_the_largest_rms_error_and_not_the_largest_error():
    zero = np.zeros(100, np.float32)
    one_pixel, everywhere = zero.copy(), zero + 2
    one_pixel[0] = 9
    assert judge({"one pixel": (one_pixel, zero), "everywhere": (everywhere, zero)}).worst_image == "everywhere"


def test_nothing_compared_is_no_agreement():
    found = Agreement()
    assert found.update(np.ones(3, np.float32), None, "a")
    assert (found.rms, found.cosine, found.worst_image) == (None, None, None)


def test_refuses_an_output_of_another_shape():
    with pytest.raises(
        ValueError, match=r"0801.png: expected an output of shape \(2, 3\), as fp32 gives; found \(6,\)"
    ):
        Agreement().update(np.zeros(6, np.float32), np.zeros((2, 3), np.float32), "0801.png")


def test_refuses_a_reference_that_is_not_finite():
    with pytest.raises(ValueError, match=r"0801.png: expected a finite fp32 reference.*check the weights"):
        Agreement().update(np.zeros(3, np.float32), np.array([0, np.nan, 0], np.float32), "0801.png")


def test_half_precision_outputs_are_compared_as_float32():
    found = judge({"a": (np.full(4, 2, np.float16), np.full(4, 1, np.float32))})
    assert found.rms == 1.0
