"""What the log of a tool comes to for one batch: figures per device, each with how it was derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.logs import ais_bench, benchmark, trtexec
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


def of_trtexec(log: trtexec.Log, batch: int, times: trtexec.Times | None = None) -> list[Figure]:
    """Return device_compute, latency and throughput, from the samples where they are given."""
    compute, compute_ms = (times.compute, times.compute_ms) if times else (log.gpu_compute, ())
    latency, latency_ms = (times.latency or log.latency, times.latency_ms) if times else (log.latency, ())
    said = "of the samples" if times else "as printed"
    found = []
    if compute.mean is not None:
        found.append(Figure("device_compute", compute.mean, "ms", f"GPU Compute mean, {said}", compute, compute_ms))
    if latency.mean is not None:
        formula = f"Latency mean, {said}: copy in, compute and copy out"
        found.append(Figure("latency", latency.mean, "ms", formula, latency, latency_ms))
    return found + _trtexec_rate(log, batch, compute)


def _trtexec_rate(log: trtexec.Log, batch: int, compute: Statistics) -> list[Figure]:
    """Return throughput by the wall clock where the log tells what a query is, else by the mean of compute."""
    if "throughput_disagrees" in log.flags:
        return []
    implicit = log.query_samples is not None or "--batch=" in (log.command or "")
    # A query is an execution unless the engine's batch is implicit, which no engine of an ONNX file has.
    known = implicit or batch == 1 or "--onnx=" in (log.command or "") or log.query_is_execution
    if log.throughput_qps and known:
        value, formula = (
            (log.throughput_qps, "printed qps, a query is a sample: the engine's batch is implicit")
            if implicit
            else (log.throughput_qps * batch, f"printed qps x batch {batch}, a query is an execution")
        )
        return [Figure("throughput", value, "images/s", formula)]
    if compute.mean and "several_streams" not in log.flags:
        formula = f"1000 x batch {batch} / GPU Compute mean: without gaps between executions"
        return [Figure("throughput", 1000 * batch / compute.mean, "images/s", formula)]
    return []


def of_ais_bench(log: ais_bench.Log, batch: int) -> list[Figure]:
    """Return device_compute and throughput of each summary, recomputed with the batch of the case."""
    found = []
    for block in log.blocks:
        more = {
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
        # A rate that contradicts its own mean is no rate: one of the two belongs to another run.
        if block.mean and not {"throughput_disagrees", "mean_disagrees"} & set(block.flags()):
            formula = f"1000 x batch {batch} / NPU_compute_time mean: without copies and without gaps"
            found.append(Figure("throughput", 1000 * batch / block.mean, "images/s", formula, more=told))
    return found


def of_benchmark(log: benchmark.Log) -> list[Figure]:
    """Return throughput; the tool tells no time per batch."""
    if not log.throughput:
        return []
    name = "ave_throughputRate" if log.mode == "pure" else "Interface throughputRate"
    per_sample = log.latency_per_sample_ms
    more = {} if per_sample is None else {"latency_per_sample_ms": per_sample}
    return [Figure("throughput", log.throughput, "images/s", f"{name}, as printed", more=more)]
