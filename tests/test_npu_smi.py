"""Tables of npu-smi: small ones around the real lines of the references, and whatever hypothesis makes of them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.ascend import npu_smi
from fixtures.ascend.npu_smi import Chip, Labels, Mapped, NpuSmiError, Process, Table, Usage

CARD_310 = """\
+------------------------------------------------------------------------------+
| npu-smi 20.2.2                       Version: 20.2.2                         |
+-------------------+-----------------+----------------------------------------+
| NPU     Name      | Health          | Power(W)          Temp(C)              |
| Chip    Device    | Bus-Id          | AICore(%)         Memory-Usage(MB)     |
+===================+=================+========================================+
| 2048    310       | OK              | 12.8              46                   |
| 0       0         | 0000:81:00.0    | 0                 2621 / 8192          |
+-------------------+-----------------+----------------------------------------+
| 2048    310       | OK              | 12.8              46                   |
| 1       1         | 0000:82:00.0    | 0                 2621 / 8192          |
+-------------------+-----------------+----------------------------------------+
| 2048    310       | Warning         | 12.8              91                   |
| 2       2         | 0000:83:00.0    | 87                7012 / 8192          |
+-------------------+-----------------+----------------------------------------+
| 2048    310       | OK              | 12.8              46                   |
| 3       3         | 0000:84:00.0    | 0                 2621 / 8192          |
+===================+=================+========================================+
"""

TWO_310P3 = """\
   +-------------------|-----------------|------------------------------------------------------+
   | NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
   | Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
   |===================|=================|======================================================|
   | 0       310P3     | OK              | 15.8         42                0    / 0              |
   | 0       0         | 0000:82:00.0    | 0            1074 / 21534                            |
   |===================|=================|======================================================|
   | 1       310P3     | OK              | 15.4         43                0    / 0              |
   | 0       1         | 0000:89:00.0    | 0            1070 / 21534                            |
   |===================|=================|======================================================|
