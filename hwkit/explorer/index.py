"""What a run makes of all its test images at once, for whatever has to be looked up in an instant.

One pass over the test set finds the images that each channel responds to most, a counterpart for every mismatch, and a
plane to lay the last hidden layer out on. It takes seconds, so it is done once and kept in the run's folder.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hwkit import analysis, runs
from hwkit.errors import RunError
from hwkit.inference import predict
from hwkit.runs import Run

STRONGEST = 12  # images kept for each channel

# Two explorers of one run in one process: the second waits for what the first computes.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Index:
    """What was found.

    Attributes
    ----------
    strongest : by hidden layer, int64 (channels, STRONGEST): the test images to which a channel responds most, by the
        largest activation anywhere in its map; fewer columns if there are fewer test images.
    responses : by hidden layer, float32 (channels, STRONGEST): those activations.
    counterparts : int64 (N,): for each mismatch the index that `analysis.pair` would choose; for an image that is
        classified correctly, the most similar other one of its class that is; -1 where there is none.
    centre : float32 (features,): the mean direction of the last hidden layer over the test images.
    axes : float32 (features, 2): the first two principal components of these directions.
    positions : float32 (N, 2): the test images on these axes.
    explained : float32 (2,): the share of the variance along each.
    """

    strongest: dict[str, Tensor]
    responses: dict[str, Tensor]
    counterparts: Tensor
    centre: Tensor
    axes: Tensor
    positions: Tensor
    explained: Tensor

    def place(self, features: Tensor) -> Tensor:
        """Where features of the last hidden layer, float32 (N, features), lie on the plane: float32 (N, 2)."""
        return (F.normalize(features, dim=1) - self.centre) @ self.axes


def of(run: Run) -> Index:
    """The index of a run: read if it was kept, else computed and kept.

    Raises
    ------
    RunError, DataError
        If the run or its data set cannot be read.
    """
    with _one_at_a_time:
        found = kept(run)
        if found is None:
            found = compute(run)
            # A store that cannot be written is no reason to go without.
            with contextlib.suppress(RunError):
                runs.write_index(run, _as_tensors(found))
        return found


def kept(run: Run) -> Index | None:
    """The index in the run's folder, or None if there is none that this version of hwkit can use."""
    tensors = runs.read_index(run)
    if tensors is None:
        return None
    groups: dict[str, dict[str, Tensor]] = {"strongest": {}, "responses": {}}
    single = {}
    for name, tensor in tensors.items():
        group, _, layer = name.partition(".")
        if layer:
            groups.setdefault(group, {})[layer] = tensor
        else:
            single[name] = tensor
    try:
        return Index(**groups, **single)
    except TypeError:  # of an hwkit that kept other things
        return None


def _as_tensors(index: Index) -> dict[str, Tensor]:
    """The index as tensors by name, as `kept` reads them."""
    tensors = {}
    for name, value in vars(index).items():
        if isinstance(value, dict):
            tensors |= {f"{name}.{layer}": tensor.contiguous() for layer, tensor in value.items()}
        else:
            tensors[name] = value.contiguous()
    return tensors


@torch.inference_mode()
def compute(run: Run) -> Index:
    """The index of a run, from one pass over its test images."""
    model = run.model().to(memory_format=torch.channels_last)
    images = analysis.test_images(run)
    layers = analysis.hidden_layers(model)
    largest: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    convolved: list[Tensor] = []
    for layer, activation in layers.items():
        # Activations rise, so the largest output gives the largest activation.
        model.get_submodule(layer).register_forward_hook(
            lambda _, __, output, layer=layer, activation=activation: largest[layer].append(
                activation(output if output.ndim == 2 else output.amax(dim=(2, 3)))
            )
        )
    model.get_submodule("fc1").register_forward_pre_hook(lambda _, inputs: convolved.append(inputs[0]))
    predict(model, images, run.experiment.dataset)
    responses = {layer: torch.cat(chunks) for layer, chunks in largest.items()}
    best = {layer: values.topk(min(STRONGEST, len(images)), dim=0) for layer, values in responses.items()}
    # Directions alone: an image that excites everything strongly would otherwise push all others into a corner.
    directions = F.normalize(responses[list(layers)[-1]], dim=1)
    centre, axes, explained = _principal_axes(directions)
    return Index(
        strongest={layer: found.indices.T for layer, found in best.items()},
        responses={layer: found.values.T for layer, found in best.items()},
        counterparts=_counterparts(run, torch.cat(convolved)),
        centre=centre,
        axes=axes,
        positions=(directions - centre) @ axes,
        explained=explained,
    )


def _counterparts(run: Run, features: Tensor) -> Tensor:
    """For every test image the nearest correct one of its predicted class by the cosine of features, int64 (N,)."""
    predicted = analysis.predicted(run)
    correct = predicted == run.labels
    directions = F.normalize(features, dim=1)
    found = torch.full((len(predicted),), -1)
    for label in predicted.unique().tolist():
        asked = (predicted == label).nonzero().squeeze(1)
        known = ((predicted == label) & correct).nonzero().squeeze(1)
        if len(known):
            similarities = directions[asked] @ directions[known].T
            similarities[asked[:, None] == known[None, :]] = -torch.inf  # nothing is its own counterpart
            nearest = similarities.max(dim=1)
            found[asked] = torch.where(nearest.values > -torch.inf, known[nearest.indices], -1)
    return found


def _principal_axes(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, first two principal components and their shares of the variance of features, float32 (N, features).

    The sign of a component is arbitrary; here its largest entry is positive, so that every machine draws one picture.
    """
    centre = features.mean(dim=0)
    centred = (features - centre).double()
    variances, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors[:, -2:].flip(1)
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    explained = variances[-2:].flip(0) / variances.sum().clamp_min(1e-12)
    return centre, axes.float(), explained.float()
