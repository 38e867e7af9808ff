"""What trtexec is told, what of its log and files is believed: rules alone, no process is started."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fixtures.errors import SetupError
from fixtures.nvidia import trtexec, trtexec_log
from fixtures.nvidia._build import Settings
from fixtures.nvidia.trtexec import Switches
from fixtures.nvidia.trtexec_files import read_outputs, read_times
from fixtures.runtime import Tensor

SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "reference" / "samples" / "trtexec"
VERSIONS = [(7,), (7, 2, 3), (8, 0, 1), (8, 2, 1), (8, 4, 1), (8, 5, 2), (8, 6, 1), (9, 3, 0), (10, 3, 0), (11, 0, 0)]
ONLY = {  # first version that has it, first that has it no longer
    "explicitBatch": ((7,), (8,)),
    "workspace": ((7,), (8, 4)),
    "memPoolSize": ((8, 4), (99,)),
    "buildOnly": ((7,), (8, 6)),
    "skipInference": ((8, 6), (99,)),
    "fp16": ((7,), (11,)),
    "builderOptimizationLevel": ((8, 6), (99,)),
    "stronglyTyped": ((9,), (11,)),
    "noDataTransfers": ((7,), (11,)),
    "useSpinWait": ((7,), (11,)),
    "useCudaGraph": ((7,), (11,)),
    "includeDataTransfers": ((11,), (99,)),
    "noSpinWait": ((11,), (99,)),
    "noCudaGraph": ((11,), (99,)),
}
ON = Switches(transfers=False, spin_wait=True, cuda_graph=False)
SHAPES = {"input.1": (1, 3, 8, 8), "mask": (1, 8)}


def settings(precision: str = "fp16", route: str | None = "flag") -> Settings:
    return Settings(precision, route, "7.5", 2048, 3)


def names(words: list[str]) -> list[str]:
    return [word.removeprefix("--").partition("=")[0] for word in words]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("on", [False, True])
def test_no_version_is_given_a_flag_it_has_not(version: tuple[int, ...], on: bool) -> None:
    words = trtexec.infer(version, Path("m.plan"), SHAPES, ["0", "1"], "o", Switches(on, on, on), 1, times="t")
    for route in (None, "flag" if version < (11,) else "graph", "graph" if version >= (9,) else None):
        words += trtexec.build(version, Path("m.onnx"), Path("m.plan"), SHAPES, settings(route=route))
    for name in names(words):
        since, until = ONLY.get(name, ((7,), (99,)))
        assert since <= version < until, f"--{name}"


def test_builds_and_times_in_two_commands_with_all_switches_said() -> None:
    built = trtexec.build((8, 6, 1), Path("/m.onnx"), Path("/m.plan"), {"image": (4, 3, 8, 8)}, settings())
    assert built == [
        "--onnx=/m.onnx",
        "--saveEngine=/m.plan",
        "--device=0",
        "--noTF32",
        "--memPoolSize=workspace:2048",
        "--fp16",
        "--builderOptimizationLevel=3",
        "--minShapes=image:4x3x8x8",
        "--optShapes=image:4x3x8x8",
        "--maxShapes=image:4x3x8x8",
        "--skipInference",
    ]
    timed = trtexec.infer((8, 6, 1), Path("/m.plan"), SHAPES, ["a.bin", "b.bin"], "o.json", ON, 200, 20, 2, "t.json")
    assert timed == [
        "--loadEngine=/m.plan",
        "--device=0",
        "--shapes=input.1:1x3x8x8,mask:1x8",
        "--loadInputs=input.1:a.bin,mask:b.bin",
        "--iterations=200",
        "--duration=20",
        "--warmUp=2000",
        "--avgRuns=100",
        "--noDataTransfers",
        "--useSpinWait",
        "--exportOutput=o.json",
        "--exportTimes=t.json",
    ]


def test_a_static_graph_takes_no_shapes() -> None:
    assert not any("Shapes" in word for word in trtexec.build((8, 6), Path("m"), Path("p"), {}, settings()))


def test_7_is_told_of_the_batch_and_of_a_workspace_beyond_its_16_mib() -> None:
    words = trtexec.build((7, 2, 3), Path("m"), Path("p"), {}, settings())
    assert {"--explicitBatch", "--workspace=2048", "--buildOnly", "--fp16"} < set(words)
    assert "--explicitBatch" in trtexec.infer((7,), Path("p"), SHAPES, ["0", "1"], "o", ON, 1)


def test_11_means_the_same_by_other_flags() -> None:
    eleven = (11, 0, 0)
    assert ON.flags(eleven) == ["--noCudaGraph"]
    assert Switches(True, False, True).flags(eleven) == ["--includeDataTransfers", "--noSpinWait"]
    assert Switches(True, False, True).flags((10, 3)) == ["--useCudaGraph"]
    assert ON.echoed() == {"Data transfers": "Disabled", "Spin-wait": "Enabled", "CUDA Graph": "Disabled"}


def test_fractions_of_seconds_are_whole_numbers_for_7() -> None:
    words = trtexec.infer((7,), Path("p"), {"x": (1,)}, ["0"], "o", ON, 200, seconds=0.4, warmup_seconds=0.0015)
    assert {"--duration=1", "--warmUp=2"} < set(words)


@pytest.mark.parametrize("name", ["a,b", "'a'", 'a"', "a*", " a", ""])
def test_refuses_an_input_whose_name_means_something_else(name: str) -> None:
    with pytest.raises(SetupError, match=r"expected an input whose name it can be told; found .*; export the graph"):
        trtexec.infer((8, 6), Path("p"), {name: (1,)}, ["0"], "o", ON, 1)


def test_fp16_is_a_flag_up_to_10_and_a_graph_from_11_on() -> None:
    assert [trtexec.fp16_route(version, None) for version in ((7,), (10, 16), (11,))] == ["flag", "flag", "graph"]
    assert trtexec.fp16_route((10, 3), "graph") == "graph"
    for version, asked in (((11, 0, 0), "flag"), ((8, 6, 1), "graph")):
        with pytest.raises(SetupError, match=rf"trtexec .*fp16_route='{asked}'; found .*; leave fp16_route out"):
            trtexec.fp16_route(version, asked)


@pytest.mark.parametrize(
    ("number", "version"),
    [("8001", (8, 0, 1)), ("8601", (8, 6, 1)), ("100300", (10, 3, 0)), ("101600", (10, 16, 0)), ("110000", (11, 0, 0))],
)
def test_reads_the_version_of_a_marker(number: str, version: tuple[int, ...]) -> None:
    assert trtexec_log.decoded(number) == version


BLOCK7 = """&&&& RUNNING TensorRT.trtexec # trtexec --onnx=m.onnx
[07/28/2021-06:56:34] [I] Host Latency
[07/28/2021-06:56:34] [I] mean: 99 ms (end to end 108 ms)
[07/28/2021-06:56:34] [I] GPU Compute
[07/28/2021-06:56:34] [I] min: 11.1594 ms
[07/28/2021-06:56:34] [I] mean: 11.7199 ms
&&&& PASSED TensorRT.trtexec # trtexec --onnx=m.onnx"""


