"""Reads what the older, closed benchmark tool of CANN prints and writes: data-set mode and pure mode."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.logs.reading import NUMBER, lines, number

STAGES = {
    "e2e": "e2e",
    "data read": "data read",
    "preprocess": "preprocess",
    "infer": "infer",
    "inference": "infer",
    "post": "post",
    "postprocess": "post",
}
"""As they are spelled in the wild -> one name each."""

ROUGH = 1.5
"""`ave_latency` is roughly 1000 / rate (4 % off in published logs); per batch it would be off by the batch."""

_STAGE = re.compile(r"\[(e2e|data read|preprocess|inference|infer|postprocess|post)\](.*)")
_PART = re.compile(
    rf"(?<!\w)(Interface throughputRate|throughputRate|moduleLatency|latency)[ \t]{{0,4}}[:=][ \t]{{0,4}}({NUMBER})"
    r"[ \t]{0,4}(?:samples/s|ms)?[ \t]{0,4}(?:,|$)"
)
_PURE_RATE = re.compile(rf"ave_tho?r?o?ughputRate[ \t]{{0,4}}[:=][ \t]{{0,4}}({NUMBER})[ \t]{{0,4}}samples/s")
_PURE_LATENCY = re.compile(rf"ave_latency[ \t]{{0,4}}[:=][ \t]{{0,4}}({NUMBER})[ \t]{{0,4}}ms\b")
_FINISHED = re.compile(rf"Dataset number: ([0-9]{{1,18}}) finished cost ({NUMBER})[ \t]{{0,4}}ms\b")
_BATCH = re.compile(r"(?:(?<!\w)-batch_size=|perf_[a-z]{1,20}_batchsize_)([0-9]{1,9})(?![0-9])")
_DEVICE = re.compile(r"(?:(?<!\w)-device_id=|_in_device_|_batchsize_[0-9]{1,9}_device_)([0-9]{1,9})(?![0-9])")
_COMMAND = re.compile(r"(?:^|\s)((?:\./|/\S{1,200}/)?benchmark(?:\.x86_64|\.aarch64)? -.*)")

FIGURES = {
    "throughputRate": "throughput",
    "Interface throughputRate": "interface_throughput",
    "latency": "whole_run_ms",
    "moduleLatency": "module_ms",
}


@dataclass(frozen=True)
class Log:
    """What one text holds. The tool tells a rate, never the spread of its times; all of it is of one device."""

    throughput: float | None = None
    """Samples per second of the model alone: `Interface throughputRate`, or the average of the pure mode."""
    mode: str | None = None
    """data set or pure"""
    batch: int | None = None
    """Where the command or the name of a result file tells it."""
    device: int | None = None
    latency_per_sample_ms: float | None = None
    """`ave_latency`: per sample, not per batch."""
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Per stage: throughput, interface_throughput (samples per second), module_ms; of e2e whole_run_ms."""
    finished: tuple[tuple[int, float], ...] = ()
    """Number of a data set, from 0, and its cost in milliseconds."""
    command: str | None = None
    flags: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; null for what the text does not hold."""
        return {
            "throughput": self.throughput,
            "compute_ms": None,
            "batch": self.batch,
            "mode": self.mode,
            "device": self.device,
            "latency_per_sample_ms": self.latency_per_sample_ms,
            "stages": {name: dict(stage) for name, stage in self.stages.items()},
            "finished": [list(one) for one in self.finished],
            "version": None,
            "command": self.command,
            "flags": list(self.flags),
            "unread": list(self.unread),
        }


def parse(text: str) -> Log:
    """Read what the tool printed, or one of its result files; never raises. The last figure of a kind counts."""
    stages: dict[str, dict[str, float]] = {}
    rates: list[float] = []
    latencies: list[float] = []
    finished: list[tuple[int, float]] = []
    batches: set[int] = set()
    devices: set[int] = set()
    command: str | None = None
    flags: list[str] = []
    unread: list[str] = []
    for line in lines(text):
        if found := _STAGE.search(line):
            name = STAGES[found[1]]
            stage, sentences = _stage(name, found[2])
            flags += ["several_summaries"] * (name in stages and stage != stages[name])
            stages[name] = stage
            unread += sentences
        elif "ave_" in line:
            told, per_sample = _PURE_RATE.search(line), _PURE_LATENCY.search(line)
            if told and (value := number(told[1])) is not None:
                flags += ["several_summaries"] * bool(rates and value != rates[-1])
                rates.append(value)
            if per_sample and (value := number(per_sample[1])) is not None:
                latencies.append(value)
            unread += ["ave_throughputRate is not whole"] * (told is None and "ughputRate" in line)
        elif (found := _FINISHED.search(line)) and (cost := number(found[2])) is not None:
            finished.append((int(found[1]), cost))
        if "benchmark" in line and (found := _COMMAND.search(line)):
            command = found[1].strip()
        if "batch" in line or "device" in line:
            batches.update(int(one) for one in _BATCH.findall(line))
            devices.update(int(one) for one in _DEVICE.findall(line))
    interface = stages.get("infer", {}).get("interface_throughput")
    rate = rates[-1] if rates else None
    latency = latencies[-1] if latencies else None
    flags += ["latency_disagrees"] * (bool(rate and latency) and not _close(rate or 0, latency or 0))
    flags += ["zero_throughput"] * (0 in (rate, interface))
    flags += ["two_modes"] * (rate is not None and interface is not None and rate != interface)
    flags += ["several_batches"] * (len(batches) > 1) + ["several_devices"] * (len(devices) > 1)
    throughput = interface if interface is not None else rate
    if throughput is None:
        unread.append("no throughput of the model alone: neither Interface throughputRate nor ave_throughputRate")
    return Log(
        throughput,
        "data set" if stages else "pure" if rates else None,
        batches.pop() if len(batches) == 1 else None,
        devices.pop() if len(devices) == 1 else None,
        latency,
        stages,
        tuple(finished),
        command,
        tuple(dict.fromkeys(flags)),
        tuple(dict.fromkeys(unread)),
    )


def _stage(name: str, text: str) -> tuple[dict[str, float], list[str]]:
    """Return the figures of a line, and a sentence for each that is not whole."""
    figures = {FIGURES[part]: value for part, told in _PART.findall(text) if (value := number(told)) is not None}
    named = [part for part in FIGURES if re.search(rf"(?:^|,)\s{{0,4}}{part}", text)]
    return figures, [f"{name}: {part} is not whole" for part in named if FIGURES[part] not in figures]


def _close(rate: float, latency: float) -> bool:
    return 1 / ROUGH <= rate * latency / 1000 <= ROUGH
