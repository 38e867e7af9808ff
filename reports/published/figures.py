"""The published figures: each as it is printed, with where it stands, what it is of and how its authors came by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

GUIDES = ("edsr", "enet")
"""The two guides whose claims are judged: files of this folder."""
TABLES = (*GUIDES, "others")
UNKNOWN = "unknown"


def _images_per_second(batch: Decimal, milliseconds: Decimal) -> Decimal:
    return 1000 * batch / milliseconds


FORMULAS: Mapping[str, tuple[Callable[..., Decimal], str]] = {
    "four devices": (lambda batch, rate: 4 * rate, ROUND_HALF_EVEN),
    "images per second": (_images_per_second, ROUND_HALF_EVEN),
    "ratio": (lambda batch, over, under: over / under, ROUND_HALF_EVEN),
    "largest": (lambda batch, *values: max(values), ROUND_HALF_EVEN),
    "cut off": (lambda batch, value: value, ROUND_DOWN),
}
"""How a printed figure follows from others: batch and their values -> its value, and how the authors rounded it."""


@dataclass(frozen=True)
class Published:
    """One printed figure. `printed` is its number as the text has it, `batch` None where it is of no single batch."""

    guide: str
    """The file of this folder it stands in."""
    column: str
    model: str
    input: str
    """Sides of the input in pixels, as they are told; empty where they are not."""
    batch: int | None
    hardware: str
    per: str
    """device, card, chip, model or ratio"""
    quantity: str
    unit: str
    printed: str
    path: str
    """File or folder in the repository Ascend/ModelZoo-PyTorch."""
    revision: str
    section: str
    dated: str
    """When it was measured or published, as near as the source tells; ISO 8601."""
    tool: str = UNKNOWN
    mode: str = UNKNOWN
    """whole data set, pure inference or unknown"""
    estimator: str = UNKNOWN
    tuning: str = UNKNOWN
    """none, AOE or unknown"""
    extrapolated: bool = False
    """Whether it is of one device, times the devices of a card."""
    note: str = ""
    best: bool = False
    """Whether it stands in a row of best batches."""
    formula: str = ""
    of: tuple[Published, ...] = field(default=(), repr=False)
    """The figures that `formula` is applied to."""

    @property
    def id(self) -> str:
        """Return a name of its own, for instance `edsr/7.1/edsr-256-bs1/310`."""
        at = "best" if self.best else f"bs{self.batch}" if self.batch else ""
        revision = f"@{self.revision[:9]}" if self.guide not in GUIDES else ""
        subject = "-".join(part for part in (self.model, self.input, at) if part)
        return f"{self.guide}/{self.section}{revision}/{subject}/{self.column}"

    @property
    def value(self) -> float:
        """Return the printed number."""
        return float(self.printed)

    @property
    def size(self) -> int | None:
        """Return the side of a square input; None where it is not told or not square."""
        return int(self.input) if self.input.isdecimal() else None

    def derived(self) -> str:
        """Return what its formula gives, rounded to the digits that are printed; ValueError without a formula."""
        if not self.formula:
            raise ValueError(f"{self.id}: expected a figure that follows from others, found one that was measured")
        compute, rounding = FORMULAS[self.formula]
        exact = compute(Decimal(self.batch or 0), *(Decimal(part.printed) for part in self.of))
        return str(exact.quantize(Decimal(self.printed), rounding=rounding))

    @property
    def holds(self) -> bool:
        """Tell whether it follows from what it is made of, to the last digit printed.

        A ratio was computed before its two figures were rounded, so it may be that of any two that round to them.
        """
        if self.formula != "ratio":
            return self.derived() == self.printed
        over, under = (Decimal(part.printed) for part in self.of)
        lowest = (over - _half(over)) / (under + _half(under))
        highest = (over + _half(over)) / (under - _half(under))
        printed = Decimal(self.printed)
        return lowest <= printed + _half(printed) and printed - _half(printed) <= highest


def _half(printed: Decimal) -> Decimal:
    """Return half a unit of the last digit."""
    return Decimal(5).scaleb(int(printed.as_tuple().exponent) - 1)


@lru_cache(maxsize=1)
def figures() -> tuple[Published, ...]:
    """Return every figure of every file; raise KeyError or TypeError for a file that is not as this module reads it."""
    return tuple(figure for guide in TABLES for figure in _read(guide))


def find(guide: str, batch: int | None, column: str, *, best: bool = False) -> Published:
    """Return the one figure of a guide in a column at a batch, or of its row of best batches; LookupError otherwise."""
    found = [f for f in figures() if (f.guide, f.column, f.best) == (guide, column, best) and f.batch == batch]
    if len(found) != 1:
        raise LookupError(f"{guide}, batch {batch}: expected one figure in column {column!r}, found {len(found)}")
    return found[0]


def _read(guide: str) -> list[Published]:
    document = json.loads(Path(__file__).with_name(f"{guide}.json").read_text(encoding="utf-8"))
    source = {name: document["source"][name] for name in ("path", "revision", "dated")}
    found: list[Published] = []
    for group in document["groups"]:
        common = {**source, **group.get("common", {}), "guide": guide, "section": group["section"]}
        table: list[Published] = []
        for row in group["rows"]:
            table += _row(row, common, group["columns"], table)
        found += table
    return found


def _row(
    row: Mapping[str, Any], common: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]], above: list[Published]
) -> list[Published]:
    """Return the figures of one row; those above it are what a row of best batches is taken from."""
    best = row["batch"] == "best"
    own = {name: value for name, value in row.items() if name not in columns}
    made: dict[str, Published] = {}
    for column, cell in columns.items():
        if column not in row:
            continue
        facts = {**common, **cell, **own, "batch": None if best else row["batch"]}
        if "of" in cell:
            facts["of"] = tuple(made[name] for name in cell["of"])
        elif best:
            facts |= {"formula": "largest", "of": tuple(each for each in above if each.column == column)}
        made[column] = Published(column=column, printed=row[column], best=best, **facts)
    return list(made.values())
