"""The compilers and runtimes `tensorrt` and `tensorrt_rtx`: what they need, what goes into a recipe, what fits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures import catalogue, digest, locks
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.catalogue import CatalogueError
from fixtures.errors import SetupError
from fixtures.models import enet
from fixtures.nvidia import compiler as compilers
from fixtures.nvidia import cuda, gpu, isolated, nvml, validity
from fixtures.nvidia._build import Settings
from fixtures.nvidia.compiler import TENSORRT, TENSORRT_RTX
from fixtures.nvidia.plan import EngineError
from fixtures.runtime import Built, Source, Tensor
from tests import fake_nvidia, graphs
from tests.fake_nvidia import CudaRuntime, Nvml

CASE = Case("sample", "enet", 480, 4, "t4")
RTX = ("1.7.1.116", "tensorrt_rtx")


def backend(name: str = "t4", **changes: Any) -> Backend:
    found: Backend = catalogue.find("backend", name)
    return replace(found, options={**found.options, **changes.pop("options", {})}, **changes)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a function that gives this host a TensorRT, GPUs, and all packages but some."""
    monkeypatch.setattr(nvml, "CONTAINERS", ())
    monkeypatch.setattr(gpu, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(validity, "against", lambda *_: ())
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "SIGNOFF_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(metadata, "version", lambda name: {"tensorrt_cu12": "10.3.0"}.get(name) or absent(name))
    nvml._inventory.cache_clear()

    def absent(name: str) -> str:
        if name.startswith("tensorrt"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    def give(*version: str, gpus: tuple[dict[str, Any], ...] = ({},), without: str = "", **driver: Any) -> Any:
        library = fake_nvidia.tensorrt(*version)
        monkeypatch.setitem(sys.modules, library.__name__, library)
        monkeypatch.setitem(sys.modules, "pynvml", Nvml(*gpus, **driver))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == without else name)
        return library

    yield give
    nvml._inventory.cache_clear()


@pytest.mark.parametrize(
    ("name", "runtime", "artefact"), [("t4", "tensorrt", "model.plan"), ("t4_rtx", "tensorrt_rtx", "model.rtx")]
)
def test_a_t4_is_signed_off_in_fp16_at_7_5(name: str, runtime: str, artefact: str) -> None:
    chosen = backend(name)
    found = catalogue.find("runtime", chosen.runtime)
    assert (chosen.runtime, chosen.precision, found.emulator) == (runtime, "fp16", False)
    assert (found.compiler.name, found.compiler.artefact) == (runtime, artefact)
    assert found.compiler.target(chosen) == {"compute_capability": "7.5"}


@pytest.mark.parametrize(
    ("without", "reason", "next_step"),
    [
        ("tensorrt", "tensorrt is not installed", "install TensorRT 8.6 to 11 with its Python package"),
        ("onnxconverter_common", "onnxconverter-common is not installed", "pip install -e '.[tensorrt]'"),
        ("pynvml", "nvidia-ml-py is not installed", "pip install -e '.[tensorrt]'"),
    ],
)
def test_tensorrt_builds_where_its_packages_are(
    without: str, reason: str, next_step: str, host: Callable[..., Any]
) -> None:
    host("10.3.0", without=without)
    missing = TENSORRT.missing(backend(), enet.MODEL)
    assert missing is not None
    assert (missing.reason, missing.next_step) == (reason, next_step)
    host("10.3.0")
    nvml._inventory.cache_clear()
    assert TENSORRT.missing(backend(), enet.MODEL) is None


def test_tensorrt_builds_on_the_gpu_it_builds_for(host: Callable[..., Any]) -> None:
    host("10.3.0", gpus=({"Name": "NVIDIA H100", "CudaComputeCapability": (9, 0)},))
    missing = TENSORRT.missing(backend(), enet.MODEL)
    assert missing is not None
    assert "no GPU of compute capability 7.5 here; found NVIDIA H100 (9.0)" in missing.reason


def test_the_flag_needs_no_converter(host: Callable[..., Any]) -> None:
    host("10.3.0", without="onnxconverter_common")
    assert TENSORRT.missing(backend(options={"fp16_route": "flag"}), enet.MODEL) is None
    assert TENSORRT.missing(backend(precision="fp32"), enet.MODEL) is None


def test_tensorrt_rtx_builds_without_a_gpu_and_does_not_run(host: Callable[..., Any]) -> None:
    host(*RTX, driver=None)
    chosen = backend("t4_rtx")
    assert TENSORRT_RTX.missing(chosen, enet.MODEL) is None
    missing = catalogue.find("runtime", "tensorrt_rtx").missing(chosen, enet.MODEL)
    assert missing.reason == "the NVIDIA driver does not answer: NVML error 12"


def test_runs_where_bindings_and_gpu_are(host: Callable[..., Any]) -> None:
    runtime = catalogue.find("runtime", "tensorrt")
    host("10.3.0", without="cuda.bindings")
    assert runtime.missing(backend(), enet.MODEL).reason == "cuda-bindings is not installed"
    host("10.3.0", without="tensorrt")
    assert runtime.missing(backend(), enet.MODEL).reason == "tensorrt is not installed"
    host("10.3.0")
    assert runtime.missing(backend(), enet.MODEL) is None


def test_a_precision_that_would_not_be_built_is_missing(host: Callable[..., Any]) -> None:
    host("10.3.0")
    missing = TENSORRT.missing(backend(precision="int8"), enet.MODEL)
    assert missing is not None
    assert missing.reason == "t4 asks for int8, and this compiler has fp32, fp16"


def test_states_every_option_of_the_build_and_none_of_the_run() -> None:
    assert TENSORRT.options(backend(), enet.MODEL) == {"workspace_mb": 2048, "optimization_level": 3}
    assert TENSORRT_RTX.options(backend("t4_rtx"), enet.MODEL) == {"workspace_mb": 2048}
    graph = backend(options={"cuda_graph": True, "fp16_route": "graph"})
    assert TENSORRT.options(graph, enet.MODEL) == {
        "workspace_mb": 2048,
        "optimization_level": 3,
        "fp16_route": "graph",
    }


def test_a_models_own_options_come_before_the_backends() -> None:
    own = replace(enet.MODEL, engine={"tensorrt": {"workspace_mb": 64}, "tensorrt_rtx": {"workspace_mb": 32}})
    assert TENSORRT.options(backend(options={"workspace_mb": 128}), own)["workspace_mb"] == 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workspace": 1}, "unknown option of tensorrt 'workspace'; did you mean 'workspace_mb'"),
        ({"fp16_route": "flags"}, "did you mean 'flag'"),
        ({"cuda_graph": 1}, "expected True or False; found 1"),
        ({"workspace_mb": "2048"}, "expected a whole number from 1 on; found '2048'"),
        ({"workspace_mb": 0}, "expected a whole number from 1 on; found 0"),
        ({"optimization_level": True}, "expected a whole number from 0 on; found True"),
    ],
)
def test_refuses_an_option_that_tensorrt_would_not_see(options: dict[str, Any], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        TENSORRT.options(backend(options=options), enet.MODEL)


@pytest.mark.parametrize("option", ["compute_capability", "fp16_route", "cuda_graph"])
def test_a_model_does_not_choose_what_is_the_backends(option: str) -> None:
    own = replace(enet.MODEL, engine={"tensorrt": {option: "7.5"}})
    with pytest.raises(CatalogueError, match=f"unknown option of tensorrt '{option}'"):
        TENSORRT.options(backend(), own)


def test_tensorrt_rtx_takes_no_optimisation_level() -> None:
    with pytest.raises(CatalogueError, match="unknown option of tensorrt_rtx 'optimization_level'"):
        TENSORRT_RTX.options(backend("t4_rtx", options={"optimization_level": 5}), enet.MODEL)


@pytest.mark.parametrize("capability", [None, 7.5, "75", "sm_75", "7.5.0"])
def test_a_backend_names_a_compute_capability(capability: Any) -> None:
    with pytest.raises(CatalogueError, match="t4: expected the option compute_capability"):
        TENSORRT.target(backend(options={"compute_capability": capability}))


def test_the_toolchain_of_tensorrt_has_its_gpu_and_driver(host: Callable[..., Any]) -> None:
    host("10.3.0")
    told = TENSORRT.toolchain(backend())
    assert told == {
        "tensorrt": "10.3.0",
        "cuda": "12",
        "fp16_route": "flag",
        "driver": "580.65.06",
        "gpu": "Tesla T4",
    }
    assert json.loads(json.dumps(told)) == told


def test_the_toolchain_of_a_converted_graph_has_the_converter(host: Callable[..., Any]) -> None:
    host("11.0.0")
    told = TENSORRT.toolchain(backend())
    assert (told["fp16_route"], told["onnxconverter-common"], told["onnx"]) == ("graph", "1.0", "1.0")
    assert "fp16_route" not in TENSORRT.toolchain(backend(precision="fp32"))


def test_the_toolchain_of_tensorrt_rtx_needs_no_driver(host: Callable[..., Any]) -> None:
    host(*RTX, driver=None)
    assert TENSORRT_RTX.toolchain(backend("t4_rtx")) == {
        "tensorrt_rtx": "1.7.1.116",
        "cuda": "",
        "fp16_route": "graph",
        "onnxconverter-common": "1.0",
        "onnx": "1.0",
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the child is asked for, in place of one; and which locks are held meanwhile."""
    found: list[Any] = []
    held: list[str] = []

    def build(name: str, graph: Path, inputs: Any, settings: Settings, target: Path, environment: Any = None) -> Built:
        found.append(SimpleNamespace(name=name, inputs=inputs, settings=settings, seen=environment, held=tuple(held)))
        return Built(("said",))

    class Held:
        def __init__(self, names: Any, waiting: Any) -> None:
            held.extend(names)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            held.clear()

    monkeypatch.setattr(isolated, "build", build)
    monkeypatch.setattr(locks, "hold", Held)
    return found


def source(folder: Path) -> Source:
    return Source(enet.MODEL, folder / "weights", folder / "graph.onnx", {})


def test_tensorrt_builds_on_one_gpu_and_holds_its_lock(
    host: Callable[..., Any], asked: list[Any], tmp_path: Path
) -> None:
    host("10.3.0", gpus=({"UUID": "GPU-busy", "UtilizationRates": SimpleNamespace(gpu=90)}, {}))
    built = TENSORRT.build(source(tmp_path), CASE, backend(), tmp_path / "model.plan")
    assert built.warnings == ("said",)
    (one,) = asked
    assert one.name == "tensorrt"
    assert one.inputs == (Tensor("image", (4, 3, 480, 480), "float32"),)
    assert one.settings == Settings("fp16", "flag", "7.5", 2048, 3)
    assert one.held == (fake_nvidia.NAME,)
    assert one.seen == {"CUDA_VISIBLE_DEVICES": fake_nvidia.NAME}


def test_warns_of_kernels_that_were_timed_on_a_gpu_in_use(
    host: Callable[..., Any], asked: list[Any], tmp_path: Path
) -> None:
    host("10.3.0", gpus=({"UtilizationRates": SimpleNamespace(gpu=90)},))
    built = TENSORRT.build(source(tmp_path), CASE, backend(), tmp_path / "model.plan")
    assert built.warnings[-1].startswith("Tesla T4 was in use while TensorRT timed its kernels: 90 % used")


def test_looks_at_the_gpu_it_builds_on_before_and_after(
    host: Callable[..., Any], asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is free when it is chosen, and in use once its lock is had: the second, still idle, is no answer."""
    host("10.3.0", gpus=({}, {"UUID": "GPU-second"}))
    stand_in, loads = sys.modules["pynvml"], [10, 20]
    waited = locks.hold

    def hold(*arguments: Any) -> Any:
        stand_in.gpus[0]["UtilizationRates"] = SimpleNamespace(gpu=loads.pop(0))  # type: ignore[attr-defined]
        return waited(*arguments)

    built_on = isolated.build

    def build(*arguments: Any) -> Built:
        stand_in.gpus[0]["UtilizationRates"] = SimpleNamespace(gpu=loads.pop(0))  # type: ignore[attr-defined]
        return built_on(*arguments)

    monkeypatch.setattr(locks, "hold", hold)
    monkeypatch.setattr(isolated, "build", build)
    built = TENSORRT.build(source(tmp_path), CASE, backend(), tmp_path / "model.plan")
    assert asked[0].seen == {"CUDA_VISIBLE_DEVICES": fake_nvidia.NAME}
    assert [each.partition("kernels: ")[2] for each in built.warnings[1:]] == [
        "10 % used, by whom it does not show",
        "20 % used, by whom it does not show",
    ]


def test_a_gpu_that_is_gone_after_the_build_is_told(
    host: Callable[..., Any], asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host("10.3.0")
    monkeypatch.setattr(isolated, "build", lambda *_: sys.modules["pynvml"].gpus.clear() or Built())
    built = TENSORRT.build(source(tmp_path), CASE, backend(), tmp_path / "model.plan")
    assert built.warnings[0].endswith("kernels: the driver does not show it any more")


@pytest.mark.parametrize(("busy", "chosen"), [((), 1), ((1,), 2), ((0, 1, 2), 1), ((1, 2), 1)])
def test_builds_on_the_kind_of_gpu_that_the_recipe_names_whoever_uses_which(
    busy: tuple[int, ...], chosen: int, host: Callable[..., Any]
) -> None:
    kinds = ({"CudaComputeCapability": Nvml.NVMLError(15)}, {"UUID": "GPU-1"}, {"UUID": "GPU-2"})
    other = {"UUID": "GPU-3", "Name": "Quadro RTX 4000"}
    gpus = [
        {**each, "UtilizationRates": SimpleNamespace(gpu=90 * (number in busy))}
        for number, each in enumerate((*kinds, other))
    ]
    host("10.3.0", gpus=tuple(gpus))
    assert gpu.choose(backend()).index == chosen
    assert TENSORRT.toolchain(backend())["gpu"] == "Tesla T4"


def test_the_gpu_that_is_asked_for_says_the_kind(host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    host("10.3.0", gpus=({}, {"UUID": "GPU-1", "Name": "Quadro RTX 4000"}))
    monkeypatch.setenv("SIGNOFF_DEVICE", "1")
    assert gpu.choose(backend()).index == 1
    assert TENSORRT.toolchain(backend())["gpu"] == "Quadro RTX 4000"


def test_does_not_build_on_a_gpu_that_was_lost(host: Callable[..., Any], asked: list[Any], tmp_path: Path) -> None:
    host("10.3.0", gpus=({"CudaComputeCapability": Nvml.NVMLError(15)},))
    with pytest.raises(SetupError, match=r"^enet-bs4-t4: expected a GPU with a UUID.*found GPU 0"):
        TENSORRT.build(source(tmp_path), CASE, backend(), tmp_path / "model.plan")
    assert asked == []


def test_tensorrt_rtx_builds_without_a_lock(host: Callable[..., Any], asked: list[Any], tmp_path: Path) -> None:
    host(*RTX, driver=None)
    TENSORRT_RTX.build(source(tmp_path), CASE, backend("t4_rtx"), tmp_path / "model.rtx")
    (one,) = asked
    assert (one.held, one.seen, one.settings) == ((), None, Settings("fp16", "graph", "7.5", 2048, None))


def test_an_error_names_the_case(host: Callable[..., Any], asked: list[Any], tmp_path: Path) -> None:
    host("11.0.0")
    with pytest.raises(SetupError, match=r"^enet-bs4-t4: tensorrt 11\.0\.0: expected to reach fp16 by"):
        TENSORRT.build(source(tmp_path), CASE, backend(options={"fp16_route": "flag"}), tmp_path / "model.plan")


def engine(folder: Path, data: bytes, **recipe: Any) -> Any:
    path = folder / "engine"
    path.write_bytes(data)
    return SimpleNamespace(path=path, recipe=recipe)


def plan(version: str = "10.3.0.26") -> bytes:
    return fake_nvidia.engine({"inputs": []}, version)


PRIVATE = b"ftrt" + bytes(200)  # a layout that is not known


@pytest.mark.parametrize(
    ("data", "recipe", "misfit"),
    [
        (plan(), {}, None),
        (plan("10.3.1.5"), {}, "it was built with tensorrt 10.3.1.5, here is 10.3.0"),
        (
            b"ftrt" + bytes(200),
            {"toolchain": {"tensorrt": "8.6.1"}},
            "it was built with tensorrt 8.6.1, here is 10.3.0",
        ),
        (b"ftrt" + bytes(200), {}, None),
        (plan(), {"target": {"compute_capability": "8.6"}}, "it was built for compute capability 8.6, t4 has 7.5"),
        (plan(), {"toolchain": {"gpu": "Quadro RTX 4000"}}, "it was tuned on a Quadro RTX 4000, here is Tesla T4"),
        (
            plan(),
            {"toolchain": {"tensorrt": "10.3.0", "gpu": "Tesla T4"}, "target": {"compute_capability": "7.5"}},
            None,
        ),
    ],
)
def test_an_engine_fits_its_version_capability_and_gpu(
    data: bytes, recipe: dict[str, Any], misfit: str | None, host: Callable[..., Any], tmp_path: Path
) -> None:
    host("10.3.0")
    assert catalogue.find("runtime", "tensorrt").misfit(engine(tmp_path, data, **recipe), backend()) == misfit


@pytest.mark.parametrize(
    ("built", "here", "misfit"),
    [
        ("580.65.06", "580.65.06", False),
        ("570.124.06", "580.65.06", False),
        ("580.65.06", "580.65", True),
        ("580.100", "580.65.06", True),
        ("1000.1", "580.65.06", True),
        (None, "580.65.06", False),
        ("unknown", "580.65.06", False),
        ("580.65.06", "unknown", False),
    ],
)
def test_an_engine_of_a_newer_driver_is_refused(
    built: str | None, here: str, misfit: bool, host: Callable[..., Any], tmp_path: Path
) -> None:
    host("10.3.0", driver=here)
    made = engine(tmp_path, plan(), toolchain={"driver": built} if built else {})
    told = catalogue.find("runtime", "tensorrt").misfit(made, backend())
    assert told == (
        f"it was built with driver {built}, here is the older {here}; update the driver, or build it here"
        if misfit
        else None
    )


def test_a_host_without_a_driver_has_no_older_one(host: Callable[..., Any], tmp_path: Path) -> None:
    host("10.3.0", driver=None)
    made = engine(tmp_path, plan(), toolchain={"driver": "580.65.06"})
    assert catalogue.find("runtime", "tensorrt").misfit(made, backend()) is None


def test_tensorrt_rtx_is_asked_about_an_engine_where_a_gpu_is(
    host: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, runtime = engine(tmp_path, fake_nvidia.engine({}, RTX[0], b"vtrt")), catalogue.find("runtime", RTX[1])
    asked: list[Any] = []
    monkeypatch.setattr(gpu, "SETTLE_SECONDS", 0.0)
    library = host(*RTX)
    monkeypatch.setattr(validity, "against", lambda *words: asked.append(words) or ("it is damaged", "and old"))
    assert runtime.misfit(made, backend("t4_rtx")) is None, "this version cannot be asked"
    library.Runtime.get_engine_validity = lambda *_: None
    assert runtime.misfit(made, backend("t4_rtx")) == (
        "tensorrt_rtx does not take it on a Tesla T4: it is damaged, and old"
    )
    assert asked == [("tensorrt_rtx", made.path, fake_nvidia.NAME)]
    host(*RTX, driver=None).Runtime.get_engine_validity = lambda *_: None
    nvml._inventory.cache_clear()
    assert runtime.misfit(made, backend("t4_rtx")) is None
    assert len(asked) == 1


def test_an_engine_of_an_unknown_start_is_taken_where_a_build_is_behind_it(
    host: Callable[..., Any], tmp_path: Path
) -> None:
    host("10.3.0")
    runtime = catalogue.find("runtime", "tensorrt")
    assert runtime.misfit(engine(tmp_path, b"qtrt" + bytes(96), toolchain={"tensorrt": "10.3.0"}), backend()) is None
    with pytest.raises(EngineError, match="a file of another kind"):
        runtime.misfit(engine(tmp_path, b"qtrt" + bytes(96), supplied="x"), backend())


@pytest.mark.parametrize(
    ("version", "fits"), [("1.7.1.116", True), ("1.7.1.9", True), ("1.7.2.116", False), ("1.6.1.20", False)]
)
def test_tensorrt_rtx_compares_three_parts(version: str, fits: bool, host: Callable[..., Any], tmp_path: Path) -> None:
    host(*RTX)
    data = fake_nvidia.engine({}, version, b"vtrt")
    misfit = catalogue.find("runtime", "tensorrt_rtx").misfit(engine(tmp_path, data), backend("t4_rtx"))
    assert (misfit is None) == fits


def test_a_file_that_is_no_engine_is_named_for_what_it_is(host: Callable[..., Any], tmp_path: Path) -> None:
    host("10.3.0")
    onnx = engine(tmp_path, graphs.convolution().SerializeToString())
    with pytest.raises(EngineError, match="found an ONNX file"):
        catalogue.find("runtime", "tensorrt").misfit(onnx, backend())


@pytest.mark.parametrize(("graph", "told"), [(True, "on"), (False, "off")])
def test_says_what_runs_it_and_how(graph: bool, told: str, host: Callable[..., Any]) -> None:
    host("10.3.0")
    versions = catalogue.find("runtime", "tensorrt").versions(backend(options={"cuda_graph": graph}))
    assert versions == {"tensorrt": "10.3.0", "driver": "580.65.06", "cuda-bindings": "1.0", "cuda_graph": told}


def test_opens_what_was_built_on_the_gpu_it_is_given(
    host: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host("10.3.0")
    cudart = CudaRuntime()
    monkeypatch.setattr(cuda, "load", lambda: cudart)
    shape = [4, 3, 8, 8]
    built = {"inputs": [["image", shape, "FLOAT"]], "outputs": [["class", shape, "FLOAT"]], "profiles": []}
    path = tmp_path / "model.plan"
    path.write_bytes(fake_nvidia.engine(built, "10.3.0"))
    runtime, case = catalogue.find("runtime", "tensorrt"), replace(CASE, size=8)
    (device,) = runtime.devices(backend())
    with runtime.open(path, enet.MODEL, case, backend(), device) as session:
        (output,) = session.run((np.ones(shape, np.float32),))
        assert (output == 2).all()
        assert len(session.device_ms()) == 1
    path.write_bytes(b"")
    with pytest.raises(EngineError, match="found an empty file"):
        runtime.open(path, enet.MODEL, case, backend(), device)


@pytest.mark.parametrize("name", ["t4", "t4_rtx"])
def test_proposes_fp32_where_fp16_loses_a_figure(name: str) -> None:
    compiler = catalogue.find("runtime", backend(name).runtime).compiler
    (remedy,) = compiler.remedies(backend(name))
    assert 'precision="fp32"' in remedy
    assert "no option here keeps single layers" in remedy
    assert f"backends/{name}.py" in compiler.remedies(replace(backend(name), name=f"{name}~emulated"))[0]
    assert compiler.remedies(backend(name, precision="fp32")) == ()


@pytest.mark.parametrize("file", ["_build.py", "_network.py", "_precision.py", "_library.py"])
def test_all_code_that_shapes_an_engine_is_in_its_recipe(file: str, tmp_path: Path) -> None:
    folder = Path(compilers.__file__).parent
    for each in folder.glob("*.py"):
        (tmp_path / each.name).write_bytes(each.read_bytes())
    before = digest.of_code(tmp_path / "compiler.py")
    assert before == digest.of_code(folder / "compiler.py")
    with (tmp_path / file).open("a") as stream:
        stream.write("# changed")
    assert digest.of_code(tmp_path / "compiler.py") != before


def test_there_is_one_compiler_per_library() -> None:
    assert {compilers.TENSORRT.name, compilers.TENSORRT_RTX.name} == {"tensorrt", "tensorrt_rtx"}
    assert catalogue.find("runtime", "tensorrt").compiler is TENSORRT
