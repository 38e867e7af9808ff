"""Whether the accuracy of a timed engine is shown by the evidence at hand: a speed verdict needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.campaigns import Campaign
from bench.likeness import identity
from bench.likeness.axis import Axis
from reports import timed_outputs
from reports.entry import Entry
from reports.measurement import Measurement
from reports.verdict import Verdict

SISTERS = ("checkpoint", "compiler", "target", "precision", "options", "emulated")
"""What is the same in the recipes of one network's engines at two sizes, whatever runs them."""


@dataclass(frozen=True)
class Shown:
    """By what the accuracy is shown, with the engines."""

    text: str


@dataclass(frozen=True)
class Unshown:
    """Why it is not shown, and what would show it."""

    why: str
    next_step: str
    wrong: bool = False
    """Whether it was shown to be wrong, which no reason makes right."""

    @property
    def text(self) -> str:
        """Return it as it stands beside the other facts of a side."""
        return f"not shown: {self.why}"


@dataclass(frozen=True)
class _Judged:
    """A verdict of accuracy or parity with the measurement of the engine that it judged."""

    verdict: Verdict
    measurement: Measurement

    @property
    def sha256(self) -> str:
        return str(self.measurement.engine.get("sha256", ""))

    @property
    def recipe(self) -> Mapping[str, Any]:
        recipe: Mapping[str, Any] = self.measurement.engine.get("recipe") or {}
        return recipe


def shown(entries: Iterable[Entry], campaign: Campaign) -> Shown | Unshown:
    """Return by which passed verdicts, of the digest that was timed, its accuracy is shown; a later failure wins.

    At a size where the model's figure is not defined (its id then shows the size) it takes parity of the timed engine,
    and accuracy of the engine of the same network and settings at the size of the figure.
    """
    case, own = campaign.case, campaign.sha256
    if not own:
        return _unshown(campaign, f"which engine was timed is not known ({campaign.source})")
    judged = _judged(entries, campaign)
    of_own = [each for each in judged if each.sha256 == own]
    timed = _latest(of_own, "parity" if case.shows_size else "accuracy")
    failed = [found for rule in ("accuracy", "parity") if (found := _failed(_latest(of_own, rule)))]
    if failed and (case.shows_size or failed[0].verdict.rule == "accuracy"):
        why = f"{failed[0].verdict.rule} of engine {own[:8]} failed: {failed[0].verdict.reason}"
        return _unshown(campaign, why, wrong=True)
    if timed is None:
        if (error := timed_outputs.largest_error(campaign.rounds)) is not None:
            told = f"those of the timed calls are within {error:.2g} of the accuracy path's"
            return Shown(f"outputs checked: {told}, no verdict")
        rule = "parity" if case.shows_size else "accuracy"
        return _unshown(campaign, f"no passed {rule} verdict of engine {own[:8]} is in the evidence")
    if not case.shows_size:
        return Shown(f"accuracy passed for engine {own[:8]}")
    whole = [each for each in judged if not each.verdict.case.shows_size and _sister(each, campaign)]
    other = _latest(whole, "accuracy")
    if bad := _failed(other):
        why = f"accuracy of its sister engine {bad.sha256[:8]} failed: {bad.verdict.reason}"
        return _unshown(campaign, why, wrong=True)
    if other is None:
        return _unshown(
            campaign,
            f"parity passed for engine {own[:8]}, but no accuracy verdict of {case.model} at batch {case.batch} and "
            "its own size is in the evidence",
        )
    return Shown(
        f"parity passed for engine {own[:8]} at {case.size}, accuracy for engine {other.sha256[:8]} at "
        f"{other.verdict.case.size}"
    )


def axis(campaign: Campaign, told: Unshown, side: str) -> Axis:
    """Return it as the axis `accuracy` of a comparison; of no engine it has the cause of all else that is not told."""
    why = f"{campaign.case.id}: accuracy not shown: {told.why}; {told.next_step}"
    cause = () if campaign.sha256 else ((side, identity.lacking(campaign)),)
    return Axis("accuracy", campaign.case.id, campaign.sha256[:8], why, not told.wrong, cause)


def _judged(entries: Iterable[Entry], campaign: Campaign) -> list[_Judged]:
    """Return the verdicts of the campaign's model and profile that hold or do not."""
    measured: dict[str, Measurement] = {}
    verdicts: list[Verdict] = []
    key = campaign.case.profile, campaign.case.model
    for entry in entries:
        record = entry.record
        if not isinstance(record, (Measurement, Verdict)) or (record.case.profile, record.case.model) != key:
            continue
        if isinstance(record, Measurement):
            measured[record.id] = record
        elif record.rule in ("accuracy", "parity") and record.status in ("passed", "failed"):
            verdicts.append(record)
    return [_Judged(each, measured[id_]) for each in verdicts for id_ in each.measurements if id_ in measured]


def _latest(judged: Sequence[_Judged], rule: str) -> _Judged | None:
    """Return the last verdict; of one measurement judged twice, a failure."""
    found = [each for each in judged if each.verdict.rule == rule]
    return max(found, key=lambda each: (each.measurement.taken, not each.verdict.passed), default=None)


def _failed(found: _Judged | None) -> _Judged | None:
    return found if found and not found.verdict.passed else None


def _sister(judged: _Judged, campaign: Campaign) -> bool:
    """Tell whether a judged engine is the timed one's at another size: same weights, batch and settings."""
    own: Mapping[str, Any] = campaign.engine.get("recipe") or {}
    known = bool(own.get("checkpoint") and own.get("compiler")) and judged.verdict.case.batch == campaign.case.batch
    return known and all(own.get(name) == judged.recipe.get(name) for name in SISTERS)


def _unshown(campaign: Campaign, why: str, wrong: bool = False) -> Unshown:
    case = campaign.case
    return Unshown(
        why,
        f"run pytest -m 'accuracy or perf' --profile {case.profile} --model {case.model} --backend {case.backend} "
        "and give its evidence",
        wrong,
    )
