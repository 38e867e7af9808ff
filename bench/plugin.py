"""pytest plugin: rounds, and what must not be mistaken for a measurement."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any

import pytest

from bench.rounds import Rounds
from fixtures.plugin import case_of
from fixtures.runtime import Missing
from fixtures.workshop import Workshop
from reports.recording import RECORDING

UNUSED = "Benchmark fixture was not used at all"


@pytest.fixture(scope="session")
def rounds(workshop: Workshop) -> Rounds:
    """Take timed rounds in fresh processes."""
    return Rounds(workshop)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a benchmark file that could not hold measurements: pytest-benchmark would end green without writing it."""
    if config.getoption("benchmark_json", None) and (missing := disabled(config)):
        reason = f"{missing.reason}; {missing.next_step}"
        raise pytest.UsageError(f"--benchmark-json: expected benchmarks to run; found: {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what cannot be timed in this run, and say so: pytest-benchmark would run it once, untimed."""
    if item.get_closest_marker("perf") and (missing := disabled(item.config)):
        if case := case_of(item):
            item.config.stash[RECORDING].leave_out(case, missing.reason, missing.next_step)
        pytest.skip(f"not measured: {missing.reason}; {missing.next_step}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Silence what pytest-benchmark says of a test that was skipped or failed; the report of the test says why."""
    for item in items:
        if item.get_closest_marker("perf"):
            item.add_marker(pytest.mark.filterwarnings(f"ignore:{UNUSED}"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, None, None]:
    """Silence the same where Ctrl-C leaves the fixture to the end of the run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", UNUSED)
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_unconfigure() -> Generator[None, None, None]:
    """Silence what pytest-benchmark says of xdist; each test that is not timed has said so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Benchmarks are automatically disabled because xdist")
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Name the case in plain words; pytest-benchmark would write that it cannot."""
    for entry in output_json["benchmarks"]:
        if "timed_case" in (entry.get("params") or {}):
            entry["params"] = {"timed_case": entry["param"]}


def disabled(config: pytest.Config) -> Missing | None:
    """Return why nothing can be timed in this run, if so."""
    if config.getoption("dist", "no") != "no" or hasattr(config, "workerinput"):
        return Missing("nothing is timed in parallel workers of xdist", "run perf apart, with -n 0 or -p no:xdist")
    if config.getoption("benchmark_disable", False) and not config.getoption("benchmark_enable", False):
        return Missing("--benchmark-disable is given", "leave it out")
    if config.getoption("benchmark_skip", False):
        return Missing("--benchmark-skip is given", "leave it out")
    return None
