"""Every figure of the report, each one call.

All take runs or data and return a figure of the report's text width that no pyplot state knows of: as the last
expression of a notebook cell it shows itself once. Functions with an `ax` draw into it instead and return its figure.
Captions say what is seen, so figures have no title of their own.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from hwkit import analysis, data, theme
from hwkit.analysis import Example, Pair
from hwkit.data import Dataset
from hwkit.datasets import sources
from hwkit.errors import DataError, RunError, did_you_mean
from hwkit.explorer import attribution, index
from hwkit.runs import Run
from hwkit.theme import NEUTRAL, RUN_COLOURS, TEST, TRAIN

if TYPE_CHECKING:
    from hwkit.chapters.negative_weights import Ablation
    from hwkit.chapters.penalty_bug import PenaltyRun

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

GAP = 2  # white pixels between two images of a mosaic


def _themed(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function that runs with the report's theme and leaves matplotlib's settings as they were."""

    @functools.wraps(function)
    def with_theme(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with theme.applied():
            return function(*args, **kwargs)

    return with_theme


# --- Training ---------------------------------------------------------------------------------------------------


def smooth(values: pd.Series) -> pd.Series:
    """A moving average over a tenth of the values (at least three), centred; at both ends over those there are."""
    window = max(3, len(values) // 10) | 1
    return values.rolling(window, center=True, min_periods=1).mean()


@_themed
def learning_curve(runs: Run | Sequence[Run], *, ax: Axes | None = None) -> Figure:
    """Loss over iterations, on a logarithmic axis: readings faint, their moving average strong.

    Where a run has an L2 penalty, the loss includes it, and the penalty's part of it is dotted.
    """
    ax = ax or theme.new_axes(height=7)
    runs = _as_runs(runs)
    for run, colour in zip(runs, _colours(len(runs)), strict=True):
        record = run.record
        ax.plot(record["iteration"], record["loss"], color=colour, alpha=0.3, linewidth=0.8)
        label = "loss" if len(runs) == 1 else run.name
        ax.plot(record["iteration"], smooth(record["loss"]), color=colour, label=label)
        if run.experiment.l2:
            label = "of this, L2 penalty" if len(runs) == 1 else f"{run.name}, L2 penalty in it"
            ax.plot(record["iteration"], record["penalty"], color=colour, linestyle=":", label=label)
    ax.set(yscale="log", xlabel="iteration", ylabel="loss on the training batch")
    ax.set_xlim(0, max(run.record["iteration"].max() for run in runs))
    # Losses seldom span more than two decades: powers of ten alone would be too few ticks.
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="best")
    return _figure_of(ax)


@_themed
def records_overlaid(runs: Run | Sequence[Run]) -> Figure:
    """Loss (left) and accuracy on test images (right) of several runs over iterations, as moving averages."""
    runs = _as_runs(runs)
    figure = theme.new_figure(height=6.4 + 0.45 * math.ceil(len(runs) / 3))
    left, right = figure.subplots(1, 2)
    for run, colour in zip(runs, _colours(len(runs)), strict=True):
        record = run.record
        left.plot(record["iteration"], smooth(record["loss"]), color=colour, label=run.name)
        right.plot(record["iteration"], smooth(record["test_accuracy"]), color=colour)
    left.set(yscale="log", xlabel="iteration", ylabel="loss on the training batch")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    right.set(xlabel="iteration", ylabel="accuracy on 200 test images", ylim=(_lowest_accuracy(runs), 1.005))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@_themed
def accuracy_curves(run: Run, *, ax: Axes | None = None) -> Figure:
    """Accuracy over iterations: red = test, blue = train.

    Dots are readings, on 200 random test images and on the current training batch; lines are their moving averages.
    The horizontal line is the final accuracy over all test images.
    """
    ax = ax or theme.new_axes(height=7.5)
    _draw_accuracies(ax, run)
    ax.set_ylim(_lowest_accuracy([run]), 1.005)
    ax.set_ylabel("accuracy")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.02))
    return _figure_of(ax)


@_themed
def training_curves(run: Run | PenaltyRun) -> Figure:
    """Learning curve and accuracy curves of one run side by side; see `learning_curve` and `accuracy_curves`."""
    figure = theme.new_figure(height=6.4)
    left, right = figure.subplots(1, 2)
    learning_curve(run, ax=left)
    accuracy_curves(run, ax=right)
    return figure


