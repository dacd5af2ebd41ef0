"""A grid of experiments: the penalty's lambda against the width of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from hwkit import analysis, plots, theme
from hwkit.engine.devices import resolve_device
from hwkit.errors import ExperimentError, did_you_mean
from hwkit.experiment import EXPERIMENTS, Experiment, named_experiment
from hwkit.parallel import train_all
from hwkit.runs import Run
from hwkit.training import with_seeds


@dataclass(frozen=True)
class Grid:
    """Which lambdas and widths are tried; both rise, the first lambda is 0."""

    lambdas: tuple[float, ...]
    widths: tuple[float, ...]

    @property
    def places(self) -> list[tuple[float, float]]:
        """Every pair of a lambda and a width."""
        return [(l2, width) for width in self.widths for l2 in self.lambdas]


# The runs of width 1 are those of other chapters. On two CPU cores, narrower ones add less than a minute each to
# "full"; one of width 2 takes three times as long as one of width 1 and is left to GPUs.
GRIDS = {
    "smoke": Grid((0.0, 1e-3), (0.5, 1.0)),
    "quick": Grid((0.0, 1e-3), (0.25, 1.0)),
    "full": Grid((0.0, 1e-3, 1e-2), (0.25, 0.5, 1.0)),
    "seed": Grid((0.0, 1e-3, 1e-2), (0.25, 0.5, 1.0)),
}
GPU_WIDTH = 2.0
GPU_PROFILES = ("full", "seed")


def plan(
    profile: str, lambdas: Sequence[float] | None = None, widths: Sequence[float] | None = None, device: str = "auto"
) -> Grid:
    """The grid of a profile, with a wider network where there is a CUDA GPU, or other lambdas and widths.

    Raises
    ------
    ExperimentError
        If the profile is unknown, there are fewer than two lambdas or widths, or 0 is not among the lambdas.
    """
    if profile not in GRIDS:
        raise ExperimentError(f"unknown profile {profile!r}; {did_you_mean(profile, GRIDS)}")
    default = GRIDS[profile]
    on_gpu = profile in GPU_PROFILES and resolve_device(device).type == "cuda"
    default_widths = (*default.widths, GPU_WIDTH) if on_gpu else default.widths
    grid = Grid(
        tuple(sorted(set(default.lambdas if lambdas is None else lambdas))),
        tuple(sorted(set(default_widths if widths is None else widths))),
    )
    if len(grid.lambdas) < 2 or len(grid.widths) < 2 or grid.lambdas[0] != 0:
        raise ExperimentError(
            f"lambdas {list(grid.lambdas)} and widths {list(grid.widths)}: a grid needs two of each, and lambda 0"
        )
    return grid


def experiment(profile: str, l2: float, width: float, **options: Any) -> Experiment:
    """The CIFAR-10 experiment of one place in the grid, under the report's own name where it has one."""
    named = {fields.get("l2", 0.0): name for name, fields in EXPERIMENTS.items() if name in _OF_THE_GRID}
    if l2 in named:
        return named_experiment(named[l2], profile, width=width, **options)
    return named_experiment("cifar10", profile, l2=l2, width=width, **options)


_OF_THE_GRID = ("cifar10", "cifar10-l2", "cifar10-l2-strong")


def train_grid(
    grid: Grid, profile: str, seeds: int | None = None, *, device: str = "auto", **options: Any
) -> dict[tuple[float, float], list[Run]]:
    """The runs of a grid by (lambda, width), of each seed; those that are finished are loaded.

    Parameters
    ----------
    seeds : how many, as in `training.with_seeds`.
    """
    by_place = {place: with_seeds([experiment(profile, *place, **options)], seeds, device) for place in grid.places}
    trained = iter(train_all([one for of_seeds in by_place.values() for one in of_seeds], device=device))
    return {place: [next(trained) for _ in of_seeds] for place, of_seeds in by_place.items()}


def table(runs: Mapping[tuple[float, float], Sequence[Run]]) -> pd.DataFrame:
    """Accuracy on all training images and on all test images and their gap, a row per run with `lambda` and `width`."""
    rows = []
    for (l2, width), of_seeds in runs.items():
        for run in of_seeds:
            train = analysis.train_correct(run).double().mean().item()
            accuracies = {"train": train, "test": run.test_accuracy, "gap": train - run.test_accuracy}
            rows.append({"lambda": l2, "width": width, "seed": run.experiment.seed, **accuracies})
    return pd.DataFrame(rows)


# --- Figures ----------------------------------------------------------------------------------------------------


@plots.themed
def maps(table: pd.DataFrame) -> Figure:
    """Train accuracy, test accuracy and their gap by lambda and width, means over seeds, as three maps with numbers.

    Train and test share one colour scale, so that the same shade is the same accuracy.

    Parameters
    ----------
    table : as `table` returns it.
    """
    figure = theme.new_figure(height=2.8 + 1.0 * len(set(table["lambda"])))
    axes = figure.subplots(1, 3, sharey=True)
    percents = 100 * table.pivot_table(index="lambda", columns="width", values=["train", "test", "gap"])
    percents.index = percents.index.map("{:g}".format)
    accuracies, reach = percents[["train", "test"]].to_numpy(), percents["gap"].abs().to_numpy().max()
    scale = {"cmap": "viridis", "vmin": accuracies.min(), "vmax": accuracies.max()}
    styles = {
        "train": {"title": "train accuracy (%)", **scale},
        "test": {"title": "test accuracy (%)", **scale},
        "gap": {"title": "gap, train − test (points)", "cmap": "PuOr", "vmin": -reach, "vmax": reach},
    }
    for ax, (column, style) in zip(axes, styles.items(), strict=True):
        title = style.pop("title")
        sns.heatmap(percents[column], annot=True, fmt=".1f", cbar_kws={"location": "bottom"}, ax=ax, **style)
        ax.set_title(title, loc="left", fontweight="bold")
        ax.set(xlabel="width of the network", ylabel="")
        ax.set_xticklabels([f"{width:g}" for width in percents[column].columns])
        ax.tick_params(length=0, labelrotation=0)
        ax.grid(visible=False)
    axes[0].set_ylabel("λ")
    return figure


@plots.themed
def lines(table: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Accuracy over the width, red on test and blue on training images, with a marker for each lambda.

    Lines are means over the seeds, and bands run from the worst seed to the best.

    Parameters
    ----------
    table : as `table` returns it.
    """
    ax = ax or theme.new_axes(height=5.6)
    long = table.melt(["lambda", "width"], ["train", "test"], "images", "accuracy")
    long["λ"] = long["lambda"].map("{:g}".format)
    style = {"palette": {"train": theme.TRAIN["color"], "test": theme.TEST["color"]}, "markers": True}
    sns.lineplot(long, x="width", y="accuracy", hue="images", style="λ", errorbar=("pi", 100), ax=ax, **style)
    widths = sorted(table["width"].unique())
    ax.set_xscale("log")
    ax.set_xticks(widths, [f"{width:g}" for width in widths])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set_xlabel("width of the network")
    sns.move_legend(ax, "center left", bbox_to_anchor=(1.01, 0.5))
    return plots.figure_of(ax)
