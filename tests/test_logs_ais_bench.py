from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.logs import ais_bench
from bench.logs.reading import LogError
from bench.logs.statistics import linear, of
from tests.effort import at_most

SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "samples" / "ais_bench"
NO_SAMPLES = "the collected samples are not on this host"


def _runs(with_summary: bool) -> list[str]:
    file = SAMPLES / "index.json"
    found = json.loads(file.read_text())["samples"] if file.exists() else []
    names = [one["name"] for one in found]
    return [name for name in names if (SAMPLES / f"{name}.summary.json").exists() == with_summary]


def _console(name: str) -> ais_bench.Log:
    return ais_bench.parse((SAMPLES / f"{name}.stdout.txt").read_bytes().decode())


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=NO_SAMPLES)
@pytest.mark.parametrize("name", _runs(with_summary=True))
def test_console_and_summary_of_a_sample_say_the_same(name: str) -> None:
    text = (SAMPLES / f"{name}.summary.json").read_text()
    told, file = json.loads(text), ais_bench.parse_summary(text)
    block = told["NPU_compute_time"]
    expected = {key: block[key] for key in ("min", "max", "mean", "median")} | {"p99": block["percentile(99%)"]}
    for found in (_console(name).as_dict(), file.as_dict()):
        assert found["compute_ms"] == expected
        assert found["throughput"] == told["throughput"]
        assert found["batch"] == round(told["throughput"] * block["mean"] / 1000)
        assert found["unread"] == []
    assert file.last.count == block["count"]
    assert file.last.samples_ms == tuple(told["npu_compute_time_list"])
    assert set(file.flags) <= {"padded_last_group"}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=NO_SAMPLES)
@pytest.mark.parametrize("name", _runs(with_summary=False))
def test_a_sample_that_failed_has_no_figure(name: str) -> None:
    found = _console(name)
    succeeded = {"pure_tiny_loop20", "batchsize_wrong", "device_multi", "dymshape_range"}
    assert (found.throughput is not None) == (name in succeeded)
    assert (found.as_dict()["compute_ms"] is not None) == (name in succeeded)
    assert name in succeeded or found.unread == ("no performance summary",)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=NO_SAMPLES)
def test_the_padded_samples_are_flagged() -> None:
    padded = {name for name in _runs(True) if "padded_last_group" in _summary_of(name).flags}
    assert padded == {
        *("bin_bs4_incomplete", "bin_bs4_npyout", "bin_bs4_txt", "bin_loop3", "dymbatch4", "unbuffered_order"),
        "g3_bin_bs4_npyout",
    }


def _summary_of(name: str) -> ais_bench.Log:
    return ais_bench.parse_summary((SAMPLES / f"{name}.summary.json").read_text())


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=NO_SAMPLES)
def test_a_run_on_two_devices_keeps_them_apart() -> None:
    found = _console("device_multi")
    assert found.total_throughput == 6629.213055531692
    assert {block.device: block.throughput for block in found.blocks} == {0: 842.1761686049418, 1: 5787.0368869267495}
    assert {"several_devices", "several_summaries"} <= set(found.flags)
    for device in (0, 1):
        told = ais_bench.parse_summary((SAMPLES / f"device_multi_device{device}.summary.json").read_text())
        assert [block.mean for block in found.blocks if block.device == device] == [told.last.mean]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=NO_SAMPLES)
def test_a_run_over_shapes_is_flagged() -> None:
    found = _console("dymshape_range")
    assert [block.batch for block in found.blocks] == [1, 2]
    assert "several_shapes" in found.flags


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=NO_SAMPLES)
def test_facts_beside_the_figures_are_kept() -> None:
    facts = {"model_batch": 4, "file_bytes": 3072, "tensor_bytes": 12288, "files_per_batch": 4, "runs": 3, "warmup": 1}
    assert _console("bin_bs4_incomplete").facts == facts
    assert _console("bin_loop3").facts["loop"] == 3
    assert _console("aclruntime_not_installed_as_distribution").flags == ("run_mode_tensor",)
    assert _console("exec_fail").errors[0] == "execute model failed, modelId is 1"
    assert "--outfmt NPY" in (_summary_of("bin_bs4_npyout").command or "")