@_themed
def accuracy_panels(runs: Sequence[Run], titles: Sequence[str] | None = None) -> Figure:
    """The accuracy curves of several runs side by side, two in a row, with one accuracy axis for all.

    Parameters
    ----------
    titles : of the panels, one per run; default the runs' names.

    Raises
    ------
    RunError
        If there is no run, or not one title per run.
    """
    runs = _as_runs(runs)
    titles = [run.name for run in runs] if titles is None else list(titles)
    if len(titles) != len(runs):
        raise RunError(f"{len(runs)} runs have {len(titles)} titles; give each run one")
    columns = min(2, len(runs))
    rows = math.ceil(len(runs) / columns)
    figure = theme.new_figure(height=1 + 5.5 * rows)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for ax, run, title in zip(axes, runs, titles, strict=False):
        _draw_accuracies(ax, run)
        ax.set_title(title)
    for ax in axes[len(runs) :]:
        ax.remove()
    axes[0].set_ylim(_lowest_accuracy(runs), 1.005)
    for ax in axes[::columns]:
        ax.set_ylabel("accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_accuracies(ax: Axes, run: Run) -> None:
    record = run.record
    curves = (
        ("train_accuracy", TRAIN, "train: current batch"),
        ("test_accuracy", TEST, "test: 200 random images"),
    )
    for column, style, label in curves:
        readings = {"marker": ".", "linestyle": "", "alpha": 0.4, "markersize": 4.5, "markeredgewidth": 0}
        ax.plot(record["iteration"], record[column], color=style["color"], **readings)
        ax.plot(record["iteration"], smooth(record[column]), label=label, **style)
    ax.axhline(
        run.test_accuracy, color=TEST["color"], linewidth=0.9, linestyle=(0, (1, 1.5)), label="test: all images, final"
    )
    # Beside the axes, where no curve can run through it.
    ax.text(
        1.01,
        run.test_accuracy,
        f"{run.test_accuracy:.4f}",
        color=TEST["color"],
        transform=ax.get_yaxis_transform(),
        verticalalignment="center",
    )
    ax.set_xlabel("iteration")
    ax.set_xlim(0, record["iteration"].max())


def _lowest_accuracy(runs: Sequence[Run]) -> float:
    """The lower end of an accuracy axis that shows all readings but those of the first steep rise."""
    readings = [run.record[column].quantile(0.05) for run in runs for column in ("train_accuracy", "test_accuracy")]
    return min(math.floor(10 * min(readings)) / 10, 0.9)


# --- Weights ----------------------------------------------------------------------------------------------------


@_themed
def weight_distributions(
    run: Run,
    other: Run | None = None,
    *,
    near_zero: float = analysis.NEAR_ZERO,
    parameters: Sequence[str] | None = None,
    share: str = "near_zero",
) -> Figure:
    """The distribution of every weight and bias tensor after training, one panel each, on a logarithmic density axis.

    Each panel spans the middle 99.8 % of the values of every run in it. Above it stands, per run, the share of values
    nearer to zero than `near_zero`, or that of negative ones.

    Parameters
    ----------
    other : a second run, drawn over the first: regularised against not, say.
    parameters : names of the tensors to show; default all.
    share : "near_zero" or "negative", the share that stands above the panels.

    Raises
    ------
    RunError
        If no run has one of the parameters, or the share is neither.
    """
    runs = [run] if other is None else [run, other]
    known = analysis.parameter_names(name for shown in runs for name in shown.final_weights)
    names = known if parameters is None else list(parameters)
    for name in names:
        if name not in known:
            raise RunError(f"unknown parameter {name!r}; {did_you_mean(name, known)}")
    shares = {"near_zero": f"share of values within ±{near_zero:g}", "negative": "share of negative values"}
    if share not in shares:
        raise RunError(f"unknown share {share!r}; {did_you_mean(share, shares)}")
    statistics = [analysis.weight_statistics(shown, near_zero) for shown in runs]
    columns = 4 if len(names) > 6 else 3
    rows = math.ceil(len(names) / columns)
    figure = theme.new_figure(height=1 + 3.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, name in zip(axes, names, strict=False):
        _draw_distributions(ax, [shown.final_weights.get(name) for shown in runs])
        ax.set_title(name, loc="left", pad=14, fontweight="bold")
        for side, table in enumerate(statistics):
            if name in table.index:
                _write_share(ax, table.loc[name, share], side)
    for ax in axes[len(names) :]:
        ax.remove()
    for ax in axes[: len(names) : columns]:
        ax.set_ylabel("density")
    handles = [Patch(facecolor=RUN_COLOURS[0], alpha=0.5, label=run.name)]
    if other is not None:
        handles.append(Line2D([], [], color=RUN_COLOURS[1], label=other.name))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=2,
        title=f"above each panel: {shares[share]}",
        title_fontsize=8,
    )
    figure.supxlabel("value of the weight or bias", fontsize=8)
    return figure


def _draw_distributions(ax: Axes, tensors: Sequence[Tensor | None]) -> None:
    """Histograms of one parameter in one or two runs (None where a run lacks it): a filled one and a line."""
    edges = histogram_edges([tensor for tensor in tensors if tensor is not None])
    positive = []
    for side, tensor in enumerate(tensors):
        if tensor is None:
            continue
        counts, _ = np.histogram(tensor.flatten().numpy(), bins=edges)
        density = counts / (tensor.numel() * np.diff(edges))
        ax.stairs(density, edges, color=RUN_COLOURS[side], fill=not side, alpha=1 if side else 0.5, linewidth=1)
        positive.append(density[density > 0])
    shown = np.log10(np.concatenate(positive))
    # From one power of ten to another, so that every panel has ticks at both ends.
    limits = 10 ** np.floor(shown.min() - 0.01), 10 ** np.ceil(shown.max() + 0.01)
    ax.set(yscale="log", xlim=(edges[0], edges[-1]), ylim=limits)
    ax.axvline(0, color="black", linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_locator(LogLocator(numticks=5))
    ax.yaxis.set_minor_locator(NullLocator())


def _write_share(ax: Axes, share: float, side: int) -> None:
    """A share above the axes, on the side and in the colour of the first (0) or second (1) run."""
    ax.text(
        side,
        1.03,
        f"{100 * share:.1f} %",
        color=_readable(RUN_COLOURS[side]),
        transform=ax.transAxes,
        horizontalalignment="right" if side else "left",
    )


def histogram_edges(tensors: Sequence[Tensor]) -> np.ndarray:
    """Edges of histogram bins, float (bins + 1,), over the middle 99.8 % of each tensor's values."""
    values = [tensor.flatten().double().numpy() for tensor in tensors]
    low = min(np.quantile(value, 0.001, method="lower") for value in values)
    high = max(np.quantile(value, 0.999, method="higher") for value in values)
    if high - low < 1e-9:
        low, high = low - 1e-3, high + 1e-3
    # Bins wide enough to hold a few values each: a bias tensor has 10 to 1024, a weight tensor up to millions.
    bins = int(np.clip(np.sqrt(min(len(value) for value in values)), 5, 60))
    return np.linspace(low, high, bins + 1)


def _readable(colour: str) -> str:
    """A shade of a colour that is dark enough for small letters on white."""
    return to_hex(0.7 * np.array(to_rgb(colour)))


# --- Examples and hidden layers ---------------------------------------------------------------------------------


@_themed
def example(run: Run, shown: Example, *, channels: int = 0) -> Figure:
    """A test image beside the probabilities that the network gives to the ten classes.

    Parameters
    ----------
    channels : show so many channels of each convolution below it, the strongest ones; see `pair`.
    """
    return _examples_figure(run, [shown], channels, per_row=16)


@_themed
def pair(run: Run, shown: Pair, *, channels: int = 16) -> Figure:
    """A mismatch (left) and its counterpart (right): image, probabilities, and what each convolution makes of them.

    Of each layer the channels with the largest mean activation over both images are shown, the same ones for both, in
    the order of their numbers and on one colour scale per layer, which ends where the largest thousandth of its
    activations begins. Activations are taken before pooling.
    """
    return _examples_figure(run, [shown.mismatch, shown.counterpart], channels, per_row=8)


@_themed
def activations_beside(a: Run, b: Run, index: int, *, channels: int = 16) -> Figure:
    """What the convolutions of two networks make of one test image: a on the left, b on the right.

    Of each layer the channels with the largest mean activation are shown, in the order of their numbers and on a colour
    scale of their own. The channels of two networks have nothing to do with each other: compare how their maps look.

    Raises
    ------
    RunError
        If there is no such image, channels is below 1, or the runs were tested on different images.
    """
    if channels < 1:
        raise RunError(f"channels must be 1 or more, not {channels}")
    analysis.require_same_test_images(a, b)
    shown = [analysis.example(run, index) for run in (a, b)]
    layers = [analysis.activations(run, shown[0].image.unsqueeze(0)) for run in (a, b)]
    per_row = 8
    width = (theme.WIDTH / 2 - 1.6) / per_row
    heights = [4.4] + [
        0.9 + math.ceil(min(channels, maps.shape[1]) / per_row) * width * 1.3 for maps in layers[0].values()
    ]
    figure = theme.new_figure(height=sum(heights))
    for side, run, one, maps in zip(figure.subfigures(1, 2), (a, b), shown, layers, strict=True):
        places = side.subfigures(len(heights), 1, height_ratios=heights)
        _draw_example(places[0], run, one, beside=True, title=run.name)
        for place, (layer, values) in zip(places[1:], maps.items(), strict=True):
            _draw_channels(place, layer, values, _strongest_channels(values, channels), per_row)
    return figure


def _examples_figure(run: Run, shown: Sequence[Example], channels: int, per_row: int) -> Figure:
    """Examples side by side, with `channels` channels of each convolution below, `per_row` in a row."""
    if channels < 0:
        raise RunError(f"channels must be 0 or more, not {channels}")
    layers = analysis.activations(run, torch.stack([one.image for one in shown])) if channels else {}
    chosen = {layer: _strongest_channels(maps, channels) for layer, maps in layers.items()}
    width = (theme.WIDTH - 1.4) / len(shown) / per_row  # cm, of one channel; the rest is for the colour scale
    # Low enough for two pairs, with their captions, on a page of A4.
    heights = [4.2] + [0.6 + math.ceil(len(numbers) / per_row) * width * 1.3 for numbers in chosen.values()]
    figure = theme.new_figure(height=sum(heights))
    rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flatten()
    for place, one in zip(rows[0].subfigures(1, len(shown), squeeze=False).flatten(), shown, strict=True):
        _draw_example(place, run, one, beside=len(shown) > 1)
    for place, (layer, numbers) in zip(rows[1:], chosen.items(), strict=True):
        _draw_channels(place, layer, layers[layer], numbers, per_row)
    return figure


def _strongest_channels(maps: Tensor, count: int) -> list[int]:
    """The numbers of the channels of `maps`, float (N, channels, h, w), with the largest mean, in rising order."""
    means = maps.mean(dim=(0, 2, 3))
    return sorted(means.topk(min(count, len(means))).indices.tolist())


def _draw_example(place: SubFigure, run: Run, shown: Example, *, beside: bool, title: str | None = None) -> None:
    """An example's image and probabilities, with the whole width for them or `beside` another one's."""
    names = analysis.class_names(run)
    verdict = "correct" if shown.correct else "mismatch"
    title = title or f"{verdict}, test image {shown.index}"
    place.suptitle(title, x=0.02, horizontalalignment="left", fontsize=8, fontweight="bold")
    picture, bars = place.subplots(1, 2, width_ratios=(1, 1.15 if beside else 3))
    _draw_image(picture, shown.image)
    # The bars' axis label keeps this place free; asking for more would make room for long names and shrink the image.
    caption = f"true: {shown.label_name}\npredicted: {shown.predicted_name}"
    picture.text(0, -0.07, caption, transform=picture.transAxes, verticalalignment="top", in_layout=False)
    values = shown.probabilities.numpy()
    colours = [NEUTRAL] * len(values)
    colours[shown.predicted] = theme.WRONG
    colours[shown.label] = theme.CORRECT
    bars.barh(names, values, color=colours, height=0.75)
    for position, value in enumerate(values):
        bars.text(value + 0.02, position, _probability(value), verticalalignment="center", fontsize=7)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1.32), xticks=(0, 0.5, 1), xlabel="probability")
    bars.tick_params(axis="y", length=0, labelsize=7)
    bars.grid(visible=False)


