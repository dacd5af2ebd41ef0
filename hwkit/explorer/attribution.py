"""Which pixels a prediction rests on: gradient-based saliency and occlusion, by captum.

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

PATCH = 8  # pixels, both height and width of what is covered
STEP = 4  # pixels from one covered place to the next


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
    "saliency" : float32 (H, W), the largest absolute gradient of the logit over the channels (Simonyan et al., 2013,
        arXiv:1312.6034).
    "occlusion" : float32 (H, W), by how much the logit falls, on average, when a patch of `PATCH` pixels that holds
        the pixel is covered with the image's mean (Zeiler and Fergus, 2014, arXiv:1311.2901). Negative: it rises.

    Raises
    ------
    RunError
        If captum is not installed, or there is no such class.
    """
    if not available():
        raise RunError("saliency and occlusion need captum; install it with: pip install 'hwkit[explore]'")
    from captum.attr import Occlusion, Saliency

    label = analysis.class_label(run, target)
    model = model or run.model()
    pixels = data.normalise(image.unsqueeze(0), run.experiment.dataset)
    saliency = Saliency(model).attribute(pixels.clone().requires_grad_(), target=label)
    with torch.no_grad():
        occlusion = Occlusion(model).attribute(
            pixels,
            sliding_window_shapes=(len(image), PATCH, PATCH),
            strides=(len(image), STEP, STEP),
            target=label,
            baselines=pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels),
            perturbations_per_eval=256,
        )
    return {"saliency": saliency[0].amax(dim=0).detach(), "occlusion": occlusion[0].mean(dim=0).detach()}
