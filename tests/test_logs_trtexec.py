from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.logs import trtexec
from bench.logs.reading import LogError
from bench.logs.statistics import element, linear, of
from tests.effort import at_most

SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "samples" / "trtexec"
KEYS = ("status", "layout", "tensorrt_version", "throughput_qps", "latency_ms", "gpu_compute_ms")
NOTHING = {"mean": None, "median": None, "p99": None}


def _index() -> list[dict[str, Any]]:
    file = SAMPLES / "index.json"
    return json.loads(file.read_text())["samples"] if file.exists() else []


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected samples are not on this host")
@pytest.mark.parametrize("entry", _index(), ids=lambda entry: entry["file"])
def test_collected_samples_parse_to_their_index(entry: dict[str, Any]) -> None:
    found = trtexec.parse((SAMPLES / entry["file"]).read_text()).as_dict()
    assert {key: found[key] for key in KEYS} == {key: entry[key] for key in KEYS}


EXPECTED_FLAGS = {
    "trt7_1_jetson_yolov4_full_block.txt": {"zero_qps"},
    "trt8_2_xavier_nx_implicit_batch.txt": {"implicit_batch"},
    "trt8_4_1_multi_stream.txt": {"enqueue_bound", "several_streams"},
    "trt8_x_yolov7_no_transfers.txt": {"unstable"},
    "trt10_enqueue_bound.txt": {"enqueue_bound"},
    "trt10_2024_warnings.txt": {"enqueue_bound", "unstable"},
    "trt8_4_1_plugin_generator.txt": set(),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected samples are not on this host")
@pytest.mark.parametrize("name", sorted(EXPECTED_FLAGS))
def test_collected_samples_have_their_flags(name: str) -> None:
    assert set(trtexec.parse((SAMPLES / name).read_text()).flags) == EXPECTED_FLAGS[name]


# --- round trips ---------------------------------------------------------------------------------------------------

times = st.floats(0, 1e6, allow_nan=False).map(lambda value: float(f"{value:.6g}"))
blocks = st.fixed_dictionaries({name: times for name in ("min", "max", "mean", "median", "p99")})
rates = st.floats(1e-3, 1e7).map(lambda value: float(f"{value:.6g}"))
VERSIONS = {"8.0.1": "v8001", "8.4.3": "v8403", "8.6.1": "v8601", "10.3.0": "v100300", "11.0.0": "v110000"}
SECTIONS = {
    "Latency": "latency",
    "End-to-End Host Latency": "end_to_end",
    "Enqueue Time": "enqueue",
    "H2D Latency": "h2d",
    "GPU Compute Time": "gpu_compute",
    "D2H Latency": "d2h",
}


def _line(title: str, block: dict[str, float], several: bool, sign: str = " = ") -> str:
    low = f"percentile(90%){sign}{block['median']:.6g} ms, " if several else ""
    named = ", ".join(f"{name}{sign}{block[name]:.6g} ms" for name in ("min", "max", "mean", "median"))
    return f"{title}: {named}, {low}percentile(99%){sign}{block['p99']:.6g} ms"


def _summary(rate: float, drawn: dict[str, dict[str, float]], several: bool, sign: str = " = ") -> list[str]:
    lines = ["=== Performance summary ===", f"Throughput: {rate:.6g} qps"]
    return lines + [_line(title, block, several, sign) for title, block in drawn.items()]


def _block7(title: str, block: dict[str, float]) -> list[str]:
    lines = [f"{name}: {block[name]:.6g} ms (end to end 3 ms)" for name in ("min", "max", "mean", "median")]
    return [title, *lines, f"percentile: {block['p99']:.6g} ms at 99% (end to end 3 ms at 99%)"]


decorations = st.tuples(
    st.sampled_from(["", "[09/08/2026-10:20:22] [I] ", "[07/01/2021-07:32:09] [I] [TRT] ", "[I] "]),
    st.sampled_from(["", "    ", "> ", "- ", "\t| ", "\x1b[32m"]),
    st.sampled_from(["", "   ", "\t"]),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)


def _decorated(lines: list[str], decoration: tuple[str, str, str, str]) -> str:
    prefix, mark, blanks, end = decoration
    return "".join(f"{mark}{prefix}{line}{blanks}{end}" for line in lines)


@given(rates, st.dictionaries(st.sampled_from(sorted(SECTIONS)), blocks), st.booleans(), decorations, st.data())
def test_a_summary_of_8_and_later_gives_back_its_numbers(rate, drawn, several, decoration, data) -> None:
    version = data.draw(st.sampled_from(sorted(VERSIONS)))
    end = [f"&&&& PASSED TensorRT.trtexec [TensorRT {VERSIONS[version]}] # trtexec --onnx=m.onnx --fp16"]
    found = trtexec.parse(_decorated([*_summary(rate, drawn, several), *end], decoration))
    assert found.throughput_qps == rate
    assert {name: block.as_dict() for name, block in found.blocks.items()} == {
        SECTIONS[title]: block for title, block in drawn.items()
    }
    assert (found.status, found.tensorrt_version) == ("passed", version)
    assert found.command == "trtexec --onnx=m.onnx --fp16"
    later = (several and drawn) or tuple(map(int, version.split("."))) >= (8, 5)
    assert found.layout == ("summary85" if later else "summary8")
    assert not found.unread


@given(blocks, blocks, blocks, decorations)
def test_the_blocks_of_7_give_back_their_numbers(host, enqueue, compute, decoration) -> None:
    without_mean = [line for line in _block7("Enqueue Time", enqueue) if not line.startswith("mean")]
    host_lines = [*_block7("Host Latency", host), "throughput: 0 qps", "walltime: 3.00461 s"]
    text = [*host_lines, *without_mean, *_block7("GPU Compute", compute), "total compute time: 2.9 s"]
    found = trtexec.parse(_decorated(text, decoration))
    assert (found.layout, found.throughput_qps) == ("block7", 0)
    assert "zero_qps" in found.flags
    assert found.blocks["latency"].as_dict() == host
    assert found.blocks["enqueue"].as_dict() == {**enqueue, "mean": None}
    assert found.gpu_compute.as_dict() == compute
    assert (found.walltime_s, found.gpu_total_s) == (3.00461, 2.9)


@given(blocks, blocks)
def test_lost_equals_signs_lose_no_figure(latency, compute) -> None:
    drawn = {"Latency": latency, "GPU Compute Time": compute}
    found = trtexec.parse("\n".join(_summary(9.5, drawn, several=False, sign=" ")))
    assert found.layout == "summary8-mangled"
    assert (found.latency.as_dict(), found.gpu_compute.as_dict()) == (latency, compute)


@given(blocks)
def test_a_section_spread_over_lines_gives_back_its_numbers(compute) -> None:
    title, _, rest = _line("GPU Compute Time", compute, several=False).partition(": ")
    found = trtexec.parse("\n".join(["[I] " + title + ": ", *rest.replace(", ", ", \n").splitlines()]))
    assert found.layout == "summary8-reflowed"
    assert found.gpu_compute.as_dict() == compute


# --- what must not be misread --------------------------------------------------------------------------------------


def test_a_number_without_its_unit_is_no_figure() -> None:
    found = trtexec.parse("GPU Compute Time: min = 1 ms, max = 3 ms, mean = 2 ms, median = 2 ms, percentile(99%) = 0.s")
    assert found.as_dict()["gpu_compute_ms"] == {"mean": 2, "median": 2, "p99": None}
    assert found.unread == ("GPU Compute Time: percentile(99%) has no value in ms",)


def test_a_percentile_cut_before_its_number_is_told() -> None:
    assert trtexec.parse("H2D Latency: min = 0 ms, percentile(99%) s").unread


def test_zero_is_a_value() -> None:
    assert trtexec.parse("H2D Latency: min = 0 ms, mean = 0 ms").blocks["h2d"].mean == 0


@pytest.mark.parametrize("text", ["-1 ms", "nan ms", "inf ms", "1e999 ms", "1.2.3 ms", "٣ ms", "1,5 ms"])
def test_what_is_no_time_is_not_taken_for_one(text: str) -> None:
    assert trtexec.parse(f"GPU Compute Time: mean = {text}, median = 2 ms").gpu_compute.mean is None


def test_the_last_summary_counts_whole() -> None:
    first = _summary(5, {"Latency": dict.fromkeys(("min", "max", "mean", "median", "p99"), 1.0)}, False)
    last = ["=== Performance summary ===", "Throughput: 7 qps"]
    found = trtexec.parse("\n".join(first + last))
    assert (found.throughput_qps, found.as_dict()["latency_ms"]) == (7, NOTHING)
    assert "several_summaries" in found.flags


def test_excerpts_without_a_heading_are_not_put_together() -> None:
    text = "Latency: mean = 1 ms\nGPU Compute Time: mean = 1 ms\nLatency: mean = 2 ms\n"
    assert trtexec.parse(text).as_dict()["gpu_compute_ms"] == NOTHING


def test_a_failed_second_run_does_not_borrow_the_figures_of_the_first() -> None:
    text = "Throughput: 5 qps\n&&&& PASSED TensorRT.trtexec # trtexec a\n&&&& FAILED TensorRT.trtexec # trtexec b\n"
    found = trtexec.parse(text)
    assert (found.status, found.layout, found.throughput_qps) == ("failed", "none", None)
    assert found.flags == ("several_runs",)


def test_a_run_that_crashed_has_no_status() -> None:
    text = "&&&& PASSED TensorRT.trtexec # trtexec a\n&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec b\n"
    found = trtexec.parse(text)
    assert (found.status, found.tensorrt_version, found.command) == (None, "8.6.1", "trtexec b")


def test_the_explanations_of_a_verbose_log_are_no_summary() -> None:
    text = "Throughput: 5 qps\nGPU Compute Time: mean = 1 ms\n=== Explanations of the performance metrics ===\n" + (
        "[V] GPU Compute Time: the GPU latency to execute the kernels for a query.\n"
        "[V] Throughput: the observed throughput computed by dividing the number of queries by the total walltime.\n"
        "[V] Latency: the summation of H2D Latency, GPU Compute Time, and D2H Latency.\n"
    )
    found = trtexec.parse(text)
    assert (found.throughput_qps, found.gpu_compute.mean, found.flags) == (5, 1, ())


def test_a_block_that_names_a_figure_twice_is_not_believed() -> None:
    """The heading between Host Latency and GPU Compute was lost."""
    lines = [
        *_block7("Host Latency", {"min": 1, "max": 3, "mean": 2, "median": 2, "p99": 3}),
        "min: 9 ms",
        "median: 9 ms",
    ]
    found = trtexec.parse("\n".join(lines))
    assert found.as_dict()["latency_ms"] == NOTHING
    assert "twice" in found.unread[0]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"min": 4}, "min_above_max"),
        ({"mean": 0.5}, "mean_below_min"),
        ({"mean": 3.5}, "mean_above_max"),
        ({"median": 0.5}, "median_below_min"),
        ({"median": 2.95}, "median_above_p99"),
        ({"median": 3.5}, "median_above_max"),
        ({"p99": 3.5}, "p99_above_max"),
    ],
)
def test_a_block_that_contradicts_itself_is_flagged(change: dict[str, float], flag: str) -> None:
    sound = {"min": 1, "max": 3, "mean": 2, "median": 2, "p99": 2.9}
    assert trtexec.parse(_line("GPU Compute Time", sound, several=False)).flags == ()
    assert f"gpu_compute_{flag}" in trtexec.parse(_line("GPU Compute Time", {**sound, **change}, several=False)).flags


