"""The stand-in for trtexec: what each release accepts, refuses, prints and writes."""

from __future__ import annotations

import json
import re
import signal
import statistics

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from tests import graphs, standins
from tests.standins import Ended, Tool

RELEASES = ("7.2.3", "8.0.1", "8.2.1", "8.4.1", "8.5.2", "8.6.1", "10.3.0", "11.0.0")
NUMBERS = {"8.0.1": "8001", "8.6.1": "8601", "10.3.0": "100300", "11.0.0": "110000"}
SHORT = ("--duration=0", "--iterations=20", "--warmUp=1")
SHAPE = "--shapes=image:4x3x8x8"
ROW = re.compile(r"\] \[I\] ([A-Z][\w -]*): (min = .*)$", re.MULTILINE)
NAME_UNKNOWN = "Please make sure the input tensor names are correct."
STATIC = "Static model does not take explicit shapes"
OVERRIDDEN = "Automatically overriding shape to: "


@pytest.fixture
def trtexec(tmp_path, monkeypatch, capsys) -> Tool:
    tool = Tool("emulated_trtexec", tmp_path, monkeypatch, capsys)
    graphs.save(tmp_path / "m.onnx", graphs.convolution())
    graphs.save(tmp_path / "static.onnx", graphs.convolution(batch=2))
    return tool


def release(trtexec: Tool, version: str) -> None:
    trtexec.scenario(trtexec={"version": version})


def passed(ended: Ended) -> bool:
    """Tell whether a run passed; status and marker must agree."""
    last = ended.lines[-1]
    assert (ended.status, last.split()[1]) in ((0, "PASSED"), (1, "FAILED"))
    return ended.status == 0


def figures(text: str) -> dict[str, dict[str, float]]:
    """Return the rows of a summary from 8.0 on, by name."""
    return {
        name: {key: float(value) for key, value in re.findall(r"(\S+) = ([\d.e-]+) ms", row)}
        for name, row in ROW.findall(text)
    }


def test_markers_name_the_release_and_the_command(trtexec):
    for version in RELEASES:
        release(trtexec, version)
        ended = trtexec("--onnx=m.onnx", SHAPE, *SHORT)
        assert passed(ended)
        number = rf" \[TensorRT v{NUMBERS.get(version, '[0-9]+')}\]" if version != "7.2.3" else ""
        build = r" \[b\d+\]" if version == "11.0.0" else ""
        rest = re.escape(f" # trtexec --onnx=m.onnx {SHAPE} {' '.join(SHORT)}")
        assert re.fullmatch(rf"&&&& RUNNING TensorRT\.trtexec{number}{build}{rest}", ended.lines[0])
        assert re.fullmatch(rf"&&&& PASSED TensorRT\.trtexec{number}{build}{rest}", ended.lines[-1])
        assert ended.lines[1].startswith("signoff emulator: ")


UNKNOWN = {
    "7.2.3": ["--infStreams=2", "--memPoolSize=workspace:1", "--skipInference", "--stronglyTyped", "--nonsense"],
    "8.6.1": ["--stronglyTyped", "--noCudaGraph", "stray"],
    "10.3.0": ["--workspace=2048", "--buildOnly", "--explicitBatch", "--batch=2", "--includeDataTransfers"],
    "11.0.0": ["--fp16", "--int8", "--workspace=2048", "--buildOnly"],
}
KNOWN = {
    "7.2.3": ["--fp16", "--explicitBatch", "--workspace=2048", "--threads", "--streams=1", "--separateProfileRun"],
    "8.6.1": ["--fp16", "--explicitBatch", "--workspace=2048", "--batch=1", "--useSpinWait", "--infStreams=1"],
    "10.3.0": ["--fp16", "--stronglyTyped", "--memPoolSize=workspace:2048", "--noDataTransfers", "--useCudaGraph"],
    "11.0.0": ["--stronglyTyped", "--noDataTransfers", "--noCudaGraph", "--noSpinWait", "--includeDataTransfers"],
}


@pytest.mark.parametrize(("version", "flag"), [(version, flag) for version, flags in UNKNOWN.items() for flag in flags])
def test_refuses_flags_the_release_does_not_have(trtexec, version, flag):
    release(trtexec, version)
    ended = trtexec("--onnx=m.onnx", SHAPE, *SHORT, flag)
    assert not passed(ended)
    name, _, value = flag.partition("=")
    assert f"[E] Unknown option: {name} {value}\n" in ended.output


