"""Judges tonight's figure against an accepted one of the same case, image by image on the same data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acceptance import wording
from acceptance.gates import SURPRISE, WORST
from fixtures.model import Gate
from reports.measurement import Measurement
from reports.verdict import Verdict

RULE = "no_worse_than_accepted"
TOLERANCE = 0.001
"""How far a figure may fall, as a fraction of it: a tenth of the gate that the guides set.

Rounding moves a figure by far less: fp16 in place of fp32 in onnxruntime 1.31.1 moves ENet's mIoU by 0.0019 % of it and
EDSR's PSNR by 0.0002 %, OpenVINO 2026.4.1 in place of onnxruntime by nothing and 0.00001 % (the sample, one CPU).
"""
LEVEL = 0.99
STAMP = 16
"""Letters of a digest that stand in a verdict."""


@dataclass(frozen=True)
class Baseline:
    """A figure that was accepted, how it is called, by whom and when, and how often the tolerance may be used up."""

    figure: Measurement
    name: str
    accepted: str = ""
    times: int = 1


@dataclass(frozen=True)
class Paired:
    """What became of each image: tonight's figure less the accepted one, of those that are finite on both nights.

    An image that equals its target has an infinite PSNR, and is left out of the figure; where that changed, of one
    image or more, the two figures are of different images and `shift` is the mean change of those that both have.
    """

    changes: Mapping[str, float]
    base: float
    """The mean of the accepted figures of these images."""
    shift: float
    """By how much tonight's figure differs."""
    one_night: tuple[str, ...]
    """Images that equal their target on one night only."""
    interval: tuple[float, float] | None
    """Where the mean change of an image lies, at 99 %; None for fewer than two images."""


def judge(now: Measurement, accepted: Baseline, remarks: Sequence[str] = ()) -> Verdict:
    """Judge a figure against an accepted one; refused where the two are not of the same images, or not numbers.

    The data are fixed and both figures exact, so nothing is estimated and no scatter excuses a fall: failed is a figure
    that fell by more than the tolerance. One image of a small data set may exceed it, which then is a fall that
    somebody has to accept. A figure that pools pixels (mean IoU) can hide that most images fell; so failed is as well
    where the whole 99 % interval (paired, t) of an image's mean change lies below the tolerance. A single image that
    fell widens that interval: it is named, and fails nothing by itself.
    """
    then = accepted.figure
    gate = Gate(TOLERANCE * accepted.times)
    sentence = wording.must_hold(gate, accepted.name, then.value, then.unit)
    if unlike := _unlike(now, then):
        return without(now, "refused", f"{accepted.name}: {unlike}", sentence)
    paired = pair(now, then)
    margins = [paired.shift + gate.limit * then.value]
    if paired.interval:
        margins.append(paired.interval[1] + gate.limit * paired.base)
    failed = min(margins) < 0
    shown = f"{wording.figure(now.value, now.unit)}, {now.data.get('described', f'{len(now.samples)} images')}"
    return Verdict(
        now.case,
        RULE,
        sentence,
        "failed" if failed else "passed",
        now.metric,
        now.unit,
        "; ".join([shown, *_found(paired, now, accepted, gate, margins), *remarks]),
        observed=now.value,
        required=None if paired.one_night else gate.floor(then.value),
        margin=min(margins) if failed else margins[0],
        details=_details(paired, now, then),
        measurements=tuple(dict.fromkeys((now.id, then.id))),
    )


def without(figure: Measurement, status: str, reason: str, sentence: str) -> Verdict:
    """Return a verdict that is neither passed nor failed."""
    observed = figure.value if math.isfinite(figure.value) else None
    ids = (figure.id,)
    return Verdict(
        figure.case, RULE, sentence, status, figure.metric, figure.unit, reason, observed=observed, measurements=ids
    )


def pair(now: Measurement, then: Measurement) -> Paired:
    """Pair two figures of the same images, of which at least one is finite on both nights."""
    finite = {name: math.isfinite(value) for name, value in then.samples.items()}
    one_night = tuple(sorted(name for name, value in now.samples.items() if math.isfinite(value) != finite[name]))
    names = sorted(name for name in finite if finite[name] and math.isfinite(now.samples[name]))
    changes = {name: now.samples[name] - then.samples[name] for name in names}
    mean = math.fsum(changes.values()) / len(changes)
    return Paired(
        changes,
        math.fsum(then.samples[name] for name in names) / len(names),
        mean if one_night else now.value - then.value,
        one_night,
        _interval(list(changes.values()), mean),
    )


