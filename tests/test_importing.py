from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import imported, importing
from bench.__main__ import main as bench
from bench.logs import recognition
from bench.logs.reading import LogError
from fixtures import catalogue
from reports import evidence
from reports.measurement import Measurement
from reports.run import End, Run
from tests.conftest import CHECKOUT

SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "samples"

T4 = """\
[07/28/2021-06:56:34] [I] Input binding for input.1 with dimensions {batch}x3x256x256 is created.
[07/28/2021-06:56:34] [I] === Performance summary ===
[07/28/2021-06:56:34] [I] Throughput: 80 qps
[07/28/2021-06:56:34] [I] Latency: min = 12 ms, max = 18 ms, mean = 12.5 ms, median = 12.4 ms, percentile(99%) = 16 ms
[07/28/2021-06:56:34] [I] GPU Compute Time: min = 11 ms, max = 17 ms, mean = 11.5 ms, median = 11.4 ms, \
percentile(99%) = 15 ms
&&&& PASSED TensorRT.trtexec [TensorRT v8403] # trtexec --onnx=edsr.onnx --fp16 --warmUp=500
"""
ASCEND = """\
[INFO] try get model batchsize:4
[INFO] NPU_compute_time (ms): min = 30.0, max = 34.0, mean = 32.0, median = 31.0, percentile(99%) = 33.9
[INFO] throughput 1000*batchsize.mean(4)/NPU_compute_time.mean(32.0): 125.0
"""
PURE = "[INFO] ave_throughputRate: 22.3706samples/s, ave_latency: 44.7073ms\n"
TWO_DEVICES = """\
[INFO] NPU_compute_time (ms): min = 1.0, max = 3.0, mean = 2.0, median = 2.0, percentile(99%) = 2.9
[INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(2.0): 500.0
[INFO] NPU_compute_time (ms): min = 3.0, max = 5.0, mean = 4.0, median = 4.0, percentile(99%) = 4.9
[INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(4.0): 250.0
i:1 device_1 throughput:500.0 start_time:1.0 end_time:2.0
i:0 device_0 throughput:250.0 start_time:1.0 end_time:2.0
[INFO] summary throughput:750.0
"""


