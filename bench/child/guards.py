"""How undisturbed the host was while calls were timed: recorded and flagged, never a reason to stop.

From Linux's own files (measurement protocol 5.3); what a host does not tell is left out. Load average is no such guard.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from bench.child import timing

PRESSURE = Path("/proc/pressure/cpu")
STAT = Path("/proc/stat")
ANCHOR_SIDE, ANCHOR_REPEATS = 256, 3
EMPTY_CALLS = 1000

BUSY_PRESSURE, BUSY_STEAL = 0.05, 0.01
STARVED = 0.1
"""Of the time that its threads wanted a processor: the part in which they waited for one. Its share of all processors
would say as much of an engine that does not use them all: 0.43 was seen in a tiny model."""
ANCHOR_MOVED, CLOCK_MOVED = 0.03, 0.02
SHORTEST = 100
"""A call lasts at least so many times what an empty one does."""
FLAGS = ("host_busy", "starved", "anchor_moved", "clock_moved", "call_too_short")
"""What is flagged here: it tells of the host, and of nothing that was asked of a round."""


@dataclass
class Section:
    """What the timed sections of a round used, and what was kept from them: nanoseconds, and counts of the host's."""

    wall_ns: int = 0
    cpu_ns: int = 0
    switches: int = 0
    """Involuntary ones, of all threads."""
    waited_ns: int | None = 0
    """How long our threads waited for a processor while they could have run."""
    stalled_us: int | None = 0
    """How long some task of this host waited for a processor."""
    ticks: tuple[int, int] | None = (0, 0)
    """Stolen, and all."""

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Add what happens inside; what is read of the host is read outside of wall and processor time."""
        stalled, ticks, switches, waited = _stalled_us(), _ticks(), _switches(), _waited_ns()
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        yield
        wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        self.wall_ns, self.cpu_ns = self.wall_ns + wall, self.cpu_ns + cpu
        self.switches += _switches() - switches
        after, later, end = _stalled_us(), _ticks(), _waited_ns()
        # A thread that ended meanwhile took what it waited with it: less than before is no time at all.
        told = self.waited_ns is not None and waited is not None and end is not None and end >= waited
        self.waited_ns = self.waited_ns + end - waited if told else None  # type: ignore[operator]
        known = self.stalled_us is not None and stalled is not None and after is not None
        self.stalled_us = self.stalled_us + after - stalled if known else None  # type: ignore[operator]
        if self.ticks is None or ticks is None or later is None:
            self.ticks = None
        else:
            self.ticks = self.ticks[0] + later[0] - ticks[0], self.ticks[1] + later[1] - ticks[1]

    def shares(self) -> dict[str, float]:
        """Return the parts of the time in which a task waited for a processor, and in which others had them."""
        told = {}
        if self.stalled_us is not None and self.wall_ns:
            told["cpu_pressure_share"] = round(1000 * self.stalled_us / self.wall_ns, 6)
        if self.ticks is not None and self.ticks[1]:
            told["steal_share"] = round(self.ticks[0] / self.ticks[1], 6)
        return told


@dataclass
class Guards:
    """The guards of one round."""

    anchors: list[int] = field(default_factory=list)
    empty_ns: int = 0

    def look(self) -> None:
        """Time the anchor: before and after the timed sections."""
        self.anchors.append(anchor_ns())

    def told(self, section: Section, threads: int | None, calls: int | None) -> dict[str, Any]:
        """Return what evidence keeps; the share of the processor is its time over wall time and threads.

        `threads` is None where the processor does not compute, `calls` where a tool made them.
        """
        told: dict[str, Any] = section.shares()
        if threads and calls and section.wall_ns:
            told["cpu_share"] = round(section.cpu_ns / (section.wall_ns * threads), 4)
            if section.waited_ns is not None:
                wanted = section.cpu_ns + section.waited_ns
                told["waited_share"] = round(section.waited_ns / wanted, 4) if wanted else 0.0
        if calls:
            told["involuntary_switches_per_call"] = round(section.switches / calls, 4)
        told["anchor_ns"] = list(self.anchors)
        return {**told, "empty_call_ns": self.empty_ns} if self.empty_ns else told


def flags(
    guards: Mapping[str, Any], shortest_ns: float | None, begin: Mapping[str, Any], end: Mapping[str, Any]
) -> list[str]:
    """Return what the guards say against a round.

    `shortest_ns` is what a sample lasts at the median; `begin` and `end` are what the device told of its clocks.
    """
    anchor = guards.get("anchor_ns", ())
    holds = {
        "host_busy": guards.get("cpu_pressure_share", 0) >= BUSY_PRESSURE or guards.get("steal_share", 0) >= BUSY_STEAL,
        "starved": guards.get("waited_share", 0) > STARVED,
        "anchor_moved": len(anchor) > 1 and moved(anchor[0], anchor[-1], ANCHOR_MOVED),
        "clock_moved": moved(begin.get("sm_clock_mhz"), end.get("sm_clock_mhz"), CLOCK_MOVED),
        "call_too_short": shortest_ns is not None and shortest_ns < SHORTEST * guards.get("empty_call_ns", 0),
    }
    return [name for name, found in holds.items() if found]


def moved(before: float | None, after: float | None, part: float) -> bool:
    """Tell whether a value changed by more than a part of itself; not, where it is not known."""
    return before is not None and after is not None and abs(after - before) > part * before


def anchor_ns() -> int:
    """Time a fixed piece of work of one thread, the best of three: a product of integers, which no library spreads.

    About 20 ms each on a processor of 2.5 GHz.
    """
    import numpy as np

    side = ANCHOR_SIDE
    matrix = (np.arange(side * side, dtype=np.int64) % 7).reshape(side, side)
    found = []
    for _ in range(ANCHOR_REPEATS):
        before = time.perf_counter_ns()
        np.matmul(matrix, matrix)
        found.append(time.perf_counter_ns() - before)
    return min(found)


def empty_call_ns() -> int:
    """Return what our loop says that a call lasts which does nothing: the median of a thousand."""
    return round(statistics.median(timing.calls(_Nothing(), [()], repeat(0), EMPTY_CALLS, 0.0).taken))


class _Nothing:
    """A session that does nothing."""

    signature = None

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        return ()

    def device_ms(self) -> tuple[float, ...]:
        return ()

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _stalled_us() -> int | None:
    """Return since boot; Linux 4.20 on, where the kernel was not told to leave it out."""
    try:
        some = next(line for line in PRESSURE.read_text().splitlines() if line.startswith("some "))
        return int(some.rpartition("total=")[2])
    except (OSError, ValueError, StopIteration):
        return None


def _ticks() -> tuple[int, int] | None:
    """Return stolen and all ticks of all processors since boot."""
    try:
        name, *values = STAT.read_text().partition("\n")[0].split()
        counts = [int(value) for value in values[:8]]  # user to steal; guests are counted in user
    except (OSError, ValueError):
        return None
    return (counts[7], sum(counts)) if name == "cpu" and len(counts) == 8 else None


def _waited_ns() -> int | None:
    """Return how long all threads of this process waited in run queues; Linux tells where it keeps such statistics."""
    try:
        waited = [int(file.read_text().split()[1]) for file in Path("/proc/self/task").glob("*/schedstat")]
    except (OSError, ValueError, IndexError):  # a thread that ended meanwhile
        return None
    return sum(waited) if waited else None


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
