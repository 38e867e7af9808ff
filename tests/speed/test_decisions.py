"""How often the rules decide, and how often wrongly: `pytest tests/speed/test_decisions.py --benchmark-only`.

Simulations on fixed seeds, 2,000 campaigns a row, judged by the product's own functions; beside them pytest-benchmark's
own `compare-fail` on processes of the same draws. Truth is known because it is put in: the arms are identical, and the
times of the one that is called the candidate are multiplied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.utils import parse_compare_fail

from bench.statistics import interleaved, two_hosts
from bench.statistics.two_hosts import Side

RECORDING = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "samples" / "timeseries.npz"
CAMPAIGNS = 2000
MOST_ROUNDS = interleaved.LOOKS[-1]
REQUIRED = 0.98
LIMIT = 1 / REQUIRED - 1
SLOWER = (0.0, 0.01, LIMIT, 0.03, 0.05, 0.10)
WRONG_PASSES, WRONG_VERDICTS, FOUND = 0.02, 0.04, 0.95
CHECKS = tuple(parse_compare_fail(f"{field}:5%") for field in ("mean", "median", "min"))
DROPPED = 5
"""Calls at the start of each recorded process, as in the measurement protocol 3.1."""

BEYOND = (LIMIT, LIMIT + 0.002, LIMIT + 0.005)
ELSEWHERE = "the recordings of the measurement protocol lie elsewhere"
WIDTH = 38

WRONG_ACROSS = 0.05
PROCESS_SD, PROCESSES = 0.01, 5
FASTER = (0.0, 0.05, 0.10, 0.20)


@dataclass(frozen=True)
class Row:
    """What became of the campaigns of one truth: counts of the statuses, and the rounds or campaigns they took."""

    true: float
    """log(candidate's throughput / baseline's / required): 0 is the limit itself, where every verdict is wrong."""
    counts: Counter[str]
    taken: float

    def share(self, status: str) -> float:
        return self.counts[status] / self.counts.total()

    @property
    def wrong(self) -> float:
        return sum(self.share(status) for status in self.wrongly)

    @property
    def wrongly(self) -> tuple[str, ...]:
        if abs(self.true) < 1e-9:
            return ("passed", "failed")
        return ("failed",) if self.true > 0 else ("passed",)

    def told(self) -> str:
        shares = " ".join(f"{100 * self.share(status):6.1f}" for status in ("passed", "failed", "undecided"))
        return f"{shares}  {self.taken:5.1f}  {100 * self.wrong:5.1f}"


def pairs(name: str) -> list[np.ndarray]:
    """Return per recorded process the wall times, calls x arms."""
    with np.load(RECORDING) as recorded:
        wall = recorded[f"{name}__wall_us"][:, DROPPED:].astype(float)
    return [each[~np.isnan(each).any(axis=-1)] for each in wall]


def synthetic() -> list[np.ndarray]:
    """Return 100 processes of 195 pairs, about as noisy as the recording.

    An AR(1) disturbance (r 0.7, sd 25 %) that both arms share, 8 % of their own, and 28 % between processes.
    """
    numbers = np.random.default_rng(7)
    count, calls, r = 100, 195, 0.7
    shared = np.empty((count, calls))
    shared[:, 0] = numbers.normal(0, 0.25, count)
    for at in range(1, calls):
        shared[:, at] = r * shared[:, at - 1] + numbers.normal(0, 0.25 * np.sqrt(1 - r * r), count)
    level = numbers.normal(0, 0.28, (count, 1, 1))
    own = numbers.normal(0, 0.08, (count, calls, 2))
    return list(16_000 * np.exp(level + shared[..., None] + own))


def both_ways(processes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return every process with either of its identical arms as the baseline, so that the truth is no difference."""
    return [*processes, *(each[:, ::-1] for each in processes)]


def taking_turns(values: np.ndarray, draws: np.ndarray, slower: float) -> Row:
    """Judge campaigns of interleaved rounds, drawn with replacement from the values of rounds whose truth is 0."""
    found = [interleaved.decide(rounds, REQUIRED) for rounds in (values + np.log1p(slower))[draws].tolist()]
    taken = float(np.mean([decision.rounds[0] for decision in found]))
    true = float(-np.log1p(slower) - np.log(REQUIRED))
    return Row(true, Counter(decision.status for decision in found), taken)


