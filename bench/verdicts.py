"""What a comparison comes to, in words: the figures of both sides, the interval, what is required, and what next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.campaigns import Campaign
from bench.effort import QUICK
from bench.judging import Judged, multiplier
from bench.rule import Rule, Side
from bench.statistics.decision import PAIRS, Decision
from bench.undecided import COUNTS, held, more, percent
from fixtures import backend as backends
from reports.figure import figure
from reports.verdict import Verdict

NAMES = {
    "device_compute": "device compute",
    "latency": "host wall, call by call",
    "throughput": "host wall with transfers",
}
COMPARED = {**NAMES, "latency": f"latency ({NAMES['latency']})", "throughput": f"throughput ({NAMES['throughput']})"}
"""What two figures in images/s are of, as the same run prints others beside them."""


@dataclass(frozen=True)
class Compared:
    """Everything a verdict is made of. `judged` is None where no figure is told by both sides."""

    rule: Rule
    candidates: Sequence[Campaign]
    baselines: Sequence[Campaign]
    judged: Judged | None
    second: Judged | None = None
    """Told beside it; does not decide."""
    refusals: Sequence[str] = ()
    """Why the two cannot be compared, a clause each."""
    allowed: Mapping[str, str] = field(default_factory=dict)
    """Axis -> the reason it may differ."""
    remarks: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What every ratio is printed with."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Axis -> why it refuses, each by itself; `refusals` groups those that share a cause."""


def verdict(compared: Compared, policy: str) -> Verdict:
    """Return the verdict; `policy` says whether the interval or the guides' point rule decides."""
    rule, judged = compared.rule, compared.judged
    candidate, baseline = compared.candidates[-1], compared.baselines[-1]
    measured = {m.id: None for each in (*compared.candidates, *compared.baselines) for m in each.figures.values()}
    status, why = _status(compared, policy)
    clauses = [*why, *([_ratio(compared, judged)] if judged else [])]
    if judged:
        clauses += [*_part(rule, candidate), _counts(compared, judged.nearest)]
        if status == judged.status == "undecided":
            yet = _held(compared, judged)
            clauses += [*([f"not decided yet: {yet}"] if yet and not why else []), more(judged)]
        if compared.second:
            clauses.append(
                f"{NAMES[compared.second.figure]}: {_interval(compared.second.nearest)}, which does not decide"
            )
    clauses += [f"allowed {axis}: {reason}" for axis, reason in compared.allowed.items()]
    clauses += compared.remarks
    reason = "; ".join(clauses)
    if judged:
        reason += f". {_point(rule, judged, policy)}"
    found = judged.nearest if judged else None
    return Verdict(
        candidate.case,
        rule.name,
        f"{rule.sentence}: {rule.must()} in {NAMES[judged.figure if judged else rule.figure]}{_at_batches(rule)}",
        status,
        judged.figure if judged else rule.figure,
        "times",
        reason,
        observed=found.ratio if found else None,
        required=rule.required if found else None,
        margin=found.ratio - rule.required if found else None,
        details=_details(compared, policy),
        measurements=tuple(measured),
        against=None if baseline.case == candidate.case else baseline.case,
    )


def _status(compared: Compared, policy: str) -> tuple[str, list[str]]:
    """Return the status, and what stands before the figures where those do not decide."""
    judged = compared.judged
    if compared.refusals:
        return "refused", list(compared.refusals)
    if judged is None:
        wanted = " and ".join(compared.rule.statistics)
        return "refused", [f"{NAMES[compared.rule.figure]}: its {wanted} is not told by both sides"]
    status = judged.status
    if policy == "point":
        status = "passed" if compared.rule.applies(judged.point[1], 1.0) else "failed"
    if QUICK.name in {each.effort for each in (*compared.candidates, *compared.baselines)}:
        would = {"passed": "pass", "failed": "fail"}.get(status, "decide nothing yet")
        if status == "undecided" and (yet := _held(compared, judged)):
            would += f": {yet}"
        return "undecided", [f"quick effort signs nothing off (as it stands it would {would}; take --effort signoff)"]
    return status, []


def _held(compared: Compared, judged: Judged) -> str:
    return held(compared.rule, judged, [*compared.candidates, *compared.baselines])


