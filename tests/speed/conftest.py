"""What the simulations among the benchmarks share."""

from __future__ import annotations

import time

import pytest


@pytest.fixture
def said(benchmark, capsys):
    """Return what runs a simulation once and prints its table."""

    def run(simulate, title: str) -> list:
        began = time.perf_counter()
        rows, lines = benchmark.pedantic(simulate, rounds=1)
        benchmark.extra_info.update(table=lines)
        with capsys.disabled():
            print("", title, *lines, f"  ({time.perf_counter() - began:.1f} s)", sep="\n")
        return rows

    return run
