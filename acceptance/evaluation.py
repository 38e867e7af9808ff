"""One streaming pass of an engine over a data set: read ahead, run, score behind; memory does not grow with the set."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acceptance.agreement import Agreement
from acceptance.metric import Metric, Result

if TYPE_CHECKING:
    import numpy as np

    from fixtures.dataset import Sample
    from fixtures.runtime import Session

READERS = 2
"""Threads that read and preprocess; decoding releases the interpreter's lock."""

BEHIND_BYTES = 128 << 20
"""Outputs larger than this are scored before the next batch runs: two of ENet's at batch 16 would take 560 MB."""


@dataclass
class Evaluation:
    """What one pass found. `result` is None where the data have no targets, or no output was finite."""

    result: Result | None
    agreement: Agreement
    images: int
    seconds: float
    inference_seconds: float


@dataclass
class Pass:
    """What every image of the pass goes through behind the engine."""

    postprocess: Callable[[np.ndarray, np.ndarray], np.ndarray]
    metric: Metric
    reference: Mapping[str, np.ndarray] | None = None
    keep: Callable[[str, np.ndarray], None] | None = None
    """Told name and post-processed output of every image."""
    agreement: Agreement = field(default_factory=Agreement)
    scored: int = 0

    def score(self, names: Sequence[str], targets: Sequence[np.ndarray | None], outputs: np.ndarray) -> None:
        """Score one batch; outputs beyond the named images are the filling of the last one, and count nowhere."""
        for name, target, raw in zip(names, targets, outputs[: len(names)], strict=True):
            output = raw if target is None else self.postprocess(raw, target)
            if self.keep:
                self.keep(name, output)
            reference = None if self.reference is None else self.reference[name]
            finite = self.agreement.update(output, reference, name)
            if finite and target is not None:
                self.metric.update([output], [target], [name])
                self.scored += 1


def evaluate(
    session: Session,
    load: Callable[[str], Sample],
    names: Sequence[str],
    batch: int,
    behind: Pass,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Run every named sample through the session in batches and score it; tell `progress` how many of how many it did.

    In memory are the batch that runs, the one that is being read, and the outputs of the one that is being scored. An
    incomplete last batch is filled by repeating its last image.

    Raises ValueError where the engine returns another batch than it was given; what reading, running or scoring raises
    passes through.
    """
    started = time.perf_counter()
    inference = 0.0
    done = 0
    scoring: Future[None] | None = None
    readers = ThreadPoolExecutor(READERS, "read")
    scorer = ThreadPoolExecutor(1, "score")
    try:
        for samples in _batches(readers, load, names, batch):
            inputs = stack(samples, batch)
            read, targets = [sample.name for sample in samples], [sample.target for sample in samples]
            del samples  # their inputs are in the stack
            before = time.perf_counter()
            outputs = _wide(session.run(inputs)[0])
            inference += time.perf_counter() - before
            if len(outputs) != batch:
                raise ValueError(
                    f"expected the engine to return {batch} outputs, as it was given; found {len(outputs)}"
                )
            if scoring:
                scoring.result()
            scoring = scorer.submit(behind.score, read, targets, outputs)
            if outputs.nbytes > BEHIND_BYTES:
                scoring.result()
            del outputs  # the scorer has it
            done += len(read)
            progress(done, len(names))
        if scoring:
            scoring.result()
    finally:
        readers.shutdown(cancel_futures=True)
        scorer.shutdown(cancel_futures=True)
    result = behind.metric.result() if behind.scored else None
    return Evaluation(result, behind.agreement, len(names), time.perf_counter() - started, inference)


def _wide(outputs: np.ndarray) -> np.ndarray:
    """Return half-precision outputs in float32, in which figures are computed."""
    return outputs.astype("float32") if outputs.dtype == "float16" else outputs


def stack(samples: Sequence[Sample], batch: int) -> tuple[np.ndarray, ...]:
    """Return one contiguous array per model input, batch first, filled up with the last sample."""
    import numpy as np

    if batch == 1:  # nothing to copy
        return tuple(np.ascontiguousarray(array[np.newaxis]) for array in samples[0].inputs)
    filled = [*samples, *[samples[-1]] * (batch - len(samples))]
    return tuple(np.stack(arrays) for arrays in zip(*(sample.inputs for sample in filled), strict=True))


def _batches(
    readers: ThreadPoolExecutor, load: Callable[[str], Sample], names: Sequence[str], batch: int
) -> Iterator[list[Sample]]:
    """Yield samples in order while the next batch is being read."""
    waiting: deque[Future[Sample]] = deque()
    remaining = iter(names)
    ahead = max(batch, READERS)

    def refill() -> None:
        while len(waiting) < ahead and (name := next(remaining, None)) is not None:
            waiting.append(readers.submit(load, name))

    def take() -> list[Sample]:
        samples = [waiting.popleft().result() for _ in range(min(batch, len(waiting)))]
        refill()
        return samples

    refill()
    while waiting:
        yield take()  # kept in no variable, which would hold the batch until the next one is asked for
