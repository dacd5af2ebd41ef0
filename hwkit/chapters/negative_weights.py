"""What a layer's negative weights are good for: take weights away by their sign and see what the network still knows.

Two things would mislead. Weights of one sign also shift the outputs of a layer, so the shift can be compensated: each
unit keeps its mean output. And there may be more of one sign, so the choices are compared where the weights that they
took away have the same sum of absolute values. The trained run itself is never changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from IPython.display import Markdown
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
ALL_NEGATIVE = "all negative"  # beside these, whatever their sum
PARTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of what can be taken away of either sign
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
    variants : a row per ablated copy of the layer: `choice`, `part` (the zeroed sum of absolute weights, relative to
        that of the sign with less of it), `compensated` and `draw` (0 but for the random choice). Beside the choices
        there is one copy without any negative weight.
    scarce : the sign with less of it, "negative" or "positive".
    predicted : the class that each copy predicts for each image, int64 (variants, N).
    labels : int64 (N,).
    """

    layer: str
    variants: pd.DataFrame
    scarce: str
    predicted: Tensor
    labels: Tensor

    @property
    def table(self) -> pd.DataFrame:
        """The variants with the `accuracy` of each."""
        accuracies = (self.predicted == self.labels).double().mean(dim=1)
        return self.variants.assign(accuracy=accuracies.numpy())

    def correct(self, choice: str, part: float = 1.0, *, compensated: bool = True) -> Tensor:
        """What each draw of a choice classifies correctly, float64 (draws, N).

        Raises
        ------
        RunError
            If the choice or the part was not tried.
        """
        v = self.variants
        rows = v[(v["choice"] == choice) & (v["part"] == part) & (v["compensated"] == compensated)].index
        if rows.empty:
            raise RunError(
                f"{choice!r} at part {part!r} was not tried; tried: {', '.join(CHOICES)} at {sorted(set(v['part']))}"
            )
        return (self.predicted[list(rows)] == self.labels).double()


def zeroed(weights: Tensor, total: float, choice: str, *, generator: torch.Generator | None = None) -> Tensor:
    """A copy of weights, float (any shape), with weights zeroed whose absolute values add up to `total` at most.

    Parameters
    ----------
    total : "most negative" takes weights from the lower end on, "most positive" from the upper end; neither goes on to
        weights of the other sign.
    choice : one of `CHOICES`.
    generator : of the random choice.

    Raises
    ------
    RunError
        If the choice is unknown or the total negative.
    """
    if choice not in CHOICES:
        raise RunError(f"unknown choice {choice!r}; {did_you_mean(choice, CHOICES)}")
    if not total >= 0:
        raise RunError(f"total must be 0 or more, not {total!r}")
    flat = weights.detach().clone().flatten()
    if choice == "random":
        order = torch.randperm(flat.numel(), generator=generator)
    else:
        signed = flat if choice == "most negative" else -flat
        order = signed.argsort()[: int((signed < 0).sum())]
    sums = flat[order].abs().double().cumsum(dim=0)
    flat[order[sums <= total * (1 + 1e-6)]] = 0  # a sum over all of them is rounded, too
    return flat.view_as(weights)


def both_signs(weights: Tensor) -> float:
    """The sum of absolute values that can be taken away of either sign: that of the sign with less of it."""
    weights = weights.double()
    return min(weights.clamp_min(0).sum().item(), -weights.clamp_max(0).sum().item())


def ablate(
    run: Run, layer: str, *, parts: Sequence[float] = PARTS, draws: int = DRAWS, images: int | None = None
) -> Ablation:
    """Zero growing parts of a layer's weights by each choice, without and with compensation, and predict with each.

    Parameters
    ----------
    parts : of `both_signs`, from 0 to 1.
    draws : how often the random choice is drawn.
    images : use the first n test images; None is all.

    Raises
    ------
    RunError
        If the run has no such layer, or draws, images or parts are out of range.
    """
    weights = layer_weights(run, layer)
    if draws < 1:
        raise RunError(f"draws must be 1 or more, not {draws}")
    if not all(0 <= part <= 1 for part in parts):
        raise RunError(f"parts must be between 0 and 1, not {list(parts)}")
    generator = torch.Generator().manual_seed(run.experiment.seed)  # so that the draws of other seeds are others
    keys, copies = [], []
    for choice in CHOICES:
        for part in parts:
            for draw in range(draws if choice == "random" and part else 1):
                keys.append({"choice": choice, "part": part, "draw": draw})
                copies.append(zeroed(weights, part * both_signs(weights), choice, generator=generator))
    keys.append({"choice": ALL_NEGATIVE, "part": 1.0, "draw": 0})
    copies.append(weights.clamp_min(0))
    logits, labels = predict_with(run, layer, torch.stack(copies), images=images)
    variants = pd.DataFrame([{**key, "compensated": compensated} for compensated in (False, True) for key in keys])
    scarce = "negative" if weights.double().sum() > 0 else "positive"
    return Ablation(layer, variants, scarce, logits.argmax(dim=3).flatten(0, 1), labels)


