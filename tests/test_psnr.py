from __future__ import annotations

import json
import math
import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from acceptance.metrics.psnr import METRIC, PSNR, psnr

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "reference" / "golden"
INFINITE = {"identical", "shave_edge_only_border_wrong", "half_rounding_just_below"}
REFUSED = {
    "empty_16xN": "sides above 16",
    "gray_hr_2d": "H x W x 3",
    "alpha_hr": "without alpha",
    "alpha_both": "without alpha",
    "size_mismatch": "the output is 52x43, the truth 52x44",
    "hr_1x1x1": "sides above 16",
    "nan_inside": "NaN",
}


def image(height: int = 20, width: int = 24, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def planes(truth: np.ndarray, error: float = 0.0) -> np.ndarray:
    return np.ascontiguousarray(truth.transpose(2, 0, 1), dtype=np.float32) + np.float32(error)


def judge(*pairs: tuple[str, np.ndarray, np.ndarray]) -> PSNR:
    metric = PSNR()
    metric.update([output for _, output, _ in pairs], [truth for _, _, truth in pairs], [name for name, _, _ in pairs])
    return metric


def without_opencv(output: np.ndarray, truth: np.ndarray, shave: int) -> float:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)
        return psnr(output, truth, shave)


def golden_cases() -> list[dict]:
    path = GOLDEN / "psnr_cases.json"
    return json.loads(path.read_text())["cases"] if path.exists() else [{"name": "absent"}]


@pytest.mark.parametrize("opencv", [True, False], ids=["opencv", "numpy"])
@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case["name"])
def test_gives_what_the_original_script_gives(case, opencv, monkeypatch):
    if case["name"] == "absent":
        pytest.skip(f"{GOLDEN} is not there: the golden cases lie beside this repository")
    if not opencv:
        monkeypatch.setitem(sys.modules, "cv2", None)
    with np.load(GOLDEN / "psnr_cases.npz") as data:
        output, truth = data[f"{case['name']}_sr"], data[f"{case['name']}_hr"]
    if case["name"] in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[case["name"]]):
            psnr(output, truth)
    elif case["name"] in INFINITE:
        assert psnr(output, truth) == math.inf
    else:
        assert case["outcome"] == "value"
        assert psnr(output, truth) == pytest.approx(case["psnr"]["value"], abs=1e-5)
        if "psnr_float64" in case:
            assert psnr(output, truth) == pytest.approx(case["psnr_float64"]["value"], abs=1e-12)


def test_one_grey_level_everywhere_is_48_13_db():
    truth = image()
    assert psnr(truth.astype(np.float32) + 1, truth) == pytest.approx(20 * math.log10(255), abs=1e-12)


def test_one_wrong_value_counts_over_all_kept_values():
    truth = image(20, 24)
    output = truth.astype(np.float32)
    output[9, 10, 1] += 3
    assert psnr(output, truth) == pytest.approx(10 * math.log10(255**2 * (4 * 8 * 3) / 9), abs=1e-12)


@pytest.mark.parametrize(
    ("value", "truth", "wrong"), [(2.5, 2, 0), (3.5, 4, 0), (2.5, 3, 1), (0.5, 0, 0), (254.5, 254, 0)]
)
def test_rounds_half_to_even(value, truth, wrong):
    expected = math.inf if not wrong else 20 * math.log10(255)
    assert psnr(np.full((17, 17, 3), value, np.float32), image(17, 17, truth)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "truth"), [(-0.5, 0), (-1e30, 0), (-math.inf, 0), (255.5, 255), (3e9, 255), (1e30, 255), (math.inf, 255)]
)
def test_clamps_before_it_rounds(value, truth):
    output = np.full((17, 90, 3), value, np.float32)
    assert psnr(output, image(17, 90, truth)) == math.inf


def test_keeps_the_ninth_pixel_and_drops_the_eighth():
    truth = image(40, 40)
    output = truth.astype(np.float32)
    output[7, 20] = output[20, 7] = output[32, 20] = output[20, 32] = np.nan
    assert psnr(output, truth) == math.inf
    for place in [(8, 20), (20, 8), (31, 20), (20, 31)]:
        touched = output.copy()
        touched[place] += 1
        assert math.isfinite(psnr(touched, truth))


