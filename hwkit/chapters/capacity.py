"""A grid of experiments: the penalty's lambda against the width of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hwkit import analysis, plots, statistics, theme
from hwkit.engine.devices import resolve_device
from hwkit.errors import ExperimentError, did_you_mean
from hwkit.experiment import EXPERIMENTS, Experiment, named_experiment
from hwkit.findings import verdicts
from hwkit.formats import percent, points
from hwkit.parallel import train_all
from hwkit.runs import Run
from hwkit.statistics import MINIMUM_SEEDS, Interval, OnePair
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


Runs = Mapping[tuple[float, float], Sequence[Run]]  # by (lambda, width), of each seed


def accuracy_table(runs: Runs) -> pd.DataFrame:
    """Accuracy on all training and on all test images, means over seeds: a row per lambda, two columns per width."""
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for (l2, width), of_seeds in runs.items():
        train = np.mean([analysis.train_correct(run).double().mean().item() for run in of_seeds])
        test = np.mean([run.test_accuracy for run in of_seeds])
        row = cells.setdefault(f"{l2:g}", {})
        for images, accuracy in (("training", train), ("test", test)):
            row[f"width {width:g}", images] = percent(float(accuracy))
    frame = pd.DataFrame(list(cells.values()), index=pd.Index(list(cells), name="λ"))
    frame.columns = pd.MultiIndex.from_tuples(list(frame.columns))
    return frame


def costs(runs: Runs) -> pd.DataFrame:
    """What each penalty costs each width, on test and on training images: accuracy without it less accuracy with it.

    Returns
    -------
    A row per `lambda` above 0, `width` and `images` ("test" or "training"): `value`, and its interval `low` to `high`,
    which with one seed is that of the choice of images alone.
    """
    rows = []
    for (l2, width), with_penalty in runs.items():
        if not l2:
            continue
        plain, penalised = verdicts.replicates(list(runs[0.0, width]), list(with_penalty))
        for images, correct in (("test", analysis.correct), ("training", analysis.train_correct)):
            right = [np.stack([correct(run).double().numpy() for run in side]) for side in (plain, penalised)]
            found = _interval(right[0] - right[1])
            ends = {"value": found.value, "low": found.low, "high": found.high}
            rows.append({"lambda": l2, "width": width, "images": images, **ends})
    return pd.DataFrame(rows)


def _interval(difference: np.ndarray) -> Interval | OnePair:
    """What differences (seeds, images) give."""
    if len(difference) < MINIMUM_SEEDS:
        return statistics.one_pair(difference[0])
    return statistics.crossed_interval(difference)


def cost_summary(frame: pd.DataFrame) -> Markdown:
    """What `costs` shows of each penalty, in words."""
    sentences = []
    table: Any = frame
    for l2, rows in table[table["images"] == "test"].groupby("lambda"):
        rows = rows.sort_values("width")
        narrow, wide = (rows.iloc[place] for place in (0, -1))
        train = table[(table["images"] == "training") & (table["lambda"] == l2)].sort_values("width")["value"]
        falls = bool((np.diff(rows["value"]) < 0).all())
        course = "falls" if falls else "rises" if bool((np.diff(rows["value"]) > 0).all()) else "goes"
        apart = narrow["low"] > wide["high"] or wide["low"] > narrow["high"]
        overlap = "" if apart else ", with intervals that overlap"
        sentences.append(
            f"For λ = {l2:g} the cost {course} from {points(narrow['value'])} at width {narrow['width']:g} to "
            f"{points(wide['value'])} at width {wide['width']:g}{overlap}; on the training images it is "
            f"{points(train.iloc[0])} and {points(train.iloc[-1])}."
        )
    return Markdown(" ".join(sentences))


def question_after_the_result(frame: pd.DataFrame) -> Markdown:
    """Whether the penalties cost the report's own network test accuracy at all, so that there is a cost to explain."""
    table: Any = frame
    width = 1.0 if (table["width"] == 1).any() else table["width"].max()
    rows = table[(table["images"] == "test") & (table["width"] == width)].sort_values("lambda")
    parts = []
    for row in rows.to_dict("records"):
        ends = f"({points(row['low']).removesuffix(' points')} to {points(row['high'])})"
        what = f"λ = {row['lambda']:g}"
        if row["low"] > 0:
            parts.append(f"{what} costs {points(row['value'])} {ends}")
        elif row["high"] < 0:
            parts.append(f"{what} gains {points(-row['value'])}, so there is no cost to explain")
        else:
            parts.append(f"for {what} a cost of {points(row['value'])} {ends} cannot be told from none")
    return Markdown(f"At width {width:g}, {'; '.join(parts)}.")


