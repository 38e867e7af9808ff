"""Whether a log can be of the case it is said to be of: what it tells otherwise is refused, what it omits flagged."""

from __future__ import annotations

import re

from bench.logs import ais_bench, benchmark, trtexec
from bench.logs.reading import LogError, agree
from fixtures import backend
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.model import Model

Log = trtexec.Log | ais_bench.Log | benchmark.Log

WITHIN = 0.01
"""The samples of a query are worked out from totals of six digits."""

_FILE_BATCH = re.compile(r"perf_[a-z]{1,20}_batchsize_([0-9]{1,9})_device_[0-9]{1,9}")


def check(log: Log, name: str, case: Case, model: Model) -> list[str]:
    """Return flags for what the log does not tell: shape_not_told, batch_not_told, precision_not_told.

    Raises LogError where it tells another batch, shape, precision or compute capability than the case, a run that
    failed, or several.
    """
    flags: list[str] = []
    if isinstance(log, trtexec.Log):
        _ran(log)
        _gpu(log, backend.find(case.backend))
        _shapes(log, case, model)
        flags += ["shape_not_told"] * (not log.shapes)
        told = _trtexec_batches(log)
        flags += ["batch_not_told"] * (not told and not _whole_shapes(log, case, model))
        flags += ["precision_not_told"] * (not log.precisions)
    else:
        told = _ais_bench_batches(log) if isinstance(log, ais_bench.Log) else _benchmark_batches(log, name)
        flags += ["shape_not_told", *["batch_not_told"] * (not told)]
    for where, (batch, within) in told.items():
        if not agree(batch, case.batch, within):
            raise LogError(
                f"expected batch {case.batch}, as --batch says, found {batch:g} ({where}); name the batch that was run"
            )
    return flags


def _ran(log: trtexec.Log) -> None:
    if log.status not in (None, "passed"):
        raise LogError(f"expected a run that passed, found one that {log.status}; see its [E] lines")
    if "several_runs" in log.flags and log.layout == "none":
        raise LogError("expected a figure in the last run, found none there; cut the log to one run")


def _gpu(log: trtexec.Log, found: Backend) -> None:
    """Compare the GPU's compute capability, and the precisions that the build was allowed."""
    wanted = found.options.get("compute_capability")
    if wanted and log.compute_capability and log.compute_capability != str(wanted):
        raise LogError(
            f"expected a GPU of compute capability {wanted}, as {found.name} is; found {log.compute_capability} "
            f"({log.device or 'a device without a name'}); name the backend of that GPU"
        )
    lower = log.precisions - {"FP32"}
    # int8 needs the others beside it, for the layers that have no scales.
    lower -= {"FP16"} if found.precision == "int8" else frozenset()
    if log.precisions and lower != {found.precision.upper()} - {"FP32"}:
        raise LogError(
            f"expected an engine in {found.precision}, as {found.name} runs, found one built in "
            f"{'+'.join(sorted(log.precisions))}; name the backend of that precision"
        )


def _shapes(log: trtexec.Log, case: Case, model: Model) -> None:
    expected = [tensor.at(case.batch, case.size) for tensor in model.inputs]
    accepted = {*expected, *(shape[1:] for shape in expected)} if _implicit(log) else set(expected)
    for shape in log.shapes:
        if shape not in accepted:
            raise LogError(
                f"expected an input of {' or '.join(map(_spelt, expected))} for {case.id}, found {_spelt(shape)}; "
                "name its size and batch with --size and --batch"
            )


def _implicit(log: trtexec.Log) -> bool:
    """Tell whether the engine's batch is implicit: its shapes are then told without it."""
    return "implicit_batch" in log.flags or (log.batch is not None and not log.query_is_execution)


def _whole_shapes(log: trtexec.Log, case: Case, model: Model) -> bool:
    """Tell whether a shape has the batch in it."""
    return bool({tensor.at(case.batch, case.size) for tensor in model.inputs} & set(log.shapes))


def _trtexec_batches(log: trtexec.Log) -> dict[str, tuple[float, float]]:
    """Return where a batch is told, and what: with how much it may be off."""
    told: dict[str, tuple[float, float]] = {}
    if log.batch is not None:
        told["--batch of the command"] = log.batch, 0.0
    if log.query_samples is not None:
        told["the samples per query"] = log.query_samples, WITHIN
    return told


def _ais_bench_batches(log: ais_bench.Log) -> dict[str, tuple[float, float]]:
    if "several_shapes" in log.flags:
        raise LogError("expected one shape, found a run over several; time each in a run of its own")
    if (own := log.facts.get("model_batch", 0)) > 0:
        return {"the batch of the model": (own, 0.0)}
    return {} if log.batch is None else {"the factor in its throughput": (log.batch, 1e-6)}


def _benchmark_batches(log: benchmark.Log, name: str) -> dict[str, tuple[float, float]]:
    if several := {"several_batches", "two_modes"} & set(log.flags):
        raise LogError(f"expected one run, found {', '.join(sorted(several))}; give each run its own file")
    if saved := _FILE_BATCH.search(name):
        return {"the name of the file": (int(saved[1]), 0.0)}
    return {} if log.batch is None else {"the command": (log.batch, 0.0)}


def _spelt(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
