"""The figures of the two task chapters, each one call.

All take runs or data and return a figure of the report's text width that no pyplot state knows of: as the last
expression of a notebook cell it shows itself once. Functions with an `ax` draw into it instead and return its figure.
Captions say what is seen, so figures have no title of their own.

>>> hwkit.plots.training_curves(run)
>>> figure, axes = plt.subplots(1, 2)
>>> hwkit.plots.accuracy_curves(run, ax=axes[0])
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm, to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from hwkit import analysis, data, theme
from hwkit.analysis import Example, Pair, Predicted
from hwkit.data import Dataset
from hwkit.errors import DataError, RunError, did_you_mean
from hwkit.formats import percent, probability
from hwkit.runs import Run, Runs, as_list
from hwkit.theme import NEUTRAL, RUN_COLOURS, TEST, TRAIN

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

GAP = 2  # white pixels between two images of a mosaic
MOST_CLASSES = 10  # with a bar, a colour or a number of their own
MOST_LAYERS = 4  # whose maps are shown
MOST_TENSORS = 16  # whose distributions are shown, biases among them
MOST_ROWS = 40  # of a figure with a row per class


class Recorded(Protocol):
    """What the curves are drawn of: a `Run`, or another training that kept such a record."""

    @property
    def record(self) -> pd.DataFrame: ...

    @property
    def name(self) -> str: ...

    @property
    def test_accuracy(self) -> float: ...


def themed(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function that runs with the report's theme and leaves matplotlib's settings as they were."""

    @functools.wraps(function)
    def with_theme(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with theme.applied():
            return function(*args, **kwargs)

    return with_theme


# --- Training ---------------------------------------------------------------------------------------------------


def smooth(values: ArrayLike) -> pd.Series:
    """A moving average over a tenth of the values (at least three), centred; at both ends over those there are."""
    series = pd.Series(values)
    window = max(3, len(series) // 10) | 1
    return pd.Series(series.rolling(window, center=True, min_periods=1).mean())


@themed
def learning_curve(runs: Recorded | Sequence[Recorded], *, ax: Axes | None = None) -> Figure:
    """Cross-entropy of the training batches over epochs, on a logarithmic axis: readings faint, moving average strong.

    The L2 penalty that is added to it in training is dotted, and no part of it, so that runs with and without one can
    be compared.
    """
    ax = ax or theme.new_axes(height=6)
    runs = listed(runs)
    for run, name, colour in zip(runs, labels_of(runs, 36), colours(len(runs)), strict=True):
        record = run.record
        cross_entropy = record["loss"] - record["penalty"]
        label = "cross-entropy" if len(runs) == 1 else name
        ax.plot(record["epoch"], cross_entropy, color=colour, alpha=0.3, linewidth=0.8)
        ax.plot(record["epoch"], smooth(cross_entropy), color=colour, label=label)
        if record["penalty"].any():
            penalty = "L2 penalty" if len(runs) == 1 or name.startswith("L2") else f"{name}: L2 penalty"
            ax.plot(record["epoch"], record["penalty"], color=colour, linestyle=":", label=penalty)
    ax.set(yscale="log", xlabel="epoch", ylabel="cross-entropy of the training batch")
    ax.set_xlim(0, max(max(run.record["epoch"]) for run in runs))
    # Losses seldom span more than two decades: powers of ten alone would be too few ticks.
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper right")
    return figure_of(ax)


@themed
def accuracy_curves(run: Recorded, *, ax: Axes | None = None) -> Figure:
    """Accuracy over epochs: red = test, blue = train.

    Dots are readings, on 200 random test images and on the current training batch, both without dropout; lines are
    their moving averages. The horizontal line is the final accuracy over all test images, and diamonds are those on the
    way, of a run that was evaluated then. A record with validation accuracies has a third curve.
    """
    ax = ax or theme.new_axes(height=6.4)
    draw_accuracies(ax, run)
    ax.set_ylim(lowest_accuracy([run]), 1.005)
    ax.set_ylabel("accuracy")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.02))
    return figure_of(ax)


