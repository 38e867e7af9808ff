"""What is measured together in a round: a case by itself, or two arms that take turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench import judging
from bench.campaigns import Campaign
from bench.effort import Effort
from bench.rounds import Arm
from bench.rule import Rule
from bench.statistics.interleaved import CAUTIOUS
from fixtures.case import Case
from fixtures.errors import SetupError
from reports.round import Round


@dataclass
class Unit:
    """What is measured together: one arm, or two that take turns in one process, the baseline first."""

    name: str
    arms: tuple[Arm, ...]
    test: str
    """Node id under which its rounds are recorded."""
    decided: Callable[[list[tuple[Round, ...]]], bool] | None = None
    """Whether the rounds of a pair, looked at now, need no more."""
    part: str = ""
    """What its rounds are called where they must not be taken for the campaign of their case."""
    taken: list[tuple[Round, ...]] = field(default_factory=list)
    """Per process, the rounds of its arms, or of the devices of a card."""
    error: SetupError | None = None
    seconds: float = 0.0
    """How long its last round took, all told."""

    @property
    def paired(self) -> bool:
        """Tell whether two arms take turns."""
        return len(self.arms) == 2

    def wants(self, effort: Effort) -> bool:
        """Tell whether it needs another round."""
        if self.error:
            return False
        count = len(self.taken)
        if self.paired:
            looked = count in effort.looks
            return count < effort.looks[-1] and not (looked and self.decided and self.decided(self.taken))
        unsteady = any("not_steady" in each.flags for group in self.taken for each in group)
        return count < (max(effort.rounds, CAUTIOUS) if unsteady and effort.signs_off else effort.rounds)


def of_case(case: Case, test: str) -> Unit:
    """Return the unit of a case by itself."""
    return Unit(case.id, (Arm(case),), test)


def of_pair(name: str, rule: Rule, arms: tuple[Arm, Arm], test: str) -> Unit:
    """Return the unit of two arms, the baseline first, that take turns until the rule is decided."""

    def decided(taken: list[tuple[Round, ...]]) -> bool:
        both = [Campaign(arm.case, "", {}, tuple(pair[place] for pair in taken)) for place, arm in enumerate(arms)]
        found = (judging.in_turn(rule, figure, *both) for figure in (rule.figure, rule.otherwise) if figure)
        judged = next((each for each in found if each), None)
        return judged is not None and judged.status != "undecided"

    return Unit(name, arms, test, decided)
