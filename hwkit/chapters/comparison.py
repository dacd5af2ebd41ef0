"""Figures that set variants of a network beside each other, for several chapters of the discussion.

Of several seeds each figure shows all, and their mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from hwkit import analysis, plots, theme
from hwkit.errors import RunError
from hwkit.findings import verdicts
from hwkit.formats import capitalised, percent
from hwkit.runs import Run, Runs, as_list

MARKERS = "osD^vP"  # of recipes, so that they are told apart without colours, too


@plots.themed
def accuracy_panels(runs: Sequence[Runs], titles: Sequence[str] | None = None) -> Figure:
    """The accuracy curves of several recipes side by side, two in a row, with one accuracy axis for all.

    Of one seed, dots are readings and lines their moving averages; of several, pale lines are the moving averages of
    each seed and a strong one is their mean.

    Parameters
    ----------
    titles : of the panels, one per recipe; default the runs' names.

    Raises
    ------
    RunError
        If there is no run, or not one title per recipe.
    """
    groups: list[list[Any]] = [as_list(one) for one in plots.listed(runs)]
    titles = _titles(groups, titles)
    figure, axes = plots.panels(len(groups), 2, height=4.3, sharey=True)
    for ax, group, title in zip(axes, groups, titles, strict=True):
        if len(group) == 1:
            plots.draw_accuracies(ax, group[0])
        else:
            _draw_mean_accuracies(ax, group)
        ax.set_title(title)
    axes[0].set_ylim(plots.lowest_accuracy([run for group in groups for run in group]), 1.005)
    figure.supylabel("accuracy", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_mean_accuracies(ax: Axes, runs: Sequence[Run]) -> None:
    """The accuracy curves of one recipe with several seeds, whose records have the same iterations."""
    epochs = runs[0].record["epoch"]
    curves = (
        ("train_accuracy", theme.TRAIN, "train: current batch"),
        ("test_accuracy", theme.TEST, "test: 200 random images"),
    )
    for column, style, label in curves:
        smoothed = np.stack([plots.smooth(run.record[column]) for run in runs])
        ax.plot(epochs, smoothed.T, color=style["color"], alpha=0.3, linewidth=0.7)
        ax.plot(epochs, smoothed.mean(axis=0), label=label, **style)
    final = float(np.mean([run.test_accuracy for run in runs]))
    line = {"color": theme.TEST["color"], "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
    ax.axhline(final, label="test: all images, final", **line)
    place = {"transform": ax.get_yaxis_transform(), "color": theme.TEST["color"], "va": "center"}
    ax.text(1.01, final, percent(final), **place)
    ax.set(xlabel="epoch", xlim=(0, max(epochs)))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


@plots.themed
def seed_dots(
    values: Sequence[Sequence[float] | np.ndarray], titles: Sequence[str], label: str, *, ax: Axes | None = None
) -> Figure:
    """A row per recipe: a dot for each seed, and a bar at their mean.

    Parameters
    ----------
    values : of each recipe, one per seed.
    label : of the axis. Percentages are drawn as such if it ends in "accuracy".
    """
    ax = ax or theme.new_axes(height=1.2 + 0.5 * len(values), width=12)
    for row, (dots, colour, marker) in enumerate(zip(values, plots.colours(len(values)), MARKERS, strict=False)):
        ax.plot([np.mean(dots)] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=1.6)
        ax.plot(dots, np.full(len(dots), row), marker, color=colour, markersize=4.5, alpha=0.75)
    ax.set_yticks(range(len(values)), titles)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(label)
    if label.endswith("accuracy"):
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0.08)
    means = "; ".join(f"{title} {_shown(np.mean(dots), label)}" for title, dots in zip(titles, values, strict=True))
    return described(plots.figure_of(ax), f"{capitalised(label)}, means over seeds: {means}.")


def accuracy_dots(runs: Sequence[Runs], titles: Sequence[str]) -> Figure:
    """The test accuracy of each recipe over the whole test set, all seeds as dots; see `seed_dots`."""
    return seed_dots([[run.test_accuracy for run in as_list(one)] for one in runs], titles, "test accuracy")


def order_summary(runs: Sequence[Runs], titles: Sequence[str]) -> Markdown:
    """The recipes by falling mean accuracy, and between which neighbours in this order the seeds overlap."""
    found = {title: [run.test_accuracy for run in as_list(one)] for one, title in zip(runs, titles, strict=True)}
    order = sorted(found, key=lambda title: -float(np.mean(found[title])))
    ranked = [f"{title} ({percent(float(np.mean(found[title])))})" for title in order]
    text = f"From the most accurate to the least: {', '.join(ranked)}."
    if len(found[order[0]]) > 1:
        clauses = [
            f"every seed of {a} is above every seed of {b}"
            if min(found[a]) > max(found[b])
            else f"the seeds of {a} and {b} overlap"
            for a, b in itertools.pairwise(order)
        ]
        text += f" {capitalised('; '.join(clauses))}."
    return Markdown(text)


@plots.themed
def misclassified_by_one(a: Runs, b: Runs, count: int = 16) -> Figure:
    """The images that b alone misclassifies (above) and those that a alone does (below).

    Of several seeds, in most of them. At most `count` of each: those of the most seeds first, then those of the most
    confident predictions, each under "true → predicted", as the first of these seeds has it.

    Raises
    ------
    RunError
        If the runs were tested on different images, their seeds differ, or count is below 1.
    """
    if count < 1:
        raise RunError(f"count must be 1 or more, not {count}")
    a, b = verdicts.replicates(a, b)
    parts = [(runs[0].name, misclassified_in_most(runs, others)) for runs, others in ((b, a), (a, b))]
    heights = [plots.gallery_height(a[0], min(count, len(found))) + 0.8 for _, found in parts]
    figure = theme.new_figure(height=sum(heights))
    places = figure.subfigures(2, 1, height_ratios=heights, squeeze=False).flatten()
    seeds = "" if len(a) == 1 else f" in at least {len(a) // 2 + 1} of {len(a)} seeds"
    for place, (name, found) in zip(places, parts, strict=True):
        shown = "" if len(found) <= count else f", {count} of them shown"
        title = f"{len(found)} images that only {plots.shortened(name, 40)} misclassifies{seeds}{shown}"
        place.suptitle(title, x=0.01, horizontalalignment="left", fontsize=8, fontweight="bold")
        plots.draw_gallery(place, a[0], found.head(count))
    said = [f"Only {name} misclassifies {len(found)}{seeds}: {_kinds(found.head(count))}." for name, found in parts]
    return described(figure, f"Two groups of test images. {' '.join(said)}")


def misclassified_in_most(runs: Sequence[Run], others: Sequence[Run]) -> pd.DataFrame:
    """The images that `runs` misclassify in most seeds where `others` of the same seed do not.

    Returns
    -------
    A row per image with the columns of `analysis.predictions`, of the first of these seeds, and `seeds`, how many.
    """
    columns = ["index", "label_name", "predicted_name", "predicted_probability", "seeds"]
    alone = [analysis.misclassified_by_one(other, run)[0] for run, other in zip(runs, others, strict=True)]
    every = pd.concat(alone, ignore_index=True)
    rows = every.groupby("index", as_index=False).agg(
        label_name=("label_name", "first"),
        predicted_name=("predicted_name", "first"),
        predicted_probability=("predicted_probability", "mean"),
        seeds=("label", "size"),
    )
    most: Any = rows[rows["seeds"] > len(runs) / 2]
    order = ["seeds", "predicted_probability", "index"]
    return most.sort_values(order, ascending=[False, False, True], ignore_index=True)[columns]


# --- Shared -----------------------------------------------------------------------------------------------------


def described(figure: Figure, text: str) -> Figure:
    """The figure with an alternative text, for readers who cannot see it."""
    figure.alt = text  # type: ignore[attr-defined]  # of a theme.ReportFigure, and of no harm to another
    return figure


def mean_and_spread(values: Sequence[float] | np.ndarray | Tensor, decimals: int = 2) -> str:
    """The mean of one number for each seed and their standard deviation, such as "0.43 ± 0.02"; of one, that one."""
    values = np.asarray(values, dtype=float)
    text = f"{values.mean():.{decimals}f}" + (f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else "")
    return text.replace("-", "−")


def _titles(groups: Sequence[Sequence[Run]], titles: Sequence[str] | None) -> list[str]:
    if titles is None:
        return [plots.shortened(group[0].name, 36) for group in groups]
    if len(titles) != len(groups):
        raise RunError(f"{len(groups)} runs have {len(titles)} titles; give each run one")
    return list(titles)


def _shown(value: Any, label: str) -> str:
    return percent(float(value)) if label.endswith("accuracy") else f"{float(value):.3g}"


def _kinds(found: pd.DataFrame) -> str:
    kinds: Any = found.value_counts(["label_name", "predicted_name"])
    return ", ".join(f"{label} as {predicted}" for label, predicted in kinds.index) if len(found) else "none"
