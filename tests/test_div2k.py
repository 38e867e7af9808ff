"""DIV2K: layouts, integrity, padding and crops, against the original's outputs where they are at hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fixtures.dataset import Croppable, DataError, Dataset
from fixtures.datasets.div2k import BICUBIC_LIMIT, DATASET, pad
from fixtures.model import SAMPLE

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = SHARED / "reference" / "golden"
SET5 = SHARED / "data" / "set5"
PHOTOS = SAMPLE / "sr_photos"
NAMES = [f"080{number}" for number in range(1, 9)]
HIGH, LOW = "DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X2"

needs_shared = pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared, with the original's results, is not here")


def problems(folder: Path, official: bool = False) -> list[str]:
    return list(DATASET.problems(folder, DATASET.names(folder), official))


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A texture with detail at all scales, so that reductions differ."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def halved(image: Image.Image, method: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), method)


def put(
    folder: Path, name: str, high: Image.Image, low: Image.Image | None = None, layout=(HIGH, LOW), x2="x2"
) -> None:
    for part in layout:
        (folder / part).mkdir(parents=True, exist_ok=True)
    high.save(folder / layout[0] / f"{name}.png")
    (low or halved(high)).save(folder / layout[1] / f"{name}{x2}.png")


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Three whole pairs in the published layout."""
    for seed, name in enumerate(("0801", "0802", "0803")):
        put(tmp_path, name, noise(40, 32, seed))
    return tmp_path


@pytest.fixture
def photos(tmp_path) -> Path:
    """A copy of the sample that a test may damage."""
    return Path(shutil.copytree(PHOTOS, tmp_path / "photos"))


def test_is_a_data_set_that_can_be_cropped():
    dataset: Dataset = DATASET
    croppable: Croppable = DATASET
    assert dataset.name == "div2k"
    assert croppable is dataset


# Layouts


@pytest.mark.parametrize("layout", [(HIGH, LOW), ("HR", "LR"), ("HR", "LR_bicubic/X2")])
@pytest.mark.parametrize("x2", ["x2", ""])
def test_pairs_every_layout_with_and_without_x2(tmp_path, layout, x2):
    put(tmp_path, "b", noise(20, 20, 1), layout=layout, x2=x2)
    put(tmp_path, "a", noise(20, 20, 2), layout=layout, x2=x2)
    assert DATASET.names(tmp_path) == ["a", "b"]
    assert problems(tmp_path) == []
    low, high = DATASET.files(tmp_path, "a")
    assert (low.name, high.name) == (f"a{x2}.png", "a.png")


def test_takes_names_that_end_in_x2_for_what_they_are(tmp_path):
    put(tmp_path, "logox2", noise(20, 20), x2="")
    assert DATASET.names(tmp_path) == ["logox2"]
    assert problems(tmp_path) == []


def test_refuses_two_layouts_in_one_folder(tmp_path):
    put(tmp_path, "a", noise(20, 20), layout=("HR", "LR"))
    put(tmp_path, "a", noise(20, 20), layout=("HR", "LR_bicubic/X2"))
    with pytest.raises(DataError, match=r"expected exactly one .*; found HR and LR_bicubic/X2; HR and LR$"):
        DATASET.names(tmp_path)


@pytest.mark.parametrize("track", ["DIV2K_valid_LR_bicubic/X3", "DIV2K_valid_LR_unknown/X2"])
def test_names_the_folders_of_another_track(tmp_path, track):
    put(tmp_path, "a", noise(20, 20), layout=(HIGH, track))
    with pytest.raises(DataError, match=f"found .*{track}"):
        DATASET.names(tmp_path)


def test_passes_over_files_that_are_no_images(pairs):
    (pairs / HIGH / "README.md").write_text("x")
    (pairs / HIGH / ".DS_Store").write_text("x")
    (pairs / LOW / "._0801x2.png").write_text("x")
    (pairs / LOW / "folder.png").mkdir()
    assert problems(pairs) == []


# Integrity


def test_finds_the_sample_whole():
    assert problems(PHOTOS) == []


def test_official_means_exactly_0801_to_0900(pairs):
    put(pairs, "0901", noise(20, 20))
    found = problems(pairs, official=True)
    assert len(found) == 98
    assert "0900: missing from the published set" in found
    assert "0901: not in the published set, 0801 to 0900" in found


def test_finds_the_published_names_official(tmp_path):
    image, reduced = noise(8, 8), halved(noise(8, 8))
    for number in range(801, 901):
        put(tmp_path, f"0{number}", image, reduced)
    assert problems(tmp_path, official=True) == []


def test_reports_unpaired_files(pairs):
    (pairs / HIGH / "0801.png").unlink()
    (pairs / LOW / "0802x2.png").unlink()
    assert problems(pairs) == [
        "0801: expected one HR image and one LR image; found HR none and LR 0801x2.png",
        "0802: expected one HR image and one LR image; found HR 0802.png and LR none",
    ]


