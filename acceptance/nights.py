"""Tonight's accuracy against what was accepted: which cases, what they are held against, and what changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from acceptance.evaluations import Evaluations, Taken
from acceptance.regression import RULE, TOLERANCE, Baseline, judge, without
from acceptance.wording import percent
from fixtures import catalogue, grid
from fixtures.backend import EMULATED
from fixtures.case import Case
from fixtures.runtime import Missing
from fixtures.selection import Selection
from reports.entry import Entry
from reports.history import LATEST, OLDEST, Accepted, History
from reports.host_key import software_differences
from reports.measurement import Measurement
from reports.run import Run
from reports.verdict import Verdict, worst_first

GATE = f"at most {percent(TOLERANCE)} below {LATEST}"


@dataclass(frozen=True)
class Gone:
    """A case that was accepted and that is not in the grid any more."""

    case: Case

    @property
    def id(self) -> str:
        """Return the id it was accepted by."""
        return self.case.id


def tonight(selection: Selection, accepted: History, every_night: bool) -> list[Case | Gone]:
    """Return the cases with an accepted figure; at night those without and those that are gone too."""
    judged = {*grid.accuracy(selection), *grid.parity(selection)}
    held = {case for case in judged if accepted.accepted(case, _metric(case))}
    if not every_night:
        return [*sorted(held)]
    # Whatever the user narrows or replaces, a case that would be there without that is not gone.
    everything = replace(selection, backends=(), batches=(), sizes=(), data={}, emulate=False)
    known = {*grid.accuracy(everything), *grid.parity(everything)}
    gone = [
        Gone(case)
        for case in accepted.cases()
        if _figures(accepted, case) and _asked(case, selection) and _real(case) not in known
    ]
    return [*sorted({*held, *grid.accuracy(selection)}), *gone]


def _metric(case: Case) -> str:
    return str(catalogue.find("model", case.model).metric)


def _figures(accepted: History, case: Case) -> bool:
    metrics = catalogue.entries("metric")
    return any(figure.metric in metrics for each in accepted.accepted(case) for figure in each.figures)


def _asked(case: Case, selection: Selection) -> bool:
    model = catalogue.entries("model").get(case.model)
    return (
        case.profile == selection.profile
        and (case.model in selection.models or model is None or case.profile not in model.profiles)
        and (not selection.backends or case.backend in selection.backends)
        and (not selection.batches or case.batch in selection.batches)
    )


def _real(case: Case) -> Case:
    return replace(case, backend=case.backend.removesuffix(EMULATED))


@dataclass(frozen=True)
class Nights:
    """Judges tonight's figures against what was accepted of the same case."""

    history: History
    evaluations: Evaluations
    missing: Callable[[Case], Missing | None]

    def known(self, case: Case | Gone) -> bool:
        """Tell whether anything was accepted of a case."""
        return isinstance(case, Gone) or bool(self.history.accepted(case, _metric(case)))

    def verdicts(self, night: Case | Gone) -> list[Verdict]:
        """Return a verdict against the latest accepted figure and one against the oldest of its release, worst first.

        Raises SetupError where data, weights or engine of the case are not to be had.
        """
        if isinstance(night, Gone):
            return [Verdict(night.case, RULE, GATE, "refused", "accuracy", "", self.history.gone(night.id))]
        metric = _metric(night)
        if self.known(night) and (missing := self.missing(night)):
            why = f"accepted before, and not run tonight: {missing.reason}; {missing.next_step}"
            return [Verdict(night, RULE, GATE, "refused", metric, "", why)]
        taken = self.evaluations.take(night)
        now = self._measured(night, metric, taken)
        if now is None:
            return [_no_figure(night, metric, taken)]
        found = [self._against(now, name, each) for name, each in self.history.references(night, metric).items()]
        if not found:
            why = (
                f"nothing of it was accepted in {self.history.folder}; accept this run if it is right: "
                f"{self.history.accepting(self.evaluations.ledger.path)}"
            )
            found = [without(now, "undecided", why, GATE)]
        return worst_first(found)

    def _measured(self, case: Case, metric: str, taken: Taken) -> Measurement | None:
        figures = self.evaluations.ledger.find(case, metric)
        return next((figure for figure in figures if figure.id in taken.measurements), None)

    def _against(self, now: Measurement, name: str, accepted: Accepted) -> Verdict:
        figure = next(each for each in accepted.figures if each.metric == now.metric)
        before = _environment(accepted.entries, figure.id)
        after = _environment(self.evaluations.ledger.entries, now.id)
        changes = changed(now, figure, after, before)
        by = f"by {accepted.acceptance.by} on {accepted.acceptance.accepted[:10]}"
        told = f"changed since: {', '.join(changes)}" if changes else "nothing changed since"
        verdict = judge(now, Baseline(figure, name, by, 2 if name == OLDEST else 1), [told])
        return self.evaluations.advised(now.case, verdict)


def changed(now: Measurement, then: Measurement, after: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return what is different from when a figure was accepted, in words: engine, weights, software, this harness.

    The harness is named by its revision: its code prepares the inputs and computes the figure.
    """
    found = []
    for name, old, new in (
        ("engine", then.engine.get("sha256"), now.engine.get("sha256")),
        ("checkpoint", _recipe(then).get("checkpoint"), _recipe(now).get("checkpoint")),
        ("network", _recipe(then).get("network"), _recipe(now).get("network")),
        ("harness", _harness(before).get("revision"), _harness(after).get("revision")),
    ):
        if old != new:
            found.append(f"{name} {_short(old)} -> {_short(new)}")
    found += software_differences(before, after)
    old_tools, new_tools = (
        {**_recipe(each).get("toolchain", {}), **each.details.get("versions", {})} for each in (then, now)
    )
    found += [
        f"{name} {old_tools.get(name, 'unknown')} -> {new_tools.get(name, 'unknown')}"
        for name in sorted({*old_tools, *new_tools})
        if old_tools.get(name) != new_tools.get(name)
    ]
    return list(dict.fromkeys(found))


def _recipe(figure: Measurement) -> Mapping[str, Any]:
    recipe = figure.engine.get("recipe")
    return recipe if isinstance(recipe, Mapping) else {}


def _harness(environment: Mapping[str, Any]) -> Mapping[str, Any]:
    harness = environment.get("harness")
    return harness if isinstance(harness, Mapping) else {}


def _short(digest: object) -> str:
    return str(digest)[:8] if digest else "unknown"


def _environment(entries: Iterable[Entry], id_: str) -> Mapping[str, Any]:
    """Return the environment of the run that a figure was measured in."""
    entries = list(entries)
    runs = {entry.run for entry in entries if isinstance(entry.record, Measurement) and entry.record.id == id_}
    found = (entry.record.environment for entry in entries if isinstance(entry.record, Run) and entry.run in runs)
    return next(found, {})


def _no_figure(case: Case, metric: str, taken: Taken) -> Verdict:
    if images := taken.judged.agreement.not_finite:
        reason = f"NaN or infinity in the output of {len(images)} of {taken.judged.on}, first {images[0]}"
        return Verdict(case, RULE, GATE, "failed", metric, "", reason)
    reason = f"there is no {metric} figure on {taken.judged.on} tonight; the accuracy test says why"
    return Verdict(case, RULE, GATE, "refused", metric, "", reason)
