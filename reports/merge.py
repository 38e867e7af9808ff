"""`python -m reports merge`: the evidence of several files in one, every line once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from fixtures.publish import publish
from reports.entry import Entry
from reports.evidence import Evidence
from reports.measurement import Measurement
from reports.run import End, Run
from reports.schema import EvidenceError, UnwritableError


def union(evidence: Iterable[Evidence]) -> list[Entry]:
    """Return every line of all once, run by run in the order read; a measurement is the same wherever its id is.

    Each run begins with its first line and ends with its last. Raises EvidenceError where two files tell a run's first
    or last line differently: one was changed.
    """
    runs: dict[str, dict[str, Entry]] = {}
    measured: set[str] = set()
    for one in evidence:
        for entry in one.entries:
            lines = runs.setdefault(entry.run, {})
            if isinstance(entry.record, Measurement):
                if entry.record.id in measured:
                    continue
                measured.add(entry.record.id)
            lines.setdefault(canonical(entry), entry)
            _once(entry, lines.values(), one.path)
    return [entry for lines in runs.values() for entry in sorted(lines.values(), key=_place)]


def merge(evidence: Iterable[Evidence], target: Path) -> list[Entry]:
    """Write the union as JSON Lines to a new file, whole or not at all, and return it; see `union`.

    Raises UnwritableError where something lies at `target` already, or it cannot be written.
    """
    entries = union(evidence)
    if target.exists() or target.is_symlink():
        raise UnwritableError(
            f"{target}: expected a new file to write to; found one; name another: what is there may be evidence"
        )
    write(entries, target)
    return entries


def write(entries: Iterable[Entry], target: Path) -> None:
    """Publish lines as a file, whole or not at all; raise UnwritableError."""
    text = "".join(json.dumps(entry.as_dict(), allow_nan=False) + "\n" for entry in entries)
    try:
        publish(target, text.encode())
    except OSError as error:
        raise UnwritableError(
            f"{target}: expected to write evidence; found: {error.strerror}; make room or rights, or name another place"
        ) from error


def canonical(entry: Entry) -> str:
    """Return what makes two lines the same one: their whole content."""
    return json.dumps(entry.as_dict(), sort_keys=True, separators=(",", ":"))


def _once(entry: Entry, lines: Iterable[Entry], path: Path) -> None:
    kind = type(entry.record)
    if kind in (Run, End) and sum(type(line.record) is kind for line in lines) > 1:
        which = "first" if kind is Run else "last"
        raise EvidenceError(
            f"{path}: expected one {which} line of run {entry.run[:8]}, found another than was read before; one was "
            "changed after it was written: leave out the file that is not as its run wrote it"
        )


def _place(entry: Entry) -> int:
    return {Run: 0, End: 2}.get(type(entry.record), 1)
