"""The store under kill -9: wherever it strikes, no later run takes what is not whole, and none is blocked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

PRELUDE = """
import json, os, random, shutil, signal, sys, warnings
from pathlib import Path
import filelock, hashlib, zipfile  # imported before any count begins
from fixtures.store import enginefile, engine_prune, scratch
from fixtures.engines import Store, key_of
from fixtures.runtime import Built

os.fsync = lambda descriptor: None  # a killed process loses nothing that the kernel has; only the disk is spared
RECIPE, OTHER, NAME = {"model": "x", "n": 1}, {"model": "x", "n": 2}, "e.bin"
CONTENT = {key_of(RECIPE): b"engine" * 100, key_of(OTHER): b"other" * 100}

def build(target, content=CONTENT[key_of(RECIPE)]):
    with target.open("wb") as stream:
        for place in range(0, len(content), 100):
            stream.write(content[place : place + 100])
            stream.flush()
    target.with_name("build.log").write_text("built well")
    return Built(("a warning",), {"gain": 0.3})

def build_other(target):
    return build(target, CONTENT[key_of(OTHER)])

def left(root):
    return [path.name for path in root.glob(".building-*")]

def child(work):
    # Run it in a process that may kill itself; return how that ended.
    sys.stdout.flush()
    process = os.fork()
    if not process:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

def nothing(root):
    root.mkdir()

def damaged(root):
    Store(root).get(RECIPE, NAME, build).path.write_bytes(b"damaged")

def dead(root):
    # What a builder of another key left when it was killed.
    def die(target):
        target.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    assert child(lambda: Store(root).get(OTHER, NAME, die)) == -signal.SIGKILL
    assert left(root)

def full(root):
    Store(root).get(RECIPE, NAME, build)
    Store(root).get(OTHER, NAME, build_other)

folder, name = Path(sys.argv[1]), sys.argv[2]
exported = folder / "engines.zip"
full(folder / "source")
enginefile.write(list(Store(folder / "source").entries()), exported)
PREPARE, WORK = {
    "build": (nothing, lambda root: Store(root).get(RECIPE, NAME, build)),
    "rebuild": (damaged, lambda root: Store(root).get(RECIPE, NAME, build)),
    "sweep": (dead, lambda root: Store(root).get(RECIPE, NAME, build)),
    "import": (nothing, lambda root: enginefile.read(exported, Store(root))),
    "prune": (full, lambda root: engine_prune.prune(Store(root), 0, dry_run=False)),
}[name]
warnings.simplefilter("ignore")
PREPARE(folder / "warm")
WORK(folder / "warm")  # what runs only once per process is not counted

def check(root, point):
    # Whole engines or none; and whoever asks next gets them, and sweeps what was left, of whatever key.
    if PREPARE is not damaged:
        assert not [problem for _, problem in Store(root).problems() if problem], point
    for recipe in (RECIPE, OTHER):
        found = Store(root).find(recipe, NAME)
        assert found is None or found.path.read_bytes() == CONTENT[found.key], point
    for recipe, make in ((OTHER, build_other), (RECIPE, build)):
        again = Store(root).get(recipe, NAME, make)
        assert again.path.read_bytes() == CONTENT[again.key], point
        assert (again.warnings, again.facts, again.log.read_text()) == (("a warning",), {"gain": 0.3}, "built well")
    scratch.sweep(root)  # where both were stored already, nothing had to be built
    assert not left(root), point
    shutil.rmtree(root)
"""

AT_EVERY_CALL = (
    PRELUDE
    + """
for point in range(1, 1000):
    root = folder / str(point)
    PREPARE(root)
    def work():
        count = 0
        def hook(event, arguments):
            nonlocal count
            count += 1
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        WORK(root)
    ended = child(work)
    check(root, point)
    if ended != -signal.SIGKILL:
        assert ended == 0
        print(point - 1)
        break
"""
)

AT_RANDOM = (
    PRELUDE
    + """
def traced(root, point, tell=None):
    # Do the work, and kill ourselves at the step of the interpreter that comes as number `point`.
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    WORK(root)
    sys.settrace(None)
    if tell:
        tell.write_text(str(count))

root = folder / "counted"
PREPARE(root)
assert child(lambda: traced(root, -1, folder / "count")) == 0
count = int((folder / "count").read_text())
killed = 0
for point in sorted(random.Random(name).sample(range(1, count), 30)):
    root = folder / str(point)
    PREPARE(root)
    killed += child(lambda: traced(root, point)) == -signal.SIGKILL
    check(root, point)
print(killed)
"""
)


def run(script: str, *arguments: object) -> int:
    """Run a script and return how many kills it counted."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("work", ["build", "import", "prune"])
def test_killed_at_any_system_call_it_leaves_nothing_that_is_taken(tmp_path: Path, work: str) -> None:
    assert run(AT_EVERY_CALL, tmp_path, work) > 30  # so many places to die at: the test did not look at one only


@pytest.mark.parametrize("work", ["build", "rebuild", "sweep", "import", "prune"])
def test_killed_at_thirty_random_steps_it_leaves_nothing_that_is_taken(tmp_path: Path, work: str) -> None:
    assert run(AT_RANDOM, tmp_path, work) >= 29