def _ratio(compared: Compared, judged: Judged) -> str:
    rule = compared.rule
    over = " over ".join(
        f"{_card(side)}{figure(value, 'images/s')}{_of_card(side, campaigns[-1])}"
        for side, campaigns, value in (
            (rule.candidate, compared.candidates, judged.candidate),
            (rule.baseline, compared.baselines, judged.baseline),
        )
    )
    told: dict[str, list[str]] = {}
    for statistic, decision in judged.decisions.items():
        told.setdefault(_interval(decision), []).append(_estimator(statistic, decision))
    many = len(judged.decisions) > 1 or judged.nearest.method == PAIRS
    ratios = " and ".join(
        f"{interval} by {' and '.join(statistics)}" if many else interval for interval, statistics in told.items()
    )
    level = f" at {percent(judged.nearest.level)}" if math.isfinite(judged.nearest.lower) else ""
    return f"{over}, {COMPARED[judged.figure]}: ratio {ratios}{level}, required {rule.must()}"


def _estimator(statistic: str, decision: Decision) -> str:
    """Name the estimate: in turn the median is that of the ratios, which is not the ratio of the medians."""
    return "median of the calls' own ratios" if decision.method == PAIRS and statistic == "median" else statistic


def _card(side: Side) -> str:
    return "card " if side.per_card else ""


def _of_card(side: Side, campaign: Campaign) -> str:
    """Say what a card's figure is made of."""
    count = backends.find(campaign.case.backend).devices_per_card
    if not side.per_card or count == 1:
        return ""
    return f" (x{count}, extrapolated)" if multiplier(side, campaign) else f" ({count} devices at once)"


def _interval(decision: Decision) -> str:
    if not math.isfinite(decision.lower):
        return f"{decision.ratio:.3f} (one round: no interval)"
    return f"{decision.ratio:.3f} [{decision.low:.3f}, {decision.high:.3f}]"


def _at_batches(rule: Rule) -> str:
    return f", at batch {_batches(rule)}" if rule.parts > 1 else ""


def _batches(rule: Rule) -> str:
    return " and ".join(map(str, rule.batches))


def _part(rule: Rule, candidate: Campaign) -> list[str]:
    """Say that a claim about several batches is not shown by one of them."""
    if rule.parts == 1:
        return []
    return [f"this is batch {candidate.case.batch} alone, the claim is about {_batches(rule)} together"]


def _counts(compared: Compared, decision: Decision) -> str:
    if decision.method == PAIRS:
        return f"{_rounds(decision.rounds[0])} in turn on one host"
    candidate, baseline = decision.campaigns
    sides = {"candidate": compared.candidates, "baseline": compared.baselines}
    if bare := [f"{name} {found[-1].source}" for name, found in sides.items() if not found[-1].rounds]:
        return f"unreplicated: {', '.join(bare)}"
    if candidate == baseline:
        return f"{COUNTS.get(candidate, candidate)} campaign{'s' * (candidate > 1)} each"
    return f"{candidate} and {baseline} campaigns"


def _rounds(count: int) -> str:
    return f"{count} round{'s' * (count != 1)}"


def _point(rule: Rule, judged: Judged, policy: str) -> str:
    """Say what the guides would, from point figures alone."""
    statistic, ratio = judged.point
    decides = ", which decides here by policy = point" if policy == "point" else ""
    first = next(iter(judged.points.values()))
    by = "" if math.isclose(first, ratio, rel_tol=5e-4) else f" by the {statistic}"
    if rule.applies(ratio, 1.0):
        return f"By the guide's point rule: {ratio:.3f}{by} {rule.must()}, met{decides}"
    return f"By the guide's point rule {ratio:.3f}{by}, required {rule.must()}: not met{decides}"


def _details(compared: Compared, policy: str) -> dict[str, Any]:
    """Return what evidence keeps of how it was decided."""
    found: dict[str, Any] = {"policy": policy, **compared.facts}
    if compared.allowed:
        found["allowed"] = dict(compared.allowed)
    if compared.refused:
        found["refused"] = dict(compared.refused)
    for name, judged in (("decided_by", compared.judged), ("beside_it", compared.second)):
        if judged:
            found[name] = {statistic: _told(decision) for statistic, decision in judged.decisions.items()}
    found["campaigns"] = {
        name: [
            f"{each.run[:8]} {each.started[:10]}, {_rounds(len(each.processes()))}, {each.source}" for each in campaigns
        ]
        for name, campaigns in (("candidate", compared.candidates), ("baseline", compared.baselines))
    }
    return found


def _told(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON holds it; an open end is left out."""
    told = {
        "status": decision.status,
        "ratio": decision.ratio,
        "low": decision.low if math.isfinite(decision.lower) else None,
        "high": decision.high if math.isfinite(decision.upper) else None,
        "level": decision.level,
        "method": decision.method,
        "rounds": list(decision.rounds),
        "more": decision.more,
    }
    return {name: value for name, value in told.items() if value is not None}


def unused(given: Iterable[str], used: Iterable[str]) -> list[str]:
    """Return a remark for every axis that was allowed and did not differ."""
    return [f"--allow {axis} was not needed" for axis in given if axis not in set(used)]
