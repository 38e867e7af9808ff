"""What a log of trtexec holds, and what its echo and command tell of how the run was set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.logs import trtexec_setting as setting
from bench.logs.statistics import Statistics


@dataclass(frozen=True)
class Log:
    """The last run that the text holds, and in it the last summary."""

    status: str | None = None
    """passed, failed, waived; None where no end is told: a crash leaves none, an excerpt neither."""
    layout: str = "none"
    tensorrt_version: str | None = None
    throughput_qps: float | None = None
    """As printed: a query is an execution, but a sample where the engine's batch is implicit; 0 of 7.x is unknown."""
    blocks: Mapping[str, Statistics] = field(default_factory=dict)
    """Milliseconds per execution: latency, end_to_end, enqueue, h2d, gpu_compute, d2h."""
    walltime_s: float | None = None
    gpu_total_s: float | None = None
    queries: int | None = None
    query_samples: int | None = None
    """Samples per query where the totals tell that the batch is implicit: the rate is multiplied by it already."""
    query_is_execution: bool = False
    """Whether the totals tell that a query is an execution of the whole batch."""
    command: str | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    """Of the inputs, as bound; as asked for where the log does not say."""
    options: Mapping[str, str] = field(default_factory=dict)
    logged: str | None = None
    """The last time stamp, in the clock of the host that wrote it."""
    device: str | None = None
    compute_capability: str | None = None
    precision: str | None = None
    """As printed: of the options, which for a loaded engine need not be those it was built with."""
    loaded: bool | None = None
    """Whether the engine was loaded, not built in this run."""
    flags: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def latency(self) -> Statistics:
        """Return copy in, compute and copy out, in milliseconds per execution."""
        return self.blocks.get("latency", Statistics())

    @property
    def gpu_compute(self) -> Statistics:
        """Return compute alone, in milliseconds per execution."""
        return self.blocks.get("gpu_compute", Statistics())

    @property
    def version(self) -> setting.Version:
        """Return the version as numbers; none where it is not told."""
        return numbers(self.tensorrt_version)

    @property
    def batch(self) -> int | None:
        """Return `--batch` of the command: of an engine whose batch is implicit."""
        return setting.batch(self.command)

    @property
    def transfers(self) -> bool | None:
        """Tell whether copies were timed."""
        return setting.transfers(self.command, self.version, self.options, self.blocks)

    @property
    def spin_wait(self) -> bool | None:
        """Tell whether the host waited without sleeping."""
        return setting.SPIN_WAIT.told(self.command, self.version, self.options)

    @property
    def cuda_graph(self) -> bool | None:
        """Tell whether CUDA graphs were launched."""
        return setting.CUDA_GRAPH.told(self.command, self.version, self.options)

    @property
    def precisions(self) -> frozenset[str]:
        """Return the precisions that this run's build was allowed; none where the log cannot tell."""
        return setting.precisions(self.precision, self.loaded, self.command, self.version)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; null for what the text does not hold."""
        return {
            "status": self.status,
            "layout": self.layout,
            "tensorrt_version": self.tensorrt_version,
            "throughput_qps": self.throughput_qps,
            "latency_ms": _three(self.latency),
            "gpu_compute_ms": _three(self.gpu_compute),
            "blocks_ms": {name: block.as_dict() for name, block in self.blocks.items()},
            "walltime_s": self.walltime_s,
            "gpu_total_s": self.gpu_total_s,
            "queries": self.queries,
            "query_samples": self.query_samples,
            "query_is_execution": self.query_is_execution,
            "command": self.command,
            "shapes": [list(shape) for shape in self.shapes],
            "options": dict(self.options),
            "logged": self.logged,
            "device": self.device,
            "compute_capability": self.compute_capability,
            "precision": self.precision,
            "loaded": self.loaded,
            "flags": list(self.flags),
            "unread": list(self.unread),
        }


def numbers(version: str | None) -> setting.Version:
    """Return a version as numbers; none where it is not told."""
    return tuple(map(int, version.split("."))) if version else ()


def _three(block: Statistics) -> dict[str, float | None]:
    return {"mean": block.mean, "median": block.median, "p99": block.p99}
