"""How the preprocessing compares with the original algorithm: `pytest tests/speed --benchmark-only`.

CPU time of the one thread that works, all sides in turns, so that other work on the machine disturbs them alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.datasets import cityscapes, div2k

REPEATS = 9


@pytest.fixture
def race(benchmark, capsys) -> Callable[..., None]:
    """Return what times all sides in turns and keeps the ratios, theirs over ours, in the benchmark's record."""

    def run(ours: Callable[[], object], **others: Callable[[], object]) -> None:
        sides = {"ours": ours} | others
        spent: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(REPEATS):
            for name, side in sides.items():
                start = time.thread_time()
                side()
                spent[name].append(time.thread_time() - start)
        medians = {name: statistics.median(seconds) for name, seconds in spent.items()}
        ratios = {name: medians[name] / medians["ours"] for name in others}
        benchmark.extra_info.update(ratios=ratios, seconds=medians, clock="thread_time")
        benchmark.pedantic(ours, rounds=REPEATS, warmup_rounds=1)
        with capsys.disabled():
            print(
                "",
                *(f"{name.replace('_', ' ')} takes {ratio:.2f} times as long;" for name, ratio in ratios.items()),
                end=" ",
            )

    return run


@pytest.fixture
def street(tmp_path) -> Path:
    """One pair at Cityscapes' size, with the detail and noise that make a PNG of 2 MB, as there."""
    random_numbers = np.random.default_rng(0)
    coarse = Image.fromarray(random_numbers.integers(0, 256, (64, 128, 3), np.uint8)).resize((2048, 1024))
    image = np.asarray(coarse) // 2 + random_numbers.integers(0, 4, (1024, 2048, 3), np.uint8)
    label = np.kron(random_numbers.integers(0, 34, (32, 64), np.uint8), np.ones((32, 32), np.uint8))
    for folder, end, array in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_labelIds", label)):
        place = tmp_path / folder / "val" / "ville"
        place.mkdir(parents=True)
        Image.fromarray(array).save(place / f"ville_0_{end}.png")
    return tmp_path


@pytest.fixture
def photo(tmp_path) -> Path:
    """One pair at DIV2K's size."""
    random_numbers = np.random.default_rng(0)
    coarse = Image.fromarray(random_numbers.integers(0, 256, (85, 128, 3), np.uint8)).resize((2040, 1356))
    high = Image.fromarray(np.asarray(coarse) // 2 + random_numbers.integers(0, 32, (1356, 2040, 3), np.uint8))
    for folder, name, image in (("HR", "a", high), ("LR", "ax2", high.resize((1020, 678), Image.Resampling.BICUBIC))):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / f"{name}.png")
    return tmp_path


def test_street_scene_to_input_and_target(race, street):
    image_file, label_file = cityscapes.DATASET.files(street, "ville_0")

    def ours() -> tuple[np.ndarray, np.ndarray]:
        sample = cityscapes.DATASET.load(street, "ville_0", 480)
        assert sample.target is not None
        return sample.inputs[0], sample.target

    def the_original() -> tuple[np.ndarray, np.ndarray]:
        """Both scripts' way: the post-processing looks labels up with `unique` and `digitize`."""
        image = Image.open(image_file).convert("RGB").resize((960, 480), Image.Resampling.BILINEAR)
        label = Image.open(label_file).resize((960, 480), Image.Resampling.NEAREST)
        box = (240, 0, 720, 480)
        pixels = np.array(image.crop(box)).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        pixels = (pixels - cityscapes.MEAN) / cityscapes.DEVIATION
        ids = np.array(label.crop(box)).astype(np.int32)
        mapping = np.arange(-1, 34)
        assert all(value in mapping for value in np.unique(ids))
        key = np.array([-1, *cityscapes.TRAIN_ID[:34]])
        return pixels, key[np.digitize(ids.ravel(), mapping, right=True)].reshape(ids.shape)

    def decoding_and_resizing_alone() -> None:
        Image.open(image_file).convert("RGB").resize((960, 480), Image.Resampling.BILINEAR)
        Image.open(label_file).resize((960, 480), Image.Resampling.NEAREST)

    for mine, theirs in zip(ours(), the_original(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    race(ours, the_original=the_original, decoding_and_resizing_alone=decoding_and_resizing_alone)


def test_photograph_to_input_and_target(race, photo):
    low_file, high_file = div2k.DATASET.files(photo, "a")

    def ours() -> tuple[np.ndarray, np.ndarray]:
        sample = div2k.DATASET.load(photo, "a", 1020)
        assert sample.target is not None
        return sample.inputs[0], sample.target

    def the_original() -> tuple[np.ndarray, np.ndarray]:
        """Both scripts' way, without their files in between."""
        image = np.array(Image.open(low_file)).transpose(2, 0, 1).astype(np.float32) * np.float32(255 / 255)
        _, height, width = image.shape
        padded = np.pad(image, ((0, 0), (0, 1020 - height), (0, 1020 - width)))
        return padded.astype(np.uint8).astype(np.float32), np.array(Image.open(high_file))

    def decoding_alone() -> None:
        Image.open(low_file).load()
        Image.open(high_file).load()

    for mine, theirs in zip(ours(), the_original(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    race(ours, the_original=the_original, decoding_alone=decoding_alone)
