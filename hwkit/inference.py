"""Running a trained network over images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwkit import data
from hwkit.data import Dataset
from hwkit.engine.devices import autocast

# Images at a time: what a CPU's cache holds, and what keeps a GPU busy.
BATCH_SIZE = {"cpu": 200, "cuda": 5000}


def predict(model: nn.Module, images: Tensor, dataset: Dataset | str, *, precision: str = "fp32") -> Tensor:
    """Logits, float32 (N, classes), of a network in evaluation mode for images, uint8 (N, C, H, W), on its device."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision):
        chunks = [
            model(data.normalise(chunk.to(device), dataset).contiguous(memory_format=torch.channels_last)).float()
            for chunk in images.split(BATCH_SIZE.get(device.type, 1000))
        ]
    model.train(was_training)
    return torch.cat(chunks)


def fraction_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Fraction of rows whose largest logit is at the label, float64 (), on their device."""
    return (logits.argmax(dim=1) == labels).sum().double() / len(labels)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Fraction of rows whose largest logit is at the label."""
    return fraction_correct(logits, labels).item()
