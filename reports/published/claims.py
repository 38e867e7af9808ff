"""What the guides conclude from their figures, and which figures they conclude it from."""

from __future__ import annotations

from dataclasses import dataclass

from reports.published.figures import Published, find


@dataclass(frozen=True)
class Claim:
    """`better` has at least `required` times (or, not `at_least`, more than that) the throughput of `other`."""

    rule: str
    """The rule of this harness that asks the same."""
    sentence: str
    better: Published
    other: Published
    required: float
    holds: bool
    """Whether the guide's own figures bear it out."""
    at_least: bool = False

    @property
    def ratio(self) -> float:
        """Return the throughput of one over that of the other."""
        return self.better.value / self.other.value

    @property
    def met(self) -> bool:
        """Tell whether the bare figures meet it."""
        return self.ratio >= self.required if self.at_least else self.ratio > self.required

    @property
    def limit(self) -> str:
        """Return the limit as one reads it."""
        return f"{'>=' if self.at_least else '>'} {self.required:g}"


@dataclass(frozen=True)
class AccuracyClaim:
    """The device loses at most 1 % of the figure of the reference."""

    found: Published
    reference: Published
    limit: float = 0.01

    @property
    def drop(self) -> float:
        """Return what is lost, as a fraction of the reference."""
        return (self.reference.value - self.found.value) / self.reference.value


def claims() -> tuple[Claim, ...]:
    """Return what the guides say of speed; the sentence on 1.2 times with the tuned and with the untuned figures."""
    card = find("edsr", 1, "310")
    over_t4 = Claim(
        "ascend310_over_t4",
        "a 310 card (one device times four) has a higher throughput than a T4 (EDSR guide, 7.3)",
        card,
        find("edsr", 1, "T4"),
        1.0,
        holds=True,
    )
    faster = [
        Claim(
            f"ascend310p_over_ascend310{'' if tuned else '_untuned'}",
            f"at batch 1 and 16 a 310P has over 1.2 times the throughput of a 310 card (ENet guide, 7.3), {said} AOE",
            find("enet", batch, "310P3 (aoe)" if tuned else "310P3"),
            find("enet", batch, "310"),
            1.2,
            holds=tuned,
            at_least=True,
        )
        for tuned, said in ((True, "with"), (False, "without"))
        for batch in (1, 16)
    ]
    enet_over_t4 = Claim(
        "ascend310p_over_t4",
        "a 310P with AOE has a higher throughput than a T4 (the last column of the ENet guide, 7.3)",
        find("enet", 1, "310P3 (aoe)"),
        find("enet", 1, "T4"),
        1.0,
        holds=True,
    )
    return over_t4, *faster, enet_over_t4


def accuracy_claims() -> tuple[AccuracyClaim, ...]:
    """Return what the guides say of accuracy."""
    enet = find("enet", None, "fp32")
    return (
        AccuracyClaim(find("edsr", 1, "NPU"), find("edsr", 1, "fp32")),
        AccuracyClaim(find("enet", 1, "NPU"), enet),
        AccuracyClaim(find("enet", 16, "NPU"), enet),
    )
