from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from bench import judging, verdicts
from bench.campaigns import Campaign
from bench.judging import Judged
from bench.rule import Rule
from bench.statistics.decision import CAMPAIGNS, PAIRS, Decision
from bench.verdicts import Compared
from fixtures import catalogue
from reports.entry import Entry
from reports.verdict import Verdict
from tests import records

ASCEND = records.case(1, "ascend310", size=256, shows_size=True)
T4 = records.case(1, "t4_trtexec", size=256, shows_size=True)
OVER_T4: Rule = catalogue.find("rule", "ascend310_over_t4")
CPU: Rule = catalogue.find("rule", "openvino_over_onnxruntime")
OPENVINO, ONNXRUNTIME = (records.case(1, name) for name in ("openvino", "onnxruntime"))
LOCKED = {"noise": {"c0": 0.02, "why": "clocks held"}}
STEPS = (-0.001, 0.001, 0.0, 0.001, -0.001)


def campaign(rate: float, case=ASCEND, **more) -> Campaign:
    return records.campaign([rate * math.exp(step) for step in STEPS], case, **{**LOCKED, **more})


def compared(ascend: float = 22.3706, t4: float = 85.324, second: bool = False, campaigns: int = 1, **more) -> Compared:
    """Return the comparison of the guide: one device of a card against a T4, in images/s of device compute."""
    details = {name: more.pop(name) for name in ("window", "effort") if name in more}
    candidates, baselines = (
        [campaign(rate, case, run=f"{number}", day=f"2026-01-0{number + 2}", **details) for number in range(campaigns)]
        for rate, case in ((ascend, ASCEND), (t4, T4))
    )
    judged = judging.apart(OVER_T4, "device_compute", candidates, baselines)
    beside = judging.apart(OVER_T4, "throughput", candidates, baselines) if second else None
    return Compared(OVER_T4, candidates, baselines, judged, beside, **more)


def reason(what: Compared, policy: str = "interval") -> str:
    return verdicts.verdict(what, policy).reason


def test_the_guides_comparison_reads_as_a_reviewer_needs_it():
    found = verdicts.verdict(compared(), "interval")
    assert found.status == "undecided"
    assert found.subject == "edsr-256-bs1-ascend310-over-t4"
    assert found.reason == (
        "card 89.482 images/s (x4, extrapolated) over 85.324 images/s, device compute: ratio 1.049 [0.992, 1.109] by "
        "mean and median at 95 %, required > 1; one campaign each; about two more on other days decide. "
        "By the guide's point rule: 1.049 > 1, met"
    )
    assert found.gate == (
        "an Ascend 310 card (four devices) computes more images per second than one T4 under trtexec: > 1 in device "
        "compute"
    )
    assert (found.case, found.against, found.required) == (ASCEND, T4, 1.0)
    assert found.observed == pytest.approx(1.0487, abs=1e-4)
    assert found.margin == pytest.approx(0.0487, abs=1e-4)


def test_a_verdict_can_be_written_and_read():
    found = verdicts.verdict(
        compared(second=True, window={"calls": 1, "images": 50, "ns": 10**9, "depth": 2}), "interval"
    )
    line = json.loads(json.dumps(Entry("one", found).as_dict(), allow_nan=False))
    assert Entry.from_dict(line).record == found
    assert [len(ids) for ids in (found.measurements, set(found.measurements))] == [2, 2]
    assert found.details["campaigns"]["candidate"] == ["0 2026-01-02, 5 rounds, measured"]
    assert found.details["decided_by"]["median"]["more"] == 2


def test_mean_and_median_stand_apart_where_they_differ():
    what = compared()
    shifted = replace(what.judged.decisions["median"], estimate=0.1)
    both = {**what.judged.decisions, "median": shifted}
    assert "1.049 [0.992, 1.109] by mean and 1.105 [0.992, 1.109] by median at 95 %" in reason(
        replace(what, judged=replace(what.judged, decisions=both))
    )


def test_a_clear_difference_passes_and_says_no_more():
    found = verdicts.verdict(compared(30.0), "interval")
    assert found.status == "passed"
    assert "more on" not in found.reason
    assert found.reason.endswith("one campaign each. By the guide's point rule: 1.406 > 1, met")


