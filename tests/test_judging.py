from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import judging
from bench.campaigns import Campaign
from bench.judging import Judged
from bench.rule import Rule, Side
from bench.statistics.decision import CAMPAIGNS, PAIRS, Decision
from fixtures import catalogue
from tests import records

ASCEND = records.case(1, "ascend310", size=256)
T4 = records.case(1, "t4_trtexec", size=256)
OVER_T4: Rule = catalogue.find("rule", "ascend310_over_t4")
TUNED: Rule = catalogue.find("rule", "ascend310p_over_ascend310")
CPU: Rule = catalogue.find("rule", "openvino_over_onnxruntime")
OPENVINO, ONNXRUNTIME = (records.case(1, name) for name in ("openvino", "onnxruntime"))
LOCKED = {"noise": {"c0": 0.02, "why": "clocks held"}}


def around(rate: float, count: int = 5, deviation: float = 0.001) -> list[float]:
    return [rate * math.exp(deviation * (-1) ** number) for number in range(count)]


def apart(ascend: float, t4: float, figure: str = "device_compute", **more):
    return judging.apart(
        OVER_T4, figure, [records.campaign(around(ascend), ASCEND, **more)], [records.campaign(around(t4), T4, **more)]
    )


def test_the_figure_of_a_card_is_that_of_a_device_times_its_devices():
    found = apart(22.4, 85.3)
    assert found.candidate == pytest.approx(89.6, rel=1e-3)
    assert found.baseline == pytest.approx(85.3, rel=1e-3)
    assert found.decisions["median"].ratio == pytest.approx(89.6 / 85.3, rel=1e-3)


def test_a_card_that_ran_at_once_is_not_multiplied_again():
    four = [records.rounds([22.4], ASCEND, card_round=f"{number}")[0] for number in range(5) for _ in range(4)]
    four = [replace(each, device=f"d{place % 4}", seed=place) for place, each in enumerate(four)]
    found = judging.apart(
        OVER_T4, "device_compute", [Campaign(ASCEND, "one", {}, tuple(four))], [records.campaign(around(85.3), T4)]
    )
    assert found.candidate == pytest.approx(89.6)
    assert judging.multiplier(OVER_T4.candidate, Campaign(ASCEND, "one", {}, tuple(four))) == 0


def test_a_side_that_is_no_card_by_the_rule_is_one_device():
    campaign = records.campaign([22.0], ASCEND)
    assert judging.multiplier(Side("ascend310"), campaign) == 0
    assert judging.multiplier(Side("ascend310", per_card=True), campaign) == pytest.approx(math.log(4))
    assert judging.multiplier(Side("t4_trtexec", per_card=True), records.campaign([22.0], T4)) == 0


def test_the_card_may_be_the_baseline():
    tuned = records.campaign(around(150.0), records.case(16, "ascend310p_aoe"))
    card = records.campaign(around(20.0), records.case(16, "ascend310"))
    found = judging.apart(TUNED, "device_compute", [tuned], [card])
    assert (found.candidate, found.baseline) == pytest.approx((150, 80), rel=1e-3)
    assert found.status == "passed"


def test_every_statistic_is_judged_by_itself():
    found = apart(30.0, 85.3)
    assert list(found.decisions) == ["mean", "median"]
    assert {each.method for each in found.decisions.values()} == {CAMPAIGNS}
    assert found.status == "passed"


def test_offline_throughput_has_one_statistic():
    window = {"calls": 10, "images": 100, "ns": 10**9, "depth": 2}
    assert list(apart(22.0, 22.0, "throughput", window=window).decisions) == ["mean"]


def test_a_side_that_does_not_tell_a_statistic_leaves_nothing_judged():
    median_only = records.campaign(around(85.3), T4)
    average = records.campaign(around(22.4), ASCEND, flags=("no_samples",))
    assert judging.apart(OVER_T4, "device_compute", [average], [median_only]) is None
    assert apart(22.4, 85.3, "throughput") is None
    assert judging.apart(OVER_T4, "device_compute", [], [median_only]) is None


