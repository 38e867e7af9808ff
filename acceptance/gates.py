"""The two accuracy gates: against the profile's figure, and against this checkpoint's own fp32."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from acceptance import wording
from acceptance.agreement import Agreement
from acceptance.basis import Basis
from acceptance.metric import Result
from fixtures.case import Case
from fixtures.model import Gate
from reports.verdict import Verdict

SURPRISE = 0.01
"""Better than the reference by more than this fraction is flagged: no merit of an engine, but a cause to be found."""
REPRODUCED = 0.001
"""fp32 that is further from the published figure than this fraction is said to not reproduce it."""
WORST = 5


@dataclass(frozen=True)
class Judged:
    """What a gate judges: one engine's figure on some data, beside the figure of fp32 on the same data.

    `found` is None where no output was finite or the data have no targets, `fp32` where nothing on this host knows it.
    """

    case: Case
    metric: str
    on: str
    """The data, in words."""
    found: Result | None
    agreement: Agreement
    fp32: Result | None
    fp32_by: str
    """What computed it."""
    implied: bool = False
    """Whether `found` is fp32's figure with the error between the two added, because the inputs have no truth."""


def accuracy(judged: Judged, gate: Gate, basis: Basis) -> Verdict:
    """Judge against the profile's figure; refused where the user took it out of play, failed where it is broken."""
    figure, found, fp32 = basis.figure, judged.found, judged.fp32
    sentence = wording.must_hold(gate, f"the {basis.name}", figure.value, figure.unit)
    if judged.agreement.not_finite:
        return _not_finite(judged, "accuracy", sentence, figure.unit)
    if found is None or not math.isfinite(found.value):
        return _no_figure(judged, "accuracy", sentence, figure.unit)
    share = gate.drop(fp32.value, found.value) if fp32 else None
    own = [] if share is None else [f"{wording.distance(gate, share, found.unit)} its own fp32"]
    shown = f"{wording.figure(found.value, found.unit)}, {judged.on}"
    if basis.unmet or basis.broken:
        why = ", ".join([*basis.broken, *basis.unmet])
        parts = [shown, *own, f"the {basis.name} {wording.figure(figure.value, figure.unit)} does not apply: {why}"]
        # A profile that is not what its figure was measured with would never be judged, and nobody asked for that.
        status = "failed" if basis.broken else "refused"
        return _verdict(judged, "accuracy", sentence, status, "; ".join(parts), found, None)
    floor, lost = gate.floor(figure.value), gate.drop(figure.value, found.value)
    against = (
        f"{wording.distance(gate, lost, figure.unit)} the {basis.name} {wording.figure(figure.value, figure.unit)}"
    )
    reason = "; ".join([shown, ", ".join([against, *own]), *_remarks(basis, found, fp32)])
    verdict = _verdict(judged, "accuracy", sentence, _status(found, floor), reason, found, floor)
    drops = {"drop_from_reference": wording.drop(gate, lost, figure.unit), "reference_from": figure.source}
    if share is not None:
        drops["drop_from_fp32"] = f"{wording.drop(gate, share, figure.unit)} (the device's share)"
    return _with(verdict, drops)


def parity(judged: Judged, gate: Gate) -> Verdict:
    """Judge against fp32 on the same inputs; refused where that is not known, failed where an output is not finite."""
    found, fp32 = judged.found, judged.fp32
    unit = fp32.unit if fp32 else ""
    sentence = wording.must_hold(gate, f"fp32 by {judged.fp32_by}", fp32.value if fp32 else None, unit)
    if judged.agreement.not_finite:
        return _not_finite(judged, "parity", sentence, unit)
    if fp32 is None:
        reason = f"there is no fp32 figure on {judged.on} from {judged.fp32_by}; make the pack again where it is known"
        return _verdict(judged, "parity", sentence, "refused", reason, found, None)
    if found is None or not math.isfinite(found.value):
        return _no_figure(judged, "parity", sentence, unit)
    distance = wording.distance(gate, gate.drop(fp32.value, found.value), unit)
    parts = [f"{wording.figure(found.value, unit)}, {judged.on}", f"{distance} fp32 by {judged.fp32_by}"]
    if judged.implied:
        lowered = wording.drop(gate, gate.drop(fp32.value, found.value), unit)
        parts = [f"on {judged.on} its error lowers fp32's {wording.figure(fp32.value, unit)} by {lowered}"]
    if judged.agreement.rms is not None:
        parts.append(f"RMS error {judged.agreement.rms:.2g}, largest {judged.agreement.largest_error:.2g}")
    else:
        parts.append("outputs not compared, a pack holds figures only")
    floor = gate.floor(fp32.value)
    verdict = _verdict(judged, "parity", sentence, _status(found, floor), "; ".join(parts), found, floor)
    return _with(verdict, errors(judged.agreement))


