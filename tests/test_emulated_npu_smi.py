"""The stand-in for npu-smi: tables of each card and release, sub-commands, states."""

from __future__ import annotations

import re

import pytest

from tests import standins
from tests.standins import Tool

CARD = re.compile(r"^\|\s*(\d+)\s+(310\S*|910\S*)\s+\|\s*(\w+)\s*\|\s*([\d.]+|NA)\s+(\d+)\s+(.*)\|$")
CHIP = re.compile(
    r"^\|\s*(\d+)\s+(\d*)\s*\|\s*([0-9A-F:.]+)\s*\|\s*(\d+)\s+(\d+)\s*/\s*(\d+)\s*(?:(\d+)\s*/\s*(\d+))?\s*\|$"
)
PROCESS = re.compile(r"^\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s*\|\s*(\S*)\s*\|\s*(\d+)\s*\|$")
DUO = {"soc": "Ascend310P3", "chips_per_card": 2}


@pytest.fixture
def smi(tmp_path, monkeypatch, capsys) -> Tool:
    return Tool("emulated_npu_smi", tmp_path, monkeypatch, capsys)


def chips(lines: list[str]) -> list[tuple[re.Match[str], re.Match[str]]]:
    """Return each pair of lines of the table of chips."""
    end = next((index for index, line in enumerate(lines) if "Process id" in line), len(lines))
    cards = [match for line in lines[:end] if (match := CARD.match(line))]
    found = [match for line in lines[:end] if (match := CHIP.match(line))]
    return list(zip(cards, found, strict=True))


def test_a_310_card_is_four_chips_of_one_npu(smi):
    found = chips(smi("info").lines)
    assert [(card[1], card[2], card[3]) for card, _ in found] == [("2048", "310", "OK")] * 4
    assert [(chip[1], chip[2], chip[5], chip[6]) for _, chip in found] == [
        (str(index), str(index), "2621", "8192") for index in range(4)
    ]
    assert len({chip[3] for _, chip in found}) == 4


def test_a_310p_has_one_chip_with_hugepages(smi):
    smi.scenario(soc="Ascend310P3", cards=2)
    lines = smi("info").lines
    assert any("Hugepages-Usage(page)" in line for line in lines)
    found = chips(lines)
    assert [(card[1], card[2], chip[1], chip[2]) for card, chip in found] == [
        ("24", "310P3", "0", "0"),
        ("32", "310P3", "0", "1"),
    ]
    assert found[0][1].group(5, 6) == ("1074", "21534")
    assert re.fullmatch(r"\d+\s*/ \d+\s*", found[0][0][6])


def test_a_duo_has_two_chips_and_no_power(smi):
    smi.scenario(**DUO)
    found = chips(smi("info").lines)
    assert [(card[1], card[4], chip[1], chip[2], chip[6]) for card, chip in found] == [
        ("6", "NA", "0", "0", "44280"),
        ("6", "NA", "1", "1", "43693"),
    ]


def test_a_910_has_no_column_of_devices_and_other_memory(smi):
    smi.scenario(soc="Ascend910B4", cards=2)
    lines = smi("info").lines
    assert any("HBM-Usage(MB)" in line for line in lines)
    found = chips(lines)
    assert [(card[1], card[2], chip[1], chip[2], chip[8]) for card, chip in found] == [
        ("4", "910B4", "0", "", "32768"),
        ("5", "910B4", "0", "", "32768"),
    ]


@pytest.mark.parametrize("cann", ["5.0.2", "5.1.0", "6.0.1", "7.0.0", "8.0.0"])
@pytest.mark.parametrize("host", [{"soc": "Ascend310"}, {"soc": "Ascend310P3"}, DUO])
def test_each_release_draws_a_whole_table(smi, cann, host):
    smi.scenario(cann=cann, **host)
    lines = smi("info").lines
    assert len({len(line) for line in lines}) == 1
    assert re.match(r"\| npu-smi ([\d.]+)\s+Version: \1\s+\|", lines[1])
    assert len(chips(lines)) == (4 if host["soc"] == "Ascend310" else host.get("chips_per_card", 1))
    assert any("Hugepages" in line for line in lines) is (cann != "5.0.2")
    assert any("Process id" in line for line in lines) is (cann > "6")
    assert any("-|-" in line for line in lines) is (cann == "5.1.0")


def test_busy_shows_in_the_cores_of_the_first_device_only(smi):
    smi.scenario(state="busy")
    assert [chip[4] != "0" for _, chip in chips(smi("info").lines)] == [True, False, False, False]
    first = smi("info", "-t", "usages", "-i", "2048", "-c", "0").output
    assert re.search(r"Aicore Usage Rate\(%\)\s+: 87", first)


@pytest.mark.parametrize(("state", "word"), [("warning", "Warning"), ("alarm", "Alarm")])
def test_ill_health_shows(smi, state, word):
    smi.scenario(soc="Ascend310P3", state=state)
    assert chips(smi("info").lines)[0][0][3] == word
    assert re.search(rf"Health Status\s+: {word}", smi("info", "-t", "health", "-i", "24").output)


def test_full_memory_shows(smi):
    for host in ({"soc": "Ascend310P3"}, {"soc": "Ascend310"}):
        smi.scenario(state="memory", **host)
        chip = chips(smi("info").lines)[0][1]
        assert int(chip[5]) > 0.95 * int(chip[6])
    smi.scenario(state="memory", soc="Ascend910B4")
    chip = chips(smi("info").lines)[0][1]
    assert int(chip[7]) > 0.95 * int(chip[8])


