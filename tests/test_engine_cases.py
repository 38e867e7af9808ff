"""What a host can tell of a case's recipe before its graph is exported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.case import Case
from fixtures.engines import Store
from fixtures.model import Model
from fixtures.sources import Export, Sources
from fixtures.store import engine_cases
from tests.convolutions import SIZE, register, tiny

CASE = Case("sample", "tiny", SIZE, 1, "onnxruntime")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    return register(tiny(tmp_path), monkeypatch)


def fresh(tmp_path: Path) -> Sources:
    return Sources(Store(tmp_path / "engines"))


def forget_export(tmp_path: Path) -> None:
    for engine in Store(tmp_path / "engines").entries():
        if engine.recipe.get("runtime") == "export":
            shutil.rmtree(engine.path.parent)


def test_the_engine_that_a_run_takes_is_the_one_that_is_told(model: Model, tmp_path: Path) -> None:
    made = fresh(tmp_path).engine(CASE)
    found = engine_cases.stored(fresh(tmp_path), CASE)
    assert found is not None
    assert found.key == made.key
    assert f"stored as {made.key}" in engine_cases.why(fresh(tmp_path), CASE)


def test_a_graph_that_is_not_exported_any_more_is_the_reason(model: Model, tmp_path: Path) -> None:
    made = fresh(tmp_path).engine(CASE)
    forget_export(tmp_path)
    before = sorted((tmp_path / "engines").glob("[!.]*"))
    assert engine_cases.stored(fresh(tmp_path), CASE) is None
    said = engine_cases.why(fresh(tmp_path), CASE)
    assert "its graph would be exported first, because no export of the model is stored" in said
    assert f"the nearest is {made.key}" in said
    assert sorted((tmp_path / "engines").glob("[!.]*")) == before  # nothing was exported to find out


def test_an_export_by_another_version_is_the_reason(model: Model, tmp_path: Path) -> None:
    sources = fresh(tmp_path)
    sources.engine(CASE)
    _, checkpoint = sources.checkpoint(model, model.profiles["sample"], "sample")
    here = Export(model, checkpoint, SIZE, 1).recipe
    forget_export(tmp_path)
    sources.store.get(
        {**here, "torch": "1.0"}, "graph.onnx", lambda target: target.write_bytes(b"older graph") and None
    )
    said = engine_cases.why(fresh(tmp_path), CASE)
    assert f"because torch: this host has {here['torch']}, the stored engine was built with 1.0;" in said


def test_another_backend_is_told_without_an_export(model: Model, tmp_path: Path) -> None:
    fresh(tmp_path).engine(CASE)
    forget_export(tmp_path)
    said = engine_cases.why(fresh(tmp_path), Case("sample", "tiny", SIZE, 4, "onnxruntime"))
    assert said.endswith("\n  batch: this case has 4, the stored engine has 1")
