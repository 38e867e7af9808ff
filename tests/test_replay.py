from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import figures
from bench.replay import ReplayedClock

SAMPLES = st.lists(st.integers(1, 10**11), min_size=1, max_size=50)


@given(SAMPLES)
def test_the_clock_shows_what_it_is_told(samples):
    clock = ReplayedClock()
    for sample in samples:
        before = clock()
        clock.pass_by(sample)
        assert clock() - before == pytest.approx(sample / 1e9, abs=1e-9)


def test_the_clock_stands_still_by_itself():
    clock = ReplayedClock()
    assert clock() == clock() == 0


def test_pytest_benchmark_records_exactly_the_samples_it_is_told(inside):
    samples = [1_000_003, 2_500_000, 999_999_999, 1, 40_000_000_000]
    inside.makepyfile(
        f"""
        import pytest
        from bench.replay import CLOCK, replay

        @pytest.mark.benchmark(timer=CLOCK)
        def test_it(benchmark):
            replay(benchmark, {samples})
        """
    )
    result = inside.runpytest_inprocess("--benchmark-json=out.json")
    assert result.ret == 0
    (found,) = json.loads((inside.path / "out.json").read_text())["benchmarks"]
    assert found["stats"]["data"] == pytest.approx([sample / 1e9 for sample in samples], abs=1e-9)
    assert found["stats"]["rounds"] == len(samples)
    assert found["stats"]["iterations"] == 1
    assert found["options"]["timer"] == "replayed from bench.round"


@given(SAMPLES, st.randoms())
def test_the_latency_does_not_depend_on_the_order(samples, random):
    shuffled = random.sample(samples, len(samples))
    ours, other = (figures.latency(s) for s in (samples, shuffled))
    assert ours == other
    assert min(samples) / 1e6 <= ours["p50_ms"] + 1e-6
    assert ours["p50_ms"] <= ours["p90_ms"] <= ours["p99_ms"] <= max(samples) / 1e6 + 1e-6


@pytest.mark.parametrize(
    ("calls", "few"),
    [(1, ["p90_ms", "p99_ms"]), (63, ["p90_ms", "p99_ms"]), (64, ["p99_ms"]), (661, ["p99_ms"]), (662, [])],
)
def test_says_which_percentiles_rest_on_too_few_calls(calls, few):
    found = figures.latency((5_000_000,) * calls)
    assert found == {"p50_ms": 5.0, "p90_ms": 5.0, "p99_ms": 5.0, "calls": calls, "too_few_calls_for": few}
