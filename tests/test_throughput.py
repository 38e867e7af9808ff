from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import progress
from fixtures.progress import Progress
from reports.evidence import Evidence, read
from reports.measurement import Measurement
from reports.round import Round
from tests import tiny


def perf(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the throughput test, of two short rounds per case."""
    return tiny.run_pytest(
        home, "-p", "tests.brief", "-m", "perf", "--model=tiny", "--backend=onnxruntime", *arguments, **environment
    )


@dataclass
class Timed:
    """What one run of the tiny model at batch 1 and 5 left."""

    home: Path
    done: subprocess.CompletedProcess[str]
    document: dict[str, Any]
    evidence: Evidence

    def rounds(self, case: str) -> list[Round]:
        """Return the rounds of a case, in the order taken."""
        found = (entry.record for entry in self.evidence.entries)
        return [record for record in found if isinstance(record, Round) and record.case.id == case]

    def figures(self, case: str) -> dict[str, Measurement]:
        """Return the figures of a case by metric."""
        found = (entry.record for entry in self.evidence.entries)
        return {each.metric: each for each in found if isinstance(each, Measurement) and each.case.id == case}

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
    assert {case: len(timed.rounds(case)) for case in CASES} == dict.fromkeys(CASES, 2)


@pytest.mark.parametrize("case", CASES)
def test_the_file_holds_exactly_the_recorded_samples_of_all_rounds(timed, case):
    stats = timed.benchmark(case)["stats"]
    samples = [sample for taken in timed.rounds(case) for sample in taken.samples_ns]
    assert stats["data"] == pytest.approx([sample / 1e9 for sample in samples], abs=1e-9)
    assert stats["mean"] == pytest.approx(sum(samples) / len(samples) / 1e9, rel=1e-6)
    assert stats["max"] == pytest.approx(max(samples) / 1e9, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_throughput_is_that_of_the_offline_windows(timed, case):
    found, windows = timed.figures(case)["throughput"], [taken.details["window"] for taken in timed.rounds(case)]
    rates = [window["images"] / (window["ns"] / 1e9) for window in windows]
    assert found.value == pytest.approx((rates[0] * rates[1]) ** 0.5)
    assert found.unit == "images/s"
    assert {taken.engine for taken in timed.rounds(case)} == {found.engine["sha256"]}


@pytest.mark.parametrize("case", CASES)
def test_latency_is_a_figure_of_its_own_and_both_stand_beside_the_benchmark(timed, case):
    found = timed.figures(case)
    assert set(found) == {"throughput", "latency"}
    latency = found["latency"].details
    assert latency["p50_ms"] <= latency["p90_ms"] <= latency["p99_ms"]
    signoff = timed.benchmark(case)["extra_info"]["signoff"]
    assert signoff["images_per_second"] == found["throughput"].value
    assert signoff["latency_ms"] == found["latency"].value
    assert signoff["timed"] == found["throughput"].notes[0]


def test_rounds_are_fresh_processes(timed):
    processes = [taken.details["process"] for case in CASES for taken in timed.rounds(case)]
    assert len(set(processes)) == 4


def test_rounds_of_all_cases_alternate(timed):
    order = [e.record.case.id for e in timed.evidence.entries if isinstance(e.record, Round)]
    assert sorted(order[:2]) == sorted(order[2:]) == CASES


def test_at_least_8_different_inputs_are_timed_and_the_warm_up_is_apart(timed):
    for taken in [taken for case in CASES for taken in timed.rounds(case)]:
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
    found = read(timed.home / "out.json")
    for kind in (Round, Measurement):
        carried, written = (
            sorted(json.dumps(e.as_dict()) for e in evidence.entries if isinstance(e.record, kind))
            for evidence in (found, timed.evidence)
        )
        assert carried == written != []


def test_another_run_reads_the_file_as_evidence(timed):
    given = f"--evidence={timed.home / 'out.json'}"
    done = perf(timed.home, given, "--collect-only", "-q", f"--record={timed.home / 'other.jsonl'}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_progress_tells_no_more_time_than_the_budget_leaves(monkeypatch):
    said, now = [], [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Progress, "say", lambda self, line: said.append(line))
    shown = Progress(SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: None)))
    for shown.ends in (None, 160.0, 120.0):
        now[0] = 100.0
        with shown.track("measuring") as tell:
            now[0] += 35
            tell(1, 18)
    assert said == [f"measuring: 1 of 18, about {left} s left" for left in (595, 25, 0)]


@pytest.mark.parametrize("backend", ["onnxruntime", "absent"], ids=["failed", "not run"])
def test_a_test_that_was_not_timed_gives_its_own_reason_only(tmp_path, backend):
    arguments = ("--model=tiny", f"--backend={backend}", "--batch=1", f"--data=vectors={tmp_path / 'nowhere'}")
    done = tiny.run_pytest(tmp_path, "-m", "perf", *arguments)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "PytestBenchmarkWarning" not in done.stdout + done.stderr


SPENT = """
from dataclasses import replace

from bench.effort import EFFORTS, QUICK

EFFORTS[QUICK.name] = replace(EFFORTS[QUICK.name], budget_seconds=0.0)
"""


def test_what_the_budget_left_without_a_round_is_not_run_and_told_once(tmp_path):
    (tmp_path / "spent.py").write_text(SPENT)
    done = perf(tmp_path, "--batch=1,5", "-k", "throughput", "-p", "spent", PYTHONPATH=str(tmp_path))
    assert " failed" not in done.stdout, done.stdout + done.stderr
    assert "2 skipped" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("not run")]
    assert " ".join(line.split()) == (
        "not run onnxruntime 2 cases no round of it was started: the budget of 0 s was spent; "
        "give more with --budget, or name fewer cases with --model, --backend, --batch"
    )
    assert done.returncode == 6  # nothing was measured or judged


def test_a_best_batch_of_one_that_was_measured_is_not_run(tmp_path):
    chosen = ("--batch=sweep", "bench/test_best_batch.py", "-p", "tests.brief", "-p", "one")
    (tmp_path / "one.py").write_text(ONE_BATCH)
    done = tiny.run_pytest(tmp_path, *chosen, "--model=tiny", "--backend=onnxruntime", PYTHONPATH=str(tmp_path))
    assert "1 skipped" in done.stdout, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("not run")]
    assert "only batch 1 was measured, and the best is one of several (of batch 4, 8, 16, 32: out of memory)" in line


ONE_BATCH = """
from bench.children import OutOfMemoryError
from bench.rounds import Rounds

take = Rounds.take

def one(self, case, *arguments):
    if case.batch > 1:
        raise OutOfMemoryError("short")
    return take(self, case, *arguments)

Rounds.take = one
"""
INTERRUPT = """
from bench.rounds import Rounds

take, taken = Rounds.take, []

def until_ctrl_c(*arguments):
    if len(taken) == 3:
        raise KeyboardInterrupt
    taken.append(take(*arguments))
    return taken[-1]

Rounds.take = until_ctrl_c
"""


def test_ctrl_c_keeps_the_rounds_that_were_taken_and_their_figures(tmp_path):
    (tmp_path / "interrupt.py").write_text(INTERRUPT)
    chosen = ("-p", "interrupt", "-p", "tests.brief", "-m", "perf", "--model=tiny", "--backend=onnxruntime")
    done = tiny.run_pytest(tmp_path, *chosen, "--batch=1,5", PYTHONPATH=str(tmp_path))
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    found = [entry.record for entry in read(tmp_path / "evidence.jsonl").entries]
    assert sum(isinstance(each, Round) for each in found) == 3
    figures = {each.case.id: each.details["rounds"] for each in found if isinstance(each, Measurement)}
    assert set(figures) == set(CASES)
    assert sum(figures.values()) == 3
    assert "measuring 2 cases in rounds: 2 each, at most 3.5 min" in done.stdout
    assert "interrupted: 3 rounds of 2 cases are kept in the evidence" in done.stdout
    assert found[-1].exitstatus == pytest.ExitCode.INTERRUPTED


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
