"""Cityscapes: integrity, and the preprocessing against Pillow and the original's outputs where they are at hand."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fixtures.dataset import DataError, Dataset
from fixtures.datasets.cityscapes import DATASET, TRAIN_ID, geometry, preprocess
from fixtures.model import SAMPLE

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = SHARED / "reference" / "golden"
SCENES = SAMPLE / "street_scenes"

needs_shared = pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared, with the original's results, is not here")

SIDES = st.integers(1, 90)


def problems(folder: Path, official: bool = False) -> list[str]:
    return list(DATASET.problems(folder, DATASET.names(folder), official))


def sha256(array: np.ndarray, dtype: str) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, dtype).tobytes()).hexdigest()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def ids(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 34, (height, width), np.uint8))


def formula(width: int, height: int, p: int, q: int, k: int) -> Image.Image:
    rows, columns = np.ogrid[:height, :width]
    return Image.fromarray((((rows // p) * 5 + (columns // q) * 7 + k) % 34).astype(np.uint8))


def put(
    folder: Path, name: str, image: Image.Image | None = None, label: Image.Image | None = None, city="ville"
) -> None:
    places = folder / "leftImg8bit/val" / city, folder / "gtFine/val" / city
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    (image or noise(64, 32)).save(places[0] / f"{name}_leftImg8bit.png")
    (label or ids(64, 32)).save(places[1] / f"{name}_gtFine_labelIds.png")


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Two whole pairs, with the files beside them that the archives hold too."""
    put(tmp_path, "ville_0")
    put(tmp_path, "ville_1")
    for kind in ("color", "instanceIds", "labelTrainIds"):
        ids(64, 32).save(tmp_path / f"gtFine/val/ville/ville_0_gtFine_{kind}.png")
    (tmp_path / "gtFine/val/ville/ville_0_gtFine_polygons.json").write_text("{}")
    (tmp_path / "README").write_text("x")
    return tmp_path


def image_file(folder: Path) -> Path:
    return folder / "leftImg8bit/val/ville/ville_0_leftImg8bit.png"


def label_file(folder: Path) -> Path:
    return folder / "gtFine/val/ville/ville_0_gtFine_labelIds.png"


def test_is_a_data_set():
    dataset: Dataset = DATASET
    assert dataset.name == "cityscapes"


# Integrity


def test_finds_the_sample_whole():
    assert len(DATASET.names(SCENES)) == 10
    assert problems(SCENES) == []
    assert DATASET.size(SCENES) == 480


def test_pairs_image_and_label_ids_and_leaves_the_other_files_alone(pairs):
    assert DATASET.names(pairs) == ["ville_0", "ville_1"]
    assert DATASET.files(pairs, "ville_0") == (image_file(pairs), label_file(pairs))
    assert problems(pairs) == []


@pytest.mark.parametrize("lacking", [image_file, label_file])
def test_reports_a_lone_file(pairs, lacking):
    lacking(pairs).unlink()
    (found,) = problems(pairs)
    assert found.startswith("ville_0: expected one image, and its labelIds in the same city's folder; found")


def test_reports_one_name_in_two_cities(pairs):
    put(pairs, "ville_0", city="dorf")
    assert problems(pairs) == [
        "ville_0: expected one image, and its labelIds in the same city's folder; found "
        "the image in dorf and ville, labelIds in dorf and ville"
    ]


def test_reports_a_label_in_another_city(pairs):
    (pairs / "gtFine/val/dorf").mkdir()
    shutil.move(label_file(pairs), pairs / "gtFine/val/dorf")
    assert "the image in ville, labelIds in dorf" in problems(pairs)[0]


def test_tells_train_ids_from_label_ids(pairs):
    for label in (pairs / "gtFine/val/ville").glob("*_labelIds.png"):
        label.rename(label.with_name(label.name.replace("labelIds", "labelTrainIds")))
    with pytest.raises(DataError, match="labelTrainIds, which are mapped already; labelIds are needed"):
        DATASET.names(pairs)


