"""What evidence tells of a timed engine, one reader per axis of a comparison: a fact in words, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.campaigns import Campaign
from bench.mode import PURE
from bench.rule import Side
from fixtures import backend as backends
from fixtures.backend import EMULATED, Backend

HOST, DEVICE = "host wall", "device compute"
STAMP = 16
"""Letters of a digest that stand in a verdict."""


@dataclass(frozen=True)
class Untold:
    """A fact that the evidence does not hold; it counts as different from any other (measurement protocol 5.3)."""

    why: str


Fact = str | Untold
SOURCES = {"published": "a published figure", "imported": "an imported log"}


def lacking(campaign: Campaign) -> str:
    """Return the one cause for which the evidence does not hold what it could: it has no rounds, or was cut off."""
    if campaign.rounds:
        return "" if campaign.figures else "the run was cut off before its figures were written; measure again"
    data = any(m.data for m in campaign.figures.values())
    lacks = [name for name, told in (("engine", campaign.engine), ("data", data), ("rounds", ())) if not told]
    what = SOURCES.get(campaign.source, f"a figure that was {campaign.source}")
    return f"{what}: {', '.join(f'no {name}' for name in lacks)}"


def model(campaign: Campaign) -> Fact:
    """Return name, checkpoint and fingerprint of the fp32 source graph; the bytes of an ONNX file are an exporter's."""
    recipe = _recipe(campaign)
    if not (recipe.get("checkpoint") and recipe.get("network")):
        return _unknown(campaign, "checkpoint and fingerprint of the fp32 graph")
    checkpoint, network = (str(recipe[name])[:STAMP] for name in ("checkpoint", "network"))
    return f"{campaign.case.model}, checkpoint {checkpoint}, fp32 graph {network}"


def size(campaign: Campaign) -> Fact:
    """Return the side of the input, as the case says; of a log, if it tells a shape to compare the case with."""
    return _of_case(campaign, "size", "shape_not_told")


def batch(campaign: Campaign) -> Fact:
    """Return the batch of the engine and of every round."""
    others = {each.batch for each in campaign.rounds} - {campaign.case.batch}
    if others:
        return Untold(f"its case says batch {campaign.case.batch}, its rounds {', '.join(map(str, sorted(others)))}")
    return _of_case(campaign, "batch", "batch_not_told")


def precision(campaign: Campaign) -> Fact:
    """Return what is computed in; how it came about is `route`, which may differ."""
    told = _recipe(campaign).get("precision")
    if not told and not campaign.rounds:  # trtexec tells it as `FP32+FP16`
        told = str((campaign.detail("facts") or {}).get("precision") or "").rpartition("+")[2].lower()
    return str(told) if told else _unknown(campaign, "precision")


def route(campaign: Campaign) -> str:
    """Return how an engine came to its precision; empty where there is one way only, or none is told."""
    recipe = _recipe(campaign)
    told = {**recipe.get("options", {}), **recipe.get("toolchain", {})}
    if way := told.get("fp16_route"):
        return {"flag": "by the builder's flag", "graph": "by a converted graph"}.get(way, str(way))
    modes = [f"{name} {told[name]}" for name in ("precision_mode", "precision_mode_v2") if name in told]
    return ", ".join(modes)


def data(campaign: Campaign) -> Fact:
    """Return data set and digest of what was fed, preprocessed; rounds and figures must tell the same."""
    told = next((m.data for m in campaign.figures.values() if m.data), {})
    if not (told.get("dataset") and told.get("digest")):
        return Untold((not told and lacking(campaign)) or "the data that were fed are not told")
    digest, at, part = str(told["digest"]).partition("@")
    if any(each.details.get("data") != told["digest"] for each in campaign.rounds):
        return Untold("its rounds tell other data than its figures, or none")
    return f"{told['dataset']} {digest[:STAMP]}{at}{part}"


def mode(campaign: Campaign) -> Fact:
    """Return pure inference or whole data set."""
    if campaign.rounds:
        return _same(campaign, "mode", (each.details.get("mode") for each in campaign.rounds))
    told = campaign.detail("mode")
    if not told and _trtexec(campaign):
        told = PURE  # it has no other
    return str(told) if told else Untold("the mode is not told")


def section(campaign: Campaign, figure: str) -> Fact:
    """Return which part of a call was timed, and by whose clock."""
    if not any(campaign.values(figure, statistic) for statistic in ("mean", "median")):
        return Untold(f"{figure.replace('_', ' ')} is not told")
    if figure == "device_compute":
        return f"{DEVICE}, copies excluded"
    if campaign.rounds:
        told = _same(campaign, "timed section", (each.details.get("timed_section") for each in campaign.rounds))
        return told if isinstance(told, Untold) or figure == "latency" else _offline(campaign)
    details = campaign.figures[figure].details
    if not (clock := details.get("timed_section")):
        return Untold("the timed section is not told")
    copies = details.get("transfers", False if clock == DEVICE else None)
    if copies is None:
        return Untold("whether copies were timed is not told")
    return f"{clock}, {_copies(copies)}"


