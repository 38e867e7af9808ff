from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.two_hosts import Side, decide
from fixtures.noise import smallest_margin

X = st.floats(-5, 5)
CAMPAIGN = st.lists(X, min_size=1, max_size=7).map(tuple)
SIDES = st.builds(
    Side,
    st.lists(CAMPAIGN, min_size=1, max_size=4).map(tuple),
    st.sampled_from([0.01, 0.02, 0.05]),
    st.lists(X, max_size=6).map(tuple),
)
LIMITS = st.sampled_from([0.9, 1.0, 1.2])


def campaign(centre: float, count: int = 5, deviation: float = 0.0) -> tuple[float, ...]:
    """Return the rounds of one campaign, symmetric around the centre."""
    return tuple(centre + deviation * (number - (count - 1) / 2) for number in range(count))


def side(*centres: float, c0: float = 0.02, earlier: tuple[float, ...] = (), deviation: float = 0.0) -> Side:
    return Side(tuple(campaign(centre, deviation=deviation) for centre in centres), c0, earlier)


def half(found) -> float:
    return found.upper - found.estimate


def test_one_campaign_each_without_history_is_the_prior_at_95_percent():
    found = decide(side(0.1), side(0.0), 1.0)
    assert half(found) == pytest.approx(1.959964 * math.sqrt(2) * 0.02, rel=1e-6)
    assert (found.status, found.level, found.method) == ("passed", 0.95, "two campaigns")
    assert (found.rounds, found.campaigns) == ((5, 5), (1, 1))


def test_the_scatter_of_the_rounds_adds_to_the_prior():
    found = decide(side(0.1, deviation=0.01), side(0.0), 1.0)
    # s^2 of -2, -1, 0, 1, 2 hundredths is 2.5e-4, of their mean 0.5e-4.
    assert half(found) == pytest.approx(1.959964 * math.sqrt(0.02**2 + 0.5e-4 + 0.02**2), rel=1e-6)


def test_edsr_of_the_guides_is_undecided():
    # Protocol 5.2: 89.48 against 85.85 images/s, S = 0.0415 +- 0.055 even at 2 %.
    found = decide(side(math.log(89.48)), side(math.log(85.85)), 1.0)
    assert found.estimate == pytest.approx(0.0415, abs=1e-4)
    assert half(found) == pytest.approx(0.055, abs=5e-4)
    assert found.status == "undecided"


def test_a_single_figure_is_unreplicated_and_never_surer_than_five_percent():
    published = Side(((math.log(1.5175),),), 0.02, earlier=(0.0, 0.0, 0.0))
    # Protocol 5.2, ENet batch 16: S = 0.235 +- 0.139.
    found = decide(published, Side(((0.0,),), 0.05), 1.2)
    assert found.estimate - math.log(1.2) == pytest.approx(0.235, abs=5e-4)
    assert half(found) == pytest.approx(0.139, abs=5e-4)
    assert found.status == "passed"
    assert decide(Side(((math.log(1.2617),),), 0.02), Side(((0.0,),), 0.02), 1.2).status == "undecided"


def test_a_large_prior_of_a_single_figure_stays():
    found = decide(Side(((0.0,),), 0.1), side(0.0), 1.0)
    assert half(found) == pytest.approx(1.959964 * math.hypot(0.1, 0.02), rel=1e-6)


def test_few_rounds_count_with_their_scatter():
    few = Side(((0.0, 0.02),), 0.02)
    # s^2 / 2 of two values 0.02 apart is 1e-4.
    assert half(decide(few, side(0.0), 1.0)) == pytest.approx(1.959964 * math.sqrt(2 * 0.02**2 + 1e-4), rel=1e-6)


def test_history_shrinks_to_the_prior_with_four_degrees():
    earlier = (0.03, -0.03, 0.0)
    found = decide(side(0.0, earlier=earlier), side(0.0, earlier=earlier), 1.0)
    variance = (4 * 0.02**2 + 2 * 9e-4) / 6
    # Equal variances of 6 degrees each: 12 together; t(12, 0.975) = 2.1788.
    assert half(found) == pytest.approx(2.1788 * math.sqrt(2 * variance), rel=1e-4)


def test_one_earlier_campaign_never_narrows_the_interval():
    alone = decide(side(0.0), side(0.0), 1.0)
    assert decide(side(0.0, earlier=(0.0,)), side(0.0, earlier=(0.0,)), 1.0) == alone


def test_a_change_from_the_accepted_campaigns_does_not_count_as_scatter():
    near, far = (decide(side(centre, earlier=(0.0, 0.01, 0.02)), side(0.0), 1.0) for centre in (0.01, -0.2))
    assert half(near) == pytest.approx(half(far))


def test_welch_and_satterthwaite_weigh_the_degrees():
    from scipy.stats import t

    found = decide(side(0.0, earlier=(0.1, -0.1, 0.0)), side(0.0), 1.0)
    one, other = (4 * 0.02**2 + 2 * 0.01) / 6, 0.02**2
    degrees = (one + other) ** 2 / (one**2 / 6)
    assert half(found) == pytest.approx(float(t.ppf(0.975, degrees)) * math.sqrt(one + other), rel=1e-9)


