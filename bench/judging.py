"""From the rounds of two sides to what a rule says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.campaigns import Campaign, paired_values
from bench.rule import Rule, Side
from bench.statistics import interleaved, two_hosts
from bench.statistics.decision import Decision
from fixtures import backend as backends
from fixtures import noise
from reports.round import Round

PRIOR = noise.OTHERWISE
"""The deviation between campaigns of a host that says nothing of its own (measurement protocol 5.1)."""


@dataclass(frozen=True)
class Judged:
    """One figure of two sides, decided for every statistic of the rule, and what each side reached."""

    figure: str
    decisions: Mapping[str, Decision]
    candidate: float
    """Images per second by the first statistic, of a card where the rule says so."""
    baseline: float
    points: Mapping[str, float]
    """Statistic -> the bare ratio of the two."""

    @property
    def point(self) -> tuple[str, float]:
        """Return the least of the bare ratios, as all statistics must hold, and of which statistic it is."""
        return min(self.points.items(), key=lambda each: each[1])

    @property
    def status(self) -> str:
        """Return `passed` if every statistic holds, `failed` if one fails, else `undecided`."""
        found = {decision.status for decision in self.decisions.values()}
        return "failed" if "failed" in found else "passed" if found == {"passed"} else "undecided"

    @property
    def nearest(self) -> Decision:
        """Return the decision that the status comes from; of several the one with the least to spare."""
        own = [decision for decision in self.decisions.values() if decision.status == self.status]
        return min(own, key=lambda decision: decision.lower)


def in_turn(rule: Rule, figure: str, baseline: Campaign, candidate: Campaign) -> Judged | None:
    """Judge two arms that took turns in the rounds of one run; None where the figure is not told."""
    rounds = _pairs(baseline, candidate)
    if not rounds:
        return None
    constant = multiplier(rule.candidate, candidate) - multiplier(rule.baseline, baseline)
    cautious = any("not_steady" in each.flags for pair in rounds for each in pair)
    decisions = {}
    for statistic in rule.statistics:
        values = paired_values(rounds, figure, statistic)
        if not values:
            return None
        decisions[statistic] = interleaved.decide(
            values, rule.required, constant, cautious=cautious, gates=len(rule.statistics) * rule.parts
        )
    first, second = (
        replace(each, rounds=tuple(pair[arm] for pair in rounds)) for arm, each in enumerate((baseline, candidate))
    )
    return _judged(rule, figure, decisions, [second], [first])


def apart(
    rule: Rule,
    figure: str,
    candidates: Sequence[Campaign],
    baselines: Sequence[Campaign],
    earlier: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> Judged | None:
    """Judge campaigns that were taken apart; None where a side does not tell the figure.

    `earlier` has per side ("candidate", "baseline") and statistic the log means of earlier accepted campaigns.
    """
    decisions = {}
    statistics = rule.statistics if figure != "throughput" else ("mean",)
    for statistic in statistics:
        sides: list[two_hosts.Side] = []
        for name, side, found in (("candidate", rule.candidate, candidates), ("baseline", rule.baseline, baselines)):
            values = _values(side, figure, statistic, found)
            if not values:
                return None
            c0 = max((PRIOR if each.c0 is None else each.c0) for each in found)
            history = tuple((earlier or {}).get(name, {}).get(statistic, ()))
            sides.append(two_hosts.Side(values, c0, history))
        decisions[statistic] = two_hosts.decide(sides[0], sides[1], rule.required, len(statistics) * rule.parts)
    return _judged(rule, figure, decisions, candidates, baselines)


def multiplier(side: Side, campaign: Campaign) -> float:
    """Return the logarithm of what one device's figure is multiplied by: the devices of a card, where the rule says so.

    It is a convention, not a measurement: that four devices do not disturb each other (measurement protocol 4.1).
    """
    if not side.per_card or campaign.per == "card":
        return 0.0
    return math.log(backends.find(campaign.case.backend).devices_per_card)


def _pairs(baseline: Campaign, candidate: Campaign) -> list[tuple[Round, Round]]:
    """Return the two rounds of every process; one whose partner is missing, as where a file was cut off, is no pair."""
    partners = {each.details["pair"]["id"]: each for each in candidate.rounds}
    found = [(each, partners.get(each.details["pair"]["id"])) for each in baseline.rounds]
    return [(each, partner) for each, partner in found if partner]


def _values(side: Side, figure: str, statistic: str, found: Sequence[Campaign]) -> tuple[tuple[float, ...], ...]:
    values = [each.values(figure, statistic) for each in found]
    if not values or not all(values):
        return ()
    return tuple(
        tuple(value + multiplier(side, campaign) for value in each)
        for campaign, each in zip(found, values, strict=True)
    )


def _judged(
    rule: Rule,
    figure: str,
    decisions: Mapping[str, Decision],
    candidates: Sequence[Campaign],
    baselines: Sequence[Campaign],
) -> Judged | None:
    rates: dict[str, tuple[float, float]] = {}
    for statistic in decisions:
        one, other = (
            [value for each in _values(side, figure, statistic, found) for value in each]
            for side, found in ((rule.candidate, candidates), (rule.baseline, baselines))
        )
        if not (one and other):
            return None
        rates[statistic] = math.exp(sum(one) / len(one)), math.exp(sum(other) / len(other))
    points = {statistic: pair[0] / pair[1] for statistic, pair in rates.items()}
    candidate, baseline = rates[next(iter(decisions))]
    return Judged(figure, decisions, candidate, baseline, points)