def test_a_clear_loss_fails():
    found = verdicts.verdict(compared(15.0), "interval")
    assert (found.status, found.passed) == ("failed", False)
    assert found.margin < 0
    assert found.reason.endswith("By the guide's point rule 0.703, required > 1: not met")


def test_three_campaigns_of_what_is_too_near_say_that_more_would_not_help():
    assert "three campaigns each; three campaigns each would not decide" in reason(compared(21.5, campaigns=3))
    assert "two campaigns each" in reason(compared(campaigns=2))


def test_unlike_numbers_of_campaigns_are_both_told():
    what = compared(campaigns=3)
    fewer = what.baselines[:1]
    judged = judging.apart(OVER_T4, "device_compute", what.candidates, fewer)
    assert "; 3 and 1 campaigns" in reason(replace(what, baselines=fewer, judged=judged))


def test_the_second_figure_is_told_and_does_not_decide():
    window = {"calls": 10, "images": 100, "ns": 10**9, "depth": 2}
    found = verdicts.verdict(compared(30.0, second=True, window=window), "interval")
    assert found.status == "passed"
    assert "; host wall with transfers: 4.000 [" in found.reason
    assert ", which does not decide. By the guide's" in found.reason
    assert list(found.details["beside_it"]) == ["mean"]


def test_a_quick_look_signs_nothing_off_and_says_what_it_saw():
    passes, fails, neither = (
        verdicts.verdict(compared(rate, effort="quick"), "interval") for rate in (30.0, 15.0, 22.3706)
    )
    assert {found.status for found in (passes, fails, neither)} == {"undecided"}
    assert passes.reason.startswith(
        "quick effort signs nothing off (as it stands it would pass; take --effort signoff); card 120 images/s"
    )
    assert "it would fail;" in fails.reason
    assert "it would decide nothing yet;" in neither.reason
    assert "more on" not in passes.reason


def test_the_point_rule_decides_only_where_the_policy_says_so_and_that_stands_there():
    found = verdicts.verdict(compared(), "point")
    assert found.status == "passed"
    assert found.reason.endswith("By the guide's point rule: 1.049 > 1, met, which decides here by policy = point")
    assert found.details["policy"] == "point"
    assert "more on other days" not in found.reason
    assert verdicts.verdict(compared(21.0), "point").status == "failed"
    assert verdicts.verdict(compared(effort="quick"), "point").status == "undecided"


def test_the_point_rule_too_must_hold_for_mean_and_median():
    what = compared()
    judged = replace(what.judged, points={"mean": 1.049, "median": 0.99})
    found = verdicts.verdict(replace(what, judged=judged), "point")
    assert found.status == "failed"
    assert "By the guide's point rule 0.990 by the median, required > 1: not met, which decides here" in found.reason


def test_one_batch_of_a_claim_about_two_says_so():
    tuned: Rule = catalogue.find("rule", "ascend310p_over_ascend310")
    sides = [campaign(rate, records.case(16, name)) for rate, name in ((150.0, "ascend310p_aoe"), (20.0, "ascend310"))]
    judged = judging.apart(tuned, "device_compute", sides[:1], sides[1:])
    found = verdicts.verdict(Compared(tuned, sides[:1], sides[1:], judged), "interval")
    assert found.status == "passed"
    assert "; this is batch 16 alone, the claim is about 1 and 16 together; one campaign each. By" in found.reason
    assert found.gate.endswith(": >= 1.2 in device compute, at batch 1 and 16")
    assert "alone" not in reason(compared())
    near = [campaign(96 * math.exp(-0.06), sides[0].case)]
    judged = judging.apart(tuned, "device_compute", near, sides[1:])
    told = reason(Compared(tuned, near, sides[1:], judged))
    assert (
        "; not decided yet: below the limit at 95 %, and failing one of 4 (two statistics at two batches) "
        "takes 98.8 %; "
    ) in told


def test_a_figure_that_nobody_repeated_is_called_so():
    what = compared()
    log = replace(what.baselines[0], rounds=(), figures={"throughput": records.measurement(85.0, source="published")})
    told = reason(replace(what, baselines=[log]))
    assert "; unreplicated: baseline published; about two more" in told
    assert "one campaign each" not in told


