"""Times calls: one after the other, in a window, or two engines taking turns.

Inside the timed section there is nothing but the call; a batch is chosen, loaded and freed outside (measurement
protocol 9).
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import Session

    Batches = Sequence[tuple[np.ndarray, ...]]

CHECKED = 3
"""Batches whose outputs are kept and compared: all of them would hold gigabytes."""
MOST = 50_000
"""Calls kept one by one; more would be megabytes of evidence (measurement protocol 7)."""
SHORT_NS = 5_000_000
"""Calls of a pair that are shorter are timed several at a time (measurement protocol 4.2)."""


@dataclass
class Calls:
    """Nanoseconds per call, when each began (by one clock for all processes), and the last outputs of some batches."""

    taken: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    kept: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class PairPlan:
    """How many pairs are taken: the target, whichever of its two comes first, once there are `pairs` and `seconds`.

    `most_seconds` ends them before that, where a call is slow, but never before `fewest` (measurement protocol 4.2 has
    no such bound; 50 pairs of a model of 0.5 s are 50 s).
    """

    most_seconds: float
    fewest: int = 5
    pairs: int = 50
    seconds: float = 2.0
    target_pairs: int = 200
    target_seconds: float = 5.0

    def ends(self, pairs: int, seconds: float, passed: float) -> bool:
        """Tell whether so many pairs, of so many seconds of calls, are enough so many seconds after the start."""
        if passed >= self.most_seconds:
            return pairs >= self.fewest
        enough = pairs >= self.pairs and seconds >= self.seconds
        return enough and (pairs >= self.target_pairs or seconds >= self.target_seconds)


@dataclass
class Pairs:
    """Nanoseconds per call of both arms, pair by pair; bit j of `first` is set where the candidate began pair j."""

    per_sample: int
    taken: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    first: int = 0
    kept: tuple[dict[int, np.ndarray], dict[int, np.ndarray]] = field(default_factory=lambda: ({}, {}))

    def log_ratios(self) -> list[float]:
        """Return log(candidate / baseline) of every pair."""
        return [math.log(candidate / baseline) for baseline, candidate in zip(*self.taken, strict=True)]


def orders(count: int, seed: int) -> Iterator[list[int]]:
    """Yield one random order of all batches after the other."""
    shuffler = random.Random(seed)
    while True:
        yield shuffler.sample(range(count), count)


def calls(
    session: Session,
    inputs: Batches,
    order: Iterator[int],
    least: int,
    seconds: float,
    checked: Collection[int] = (),
) -> Calls:
    """Time at least so many calls and so many seconds, but no more than 50,000 calls of microseconds.

    Keep the last outputs of the batches to be checked.
    """
    clock, run, found = time.perf_counter_ns, session.run, Calls()
    taken, begun = found.taken, found.begun
    end = clock() + int(seconds * 1e9)
    while len(taken) < least or (clock() < end and len(taken) < MOST):
        index = next(order)
        batch = inputs[index]
        before = clock()
        outputs = run(batch)
        after = clock()
        taken.append(after - before)
        begun.append(before)
        if index in checked:
            found.kept[index] = outputs[0]
        del outputs, batch  # here: freed by the next call, they would be part of it
    return found


def fill(session: Session, inputs: Batches, order: Iterator[int]) -> None:
    """Run a call in every place of an engine's queue: what is made at the first one is no part of a window."""
    depth = getattr(session, "depth", 1)
    if depth > 1:
        queued: Any = session
        for _ in range(depth):
            queued.submit(inputs[next(order)])
        queued.drain()


def window(session: Session, inputs: Batches, order: Iterator[int], seconds: float) -> dict[str, int]:
    """Keep the engine full for so long, and drain it: at least two calls for every place in its queue.

    `ns` of the answer are those from the first call's submission to the last one's completion.
    """
    depth = getattr(session, "depth", 1)
    queued: Any = session
    submit, drain = (queued.submit, queued.drain) if depth > 1 else (session.run, _nothing)
    clock, count = time.perf_counter_ns, 0
    begun = clock()
    end = begun + int(seconds * 1e9)
    while count < 2 * depth or clock() < end:
        submit(inputs[next(order)])
        count += 1
    drain()
    return {"calls": count, "ns": clock() - begun, "depth": depth, "begun_ns": begun}


def per_sample(warmups: Sequence[Sequence[int]]) -> int:
    """Return how many calls of a pair make a sample, so that the faster engine's takes 5 ms; never judged by call 1."""
    fastest = min(statistics.median(taken[1:] or taken) for taken in warmups)
    return max(1, math.ceil(SHORT_NS / max(fastest, 1)))


def pairs(
    sessions: tuple[Session, Session],
    inputs: tuple[Batches, Batches],
    several: int,
    seed: int,
    plan: PairPlan,
    started_ns: int,
) -> Pairs:
    """Have two engines take turns, `several` calls each at a time, which of them first being random in every pair.

    Both go through their batches in one shuffled order. `started_ns` is when the time of the plan began to run.
    """
    coins, clock, found = random.Random(f"who is first {seed}"), time.perf_counter_ns, Pairs(several)
    rings = [_ring(len(each), several, seed) for each in inputs]
    checked = [set(ring[several - 1 :][:CHECKED]) for ring in rings]
    count, timed = 0, 0
    while not plan.ends(count, timed / 1e9, (clock() - started_ns) / 1e9):
        first = coins.getrandbits(1)
        found.first |= first << count
        for arm in (first, 1 - first):
            start, run, fed = count % len(inputs[arm]), sessions[arm].run, inputs[arm]
            places = rings[arm][start : start + several]
            batches = [fed[place] for place in places]
            before = clock()
            for batch in batches:
                outputs = run(batch)  # several are short: to free what the one before gave is part of them
            after = clock()
            timed += after - before
            found.taken[arm].append(max(1, round((after - before) / several)))
            if places[-1] in checked[arm]:
                found.kept[arm][places[-1]] = outputs[0]
            del outputs
        count += 1
    return found


def _ring(count: int, several: int, seed: int) -> list[int]:
    order = next(orders(count, seed))
    return [order[place % count] for place in range(count + several)]


def _nothing() -> None:
    """Drain a session whose calls are complete when they return."""
