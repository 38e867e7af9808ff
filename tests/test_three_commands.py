"""The three commands of the README from end to end: a log of trtexec, a stand-in of the 310, and what judges both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.likeness.axis import AXES
from reports.evidence import read
from reports.measurement import Measurement
from reports.verdict import Verdict
from tests.test_digits import CHECKOUT, DIGITS, Run, judged

RECORDED = CHECKOUT.parent / "shared" / "reference" / "samples" / "trtexec" / "trt7_2_3_t4_edsr256_bs1.txt"
OWN = """\
[07/28/2021-06:56:34] [I] Input binding for image with dimensions 1x8x8x1 is created.
[07/28/2021-06:56:34] [I] === Performance summary ===
[07/28/2021-06:56:34] [I] Throughput: 8000 qps
[07/28/2021-06:56:34] [I] Latency: min = 0.12 ms, max = 0.18 ms, mean = 0.125 ms, median = 0.124 ms, \
percentile(99%) = 0.16 ms
[07/28/2021-06:56:34] [I] GPU Compute Time: min = 0.11 ms, max = 0.17 ms, mean = 0.115 ms, median = 0.114 ms, \
percentile(99%) = 0.15 ms
&&&& PASSED TensorRT.trtexec [TensorRT v8403] # trtexec --onnx=digits.onnx --fp16 --warmUp=500
"""
RULES = '("ascend310_over_t4", "openvino_over_onnxruntime")'
STAND_IN = "ascend310~emulated is a stand-in, and never a device"
NO_ALLOW = "; --allow does not let it through"
HERE = {name: "a test on any host, of any tree" for name in ("rounds", "revision", "guards", "exclusivity")}
"""Axes on which two short rounds of this checkout may be refused, whatever is compared."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a catalogue: the digits at batch 1, with a rule about the 310 and one about processors."""
    folder = tmp_path_factory.mktemp("three")
    shutil.copytree(DIGITS, folder / "catalogue", ignore=shutil.ignore_patterns("__pycache__"))
    model = folder / "catalogue" / "fixtures" / "models" / "digits.py"
    text = model.read_text()
    assert text.count("batches=(1, 4),") == 1
    model.write_text(text.replace("batches=(1, 4),", f"batches=(1,), rules={RULES},"))
    return folder


def run(folder: Path, name: str, *arguments: str) -> Run:
    """Run pytest on the digits, with the evidence in a folder of its own."""
    return judged(folder / name, f"--catalogue={folder / 'catalogue'}", "--model=digits", *arguments)


def judge(folder: Path, name: str, *arguments: str) -> Run:
    """Judge given evidence, and measure nothing."""
    return run(folder, name, "bench/test_comparison.py", "--judge-only", *arguments)


def of_rule(found: Run, rule: str) -> Verdict:
    (verdict,) = (verdict for verdict in found.kind("Verdict") if verdict.rule == rule)
    return verdict


def imported(folder: Path, log: Path, name: str) -> Path:
    """Import a log by the command line; return the evidence."""
    known = {key: value for key, value in os.environ.items() if not key.startswith(("SIGNOFF_", "PYTEST_"))}
    named = ("--model=digits", "--size=8", "--batch=1", "--backend=t4_trtexec", f"--record={folder / name}")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "import", str(log), *named],
        cwd=CHECKOUT,
        env={**known, "SIGNOFF_CATALOGUE": str(folder / "catalogue"), "SIGNOFF_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / name


@pytest.fixture(scope="module")
def t4(folder: Path) -> Path:
    """Return evidence of a T4: a log of trtexec."""
    (folder / "t4.txt").write_text(OWN)
    return imported(folder, folder / "t4.txt", "t4.jsonl")


@pytest.fixture(scope="module")
def npu(folder: Path) -> tuple[Run, Path]:
    """Return a run of the second command on stand-ins, and its benchmark file, which is its evidence."""
    path = folder / "310.json"
    options = ("-m", "accuracy or perf", "--emulate", "--backend=ascend310", f"--benchmark-json={path}")
    return run(folder, "310", *options), path


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Run, Path]:
    """Return a run that compares two stand-ins, and its benchmark file."""
    path = folder / "both.json"
    tests = ("bench/test_comparison.py", "--emulate", "--backend=ascend310,t4_trtexec", f"--benchmark-json={path}")
    return run(folder, "two", *tests), path


def test_the_log_is_evidence_of_a_t4(t4):
    found = [entry.record for entry in read(t4).entries if isinstance(entry.record, Measurement)]
    assert {each.metric for each in found} == {"device_compute", "latency", "throughput"}
    assert {(each.case.id, each.source) for each in found} == {("digits-bs1-t4_trtexec", "imported")}


def test_the_stand_in_is_judged_and_timed_under_a_name_that_says_so(npu):
    found, path = npu
    assert found.status == 0, found.output
    assert found.verdicts("accuracy") == {"digits-bs1-ascend310~emulated": "passed"}
    given = [entry.record for entry in read(path).entries if isinstance(entry.record, Measurement)]
    assert {each.source for each in given} == {"emulated"}
    assert all(each.case.backend.endswith("~emulated") for each in given)
    said = [" ".join(line.split()[:2]) for line in found.output.splitlines() if "  sample  " in line]
    assert said == [
        "passed digits-bs1-ascend310~emulated",  # accuracy
        "passed digits-bs1-ascend310~emulated",  # parity
        "emulated digits-bs1-ascend310~emulated",
    ]
    (line,) = [line for line in found.output.splitlines() if "t4_trtexec is not among --backend" in line]
    assert line.startswith("not run ")


