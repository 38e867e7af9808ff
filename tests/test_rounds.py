from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import children, preparing
from bench import rounds as bench_rounds
from bench.child import alone, arrays, guards, memory
from bench.effort import Effort
from bench.mode import PURE, WHOLE
from bench.rounds import Arm, OutOfMemoryError, RoundError, Rounds
from fixtures import digest, locks
from reports.entry import Entry
from reports.round import Round
from tests import tiny

HUNGRY = """
import os, sys
from fixtures.runtimes.onnxruntime import OnnxRuntime

class Hungry(OnnxRuntime):
    name = "hungry"
    def open(self, *arguments):
        timed = getattr(sys.modules["__main__"].__spec__, "name", "") == "bench.round"
        if timed or os.environ["HUNGRY"] == "everywhere":
            raise MemoryError
        return super().open(*arguments)

RUNTIME = Hungry()
"""
BRIEF = Effort("quick", 1, (5,), 0.0, 0.0, 0.0, 0.0, signs_off=False)
"""As few calls as a round has."""


def flags(taken: Round) -> tuple[str, ...]:
    """Return what is flagged of the round, and not of this host, which others use as well."""
    return tuple(name for name in taken.flags if name not in guards.FLAGS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("HUNG", str(tmp_path / "hung"))
    monkeypatch.setenv("FAULT", "")
    monkeypatch.setattr(bench_rounds, "QUICK_PAIR_SECONDS", 0.0)
    monkeypatch.setattr(bench_rounds.children, "POLL_SECONDS", 0.005)
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        yield folder


@pytest.fixture
def rounds(folder, tmp_path):
    workshop = tiny.workshop(folder, tmp_path / "store")
    yield Rounds(workshop)
    workshop.pool.close()


def test_each_round_is_a_fresh_process_that_runs_the_judged_engine(rounds):
    first, second = rounds.take(tiny.case(), 7, BRIEF), rounds.take(tiny.case(), 7, BRIEF)
    processes = {first.details["process"], second.details["process"], os.getpid()}
    assert len(processes) == 3
    assert first.engine == rounds.workshop.sources.engine(tiny.case()).sha256
    Entry("run", first).as_dict()


def test_a_round_keeps_every_sample_and_what_it_was_taken_with(rounds):
    taken = rounds.take(tiny.case(batch=5), 7, BRIEF)
    assert len(taken.samples_ns) == alone.CALLS
    assert len(taken.warmup_ns) == alone.WARMUP_CALLS
    assert (taken.batch, taken.seed, taken.device, flags(taken)) == (5, 7, "cpu", ())
    assert (taken.details["effort"], taken.details["mode"]) == ("quick", PURE)
    assert taken.details["different_inputs"] == 8
    assert taken.details["checked_calls"] == 2
    assert taken.details["data"] == rounds.workshop.data(tiny.case()).digest


def test_at_least_every_input_is_timed(rounds):
    assert len(rounds.take(tiny.case(), 7, BRIEF).samples_ns) == 8


def test_too_few_inputs_are_flagged(folder, tmp_path):
    workshop = tiny.workshop(folder, tmp_path / "store", subset=3)
    taken = Rounds(workshop).take(tiny.case(), 7, BRIEF)
    assert (flags(taken), taken.details["different_inputs"]) == (("few_inputs",), 3)


def test_our_own_engine_is_unloaded_and_the_locks_are_held_while_it_is_timed(rounds, monkeypatch):
    seen = []

    def run(case, requests, scratch):
        held = {file.name for file in locks.folder().glob("*.owner")}
        seen.append((rounds.workshop.pool._session, {name.partition(".")[0] for name in held}))
        raise RoundError("enough")

    monkeypatch.setattr(children, "run", run)
    with pytest.raises(RoundError, match="enough"):
        rounds.take(tiny.case(), 7, BRIEF)
    assert seen == [(None, {"cpu", "host"})]


@pytest.mark.parametrize("fault", ["other", "nan", "kept"])
def test_timed_calls_that_compute_something_else_are_an_error(rounds, monkeypatch, fault):
    monkeypatch.setenv("FAULT", fault)
    with pytest.raises(
        RoundError, match=r"tiny-bs1-faulty: expected the timed calls to compute what.*nothing was measured"
    ):
        rounds.take(tiny.case("faulty"), 7, BRIEF)


def test_a_crash_is_an_error_with_the_last_lines(rounds, monkeypatch):
    monkeypatch.setenv("FAULT", "crash")
    with pytest.raises(RoundError) as caught:
        rounds.take(tiny.case("faulty"), 7, BRIEF)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "tiny-bs1-faulty: expected the timed process to finish; it ended with status 7. Its last lines:"
    )
    assert lines[1] == "the device is on fire"
    assert lines[-1].endswith("pytest -m accuracy --model tiny --backend faulty")


