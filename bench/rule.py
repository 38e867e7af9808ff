"""What a comparison of two throughputs must show: data and one sentence."""

from __future__ import annotations

from dataclasses import dataclass

ANY = "any backend"
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Side:
    """A backend, by one device or by a card: then its figure is multiplied by the devices a card of it carries."""

    backend: str
    per_card: bool = False


@dataclass(frozen=True)
class Rule:
    """One constant `RULE` per file of bench/rules; models name the rules they use.

    `figure` is device_compute, latency or throughput, the same on both sides; `otherwise` is taken where a side does
    not tell it. Every statistic of `statistics` must hold by itself. `second` is a figure that is told and does not
    decide.
    """

    name: str
    sentence: str
    candidate: Side
    baseline: Side
    required: float
    """Throughput of the candidate over that of the baseline."""
    at_least: bool = False
    """Whether `required` itself is enough: matters to the point rule alone."""
    figure: str = "device_compute"
    otherwise: str = ""
    statistics: tuple[str, ...] = ("mean", "median")
    second: str = ""
    batches: tuple[int, ...] = ()
    """Where it is asked; empty: at the batches of the model."""

    def applies(self, candidate: float, baseline: float) -> bool:
        """Tell whether two point figures (images/s) meet it, as the guides decide."""
        return candidate / baseline >= self.required if self.at_least else candidate / baseline > self.required

    def must(self) -> str:
        """Return the limit as one reads it: `> 1`, `>= 1.2`."""
        return f"{'>=' if self.at_least else '>'} {self.required:g}"
