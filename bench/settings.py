"""What the user asked of the measuring and judging of speed: options, checked before anything is collected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from bench.effort import EFFORTS, QUICK, Effort
from bench.likeness.axis import refusals
from fixtures import catalogue, durations, options

POLICIES = ("interval", "point")


@dataclass(frozen=True)
class Settings:
    """How much is measured and what decides."""

    effort: Effort = QUICK
    judge_only: bool = False
    whole_data_set: bool = False
    allowed: Mapping[str, str] = field(default_factory=dict)
    """Axis of a comparison that may differ -> the reason, which stands in the verdict."""
    policy: str = "interval"
    """What decides: the interval, or the guides' point rule."""

    @property
    def strictness(self) -> str:
        """Return whose exit status applies: judging alone is always for a signature, unless for the night."""
        return "signoff" if self.judge_only and self.effort.name == QUICK.name else self.effort.name


SETTINGS = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """Register the options of measuring and judging."""
    for name, metavar, help in (
        ("--effort", "NAME", "how much is measured: quick (the default; signs nothing off), nightly or signoff"),
        (
            "--budget",
            "TIME",
            "start no further round after so long: 90s, 30m, 2h; default: quick 3.5 minutes, else none",
        ),
        ("--policy", "NAME", "what decides a comparison: interval (the default) or point, the guides' bare ratio"),
    ):
        options.add(parser, name, metavar=metavar, help=help)
    options.add(
        parser,
        "--allow",
        metavar="AXIS=REASON",
        many=True,
        help="compare although the two sides differ in AXIS; the reason stands in the verdict; may be repeated",
    )
    options.add_flag(parser, "--judge-only", help="measure nothing: judge the evidence given with --evidence")
    options.add_flag(
        parser, "--whole-data-set", help="time every image of the data set once, in place of eight in turn"
    )


def read(config: pytest.Config) -> Settings:
    """Return the settings; raise pytest.UsageError for one that is not known, SetupError for a time or an axis."""
    effort = EFFORTS[_known(config, "--effort", tuple(EFFORTS), QUICK.name)]
    if budget := options.value(config, "--budget"):
        effort = replace(effort, budget_seconds=durations.seconds(budget, "--budget"))
    return Settings(
        effort,
        judge_only=options.flag(config, "--judge-only"),
        whole_data_set=options.flag(config, "--whole-data-set"),
        allowed=_allowed(config),
        policy=_known(config, "--policy", POLICIES, POLICIES[0]),
    )


def _known(config: pytest.Config, option: str, known: tuple[str, ...], default: str) -> str:
    name = options.value(config, option) or default
    if name not in known:
        raise pytest.UsageError(f"{option}: {catalogue.unknown(option.removeprefix('--'), name, known)}")
    return name


def _allowed(config: pytest.Config) -> dict[str, str]:
    allowed: dict[str, str] = {}
    for text in options.values(config, "--allow", separator="\n"):
        axis, equals, reason = text.partition("=")
        if not equals or not reason.strip():
            raise pytest.UsageError(
                f'--allow: expected AXIS="reason", found {text!r}; the reason stands in the verdict'
            )
        allowed[axis.strip()] = reason.strip()
    refusals((), allowed)  # an axis that nobody knows is said before anything is measured
    return allowed
