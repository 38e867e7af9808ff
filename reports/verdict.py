"""What was decided about a case, by which gate, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fixtures.backend import EMULATED
from fixtures.case import Case
from reports.figure import figure, table
from reports.measurement import spell_infinity

WORST_FIRST = ("failed", "refused", "undecided", "passed")


@dataclass(frozen=True)
class Verdict:
    """The answer of one gate: `passed`, `failed`, `undecided` or `refused`, and the reason in one sentence.

    `rule` names the gate (accuracy, parity, a file of bench/rules), `gate` says in one sentence what must hold.
    `margin` is what is left of the limit, negative where it is exceeded. In `details`, `worst` (figure per image,
    worst first) and `per_class` are printed as tables, everything else as it is.
    """

    case: Case
    rule: str
    gate: str
    status: str
    metric: str
    unit: str
    reason: str
    observed: float | None = None
    required: float | None = None
    margin: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    measurements: tuple[str, ...] = ()
    """Ids of the measurements that were judged."""
    against: Case | None = None
    """The baseline, where two cases were compared; `case` is then the candidate."""

    @property
    def subject(self) -> str:
        """Return what was judged: the id of the case, or for instance `edsr-256-bs1-ascend310-over-t4`.

        The name of a comparison ends as that of a stand-in does where one of its sides is one.
        """
        if self.against is None:
            return self.case.id
        stem = self.case.id.removesuffix(self.case.backend)
        emulated = EMULATED in self.case.backend + self.against.backend
        return f"{stem}{self.rule.replace('_', '-')}{EMULATED * emulated}"

    @property
    def passed(self) -> bool:
        """Tell whether the gate holds; undecided and refused do not."""
        return self.status == "passed"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is empty is left out."""
        numbers = {"observed": self.observed, "required": self.required, "margin": self.margin}
        details = dict(self.details)
        if isinstance(details.get("worst"), Mapping):
            details["worst"] = spell_infinity(details["worst"])
        return {
            "case": self.case.as_dict(),
            "rule": self.rule,
            "gate": self.gate,
            "status": self.status,
            "metric": self.metric,
            "unit": self.unit,
            "reason": self.reason,
            **{name: float(value) for name, value in numbers.items() if value is not None},
            **({"details": details} if details else {}),
            **({"measurements": list(self.measurements)} if self.measurements else {}),
            **({"against": self.against.as_dict()} if self.against else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """Read the JSON form of a validated record."""
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        known |= {"case": Case.from_dict(data["case"]), "measurements": tuple(data.get("measurements", ()))}
        if "against" in data:
            known["against"] = Case.from_dict(data["against"])
        return cls(**known)

    def text(self, evidence: str = "") -> str:
        """Return everything a reader needs to act on the verdict, as lines; `evidence` says where it lies."""
        facts = [("must hold", self.gate), ("metric", self.metric)]
        for name, number in (("observed", self.observed), ("required", self.required), ("margin", self.margin)):
            if number is not None:
                facts.append((name, figure(number, self.unit)))
        rest = {name: value for name, value in self.details.items() if name not in ("worst", "per_class")}
        facts += [(name.replace("_", " "), _plain(value)) for name, value in rest.items()]
        if evidence:
            facts.append(("evidence", evidence))
        lines = [f"{self.subject} ({self.case.profile}): {self.rule} {self.status}: {self.reason}"]
        lines += table(facts, indent="  ")
        for title, values in (("worst images", "worst"), ("per class", "per_class")):
            if numbers := self.details.get(values):
                rows = [(name, figure(float(value))) for name, value in numbers.items()]
                lines += [f"  {title} ({self.metric})", *table(rows, indent="    ")]
        return "\n".join(lines)


def worst_first(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return verdicts of one test with the one that decides its outcome first."""
    return sorted(verdicts, key=lambda verdict: WORST_FIRST.index(verdict.status))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = (
            (name, f"({_plain(part)})" if isinstance(part, Mapping) else _plain(part)) for name, part in value.items()
        )
        return ", ".join(f"{name} {part}" for name, part in parts)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return figure(value) if isinstance(value, float) else str(value)
