"""One summary of ais_bench: its lines of times, its throughput line, and whether the two agree."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

from bench.logs.reading import NUMBER, agree, number, whole
from bench.logs.statistics import Statistics

BLOCKS = {"NPU_compute_time": "compute", "H2D_latency": "h2d", "D2H_latency": "d2h"}
NAMES = {"min": "minimum", "max": "maximum", "mean": "mean", "median": "median"}

NOTHING = Statistics()

WITHIN = 1e-3
"""A page may show fewer digits than the tool printed; what is edited or put together from two runs is further off."""

_TIMES = re.compile(r"(NPU_compute_time|H2D_latency|D2H_latency) ?\(ms\):(.*)")
# A number that something else runs into may have lost its end.
_PART = re.compile(
    rf"(?<!\w)(?:(min|max|mean|median)|percentile\(([0-9]{{1,3}}(?:\.[0-9]{{1,9}})?)%\))[ \t]{{0,4}}=[ \t]{{0,4}}"
    rf"({NUMBER})[ \t]{{0,4}}(?:,|$)"
)
_THROUGHPUT = re.compile(
    rf"throughput[ \t]{{0,4}}\(?1000\\?\*batchsize(?:\.mean)?(?:\(({NUMBER})\))?/NPU_compute_time"
    rf"(?:\.mean\(({NUMBER})\))?\)?:[ \t]{{0,4}}({NUMBER})(?![^\s*|`])"
)


@dataclass(frozen=True)
class Block:
    """Times in milliseconds per execution, throughput in samples per second, as the tool tells them."""

    throughput: float | None = None
    batch: int | float | None = None
    """The factor in the throughput: the mean over the executions, and `--batchsize` where that was given."""
    compute: Statistics = NOTHING
    h2d: Statistics = NOTHING
    d2h: Statistics = NOTHING
    stated_mean: float | None = None
    """The mean that stands in the throughput line."""
    told: tuple[str, ...] = ()
    """Which lines of times were there."""
    count: int | None = None
    """Executions; the console does not tell."""
    files: int | None = None
    """Samples whose outputs were written; the last group of them is filled up, timed and counted as a whole batch."""
    samples_ms: tuple[float, ...] = ()
    device: int | None = None
    own_flags: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """Return the mean of the compute times, from whichever line tells it."""
        return self.stated_mean if self.compute.mean is None else self.compute.mean

    @property
    def recomputed(self) -> float | None:
        """Return 1000 x batch / mean: the tool's own formula."""
        rate = 1000.0 * self.batch / self.mean if self.batch is not None and self.mean else math.inf
        return rate if math.isfinite(rate) else None

    def on(self, device: int | None) -> Block:
        """Return the block with its device."""
        return replace(self, device=device)

    def flags(self) -> tuple[str, ...]:
        """Return what contradicts itself."""
        flags = list(self.own_flags)
        for name in self.told:
            flags += [f"{name}_{flag}" for flag in getattr(self, name).contradictions()]
        if self.stated_mean is not None and self.compute.mean is not None:
            flags += ["mean_disagrees"] * (not agree(self.stated_mean, self.compute.mean, WITHIN))
        if self.throughput is not None and self.recomputed is not None:
            flags += ["throughput_disagrees"] * (not agree(self.throughput, self.recomputed, WITHIN))
        return tuple(flags)

    def unread(self) -> tuple[str, ...]:
        """Say which figures of its lines are not whole."""
        missing = []
        for name in self.told:
            told = getattr(self, name).as_dict()
            missing += [f"{name}: {part} is not told, or not whole" for part, value in told.items() if value is None]
        return (*missing, *(["throughput is not told, or not whole"] if self.throughput is None else []))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; null for what is not told."""
        compute = {**self.compute.as_dict(), "mean": self.mean}
        return {
            "throughput": self.throughput,
            "compute_ms": None if self.mean is None and "compute" not in self.told else compute,
            "batch": self.batch,
            "recomputed_throughput": self.recomputed,
            "h2d_ms": self.h2d.as_dict() if "h2d" in self.told else None,
            "d2h_ms": self.d2h.as_dict() if "d2h" in self.told else None,
            "count": self.count,
            "files": self.files,
            "samples_ms": list(self.samples_ms),
            "device": self.device,
        }


@dataclass
class Blocks:
    """The summaries of one text while it is read; finds the one a line belongs to without looking at the others."""

    all: list[Block] = field(default_factory=list)
    _waiting: list[int] = field(default_factory=list)
    """Places whose compute is told; those that have their throughput by now are dropped when they are met."""
    _by_mean: dict[float | None, list[int]] = field(default_factory=dict)
    """The same places, by that mean."""

    def read_times(self, line: str) -> bool:
        """Take a line of times into the last block, or into a new one; tell whether it was one."""
        found = _TIMES.search(line)
        if not found:
            return False
        name, told = BLOCKS[found[1]], _statistics(found[2])
        last = self.all[-1] if self.all else None
        # H2D comes before compute, D2H after it, throughput at the end; two devices may print into one another.
        if last is None or name in last.told or (name != "d2h" and last.throughput is not None):
            self.all.append(Block())
        place = len(self.all) - 1
        changes: dict[str, Any] = {name: told, "told": (*self.all[place].told, name)}
        self.all[place] = replace(self.all[place], **changes)
        if name == "compute":
            self._waiting.append(place)
            self._by_mean.setdefault(told.mean, []).append(place)
        return True

    def read_throughput(self, line: str) -> bool:
        """Take a throughput line into the block whose mean it names, or the last; tell whether it was one."""
        found = _THROUGHPUT.search(line) if "NPU_compute_time" in line else None
        if not found:
            return False
        batch, mean, throughput = (number(text) if text else None for text in found.groups())
        named = None if mean is None else self._last(self._by_mean.get(mean, []))
        place = self._last(self._waiting) if named is None else named
        if place is None:
            self.all.append(Block())
            place = len(self.all) - 1
        factor = None if batch is None else whole(batch)
        self.all[place] = replace(self.all[place], throughput=throughput, batch=factor, stated_mean=mean)
        return True

    def _last(self, places: list[int]) -> int | None:
        while places and self.all[places[-1]].throughput is not None:
            places.pop()
        return places[-1] if places else None


def _statistics(text: str) -> Statistics:
    values: dict[str, float] = {}
    percentiles: dict[float, float] = {}
    for name, percent, told in _PART.findall(text):
        value = number(told)
        if value is not None and percent:
            percentiles[float(percent)] = value
        elif value is not None:
            values[NAMES[name]] = value
    return Statistics(**values, percentiles=percentiles)
