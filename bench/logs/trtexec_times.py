"""Reads the times that trtexec writes with --exportTimes: one object per query, milliseconds since the start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.logs.reading import LogError, plain
from bench.logs.statistics import Statistics, element, of

LEAVES_OUT_WARMUP = (8, 5)
"""Before this version the file holds the queries of the warm-up too."""


@dataclass(frozen=True)
class Times:
    """Milliseconds per query in the order of the file; a tuple is empty where not every query tells."""

    compute_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    enqueue_ms: tuple[float, ...]
    h2d_ms: tuple[float, ...]
    d2h_ms: tuple[float, ...]
    warmup_dropped: int = 0
    flags: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def compute(self) -> Statistics:
        """Return the statistics of compute, as trtexec defines them."""
        return of(self.compute_ms, element)

    @property
    def latency(self) -> Statistics | None:
        """Return the statistics of latency; None where not every query tells."""
        return of(self.latency_ms, element) if self.latency_ms else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "compute_ms": self.compute.as_dict(),
            "latency_ms": self.latency.as_dict() if self.latency else None,
            "count": len(self.compute_ms),
            "warmup_dropped": self.warmup_dropped,
            "flags": list(self.flags),
            "unread": list(self.unread),
        }


def parse_times(text: str, version: str | None, warmup_ms: float | None = None) -> Times:
    """Read the file of a version of TensorRT ("8.6.1"; None: as its keys tell) without the queries of the warm-up.

    Before 8.5 those are in the file; without `warmup_ms` they stay in, with the flag `warmup_included`.

    Raises LogError for another file, for one without a query after the warm-up, and where only the version could tell
    whether the warm-up is in it.
    """
    queries = _queries(text)
    included = _includes_warmup(queries[0], version)
    kept = queries
    if included and warmup_ms is not None:
        starts = _column(queries, "startComputeMs")
        if not starts:
            raise LogError("times: expected startComputeMs in every query, to leave out the warm-up; export them again")
        kept = [query for query, start in zip(queries, starts, strict=True) if start >= warmup_ms]
        if not kept:
            raise LogError(
                f"times: expected queries after {warmup_ms:g} ms of warm-up, found {len(queries)} and all before; "
                "check --warmUp of the command"
            )
    compute = _column(kept, "computeMs")
    if not compute:
        raise LogError("times: expected computeMs in every query, a number of milliseconds; export the times again")
    of_7 = "startInMs" in kept[0]
    # 7.x writes the times of enqueueing under startIn and endIn, and those of the copy under startEnq and endEnq.
    enqueue = _spans(kept, *(("startInMs", "endInMs") if of_7 else ("startEnqMs", "endEnqMs")))
    latency = _column(kept, "latencyMs")
    h2d, d2h = (_column(kept, name) for name in (("inMs", "outMs") if of_7 else ("h2dMs", "d2hMs")))
    columns = {"latency": latency, "enqueue": enqueue, "h2d": h2d, "d2h": d2h}
    return Times(
        compute,
        latency,
        enqueue,
        h2d,
        d2h,
        len(queries) - len(kept),
        ("warmup_included",) if included and warmup_ms is None else (),
        tuple(f"times: not every query tells its {name}" for name, values in columns.items() if not values),
    )


def _queries(text: str) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LogError(f"times: expected the JSON of --exportTimes, found none ({error}); export it again") from None
    whole = isinstance(document, list) and document and all(isinstance(query, dict) for query in document)
    if not whole or not all("computeMs" in query for query in document):
        raise LogError("times: expected a list of queries with computeMs, found others; name the --exportTimes file")
    return list(document)


def _includes_warmup(query: Mapping[str, Any], version: str | None) -> bool:
    if "endToEndMs" in query:
        return True  # 7.x to 8.2, whatever the caller thinks
    try:
        numbers = tuple(int(part) for part in (version or "").split(".")[:2])
    except ValueError:
        numbers = ()
    if not numbers:
        raise LogError(
            "times: expected the version of TensorRT, for up to 8.4 the file holds the warm-up as well; found "
            f"{version!r}; give the whole log, whose &&&& lines tell it"
        )
    return numbers < LEAVES_OUT_WARMUP


def _column(queries: list[Mapping[str, Any]], name: str) -> tuple[float, ...]:
    values = [plain(query.get(name)) for query in queries]
    whole = tuple(value for value in values if value is not None)
    return whole if len(whole) == len(values) else ()


def _spans(queries: list[Mapping[str, Any]], start: str, end: str) -> tuple[float, ...]:
    pairs = list(zip(_column(queries, start), _column(queries, end), strict=False))
    return tuple(last - first for first, last in pairs) if all(first <= last for first, last in pairs) else ()
