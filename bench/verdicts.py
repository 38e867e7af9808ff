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
from bench.statistics.decision import PAIRS, Decision, level_to_fail
from fixtures import backend as backends
from reports.figure import figure
from reports.verdict import Verdict

NAMES = {
    "device_compute": "device compute",
    "latency": "host wall, call by call",
    "throughput": "host wall with transfers",
}
COUNTS = {1: "one", 2: "two", 3: "three"}


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


def verdict(compared: Compared, policy: str) -> Verdict:
    """Return the verdict; `policy` says whether the interval or the guides' point rule decides."""
    rule, judged = compared.rule, compared.judged
    candidate, baseline = compared.candidates[-1], compared.baselines[-1]
    measured = {m.id: None for each in (*compared.candidates, *compared.baselines) for m in each.figures.values()}
    status, why = _status(compared, policy)
    clauses = [*why, *([_ratio(compared, judged)] if judged else [])]
    if judged:
        clauses += [_counts(judged.nearest), *_nearly_failed(judged, status), *_more(judged, status)]
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
        f"{rule.sentence}: {rule.must()} in {NAMES[judged.figure if judged else rule.figure]}",
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
        return "refused", [f"{NAMES[compared.rule.figure]} is not told by both sides"]
    status = judged.status
    if policy == "point":
        status = "passed" if compared.rule.applies(judged.candidate, judged.baseline) else "failed"
    if QUICK.name in {each.effort for each in (*compared.candidates, *compared.baselines)}:
        would = {"passed": "pass", "failed": "fail"}.get(status, "decide nothing yet")
        return "undecided", [f"quick effort signs nothing off (as it stands it would {would}; take --effort signoff)"]
    return status, []


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
        told.setdefault(_interval(decision), []).append(statistic)
    many = len(judged.decisions) > 1
    ratios = " and ".join(
        f"{interval} by {' and '.join(statistics)}" if many else interval for interval, statistics in told.items()
    )
    return f"{over}: ratio {ratios} at {_percent(judged.nearest.level)}, required {rule.must()}"


def _card(side: Side) -> str:
    return "card " if side.per_card else ""


def _of_card(side: Side, campaign: Campaign) -> str:
    """Say what a card's figure is made of."""
    count = backends.find(campaign.case.backend).devices_per_card
    if not side.per_card or count == 1:
        return ""
    return f" (x{count}, extrapolated)" if multiplier(side, campaign) else f" ({count} devices at once)"


def _interval(decision: Decision) -> str:
    low, high = (f"{math.exp(end):.3f}" if math.isfinite(end) else "?" for end in (decision.lower, decision.upper))
    return f"{decision.ratio:.3f} [{low}, {high}]"


def _percent(level: float) -> str:
    return f"{100 * level:.3g} %"


def _counts(decision: Decision) -> str:
    if decision.method == PAIRS:
        return f"{decision.rounds[0]} rounds in turn on one host"
    candidate, baseline = decision.campaigns
    if candidate == baseline:
        return f"{COUNTS.get(candidate, candidate)} campaign{'s' * (candidate > 1)} each"
    return f"{candidate} and {baseline} campaigns"


def _nearly_failed(judged: Judged, status: str) -> list[str]:
    """Say why an interval that lies below what is required has not failed (measurement protocol 4.1)."""
    below = [each for each in judged.decisions.values() if each.status == "undecided" and each.high < each.required]
    if status != "undecided" or judged.status != "undecided" or not below:
        return []
    count = len(judged.decisions)
    level = _percent(level_to_fail(below[0].level, count))
    return [f"of {COUNTS.get(count, count)} that must hold one fails at {level} only"]


def _more(judged: Judged, status: str) -> list[str]:
    """Say what would decide what is undecided: all of it, so the part that needs most."""
    open_ones = [decision for decision in judged.decisions.values() if decision.status == "undecided"]
    if status != "undecided" or judged.status != "undecided":
        return []
    paired = judged.nearest.method == PAIRS
    counts = [decision.more for decision in open_ones if decision.more is not None]
    if len(counts) < len(open_ones):
        return ["no number of rounds within reach decides" if paired else "three campaigns each would not decide"]
    more = max(counts)
    verb = "decides" if more == 1 else "decide"
    if paired:
        return [f"about {more} more round{'s' * (more != 1)} {verb}"]
    return [f"about {COUNTS.get(more, more)} more on {'another day' if more == 1 else 'other days'} {verb}"]


def _point(rule: Rule, judged: Judged, policy: str) -> str:
    """Say what the guides would, from point figures alone."""
    met = "met" if rule.applies(judged.candidate, judged.baseline) else "not met"
    decides = ", which decides here by policy = point" if policy == "point" else ""
    return f"By the guide's point rule: {judged.candidate / judged.baseline:.3f} {rule.must()}, {met}{decides}"


def _details(compared: Compared, policy: str) -> dict[str, Any]:
    """Return what evidence keeps of how it was decided."""
    found: dict[str, Any] = {"policy": policy, **compared.facts}
    if compared.allowed:
        found["allowed"] = dict(compared.allowed)
    for name, judged in (("decided_by", compared.judged), ("beside_it", compared.second)):
        if judged:
            found[name] = {statistic: _told(decision) for statistic, decision in judged.decisions.items()}
    found["campaigns"] = {
        name: [
            f"{each.run[:8]} {each.started[:10]}, {len(each.processes())} rounds, {each.source}" for each in campaigns
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
