"""Opening a data set: everything is checked before anything else happens, and what is used has a digest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fixtures import home
from fixtures.data import Data, Refused, open_data
from fixtures.dataset import DataError, Dataset, Sample
from fixtures.datasets.cityscapes import DATASET as CITYSCAPES
from fixtures.datasets.div2k import DATASET as DIV2K
from fixtures.model import SAMPLE
from fixtures.spread import spread


class Texts:
    """A data set of text files; one that says `bad` is a problem."""

    name = "texts"

    def names(self, folder: Path) -> list[str]:
        return sorted(path.stem for path in folder.glob("*.txt"))

    def files(self, folder: Path, name: str) -> tuple[Path, ...]:
        return (folder / f"{name}.txt",)

    def problems(self, folder: Path, names: list[str], official: bool) -> Iterator[str]:
        if official:
            yield "not published"
        for name in names:
            if self.files(folder, name)[0].read_text() == "bad":
                yield f"{name}: bad"

    def size(self, folder: Path) -> int:
        return 3

    def load(self, folder: Path, name: str, size: int) -> Sample:
        return Sample(name, (np.full(size, len(name)),), None)


@pytest.fixture
def texts(tmp_path) -> Path:
    for number in range(10):
        (tmp_path / f"{number:02}.txt").write_text(f"text {number}")
    return tmp_path


def opened(folder: Path, subset: int | None = None, official: bool = False) -> Data:
    return open_data(Texts(), folder, official, subset, own=True)


def test_opens_both_shipped_samples():
    photos = open_data(DIV2K, SAMPLE / "sr_photos", official=False, subset=None, own=True)
    scenes = open_data(CITYSCAPES, SAMPLE / "street_scenes", official=False, subset=None, own=False)
    assert (len(photos.names), photos.of, photos.size, photos.own) == (8, 8, 240, True)
    assert (len(scenes.names), scenes.of, scenes.size, scenes.own) == (10, 10, 480, False)
    assert photos.load("0801").inputs[0].shape == (3, 240, 240)


def test_says_what_it_begins_if_that_takes_long(texts, monkeypatch):
    said: list[str] = []
    open_data(Texts(), texts, False, 4, True, said.append)
    assert said == []
    monkeypatch.setattr("fixtures.data.QUIET", 3)
    open_data(Texts(), texts, False, 4, True, said.append)
    assert said == [f"texts: checking 4 of 10 samples in {texts}"]


# Refusals


@pytest.fixture
def default(tmp_path, monkeypatch) -> Path:
    """The folder of DIV2K that fetch fills, which does not exist."""
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    return home.data_folder("div2k")


def remedy(dataset: Dataset, folder: Path) -> str:
    """The first thing that a refusal of the folder advises."""
    with pytest.raises(Refused) as refused:
        open_data(dataset, folder, official=False, subset=None, own=True)
    return str(refused.value).splitlines()[-1].removeprefix("next: ").split(", or ")[0]


def test_lists_ten_problems_then_the_count(texts):
    for number in range(10, 13):
        (texts / f"{number}.txt").write_text("bad")
    for number in range(10):
        (texts / f"{number:02}.txt").write_text("bad")
    with pytest.raises(Refused) as refused:
        opened(texts)
    assert refused.value.problems == [f"{number:02}: bad" for number in range(13)]
    assert str(refused.value).splitlines() == [
        f"texts in {texts}: expected a data set, whole and readable; found",
        *(f"  {number:02}: bad" for number in range(10)),
        "  and 3 more problems, 13 in all",
        "next: mend the files, or name another folder with `--data texts=DIR`",
    ]


def test_counts_nothing_when_all_problems_are_shown(texts):
    (texts / "00.txt").write_text("bad")
    with pytest.raises(DataError, match="found\n  00: bad\nnext:"):
        opened(texts)


def test_names_the_command_that_fetches_for_the_folder_that_it_fills(default):
    with pytest.raises(DataError) as refused:
        open_data(DIV2K, default, official=True, subset=None, own=True)
    assert str(refused.value).splitlines() == [
        f"div2k in {default}: expected the published data set, whole and readable; found",
        "  no such folder",
        "next: run `python -m fixtures fetch div2k`, or name another folder with `--data div2k=DIR`",
    ]
    default.mkdir(parents=True)
    assert remedy(DIV2K, default) == "run `python -m fixtures fetch div2k`"


def test_fetch_is_no_remedy_for_what_lies_there(default):
    """It leaves alone what is there, and cannot bring Cityscapes at all."""
    for name in ("div2k", "cityscapes"):
        (default.with_name(name) / "HR").mkdir(parents=True)
    assert remedy(DIV2K, default) == "remove this folder and run `python -m fixtures fetch div2k`"
    assert remedy(CITYSCAPES, default.with_name("cityscapes")) == "mend the files"


def test_fetch_is_no_remedy_for_another_folder(default, tmp_path):
    (tmp_path / "mine/HR").mkdir(parents=True)
    assert remedy(DIV2K, tmp_path / "mine") == "mend the files"
    assert remedy(DIV2K, tmp_path / "none") == "name another folder with `--data div2k=DIR`"


def test_a_damaged_sample_is_restored_from_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr("fixtures.data.SAMPLE", tmp_path / "fixtures/sample")
    sample = tmp_path / "fixtures/sample/sr_photos"
    (sample / "HR").mkdir(parents=True)
    said = "restore the files of this checkout, `git checkout -- fixtures/sample/sr_photos`"
    assert remedy(DIV2K, sample) == said
    shutil.rmtree(sample)
    assert remedy(DIV2K, sample) == said


def test_refuses_a_file_an_empty_folder_and_another_layout(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for dataset, folder, found in (
        (Texts(), tmp_path / "file", "a file, not a folder"),
        (Texts(), tmp_path / "empty", "no samples"),
        (DIV2K, SAMPLE / "street_scenes", "found gtFine, gtFine/val, leftImg8bit, leftImg8bit/val"),
        (CITYSCAPES, SAMPLE / "sr_photos", "expected leftImg8bit/val"),
    ):
        with pytest.raises(DataError, match=found):
            open_data(dataset, folder, official=False, subset=None, own=False)


def test_refuses_the_sample_as_the_published_set():
    with pytest.raises(Refused, match=r"0809: missing from the published set(.|\n)*92 in all\nnext: mend") as refused:
        open_data(DIV2K, SAMPLE / "sr_photos", official=True, subset=None, own=False)
    assert len(refused.value.problems) == 92


def test_finds_a_truncated_png(tmp_path):
    folder = shutil.copytree(SAMPLE / "sr_photos", tmp_path / "photos")
    path = folder / "DIV2K_valid_HR" / "0805.png"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"0805\.png: expected a whole PNG; found it truncated"):
        open_data(DIV2K, folder, official=False, subset=None, own=True)


def test_reports_what_the_system_says(texts, monkeypatch):
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fixtures.digest.of_file", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        opened(texts)


# Subsets


@pytest.mark.parametrize("subset", [0, -1, 11])
def test_refuses_a_subset_that_the_folder_cannot_give(texts, subset):
    with pytest.raises(DataError, match=f"--subset: expected 1 to 10, .*; found {subset}; ask for fewer"):
        opened(texts, subset)


def test_takes_a_subset_at_even_distances(texts):
    data = opened(texts, 4)
    assert data.names == ("00", "02", "05", "07")
    assert data.of == 10


def test_checks_only_what_a_subset_uses(texts):
    (texts / "01.txt").write_text("bad")
    assert opened(texts, 4).names == ("00", "02", "05", "07")


def test_asks_a_subset_of_the_published_set_to_be_published(texts):
    with pytest.raises(DataError, match="not published"):
        opened(texts, 4, official=True)


def test_spread_takes_all_where_there_are_no_more():
    assert spread("abc", 3) == spread("abc", 9) == ["a", "b", "c"]
    assert spread("", 3) == []


# Digests


def test_digest_is_what_sha256sum_gives(texts):
    lines = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(texts.glob("*.txt"))
    )
    assert opened(texts).digest == hashlib.sha256(lines.encode()).hexdigest()


def test_digest_does_not_depend_on_the_place(texts, tmp_path_factory):
    copy = shutil.copytree(texts, tmp_path_factory.mktemp("other") / "copy")
    assert opened(copy).digest == opened(texts).digest


def test_digest_changes_with_a_byte_a_name_and_a_subset_and_with_nothing_else(texts):
    (texts / "README").write_text("x")
    digests = [opened(texts).digest, opened(texts, 9).digest]
    (texts / "unused.log").write_text("x")
    assert opened(texts).digest == digests[0]
    (texts / "09.txt").write_text("texT 9")
    digests.append(opened(texts).digest)
    (texts / "09.txt").rename(texts / "10.txt")
    digests.append(opened(texts).digest)
    assert len(set(digests)) == 4


def test_a_file_that_samples_share_is_counted_once(texts):
    class OneFile(Texts):
        def files(self, folder: Path, name: str) -> tuple[Path, ...]:
            return (folder / "00.txt",)

    line = f"{hashlib.sha256(b'text 0').hexdigest()}  00.txt\n"
    found = open_data(OneFile(), texts, official=False, subset=None, own=True)
    assert found.digest == hashlib.sha256(line.encode()).hexdigest()


def test_the_digests_of_the_samples_are_known():
    """Reference figures are tied to them."""
    assert {
        open_data(dataset, SAMPLE / folder, official=False, subset=None, own=True).digest
        for dataset, folder in ((DIV2K, "sr_photos"), (CITYSCAPES, "street_scenes"))
    } == {
        "ad08ca01702ad109b0e6d30fdda4d1eec88818dbf55a5d7a78d2f86d2b7f42a2",
        "e1ed22b4c5a1c92d80672e2b8ba3a48491e1daf7ccc0dc1fdcc138a1c7ab0801",
    }
