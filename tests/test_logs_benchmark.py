from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.logs import benchmark
from tests.effort import at_most

INFER = "[infer] throughputRate: 171.595, Interface throughputRate: 247.898, moduleLatency: 5.12562"

# --- lines of published logs (ascend.md 5.3 and 10.7) --------------------------------------------------------------


def test_the_file_of_pure_mode() -> None:
    found = benchmark.parse("ave_throughputRate = 22.3706samples/s, ave_latency = 44.7073ms")
    assert (found.throughput, found.latency_per_sample_ms, found.mode) == (22.3706, 44.7073, "pure")
    assert 4 * (found.throughput or 0) == pytest.approx(89.4824, abs=1e-9)
    assert found.as_dict()["compute_ms"] is None
    assert found.flags == ()


@pytest.mark.parametrize(
    "line",
    [
        "[INFO] ave_throughputRate: 141.738samples/s, ave_latency: 7.35671ms",
        "[INFO] ave_throughputRate:141.738samples/s, ave_latency:7.35671ms",
        "ave_thoroughputRate = 141.738samples/s, ave_latency = 7.35671ms",
        "> ave_throughputRate: 141.738 samples/s,ave_latency: 7.35671 ms",
    ],
)
def test_the_spellings_of_pure_mode(line: str) -> None:
    found = benchmark.parse(line)
    assert (found.throughput, found.latency_per_sample_ms, found.flags) == (141.738, 7.35671, ())


def test_the_rate_of_the_whole_pipeline_is_no_rate_of_the_device() -> None:
    found = benchmark.parse("[e2e] throughputRate: 170.628, latency: 293035")
    assert found.stages["e2e"] == {"throughput": 170.628, "whole_run_ms": 293035}
    assert found.throughput is None
    assert "Interface" in found.unread[0]


def test_a_stage_that_is_not_the_model_is_no_rate_of_the_device() -> None:
    found = benchmark.parse("[data read] throughputRate: 181.571, moduleLatency: 5.50749")
    assert found.stages["data read"] == {"throughput": 181.571, "module_ms": 5.50749}
    assert found.throughput is None


def test_the_interface_rate_is_that_of_one_device() -> None:
    found = benchmark.parse(INFER)
    assert (found.throughput, found.mode) == (247.898, "data set")
    assert 4 * (found.throughput or 0) == pytest.approx(991.592)
    assert found.stages["infer"] == {"throughput": 171.595, "interface_throughput": 247.898, "module_ms": 5.12562}


def test_a_finished_data_set_has_a_number_and_a_cost() -> None:
    assert benchmark.parse("[INFO] Dataset number: 19 finished cost 2.635ms").finished == ((19, 2.635),)


def test_the_post_stage_is_not_taken_for_the_interface() -> None:
    """A published page multiplied 7.91221 by four."""
    text = (
        "[inference] throughputRate: 8.1, Interface throughputRate: 8.19018, moduleLatency: 123.0\n"
        "[postprocess] throughputRate: 7.91221, moduleLatency: 126.0\n"
    )
    found = benchmark.parse(text)
    assert found.throughput == 8.19018
    assert found.stages["post"]["throughput"] == 7.91221


def test_batch_and_device_come_from_the_command_or_the_name_of_a_result() -> None:
    command = "./benchmark.x86_64 -round=20 -om_path=edsr.om -device_id=2 -batch_size=16"
    found = benchmark.parse(f"$ {command}\n")
    assert (found.command, found.batch, found.device) == (command, 16, 2)
    saved = benchmark.parse("[INFO] PureInfer result saved in ./result/PureInfer_perf_of_hrnet_bs1_in_device_0.txt")
    assert (saved.batch, saved.device) == (None, 0)
    assert benchmark.parse("result/perf_vision_batchsize_4_device_1.txt").batch == 4


# --- round trips ---------------------------------------------------------------------------------------------------

numbers = st.floats(1e-3, 1e7).map(lambda value: float(f"{value:.6g}"))
marks = st.sampled_from(["", "    ", "> ", "- ", "[INFO] "])
ends = st.sampled_from(["\n", "\r\n", "  \n"])


@given(numbers, st.sampled_from(["throughput", "thoroughput"]), st.sampled_from([": ", ":", " = "]), marks, ends)
def test_a_rendered_pure_run_gives_back_its_numbers(rate, spelling, sign, mark, end) -> None:
    latency = float(f"{1000 / rate:.6g}")
    line = f"{mark}ave_{spelling}Rate{sign}{rate:.6g}samples/s, ave_latency{sign}{latency:.6g}ms{end}"
    found = benchmark.parse(f"{mark}-----------------PureInfer Performance Summary------------------{end}{line}")
    assert (found.throughput, found.latency_per_sample_ms, found.mode) == (rate, latency, "pure")
    assert found.flags == found.unread == ()