def of_rounds(processes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the value of each process as a round."""
    return np.array([interleaved.value(*each.T) for each in processes])


def compare_fail(before: list[dict[str, float]], after: list[dict[str, float]], slower: float) -> list[float]:
    """Return how often each check of pytest-benchmark fails, one process against another."""
    slowed = [{field: value * (1 + slower) for field, value in each.items()} for each in after]
    return [
        float(np.mean([check.fails(now, then) is not None for now, then in zip(slowed, before, strict=True)]))
        for check in CHECKS
    ]


def stats(process: np.ndarray) -> dict[str, float]:
    """Return the fields of pytest-benchmark that the checks read."""
    return {"mean": float(process.mean()), "median": float(np.median(process)), "min": float(process.min())}


def sides(processes: Sequence[np.ndarray], draws: np.ndarray) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return the statistics of the two processes that each campaign compares: the first drawn, and the next other one.

    The baseline is the first arm of the one, the candidate the last arm of the other.
    """
    first, last = ([stats(each[:, arm]) for each in processes] for arm in (0, -1))
    chosen = [(row[0], next(each for each in row if each != row[0])) for row in draws.tolist()]
    return [first[one] for one, _ in chosen], [last[other] for _, other in chosen]


@pytest.mark.parametrize("source", ["aa10", "synthetic"])
def test_taking_turns_finds_what_compare_fail_cannot(said, source):
    if source != "synthetic" and not RECORDING.exists():
        pytest.skip(ELSEWHERE)

    def simulate() -> tuple[list[Row], list[str]]:
        processes = synthetic() if source == "synthetic" else pairs(source)
        numbers = np.random.default_rng(20)
        draws = numbers.integers(0, len(processes), (CAMPAIGNS, MOST_ROUNDS))
        compared = {source: sides(processes, draws)}
        if source != "synthetic":
            singles = pairs("m10_t1") + pairs("m10_t1b")
            compared["m10"] = sides(singles, numbers.integers(0, len(singles), draws.shape))
        turned = draws + len(processes) * numbers.integers(0, 2, draws.shape)
        values = of_rounds(both_ways(processes))
        rows = [taking_turns(values, turned, slower) for slower in SLOWER]
        lines = [" slower | passed failed undecided rounds wrong | " + " | ".join(map(heading, compared))]
        for slower, row in zip(SLOWER, rows, strict=True):
            checks = [compare_fail(*each, slower) for each in compared.values()]
            shown = " | ".join("".join(f"{100 * share:7.1f}" for share in each).rjust(WIDTH) for each in checks)
            lines.append(f" {100 * slower:4.1f} % | {row.told()} | {shown}")
        return rows, lines

    rows = said(simulate, f"{source}, required {REQUIRED} (the limit is {100 * LIMIT:.1f} % slower); in % of campaigns")
    for row in rows:
        assert row.wrong <= WRONG_VERDICTS
        assert row.share("passed") <= WRONG_PASSES or "passed" not in row.wrongly
    assert rows[SLOWER.index(0.05)].share("failed") >= FOUND
    assert rows[0].share("passed") >= FOUND


@pytest.mark.skipif(not RECORDING.exists(), reason=ELSEWHERE)
def test_rounds_that_are_skewed_pass_too_often_at_the_very_limit(said):
    def simulate() -> tuple[list[Row], list[str]]:
        values = of_rounds(pairs("aa10"))
        draws = np.random.default_rng(22).integers(0, len(values), (CAMPAIGNS, MOST_ROUNDS))
        rows = [taking_turns(values - values.mean(), draws, slower) for slower in BEYOND]
        return rows, [
            " slower | passed failed undecided rounds wrong",
            *(f" {100 * slower:4.1f} % | {row.told()}" for slower, row in zip(BEYOND, rows, strict=True)),
        ]

    rows = said(simulate, "aa10 with its arms as recorded, centred: 14 values whose skewness is +1.1")
    # The t interval holds for symmetric values, as those of identical arms are. Where a few rounds are far slower,
    # samples without them are low and narrow: 6 % pass at the limit, and a fifth of a percent beyond it 2 % holds.
    assert rows[0].wrong <= 0.08
    assert all(row.wrong <= WRONG_PASSES for row in rows[1:])


def heading(name: str) -> str:
    return f"compare-fail {name}: mean median min".rjust(WIDTH)


@dataclass(frozen=True)
class World:
    """Hosts as they are (`sd` between campaigns) and as they are declared (`c0`), with so many accepted campaigns."""

    sd: float
    c0: float
    history: int = 0

    def told(self) -> str:
        known = f"{self.history} earlier" if self.history else "prior only"
        return f"sd {100 * self.sd:3.1f} %, c0 {100 * self.c0:g} %, {known:10}"


ALIKE = (World(0.02, 0.02), World(0.05, 0.05))
LEARNT = tuple(World(sd, sd, history) for sd in (0.02, 0.05) for history in (3, 10))
UNLIKE = tuple(World(sd, 0.02, history) for sd in (0.005, 0.05) for history in (0, 3, 10))


def campaigns(world: World, numbers: np.random.Generator, mean: float, count: int) -> list[list[tuple[float, ...]]]:
    """Return for every simulated comparison as many campaigns of five rounds."""
    between = numbers.normal(mean, world.sd, (CAMPAIGNS, count, 1))
    rounds = between + numbers.normal(0, PROCESS_SD, (CAMPAIGNS, count, PROCESSES))
    return [[tuple(campaign) for campaign in each] for each in rounds.tolist()]


def history(world: World, numbers: np.random.Generator) -> list[tuple[float, ...]]:
    """Return for every simulated comparison the means of campaigns that were accepted before."""
    deviation = np.hypot(world.sd, PROCESS_SD / np.sqrt(PROCESSES))
    return [tuple(each) for each in numbers.normal(0, deviation, (CAMPAIGNS, world.history)).tolist()]


def across(world: World, faster: float, most: int = 1) -> Row:
    """Judge two hosts, one campaign each; repeat while undecided, at most so often."""
    numbers = np.random.default_rng([51, int(1e4 * world.sd), world.history, int(100 * faster), most])
    true = float(np.log1p(faster))
    drawn = [campaigns(world, numbers, mean, most) for mean in (true, 0.0)]
    earlier = [history(world, numbers) for _ in drawn]
    counts: Counter[str] = Counter()
    taken = 0
    for number in range(CAMPAIGNS):
        for count in range(1, most + 1):
            both = [
                Side(tuple(side[number][:count]), world.c0, past[number])
                for side, past in zip(drawn, earlier, strict=True)
            ]
            found = two_hosts.decide(*both, required=1.0)
            if found.status != "undecided":
                break
        counts[found.status] += 1
        taken += count
    return Row(true, counts, taken / CAMPAIGNS)


def table(worlds: Sequence[World], most: int) -> tuple[list[Row], list[str]]:
    """Return a row per world and truth."""
    rows, lines = [], [" hosts                           | faster | passed failed undecided campaigns wrong"]
    for world in worlds:
        for faster in FASTER:
            rows.append(across(world, faster, most))
            lines.append(f" {world.told():31} | {100 * faster:4.0f} % | {rows[-1].told()}")
    return rows, lines


def by_chance(share: float) -> float:
    """Return the largest share that one simulation in a thousand reaches where the true one is `share`."""
    from scipy.stats import binom

    return float(binom.ppf(0.999, CAMPAIGNS, share)) / CAMPAIGNS


def test_two_hosts_whose_prior_is_true(said):
    rows = said(lambda: table(ALIKE + LEARNT, 1), "two hosts, one campaign each, 95 %, required 1; in % of comparisons")
    # With the prior alone the error is 5 % by construction, so the bound holds up to the error of the simulation.
    assert all(row.wrong <= by_chance(WRONG_ACROSS) for row in rows)
    assert all(row.wrong <= WRONG_ACROSS for row in rows[len(ALIKE) * len(FASTER) :])


def test_two_hosts_whose_prior_is_not_true(said):
    rows = said(lambda: table(UNLIKE, 1), "the same with a prior of 2 % that is too large or too small")
    too_large = rows[: 3 * len(FASTER)]
    assert all(row.wrong <= 0.001 for row in too_large)
    # A prior that is too small is the risk that is left (protocol 5.1): history lowers it.
    at_limit = [row.wrong for row in rows[3 * len(FASTER) :: len(FASTER)]]
    assert at_limit == sorted(at_limit, reverse=True)


def test_two_hosts_that_repeat_while_undecided(said):
    rows = said(lambda: table(ALIKE, 3), "two hosts, up to three campaigns each: 95 %, then 98.3 %")
    # Three looks, the first at 5 % and each other at 1.7 %.
    assert all(row.wrong <= 0.05 + 2 * 0.05 / 3 for row in rows)