def test_a_host_that_says_nothing_of_its_noise_is_given_the_prior():
    untold, told = apart(23.0, 85.3), apart(23.0, 85.3, **LOCKED)
    widths = [each.decisions["mean"].upper - each.decisions["mean"].lower for each in (untold, told)]
    assert widths[0] == pytest.approx(2 * 1.96 * math.sqrt(2) * 0.05, rel=0.01)
    assert widths[1] == pytest.approx(2 * 1.96 * math.sqrt(2) * 0.02, rel=0.01)
    assert (untold.status, told.status) == ("undecided", "passed")


def test_the_noisier_campaign_of_a_side_counts():
    both = [records.campaign(around(23.0), ASCEND, run=run, **more) for run, more in (("a", LOCKED), ("b", {}))]
    locked = [records.campaign(around(85.3), T4, **LOCKED)]
    mixed = judging.apart(OVER_T4, "device_compute", both, locked)
    quiet = judging.apart(OVER_T4, "device_compute", both[:1] * 2, locked)
    assert mixed.decisions["mean"].upper - mixed.decisions["mean"].lower > (
        quiet.decisions["mean"].upper - quiet.decisions["mean"].lower
    )


def test_earlier_campaigns_of_a_host_tell_its_scatter():
    sides = [records.campaign(around(23.0), ASCEND, **LOCKED)], [records.campaign(around(85.3), T4, **LOCKED)]
    wild = {name: {"mean": (0.0, 0.5, 1.0), "median": (0.0, 0.5, 1.0)} for name in ("candidate", "baseline")}
    assert judging.apart(OVER_T4, "device_compute", *sides).status == "passed"
    assert judging.apart(OVER_T4, "device_compute", *sides, wild).status == "undecided"


def in_turn(*rates: tuple[float, float], rule: Rule = CPU, both=(ONNXRUNTIME, OPENVINO), **more):
    arms = records.turns(rates, *both, **more)
    baseline, candidate = (Campaign(case, "one", {}, tuple(arm)) for case, arm in zip(both, arms, strict=True))
    return judging.in_turn(rule, rule.figure, baseline, candidate)


def test_arms_that_took_turns_are_judged_by_their_ratios():
    drifting = [(20.0 * (1 + number), 22.0 * (1 + number)) for number in range(5)]
    found = in_turn(*drifting)
    (decision,) = found.decisions.values()
    assert (found.status, decision.method, decision.rounds) == ("passed", PAIRS, (5, 5))
    assert decision.ratio == pytest.approx(1.1)


def test_devices_of_a_card_count_in_turns_as_well():
    found = in_turn(*[(85.0, 22.4)] * 5, rule=OVER_T4, both=(T4, ASCEND))
    assert found.decisions["mean"].ratio == pytest.approx(4 * 22.4 / 85)


def test_a_combined_gate_fails_only_where_a_part_does_at_its_share_of_the_error():
    near = [(85.0, 20.5 * math.exp(0.01 * step)) for step in (-2, -1, 0, 1, 2)]  # fails at 99 %, not at 99.5 %
    both, one = (
        in_turn(*near, rule=replace(OVER_T4, statistics=statistics), both=(T4, ASCEND))
        for statistics in (("mean", "median"), ("median",))
    )
    assert one.status == "failed"
    assert both.status == "undecided"
    assert both.decisions["median"].upper < 0
    night = [apart(ascend, 85.3, **LOCKED).status for ascend in (20.1, 19.9)]  # -0.059 and -0.069 of +-0.055, 0.063
    assert night == ["undecided", "failed"]


