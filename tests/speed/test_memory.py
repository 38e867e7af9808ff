"""The memory of a pass does not grow with the data set: `pytest tests/speed --benchmark-only`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.model import SAMPLE
from fixtures.tensorfile import Reader

CHECKOUT = Path(__file__).resolve().parents[2]
PAIRS, DISTINCT, BATCH = 500, 4, 16
WANTED_GB = 1.5


@pytest.fixture
def streets(tmp_path) -> Path:
    """500 pairs at Cityscapes' size: links to a few distinct files, which the pass reads and decodes all the same."""
    random_numbers = np.random.default_rng(0)
    folders = [tmp_path / part / "val" / "ville" for part in ("leftImg8bit", "gtFine")]
    for folder in folders:
        folder.mkdir(parents=True)
    for number in range(PAIRS):
        files = [
            folder / f"ville_{number:06}_{end}.png"
            for folder, end in zip(folders, ("leftImg8bit", "gtFine_labelIds"), strict=True)
        ]
        if number < DISTINCT:
            coarse = Image.fromarray(random_numbers.integers(0, 256, (16, 32, 3), np.uint8))
            coarse.resize((2048, 1024)).save(files[0])
            label = np.kron(random_numbers.integers(0, 34, (16, 32), np.uint8), np.ones((64, 64), np.uint8))
            Image.fromarray(label).save(files[1])
        else:
            for folder, file, end in zip(folders, files, ("leftImg8bit", "gtFine_labelIds"), strict=True):
                os.link(folder / f"ville_{number % DISTINCT:06}_{end}.png", file)
    return tmp_path


@pytest.mark.skipif(
    not (SAMPLE / "checkpoints" / "enet.safetensors").exists(), reason="the sample checkpoint of ENet is not there"
)
def test_a_pass_over_500_pairs_at_batch_16(benchmark, capsys, streets):
    def run() -> dict[str, float]:
        command = [sys.executable, "-m", "tests.speed.test_memory", str(streets)]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    found = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(found, wanted_gb=WANTED_GB)
    with capsys.disabled():
        print(
            f" {found['images']} pairs at batch {BATCH}: peak {found['peak_gb']:.2f} GB, {WANTED_GB:g} allowed "
            f"({found['before_gb']:.2f} GB before the pass) ",
            end="",
        )
    assert found["images"] == PAIRS
    assert found["peak_gb"] <= WANTED_GB


def main(folder: Path) -> None:
    """Take the reference of the distinct images by torch, as a session would, then the pass; print what it took."""
    from acceptance.evaluation import Pass, evaluate
    from fixtures import catalogue
    from fixtures.case import Case
    from fixtures.selection import Selection
    from fixtures.tensorfile import Writer
    from fixtures.workshop import Workshop
    from tests.tiny import Quiet

    chosen = Selection("sample", ("enet",), (), (), (), (), {"cityscapes": folder}, {}, None, folder / "store", ())
    workshop = Workshop(chosen, Quiet())
    model = catalogue.find("model", "enet")
    feed = workshop.feed(Case("sample", "enet", 480, BATCH, "onnxruntime"))
    for backend, batch, names in (("torch", 1, feed.names[:DISTINCT]), ("onnxruntime", BATCH, feed.names)):
        case = Case("sample", "enet", 480, batch, backend)
        session = workshop.pool.session(case, catalogue.find("backend", backend), workshop.sources.engine(case))
        behind = Pass(model.postprocess, catalogue.find("metric", "miou")())
        started = time.perf_counter()
        if backend == "torch":
            with Writer(folder / "reference.safetensors", DISTINCT) as writer:
                behind.keep = writer.add
                evaluate(session, feed.load, names, batch, behind, ignore)
            before = peak()
        else:
            behind.reference = Linked(folder / "reference.safetensors")
            images = evaluate(session, feed.load, names, batch, behind, ignore).images
    found = {"peak_gb": peak(), "before_gb": before, "images": images, "seconds": time.perf_counter() - started}
    print(json.dumps(found))


class Linked(Reader):
    """The reference of the distinct images, for every image that is a link to one of them."""

    def __getitem__(self, name: str) -> np.ndarray:
        """Map the array of the image that `name` links to."""
        city, _, number = name.rpartition("_")
        return super().__getitem__(f"{city}_{int(number) % DISTINCT:06}")


def peak() -> float:
    """Return the most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def ignore(done: int, of: int) -> None:
    """Show no progress."""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
