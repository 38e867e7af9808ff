from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import children
from bench import rounds as bench_rounds
from bench.rounds import RoundError, Rounds
from fixtures import locks
from reports.entry import Entry
from tests import tiny


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("HUNG", str(tmp_path / "hung"))
    monkeypatch.setenv("FAULT", "")
    monkeypatch.setattr(bench_rounds, "SECONDS", 0.0)
    monkeypatch.setattr(bench_rounds, "WARMUP_SECONDS", 0.0)
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        yield folder


@pytest.fixture
def rounds(folder, tmp_path):
    workshop = tiny.workshop(folder, tmp_path / "store")
    yield Rounds(workshop)
    workshop.pool.close()


def test_each_round_is_a_fresh_process_that_runs_the_judged_engine(rounds):
    first, second = rounds.take(tiny.case(), 7), rounds.take(tiny.case(), 7)
    processes = {first.details["process"], second.details["process"], os.getpid()}
    assert len(processes) == 3
    assert first.engine == rounds.workshop.sources.engine(tiny.case()).sha256
    Entry("run", first).as_dict()


def test_a_round_keeps_every_sample_and_what_it_was_taken_with(rounds):
    taken = rounds.take(tiny.case(batch=5), 7)
    assert len(taken.samples_ns) == bench_rounds.CALLS
    assert len(taken.warmup_ns) == bench_rounds.WARMUP_CALLS
    assert (taken.batch, taken.seed, taken.device, taken.flags) == (5, 7, "cpu", ())
    assert taken.details["different_inputs"] == 8
    assert taken.details["checked_calls"] == 2
    assert taken.details["data"] == rounds.workshop.data(tiny.case()).digest


def test_at_least_every_input_is_timed(rounds):
    assert len(rounds.take(tiny.case(), 7).samples_ns) == 8


def test_too_few_inputs_are_flagged(folder, tmp_path):
    workshop = tiny.workshop(folder, tmp_path / "store", subset=3)
    taken = Rounds(workshop).take(tiny.case(), 7)
    assert (taken.flags, taken.details["different_inputs"]) == (("few_inputs",), 3)


def test_our_own_engine_is_unloaded_and_the_locks_are_held_while_it_is_timed(rounds, monkeypatch):
    seen = []

    def run(case, requests, scratch):
        held = {file.name for file in locks.folder().glob("*.owner")}
        seen.append((rounds.workshop.pool._session, {name.partition(".")[0] for name in held}))
        raise RoundError("enough")

    monkeypatch.setattr(children, "run", run)
    with pytest.raises(RoundError, match="enough"):
        rounds.take(tiny.case(), 7)
    assert seen == [(None, {"cpu", "host"})]


@pytest.mark.parametrize("fault", ["other", "nan", "kept"])
def test_timed_calls_that_compute_something_else_are_an_error(rounds, monkeypatch, fault):
    monkeypatch.setenv("FAULT", fault)
    with pytest.raises(
        RoundError, match=r"tiny-bs1-faulty: expected the timed calls to compute what.*nothing was measured"
    ):
        rounds.take(tiny.case("faulty"), 7)


def test_a_crash_is_an_error_with_the_last_lines(rounds, monkeypatch):
    monkeypatch.setenv("FAULT", "crash")
    with pytest.raises(RoundError) as caught:
        rounds.take(tiny.case("faulty"), 7)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "tiny-bs1-faulty: expected the timed process to finish; it ended with status 7. Its last lines:"
    )
    assert lines[1] == "the device is on fire"
    assert lines[-1].endswith("pytest -m accuracy --model tiny --backend faulty")


def test_a_killed_process_is_an_error(rounds, monkeypatch):
    monkeypatch.setenv("FAULT", "kill")
    with pytest.raises(RoundError, match=r"it was killed by signal 9\. It printed nothing"):
        rounds.take(tiny.case("faulty"), 7)


def test_a_python_error_is_shown(rounds, monkeypatch):
    monkeypatch.delenv("FAULT")  # the backend cannot do without it
    with pytest.raises(RoundError, match=r"(?s)ended with status 1\. Its last lines:.*KeyError: 'FAULT'"):
        rounds.take(tiny.case("faulty"), 7)


