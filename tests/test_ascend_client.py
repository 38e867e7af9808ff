"""A worker and who asks it: answers, refusals, crashes, hangs, garbage; each is an error of one case."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fixtures.ascend import acl_errors, client, session
from fixtures.case import Case
from fixtures.errors import SetupError
from fixtures.model import Gate, Model, Tensor
from fixtures.runtime import Signature
from fixtures.runtime import Tensor as EngineTensor
from fixtures.tool import ToolError, ToolWarning
from tests import fake_om
from tests.fake_om import FLOAT16, INT32, tensor

PYTHON = Path(sys.executable)
CASE = Case("sample", "tiny", 8, 2, "ascend310")
LOG = "aclruntime-sample-tiny-bs2-ascend310.txt"
OLD = "import sys; sys.exit(7 * (sys.version_info < (3, 7)))"
IMAGE = np.arange(6, dtype=np.float32).reshape(2, 3)
MODEL = Model(
    *("tiny", "none", "none", (Tensor("image", ("N", 3)),), (Tensor("out", ("N", 3)), Tensor("half", ("N", 3)))),
    profiles={},
    gate=Gate(0.01),
    parity={"fp32": Gate(0.01)},
)


def opened(engine: Path, mode: str = "", **settings) -> session.AscendSession:
    return session.AscendSession(PYTHON, fake_om.environment(**settings), engine, 0, MODEL, CASE, mode)


@pytest.fixture
def engine(tmp_path) -> Path:
    return fake_om.static(tmp_path / "m.om")


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch):
    """Keep logs in a folder of the test, and see that no worker outlives it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    yield
    assert not workers_below(tmp_path)


