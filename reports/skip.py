"""What was not run, why, and what would change that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Skip:
    """Cases of a backend, by id, that could not be run or timed here, the reason, and the next step."""

    backend: str
    cases: tuple[str, ...]
    reason: str
    next_step: str

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "backend": self.backend,
            "cases": list(self.cases),
            "reason": self.reason,
            "next_step": self.next_step,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Skip:
        """Read the JSON form of a validated record."""
        return cls(data["backend"], tuple(data["cases"]), data["reason"], data["next_step"])
