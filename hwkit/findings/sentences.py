"""Sentences and small tables of the report whose numbers come from runs, made for the end of a notebook cell."""

from __future__ import annotations

import colorsys
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import Markdown
from torch import Tensor, nn

from hwkit import analysis, data
from hwkit.analysis import Example, Pair
from hwkit.data import Dataset
from hwkit.datasets import known_facts
from hwkit.errors import RunError
from hwkit.formats import capitalised, enumerated, in_words, percent, probability
from hwkit.runs import Run, Runs, as_list

NAMED_CLASSES = 20  # in a sentence
SAME_LOGITS = (
    1e-3  # how far logits of the same network may lie apart, relative to the largest: in another order of sums
)


def data_summary(dataset: Dataset) -> Markdown:
    """What is in a data set and, for the stand-in, that it is one."""
    facts = known_facts(dataset.name)
    kind = "grey" if facts.channels == 1 else "colour"
    more = ", ..." if len(dataset.classes) > NAMED_CLASSES else ""
    text = (
        f"{dataset.title} holds {len(dataset.train_labels):,} training and {len(dataset.test_labels):,} test images, "
        f"{kind} pictures of {facts.shape[2]}×{facts.shape[1]} pixels in {len(dataset.classes)} classes: "
        f"{', '.join(dataset.classes[:NAMED_CLASSES])}{more}."
    )
    if dataset.source == "stand-in":
        text += (
            f" **These pictures are drawn by hwkit itself and stand in for {facts.title}. "
            "Nothing below is a result on the real data, and none of it is compared with the reference report.**"
        )
    return Markdown(text)


def network_check(network: nn.Module, run: Run) -> Markdown:
    """That a network written out in a notebook is the one that was trained: with its weights it gives its logits.

    Raises
    ------
    RunError
        If it is not.
    """
    difference = analysis.difference_of_logits(network, run)
    if not difference < SAME_LOGITS:
        raise RunError(
            f"with the weights of {run.name} this network gives other logits, by {difference:.2g} of the largest; "
            "its layers, their order or their options are not those that were trained"
        )
    return Markdown(
        f"This is the network that was trained: with the weights of the stored run, the class gives that run's "
        f"logits, {'up to rounding' if difference else 'bit for bit'}."
    )


def set_apart(plain: Run, regularised: Run) -> Markdown:
    """What two runs differ in beside lambda."""
    fields = {"initialisation": "initial weights", "batch_size": "batch size", "learning_rate": "learning rate"}
    fields |= {"schedule": "schedule of the learning rate", "epochs": "number of epochs", "optimizer": "optimiser"}
    fields |= {"seed": "random seed", "dropout": "dropout"}
    found = [words for field, words in fields.items() if _differ(plain, regularised, field)]
    if found:
        return Markdown(
            f"Beside λ, the two trainings differ in their {enumerated(found)}, as they did in the reference report, so "
            "that a difference between them cannot be put down to the penalty alone."
        )
    return Markdown("Both start from the same weights and see the same batches, so that λ is all that sets them apart.")


def _differ(a: Run, b: Run, field: str) -> bool:
    return getattr(a.experiment, field) != getattr(b.experiment, field)


def penalty_step(run: Run, known: str = "") -> Markdown:
    """What a step of the run's optimiser makes of the gradient of the penalty, unless that optimiser is `known`."""
    if known and run.experiment.optimizer == known:
        return Markdown("The optimiser is the same as before, and so is what it makes of the penalty's gradient.")
    return Markdown(PENALTY_STEPS.get(run.experiment.optimizer, PENALTY_STEPS["sgd"]))


PENALTY_STEPS = {
    "adam": (
        "What becomes of that gradient in a step depends on the optimiser. Adam divides the gradient of each weight by "
        "the root of its recent mean square, and $\\lambda w$ is part of what is divided and of what it is divided by. "
        "A weight that the loss hardly asks for, such as one behind a pixel that is always blank, has little more than "
        "$\\lambda w$ for a gradient; rescaled, that is nearly a full step towards zero, however small λ is. A weight "
        "with large gradients feels almost nothing of the penalty. This is not weight decay, which would take the same "
        "fraction off every weight at every step [@loshchilov2019]."
    ),
    "muon": (
        "Here the optimiser is Muon, which takes the momentum of a whole weight matrix and makes it orthogonal before "
        "the step, so that every direction of the matrix moves equally far [@jordan2024muon]. The penalty is in "
        "that momentum. It cannot make a step longer, it can only turn it: directions in which the loss is nearly flat "
        "are pulled towards zero at full speed, and those that the loss insists on are left alone. Only the last layer "
        "and the biases are left to Adam, and of these only the last layer's weights carry the penalty."
    ),
    "sgd": "Each step then takes the learning rate times λ, as a fraction, off every weight.",
}


