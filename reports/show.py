"""Show evidence on a terminal or in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.padding import Padding
from rich.table import Table

from reports.acceptance import Acceptance
from reports.entry import KINDS, Entry, Record
from reports.evidence import Evidence
from reports.figure import figure
from reports.figure import table as aligned
from reports.measurement import Measurement
from reports.round import Round
from reports.round_lines import round_lines
from reports.run import End, Run
from reports.skip import Skip
from reports.summary import COLOURS, skip_lines
from reports.verdict import Verdict

PIPED = 100_000
"""Columns where nobody looks on: rows stay whole, for grep."""


def show(evidence: Evidence, console: Console) -> None:
    """Write the runs of one file, each with what it judged, measured and left out."""
    console.print(f"[bold]{escape(str(evidence.path))}[/bold]")
    for sentence in evidence.lost:
        console.print(f"[yellow]lost: {escape(sentence)}[/yellow]")
    runs = Counter(entry.run for entry in evidence.entries)
    for run in runs:
        _show_run([entry for entry in evidence.entries if entry.run == run], console)


def width(console: Console) -> int:
    """Return the columns to fill: those of the terminal, or enough for every row to stay whole."""
    return console.width if console.is_terminal else PIPED


def _show_run(entries: list[Entry], console: Console) -> None:
    records = [entry.record for entry in entries]
    _show_header(entries[0].run, records, console)
    verdicts = [record for record in records if isinstance(record, Verdict)]
    measurements = [record for record in records if isinstance(record, Measurement)]
    skips = [record for record in records if isinstance(record, Skip)]
    if verdicts:
        _show_verdicts(verdicts, console)
        _show_gates(verdicts, console)
    if measurements:
        _show_measurements(measurements, console)
    lines = round_lines(record for record in records if isinstance(record, Round))
    lines += [_acceptance(record) for record in records if isinstance(record, Acceptance)]
    for line in [*lines, *skip_lines(skips)]:
        console.print(escape(line))


def _show_header(run: str, records: list[Record], console: Console) -> None:
    header = next((record for record in records if isinstance(record, Run)), None)
    end = next((record for record in records if isinstance(record, End)), None)
    ended = "no end: cut off while it ran"
    if end:
        ended = f"ended {_when(end.finished)} with exit status {end.exitstatus}{_part(end, records)}"
    if header is None:
        console.print(escape(f"run {run[:8]}: its first line is missing; {ended}"))
        return
    console.print(escape(f"run {run[:8]}: started {_when(header.started)}, {ended}"))
    console.print(escape(f"  command  {' '.join(header.argv)}"))
    tiers = (header.environment.get(tier) for tier in ("stable", "recorded", "harness"))
    stable, recorded, harness = (tier if isinstance(tier, Mapping) else {} for tier in tiers)
    known = (_known(stable, "cpu"), f"{_known(stable, 'cores')} cores", _known(stable, "os"), _known(stable, "python"))
    console.print(escape(f"  host     {_known(recorded, 'host')}: {', '.join(known)}"))
    clean = {"True": "clean", "False": "with changes that are not committed"}
    state = clean.get(str(harness.get("clean")), "unknown whether clean")
    revision = f"{_known(harness, 'revision')} ({state})"
    console.print(escape(f"  signoff  {_known(harness, 'version')}, revision {revision}"))


def _part(end: End, records: list[Record]) -> str:
    """Return how much of a run is here, where it is not all: an accepted campaign is a part of its run."""
    written = sum(end.counts.values())
    here = sum(type(record) is KINDS.get(kind) for kind in end.counts for record in records)
    return f"; {here} of its {written} lines are here" if here < written else ""


def _acceptance(record: Acceptance) -> str:
    release = f" for release {record.release}" if record.release else ""
    by = f"by {record.by} on {_when(record.accepted)}"
    return f"accepted   {record.case.id} ({record.case.profile}){release} {by}: {record.why}"


def _show_verdicts(verdicts: list[Verdict], console: Console) -> None:
    """Write a row per verdict; its reason is the last cell in a pipe, and below the row where it has to be wrapped."""
    below = console.is_terminal
    rows: list[tuple[str, ...]] = [("verdict", "case", "profile", "gate", "observed", "required", "margin", "reason")]
    for v in verdicts:
        numbers = ("" if number is None else figure(number, v.unit) for number in (v.observed, v.required, v.margin))
        rows.append((v.status, v.subject, v.case.profile, v.rule, *numbers, v.reason))
    head, *lines = aligned([row[:-1] for row in rows] if below else rows)
    console.print(f"\n[bold]{head}[/bold]")
    for v, line in zip(verdicts, lines, strict=True):
        console.print(escape(line).replace(v.status, f"[{COLOURS[v.status]}]{v.status}[/]", 1))
        if below:
            console.print(Padding(escape(v.reason), (0, 0, 0, 11)))


def _show_gates(verdicts: list[Verdict], console: Console) -> None:
    """Write each distinct sentence that had to hold, and how far outputs lie from those of fp32."""
    models: dict[tuple[str, str], dict[str, None]] = {}
    for v in verdicts:
        models.setdefault((v.rule, v.gate), {})[v.case.model] = None
    lines = [f"must hold  {rule} of {', '.join(names)}: {gate}" for (rule, gate), names in models.items()]
    for v in verdicts:
        known = {name: v.details[name] for name in ("cosine", "worst_image") if name in v.details}
        if known:
            cosine = [f"cosine to fp32 {known['cosine']:.7f}"] if isinstance(known.get("cosine"), float) else []
            worst = [f"worst image {known['worst_image']}"] if "worst_image" in known else []
            lines.append(f"outputs    {v.case.id} ({v.case.profile}): {', '.join([*cosine, *worst])}")
    console.print()
    for line in lines:
        console.print(escape(line))


def _show_measurements(measurements: list[Measurement], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("figure", "case", "profile", "metric", "value", "engine"):
        table.add_column(column, no_wrap=True)
    table.add_column("data", overflow="fold")
    for m in measurements:
        facts = (m.source, m.case.id, m.case.profile, _metric(m), figure(m.value, m.unit), _engine(m), _data(m))
        table.add_row(*map(escape, facts))
    console.print()
    console.print(table)
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for m in measurements:
        for note in m.notes:
            notes.setdefault((m.case.id, note), {})[_metric(m)] = None
    for (case, note), metrics in notes.items():
        console.print(escape(f"note       {case} {', '.join(metrics)}: {note}"))
    console.print()


def _metric(m: Measurement) -> str:
    """Return the metric, and beside whom it was taken where two took turns: alone it is another figure."""
    pair = m.details.get("pair")
    other = pair.get("other") if isinstance(pair, Mapping) else None
    return f"{m.metric} in turn with {other}" if other else m.metric


def _engine(m: Measurement) -> str:
    return f"{m.engine['sha256'][:8]} {m.engine['origin']}" if m.engine else ""


def _data(m: Measurement) -> str:
    images = f" {m.data['images']}/{m.data['of']}" if {"images", "of"} <= set(m.data) else ""
    return f"{m.data['dataset']}{images} {m.data['digest'][:8]}" if m.data else ""


def escape(text: str) -> str:
    """Return text that cannot steer the terminal: evidence comes from other hosts."""
    return escape_markup("".join(letter if letter.isprintable() else "?" for letter in text))


def _known(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return "unknown" if value is None else str(value)


def _when(text: str) -> str:
    return text[:19].replace("T", " ") + " UTC"
