"""The evidence of this run, written line by line as it is made, beside the evidence that was given."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from fixtures.case import Case
from reports import environment
from reports.entry import Entry, Record
from reports.evidence import Evidence
from reports.measurement import Measurement, now
from reports.run import End, Run
from reports.schema import EvidenceError, UnwritableError
from reports.skip import Skip
from reports.verdict import Verdict

Kind = TypeVar("Kind", bound=Record)


MAKE_ROOM = "make room, or name another file with --record"


class Ledger:
    """Appends each record to `path` at once; nothing is written, and no file made, before the first.

    `test` is the node id of the test that is running; lines carry it.
    """

    def __init__(self, path: Path, evidence: Iterable[Evidence] = (), run: str = "", argv: Sequence[str] = sys.argv):
        self.path = path
        self.evidence = tuple(evidence)
        self.run = run or uuid.uuid4().hex
        self.argv = tuple(argv)
        self.started = now()
        self.test = ""
        self.entries: list[Entry] = []
        """Every line of this run so far, header and end included."""
        self.closed = False
        self._file: int | None = None

    def add(self, record: Record, test: str | None = None) -> None:
        """Append one record; raise EvidenceError when it is not sound or cannot be written."""
        entry = Entry(self.run, record, self.test if test is None else test)
        line = _line(entry)
        if self._file is None:
            self._open()
        self._write(line)
        self.entries.append(entry)

    def close(self, exitstatus: int) -> None:
        """Write the end line, with the number of records by kind, unless there is nothing to end."""
        if self._file is not None and not self.closed:
            try:
                self.add(End(exitstatus, Counter(entry.kind for entry in self.entries)), test="")
            finally:
                os.close(self._file)
                self._file = None
        self.closed = True

    def find(self, case: Case, metric: str) -> list[Measurement]:
        """Return the measurements of a case in this run and in the given evidence, each once, the latest last."""
        everything = self.given + self.entries
        found = {m.id: m for m in _of(everything, Measurement) if m.case == case and m.metric == metric}
        return sorted(found.values(), key=lambda measurement: measurement.taken)

    @property
    def given(self) -> list[Entry]:
        """Return what was given as evidence of other runs."""
        return [entry for evidence in self.evidence for entry in evidence.entries]

    @property
    def measurements(self) -> list[Measurement]:
        """Return the figures of this run."""
        return _of(self.entries, Measurement)

    @property
    def verdicts(self) -> list[Verdict]:
        """Return the verdicts of this run."""
        return _of(self.entries, Verdict)

    @property
    def skips(self) -> list[Skip]:
        """Return what this run left out."""
        return _of(self.entries, Skip)

    def _open(self) -> None:
        if self.closed:
            raise EvidenceError(f"{self.path}: expected records before the end of the run, found one after it")
        header = Entry(self.run, Run(self.argv, environment.describe(), self.started))
        line = _line(header)
        check_writable(self.path)
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                line = b"\n" + line  # an earlier run was killed in the middle of a line; ours starts on its own
        except OSError as error:
            raise _unwritable(self.path, str(error.strerror), MAKE_ROOM) from error
        try:
            self._write(line)
        except EvidenceError:
            os.close(self._file)
            self._file = None
            if not size and self.path.is_file():  # a device can be named as well
                self.path.unlink(missing_ok=True)
            raise
        self.entries.append(header)

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise _unwritable(self.path, str(error.strerror), MAKE_ROOM) from error
        if written < len(line):
            os.ftruncate(self._file, size)  # half a line would spoil the next one
            raise _unwritable(self.path, f"{written} of {len(line)} bytes written, the disk is full", MAKE_ROOM)


def check_writable(path: Path, option: str = "--record") -> None:
    """Raise UnwritableError when a file cannot be written to `path`; said before anything is measured."""
    other = f"name another file with {option}"
    if path.is_dir():
        raise _unwritable(path, "a folder of that name", other)
    if not path.parent.is_dir():
        raise _unwritable(path, f"no folder {path.parent}", other)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise _unwritable(path, "permission denied", other)


def _unwritable(path: Path, found: str, next_step: str) -> UnwritableError:
    return UnwritableError(f"{path}: expected to write evidence; found: {found}; {next_step}")


def _line(entry: Entry) -> bytes:
    return (json.dumps(entry.as_dict(), ensure_ascii=True, allow_nan=False) + "\n").encode()


def _of(entries: Iterable[Entry], kind: type[Kind]) -> list[Kind]:
    return [entry.record for entry in entries if isinstance(entry.record, kind)]
