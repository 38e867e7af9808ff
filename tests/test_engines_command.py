"""The command `python -m fixtures engines`: what a user types and reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixtures import local
from fixtures.catalogue import CatalogueError
from fixtures.engines import Store
from fixtures.runtime import Missing
from fixtures.store import engine_cases, engines_build
from fixtures.store.engines_command import main
from fixtures.store.sidecar import SIDECAR
from tests import tiny

CHECKOUT = Path(__file__).resolve().parents[1]

RUNTIME = """
import os, signal
from pathlib import Path
from fixtures.runtime import Built, Missing

class Scripted:
    '''A toolchain that builds here and runs nowhere; SCRIPT says what becomes of a batch.'''
    name, artefact, emulator = "scripted", "model.bin", False
    compiler = property(lambda self: self)
    def missing(self, backend, model):
        return Missing("scripted is not installed", "install it") if "SCRIPTED_MISSING" in os.environ else None
    def options(self, backend, model): return dict(backend.options)
    def target(self, backend): return {"chip": "X1"}
    def toolchain(self, backend): return {"scripted": os.environ.get("SCRIPTED_VERSION", "7.0.0")}
    def misfit(self, engine, backend): return None
    def build(self, source, case, backend, target):
        if os.environ.get("FAIL") == str(case.batch):
            target.write_bytes(b"half")
            raise RuntimeError("the tool failed")
        if os.environ.get("INTERRUPT") == str(case.batch):
            target.write_bytes(b"half")
            signal.raise_signal(signal.SIGINT)
        target.write_bytes(b"engine of batch %d" % case.batch)
        target.with_name("build.log").write_text("built well")
        return Built((f"slow transpose, tuned {os.environ.get('SIGNOFF_TUNE')}",), {})

RUNTIME = Scripted()
"""

Engines = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A catalogue with the tiny model and a backend whose engines are built here and run elsewhere."""
    folder = tiny.write(tmp_path_factory.mktemp("catalogue"))
    (folder / "fixtures/runtimes/absent.py").unlink()
    (folder / "fixtures/backends/absent.py").unlink()
    (folder / "fixtures/runtimes/scripted.py").write_text(RUNTIME)
    (folder / "fixtures/backends/scripted.py").write_text(
        'from fixtures.backend import Backend\nBACKEND = Backend("scripted", runtime="scripted", options={"x": 1})\n'
    )
    with tiny.extended(folder):
        yield folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "home" / "engines"


