"""How a GPU is clocked: what holds it back is told, under load as well, and silence is no reason to fail."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fixtures.nvidia import clocks
from tests import fake_nvidia
from tests.fake_nvidia import Nvml

UNSUPPORTED, LOST = Nvml.NVMLError(3), Nvml.NVMLError(15)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Nvml]:
    """Return a function that gives this host GPUs."""

    def give(*gpus: dict[str, Any], **options: Any) -> Nvml:
        stand_in = Nvml(*gpus, **options)
        monkeypatch.setitem(sys.modules, "pynvml", stand_in)
        return stand_in

    return give


def seen(uuid: str = fake_nvidia.NAME) -> dict[str, Any]:
    with clocks.watching(uuid) as look:
        return look()


def test_tells_clocks_temperature_power_and_what_holds_them(host: Callable[..., Nvml]) -> None:
    stand_in = host({"CurrentClocksEventReasons": 4})
    with clocks.watching(fake_nvidia.NAME) as look:
        assert look() == {
            "sm_clock_mhz": 585,
            "memory_clock_mhz": 5000,
            "power_w": 27.5,
            "temperature_c": 41,
            "performance_state": "P0",
            "clocks_held_by": ["power cap"],
        }
        assert stand_in.open == 1, "one start for all looks"
    assert stand_in.open == 0


@pytest.mark.parametrize(
    ("bits", "slowed"),
    [
        (0, None),
        (1 | 2 | 4 | 16 | 256, None),
        (8, "hardware slowdown"),
        (4 | 32, "software thermal slowdown"),
        (64 | 128, "hardware thermal slowdown, power brake"),
    ],
)
def test_heat_and_hardware_slow_and_a_power_cap_does_not(
    bits: int, slowed: str | None, host: Callable[..., Nvml]
) -> None:
    host({"CurrentClocksEventReasons": bits})
    assert seen().get("slowed") == slowed


def test_watches_by_uuid_only(host: Callable[..., Nvml]) -> None:
    stand_in = host({"Temperature": {0: 30}}, {"UUID": "GPU-second", "Temperature": {0: 80}})
    assert seen("GPU-second")["temperature_c"] == 80
    assert seen("GPU-third") == {}
    assert stand_in.open == 0


def test_is_silent_where_nvml_is(host: Callable[..., Nvml]) -> None:
    host(driver=None)
    assert seen() == {}
    host({"CurrentClocksEventReasons": LOST})
    assert seen() == {}


def test_an_error_of_the_body_passes_through(host: Callable[..., Nvml]) -> None:
    stand_in = host(driver=None)
    with pytest.raises(ZeroDivisionError), clocks.watching(fake_nvidia.NAME):
        raise ZeroDivisionError
    host({})
    with pytest.raises(ZeroDivisionError), clocks.sampled(fake_nvidia.NAME):
        raise ZeroDivisionError
    assert stand_in.open == 0


def test_asks_an_older_driver_by_the_older_name(host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch) -> None:
    host({"CurrentClocksEventReasons": UNSUPPORTED, "CurrentClocksThrottleReasons": 4})
    assert seen()["clocks_held_by"] == ["power cap"]
    monkeypatch.delitem(fake_nvidia.T4, "CurrentClocksEventReasons")  # a package that has never heard of the newer one
    host({"CurrentClocksThrottleReasons": 64})
    assert seen()["slowed"] == "hardware thermal slowdown"


@given(some.integers(0, 2**64 - 1))
def test_every_reason_that_is_set_is_told_once(bits: int) -> None:
    assert len(set(clocks.decoded(bits))) == len(clocks.decoded(bits)) == bits.bit_count()


def test_samples_at_least_once_and_ends_its_thread(host: Callable[..., Nvml]) -> None:
    stand_in = host({})
    with clocks.sampled(fake_nvidia.NAME) as states:
        pass
    assert [state["sm_clock_mhz"] for state in states[:1]] == [585]
    assert stand_in.open == 0


def test_samples_until_the_work_has_ended(host: Callable[..., Nvml], monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in lets the work end at its third answer: nothing here waits for a clock."""
    open_then: list[int] = []
    third, temperatures = threading.Event(), iter(range(40, 10_000))

    class Rising(dict[int, int]):
        def __getitem__(self, _: int) -> int:
            open_then.append(stand_in.open)
            now = next(temperatures)
            if now == 42:
                third.set()
            return now

    monkeypatch.setattr(clocks, "EVERY_SECONDS", 0.0)
    stand_in = host({"Temperature": Rising()})
    with clocks.sampled(fake_nvidia.NAME) as states:
        assert third.wait(60)
    assert not [thread for thread in threading.enumerate() if thread.name == "clocks"]
    assert set(open_then) == {1}, "it was asked after it was let go"
    assert [state["temperature_c"] for state in states[:3]] == [40, 41, 42]
    assert clocks.summary(states)["lowest"]["temperature_c"] == 40


def test_samples_nothing_without_a_gpu(host: Callable[..., Nvml]) -> None:
    host({})
    with clocks.sampled("") as states:
        pass
    host(driver=None)
    with clocks.sampled(fake_nvidia.NAME) as more:
        pass
    assert (states, more, clocks.summary(states)) == ([], [], {})


def states() -> Iterator[dict[str, Any]]:
    yield {"sm_clock_mhz": 300, "temperature_c": 40, "clocks_held_by": ["idle"]}
    yield {"sm_clock_mhz": 1590, "temperature_c": 50, "power_w": 70.1, "clocks_held_by": []}
    yield {"sm_clock_mhz": 900, "temperature_c": 88, "clocks_held_by": ["power cap", "brake"], "slowed": "brake"}
    yield {"sm_clock_mhz": 1200, "temperature_c": 70, "clocks_held_by": ["power cap"]}


def test_sums_up_first_last_extremes_under_load_and_all_reasons() -> None:
    told = clocks.summary(list(states()))
    assert told == {
        "samples": 4,
        "first": next(states()),
        "last": {"sm_clock_mhz": 1200, "temperature_c": 70, "clocks_held_by": ["power cap"]},
        "lowest": {"sm_clock_mhz": 900, "power_w": 70.1, "temperature_c": 50},
        "highest": {"sm_clock_mhz": 1590, "power_w": 70.1, "temperature_c": 88},
        "clocks_held_by": ["idle", "power cap", "brake"],
        "slowed": "brake",
    }
    assert json.loads(json.dumps(told)) == told
    idle = clocks.summary(list(states())[:1])
    assert (idle["lowest"]["sm_clock_mhz"], "slowed" in idle) == (300, False)
