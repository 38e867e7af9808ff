"""Work out what the guides conclude from their figures, and show what the rules think of that evidence.

Red is only what does not follow from its own digits. What a rule finds undecided, failed or refused is shown, and fails
no run: it is a finding about a guide, on which nobody's release hangs.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import published
from reports.ledger import Ledger
from reports.published.claims import AccuracyClaim, Claim, accuracy_claims, claims
from reports.published.figures import Published, figures
from reports.verdict import Verdict

pytestmark = pytest.mark.published

CLAIMS = {published.name(claim): claim for claim in claims()}
ACCURACY = {f"{claim.found.model}-bs{claim.found.batch}": claim for claim in accuracy_claims()}
DERIVED = {figure.id: figure for figure in figures() if figure.formula}
BATCHES = (1, 4, 8, 16, 32)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_claim(claim: Claim, ledger: Ledger) -> None:
    """Work a claim out by the guide's bare figures, then by the rule for figures that nobody repeated."""
    printed = published.as_printed(claim)
    ledger.add(printed)
    ledger.add(published.opinion(claim))
    # That the sentence on 1.2 times is not true of the untuned column is what has to come out.
    if printed.passed != claim.holds:
        pytest.fail(printed.text(evidence=str(ledger.path)), pytrace=False)


@pytest.mark.parametrize("figure", DERIVED.values(), ids=DERIVED)
def test_figure(figure: Published) -> None:
    """A figure that follows from others does so to the last digit printed."""
    assert figure.holds, f"{figure.id} prints {figure.printed}, {figure.formula} of its parts is {figure.derived()}"


@pytest.mark.parametrize("batch", BATCHES, ids="enet-bs{}".format)
def test_ratios(batch: int, judge: Callable[[Verdict], None]) -> None:
    """Every ratio in a row of ENet's table is that of its two figures."""
    judge(published.row(batch))


def test_best_batch(ledger: Ledger, judge: Callable[[Verdict], None]) -> None:
    """ENet's row of best batches has the largest figure of each column, which is no way to choose a batch."""
    ledger.add(published.best_batch())
    judge(published.row(None))


@pytest.mark.parametrize("claim", ACCURACY.values(), ids=ACCURACY)
def test_accuracy_claim(claim: AccuracyClaim, judge: Callable[[Verdict], None]) -> None:
    """The device's accuracy is within 1 % of the reference, relative, as the guides conclude."""
    judge(published.accuracy(claim))
