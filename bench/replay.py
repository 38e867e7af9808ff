"""Hands recorded times to pytest-benchmark: a clock that shows what was measured elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


class ReplayedClock:
    """A timer for `@pytest.mark.benchmark(timer=...)` that stands still but for what it is told."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now_ns / 1e9

    def __repr__(self) -> str:
        """Say in pytest-benchmark's file where the times come from."""
        return "replayed from bench.round"

    def pass_by(self, nanoseconds: int) -> None:
        """Let that much time go by."""
        self._now_ns += nanoseconds


CLOCK = ReplayedClock()


def replay(benchmark: BenchmarkFixture, samples_ns: Sequence[int]) -> None:
    """Give every sample to the benchmark as a round of its own, so that the stock tools read and compare them."""
    remaining = iter(samples_ns)
    benchmark.pedantic(lambda: CLOCK.pass_by(next(remaining)), rounds=len(samples_ns), iterations=1)
