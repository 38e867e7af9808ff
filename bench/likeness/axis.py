"""One axis of a comparison: how two facts become one, and which of them the user lets through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.likeness.identity import Fact, Untold
from fixtures import catalogue
from fixtures.errors import SetupError

AXES = (
    *("model", "size", "batch", "precision", "data", "mode", "section", "statistic", "tuning", "devices", "depth"),
    *("graph", "protocol", "revision", "exclusivity", "guards", "rounds", "versions", "device", "accuracy", "self"),
)
"""Every name, as `--allow` takes it."""


@dataclass(frozen=True)
class Axis:
    """One axis on which two sides differ or that a side does not tell, and why that matters."""

    name: str
    candidate: str
    baseline: str
    why: str
    allowable: bool = True
    by_side: tuple[tuple[str, str], ...] = ()
    """Side and what speaks against it, where `why` is made of these alone."""

    @property
    def told(self) -> str:
        """Return it as a clause of a verdict."""
        return f"{self.name}: {self.why}{'' if self.allowable else '; --allow does not let it through'}"


def clauses(axes: Iterable[Axis]) -> list[str]:
    """Return the axes as clauses of a verdict; a cause that several of a side share is said once, with their names."""
    found = list(axes)
    names: dict[tuple[str, str], dict[str, None]] = {}
    for axis in found:
        for cause in axis.by_side if axis.allowable else ():
            names.setdefault(cause, {})[axis.name] = None
    told: dict[str, None] = {}
    for axis in found:
        shared = [cause for cause in axis.by_side if len(names.get(cause, ())) > 1]
        if not shared or not axis.allowable:
            told[axis.told] = None
            continue
        for side, text in axis.by_side:
            own = names[side, text]
            if len(own) == 1:
                told[f"{axis.name}: {side}: {text}"] = None
                continue
            sides = [each for (each, said), others in names.items() if said == text and others.keys() == own.keys()]
            told[f"{' and '.join(sides)}: {text} ({', '.join(own)})"] = None
    return list(told)


def refusals(differences: Iterable[Axis], allowed: Mapping[str, str]) -> tuple[list[Axis], dict[str, str]]:
    """Return the axes that refuse, and those let through with the reason given; the rest of `allowed` was not needed.

    Raises SetupError for a name that is no axis, with the nearest one, and for an empty reason.
    """
    for name, reason in allowed.items():
        if name not in AXES:
            raise SetupError(f"--allow {name}: {catalogue.unknown('axis', name, AXES)}")
        if not reason.strip():
            raise SetupError(
                f'--allow {name}: expected why it may differ; found nothing; write --allow {name}="the reason"'
            )
    found = list(differences)
    through = {axis.name: allowed[axis.name] for axis in found if axis.allowable and axis.name in allowed}
    return [axis for axis in found if not axis.allowable or axis.name not in allowed], through


def compared(name: str, candidate: Fact, baseline: Fact) -> Axis | None:
    """Return an axis unless both sides tell the same fact."""
    sides = {"candidate": candidate, "baseline": baseline}
    untold = tuple((side, fact.why) for side, fact in sides.items() if isinstance(fact, Untold))
    if not untold and candidate == baseline:
        return None
    why = _joined(untold) or f"candidate {spelt(candidate)}, baseline {spelt(baseline)}"
    return Axis(name, spelt(candidate), spelt(baseline), why, by_side=untold)


def sided(name: str, candidate: str, baseline: str, allowable: bool = True) -> Axis | None:
    """Return an axis where something speaks against a side, by itself."""
    against = tuple((side, text) for side, text in (("candidate", candidate), ("baseline", baseline)) if text)
    return Axis(name, candidate, baseline, _joined(against), allowable, against) if against else None


def _joined(by_side: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{side}: {text}" for side, text in by_side)


def spelt(fact: Fact) -> str:
    """Return a fact as a text."""
    return f"not told: {fact.why}" if isinstance(fact, Untold) else fact