def errors(agreement: Agreement) -> dict[str, Any]:
    """Return how far the outputs lie apart, in their own unit; empty where there was nothing to compare with."""
    if agreement.rms is None:
        return {}
    found = {
        "rms_error": agreement.rms,
        "largest_error": agreement.largest_error,
        "worst_image": agreement.worst_image,
        "cosine": agreement.cosine,
    }
    return {name: value for name, value in found.items() if value is not None}


def _status(found: Result, floor: float) -> str:
    return "passed" if found.value >= floor else "failed"


def _no_figure(judged: Judged, rule: str, sentence: str, unit: str) -> Verdict:
    """Refuse what is no figure: data without targets, or outputs that all equal their targets, as no network's do."""
    why = "it has no targets" if judged.found is None else "every output equals its target; is the target fed?"
    reason = f"there is no {judged.metric} figure on {judged.on}: {why}"
    return Verdict(judged.case, rule, sentence, "refused", judged.metric, unit, reason)


def _not_finite(judged: Judged, rule: str, sentence: str, unit: str) -> Verdict:
    images = judged.agreement.not_finite
    reason = f"NaN or infinity in the output of {len(images)} of {judged.on}, first {images[0]}"
    details = {"images": ", ".join(images[:10])}
    return Verdict(judged.case, rule, sentence, "failed", judged.metric, unit, reason, details=details)


def _verdict(
    judged: Judged, rule: str, sentence: str, status: str, reason: str, found: Result | None, required: float | None
) -> Verdict:
    observed = found.value if found else None
    return Verdict(
        judged.case,
        rule,
        sentence,
        status,
        judged.metric,
        found.unit if found else "",
        reason,
        observed=observed,
        required=required,
        margin=None if required is None or observed is None else observed - required,
        details=_details(found, judged.fp32) if found else {},
    )


def _with(verdict: Verdict, details: dict[str, Any]) -> Verdict:
    return replace(verdict, details={**verdict.details, **details})


def _details(found: Result, fp32: Result | None) -> dict[str, Any]:
    worst = sorted(found.per_image, key=lambda name: found.per_image[name])[:WORST]
    details: dict[str, Any] = {"worst": {name: found.per_image[name] for name in worst}}
    if fp32:
        fell = {name: fp32.per_image[name] - value for name, value in found.per_image.items() if name in fp32.per_image}
        most = sorted((name for name in fell if fell[name] > 0), key=lambda name: -fell[name])[:WORST]
        details["fell_most_from_fp32"] = {name: f"{fell[name]:.4g} {found.unit}" for name in most} or "no image fell"
    if found.per_class:
        details["per_class"] = dict(found.per_class)
    if found.notes:
        details["notes"] = "; ".join(found.notes)
    return details


def _remarks(basis: Basis, found: Result, fp32: Result | None) -> list[str]:
    remarks = []
    reference = basis.figure.value
    if found.value > reference * (1 + SURPRISE):
        remarks.append(f"better than the reference by more than {wording.percent(SURPRISE)}: find out why")
    if fp32 and abs(fp32.value - reference) > REPRODUCED * abs(reference):
        apart = f"fp32 itself gives {wording.figure(fp32.value, fp32.unit)}"
        remarks.append(f"{apart}, which does not reproduce the reference within {wording.percent(REPRODUCED)}")
    return remarks
