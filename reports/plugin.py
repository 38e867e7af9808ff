"""pytest plugin: records what the tests of the harness find, tells it on the terminal and sets the exit status."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any, NoReturn

import pytest

from fixtures import options
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.plugin import SELECTION, case_of
from fixtures.workshop import Workshop
from reports import benchmark_json, outcome, summary
from reports.history import FOLDER, History
from reports.ledger import Ledger
from reports.recording import RECORDING, Recording
from reports.schema import UnwritableError
from reports.verdict import Verdict

HISTORY = pytest.StashKey[History]()
"""What was accepted before, of accuracy and of speed."""


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config) -> Ledger:
    """Add to the evidence of this run, and find in it and in that of --evidence."""
    recording = pytestconfig.stash[RECORDING]
    recording.make_folder()
    return recording.ledger


@pytest.fixture
def judge(request: pytest.FixtureRequest, ledger: Ledger) -> Callable[[Verdict], None]:
    """Record a verdict and give the test its outcome; call it as `judge(verdict)`, last."""
    return lambda verdict: outcome.announce(request.node, ledger, verdict)


@pytest.fixture
def not_run(request: pytest.FixtureRequest, ledger: Ledger) -> Callable[..., None]:
    """Skip the test as not run here; call it as `not_run(backend, reason, next_step, named=...)`.

    `named` tells whether the user asked for the backend by name, which makes it a failure.
    """

    def leave_out(backend: str, reason: str, next_step: str, *, named: bool) -> None:
        outcome.leave_out(request.node, ledger, backend, reason, next_step, named)

    return leave_out


@pytest.fixture
def runnable(workshop: Workshop, pytestconfig: pytest.Config, not_run: Callable[..., None]) -> Callable[[Case], None]:
    """Leave the test out, with the reason and the next step, when its case cannot run on this host."""

    def check(case: Case) -> None:
        if missing := workshop.missing(case):
            named = pytestconfig.stash[SELECTION].requires(case.backend)
            not_run(case.backend, missing.reason, missing.next_step, named=named)

    return check


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register --record, --evidence and --history."""
    options.add(
        parser,
        "--record",
        metavar="FILE",
        help="append the evidence of this run to FILE, as JSON Lines; default: a new file below reports/runs/",
    )
    options.add(
        parser,
        "--evidence",
        metavar="FILE",
        many=True,
        help="read evidence of other runs: what --record or --benchmark-json wrote; published: the guides' figures; "
        "may be repeated",
    )
    options.add(
        parser, "--history", metavar="DIR", help="what was accepted, to compare tonight with; default: reports/accepted"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start recording and read the history; a file that cannot be read or written stops the run here."""
    recording = config.stash[RECORDING] = Recording.start(config)
    folders = options.paths(config, "--history")
    if folders and not folders[-1].is_dir():
        raise pytest.UsageError(
            f"--history {folders[-1]}: expected a folder of accepted evidence; found none; make it, or check the path"
        )
    config.stash[HISTORY] = History(folders[-1] if folders else FOLDER)
    recording.remarks += config.stash[HISTORY].problems
    config.pluginmanager.register(recording, "signoff-recording")
    if recording.is_worker:
        return
    path = benchmark_json.requested(config)
    if path and not config.option.collectonly:
        benchmark_json.remove_stale(path)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)
        config.add_cleanup(_leave_sigterm)


def _leave_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(*_: object) -> NoReturn:
    """End the run as Ctrl-C does: with the end of the evidence and the summary."""
    raise KeyboardInterrupt("SIGTERM")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each worker of xdist a file of its own to append to."""
    node.workerinput["signoff"] = node.config.stash[RECORDING].hand_to(node.gateway.id)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tell the recording which test is running."""
    recording = item.config.stash[RECORDING]
    recording.harness |= outcome.of_harness(item)
    recording.ledger.test = item.nodeid
    try:
        return (yield)
    finally:
        recording.ledger.test = ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Keep what is not JSON out of the benchmark's file."""
    try:
        return (yield)
    finally:
        benchmark_json.refuse_infinite(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the user can mend without a traceback, and let the report say what pytest does not know."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, SetupError) and (case := case_of(item)):
        outcome.show_once(item, item.config.stash[RECORDING], case, report, error)
    elif isinstance(error, UnwritableError) and outcome.of_harness(item):
        report.longrepr = str(error)
    outcome.mark(item, report)
    return report


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> Any:
    """Show undecided and refused as outcomes of their own."""
    return outcome.status(report)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Carry the evidence in pytest-benchmark's file."""
    benchmark_json.carry(output_json, config.stash[RECORDING].ledger.entries)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """End the evidence before pytest-benchmark writes its file; what has workers ends once they are gone."""
    recording = session.config.stash[RECORDING]
    if not recording.is_worker and not recording.parts:
        recording.finish(session)
    if path := benchmark_json.requested(session.config):
        benchmark_json.catch_failure(session.config, path, recording.miss_benchmarks)
    with warnings.catch_warnings():
        # pytest-benchmark warns where no benchmark ran that it saves nothing; the file is then written or missed here.
        warnings.filterwarnings("ignore", message="Not saving anything")
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was judged, what was not run and where the evidence lies."""
    summary.show(terminalreporter, config.stash[RECORDING])