@themed
def training_curves(runs: Recorded | Sequence[Recorded]) -> Figure:
    """The learning curves of runs in one panel, and beside it a panel of accuracy curves for each run.

    See `learning_curve` and `accuracy_curves`; all accuracies are on one scale.
    """
    runs = listed(runs)
    if len(runs) == 1:
        figure = theme.new_figure(height=5.6)
        left, right = figure.subplots(1, 2)
        learning_curve(runs, ax=left)
        accuracy_curves(runs[0], ax=right)
        return figure
    figure = theme.new_figure(height=5.6)
    left, *others = figure.subplots(1, 1 + len(runs))
    learning_curve(runs, ax=left)
    left.set_title("learning curves", loc="left", fontweight="bold")
    for ax, run, name in zip(others, runs, labels_of(runs), strict=True):
        draw_accuracies(ax, run)
        ax.set_title(f"accuracy {name.replace('L2,', 'with')}", loc="left", fontweight="bold")
        ax.set_ylim(lowest_accuracy(runs), 1.005)
    left.get_legend().remove()  # above the panels no curve can run through it
    rows = [
        {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        for axes in ([left], others)
    ]
    blank = " ", Line2D([], [], linestyle="")  # a legend is filled column by column
    entries = [entry for pair in zip_longest(*(row.items() for row in rows), fillvalue=blank) for entry in pair]
    labels, handles = zip(*entries, strict=True)
    close = {"columnspacing": 1, "handlelength": 1.8}
    figure.legend(handles, labels, loc="outside upper left", ncols=len(entries) // 2, **close)
    return figure


def draw_accuracies(ax: Axes, run: Recorded) -> None:
    """The curves of `accuracy_curves`, for figures with several panels."""
    record = run.record
    curves = (
        ("train_accuracy", TRAIN, "train: current batch"),
        ("validation_accuracy", theme.VALIDATION, "validation: random images"),
        ("test_accuracy", TEST, "test: 200 random images"),
    )
    for column, style, label in curves:
        if column in record:
            readings: dict[str, Any] = {"marker": ".", "linestyle": "", "alpha": 0.4, "markersize": 4.5, "mew": 0}
            ax.plot(record["epoch"], record[column], **readings, color=style["color"])
            ax.plot(record["epoch"], smooth(record[column]), label=label, **style)
    final = {"color": TEST["color"], "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
    evaluated = _evaluations(run)
    ax.axhline(run.test_accuracy, label="test: all images, final", **final)
    if len(evaluated) > 1:
        marks = {"color": TEST["color"], "marker": "D", "markersize": 3.5, "linestyle": "", "mec": "white", "mew": 0.5}
        ax.plot([*evaluated], [*evaluated.values()], label="test: all images", zorder=4, clip_on=False, **marks)
    # Beside the axes, where no curve can run through it.
    text = percent(run.test_accuracy)
    ax.text(1.01, run.test_accuracy, text, transform=ax.get_yaxis_transform(), color=TEST["color"], va="center")
    ax.set_xlabel("epoch")
    ax.set_xlim(0, max(record["epoch"]))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _evaluations(run: Recorded) -> dict[float, float]:
    """The accuracies over all test images that were measured on the way, by epoch, the final one included."""
    if not isinstance(run, Run):
        return {}
    batches = run.experiment.batches_per_epoch
    found = sorted(run.predicted_at.items())
    return {moment / batches: (classes == run.labels).double().mean().item() for moment, classes in found}


def lowest_accuracy(runs: Sequence[Recorded]) -> float:
    """The lower end of an accuracy axis that shows all readings but those of the first steep rise."""
    columns = [run.record[column] for run in runs for column in ("train_accuracy", "test_accuracy")]
    return min(math.floor(10 * min(np.quantile(column, 0.05) for column in columns)) / 10, 0.9)


# --- Weights ----------------------------------------------------------------------------------------------------


@themed
def weight_distributions(
    run: Run,
    other: Run | None = None,
    *,
    near_zero: float = analysis.NEAR_ZERO,
    parameters: Sequence[str] | None = None,
    fraction: str = "near_zero",
) -> Figure:
    """The distributions of weight and bias tensors before and after training, on a logarithmic density axis.

    One panel each, over the middle 99.8 % of the values of every distribution in it. Dotted are the initial values of
    `run`. Above stands, per run, the fraction of trained values nearer to zero than `near_zero`, or of negative ones.

    Parameters
    ----------
    other : a second run, drawn over the first: regularised against not, say.
    parameters : names of the tensors to show; default all, or of more than `MOST_TENSORS` the weights alone.
    fraction : "near_zero" or "negative", the fraction that stands above the panels.

    Raises
    ------
    RunError
        If no run has one of the parameters, or the fraction is neither.

    Examples
    --------
    >>> hwkit.plots.weight_distributions(run_l2, run)
    """
    runs = [run] if other is None else [run, other]
    trained = [analysis.parameters(one) for one in runs]
    initial = analysis.parameters(run.initial_weights)
    known = {name: tensor for tensors in reversed(trained) for name, tensor in tensors.items()}
    for name in parameters or ():
        if name not in known:
            raise RunError(f"unknown parameter {name!r}; {did_you_mean(name, known)}")
    names = parameters or [name for name in known if len(known) <= MOST_TENSORS or known[name].ndim > 1]
    fractions = {"near_zero": f"fraction of values within ±{near_zero:g}", "negative": "fraction of negative values"}
    if fraction not in fractions:
        raise RunError(f"unknown fraction {fraction!r}; {did_you_mean(fraction, fractions)}")
    figure, axes = panels(len(names), 4 if len(names) > 6 else 3, height=2.8 if len(names) > 6 else 3.3)
    for ax, name in zip(axes, names, strict=True):
        found = [tensors.get(name) for tensors in trained]
        _draw_distributions(ax, [initial.get(name), *found])
        ax.set_title(shortened(name), loc="left", pad=14, fontweight="bold")
        for side, tensor in enumerate(found):
            if tensor is not None:
                value = analysis.weight_statistics({name: tensor}, near_zero).loc[name, fraction]
                style = {"color": _readable(RUN_COLOURS[side]), "transform": ax.transAxes}
                ax.text(side, 1.03, percent(value), ha="right" if side else "left", **style)
    labels = labels_of(runs, 36)
    handles = [Patch(facecolor=RUN_COLOURS[0], alpha=0.5, label=labels[0])]
    handles += [Line2D([], [], color=RUN_COLOURS[1], label=label) for label in labels[1:]]
    handles += [Line2D([], [], label="initial values", **INITIAL)]
    title = {"title": f"above each panel: {fractions[fraction]}", "title_fontsize": theme.SETTINGS["legend.fontsize"]}
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), **title)
    figure.supxlabel("value of the weight or bias", fontsize=theme.SETTINGS["axes.labelsize"])
    figure.supylabel("density", fontsize=theme.SETTINGS["axes.labelsize"])
    return figure


INITIAL: dict[str, Any] = {"color": "#555555", "linestyle": (0, (1, 1)), "linewidth": 1}


def _draw_distributions(ax: Axes, tensors: Sequence[Tensor | None]) -> None:
    """Histograms of one parameter: initial, then of one run, filled, and of another; None where there is none."""
    edges = histogram_edges([tensor for tensor in tensors if tensor is not None])
    styles = [INITIAL, {"color": RUN_COLOURS[0], "fill": True, "alpha": 0.5}, {"color": RUN_COLOURS[1]}]
    positive = []
    for tensor, style in zip(tensors, styles, strict=False):
        if tensor is not None:
            counts, _ = np.histogram(tensor.flatten().numpy(), bins=edges)
            density = counts / (tensor.numel() * np.diff(edges))
            ax.stairs(density, edges, zorder=3 if style is INITIAL else 2, **{"linewidth": 1, **style})
            positive.append(density[density > 0])
    shown = np.log10(np.concatenate(positive))
    # From one power of ten to another, so that every panel has ticks at both ends.
    limits = 10 ** np.floor(shown.min() - 0.01), 10 ** np.ceil(shown.max() + 0.01)
    ax.set(yscale="log", xlim=(edges[0], edges[-1]), ylim=limits)
    ax.axvline(0, color="black", linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_locator(LogLocator(numticks=5))
    ax.yaxis.set_minor_locator(NullLocator())


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
    red, green, blue = to_rgb(colour)
    return to_hex((0.7 * red, 0.7 * green, 0.7 * blue))


# --- Examples and hidden layers ---------------------------------------------------------------------------------


@themed
def example(run: Run, shown: Example | Sequence[Example], *, channels: int = 0) -> Figure:
    """Test images beside the probabilities that the network gives to the classes, the ten largest if there are more.

    Parameters
    ----------
    shown : an image, or several to stand side by side.
    channels : show so many channels of each layer with maps below them, the strongest ones; see `pair`.

    Raises
    ------
    RunError
        If there is no image to show.
    """
    examples = listed(shown)
    return _examples_figure([(run, examples)], channels, per_row=16 // len(examples))


@themed
def pair(run: Run, shown: Pair, *, channels: int = 16) -> Figure:
    """A misclassified image (left) and its counterpart (right): image, probabilities, and maps of hidden layers.

    Of each layer the channels with the largest mean activation over both images are shown, the same ones for both, in
    the order of their numbers and on one colour scale per layer, which ends where the largest thousandth of its
    activations begins. Activations are taken before pooling. Of a network with more than `MOST_LAYERS` layers with
    maps, the first, the last, and some evenly between are shown.

    Parameters
    ----------
    channels : of each layer; 4 or 8 are drawn twice as large as more than 8, in rows of 4, and up to 6 in one row.

    Examples
    --------
    >>> hwkit.plots.pair(run, hwkit.analysis.pairs(run, 1)[0])
    """
    per_row = 8 if channels > 8 else max(4, channels) if channels < 7 else 4
    return _examples_figure([(run, [shown.misclassified, shown.counterpart])], channels, per_row)


@themed
def activations_beside(a: Run, b: Run, index: int, *, channels: int = 16) -> Figure:
    """How the hidden layers of two networks respond to one test image: a on the left, b on the right.

    As `pair`, but of each network its own strongest channels, on a colour scale of their own. The channels of two
    networks have nothing to do with each other: compare how their maps look.

    Raises
    ------
    RunError
        If there is no such image, channels is below 1, or the runs were tested on different images.
    """
    if channels < 1:
        raise RunError(f"channels must be 1 or more, not {channels}")
    analysis.require_same_test_images(a, b)
    return _examples_figure([(run, [analysis.example(run, index)]) for run in (a, b)], channels, per_row=8)


LABEL = 1.8  # cm, for the name of a layer beside its maps


def _examples_figure(groups: Sequence[tuple[Run, list[Example]]], channels: int, per_row: int) -> Figure:
    """Examples of one run or several side by side, with `channels` channels of each layer with maps below them.

    Examples of one run share channels and colour scales; `per_row` channels stand in a row.
    """
    if channels < 0:
        raise RunError(f"channels must be 0 or more, not {channels}")
    layers = [_strongest_maps(run, shown, channels) for run, shown in groups]
    count = sum(len(shown) for _, shown in groups)
    # cm, of a channel; the rest is for labels and colour scales
    width = (theme.WIDTH - (LABEL + 1.4) * len(groups)) / count / per_row
    rows = [max(math.ceil(len(one[1]) / per_row) for one in beside if one) for beside in zip_longest(*layers)]
    # Low enough for two pairs, with their captions, on a page of A4.
    heights = [3.6, *(max(1.2, 0.15 + row * width * _row_step(per_row)) for row in rows)]
    figure = theme.new_figure(height=sum(heights))
    sides = figure.subfigures(1, len(groups), squeeze=False)[0]
    for side, (run, shown), maps in zip(sides, groups, layers, strict=True):
        places = side.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flatten()
        for place, one in zip(places[0].subfigures(1, len(shown), squeeze=False)[0], shown, strict=True):
            title = f"test image {one.index}: " if len(groups) == 1 else f"{shortened(run.name, 36)}\n"
            _draw_example(place, run, one, beside=count > 1, title=title)
        for place, (name, numbers, values) in zip(places[1:], maps, strict=False):
            _draw_channels(place, name, values, numbers, per_row, label=LABEL * len(groups) / theme.WIDTH)
    return figure


def _strongest_maps(run: Run, shown: list[Example], channels: int) -> list[tuple[str, list[int], Tensor]]:
    """Of at most `MOST_LAYERS` layers: name, the channels with the largest mean, and all maps, float32 (N, C, h, w)."""
    maps = analysis.activations(run, torch.stack([one.image for one in shown])) if channels else {}
    chosen = np.linspace(0, len(maps) - 1, min(len(maps), MOST_LAYERS)).round().astype(int)
    strongest = []
    for name, values in (list(maps.items())[place] for place in chosen):
        means = values.mean(dim=(0, 2, 3))
        strongest.append((name, sorted(means.topk(min(channels, len(means))).indices.tolist()), values))
    return strongest


def _draw_example(place: SubFigure, run: Run, shown: Example, *, beside: bool, title: str) -> None:
    """An example's image and probabilities, with the whole width for them or `beside` another one's."""
    own, taken = shortened(shown.label_name, 18), shortened(shown.predicted_name, 18)
    outcome = f"{own}, classified correctly" if shown.correct else f"{own} → {taken}"
    place.suptitle(title + outcome, x=0.02, horizontalalignment="left", fontsize=8, fontweight="bold")
    picture, bars = place.subplots(1, 2, width_ratios=(1, 1.3 if beside else 3))
    draw_image(picture, shown.image)
    values = shown.probabilities.numpy()
    most = np.argsort(-values, kind="stable")[:MOST_CLASSES]
    listed = sorted({*most[: -1 if shown.label not in most else None], shown.label})
    marked = {shown.predicted: theme.WRONG, shown.label: theme.CORRECT}
    names = analysis.class_names(run)
    places = range(len(listed))
    bars.barh(places, values[listed], color=[marked.get(label, NEUTRAL) for label in listed], height=0.75)
    bars.set_yticks(places, [shortened(names[label]) for label in listed])
    for position, value in enumerate(values[listed]):
        bars.text(value + 0.02, position, probability(float(value)), verticalalignment="center", fontsize=7)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1.32), xticks=[])
    bars.spines["bottom"].set_visible(False)
    bars.tick_params(axis="y", length=0, labelsize=7)
    bars.grid(visible=False)


def _draw_channels(
    place: SubFigure, layer: str, maps: Tensor, numbers: Sequence[int], per_row: int, label: float
) -> None:
    """Chosen channels of one layer for each image of `maps`, float (N, channels, h, w), on one colour scale.

    `label` is the fraction of the width for the layer's name, the same for all layers, so that channels stay in line.
    """
    shown = maps[:, list(numbers)]
    # A few very large activations would leave the rest of the layer in the dark.
    low, high = min(shown.min().item(), 0), np.quantile(shown.numpy(), 0.999)
    height, width = shown.shape[-2:]
    beside = place.subfigures(1, 2, width_ratios=(label, 1 - label), squeeze=False)[0, 1]
    axes = beside.subplots(1, len(shown), squeeze=False).flatten()
    for ax, channels in zip(axes, shown, strict=True):
        picture = draw_tiles(ax, channels, numbers, per_row, cmap="viridis", vmin=low, vmax=high)
    style = {"ticks": MaxNLocator(2), "format": "%.1f", "extend": "max", "extendfrac": 0.08}
    beside.colorbar(picture, ax=list(axes), shrink=0.8, pad=0.01, aspect=12, **style).outline.set_visible(False)
    name = f"{shortened(layer, 14)}\n{len(numbers)} of {maps.shape[1]}\n{height}×{width}"
    place.suptitle(name, x=0.01, y=0.45, ha="left", va="center", fontsize=7).set_in_layout(False)


def draw_tiles(ax: Axes, tiles: Tensor, numbers: Iterable[int], per_row: int, **style: Any) -> Any:
    """Small pictures, float (N, h, w) or (N, h, w, 3), `per_row` in a row, each under its number; returns the last.

    All in common axes: axes of their own would take seconds to lay out.
    """
    height, width = tiles.shape[1:3]
    step_x, step_y = width * 1.08, height * _row_step(per_row)
    for position, (number, tile) in enumerate(zip(numbers, tiles, strict=True)):
        row, column = divmod(position, per_row)
        left, top = column * step_x, row * step_y
        picture = ax.imshow(tile.numpy(), extent=(left, left + width, top + height, top), **style)
        ax.text(left, top, f"{number}", fontsize=7, verticalalignment="bottom")
    rows = math.ceil(len(tiles) / per_row)
    ax.axis("off")
    ax.set_anchor("W")
    gap = step_y - height
    ax.set(xlim=(0, per_row * step_x), ylim=(rows * step_y - gap, -gap), aspect="equal")
    return picture


def _row_step(per_row: int) -> float:
    """From one row of tiles to the next, in heights of a tile: with room for a number above each."""
    return 1.22 if per_row <= 8 else 1.3 if per_row <= 16 else 1.65


@themed
def first_layer_filters(run: Run, *, ax: Axes | None = None) -> Figure:
    """The weights of the first layer as pictures, the first 64, each on a colour scale of its own: grey is zero.

    With one input channel white is positive and black negative; with three, colours are what excites the filter. A
    fully connected first layer shows what each of its units looks for in the whole image.
    """
    pictures = filter_pictures(run)[:64]
    columns = 16 if len(pictures) <= 16 else 32
    rows = math.ceil(len(pictures) / columns)
    ax = ax or theme.new_axes(
        height=0.4 + rows * theme.WIDTH / columns * _row_step(columns) * pictures.shape[1] / pictures.shape[2]
    )
    draw_tiles(ax, pictures, range(len(pictures)), columns, cmap="gray", vmin=0, vmax=1)
    return figure_of(ax)


def filter_pictures(run: Run) -> Tensor:
    """The weights of the first layer as pictures, float32 (filters, h, w) or (filters, h, w, 3), from 0 to 1.

    Zero becomes 0.5, and the entry of a filter that is furthest from zero becomes 0 or 1.

    Raises
    ------
    RunError
        If the weights of the first layer are no pictures, as those of an embedding.
    """
    image = analysis.test_images(run)[:1]
    first = next(analysis.layers(run, image))[0]
    kernels = next(parameter.detach() for parameter in first.module.parameters() if parameter.ndim > 1)
    if kernels.ndim == 2 and kernels.shape[1] == image[0].numel():
        kernels = kernels.view(-1, *image.shape[1:])
    if kernels.ndim != 4:
        raise RunError(f"the weights of {first.name} have the shape {tuple(kernels.shape)}, and are no pictures")
    if kernels.shape[1] != 3:
        kernels = kernels.mean(dim=1, keepdim=True)
    pictures = 0.5 + 0.5 * kernels / kernels.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    return pictures.squeeze(1) if pictures.shape[1] == 1 else pictures.permute(0, 2, 3, 1)


@themed
def embedding(run: Run, *, images: int = 40, ax: Axes | None = None) -> Figure:
    """The test images where the last hidden layer puts them, on the first two principal components of its directions.

    A dot per image in the colour of its class, rings around the misclassified ones, and some of the images themselves.

    Parameters
    ----------
    images : how many images are drawn; as far from each other as that number allows.
    """
    ax = ax or theme.new_axes(height=7.2)
    found = analysis.embedding(run)
    positions, names = found.positions.numpy(), analysis.class_names(run)
    few = len(names) <= MOST_CLASSES
    palette = theme.CLASS_COLOURS[: len(names)] if few else sns.color_palette("husl", len(names))
    classes = dict(enumerate(palette))
    dots = {"hue": run.labels.numpy(), "palette": classes, "s": 5, "alpha": 0.6, "linewidth": 0, "legend": False}
    sns.scatterplot(x=positions[:, 0], y=positions[:, 1], ax=ax, **dots)
    wrong = (analysis.predicted(run) != run.labels).numpy()
    ring = {"markersize": 3, "markeredgewidth": 0.4, "markerfacecolor": "none", "color": "black", "alpha": 0.35}
    ax.plot(*positions[wrong].T, "o", label="misclassified", **ring)
    test_images = analysis.test_images(run)
    low, extent = positions.min(axis=0), np.maximum(np.ptp(positions, axis=0), 1e-9)
    size = 0.05 * extent * (1, 1.95)  # about square: the axes are wider than high
    for chosen in _spread_out((positions - low) / extent, images):
        (left, bottom), (right, top) = positions[chosen] - size / 2, positions[chosen] + size / 2
        style = {"aspect": "auto", "cmap": "gray_r", "zorder": 3, "interpolation": "antialiased"}
        ax.imshow(test_images[chosen].permute(1, 2, 0).numpy(), extent=(left, right, bottom, top), **style)
    ax.set(xlim=(low[0] - size[0], low[0] + extent[0] + size[0]), ylim=(low[1] - size[1], low[1] + extent[1] + size[1]))
    first, second = (f"{percent(fraction, 0)} of the variance" for fraction in found.explained.tolist())
    ax.set(xlabel=f"first principal component ({first})", ylabel=f"second ({second})", xticks=[], yticks=[])
    handles = [Line2D([], [], marker=".", linestyle="", color=classes[label], label=names[label]) for label in classes]
    handles = (handles if few else []) + ax.get_legend_handles_labels()[0]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=1.5)
    if not few:  # too many colours to tell apart: names where the classes lie
        for label in run.labels.unique().tolist():
            x, y = np.median(positions[run.labels.numpy() == label], axis=0)
            ax.text(x, y, names[label], fontsize=7, ha="center", va="center", zorder=4)
    return figure_of(ax)