@pytest.mark.parametrize("version", KNOWN)
def test_takes_the_flags_of_the_release(trtexec, version):
    release(trtexec, version)
    assert passed(trtexec("--onnx=m.onnx", SHAPE, *SHORT, *KNOWN[version]))


@pytest.mark.parametrize("version", RELEASES)
def test_a_wrong_name_is_ignored_before_8_2_and_refused_after(trtexec, version):
    release(trtexec, version)
    ended = trtexec("--onnx=m.onnx", "--shapes=images:4x3x8x8", *SHORT)
    if version in ("7.2.3", "8.0.1"):
        assert passed(ended)
        assert (
            f"[W] Dynamic dimensions required for input: image, but no shapes were provided. {OVERRIDDEN}1x3x8x8"
            in (ended.output)
        )
    else:
        assert not passed(ended)
        assert f'Cannot find input tensor with name "images" in the network inputs! {NAME_UNKNOWN}' in ended.output


@pytest.mark.parametrize("version", RELEASES)
def test_shapes_for_a_static_model_are_ignored_by_7_and_refused_after(trtexec, version):
    release(trtexec, version)
    ended = trtexec("--onnx=static.onnx", "--shapes=image:2x3x8x8", *SHORT)
    assert passed(ended) is (version == "7.2.3")
    assert (STATIC in ended.output) is (version != "7.2.3")
    assert passed(trtexec("--onnx=static.onnx", *SHORT))


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("8.2.1", "Created input binding for image with dimensions 4x3x8x8"),
        ("8.6.1", "Input binding for image with dimensions 4x3x8x8 is created."),
        ("11.0.0", "Output binding for class with dimensions 4x4x8x8 is created."),
    ],
)
def test_says_which_shapes_are_bound(trtexec, version, line):
    release(trtexec, version)
    assert line in trtexec("--onnx=m.onnx", SHAPE, *SHORT).output


def test_release_7_prints_blocks_and_no_throughput(trtexec):
    release(trtexec, "7.2.3")
    text = trtexec("--onnx=m.onnx", SHAPE, *SHORT).output
    texts = [line.partition("] [I] ")[2] for line in text.splitlines() if "] [I] " in line]
    assert "throughput: 0 qps" in texts
    assert any(line.startswith("Timing trace has 0 queries over ") for line in texts)
    host, enqueue, compute = (texts.index(name) for name in ("Host Latency", "Enqueue Time", "GPU Compute"))
    assert host < enqueue < compute
    assert [line.split(":")[0] for line in texts[enqueue + 1 : compute]] == ["min", "max", "median"]
    assert [line.split(":")[0] for line in texts[compute + 1 : compute + 7]] == [
        *("min", "max", "mean", "median", "percentile", "total compute time"),
    ]
    assert re.fullmatch(r"percentile: [\d.]+ ms at 99% \(end to end [\d.]+ ms at 99%\)", texts[host + 5])
    assert "Performance summary" not in text


@pytest.mark.parametrize("version", RELEASES[1:])
def test_later_releases_print_one_line_each(trtexec, version):
    release(trtexec, version)
    text = trtexec("--onnx=m.onnx", SHAPE, *SHORT).output
    assert "[I] === Performance summary ===" in text
    assert re.search(r"\[I\] Throughput: [\d.]+ qps", text)
    rows = figures(text)
    eleven = version == "11.0.0"
    expected = {"Latency", "GPU Compute Time"} | (set() if eleven else {"Enqueue Time", "H2D Latency", "D2H Latency"})
    expected |= {"End-to-End Host Latency"} if version < "8.4" and version[0] == "8" else set()
    assert rows.keys() == expected
    ranks = (
        ["percentile(99%)"] if version in ("8.0.1", "8.2.1", "8.4.1") else [f"percentile({p}%)" for p in (90, 95, 99)]
    )
    for row in rows.values():
        assert list(row) == ["min", "max", "mean", "median", *ranks]
        assert row["min"] <= row["median"] <= row["percentile(99%)"] <= row["max"]
    ending = "end to end" if version in ("8.0.1", "8.2.1") else "(enqueue"
    assert ending in next(line for line in text.splitlines() if "Average on 10 runs" in line)


def test_percentiles_are_those_asked_for(trtexec):
    rows = figures(trtexec("--onnx=m.onnx", SHAPE, *SHORT, "--percentile=50,99.9").output)
    assert list(rows["Latency"])[4:] == ["percentile(50%)", "percentile(99.9%)"]


