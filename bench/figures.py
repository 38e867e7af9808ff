"""What the samples of rounds come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.children import RoundError
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.engines import Engine
from reports.figure import figure
from reports.measurement import Measurement, source
from reports.round import Round

# Fewer calls than these cannot tell the percentile from the slowest call (MLPerf LoadGen's early-stopping minimum).
ENOUGH = {"p50_ms": 1, "p90_ms": 64, "p99_ms": 662}


def measurements(
    case: Case, backend: Backend, engine: Engine, data: Mapping[str, Any], rounds: Sequence[Round]
) -> list[Measurement]:
    """Return throughput first, then the device's own compute where it is told.

    One round gives the figure of one device, and what a card of several would reach is said as what it is: that figure
    times their number. Rounds of all devices at once give the figure of the card.
    """
    first, many = rounds[0], len(rounds) > 1
    value = together(rounds) if many else throughput(first)
    section = first.details.get("timed_section", "host wall")
    card: dict[str, Any] = {"per": "card" if many else "device", "devices": len(rounds), "timed_section": section}
    by_tool = "tool" in first.details
    notes = [f"one round of {'executions that the tool times' if by_tool else 'serial, completed calls'}, {section}"]
    if backend.emulated:
        notes.append(
            "of a stand-in: host wall is this processor's, device times are a formula's, and none is a device's"
        )
    if many:
        notes.append(f"{len(rounds)} devices of one card at once, over the time they had in common")
        notes.append(f"percentiles and device compute are those of device {first.device}")
    elif backend.devices_per_card > 1 and "siblings_in_use" not in first.flags:
        count = backend.devices_per_card
        card |= {"devices_per_card": count, "per_card_extrapolated": value * count}
        notes.append(
            f"per device; a card: {figure(value * count, 'images/s')} (x{count}, extrapolated from one device)"
        )
    notes += [
        f"flag: {name.replace('_', ' ')}" for name in dict.fromkeys(flag for each in rounds for flag in each.flags)
    ]
    common: dict[str, Any] = {"source": source(backend, engine), "engine": engine.as_dict(), "data": data}
    details = {**latency(first), **card, "batch": first.batch, "started": first.started, "seed": first.seed}
    found = [Measurement(case, "throughput", value, "images/s", notes=tuple(notes), details=details, **common)]
    if compute := device_compute(first):
        told = {**compute, "per": "batch", "executions": len(first.details["device_ms"])}
        averaged = "no_samples" in first.flags
        notes = ["an average that the tool printed" if averaged else "the device's own time per batch, copies excluded"]
        found.append(
            Measurement(case, "device_compute", compute["mean_ms"], "ms", notes=tuple(notes), details=told, **common)
        )
    return found


def throughput(taken: Round) -> float:
    """Return images per second of serial, completed calls: all images over the sum of all calls."""
    return taken.batch * len(taken.samples_ns) / (sum(taken.samples_ns) / 1e9)


def together(rounds: Sequence[Round]) -> float:
    """Return images per second of devices that ran at once: the calls of the window they had in common.

    A call that the window cuts counts with its part inside: whole ones only would lose one per device at either end.

    Raises RoundError where they had none in common.
    """
    spans = [_spans(taken) for taken in rounds]
    start, end = max(span[0][0] for span in spans), min(span[-1][1] for span in spans)
    if end <= start:
        raise RoundError(
            f"expected {len(rounds)} devices that ran at the same time; found no call in common; run again"
        )
    calls = sum(max(0, min(end, done) - max(start, begun)) / (done - begun) for span in spans for begun, done in span)
    return rounds[0].batch * calls / ((end - start) / 1e9)


def _spans(taken: Round) -> list[tuple[int, int]]:
    return [(begun, begun + ns) for begun, ns in zip(taken.details["begun_ns"], taken.samples_ns, strict=True)]


def device_compute(taken: Round) -> dict[str, float]:
    """Return mean, median and p99 of the device's compute per batch, in milliseconds; empty where it is not told."""
    import numpy as np

    if not (samples := taken.details.get("device_ms")):
        return {}
    median, p99 = np.percentile(samples, [50, 99])
    return {"mean_ms": float(np.mean(samples)), "median_ms": float(median), "p99_ms": float(p99)}


def latency(taken: Round) -> dict[str, Any]:
    """Return p50, p90 and p99 of a call in milliseconds, by linear interpolation, and which rest on too few calls."""
    import numpy as np

    values = np.percentile(np.asarray(taken.samples_ns) / 1e6, [50, 90, 99])
    found: dict[str, Any] = {name: round(float(value), 6) for name, value in zip(ENOUGH, values, strict=True)}
    few = [name for name, calls in ENOUGH.items() if len(taken.samples_ns) < calls]
    return {**found, "calls": len(taken.samples_ns), "too_few_calls_for": few}
