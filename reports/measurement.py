"""One figure and how it was come by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.engines import Engine
from reports.schema import content_id


def now() -> str:
    """Return the time in UTC to the microsecond, in a form that sorts."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def source(backend: Backend, engine: Engine) -> str:
    """Return how a figure of this run was come by: emulated, of a supplied engine, or measured."""
    if backend.emulated:
        return "emulated"
    return "supplied" if engine.origin == "supplied" else "measured"


@dataclass(frozen=True)
class Measurement:
    """A figure with its unit, the engine and the data it belongs to, and the raw samples it was made from.

    `engine` has at least `sha256` and `origin` (built, imported, supplied); `data` at least `dataset` and `digest`.
    Either is empty where there is none. `samples` are per image, and may be infinite.
    """

    case: Case
    metric: str
    value: float
    unit: str
    source: str = "measured"
    """measured, emulated, imported, published or supplied"""
    engine: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    samples: Mapping[str, float] = field(default_factory=dict)
    per_class: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What a reader must know to trust the figure, one sentence each."""
    details: Mapping[str, Any] = field(default_factory=dict)
    taken: str = field(default_factory=now)

    @property
    def id(self) -> str:
        """Return the content id: the same figure taken again is another measurement, a copy of it is not."""
        return str(self.as_dict()["id"])

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is empty is left out, so that a later field does not change the id."""
        optional = {
            "engine": dict(self.engine),
            "data": dict(self.data),
            "samples": spell_infinity(self.samples),
            "per_class": {name: float(value) for name, value in self.per_class.items()},
            "notes": list(self.notes),
            "details": dict(self.details),
        }
        fields = {
            "case": self.case.as_dict(),
            "metric": self.metric,
            "value": float(self.value),
            "unit": self.unit,
            "source": self.source,
            "taken": self.taken,
            **{name: value for name, value in optional.items() if value},
        }
        return {"id": content_id(fields), **fields}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """Read the JSON form of a validated record."""
        optional = {name: data[name] for name in ("engine", "data", "per_class", "details") if name in data}
        return cls(
            Case.from_dict(data["case"]),
            data["metric"],
            data["value"],
            data["unit"],
            data["source"],
            samples={name: float(value) for name, value in data.get("samples", {}).items()},
            notes=tuple(data.get("notes", ())),
            taken=data["taken"],
            **optional,
        )


def spell_infinity(samples: Mapping[str, float]) -> dict[str, float | str]:
    """Return per-image values as JSON can hold them: the PSNR of an identical image is infinite."""
    return {name: "inf" if value == math.inf else float(value) for name, value in samples.items()}
