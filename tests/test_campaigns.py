from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.campaigns import Campaign, campaigns, paired_values, together
from bench.children import RoundError
from reports.entry import Entry
from reports.published.entries import entries as published
from reports.run import Run
from tests import records

CASE = records.case(4, "ascend310")
OTHER = records.case(4, "t4_trtexec")
ENVIRONMENT = {"stable": {"cpu": "x"}, "recorded": {}, "harness": {}}
LOG = {"name": "log.txt", "sha256": "1" * 64}


def entries(run: str, *found) -> list[Entry]:
    return [Entry(run, Run(("pytest",), ENVIRONMENT)), *(Entry(run, record) for record in found)]


def imported(statistics_ms: dict[str, float], value: float = 10.0, **details):
    told = {"log": LOG, "statistic": "mean", "statistics_ms": statistics_ms, "per": "device", **details}
    return records.measurement(
        value,
        case=CASE,
        metric="device_compute",
        unit="ms",
        source="imported",
        engine={},
        data={},
        samples={},
        details=told,
    )


def throughput(value: float = 22.0, **changes):
    return records.measurement(value, case=CASE, metric="throughput", unit="images/s", samples={}, **changes)


# --- the values of a campaign ----------------------------------------------------------------------------------------


def test_the_value_of_a_round_is_the_logarithm_of_images_per_second_by_the_devices_own_time():
    found = records.campaign([22.0, 24.0], CASE)
    for statistic in ("mean", "median"):
        assert found.values("device_compute", statistic) == pytest.approx((math.log(22), math.log(24)))


def test_mean_and_median_are_each_their_own():
    taken = records.timed_round(batch=1, details={"device_ms": [1.0, 1.0, 10.0]})
    found = Campaign(records.case(), "one", {}, (taken,))
    assert found.values("device_compute", "median") == pytest.approx((math.log(1000),))
    assert found.values("device_compute", "mean") == pytest.approx((math.log(250),))


def test_latency_is_taken_from_the_calls_and_only_where_the_host_timed_them():
    assert records.campaign([22.0], CASE).values("latency", "median") == pytest.approx((math.log(11),))
    by_tool = records.campaign([22.0], CASE, timed_section="device compute")
    assert by_tool.values("latency", "median") == ()


def test_throughput_is_that_of_the_offline_window_and_of_nothing_else():
    window = {"calls": 10, "images": 40, "ns": 2_000_000_000, "depth": 2}
    assert records.campaign([22.0], CASE, window=window).values("throughput", "mean") == pytest.approx((math.log(20),))
    assert records.campaign([22.0], CASE).values("throughput", "mean") == ()


def test_one_round_that_does_not_tell_leaves_the_figure_untold():
    taken = records.rounds([22.0, 23.0], CASE)
    taken[1] = replace(taken[1], details={})
    assert Campaign(CASE, "one", {}, tuple(taken)).values("device_compute", "mean") == ()


def test_a_tool_that_printed_only_an_average_has_no_median():
    found = records.campaign([22.0], CASE, flags=("no_samples",))
    assert found.values("device_compute", "mean") == pytest.approx((math.log(22),))
    assert found.values("device_compute", "median") == ()


def card(rates: list[float], begun: int = 0, number: int = 0, **details):
    """Return a round of all devices of a card: three calls each, back to back."""
    taken = records.rounds(rates, CASE, card_round=f"{number:032x}", **details)
    calls = [[begun, begun + each.samples_ns[0], begun + sum(each.samples_ns[:2])] for each in taken]
    return [
        replace(
            each, device=f"d{place}", started=f"2026-01-02T03:{number:02d}:00", details={**each.details, "begun_ns": at}
        )
        for place, (each, at) in enumerate(zip(taken, calls, strict=True))
    ]


def test_the_compute_of_a_card_is_the_sum_of_its_devices_per_process():
    taken = [*card([20.0, 21.0, 22.0, 23.0]), *card([30.0] * 4, number=1)]
    found = Campaign(CASE, "one", {}, tuple(taken))
    assert found.per == "card"
    assert [len(group) for group in found.processes()] == [4, 4]
    assert found.values("device_compute", "mean") == pytest.approx((math.log(86), math.log(120)))


def test_the_throughput_of_a_card_is_that_of_the_time_in_common():
    found = Campaign(CASE, "one", {}, tuple(card([20.0] * 4)))
    assert found.values("throughput", "mean") == pytest.approx((math.log(40),))  # host wall is twice the device's time


