"""One build for TensorRT 8.6, 10, 11 and TensorRT-RTX: what each has, and nothing it has not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from fixtures import tool
from fixtures.errors import SetupError
from fixtures.nvidia import _library as libraries
from fixtures.nvidia import isolated
from fixtures.nvidia._build import BuildError, Settings, build
from fixtures.nvidia._network import GraphError
from fixtures.runtime import BrokenRuntimeError, Tensor
from tests import fake_nvidia, graphs

SETTINGS = Settings("fp16", "flag", "7.5", 2048, 3)
IMAGE = Tensor("image", (4, 3, graphs.SIZE, graphs.SIZE), "float32")
RTX = ("1.7.1.116", "tensorrt_rtx")


def made(library: Any, folder: Path, settings: Settings, **graph: Any) -> Any:
    """Build, and return what the stand-in was told."""
    path = graphs.save(folder / "graph.onnx", graphs.convolution(**graph))
    build(library, path, [IMAGE], settings, folder / "engine")
    return fake_nvidia.told((folder / "engine").read_bytes())


@pytest.mark.parametrize(
    ("version", "route", "explicit_batch", "flags", "typed"),
    [
        (("8.6.1",), "flag", True, ["FP16"], False),
        (("10.3.0",), "flag", False, ["FP16"], False),
        (("10.3.0",), "graph", False, [], True),
        (("11.0.0",), "graph", False, [], True),
        (RTX, "graph", False, [], True),
        (("8.6.1",), None, True, [], False),
        (("11.0.0",), None, False, [], False),
    ],
)
def test_reaches_its_precision_by_what_the_version_has(
    version: tuple[str, ...], route: str | None, explicit_batch: bool, flags: list[str], typed: bool, tmp_path: Path
) -> None:
    library = fake_nvidia.tensorrt(*version)
    settings = replace(SETTINGS, precision="fp16" if route else "fp32", fp16_route=route)
    told = made(library, tmp_path, settings)
    kinds = library.NetworkDefinitionCreationFlag
    has = {kind.name for kind in kinds if told["network_flags"] >> int(kind) & 1}
    assert ("EXPLICIT_BATCH" in has) == explicit_batch
    assert ("STRONGLY_TYPED" in has) == typed
    assert told["flags"] == flags, "TF32 is no fp32, and on by default"
    assert ("Cast" in told["operators"]) == (route == "graph")
    assert [each[2] for each in (*told["inputs"], *told["outputs"])] == ["FLOAT", "FLOAT"]


def test_states_workspace_level_and_shapes(tmp_path: Path) -> None:
    told = made(fake_nvidia.tensorrt(), tmp_path, SETTINGS)
    assert (told["workspace"], told["level"], told["targets"]) == (2048 << 20, 3, None)
    assert told["profiles"] == [{"image": [[4, 3, 8, 8]] * 3}]


def test_a_static_graph_takes_no_profile(tmp_path: Path) -> None:
    assert made(fake_nvidia.tensorrt(), tmp_path, SETTINGS, batch=4)["profiles"] == []


def test_refuses_what_tensorrt_would_build_without_a_word(tmp_path: Path) -> None:
    library = fake_nvidia.tensorrt("8.6.1")
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution())
    with pytest.raises(GraphError, match=r"expected the inputs input\.1; found image"):
        build(library, path, [replace(IMAGE, name="input.1")], SETTINGS, tmp_path / "engine")
    kind = {"tokens": (TensorProto.INT64, [1, 8])}
    nodes = [helper.make_node("Identity", ["tokens"], ["same"])]
    path = graphs.save(tmp_path / "graph.onnx", graphs.model(nodes, kind, {"same": kind["tokens"]}, {}))
    with pytest.raises(GraphError, match=r"tokens to stay int64; found that tensorrt 8\.6\.1 makes it int32"):
        build(library, path, [Tensor("tokens", (1, 8), "int64")], SETTINGS, tmp_path / "engine")


def test_aims_tensorrt_rtx_at_the_compute_capability(tmp_path: Path) -> None:
    settings = replace(SETTINGS, fp16_route="graph", optimization_level=None)
    assert made(fake_nvidia.tensorrt(*RTX), tmp_path, settings)["targets"] == ["SM75"]


def test_refuses_a_compute_capability_that_cannot_be_aimed_at(tmp_path: Path) -> None:
    settings = replace(SETTINGS, fp16_route="graph", compute_capability="9.0")
    with pytest.raises(BuildError, match=r"found 9\.0; it has SM75, SM86"):
        made(fake_nvidia.tensorrt(*RTX), tmp_path, settings)


def test_says_what_the_log_says_where_there_is_no_engine(tmp_path: Path) -> None:
    library = fake_nvidia.tensorrt()
    library.fail = "Error Code 1: Myelin (no tactics to implement the operation within workspace limit)"
    with pytest.raises(BuildError, match=r"tensorrt 10\.3\.0: .*within workspace limit\); raise the option") as raised:
        made(library, tmp_path, SETTINGS)
    assert "cudaError 35" not in str(raised.value)
    assert not (tmp_path / "engine").exists()


def test_keeps_the_warnings_of_the_build(tmp_path: Path) -> None:
    path = graphs.save(tmp_path / "graph.onnx", graphs.convolution())
    built = build(fake_nvidia.tensorrt(), path, [IMAGE], SETTINGS, tmp_path / "engine")
    assert built.warnings == ("a weight is small",)
    assert built.facts == {"layers": 2, "profile": True}


@pytest.mark.parametrize(
    ("version", "asked", "route"),
    [
        (("8.6.1",), None, "flag"),
        (("10.3.0",), None, "flag"),
        (("10.3.0",), "graph", "graph"),
        (("11.0.0",), None, "graph"),
        (RTX, None, "graph"),
    ],
)
def test_takes_the_flag_where_there_is_one_as_the_guides_do(
    version: tuple[str, ...], asked: str | None, route: str
) -> None:
    assert libraries.fp16_route(fake_nvidia.tensorrt(*version), asked) == route


@pytest.mark.parametrize(("version", "asked"), [("8.6.1", "graph"), ("11.0.0", "flag")])
def test_refuses_a_route_that_the_version_has_not(version: str, asked: str) -> None:
    with pytest.raises(SetupError, match=f"tensorrt {version}: expected .*'{asked}'.*leave fp16_route out"):
        libraries.fp16_route(fake_nvidia.tensorrt(version), asked)


def test_refuses_a_version_without_names_of_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvidia.tensorrt("8.2.1")
    del library.ICudaEngine.num_io_tensors
    monkeypatch.setitem(sys.modules, "tensorrt", library)
    with pytest.raises(SetupError, match=r"expected 8\.6 or newer; found 8\.2\.1"):
        libraries.load("tensorrt")


def test_refuses_8_5_which_has_names_and_no_optimisation_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_nvidia.tensorrt("8.5.3"))
    with pytest.raises(SetupError, match=r"expected 8\.6 or newer; found 8\.5\.3; run its engines with trtexec"):
        libraries.load("tensorrt")
    for version in (("8.6.1",), ("10.3.0",), ("11.0.0",), RTX):
        library = fake_nvidia.tensorrt(*version)
        monkeypatch.setitem(sys.modules, library.__name__, library)
        assert libraries.load(library.__name__) is library


def test_a_library_that_cannot_be_loaded_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BrokenRuntimeError, match="install it again"):
        libraries.load("tensorrt")


@pytest.fixture
def in_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that builds in a child which finds a stand-in whose module ends with the code it is given."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(site))
    folder = tmp_path / "scratch"
    folder.mkdir()

    def run(code: str = "", **graph: Any) -> Any:
        (site / "stand_in.py").write_text(
            "import os, sys\nfrom tests import fake_nvidia\nlibrary = fake_nvidia.tensorrt('10.3.0', __name__)\n"
            f"{code}\nsys.modules[__name__] = library\n"
        )
        path = graphs.save(tmp_path / "graph.onnx", graphs.convolution(**graph))
        return isolated.build("stand_in", path, [IMAGE], SETTINGS, folder / "model.plan", {"TOLD": "a GPU"})

    return run


def test_a_child_writes_the_engine_and_its_log_and_nothing_else(in_a_child: Any, tmp_path: Path) -> None:
    built = in_a_child("print('sees', os.environ['TOLD'])")
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == ["build.log", "model.plan"]
    log = (tmp_path / "scratch" / "build.log").read_text().splitlines()
    assert log == ["sees a GPU", "[INFO] building", "[WARNING] a weight is small"]
    assert built.warnings == ("a weight is small",)
    assert built.facts == {"layers": 2, "profile": True}


def test_what_the_child_cannot_build_is_said_here(in_a_child: Any) -> None:
    with pytest.raises(SetupError, match=r"found Bernoulli second \(node 1\), unsupported node"):
        in_a_child(operator="Bernoulli")
    with pytest.raises(SetupError, match="expected an engine; found: it is Tuesday"):
        in_a_child("library.fail = 'it is Tuesday'")


def test_a_child_that_crashes_is_an_error_with_its_last_words(in_a_child: Any) -> None:
    with pytest.raises(tool.ToolError, match=r"found killed by SIGABRT, last said: .*bad luck"):
        in_a_child("print('bad luck', file=sys.stderr, flush=True); os.abort()")


def test_a_child_that_raises_is_an_error_with_its_last_words(in_a_child: Any) -> None:
    with pytest.raises(tool.ToolError, match=r"found exit status 1, last said: .*ZeroDivisionError"):
        in_a_child("def broken(logger): 1 / 0\nlibrary.Builder = broken")


def test_a_build_that_hangs_is_ended(in_a_child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "SECONDS", 0.1)
    with pytest.raises(tool.ToolError, match="expected it to end within 0 s; found it still running"):
        in_a_child("import threading; threading.Event().wait()")


def test_asking_for_a_build_loads_no_vendor_library() -> None:
    code = "import sys, fixtures.nvidia.isolated; sys.exit(bool({'onnx', 'tensorrt', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
