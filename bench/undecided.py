"""Why a verdict is open, and what would decide it, in words."""

from __future__ import annotations

from collections.abc import Iterable

from bench.campaigns import Campaign
from bench.judging import Judged
from bench.rule import Rule
from bench.statistics.decision import PAIRS, level_to_fail
from bench.statistics.interleaved import CAUTIOUS, LOOKS

COUNTS = {1: "one", 2: "two", 3: "three"}


def held(rule: Rule, judged: Judged, sides: Iterable[Campaign]) -> str:
    """Return what holds a verdict back that the interval does not show: too few rounds, or one gate of several."""
    open_ones = [each for each in judged.decisions.values() if each.status == "undecided"]
    if judged.nearest.method == PAIRS:
        unsteady = any("not_steady" in each.flags() for each in sides)
        needed = CAUTIOUS if unsteady else min(LOOKS)
        if any(each.rounds[0] < needed for each in open_ones):
            return f"{'a round was not steady, so ' * unsteady}a verdict needs {needed} rounds"
    below = [each.level for each in open_ones if each.high < each.required]
    count = len(judged.decisions) * rule.parts
    if not below or count == 1:
        return ""
    found, to_fail = _gates(len(judged.decisions), rule.parts), level_to_fail(below[0], count)
    return f"below the limit at {percent(below[0])}, and failing one of {found} takes {percent(to_fail)}"


def more(judged: Judged) -> str:
    """Say what would decide what is undecided: all of it, so the part that needs most."""
    open_ones = [decision for decision in judged.decisions.values() if decision.status == "undecided"]
    paired = judged.nearest.method == PAIRS
    counts = [decision.more for decision in open_ones if decision.more is not None]
    if len(counts) < len(open_ones):
        return "no number of rounds within reach decides" if paired else "three campaigns each would not decide"
    most = max(counts)
    verb = "decides" if most == 1 else "decide"
    if paired:
        return f"about {most} more round{'s' * (most != 1)} {verb}"
    return f"about {COUNTS.get(most, most)} more on {'another day' if most == 1 else 'other days'} {verb}"


def _gates(statistics: int, batches: int) -> str:
    """Return what must hold together, each of which could fail by chance (measurement protocol 4.1)."""
    kinds = {"statistics": statistics, "batches": batches}
    several = [f"{COUNTS.get(count, count)} {what}" for what, count in kinds.items() if count > 1]
    return several[0] if len(several) == 1 else f"{statistics * batches} ({' at '.join(several)})"


def percent(level: float) -> str:
    """Return a level as one reads it: `99.5 %`."""
    return f"{100 * level:.3g} %"
