"""Which comparisons a selection asks for: the rules of its models at their sizes and batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from bench.rule import ACCEPTED, Rule
from fixtures import catalogue, grid
from fixtures.backend import EMULATED, Backend
from fixtures.case import Case
from fixtures.model import Model
from fixtures.selection import Selection


@dataclass(frozen=True)
class Comparison:
    """A rule at one model, size and batch: two cases that differ in their backend."""

    rule: Rule
    candidate: Case
    baseline: Case

    @property
    def id(self) -> str:
        """Return for instance `edsr-256-bs1-ascend310-over-t4`; with `~emulated` where a side is a stand-in."""
        stem = self.candidate.id.removesuffix(self.candidate.backend)
        emulated = EMULATED in self.candidate.backend + self.baseline.backend
        return f"{stem}{self.rule.name.replace('_', '-')}{EMULATED * emulated}"


def comparisons(selection: Selection) -> list[Comparison]:
    """Return every comparison one of whose sides was asked for.

    Raises CatalogueError for a model that names a rule, or a rule that names a backend, which is not known.
    """
    return sorted(_comparisons(selection), key=lambda found: (found.candidate, found.rule.name))


def _comparisons(selection: Selection) -> Iterator[Comparison]:
    for name in selection.models:
        model: Model = catalogue.find("model", name)
        for rule in (catalogue.find("rule", rule) for rule in model.rules):
            if ACCEPTED in (rule.candidate.backend, rule.baseline.backend):
                raise catalogue.CatalogueError(
                    f"model {name}: expected rules that compare two backends; found {rule.name}, which every night "
                    "applies to every case; leave it out"
                )
            sides = [catalogue.find("backend", side.backend) for side in (rule.candidate, rule.baseline)]
            if selection.backends and not {side.name for side in sides} & set(selection.backends):
                continue
            own = grid.accuracy_size(model, selection)
            for size in grid.timed_sizes(model, selection):
                make = partial(Case, selection.profile, name, size, shows_size=size != own)
                for batch in _batches(rule, model, sides, selection):
                    candidate, baseline = (make(batch, grid.spelt(side, selection)) for side in sides)
                    yield Comparison(rule, candidate, baseline)


def _batches(rule: Rule, model: Model, sides: list[Backend], selection: Selection) -> tuple[int, ...]:
    """Return the batches of the rule, or those that the model and both backends have; of them what was asked for."""
    asked = selection.batches
    if rule.batches:
        return tuple(batch for batch in rule.batches if not asked or batch in asked)
    return asked or tuple(b for b in model.batches if all(not side.batches or b in side.batches for side in sides))
