"""The engine store: content-addressed, verified, atomic."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import engines, locks
from fixtures.engines import DamagedEngineWarning, Engine, Store, StoreError
from fixtures.errors import SetupError
from fixtures.runtime import Built
from fixtures.store import building as build_step
from fixtures.store import scratch, uses
from fixtures.store.sidecar import SIDECAR

CHECKOUT = Path(__file__).resolve().parents[1]
NAME = "engine.bin"
RECIPE: dict[str, Any] = {
    "compiler": "ascend",
    "model": "enet",
    "checkpoint": "ab" * 32,
    "network": "cd" * 32,
    "graph": "ef" * 32,
    "size": 480,
    "batch": 4,
    "precision": "fp16",
    "options": {"keep_dtype": {"file": "keep.cfg", "sha256": "12" * 32}, "fusion": True},
    "target": {"soc_version": "Ascend310"},
    "toolchain": {"cann": "7.0.0"},
    "code": "01" * 32,
}


class Builder:
    """Writes an artefact and counts how often it was asked to."""

    def __init__(self, content: bytes = b"engine" * 1000) -> None:
        self.content = content
        self.built = 0

    def __call__(self, target: Path) -> None:
        self.built += 1
        target.write_bytes(self.content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "engines")


def leftovers(store: Store) -> list[str]:
    return [path.name for path in store.root.glob(".building-*")]


# Found by everything that went into it


def test_builds_once_and_finds_it_again(store: Store) -> None:
    build = Builder()
    first = store.get(RECIPE, NAME, build)
    assert first == store.get(RECIPE, NAME, build) == Store(store.root).get(RECIPE, NAME, build)
    assert build.built == 1
    assert first.path.read_bytes() == build.content
    assert leftovers(store) == []


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from leaves(value[name], (*path, name))


def changes() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in leaves(RECIPE):
        if path:
            changed = copy.deepcopy(RECIPE)
            place = changed
            for name in path[:-1]:
                place = place[name]
            value = place[path[-1]]
            place[path[-1]] = {**value, "x": 1} if isinstance(value, dict) else [value]
            yield ".".join(path), copy.deepcopy(changed)
            del place[path[-1]]
            yield f"{'.'.join(path)} missing", changed


@pytest.mark.parametrize("changed", [pytest.param(changed, id=name) for name, changed in changes()])
def test_anything_else_in_the_recipe_is_another_engine(store: Store, changed: dict[str, Any]) -> None:
    build = Builder()
    first = store.get(RECIPE, NAME, build)
    other = store.get(changed, NAME, build)
    assert build.built == 2
    assert other.path != first.path


def test_the_order_of_a_recipe_does_not_matter(store: Store) -> None:
    build = Builder()
    store.get(RECIPE, NAME, build)
    store.get(dict(reversed(RECIPE.items())), NAME, build)
    assert build.built == 1


def test_what_json_gives_back_otherwise_is_the_same_recipe(store: Store) -> None:
    build = Builder()
    for shape in ((1, 3), [1, 3]):
        store.get({**RECIPE, "shape": shape}, NAME, build)
    assert build.built == 1


@pytest.mark.parametrize("value", [Path("x"), b"x", {1, 2}, float("nan"), object()], ids=repr)
def test_refuses_a_recipe_that_json_cannot_hold(store: Store, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        store.get({"value": value}, NAME, Builder())
    assert not store.root.exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_recipe_survives_its_sidecar(recipe: dict[str, Any]) -> None:
    plain = engines._plain(recipe)
    assert json.loads(json.dumps(plain)) == plain
    assert engines.key_of(plain) == engines.key_of(recipe)


# Verified before use


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damages() -> dict[str, Callable[[Path], object]]:
    return {
        "a bit flipped": lambda place: flip(place / NAME),
        "cut short": lambda place: (place / NAME).write_bytes((place / NAME).read_bytes()[:-1]),
        "empty": lambda place: (place / NAME).write_bytes(b""),
        "artefact missing": lambda place: (place / NAME).unlink(),
        "artefact a folder": lambda place: ((place / NAME).unlink(), (place / NAME).mkdir()),
        "sidecar missing": lambda place: (place / SIDECAR).unlink(),
        "sidecar empty": lambda place: (place / SIDECAR).write_text(""),
        "sidecar garbage": lambda place: (place / SIDECAR).write_bytes(b"\xff\xfe\x00"),
        "sidecar a list": lambda place: (place / SIDECAR).write_text("[]"),
        "sidecar null": lambda place: (place / SIDECAR).write_text("null"),
        "sidecar without digest": lambda place: (place / SIDECAR).write_text('{"recipe": {}, "seconds": 1}'),
        "sidecar of another recipe": lambda place: (place / SIDECAR).write_text(
            (place / SIDECAR).read_text().replace('"batch": 4', '"batch": 1')
        ),
        "an empty folder": lambda place: (shutil.rmtree(place), place.mkdir()),
        "a file in place of the folder": lambda place: (shutil.rmtree(place), place.write_text("x")),
    }


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_engine_is_set_aside_and_built_again(store: Store, damage: str) -> None:
    build = Builder()
    place = store.get(RECIPE, NAME, build).path.parent
    damages()[damage](place)
    fresh = Store(store.root)
    assert fresh.find(RECIPE, NAME) is None
    with pytest.warns(DamagedEngineWarning, match=rf"{place.name}: damaged \(.+\); set aside as \.damaged-"):
        again = fresh.get(RECIPE, NAME, build)
    assert again.path.read_bytes() == build.content
    assert build.built == 2
    assert len(list(store.root.glob(".damaged-*"))) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Store(store.root).get(RECIPE, NAME, build)


def test_damage_is_noticed_in_the_run_that_verified_it_before(store: Store) -> None:
    build = Builder()
    flip(store.get(RECIPE, NAME, build).path)
    with pytest.warns(DamagedEngineWarning):
        store.get(RECIPE, NAME, build)
    assert build.built == 2


def test_an_engine_that_was_cleaned_away_meanwhile_is_built_again(store: Store) -> None:
    build = Builder()
    shutil.rmtree(store.get(RECIPE, NAME, build).path.parent)
    assert store.get(RECIPE, NAME, build).path.read_bytes() == build.content


def test_keeps_only_the_last_damaged_one(store: Store) -> None:
    for _ in range(3):
        flip(store.get(RECIPE, NAME, Builder()).path)
        with pytest.warns(DamagedEngineWarning):
            store.get(RECIPE, NAME, Builder())
    assert len(list(store.root.glob(".damaged-*"))) == 1


def test_looking_for_a_damaged_engine_changes_nothing(store: Store) -> None:
    flip(store.get(RECIPE, NAME, Builder()).path)
    before = sorted(store.root.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Store(store.root).find(RECIPE, NAME) is None
    assert sorted(store.root.rglob("*")) == before


def test_lists_published_engines_only(store: Store) -> None:
    flip(store.get(RECIPE, NAME, Builder()).path)
    with pytest.warns(DamagedEngineWarning):
        good = store.get(RECIPE, NAME, Builder())
    shutil.copytree(good.path.parent, store.root / ".building-x-1")
    (store.root / "stranger").mkdir()
    (store.root / "stranger" / SIDECAR).write_text("[]")
    assert [engine.path for engine in store.entries()] == [good.path]


# What a build has to say


def test_what_a_build_says_stays_beside_its_engine(store: Store) -> None:
    def build(target: Path) -> Built:
        target.write_bytes(b"engine")
        target.with_name("build.log").write_text("ATC run success")
        return Built(("slow TransposeD",), {"gain": {"percent": 31}})

    built = store.get(RECIPE, NAME, build)
    assert built.warnings == ("slow TransposeD",)
    assert built.facts == {"gain": {"percent": 31}}
    assert built.log is not None
    assert built.log.read_text() == "ATC run success"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", built.built)
    assert (built.host, built.origin) == (os.uname().nodename, "built")
    assert Store(store.root).find(RECIPE, NAME) == built == next(iter(Store(store.root).entries()))
    assert json.loads(json.dumps(built.as_dict())) == {
        **{"sha256": built.sha256, "key": built.key, "origin": "built", "recipe": RECIPE},
        **{"warnings": ["slow TransposeD"], "facts": {"gain": {"percent": 31}}},
    }


def test_evidence_of_an_engine_says_nothing_where_the_build_said_nothing(store: Store) -> None:
    built = store.get(RECIPE, NAME, Builder())
    assert set(built.as_dict()) == {"sha256", "key", "origin", "recipe"}
    assert built.log is None


def test_a_sidecar_of_an_earlier_version_still_serves(store: Store) -> None:
    built = store.get(RECIPE, NAME, Builder())
    sidecar = built.path.with_name(SIDECAR)
    said = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({name: said[name] for name in ("name", "sha256", "recipe", "seconds")}))
    found = Store(store.root).find(RECIPE, NAME)
    assert found is not None
    assert (found.path, found.warnings, found.facts, found.origin) == (built.path, (), {}, "built")


def test_the_log_of_a_failed_build_is_kept_where_the_error_says(store: Store) -> None:
    def fail(target: Path) -> None:
        log = target.with_name("build.log")
        log.write_text("E10016")
        raise SetupError(f"atc failed; its log is {log}")

    with pytest.raises(SetupError) as raised:
        store.get(RECIPE, NAME, fail)
    (kept,) = store.root.glob(".failed-*.log")
    assert str(raised.value) == f"atc failed; its log is {kept}"
    assert kept.read_text() == "E10016"
    store.get(RECIPE, NAME, Builder())
    assert not kept.exists()


@pytest.mark.parametrize("make", [Path.mkdir, lambda log: log.symlink_to("/etc/hostname")], ids=["folder", "link"])
def test_refuses_a_log_that_is_no_file(store: Store, make: Callable[[Path], object]) -> None:
    def build(target: Path) -> None:
        target.write_bytes(b"engine")
        make(target.with_name("build.log"))

    with pytest.raises(StoreError, match="a folder or a link"):
        store.get(RECIPE, NAME, build)
    assert Store(store.root).find(RECIPE, NAME) is None


# What a host without the toolchain takes


def elsewhere(**changes: Any) -> dict[str, Any]:
    return {**RECIPE, "graph": "gg", "toolchain": {"cann": "8.0.0"}, "code": "cc", **changes}


def adopt(store: Store, recipe: dict[str, Any], content: bytes = b"engine", built: str = "2026-01-01") -> bool:
    engine = Engine(
        Path(NAME), hashlib.sha256(content).hexdigest(), engines.key_of(recipe), recipe, 1.0, host="far", built=built
    )
    return store.adopt(engine, lambda folder: folder.joinpath(NAME).write_bytes(content) and None)


def test_an_engine_of_other_graph_toolchain_and_code_is_a_candidate_the_newest_first(store: Store) -> None:
    adopt(store, elsewhere(), built="2026-01-01")
    adopt(store, elsewhere(code="dd"), built="2026-02-01")
    asked = {name: value for name, value in RECIPE.items() if name not in engines.ELSEWHERE}
    for recipe in (RECIPE, asked, {name: asked[name] for name in asked if name not in engines.WEIGHTS}):
        found = store.candidates(recipe)
        assert [engine.built for engine in found] == ["2026-02-01", "2026-01-01"]
        assert {(engine.origin, engine.host) for engine in found} == {("imported", "far")}


@pytest.mark.parametrize("name", sorted(set(RECIPE) - set(engines.ELSEWHERE)))
def test_an_engine_that_differs_in_anything_else_is_no_candidate(store: Store, name: str) -> None:
    adopt(store, elsewhere(**{name: {"other": 1} if isinstance(RECIPE[name], dict) else "other"}))
    assert store.candidates(RECIPE) == []


def test_an_emulated_engine_is_no_candidate_for_a_device_nor_the_reverse(store: Store) -> None:
    adopt(store, elsewhere(emulated=True))
    adopt(store, elsewhere())
    assert [engine.recipe.get("emulated") for engine in store.candidates(RECIPE)] == [None]
    assert [engine.recipe.get("emulated") for engine in store.candidates({**RECIPE, "emulated": True})] == [True]


# Every one of them, read and hashed


def test_verifying_names_the_damaged_ones_and_sets_nothing_aside(store: Store) -> None:
    good, bad, none = (store.get({**RECIPE, "batch": batch}, NAME, Builder()) for batch in (1, 2, 3))
    flip(bad.path)
    none.path.with_name(SIDECAR).unlink()
    found = dict(store.problems())
    assert found[good.key] is None
    assert found[bad.key] is not None
    assert "sha256" in found[bad.key]
    assert found[none.key] is not None
    assert len(found) == 3
    assert bad.path.exists()


def test_an_empty_or_missing_store_has_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert (list(store.entries()), list(store.problems()), store.candidates(RECIPE)) == ([], [], [])
    assert store.nearest(RECIPE) is None


# Use


def test_taking_an_engine_sets_the_time_of_its_last_use(store: Store) -> None:
    place = store.get(RECIPE, NAME, Builder()).path.parent
    os.utime(place / SIDECAR, (0, 0))
    list(store.entries())
    list(store.problems())
    assert uses.last(place) == 0
    Store(store.root).find(RECIPE, NAME)
    assert uses.last(place) > 0


def test_an_engine_is_in_use_as_long_as_the_store_that_gave_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    place = store.get(RECIPE, NAME, Builder()).path.parent
    with uses.unused(place) as alone:
        assert not alone
    del store
    gc.collect()
    with uses.unused(place) as alone:
        assert alone


# What killed builders left


def leave(store: Store, key: str, pid: int, host: str, age: float = 0.0) -> Path:
    folder = store.root / f".building-{key}-{pid}-{host}"
    folder.mkdir(parents=True)
    (folder / "half").write_bytes(b"half")
    for path in (folder / "half", folder):
        os.utime(path, (time.time() - age, time.time() - age))
    return folder


def gone() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


KEY = "0123456789abcdef0123"
WEEKS = 3 * 7 * 24 * 3600


def test_building_sweeps_what_dead_builders_of_any_key_left(store: Store) -> None:
    left = [leave(store, KEY, gone(), scratch.host()), leave(store, KEY, os.getpid(), scratch.host())]
    left.append(leave(store, engines.key_of(RECIPE), os.getpid(), scratch.host()))
    store.get(RECIPE, NAME, Builder())
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize(("age", "swept"), [(0, False), (WEEKS, True)], ids=["new", "three weeks old"])
@pytest.mark.parametrize("key", [KEY, engines.key_of(RECIPE)], ids=["another key", "the same key"])
def test_what_another_host_left_is_swept_only_once_it_is_old(store: Store, key: str, age: float, swept: bool) -> None:
    left = leave(store, key, gone(), "elsewhere", age)
    store.get(RECIPE, NAME, Builder())
    assert left.exists() is not swept


def test_nothing_is_swept_whose_lock_is_held(store: Store) -> None:
    """As in a container, where the number of a live builder means nobody; or on a host that shares the folder."""
    left = [leave(store, KEY, gone(), scratch.host()), leave(store, KEY, gone(), "elsewhere", WEEKS)]
    scratch.lock(store.root, KEY).parent.mkdir()
    with locks.lock(scratch.lock(store.root, KEY), "x", locks.ignore):
        store.get(RECIPE, NAME, Builder())
    assert [path for path in left if path.exists()] == left


def test_a_live_builder_of_another_key_is_left_alone(tmp_path: Path) -> None:
    with building(tmp_path) as other:
        shutil.rmtree(tmp_path / ".locks")  # even where somebody tidied up
        Store(tmp_path).get(RECIPE, NAME, Builder())
        assert leftovers(Store(tmp_path)) != []
        other.communicate("")
    assert [found for found in Store(tmp_path).problems() if found[1]] == []


# Atomic


@pytest.mark.parametrize("error", [RuntimeError("the tool failed"), KeyboardInterrupt(), OSError("image truncated")])
def test_what_a_build_raises_passes_through_and_leaves_nothing(store: Store, error: BaseException) -> None:
    def build(target: Path) -> None:
        target.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)) as raised:
        store.get(RECIPE, NAME, build)
    assert raised.value is error
    assert Store(store.root).find(RECIPE, NAME) is None
    assert leftovers(store) == []
    assert store.get(RECIPE, NAME, Builder()).path.is_file()


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda target: None, "found nothing"),
        (lambda target: target.touch(), "an empty file"),
        (lambda target: target.mkdir(), "an empty file, or none"),
        (lambda target: (target.write_bytes(b"x"), target.with_name("weights.data").write_bytes(b"y")), "weights.data"),
    ],
    ids=["nothing", "empty", "folder", "two files"],
)
def test_refuses_what_a_build_leaves_that_is_not_one_file(store: Store, build: Any, found: str) -> None:
    with pytest.raises(StoreError, match=found):
        store.get(RECIPE, NAME, build)
    assert Store(store.root).find(RECIPE, NAME) is None
    assert leftovers(store) == []


TOGETHER = """
import sys
from pathlib import Path
from fixtures.engines import Store
root, log = map(Path, sys.argv[1:])
def build(target):
    with log.open("a") as stream:
        stream.write("built\\n")
    target.write_bytes(b"engine" * 100000)
