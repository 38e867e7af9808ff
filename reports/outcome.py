"""`undecided` and `refused` as outcomes of their own beside pytest's."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from fixtures.case import Case
from fixtures.errors import SetupError
from reports.ledger import Ledger
from reports.recording import Recording
from reports.schema import EvidenceError
from reports.skip import Skip
from reports.verdict import Verdict

OUTCOMES = {"undecided": "U", "refused": "R"}
"""Letter in the progress line. Both end the test as a skip, which JUnit shows with the reason, never as a pass."""

STATUS = pytest.StashKey[str]()
LONGEST = 200
"""Characters of a reason in the summary; the failure above it has the whole text."""


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


def show_once(
    item: pytest.Item, recording: Recording, case: Case, report: pytest.TestReport, error: SetupError
) -> None:
    """Show what the user can mend without a traceback, and once: the tests that meet it again are skipped.

    Each affected case is recorded as not run.
    """
    text = str(error)
    # By its first line: what a tool printed below it has times in it.
    first = recording.told.setdefault(text.partition("\n")[0], item.name)
    if first == item.name:
        report.longrepr = text
    else:
        report.outcome = "skipped"
        report.longrepr = str(item.path), item.location[1] or 0, f"Skipped: not run, for the same reason as {first}"
    try:
        recording.leave_out(case, *in_a_line(text))
    except EvidenceError as unwritten:
        report.outcome, report.longrepr = "failed", f"{text}\n{unwritten}"


def in_a_line(text: str) -> tuple[str, str]:
    """Return reason and next step of a message that may have many lines."""
    reason, said, next_step = text.partition("\nnext:")
    if not said:
        head = text.partition("\n")[0]  # what follows is what a tool printed
        reason, _, next_step = head.rpartition(";")
        if not reason or next_step.strip().startswith("found"):
            reason, next_step = text, "see the failure above"
    shown, step = (textwrap.shorten(part, LONGEST, placeholder=" ...") for part in (reason, next_step))
    return shown, step or "see the failure above"


def of_harness(item: pytest.Item) -> bool:
    """Tell whether a test measures or judges."""
    return any(item.get_closest_marker(name) for name in ("accuracy", "perf", "published"))


def mark(item: pytest.Item, report: pytest.TestReport) -> None:
    """Write into the report, which crosses from worker to controller, what the terminal needs to know of the test."""
    marks: dict[str, Any] = {}
    if of_harness(item):
        marks["signoff_harness"] = True
    if report.skipped and STATUS in item.stash:
        marks["signoff_outcome"] = item.stash[STATUS]
    report.__dict__.update(marks)


def status(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Return category, letter and word for the outcomes that pytest does not know."""
    outcome = getattr(report, "signoff_outcome", None)
    return (outcome, OUTCOMES[outcome], (outcome.upper(), {"yellow": True})) if outcome else None