# --- lines of published logs (ascend.md 10.7) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "batch", "throughput"),
    [
        (31.739540023803713, 1, 31.506442728849557),
        (2.6040399980545046, 16, 6144.298863286933),
        (0.4343369999527931, 1, 2302.359688694924),
        (24.44709991455078, 64, 2617.8974284760684),
        (0.6610000133514404, 1, 1512.8592735267011),
    ],
)
@pytest.mark.parametrize("factor", ["batchsize({})", "batchsize.mean({})"])
def test_published_throughput_lines(mean: float, batch: int, throughput: float, factor: str) -> None:
    line = f"[INFO] throughput 1000*{factor.format(batch)}/NPU_compute_time.mean({mean}): {throughput}"
    found = ais_bench.parse(line)
    assert (found.throughput, found.batch, found.last.mean, found.flags) == (throughput, batch, mean, ())
    assert found.last.recomputed == pytest.approx(throughput, rel=1e-12)


def test_a_throughput_that_contradicts_its_own_mean_is_flagged() -> None:
    line = "throughput 1000*batchsize(16)/NPU_compute_time.mean(10.348920078277589): 112.53"
    found = ais_bench.parse(line)
    assert found.flags == ("throughput_disagrees",)
    assert (found.throughput, found.as_dict()["recomputed_throughput"]) == (112.53, pytest.approx(1546.06, abs=0.01))


def test_the_oldest_throughput_line_has_neither_batch_nor_mean() -> None:
    found = ais_bench.parse("[INFO] throughput (1000*batchsize/NPU_compute_time): 31.506442728849557")
    assert (found.throughput, found.batch, found.as_dict()["compute_ms"]) == (31.506442728849557, None, None)


def test_a_sum_over_devices_is_a_total() -> None:
    found = ais_bench.parse("[INFO] summary throughput:557.93\n")
    assert (found.total_throughput, found.flags) == (557.93, ("total_of_devices",))


def test_energy_is_kept_by_npu() -> None:
    assert ais_bench.parse("[INFO] NPU ID:4 energy consumption(J):59.88").energy_j == {4: 59.88}


def test_the_four_numbers_of_the_file_line_are_kept() -> None:
    line = "get filesperbatch files0 size:1536 tensor0size:1536 filesperbatch:1 runcount:1"
    assert list(ais_bench.parse(line).facts.values()) == [1536, 1536, 1, 1]


def test_the_version_is_told_where_it_is_too_low() -> None:
    assert ais_bench.parse("[WARNING] aclruntime version:0.0.1 is lower please update").version == "0.0.1"
    assert ais_bench.parse("[WARNING] aclruntime version:None is lower please update").version is None


def test_the_command_is_kept_where_it_stands_in_the_text() -> None:
    found = ais_bench.parse("$ python3 -m ais_bench -m a.om --loop 20\n[INFO] warm up 1 done\n")
    assert found.command == "python3 -m ais_bench -m a.om --loop 20"


# --- round trips ---------------------------------------------------------------------------------------------------

times = st.floats(1e-6, 1e6)
blocks = st.fixed_dictionaries({name: times for name in ("min", "max", "mean", "median", "p99")})
FORMS = {
    "G1": "throughput (1000*batchsize/NPU_compute_time): {rate}",
    "G1 late": "throughput 1000*batchsize({batch})/NPU_compute_time.mean({mean}): {rate}",
    "G2": "throughput 1000*batchsize.mean({batch})/NPU_compute_time.mean({mean}): {rate}",
}
BAR = "\rInference array Processing:   0%|          | 0/1 [00:00<?, ?it/s]"


def _times(title: str, block: dict[str, float]) -> str:
    named = ", ".join(f"{name} = {block[name]}" for name in ("min", "max", "mean", "median"))
    return f"[INFO] {title} (ms): {named}, percentile(99%) = {block['p99']}"