print("ready", flush=True)
sys.stdin.readline()
print(Store(root).get({"n": 1}, "e.bin", build).sha256)
"""


def test_eight_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "store"), str(tmp_path / "log")]
    pipe = subprocess.PIPE
    asking = [subprocess.Popen(command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True) for _ in range(8)]
    for process in asking:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in asking:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    digests = {process.communicate()[0] for process in asking}
    assert len(digests) == 1
    assert (tmp_path / "log").read_text() == "built\n"


BUILDING = """
import sys
from pathlib import Path
from fixtures.engines import Store
def build(target):
    target.write_bytes(b"half")
    print("building", flush=True)
    sys.stdin.read()
    target.write_bytes(b"whole")
Store(Path(sys.argv[1])).get({"n": 1}, "e.bin", build)
"""


@contextlib.contextmanager
def building(root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", BUILDING, str(root)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "building\n"
        yield other
        if other.poll() is None:
            other.kill()


def test_says_what_it_waits_for_and_who_builds_it(tmp_path: Path) -> None:
    told: list[str] = []
    with building(tmp_path) as other:

        def waiting(message: str) -> None:
            told.append(message)
            other.communicate("")

        engine = Store(tmp_path, waiting).get({"n": 1}, "e.bin", Builder(b"ours"))
        assert engine.path.read_bytes() == b"whole"
        assert len(told) == 1
        assert told[0].startswith(f"waiting for e.bin ({engine.key}), held by process {other.pid} since ")


def test_a_builder_that_died_does_not_block_the_next(tmp_path: Path) -> None:
    told: list[str] = []
    with building(tmp_path) as other:
        assert Store(tmp_path).find({"n": 1}, "e.bin") is None
        other.kill()
        other.wait()
        assert leftovers(Store(tmp_path)) != []
        engine = Store(tmp_path, told.append).get({"n": 1}, "e.bin", Builder(b"ours"))
    assert engine.path.read_bytes() == b"ours"
    assert told == []
    assert leftovers(Store(tmp_path)) == []


def test_who_lets_go_of_a_device_while_waiting_cannot_deadlock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run computes a reference under its key and needs the device that we hold while we want that reference."""
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    script = BUILDING.replace("sys.stdin.read()", "sys.stdin.readline()").replace(
        'target.write_bytes(b"whole")',
        "from fixtures import locks\n    with locks.hold(['cpu']):\n        target.write_bytes(b'whole')",
    )
    with contextlib.ExitStack() as device:
        device.enter_context(locks.hold(["cpu"]))
        command = [sys.executable, "-c", script, str(tmp_path)]
        pipe = subprocess.PIPE
        other = subprocess.Popen(command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True)
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "building\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        store = Store(tmp_path, lambda message: device.close())
        assert store.get({"n": 1}, "e.bin", Builder(b"ours")).path.read_bytes() == b"whole"
        other.communicate()


