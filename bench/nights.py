"""Tonight against what was accepted: which cases, which engines take turns, and what is required of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bench.campaigns import Campaign, campaigns
from bench.rule import Rule
from bench.statistics import student
from fixtures import backend as backends
from fixtures import catalogue, grid
from fixtures.backend import EMULATED
from fixtures.case import Case
from fixtures.engines import Engine
from fixtures.model import Model
from fixtures.runtime import Runtime
from fixtures.selection import Selection
from fixtures.workshop import Workshop
from reports.history import LATEST, OLDEST, Accepted, History
from reports.host_key import hardware_differences, software_differences

SPEED = "throughput"
"""Every campaign has this figure; what was accepted for its accuracy alone has not."""
RULE = "no_slower_than_accepted"
SAME_HOST = 0.02
"""How much slower an engine may be than one that takes turns with it (measurement protocol 4.1)."""
APART = 0.05
"""How much slower a night may be than one it cannot take turns with, where the host can tell that apart at all."""
TOLERANCES = {LATEST: 1, OLDEST: 2}
"""How often the margin may be used up: against the oldest twice, or a little every night would pass for ever."""


@dataclass(frozen=True)
class Tonight:
    """A case whose speed is compared with what was accepted of it."""

    case: Case

    @property
    def candidate(self) -> Case | None:
        """Return the case that runs tonight; None where its model, its profile or its backend is gone."""
        return self.case if known(self.case) else None

    @property
    def id(self) -> str:
        """Return the id of the case."""
        return self.case.id


def tonight(selection: Selection, history: History, every_night: bool) -> list[Tonight]:
    """Return the cases with something accepted, and at night every case that is timed.

    What was accepted and is not in the grid any more is among them, so that a case that was renamed or left out is
    noticed.
    """
    timed = set(grid.timed(selection))
    accepted = {case for case in history.cases() if _asked(case, selection) and history.accepted(case, SPEED)}
    cases = (timed | accepted) if every_night else accepted & timed
    return [Tonight(case) for case in sorted(cases)]


def _asked(case: Case, selection: Selection) -> bool:
    return (
        case.profile == selection.profile
        and (case.model in selection.models or not _has_profile(case))
        and (not selection.backends or case.backend in selection.backends)
        and (not selection.batches or case.batch in selection.batches)
        and (not selection.sizes or case.size in selection.sizes)
    )


def known(case: Case) -> bool:
    """Tell whether model, profile and backend of a case still exist here."""
    return _has_profile(case) and case.backend.removesuffix(EMULATED) in catalogue.entries("backend")


def _has_profile(case: Case) -> bool:
    model: Model | None = catalogue.entries("model").get(case.model)
    return model is not None and case.profile in model.profiles


def campaign(accepted: Accepted) -> Campaign:
    """Return the campaign that was accepted."""
    return campaigns(accepted.entries, accepted.acceptance.case)[-1]


def references(history: History, case: Case) -> dict[str, Accepted]:
    """Return the accepted campaigns that tonight is held against, by name."""
    return history.references(case, SPEED)


def kept(workshop: Workshop, case: Case, sha256: str) -> Engine | None:
    """Return the accepted engine from the store, if it is there, whole, fits this host and can take turns."""
    backend = backends.find(case.backend)
    runtime: Runtime = catalogue.find("runtime", backend.runtime)
    store = workshop.sources.store
    for stored in store.entries() if runtime.alternates else ():
        if stored.sha256 == sha256 and (engine := store.find(stored.recipe, stored.path.name)):
            return None if runtime.misfit(engine, backend) else engine
    return None


def in_turn(rule: Rule, reference: str) -> Rule:
    """Return the rule for engines that take turns: 2 %, twice that against the oldest."""
    return replace(rule, required=1 - SAME_HOST * TOLERANCES[reference])


def apart(rule: Rule, reference: str, half_width: float) -> Rule:
    """Return the rule for nights: 5 %, or what the host can tell apart if that is more; twice that for the oldest.

    `half_width` is that of the interval of the log ratio.
    """
    margin = max(APART, -math.expm1(-half_width))
    return replace(rule, required=max(round(1 - margin * TOLERANCES[reference], 4), 1e-3))


def changed(now: Campaign, then: Campaign) -> list[str]:
    """Return what is different from when it was accepted, in words: engine, hardware, software, runtime."""
    found = []
    if now.sha256 != then.sha256:
        found.append(f"engine {then.sha256[:8]} -> {now.sha256[:8]}")
    found += hardware_differences(then.environment, now.environment)
    found += software_differences(then.environment, now.environment)
    before, after = then.detail("versions") or {}, now.detail("versions") or {}
    found += [
        f"{name} {before.get(name, 'unknown')} -> {after.get(name, 'unknown')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return list(dict.fromkeys(found))


def steps(found: Sequence[Campaign], figure: str, statistic: str) -> tuple[float, ...]:
    """Return how campaigns of one host scatter: the steps of the log mean from each to the next, over sqrt(2).

    They deviate as the campaigns themselves do (von Neumann's mean square successive difference), and a host that gets
    slower a little every night hardly widens them, where a deviation around one mean would soon hide what is looked
    for. A step to another engine is no scatter and left out.
    """
    told = [(each.sha256, values) for each in found if (values := each.values(figure, statistic))]
    return tuple(
        (student.mean(after) - student.mean(before)) / math.sqrt(2)
        for (one, before), (other, after) in pairwise(told)
        if one == other
    )
