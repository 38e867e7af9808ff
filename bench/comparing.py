"""Carries out comparisons: finds both sides, measures what is not in evidence, refuses what is unlike, and judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench import judging, sides, verdicts
from bench.campaigns import FIGURES, Campaign
from bench.comparison import Comparison
from bench.judging import Judged
from bench.likeness import axes, shown
from bench.likeness.shown import Shown, Unshown
from bench.measuring import Measuring
from bench.rule import Rule
from bench.settings import Settings
from bench.sides import Absent
from bench.verdicts import Compared
from fixtures.case import Case
from fixtures.runtime import Missing
from reports.entry import Entry
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.verdict import Verdict


@dataclass
class Comparing:
    """Judges comparisons of one run; `measuring` is None where nothing is to be measured."""

    ledger: Ledger
    settings: Settings
    measuring: Measuring | None
    missing: Callable[[Case], Missing | None]
    required: Callable[[str], bool] = lambda backend: False
    """Whether the user asked for a backend by name."""

    def verdict(self, comparison: Comparison) -> Verdict | Absent:
        """Return the verdict, or the side that is nowhere; raise SetupError for a side that could not be measured."""
        if pairs := sides.pairs_in_evidence(comparison, self.ledger.given):
            return self._in_turn(comparison, *pairs[-1], sides.left_out(pairs))
        if absent := sides.absent(comparison, self.ledger.given, self.missing):
            return absent[0]
        if self.measuring and comparison.id in self.measuring.units:
            return self._in_turn(comparison, *self.measuring.arms(comparison.id))
        return self._apart(comparison)

    @property
    def entries(self) -> list[Entry]:
        """Return everything that is known: the evidence given, and that of this run."""
        return [*self.ledger.given, *self.ledger.entries]

    def requires(self, comparison: Comparison, absent: Absent) -> bool:
        """Tell whether the absence of a side is a failure: the user named its backend, and it is not in evidence."""
        return self.measuring is not None and self.required(absent.case.backend)

    def _in_turn(
        self, comparison: Comparison, baseline: Campaign, candidate: Campaign, remarks: Sequence[str] = ()
    ) -> Verdict:
        rule = comparison.rule
        figure = self.figure(rule, [candidate], [baseline])
        judged = judging.in_turn(rule, figure, baseline, candidate)
        return self.decide(rule, [candidate], [baseline], figure, judged, None, remarks, self.entries)

    def _apart(self, comparison: Comparison) -> Verdict:
        rule = comparison.rule
        for case in (comparison.candidate, comparison.baseline):
            if self.measuring and case.id in self.measuring.units:
                self.measuring.figures(case.id)
        everything = self.entries
        candidates, left = sides.fitting(sides.in_evidence(comparison.candidate, everything))
        baselines, more = sides.fitting(sides.in_evidence(comparison.baseline, everything))
        figure, both = self.figure(rule, candidates, baselines), [*candidates, *baselines]
        judged = judging.apart(self._by_what_is_told(rule, figure, both), figure, candidates, baselines)
        second = judging.apart(rule, rule.second, candidates, baselines) if rule.second else None
        remarks = [
            f"left out of the {side}: {why}" for side, whys in (("candidate", left), ("baseline", more)) for why in whys
        ]
        if second and (why := _unlike_section(rule, candidates[-1], baselines[-1])):
            second = None
            remarks.append(f"{verdicts.NAMES[rule.second]} not compared: {why}")
        return self.decide(rule, candidates, baselines, figure, judged, second, remarks, everything)

    def decide(
        self,
        rule: Rule,
        candidates: Sequence[Campaign],
        baselines: Sequence[Campaign],
        figure: str,
        judged: Judged | None,
        second: Judged | None,
        remarks: Sequence[str],
        entries: Sequence[Entry],
        refusals: Sequence[str] = (),
    ) -> Verdict:
        """Return the verdict on two sides, refused where they are unlike or were not shown to be right."""
        candidate, baseline = candidates[-1], baselines[-1]
        both = [*((each, baseline) for each in candidates), *((candidate, each) for each in baselines[:-1])]
        unlike = [axis for pair in both for axis in axes.differences(rule, *pair, figure)]
        both_sides = {"candidate": candidate, "baseline": baseline}
        accuracy = {side: shown.shown(entries, each) for side, each in both_sides.items()}
        found = [*dict.fromkeys(unlike), *_unshown(both_sides, accuracy)]
        refused, through = axes.refusals(found, self.settings.allowed)
        unused = verdicts.unused(self.settings.allowed, through)
        # What was let through stands in the verdict with the reason: that alone says little to whoever reads it later.
        differed = {name: "; ".join(axis.why for axis in found if axis.name == name) for name in through}
        allowed = {name: f"{reason} ({differed[name]})" for name, reason in through.items()}
        facts: Mapping[str, Any] = {
            side: {**axes.facts(each, figure), "accuracy": accuracy[side].text} for side, each in both_sides.items()
        }
        compared = Compared(
            rule,
            candidates,
            baselines,
            judged,
            second,
            [*refusals, *axes.clauses(refused)],
            allowed,
            [*remarks, *unused],
            facts,
            {axis.name: "; ".join(each.why for each in refused if each.name == axis.name) for axis in refused},
        )
        return verdicts.verdict(compared, self.settings.policy)

    def figure(self, rule: Rule, candidates: Sequence[Campaign], baselines: Sequence[Campaign]) -> str:
        """Return the figure of the rule, or its second choice where a side does not tell the first."""
        statistic = rule.statistics[0]
        told = all(each.values(rule.figure, statistic) for each in (*candidates, *baselines))
        return rule.figure if told or not rule.otherwise else rule.otherwise

    def _by_what_is_told(self, rule: Rule, figure: str, campaigns: Sequence[Campaign]) -> Rule:
        """Return the rule for the statistics that every campaign tells, where the user lets the others go."""
        if "statistic" not in self.settings.allowed:
            return rule
        told = tuple(name for name in rule.statistics if all(each.values(figure, name) for each in campaigns))
        return replace(rule, statistics=told or rule.statistics)


def _unlike_section(rule: Rule, candidate: Campaign, baseline: Campaign) -> str:
    """Return why the second figure of two sides is not of the same section: what one times with transfers."""
    found = axes.differences(rule, candidate, baseline, rule.second)
    return "; ".join(axis.told for axis in found if axis.name in ("section", "depth"))


def _unshown(both: Mapping[str, Campaign], accuracy: Mapping[str, Shown | Unshown]) -> list[axes.Axis]:
    return [shown.axis(both[side], told, side) for side, told in accuracy.items() if isinstance(told, Unshown)]


def unjudged(ledger: Ledger) -> list[str]:
    """Return a line of the cases of whose given speed figures no test of this run judged any, alone or in turn."""
    judged = {id_ for verdict in ledger.verdicts for id_ in verdict.measurements}
    records = [entry.record for entry in ledger.given]
    given = [each for each in records if isinstance(each, Measurement) and each.metric in FIGURES]
    seen = {each.case for each in given if each.id in judged}
    left = dict.fromkeys(f"{each.case.id} ({each.case.profile})" for each in given if each.case not in seen)
    return [f"judged by no test: the given evidence of {', '.join(left)}"] if left else []
