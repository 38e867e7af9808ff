"""What evidence says of one case in one run: the figures, the rounds they were made from, and where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.children import RoundError
from fixtures.case import Case
from reports.entry import Entry
from reports.host_key import hardware_differences, host_key
from reports.measurement import Measurement
from reports.round import REPLICATED as REPLICATED
from reports.round import Round
from reports.run import Run
from reports.schema import content_id

FIGURES = ("device_compute", "latency", "throughput")


@dataclass(frozen=True)
class Campaign:
    """The rounds of one engine in one run. An imported log or a published figure has figures and no rounds."""

    case: Case
    run: str
    figures: Mapping[str, Measurement]
    rounds: tuple[Round, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Return how its figures were come by: measured, emulated, imported, published, supplied."""
        return next((m.source for m in self.figures.values()), "measured")

    @property
    def engine(self) -> Mapping[str, Any]:
        """Return what is known of the engine; empty where nothing is."""
        return next((m.engine for m in self.figures.values() if m.engine), {})

    @property
    def sha256(self) -> str:
        """Return the digest of what was timed; empty where it is not known."""
        return self.rounds[0].engine if self.rounds else str(self.engine.get("sha256", ""))

    @property
    def started(self) -> str:
        """Return when its first round began, or its first figure was taken; UTC."""
        return min([each.started for each in self.rounds] or [m.taken for m in self.figures.values()])

    @property
    def effort(self) -> str:
        """Return the effort it was measured with; empty where it is not told."""
        return str(self.detail("effort") or "")

    @property
    def c0(self) -> float | None:
        """Return the relative deviation between campaigns of its host, as the host declared it."""
        told = [each.details["noise"]["c0"] for each in self.rounds if "noise" in each.details]
        return max(told, default=None)

    @property
    def per(self) -> str:
        """Return `card` where all devices of a card ran at once, else `device`."""
        if self.rounds:
            return "card" if "card_round" in self.rounds[0].details else "device"
        return str(self.detail("per") or "device")

    def detail(self, name: str) -> Any:
        """Return what the first round, or else the first figure, has in its details."""
        places = [*(each.details for each in self.rounds[:1]), *(m.details for m in self.figures.values())]
        return next((place[name] for place in places if name in place), None)

    def flags(self) -> dict[str, int]:
        """Return the flags of its rounds, or of its log, with how many carry each."""
        found: dict[str, int] = {}
        for flag in [f for each in self.rounds for f in each.flags] or list(self.detail("flags") or ()):
            found[flag] = found.get(flag, 0) + 1
        return found

    def devices(self) -> tuple[str, ...]:
        """Return the names of the accelerators that were timed, as their drivers or a log spell them."""
        told = [(each.details.get("before") or {}).get("name") for each in self.rounds]
        if not self.rounds:
            told = [(self.detail("facts") or {}).get("device")]
        return tuple(sorted({str(name) for name in told if name}))

    def processes(self) -> list[tuple[Round, ...]]:
        """Return its rounds, those of all devices of a card at once together."""
        together: dict[str, list[Round]] = {}
        for number, each in enumerate(self.rounds):
            together.setdefault(str(each.details.get("card_round", number)), []).append(each)
        return [tuple(group) for group in together.values()]

    def values(self, figure: str, statistic: str) -> tuple[float, ...]:
        """Return the natural logarithm of images per second, per round, of a device or (`per`) a card.

        Empty where the figure, or this statistic of it, is not told. A log without samples gives one value.
        """
        if not self.rounds:
            value = _of_log(self.figures.get(figure), statistic)
            return () if value is None else (math.log(value),)
        if figure == "throughput" and self.per == "card":
            return tuple(math.log(together(group)) for group in self.processes())
        found = [[_rate(each, figure, statistic) for each in group] for group in self.processes()]
        if any(rate is None for group in found for rate in group):
            return ()
        return tuple(math.log(sum(rate for rate in group if rate)) for group in found)


def campaigns(entries: Iterable[Entry], case: Case, other: str = "") -> list[Campaign]:
    """Return what the evidence holds of a case, the oldest first: by itself, or as an arm beside the case `other`.

    A record that is there twice counts once, and so does a log that was imported twice.
    """
    figures: dict[tuple[str, str, int], dict[str, Measurement]] = {}
    rounds: dict[tuple[str, str, int], dict[str, Round]] = {}
    environments: dict[str, Mapping[str, Any]] = {}
    logs: dict[tuple[str, str], str] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, Run):
            environments[entry.run] = record.environment
            continue
        if not isinstance(record, (Round, Measurement)) or record.case != case:
            continue
        pair = record.details.get("pair", {})
        if "part" in record.details:  # taken for another purpose in the same run
            continue
        if pair.get("other", "") != other:
            continue
        arm = int(pair.get("arm", 0))
        if isinstance(record, Round):
            rounds.setdefault((entry.run, record.engine, arm), {})[content_id(record.as_dict())] = record
        elif record.metric in FIGURES:
            log = record.details.get("log", {}).get("sha256", "")
            if log and logs.setdefault((log, record.metric), record.id) != record.id:
                continue
            owner = str(record.engine.get("sha256") or log or record.details.get("row", ""))
            figures.setdefault((entry.run, owner, arm), {})[record.metric] = record
    found = [
        Campaign(
            case,
            key[0],
            figures.get(key, {}),
            tuple(_in_order(rounds.get(key, {}).values())),
            environments.get(key[0], {}),
        )
        for key in {**figures, **rounds}
    ]
    return sorted(found, key=lambda campaign: (campaign.started, campaign.run))


