from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from acceptance.basis import Basis, basis
from fixtures.data import Data
from fixtures.model import Checkpoint, Figure, Profile

NETWORK, DIGEST = "ab" * 32, "cd" * 32
FIGURE = Figure(34.61, "dB", "the guide", NETWORK, DIGEST)
PROFILE = Profile(Checkpoint("weights.pt"), "div2k", 1020, FIGURE)
DATA = Data(SimpleNamespace(name="div2k"), Path("/data/DIV2K"), ("a", "b"), 2, DIGEST, 1020, own=True)


def found(profile=PROFILE, data=DATA, network=NETWORK, own_weights=True, unit="dB") -> Basis:
    return basis(profile, "official", data, network, own_weights, unit)


def test_the_figure_applies_to_its_own_network_weights_and_data():
    assert found() == Basis(FIGURE, "official reference")


def test_a_figure_without_a_known_digest_applies_to_the_profiles_data():
    assert found(replace(PROFILE, reference=replace(FIGURE, data=None))).unmet == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"own_weights": False}, "other weights than the profile's"),
        ({"data": replace(DATA, own=False)}, "DIV2K is not the data of the official profile"),
        ({"data": replace(DATA, names=("a",), digest="of a part")}, "a subset of 1 of 2 images"),
    ],
    ids=["weights", "foreign data", "subset"],
)
def test_says_why_the_user_took_the_figure_out_of_play(changes, reason):
    assert found(**changes) == Basis(FIGURE, "official reference", unmet=(reason,))


def test_names_every_reason_at_once():
    assert found(data=replace(DATA, names=("a",)), network="12" * 32, own_weights=False).unmet == (
        "other weights than the profile's",
        f"another network: expected fingerprint {NETWORK}, found {'12' * 32}",
        "a subset of 1 of 2 images",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"data": replace(DATA, digest="ef" * 32)},
            f"the data have changed: expected digest {DIGEST}, found {'ef' * 32}",
        ),
        ({"network": "12" * 32}, f"another network: expected fingerprint {NETWORK}, found {'12' * 32}"),
        ({"unit": "%"}, "the metric's figures are in %, the reference in dB"),
    ],
    ids=["data", "network", "unit"],
)
def test_a_profile_that_is_not_what_its_figure_was_measured_with_is_broken(changes, reason):
    assert found(**changes) == Basis(FIGURE, "official reference", broken=(reason,))