def statistic(campaign: Campaign, figure: str, wanted: Iterable[str]) -> Fact:
    """Return the estimator of the figure; every statistic that the rule wants must be told."""
    if figure == "throughput":
        if campaign.rounds:
            return "images over elapsed time"
        told = campaign.figures[figure].details if figure in campaign.figures else {}
        plain = "images over elapsed time" if told.get("timed_section") == HOST else None
        return str(told.get("statistic") or plain or "") or Untold("the statistic is not told")
    wanted = tuple(wanted)
    absent = [each for each in wanted if not campaign.values(figure, each)]
    if absent:
        return Untold(f"the {' and the '.join(absent)} of {figure.replace('_', ' ')} is not told")
    return " and ".join(wanted)


def tuning(campaign: Campaign) -> Fact:
    """Return what tuned the engine."""
    if "options" in _recipe(campaign):
        return str(_recipe(campaign)["options"].get("tuner", "none"))
    told: Any = campaign.detail("tuning")
    return str(told).lower() if told else _unknown(campaign, "tuning")


def devices(campaign: Campaign, side: Side) -> Fact:
    """Return how many devices the figure is of: one, a card at once, or a card extrapolated from one."""
    if campaign.rounds:
        counts = {len(group) for group in campaign.processes()}
        if len(counts) > 1:
            return Untold(f"its rounds are of {' and '.join(map(str, sorted(counts)))} devices")
        at_once = campaign.per == "card"
    else:
        told = {str(m.details.get("per")) for m in campaign.figures.values()}
        if told != {"device"}:
            return Untold("whether it is of a device or of a card is not told")
        counts, at_once = {1}, False
    if not at_once:
        return _extrapolated(campaign) if side.per_card else "one device"
    count, carries = counts.pop(), _backend(campaign).devices_per_card
    return f"card of {count} devices" if count == carries else Untold(f"{count} of {carries} devices of a card ran")


def depth(campaign: Campaign) -> Fact:
    """Return how many batches were in flight in the offline windows."""
    return _same(campaign, "depth", ((each.details.get("window") or {}).get("depth") for each in campaign.rounds))


def graph(campaign: Campaign) -> Fact:
    """Return whether executions were launched as CUDA graphs; `none` where there is no such thing."""
    versions = [each.details.get("versions") or {} for each in campaign.rounds]
    if not (_trtexec(campaign) or "compute_capability" in _recipe(campaign).get("target", {})) and not any(
        "cuda_graph" in each for each in (*versions, _recipe(campaign).get("options", {}))
    ):
        return "none"
    if campaign.rounds:
        return _same(campaign, "CUDA graph", (each.get("cuda_graph") for each in versions))
    told = campaign.detail("cuda_graph")
    return Untold("whether CUDA graphs were launched is not told") if told is None else ("on" if told else "off")


def _offline(campaign: Campaign) -> Fact:
    if campaign.per == "card" and any("begun_ns" not in each.details.get("window", {}) for each in campaign.rounds):
        return f"{HOST}, serial calls of devices at once, {_copies(True)}"
    # Where nothing is said, outputs were on the host before the window was over.
    made = {bool(each.details["window"].get("transfers", True)) for each in campaign.rounds}
    return f"{HOST}, {_copies(made.pop())}" if len(made) == 1 else Untold("its rounds differ in what was copied")


def _copies(made: bool) -> str:
    return f"copies {'included' if made else 'excluded'}"


def _extrapolated(campaign: Campaign) -> Fact:
    if used := campaign.flags().get("siblings_in_use"):
        return Untold(
            f"other devices of the card were in use in {used} round{'s' * (used != 1)}: "
            "nothing is extrapolated to the card"
        )
    return f"card, x{_backend(campaign).devices_per_card} extrapolated from one device"


def _backend(campaign: Campaign) -> Backend:
    return backends.find(campaign.case.backend.removesuffix(EMULATED))


def _recipe(campaign: Campaign) -> Mapping[str, Any]:
    recipe: Mapping[str, Any] = campaign.engine.get("recipe") or {}
    return recipe


def _unknown(campaign: Campaign, what: str) -> Untold:
    if not campaign.engine:
        return Untold(lacking(campaign) or "nobody knows what was timed: no engine is in its evidence")
    return Untold(f"the engine is {campaign.engine.get('origin', 'without a recipe')} and does not tell its {what}")


def _of_case(campaign: Campaign, name: str, untold: str) -> Fact:
    own = getattr(campaign.case, name)
    if untold in campaign.flags():
        return Untold(f"its log does not tell the {name}")
    if (built := _recipe(campaign).get(name, own)) != own:
        return Untold(f"its case says {name} {own}, its engine {built}")
    return str(own)


def _same(campaign: Campaign, name: str, values: Iterable[Any]) -> Fact:
    """Return what all rounds tell."""
    found = list(values)
    if not found or None in found:
        return Untold(f"the {name} is not told{' by every round' if any(each is not None for each in found) else ''}")
    told = dict.fromkeys(map(str, found))
    return next(iter(told)) if len(told) == 1 else Untold(f"its rounds differ in {name}: {', '.join(told)}")


def _trtexec(campaign: Campaign) -> bool:
    tool = campaign.detail("tool")
    return str(tool.get("tool", "") if isinstance(tool, Mapping) else tool or "").startswith("trtexec")
