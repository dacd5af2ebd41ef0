"""How a run responds to all its test images, for whatever has to be looked up in an instant.

One pass over the test set finds the images that each channel responds to most, a counterpart for every misclassified
image, and the plane of `analysis.embedding`. It takes seconds, so it is done once and kept in the run's folder.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hwkit import analysis, runs
from hwkit.analysis import Plane
from hwkit.engine.layers import hidden, last_features, map_features
from hwkit.errors import RunError
from hwkit.runs import Run

STRONGEST = 12  # images kept for each channel

# Two explorers of one run in one process: the second waits for what the first computes.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Index(Plane):
    """What was found; the plane is that of `analysis.embedding`.

    Attributes
    ----------
    strongest : by hidden layer, int64 (units, STRONGEST): the test images to which a unit (a channel, where a layer has
        maps) responds most, by its largest activation in them; fewer columns if there are fewer test images.
    responses : by hidden layer, float32 (units, STRONGEST): those activations.
    counterparts : int64 (N,): for each misclassified image the index that `analysis.pair` would choose; for an image
        that is classified correctly, the most similar other one of its class that is; -1 where there is none.
    """

    strongest: dict[str, Tensor]
    responses: dict[str, Tensor]
    counterparts: Tensor


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


def compute(run: Run) -> Index:
    """The index of a run, from one pass over its test images."""
    images = analysis.test_images(run)
    largest: dict[str, list[Tensor]] = {}
    hidden_features, features = [], []
    for layers in analysis.layers(run, images):
        for layer in hidden(layers):
            largest.setdefault(layer.name, []).append(layer.by_unit.amax(dim=2))
        hidden_features.append(map_features(layers))
        features.append(last_features(layers))
    best = {name: torch.cat(chunks).topk(min(STRONGEST, len(images)), dim=0) for name, chunks in largest.items()}
    return Index(
        strongest={name: found.indices.T for name, found in best.items()},
        responses={name: found.values.T for name, found in best.items()},
        counterparts=_counterparts(run, torch.cat(hidden_features)),
        **vars(analysis.plane(torch.cat(features))),
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
