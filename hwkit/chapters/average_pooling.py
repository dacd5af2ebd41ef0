"""How smooth the maps of a layer are, for the chapter on average pooling."""

from __future__ import annotations

import torch
from torch import Tensor

from hwkit import analysis
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Claim, Finding
from hwkit.runs import Run, Runs


def neighbour_correlation(maps: Tensor) -> Tensor:
    """How alike pixels beside each other are in maps, float (N, channels, h, w): float64 (N,), from -1 to 1.

    The correlation of each pixel with its right and lower neighbours, over all channels of an image that respond at
    all. Large patches of one colour have a correlation near 1; specks on a dark ground have one near 0.
    """
    values = maps.double()
    values = values - values.mean(dim=(2, 3), keepdim=True)
    variance = values.square().mean(dim=(2, 3))
    right = (values[..., :, 1:] * values[..., :, :-1]).mean(dim=(2, 3))
    below = (values[..., 1:, :] * values[..., :-1, :]).mean(dim=(2, 3))
    responds = variance > 0
    correlations = torch.where(responds, (right + below) / 2 / variance.clamp_min(1e-300), 0.0)
    return correlations.sum(dim=1) / responds.sum(dim=1).clamp_min(1)


def smoothness(run: Run, layer: str) -> float:
    """The `neighbour_correlation` of a layer's maps, averaged over all test images."""
    chunks = analysis.test_images(run).split(500)
    return torch.cat([neighbour_correlation(analysis.activations(run, chunk)[layer]) for chunk in chunks]).mean().item()


def finding(claim: Claim, a: Runs, b: Runs, layer: str) -> Finding:
    """The difference in `smoothness` of a layer's maps, one number for each network."""
    a, b = verdicts.replicates(a, b)
    values = [[smoothness(run, layer) for run in side] for side in (a, b)]
    phrase = f"The correlation of neighbouring pixels in the maps of {layer}, over all test images,"
    return verdicts.on_numbers(claim, f"smoothness of {layer}", phrase, a, b, values)
