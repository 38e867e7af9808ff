"""What reading a vendor's log has in common: lines without what a copy wraps around them, and numbers.

No pattern of the parsers has an unbounded part that may start anywhere: time grows in proportion to the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from fixtures.errors import SetupError

NUMBER = r"[0-9]{1,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?(?![0-9.])"
"""As the tools write one; never signed, for nothing they print can be negative."""

LARGEST = 1e15
"""No tool counts or times so much; a sum of what is below cannot overflow."""

_LINE = re.compile(r"[^\r\n]+")
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,16}[A-Za-z]")
_MARKS = " \t>|*-`\ufeff"


class LogError(SetupError):
    """A log that cannot be what it is said to be, or does not hold what is asked of it."""


def lines(text: str) -> Iterator[str]:
    """Yield the lines, progress bars taken apart, without indentation, list and quote marks, colours and blanks."""
    for found in _LINE.finditer(text):
        line = found.group()
        if "\x1b" in line:
            line = _COLOUR.sub("", line)
        yield line.lstrip(_MARKS).rstrip(" \t`")


def number(text: str) -> float | None:
    """Return the number that NUMBER found; None for one that is too large to be one."""
    value = float(text)
    return value if math.isfinite(value) else None


def plain(value: object) -> float | None:
    """Return a number of a JSON document; None for anything else, and for one below 0 or above LARGEST."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if 0 <= converted <= LARGEST else None


def whole(value: float) -> int | float:
    """Return a count as a whole number where it is one; the mean of several batch sizes need not be."""
    return int(value) if value < 1e15 and value == int(value) else value


def agree(one: float, other: float, within: float) -> bool:
    """Tell whether two figures are the same up to a fraction of the larger."""
    return abs(one - other) <= within * max(abs(one), abs(other))