def _probability(value: float) -> str:
    """A probability in few characters, without calling a small one zero or a large one certain."""
    if value < 0.0005:
        return "<0.001"
    return f"{value:.3f}" if value < 0.9995 else ">0.999"


def _draw_channels(place: SubFigure, layer: str, maps: Tensor, numbers: Sequence[int], per_row: int) -> None:
    """Chosen channels of one layer for each image of `maps`, float (N, channels, h, w), on one colour scale."""
    shown = maps[:, list(numbers)]
    # A few very large activations would leave the rest of the layer in the dark.
    low, high = min(shown.min().item(), 0), shown.quantile(0.999).item()
    height, width = shown.shape[-2:]
    axes = place.subplots(1, len(shown), squeeze=False).flatten()
    for ax, channels in zip(axes, shown, strict=True):
        ax.axis("off")
        # One picture per channel in common axes: sixteen axes each would take seconds to lay out.
        step_x, step_y = width * 1.08, height * 1.3
        for position, (number, channel) in enumerate(zip(numbers, channels, strict=True)):
            row, column = divmod(position, per_row)
            left, top = column * step_x, row * step_y
            picture = ax.imshow(
                channel.numpy(),
                extent=(left, left + width, top + height, top),
                vmin=low,
                vmax=high,
                cmap="viridis",
            )
            ax.text(left, top, f"{number}", fontsize=6, verticalalignment="bottom")
        ax.set_anchor("W")
        ax.set(
            xlim=(0, per_row * step_x),
            ylim=(math.ceil(len(numbers) / per_row) * step_y - 0.25 * height, -0.25 * height),
        )
        ax.set_aspect("equal")
    # Labels of one width keep the channels of all layers in line.
    style = {"ticks": MaxNLocator(2), "format": "%.1f", "extend": "max", "extendfrac": 0.08}
    place.colorbar(picture, ax=list(axes), shrink=0.8, pad=0.01, aspect=12, **style).outline.set_visible(False)
    count = f"{len(numbers)} of {maps.shape[1]} channels, {height}×{width}"
    place.suptitle(f"{layer} ({count})", x=0.01, horizontalalignment="left", fontsize=8, fontweight="bold")


