"""Is tonight as fast as what was accepted? In turn with the accepted engine, or by the evidence of both nights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.nights import Tonight
from bench.regression import Regression
from fixtures.case import Case
from reports.ledger import Ledger
from reports.verdict import Verdict

pytestmark = pytest.mark.perf


def test_regression(
    tonight: Tonight,
    runnable: Callable[[Case], None],
    regression: Regression,
    ledger: Ledger,
    judge: Callable[[Verdict], None],
) -> None:
    """The case is not slower than the latest accepted campaign, nor by more than twice the margin than the oldest."""
    if tonight.candidate and not regression.known(tonight):
        runnable(tonight.candidate)
    worst, *others = regression.verdicts(tonight)
    for verdict in others:
        ledger.add(verdict)
    judge(worst)