def test_a_part_of_a_claim_about_two_batches_fails_at_a_quarter_of_the_error():
    tuned, card = (records.case(16, name) for name in ("ascend310p_aoe", "ascend310"))

    def status(rate: float, rule: Rule) -> str:
        sides = [[records.campaign(around(each), case, **LOCKED)] for each, case in ((rate, tuned), (25.0, card))]
        return judging.apart(rule, "device_compute", *sides).status

    # At 2 % each 95 % is +-0.0554, 97.5 % +-0.0634, 98.75 % +-0.0706.
    below = 120 * math.exp(-0.067)
    assert (TUNED.parts, OVER_T4.parts) == (2, 1)
    assert status(below, replace(TUNED, batches=())) == "failed"
    assert status(below, TUNED) == "undecided"
    assert status(120 * math.exp(-0.073), TUNED) == "failed"
    assert status(120 * math.exp(0.057), TUNED) == "passed"  # all must hold: to pass needs no correction


def test_the_point_figures_are_of_every_statistic_and_the_least_counts():
    skewed = [
        replace(each, details={**each.details, "device_ms": [40.0, 40.0, 60.0]})
        for each in records.rounds([22.0] * 5, ASCEND)
    ]
    found = judging.apart(
        OVER_T4, "device_compute", [Campaign(ASCEND, "one", {}, tuple(skewed))], [records.campaign([90.0] * 5, T4)]
    )
    assert found.points == pytest.approx({"mean": 4000 / 140 * 3 / 90, "median": 100 / 90})
    assert found.point == ("mean", found.points["mean"])
    assert found.candidate == pytest.approx(4000 / 140 * 3)


def test_a_round_that_was_not_steady_puts_a_verdict_off():
    assert in_turn(*[(20.0, 22.0)] * 5, flags=("not_steady",)).status == "undecided"
    assert in_turn(*[(20.0, 22.0)] * 8, flags=("not_steady",)).status == "passed"


def test_a_round_that_lost_its_partner_is_no_pair():
    arms = records.turns([(20.0, 22.0 + number) for number in range(6)], ONNXRUNTIME, OPENVINO)
    whole = [Campaign(case, "one", {}, tuple(arm)) for case, arm in zip((ONNXRUNTIME, OPENVINO), arms, strict=True)]
    first, last = (
        judging.in_turn(CPU, "latency", whole[0], replace(whole[1], rounds=rounds))
        for rounds in (whole[1].rounds[1:], whole[1].rounds[:-1])
    )
    five = in_turn(*[(20.0, 22.0 + number) for number in range(1, 6)])
    assert first.decisions["median"].estimate == pytest.approx(five.decisions["median"].estimate)
    assert last.decisions["median"].rounds == (5, 5)
    assert judging.in_turn(CPU, "latency", whole[0], replace(whole[1], rounds=())) is None


def test_turns_without_the_figure_are_not_judged():
    assert in_turn(*[(20.0, 22.0)] * 5, rule=replace(CPU, figure="throughput")) is None


def decision(status: str, lower: float = 0.0) -> Decision:
    return Decision(status, lower + 0.1, lower, lower + 0.2, 0.95, 1.0, CAMPAIGNS, (5, 5), (1, 1), None)


STATUS = st.sampled_from(["passed", "failed", "undecided"])


DECISIONS = st.builds(decision, STATUS, st.floats(-1, 1))


@given(st.dictionaries(st.sampled_from(["mean", "median", "p90"]), DECISIONS, min_size=1))
def test_all_must_hold_one_failure_fails_and_the_decision_that_tells_so_is_shown(decisions):
    found = Judged("device_compute", decisions, 1.0, 1.0, {"mean": 1.0})
    statuses = [each.status for each in decisions.values()]
    if "failed" in statuses:
        assert found.status == "failed"
    else:
        assert found.status == ("passed" if set(statuses) == {"passed"} else "undecided")
    assert found.nearest.status == found.status
    assert all(found.nearest.lower <= each.lower for each in decisions.values() if each.status == found.status)
