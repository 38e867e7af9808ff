"""`undecided` and `refused` as outcomes of their own beside pytest's."""

from __future__ import annotations

from typing import Any

import pytest

from reports.ledger import Ledger
from reports.skip import Skip
from reports.verdict import Verdict

OUTCOMES = {"undecided": "U", "refused": "R"}
"""Letter in the progress line. Both end the test as a skip, which JUnit shows with the reason, never as a pass."""

STATUS = pytest.StashKey[str]()


def announce(item: pytest.Item, ledger: Ledger, verdict: Verdict) -> None:
    """Record a verdict and give the running test its outcome: nothing for `passed`, an exception for the others."""
    ledger.add(verdict)
    properties = {
        "metric": verdict.metric,
        "value": verdict.observed,
        "unit": verdict.unit,
        "limit": verdict.required,
        "margin": verdict.margin,
        "verdict": verdict.status,
    }
    item.user_properties += [(name, value) for name, value in properties.items() if value is not None]
    if verdict.status == "failed":
        pytest.fail(verdict.text(evidence=str(ledger.path)), pytrace=False)
    if verdict.status in OUTCOMES:
        item.stash[STATUS] = verdict.status
        pytest.skip(f"{verdict.status}: {verdict.reason}")


def leave_out(item: pytest.Item, ledger: Ledger, backend: str, reason: str, next_step: str, named: bool) -> None:
    """Record that a case was not run, and skip the test; fail it when the user asked for the backend by name."""
    case = item.callspec.id if hasattr(item, "callspec") else item.name
    ledger.add(Skip(backend, (case,), reason, next_step))
    text = f"{case}: {backend} is not run here: {reason}; {next_step}"
    if named:
        pytest.fail(f"{text}\n{backend} was asked for by name, so that not running it is a failure", pytrace=False)
    pytest.skip(text)


def mark(item: pytest.Item, report: pytest.TestReport) -> None:
    """Write into the report, which crosses from worker to controller, what the terminal needs to know of the test."""
    marks: dict[str, Any] = {}
    if any(item.get_closest_marker(name) for name in ("accuracy", "perf")):
        marks["signoff_harness"] = True
    if report.skipped and STATUS in item.stash:
        marks["signoff_outcome"] = item.stash[STATUS]
    report.__dict__.update(marks)


def status(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Return category, letter and word for the outcomes that pytest does not know."""
    outcome = getattr(report, "signoff_outcome", None)
    return (outcome, OUTCOMES[outcome], (outcome.upper(), {"yellow": True})) if outcome else None
