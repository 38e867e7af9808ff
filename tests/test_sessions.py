"""One loaded engine at a time, and its device locked for as long."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures import catalogue, locks
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.device import Device
from fixtures.engines import Engine
from fixtures.runtime import Signature, Tensor
from fixtures.sessions import Pool
from fixtures.signature import SignatureError

CASE = Case("sample", "enet", 64, 1, "fake")
BACKEND = Backend("fake", runtime="fake")


class FakeSession:
    signature: Signature | None = None

    def __init__(self, runtime: FakeRuntime, path: Path) -> None:
        self.runtime, self.path = runtime, path

    def __enter__(self) -> FakeSession:
        self.runtime.log.append(f"open {self.path.name}")
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.log.append(f"close {self.path.name}")
        if self.runtime.fails_closing:
            raise RuntimeError("the driver is gone")


class FakeRuntime:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.fails_opening = self.fails_closing = False
        self.found: tuple[Device, ...] = (Device("GPU-1"),)

    def devices(self, backend: Backend) -> tuple[Device, ...]:
        return self.found

    def open(self, engine: Path, model: object, case: Case, backend: Backend, device: Device) -> FakeSession:
        if self.fails_opening:
            raise RuntimeError("not an engine of this device")
        self.opened_on = device
        return FakeSession(self, engine)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRuntime:
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path))
    fake = FakeRuntime()
    original = catalogue.find
    monkeypatch.setattr(catalogue, "find", lambda kind, name: fake if kind == "runtime" else original(kind, name))
    return fake


def engine(name: str) -> Engine:
    return Engine(Path(name), "0" * 64, f"key of {name}", {}, 0.0)


def free(device: str = "GPU-1") -> bool:
    """Tell whether another process would get the lock at once."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(locks.folder() / f"{device}.lock", timeout=0):
            return True
    except Timeout:
        return False


def test_the_same_case_finds_its_engine_loaded(runtime: FakeRuntime) -> None:
    pool = Pool()
    assert pool.session(CASE, BACKEND, engine("a")) is pool.session(CASE, BACKEND, engine("a"))
    assert runtime.log == ["open a"]


def test_one_engine_is_closed_before_the_next_is_opened(runtime: FakeRuntime) -> None:
    pool = Pool()
    for name in "aba":
        pool.session(CASE, BACKEND, engine(name))
    pool.close()
    assert runtime.log == ["open a", "close a", "open b", "close b", "open a", "close a"]


def test_one_engine_that_two_backends_run_is_opened_by_each(runtime: FakeRuntime) -> None:
    pool = Pool()
    pool.session(CASE, BACKEND, engine("a"))
    pool.session(Case("sample", "enet", 64, 1, "runner"), BACKEND, engine("a"))
    assert runtime.log == ["open a", "close a", "open a"]


def test_the_device_is_locked_until_the_pool_is_closed(runtime: FakeRuntime) -> None:
    pool = Pool()
    assert free()
    pool.session(CASE, BACKEND, engine("a"))
    assert not free()
    pool.close()
    assert free()
    pool.close()


def test_an_engine_that_does_not_load_leaves_the_device_free(runtime: FakeRuntime) -> None:
    pool = Pool()
    runtime.fails_opening = True
    with pytest.raises(RuntimeError, match="not an engine"):
        pool.session(CASE, BACKEND, engine("a"))
    assert free()
    runtime.fails_opening = False
    pool.session(CASE, BACKEND, engine("a"))
    assert runtime.log == ["open a"]


def test_an_engine_that_does_not_close_leaves_the_device_free(runtime: FakeRuntime) -> None:
    pool = Pool()
    pool.session(CASE, BACKEND, engine("a"))
    runtime.fails_closing = True
    with pytest.raises(RuntimeError, match="driver is gone"):
        pool.session(CASE, BACKEND, engine("b"))
    assert free()
    runtime.fails_closing = False
    pool.session(CASE, BACKEND, engine("b"))
    assert runtime.log == ["open a", "close a", "open b"]


def test_a_device_that_others_use_is_told_of_and_used_all_the_same(runtime: FakeRuntime) -> None:
    said: list[str] = []
    runtime.found = (Device("GPU-1", 3, busy="python3 (pid 12) uses it"),)
    Pool(said.append).session(CASE, BACKEND, engine("a"))
    assert said == ["fake, device 3: python3 (pid 12) uses it"]


def test_a_free_device_is_taken_before_one_in_use(runtime: FakeRuntime) -> None:
    runtime.found = (Device("GPU-1", 0, busy="x"), Device("GPU-2", 1, unhealthy="Alarm"), Device("GPU-3", 2))
    pool = Pool()
    pool.session(CASE, BACKEND, engine("a"))
    assert runtime.opened_on == pool.device == runtime.found[2]


def test_an_engine_with_other_inputs_is_refused_and_leaves_the_device_free(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Signature((Tensor("image", (4, 3, 64, 64), "float32"),), ())
    monkeypatch.setattr(FakeSession, "signature", wrong)
    with pytest.raises(SignatureError, match="expected input image float32 1 x 3 x 64 x 64; found image float32 4 x"):
        Pool().session(CASE, BACKEND, engine("a"))
    assert free()
    assert runtime.log == ["open a", "close a"]
