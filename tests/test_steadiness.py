from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.steadiness import autocorrelated, disturbed, lag_one, not_steady

SERIES = st.lists(st.floats(-5, 5), max_size=120)
SCATTER = 0.05


def quiet(count: int, seed: int = 0, r: float = 0.0):
    """Return an AR(1) series of logarithms with a standard deviation of 5 %."""
    import numpy as np

    steps = np.random.default_rng(seed).normal(0, SCATTER * math.sqrt(1 - r * r), count)
    series = np.empty(count)
    series[0] = steps[0] / math.sqrt(1 - r * r)
    for at in range(1, count):
        series[at] = r * series[at - 1] + steps[at]
    return series


def test_a_steady_series_is_steady():
    assert not not_steady(quiet(200))


def test_a_third_that_is_slower_is_not_steady():
    series = quiet(200)
    series[:60] += 0.1
    assert not_steady(series)


def test_a_middle_third_that_is_faster_is_not_steady():
    series = quiet(200)
    series[70:130] -= 0.1
    assert not_steady(series)


def test_a_drift_within_two_percent_is_steady_however_sure_it_is():
    import numpy as np

    slow, fast = (np.linspace(0, drift, 300) + quiet(300) * 0.01 for drift in (0.028, 0.034))
    # Medians of the outer thirds lie two thirds of the drift apart: 1.9 % and 2.3 %.
    assert not not_steady(slow)
    assert not_steady(fast)


def test_a_difference_within_three_errors_is_steady():
    series = quiet(60) * 10
    series[:20] += 0.1
    assert not not_steady(series)


def test_what_remembers_wanders_and_is_not_called_unsteady_for_it():
    remembering = [quiet(600, seed, 0.8) for seed in range(100)]
    # Taken call by call the error would be a third of what it is, and four in ten would be flagged.
    assert sum(map(not_steady, remembering)) <= 5


def test_pairs_without_memory_are_seldom_flagged_by_chance():
    assert sum(not_steady(quiet(100, seed)) for seed in range(200)) <= 6


def test_one_series_has_one_answer():
    series = [quiet(90, seed, 0.6) for seed in range(50)]
    assert [not_steady(each) for each in series] == [not_steady(each) for each in series]


def test_far_out_samples_beyond_a_tenth_disturb():
    few, many = quiet(100), quiet(100)
    few[:10] += 2
    many[:11] += 2
    assert not disturbed(few)
    assert disturbed(many)
    many[:11] -= 4
    assert disturbed(many)


def test_a_clock_of_coarse_ticks_is_no_disturbance():
    ticks = [math.log(1.000)] * 80 + [math.log(1.001)] * 20
    assert not disturbed(ticks)
    assert disturbed([math.log(1.000)] * 80 + [math.log(1.1)] * 20)


def test_neighbours_that_are_alike_or_opposite_are_autocorrelated():
    assert autocorrelated(quiet(200, r=0.6))
    assert autocorrelated([(-1) ** at for at in range(40)])
    assert not autocorrelated(quiet(200))


def test_the_correlation_is_that_of_the_parts_around_their_own_means():
    import numpy as np

    assert lag_one([np.array([1.0, 2.0, 3.0, 4.0])]) == pytest.approx(0.25)
    assert lag_one([np.array([0.0, 1.0, 0.0]), np.array([10.0, 11.0, 10.0])]) == pytest.approx(-2 / 3)
    assert lag_one([np.full(50, 0.1)]) == 0


@pytest.mark.parametrize("judge", [not_steady, disturbed, autocorrelated])
def test_fewer_than_thirty_samples_are_never_judged(judge):
    assert not judge([])
    assert not judge([float(at > 3) * (-1) ** at * 3 + at for at in range(29)])
    assert not judge([0.0] * 200)


@pytest.mark.parametrize("judge", [not_steady, disturbed, autocorrelated])
@pytest.mark.parametrize("wrong", [[math.nan], [0.0, math.inf], [[0.0]]])
def test_what_is_no_series_is_an_error(judge, wrong):
    with pytest.raises(ValueError, match="expected"):
        judge(wrong)


@given(SERIES, st.sampled_from([math.log(1e6), -math.log(1e3)]))
def test_the_unit_of_the_times_is_irrelevant(series, unit):
    shifted = [x + unit for x in series]
    for judge in (not_steady, disturbed, autocorrelated):
        if clear(judge, series):
            assert judge(shifted) == judge(series)


def clear(judge, series) -> bool:
    """Whether a hair's breadth does not change the answer."""
    return len({judge([x * by for x in series]) for by in (1 - 1e-9, 1, 1 + 1e-9)}) == 1


@given(SERIES)
def test_a_candidate_that_is_called_baseline_is_judged_the_same(series):
    negated = [-x for x in series]
    assert autocorrelated(negated) == autocorrelated(series)
    if clear(disturbed, series):
        assert disturbed(negated) == disturbed(series)
