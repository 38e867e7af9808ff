"""What is printed with every ratio, of each side."""

from __future__ import annotations

from collections.abc import Mapping

from bench.campaigns import Campaign
from bench.likeness import identity
from bench.likeness.axis import spelt
from bench.likeness.identity import Fact, Untold
from bench.rule import Side


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
    return f"{what} per round, {len(campaign.processes())} rounds"


def _versions(told: object) -> str:
    if isinstance(told, Mapping):
        return ", ".join(f"{name} {value}" for name, value in told.items()) or "not told"
    return str(told or "not told")