def test_a_killed_process_is_an_error(rounds, monkeypatch):
    monkeypatch.setenv("FAULT", "kill")
    with pytest.raises(RoundError, match=r"it was killed by signal 9\. It printed nothing"):
        rounds.take(tiny.case("faulty"), 7, BRIEF)


def test_a_python_error_is_shown(rounds, monkeypatch):
    monkeypatch.delenv("FAULT")  # the backend cannot do without it
    with pytest.raises(RoundError, match=r"(?s)ended with status 1\. Its last lines:.*KeyError: 'FAULT'"):
        rounds.take(tiny.case("faulty"), 7, BRIEF)


def test_a_damaged_engine_is_not_timed(rounds, monkeypatch):
    def damage(folder, batches, at=None):
        stored = arrays.write(folder, batches, at)
        if folder.name == "expected":  # the last thing before the process starts
            engine = rounds.workshop.sources.engine(tiny.case()).path
            engine.chmod(0o644)
            engine.write_bytes(engine.read_bytes() + b" ")
        return stored

    monkeypatch.setattr(preparing, "write", damage)
    with pytest.raises(RoundError, match=r"(?s)optimised.onnx: expected sha256 .*, found "):
        rounds.take(tiny.case(), 7, BRIEF)


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
        rounds.take(tiny.case("faulty"), 7, BRIEF)
    assert gone(int((tmp_path / "hung").read_text()))