@given(
    blocks,
    st.none() | blocks,
    st.integers(1, 512),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(["", "    ", "> ", "- ", BAR, "\x1b[32m"]),
    st.sampled_from(["\n", "\r\n", " \n"]),
)
def test_a_rendered_console_gives_back_its_numbers(block, copies, batch, form, before, end) -> None:
    rate = 1000 * batch / block["mean"]
    copied = [_times("H2D_latency", copies), _times("D2H_latency", copies)] if copies else []
    body = [*copied[:1], _times("NPU_compute_time", block), *copied[1:]]
    lines = ["[INFO] -----------------Performance Summary------------------", *body]
    lines.append("[INFO] " + FORMS[form].format(batch=batch, mean=block["mean"], rate=rate))
    lines += ["[INFO] ------------------------------------------------------", "[INFO] acl init success"]
    found = ais_bench.parse("".join(f"{before}{line}{end}" for line in lines))
    assert found.as_dict()["compute_ms"] == block
    assert found.throughput == rate
    assert found.batch == (None if form == "G1" else batch)
    assert (found.as_dict()["h2d_ms"], found.as_dict()["d2h_ms"]) == (copies, copies)
    assert len(found.blocks) == 1
    assert not found.unread


@given(blocks, blocks, st.integers(1, 64))
def test_two_devices_that_print_into_one_another_are_told_apart_by_their_mean(one, two, batch) -> None:
    two["mean"] += one["mean"]
    drawn = (one, two)
    lines = [_times("NPU_compute_time", block) for block in drawn]
    for block in drawn:
        lines.append(FORMS["G2"].format(batch=batch, mean=block["mean"], rate=1000 * batch / block["mean"]))
    found = ais_bench.parse("\n".join(lines))
    assert [block.compute.as_dict() for block in found.blocks] == list(drawn)
    assert [block.throughput for block in found.blocks] == [1000 * batch / block["mean"] for block in drawn]
    assert not {"throughput_disagrees", "mean_disagrees"} & set(found.flags)


@given(blocks, st.lists(times, min_size=1, max_size=20), st.integers(1, 64), st.sampled_from(["flat", "pairs", "none"]))
def test_a_written_summary_gives_back_its_numbers(copies, samples, batch, shape) -> None:
    own = of(samples, linear).as_dict()
    told = {name: value for name, value in own.items() if name != "p99"} | {"percentile(99%)": own["p99"]}
    document: dict[str, Any] = {"NPU_compute_time": told, "throughput": 1000 * batch / (own["mean"] or 1)}
    if shape != "none":
        document["NPU_compute_time"]["count"] = len(samples)
        pairs = [[0.0, sample] for sample in samples]
        document["npu_compute_time_list"] = samples if shape == "flat" else pairs
    found = ais_bench.parse_summary(json.dumps(document))
    assert found.as_dict()["compute_ms"] == own
    assert (found.batch, found.throughput) == (batch, document["throughput"])
    assert (found.last.count, found.last.samples_ms) == (
        (None, ()) if shape == "none" else (len(samples), tuple(samples))
    )
    assert found.flags == ()


# --- what must not be misread --------------------------------------------------------------------------------------

SOUND = {"min": 1.0, "max": 3.0, "mean": 2.0, "median": 2.0, "percentile(99%)": 2.98}


def _document(**changes: Any) -> str:
    return json.dumps({"NPU_compute_time": SOUND, "throughput": 500.0, **changes})


def test_statistics_that_are_not_those_of_the_samples_are_flagged() -> None:
    assert ais_bench.parse_summary(_document(npu_compute_time_list=[1.0, 2.0, 3.0])).flags == ()
    found = ais_bench.parse_summary(_document(npu_compute_time_list=[1.0, 2.0, 2.5]))
    assert {"samples_disagree_max", "samples_disagree_mean"} <= set(found.flags)
    short = ais_bench.parse_summary(
        _document(NPU_compute_time={**SOUND, "count": 4}, npu_compute_time_list=[1.0, 2.0, 3.0])
    )
    assert short.flags == ("samples_disagree_count",)


def test_a_rate_that_no_whole_batch_explains_is_flagged() -> None:
    assert ais_bench.parse_summary(_document(throughput=112.53)).flags == ("throughput_disagrees",)


@pytest.mark.parametrize("samples", [[1.0, "2"], [1.0, None], [[1, 2, 3]], [[3, 1]], [-1.0], "x", [[1.0, "2"]]])
def test_samples_are_taken_whole_or_not_at_all(samples: Any) -> None:
    found = ais_bench.parse_summary(_document(npu_compute_time_list=samples))
    assert found.last.samples_ms == ()
    assert "npu_compute_time_list" in found.unread[0]