@_themed
def first_layer_filters(run: Run) -> Figure:
    """The kernels of the first convolution, each on a colour scale of its own: grey is zero.

    With one input channel white is positive and black negative; with three, colours are what excites the filter.
    """
    kernels = filter_pictures(run)
    columns, size = 16, kernels.shape[1]
    rows = math.ceil(len(kernels) / columns)
    step_x, step_y = 1.15 * size, 1.45 * size
    figure = theme.new_figure(height=0.2 + rows * theme.WIDTH / columns * step_y / step_x)
    ax = figure.add_subplot()
    ax.axis("off")
    for number, kernel in enumerate(kernels):
        row, column = divmod(number, columns)
        left, top = column * step_x, row * step_y
        ax.imshow(kernel.numpy(), extent=(left, left + size, top + size, top), cmap="gray", vmin=0, vmax=1)
        ax.text(left, top, f"{number}", fontsize=6, verticalalignment="bottom")
    ax.set(xlim=(0, columns * step_x), ylim=(rows * step_y - 0.4 * size, -0.4 * size))
    return figure


def filter_pictures(run: Run) -> Tensor:
    """The kernels of the first convolution as pictures, float32 (filters, k, k) or (filters, k, k, 3), from 0 to 1.

    Zero becomes 0.5, and the entry of a kernel that is furthest from zero becomes 0 or 1.
    """
    kernels = run.final_weights["conv1.weight"]
    scale = kernels.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    pictures = 0.5 + 0.5 * kernels / scale
    return pictures.squeeze(1) if pictures.shape[1] == 1 else pictures.permute(0, 2, 3, 1)


