"""What a layer's weights are good for: set some of them to zero and see what the network still gets right.

A layer's weights can go by their sign and size, the most negative or the most positive ones first, or at random. The
trained run itself is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import analysis, data
from hwkit.engine.devices import autocast, resolve_precision
from hwkit.errors import RunError, did_you_mean
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Estimate, Finding
from hwkit.runs import Run

CHOICES = ("most negative", "most positive", "random")
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)
REFERENCE_SHARE = 0.1  # at which the choices are compared; one of SHARES
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
        """For each image the share of a choice's draws that classify it correctly, float64 (N,).

        Raises
        ------
        RunError
            If the choice or the share was not tried.
        """
        rows = self.variants[(self.variants["choice"] == choice) & (self.variants["share"] == share)].index
        if rows.empty:
            tried = sorted(set(self.variants["share"]))
            raise RunError(f"{choice!r} at share {share!r} was not tried; tried: {', '.join(CHOICES)} at {tried}")
        return (self.predicted[list(rows)] == self.labels).double().mean(dim=0)


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
    draws: int = 3,
    images: int | None = None,
    seed: int = 0,
) -> Ablation:
    """Zero growing shares of a layer's weights by each choice, and predict the test images with each copy.

    Parameters
    ----------
    draws : how often the random choice is drawn.
    images : use the first so many test images; None is all.
    seed : of the random choice.

    Raises
    ------
    RunError
        If the run has no such layer, or draws, images or shares are out of range.
    """
    weights = layer_weights(run, layer)
    if draws < 1:
        raise RunError(f"draws must be 1 or more, not {draws}")
    generator = torch.Generator().manual_seed(seed)
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


def layer_weights(run: Run, layer: str) -> Tensor:
    """The weights of a layer of the trained network, float32 in the layer's own shape."""
    layers = [name.removesuffix(".weight") for name in analysis.parameter_names(run.final_weights) if "weight" in name]
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


def loss_difference(ablations: Ablation | Sequence[Ablation], against: str, share: float = REFERENCE_SHARE) -> Estimate:
    """How much more accuracy zeroing the most negative weights costs than zeroing as many by another choice.

    Parameters
    ----------
    ablations : of one layer, for one or several seeds.
    against : "most positive" or "random".
    """
    ablations = [ablations] if isinstance(ablations, Ablation) else list(ablations)
    values = [one.correct(against, share) - one.correct("most negative", share) for one in ablations]
    if len(values) > 1:
        return verdicts.over_seeds([value.mean().item() for value in values])
    return verdicts.over_images(values[0])


def finding(
    claim: str, ablations: Ablation | Sequence[Ablation], against: str, share: float = REFERENCE_SHARE
) -> Finding:
    """Does zeroing a layer's most negative weights cost more accuracy than zeroing as many by another choice?"""
    ablations = [ablations] if isinstance(ablations, Ablation) else list(ablations)
    accuracies = [
        sum(one.correct(choice, share).mean().item() for one in ablations) / len(ablations)
        for choice in ("most negative", against)
    ]
    what = "as many random ones" if against == "random" else f"the {against}"
    estimate = loss_difference(ablations, against, share)
    evidence = (
        f"Without the {100 * share:g} % most negative weights of `{ablations[0].layer}` the network classifies "
        f"{verdicts.percent(accuracies[0], 2)} correctly, without {what} {verdicts.percent(accuracies[1], 2)}. "
        f"What the most negative cost beyond these: {estimate}."
    )
    return Finding(claim, "higher", estimate, evidence)


def effect_table(by_layer: Sequence[Ablation | Sequence[Ablation]], share: float = REFERENCE_SHARE) -> pd.DataFrame:
    """Accuracy with nothing and with a share of weights zeroed by each choice, and what that says; a row per layer."""
    rows = {}
    for ablations in by_layer:
        ablations = [ablations] if isinstance(ablations, Ablation) else list(ablations)
        table = pd.concat([one.table for one in ablations])
        means: Any = table[table["share"] == share].groupby("choice")[["accuracy", "magnitude"]].mean()
        row = {"nothing zeroed": verdicts.percent(table.loc[table["share"] == 0, "accuracy"].mean())}
        for choice in CHOICES:
            row[choice] = f"{verdicts.percent(means.loc[choice, 'accuracy'])} ({means.loc[choice, 'magnitude']:.3f})"
        parts = [finding(f"more than {against}", ablations, against, share) for against in CHOICES[1:]]
        row["idea"] = verdicts.conclude("the idea", *parts).verdict.replace(" at this sample size", "")
        rows[ablations[0].layer] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


# --- Class by class ---------------------------------------------------------------------------------------------


def class_effects(
    run: Run, *, share: float = REFERENCE_SHARE, draws: int = 3, images: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """What becomes of each class when a share of the last layer's weights to that class alone are zeroed.

    Returns
    -------
    A row per class and choice: `class`, `choice`, and the changes of `recall` (share of the class's images recognised)
    and of `false_alarms` (share of the other classes' images taken for it), the mean over the draws
    """
    layer = last_layer(run)
    weights = layer_weights(run, layer)
    generator = torch.Generator().manual_seed(seed)
    names = analysis.class_names(run)
    keys, copies = [], [weights]
    for label, name in enumerate(names):
        for choice in CHOICES:
            for _ in range(draws if choice == "random" else 1):
                copy = weights.clone()
                copy[label] = zeroed(weights[label], share, choice, generator=generator)
                keys.append((name, label, choice))
                copies.append(copy)
    logits, labels = predict_with(run, layer, torch.stack(copies), images=images)
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
    names = [name for name in analysis.parameter_names(run.final_weights) if name.startswith("fc")]
    return names[-1].partition(".")[0]
