"""Sentences and small tables of the report whose numbers come from runs, made for the end of a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from IPython.display import Markdown

from hwkit import analysis
from hwkit.analysis import Example, Pair
from hwkit.data import Dataset
from hwkit.datasets import known_facts
from hwkit.formats import duration, mean_and_all, percent, points
from hwkit.runs import Run, Runs, as_list

NAMED_CLASSES = 20  # in a sentence


def data_summary(dataset: Dataset) -> Markdown:
    """What is in a data set and, for the stand-in, that it is one."""
    facts = known_facts(dataset.name)
    kind = "grey" if facts.channels == 1 else "colour"
    more = ", ..." if len(dataset.classes) > NAMED_CLASSES else ""
    text = (
        f"{dataset.title} holds {len(dataset.train_labels)} training and {len(dataset.test_labels)} test images, "
        f"{kind} pictures of {facts.shape[2]}×{facts.shape[1]} pixels in {len(dataset.classes)} classes: "
        f"{', '.join(dataset.classes[:NAMED_CLASSES])}{more}."
    )
    if dataset.source == "stand-in":
        text += (
            f" **These pictures are drawn by hwkit itself and stand in for {facts.title}. "
            "Nothing below is a result on the real data, and none of it is compared with the seed report.**"
        )
    return Markdown(text)


def training_summary(run: Run) -> Markdown:
    """How a run was trained and what came of it."""
    experiment, metrics, environment = run.experiment, run.metrics, run.environment
    low, high = analysis.accuracy_interval(run)
    train = analysis.train_correct(run)
    train_accuracy = train.double().mean().item()
    rate = f"{experiment.learning_rate:g}"
    schedule = f"a learning rate of {rate}" if experiment.schedule == "constant" else f"a one-cycle rate up to {rate}"
    penalty = f", λ = {experiment.l2:g}" if experiment.l2 else ""
    return Markdown(
        f"Trained for {metrics['iterations']} iterations with batches of {experiment.batch_size} and {schedule}"
        f"{penalty}, in {duration(metrics['seconds'])} on {environment['device_name']} ({environment['precision']}). "
        f"Of the {metrics['test_images']} test images this network classifies **{percent(run.test_accuracy, 2)}** "
        f"correctly (sampling of the images alone gives {percent(low, 2)} to {percent(high, 2)}), and of the "
        f"{len(train)} training images, unaugmented, {percent(train_accuracy, 2)}: a gap of "
        f"{points(train_accuracy - run.test_accuracy)}."
    )


def weights_summary(plain: Runs, regularised: Runs) -> Markdown:
    """In how many weight tensors L2 made the distribution narrower and put more weights near zero, in the mean."""
    compared = _mean_over_seeds(plain, regularised)
    weights: Any = compared[compared.index.str.endswith("weight")]
    narrower = int((weights["std", "b"] < weights["std", "a"]).sum())
    sparser = int((weights["near_zero", "b"] > weights["near_zero", "a"]).sum())
    strongest = (weights["near_zero", "b"] - weights["near_zero", "a"]).idxmax()
    shares = weights.loc[strongest, "near_zero"]
    return Markdown(
        f"With λ = {as_list(regularised)[0].experiment.l2:g} the distribution is narrower in {narrower} of "
        f"{len(weights)} weight tensors, and the share of weights within ±{analysis.NEAR_ZERO:g} of zero is larger in "
        f"{sparser}. It grows most in `{strongest}`: from {percent(shares['a'])} to {percent(shares['b'])}."
    )


def weight_table(plain: Runs, regularised: Runs) -> pd.DataFrame:
    """Standard deviation and share near zero of every tensor, without and with L2, in the mean; a row per tensor."""
    compared = _mean_over_seeds(plain, regularised)
    return pd.DataFrame(
        {
            "std without L2": compared["std", "a"].map("{:.4f}".format),
            "std with L2": compared["std", "b"].map("{:.4f}".format),
            "near zero without L2": compared["near_zero", "a"].map(percent),
            "near zero with L2": compared["near_zero", "b"].map(percent),
        }
    )


def _mean_over_seeds(plain: Runs, regularised: Runs) -> Any:
    """The rows of `analysis.compare_weights`, averaged over seeds."""
    pairs = zip(as_list(plain), as_list(regularised), strict=True)
    return pd.concat([analysis.compare_weights(*pair) for pair in pairs]).groupby(level=0, sort=False).mean()


def confusion_summary(run: Run, count: int = 3) -> Markdown:
    """The class pairs that are confused most often, and the classes recognised best and worst."""
    mistakes = analysis.misclassified(run)
    if mistakes.empty:
        return Markdown("The network makes no mistake on the test set.")
    most: Any = mistakes.value_counts(["label_name", "predicted_name"]).head(count)
    listed = ", ".join(f"{label} taken for {predicted} ({times})" for (label, predicted), times in most.items())
    by_class = analysis.per_class_accuracy(run)
    return Markdown(
        f"{len(mistakes)} of {len(run.labels)} test images are misclassified. "
        f"The most frequent confusions are {listed}. "
        f"Recognised best is {by_class.idxmax()} ({percent(by_class.max())}), worst {by_class.idxmin()} "
        f"({percent(by_class.min())})."
    )


def misclassified_by_one_summary(a: Runs, b: Runs) -> Markdown:
    """How many misclassified images b adds to those of a and how many it removes, and which it adds most often."""
    a, b = as_list(a), as_list(b)
    changes = [analysis.misclassified_by_one(*pair) for pair in zip(a, b, strict=True)]
    added, removed = ([len(change[side]) for change in changes] for side in (0, 1))
    shared = [len(analysis.misclassified(run)) - count for run, count in zip(a, removed, strict=True)]
    text = (
        f"Of {len(a[0].labels)} test images, `{b[0].name}` misclassifies {mean_and_all(added)} that `{a[0].name}` "
        f"classifies correctly, and classifies correctly {mean_and_all(removed)} that `{a[0].name}` misclassifies; "
        f"{mean_and_all(shared)} are misclassified by both."
    )
    kinds: Any = pd.concat([change[0] for change in changes]).value_counts(["label_name", "predicted_name"]).head(3)
    if len(kinds):
        listed = ", ".join(
            f"{label} taken for {predicted} ({count / len(a):.3g})" for (label, predicted), count in kinds.items()
        )
        text += f" The kinds that it adds most often are {listed}."
    return Markdown(text)


def confusion_counts(runs: Sequence[Runs], first: int, second: int) -> pd.DataFrame:
    """How often two classes are confused, either way round, beside all misclassified images; a row per recipe.

    Of several seeds there is the mean and, in brackets, the count of each.
    """
    groups = [as_list(group) for group in runs]
    names = analysis.class_names(groups[0][0])
    one, other = names[first], names[second]
    rows = {}
    for group in groups:
        counts = [analysis.confusion(run) for run in group]
        rows[group[0].name] = {
            f"{one} taken for {other}": mean_and_all([count.loc[one, other] for count in counts]),
            f"{other} taken for {one}": mean_and_all([count.loc[other, one] for count in counts]),
            "all misclassified": mean_and_all([len(analysis.misclassified(run)) for run in group]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def signed_weight_table(runs: Sequence[Runs], parameters: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean, standard deviation, skew and share of negative values of weight tensors, a row per tensor and recipe.

    Of several seeds these are means over the seeds.
    """
    groups = [as_list(group) for group in runs]
    tables: list[Any] = [
        pd.concat([analysis.weight_statistics(run) for run in group]).groupby(level=0, sort=False).mean()
        for group in groups
    ]
    names = parameters or [name for name in tables[0].index if name.endswith("weight")]
    rows = [
        {
            "weights": name,
            "run": group[0].name,
            "mean": _signed(table.loc[name, "mean"], 4),
            "std": f"{table.loc[name, 'std']:.4f}",
            "mean / std": _signed(table.loc[name, "mean"] / table.loc[name, "std"], 3),
            "skew": _signed(table.loc[name, "skew"], 2),
            "negative": percent(table.loc[name, "negative"]),
        }
        for name in names
        for group, table in zip(groups, tables, strict=True)
    ]
    frame = pd.DataFrame(rows).set_index("weights")
    return frame.drop(columns="run") if len(groups) == 1 else frame


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
    frame: Any = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    always = ("λ", "parameters", "epochs")
    return frame[[column for column in frame if column in always or frame[column].nunique() > 1]]


def pair_caption(pair: Pair) -> str:
    """The caption of a figure that shows a pair."""
    misclassified, counterpart = pair.misclassified, pair.counterpart
    return (
        f"Left: {example_phrase(misclassified)} Right: {example_phrase(counterpart)} "
        f"Cosine of their hidden responses: {pair.similarity:.2f}."
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


def pair_table(run: Run, pairs: list[Pair]) -> pd.DataFrame:
    """The full probability vectors of the images of pairs of a run; a row per class, a column per image."""
    columns = {}
    for example in (example for pair in pairs for example in (pair.misclassified, pair.counterpart)):
        true = "" if example.correct else f" → {example.predicted_name}"
        columns[f"{example.index}: {example.label_name}{true}"] = [f"{p:.4f}" for p in example.probabilities.tolist()]
    return pd.DataFrame(columns, index=pd.Index(analysis.class_names(run), name="class"))


# --- Numbers ----------------------------------------------------------------------------------------------------


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")
