"""From a checkpoint to an ONNX file that is what the guides export, and computes what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fixtures import checkpoints
from fixtures import export as exporting
from fixtures.export import ExportError, check, export
from fixtures.model import Model, Tensor
from fixtures.models import edsr, enet

if TYPE_CHECKING:
    import onnx

SIZES = {"edsr": 16, "enet": 64}
MODELS = [pytest.param(edsr.MODEL, id="edsr"), pytest.param(enet.MODEL, id="enet")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return random weights of both networks."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    paths = {}
    for model in (edsr.MODEL, enet.MODEL):
        assert model.network is not None
        paths[model.name] = tmp_path_factory.mktemp("weights") / f"{model.name}.safetensors"
        save_file(model.network().state_dict(), paths[model.name])
    return paths


@pytest.fixture(scope="module")
def graphs(weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return both exported graphs at batch 1; tests that change one write another file."""
    made = {}
    for model in (edsr.MODEL, enet.MODEL):
        made[model.name] = tmp_path_factory.mktemp("graphs") / "graph.onnx"
        export(model, weights[model.name], SIZES[model.name], 1, made[model.name])
    return made


def describe(path: Path) -> tuple[int, dict[str, list[Any]], dict[str, list[Any]]]:
    """Return opset, inputs and outputs of a graph, open axes by name."""
    import onnx

    graph = onnx.load(path)
    sides = [
        {value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in side}
        for side in (graph.graph.input, graph.graph.output)
    ]
    return graph.opset_import[0].version, sides[0], sides[1]


def changed(graph: Path, target: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    import onnx

    loaded = onnx.load(graph)
    change(loaded)
    onnx.save(loaded, target)
    return target


# As the guides do


def test_edsr_is_exported_as_its_guide_does(graphs: dict[str, Path]) -> None:
    opset, inputs, outputs = describe(graphs["edsr"])
    assert opset == 9
    assert inputs == {"input.1": [1, 3, 16, 16]}
    assert list(outputs.values()) == [[1, 3, 32, 32]]
    assert next(iter(outputs)).isdecimal() or next(iter(outputs)).startswith("/")


def test_enet_is_exported_as_its_guide_does(graphs: dict[str, Path]) -> None:
    opset, inputs, outputs = describe(graphs["enet"])
    assert opset == 11
    assert inputs == {"image": ["N", 3, 64, 64]}
    assert outputs == {"class": ["N", 19, 64, 64]}


def test_was_written_by_the_legacy_exporter(graphs: dict[str, Path]) -> None:
    import onnx

    graph = onnx.load(graphs["edsr"])
    # Opset 9 turns the pixel shuffle into these; the other exporter writes opset 18 and up.
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("Transpose") == 1
    assert "DepthToSpace" not in operators


def test_shapes_are_inferred_for_every_value(graphs: dict[str, Path]) -> None:
    import onnx

    graph = onnx.load(graphs["edsr"]).graph
    known = {value.name for value in (*graph.value_info, *graph.output)}
    assert {name for node in graph.node for name in node.output} <= known


def test_a_static_graph_has_its_batch(weights: dict[str, Path], tmp_path: Path) -> None:
    export(edsr.MODEL, weights["edsr"], 16, 2, tmp_path / "graph.onnx")
    assert describe(tmp_path / "graph.onnx")[1] == {"input.1": [2, 3, 16, 16]}
    assert [path.name for path in tmp_path.iterdir()] == ["graph.onnx"]


def test_an_open_batch_computes_every_batch(graphs: dict[str, Path], weights: dict[str, Path]) -> None:
    import torch

    net = enet.network().eval()
    net.load_state_dict(checkpoints.load(weights["enet"], enet.MODEL))
    images = np.random.default_rng(1).normal(size=(3, 3, 64, 64)).astype(np.float32)
    found = exporting._run(graphs["enet"], (images,))[0]
    with torch.inference_mode():
        np.testing.assert_allclose(found, net(torch.from_numpy(images)).numpy(), atol=1e-4)


def test_a_large_graph_is_compared_at_a_small_size(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    monkeypatch.setattr(exporting, "COMPARED_WHOLE", 16)
    monkeypatch.setattr(exporting, "COMPARED_SMALL", 8)
    monkeypatch.setattr(exporting, "_compare", lambda network, model, size, path: compared.append(size))
    export(edsr.MODEL, weights["edsr"], 24, 1, tmp_path / "graph.onnx")
    assert compared == [8]
    assert describe(tmp_path / "graph.onnx")[1] == {"input.1": [1, 3, 24, 24]}


def fixed_size_classifier() -> Any:
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 12 * 12, 5))