def _spread_out(points: np.ndarray, count: int) -> list[int]:
    """Indices of `count` points, float (N, 2), each the farthest from those chosen before it; the first is at 0."""
    chosen = [0] if len(points) and count else []
    distances = np.full(len(points), np.inf)
    while chosen and len(chosen) < min(count, len(points)):
        distances = np.minimum(distances, np.square(points - points[chosen[-1]]).sum(axis=1))
        chosen.append(int(distances.argmax()))
    return chosen


@themed
def saliency(run: Run, shown: Example) -> Figure:
    """A test image, and how strongly each pixel moves the logits of its true and of its predicted class.

    See `analysis.saliency`; each map has a colour scale of its own.
    """
    figure = theme.new_figure(height=3.9)
    labels = list(dict.fromkeys([shown.predicted, shown.label]))
    picture, *maps = figure.subplots(1, 1 + len(labels))
    draw_image(picture, shown.image)
    picture.set_title(f"true: {shortened(shown.label_name)}\npredicted: {shortened(shown.predicted_name)}")
    model, names = run.model(), analysis.class_names(run)
    inputs = data.normalise(shown.image.unsqueeze(0), run.experiment.dataset)
    for ax, label in zip(maps, labels, strict=True):
        drawn = ax.imshow(analysis.saliency(model, inputs, label).numpy(), cmap="magma", vmin=0)
        ax.set(title=f"saliency for\n{shortened(names[label])}", xticks=[], yticks=[])
        ax.grid(visible=False)
        figure.colorbar(drawn, ax=ax, shrink=0.85, ticks=MaxNLocator(3)).outline.set_visible(False)
    return figure


