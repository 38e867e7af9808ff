"""Makes the record of a round of what its process answers."""

from __future__ import annotations

from typing import Any

from bench.children import RoundError
from bench.effort import Effort
from bench.inputs import DIFFERENT
from bench.mode import WHOLE
from bench.preparing import Prepared
from fixtures import host, noise
from fixtures.device import CPU, Device
from reports.round import Round
from reports.timed_outputs import LARGEST_ERROR

KEPT = (
    "cpu_ns",
    "wall_ns",
    "checked_calls",
    "largest_relative_error",
    "process",
    "device_ms",
    "begun_ns",
    "timed_section",
    "conditions_begin",
    "conditions_end",
    "window",
    "guards",
    "tool",
)
"""What of an answer stands in the details of its round, where it is told."""


def of_process(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer tells of the process, not of an arm."""
    return {name: value for name, value in answer.items() if name not in ("arms", "pair")}


def round_of(
    arm: Prepared,
    seed: int,
    effort: Effort,
    mode: str,
    answer: dict[str, Any],
    common: dict[str, Any],
    before: Device,
    after: Device,
) -> Round:
    """Return the record; raise RoundError where the timed calls computed something else than the accuracy path."""
    case, feed = arm.case, arm.feed
    if not (error := answer["largest_relative_error"]) <= LARGEST_ERROR:
        raise RoundError(
            f"{case.id}: expected the timed calls to compute what the accuracy path computes; found outputs that "
            f"differ by {error:.2g} of the largest value, allowed {LARGEST_ERROR:g}; nothing was measured; "
            f"judge the engine first: pytest -m accuracy --model {case.model} --backend {case.backend}"
        )
    images = len(feed.names)
    fed = images if mode == WHOLE else min(DIFFERENT, images)
    different = min(fed, answer.get("different_inputs", fed))
    if "card_round" not in common:
        answer = _alone(answer)
    flags = {
        "few_inputs": different < DIFFERENT,
        "device_used_by_others": bool(after.busy),
        "device_unhealthy": bool(after.unhealthy),
        "slowed": any("slowed" in state for state in _conditions(answer)),
        "siblings_in_use": bool(common.get("siblings")),
        "exclusivity_unknown": bool(before.unknown or after.unknown),
    }
    filled = {"of the feed": images, "timed": -(-images // case.batch) * case.batch}
    return Round(
        case,
        arm.engine.sha256,
        tuple(answer["samples_ns"]),
        tuple(answer["warmup_ns"]),
        case.batch,
        before.id,
        seed,
        answer["started"],
        flags=(*(name for name, holds in flags.items() if holds), *answer.get("flags", ())),
        details={
            "effort": effort.name,
            "mode": mode,
            **{name: answer[name] for name in KEPT if answer.get(name) not in (None, [], {})},
            "threads": host.threads(),
            "data": feed.digest,
            "inputs": feed.described,
            "different_inputs": different,
            "noise": noise.of(arm.backend, before, _conditions(answer)).as_dict(),
            **({"images": filled} if mode == WHOLE else {}),
            **common,
            **({} if before.id == CPU.id else {"before": before.as_dict(), "after": after.as_dict()}),
        },
    )


def _conditions(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the states of the device while it worked."""
    return [answer[name] for name in ("conditions_begin", "conditions_end") if name in answer]


def _alone(answer: dict[str, Any]) -> dict[str, Any]:
    """Leave out when calls began: that tells only how several devices lie beside each other."""
    found = {name: value for name, value in answer.items() if name != "begun_ns"}
    if window := found.get("window"):
        found["window"] = {name: value for name, value in window.items() if name != "begun_ns"}
    return found