def workers_below(folder: Path) -> list[str]:
    """Return processes that work below a folder: a worker's own folder is one of them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().decode())  # empty for one that has ended
        except OSError:
            continue
    return [command for command in found if command]


def kept(tmp_path: Path) -> list[str]:
    assert list((tmp_path / "temporary").iterdir()) == []
    return sorted(path.name for path in (tmp_path / "home").rglob("*") if path.is_file())


# It runs.


@pytest.mark.parametrize("generation", ["G2", "G3"])
def test_runs_an_om_and_tells_its_device_times(engine, tmp_path, generation):
    with opened(engine, generation=generation) as loaded:
        assert loaded.signature == Signature(
            (EngineTensor("image", (2, 3), "float32"),),
            (EngineTensor("out", (2, 3), "float32"), EngineTensor("half", (2, 3), "float16")),
        )
        first = loaded.run((IMAGE,))
        second = loaded.run((IMAGE + 1,))
        np.testing.assert_array_equal(first[0], IMAGE)  # still what it was
        np.testing.assert_array_equal(second[1], (2 * (IMAGE + 1)).astype(np.float16))
        assert loaded.device_ms() == (1.0, 2.0)
        assert loaded.device_ms() == ()
        loaded.run((IMAGE,))
        assert loaded.device_ms() == (1.0,)  # since last asked
    assert kept(tmp_path) == []  # nothing went wrong, nothing is kept


def test_the_oldest_generation_tells_no_times(engine):
    with opened(engine, generation="G1") as loaded:
        loaded.run((IMAGE,))
        assert loaded.device_ms() == ()


def test_strides_and_byte_order_reach_the_engine_as_values(engine):
    with opened(engine) as loaded:
        np.testing.assert_array_equal(loaded.run((IMAGE.T.copy().T,))[0], IMAGE)
        np.testing.assert_array_equal(loaded.run((IMAGE.astype(">f4"),))[0], IMAGE)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ((IMAGE, IMAGE), "expected 1 inputs; found 2"),  # kills the real one
        ((), "expected 1 inputs; found 0"),
        ((IMAGE.astype(np.int32),), "float32 (2, 3), as the engine says; found int32 (2, 3)"),  # of the same bytes
        ((IMAGE.reshape(3, 2),), "float32 (2, 3), as the engine says; found float32 (3, 2)"),
        ((IMAGE.reshape(2, 3, 1),), "found float32 (2, 3, 1)"),
        ((IMAGE[:1],), "found float32 (1, 3)"),
        ((np.zeros((2, 3), np.complex64),), "found complex64"),
    ],
)
def test_refuses_what_aclruntime_would_take_silently_or_die_of(engine, inputs, found):
    with opened(engine) as loaded:
        with pytest.raises(client.WorkerError) as caught:
            loaded.run(inputs)
        assert found in str(caught.value)
        assert str(caught.value).startswith("tiny-bs2-ascend310: expected")
        np.testing.assert_array_equal(loaded.run((IMAGE,))[0], IMAGE)  # nothing is lost


def test_an_engine_whose_bytes_do_not_agree_with_its_shape_is_refused(tmp_path):
    aipp = fake_om.write(tmp_path / "m.om", [tensor("image", (2, 3), 6)], [tensor("a:0:b", (2, 3), 24)])
    with opened(aipp) as loaded, pytest.raises(client.WorkerError, match=r"expected 6 bytes.*found 24"):
        loaded.run((IMAGE,))


# Gears and open shapes.


def gears(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("[GEAR]")]


def test_sets_the_batch_gear_once_per_change(tmp_path):
    engine = fake_om.write(
        tmp_path / "m.om", [tensor("image", (-1, 3), 48)], [tensor("n:0:out", (-1, 3), 48)], batch=[1, 2, 4]
    )
    with opened(engine) as loaded:
        assert loaded.signature.inputs[0].shape == (-1, 3)
        for batch in (1, 2, 2, 4):
            image = np.ones((batch, 3), np.float32)
            assert loaded.run((image,))[0].shape == (batch, 3)
        assert gears(loaded._worker.log) == ["[GEAR] batch 1", "[GEAR] batch 2", "[GEAR] batch 4"]
        with pytest.raises(client.WorkerError, match=r"none of the engine's gears.*\[1, 2, 4\]"):
            loaded.run((np.ones((3, 3), np.float32),))
        assert loaded.run((np.ones((4, 3), np.float32),))[0].shape == (4, 3)  # set again after the refusal
        assert gears(loaded._worker.log)[-2:] == ["[GEAR] batch 3", "[GEAR] batch 4"]
        with pytest.raises(client.WorkerError, match=r"found float32 \(2, 4\)"):
            loaded.run((np.ones((2, 4), np.float32),))  # an axis the engine does not leave open


def test_sets_height_and_width(tmp_path):
    engine = fake_om.write(
        tmp_path / "m.om", [tensor("image", (1, 1, -1, -1), 256)], [tensor("n:0:out", (1, 1, -1, -1), 256)], hw=[[8, 4]]
    )
    with opened(engine) as loaded:
        assert loaded.run((np.ones((1, 1, 8, 4), np.float32),))[0].shape == (1, 1, 8, 4)
        with pytest.raises(client.WorkerError, match="gears"):
            loaded.run((np.ones((1, 1, 4, 8), np.float32),))


def test_sets_dims_of_all_inputs_by_name(tmp_path):
    inputs = [tensor("a:0", (1, -1), 64), tensor("b", (-1, 2), 64, INT32)]
    engine = fake_om.write(tmp_path / "m.om", inputs, [tensor("out", (1, -1), 64)], dims=["a:0:1,5;b:7,2"])
    with opened(engine) as loaded:
        found = loaded.run((np.ones((1, 5), np.float32), np.ones((7, 2), np.int32)))
        assert found[0].shape == (1, 5)


def test_what_the_options_say_of_open_axes_comes_before_what_they_look_like(tmp_path):
    engine = fake_om.write(tmp_path / "m.om", [tensor("x", (-1, 3), 48)], [tensor("y", (-1, 3), 48)], dims=["x:2,3"])
    with opened(engine, mode="dymdims") as loaded:
        assert loaded.run((IMAGE,))[0].shape == (2, 3)


def test_reserves_for_open_outputs_what_the_model_declares(tmp_path):
    outputs = [tensor("n:0:out", (-1, 3), 0), tensor("n:1:half", (-1, 3), 0, FLOAT16)]
    engine = fake_om.write(tmp_path / "m.om", [tensor("image", (-1, 3), 0)], outputs)
    with opened(engine) as loaded:
        assert loaded._output_bytes == [24, 12]
        assert loaded.run((IMAGE,))[0].shape == (2, 3)
        assert gears(loaded._worker.log) == ["[GEAR] shape image:2,3"]


def test_refuses_open_outputs_that_the_model_does_not_declare(tmp_path):
    outputs = [tensor(f"n:{index}:y", (-1, 3), 0) for index in range(3)]
    engine = fake_om.write(tmp_path / "m.om", [tensor("image", (-1, 3), 0)], outputs)
    with opened(engine) as loaded, pytest.raises(client.WorkerError, match=r"bytes of 3 outputs.*found 2"):
        loaded.run((IMAGE,))


# It is timed in the worker.

BATCHES = [(IMAGE + 10 * number,) for number in range(5)]


def runs(log: Path) -> list[int]:
    """Return which of BATCHES the engine ran, in order."""
    lines = log.read_text().splitlines()
    return [int(line.partition(" ")[2]) // 10 for line in lines if line.startswith("[RUN]")]


@pytest.mark.parametrize("generation", ["G2", "G3"])
def test_times_each_batch_once_at_least_and_only_the_timed_calls(engine, generation):
    with opened(engine, generation=generation, tells=True) as loaded:
        loaded.run((IMAGE,))
        before = time.perf_counter_ns()
        timed = loaded.time(BATCHES, seconds=0, warmup_seconds=0)
        after = time.perf_counter_ns()
        ran = runs(loaded._worker.log)
    assert loaded.most_batches is None
    assert timed.device_ms == (1.0, 2.0, 3.0, 4.0, 5.0)  # the fake counts since it was reset
    assert ran == [0, *range(5), *range(5)]  # a run, one of each as it arrives, the timed ones
    assert len(timed.host_ns) == len(timed.begun_ns) == 5
    assert min(timed.host_ns) > 0
    # One clock for all processes, and one call after the other.
    ends = [begun + taken for begun, taken in zip(timed.begun_ns, timed.host_ns, strict=True)]
    assert before < timed.begun_ns[0]
    assert ends[-1] < after
    assert all(end <= begun for end, begun in zip(ends[:-1], timed.begun_ns[1:], strict=True))
    assert timed.flags == ()
    assert timed.details == {
        "timed_in": "worker",
        "warmup_calls": 5,
        "to_device_ms_per_call": 0.25,
        "to_host_ms_per_call": 1.0,  # two outputs
    }


def test_outputs_of_three_batches_come_back_by_their_place(engine):
    with opened(engine) as loaded:
        timed = loaded.time(BATCHES, seconds=0, warmup_seconds=0)
        assert sorted(timed.outputs) == [0, 1, 2]
        for place, (out, half) in timed.outputs.items():
            np.testing.assert_array_equal(out, BATCHES[place][0])
            np.testing.assert_array_equal(half, (2 * BATCHES[place][0]).astype(np.float16))
        again = loaded.time(BATCHES[3:4], seconds=0, warmup_seconds=0)  # nothing of the first time is left
        np.testing.assert_array_equal(again.outputs[0][0], BATCHES[3][0])
        assert len(again.host_ns) == 1


def test_it_goes_on_for_as_long_as_it_is_told(engine):
    with opened(engine, tells=True) as loaded:
        timed = loaded.time(BATCHES, seconds=0.05, warmup_seconds=0.02)
        ran = runs(loaded._worker.log)
    assert len(timed.host_ns) > 5
    warmed = timed.details["warmup_calls"] - 5
    assert warmed > 0
    assert len(timed.device_ms) == len(timed.host_ns) == len(ran) - 5 - warmed
    assert ran[:10] == [*range(5), *range(5)]  # in turn


def test_batches_travel_once_however_often_they_run(engine, monkeypatch):
    sent = []
    send = client.frames.send
    monkeypatch.setattr(client.frames, "send", lambda *given: (sent.append(len(given[2])), send(*given)))
    with opened(engine) as loaded:
        sent.clear()
        loaded.time(BATCHES, seconds=0.05, warmup_seconds=0)
        assert sent == [1] * 5 + [0]


def test_strides_and_byte_order_of_timed_batches_reach_the_engine_as_values(engine):
    with opened(engine) as loaded:
        timed = loaded.time([(IMAGE.T.copy().T,), (IMAGE.astype(">f4"),)], seconds=0, warmup_seconds=0)
        for out, _ in timed.outputs.values():
            np.testing.assert_array_equal(out, IMAGE)


def test_the_gear_is_set_for_timed_batches_too(tmp_path):
    engine = fake_om.write(
        tmp_path / "m.om", [tensor("image", (-1, 3), 48)], [tensor("n:0:out", (-1, 3), 48)], batch=[1, 2, 4]
    )
    with opened(engine) as loaded:
        assert loaded.mode == "dymbatch"
        assert loaded.time(BATCHES, seconds=0, warmup_seconds=0).outputs[2][0].shape == (2, 3)


def test_what_it_cannot_time_is_refused_and_nothing_is_lost(engine):
    with opened(engine) as loaded:
        with pytest.raises(client.WorkerError, match="expected batches to time; found none"):
            loaded.time([], seconds=0, warmup_seconds=0)
        with pytest.raises(client.WorkerError, match="found int32"):
            loaded.time([BATCHES[0], (IMAGE.astype(np.int32),)], seconds=0, warmup_seconds=0)
        assert len(loaded.time(BATCHES[:2], seconds=0, warmup_seconds=0).host_ns) == 2


@pytest.mark.parametrize("generation", ["G1", "G2"])
def test_device_times_that_are_not_those_of_the_calls_are_flagged(engine, generation):
    with opened(engine, generation=generation, forgets=True) as loaded:
        timed = loaded.time(BATCHES, seconds=0, warmup_seconds=0)
    assert timed.flags == (() if generation == "G1" else ("device_times_disagree",))
    assert len(timed.host_ns) == 5


@pytest.mark.parametrize("well", [1, 7])
def test_a_hang_while_it_is_timed_is_ended(engine, tmp_path, monkeypatch, well):
    monkeypatch.setattr(session, "RUN_SECONDS", 0.25)
    with opened(engine, run=["hang", well]) as loaded:
        with pytest.raises(client.WorkerError, match=r"no answer within .*npu-smi"):
            loaded.time(BATCHES, seconds=0, warmup_seconds=0)
        assert not workers_below(tmp_path)
    assert kept(tmp_path) == [LOG]


@pytest.mark.parametrize("well", [1, 7])
def test_a_crash_while_it_is_timed_is_an_error_of_its_case(engine, well):
    found = r"tiny-bs2-ascend310: .*SIGABRT.*the last line before the end"
    with opened(engine, run=["abort", well]) as loaded, pytest.raises(client.WorkerError, match=found):
        loaded.time(BATCHES, seconds=0, warmup_seconds=0)


# It fails.

LOAD = "[ERROR] load model from file failed, model file is m.om"
INVALID = "[1][ACL: invalid parameter] "
GENERAL = "[-1][ACL: general failure] "


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"load": {"lines": ["E19999: Inner Error!", "Check model compatibility failed.", LOAD]}}, "another SoC"),
        ({"load": {"lines": ["rtModelLoad failed, ret:507008", LOAD]}}, r"another SoC.*\(507008\)"),
        ({"load": {"lines": ["ModelCheckArchVersion failed, omArchVersion=3, archType=0", LOAD]}}, "another SoC"),
        ({"load": {"lines": ["load failed, errorCode is [500002]", LOAD]}}, r"cannot be loaded \(500002\)"),
        ({"load": {"lines": [LOAD]}}, "cannot be loaded"),
        ({"load": {"lines": ["[ERROR] acl open device 0 failed", "SetDevice failed. ret=507033"]}}, "507033.*npu-smi"),
        ({"load": {"lines": ["alloc failed, runtime result = 207018", "ret=207018", LOAD]}}, "out of memory"),
        ({"load": {"lines": ["Malloc failed, ret = 245000", LOAD]}}, "out of memory"),
        ({"load": {"lines": ["parse failed, error code: 100013", LOAD]}}, "this CANN cannot read"),
    ],
)
def test_tells_from_its_own_lines_why_an_engine_does_not_load(engine, settings, found):
    settings["load"]["raises"] = INVALID
    with pytest.raises(client.WorkerError, match=found) as caught:
        opened(engine, **settings)
    assert "that m.om loads on device 0" in str(caught.value)
    assert settings["load"]["lines"][0].split(",")[0] in str(caught.value)  # the lines themselves


@pytest.mark.parametrize(
    ("lines", "raises", "found"),
    [
        (["call failed, ret=507011", "[ERROR] acl execute failed:1"], GENERAL, r"execution failed.*\(507011\)"),
        (["[ERROR] acl execute failed:1"], GENERAL, "the execution failed on the device"),
        (
            [
                "[ERROR] MemoryHelper::MxbsMalloc failed.i:0 name:out size:507011 ret:2",
                "[ERROR] create outmemory data failed:2",
            ],
            "[2][ACL: memory allocation fail] ",
            "ran out of memory",  # 507011 is a size here
        ),
        ([], "[2][ACL: memory allocation fail] ", "ran out of memory"),
        ([], "[4711][something new] ", r"RuntimeError: \[4711\]\[something new\]"),
    ],
)
def test_tells_why_a_run_failed_and_runs_again(engine, lines, raises, found):
    with opened(engine, run=[{"lines": lines, "raises": raises}, 0]) as loaded:
        with pytest.raises(client.WorkerError, match=found):
            loaded.run((IMAGE,))
        # The fake fails once.
        np.testing.assert_array_equal(loaded.run((IMAGE,))[0], IMAGE)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("abort", "killed by SIGABRT.*the last line before the end"),
        ("segv", "killed by SIGSEGV"),
        ("kill", "killed by SIGKILL.*out of memory"),
        ("leave", "exit status 3"),
        ("garbage", r"b'<htm' where a frame should begin"),
    ],
)
def test_a_crash_is_an_error_of_its_case_alone(engine, tmp_path, fault, found):
    with opened(engine, run=[fault, 1]) as loaded:
        loaded.run((IMAGE,))
        with pytest.raises(client.WorkerError, match=found) as first:
            loaded.run((IMAGE,))
        with pytest.raises(client.WorkerError) as second:
            loaded.run((IMAGE,))  # what is lost stays lost, for the same reason
        assert str(second.value) == str(first.value)
    assert kept(tmp_path) == [LOG]


def test_the_message_of_a_failure_names_the_log_that_stays(engine, tmp_path):
    with opened(engine, run="abort") as loaded, pytest.raises(client.WorkerError) as caught:
        loaded.run((IMAGE,))
    path = Path(str(caught.value).partition("all of it: ")[2].partition(")")[0])
    assert path == tmp_path / "home" / "logs" / LOG
    assert "the last line before the end" in path.read_text()
    assert str(tmp_path / "home" / "logs" / "ascend") in str(caught.value)  # CANN's own


def test_a_log_that_cannot_be_kept_hides_nothing(engine, tmp_path):
    (tmp_path / "home").write_text("a file")
    with opened(engine, run="abort") as loaded, pytest.raises(client.WorkerError, match=r"SIGABRT.*not kept, .*home"):
        loaded.run((IMAGE,))


def test_folders_of_killed_runs_are_removed_and_those_of_others_stay(engine, tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    place = tmp_path / "temporary"
    old, ours, theirs = (place / f"signoff-aclruntime-{end}" for end in (f"{gone.pid}-x", f"{os.getpid()}-x", "x"))
    for folder in (old, ours, theirs):
        (folder / "work").mkdir(parents=True)
    link = place / f"signoff-aclruntime-{gone.pid}-link"
    link.symlink_to(ours)
    with opened(engine) as loaded:
        assert str(os.getpid()) in loaded._worker.log.parent.name
        assert not old.exists()
        assert (ours / "work").exists()
        assert (theirs / "work").exists()
        assert link.is_symlink()
    for left in (ours, theirs):
        shutil.rmtree(left)
    link.unlink()


def test_a_worker_that_no_signal_ends_is_left_and_told(engine, monkeypatch):
    wait = subprocess.Popen.wait

    def stuck(process, timeout=None):
        if process.args[1:2] == ["-u"]:
            assert timeout is not None, "waits for ever"
            raise subprocess.TimeoutExpired(process.args, timeout)
        return wait(process, timeout)

    loaded = opened(engine, run="abort")
    process = loaded._worker._process
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", stuck)
        with pytest.raises(client.WorkerError):
            loaded.run((IMAGE,))
        with pytest.warns(ToolWarning, match=r"expected process \d+ to end once killed; .*left it"):
            loaded.__exit__()
    process.wait()


def test_a_crash_of_a_load_is_told_likewise(engine, tmp_path):
    with pytest.raises(client.WorkerError, match=r"SIGABRT.*the last line before the end"):
        opened(engine, load="abort")
    assert kept(tmp_path) == [LOG]


@pytest.mark.parametrize("method", ["load", "run"])
def test_a_hang_is_ended_at_once(engine, tmp_path, monkeypatch, method):
    monkeypatch.setattr(session, "LOAD_SECONDS", 0.25)
    monkeypatch.setattr(session, "RUN_SECONDS", 0.25)
    if method == "load":
        with pytest.raises(client.WorkerError, match=r"no answer within 0.25 s.*npu-smi"):
            opened(engine, load="hang")
    else:
        monkeypatch.setattr(session, "LOAD_SECONDS", 60)
        with opened(engine, run="hang") as loaded:
            with pytest.raises(client.WorkerError, match="no answer within"):
                loaded.run((IMAGE,))
            assert not workers_below(tmp_path)  # the device is free before the session is closed


def test_a_worker_killed_from_outside_names_the_signal_and_the_next_one_works(engine):
    with opened(engine) as loaded:
        loaded.run((IMAGE,))
        os.kill(loaded._worker._process.pid, signal.SIGKILL)
        with pytest.raises(client.WorkerError, match="SIGKILL"):
            loaded.run((IMAGE,))
    with opened(engine) as loaded:
        np.testing.assert_array_equal(loaded.run((IMAGE,))[0], IMAGE)


def test_a_hundred_megabytes_of_native_lines_hide_nothing(engine):
    with opened(engine, run="noise") as loaded:
        np.testing.assert_array_equal(loaded.run((IMAGE,))[0], IMAGE)
        assert loaded._worker.log.stat().st_size > 100 << 20
        with pytest.raises(client.WorkerError, match="expected 1 inputs"):
            loaded.run(())
        assert loaded._worker.log.stat().st_size < 1 << 20  # and they do not pile up


@pytest.mark.parametrize("to_host", ["stays", "object"])
def test_an_output_that_did_not_come_to_the_host_is_refused(engine, to_host):
    with opened(engine, to_host=to_host) as loaded, pytest.raises(client.WorkerError, match=r"output Relu_1:0:out"):
        loaded.run((IMAGE,))


def test_a_crash_at_the_very_end_warns_because_the_results_are_there(engine):
    with pytest.warns(client.WorkerWarning, match="SIGABRT"), opened(engine, finalize="abort") as loaded:
        loaded.run((IMAGE,))


def test_it_ends_by_itself_and_lets_go_of_the_device_once(engine, tmp_path):
    with opened(engine) as loaded:
        loaded.run((IMAGE,))
        process, log = loaded._worker._process, tmp_path / "log"
        os.link(loaded._worker.log, log)
    assert process.returncode == 0
    assert log.read_text().count("end to finalize acl") == 1


def test_an_interrupted_question_is_not_asked_again(engine, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with opened(engine) as loaded:
        monkeypatch.setattr(client.frames, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loaded.run((IMAGE,))
        monkeypatch.undo()
        with pytest.raises(client.WorkerError, match="interrupted"):
            loaded.run((IMAGE,))


def test_a_worker_ends_with_a_harness_that_was_killed(engine, tmp_path):
    script = (
        "import sys; from pathlib import Path; from fixtures.ascend import client; from tests import fake_om\n"
        "with client.started(Path(sys.executable), fake_om.environment(run='hang'), 'x', Path('log')) as worker:\n"
        "    worker.ask('load', 'a load', 60, model=sys.argv[1], device=0, mode='')\n"
        "    print(worker._process.pid, flush=True); import numpy as np\n"
        "    worker.ask('run', 'a run', 600, [np.zeros((2, 3), np.float32)], output_bytes=[])\n"
    )
    root = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen([sys.executable, "-c", script, engine], env=env, cwd=root, stdout=subprocess.PIPE) as harness:
        assert harness.stdout
        pid = int(harness.stdout.readline())
        harness.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        os.sched_yield()


# It does not start.


def test_another_protocol_is_named(engine, tmp_path, monkeypatch):
    skewed = tmp_path / "worker.py"
    skewed.write_text(client.WORKER.read_text().replace("PROTOCOL = 2", "PROTOCOL = 7"))
    monkeypatch.setattr(client, "WORKER", skewed)
    with pytest.raises(client.WorkerError, match="protocol 2; found one of protocol 7"):
        opened(engine)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            "echo '  File x.py, line 1'; echo 'SyntaxError: future feature annotations is not defined'; exit 1",
            "too old",
        ),
        ("exit 127", "exit status 127"),
        ("echo hello, I am no worker >&$3; exec sleep 100", "where a frame should begin"),
    ],
)
def test_what_is_no_worker_is_told(engine, tmp_path, monkeypatch, script, found):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys.modules[__name__], "PYTHON", python)
    with pytest.raises(client.WorkerError, match=found):
        opened(engine)


def test_a_python_that_is_not_there_is_a_tool_error(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PYTHON", tmp_path / "none")
    with pytest.raises(ToolError, match=r"No such file.*--ascend-python"):
        opened(engine)
    assert kept(tmp_path) == []


def test_a_library_that_cannot_be_loaded_is_named(engine):
    with pytest.raises(client.WorkerError, match=r"libascendcl\.so.*--ascend-env"):
        opened(engine, **{"import": "library"})


def test_a_python_without_aclruntime_is_told_plainly(engine, tmp_path):
    env = {"PATH": os.environ["PATH"]}
    with (
        client.started(PYTHON, env, "x", tmp_path / "home" / "log") as worker,
        pytest.raises(SetupError, match="No module named 'aclruntime'"),
    ):
        worker.ask("about", "that it imports numpy and aclruntime", 60)


def test_a_python_older_than_the_worker_is_told(engine, monkeypatch):
    named = [Path(path) for path in map(shutil.which, ("python3.6", "python2.7", "python2")) if path]
    found = [*named, *(Path.home() / ".pyenv" / "versions").glob("[23].[67].*/bin/python")]
    old = [path for path in found if subprocess.run([path, "-c", OLD], capture_output=True).returncode == 7]
    if not old:
        pytest.skip("no Python older than 3.7 here")
    monkeypatch.setattr(sys.modules[__name__], "PYTHON", old[0])
    with pytest.raises(SetupError, match="too old"):
        opened(engine)


# What lines mean.


def test_a_number_without_its_word_is_no_code():
    assert acl_errors.cause(["size:507008 needsize:245000", "[PID: 207018]", "/data/507033/m.om"]) is None
    assert acl_errors.cause(["ret:507011", "[207018] no memory"]) == acl_errors.Cause(
        f"{acl_errors.MEMORY.found} (207018)", acl_errors.MEMORY.next_step
    )


@pytest.mark.parametrize(
    ("code", "known"),
    [
        (100014, acl_errors.UNSET),
        (148049, acl_errors.OPERATORS),
        (145002, acl_errors.PATH),
        (145012, acl_errors.GEAR),
        (145013, acl_errors.GEAR),
    ],
)
def test_rarer_codes_have_their_own_next_step(code, known):
    assert acl_errors.cause([f"failed, ret={code}"]) == acl_errors.Cause(f"{known.found} ({code})", known.next_step)


@pytest.mark.parametrize(
    "line", ["ret=507008", "ret: 507008", "errorCode[507008]", "error code is 507008", "ret(507008)"]
)
def test_codes_are_found_as_they_are_written(line):
    found = acl_errors.cause([line])
    assert found
    assert "507008" in found.found


def test_telling_lines_come_before_chatter():
    lines = ["[INFO] a", "[ERROR] b", "  raise Error", *["[INFO] c"] * 9, ""]
    assert acl_errors.telling(lines) == ["[ERROR] b"]
    assert acl_errors.telling(["x", "", "y"]) == ["x", "y"]
