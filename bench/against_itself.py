"""What rounds of an engine against itself say: all that differs in them is the noise of the host."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.campaigns import FIGURES, REPLICATED, Campaign, paired_values
from bench.likeness import soundness
from bench.statistics import interleaved, steadiness, student
from reports.round import Round

MARGIN = 0.02
"""What the gate of one host lets pass (measurement protocol 4.1)."""


@dataclass(frozen=True)
class AgainstItself:
    """The rounds of one engine alone, as a campaign, and in pairs with itself (the two arms of one process)."""

    campaign: Campaign
    pairs: Sequence[tuple[Round, ...]]

    @cached_property
    def values(self) -> list[float]:
        """Return y of each process of pairs: of device compute where it is told, else of the host's wall time."""
        return paired_values(self.pairs, "device_compute", "median") or paired_values(self.pairs, "latency", "median")

    @cached_property
    def logs(self) -> dict[str, tuple[float, ...]]:
        """Return per figure that is told the logarithm of images per second of each process."""
        told = {figure: self.campaign.values(figure, "median") for figure in FIGURES}
        return {figure: values for figure, values in told.items() if values}

    def log_means(self) -> dict[str, float]:
        """Return per figure the mean over processes; empty where they are too few to be a campaign."""
        return {figure: student.mean(values) for figure, values in self.logs.items() if len(values) >= REPLICATED}

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield what is told, a name and a sentence each; what one process cannot tell is left out."""
        if len(self.values) > 1:
            yield "pair, per process", f"sd {percent(student.deviation(self.values))}: {affords(self.values)}"
            decision = interleaved.decide(self.values, 1 - MARGIN, looks=(len(self.values),))
            ends = f"[{decision.low:.4f}, {decision.high:.4f}]"
            yield "over itself", f"{decision.ratio:.4f} {ends} at 99 %; it is 1 in truth"
        scatter = {figure: student.deviation(values) for figure, values in self.logs.items() if len(values) > 1}
        if scatter:
            told = ", ".join(f"{figure.replace('_', ' ')} {percent(sd)}" for figure, sd in scatter.items())
            yield "between processes", f"sd {told}"
        if self.campaign.rounds:
            yield "within a process", f"sd {percent(_within(self.campaign.rounds))} of a call"
            yield "neighbouring calls", self._correlation()
        every = [*self.campaign.rounds, *(each for pair in self.pairs for each in pair)]
        flags = Counter(flag for each in every for flag in each.flags)
        if flags:
            told = ", ".join(f"{name.replace('_', ' ')} {count} of {len(every)}" for name, count in flags.items())
            refused = "; two hosts are not compared by such rounds" if soundness.guards(self.campaign) else ""
            yield "flags", told + refused

    def _correlation(self) -> str:
        import numpy as np

        alone = [np.log(each.samples_ns) for each in self.campaign.rounds]
        told = f"correlation {steadiness.lag_one(alone):.2f}"
        if not self.pairs:
            return told
        ratios = [np.log(one.samples_ns) - np.log(other.samples_ns) for one, other in self.pairs]
        return f"{told} alone, {steadiness.lag_one(ratios):.2f} of pairs"


def affords(values: Sequence[float]) -> str:
    """Return at which look of the gate pairs tell its margin at 99 %, or what they tell at the last."""
    sd = student.deviation(values)
    for look in interleaved.LOOKS:
        if _half_width(sd, look) <= math.log1p(MARGIN):
            return f"{look} rounds tell {percent(MARGIN)} at 99 %"
    last = interleaved.LOOKS[-1]
    reached = math.ceil(1000 * math.expm1(_half_width(sd, last))) / 10  # up, lest it read as the margin itself
    return f"{last} rounds, the most a comparison takes, tell {reached:g} % at 99 %, not {percent(MARGIN)}"


def percent(share: float) -> str:
    """Return a share as one reads it.

    >>> percent(0.0106), percent(0.28)
    ('1.1 %', '28 %')
    """
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"


def _half_width(sd: float, rounds: int) -> float:
    return student.quantile(interleaved.LEVEL, rounds - 1) * sd / math.sqrt(rounds)


def _within(rounds: Sequence[Round]) -> float:
    """Return the standard deviation of a call in its own process: each around the mean of its logarithms."""
    import numpy as np

    logs = [np.log(each.samples_ns) for each in rounds if len(each.samples_ns) > 1]
    squares = sum(float(((log - log.mean()) ** 2).sum()) for log in logs)
    return math.sqrt(squares / max(1, sum(log.size - 1 for log in logs)))
