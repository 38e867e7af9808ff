from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from acceptance.basis import basis
from fixtures.data import Data
from fixtures.model import Checkpoint, Figure, Profile

NETWORK, DIGEST = "ab" * 32, "cd" * 32
FIGURE = Figure(34.61, "dB", "the guide", NETWORK, DIGEST)
PROFILE = Profile(Checkpoint("weights.pt"), "div2k", 1020, FIGURE)
DATA = Data(SimpleNamespace(name="div2k"), Path("/data/DIV2K"), ("a", "b"), 2, DIGEST, 1020, own=True)


def unmet(profile=PROFILE, data=DATA, network=NETWORK, own_weights=True) -> tuple[str, ...]:
    return basis(profile, "official", data, network, own_weights).unmet


def test_the_figure_applies_to_its_own_network_weights_and_data():
    found = basis(PROFILE, "official", DATA, NETWORK, True)
    assert (found.figure, found.name, found.unmet) == (FIGURE, "official reference", ())


def test_a_figure_without_a_known_digest_applies_to_the_profiles_data():
    assert unmet(replace(PROFILE, reference=replace(FIGURE, data=None))) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"own_weights": False}, "other weights than the profile's"),
        ({"data": replace(DATA, own=False)}, "DIV2K is not the data of the official profile"),
        ({"data": replace(DATA, names=("a",), digest="of a part")}, "a subset of 1 of 2 images"),
        (
            {"data": replace(DATA, digest="ef" * 32)},
            "the data have changed: digest efefefefefef, the figure belongs to cdcdcdcdcdcd",
        ),
        ({"network": "12" * 32}, "another network: fingerprint 121212121212, the figure belongs to abababababab"),
    ],
    ids=["weights", "foreign data", "subset", "changed data", "network"],
)
def test_says_why_the_figure_does_not_apply(changes, reason):
    assert unmet(**changes) == (reason,)


def test_names_every_reason_at_once():
    assert len(unmet(data=replace(DATA, names=("a",)), network="12" * 32, own_weights=False)) == 3