def test_what_is_unlike_is_refused_with_its_ratio_beside_it():
    found = verdicts.verdict(compared(30.0, refusals=["batch: 1 and 4", "accuracy: not shown"]), "point")
    assert found.status == "refused"
    assert found.reason.startswith("batch: 1 and 4; accuracy: not shown; card 120 images/s (x4, extrapolated)")


def test_an_axis_that_was_allowed_stands_in_the_verdict():
    found = verdicts.verdict(compared(allowed={"data": "the same set, renamed"}, remarks=["left out one"]), "interval")
    assert "; allowed data: the same set, renamed; left out one. By the guide's" in found.reason
    assert found.details["allowed"] == {"data": "the same set, renamed"}


def test_an_allowance_nobody_needed_is_said():
    assert verdicts.unused({"data": "x", "batch": "y"}, {"data": "x"}) == ["--allow batch was not needed"]


def test_a_figure_that_a_side_does_not_tell_is_refused_without_figures():
    what = replace(compared(), judged=None)
    found = verdicts.verdict(what, "interval")
    assert (found.status, found.observed, found.margin) == ("refused", None, None)
    assert found.reason == "device compute: its mean and median is not told by both sides"
    Entry("one", found).as_dict()


def test_a_campaign_that_was_cut_off_before_its_figures_still_gives_a_verdict():
    what = compared()
    cut_off = [replace(each, figures={}) for each in what.candidates]
    found = verdicts.verdict(replace(what, candidates=cut_off), "interval")
    assert len(found.measurements) == 1


def in_turn(count: int, rate: float = 22.0, scatter: float = 0.0, **more) -> Compared:
    pairs = [(20.0, rate * math.exp(scatter * (-1) ** number)) for number in range(count)]
    arms = records.turns(pairs, ONNXRUNTIME, OPENVINO, **more)
    baseline, candidate = (
        Campaign(case, "one", {}, tuple(arm)) for case, arm in zip((ONNXRUNTIME, OPENVINO), arms, strict=True)
    )
    return Compared(CPU, [candidate], [baseline], judging.in_turn(CPU, "latency", baseline, candidate))


def test_turns_say_how_many_rounds_and_at_which_level():
    found = verdicts.verdict(in_turn(5), "interval")
    assert found.subject == "edsr-bs1-openvino-over-onnxruntime"
    assert (
        "[1.100, 1.100] by median of the calls' own ratios at 99 %, required > 1; 5 rounds in turn on one host. By"
        in (found.reason)
    )
    assert found.reason.startswith("11 images/s over 10 images/s, latency (host wall, call by call): ratio 1.100 [")


def test_turns_that_decide_nothing_say_how_many_more_rounds_would():
    assert "; about 3 more rounds decide." in reason(in_turn(5, 20.4, 0.015))
    assert "; no number of rounds within reach decides." in reason(in_turn(5, 20 * math.exp(-0.01), 0.05))


def test_one_round_has_an_open_interval_and_asks_for_the_fewest():
    found = verdicts.verdict(in_turn(1), "interval")
    assert "ratio 1.100 (one round: no interval) by median of the calls' own ratios, required > 1; " in found.reason
    assert "; 1 round in turn on one host; not decided yet: a verdict needs 5 rounds; about 4 more" in found.reason
    assert found.details["campaigns"]["candidate"] == ["one 2026-01-02, 1 round, measured"]
    assert not {"low", "high"} & set(found.details["decided_by"]["median"])
    Entry("one", found).as_dict()


def test_an_interval_below_the_limit_that_has_not_failed_yet_says_why():
    found = verdicts.verdict(compared(20.05), "interval")
    assert found.status == "undecided"
    assert "ratio 0.940 [0.889, 0.994] by mean and median at 95 %" in found.reason
    assert (
        "; one campaign each; not decided yet: below the limit at 95 %, and failing one of two statistics takes "
        "97.5 %; "
    ) in found.reason
    assert "not decided yet" not in reason(compared())
    assert "not decided yet" not in reason(compared(15.0))
    quick = reason(compared(20.05, effort="quick"))
    assert (
        "would decide nothing yet: below the limit at 95 %, and failing one of two statistics takes 97.5 %; " in quick
    )
    assert "not decided yet" not in quick


