"""The NPUs of a host from a stand-in for npu-smi: which fit, who uses them, and what is not told."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.ascend import devices, environment
from fixtures.ascend.npu_smi import Chip, Process, Table, Usage
from fixtures.backend import Backend
from fixtures.errors import SetupError
from fixtures.runtime import Missing

ASCEND310 = Backend("ascend310", "ascend", "fp16", options={"soc_version": "Ascend310"}, devices_per_card=4)
ASCEND310P = Backend("ascend310p", "ascend", "fp16", options={"soc_version": "Ascend310P3"})
ASCEND910 = Backend("ascend910", "ascend", "fp16", options={"soc_version": "Ascend910B3"})

TITLES = """\
| npu-smi 23.0.0                       Version: 23.0.0                         |
| NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
"""
PROCESSES = """\
| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |
"""
TITLES_910 = """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
"""


def chip(npu, number, device, name="310P3", bus=None, health="OK", aicore=0, memory="1074 / 21534"):
    bus = bus or f"0000:{0x80 + device:02X}:00.0"
    return (
        f"| {npu}  {name} | {health} | 15.8  42  0 / 0 |\n| {number} {device} | {bus} | {aicore}   {memory} |\n+---+\n"
    )


def nobody(npu):
    return f"| No running processes found in NPU {npu}      |\n"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Return a function that puts an npu-smi on the PATH of a CANN environment; it answers by its arguments."""
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(tmp_path / "set_env.sh"))
    monkeypatch.delenv("SIGNOFF_DEVICE", raising=False)
    monkeypatch.delenv(environment.VISIBLE, raising=False)
    monkeypatch.setattr(devices, "PLACES", (tmp_path / "sbin" / "npu-smi",))
    monkeypatch.setattr(devices, "NODES", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    for name in ("davinci0", "davinci_manager", "devmm_svm", "hisi_hdc"):
        (tmp_path / "dev" / name).touch()
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "set_env.sh").write_text(f'export PATH="{folder}:$PATH"\n')

    def install(table=None, mapping="exit 1", common="exit 1", script=None, place=folder / "npu-smi"):
        place.parent.mkdir(exist_ok=True)
        for name, text in {"info": table, "-m": mapping, "common": common}.items():
            (tmp_path / name).write_text(text or "")
        body = script or (
            f'case "$*" in\n  "info") cat "{tmp_path}/info";;\n  "info -m") . "{tmp_path}/-m";;\n'
            f'  "info -t common -i "*) . "{tmp_path}/common";;\n  *) exit 3;;\nesac\n'
        )
        place.write_text(f"#!/bin/sh\n{body}")
        place.chmod(0o755)

    return install


def said(text):
    return f"cat <<'END'\n{text}END\n"


def test_finds_the_chips_of_its_soc_in_the_order_of_their_index(host):
    table = TITLES + chip(24, 0, 1) + chip(8, 0, 0) + chip(96, 0, 2, name="310P1") + PROCESSES + nobody(24) + nobody(8)
    host(table)
    first, second = devices.devices(ASCEND310P)
    assert (first.id, first.index, first.name, first.card, first.health) == ("0000:80:00.0", 0, "310P3", "8", "OK")
    assert (second.index, second.card) == (1, "24")
    assert (first.utilisation, first.memory_used_mb, first.memory_total_mb, first.processes) == (0, 1074, 21534, ())
    assert (first.unhealthy, first.busy, first.unknown) == ("", "", "")
    assert first.facts == {"npu_smi": "23.0.0", "chip": 0, "power_w": 15.8, "celsius": 42}
    assert {"index": 0, "celsius": 42}.items() <= first.as_dict().items()


def test_another_soc_gives_none_and_its_names_are_at_hand(host):
    host(TITLES + chip(0, 0, 0, name="310P1"))
    assert devices.devices(ASCEND310P) == ()
    assert devices.missing(ASCEND310P) == Missing(
        "expected a device of Ascend310P3; npu-smi shows 310P1", "name the backend of that device"
    )
    host(TITLES + chip(0, 0, 0, name="310P3"))
    assert devices.missing(ASCEND310P) is None


def test_four_chips_of_a_card_share_it(host):
    host(TITLES + "".join(chip(2048, each, each, name="310", memory="2621 / 8192") for each in range(4)))
    found = devices.devices(ASCEND310)
    assert [device.index for device in found] == [0, 1, 2, 3]
    assert {device.card for device in found} == {"2048"}


def test_two_chips_behind_one_address_have_an_id_each(host):
    host(TITLES + chip(32, 0, 0, bus="0000:01:00.0") + chip(32, 1, 1, bus="0000:01:00.0"))
    assert [device.id for device in devices.devices(ASCEND310P)] == ["npu-32-0", "npu-32-1"]