TOTALS = "GPU Compute Time: mean = 2 ms\nTotal Host Walltime: 3 s\nTotal GPU Compute Time: 2.9 s\n"


@pytest.mark.parametrize(
    ("rate", "flags", "per_query", "execution"),
    [
        (483.333, (), None, True),
        (7733.33, ("implicit_batch",), 16, False),
        (700, ("throughput_disagrees",), None, False),
    ],
)
def test_the_totals_tell_what_a_query_is(rate, flags, per_query, execution) -> None:
    found = trtexec.parse(f"Throughput: {rate} qps\n{TOTALS}")
    assert (found.flags, found.query_samples, found.query_is_execution) == (flags, per_query, execution)


def test_a_trace_that_counts_other_queries_is_flagged() -> None:
    text = "Timing trace has 1000 queries over 2 s\nThroughput: {} qps\n"
    assert trtexec.parse(text.format(500)).flags == ()
    assert trtexec.parse(text.format(600)).flags == ("throughput_disagrees",)


def test_shapes_come_from_the_bindings_before_the_request() -> None:
    end = "&&&& PASSED TensorRT.trtexec [TensorRT v8601] # trtexec --shapes=a:4x3x256x256,b:4\n"
    assert trtexec.parse(end).shapes == ((4, 3, 256, 256), (4,))
    bound = "[I] Input binding for input.1 with dimensions 1x3x256x256 is created.\n"
    assert trtexec.parse(bound + end).shapes == ((1, 3, 256, 256),)


