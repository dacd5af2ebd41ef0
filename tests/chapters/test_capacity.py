"""The grid of lambda and width: what is in it, and that it takes the report's own runs where it can."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from hwkit import analysis
from hwkit.chapters import capacity
from hwkit.chapters.capacity import Grid
from hwkit.engine import devices
from hwkit.errors import ExperimentError
from hwkit.experiment import PROFILES, named_experiment
from hwkit.runs import Run


def test_every_profile_has_a_grid_that_holds_width_one_and_no_penalty() -> None:
    assert set(capacity.GRIDS) == set(PROFILES)
    for profile in PROFILES:
        grid = capacity.plan(profile, device="cpu")
        assert grid.lambdas[0] == 0
        assert 1.0 in grid.widths


def test_a_gpu_adds_a_wider_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "resolve_device", lambda device: devices.torch.device("cuda"))
    assert capacity.plan("full").widths[-1] == 2.0
    assert capacity.plan("smoke").widths[-1] == 1.0


def test_other_lambdas_and_widths_are_put_in_order() -> None:
    assert capacity.plan("full", [1e-2, 0], [2, 0.5]) == Grid((0, 1e-2), (0.5, 2))


@pytest.mark.parametrize(("lambdas", "widths"), [([1e-3, 1e-2], None), ([0.0], None), (None, [1.0]), (None, [1, 1])])
def test_a_grid_needs_two_of_each_and_no_penalty(lambdas: list[float] | None, widths: list[float] | None) -> None:
    with pytest.raises(ExperimentError, match="a grid needs two of each, and lambda 0"):
        capacity.plan("quick", lambdas, widths, device="cpu")


def test_an_unknown_profile_is_an_error() -> None:
    with pytest.raises(ExperimentError, match="did you mean 'quick'"):
        capacity.plan("quik")


@pytest.mark.parametrize(
    ("l2", "width", "name"),
    [
        (0.0, 1.0, "cifar10"),
        (1e-3, 1.0, "cifar10-l2"),
        (1e-2, 1.0, "cifar10-l2-strong"),
        (1e-3, 0.5, "cifar10-l2[width=0.5]"),
        (1e-4, 1.0, "cifar10[l2=0.0001]"),
    ],
)
def test_places_in_the_grid_are_the_reports_own_experiments(l2: float, width: float, name: str) -> None:
    experiment = capacity.experiment("quick", l2, width, seed=3)
    assert (experiment.name, experiment.l2, experiment.width, experiment.seed) == (name, l2, width, 3)
    if "[" not in name:
        assert experiment.fingerprint == named_experiment(name, "quick", seed=3).fingerprint


def test_the_table_holds_training_and_test_accuracy(cifar_run: Run) -> None:
    row = capacity.accuracy_table({(0.0, 1.0): [cifar_run]}).loc["0", "width 1"]
    assert row["test"] == f"{100 * cifar_run.test_accuracy:.1f} %"
    assert row["training"] == f"{100 * analysis.train_correct(cifar_run).double().mean():.1f} %"


def test_the_grid_loads_what_is_trained(cifar_run: Run) -> None:
    runs = capacity.train_grid(Grid((0.0,), (1.0,)), "smoke", device="cpu", data="stand-in")
    assert [run.folder for run in runs[0.0, 1.0]] == [cifar_run.folder]


# --- Costs ------------------------------------------------------------------------------------------------------

COSTS = pd.DataFrame(
    [
        {"lambda": l2, "width": width, "images": images, "value": value, "low": value - 0.01, "high": value + 0.01}
        for l2, width, value in ((1e-3, 0.5, 0.03), (1e-3, 1.0, -0.02), (1e-2, 0.5, 0.2), (1e-2, 1.0, 0.195))
        for images in ("test", "training")
    ]
)


def network(accuracy: float, seed: int, l2: float = 0.0, confidence: float = 3.0, count: int = 2000) -> Run:
    """A run that classifies such a fraction of the images correctly, other images with every seed."""
    correct = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < accuracy
    labels = torch.arange(count) % 10
    predicted = torch.where(correct, labels, (labels + 1 + seed) % 10)
    experiment = named_experiment("cifar10", "full", data="stand-in", seed=seed, l2=l2)
    run = Run(Path("nowhere"), experiment, {"test_accuracy": correct.double().mean().item(), "test_images": count})
    run.__dict__["_predictions"] = {"logits": confidence * torch.eye(10)[predicted], "labels": labels}
    return run


@pytest.fixture
def _known_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "train_correct", analysis.correct)


@pytest.mark.usefixtures("_known_training_images")
@pytest.mark.parametrize("seeds", [1, 3])
def test_costs_are_accuracies_without_less_with_the_penalty(seeds: int) -> None:
    plain = [network(0.8, seed) for seed in range(seeds)]
    penalised = [network(0.7, seed, l2=1e-3) for seed in range(seeds)]
    row = capacity.costs({(0.0, 1.0): plain, (1e-3, 1.0): penalised}).iloc[0]
    assert row["value"] == pytest.approx(0.1, abs=0.03)
    assert 0 < row["low"] < row["value"] < row["high"]


def test_the_result_decides_what_there_is_to_explain() -> None:
    text = capacity.question_after_the_result(COSTS).data
    assert "λ = 0.001 gains 2.00 points, so there is no cost to explain" in text
    assert "λ = 0.01 costs 19.50 points (18.50 to 20.50 points)" in text
    open_ = COSTS.assign(low=-0.5, high=0.5)
    assert "cannot be told from none" in capacity.question_after_the_result(open_).data


def test_costs_are_read_for_each_penalty() -> None:
    text = capacity.cost_summary(COSTS).data
    assert "For λ = 0.001 the cost falls from 3.00 points at width 0.5 to −2.00 points at width 1; on" in text
    assert "from 20.00 points at width 0.5 to 19.50 points at width 1, with intervals that overlap" in text


def test_the_cost_of_every_penalty_is_a_line() -> None:
    figure = capacity.cost_figure(COSTS)
    for ax in figure.axes:
        found = [container.lines[0].get_ydata().tolist() for container in ax.containers]
        assert found == [pytest.approx([3, -2]), pytest.approx([20, 19.5])]


# --- Ensembles --------------------------------------------------------------------------------------------------


def test_the_average_of_seeds_that_err_on_other_images_is_better() -> None:
    runs = [network(0.7, seed) for seed in range(3)]
    whole = analysis.ensemble(runs)
    mean = torch.stack([analysis.probabilities(run) for run in runs]).mean(dim=0)
    torch.testing.assert_close(analysis.probabilities(whole).float(), mean)
    frame = capacity.ensembles([runs])
    assert frame["accuracy all"].item() == analysis.correct(whole).double().mean()
    assert frame["accuracy all"].item() > frame["accuracy one"].item() + 0.05
    assert frame["nll all"].item() < frame["nll one"].item()
    assert (
        capacity.ensemble_table(frame)["test accuracy", "single"].item()
        == f"{100 * frame['accuracy one'].item():.1f} %"
    )
    assert "in accuracy for 1" in capacity.ensemble_summary(frame, runs, runs).data
