"""Who accepted a campaign as what later ones are measured against, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fixtures.case import Case
from reports.measurement import now


@dataclass(frozen=True)
class Acceptance:
    """Stands in the run of the campaign that it accepts; `release` is empty where none was named."""

    case: Case
    by: str
    why: str
    release: str = ""
    accepted: str = field(default_factory=now)
    """When, in UTC."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is empty is left out."""
        return {
            "case": self.case.as_dict(),
            "by": self.by,
            "why": self.why,
            "accepted": self.accepted,
            **({"release": self.release} if self.release else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Acceptance:
        """Read the JSON form of a validated record."""
        return cls(Case.from_dict(data["case"]), data["by"], data["why"], data.get("release", ""), data["accepted"])
