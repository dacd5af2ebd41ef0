"""Saliency and occlusion: what they measure, and what is said where captum is not installed."""

from __future__ import annotations

import pytest
import torch

from hwkit import analysis, data
from hwkit.errors import RunError
from hwkit.explorer import attribution
from hwkit.runs import Run


def test_saliency_is_the_largest_gradient_of_the_logit_over_the_channels(cifar_run: Run) -> None:
    pytest.importorskip("captum")
    image = analysis.example(cifar_run, 1).image
    pixels = data.normalise(image[None], "cifar10").requires_grad_()
    cifar_run.model()(pixels)[0, 4].backward()
    saliency = attribution.maps(cifar_run, image, 4)["saliency"]
    torch.testing.assert_close(saliency, pixels.grad[0].abs().amax(dim=0))


def test_occlusion_of_a_corner_is_what_covering_it_takes_from_the_logit(trained_run: Run) -> None:
    pytest.importorskip("captum")
    image = analysis.example(trained_run, 2).image
    pixels = data.normalise(image[None], "mnist")
    covered = pixels.clone()
    covered[..., :7, :7] = pixels.mean()  # a quarter of 28 pixels
    model = trained_run.model()
    with torch.no_grad():
        fall = (model(pixels) - model(covered))[0, 7]
    occlusion = attribution.maps(trained_run, image, 7)["occlusion"]
    assert occlusion.shape == (28, 28)
    torch.testing.assert_close(occlusion[0, 0], fall, atol=1e-5, rtol=1e-4)  # the only patch that covers this pixel


def test_without_captum_the_message_says_how_to_get_it(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "available", lambda: False)
    with pytest.raises(RunError, match=r"pip install 'hwkit\[explore\]'"):
        attribution.maps(trained_run, analysis.example(trained_run, 0).image, 0)


def test_an_unknown_class_is_an_error(trained_run: Run) -> None:
    pytest.importorskip("captum")
    with pytest.raises(RunError, match="unknown class 12"):
        attribution.maps(trained_run, analysis.example(trained_run, 0).image, 12)
