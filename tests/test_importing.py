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
from bench.logs import figures, recognition, trtexec
from bench.logs.reading import LogError
from fixtures import catalogue
from reports import evidence
from reports.measurement import Measurement
from reports.run import End, Run
from tests.conftest import CHECKOUT
from tests.effort import at_most

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
        options = {"compute_capability": "7.5"} if tool == "trtexec" else {}
        made = f"Backend('stand_in_{tool}', '{tool}', 'fp16', options={options})"
        text = f"from fixtures.backend import Backend\nBACKEND = {made}\n"
        (folder / "fixtures" / "backends" / f"stand_in_{tool}.py").write_text(text)
    for precision in ("fp32", "int8"):
        made = f"Backend('stand_in_{precision}', 'trtexec', '{precision}')"
        text = f"from fixtures.backend import Backend\nBACKEND = {made}\n"
        (folder / "fixtures" / "backends" / f"stand_in_{precision}.py").write_text(text)
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


# --- what was timed, and with what -----------------------------------------------------------------------------------

PASSED = "&&&& PASSED TensorRT.trtexec{version} # trtexec {flags}\n"
SUMMARY = "Throughput: 80 qps\nLatency: mean = 12.5 ms\nGPU Compute Time: mean = 11.5 ms\n"
NO_COPIES = "H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms\nD2H Latency: min = 0 ms, max = 0 ms, mean = 0 ms\n"
COPIES = "H2D Latency: min = 0 ms, max = 0.5 ms, mean = 0.4 ms\n"


@pytest.mark.parametrize(
    ("text", "transfers", "spin_wait", "cuda_graph"),
    [
        (PASSED.format(version=" [TensorRT v8403]", flags="--onnx=m --fp16"), True, False, False),
        (PASSED.format(version="", flags="--onnx=m --fp16 --useSpinWait"), True, True, False),
        (PASSED.format(version=" [TensorRT v8403]", flags="--onnx=m --fp16 --noDataTransfers"), False, False, False),
        (PASSED.format(version=" [TensorRT v110000]", flags="--loadEngine=m"), False, True, True),
        (
            PASSED.format(version=" [TensorRT v110000]", flags="--loadEngine=m --includeDataTransfers --noCudaGraph"),
            *(True, True, False),
        ),
        ("[I] Data transfers: Disabled\n[I] Spin-wait: Enabled\n[I] CUDA Graph: Enabled\n", False, True, True),
        ("[I] Data transfers: Enabled\n", True, None, None),
        (NO_COPIES, False, None, None),
        (COPIES, True, None, None),
        ("[I] Data transfers: Disabled\n" + COPIES, False, None, None),
        ("", None, None, None),
    ],
)
def test_a_latency_is_taken_only_where_copies_may_have_been_timed(
    logs: Imported, text: str, transfers: bool | None, spin_wait: bool | None, cuda_graph: bool | None
) -> None:
    assert logs.run(logs.write(SUMMARY + text)) == 0
    taken = {measurement.metric: measurement for measurement in logs.taken()}
    assert set(taken) == {"device_compute", "throughput"} | ({"latency"} if transfers is not False else set())
    for measurement in taken.values():
        told = [measurement.details[name] for name in ("transfers", "spin_wait", "cuda_graph")]
        assert told == [transfers, spin_wait, cuda_graph]
    if "latency" in taken:
        assert ("not told" in taken["latency"].details["formula"]) == (transfers is None)


def test_eleven_without_its_command_gives_no_latency(logs: Imported) -> None:
    assert logs.run(logs.write(f"TensorRT version: 11.0.0\n{SUMMARY}")) == 0
    assert "latency" not in logs.values()
    assert logs.taken()[0].details["transfers"] is None


def test_samples_without_a_copy_give_no_latency(logs: Imported) -> None:
    query = {"startComputeMs": 900, "computeMs": 11.5, "latencyMs": 11.5, "h2dMs": 0, "d2hMs": 0}
    times = logs.write(json.dumps([query]), "times.json")
    assert logs.run(logs.write(f"TensorRT version: 8.6.1\n{SUMMARY}"), times=times) == 0
    assert "latency" not in logs.values()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected samples are not on this host")