def other_hardware(now: Campaign, then: Campaign) -> list[str]:
    """Return what differs in the hardware of two campaigns, in words; what neither recorded differs too.

    Empty: the same host key, and accelerators of the same names.
    """
    found = []
    if not host_key(now.environment) or host_key(now.environment) != host_key(then.environment):
        found += hardware_differences(then.environment, now.environment)
    before, after = (", ".join(each.devices()) or "cpu" for each in (then, now))
    return found if before == after else [*found, f"device {before} -> {after}"]


def together(rounds: Sequence[Round]) -> float:
    """Return images per second of devices that ran at once: those of the time they had in common.

    Of their offline windows, or of their calls where they had none. A window or call that the common time cuts counts
    with its part inside: whole ones only would lose one per device at either end.

    Raises RoundError where they had none in common.
    """
    spans = [_spans(taken) for taken in rounds]
    start, end = max(span[0][0] for span in spans), min(span[-1][1] for span in spans)
    if end <= start:
        raise RoundError(
            f"expected {len(rounds)} devices that ran at the same time; found no call in common; run again"
        )
    images = sum(
        images * max(0, min(end, done) - max(start, begun)) / (done - begun)
        for span in spans
        for begun, done, images in span
    )
    return images / ((end - start) / 1e9)


def _spans(taken: Round) -> list[tuple[int, int, int]]:
    """Return what a device did, as begin and end in ns and images."""
    window = taken.details.get("window", {})
    if "begun_ns" in window:
        return [(window["begun_ns"], window["begun_ns"] + window["ns"], window["images"])]
    calls = zip(taken.details["begun_ns"], taken.samples_ns, strict=True)
    return [(begun, begun + ns, taken.batch) for begun, ns in calls]


def paired_values(taken: Iterable[Sequence[Round]], figure: str, statistic: str) -> list[float]:
    """Return per round of a pair (baseline, candidate) the logarithm of the candidate's time over the baseline's.

    The median is that of the calls' own ratios, which is what taking turns is for (measurement protocol 4.2). Empty
    where an arm does not tell its times, and for throughput: who takes turns has no windows of its own.
    """
    from bench.statistics import interleaved

    found = []
    for baseline, candidate in taken:
        times = [_times(each, figure) for each in (baseline, candidate)]
        if not all(times) or len(times[0]) != len(times[1]):
            return []
        means = [statistics_of(each, "mean") for each in times]
        found.append(interleaved.value(*times) if statistic == "median" else math.log(means[1] / means[0]))
    return found


def statistics_of(samples: Sequence[float], statistic: str) -> float:
    """Return the mean or the median of samples."""
    import numpy as np

    return float(np.mean(samples) if statistic == "mean" else np.median(samples))


def _in_order(rounds: Iterable[Round]) -> list[Round]:
    return sorted(rounds, key=lambda each: (each.started, each.device))


def _times(taken: Round, figure: str) -> Sequence[float]:
    times = {"latency": taken.samples_ns, "device_compute": tuple(taken.details.get("device_ms", ()))}
    return times.get(figure, ())


def _rate(taken: Round, figure: str, statistic: str) -> float | None:
    """Return images per second of one round on one device; None where it does not tell."""
    if figure == "throughput":
        window = taken.details.get("window")
        return window["images"] / (window["ns"] / 1e9) if window else None
    if figure == "latency":
        if taken.details.get("timed_section", "host wall") != "host wall":
            return None
        return taken.batch / (statistics_of(taken.samples_ns, statistic) / 1e9)
    samples = taken.details.get("device_ms")
    if not samples or ("no_samples" in taken.flags and statistic != "mean"):
        return None
    return taken.batch / (statistics_of(samples, statistic) / 1e3)


def _of_log(found: Measurement | None, statistic: str) -> float | None:
    """Return images per second of a figure without rounds; a time is per batch."""
    if found is None:
        return None
    if found.unit == "images/s":
        return found.value
    told = dict(found.details.get("statistics_ms", {}))
    told.setdefault(str(found.details.get("statistic", "mean")), found.value)
    milliseconds = told.get(statistic)
    return found.case.batch / (milliseconds / 1e3) if milliseconds else None