def classifier(**changes: Any) -> Model:
    return replace(
        enet.MODEL,
        **{
            "name": "fixed",
            "network": fixed_size_classifier,
            "lookalike": None,
            "outputs": (Tensor("class", ("N", 5)),),
            "dynamic_batch": False,
            **changes,
        },
    )


def save_weights(model: Model, path: Path) -> Path:
    from safetensors.torch import save_file

    assert model.network is not None
    save_file(model.network().state_dict(), path)
    return path


def test_a_network_that_fits_one_size_only_is_exported_at_any_batch(tmp_path: Path) -> None:
    model = classifier()
    export(model, save_weights(model, tmp_path / "w.safetensors"), 12, 4, tmp_path / "graph.onnx")
    assert describe(tmp_path / "graph.onnx")[1] == {"image": [4, 3, 12, 12]}


def token_network() -> Any:
    import torch
    from torch import nn

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return (self.embedding(tokens) * mask.unsqueeze(-1).float()).sum(1)

    return Tokens()


def test_several_inputs_and_whole_numbers_are_exported(tmp_path: Path) -> None:
    inputs = (Tensor("tokens", ("N", "S"), "int64"), Tensor("mask", ("N", "S"), "int32"))
    outputs = (Tensor("sum", ("N", 4)),)
    model = classifier(network=token_network, inputs=inputs, outputs=outputs)
    export(model, save_weights(model, tmp_path / "w.safetensors"), 6, 1, tmp_path / "graph.onnx")
    assert describe(tmp_path / "graph.onnx")[1] == {"tokens": [1, 6], "mask": [1, 6]}


