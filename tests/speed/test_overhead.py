"""What our loops add to a call, beside a bare loop: `pytest tests/speed/test_overhead.py --benchmark-only -s`.

Callables of 0.1, 1 and 10 ms that wait busily (measurement protocol 9: at most 0.1 % of a call and 1 us inside the
timed section, at most 1 % or 50 us between samples). The loops take turns, in slices, so that what else this host does
meets all of them; even so its scheduler is louder than any of them above 1 ms, and in a sample of several calls.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from bench.child import timing
from bench.child.timing import PairPlan

SLICES = 8
CALLS = {100_000: 250, 1_000_000: 50, 10_000_000: 8}
"""Of a slice, by the nanoseconds of a call."""
INPUTS: list[Any] = [(number,) for number in range(8)]


class Waiting:
    """A session whose call waits busily."""

    signature = None

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def run(self, inputs: Any) -> tuple[Any, ...]:
        clock = time.perf_counter_ns
        end = clock() + self.ns
        while clock() < end:
            pass
        return inputs

    def device_ms(self) -> tuple[float, ...]:
        return ()

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def bare(session: Waiting, count: int) -> tuple[list[int], list[int]]:
    """Return what calls took and how far apart they were, in the shortest loop there is."""
    clock, taken, begun, run, batch = time.perf_counter_ns, [], [], session.run, INPUTS[0]
    for _ in range(count):
        before = clock()
        run(batch)
        taken.append(clock() - before)
        begun.append(before)
    return taken, gaps(begun, taken)


def ours(session: Waiting, count: int) -> tuple[list[int], list[int]]:
    """Return the same of the loop of serial calls, with inputs and checked outputs."""
    order = chain.from_iterable(timing.orders(len(INPUTS), 7))
    found = timing.calls(session, INPUTS, order, count, 0.0, {0, 1, 2})
    return found.taken, gaps(found.begun, found.taken)


def paired(session: Waiting, count: int) -> tuple[list[int], list[int]]:
    """Return the same of two equal engines that take turns; the gap is what is left of 100 pairs of calls of no length.

    Left of longer calls is mostly what else this host did meanwhile.
    """
    several = timing.per_sample([[session.ns]])
    taken, _ = _turns(session, several, max(4, count // (2 * several)))
    short, passed = _turns(Waiting(0), several, 100)
    return taken, [round((passed - several * sum(short)) / len(short))]


def _turns(session: Waiting, several: int, pairs: int) -> tuple[list[int], int]:
    plan, begun = PairPlan(1e9, pairs=pairs, seconds=0, target_pairs=pairs), time.perf_counter_ns()
    found = timing.pairs((session, session), (INPUTS, INPUTS), several, 7, plan, begun)
    return [*found.taken[0], *found.taken[1]], time.perf_counter_ns() - begun


def gaps(begun: list[int], taken: list[int]) -> list[int]:
    """Return nanoseconds from the end of each call to the beginning of the next."""
    return [later - before - ns for before, ns, later in zip(begun, taken, begun[1:], strict=False)]


LOOPS: dict[str, Callable[[Waiting, int], tuple[list[int], list[int]]]] = {
    "bare loop": bare,
    "serial calls": ours,
    "pairs": paired,
}


@pytest.mark.parametrize("ns", CALLS, ids=lambda ns: f"{ns / 1e6:g}-ms")
def test_what_a_loop_adds_to_a_call(benchmark, capsys, ns):
    session, found = Waiting(ns), {name: ([], []) for name in LOOPS}
    for _ in range(SLICES):
        for name, loop in LOOPS.items():
            for collected, more in zip(found[name], loop(session, CALLS[ns]), strict=True):
                collected.extend(more)
    lines = [f"\n{'':14}{'min':>12}{'(excess)':>10}{'median':>12}{'(excess)':>10}{'gap':>9} ns, {ns / 1e6:g} ms calls"]
    table = {}
    for name, (taken, between) in found.items():
        least, middle, gap = min(taken), statistics.median(taken), statistics.median(between)
        table[name] = {"min_excess_ns": least - ns, "median_excess_ns": middle - ns, "gap_ns": gap}
        lines.append(f"{name:14}{least:12,}{least - ns:10,}{middle:12,.0f}{middle - ns:10,.0f}{gap:9,.0f}")
    benchmark.extra_info.update(table)
    benchmark.pedantic(lambda: timing.calls(session, INPUTS, iter([0] * 5), 5, 0.0), rounds=3)
    with capsys.disabled():
        print("\n".join(lines))
    assert all(min(taken) >= ns for taken, _ in found.values())