def test_tells_coarse_labels(pairs):
    (pairs / "gtFine").rename(pairs / "gtCoarse")
    with pytest.raises(DataError, match="gtCoarse, which the published figure does not use"):
        DATASET.names(pairs)


def test_names_the_splits_it_found_instead(pairs):
    for part in ("leftImg8bit", "gtFine"):
        (pairs / part / "val").rename(pairs / part / "test")
    with pytest.raises(
        DataError, match=r"expected leftImg8bit/val/.* and gtFine/val/.*; found gtFine/test, leftImg8bit/test"
    ):
        DATASET.names(pairs)


def test_says_that_an_empty_folder_is_empty(tmp_path):
    with pytest.raises(DataError, match="found no such folder"):
        DATASET.names(tmp_path)


def test_tells_the_dummies_of_the_test_split(pairs):
    Image.fromarray((np.arange(64 * 32) % 4).astype(np.uint8).reshape(32, 64)).save(label_file(pairs))
    assert problems(pairs) == [
        "ville_0_gtFine_labelIds.png: expected some evaluated class; found only ids 0, 1, 2, 3, "
        "as in the dummies of the test split, or train ids"
    ]


@pytest.mark.parametrize("unknown", [34, 255])
def test_reports_an_id_that_does_not_exist(pairs, unknown):
    label = ids(64, 32)
    label.putpixel((0, 0), unknown)  # outside the crop as well: the file is wrong
    label.save(label_file(pairs))
    assert problems(pairs) == [f"ville_0_gtFine_labelIds.png: expected label ids up to 33; found {unknown}"]


def trained(label: Image.Image, ignored: int) -> Image.Image:
    """The label in train ids."""
    train_ids = TRAIN_ID[np.asarray(label)]
    return Image.fromarray(np.where(train_ids < 0, ignored, train_ids).astype(np.uint8))


def test_tells_train_ids_by_the_255_of_what_is_not_scored(pairs):
    trained(ids(64, 32), 255).save(label_file(pairs))
    (found,) = problems(pairs)
    assert found.startswith("ville_0_gtFine_labelIds.png: expected label ids; found only 0, 1, 2, ")
    assert found.endswith(", 255: these look like train ids; labelIds are needed (gtFine_labelIds.png)")


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("ignored", [19, 18, 0])
def test_tells_train_ids_by_what_no_label_of_the_set_holds(tmp_path, count, ignored):
    for name in DATASET.names(SCENES)[:count]:
        image, label = map(Image.open, DATASET.files(SCENES, name))
        put(tmp_path, name, image, trained(label, ignored))
    (found,) = problems(tmp_path)
    assert found.startswith("gtFine/val: expected label ids; found only 0, 1, 2, ")
    assert found.endswith(" in all labels: these look like train ids; labelIds are needed (gtFine_labelIds.png)")


def test_takes_each_scene_of_the_sample_alone_for_label_ids():
    for name in DATASET.names(SCENES):
        assert list(DATASET.problems(SCENES, [name], False)) == []


@pytest.mark.parametrize(
    "shares",
    [{7: 1}, {7: 60, 11: 40}, {11: 100, 0: 1}, {0: 5, 1: 10, 2: 8, 3: 4, 4: 5, 7: 40, 8: 18, 17: 10}, {0: 90, 23: 10}],
    ids=["road", "tunnel", "wall", "a street without sky, trees and cars", "hardly labelled"],
)
def test_takes_small_sets_for_label_ids(tmp_path, shares):
    label = np.resize(np.repeat(list(shares), list(shares.values())), (32, 64)).astype(np.uint8)
    put(tmp_path, "a", label=Image.fromarray(label))
    assert problems(tmp_path) == []