def test_without_a_device_column_the_mapping_counts(host):
    table = TITLES_910 + "".join(
        f"| {npu} 910B3 | OK | 95.4 37 0 / 0 |\n| 0 | 0000:4{npu}:00.0 | 0 0 / 0 3400 / 65536 |\n" for npu in (1, 2)
    )
    host(table, mapping=said("NPU ID Chip ID Chip Logic ID Chip Name\n1 0 5 Ascend 910B3\n2 0 4 Ascend 910B3\n"))
    assert [(device.index, device.card) for device in devices.devices(ASCEND910)] == [(4, "2"), (5, "1")]
    host(table)
    assert [(device.index, device.card) for device in devices.devices(ASCEND910)] == [(0, "1"), (1, "2")]


def test_a_chip_without_an_index_is_left_out(host):
    host(TITLES + chip(0, 0, 0) + chip(1, 0, 1).replace("| 0 1 |", "| 0 - |"))
    assert [device.index for device in devices.devices(ASCEND310P)] == [0]


def test_clocks_are_kept_where_they_are_told(host):
    common = "NPU ID : 8\nChip Count : 1\n\nChip ID : 0\nAicore Freq(MHZ) : 1080\nAicore curFreq(MHZ) : 960\n"
    host(TITLES + chip(8, 0, 0), common=said(common))
    facts = devices.devices(ASCEND310P)[0].facts
    assert (facts["aicore_mhz"], facts["aicore_rated_mhz"]) == (960, 1080)


def test_looks_where_the_driver_puts_it(host, tmp_path):
    host(TITLES + chip(0, 0, 0), place=tmp_path / "sbin" / "npu-smi")
    assert devices.devices(ASCEND310P)[0].name == "310P3"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'dcmi module initialize failed. ret is -8005'; exit 1", "ret is -8005"),
        ("echo 'dcmi model initialized failed'", "dcmi model initialized failed"),
        ("exit 0", "found nothing"),
        ("kill -9 $$", "SIGKILL"),
        ("head -c 3000000 /dev/zero | tr '\\0' x", "expected a table"),
    ],
)
def test_an_npu_smi_that_fails_leaves_a_device_of_which_nothing_is_known(host, script, reason):
    host(script=script)
    (device,) = devices.devices(ASCEND310P)
    assert (device.id, device.index, device.busy, device.unhealthy) == ("npu-0", 0, "", "")
    assert reason in device.unknown
    assert len(device.unknown) < 700


def test_an_npu_smi_that_hangs_is_given_up(host, monkeypatch):
    host(script="exec sleep 1000")
    monkeypatch.setattr(devices, "TIMEOUT_SECONDS", 0.01)
    assert "still running" in devices.devices(ASCEND310P)[0].unknown


@pytest.mark.parametrize("damage", ["absent", "not executable", "a folder", "no program"])
def test_an_npu_smi_that_cannot_be_started_leaves_the_device_asked_for(host, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("SIGNOFF_DEVICE", "3,card")
    host(TITLES + chip(0, 0, 0))
    place = tmp_path / "bin" / "npu-smi"
    if damage == "not executable":
        place.chmod(0o644)
    else:
        place.unlink()
    if damage == "a folder":
        place.mkdir()
    if damage == "no program":
        place.write_bytes(b"\x7fELF nonsense")
        place.chmod(0o755)
    (device,) = devices.devices(ASCEND310P)
    assert (device.id, device.index) == ("npu-3", 3)
    assert "npu-smi" in device.unknown


@pytest.mark.parametrize("there", ["absent", "no driver"])
def test_cann_without_an_npu_is_no_device_and_says_so(host, tmp_path, there):
    (tmp_path / "dev" / "davinci0").unlink()
    if there == "no driver":
        host(script="echo 'dcmi module initialize failed. ret is -8005'; exit 1")
    for backend in (ASCEND310, ASCEND310P, ASCEND910):
        assert devices.devices(backend) == ()
        found = devices.missing(backend)
        assert found is not None
        assert found.reason.startswith(f"no NPU here: no {tmp_path}/dev/davinci*, and npu-smi")
        assert "host with an NPU" in found.next_step


def test_a_stand_in_needs_no_device_node(monkeypatch, tmp_path):
    emulated = replace(ASCEND310, name="ascend310~emulated")
    monkeypatch.setattr(devices, "NODES", tmp_path)
    scenario = tmp_path / "scenario.json"
    scenario.write_text('{"state": "driver_error"}')
    monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(scenario))
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIGNOFF_DEVICE", raising=False)
    (device,) = devices.devices(emulated)
    assert "ret is -8005" in device.unknown


# A scheduler's list.


