"""`pytest -m accuracy` as a user runs it: what it prints, its exit status, and what is left when it is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fixtures.model import SAMPLE
from reports.evidence import read
from tests import tiny


def accuracy(home: Path, *arguments: str, **variables: str):
    return tiny.run_pytest(home, "-m", "accuracy", *arguments, **variables)


def judge_tiny(home: Path, *arguments: str, **variables: str):
    return accuracy(home, "--model=tiny", "--backend=onnxruntime", *arguments, **variables)


def summary(output: str) -> list[str]:
    """Return the lines of our own section."""
    _, _, section = output.partition(" sign-off ")
    return [line for line in section.splitlines()[1:] if not line.startswith("=")]


def verdicts(home: Path) -> dict[str, str]:
    found = [entry.record for entry in read(home / "evidence.jsonl").entries if entry.kind == "verdict"]
    return {f"{verdict.rule} {verdict.case.id}": verdict.status for verdict in found}


def test_says_in_a_line_per_verdict_what_was_judged_on_what_and_how_close_it_was(tmp_path):
    done = judge_tiny(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [line for line in summary(done.stdout) if line.startswith("passed")]
    assert len(passed) == 4
    assert re.fullmatch(
        r"passed +tiny-bs1-onnxruntime +sample +accuracy +91\.667 points, 12 images of vectors; "
        r"equal to the sample reference 91\.667 points, equal to its own fp32",
        passed[0],
    )
    assert "equal to fp32 by onnxruntime" in passed[2]
    assert f"evidence   {tmp_path / 'evidence.jsonl'} (2 measurements, 4 verdicts)" in done.stdout


def test_a_failing_gate_shows_limit_margin_worst_images_and_evidence_and_exits_with_1(tmp_path):
    tiny.write(tmp_path / "catalogue", figure=tiny.FIGURE + 2)
    done = judge_tiny(tmp_path, "--batch=1")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    for expected in (
        "must hold at most 0.5 points below the sample reference, 93.667 points",
        "observed 91.66",
        "margin -1.5 points",
        "worst images (top1) 11.json 0",
        f"evidence {tmp_path / 'evidence.jsonl'}",
    ):
        assert expected in text
    assert verdicts(tmp_path) == {
        "accuracy tiny-bs1-onnxruntime": "failed",
        "parity tiny-bs1-onnxruntime": "passed",
    }


def test_an_engine_that_is_off_fails_both_gates(tmp_path):
    done = accuracy(tmp_path, "--model=tiny", "--backend=faulty", "--batch=1", FAULT="", OFFSET="nan")
    assert done.returncode == 1
    assert done.stdout.count("NaN or infinity in the output of 12 of 12 images of vectors, first 00.json") >= 2


def test_a_subset_is_refused_and_said_to_be_one(tmp_path):
    done = judge_tiny(tmp_path, "--batch=1", "--subset=4")
    refused, _ = [line for line in summary(done.stdout) if line.startswith("refused")]
    assert "4 of 12 images of vectors" in refused
    assert refused.endswith("does not apply: a subset of 4 of 12 images")
    assert all("4 of 12 images" in line for line in summary(done.stdout) if line.startswith("passed"))
    assert [line for line in summary(done.stdout) if line][-1].startswith("refused    1 accuracy verdict: ")


def test_junit_carries_the_verdict(tmp_path):
    judge_tiny(tmp_path, "--batch=1", f"--junitxml={tmp_path / 'junit.xml'}")
    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")}
    found = {p.get("name"): p.get("value") for p in cases["test_accuracy[tiny-bs1-onnxruntime]"].iter("property")}
    assert {name: found[name] for name in ("metric", "unit", "verdict")} == {
        "metric": "top1",
        "unit": "points",
        "verdict": "passed",
    }
    assert float(found["value"]) == pytest.approx(tiny.FIGURE)
    assert float(found["limit"]) == pytest.approx(tiny.FIGURE - 0.5)
    assert float(found["margin"]) == pytest.approx(0.5)


def test_a_second_run_builds_and_references_nothing_anew(tmp_path):
    judge_tiny(tmp_path, "--batch=1")
    before = {path: path.stat().st_ino for path in (tmp_path / "engines").glob("*/engine.json")}
    assert judge_tiny(tmp_path, "--batch=1").returncode == 0
    after = {path: path.stat().st_ino for path in (tmp_path / "engines").glob("*/engine.json")}
    assert before == after
    assert len(before) == 3  # the plain engine, its outputs, and the engine that is judged


def test_ctrl_c_keeps_the_evidence_so_far_and_leaves_no_half_work(tmp_path):
    started = tiny.start_pytest(
        tmp_path, "-m", "accuracy", "--model=tiny", "--backend=faulty", "--batch=1,5", FAULT="", PAUSE_AT_BATCH="5"
    )
    record = tmp_path / "evidence.jsonl"
    with started:
        while started.poll() is None and not (record.exists() and '"kind": "verdict"' in record.read_text()):
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        output, errors = started.communicate()
    assert started.returncode == pytest.ExitCode.INTERRUPTED, output + errors
    assert "KeyboardInterrupt" in output
    assert verdicts(tmp_path) == {"accuracy tiny-bs1-faulty": "passed"}
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert (lines[-1]["kind"], lines[-1]["exitstatus"]) == ("end", 2)
    assert any(line.startswith("passed     tiny-bs1-faulty") for line in summary(output))
    assert not list((tmp_path / "engines").glob(".building*"))


def test_kill_9_keeps_the_evidence_so_far(tmp_path):
    started = tiny.start_pytest(
        tmp_path, "-m", "accuracy", "--model=tiny", "--backend=faulty", "--batch=1,5", FAULT="", PAUSE_AT_BATCH="5"
    )
    record = tmp_path / "evidence.jsonl"
    with started:
        while started.poll() is None and not (record.exists() and '"kind": "verdict"' in record.read_text()):
            time.sleep(0.02)
        os.kill(started.pid, signal.SIGKILL)
        started.communicate()
    assert verdicts(tmp_path) == {"accuracy tiny-bs1-faulty": "passed"}
    # and the next run goes on in the same file, on the same store
    assert judge_tiny(tmp_path, "--batch=1").returncode == 0
    assert len(read(record).entries) > 3


def test_a_wrong_path_is_said_once_with_the_next_step(tmp_path):
    done = judge_tiny(tmp_path, f"--data=vectors={tmp_path / 'nowhere'}")
    assert done.returncode == 1
    failure, _, section = done.stdout.partition(" sign-off ")
    for part in (failure, section):
        assert part.count("no such folder") == 1
        assert part.count("name another folder with `--data vectors=DIR`") == 1
    assert section.count("not run") == 1
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "engines").exists()


def test_a_missing_official_checkpoint_or_data_set_is_said_once(tmp_path):
    done = accuracy(tmp_path, "--profile=official", "--model=edsr", "--backend=onnxruntime")
    assert done.returncode == 1
    message = "run `python -m fixtures fetch div2k`, or name another folder with `--data div2k=DIR`"
    assert [part.count(message) for part in done.stdout.split(" sign-off ")] == [1, 1]
    assert "Traceback" not in done.stdout


def test_a_missing_checkpoint_is_said_once(tmp_path):
    (tiny.write(tmp_path / "catalogue") / "tiny.onnx").unlink()
    done = judge_tiny(tmp_path)
    assert done.returncode == 1
    full = [line for line in done.stdout.splitlines() if "tiny.onnx" in line and not line.startswith("FAILED")]
    assert full
    assert "1 failed" in done.stdout
    assert "3 skipped" in done.stdout
    (line,) = [line for line in summary(done.stdout) if line.startswith("not run")]
    assert line.startswith("not run    onnxruntime  2 cases  ")
    assert "Traceback" not in done.stdout


def test_a_named_backend_that_is_missing_fails(tmp_path):
    done = accuracy(tmp_path, "--model=tiny", "--backend=absent", "--batch=1")
    assert done.returncode == 1
    assert "absent is not run here: its driver is not installed; install the driver" in done.stdout
    assert "absent was asked for by name, so that not running it is a failure" in done.stdout


def test_a_backend_that_is_required_fails_without_leaving_out_the_others(tmp_path):
    done = accuracy(tmp_path, "--model=tiny", "--require=absent", "--batch=1")
    assert done.returncode == 1
    assert verdicts(tmp_path)["accuracy tiny-bs1-onnxruntime"] == "passed"


def test_a_backend_that_is_missing_and_not_named_takes_one_line(tmp_path):
    done = accuracy(tmp_path, "--model=tiny")
    assert done.returncode == 0, done.stdout
    lines = [line for line in summary(done.stdout) if "absent" in line]
    assert len(lines) == 1
    assert re.fullmatch(r"not run +absent +2 cases +its driver is not installed; install the driver", lines[0])


def test_nothing_that_can_be_run_here_is_no_success(tmp_path):
    assert accuracy(tmp_path, "--model=tiny", "--backend=torch", "--batch=1").returncode == 1


needs_enet = pytest.mark.skipif(
    not (SAMPLE / "checkpoints" / "enet.safetensors").exists(), reason="the sample checkpoint of ENet is not there"
)


@needs_enet
def test_judges_enet_on_the_shipped_sample(tmp_path):
    pytest.importorskip("torch")
    done = accuracy(tmp_path, "--model=enet", "--backend=onnxruntime", "--batch=4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(verdicts(tmp_path).values()) == {"passed"}
    assert "10 images of street_scenes; equal to the sample reference" in done.stdout
    measured = [entry.record for entry in read(tmp_path / "evidence.jsonl").entries if entry.kind == "measurement"]
    assert len(measured) == 1
    assert len(measured[0].per_class) == 19
