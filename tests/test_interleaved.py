from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.interleaved import LOOKS, decide, value

LIMITS = st.sampled_from([0.5, 0.95, 0.98, 1.0, 1.02, 1.2, 4.0])
Y = st.floats(-0.5, 0.5)
ROUNDS = st.lists(Y, min_size=1, max_size=25)
TIMES = st.lists(st.tuples(st.integers(1, 10**10), st.integers(1, 10**10)), min_size=1, max_size=40)


def spread(count: int, centre: float = 0.0, deviation: float = 0.01) -> list[float]:
    """Return alternating values: their mean is the centre where the count is even."""
    return [centre + deviation * (-1) ** number for number in range(count)]


def test_the_value_of_a_round_is_the_median_of_the_log_ratios_and_one_stray_call_does_not_move_it():
    assert value([100, 100, 100], [110, 110, 10_000]) == pytest.approx(math.log(1.1))


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [([], []), ([1, 2], [1]), ([0], [1]), ([1], [-1]), ([math.nan], [1]), ([1], [math.inf]), ([[1]], [[1]])],
)
def test_times_that_are_no_pairs_are_an_error(baseline, candidate):
    with pytest.raises(ValueError, match="expected"):
        value(baseline, candidate)


@given(TIMES)
def test_swapping_the_arms_negates_the_value(pairs):
    baseline, candidate = zip(*pairs, strict=True)
    assert value(baseline, candidate) == pytest.approx(-value(candidate, baseline), abs=1e-12)


@given(TIMES, st.floats(1e-6, 1e6))
def test_the_unit_of_the_times_is_irrelevant(pairs, scale):
    baseline, candidate = zip(*pairs, strict=True)
    scaled = value([scale * t for t in baseline], [scale * t for t in candidate])
    assert scaled == pytest.approx(value(baseline, candidate), abs=1e-9)


def test_a_slower_candidate_fails_and_a_faster_one_passes():
    slower, faster = (decide(spread(5, centre), 1.0) for centre in (0.1, -0.1))
    assert (slower.status, faster.status) == ("failed", "passed")
    assert slower.ratio < 1 < faster.ratio
    assert slower.rounds == (5, 5)
    assert slower.method == "interleaved pairs"


def test_the_interval_is_students_t_at_99_percent():
    found = decide([0.00, 0.01, 0.02, 0.03, 0.04], 0.98)
    # t(4, 0.995) = 4.604 (protocol 4.2); s = 0.015811.
    assert found.estimate == pytest.approx(-0.02)
    assert found.upper - found.estimate == pytest.approx(4.6041 * 0.0158114 / math.sqrt(5), rel=1e-4)
    assert found.level == 0.99
    assert (found.low, found.high) == (math.exp(found.lower), math.exp(found.upper))


def test_the_first_verdict_stands_whatever_comes_later():
    passed = spread(5, -0.1)
    assert decide(passed + [5.0] * 15, 1.0) == decide(passed, 1.0)


@given(st.lists(st.floats(0.09, 0.1), min_size=5, max_size=25), LIMITS, st.randoms(use_true_random=False))
def test_rounds_after_a_verdict_may_come_in_any_order(values, required, random):
    found = decide(values, required)
    assert found.status != "undecided"
    later = values[found.rounds[0] :]
    random.shuffle(later)
    assert decide(values[: found.rounds[0]] + later, required) == found


def test_a_verdict_is_looked_for_at_the_looks_only():
    # Undecided at five; by the sixth and the seventh it would have passed.
    values = [0.2, -0.2, -0.2, -0.2, -0.2, *[-0.2] * 15]
    found = [decide(values[:count], 0.98) for count in range(5, 21)]
    assert [each.rounds[0] for each in found[:4]] == [5, 5, 5, 8]
    changes = [5 + at for at in range(1, 16) if found[at].status != found[at - 1].status]
    assert all(count in LOOKS for count in changes)


def test_no_verdict_before_five_rounds():
    found = decide(spread(4, -0.5), 1.0)
    assert (found.status, found.more) == ("undecided", 1)
    assert found.lower > 0


def test_one_round_has_an_estimate_and_no_interval():
    found = decide([0.1], 1.0)
    assert (found.estimate, found.lower, found.upper, found.more) == (-0.1, -math.inf, math.inf, 4)


def test_one_unsteady_round_puts_the_verdict_off_to_eight():
    values = spread(8, -0.1)
    early = decide(values[:5], 1.0, cautious=True)
    assert (early.status, early.more) == ("undecided", 3)
    assert decide(values[:5], 1.0).status == "passed"
    late = decide(values, 1.0, cautious=True)
    assert (late.status, late.rounds) == ("passed", (8, 8))