def test_takes_another_shave():
    truth = image(4, 4)
    assert psnr(truth.astype(np.float32) + 1, truth, shave=0) == pytest.approx(20 * math.log10(255))
    with pytest.raises(ValueError, match="sides above 4, twice the shave; found 4x4"):
        psnr(truth.astype(np.float32), truth, shave=2)
    with pytest.raises(ValueError, match="twice the shave"):
        psnr(truth.astype(np.float32), truth, shave=-1)


def test_takes_exactly_what_float32_holds():
    truth = image(17, 17, 7)
    assert psnr(truth, truth) == math.inf
    assert psnr(truth.astype(np.float16), truth) == math.inf
    with pytest.raises(ValueError, match="float64"):
        psnr(truth.astype(np.float64), truth)
    with pytest.raises(ValueError, match=r"8 bits \(uint8\); found float32"):
        psnr(truth.astype(np.float32), truth.astype(np.float32))
    with pytest.raises(ValueError, match="height x width x channels"):
        psnr(truth[..., 0].astype(np.float32), truth)


SOME_FLOATS = st.one_of(
    st.integers(-4, 520).map(lambda number: number / 2),
    st.sampled_from([math.nan, math.inf, -math.inf, 2.0**31, -(2.0**31), 3e38, 0.49999997, 254.50002, -0.0]),
    st.floats(width=32),
)


@st.composite
def any_pair(draw):
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))
    output = draw(arrays(np.float32, (*shape, 3), elements=SOME_FLOATS, fill=st.integers(0, 255)))
    truth = draw(arrays(np.uint8, (*shape, draw(st.sampled_from([1, 3])))))
    return output, truth


@given(any_pair())
def test_opencv_and_numpy_agree_bit_for_bit(pair):
    results = []
    for function in (psnr, without_opencv):
        try:
            results.append(function(*pair, 0))
        except ValueError as error:
            results.append(str(error))
    assert results[0] == results[1]
    assert ("NaN" in str(results[0])) == np.isnan(pair[0]).any()


@given(any_pair(), st.permutations(range(3)))
def test_neither_permuted_channels_nor_mirroring_change_the_figure(pair, order):
    output, truth = np.nan_to_num(pair[0], nan=1), np.broadcast_to(pair[1], pair[0].shape)
    expected = psnr(output, truth, 0)
    assert psnr(output[..., order], truth[..., order], 0) == expected
    assert psnr(output[::-1, ::-1], truth[::-1, ::-1], 0) == expected
    assert psnr(output.transpose(1, 0, 2), truth.transpose(1, 0, 2), 0) == expected


@given(arrays(np.float32, (3, 19, 18), elements=st.integers(0, 255)), arrays(np.uint8, (19, 18, 3)))
def test_planes_give_what_the_pure_function_gives(output, truth):
    padded = np.full((3, 30, 30), np.nan, np.float32)
    padded[:, :19, :18] = output
    metric = judge(("a", padded[:, :19, :18], truth))
    assert metric.result().per_image["a"] == psnr(output.transpose(1, 2, 0), truth)