"""

DUO = """\
| npu-smi 22.0.0                       Version: 22.0.2                         |
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
| 32      310P3                 | OK              | NA           51                0     / 0             |
| 0       0                     | 0000:01:00.0    | 0            1529 / 44280                            |
| 32      310P3                 | OK              | NA           49                0     / 0             |
| 1       1                     | 0000:01:00.0    | 0            1411 / 43693                            |
"""

PROCESSES = """\
| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |
+===============================+=================+======================================================+
"""

HBM_910B = """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 1     910B3               | OK            | 95.4        37                0    / 0             |
| 0                         | 0000:42:00.0  | 0           0    / 0          3400 / 65536         |
| 2     910B3               | OK            | 95.4        37                0    / 0             |
| 0                         | 0000:43:00.0  | 3           0    / 0          35879/ 65536         |
"""

PHY_ID_910 = HBM_910B.replace("| Chip                      |", "| Chip  Phy-ID              |").replace(
    "| 0                         |", "| 0     14                  |"
)


def test_reads_a_card_of_four_chips():
    table = npu_smi.parse_table(CARD_310)
    assert (table.version, table.numbered, table.told, table.unread) == ("20.2.2", True, None, ())
    assert [(chip.npu, chip.chip, chip.device) for chip in table.chips] == [(2048, each, each) for each in range(4)]
    assert table.chips[0] == Chip(2048, 0, "310", "OK", "0000:81:00.0", 0, 12.8, 46, 0, Usage(2621, 8192))
    assert table.chips[2].health == "Warning"
    assert table.chips[2].aicore_percent == 87


def test_reads_borders_typed_with_bars_an_indent_and_hugepages():
    table = npu_smi.parse_table(TWO_310P3)
    assert table.chips[0] == Chip(0, 0, "310P3", "OK", "0000:82:00.0", 0, 15.8, 42, 0, Usage(1074, 21534))
    assert table.chips[1].device == 1
    assert table.unread == ()


def test_reads_two_chips_of_one_npu_that_tell_no_power():
    first, second = npu_smi.parse_table(DUO).chips
    assert (first.npu, first.chip, first.power_w, first.memory) == (32, 0, None, Usage(1529, 44280))
    assert (second.npu, second.chip, second.device, second.memory) == (32, 1, 1, Usage(1411, 43693))


def test_takes_the_version_and_not_that_of_the_tool():
    assert npu_smi.parse_table(DUO).version == "22.0.2"


@pytest.mark.parametrize("text", [HBM_910B, PHY_ID_910])
def test_a_table_without_a_device_column_gives_no_device(text):
    table = npu_smi.parse_table(text)
    assert not table.numbered
    assert [(chip.npu, chip.chip, chip.device, chip.name) for chip in table.chips] == [
        (1, 0, None, "910B3"),
        (2, 0, None, "910B3"),
    ]
    assert [chip.memory for chip in table.chips] == [Usage(3400, 65536), Usage(35879, 65536)]


def test_a_process_is_no_card():
    table = npu_smi.parse_table(HBM_910B + PROCESSES + "| 2       0                 | 1333928       |   | 37709  |\n")
    assert len(table.chips) == 2
    assert table.processes == (Process(2, 0, 1333928, "", 37709),)
    assert table.told == {2}
    assert table.unread == ()


def test_reads_that_nobody_is_there():
    table = npu_smi.parse_table(DUO + PROCESSES + "| No running processes found in NPU 32                       |\n")
    assert (table.processes, table.told, table.unread) == ((), {32}, ())


def test_reads_names_with_bars_and_blanks():
    row = "| 32      1         | 77       | my | odd tool   | 12   |\n"
    assert npu_smi.parse_table(DUO + PROCESSES + row).processes == (Process(32, 1, 77, "my | odd tool", 12),)


def test_an_empty_last_cell_is_no_missing_one():
    row = "| 32      1         | 77       | tool       ||\n"
    assert npu_smi.parse_table(DUO + PROCESSES + row).processes == (Process(32, 1, 77, "tool", None),)


def test_cards_may_follow_processes():
    table = npu_smi.parse_table(DUO + PROCESSES + "| No running processes found in NPU 32 |\n" + TWO_310P3)
    assert (len(table.chips), table.processes, table.unread) == (4, (), ())


def test_a_process_is_told_in_words():
    assert Process(0, 0, 123, "python3", 512).words == "python3 (pid 123, 512 MB)"
    assert Process(0, 0, 123).words == "a process (pid 123)"


def test_a_row_that_cannot_be_read_is_kept():
    table = npu_smi.parse_table(DUO + PROCESSES + "| 32   | what is this | 1 |\n")
    assert table.unread == ("| 32   | what is this | 1 |",)
    cut = CARD_310.replace("| 1       1         | 0000:82:00.0    | 0                 2621 / 8192          |\n", "")
    table = npu_smi.parse_table(cut)
    assert [chip.device for chip in table.chips] == [0, 2, 3]
    assert len(table.unread) == 1


def test_a_table_that_ends_within_a_chip_says_so():
    assert npu_smi.parse_table(CARD_310.rpartition("| 3       3")[0]).unread


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", "found nothing"),
        ("dcmi module initialize failed. ret is -8005\n", "dcmi module initialize failed. ret is -8005"),
        ("[WARN] a log\ndcmi module initialize failed. ret is -8005\nbye\n", "'dcmi module initialize failed"),
        ("one\n\n two   words \n\n", "found 'two words'"),
        ("dcmi model initialized failed, because the device is used. ret is -8020", "dcmi model initialized failed"),
        ("| 0       310P3     | OK              | 15.8         42                0    / 0              |", "310P3"),
    ],
)
def test_refuses_what_is_no_table_and_quotes_it(text, quoted):
    with pytest.raises(NpuSmiError, match=r"expected a table of devices.*HwHiAiUser") as error:
        npu_smi.parse_table(text)
    assert quoted in str(error.value)


def test_maps_npus_to_devices_without_the_coprocessor():
    text = (
        "\tNPU ID                         Chip ID                        Chip Logic ID                  Chip Name\n"
        "\t4                              0                              0                              Ascend 310P3\n"
        "\t4    1    -    Mcu\n"
    )
    assert npu_smi.parse_mapping(text) == (Mapped(4, 0, 0, "310P3"),)


def test_maps_npus_that_have_a_physical_id_too():
    text = "NPU ID Chip ID Chip Logic ID Chip Phy-ID Chip Name\n0 0 0 8 Ascend910\n0 1 1 9 Ascend910\n0 2 - - Mcu\n"
    assert npu_smi.parse_mapping(text) == (Mapped(0, 0, 0, "910"), Mapped(0, 1, 1, "910"))


def test_refuses_a_mapping_without_its_title():
    with pytest.raises(NpuSmiError, match="Chip Logic ID"):
        npu_smi.parse_mapping("4 0 0 Ascend 310P3\n")


COMMON = """\
\tNPU ID                         : 8
\tChip Count                     : 1

