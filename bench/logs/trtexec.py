"""Reads what trtexec prints (TensorRT 7 to 11), whole or copied from a page; and its --exportTimes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bench.logs.reading import NUMBER, agree, lines, number
from bench.logs.statistics import Statistics
from bench.logs.trtexec_counts import Counts
from bench.logs.trtexec_log import Log, numbers
from bench.logs.trtexec_summary import Summary
from bench.logs.trtexec_times import Times, parse_times

__all__ = ["Log", "Times", "parse", "parse_times"]

_PREFIX = re.compile(
    r"(?:\[([0-9]{2}/[0-9]{2}/[0-9]{4}-[0-9]{2}:[0-9]{2}:[0-9]{2})\])?[ \t]*(?:\[[A-Z]\])?[ \t]*(?:\[TRT\])?[ \t*]*"
)
_MARKER = re.compile(
    r"&&&& (RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec(?: \[TensorRT v([0-9]{4,6})\])?(?: \[b[0-9]{1,6}\])?"
    r"(?: # ?(.*))?"
)
_VERSION = re.compile(r"TensorRT version: ([0-9]{1,3}(?:\.[0-9]{1,4}){1,3})")
_QUERIES = re.compile(rf"Timing trace has ([0-9]{{1,18}}) queries over ({NUMBER}) s\b")
_UNSTABLE = re.compile(rf"GPU compute time is unstable, with coefficient of variance = ({NUMBER})%")
_SHAPE = re.compile(
    r"(?:Input binding for \S{1,300} with dimensions |Automatically (?:overriding|setting) shape to: "
    r"|Created input binding for \S{1,300} with dimensions )([0-9]{1,9}(?:x[0-9]{1,9}){0,9})(?![0-9x])"
)
_REQUESTED = re.compile(r"--shapes=(\S+)")
_OPTION = re.compile(r"(Data transfers|Spin-wait|CUDA Graph): (Enabled|Disabled)$")
_TOLD = re.compile(r"(Selected Device|Compute Capability|Precision|Load engine):[ \t]?(.{0,4096})$")
_FORMS = {
    "Selected Device": re.compile(r"\S.{0,99}"),
    "Compute Capability": re.compile(r"[0-9]{1,3}\.[0-9]{1,2}"),
    "Precision": re.compile(r"Strongly Typed|(?:\+?(?:FP|BF|INT)[0-9]{1,2}){1,8}(?: \([a-z ]{1,60}\))?"),
    "Load engine": re.compile(r".*"),
}
_AVERAGE = re.compile(rf"Average over [0-9]{{1,9}} runs is {NUMBER} ms")

WARNINGS = {
    "bound by Enqueue Time": "enqueue_bound",
    "bound by host-to-device transfers": "h2d_bound",
    "bound by device-to-host transfers": "d2h_bound",
    "Multiple inference streams are used": "several_streams",
    "Automatically overriding shape": "shape_overridden",
    "Automatically setting shape": "shape_overridden",  # of an engine that was loaded
}

ENQUEUE_BOUND = 0.8
"""trtexec warns where the median of enqueueing is above this part of the GPU's median."""


def parse(text: str) -> Log:
    """Read what trtexec printed; never raises. Text without a figure has the layout `none`."""
    run, runs = _Run(), 0
    for line in lines(text):
        prefix = _PREFIX.match(line)
        assert prefix is not None  # every part of it is optional
        line = line[prefix.end() :]
        if run.ended_before(line):
            run, runs = _Run(), runs + 1
        run.logged = prefix[1] or run.logged
        run.read(line)
    return run.log(several=runs > 0)


