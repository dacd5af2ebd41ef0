"""Sentences and small tables of the report whose numbers come from runs, made for the end of a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from hwkit import analysis
from hwkit.analysis import Comparison, Example, Pair
from hwkit.data import DATASETS, Dataset
from hwkit.runs import Run, duration

SMALL_GAP = 0.01  # a difference of train and test accuracy below one point is called small


def data_summary(dataset: Dataset) -> Markdown:
    """What is in a data set and, for the stand-in, that it is one."""
    facts = DATASETS[dataset.name]
    kind = "grey" if facts.channels == 1 else "colour"
    text = (
        f"{dataset.title} holds {len(dataset.train_labels)} training and {len(dataset.test_labels)} test images, "
        f"{kind} pictures of {facts.size}×{facts.size} pixels in ten classes: {', '.join(dataset.classes)}."
    )
    if dataset.source == "stand-in":
        text += (
            f" **These pictures are drawn by hwkit itself, because {facts.title} was not to be had. "
            "Nothing below is a result on the real data, and none of it is compared with the seed report.**"
        )
    return Markdown(text)


def training_summary(run: Run) -> Markdown:
    """How a run was trained and what came of it."""
    experiment, metrics, environment = run.experiment, run.metrics, run.environment
    low, high = analysis.accuracy_interval(run)
    gap = metrics["train_accuracy"] - run.test_accuracy
    rate = f"{experiment.learning_rate:g}"
    schedule = f"a learning rate of {rate}" if experiment.schedule == "constant" else f"a one-cycle rate up to {rate}"
    penalty = f", λ = {experiment.l2:g}" if experiment.l2 else ""
    return Markdown(
        f"Trained for {metrics['iterations']} iterations with batches of {experiment.batch_size} and {schedule}"
        f"{penalty}, in {duration(metrics['seconds'])} on {environment['device_name']} ({environment['precision']}). "
        f"Of the {metrics['test_images']} test images the network classifies **{percent(run.test_accuracy, 2)}** "
        f"correctly (95 % interval {percent(low, 2)} to {percent(high, 2)}), and of {metrics['train_images']} training "
        f"images, unaugmented, {percent(metrics['train_accuracy'], 2)}: a gap of {points(gap)}."
    )


def comparison_summary(plain: Run, regularised: Run) -> Markdown:
    """The accuracies of a run without and one with L2, and whether the penalty closed the gap to the test set."""
    comparison = analysis.compare_accuracies(regularised, plain)
    gaps = [run.metrics["train_accuracy"] - run.test_accuracy for run in (plain, regularised)]
    change = "smaller" if gaps[1] < gaps[0] else "no smaller"
    small = " (both are small)" if max(map(abs, gaps)) < SMALL_GAP else ""
    return Markdown(
        f"With L2 the test accuracy is {difference_phrase(comparison)}. The gap between train and test accuracy is "
        f"{change} with the penalty: {points(gaps[1])} against {points(gaps[0])}{small}."
    )


def difference_phrase(comparison: Comparison) -> str:
    """The difference of two accuracies in words: as large as the test set can tell, and how sure."""
    interval = (
        f"95 % interval {points(comparison.low, sign=True)} to {points(comparison.high, sign=True)}, "
        f"McNemar p {p_value(comparison.p_value)}"
    )
    if comparison.low <= 0 <= comparison.high:
        return (
            f"not distinguishable from that without, on these {comparison.count} images: "
            f"{points(comparison.difference, sign=True)} ({interval})"
        )
    direction = "higher" if comparison.difference > 0 else "lower"
    return f"{points(abs(comparison.difference))} {direction} than without ({interval})"


def weights_summary(plain: Run, regularised: Run) -> Markdown:
    """In how many weight tensors L2 made the distribution narrower and put more weights near zero."""
    compared = analysis.compare_weights(plain, regularised)
    weights = compared[compared.index.str.endswith("weight")]
    narrower = int((weights["std", "b"] < weights["std", "a"]).sum())
    sparser = int((weights["near_zero", "b"] > weights["near_zero", "a"]).sum())
    strongest = (weights["near_zero", "b"] - weights["near_zero", "a"]).idxmax()
    shares = weights.loc[strongest, "near_zero"]
    return Markdown(
        f"With λ = {regularised.experiment.l2:g} the distribution is narrower in {narrower} of {len(weights)} weight "
        f"tensors, and the share of weights within ±{analysis.NEAR_ZERO:g} of zero is larger in {sparser}. It grows "
        f"most in `{strongest}`: from {percent(shares['a'])} to {percent(shares['b'])}."
    )


def weight_table(plain: Run, regularised: Run) -> pd.DataFrame:
    """Standard deviation and share near zero of every tensor, without and with L2; a row per tensor."""
    compared = analysis.compare_weights(plain, regularised)
    return pd.DataFrame(
        {
            "std without L2": compared["std", "a"].map("{:.4f}".format),
            "std with L2": compared["std", "b"].map("{:.4f}".format),
            "near zero without L2": compared["near_zero", "a"].map(percent),
            "near zero with L2": compared["near_zero", "b"].map(percent),
        }
    )


def confusion_summary(run: Run, count: int = 3) -> Markdown:
    """The class pairs that are confused most often, and the classes recognised best and worst."""
    mistakes = analysis.mismatches(run)
    if mistakes.empty:
        return Markdown("The network makes no mistake on the test set.")
    most = mistakes.value_counts(["label_name", "predicted_name"]).head(count)
    listed = ", ".join(f"{label} taken for {predicted} ({times})" for (label, predicted), times in most.items())
    by_class = analysis.per_class_accuracy(run)
    return Markdown(
        f"{len(mistakes)} of {len(run.labels)} test images are misclassified. The most frequent confusions are {listed}. "
        f"Recognised best is {by_class.idxmax()} ({percent(by_class.max())}), worst {by_class.idxmin()} "
        f"({percent(by_class.min())})."
    )


def mismatch_change_summary(a: Run, b: Run) -> Markdown:
    """How many mistakes b adds to those of a, how many it removes, and which it adds most often."""
    added, removed = analysis.changed_mismatches(a, b)
    shared = len(analysis.mismatches(a)) - len(removed)
    text = (
        f"Of {len(a.labels)} test images, `{b.name}` misclassifies {len(added)} that `{a.name}` gets right, and gets "
        f"right {len(removed)} that `{a.name}` misclassifies; {shared} are wrong in both."
    )
    kinds = added.value_counts(["label_name", "predicted_name"]).head(3)
    if len(kinds):
        listed = ", ".join(f"{label} taken for {predicted} ({times})" for (label, predicted), times in kinds.items())
        text += f" The kinds of mistake that it adds most often are {listed}."
    return Markdown(text)


def confusion_counts(runs: Sequence[Run], first: int, second: int) -> pd.DataFrame:
    """How often two classes are confused, either way round, beside all mistakes; a row per run."""
    names = analysis.class_names(runs[0])
    one, other = names[first], names[second]
    rows = {}
    for run in runs:
        counts = analysis.confusion(run)
        rows[run.name] = {
            f"{one} taken for {other}": counts.loc[one, other],
            f"{other} taken for {one}": counts.loc[other, one],
            "all mistakes": len(analysis.mismatches(run)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def signed_weight_table(runs: Sequence[Run], parameters: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean, standard deviation, skew and share of negative values of weight tensors, a row per tensor and run."""
    tables = [analysis.weight_statistics(run) for run in runs]
    names = parameters or [name for name in tables[0].index if name.endswith("weight")]
    rows = [
        {
            "weights": name,
            "run": run.name,
            "mean": _signed(table.loc[name, "mean"], 4),
            "std": f"{table.loc[name, 'std']:.4f}",
            "mean / std": _signed(table.loc[name, "mean"] / table.loc[name, "std"], 3),
            "skew": _signed(table.loc[name, "skew"], 2),
            "negative": percent(table.loc[name, "negative"]),
        }
        for name in names
        for run, table in zip(runs, tables, strict=True)
    ]
    frame = pd.DataFrame(rows).set_index("weights")
    return frame.drop(columns="run") if len(runs) == 1 else frame