@pytest.fixture(autouse=True)
def stand_ins(tmp_path: Path, registries: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Backends that the tools run, under names of their own."""
    folder = tmp_path / "catalogue"
    (folder / "fixtures" / "backends").mkdir(parents=True)
    for tool in recognition.SIGNS:
        text = f"from fixtures.backend import Backend\nBACKEND = Backend('stand_in_{tool}', '{tool}', 'fp16')\n"
        (folder / "fixtures" / "backends" / f"stand_in_{tool}.py").write_text(text)
    monkeypatch.setenv("SIGNOFF_CATALOGUE", str(folder))
    catalogue.extend([folder])
    return folder


class Imported:
    def __init__(self, folder: Path):
        self.folder = folder
        self.record = folder / "evidence.jsonl"

    def write(self, text: str, name: str = "log.txt") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def run(self, *paths: Path, tool: str = "trtexec", batch: int = 1, **more: Any) -> int:
        named = {"model": "edsr", "size": 256, "batch": batch, "backend": f"stand_in_{tool}", "record": self.record}
        options = [f"--{name}={value}" for name, value in {**named, **more}.items()]
        return importing.main([*map(str, paths), *options])

    def taken(self) -> list[Measurement]:
        return [e.record for e in evidence.read(self.record).entries if isinstance(e.record, Measurement)]

    def values(self) -> dict[str, float]:
        return {measurement.metric: measurement.value for measurement in self.taken()}


@pytest.fixture
def logs(tmp_path: Path) -> Imported:
    return Imported(tmp_path)


def test_a_trtexec_log_becomes_three_figures_with_their_provenance(logs: Imported) -> None:
    path = logs.write(T4.format(batch=4))
    assert logs.run(path, batch=4, note="taken by hand") == 0
    assert logs.values() == {"device_compute": 11.5, "latency": 12.5, "throughput": 320}
    compute, latency, throughput = logs.taken()
    assert {m.source for m in logs.taken()} == {"imported"}
    assert (compute.unit, latency.unit, throughput.unit) == ("ms", "ms", "images/s")
    assert compute.case.id == "edsr-256-bs4-stand_in_trtexec"
    assert compute.details["log"] == {"name": "log.txt", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert compute.details["statistics_ms"] == {"min": 11, "max": 17, "mean": 11.5, "median": 11.4, "p99": 15}
    assert (compute.details["statistic"], compute.details["per"]) == ("mean", "device")
    assert (compute.details["tool"], compute.details["version"]) == ("trtexec", "8.4.3")
    assert compute.details["command"] == "trtexec --onnx=edsr.onnx --fp16 --warmUp=500"
    assert compute.details["facts"]["logged"] == "07/28/2021-06:56:34"
    assert throughput.details["formula"] == "printed qps x batch 4, a query is an execution"
    assert not any(str(logs.folder) in json.dumps(m.details) for m in logs.taken())
    assert compute.notes[-1] == "taken by hand"


def test_evidence_is_whole_and_shown(logs: Imported) -> None:
    assert logs.run(logs.write(T4.format(batch=1))) == 0
    records = [entry.record for entry in evidence.read(logs.record).entries]
    assert isinstance(records[0], Run)
    assert isinstance(records[-1], End)
    done = subprocess.run(
        [sys.executable, "-m", "reports", "show", str(logs.record)], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "imported" in done.stdout
    assert "edsr-256-bs1-stand_in_trtexec" in done.stdout
    assert "not of a card" in done.stdout


def test_an_ais_bench_log_becomes_figures_of_one_device(logs: Imported) -> None:
    assert logs.run(logs.write(ASCEND), tool="ais_bench", batch=4) == 0
    assert logs.values() == {"device_compute": 32, "throughput": 125}
    assert logs.taken()[1].details["formula"].startswith("1000 x batch 4 / NPU_compute_time mean")


def test_a_summary_file_brings_its_samples(logs: Imported) -> None:
    block = {"min": 1.0, "max": 3.0, "mean": 2.0, "median": 2.0, "percentile(99%)": 2.98, "count": 3}
    document = {"NPU_compute_time": block, "throughput": 500.0, "npu_compute_time_list": [1.0, 3.0, 2.0]}
    assert logs.run(logs.write(json.dumps(document)), tool="ais_bench") == 0
    assert logs.taken()[0].details["samples_ms"] == [1, 3, 2]


def test_devices_that_ran_together_stay_apart(logs: Imported) -> None:
    assert logs.run(logs.write(TWO_DEVICES), tool="ais_bench") == 0
    rates = {m.details["device"]: m.value for m in logs.taken() if m.metric == "throughput"}
    assert rates == {1: 500, 0: 250}


def test_a_benchmark_log_becomes_the_rate_of_one_device(logs: Imported) -> None:
    assert logs.run(logs.write(PURE), tool="benchmark") == 0
    assert logs.values() == {"throughput": 22.3706}
    assert logs.taken()[0].details["latency_per_sample_ms"] == 44.7073


def test_times_give_the_samples_without_the_warm_up(logs: Imported) -> None:
    queries = [
        {"startComputeMs": start, "endComputeMs": start + 11.5, "computeMs": value, "latencyMs": value + 1}
        for start, value in ((10, 90.0), (499, 80.0), (500, 11.4), (600, 11.6), (700, 11.4))
    ]
    times = logs.write(json.dumps(queries), "times.json")
    assert logs.run(logs.write(T4.format(batch=1)), times=times) == 0
    compute = logs.taken()[0]
    assert compute.details["samples_ms"] == [11.4, 11.6, 11.4]
    assert compute.value == pytest.approx(34.4 / 3)
    assert compute.details["facts"]["warmup_dropped"] == 2
    assert compute.details["times"]["name"] == "times.json"
    assert "times_disagree" in compute.details["flags"]  # 11.5 is printed


def test_zero_qps_of_7_is_unknown_and_the_rate_comes_from_compute(logs: Imported) -> None:
    text = "[I] Host Latency\n[I] mean: 9 ms\n[I] throughput: 0 qps\n[I] GPU Compute\n[I] mean: 8 ms\n"
    assert logs.run(logs.write(text), batch=2) == 0
    assert logs.values()["throughput"] == 250
    assert "zero_qps" in logs.taken()[0].details["flags"]


def test_a_rate_that_counts_samples_is_not_multiplied_again(logs: Imported) -> None:
    end = "&&&& PASSED TensorRT.trtexec [TensorRT v8400] # trtexec --loadEngine=m.trt --batch=16\n"
    text = f"[I] Throughput: 7733.33 qps\n[I] GPU Compute Time: mean = 2 ms\n{end}"
    assert logs.run(logs.write(text), batch=16) == 0
    assert logs.values()["throughput"] == 7733.33


def test_an_excerpt_that_does_not_tell_what_a_query_is_uses_compute(logs: Imported) -> None:
    assert logs.run(logs.write("Throughput: 400 qps\nGPU Compute Time: mean = 2 ms\n"), batch=16) == 0
    assert logs.values() == {"device_compute": 2, "throughput": 8000}


def test_a_rate_that_contradicts_its_own_mean_is_left_out(logs: Imported) -> None:
    line = "throughput 1000*batchsize(16)/NPU_compute_time.mean(10.348920078277589): 112.53\n"
    assert logs.run(logs.write(line), tool="ais_bench", batch=16) == 0
    assert logs.values() == {"device_compute": 10.348920078277589}
    assert "throughput_disagrees" in logs.taken()[0].details["flags"]


def test_a_rate_that_contradicts_its_own_trace_is_left_out(logs: Imported) -> None:
    text = "Timing trace has 1000 queries over 2 s\nThroughput: 700 qps\nGPU Compute Time: mean = 2 ms\n"
    assert logs.run(logs.write(text)) == 0
    assert logs.values() == {"device_compute": 2}


def test_a_log_that_was_edited_is_imported_with_its_flags(logs: Imported, capsys) -> None:
    assert logs.run(logs.write("GPU Compute\nmin: 4 ms\nmax: 3 ms\nmean: 3.5 ms\n")) == 0
    assert logs.taken()[0].details["flags"][0] == "gpu_compute_min_above_max"
    assert "flagged: gpu_compute_min_above_max" in logs.taken()[0].notes[-1]
    assert "flagged: log.txt: gpu_compute_min_above_max" in capsys.readouterr().err


def test_several_logs_are_several_measurements_of_one_case(logs: Imported) -> None:
    paths = [logs.write(T4.format(batch=1).replace("80 qps", f"{rate} qps"), f"{rate}.txt") for rate in (80, 81)]
    assert logs.run(*paths) == 0
    assert [m.value for m in logs.taken() if m.metric == "throughput"] == [80, 81]


def test_evidence_is_appended_to(logs: Imported) -> None:
    path = logs.write(T4.format(batch=1))
    assert logs.run(path) == logs.run(path) == 0
    assert len(logs.taken()) == 6


def test_evidence_without_a_name_goes_where_runs_leave_theirs(logs: Imported, monkeypatch, capsys) -> None:
    monkeypatch.setattr(importing, "RUNS", logs.folder / "runs")
    named = ["--model=edsr", "--size=256", "--batch=1", "--backend=stand_in_benchmark"]
    assert importing.main([str(logs.write(PURE)), *named]) == 0
    [record] = (logs.folder / "runs").iterdir()
    assert f"1 figures in {record}" in capsys.readouterr().out


def test_a_log_of_powershell_is_read(logs: Imported) -> None:
    path = logs.folder / "wide.txt"
    path.write_text(T4.format(batch=1), encoding="utf-16")
    assert logs.run(path) == 0
    assert logs.values()["device_compute"] == 11.5


FAILED = T4.format(batch=1).replace("PASSED", "FAILED")
PASSED_BY = "&&&& PASSED TensorRT.trtexec [TensorRT v101600] # trtexec --skipInference\n"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("nothing of the kind\n", {}, ("prints beside its figures", "--tool")),
        (T4 + ASCEND, {}, ("signs of trtexec and of ais_bench", "--tool")),
        (PASSED_BY, {}, ("expected a figure", "no performance summary")),
        (FAILED, {}, ("expected a run that passed", "failed")),
        (T4.format(batch=4), {}, ("expected an input of 1x3x256x256", "found 4x3x256x256")),
        (T4.format(batch=1), {"size": 1020}, ("expected an input of 1x3x1020x1020", "1x3x256x256")),
        (ASCEND, {"tool": "ais_bench"}, ("expected batch 1", "found 4", "the batch of the model")),
        (PURE + "benchmark -batch_size=4", {"tool": "benchmark"}, ("expected batch 1", "found 4")),
        (ASCEND, {"batch": 4}, ("expected a log of trtexec", "found one of ais_bench", "stand_in_ais_bench")),
        ("[ERROR] acl open device 9 failed\nNPU_compute_time\n", {"tool": "ais_bench"}, ("acl open device 9 failed",)),
        (T4, {"model": "edrs"}, ("did you mean 'edsr'",)),
        (T4, {"backend": "stand_in_trtexek"}, ("did you mean 'stand_in_trtexec'",)),
        (T4, {"profile": "officiel"}, ("did you mean 'official'",)),
        ("[e2e] throughputRate: 170.628, latency: 293035\n", {"tool": "benchmark"}, ("expected a figure", "Interface")),
        ("[INFO] summary throughput:557.93 NPU_compute_time", {"tool": "ais_bench"}, ("total_of_devices",)),
        ('{"NPU_compute_time": 3}', {"tool": "ais_bench"}, ("log.txt: summary: expected",)),
    ],
)
def test_what_cannot_be_imported_says_why_and_records_nothing(logs: Imported, capsys, text, options, words) -> None:
    assert logs.run(logs.write(text), **options) == 1
    said = capsys.readouterr().err
    assert not [word for word in words if word not in said], said
    assert not logs.record.exists()


def test_one_bad_log_keeps_all_of_them_out(logs: Imported) -> None:
    assert logs.run(logs.write(T4.format(batch=1)), logs.write(PASSED_BY, "empty.txt")) == 1
    assert not logs.record.exists()


def test_the_same_log_twice_is_refused(logs: Imported, capsys) -> None:
    assert logs.run(logs.write(T4.format(batch=1)), logs.write(T4.format(batch=1), "copy.txt")) == 1
    assert "found the content of log.txt" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_refused(logs: Imported, capsys, kind: str) -> None:
    path = logs.folder / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    assert logs.run(path) == 1
    assert "expected a log file" in capsys.readouterr().err


def test_a_file_too_large_for_a_log_is_refused(logs: Imported, monkeypatch, capsys) -> None:
    monkeypatch.setattr(imported, "LARGEST_BYTES", 10)
    assert logs.run(logs.write(PURE)) == 1
    assert "cut out the run" in capsys.readouterr().err


def test_a_record_that_cannot_be_written_is_said_before_success(logs: Imported, capsys) -> None:
    assert logs.run(logs.write(T4.format(batch=1)), record=logs.folder / "none" / "file.jsonl") == 1
    assert "expected to write evidence" in capsys.readouterr().err


def test_the_tool_may_be_named(logs: Imported) -> None:
    text = T4.format(batch=1) + "a comment on NPU_compute_time\n"
    assert logs.run(logs.write(text)) == 1
    named = ["--model=edsr", "--size=256", "--batch=1", "--backend=stand_in_trtexec", "--tool=trtexec"]
    assert importing.main([str(logs.write(text)), *named, f"--record={logs.record}"]) == 0


def test_samples_belong_to_one_log_of_trtexec(logs: Imported, capsys) -> None:
    times = logs.write("[]", "times.json")
    assert logs.run(logs.write(PURE), tool="benchmark", times=times) == 1
    assert "expected a log of trtexec" in capsys.readouterr().err
    assert logs.run(logs.write("a"), logs.write("b", "b"), times=times) == 1
    assert "expected one log" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["batch", "size"])
def test_a_batch_or_size_below_one_is_refused(logs: Imported, option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        logs.run(logs.write(PURE), **{option: 0})


def test_the_command_is_found_by_its_name(logs: Imported, capsys, stand_ins: Path) -> None:
    named = ["--model=edsr", "--size=256", "--batch=1", "--backend=stand_in_benchmark", f"--record={logs.record}"]
    assert bench(["import", str(logs.write(PURE)), *named]) == 0
    assert bench([]) == 2
    assert bench(["--help"]) == 0
    assert "import" in capsys.readouterr().out


@pytest.mark.parametrize(("tool", "text"), [("trtexec", T4), ("ais_bench", ASCEND), ("benchmark", PURE)])
def test_a_tool_is_known_by_what_it_prints(tool: str, text: str) -> None:
    assert recognition.tool(text) == tool


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected samples are not on this host")
@pytest.mark.parametrize("tool", ["trtexec", "ais_bench"])
def test_every_sample_with_a_figure_is_known(tool: str) -> None:
    for path in sorted(SAMPLES.joinpath(tool).iterdir()):
        text = path.read_text(errors="replace")
        if "Performance" in text and path.name != "index.json":
            assert recognition.tool(text) == tool, path.name


def test_an_empty_text_is_of_no_tool() -> None:
    with pytest.raises(LogError, match="expected what one of"):
        recognition.tool("")


def test_what_a_stand_in_printed_is_nobodys_figure(logs: Imported, capsys) -> None:
    log = logs.write("signoff emulator: trtexec, nothing here was measured\n" + T4.format(batch=1))
    assert logs.run(log) == 1
    assert "expected a log of stand_in_trtexec, found one of a stand-in" in capsys.readouterr().err
    assert logs.run(log, backend="stand_in_trtexec~emulated") == 0