@dataclass
class _Run:
    status: str | None = None
    version: str | None = None
    command: str | None = None
    summary: Summary = field(default_factory=Summary)
    summaries: int = 0
    bound: dict[tuple[int, ...], None] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    queries: tuple[int, float | None] | None = None
    averages: bool = False
    flags: dict[str, None] = field(default_factory=dict)
    logged: str | None = None
    empty: bool = True

    def ended_before(self, line: str) -> bool:
        """Tell whether a line belongs to the next run."""
        if marker := _MARKER.match(line):
            return not self.empty and (self.status is not None or marker[1] == "RUNNING")
        return self.status is not None and self.summary.starts_another(line)

    def read(self, line: str) -> None:
        if marker := _MARKER.match(line):
            self.empty = False
            self.status = None if marker[1] == "RUNNING" else marker[1].lower()
            self.version = _decoded(marker[2]) if marker[2] else self.version
            self.command = (marker[3] or "").strip() or self.command
            return
        if self.summary.starts_another(line):
            self.summaries += bool(self.summary)
            self.summary = Summary()
        if self.summary.read(line):
            self.empty = False
        if found := _UNSTABLE.search(line):
            self.flags["unstable"] = None
        elif found := _QUERIES.match(line):
            self.queries = int(found[1]), number(found[2])
        elif found := _OPTION.match(line):
            self.options[found[1]] = found[2]
        elif found := _VERSION.match(line):
            self.version = self.version or found[1]
        else:
            self.averages |= _AVERAGE.match(line) is not None
            if (found := _TOLD.match(line)) and _FORMS[found[1]].fullmatch(found[2]):
                self.told[found[1]] = found[2]
        if found := _SHAPE.search(line):
            self.bound[_dimensions(found[1])] = None
        for words, flag in WARNINGS.items():
            if words in line:
                self.flags[flag] = None

    def log(self, several: bool) -> Log:
        summary = self.summary
        blocks = {name: section.statistics() for name, section in summary.sections.items()}
        walltime, total = summary.totals.get("walltime_s"), summary.totals.get("gpu_total_s")
        queries = self.queries[0] if self.queries else None
        counts = Counts(summary.throughput, blocks.get("gpu_compute", Statistics()).mean, walltime, total)
        flags = [*self.flags, *(f"{name}_{flag}" for name, block in blocks.items() for flag in block.contradictions())]
        flags += ["several_runs"] * several + ["several_summaries"] * bool(self.summaries)
        flags += ["zero_qps"] * (summary.throughput == 0) + counts.flags()
        if self.queries and queries and self.queries[1] and summary.throughput:
            flags += ["throughput_disagrees"] * (not agree(summary.throughput, queries / self.queries[1], 0.01))
        enqueue, compute = (blocks.get(name, Statistics()).median for name in ("enqueue", "gpu_compute"))
        flags += ["enqueue_bound"] * (enqueue is not None and compute is not None and enqueue > ENQUEUE_BOUND * compute)
        layout = summary.layout(numbers(self.version)) if summary else "legacy-average" if self.averages else "none"
        return Log(
            self.status,
            layout,
            self.version,
            summary.throughput,
            blocks,
            walltime,
            total,
            queries,
            counts.query_samples,
            counts.query_is_execution,
            self.command,
            tuple(self.bound) or _requested(self.command or ""),
            dict(self.options),
            self.logged,
            self.told.get("Selected Device"),
            self.told.get("Compute Capability"),
            self.told.get("Precision"),
            self._loaded(),
            tuple(dict.fromkeys(flags)),
            (*summary.unread(), *([] if summary else ["no performance summary"])),
        )

    def _loaded(self) -> bool | None:
        if self.command and ("--loadEngine=" in self.command or "--onnx=" in self.command):
            return "--loadEngine=" in self.command
        return bool(self.told["Load engine"]) if "Load engine" in self.told else None


def _decoded(text: str) -> str:
    """Return 8.6.1 for 8601 and 10.3.0 for 100300: the marker changed its radix with 10.0."""
    radix = 100 if int(text) >= 10000 else 10
    major, rest = divmod(int(text), 100 * radix)
    return f"{major}.{rest // 100}.{rest % 100}"


def _dimensions(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def _requested(command: str) -> tuple[tuple[int, ...], ...]:
    found = _REQUESTED.search(command)
    shapes = (part.rpartition(":")[2] for part in found[1].split(",")) if found else ()
    return tuple(_dimensions(shape) for shape in shapes if re.fullmatch(r"[0-9]{1,9}(?:x[0-9]{1,9}){0,9}", shape))
