"""What a unit sees of the image, and which mistakes are simple ones, for the chapters on smaller filters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from hwkit import analysis, plots, theme
from hwkit.chapters import comparison
from hwkit.datasets import known_facts
from hwkit.engine.layers import layers_of
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Claim, Finding
from hwkit.formats import mean_and_all, percent, points
from hwkit.runs import Run, Runs, as_list

# --- Receptive fields -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that one unit of a layer depends on: rows `top` to `bottom` and columns `left` to `right`, inclusive.

    A unit that sees the whole image, as those of a fully connected layer do, has the image's edges.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top + 1, self.right - self.left + 1

    def __str__(self) -> str:
        return "{}×{}".format(*self.size)


def receptive_fields(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, ReceptiveField]:
    """What a unit in the middle of each layer of a network sees of the image, found by running the network.

    One row or column of an image after the other is made NaN, "not a number". NaN survives every sum, product, maximum
    and ReLU, so that exactly the units that depend on it become NaN. In float64, whose convolutions are computed
    patch by patch; faster ones mix neighbouring patches.

    Parameters
    ----------
    model : any network for images of `shape`.
    shape : (channels, height, width).

    Returns
    -------
    By the names of the layers, in the order in which they are called; before pooling.

    Examples
    --------
    >>> fields = receptive_fields(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)), (1, 28, 28))
    >>> {name: str(field) for name, field in fields.items()}
    {'0': '3×3', '2': '8×8'}
    """
    model = copy.deepcopy(model).double().eval()
    reached = [_reached(model, shape, axis) for axis in (1, 2)]
    ends = [{name: (min(lines), max(lines)) for name, lines in found.items()} for found in reached]
    return {name: ReceptiveField(*ends[0][name], *ends[1][name]) for name in ends[0]}


def _reached(model: nn.Module, shape: tuple[int, int, int], axis: int) -> dict[str, list[int]]:
    """For each layer, which rows (axis 1) or columns (axis 2) of an image its middle unit depends on."""
    images = torch.zeros(shape[axis], *shape, dtype=torch.float64)
    for number, image in enumerate(images):
        image.select(axis, number).fill_(torch.nan)
    found = {}
    for layer in layers_of(model, images):
        values = layer.activation
        middle = values[:, :, values.shape[2] // 2, values.shape[3] // 2] if layer.has_maps else values.flatten(1)
        found[layer.name] = middle.isnan().any(dim=1).nonzero().flatten().tolist()
    return {name: lines for name, lines in found.items() if lines}


def layer_table(runs: Sequence[Run], titles: Sequence[str]) -> pd.DataFrame:
    """Parameters and receptive field of each layer of several networks with the same layers; a row per layer."""
    columns: dict[str, dict[str, str]] = {}
    for run, title in zip(runs, titles, strict=True):
        model, fields = run.model(), _fields(run)
        counts = {name: sum(one.numel() for one in model.get_submodule(name).parameters()) for name in fields}
        total = sum(parameter.numel() for parameter in model.parameters())
        columns[f"{title}: parameters"] = {name: f"{count:,}" for name, count in {**counts, "total": total}.items()}
        columns[f"{title}: sees"] = {**{name: str(field) for name, field in fields.items()}, "total": ""}
    return pd.DataFrame(columns).rename_axis("layer")


@plots.themed
def receptive_field_figure(runs: Sequence[Run], titles: Sequence[str], image: Tensor) -> Figure:
    """What one unit in the middle of each layer with maps sees of an image, a panel per network.

    Parameters
    ----------
    image : uint8 (C, H, W).
    """
    figure = theme.new_figure(height=4.6, width=4.8 * len(runs))
    said = []
    for ax, run, title in zip(figure.subplots(1, len(runs)), runs, titles, strict=True):
        plots.draw_image(ax, image)
        ax.set_title(title)
        fields = {name: _fields(run)[name] for name in analysis.activations(run, image.unsqueeze(0))}
        for (name, field), colour, style in zip(
            fields.items(), theme.RUN_COLOURS, ("-", "--", ":", "-."), strict=False
        ):
            height, width = field.size
            label = f"{name}: {field} pixels"
            outline = {"edgecolor": colour, "linestyle": style, "linewidth": 1.8, "label": label, "fill": False}
            ax.add_patch(Rectangle((field.left - 0.5, field.top - 0.5), width, height, **outline))
        said.append(f"{title}: {', '.join(f'{name} {field}' for name, field in fields.items())}")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02))
    return comparison.described(figure, f"A test image with what a unit sees of it, in pixels. {'; '.join(said)}.")


def _fields(run: Run) -> dict[str, ReceptiveField]:
    return receptive_fields(run.model(), known_facts(run.experiment.dataset).shape)


# --- Simple mistakes --------------------------------------------------------------------------------------------


def simple_images(jury: Sequence[Runs]) -> Tensor:
    """The test images that most networks of a jury classify correctly, bool (N,): missing one is a simple mistake."""
    members = [run for runs in jury for run in as_list(runs)]
    return torch.stack([analysis.correct(run) for run in members]).double().mean(dim=0) > 0.5


def simple_mistakes(claim: Claim, a: Runs, b: Runs, jury: Sequence[Runs]) -> Finding:
    """The difference in the fraction of test images that are simple mistakes, as a jury of other networks has it."""
    a, b = verdicts.replicates(a, b)
    simple = simple_images(jury)
    mistaken = [np.stack([(simple & ~analysis.correct(run)).numpy().astype(float) for run in side]) for side in (a, b)]
    counts = [mean_and_all([one.sum() for one in side]) for side in mistaken]
    members = sum(len(as_list(runs)) for runs in jury)
    who = "both other networks" if members == 2 else f"most of {members} other networks"
    evidence = (
        f"Of the {int(simple.sum()):,} test images that {who} classify correctly, `{a[0].name}` misclassifies "
        f"{counts[0]} and `{b[0].name}` {counts[1]}"
    )
    estimate = verdicts.of_images(mistaken[0] - mistaken[1])
    return verdicts.finding(claim, estimate, "fraction of simple mistakes", a, b, evidence)


def mistake_table(runs: Sequence[Runs], jury: Sequence[Runs], first: int | str, second: int | str) -> pd.DataFrame:
    """Mistakes of each recipe, how many of them are simple, and how often two classes are confused, either way round.

    Of several seeds there is the mean and, in brackets, the count of each.
    """
    simple = simple_images(jury)
    rows = {}
    for group in map(as_list, runs):
        names = analysis.class_names(group[0])
        one, other = (names[analysis.class_label(group[0], name)] for name in (first, second))
        wrong = [~analysis.correct(run) for run in group]
        counts = [analysis.confusion(run) for run in group]
        rows[group[0].name] = {
            "all mistakes": mean_and_all([int(each.sum()) for each in wrong]),
            "simple": mean_and_all([int((each & simple).sum()) for each in wrong]),
            f"{one} taken for {other}": mean_and_all([count.loc[one, other] for count in counts]),
            f"{other} taken for {one}": mean_and_all([count.loc[other, one] for count in counts]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def exchange_summary(a: Runs, b: Runs) -> Markdown:
    """How many mistakes b makes where a makes none, and the reverse, as a sentence; counts are means over seeds."""
    a, b = verdicts.replicates(a, b)
    pairs = [analysis.misclassified_by_one(*pair) for pair in zip(a, b, strict=True)]
    added, removed = (fmean(len(pair[side]) for pair in pairs) for side in (0, 1))
    both = fmean(len(analysis.misclassified(run)) for run in b) - added
    total = len(a[0].labels)
    seeds = " (means over the seeds)" if len(a) > 1 else ""
    return Markdown(
        f"`{b[0].name}` alone misclassifies {_images(added)} and `{a[0].name}` alone {_count(removed)}, against "
        f"{_count(both)} that both miss{seeds}: the accuracies differ by the balance of the first two, "
        f"{points((removed - added) / total, sign=True)}, and the networks disagree about "
        f"{percent((added + removed) / total)} of the test set."
    )


def _images(value: float) -> str:
    return "1 image" if value == 1 else f"{_count(value)} images"


def _count(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