# --- Classes, confidence and misclassified images ---------------------------------------------------------------


@themed
def confusion_matrix(run: Run, *, ax: Axes | None = None) -> Figure:
    """Counts of test images by true and predicted class.

    The colours show misclassified images only, by the square root of their count; the correct ones on the diagonal,
    which would outshine them, are grey. With more than 20 classes, the counts are left to the colours.
    """
    counts = analysis.confusion(run)
    size = len(counts)
    height = min(3 + 0.8 * size, theme.WIDTH - 2)
    ax = ax or theme.new_axes(height=height, width=height + 2)
    diagonal = np.eye(size, dtype=bool)
    written = counts.astype(str).where((counts > 0) | diagonal, "") if size <= 20 else False
    common = {"data": counts, "annot": written, "fmt": "", "annot_kws": {"fontsize": 7.5}, "square": True, "ax": ax}
    largest = max(1, counts.to_numpy()[~diagonal].max())
    bar = {"label": "misclassified images", "shrink": 0.7, "ticks": MaxNLocator(5, integer=True)}
    sns.heatmap(**common, mask=diagonal, cmap="YlOrBr", norm=PowerNorm(0.5, 0, largest), cbar_kws=bar)
    sns.heatmap(**common, mask=~diagonal, cmap=ListedColormap(["#D9D9D9"]), cbar=False)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelrotation=0)
    if max(map(len, counts.columns)) > 3:
        ax.tick_params(axis="x", labelrotation=45)
        for label in ax.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")
    return figure_of(ax)