def without_sign(run: Run, layer: str, *, images: int | None = None) -> dict[str, float]:
    """Accuracy with all weights of a layer, and without those of either sign, as they are and compensated."""
    weights = layer_weights(run, layer)
    copies = torch.stack([weights, weights.clamp_min(0), weights.clamp_max(0)])
    logits, labels = predict_with(run, layer, copies, images=images)
    right = (logits.argmax(dim=3) == labels).double().mean(dim=2)
    names = ("no negative weights", "no positive weights")
    return {
        "all weights": right[0, 0].item(),
        **{name: right[0, number].item() for number, name in enumerate(names, start=1)},
        **{f"{name}, compensated": right[1, number].item() for number, name in enumerate(names, start=1)},
    }


def layer_weights(run: Run, layer: str) -> Tensor:
    """The weights of a layer of the trained network, float32 in the layer's own shape."""
    if layer not in layer_names(run):
        raise RunError(f"{run.name} has no layer {layer!r}; {did_you_mean(layer, layer_names(run))}")
    return run.final_weights[f"{layer}.weight"]


def layer_names(run: Run) -> list[str]:
    """The layers with weights."""
    return [name.removesuffix(".weight") for name, tensor in analysis.parameters(run).items() if tensor.ndim > 1]


def last_layer(run: Run) -> str:
    """The name of the layer that gives the logits."""
    return next(analysis.layers(run, analysis.test_images(run)[:1]))[-1].name


@torch.inference_mode()
def predict_with(run: Run, layer: str, weights: Tensor, *, images: int | None = None) -> tuple[Tensor, Tensor]:
    """The logits of the network with other weights in one layer, for many such weights at once.

    The layers before it are computed once for all: the layer answers with the outputs of all its copies, one after the
    other along the batch, and the rest of the network takes them for that many images. Computed in the precision that
    is fastest here, so that with bfloat16 one prediction in a thousand may differ from the run's own.

    Parameters
    ----------
    weights : float32 (copies, *shape of the layer's weights).
    images : use the first n test images; None is all.

    Returns
    -------
    (logits, labels) : float32 (2, copies, N, classes), with the weights as they are and with compensated shifts, such
        that every unit keeps its mean output over these images; and int64 (N,).
    """
    dataset = analysis.test_set(run)
    count = len(dataset.test_labels)
    images = count if images is None else images
    if not 1 <= images <= count:
        raise RunError(f"images must be 1 to {count}, the test images there are, not {images}")
    shown = dataset.test_images[:images].cpu()
    model = run.model().to(memory_format=torch.channels_last)
    module = model.get_submodule(layer)
    # The first layers see each image once; only the last ones, which are cheap, see it once per copy.
    chunks = shown.split(BATCH_SIZE if isinstance(module, nn.Conv2d) else 50 * BATCH_SIZE)

    def inputs(chunk: Tensor) -> Tensor:
        return data.normalise(chunk, dataset).contiguous(memory_format=torch.channels_last)

    with autocast(CPU, resolve_precision("auto", CPU)):
        mean = _mean_input(model, module, map(inputs, chunks))
        biases = _biases(module, mean, weights)

        def all_copies(module: nn.Module, given: tuple[Tensor], _: Tensor) -> Tensor:
            (x,) = given
            return torch.cat([_apply(module, x, copy, bias) for of in biases for copy, bias in zip(weights, of)])  # noqa: B905

        module.register_forward_hook(all_copies)
        parts = [model(inputs(chunk)).float().unflatten(0, (2, len(weights), -1)) for chunk in chunks]
    return torch.cat(parts, dim=2), dataset.test_labels[:images].cpu()


