"""Where the two sides of a comparison come from: evidence, this run, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.campaigns import Campaign, campaigns, other_hardware
from bench.comparison import Comparison
from bench.effort import QUICK
from fixtures import backend as backends
from fixtures import catalogue
from fixtures.backend import EMULATED
from fixtures.case import Case
from fixtures.runtime import Missing, Runtime
from reports.entry import Entry


@dataclass(frozen=True)
class Absent:
    """A side that is in no evidence and cannot be measured here."""

    case: Case
    reason: str
    next_step: str


def absent(comparison: Comparison, entries: Sequence[Entry], missing: Callable[[Case], Missing | None]) -> list[Absent]:
    """Return the sides that are in neither place, with what would bring them.

    Who gives evidence is told how to make that of the other side too; else a line per backend is enough.
    """
    found = []
    for case in (comparison.candidate, comparison.baseline):
        if not in_evidence(case, entries) and (why := missing(case)):
            steps = dict.fromkeys((why.next_step, *([measured_elsewhere(case).next_step] if entries else [])))
            found.append(Absent(case, why.reason, "; or ".join(steps)))
    return found


def in_evidence(case: Case, entries: Sequence[Entry]) -> list[Campaign]:
    """Return the campaigns of a case; where there are none, those of its stand-in, which its rule then refuses."""
    return campaigns(entries, case) or campaigns(entries, emulated(case))


def pairs_in_evidence(comparison: Comparison, entries: Sequence[Entry]) -> list[tuple[Campaign, Campaign]]:
    """Return baseline and candidate of every run in which the two took turns, the one to judge last.

    That is the latest; what was cut off before it had a figure, and a quick look, where there is nothing better.
    """
    both = comparison.baseline, comparison.candidate
    baselines = campaigns(entries, both[0], both[1].id)
    candidates = {each.run: each for each in campaigns(entries, both[1], both[0].id)}
    found = [(each, candidates[each.run]) for each in baselines if each.run in candidates]
    return sorted(found, key=lambda pair: (_standing(pair[0]), pair[0].started))


def left_out(pairs: Sequence[tuple[Campaign, Campaign]]) -> list[str]:
    """Return why turns that are in evidence as well are not judged, all but the last."""
    best = _standing(pairs[-1][0])
    others = [each for each, _ in pairs[:-1]]
    return [
        f"left out: turns of {each.started[:10]}: {_weakness(each) if _standing(each) < best else 'later ones count'}"
        for each in others
    ]


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
        f'measure it on {_host(backend)}: pytest -m "accuracy or perf" --profile {case.profile} --model {case.model}'
        f"{size} --backend {backend} --effort signoff --benchmark-json=FILE, and give FILE with --evidence",
    )


def _host(backend: str) -> str:
    """Return what kind of host a backend is measured on."""
    options = backends.find(backend).options
    if soc := options.get("soc_version"):
        return f"a host with an {soc}"
    if capability := options.get("compute_capability"):
        return f"a host with a GPU of compute capability {capability}"
    return f"a host with {backends.find(backend).runtime}"


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

    Those of the latest one's engine, mode, host and device; two on one day share what a campaign is repeated for. What
    was cut off before it had a figure, a figure without rounds, and a quick look, count where there is nothing better.
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
            left.append(f"a campaign of {day}: {_weakness(campaign)}")
        elif campaign is not latest and (why := _foreign(campaign, latest)):
            left.append(f"a campaign of {day}: {why}")
        else:
            if day in kept:
                left.append(f"an earlier campaign of {day}: one a day counts")
            kept[day] = campaign
    return list(kept.values()), left


def _standing(campaign: Campaign) -> tuple[bool, bool, bool]:
    return bool(campaign.figures), bool(campaign.rounds), campaign.effort != QUICK.name


def _weakness(campaign: Campaign) -> str:
    if not campaign.figures:
        return "cut off before it had a figure"
    return "a quick look" if campaign.rounds else f"{campaign.source}, which nobody repeated"


def _foreign(campaign: Campaign, latest: Campaign) -> str:
    """Return why a campaign is no repetition of the latest one; what is not known is not the same."""
    if not campaign.sha256 or campaign.sha256 != latest.sha256:
        return f"of another engine, {campaign.sha256[:8] or 'unknown'}"
    if campaign.detail("mode") != latest.detail("mode"):
        return f"in another mode, {campaign.detail('mode')}"
    if campaign.per != latest.per:
        return f"of a {campaign.per}, not of a {latest.per}"
    return "on another host" if other_hardware(campaign, latest) else ""