# What is caught


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("planted", ["scale", "shift", "channels", "nan"])
def test_a_graph_that_computes_something_else_is_caught(
    model: Model, planted: str, weights: dict[str, Path], graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = exporting._run

    def wrong(path: Path, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        (output,) = original(path, inputs)
        if planted == "scale":
            return [output * 1.001]
        if planted == "shift":
            return [np.roll(output, 1, axis=-1)]
        if planted == "channels":
            return [output[:, ::-1]]
        output[0, 0, 0, 0] = np.nan
        return [output]

    monkeypatch.setattr(exporting, "_run", wrong)
    assert model.network is not None
    network = model.network().eval()
    network.load_state_dict(checkpoints.load(weights[model.name], model))
    with pytest.raises(ExportError, match=f"{model.name}: expected the exported graph to compute what torch computes"):
        exporting._compare(network, model, SIZES[model.name], graphs[model.name])


def test_a_graph_is_compared_before_anything_uses_it(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = exporting._run
    monkeypatch.setattr(exporting, "_run", lambda path, inputs: [original(path, inputs)[0] * 1.001])
    with pytest.raises(ExportError, match=r"to compute what torch computes; output 0 differs by 0\.001 of its largest"):
        export(edsr.MODEL, weights["edsr"], 16, 1, tmp_path / "graph.onnx")


def test_a_network_left_in_training_mode_is_caught(weights: dict[str, Path], graphs: dict[str, Path]) -> None:
    network = enet.network().train()
    network.load_state_dict(checkpoints.load(weights["enet"], enet.MODEL))
    with pytest.raises(ExportError, match="to compute what torch computes"):
        exporting._compare(network, enet.MODEL, 64, graphs["enet"])


def test_other_weights_in_the_file_are_caught(graphs: dict[str, Path]) -> None:
    with pytest.raises(ExportError, match="to compute what torch computes"):
        exporting._compare(edsr.network().eval(), edsr.MODEL, 16, graphs["edsr"])


def test_an_exporter_that_fails_is_named_with_its_reason(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def broken(*_: object, **__: object) -> None:
        raise ValueError("Unsupported ONNX opset version: 9\nmore")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(ExportError) as raised:
        export(edsr.MODEL, weights["edsr"], 16, 1, tmp_path / "graph.onnx")
    message = str(raised.value)
    assert f"expected torch {torch.__version__} to export it at opset 9, size 16, batch 1" in message
    assert "Unsupported ONNX opset version: 9" in message
    assert "more" not in message


def test_a_full_disk_is_left_to_the_store_to_explain(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.onnx, "export", full)
    with pytest.raises(OSError, match="No space"):
        export(edsr.MODEL, weights["edsr"], 16, 1, tmp_path / "graph.onnx")


def rejection(path: Path, model: Model, batch: int = 1, size: int | None = None) -> str:
    with pytest.raises(ExportError) as raised:
        check(path, model, size or SIZES[model.name], batch)
    return str(raised.value)


@pytest.mark.parametrize("model", MODELS)
def test_a_sound_graph_passes(model: Model, graphs: dict[str, Path]) -> None:
    check(graphs[model.name], model, SIZES[model.name], 1)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x00" * 100], ids=["empty", "html", "zeros"])
def test_refuses_a_file_that_is_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    assert f"expected a whole, valid ONNX graph; found {len(content)} bytes" in rejection(
        tmp_path / "x.onnx", edsr.MODEL
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_refuses_a_truncated_graph(graphs: dict[str, Path], tmp_path: Path, share: float) -> None:
    whole = graphs["edsr"].read_bytes()
    (tmp_path / "x.onnx").write_bytes(whole[: int(len(whole) * share)])
    assert "expected a whole, valid ONNX graph" in rejection(tmp_path / "x.onnx", edsr.MODEL)


def test_refuses_a_graph_with_a_hole(graphs: dict[str, Path], tmp_path: Path) -> None:
    path = changed(graphs["edsr"], tmp_path / "x.onnx", lambda graph: graph.graph.node.pop(5))
    assert "expected a whole, valid ONNX graph" in rejection(path, edsr.MODEL)


def test_refuses_another_opset_than_the_published_one(graphs: dict[str, Path]) -> None:
    assert "expected opset 11, as edsr is published; found 9" in rejection(
        graphs["edsr"], replace(edsr.MODEL, opset=11)
    )


def test_a_model_given_as_onnx_may_have_any_opset(graphs: dict[str, Path]) -> None:
    check(graphs["edsr"], replace(edsr.MODEL, opset=17, network=None), 16, 1)


def test_refuses_another_name_of_the_input(graphs: dict[str, Path]) -> None:
    model = replace(enet.MODEL, inputs=(Tensor("input", ("N", 3, "S", "S")),))
    message = rejection(graphs["enet"], model)
    assert "expected inputs [('input', 'float32', (1, 3, 64, 64))] of enet at batch 1" in message
    assert "found [('image', 'float32', ('N', 3, 64, 64))]" in message


@pytest.mark.parametrize(
    "tensor",
    [Tensor("image", ("N", 1, "S", "S")), Tensor("image", ("N", 3, "S")), Tensor("image", ("N", 3, "S", "S"), "uint8")],
    ids=["channels", "axes", "dtype"],
)
def test_refuses_another_shape_or_kind_of_the_input(graphs: dict[str, Path], tensor: Tensor) -> None:
    assert "expected inputs" in rejection(graphs["enet"], replace(enet.MODEL, inputs=(tensor,)))


def test_refuses_another_number_of_outputs(graphs: dict[str, Path]) -> None:
    model = replace(enet.MODEL, outputs=(*enet.MODEL.outputs, Tensor("aux", ("N", 19))))
    assert "expected outputs" in rejection(graphs["enet"], model)


def test_refuses_a_static_batch_where_another_is_needed(graphs: dict[str, Path]) -> None:
    message = rejection(graphs["edsr"], edsr.MODEL, batch=4)
    assert "(4, 3, 16, 16))] of edsr at batch 4; found" in message
    assert "mend the file, or `inputs` and `batches` in the model's own" in message


def test_refuses_another_size(graphs: dict[str, Path]) -> None:
    assert "(1, 3, 32, 32)" in rejection(graphs["edsr"], edsr.MODEL, size=32)


def test_refuses_weights_in_files_beside_the_graph(graphs: dict[str, Path], tmp_path: Path) -> None:
    import onnx

    onnx.save(onnx.load(graphs["edsr"]), tmp_path / "x.onnx", save_as_external_data=True, location="weights.bin")
    message = rejection(tmp_path / "x.onnx", edsr.MODEL)
    assert "expected one file; found" in message
    assert "onnx.save(onnx.load(FILE), NEW)" in message
