"""What `show` says of rounds: a line per case, with effort, mode, flags and the worst of the guards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from reports.figure import figure
from reports.round import Round

GUARDS: Mapping[str, tuple[str, Callable[[list[float]], float], float, str]] = {
    "cpu_pressure_share": ("processor pressure up to", max, 100.0, "%"),
    "steal_share": ("steal up to", max, 100.0, "%"),
    "cpu_share": ("processor share from", min, 100.0, "%"),
    "involuntary_switches_per_call": ("involuntary switches a call up to", max, 1.0, ""),
}
"""Guard of a round -> words, the worst of several, factor and unit."""


def round_lines(rounds: Iterable[Round]) -> list[str]:
    """Return a line for the rounds of each case on a device that were taken in the same way."""
    groups: dict[tuple[str, ...], list[Round]] = {}
    for each in rounds:
        pair = each.details.get("pair")
        beside = str(pair.get("other", "?")) if isinstance(pair, Mapping) else ""
        how = [str(each.details[name]) for name in ("effort", "mode") if name in each.details]
        if beside:
            how.append(f"in turns with {beside}")
        key = (each.case.id, each.case.profile, each.device, each.engine if beside else "", ", ".join(how))
        groups.setdefault(key, []).append(each)
    return [_line(key, taken) for key, taken in groups.items()]


def _line(key: tuple[str, ...], rounds: Sequence[Round]) -> str:
    case, profile, device, engine, how = key
    of = f", engine {engine[:8]}" if engine else ""  # both arms may be of one case
    parts = [f"rounds     {len(rounds)} of {case} ({profile}) on {device}{of}{', ' if how else ''}{how}"]
    flags = Counter(flag for each in rounds for flag in each.flags)
    if flags:
        parts.append("flags: " + ", ".join(f"{flag.replace('_', ' ')} ({count})" for flag, count in flags.items()))
    if guards := list(_guards(rounds)):
        parts.append("guards: " + ", ".join(guards))
    return "; ".join(parts)


def _guards(rounds: Sequence[Round]) -> Iterable[str]:
    told = [each.details["guards"] for each in rounds if isinstance(each.details.get("guards"), Mapping)]
    for name, (words, worst, factor, unit) in GUARDS.items():
        values = [guards[name] for guards in told if isinstance(guards.get(name), (int, float))]
        if values:
            yield f"{words} {figure(worst(values) * factor, unit)}"