# A store that cannot be written


def explained(root: Path, reason: str) -> str:
    return rf"{NAME}: expected to keep it below {root}; found {reason} \(\d+\.\d GB free there\).*--engine-cache"


def test_a_full_disk_is_told_with_place_space_and_next_step(store: Store) -> None:
    def build(target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with pytest.raises(StoreError, match=explained(store.root, "No space left on device")):
        store.get(RECIPE, NAME, build)
    assert leftovers(store) == []


def test_everything_is_on_the_disk_before_it_is_published(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = build_step.sync, Path.rename
    monkeypatch.setattr(build_step, "sync", lambda path: (done.append(path.name), sync(path)))
    monkeypatch.setattr(Path, "rename", lambda path, to: (done.append("rename"), rename(path, to)))
    folder = scratch.path(store.root, engines.key_of(RECIPE)).name
    store.get(RECIPE, NAME, Builder())
    assert done == [NAME, SIDECAR, folder, "rename", store.root.name]


def test_a_disk_that_fills_while_publishing_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(build_step, "sync", full)
        with pytest.raises(StoreError, match=explained(store.root, "No space left on device")):
            store.get(RECIPE, NAME, Builder())
    assert leftovers(store) == []
    assert Store(store.root).find(RECIPE, NAME) is None


LIMITED = """
import resource, sys
from pathlib import Path
from fixtures.engines import Store, StoreError
def build(target):
    try:
        target.write_bytes(b"x" * 300_000)
    except OSError:
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Protobuf serialization failed.")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Store(Path(sys.argv[1])).get({"n": 1}, "engine.bin", build)
except StoreError as error:
    print(error)
"""


def test_a_tool_that_fails_in_words_of_its_own_on_a_full_disk_is_explained(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "store")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"expected to keep it below {tmp_path / 'store'}; found File too large" in run.stdout
    assert leftovers(Store(tmp_path / "store")) == []


def test_a_home_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / "engines"
    with pytest.raises(StoreError, match=explained(root, "Not a directory")):
        Store(root).get(RECIPE, NAME, Builder())


def test_a_read_only_folder_is_explained(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(StoreError, match=explained(store.root, "Read-only file system")):
        store.get(RECIPE, NAME, Builder())


def test_a_read_only_store_serves_what_it_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = store.get(RECIPE, NAME, Builder())

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "rename", "unlink", "write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, read_only)
    assert Store(store.root).get(RECIPE, NAME, Builder()) == held


def test_a_damaged_engine_in_a_read_only_store_is_explained(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(store.get(RECIPE, NAME, Builder()).path)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(StoreError, match="Read-only file system"):
        Store(store.root).get(RECIPE, NAME, Builder())


def test_an_engine_that_may_not_be_read_is_not_taken_for_damaged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place = store.get(RECIPE, NAME, Builder()).path.parent

    def denied(path: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(engines.digest, "of_file", denied)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(store.root).get(RECIPE, NAME, Builder())
    assert place.is_dir()