def test_ctrl_c_ends_the_timed_process_and_frees_the_locks(rounds, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT", "hang")

    def interrupt():
        until_exists(tmp_path / "hung")
        os.kill(os.getpid(), signal.SIGINT)

    impatient = threading.Thread(target=interrupt)
    impatient.start()
    with pytest.raises(KeyboardInterrupt):
        rounds.take(tiny.case("faulty"), 7, BRIEF)
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
        rounds.take(tiny.case("faulty"), 7, BRIEF)
    monkeypatch.setattr(subprocess, "Popen", start)
    assert gone(int((tmp_path / "hung").read_text()))


def test_nothing_of_a_round_is_left_behind(rounds, monkeypatch, tmp_path):
    monkeypatch.setattr(bench_rounds.tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    rounds.take(tiny.case(), 7, BRIEF)
    monkeypatch.setenv("FAULT", "crash")
    with pytest.raises(RoundError):
        rounds.take(tiny.case("faulty"), 7, BRIEF)
    rounds.close()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_process_starts_in_the_checkout_whatever_the_folder(rounds, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert rounds.take(tiny.case(), 7, BRIEF).samples_ns


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
    rounds.take(tiny.case(), 7, BRIEF)
    assert not left.exists()
    assert live.exists()


def test_a_round_has_an_offline_window_of_completed_calls(rounds):
    window = rounds.take(tiny.case(batch=5), 7, BRIEF).details["window"]
    assert (window["calls"], window["images"], window["depth"]) == (2, 10, 1)
    assert window["ns"] > 0
    assert "begun_ns" not in window  # it tells only how those of a card lie beside each other


def test_a_whole_data_set_goes_through_once_in_order_and_the_last_batch_is_filled(rounds):
    taken = rounds.take(tiny.case(batch=5), 7, BRIEF, WHOLE)
    assert len(taken.samples_ns) == 3
    assert taken.details["images"] == {"of the feed": tiny.IMAGES, "timed": 15}
    assert (taken.details["mode"], taken.details["different_inputs"]) == (WHOLE, tiny.IMAGES)
    assert taken.details["checked_calls"] == 3
    assert "window" not in taken.details
    Entry("run", taken).as_dict()


def test_of_a_whole_data_set_only_some_outputs_are_expected_and_no_more_than_a_batch_is_held(rounds, monkeypatch):
    loaded, fed = [], []
    feed = rounds.workshop.feed(tiny.case())

    def load(name):
        loaded.append(name)
        return feed.load(name)

    def run(case, requests, scratch):
        (arm,) = requests[0]["arms"]
        fed.extend(arrays.Stored(Path(arm[part])).numbers for part in ("inputs", "expected"))
        raise RoundError("enough")

    def write(folder, batches, at=None):
        iterated = iter(batches)
        assert iterated is batches  # one at a time
        return arrays.write(folder, iterated, at)

    monkeypatch.setattr(rounds.workshop, "feed", lambda case: replace(feed, load=load))
    monkeypatch.setattr(preparing, "write", write)
    monkeypatch.setattr(children, "run", run)
    with pytest.raises(RoundError, match="enough"):
        rounds.take(tiny.case(), 7, BRIEF, WHOLE)
    assert loaded == list(feed.names)
    assert fed == [list(range(tiny.IMAGES)), [0, 4, 8]]


def test_a_full_disk_is_an_error_that_names_the_folder_and_leaves_nothing(rounds, monkeypatch, tmp_path):
    def full(folder, batches, at=None):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(bench_rounds.tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(preparing, "write", full)
    with pytest.raises(RoundError, match=r"whole data set\); found No space left on device in .*scratch; .*TMPDIR"):
        rounds.take(tiny.case(), 7, BRIEF, WHOLE)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("mode", [PURE, WHOLE])
def test_a_whole_data_set_too_is_checked(rounds, monkeypatch, mode):
    monkeypatch.setenv("FAULT", "kept")
    with pytest.raises(RoundError, match="nothing was measured"):
        rounds.take(tiny.case("faulty"), 7, BRIEF, mode)


def test_a_pair_is_one_process_with_a_round_for_either_arm(rounds):
    baseline, candidate = rounds.take_pair(Arm(tiny.case("faulty")), Arm(tiny.case()), 7, BRIEF)
    assert [taken.case.backend for taken in (baseline, candidate)] == ["faulty", "onnxruntime"]
    assert baseline.details["process"] == candidate.details["process"] != os.getpid()
    first, second = baseline.details["pair"], candidate.details["pair"]
    assert (first["arm"], second["arm"]) == (0, 1)
    assert (first["other"], second["other"]) == (candidate.case.id, baseline.case.id)
    assert {**first, "arm": 1, "other": ""} == {**second, "other": ""}
    assert 0 <= int(first["first"], 16) < 2**5
    assert len(baseline.samples_ns) == len(candidate.samples_ns) == 5
    assert "window" not in baseline.details
    assert baseline.details["checked_calls"] == candidate.details["checked_calls"] == 3
    for taken in (baseline, candidate):
        assert len(taken.warmup_ns) == alone.WARMUP_CALLS
        Entry("run", taken).as_dict()


@pytest.mark.parametrize("faulty", [0, 1])
def test_the_outputs_of_both_arms_of_a_pair_are_checked(rounds, monkeypatch, faulty):
    monkeypatch.setenv("FAULT", "other")
    arms = [Arm(tiny.case("faulty" if arm == faulty else "onnxruntime")) for arm in (0, 1)]
    with pytest.raises(RoundError, match="tiny-bs1-faulty: expected the timed calls to compute what"):
        rounds.take_pair(*arms, 7, BRIEF)


def test_another_engine_of_a_case_can_take_turns_with_its_own(rounds, tmp_path):
    own = rounds.workshop.sources.engine(tiny.case())
    accepted = tmp_path / "accepted" / own.path.name
    accepted.parent.mkdir()
    accepted.write_bytes(
        own.path.read_bytes() + b"\x72\x00"
    )  # an empty field of the file's format: it runs all the same
    other = replace(own, path=accepted, sha256=digest.of_file(accepted), key="accepted")
    baseline, candidate = rounds.take_pair(Arm(tiny.case(), other), Arm(tiny.case()), 7, BRIEF)
    assert (baseline.engine, candidate.engine) == (other.sha256, own.sha256)


@pytest.mark.parametrize(
    ("said", "backend"),
    [
        ("onnxruntime::BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9", "cpu"),
        ("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "gpu"),
        ("CUDA: expected to take 9 bytes of its memory; found cudaErrorMemoryAllocation (out of memory)", "tensorrt"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 64.0 GiB\nMemoryError", "numpy"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "C++"),
        ("x: expected that it runs; found that the device ran out of memory; take a smaller batch", "ascend"),
    ],
)
def test_what_says_that_memory_was_short_is_told_apart(said, backend):
    assert memory.short(f"Traceback\n{said}\n")
    assert not memory.short(f"the memory of the {backend} is damaged; the device is on fire")


@pytest.mark.parametrize("where", ["timed", "everywhere"])
def test_a_round_that_needs_too_much_memory_is_told_apart(rounds, folder, monkeypatch, where):
    (folder / "fixtures/runtimes/hungry.py").write_text(HUNGRY)
    text = 'from fixtures.backend import Backend\nBACKEND = Backend("hungry", runtime="hungry")\n'
    (folder / "fixtures/backends/hungry.py").write_text(text)
    monkeypatch.setenv("HUNGRY", where)
    with pytest.raises(OutOfMemoryError, match=r"(?s)tiny-bs1-hungry: expected .*next: run a smaller batch"):
        rounds.take(tiny.case("hungry"), 7, BRIEF)


@pytest.mark.parametrize(("before", "after", "error"), [(4, 5, OutOfMemoryError), (4, 4, RoundError)])
def test_a_process_that_the_kernel_kills_for_want_of_memory_is_told_apart(
    rounds, monkeypatch, tmp_path, before, after, error
):
    counts = iter([before])
    monkeypatch.setattr(memory, "killed", lambda: next(counts, after))
    monkeypatch.setenv("FAULT", "kill")
    with pytest.raises(RoundError, match="was killed by signal 9") as caught:
        rounds.take(tiny.case("faulty"), 7, BRIEF)
    assert caught.type is error


def test_what_the_kernel_killed_is_counted_where_it_tells(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "vmstat")
    assert memory.killed() == 0
    (tmp_path / "vmstat").write_text("nr_free_pages 12\noom_kill 4\n")
    assert memory.killed() == 4