def test_reads_what_decides_of_either_layout() -> None:
    seven = trtexec_log.read(BLOCK7.splitlines())
    assert (seven.started, seven.status, seven.version, seven.mean_ms) == (True, "passed", None, 11.7199)
    eight = trtexec_log.read(
        [
            "&&&& RUNNING TensorRT.trtexec [TensorRT v110000] [b114] # trtexec",
            "[09/08/2026-10:20:17] [I] Spin-wait: Enabled",
            "[09/08/2026-10:20:17] [I] Input binding for image with dimensions 4x3x8x8 and type FLOAT is created.",
            "[09/08/2026-10:20:17] [I] Created input binding for mask with dimensions 4x8",
            "[09/08/2026-10:20:17] [E] [TRT] Error Code 4",
            "[09/08/2026-10:20:17] [W] slow",
            "[09/08/2026-10:20:22] [I] GPU Compute Time: min = 1 ms, max = 3 ms, mean = 2.5 ms, median = 2 ms",
        ]
    )
    assert (eight.status, eight.version, eight.mean_ms) == (None, "110000", 2.5)
    assert (eight.bindings, eight.echoed) == ({"image": (4, 3, 8, 8), "mask": (4, 8)}, {"Spin-wait": "Enabled"})
    assert (eight.errors, eight.warnings) == (["Error Code 4"], ["slow"])


@pytest.mark.parametrize(
    "text",
    [
        "Dynamic dimensions required for input: x, but no shapes were provided. Automatically overriding shape to: 1x3",
        "Shape missing for input with dynamic shape: xAutomatically setting shape to: 1x3",
    ],
)
def test_hears_of_a_shape_nobody_asked_for_in_either_wording(text: str) -> None:
    assert trtexec_log.read([f"[01/01/2024-00:00:00] [W] {text}"]).overridden == text


@given(st.lists(st.text(), max_size=20))
def test_no_log_is_too_odd_to_read(lines: list[str]) -> None:
    said = trtexec_log.read([*lines, *(f"[I] GPU Compute Time: mean = {line} ms" for line in lines)])
    assert said.status in (None, "passed", "failed", "waived")


def test_reads_the_recorded_logs_as_their_index_does() -> None:
    if not SAMPLES.is_dir():
        pytest.skip("the recorded logs are not here")
    for entry in json.loads((SAMPLES / "index.json").read_text())["samples"]:
        said = trtexec_log.read(line.strip() for line in (SAMPLES / entry["file"]).read_text().splitlines())
        assert (said.status or "").lower() == (entry["status"] or "").lower(), entry["file"]
        if entry["tensorrt_version"]:
            assert said.version
            assert trtexec.told(trtexec_log.decoded(said.version)) == entry["tensorrt_version"]


def outputs_text(outputs: dict[str, np.ndarray], digits: str = "g") -> str:
    """Spell outputs as trtexec does: one object per output, six digits."""
    parts = []
    for name, array in outputs.items():
        spelled = digits if array.dtype.kind == "f" else ""
        values = ", ".join(format(value, spelled) for value in array.ravel().tolist())
        shape = "x".join(map(str, array.shape))
        parts.append(f'{{ "name" : "{name}"\n  , "dimensions" : "{shape}"\n  , "values" : [ {values} ]\n  }}\n')
    return "[\n  " + ", ".join(parts) + "]\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "outputs.json"
    path.write_text(text)
    return path


