"""Whether the outputs of timed calls show an engine to be right, where its tool has no accuracy path of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports.round import Round

TOOL = "trtexec"
"""Of which no more can be asked."""
LARGEST_ERROR = 1e-3
"""Between the outputs of timed calls and those of the accuracy path, relative to the largest output."""


def largest_error(rounds: Sequence[Round]) -> float | None:
    """Return the largest error of outputs that every round compared; None where that shows nothing."""
    found = []
    for each in rounds:
        tool, error = each.details.get("tool"), each.details.get("largest_relative_error")
        compared = isinstance(tool, Mapping) and tool.get("tool") == TOOL and each.details.get("checked_calls", 0) > 0
        found.append(float(error) if compared and isinstance(error, (int, float)) else math.inf)
    return max(found) if found and all(error <= LARGEST_ERROR for error in found) else None
