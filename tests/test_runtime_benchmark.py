"""The runtime benchmark, against a script of our own: nobody of us has the closed tool."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import catalogue, signature
from fixtures.ascend import benchmark_output, benchmark_tool, devices, environment, om
from fixtures.ascend.benchmark_output import OutputError
from fixtures.ascend.benchmark_tool import BenchmarkSession
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.device import Device
from fixtures.errors import SetupError
from fixtures.model import Gate, Model, Tensor
from fixtures.runtime import Missing
from fixtures.runtimes import ascend, benchmark
from fixtures.runtimes.benchmark import RUNTIME
from fixtures.tool import ToolError
from tests import cann, fake_om

CASE = Case("sample", "tiny", 4, 2, "ascend310_benchmark")
BACKEND = Backend("ascend310_benchmark", "benchmark", "fp16", options={"soc_version": "Ascend310"}, devices_per_card=4)
NPU = Device("0000:81:00.0", 2, "310")
IMAGES = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)

TOOL = """#!{python} -IS
import json, os, pathlib, signal, sys
S = json.loads({settings!r})
flags = dict(word[1:].split("=", 1) for word in sys.argv[1:])
with open({calls!r}, "a") as calls:
    info = pathlib.Path(flags.get("input_text_path", "nowhere"))
    told = info.read_text() if info.exists() else ""
    calls.write(json.dumps({{"argv": sys.argv[1:], "cwd": os.getcwd(), "info": told}}) + chr(10))
if S.get("fault") == "hang":
    signal.pause()
for line in S.get("say", []):
    print(line)
if S.get("fault") == "exit":
    sys.exit(3)
assert pathlib.Path(flags["om_path"]).read_bytes()[:4] == b"IMOD"
result = pathlib.Path("result")
result.mkdir()
device, batch = flags["device_id"], int(flags["batch_size"])
if "round" in flags:
    line = S.get("pure", "ave_throughputRate: 250samples/s, ave_latency: 4ms")
    for number in range(3):
        print("[INFO] Dataset number: %d finished cost 2.635ms" % number)
    if S.get("fault") != "no figure":
        if S.get("in file"):
            (result / ("PureInfer_perf_of_model_in_device_%s.txt" % device)).write_text(line)
        else:
            print(line)
