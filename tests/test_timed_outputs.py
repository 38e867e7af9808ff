from __future__ import annotations

import math
from typing import Any

import pytest

from reports import timed_outputs
from tests import records

CHECKED = {"tool": {"tool": "trtexec"}, "checked_calls": 1, "largest_relative_error": 2e-4}


def rounds(*details: dict[str, Any]) -> list:
    return [records.timed_round(details=each) for each in details]


def test_the_largest_error_of_all_rounds_counts():
    assert timed_outputs.largest_error(rounds(CHECKED, {**CHECKED, "largest_relative_error": 0})) == 2e-4


@pytest.mark.parametrize(
    "wrong",
    [
        {"checked_calls": 0},
        {"largest_relative_error": 2e-3},
        {"largest_relative_error": math.nan},
        {"largest_relative_error": None},
        {"tool": {"tool": "ais_bench 0.0.2"}},
        {"tool": "trtexec"},
        {"tool": None},
    ],
)
def test_one_round_that_shows_nothing_is_enough_for_none(wrong):
    assert timed_outputs.largest_error(rounds(CHECKED, {**CHECKED, **wrong})) is None


def test_no_rounds_show_nothing():
    assert timed_outputs.largest_error([]) is None