@themed
def class_accuracies(runs: Run | Sequence[Runs], *, ax: Axes | None = None) -> Figure:
    """The accuracy on each class's test images, a row per class and a mark per recipe, joined by a line.

    Of more than `MOST_ROWS` classes, those that the first recipe classifies worst.

    Parameters
    ----------
    runs : of each recipe one run, or a list of several seeds, whose mean is shown.
    """
    recipes = [as_list(one) for one in listed(runs)]
    runs = [of_seeds[0] for of_seeds in recipes]
    means = [pd.DataFrame([analysis.per_class_accuracy(run) for run in of_seeds]).mean() for of_seeds in recipes]
    table = pd.DataFrame(dict(enumerate(means))).dropna()
    if len(table) > MOST_ROWS:
        table = table.sort_values(0).head(MOST_ROWS)
    ax = ax or theme.new_axes(height=1.6 + 0.5 * len(table), width=12)
    rows = np.arange(len(table))
    ax.hlines(rows, table.min(axis="columns"), table.max(axis="columns"), color="#BBBBBB", linewidth=2)
    styles = zip(labels_of(runs), colours(len(runs)), _markers(len(runs)), strict=True)
    for number, (label, colour, marker) in enumerate(styles):
        ax.plot(table[number], rows, marker, color=colour, label=label, markersize=5)
    ax.set_yticks(rows, table.index)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set_xlabel("accuracy on the class's test images")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure_of(ax)


