"""The guides' figures as evidence, for `--evidence published`: a side of a comparison that nobody repeated."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fixtures.case import Case
from reports.entry import Entry
from reports.measurement import Measurement
from reports.published.figures import GUIDES, UNKNOWN, Published, figures

RUN = "guides"
"""Short, as a verdict names the runs of its campaigns by their first letters."""
DEVICES_PER_CARD = 4
"""Of an Atlas 300I 3000/3010, whose chips are the Ascend 310."""
BACKENDS = {
    ("310", "none"): "ascend310",
    ("310P", "none"): "ascend310p",
    ("310P", "AOE"): "ascend310p_aoe",
    ("T4", "none"): "t4_trtexec",
}
STATISTICS = {"minimum": "min", "maximum": "max", "mean": "mean", "median": "median", "p99": "p99"}


@lru_cache(maxsize=1)
def entries() -> tuple[Entry, ...]:
    """Return throughput and, where the source says that it is compute, device_compute of every case of the two guides.

    They belong to a run of their own without an environment, and have neither engine nor data: nobody knows them.
    Figures are per device, those of a card divided by its devices. Later editions are left out: one case, one figure.
    """
    found = [m for figure in figures() if _is_of_a_case(figure) for m in _measurements(figure)]
    return tuple(Entry(RUN, measurement) for measurement in found)


def case_of(figure: Published) -> Case:
    """Return the case a throughput belongs to, of the official profile; KeyError for hardware that no backend is."""
    backend = BACKENDS[figure.hardware, figure.tuning]
    assert figure.size is not None
    assert figure.batch is not None
    return Case("official", figure.model, figure.size, figure.batch, backend, shows_size=figure.size != _judged(figure))


def _judged(figure: Published) -> int | None:
    """Return the size at which the guide shows accuracy."""
    return next(each.size for each in figures() if each.guide == figure.guide and each.unit in ("dB", "%"))


def _is_of_a_case(figure: Published) -> bool:
    """Tell whether it is the throughput of a card, a chip or a T4, at a batch of its own."""
    whole = "chip" if figure.hardware == "310P" else "card" if figure.hardware == "310" else "device"
    return (
        figure.guide in GUIDES
        and (figure.hardware, figure.tuning) in BACKENDS
        and (figure.quantity, figure.per, figure.best) == ("throughput", whole, False)
    )


def _measurements(figure: Published) -> list[Measurement]:
    case = case_of(figure)
    devices = DEVICES_PER_CARD if figure.per == "card" else 1
    details: dict[str, Any] = {
        "per": "device",
        "row": f"{figure.guide}/{case.id}",
        **_known(tool=figure.tool, mode=figure.mode, tuning=figure.tuning),
        "provenance": {
            "repository": "Ascend/ModelZoo-PyTorch",
            "path": figure.path,
            "revision": figure.revision,
            "section": figure.section,
            "printed": f"{figure.printed} {figure.unit}",
        },
    }
    notes = [f"published, not measured here: {figure.path}, section {figure.section}, prints {figure.printed}"]
    if devices > 1:
        details |= {"devices_per_card": devices, "extrapolated": True}
        notes.append(f"of a card of {devices} devices, extrapolated from one by the authors; here that of one device")
    if figure.note:
        notes.append(figure.note)
    common: dict[str, Any] = {"source": "published", "notes": tuple(notes), "taken": figure.dated}
    rate = {**details, **_known(statistic=figure.estimator)}
    if devices > 1:
        rate["per_card_extrapolated"] = figure.value
    found = [Measurement(case, "throughput", figure.value / devices, "images/s", details=rate, **common)]
    if compute := _compute(figure, case, devices):
        value, told = compute
        found.append(Measurement(case, "device_compute", value, "ms", details={**details, **told}, **common))
    return found


def _known(**facts: str) -> dict[str, str]:
    """Leave out what the source does not tell: two unknown facts must not be taken for the same one."""
    return {name: value for name, value in facts.items() if value != UNKNOWN}


def _compute(figure: Published, case: Case, devices: int) -> tuple[float, dict[str, Any]] | None:
    """Return milliseconds per batch of one device; None where the source does not say that its rate is of compute."""
    told = {
        STATISTICS[each.estimator]: each.value
        for each in figures()
        if (each.guide, each.hardware, each.batch) == (figure.guide, figure.hardware, figure.batch)
        and each.quantity == "device_compute"
    }
    if "mean" in told:
        return told["mean"], {"statistic": "mean", "statistics_ms": told, "timed_section": "device compute"}
    if not figure.estimator.startswith("mean"):
        return None
    # The tools print 1000 x batch / mean, so this gives their mean back.
    formula = f"1000 x batch {case.batch} x {devices} / {figure.printed}, from the rate as printed"
    return 1000 * case.batch * devices / figure.value, {"statistic": "mean", "formula": formula}
