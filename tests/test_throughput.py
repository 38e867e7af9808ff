from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reports.evidence import Evidence, read
from reports.measurement import Measurement
from reports.round import Round
from tests import tiny


def perf(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return tiny.run_pytest(home, "-m", "perf", "--model=tiny", "--backend=onnxruntime", *arguments)


@dataclass
class Timed:
    """What one run of the tiny model at batch 1 and 5 left."""

    home: Path
    done: subprocess.CompletedProcess[str]
    document: dict[str, Any]
    evidence: Evidence

    def records(self, kind: type) -> dict[str, Any]:
        """Return what the evidence holds of a kind, by case."""
        return {e.record.case.id: e.record for e in self.evidence.entries if isinstance(e.record, kind)}

    def benchmark(self, case: str) -> dict[str, Any]:
        """Return the entry of pytest-benchmark's file."""
        name = f"bench/test_throughput.py::test_throughput[{case}]"
        return next(entry for entry in self.document["benchmarks"] if entry["fullname"] == name)


@pytest.fixture(scope="module")
def timed(tmp_path_factory) -> Timed:
    home = tmp_path_factory.mktemp("throughput")
    done = perf(home, "--batch=1,5", f"--benchmark-json={home / 'out.json'}")
    assert done.returncode == 0, done.stdout + done.stderr
    return Timed(home, done, json.loads((home / "out.json").read_text()), read(home / "evidence.jsonl"))


CASES = ["tiny-bs1-onnxruntime", "tiny-bs5-onnxruntime"]


def test_every_batch_of_the_grid_is_timed(timed):
    assert sorted(timed.records(Round)) == CASES


@pytest.mark.parametrize("case", CASES)
def test_the_file_holds_exactly_the_recorded_samples(timed, case):
    stats, taken = timed.benchmark(case)["stats"], timed.records(Round)[case]
    assert stats["data"] == pytest.approx([sample / 1e9 for sample in taken.samples_ns], abs=1e-9)
    assert stats["mean"] == pytest.approx(sum(taken.samples_ns) / len(taken.samples_ns) / 1e9, rel=1e-6)
    assert stats["max"] == pytest.approx(max(taken.samples_ns) / 1e9, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_throughput_is_that_of_the_samples(timed, case):
    taken, found = timed.records(Round)[case], timed.records(Measurement)[case]
    assert found.value == pytest.approx(taken.batch * len(taken.samples_ns) / (sum(taken.samples_ns) / 1e9))
    assert (found.metric, found.unit) == ("throughput", "images/s")
    assert found.engine["sha256"] == taken.engine
    signoff = timed.benchmark(case)["extra_info"]["signoff"]
    assert signoff["images_per_second"] == found.value
    assert signoff["p50_ms"] <= signoff["p90_ms"] <= signoff["p99_ms"]


def test_rounds_are_fresh_processes(timed):
    processes = [taken.details["process"] for taken in timed.records(Round).values()]
    assert len(set(processes)) == 2


def test_at_least_8_different_inputs_are_timed_and_the_warm_up_is_apart(timed):
    for taken in timed.records(Round).values():
        assert taken.details["different_inputs"] == 8
        assert taken.warmup_ns
        assert taken.details["checked_calls"] >= 2


def test_the_terminal_tells_throughput_per_case(timed):
    for case in CASES:
        assert any(line.startswith("measured") and case in line for line in timed.done.stdout.splitlines())


def test_stock_compare_reads_the_file(timed):
    command = [Path(sys.executable).with_name("pytest-benchmark"), "compare", timed.home / "out.json"]
    done = subprocess.run(command, cwd=timed.home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for case in CASES:
        assert f"test_throughput[{case}]" in done.stdout


def test_evidence_comes_back_out_of_the_benchmark_file(timed):
    found = read(timed.home / "out.json").entries
    for kind in (Round, Measurement):
        records = {entry.record.case.id: entry.record for entry in found if isinstance(entry.record, kind)}
        assert records == timed.records(kind)


def test_another_run_reads_the_file_as_evidence(timed):
    given = f"--evidence={timed.home / 'out.json'}"
    done = perf(timed.home, given, "--collect-only", "-q", f"--record={timed.home / 'other.jsonl'}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("backend", ["onnxruntime", "absent"], ids=["failed", "not run"])
def test_a_test_that_was_not_timed_gives_its_own_reason_only(tmp_path, backend):
    arguments = ("--model=tiny", f"--backend={backend}", "--batch=1", f"--data=vectors={tmp_path / 'nowhere'}")
    done = tiny.run_pytest(tmp_path, "-m", "perf", *arguments)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "PytestBenchmarkWarning" not in done.stdout + done.stderr


def test_ctrl_c_while_timing_gives_no_warning(tmp_path):
    arguments = ("--model=tiny", "--backend=faulty", "--batch=1")
    hung = tmp_path / "hung"
    started = tiny.start_pytest(tmp_path, "-m", "perf", *arguments, FAULT="hang", HUNG=str(hung))
    with started:
        while started.poll() is None and not hung.exists():
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        output, errors = started.communicate()
    assert started.returncode == pytest.ExitCode.INTERRUPTED, output + errors
    assert "PytestBenchmarkWarning" not in output + errors
    assert "nothing was recorded" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-n", "2"), "-n 0 or -p no:xdist"),
        (("--benchmark-disable",), "--benchmark-disable is given; leave it out"),
        (("--benchmark-skip",), "--benchmark-skip is given; leave it out"),
    ],
    ids=["xdist", "disabled", "skipped"],
)
class TestWhereNothingCanBeTimed:
    def test_a_requested_file_is_a_usage_error(self, tmp_path, arguments, reason):
        if arguments[0] == "-n":
            pytest.importorskip("xdist")
        done = perf(tmp_path, *arguments, f"--benchmark-json={tmp_path / 'out.json'}")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "--benchmark-json: expected benchmarks to run; found: " in done.stderr
        assert reason in done.stderr
        assert not (tmp_path / "out.json").exists()

    def test_without_a_file_perf_is_skipped_as_not_measured(self, tmp_path, arguments, reason):
        if arguments[0] == "-n":
            pytest.importorskip("xdist")
        done = perf(tmp_path, *arguments, "-rs", "--batch", "1")
        assert "not measured: " in done.stdout, done.stdout + done.stderr
        assert reason in done.stdout
        assert "1 skipped" in done.stdout
        assert done.returncode == 6  # nothing was measured or judged
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("not run ")]
        assert line.startswith("not run    onnxruntime  1 case  ")
        assert line.endswith(reason)
        assert "PytestBenchmarkWarning" not in done.stdout + done.stderr
