"""What ships is what the figures and the provenance say it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures import catalogue, checkpoints, digest
from fixtures.data import open_data
from fixtures.model import SAMPLE
from fixtures.sample.figures import figure

BICUBIC = 30.7835
"""Mean RGB PSNR of plain bicubic x2 on sr_photos, shave 8 (its README)."""
MODELS = ("edsr", "enet")


def provenance(model: str) -> dict:
    return json.loads((SAMPLE / "checkpoints" / f"{model}.provenance.json").read_text())


@pytest.mark.parametrize("model", MODELS)
def test_the_weights_are_those_of_the_figure_and_of_the_provenance(model):
    sha256 = digest.of_file(SAMPLE / "checkpoints" / f"{model}.safetensors")
    assert sha256 == figure(model).checkpoint == provenance(model)["checkpoint_sha256"]


@pytest.mark.parametrize("model", MODELS)
def test_the_scripts_are_as_they_ran(model):
    for name, sha256 in provenance(model)["sources_sha256"].items():
        file = Path(name).name
        path = SAMPLE / "training" / file
        assert digest.of_file(path if path.exists() else SAMPLE.parent / "models" / file) == sha256, name


@pytest.mark.parametrize("model", MODELS)
def test_the_weights_load_strictly(model):
    entry = catalogue.find("model", model)
    checkpoints.load(SAMPLE / "checkpoints" / f"{model}.safetensors", entry)


def test_the_weights_stay_small():
    assert sum(path.stat().st_size for path in (SAMPLE / "checkpoints").glob("*.safetensors")) <= 4.5e6


@pytest.mark.parametrize("model", MODELS)
def test_the_data_are_whole_and_those_of_the_figure(model):
    entry = catalogue.find("model", model)
    profile = entry.profiles["sample"]
    data = open_data(catalogue.find("data set", entry.dataset), Path(profile.data), False, None, own=True)
    assert data.digest == profile.reference.data
    assert data.size == profile.size


def test_every_class_is_in_the_scored_part_of_the_street_scenes():
    dataset = catalogue.find("data set", "cityscapes")
    folder = SAMPLE / "street_scenes"
    targets = [dataset.load(folder, name, 480).target for name in dataset.names(folder)]
    assert set(range(19)) <= {int(value) for target in targets for value in set(target.reshape(-1).tolist())}


def test_the_networks_are_worth_judging():
    assert figure("edsr").reference.value >= BICUBIC + 1.5
    assert figure("enet").reference.value >= 65


def test_photographs_carry_their_licences():
    for folder in ("sr_photos", "sr_train"):
        text = (SAMPLE / folder / "README.md").read_text()
        for picture in (SAMPLE / folder).rglob("*.[jp][pn]g"):
            known = picture.stem.removesuffix("x2")
            assert known in text or known.partition("_by_")[0] in text, picture.name
