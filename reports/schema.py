"""Schema 1 of the evidence: what each kind of record must hold, as data, and the one function that checks it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

SCHEMA = 1


class EvidenceError(Exception):
    """Evidence that cannot be read, written or trusted."""


class UnwritableError(EvidenceError):
    """A file that cannot be written; the user can mend that, so it is shown without a traceback."""


LARGEST = 2**63
"""Whole numbers lie below it, either way: larger ones are no figures, and what reads them next may not hold them."""

DEEPEST = 100
"""Levels of a record: what is nested deeper was made to make readers fail."""


def _number(value: object) -> bool:
    return isinstance(value, float) or _integer(value)


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def _nanoseconds(value: object) -> bool:
    return _integer(value) and value >= 0  # type: ignore[operator]


def _mapping(value: object, check: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(map(check, value.values()))


def _list(value: object, check: Callable[[object], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(check, value))


def _text(value: object) -> bool:
    return isinstance(value, str)


def _choice(*choices: str) -> tuple[str, Callable[[object], bool]]:
    return "one of " + ", ".join(choices), lambda value: value in choices


SHAPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "text": ("a text", _text),
    "integer": ("a whole number", _integer),
    "number": ("a number", _number),
    "texts": ("a list of texts", lambda value: _list(value, _text)),
    "nanoseconds": ("a list of whole numbers from 0", lambda value: _list(value, _nanoseconds)),
    "figures": ("numbers by name", lambda value: _mapping(value, _number)),
    # The PSNR of an identical image is infinite; JSON has no infinity, so it is the text "inf", and only here.
    "per image": ('numbers (or "inf") by name', lambda value: _mapping(value, lambda v: v == "inf" or _number(v))),
    "counts": ("whole numbers by name", lambda value: _mapping(value, _integer)),
    "mapping": ("a mapping", lambda value: isinstance(value, dict)),
    "source": _choice("measured", "emulated", "imported", "published", "supplied"),
    "origin": _choice("built", "imported", "supplied"),
    "status": _choice("passed", "failed", "undecided", "refused"),
}

GROUPS: Mapping[str, Mapping[str, str]] = {
    "case": {
        "id": "text",
        "profile": "text",
        "model": "text",
        "size": "integer",
        "batch": "integer",
        "backend": "text",
    },
    "engine": {"sha256": "text", "origin": "origin", "*": ""},
    "data": {"dataset": "text", "digest": "text", "*": ""},
}
"""Mappings with fields of their own; `*` lets others stand beside them."""

FIELDS: Mapping[str, Mapping[str, str]] = {
    "run": {"started": "text", "argv": "texts", "environment": "mapping"},
    "round": {
        "case": "case",
        "engine": "text",
        "started": "text",
        "batch": "integer",
        "device": "text",
        "seed": "integer",
        "samples_ns": "nanoseconds",
        "warmup_ns": "nanoseconds",
        "flags?": "texts",
        "details?": "mapping",
    },
    "measurement": {
        "id": "text",
        "case": "case",
        "metric": "text",
        "value": "number",
        "unit": "text",
        "source": "source",
        "taken": "text",
        "engine?": "engine",
        "data?": "data",
        "samples?": "per image",
        "per_class?": "figures",
        "notes?": "texts",
        "details?": "mapping",
    },
    "skip": {"backend": "text", "cases": "texts", "reason": "text", "next_step": "text"},
    "verdict": {
        "case": "case",
        "rule": "text",
        "gate": "text",
        "status": "status",
        "metric": "text",
        "unit": "text",
        "reason": "text",
        "observed?": "number",
        "required?": "number",
        "margin?": "number",
        "details?": "mapping",
        "measurements?": "texts",
        "against?": "case",
    },
    "acceptance": {"case": "case", "by": "text", "why": "text", "accepted": "text", "release?": "text"},
    "end": {"exitstatus": "integer", "finished": "text", "counts": "counts"},
}
"""The fields of each kind of record beside those of every line; `?` marks one that may be left out."""

LINE: Mapping[str, str] = {"kind": "text", "schema": "integer", "run": "text", "test?": "text"}
"""The fields of every line: the run it belongs to, and the test that wrote it."""


def validate(record: object) -> None:
    """Check one record as it is read or written.

    Raises EvidenceError that names the field, what was expected and what was found.
    """
    if not isinstance(record, dict):
        raise EvidenceError(f"expected a record, found {_found(record)}")
    schema = record.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise EvidenceError(
            f"written by a newer signoff: schema {schema}, this one reads up to {SCHEMA}; update the checkout"
        )
    kind = record.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise EvidenceError(f"kind: expected one of {', '.join(FIELDS)}; found {_found(kind)}")
    check_plain(record, kind)
    _check_fields(record, {**LINE, **FIELDS[kind]}, kind)
    if schema != SCHEMA:
        raise EvidenceError(f"{kind}.schema: expected {SCHEMA}, found {schema}")
    if kind == "measurement":
        expected = content_id({name: value for name, value in record.items() if name not in {"id", *_names(LINE)}})
        if record["id"] != expected:
            raise EvidenceError(
                f"measurement.id: expected {expected}, found {record['id']}; it was changed after it was written"
            )
    if kind == "verdict" and record["status"] == "passed" and "observed" not in record:
        raise EvidenceError("verdict.observed: expected a number where the status is passed, found nothing")


def check_plain(value: object, path: str, levels: int = DEEPEST) -> None:
    """Refuse what JSON cannot hold, NaN and infinity before all; raise EvidenceError that names the field."""
    if not levels:
        raise EvidenceError(f"{path[:80]}...: expected at most {DEEPEST} levels, found more")
    if isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str):
                raise EvidenceError(f"{path}: expected names that are texts, found {_found(name)}")
            check_plain(part, f"{path}.{name}", levels - 1)
    elif isinstance(value, (list, tuple)):
        for place, part in enumerate(value):
            if type(part) is not int:  # the raw times of a round are most of its evidence
                check_plain(part, f"{path}[{place}]", levels - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise EvidenceError(f"{path}: expected a finite number, found {value}")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise EvidenceError(f"{path}: expected plain JSON, found {_found(value)}")


def content_id(fields: Mapping[str, Any]) -> str:
    """Return what makes a record this one wherever it is copied to: the start of the sha256 of its JSON."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _check_fields(record: Mapping[str, Any], fields: Mapping[str, str], path: str) -> None:
    unknown = set() if "*" in fields else set(record) - set(_names(fields))
    if unknown:
        raise EvidenceError(f"{path}.{min(unknown)}: expected no such field; is it misspelt, or from a newer signoff?")
    for field, shape in fields.items():
        name = field.removesuffix("?")
        if field == "*" or (name not in record and field.endswith("?")):
            continue
        if name not in record:
            raise EvidenceError(f"{path}.{name}: expected {_expected(shape)}, found nothing")
        if shape in GROUPS and isinstance(record[name], dict):
            _check_fields(record[name], GROUPS[shape], f"{path}.{name}")
        elif shape in GROUPS or not SHAPES[shape][1](record[name]):
            raise EvidenceError(f"{path}.{name}: expected {_expected(shape)}, found {_found(record[name])}")


def _names(fields: Mapping[str, str]) -> list[str]:
    return [field.removesuffix("?") for field in fields]


def _expected(shape: str) -> str:
    return "a mapping with " + ", ".join(f for f in GROUPS[shape] if f != "*") if shape in GROUPS else SHAPES[shape][0]


def _found(value: object) -> str:
    text = "nothing" if value is None else f"{type(value).__name__} {value!r}"
    return text if len(text) <= 80 else text[:77] + "..."
