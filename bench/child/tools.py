"""A round of a tool that times itself: what it found, and what it prints of its own run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.child.guards import Section
from bench.logs import ais_bench, benchmark, trtexec

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import SelfTimed, Timed

READERS = {"trtexec": trtexec, "ais_bench": ais_bench, "benchmark": benchmark}
"""Read what a tool prints, by the name of its runtime."""
FIGURES = ("throughput_qps", "latency_ms", "gpu_compute_ms", "throughput", "compute_ms", "batch")
TRTEXEC_DEPTH = 2
"""It queues one execution while another computes (measurement protocol 6)."""


def take(
    session: SelfTimed,
    batches: Sequence[tuple[np.ndarray, ...]],
    order: Sequence[int],
    batch: int,
    seconds: float,
    warmup_seconds: float,
    runtime: str,
) -> dict[str, Any]:
    """Let a tool time itself; where it tells no host times, its device times stand for them.

    `kept` of the answer has outputs by the number of their batch, whatever the order.
    """
    section = Section()
    with section.timed():
        timed = session.time(batches, seconds, warmup_seconds)
    return {
        "warmup_ns": [],
        "samples_ns": list(timed.host_ns) or [round(milliseconds * 1e6) for milliseconds in timed.device_ms],
        "timed_section": "host wall" if timed.host_ns else "device compute",
        "device_ms": list(timed.device_ms),
        **({"begun_ns": list(timed.begun_ns)} if timed.begun_ns else {}),
        "section": section,
        "kept": {order[place]: outputs[0] for place, outputs in timed.outputs.items()},
        **_told(timed, runtime, batch),
    }


def _told(timed: Timed, runtime: str, batch: int) -> dict[str, Any]:
    """Return what the tool says of its own run: its figures beside the samples, its window, and warnings as flags."""
    tool, flags, window = dict(timed.details), list(timed.flags), _serial(timed)
    if runtime in READERS and timed.log:
        said = READERS[runtime].parse(timed.log)
        flags = list(dict.fromkeys([*flags, *said.flags]))
        tool["reported"] = {name: said.as_dict()[name] for name in FIGURES if name in said.as_dict()}
        if isinstance(said, trtexec.Log) and said.query_is_execution and said.throughput_qps and said.walltime_s:
            executions = said.queries or round(said.throughput_qps * said.walltime_s)
            told = {"depth": TRTEXEC_DEPTH, "transfers": bool(said.transfers)}
            window = {"calls": executions, "ns": round(said.walltime_s * 1e9), **told}
    found = {"window": {**window, "images": window["calls"] * batch}} if window else {}
    return {"flags": flags, "tool": tool, **found}


def _serial(timed: Timed) -> dict[str, Any]:
    """Return the window of completed calls, one after the other, of a tool that tells when each began."""
    if not (timed.begun_ns and timed.host_ns):
        return {}
    ns = timed.begun_ns[-1] + timed.host_ns[-1] - timed.begun_ns[0]
    return {"calls": len(timed.host_ns), "ns": ns, "depth": 1, "begun_ns": timed.begun_ns[0]}