def test_a_damaged_engine_is_not_timed(rounds, monkeypatch):
    write = bench_rounds._write

    def damage(path, arrays):
        if path.name == "expected.npz":  # the last thing before the process starts
            engine = rounds.workshop.sources.engine(tiny.case()).path
            engine.chmod(0o644)
            engine.write_bytes(engine.read_bytes() + b" ")
        write(path, arrays)

    monkeypatch.setattr(bench_rounds, "_write", damage)
    with pytest.raises(RoundError, match=r"(?s)optimised.onnx: expected sha256 .*, found "):
        rounds.take(tiny.case(), 7)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_hang_is_an_error_with_the_last_lines_and_the_process_is_ended(rounds, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT", "hang")
    # Runs out of patience once the process hangs, not by the clock.
    clock = SimpleNamespace(monotonic=lambda: 1e9 * (tmp_path / "hung").exists(), sleep=time.sleep)
    monkeypatch.setattr(children, "time", clock)
    with pytest.raises(RoundError, match=r"(?s)to end within 1800 s; it hung.*waiting for the device"):
        rounds.take(tiny.case("faulty"), 7)
    assert gone(int((tmp_path / "hung").read_text()))


def test_ctrl_c_ends_the_timed_process_and_frees_the_locks(rounds, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT", "hang")

    def interrupt():
        until_exists(tmp_path / "hung")
        os.kill(os.getpid(), signal.SIGINT)

    impatient = threading.Thread(target=interrupt)
    impatient.start()
    with pytest.raises(KeyboardInterrupt):
        rounds.take(tiny.case("faulty"), 7)
    impatient.join()
    assert gone(int((tmp_path / "hung").read_text()))
    with locks.hold(["cpu", locks.HOST], pytest.fail):
        pass


def test_the_timed_process_ends_with_its_caller_even_if_that_was_killed(rounds, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT", "hang")
    started = []
    start = subprocess.Popen

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    def abandon(seconds):
        if (tmp_path / "hung").exists():
            started[-1].stdin.close()  # as the kernel does for a caller that was killed
        time.sleep(seconds)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    monkeypatch.setattr(children, "time", SimpleNamespace(monotonic=time.monotonic, sleep=abandon))
    with pytest.raises(RoundError, match="it ended with status 1"):
        rounds.take(tiny.case("faulty"), 7)
    monkeypatch.setattr(subprocess, "Popen", start)
    assert gone(int((tmp_path / "hung").read_text()))


def test_nothing_of_a_round_is_left_behind(rounds, monkeypatch, tmp_path):
    monkeypatch.setattr(bench_rounds.tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    rounds.take(tiny.case(), 7)
    monkeypatch.setenv("FAULT", "crash")
    with pytest.raises(RoundError):
        rounds.take(tiny.case("faulty"), 7)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_process_starts_in_the_checkout_whatever_the_folder(rounds, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert rounds.take(tiny.case(), 7).samples_ns


def test_a_round_loads_no_more_than_its_runtime(tmp_path):
    code = "import sys, bench.round; print(sorted({'torch', 'pytest', 'openvino', 'cv2', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=children.CHECKOUT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def until_exists(path: Path) -> None:
    """Wait for a file; the test itself ends when it is there, however long that takes."""
    while not path.exists():
        time.sleep(0.01)


def test_sweeps_what_a_killed_run_left_and_nothing_else(rounds, monkeypatch, tmp_path):
    scratch = tmp_path / "scratch"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, live = scratch / f"signoff-round-{dead.pid}-a", scratch / f"signoff-round-{os.getpid()}-b"
    for folder in (left, live):
        folder.mkdir(parents=True)
    (scratch / f"signoff-round-{dead.pid}-link").symlink_to("/nonexistent")
    (scratch / "signoff-round-").write_text("")
    monkeypatch.setattr(bench_rounds.tempfile, "tempdir", str(scratch))
    rounds.take(tiny.case(), 7)
    assert not left.exists()
    assert live.exists()
