"""What is measured together in a round: a case by itself, or two arms that take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench import judging
from bench.campaigns import Campaign
from bench.effort import Effort
from bench.rounds import Arm
from bench.rule import Rule
from bench.statistics.interleaved import CAUTIOUS
from fixtures.case import Case
from fixtures.errors import SetupError
from reports.round import REPLICATED, Round

NAMED = 5
"""Cases that the budget cut short are named one by one, and the rest counted."""


class BudgetError(SetupError):
    """A budget that ended before a first round: the user set it, and a test that only measures is then not run."""

    next_step = "give more with --budget, or name fewer cases with --model, --backend, --batch"

    def __init__(self, budget: float) -> None:
        self.reason = f"no round of it was started: the budget of {_lasting(budget)} was spent"
        super().__init__(f"{self.reason}; {self.next_step}")


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
    cut: str = ""
    """How many of how many rounds it has, and why, where the budget ended before its last."""

    @property
    def paired(self) -> bool:
        """Tell whether two arms take turns."""
        return len(self.arms) == 2

    def wants(self, effort: Effort) -> bool:
        """Tell whether it needs another round."""
        if self.error:
            return False
        count = len(self.taken)
        looked = self.paired and count in effort.looks
        return count < self.most(effort) and not (looked and self.decided and self.decided(self.taken))

    def most(self, effort: Effort) -> int:
        """Return how many rounds it takes at most, by what is known of it now."""
        if self.paired:
            return effort.looks[-1]
        unsteady = any("not_steady" in each.flags for group in self.taken for each in group)
        return max(effort.rounds, CAUTIOUS) if unsteady and effort.signs_off else effort.rounds


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


def told(units: Sequence[Unit]) -> str:
    """Return how many cases and pairs there are, as one says it."""
    pairs = sum(unit.paired for unit in units)
    counts = ((len(units) - pairs, "case"), (pairs, "pair"))
    return " and ".join(f"{count} {what}" + "s" * (count != 1) for count, what in counts if count)


def announced(units: Sequence[Unit], effort: Effort) -> Iterator[str]:
    """Say how much is to come, as the first line of progress is half a minute off; and where it cannot be enough."""
    units = [unit for unit in units if not unit.error]
    if not units:
        return
    alone, paired = any(not unit.paired for unit in units), any(unit.paired for unit in units)
    looks = " to ".join(str(each) for each in dict.fromkeys((effort.looks[0], effort.looks[-1])))
    counts = [f"{effort.rounds if alone else looks} each"]
    if alone and paired and looks != str(effort.rounds):
        counts.append(f"{looks} of a pair")
    budget, spread = effort.budget_seconds, effort.spread_seconds if alone else 0.0
    counts += [f"spread over {_lasting(spread)}"] if spread else []
    counts += [f"at most {_lasting(budget)}"] if budget is not None else []
    yield f"measuring {told(units)} in rounds: {', '.join(counts)}"
    # Of eight rounds over ten minutes the fifth begins, and makes a campaign, before they are over.
    if spread and budget is not None and budget <= spread * (REPLICATED - 1) / (effort.rounds - 1):
        ends = f"a budget of {_lasting(budget)} ends before the rounds are spread over {_lasting(spread)}"
        yield f"{ends}: no campaign comes of it"


def cut_short(units: Sequence[Unit], effort: Effort) -> str:
    """Note in each unit what rounds the budget left it without, once none is started any more; return it in a line."""
    if effort.budget_seconds is None:
        return ""
    ended, short = f"the budget of {_lasting(effort.budget_seconds)} ended", []
    for unit in units:
        if isinstance(unit.error, BudgetError):
            short.append(f"{unit.name} none")
        elif unit.wants(effort):
            count = f"{len(unit.taken)} of {'up to ' * unit.paired}{unit.most(effort)} rounds"
            unit.cut = f"{count}: {ended}"
            short.append(f"{unit.name} {count}")
    more = [f"and {len(short) - NAMED} more"] * (len(short) > NAMED)
    return f"{ended} measuring: {', '.join([*short[:NAMED], *more])}" if short else ""


def _lasting(seconds: float) -> str:
    """Return a time that was set, to a tenth of a minute: 3.5 min are not told as 4."""
    return f"{seconds:g} s" if seconds < 100 else f"{round(seconds / 60, 1):g} min"