def test_the_throughput_of_a_card_is_that_of_its_offline_windows_where_it_had_any():
    taken = card([20.0] * 4)
    for place, each in enumerate(taken):
        # 30 images in a second from 0.0 s, 0.1 s, 0.2 s and 0.3 s on: 120 a second while all four run.
        window = {"calls": 10, "images": 30, "ns": 10**9, "depth": 2, "begun_ns": 10**8 * place}
        taken[place] = replace(each, details={**each.details, "window": window})
    found = Campaign(CASE, "one", {}, tuple(taken))
    assert found.values("throughput", "mean") == pytest.approx((math.log(120),))


def test_devices_that_never_ran_together_are_an_error():
    with pytest.raises(RoundError, match="no call in common"):
        together([*card([20.0]), *card([20.0], begun=10**12)])


def test_a_card_is_told_by_its_rounds_whatever_a_figure_is_per():
    per_batch = records.measurement(
        5.0, case=CASE, metric="device_compute", unit="ms", samples={}, details={"per": "batch"}
    )
    figures = {"device_compute": per_batch}
    assert Campaign(CASE, "one", figures, tuple(card([20.0] * 4))).per == "card"
    assert Campaign(CASE, "one", figures, tuple(records.rounds([20.0], CASE))).per == "device"


@settings(deadline=None)  # the first example loads numpy
@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=6), st.sampled_from(["mean", "median"]))
def test_a_faster_device_has_a_larger_value(rates, statistic):
    slow = Campaign(CASE, "a", {}, tuple(records.rounds(rates, CASE)))
    fast = Campaign(CASE, "b", {}, tuple(records.rounds([2 * rate for rate in rates], CASE)))
    pairs = zip(slow.values("device_compute", statistic), fast.values("device_compute", statistic), strict=True)
    assert all(b - a == pytest.approx(math.log(2)) for a, b in pairs)


def test_a_log_gives_one_value_per_statistic_it_prints():
    found = Campaign(CASE, "one", {"device_compute": imported({"mean": 10.0, "median": 8.0})})
    assert found.values("device_compute", "mean") == pytest.approx((math.log(400),))
    assert found.values("device_compute", "median") == pytest.approx((math.log(500),))
    assert found.values("throughput", "mean") == ()
    alone = Campaign(CASE, "one", {"device_compute": imported({})})
    assert alone.values("device_compute", "mean") == pytest.approx((math.log(400),))
    assert alone.values("device_compute", "median") == ()


def test_the_guides_rows_are_campaigns_without_rounds_and_a_median_is_no_mean():
    card_310 = replace(records.case(1, "ascend310", profile="official", size=256))
    t4 = replace(card_310, backend="t4_trtexec")
    (ascend,) = campaigns(published(), card_310)
    (nvidia,) = campaigns(published(), t4)
    assert (ascend.source, ascend.rounds, ascend.sha256, ascend.per, ascend.c0) == ("published", (), "", "device", None)
    assert math.exp(ascend.values("device_compute", "mean")[0]) == pytest.approx(22.3706)
    assert ascend.values("device_compute", "median") == ()
    assert math.exp(nvidia.values("device_compute", "median")[0]) == pytest.approx(85.85, abs=0.01)


# --- what a campaign says of itself ----------------------------------------------------------------------------------


def test_the_deviation_between_campaigns_is_the_largest_its_rounds_tell_or_none():
    assert records.campaign([22.0], CASE).c0 is None
    taken = records.rounds([22.0, 23.0, 24.0], CASE)
    for place, c0 in ((0, 0.02), (2, 0.05)):
        taken[place] = replace(taken[place], details={**taken[place].details, "noise": {"c0": c0, "why": "prior"}})
    assert Campaign(CASE, "one", {}, tuple(taken)).c0 == 0.05


def test_flags_are_counted_over_rounds_and_taken_from_a_log():
    taken = records.rounds([22.0] * 3, CASE, flags=("slowed",))
    taken[0] = replace(taken[0], flags=("slowed", "not_steady"))
    assert Campaign(CASE, "one", {}, tuple(taken)).flags() == {"slowed": 3, "not_steady": 1}
    log = Campaign(CASE, "one", {"device_compute": imported({}, flags=["few_runs"])})
    assert log.flags() == {"few_runs": 1}


# --- evidence into campaigns -----------------------------------------------------------------------------------------


def test_rounds_and_figures_of_a_run_belong_together_with_its_environment():
    (found,) = campaigns(entries("one", *records.rounds([22.0, 23.0], CASE), throughput()), CASE)
    assert (len(found.rounds), list(found.figures), found.environment) == (2, ["throughput"], ENVIRONMENT)
    assert (found.source, found.effort, found.started) == ("measured", "signoff", "2026-01-02T03:00:00+00:00")


