"""torch on a GPU, against stand-ins of torch.cuda on CPU tensors: the order of calls, the numbers, what is refused."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures import catalogue, digest
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.device import CPU, Device
from fixtures.model import Model, Tensor
from fixtures.models import enet
from fixtures.nvidia import nvml, torch_session
from fixtures.nvidia.torch_session import Settings, TorchCudaSession, TorchSessionError
from fixtures.runtime import Source
from fixtures.runtime import Tensor as Told
from fixtures.runtimes import cuda as runtimes
from tests import fake_nvidia
from tests.fake_nvidia import Nvml

torch = pytest.importorskip("torch")

SIZE, BATCH = 32, 2
CASE = Case("sample", "enet", SIZE, BATCH, "cuda")
GRAPH = Settings("fp16", channels_last=True, cuda_graph=True)
PLAIN = Settings("fp32", channels_last=False, cuda_graph=False)
RUNTIME = catalogue.find("runtime", "cuda")
BACKEND: Backend = catalogue.find("backend", "cuda")


class Gpu:
    """torch.cuda on the CPU: keeps what is called in `calls`; a replay computes into what was captured."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.session: Any = None
        self.milliseconds = 0.0
        self.streaming = False

    def note(self, call: str) -> None:
        self.calls.append(call)

    def stream(self, device: Any) -> Any:
        return SimpleNamespace(synchronize=lambda: self.note("synchronise"))

    @contextlib.contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        self.streaming = True
        yield
        self.streaming = False

    def event(self, enable_timing: bool) -> Any:
        assert enable_timing
        return SimpleNamespace(record=lambda stream: self.note("event"), elapsed_time=self.elapsed)

    def elapsed(self, end: Any) -> float:
        self.milliseconds += 1
        return self.milliseconds

    @contextlib.contextmanager
    def capture(self, graph: Any, stream: Any) -> Iterator[None]:
        self.note("capture")
        yield

    def replay(self) -> None:
        self.note("replay")
        for kept, found in zip(self.session._outputs, self.session._computed(), strict=True):
            kept[...] = found


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """Yield a stand-in of the one GPU of this host; torch's switches are as they come, and are put back."""
    stand_in = Gpu()
    zeros, copy = torch.zeros, torch.Tensor.copy_

    def allocate(*arguments: Any, pin_memory: bool = False, **options: Any) -> Any:
        return zeros(*arguments, **options)

    def copied(self: Any, other: Any, non_blocking: bool = False) -> Any:
        if non_blocking:  # others load the weights
            stand_in.note("copy")
        return copy(self, other)

    monkeypatch.setattr(torch, "zeros", allocate)
    monkeypatch.setattr(torch.Tensor, "copy_", copied)
    monkeypatch.setattr(torch_session, "_device", lambda *_: torch.device("cpu"))
    for name, fake in {
        "set_device": lambda device: None,
        "Stream": stand_in.stream,
        "stream": stand_in.on,
        "Event": stand_in.event,
        "CUDAGraph": lambda: SimpleNamespace(replay=stand_in.replay),
        "graph": stand_in.capture,
        "empty_cache": lambda: stand_in.note("give back"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    switches = [(torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]
    switches += [(torch.backends.cudnn, "benchmark")]
    before = [getattr(where, name) for where, name in switches]
    for where, name in switches:
        setattr(where, name, True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy host several wait for each other
    yield stand_in
    torch.set_num_threads(threads)
    for (where, name), value in zip(switches, before, strict=True):
        setattr(where, name, value)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Return ENet with random weights."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("source") / "weights.safetensors"
    torch.manual_seed(0)
    save_file(enet.network().state_dict(), path)
    return Source(enet.MODEL, path, path, {})


@pytest.fixture(scope="module")
def expected(source: Source) -> np.ndarray:
    """Return what the reference makes of the images."""
    reference = catalogue.find("runtime", "torch")
    with reference.open(source.checkpoint, source.model, CASE, catalogue.find("backend", "torch"), CPU) as session:
        (logits,) = session.run((images(),))
    return logits


def opened(gpu: Gpu, source: Source, settings: Settings = GRAPH) -> TorchCudaSession:
    session = TorchCudaSession(source.checkpoint, source.model, CASE, fake_nvidia.NAME, settings)
    gpu.session = session
    return session


def images(fill: float = 0.0) -> np.ndarray:
    return np.random.default_rng(7).normal(fill, size=(BATCH, 3, SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(("precision", "allowed"), [("fp32", 1e-5), ("fp16", 2e-2)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_computes_what_torch_computes_on_the_cpu(
    gpu: Gpu, source: Source, expected: np.ndarray, precision: str, allowed: float, channels_last: bool, graph: bool
) -> None:
    with opened(gpu, source, Settings(precision, channels_last, graph)) as session:
        session.run((images(3),))
        (found,) = session.run((images(),))
    assert found.shape == (BATCH, 19, SIZE, SIZE)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.abs(found - expected).max() <= allowed * np.abs(expected).max()
    assert (precision == "fp32") or np.abs(found - expected).max() > 1e-6 * np.abs(expected).max(), (
        "it was not narrowed"
    )


def test_the_outputs_of_a_call_do_not_change_with_the_next(gpu: Gpu, source: Source) -> None:
    with opened(gpu, source) as session:
        (first,) = session.run((images(),))
        kept = first.copy()
        (second,) = session.run((images(5),))
    assert (first == kept).all()
    assert (first != second).any()


def test_times_the_replay_alone_between_the_copies(gpu: Gpu, source: Source) -> None:
    with opened(gpu, source) as session:
        gpu.calls.clear()
        session.run((images(),))
        assert gpu.calls == ["copy", "event", "replay", "event", "copy", "synchronise"]


def test_tells_each_time_once_and_none_of_the_warm_up(gpu: Gpu, source: Source) -> None:
    with opened(gpu, source) as session:
        assert session.device_ms() == ()
        for _ in range(3):
            session.run((images(),))
        assert session.device_ms() == (1.0, 2.0, 3.0)
        assert session.device_ms() == ()


def test_captures_once_after_the_warm_up_has_ended(gpu: Gpu, source: Source) -> None:
    computed: list[int] = []
    counted: Any = replace(source.model, network=lambda: Counting(computed))
    with opened(gpu, replace(source, model=counted)) as session:
        assert gpu.calls == ["synchronise", "capture"]
        assert len(computed) == torch_session.WARMUP_CALLS + 1
        session.run((images(),))
        session.run((images(),))
    assert gpu.calls.count("capture") == 1
    assert gpu.calls.count("replay") == 2


class Counting(torch.nn.Module):
    """ENet that notes how often it is called, and with what."""

    def __init__(self, calls: list[Any]) -> None:
        super().__init__()
        self.inner, self.calls = enet.network(), calls

    def load_state_dict(self, state: Any, *_: Any, **__: Any) -> Any:
        return self.inner.load_state_dict(state)

    def forward(self, image: Any) -> Any:
        self.calls.append(image)
        return self.inner(image)


def test_weights_move_on_the_stream_that_computes_with_them(
    gpu: Gpu, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another stream would not wait for them."""
    moved: list[bool] = []
    to = torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda *args, **to_what: moved.append(gpu.streaming) or to(*args, **to_what)
    )
    with opened(gpu, source):
        assert moved == [True, True]


def test_without_a_graph_it_computes_at_every_call(gpu: Gpu, source: Source) -> None:
    with opened(gpu, source, PLAIN) as session:
        gpu.calls.clear()
        session.run((images(),))
    assert gpu.calls[:6] == ["copy", "event", "event", "copy", "synchronise", "give back"]


@pytest.mark.parametrize("channels_last", [False, True])
def test_weights_and_images_lie_as_the_backend_says(gpu: Gpu, source: Source, channels_last: bool) -> None:
    seen: list[Any] = []
    model: Any = replace(source.model, network=lambda: Counting(seen))
    with opened(gpu, replace(source, model=model), replace(GRAPH, channels_last=channels_last)) as session:
        layouts = {
            each.is_contiguous(memory_format=torch.channels_last)
            for each in (
                seen[0],
                *(weight for weight in session._network.parameters() if min(weight.shape[1:], default=1) > 1),
            )
        }
        types = {each.dtype for each in (seen[0], *session._network.parameters())}
    assert layouts == {channels_last}
    assert types == {torch.float16}


class Words(torch.nn.Module):
    """Takes numbers of words; gives scores, the best of them, and something the model does not name."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)

    def forward(self, words: Any) -> Any:
        scores = self.table(words)
        return scores, scores.argmax(-1), scores.sum(-1)


def test_whole_numbers_stay_whole_and_scores_are_as_the_model_says(gpu: Gpu, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(Words().state_dict(), tmp_path / "weights")
    model = replace(
        enet.MODEL,
        inputs=(Tensor("words", ("N", 3), "int64"),),
        outputs=(Tensor("scores", ("N", 3, 4)), Tensor("best", ("N", 3), "int64")),
        network=Words,
    )
    with opened(gpu, Source(model, tmp_path / "weights", tmp_path, {})) as session:
        outputs = session.run((np.array([[1, 2, 9], [3, 4, 5]]),))
        assert session.signature.inputs == (Told("words", (2, 3), "int64"),)
        assert session.signature.outputs[:2] == (Told("scores", (2, 3, 4), "float32"), Told("best", (2, 3), "int64"))
    assert [str(output.dtype) for output in outputs] == ["float32", "int64", "float16"]
    assert (outputs[1] == outputs[0].argmax(-1)).all()


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ((), "expected 1 inputs; found 0"),
        ((images()[:1],), r"expected image as float32 \[2, 3, 32, 32\]; found float32 \[1, 3, 32, 32\]"),
        ((images().astype(np.float64),), "found float64"),
    ],
)
def test_refuses_inputs_that_torch_would_stretch(gpu: Gpu, source: Source, inputs: Any, named: str) -> None:
    with opened(gpu, source) as session:
        gpu.calls.clear()
        with pytest.raises(TorchSessionError, match=named):
            session.run(inputs)
        assert not gpu.calls
        session.run((images(),))


def test_running_out_of_memory_is_told_as_torch_tells_it_and_ends_the_session(gpu: Gpu, source: Source) -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with opened(gpu, source) as session:
        session._graph.replay = full
        with pytest.raises(torch.OutOfMemoryError, match=r"out of memory"):
            session.run((images(),))
        with pytest.raises(TorchSessionError, match=r"it ended: OutOfMemoryError: CUDA out of memory"):
            session.run((images(),))


def test_gives_memory_back_where_it_cannot_be_opened(gpu: Gpu, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(torch.OutOfMemoryError):
        opened(gpu, source)
    assert gpu.calls == ["give back"]


def test_a_closed_session_gives_memory_back_and_refuses(gpu: Gpu, source: Source) -> None:
    with opened(gpu, source) as session:
        pass
    assert gpu.calls[-1] == "give back"
    assert not {"_graph", "_outputs", "_inputs", "_network"} & set(vars(session))
    with pytest.raises(TorchSessionError, match="it was closed"):
        session.run((images(),))


def test_fp32_is_not_tf32_and_algorithms_do_not_race(gpu: Gpu, source: Source) -> None:
    with opened(gpu, source, PLAIN):
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cudnn.benchmark


def test_takes_the_gpu_of_the_uuid_whatever_torch_counts_it_as() -> None:
    uuids = ["ffffffff-0000-0000-0000-000000000000", fake_nvidia.NAME.removeprefix("GPU-")]
    fake = SimpleNamespace(
        cuda=SimpleNamespace(
            device_count=lambda: len(uuids), get_device_properties=lambda n: SimpleNamespace(uuid=uuids[n])
        ),
        device=lambda kind, ordinal: (kind, ordinal),
        version=SimpleNamespace(cuda="12.8"),
    )
    assert torch_session._device(fake, fake_nvidia.NAME) == ("cuda", 1)
    uuids.pop()
    with pytest.raises(TorchSessionError, match=r"expected torch to see GPU-0001.*; found GPU-ffff.*CUDA 12\.8"):
        torch_session._device(fake, fake_nvidia.NAME)
    uuids.pop()
    with pytest.raises(TorchSessionError, match="found no GPU"):
        torch_session._device(fake, fake_nvidia.NAME)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Nvml]]:
    """Return a function that gives this host GPUs, and a torch that is built for CUDA."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml._inventory.cache_clear()

    def give(*gpus: dict[str, Any], **options: Any) -> Nvml:
        stand_in = Nvml(*gpus, **options)
        monkeypatch.setitem(sys.modules, "pynvml", stand_in)
        real = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "pynvml" else real(name))
        monkeypatch.setattr(runtimes, "_cuda", lambda: "12.8")
        return stand_in

    yield give
    nvml._inventory.cache_clear()


def test_tells_the_conditions_as_nvml_does(gpu: Gpu, source: Source, host: Callable[..., Nvml]) -> None:
    stand_in = host({})
    with opened(gpu, source) as session:
        assert session.conditions()["sm_clock_mhz"] == 585
        assert session.conditions()["temperature_c"] == 41
    assert stand_in.open == 0


def test_runs_on_a_gpu_of_any_kind(host: Callable[..., Nvml]) -> None:
    host({"UUID": "GPU-h", "Name": "NVIDIA H100", "CudaComputeCapability": (9, 0)}, {})
    assert RUNTIME.missing(BACKEND, enet.MODEL) is None
    assert [device.name for device in RUNTIME.devices(BACKEND)] == ["NVIDIA H100", "Tesla T4"]
    versions = {"torch": torch.__version__, "cuda": "12.8", "driver": "580.65.06", "cuda_graph": "on"}
    assert RUNTIME.versions(BACKEND) == versions
    assert RUNTIME.versions(replace(BACKEND, options={}))["cuda_graph"] == "off"


def test_says_what_is_missing_of_the_gpu(host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch) -> None:
    host(driver=None)
    assert RUNTIME.missing(BACKEND, enet.MODEL).reason.startswith("the NVIDIA driver does not answer")
    nvml._inventory.cache_clear()
    host({})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    missing = RUNTIME.missing(BACKEND, enet.MODEL)
    assert missing.reason == "no GPU is left to us here (CUDA_VISIBLE_DEVICES= may hide others)"
    assert missing.next_step == "run it on a host with an NVIDIA GPU"


@pytest.mark.parametrize(
    ("backend", "model", "reason"),
    [
        (BACKEND, replace(enet.MODEL, network=None), "enet is given as an ONNX file only"),
        (replace(BACKEND, precision="int8"), enet.MODEL, "cuda asks for int8, and this runtime has fp32, fp16"),
        (BACKEND, enet.MODEL, f"torch {torch.__version__} is built without CUDA"),
    ],
)
def test_says_what_is_missing_of_torch_and_model(
    backend: Backend, model: Model, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "_cuda", str)
    missing = RUNTIME.missing(backend, model)
    assert missing.reason == reason
    assert missing.next_step


def test_says_where_torch_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert RUNTIME.missing(BACKEND, enet.MODEL).reason == "torch is not installed"
    assert runtimes._cuda() == ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cuda: Optional[str] = '12.8'", "12.8"),
        ("cuda = '13.0'", "13.0"),
        ("cuda: Optional[str] = None", ""),
        ("hip = '6.4'", ""),
    ],
)
def test_reads_the_cuda_of_torch_without_importing_it(
    line: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(f"from typing import Optional\n__version__ = '2.9'\n{line}\ndebug = False\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: spec)
    assert runtimes._cuda() == found


def test_reads_the_torch_that_is_here() -> None:
    assert runtimes._cuda() == (torch.version.cuda or "")


def test_every_option_stands_in_the_recipe_and_a_models_own_come_first() -> None:
    compiler = RUNTIME.compiler
    assert compiler.options(BACKEND, enet.MODEL) == {"channels_last": True, "cuda_graph": True}
    assert compiler.options(replace(BACKEND, options={}), enet.MODEL) == {"channels_last": False, "cuda_graph": False}
    own = replace(enet.MODEL, engine={"cuda": {"channels_last": False}})
    assert compiler.options(BACKEND, own)["channels_last"] is False


@pytest.mark.parametrize(
    ("options", "named"),
    [({"channel_last": True}, "did you mean 'channels_last'"), ({"cuda_graph": "on"}, "found 'on'")],
)
def test_refuses_an_option_that_it_would_not_see(options: dict[str, Any], named: str) -> None:
    with pytest.raises(catalogue.CatalogueError, match=named):
        RUNTIME.compiler.options(replace(BACKEND, options=options), enet.MODEL)


def test_a_model_cannot_choose_what_evidence_tells_of_the_backend() -> None:
    own = replace(enet.MODEL, engine={"cuda": {"cuda_graph": False}})
    with pytest.raises(catalogue.CatalogueError, match=r"unknown option of cuda 'cuda_graph'.*Known: channels_last"):
        RUNTIME.compiler.options(BACKEND, own)


def test_an_engine_is_the_verified_weights_with_how_they_are_run(source: Source, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    digests = set()
    for name, backend in {"half": BACKEND, "full": replace(BACKEND, precision="fp32"), "again": BACKEND}.items():
        RUNTIME.compiler.build(source, CASE, backend, tmp_path / name)
        digests.add(digest.of_file(tmp_path / name))
    assert len(digests) == 2, "what fp32 has shown must not count for fp16"
    expected, found = load_file(source.checkpoint), load_file(tmp_path / "half")
    assert all((found[name] == expected[name]).all() for name in expected)
    with safe_open(tmp_path / "half", "pt") as stored:
        run = json.loads(stored.metadata()["run"])
    assert run == {"precision": "fp16", "channels_last": True, "cuda_graph": True}


def test_opens_what_it_built_in_the_backends_precision(gpu: Gpu, source: Source, tmp_path: Path) -> None:
    RUNTIME.compiler.build(source, CASE, BACKEND, tmp_path / "engine")
    device = Device(fake_nvidia.NAME)
    with RUNTIME.open(tmp_path / "engine", source.model, CASE, BACKEND, device) as session:
        gpu.session = session
        (logits,) = session.run((images(),))
        assert session._settings == GRAPH
    assert np.isfinite(logits).all()


def test_where_fp16_loses_a_figure_fp32_is_left() -> None:
    (remedy,) = RUNTIME.compiler.remedies(BACKEND)
    assert "backends/cuda.py" in remedy
    assert RUNTIME.compiler.remedies(replace(BACKEND, precision="fp32")) == ()
