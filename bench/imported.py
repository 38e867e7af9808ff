"""One log file as evidence: read, checked against the case it is said to be of, and turned into measurements."""

from __future__ import annotations

import codecs
import hashlib
import math
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import belonging
from bench.logs import ais_bench, benchmark, figures, trtexec
from bench.logs.figures import Figure
from bench.logs.reading import LogError, agree
from fixtures.backend import EMULATED
from fixtures.case import Case
from fixtures.model import Model
from reports.measurement import Measurement

LARGEST_BYTES = 1 << 30
DEFAULT_WARMUP_MS = 200.0
"""Of trtexec, in all versions, as its --help says."""
SIX_DIGITS = 2e-5

Log = belonging.Log

STAND_IN = "signoff emulator:"
"""The mark in everything that a stand-in prints. It may follow a line of another stream that has no end yet."""
_WARMUP = re.compile(r"--warmUp=([0-9]{1,9})(?![0-9.])")


@dataclass(frozen=True)
class File:
    """A file as it lay there."""

    name: str
    """Without its folder, which says nothing elsewhere."""
    sha256: str
    text: str

    @property
    def identity(self) -> dict[str, str]:
        """Return what tells it from any other."""
        return {"name": self.name, "sha256": self.sha256}


def read(path: Path) -> File:
    """Read a log in UTF-8, or in UTF-16 as PowerShell writes it; raise LogError where there is none."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise LogError(f"{path}: expected a log file, found something else; name the file")
        if found.st_size > LARGEST_BYTES:
            raise LogError(f"{path}: expected a log of at most 1 GiB, found {found.st_size} bytes; cut out the run")
        content = path.read_bytes()
    except OSError as error:
        raise LogError(f"{path}: expected a log file, found none ({error.strerror}); check the path") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return File(path.name, hashlib.sha256(content).hexdigest(), text)


def measurements(file: File, case: Case, model: Model, tool: str, times: File | None, note: str) -> list[Measurement]:
    """Return the figures of a log as measurements of a case, each with all of its provenance.

    Raises LogError, which names the file, for a log without a figure, of a run that failed, or of another case.
    """
    try:
        _refuse_emulated(file, case)
        log = _parse(file, tool)
        untold = belonging.check(log, file.name, case, model)
        queries = _times(log, times)
        found = _figures(log, case.batch, queries)
    except LogError as error:
        raise LogError(f"{file.name}: {error}") from error
    if not found:
        reasons = "; ".join([*_errors(log), *log.flags, *log.unread]) or "nothing more"
        raise LogError(
            f"{file.name}: expected a figure of {tool}, found none that can be taken ({reasons[:600]}); "
            "give the whole output of a run that passed"
        )
    flags = [*log.flags, *(_disagreements(log, queries) if queries else []), *untold]
    unread = [*log.unread, *(queries.unread if queries else ())]
    details: dict[str, Any] = {
        "log": file.identity,
        **({"times": times.identity} if times else {}),
        "tool": tool,
        "version": log.tensorrt_version if isinstance(log, trtexec.Log) else getattr(log, "version", None),
        "command": log.command,
        "flags": flags,
        "unread": unread,
        "per": "device",
        "facts": _facts(log, queries),
    }
    return [
        Measurement(
            case,
            figure.metric,
            figure.value,
            figure.unit,
            "imported",
            notes=_notes(tool, details, figure, note),
            details={**details, "formula": figure.formula, **figure.more, **_spread(figure)},
        )
        for figure in found
    ]


def _refuse_emulated(file: File, case: Case) -> None:
    """Raise LogError for what a stand-in of a tool printed: it is nobody's figure."""
    if STAND_IN in file.text and not case.backend.endswith(EMULATED):
        raise LogError(
            f"expected a log of {case.backend}, found one of a stand-in; name it as {case.backend}{EMULATED}"
        )


def _parse(file: File, tool: str) -> Log:
    if tool == "trtexec":
        return trtexec.parse(file.text)
    if tool == "benchmark":
        return benchmark.parse(file.text)
    return ais_bench.parse_summary(file.text) if file.text.lstrip()[:1] == "{" else ais_bench.parse(file.text)


def _times(log: Log, times: File | None) -> trtexec.Times | None:
    if times is None:
        return None
    assert isinstance(log, trtexec.Log)
    said = _WARMUP.search(log.command or "")
    # Without the command nobody knows: the queries of the warm-up then stay in, with a flag.
    warmup = float(said[1]) if said else DEFAULT_WARMUP_MS if log.command else None
    return trtexec.parse_times(times.text, log.tensorrt_version, warmup)


def _figures(log: Log, batch: int, times: trtexec.Times | None) -> list[Figure]:
    if isinstance(log, trtexec.Log):
        found = figures.of_trtexec(log, batch, times)
    else:
        found = figures.of_ais_bench(log, batch) if isinstance(log, ais_bench.Log) else figures.of_benchmark(log)
    return [figure for figure in found if math.isfinite(figure.value) and figure.value > 0]


def _disagreements(log: Log, times: trtexec.Times) -> list[str]:
    """Return the flags of the samples; they are not of this run where their mean or median is not the printed one."""
    assert isinstance(log, trtexec.Log)
    pairs = ((log.gpu_compute.mean, times.compute.mean), (log.gpu_compute.median, times.compute.median))
    other = any(told and own is not None and not agree(told, own, SIX_DIGITS) for told, own in pairs)
    return [*times.flags, *["times_disagree"] * other]


def _facts(log: Log, times: trtexec.Times | None) -> dict[str, Any]:
    """Return what else the log tells and a comparison may ask for; no figure twice."""
    told = log.as_dict()
    names: tuple[str, ...]
    if isinstance(log, trtexec.Log):
        names = ("status", "layout", "throughput_qps", "query_samples", "shapes", "options", "logged", "blocks_ms")
        names += ("device", "compute_capability", "precision", "loaded")
    elif isinstance(log, ais_bench.Log):
        names = ("facts", "devices", "total_throughput", "energy_j")
    else:
        names = ("mode", "device", "stages")
    facts = {name: told[name] for name in names if told[name] not in (None, [], {})}
    return {**facts, **({"warmup_dropped": times.warmup_dropped} if times else {})}


def _spread(figure: Figure) -> dict[str, Any]:
    if figure.statistics is None:
        return {}
    told = {name: value for name, value in figure.statistics.as_dict().items() if value is not None}
    samples = {"samples_ms": list(figure.samples_ms)} if figure.samples_ms else {}
    return {"statistic": "mean", "statistics_ms": told, **samples}


def _notes(tool: str, details: dict[str, Any], figure: Figure, note: str) -> tuple[str, ...]:
    version = f" {details['version']}" if details["version"] else ", version unknown"
    device = f" {figure.more['device']}" if "device" in figure.more else ""
    notes = [
        f"imported from {details['log']['name']} ({tool}{version}): engine, data and host of the run are not known; "
        "the line of this run describes where it was imported",
        f"of one device{device}, not of a card; {figure.metric} is {figure.formula}",
    ]
    notes += [f"flagged: {', '.join(details['flags'])}"] * bool(details["flags"])
    return (*notes, note) if note else tuple(notes)


def _errors(log: Log) -> tuple[str, ...]:
    return log.errors[:3] if isinstance(log, ais_bench.Log) else ()
