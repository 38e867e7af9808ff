"""From a case to what its engine is built from, and to the engine."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures import catalogue, sources
from fixtures.case import Case
from fixtures.checkpoints import CheckpointError
from fixtures.engines import DamagedEngineWarning, Store
from fixtures.export import ExportError
from fixtures.model import Checkpoint, Model, Tensor
from fixtures.runtime import BrokenRuntimeError
from fixtures.runtimes.onnxruntime import OnnxRuntime
from fixtures.sources import Export, Sources
from tests.convolutions import SIZE, network, register, tiny

CASE = Case("sample", "tiny", SIZE, 1, "onnxruntime")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    return register(tiny(tmp_path), monkeypatch)


@pytest.fixture
def made(tmp_path: Path, model: Model) -> Sources:
    return Sources(Store(tmp_path / "engines"))


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return size and batch of every export that is made from here on."""
    made: list[tuple[int, int]] = []
    original = sources.export

    # Keeps the file that defines it, which is part of the recipe.
    @functools.wraps(original)
    def noted(model: Model, checkpoint: Path, size: int, batch: int, target: Path) -> None:
        made.append((size, batch))
        original(model, checkpoint, size, batch, target)

    monkeypatch.setattr(sources, "export", noted)
    return made


def again(made: Sources) -> Sources:
    return Sources(Store(made.store.root), made.weights)


def test_exports_and_builds_once_for_every_later_run(made: Sources, exported: list[tuple[int, int]]) -> None:
    first = made.engine(CASE)
    assert again(made).engine(CASE) == first
    assert exported == [(SIZE, 1)]


def test_a_recipe_is_json_and_names_everything(made: Sources) -> None:
    recipe = made.engine(CASE).recipe
    assert json.loads(json.dumps(recipe)) == recipe
    assert set(recipe) == {
        *("compiler", "model", "checkpoint", "network", "graph", "size", "batch"),
        *("precision", "options", "target", "toolchain", "code"),
    }
    assert set(recipe["toolchain"]) == {"onnxruntime"}
    assert {"threads", "graph_optimization"} <= set(recipe["options"])
    assert set(recipe["target"]) == {"processor"}


def test_backends_share_one_export(made: Sources, exported: list[tuple[int, int]]) -> None:
    made.engine(CASE)
    again(made).engine(replace(CASE, backend="torch"))
    assert exported == [(SIZE, 1)]


def test_an_open_batch_is_exported_once_for_all_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[tuple[int, int]]
) -> None:
    register(tiny(tmp_path, dynamic_batch=True), monkeypatch)
    made = Sources(Store(tmp_path / "engines"))
    four, one = (made.engine(replace(CASE, batch=batch)) for batch in (4, 1))
    assert exported == [(SIZE, 1)]  # traced alike whichever batch came first
    assert four.key != one.key


def test_a_static_batch_is_exported_for_each(made: Sources, exported: list[tuple[int, int]]) -> None:
    for batch in (1, 2):
        made.engine(replace(CASE, batch=batch))
    assert exported == [(SIZE, 1), (SIZE, 2)]


@pytest.mark.parametrize(
    "changes",
    [
        {"opset": 13},
        {"inputs": (Tensor("picture", ("N", 3, "S", "S")),)},
        {"outputs": (Tensor("label", ("N", 2, "S", "S")),)},
        {"dynamic_batch": True},
        {"network": functools.partial(network)},
    ],
    ids=["opset", "input", "output", "batch", "partial"],
)
def test_what_changes_the_graph_changes_the_recipe_of_the_export(model: Model, changes: dict[str, Any]) -> None:
    before, after = Export(model, "ab", SIZE, 1).recipe, Export(replace(model, **changes), "ab", SIZE, 1).recipe
    # The same function through functools.partial is defined in the same file.
    assert (before == after) == ("network" in changes)


def test_the_files_that_define_a_network_are_part_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    def digest_of(outer: str, inner: str) -> str:
        (tmp_path / "mine.py").write_text(outer)
        (tmp_path / "_mine.py").write_text(inner)
        spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return sources._code(module.network)

    outer = "def network(width=1): ...\n"
    found = {digest_of(outer, "x = 1"), digest_of(outer, "x = 2"), digest_of(outer.replace("1", "2"), "x = 1")}
    assert len(found) == 3


