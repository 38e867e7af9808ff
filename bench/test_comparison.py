"""Is one side faster than the other, as a rule asks? By turns on one host, or by the evidence of two."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.comparing import Comparing
from bench.comparison import Comparison
from bench.sides import Absent
from bench.units import BudgetError
from reports.verdict import Verdict

pytestmark = pytest.mark.perf


def test_comparison(
    comparison: Comparison,
    comparing: Comparing,
    not_run: Callable[..., None],
    judge: Callable[[Verdict], None],
) -> None:
    """The candidate meets the rule against the baseline."""
    try:
        found = comparing.verdict(comparison)
    except BudgetError as error:
        not_run(comparison.candidate.backend, error.reason, error.next_step, named=False)
        return
    if isinstance(found, Absent):
        not_run(found.case.backend, found.reason, found.next_step, named=comparing.requires(comparison, found))
    else:
        judge(found)
