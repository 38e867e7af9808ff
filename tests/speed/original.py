"""The guides' metric code in plain torch, step by step as the scripts do it: what our speed is measured against."""

from __future__ import annotations

import math

import numpy as np
import torch


def psnr(planes: np.ndarray, truth: np.ndarray) -> float:
    """Return EDSR's PSNR of 3 x H x W float32 against H x W x 3 uint8, quantised, shave 8, float32."""
    output = torch.from_numpy(planes).permute(1, 2, 0)
    output = output.mul(1.0).clamp(0, 255).round().div(1.0)
    truth_planes = torch.from_numpy(truth).unsqueeze(0).permute(0, 3, 1, 2)
    difference = (output.unsqueeze(0).permute(0, 3, 1, 2) - truth_planes) / 255
    kept = difference[..., 8:-8, 8:-8]
    return -10 * math.log10(kept.pow(2).mean().item())


class SegmentationMetric:
    """ENet's running pixel accuracy and mIoU, sums in float32."""

    def __init__(self, classes: int = 19) -> None:
        self.classes = classes
        self.intersection = torch.zeros(classes)
        self.union = torch.zeros(classes)
        self.correct = self.labelled = 0

    def update(self, logits: np.ndarray, target: np.ndarray) -> None:
        """Add N x C x H x W float32 and N x H x W int."""
        output, label = torch.from_numpy(logits), torch.from_numpy(target)
        self._pixel_accuracy(output, label)
        self._areas(output, label)

    def mean_iou(self) -> float:
        """Return the mean over all classes, 0..1."""
        return (self.intersection / (2.220446049250313e-16 + self.union)).mean().item()

    def _pixel_accuracy(self, output: torch.Tensor, target: torch.Tensor) -> None:
        prediction = torch.argmax(output.long(), 1) + 1
        label = target.long() + 1
        self.labelled += int(torch.sum(label > 0).item())
        self.correct += int(torch.sum((prediction == label) * (label > 0)).item())

    def _areas(self, output: torch.Tensor, target: torch.Tensor) -> None:
        prediction = torch.argmax(output, 1) + 1
        label = target.float() + 1
        prediction = prediction.float() * (label > 0).float()
        agreement = prediction * (prediction == label).float()
        areas = [self._histogram(values) for values in (agreement, prediction, label)]
        self.intersection += areas[0]
        self.union += areas[1] + areas[2] - areas[0]

    def _histogram(self, values: torch.Tensor) -> torch.Tensor:
        return torch.histc(values, bins=self.classes, min=1, max=self.classes)