@_themed
def embedding(run: Run, *, images: int = 40, ax: Axes | None = None) -> Figure:
    """The test images where the last hidden layer puts them, on the first two principal components of its directions.

    A dot per image in the colour of its class, rings around the mismatches, and some of the images themselves.

    Parameters
    ----------
    images : how many images are drawn; as far from each other as that number allows.
    """
    ax = ax or theme.new_axes(height=11)
    found = index.of(run)
    positions, labels = found.positions.numpy(), run.labels.numpy()
    for label, (name, colour) in enumerate(zip(analysis.class_names(run), theme.CLASS_COLOURS, strict=True)):
        own = labels == label
        ax.plot(*positions[own].T, ".", markersize=2.5, alpha=0.6, markeredgewidth=0, color=colour, label=name)
    wrong = (analysis.predicted(run) != run.labels).numpy()
    ring = {"markersize": 3, "markeredgewidth": 0.4, "markerfacecolor": "none", "color": "black", "alpha": 0.35}
    ax.plot(*positions[wrong].T, "o", label="mismatch", **ring)
    test_images = analysis.test_images(run)
    low, extent = positions.min(axis=0), np.ptp(positions, axis=0)
    size = 0.05 * extent * (1, 1.45)  # about square: the axes are wider than high
    for chosen in _spread_out((positions - low) / extent, images):
        x, y = positions[chosen]
        left, right, bottom, top = x - size[0] / 2, x + size[0] / 2, y - size[1] / 2, y + size[1] / 2
        pixels = test_images[chosen].permute(1, 2, 0).numpy()
        ax.imshow(
            pixels,
            extent=(left, right, bottom, top),
            aspect="auto",
            cmap="gray_r",
            zorder=3,
            interpolation="antialiased",
        )
    ax.set(xlim=(low[0] - size[0], low[0] + extent[0] + size[0]), ylim=(low[1] - size[1], low[1] + extent[1] + size[1]))
    first, second = (f"{100 * share:.0f} % of the variance" for share in found.explained.tolist())
    ax.set(xlabel=f"first principal component ({first})", ylabel=f"second ({second})", xticks=[], yticks=[])
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=2.5)
    return _figure_of(ax)


def _spread_out(points: np.ndarray, count: int) -> list[int]:
    """Indices of `count` points, float (N, 2), each the farthest from those chosen before it; the first is at 0."""
    chosen = [0] if len(points) and count else []
    distances = np.full(len(points), np.inf)
    while chosen and len(chosen) < min(count, len(points)):
        distances = np.minimum(distances, np.square(points - points[chosen[-1]]).sum(axis=1))
        chosen.append(int(distances.argmax()))
    return chosen


@_themed
def attributions(run: Run, shown: Example) -> Figure:
    """A test image, and which of its pixels the prediction rests on: saliency and occlusion.

    Saliency is brightest where a small change of a pixel moves the logit of the predicted class most. Occlusion is red
    where covering a patch lowers that logit, and blue where it raises it.

    Raises
    ------
    RunError
        If captum is not installed.
    """
    maps = attribution.maps(run, shown.image, shown.predicted)
    figure = theme.new_figure(height=4.6)
    picture, *panels = figure.subplots(1, 3)
    _draw_image(picture, shown.image)
    picture.set_title(f"{shown.label_name}, predicted {shown.predicted_name}")
    largest = max(maps["occlusion"].abs().max().item(), 1e-9)
    styles = {"saliency": {"cmap": "magma"}, "occlusion": {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}}
    for ax, (name, values) in zip(panels, maps.items(), strict=True):
        drawn = ax.imshow(values.numpy(), **styles[name])
        ax.set(title=f"{name} for {shown.predicted_name}", xticks=[], yticks=[])
        ax.grid(visible=False)
        figure.colorbar(drawn, ax=ax, shrink=0.85, ticks=MaxNLocator(3)).outline.set_visible(False)
    return figure


# --- Mismatches -------------------------------------------------------------------------------------------------


@_themed
def confusion_matrix(run: Run, *, ax: Axes | None = None) -> Figure:
    """Counts of test images by true and predicted class.

    The colours show mistakes only, by the square root of their count; the correct ones on the diagonal, which would
    outshine them, are grey.
    """
    ax = ax or theme.new_axes(height=11, width=12)
    counts = analysis.confusion(run)
    values = counts.to_numpy()
    diagonal = np.eye(len(values), dtype=bool)
    largest = max(1, values[~diagonal].max())
    ax.imshow(np.where(diagonal, np.nan, values), cmap="YlOrBr", norm=PowerNorm(0.5, 0, largest))
    ax.imshow(np.where(diagonal, 0.85, np.nan), cmap="gray", vmin=0, vmax=1)
    for row, column in np.ndindex(values.shape):
        count = values[row, column]
        if count or row == column:
            bright = row != column and count > 0.4 * largest
            ax.text(
                column,
                row,
                f"{count}",
                color="white" if bright else "black",
                horizontalalignment="center",
                verticalalignment="center",
                fontsize=7.5,
            )
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_xticks(range(len(values)), counts.columns)
    ax.set_yticks(range(len(values)), counts.index)
    if max(map(len, counts.columns)) > 3:
        ax.tick_params(axis="x", labelrotation=45)
        for label in ax.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return _figure_of(ax)


