"""The grid of lambda and width: what is in it, and that it takes the report's own runs where it can."""

from __future__ import annotations

import pytest

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


def test_the_table_holds_train_test_and_gap(cifar_run: Run) -> None:
    row = capacity.table({(0.0, 1.0): [cifar_run]}).iloc[0]
    assert row["test"] == cifar_run.test_accuracy
    assert row["seed"] == 0
    assert row["gap"] == pytest.approx(row["train"] - row["test"])


def test_the_grid_loads_what_is_trained(cifar_run: Run) -> None:
    runs = capacity.train_grid(Grid((0.0,), (1.0,)), "smoke", device="cpu", data="stand-in")
    assert [run.folder for run in runs[0.0, 1.0]] == [cifar_run.folder]
