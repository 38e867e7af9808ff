"""Where the two sides of a comparison come from: evidence, this run, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.campaigns import Campaign, campaigns
from bench.comparison import Comparison
from bench.effort import QUICK
from fixtures import backend as backends
from fixtures import catalogue
from fixtures.backend import EMULATED
from fixtures.case import Case
from fixtures.runtime import Missing, Runtime
from reports.entry import Entry
from reports.host_key import host_key


@dataclass(frozen=True)
class Absent:
    """A side that is in no evidence and cannot be measured here."""

    case: Case
    reason: str
    next_step: str


def absent(comparison: Comparison, entries: Sequence[Entry], missing: Callable[[Case], Missing | None]) -> list[Absent]:
    """Return the sides that are in neither place, with what would bring them."""
    found = []
    for case in (comparison.candidate, comparison.baseline):
        if not in_evidence(case, entries) and (why := missing(case)):
            found.append(Absent(case, why.reason, why.next_step))
    return found


def in_evidence(case: Case, entries: Sequence[Entry]) -> list[Campaign]:
    """Return the campaigns of a case; where there are none, those of its stand-in, which its rule then refuses."""
    return campaigns(entries, case) or campaigns(entries, emulated(case))


def pair_in_evidence(comparison: Comparison, entries: Sequence[Entry]) -> tuple[Campaign, Campaign] | None:
    """Return baseline and candidate of the latest run in which the two took turns."""
    both = comparison.baseline, comparison.candidate
    baselines = campaigns(entries, both[0], both[1].id)
    candidates = {each.run: each for each in campaigns(entries, both[1], both[0].id)}
    found = [(each, candidates[each.run]) for each in baselines if each.run in candidates]
    return found[-1] if found else None


def emulated(case: Case) -> Case:
    """Return the case on stand-ins of the tools."""
    name = case.backend.removesuffix(EMULATED) + EMULATED
    return Case(case.profile, case.model, case.size, case.batch, name, case.shows_size)


def measured_elsewhere(case: Case) -> Missing:
    """Return how evidence of a case is made, for a run that measures nothing."""
    size = f" --size {case.size}" if case.shows_size else ""
    backend = case.backend.removesuffix(EMULATED)
    return Missing(
        f"no evidence of {backend} was given",
        f'measure it on its host: pytest -m "accuracy or perf" --profile {case.profile} --model {case.model}{size} '
        f"--backend {backend} --effort signoff --benchmark-json=FILE, and give FILE with --evidence",
    )


def takes_turns(comparison: Comparison, entries: Sequence[Entry], missing: Callable[[Case], Missing | None]) -> bool:
    """Tell whether both sides run here, neither is in evidence, and both can run call by call.

    A rule about offline throughput alone is not for turns: its windows keep several calls in flight.
    """
    if comparison.rule.figure == "throughput" and not comparison.rule.otherwise:
        return False
    for case in (comparison.candidate, comparison.baseline):
        runtime: Runtime = catalogue.find("runtime", backends.find(case.backend).runtime)
        if in_evidence(case, entries) or missing(case) or not runtime.alternates:
            return False
    return True


def fitting(found: Iterable[Campaign]) -> tuple[list[Campaign], list[str]]:
    """Return the campaigns that belong together, at most one a day, and why others were left out.

    Those of the latest one's engine and host; two on one day share what a campaign is repeated for. What was cut off
    before it had a figure, and a quick look, count where there is nothing better.
    """
    ordered = sorted(found, key=lambda campaign: campaign.started)
    if not ordered:
        return [], []
    best = max(map(_standing, ordered))
    latest = [campaign for campaign in ordered if _standing(campaign) == best][-1]
    kept: dict[str, Campaign] = {}
    left: list[str] = []
    for campaign in ordered:
        day = campaign.started[:10]
        if _standing(campaign) < best:
            why = "a quick look" if campaign.figures else "cut off before it had a figure"
            left.append(f"a campaign of {day}: {why}")
        elif campaign.sha256 != latest.sha256:
            left.append(f"a campaign of {day}: of another engine, {campaign.sha256[:8] or 'unknown'}")
        elif campaign is not latest and not _same_host(campaign, latest):
            left.append(f"a campaign of {day}: on another host")
        else:
            if day in kept:
                left.append(f"an earlier campaign of {day}: one a day counts")
            kept[day] = campaign
    return list(kept.values()), left


def _standing(campaign: Campaign) -> tuple[bool, bool]:
    return bool(campaign.figures), campaign.effort != QUICK.name


def _same_host(one: Campaign, other: Campaign) -> bool:
    """Tell whether both were taken on the same hardware; what is not known is no host's."""
    keys = {host_key(each.environment) for each in (one, other)}
    return len(keys) == 1 and keys != {""}
