"""Evidence is read back whole, or refused with file, line and field; only a line cut off mid-write may be missing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.entry import Entry
from reports.evidence import read
from reports.schema import EvidenceError
from tests import records


def lines(path: Path, *entries: Entry) -> Path:
    path.write_text("".join(json.dumps(entry.as_dict()) + "\n" for entry in entries))
    return path


def whole_run() -> list[Entry]:
    return [Entry("run", record) for record in records.every_kind()]


def document(**extra_info: Any) -> dict[str, Any]:
    return {"machine_info": {}, "benchmarks": [{"name": "test_perf", "fullname": "a.py::test_perf", **extra_info}]}


@settings(deadline=None, max_examples=50)
@given(st.lists(records.entries, min_size=1, max_size=4))
def test_reads_back_what_was_written(tmp_path_factory, entries):
    path = lines(tmp_path_factory.mktemp("evidence") / "run.jsonl", *entries)
    evidence = read(path)
    assert list(evidence.entries) == entries
    assert evidence.lost == ()


def test_a_file_cut_at_any_byte_loses_its_last_line_only(tmp_path):
    path = lines(tmp_path / "run.jsonl", *whole_run())
    content = path.read_bytes()
    ends = [offset + 1 for offset, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(1, len(content) + 1):
        path.write_bytes(content[:cut])
        # A record whose closing brace arrived is whole even without its line end.
        whole = sum(cut >= end - 1 for end in ends)
        if not whole:
            with pytest.raises(EvidenceError, match="no whole line"):
                read(path)
            continue
        evidence = read(path)
        assert len(evidence.entries) == whole
        partial = cut not in ends and cut + 1 not in ends
        assert evidence.lost == (
            (f"run.jsonl, line {whole + 1}: cut off while it was written; that record is lost",) if partial else ()
        )


def test_a_file_cut_inside_a_character_loses_its_last_line_only(tmp_path):
    path = tmp_path / "run.jsonl"
    skip = json.dumps(Entry("run", records.skip("ünïcode")).as_dict(), ensure_ascii=False).encode()
    path.write_bytes(skip + b"\n" + skip[: skip.index("ü".encode()) + 1])
    evidence = read(path)
    assert (len(evidence.entries), len(evidence.lost)) == (1, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken}", r"run\.jsonl, line 2: expected a record, found no JSON"),
        ("[1]", r"run\.jsonl, line 2: expected a record, found list"),
        ("", r"run\.jsonl, line 2: expected a record, found no JSON"),
        ('{"kind": "skip", "schema": 1, "run": "r"}', r"run\.jsonl, line 2: skip\.backend: expected a text"),
        ('{"kind": "skip", "schema": 9, "run": "r"}', r"run\.jsonl, line 2: written by a newer signoff: schema 9"),
        (
            '{"kind": "end", "exitstatus": NaN}',
            r"run\.jsonl, line 2: end\.exitstatus: expected a finite number, found nan",
        ),
        (
            '{"kind": "end", "exitstatus": 1e999}',
            r"run\.jsonl, line 2: kind|line 2: end\.exitstatus: expected a finite",
        ),
        ("[" * 100_000, r"run\.jsonl, line 2: expected a record, found JSON that is nested too deep"),
        (
            '{"kind": "end", "counts": ' + "[" * 200 + "]" * 200 + "}",
            r"run\.jsonl, line 2: end\.counts\[0\]\[0\].*\.\.\.: expected at most 100 levels, found more",
        ),
    ],
)
def test_a_bad_line_is_an_error_that_names_file_line_and_field(tmp_path, line, message):
    path = lines(tmp_path / "run.jsonl", Entry("run", records.skip()))
    path.write_text(path.read_text() + line + "\n" + path.read_text())
    with pytest.raises(EvidenceError, match=message):
        read(path)


def test_a_last_line_that_is_whole_but_wrong_is_an_error(tmp_path):
    path = lines(tmp_path / "run.jsonl", *whole_run())
    path.write_text(path.read_text() + '{"kind": "skip"}')
    with pytest.raises(EvidenceError, match="line 8: skip"):
        read(path)


def test_a_measurement_that_was_edited_is_refused(tmp_path):
    path = lines(tmp_path / "run.jsonl", Entry("run", records.measurement(33.9123)))
    path.write_text(path.read_text().replace("33.9123", "34.9123"))
    with pytest.raises(EvidenceError, match=r"line 1: measurement\.id: .* it was changed after it was written"):
        read(path)


def test_reads_records_that_pytest_benchmark_carries(tmp_path):
    written = whole_run()
    run, timed, measured, judged, left_out, accepted, end = (entry.as_dict() for entry in written)
    carried = document(extra_info={"batch": 1, "signoff": {"records": [timed, measured]}})
    carried["extra_info"] = {"signoff": {"schema": 1, "records": [run, judged, left_out, accepted, end]}}
    path = tmp_path / "out.json"
    for indent in (None, 4):
        path.write_text(json.dumps(carried, indent=indent))
        evidence = read(path)
        assert [entry.kind for entry in evidence.entries] == [
            "run",
            "verdict",
            "skip",
            "acceptance",
            "end",
            "round",
            "measurement",
        ]
        assert all(entry in evidence.entries for entry in written)


def test_names_the_benchmark_whose_record_is_bad(tmp_path):
    path = tmp_path / "out.json"
    path.write_text(json.dumps(document(extra_info={"signoff": {"records": [{"kind": "skip", "schema": 1}]}})))
    with pytest.raises(EvidenceError, match=r"out\.json, benchmarks\[0\]\.extra_info\.signoff\.records\[0\]: skip\."):
        read(path)


@pytest.mark.parametrize("extra_info", [{}, {"extra_info": {}}, {"extra_info": {"signoff": {}}}])
def test_a_stock_pytest_benchmark_file_is_refused_with_the_reason(tmp_path, extra_info):
    path = tmp_path / "out.json"
    path.write_text(json.dumps(document(**extra_info)))
    with pytest.raises(EvidenceError, match=r"says nothing about engine, data and environment.*--benchmark-json"):
        read(path)


@pytest.mark.parametrize("extra_info", [[], {"signoff": []}, {"signoff": {"records": {}}}])
def test_a_namespace_of_another_shape_is_refused(tmp_path, extra_info):
    path = tmp_path / "out.json"
    path.write_text(json.dumps(document(extra_info=extra_info)))
    with pytest.raises(EvidenceError, match=r"benchmarks\[0\]\.extra_info\.signoff\.records: expected a"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b"hello", b"{}", b"[]", b"\x89PNG\r\n\x1a\n", b"\xff\xfe"])
def test_refuses_another_file(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"notes\.txt: expected .*found"):
        read(path)


@pytest.mark.parametrize(("name", "found"), [("missing.jsonl", "none"), (".", "a folder; name the files in it")])
def test_refuses_what_is_no_file(tmp_path, name, found):
    with pytest.raises(EvidenceError, match=f"expected a file of evidence, found {found}"):
        read(tmp_path / name)


def test_names_the_field_of_a_benchmark_that_is_not_finite(tmp_path):
    skip = Entry("run", records.skip()).as_dict()
    path = tmp_path / "out.json"
    path.write_text(json.dumps(document(extra_info={"signoff": {"records": [skip]}}, stats={"mean": float("nan")})))
    with pytest.raises(EvidenceError, match=r"benchmarks\[0\]\.stats\.mean: expected a finite number, found nan"):
        read(path)


def test_what_is_nested_too_deep_is_refused_even_where_a_line_may_be_cut_off(tmp_path):
    path = lines(tmp_path / "run.jsonl", Entry("run", records.skip()))
    path.write_text(path.read_text() + '{"kind": "skip", "backend": ' + "[" * 100_000)
    with pytest.raises(EvidenceError, match=r"line 2: expected a record, found JSON that is nested too deep"):
        read(path)


@pytest.mark.parametrize("benchmarks", [3, None, {"a": 1}, "text"])
def test_benchmarks_that_are_no_list_are_refused(tmp_path, benchmarks):
    path = tmp_path / "out.json"
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    with pytest.raises(EvidenceError, match=r"out\.json, benchmarks: expected a list"):
        read(path)


HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 10**400, -(2**63), 1e308, math.nan, math.inf),
    *("\ud800", "\x00", "\x1b[2J", "9" * 5000, [], {}, [[]], [10**400], {"a": 10**400}, {"a": {"a": math.nan}}),
)


def test_whatever_stands_in_a_field_is_read_or_refused_by_name(tmp_path):
    path = tmp_path / "run.jsonl"
    refused = 0
    for line in (entry.as_dict() for entry in whole_run()):
        nested = [name for name in ("case", "engine", "data") if isinstance(line.get(name), dict)]
        for place, name in [(line, name) for name in list(line)] + [
            (line[part], name) for part in nested for name in list(line[part])
        ]:
            kept = place[name]
            for value in HOSTILE:
                place[name] = value
                path.write_text(json.dumps(line) + "\n")
                try:
                    read(path)
                except EvidenceError as error:
                    refused += "run.jsonl" in str(error)
            place[name] = kept
    assert refused > 800
