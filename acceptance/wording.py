"""How figures, drops and limits are put into words, the same in every verdict."""

from __future__ import annotations

from fixtures.model import Gate


def figure(value: float, unit: str) -> str:
    """Return a figure with the three decimals that the guides print."""
    return f"{value:.3f} {unit}"


def percent(fraction: float) -> str:
    """Return a fraction as a short percentage."""
    return f"{100 * fraction:.3g} %"


def limit(gate: Gate, unit: str) -> str:
    """Return how much may be lost."""
    return percent(gate.limit) if gate.kind == "relative" else f"{gate.limit:g} {unit}"


def drop(gate: Gate, amount: float, unit: str) -> str:
    """Return how much was lost, signed."""
    return f"{100 * amount:.4f} %" if gate.kind == "relative" else f"{amount:.4f} {unit}"


def distance(gate: Gate, amount: float, unit: str) -> str:
    """Return for instance `0.012 % below`, or `equal to` what differs by less than is shown."""
    lost = abs(amount) * (100 if gate.kind == "relative" else 1)
    if lost < 0.0005:
        return "equal to"
    return f"{lost:.3f} {'%' if gate.kind == 'relative' else unit} {'below' if amount > 0 else 'above'}"


def must_hold(gate: Gate, against: str, reference: float | None, unit: str) -> str:
    """Return the gate in one sentence; of decibels it says how much of the squared error they are."""
    if reference is None:
        return f"at most {limit(gate, unit)} below {against}"
    sentence = f"at most {limit(gate, unit)} below {against}, {figure(reference, unit)}"
    if unit == "dB":
        decibels = reference - gate.floor(reference)
        sentence += f" ({limit(gate, unit)} of it is {percent(10 ** (decibels / 10) - 1)} of the squared error)"
    return sentence
