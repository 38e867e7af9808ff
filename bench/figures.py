"""What the rounds of a campaign come to: throughput, latency and the device's own compute, each by its own name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from bench.campaigns import Campaign, together
from bench.mode import PURE
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.engines import Engine
from reports.figure import figure
from reports.measurement import Measurement, source
from reports.round import Round

# Fewer calls than these cannot tell the percentile from the slowest call (MLPerf LoadGen's early-stopping minimum).
ENOUGH = {"p50_ms": 1, "p90_ms": 64, "p99_ms": 662}


def measurements(
    case: Case,
    backend: Backend,
    engine: Engine,
    data: Mapping[str, Any],
    processes: Sequence[tuple[Round, ...]],
    cut: str = "",
) -> list[Measurement]:
    """Return what is told: throughput (images/s), latency (ms per call), device compute (ms per batch).

    Each is the geometric mean over processes. `processes` holds per process one round, or those of all devices of a
    card at once: then throughput is the card's. Of one device, what a card of several would reach is said as what it
    is: that figure times their number. `cut` says how many rounds these are of how many, where a budget ended them.
    """
    first = processes[0][0]
    taken = Campaign(case, "", {}, tuple(chain.from_iterable(processes)))
    common: dict[str, Any] = {"source": source(backend, engine), "engine": engine.as_dict(), "data": data}
    mode = str(first.details.get("mode", PURE))
    flagged = {
        flag: sum(any(flag in each.flags for each in group) for group in processes) for flag in taken.flags()
    }  # of the rounds, which a card's devices share
    told: dict[str, Any] = {
        "mode": mode,
        "batch": first.batch,
        "rounds": len(processes),
        "started": first.started,
        **({"flagged": flagged} if flagged else {}),
        **({"cut": cut} if cut else {}),
        **{name: first.details[name] for name in ("effort", "noise", "part") if name in first.details},
        **({"pair": _arm(first)} if "pair" in first.details else {}),
    }
    notes = (f"{mode}, {cut or _count(len(processes), 'round')}", *_stand_in(backend), *_flags(taken))
    found = []
    if "pair" not in first.details:
        found.append(_throughput(taken, backend, processes, told, notes, common))
    # Of one device, where a card ran at once as well: a call does not become faster because others run beside it.
    own = Campaign(case, "", {}, tuple(each for each in taken.rounds if each.device == first.device))
    if first.details.get("timed_section", "host wall") == "host wall":
        found.append(_latency(own, told, notes, common))
    if compute := _device_compute(own, told, notes, common):
        found.append(compute)
    return found


def latency(samples_ns: Sequence[int]) -> dict[str, Any]:
    """Return p50, p90 and p99 of a call in milliseconds, by linear interpolation, and which rest on too few calls."""
    import numpy as np

    values = np.percentile(np.asarray(samples_ns) / 1e6, [50, 90, 99])
    found: dict[str, Any] = {name: round(float(value), 6) for name, value in zip(ENOUGH, values, strict=True)}
    few = [name for name, calls in ENOUGH.items() if len(samples_ns) < calls]
    return {**found, "calls": len(samples_ns), "too_few_calls_for": few}


def device_compute(samples_ms: Sequence[float]) -> dict[str, float]:
    """Return mean, median and p99 of the device's compute per batch, in milliseconds."""
    import numpy as np

    median, p99 = np.percentile(samples_ms, [50, 99])
    return {"mean_ms": float(np.mean(samples_ms)), "median_ms": float(median), "p99_ms": float(p99)}


def _throughput(
    taken: Campaign,
    backend: Backend,
    processes: Sequence[tuple[Round, ...]],
    told: dict[str, Any],
    notes: tuple[str, ...],
    common: dict[str, Any],
) -> Measurement:
    """Return images per second over the offline windows, or over the calls where there are none."""
    first, many = taken.rounds[0], len(processes[0]) > 1
    window = first.details.get("window")
    section = first.details.get("timed_section", "host wall")
    if many:
        logs = [math.log(together(group)) for group in processes]
        how = f"{len(processes[0])} devices of one card at once, over the time they had in common, {section}"
        if window:
            how += f"; offline: {window['depth']} in flight each, {_seconds(window['ns'])} windows"
    elif window and (offline := taken.values("throughput", "mean")):
        logs = list(offline)
        how = f"offline: {window['depth']} in flight, {_seconds(window['ns'])} windows, drained, {section}"
    else:
        logs = [math.log(each.batch * len(each.samples_ns) / (sum(each.samples_ns) / 1e9)) for each in taken.rounds]
        how = f"calls one after the other, {section}"
    value = math.exp(sum(logs) / len(logs))
    card: dict[str, Any] = {"per": "card" if many else "device", "devices": len(processes[0]), "timed_section": section}
    count = backend.devices_per_card
    if not many and count > 1 and "siblings_in_use" not in taken.flags():
        card |= {"devices_per_card": count, "per_card_extrapolated": value * count}
        how += f"; a card: {figure(value * count, 'images/s')} (x{count}, extrapolated from one device)"
    return Measurement(
        taken.case, "throughput", value, "images/s", notes=(how, *notes), details={**told, **card}, **common
    )


def _latency(taken: Campaign, told: dict[str, Any], notes: tuple[str, ...], common: dict[str, Any]) -> Measurement:
    """Return the median of a serial, completed call."""
    logs = taken.values("latency", "median")
    value = 1e3 * taken.rounds[0].batch / math.exp(sum(logs) / len(logs))
    samples = list(chain.from_iterable(each.samples_ns for each in taken.rounds))
    details = {**told, **latency(samples), "statistic": "median", "timed_section": "host wall"}
    return Measurement(taken.case, "latency", value, "ms", notes=("median call", *notes), details=details, **common)


def _device_compute(
    taken: Campaign, told: dict[str, Any], notes: tuple[str, ...], common: dict[str, Any]
) -> Measurement | None:
    """Return the mean of the device's own time per batch; None where it is not told."""
    logs = taken.values("device_compute", "mean")
    if not logs:
        return None
    samples = list(chain.from_iterable(each.details["device_ms"] for each in taken.rounds))
    averaged = "no_samples" in taken.rounds[0].flags
    how = "an average that the tool printed" if averaged else "the device's own time per batch, copies excluded"
    value = 1e3 * taken.rounds[0].batch / math.exp(sum(logs) / len(logs))
    details = {
        **told,
        **device_compute(samples),
        "statistic": "mean",
        "timed_section": "device compute",
        "per": "batch",
        "executions": len(samples),
    }
    return Measurement(taken.case, "device_compute", value, "ms", notes=(how, *notes), details=details, **common)


def _arm(first: Round) -> dict[str, Any]:
    pair = first.details["pair"]
    return {"arm": pair["arm"], "other": pair["other"]}


def _stand_in(backend: Backend) -> tuple[str, ...]:
    if not backend.emulated:
        return ()
    return ("of a stand-in: host wall is this processor's, device times are a formula's, and none is a device's",)


def _flags(taken: Campaign) -> tuple[str, ...]:
    """Return a note per flag, with how many of several rounds carry it."""
    count = len(taken.rounds)
    return tuple(
        f"flag: {name.replace('_', ' ')}" + (f" ({many} of {count})" if many < count else "")
        for name, many in taken.flags().items()
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3g} s"