def test_reports_two_files_for_one_name(pairs):
    shutil.copy(pairs / LOW / "0801x2.png", pairs / LOW / "0801.png")
    assert problems(pairs) == [
        "0801: expected one HR image and one LR image; found HR 0801.png and LR 0801.png and 0801x2.png"
    ]


@pytest.mark.parametrize("side", [HIGH + "/0802.png", LOW + "/0802x2.png"])
@pytest.mark.parametrize("cut", [1, 4, 12, 13, 20, 300, "half", "header", "all"])
def test_refuses_a_png_that_ends_early(photos, side, cut):
    """Pillow alone accepts a file that lost up to 20 bytes."""
    path = photos / side
    data = path.read_bytes()
    keep = {"half": len(data) // 2, "header": 20, "all": 0}.get(cut, len(data) - cut if isinstance(cut, int) else 0)
    path.write_bytes(data[:keep])
    (found,) = problems(photos)
    assert path.name in found
    assert "expected a whole PNG; found it truncated" in found or "found no bytes" in found


def test_refuses_a_truncated_png_even_where_pillow_was_told_to_accept_it(photos, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    path = photos / HIGH / "0802.png"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated" in problems(photos)[0]


def test_refuses_a_png_with_a_flipped_bit(photos):
    path = photos / HIGH / "0803.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert "found a wrong checksum" in problems(photos)[0]


def test_refuses_pixels_that_end_early_in_a_file_whose_chunks_are_whole(pairs):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 32, 8, 2, 0, 0, 0))
    few = chunk(b"IDAT", zlib.compress(noise(121, 32).tobytes())[:500])
    (pairs / HIGH / "0801.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + few + chunk(b"IEND", b""))
    assert "0801.png: expected a readable PNG" in problems(pairs)[0]


def test_refuses_another_format_under_the_name_of_a_png(pairs):
    noise(40, 32).save(pairs / HIGH / "0801.png", "JPEG")
    assert problems(pairs) == [f"{HIGH}/0801.png: expected a PNG file; found another format"]


def test_reports_a_file_that_may_not_be_read(pairs, monkeypatch):
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert problems(pairs)[0] == "X2/0801x2.png: expected a readable PNG; found Permission denied"


@pytest.mark.parametrize("size", [(39, 32), (40, 31), (60, 48), (20, 16)])
def test_refuses_hr_that_is_not_exactly_twice_lr(pairs, size):
    noise(*size).save(pairs / HIGH / "0802.png")
    assert problems(pairs) == [f"0802: expected HR to be 40x32, twice LR; found {size[0]}x{size[1]}"]


def test_reports_every_problem_in_the_order_of_the_names(pairs):
    (pairs / HIGH / "0803.png").write_bytes(b"")
    (pairs / LOW / "0803x2.png").write_bytes(b"")
    (pairs / HIGH / "0801.png").unlink()
    assert [sentence.split(": ")[0] for sentence in problems(pairs)] == ["0801", "X2/0803x2.png", f"{HIGH}/0803.png"]


# Kinds of pictures


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
@pytest.mark.parametrize("side", ["high", "low"])
def test_refuses_grey_where_rgb_is_needed(pairs, mode, side):
    path, size = {"high": (pairs / HIGH / "0801.png", (40, 32)), "low": (pairs / LOW / "0801x2.png", (20, 16))}[side]
    Image.new(mode, size).save(path)
    (found,) = problems(pairs)
    assert path.name in found
    assert ("RGB is needed" in found) or (mode == "I;16" and "expected 8 bits per channel; found 16" in found)
    with pytest.raises(DataError, match=path.name):
        DATASET.load(pairs, "0801", 20)


def test_refuses_sixteen_bits_per_colour(pairs):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(pairs / HIGH / "0801.png"), np.zeros((32, 40, 3), np.uint16))
    assert "expected 8 bits per channel; found 16; convert it to 8" in problems(pairs)[0]


def test_drops_an_opaque_alpha_channel(pairs):
    plain = DATASET.load(pairs, "0801", 20)
    for path in DATASET.files(pairs, "0801"):
        Image.open(path).convert("RGBA").save(path)
    assert problems(pairs) == []
    dropped = DATASET.load(pairs, "0801", 20)
    np.testing.assert_array_equal(dropped.inputs[0], plain.inputs[0])
    np.testing.assert_array_equal(dropped.target, plain.target)


def test_refuses_rgba_with_transparent_pixels(pairs):
    image = Image.open(pairs / HIGH / "0801.png").convert("RGBA")
    image.putpixel((3, 4), (1, 2, 3, 254))
    image.save(pairs / HIGH / "0801.png")
    assert problems(pairs) == [
        f"{HIGH}/0801.png: expected RGB; found RGBA with transparent pixels, whose colour is open; RGB is needed"
    ]