@pytest.mark.parametrize(
    "text",
    [
        "[W] Dynamic dimensions required for input: image, but no shapes were provided. "
        "Automatically overriding shape to: 1x3x256x256\n",
        "[W] Shape missing for input with dynamic shape: imageAutomatically setting shape to: 1x3x256x256\n",
    ],
)
def test_a_shape_that_was_replaced_silently_is_flagged(text: str) -> None:
    found = trtexec.parse(text)
    assert found.flags == ("shape_overridden",)
    assert found.shapes == ((1, 3, 256, 256),)


@pytest.mark.parametrize(
    ("marker", "version"),
    [("v7203", "7.2.3"), ("v8001", "8.0.1"), ("v8601", "8.6.1"), ("v100300", "10.3.0"), ("v101600", "10.16.0")],
)
def test_the_version_in_the_marker_is_decoded(marker: str, version: str) -> None:
    text = f"&&&& PASSED TensorRT.trtexec [TensorRT {marker}] [b72] # trtexec"
    assert trtexec.parse(text).tensorrt_version == version


def test_options_that_change_a_figure_are_kept() -> None:
    assert trtexec.parse("[I] CUDA Graph: Enabled\n[I] Spin-wait: Disabled\n").options == {
        "CUDA Graph": "Enabled",
        "Spin-wait": "Disabled",
    }


