"""pytest-benchmark's JSON: carries the evidence of the run, and is never yesterday's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from reports.entry import Entry
from reports.ledger import check_writable
from reports.schema import SCHEMA, EvidenceError, UnwritableError, check_plain


def requested(config: pytest.Config) -> Path | None:
    """Return the file asked for with --benchmark-json."""
    path = config.getoption("benchmark_json", None)
    return config.invocation_params.dir / path if path else None


def remove_stale(path: Path) -> None:
    """Remove yesterday's file: a run without benchmarks would leave it and look as if it had written it.

    Raises pytest.UsageError where no file can be written, before anything is measured.
    """
    try:
        check_writable(path, "--benchmark-json")
        remove(path)
    except UnwritableError as error:
        raise pytest.UsageError(f"--benchmark-json {error}") from error
    except OSError as error:
        message = f"--benchmark-json {path}: expected a file to replace; found: {error.strerror}; name another file"
        raise pytest.UsageError(message) from error


def remove(path: Path) -> None:
    """Remove a file, if it is one: devices can be named as well."""
    if path.is_file():
        path.unlink()


def catch_failure(config: pytest.Config, path: Path, tell: Callable[[str], None]) -> None:
    """Let pytest-benchmark tell that its file cannot be written; it would end the run with a traceback, unsummed.

    A part of the file is removed: it reads like the file of another run.
    """
    session = getattr(config, "_benchmarksession", None)
    save = getattr(session, "save_json", None)
    if session is None or save is None:
        return

    def save_json(document: dict[str, Any]) -> None:
        try:
            save(document)
        except OSError as error:
            remove(path)
            tell(str(error.strerror))

    session.save_json = save_json


def refuse_infinite(item: pytest.Item) -> None:
    """Fail the test that left NaN, or anything else that is not JSON, in its benchmark's extra_info; drop it there."""
    extra_info = getattr(getattr(item, "funcargs", {}).get("benchmark"), "extra_info", {})
    try:
        check_plain(extra_info, "benchmark.extra_info")
    except EvidenceError:
        extra_info.clear()
        raise


def carry(document: dict[str, Any], entries: Sequence[Entry]) -> None:
    """Put each record beside the benchmark of its test; what belongs to no benchmark stands at the top."""
    records = [(entry.test, entry.as_dict()) for entry in entries]
    benchmarks = {benchmark["fullname"]: benchmark for benchmark in document["benchmarks"]}
    for name, benchmark in benchmarks.items():
        if own := [record for test, record in records if test == name]:
            benchmark["extra_info"].setdefault("signoff", {})["records"] = own
    if rest := [record for test, record in records if test not in benchmarks]:
        document.setdefault("extra_info", {})["signoff"] = {"schema": SCHEMA, "records": rest}


def write(config: pytest.Config, path: Path) -> None:
    """Write the document of a run without benchmarks, which pytest-benchmark leaves out; raise OSError."""
    hook = config.hook
    machine = hook.pytest_benchmark_generate_machine_info(config=config)
    hook.pytest_benchmark_update_machine_info(config=config, machine_info=machine)
    commit = hook.pytest_benchmark_generate_commit_info(config=config)
    hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit)
    document = hook.pytest_benchmark_generate_json(
        config=config, benchmarks=[], include_data=True, machine_info=machine, commit_info=commit
    )
    hook.pytest_benchmark_update_json(config=config, benchmarks=[], output_json=document)
    text = json.dumps(document, indent=4, allow_nan=False)
    try:
        path.write_text(text)
    except OSError:
        remove(path)
        raise