@pytest.mark.parametrize(
    ("files", "count", "args", "padded"),
    [
        (10, 3, [], True),
        (12, 3, [], False),
        (3, 3, [], False),
        (9, 3, [], True),  # three files a batch would be no batch of four
        (10, 9, ["--loop", "3"], True),
        (10, 9, ["--loop=3"], True),
        (10, 9, [], False),
        (10, 3, None, False),
    ],
)
def test_padding_is_flagged_where_it_is_sure(files: int, count: int, args: Any, padded: bool) -> None:
    groups = {str(place): {"infiles": [f"{place}.bin"], "outfiles": []} for place in range(files)}
    times = {**SOUND, "count": count}
    text = _document(NPU_compute_time=times, throughput=2000.0, filesinfo=groups, args=args)
    assert ("padded_last_group" in ais_bench.parse_summary(text).flags) == padded


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"NPU_compute_time": 3}', "[" * 100_000])
def test_other_json_is_no_summary(text: str) -> None:
    with pytest.raises(LogError, match="expected"):
        ais_bench.parse_summary(text)


def test_a_number_that_another_line_runs_into_is_no_figure() -> None:
    line = "[INFO] NPU_compute_time (ms): min = 0.25, max = 0.34, mean = 0.3[INFO] acl init success"
    found = ais_bench.parse(line)
    assert found.last.compute.as_dict() == {"min": 0.25, "max": 0.34, "mean": None, "median": None, "p99": None}
    assert "compute: mean is not told, or not whole" in found.unread


def test_a_line_may_begin_in_the_middle_of_another() -> None:
    figures = dict.fromkeys(("min", "max", "mean", "median", "p99"), 2.0)
    assert ais_bench.parse(f"{BAR}[INFO] acl init success{_times('NPU_compute_time', figures)}").compute.mean == 2


def test_two_means_that_differ_are_flagged() -> None:
    text = "NPU_compute_time (ms): mean = 2.0\nthroughput 1000*batchsize(1)/NPU_compute_time.mean(3.0): 333.3\n"
    assert "mean_disagrees" in ais_bench.parse(text).flags


def test_a_median_above_p99_is_flagged() -> None:
    text = "NPU_compute_time (ms): min = 1.0, max = 4.0, mean = 2.0, median = 3.0, percentile(99%) = 2.5\n"
    assert "compute_median_above_p99" in ais_bench.parse(text).flags


# --- whatever comes ------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "NPU_compute_time (ms): ",
        "H2D_latency (ms): ",
        "min = ",
        "mean = ",
        "percentile(99%) = ",
        "1e308",
        "5e-324",
        ", ",
        "throughput 1000*batchsize(1e308)/NPU_compute_time.mean(1e-308): 1.0",
        "[INFO] ",
        "\n",
        "\r",
        "[ERROR]",
        "try get model batchsize:-1",
        "i:0 device_1 throughput:1.0",
        "summary throughput:2.0",
        "0.0",
        "python3 -m ais_bench ",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda part: (
        st.lists(part, max_size=4)
        | st.dictionaries(
            st.sampled_from([*SOUND, "count", "NPU_compute_time", "throughput", "npu_compute_time_list", "filesinfo"])
            | st.sampled_from(["args", "H2D_latency", "infiles", "0"]),
            part,
            max_size=6,
        )
    ),
)


@settings(max_examples=300)
@given(st.lists(WORDS | st.text(max_size=5), max_size=30).map("".join))
def test_no_text_raises(text: str) -> None:
    json.dumps(ais_bench.parse(text).as_dict(), allow_nan=False)


@settings(max_examples=100)
@given(JSON, JSON, JSON, JSON)
def test_a_summary_raises_nothing_else(compute, samples, files, args) -> None:
    document = {"NPU_compute_time": compute, "npu_compute_time_list": samples, "filesinfo": files, "args": args}
    try:
        found = ais_bench.parse_summary(json.dumps({**document, "throughput": 1e308}))
    except LogError:
        assert not isinstance(compute, dict)
    else:
        json.dumps(found.as_dict(), allow_nan=False)