\tChip ID                        : 0
\tMemory Usage Rate(%)           : 4
\tAicore Usage Rate(%)           : 0
\tAicore Freq(MHZ)               : 1080
\tAicore curFreq(MHZ)            : 960
\tTemperature(C)                 : 43
\tNPU Real-time Power(W)         : NA

\tChip Name                      : mcu
\tTemperature(C)                 : 41
"""


def test_reads_labels_without_the_coprocessors():
    (block,) = npu_smi.parse_labels(COMMON)
    assert (block.npu, block.chip, block.number("Aicore curFreq(MHZ)"), block.number("Temperature(C)")) == (
        8,
        0,
        960,
        43,
    )
    assert block.number("NPU Real-time Power(W)") is None
    assert block.number("HBM Usage Rate(%)") is None


def test_reads_labels_without_empty_lines():
    assert npu_smi.parse_labels(COMMON.replace("\n\n", "\n")) == npu_smi.parse_labels(COMMON)


def test_reads_a_block_per_chip_whose_number_comes_last():
    chips = "".join(
        f"Memory Capacity(MB) : 8192\nAicore Usage Rate(%) : {chip}\nChip ID : {chip}\n" for chip in range(4)
    )
    blocks = npu_smi.parse_labels("NPU ID : 2048\nChip Count : 4\n" + chips)
    assert [(block.npu, block.chip, block.number("Aicore Usage Rate(%)")) for block in blocks] == [
        (2048, chip, chip) for chip in range(4)
    ]


def test_reads_a_health_in_words():
    assert npu_smi.parse_labels("\tNPU ID : 8\n\tChip Count : 1\n\n\tHealth : OK\n") == (
        Labels(8, None, {"Health": "OK"}),
    )


def test_refuses_labels_without_an_npu():
    with pytest.raises(NpuSmiError, match="NPU ID"):
        npu_smi.parse_labels("dcmi module initialize failed. ret is -8005\n")


numbers = st.integers(0, 99999)
words = st.text("abcXYZ-_. |0123456789", min_size=1, max_size=12).filter(lambda text: text == text.strip(" |"))
usages = st.builds(Usage, numbers.map(float), st.integers(1, 99999).map(float))
maybe = st.none() | numbers.map(float)


@st.composite
def tables(draw):
    """Draw a table that npu-smi could print: with or without Device column, HBM and processes."""
    numbered, told = draw(st.booleans()), draw(st.booleans())
    chips = draw(
        st.lists(
            st.builds(
                Chip,
                npu=numbers,
                chip=st.integers(0, 3),
                name=st.sampled_from(["310", "310P3", "310P1", "910B3", "Ascend910"]),
                health=st.sampled_from(sorted(npu_smi.HEALTH)),
                bus=st.sampled_from(["0000:81:00.0", "0000:AF:00.0", "NA"]),
                device=numbers if numbered else st.none(),
                power_w=maybe,
                temperature_c=maybe,
                aicore_percent=maybe,
                memory=st.none() | usages,
            ),
            max_size=6,
        )
    )
    rows = st.builds(
        Process, npu=numbers, chip=st.integers(0, 3), pid=numbers, name=words | st.just(""), memory_mb=maybe
    )
    processes = tuple(draw(st.lists(rows, max_size=5))) if told else ()
    idle = draw(st.frozensets(numbers, max_size=3)) if told else frozenset()
    return Table(
        draw(st.sampled_from(["", "20.2.2", "23.0.rc1"])),
        tuple(chips),
        numbered,
        processes,
        idle | {row.npu for row in processes} if told else None,
    )


def printed(table: Table, widths: list[int], hbm: bool, ruler: str) -> str:
    """Write a table the way npu-smi does, with columns of any width."""
    first, second, third = widths

    def number(value):
        return "NA" if value is None else f"{value:g}" if value < 1e5 else str(value)

    def row(left, middle, right):
        return f"| {left:<{first}} | {middle:<{second}} | {right:<{third}} |"

    lines = [f"| npu-smi 1.0   Version: {table.version} |"] if table.version else []
    lines += [row("NPU  Name", "Health", "Power(W)  Temp(C)   Hugepages-Usage(page)")]
    titles = "AICore(%)  Memory-Usage(MB)" + ("  HBM-Usage(MB)" if hbm else "")
    lines += [row("Chip  Device" if table.numbered else "Chip", "Bus-Id", titles), ruler]
    for chip in table.chips:
        used = f"{chip.memory.used_mb:g}  / {chip.memory.total_mb:g}" if chip.memory else "NA / NA"
        used = f"0   / 0   {used}" if hbm else used
        device = "" if chip.device is None else f"   {chip.device}"
        lines += [
            row(f"{chip.npu} {chip.name}", chip.health, f"{number(chip.power_w)} {number(chip.temperature_c)} 0 / 0"),
            row(f"{chip.chip}{device}", chip.bus, f"{number(chip.aicore_percent)}    {used}"),
            ruler,
        ]
    if table.told is not None:
        lines += ["| NPU     Chip  | Process id   | Process name   | Process memory(MB)  |", ruler]
        for process in table.processes:
            memory = number(process.memory_mb)
            lines.append(f"| {process.npu}   {process.chip} | {process.pid}  | {process.name} | {memory}   |")
        silent = table.told - {row.npu for row in table.processes}
        lines += [f"| No running processes found in NPU {npu}       |" for npu in sorted(silent)]
    return "\n".join(lines)


@given(
    tables(),
    st.lists(st.integers(0, 40), min_size=3, max_size=3),
    st.booleans(),
    st.sampled_from(["+---+---+---+", "|===|===|===|", "+---|----|---|"]),
)
def test_what_is_printed_is_read(table, widths, hbm, ruler):
    assert npu_smi.parse_table(printed(table, widths, hbm, ruler)) == table


@given(
    st.lists(st.sampled_from((CARD_310 + TWO_310P3 + DUO + PROCESSES + HBM_910B + COMMON).splitlines()) | st.text()),
    st.integers(0, 2000),
)
@settings(max_examples=200)
def test_no_text_raises_anything_undeclared(lines, cut):
    text = "\n".join(lines)[cut:]
    for parse in (npu_smi.parse_table, npu_smi.parse_mapping, npu_smi.parse_labels):
        with contextlib.suppress(NpuSmiError):
            parse(text)


@given(st.text("0123456789| :/-NPUChipOKAIdevice\n\t\u0663\u00b2", max_size=300))
def test_no_digits_of_other_scripts_and_no_bars_alone_raise_anything(noise):
    for text in (DUO + noise, DUO + PROCESSES + noise, "NPU ID Chip ID Chip Logic ID Chip Name\n" + noise):
        for parse in (npu_smi.parse_table, npu_smi.parse_mapping, npu_smi.parse_labels):
            with contextlib.suppress(NpuSmiError):
                parse(text)


@pytest.mark.parametrize("unit", ["| 1 ", " ", "|", "/ ", "No running processes found in NPU ", "9", ": "])
def test_reads_past_a_megabyte_in_one_row(unit):
    """Quadratic work on it would take hours."""
    row = unit * ((1 << 20) // len(unit))
    text = f"{DUO}{PROCESSES}| {row} | 5 | x | {row} |\n{row}\n"
    assert len(npu_smi.parse_table(text).chips) == 2
    for parse in (npu_smi.parse_mapping, npu_smi.parse_labels):
        with contextlib.suppress(NpuSmiError):
            parse(text)
