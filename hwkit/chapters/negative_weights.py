"""What a layer's weights are good for: set some of them to zero and see what the network still gets right.

A layer's weights can go by their sign and size, the most negative or the most positive ones first, or at random. The
trained run itself is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from hwkit import analysis, data, plots, statistics, theme
from hwkit.engine.devices import autocast, resolve_precision
from hwkit.errors import RunError, did_you_mean
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Claim, Finding
from hwkit.formats import percent
from hwkit.runs import Run
from hwkit.statistics import OnePair

CHOICES = ("most negative", "most positive", "random")
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)
REFERENCE_SHARE = 0.1  # at which the choices are compared; one of SHARES
DRAWS = 10  # of random weights: their spread is part of a comparison's error
# Outputs of all ablated copies of a layer for so many images are held at once: 23 MB for CIFAR-10's first layer.
BATCH_SIZE = 10
CPU = torch.device("cpu")  # where a loaded run's network lives


@dataclass(frozen=True, eq=False)
class Ablation:
    """What a network predicts with parts of one layer's weights zeroed.

    Attributes
    ----------
    layer : its name, "fc3" for instance.
    variants : a row per ablated copy of the layer: `choice`, `share` zeroed, `draw` (0 but for the random choice), and
        `magnitude`, the mean absolute value of the weights that were zeroed (0 where none was).
    predicted : the class that each copy predicts for each image, int64 (variants, N).
    labels : int64 (N,).
    """

    layer: str
    variants: pd.DataFrame
    predicted: Tensor
    labels: Tensor

    @property
    def table(self) -> pd.DataFrame:
        """The variants with the `accuracy` of each."""
        accuracies = (self.predicted == self.labels).double().mean(dim=1)
        return self.variants.assign(accuracy=accuracies.numpy())

    def correct(self, choice: str, share: float) -> Tensor:
        """What each draw of a choice classifies correctly, float64 (draws, N).

        Raises
        ------
        RunError
            If the choice or the share was not tried.
        """
        rows = self.variants[(self.variants["choice"] == choice) & (self.variants["share"] == share)].index
        if rows.empty:
            tried = sorted(set(self.variants["share"]))
            raise RunError(f"{choice!r} at share {share!r} was not tried; tried: {', '.join(CHOICES)} at {tried}")
        return (self.predicted[list(rows)] == self.labels).double()


def zeroed(weights: Tensor, share: float, choice: str, *, generator: torch.Generator | None = None) -> Tensor:
    """A copy of weights, float (any shape), with a share of them set to zero.

    Parameters
    ----------
    share : from 0 to 1, of all weights of the tensor. "most negative" takes them from the lower end on, "most positive"
        from the upper end; neither goes on to weights of the other sign, even if the share is not used up.
    choice : one of `CHOICES`.
    generator : of the random choice.

    Raises
    ------
    RunError
        If the choice is unknown or the share is not between 0 and 1.
    """
    if choice not in CHOICES:
        raise RunError(f"unknown choice {choice!r}; {did_you_mean(choice, CHOICES)}")
    if not 0 <= share <= 1:
        raise RunError(f"share must be between 0 and 1, not {share!r}")
    flat = weights.detach().clone().flatten()
    count = round(share * flat.numel())
    if choice == "random":
        flat[torch.randperm(flat.numel(), generator=generator)[:count]] = 0
    else:
        signed = flat if choice == "most negative" else -flat
        chosen = signed.topk(count, largest=False).indices
        flat[chosen[signed[chosen] < 0]] = 0
    return flat.view_as(weights)


def ablate(
    run: Run,
    layer: str,
    *,
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    images: int | None = None,
) -> Ablation:
    """Zero growing shares of a layer's weights by each choice, and predict the test images with each copy.

    Parameters
    ----------
    draws : how often the random choice is drawn.
    images : use the first so many test images; None is all.

    Raises
    ------
    RunError
        If the run has no such layer, or draws, images or shares are out of range.
    """
    weights = layer_weights(run, layer)
    if draws < 1:
        raise RunError(f"draws must be 1 or more, not {draws}")
    generator = torch.Generator().manual_seed(run.experiment.seed)  # so that the draws of other seeds are others
    rows, copies, positions = [], [weights], []
    for choice in CHOICES:
        for share in shares:
            for draw in range(draws if choice == "random" and share else 1):
                copy = zeroed(weights, share, choice, generator=generator)
                gone = weights[copy != weights]
                magnitude = gone.abs().mean().item() if gone.numel() else 0.0
                rows.append({"choice": choice, "share": share, "draw": draw, "magnitude": magnitude})
                # Where nothing is zeroed, all choices are one and the same network.
                positions.append(len(copies) if share else 0)
                copies += [copy] if share else []
    logits, labels = predict_with(run, layer, torch.stack(copies), images=images)
    return Ablation(layer, pd.DataFrame(rows), logits.argmax(dim=2)[positions], labels)


def together(ablations: Sequence[Ablation]) -> Ablation:
    """The ablations of one layer in networks of several seeds as one, whose variants are those of all."""
    variants = pd.concat([one.variants for one in ablations], ignore_index=True)
    return Ablation(ablations[0].layer, variants, torch.cat([one.predicted for one in ablations]), ablations[0].labels)


def layer_weights(run: Run, layer: str) -> Tensor:
    """The weights of a layer of the trained network, float32 in the layer's own shape."""
    names = (name for name, tensor in analysis.parameters(run).items() if tensor.ndim > 1)
    layers = [name.removesuffix(".weight") for name in names]
    if layer not in layers:
        raise RunError(f"{run.name} has no layer {layer!r}; {did_you_mean(layer, layers)}")
    return run.final_weights[f"{layer}.weight"]