def test_reads_a_palette_as_its_colours(tmp_path):
    high = noise(40, 32).quantize(200)
    put(tmp_path, "a", high, halved(high.convert("RGB")))
    assert problems(tmp_path) == []
    np.testing.assert_array_equal(DATASET.load(tmp_path, "a", 20).target, np.asarray(high.convert("RGB")))


def test_names_a_palette_as_the_cause_of_other_colours(photos):
    low, high = DATASET.files(photos, "0801")
    Image.open(high).convert("P").save(high)
    (found,) = problems(photos)
    assert f": reduced to a palette ({HIGH}/0801.png), which RGB mends, or of another track" in found
    Image.open(low).convert("P").save(low)
    assert f"(X2/0801x2.png and {HIGH}/0801.png)" in problems(photos)[0]


# The track


@pytest.mark.parametrize(
    "other",
    [
        lambda high: halved(high, Image.Resampling.NEAREST),
        lambda high: halved(high, Image.Resampling.BILINEAR),
        lambda high: halved(high, Image.Resampling.BOX),
        lambda high: halved(high, Image.Resampling.LANCZOS),
        lambda high: halved(Image.fromarray(np.roll(np.asarray(high), 1, axis=1))),
        lambda high: Image.fromarray(np.roll(np.asarray(halved(high)), 1, axis=0)),
    ],
    ids=["nearest", "bilinear", "area", "lanczos", "shifted by an HR pixel", "shifted by an LR pixel"],
)
def test_notices_another_reduction_of_every_photograph(photos, other):
    for name in DATASET.names(photos):
        low, high = DATASET.files(photos, name)
        other(Image.open(high)).save(low)
    found = problems(photos)
    assert [sentence.split(":")[0] for sentence in found] == ["0801", "0803", "0806"]
    assert "; found " in found[0]
    assert ": of another track (unknown, mild, wild), or made by another program" in found[0]


@needs_shared
def test_accepts_reductions_made_by_matlab():
    assert problems(SET5) == []


@needs_shared
def test_keeps_a_margin_to_both_sides():
    from fixtures.datasets.div2k import _from_bicubic

    every = [
        tuple(map(Image.open, DATASET.files(folder, name)))
        for folder in (SET5, PHOTOS)
        for name in DATASET.names(folder)
    ]
    assert max(_from_bicubic(low, high) for low, high in every) < 0.75 * BICUBIC_LIMIT
    others = [halved(high, method) for _, high in every for method in (Image.Resampling.LANCZOS, Image.Resampling.BOX)]
    highs = [high for _, high in every for _ in range(2)]
    assert min(map(_from_bicubic, others, highs)) > 1.3 * BICUBIC_LIMIT


def test_compares_the_smallest_images_too(tmp_path):
    put(tmp_path, "a", noise(2, 2))
    assert problems(tmp_path) == []


# Size and loading


def test_size_is_the_longest_side_of_lr():
    assert DATASET.size(PHOTOS) == 240


def test_size_needs_headers_only(pairs):
    path = pairs / LOW / "0802x2.png"
    header = bytearray(path.read_bytes()[:33])
    header[16:24] = struct.pack(">II", 1020, 678)
    path.write_bytes(header)
    assert DATASET.size(pairs) == 1020


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_size_refuses_what_has_no_header(pairs, data):
    (pairs / LOW / "0802x2.png").write_bytes(data)
    with pytest.raises(DataError, match=r"0802x2\.png: expected a"):
        DATASET.size(pairs)


def test_size_refuses_an_empty_folder(tmp_path):
    for part in ("HR", "LR"):
        (tmp_path / part).mkdir()
    with pytest.raises(DataError, match="found none"):
        DATASET.size(tmp_path)


def test_load_returns_padded_lr_and_hr_as_it_is(pairs):
    sample = DATASET.load(pairs, "0802", 24)
    low, high = (np.asarray(Image.open(path)) for path in DATASET.files(pairs, "0802"))
    assert sample.name == "0802"
    np.testing.assert_array_equal(sample.inputs[0], pad(low, 24))
    np.testing.assert_array_equal(sample.target, high)
    assert sample.target.dtype == np.uint8


def test_load_refuses_an_image_larger_than_the_input(pairs):
    with pytest.raises(DataError, match=r"0801x2\.png: expected at most 19 pixels a side; found 20x16"):
        DATASET.load(pairs, "0801", 19)


def test_load_refuses_a_name_that_is_not_there(pairs):
    with pytest.raises(DataError, match="0899: expected one HR image"):
        DATASET.load(pairs, "0899", 20)


# Padding


