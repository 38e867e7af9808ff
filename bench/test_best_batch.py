"""Which batch is best? Chosen on one campaign, and measured again: the best of several looks better than it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.measuring import Measuring
from bench.sweep import Sweep, best
from fixtures.case import Case
from fixtures.runtime import Missing
from reports.ledger import Ledger

pytestmark = pytest.mark.perf


def test_best_batch(
    sweep: Sweep,
    runnable: Callable[[Case], None],
    campaign: Measuring,
    ledger: Ledger,
    not_run: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> None:
    """Name the batch with the most images per second, and measure it in fresh rounds."""
    runnable(sweep.candidate)
    figure = best(sweep, campaign)
    if isinstance(figure, Missing):
        not_run(sweep.candidate.backend, figure.reason, figure.next_step, named=False)
        return
    ledger.add(figure)
    for name, value in (("batch", figure.case.batch), ("value", figure.value), ("unit", figure.unit)):
        record_property(name, value)