def curves_summary(plain: Run, regularised: Run) -> Markdown:
    """What the learning curves and accuracy curves of two runs show, in words."""
    first, last = (_ends_of(run) for run in (plain, regularised))
    penalty = float(regularised.record["penalty"].iloc[-1])
    fraction = penalty / (penalty + last[1])
    reached = _first_reach(plain, 0.9 * plain.test_accuracy)
    return Markdown(
        f"Without the penalty the cross-entropy falls from {first[0]:.3g} to {first[1]:.3g}, the mean of the last "
        f"tenth of the readings; with it, to {last[1]:.3g}, and the penalty at the end adds {penalty:.3g}, "
        f"{percent(fraction, 0)} of what is minimised. Nine tenths of the final test accuracy are reached after "
        f"{reached:.2g} of {plain.experiment.epochs:g} epochs."
    )


def _ends_of(run: Run) -> tuple[float, float]:
    """Cross-entropy at the first reading and in the mean of the last tenth."""
    values: Any = run.record["loss"] - run.record["penalty"]
    return float(values.iloc[0]), float(values.tail(max(3, len(values) // 10)).mean())


def _first_reach(run: Run, accuracy: float) -> float:
    """The epoch of the first of three readings of test accuracy in a row whose mean is as high as that."""
    means: Any = run.record["test_accuracy"].rolling(3, min_periods=1).mean()
    return float(run.record["epoch"].to_numpy()[int((means >= accuracy).to_numpy().argmax())])


def weights_summary(plain: Runs, regularised: Runs) -> Markdown:
    """What training does to the spread of the weight tensors, and what L2 does to it and to the weights near zero."""
    table = _weights(plain, regularised)
    growth = table["std", "plain"] / table["std", "initial"]
    shrinkage = table["std", "l2"] / table["std", "plain"]
    grown, narrower = growth[growth > 1], shrinkage[shrinkage < 1]
    if grown.empty:
        training = "no weight tensor grows wider than it began"
    else:
        training = (
            f"{_all_of(grown.index, len(table), 'grow')} wider than at the start, "
            f"`{growth.idxmax()}` most, {growth.max():.2g} times"
        )
    if narrower.empty:
        penalty = "With the penalty none of them ends narrower than without"
    else:
        spread = table.loc[shrinkage.idxmin(), "std"]
        penalty = (
            f"With the penalty {_all_of(narrower.index, len(table), 'end')} narrower than without, "
            f"`{shrinkage.idxmin()}` most: a standard deviation of {spread['l2']:.2g} in place "
            f"of {spread['plain']:.2g}"
        )
    return Markdown(f"Without the penalty, {training}. {penalty}. {_sparser(table)}")


def _sparser(table: Any) -> str:
    """What L2 does to the fraction of weights near zero, and whether that is more than narrowing."""
    gain = (table["near_zero", "l2"] - table["near_zero", "plain"]).idxmax()
    near, relative = table.loc[gain, "near_zero"], table.loc[gain, "near_zero_relative"]
    if near["l2"] <= near["plain"]:
        return f"In none do more weights lie within ±{analysis.NEAR_ZERO:g} of zero."
    if relative["l2"] > 2 * relative["plain"]:
        moral = "the weights part into many that do next to nothing and a few that are needed"
    elif relative["l2"] > 1.25 * relative["plain"]:
        moral = "so the distribution has not only become narrower, but denser in its middle"
    else:
        moral = "so the distribution has become narrower, but hardly another shape"
    return (
        f"The fraction within ±{analysis.NEAR_ZERO:g} of zero rises most in `{gain}`, from {percent(near['plain'])} to "
        f"{percent(near['l2'])}. Within a tenth of the tensor's own standard deviation, where a normal distribution "
        f"has 8 %, lie {percent(relative['plain'])} without and {percent(relative['l2'])} with the penalty; {moral}."
    )


def _all_of(names: Sequence[str], count: int, verb: str) -> str:
    """A phrase that says of some of `count` weight tensors what they do."""
    if len(names) == count:
        return f"all weight tensors {verb}"
    if len(names) > 3:
        return f"{in_words(len(names))} of {in_words(count)} weight tensors {verb}"
    return f"{enumerated([f'`{name}`' for name in names])} {verb}{'s' if len(names) == 1 else ''}"


def dead_units_summary(plain: Run, regularised: Run, images: int = 2000) -> Markdown:
    """How many units of the hidden layers never respond, without and with L2."""
    shown = analysis.test_images(plain)[:images]
    a, b = (analysis.dead_units(run, shown).to_dict("index") for run in (plain, regularised))
    counts = [
        f"{a[name]['dead']} and {b[name]['dead']} of the {a[name]['units']} of `{name}`"
        for name in a
        if a[name]["dead"] or b[name]["dead"]
    ]
    if not counts:
        return Markdown(
            f"No unit is dead: in both networks each one responds differently to some of the first {len(shown):,} test "
            "images."
        )
    rest = "." if len(counts) == len(a) else "; in the other hidden layers there are none."
    return Markdown(
        f"A unit is dead if its response is the same to every image. Without and with the penalty, judged on the first "
        f"{len(shown):,} test images, these are {enumerated(counts)}{rest}"
    )


def weight_table(plain: Runs, regularised: Runs) -> pd.DataFrame:
    """Spread and fractions near zero of every weight tensor, in the mean over seeds; a row per tensor."""
    table = _weights(plain, regularised)
    near = f"within ±{analysis.NEAR_ZERO:g}"
    columns: dict[str, Any] = {
        "σ initial": table["std", "initial"].map("{:.4f}".format),
        "σ without": table["std", "plain"].map("{:.4f}".format),
        "σ with": table["std", "l2"].map("{:.4f}".format),
        f"{near} without": table["near_zero", "plain"].map(percent),
        f"{near} with": table["near_zero", "l2"].map(percent),
        "within ±σ/10 without": table["near_zero_relative", "plain"].map(percent),
        "within ±σ/10 with": table["near_zero_relative", "l2"].map(percent),
    }
    return pd.DataFrame(columns)


def _weights(plain: Runs, regularised: Runs) -> Any:
    """Statistics of the weight tensors that are initial, trained, and trained with L2, averaged over seeds.

    Columns are (statistic, "initial", "plain" or "l2").
    """
    plain, regularised = as_list(plain), as_list(regularised)
    names = analysis.weight_names(plain[0])
    sources = {
        "initial": [run.initial_weights for run in plain],
        "plain": [run.final_weights for run in plain],
        "l2": [run.final_weights for run in regularised],
    }
    tables: dict[str, Any] = {
        source: pd.concat([analysis.weight_statistics(one) for one in weights]).groupby(level=0, sort=False).mean()
        for source, weights in sources.items()
    }
    return pd.concat(tables, axis="columns").swaplevel(axis="columns").loc[names]


def label_errors(run: Run, count: int) -> Markdown:
    """That some of the `count` most confidently misclassified images have a wrong label, where that is known."""
    experiment = run.experiment
    if experiment.data != "real" or experiment.holdout:
        return Markdown("")
    texts = []
    for place, row in enumerate(analysis.misclassified(run).head(count).to_dict("records")):
        truth = analysis.LABEL_ERRORS.get((experiment.dataset, row["index"]))
        if truth is None:
            continue
        agrees = (
            "which is what the network says: the mistake is the label's"
            if row["predicted_name"] == truth
            else f"which is not what the network says, either: {row['predicted_name']}"
        )
        texts.append(
            f"{'The first' if place == 0 else f'Number {place + 1}'} of them, test image {row['index']}, is labelled "
            f"{row['label_name']} and shows a {truth}, {agrees}. Such errors are known in the test sets of most "
            "benchmarks [@northcutt2021], and bound the accuracy that can be reached."
        )
    return Markdown(" ".join(texts))


def confusion_summary(run: Run, count: int = 3) -> Markdown:
    """The class pairs that are confused most often, and the classes recognised best and worst."""
    mistakes = analysis.misclassified(run)
    if mistakes.empty:
        return Markdown("The network misclassifies no test image.")
    most: Any = mistakes.value_counts(["label_name", "predicted_name"]).head(count)
    listed = enumerated([f"{label} as {predicted} ({times})" for (label, predicted), times in most.items()])
    return Markdown(
        f"Of {len(run.labels):,} test images {len(mistakes):,} are misclassified, most often {listed}: together these "
        f"are {percent(int(most.sum()) / len(mistakes), 0)} of them."
    )


# The classes of CIFAR-10 by kind.
KINDS = {"animal": (2, 3, 4, 5, 6, 7), "vehicle": (0, 1, 8, 9)}


def kinds_summary(run: Run) -> Markdown:
    """How many of the images of CIFAR-10 that are misclassified stay within animals or vehicles, and the worst pair."""
    rows = analysis.misclassified(run)
    if run.experiment.data != "real" or rows.empty:
        return confusion_summary(run)
    kind = {label: name for name, labels in KINDS.items() for label in labels}
    labels, predictions = rows["label"].tolist(), rows["predicted"].tolist()
    fraction = fmean(kind[label] == kind[found] for label, found in zip(labels, predictions, strict=True))
    guessed = fmean((len(KINDS[kind[label]]) - 1) / 9 for label in labels)  # over the nine other classes, evenly
    (label, predicted), times = Counter(zip(rows["label_name"], rows["predicted_name"], strict=True)).most_common(1)[0]
    back = int(((rows["label_name"] == predicted) & (rows["predicted_name"] == label)).sum())
    return Markdown(
        f"Of {len(rows):,} misclassified test images {percent(fraction, 0)} stay within animals or within vehicles; "
        f"evenly spread over the other classes it would be {percent(guessed, 0)}. The most frequent confusion is "
        f"{label} as {predicted}, {times} times, and {back} the other way round."
    )


def class_summary(plain: Runs, regularised: Runs) -> Markdown:
    """In which classes L2 raises and in which it lowers the accuracy most, in the mean over seeds."""
    a, b = (
        pd.DataFrame([analysis.per_class_accuracy(run) for run in as_list(runs)]).mean().dropna()
        for runs in (plain, regularised)
    )
    change = b - a
    phrases = []
    for name, verb, sign in ((change.idxmax(), "rises", 1), (change.idxmin(), "falls", -1)):
        before, after = float(a.loc[name]), float(b.loc[name])  # pyright: ignore[reportArgumentType]
        if sign * (after - before) > 0:
            phrases.append(f"{verb} most for {name} ({percent(before)} to {percent(after)})")
    return Markdown(
        f"With the penalty the easiest class is {b.idxmax()} ({percent(b.max())}) and the hardest {b.idxmin()} "
        f"({percent(b.min())}). Compared with the network without it, the accuracy is higher in "
        f"{in_words(int((change > 0).sum()))} of {in_words(len(change))} classes"
        + (f"; it {enumerated(phrases)}." if phrases else ".")
    )


def confidence_table(groups: Mapping[str, Sequence[analysis.Predicted]]) -> pd.DataFrame:
    """Accuracy, mean confidence, calibration error and log-likelihood, in the mean of each group; a row per group."""
    rows = {}
    for name, found in groups.items():
        confidences = [analysis.probabilities(one).double().amax(dim=1).mean().item() for one in found]
        accuracies = [analysis.correct(one).double().mean().item() for one in found]
        rows[name] = {
            "accuracy": percent(fmean(accuracies)),
            "mean confidence": percent(fmean(confidences)),
            "calibration error (points)": f"{100 * fmean(map(analysis.expected_calibration_error, found)):.1f}",
            "negative log-likelihood": f"{fmean(map(analysis.log_loss, found)):.3f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def confidence_groups(plain: Runs, regularised: Runs) -> dict[str, list[analysis.Predicted]]:
    """What confidence is compared of: networks without and with L2 and, of several seeds, the ensembles of each."""
    a, b = as_list(plain), as_list(regularised)
    groups: dict[str, list[analysis.Predicted]] = {"without L2": [*a], "with L2": [*b]}
    for runs, how in ((a, "without L2"), (b, "with L2")):
        if len(runs) > 1:
            name = f"ensemble of {len(runs)} {how}"
            groups[name] = [analysis.ensemble(runs, name)]
    return groups


def confidence_summary(plain: Runs, regularised: Runs) -> Markdown:
    """Whether the networks are too confident, and what L2 and the ensemble of the seeds do to it."""
    a, b = as_list(plain), as_list(regularised)
    excess = [
        fmean(analysis.probabilities(run).amax(dim=1).mean().item() - run.test_accuracy for run in runs)
        for runs in (a, b)
    ]
    errors = [fmean(map(analysis.expected_calibration_error, runs)) for runs in (a, b)]
    losses = [fmean(map(analysis.log_loss, runs)) for runs in (a, b)]
    sides = [f"{_points(abs(one))} {'above' if one > 0 else 'below'}" for one in excess]
    promise = {2: "both promise more than they keep", 1: "one is too confident, the other too careful"}
    text = (
        f"The mean confidence without the penalty lies {sides[0]} the accuracy, and with it {sides[1]}: "
        f"{promise.get(sum(one > 0 for one in excess), 'both are too careful')}. The penalty takes the calibration "
        f"error from {100 * errors[0]:.1f} to {_points(errors[1])} and the negative log-likelihood from "
        f"{losses[0]:.3g} to {losses[1]:.3g}."
    )
    if len(a) > 1:
        both = analysis.ensemble(a)
        accuracy = analysis.correct(both).double().mean().item()
        text += (
            f" One answer from the {in_words(len(a))} seeds without the penalty, the mean of their probabilities, has "
            f"an accuracy of {percent(accuracy)}, a negative log-likelihood of {analysis.log_loss(both):.3g} and a "
            f"calibration error of {_points(analysis.expected_calibration_error(both))}."
        )
    return Markdown(text)


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f} points"


def embedding_summary(run: Run) -> Markdown:
    """Which two classes lie nearest to each other in what the last layer is given, and which are confused most."""
    features = F.normalize(analysis.last_layer_inputs(run, analysis.test_images(run)), dim=1)
    names, there = analysis.class_names(run), run.labels.unique().tolist()
    means = F.normalize(torch.stack([features[run.labels == label].mean(dim=0) for label in there]), dim=1)
    cosines = (means @ means.T).fill_diagonal_(-1)
    near = sorted(there[place] for place in divmod(int(cosines.argmax()), len(there)))
    counts = analysis.confusion(run).to_numpy()
    either = counts + counts.T
    confused = sorted(divmod(int((either - np.diag(either.diagonal())).argmax()), len(names)))
    first, second = (f"{names[one]} and {names[other]}" for one, other in (near, confused))
    agrees = (
        "and these are also confused most often"
        if near == confused
        else f"and yet {second} are confused most often, {either[tuple(confused)]} times against {either[tuple(near)]}"
    )
    return Markdown(
        f"In all dimensions, the two classes whose mean directions are nearest are {first} (cosine "
        f"{cosines.max():.2f}), {agrees}."
    )


def filters_summary(run: Run) -> Markdown:
    """How unequal the filters of the first layer are and, of colour images, how many look for brightness."""
    name = analysis.weight_names(run)[0]
    filters = run.final_weights[name].double().flatten(2)  # (filters, channels, places)
    norms = filters.square().sum(dim=(1, 2)).sqrt()
    weak = int((norms < norms.max() / 4).sum())
    text = (
        f"The norms of the {len(norms)} filters range from {norms.min():.2g} to {norms.max():.2g}; "
        f"{in_words(weak) if weak else 'none'} of them {'are' if weak > 1 else 'is'} weaker than a quarter of the "
        "strongest."
    )
    if filters.shape[1] == 3:
        grey = filters.mean(dim=1, keepdim=True).expand_as(filters).square().sum(dim=(1, 2)) / norms.square()
        text += (
            f" In {int((grey > 0.5).sum())} the three colours mostly agree, so that they respond to brightness; the "
            "others set one colour against another."
        )
    return Markdown(text)


def saliency_summary(run: Run, shown: Example) -> Markdown:
    """Where the saliency of an image's predicted class lies, and how much it is that of its true class."""
    inputs = data.normalise(shown.image.unsqueeze(0), run.experiment.dataset)
    model = run.model()
    maps = [analysis.saliency(model, inputs, label) for label in (shown.predicted, shown.label)]
    height, width = maps[0].shape
    inner = maps[0][height // 4 : height - height // 4, width // 4 : width - width // 4]
    middle = (inner.sum() / maps[0].sum()).item()
    alike = torch.corrcoef(torch.stack([one.flatten() for one in maps]))[0, 1].item()
    where = (
        "so what stands in the middle counts for more than its surroundings"
        if middle > 0.3
        else "no more than its area, so the surroundings count as much as what stands in the middle"
    )
    both = (
        "so it is largely the same pixels that decide for or against either class"
        if alike > 0.5
        else "so each class has pixels of its own"
    )
    return Markdown(
        f"The central quarter of the image has {percent(middle, 0)} of the saliency for {shown.predicted_name}, "
        f"{where}. Between the two maps the correlation is {alike:.2f}, {both}."
    )


def pair_caption(pair: Pair) -> str:
    """The caption of a figure that shows a pair."""
    return f"Left: {example_phrase(pair.misclassified)} Right: {example_phrase(pair.counterpart)}"


def example_caption(*examples: Example) -> str:
    """The caption of a figure that shows test images."""
    text = " ".join(example_phrase(example) for example in examples)
    return capitalised(text)


def example_phrase(example: Example) -> str:
    """A sentence on a test image and what the network makes of it."""
    if example.correct:
        verdict = f"classified correctly with probability {probability(example.confidence)}"
    else:
        own = example.probabilities[example.label].item()
        verdict = (
            f"misclassified as {example.predicted_name} with probability {probability(example.confidence)} "
            f"({example.label_name}: {probability(own)})"
        )
    return f"test image {example.index}, of class {example.label_name}, {verdict}."


# The pairs that the reference report shows, by true and predicted class.
REFERENCE_PAIRS = {"mnist": ((5, 3), (3, 7), (0, 6)), "cifar10": ((0, 7),)}


def reference_pairs(run: Run) -> tuple[tuple[int, int], ...]:
    """The confusions, by true and predicted class, of which the reference report shows a pair; none of other data."""
    return REFERENCE_PAIRS.get(run.experiment.dataset, ()) if run.experiment.data == "real" else ()


def pair_reading(run: Run, pair: Pair, other: Run, *, reference: bool = True) -> Markdown:
    """What the two images of a pair share, where the layers part with the true class, and what another run says.

    Parameters
    ----------
    other : the same network without L2.
    reference : whether to say that the reference report shows such a pair, too.
    """
    shown, own, taken = pair.misclassified, pair.misclassified.label_name, pair.misclassified.predicted_name
    known = reference and (shown.label, shown.predicted) in reference_pairs(run)
    parts = [
        f"**{own} → {taken}**" + (", a pair of the reference report, too." if known else "."),
        shared_pixels(pair),
        _layers_reading(analysis.sides(run, shown), own, taken),
        _other_reading(other, shown),
    ]
    return Markdown(" ".join(filter(None, parts)))


def _layers_reading(places: pd.Series, own: str, taken: str) -> str:
    """A sentence on what `analysis.sides` gives."""
    if places.empty:
        return ""
    names, values = [str(name) for name in places.index], places.tolist()
    first = next((place for place, value in enumerate(values) if value >= 0.5), None)
    lowest = names[int(np.argmin(values))]
    if values[-1] < 0.5:
        moral = f"the hidden layers leave it on the side of {own}, and only the last one decides for {taken}"
    elif first == 0 and lowest == "pixels":
        moral = f"its pixels alone are nearer to {taken}, and every layer takes it further"
    elif first == 0:
        moral = (
            f"its pixels alone are nearer to {taken}, and the furthest that a layer brings it back is {min(values):.2f}"
        )
    else:
        moral = f"`{names[first or 0]}` is the first layer that has it nearer to {taken}"
    return (
        f"Between the average {own} (0) and the average {taken} (1), the misclassified image lies at {values[0]:.2f} "
        f"in its pixels and at {values[-1]:.2f} after `{names[-1]}`: {moral}."
    ).replace(" -", " −")


def _other_reading(other: Run, shown: Example) -> str:
    probabilities = other.logits[shown.index].softmax(dim=0)
    found = int(probabilities.argmax())
    value = probability(probabilities[found].item())
    if found == shown.label:
        return f"Without the penalty the network classifies it correctly ({value})."
    if found == shown.predicted:
        return f"Without the penalty the answer is the same ({value})."
    return f"Without the penalty the answer is another, {analysis.class_names(other)[found]} ({value})."


def shared_pixels(pair: Pair) -> str:
    """What the two images of a pair have in common as pictures: ink and where it is, or colours of middle and edge."""
    a, b = (example.image.double() / 255 for example in (pair.misclassified, pair.counterpart))
    if len(a) == 1:
        return _shared_ink(a[0], b[0], pair.misclassified.label_name, pair.counterpart.label_name)
    return _shared_colours(a, b, pair.misclassified.label_name, pair.counterpart.label_name)


def _shared_ink(a: Tensor, b: Tensor, own: str, taken: str) -> str:
    both, only_a, only_b = torch.minimum(a, b), (a - b).clamp_min(0), (b - a).clamp_min(0)
    overlap = (both.sum() / torch.maximum(a, b).sum().clamp_min(1e-9)).item()
    where = [_densest(part) for part in (both, only_a, only_b)]
    apart = (
        f"what only one of them has lies mostly {where[1]}"
        if where[1] == where[2]
        else f"what only the {own} has lies mostly {where[1]}, what only the {taken} has {where[2]}"
    )
    return f"They share {percent(overlap, 0)} of their ink, most of it {where[0]}; {apart}."


def _densest(ink: Tensor) -> str:
    """The part of an image, float (H, W), of three by three, that has most ink."""
    total = F.adaptive_avg_pool2d(ink[None], 3)[0]
    row, column = divmod(int(total.argmax()), 3)
    if (row, column) == (1, 1):
        return "in the middle"
    return f"at the {' '.join(filter(None, [('top', '', 'bottom')[row], ('left', '', 'right')[column]]))}"


def _shared_colours(a: Tensor, b: Tensor, own: str, taken: str) -> str:
    height, width = a.shape[1:]
    middle = torch.zeros(height, width, dtype=torch.bool)
    middle[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    edge = torch.ones_like(middle)
    edge[height // 8 : height - height // 8, width // 8 : width - width // 8] = False
    names = {
        place: [colour_name(image[:, mask].mean(dim=1).tolist()) for image in (a, b)]
        for place, mask in (("in the middle", middle), ("along the edge", edge))
    }
    same = [f"{found[0]} {place}" for place, found in names.items() if found[0] == found[1]]
    apart = [
        f"{place} the {own} is {found[0]} and the {taken} {found[1]}"
        for place, found in names.items()
        if found[0] != found[1]
    ]
    if len(same) == 2 and len({*names["in the middle"], *names["along the edge"]}) == 1:
        same = [f"{names['in the middle'][0]} throughout"]
    shared = f"In the mean both are {enumerated(same)}" if same else "In the mean their colours differ"
    if apart:
        shared += f"{';' if same else ':'} {', and '.join(apart)}"
    light = torch.corrcoef(torch.stack([image.mean(dim=0).flatten() for image in (a, b)]))[0, 1].item()
    if math.isnan(light):
        return f"{shared}."
    pattern = "alike" if light > 0.5 else "somewhat alike" if light > 0.2 else "not alike"
    return f"{shared}. Their patterns of light and dark are {pattern} (correlation {_signed(light, 2)})."


def colour_name(colour: Sequence[float]) -> str:
    """A word for a colour, red, green and blue from 0 to 1.

    >>> [colour_name(one) for one in ((0.5, 0.5, 0.52), (0.2, 0.3, 0.7), (0.4, 0.3, 0.2))]
    ['grey', 'blue', 'brown']
    """
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    if value < 0.2:
        return "nearly black"
    if saturation < 0.15:
        return (
            "nearly white" if value > 0.85 else "light grey" if value > 0.65 else "grey" if value > 0.4 else "dark grey"
        )
    degrees = 360 * hue
    names = (
        (20, "red"),
        (50, "orange"),
        (70, "yellow"),
        (165, "green"),
        (200, "turquoise"),
        (265, "blue"),
        (330, "purple"),
    )
    name = next((name for end, name in names if degrees < end), "red")
    if name in ("red", "orange") and (saturation < 0.6 or value < 0.6):
        name = "brown"
    return f"{'pale ' if saturation < 0.3 and value > 0.6 else 'dark ' if value < 0.4 else ''}{name}"


# --- Numbers ----------------------------------------------------------------------------------------------------


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")