@given(st.lists(st.floats(0.5, 100), min_size=1, max_size=6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_merging_parts_in_any_order_is_judging_all_at_once(errors, cut, shuffle: random.Random):
    pairs = [(f"{number:04}", planes(image(), error), image()) for number, error in enumerate(errors)]
    whole = judge(*pairs).result()
    shuffle.shuffle(pairs)
    parts = judge(*pairs[:cut]), judge(*pairs[cut:])
    parts[1].merge(parts[0])
    assert parts[1].result() == whole


def test_the_figure_is_the_mean_of_the_decibels():
    result = judge(("0801", planes(image(), 1), image()), ("0802", planes(image(), 10), image())).result()
    assert result.value == pytest.approx(20 * math.log10(255) - 10)
    assert result.unit == PSNR.unit == "dB"
    assert METRIC is PSNR
    assert list(result.per_image) == ["0801", "0802"]
    assert result.notes == ()


def test_an_identical_image_is_named_and_does_not_decide_the_mean():
    same, off = planes(image()), planes(image(), 1)
    result = judge(("0801", same, image()), ("0802", off, image())).result()
    assert result.value == pytest.approx(20 * math.log10(255))
    assert result.per_image["0801"] == math.inf
    assert result.notes == ("1 identical image (0801) is left out of the mean: its PSNR is infinite",)
    many = judge(*[(f"{number}", same, image()) for number in range(6)], ("off", off, image())).result()
    assert many.notes == ("6 identical images (0, 1, 2, 3, 4, ...) are left out of the mean: their PSNR is infinite",)


def test_only_identical_images_are_infinite_and_it_is_said():
    result = judge(("0801", planes(image()), image())).result()
    assert result.value == math.inf
    assert result.notes == ("every image is identical to its target (1): the PSNR is infinite",)


def test_names_the_image_with_nan():
    broken = planes(image())
    broken[1, 10, 10] = np.nan
    with pytest.raises(ValueError, match=r"^0802: .*NaN inside the kept area"):
        judge(("0801", planes(image()), image()), ("0802", broken, image()))


@pytest.mark.parametrize(
    "target", [image()[..., 0], image()[..., :1], np.zeros((20, 24, 4), np.uint8)], ids=["2-D", "grey", "alpha"]
)
def test_refuses_a_target_that_is_not_rgb(target):
    with pytest.raises(ValueError, match=r"^0801: expected 3 x H x W and H x W x 3; found .*read images as RGB"):
        judge(("0801", planes(image()), target))


def test_refuses_a_target_that_is_not_8_bits():
    with pytest.raises(ValueError, match=r"^0801: .*uint8.*found uint16"):
        judge(("0801", planes(image()), image().astype(np.uint16)))


def test_refuses_an_output_that_still_has_its_padding():
    with pytest.raises(ValueError, match=r"^0801: .*the output is 26x20, the truth 24x20; crop the padding"):
        judge(("0801", np.zeros((3, 20, 26), np.float32), image()))


def test_counts_every_image_once():
    metric = judge(("0801", planes(image()), image()))
    with pytest.raises(ValueError, match="0801: already judged"):
        metric.update([planes(image())], [image()], ["0801"])
    with pytest.raises(ValueError, match="0801: is in both parts"):
        metric.merge(judge(("0801", planes(image()), image())))


def test_refuses_outputs_without_targets():
    with pytest.raises(ValueError, match="zip"):
        PSNR().update([planes(image())], [], ["0801"])


def test_has_nothing_to_say_without_images():
    with pytest.raises(ValueError, match="at least one image; found none"):
        PSNR().result()


def test_does_not_change_what_it_is_given():
    output, truth = planes(image(), 0.25), image()
    output.flags.writeable = truth.flags.writeable = False  # a memory map is not writable either
    assert judge(("0801", output, truth)).result().value == math.inf


@pytest.mark.parametrize("opencv", [True, False], ids=["opencv", "numpy"])
def test_needs_no_copy_of_the_image(opencv, monkeypatch):
    if not opencv:
        monkeypatch.setitem(sys.modules, "cv2", None)
    truth = image(1600, 800)
    output = planes(truth, 0.75)
    psnr(output.transpose(1, 2, 0)[:20, :20], truth[:20, :20])  # imports are not what is measured
    tracemalloc.start()
    judge(("a", output, truth))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < output.nbytes / 8


def test_agrees_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is an oracle of the dev extra")
    truth, output = noisy_pair()
    quantised = np.clip(output, 0, 255).round().astype(np.uint8)
    expected = metrics.peak_signal_noise_ratio(truth[8:-8, 8:-8], quantised[8:-8, 8:-8], data_range=255)
    assert psnr(output, truth) == pytest.approx(expected, abs=1e-12)


def test_agrees_with_torchmetrics():
    image_metrics = pytest.importorskip("torchmetrics.image", reason="torchmetrics is an oracle of the dev extra")
    import torch

    truth, output = noisy_pair()
    oracle = image_metrics.PeakSignalNoiseRatio(data_range=255.0)
    quantised = torch.from_numpy(np.clip(output, 0, 255).round().astype(np.float64))
    expected = oracle(quantised[8:-8, 8:-8], torch.from_numpy(truth[8:-8, 8:-8].astype(np.float64)))
    assert psnr(output, truth) == pytest.approx(float(expected), abs=1e-5)


def noisy_pair() -> tuple[np.ndarray, np.ndarray]:
    random_numbers = np.random.default_rng(3)
    truth = random_numbers.integers(0, 256, (150, 70, 3), dtype=np.uint8)
    return truth, (truth + random_numbers.normal(0, 9, truth.shape)).astype(np.float32)