# --- --exportTimes -------------------------------------------------------------------------------------------------


def _query(start: float, compute: float, keys: str) -> dict[str, float]:
    end = start + compute
    common = {"startComputeMs": start, "endComputeMs": end, "computeMs": compute, "latencyMs": compute + 3}
    if keys == "7":  # the enqueue times stand under In, those of the copy under Enq
        swapped = {"startEnqMs": start - 2, "endEnqMs": start, "startInMs": start - 0.5, "endInMs": start - 0.25}
        return {**common, **swapped, "inMs": 2, "outMs": 1, "endToEndMs": compute + 4}
    named = {"startEnqMs": start - 0.5, "endEnqMs": start - 0.25, "h2dMs": 2, "d2hMs": 1}
    return {**common, **named, **({"endToEndMs": compute + 4} if keys == "8.0" else {})}


@pytest.mark.parametrize(
    ("keys", "version", "dropped"),
    [
        ("7", None, 2),
        ("7", "7.2.3", 2),
        ("8.0", "8.2.0", 2),
        ("8.4", "8.4.1", 2),
        ("8.4", "8.5.0", 0),
        ("8.4", "10.3.0", 0),
    ],
)
def test_times_leave_out_the_warm_up_where_the_version_writes_it(keys, version, dropped) -> None:
    text = json.dumps([_query(start, 1 + start / 1000, keys) for start in (10.0, 150.0, 200.0, 300.0)])
    found = trtexec.parse_times(text, version, warmup_ms=200)
    assert found.warmup_dropped == dropped
    assert found.compute_ms[-2:] == (1.2, 1.3)
    assert len(found.compute_ms) == 4 - dropped
    assert set(found.enqueue_ms) == {0.25}
    assert set(found.h2d_ms) == {2}
    assert set(found.d2h_ms) == {1}
    assert found.flags == found.unread == ()