def test_times_follow_from_the_graph_and_repeat_to_the_digit(trtexec):
    def compute(*more: str) -> float:
        return figures(trtexec("--onnx=m.onnx", "--duration=1", *more).output)["GPU Compute Time"]["mean"]

    one = compute("--shapes=image:1x3x8x8")
    assert compute("--shapes=image:1x3x8x8") == one
    big = "--shapes=image:1024x3x8x8"
    assert compute(big) > compute(big, "--fp16") > one
    latency = figures(trtexec("--onnx=m.onnx", big, *SHORT).output)
    bare = figures(trtexec("--onnx=m.onnx", big, *SHORT, "--noDataTransfers").output)
    assert latency["Latency"]["mean"] > bare["Latency"]["mean"] == bare["GPU Compute Time"]["mean"]
    assert bare["H2D Latency"]["max"] == 0


def test_runs_until_both_limits_are_met(trtexec):
    few = trtexec("--onnx=m.onnx", SHAPE, "--duration=0", "--iterations=37", "--exportTimes=t.json")
    assert "Timing trace has 37 queries" in few.output
    assert len(json.loads((trtexec.folder / "t.json").read_text())) == 37
    long = trtexec("--onnx=m.onnx", SHAPE, "--duration=2", "--iterations=37")
    assert 2 <= float(re.search(r"queries over ([\d.]+) s", long.output)[1]) < 2.01


NEW = ["startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs", "startD2hMs", "endD2hMs",
       "h2dMs", "computeMs", "d2hMs", "latencyMs"]  # fmt: skip
OLD = ["startEnqMs", "endEnqMs", "startInMs", "endInMs", "startComputeMs", "endComputeMs", "startOutMs", "endOutMs",
       "inMs", "computeMs", "outMs", "latencyMs", "endToEndMs"]  # fmt: skip


@pytest.mark.parametrize("version", RELEASES)
def test_exports_raw_times_with_the_keys_of_the_release(trtexec, version):
    release(trtexec, version)
    ended = trtexec("--onnx=m.onnx", SHAPE, "--warmUp=50", "--duration=0.1", "--exportTimes=t.json")
    rows = json.loads((trtexec.folder / "t.json").read_text())
    keys = OLD if version == "7.2.3" else NEW + (["endToEndMs"] if version in ("8.0.1", "8.2.1") else [])
    assert all(list(row) == keys for row in rows)
    warm = sum(row["startComputeMs"] < 50 for row in rows)
    assert (warm > 0) is (version in ("7.2.3", "8.0.1", "8.2.1", "8.4.1"))
    timed = [row["computeMs"] for row in rows[warm:]]
    if version != "7.2.3":
        assert statistics.median(timed) == pytest.approx(figures(ended.output)["GPU Compute Time"]["median"], rel=1e-4)
        return
    row = rows[warm]  # copies under the names of the enqueue, and the other way round
    assert row["endEnqMs"] - row["startEnqMs"] == pytest.approx(row["inMs"], abs=1e-2)
    assert row["endInMs"] - row["startInMs"] > row["inMs"]


