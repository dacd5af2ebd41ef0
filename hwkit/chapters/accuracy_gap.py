"""The distance between training and test accuracy: curves side by side, bias and variance, and a validation curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hwkit import analysis, plots, theme
from hwkit.callbacks import TEST_SAMPLE
from hwkit.datasets import known_facts
from hwkit.errors import RunError
from hwkit.formats import enumerated, percent, points
from hwkit.runs import Run, Runs, as_list
from hwkit.statistics import wilson_interval

# --- Curves -----------------------------------------------------------------------------------------------------


@plots.themed
def curves(runs: Sequence[Run]) -> Figure:
    """The accuracy curves of several runs, two in a row, with one accuracy axis for each data set.

    Raises
    ------
    RunError
        If there is no run.
    """
    if not runs:
        raise RunError("there is no run to show; give at least one")
    figure, axes = plots.panels(len(runs), 2, height=3.9)
    shown: Any = list(runs)
    for ax, run in zip(axes, shown, strict=True):
        plots.draw_accuracies(ax, run)
        ax.set_title(f"{known_facts(run.experiment.dataset).title}, λ = {run.experiment.l2:g}")
        alike = [one for one in shown if one.experiment.dataset == run.experiment.dataset]
        ax.set_ylim(plots.lowest_accuracy(alike), 1.005)
    figure.supylabel("accuracy", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def reading(groups: Sequence[Runs]) -> Markdown:
    """What the curves of one data set show as the penalty gets weaker, in words.

    Parameters
    ----------
    groups : runs of networks that differ in their penalty alone.
    """
    ordered = _strongest_first(groups)
    train, test = (np.array([measure(runs) for runs in ordered]) for measure in (_train_accuracy, _test_accuracy))
    gaps = train - test
    lambdas = [f"{runs[0].experiment.l2:g}" for runs in ordered]
    listed = enumerated([f"{points(gap)} at λ = {l2}" for gap, l2 in zip(gaps, lambdas, strict=True)])
    wider = bool((np.diff(gaps) > 0).all())
    higher = bool((np.diff(train) > 0).all())
    if wider and higher:
        course = (
            "Both effects of the penalty are there: the weaker it is, the higher the blue curve ends, and the farther"
        )
        course += f" the red one stays behind it, by {listed}."
    else:
        course = f"The blue curve ends above the red one by {listed}"
        course += ", so the distance grows as the penalty gets weaker" if wider else ", not in the order of the penalty"
        course += "." if higher else "; the height of the blue curve does not follow the penalty either."
    gained = test - test[0]
    best = int(test.argmax())
    answer = (
        f"The red curve ends highest at λ = {lambdas[best]}, {points(float(gained[best]))} above that at λ = "
        f"{lambdas[0]}{': the wider gap comes with the better network' if gaps[best] > gaps[0] else ''}."
        if best
        else f"The red curve ends highest at λ = {lambdas[0]}, with the strongest penalty."
    )
    return Markdown(f"{course} {answer}")


def bias_and_variance(groups: Sequence[Runs]) -> Markdown:
    """How the test error of networks with more and less penalty divides into misfit and gap, in words.

    Parameters
    ----------
    groups : runs of networks that differ in their penalty alone.
    """
    ordered = _strongest_first(groups)
    strong, weak = ordered[0], ordered[-1]
    train, weak_train = _train_accuracy(strong), _train_accuracy(weak)
    of_strong, of_weak = ((1 - t) / max(1e-9, 1 - _test_accuracy(r)) for t, r in ((train, strong), (weak_train, weak)))
    l2 = f"{strong[0].experiment.l2:g}"
    underfits = train < weak_train - 0.05
    headline = f"With λ = {l2} the network underfits" if underfits else f"With λ = {l2} the fit is hardly worse"
    return Markdown(
        f"{headline}: it classifies {percent(train)} of the very images it was trained on, against "
        f"{percent(weak_train)} with λ = {weak[0].experiment.l2:g}. Of its test error {_whole(of_strong)} is bias, "
        f"against {_whole(of_weak)} without so strong a penalty. The rest is variance, which is all that a penalty can "
        "lower."
    )


def _strongest_first(groups: Sequence[Runs]) -> list[list[Run]]:
    return sorted(map(as_list, groups), key=lambda runs: -runs[0].experiment.l2)


def _whole(fraction: float) -> str:
    return percent(min(1.0, fraction), 0)


def _train_accuracy(runs: Sequence[Run]) -> float:
    """On all training images, unaugmented: the mean over seeds."""
    return float(np.mean([analysis.train_correct(run).double().mean().item() for run in runs]))


def _test_accuracy(runs: Sequence[Run]) -> float:
    return float(np.mean([run.test_accuracy for run in runs]))


# --- Validation -------------------------------------------------------------------------------------------------


@plots.themed
def validation_curve(run: Run) -> Figure:
    """Accuracy on held-out training images: readings on 200 of them, and all of them at the evaluations.

    The band is one standard error of a reading on either side of the moving average.

    Raises
    ------
    RunError
        If the run held no images out.
    """
    _require_holdout(run)
    figure = theme.new_figure(height=4.8)
    ax = figure.add_subplot()
    recorded: Any = run
    record = recorded.record
    smooth = plots.smooth(record["test_accuracy"])
    error = np.sqrt(smooth * (1 - smooth) / TEST_SAMPLE)
    colour = theme.VALIDATION["color"]
    ax.plot(record["epoch"], plots.smooth(record["train_accuracy"]), label="training batch", **theme.TRAIN)
    ax.fill_between(record["epoch"], smooth - error, smooth + error, color=colour, alpha=0.2, linewidth=0)
    ax.plot(
        record["epoch"],
        record["test_accuracy"],
        linestyle="",
        marker=".",
        color=colour,
        alpha=0.6,
        label=f"{TEST_SAMPLE} held-out images",
    )
    epochs, found, ends = _evaluations(run)
    bars = np.abs(np.array(ends).T - np.array(found))
    ax.errorbar(epochs, found, bars, color="black", marker="D", label="all held-out images", linewidth=1.2)
    ax.set(
        xlabel="epoch",
        ylabel="accuracy",
        xlim=(0, record["epoch"].max()),
        ylim=(plots.lowest_accuracy([recorded]), 1.005),
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.legend(loc="lower right")
    figure.alt = f"Accuracy on held-out images. {validation_summary(run).data}"
    return figure


def validation_summary(run: Run) -> Markdown:
    """Where the validation curve is highest, and how far a single reading can be off."""
    _require_holdout(run)
    epochs, found, ends = _evaluations(run)
    best = int(np.argmax(found))
    final = run.test_accuracy
    se = math.sqrt(final * (1 - final) / TEST_SAMPLE)
    if best == len(found) - 1:
        stop = f"the accuracy on all held-out images is highest at the end, with {percent(final)}, so stopping early "
        stop += "would have gained nothing"
    else:
        lost = found[best] - final
        beyond = "more" if found[best] > ends[-1][1] else "no more"
        stop = (
            f"the accuracy on all held-out images is highest after {epochs[best]:.2f} epochs, {points(lost)} above its "
        )
        stop += f"end, which is {beyond} than the interval of the last one allows for"
    return Markdown(
        f"On {len(run.labels)} training images held out of one more run of the plain network, {stop}. A reading on "
        f"{TEST_SAMPLE} images has a standard error of {points(se)} there: single dots lie that far from the curve by "
        "chance, and two of them in a row say nothing about a rise or a fall."
    )


def _evaluations(run: Run) -> tuple[list[float], list[float], list[tuple[float, float]]]:
    """At every evaluation on all held-out images: epochs so far, accuracy and its interval."""
    epochs, accuracies, ends = [], [], []
    for moment, predicted in sorted(run.predicted_at.items()):
        right = int((predicted == run.labels).sum())
        epochs.append(moment / run.experiment.batches_per_epoch)
        accuracies.append(right / len(predicted))
        ends.append(wilson_interval(right, len(predicted)))
    return epochs, accuracies, ends


def _require_holdout(run: Run) -> None:
    if not run.experiment.holdout:
        raise RunError(f"{run.name} held no training images out; train one with holdout=5000")
