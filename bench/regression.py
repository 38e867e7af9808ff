"""Judges tonight against what was accepted: in turn where the engine changed, and across nights where it did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import judging, nights
from bench.campaigns import Campaign, other_hardware
from bench.comparing import Comparing
from bench.judging import PRIOR, Judged
from bench.measuring import Measuring
from bench.nights import RULE, Tonight
from bench.rule import Rule
from fixtures import catalogue, noise
from fixtures.case import Case
from reports.history import Accepted, History
from reports.verdict import Verdict, worst_first

ENOUGH = 10
"""Accepted campaigns after which more hardly narrow the interval (measurement protocol 5.1)."""


@dataclass
class Regression:
    """Tonight's side of the gate `no_slower_than_accepted`."""

    comparing: Comparing
    history: History
    measuring: Measuring

    def known(self, tonight: Tonight) -> bool:
        """Tell whether anything was accepted of a case."""
        return bool(nights.references(self.history, tonight.case))

    def verdicts(self, tonight: Tonight) -> list[Verdict]:
        """Return a verdict against the latest accepted campaign and one against the oldest of its release, worst first.

        Of a case that cannot run here it is asked only if something was accepted (`known`). Raises SetupError for one
        that could not be measured.
        """
        case, rule = tonight.case, catalogue.find("rule", RULE)
        references = nights.references(self.history, case)
        if tonight.candidate is None:
            return [_without(case, rule, "refused", self.history.gone(case.id))]
        if missing := self.comparing.missing(case):
            why = f"accepted before, and not run tonight: {missing.reason}; {missing.next_step}"
            return [_without(case, rule, "refused", why)]
        now = self.measuring.campaign(case.id)
        if not references:
            resolution = noise.smallest_margin(now.c0 or PRIOR)
            why = (
                f"nothing of it was accepted in {self.history.folder}; accept this run if it is right: "
                f"{self.history.accepting(self.comparing.ledger.path)}; one campaign each then tells "
                f"{100 * resolution:.1f} % apart here"
            )
            return [_without(case, rule, "undecided", why)]
        found = [self._against(rule, reference, accepted, now) for reference, accepted in references.items()]
        return worst_first(found)

    def _against(self, rule: Rule, reference: str, accepted: Accepted, now: Campaign) -> Verdict:
        then = nights.campaign(accepted)
        by, when = accepted.acceptance.by, accepted.acceptance.accepted[:10]
        remarks = [f"against {reference}, by {by} on {when}"]
        changes = nights.changed(now, then)
        remarks.append(f"changed since: {', '.join(changes)}" if changes else "nothing changed since")
        name = pair_name(now.case, then.sha256)
        entries = [*self.comparing.entries, *accepted.entries]
        if name in self.measuring.units:
            baseline, candidate = self.measuring.arms(name)
            held = nights.in_turn(rule, reference)
            figure = self.comparing.figure(held, [candidate], [baseline])
            judged = judging.in_turn(held, figure, baseline, candidate)
            return self.comparing.decide(held, [candidate], [baseline], figure, judged, None, remarks, entries)
        if now.sha256 != then.sha256:
            remarks.append("the accepted engine is not in this host's store, or cannot take turns there")
        figure = self.comparing.figure(rule, [now], [then])
        same = self._same_hardware(now)
        held, judged = apart(rule, reference, figure, now, then, same)
        if judged and judged.status == "undecided":
            remarks.append(_history(len(same), (1 - held.required) / nights.TOLERANCES[reference]))
        differences = other_hardware(now, then)
        unlike = [_other_host(differences)] if differences else []
        return self.comparing.decide(held, [now], [then], figure, judged, None, remarks, entries, unlike)

    def _same_hardware(self, now: Campaign) -> list[Campaign]:
        """Return the accepted campaigns of this case that were taken on a host like tonight's, in their order."""
        found = [nights.campaign(accepted) for accepted in self.history.accepted(now.case, nights.SPEED)]
        return [each for each in found if not other_hardware(now, each)]


def apart(
    rule: Rule, reference: str, figure: str, now: Campaign, then: Campaign, same: Sequence[Campaign]
) -> tuple[Rule, Judged | None]:
    """Judge two nights; return the rule with the margin that this host can hold, and what it says.

    `same` are the accepted campaigns of the host, the first first. None where a side does not tell the figure.
    """
    steps = {name: nights.steps(same, figure, name) for name in rule.statistics}
    history = {"candidate": steps, "baseline": steps}
    judged = judging.apart(rule, figure, [now], [then], history)
    if judged is None:
        return rule, None
    half_width = max((each.upper - each.lower) / 2 for each in judged.decisions.values())
    held = nights.apart(rule, reference, half_width)
    return held, judging.apart(held, figure, [now], [then], history)


def pair_name(case: Case, sha256: str) -> str:
    """Return the name of the unit in which tonight's engine takes turns with an accepted one."""
    return f"{case.id} against accepted engine {sha256[:8]}"


def _history(count: int, resolution: float) -> str:
    """Say why a night stays undecided: what the accepted campaigns of its host can tell apart."""
    told = f"{count} accepted campaign{'s' * (count != 1)} of this host; it tells {100 * resolution:.1f} % apart"
    return f"for lack of history: {told}" if count < ENOUGH else f"{told}: it scatters that much from night to night"


def _other_host(differences: Sequence[str]) -> str:
    return (
        f"an unknown host: accepted on other hardware ({', '.join(differences)}); accept a campaign of this host "
        "first, or let the accepted engine take turns: import it into this host's store"
    )


def _without(case: Case, rule: Rule, status: str, reason: str) -> Verdict:
    """Return a verdict where there is nothing to set side by side."""
    return replace(
        Verdict(case, rule.name, rule.sentence, status, rule.figure, "times", reason), required=rule.required
    )