@pytest.fixture(scope="module")
def found(folder: Path, t4: Path, npu: tuple[Run, Path]) -> Run:
    """Return what the third command makes of both."""
    return judge(folder, "judged", "--evidence", str(t4), "--evidence", str(npu[1]))


def test_a_stand_in_is_refused_as_a_device_and_said_to_be_one(found):
    verdict = of_rule(found, "ascend310_over_t4")
    assert (verdict.status, verdict.subject) == ("refused", "digits-bs1-ascend310-over-t4~emulated")
    assert (verdict.case.backend, verdict.against.backend) == ("ascend310~emulated", "t4_trtexec")
    assert f"device: candidate: {STAND_IN}{NO_ALLOW}" in verdict.reason
    assert "baseline: an imported log: no engine, no data, no rounds (model, precision, data, " in verdict.reason
    assert "By the guide's point rule: " in verdict.reason
    assert found.status == pytest.ExitCode.TESTS_FAILED, found.output
    assert "signoff: refused counts as failed; exit status 1" in found.output
    (line,) = [line for line in found.output.splitlines() if line.startswith("refused ")]
    assert line.split()[1] == "digits-bs1-ascend310-over-t4~emulated"
    assert STAND_IN in line
    assert not found.kind("Round"), "something was measured"


def test_a_side_in_no_evidence_is_named(found):
    assert not [line for line in found.output.splitlines() if line.startswith("judged by no test: ")]
    (skip,) = found.kind("Skip")
    assert (skip.backend, skip.cases) == ("openvino", ("digits-bs1-openvino-over-onnxruntime",))
    assert skip.reason == "no evidence of openvino was given"


def test_no_allow_lets_a_stand_in_through(folder, t4, npu):
    everything = [f"--allow={axis}=it is for a test" for axis in AXES]
    found = judge(folder, "allowed", "--evidence", str(t4), "--evidence", str(npu[1]), *everything)
    verdict = of_rule(found, "ascend310_over_t4")
    assert verdict.status == "refused"
    assert verdict.reason.startswith(f"device: candidate: {STAND_IN}{NO_ALLOW}; card ")
    assert "allowed model: it is for a test" in verdict.reason
    assert found.status == pytest.ExitCode.TESTS_FAILED


def test_a_recorded_log_of_a_real_t4_makes_no_device_of_the_other_side(folder, npu):
    if not RECORDED.is_file():
        pytest.skip("the recorded logs are not beside this checkout")
    # It is EDSR's, and tells no shape; that of a shape is refused where it is imported.
    found = judge(
        folder,
        "recorded",
        *("--evidence", str(imported(folder, RECORDED, "recorded.jsonl")), "--evidence", str(npu[1])),
    )
    verdict = of_rule(found, "ascend310_over_t4")
    assert verdict.status == "refused"
    assert STAND_IN in verdict.reason
    assert "size: baseline: its log does not tell the size" in verdict.reason


def test_two_stand_ins_are_no_devices_either(folder, both):
    judged_there, path = both
    judged_again = judge(folder, "both", "--evidence", str(path))
    for found in (judged_there, judged_again):
        verdict = of_rule(found, "ascend310_over_t4")
        other = STAND_IN.replace("ascend310", "t4_trtexec")
        assert f"device: candidate: {STAND_IN}; baseline: {other}{NO_ALLOW}" in verdict.reason
        assert (verdict.status, verdict.subject) == ("refused", "digits-bs1-ascend310-over-t4~emulated")
        assert (verdict.case.backend, verdict.against.backend) == ("ascend310~emulated", "t4_trtexec~emulated")
    assert judged_again.status == pytest.ExitCode.TESTS_FAILED, judged_again.output


@pytest.fixture(scope="module")
def processors(folder: Path) -> list[str]:
    """Return evidence of two runs on this processor, one engine each, as the options that hand it over."""
    options = []
    for backend in ("onnxruntime", "openvino"):
        path = folder / f"{backend}.json"
        tests = ("acceptance/test_accuracy.py", "bench/test_throughput.py")
        found = run(folder, backend, *tests, f"--backend={backend}", f"--benchmark-json={path}")
        assert found.status == 0, found.output
        options.append(f"--evidence={path}")
    return options


@pytest.mark.parametrize("policy", ["interval", "point"])
def test_two_real_runs_come_to_what_a_quick_look_allows(folder, processors, policy):
    allowed = [f"--allow={axis}={why}" for axis, why in HERE.items()]
    found = judge(folder, f"processors {policy}", *processors, *allowed, f"--policy={policy}")
    verdict = of_rule(found, "openvino_over_onnxruntime")
    assert verdict.status == "undecided", verdict.reason
    assert verdict.reason.startswith("quick effort signs nothing off (as it stands it would ")
    assert "; one campaign each" in verdict.reason
    assert "allowed rounds: a test on any host, of any tree" in verdict.reason
    assert found.status == pytest.ExitCode.TESTS_FAILED, found.output
    assert not found.kind("Round"), "something was measured"


def test_two_rounds_of_two_real_runs_are_too_few_to_compare(folder, processors):
    verdict = of_rule(judge(folder, "few", *processors), "openvino_over_onnxruntime")
    assert verdict.status == "refused"
    assert "rounds: candidate: 2 rounds, at least 5 are needed; baseline: 2 rounds" in verdict.reason
    assert "accuracy" not in {clause.partition(":")[0] for clause in verdict.reason.split("; ")}