@themed
def classes(run: Run, others: Sequence[Runs]) -> Figure:
    """The confusion matrix of a run beside the class accuracies of recipes; for few classes with short names."""
    figure = theme.new_figure(height=7.4)
    left, right = figure.subplots(1, 2, width_ratios=(2.4, 1))
    confusion_matrix(run, ax=left)
    class_accuracies(others, ax=right)
    right.set_xlabel("accuracy")
    right.legend(loc="lower right", bbox_to_anchor=(1, 1))
    return figure


@themed
def reliability(runs: Predicted | Sequence[Predicted], *, ax: Axes | None = None) -> Figure:
    """Reliability diagram: how often predictions of a confidence are correct, with the calibration error of each run.

    Below the diagonal a network is too confident. The area of a mark shows how many test images it stands for; those of
    fewer than ten are left out.
    """
    runs = listed(runs)
    ax = ax or theme.new_axes(height=4.4)
    ax.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=(0, (4, 2)), linewidth=0.9, label="perfectly calibrated")
    styles = zip(runs, _confidence_labels(runs), colours(len(runs)), _markers(len(runs)), strict=True)
    for run, name, colour, marker in styles:
        rows = analysis.calibration(run)
        rows = rows[rows["count"] >= min(10, rows["count"].max())]
        error = f"{100 * analysis.expected_calibration_error(run):.1f} points"
        ax.plot(rows["confidence"], rows["accuracy"], color=colour, linewidth=0.9)
        area = 12 + 90 * rows["count"] / rows["count"].max()
        ax.scatter(rows["confidence"], rows["accuracy"], s=area, color=colour, marker=marker, alpha=0.7, linewidth=0)
        ax.plot([], [], marker, color=colour, linestyle="-", linewidth=0.9, label=f"{name}: {error}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set(xlabel="confidence: probability of the prediction", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    title = {"title": "expected calibration error", "title_fontsize": theme.SETTINGS["legend.fontsize"]}
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1), alignment="left", **title)
    return figure_of(ax)


