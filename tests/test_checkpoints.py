"""Trained weights: found, verified, loaded strictly, and never run."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.checkpoints import CheckpointError, load, locate, verify
from fixtures.model import Checkpoint, Model
from fixtures.models import edsr, enet

if TYPE_CHECKING:
    import torch

MODELS = [pytest.param(edsr.MODEL, id="edsr"), pytest.param(enet.MODEL, id="enet")]
FORMATS = [".pt", ".pth", ".safetensors"]


def network(model: Model) -> torch.nn.Module:
    import torch

    assert model.network is not None
    torch.manual_seed(0)
    return model.network()


def state(model: Model) -> dict[str, torch.Tensor]:
    return dict(network(model).state_dict())


def save(path: Path, content: Any, legacy: bool = False) -> Path:
    import torch
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def empty(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Return tensors of these shapes that take no room: only names and shapes of a foreign network matter."""
    import torch

    return {name: torch.zeros(1).expand(shape) if shape else torch.zeros(()) for name, shape in shapes.items()}


def refusal(path: Path, model: Model) -> str:
    with pytest.raises(CheckpointError) as raised:
        load(path, model)
    return str(raised.value)


# The networks of the guides


def test_edsr_has_the_tensors_of_the_published_checkpoint() -> None:
    import torch

    tensors = state(edsr.MODEL)
    assert len(tensors) == 76
    assert sum(tensor.numel() for tensor in tensors.values()) == 1_369_883
    assert (
        sum(parameter.numel() for parameter in network(edsr.MODEL).parameters() if parameter.requires_grad) == 1_369_859
    )
    assert tensors["tail.0.0.weight"].shape == (256, 64, 3, 3)
    assert tensors["body.16.weight"].shape == (64, 64, 3, 3)
    torch.testing.assert_close(tensors["sub_mean.bias"], torch.tensor([-114.444, -111.4605, -103.02]))
    torch.testing.assert_close(tensors["add_mean.bias"], -tensors["sub_mean.bias"])


def test_enet_has_the_entries_of_the_guides_variant() -> None:
    tensors = state(enet.MODEL)
    assert len(tensors) == 521
    assert sum(parameter.numel() for parameter in network(enet.MODEL).parameters()) == 354_767
    assert sum(tensor.numel() for tensor in tensors.values()) == 363_589
    assert tensors["initial.conv.weight"].shape == (13, 3, 3, 3)
    assert tensors["bottleneck2_3.conv2.0.weight"].shape == (32, 32, 5, 1)
    assert tensors["bottleneck4_0.block.3.weight"].shape == (16, 16, 2, 2)
    assert tensors["fullconv.weight"].shape == (16, 19, 2, 2)
    assert not [name for name in tensors if name.endswith("conv.bias")]


def test_enet_stores_the_block_that_it_skips() -> None:
    import torch

    net = network(enet.MODEL).eval()
    assert "bottleneck3_5.conv1.0.weight" in net.state_dict()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = net(image)
        for parameter in net.get_submodule("bottleneck3_5").parameters():
            parameter.fill_(float("nan"))
        assert torch.equal(net(image), before)


# What loads


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("model", MODELS)
def test_gives_back_every_value(model: Model, suffix: str, tmp_path: Path) -> None:
    import torch

    stored = state(model)
    loaded = load(save(tmp_path / f"weights{suffix}", stored), model)
    assert list(loaded) == list(stored)
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)


def test_reads_the_format_torch_wrote_before_1_6(tmp_path: Path) -> None:
    stored = state(enet.MODEL)
    assert load(save(tmp_path / "old.pth", stored, legacy=True), enet.MODEL).keys() == stored.keys()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("model", MODELS)
def test_strips_the_prefix_that_parallel_training_leaves(model: Model, suffix: str, tmp_path: Path) -> None:
    stored = {f"module.{name}": tensor for name, tensor in state(model).items()}
    assert load(save(tmp_path / f"weights{suffix}", stored), model).keys() == state(model).keys()


@pytest.mark.parametrize("suffix", FORMATS)
def test_widens_weights_stored_in_half_precision(suffix: str, tmp_path: Path) -> None:
    import torch

    halved = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state(enet.MODEL).items()
    }
    loaded = load(save(tmp_path / f"half{suffix}", halved), enet.MODEL)
    assert loaded["fullconv.weight"].dtype == torch.float32
    assert loaded["initial.bn.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(loaded["fullconv.weight"], halved["fullconv.weight"].float())


def test_gives_tensors_that_can_be_stored_again(tmp_path: Path) -> None:
    """Weights of a channels-last training are views, and so are those that two names share."""
    import torch

    stored = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        for name, tensor in state(edsr.MODEL).items()
    }
    stored["body.1.body.0.weight"] = stored["body.0.body.0.weight"]
    loaded = load(save(tmp_path / "views.pt", stored), edsr.MODEL)
    save(tmp_path / "again.safetensors", loaded)


