"""How much is measured: what a look, a night and a signature ask for."""

from __future__ import annotations

from dataclasses import dataclass

from fixtures import plan


@dataclass(frozen=True)
class Effort:
    """Rounds, windows and spread of a campaign (measurement protocol 4.2, 5.1 and 6)."""

    name: str
    rounds: int
    """Fresh processes per case."""
    looks: tuple[int, ...]
    """After how many rounds a pair is looked at; the last is the most it takes."""
    spread_seconds: float
    """At least this lies between the first round and the last: a minute's disturbance must not be in all."""
    serial_seconds: float
    window_seconds: float
    """Of one offline window; every round has one."""
    warmup_seconds: float
    budget_seconds: float | None = None
    """When no further round is started; a case that had none by then says so."""
    signs_off: bool = True
    """Whether a verdict of it counts."""

    @property
    def planned(self) -> plan.Rounds:
        """Return what a plan must know to say how long it takes."""
        return plan.Rounds(self.rounds, self.work(plan.ROUND), self.spread_seconds, self.budget_seconds)

    def work(self, what: str) -> str:
        """Return the name under which it is remembered how long a round or a pair takes: a look is much shorter."""
        return f"{self.name} {what}"


QUICK = Effort("quick", 5, (5,), 0.0, 1.0, 1.0, 0.5, budget_seconds=210.0, signs_off=False)
NIGHTLY = Effort("nightly", 5, (5, 8, 12, 20), 600.0, 5.0, 5.0, 2.0)
SIGNOFF = Effort("signoff", 8, (5, 8, 12, 20), 600.0, 5.0, 60.0, 2.0)
EFFORTS = {effort.name: effort for effort in (QUICK, NIGHTLY, SIGNOFF)}
