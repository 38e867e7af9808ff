"""How a figure is written for people."""

from __future__ import annotations

from collections.abc import Sequence


def figure(value: float, unit: str = "") -> str:
    """Return a value with its unit, to five digits: what the guides print (34.61 dB, 54.627 %) and one more.

    >>> figure(34.61234, "dB"), figure(1234567.0, "images/s"), figure(0.0)
    ('34.612 dB', '1234567 images/s', '0')
    """
    digits = f"{value:.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.5g}"
    return f"{digits} {unit}".rstrip()


def table(rows: Sequence[tuple[str, ...]], indent: str = "") -> list[str]:
    """Return one line per row with the columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (zip(row, widths, strict=True) for row in rows)
    return [indent + "  ".join(f"{cell:<{width}}" for cell, width in row).rstrip() for row in padded]