# What is refused, and in what words


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_refuses_a_truncated_file(suffix: str, share: float, tmp_path: Path) -> None:
    whole = save(tmp_path / f"weights{suffix}", state(enet.MODEL)).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole[: int(len(whole) * share)])
    assert f"{cut}: expected a whole checkpoint of {suffix} format; found a file of" in refusal(cut, enet.MODEL)


@pytest.mark.parametrize("length", [1, 2, 7, 100, 20_000])
def test_refuses_a_truncated_file_of_the_old_format(length: int, tmp_path: Path) -> None:
    whole = save(tmp_path / "weights.pth", state(enet.MODEL), legacy=True).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[:length])
    assert "truncated or of another format" in refusal(tmp_path / "cut.pth", enet.MODEL)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"<html>404 Not Found</html>", bytes(range(256)) * 20, b"\x08\x09"])
def test_refuses_a_file_that_is_no_checkpoint(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"x{suffix}").write_bytes(content)
    assert "truncated or of another format" in refusal(tmp_path / f"x{suffix}", enet.MODEL)


def test_refuses_one_format_under_the_name_of_another(tmp_path: Path) -> None:
    shutil.copy(save(tmp_path / "a.pt", state(enet.MODEL)), tmp_path / "b.safetensors")
    assert "of another format" in refusal(tmp_path / "b.safetensors", enet.MODEL)


@pytest.mark.parametrize("place", ["missing.pt", "."])
def test_refuses_what_is_no_file(place: str, tmp_path: Path) -> None:
    assert "expected a checkpoint; found" in refusal(tmp_path / place, enet.MODEL)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_refuses_a_pickle_with_code_and_does_not_run_it(tmp_path: Path, legacy: bool) -> None:
    trap = save(tmp_path / "trap.pt", {**state(enet.MODEL), "x": Trap(tmp_path / "sprung")}, legacy)
    message = refusal(trap, enet.MODEL)
    assert "expected tensors only; found a pickle that asks for posix.system, which could run code" in message
    assert "nothing of it was run; save `model.state_dict()`" in message
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_runs_no_bare_pickle_either(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol))
    refusal(tmp_path / "trap.pth", enet.MODEL)
    assert not (tmp_path / "sprung").exists()


def test_refuses_a_whole_pickled_module(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "module.pt", network(enet.MODEL)), enet.MODEL)
    assert "asks for fixtures.models._enet.ENet" in message


def test_says_how_to_take_a_nested_state_dict_out(tmp_path: Path) -> None:
    nested = save(tmp_path / "nested.pth", {"epoch": 3, "state_dict": state(enet.MODEL), "best": 0.5})
    message = refusal(nested, enet.MODEL)
    assert "expected a plain state dict (name -> tensor); found a dict of epoch, state_dict, best" in message
    assert "torch.load(FILE)['state_dict']" in message


@pytest.mark.parametrize("content", [[1, 2], {"a": 1.0}, {}, {1: 2}], ids=repr)
def test_refuses_what_is_no_state_dict(content: object, tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "x.pt", content), enet.MODEL)
    assert "expected a plain state dict" in message or "found 0 tensors" in message


def test_refuses_weights_that_are_not_finite(tmp_path: Path) -> None:
    stored = state(enet.MODEL)
    stored["fullconv.weight"][0, 0] = float("nan")
    assert "fullconv.weight: expected finite weights" in refusal(save(tmp_path / "x.pt", stored), enet.MODEL)


def test_refuses_weights_stored_as_whole_numbers(tmp_path: Path) -> None:
    stored = state(enet.MODEL)
    stored["fullconv.weight"] = stored["fullconv.weight"].char()
    assert "fullconv.weight: expected torch.float32, found torch.int8" in refusal(
        save(tmp_path / "x.pt", stored), enet.MODEL
    )


# Other networks, named


def large_edsr() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        name: tuple(tensor.shape) for name, tensor in state(edsr.MODEL).items() if "_mean" in name
    }
    convolutions = {
        "head.0": (256, 3),
        "tail.0.0": (1024, 256),
        "tail.1": (3, 256),
        "body.32": (256, 256),
        **{f"body.{block}.body.{place}": (256, 256) for block in range(32) for place in (0, 2)},
    }
    for name, (outputs, inputs) in convolutions.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs, 3, 3), (outputs,)
    return shapes


