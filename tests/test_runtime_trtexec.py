"""The runtime `trtexec` and its compiler: against a script of ours for each way to go wrong, and against the emulator.

No GPU has run any of it: what NVIDIA's own trtexec does is known from its sources and from recorded logs.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures import backend as backends
from fixtures import digest, locks
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.engines import Engine, Store
from fixtures.errors import SetupError
from fixtures.model import Model, Tensor
from fixtures.models import enet
from fixtures.nvidia import gpu, nvml, trtexec_run, trtexec_session, trtexec_tool
from fixtures.nvidia.compiler import TENSORRT
from fixtures.nvidia.trtexec_compiler import EMULATED_GPU, TRTEXEC
from fixtures.runtime import Built, Source
from fixtures.runtimes.trtexec import RUNTIME
from fixtures.sources import Sources
from fixtures.tool import ToolError
from tests import fake_nvidia, graphs
from tests.fake_nvidia import Nvml
from tests.fake_trtexec import Fake

CASE = Case("sample", "enet", 8, 4, "t4_trtexec")
MODEL = replace(
    enet.MODEL,
    inputs=(Tensor("image", ("N", 3, "S", "S")),),
    outputs=(Tensor("class", ("N", 3, "S", "S")),),
)
EMULATED = replace(MODEL, outputs=(Tensor("class", ("N", 4, "S", "S")),))
X = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)


def driver(*gpus: dict[str, Any], **more: Any) -> Nvml:
    """Return a driver that can be looked up as if it were installed."""
    made = Nvml(*gpus, **more)
    made.__spec__ = ModuleSpec("pynvml", None)
    return made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this host one T4 with a driver, no TensorRT for Python, and folders of its own."""
    for name in [name for name in os.environ if name.startswith("SIGNOFF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setitem(sys.modules, "pynvml", driver({}))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(nvml, "CONTAINERS", ())
    monkeypatch.setattr(trtexec_tool, "INSTALLED", tmp_path / "nowhere")
    nvml._inventory.cache_clear()
    return tmp_path / "home"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(tmp_path)
    monkeypatch.setenv("SIGNOFF_TRTEXEC", str(made.path))
    return made


def backend(name: str = "t4_trtexec", **changes: Any) -> Backend:
    found = backends.find(name)
    return replace(found, options={**found.options, **changes.pop("options", {})}, **changes)


def source(folder: Path, model: Model = MODEL, **graph: Any) -> Source:
    graphs.save(folder / "m.onnx", graphs.convolution(**graph))
    return Source(model, folder / "m.onnx", folder / "m.onnx", {})


def build(folder: Path, chosen: Backend | None = None, model: Model = MODEL, **graph: Any) -> tuple[Path, Built]:
    place = folder / "building"
    place.mkdir(exist_ok=True)
    target = place / TRTEXEC.artefact
    return target, TRTEXEC.build(source(folder, model, **graph), CASE, chosen or backend(), target)


def opened(plan: Path, chosen: Backend | None = None) -> trtexec_session.TrtexecSession:
    chosen = chosen or backend()
    return RUNTIME.open(plan, MODEL, CASE, chosen, RUNTIME.devices(chosen)[0])


def of_version(fake: Fake, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.become(version)
    trtexec_tool._about.cache_clear()


def test_it_is_the_t4_of_the_guides_with_the_engines_of_t4() -> None:
    chosen, plain = backend(), backends.find("t4")
    assert (chosen.runtime, chosen.precision, chosen.options) == ("trtexec", plain.precision, plain.options)
    assert RUNTIME.emulator
    assert (RUNTIME.compiler.name, RUNTIME.compiler.artefact) == (TENSORRT.name, TENSORRT.artefact)
    assert TRTEXEC.options(chosen, MODEL) == TENSORRT.options(plain, MODEL)
    assert TRTEXEC.target(chosen) == TENSORRT.target(plain)
    assert TRTEXEC.remedies(chosen)


# Where it is, and in what environment it runs


def test_is_found_where_the_user_says_or_on_the_path_or_where_packages_put_it(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trtexec_tool.located(backend()) == fake.path
    monkeypatch.delenv("SIGNOFF_TRTEXEC")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert trtexec_tool.located(backend()) == fake.path
    monkeypatch.setenv("PATH", "/bin")
    assert trtexec_tool.located(backend()) is None
    monkeypatch.setattr(trtexec_tool, "INSTALLED", fake.path)
    assert trtexec_tool.located(backend()) == fake.path


def test_a_missing_one_tells_every_way_out_in_one_line_for_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin")
    missing = RUNTIME.missing(backend(), MODEL)
    assert missing
    assert missing.reason.startswith("trtexec is neither on the PATH nor ")
    for way in (
        "install TensorRT",
        "--trtexec=FILE",
        "python -m bench import --backend t4_trtexec",
        "--emulate",
    ):
        assert way in missing.next_step
    with pytest.raises(SetupError, match="t4_trtexec: expected trtexec; trtexec is neither"):
        RUNTIME.versions(backend())


@pytest.mark.parametrize(
    ("content", "mode", "reason", "next_step"),
    [
        (None, 0o755, "not there", "--trtexec=FILE"),
        ("folder", 0o755, "a folder", "--trtexec=FILE"),
        ("#!/bin/sh\n", 0o644, "is not executable", "chmod +x"),
        ("#!/bin/sh\necho hello\n", 0o755, "exit status 0, and it said: hello", "--trtexec=FILE"),
        ("#!/bin/sh\nkill -9 $$\n", 0o755, "killed by SIGKILL", "--trtexec=FILE"),
        ("no program", 0o755, "expected a tool that can be started", "--trtexec=FILE"),
        (
            "#!/bin/sh\necho 'error while loading shared libraries: libnvinfer.so.10' >&2; exit 127\n",
            0o755,
            "libnvinfer.so.10",
            "LD_LIBRARY_PATH",
        ),
    ],
)
def test_one_that_does_not_start_is_missing(
    content: str | None, mode: int, reason: str, next_step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trtexec"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
        path.chmod(mode)
    monkeypatch.setenv("SIGNOFF_TRTEXEC", str(path))
    missing = RUNTIME.missing(backend(), MODEL)
    assert missing
    assert reason in missing.reason
    assert next_step in missing.next_step


def test_needs_a_gpu_of_the_backends_kind(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RUNTIME.missing(backend(), MODEL) is None
    assert TRTEXEC.missing(backend(), MODEL) is None
    monkeypatch.setitem(sys.modules, "pynvml", driver(driver=None))
    nvml._inventory.cache_clear()
    missing = RUNTIME.missing(backend(), MODEL)
    assert missing
    assert "the NVIDIA driver does not answer" in missing.reason
    assert "bench import" in missing.next_step
    assert TRTEXEC.missing(backend(), MODEL)


def test_runs_without_our_python_and_sees_one_gpu_by_its_uuid(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "ours")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/cuda/lib64")
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:{os.environ['PATH']}")
    build(tmp_path)
    (call,) = fake.calls
    env = call["env"]
    assert not [name for name in env if name.startswith("PYTHON") or name == "VIRTUAL_ENV"]
    assert env["LD_LIBRARY_PATH"] == "/usr/local/cuda/lib64"
    assert f"{sys.prefix}/bin" not in env["PATH"].split(":")
    assert env["CUDA_VISIBLE_DEVICES"] == nvml.devices("7.5")[0].id
    assert "--device=0" in call["argv"]


# Versions


@pytest.mark.parametrize("version", ["8.4.1", "8.6.1", "10.3.0"])
def test_tells_its_version_and_the_drivers(version: str, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version(fake, version, monkeypatch)
    assert RUNTIME.versions(backend()) == {"trtexec": version, "driver": "580.65.06", "cuda_graph": "off"}
    assert RUNTIME.versions(backend(options={"cuda_graph": True}))["cuda_graph"] == "on"


def test_7_is_told_by_the_library_it_loads(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "lib" / "libnvinfer.so.7.2.3"
    library.parent.mkdir()
    library.touch()
    library.with_name("libnvinfer.so.7").symlink_to(library.name)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "ldd").write_text(f"#!/bin/sh\necho '\tlibnvinfer.so.7 => {library.parent}/libnvinfer.so.7 (0x00007f)'\n")
    (tools / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    of_version(fake, "7.2.3", monkeypatch)
    assert RUNTIME.versions(backend())["trtexec"] == "7.2.3"
    library.with_name("libnvinfer.so.6.0.1").touch()
    library.with_name("libnvinfer.so.7").unlink()
    library.with_name("libnvinfer.so.7").symlink_to("libnvinfer.so.6.0.1")
    trtexec_tool._about.cache_clear()
    missing = RUNTIME.missing(backend(), MODEL)
    assert missing
    assert "is of TensorRT 6.0.1" in missing.reason


def test_of_7_without_its_library_the_rest_is_unknown_and_the_file_stands_for_it(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_version(fake, "7.2.3", monkeypatch)
    assert RUNTIME.versions(backend())["trtexec"] == "7"
    told = TRTEXEC.toolchain(backend())
    assert (told["tensorrt"], told["trtexec"]) == ("7", digest.of_file(fake.path))


# Builds


def test_trtexec_builds_where_there_is_no_python_package(fake: Fake, tmp_path: Path) -> None:
    target, built = build(tmp_path)
    assert target.read_bytes()[:4] == b"ftrt"
    assert sorted(file.name for file in target.parent.iterdir()) == ["build.log", "model.plan"]
    assert (built.facts["builder"], built.facts["version"], built.facts["profile"]) == ("trtexec", "10.3.0", True)
    (call,) = fake.calls
    assert {"--fp16", "--minShapes=image:4x3x8x8", "--maxShapes=image:4x3x8x8"} < set(call["argv"])
    assert target.with_name("build.log").read_text().startswith(f"$ {fake.path} --onnx=")
    told = TRTEXEC.toolchain(backend())
    assert (told["tensorrt"], told["builder"], told["fp16_route"]) == ("10.3.0", "trtexec", "flag")
    assert (told["gpu"], told["driver"]) == ("Tesla T4", "580.65.06")


def test_a_static_graph_is_built_without_shapes(fake: Fake, tmp_path: Path) -> None:
    _, built = build(tmp_path, batch=4)
    assert not built.facts["profile"]
    assert not [word for word in fake.calls[0]["argv"] if "hapes" in word]


def test_the_graph_route_builds_a_converted_graph(fake: Fake, tmp_path: Path) -> None:
    build(tmp_path, backend(options={"fp16_route": "graph"}))
    words = fake.calls[0]["argv"]
    assert "--stronglyTyped" in words
    assert "--fp16" not in words
    assert words[0].endswith("half.onnx")
    assert "onnxconverter-common" in TRTEXEC.toolchain(backend(options={"fp16_route": "graph"}))
    assert "fp16_route" not in TRTEXEC.toolchain(backend(precision="fp32"))


def test_warnings_and_a_busy_gpu_are_kept(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.become("10.3.0", "warned")
    monkeypatch.setitem(sys.modules, "pynvml", driver({"UtilizationRates": type("U", (), {"gpu": 88, "memory": 1})}))
    _, built = build(tmp_path)
    assert built.warnings[0] == "trtexec: Shapes are broadcast"
    assert "was in use while trtexec timed its kernels: 88 % used" in built.warnings[1]


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("fail", "exit status 1, failed: Cuda failure: out of memory; free the GPU, or run a smaller batch"),
        ("unknown", "exit status 1, failed: Unknown option: --fp16; name another trtexec"),
        ("crash", "killed by SIGSEGV, without a word of its end; see its log"),
        ("silent", "exit status 0, and no PASSED"),
        ("status", "exit status 1, passed"),
        ("override", "that it chose a shape by itself: Dynamic dimensions required"),
        ("nofile", "PASSED, and .*expected an engine of tensorrt; found nothing"),
        ("partial", "PASSED, and .*found the first 10 bytes of one"),
    ],
)
def test_a_build_that_failed_names_its_reason_its_command_and_its_log(
    fault: str, found: str, fake: Fake, tmp_path: Path, home: Path
) -> None:
    fake.become("10.3.0", fault)
    with pytest.raises(
        ToolError, match=rf"enet-bs4-t4_trtexec: expected trtexec to build an engine; found {found}"
    ) as e:
        build(tmp_path)
    log = home / "logs" / "trtexec-sample-enet-bs4-t4_trtexec.txt"
    assert f"all it printed: {log}" in str(e.value)
    assert f"command: {fake.path} --onnx=" in str(e.value)
    assert log.read_text().splitlines()[1].startswith("&&&& RUNNING")
    assert not (tmp_path / "building" / "trtexec").exists()


def test_a_hanging_build_is_ended(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trtexec_tool.find(backend())
    fake.become("10.3.0", "hang")
    monkeypatch.setattr("fixtures.nvidia.trtexec_compiler.BUILD_SECONDS", 0.2)
    with pytest.raises(ToolError, match=r"expected it to end within 0 s; found it still running.*all it printed: "):
        build(tmp_path)


def test_a_graph_of_another_model_is_refused_before_anything_runs(fake: Fake, tmp_path: Path) -> None:
    other = replace(MODEL, inputs=(Tensor("input.1", ("N", 3, "S", "S")),))
    with pytest.raises(SetupError, match=r"enet-bs4-t4_trtexec: .*expected the inputs input.1; found image"):
        build(tmp_path, model=other)
    assert not fake.calls


@pytest.mark.parametrize(
    ("version", "magic", "start"), [("7.2.3", "", b"ptrt"), ("10.3.0", "", b"ftrt"), ("10.3.0", "qtrt", b"qtrt")]
)
def test_takes_the_plan_that_a_build_wrote_however_it_starts(
    version: str, magic: str, start: bytes, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.magic = magic
    of_version(fake, version, monkeypatch)
    path, _ = build(tmp_path)
    assert path.read_bytes()[:4] == start
    assert RUNTIME.misfit(engine(path, toolchain={"gpu": "Tesla T4"}), backend()) is None
    with opened(path) as session:
        np.testing.assert_allclose(session.run((X,))[0], 2 * X, rtol=1e-5)


@pytest.mark.parametrize("magic", ["vtrt", "IMOD", "vers"])
def test_refuses_what_a_build_cannot_have_written(magic: str, fake: Fake, tmp_path: Path) -> None:
    fake.magic = magic
    fake.become("10.3.0")
    with pytest.raises(ToolError, match=r"PASSED, and .*expected an engine of tensorrt"):
        build(tmp_path)


def test_a_stand_in_holds_a_lock_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []
    real = locks.hold
    monkeypatch.setattr(locks, "hold", lambda names, *more: held.extend(names) or real(names, *more))
    build(tmp_path, backend("t4_trtexec~emulated"), EMULATED)
    assert held == [f"{EMULATED_GPU.id}~emulated"]


def test_looks_at_the_gpu_it_builds_on_once_it_has_it(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in, real = driver({}, {"UUID": "GPU-second"}), locks.hold
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)

    def hold(*arguments: Any) -> Any:
        stand_in.gpus[0]["UtilizationRates"] = SimpleNamespace(gpu=77)
        return real(*arguments)

    monkeypatch.setattr(locks, "hold", hold)
    _, built = build(tmp_path)
    assert fake.calls[0]["env"]["CUDA_VISIBLE_DEVICES"] == fake_nvidia.NAME
    assert built.warnings == (
        "Tesla T4 was in use while trtexec timed its kernels: 77 % used, by whom it does not show",
    )


def test_does_not_build_or_run_on_a_gpu_that_was_lost(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = build(tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", driver({"CudaComputeCapability": Nvml.NVMLError(15)}))
    for attempt in (build, lambda _: opened(path)):
        with pytest.raises(SetupError, match=r"expected a GPU with a UUID.*found GPU 0"):
            attempt(tmp_path)
    assert len(fake.calls) == 1


def test_builds_with_the_gpu_to_itself(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []
    real = locks.hold
    monkeypatch.setattr(locks, "hold", lambda names, *more: held.extend(names) or real(names, *more))
    build(tmp_path)
    assert held == [nvml.devices("7.5")[0].id]


# One engine for the Python package and trtexec


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that installs a version of TensorRT's Python package."""

    def install(version: str) -> None:
        library = fake_nvidia.tensorrt(version)
        monkeypatch.setitem(sys.modules, "tensorrt", library)
        find_spec, known = sys.modules["importlib.util"].find_spec, metadata.version
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "tensorrt" else find_spec(name))
        monkeypatch.setattr(metadata, "version", lambda name: version if name == "tensorrt" else known(name))

    return install


def recipes(folder: Path) -> list[dict[str, Any]]:
    sources = Sources(Store(folder / "store"))
    made = source(folder, enet.MODEL)
    cases = {name: replace(CASE, backend=name) for name in ("t4", "t4_trtexec")}
    return [sources.recipe(case, backends.find(name), made) for name, case in cases.items()]


def test_where_versions_agree_it_is_one_engine_and_the_python_package_builds_it(
    fake: Fake, python: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python("10.3.0.26")
    of_t4, ours = recipes(tmp_path)
    assert of_t4 == ours
    asked: list[str] = []

    def built(compiler: Any, source: Source, case: Case, backend: Backend, target: Path) -> Built:
        asked.append(backend.name)
        return Built(("slow",), {"layers": 3})

    monkeypatch.setattr(type(TENSORRT), "build", built)
    _, told = build(tmp_path)
    assert asked == ["t4_trtexec"]
    assert (told.warnings, told.facts) == (("slow",), {"layers": 3, "builder": "tensorrt (Python)"})
    assert not fake.calls


@pytest.mark.parametrize("version", ["10.3.1", "8.6.1.6"])
def test_where_versions_differ_trtexec_builds_an_engine_of_its_own(
    version: str, fake: Fake, python: Any, tmp_path: Path
) -> None:
    python(version)
    of_t4, ours = recipes(tmp_path)
    assert of_t4["toolchain"] != ours["toolchain"]
    assert ours["toolchain"]["builder"] == "trtexec"
    assert {name: value for name, value in of_t4.items() if name != "toolchain"} == {
        name: value for name, value in ours.items() if name != "toolchain"
    }
    assert build(tmp_path)[1].facts["builder"] == "trtexec"


@pytest.mark.parametrize("version", ["8.2.1", "8.4.1", "8.5.3"])
def test_a_python_package_that_cannot_be_loaded_is_handed_nothing(
    version: str, fake: Fake, python: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python(version)
    of_version(fake, version, monkeypatch)
    assert TRTEXEC.missing(backend(), MODEL) is None
    assert TRTEXEC.toolchain(backend())["builder"] == "trtexec"
    assert build(tmp_path)[1].facts["builder"] == "trtexec"


def test_the_emulator_never_hands_a_build_to_a_real_package(python: Any) -> None:
    python("10.3.0.26")  # the emulator's own version
    assert TRTEXEC.toolchain(backend("t4_trtexec~emulated"))["builder"] == "trtexec"


# Whether an engine fits


def engine(path: Path, **recipe: Any) -> Engine:
    return Engine(path, digest.of_file(path), "key", recipe, 0.0, "now")


def test_an_engine_fits_the_version_the_gpu_and_the_capability_it_was_made_for(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = build(tmp_path)
    fits = {"toolchain": {"tensorrt": "10.3.0.26", "gpu": "Tesla T4"}, "target": {"compute_capability": "7.5"}}
    assert RUNTIME.misfit(engine(path, **fits), backend()) is None
    assert RUNTIME.misfit(engine(path, supplied="x"), backend()) is None
    assert "compute capability 8.6" in str(
        RUNTIME.misfit(engine(path, target={"compute_capability": "8.6"}), backend())
    )
    assert "tuned on a Tesla T10" in str(RUNTIME.misfit(engine(path, toolchain={"gpu": "Tesla T10"}), backend()))
    of_version(fake, "8.6.1", monkeypatch)
    assert RUNTIME.misfit(engine(path), backend()) == ("it was built with TensorRT 10.3.0.0, trtexec here is of 8.6.1")
    path.write_bytes(b"ftrt" + bytes(96))
    recipe = {"toolchain": {"tensorrt": "8.5.3"}}
    assert RUNTIME.misfit(engine(path, **recipe), backend()) == (
        "it was built with TensorRT 8.5.3, trtexec here is of 8.6.1"
    )


def test_an_engine_of_a_newer_driver_is_refused(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = build(tmp_path)
    assert "built with driver 590.1, here is the older 580.65.06" in str(
        RUNTIME.misfit(engine(path, toolchain={"driver": "590.1"}), backend())
    )
    assert RUNTIME.misfit(engine(path, toolchain={"driver": "570.1"}), backend()) is None


def test_a_7_of_unknown_rest_takes_any_7(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version(fake, "7.2.3", monkeypatch)
    path, _ = build(tmp_path)
    assert RUNTIME.misfit(engine(path), backend()) is None
    path.write_bytes(b"ftrt" + bytes(96))
    assert RUNTIME.misfit(engine(path, toolchain={"tensorrt": "8.0.1"}), backend())


def test_an_emulated_engine_is_no_devices_and_the_other_way_round(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    assert "and t4_trtexec~emulated is emulated" in str(RUNTIME.misfit(engine(path), backend("t4_trtexec~emulated")))
    path.write_bytes(b"ftrt" + bytes(24) + b"EMULATED BY SIGNOFF\0" + bytes(99))
    assert RUNTIME.misfit(engine(path), backend()) == ("it was written by the emulator, and t4_trtexec is not emulated")


def test_another_file_is_refused_with_what_it_is(fake: Fake, tmp_path: Path) -> None:
    graph = source(tmp_path).graph
    with pytest.raises(SetupError, match="expected an engine of tensorrt; found an ONNX file"):
        RUNTIME.misfit(engine(graph), backend())
    with pytest.raises(SetupError, match="expected an engine of tensorrt; found an ONNX file"):
        opened(graph)


# Runs


@pytest.mark.parametrize("version", ["7.2.3", "8.4.1", "8.6.1", "10.3.0"])
def test_runs_and_times_a_batch_on_every_version(
    version: str, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_version(fake, version, monkeypatch)
    path, _ = build(tmp_path)
    with opened(path) as session:
        assert (session.signature, session.most_batches) == (None, 1)
        (output,) = session.run((X,))
        np.testing.assert_allclose(output, 2 * X, rtol=1e-5)
        assert session.device_ms() == ()
        timed = session.time([(X,)], 1.0, 0.2)
    warm = 20 if version in ("7.2.3", "8.4.1") else 0
    assert timed.device_ms == (2.0, 3.0) * ((200 - warm) // 2)
    assert (timed.host_ns, timed.flags) == ((), ())
    np.testing.assert_array_equal(timed.outputs[0][0], output)
    assert timed.log.count("&&&& PASSED") == 1
    assert timed.details["switches"] == {"transfers": "off", "spin_wait": "on", "cuda_graph": "off"}
    assert timed.details["command"][0] == str(fake.path)
    _, ran, took = fake.calls
    assert {"--iterations=1", "--duration=0", "--warmUp=0"} < set(ran["argv"])
    assert "--noDataTransfers" not in ran["argv"]
    assert {"--iterations=200", "--duration=1", "--warmUp=200", "--noDataTransfers"} < set(took["argv"])
    assert not Path(took["cwd"]).exists()


def test_a_cuda_graph_is_the_backends_choice_and_only_timed(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    with opened(path, backend(options={"cuda_graph": True})) as session:
        session.run((X,))
        timed = session.time([(X,)], 1.0, 0.2)
    assert timed.details["switches"]["cuda_graph"] == "on"
    assert [("--useCudaGraph" in call["argv"]) for call in fake.calls[1:]] == [False, True]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fail", "expected trtexec to time the engine; found exit status 1, failed: Cuda failure: out of memory"),
        ("crash", "expected trtexec to time the engine; found killed by SIGSEGV, without a word of its end"),
        ("silent", "expected trtexec to time the engine; found exit status 0, and no PASSED"),
        ("override", "that it chose a shape by itself: Dynamic dimensions"),
        ("no_summary", "expected trtexec to print a performance summary; found PASSED without one"),
        ("no_times", "expected trtexec to write the times of all executions; found no file of times"),
        ("no_outputs", "expected trtexec to write the outputs of this model; found no file of outputs"),
        ("cut", "found class cut off after"),
        ("output", r"found class of shape \[1, 1\], where \[4, 3, 8, 8\] belong"),
        ("bound", r"expected trtexec to run image as \[4, 3, 8, 8\]; found that it ran on \[1, 3, 8, 8\]"),
        ("name", r"expected trtexec to run image as \[4, 3, 8, 8\]; found an engine of other"),
        ("switch", "expected trtexec to have Data transfers Disabled; found that it says Enabled"),
    ],
)
def test_a_timed_run_that_did_something_else_is_an_error(
    fault: str, message: str, fake: Fake, tmp_path: Path, home: Path
) -> None:
    path, _ = build(tmp_path)
    fake.become("10.3.0", fault)
    with opened(path) as session, pytest.raises(ToolError, match=message) as error:
        session.time([(X,)], 1.0, 0.2)
    log = home / "logs" / "trtexec-sample-enet-bs4-t4_trtexec.txt"
    assert f"all it printed: {log}" in str(error.value)
    assert log.is_file()


def test_a_hanging_run_is_ended(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = build(tmp_path)
    fake.become("10.3.0", "hang")
    monkeypatch.setattr(trtexec_session, "RUN_SECONDS", 0.2)
    with opened(path) as session, pytest.raises(ToolError, match="found it still running"):
        session.run((X,))


def test_nothing_of_an_earlier_run_is_taken_for_this_one(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    with opened(path) as session:
        session.time([(X,)], 1.0, 0.2)
        for fault, message in (("no_outputs", "no file of outputs"), ("no_times", "no file of times")):
            fake.become("10.3.0", fault)
            with pytest.raises(ToolError, match=message):
                session.time([(X,)], 1.0, 0.2)


def test_times_that_are_not_those_of_the_summary_are_flagged(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    fake.become("10.3.0", "disagree")
    with opened(path) as session:
        timed = session.time([(X,)], 1.0, 0.2)
    assert timed.flags == ("times_disagree",)
    assert timed.details["times"] == "the mean of its times is 2.5 ms, the one it printed 9 ms"


@pytest.mark.parametrize(("bits", "flags"), [(4, ()), (4 | 64, ("slowed",))])
def test_conditions_are_taken_while_it_is_timed(
    bits: int, flags: tuple[str, ...], fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = build(tmp_path)
    other = {"UUID": "GPU-other", "Temperature": {0: 10}}
    stand_in = driver({"CurrentClocksEventReasons": bits, "Temperature": {0: 80}}, other)
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    with opened(path) as session:
        session.run((X,))
        timed = session.time([(X,)], 1.0, 0.2)
    told = timed.details["conditions"]
    assert told["samples"] >= 1
    assert told["first"]["temperature_c"] == told["last"]["temperature_c"] == told["highest"]["temperature_c"] == 80
    assert told["clocks_held_by"][0] == "power cap"
    assert timed.flags == flags
    assert ("slowed" in told) == bool(flags)
    assert stand_in.open == 0


def test_times_without_conditions_where_nvml_does_not_answer(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = build(tmp_path)
    with opened(path) as session:
        monkeypatch.setitem(sys.modules, "pynvml", driver(driver=None))
        timed = session.time([(X,)], 1.0, 0.2)
    assert (timed.flags, "conditions" in timed.details) == ((), False)


def test_a_flood_of_output_is_cut_in_the_middle(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    fake.become("10.3.0", "spam")
    with opened(path) as session:
        timed = session.time([(X,)], 1.0, 0.2)
    assert len(timed.log) < trtexec_run.LOG_BYTES + 4096
    assert "bytes left out" in timed.log
    assert timed.log.rstrip().endswith("&&&& PASSED TensorRT.trtexec [TensorRT v100300] # trtexec")


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ((X[:1],), r"expected image as float32 \[4, 3, 8, 8\]; found float32 \[1, 3, 8, 8\]"),
        ((X.astype(np.float64),), "found float64"),
        ((X, X), "expected 1 inputs; found 2"),
    ],
)
def test_refuses_inputs_that_are_not_the_models(
    inputs: tuple[np.ndarray, ...], found: str, fake: Fake, tmp_path: Path
) -> None:
    path, _ = build(tmp_path)
    with opened(path) as session, pytest.raises(ToolError, match=found):
        session.run(inputs)


def test_inputs_are_written_whole_whatever_their_order_in_memory(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    turned = np.asfortranarray(X).astype(">f4").astype("=f4", order="F")
    with opened(path) as session:
        np.testing.assert_allclose(session.run((turned,))[0], 2 * X, rtol=1e-5)


def test_no_room_is_told_with_the_place_to_change(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = build(tmp_path)

    def full(self: Path, data: Any) -> int:
        raise OSError(28, "No space left on device")

    with opened(path) as session:
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(
            ToolError, match=r"found No space left on device; make room, or name another place with TMP"
        ):
            session.run((X,))


def test_times_one_batch_only(fake: Fake, tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    with opened(path) as session, pytest.raises(ValueError, match="expected one batch, found 2"):
        session.time([(X,), (X,)], 1.0, 0.2)


# The emulator


@pytest.mark.parametrize("version", ["7.2.3", "8.6.1", "10.3.0", "11.0.0"])
def test_the_emulator_builds_and_times_what_it_is_asked(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps({"trtexec": {"version": version}}))
    monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(scenario))
    chosen = backend("t4_trtexec~emulated")
    case = replace(CASE, backend=chosen.name)
    assert RUNTIME.missing(chosen, EMULATED) is None
    assert TRTEXEC.missing(chosen, EMULATED) is None
    assert RUNTIME.versions(chosen)["trtexec"] == ("7" if version == "7.2.3" else version)
    assert RUNTIME.devices(chosen) == (EMULATED_GPU,)
    made = source(tmp_path, EMULATED)
    target = tmp_path / "building" / "model.plan"
    target.parent.mkdir()
    built = TRTEXEC.build(made, case, chosen, target)
    assert built.facts["builder"] == "trtexec"
    assert TRTEXEC.toolchain(chosen)["fp16_route"] == ("graph" if version == "11.0.0" else "flag")
    assert RUNTIME.misfit(engine(target), chosen) is None
    with RUNTIME.open(target, EMULATED, case, chosen, EMULATED_GPU) as session:
        timed = session.time([(X,)], 1.0, 0.1)
    reference = onnxruntime.InferenceSession(str(made.graph), providers=["CPUExecutionProvider"])
    (expected,) = reference.run(None, {"image": X})
    np.testing.assert_allclose(timed.outputs[0][0], expected, atol=0.02)
    assert len(timed.device_ms) >= 200
    assert timed.flags == ()
    assert "conditions" not in timed.details, "there is no GPU to ask about"
    assert "signoff emulator" in timed.log
