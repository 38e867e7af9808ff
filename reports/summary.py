"""What a run tells on the terminal: a line per verdict, a line per reason not to run, and where it all lies."""

from __future__ import annotations

import itertools
import shlex
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    if not (recording.harness or ledger.entries or recording.remarks or recording.problems):
        return
    terminal.write_sep("=", "sign-off")
    if not (ledger.entries or recording.remarks or recording.problems):
        terminal.write_line("nothing was recorded")
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
    for line in refusal_lines(ledger.verdicts):
        _write(terminal, line, COLOURS["refused"])


def verdict_lines(verdicts: Iterable[Verdict]) -> list[tuple[str, str]]:
    """Return (status, line) of each verdict, in the order given."""
    rows = [(_first(v.status), v.subject, v.case.profile, v.rule, v.reason) for v in verdicts]
    return [(row[0].strip(), line) for row, line in zip(rows, table(rows), strict=True)]


def measurement_lines(measurements: Iterable[Measurement], verdicts: Iterable[Verdict]) -> list[str]:
    """Return a line per case with the figures that no verdict speaks for."""
    judged = {id_ for verdict in verdicts for id_ in verdict.measurements}
    cases: dict[tuple[str, str, str], dict[tuple[str, str], dict[str, None]]] = {}
    for m in measurements:
        if m.id not in judged:
            alike = cases.setdefault((_first(m.source), m.case.id, m.case.profile), {})
            same = alike.setdefault((str(m.data.get("described", "")), _rounds(m)), {})
            same[f"{m.metric} {figure(m.value, m.unit)}{_of_card(m)}"] = None
    return table([(*key, ", ".join(_alike(alike))) for key, alike in cases.items()])


def _alike(alike: Mapping[tuple[str, str], Iterable[str]]) -> Iterator[str]:
    """Give figures, behind those of the same rounds what is said of these, and behind those of the same data which."""
    for on, group in itertools.groupby(alike, key=lambda each: each[0]):
        for _, rounds in group:
            yield ", ".join(alike[on, rounds]) + (f" ({rounds})" if rounds else "")
        if on:
            yield on


def _rounds(m: Measurement) -> str:
    """Return how many rounds a figure was made from, and what was wrong with how many of them."""
    told = ["measured again"] if "part" in m.details else []
    if count := m.details.get("rounds"):
        told.append(m.details.get("cut") or _count(count, "round"))
    if flagged := m.details.get("flagged"):
        flags = ", ".join(f"{name.replace('_', ' ')} ({many})" for name, many in flagged.items())
        told.append(f"flags: {flags}")
    return "; ".join(told)


def _of_card(m: Measurement) -> str:
    """Return what the figure of one device makes of its card, said as what it is."""
    if m.details.get("per") == "card":
        return f" of a card, {m.details['devices']} devices at once"
    if "per_card_extrapolated" in m.details:
        card = figure(m.details["per_card_extrapolated"], m.unit)
        return f" (a card: {card}, x{m.details['devices_per_card']}, extrapolated from one device)"
    return ""


def skip_lines(skips: Iterable[Skip]) -> list[str]:
    """Return a line per reason, with the backends and the number of cases that it left out."""
    backends: dict[tuple[str, str], dict[str, None]] = {}
    cases: dict[tuple[str, str], set[str]] = {}
    for skip in skips:
        why = skip.reason, skip.next_step
        backends.setdefault(why, {})[skip.backend] = None
        cases.setdefault(why, set()).update(skip.cases)
    return table(
        [
            (_first("not run"), ", ".join(backends[why]), _count(len(names), "case"), "; ".join(why))
            for why, names in cases.items()
        ]
    )


def refusal_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return one line that counts what was refused where other verdicts hold: the run is green without it."""
    refused = Counter(verdict.rule for verdict in verdicts if verdict.status == "refused")
    if not refused or refused.total() == len(verdicts):
        return []
    counts = ", ".join(_count(count, f"{rule} verdict") for rule, count in refused.items())
    return [f"{_first('refused')}  {counts}: those figures were not judged"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _first(status: str) -> str:
    return f"{status:<{len('undecided')}}"


def _place(ledger: Ledger, here: Path) -> Iterator[str]:
    if not ledger.entries:
        return
    counts = Counter(entry.kind for entry in ledger.entries if entry.kind not in ("run", "end"))
    path = str(ledger.path.relative_to(here) if ledger.path.is_relative_to(here) else ledger.path)
    yield f"evidence   {path} ({', '.join(_count(count, kind) for kind, count in counts.items())})"
    yield f"show it    python -m reports show {shlex.quote(path)}"


def _write(terminal: pytest.TerminalReporter, line: str, colour: str = "") -> None:
    """Write a line; where a person looks on, wrapped inside its last column, and elsewhere whole, for grep."""
    if terminal.isatty:
        width = shutil.get_terminal_size().columns
        column = line.rfind("  ") + 2
        indent = " " * (column if width - column >= 60 else 11)
        line = textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    terminal.write_line(line, **({colour: True} if colour else {}))
