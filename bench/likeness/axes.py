"""Like for like: on which axes two sides of a comparison differ, which of them were allowed, and what stands beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.campaigns import Campaign, other_hardware
from bench.likeness import identity, soundness
from bench.likeness.axis import Axis as Axis
from bench.likeness.axis import clauses as clauses
from bench.likeness.axis import compared, sided, spelt
from bench.likeness.axis import refusals as refusals
from bench.likeness.beside import facts as facts
from bench.likeness.identity import Fact, Untold
from bench.rule import ACCEPTED, ANY, Rule, Side
from fixtures import backend as backends

ALIKE: Mapping[str, Callable[[Campaign], Fact]] = {
    "model": identity.model,
    "size": identity.size,
    "batch": identity.batch,
    "precision": identity.precision,
    "data": identity.data,
    "mode": identity.mode,
}
"""Axes that must be told by both sides and be equal, whatever is asked. The route to a precision may differ."""
SOUND: Mapping[str, Callable[[Campaign], str]] = {
    "protocol": soundness.protocol,
    "revision": soundness.revision,
    "exclusivity": soundness.exclusivity,
    "guards": soundness.guards,
    "rounds": soundness.rounds,
    "versions": soundness.versions,
}
"""Axes on which each side has to stand by itself."""


def differences(rule: Rule, candidate: Campaign, baseline: Campaign, figure: str) -> list[Axis]:
    """Return every axis that differs, is missing, or on which a side does not stand; empty where like meets like.

    Cross-hardware columns must be there and need not be equal (measurement protocol 5.3).
    """
    told: dict[str, tuple[Fact, Fact]] = {name: (read(candidate), read(baseline)) for name, read in ALIKE.items()}
    told["section"] = identity.section(candidate, figure), identity.section(baseline, figure)
    told["statistic"] = (
        identity.statistic(candidate, figure, rule.statistics),
        identity.statistic(baseline, figure, rule.statistics),
    )
    if figure == "throughput":
        told["depth"] = identity.depth(candidate), identity.depth(baseline)
    found = [compared(name, *facts) for name, facts in told.items()]
    found += [
        _tuning(rule, identity.tuning(candidate), identity.tuning(baseline)),
        _devices(rule, identity.devices(candidate, rule.candidate), identity.devices(baseline, rule.baseline)),
        _graph(identity.graph(candidate), identity.graph(baseline)),
    ]
    found += [sided(name, read(candidate), read(baseline)) for name, read in SOUND.items()]
    found += [_device(rule, candidate, baseline)]
    if why := soundness.itself(candidate, baseline):
        found.append(Axis("self", candidate.run, baseline.run, why, allowable=False))
    return [axis for axis in found if axis]


def _tuning(rule: Rule, candidate: Fact, baseline: Fact) -> Axis | None:
    """Take what the rule's backends declare; where it names none, both must be alike."""
    if _open(rule):
        return compared("tuning", candidate, baseline)
    declared = [_declared(side) for side in (rule.candidate, rule.baseline)]
    if [candidate, baseline] == declared:
        return None
    found = compared("tuning", candidate, baseline)
    if found and (isinstance(candidate, Untold) or isinstance(baseline, Untold)):
        return found
    why = f"found {spelt(candidate)} and {spelt(baseline)}, the rule declares {declared[0]} and {declared[1]}"
    return Axis("tuning", spelt(candidate), spelt(baseline), why)


def _declared(side: Side) -> str:
    return str(backends.find(side.backend).options.get("tuner", "none"))


def _devices(rule: Rule, candidate: Fact, baseline: Fact) -> Axis | None:
    """Take a card where the rule says card and a device where it says device; where it names none, both alike."""
    if _open(rule) or isinstance(candidate, Untold) or isinstance(baseline, Untold):
        return compared("devices", candidate, baseline)
    return sided("devices", _other_count(candidate, rule.candidate), _other_count(baseline, rule.baseline))


def _other_count(found: str, side: Side) -> str:
    # What a rule calls a card is one by then, at once or extrapolated.
    return "" if side.per_card or found == "one device" else f"{found}, and the rule is about one device"


def _graph(candidate: Fact, baseline: Fact) -> Axis | None:
    """Compare two that could be launched as graphs; one beside another kind of device must tell, and may be either."""
    if "none" in (candidate, baseline) and not isinstance(candidate, Untold) and not isinstance(baseline, Untold):
        return None
    return compared("graph", candidate, baseline)


def _device(rule: Rule, candidate: Campaign, baseline: Campaign) -> Axis | None:
    if standing := sided("device", soundness.emulated(candidate), soundness.emulated(baseline), allowable=False):
        return standing
    if _open(rule):
        return compared("device", candidate.case.backend, baseline.case.backend)
    if rule.one_host and candidate.run != baseline.run and (found := other_hardware(candidate, baseline)):
        why = f"the rule is about one host, and these are two: {', '.join(found)}"
        return Axis("device", candidate.case.backend, baseline.case.backend, why)
    return sided(
        "device",
        soundness.other_device(candidate, rule.candidate),
        soundness.other_device(baseline, rule.baseline),
    )


def _open(rule: Rule) -> bool:
    return bool({rule.candidate.backend, rule.baseline.backend} & {ANY, ACCEPTED})