@_themed
def mismatch_gallery(run: Run, count: int = 24) -> Figure:
    """Misclassified test images, the most confident mistake first, each under "true → predicted".

    Raises
    ------
    RunError
        If the run has no mismatches, or count is below 1.
    """
    found = analysis.mismatches(run)
    if found.empty or count < 1:
        raise RunError(f"{run.name} has {len(found)} mismatches, and {count} were asked for; there is nothing to show")
    found = found.head(count)
    figure = theme.new_figure(height=_gallery_height(run, len(found)))
    _draw_gallery(figure, run, found)
    return figure


@_themed
def mismatch_changes(a: Run, b: Run, count: int = 16) -> Figure:
    """The mistakes that b adds to those of a (above) and those that it removes (below).

    At most `count` of each, the most confident first, each under "true → predicted", by the run that is wrong.

    Raises
    ------
    RunError
        If the runs were tested on different images, or count is below 1.
    """
    if count < 1:
        raise RunError(f"count must be 1 or more, not {count}")
    parts = list(zip(("only {b} gets wrong", "only {a} gets wrong"), analysis.changed_mismatches(a, b), strict=True))
    heights = [_gallery_height(a, min(count, len(found))) + 0.8 for _, found in parts]
    figure = theme.new_figure(height=sum(heights))
    for place, (title, found) in zip(figure.subfigures(2, 1, height_ratios=heights), parts, strict=True):
        title = title.format(a=a.name, b=b.name)
        shown = "" if len(found) <= count else f", {count} of them shown"
        place.suptitle(
            f"{len(found)} images that {title}{shown}",
            x=0.01,
            horizontalalignment="left",
            fontsize=8,
            fontweight="bold",
        )
        _draw_gallery(place, a, found.head(count))
    return figure


def _gallery_grid(run: Run, count: int) -> tuple[int, int, float, str]:
    """How to lay out a gallery of `count` images: rows, columns, height of a row in cm, and "→" between the names.

    Two digits fit beside each other over an image; CIFAR-10's names do not, and the stand-in's need wider images.
    """
    longest = max(map(len, analysis.class_names(run)))
    columns, height, arrow = (8, 2.4, " → ") if longest <= 3 else (8 if longest <= 10 else 6, 2.8, "\n→ ")
    return max(1, math.ceil(count / columns)), columns, height * 8 / columns, arrow


def _gallery_height(run: Run, count: int) -> float:
    rows, _, height, _ = _gallery_grid(run, count)
    return rows * height


def _draw_gallery(place: Figure | SubFigure, run: Run, found: pd.DataFrame) -> None:
    """The images of some rows of `analysis.predictions`, each under "true → predicted"."""
    rows, columns, _, arrow = _gallery_grid(run, len(found))
    axes = place.subplots(rows, columns, squeeze=False).flatten()
    images = analysis.test_images(run)
    for ax, row in zip(axes, found.itertuples(index=False), strict=False):
        _draw_image(ax, images[row.index])
        ax.set_title(f"{row.label_name}{arrow}{row.predicted_name}", fontsize=7)
    for ax in axes[len(found) :]:
        ax.axis("off")


# --- Data -------------------------------------------------------------------------------------------------------


@_themed
def samples(dataset: Dataset, per_class: int = 12, *, ax: Axes | None = None) -> Figure:
    """The first training images of each class, a row per class.

    Raises
    ------
    DataError
        If per_class is below 1.
    """
    if per_class < 1:
        raise DataError(f"per_class must be 1 or more, not {per_class}")
    classes = len(dataset.classes)
    ax = ax or theme.new_axes(height=0.3 + 13.5 * classes / max(per_class, 10))
    rows = []
    for label in range(classes):
        chosen = (dataset.train_labels == label).nonzero().squeeze(1)[:per_class]
        rows.append(dataset.train_images[chosen])
    _draw_mosaic(ax, rows, dataset.classes, per_class)
    return _figure_of(ax)


@_themed
def augmentations(dataset: Dataset, count: int = 10, seed: int = 0, *, ax: Axes | None = None) -> Figure:
    """What preprocessing does to some training images.

    Rows: as they are; mirrored; without colour; and as a network meets them in its first epoch, each mirrored and
    grayed at random. Normalisation comes after that and does not change the picture: -1 is black, 1 is white.

    Parameters
    ----------
    seed : of the training run whose first images are shown.

    Raises
    ------
    DataError
        If the images have no colour, which are not augmented, or there are not so many.
    """
    if sources.DATASETS[dataset.name].channels != 3:
        raise DataError(f"{dataset.title} is not augmented, only colour images are; take cifar10")
    if not 1 <= count <= len(dataset.train_images):
        raise DataError(f"count must be 1 to {len(dataset.train_images)}, the training images there are, not {count}")
    ax = ax or theme.new_axes(height=0.3 + 14 * 4 / max(count, 8))
    originals, met = (
        next(data.batches(dataset.train_images, dataset.train_labels, count, seed=seed, epoch=0, augment=augment))[0]
        for augment in (False, True)
    )
    every = torch.ones(count, dtype=torch.bool, device=originals.device)
    rows = [originals, data.random_flip(originals, every), data.random_grayscale(originals, every), met]
    _draw_mosaic(ax, rows, ("original", "mirrored", "without colour", "as trained on"), count)
    return _figure_of(ax)


