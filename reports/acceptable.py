"""What may become the baseline of later nights: campaigns measured with care, of engines shown to be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fixtures.case import Case
from reports import timed_outputs
from reports.acceptance import Acceptance
from reports.entry import Entry, Record
from reports.measurement import Measurement
from reports.round import REPLICATED, Round
from reports.run import End, Run
from reports.verdict import Verdict

SPEED = ("device_compute", "latency", "throughput", "best_batch")
"""Metrics of figures that come of rounds; all others are of accuracy."""
AGAIN = "measure with --effort nightly or signoff"


class RefusedError(Exception):
    """Why a campaign is not accepted, and what would change that."""


@dataclass(frozen=True)
class Campaign:
    """One case in one run, fit to be accepted: its figures, and every line that is published with them."""

    run: str
    case: Case
    figures: tuple[Measurement, ...]
    entries: tuple[Entry, ...]

    def accepted(self, acceptance: Acceptance) -> list[Entry]:
        """Return the lines to publish; the acceptance is the last, so that no part is taken for the whole."""
        return [*self.entries, Entry(self.run, acceptance)]


def judge(entries: Sequence[Entry]) -> Iterator[tuple[str, Case, Campaign | RefusedError]]:
    """Yield every campaign of some evidence (run, case) that can be accepted, or why it cannot.

    A case of which only accuracy was measured is accepted by itself; where it was timed as well, its accuracy goes
    with the rounds.
    """
    found = [(entry.run, entry.record) for entry in entries if isinstance(entry.record, (Round, Measurement))]
    timed = {record.case for _, record in found if _timed(record)}
    for run, case in dict.fromkeys((run, each.case) for run, each in found if _timed(each) or each.case not in timed):
        try:
            yield run, case, _campaign(entries, run, case)
        except RefusedError as refused:
            yield run, case, refused


def _timed(record: Round | Measurement) -> bool:
    return isinstance(record, Round) or record.metric in SPEED


def _campaign(entries: Sequence[Entry], run: str, case: Case) -> Campaign:
    taken = [entry.record for entry in entries if entry.run == run and isinstance(entry.record, (Round, Measurement))]
    own = [record for record in taken if record.case == case]
    alone = [record for record in own if _alone(record)]
    if any(map(_timed, own)) and not any(map(_timed, alone)):
        raise RefusedError(f"it was measured as one of a pair only; {AGAIN}, and by itself")
    rounds = [record for record in alone if isinstance(record, Round)]
    figures = [record for record in alone if isinstance(record, Measurement)]
    if speed := [figure for figure in figures if figure.metric in SPEED]:
        figures = speed
    elif rounds:
        raise RefusedError(f"no figure came of its rounds; was the run cut off? {AGAIN}")
    if speed and not rounds:
        raise RefusedError(f"its figures come without rounds; {AGAIN}")
    engine = _engine(figures)
    if speed:
        _check_rounds([each for each in rounds if each.engine == engine])
    right = _shown_right(entries, run, case, engine, [each for each in rounds if each.engine == engine])
    kept = [
        (entry.run == run and _about(entry.record, case, engine)) or _id(entry.record) in right for entry in entries
    ]
    runs = {run, *(entry.run for entry, about in zip(entries, kept, strict=True) if about)}
    framed = [
        entry
        for entry, about in zip(entries, kept, strict=True)
        if about or (entry.run in runs and isinstance(entry.record, (Run, End)))
    ]
    # The campaign's own run last: what was shown elsewhere comes before what rests on it.
    return Campaign(run, case, tuple(figures), tuple(sorted(framed, key=lambda entry: entry.run == run)))


def _engine(figures: Sequence[Measurement]) -> str:
    """Return the sha256 that all figures belong to."""
    engines = {figure.engine.get("sha256", "") for figure in figures}
    if engines == {""}:
        raise RefusedError(f"its figures name no engine; {AGAIN}")
    if len(engines) > 1:
        raise RefusedError(f"its figures are of {len(engines)} engines; measure each in a run of its own")
    return str(engines.pop())


def _check_rounds(rounds: Sequence[Round]) -> None:
    if not rounds:
        raise RefusedError(f"no round is of the engine of its figures; {AGAIN}")
    efforts = {str(each.details.get("effort", "")) for each in rounds}
    if "quick" in efforts:
        raise RefusedError(f"it was measured with --effort quick, which is a look; {AGAIN}")
    if "" in efforts:
        raise RefusedError(f"its rounds do not say with which effort they were taken; {AGAIN}")
    processes = {str(each.details.get("card_round", number)) for number, each in enumerate(rounds)}
    if len(processes) < REPLICATED:
        raise RefusedError(
            f"it has {len(processes)} of the {REPLICATED} rounds that make a campaign; {AGAIN} and a larger --budget"
        )


def _shown_right(entries: Sequence[Entry], run: str, case: Case, engine: str, rounds: Sequence[Round]) -> set[str]:
    """Return the ids of the figures of accuracy that show an engine to be right, and of what judged them.

    Raises RefusedError where a verdict about the case or the accuracy of its engine failed, or none passed. Parity with
    fp32 is enough where the data have no targets at that size, and so no verdict on accuracy.
    """
    judged = {
        record.id
        for record in (entry.record for entry in entries)
        if isinstance(record, Measurement) and record.engine.get("sha256") == engine and record.metric not in SPEED
    }
    verdicts = [(entry.run, entry.record) for entry in entries if isinstance(entry.record, Verdict)]
    accuracy = [v for _, v in verdicts if v.rule in ("accuracy", "parity") and judged & set(v.measurements)]
    failed = [
        v
        for where, v in verdicts
        if v.status == "failed"
        and (v in accuracy or (v.case == case and (where == run or (v.rule == "accuracy" and not v.measurements))))
    ]
    if failed:
        raise RefusedError(f"{failed[0].rule} failed: {failed[0].reason}")
    decisive = [v for v in accuracy if v.rule == "accuracy"] or accuracy
    if not any(v.passed for v in decisive) and (decisive or timed_outputs.largest_error(rounds) is None):
        found = f"{decisive[0].rule} was {decisive[0].status}: {decisive[0].reason}" if decisive else "not shown"
        raise RefusedError(
            f"accuracy of engine {engine[:8]}: {found}; name the evidence of pytest -m accuracy with that engine too"
        )
    return judged | {_id(v) for v in accuracy}


def _alone(record: Round | Measurement) -> bool:
    """Tell whether it is of the campaign of its case: not of turns with another engine, nor taken again for a sweep.

    Turns slow both engines: that is no level to hold.
    """
    return not record.details.get("pair") and "part" not in record.details


def _about(record: Record, case: Case, engine: str) -> bool:
    if isinstance(record, Round):
        return record.case == case and record.engine == engine and _alone(record)
    if isinstance(record, Measurement):
        return record.case == case and record.engine.get("sha256") == engine and _alone(record)
    return isinstance(record, Verdict) and case in (record.case, record.against)


def _id(record: Record) -> str:
    """Return what tells two figures or two verdicts apart; nothing for any other record."""
    if isinstance(record, Measurement):
        return record.id
    return f"verdict {record.as_dict()}" if isinstance(record, Verdict) else ""
