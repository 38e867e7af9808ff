"""The timed calls of one fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fixtures.case import Case

REPLICATED = 5
"""Processes that make a campaign (measurement protocol 5.1); fewer say nothing of their own spread."""


@dataclass(frozen=True)
class Round:
    """Raw samples of one round in nanoseconds per call, warm-up apart, in the order taken; nothing is dropped.

    `engine` is the sha256 of what was timed, `device` what it ran on, `started` UTC. `flags` name what was
    wrong with the round (not_steady, ...); `details` has guards and settings.
    """

    case: Case
    engine: str
    samples_ns: tuple[int, ...]
    warmup_ns: tuple[int, ...]
    batch: int
    device: str
    seed: int
    started: str
    flags: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is empty is left out."""
        return {
            "case": self.case.as_dict(),
            "engine": self.engine,
            "started": self.started,
            "batch": self.batch,
            "device": self.device,
            "seed": self.seed,
            "samples_ns": list(self.samples_ns),
            "warmup_ns": list(self.warmup_ns),
            **({"flags": list(self.flags)} if self.flags else {}),
            **({"details": dict(self.details)} if self.details else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Round:
        """Read the JSON form of a validated record."""
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        lists = {name: tuple(data.get(name, ())) for name in ("samples_ns", "warmup_ns", "flags")}
        return cls(**{**known, **lists, "case": Case.from_dict(data["case"])})