@pytest.mark.parametrize("where", ["ours", "the script's"])
def test_only_listed_devices_are_offered_by_their_place_in_the_list(host, tmp_path, monkeypatch, where):
    host(TITLES + "".join(chip(npu, 0, npu) for npu in range(4)))
    if where == "ours":
        monkeypatch.setenv(environment.VISIBLE, "3, 1")
    else:
        with (tmp_path / "set_env.sh").open("a") as script:
            script.write(f"export {environment.VISIBLE}='3, 1'\n")
    found = devices.devices(ASCEND310P)
    assert [(device.index, device.facts["device_id"], device.id) for device in found] == [
        (0, 3, "0000:83:00.0"),
        (1, 1, "0000:81:00.0"),
    ]
    assert environment.environment(ASCEND310P)[environment.VISIBLE] == "3, 1"


def test_our_own_list_comes_before_the_scripts(host, tmp_path, monkeypatch):
    host(TITLES + chip(0, 0, 0) + chip(1, 0, 1))
    with (tmp_path / "set_env.sh").open("a") as script:
        script.write(f"export {environment.VISIBLE}=0\n")
    monkeypatch.setenv(environment.VISIBLE, "1")
    assert [device.facts["device_id"] for device in devices.devices(ASCEND310P)] == [1]
    monkeypatch.delenv(environment.VISIBLE)
    assert [device.facts["device_id"] for device in devices.devices(ASCEND310P)] == [0]


def test_a_list_counts_where_npu_smi_tells_nothing_too(host, monkeypatch):
    host(script="exit 1")
    monkeypatch.setenv(environment.VISIBLE, "5,2")
    monkeypatch.setenv("SIGNOFF_DEVICE", "1,2")
    (device,) = devices.devices(ASCEND310P)
    assert (device.index, device.id) == (1, "npu-2")


def test_a_list_without_a_device_of_the_soc_is_told(host, monkeypatch):
    host(TITLES + chip(0, 0, 0, name="310P3") + chip(1, 0, 1, name="310P1"))
    monkeypatch.setenv(environment.VISIBLE, "1")
    found = devices.missing(ASCEND310P)
    assert found is not None
    assert "Ascend310P3 among those of ASCEND_RT_VISIBLE_DEVICES; npu-smi shows 310P1" in found.reason


@pytest.mark.parametrize("said", ["", "a", "0-3", "0,,1", "-1", "0 1", "1,1", "0,", "0.5", "\u0663"])
def test_what_is_no_list_is_refused(host, monkeypatch, said):
    host(TITLES + chip(0, 0, 0))
    monkeypatch.setenv(environment.VISIBLE, said)
    with pytest.raises(SetupError, match=r"ASCEND_RT_VISIBLE_DEVICES: expected .*; found .*; mend it, or unset it"):
        devices.devices(ASCEND310P)
    found = devices.missing(ASCEND310P)
    assert found is not None
    assert found.next_step == "mend it, or unset it"


@given(st.lists(st.integers(0, 9), unique=True, min_size=1), st.lists(st.integers(0, 9), unique=True))
def test_a_listed_device_is_where_acl_counts_it(ids, there):
    chips = tuple(with_(npu=number, device=number, bus=f"0000:8{number}:00.0") for number in there)
    found = devices.described(Table("1", chips, True), {}, set(), ids)
    assert {device.facts["device_id"] for device in found} == set(ids) & set(there)
    assert all(ids[device.index] == device.facts["device_id"] for device in found)


def test_no_environment_is_an_error_of_its_own(host, tmp_path):
    (tmp_path / "set_env.sh").unlink()
    with pytest.raises(SetupError, match="--ascend-env"):
        devices.devices(ASCEND310P)


def test_an_environment_that_hangs_is_not_taken_for_an_npu_smi_that_does(host, tmp_path, monkeypatch):
    (tmp_path / "set_env.sh").write_text("sleep 1000\n")
    monkeypatch.setattr(environment, "SOURCE_SECONDS", 0.01)
    with pytest.raises(SetupError, match="still running"):
        devices.devices(ASCEND310P)


def test_no_more_is_read_than_a_table_can_be(host, monkeypatch):
    first = TITLES + chip(0, 0, 0)
    monkeypatch.setattr(devices, "MOST_CHARACTERS", len(first))
    host(first + chip(1, 0, 1))
    assert [device.index for device in devices.devices(ASCEND310P)] == [0]


IDLE = Chip(0, 0, "310P3", "OK", "0000:82:00.0", 0, 15.8, 42, 0, Usage(1074, 21534))


def table(*processes, told=frozenset({0}), unread=()):
    return Table("23.0.0", (IDLE,), True, processes, told, unread)


def with_(**values):
    return Chip(**{**vars(IDLE), **values})


def test_a_healthy_chip_that_nobody_uses_is_idle():
    assert devices.judge(IDLE, table(), {1}) == devices.State()


