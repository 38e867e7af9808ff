"""`python -m bench import`: logs of vendors' tools become evidence marked `imported`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

from bench import imported
from bench.logs import recognition
from bench.logs.reading import LogError
from fixtures import backend, catalogue
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.model import Model
from reports.figure import figure
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.schema import UnwritableError

RUNS = Path(__file__).resolve().parent.parent / "reports" / "runs"


def main(argv: Sequence[str]) -> int:
    """Import the logs, or none of them; return 0, or 1 with the reason printed."""
    options = _parser().parse_args(argv)
    try:
        found = _import(options)
        path = options.record or _default()
        ledger = Ledger(path, argv=("python", "-m", "bench", "import", *argv))
        for measurement in found:
            ledger.add(measurement)
        ledger.close(0)
    except (SetupError, UnwritableError) as error:
        print(error, file=sys.stderr)
        return 1
    for measurement in found:
        print(_told(measurement))
    for word, name, kind in (("flagged", "flags", ", "), ("not read", "unread", "; ")):
        told = {m.details["log"]["name"]: kind.join(m.details[name]) for m in found if m.details[name]}
        for log, text in told.items():
            print(f"{word}: {log}: {text}", file=sys.stderr)
    print(f"{len(found)} figures in {path}; see them: python -m reports show {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench import", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a log, or ais_bench's summary JSON")
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", required=True, type=_positive, help="side of the input in pixels")
    parser.add_argument("--batch", required=True, type=_positive)
    parser.add_argument("--backend", required=True, help="for instance t4_trtexec")
    parser.add_argument("--profile", default="sample", help="whose checkpoint was timed; default: sample")
    parser.add_argument("--tool", choices=sorted(recognition.SIGNS), help="who wrote the logs; default: as they show")
    parser.add_argument("--times", type=Path, metavar="FILE", help="what trtexec wrote with --exportTimes in that run")
    parser.add_argument("--record", type=Path, metavar="FILE", help="evidence to append to; default: new, reports/runs")
    parser.add_argument("--note", default="", metavar="TEXT", help="what a reader must know to trust the figures")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _import(options: argparse.Namespace) -> list[Measurement]:
    model: Model = catalogue.find("model", options.model)
    if options.profile not in model.profiles:
        raise catalogue.CatalogueError(catalogue.unknown(f"profile of {model.name}", options.profile, model.profiles))
    runtime = backend.find(options.backend).runtime
    shows_size = options.size != model.profiles[options.profile].size
    case = Case(options.profile, model.name, options.size, options.batch, options.backend, shows_size)
    if options.times and len(options.files) > 1:
        raise LogError("--times: expected one log, whose samples these are; found several; import each on its own")
    times = imported.read(options.times) if options.times else None
    found: list[Measurement] = []
    taken: dict[str, str] = {}
    for path in options.files:
        file = imported.read(path)
        if file.sha256 in taken:
            raise LogError(f"{path}: expected another log, found the content of {taken[file.sha256]}; name each once")
        taken[file.sha256] = file.name
        tool = options.tool or _tool(file)
        if tool != runtime:
            raise LogError(_misplaced(file, tool, options.backend, runtime))
        if times and tool != "trtexec":
            raise LogError(f"--times: expected a log of trtexec, found one of {tool}; leave --times out")
        found += imported.measurements(file, case, model, tool, times, options.note)
    return found


def _tool(file: imported.File) -> str:
    try:
        return recognition.tool(file.text)
    except LogError as error:
        raise LogError(f"{file.name}: {error}") from error


def _misplaced(file: imported.File, tool: str, name: str, runtime: str) -> str:
    fitting = [other for other, found in catalogue.entries("backend").items() if found.runtime == tool]
    return (
        f"{file.name}: expected a log of {runtime}, which runs {name}; found one of {tool}; "
        f"name a backend that {tool} runs: {', '.join(fitting) or 'none is known here'}"
    )


def _default() -> Path:
    RUNS.mkdir(parents=True, exist_ok=True)
    return RUNS / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}.jsonl"


def _told(measurement: Measurement) -> str:
    told = measurement.details.get("statistics_ms", {})
    spread = ", ".join(f"{name} {figure(told[name])}" for name in ("median", "p99") if name in told)
    value = figure(measurement.value, measurement.unit)
    return f"{measurement.case.id}  {measurement.metric}  {value}" + (f"  ({spread})" if spread else "")
