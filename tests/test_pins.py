"""A pinned engine outlives every `prune`, and is an engine like any other to everything else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fixtures.engines import Engine, Store
from fixtures.store import enginefile, engines_table, pins
from fixtures.store.engine_prune import prune
from fixtures.store.engines_command import main

NAME = "e.bin"


def put(root: Path, number: int = 1) -> Engine:
    """Store an engine that no process uses."""
    recipe = {"compiler": "c", "model": "m", "n": number}
    return Store(root).get(recipe, NAME, lambda target: target.write_bytes(b"x" * 1000) and None)


def test_prune_keeps_it_and_says_why(tmp_path: Path) -> None:
    engine, other = put(tmp_path), put(tmp_path, 2)
    pins.pin(engine.path.parent, "accepted by ada: first night")
    for dry_run in (True, False):
        pruned = prune(Store(tmp_path), 0, dry_run)
        assert [each.engine.key for each in pruned.removed] == [other.key]
        assert [(each.engine.key, why) for each, why in pruned.kept] == [
            (engine.key, "pinned: accepted by ada: first night")
        ]
    assert engine.path.exists()
    assert not other.path.exists()


def test_one_that_is_pinned_while_prune_waits_for_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = put(tmp_path)
    real = pins.reason
    asked = []

    def late(place: Path) -> str:
        """As if it had been pinned just before prune looked, and after it had decided to look."""
        asked.append(place)
        pins.pin(place, "now")
        return real(place)

    monkeypatch.setattr(pins, "reason", late)
    assert prune(Store(tmp_path), 0, dry_run=False).removed == ()
    assert asked == [engine.path.parent]  # asked once, when prune held the engine alone


def test_it_can_be_unpinned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = put(tmp_path)
    pins.pin(engine.path.parent, "why")
    store = f"--engine-cache={tmp_path}"
    assert main(["unpin", engine.key, store]) == 0
    assert main(["unpin", engine.key, store]) == 0
    line = engines_table.line(engine)
    assert capsys.readouterr().out.splitlines() == [f"{line}: no longer pinned", f"{line}: was not pinned"]
    assert len(prune(Store(tmp_path), 0, dry_run=False).removed) == 1


@pytest.mark.parametrize("key", ["0" * 20, "..", "../../etc"])
def test_unpinning_what_is_not_stored_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    put(tmp_path)
    assert main(["unpin", key, f"--engine-cache={tmp_path}"]) == 1
    assert f"as python -m fixtures engines list shows it; found {key!r}" in capsys.readouterr().err


def test_list_shows_it(tmp_path: Path) -> None:
    engine = put(tmp_path)
    put(tmp_path, 2)
    pins.pin(engine.path.parent, "accepted \x1b[2J")
    head, *rows, _ = engines_table.lines(Store(tmp_path))
    assert head.endswith("  pinned")
    assert [row.endswith("accepted ?[2J") for row in rows].count(True) == 1


def test_export_import_verify_and_find_do_not_mind_it(tmp_path: Path) -> None:
    engine = put(tmp_path / "here")
    pins.pin(engine.path.parent, "why")
    store = Store(tmp_path / "here")
    assert store.find(engine.recipe, NAME) == engine
    assert list(store.problems()) == [(engine.key, None)]
    enginefile.write([engine], tmp_path / "engines.zip")
    new, _ = enginefile.read(tmp_path / "engines.zip", Store(tmp_path / "there"))
    assert [each.key for each in new] == [engine.key]
    assert pins.reason(tmp_path / "there" / engine.key) == ""  # whoever accepts there pins it there


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"why": 3}', b'{"why": ""}', b"\xff", b"[" * 100_000])
def test_a_damaged_pin_still_holds(tmp_path: Path, content: bytes) -> None:
    engine = put(tmp_path)
    (engine.path.parent / pins.PINNED).write_bytes(content)
    assert [why for _, why in prune(Store(tmp_path), 0, dry_run=False).kept] == ["pinned: its pin cannot be read"]
    assert engines_table.lines(Store(tmp_path))[1].endswith("its pin cannot be read")


def test_the_latest_reason_stands(tmp_path: Path) -> None:
    place = put(tmp_path).path.parent
    for why in ("first", "second"):
        pins.pin(place, why)
    assert pins.reason(place) == "second"
    assert sorted(path.name for path in place.iterdir()) == [pins.PINNED, NAME, "engine.json"]


def test_what_cannot_be_written_leaves_the_earlier_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = put(tmp_path).path.parent
    pins.pin(place, "first")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            pins.pin(place, "second")
    assert pins.reason(place) == "first"
    assert sorted(path.name for path in place.iterdir()) == [pins.PINNED, NAME, "engine.json"]


def test_killed_at_any_call_it_is_pinned_or_not_and_still_sound(tmp_path: Path) -> None:
    engine = put(tmp_path)
    place = engine.path.parent
    for point in range(1, 100):
        child = os.fork()
        if not child:  # pragma: no cover
            _pin_until_killed(place, point)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert pins.reason(place) in ("", "why")
        assert list(Store(tmp_path).problems()) == [(engine.key, None)]
        assert Store(tmp_path).find(engine.recipe, NAME) == engine
        if not killed:
            break
        pins.unpin(place)
    assert point > 3
    assert pins.reason(place) == "why"
    pins.unpin(place)
    assert len(prune(Store(tmp_path), 0, dry_run=False).removed) == 1  # with whatever parts the killed ones left


def _pin_until_killed(place: Path, point: int) -> None:  # pragma: no cover
    """Pin, and die at the system call of that number."""
    import sys

    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        count += event.startswith(("os.", "open"))
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        pins.pin(place, "why")
    finally:
        os._exit(0)
