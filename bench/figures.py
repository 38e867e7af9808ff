"""What the samples of a round come to."""

from __future__ import annotations

from typing import Any

from reports.round import Round

# Fewer calls than these cannot tell the percentile from the slowest call (MLPerf LoadGen's early-stopping minimum).
ENOUGH = {"p50_ms": 1, "p90_ms": 64, "p99_ms": 662}


def throughput(taken: Round) -> float:
    """Return images per second of serial, completed calls: all images over the sum of all calls."""
    return taken.batch * len(taken.samples_ns) / (sum(taken.samples_ns) / 1e9)


def latency(taken: Round) -> dict[str, Any]:
    """Return p50, p90 and p99 of a call in milliseconds, by linear interpolation, and which rest on too few calls."""
    import numpy as np

    values = np.percentile(np.asarray(taken.samples_ns) / 1e6, [50, 90, 99])
    found: dict[str, Any] = {name: round(float(value), 6) for name, value in zip(ENOUGH, values, strict=True)}
    few = [name for name, calls in ENOUGH.items() if len(taken.samples_ns) < calls]
    return {**found, "calls": len(taken.samples_ns), "too_few_calls_for": few}
