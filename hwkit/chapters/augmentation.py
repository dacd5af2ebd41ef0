"""How networks that were trained with one augmentation or another do on mirrored and on gray test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from torch import Tensor

from hwkit import analysis, data, models, plots, theme
from hwkit.chapters import comparison
from hwkit.engine.devices import resolve_device, resolve_precision
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Claim, Finding
from hwkit.formats import mean_accuracy, points
from hwkit.runs import Run, Runs, as_list

CHANGES = ("as they are", "mirrored", "gray")  # of test images


def changed(images: Tensor, change: str) -> Tensor:
    """Test images, all of them mirrored or gray as in training, or as they are: uint8 (N, 3, H, W), in and out.

    Raises
    ------
    KeyError
        If the change is none of `CHANGES`.
    """
    every = torch.ones(len(images), dtype=torch.bool)
    make = {CHANGES[0]: lambda: images, CHANGES[1]: lambda: data.random_flip(images, every)}
    return {**make, CHANGES[2]: lambda: data.random_grayscale(images, every)}[change]()


def correct_on(run: Run, change: str) -> Tensor:
    """Which test images the network classifies correctly after a change, bool (N,)."""
    if change == CHANGES[0]:
        return analysis.correct(run)
    device = resolve_device("auto")
    model = run.model().to(memory_format=torch.channels_last).to(device)
    images = changed(analysis.test_images(run), change)
    logits = models.predict(model, images, run.experiment.dataset, precision=resolve_precision("auto", device))
    return logits.argmax(dim=1).cpu() == run.labels


def correct_table(runs: Sequence[Runs], titles: Sequence[str]) -> pd.DataFrame:
    """What each network classifies correctly after each of `CHANGES`; what the other functions here take.

    Returns
    -------
    A row per network and change, in order: `training`, the title of its recipe; `run`; `change`; and `correct`, float64
    (N,).
    """
    return pd.DataFrame(
        [
            {"training": title, "run": run, "change": change, "correct": correct_on(run, change).double().numpy()}
            for one, title in zip(runs, titles, strict=True)
            for run in as_list(one)
            for change in CHANGES
        ]
    )


@plots.themed
def changes_figure(table: pd.DataFrame) -> Figure:
    """The accuracy on test images after each change, a panel per change and a row per recipe, all seeds as dots."""
    titles = list(dict.fromkeys(table["training"]))
    figure = theme.new_figure(height=1.8 + 0.5 * len(titles))
    axes = figure.subplots(1, len(CHANGES), sharex=True, sharey=True)
    for ax, change in zip(axes, CHANGES, strict=True):
        accuracies = [_right(table, title, change).mean(axis=1) for title in titles]
        comparison.seed_dots(accuracies, titles, "test accuracy", ax=ax)
        ax.set_title(f"test images {change}" if change == CHANGES[0] else f"all test images {change}")
    means = [
        f"{title}: "
        + ", ".join(f"{change} {mean_accuracy([_right(table, title, change).mean()])}" for change in CHANGES)
        for title in titles
    ]
    return comparison.described(figure, f"Mean test accuracies by training. {'; '.join(means)}.")


def loss_table(table: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each recipe on the test images as they are, and what mirroring and graying all of them cost."""
    rows: dict[str, dict[str, str]] = {}
    for title in dict.fromkeys(table["training"]):
        plain = _right(table, title, CHANGES[0]).mean(axis=1)
        losses = {change: plain - _right(table, title, change).mean(axis=1) for change in CHANGES[1:]}
        rows[title] = {
            "as they are": mean_accuracy(plain),
            **{f"lost if {change} (points)": comparison.mean_and_spread(100 * lost) for change, lost in losses.items()},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trained with")


def changes_summary(table: pd.DataFrame) -> Markdown:
    """To which training each change of the test images costs least and most, as sentences."""
    titles = list(dict.fromkeys(table["training"]))
    said = []
    for change, what in ((CHANGES[1], "Mirroring all test images"), (CHANGES[2], "Taking the colour out of them")):
        lost = {
            title: float((_right(table, title, CHANGES[0]) - _right(table, title, change)).mean()) for title in titles
        }
        least, most = min(lost, key=lost.__getitem__), max(lost, key=lost.__getitem__)
        said.append(
            f"{what} costs most after training with {most}, {points(lost[most])}, and least after training with "
            f"{least}, {points(lost[least])}"
        )
    return Markdown(". ".join(said) + ".")


def robustness(claim: Claim, table: pd.DataFrame, a: str, b: str, change: str) -> Finding:
    """The difference between two recipes in the accuracy that a change of the test images costs.

    Parameters
    ----------
    table : as `correct_table` gives it.
    a, b : titles in it.
    """
    rows: list[Any] = [table[(table["training"] == title) & (table["change"] == change)] for title in (a, b)]
    runs = verdicts.replicates(*(one["run"].tolist() for one in rows))
    lost = [_right(table, title, CHANGES[0]) - _right(table, title, change) for title in (a, b)]
    shown = [comparison.mean_and_spread(100 * one.mean(axis=1)) for one in lost]
    what = {CHANGES[1]: "Mirroring", CHANGES[2]: "Graying"}[change]
    evidence = (
        f"{what} all test images costs the network trained with {a} {shown[0]} points, with {b} {shown[1]} points"
    )
    estimate = verdicts.of_images(lost[0] - lost[1])
    return verdicts.finding(claim, estimate, f"accuracy lost on {change} test images", *runs, evidence)


def _right(table: pd.DataFrame, title: str, change: str) -> np.ndarray:
    """What the networks of a recipe classify correctly after a change, float64 (seeds, N)."""
    rows = table[(table["training"] == title) & (table["change"] == change)]
    return np.stack(rows["correct"].tolist())
