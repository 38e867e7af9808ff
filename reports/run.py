"""The first and the last line of a run's evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.measurement import now


@dataclass(frozen=True)
class Run:
    """Where and with what a run was made."""

    argv: tuple[str, ...]
    environment: Mapping[str, Any]
    started: str = field(default_factory=now)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"started": self.started, "argv": list(self.argv), "environment": dict(self.environment)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
        """Read the JSON form of a validated record."""
        return cls(tuple(data["argv"]), data["environment"], data["started"])


@dataclass(frozen=True)
class End:
    """How a run ended; a run without this line was killed."""

    exitstatus: int
    counts: Mapping[str, int]
    """Records by kind."""
    finished: str = field(default_factory=now)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"exitstatus": self.exitstatus, "finished": self.finished, "counts": dict(self.counts)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> End:
        """Read the JSON form of a validated record."""
        return cls(data["exitstatus"], data["counts"], data["finished"])
