"""The sweep over batches: which is best, and what it reaches when it is measured again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bench.children import OutOfMemoryError
from bench.measuring import Measuring
from bench.units import BudgetError
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.runtime import Missing
from reports.measurement import Measurement

METRIC = "best_batch"


@dataclass(frozen=True)
class Sweep:
    """The cases of a model, size and backend that differ in their batch."""

    candidates: tuple[Case, ...]

    @property
    def candidate(self) -> Case:
        """Return the first, which stands for all where one is named."""
        return self.candidates[0]

    @property
    def id(self) -> str:
        """Return for instance `edsr-256-ascend310`."""
        first = self.candidates[0]
        return first.id.replace(f"-bs{first.batch}-", "-")


def sweeps(cases: Iterable[Case]) -> list[Sweep]:
    """Return a sweep per model, size and backend."""
    found: dict[tuple[str, str, int, str], list[Case]] = {}
    for case in cases:
        found.setdefault((case.profile, case.model, case.size, case.backend), []).append(case)
    return [Sweep(tuple(sorted(each))) for each in found.values()]


def best(sweep: Sweep, campaign: Measuring) -> Measurement | Missing:
    """Return the throughput of the best batch in fresh rounds, and of every batch in the rounds it was chosen by.

    By device compute where that is told, as the guides do. Out of memory is a result, and never the best. Where fewer
    than two batches were measured there is no best: returns which were not, and why; raises the SetupError of the first
    that failed where none was.
    """
    reached: dict[int, float] = {}
    lacking: dict[int, str] = {}
    errors: list[SetupError] = []
    for case in sweep.candidates:
        try:
            figures = {found.metric: found for found in campaign.figures(case.id)}
        except OutOfMemoryError:
            lacking[case.batch] = "out of memory"
        except BudgetError as error:
            lacking[case.batch] = error.reason
        except SetupError as error:
            errors.append(error)
            lacking[case.batch] = "not measured"
        else:
            compute = figures.get("device_compute")
            reached[case.batch] = 1e3 * case.batch / compute.value if compute else figures["throughput"].value
    if errors and not reached:
        raise errors[0]
    if len(reached) < 2:
        return _none_best(reached, lacking)
    batch = max(reached, key=lambda each: reached[each])
    chosen = next(case for case in sweep.candidates if case.batch == batch)
    found = {each.metric: each for each in campaign.again(chosen.id)}
    compute = found.get("device_compute")
    figure = compute or found["throughput"]
    value = 1e3 * batch / compute.value if compute else figure.value
    by = "device compute" if compute else "offline throughput"
    chosen_by = {str(each): round(rate, 6) for each, rate in reached.items()}
    asked = ", ".join([*chosen_by, *(f"{each} ({why})" for each, why in lacking.items())])
    notes = (
        f"batch {batch} is best of {asked} by {by}",
        f"measured again in {figure.details['rounds']} fresh rounds; when it was chosen it had {reached[batch]:.5g}",
    )
    details = {
        **figure.details,
        **({"per": "device"} if compute else {}),  # not per batch, as a time is
        "chosen_by": chosen_by,
        "lacking": {str(each): why for each, why in lacking.items()},
    }
    return replace(figure, metric=METRIC, value=value, unit="images/s", notes=notes, details=details)


def _none_best(reached: Iterable[int], lacking: Mapping[int, str]) -> Missing:
    """Return why no batch is the best, a reason once for all batches that it kept out."""
    measured = f"only batch {', '.join(map(str, reached))} was measured" if reached else "no batch was measured"
    reasons = dict.fromkeys(lacking.values())
    batches = {why: ", ".join(str(batch) for batch, own in lacking.items() if own == why) for why in reasons}
    why = "; ".join(f"of batch {own}: {reason}" for reason, own in batches.items())
    steps = ["give more with --budget"] * any("budget" in reason for reason in reasons)
    steps += ["name smaller ones with --batch"] * ("out of memory" in reasons)
    reason = f"{measured}, and the best is one of several" + (f" ({why})" if why else "")
    return Missing(reason, " or ".join(steps) or "see why the others failed, or name more with --batch")
