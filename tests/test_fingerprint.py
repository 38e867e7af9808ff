"""Which network a graph is, whatever exporter and settings wrote it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fixtures import fingerprint
from fixtures.fingerprint import Fingerprint
from fixtures.model import Model
from fixtures.models import edsr, enet

if TYPE_CHECKING:
    import torch


def network(model: Model) -> torch.nn.Module:
    assert model.network is not None
    return model.network().eval()


def exported(net: torch.nn.Module, path: Path, size: int, batch: int = 1, **settings: Any) -> Fingerprint:
    import onnx
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(batch, 3, size, size),), path, dynamo=False, **settings)
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path)), path)
    return fingerprint.of_file(path)


def same(found: list[Fingerprint]) -> bool:
    assert len({each.digest for each in found}) == 1, "\n".join(map(str, found))
    return True


def test_edsr_is_the_same_at_every_opset_and_setting_of_the_exporter(tmp_path: Path) -> None:
    net = network(edsr.MODEL)
    ways: list[dict[str, Any]] = [
        {"opset_version": 9},
        {"opset_version": 11, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}},
        {"opset_version": 13, "do_constant_folding": False, "batch": 3},
        {"opset_version": 17, "keep_initializers_as_inputs": True, "output_names": ["y"]},
    ]
    assert same([exported(net, tmp_path / "x.onnx", 16, **way) for way in ways])


def test_enet_is_the_same_with_its_batch_norms_folded_or_not(tmp_path: Path) -> None:
    import onnx
    import torch
    from torch import nn

    net = network(enet.MODEL)
    ways: list[dict[str, Any]] = [
        {"opset_version": 9},
        {"opset_version": 11, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}},
        {"opset_version": 13, "do_constant_folding": False, "training": torch.onnx.TrainingMode.TRAINING},
    ]
    found = []
    for way in ways:
        if "training" in way:  # the exporter has no Dropout2d there
            for parent in list(net.modules()):
                for name, child in list(parent.named_children()):
                    if isinstance(child, nn.Dropout2d):
                        setattr(parent, name, nn.Identity())
        found.append(exported(net, tmp_path / "x.onnx", 64, **way))
    assert same(found)
    assert any(node.op_type == "BatchNormalization" for node in onnx.load(tmp_path / "x.onnx").graph.node)


def test_does_not_depend_on_the_values_of_the_weights(tmp_path: Path) -> None:
    import torch

    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(exported(network(edsr.MODEL), tmp_path / "x.onnx", 16, opset_version=11))
    assert same(found)


def test_another_size_is_another_graph(tmp_path: Path) -> None:
    net = network(edsr.MODEL)
    first, second = (exported(net, tmp_path / "x.onnx", size, opset_version=9) for size in (16, 24))
    assert first.digest != second.digest
    assert (first.operators, first.parameters) == (second.operators, second.parameters)


def test_other_networks_differ(tmp_path: Path) -> None:
    from torch import nn

    net = network(edsr.MODEL)
    found = {exported(net, tmp_path / "x.onnx", 16, opset_version=9).digest}
    net.body = nn.Sequential(*list(net.body.children())[1:])  # one block fewer
    found.add(exported(net, tmp_path / "x.onnx", 16, opset_version=9).digest)
    relu, leaky = (nn.Sequential(nn.Conv2d(3, 4, 1), act()) for act in (nn.ReLU, nn.LeakyReLU))
    wide = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU())
    found |= {exported(each, tmp_path / "x.onnx", 16, opset_version=9).digest for each in (relu, leaky, wide)}
    assert len(found) == 5


def test_notices_the_block_that_enet_must_skip(tmp_path: Path) -> None:
    from torch import nn

    net = network(enet.MODEL)
    skipped = exported(net, tmp_path / "x.onnx", 64, opset_version=11)
    following = net.bottleneck3_6
    net.bottleneck3_6 = nn.Sequential(net.bottleneck3_5, following)
    run = exported(net, tmp_path / "x.onnx", 64, opset_version=11)
    assert run.digest != skipped.digest
    assert run.operators["Relu"] == skipped.operators["Relu"] + 3


def test_a_padding_that_pads_is_part_of_the_network(tmp_path: Path) -> None:
    from torch import nn

    plain = exported(nn.Conv2d(3, 4, 1), tmp_path / "x.onnx", 16, opset_version=9)
    padded = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 1), nn.ReflectionPad2d(1))
    assert "Pad" in exported(padded, tmp_path / "x.onnx", 16, opset_version=9).operators
    assert "Pad" not in plain.operators


def test_tells_a_reader_what_the_graph_is(tmp_path: Path) -> None:
    text = str(exported(network(edsr.MODEL), tmp_path / "x.onnx", 16, opset_version=9))
    assert "1,367,442 weights" in text
    assert "38 Conv" in text
    assert "['N', 3, 32, 32]" in text
