"""What a query of trtexec is, worked out from its totals: an execution, or one sample of an implicit batch."""

from __future__ import annotations

from dataclasses import dataclass

from bench.logs.reading import agree

OVERLAP = 1.05
"""More of the GPU's time than of the wall's, beyond rounding, is several streams at once."""


@dataclass(frozen=True)
class Counts:
    """Total time of the GPU over its mean is the number of executions, whatever a query is."""

    throughput: float | None
    mean_ms: float | None
    walltime_s: float | None
    gpu_total_s: float | None

    @property
    def ratio(self) -> float | None:
        """Return queries per execution; None where the text does not tell."""
        if not (self.throughput and self.mean_ms and self.walltime_s and self.gpu_total_s):
            return None
        executions = self.gpu_total_s * 1000 / self.mean_ms
        return self.throughput * self.walltime_s / executions if executions else None

    @property
    def query_samples(self) -> int | None:
        """Return samples per query where the batch is implicit; the rate is multiplied by it already."""
        ratio = self.ratio
        return round(ratio) if ratio and 1.5 <= ratio < 1e6 and agree(ratio, round(ratio), 0.01) else None

    @property
    def query_is_execution(self) -> bool:
        """Tell whether a query is surely an execution of the whole batch."""
        return self.ratio is not None and agree(self.ratio, 1.0, 0.01)

    def flags(self) -> list[str]:
        """Return what the totals say of the run."""
        flags = ["implicit_batch"] * (self.query_samples is not None)
        flags += ["throughput_disagrees"] * (self.ratio is not None and not flags and not self.query_is_execution)
        overlap = self.gpu_total_s is not None and self.walltime_s and self.gpu_total_s > OVERLAP * self.walltime_s
        return flags + ["several_streams"] * bool(overlap)