@torch.inference_mode()
def predict_with(run: Run, layer: str, weights: Tensor, *, images: int | None = None) -> tuple[Tensor, Tensor]:
    """The logits of the network with other weights in one layer, for many such weights at once.

    The layers before it are computed once for all: the layer answers with the outputs of all its copies, one after the
    other along the batch, and the rest of the network takes them for that many images. Computed in the precision that
    is fastest here, so that with bfloat16 one prediction in a thousand may differ from the run's own.

    Parameters
    ----------
    weights : float32 (variants, *shape of the layer's weights).
    images : use the first so many test images; None is all.

    Returns
    -------
    (logits, labels) : float32 (variants, N, 10) and int64 (N,).
    """
    dataset = analysis.test_set(run)
    count = len(dataset.test_labels)
    images = count if images is None else images
    if not 1 <= images <= count:
        raise RunError(f"images must be 1 to {count}, the test images there are, not {images}")
    model = run.model().to(memory_format=torch.channels_last)
    module = model.get_submodule(layer)

    def all_copies(module: nn.Module, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        (x,) = inputs
        if isinstance(module, nn.Conv2d):
            return torch.cat([module._conv_forward(x, copy, module.bias) for copy in weights])
        assert isinstance(module, nn.Linear)
        return torch.cat([F.linear(x, copy, module.bias) for copy in weights])

    module.register_forward_hook(all_copies)
    # The first layers see each image once; only the last ones, which are cheap, see it once per copy.
    batch_size = BATCH_SIZE if isinstance(module, nn.Conv2d) else 50 * BATCH_SIZE
    chunks = []
    with autocast(CPU, resolve_precision("auto", CPU)):
        for chunk in dataset.test_images[:images].cpu().split(batch_size):
            logits = model(data.normalise(chunk, dataset).contiguous(memory_format=torch.channels_last))
            chunks.append(logits.float().unflatten(0, (len(weights), -1)))
    return torch.cat(chunks, dim=1), dataset.test_labels[:images].cpu()


# --- Does the idea hold? ----------------------------------------------------------------------------------------


def finding(
    claim: Claim, ablations: Sequence[Ablation], runs: Sequence[Run], against: str, share: float = REFERENCE_SHARE
) -> Finding:
    """By how much more accuracy it costs to zero a layer's most negative weights than as many of another choice.

    Parameters
    ----------
    ablations : of one layer, for each of the runs, which differ in their seed.
    against : "most positive" or "random".

    Raises
    ------
    RunError
        If there are fewer than `DRAWS` random draws to compare with.
    """
    right = [[one.correct(choice, share) for one in ablations] for choice in ("most negative", against)]
    if against == "random" and len(right[1][0]) < DRAWS:
        raise RunError(f"{len(right[1][0])} random draws are too few to compare with; take at least {DRAWS}")
    # Of one network the draws vary beside the images; over seeds, they are part of what makes networks differ.
    differences = [(others - own).numpy() for own, others in zip(*right, strict=True)]
    if len(differences) > 1:
        estimate = statistics.crossed_interval(np.stack([one.mean(axis=0) for one in differences]))
    elif against == "random":
        crossed = statistics.crossed_interval(differences[0])
        estimate = OnePair(crossed.value, crossed.se, runs=1)
    else:
        estimate = statistics.one_pair(differences[0][0], runs=1)
    means = [percent(torch.stack([one.mean() for one in side]).mean().item(), 2) for side in right]
    what = "as many random ones" if against == "random" else f"the {against}"
    evidence = (
        f"Without the {100 * share:g} % most negative weights of `{ablations[0].layer}`, {means[0]} of the test images "
        f"are classified correctly, and without {what} {means[1]}"
    )
    quantity = f"accuracy lost with the most negative weights beyond that lost with {what}"
    return verdicts.finding(claim, estimate, quantity, runs, runs, evidence)


def effect_table(by_layer: Sequence[Ablation], share: float = REFERENCE_SHARE) -> pd.DataFrame:
    """Accuracy with nothing and with a share of weights zeroed by each choice, means of all draws; a row per layer."""
    rows = {}
    for ablation in by_layer:
        table = ablation.table
        means: Any = table[table["share"] == share].groupby("choice")[["accuracy", "magnitude"]].mean()
        row = {"nothing zeroed": percent(table.loc[table["share"] == 0, "accuracy"].mean())}
        for choice in CHOICES:
            row[choice] = f"{percent(means.loc[choice, 'accuracy'])} ({means.loc[choice, 'magnitude']:.3f})"
        rows[ablation.layer] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


# --- Class by class ---------------------------------------------------------------------------------------------


def class_effects(runs: Sequence[Run], *, share: float = REFERENCE_SHARE, draws: int = DRAWS) -> pd.DataFrame:
    """The effect on each class of zeroing a share of the last layer's weights to that class alone.

    Returns
    -------
    A row per run, class and choice: `seed`, `class`, `choice`, and the changes of `recall` (fraction of the class's
    test images that are recognised) and of `false_alarms` (fraction of the other classes' that are taken for it),
    means over the draws.
    """
    return pd.concat([_class_effects(run, share, draws).assign(seed=run.experiment.seed) for run in runs])


def _class_effects(run: Run, share: float, draws: int) -> pd.DataFrame:
    layer = last_layer(run)
    weights = layer_weights(run, layer)
    generator = torch.Generator().manual_seed(run.experiment.seed)
    names = analysis.class_names(run)
    keys, copies = [], [weights]
    for label, name in enumerate(names):
        for choice in CHOICES:
            for _ in range(draws if choice == "random" else 1):
                copy = weights.clone()
                copy[label] = zeroed(weights[label], share, choice, generator=generator)
                keys.append((name, label, choice))
                copies.append(copy)
    logits, labels = predict_with(run, layer, torch.stack(copies))
    found = logits.argmax(dim=2)
    rows = []
    for (name, label, choice), one in zip(keys, found[1:], strict=True):
        own = labels == label
        change = (one == label).double() - (found[0] == label).double()
        recall, false_alarms = change[own].mean().item(), change[~own].mean().item()
        rows.append({"class": name, "choice": choice, "recall": recall, "false_alarms": false_alarms})
    return pd.DataFrame(pd.DataFrame(rows).groupby(["class", "choice"], sort=False, as_index=False).mean())


def last_layer(run: Run) -> str:
    """The name of the layer that gives the logits."""
    return next(analysis.layers(run, analysis.test_images(run)[:1]))[-1].name


# --- Figures ----------------------------------------------------------------------------------------------------

# The most negative, the most positive and random weights.
STYLES = {
    "palette": dict(zip(CHOICES, (theme.RUN_COLOURS[4], theme.RUN_COLOURS[0], theme.NEUTRAL), strict=True)),
    "markers": dict(zip(CHOICES, "v^o", strict=True)),
}


@plots.themed
def curves(ablations: Sequence[Ablation]) -> Figure:
    """Accuracy over the fraction of a layer's weights that is zeroed, a panel per layer and a line per choice.

    Lines are means over seeds and, of the random choice, draws; bands run from the worst of these to the best.

    Raises
    ------
    RunError
        If there are no ablations.
    """
    if not ablations:
        raise RunError("there is no ablation to show; give at least one")
    figure, axes = plots.panels(len(ablations), 3, height=3.7, sharex=True, sharey=True)
    for ax, ablation in zip(axes, ablations, strict=True):
        style = {"hue": "choice", "style": "choice", "dashes": False, "errorbar": ("pi", 100), "ax": ax, **STYLES}
        sns.lineplot(ablation.table, x="share", y="accuracy", err_kws={"alpha": 0.25, "linewidth": 0}, **style)
        ax.set(xlabel="", ylabel="")
        ax.set_title(ablation.layer, loc="left", fontweight="bold")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    _legend_above(figure, axes)
    figure.supxlabel("fraction of the layer's weights that is zeroed", fontsize=8)
    figure.supylabel("test accuracy", fontsize=8)
    return figure


@plots.themed
def class_effects_figure(effects: pd.DataFrame) -> Figure:
    """The effect on a class of zeroing its own weights in the last layer, in percentage points, means over seeds.

    Parameters
    ----------
    effects : as `class_effects` returns them.
    """
    figure = theme.new_figure(height=2 + 0.42 * len(set(effects["class"])))
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"recall": "its own images recognised", "false_alarms": "other images misclassified as it"}
    for ax, (column, title) in zip(panels, titles.items(), strict=True):
        in_points = effects.assign(points=100 * effects[column])
        style = {"hue": "choice", "palette": STYLES["palette"], "saturation": 1, "errorbar": None}
        sns.barplot(in_points, x="points", y="class", ax=ax, **style)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(title, loc="left", fontweight="bold")
        ax.set(xlabel="change in percentage points", ylabel="")
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
    _legend_above(figure, panels)
    return figure


def _legend_above(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all panels in place of one in each."""
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        ax.legend([]).remove()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, title="weights zeroed", title_fontsize=8)
