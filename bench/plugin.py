"""pytest plugin: rounds, and what must not be mistaken for a measurement."""

from __future__ import annotations

from typing import Any

import pytest

from bench.rounds import Rounds
from fixtures.workshop import Workshop


@pytest.fixture(scope="session")
def rounds(workshop: Workshop) -> Rounds:
    """Take timed rounds in fresh processes."""
    return Rounds(workshop)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a benchmark file that could not hold measurements: pytest-benchmark would end green without writing it."""
    if config.getoption("benchmark_json", None) and (reason := disabled(config)):
        raise pytest.UsageError(f"--benchmark-json: expected benchmarks to run; {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what cannot be timed in this run, and say so: pytest-benchmark would run it once, untimed."""
    if item.get_closest_marker("perf") and (reason := disabled(item.config)):
        pytest.skip(f"not measured: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Name the case in plain words; pytest-benchmark would write that it cannot."""
    for entry in output_json["benchmarks"]:
        if "timed_case" in (entry.get("params") or {}):
            entry["params"] = {"timed_case": entry["param"]}


def disabled(config: pytest.Config) -> str | None:
    """Return why nothing can be timed in this run and what to change, if so."""
    if config.getoption("dist", "no") != "no" or hasattr(config, "workerinput"):
        return "nothing is timed in parallel workers of xdist; run perf apart, with -n 0 or -p no:xdist"
    if config.getoption("benchmark_disable", False) and not config.getoption("benchmark_enable", False):
        return "--benchmark-disable is given; leave it out"
    if config.getoption("benchmark_skip", False):
        return "--benchmark-skip is given; leave it out"
    return None
