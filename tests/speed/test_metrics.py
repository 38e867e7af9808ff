"""How many times faster the metrics are than the original algorithm: `pytest tests/speed --benchmark-only`.

CPU time of the one thread that works, both sides in turns, so that other work on the machine disturbs them alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch

from acceptance.metrics.miou import MIoU
from acceptance.metrics.psnr import PSNR
from tests.speed.original import SegmentationMetric
from tests.speed.original import psnr as original_psnr

REPEATS = 9


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Give either side one thread."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.fixture
def race(benchmark, capsys) -> Callable[..., None]:
    """Return what times both sides in turns and keeps the ratio in the benchmark's record."""

    def run(ours: Callable[[], object], original: Callable[[], object], wanted: float) -> None:
        seconds: dict[Callable[[], object], list[float]] = {ours: [], original: []}
        for _ in range(REPEATS):
            for side, spent in seconds.items():
                start = time.thread_time()
                side()
                spent.append(time.thread_time() - start)
        medians = [statistics.median(spent) for spent in seconds.values()]
        ratio = medians[1] / medians[0]
        benchmark.extra_info.update(ratio=ratio, wanted=wanted, original_seconds=medians[1], clock="thread_time")
        benchmark.pedantic(ours, rounds=REPEATS, warmup_rounds=1)
        with capsys.disabled():
            print(f" {ratio:.1f} times faster than the original, {wanted:g} wanted ", end="")

    return run


def test_psnr_of_2040x2040(race):
    random_numbers = np.random.default_rng(0)
    truth = random_numbers.integers(0, 256, (2040, 2040, 3), dtype=np.uint8)
    output = (truth.transpose(2, 0, 1) + random_numbers.normal(0, 5, (3, 2040, 2040))).astype(np.float32)

    def ours() -> float:
        metric = PSNR()
        metric.update([output], [truth], ["0801"])
        return metric.result().value

    assert ours() == pytest.approx(original_psnr(output, truth), abs=1e-5)
    race(ours, lambda: original_psnr(output, truth), wanted=8)


def test_miou_update_on_19x480x480(race):
    random_numbers = np.random.default_rng(0)
    logits = random_numbers.normal(0, 4, (1, 19, 480, 480)).astype(np.float32)
    target = random_numbers.integers(-1, 19, (1, 480, 480)).astype(np.int32)

    def ours() -> MIoU:
        metric = MIoU()
        metric.update([logits[0]], [target[0]], ["street"])
        return metric

    def original() -> SegmentationMetric:
        metric = SegmentationMetric()
        metric.update(logits, target)
        return metric

    assert ours().result().value / 100 == pytest.approx(original().mean_iou(), abs=1e-6)
    race(ours, original, wanted=10)