def setup_table(runs: Sequence[Run]) -> pd.DataFrame:
    """What sets runs apart, and how many parameters they have: a row per run.

    Of the options that all of them share, only lambda and the epochs are shown.
    """
    rows = {}
    for run in runs:
        experiment = run.experiment
        rows[run.name] = {
            "λ": f"{experiment.l2:g}",
            "first kernel": f"{experiment.kernel_size}×{experiment.kernel_size}",
            "width": f"{experiment.width:g}",
            "activation": experiment.activation,
            "pooling": experiment.pooling,
            "augmented": "yes" if experiment.augment else "no",
            "parameters": f"{sum(tensor.numel() for tensor in run.final_weights.values())}",
            "epochs": f"{experiment.epochs:g}",
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    always = ("λ", "parameters", "epochs")
    return frame[[column for column in frame if column in always or frame[column].nunique() > 1]]


def pair_caption(pair: Pair) -> str:
    """The caption of a figure that shows a pair."""
    mismatch, counterpart = pair.mismatch, pair.counterpart
    return (
        f"Left: {example_phrase(mismatch)} Right: {example_phrase(counterpart)} Of all correctly classified images of "
        f"{counterpart.label_name} it is the one whose hidden responses are most like those of the left one "
        f"(cosine {pair.similarity:.2f})."
    )


def example_caption(example: Example) -> str:
    """The caption of a figure that shows one test image."""
    return example_phrase(example).capitalize()


def example_phrase(example: Example) -> str:
    """A sentence on a test image and what the network makes of it."""
    if example.correct:
        verdict = f"classified correctly with probability {example.confidence:.3f}"
    else:
        own = example.probabilities[example.label].item()
        verdict = (
            f"taken for {example.predicted_name} with probability {example.confidence:.3f} "
            f"(of {example.label_name}: {own:.3f})"
        )
    return f"test image {example.index}, of class {example.label_name}, {verdict}."


def pair_table(pairs: list[Pair]) -> pd.DataFrame:
    """The full probability vectors of the images of pairs; a row per class, a column per image."""
    columns = {}
    for example in (example for pair in pairs for example in (pair.mismatch, pair.counterpart)):
        true = "" if example.correct else f" → {example.predicted_name}"
        columns[f"{example.index}: {example.label_name}{true}"] = [f"{p:.4f}" for p in example.probabilities.tolist()]
    return pd.DataFrame(columns)


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{decimals}f} %".replace("-", "−")


def points(difference: float, *, sign: bool = False) -> str:
    """A difference of two shares in percentage points."""
    return f"{100 * difference:{'+' if sign else ''}.2f} points".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value, as one compares it."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