def _mean_input(model: nn.Module, module: nn.Module, batches: Iterator[Tensor]) -> Tensor:
    """The mean of what a layer is given, over all images: float32 in the shape of one image's."""
    sums, count = [], 0

    def add(_: nn.Module, given: tuple[Tensor]) -> None:
        sums[:] = [given[0].double().sum(dim=0) + (sums[0] if sums else 0)]

    with contextlib.closing(_Hook(module.register_forward_pre_hook(add))):
        for batch in batches:
            model(batch)
            count += len(batch)
    return (sums[0] / count).float()


class _Hook:
    """A hook that can be closed."""

    def __init__(self, handle: Any) -> None:
        self.close = handle.remove


def _biases(module: nn.Module, mean: Tensor, weights: Tensor) -> tuple[list[Tensor | None], list[Tensor]]:
    """For each copy the layer's own bias, and the one with which its units keep their mean output."""
    own: Any = module.bias
    before = _unit_means(module, mean, module.weight)  # type: ignore[arg-type]
    shifts = [before - _unit_means(module, mean, copy) for copy in weights]
    return [own] * len(weights), [shift if own is None else own + shift for shift in shifts]


def _unit_means(module: nn.Module, mean: Tensor, weight: Tensor) -> Tensor:
    """The mean output of each unit without its bias, float32 (units,): both are linear, and a mean is, too."""
    with torch.autocast("cpu", enabled=False):
        found = _apply(module, mean.unsqueeze(0), weight, None)
    return found.flatten(2).mean(dim=2)[0] if found.ndim == 4 else found[0]


