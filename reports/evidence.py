"""Read evidence: JSON Lines, or pytest-benchmark's JSON that carries the same records under `extra_info.signoff`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.entry import Entry
from reports.schema import EvidenceError, check_plain


@dataclass(frozen=True)
class Evidence:
    """What one file holds. `lost` has a sentence for each line that was cut off while it was written."""

    path: Path
    entries: tuple[Entry, ...]
    lost: tuple[str, ...] = ()


def read(path: Path) -> Evidence:
    """Read one file of evidence.

    Raises EvidenceError that names the file, the line and the field for anything but a line cut off mid-write.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise EvidenceError(f"{path}: expected a file of evidence, found a folder; name the files in it") from error
    except OSError as error:
        raise EvidenceError(
            f"{path}: expected a file of evidence, found none ({error.strerror}); check the path"
        ) from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        # A cut may fall inside a character of the last line; anywhere else the file is not ours.
        if b"\n" in content[error.start :]:
            raise EvidenceError(f"{path}: expected UTF-8 text, found other bytes at offset {error.start}") from None
        text = content[: error.start].decode("utf-8")
    first, newline, _ = text.partition("\n")
    head = _parsed(first)
    if isinstance(head, dict) and "kind" in head:
        return _read_lines(path, text)
    document = _parsed(text)
    if isinstance(document, dict) and "benchmarks" in document:
        return _read_document(path, document)
    if isinstance(document, _Unreadable) and not newline:
        raise EvidenceError(
            f"{path}: expected evidence, found no whole line; was the run cut off before its first record?"
        )
    found = document.reason if isinstance(document, _Unreadable) else "another kind of JSON"
    raise EvidenceError(
        f"{path}: expected evidence (JSON Lines, or pytest-benchmark's JSON), found {found}. "
        "Files come from `pytest --record FILE` or `pytest --benchmark-json FILE`"
    )


def _read_lines(path: Path, text: str) -> Evidence:
    entries: list[Entry] = []
    lost: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line and number == len(lines):
            break
        found = _parsed(line)
        if isinstance(found, _Unreadable):
            # A killed run leaves half a line at the end of the file, or before the header of the next run.
            follower = _parsed(lines[number]) if number < len(lines) else {"kind": "run"}
            if found.whole or not (isinstance(follower, dict) and follower.get("kind") == "run"):
                raise EvidenceError(f"{path}, line {number}: expected a record, found {found.reason}")
            lost.append(f"{path.name}, line {number}: cut off while it was written; that record is lost")
            continue
        entries.append(_entry(found, f"{path}, line {number}"))
    return Evidence(path, tuple(entries), tuple(lost))


def _read_document(path: Path, document: dict[str, Any]) -> Evidence:
    records = list(_carried(document, "extra_info.signoff.records", path))
    benchmarks = document["benchmarks"]
    if not isinstance(benchmarks, list):
        raise EvidenceError(f"{path}, benchmarks: expected a list, found {type(benchmarks).__name__}")
    for place, benchmark in enumerate(benchmarks):
        records += _carried(benchmark, f"benchmarks[{place}].extra_info.signoff.records", path)
    if not records:
        raise EvidenceError(
            f"{path}: expected pytest-benchmark's JSON with records under extra_info.signoff, found none: a file that "
            "was not written by this harness says nothing about engine, data and environment. "
            "Make one with `pytest -m perf --benchmark-json FILE`"
        )
    found = tuple(_entry(record, f"{path}, {place}") for place, record in records)
    for name, part in document.items():
        _checked(part, name, path)
    return Evidence(path, found)


def _checked(part: Any, name: str, path: Path) -> None:
    try:
        check_plain(part, name)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from error


def _carried(part: Any, place: str, path: Path) -> Iterator[tuple[str, Any]]:
    for name in ("extra_info", "signoff", "records"):
        if not isinstance(part, dict):
            raise EvidenceError(f"{path}, {place}: expected a mapping, found {type(part).__name__}")
        if name not in part:
            return
        part = part[name]
    if not isinstance(part, list):
        raise EvidenceError(f"{path}, {place}: expected a list, found {type(part).__name__}")
    for number, record in enumerate(part):
        yield f"{place}[{number}]", record


def _entry(record: Any, place: str) -> Entry:
    try:
        return Entry.from_dict(record)
    except EvidenceError as error:
        raise EvidenceError(f"{place}: {error}") from error


@dataclass(frozen=True)
class _Unreadable:
    reason: str
    whole: bool = False
    """Whether this is known to be no half of a line."""


def _parsed(text: str) -> Any:
    """Return the value, or why there is none: what is cut off is not an error everywhere."""
    try:
        return json.loads(text)  # NaN and infinity as well: what checks them names the field
    except ValueError as error:
        return _Unreadable(f"no JSON ({error})")
    except RecursionError:
        return _Unreadable("JSON that is nested too deep", whole=True)