def _confidence_labels(found: Sequence[Any]) -> list[str]:
    """As `labels_of`, for networks and ensembles of them."""
    names = iter(labels_of([one for one in found if isinstance(one, Run)]))
    return [next(names) if isinstance(one, Run) else shortened(one.name, 30) for one in found]


@themed
def misclassified(run: Run, count: int = 24) -> Figure:
    """Misclassified test images, the most confident prediction first, each under "true → predicted".

    Raises
    ------
    RunError
        If no test image is misclassified, or count is below 1.
    """
    found = analysis.misclassified(run)
    if found.empty or count < 1:
        raise RunError(
            f"{run.name} misclassifies {len(found)} test images, and {count} were asked for: nothing to show"
        )
    found = found.head(count)
    figure = theme.new_figure(height=gallery_height(run, len(found)))
    draw_gallery(figure, run, found)
    return figure


def gallery_height(run: Run, count: int) -> float:
    """The height of `draw_gallery` of `count` images, in cm."""
    columns, height, _ = _gallery_layout(run)
    return max(1, math.ceil(count / columns)) * height


def draw_gallery(place: Figure | SubFigure, run: Run, found: pd.DataFrame) -> None:
    """The images of some rows of `analysis.predictions`, each under "true → predicted"."""
    columns, _, arrow = _gallery_layout(run)
    axes = place.subplots(max(1, math.ceil(len(found) / columns)), columns, squeeze=False).flatten()
    images = analysis.test_images(run)
    for ax, row in zip(axes, found.to_dict("records"), strict=False):
        draw_image(ax, images[row["index"]])
        names = (shortened(row[name], 18) for name in ("label_name", "predicted_name"))
        ax.set_title(arrow.join(names), fontsize=7)
    for ax in axes[len(found) :]:
        ax.axis("off")


def _gallery_layout(run: Run) -> tuple[int, float, str]:
    """How many images stand side by side, the height of a row in cm, and what stands between the two names.

    Two digits fit beside each other over an image; CIFAR-10's names do not, and longer ones need wider images.
    """
    longest = max(map(len, analysis.class_names(run)))
    if longest <= 3:
        return 10, 2.0, " → "
    return (10, 2.4, "\n→ ") if longest <= 10 else (6, 3.7, "\n→ ")


# --- Data -------------------------------------------------------------------------------------------------------


