"""How smooth the maps of a layer are, for the chapter on average pooling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pandas as pd
import torch
from IPython.display import Markdown
from torch import Tensor

from hwkit import analysis
from hwkit.chapters import comparison
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Claim, Finding
from hwkit.formats import points
from hwkit.runs import Run, Runs, as_list


def neighbour_correlation(maps: Tensor) -> Tensor:
    """How alike pixels beside each other are in maps, float32 (N, channels, h, w): float32 (N,), from -1 to 1.

    The correlation of each pixel with its right and lower neighbours, over all channels of an image that respond at
    all. Large patches of one colour have a correlation near 1; specks on a dark ground have one near 0.
    """
    values = maps - maps.mean(dim=(2, 3), keepdim=True)
    variance = values.square().mean(dim=(2, 3))
    right = (values[..., :, 1:] * values[..., :, :-1]).mean(dim=(2, 3))
    below = (values[..., 1:, :] * values[..., :-1, :]).mean(dim=(2, 3))
    responds = variance > 0
    correlations = torch.where(responds, (right + below) / 2 / variance.clamp_min(1e-30), 0.0)
    return correlations.sum(dim=1) / responds.sum(dim=1).clamp_min(1)


IMAGES = 2000  # of the test set, for smoothness: enough for its third decimal
_found: dict[Path, dict[str, float]] = {}  # by run: a table and a finding ask for the same, and each takes seconds


def smoothness(run: Run) -> dict[str, float]:
    """The `neighbour_correlation` of each layer's maps before pooling, averaged over `IMAGES` test images, by layer."""
    if run.folder not in _found:
        parts: dict[str, list[Tensor]] = {}
        for chunk in analysis.test_images(run)[:IMAGES].split(250):
            for name, maps in analysis.activations(run, chunk).items():
                parts.setdefault(name, []).append(neighbour_correlation(maps))
        _found[run.folder] = {name: torch.cat(found).double().mean().item() for name, found in parts.items()}
    return _found[run.folder]


def finding(claim: Claim, a: Runs, b: Runs, layer: str) -> Finding:
    """The difference in `smoothness` of a layer's maps, one number for each network."""
    a, b = verdicts.replicates(a, b)
    values = [[smoothness(run)[layer] for run in side] for side in (a, b)]
    phrase = f"The correlation of neighbouring pixels in the maps of {layer}, over the first {IMAGES:,} test images,"
    return verdicts.on_numbers(claim, f"smoothness of {layer}", phrase, a, b, values)


def smoothness_table(runs: Sequence[Runs], titles: Sequence[str]) -> pd.DataFrame:
    """The `smoothness` of each layer's maps, mean and standard deviation over seeds; a row per recipe."""
    rows = {}
    for one, title in zip(runs, titles, strict=True):
        found = [smoothness(run) for run in as_list(one)]
        rows[title] = {name: comparison.mean_and_spread([each[name] for each in found], 3) for name in found[0]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def smoothness_summary(runs: Sequence[Runs], titles: Sequence[str]) -> Markdown:
    """At which layers the maps of the second recipe are the smoother ones, and how the two compare at the first."""
    found = [[smoothness(run) for run in as_list(one)] for one in runs[:2]]
    layers = list(found[0][0])
    means = [{name: fmean(each[name] for each in side) for name in layers} for side in found]
    first = layers[0]
    higher = [name for name in layers if means[1][name] > means[0][name]]
    if not higher:
        where = "no layer"
    elif len(higher) == len(layers):
        where = "every layer"
    else:
        where = " and ".join(f"`{name}`" for name in higher)
    return Markdown(
        f"Neighbouring pixels agree more with {titles[1]} than with {titles[0]} in {where}. At `{first}`, which is "
        f"given the same pictures in both, the correlation is {means[1][first]:.3f} against {means[0][first]:.3f}; "
        "what later layers are given has been pooled already, and a map computed from averages is smooth before any "
        "filter has learned to make it so."
    )


def parts_summary(base: Runs, between: Runs, both: Runs) -> Markdown:
    """What each of two changes, made one after the other, adds to the test accuracy, and whether they cancel."""
    first, second, third = (fmean(run.test_accuracy for run in as_list(one)) for one in (base, between, both))
    pooling, kernel = second - first, third - second
    how = "they pull the same way" if pooling * kernel > 0 else "they pull in opposite directions"
    return Markdown(
        f"The difference of {points(third - first, sign=True)} between first and last has two parts, "
        f"{points(pooling, sign=True)} with the pooling and {points(kernel, sign=True)} with the kernel: {how}."
    )
