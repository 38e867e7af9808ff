"""What the log of a tool comes to for one batch: figures per device, each with how it was derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.logs import ais_bench, benchmark, trtexec
from bench.logs import trtexec_setting as setting
from bench.logs.statistics import Statistics


@dataclass(frozen=True)
class Figure:
    """One figure. Times are milliseconds per batch, rates images per second; all of one device."""

    metric: str
    value: float
    unit: str
    formula: str
    statistics: Statistics | None = None
    samples_ms: tuple[float, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


HOST, DEVICE = "host wall", "device compute"
"""What was timed: from one call to the next as the host sees it, or what the device does alone."""


DOUBTFUL = {"throughput_disagrees", "mean_disagrees", "samples_disagree_mean"}


def of_trtexec(log: trtexec.Log, batch: int, times: trtexec.Times | None = None) -> list[Figure]:
    """Return device_compute, latency and throughput, from the samples where they are given.

    No latency where nothing was copied: trtexec prints one all the same, which is compute under another name.
    """
    compute, compute_ms = (times.compute, times.compute_ms) if times else (log.gpu_compute, ())
    latency, latency_ms = (times.latency or log.latency, times.latency_ms) if times else (log.latency, ())
    said = "of the samples" if times else "as printed"
    copied = log.transfers
    if copied is None and times and times.h2d_ms:
        copied = max(times.h2d_ms) > 0
    more = {"timed_section": DEVICE, "transfers": copied, "spin_wait": log.spin_wait, "cuda_graph": log.cuda_graph}
    found = []
    if compute.mean is not None:
        formula = f"GPU Compute mean, {said}"
        found.append(Figure("device_compute", compute.mean, "ms", formula, compute, compute_ms, more))
    if latency.mean is not None and (copied or (copied is None and log.version < setting.TURNED)):
        unknown = "" if copied else "; whether anything was copied is not told"
        formula = f"Latency mean, {said}: copy in, compute and copy out{unknown}"
        found.append(Figure("latency", latency.mean, "ms", formula, latency, latency_ms, more))
    rate = _trtexec_rate(log, batch, compute, sampled=times is not None)
    return found + [replace(figure, more={**more, **figure.more}) for figure in rate]


def _trtexec_rate(log: trtexec.Log, batch: int, compute: Statistics, sampled: bool) -> list[Figure]:
    """Return throughput by the wall clock where the log tells what a query is, else by the mean of compute."""
    if "throughput_disagrees" in log.flags:
        return []
    implicit = log.query_samples is not None or (log.batch is not None and not log.query_is_execution)
    # A query is an execution unless the engine's batch is implicit, which no engine of an ONNX file has.
    known = implicit or batch == 1 or "--onnx=" in (log.command or "") or log.query_is_execution
    if log.throughput_qps and known:
        value, formula = (
            (log.throughput_qps, "printed qps, a query is a sample: the engine's batch is implicit")
            if implicit
            else (log.throughput_qps * batch, f"printed qps x batch {batch}, a query is an execution")
        )
        return [Figure("throughput", value, "images/s", formula, more={"timed_section": HOST})]
    contradictory = not sampled and any(flag.startswith("gpu_compute_") for flag in log.flags)
    if compute.mean and not contradictory and "several_streams" not in log.flags:
        formula = f"1000 x batch {batch} / GPU Compute mean: without gaps between executions"
        return [Figure("throughput", 1000 * batch / compute.mean, "images/s", formula)]
    return []


def of_ais_bench(log: ais_bench.Log, batch: int) -> list[Figure]:
    """Return device_compute and throughput of each summary, recomputed with the batch of the case."""
    found = []
    for block in log.blocks:
        more = {
            "timed_section": DEVICE,
            "printed_throughput": block.throughput,
            "printed_batch": block.batch,
            "executions": block.count,
            "input_groups": block.files,
            "device": block.device,
        }
        told = {name: value for name, value in more.items() if value is not None}
        if block.mean is not None:
            formula = "NPU_compute_time mean, as printed"
            found.append(
                Figure("device_compute", block.mean, "ms", formula, block.compute, tuple(block.samples_ms), told)
            )
        # A rate that contradicts its own mean is no rate: one of the two belongs to another run, or was edited.
        if block.mean and not any(flag in DOUBTFUL or flag.startswith("compute_") for flag in block.flags()):
            formula = f"1000 x batch {batch} / NPU_compute_time mean: without copies and without gaps"
            found.append(Figure("throughput", 1000 * batch / block.mean, "images/s", formula, more=told))
    return found


def of_benchmark(log: benchmark.Log) -> list[Figure]:
    """Return throughput; the tool tells no time per batch."""
    if not log.throughput:
        return []
    name = "ave_throughputRate" if log.mode == "pure" else "Interface throughputRate"
    per_sample = log.latency_per_sample_ms
    more: dict[str, Any] = {"timed_section": HOST}
    more |= {} if per_sample is None else {"latency_per_sample_ms": per_sample}
    return [Figure("throughput", log.throughput, "images/s", f"{name}, as printed", more=more)]