def test_names_the_large_edsr(tmp_path: Path) -> None:
    shapes = large_edsr()
    message = refusal(save(tmp_path / "edsr_x2.pt", empty(**shapes)), edsr.MODEL)
    assert "not of edsr: this is the large EDSR (32 blocks, 256 features, 40.7 M parameters" in message
    assert "edsr_baseline_x2-1bc95232.pt" in message
    assert "expected 76 tensors with 1,369,883 values; found 140 tensors with 40,7" in message


@pytest.mark.parametrize("scale", [3, 4])
def test_names_edsr_of_another_scale(tmp_path: Path, scale: int) -> None:
    stored = state(edsr.MODEL)
    if scale == 3:
        stored |= empty(**{"tail.0.0.weight": (576, 64, 3, 3), "tail.0.0.bias": (576,)})
    else:
        stored |= empty(**{"tail.0.2.weight": (256, 64, 3, 3), "tail.0.2.bias": (256,)})
    message = refusal(save(tmp_path / "x.pt", stored), edsr.MODEL)
    assert "its upsampler is of another scale; the figure belongs to x2" in message


def test_names_tramacs_enet(tmp_path: Path) -> None:
    stored = {f"module.{name}": tensor for name, tensor in state(enet.MODEL).items()}
    stored |= {
        f"module.{name}": value for name, value in empty(**{f"prelu{n}.weight": (1,) for n in range(82)}).items()
    }
    message = refusal(save(tmp_path / "enet.pth", stored), enet.MODEL)
    assert "it has PReLU activations, as Tramac's" in message
    assert "expected 521 tensors" in message
    assert "found 603 tensors" in message
    assert "82 not expected, first prelu0.weight" in message


def test_names_davidtvs_enet(tmp_path: Path) -> None:
    shapes = {"initial_block.main_branch.weight": (13, 3, 3, 3), "transposed_conv.weight": (16, 20, 3, 3)}
    message = refusal(save(tmp_path / "enet.pth", empty(**shapes)), enet.MODEL)
    assert "davidtvs' PyTorch-ENet" in message
    assert "521 missing, first initial.conv.weight" in message


def test_names_the_tensors_that_differ(tmp_path: Path) -> None:
    stored = state(edsr.MODEL)
    del stored["body.16.bias"]
    stored |= empty(**{"head.0.weight": (64, 1, 3, 3), "extra": (2,)})
    message = refusal(save(tmp_path / "x.pt", stored), edsr.MODEL)
    assert "head.0.weight: expected [64, 3, 3, 3], found [64, 1, 3, 3]" in message
    assert "1 missing, first body.16.bias" in message
    assert "1 not expected, first extra" in message


def test_refuses_the_keys_of_the_guides_wrapper(tmp_path: Path) -> None:
    """The guide's export loads them with strict=False: nothing is loaded, and random weights are exported."""
    stored = {f"model.{name}": tensor for name, tensor in state(edsr.MODEL).items()}
    assert "76 missing" in refusal(save(tmp_path / "x.pt", stored), edsr.MODEL)


def test_a_model_without_a_network_loads_no_weights(tmp_path: Path) -> None:
    assert "given as an ONNX file only" in refusal(tmp_path / "x.pt", replace(edsr.MODEL, network=None))


# Where it lies, and what it must be


def test_a_known_digest_is_checked_whole_or_by_its_start(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert verify(path, sha256) == verify(path, sha256[:8]) == verify(path, None) == sha256


@pytest.mark.parametrize("expected", ["1bc95232", "0" * 64])
def test_refuses_a_file_of_another_digest(tmp_path: Path, expected: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match=f"expected a file whose sha256 starts with {expected}; found"):
        verify(path, expected)


def test_finds_a_named_file_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "x.pt").write_bytes(b"weights")
    assert locate(edsr.MODEL, Checkpoint("x.pt")) == tmp_path / "checkpoints" / "x.pt"


@pytest.mark.parametrize("url", [None, "https://example.org/x.pt"])
def test_a_missing_file_comes_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    with pytest.raises(CheckpointError) as raised:
        locate(edsr.MODEL, Checkpoint("x.pt", url=url))
    message = str(raised.value)
    assert f"edsr: expected the checkpoint at {tmp_path / 'checkpoints' / 'x.pt'}; found nothing" in message
    assert "--checkpoint edsr=FILE" in message
    assert ("python -m fixtures fetch edsr" in message) == bool(url)


def test_the_official_edsr_is_known_by_the_digits_in_its_name() -> None:
    checkpoint = edsr.MODEL.profiles["official"].checkpoint
    assert checkpoint.sha256
    assert str(checkpoint.path) == f"edsr_baseline_x2-{checkpoint.sha256}.pt"
