"""A round of one engine: serial calls and an offline window, or the whole data set once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any

from bench.child.guards import Section
from bench.child.timing import Calls, calls, fill, orders, window
from bench.statistics import steadiness

if TYPE_CHECKING:
    import numpy as np

    from fixtures.runtime import Session

    Batches = Sequence[tuple[np.ndarray, ...]]

CALLS, WARMUP_CALLS = 5, 3
"""At least (measurement protocol 4.4)."""


@dataclass(frozen=True)
class Times:
    """How long a round is in seconds, and whether it is taken `again` where it is not steady."""

    serial: float
    warmup: float
    window: float
    again: bool = True


def pure(
    session: Session,
    inputs: Batches,
    checked: Collection[int],
    batch: int,
    seed: int,
    times: Times,
    wait: Callable[[str], None],
) -> dict[str, Any]:
    """Warm up, time serial calls, fill the queue, time a window; `wait` is told `ready` and `window` before them.

    Where the calls are not steady, they count as warm-up, which is doubled once (measurement protocol 4.4).
    """

    def order() -> Iterator[int]:
        return chain.from_iterable(orders(len(inputs), seed))

    warmup = calls(session, inputs, order(), WARMUP_CALLS, times.warmup).taken
    wait("ready")
    found, told, section = _serial(session, inputs, order(), checked, times.serial)
    if unsteady(found) and times.again:
        warmup += found.taken
        warmup += calls(session, inputs, order(), WARMUP_CALLS, times.warmup).taken
        found, told, section = _serial(session, inputs, order(), checked, times.serial)
    fill(session, inputs, order())
    wait("window")
    with section.timed():
        offline: dict[str, Any] = window(session, inputs, order(), times.window)
    offline["images"] = offline["calls"] * batch
    answer = _answer(found, warmup, told, _conditions(session), section, len(found.taken) + offline["calls"])
    answer["arms"][0]["window"] = offline
    return answer


def whole(
    session: Session,
    inputs: Batches,
    checked: Collection[int],
    warmup_seconds: float,
    wait: Callable[[str], None],
) -> dict[str, Any]:
    """Warm up on what comes first, then time every batch once, in order; it is not taken again."""
    first = cycle(range(min(WARMUP_CALLS, len(inputs))))
    warmup = calls(session, inputs, first, WARMUP_CALLS, warmup_seconds).taken
    wait("ready")
    every = iter(range(len(inputs)))
    found, told, section = _serial(session, inputs, every, checked, 0.0, len(inputs))
    return _answer(found, warmup, told, _conditions(session), section, len(found.taken))


def unsteady(found: Calls) -> bool:
    """Tell whether the times of calls drift."""
    return steadiness.not_steady([math.log(max(ns, 1)) for ns in found.taken])


def _serial(
    session: Session,
    inputs: Batches,
    order: Iterator[int],
    checked: Collection[int],
    seconds: float,
    least: int = 0,
) -> tuple[Calls, dict[str, Any], Section]:
    """Time every input at least once; return what the device told beside the calls."""
    session.device_ms()  # those of the warm-up
    begin, section = _conditions(session), Section()
    with section.timed():
        found = calls(session, inputs, order, least or max(CALLS, len(inputs)), seconds, checked)
    return found, {"device_ms": list(session.device_ms()), "conditions_begin": begin}, section


def _answer(
    found: Calls,
    warmup: list[int],
    told: Mapping[str, Any],
    end: Mapping[str, Any],
    section: Section,
    count: int,
) -> dict[str, Any]:
    arm = {
        "warmup_ns": warmup,
        "samples_ns": found.taken,
        "begun_ns": found.begun,
        **told,
        "conditions_end": end,
        "timed_section": "host wall",
        "flags": ["not_steady"] * unsteady(found),
        "kept": found.kept,
    }
    middle = sorted(found.taken)[len(found.taken) // 2]
    return {"arms": [arm], "section": section, "calls": count, "shortest_ns": middle}


def _conditions(session: Session) -> dict[str, Any]:
    told: dict[str, Any] = getattr(session, "conditions", dict)()
    return told
