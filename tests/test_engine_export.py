"""Engines as a file: what one store writes another takes in, and nothing that only claims to be that."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.engines import Engine, Store, StoreError, key_of
from fixtures.runtime import Built
from fixtures.store import building, enginefile
from fixtures.store.enginefile import MANIFEST, EngineFileError, read, write
from fixtures.store.sidecar import SIDECAR

NAME = "model.om"
RECIPE: dict[str, Any] = {"compiler": "ascend", "model": "edsr", "batch": 1}


def build(target: Path, content: bytes = b"engine" * 1000) -> Built:
    target.write_bytes(content)
    target.with_name("build.log").write_text("ATC run success")
    return Built(("slow",), {"gain": 0.3})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(tmp_path / "there")


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    engines = [store.get({**RECIPE, "batch": batch}, NAME, build) for batch in (1, 4)]
    write(engines, tmp_path / "engines.zip")
    return tmp_path / "engines.zip"


# There and back


def test_an_engine_travels_with_its_history_and_is_imported_there(file: Path, store: Store, there: Store) -> None:
    new, known = read(file, there)
    assert (len(new), known) == (2, [])
    for here in store.entries():
        found = there.find(here.recipe, NAME)
        assert found is not None
        assert found.path.read_bytes() == here.path.read_bytes()
        assert found.origin == "imported"
        assert found.log is not None
        assert found.log.read_text() == "ATC run success"
        kept = ("sha256", "key", "recipe", "seconds", "warnings", "facts", "built", "host")
        assert [getattr(found, name) for name in kept] == [getattr(here, name) for name in kept]
    assert not [problem for _, problem in there.problems() if problem]


def test_importing_again_changes_nothing(file: Path, there: Store) -> None:
    read(file, there)
    before = {path: path.stat().st_ino for path in there.root.rglob("*")}
    new, known = read(file, there)
    assert (new, len(known)) == ([], 2)
    assert {path: path.stat().st_ino for path in there.root.rglob("*")} == before


def test_an_engine_built_here_is_not_overwritten_by_another(file: Path, there: Store) -> None:
    ours = there.get(RECIPE, NAME, lambda target: build(target, b"ours"))
    with pytest.raises(StoreError, match=f"{ours.key}: expected no engine of its recipe .* or the same; found another"):
        read(file, there)
    assert ours.path.read_bytes() == b"ours"


def test_a_damaged_engine_is_replaced_by_an_import(file: Path, there: Store) -> None:
    there.get(RECIPE, NAME, build).path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged"):
        read(file, Store(there.root))
    assert Store(there.root).find(RECIPE, NAME)


def test_the_same_engines_make_the_same_file(file: Path, store: Store, tmp_path: Path) -> None:
    write(sorted(store.entries(), key=lambda engine: engine.recipe["batch"]), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == file.read_bytes()


def test_an_imported_engine_can_be_exported_again(file: Path, there: Store, tmp_path: Path) -> None:
    read(file, there)
    write(list(there.entries()), tmp_path / "on.zip")
    assert len(read(tmp_path / "on.zip", Store(tmp_path / "third"))[0]) == 2


# Whole or not at all


def test_an_export_that_fails_leaves_the_older_file(
    file: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = file.read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "sync", full)
    with pytest.raises(StoreError, match="No space left"):
        write(list(store.entries()), file)
    assert file.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"here", "engines.zip"}


def test_an_export_is_published_in_one_step(file: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(list(store.entries())[:1], file)
    assert file.read_bytes() == before


def test_an_import_into_a_full_disk_leaves_nothing(file: Path, there: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(building, "sync", full)
        with pytest.raises(StoreError, match="No space left"):
            read(file, there)
    assert [path.name for path in there.root.iterdir()] == [".locks"]


# Files that are not what they seem

Members = dict[str, bytes]


def members(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(file: Path, content: Members, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def refused(file: Path, there: Store, said: str) -> None:
    with pytest.raises(EngineFileError, match=said) as raised:
        read(file, there)
    assert "it was not taken in" in str(raised.value)
    assert not there.root.exists() or not list(there.entries())


def key(content: Members) -> str:
    return key_of(RECIPE)


def edit(content: Members, **changes: Any) -> None:
    """Change what the sidecar of one engine says."""
    name = f"{key(content)}/{SIDECAR}"
    content[name] = json.dumps({**json.loads(content[name]), **changes}).encode()


HOSTILE: dict[str, tuple[Callable[[Members], Any], str]] = {
    "a name that leads outside": (lambda content: content.update({"../evil": b"x"}), "the files of its engines alone"),
    "an absolute name": (lambda content: content.update({"/evil": b"x"}), "the files of its engines alone"),
    "an extra file": (lambda content: content.update({f"{key(content)}/x": b"x"}), "the files of its engines alone"),
    "an artefact that leads outside": (lambda content: edit(content, name="../../evil"), "to describe an engine"),
    "an artefact named like the sidecar": (lambda content: edit(content, name=SIDECAR), "to describe an engine"),
    "an artefact named like the log": (lambda content: edit(content, name="build.log"), "to describe an engine"),
    "a hidden artefact": (lambda content: edit(content, name=".x"), "to describe an engine"),
    "an artefact whose name is no text": (lambda content: edit(content, name=1), "to describe an engine"),
    "no artefact": (lambda content: content.pop(f"{key(content)}/{NAME}"), "no such member"),
    "no log": (lambda content: content.pop(f"{key(content)}/build.log"), "no such member"),
    "no sidecar": (lambda content: content.pop(f"{key(content)}/{SIDECAR}"), "to describe an engine"),
    "another artefact": (lambda content: content.update({f"{key(content)}/{NAME}": b"evil"}), "it is damaged"),
    "another recipe": (lambda content: edit(content, recipe={"batch": 2}), "under the key of its recipe"),
    "a recipe that is none": (lambda content: edit(content, recipe=[]), "makes no sense: recipe"),
    "a recipe without numbers": (lambda content: edit(content, recipe={"x": float("nan")}), "to describe an engine"),
    "a digest that is none": (lambda content: edit(content, sha256="x"), "makes no sense: sha256"),
    "seconds without end": (lambda content: edit(content, seconds=float("inf")), "makes no sense: seconds"),
    "another origin": (lambda content: edit(content, origin="supplied"), "makes no sense: origin"),
    "facts that are none": (lambda content: edit(content, facts="x"), "makes no sense: facts"),
    "a host that is no text": (lambda content: edit(content, host=["x"]), "makes no sense: texts"),
    "a deep sidecar": (
        lambda content: content.update({f"{key(content)}/{SIDECAR}": b"[" * 200_000}),
        "to describe an engine",
    ),
    "no manifest": (lambda content: content.pop(MANIFEST), f"with a {MANIFEST}"),
    "a manifest that is no JSON": (lambda content: content.update({MANIFEST: b"\xff"}), f"with a {MANIFEST}"),
    "a manifest of other keys": (
        lambda content: content.update({MANIFEST: b'{"schema": 1, "engines": ["../x"]}'}),
        f"with a {MANIFEST}",
    ),
    "a manifest that names nothing": (
        lambda content: content.update({MANIFEST: b'{"schema": 1, "engines": []}'}),
        "the files of its engines alone",
    ),
    "an engine that is not there": (
        lambda content: content.update({MANIFEST: json.dumps({"schema": 1, "engines": ["0" * 20]}).encode()}),
        "to describe an engine",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_a_file_with(file: Path, there: Store, name: str) -> None:
    change, said = HOSTILE[name]
    content = members(file)
    change(content)
    rewrite(file, content)
    refused(file, there, said)
    assert not (file.parent / "evil").exists()


def test_refuses_a_member_that_occurs_twice(file: Path, there: Store) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{key_of(RECIPE)}/{NAME}", b"evil")
    refused(file, there, "a name that occurs twice")


def test_refuses_a_link(file: Path, there: Store) -> None:
    content = members(file)
    link = zipfile.ZipInfo(f"{key_of(RECIPE)}/{NAME}")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(link if name == link.filename else name, data)
    refused(file, there, "a link, a folder or a device")


def test_refuses_a_folder(file: Path, there: Store) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.mkdir("folder") if hasattr(archive, "mkdir") else archive.write(file.parent, "folder")
    refused(file, there, "a link, a folder or a device")


def test_refuses_what_unpacks_to_more_than_itself(file: Path, there: Store) -> None:
    rewrite(file, {**members(file), "bomb": b"\0" * 10**7}, zipfile.ZIP_DEFLATED)
    refused(file, there, "compressed")


def test_refuses_members_that_lie_over_each_other(file: Path, there: Store) -> None:
    """The same bytes named many times in the list: a bomb without compression."""
    content = members(file)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.writestr("0", b"x" * 10**5)
        first = archive.infolist()[-1]
        for number in range(1, 50):
            again = zipfile.ZipInfo(str(number))
            vars_of = ("header_offset", "file_size", "compress_size", "CRC")
            for name in vars_of:
                setattr(again, name, getattr(first, name))
            archive.filelist.append(again)
    refused(file, there, "members no larger than the file")


def test_refuses_a_newer_schema(file: Path, there: Store) -> None:
    content = members(file)
    content[MANIFEST] = json.dumps({"schema": 2, "engines": []}).encode()
    rewrite(file, content)
    with pytest.raises(EngineFileError, match="found 2, of a newer signoff; update this checkout"):
        read(file, there)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file" * 100], ids=["empty", "cut short", "something else"])
def test_refuses_what_is_no_archive(tmp_path: Path, there: Store, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "x.zip", there, "one that cannot be read")


def test_refuses_nothing_and_a_folder(tmp_path: Path, there: Store) -> None:
    for path in (tmp_path / "missing.zip", tmp_path):
        refused(path, there, "one that cannot be read")


def sound() -> bytes:
    """Return a small file of one engine, made without a store."""
    content = b"engine"
    engine = Engine(Path(NAME), hashlib.sha256(content).hexdigest(), key_of(RECIPE), RECIPE, 1.0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo(MANIFEST, enginefile.EPOCH), json.dumps({"schema": 1, "engines": [engine.key]})
        )
        archive.writestr(zipfile.ZipInfo(f"{engine.key}/{SIDECAR}", enginefile.EPOCH), json.dumps(engine.sidecar()))
        archive.writestr(zipfile.ZipInfo(f"{engine.key}/{NAME}", enginefile.EPOCH), content)
    return buffer.getvalue()


SOUND = sound()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(SOUND)))
def test_whatever_was_changed_the_file_is_refused_or_holds_the_engine(
    tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(SOUND)
    for place, value in changes:
        content[place] = value
    file = tmp_path / "fuzz.zip"
    file.write_bytes(content[:cut] if cut % 3 == 0 else content)
    taken: dict[str, bytes] = {}

    class Kept:
        """A store that keeps what it is given in memory."""

        def adopt(self, engine: Engine, fill: Callable[[Path], None]) -> bool:
            fill(tmp_path)
            taken[engine.key] = (tmp_path / engine.path.name).read_bytes()
            (tmp_path / engine.path.name).unlink()
            return True

    try:
        read(file, Kept())  # type: ignore[arg-type]
    except EngineFileError:
        assert not taken
    else:
        assert set(taken.values()) <= {b"engine"}