@pytest.mark.parametrize("health", ["Warning", "Alarm", "Critical", "UNKNOWN", ""])
def test_a_chip_that_is_not_ok_is_unhealthy(health):
    assert health in devices.judge(with_(health=health), table(), set()).unhealthy
    assert devices.judge(with_(health=health), table(), set()).unhealthy


def test_a_foreign_process_is_named():
    state = devices.judge(IDLE, table(Process(0, 0, 123, "python3", 512), Process(0, None, 7)), {1})
    assert state.busy == "python3 (pid 123, 512 MB); a process (pid 7)"


def test_a_process_of_another_chip_or_npu_is_not_held_against_it():
    assert not devices.judge(IDLE, table(Process(0, 1, 123), Process(1, 0, 124)), set()).busy


def test_our_own_process_is_not_held_against_the_chip():
    loaded = with_(memory=Usage(9000, 21534), aicore_percent=97)
    assert not devices.judge(loaded, table(Process(0, 0, 5, "python3", 7900)), {5}).busy
    assert "pid 6" in devices.judge(loaded, table(Process(0, 0, 5, "python3", 7900), Process(0, 0, 6)), {5}).busy
    assert "MB of its memory" in devices.judge(loaded, table(Process(0, 0, 5, "python3", 100)), {5}).busy


def test_a_working_chip_is_busy_whoever_works_there():
    assert devices.judge(with_(aicore_percent=3), table(), set()).busy == "AICore at 3 %"


@pytest.mark.parametrize(
    ("name", "used", "busy"),
    [("310P3", 1100, False), ("310P3", 1839, False), ("310P3", 2125, True), ("310", 2700, False), ("310", 3725, True)],
)
def test_memory_far_above_the_idle_base_line_is_somebodys(name, used, busy):
    state = devices.judge(with_(name=name, memory=Usage(used, 21534)), table(), set())
    assert bool(state.busy) is busy
    assert not busy or "1024 MB more are allowed" in state.busy


def test_no_base_line_is_made_up_for_other_chips():
    assert not devices.judge(with_(name="910B3", memory=Usage(60000, 65536)), table(), set()).busy


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (table(told=None), "this npu-smi shows no processes"),
        (table(told=frozenset({1})), "says nothing of processes on NPU 0"),
        (table(unread=("| odd |",)), "could not be read: '| odd |'"),
    ],
)
def test_what_is_not_told_is_unknown_and_neither_idle_nor_busy(seen, why):
    state = devices.judge(IDLE, seen, set())
    assert why in state.unknown
    assert not state.busy


def test_use_of_the_chip_that_is_not_told_is_unknown():
    assert "AICore" in devices.judge(with_(aicore_percent=None), table(), set()).unknown


@given(
    st.builds(
        Chip,
        npu=st.integers(0, 3),
        chip=st.integers(0, 3),
        name=st.sampled_from(["310", "310P3", "910B3"]),
        health=st.sampled_from(["OK", "Alarm"]),
        bus=st.just("0000:82:00.0"),
        aicore_percent=st.none() | st.floats(0, 100),
        memory=st.none() | st.builds(Usage, st.floats(0, 9000), st.just(9000.0)),
    ),
    st.lists(st.builds(Process, st.integers(0, 3), st.none() | st.integers(0, 3), st.integers(0, 5))),
    st.none() | st.frozensets(st.integers(0, 3)),
    st.frozensets(st.integers(0, 5)),
)
def test_nobodys_chip_passes_only_where_everything_is_told(chip, processes, told, own):
    seen = Table("1", (chip,), processes=tuple(processes), told=told)
    if devices.judge(chip, seen, own) == devices.State():
        assert chip.health == "OK"
        assert told is not None
        assert chip.npu in told
        there = [row for row in processes if row.npu == chip.npu and row.chip in (None, chip.chip)]
        assert all(row.pid in own for row in there)
        assert chip.aicore_percent == 0 or there


def test_knows_its_children_and_theirs_and_nobody_else():
    script = "import subprocess, sys; subprocess.run(['sh', '-c', 'echo $$; read line; exit'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        grandchild = int(child.stdout.readline())
        own = devices.own_processes()
        child.stdin.close()
    assert {os.getpid(), child.pid, grandchild} <= own
    assert os.getppid() not in own


def test_a_child_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "PROC", tmp_path)
    for pid, stat in {"77": f"77 (odd) S 1 (x) S {os.getpid()} 77", "78": "78 (dead", "79": "79 (z) S 77 1"}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(stat)
    assert devices.own_processes() == {os.getpid(), 77, 79}


def test_what_npu_smi_writes_stays_in_a_folder_of_its_own(host, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    host(script="touch left; exit 1")
    devices.devices(ASCEND310P)
    assert list(Path.cwd().iterdir()) == []
