"""pytest plugin: the evaluations of this session."""

from __future__ import annotations

import pytest

from acceptance.evaluations import Evaluations
from fixtures.workshop import Workshop
from reports.ledger import Ledger


@pytest.fixture(scope="session")
def evaluations(workshop: Workshop, ledger: Ledger) -> Evaluations:
    """Take each pass once, whichever test asks first."""
    return Evaluations(workshop, ledger)
