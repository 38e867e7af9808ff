"""The runtime ais_bench: through a small package of our own in the shapes of three generations, and the public one."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import catalogue
from fixtures.ascend import ais_bench, ais_bench_files, ais_bench_front, ais_bench_summary, console, environment
from fixtures.ascend.ais_bench import AisBenchSession, Command
from fixtures.ascend.ais_bench_front import Front
from fixtures.ascend.ais_bench_summary import SummaryError
from fixtures.backend import EMULATED, Backend
from fixtures.case import Case
from fixtures.device import Device
from fixtures.errors import SetupError
from fixtures.model import Gate, Model
from fixtures.model import Tensor as ModelTensor
from fixtures.runtime import Missing, Signature, Tensor
from fixtures.runtimes import ascend
from fixtures.runtimes.ais_bench import RUNTIME, gear
from fixtures.tool import ToolError
from tests import fake_om

SITE = Path(__file__).parents[1] / "fixtures" / "emulator" / "site"
SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "samples" / "ais_bench"
PUBLIC = os.environ.get("SIGNOFF_TEST_AIS_BENCH", "")
LATER = any(Path(folder, "ais_bench/infer/benchmark_process.py").is_file() for folder in PUBLIC.split(":"))
"""Each generation of the public front end needs the aclruntime of its own."""
CASE = Case("sample", "tiny", 8, 2, "ascend310_ais_bench")
OPTIONS = {"soc_version": "Ascend310"}
BACKEND = Backend("ascend310_ais_bench", "ais_bench", "fp16", options=OPTIONS, devices_per_card=4)
TWIN = replace(BACKEND, name=BACKEND.name + EMULATED)
SIGNATURE = Signature(
    (Tensor("image", (2, 3), "float32"),), (Tensor("out", (2, 3), "float32"), Tensor("half", (2, 3), "float16"))
)
IMAGE = np.array([[1, -2, 3], [0.25, -0.5, 8]], np.float32)

FAKE = """
import argparse, json, os, pathlib, signal, struct, sys
S = json.loads(os.environ.get("FAKE", "{}"))
first, later = S.get("generation") == "G1", S.get("spelling") == "later"
parser = argparse.ArgumentParser()
parser.add_argument("--om-model" if later else "--model", dest="model", required=True)
parser.add_argument("--input")
parser.add_argument("--output")
if not first:
    for name, kind in (("output_dirname", str), ("warmup_count", int), ("batchsize", int)):
        parser.add_argument("--" + {"batchsize": "batch-size"}.get(name, name.replace("_", "-")) if later
                            else "--" + name, dest=name, type=kind)
parser.add_argument("--outfmt", choices=["BIN"])
parser.add_argument("--loop", type=int)
parser.add_argument("--device", type=int)
parser.add_argument("--dym-batch" if later else "--dymBatch", dest="dym", type=int)
args = parser.parse_args()
if "calls" in S:
    with open(S["calls"], "a") as calls:
        modes = {str(path): path.stat().st_mode for path in sorted(pathlib.Path().rglob("*"))}
        calls.write(json.dumps({"args": vars(args), "modes": modes, "HOME": os.environ.get("HOME")}) + chr(10))
if S.get("fault") == "hang":
    signal.pause()
for line in S.get("say", []):
    print(line)
folders = [pathlib.Path(name) for name in args.input.split(",")]
output = pathlib.Path(args.output) / (getattr(args, "output_dirname", None) or "2022_06_01-10_00_00")
output.mkdir()
if S.get("fault") == "exit":
    print("[INFO] end to finalize acl")
    sys.exit(1)
