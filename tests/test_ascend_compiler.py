"""The compiler of OMs: options, recipe, the command of a case, and what is wrong with a graph before atc sees it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import backend as backends
from fixtures import digest
from fixtures.ascend import _flags, emulator, environment, transpose
from fixtures.ascend._atc import AtcError
from fixtures.ascend._graph import GraphError
from fixtures.ascend.compiler import ASCEND
from fixtures.backend import Backend
from fixtures.case import Case
from fixtures.catalogue import CatalogueError
from fixtures.errors import SetupError
from fixtures.model import Model, Tensor
from fixtures.models.edsr import MODEL as EDSR
from fixtures.models.enet import MODEL as ENET
from fixtures.runtime import LOG, Built, Source
from tests.cann import GOOD, Toolkit, an_om, install
from tests.test_transpose import listed, shuffle
from tests.test_transpose import toolkit as add_list

BACKEND = Backend("ascend310", "ascend", "fp16", options={"soc_version": "Ascend310"})
ONE = replace(EDSR, inputs=(Tensor("x", ("N", 3, "S", "S")),), name="one")


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolkit:
    installed = install(tmp_path)
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", str(installed.script))
    monkeypatch.delenv("SIGNOFF_TUNE", raising=False)
    return installed


def relu(path: Path, *inputs: tuple[str, tuple[int | str, ...]], opset: int = 11) -> Path:
    """Write one ReLU per input."""
    from onnx import TensorProto, helper, save

    graph = helper.make_graph(
        [helper.make_node("Relu", [name], [f"y{number}"]) for number, (name, _) in enumerate(inputs)],
        "relu",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs],
        [
            helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, list(shape))
            for number, (_, shape) in enumerate(inputs)
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def build(
    tmp_path: Path, graph: Path, model: Model = ONE, batch: int = 1, size: int = 8, backend: Backend = BACKEND
) -> Built:
    folder = tmp_path / f"building-{batch}-{size}"
    folder.mkdir(exist_ok=True)
    case = Case("sample", model.name, size, batch, backend.name)
    built = ASCEND.build(Source(model, graph, graph, {}), case, backend, folder / ASCEND.artefact)
    assert sorted(path.name for path in folder.iterdir()) == [LOG, ASCEND.artefact]
    return built


def options(backend: Backend = BACKEND, own: dict[str, Any] | None = None, **added: Any) -> dict[str, Any]:
    changed = replace(backend, options={**backend.options, **added})
    return ASCEND.options(changed, replace(ONE, engine={"ascend": own or {}}))


# Options


def test_says_the_precision_that_atc_takes_by_itself() -> None:
    assert options() == {"precision_mode": "force_fp16"}
    assert options(replace(BACKEND, precision="fp32")) == {"precision_mode": "force_fp32"}


def test_a_models_own_option_comes_before_the_backends() -> None:
    found = options(own={"op_select_implmode": "high_precision"}, op_select_implmode="high_performance", log="info")
    assert found == {"op_select_implmode": "high_precision", "log": "info", "precision_mode": "force_fp16"}


def test_every_flag_of_the_table_is_known(tmp_path: Path) -> None:
    for name in _flags.PLAIN - {"precision_mode", "precision_mode_v2", "optypelist_for_implmode"}:
        assert options(**{name: 1})[name] == 1
    for name in _flags.FILES:
        assert options(**{name: tmp_path})[name] == tmp_path
    assert not _flags.PLAIN & _flags.FILES
    assert not (_flags.PLAIN | _flags.FILES) & set(_flags.OURS)


def test_an_unknown_flag_names_the_nearest() -> None:
    with pytest.raises(CatalogueError, match="did you mean 'keep_dtype'"):
        options(keep_dtypes="x")
    with pytest.raises(CatalogueError, match="ascend310"):
        options(own={"precision": "x"})


@pytest.mark.parametrize("name", sorted(_flags.OURS))
def test_a_flag_of_our_own_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(CatalogueError, match=r"harness's own: .*leave it out"):
        options(**{name: "1"})


@pytest.mark.parametrize(
    "together",
    [
        {"precision_mode": "force_fp16", "precision_mode_v2": "fp16"},
        {"dynamic_batch_size": "1,4", "dynamic_image_size": "8,8;16,16"},
        {"dynamic_dims": "1,4", "dynamic_batch_size": "1,4"},
        {"input_shape_range": "x:[1~4,3,8,8]", "dynamic_dims": "1,4"},
        {"input_shape_range": "x:[1~4,3,8,8]", "input_shape": "x:1,3,8,8"},
    ],
)
def test_flags_that_exclude_each_other_are_refused(together: dict[str, str]) -> None:
    with pytest.raises(CatalogueError, match="expected one of"):
        options(**together)
    first, *rest = together.items()
    with pytest.raises(CatalogueError, match="expected one of"):
        options(own=dict(rest), **dict([first]))  # one of the model's, one of the backend's


@pytest.mark.parametrize(
    ("precision", "given", "fits"),
    [
        ("fp16", {"precision_mode": "allow_mix_precision"}, True),
        ("fp16", {"precision_mode_v2": "mixed_float16"}, True),
        ("fp16", {"precision_mode": "force_fp32"}, False),
        ("fp16", {"precision_mode_v2": "origin"}, False),
        ("fp32", {"precision_mode": "must_keep_origin_dtype"}, True),
        ("fp32", {"precision_mode": "force_fp16"}, False),
        ("int8", {}, False),
    ],
)
def test_the_mode_is_what_the_backend_calls_itself(precision: str, given: dict[str, str], fits: bool) -> None:
    backend = replace(BACKEND, precision=precision)
    if fits:
        assert options(backend, **given) == given
        return
    with pytest.raises(CatalogueError, match="precision"):
        options(backend, **given)


def test_a_side_file_is_a_path_and_nothing_else_is(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"keep_dtype as a Path.*with_name"):
        options(keep_dtype="keep.txt")
    for value in (tmp_path, True, None, 1.5, ["a"], ""):
        with pytest.raises(CatalogueError, match="as text or a number"):
            options(log=value)


def test_an_option_that_needs_another_is_refused_alone() -> None:
    with pytest.raises(CatalogueError, match="needs op_select_implmode"):
        options(optypelist_for_implmode="Gelu")
    with pytest.raises(CatalogueError, match="needs tuner"):
        options(job_type=1)
    with pytest.raises(CatalogueError, match="unknown tuner"):
        options(tuner="aeo")
    with pytest.raises(CatalogueError, match="job_type 1"):
        options(tuner="aoe", job_type=3)
    assert options(tuner="aoe")["job_type"] == 1


@given(st.dictionaries(st.text(max_size=20), st.one_of(st.none(), st.text(), st.integers(), st.booleans()), max_size=4))
def test_any_options_are_taken_or_refused(given: dict[str, Any]) -> None:
    try:
        found = ASCEND.options(replace(BACKEND, options={**given, "soc_version": "Ascend310"}), ONE)
    except CatalogueError:
        return
    assert "precision_mode" in found or "precision_mode_v2" in found


# Target and toolchain


def test_the_target_is_the_soc() -> None:
    assert ASCEND.target(BACKEND) == {"soc_version": "Ascend310"}
    with pytest.raises(CatalogueError, match="soc_version"):
        ASCEND.target(replace(BACKEND, options={}))


def test_the_toolchain_is_its_versions_and_the_file_that_is_edited(toolkit: Toolkit) -> None:
    toolkit.tool("atc", GOOD)
    before = ASCEND.toolchain(BACKEND)
    assert before == {"toolkit": "5.0.2", "opp": "1.76.22.3", "compiler": "1.76.22.8"}
    opp = add_list(toolkit.root, listed())
    listed_one = ASCEND.toolchain(BACKEND)
    assert listed_one == {**before, "transpose.py": digest.of_file(opp / transpose.PLACE)}
    add_list(toolkit.root, listed([1, 64, 2, 2, 256, 256]))
    assert ASCEND.toolchain(BACKEND) != listed_one


def test_a_toolchain_without_versions_is_known_by_atc_itself(toolkit: Toolkit) -> None:
    toolkit.script.write_text(f'export PATH="{toolkit.root}/bin:$PATH"\n')
    atc = toolkit.tool("atc", GOOD)
    assert ASCEND.toolchain(BACKEND) == {"atc": digest.of_file(atc)}


# Missing


def test_needs_cann_and_atc(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ASCEND.missing(BACKEND, ONE)
    assert missing is not None
    assert missing.reason.startswith("atc is not on the PATH")
    toolkit.tool("atc", GOOD)
    assert ASCEND.missing(BACKEND, ONE) is None
    monkeypatch.setenv("SIGNOFF_ASCEND_ENV", "/nowhere")
    missing = ASCEND.missing(BACKEND, ONE)
    assert missing is not None
    assert "--ascend-env" in missing.next_step


def test_the_emulator_needs_nothing(toolkit: Toolkit) -> None:
    assert ASCEND.missing(replace(BACKEND, name="ascend310~emulated"), ONE) is None


def test_a_tuned_backend_needs_aoe_and_to_be_asked_for(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = backends.find("ascend310p_aoe")
    toolkit.tool("atc", GOOD)
    missing = ASCEND.missing(tuned, ONE)
    assert missing is not None
    assert missing.reason.startswith("aoe is not on the PATH")
    toolkit.tool("aoe", GOOD)
    missing = ASCEND.missing(tuned, ONE)
    assert missing is not None
    assert missing.next_step == "python -m fixtures engines build --tune --backend ascend310p_aoe"
    monkeypatch.setenv("SIGNOFF_TUNE", "1")
    assert ASCEND.missing(tuned, ONE) is None


# The command of a case


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_an_open_batch_is_fixed_to_the_case(toolkit: Toolkit, tmp_path: Path, batch: int) -> None:
    toolkit.tool("atc", GOOD)
    built = build(tmp_path, relu(tmp_path / "x.onnx", ("x", ("N", 3, 8, 8))), batch=batch)
    assert toolkit.flags("atc")["input_shape"] == f"x:{batch},3,8,8"
    assert built.facts["command"] == toolkit.calls("atc")[0]["argv"]


def test_names_come_from_the_graph_and_numbers_from_the_case(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", GOOD)
    graph = relu(tmp_path / "x.onnx", ("actual:input.1", ("N", 3, "H", "W")))
    build(tmp_path, graph, batch=2, size=24)
    flags = toolkit.flags("atc")
    assert flags["input_shape"] == "actual:input.1:2,3,24,24"
    assert flags["input_format"] == "NCHW"
    assert flags["log"] == "error"
    assert flags["precision_mode"] == "force_fp16"


def test_several_inputs_that_are_no_images(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", GOOD)
    model = replace(ONE, inputs=(Tensor("ids", ("N", "S"), "int64"), Tensor("image", ("N", 3, 8, 8))))
    build(tmp_path, relu(tmp_path / "x.onnx", ("ids", ("N", "L")), ("image", ("N", 3, 8, 8))), model, size=128)
    flags = toolkit.flags("atc")
    assert flags["input_shape"] == "ids:1,128;image:1,3,8,8"
    assert flags["input_format"] == "ND"


@pytest.mark.parametrize(
    ("gears", "shape", "layout"),
    [
        ({"dynamic_batch_size": "1,4"}, "x:-1,3,8,8", "NCHW"),
        ({"dynamic_image_size": "8,8;16,16"}, "x:1,3,-1,-1", "NCHW"),
        ({"dynamic_dims": "1,8,8;4,8,8"}, "x:-1,3,-1,-1", "ND"),
        ({"input_shape": "x:1~4,3,8,8"}, "x:1~4,3,8,8", "NCHW"),
    ],
)
def test_gears_leave_their_axes_open(
    toolkit: Toolkit, tmp_path: Path, gears: dict[str, str], shape: str, layout: str
) -> None:
    toolkit.tool("atc", GOOD)
    backend = replace(BACKEND, options={**BACKEND.options, **gears})
    build(tmp_path, relu(tmp_path / "x.onnx", ("x", ("N", 3, "H", "W"))), backend=backend)
    flags = toolkit.flags("atc")
    assert (flags["input_shape"], flags["input_format"]) == (shape, layout)
    assert flags.items() >= gears.items()


def test_a_range_of_shapes_stands_alone(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", GOOD)
    backend = replace(BACKEND, options={**BACKEND.options, "input_shape_range": "x:[1~4,3,8,8]"})
    build(tmp_path, relu(tmp_path / "x.onnx", ("x", ("N", 3, 8, 8))), backend=backend)
    assert "input_shape" not in toolkit.flags("atc")
    assert toolkit.flags("atc")["input_shape_range"] == "x:[1~4,3,8,8]"


def test_a_side_file_is_given_by_its_full_path(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit.tool("atc", GOOD)
    (tmp_path / "switch.cfg").write_text("TransposeReshapeFusionPass:off\n")
    monkeypatch.chdir(tmp_path)
    model = replace(ONE, engine={"ascend": {"fusion_switch_file": Path("switch.cfg")}})
    build(tmp_path, relu(tmp_path / "x.onnx", ("x", (1, 3, 8, 8))), model)
    assert toolkit.flags("atc")["fusion_switch_file"] == str(tmp_path / "switch.cfg")
    (tmp_path / "switch.cfg").unlink()
    with pytest.raises(SetupError, match=r"fusion_switch_file: expected the file .*switch\.cfg; found nothing"):
        build(tmp_path, tmp_path / "x.onnx", model)


def test_the_switch_of_edsr_is_the_line_of_the_guide() -> None:
    path = Path(_flags.__file__).parents[1] / "models" / "_edsr_switch.cfg"
    assert path.read_text() == "TransposeReshapeFusionPass:off\n"


# The graph


@pytest.mark.parametrize("cut", [0.99, 0.5, 0.01])
def test_refuses_a_truncated_graph(toolkit: Toolkit, tmp_path: Path, cut: float) -> None:
    toolkit.tool("atc", GOOD)
    whole = shuffle(tmp_path / "x.onnx").read_bytes()
    (tmp_path / "x.onnx").write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(GraphError, match=r"expected .*ONNX file.*export or copy it again"):
        build(tmp_path, tmp_path / "x.onnx")
    assert toolkit.calls("atc") == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"version https://git-lfs.github.com", an_om(), b"\0" * 99]
)
def test_refuses_what_is_no_onnx(toolkit: Toolkit, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(GraphError, match=r"expected .*ONNX file"):
        build(tmp_path, tmp_path / "x.onnx")


def test_warns_of_an_opset_that_old_atc_does_not_know(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", GOOD)
    old = relu(tmp_path / "old.onnx", ("x", (1, 3, 8, 8)), opset=11)
    new = relu(tmp_path / "new.onnx", ("x", (1, 3, 8, 8)), opset=17)
    assert build(tmp_path, old).warnings == ()
    (warning,) = build(tmp_path, new).warnings
    assert "opset 17" in warning
    assert "E19010" in warning
    next(toolkit.root.glob("*-linux/*.info")).write_text("version=7.0.0\n")
    built = build(tmp_path, new)
    assert built.warnings == ()
    assert (built.facts["opset"], built.facts["versions"]["toolkit"]) == (17, "7.0.0")


@pytest.mark.parametrize(
    ("shape", "batch", "size", "has"),
    [
        ((1, 3, 8, 8), 4, 8, "1 x 3 x 8 x 8"),
        (("N", 3, 8, 8), 1, 16, "open x 3 x 8 x 8"),
        (("N", 3, 8), 1, 8, "open x 3 x 8"),
        ((), 1, 8, "no shape"),
    ],
)
def test_refuses_a_graph_of_another_shape(
    toolkit: Toolkit, tmp_path: Path, shape: tuple[int | str, ...], batch: int, size: int, has: str
) -> None:
    with pytest.raises(GraphError, match=f"expected input x as {batch} x 3 x {size} x {size}; .* has {has};"):
        build(tmp_path, relu(tmp_path / "x.onnx", ("x", shape)), batch=batch, size=size)


def test_refuses_a_static_graph_where_gears_need_an_open_axis(toolkit: Toolkit, tmp_path: Path) -> None:
    backend = replace(BACKEND, options={**BACKEND.options, "dynamic_batch_size": "1,4"})
    with pytest.raises(GraphError, match="expected input x as open x 3 x 8 x 8"):
        build(tmp_path, relu(tmp_path / "x.onnx", ("x", (1, 3, 8, 8))), backend=backend)


def test_a_dynamic_graph_becomes_static_where_nothing_else_is_asked(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", GOOD)
    build(tmp_path, relu(tmp_path / "x.onnx", ("x", ("N", "C", "H", "W"))))
    assert "-1" not in toolkit.flags("atc")["input_shape"]


def test_refuses_a_graph_with_other_inputs(toolkit: Toolkit, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"expected 1 inputs, as one has; .* has x, z;"):
        build(tmp_path, relu(tmp_path / "x.onnx", ("x", (1, 3, 8, 8)), ("z", (1, 3, 8, 8))))
    with pytest.raises(GraphError, match="without a semicolon"):
        build(tmp_path, relu(tmp_path / "x.onnx", ("x;z", (1, 3, 8, 8))))


def test_weights_that_are_listed_as_inputs_are_not_fed(toolkit: Toolkit, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "old",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("w", "x")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
        [numpy_helper.from_array(np.zeros((1, 3, 8, 8), np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=3), tmp_path / "x.onnx")
    toolkit.tool("atc", GOOD)
    build(tmp_path, tmp_path / "x.onnx")
    assert toolkit.flags("atc")["input_shape"] == "x:1,3,8,8"


# What is told beside the engine


def test_a_slow_transpose_is_told_with_the_engine(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", GOOD)
    graph = shuffle(tmp_path / "x.onnx", (1, 3, 8, 8))
    assert build(tmp_path, graph).facts["transpose"]["note"] == "not applicable: the toolkit has no such list"
    add_list(toolkit.root, listed())
    built = build(tmp_path, graph)
    (warning,) = built.warnings
    assert "[1, 64, 2, 2, 8, 8]" in warning
    assert built.facts["transpose"] == {
        "shapes": [[1, 64, 2, 2, 8, 8]],
        "absent": [[1, 64, 2, 2, 8, 8]],
        "note": "",
    }
    add_list(toolkit.root, listed([1, 64, 2, 2, 8, 8]))
    assert build(tmp_path, graph).warnings == ()


def test_the_ladder_against_a_loss_in_fp16_ends_in_fp32() -> None:
    for backend in (BACKEND, replace(BACKEND, name="ascend310~emulated")):
        lines = ASCEND.remedies(backend)
        assert [
            word in line
            for word, line in zip(("keep_dtype", "high_precision", "allow_mix", "fp32"), lines, strict=True)
        ]
        assert "own speed counts" in lines[0]
        assert all("backends/ascend310.py" in line and "Ascend310'" in line for line in lines)
        assert "precision='fp32'" in lines[-1]
    assert ASCEND.remedies(replace(BACKEND, precision="fp32")) == ()


def test_every_step_of_the_ladder_is_a_backend_that_is_taken(tmp_path: Path) -> None:
    for line in ASCEND.remedies(BACKEND):
        said = line.partition("with precision=")[2]
        settings = eval(f"dict(precision={said})", {"Path": Path, "__file__": str(tmp_path / "own.py")})
        assert ASCEND.options(replace(BACKEND, **settings), ONE)


def test_an_error_of_atc_passes(toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.tool("atc", "print(FAILED); print('E10001: Value Ascend31 for parameter --soc_version'); sys.exit(255)")
    with pytest.raises(AtcError, match="case-sensitive"):
        build(tmp_path, relu(tmp_path / "x.onnx", ("x", (1, 3, 8, 8))))


@pytest.mark.parametrize("name", ["ascend310", "ascend310p", "ascend310p_aoe"])
def test_the_backends_are_taken_for_both_models(name: str) -> None:
    backend = backends.find(name)
    assert backend.precision == "fp16"
    assert backend.runtime == "ascend"
    assert backend.devices_per_card == (4 if name == "ascend310" else 1)
    for model in (EDSR, ENET):
        assert ASCEND.options(backend, model)["precision_mode"] == "force_fp16"
    assert ASCEND.target(backend)["soc_version"] == ("Ascend310" if name == "ascend310" else "Ascend310P3")


def test_what_composes_the_command_is_part_of_the_recipe(tmp_path: Path) -> None:
    folder = Path(_flags.__file__).parent
    copy = tmp_path / "ascend"
    shutil.copytree(folder, copy)
    before = digest.of_code(copy / "compiler.py")
    for name in ("_atc.py", "_aoe.py", "_flags.py", "_graph.py"):
        with (copy / name).open("a") as mended:
            mended.write("# mended\n")
        after = digest.of_code(copy / "compiler.py")
        assert after != before
        before = after


def test_how_many_kernels_were_compiled_at_a_time_is_recorded(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TE_PARALLEL_COMPILER", "3")
    toolkit.tool("atc", GOOD)
    built = build(tmp_path, relu(tmp_path / "x.onnx", ("x", (1, 3, 8, 8))))
    assert built.facts["settings"] == {"TE_PARALLEL_COMPILER": "3"}


@pytest.mark.parametrize(
    ("gears", "dynamic", "words"),
    [
        ({"dynamic_dims": "1,8,8;4,8,8"}, True, "take dynamic_batch_size"),
        ({"dynamic_dims": "1,8,8;4,8,8"}, False, "take dynamic_batch_size"),
        ({"dynamic_image_size": "8,8;16,16"}, True, "take dynamic_batch_size"),
        ({"dynamic_batch_size": "1,4"}, False, "set `dynamic_batch=True`"),
        ({"dynamic_batch_size": "1,4"}, True, "export it for this batch and size"),
        ({}, True, "export it for this batch and size"),
        ({}, False, "or with `dynamic_batch=True`"),
    ],
)
def test_the_next_step_is_one_that_was_not_taken(
    toolkit: Toolkit, tmp_path: Path, gears: dict[str, str], dynamic: bool, words: str
) -> None:
    backend = replace(BACKEND, options={**BACKEND.options, **gears})
    graph = relu(tmp_path / "x.onnx", ("x", (2, 3, 9, 9)))
    with pytest.raises(GraphError) as caught:
        build(tmp_path, graph, replace(ONE, dynamic_batch=dynamic), backend=backend)
    assert words in str(caught.value)
    assert not dynamic or "dynamic_batch=True" not in str(caught.value)


def test_an_emulated_toolchain_is_that_of_its_scenario_and_of_the_stand_ins(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated = replace(BACKEND, name="ascend310~emulated")
    usual = ASCEND.toolchain(emulated)
    assert usual["emulator"] == emulator.code()
    assert "emulator" not in ASCEND.toolchain(BACKEND)
    (tmp_path / "scenario.json").write_text('{"cann": "5.0.2"}')
    monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))
    assert ASCEND.toolchain(emulated) == usual | dict.fromkeys(("toolkit", "opp", "compiler"), "5.0.2")


def test_warnings_of_an_old_release_are_reachable_in_the_emulator(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated = replace(BACKEND, name="ascend310~emulated")
    (tmp_path / "scenario.json").write_text('{"cann": "5.1.0"}')
    monkeypatch.setenv("SIGNOFF_EMULATOR_SCENARIO", str(tmp_path / "scenario.json"))
    built = build(tmp_path, shuffle(tmp_path / "x.onnx", ("N", 3, 8, 8)), batch=1, backend=emulated)
    assert any("expect a slow TransposeD" in warning for warning in built.warnings)
    built = build(tmp_path, relu(tmp_path / "later.onnx", ("x", (1, 3, 8, 8)), opset=13), backend=emulated)
    assert any("opset 13, and atc of CANN 5.1.0 is documented for 11" in warning for warning in built.warnings)
    with pytest.raises(AtcError, match="E19010"):
        build(tmp_path, relu(tmp_path / "new.onnx", ("x", (1, 3, 8, 8)), opset=17), backend=emulated)


def test_builds_through_the_emulator(toolkit: Toolkit, tmp_path: Path) -> None:
    emulated = replace(BACKEND, name="ascend310~emulated")
    built = build(tmp_path, shuffle(tmp_path / "x.onnx", ("N", 3, 8, 8)), batch=1, backend=emulated)
    assert built.facts["command"][0] == str(environment.EMULATOR / "bin" / "atc")
    assert built.facts["transpose"]["shapes"] == [[1, 64, 2, 2, 8, 8]]
