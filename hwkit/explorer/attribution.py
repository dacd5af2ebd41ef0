"""Which pixels a prediction rests on: saliency by the gradient, and occlusion by captum.

captum comes with the extra `explore`; everything else in hwkit does without it.
"""

from __future__ import annotations

import importlib
import importlib.util

import torch
from torch import Tensor, nn

from hwkit import analysis, data
from hwkit.errors import RunError
from hwkit.runs import Run

PATCH = 0.25  # of the image's height and width, what is covered at a time; half of that is the step to the next place


def available() -> bool:
    """Whether captum is installed."""
    return importlib.util.find_spec("captum") is not None


def get_ready() -> None:
    """Import captum if it is installed, which takes longer than the first `maps` itself."""
    if available():
        importlib.import_module("captum.attr")


def maps(run: Run, image: Tensor, target: int, *, model: nn.Module | None = None) -> dict[str, Tensor]:
    """What the logit of a class rests on in an image.

    Parameters
    ----------
    image : uint8 (C, H, W).
    target : the class.
    model : the run's network, if it is at hand.

    Returns
    -------
    "saliency" : float32 (H, W), as `analysis.saliency` computes it.
    "occlusion" : float32 (H, W), by how much the logit falls, on average, when a patch that holds the pixel is covered
        with the image's mean (Zeiler and Fergus, 2014, arXiv:1311.2901). Negative: it rises.

    Raises
    ------
    RunError
        If captum is not installed, or there is no such class.
    """
    if not available():
        raise RunError("saliency and occlusion need captum; install it with: pip install 'hwkit[explore]'")
    from captum.attr import Occlusion

    label = analysis.class_label(run, target)
    model = model or run.model()
    pixels = data.normalise(image.unsqueeze(0), run.experiment.dataset)
    patch = tuple(max(1, round(PATCH * side)) for side in image.shape[1:])
    with torch.no_grad():
        occlusion = Occlusion(model).attribute(
            pixels,
            sliding_window_shapes=(len(image), *patch),
            strides=(len(image), *(max(1, side // 2) for side in patch)),
            target=label,
            baselines=pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels),
            perturbations_per_eval=256,
        )
    return {"saliency": analysis.saliency(model, pixels, label), "occlusion": occlusion[0].mean(dim=0)}