# --- Ensembles --------------------------------------------------------------------------------------------------


def ensembles(groups: Sequence[Sequence[Run]]) -> pd.DataFrame:
    """Accuracy, negative log-likelihood and calibration error of the average over seeds, beside the single networks.

    Returns
    -------
    A row per recipe: `recipe`, and with the suffix `one` (the mean over the single networks) and `all` (the average):
    `accuracy`, `nll` and `ece`.
    """
    rows = []
    for runs in groups:
        row: dict[str, Any] = {"recipe": runs[0].name}
        members: Sequence[analysis.Predicted]
        for suffix, members in (("one", runs), ("all", [analysis.ensemble(runs)])):
            row[f"accuracy {suffix}"] = np.mean([analysis.correct(one).double().mean().item() for one in members])
            row[f"nll {suffix}"] = np.mean([analysis.log_loss(one) for one in members])
            row[f"ece {suffix}"] = np.mean([analysis.expected_calibration_error(one) for one in members])
        rows.append(row)
    return pd.DataFrame(rows)


def ensemble_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ensembles` as texts."""
    columns: dict[tuple[str, str], Any] = {}
    for title, name, text in (
        ("test accuracy", "accuracy", percent),
        ("negative log-likelihood", "nll", "{:.3f}".format),
        ("calibration error", "ece", percent),
    ):
        columns[title, "single"] = frame[f"{name} one"].map(text).tolist()
        columns[title, "average"] = frame[f"{name} all"].map(text).tolist()
    table = pd.DataFrame(columns, index=pd.Index(frame["recipe"], name="recipe"))
    table.columns = pd.MultiIndex.from_tuples(list(columns))
    return table


def ensemble_summary(frame: pd.DataFrame, wide: Sequence[Run], narrow: Sequence[Run]) -> Markdown:
    """What averaging gains, beside what width does.

    Parameters
    ----------
    frame : as `ensembles` returns it; its first row is the widest plain network.
    wide, narrow : the plain networks of the largest and the smallest width.
    """
    row = frame.iloc[0]
    gained = row["accuracy all"] - row["accuracy one"]
    by_width = np.mean([run.test_accuracy for run in wide]) - np.mean([run.test_accuracy for run in narrow])
    found: Any = frame
    better = {
        "accuracy": int((found["accuracy all"] > found["accuracy one"]).sum()),
        "likelihood": int((found["nll all"] < found["nll one"]).sum()),
        "calibration": int((found["ece all"] < found["ece one"]).sum()),
    }
    counted = ", ".join(f"in {what} for {count}" for what, count in better.items())
    return Markdown(
        f"Averaging the networks of {len(wide)} seeds is another way to more capacity, and costs no training here. It "
        f"changes the accuracy of the widest plain network by {points(float(gained), sign=True)}; the step from the "
        f"narrowest to the widest one is worth {points(float(by_width), sign=True)}. Among the {len(frame)} recipes of "
        f"@tbl-capacity-ensembles the average is better than its members {counted}."
    )


# --- Figure -----------------------------------------------------------------------------------------------------


@plots.themed
def cost_figure(frame: pd.DataFrame) -> Figure:
    """What each penalty costs, over the width of the network, on test and training images; bars are the intervals.

    Parameters
    ----------
    frame : as `costs` returns it.
    """
    figure = theme.new_figure(height=5.2)
    axes = figure.subplots(1, 2, sharey=True)
    widths = sorted(frame["width"].unique())
    lambdas = sorted(frame["lambda"].unique())
    for ax, images in zip(axes, ("test", "training"), strict=True):
        for place, (l2, colour) in enumerate(zip(lambdas, plots.colours(len(lambdas)), strict=True)):
            rows: Any = frame[(frame["lambda"] == l2) & (frame["images"] == images)]
            rows = rows.sort_values("width")
            x = rows["width"] * 1.04 ** (place - (len(lambdas) - 1) / 2)  # beside each other, where bars would overlap
            ends = np.abs(100 * (rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy()))
            style = {"color": colour, "marker": "os^D"[place % 4], "label": f"λ = {l2:g}"}
            ax.errorbar(x, 100 * rows["value"], ends, **style)
        ax.axhline(0, color="black", linewidth=0.7)
        ax.set_xscale("log")
        ax.set_xticks(widths, [f"{width:g}" for width in widths])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("width of the network")
        ax.set_title(f"{images} images", loc="left", fontweight="bold")
    axes[0].set_ylabel("cost of the penalty (points)")
    axes[0].legend(loc="best")
    figure.alt = f"Cost of each penalty over the width. {cost_summary(frame).data}"
    return figure