def _draw_mosaic(ax: Axes, rows: Sequence[Tensor], names: Sequence[str], columns: int) -> None:
    """Rows of images, each uint8 (N, C, H, W) with N up to `columns`, with the row's name on the left."""
    channels, height, width = rows[0].shape[1:]
    step_y, step_x = height + GAP, width + GAP
    white = 0 if channels == 1 else 255  # as `_draw_image` draws them
    canvas = torch.full((channels, len(rows) * step_y - GAP, columns * step_x - GAP), white, dtype=torch.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            canvas[:, row * step_y : row * step_y + height, column * step_x : column * step_x + width] = image
    _draw_image(ax, canvas)
    ax.set_anchor("W")  # room for the names is reckoned from the left edge that the axes have before they are fitted
    ax.spines[:].set_visible(False)
    ax.set_yticks([row * step_y + height / 2 for row in range(len(rows))], names)
    ax.tick_params(axis="y", length=0)


def _draw_image(ax: Axes, image: Tensor) -> None:
    """An image, uint8 (C, H, W), pixel by pixel; one channel is drawn black on white, as digits are written."""
    if image.shape[0] == 1:
        ax.imshow(image[0].cpu().numpy(), cmap="gray_r", vmin=0, vmax=255)
    else:
        ax.imshow(image.permute(1, 2, 0).cpu().numpy())
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set(visible=True, color="#DDDDDD")


# --- Ablation and capacity ---------------------------------------------------------------------------------------


@_themed
def ablation_curves(ablations: Sequence[Ablation]) -> Figure:
    """Accuracy over the share of a layer's weights that is zeroed, a panel per layer and a line per choice of weights.

    Lines are means over seeds and, of the random choice, draws; bands run from the worst of these to the best.

    Raises
    ------
    RunError
        If there are no ablations.
    """
    if not ablations:
        raise RunError("there is no ablation to show; give at least one")
    columns = min(3, len(ablations))
    rows = math.ceil(len(ablations) / columns)
    figure = theme.new_figure(height=1.4 + 3.7 * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for ax, ablation in zip(axes, ablations, strict=False):
        for (choice, part), (colour, marker) in zip(
            ablation.table.groupby("choice", sort=False), _CHOICE_STYLES, strict=True
        ):
            accuracies = part.groupby("share")["accuracy"].agg(["mean", "min", "max"])
            shares = 100 * accuracies.index.to_numpy()
            ax.plot(shares, accuracies["mean"], marker, color=colour, linestyle="-", label=choice)
            ax.fill_between(shares, accuracies["min"], accuracies["max"], color=colour, alpha=0.25, linewidth=0)
        ax.set_title(ablation.layer, loc="left", fontweight="bold")
    for ax in axes[len(ablations) :]:
        ax.remove()
    for ax in axes[: len(ablations) : columns]:
        ax.set_ylabel("test accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, title="weights zeroed", title_fontsize=8)
    figure.supxlabel("share of the layer's weights that is zeroed (%)", fontsize=8)
    return figure


# A colour and a marker for the most negative, the most positive and random weights.
_CHOICE_STYLES = ((RUN_COLOURS[4], "v"), (RUN_COLOURS[0], "^"), (NEUTRAL, "o"))


@_themed
def class_effects(effects: pd.DataFrame) -> Figure:
    """What zeroing a class's own weights in the last layer does to it, class by class, in points.

    Parameters
    ----------
    effects : as `ablation.class_effects` gives them.
    """
    names = list(dict.fromkeys(effects["class"]))
    figure = theme.new_figure(height=6.2)
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"recall": "its own images recognised", "false_alarms": "other images taken for it"}
    for ax, (column, title) in zip(panels, titles.items(), strict=True):
        for place, ((choice, part), (colour, _)) in enumerate(
            zip(effects.groupby("choice", sort=False), _CHOICE_STYLES, strict=True)
        ):
            heights = np.arange(len(names)) + 0.27 * (place - 1)
            values = 100 * part.groupby("class")[column].mean().reindex(names)
            ax.barh(heights, values, height=0.25, color=colour, label=choice)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(title, loc="left", fontweight="bold")
        ax.set_xlabel("change in percentage points")
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, title="weights zeroed", title_fontsize=8)
    return figure


@_themed
def capacity_maps(table: pd.DataFrame) -> Figure:
    """Train accuracy, test accuracy and their gap by lambda and width, as three maps with their numbers.

    Train and test share one colour scale, so that the same shade is the same accuracy.

    Parameters
    ----------
    table : as `capacity.table` gives it.
    """
    figure = theme.new_figure(height=2.6 + 1.0 * table["lambda"].nunique())
    panels = figure.subplots(1, 3, sharey=True)
    accuracies = table[["train", "test"]].to_numpy()
    styles = {
        "train": ("train accuracy", "viridis", accuracies.min(), accuracies.max()),
        "test": ("test accuracy", "viridis", accuracies.min(), accuracies.max()),
        "gap": ("gap, train − test", "PuOr", -table["gap"].abs().max(), table["gap"].abs().max()),
    }
    for ax, (column, (title, colours, low, high)) in zip(panels, styles.items(), strict=True):
        values = table.pivot_table(index="lambda", columns="width", values=column)  # means over seeds
        ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", alpha=0.85)
        for row, column_number in np.ndindex(values.shape):
            value = values.iloc[row, column_number]
            dark = abs(value) > 0.6 * high if column == "gap" else value < (low + high) / 2
            text = f"{100 * value:.1f}".replace("-", "−")
            style = {"color": "white" if dark else "black", "fontsize": 9, "fontweight": "bold"}
            ax.text(column_number, row, text, horizontalalignment="center", verticalalignment="center", **style)
        ax.set_title(f"{title} (%)" if column != "gap" else f"{title} (points)", loc="left", fontweight="bold")
        ax.set_xticks(range(values.shape[1]), [f"{width:g}" for width in values.columns])
        ax.set_yticks(range(values.shape[0]), [f"{l2:g}" for l2 in values.index])
        ax.set_xlabel("width of the network")
        ax.tick_params(length=0)
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    panels[0].set_ylabel("λ")
    return figure


@_themed
def capacity_lines(table: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Accuracy over the width, red on test and blue on training images, with a marker for each lambda.

    Lines are means over the seeds, and small dots are the seeds.

    Parameters
    ----------
    table : as `capacity.table` gives it.
    """
    ax = ax or theme.new_axes(height=5.6)
    handles = [Line2D([], [], label=f"{kind} images", **style) for kind, style in (("training", TRAIN), ("test", TEST))]
    for (l2, part), marker in zip(table.groupby("lambda"), itertools.cycle("os^Dv")):
        means = part.groupby("width")[["train", "test"]].mean()
        for column, style in (("train", TRAIN), ("test", TEST)):
            ax.plot(means.index, means[column], marker=marker, **style)
            if len(part) > len(means):
                ax.plot(part["width"], part[column], ".", color=style["color"], markersize=3)
        handles.append(Line2D([], [], color=NEUTRAL, marker=marker, linestyle="", label=f"λ = {l2:g}"))
    widths = sorted(table["width"].unique())
    ax.set_xscale("log")
    ax.set_xticks(widths, [f"{width:g}" for width in widths])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="width of the network", ylabel="accuracy")
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _figure_of(ax)


# --- The penalty without a gradient -----------------------------------------------------------------------------

# A run with the faulty penalty lies exactly on the one without: the broad line below it stays visible.
PENALTY_STYLES: dict[str, dict[str, Any]] = {
    "none": {"color": NEUTRAL, "linewidth": 3.5, "alpha": 0.6, "label": "no penalty"},
    "faulty": {"color": RUN_COLOURS[1], "linestyle": (0, (3, 1.5)), "label": "faulty penalty"},
    "repaired": {"color": RUN_COLOURS[0], "label": "repaired penalty"},
}


@_themed
def penalty_effects(groups: Sequence[Sequence[PenaltyRun]]) -> Figure:
    """The penalty and the norm of each weight tensor over training, a line per version of the penalty.

    A row of panels per framework, which ends where its shortest run does; the axes of values begin at zero.

    Parameters
    ----------
    groups : the runs of each framework.

    Raises
    ------
    RunError
        If there is no run.
    """
    groups = [list(runs) for runs in groups if runs]
    if not groups:
        raise RunError("there is no run to show; give at least one framework's")
    figure = theme.new_figure(height=1 + 3.2 * len(groups))
    names = list(groups[0][0].norms)
    axes = figure.subplots(len(groups), 1 + len(names), squeeze=False)
    for row, runs in zip(axes, groups, strict=True):
        end = min(run.record["iteration"].max() for run in runs)
        for ax, name in zip(row, ["penalty", *names], strict=True):
            for run in runs:
                values = run.record.set_index("iteration")["penalty"] if name == "penalty" else run.norms[name]
                ax.plot(values.index, values, **PENALTY_STYLES[run.version])
            ax.set_title(name if name == "penalty" else f"‖{name}‖", loc="left", fontweight="bold", fontsize=7)
            ax.set(xlim=(0, end), xlabel="iteration")
            ax.set_ylim(0, 1.12 * max(ax.get_ylim()[1], 1e-9))
            ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        row[0].set_ylabel(runs[0].framework, fontweight="bold")
    handles = [Line2D([], [], **style) for style in PENALTY_STYLES.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


# --- Shared -----------------------------------------------------------------------------------------------------


def _as_runs(runs: Run | Sequence[Run]) -> list[Run]:
    found = list(runs) if isinstance(runs, Sequence) else [runs]
    if not found:
        raise RunError("there is no run to show; give at least one")
    return found


def _colours(count: int) -> list[str]:
    """A colour per run, repeating after the last."""
    return [RUN_COLOURS[position % len(RUN_COLOURS)] for position in range(count)]


def _figure_of(ax: Axes) -> Figure:
    """The figure that axes are in, even if they are in a part of one."""
    return ax.get_figure(root=True)
