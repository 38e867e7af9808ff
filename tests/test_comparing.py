"""A comparison from evidence to verdict; the axes, the accuracy and the words have tests of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.comparing import Comparing, unjudged
from bench.comparison import Comparison
from bench.rules.ascend310_over_t4 import RULE as OVER_T4
from bench.settings import Settings
from bench.sides import Absent, in_evidence, measured_elsewhere
from fixtures.case import Case
from fixtures.errors import SetupError
from reports.entry import Entry
from reports.evidence import Evidence
from reports.host_key import HARDWARE
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.published import entries as published
from reports.round import Round
from reports.run import Run
from reports.verdict import Verdict
from tests import test_axes as hosts

CASE, T4 = (Case("official", "edsr", 256, 1, name, shows_size=True) for name in ("ascend310", "t4_trtexec"))
OWN = Case("official", "edsr", 1020, 1, "ascend310")
ACROSS = Comparison(OVER_T4, CASE, T4)
STEPS = (-0.001, 0.001, 0.0, 0.001, -0.001)
SISTER = "0f" * 32


def at(rate: float, entries: Iterable[Entry], day: int, run: str) -> list[Entry]:
    """Return what a host hands over, with rounds of these images/s, as another run."""
    changed = []
    for entry in entries:
        record: Any = entry.record
        if isinstance(record, Round):
            device_ms = [1e3 / (rate * math.exp(STEPS[record.seed]))] * 2
            calls = tuple(round(2e6 * ms) + record.seed + day for ms in device_ms)
            started = record.started.replace(record.started[:10], f"2026-11-{day:02}")
            details = {**record.details, "device_ms": device_ms}
            record = replace(record, samples_ns=calls, started=started, details=details)
        elif isinstance(record, Measurement):
            record = replace(record, taken=f"2026-11-{day:02}T04:00:00")
        elif isinstance(record, Run):
            known = {**dict.fromkeys(HARDWARE, run[:2]), **record.environment["stable"]}
            record = replace(record, environment={**record.environment, "stable": known})
        changed.append(Entry(run, record))
    return changed


def npu(rate: float = 22.3706, day: int = 12, run: str = "npu") -> list[Entry]:
    details = {"versions": {"toolkit": "8.0", "driver": "25"}, "before": {"id": "npu0", "name": "310"}}
    return at(rate, hosts.side("ascend310", "npu-host", hosts.ASCEND, 12, details), day, run)


def t4(rate: float = 85.324, day: int = 13, run: str = "t4") -> list[Entry]:
    details = {
        "versions": {"trtexec": "11.0.0", "driver": "580", "cuda_graph": "off"},
        "before": {"id": "gpu0", "name": "Tesla T4"},
        "timed_section": "device compute",
        "tool": {"tool": "trtexec"},
        "window": {"calls": 9, "images": 9, "ns": 10**8, "depth": 2, "transfers": False},
        "checked_calls": 1,
        "largest_relative_error": 2e-4,
    }
    return at(rate, hosts.side("t4_trtexec", "t4-host", hosts.TENSORRT, 13, details), day, run)


def right(case: Case, rule: str, sha256: str, built: dict[str, Any]) -> list[Entry]:
    """Return that an engine was found right."""
    engine = {"sha256": sha256, "origin": "built", "recipe": {**built, "size": case.size}}
    figure = Measurement(case, "psnr", 34.6, "dB", engine=engine, taken="2026-11-01")
    return [
        Entry("right", record)
        for record in (figure, Verdict(case, rule, "g", "passed", "psnr", "dB", "so", measurements=(figure.id,)))
    ]


ACCURATE = [*right(CASE, "parity", "12" * 32, hosts.ASCEND), *right(OWN, "accuracy", SISTER, hosts.ASCEND)]


@pytest.fixture
def comparing(tmp_path):
    """Return a function that makes a run which only judges what it is given."""

    def make(*given: list[Entry], **settings: Any) -> Comparing:
        evidence = [Evidence(Path(f"{number}"), tuple(entries)) for number, entries in enumerate(given)]
        chosen = Settings(judge_only=True, **settings)
        return Comparing(Ledger(tmp_path / "run.jsonl", evidence), chosen, None, measured_elsewhere)

    return make


def test_realistic_evidence_of_two_hosts_comes_to_a_verdict_without_allow(comparing):
    found = comparing(npu(), t4(), ACCURATE).verdict(ACROSS)
    assert found.status == "undecided"
    assert found.subject == "edsr-256-bs1-ascend310-over-t4"
    assert found.reason.startswith(
        "card 89.482 images/s (x4, extrapolated) over 85.324 images/s, device compute: ratio 1.049 [0.992, 1.109] by "
        "mean and median at 95 %, required > 1; one campaign each; about two more on other days decide; "
    )
    assert found.reason.endswith(". By the guide's point rule: 1.049 > 1, met")


def test_a_second_figure_of_another_section_is_named_and_not_compared(comparing):
    found = comparing(npu(), t4(), ACCURATE).verdict(ACROSS)
    assert "; host wall with transfers not compared: section: " in found.reason
    assert "beside_it" not in found.details


def test_campaigns_of_other_days_are_taken_together_until_they_decide(comparing):
    days = [[*npu(day=day, run=f"npu{day}"), *t4(day=day, run=f"t4{day}")] for day in (12, 13, 14)]
    found = comparing(*days, ACCURATE).verdict(ACROSS)
    assert found.status == "passed"
    assert "three campaigns each" in found.reason


def test_a_campaign_that_is_left_out_is_named_with_its_side(comparing):
    elsewhere = npu(day=11, run="other")
    found = comparing(npu(), elsewhere, t4(), ACCURATE).verdict(ACROSS)
    assert "; left out of the candidate: a campaign of 2026-11-11: on another host; " in found.reason


def test_a_side_that_nobody_measured_is_named_with_its_command(comparing):
    made = comparing(t4())
    found = made.verdict(ACROSS)
    assert isinstance(found, Absent)
    assert found.case == CASE
    assert "--backend ascend310 --effort signoff" in found.next_step
    assert not made.requires(ACROSS, found)


def test_speed_without_accuracy_is_refused_with_its_ratio_beside_it(comparing):
    found = comparing(npu(30.0), t4()).verdict(ACROSS)
    assert found.status == "refused"
    assert "accuracy not shown" in found.reason
    assert "card 120 images/s" in found.reason
    allowed = comparing(npu(30.0), t4(), allowed={"accuracy": "a trial"}).verdict(ACROSS)
    assert allowed.status == "passed"
    assert "allowed accuracy: a trial (edsr-256-bs1-ascend310: accuracy not shown: no passed parity" in allowed.reason


def test_an_allowance_that_was_not_needed_is_said_and_one_that_nobody_knows_is_an_error(comparing):
    found = comparing(npu(), t4(), ACCURATE, allowed={"data": "why not"}).verdict(ACROSS)
    assert "--allow data was not needed" in found.reason
    with pytest.raises(SetupError, match="did you mean 'data'"):
        comparing(npu(), t4(), allowed={"dta": "why not"}).verdict(ACROSS)


def test_no_reason_lets_an_engine_through_whose_accuracy_failed(comparing):
    wrong = [
        replace(entry, record=replace(entry.record, status="failed")) if isinstance(entry.record, Verdict) else entry
        for entry in ACCURATE
    ]
    found = comparing(npu(30.0), t4(), wrong, allowed={"accuracy": "in a hurry"}).verdict(ACROSS)
    assert found.status == "refused"
    assert "parity of engine 12121212 failed: so; " in found.reason
    assert "--allow does not let it through" in found.reason


def test_the_verdict_names_by_what_the_engines_were_shown_to_be_right(comparing):
    found = comparing(npu(), t4(), ACCURATE).verdict(ACROSS)
    assert [found.details[side]["accuracy"] for side in ("candidate", "baseline")] == [
        "parity passed for engine 12121212 at 256, accuracy for engine 0f0f0f0f at 1020",
        "outputs checked: those of the timed calls are within 0.0002 of the accuracy path's, no verdict",
    ]
    without = comparing(npu(), t4()).verdict(ACROSS)
    assert without.details["candidate"]["accuracy"].startswith("not shown: no passed parity verdict of engine 12121212")


def test_the_noise_that_an_interval_rests_on_stands_in_the_verdict(comparing):
    found = comparing(npu(), t4(), ACCURATE).verdict(ACROSS)
    told = [found.details[side]["between_campaigns"] for side in ("candidate", "baseline")]
    assert told == ["2 % (locked clocks)"] * 2
    assert found.details["baseline"]["device"] == "Tesla T4"


def test_stand_ins_are_refused_as_a_device(comparing):
    emulated = [
        Entry(e.run, replace(e.record, case=replace(CASE, backend="ascend310~emulated")))
        if isinstance(e.record, (Round, Measurement))
        else e
        for e in npu(30.0)
    ]
    found = comparing(emulated, t4(), ACCURATE, allowed={"device": "please", "accuracy": "x"}).verdict(ACROSS)
    assert found.status == "refused"
    assert found.subject.endswith("~emulated")
    assert "ascend310~emulated is a stand-in, and never a device" in found.reason


def test_the_guides_figures_are_refused_by_name_as_evidence_of_both_sides(comparing):
    found = comparing(list(published.entries())).verdict(ACROSS)
    assert found.status == "refused"
    assert found.details["campaigns"]["candidate"][0].endswith("0 rounds, published")
    names = "model, precision, data, protocol, exclusivity, versions, accuracy"
    cause = "a published figure: no engine, no data, no rounds"
    assert f"candidate and baseline: {cause} ({names}); " in found.reason
    assert found.reason.count(cause) == 1
    assert found.details["refused"]["data"] == f"candidate: {cause}; baseline: {cause}"
    assert {*names.split(", ")} < {*found.details["refused"]}


def test_a_run_that_was_cut_off_before_its_figures_says_so(comparing):
    cut_off = [each for each in npu() if not isinstance(each.record, Measurement)]
    found = comparing(cut_off, t4(), ACCURATE).verdict(ACROSS)
    assert found.status == "refused"
    assert found.reason.startswith(
        "candidate: the run was cut off before its figures were written; measure again "
        "(model, precision, data, tuning); "
    )


def test_a_measurement_is_never_compared_with_itself(comparing):
    one = npu()
    same = [
        Entry("again", replace(e.record, case=T4)) if isinstance(e.record, (Round, Measurement)) else e for e in one
    ]
    found = comparing(one, same, ACCURATE, allowed=dict.fromkeys(("device", "accuracy"), "x")).verdict(ACROSS)
    assert found.status == "refused"
    assert "self: both sides hold the same" in found.reason


def test_why_a_caller_refuses_stands_in_the_verdict(comparing):
    made = comparing(npu(30.0), t4(), ACCURATE)
    entries = made.entries
    candidates, baselines = (in_evidence(case, entries) for case in (CASE, T4))
    found = made.decide(OVER_T4, candidates, baselines, "device_compute", None, None, [], entries, ["an unknown host"])
    assert (found.status, found.reason) == ("refused", "an unknown host")


def test_given_evidence_that_no_test_judged_is_listed_once(comparing):
    made = comparing(npu(), t4(), ACCURATE)
    assert unjudged(made.ledger) == [
        "judged by no test: the given evidence of edsr-256-bs1-ascend310 (official), edsr-256-bs1-t4_trtexec (official)"
    ]
    made.ledger.add(made.verdict(ACROSS))
    assert unjudged(made.ledger) == []


def test_a_case_that_was_judged_in_turn_is_not_called_unjudged_for_its_figures_alone(comparing):
    alone = Measurement(CASE, "latency", 9.0, "ms", taken="2026-11-01")
    in_turn = replace(alone, details={"pair": {"arm": 1, "other": T4.id}})
    made = comparing([Entry("one", alone), Entry("one", in_turn)])
    assert len(unjudged(made.ledger)) == 1
    made.ledger.add(Verdict(CASE, "r", "g", "undecided", "latency", "times", "so", measurements=(in_turn.id,)))
    assert unjudged(made.ledger) == []
