"""One line of evidence: a record, the run it belongs to and the test that wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.acceptance import Acceptance
from reports.measurement import Measurement
from reports.round import Round
from reports.run import End, Run
from reports.schema import SCHEMA, validate
from reports.skip import Skip
from reports.verdict import Verdict

Record = Run | Round | Measurement | Skip | Verdict | Acceptance | End

KINDS: Mapping[str, type[Record]] = {
    "run": Run,
    "round": Round,
    "measurement": Measurement,
    "skip": Skip,
    "verdict": Verdict,
    "acceptance": Acceptance,
    "end": End,
}


@dataclass(frozen=True)
class Entry:
    """A record in its place. `test` is empty for the lines of the run itself."""

    run: str
    record: Record
    test: str = ""

    @property
    def kind(self) -> str:
        """Return the name of the kind of record."""
        return next(kind for kind, type_ in KINDS.items() if isinstance(self.record, type_))

    def as_dict(self) -> dict[str, Any]:
        """Return the line, checked; raise EvidenceError that names the field at fault."""
        line = {"kind": self.kind, "schema": SCHEMA, "run": self.run, **({"test": self.test} if self.test else {})}
        line |= self.record.as_dict()
        validate(line)
        return line

    @classmethod
    def from_dict(cls, line: Any) -> Entry:
        """Read a line; raise EvidenceError that names the field at fault."""
        validate(line)
        return cls(line["run"], KINDS[line["kind"]].from_dict(line), line.get("test", ""))
