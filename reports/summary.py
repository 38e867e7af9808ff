"""What a run tells on the terminal: a line per verdict, a line per backend that was not run, and where it all lies."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from reports.figure import figure, table
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.recording import Recording
from reports.skip import Skip
from reports.verdict import Verdict

COLOURS = {"passed": "green", "failed": "red", "undecided": "yellow", "refused": "yellow"}


def show(terminal: pytest.TerminalReporter, recording: Recording) -> None:
    """Write the section of the harness; nothing when no test of the harness ran."""
    ledger = recording.ledger
    if not (recording.harness_tests or ledger.entries or recording.remarks or recording.problems):
        return
    terminal.write_sep("=", "sign-off")
    for status, line in verdict_lines(ledger.verdicts):
        _write(terminal, line, COLOURS[status])
    for line in [
        *measurement_lines(ledger.measurements, ledger.verdicts),
        *skip_lines(ledger.skips),
        *recording.remarks,
    ]:
        _write(terminal, line)
    for line in recording.problems:
        _write(terminal, line, "red")
    for line in _place(ledger, terminal.config.invocation_params.dir):
        terminal.write_line(line)


def verdict_lines(verdicts: Iterable[Verdict]) -> list[tuple[str, str]]:
    """Return (status, line) of each verdict, in the order given."""
    rows = [(_first(v.status), v.case.id, v.case.profile, v.rule, v.reason) for v in verdicts]
    return [(row[0].strip(), line) for row, line in zip(rows, table(rows), strict=True)]


def measurement_lines(measurements: Iterable[Measurement], verdicts: Iterable[Verdict]) -> list[str]:
    """Return a line per case with the figures that no verdict speaks for."""
    judged = {id_ for verdict in verdicts for id_ in verdict.measurements}
    figures: dict[tuple[str, str, str], list[str]] = {}
    for m in measurements:
        if m.id not in judged:
            figures.setdefault((_first(m.source), m.case.id, m.case.profile), []).append(
                f"{m.metric} {figure(m.value, m.unit)}"
            )
    return table([(*key, ", ".join(texts)) for key, texts in figures.items()])


def skip_lines(skips: Iterable[Skip]) -> list[str]:
    """Return a line per backend and reason, with the number of its cases."""
    cases: dict[tuple[str, str, str], set[str]] = {}
    for skip in skips:
        cases.setdefault((skip.backend, skip.reason, skip.next_step), set()).update(skip.cases)
    return table(
        [
            (_first("not run"), backend, f"{len(names)} case" + "s" * (len(names) != 1), f"{reason}; {next_step}")
            for (backend, reason, next_step), names in cases.items()
        ]
    )


def _first(status: str) -> str:
    return f"{status:<{len('undecided')}}"


def _place(ledger: Ledger, here: Path) -> Iterator[str]:
    if not ledger.entries:
        return
    counts = Counter(entry.kind for entry in ledger.entries if entry.kind not in ("run", "end"))
    path = str(ledger.path.relative_to(here) if ledger.path.is_relative_to(here) else ledger.path)
    yield f"evidence   {path} ({', '.join(f'{count} {kind}' + 's' * (count != 1) for kind, count in counts.items())})"
    yield f"show it    python -m reports show {shlex.quote(path)}"


def _write(terminal: pytest.TerminalReporter, line: str, colour: str = "") -> None:
    """Write a line; where a person looks on, wrapped inside its last column, and elsewhere whole, for grep."""
    if terminal.isatty:
        width = shutil.get_terminal_size().columns
        column = line.rfind("  ") + 2
        indent = " " * (column if width - column >= 60 else 11)
        line = textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    terminal.write_line(line, **({colour: True} if colour else {}))
