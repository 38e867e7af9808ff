from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from fixtures.case import Case
from tests.records import cases

CASE = Case("sample", "edsr", 240, 1, "onnxruntime")


def test_the_id_leaves_out_profile_and_accuracy_size():
    assert CASE.id == "edsr-bs1-onnxruntime"
    assert replace(CASE, profile="official").id == CASE.id


def test_the_id_shows_another_size():
    assert replace(CASE, size=256, batch=4, backend="t4_trtexec", shows_size=True).id == "edsr-256-bs4-t4_trtexec"


def test_whether_the_size_is_shown_does_not_make_another_case():
    shown = replace(CASE, shows_size=True)
    assert shown == CASE
    assert hash(shown) == hash(CASE)
    assert shown.key == CASE.key


@pytest.mark.parametrize("field", ["profile", "model", "size", "batch", "backend"])
def test_every_other_field_makes_another_case(field):
    other = replace(CASE, **{field: 2 if field in ("size", "batch") else "other"})
    assert other != CASE
    assert other.key != CASE.key


def test_cases_sort_batches_as_numbers():
    assert sorted([replace(CASE, batch=16), replace(CASE, batch=4)])[0].batch == 4


@given(cases)
def test_survives_json(case):
    again = Case.from_dict(json.loads(json.dumps(case.as_dict())))
    assert again == case
    assert again.id == case.id


def test_json_without_a_field_is_refused():
    entry = CASE.as_dict()
    del entry["batch"]
    with pytest.raises(KeyError, match="batch"):
        Case.from_dict(entry)