HOSTILE = {
    "digits": "NPU_compute_time (ms): mean = " + "1" * 40,
    "names": "NPU_compute_time (ms): min",
    "throughput": "throughput 1000*batchsize(1)/NPU_compute_time",
    "blanks": "throughput" + " \t" * 20,
    "bars": "\rInference array Processing:   0%|          | 0/1 [00:00<?, ?it/s]",
    "commands": "ais_bench " + "x" * 50,
    "errors": "[ERROR] [INFO] ",
    "blocks": "NPU_compute_time (ms): mean = {0}.5\n",
    "pairs": "NPU_compute_time (ms): mean = {0}.5\nthroughput 1000*batchsize(1)/NPU_compute_time.mean({0}.5): 1.0\n",
    "rates": "throughput 1000*batchsize(1)/NPU_compute_time.mean({0}.5): {0}.0\n",
    "npus": "NPU ID:{0} energy consumption(J):{0}.0\n",
    "batches": "try get model batchsize:{0}\n",
}


TWO = "NPU_compute_time (ms): mean = 2.0\nthroughput 1000*batchsize(1)/NPU_compute_time.mean(2.0): 500.0\n"


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("end", ["", "\n"], ids=["one-line", "lines"])
def test_work_grows_with_the_text_and_not_with_its_square(name: str, end: str) -> None:
    part = HOSTILE[name] + end
    with at_most(cpu_seconds=20):  # 400 kB take some tenths of a second, their square minutes
        ais_bench.parse("".join(part.format(count) for count in range(400_000 // len(part))))


def test_throughputs_that_come_after_all_times_find_them_in_proportion_to_the_text() -> None:
    counts = range(40_000)
    times = "".join(f"NPU_compute_time (ms): mean = {count + 1}.5\n" for count in counts)
    line = "throughput 1000*batchsize(1)/NPU_compute_time.mean({0}.5): {1}\n"
    rates = "".join(line.format(count + 1, 1000 / (count + 1.5)) for count in counts)
    with at_most(cpu_seconds=20):
        found = ais_bench.parse(times + rates)
    assert len(found.blocks) == len(counts)
    assert not {"mean_disagrees", "throughput_disagrees"} & set(found.flags)


def test_devices_are_found_in_proportion_to_their_number() -> None:
    lines = "i:0 device_{0} throughput:{0}.0\nthroughput (1000*batchsize/NPU_compute_time): {0}.0\n"
    with at_most(cpu_seconds=20):
        found = ais_bench.parse("".join(map(lines.format, range(40_000))))
    assert [block.device for block in found.blocks] == list(range(40_000))


def test_a_throughput_that_names_no_waiting_mean_goes_to_the_last_that_waits() -> None:
    text = (
        "NPU_compute_time (ms): mean = 1.0\nNPU_compute_time (ms): mean = 2.0\n"
        "throughput 1000*batchsize(1)/NPU_compute_time.mean(2.0): 500.0\n"
        "throughput 1000*batchsize(1)/NPU_compute_time.mean(2.0): 501.0\n"
        "throughput 1000*batchsize(1)/NPU_compute_time.mean(2.0): 502.0\n"
    )
    found = ais_bench.parse(text)
    assert [(block.compute.mean, block.throughput) for block in found.blocks] == [(1, 501), (2, 500), (None, 502)]


def test_two_devices_of_the_same_rate_are_told_of_neither() -> None:
    text = f"{TWO}i:0 device_0 throughput:500.0\ni:1 device_1 throughput:500.0\n"
    assert [block.device for block in ais_bench.parse(text).blocks] == [None]
    assert [block.device for block in ais_bench.parse(f"{TWO}i:1 device_1 throughput:500.0\n").blocks] == [1]


@pytest.mark.parametrize("large", [1e308, 1.7e308, 1e16, 10**400])
def test_samples_too_large_to_be_times_are_not_taken(large: float) -> None:
    found = ais_bench.parse_summary(_document(npu_compute_time_list=[large, large, large]))
    assert found.last.samples_ms == ()
    pairs = ais_bench.parse_summary(_document(npu_compute_time_list=[[0, large]] * 3))
    assert pairs.last.samples_ms == ()


def test_a_log_of_50_mb_is_read_to_its_end() -> None:
    line = "[DEBUG] get tensor from filepath:/data/inputs/calib_bin/img_0000000000000000000000000000.bin i:0 of all:1\n"
    found = ais_bench.parse(line * (50_000_000 // len(line)) + "[INFO] summary throughput:557.93\n")
    assert found.total_throughput == 557.93