@themed
def samples(dataset: Dataset, per_class: int = 12, *, ax: Axes | None = None) -> Figure:
    """The first training images of each class, a row per class; of more than 20 classes the first 20.

    Raises
    ------
    DataError
        If per_class is below 1.
    """
    if per_class < 1:
        raise DataError(f"per_class must be 1 or more, not {per_class}")
    classes = dataset.classes[:20]
    rows = [dataset.train_images[dataset.train_labels == label][:per_class] for label in range(len(classes))]
    height, width = dataset.train_images.shape[2:]
    ax = ax or theme.new_axes(height=0.3 + 13.5 * height / width * len(classes) / max(per_class, 10))
    _draw_mosaic(ax, rows, classes, per_class)
    return figure_of(ax)


@themed
def augmentations(dataset: Dataset, count: int = 10, seed: int = 0, *, ax: Axes | None = None) -> Figure:
    """The effect of preprocessing on some training images.

    Rows: as they are; mirrored; of colour images, without colour; and as a network meets them in its first epoch, each
    mirrored and grayed at random. Normalisation comes after that and does not change the picture.

    Parameters
    ----------
    seed : of the training run whose first images are shown.

    Raises
    ------
    DataError
        If count is not between 1 and the number of training images.
    """
    if not 1 <= count <= len(dataset.train_images):
        raise DataError(f"count must be 1 to {len(dataset.train_images)}, the training images there are, not {count}")
    ax = ax or theme.new_axes(height=0.3 + 14 * 4 / max(count, 8))
    originals, met = (
        next(data.batches(dataset.train_images, dataset.train_labels, count, seed=seed, epoch=0, augment=augment))[0]
        for augment in (False, True)
    )
    every = torch.ones(count, dtype=torch.bool, device=originals.device)
    rows = {"original": originals, "mirrored": data.random_flip(originals, every)}
    if originals.shape[1] == 3:
        rows["without colour"] = data.random_grayscale(originals, every)
    rows["as trained on"] = met
    _draw_mosaic(ax, list(rows.values()), list(rows), count)
    return figure_of(ax)


def _draw_mosaic(ax: Axes, rows: Sequence[Tensor], names: Sequence[str], columns: int) -> None:
    """Rows of images, each uint8 (N, C, H, W) with N up to `columns`, with the row's name on the left."""
    channels, height, width = rows[0].shape[1:]
    step_y, step_x = height + GAP, width + GAP
    white = 0 if channels == 1 else 255  # as `draw_image` draws them
    canvas = torch.full((channels, len(rows) * step_y - GAP, columns * step_x - GAP), white, dtype=torch.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            canvas[:, row * step_y : row * step_y + height, column * step_x : column * step_x + width] = image
    draw_image(ax, canvas)
    ax.set_anchor("W")  # room for the names is reckoned from the left edge that the axes have before they are fitted
    ax.spines[:].set_visible(False)
    ax.set_yticks([row * step_y + height / 2 for row in range(len(rows))], names)
    ax.tick_params(axis="y", length=0)


def draw_image(ax: Axes, image: Tensor) -> None:
    """An image, uint8 (C, H, W), pixel by pixel; one channel is drawn black on white, as digits are written."""
    if image.shape[0] == 1:
        ax.imshow(image[0].cpu().numpy(), cmap="gray_r", vmin=0, vmax=255)
    else:
        ax.imshow(image.permute(1, 2, 0).cpu().numpy())
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set(visible=True, color="#DDDDDD")


# --- Shared -----------------------------------------------------------------------------------------------------


def listed(runs: Any) -> list[Any]:
    """One run, or whatever else is shown, or several as a list; a RunError if there is none."""
    found = list(runs) if isinstance(runs, Sequence) else [runs]
    if not found:
        raise RunError("there is nothing to show; give at least one")
    return found


def panels(count: int, columns: int, *, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, in rows of `columns` panels and of a height in cm, and their axes."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = theme.new_figure(height=1 + height * rows)
    axes = figure.subplots(rows, columns, squeeze=False, **options).flatten().tolist()
    for ax in axes[count:]:
        ax.remove()
    for ax in axes[max(0, count - columns) : count]:
        ax.tick_params(labelbottom=True)  # also above a place that is empty
    return figure, axes[:count]


def colours(count: int) -> list[str]:
    """A colour per run, repeating after the last."""
    return [RUN_COLOURS[position % len(RUN_COLOURS)] for position in range(count)]


def labels_of(runs: Sequence[Any], longest: int = 30) -> list[str]:
    """What a legend calls runs: their lambda where they differ in nothing else, and their names otherwise."""
    experiments = [run.experiment for run in runs if isinstance(run, Run)]
    penalties = [experiment.l2 for experiment in experiments]
    alike = {experiment.replace(l2=0).fingerprint for experiment in experiments}
    if len(set(penalties)) == len(runs) > 1 and len(alike) == 1:
        return [f"L2, λ = {l2:g}" if l2 else "without L2" for l2 in penalties]
    return [shortened(run.name, longest) for run in runs]


def _markers(count: int) -> list[str]:
    return [MARKERS[position % len(MARKERS)] for position in range(count)]


MARKERS = "osD^vP"


def shortened(name: str, longest: int = 24) -> str:
    """A name that may be too long for its place, without its middle."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def figure_of(ax: Axes) -> Figure:
    """The figure that axes are in, even if they are in a part of one."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