@pytest.mark.parametrize("name", ["trt11_0_b200_defaults", "trt8_x_yolov7_no_transfers"])
def test_collected_samples_without_copies_give_no_latency(name: str) -> None:
    log = trtexec.parse((SAMPLES / "trtexec" / f"{name}.txt").read_text())
    assert [figure.metric for figure in figures.of_trtexec(log, 1)] == ["device_compute", "throughput"]
    assert {figure.more["transfers"] for figure in figures.of_trtexec(log, 1)} == {False}


@pytest.mark.parametrize(
    ("tool", "text", "sections"),
    [
        ("trtexec", T4.format(batch=1), ["device compute", "device compute", "host wall"]),
        ("trtexec", "GPU Compute Time: mean = 2 ms\n", ["device compute", "device compute"]),
        ("ais_bench", ASCEND.replace("(4)", "(1)").replace("125.0", "31.25").replace("size:4", "size:1"), None),
        ("benchmark", PURE, ["host wall"]),
    ],
)
def test_every_figure_says_what_was_timed(logs: Imported, tool: str, text: str, sections: list[str] | None) -> None:
    assert logs.run(logs.write(text), tool=tool) == 0
    assert [m.details["timed_section"] for m in logs.taken()] == (sections or ["device compute", "device compute"])


@pytest.mark.parametrize("flags", ["--loadEngine=m.trt --batch=16", "--batch=16 --loadEngine=m.trt"])
def test_another_batch_in_the_command_is_refused(logs: Imported, capsys, flags: str) -> None:
    log = logs.write(SUMMARY + PASSED.format(version=" [TensorRT v8400]", flags=flags))
    assert logs.run(log, batch=1) == 1
    said = capsys.readouterr().err
    assert "expected batch 1" in said
    assert "found 16 (--batch of the command)" in said
    assert logs.run(log, batch=16) == 0


def test_an_option_that_only_looks_like_the_batch_is_none(logs: Imported) -> None:
    text = SUMMARY + PASSED.format(
        version=" [TensorRT v8400]", flags="--onnx=a--batch=16 --fp16 --maxBatch=8 --batch=4x"
    )
    assert logs.run(logs.write(text)) == 0


def test_the_batch_of_an_explicit_engine_is_multiplied_although_the_command_names_it(logs: Imported) -> None:
    totals = "Total Host Walltime: 3 s\nTotal GPU Compute Time: 2.76 s\n"  # 240 executions
    end = PASSED.format(version=" [TensorRT v8400]", flags="--loadEngine=m --batch=4")
    assert logs.run(logs.write(SUMMARY + totals + end), batch=4) == 0
    assert logs.values()["throughput"] == 320


def test_the_shape_of_an_implicit_batch_stands_without_it(logs: Imported, capsys) -> None:
    bound = "Created input binding for input with dimensions 3x{0}x{0}\n"
    end = PASSED.format(version=" [TensorRT v8400]", flags="--loadEngine=m --batch=4")
    assert logs.run(logs.write(bound.format(256) + SUMMARY + end), batch=4) == 0
    assert logs.run(logs.write(bound.format(128) + SUMMARY + end), batch=4) == 1
    assert "found 3x128x128" in capsys.readouterr().err


DEVICE = "[I] Selected Device: {name}\n[I] Compute Capability: {capability}\n"


def test_the_device_and_precision_that_a_log_tells_are_kept(logs: Imported) -> None:
    head = DEVICE.format(name="Tesla T4", capability="7.5") + "[I] Precision: FP32+FP16\n[I] Load engine: \n"
    assert logs.run(logs.write(head + T4.format(batch=1))) == 0
    facts = logs.taken()[0].details["facts"]
    assert (facts["device"], facts["compute_capability"]) == ("Tesla T4", "7.5")
    assert (facts["precision"], facts["loaded"]) == ("FP32+FP16", False)
    assert not {"shape_not_told", "batch_not_told", "precision_not_told"} & set(logs.taken()[0].details["flags"])


def test_another_gpu_is_refused(logs: Imported, capsys) -> None:
    head = DEVICE.format(name="NVIDIA Tegra X1", capability="5.3")
    assert logs.run(logs.write(head + T4.format(batch=1))) == 1
    said = capsys.readouterr().err
    assert "expected a GPU of compute capability 7.5" in said
    assert "found 5.3 (NVIDIA Tegra X1)" in said


