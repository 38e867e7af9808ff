"""Whether two runs were made on the same host, and with the same software: stable facts only.

Load, clocks, host name and time change from run to run and are no part of either (measurement protocol 5.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fixtures import digest

HARDWARE = ("machine", "cpu", "cores", "affinity", "numa_nodes", "governor", "smt", "cgroup_cpus")
"""What the history of a host is kept by. A fact that a host does not tell (null) is one of its facts."""

SOFTWARE = ("os", "kernel", "python")
BY_NAME = {"packages": "not installed", "variables": "not set"}
"""Software facts that are many, by name, with what the absence of one means."""


def host_key(environment: Mapping[str, Any]) -> str:
    """Return a digest of the hardware facts of a run's environment; hosts with the same are one to a history.

    Empty where the evidence lacks one of them: such a host is the same as no other, and not as itself either.
    """
    stable = _stable(environment)
    if not stable.keys() >= set(HARDWARE):
        return ""
    return digest.of_value({name: stable[name] for name in HARDWARE})[:16]


def hardware_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two environments in the facts of the host key, as `cores 2 -> 4`.

    What one of them lacks differs; what both lack does too.
    """
    return list(_differences(HARDWARE, _stable(before), _stable(after)))


def software_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs in system, kernel, Python, packages and variables, as `onnxruntime 1.30.0 -> 1.31.1`.

    What one of them lacks differs; what both lack does too. A package that is not installed is not lacking.
    """
    old, new = _stable(before), _stable(after)
    found = list(_differences(SOFTWARE, old, new))
    for group, absent in BY_NAME.items():
        if not isinstance(old.get(group), Mapping) or not isinstance(new.get(group), Mapping):
            found.append(f"{group} not recorded on {'either side' if group not in {*old, *new} else 'one side'}")
            continue
        for name in sorted({*old[group], *new[group]}):
            one, other = (each[group].get(name, absent) for each in (old, new))
            if one != other:
                found.append(f"{name} {_text(one)} -> {_text(other)}")
    return found


def _stable(environment: Mapping[str, Any]) -> Mapping[str, Any]:
    stable = environment.get("stable")
    return stable if isinstance(stable, Mapping) else {}


def _differences(names: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in names:
        said = name.replace("_", " ")
        if name not in old and name not in new:
            yield f"{said} not recorded on either side"
        elif name not in old or name not in new or old[name] != new[name]:
            shown = (_text(each[name]) if name in each else "not recorded" for each in (old, new))
            yield f"{said} {' -> '.join(shown)}"


def _text(value: Any) -> str:
    if value is None:
        return "not told"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value) or '""'
