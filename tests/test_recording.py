"""What a run ends with where verdicts are none; the whole of a recording is tested through the plugin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from reports.evidence import read
from reports.ledger import Ledger
from reports.recording import NOTHING_JUDGED, UNDECIDED_ONLY, Recording
from reports.run import End
from tests import records

OK, FAILED, INTERRUPTED = (int(getattr(pytest.ExitCode, name)) for name in ("OK", "TESTS_FAILED", "INTERRUPTED"))


@pytest.fixture
def ended(tmp_path):
    """Return a function that ends a run with verdicts of these statuses."""

    def end(effort: str, *statuses: str, exitstatus: int = OK, **changes: Any) -> tuple[int, Recording]:
        path = tmp_path / "evidence.jsonl"
        path.unlink(missing_ok=True)
        recording = Recording(SimpleNamespace(), Ledger(path), harness=True, effort=effort)
        for status in statuses:
            recording.ledger.add(records.verdict(status, **changes))
        session = SimpleNamespace(exitstatus=exitstatus)
        recording.finish(session)
        if statuses:
            (last,) = [e.record for e in read(path).entries if isinstance(e.record, End)]
            assert last.exitstatus == session.exitstatus
        return int(session.exitstatus), recording

    return end


@pytest.mark.parametrize(
    ("effort", "statuses", "status"),
    [
        ("signoff", ("passed",), OK),
        ("signoff", ("passed", "undecided"), FAILED),
        ("signoff", ("passed", "refused"), FAILED),
        ("signoff", ("refused",), FAILED),
        ("nightly", ("passed", "passed"), OK),
        ("nightly", ("passed", "undecided"), UNDECIDED_ONLY),
        ("nightly", ("undecided",), UNDECIDED_ONLY),
        ("nightly", ("undecided", "refused"), FAILED),
        ("nightly", ("refused",), FAILED),
        ("quick", ("passed", "undecided"), OK),
        ("quick", ("passed", "refused"), OK),
        ("quick", ("refused",), NOTHING_JUDGED),
        ("signoff", (), NOTHING_JUDGED),
    ],
)
def test_what_undecided_and_refused_come_to_depends_on_what_the_run_is_for(ended, effort, statuses, status):
    assert ended(effort, *statuses)[0] == status


@pytest.mark.parametrize("exitstatus", [FAILED, INTERRUPTED])
@pytest.mark.parametrize("effort", ["nightly", "signoff"])
def test_a_run_that_failed_or_was_stopped_keeps_its_status(ended, effort, exitstatus):
    assert ended(effort, "undecided", exitstatus=exitstatus)[0] == exitstatus


def test_published_figures_are_no_gate_of_the_run(ended):
    assert ended("signoff", "undecided", details={"source": "published"})[0] == OK


@pytest.mark.parametrize(
    ("effort", "statuses", "said"),
    [
        ("nightly", ("undecided",), "undecided only; exit status 7"),
        ("nightly", ("undecided", "refused"), "nightly: refused and undecided count as failed; exit status 1"),
        ("signoff", ("undecided",), "signoff: undecided counts as failed; exit status 1"),
        ("signoff", ("refused",), "signoff: refused counts as failed; exit status 1"),
        ("quick", ("refused",), "nothing was judged: 1 refused; exit status 6"),
    ],
)
def test_the_status_is_said_with_its_reason(ended, effort, statuses, said):
    assert ended(effort, *statuses)[1].remarks == [said]
