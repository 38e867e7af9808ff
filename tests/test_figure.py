"""Figures are written as the guides print them, with one digit more."""

from __future__ import annotations

import pytest

from reports.figure import figure, table


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (34.61234, "dB", "34.612 dB"),
        (54.627, "%", "54.627 %"),
        (1234567.8, "images/s", "1234568 images/s"),
        (-0.0012, "", "-0.0012"),
        (0.0, "", "0"),
        (float("inf"), "dB", "inf dB"),
    ],
)
def test_a_figure_has_five_digits_and_its_unit(value, unit, text):
    assert figure(value, unit) == text


def test_columns_are_aligned_and_lines_end_with_their_text():
    assert table([("passed", "a", "x"), ("undecided", "bcd", "")]) == ["passed     a    x", "undecided  bcd"]


def test_no_rows_are_no_lines():
    assert table([]) == []
