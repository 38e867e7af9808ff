"""What rounds of an engine against itself are said to tell."""

from __future__ import annotations

import math

import pytest

from bench import against_itself
from bench.against_itself import AgainstItself
from bench.campaigns import Campaign
from tests import records


def scattering(sd):
    """Return two values with a standard deviation."""
    return (-sd / math.sqrt(2), sd / math.sqrt(2))


@pytest.mark.parametrize(
    ("sd", "told"),
    [
        # log(1.02) sqrt(k) / t, with t of k - 1 degrees at 99 %: 4.604, 3.499, 3.106, 2.861.
        (0.0096, "5 rounds tell 2 % at 99 %"),
        (0.0097, "8 rounds tell 2 % at 99 %"),
        (0.0159, "8 rounds tell 2 % at 99 %"),
        (0.0161, "12 rounds tell 2 % at 99 %"),
        (0.0220, "12 rounds tell 2 % at 99 %"),
        (0.0222, "20 rounds tell 2 % at 99 %"),
        (0.0309, "20 rounds tell 2 % at 99 %"),
        (0.0311, "20 rounds, the most a comparison takes, tell 2.1 % at 99 %, not 2 %"),
        (0.0500, "20 rounds, the most a comparison takes, tell 3.3 % at 99 %, not 2 %"),
    ],
)
def test_the_look_at_which_two_percent_are_told_follows_from_students_t(sd, told):
    assert against_itself.affords(scattering(sd)) == told


@pytest.mark.parametrize(("share", "told"), [(0.0106, "1.1 %"), (0.28, "28 %"), (1.732, "173 %"), (0.0, "0 %")])
def test_a_share_is_told_with_two_digits(share, told):
    assert against_itself.percent(share) == told


def campaign(*rounds):
    return Campaign(records.case(), "run", {}, rounds)


def test_device_compute_is_paired_where_it_is_told():
    arms = (
        records.timed_round(samples_ns=(100, 100, 100), details={"device_ms": [1.0, 1.0, 1.0]}),
        records.timed_round(samples_ns=(200, 200, 200), details={"device_ms": [3.0, 3.0, 3.0]}),
    )
    assert AgainstItself(campaign(), [arms]).values == [pytest.approx(math.log(3))]
    wall = tuple(records.timed_round(samples_ns=each.samples_ns) for each in arms)
    assert AgainstItself(campaign(), [wall]).values == [pytest.approx(math.log(2))]


@pytest.mark.parametrize(("count", "figures"), [(4, {}), (5, {"latency": pytest.approx(math.log(1e9 / 8))})])
def test_fewer_than_five_processes_have_no_mean_that_counts(count, figures):
    rounds = [records.timed_round(seed=seed) for seed in range(count)]
    assert AgainstItself(campaign(*rounds), ()).log_means() == figures


def test_one_process_alone_tells_no_scatter_between_processes():
    told = dict(AgainstItself(campaign(records.timed_round()), ()).rows())
    assert set(told) == {"within a process", "neighbouring calls"}


def test_nothing_tells_nothing():
    assert list(AgainstItself(campaign(), ()).rows()) == []
