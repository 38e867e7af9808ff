"""Pruning: the least recently used goes first, and nothing that somebody needs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import locks
from fixtures.engines import Engine, Store, StoreError
from fixtures.errors import SetupError
from fixtures.store import engine_prune, scratch, uses
from fixtures.store.engine_prune import prune, size
from fixtures.store.sidecar import SIDECAR

CHECKOUT = Path(__file__).resolve().parents[1]
NAME = "e.bin"


def put(root: Path, used: int, **recipe: Any) -> Engine:
    """Store an engine of a megabyte that was last used so many seconds after 1970."""
    engine = Store(root).get({"n": used, **recipe}, NAME, lambda target: target.write_bytes(b"x" * 10**6) and None)
    os.utime(engine.path.with_name(SIDECAR), (used, used))
    return engine


def removed(pruned: engine_prune.Pruned) -> list[int]:
    return [each.engine.recipe["n"] for each in pruned.removed]


def test_removes_the_least_recently_used_until_it_is_small_enough(tmp_path: Path) -> None:
    engines = {used: put(tmp_path, used) for used in (30, 10, 20, 40)}
    pruned = prune(Store(tmp_path), 2_100_000, dry_run=False)
    assert removed(pruned) == [10, 20]
    assert 2_000_000 < pruned.left_bytes < 2_100_000
    assert {used for used, engine in engines.items() if engine.path.exists()} == {30, 40}
    assert not list(tmp_path.glob(".building-*"))


def test_a_dry_run_says_the_same_and_removes_nothing(tmp_path: Path) -> None:
    for used in (1, 2, 3):
        put(tmp_path, used)
    before = sorted(tmp_path.rglob("*"))
    said = prune(Store(tmp_path), 1_100_000, dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    done = prune(Store(tmp_path), 1_100_000, dry_run=False)
    assert removed(said) == removed(done) == [1, 2]
    assert said.left_bytes == done.left_bytes


def test_keeps_what_a_tuner_made(tmp_path: Path) -> None:
    put(tmp_path, 1, options={"tuner": "aoe"})
    put(tmp_path, 2, options={"tuner": None})
    pruned = prune(Store(tmp_path), 0, dry_run=False)
    assert removed(pruned) == [2]
    assert [why for _, why in pruned.kept] == ["a tuner made it"]


def test_keeps_what_this_process_uses(tmp_path: Path) -> None:
    engine = put(tmp_path, 1)
    store = Store(tmp_path)
    assert store.find(engine.recipe, NAME)
    assert [why for _, why in prune(Store(tmp_path), 0, dry_run=False).kept] == ["it is in use"]
    del store
    assert removed(prune(Store(tmp_path), 0, dry_run=False)) == [1]


USING = """
import sys
from pathlib import Path
from fixtures.engines import Store
store = Store(Path(sys.argv[1]))
assert store.find({"n": 1}, "e.bin")
print("using", flush=True)
sys.stdin.read()
"""


def test_keeps_what_another_process_uses_until_that_is_killed(tmp_path: Path) -> None:
    put(tmp_path, 1)
    command = [sys.executable, "-c", USING, str(tmp_path)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "using\n"
        assert [why for _, why in prune(Store(tmp_path), 0, dry_run=False).kept] == ["it is in use"]
        other.kill()
    assert removed(prune(Store(tmp_path), 0, dry_run=False)) == [1]


def test_keeps_what_is_being_built(tmp_path: Path) -> None:
    engine = put(tmp_path, 1)
    with locks.lock(scratch.lock(tmp_path, engine.key), "x", locks.ignore):
        assert [why for _, why in prune(Store(tmp_path), 0, dry_run=False).kept] == ["it is being built"]
    assert engine.path.exists()


def test_keeps_what_another_user_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 1)

    def denied(place: Path) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(uses, "unused", denied)
    assert [why for _, why in prune(Store(tmp_path), 0, dry_run=False).kept] == ["another user stored it"]


def test_clears_what_failures_left(tmp_path: Path) -> None:
    put(tmp_path, 1)
    (tmp_path / ".damaged-x-1").mkdir()
    (tmp_path / ".failed-x.log").write_text("E10016")
    prune(Store(tmp_path), 10**9, dry_run=True)
    assert (tmp_path / ".failed-x.log").exists()
    prune(Store(tmp_path), 10**9, dry_run=False)
    assert not list(tmp_path.glob(".damaged-*")) + list(tmp_path.glob(".failed-*"))


def test_a_store_that_cannot_be_written_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 1)

    def read_only(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(StoreError, match="Read-only file system"):
        prune(Store(tmp_path), 0, dry_run=False)


def test_an_empty_store_is_small_enough(tmp_path: Path) -> None:
    assert prune(Store(tmp_path / "nowhere"), 0, dry_run=False).left_bytes == 0


@pytest.mark.parametrize(
    ("text", "count"), [("20GB", 20 * 10**9), ("500MB", 500 * 10**6), ("1.5TB", 1500 * 10**9), ("0B", 0), ("7kB", 7000)]
)
def test_reads_sizes_with_their_unit(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "20", "GB", "20gb", "20 GB", "-1GB", "1e3GB", "20GiB", "٣GB", "1.GB", "20GB "])
def test_refuses_any_other_size(text: str) -> None:
    with pytest.raises(SetupError, match="expected a number with its unit"):
        size(text)


@given(st.text())
def test_a_size_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SetupError):
        assert size(text) >= 0


def test_what_cannot_be_read_goes_first_whatever_its_size(tmp_path: Path) -> None:
    engine = put(tmp_path, 1)
    broken = put(tmp_path, 2)
    broken.path.with_name(SIDECAR).write_text("{")
    pruned = prune(Store(tmp_path), 10**9, dry_run=False)
    assert (pruned.removed, pruned.kept) == ((), ())
    assert not broken.path.exists()
    assert engine.path.exists()
