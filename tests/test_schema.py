"""The schema takes what a run writes, and names the field of what it refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings

from reports.entry import Entry
from reports.schema import FIELDS, EvidenceError, validate
from tests import records


def line(record: Any = None) -> dict[str, Any]:
    return Entry("run", record or records.measurement(), "a.py::test").as_dict()


@pytest.mark.parametrize("record", records.every_kind(), ids=lambda record: type(record).__name__)
def test_takes_every_kind_of_record(record):
    validate(line(record))


def test_has_fields_for_exactly_the_kinds_there_are():
    assert {line(record)["kind"] for record in records.every_kind()} == set(FIELDS)


@settings(deadline=None)
@given(records.entries)
def test_a_line_reads_back_as_what_was_written(entry):
    text = json.dumps(entry.as_dict(), allow_nan=False)
    back = Entry.from_dict(json.loads(text))
    assert back == entry
    assert json.dumps(back.as_dict(), allow_nan=False) == text


@pytest.mark.parametrize("record", records.every_kind(), ids=lambda record: type(record).__name__)
def test_names_the_field_that_is_missing(record):
    whole = line(record)
    kind = whole["kind"]
    for field in FIELDS[kind]:
        if field.endswith("?"):
            continue
        part = {name: value for name, value in whole.items() if name != field}
        with pytest.raises(EvidenceError, match=rf"^{kind}\.{field}: expected .*, found nothing"):
            validate(part)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["value", "per_class", "details", "samples", "engine"])
def test_refuses_numbers_that_are_not_finite(field, value):
    whole = line()
    whole[field] = value if field == "value" else {**whole.get(field, {}), "road": value}
    path = "measurement.value" if field == "value" else rf"measurement\.{field}\.road"
    with pytest.raises(EvidenceError, match=f"^{path}: expected a finite number, found -?(nan|inf)"):
        validate(whole)


def test_an_infinite_figure_cannot_be_recorded():
    with pytest.raises(EvidenceError, match=r"^measurement\.value: expected a finite number, found inf"):
        line(records.measurement(math.inf))


def test_writes_the_psnr_of_an_identical_image_as_inf_and_reads_it_back():
    whole = line()
    assert whole["samples"]["0802.png"] == "inf"
    assert Entry.from_dict(whole).record.samples["0802.png"] == math.inf  # type: ignore[union-attr]


def test_allows_inf_in_samples_only():
    whole = line()
    whole["per_class"] = {"road": "inf"}
    with pytest.raises(EvidenceError, match=r"^measurement\.per_class: expected numbers by name"):
        validate(whole)


def test_refuses_a_newer_schema_and_says_what_to_do():
    with pytest.raises(EvidenceError) as refusal:
        validate({"kind": "hologram", "schema": 3})
    assert str(refusal.value) == "written by a newer signoff: schema 3, this one reads up to 1; update the checkout"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 0}, r"measurement\.schema: expected 1, found 0"),
        ({"schema": "1"}, r"measurement\.schema: expected a whole number, found str '1'"),
        ({"kind": "guess"}, r"kind: expected one of run, round, .*; found str 'guess'"),
        ({"value": "33.9"}, r"measurement\.value: expected a number, found str '33\.9'"),
        ({"value": True}, r"measurement\.value: expected a number, found bool True"),
        ({"source": "guessed"}, r"measurement\.source: expected one of measured, .*, found str 'guessed'"),
        ({"case": {"id": "x"}}, r"measurement\.case\.profile: expected a text, found nothing"),
        ({"case": "x"}, r"measurement\.case: expected a mapping with id, profile, .*, found str 'x'"),
        ({"engine": {"origin": "built"}}, r"measurement\.engine\.sha256: expected a text, found nothing"),
        ({"engine": {"sha256": "a", "origin": "found"}}, r"measurement\.engine\.origin: expected one of built"),
        ({"value": 10**400}, r"measurement\.value: expected a number, found int 1000"),
        ({"notes": [1]}, r"measurement\.notes: expected a list of texts, found list \[1\]"),
        ({"vlaue": 1}, r"measurement\.vlaue: expected no such field"),
        ({"details": {1: 2}}, r"measurement\.details: expected names that are texts, found int 1"),
        ({"details": {"a": [b"x"]}}, r"measurement\.details\.a\[0\]: expected plain JSON, found bytes"),
        ({"value": 34.0}, r"measurement\.id: expected \w+, found \w+; it was changed after it was written"),
    ],
)
def test_names_field_expected_and_found(changes, message):
    with pytest.raises(EvidenceError, match=f"^{message}"):
        validate({**line(), **changes})


@pytest.mark.parametrize("record", [None, [], "text", 3])
def test_refuses_what_is_no_record(record):
    with pytest.raises(EvidenceError, match=r"^expected a record, found"):
        validate(record)


def test_a_verdict_without_a_figure_cannot_have_passed():
    with pytest.raises(EvidenceError, match=r"^verdict\.observed: expected a number where the status is passed"):
        line(records.verdict(observed=None))
    line(records.verdict("refused", observed=None, required=None, margin=None))


def test_a_copy_keeps_its_id_and_the_same_figure_taken_again_is_another():
    first = records.measurement()
    assert Entry.from_dict(line(first)).record.id == first.id  # type: ignore[union-attr]
    assert records.measurement(taken=first.taken).id == first.id
    assert records.measurement(taken="another day").id != first.id
    assert records.measurement(33.9124, taken=first.taken).id != first.id


def test_takes_figures_of_numpy():
    numpy = pytest.importorskip("numpy")
    single = numpy.float32(0.5)
    assert line(records.measurement(single, samples={"a": single}, per_class={"b": single}))["value"] == 0.5


@pytest.mark.parametrize("samples", [[-1], [2**63], [1.5], [True]])
def test_refuses_times_that_no_clock_gives(samples):
    whole = {**line(records.timed_round()), "samples_ns": samples}
    with pytest.raises(EvidenceError, match=r"^round\.samples_ns: expected a list of whole numbers from 0"):
        validate(whole)