@pytest.fixture
def engines(
    extended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Engines:
    """Return a function that runs the command and returns its status, output and errors."""
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    for name in [*map(local.variable, local.PATHS), "SIGNOFF_TUNE"]:
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


BUILD = ("build", "--model", "tiny", "--backend", "scripted")


# build


def test_builds_ahead_with_a_line_per_engine_and_reuses_afterwards(engines: Engines, root: Path) -> None:
    status, said, _ = engines(*BUILD)
    keys = {engine.recipe["batch"]: engine.key for engine in Store(root).entries()}
    first, warning, second, *_ = said.splitlines()
    assert status == 0
    assert first.startswith(f"[1/2] tiny-bs1-scripted: built {keys[1]} in ")
    assert warning == "  slow transpose, tuned "
    assert second.startswith(f"[2/2] tiny-bs4-scripted: built {keys[4]} in ")
    status, said, _ = engines(*BUILD)
    assert (status, said.splitlines()[:2]) == (
        0,
        [f"[1/2] tiny-bs1-scripted: reused {keys[1]}", f"[2/2] tiny-bs4-scripted: reused {keys[4]}"],
    )


def test_one_that_fails_does_not_stop_the_others(engines: Engines, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    status, said, _ = engines(*BUILD)
    assert status == 1
    assert "[1/2] tiny-bs1-scripted: failed: RuntimeError: the tool failed" in said
    assert "[2/2] tiny-bs4-scripted: built" in said
    assert "2 engines wanted, 1 failed" in said
    assert [engine.recipe["batch"] for engine in Store(root).entries()] == [4]


def test_ctrl_c_leaves_nothing_half_built(engines: Engines, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERRUPT", "4")
    status, _, errors = engines(*BUILD)
    assert status == 130
    assert "interrupted" in errors
    assert [engine.recipe["batch"] for engine in Store(root).entries()] == [1]
    assert not list(root.glob(".building-*"))


def test_a_dry_run_builds_nothing(engines: Engines, root: Path) -> None:
    status, said, _ = engines(*BUILD, "--dry-run")
    assert status == 0
    assert said.splitlines()[:2] == [
        "[1/2] tiny-bs1-scripted: would build",
        "[2/2] tiny-bs4-scripted: would build",
    ]
    assert list(Store(root).entries()) == []
    engines(*BUILD, "--batch", "4")
    said = engines(*BUILD, "--dry-run")[1]
    assert "tiny-bs1-scripted: would build\n" in said
    assert "tiny-bs4-scripted: would reuse" in said


def test_a_named_backend_without_its_compiler_is_a_failure_with_the_next_step(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_MISSING", "1")
    status, said, _ = engines(*BUILD)
    assert status == 1
    assert "scripted, 2 cases: not built: scripted is not installed; install it" in said


def test_a_backend_that_was_not_named_is_left_out_without_its_compiler(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_MISSING", "1")
    status, said, _ = engines("build", "--model", "tiny", "--batch", "1", "--dry-run")
    assert status == 0
    assert "scripted, 1 case: not built" in said
    assert "tiny-bs1-onnxruntime: would build" in said


def test_a_selection_of_which_nothing_can_be_built_is_a_failure(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines_build, "_missing", lambda case: Missing("it is not here", "get it"))
    status, said, _ = engines("build", "--model", "tiny")
    assert status == 1
    why, nothing = said.splitlines()
    assert why.endswith(" cases: not built: it is not here; get it")  # one line, whatever backends lack the same
    assert nothing == "nothing to build"


def test_what_the_command_says_of_tools_stands_in_the_environment(engines: Engines, tmp_path: Path) -> None:
    said = engines(*BUILD, "--batch", "1", "--tune", "--ascend-env", "set_env.sh")[1]
    assert "slow transpose, tuned 1" in said
    assert os.environ["SIGNOFF_ASCEND_ENV"] == str(tmp_path / "set_env.sh")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "--model", "tny"), "did you mean 'tiny'"),
        (("build", "--backend", "scriptd"), "did you mean 'scripted'"),
        (("build", "--profile", "sampel"), "did you mean 'sample'"),
        (("build", "--model", "tiny", "--profile", "official"), "unknown profile of tiny 'official'"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(engines: Engines, arguments: tuple[str, ...], said: str) -> None:
    status, _, errors = engines(*arguments)
    assert status == 1
    assert said in errors


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_refuses_a_batch_that_is_no_number(engines: Engines, value: str) -> None:
    with pytest.raises(SystemExit):
        engines("build", f"--batch={value}")


# cases


@pytest.mark.parametrize(
    ("text", "size", "batch", "backend"),
    [
        ("tiny-bs1-scripted", 4, 1, "scripted"),
        ("tiny-bs7-scripted", 4, 7, "scripted"),
        ("tiny-16-bs4-onnxruntime", 16, 4, "onnxruntime"),
    ],
)
def test_reads_the_id_of_a_case_in_the_grid_or_beside_it(
    extended: Path, text: str, size: int, batch: int, backend: str
) -> None:
    case = engine_cases.case(text, "sample")
    assert (case.model, case.size, case.batch, case.backend, case.id) == ("tiny", size, batch, backend, text)


@pytest.mark.parametrize("text", ["tiny-bs1-scriptd", "tiny-bs0-scripted", "tny-bs1-scripted", "", "tiny", "-bs1-"])
def test_an_unknown_case_is_told_with_the_nearest(extended: Path, text: str) -> None:
    with pytest.raises(CatalogueError, match=r"unknown case .*Ids are as in pytest --collect-only"):
        engine_cases.case(text, "sample")
    if len(text) > 10:
        with pytest.raises(CatalogueError, match=r"did you mean 'tiny-bs[14]-scripted'"):
            engine_cases.case(text, "sample")


# why


def test_says_why_an_engine_would_be_built(engines: Engines, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = ("why", "tiny-bs1-scripted")
    assert engines(*why)[1] == f"tiny-bs1-scripted: not stored; no engine of tiny is in {root}\n"
    engines(*BUILD, "--batch", "1")
    (engine,) = Store(root).entries()
    assert engines(*why)[1].startswith(f"tiny-bs1-scripted: stored as {engine.key}, built on {engine.host}")
    said = engines("why", "tiny-bs4-scripted")[1]
    assert said.startswith(f"tiny-bs4-scripted: not stored; the nearest is {engine.key}, built on ")
    assert said.endswith("\n  batch: this case has 4, the stored engine has 1\n")
    monkeypatch.setenv("SCRIPTED_VERSION", "8.0.0")
    assert engines(*why)[1].endswith(
        "\n  toolchain.scripted: this host has 8.0.0, the stored engine was built with 7.0.0\n"
    )
    # A host without the toolchain takes what was built elsewhere.
    monkeypatch.setenv("SCRIPTED_MISSING", "1")
    assert f"stored as {engine.key}" in engines(*why)[1]
    assert engines("why", "tiny-bs4-scripted")[1].endswith("batch: this case has 4, the stored engine has 1\n")


def test_says_that_a_stored_engine_is_damaged(engines: Engines, root: Path) -> None:
    engines(*BUILD, "--batch", "1")
    (engine,) = Store(root).entries()
    engine.path.write_bytes(b"damaged")
    assert f"stored as {engine.key}, but damaged" in engines("why", "tiny-bs1-scripted")[1]


def test_says_why_where_the_graph_is_not_exported_yet(engines: Engines, root: Path) -> None:
    said = engines("why", "edsr-bs1-onnxruntime")[1]
    assert said == f"edsr-bs1-onnxruntime: not stored; no engine of edsr is in {root}\n"
    assert not list(Store(root).entries())


# list and verify


def test_lists_what_is_stored_and_what_is_damaged(engines: Engines, root: Path) -> None:
    assert engines("list")[1].splitlines()[-1] == f"0 engines, 0.0 MB, in {root}"
    engines(*BUILD)
    one, four = sorted(Store(root).entries(), key=lambda engine: engine.recipe["batch"])
    head, first, second, total = engines("list")[1].splitlines()
    assert head.split()[:5] == ["key", "engine", "compiler", "target", "size"]
    assert first.split()[:7] == [one.key, "tiny-4-bs1", "scripted", "X1", "fp32", "0.0", "MB"]
    assert one.host in first
    assert " built " in second
    assert total.startswith("2 engines, 0.0 MB")
    one.path.write_bytes(b"")
    four.path.with_name(SIDECAR).write_text("{}")
    (root / ".damaged-x-1").mkdir()
    lines = [line.split() for line in engines("list")[1].splitlines()]
    assert [one.key, "damaged"] in lines
    assert [four.key, "damaged"] in lines
    assert [".damaged-x-1:", "damaged,", "set", "aside"] in lines


def test_an_imported_name_cannot_move_the_cursor(engines: Engines, root: Path) -> None:
    Store(root).get({"compiler": "\x1b[2J", "model": "x"}, "e", lambda target: target.write_bytes(b"x") and None)
    (engine,) = Store(root).entries()
    sidecar = engine.path.with_name(SIDECAR)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "host": "a\x07\nb"}))
    said = engines("list")[1]
    assert "?[2J" in said
    assert "a??b" in said
    assert all(line.isprintable() for line in said.splitlines())


def test_verifies_everything(engines: Engines, root: Path) -> None:
    engines(*BUILD)
    assert engines("verify")[:2] == (0, f"2 engines are what they say, 0 damaged, in {root}\n")
    damaged = next(Store(root).entries())
    damaged.path.write_bytes(b"damaged")
    status, said, _ = engines("verify")
    assert status == 1
    assert said.startswith(f"{damaged.key}: damaged: expected sha256 {damaged.sha256[:16]}, found ")
    assert said.endswith(f"1 engines are what they say, 1 damaged, in {root}\n")
    assert damaged.path.exists()


# export and import


def test_engines_go_from_one_store_to_another(
    engines: Engines, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(*BUILD)
    status, said, _ = engines("export", "tiny-bs4-scripted", "--to", "four.zip")
    assert status == 0
    assert said.endswith("MB; on the other host: python -m fixtures engines import four.zip\n")
    other = ("--engine-cache", str(tmp_path / "other"))
    assert ": imported\n1 engines imported, 0 already here" in engines("import", "four.zip", *other)[1]
    assert ": already here\n0 engines imported, 1 already here" in engines("import", "four.zip", *other)[1]
    monkeypatch.setenv("SCRIPTED_MISSING", "1")
    assert "imported" in engines("why", "tiny-bs4-scripted", *other)[1]
    assert "imported" in engines("list", *other)[1]


def test_exports_by_key_and_everything(engines: Engines, root: Path) -> None:
    engines(*BUILD)
    key = next(Store(root).entries()).key
    assert "one.zip: 1 engines" in engines("export", "--key", key, "--to", "one.zip")[1]
    assert "all.zip: 2 engines" in engines("export", "--to", "all.zip")[1]


def test_says_what_cannot_be_exported(engines: Engines, root: Path) -> None:
    assert "expected engines to export; found none" in engines("export", "--to", "x.zip")[2]
    engines(*BUILD, "--batch", "1")
    assert "engines why tiny-bs4-scripted" in engines("export", "tiny-bs4-scripted", "--to", "x.zip")[2]
    assert "--key: expected the key of an engine" in engines("export", "--key", "x", "--to", "x.zip")[2]
    next(Store(root).entries()).path.write_bytes(b"damaged")
    assert "found a damaged one" in engines("export", "--to", "x.zip")[2]
    assert engines("import", "x.zip")[::2][0] == 1
    assert not Path("x.zip").exists()


# prune


def test_prunes_down_to_a_size(engines: Engines, root: Path) -> None:
    engines(*BUILD)
    status, said, _ = engines("prune", "--max-size", "0B", "--dry-run")
    assert (status, said.count("would remove")) == (0, 2)
    status, said, _ = engines("prune", "--max-size", "0B")
    assert (status, said.count("removed")) == (0, 2)
    assert said.endswith(f"0.0 MB left in {root}, at most 0B wanted\n")
    assert list(Store(root).entries()) == []


def test_says_what_could_not_be_pruned(engines: Engines, root: Path) -> None:
    store = Store(root)
    store.get({"n": 1}, "e", lambda target: target.write_bytes(b"x") and None)
    status, said, _ = engines("prune", "--max-size", "0B")
    assert status == 1
    assert ": it is in use" in said


def test_a_size_without_unit_is_refused(engines: Engines) -> None:
    status, _, errors = engines("prune", "--max-size", "20")
    assert (status, "as in 20GB" in errors) == (1, True)


# As a process


def test_the_command_is_found_and_tells_its_verbs(tmp_path: Path) -> None:
    environment = {**os.environ, "SIGNOFF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "fixtures", "engines"]
    done = subprocess.run(
        [*command, "--help"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    for verb in ("list", "why", "build", "verify", "export", "import", "prune", "pack", "unpack"):
        assert f"\n    {verb} " in done.stdout


@pytest.mark.parametrize(("make", "found"), [("touch", "a file"), (None, "nothing")])
@pytest.mark.parametrize("verb", [["list"], ["verify"], ["prune", "--max-size", "1GB"]])
def test_a_wrong_path_is_not_taken_for_an_empty_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str], make: str | None, found: str
) -> None:
    if make:
        (tmp_path / "wrong").touch()
    assert main([*verb, f"--engine-cache={tmp_path / 'wrong'}"]) == 1
    assert f"expected a folder of engines; found {found}; check the path" in capsys.readouterr().err