def test_one_label_beyond_the_train_ids_acquits_the_set(pairs):
    trained(ids(64, 32), 18).save(label_file(pairs))
    assert problems(pairs) == []


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_refuses_an_image_that_is_not_rgb(pairs, mode):
    """Opaque alpha too: no published image has any."""
    noise(64, 32).convert(mode).save(image_file(pairs))
    sentence = f"ville_0_leftImg8bit.png: expected RGB; found {mode}: RGB is needed"
    assert problems(pairs) == [sentence]
    with pytest.raises(DataError, match=sentence):
        DATASET.load(pairs, "ville_0", 480)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_refuses_a_label_that_is_a_picture(pairs, mode):
    ids(64, 32).convert(mode).save(label_file(pairs))
    assert problems(pairs) == [
        f"ville_0_gtFine_labelIds.png: expected one 8-bit channel of label ids; found mode {mode}"
    ]


def test_refuses_sixteen_bit_labels(pairs):
    Image.new("I;16", (64, 32), 7).save(label_file(pairs))
    assert "expected 8 bits per channel; found 16" in problems(pairs)[0]


def test_refuses_a_label_of_another_size(pairs):
    ids(32, 16).save(label_file(pairs))
    assert problems(pairs) == ["ville_0: expected image and label of 64x32 pixels; found 64x32 and 32x16"]


@pytest.mark.parametrize("file", [image_file, label_file])
@pytest.mark.parametrize("keep", [0.5, 0.999])
def test_refuses_a_png_that_ends_early(pairs, file, keep):
    path = file(pairs)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    (found,) = problems(pairs)
    assert found.startswith(f"{path.name}: expected a whole PNG; found it truncated")


def test_official_means_500_images_of_three_cities_at_full_size(pairs):
    put(pairs, "lindau_0", city="lindau")
    assert problems(pairs, official=True) == [
        "frankfurt: expected 267 images in the published set; found 0",
        "lindau: expected 59 images in the published set; found 1",
        "munster: expected 174 images in the published set; found 0",
        "ville: expected 0 images in the published set; found 2",
        "lindau_0: expected image and label of 2048x1024 pixels; found 64x32 and 64x32",
        "ville_0: expected image and label of 2048x1024 pixels; found 64x32 and 64x32",
        "ville_1: expected image and label of 2048x1024 pixels; found 64x32 and 64x32",
    ]


def test_finds_the_published_set_official(tmp_path, monkeypatch):
    """The real thing but for the sides, which would take a minute to write and read."""
    monkeypatch.setattr("fixtures.datasets.cityscapes.PUBLISHED_SIDES", (4, 2))
    image, label = noise(4, 2), Image.new("L", (4, 2), 7)
    for city, count in (("frankfurt", 267), ("lindau", 59), ("munster", 174)):
        for number in range(count):
            put(tmp_path, f"{city}_{number:06}_000019", image, label, city)
    assert len(DATASET.names(tmp_path)) == 500
    assert problems(tmp_path, official=True) == []


# Preprocessing


def plain(image: Image.Image, label: Image.Image, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The original's steps one by one, nearest positions as Pillow accumulates them."""
    width, height = image.size
    resized = (int(width * size / height), size) if width > height else (size, int(height * size / width))
    left, top = (round((side - size) / 2.0) for side in resized)
    image = image.convert("RGB").resize(resized, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)[top : top + size, left : left + size].astype(np.float32) / np.float32(255)
    pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])

    def kept(source: int, target: int, first: int) -> list[int]:
        step = source / target
        position, positions = step / 2, []
        for _ in range(target):
            positions.append(int(position))
            position += step
        return positions[first : first + size]

    columns, rows = kept(width, resized[0], left), kept(height, resized[1], top)
    evaluated = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    train_ids = np.array([evaluated.index(number) if number in evaluated else -1 for number in range(34)])
    return pixels.transpose(2, 0, 1), train_ids[np.asarray(label)[np.ix_(rows, columns)]]


