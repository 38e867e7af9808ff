"""Is the engine right? Its figure against the profile's reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from acceptance import gates
from acceptance.evaluations import Evaluations
from fixtures import catalogue
from fixtures.case import Case
from reports.verdict import Verdict

pytestmark = pytest.mark.accuracy


def test_accuracy(
    accuracy_case: Case, runnable: Callable[[Case], None], evaluations: Evaluations, judge: Callable[[Verdict], None]
) -> None:
    """The engine keeps the figure of its profile."""
    runnable(accuracy_case)
    taken = evaluations.take(accuracy_case)
    model = catalogue.find("model", accuracy_case.model)
    verdict = gates.accuracy(taken.judged, model.gate, evaluations.basis(accuracy_case))
    judge(evaluations.advised(accuracy_case, replace(verdict, measurements=taken.measurements)))
