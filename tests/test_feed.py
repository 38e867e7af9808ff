"""What an engine is fed: the data set at its own size, real crops at any other."""

from __future__ import annotations

import pytest

from fixtures.data import Data, open_data
from fixtures.dataset import DataError
from fixtures.datasets.cityscapes import DATASET as CITYSCAPES
from fixtures.datasets.div2k import DATASET as DIV2K
from fixtures.feed import CROPS, feed
from fixtures.model import SAMPLE


@pytest.fixture(scope="module")
def photos() -> Data:
    return open_data(DIV2K, SAMPLE / "sr_photos", official=False, subset=None, own=True)


def test_at_its_own_size_the_whole_data_set_is_fed(photos):
    fed = feed(photos, photos.size)
    assert fed.whole
    assert fed.names == photos.names
    assert fed.digest == photos.digest
    assert fed.described == "8 images of sr_photos"
    assert fed.load(fed.names[0]).target is not None


def test_a_subset_is_named_and_has_a_digest_of_its_own(photos):
    few = open_data(DIV2K, photos.folder, official=False, subset=2, own=True)
    fed = feed(few, few.size)
    assert fed.described == "2 of 8 images of sr_photos"
    assert fed.digest != few.digest


def test_subsets_of_samples_that_share_a_file_have_different_digests(photos):
    """Their fp32 outputs are kept by it."""
    digests = {feed(Data(DIV2K, photos.folder, ("a",) * n, 8, "same", 240, True), 240).digest for n in (1, 2, 8)}
    assert len(digests) == 3


def test_at_another_size_real_crops_are_fed_without_targets(photos):
    fed = feed(photos, 96)
    assert not fed.whole
    assert len(fed.names) == CROPS
    assert fed.digest != photos.digest
    assert "96 px crops of sr_photos" in fed.described
    crops = [fed.load(name) for name in fed.names]
    assert all(crop.target is None and crop.inputs[0].shape == (3, 96, 96) for crop in crops)
    assert len({crop.inputs[0].tobytes() for crop in crops}) == CROPS


def test_a_data_set_without_crops_is_fed_at_no_other_size():
    scenes = open_data(CITYSCAPES, SAMPLE / "street_scenes", official=False, subset=2, own=True)
    with pytest.raises(DataError, match=r"found a data set of size 480 that offers no crops; .* leave out --size 256"):
        feed(scenes, 256)
