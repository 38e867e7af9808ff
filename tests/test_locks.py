"""Locks across processes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import locks

CHECKOUT = Path(__file__).resolve().parents[1]
HOLDER = """
import sys
from fixtures import locks
with locks.hold(sys.argv[1:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    return tmp_path / "locks"


class Holder:
    """Another process that holds locks until it is told to end, or is killed."""

    def __init__(self, *names: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, *names],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def end(self) -> None:
        self.process.communicate("")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holder(folder: Path) -> Iterator[Holder]:
    other = Holder("cpu")
    yield other
    other.kill()


def test_names_what_is_waited_for_and_its_owner(holder: Holder) -> None:
    told: list[str] = []

    def waiting(message: str) -> None:
        told.append(message)
        holder.end()

    with locks.hold(["cpu"], waiting):
        assert len(told) == 1
        assert told[0].startswith("waiting for cpu, held by process ")
        assert f"process {holder.process.pid} since" in told[0]


def test_a_free_lock_is_taken_without_a_word(folder: Path) -> None:
    told: list[str] = []
    with locks.hold(["cpu", "host"], told.append):
        pass
    assert told == []


def test_a_killed_owner_frees_its_lock(holder: Holder, folder: Path) -> None:
    holder.kill()
    told: list[str] = []
    with locks.hold(["cpu"], told.append):
        owners = [json.loads(file.read_text())["pid"] for file in folder.glob("*.owner")]
        assert owners == [os.getpid()]
    assert told == []


def test_is_taken_in_one_order_by_everyone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    original = locks.lock

    def noted(path: Path, name: str, waiting: object) -> object:
        taken.append(name)
        return original(path, name, waiting)  # type: ignore[arg-type]

    monkeypatch.setattr(locks, "lock", noted)
    with locks.hold(["host", "GPU-2", "GPU-1", "host"]):
        assert taken == ["GPU-1", "GPU-2", "host"]


def test_is_free_again_when_the_work_fails(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold(["cpu"]):
        1 / 0  # noqa: B018
    told: list[str] = []
    with locks.hold(["cpu"], told.append):
        assert told == []


def test_leaves_no_owner_behind(folder: Path) -> None:
    with locks.hold(["cpu"]):
        assert len(list(folder.glob("*.owner"))) == 1
    assert not list(folder.glob("*.owner"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"pid": "x"}', '{"pid": 4194304999, "since": "", "what": ""}']
)
def test_an_owner_that_cannot_be_read_or_is_dead_is_not_named(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "cpu.1.owner").write_text(text)
    assert locks._owner(folder / "cpu") == "another process"


def test_a_living_owner_is_named_behind_a_dead_one(folder: Path) -> None:
    folder.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        (folder / f"cpu.{pid}.owner").write_text(json.dumps({"pid": pid, "since": "05:00:00", "what": "pytest"}))
    assert locks._owner(folder / "cpu") == f"process {os.getpid()} since 05:00:00 (pytest)"


def test_sweeping_one_device_leaves_the_owners_of_another(folder: Path) -> None:
    with locks.hold(["0000:3b:00"]), locks.hold(["0000:3b:00.0"]):
        assert len(list(folder.glob("*.owner"))) == 2


def test_names_that_make_the_same_file_do_not_block_each_other(folder: Path) -> None:
    with locks.hold(["a/b", "a_b"]):
        assert [file.name for file in folder.glob("*.lock")] == ["a_b.lock"]


def test_follows_no_link_planted_where_the_owner_is_written(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    # The sweep removes it where it may; in a sticky folder it may not.
    (folder / f"cpu.{os.getpid()}.owner").symlink_to(precious)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_sweep", lambda path: None)
        with locks.hold(["cpu"]):
            pass
    assert precious.read_text() == "mine"


def test_a_full_disk_does_not_stop_who_holds_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with locks.hold(["cpu"]):
        pass


def test_a_folder_that_cannot_be_written_is_named_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "file" / "locks"))
    with (
        pytest.raises(locks.LockError, match=r"cpu: expected to take its lock in .*file/locks.*SIGNOFF_LOCKS"),
        locks.hold(["cpu"]),
    ):
        pass


def test_the_default_folder_belongs_to_all_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNOFF_LOCKS", raising=False)
    monkeypatch.setattr(locks, "SHARED", tmp_path / "shared")
    assert locks.folder() == tmp_path / "shared"
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o1777
    with locks.hold(["cpu"]):
        assert stat.S_IMODE((tmp_path / "shared" / "cpu.lock").stat().st_mode) == 0o666


def test_the_default_folder_of_another_user_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNOFF_LOCKS", raising=False)
    monkeypatch.setattr(locks, "SHARED", tmp_path / "shared")
    (tmp_path / "shared").mkdir(mode=0o755)
    locks.folder()
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755
