"""The stand-in for atc: its command line, its codes, its files and its failures on demand."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests import graphs, standins
from tests.standins import EMULATOR, Ended, Tool

SUCCESS = "ATC run success, welcome to the next use."
FAILURE = "ATC run failed, Please check the detail log, Try 'atc --help' for more information"
CODE = re.compile(r"^(E[0-9A-Z]\d{4}): (.*)$", re.MULTILINE)
LARGE = "image:-1,3,8,8"
AIPP = (
    "aipp_op { aipp_mode: static\n input_format: RGB888_U8\n related_input_rank: 0\n rbuv_swap_switch: true\n"
    " mean_chn_0: 104\n var_reci_chn_0: 0.5 }"
)


@pytest.fixture
def atc(tmp_path, monkeypatch, capsys) -> Tool:
    tool = Tool("emulated_atc", tmp_path, monkeypatch, capsys)
    graphs.save(tmp_path / "m.onnx", graphs.convolution())
    return tool


def flags(**changed: str | None) -> list[str]:
    """Return a command line that builds, with some flags changed or left out."""
    usual: dict[str, str | None] = {
        "framework": "5",
        "model": "m.onnx",
        "output": "out",
        "soc_version": "Ascend310",
        "input_shape": "image:4,3,8,8",
        "log": "error",
    }
    return [f"--{name}={value}" for name, value in {**usual, **changed}.items() if value is not None]


def read(atc: Tool, name: str = "out.om") -> tuple[dict, bytes]:
    return atc.load("emulated_om").read(atc.folder / name)


def code(ended: Ended) -> str:
    assert ended.status == 255
    assert FAILURE in ended.lines
    assert SUCCESS not in ended.output
    return CODE.search(ended.output)[1]


def test_builds_and_says_so_as_atc_does(atc):
    ended = atc(*flags())
    assert ended.status == 0
    assert ended.lines[0] == "ATC start working now, please wait for a moment."
    assert set(ended.lines[-2]) == {"."}
    assert ended.lines[-1] == SUCCESS
    meta, content = read(atc)
    assert content == (atc.folder / "m.onnx").read_bytes()
    assert meta["inputs"] == [{"name": "image", "shape": [4, 3, 8, 8], "dtype": "float32"}]
    assert meta["outputs"] == [{"name": "second:0:class", "shape": [4, 4, 8, 8], "dtype": "float32"}]
    assert (meta["soc_version"], meta["precision_mode"], meta["tuned"]) == ("Ascend310", "force_fp16", 1.0)
    assert (meta["gears"], meta["dynamic"], meta["command"]) == ({}, False, ["atc", *flags()])


def test_log_and_artefact_carry_the_mark(atc):
    assert any(line.startswith("signoff emulator: ") for line in atc(*flags()).lines)
    assert any(line.startswith("signoff emulator: ") for line in atc(*flags(soc_version="nope")).lines)
    assert (atc.folder / "out.om").read_bytes()[120:139] == b"EMULATED BY SIGNOFF"


def test_takes_values_after_a_blank_and_the_last_of_two(atc):
    words = [word for flag in flags() for word in flag.split("=", 1)]
    assert atc(*words, "--soc_version", "Ascend310P3").status == 0
    assert read(atc)[0]["soc_version"] == "Ascend310P3"


@pytest.mark.parametrize("word", ["--framewor=5", "--workspace=3", "stray"])
def test_refuses_an_unknown_flag(atc, word):
    ended = atc(*flags(), word)
    assert ended.status == 255
    assert FAILURE in ended.lines
    assert "unknown command line flag" in ended.error
    assert not (atc.folder / "out.om").exists()


@pytest.mark.parametrize("argv", [["--help"], ["-h"], []])
def test_prints_its_flags_on_request(atc, argv):
    ended = atc(*argv)
    assert ended.status == 0
    assert "--soc_version" in ended.output


GEARS = {"input_shape": LARGE}
HW = {"input_shape": "image:1,3,-1,-1"}
ND = {"input_shape": LARGE, "input_format": "ND"}
REFUSALS = {
    "E10001": [
        {"soc_version": "Ascend999"},
        {"soc_version": "ascend310"},
        {"precision_mode": "fp16"},
        {"op_select_implmode": "fast"},
        {"auto_tune_mode": "RL,GA"},
        {"input_shape": "image:4,5,8,8"},
        {"output_type": "FP64"},
    ],
    "E10002": [{"input_shape": "4,3,8,8"}, {"input_shape": "image:a,3,8,8"}],
    "E10003": [{**GEARS, "dynamic_dims": "1;2"}],
    "E10004": [{"precision_mode": ""}],
    "E10006": [{"enable_small_channel": "yes"}],
    "E10007": [{"output": None}, {"soc_version": None}, {"model": None}, {"framework": None}, {"framework": "7"}],
    "E10008": [{"framework": "0"}],
    "E10009": [
        {**GEARS, "dynamic_batch_size": "1,2", "dynamic_image_size": "8,8;4,4"},
        {**GEARS, "dynamic_dims": "1;2", "input_shape_range": "image:[1~8,3,8,8]"},
    ],
    "E10010": [{"log": "loud"}],
    "E10011": [{"input_shape": "image:0,3,8,8"}, {"input_shape": "image:-2,3,8,8"}],
    "E10014": [{**GEARS, "dynamic_batch_size": "1,two"}],
    "E10016": [{"input_shape": "images:4,3,8,8"}, {"input_fp16_nodes": "images"}],
    "E10018": [{"input_shape": "image:-1,3,-1,8", "dynamic_batch_size": "1,2"}],
    "E10019": [{**GEARS, "dynamic_image_size": "8,8;4,4"}],
    "E10020": [{**HW, "dynamic_image_size": "8,8;4"}, {**HW, "dynamic_image_size": "8,8;x,4"}],
    "E10021": [{"output": "o" * 300}],
    "E10022": [{"output": "folder/"}, {"output": "."}],
    "E10031": [{"dynamic_batch_size": "1,2"}],
    "E10035": [{**GEARS, "dynamic_batch_size": "1"}, {**HW, "dynamic_image_size": "8,8"}],
    "E10036": [{**GEARS, "dynamic_batch_size": ",".join(map(str, range(1, 102)))}],
    "E10037": [{**ND, "dynamic_dims": "1;2,3"}],
    "E10038": [{**GEARS, "dynamic_batch_size": "1,0"}],
    "E10039": [{**GEARS, "dynamic_batch_size": "2,2"}],
    "E10040": [{"dynamic_image_size": "8,8;4,4"}, {"input_shape": "image:1~4,3,8,8", "dynamic_batch_size": "1,2"}],
    "E10041": [{"model": "text"}, {"model": "empty"}, {"model": "truncated.onnx"}],
    "E10045": [{**ND, "dynamic_dims": "1,1;2,2"}],
    "E10046": [{"input_shape": "image:-1,3,-1,8", "input_format": "ND", "dynamic_dims": "1;2"}],
    "E10047": [{"precision_mode": "force_fp32", "precision_mode_v2": "fp16"}],
    "E10049": [{"input_shape": "image:4,3,8"}],
    "E10052": [{"insert_op_conf": "text"}],
    "E10054": [{"soc_version": ""}, {"output": ""}, {"model": ""}],
    "E10055": [{"mode": "1"}, {"framework": "3"}],
    "E10057": [{"optypelist_for_implmode": "Gelu"}],
    "E10410": [{"keep_dtype": "absent"}, {"customize_dtypes": "absent"}],
    "E11005": [{"input_shape": None}],
    "E11017": [{"out_nodes": "third:0"}, {"out_nodes": "first:1"}, {"output_type": "third:0:FP16"}],
    "E13001": [
        {"model": "absent.onnx"},
        {"fusion_switch_file": "absent"},
        {"insert_op_conf": "absent"},
        {"op_precision_mode": "absent"},
        {"modify_mixlist": "absent"},
    ],
    "E19010": [{"model": "foreign.onnx"}, {"model": "invented.onnx"}, {"model": "new.onnx"}],
}


@pytest.mark.parametrize(("expected", "changed"), [(code, case) for code, cases in REFUSALS.items() for case in cases])
def test_refuses_with_its_code(atc, expected, changed):
    (atc.folder / "text").write_text("no protobuf")
    (atc.folder / "empty").write_bytes(b"")
    (atc.folder / "truncated.onnx").write_bytes((atc.folder / "m.onnx").read_bytes()[:-40])
    graphs.save(atc.folder / "foreign.onnx", graphs.convolution(operator="Mine"))
    invented = graphs.convolution()
    invented.graph.node[1].domain = "somewhere"
    graphs.save(atc.folder / "invented.onnx", invented)
    graphs.save(atc.folder / "new.onnx", graphs.convolution(opset=21))
    assert code(atc(*flags(**changed))) == expected
    assert not (atc.folder / "out.om").exists()


def test_names_what_it_refuses(atc):
    assert (
        "Opname [images] specified in --[input_shape] is not found in the model"
        in atc(*flags(input_shape="images:4,3,8,8")).output
    )
    graphs.save(atc.folder / "foreign.onnx", graphs.convolution(operator="Convx"))
    foreign = atc(*flags(model="foreign.onnx")).output
    assert "E19010: No parser is registered for Op [second, optype [ai.onnx::11::Convx]]." in foreign
    assert (
        "E10010: invalid value for --log:X, only support debug, info, warning, error, null"
        in atc(*flags(log="X")).output
    )


def test_errors_from_cann_8_on_carry_process_and_time(atc):
    atc.scenario(cann="8.0.0")
    line = CODE.search(atc(*flags(input_shape="images:4,3,8,8")).output)[2]
    assert re.match(r"\[PID: \d+\] \d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{3}\.\d{3} Opname images specified in", line)


def test_an_old_release_knows_old_opsets_and_no_open_shape_and_still_takes_auto_tune(atc):
    atc.scenario(cann="5.0.2")
    assert atc(*flags(auto_tune_mode="RL,GA")).status == 0
    assert code(atc(*flags(input_shape=LARGE))) == "E10011"
    graphs.save(atc.folder / "newer.onnx", graphs.convolution(opset=14))
    assert code(atc(*flags(model="newer.onnx"))) == "E19010"


@pytest.mark.parametrize("asked", ["EZ3003", "EZ3002", "E19999", "E40021", "E20001", "EZ9999", "EZ0501", "E10501"])
def test_fails_with_any_code_asked_for(atc, asked):
    atc.scenario(atc={"fault": "code", "code": asked})
    ended = atc(*flags())
    assert code(ended) == asked
    if asked == "EZ3003":
        assert "No supported Ops kernel and engine are found for [first], optype [Conv]." in ended.output


def test_adds_its_suffix_to_whatever_is_asked_for(atc):
    assert atc(*flags(output="deep/x.om")).status == 0
    assert (atc.folder / "deep" / "x.om.om").is_file()


@pytest.mark.parametrize("shape", [LARGE, "image:1~8,3,8,8", None])
def test_open_shapes_bind_the_name_to_system_and_processor(atc, shape):
    ranged = {"input_shape_range": "image:[1~8,3,8,8]"} if shape is None else {}
    assert atc(*flags(input_shape=shape, host_env_os="linux", host_env_cpu="aarch64", **ranged)).status == 0
    meta, _ = read(atc, "out_linux_aarch64.om")
    assert meta["dynamic"] is True
    assert meta["inputs"][0]["shape"] == [-1, 3, 8, 8]
    assert not (atc.folder / "out.om").exists()


@pytest.mark.parametrize(
    ("shape", "gears", "expected"),
    [
        (LARGE, {"dynamic_batch_size": "1,4,8"}, {"batch": [1, 4, 8]}),
        (LARGE, {"dynamic_dims": "1;4", "input_format": "ND"}, {"dims": [[1], [4]]}),
        ("image:1,3,-1,-1", {"dynamic_image_size": "8,8;16,24"}, {"hw": [[8, 8], [16, 24]]}),
    ],
)
def test_gears_keep_the_plain_name(atc, shape, gears, expected):
    open_graph = graphs.convolution()
    for info in (*open_graph.graph.input, *open_graph.graph.output):
        for axis in (0, 2, 3):
            info.type.tensor_type.shape.dim[axis].dim_param = f"axis{axis}"
    graphs.save(atc.folder / "m.onnx", open_graph)
    assert atc(*flags(input_shape=shape, **gears)).status == 0
    meta, _ = read(atc)
    assert meta["gears"] == expected
    assert meta["dynamic"] is False
    assert -1 in meta["inputs"][0]["shape"]


def test_shapes_follow_through_the_graph(atc):
    nodes = [helper.make_node("DepthToSpace", ["image"], ["class"], name="shuffle", blocksize=2)]
    shuffled = graphs.model(
        nodes,
        inputs={"image": (TensorProto.FLOAT, ["N", 4, "H", "W"])},
        outputs={"class": (TensorProto.FLOAT, ["N", 1, "H2", "W2"])},
        weights={},
    )
    graphs.save(atc.folder / "m.onnx", shuffled)
    assert atc(*flags(input_shape="image:2,4,5,6")).status == 0
    assert read(atc)[0]["outputs"][0]["shape"] == [2, 1, 10, 12]


def test_shapes_that_contradict_the_graph_are_an_inner_error(atc):
    nodes = [helper.make_node("MatMul", ["image", "w"], ["class"], name="product")]
    product = graphs.model(
        nodes,
        inputs={"image": (TensorProto.FLOAT, ["N", "K"])},
        outputs={"class": (TensorProto.FLOAT, ["N", 3])},
        weights={"w": np.zeros((4, 3), np.float32)},
    )
    graphs.save(atc.folder / "m.onnx", product)
    assert atc(*flags(input_shape="image:2,4")).status == 0
    assert code(atc(*flags(input_shape="image:2,5", output="other"))) == "E19999"


def test_an_image_of_bytes_takes_the_place_of_the_input(atc):
    (atc.folder / "aipp.cfg").write_text(AIPP)
    assert atc(*flags(insert_op_conf="aipp.cfg")).status == 0
    meta, _ = read(atc)
    assert meta["inputs"] == [{"name": "image", "shape": [4, 8, 8, 3], "dtype": "uint8"}]
    assert meta["aipp"] == {"mean": [104, 0, 0], "min": [0, 0, 0], "var": [0.5, 1, 1], "swap": True}
    assert code(atc(*flags(insert_op_conf="aipp.cfg", input_fp16_nodes="image"))) == "E10034"
    (atc.folder / "aipp.cfg").write_text("aipp_op { aipp_mode: dynamic }")
    assert code(atc(*flags(insert_op_conf="aipp.cfg"))) == "E10055"


def test_types_of_inputs_and_outputs_follow_their_flags(atc):
    assert atc(*flags(input_fp16_nodes="image", output_type="second:0:UINT8")).status == 0
    meta, _ = read(atc)
    assert [found["dtype"] for found in (*meta["inputs"], *meta["outputs"])] == ["float16", "uint8"]
    assert atc(*flags(output_type="FP16")).status == 0
    assert read(atc)[0]["outputs"][0]["dtype"] == "float16"


def test_inner_nodes_become_outputs(atc):
    assert atc(*flags(out_nodes="first:0")).status == 0
    meta, content = read(atc)
    assert meta["outputs"] == [{"name": "first:0:features", "shape": [4, 4, 8, 8], "dtype": "float32"}]
    assert [info.name for info in onnx.load_from_string(content).graph.output] == ["features"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "force_fp16"),
        ({"precision_mode": "force_fp32"}, "force_fp32"),
        ({"precision_mode_v2": "origin"}, "must_keep_origin_dtype"),
        ({"precision_mode_v2": "mixed_float16"}, "allow_mix_precision_fp16"),
    ],
)
def test_the_precision_is_in_the_file(atc, given, expected):
    assert atc(*flags(**given)).status == 0
    assert read(atc)[0]["precision_mode"] == expected


def test_side_files_that_are_there_are_taken(atc):
    (atc.folder / "switch.cfg").write_text("TransposeReshapeFusionPass:off\n")
    (atc.folder / "keep.cfg").write_text("first\n")
    assert atc(*flags(fusion_switch_file="switch.cfg", keep_dtype="keep.cfg")).status == 0


def test_leaves_what_atc_leaves_in_the_working_directory(atc):
    atc(*flags(output=str(atc.folder / "elsewhere" / "out")))
    assert (atc.folder / "fusion_result.json").is_file()
    assert list((atc.folder / "kernel_meta").iterdir())
    assert list((atc.folder / "home" / "atc_data" / "kernel_cache" / "Ascend310").iterdir())


def test_a_home_that_cannot_be_written_is_no_failure(atc, monkeypatch):
    (atc.folder / "file").write_text("")
    monkeypatch.setenv("HOME", str(atc.folder / "file"))
    assert atc(*flags()).status == 0


def test_an_output_that_cannot_be_written_is_a_failure(atc):
    (atc.folder / "file").write_text("")
    assert code(atc(*flags(output="file/out"))) == "E13004"


@pytest.mark.parametrize("how", ["variable", "scenario"])
def test_mixes_its_log_into_the_output(atc, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("ASCEND_SLOG_PRINT_TO_STDOUT", "1")
    else:
        atc.scenario(atc={"slog": True})
    ended = atc(*flags())
    assert ended.status == 0
    assert re.match(r"\[ERROR\] GE\(\d+,atc\.bin\):2023-", ended.lines[0])
    assert SUCCESS in ended.lines


TYPED = ("input_shape", "dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "out_nodes", "output_type", "log")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(TYPED), st.text('image:;,~-1238FP"', max_size=12), max_size=3))
def test_whatever_is_typed_ends_with_a_line_and_a_status(atc, changed):
    ended = atc(*flags(**changed))
    assert (ended.status, ended.lines[-1]) == (0, SUCCESS) or code(ended)


def command(folder: Path) -> list[str]:
    graphs.save(folder / "m.onnx", graphs.convolution())
    return flags()


def test_success_without_a_file(atc):
    atc.scenario(atc={"fault": "exit0_nofile"})
    ended = atc(*flags())
    assert (ended.status, ended.lines[-1]) == (0, SUCCESS)
    assert not (atc.folder / "out.om").exists()


def test_failure_with_a_file(atc):
    atc.scenario(atc={"fault": "exit255_file"})
    ended = atc(*flags())
    assert (ended.status, ended.lines[-1]) == (255, FAILURE)
    assert read(atc)


def test_success_with_half_a_file(atc):
    atc.scenario(atc={"fault": "partial"})
    ended = atc(*flags())
    assert (ended.status, ended.lines[-1]) == (0, SUCCESS)
    with pytest.raises(ValueError, match="after the header"):
        read(atc)


@pytest.mark.parametrize(
    ("fault", "number", "left"), [("killed", signal.SIGKILL, False), ("crash_mid", signal.SIGSEGV, True)]
)
def test_ends_by_a_signal_and_says_nothing_of_it(tmp_path, fault, number, left):
    ended = standins.run("atc", *command(tmp_path), cwd=tmp_path, scenario={"atc": {"fault": fault}})
    assert ended.status == -number
    assert "ATC run" not in ended.output
    assert (tmp_path / "out.om").exists() is left


def test_hangs_until_it_is_killed(tmp_path):
    with standins.start("atc", *command(tmp_path), cwd=tmp_path, scenario={"atc": {"fault": "hang"}}) as process:
        assert process.stdout.readline().startswith("ATC start working now")
        assert process.stdout.readline().startswith("signoff emulator: ")
        os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout.read() == ""
    assert process.returncode == -signal.SIGKILL


def test_prints_as_much_as_is_asked_for(tmp_path):
    ended = standins.run("atc", *command(tmp_path), cwd=tmp_path, scenario={"atc": {"spam_mb": 3}})
    assert ended.status == 0
    assert 3 << 20 <= len(ended.output) <= (3 << 20) + 1000


def test_runs_from_a_folder_with_blanks_and_whatever_lies_in_it(tmp_path):
    folder = tmp_path / "with a blank"
    folder.mkdir()
    (folder / "json.py").write_text("raise SystemExit('taken for a module')")
    link = folder / "site of tools"
    link.symlink_to(EMULATOR)
    argv = command(folder)
    assert standins.run("atc", *argv, cwd=folder).status == 0
    ended = subprocess.run(
        [str(link / "bin" / "atc"), *argv],
        cwd=folder,
        env={"PATH": os.defpath, "SIGNOFF_EMULATOR_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_toolkit_sets_up_an_environment_with_versions_and_operators(tmp_path):
    script = f'. "{EMULATOR}/toolkit/set_env.sh" && printf "%s\\n" "$ASCEND_TOOLKIT_HOME" "$ASCEND_OPP_PATH" "$PATH"'
    found = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    home = Path(found[0])
    assert home == EMULATOR / "toolkit"
    assert found[2].startswith(f"{EMULATOR / 'bin'}:")
    installed = (home / f"{os.uname().machine}-linux" / "ascend_toolkit_install.info").read_text()
    assert re.search(r"^version=(.*)$", installed, re.MULTILINE)[1] == "7.0.0"
    assert "runtime_running_version=[" in (home / "version.cfg").read_text()
    for part in ("opp", "compiler", "runtime", "driver", "firmware"):
        assert (home / part / "version.info").read_text().startswith("Version=")
    transpose = Path(found[1]) / "op_impl/built-in/ai_core/tbe/impl/dynamic/transpose.py"
    names = {node.name for node in ast.walk(ast.parse(transpose.read_text())) if isinstance(node, ast.FunctionDef)}
    assert names == {"_by_dynamic_static_union_version"}
