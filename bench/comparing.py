"""Carries out comparisons: finds both sides, measures what is not in evidence, refuses what is unlike, and judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import judging, sides, verdicts
from bench.campaigns import FIGURES, Campaign
from bench.comparison import Comparison
from bench.judging import Judged
from bench.likeness import axes, shown
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
        if pair := sides.pair_in_evidence(comparison, self.ledger.given):
            return self._in_turn(comparison, *pair)
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

    def _in_turn(self, comparison: Comparison, baseline: Campaign, candidate: Campaign) -> Verdict:
        rule = comparison.rule
        figure = self.figure(rule, [candidate], [baseline])
        judged = judging.in_turn(rule, figure, baseline, candidate)
        return self.decide(rule, [candidate], [baseline], figure, judged, None, [], self.entries)

    def _apart(self, comparison: Comparison) -> Verdict:
        rule = comparison.rule
        for case in (comparison.candidate, comparison.baseline):
            if self.measuring and case.id in self.measuring.units:
                self.measuring.figures(case.id)
        everything = self.entries
        candidates, left = sides.fitting(sides.in_evidence(comparison.candidate, everything))
        baselines, more = sides.fitting(sides.in_evidence(comparison.baseline, everything))
        figure = self.figure(rule, candidates, baselines)
        judged = judging.apart(rule, figure, candidates, baselines)
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
        found = [*dict.fromkeys(unlike), *_unshown(entries, (candidate, baseline))]
        refused, through = axes.refusals(found, self.settings.allowed)
        unused = verdicts.unused(self.settings.allowed, through)
        facts: Mapping[str, Any] = {
            "candidate": axes.facts(candidate, figure),
            "baseline": axes.facts(baseline, figure),
        }
        compared = Compared(
            rule,
            candidates,
            baselines,
            judged,
            second,
            [*refusals, *(axis.told for axis in refused)],
            through,
            [*remarks, *unused],
            facts,
        )
        return verdicts.verdict(compared, self.settings.policy)

    def figure(self, rule: Rule, candidates: Sequence[Campaign], baselines: Sequence[Campaign]) -> str:
        """Return the figure of the rule, or its second choice where a side does not tell the first."""
        statistic = rule.statistics[0]
        told = all(each.values(rule.figure, statistic) for each in (*candidates, *baselines))
        return rule.figure if told or not rule.otherwise else rule.otherwise


def _unlike_section(rule: Rule, candidate: Campaign, baseline: Campaign) -> str:
    """Return why the second figure of two sides is not of the same section: what one times with transfers."""
    found = axes.differences(rule, candidate, baseline, rule.second)
    return "; ".join(axis.told for axis in found if axis.name in ("section", "depth"))


def _unshown(entries: Sequence[Entry], both: Sequence[Campaign]) -> list[axes.Axis]:
    found = [(each, shown.shown(entries, each)) for each in both]
    return [shown.axis(each, told) for each, told in found if isinstance(told, shown.Unshown)]


def unjudged(ledger: Ledger) -> list[str]:
    """Return a line per case whose given speed figures no test of this run judged."""
    judged = {id_ for verdict in ledger.verdicts for id_ in verdict.measurements}
    left: dict[str, None] = {}
    for entry in ledger.given:
        record = entry.record
        if isinstance(record, Measurement) and record.metric in FIGURES and record.id not in judged:
            left[f"{record.case.id} ({record.case.profile})"] = None
    return [f"judged by no test: the given evidence of {', '.join(left)}"] if left else []
