"""Runs that were never trained, for tests of what is said of runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hwkit.experiment import named_experiment
from hwkit.runs import Run


def made_up_run(correct: Tensor, *, train: Tensor | None = None, seed: int = 0, name: str = "mnist") -> Run:
    """A run that is right where `correct`, bool (N,), says so, and takes the other images for the next class."""
    labels = torch.arange(len(correct)) % 10
    predicted = torch.where(correct, labels, (labels + 1) % 10)
    metrics = {"test_accuracy": correct.double().mean().item(), "test_images": len(correct)}
    run = Run(Path("nowhere"), named_experiment(name, "full", data="stand-in", seed=seed), metrics)
    run.__dict__["_predictions"] = {"logits": 5.0 * torch.eye(10)[predicted], "labels": labels}
    run.__dict__["environment"] = {}
    run.__dict__["made_up_train"] = correct if train is None else train
    return run


def right(count: int, of: int = 10000) -> Tensor:
    """The first `count` of so many images are right."""
    return torch.arange(of) < count
