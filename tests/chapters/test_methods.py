"""The tables of the chapter on methods, and the training that is interrupted and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import hwkit
from hwkit.chapters import methods
from hwkit.experiment import Experiment, named_experiment


def test_the_layers_have_the_shapes_and_receptive_fields_of_the_networks() -> None:
    table = methods.layer_table(named_experiment("mnist"), named_experiment("mnist-3x3"), named_experiment("cifar10"))
    assert list(table["layer"]) == [
        *["conv1", "conv2", "fc1", "fc2"] * 2,
        "conv1",
        "conv2",
        "conv3",
        "fc1",
        "fc2",
        "fc3",
    ]
    maps = table[table["kernel"] != "–"]
    assert list(maps["receptive field"]) == ["5×5", "14×14", "3×3", "8×8", "3×3", "8×8", "18×18"]
    assert maps["output"].iloc[0] == "32×28×28 → 32×14×14"
    assert maps["output"].iloc[-1] == "256×4×4 → 256×2×2"


def test_a_receptive_field_is_where_a_pixel_changes_the_response() -> None:
    experiment = named_experiment("cifar10")
    model = hwkit.models.build(experiment).eval()
    black = torch.zeros(1, 3, 32, 32)

    def response(images: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.avg_pool2d(model.conv1(images), 2)  # type: ignore[operator]
        return model.conv2(x)[0, :, 5, 5]  # type: ignore[operator]

    changed = black.clone().requires_grad_()
    response(changed).sum().backward()
    assert changed.grad is not None
    rows = changed.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    table = methods.layer_table(experiment)
    size = int(rows.max() - rows.min() + 1)
    assert table["receptive field"].iloc[1] == f"{size}×{size}"


def test_multiply_adds_and_parameters_are_counted() -> None:
    table = methods.layer_table(named_experiment("mnist"))
    assert table["multiply-adds"].iloc[0] == f"{32 * 25 * 28 * 28:,}"
    counts = [int(count.replace(",", "")) for count in table["parameters"]]
    model = hwkit.models.build(named_experiment("mnist"))
    assert sum(counts) == sum(p.numel() for p in model.parameters())
    totals = methods.parameter_counts(named_experiment("mnist"), named_experiment("cifar10")).loc["total"]
    assert totals["mnist"] == f"{sum(counts):,}"


def test_settings_are_those_of_the_experiments() -> None:
    mnist, cifar10 = (named_experiment(name, "quick") for name in ("mnist", "cifar10"))
    table: Any = methods.settings_table(mnist, cifar10)
    assert list(table.columns) == ["MNIST", "CIFAR-10"]
    assert table.loc["optimiser", "CIFAR-10"] == "Muon"
    assert table.loc["learning rate, peak", "MNIST"] == f"{mnist.learning_rate:g}"
    assert f"({cifar10.iterations:,} steps)" in table.loc["epochs", "CIFAR-10"]
    assert "Muon" in (methods.optimizer_sentence(mnist, cifar10).data or "")
    of_adam = methods.optimizer_sentence(mnist, cifar10.replace(optimizer="adam")).data or ""
    assert of_adam.startswith("Adam trains the networks of MNIST and CIFAR-10.")
    assert "Muon" not in of_adam


def test_the_evidence_on_schedules_is_shown_where_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods.paths, "project_root", lambda: tmp_path)
    assert methods.schedule_evidence().data == ""
    row = {"part": "MNIST", "experiment": "mnist", "optimizer": "adam", "learning_rate": 0.003, "epochs": 2}
    rows = [
        {**row, "accuracy": 0.9912},
        {**row, "accuracy": 0.9871, "epochs": 1},
        {**row, "accuracy": 0.9801, "learning_rate": 0.001},
        {**row, "experiment": "mnist-l2", "accuracy": 0.5},
    ]
    (tmp_path / "docs").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / methods.SCHEDULES, index=False)
    shown = methods.schedule_evidence().data or ""
    assert "| data set | optimiser | peak rate | 1 epoch | 2 epochs |" in shown
    assert "| MNIST | Adam | 0.003 | 98.7 % | 99.1 % |" in shown
    assert "| MNIST | Adam | 0.001 | – | 98.0 % |" in shown
    assert "50.0 %" not in shown
    assert "{#tbl-methods-schedules}" in shown


def test_a_reading_has_the_standard_error_of_its_images() -> None:
    assert "2.8 points at 80 %" in (methods.reading_sentence([0.8]).data or "")


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(store: Path) -> None:
    class SessionEnds(hwkit.Callback):
        def on_step(self, training: Any) -> None:
            if training.iteration == 2:
                training.save()
            if training.iteration == 4:
                raise RuntimeError("the session ends")

    small = Experiment(dataset="mnist", data="stand-in", train_size=600, test_size=100, batch_size=100)
    before = hwkit.runs()
    at_once = methods.weights_after(small, [])
    in_two = methods.weights_after(small, [SessionEnds()], [])
    assert "bit for bit" in (methods.difference_sentence(at_once, in_two).data or "")
    other = methods.weights_after(small.replace(seed=1), [])
    assert "not the same" in (methods.difference_sentence(at_once, other).data or "")
    assert len(hwkit.runs()) == len(before)