@pytest.mark.parametrize(
    ("head", "flags", "found"),
    [
        ("[I] Precision: FP32\n", "--onnx=m", "FP32"),
        ("[I] Precision: FP32+FP16+INT8\n", "--onnx=m --fp16 --int8", "FP16+FP32+INT8"),
        ("[I] Precision: FP32+FP16+INT8 (obey precision constraints)\n", "--onnx=m --fp16 --int8", "FP16+FP32+INT8"),
        ("[I] Precision: FP32\n[I] Load engine: \n", None, "FP32"),
        ("", "--onnx=m", "FP32"),
        ("", "--onnx=m --best", "FP16+FP32+INT8"),
    ],
)
def test_an_engine_built_in_another_precision_is_refused(logs: Imported, capsys, head, flags, found) -> None:
    end = PASSED.format(version=" [TensorRT v8601]", flags=flags) if flags else ""
    assert logs.run(logs.write(head + SUMMARY + end)) == 1
    assert (
        f"expected an engine in fp16, as stand_in_trtexec runs, found one built in {found}" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("precision", "flags", "status"),
    [
        ("fp32", "", 0),
        ("fp32", " --fp16", 1),
        ("int8", " --int8", 0),
        ("int8", " --int8 --fp16", 0),
        ("int8", " --best", 0),
        ("int8", " --fp16", 1),
    ],
)
def test_a_precision_may_have_beside_it_what_it_needs(logs: Imported, precision: str, flags: str, status: int) -> None:
    text = SUMMARY + PASSED.format(version=" [TensorRT v8601]", flags=f"--onnx=m{flags}")
    assert logs.run(logs.write(text), backend=f"stand_in_{precision}") == status


@pytest.mark.parametrize(
    ("head", "version", "flags"),
    [
        # For a loaded engine the options of this command are printed, not those it was built with.
        ("[I] Precision: FP32\n[I] Load engine: m.plan\n", "8601", "--loadEngine=m.plan"),
        ("[I] Precision: FP32\n[I] Load engine: m.plan\n", None, None),
        ("[I] Precision: FP32\n", None, None),
        ("[I] Precision: Strongly Typed\n", "100300", "--onnx=m --stronglyTyped"),
        ("", "100300", "--onnx=m --stronglyTyped"),
        ("", "110000", "--onnx=m"),
        ("[TRT] Precision: of a sentence\n", None, None),
    ],
)
def test_a_precision_that_the_log_cannot_tell_is_flagged(logs: Imported, head, version, flags) -> None:
    end = PASSED.format(version=f" [TensorRT v{version}]", flags=flags) if flags else ""
    assert logs.run(logs.write(head + SUMMARY + end)) == 0
    assert "precision_not_told" in logs.taken()[0].details["flags"]


@pytest.mark.parametrize(
    ("tool", "text", "missing"),
    [
        ("trtexec", SUMMARY, {"shape_not_told", "batch_not_told"}),
        ("trtexec", T4.format(batch=1), set()),
        (
            "trtexec",
            SUMMARY + PASSED.format(version=" [TensorRT v8400]", flags="--loadEngine=m --batch=1"),
            {"shape_not_told"},
        ),
        ("ais_bench", TWO_DEVICES, {"shape_not_told"}),
        (
            "ais_bench",
            "NPU_compute_time (ms): mean = 2.0\nthroughput (1000*batchsize/NPU_compute_time): 500.0\n",
            {"shape_not_told", "batch_not_told"},
        ),
        ("benchmark", PURE, {"shape_not_told", "batch_not_told"}),
        ("benchmark", PURE + "benchmark -batch_size=1", {"shape_not_told"}),
    ],
)
def test_what_a_log_does_not_tell_of_the_case_is_flagged(logs: Imported, tool, text, missing) -> None:
    assert logs.run(logs.write(text), tool=tool) == 0
    flags = set(logs.taken()[0].details["flags"])
    assert flags & {"shape_not_told", "batch_not_told"} == missing


# --- figures that contradict themselves ------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected samples are not on this host")
def test_the_sample_that_its_author_edited_gives_no_rate() -> None:
    log = trtexec.parse((SAMPLES / "trtexec" / "trt7_2_3_resnet34_inconsistent.txt").read_text())
    assert [figure.metric for figure in figures.of_trtexec(log, 1)] == ["device_compute", "latency"]