@given(st.lists(numbers, min_size=5, max_size=5), numbers, st.booleans(), marks, ends)
def test_a_rendered_data_set_run_gives_back_its_numbers(rates, interface, short, mark, end) -> None:
    infer, post = ("infer", "post") if short else ("inference", "postprocess")
    names = ["e2e", "data read", "preprocess", infer, post]
    tails = ["latency: 293035", *["moduleLatency: 5.5"] * 4]
    tails[3] = f"Interface throughputRate: {interface:.6g}, {tails[3]}"
    rows = zip(names, rates, tails, strict=True)
    found = benchmark.parse("".join(f"{mark}[{n}] throughputRate: {rate:.6g}, {tail}{end}" for n, rate, tail in rows))
    assert found.throughput == interface
    stages = ("e2e", "data read", "preprocess", "infer", "post")
    assert [found.stages[name]["throughput"] for name in stages] == rates
    assert found.flags == found.unread == ()


# --- what must not be misread --------------------------------------------------------------------------------------


def test_a_latency_per_batch_is_flagged() -> None:
    text = "ave_throughputRate: 100samples/s, ave_latency: {}ms"
    assert benchmark.parse(text.format(10.4)).flags == ()
    assert benchmark.parse(text.format(160)).flags == ("latency_disagrees",)


def test_a_rate_that_is_cut_off_is_no_figure() -> None:
    found = benchmark.parse("[INFO] ave_throughputRate: 141.7")
    assert found.throughput is None
    assert "ave_throughputRate is not whole" in found.unread
    cut = benchmark.parse("[infer] throughputRate: 171.595, Interface throughputRate: 24[INFO] x")
    assert cut.throughput is None
    assert "infer: Interface throughputRate is not whole" in cut.unread


def test_several_runs_in_one_text_are_flagged() -> None:
    assert "several_summaries" in benchmark.parse(f"{INFER}\n{INFER.replace('247', '248')}").flags
    assert "two_modes" in benchmark.parse(f"{INFER}\nave_throughputRate: 1samples/s, ave_latency: 1000ms").flags
    assert "several_batches" in benchmark.parse("benchmark -batch_size=1\nbenchmark -batch_size=4").flags


def test_the_same_line_on_screen_and_in_the_file_is_one_run() -> None:
    assert benchmark.parse(f"{INFER}\n{INFER}").flags == ()


# --- whatever comes ------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "[infer] ",
        "[e2e] ",
        "throughputRate: ",
        "Interface throughputRate: ",
        "moduleLatency: ",
        "1e308",
        "5e-324",
        "0",
        ", ",
        "ave_throughputRate: ",
        "samples/s",
        "ave_latency = ",
        "ms",
        "\n",
        "\r",
        "-batch_size=",
        "./benchmark -",
        "Dataset",
    ]
)


@settings(max_examples=300)
@given(st.lists(WORDS | st.text(max_size=5), max_size=30).map("".join))
def test_no_text_raises(text: str) -> None:
    json.dumps(benchmark.parse(text).as_dict(), allow_nan=False)


HOSTILE = {
    "digits": "ave_throughputRate: " + "1" * 40,
    "stages": "[infer] throughputRate: 1, ",
    "paths": "/" + "x" * 40 + "/benchmark",
    "blanks": "ave_latency" + " \t" * 20,
    "devices": "_batchsize_1_device_",
    "counted": "[infer] throughputRate: {0}, Interface throughputRate: {0}\nave_throughputRate: {0}samples/s\n",
    "numbers": "Dataset number: {0} finished cost {0}ms -batch_size={0} -device_id={0}\n",
    "commands": "/path{0}/benchmark -om_path={0}.om\n",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("end", ["", "\n"], ids=["one-line", "lines"])
def test_work_grows_with_the_text_and_not_with_its_square(name: str, end: str) -> None:
    part = HOSTILE[name] + end
    with at_most(cpu_seconds=20):  # 400 kB take some tenths of a second, their square minutes
        benchmark.parse("".join(part.format(count) for count in range(400_000 // len(part))))


def test_a_log_of_50_mb_is_read_to_its_end() -> None:
    line = "[INFO] some line of a library that the tool loads, which prints one for each image of a large data set\n"
    found = benchmark.parse(line * (50_000_000 // len(line)) + INFER)
    assert found.throughput == 247.898
