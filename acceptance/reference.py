"""The fp32 reference of a checkpoint: its figure and its outputs, computed once and kept by digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from acceptance.evaluation import Evaluation, Pass, evaluate
from acceptance.metric import Result, begin
from fixtures import backend as backends
from fixtures import catalogue, packs
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.engines import Engine
from fixtures.errors import SetupError
from fixtures.feed import Feed
from fixtures.progress import Progress
from fixtures.sessions import Pool
from fixtures.sources import Sources
from fixtures.tensorfile import Reader, Writer

if TYPE_CHECKING:
    import numpy as np

    from fixtures.model import Model

# The reference of a model that is given as an ONNX file only: the graph as it stands, nothing optimised.
PLAIN = Backend(
    "onnxruntime_plain", runtime="onnxruntime", options={"graph_optimization": "disable", "execution": "sequential"}
)


class BrokenReferenceError(SetupError):
    """A reference that is not finite, so that nothing can be compared with it."""


@dataclass(frozen=True)
class Reference:
    """What fp32 gives on the same inputs. `outputs` is None where only its figure travelled here in a pack."""

    result: Result | None
    outputs: Mapping[str, np.ndarray] | None
    origin: str
    """What computed it."""


def reference_backend(model: Model) -> Backend:
    """Return what the engine is compared with: torch, or the unoptimised graph of an ONNX-only model."""
    return backends.find("torch") if model.network else PLAIN


@dataclass
class References:
    """References of this session, taken from the store, from a pack, or computed."""

    sources: Sources
    pool: Pool
    progress: Progress
    fresh: dict[tuple[str, str], Evaluation] = field(default_factory=dict)
    """Engine key and feed digest -> the pass that computed a reference in this session."""
    _known: dict[tuple[str, str, int, str], Reference] = field(default_factory=dict)

    def get(self, case: Case, feed: Feed) -> Reference:
        """Return the reference of a case's model at its size on this feed.

        Raises what exporting, building or running the reference raises, and PackError where a host without torch has no
        pack that knows these data.
        """
        key = (case.model, case.profile, case.size, feed.digest)
        if key not in self._known:
            model: Model = catalogue.find("model", case.model)
            backend = reference_backend(model)
            runtime = catalogue.find("runtime", backend.runtime)
            if runtime.missing(backend, model) is None:
                self._known[key] = self._compute(replace(case, batch=1, backend=backend.name), model, backend, feed)
            else:
                self._known[key] = self._unpack(case, model, feed)
        return self._known[key]

    def _unpack(self, case: Case, model: Model, feed: Feed) -> Reference:
        figures, outputs = packs.reference(model, case, feed.digest)
        result = _result(figures) if figures else None
        return Reference(result, Reader(outputs) if outputs else None, f"a pack of {model.name}")

    def _compute(self, case: Case, model: Model, backend: Backend, feed: Feed) -> Reference:
        engine = self.sources.build(case, backend)
        code = packs.judging_code(model)
        recipe = {"runtime": "reference", "engine": engine.recipe, "data": feed.digest, "code": code}
        kept = self.sources.store.get(
            recipe, packs.REFERENCE, lambda target: self._run(case, model, backend, engine, feed, target)
        )
        outputs = Reader(kept.path)
        figures = json.loads(outputs.metadata["figures"])
        version = engine.recipe["toolchain"][backend.runtime]
        return Reference(_result(figures) if figures else None, outputs, f"{backend.runtime} {version}")

    def _run(self, case: Case, model: Model, backend: Backend, engine: Engine, feed: Feed, target: Path) -> None:
        session = self.pool.session(case, backend, engine)
        with Writer(target, len(feed.names)) as writer:
            behind = Pass(model.postprocess, begin(model), keep=writer.add)
            with self.progress.track(f"fp32 reference of {model.name}, {feed.described}") as told:
                evaluation = evaluate(session, feed.load, feed.names, 1, behind, told)
            if broken := evaluation.agreement.not_finite:
                raise BrokenReferenceError(
                    f"{model.name}: expected a finite fp32 reference; found NaN or infinity in {len(broken)} of "
                    f"{feed.described}, first {broken[0]}; nothing can be compared with it; check the weights"
                )
            result = evaluation.result
            writer.metadata["figures"] = json.dumps(asdict(result) if result else None)
        self.fresh[engine.key, feed.digest] = evaluation


def _result(figures: dict[str, object]) -> Result:
    return Result(**{**figures, "notes": tuple(figures["notes"])})  # type: ignore[arg-type]
