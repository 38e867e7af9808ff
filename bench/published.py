"""Verdicts on what the guides print: whether it follows from their figures, and what the rules think of them."""

from __future__ import annotations

import math
from typing import Any

from bench.statistics import two_hosts
from fixtures.case import Case
from reports.published.claims import AccuracyClaim, Claim
from reports.published.doubts import doubts
from reports.published.entries import case_of
from reports.published.figures import Published, figures
from reports.verdict import Verdict

AS_PRINTED = "_as_printed"
"""Ends the rule's name where the guide's arithmetic was judged: such a verdict never shows accuracy or speed."""
PUBLISHED = {"source": "published"}
"""In the details of every verdict on a guide: it is no gate of the run it stands in."""


def name(claim: Claim) -> str:
    """Return for instance `edsr-256-bs1-ascend310-over-t4`, as the comparison of the same two backends is called."""
    case = case_of(claim.better)
    return f"{case.id.removesuffix(case.backend)}{claim.rule.replace('_', '-')}"


def as_printed(claim: Claim) -> Verdict:
    """Judge a claim as the guide does, by the two bare figures, and check that each follows from what it is made of."""
    better, other = claim.better, claim.other
    wrong = _not_derived(better, other)
    told = f"{better.printed} {'>' if better.value > other.value else '<'} {other.printed} images/s"
    said = "as the guide prints it" if claim.met else "not as the guide says"
    reason = "; ".join([*wrong, f"guide's claim: {told}, {said}: {claim.ratio:.4f}, required {claim.limit}"])
    return _verdict(claim, claim.rule + AS_PRINTED, "passed" if claim.met and not wrong else "failed", reason, {})


def opinion(claim: Claim) -> Verdict:
    """Judge the evidence behind a claim by the rule for figures that nobody repeated (measurement protocol 5.2)."""
    better, other = (
        two_hosts.Side(((math.log(side.value),),), two_hosts.UNREPLICATED_C0) for side in (claim.better, claim.other)
    )
    found = two_hosts.decide(better, other, claim.required)
    against = doubts(claim.better, claim.other)
    level = f"{100 * found.level:.3g} %"
    reason = (
        f"by interval: {found.ratio:.4f} [{found.low:.3f}, {found.high:.3f}] at {level}, required {claim.limit}, "
        f"because nobody repeated either ({100 * two_hosts.UNREPLICATED_C0:g} % each); {'; '.join(against)}"
    )
    details = {"estimate": found.estimate, "lower": found.lower, "upper": found.upper, "doubts": list(against)}
    return _verdict(claim, claim.rule, found.status, reason, details)


def accuracy(claim: AccuracyClaim) -> Verdict:
    """Judge a claim on accuracy by the guide's own limit."""
    found, reference = claim.found, claim.reference
    assert found.size is not None
    case = Case(
        "official", found.model, found.size, found.batch or 1, "ascend310" if found.hardware == "310" else "ascend310p"
    )
    untold = ", device not told" if "not told" in found.hardware else ""
    return Verdict(
        case,
        "accuracy" + AS_PRINTED,
        f"loses at most {claim.limit:.0%} of {reference.printed} {found.unit}",
        "passed" if claim.drop <= claim.limit else "failed",
        found.quantity,
        found.unit,
        f"guide's claim: {found.printed} {found.unit}{untold}, {100 * claim.drop:.4f} % below {reference.printed}, "
        f"{reference.value - found.value:.3f} {'points' if found.unit == '%' else found.unit}",
        found.value,
        reference.value * (1 - claim.limit),
        found.value - reference.value * (1 - claim.limit),
        PUBLISHED,
    )


def row(batch: int | None) -> Verdict:
    """Judge whether every figure in a row of ENet's table (None: that of best batches) follows to its last digit."""
    best = batch is None
    cells = {
        f.column: f
        for f in figures()
        if (f.guide, f.batch, f.best) == ("enet", batch, best) and f.hardware != "reference"
    }
    made = [f for f in cells.values() if f.formula]
    wrong = _not_derived(*made)
    ratios = [f.printed for f in made if f.formula == "ratio"]
    chosen = {column: _chosen(f) for column, f in cells.items() if f.formula == "largest"}
    said = [f"{column} at batch {source.batch}" for column, source in chosen.items()]
    reason = "; ".join(
        [
            *wrong,
            *([f"each column's own best: {', '.join(said)}"] if said else []),
            f"{len(made) - len(wrong)} of {len(made)} figures follow to the last digit, ratios {', '.join(ratios)}",
        ]
    )
    candidate, baseline = (chosen.get(column) or cells.get(column) for column in ("310P3 (aoe)", "310"))
    assert candidate is not None
    return Verdict(
        case_of(candidate),
        ("best_batch" if best else "ratios") + AS_PRINTED,
        "every ratio is that of its two figures, and the best batch of a column is its largest figure",
        "failed" if wrong else "passed",
        "figures that follow",
        "",
        f"guide's table: {reason}",
        len(made) - len(wrong),
        len(made),
        -len(wrong),
        PUBLISHED,
        against=case_of(baseline or cells["T4"]),
    )


def best_batch() -> Verdict:
    """Return what the rules think of a row of best batches: refused (measurement protocol 5.2)."""
    best = {f.column: f for f in figures() if f.guide == "enet" and f.best}
    ends = [
        f"{column} to batch {max(each.batch or 0 for each in best[column].of)}"
        for column in ("310", "310P3", "310P3 (aoe)")
    ]
    candidate, baseline = (_chosen(best[column]) for column in ("310P3 (aoe)", "310"))
    reason = (
        f"{best['310P3 (aoe)/310'].printed} with AOE, {best['310P3/310'].printed} without: "
        f"the best batch was chosen and judged on the same figures, and over unlike lists ({', '.join(ends)})"
    )
    return Verdict(
        case_of(candidate),
        "best_batch",
        "the best batch is chosen on one campaign and judged on fresh rounds, over the same list on both sides",
        "refused",
        "throughput ratio",
        "",
        reason,
        details=PUBLISHED,
        against=case_of(baseline),
    )


def _chosen(best: Published) -> Published:
    return max(best.of, key=lambda each: each.value)


def _not_derived(*printed: Published) -> list[str]:
    return [f"{f.id} prints {f.printed}, its parts give {f.derived()}" for f in printed if f.formula and not f.holds]


def _verdict(claim: Claim, rule: str, status: str, reason: str, details: dict[str, Any]) -> Verdict:
    return Verdict(
        case_of(claim.better),
        rule,
        claim.sentence,
        status,
        "throughput ratio",
        "",
        reason,
        claim.ratio,
        claim.required,
        claim.ratio - claim.required,
        {**details, **PUBLISHED},
        against=case_of(claim.other),
    )
