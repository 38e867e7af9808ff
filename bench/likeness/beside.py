"""What is printed with every ratio, of each side."""

from __future__ import annotations

from collections.abc import Mapping

from bench.campaigns import Campaign
from bench.likeness import identity
from bench.likeness.axis import spelt
from bench.likeness.identity import Fact, Untold
from bench.rule import Side
from fixtures import noise


def facts(campaign: Campaign, figure: str) -> dict[str, str]:
    """Return what is printed with every ratio."""
    versions = campaign.rounds[0].details.get("versions") if campaign.rounds else campaign.detail("version")
    alone = identity.devices(campaign, Side(campaign.case.backend))
    way = identity.route(campaign)
    told: dict[str, Fact] = {
        "model": identity.model(campaign),
        "shape": identity.size(campaign),
        "batch": identity.batch(campaign),
        "precision": spelt(identity.precision(campaign)) + (f" {way}" if way else ""),
        "estimator": _estimator(campaign, figure),
        "timed_section": identity.section(campaign, figure),
        "data": identity.data(campaign),
        "different_inputs": str(campaign.detail("different_inputs") or "not told"),
        "mode": identity.mode(campaign),
        "tuning": identity.tuning(campaign),
        "devices": alone,
        "device": ", ".join(campaign.devices()) or _processor(campaign),
        "between_campaigns": _noise(campaign),
        "cuda_graph": identity.graph(campaign),
        "effort": campaign.effort or "not told",
        "versions": _versions(versions),
        "harness": str((campaign.environment.get("harness") or {}).get("revision") or "not told")[: identity.STAMP],
        "source": campaign.source,
    }
    return {name: spelt(fact) for name, fact in told.items()}


def _estimator(campaign: Campaign, figure: str) -> Fact:
    if not campaign.rounds:
        details = campaign.figures[figure].details if figure in campaign.figures else {}
        return str(details.get("formula") or details.get("statistic") or "") or Untold("no formula in its log")
    what = "images over elapsed time" if figure == "throughput" else "mean and median"
    count = len(campaign.processes())
    return f"{what} per round, {count} round{'s' * (count != 1)}"


def _processor(campaign: Campaign) -> str:
    known = (campaign.environment.get("stable") or {}).get("cpu")
    return str(known) if known and {each.device for each in campaign.rounds} == {"cpu"} else "not told"


def _noise(campaign: Campaign) -> str:
    """Return how far its host's campaigns are taken to lie apart, and why: the interval of two hosts rests on it."""
    told = [each.details["noise"] for each in campaign.rounds if "noise" in each.details]
    if not told:
        return f"{100 * noise.OTHERWISE:g} % (its host says nothing: the prior)"
    largest = max(told, key=lambda each: float(each["c0"]))
    return f"{100 * largest['c0']:.2g} % ({largest.get('why', 'why is not told')})"


def _versions(told: object) -> str:
    if isinstance(told, Mapping):
        return ", ".join(f"{name} {value}" for name, value in told.items()) or "not told"
    return str(told or "not told")
