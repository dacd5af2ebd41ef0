"""The chapter on accuracy curves: axes per data set, and sentences that follow the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hwkit import analysis
from hwkit.chapters import accuracy_gap
from hwkit.errors import RunError
from hwkit.experiment import named_experiment
from hwkit.runs import Run


@pytest.fixture(autouse=True)
def _known_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up runs say themselves which training images they classify correctly."""
    monkeypatch.setattr(analysis, "train_correct", lambda run: run.__dict__["made_up_train"])


def network(l2: float, train: float, test: float) -> Run:
    """A run with a penalty that classifies these fractions of its training and test images correctly."""
    run = Run(Path("nowhere"), named_experiment("cifar10", "full", data="stand-in", l2=l2), {"test_accuracy": test})
    run.__dict__["made_up_train"] = torch.arange(1000) < 1000 * train
    return run


def test_each_data_set_has_its_axis(trained_run: Run, cifar_run: Run) -> None:
    digits, photographs, again = accuracy_gap.curves([trained_run, cifar_run, cifar_run]).axes
    assert digits.get_ylim() != photographs.get_ylim()
    assert photographs.get_ylim() == again.get_ylim()


def test_gaps_that_widen_as_the_penalty_gets_weaker_are_read_as_that() -> None:
    groups = [network(0.0, 0.90, 0.82), network(1e-3, 0.85, 0.80), network(1e-2, 0.66, 0.64)]
    text = accuracy_gap.reading(groups).data
    assert "the weaker it is, the higher" in text
    assert "2.00 points at λ = 0.01, 5.00 points at λ = 0.001 and 8.00 points at λ = 0" in text
    assert "18.00 points above that at λ = 0.01: the wider gap comes with the better network" in text


def test_gaps_in_another_order_are_not() -> None:
    groups = [network(0.0, 0.80, 0.79), network(1e-3, 0.85, 0.80), network(1e-2, 0.86, 0.84)]
    text = accuracy_gap.reading(groups).data
    assert "not in the order of the penalty" in text
    assert "does not follow the penalty either" in text
    assert "highest at λ = 0.01, with the strongest penalty" in text


def test_a_network_that_misses_its_own_images_underfits() -> None:
    text = accuracy_gap.bias_and_variance([network(0.0, 0.90, 0.82), network(1e-2, 0.66, 0.64)]).data
    assert text.startswith("With λ = 0.01 the network underfits: it classifies 66.0 %")
    assert "94 % is bias, against 56 %" in text
    text = accuracy_gap.bias_and_variance([network(0.0, 0.66, 0.64), network(1e-2, 0.66, 0.64)]).data
    assert "the fit is hardly worse" in text


def held_out(accuracies: list[float]) -> Run:
    """A run whose accuracy on held-out images went like this."""
    experiment = named_experiment("cifar10", "full", data="stand-in", holdout=5000)
    run = Run(Path("nowhere"), experiment, {"test_accuracy": accuracies[-1]})
    labels = torch.zeros(5000, dtype=torch.int64)
    run.__dict__["_predictions"] = {"labels": labels}
    run.__dict__["predicted_at"] = {
        100 * (number + 1): (torch.arange(5000) >= 5000 * accuracy).long() for number, accuracy in enumerate(accuracies)
    }
    return run


def test_the_validation_curve_says_whether_stopping_early_would_have_helped() -> None:
    assert "stopping early would have gained nothing" in accuracy_gap.validation_summary(held_out([0.5, 0.8])).data
    text = accuracy_gap.validation_summary(held_out([0.5, 0.85, 0.8])).data
    assert "5.00 points above its end, which is more than the interval" in text
    assert "standard error of 2.83 points" in text


def test_a_validation_curve_needs_held_out_images(trained_run: Run) -> None:
    with pytest.raises(RunError, match="train one with holdout=5000"):
        accuracy_gap.validation_curve(trained_run)