assert pathlib.Path(args.model).read_bytes() == b"an om"
files = sorted(folders[0].iterdir(), key=lambda path: int(path.stem.split("_")[1]))
for number, file in enumerate(files):
    data = file.read_bytes()
    values = struct.unpack("<%df" % (len(data) // 4), data)
    outputs = [data, struct.pack("<%de" % len(values), *[2 * value for value in values])]
    for place, content in enumerate(outputs):
        name = S.get("names", "{stem}_{output}.bin").format(stem=file.stem, number=number, output=place)
        (output / name).write_bytes(content[: S.get("cut", len(content))])
times = [S.get("ms", 2.0) + 0.5 * (n % 2) for n in range(len(files) * args.loop + S.get("extra", 0))]
mean = sum(times) / len(times)
batch = getattr(args, "batchsize", None) or 2
statistics = {"min": min(times), "max": max(times), "mean": mean, "median": times[0], "percentile(99%)": max(times)}
document = {"filesinfo": {}, "NPU_compute_time": statistics, "H2D_latency": statistics, "D2H_latency": statistics,
            "throughput": S.get("factor", 1) * 1000 * batch / mean}
if not first:
    document["NPU_compute_time"] = dict(statistics, count=len(times))
    pairs = [[7.0 + sum(times[:n]), 7.0 + sum(times[: n + 1])] for n in range(len(times))]
    document["npu_compute_time_list"] = pairs if S.get("generation") == "G3" else times
text = S.get("summary", json.dumps(document))
if S.get("fault") != "no summary":
    (output / "sumary.json" if first else output.with_name(output.name + "_summary.json")).write_text(text)
print("[INFO] throughput 1000*batchsize.mean(%s)/NPU_compute_time.mean(%s): 1" % (batch, mean))
print("[INFO] end to finalize acl")
"""


def model(**engine) -> Model:
    ends = (ModelTensor("image", ("N", 3)),), (ModelTensor("out", ("N", 3)), ModelTensor("half", ("N", 3)))
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


@pytest.fixture
def fake(tmp_path):
    """Return a function that opens a session of the fake ais_bench with settings."""
    package = tmp_path / "a front end, its folder" / "ais_bench"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(FAKE)
    (tmp_path / "an engine, cached.om").write_bytes(b"an om")

    def opened(modelled: bool = False, device: int = 3, **settings) -> AisBenchSession:
        said = {"calls": str(tmp_path / "calls"), **settings}
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), "FAKE": json.dumps(said)}
        ended = subprocess.run([sys.executable, "-m", "ais_bench", "--help"], env=env, capture_output=True, text=True)
        front = Front("0.0.2", ais_bench_front.spelled(ended.stdout))
        command = Command(front, Path(sys.executable), env, device, {})
        return AisBenchSession(command, tmp_path / "an engine, cached.om", SIGNATURE, model(), CASE, modelled)

    return opened


def calls(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


# One batch.


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"generation": "G3"},
        {"spelling": "later"},
        {"generation": "G1"},
        {"generation": "G1", "names": "input{number}_output_{output}.bin"},
        {"generation": "G1", "names": "sample_id_{number}_output_{output}.bin"},
    ],
)
def test_every_generation_runs_a_batch_and_its_raw_bytes_get_type_and_shape(fake, settings):
    with fake(**settings) as session:
        out, half = session.run((IMAGE,))
        np.testing.assert_array_equal(out, IMAGE)
        np.testing.assert_array_equal(half, (2 * IMAGE).astype(np.float16))
        assert (out.dtype, half.dtype) == (np.float32, np.float16)
        session.run((IMAGE,))
        assert session.device_ms() == pytest.approx((2.0, 2.0))
        assert session.device_ms() == ()


def test_what_it_is_told_is_explicit_and_no_path_of_the_host_is_among_it(fake, tmp_path):
    with fake() as session:
        session.run((IMAGE,))
    (call,) = calls(tmp_path)
    assert call["args"] == {
        "model": "model.om",
        "input": "run-1/input_0",
        "output": "run-1/output",
        "output_dirname": "results",
        "outfmt": "BIN",
        "loop": 1,
        "warmup_count": 0,
        "device": 3,
        "batchsize": 2,
        "dym": None,
    }


def test_nobody_else_may_write_what_it_reads_whatever_the_umask(fake, tmp_path):
    before = os.umask(0)
    try:
        with fake() as session:
            session.run((IMAGE,))
    finally:
        os.umask(before)
    modes = calls(tmp_path)[0]["modes"]
    read = [name for name in modes if name.startswith(("model.om", "run-1/"))]
    assert {"model.om", "run-1/input_0", "run-1/input_0/batch_0.bin", "run-1/output"} <= set(read)
    assert not [name for name in read if modes[name] & (stat.S_IWGRP | stat.S_IWOTH)]


def test_non_contiguous_and_big_endian_inputs_are_written_as_the_engine_reads_them(fake):
    with fake() as session:
        for image in (np.asfortranarray(IMAGE), IMAGE.astype(">f4"), np.repeat(IMAGE, 2, 1)[:, ::2]):
            np.testing.assert_array_equal(session.run((image,))[0], IMAGE)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ((IMAGE, IMAGE), "2 inputs where the engine takes 1"),
        ((IMAGE.astype(np.float64),), r"float64 \(2, 3\) for input image, which is float32 \(2, 3\)"),
        ((IMAGE.T,), r"float32 \(3, 2\) for input image"),
        ((IMAGE[:1],), r"float32 \(1, 3\) for input image"),
    ],
)
def test_inputs_that_it_would_take_silently_are_refused_before_it_starts(fake, tmp_path, inputs, found):
    with fake() as session, pytest.raises(ToolError, match=f"tiny-bs2-ascend310_ais_bench: .*{found}"):
        session.run(inputs)
    assert not (tmp_path / "calls").exists()


# Times.


def test_it_times_all_batches_for_about_so_long(fake, tmp_path):
    batches = [(IMAGE * number,) for number in range(1, 13)]
    with fake() as session:
        timed = session.time(batches, seconds=0.6, warmup_seconds=0.03)
    probe, run = (call["args"] for call in calls(tmp_path))
    assert (probe["loop"], probe["warmup_count"]) == (5, 1)
    assert (run["loop"], run["warmup_count"]) == (25, 15)  # 600 ms / 12 batches / 2 ms; 30 ms / 2 ms
    assert len(timed.device_ms) == 12 * 25
    assert set(timed.device_ms) == {2.0, 2.5}
    assert sorted(timed.outputs) == [0, 4, 8]
    for place, (out, _) in timed.outputs.items():
        np.testing.assert_array_equal(out, batches[place][0])  # batch_10 comes after batch_9
    assert timed.flags == ()
    assert timed.details["throughput"] == pytest.approx(2000 / 2.25)
    assert timed.details["throughput_recomputed"] == pytest.approx(2000 / 2.25)
    assert timed.details["statistics"]["NPU_compute_time"]["count"] == 300
    assert timed.details["command"][1:3] == ["-m", "ais_bench"]
    assert timed.details["tool"] == "ais_bench 0.0.2"
    assert "throughput 1000*batchsize.mean(2)" in timed.log


def test_pairs_of_start_and_end_are_durations(fake):
    with fake(generation="G3") as session:
        timed = session.time([(IMAGE,)], seconds=0.01, warmup_seconds=0)
    assert timed.device_ms == pytest.approx([2.0, 2.5, 2.0, 2.5, 2.0])
    assert timed.flags == ()


def test_a_generation_without_samples_gives_its_mean_and_says_so(fake):
    with fake(generation="G1") as session:
        timed = session.time([(IMAGE,)], seconds=0.01, warmup_seconds=0)
    assert timed.device_ms == pytest.approx((2.2,), abs=0.1)
    assert timed.flags == ("no_samples",)
    assert "its own statistics only" in timed.details["samples"]


@pytest.mark.parametrize(
    ("factor", "flags"), [(1.0009, ()), (1.0011, ("throughput_disagrees",)), (2, ("throughput_disagrees",))]
)
def test_a_throughput_that_is_not_that_of_its_samples_is_flagged_with_both(fake, factor, flags):
    with fake(factor=factor) as session:
        timed = session.time([(IMAGE,)], seconds=0.01, warmup_seconds=0)
    assert timed.flags == flags
    assert timed.details["throughput"] == pytest.approx(factor * timed.details["throughput_recomputed"])


def test_another_run_mode_than_asked_is_flagged(fake):
    with fake(say=["[WARNING] aclruntime version:None is lower please update aclruntime"]) as session:
        timed = session.time([(IMAGE,)], seconds=0.01, warmup_seconds=0)
    assert timed.flags == ("run_mode_tensor",)
    assert "aclruntime None" in timed.details["run_mode"]


def test_modelled_times_do_not_say_how_long_a_run_takes(fake):
    with fake(modelled=True, ms=0.001) as session:
        timed = session.time([(IMAGE,)], seconds=0.5, warmup_seconds=0)
    assert timed.details["loop"] < 1000  # by its times: 50000


# What goes wrong.


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"fault": "exit"}, "found exit status 1"),
        ({"fault": "exit", "say": ["SetDevice failed. ret=107001"]}, r"cannot be opened \(107001\).*compare --device"),
        ({"fault": "no summary"}, "found no summary, though it ended well"),
        ({"summary": '{"NPU_compute_ti'}, "summary that cannot be read"),
        ({"summary": "[]"}, "without NPU_compute_time"),
        ({"extra": 1}, "found 2 executions in its summary"),
        ({"cut": 20}, r"20 bytes in its output batch_0_0.bin, where out \(float32 \(2, 3\)\) has 24"),
        ({"names": "other{number}_{output}"}, "no output batch_0_0.bin"),
    ],
)
def test_end_lines_are_no_sign_of_success(fake, tmp_path, settings, found):
    with (
        fake(**settings) as session,
        pytest.raises(ToolError, match=f"tiny-bs2-ascend310_ais_bench: .*{found}") as caught,
    ):
        session.run((IMAGE,))
    log = Path(str(caught.value).partition("all of it: ")[2].partition(")")[0])
    assert log == tmp_path / "home" / "logs" / "ais_bench-sample-tiny-bs2-ascend310_ais_bench.txt"
    assert "end to finalize acl" in log.read_text()
    assert "-m ais_bench --model" in log.read_text().splitlines()[0]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_hang_is_ended_and_told(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(ais_bench, "RUN_SECONDS", 0.3)
    with fake(fault="hang") as session, pytest.raises(ToolError, match=r"still running.*npu-smi info.*; its log: "):
        session.run((IMAGE,))
    assert [path.name[:9] for path in (tmp_path / "home" / "logs").iterdir()] == ["ais_bench"]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_no_space_is_told(fake, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ais_bench_files, "write", full)
    with fake() as session, pytest.raises(ToolError, match=r"No space left on device.*TMPDIR"):
        session.run((IMAGE,))


def test_nothing_is_left_of_a_session_that_went_well(fake):
    with fake() as session:
        session.run((IMAGE,))
        folder = session._folder
        assert f"-{os.getpid()}-" in folder.name
        assert sorted(path.name for path in folder.iterdir()) == ["model.om", "run-1.log"]
    assert not folder.exists()


def test_of_very_much_output_beginning_and_end_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "MOST_BYTES", 10)
    for text, kept in (
        ("0123456789", "0123456789"),
        ("0123456789abcdefghij", "0123456789abcdefghij"),
        ("0123456789-abcdefghij", "0123456789\n...\nabcdefghij"),
    ):
        (tmp_path / "log").write_text(text)
        assert console.text(tmp_path / "log") == kept


# Summaries.


def summary(folder: Path, document: object) -> ais_bench_summary.Summary:
    path = folder / "x_summary.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return ais_bench_summary.read(path)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "null",
        '{"NPU_compute_time": 3}',
        '{"NPU_compute_time": {}}',
        '{"NPU_compute_time": {"mean": 0}}',
        '{"NPU_compute_time": {"mean": NaN}}',
        '{"NPU_compute_time": {"mean": true}}',
        '{"NPU_compute_time": {"mean": 1}, "npu_compute_time_list": 3}',
        '{"NPU_compute_time": {"mean": 1}, "npu_compute_time_list": [1, "2"]}',
        '{"NPU_compute_time": {"mean": 1}, "npu_compute_time_list": [1, Infinity]}',
        '{"NPU_compute_time": {"mean": 1}, "npu_compute_time_list": [5, -1]}',
        '{"NPU_compute_time": {"mean": 1}, "npu_compute_time_list": [[0, 5], [2, 1]]}',
        '{"NPU_compute_time": {"mean": 1}, "npu_compute_time_list": [[1, 2, 3]]}',
        '{"NPU_compute_time": {"mean": 1, "count": 3}, "npu_compute_time_list": [1, 2]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_summary_is_refused(tmp_path, document):
    with pytest.raises(SummaryError):
        summary(tmp_path, document)


times = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=20)


@given(times, st.booleans())
def test_flat_times_and_pairs_are_the_same(tmp_path_factory, values, pairs):
    listed = [[0.0, value] for value in values] if pairs else values
    found = summary(
        tmp_path_factory.mktemp("summary"),
        {"NPU_compute_time": {"count": len(values)}, "npu_compute_time_list": listed},
    )
    assert found.samples_ms == tuple(values)
    assert found.count == len(values)
    assert math.isclose(found.recomputed(4), 4000 / (math.fsum(values) / len(values)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
)


@given(
    st.fixed_dictionaries(
        {"NPU_compute_time": st.dictionaries(st.sampled_from(["mean", "count"]), json_values)},
        optional={"npu_compute_time_list": json_values, "throughput": json_values},
    )
)
def test_any_json_is_a_summary_or_refused(tmp_path_factory, document):
    try:
        found = summary(tmp_path_factory.mktemp("summary"), document)
    except SummaryError:
        return
    assert found.mean_ms > 0
    assert all(math.isfinite(value) and value >= 0 for value in found.samples_ms)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here")
def test_recorded_summaries_agree_with_their_samples():
    found = {path.name: ais_bench_summary.read(path) for path in sorted(SAMPLES.glob("*.summary.json"))}
    assert len(found) > 10
    for name, each in found.items():
        assert each.samples_ms, name
        factor = each.throughput * each.mean_ms / 1000
        assert factor == pytest.approx(round(factor)), name
        assert each.agrees(round(factor)), name
        assert not each.agrees(2 * round(factor)), name


# What is installed.


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here")
def test_the_recorded_help_text_spells_all_flags():
    found = ais_bench_front.spelled((SAMPLES / "help.stdout.txt").read_text())
    assert found == {name: forms[0] for name, forms in ais_bench_front.SPELLINGS.items()}


def test_a_flag_is_found_as_a_whole_word_and_in_either_spelling():
    found = ais_bench_front.spelled("usage: --om-model OM --inputs X --output-dirname D, --output O\n [--loop LOOP]")
    assert found == {
        "model": "--om-model",
        "output_dirname": "--output-dirname",
        "output": "--output",
        "loop": "--loop",
    }


def test_a_flag_that_is_needed_and_not_offered_is_an_error():
    front = Front("", {"model": "--model"})
    assert front.words({"model": "a b", "warmup_count": 3}) == ["--model", "a b"]
    with pytest.raises(ToolError, match="--dymBatch or --dym-batch"):
        front.words({"dymBatch": 2})


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Stand in for a host that has all that the runtime ascend needs."""
    ais_bench_front._asked.cache_clear()
    env = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    monkeypatch.setattr(ascend.RUNTIME, "missing", lambda backend, model: None, raising=False)
    monkeypatch.setattr(environment, "environment", lambda backend: env)
    monkeypatch.setattr(environment, "python", lambda backend: Path(sys.executable))
    monkeypatch.delenv(ais_bench_front.FOLDERS, raising=False)
    yield env
    ais_bench_front._asked.cache_clear()


def test_it_is_in_the_registry_and_shares_the_engines_of_ascend310():
    assert catalogue.find("runtime", "ais_bench") is RUNTIME
    assert RUNTIME.emulator
    assert RUNTIME.compiler is ascend.RUNTIME.compiler
    ours, other = (catalogue.find("backend", name) for name in ("ascend310_ais_bench", "ascend310"))
    assert ours == replace(other, name="ascend310_ais_bench", runtime="ais_bench")


def test_what_ascend_misses_is_missing_here_too(host, monkeypatch):
    nothing = Missing("no CANN", "install it")
    monkeypatch.setattr(ascend.RUNTIME, "missing", lambda backend, model: nothing, raising=False)
    assert RUNTIME.missing(BACKEND, model()) == nothing


@pytest.mark.parametrize(("backend", "step"), [(BACKEND, "--ascend-python"), (TWIN, ais_bench_front.FOLDERS)])
def test_a_python_without_it_is_told_with_what_to_do(host, backend, step):
    found = RUNTIME.missing(backend, model())
    assert found
    assert "ModuleNotFoundError: No module named 'ais_bench'" in found.reason
    assert step in found.next_step
    with pytest.raises(SetupError, match="expected ais_bench; found that the public ais_bench front end"):
        RUNTIME.versions(backend)


def test_folders_for_emulation_reach_the_emulator_only(host, fake, tmp_path, monkeypatch):
    monkeypatch.setenv(ais_bench_front.FOLDERS, str(tmp_path / "a front end, its folder"))
    assert RUNTIME.missing(TWIN, model()) is None
    assert RUNTIME.missing(BACKEND, model())
    monkeypatch.setattr(ascend.RUNTIME, "versions", lambda backend: {"toolkit": "7.0.0"}, raising=False)
    assert RUNTIME.versions(TWIN) == {"toolkit": "7.0.0", "ais_bench": "of unknown version"}


def test_another_module_of_that_name_is_refused(host, tmp_path):
    (tmp_path / "ais_bench").mkdir()
    (tmp_path / "ais_bench" / "__main__.py").write_text("print('help: --words')")
    host["PYTHONPATH"] = str(tmp_path)
    found = RUNTIME.missing(BACKEND, model())
    assert found
    assert "--model and --input" in found.reason


# Open shapes.


def opened(shape: tuple[int, ...]) -> Signature:
    return Signature((Tensor("image", shape, "float32"),), (Tensor("out", (4, *shape[1:]), "float16"),))


def wide() -> Model:
    ends = (ModelTensor("image", ("N", 3, "S", "S")),), (ModelTensor("out", ("N", 3, "2S", "2S")),)
    return replace(model(), inputs=ends[0], outputs=ends[1])


@pytest.mark.parametrize(
    ("mode", "shape", "flags"),
    [
        ("static", (2, 3, 8, 8), {}),
        ("dymbatch", (-1, 3, 8, 8), {"dymBatch": 2}),
        ("dymhw", (2, 3, -1, -1), {"dymHW": "8,8"}),
        ("dymdims", (-1, 3, -1, 8), {"dymDims": "image:2,3,8,8"}),
        ("dymshape", (-1, 3, -1, -1), {"dymShape": "image:2,3,8,8", "outputSize": str(2 * 3 * 16 * 16 * 2)}),
    ],
)
def test_open_shapes_are_set_to_those_of_the_case(mode, shape, flags):
    assert gear(mode, opened(shape), wide(), CASE) == flags


def test_how_the_shapes_of_a_supplied_engine_are_set_is_asked_of_the_engine(host, fake, tmp_path, monkeypatch):
    env = fake_om.environment()
    env["PYTHONPATH"] += f":{tmp_path / 'a front end, its folder'}"
    monkeypatch.setattr(environment, "environment", lambda backend: env)
    shape = (-1, 3)
    engine = fake_om.write(
        tmp_path / "m.om", [fake_om.tensor("image", shape, 48)], [fake_om.tensor("y", shape, 48)], batch=[1, 2, 4]
    )
    plain = model()  # the options say nothing of gears
    with RUNTIME.open(engine, plain, CASE, BACKEND, Device("npu-0", 0, "310")) as session:
        assert session._command.shapes == {"dymBatch": 2}


# The public front end on the emulated aclruntime.


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    """Return a function that sets up an emulated host with a fault."""
    if not PUBLIC:
        pytest.skip("SIGNOFF_TEST_AIS_BENCH names no folder of the public ais_bench front end")
    for name in ("SIGNOFF_ASCEND_ENV", "SIGNOFF_ASCEND_PYTHON", "SIGNOFF_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(ais_bench_front.FOLDERS, PUBLIC)
    ais_bench_front._asked.cache_clear()

    def start(**acl: object) -> None:
        scenario = {"soc": "Ascend310", "generation": "G3" if LATER else "G2", "acl": acl}
        (tmp_path / "scenario.json").write_text(json.dumps(scenario))
        monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))

    return start


def emulated_om(path: Path, batch: int, gears: dict) -> Path:
    """Write an OM with the emulator's own code, in a process of its own: the harness never imports it."""
    import onnx

    kind = onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("Relu", ["image"], ["out"]), onnx.helper.make_node("Neg", ["image"], ["half"])]
    ends = [onnx.helper.make_tensor_value_info(name, kind, ["N", 3]) for name in ("image", "out", "half")]
    opset = [onnx.helper.make_opsetid("", 11)]
    graph = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "tiny", ends[:1], ends[1:]), opset_imports=opset, ir_version=8
    )
    described = [{"name": name, "shape": [batch, 3], "dtype": "float32"} for name in ("image", "out", "half")]
    meta = {
        **{"soc_version": "Ascend310", "inputs": described[:1], "outputs": described[1:], "gears": gears},
        **{"dynamic": False, "precision_mode": "force_fp16", "command": ["atc"], "tuned": 1.0, "cann": "7.0.0"},
    }
    code = "import sys, emulated_om; emulated_om.write(sys.argv[1], sys.stdin.buffer.read(), eval(sys.argv[2]))"
    command = [sys.executable, "-c", code, path, repr(meta)]
    subprocess.run(command, input=graph.SerializeToString(), env={"PYTHONPATH": str(SITE)}, check=True)
    return path


