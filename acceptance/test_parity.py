"""Does the engine compute what fp32 computes? Against the same checkpoint, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from acceptance import gates
from acceptance.evaluations import Evaluations
from fixtures import backend as backends
from fixtures import catalogue
from fixtures.case import Case
from reports.verdict import Verdict

pytestmark = pytest.mark.accuracy


def test_parity(
    parity_case: Case, runnable: Callable[[Case], None], evaluations: Evaluations, judge: Callable[[Verdict], None]
) -> None:
    """The engine keeps the figure of its own fp32, and every output is finite."""
    runnable(parity_case)
    taken = evaluations.take(parity_case)
    model = catalogue.find("model", parity_case.model)
    precision = backends.find(parity_case.backend).precision
    verdict = gates.parity(taken.judged, model.parity_gate(precision))
    judge(evaluations.advised(parity_case, replace(verdict, measurements=taken.measurements)))
