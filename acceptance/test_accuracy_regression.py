"""Is tonight as right as what was accepted? Image by image against the evidence of that night."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from acceptance.nights import Gone, Nights
from fixtures.case import Case
from reports.ledger import Ledger
from reports.verdict import Verdict

pytestmark = pytest.mark.accuracy


def test_accuracy_regression(
    night: Case | Gone,
    nights: Nights,
    runnable: Callable[[Case], None],
    ledger: Ledger,
    judge: Callable[[Verdict], None],
) -> None:
    """The case is not worse than the latest accepted figure, nor by more than twice the tolerance than the oldest."""
    if isinstance(night, Case) and not nights.known(night):
        runnable(night)
    worst, *others = nights.verdicts(night)
    for verdict in others:
        ledger.add(verdict)
    judge(worst)