def test_weights_are_part_of_the_recipe(made: Sources, model: Model, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    theirs = made.engine(CASE)
    torch.manual_seed(1)
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    other = Sources(made.store, {"tiny": tmp_path / "mine.safetensors"})
    mine = other.engine(CASE)
    assert mine.key != theirs.key
    assert mine.recipe["network"] == theirs.recipe["network"]
    assert (made.own(CASE), other.own(CASE)) == (True, False)


def test_a_changed_checkpoint_of_the_profile_is_refused(made: Sources, model: Model) -> None:
    path = Path(model.profiles["sample"].checkpoint.path)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match="expected a file whose sha256 starts with"):
        made.engine(CASE)
    assert not made.store.root.exists()


def test_a_checkpoint_that_is_named_is_never_replaced_by_the_profiles(made: Sources, tmp_path: Path) -> None:
    named = Sources(made.store, {"tiny": tmp_path / "missing.pt"})
    with pytest.raises(
        CheckpointError, match=r"--checkpoint=tiny=.*missing\.pt: expected a file of weights; found nothing"
    ):
        named.engine(CASE)


def test_a_damaged_graph_is_exported_again(made: Sources, exported: list[tuple[int, int]]) -> None:
    graph = made.source(CASE).graph
    graph.write_bytes(graph.read_bytes()[:-10])
    with pytest.warns(DamagedEngineWarning):
        again(made).engine(CASE)
    assert len(exported) == 2


def test_an_export_that_fails_leaves_nothing(made: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("unsupported operator")

    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", broken)
        with pytest.raises(ExportError, match="unsupported operator"):
            made.engine(CASE)
    assert not [path for path in made.store.root.iterdir() if path.name != ".locks"]
    assert made.engine(CASE).path.is_file()


def test_a_model_given_as_onnx_is_its_own_checkpoint(
    tmp_path: Path, made: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(made.source(CASE).graph.read_bytes())
    profile = replace(catalogue.find("model", "tiny").profiles["sample"], checkpoint=Checkpoint(graph))
    register(tiny(tmp_path, network=None, profiles={"sample": profile}), monkeypatch)
    own = Sources(made.store)
    assert own.source(CASE).graph == graph
    assert own.engine(CASE).recipe["checkpoint"] == own.engine(CASE).recipe["graph"]
    with pytest.raises(ExportError, match=r"\(4, 3, 8, 8\)\)\] of tiny at batch 4; found"):
        own.source(replace(CASE, batch=4))


def test_the_settings_of_the_runtime_are_part_of_the_recipe(made: Sources) -> None:
    known = catalogue.find("backend", "onnxruntime")
    source = made.source(CASE)
    variants = [
        known,
        replace(known, precision="fp16"),
        replace(known, options={**known.options, "threads": 64}),
        replace(known, options={**known.options, "graph_optimization": "disable"}),
        replace(known, runtime="torch", options={}),
    ]
    recipes = [made.recipe(CASE, variant, source) for variant in variants]
    assert len({json.dumps(recipe, sort_keys=True) for recipe in recipes}) == len(variants)


def test_the_profiles_own_weights_are_its_own_wherever_they_lie(made: Sources, model: Model, tmp_path: Path) -> None:
    path, sha256 = made.checkpoint(model, model.profiles["sample"], "sample")
    shutil.copy(path, tmp_path / "copy.pt")
    known = replace(model.profiles["sample"], checkpoint=Checkpoint(path, sha256))
    model.profiles["sample"] = known
    assert Sources(made.store, {"tiny": tmp_path / "copy.pt"}).own(CASE)
    model.profiles["sample"] = replace(known, checkpoint=Checkpoint(path, "1bc95232"))
    assert not Sources(made.store, {"tiny": tmp_path / "copy.pt"}).own(CASE)


def test_a_runtime_that_is_installed_but_cannot_be_loaded_is_said(made: Sources, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("libmissing.so: cannot open shared object file")

    monkeypatch.setattr(OnnxRuntime, "build", fail)
    with pytest.raises(BrokenRuntimeError, match=r"onnxruntime: expected a library .* found libmissing\.so"):
        made.engine(CASE)