@pytest.mark.parametrize(
    ("batch", "gears", "engine"),
    [(2, {}, {}), (-1, {"batch": [1, 2, 4]}, {"dynamic_batch_size": "1,2,4", "input_shape": "image:-1,3"})],
)
def test_the_public_front_end_runs_and_times_an_emulated_engine(emulator, tmp_path, batch, gears, engine):
    emulator()
    (tmp_path / "with blank").mkdir()
    path = emulated_om(tmp_path / "with blank" / "m.om", batch, gears)
    assert RUNTIME.missing(TWIN, model()) is None
    device, *others = RUNTIME.devices(TWIN)
    assert len(others) == 3
    with RUNTIME.open(path, model(**engine), CASE, TWIN, device) as session:
        batches = [(IMAGE * number,) for number in range(1, 12)]
        expected = [session.run(inputs) for inputs in batches[:1]]
        np.testing.assert_allclose(expected[0][0], np.maximum(IMAGE, 0), rtol=1e-3)
        np.testing.assert_allclose(expected[0][1], -IMAGE, rtol=1e-3)
        assert len(session.device_ms()) == 1
        timed = session.time(batches, seconds=0.1, warmup_seconds=0)
    assert timed.flags == ()
    assert len(timed.device_ms) == 11 * timed.details["loop"]
    for place, (out, _) in timed.outputs.items():
        np.testing.assert_allclose(out, np.maximum(batches[place][0], 0), rtol=1e-3)
    assert "Inference array Processing" in timed.log


def test_the_public_front_end_tells_of_an_execution_that_fails(emulator, tmp_path):
    emulator(fault="exec_fail")
    device, *_ = RUNTIME.devices(TWIN)
    path = emulated_om(tmp_path / "m.om", 2, {})
    with RUNTIME.open(path, model(), CASE, TWIN, device) as session, pytest.raises(ToolError, match="execution failed"):
        session.run((IMAGE,))