def test_times_say_that_the_warm_up_is_still_in() -> None:
    assert trtexec.parse_times(json.dumps([_query(1, 2, "8.0")]), "8.0.1").flags == ("warmup_included",)


def test_times_that_only_the_version_could_explain_are_refused() -> None:
    with pytest.raises(LogError, match="version"):
        trtexec.parse_times(json.dumps([_query(1, 2, "8.4")]), None, 200)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[1]", '[{"a": 1}]', '[{"computeMs": "x"}]', '[{"computeMs": NaN}]', "[" * 100_000]
)
def test_other_json_is_no_times(text: str) -> None:
    with pytest.raises(LogError, match="expected"):
        trtexec.parse_times(text, "10.3.0", 200)


def test_times_that_are_all_warm_up_are_refused() -> None:
    with pytest.raises(LogError, match="warmUp"):
        trtexec.parse_times(json.dumps([_query(1, 2, "7")]), "7.2.3", 200)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=400), st.floats(0, 100))
def test_percentiles_are_those_of_the_tools(samples: list[float], percent: float) -> None:
    np = pytest.importorskip("numpy")
    ordered = sorted(samples)
    assert math.isclose(linear(ordered, percent), np.percentile(samples, percent), rel_tol=1e-9, abs_tol=1e-9)
    excluded = int((np.float32(1) - np.float32(percent) / np.float32(100)) * np.float32(len(ordered)))
    assert element(ordered, percent) == ordered[max(len(ordered) - 1 - excluded, 0)]
    assert math.isclose(of(samples, linear).median or 0, np.median(samples), rel_tol=1e-9)


@pytest.mark.parametrize(("count", "place"), [(2, 1), (99, 98), (100, 99), (101, 99), (1000, 990), (2000, 1980)])
def test_the_place_of_a_percentile_is_worked_out_in_float32(count: int, place: int) -> None:
    assert element([float(value) for value in range(count)], 99.0) == place


# --- whatever comes ------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "=== Performance summary ===",
        "Throughput: ",
        "throughput: ",
        "Latency: ",
        "GPU Compute",
        "GPU Compute Time: ",
        "min = ",
        "median ",
        "percentile(99%) = ",
        "percentile: ",
        "1.5 ms",
        "1e300 ms",
        "0 qps",
        "5e-324 ms",
        "\n",
        "\r",
        "&&&& PASSED TensorRT.trtexec [TensorRT v8601] # trtexec --shapes=a:1x,b:",
        "Host Latency\n",
        "at 99%",
        ", ",
        "Total Host Walltime: 1e308 s",
        "Total GPU Compute Time: 1e-320 s",
        "Timing trace has 9 queries over 0 s",
        "[I] ",
    ]
)


@settings(max_examples=300)
@given(st.lists(WORDS | st.text(max_size=5), max_size=30).map("".join))
def test_no_text_raises(text: str) -> None:
    json.dumps(trtexec.parse(text).as_dict(), allow_nan=False)


@settings(max_examples=200)
@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps), st.none() | st.text())
def test_times_raise_nothing_else(text: str, version: str | None) -> None:
    with pytest.raises(LogError):
        trtexec.parse_times(text, version)