def test_exports_what_the_graph_computes_from_the_given_files(trtexec):
    import onnxruntime

    image = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)
    image.tofile(trtexec.folder / "image.bin")
    argv = ["--onnx=m.onnx", SHAPE, *SHORT, "--loadInputs=image:image.bin", "--exportOutput=o.json"]
    ended = trtexec(*argv)
    assert "Using values loaded from image.bin for input image" in ended.output
    (found,) = json.loads((trtexec.folder / "o.json").read_text())
    assert list(found) == ["name", "dimensions", "values"]
    assert (found["name"], found["dimensions"]) == ("class", "4x4x8x8")
    session = onnxruntime.InferenceSession(trtexec.folder / "m.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": image})
    full = np.array(found["values"], np.float32).reshape(expected.shape)
    np.testing.assert_allclose(full, expected, rtol=1e-5, atol=1e-5)
    assert passed(trtexec(*argv, "--fp16"))
    (found,) = json.loads((trtexec.folder / "o.json").read_text())
    half = np.array(found["values"], np.float32).reshape(expected.shape)
    np.testing.assert_allclose(half, expected, rtol=1e-2, atol=1e-2)
    assert not np.allclose(half, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(half, half.astype(np.float16).astype(np.float32), rtol=1e-5)


def test_several_inputs_and_outputs_of_several_types(trtexec):
    nodes = [helper.make_node("Add", ["a.1", "b:0"], ["sum"]), helper.make_node("Abs", ["a.1"], ["size"])]
    both = graphs.model(
        nodes,
        inputs={name: (onnx.TensorProto.INT32, [2, 3]) for name in ("a.1", "b:0")},
        outputs={name: (onnx.TensorProto.INT32, [2, 3]) for name in ("sum", "size")},
        weights={},
    )
    graphs.save(trtexec.folder / "both.onnx", both)
    values = np.arange(6, dtype=np.int32).reshape(2, 3) - 3
    values.tofile(trtexec.folder / "a")
    values.tofile(trtexec.folder / "b")
    assert passed(trtexec("--onnx=both.onnx", *SHORT, "--loadInputs=a.1:a,'b:0':b", "--exportOutput=o.json"))
    assert passed(trtexec("--onnx=both.onnx", *SHORT, "--loadInputs=a.1:a,b:0:b", "--exportOutput=o.json"))
    found = {entry["name"]: entry["values"] for entry in json.loads((trtexec.folder / "o.json").read_text())}
    assert found == {"sum": (2 * values).ravel().tolist(), "size": abs(values).ravel().tolist()}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("image:short.bin", "Unexpected file size for input file: short.bin"),
        ("image:absent.bin", "Cannot open file absent.bin"),
        ("images:short.bin", NAME_UNKNOWN),
        ("nothing", "Invalid input"),
    ],
)
def test_refuses_inputs_that_do_not_fit(trtexec, given, message):
    (trtexec.folder / "short.bin").write_bytes(bytes(100))
    ended = trtexec("--onnx=m.onnx", SHAPE, *SHORT, f"--loadInputs={given}")
    assert not passed(ended)
    assert message in ended.output


@pytest.mark.parametrize(("version", "magic"), [("7.2.3", b"ptrt"), ("8.0.1", b"ftrt"), ("11.0.0", b"ftrt")])
def test_a_plan_starts_as_those_of_its_release(trtexec, version, magic):
    release(trtexec, version)
    assert passed(trtexec("--onnx=m.onnx", SHAPE, *SHORT, "--saveEngine=m.plan"))
    assert (trtexec.folder / "m.plan").read_bytes()[:4] == magic
    assert passed(trtexec("--loadEngine=m.plan", SHAPE, *SHORT))


def test_a_plan_holds_mark_graph_and_version_and_runs_again(trtexec):
    built = trtexec("--onnx=m.onnx", "--fp16", SHAPE, *SHORT, "--saveEngine=m.plan")
    content = (trtexec.folder / "m.plan").read_bytes()
    assert content.startswith(b"ftrt")
    assert b"EMULATED BY SIGNOFF" in content[:64]
    assert int.from_bytes(content[16:24], "little") == len(content)
    assert content[24:28] == bytes([10, 3, 0, 0])
    assert numpy_helper.to_array(graphs.convolution().graph.initializer[0]).tobytes() in content
    loaded = trtexec("--loadEngine=m.plan", SHAPE, *SHORT)
    assert passed(loaded)
    assert figures(loaded.output) == figures(built.output)


@pytest.mark.parametrize("flag", ["--skipInference", "--buildOnly"])
def test_building_alone_has_no_figure(trtexec, flag):
    release(trtexec, "8.6.1")
    ended = trtexec("--onnx=m.onnx", SHAPE, "--saveEngine=m.plan", flag)
    assert passed(ended)
    assert "Skipped inference phase" in ended.output
    assert "Throughput" not in ended.output
    assert (trtexec.folder / "m.plan").is_file()


def damaged(trtexec: Tool, how: str) -> None:
    path = trtexec.folder / "m.plan"
    content = path.read_bytes()
    broken = {"truncated": content[:-10], "empty": b"", "onnx": (trtexec.folder / "m.onnx").read_bytes()}
    path.write_bytes(broken[how])


@pytest.mark.parametrize("how", ["truncated", "empty", "onnx"])
def test_refuses_a_damaged_plan(trtexec, how):
    trtexec("--onnx=m.onnx", SHAPE, *SHORT, "--saveEngine=m.plan")
    damaged(trtexec, how)
    ended = trtexec("--loadEngine=m.plan", SHAPE, *SHORT)
    assert not passed(ended)
    assert "[E] Engine set up failed" in ended.output