def test_no_rate_is_derived_from_times_that_contradict_themselves(logs: Imported) -> None:
    text = "GPU Compute\nmin: 4 ms\nmax: 3 ms\nmean: 3.5 ms\n"
    assert logs.run(logs.write(text)) == 0
    assert logs.values() == {"device_compute": 3.5}
    times = logs.write(json.dumps([{"startComputeMs": 900, "computeMs": 4.0}]), "times.json")
    logs.record.unlink()
    assert logs.run(logs.write(f"TensorRT version: 8.6.1\n{text}"), times=times) == 0
    assert logs.values()["throughput"] == 250  # of the samples, which are whole


def test_no_rate_of_ais_bench_is_derived_from_times_that_contradict_themselves(logs: Imported) -> None:
    line = "NPU_compute_time (ms): min = 4.0, max = 3.0, mean = 3.5, median = 3.5, percentile(99%) = 3.6\n"
    assert logs.run(logs.write(line), tool="ais_bench") == 0
    assert logs.values() == {"device_compute": 3.5}


def test_no_rate_is_derived_from_a_mean_that_is_not_of_its_samples(logs: Imported) -> None:
    document = {"NPU_compute_time": {"mean": 3.0}, "throughput": 1000 / 3, "npu_compute_time_list": [1.0, 2.0, 2.0]}
    assert logs.run(logs.write(json.dumps(document)), tool="ais_bench") == 0
    assert logs.values() == {"device_compute": 3}


# --- stand-ins, and hostile files ------------------------------------------------------------------------------------

EMULATED = """
import sys, numpy as np, onnx, aclruntime, emulated_om
from onnx import helper
sides = [helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("in", "out")]
graph = helper.make_graph([helper.make_node("Relu", ["in"], ["out"])], "graph", sides[:1], sides[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
tensors = [[{"name": name, "shape": [1, 4], "dtype": "float32"}] for name in ("in", "out")]
meta = {"soc_version": "Ascend310", "inputs": tensors[0], "outputs": tensors[1], "cann": "7.0.0"}
emulated_om.write(sys.argv[1], model.SerializeToString(), meta)
options = aclruntime.session_options()
options.log_level = 4
session = aclruntime.InferenceSession(sys.argv[1], 0, options)
image = np.zeros((1, 4), np.float32)
for _ in range(3):
    session.run([], [aclruntime.BaseTensor(image.ctypes.data, image.nbytes)])
    mean = np.mean(session.sumary().exec_time_list)
sys.stdout.write(f"[INFO] NPU_compute_time (ms): mean = {mean}\\n")
"""


def test_the_times_of_the_emulated_aclruntime_are_refused(logs: Imported, capsys) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNOFF_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-B", "-c", EMULATED, str(logs.folder / "model.om")],
        env={**clean, "PYTHONPATH": str(CHECKOUT / "fixtures" / "emulator" / "site")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("signoff emulator:") == 1, done.stderr
    assert logs.run(logs.write(done.stdout), tool="ais_bench") == 1
    assert "found one of a stand-in" in capsys.readouterr().err


@pytest.mark.parametrize("before", ["", "    ", "> ", "Processing:  50%|#####     | 1/2 [00:00<00:00]", "[INFO] "])
def test_a_mark_is_found_behind_what_other_streams_printed(logs: Imported, before: str) -> None:
    assert logs.run(logs.write(f"{T4.format(batch=1)}{before}signoff emulator: no GPU\n")) == 1


@pytest.mark.parametrize("part", ["-\n", "\n", "- {0}\n", "* |{0}|\n", "signoff {0}\n"])
def test_a_mark_is_sought_in_proportion_to_the_text(logs: Imported, part: str) -> None:
    text = "".join(part.format(count) for count in range(200_000))
    with at_most(cpu_seconds=20):
        assert logs.run(logs.write(text + SUMMARY)) == 0


def test_a_log_of_a_thousand_shapes_says_only_the_first_that_is_wrong(logs: Imported, capsys) -> None:
    bound = "".join(f"Input binding for i{count} with dimensions 1x{count}\n" for count in range(1, 1000))
    assert logs.run(logs.write(bound + SUMMARY)) == 1
    assert len(capsys.readouterr().err) < 400