else:
    folder = result / ("dumpOutput_device" + device)
    folder.mkdir()
    lines = told.splitlines()
    assert len(lines) % batch == 0
    for place, line in enumerate(lines):
        index, path, width, height = line.split(" ")
        assert (index, width, height) == (str(place), flags["input_width"], flags["input_height"])
        content = pathlib.Path(path).read_bytes()
        if S.get("half"):
            import array, struct
            content = struct.pack("<%de" % (len(content) // 4), *array.array("f", content))
        for output in range(2):
            name = pathlib.Path(path).stem + "_%d.bin" % (S.get("first", 1) + output)
            (folder / name).write_bytes(content[: S.get("cut", len(content))])
    if S.get("fault") != "no figure":
        print("[e2e] throughputRate: 170.628, latency: 293035")
        print("[infer] throughputRate: 171.595, Interface throughputRate: 247.898, moduleLatency: 5.12562")
"""


def model(*inputs: Tensor, **engine) -> Model:
    image = Tensor("image", ("N", 3, "S", 6))
    ends = inputs or (image,), (replace(image, name="out"), replace(image, name="again"))
    return Model(
        *("tiny", "none", "none", *ends),
        profiles={},
        gate=Gate(0.01),
        parity={"fp32": Gate(0.01)},
        engine={"ascend": engine},
    )


@pytest.fixture(autouse=True)
def own_scratch(monkeypatch, tmp_path):
    """Have what a failed run leaves, its log, go with the test."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    ascend.about.cache_clear()


@pytest.fixture
def script(tmp_path):
    """Return a function that writes the tool with settings."""

    def write(path: Path | None = None, **settings) -> Path:
        path = path or tmp_path / "old tools" / "benchmark.x86_64"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            TOOL.format(python=sys.executable, settings=json.dumps(settings), calls=str(tmp_path / "calls"))
        )
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def fake(script, tmp_path):
    """Return a function that opens a session of the tool with settings."""
    (tmp_path / "an engine, cached.om").write_bytes(cann.an_om())

    def opened(**settings) -> BenchmarkSession:
        env = {"PATH": os.environ["PATH"]}
        return BenchmarkSession(script(**settings), env, tmp_path / "an engine, cached.om", 2, model(), CASE, "of 2020")

    return opened


def calls(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


# One batch, and times.


@pytest.mark.parametrize("settings", [{}, {"first": 0}, {"half": True}])
def test_it_runs_a_batch_from_a_list_of_files(fake, tmp_path, settings):
    with fake(**settings) as session:
        out, again = session.run((IMAGES,))
        assert session.device_ms() == ()
        assert session.signature is None
    assert out.dtype == (np.float16 if settings.get("half") else np.float32)
    np.testing.assert_array_equal(out, IMAGES)
    np.testing.assert_array_equal(again, IMAGES)
    (call,) = calls(tmp_path)
    assert call["info"] == "0 ./input/sample000000.bin 6 4\n1 ./input/sample000001.bin 6 4\n"
    assert call["argv"] == [
        "-model_type=vision",
        "-device_id=2",
        "-batch_size=2",
        "-om_path=../model.om",
        "-input_text_path=./input.info",
        "-input_width=6",
        "-input_height=4",
        "-useDvpp=False",
        "-output_binary=True",
    ]


@pytest.mark.parametrize("in_file", [False, True])
def test_it_is_timed_in_both_modes_and_one_average_is_called_one(fake, tmp_path, in_file):
    batches = [(IMAGES + number,) for number in range(5)]
    with fake(**{"in file": in_file}) as session:
        timed = session.time(batches, seconds=2.0, warmup_seconds=1.0)
    data, first, pure = calls(tmp_path)
    assert len(data["info"].splitlines()) == 10
    assert first["argv"] == ["-round=20", "-om_path=../model.om", "-device_id=2", "-batch_size=2"]
    assert pure["argv"][0] == "-round=250"  # 2 s / (4 ms a sample, 2 a batch)
    assert timed.device_ms == (8.0,)
    assert timed.flags == ("no_samples", "pure_mode")
    assert timed.details["data_set_throughput"] == {"e2e": 170.628, "infer": 171.595, "interface": 247.898}
    assert (timed.details["pure_throughput"], timed.details["pure_latency_ms_per_sample"]) == (250, 4)
    assert "one average" in timed.details["samples"]
    assert timed.details["tool"] == "benchmark of 2020"
    assert sorted(timed.outputs) == [0, 1, 3]
    for place, (out, _) in timed.outputs.items():
        np.testing.assert_array_equal(out, batches[place][0])
    assert "Interface throughputRate" in timed.log
    assert "ave_latency" in timed.log


def test_a_latency_that_is_not_that_of_its_rate_is_flagged(fake):
    with fake(pure="ave_throughputRate: 250samples/s, ave_latency: 8ms") as session:
        timed = session.time([(IMAGES,)], seconds=0, warmup_seconds=0)
    assert timed.flags == ("no_samples", "pure_mode", "throughput_disagrees")


# What goes wrong.


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"fault": "exit"}, "found exit status 3"),
        ({"fault": "exit", "say": ["[ERROR] acl open device 2 failed"]}, "a device that cannot be opened"),
        ({"fault": "no figure"}, "no line with Interface throughputRate, though it ended well"),
        ({"cut": 100}, r"100 bytes in sample000000_1.bin, where float32 \(3, 4, 6\) has 288 or 144"),
        ({"first": 2}, "no output sample000000_1.bin"),
    ],
)
def test_a_run_that_fails_says_why_and_keeps_its_log(fake, tmp_path, settings, found):
    with (
        fake(**settings) as session,
        pytest.raises(ToolError, match=f"tiny.*bs2-ascend310_benchmark: .*{found}") as caught,
    ):
        session.run((IMAGES,))
    assert found.replace("\\", "") in str(caught.value)
    log = tmp_path / "home" / "logs" / "benchmark-sample-tiny-bs2-ascend310_benchmark.txt"
    assert f"all of it: {log}" in str(caught.value)
    assert log.read_text().startswith("$ ")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_pure_run_without_its_line_is_an_error(fake):
    with fake(pure="ave_throughputRate: samples/s") as session, pytest.raises(ToolError, match="ave_throughputRate"):
        session.time([(IMAGES,)], seconds=0, warmup_seconds=0)


def test_a_hang_is_ended_and_told(fake, monkeypatch):
    monkeypatch.setattr(benchmark_tool, "RUN_SECONDS", 0.3)
    with fake(fault="hang") as session, pytest.raises(ToolError, match=r"still running.*npu-smi info"):
        session.run((IMAGES,))