def test_refuses_the_plan_of_another_release(trtexec):
    trtexec("--onnx=m.onnx", SHAPE, *SHORT, "--saveEngine=m.plan")
    release(trtexec, "8.6.1")
    ended = trtexec("--loadEngine=m.plan", SHAPE, *SHORT)
    assert not passed(ended)
    assert "expecting library version 8.6.1 got 10.3.0, please rebuild." in ended.output


def test_a_profile_bounds_what_runs(trtexec):
    wide = [f"--{end}Shapes=image:{batch}x3x8x8" for end, batch in (("min", 1), ("opt", 4), ("max", 8))]
    assert passed(trtexec("--onnx=m.onnx", *wide, *SHORT, "--saveEngine=m.plan"))
    assert "4x3x8x8" in trtexec("--onnx=m.onnx", *wide, *SHORT).output.split("Input binding")[1]
    assert passed(trtexec("--loadEngine=m.plan", "--shapes=image:8x3x8x8", *SHORT))
    outside = trtexec("--loadEngine=m.plan", "--shapes=image:9x3x8x8", *SHORT)
    assert not passed(outside)
    assert "Inference set up failed" in outside.output
    unsaid = trtexec("--loadEngine=m.plan", *SHORT)
    assert passed(unsaid)
    assert f"{OVERRIDDEN}1x3x8x8" in unsaid.output
    wrong = trtexec("--loadEngine=m.plan", "--shapes=images:4x3x8x8", *SHORT)
    assert not passed(wrong)
    assert "in the engine bindings!" in wrong.output


def test_one_end_of_a_profile_stands_for_the_others_with_a_warning(trtexec):
    ended = trtexec("--onnx=m.onnx", "--optShapes=image:4x3x8x8", *SHORT)
    assert passed(ended)
    assert "[W] " in ended.output
    assert passed(trtexec("--onnx=m.onnx", SHAPE, *SHORT))


def test_a_static_plan_passes_over_the_shapes_it_is_given(trtexec):
    trtexec("--onnx=static.onnx", *SHORT, "--saveEngine=m.plan")
    ended = trtexec("--loadEngine=m.plan", "--shapes=image:7x3x8x8", *SHORT)
    assert passed(ended)
    assert "Input binding for image with dimensions 2x3x8x8" in ended.output


@pytest.mark.parametrize(
    "shape", ["image:4x5x8x8", "image:4x3x8", "image:4x3x8xa", "image", "image:0x3x8x8", "image:4x3x8x8x1"]
)
def test_refuses_shapes_the_graph_does_not_have(trtexec, shape):
    assert not passed(trtexec("--onnx=m.onnx", f"--shapes={shape}", *SHORT))


@pytest.mark.parametrize("content", [b"", b"no onnx", graphs.convolution().SerializeToString()[:-40], None])
def test_refuses_a_file_that_is_no_graph(trtexec, content):
    if content is not None:
        (trtexec.folder / "bad.onnx").write_bytes(content)
    ended = trtexec("--onnx=bad.onnx", *SHORT)
    assert not passed(ended)
    assert "[E] Failed to parse onnx file" in ended.output
    assert "[E] Engine set up failed" in ended.output


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--fp16"], "Model missing or format not recognized"),
        (["--onnx=m.onnx", SHAPE, "--duration=long"], "Invalid value for --duration"),
        (["--onnx=m.onnx", SHAPE, "--duration=-1"], "Invalid value for --duration"),
        (["--onnx=m.onnx", SHAPE, "--warmUp=inf"], "Invalid value for --warmUp"),
        (["--onnx=m.onnx", SHAPE, *SHORT, "--percentile=99,101"], "percentile is not in [0, 100]!"),
        (["--onnx=m.onnx", SHAPE, *SHORT, "--percentile=most"], "Invalid value for --percentile"),
        (["--onnx=m.onnx", SHAPE, *SHORT, "--saveEngine=absent/m.plan"], "Saving engine to file failed."),
    ],
)
def test_refuses_what_it_cannot_do(trtexec, argv, message):
    ended = trtexec(*argv)
    assert not passed(ended)
    assert message in ended.output


def test_files_that_cannot_be_written_are_passed_over(trtexec):
    assert passed(trtexec("--onnx=m.onnx", SHAPE, *SHORT, "--exportTimes=absent/t", "--exportOutput=absent/o"))


