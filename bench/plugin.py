"""pytest plugin: rounds, and what must not be mistaken for a measurement."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from bench import nights, planning, settings
from bench.comparing import Comparing, unjudged
from bench.comparison import Comparison, comparisons
from bench.effort import NIGHTLY
from bench.measuring import Measuring
from bench.nights import Tonight
from bench.regression import Regression
from bench.rounds import Rounds
from bench.settings import SETTINGS
from bench.sides import measured_elsewhere
from bench.sweep import Sweep, sweeps
from fixtures import grid
from fixtures.errors import SetupError
from fixtures.plugin import ROUNDS, SELECTION, case_of
from fixtures.progress import Progress
from fixtures.runtime import Missing
from fixtures.workshop import Workshop
from reports.ledger import Ledger
from reports.plugin import HISTORY
from reports.recording import RECORDING

CAMPAIGN = pytest.StashKey[Measuring]()
UNUSED = "Benchmark fixture was not used at all"


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest, workshop: Workshop, ledger: Ledger) -> Iterator[Measuring]:
    """Time everything that the selected tests ask for, round by round, at the first question."""
    chosen = request.config.stash[SETTINGS]
    units = planning.units(request.session.items, workshop, ledger.given, request.config.stash[HISTORY])
    rounds = Rounds(workshop)
    measuring = request.config.stash[CAMPAIGN] = Measuring(rounds, ledger, chosen, workshop.progress, units)
    yield measuring
    rounds.close()


@pytest.fixture(scope="session")
def regression(pytestconfig: pytest.Config, comparing: Comparing, campaign: Measuring) -> Regression:
    """Judge tonight against what was accepted."""
    return Regression(comparing, pytestconfig.stash[HISTORY], campaign)


@pytest.fixture(scope="session")
def comparing(request: pytest.FixtureRequest, ledger: Ledger) -> Comparing:
    """Judge comparisons; needs no runtime, data or checkpoint where nothing is to be measured."""
    chosen, selection = request.config.stash[SETTINGS], request.config.stash[SELECTION]
    if chosen.judge_only:
        return Comparing(ledger, chosen, None, measured_elsewhere)
    workshop: Workshop = request.getfixturevalue("workshop")
    missing = planning.missing_here(workshop)
    return Comparing(ledger, chosen, request.getfixturevalue("campaign"), missing, selection.requires)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options of measuring and judging."""
    settings.add_options(parser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give comparisons their sides."""
    if "comparison" in metafunc.fixturenames:
        try:
            found = comparisons(metafunc.config.stash[SELECTION])
        except SetupError as error:
            raise pytest.UsageError(str(error)) from error
        metafunc.parametrize("comparison", found, ids=[each.id for each in found])
    if "sweep" in metafunc.fixturenames:
        selection = metafunc.config.stash[SELECTION]
        swept = sweeps(grid.timed(selection)) if selection.sweep else []
        metafunc.parametrize("sweep", swept, ids=[each.id for each in swept])
    if "tonight" in metafunc.fixturenames:
        every_night = metafunc.config.stash[SETTINGS].effort.name == NIGHTLY.name
        cases = nights.tonight(metafunc.config.stash[SELECTION], metafunc.config.stash[HISTORY], every_night)
        metafunc.parametrize("tonight", cases, ids=[each.id for each in cases])


@pytest.hookimpl(trylast=True)  # the recording, which is told what the run is for, comes first
def pytest_configure(config: pytest.Config) -> None:
    """Refuse a benchmark file that could not hold measurements: pytest-benchmark would end green without writing it."""
    try:
        chosen = config.stash[SETTINGS] = settings.read(config)
    except SetupError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RECORDING].effort = chosen.strictness
    config.stash[ROUNDS] = chosen.effort.planned
    if chosen.judge_only and not config.stash[RECORDING].ledger.given:
        raise pytest.UsageError("--judge-only: expected evidence to judge; found none; give it with --evidence=FILE")
    if config.getoption("benchmark_json", None) and (missing := disabled(config)):
        reason = f"{missing.reason}; {missing.next_step}"
        raise pytest.UsageError(f"--benchmark-json: expected benchmarks to run; found: {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Say in a plan what would be compared, and how; the rest of the plan follows."""
    config = session.config
    if config.option.plan:
        workshop = Workshop(config.stash[SELECTION], Progress(config))
        given, chosen = config.stash[RECORDING].ledger.given, config.stash[SETTINGS]
        for line in planning.compared(session.items, workshop, given, config.stash[HISTORY], chosen):
            workshop.progress.say(f"  {line}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what cannot be timed in this run, and say so: pytest-benchmark would run it once, untimed."""
    if item.get_closest_marker("perf") and (missing := disabled(item.config)):
        if case := case_of(item):
            item.config.stash[RECORDING].leave_out(case, missing.reason, missing.next_step)
        pytest.skip(f"not measured: {missing.reason}; {missing.next_step}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what compares behind what measures, and leave out what measures where that is not wanted.

    Silence what pytest-benchmark says of a test that was skipped or failed; the report of the test says why.
    """
    for item in items:
        if item.get_closest_marker("perf"):
            item.add_marker(pytest.mark.filterwarnings(f"ignore:{UNUSED}"))
    items.sort(key=_compares)
    if config.stash[SETTINGS].judge_only:
        measures = [item for item in items if _measures(item)]
        items[:] = [item for item in items if item not in measures]
        config.hook.pytest_deselected(items=measures)


def _measures(item: pytest.Item) -> bool:
    # What was accepted and is gone has no case; holding it is a night's business all the same. The guides' claims are
    # no evidence that was given.
    night = {"tonight", "night"} & set(getattr(item, "fixturenames", ()))
    other = night or case_of(item) or item.get_closest_marker("published")
    return bool(other) and not isinstance(_compared(item), Comparison)


def _compares(item: pytest.Item) -> bool:
    return _compared(item) is not None


def _compared(item: pytest.Item) -> Comparison | Sweep | Tonight | None:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return next((value for value in parameters.values() if isinstance(value, (Comparison, Sweep, Tonight))), None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Record figures that no test came to ask for, before the evidence ends; list evidence that no test judged.

    Silence the same warning where Ctrl-C leaves the fixture to the end.
    """
    recording = session.config.stash[RECORDING]
    if (measuring := session.config.stash.get(CAMPAIGN, None)) and not recording.ledger.closed:
        measuring.keep()
    if recording.harness and not recording.is_worker:
        recording.remarks += unjudged(recording.ledger)
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
