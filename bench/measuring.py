"""The campaign of a run: everything that is timed, round by round in random order, each round a fresh process."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from bench import figures
from bench.campaigns import Campaign
from bench.mode import PURE, WHOLE
from bench.rounds import RoundError, Rounds
from bench.settings import Settings
from bench.units import BudgetError, Unit, announced, cut_short, told
from fixtures import backend as backends
from fixtures import durations, local
from fixtures.devices import CARD
from fixtures.errors import SetupError
from fixtures.progress import Progress
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.round import Round
from reports.run import Run
from reports.schema import EvidenceError

WAIT_SECONDS = 1.0


class Measuring:
    """Takes all rounds at the first question for any of them, so that a disturbance of the host meets every case.

    What a case cannot do is raised where that case is asked for; the others go on.
    """

    def __init__(
        self, rounds: Rounds, ledger: Ledger, settings: Settings, progress: Progress, units: Iterable[Unit]
    ) -> None:
        self.rounds, self.ledger, self.settings, self.progress = rounds, ledger, settings, progress
        self.units = {unit.name: unit for unit in units}
        self.seed = random.SystemRandom().randrange(2**32)
        self._figures: dict[str, list[Measurement]] = {}
        self._measured = False
        self._began = 0.0

    def of(self, name: str) -> list[tuple[Round, ...]]:
        """Return the rounds of a unit per process; raise SetupError for what went wrong with it."""
        if not self._measured:
            self._measured = True
            self._measure(list(self.units.values()))
        unit = self.units[name]
        if unit.error:
            raise unit.error
        if not unit.taken:
            raise RoundError(
                f"{name}: expected rounds; found that measuring was broken off; see the first test that failed"
            )
        return unit.taken

    def figures(self, name: str) -> list[Measurement]:
        """Return what the rounds of a unit come to, recorded once; of a pair, the baseline's first.

        Raises SetupError as `of` does.
        """
        taken = self.of(name)
        if name not in self._figures:
            unit, workshop = self.units[name], self.rounds.workshop
            found: list[Measurement] = []
            for place, arm in enumerate(unit.arms):
                engine = arm.engine or workshop.sources.engine(arm.case)
                processes = [(group[place],) for group in taken] if unit.paired else taken
                backend, data = backends.find(arm.case.backend), workshop.described(arm.case)
                found += figures.measurements(arm.case, backend, engine, data, processes, unit.cut)
            for measurement in found:
                self.ledger.add(measurement, test=unit.test)
            self._figures[name] = found
        return self._figures[name]

    def again(self, name: str) -> list[Measurement]:
        """Return what fresh rounds of a case come to; they are recorded as a campaign of their own.

        Raises SetupError as `of` does.
        """
        fresh = f"{name} again"
        if fresh not in self.units:
            first = self.units[name]
            self.units[fresh] = Unit(fresh, first.arms, first.test, part=fresh)
            self._measure([self.units[fresh]])  # and no unit that the budget cut off: its figures are told
        return self.figures(fresh)

    def keep(self) -> None:
        """Record what the rounds come to for which no test asked any more: after Ctrl-C, or where the first failed."""
        for name, unit in self.units.items():
            if unit.taken and not unit.error:
                with contextlib.suppress(SetupError, EvidenceError):  # its rounds are recorded all the same
                    self.figures(name)

    def campaign(self, name: str) -> Campaign:
        """Return the campaign of a case; raise SetupError as `of` does."""
        return self._arm(name, 0)

    def arms(self, name: str) -> tuple[Campaign, Campaign]:
        """Return baseline and candidate of a pair; raise SetupError as `of` does."""
        return self._arm(name, 0), self._arm(name, 1)

    def _arm(self, name: str, place: int) -> Campaign:
        found, unit = self.figures(name), self.units[name]
        own = [each for each in found if each.details.get("pair", {}).get("arm", 0) == place]
        rounds = [group[place : place + 1] if unit.paired else group for group in self.of(name)]
        environment = next((e.record.environment for e in self.ledger.entries if isinstance(e.record, Run)), {})
        taken = tuple(chain.from_iterable(rounds))
        return Campaign(unit.arms[place].case, self.ledger.run, {m.metric: m for m in own}, taken, environment)

    def _measure(self, units: Sequence[Unit]) -> None:
        for unit in units:
            self._prepare(unit)  # builds finish before anything is timed
        for line in announced(units, self.settings.effort):
            self.progress.say(line)
        self._began = time.monotonic()
        budget = self.settings.effort.budget_seconds
        self.progress.ends = None if budget is None else self._began + budget
        try:
            self._take_all(units)
        except KeyboardInterrupt:
            kept = [unit for unit in self.units.values() if unit.taken]
            count = sum(len(unit.taken) for unit in kept)
            rounds = f"{count} rounds of {told(kept)} are" if count > 1 else f"1 round of {told(kept)} is"
            kept_or_not = f"{rounds} kept in the evidence" if kept else "before a first round was taken"
            self.progress.say(f"interrupted: {kept_or_not}")
            raise
        finally:
            self.progress.ends = None
        if line := cut_short(units, self.settings.effort):
            self.progress.say(line)

    def _take_all(self, units: Sequence[Unit]) -> None:
        shuffler, done = random.Random(self.seed), 0
        with self.progress.track("measuring, in rounds") as tell:
            while active := [unit for unit in units if unit.wants(self.settings.effort)]:
                for unit in shuffler.sample(active, len(active)):
                    if self._spent(unit):
                        continue
                    self._take(unit, shuffler.randrange(2**32))
                    done += 1
                    tell(done, done + self._left(units))
                due = self._due(active)
                if all(self._spent(unit, due) for unit in active):
                    break
                self._wait(due)

    def _prepare(self, unit: Unit) -> None:
        try:
            for arm in unit.arms:
                if arm.engine is None:
                    self.rounds.workshop.sources.engine(arm.case)
        except SetupError as error:
            unit.error = error

    def _take(self, unit: Unit, seed: int) -> None:
        began = time.monotonic()
        try:
            if unit.paired:
                baseline, candidate = unit.arms
                taken: tuple[Round, ...] = self.rounds.take_pair(baseline, candidate, seed, self.settings.effort)
            else:
                mode = WHOLE if self.settings.whole_data_set else PURE
                case = unit.arms[0].case
                whole_card = local.devices() == (CARD,) and backends.find(case.backend).devices_per_card > 1
                take = self.rounds.take_card if whole_card else self.rounds.take
                found = take(case, seed, self.settings.effort, mode)
                taken = found if isinstance(found, tuple) else (found,)
        except SetupError as error:
            unit.error = error
            return
        finally:
            unit.seconds = time.monotonic() - began
        if unit.paired:
            durations.note(self.settings.effort.work("pair"), unit.arms[1].case, unit.seconds)
        more = {"campaign_seed": self.seed, **({"part": unit.part} if unit.part else {})}
        taken = tuple(replace(each, details={**each.details, **more}) for each in taken)
        unit.taken.append(taken)
        for each in taken:
            self.ledger.add(each, test=unit.test)

    def _spent(self, unit: Unit, start: float = 0.0) -> bool:
        """Tell whether the budget has no room for a round of a unit from `start` on, or now where that is past.

        A unit that goes without any round for it says so.
        """
        budget = self.settings.effort.budget_seconds
        if budget is None or max(start, time.monotonic()) - self._began + unit.seconds <= budget:
            return False
        if not unit.taken and unit.error is None:
            unit.error = BudgetError(budget)
        return True

    def _left(self, units: Sequence[Unit]) -> int:
        """Return how many rounds are still to come; those of pairs end when they are decided."""
        effort = self.settings.effort
        return sum(max(0, unit.most(effort) - len(unit.taken)) for unit in units if not unit.error)

    def _due(self, active: list[Unit]) -> float:
        """Return when the next pass may begin: a campaign that is over in a minute shows one minute of its host."""
        effort = self.settings.effort
        alone = [unit for unit in active if not unit.paired and unit.wants(effort)]
        if not alone or not effort.spread_seconds:
            return self._began
        return self._began + effort.spread_seconds * max(len(unit.taken) for unit in alone) / (effort.rounds - 1)

    def _wait(self, due: float) -> None:
        if (seconds := due - time.monotonic()) > WAIT_SECONDS:
            spread = durations.told(self.settings.effort.spread_seconds)
            self.progress.say(f"waiting {durations.told(seconds)}: rounds are spread over {spread}")
        while (seconds := due - time.monotonic()) > 0:
            time.sleep(min(WAIT_SECONDS, seconds))
