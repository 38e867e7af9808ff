"""What a run times: from the selected tests to the units of its campaign."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence

import pytest

from bench import nights
from bench.comparison import Comparison
from bench.nights import Tonight
from bench.regression import pair_name
from bench.rounds import Arm
from bench.settings import Settings
from bench.sides import absent, in_evidence, measured_elsewhere, pairs_in_evidence, takes_turns
from bench.sweep import Sweep
from bench.units import Unit, of_case, of_pair
from fixtures import catalogue, durations
from fixtures.backend import EMULATED
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.runtime import Missing
from fixtures.workshop import Workshop
from reports.entry import Entry
from reports.history import History


def units(items: Iterable[pytest.Item], workshop: Workshop, given: Sequence[Entry], history: History) -> list[Unit]:
    """Return what is timed: cases of the grid and of sweeps, pairs, and sides whose other side is in evidence."""
    found: dict[str, Unit] = {}
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        case, sweep = parameters.get("timed_case"), parameters.get("sweep")
        comparison, night = parameters.get("comparison"), parameters.get("tonight")
        if case and workshop.missing(case) is None:
            found[case.id] = of_case(case, item.nodeid)
        elif isinstance(sweep, Sweep):
            for each in sweep.candidates:
                if workshop.missing(each) is None:
                    found.setdefault(each.id, of_case(each, item.nodeid))
        elif isinstance(comparison, Comparison):
            for unit in _of_comparison(comparison, item.nodeid, workshop, given):
                found.setdefault(unit.name, unit)
        elif isinstance(night, Tonight) and night.candidate:
            for unit in _of_night(night, item.nodeid, workshop, history):
                found.setdefault(unit.name, unit)
    return list(found.values())


def missing_here(workshop: Workshop) -> Callable[[Case], Missing | None]:
    """Return what tells why a side of a comparison is not measured here: it cannot be, or --backend leaves it out."""
    named = workshop.selection.backends

    def missing(case: Case) -> Missing | None:
        backend = case.backend.removesuffix(EMULATED)
        if (why := workshop.missing(case)) or not named or backend in named:
            return why
        return Missing(f"{backend} is not among --backend", "name it too, or give its evidence with --evidence")

    return missing


def compared(
    items: Iterable[pytest.Item], workshop: Workshop, given: Sequence[Entry], history: History, settings: Settings
) -> list[str]:
    """Return what a plan tells of sweeps and comparisons: how sides would be had, how long pairs take at most."""
    missing = measured_elsewhere if settings.judge_only else missing_here(workshop)
    found = [value for item in items for value in (item.callspec.params if hasattr(item, "callspec") else {}).values()]
    ways: dict[str, list[str]] = {}
    for comparison in found:
        if isinstance(comparison, Comparison):
            ways.setdefault(_how(comparison, given, missing, settings), []).append(comparison.id)
    rounds = settings.effort.rounds
    lines = [
        f"sweep    {each.id}  the best of {len(each.candidates)} batches again, in {rounds} fresh rounds"
        for each in found
        if isinstance(each, Sweep) and missing(each.candidate) is None
    ]
    lines += [f"compare  {', '.join(ids)}  {way}" for way, ids in ways.items()]
    for night in found:
        if isinstance(night, Tonight):
            references = nights.references(history, night.case).items()
            against = [f"{name} ({one.acceptance.accepted[:10]})" for name, one in references]
            lines.append(f"tonight  {night.id}  against {' and '.join(against) or 'nothing: none was accepted'}")
    return lines


def _how(
    comparison: Comparison, given: Sequence[Entry], missing: Callable[[Case], Missing | None], settings: Settings
) -> str:
    if pairs_in_evidence(comparison, given):
        return "by the pairs in the given evidence"
    if away := absent(comparison, given, missing):
        return f"not run: {away[0].reason}"
    if takes_turns(comparison, given, missing):
        most, seconds = settings.effort.looks[-1], durations.guess(settings.effort.work("pair"), comparison.candidate)
        time = "" if seconds is None else f", about {durations.told(most * seconds)}"
        return f"in turn on this host, at most {most} rounds{time}"
    both = ("candidate", comparison.candidate), ("baseline", comparison.baseline)
    return ", ".join(f"{name} {'in evidence' if in_evidence(case, given) else 'measured here'}" for name, case in both)


def _of_comparison(comparison: Comparison, test: str, workshop: Workshop, given: Sequence[Entry]) -> list[Unit]:
    """Return a pair where both sides run here and neither is in evidence, else the sides that are not in evidence."""
    both = comparison.baseline, comparison.candidate
    if pairs_in_evidence(comparison, given):
        return []
    missing = missing_here(workshop)
    if takes_turns(comparison, given, missing):
        return [of_pair(comparison.id, comparison.rule, (Arm(both[0]), Arm(both[1])), test)]
    here = [case for case in both if not in_evidence(case, given)]
    return [] if any(missing(case) for case in here) else [of_case(case, test) for case in here]


def _of_night(night: Tonight, test: str, workshop: Workshop, history: History) -> list[Unit]:
    """Return the case, and a pair with each accepted engine that is not tonight's and is still in the store."""
    case = night.case
    if workshop.missing(case):
        return []
    found = [of_case(case, test)]
    with contextlib.suppress(SetupError):  # raised again, and told, where the case is measured
        engine = workshop.sources.engine(case)
        for reference, accepted in nights.references(history, case).items():
            sha256 = nights.campaign(accepted).sha256
            kept = None if sha256 == engine.sha256 else nights.kept(workshop, case, sha256)
            if kept:
                rule = nights.in_turn(catalogue.find("rule", nights.RULE), reference)
                found.append(of_pair(pair_name(case, sha256), rule, (Arm(case, kept), Arm(case)), test))
    return found