def test_a_quick_look_that_is_not_steady_stays_undecided():
    found = decide(spread(5, -0.1), 1.0, looks=(5,), cautious=True)
    assert (found.status, found.more) == ("undecided", 3)


def test_equal_values_give_an_interval_of_no_width_and_a_verdict_unless_they_sit_on_the_limit():
    assert decide([0.1] * 5, 1.0).status == "failed"
    assert decide([-0.1] * 5, 1.0).status == "passed"
    on_it = decide([-math.log(1.2)] * 5, 1.2)
    assert (on_it.status, on_it.more) == ("undecided", None)
    assert on_it.lower == on_it.upper == on_it.estimate
    assert decide([math.log(4 / 1.2)] * 20, 1.2, math.log(4)).status == "undecided"


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_errors(wrong):
    for values, required, constant in (
        ([0.0] * 4 + [wrong], 1.0, 0.0),
        ([0.0] * 5, wrong, 0.0),
        ([0.0] * 5, 1.0, wrong),
    ):
        with pytest.raises(ValueError, match="expected"):
            decide(values, required, constant)


@pytest.mark.parametrize(("values", "required", "looks"), [([], 1.0, LOOKS), ([0.0], 0.0, LOOKS), ([0.0], 1.0, (1, 5))])
def test_nothing_to_judge_is_an_error(values, required, looks):
    with pytest.raises(ValueError, match="expected"):
        decide(values, required, looks=looks)


def test_more_counts_to_the_next_look_that_would_decide():
    values = [0.01, -0.02, 0.0, -0.05, -0.02]
    found = decide(values, 1.0)
    needed = next(k for k in range(6, 100) if interval(values, k) < abs(found.estimate))
    assert found.status == "undecided"
    assert 12 < needed <= 20
    assert found.more == 15


def test_more_says_how_far_off_it_is_beyond_the_last_look():
    values = spread(20, -0.002)
    found = decide(values, 1.0)
    assert found.more is not None
    needed = 20 + found.more
    assert interval(values, needed) < abs(found.estimate) <= interval(values, needed - 1)
    assert decide(spread(20, -1e-6), 1.0).more is None


def test_more_is_exact_where_no_look_is_left():
    for number in range(8, 40):
        values = [y - number / 1000 for y in (-0.03, 0.01, 0.05, -0.02, -0.01)]
        found = decide(values, 1.0, looks=(5,))
        if found.status == "undecided":
            needed = next(k for k in range(6, 1001) if interval(values, k) < abs(found.estimate))
            assert found.more == needed - 5


def interval(values: list[float], count: int) -> float:
    """Return the half width that this scatter would have with so many rounds."""
    import statistics

    from scipy.stats import t

    return float(t.ppf(0.995, count - 1)) * statistics.stdev(values) / math.sqrt(count)


@given(ROUNDS, LIMITS, st.booleans())
def test_the_interval_holds_the_estimate_and_an_open_question_holds_the_limit(values, required, cautious):
    found = decide(values, required, cautious=cautious)
    assert found.lower <= found.estimate <= found.upper
    if found.status == "undecided" and found.rounds[0] >= (8 if cautious else 5):
        assert found.low <= required * (1 + 1e-9)
        assert found.high >= required * (1 - 1e-9)
    assert found.more is None or found.more > 0


@given(ROUNDS)
def test_swapping_the_arms_turns_the_verdict_over(values):
    one, other = decide(values, 1.0), decide([-y for y in values], 1.0)
    assert one.estimate == -other.estimate
    assert (one.lower, one.upper) == (-other.upper, -other.lower)
    assert {one.status, other.status} in ({"undecided"}, {"passed", "failed"})


@given(ROUNDS, st.floats(-2, 2))
def test_a_constant_adds(values, constant):
    assert decide(values, 1.0, constant, looks=()).estimate == pytest.approx(
        decide(values, 1.0, looks=()).estimate + constant, abs=1e-12
    )


@given(ROUNDS, LIMITS, LIMITS)
def test_asking_for_more_never_turns_a_failure_into_a_pass(values, one, other):
    at = {required: decide(values, required).status for required in (one, other)}
    assert not (at[min(one, other)] == "failed" and at[max(one, other)] == "passed")


@given(ROUNDS, LIMITS)
def test_asking_for_more_at_one_look_keeps_a_failure(values, required):
    looks = (len(values),) if len(values) >= 2 else ()
    if decide(values, required, looks=looks).status == "failed":
        assert decide(values, required * 1.1, looks=looks).status == "failed"
