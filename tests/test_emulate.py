"""`--emulate`: the whole path of a device host on stand-ins, and nothing of it ever called a device's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.evidence import read
from reports.measurement import Measurement
from reports.round import Round
from tests import tiny

ASCEND = ("--model=tiny", "--backend=ascend310,ascend310p", "--batch=1")


def run(home: Path, *arguments: str, scenario: dict[str, object] | None = None, status: int = 0) -> str:
    home.mkdir(exist_ok=True)
    variables = {}
    if scenario:
        (home / "scenario.json").write_text(json.dumps(scenario))
        variables["SIGNOFF_EMULATOR_SCENARIO"] = str(home / "scenario.json")
    done = tiny.run_pytest(home, *arguments, SIGNOFF_LOCKS=str(home / "locks"), **variables)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def records(home: Path, kind: type) -> list:
    return [entry.record for entry in read(home / "evidence.jsonl").entries if isinstance(entry.record, kind)]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    home = tmp_path_factory.mktemp("emulate")
    return home, run(home, "-m", "accuracy", "--emulate", *ASCEND)


def test_every_id_and_row_says_that_it_is_emulated(judged):
    home, said = judged
    lines = [line for line in said.splitlines() if line.startswith("passed")]
    assert len(lines) == 4
    assert all("~emulated" in line for line in lines)
    found = records(home, Measurement)
    assert {each.case.backend for each in found} == {"ascend310~emulated", "ascend310p~emulated"}
    assert {each.source for each in found} == {"emulated"}
    assert all(each.engine["recipe"]["emulated"] is True for each in found)


def test_without_it_one_line_says_why_not(tmp_path):
    said = run(tmp_path, "-m", "accuracy", "--model=tiny", "--batch=1")
    lines = [" ".join(line.split()) for line in said.splitlines() if line.startswith("not run")]
    (ascend,) = [line for line in lines if "ascend310p," in line]
    assert "CANN: expected" in ascend
    assert "name its set_env.sh with --ascend-env=FILE" in ascend


def test_a_named_backend_is_required_under_either_name(tmp_path):
    said = run(tmp_path, "-m", "accuracy", *ASCEND, status=1)
    assert "ascend310 was asked for by name, so that not running it is a failure" in said


def test_a_crash_of_one_case_leaves_the_others_their_figures(tmp_path):
    options = ("-m", "accuracy", "--emulate", "--model=tiny", "--backend=ascend310,onnxruntime", "--batch=1")
    said = run(tmp_path, *options, scenario={"acl": {"fault": "crash", "after": 2}}, status=1)
    assert "passed tiny-bs1-onnxruntime" in " ".join(said.split())
    assert "tiny-bs1-ascend310~emulated" in said
    assert "killed by SIGABRT" in said
    assert {each.case.backend for each in records(tmp_path, Measurement)} == {"onnxruntime"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"atc": {"fault": "code", "code": "EZ3003"}}, ("EZ3003", "ascend310~emulated")),
        ({"atc": {"fault": "partial"}}, ("an OM cut off", "make room on that disk, and build again")),
        ({"acl": {"fault": "oom_load"}}, ("memory",)),
    ],
    ids=["unsupported", "partial", "memory"],
)
def test_what_goes_wrong_is_said_in_a_sentence(tmp_path, fault, words):
    said = run(tmp_path, "-m", "accuracy", "--emulate", *ASCEND[:1], "--backend=ascend310", scenario=fault, status=1)
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_a_device_in_use_is_judged_and_not_timed(tmp_path):
    options = ("--emulate", "--model=tiny", "--backend=ascend310", "--batch=1", "--device=0")
    scenario = {"state": "process"}
    said = run(tmp_path, "-m", "accuracy", *options, scenario=scenario)
    assert "ascend310~emulated, device 0:" in said
    said = run(tmp_path, "-m", "perf", *options, scenario=scenario, status=1)
    assert "expected device 0 (" in said
    assert "4242424" in said  # who uses it
    assert records(tmp_path, Round) == []


def test_times_of_a_stand_in_are_emulated_and_its_card_is_extrapolated(tmp_path):
    short = ("-p", "tests.brief")
    said = run(tmp_path, *short, "-m", "perf", "--emulate", "--model=tiny", "--backend=ascend310", "--batch=1")
    (line,) = [line for line in said.splitlines() if line.startswith("emulated")]
    assert "x4, extrapolated from one device" in line
    assert {each.source for each in records(tmp_path, Measurement)} == {"emulated"}


def test_a_failed_figure_in_fp16_comes_with_what_to_try(tmp_path):
    options = ("-m", "accuracy", "--emulate", "--model=tiny", "--backend=ascend310", "--batch=1")
    said = run(tmp_path, *options, scenario={"acl": {"bias": 1.0, "noise": 50.0}}, status=1)
    assert "to try" in said
    assert "keep_dtype" in said
    assert "force_fp32" in said
