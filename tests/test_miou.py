from __future__ import annotations

import copy
import itertools
import json
import math
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from acceptance.metrics import miou
from acceptance.metrics.miou import METRIC, MIoU, confusion, iou, mean_iou
from fixtures.datasets.cityscapes import DATASET as CITYSCAPES

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "reference" / "golden"

# Cityscapes' label ids in the order of the train ids, for the official evaluation
LABEL_IDS = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], np.uint8)


def one_hot(prediction: list[list[int]], classes: int) -> np.ndarray:
    """C x H x W logits whose argmax is the prediction."""
    return np.moveaxis(np.eye(classes, dtype=np.float32)[np.array(prediction)], -1, 0)


def judge(*images: tuple[str, np.ndarray, np.ndarray]) -> MIoU:
    metric = MIoU()
    metric.update(
        [logits for _, logits, _ in images], [target for _, _, target in images], [name for name, _, _ in images]
    )
    return metric


def by_definition(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The confusion matrix pixel by pixel: NaN is the largest, the first of equals wins."""
    classes = logits.shape[1]
    counts = np.zeros((classes, classes), np.int64)
    for n, y, x in np.ndindex(*target.shape):
        pixel = [math.inf if math.isnan(value) else value for value in map(float, logits[n, :, y, x])]
        missing = [number for number in range(classes) if math.isnan(logits[n, number, y, x])]
        predicted = missing[0] if missing else pixel.index(max(pixel))
        if target[n, y, x] >= 0:
            counts[target[n, y, x], predicted] += 1
    return counts


def golden(key: str) -> list[dict]:
    path = GOLDEN / "miou_cases.json"
    return json.loads(path.read_text())[key] if path.exists() else [{"name": "absent"}]


@pytest.mark.parametrize("case", golden("cases"), ids=lambda case: case["name"])
def test_gives_what_the_original_script_gives(case):
    if case["name"] == "absent":
        pytest.skip(f"{GOLDEN} is not there: the golden cases lie beside this repository")
    with np.load(GOLDEN / "miou_cases.npz") as data:
        updates = [
            (data[f"{case['name']}_{k}_logits"], data[f"{case['name']}_{k}_target"]) for k in range(case["updates"])
        ]
    if case["name"] == "label_255":
        with pytest.raises(ValueError, match="found 255"):
            confusion(*updates[0])
        return
    total, metric = np.zeros((19, 19), np.int64), MIoU()
    for number, ((logits, target), running) in enumerate(zip(updates, case["running"], strict=True)):
        total += confusion(logits, target)
        metric.update(list(logits), list(target), [f"{number}.{image}" for image in range(len(logits))])
        assert mean_iou(total) == pytest.approx(running["mIoU"]["value"], abs=1e-6)
        if total.any():
            assert metric.result().value == 100 * mean_iou(total)
    intersection = np.diagonal(total)
    assert intersection.tolist() == case["total_inter"]
    assert (total.sum(0) + total.sum(1) - intersection).tolist() == case["total_union"]
    assert total.sum() == case["total_label"]
    assert mean_iou(total) == pytest.approx(case["mIoU_float64_absent_as_0"], abs=1e-15)


def test_two_classes_by_hand():
    logits = one_hot([[0, 0, 1, 1]], 2)
    target = np.array([[0, 1, 1, -1]])
    counts = confusion(logits[None], target[None], classes=2)
    assert counts.tolist() == [[1, 0], [1, 1]]  # rows are the truth; the ignored pixel is nowhere
    assert counts.dtype == np.int64
    assert iou(counts).tolist() == [1 / 2, 1 / 2]
    result = judge(("a", logits, target)).result()
    assert result.value == 50
    assert result.unit == MIoU.unit == "%"
    assert result.per_class == {"0": 50, "1": 50}
    assert METRIC is MIoU


def test_the_first_class_wins_a_tie():
    logits = np.array([1, 5, 5, 5], np.float32).reshape(1, 4, 1, 1)
    assert confusion(logits, np.zeros((1, 1, 1), int), classes=4)[0].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("pixel", "winner"),
    [
        ([1, math.nan, 9], 1),
        ([math.nan, math.nan, 9], 0),
        ([math.inf, 9, math.nan], 2),
        ([-math.inf, -math.inf, -math.inf], 0),
    ],
)
def test_the_first_nan_wins(pixel, winner):
    logits = np.array(pixel, np.float32).reshape(1, 3, 1, 1)
    assert confusion(logits, np.zeros((1, 1, 1), int), classes=3)[0, winner] == 1


CORNERS = st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, math.nan, math.inf, -math.inf, 1e-45, -1e-45])


@st.composite
def any_images(draw, classes: int = 5):
    count, height, width = draw(array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))
    logits = draw(arrays(np.float32, (count, classes, height, width), elements=CORNERS | st.floats(width=32)))
    dtype = draw(st.sampled_from([np.int8, np.int32, np.int64]))
    return logits, draw(arrays(dtype, (count, height, width), elements=st.integers(-1, classes - 1)))


@given(any_images(), st.integers(1, 40))
def test_counts_what_the_definition_counts_whatever_the_block(images, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(miou, "BLOCK", block)
        assert np.array_equal(confusion(*images, classes=5), by_definition(*images))


@given(any_images())
def test_neither_memory_layout_nor_mirroring_change_the_counts(images):
    logits, target = images
    expected = confusion(logits, target, classes=5)
    channels_last = np.ascontiguousarray(logits.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(confusion(channels_last, np.asfortranarray(target), classes=5), expected)
    assert np.array_equal(confusion(logits[..., ::-1, ::-1], target[..., ::-1, ::-1], classes=5), expected)


@given(
    arrays(np.float32, (1, 4, 3, 3), unique=True),
    arrays(np.int64, (1, 3, 3), elements=st.integers(-1, 3)),
    st.permutations(range(4)),
)
def test_renaming_the_classes_renames_the_counts(logits, target, order):
    assume(not np.isnan(logits).any())  # which of several NaN is the first depends on the order
    renamed = np.where(target < 0, -1, np.argsort(order)[target])
    counts = confusion(logits, target, classes=4)
    assert np.array_equal(confusion(logits[:, order], renamed, classes=4), counts[np.ix_(order, order)])


@given(any_images(), st.integers(0, 6), st.randoms(use_true_random=False))
def test_merging_parts_in_any_order_is_judging_all_at_once(images, cut, shuffle: random.Random):
    named = [(str(number), logits, target) for number, (logits, target) in enumerate(zip(*images, strict=True))]
    assume((images[1] >= 0).any())
    whole = judge(*named).result()
    shuffle.shuffle(named)
    parts = judge(*named[:cut]), judge(*named[cut:])
    parts[0].merge(parts[1])
    assert parts[0].result() == whole
    assert whole.value == 100 * mean_iou(confusion(images[0], images[1], classes=5))


def test_more_than_255_classes_are_told_apart():
    classes = 300
    logits = one_hot([[0, 255, 256, 299]], classes)
    counts = confusion(logits[None], np.array([[[0, 255, 256, 299]]]), classes=classes)
    assert np.flatnonzero(np.diagonal(counts)).tolist() == [0, 255, 256, 299]


def test_counts_beyond_what_float32_holds():
    counts = np.array([[2**24 + 1, 0], [0, 2**40 + 1]])
    assert mean_iou(counts) == 1
    counts[0, 1] = 1
    assert mean_iou(counts) == ((2**24 + 1) / (2**24 + 2) + (2**40 + 1) / (2**40 + 2)) / 2


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (255, np.int32), (3, np.int64), (-2, np.int8)])
def test_refuses_a_target_that_is_no_class(value, dtype):
    target = np.array([[0, 1, value]]).astype(dtype)
    with pytest.raises(ValueError, match=f"^street: expected targets from 0 to 2, or -1 to ignore; found {value};"):
        judge(("street", np.zeros((3, 1, 3), np.float32), target))


def test_refuses_a_target_of_fractions():
    with pytest.raises(ValueError, match="integer type; found float32"):
        confusion(np.zeros((1, 3, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32), classes=3)


@pytest.mark.parametrize(
    ("logits", "target"),
    [((1, 3, 2, 2), (1, 2, 3)), ((1, 4, 2, 2), (1, 2, 2)), ((3, 2, 2), (1, 2, 2)), ((2, 3, 2, 2), (1, 2, 2))],
)
def test_refuses_shapes_that_do_not_fit(logits, target):
    with pytest.raises(ValueError, match="expected N x 3 x H x W and N x H x W; found logits"):
        confusion(np.zeros(logits, np.float32), np.zeros(target, int), classes=3)


def test_the_first_image_sets_the_classes():
    metric = judge(("a", one_hot([[0]], 3), np.array([[0]])))
    with pytest.raises(ValueError, match=r"^b: expected N x 3 x H x W"):
        metric.update([one_hot([[0]], 4)], [np.array([[0]])], ["b"])
    with pytest.raises(ValueError, match="same classes; found 3 and 4"):
        metric.merge(judge(("b", one_hot([[0]], 4), np.array([[0]]))))


def test_absent_classes_count_0_and_are_named():
    everything = [[number for number in range(19) if number not in (3, 14, 16)]]
    metric = judge(("a", one_hot(everything, 19), np.array(everything)))
    metric.classes = CITYSCAPES.classes
    result = metric.result()
    assert result.value == pytest.approx(100 * 16 / 19)
    assert result.per_class["road"] == 100
    assert result.per_class["train"] == 0
    assert result.notes == ("3 of 19 classes are absent and count 0: wall, truck, train",)
    assert result.per_image == {"a": 100}  # an image is ranked by the classes it has


def test_classes_are_numbered_unless_the_data_set_names_as_many():
    everything = [list(range(19))]
    metric = judge(("a", one_hot(everything, 19), np.array(everything)))
    assert list(metric.result().per_class) == [str(number) for number in range(19)]
    metric.classes = ("cat", "dog")
    assert list(metric.result().per_class) == [str(number) for number in range(19)]


def test_an_image_without_labels_adds_nothing_and_is_named():
    nothing = ("dark", one_hot([[1, 1]], 2), np.array([[-1, -1]]))
    result = judge(("a", one_hot([[0, 1]], 2), np.array([[0, 1]])), nothing).result()
    assert result.value == 100
    assert result.per_image == {"a": 100}
    assert result.notes == ("1 of 2 images have no labelled pixel and add nothing: dark",)
    with pytest.raises(ValueError, match="labelled pixels; found none in 1 images"):
        judge(nothing).result()


def test_is_not_the_mean_of_the_images():
    result = judge(
        ("a", one_hot([[0, 0, 0, 0]], 2), np.array([[0, 0, 0, 1]])),
        ("b", one_hot([[1, 1, 1, 1]], 2), np.array([[1, 1, 1, 1]])),
    ).result()
    assert result.value == 100 * (3 / 4 + 4 / 5) / 2
    assert result.per_image == {"a": 100 * (3 / 4) / 2, "b": 100}


def test_counts_every_image_once():
    image = ("a", one_hot([[0]], 2), np.array([[0]]))
    with pytest.raises(ValueError, match="a: already judged"):
        judge(image, image)
    with pytest.raises(ValueError, match="a: is in both parts"):
        judge(image).merge(judge(image))


def test_an_empty_part_changes_nothing():
    full = judge(("a", one_hot([[0, 1]], 2), np.array([[0, 1]])))
    full.merge(MIoU())
    empty = MIoU()
    empty.merge(full)
    assert empty.result() == full.result()
    with pytest.raises(ValueError, match="found none in 0 images"):
        MIoU().result()


def test_does_not_change_what_it_is_given():
    logits, target = one_hot([[0, 1]], 2), np.array([[0, 1]])
    logits.flags.writeable = target.flags.writeable = False
    assert judge(("a", logits, target)).result().value == 100


def test_needs_no_copy_of_the_logits():
    logits, target = np.zeros((19, 480, 480), np.float32), np.zeros((480, 480), np.int32)
    tracemalloc.start()
    judge(("a", logits, target))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < logits.nbytes / 8


def test_agrees_with_torchmetrics_where_every_class_is_there():
    oracles = pytest.importorskip("torchmetrics.classification", reason="torchmetrics is an oracle of the dev extra")
    import torch

    logits, target = street()
    oracle = oracles.MulticlassJaccardIndex(num_classes=19, ignore_index=-1, average="none")
    expected = oracle(torch.from_numpy(logits), torch.from_numpy(target))
    np.testing.assert_allclose(iou(confusion(logits, target)), expected.numpy(), atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_agrees_with_the_official_cityscapes_evaluation(tmp_path):
    module = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    official = pytest.importorskip(module, reason="cityscapesScripts is an oracle of the dev extra")
    from PIL import Image

    logits, target = street()
    pairs = []
    for number, (prediction, label) in enumerate(zip(logits.argmax(1), target, strict=True)):
        paths = [tmp_path / f"city_{number:06}_000000_{kind}.png" for kind in ("prediction", "gtFine_labelIds")]
        Image.fromarray(LABEL_IDS[prediction]).save(paths[0])
        Image.fromarray(np.where(label < 0, 0, LABEL_IDS[label]).astype(np.uint8)).save(paths[1])
        pairs.append(paths)
    arguments = copy.copy(official.args)  # a global of that module
    arguments.evalInstLevelScore = arguments.JSONOutput = False
    arguments.quiet = True
    scores = official.evaluateImgLists(
        *[[str(path) for path in column] for column in zip(*pairs, strict=True)], arguments
    )
    metric = judge(*[(str(number), *image) for number, image in enumerate(zip(logits, target, strict=True))])
    metric.classes = CITYSCAPES.classes
    ours = metric.result()
    for name, value in ours.per_class.items():
        assert value / 100 == pytest.approx(scores["classScores"][name], abs=1e-12)
    assert ours.value / 100 == pytest.approx(scores["averageScoreClasses"], abs=1e-12)


def street() -> tuple[np.ndarray, np.ndarray]:
    """Three images in which every class is labelled and predicted, right two times in three."""
    random_numbers = np.random.default_rng(5)
    target = random_numbers.integers(-1, 19, (3, 40, 30))
    guess = np.where(random_numbers.random(target.shape) < 2 / 3, target, random_numbers.integers(0, 19, target.shape))
    logits = random_numbers.normal(0, 1, (3, 19, 40, 30)).astype(np.float32)
    for number, y, x in itertools.product(range(3), range(40), range(30)):
        logits[number, max(guess[number, y, x], 0), y, x] += 10
    return logits, target
