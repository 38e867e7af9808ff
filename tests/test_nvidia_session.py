"""Running an engine with CUDA, against stand-ins: what is copied, timed and checked; no GPU has run this."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.errors import SetupError
from fixtures.nvidia import cuda as cudas
from fixtures.nvidia.cuda import Cuda, CudaError
from fixtures.nvidia.session import SessionError, TensorRTSession, load
from fixtures.runtime import BrokenRuntimeError, Tensor
from tests import fake_nvidia
from tests.fake_nvidia import CudaRuntime, Nvml

SHAPE = (2, 3, 4, 4)
BUILT: dict[str, Any] = {
    "inputs": [["image", [-1, 3, 4, 4], "FLOAT"]],
    "outputs": [["class", [-1, 3, 4, 4], "FLOAT"]],
    "profiles": [{"image": [SHAPE] * 3}],
}


def opened(
    folder: Path,
    library: Any = None,
    cudart: CudaRuntime | None = None,
    shape: tuple[int, ...] = SHAPE,
    graph: bool = False,
    name: str = "image",
    **built: Any,
) -> TensorRTSession:
    path = folder / "model.plan"
    path.write_bytes(fake_nvidia.engine({**BUILT, **built}, "10.3.0"))
    return load(
        library or fake_nvidia.tensorrt(), cudart or CudaRuntime(), fake_nvidia.NAME, path, {name: shape}, graph
    )


def image(fill: float = 1.0) -> np.ndarray:
    return np.full(SHAPE, fill, np.float32) + np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.0.0"])
@pytest.mark.parametrize("graph", [False, True])
def test_runs_each_batch_and_keeps_its_outputs(version: str, graph: bool, tmp_path: Path) -> None:
    cudart, library = CudaRuntime(), fake_nvidia.tensorrt(version)
    context: list[Any] = []
    cudart._cudaGraphLaunch = lambda *_: context[0].execute_async_v3(7) and ()  # type: ignore[attr-defined]
    with opened(tmp_path, library, cudart, graph=graph) as session:
        context.append(session._context)
        (first,) = session.run((image(),))
        kept = first.copy()
        (second,) = session.run((image(5),))
        assert (first == kept).all(), "the outputs of a call must not change with the next"
    assert (first == image() * 2).all()
    assert (second == image(5) * 2).all()
    assert second.dtype == np.float32
    assert second.flags.c_contiguous


def test_times_the_execution_without_the_copies(tmp_path: Path) -> None:
    library, cudart = fake_nvidia.tensorrt(), CudaRuntime()
    library.calls = cudart.calls
    with opened(tmp_path, library, cudart) as session:
        assert session.device_ms() == (), "the execution that warms it up is not told"
        for _ in range(3):
            before = len(cudart.calls)
            session.run((image(),))
        timed = cudart.calls[before:]
        assert session.device_ms() == (1.0, 2.0, 3.0)
        assert session.device_ms() == ()
    assert timed == [
        *("cudaMemcpyAsync", "cudaEventRecord", "execute_async_v3", "cudaEventRecord", "cudaMemcpyAsync"),
        *("cudaStreamSynchronize", "cudaEventElapsedTime"),
    ]


def test_launches_a_graph_that_was_captured_after_a_first_execution(tmp_path: Path) -> None:
    library, cudart = fake_nvidia.tensorrt(), CudaRuntime()
    library.calls = cudart.calls
    with opened(tmp_path, library, cudart, graph=True) as session:
        first = cudart.calls.index("execute_async_v3")
        assert cudart.calls[first:] == [
            *("execute_async_v3", "cudaStreamSynchronize"),
            *("cudaStreamBeginCapture", "execute_async_v3", "cudaStreamEndCapture", "cudaGraphInstantiate"),
        ]
        session.run((image(),))
    assert cudart.calls.count("cudaGraphLaunch") == 1
    assert {"cudaGraphDestroy", "cudaGraphExecDestroy"} <= set(cudart.calls)


@pytest.mark.parametrize("graph", [False, True])
def test_gives_everything_back(graph: bool, tmp_path: Path) -> None:
    cudart = CudaRuntime()
    with opened(tmp_path, cudart=cudart, graph=graph) as session:
        session.run((image(),))
        assert len(cudart.held) == 4
    assert cudart.held == {}
    for made, given in (("cudaEventCreate", "cudaEventDestroy"), ("cudaStreamCreate", "cudaStreamDestroy")):
        assert cudart.calls.count(made) == cudart.calls.count(given)
    with pytest.raises(SessionError, match="ended: it was closed"):
        session.run((image(),))


def test_uses_the_gpu_of_the_uuid_whatever_number_cuda_gives_it(tmp_path: Path) -> None:
    cudart = CudaRuntime((bytes(16), bytes(15) + b"\1", fake_nvidia.UUID))
    with opened(tmp_path, cudart=cudart):
        assert cudart.device == 2


def test_says_that_cuda_does_not_see_the_gpu(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=rf"expected CUDA to see {fake_nvidia.NAME}; found GPU-0000.*VISIBLE_DEVICES"):
        opened(tmp_path, cudart=CudaRuntime((bytes(16),)))


def test_tells_the_shapes_that_the_profile_fixes(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        assert session.signature.inputs == (Tensor("image", SHAPE, "float32"),)
        assert session.signature.outputs == (Tensor("class", SHAPE, "float32"),)


def test_leaves_open_what_a_wide_profile_leaves_open(tmp_path: Path) -> None:
    wide = {"image": [(1, 3, 4, 4), SHAPE, (32, 3, 4, 4)]}
    with opened(tmp_path, profiles=[wide]) as session:
        assert session.signature.inputs[0].shape == (-1, 3, 4, 4)


def test_takes_the_inputs_in_the_order_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.plan"
    inputs = [["mask", [1, 2], "FLOAT"], ["image", [1, 2], "FLOAT"]]
    outputs = [["doubled mask", [1, 2], "FLOAT"], ["doubled image", [1, 2], "FLOAT"]]
    path.write_bytes(fake_nvidia.engine({"inputs": inputs, "outputs": outputs, "profiles": []}, "10.3.0"))
    shapes = {"image": (1, 2), "mask": (1, 2)}
    with load(fake_nvidia.tensorrt(), CudaRuntime(), fake_nvidia.NAME, path, shapes) as session:
        assert [tensor.name for tensor in session.signature.inputs] == ["image", "mask"]
        first, second = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
        assert [output.tolist() for output in session.run((first, second))] == [[[0, 0]], [[2, 2]]]


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ((), "expected 1 inputs; found 0"),
        ((image(), image()), "expected 1 inputs; found 2"),
        ((image()[:1],), r"found float32 \[1, 3, 4, 4\]; mend"),
        ((image().astype(np.float64),), "found float64"),
        ((image().astype(np.float16),), "found float16"),
        ((np.asfortranarray(image()),), r"\[2, 3, 4, 4\], not contiguous"),
    ],
)
def test_refuses_inputs_that_would_be_read_as_others(
    inputs: tuple[np.ndarray, ...], found: str, tmp_path: Path
) -> None:
    with opened(tmp_path) as session:
        with pytest.raises(SessionError, match=found):
            session.run(inputs)
        session.run((image(),))  # nothing has happened to the session


def test_refuses_a_batch_outside_of_the_profile(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"image to take \[4, 3, 4, 4\]; found: .*outside of the profile; name"):
        opened(tmp_path, shape=(4, 3, 4, 4))


def test_refuses_an_engine_with_other_inputs(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"expected the inputs input\.1; found image; name an engine of this model"):
        opened(tmp_path, name="input.1")


def test_refuses_a_type_that_numpy_has_not(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="class to be of a type that numpy has, not FP4"):
        opened(tmp_path, outputs=[["class", [-1, 3, 4, 4], "FP4"]])


def fail_to_load(library: Any) -> None:
    library.fail = "deserializeCudaEngine: version 10.2 is not 10.3"


def no_context(library: Any) -> None:
    library.no_context = True


def unspecified(library: Any) -> None:
    library.unspecified = ["mask"]


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (fail_to_load, r"found: deserializeCudaEngine: version 10\.2 is not 10\.3; build it again"),
        (no_context, "expected an execution context; found: that TensorRT refuses, and does not say why; free the GPU"),
        (unspecified, "found mask open"),
    ],
)
def test_what_returns_nothing_is_an_error_with_what_the_log_says(fault: Any, found: str, tmp_path: Path) -> None:
    library, cudart = fake_nvidia.tensorrt(), CudaRuntime()
    fault(library)
    with pytest.raises(SessionError, match=found):
        opened(tmp_path, library, cudart)
    assert cudart.held == {}
    assert "cudaStreamDestroy" in cudart.calls


def test_an_execution_that_fails_ends_the_session(tmp_path: Path) -> None:
    library = fake_nvidia.tensorrt()
    with opened(tmp_path, library) as session:
        library.fail = "enqueueV3: an address is missing"
        with pytest.raises(SessionError, match="expected an execution; found: enqueueV3: an address is missing"):
            session.run((image(),))
        library.fail = ""
        with pytest.raises(SessionError, match=r"found that it ended: .*an address is missing"):
            session.run((image(),))


def test_a_capture_that_fails_says_what_the_log_says(tmp_path: Path) -> None:
    library, cudart = fake_nvidia.tensorrt(), CudaRuntime()

    def begin(*_: object) -> tuple[()]:
        library.fail = "not capturable"
        return ()

    cudart._cudaStreamBeginCapture = begin  # type: ignore[attr-defined]
    with pytest.raises(SessionError, match="not capturable"):
        opened(tmp_path, library, cudart, graph=True)
    assert cudart.held == {}


@pytest.mark.parametrize("function", ["cudaMemcpyAsync", "cudaEventRecord", "cudaStreamSynchronize"])
def test_an_error_of_cuda_is_named_and_ends_the_session(function: str, tmp_path: Path) -> None:
    cudart = CudaRuntime()
    with opened(tmp_path, cudart=cudart) as session:
        cudart.faults[function] = "cudaErrorIllegalAddress"
        with pytest.raises(
            CudaError, match=r"found cudaErrorIllegalAddress \(what CUDA.*if this process cannot use the GPU"
        ):
            session.run((image(),))
        cudart.faults.clear()
        with pytest.raises(SessionError, match=r"found that it ended: CUDA: .*cudaErrorIllegalAddress"):
            session.run((image(),))
        assert session.device_ms() == ()


@pytest.mark.parametrize("function", ["cudaMalloc", "cudaMallocHost"])
def test_too_little_memory_is_said_with_what_was_asked(function: str, tmp_path: Path) -> None:
    cudart = CudaRuntime()
    cudart.faults[function] = "cudaErrorMemoryAllocation"
    with pytest.raises(CudaError, match=r"384 bytes.*cudaErrorMemoryAllocation.*; free the GPU, or run"):
        opened(tmp_path, cudart=cudart)
    assert cudart.held == {}


def test_every_call_that_can_fail_fails_aloud(tmp_path: Path) -> None:
    cudart = CudaRuntime()
    cudart._cudaGraphLaunch = lambda *_: ()  # type: ignore[attr-defined]
    with opened(tmp_path, cudart=cudart, graph=True) as session:
        session.run((image(),))
        used = set(cudart.calls)
    given_back = {name for name in used if name.endswith(("Free", "FreeHost", "Destroy", "Reset"))}
    for function in sorted(used - given_back):
        broken = CudaRuntime()
        broken.faults[function] = "cudaErrorMemoryAllocation"
        with (
            pytest.raises(CudaError, match="cudaErrorMemoryAllocation"),
            opened(tmp_path, cudart=broken, graph=True) as session,
        ):
            session.run((image(),))
        assert broken.held == {}, function


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("sticky", [False, True])
def test_the_gpu_is_reset_once_all_is_given_back(sticky: bool, graph: bool, tmp_path: Path) -> None:
    """The process would keep its context, and with it memory, an exclusive GPU and any sticky error."""
    library, cudart = fake_nvidia.tensorrt(), CudaRuntime()
    cudart._cudaGraphLaunch = lambda *_: ()  # type: ignore[attr-defined]
    session = opened(tmp_path, library, cudart, graph=graph)
    parts = [weakref.ref(part) for part in (session._context, session._engine, session._runtime)]
    seen: list[Any] = []
    cudart._cudaGraphExecDestroy = lambda *_: seen.append(("graph", parts[0]() is not None)) or ()  # type: ignore
    cudart._cudaDeviceReset = lambda: (  # type: ignore[attr-defined]
        seen.append(("reset", dict(cudart.held), [part() for part in parts])) or ()
    )
    before = len(cudart.calls)
    with session:
        if sticky:
            cudart.faults["cudaStreamSynchronize"] = "cudaErrorIllegalAddress"
            with pytest.raises(CudaError):
                session.run((image(),))
    assert seen == [("graph", True)] * graph + [("reset", {}, [None] * 3)]
    assert cudart.calls[-2:] == ["cudaStreamDestroy", "cudaDeviceReset"]
    assert cudart.calls[before:].count("cudaDeviceReset") == 1
    cudart.faults.clear()
    with opened(tmp_path, library, cudart) as another:
        another.run((image(),))


@pytest.mark.parametrize(
    "function", ["cudaSetDevice", "cudaStreamCreate", "cudaMalloc", "cudaEventCreate", "cudaStreamSynchronize"]
)
def test_the_gpu_is_reset_where_loading_fails(function: str, tmp_path: Path) -> None:
    cudart, library = CudaRuntime(), fake_nvidia.tensorrt()
    runtimes: list[Any] = []
    made = library.Runtime

    def runtime(logger: Any) -> Any:
        built = made(logger)
        runtimes.append(weakref.ref(built))
        return built

    library.Runtime = runtime
    cudart.faults[function] = "cudaErrorMemoryAllocation"
    alive: list[Any] = []
    cudart._cudaDeviceReset = lambda: alive.extend(each() for each in runtimes) or ()  # type: ignore[attr-defined]
    with pytest.raises(CudaError) as raised:
        opened(tmp_path, library, cudart)
    assert raised.tb, "its frames still hold the session"
    assert cudart.calls.count("cudaDeviceReset") == 1
    assert cudart.calls[-1] == "cudaDeviceReset"
    assert [each for each in alive if each is not None] == []


def test_a_gpu_that_is_not_ours_is_not_reset(tmp_path: Path) -> None:
    cudart = CudaRuntime((bytes(16),))
    with pytest.raises(SetupError, match="expected CUDA to see"):
        opened(tmp_path, cudart=cudart)
    assert "cudaDeviceReset" not in cudart.calls


def test_tells_the_conditions_of_the_gpu_it_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"UUID": "GPU-other", "Temperature": {0: 10}}
    stand_in = Nvml(other, {"CurrentClocksEventReasons": 64, "Temperature": {0: 91}})
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    with opened(tmp_path) as session:
        assert stand_in.open == 0, "accuracy asks for none"
        told = session.conditions()
        assert (told["temperature_c"], told["slowed"]) == (91, "hardware thermal slowdown")
        stand_in.gpus[1]["CurrentClocksEventReasons"] = 4
        assert "slowed" not in session.conditions()
        assert stand_in.open == 1, "one start for both"
    assert stand_in.open == 0


def test_the_conditions_are_empty_where_nvml_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=None))
    with opened(tmp_path) as session:
        assert session.conditions() == {}


def test_closing_after_a_sticky_error_says_nothing_more(tmp_path: Path) -> None:
    cudart = CudaRuntime()
    with opened(tmp_path, cudart=cudart):
        cudart.faults = dict.fromkeys(("cudaFree", "cudaFreeHost", "cudaStreamDestroy"), "cudaErrorIllegalAddress")


def test_tensorrt_rtx_compiles_for_its_shapes_before_it_is_timed(tmp_path: Path) -> None:
    library = fake_nvidia.tensorrt("1.7.1.116", "tensorrt_rtx")
    with opened(tmp_path, library):
        kinds = library.DynamicShapesKernelSpecializationStrategy
        assert library.config.dynamic_shapes_kernel_specialization_strategy is kinds.EAGER


def test_pinned_arrays_are_the_memory_that_cuda_gave() -> None:
    cudart = CudaRuntime()
    gpu = Cuda(cudart, fake_nvidia.NAME)
    array = gpu.pinned((2, 3), np.dtype("int64"))
    array[:] = 7
    assert (array.ctypes.data, array.nbytes) == (next(iter(cudart.held)), 48)
    assert next(iter(cudart.held.values())).raw == np.full(6, 7, np.int64).tobytes()
    assert gpu.pinned((0,), np.dtype("float32")).shape == (0,)
    gpu.close()
    gpu.close()
    assert cudart.held == {}


def test_bindings_that_cannot_be_loaded_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BrokenRuntimeError, match="cuda-bindings: expected"):
        cudas.load()


def test_the_real_bindings_have_every_call_and_answer_without_a_driver() -> None:
    cudart = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed: .[tensorrt]")
    for name in (
        *("cudaSetDevice", "cudaStreamCreate", "cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaMalloc"),
        *("cudaMallocHost", "cudaEventCreate", "cudaMemcpyAsync", "cudaEventRecord", "cudaStreamSynchronize"),
        *("cudaEventElapsedTime", "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"),
        *("cudaGraphLaunch", "cudaFree", "cudaFreeHost", "cudaEventDestroy", "cudaStreamDestroy"),
        *("cudaGraphDestroy", "cudaGraphExecDestroy", "cudaDeviceReset"),
    ):
        assert callable(getattr(cudart, name))
    for name in (*cudas.STICKY, *cudas.NEXT_STEPS):
        assert hasattr(cudart.cudaError_t, name)
    assert len(bytes(cudart.cudaDeviceProp().uuid.bytes)) == 16
    if cudart.cudaGetDeviceCount()[0]:
        with pytest.raises(CudaError, match="expected to count the GPUs; found cudaError"):
            Cuda(cudart, fake_nvidia.NAME)
