"""Sides that cannot take turns - two hosts, two days: what varies between campaigns is added, never seen in one run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.statistics import student
from bench.statistics.decision import CAMPAIGNS, ROUNDING, UNDECIDED, Decision, check, level_to_fail, status

PRIOR_DEGREES = 4
"""What the prior counts for beside measured campaigns (measurement protocol 5.1)."""
UNREPLICATED_C0 = 0.05
"""The least relative sd between campaigns of a figure that nobody repeated: a published one, a log."""
MOST_CAMPAIGNS = 3
LEVEL = 0.95


@dataclass(frozen=True)
class Side:
    """One engine on one host: its campaigns, and what is known of how campaigns on that host differ."""

    campaigns: tuple[tuple[float, ...], ...]
    """log(images/s), declared multipliers included, of every round."""
    c0: float
    """The declared relative standard deviation between campaigns."""
    earlier: tuple[float, ...] = ()
    """Log means of accepted campaigns of the same host and test before these: they tell the scatter, not the mean."""


@dataclass(frozen=True)
class _Spread:
    """How one side scatters: the variance of one campaign, and the degrees of freedom it is known with."""

    mean: float
    variance: float
    degrees: float
    count: int
    learns: bool
    """Whether further campaigns would tell more of the variance: those of a single figure do not."""

    def repeated(self, count: int) -> _Spread:
        """Return the same side with as many campaigns, which scatter as these do."""
        if count <= self.count:
            return self
        known = PRIOR_DEGREES if math.isinf(self.degrees) else self.degrees
        degrees = known + count - self.count if self.learns else math.inf
        return _Spread(self.mean, self.variance, degrees, count, self.learns)


def decide(candidate: Side, baseline: Side, required: float, gates: int = 1) -> Decision:
    """Judge the campaigns of two sides by the shrunk variance between campaigns (measurement protocol 5.1).

    The level is that of `level`. Repeating while undecided is wrong a little more often than one look: simulated at the
    limit with a true prior, 5.1 % in one, 5.6 % in up to three. Of several `gates` that must all hold, one fails at the
    level of `level_to_fail` only. Raises ValueError for a side without campaigns or rounds, a c0 that is not positive,
    NaN or infinity.
    """
    sides = (candidate, baseline)
    for side in sides:
        if not side.campaigns or not all(side.campaigns) or not (math.isfinite(side.c0) and side.c0 > 0):
            raise ValueError(f"expected campaigns with rounds and a c0 above 0, found {side}; no prior, no verdict")
        check(required, *side.earlier, *(value for campaign in side.campaigns for value in campaign))
    one, other = _spread(candidate), _spread(baseline)
    estimate = one.mean - other.mean
    wanted = level(one.count, other.count)
    half = _half_width(one, other, wanted)
    found = status(estimate, half, _half_width(one, other, level_to_fail(wanted, gates)), required)
    return Decision(
        found,
        *(estimate, estimate - half, estimate + half, wanted, required, CAMPAIGNS),
        (sum(map(len, candidate.campaigns)), sum(map(len, baseline.campaigns))),
        (one.count, other.count),
        _more(one, other, estimate - math.log(required), gates) if found == UNDECIDED else None,
    )


def level(*campaigns: int) -> float:
    """Return 95 % for one campaign each, 1 - 0.05/3 for up to three, 1 - 0.05/n for n: who looks often finds more."""
    most = max(campaigns)
    return LEVEL if most == 1 else 1 - (1 - LEVEL) / max(MOST_CAMPAIGNS, most)


def _spread(side: Side) -> _Spread:
    means = [student.mean(campaign) for campaign in side.campaigns]
    within = [_of_mean(campaign) for campaign in side.campaigns if len(campaign) > 1]
    single = len(within) < len(means)
    c0 = max(side.c0, UNREPLICATED_C0) if single else side.c0
    prior = c0**2 + (student.mean(within) if within else 0.0)
    # Each group scatters around its own mean: a difference between these campaigns and the accepted ones is what is
    # looked for, and would hide itself if it counted as scatter.
    groups = [group for group in (side.earlier, means) if len(group) > 1 and not single]
    measured = sum(len(group) - 1 for group in groups)
    if not measured:
        return _Spread(student.mean(means), prior, math.inf, len(means), not single)
    degrees = PRIOR_DEGREES + measured
    variance = (PRIOR_DEGREES * prior + sum(map(student.squares, groups))) / degrees
    return _Spread(student.mean(means), variance, degrees, len(means), learns=True)


def _of_mean(campaign: tuple[float, ...]) -> float:
    """Return the variance of the mean of its rounds."""
    return student.squares(campaign) / (len(campaign) - 1) / len(campaign)


def _half_width(one: _Spread, other: _Spread, level: float) -> float:
    """Return t times the error of the difference, its degrees of freedom after Welch and Satterthwaite."""
    parts = [side.variance / side.count for side in (one, other)]
    doubt = sum(part**2 / side.degrees for part, side in zip(parts, (one, other), strict=True))
    degrees = sum(parts) ** 2 / doubt if doubt else math.inf
    return student.quantile(level, degrees) * math.sqrt(sum(parts))


def _more(one: _Spread, other: _Spread, beyond: float, gates: int) -> int | None:
    """Return how many campaigns per side are missing until this estimate would decide, within three."""
    present = min(one.count, other.count)
    for count in range(present + 1, MOST_CAMPAIGNS + 1):
        sides = one.repeated(count), other.repeated(count)
        wanted = level(*(side.count for side in sides))
        if abs(beyond) - _half_width(*sides, wanted if beyond > 0 else level_to_fail(wanted, gates)) > ROUNDING:
            return count - present
    return None
