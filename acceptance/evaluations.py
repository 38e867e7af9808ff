"""One pass, two tests: what accuracy and parity both need of a case, taken once by whichever asks first."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

from acceptance.basis import Basis, basis
from acceptance.evaluation import Evaluation, Pass, evaluate
from acceptance.gates import Judged, errors
from acceptance.metric import Result, begin
from acceptance.reference import Reference, References, reference_backend
from fixtures import backend as backends
from fixtures import catalogue, durations
from fixtures.case import Case
from fixtures.device import CPU
from fixtures.engines import Engine
from fixtures.feed import Feed
from fixtures.grid import accuracy_size
from fixtures.model import Model
from fixtures.workshop import Workshop
from reports.ledger import Ledger
from reports.measurement import Measurement, source
from reports.verdict import Verdict


@dataclass(frozen=True)
class Taken:
    """A pass that was recorded: what the gates judge, and the ids of its measurements."""

    judged: Judged
    measurements: tuple[str, ...]


@dataclass
class Evaluations:
    """Evaluates cases on demand and records what was measured."""

    workshop: Workshop
    ledger: Ledger
    references: References = field(init=False)
    _taken: dict[Case, Taken] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.references = References(self.workshop.sources, self.workshop.pool, self.workshop.progress)

    def take(self, case: Case) -> Taken:
        """Return the pass over the data of a case; raise SetupError where data, weights or engine are not to be had."""
        if case not in self._taken:
            self._taken[case] = self._take(case)
        return self._taken[case]

    def basis(self, case: Case) -> Basis:
        """Return the profile's figure for a case at its accuracy size, and whether it applies."""
        model: Model = catalogue.find("model", case.model)
        sources = self.workshop.sources
        network = sources.source(case).identity["network"]
        profile, data, unit = model.profiles[case.profile], self.workshop.data(case), begin(model).unit
        return basis(profile, case.profile, data, network, sources.own(case), unit)

    def advised(self, case: Case, verdict: Verdict) -> Verdict:
        """Return the verdict with what a reader must know of its engine.

        That it was not built here; and where it failed in a narrow precision, what its compiler offers against that.
        """
        backend = backends.find(case.backend)
        engine = self.workshop.sources.engine(case)
        if engine.origin != "built":
            verdict = replace(verdict, reason=f"{verdict.reason}; engine {engine.origin}, sha256 {engine.sha256[:8]}")
        remedies = catalogue.find("runtime", backend.runtime).compiler.remedies(backend)
        if verdict.status != "failed" or not remedies:
            return verdict
        ladder = {f"{number}.": remedy for number, remedy in enumerate(remedies, start=1)}
        return replace(verdict, details={**verdict.details, "to_try": ladder})

    def _take(self, case: Case) -> Taken:
        model: Model = catalogue.find("model", case.model)
        feed = self.workshop.feed(case)  # first: nothing is built on data that are not whole
        reference = self.references.get(case, feed)
        engine = self.workshop.sources.engine(case)
        evaluation = self.references.fresh.get((engine.key, feed.digest))
        if evaluation is None or case.backend != reference_backend(model).name:
            evaluation = self._run(case, model, engine, feed, reference)
        found, fp32 = self._figures(case, model, feed, evaluation, reference)
        implied = found is not None and evaluation.result is None
        judged = Judged(
            case, model.metric, feed.described, found, evaluation.agreement, fp32, reference.origin, implied
        )
        return Taken(judged, self._record(judged, engine, evaluation))

    def _run(self, case: Case, model: Model, engine: Engine, feed: Feed, reference: Reference) -> Evaluation:
        began = time.monotonic()
        session = self.workshop.pool.session(case, backends.find(case.backend), engine)
        behind = Pass(model.postprocess, begin(model), reference.outputs)
        with self.workshop.progress.track(f"{case.id} on {feed.described}") as told:
            evaluation = evaluate(session, feed.load, feed.names, case.batch, behind, told)
        if self.workshop.selection.subset is None:
            durations.note("pass", case, time.monotonic() - began)
        return evaluation

    def _figures(
        self, case: Case, model: Model, feed: Feed, evaluation: Evaluation, reference: Reference
    ) -> tuple[Result | None, Result | None]:
        """Return the engine's figure and that of fp32 on the same inputs.

        Crops without targets have none of their own. What fp32 reaches on the whole data set then stands in, and the
        engine's figure is that one with the error between the two added (`METRIC.degraded`).
        """
        if feed.whole or evaluation.result:
            return evaluation.result, reference.result
        own = accuracy_size(model, self.workshop.selection)
        whole = replace(case, size=own, shows_size=False)
        fp32 = self.references.get(whole, self.workshop.feed(whole)).result
        rms = evaluation.agreement.rms
        degraded = getattr(catalogue.find("metric", model.metric), "degraded", None)
        if fp32 is None or rms is None or degraded is None:
            return None, fp32
        return Result(degraded(fp32.value, rms), fp32.unit, {}), fp32

    def _record(self, judged: Judged, engine: Engine, evaluation: Evaluation) -> tuple[str, ...]:
        """Add what was measured to the evidence; return the ids that verdicts refer to."""
        described = self.workshop.described(judged.case)
        backend = backends.find(judged.case.backend)
        timing = {"seconds": evaluation.seconds, "inference_seconds": evaluation.inference_seconds}
        details = {**errors(evaluation.agreement), **timing, "not_finite": evaluation.agreement.not_finite}
        if (device := self.workshop.pool.device) and device != CPU:
            details["device"] = device.as_dict()
            details["versions"] = catalogue.find("runtime", backend.runtime).versions(backend)
        found = evaluation.result
        if found and math.isfinite(found.value) and not evaluation.agreement.not_finite:
            measurement = Measurement(
                judged.case,
                judged.metric,
                found.value,
                found.unit,
                source=source(backend, engine),
                engine=engine.as_dict(),
                data=described,
                samples=found.per_image,
                per_class=found.per_class,
                notes=found.notes,
                details=details,
            )
        else:
            # Only the distance to fp32 was measured; an engine without one finite output has an error without bound.
            rms = evaluation.agreement.rms
            if rms is None:
                return ()
            measurement = Measurement(
                judged.case,
                "rms_error",
                rms,
                "of the output's unit",
                source=source(backend, engine),
                engine=engine.as_dict(),
                data=described,
                samples=evaluation.agreement.rms_by_image,
                details=details,
            )
        self.ledger.add(measurement)
        return (measurement.id,)
