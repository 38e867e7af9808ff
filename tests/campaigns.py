"""Evidence of whole campaigns for the tests to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fixtures.case import Case
from reports.entry import Entry, Record
from reports.measurement import Measurement
from reports.round import Round
from reports.run import End, Run
from reports.verdict import Verdict
from tests import records

SHA256 = "ab" * 32
ENGINE = {"sha256": SHA256, "key": "0" * 20, "origin": "built"}


def timed(case: Case, effort: str | None = "nightly", day: str = "2026-01-02", **changes: Any) -> list[Record]:
    """Return five rounds of a case and their figures."""
    details = {"effort": effort, "mode": "pure inference"} if effort else {}
    known = {"case": case, "engine": SHA256, "details": details}
    rounds = [
        records.timed_round(**{**known, "seed": n, "started": f"{day}T00:0{n}:00+00:00", **changes}) for n in range(5)
    ]
    return [*rounds, speed(case, day=day), speed(case, "latency", 20.0, "ms", day)]


def speed(
    case: Case, metric: str = "throughput", value: float = 50.0, unit: str = "images/s", day: str = "2026-01-02"
) -> Measurement:
    """Return a figure of speed."""
    return Measurement(case, metric, value, unit, engine=ENGINE, taken=f"{day}T00:05:00+00:00")


def right(case: Case, status: str = "passed", rule: str = "accuracy", day: str = "2026-01-01") -> list[Record]:
    """Return a figure of accuracy and what was judged of it."""
    figure = records.measurement(case=case, engine=ENGINE, taken=f"{day}T00:00:00+00:00")
    verdict: Verdict = records.verdict(status, case=case, rule=rule, measurements=(figure.id,))
    return [figure, verdict]


def run(name: str, *found: Record, started: str = "2026-01-02T03:04:05+00:00") -> list[Entry]:
    """Return a run with its first and last line."""
    header = Run(("pytest",), {"stable": {"cpu": "x"}, "recorded": {}, "harness": {}}, started)
    end = End(0, {"run": 1, "round": sum(isinstance(each, Round) for each in found)}, started)
    return [Entry(name, record) for record in (header, *found, end)]


def write(path: Path, *entries: Entry) -> Path:
    """Write a file of evidence."""
    path.write_text("".join(json.dumps(entry.as_dict()) + "\n" for entry in entries))
    return path
