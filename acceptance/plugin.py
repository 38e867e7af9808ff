"""pytest plugin: the evaluations of this session, and what was accepted before."""

from __future__ import annotations

import pytest

from acceptance import nights as of_tonight
from acceptance.evaluations import Evaluations
from acceptance.nights import Nights
from fixtures.errors import SetupError
from fixtures.plugin import SELECTION
from fixtures.workshop import Workshop
from reports.ledger import Ledger
from reports.plugin import HISTORY
from reports.recording import RECORDING

NIGHTLY = "nightly"


@pytest.fixture(scope="session")
def evaluations(workshop: Workshop, ledger: Ledger) -> Evaluations:
    """Take each pass once, whichever test asks first."""
    return Evaluations(workshop, ledger)


@pytest.fixture(scope="session")
def nights(pytestconfig: pytest.Config, evaluations: Evaluations, workshop: Workshop) -> Nights:
    """Judge tonight's figures against what was accepted."""
    return Nights(pytestconfig.stash[HISTORY], evaluations, workshop.missing)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the comparison with accepted figures its cases."""
    if "night" not in metafunc.fixturenames:
        return
    config = metafunc.config
    every_night = config.stash[RECORDING].effort == NIGHTLY
    try:
        cases = of_tonight.tonight(config.stash[SELECTION], config.stash[HISTORY], every_night)
    except SetupError as error:
        raise pytest.UsageError(str(error)) from error
    metafunc.parametrize("night", cases, ids=[case.id for case in cases])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what compares nights behind what judges one by itself, whose gates are told first."""
    places = [place for place, item in enumerate(items) if item.get_closest_marker("accuracy")]
    ordered = sorted((items[place] for place in places), key=_compares)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _compares(item: pytest.Item) -> bool:
    return "night" in getattr(item, "fixturenames", ())
