"""`--plan`: what a run would do, and nothing of it done."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.plan import Rounds

CHECKOUT = Path(__file__).resolve().parents[1]
DIGITS = CHECKOUT / "tests" / "digits"

NOISE = (
    "noise of onnxruntime: 5 % (no accelerator: the prior); shows 14.9 % between two such hosts, 12.0 % with three "
    "campaigns each; 5 % cannot be shown"
)


@pytest.fixture
def plan(tmp_path):
    """Return a function that runs pytest in the checkout, by default as a plan, and returns its words line by line."""

    def run(*arguments: str, catalogue: Path = DIGITS, planned: bool = True, status: int = 0) -> list[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SIGNOFF_", "PYTEST_"))
        }
        record = f"--record={tmp_path / 'evidence.jsonl'}"
        options = ("-p", "no:cacheprovider", f"--catalogue={catalogue}", record, *(["--plan"] * planned))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=CHECKOUT,
            env={**environment, "SIGNOFF_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return [" ".join(line.split()) for line in done.stdout.splitlines() if line.startswith(("  ", "plan:"))]

    return run


def test_says_of_every_test_what_would_be_made_and_makes_nothing(plan, tmp_path):
    lines = plan("--model", "digits", "--backend", "onnxruntime")
    build = f"build in {tmp_path / 'home' / 'engines'}, then run"
    assert lines == [
        f"build test_accuracy[digits-bs1-onnxruntime] {build}",
        f"build test_accuracy[digits-bs4-onnxruntime] {build}",
        "run test_parity[digits-bs1-onnxruntime] the engine built above",
        "run test_parity[digits-bs4-onnxruntime] the engine built above",
        "run test_throughput[digits-bs1-onnxruntime] the engine built above",
        "run test_throughput[digits-bs4-onnxruntime] the engine built above",
        NOISE,
        "plan: 2 build, 4 run; 4 that were not timed on this host before; nothing was run",
    ]
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_in_the_store_is_used(plan):
    chosen = ("--model", "digits", "--backend", "onnxruntime", "--batch", "4", "-m", "accuracy")
    plan(*chosen, planned=False)
    lines = plan(*chosen)
    assert re.fullmatch(
        r"run test_accuracy\[digits-bs4-onnxruntime\] engine [0-9a-f]{20}, built in \d+\.\d s, about 1 s", lines[0]
    )
    assert lines[-1] == "plan: 2 run; about 1 s; nothing was run"


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="exporting needs torch")
def test_a_network_that_is_not_exported_yet_is_exported_first(plan, tmp_path):
    lines = plan("--model", "edsr", "--backend", "onnxruntime", "--batch", "1", "-m", "perf")
    build = f"export to ONNX and build in {tmp_path / 'home' / 'engines'}, then run"
    assert lines == [
        "compare edsr-256-bs1-openvino-over-onnxruntime not run: openvino is not among --backend",
        f"build test_throughput[edsr-256-bs1-onnxruntime] {build}",
        NOISE,
        "plan: 1 build; 1 that were not timed on this host before; nothing was run",
    ]


def test_a_backend_that_cannot_run_takes_one_line(plan):
    lines = plan("--model", "digits", "--backend", "torch", "--batch", "1,4", status=1)
    reason = "digits is given as an ONNX file only; leave it out: --backend onnxruntime"
    assert lines == [f"error torch, 2 cases {reason}", "plan: 5 error; nothing was run"]


def test_what_would_be_an_error_is_told(plan, tmp_path):
    folder = tmp_path / "copied"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "digits.onnx").unlink()
    chosen = ("--model", "digits", "--backend", "onnxruntime", "--batch", "4", "-m", "accuracy")
    lines = plan(*chosen, catalogue=folder, status=1)
    assert lines[0].startswith("error test_accuracy[digits-bs4-onnxruntime] digits: expected the checkpoint at")
    assert lines[-1] == "plan: 2 error; nothing was run"
    shutil.rmtree(folder / "handwritten")
    assert plan(*chosen, catalogue=folder, status=1)[0].endswith(f"no data at {folder / 'handwritten'}")


def test_the_benchmark_file_of_an_earlier_run_stays(plan, tmp_path):
    earlier = tmp_path / "benchmarks.json"
    earlier.write_text("{}")
    plan("--model", "digits", f"--benchmark-json={earlier}")
    assert earlier.read_text() == "{}"


def test_a_sweep_by_itself_is_told_and_is_not_nothing(plan):
    lines = plan("bench/test_best_batch.py", "--model", "digits", "--backend", "onnxruntime", "--batch=sweep")
    assert lines == [
        "sweep digits-onnxruntime the best of 5 batches again, in 5 fresh rounds",
        "plan: nothing beside that; nothing was run",
    ]


def test_nothing_selected_is_said(plan):
    lines = plan(
        "--model",
        "digits",
        "-m",
        "not accuracy and not perf and not published",
        status=pytest.ExitCode.NO_TESTS_COLLECTED,
    )
    assert lines == ["plan: nothing selected; nothing was run"]


@pytest.mark.parametrize(
    ("seconds", "spread", "budget", "lasts"),
    [(40.0, 0.0, None, 40.0), (40.0, 600.0, None, 600.0), (900.0, 600.0, None, 900.0), (900.0, 600.0, 210.0, 210.0)],
)
def test_rounds_last_as_long_as_they_are_spread_and_no_longer_than_the_budget(seconds, spread, budget, lasts):
    assert Rounds(5, spread_seconds=spread, budget_seconds=budget).lasts(seconds) == lasts


def test_a_night_takes_at_least_the_time_its_rounds_are_spread_over(plan):
    chosen = ("--model", "digits", "--backend", "onnxruntime", "--batch", "4", "-m", "perf")
    plan(*chosen, "-p", "tests.brief", planned=False)
    looked = plan(*chosen)
    assert looked[-1].startswith("plan: 1 run; about ")
    assert "10 min" not in looked[-1]
    # A look is no measure of how long a round of a night takes.
    assert plan(*chosen, "--effort=nightly")[-1] == (
        "plan: 1 run; about 10 min and 1 that were not timed on this host before; nothing was run"
    )


def test_is_not_made_by_workers(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--plan", "-n", "2"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--plan: expected one process, found workers of xdist; leave out -n" in done.stderr
