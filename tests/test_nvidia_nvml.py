"""GPUs as the driver tells of them: who they are, who uses them, what slows them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.device import Device
from fixtures.nvidia import driver, nvml, visible
from fixtures.nvidia.driver import NvmlError
from fixtures.nvidia.visible import VisibleError
from tests import fake_nvidia
from tests.fake_nvidia import Nvml

UNSUPPORTED, LOST = Nvml.NVMLError(3), Nvml.NVMLError(15)
H100 = {"UUID": "GPU-other", "Name": "NVIDIA H100", "CudaComputeCapability": (9, 0)}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Nvml]]:
    """Return a function that gives this host GPUs; it is no container."""
    monkeypatch.setattr(nvml, "CONTAINERS", ())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    nvml._inventory.cache_clear()

    def give(*gpus: dict[str, Any], **options: Any) -> Nvml:
        stand_in = Nvml(*gpus, **options)
        monkeypatch.setitem(sys.modules, "pynvml", stand_in)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
        return stand_in

    yield give
    nvml._inventory.cache_clear()


def only(capability: str = "7.5") -> Device:
    (device,) = nvml.devices(capability)
    return device


def process(pid: int, memory: int | None = 512_000_000) -> Any:
    return SimpleNamespace(pid=pid, usedGpuMemory=memory)


def used(percent: int) -> dict[str, Any]:
    return {"UtilizationRates": SimpleNamespace(gpu=percent, memory=0)}


def test_describes_an_idle_gpu(host: Callable[..., Nvml]) -> None:
    stand_in = host({})
    device = only()
    assert (device.id, device.index, device.name) == (fake_nvidia.NAME, 0, "Tesla T4")
    assert (device.utilisation, device.memory_used_mb, device.memory_total_mb) == (0.0, 3.0, 16_000.0)
    assert (device.processes, device.busy, device.unknown, device.unhealthy) == ((), "", "", "")
    assert device.facts == {
        "driver": "580.65.06",
        "compute_capability": "7.5",
        "sm_clock_mhz": 585,
        "sm_clock_max_mhz": 1590,
        "memory_clock_mhz": 5000,
        "memory_clock_max_mhz": 5001,
        "temperature_c": 41,
        "power_w": 27.5,
        "power_limit_w": 70.0,
        "performance_state": "P0",
        "persistence": True,
        "compute_mode": 0,
        "ecc": True,
        "pcie": "gen 3 x16",
        "clocks_held_by": ["idle"],
    }
    assert stand_in.open == 0, "the driver was not let go"


def test_keeps_the_gpus_that_the_backend_is_for(host: Callable[..., Nvml]) -> None:
    host(H100, {}, {"UUID": "GPU-second"})
    assert [(device.id, device.index) for device in nvml.devices("7.5")] == [(fake_nvidia.NAME, 1), ("GPU-second", 2)]
    assert only("9.0").name == "NVIDIA H100"
    assert nvml.missing("7.5") is None
    missing = nvml.missing("8.6")
    assert missing is not None
    assert missing.reason.startswith("no GPU of compute capability 8.6 here; found NVIDIA H100 (9.0), Tesla T4 (7.5)")


def test_says_what_is_missing_step_by_step(host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch) -> None:
    host(driver=None)
    missing = nvml.missing("7.5")
    assert missing is not None
    assert missing.reason == "the NVIDIA driver does not answer: NVML error 12"
    with pytest.raises(NvmlError, match="does not answer"):
        nvml.devices("7.5")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = nvml.missing("7.5")
    assert missing is not None
    assert (missing.reason, missing.next_step) == ("nvidia-ml-py is not installed", "pip install -e '.[tensorrt]'")


def test_names_who_uses_it_without_arguments_of_the_command(host: Callable[..., Nvml]) -> None:
    host({"ComputeRunningProcesses": [process(77), process(78, None), process(os.getpid())]})
    device = only()
    assert device.processes == ("python3 (pid 77, 512 MB)", "python3 (pid 78)")
    assert device.busy == "python3 (pid 77, 512 MB), python3 (pid 78)"


def test_its_own_process_is_no_other(host: Callable[..., Nvml]) -> None:
    memory = SimpleNamespace(used=700_000_000, total=16_000_000_000)
    host({"ComputeRunningProcesses": [process(os.getpid())], "MemoryInfo": memory})
    device = only()
    assert (device.processes, device.busy, device.unknown) == ((), "", "")


@pytest.mark.parametrize(
    ("gpu", "busy"),
    [
        (used(2), ""),
        (used(3), "3 % used, by whom it does not show"),
        ({"MemoryInfo": SimpleNamespace(used=600_000_000, total=1)}, "600 MB taken, by whom it does not show"),
        ({**used(45), "ComputeRunningProcesses": [process(7)]}, "python3 (pid 7, 512 MB), 45 % used"),
        ({**used(45), "ComputeRunningProcesses": UNSUPPORTED}, "45 % used, by whom it does not show"),
    ],
)
def test_is_busy_by_its_load_as_well(gpu: dict[str, Any], busy: str, host: Callable[..., Nvml]) -> None:
    host(gpu)
    assert only().busy == busy


@pytest.mark.parametrize(
    ("gpu", "unknown"),
    [
        ({"ComputeRunningProcesses": UNSUPPORTED}, "its processes cannot be read"),
        ({"UtilizationRates": UNSUPPORTED}, "its utilisation cannot be read"),
    ],
)
def test_what_cannot_be_read_is_unknown_not_idle(gpu: dict[str, Any], unknown: str, host: Callable[..., Nvml]) -> None:
    host(gpu)
    device = only()
    assert (device.busy, device.unknown) == ("", unknown)


@pytest.mark.parametrize(
    ("gpu", "busy", "unknown"),
    [
        ({}, "", "inside a container the driver may not show who else uses it"),
        # Numbers of processes are the host's there: this one may be our own.
        ({"ComputeRunningProcesses": [process(7)]}, "", "inside a container the driver may not show who else uses it"),
        ({**used(45), "ComputeRunningProcesses": [process(7)]}, "python3 (pid 7, 512 MB), 45 % used", ""),
        (used(45), "45 % used, by whom it does not show", ""),
    ],
)
def test_a_container_is_told_by_load_only(
    gpu: dict[str, Any],
    busy: str,
    unknown: str,
    host: Callable[..., Nvml],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host(gpu)
    monkeypatch.setattr(nvml, "CONTAINERS", (tmp_path,))
    device = only()
    assert (device.busy, device.unknown) == (busy, unknown)


@pytest.mark.parametrize(
    ("bits", "unhealthy"),
    [
        (4, ""),
        (8, "slowed by hardware slowdown"),
        (4 | 32, "slowed by software thermal slowdown"),
        (64 | 128, "slowed by hardware thermal slowdown, power brake"),
    ],
)
def test_a_gpu_that_is_slowed_is_not_measured(bits: int, unhealthy: str, host: Callable[..., Nvml]) -> None:
    host({"CurrentClocksEventReasons": bits})
    device = only()
    assert device.unhealthy == unhealthy


@pytest.mark.parametrize("asked", sorted(set(fake_nvidia.T4) - {"UUID", "Name", "CudaComputeCapability"}))
def test_what_the_driver_does_not_tell_is_left_out(asked: str, host: Callable[..., Nvml]) -> None:
    host({asked: UNSUPPORTED})
    device = only()
    assert device.id == fake_nvidia.NAME
    assert None not in device.facts.values()


def test_a_gpu_that_was_lost_is_unhealthy_and_the_others_are_told(host: Callable[..., Nvml]) -> None:
    host({"ClockInfo": LOST}, {"UUID": "GPU-second"})
    lost, sound = nvml.devices("7.5")
    assert lost.unhealthy == "the driver has lost it: NVML error 15"
    assert (sound.id, sound.unhealthy) == ("GPU-second", "")


def test_a_gpu_without_a_handle_is_lost_and_the_others_are_found(
    host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = host({}, {"UUID": "GPU-second"})

    def handle(index: int) -> Any:
        if index == 0:
            raise LOST
        return stand_in.gpus[index]

    monkeypatch.setattr(stand_in, "nvmlDeviceGetHandleByIndex", handle)
    lost, sound = nvml.devices("7.5")
    assert (lost.id, lost.unhealthy) == ("GPU 0", "the driver has lost it: it has no handle")
    assert sound.id == "GPU-second"
    assert nvml.missing("7.5") is None, "one lost GPU is no reason to do without the other"


def test_an_error_of_a_question_is_not_called_silence(
    host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = host({"UUID": UNSUPPORTED})
    with pytest.raises(NvmlError, match=r"^the NVIDIA driver answers with an error: NVML error 3$"):
        nvml.devices("7.5")
    assert stand_in.open == 0


@pytest.mark.parametrize(
    ("said", "order", "left"),
    [
        (None, None, [0, 1, 2]),
        ("GPU-second", None, [1]),
        ("GPU-third,GPU-second", None, [1, 2]),
        ("GPU-se", None, [1]),
        ("GPU-second,GPU-gone,GPU-third", None, [1]),
        ("GPU-", None, []),
        ("", None, []),
        ("-1", None, []),
        ("NoDevFiles", None, []),
        ("MIG-GPU-second/1/0", None, []),
        ("2,0", "PCI_BUS_ID", [0, 2]),
        ("1,-1,0", "PCI_BUS_ID", [1]),
        ("0,3,1", "PCI_BUS_ID", [0]),
    ],
)
def test_offers_only_what_cuda_visible_devices_leaves(
    said: str | None, order: str | None, left: list[int], host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    host({}, {"UUID": "GPU-second"}, {"UUID": "GPU-third"})
    for name, value in (("CUDA_VISIBLE_DEVICES", said), ("CUDA_DEVICE_ORDER", order)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert [device.index for device in nvml.devices("7.5")] == left
    missing = nvml.missing("7.5")
    assert (missing is None) == bool(left)
    if missing:
        assert f"found none (CUDA_VISIBLE_DEVICES={said} may hide others)" in missing.reason


def test_a_number_means_one_gpu_only_where_there_is_one(
    host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    host({})
    assert only().index == 0
    host({}, {"UUID": "GPU-second"})
    nvml._inventory.cache_clear()
    with pytest.raises(VisibleError, match=r"expected UUIDs, because CUDA counts the 2 GPUs .* by speed"):
        nvml.devices("7.5")
    missing = nvml.missing("7.5")
    assert missing is not None
    assert "expected UUIDs" in missing.reason


def test_a_lost_gpu_is_not_offered_where_others_are_named(
    host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-second")
    host({"UUID": LOST}, {"UUID": "GPU-second"})
    assert [device.index for device in nvml.devices("7.5")] == [1]


def test_a_child_is_never_told_of_a_gpu_without_a_uuid() -> None:
    assert visible.only("GPU-second") == {"CUDA_VISIBLE_DEVICES": "GPU-second"}
    with pytest.raises(VisibleError, match="found GPU 0, which the driver has lost"):
        visible.only("GPU 0")


def test_reads_the_bytes_of_older_packages(host: Callable[..., Nvml]) -> None:
    host({"Name": b"Tesla T4"}, driver=b"470.57")
    assert (only().name, driver.version()) == ("Tesla T4", "470.57")


def test_the_real_package_has_every_call_and_says_why_there_is_no_gpu() -> None:
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: .[tensorrt]")
    for name in fake_nvidia.T4:
        assert callable(getattr(pynvml, f"nvmlDeviceGet{name}"))
    assert (pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM, pynvml.NVML_TEMPERATURE_GPU) == (1, 2, 0)
    assert (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED) == (15, 16)
    nvml._inventory.cache_clear()
    missing = nvml.missing("0.0")
    assert missing is not None
    assert "GPU of compute capability 0.0" in missing.reason or "driver does not answer" in missing.reason
