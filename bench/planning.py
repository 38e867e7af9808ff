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
from bench.sides import absent, in_evidence, measured_elsewhere, pair_in_evidence, takes_turns
from bench.units import Unit, of_case, of_pair
from fixtures import catalogue, durations
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.runtime import Missing
from fixtures.workshop import Workshop
from reports.entry import Entry
from reports.history import History


def units(items: Iterable[pytest.Item], workshop: Workshop, given: Sequence[Entry], history: History) -> list[Unit]:
    """Return what is timed: the cases of the grid, pairs, and sides whose other side is in evidence."""
    found: dict[str, Unit] = {}
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        case, comparison, night = (parameters.get(name) for name in ("timed_case", "comparison", "tonight"))
        if case and workshop.missing(case) is None:
            found[case.id] = of_case(case, item.nodeid)
        elif isinstance(comparison, Comparison):
            for unit in _of_comparison(comparison, item.nodeid, workshop, given):
                found.setdefault(unit.name, unit)
        elif isinstance(night, Tonight) and night.candidate:
            for unit in _of_night(night, item.nodeid, workshop, history):
                found.setdefault(unit.name, unit)
    return list(found.values())


def compared(
    items: Iterable[pytest.Item], workshop: Workshop, given: Sequence[Entry], history: History, settings: Settings
) -> list[str]:
    """Return what a plan tells of comparisons: how their sides would be had, and how long pairs take at most."""
    missing = measured_elsewhere if settings.judge_only else workshop.missing
    found = [value for item in items for value in (item.callspec.params if hasattr(item, "callspec") else {}).values()]
    ways: dict[str, list[str]] = {}
    for comparison in found:
        if isinstance(comparison, Comparison):
            ways.setdefault(_how(comparison, given, missing, settings), []).append(comparison.id)
    lines = [f"compare  {', '.join(ids)}  {way}" for way, ids in ways.items()]
    for night in found:
        if isinstance(night, Tonight):
            references = nights.references(history, night.case).items()
            against = [f"{name} ({one.acceptance.accepted[:10]})" for name, one in references]
            lines.append(f"tonight  {night.id}  against {' and '.join(against) or 'nothing: none was accepted'}")
    return lines


def _how(
    comparison: Comparison, given: Sequence[Entry], missing: Callable[[Case], Missing | None], settings: Settings
) -> str:
    if pair_in_evidence(comparison, given):
        return "by the pairs in the given evidence"
    if away := absent(comparison, given, missing):
        return f"not run: {away[0].reason}"
    if takes_turns(comparison, given, missing):
        most, seconds = settings.effort.looks[-1], durations.guess("pair", comparison.candidate)
        time = "" if seconds is None else f", about {durations.told(most * seconds)}"
        return f"in turn on this host, at most {most} rounds{time}"
    both = ("candidate", comparison.candidate), ("baseline", comparison.baseline)
    return ", ".join(f"{name} {'in evidence' if in_evidence(case, given) else 'measured here'}" for name, case in both)


def _of_comparison(comparison: Comparison, test: str, workshop: Workshop, given: Sequence[Entry]) -> list[Unit]:
    """Return a pair where both sides run here and neither is in evidence, else the sides that are not in evidence."""
    both = comparison.baseline, comparison.candidate
    if pair_in_evidence(comparison, given):
        return []
    if takes_turns(comparison, given, workshop.missing):
        return [of_pair(comparison.id, comparison.rule, (Arm(both[0]), Arm(both[1])), test)]
    here = [case for case in both if not in_evidence(case, given)]
    return [] if any(workshop.missing(case) for case in here) else [of_case(case, test) for case in here]


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
                rule = nights.in_turn(nights.of_case(catalogue.find("rule", nights.RULE), case), reference)
                found.append(of_pair(pair_name(case, sha256), rule, (Arm(case, kept), Arm(case)), test))
    return found
