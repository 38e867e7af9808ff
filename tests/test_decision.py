from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import interleaved, two_hosts
from bench.statistics.decision import FAILED, PASSED, UNDECIDED, level_to_fail, status
from bench.statistics.two_hosts import Side

ESTIMATES = st.floats(-0.5, 0.5)
WIDTHS = st.floats(0, 0.5)
VALUES = st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=12)
CAMPAIGNS = st.lists(st.lists(st.floats(-0.3, 0.3), min_size=5, max_size=5).map(tuple), min_size=1, max_size=3).map(
    tuple
)


@given(ESTIMATES, WIDTHS, WIDTHS, st.sampled_from([0.98, 1.0, 1.2]))
def test_the_verdict_is_where_the_interval_lies(estimate, half, more, required):
    found = status(estimate, half, half + more, required)
    if found == PASSED:
        assert estimate - half > math.log(required)
    elif found == FAILED:
        assert estimate + half + more < math.log(required)
    assert status(math.log(required), half, half + more, required) == UNDECIDED


def test_a_part_of_a_combined_gate_fails_at_its_share_of_the_error():
    # Protocol 4.1: with G gates a FAIL uses alpha / G.
    assert level_to_fail(0.95, 1) == pytest.approx(0.95)
    assert level_to_fail(0.95, 2) == pytest.approx(0.975)
    assert level_to_fail(0.99, 4) == pytest.approx(0.9975)
    with pytest.raises(ValueError, match="one or more gates, found 0"):
        level_to_fail(0.95, 0)


def turns(values: list[float], gates: int):
    return interleaved.decide(values, 1.0, gates=gates)


def nights(candidate: tuple[tuple[float, ...], ...], gates: int):
    return two_hosts.decide(Side(candidate, 0.02), Side(((0.0,) * 5,), 0.02), 1.0, gates)


@settings(deadline=None)  # the first example loads scipy
@given(VALUES, st.integers(2, 4))
def test_in_turn_several_gates_only_put_failures_off(values, gates):
    one, many = turns(values, 1), turns(values, gates)
    if len(values) < 8:  # a failure put off may become another verdict at the next look
        assert (one.status == PASSED) == (many.status == PASSED)
        assert many.status != FAILED or one.status == FAILED
        assert (many.estimate, many.lower, many.upper, many.level) == (one.estimate, one.lower, one.upper, one.level)


@settings(deadline=None)
@given(CAMPAIGNS, st.integers(2, 4))
def test_apart_several_gates_only_put_failures_off(candidate, gates):
    one, many = nights(candidate, 1), nights(candidate, gates)
    assert (one.status == PASSED) == (many.status == PASSED)
    assert many.status != FAILED or one.status == FAILED
    assert (many.estimate, many.lower, many.upper, many.level) == (one.estimate, one.lower, one.upper, one.level)


def test_what_fails_alone_is_undecided_as_one_of_two_and_fails_further_off():
    # The interval at 99 % of five rounds: t = 4.604, at 99.5 %: 5.598; s / sqrt(5) is 0.00707.
    values = [0.02, 0.03, 0.04, 0.05, 0.06]
    near = [value - 0.005 for value in values]
    assert [turns(near, gates).status for gates in (1, 2)] == [FAILED, UNDECIDED]
    far = [value + 0.005 for value in values]
    assert [turns(far, gates).status for gates in (1, 2)] == [FAILED, FAILED]
    # Apart at 95 %: 1.960 x 0.0283 = 0.0554, at 97.5 %: 2.241 x 0.0283 = 0.0634.
    assert [nights(((-0.06,) * 5,), gates).status for gates in (1, 2)] == [FAILED, UNDECIDED]
    assert [nights(((-0.064,) * 5,), gates).status for gates in (1, 2)] == [FAILED, FAILED]
    assert [nights(((0.056,) * 5,), gates).status for gates in (1, 2)] == [PASSED, PASSED]


def test_how_many_more_it_takes_is_counted_at_the_level_that_would_decide():
    # Campaigns beyond the first make it Student's t: of three each the interval is wider than 0.05 at 99.17 % only.
    slower, faster = ((-0.05,) * 5,), ((0.05,) * 5,)
    assert [nights(slower, gates).more for gates in (1, 2)] == [2, None]
    assert [nights(faster, gates).more for gates in (1, 2)] == [2, 2]
    values = [0.0, 0.01, 0.02, 0.03, 0.04]
    assert turns(values, 4).more > turns(values, 1).more
    assert turns([-value for value in values], 4).more == turns([-value for value in values], 1).more


def test_two_gates_at_the_limit_fail_no_more_often_than_one():
    """A simulation on a fixed seed: two independent statistics exactly at the limit, one campaign each, true prior."""
    random = Random(3)

    def drawn() -> tuple[tuple[float, ...], ...]:
        return ((random.gauss(0, math.sqrt(2) * 0.02),) * 5,)

    counts: Counter[int] = Counter()
    for _ in range(1000):
        both = drawn(), drawn()
        for gates in (1, 2):
            counts[gates] += any(nights(each, gates).status == FAILED for each in both)
    # By the normal distribution: 1 - 0.975^2 = 4.9 % where each fails at its own level, else 1 - 0.9875^2 = 2.5 %.
    assert 0.035 < counts[1] / 1000 < 0.065
    assert 0.015 < counts[2] / 1000 < 0.035
