"""What the measurement protocol states of its recordings (sections 3 and 11), computed by the product."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest

from bench.statistics.interleaved import decide, value
from bench.statistics.steadiness import autocorrelated, disturbed, lag_one, not_steady

RECORDING = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "samples" / "timeseries.npz"
DROPPED = 5
"""Calls at the start of each process: section 11 leaves them out."""
PAIRED = ("aa10", "aa50", "ab10")

pytestmark = pytest.mark.skipif(
    not RECORDING.exists(), reason="the recordings of the measurement protocol lie elsewhere"
)


@cache
def processes(name: str) -> tuple:
    """Return per process the wall times, calls x arms, without padding and the first calls."""
    import numpy as np

    with np.load(RECORDING) as recorded:
        wall = recorded[f"{name}__wall_us"][:, DROPPED:].astype(float)
    return tuple(each[~np.isnan(each).any(axis=-1)] for each in wall)


def values(name: str) -> list[float]:
    return [value(*each.T) for each in processes(name)]


def ratios(name: str) -> list:
    import numpy as np

    return [np.log(each[:, 1] / each[:, 0]) for each in processes(name)]


def single(name: str) -> list:
    import numpy as np

    return [np.log(each[:, 0]) for each in processes(name)]


@pytest.mark.parametrize(
    ("name", "rounds", "low", "high"),
    [
        ("aa10", 5, "-1.45", "0.99"),
        ("aa10", 8, "-1.06", "1.19"),
        ("aa10", 12, "-0.94", "0.59"),
        ("aa50", 5, "-2.32", "1.84"),
        ("aa50", 8, "-1.66", "2.01"),
        ("aa50", 12, "-1.04", "1.84"),
        ("ab10", 5, "0.46", "10.23"),
        ("ab10", 8, "2.84", "7.36"),
        ("ab10", 12, "3.43", "6.34"),
    ],
)
def test_the_intervals_are_those_of_section_11_to_the_printed_digit(name, rounds, low, high):
    # One look at so many rounds; the limit is out of reach, so that no side of it matters.
    found = decide(values(name)[:rounds], 1 / 1.02, looks=(rounds,))
    # Section 11 prints log(t_1/t_0), a time; the decision is of throughput.
    assert (f"{-100 * found.upper:.2f}", f"{-100 * found.lower:.2f}") == (low, high)


@pytest.mark.parametrize(
    ("name", "given_rounds", "status", "looked_at"),
    [
        ("aa10", 14, "passed", 5),
        ("aa50", 14, "passed", 5),
        ("ab10", 5, "undecided", 5),
        ("ab10", 7, "undecided", 5),
        ("ab10", 8, "failed", 8),
        ("ab10", 14, "failed", 8),
        ("pp10", 7, "undecided", 5),
        ("pps10", 7, "undecided", 5),
    ],
)
def test_the_verdicts_are_those_of_section_11(name, given_rounds, status, looked_at):
    found = decide(values(name)[:given_rounds], 1 / 1.02)
    assert (found.status, found.rounds) == (status, (looked_at, looked_at))


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [("aa10", None, "1.06"), ("ab10", "4.82", "1.55"), ("pp10", None, "18.70"), ("pps10", None, "12.67")],
)
def test_rounds_scatter_as_sections_3_1_and_3_2_say(name, mean, deviation):
    import statistics

    found = values(name)
    assert f"{100 * statistics.stdev(found):.2f}" == deviation
    assert mean is None or f"{100 * statistics.mean(found):.2f}" == mean


def test_pairing_removes_what_neighbouring_calls_share():
    import numpy as np

    assert np.mean([lag_one([each]) for each in ratios("aa10")]) == pytest.approx(0.01, abs=0.005)
    assert np.mean([lag_one([each]) for each in single("aa10")]) == pytest.approx(0.67, abs=0.005)
    # Section 3.1's column: 0.5-0.6, 0.71, 0.33, 0.55.
    for name, low, high in (
        ("m10_t1", 0.475, 0.605),
        ("m10_t1b", 0.475, 0.605),
        ("m50_t1", 0.705, 0.715),
        ("m10_t2", 0.325, 0.335),
        ("m50_t2", 0.545, 0.555),
    ):
        assert low <= np.mean([lag_one([each]) for each in single(name)]) <= high


@pytest.mark.parametrize("name", PAIRED)
def test_pairs_of_this_noisy_host_are_steady_and_not_autocorrelated(name):
    assert not any(map(not_steady, ratios(name)))
    assert not any(map(autocorrelated, ratios(name)))
    assert sum(map(disturbed, ratios(name))) <= 2


def test_a_single_arm_of_the_same_processes_is_not():
    flagged = sum(map(not_steady, single("aa10")))
    assert 4 <= flagged <= 10
    assert sum(map(autocorrelated, single("aa10"))) >= 12


def test_two_processes_taking_turns_may_keep_their_memory():
    assert sum(map(autocorrelated, ratios("pps10"))) == 2


def test_the_limit_of_two_percent_is_the_one_that_is_printed():
    # "limit log 1.02 = 1.98 %" of a time is required = 1/1.02 of a throughput.
    assert decide([math.log(1.02)] * 5, 1 / 1.02).status == "undecided"