def test_repeated_campaigns_share_the_error_and_divide_the_variance():
    from scipy.stats import t

    found = decide(side(0.02, 0.04), side(0.0, 0.0), 1.0)
    variances = [(4 * 0.02**2 + 2e-4) / 5 / 2, 4 * 0.02**2 / 5 / 2]
    degrees = sum(variances) ** 2 / sum(each**2 / 5 for each in variances)
    assert found.level == pytest.approx(1 - 0.05 / 3)
    assert found.estimate == pytest.approx(0.03)
    wanted = float(t.ppf(1 - 0.05 / 6, degrees)) * math.sqrt(sum(variances))
    assert half(found) == pytest.approx(wanted, rel=1e-9)
    assert found.campaigns == (2, 2)
    assert found.rounds == (10, 10)


def test_one_repeated_side_is_enough_for_the_stricter_level():
    assert decide(side(0.0, 0.0), side(0.0), 1.0).level == decide(side(0.0), side(0.0, 0.0), 1.0).level > 0.983


@pytest.mark.parametrize(("count", "level"), [(1, 0.95), (2, 1 - 0.05 / 3), (3, 1 - 0.05 / 3), (5, 0.99), (10, 0.995)])
def test_more_campaigns_than_three_are_judged_at_a_stricter_level(count, level):
    assert decide(side(*[0.0] * count), side(0.0), 1.0).level == pytest.approx(level)


def test_more_is_the_fewest_campaigns_that_would_decide():
    found = decide(side(0.046), side(0.0), 1.0)
    assert (found.status, found.more) == ("undecided", 2)
    # Campaigns that scatter as the prior says: 0.02 is the standard deviation of -0.02, 0, 0.02 and near that of two.
    three, two = (-0.02, 0.0, 0.02), (-0.0141, 0.0141)
    assert decide(side(*(0.046 + x for x in three)), side(*three), 1.0).status == "passed"
    again = decide(side(*(0.046 + x for x in two)), side(*two), 1.0)
    assert (again.status, again.more) == ("undecided", 1)


def test_a_second_campaign_alone_decides_nothing_that_one_left_open():
    # At the same estimate: t(10) at 98.3 % over sqrt(2) is 2.03, and one look at 95 % asked for 1.96.
    just = math.log1p(smallest_margin(0.02)) * 0.9999
    assert decide(side(just), side(0.0), 1.0).more == 2


def test_more_is_none_where_three_do_not_suffice_and_where_all_is_decided():
    assert decide(side(0.005), side(0.0), 1.0).more is None
    assert decide(side(0.0, 0.0, 0.0), side(0.0, 0.0, 0.0), 1.0).more is None
    assert decide(side(0.5), side(0.0), 1.0).more is None


def test_repeating_a_single_figure_teaches_nothing_of_its_scatter():
    # sqrt(0.0029 / 3) times t: 0.075 where the 5 % are taken as known, 0.091 if more figures counted as degrees.
    assert decide(Side(((0.08,),), 0.02), side(0.0), 1.0).more == 2


def test_more_counts_for_the_side_that_has_fewer():
    found = decide(side(0.05, 0.05, 0.05), side(0.0), 1.0)
    assert (found.status, found.more) == ("undecided", 1)


def test_two_hosts_of_unlike_noise_pass_where_both_together_allow():
    just = 1.959964 * math.hypot(0.02, 0.05)
    assert [decide(side(just * by), side(0.0, c0=0.05), 1.0).status for by in (0.999, 1.001)] == ["undecided", "passed"]


@pytest.mark.parametrize(
    ("wrong", "required"),
    [
        (Side((), 0.02), 1.0),
        (Side(((),), 0.02), 1.0),
        (Side(((0.0,),), 0.0), 1.0),
        (Side(((0.0,),), math.nan), 1.0),
        (Side(((0.0, math.nan),), 0.02), 1.0),
        (Side(((0.0,),), 0.02, (math.inf,)), 1.0),
        (Side(((0.0,),), 0.02), 0.0),
    ],
)
def test_what_cannot_be_judged_is_an_error(wrong, required):
    for sides in ((wrong, side(0.0)), (side(0.0), wrong)):
        with pytest.raises(ValueError, match="expected"):
            decide(*sides, required)


@given(SIDES, SIDES)
def test_swapping_the_sides_turns_the_verdict_over(one, other):
    there, back = decide(one, other, 1.0), decide(other, one, 1.0)
    assert there.estimate == -back.estimate
    assert half(there) == pytest.approx(half(back))
    assert {there.status, back.status} in ({"undecided"}, {"passed", "failed"})
    assert there.more == back.more


@given(SIDES, SIDES, st.floats(-3, 3))
def test_a_unit_common_to_both_sides_is_irrelevant(one, other, shift):
    def moved(each: Side) -> Side:
        shifted = tuple(tuple(x + shift for x in rounds) for rounds in each.campaigns)
        return Side(shifted, each.c0, tuple(x + shift for x in each.earlier))

    before, after = decide(one, other, 1.0), decide(moved(one), moved(other), 1.0)
    assert after.estimate == pytest.approx(before.estimate, abs=1e-9)
    assert half(after) == pytest.approx(half(before), rel=1e-6)


@given(SIDES, SIDES, LIMITS)
def test_the_interval_holds_the_estimate_and_an_open_question_holds_the_limit(one, other, required):
    found = decide(one, other, required)
    assert found.lower <= found.estimate <= found.upper
    inside = found.low <= required * (1 + 1e-9) and found.high >= required * (1 - 1e-9)
    assert inside == (found.status == "undecided")


@given(SIDES, SIDES, LIMITS, LIMITS)
def test_asking_for_more_never_turns_a_failure_into_a_pass(one, other, low, high):
    statuses = ["failed", "undecided", "passed"]
    found = [statuses.index(decide(one, other, required).status) for required in sorted((low, high))]
    assert found[0] >= found[1]
