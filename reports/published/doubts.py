"""What stands against taking two published figures as the sides of a comparison, found in the data themselves."""

from __future__ import annotations

from collections.abc import Iterator

from reports.figure import figure as written
from reports.published.figures import UNKNOWN, Published, figures


def doubts(better: Published, other: Published) -> tuple[str, ...]:
    """Return one phrase each for what is unlike, unknown or extrapolated; the first is true of every such figure."""
    return (
        "no raw samples, one copied figure each",
        *_estimators(better, other),
        *_other_statistics(better, other),
        *(f"{side.hardware} x4 from one device" for side in (better, other) if side.extrapolated),
        *_size(better),
        *([f"tuned ({better.tuning}) against untuned"] if better.tuning != other.tuning else []),
        *_flat(better, other),
    )


def by_statistic(side: Published) -> dict[str, float]:
    """Return images per second by each statistic of the compute time that the source prints beside the figure."""
    same = (side.guide, side.hardware, side.batch)
    return {
        each.estimator: 1000 * (each.batch or 1) / each.value
        for each in figures()
        if (each.guide, each.hardware, each.batch) == same and each.quantity == "device_compute"
    }


def _estimators(better: Published, other: Published) -> Iterator[str]:
    if better.estimator != other.estimator:
        untold = {UNKNOWN: "one that is not told"}
        one, two = (untold.get(side.estimator, f"a {side.estimator}{_executions(side)}") for side in (better, other))
        yield f"{one} against {two}"


def _executions(side: Published) -> str:
    """Return how many executions a log was made from: their total over their mean."""
    same = {
        each.quantity if each.quantity == "total_compute" else each.estimator: each.value
        for each in figures()
        if (each.guide, each.section, each.batch) == (side.guide, side.section, side.batch)
    }
    return f" of {1000 * same['total_compute'] / same['mean']:.0f} executions" if "total_compute" in same else ""


def _other_statistics(better: Published, other: Published) -> Iterator[str]:
    told = by_statistic(other)
    if "mean" in told and other.estimator != "mean":
        yield f"by its own mean {other.hardware} has {written(told['mean'])}"
    if (fastest := told.get("minimum", 0.0)) > better.value > other.value:
        yield f"by its minimum {written(fastest)}, and wins"


def _size(better: Published) -> Iterator[str]:
    judged = {each.size for each in figures() if each.guide == better.guide and each.quantity in ("psnr", "miou")}
    if better.size not in judged:
        yield f"accuracy at {', '.join(map(str, judged))} px, speed at {better.size} px"


def _flat(better: Published, other: Published) -> Iterator[str]:
    """Doubt a GPU that is slower in batches than alone: its model may never have been batched."""
    column = [f for f in figures() if (f.guide, f.column, f.best) == (other.guide, other.column, False)]
    first, last = (pick(column, key=lambda f: f.batch or 0) for pick in (min, max))
    if other.hardware == "T4" and first.batch != last.batch and last.value <= first.value:
        yield (
            f"T4 flat in batch: {written(first.value)} at {first.batch}, {written(last.value)} at {last.batch}, "
            "as a model that does not batch"
        )