def test_the_same_round_in_two_files_counts_once():
    given_twice = entries("one", *records.rounds([22.0, 23.0], CASE), throughput())
    (found,) = campaigns([*given_twice, *given_twice], CASE)
    assert len(found.rounds) == 2


def test_two_runs_of_a_day_are_two_campaigns_the_oldest_first():
    late = entries("late", *records.rounds([23.0], CASE, day="2026-01-03"))
    early = entries("early", *records.rounds([22.0], CASE, day="2026-01-02"))
    assert [each.run for each in campaigns([*late, *early], CASE)] == ["early", "late"]
    same_day = entries("other", *records.rounds([24.0], CASE))
    assert len(campaigns([*early, *same_day], CASE)) == 2


def test_rounds_are_in_the_order_taken_whatever_the_order_of_the_lines():
    taken = records.rounds([22.0, 23.0, 24.0], CASE)
    (found,) = campaigns(entries("one", *reversed(taken)), CASE)
    assert found.rounds == tuple(taken)


def test_a_run_that_was_cut_off_has_rounds_and_no_figures():
    (found,) = campaigns(entries("one", *records.rounds([22.0], CASE)), CASE)
    assert (found.figures, found.source, found.engine, found.started[:10]) == ({}, "measured", {}, "2026-01-02")
    assert found.sha256 == "ab" * 32


def test_two_engines_of_one_run_are_two_campaigns():
    taken = records.rounds([22.0, 23.0], CASE)
    taken[1] = replace(taken[1], engine="cd" * 32)
    assert len(campaigns(entries("one", *taken), CASE)) == 2


def test_a_log_imported_twice_counts_once_and_two_logs_count_twice():
    once = entries("one", imported({"mean": 10.0}))
    again = entries("two", imported({"mean": 10.0}))
    assert len(campaigns([*once, *again], CASE)) == 1
    other = imported({"mean": 11.0}, 11.0)
    other = replace(other, details={**other.details, "log": {"name": "log.txt", "sha256": "2" * 64}})
    assert len(campaigns([*once, *entries("three", other)], CASE)) == 2


def test_other_cases_other_kinds_and_figures_of_accuracy_are_left_alone():
    found = entries("one", *records.rounds([22.0], OTHER), records.measurement(case=CASE), records.verdict(case=CASE))
    assert campaigns(found, CASE) == []
    assert campaigns(found, replace(OTHER, profile="official")) == []


def test_arms_that_took_turns_are_no_campaign_of_the_case_alone():
    baseline, candidate = records.turns([(20.0, 22.0)] * 3, OTHER, CASE)
    found = entries("one", *baseline, *candidate)
    assert campaigns(found, CASE) == []
    (own,) = campaigns(found, CASE, OTHER.id)
    assert own.rounds == tuple(candidate)


def test_two_arms_of_one_engine_are_told_apart_by_their_place():
    baseline, candidate = records.turns([(20.0, 22.0)] * 3, CASE, CASE)
    first, second = sorted(
        campaigns(entries("one", *baseline, *candidate), CASE, CASE.id), key=lambda c: c.values("latency", "median")
    )
    assert (first.rounds, second.rounds) == (tuple(baseline), tuple(candidate))


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_the_value_of_a_pair_is_the_candidates_time_over_the_baselines():
    baseline, candidate = records.turns([(20.0, 25.0), (20.0, 20.0)], OTHER, CASE)
    for figure in ("device_compute", "latency"):
        for statistic in ("mean", "median"):
            found = paired_values(zip(baseline, candidate, strict=True), figure, statistic)
            assert found == pytest.approx([math.log(20 / 25), 0.0], abs=1e-6)


def test_the_median_of_pairs_is_that_of_the_calls_own_ratios():
    baseline = records.timed_round(samples_ns=(10, 20, 30))
    candidate = records.timed_round(samples_ns=(20, 20, 60))
    assert paired_values([(baseline, candidate)], "latency", "median") == pytest.approx([math.log(2)])
    assert paired_values([(baseline, candidate)], "latency", "mean") == pytest.approx([math.log(100 / 60)])


def test_a_pair_has_no_offline_throughput_and_no_compute_that_one_arm_does_not_tell():
    baseline, candidate = records.turns([(20.0, 25.0)], OTHER, CASE)
    assert paired_values([(baseline[0], candidate[0])], "throughput", "mean") == []
    silent = replace(candidate[0], details={})
    assert paired_values([(baseline[0], silent)], "device_compute", "mean") == []
