"""Whether one side of a comparison was measured as it must be, by itself: what speaks against it, in words."""

from __future__ import annotations

from bench.campaigns import REPLICATED, Campaign
from bench.effort import QUICK
from bench.likeness import identity
from bench.rule import ACCEPTED, ANY, Side
from bench.statistics.interleaved import CAUTIOUS
from fixtures.backend import EMULATED

OF_DEVICE = ("slowed", "clock_moved", "device_used_by_others", "device_unhealthy", "call_too_short")
OF_HOST = ("host_busy", "starved", "anchor_moved")
"""What taking turns removes: both arms of a pair have it alike."""
OF_TOOL = ("several_streams", "warmup_included")
"""What makes a tool's figure one of something else than an execution."""
CONTRADICTIONS = ("disagree", "_min_above_", "_median_above_")
"""Parts of the flags of figures that cannot all be of one run."""


def emulated(campaign: Campaign) -> str:
    """Say that stand-ins were timed, by name, by source or by recipe."""
    found = campaign.case.backend.endswith(EMULATED) or campaign.source == "emulated"
    if found or (campaign.engine.get("recipe") or {}).get("emulated"):
        name = campaign.case.backend.removesuffix(EMULATED)
        return f"{name}{EMULATED} is a stand-in, and never a device"
    return ""


def other_device(campaign: Campaign, side: Side) -> str:
    """Say that another backend was timed than the one the rule names, or on another device than it is about."""
    wanted, found = side.backend, campaign.case.backend
    if wanted not in (ANY, ACCEPTED, found):
        return f"{found} is not {wanted}, which the rule is about"
    others = [name for name in campaign.devices() if side.device and side.device not in name.split()]
    return f"it ran on {', '.join(others)}, and the rule is about a {side.device}" if others else ""


def protocol(campaign: Campaign) -> str:
    """Say that it was not measured by this harness with a known effort; efforts may differ, and are printed."""
    if not campaign.rounds:
        return identity.lacking(campaign)
    return "" if all(each.details.get("effort") for each in campaign.rounds) else "the effort of a round is not told"


def revision(campaign: Campaign) -> str:
    """Say that nobody can look up the code that measured; what this harness did not measure has no revision."""
    if not campaign.rounds:
        return ""
    harness = campaign.environment.get("harness") or {}
    if not harness.get("revision"):
        return "the revision of the harness is not told"
    if (clean := harness.get("clean")) is None:
        return "whether the harness had changes is not told"
    return "" if clean else "the harness had changes that are not committed"


def exclusivity(campaign: Campaign) -> str:
    """Say that others may have used the device."""
    if not campaign.rounds:
        return identity.lacking(campaign)
    return _counted(campaign, ("exclusivity_unknown",))


def guards(campaign: Campaign) -> str:
    """Say which guards speak against rounds, and what contradicts itself in a tool's figures."""
    by_tool = [name for name in campaign.flags() if name in OF_TOOL or any(part in name for part in CONTRADICTIONS)]
    if not campaign.rounds:
        return ", ".join(name.replace("_", " ") for name in by_tool)
    of_host = () if all("pair" in each.details for each in campaign.rounds) else OF_HOST
    return _counted(campaign, (*OF_DEVICE, *of_host, *by_tool))


def rounds(campaign: Campaign) -> str:
    """Say that too few processes were timed to tell their spread; an unreplicated figure has a rule of its own."""
    count = len(campaign.processes())
    unsteady = campaign.flags().get("not_steady", 0)
    # Pairs are looked at later for it, and a quick look decides nothing.
    if unsteady and campaign.effort != QUICK.name and not any("pair" in each.details for each in campaign.rounds):
        told = f"{_rounds(count)}, at least {CAUTIOUS} are needed where any was not steady ({unsteady} here)"
        return told if 0 < count < CAUTIOUS else ""
    return f"{_rounds(count)}, at least {REPLICATED} are needed" if 0 < count < REPLICATED else ""


def versions(campaign: Campaign) -> str:
    """Say which column of software, host or hardware is empty; filled ones may differ between two kinds of device."""
    if not campaign.rounds:
        facts = campaign.detail("facts") or {}
        told = {"version of the tool": campaign.detail("version"), "name of the device": facts.get("device")}
    else:
        stable = campaign.environment.get("stable") or {}
        names = [
            stable.get("cpu") if each.device == "cpu" else (each.details.get("before") or {}).get("name")
            for each in campaign.rounds
        ]
        told = {
            "versions of the runtime": all(each.details.get("versions") for each in campaign.rounds),
            "name of the device": all(names),
            "operating system": stable.get("os"),
            "host": (campaign.environment.get("recorded") or {}).get("host"),
        }
    absent = [name for name, value in told.items() if not value]
    if not campaign.rounds and len(absent) == len(told):
        return identity.lacking(campaign)
    return f"not told: {', '.join(absent)}" if absent else ""


def itself(candidate: Campaign, baseline: Campaign) -> str:
    """Say that both sides are the same measurement; two arms of a pair are two, be the engine the same."""
    one, other = (_calls(each) for each in (candidate, baseline))
    if one & other:
        return "both sides hold the same timed calls"
    logs = [{m.id for m in each.figures.values()} for each in (candidate, baseline)]
    if logs[0] & logs[1]:
        return "both sides hold the same figure"
    digests = [str((each.detail("log") or {}).get("sha256", "")) for each in (candidate, baseline)]
    if digests[0] and digests[0] == digests[1]:
        return "both sides are the same log"
    same = candidate.sha256 and (candidate.run, candidate.sha256, candidate.case) == (
        baseline.run,
        baseline.sha256,
        baseline.case,
    )
    arms = [{each.details.get("pair", {}).get("arm") for each in side.rounds} for side in (candidate, baseline)]
    return "both sides are the same engine in the same run" if same and arms[0] & arms[1] else ""


def _calls(campaign: Campaign) -> set[tuple[object, ...]]:
    """Return what tells timed calls from any others, whatever case they are said to be of."""
    return {(each.started, each.seed, each.device, each.samples_ns) for each in campaign.rounds if each.samples_ns}


def _counted(campaign: Campaign, names: tuple[str, ...]) -> str:
    found, of = campaign.flags(), len(campaign.rounds)
    return ", ".join(f"{name.replace('_', ' ')} in {found[name]} of {_rounds(of)}" for name in names if name in found)


def _rounds(count: int) -> str:
    return f"{count} round{'s' * (count != 1)}"