def test_a_foreign_process_shows_where_the_release_has_a_table(smi):
    smi.scenario(soc="Ascend310P3", state="process", cards=2)
    rows = [match.groups() for line in smi("info").lines if (match := PROCESS.match(line))]
    assert rows == [("24", "0", "4242424", "python3.7", "1024")]
    assert "No running processes found in NPU 32" in smi("info").output
    assert "Process id:4242424" in smi("info", "-t", "proc-mem", "-i", "24").output
    assert "No process in device." in smi("info", "-t", "proc-mem", "-i", "32").output
    smi.scenario(soc="Ascend310P3", state="process", cann="5.1.0")
    assert not any(PROCESS.match(line) for line in smi("info").lines)


def test_without_a_driver_nothing_can_be_read(smi):
    smi.scenario(state="driver_error")
    for argv in (["info"], ["info", "-m"], ["info", "-l"], ["info", "-t", "health", "-i", "0"]):
        ended = smi(*argv)
        assert ended.status != 0
        assert ended.lines == ["dcmi module initialize failed. ret is -8005"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ({}, [("2048", str(chip), str(chip)) for chip in range(4)]),
        ({"soc": "Ascend310P3", "cards": 2}, [("24", "0", "0"), ("32", "0", "1")]),
        ({**DUO, "cards": 2}, [("6", "0", "0"), ("6", "1", "1"), ("2", "0", "2"), ("2", "1", "3")]),
    ],
)
def test_the_mapping_leads_from_npu_and_chip_to_device(smi, host, expected):
    smi.scenario(**host)
    lines = smi("info", "-m").lines
    assert re.split(r"\s{2,}", lines[0].strip()) == ["NPU ID", "Chip ID", "Chip Logic ID", "Chip Name"]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[1:]]
    assert [tuple(row[:3]) for row in rows if row[2] != "-"] == expected
    assert {row[3] for row in rows if row[2] != "-"} == {f"Ascend {host.get('soc', 'Ascend310')[6:]}"}
    assert [row[3] for row in rows if row[2] == "-"] == ["Mcu"] * host.get("cards", 1)
    assert all(npu != device for npu, _, device in expected if host.get("chips_per_card") != 2)


def test_the_list_counts_cards_and_chips(smi):
    smi.scenario(**DUO, cards=2)
    output = smi("info", "-l").output
    assert re.search(r"Total Count\s+: 2", output)
    assert re.findall(r"NPU ID\s+: (\d+)", output) == ["6", "2"]
    assert re.findall(r"Chip Count\s+: (\d+)", output) == ["2", "2"]


@pytest.mark.parametrize(
    ("host", "memory", "absent"),
    [
        ({}, "Memory Capacity(MB)", "DDR Capacity(MB)"),
        ({"soc": "Ascend310P3"}, "DDR Capacity(MB)", "Memory Capacity(MB)"),
        ({"soc": "Ascend910B4"}, "HBM Capacity(MB)", "Memory Capacity(MB)"),
    ],
)
def test_usages_have_the_labels_of_the_chip(smi, host, memory, absent):
    smi.scenario(**host)
    npu = re.search(r"NPU ID\s+: (\d+)", smi("info", "-l").output)[1]
    lines = smi("info", "-t", "usages", "-i", npu).lines
    labels = [line.strip().split(" : ")[0].strip() for line in lines if " : " in line]
    assert labels[:2] == ["NPU ID", "Chip Count"]
    assert memory in labels
    assert absent not in labels
    assert "Aicore Usage Rate(%)" in labels
    assert all(line.startswith("\t") for line in lines if line)
    assert all(len(line.split(" : ")[0]) >= 31 for line in lines if " : " in line)


@pytest.mark.parametrize("what", ["board", "common", "health", "memory", "temp", "power", "proc-mem", "usages"])
def test_each_chip_of_a_card_is_asked_alone_or_with_its_siblings(smi, what):
    together = smi("info", "-t", what, "-i", "2048").output
    alone = smi("info", "-t", what, "-i", "2048", "-c", "2").output
    assert re.search(r"NPU ID\s+: 2048", together)
    if what != "board":
        assert re.findall(r"Chip ID\s+: (\d+)", together) == ["0", "1", "2", "3"]
        assert re.findall(r"Chip ID\s+: (\d+)", alone) == ["2"]


@pytest.mark.parametrize(
    "argv", [["info", "-t", "nothing"], ["info", "-t", "usages", "-i", "0"], ["info", "-x"], ["set"], []]
)
def test_refuses_what_it_does_not_know(smi, argv):
    assert smi(*argv).status != 0


def test_tells_its_version_and_that_it_is_none(smi):
    ended = smi("-v")
    assert (ended.status, ended.output) == (0, "npu-smi version: 23.0.0\n")
    assert ended.error.startswith("signoff emulator: ")


def test_runs_as_a_command(tmp_path):
    ended = standins.run("npu-smi", "info", cwd=tmp_path, SIGNOFF_EMULATOR_SOC="Ascend310P1")
    assert ended.status == 0
    assert chips(ended.lines)[0][0][2] == "310P1"