def agrees(image: Image.Image, label: Image.Image, size: int) -> None:
    pixels, target = preprocess(image, label, size)
    expected_pixels, expected_target = plain(image, label, size)
    assert pixels.shape == (3, size, size)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, expected_pixels)
    np.testing.assert_array_equal(target, expected_target)
    assert np.issubdtype(target.dtype, np.integer)


@given(width=SIDES, height=SIDES, size=st.integers(1, 60))
@settings(deadline=None)
def test_preprocesses_any_size_as_the_plain_algorithm(width, height, size):
    agrees(noise(width, height), ids(width, height), size)


@pytest.mark.parametrize("sides", [(2048, 1024), (1024, 512), (1024, 2048), (801, 531), (480, 480), (481, 480)])
def test_preprocesses_usual_sizes_as_the_plain_algorithm(sides):
    for seed in range(3):
        agrees(noise(*sides, seed), ids(*sides, seed), 480)


@given(surplus=st.integers(0, 50), wide=st.booleans())
def test_crops_the_centre_rounded_half_to_even(surplus, wide):
    """A surplus of 1 gives 0, of 3 gives 2, of 5 gives 2."""
    sides = (480 + surplus, 480) if wide else (480, 480 + surplus)
    resized, (left, top, right, bottom) = geometry(*sides, 480)
    offset = left if wide else top
    assert resized == sides
    assert (right - left, bottom - top) == (480, 480)
    assert offset == {1: 0, 3: 2, 5: 2, 7: 4}.get(surplus, round(surplus / 2))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA"])
def test_converts_images_as_the_original(mode):
    image, label = noise(60, 40).convert(mode), ids(60, 40)
    np.testing.assert_array_equal(preprocess(image, label, 32)[0], preprocess(image.convert("RGB"), label, 32)[0])


def test_takes_the_indices_of_a_palette_label():
    image, label = noise(60, 40), ids(60, 40)
    coloured = label.copy()
    coloured.putpalette([7, 8, 9] * 256)
    assert coloured.mode == "P"
    np.testing.assert_array_equal(preprocess(image, coloured, 32)[1], preprocess(image, label, 32)[1])


@pytest.mark.parametrize("unknown", [34, 255])
def test_refuses_an_id_that_does_not_exist(unknown):
    label = Image.new("L", (8, 8), 7)
    label.putpixel((3, 3), unknown)
    with pytest.raises(ValueError, match=f"expected label ids up to 33; found {unknown}"):
        preprocess(noise(8, 8), label, 8)


@pytest.mark.parametrize("label", [ids(8, 9), ids(8, 8).convert("RGB"), ids(8, 8).convert("I")])
def test_refuses_a_label_of_another_size_or_kind(label):
    with pytest.raises(ValueError, match="expected a label of one 8-bit channel with 8x8 pixels"):
        preprocess(noise(8, 8), label, 8)


def test_load_names_the_file_at_fault(pairs):
    Image.new("L", (64, 32), 99).save(label_file(pairs))
    with pytest.raises(DataError, match=r"ville_0_gtFine_labelIds\.png: expected label ids up to 33; found 99"):
        DATASET.load(pairs, "ville_0", 480)
    image_file(pairs).write_bytes(b"")
    with pytest.raises(DataError, match=r"ville_0_leftImg8bit\.png: expected a PNG file"):
        DATASET.load(pairs, "ville_0", 480)


def test_load_returns_the_preprocessed_pair(pairs):
    sample = DATASET.load(pairs, "ville_0", 480)
    pixels, target = preprocess(Image.open(image_file(pairs)), Image.open(label_file(pairs)))
    assert sample.name == "ville_0"
    np.testing.assert_array_equal(sample.inputs[0], pixels)
    np.testing.assert_array_equal(sample.target, target)


def test_sample_holds_every_class_inside_the_crop():
    targets = [DATASET.load(SCENES, name, 480).target for name in DATASET.names(SCENES)]
    assert set(np.unique(targets)) == set(range(-1, 19))


# The original's results


