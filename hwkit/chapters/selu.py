"""A difference between two recipes over the course of training, and how far training moves each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch.nn.functional as F
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hwkit import analysis, plots, theme
from hwkit.chapters import comparison
from hwkit.findings import verdicts
from hwkit.formats import points
from hwkit.runs import Run, Runs, as_list
from hwkit.statistics import MINIMUM_SEEDS

# --- Over the course of training --------------------------------------------------------------------------------


def difference_over_training(a: Runs, b: Runs) -> pd.DataFrame:
    """The difference a - b in test accuracy over the whole test set at each moment at which all runs were tested.

    Returns
    -------
    A row per moment: `iteration`, `epoch`, the difference `value` and its interval from `low` to `high`, as a fraction,
    and `seed 0` and so on, the difference of each seed. Of fewer than three seeds the interval is of the choice of
    images alone, of the first seed.
    """
    a, b = verdicts.replicates(a, b)
    moments = sorted(set.intersection(*(set(run.predicted_at) for run in (*a, *b))))
    rows = []
    for moment in moments:
        right = [np.stack([(run.predicted_at[moment] == run.labels).numpy() for run in side]) for side in (a, b)]
        difference = right[0].astype(float) - right[1]
        several = len(a) >= MINIMUM_SEEDS
        estimate = verdicts.of_images(difference if several else difference[:1])
        by_seed = {f"seed {run.experiment.seed}": one.mean() for run, one in zip(a, difference, strict=True)}
        epoch = moment / a[0].experiment.batches_per_epoch
        interval = {"value": difference.mean(), "low": estimate.low, "high": estimate.high}
        rows.append({"iteration": moment, "epoch": epoch, **interval, **by_seed})
    return pd.DataFrame(rows)


@plots.themed
def course(a: Runs, b: Runs, label: str) -> Figure:
    """Left, the test accuracy of two recipes over training; right, their difference at the moments of evaluation.

    Left, readings on 200 random test images, smoothed, pale for each seed and strong for their mean. Right, the mean
    difference of these readings, pale, and over the whole test set: dots are seeds, the marks on the line their mean,
    and bars 95 % intervals, dotted where they are of the choice of images alone.

    Parameters
    ----------
    label : of the difference, such as "SELU − ReLU".
    """
    a, b = verdicts.replicates(a, b)
    figure = theme.new_figure(height=4.9)
    left, right = figure.subplots(1, 2)
    for runs, colour, style in zip((b, a), theme.RUN_COLOURS, ("--", "-"), strict=False):
        smoothed = np.stack([plots.smooth(run.record["test_accuracy"]) for run in runs])
        epochs = runs[0].record["epoch"]
        if len(runs) > 1:
            left.plot(epochs, 100 * smoothed.T, color=colour, alpha=0.3, linewidth=0.7)
        left.plot(epochs, 100 * smoothed.mean(axis=0), style, color=colour, label=plots.shortened(runs[0].name, 30))
    left.set(xlabel="epoch", ylabel="accuracy on 200 test images (%)", xlim=(0, None))
    left.legend(loc="lower right")
    readings = [
        plots.smooth(one.record["test_accuracy"] - other.record["test_accuracy"])
        for one, other in zip(a, b, strict=True)
    ]  # of one seed, both networks were tested on the same 200 images at a time
    right.plot(a[0].record["epoch"], 100 * np.mean(readings, axis=0), color=theme.NEUTRAL, alpha=0.6, linewidth=1)
    table: Any = difference_over_training(a, b)
    _draw_difference(right, table, label, several=len(a) >= MINIMUM_SEEDS)
    right.set_xlim(0, 1.04 * table["epoch"].max())
    first, last = table.iloc[0], table.iloc[-1]
    text = f"{label} in test accuracy over training: {points(first['value'], sign=True)} after {_epochs(first)}"
    if len(table) > 1:
        text += f", {points(last['value'], sign=True)} after {last['epoch']:.3g}"
    return comparison.described(figure, f"{text}.")


def _draw_difference(ax: Axes, table: pd.DataFrame, label: str, *, several: bool) -> None:
    ax.axhline(0, color="#444444", linewidth=0.8)
    seeds = [column for column in table if str(column).startswith("seed ")]
    bars = ax.vlines(table["epoch"], 100 * table["low"], 100 * table["high"], color=theme.RUN_COLOURS[2])
    bars.set(linestyle="-" if several else ":", linewidth=1.2)
    for column in seeds:
        ax.plot(table["epoch"], 100 * table[column], "o", color=theme.NEUTRAL, markersize=3)
    style = {"color": theme.RUN_COLOURS[2], "markersize": 4, "markerfacecolor": "black" if several else "white"}
    ax.plot(table["epoch"], 100 * table["value"], "o-", label=label, **style)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set(xlabel="epoch", ylabel=f"{label} (points)")


def course_summary(a: Runs, b: Runs, claimed: str, other: str) -> Markdown:
    """What the figure of `course` shows: who leads early and late, and at which moments the sign is settled."""
    table: Any = difference_over_training(a, b)
    last = table.iloc[-1]
    if len(table) == 1:
        return Markdown(
            f"These networks were tested on all images at the end only, where {_leader(last, claimed, other)}; what "
            "came before is known from 200 images at a time, too few to tell such curves apart reading by reading."
        )
    first = table.iloc[0]
    then = f"at the end, after {last['epoch']:.3g}, {_leader(last, claimed, other)}"
    text = f"After {_epochs(first)}, {_leader(first, claimed, other)}; {then}."
    if len(as_list(a)) < MINIMUM_SEEDS:
        return Markdown(text)
    ahead, behind = int((table["low"] > 0).sum()), int((table["high"] < 0).sum())
    unsettled = len(table) - ahead - behind
    return Markdown(
        f"{text} Of the {len(table)} evaluations, the interval lies above zero at {ahead} and below it at {behind}, "
        f"and includes it at {unsettled}."
    )


def _epochs(row: Any) -> str:
    number = f"{row['epoch']:.2g}"
    return f"{number} epoch{'' if number == '1' else 's'}"


def _leader(row: Any, claimed: str, other: str) -> str:
    value = float(row["value"])
    if value == 0:
        return f"{claimed} and {other} are level"
    return f"{claimed if value > 0 else other} leads by {points(abs(value))}"


# --- Layers -----------------------------------------------------------------------------------------------------


def layer_numbers(run: Run) -> pd.DataFrame:
    """How far training moved each weight tensor of a run, and where it moved it.

    Returns
    -------
    A row per weight tensor, by name: `distance`, the norm of the change over that of the initial weights; `cosine`, of
    the trained with the initial weights; `offset`, mean over standard deviation, and `initial offset`.
    """
    initial = analysis.parameters(run.initial_weights)
    rows = {}
    for name, tensor in analysis.parameters(run).items():
        if tensor.ndim < 2:
            continue
        before, after = initial[name].double().flatten(), tensor.double().flatten()
        rows[name] = {
            "distance": ((after - before).norm() / before.norm()).item(),
            "cosine": F.cosine_similarity(before, after, dim=0).item(),
            "offset": (after.mean() / after.std(correction=0)).item(),
            "initial offset": (before.mean() / before.std(correction=0)).item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("weights")


@plots.themed
def layers_figure(runs: Sequence[Runs], titles: Sequence[str]) -> Figure:
    """A row per layer: left, how far its weights are from their initial ones; right, how far their mean is from zero.

    A marker per recipe, all seeds; the grey crosses are the initial weights.
    """
    groups = [[layer_numbers(run) for run in as_list(one)] for one in runs]
    names = list(groups[0][0].index)
    figure = theme.new_figure(height=2.0 + 0.5 * len(names))
    axes = figure.subplots(1, 2, sharey=True)
    labels = {"distance": "distance from the initial weights / their norm", "offset": "mean / standard deviation"}
    for ax, column in zip(axes, labels, strict=True):
        if column == "offset":
            ax.axvline(0, color="#444444", linewidth=0.8)
            for table in groups[0]:
                style = {"color": theme.NEUTRAL, "markersize": 4, "label": "initial"}
                ax.plot(table["initial offset"], np.arange(len(names)), "x", **style)
        for number, (tables, title) in enumerate(zip(groups, titles, strict=True)):
            places = np.arange(len(names)) + 0.28 * (number - (len(groups) - 1) / 2)
            for table in tables:
                style = {"color": plots.colours(len(groups))[number], "markersize": 4.5, "alpha": 0.75, "label": title}
                ax.plot(table[column], places, comparison.MARKERS[number], **style)
        ax.set_xlabel(labels[column])
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
    axes[0].set_xlim(0, None)
    axes[0].set_yticks(range(len(names)), [name.removesuffix(".weight") for name in names])
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    handles = {label: handle for handle, label in zip(*axes[1].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    means = [_mean_numbers(one) for one in runs]
    said = [f"{title}: " + _listed(table["distance"]) for title, table in zip(titles, means, strict=True)]
    return comparison.described(figure, f"Relative distance from the initial weights by layer. {'; '.join(said)}.")


def _mean_numbers(runs: Runs) -> Any:
    return pd.concat([layer_numbers(run) for run in as_list(runs)]).groupby(level=0, sort=False).mean()


def _listed(values: Any) -> str:
    return ", ".join(f"{str(name).removesuffix('.weight')} {value:.2f}" for name, value in values.items())


def layers_summary(runs: Sequence[Runs], titles: Sequence[str]) -> Markdown:
    """Which layer of each recipe moved least and most from where it started, and for which the two differ most."""
    means = [_mean_numbers(one) for one in runs]
    said = []
    for title, table in zip(titles, means, strict=True):
        distance = table["distance"]
        least, most = distance.idxmin(), distance.idxmax()
        said.append(
            f"with {title}, `{least}` moves least ({distance[least]:.2f}) and `{most}` most ({distance[most]:.2f})"
        )
    ratio = means[1]["distance"] / means[0]["distance"]
    changed = ratio.map(np.log).abs().idxmax()
    direction = "farther" if ratio[changed] > 1 else "less far"
    first, *others = said
    turns = [f"{math.degrees(math.acos(min(1.0, table['cosine']['conv1.weight']))):.0f}°" for table in means]
    return Markdown(
        f"In units of the norm of the initial weights: {first}; {'; '.join(others)}. The activation matters most to "
        f"`{changed}`, which moves {direction} with {titles[1]}, {means[1]['distance'][changed]:.2f} against "
        f"{means[0]['distance'][changed]:.2f}. As a direction, `conv1.weight` has turned by "
        f"{turns[0]} under {titles[0]} and by {turns[1]} under {titles[1]}."
    )