def test_an_export_in_fp16_from_11_on_is_fast_without_a_flag(trtexec):
    from onnxconverter_common import float16

    release(trtexec, "11.0.0")
    big = "--shapes=image:1024x3x8x8"
    slow = figures(trtexec("--onnx=m.onnx", big, *SHORT).output)
    half = float16.convert_float_to_float16(graphs.convolution(), keep_io_types=True)
    graphs.save(trtexec.folder / "m.onnx", half)
    fast = figures(trtexec("--onnx=m.onnx", big, *SHORT, "--exportOutput=o.json").output)
    assert fast["GPU Compute Time"]["mean"] < slow["GPU Compute Time"]["mean"]
    assert json.loads((trtexec.folder / "o.json").read_text())[0]["dimensions"] == "1024x4x8x8"


@pytest.mark.parametrize(
    ("version", "flags", "expected"),
    [
        ("10.3.0", [], ("Enabled", "Disabled", "Disabled")),
        ("10.3.0", ["--noDataTransfers", "--useSpinWait", "--useCudaGraph"], ("Disabled", "Enabled", "Enabled")),
        ("11.0.0", ["--noDataTransfers"], ("Disabled", "Enabled", "Enabled")),
        ("11.0.0", ["--includeDataTransfers", "--noSpinWait", "--noCudaGraph"], ("Enabled", "Disabled", "Disabled")),
    ],
)
def test_defaults_turned_round_in_11(trtexec, version, flags, expected):
    release(trtexec, version)
    text = trtexec("--onnx=m.onnx", SHAPE, *SHORT, *flags).output
    found = tuple(re.search(rf"{name}: (\w+)", text)[1] for name in ("Data transfers", "Spin-wait", "CUDA Graph"))
    assert found == expected
    assert ("H2D Latency" in figures(text)) is (version == "10.3.0" or expected[0] == "Enabled")


def test_streams_raise_the_latency_not_the_throughput(trtexec):
    alone, four = (trtexec("--onnx=m.onnx", SHAPE, "--duration=1", f"--infStreams={n}") for n in (1, 4))
    rates = [float(re.search(r"Throughput: ([\d.]+)", ended.output)[1]) for ended in (alone, four)]
    assert rates[1] == pytest.approx(rates[0], rel=0.01)
    assert figures(four.output)["Latency"]["mean"] > 3 * figures(alone.output)["Latency"]["mean"]
    assert "Multiple inference streams are used" in four.output


def test_passes_without_a_summary_on_request(trtexec):
    trtexec.scenario(trtexec={"fault": "no_summary"})
    ended = trtexec("--onnx=m.onnx", SHAPE, *SHORT)
    assert passed(ended)
    assert "Throughput" not in ended.output


def test_crashes_without_a_marker(trtexec):
    ended = standins.run(
        "trtexec", "--onnx=m.onnx", SHAPE, cwd=trtexec.folder, scenario={"trtexec": {"fault": "crash"}}
    )
    assert ended.status == -signal.SIGSEGV
    assert "PASSED" not in ended.output
    assert "FAILED" not in ended.output


def test_hangs_until_it_is_killed(trtexec):
    with standins.start(
        "trtexec", "--onnx=m.onnx", cwd=trtexec.folder, scenario={"trtexec": {"fault": "hang"}}
    ) as process:
        assert process.stdout.readline().startswith("&&&& RUNNING")
        assert process.stdout.readline().startswith("signoff emulator: ")
        process.kill()
        assert "PASSED" not in process.stdout.read()
    assert process.returncode == -signal.SIGKILL


def test_runs_as_a_command(trtexec):
    ended = standins.run("trtexec", "--onnx=m.onnx", SHAPE, *SHORT, cwd=trtexec.folder)
    assert passed(ended)
    assert standins.run("trtexec", "--help", cwd=trtexec.folder).status == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(RELEASES),
    st.dictionaries(st.sampled_from(("shapes", "minShapes", "maxShapes", "loadInputs", "percentile", "streams")),
                    st.text("image:x,0138'.-", max_size=14), max_size=3),
)  # fmt: skip
def test_whatever_is_typed_ends_with_a_marker(trtexec, version, given):
    release(trtexec, version)
    passed(trtexec("--onnx=m.onnx", *SHORT, *(f"--{name}={value}" for name, value in given.items())))