@pytest.mark.parametrize("rate", [16.0, 25.0])
def test_a_clear_interval_of_rounds_that_were_not_steady_says_that_it_needs_more_of_them(rate):
    told = reason(in_turn(5, rate, 0.01, flags=("not_steady",)))
    assert "; not decided yet: a round was not steady, so a verdict needs 8 rounds; about 3 more rounds decide." in told
    quick = reason(in_turn(5, rate, 0.01, flags=("not_steady",), effort="quick"))
    assert quick.startswith(
        "quick effort signs nothing off (as it stands it would decide nothing yet: "
        "a round was not steady, so a verdict needs 8 rounds; take --effort signoff); "
    )
    assert "not steady" not in reason(in_turn(8, rate, 0.01, flags=("not_steady",)))


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        (PAIRS, [1], "about 1 more round decides"),
        (PAIRS, [3, 7], "about 7 more rounds decide"),
        (CAMPAIGNS, [1], "about one more on another day decides"),
        (CAMPAIGNS, [1, 2], "about two more on other days decide"),
        (CAMPAIGNS, [1, None], "three campaigns each would not decide"),
    ],
)
def test_the_part_that_needs_most_says_how_many_more(method, more, said):
    decisions = {
        f"p{place}": Decision("undecided", 0.0, -0.1, 0.1, 0.95, 1.0, method, (5, 5), (1, 1), count)
        for place, count in enumerate(more)
    }
    judged = Judged("device_compute", decisions, 2.0, 1.0, {"p0": 2.0})
    assert f"; {said}. By" in reason(replace(compared(), judged=judged))


def test_a_card_of_one_device_and_a_card_at_once_are_said_as_what_they_are():
    alone = replace(OVER_T4, baseline=replace(OVER_T4.baseline, per_card=True))
    assert "over card 85.324 images/s, device compute: ratio" in reason(replace(compared(), rule=alone))
    together = [
        replace(each, seed=place, details={**each.details, "card_round": f"{number}"})
        for number in range(5)
        for place, each in enumerate(records.rounds([22.4] * 4, ASCEND))
    ]
    card = [Campaign(ASCEND, "one", {}, tuple(together))]
    what = compared()
    judged = judging.apart(OVER_T4, "device_compute", card, what.baselines)
    found = verdicts.verdict(replace(what, candidates=card, judged=judged), "interval")
    assert found.reason.startswith("card 89.6 images/s (4 devices at once) over 85.324")
    assert found.details["campaigns"]["candidate"] == ["one 2026-01-02, 5 rounds, measured"]


def test_tonight_against_an_accepted_night_is_about_one_case():
    night: Rule = catalogue.find("rule", "no_slower_than_accepted")
    one, other = [campaign(22.0, OPENVINO, run="a")], [campaign(22.0, OPENVINO, run="b")]
    judged = judging.apart(night, "device_compute", one, other)
    found = verdicts.verdict(Compared(night, one, other, judged), "interval")
    assert (found.against, found.subject) == (None, OPENVINO.id)
    assert "required >= 0.98" in found.reason


def test_a_stand_in_shows_in_the_name_of_the_comparison():
    found = verdicts.verdict(compared(), "interval")
    emulated = replace(found, case=replace(ASCEND, backend="ascend310~emulated"))
    assert emulated.subject == "edsr-256-bs1-ascend310-over-t4~emulated"
    assert replace(found, against=replace(T4, backend="t4_trtexec~emulated")).subject == emulated.subject


def test_the_text_of_a_verdict_shows_what_is_nested_in_it():
    text: str = verdicts.verdict(compared(), "interval").text("evidence.jsonl")
    assert "decided by  mean (status undecided, ratio 1.0487, " in text
    assert "campaigns   candidate 0 2026-01-02, 5 rounds, measured, baseline 0 2026-01-02" in text
    assert isinstance(Verdict.from_dict(verdicts.verdict(compared(), "interval").as_dict()), Verdict)
