"""Train the digits classifier and write it as ONNX: `python tests/digits/train.py`, seconds on one core."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
STEPS = 1500
BATCH = 64


class Digits(torch.nn.Module):
    """Two convolutions and a linear layer on what a scanner hands over: uint8, N x 8 x 8 x 1, grey 0 to 16."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 12, 3, padding=1)
        self.second = torch.nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.classes = torch.nn.Linear(24 * 4 * 4, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return N x 10 logits."""
        planes = image.to(torch.float32).permute(0, 3, 1, 2) / 16
        features = torch.relu(self.second(torch.relu(self.first(planes))))
        return self.classes(features.flatten(1))


def train() -> Digits:
    """Return the trained network; one seeded run with a schedule set beforehand."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(HERE / "handwritten" / "train.npz", allow_pickle=False) as stored:
        images, labels = torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"].astype(np.int64))
    network = Digits()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,))
        loss = torch.nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def write(network: torch.nn.Module, path: Path) -> None:
    """Write the graph with an open batch; the cast from uint8 is part of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without `dynamo` needs no further package
        torch.onnx.export(
            network,
            (torch.zeros(1, 8, 8, 1, dtype=torch.uint8),),
            path,
            opset_version=17,
            input_names=["image"],
            output_names=["digit"],
            dynamic_axes={"image": {0: "N"}, "digit": {0: "N"}},
            dynamo=False,
        )


if __name__ == "__main__":
    write(train(), HERE / "digits.onnx")
