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
    device: str = ""
    """A word that the device's name must have, where the backend runs on others of its kind too."""


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
    one_host: bool = False
    """Whether both sides must be of the same hardware: two days of it, if they did not take turns."""
    batches: tuple[int, ...] = ()
    """Where it must hold, all of them; empty: it is a claim of its own at every batch of the model."""

    @property
    def parts(self) -> int:
        """Return how many tests make up the claim: one per batch that the rule names."""
        return max(1, len(self.batches))

    def applies(self, candidate: float, baseline: float) -> bool:
        """Tell whether two point figures (images/s) meet it, as the guides decide."""
        return candidate / baseline >= self.required if self.at_least else candidate / baseline > self.required

    def must(self) -> str:
        """Return the limit as one reads it: `> 1`, `>= 1.2`."""
        return f"{'>=' if self.at_least else '>'} {self.required:g}"