def _interval(changes: Sequence[float], mean: float) -> tuple[float, float] | None:
    """Return the t interval of the mean; one point where all are the same."""
    from scipy.special import stdtrit

    count = len(changes)
    if count < 2:
        return None
    deviation = math.sqrt(math.fsum((change - mean) ** 2 for change in changes) / (count - 1))
    half = float(stdtrit(count - 1, 0.5 + LEVEL / 2)) * deviation / math.sqrt(count)
    return mean - half, mean + half


def _unlike(now: Measurement, then: Measurement) -> str:
    """Return why two figures cannot be paired, naming both sides; empty where they can."""
    before, after = _facts(then), _facts(now)
    if differences := [
        f"{name} {before[name]} then, {after[name]} now" for name in before if before[name] != after[name]
    ]:
        return f"not of the same data: {', '.join(differences)}; judge the same data, or accept this run"
    if not now.data.get("digest"):
        return "the evidence does not tell on which data; accept a run that does"
    missing, extra = sorted(then.samples.keys() - now.samples), sorted(now.samples.keys() - then.samples)
    if missing or extra:
        told = [f"{word}: {_listed(names)}" for word, names in (("missing", missing), ("not accepted", extra)) if names]
        return f"not the same images: {'; '.join(told)}"
    for when, figure in (("the accepted", then), ("tonight's", now)):
        if not math.isfinite(figure.value):
            return f"{when} figure is {figure.value}; expected a number"
        if bad := sorted(name for name, value in figure.samples.items() if math.isnan(value) or value == -math.inf):
            return f"{when} figures of {_listed(bad)} are no numbers"
    if then.value <= 0:
        return f"the accepted figure is {wording.figure(then.value, then.unit)}, and nothing is a fraction of that"
    if not any(math.isfinite(value) and math.isfinite(now.samples[name]) for name, value in then.samples.items()):
        return "no image has a finite figure on both nights"
    return ""


def _facts(figure: Measurement) -> dict[str, str]:
    digest, at, part = str(figure.data.get("digest", "")).partition("@")
    return {
        "profile": figure.case.profile,
        "size": str(figure.case.size),
        "metric": figure.metric,
        "data set": str(figure.data.get("dataset", "")),
        "digest": f"{digest[:STAMP]}{at}{part}",
    }


def _found(paired: Paired, now: Measurement, accepted: Baseline, gate: Gate, margins: Sequence[float]) -> list[str]:
    then, unit = accepted.figure, now.unit
    name = f"{accepted.name}{', ' * bool(accepted.accepted)}{accepted.accepted}"
    if dict(now.samples) == dict(then.samples) and now.value == then.value:
        return [f"equal on every image to {name}"]
    distance = wording.distance(gate, -paired.shift / then.value, unit)
    found = [f"{distance} {name}: {wording.figure(then.value, unit)}"]
    fell = [name for name in paired.changes if paired.changes[name] < 0]
    rose = sum(change > 0 for change in paired.changes.values())
    told = f"{len(fell)} of {len(now.samples)} images fell and {rose} rose"
    if fell:
        most = min(fell, key=lambda name: paired.changes[name])
        told += f", most {most} by {-paired.changes[most]:.4g} {unit}"
    found.append(told)
    if paired.interval:
        lower, upper = paired.interval
        mean = math.fsum(paired.changes.values()) / len(paired.changes)
        found.append(f"mean change of an image {mean:+.3g} {unit} [{lower:+.3g}, {upper:+.3g}] at {100 * LEVEL:.0f} %")
    if margins[0] >= 0 > min(margins):
        found.append("the fall runs through the images, which the figure of all hides")
    if paired.one_night:
        found.append(f"left out, as they equal their target on one night only: {_listed(paired.one_night)}")
    if paired.shift > SURPRISE * then.value:
        found.append(f"better than accepted by more than {wording.percent(SURPRISE)}: find out why")
    return found


def _details(paired: Paired, now: Measurement, then: Measurement) -> dict[str, Any]:
    fell = sorted((name for name, change in paired.changes.items() if change < 0), key=lambda n: paired.changes[n])
    most = {
        name: f"{-paired.changes[name]:.4g} {now.unit} ({then.samples[name]:.4g} -> {now.samples[name]:.4g})"
        for name in fell[:WORST]
    }
    details: dict[str, Any] = {"fell_most_from_accepted": most or "no image fell"}
    if most:
        details["worst"] = {name: now.samples[name] for name in most}
    return details


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:WORST])
    return f"{shown} and {len(names) - WORST} more" if len(names) > WORST else shown