VALUES = st.floats(width=32, allow_subnormal=False)


@given(
    first=arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, max_side=4), elements=VALUES),
    second=arrays.arrays(np.int32, arrays.array_shapes(max_dims=2, max_side=4)),
    block=st.integers(1, 200),
    swapped=st.booleans(),
)
def test_outputs_come_back_in_the_models_order_wherever_a_block_ends(
    first: np.ndarray, second: np.ndarray, block: int, swapped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wanted = (Tensor("first", first.shape, "float32"), Tensor("second", second.shape, "int32"))
    held = {"first": first, "second": second}
    text = outputs_text(dict(reversed(held.items())) if swapped else held, ".9g")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fixtures.nvidia.trtexec_files.BLOCK", block)
        read = read_outputs(write(tmp_path_factory.getbasetemp(), text), wanted)
    np.testing.assert_array_equal(read[0], first)
    np.testing.assert_array_equal(read[1], second)
    assert [array.dtype for array in read] == [np.float32, np.int32]


def test_nan_and_infinity_are_read_as_trtexec_spells_them(tmp_path: Path) -> None:
    text = '[\n  { "name" : "y"\n  , "dimensions" : "5"\n  , "values" : [ nan, -nan, inf, -inf, 1e-05 ]\n  }\n]\n'
    (read,) = read_outputs(write(tmp_path, text), [Tensor("y", (5,), "float32")])
    np.testing.assert_array_equal(read, np.array([np.nan, np.nan, np.inf, -np.inf, 1e-5], np.float32))


def test_a_single_output_may_have_any_name_and_a_narrow_type(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    (read,) = read_outputs(write(tmp_path, outputs_text({"1432": array})), [Tensor("", (2, 3), "float16")])
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.float16


Y = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (outputs_text({"y": Y})[:-20], "y cut off after . of 6 values"),
        (outputs_text({"y": Y[:1]}), r"y of shape \[1, 3\], where \[2, 3\] belong"),
        (outputs_text({"y": Y}).replace("5 ]", "5, 6 ]"), "y with more than 6 values"),
        (outputs_text({"y": Y}).replace(", 5 ]", " ]"), "y with 5 of 6 values"),
        (outputs_text({"y": Y}).replace("3,", "three,"), "y with something that is no number after value 0"),
        (outputs_text({"y": Y}) + "{", "outputs that end with"),
        ("", "0 of 1 outputs"),
        ("[\n]\n", "0 of 1 outputs"),
        ("<html>", "outputs that end with b'<html>'"),
    ],
)
def test_refuses_outputs_that_are_not_whole(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=found):
        read_outputs(write(tmp_path, text), [Tensor("y", (2, 3), "float32")])


def test_refuses_outputs_of_another_model(tmp_path: Path) -> None:
    wanted = [Tensor("y", (2, 3), "float32"), Tensor("z", (2, 3), "float32")]
    with pytest.raises(ValueError, match="1 of 2 outputs"):
        read_outputs(write(tmp_path, outputs_text({"y": Y})), wanted)
    with pytest.raises(ValueError, match="the output 'w', where y, z belong"):
        read_outputs(write(tmp_path, outputs_text({"w": Y, "z": Y})), wanted)
    with pytest.raises(ValueError, match="no file of outputs"):
        read_outputs(tmp_path / "absent", wanted)


@given(text=st.text(max_size=300))
def test_no_file_of_outputs_is_too_odd_to_refuse(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ValueError, match="output"):
        read_outputs(path, [Tensor("y", (2, 3), "float32")])


def times_text(*starts: float) -> str:
    return json.dumps([{"startComputeMs": start, "computeMs": 2.0 + number} for number, start in enumerate(starts)])


def test_the_warm_up_is_dropped_where_the_file_holds_it(tmp_path: Path) -> None:
    path = write(tmp_path, times_text(0, 199.9, 200, 210))
    assert read_times(path, (8, 4, 1), 200) == (4.0, 5.0)
    assert read_times(path, (7,), 200) == (4.0, 5.0)
    assert read_times(path, (8, 5, 1), 200) == (2.0, 3.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (times_text(0, 1), "2 executions, 0 of them after the warm-up"),
        (times_text(), "0 executions"),
        ("[", "a file of times that cannot be read"),
        ('[{"computeMs": 1}]', "KeyError"),
        ('{"a": 1}', "TypeError"),
        ('[{"startComputeMs": 500, "computeMs": NaN}]', "not all of them a time"),
        ('[{"startComputeMs": 500, "computeMs": -1}]', "not all of them a time"),
    ],
)
def test_refuses_times_that_make_no_figure(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(found)):
        read_times(write(tmp_path, text), (8, 4, 1), 200)
    with pytest.raises(ValueError, match="no file of times"):
        read_times(tmp_path / "absent", (11,), 200)