@given(height=st.integers(1, 30), width=st.integers(1, 30), extra=st.integers(0, 9), seed=st.integers(0, 99))
def test_pads_right_and_bottom_with_zeros(height, width, extra, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    size = max(height, width) + extra
    padded = pad(image, size)
    assert padded.shape == (3, size, size)
    assert padded.dtype == np.float32
    assert padded.flags.c_contiguous
    np.testing.assert_array_equal(padded[:, :height, :width].transpose(1, 2, 0), image)
    assert padded.sum(dtype=np.float64) == image.sum(dtype=np.int64)


@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 5, 3)])
def test_refuses_to_cut_a_larger_image(shape):
    with pytest.raises(ValueError, match="expected at most 4x4 pixels"):
        pad(np.zeros(shape, np.uint8), 4)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16)]
)
def test_refuses_to_pad_another_kind_of_array(image):
    with pytest.raises(ValueError, match="expected H x W x 3 uint8"):
        pad(image, 8)


@needs_shared
def test_pads_as_the_original():
    cases = json.loads((GOLDEN / "pad_crop.json").read_text())
    with np.load(GOLDEN / "pad_crop.npz") as arrays:
        for case in cases["cases"]:
            np.testing.assert_array_equal(pad(arrays[f"{case['id']}_img"], case["size"]), arrays[f"{case['id']}_bin"])
    for case in cases["oversize"]:
        with pytest.raises(ValueError, match="expected at most"):
            pad(np.zeros((case["h"], case["w"], 3), np.uint8), case["size"])


@needs_shared
def test_feeds_set5_byte_for_byte_as_the_original():
    for case in json.loads((GOLDEN / "pad_crop.json").read_text())["set5_lr_x2_bin_1020"]:
        (image,) = DATASET.load(SET5, case["file"].removesuffix("x2.png"), 1020).inputs
        assert image.nbytes == case["bytes"]
        assert sha256(image) == case["sha256"]


@needs_shared
def test_reaches_the_originals_figure_on_set5_end_to_end():
    """The formula that stands in for the network, and the PSNR by its definition in exact integers."""
    for run in json.loads((GOLDEN / "edsr_end_to_end.json").read_text())["runs"]:
        formula = run["formula"]
        rows, columns = np.ogrid[:2040, :2040]
        for name in run["images"]:
            sample = DATASET.load(SET5, name, 1020)
            height, width, _ = sample.target.shape
            squares = count = 0
            for channel, plane in enumerate(sample.inputs[0]):
                ramp = (formula["a"] * rows + formula["b"] * columns + 3 * channel) % formula["m"] - formula["m"] // 2
                output = plane.repeat(2, 0).repeat(2, 1) + (ramp * formula["step"]).astype(np.float32)
                error = np.rint(output.clip(0, 255))[:height, :width].astype(np.int64) - sample.target[:, :, channel]
                squares += int(np.square(error[8:-8, 8:-8]).sum())
                count += error[8:-8, 8:-8].size
            expected = run["per_image"][f"{name}x2_0.bin"]["value"]
            assert 10 * np.log10(255**2 * count / squares) == pytest.approx(expected, abs=1e-5)


# Crops


def test_crops_lr_images_where_enough_are_large_enough():
    (crop,) = DATASET.crops(PHOTOS, NAMES, 200, 1)
    low = np.asarray(Image.open(DATASET.files(PHOTOS, "0801")[0]))
    np.testing.assert_array_equal(crop.inputs[0], low.transpose(2, 0, 1))
    assert crop.target is None
    assert len(DATASET.crops(PHOTOS, NAMES, 200, 8)) == 8
    low = np.asarray(Image.open(DATASET.files(PHOTOS, "0802")[0]))
    np.testing.assert_array_equal(
        DATASET.crops(PHOTOS, NAMES, 100, 8)[1].inputs[0], low[40:140, 70:170].transpose(2, 0, 1)
    )


def test_crops_the_centre_of_hr_images_where_lr_images_are_too_small():
    crops = DATASET.crops(PHOTOS, NAMES, 256, 8)
    assert len({crop.inputs[0].tobytes() for crop in crops}) == 8
    assert all(crop.inputs[0].shape == (3, 256, 256) and crop.inputs[0].dtype == np.float32 for crop in crops)
    high = np.asarray(Image.open(DATASET.files(PHOTOS, "0802")[1]))
    np.testing.assert_array_equal(crops[1].inputs[0], high[52:308, 112:368].transpose(2, 0, 1))


def test_crops_are_spread_over_the_set():
    assert [crop.name for crop in DATASET.crops(PHOTOS, NAMES, 256, 3)] == ["0801", "0803", "0806"]


def test_refuses_crops_larger_than_every_image():
    with pytest.raises(DataError, match="expected an image of at least 500x500 pixels to crop; found none"):
        DATASET.crops(PHOTOS, NAMES, 500, 8)