def test_no_space_is_told(fake, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(benchmark_tool, "_write", full)
    with fake() as session, pytest.raises(ToolError, match=r"No space left on device.*TMPDIR"):
        session.run((IMAGES,))


@pytest.mark.parametrize("inputs", [(IMAGES, IMAGES), (IMAGES.astype(np.uint8),), (IMAGES[:1],)])
def test_inputs_that_are_not_the_models_are_refused_before_it_starts(fake, tmp_path, inputs):
    with fake() as session, pytest.raises(ToolError, match="give what the model takes"):
        session.run(inputs)
    assert not (tmp_path / "calls").exists()


def test_nothing_is_left_of_a_session_that_went_well(fake):
    with fake() as session:
        session.run((IMAGES,))
        folder = session._folder
        assert f"-{os.getpid()}-" in folder.name
        assert sorted(path.name for path in folder.iterdir()) == ["model.om", "run-1.log"]
    assert not folder.exists()


# Lines of published pages (ascend.md 5.3).


@pytest.mark.parametrize(
    ("text", "rate", "latency"),
    [
        ("[INFO] ave_throughputRate: 141.738samples/s, ave_latency: 7.35671ms", 141.738, 7.35671),
        ("ave_throughputRate = 22.3706samples/s, ave_latency = 44.7073ms", 22.3706, 44.7073),
        ("ave_thoroughputRate:141.738samples/s, ave_latency:7.35671ms", 141.738, 7.35671),
        (
            "ave_throughputRate: 1samples/s, ave_latency: 1ms\nave_throughputRate: 2samples/s, ave_latency: 500ms",
            2,
            500,
        ),
    ],
)
def test_pure_figures_are_read_in_every_spelling(text, rate, latency):
    found = benchmark_output.pure(text)
    assert (found.throughput, found.latency_ms) == (rate, latency)
    assert found.agrees


@pytest.mark.parametrize(
    "text", ["", "ave_throughputRate: 0samples/s, ave_latency: 1ms", "ave_throughputRate: 1samples/s, ave_latency: 0ms"]
)
def test_pure_figures_that_are_none_are_refused(text):
    with pytest.raises(OutputError):
        benchmark_output.pure(text)


def test_stages_are_read_and_the_post_stage_is_not_taken_for_the_calls():
    text = "[inference] throughputRate: 8.1, Interface throughputRate: 8.19018, moduleLatency: 1\n"
    assert benchmark_output.stages(text + "[postprocess] throughputRate: 7.91221, moduleLatency: 2") == {
        "inference": 8.1,
        "interface": 8.19018,
        "postprocess": 7.91221,
    }
    with pytest.raises(OutputError):
        benchmark_output.stages("[post] throughputRate: 7.91221, moduleLatency: 2")


@given(st.text(alphabet="ave_throughputRate=:lncysmpi/ ,0123456789.[]", max_size=200))
def test_no_text_raises_anything_else(text):
    for read in (benchmark_output.pure, benchmark_output.stages):
        with contextlib.suppress(OutputError):
            read(text)


# What is installed.


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Stand in for a host with CANN and a 310."""
    toolkit = cann.install(tmp_path)
    for name in ("SIGNOFF_ASCEND_BENCHMARK", "SIGNOFF_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(toolkit.script))
    monkeypatch.setattr(devices, "devices", lambda backend: (NPU,))
    monkeypatch.setattr(devices, "_look", lambda backend: ((NPU,), ""))
    return toolkit


def test_it_is_in_the_registry_and_shares_the_engines_of_ascend310():
    assert catalogue.find("runtime", "benchmark") is RUNTIME
    assert not RUNTIME.emulator
    assert RUNTIME.compiler is ascend.RUNTIME.compiler
    ours, other = (catalogue.find("backend", name) for name in ("ascend310_benchmark", "ascend310"))
    assert ours == replace(other, name="ascend310_benchmark", runtime="benchmark")


@pytest.mark.parametrize("name", benchmark.TOOLS)
def test_it_is_found_on_the_path_of_cann(host, script, name):
    assert "are not on the PATH" in RUNTIME.missing(BACKEND, model()).reason
    path = script(host.root / "bin" / name)
    assert RUNTIME.missing(BACKEND, model()) is None
    assert RUNTIME.versions(BACKEND)["toolkit"] == "5.0.2"
    before = RUNTIME.versions(BACKEND)["benchmark"]
    path.write_text(path.read_text() + "# another release\n")
    assert RUNTIME.versions(BACKEND)["benchmark"] != before


def test_the_one_the_user_names_comes_first(host, script, monkeypatch, tmp_path):
    script(host.root / "bin" / "benchmark")
    monkeypatch.setenv("SIGNOFF_ASCEND_BENCHMARK", str(tmp_path / "mine"))
    assert "names no file" in RUNTIME.missing(BACKEND, model()).reason
    script(tmp_path / "mine").chmod(0o644)
    found = RUNTIME.missing(BACKEND, model())
    assert found == Missing(f"{tmp_path / 'mine'} is not executable", f"chmod +x {tmp_path / 'mine'}")
    script(tmp_path / "mine")
    assert RUNTIME.missing(BACKEND, model()) is None
    assert RUNTIME.devices(BACKEND) == (NPU,)


def test_what_it_cannot_be_given_is_missing(host, script, monkeypatch):
    script(host.root / "bin" / "benchmark")
    image, mask = Tensor("image", ("N", 3, "S", "S")), Tensor("mask", ("N", 1, "S", "S"))
    assert "images of one input" in RUNTIME.missing(BACKEND, model(image, mask)).reason
    assert "images of one input" in RUNTIME.missing(BACKEND, model(Tensor("words", ("N", "S"), "int64"))).reason
    opened = model(dynamic_batch_size="1,2", input_shape="image:-1,3,4,6")
    assert "fixed shapes" in RUNTIME.missing(BACKEND, opened).reason
    monkeypatch.setattr(devices, "_look", lambda backend: ((), "no NPU here"))
    assert RUNTIME.missing(BACKEND, model()).reason == "no NPU here"
    monkeypatch.setattr(environment, "missing", lambda backend: Missing("no CANN", "install it"))
    assert RUNTIME.missing(BACKEND, model()) == Missing("no CANN", "install it")


def test_it_runs_in_the_environment_of_cann(host, script, tmp_path):
    script(host.root / "bin" / "benchmark")
    engine = tmp_path / "m.om"
    engine.write_bytes(cann.an_om())
    with RUNTIME.open(engine, model(), CASE, BACKEND, NPU) as session:
        np.testing.assert_array_equal(session.run((IMAGES,))[0], IMAGES)
    engine.write_bytes(b"<html>")
    with pytest.raises(om.OmError, match="HTML"):
        RUNTIME.open(engine, model(), CASE, BACKEND, NPU)


def test_an_engine_of_the_emulator_is_refused(host, script, tmp_path):
    script(host.root / "bin" / "benchmark")
    (tmp_path / "m.om").write_bytes(fake_om.header(0, user=om.EMULATED))
    with pytest.raises(SetupError, match="written by the emulator, and ascend310_benchmark is not emulated"):
        RUNTIME.open(tmp_path / "m.om", model(), CASE, BACKEND, NPU)


def test_where_aclruntime_is_there_it_tells_what_an_engine_takes(host, script, monkeypatch, tmp_path):
    path = script(host.root / "bin" / "benchmark")
    engine = fake_om.write(
        tmp_path / "m.om",
        [fake_om.tensor("image", (4, 3, 4, 6), 1152)],
        [fake_om.tensor(name, (4, 3, 4, 6), 1152) for name in ("out", "again")],
    )
    with RUNTIME.open(engine, model(), CASE, BACKEND, NPU) as session:
        assert session.signature is None
        signature.check(session.signature, model(), CASE, engine)  # nothing can be said
    env = {**fake_om.environment(), "PATH": f"{path.parent}:{os.environ['PATH']}"}
    monkeypatch.setattr(environment, "environment", lambda backend: env)
    monkeypatch.setattr(environment, "python", lambda backend: Path(sys.executable))
    found = r"expected input image float32 2 x .*; found .* 4 x"
    with RUNTIME.open(engine, model(), CASE, BACKEND, NPU) as session:
        told = session.signature
    with pytest.raises(signature.SignatureError, match=found):
        signature.check(told, model(), CASE, engine)


def test_opening_without_the_tool_says_how_to_name_it(host, tmp_path):
    (tmp_path / "m.om").write_bytes(cann.an_om())
    with pytest.raises(SetupError, match="--ascend-benchmark=FILE"):
        RUNTIME.open(tmp_path / "m.om", model(), CASE, BACKEND, NPU)


def test_big_endian_inputs_are_written_as_the_engine_reads_them(fake):
    with fake() as session:
        np.testing.assert_array_equal(session.run((IMAGES.astype(">f4"),))[0], IMAGES)