def _apply(module: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return module._conv_forward(x, weight, bias)
    assert isinstance(module, nn.Linear)
    return F.linear(x, weight, bias)


# --- Does the idea hold? ----------------------------------------------------------------------------------------


def finding(claim: Claim, ablations: Sequence[Ablation], runs: Sequence[Run], against: str) -> Finding:
    """Accuracy without a layer's negative weights less that with all weights, or without others; shifts compensated.

    Parameters
    ----------
    ablations : of one layer, for each of the runs, which differ in their seed.
    against : "nothing", for all negative weights, or "most positive" or "random", for as much of either.

    Raises
    ------
    RunError
        If there are fewer than `DRAWS` random draws to compare with.
    """
    own = [one.correct(ALL_NEGATIVE if against == "nothing" else "most negative") for one in ablations]
    others = [
        one.correct("most negative", 0.0, compensated=False) if against == "nothing" else one.correct(against)
        for one in ablations
    ]
    if against == "random" and len(others[0]) < DRAWS:
        raise RunError(f"{len(others[0])} random draws are too few to compare with; take at least {DRAWS}")
    # Of one network the draws vary beside the images; over seeds, they are part of what makes networks differ.
    differences = [(a - b).numpy() for a, b in zip(own, others, strict=True)]
    if len(differences) > 1:
        estimate = statistics.crossed_interval(np.stack([one.mean(axis=0) for one in differences]))
    elif against == "random":
        crossed = statistics.crossed_interval(differences[0])
        estimate = OnePair(crossed.value, crossed.se, runs=1)
    else:
        estimate = statistics.one_pair(differences[0][0], runs=1)
    means = [percent(torch.stack([one.mean() for one in side]).mean().item(), 2) for side in (own, others)]
    layer = ablations[0].layer
    evidence = {
        "nothing": f"Without any negative weight of `{layer}`, its shift compensated, {means[0]} of the test images "
        f"are classified correctly, and with all of its weights {means[1]}",
        "most positive": f"Without the largest negative weights of `{layer}` {means[0]} of the test images are "
        f"classified correctly, and without positive ones of the same total size {means[1]}",
        "random": f"Without random weights of that size {means[1]} are classified correctly, and without the negative "
        f"ones {means[0]}",
    }[against]
    quantity = f"accuracy without negative weights less that without {against}"
    return verdicts.finding(claim, estimate, quantity, runs, runs, evidence)


def sign_effects(runs: Sequence[Run], images: int) -> pd.DataFrame:
    """For each layer the fraction of weights that are negative, and accuracies as `without_sign` has them.

    Means over the seeds, over the first n test images; a row per layer.
    """
    rows = {}
    for layer in layer_names(runs[0]):
        negative = np.mean([(layer_weights(run, layer) < 0).double().mean().item() for run in runs])
        found = pd.DataFrame([without_sign(run, layer, images=images) for run in runs]).mean()
        rows[layer] = {"negative": float(negative), **found.to_dict()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def sign_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `sign_effects` as texts, without the column that is the same in all."""
    return frame.drop(columns="all weights").map(percent)


def sign_reading(frame: pd.DataFrame) -> Markdown:
    """Where `sign_effects` finds negative weights missed most, and whether positive ones are missed less."""
    left: Any = frame["no negative weights, compensated"]
    more = int((left < frame["no positive weights, compensated"]).sum())
    return Markdown(
        f"With shifts compensated, negative weights are missed most in `{left.idxmin()}`, where "
        f"{percent(left.min())} are left of {percent(float(frame['all weights'].iloc[0]))}, and least in "
        f"`{left.idxmax()}` ({percent(left.max())}). They are missed more than the positive ones in {more} of "
        f"{len(frame)} layers."
    )


def reading(ablations: Sequence[Ablation]) -> Markdown:
    """What the figure of one layer's ablations shows, in words."""
    table = pd.concat([one.table for one in ablations])
    ends: Any = table[table["part"] == 1].groupby(["compensated", "choice"])["accuracy"].mean()
    intact = table.loc[table["part"] == 0, "accuracy"].mean()
    scarce = {one.scarce for one in ablations}
    gone = f"all {scarce.pop()} weights are" if len(scarce) == 1 else "one sign is"
    much = max(abs(ends[True, choice] - ends[False, choice]) for choice in CHOICES) > 0.1 * intact
    (negative, positive, random), as_is = (
        [percent(ends[compensated, choice]) for choice in CHOICES] for compensated in (True, False)
    )
    return Markdown(
        f"With everything in place {percent(intact)} of the test images are classified correctly, and "
        f"{percent(ends[True, ALL_NEGATIVE])} without any negative weight, the shift compensated. At the right end, "
        f"where {gone} gone, {positive} are left without positive weights, {negative} without negative ones of the "
        f"same total size, and {random} without random ones. The shift itself does {'much' if much else 'little'} "
        f"here: as they are, the three leave {as_is[1]}, {as_is[0]} and {as_is[2]}."
    )


# --- Margins ----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def margins(runs: Sequence[Run]) -> pd.DataFrame:
    """Which part of the margin of each class comes from negative weights of the last layer.

    The margin of an image is the logit of its class less the largest other one. Softmax sees differences only, so the
    weights are centred first: the mean over the classes is taken off, which changes no prediction. A term of the margin
    is negative where the weight in it is: a negative weight of the rival speaks for the class, one of its own against.

    Returns
    -------
    A row per run and class: `seed`, `class`, and what negative and positive weights contribute to the summed margins of
    the class's correctly classified test images, `negative` and `positive`.
    """
    rows = []
    for run in runs:
        weights = _centred(layer_weights(run, last_layer(run)))
        features = torch.cat([found[-1].inputs for found in analysis.layers(run, analysis.test_images(run))])
        from_negative, from_positive = (features @ part.T for part in (weights.clamp_max(0), weights.clamp_min(0)))
        rival = run.logits.scatter(1, run.labels[:, None], -torch.inf).argmax(dim=1)
        sides = []
        for part in (from_negative, from_positive):
            own, other = (part.gather(1, label[:, None])[:, 0] for label in (run.labels, rival))
            sides.append((own - other).double())
        for label, name in enumerate(analysis.class_names(run)):
            chosen = analysis.correct(run) & (run.labels == label)
            negative, positive = (side[chosen].sum().item() for side in sides)
            rows.append({"seed": run.experiment.seed, "class": name, "negative": negative, "positive": positive})
    return pd.DataFrame(rows)


def margin_summary(frame: pd.DataFrame) -> Markdown:
    """The part of all margins, and its range over the classes, with the seeds taken together."""
    sums: Any = frame.groupby("class", sort=False)[["negative", "positive"]].sum()
    by_class = sums["negative"] / sums.sum(axis=1)
    least, most = by_class.idxmin(), by_class.idxmax()
    part = float(sums["negative"].sum() / sums.to_numpy().sum())
    half = "more than half" if part > 0.5 else "less than half"
    return Markdown(
        f"Negative terms carry {percent(part, 0)} of all margins, {half}: "
        f"least for {least} ({percent(by_class[least], 0)}) and most for {most} ({percent(by_class[most], 0)})."
    )


def sign_is_a_convention(run: Run) -> Markdown:
    """What the last layer predicts once the same vector is added to all classes and no weight is negative."""
    layer = last_layer(run)
    weights = layer_weights(run, layer).double()
    bias = run.final_weights[f"{layer}.bias"].double()
    features = torch.cat([found[-1].inputs for found in analysis.layers(run, analysis.test_images(run))]).double()
    own, lifted = ((features @ one.T + bias).argmax(dim=1) for one in (weights, weights - weights.min(dim=0).values))
    changed = int((own != lifted).sum())
    return Markdown(
        "Adding the same vector to the weights of every class, the smallest that leaves none of them negative, changes "
        f"no difference of two logits. Of the {len(features)} predictions of one network for the test images, "
        f"{'none changes' if not changed else f'{changed} change'}."
    )


def _centred(weights: Tensor) -> Tensor:
    return weights - weights.mean(dim=0)


# --- Figures ----------------------------------------------------------------------------------------------------

# The most negative, the most positive and random weights.
STYLES = {
    "palette": dict(zip(CHOICES, (theme.RUN_COLOURS[4], theme.RUN_COLOURS[0], theme.NEUTRAL), strict=True)),
    "markers": dict(zip(CHOICES, "v^o", strict=True)),
}


@plots.themed
def curves(ablations: Sequence[Ablation]) -> Figure:
    """Accuracy over what is taken away of one layer's weights, as they are and compensated, a line per choice.

    Lines are means over seeds and, of the random choice, draws; bands run from the worst of these to the best. The
    dotted line is chance.

    Raises
    ------
    RunError
        If there are no ablations.
    """
    if not ablations:
        raise RunError("there is no ablation to show; give at least one")
    table = pd.concat([one.table for one in ablations], ignore_index=True)
    chance = 1 / (int(ablations[0].labels.max()) + 1)
    figure = theme.new_figure(height=5.2)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, compensated in zip(axes, (False, True), strict=True):
        style = {"hue": "choice", "style": "choice", "dashes": False, "errorbar": ("pi", 100), "ax": ax, **STYLES}
        shown: Any = table[(table["compensated"] == compensated) & table["choice"].isin(CHOICES)]
        sns.lineplot(shown, x="part", y="accuracy", err_kws={"alpha": 0.25, "linewidth": 0}, **style)
        ax.axhline(chance, color="black", linewidth=0.9, linestyle=":")
        ax.text(1, chance, "chance", ha="right", va="bottom")
        ax.set(xlabel="", ylabel="test accuracy", ylim=(0, 1))
        ax.set_title("shift compensated" if compensated else "as it is", loc="left", fontweight="bold")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    handles, labels = axes[0].get_legend_handles_labels()
    for ax in axes:
        ax.legend([]).remove()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, title="weights zeroed", title_fontsize=8)
    figure.supxlabel("sum of absolute weights zeroed, relative to that of the sign with less of it", fontsize=8)
    figure.alt = f"Accuracy over what is zeroed of the last layer. {reading(ablations).data}"
    return figure


@plots.themed
def margin_figure(frame: pd.DataFrame) -> Figure:
    """The part of each class's margin that comes from negative weights, a dot per seed and a line at their mean.

    Parameters
    ----------
    frame : as `margins` returns it.
    """
    figure = theme.new_figure(height=4.0)
    ax = figure.add_subplot()
    names = list(dict.fromkeys(frame["class"]))
    parts = frame["negative"] / (frame["negative"] + frame["positive"])
    means: Any = parts.groupby(frame["class"], sort=False).mean()
    ax.plot(frame["class"].map(names.index), parts, ".", color=theme.NEUTRAL, label="one seed")
    ax.plot(
        range(len(names)), means[names], "_", color=theme.RUN_COLOURS[4], markersize=16, markeredgewidth=2, label="mean"
    )
    ax.axhline(0.5, color="black", linewidth=0.9, linestyle=":")
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel="part of the margin", ylim=(min(0, parts.min() - 0.05), max(1, parts.max() + 0.05)))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(visible=False, axis="x")
    ax.legend(loc="lower right", ncols=2)
    figure.alt = f"Part of each class's margin from negative weights. {margin_summary(frame).data}"
    return figure