HOSTILE = {
    "digits": "GPU Compute Time: mean = " + "1" * 40,
    "names": "GPU Compute Time: " + "min = percentile(" * 3,
    "heads": "Latency: mean = 1 ms\n",
    "blanks": "GPU Compute Time:" + " \t" * 30,
    "marks": "> | * - " * 5,
    "returns": "\r\r\rx",
    "shapes": "Input binding for " + "x" * 60,
    "markers": "&&&& PASSED TensorRT.trtexec # a\n",
    "devices": "Selected Device: T{0}\nCompute Capability: 7.{0}\nPrecision: FP{0}\nLoad engine: {0}\n",
    "counted": "GPU Compute Time: mean = {0} ms\nThroughput: {0} qps\n",
    "runs": "&&&& RUNNING TensorRT.trtexec # {0}\nLatency: mean = {0} ms\n&&&& PASSED TensorRT.trtexec # {0}\n",
    "block7": "GPU Compute\nmin: {0} ms\npercentile: {0} ms at {0}%\n",
    "precisions": "Precision: " + "FP16+" * 20,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("end", ["", "\n"], ids=["one-line", "lines"])
def test_work_grows_with_the_text_and_not_with_its_square(name: str, end: str) -> None:
    part = HOSTILE[name] + end
    with at_most(cpu_seconds=20):  # 400 kB take some tenths of a second, their square minutes
        trtexec.parse("".join(part.format(count) for count in range(400_000 // len(part))))


def test_shapes_are_told_apart_in_proportion_to_their_number() -> None:
    counts = range(100_000)
    with at_most(cpu_seconds=20):
        found = trtexec.parse("".join(f"Input binding for x with dimensions 1x{count}\n" for count in counts))
    assert found.shapes == tuple((1, count) for count in counts)


@pytest.mark.parametrize("large", [1e308, 1.7e308, 1e16])
def test_times_too_large_to_be_times_are_not_taken(large: float) -> None:
    queries = [{"computeMs": 1.0, "latencyMs": large, "startComputeMs": 0.0} for _ in range(3)]
    found = trtexec.parse_times(json.dumps(queries), "10.3.0")
    assert found.latency_ms == ()
    with pytest.raises(LogError, match="computeMs in every query"):
        trtexec.parse_times(json.dumps([{"computeMs": large}] * 3), "10.3.0")


def test_what_the_echo_tells_of_the_run_is_kept() -> None:
    text = (
        "[I] Precision: FP32+FP16\n[I] Load engine: a.plan\n[I] Selected Device: NVIDIA Tegra X1\n"
        "[I] Selected Device ID: 0\n[I] Compute Capability: 5.3\n"
    )
    found = trtexec.parse(text)
    assert (found.device, found.compute_capability) == ("NVIDIA Tegra X1", "5.3")
    assert (found.precision, found.loaded) == ("FP32+FP16", True)
    empty = trtexec.parse("[I] Selected Device:\n[I] Compute Capability: none\n[I] Precision: high\n")
    assert (empty.device, empty.compute_capability, empty.precision, empty.loaded) == (None,) * 4
    assert trtexec.parse("&&&& RUNNING TensorRT.trtexec # trtexec --onnx=m\n[I] Load engine: \n").loaded is False


def test_a_run_does_not_borrow_the_device_of_the_one_before() -> None:
    text = (
        "Selected Device: A\nThroughput: 5 qps\n&&&& PASSED TensorRT.trtexec # a\n&&&& RUNNING TensorRT.trtexec # b\n"
    )
    assert trtexec.parse(text).device is None


def test_a_log_of_50_mb_is_read_to_its_end() -> None:
    line = (
        "[09/08/2026-10:20:17] [V] [TRT] Tactic: 0x0000000000000000 Time: 0.0163840, a line as verbose logs have many\n"
    )
    found = trtexec.parse(line * (50_000_000 // len(line)) + "Throughput: 5 qps\n")
    assert found.throughput_qps == 5