@needs_shared
def test_maps_every_id_as_the_original():
    """-1 does not occur in 8-bit files; the other ids outside 0 to 33 stop the original."""
    golden = json.loads((GOLDEN / "label_map.json").read_text())
    for label_id in range(34):
        _, target = preprocess(noise(2, 2), Image.new("L", (2, 2), label_id), 2)
        assert (target == golden["label_id_to_train_id"][str(label_id)]).all()
    with pytest.raises(ValueError, match="found 255"):
        preprocess(noise(2, 2), Image.new("L", (2, 2), 255), 2)


@needs_shared
def test_picks_the_label_pixels_that_the_original_picks():
    """Every source position, written in base 19 as train ids."""
    label_ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], np.uint8)
    for case in json.loads((GOLDEN / "nearest_index.json").read_text())["cases"]:
        width, height = case["w"], case["h"]
        grid = dict(zip(("row", "column"), np.mgrid[:height, :width], strict=True))
        for axis, positions in grid.items():
            picked = 0
            for digit in range(3):
                label = Image.fromarray(label_ids[positions // 19**digit % 19])
                picked = picked + preprocess(Image.new("RGB", (width, height)), label)[1].astype(int) * 19**digit
            expected = np.array(case[f"source_{axis}_of_output_{axis}"])
            np.testing.assert_array_equal(
                picked, np.broadcast_to(expected[:, None] if axis == "row" else expected, (480, 480))
            )


@needs_shared
def test_resizes_and_crops_as_the_original():
    cases = json.loads((GOLDEN / "resize_crop.json").read_text())
    with np.load(GOLDEN / "resize_crop.npz") as arrays:
        for case in cases["cases"]:
            image = Image.open(SHARED / "data/set5/HR" / case["source"].split()[0]).convert("RGB")
            image = image.crop(case["box"]) if case["box"] else image
            pixels, target = preprocess(image, formula(*image.size, **case["mask"]), case["crop_size"])
            resized, (left, top, *_) = geometry(*image.size, case["crop_size"])
            assert (*resized, left, top) == (case["resized_w"], case["resized_h"], case["x1"], case["y1"])
            assert sha256(pixels, "<f4") == case["normalised_sha256_f32_chw"]
            np.testing.assert_array_equal(target, arrays[f"{case['id']}_target"])


@needs_shared
def test_preprocesses_full_images_byte_for_byte_as_the_original():
    for case in json.loads((GOLDEN / "resize_crop.json").read_text())["full_480"]:
        image = tiled(case["source"], case["tile"], case["box"])
        pixels, target = preprocess(image, formula(*image.size, **case["mask"]))
        assert sha256(pixels, "<f4") == case["tensor_f32_sha256"]
        assert sha256(target, "i1") == case["target_i8_sha256"]
        assert np.bincount(target.ravel() + 1, minlength=20).tolist() == case["target_histogram_from_-1"]


@needs_shared
def test_feeds_a_whole_tree_byte_for_byte_as_the_original(tmp_path):
    images = json.loads((GOLDEN / "enet_end_to_end.json").read_text())["images"]
    for case in images:
        image = tiled(case["source"], case["tile"], case["box"])
        put(tmp_path, case["name"], image, formula(*image.size, **case["mask"]), case["city"])
    assert problems(tmp_path) == []
    assert DATASET.names(tmp_path) == sorted(case["name"] for case in images)
    for case in images:
        (pixels,) = DATASET.load(tmp_path, case["name"], 480).inputs
        assert pixels.nbytes == case["input_bin_bytes"]
        assert sha256(pixels, "<f4") == case["input_bin_sha256"]


def tiled(source: str, tile: list[int], box: list[int] | None) -> Image.Image:
    image = Image.fromarray(
        np.tile(np.asarray(Image.open(SHARED / f"data/set5/HR/{source}.png").convert("RGB")), [*tile, 1])
    )
    return image.crop(box) if box else image
