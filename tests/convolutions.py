"""A network so small that it is exported in a moment, and a registry in which it is a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fixtures import catalogue, digest
from fixtures.model import Checkpoint, Figure, Gate, Model, Profile, Tensor

if TYPE_CHECKING:
    import torch

SIZE = 8


def network() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))


def tiny(folder: Path, **changes: Any) -> Model:
    """Return a model whose random weights are written below the folder."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = folder / "tiny.safetensors"
    save_file(network().state_dict(), weights)
    profile = Profile(Checkpoint(weights, digest.of_file(weights)), folder, SIZE, Figure(1.0, "%", "here", "?"))
    model = Model(
        name="tiny",
        dataset="tiny",
        metric="top1",
        inputs=(Tensor("image", ("N", 3, "S", "S")),),
        outputs=(Tensor("class", ("N", 2, "S", "S")),),
        profiles={"sample": profile, "other": replace(profile, checkpoint=Checkpoint(weights))},
        gate=Gate(0.01),
        parity={"fp32": Gate(0.01)},
        batches=(1, 2),
        network=network,
    )
    return replace(model, **changes)


def register(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Make it what the registry knows under its name."""
    original = catalogue.find

    def find(kind: str, name: str) -> Any:
        return model if (kind, name) == ("model", model.name) else original(kind, name)

    monkeypatch.setattr(catalogue, "find", find)
    return model
