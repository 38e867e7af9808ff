"""The recording of one pytest run, from its first record to its exit status; kept in `config.stash`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import pytest

from fixtures import options
from fixtures.case import Case
from reports import benchmark_json, evidence
from reports.ledger import Ledger, check_writable
from reports.published import entries as published
from reports.round import Round
from reports.run import End, Run
from reports.schema import EvidenceError
from reports.skip import Skip

NOTHING_JUDGED = 6
"""Exit status of a run of harness tests that neither measured nor judged anything; a refusal is no judgement."""
PUBLISHED = "published"
"""Names the guides' figures as evidence."""
UNDECIDED_ONLY = 7
"""Exit status of a night that failed nowhere and left something undecided."""


@dataclass(eq=False)
class Recording:
    """One per process. A worker of xdist appends to a file of its own, which the controller merges into its own."""

    config: pytest.Config
    ledger: Ledger
    parts: list[Path] = field(default_factory=list)
    harness: bool = False
    """Whether a test of the harness was started."""
    problems: list[str] = field(default_factory=list)
    """What went wrong with the evidence itself; such a run is not green."""
    remarks: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    """What the user can mend -> the first test that met it."""
    unsaved: str = ""
    """Why the benchmark's file could not be written."""
    effort: str = "quick"
    """What the run is for: undecided and refused fail a `signoff`; a `nightly` run may be undecided."""

    @classmethod
    def start(cls, config: pytest.Config) -> Recording:
        """Read the given evidence and settle where this run's goes; raise pytest.UsageError before anything is run."""
        worker = getattr(config, "workerinput", {}).get("signoff")
        try:
            if worker:
                given = [_evidence(config, Path(path)) for path in worker["evidence"]]
                return cls(config, Ledger(Path(worker["path"]), given, run=worker["run"]))
            run = uuid4().hex
            record = options.paths(config, "--record")
            if record:
                check_writable(record[-1])
            path = (
                record[-1]
                if record
                else _folder(config) / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{run[:8]}.jsonl"
            )
            given = [_evidence(config, path) for path in options.paths(config, "--evidence")]
        except EvidenceError as error:
            raise pytest.UsageError(str(error)) from error
        _refuse_shared(config, path, given)
        argv = ("pytest", *map(str, config.invocation_params.args))
        return cls(config, Ledger(path, given, run, argv), remarks=[line for one in given for line in one.lost])

    @property
    def is_worker(self) -> bool:
        """Tell whether this is a worker of xdist, which leaves the end to its controller."""
        return hasattr(self.config, "workerinput")

    def make_folder(self) -> None:
        """Make the default folder for evidence; one that is named must exist, lest a typing error makes another."""
        if self.ledger.path.parent == _folder(self.config):
            with contextlib.suppress(OSError):  # said by the ledger when it writes
                self.ledger.path.parent.mkdir(parents=True, exist_ok=True)

    def hand_to(self, worker: str) -> dict[str, object]:
        """Return what a worker of xdist needs; the run's id in the name of its file keeps an earlier run's out."""
        path = self.ledger.path
        self.parts.append(path.with_name(f"{path.name}.{self.ledger.run[:8]}-{worker}"))
        given = [str(one.path) for one in self.ledger.evidence]
        return {"path": str(self.parts[-1]), "run": self.ledger.run, "evidence": given}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Learn that a test of the harness was run, in this process or in a worker."""
        self.harness |= getattr(report, "signoff_harness", False)

    def finish(self, session: pytest.Session) -> None:
        """Merge, decide the exit status and write the end line; a second call does nothing."""
        if self.ledger.closed:
            return
        for part in self.parts:
            if part.exists():
                with self._kept():
                    self._merge(part)
        self._hold_to_effort(session)
        if self.harness and not self._has_result():
            refused = len(self.ledger.verdicts)
            nothing = f"nothing was judged: {refused} refused" if refused else "nothing was measured or judged"
            _not_green(session)
            if session.exitstatus == NOTHING_JUDGED:
                self.remarks.append(f"{nothing}; exit status {NOTHING_JUDGED}")
        with self._kept():
            self.ledger.close(int(session.exitstatus))
        if self.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _hold_to_effort(self, session: pytest.Session) -> None:
        """Let a verdict that is none end a sign-off, and a night, with a status of its own."""
        # What the rules think of published figures is told, and no gate of this run.
        own = (verdict for verdict in self.ledger.verdicts if verdict.details.get("source") != "published")
        found = {verdict.status for verdict in own} & {"undecided", "refused"}
        if self.effort == "quick" or not found or session.exitstatus != pytest.ExitCode.OK:
            return
        if self.effort == "nightly" and found == {"undecided"}:
            session.exitstatus = UNDECIDED_ONLY
            self.remarks.append(f"undecided only; exit status {UNDECIDED_ONLY}")
        else:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self.remarks.append(
                f"{self.effort}: {' and '.join(sorted(found))} count{'s' * (len(found) == 1)} as failed; exit status 1"
            )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End a run whose workers are gone, and write the file that pytest-benchmark leaves out without benchmarks."""
        path = benchmark_json.requested(self.config)
        if self.is_worker:
            return
        self.finish(session)
        written = path is not None and path.exists() and not self.unsaved
        if path is None or written or self.config.option.collectonly:
            return
        reason = self.unsaved or "no benchmark ran and nothing was recorded"
        if self.ledger.entries and not self.unsaved:
            try:
                benchmark_json.write(self.config, path)
                return
            except OSError as error:
                reason = str(error.strerror)
        kept = f"; what was recorded is in {self.ledger.path}" if self.ledger.entries else ""
        _not_green(session)
        status = int(session.exitstatus)
        self.remarks.append(f"--benchmark-json {path} is not written: {reason}{kept}; exit status {status}")

    def _has_result(self) -> bool:
        """Tell whether anything was timed, measured for its own sake, or judged; a refused verdict is no result."""
        verdicts = self.ledger.verdicts
        spoken_for = {id_ for verdict in verdicts for id_ in verdict.measurements}
        return (
            any(verdict.status != "refused" for verdict in verdicts)
            or any(measurement.id not in spoken_for for measurement in self.ledger.measurements)
            or any(isinstance(entry.record, Round) for entry in self.ledger.entries)
        )

    def leave_out(self, case: Case, reason: str, next_step: str) -> None:
        """Record that a case is not run; raise EvidenceError where that cannot be written."""
        self.make_folder()
        self.ledger.add(Skip(case.backend, (case.id,), reason, next_step))

    def miss_benchmarks(self, reason: str) -> None:
        """Learn why the benchmark's file could not be written."""
        self.unsaved = reason

    def _merge(self, part: Path) -> None:
        found = evidence.read(part)
        for entry in found.entries:
            if not isinstance(entry.record, (Run, End)):
                self.ledger.add(entry.record, test=entry.test)
        self.remarks += found.lost
        part.unlink()

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except (EvidenceError, OSError) as error:
            self.problems.append(str(error))


def _evidence(config: pytest.Config, path: Path) -> evidence.Evidence:
    """Read a file, or the figures of the guides where the bare word `published` was given and no such file is there."""
    bare = {Path(), config.invocation_params.dir, config.rootpath}
    if path.name == PUBLISHED and path.parent in bare and not path.is_file():
        return evidence.Evidence(Path(PUBLISHED), published.entries())
    return evidence.read(path)


RECORDING = pytest.StashKey[Recording]()


def _not_green(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = NOTHING_JUDGED


def _folder(config: pytest.Config) -> Path:
    return config.rootpath / "reports" / "runs"


def _refuse_shared(config: pytest.Config, record: Path, given: list[evidence.Evidence]) -> None:
    """Refuse to write to a file that is read as evidence, or twice to the same."""
    document = benchmark_json.requested(config)
    if document and document.resolve() == record.resolve():
        raise pytest.UsageError(
            f"--benchmark-json {document}: expected another file than --record names; both write it"
        )
    written = {"--record": record, "--benchmark-json": document}
    for one in given:
        for option, path in written.items():
            if path and path.resolve() == one.path.resolve():
                raise pytest.UsageError(
                    f"{option} {path}: expected a file that --evidence does not name; it would be changed"
                )
