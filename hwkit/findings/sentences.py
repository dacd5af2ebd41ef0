"""Sentences and small tables of the report whose numbers come from runs, made for the end of a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pandas as pd
from IPython.display import Markdown

from hwkit import analysis
from hwkit.analysis import Example, Pair
from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters import tensorflow_graph
from hwkit.chapters.penalty_bug import PenaltyRun
from hwkit.data import Dataset
from hwkit.datasets import known_facts
from hwkit.findings.reference import result_row
from hwkit.findings.verdicts import Claim, Conclusion, conclude, finding, of_numbers
from hwkit.formats import duration, mean_and_all, percent, points
from hwkit.runs import Run, Runs, as_list


def data_summary(dataset: Dataset) -> Markdown:
    """What is in a data set and, for the stand-in, that it is one."""
    facts = known_facts(dataset.name)
    kind = "grey" if facts.channels == 1 else "colour"
    text = (
        f"{dataset.title} holds {len(dataset.train_labels)} training and {len(dataset.test_labels)} test images, "
        f"{kind} pictures of {facts.shape[2]}×{facts.shape[1]} pixels in {len(dataset.classes)} classes: "
        f"{', '.join(dataset.classes)}."
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
    weights = compared[compared.index.str.endswith("weight")]
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


def _mean_over_seeds(plain: Runs, regularised: Runs) -> pd.DataFrame:
    """The rows of `analysis.compare_weights`, averaged over seeds."""
    pairs = zip(as_list(plain), as_list(regularised), strict=True)
    return pd.concat([analysis.compare_weights(*pair) for pair in pairs]).groupby(level=0, sort=False).mean()


def confusion_summary(run: Run, count: int = 3) -> Markdown:
    """The class pairs that are confused most often, and the classes recognised best and worst."""
    mistakes = analysis.mismatches(run)
    if mistakes.empty:
        return Markdown("The network makes no mistake on the test set.")
    most = mistakes.value_counts(["label_name", "predicted_name"]).head(count)
    listed = ", ".join(f"{label} taken for {predicted} ({times})" for (label, predicted), times in most.items())
    by_class = analysis.per_class_accuracy(run)
    return Markdown(
        f"{len(mistakes)} of {len(run.labels)} test images are misclassified. "
        f"The most frequent confusions are {listed}. "
        f"Recognised best is {by_class.idxmax()} ({percent(by_class.max())}), worst {by_class.idxmin()} "
        f"({percent(by_class.min())})."
    )


def mismatch_change_summary(a: Runs, b: Runs) -> Markdown:
    """How many misclassified images b adds to those of a and how many it removes, and which it adds most often."""
    a, b = as_list(a), as_list(b)
    changes = [analysis.changed_mismatches(*pair) for pair in zip(a, b, strict=True)]
    added, removed = ([len(change[side]) for change in changes] for side in (0, 1))
    shared = [len(analysis.mismatches(run)) - count for run, count in zip(a, removed, strict=True)]
    text = (
        f"Of {len(a[0].labels)} test images, `{b[0].name}` misclassifies {mean_and_all(added)} that `{a[0].name}` "
        f"classifies correctly, and classifies correctly {mean_and_all(removed)} that `{a[0].name}` misclassifies; "
        f"{mean_and_all(shared)} are misclassified by both."
    )
    kinds = pd.concat([change[0] for change in changes]).value_counts(["label_name", "predicted_name"]).head(3)
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
            "all misclassified": mean_and_all([len(analysis.mismatches(run)) for run in group]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def signed_weight_table(runs: Sequence[Runs], parameters: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean, standard deviation, skew and share of negative values of weight tensors, a row per tensor and recipe.

    Of several seeds these are means over the seeds.
    """
    groups = [as_list(group) for group in runs]
    tables = [
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
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    always = ("λ", "parameters", "epochs")
    return frame[[column for column in frame if column in always or frame[column].nunique() > 1]]


def pair_caption(pair: Pair) -> str:
    """The caption of a figure that shows a pair."""
    mismatch, counterpart = pair.mismatch, pair.counterpart
    return (
        f"Left: {example_phrase(mismatch)} Right: {example_phrase(counterpart)} "
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
    for example in (example for pair in pairs for example in (pair.mismatch, pair.counterpart)):
        true = "" if example.correct else f" → {example.predicted_name}"
        columns[f"{example.index}: {example.label_name}{true}"] = [f"{p:.4f}" for p in example.probabilities.tolist()]
    return pd.DataFrame(columns, index=pd.Index(analysis.class_names(run), name="class"))


# --- The penalty without a gradient -----------------------------------------------------------------------------


def tensorflow_note(choice: str) -> Markdown:
    """One line on whether this chapter has a part in TensorFlow, for the notebook's parameter `tensorflow`."""
    if tensorflow_graph.wanted(choice):
        return Markdown("TensorFlow is installed here, so the same is done in a TensorFlow graph, as the seed did it.")
    reason = "was not asked for" if choice == "off" else "is not installed here (`pip install 'hwkit[tensorflow]'`)"
    return Markdown(f"TensorFlow {reason}: what follows was computed in PyTorch only.")


def penalty_setup(groups: Sequence[Sequence[PenaltyRun]]) -> Markdown:
    """How the three versions were trained in each framework."""
    parts = []
    for none, faulty, _ in groups:
        e = faulty.experiment
        longer = none.experiment.iterations > e.iterations
        further = f" ({none.experiment.iterations} without a penalty)" if longer else ""
        parts.append(
            f"in {faulty.framework} for {e.iterations} iterations{further} with batches of {e.batch_size} and Adam at "
            f"a learning rate of {e.learning_rate:g}"
        )
    first = groups[0][1]
    return Markdown(
        f"The MNIST network with λ = {first.experiment.l2:g}, weights from a truncated normal with standard deviation "
        f"0.1, biases 0.1 and dropout with probability {first.experiment.dropout:g} is trained three times, without a "
        f"penalty, with the faulty and with the repaired one: {'; '.join(parts)}. Within a framework the three start "
        f"from the same weights and see the same batches, drawn from {first.experiment.train_count} training images."
    )


def penalty_table(groups: Sequence[Sequence[PenaltyRun]]) -> pd.DataFrame:
    """Before training, a row per weight tensor and framework: the penalty, computed twice, and its gradient's norm."""
    rows = {}
    for _, faulty, repaired in groups:
        for name, expected in (repaired.experiment.l2 * repaired.penalties["norm"]).items():
            row = {("", "λ‖w‖"): f"{expected:.5f}"}
            for run in (faulty, repaired):
                found = run.penalties.loc[name]
                row[run.version, "value"] = f"{found['value']:.5f}"
                row[run.version, "again"] = f"{found['again']:.5f}"
                row[run.version, "gradient"] = "none" if pd.isna(found["gradient"]) else f"{found['gradient']:.5f}"
            rows[faulty.framework, name] = row
    table = pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows)))
    table.columns = pd.MultiIndex.from_tuples(list(table.columns))
    return table


def penalty_result_table(groups: Sequence[Sequence[PenaltyRun]]) -> pd.DataFrame:
    """What each training ended with, a row per run: norm of all weights, penalty, cross-entropy, test accuracy."""
    rows = []
    for run in (run for runs in groups for run in runs):
        last, row = run.record.iloc[-1], result_row(run)
        rows.append(
            {
                "framework": run.framework,
                "penalty": run.version,
                "iterations": f"{run.metrics['iterations']}",
                "‖w‖": f"{penalty.overall_norm(run.norms.iloc[-1]):.2f}",
                "its value": f"{last['penalty']:.3f}",
                "cross-entropy": f"{last['cross_entropy']:.3f}",
                "test accuracy": f"{run.test_accuracy:.4f}",
                "95 % interval": f"{row['test_accuracy_low']:.4f}–{row['test_accuracy_high']:.4f}",
            }
        )
    return pd.DataFrame(rows).set_index("framework")


def penalty_verdict(groups: Sequence[Sequence[PenaltyRun]]) -> Markdown:
    """For each framework, what the faulty and the repaired penalty did in these trainings; and what follows."""
    judged = {runs[0].framework: penalty.judge(*runs) for runs in groups}
    paragraphs = [_judgement_sentences(framework, found) for framework, found in judged.items()]
    return Markdown("\n\n".join([*paragraphs, _penalty_consequence([found.outcome for found in judged.values()])]))


def penalty_conclusion(claim: Claim, of_seeds: Sequence[Sequence[PenaltyRun]]) -> Conclusion:
    """Whether the penalty on the initial value changes nothing, and the one on the weights makes them smaller.

    Parameters
    ----------
    of_seeds : for each seed the three versions, as `penalty_bug.judge` takes them.

    Raises
    ------
    ExperimentError
        As `penalty_bug.judge` does.
    """
    judged = [penalty.judge(*three) for three in of_seeds]
    none, faulty, repaired = (list(version) for version in zip(*of_seeds, strict=True))
    unchanged = Claim(
        "the penalty on the initial value changes nothing", "same", penalty.SAME, "rounding reaches a tenth of that"
    )
    change = finding(
        unchanged,
        of_numbers([found.faulty_change for found in judged]),
        "norm of a weight tensor, largest change",
        faulty,
        none,
        "The norm of a weight tensor with the faulty penalty differs from that without any by at most "
        f"{100 * max(found.faulty_change for found in judged):.3g} % at any record",
        unit="%",
    )
    shrunk = [found.norms["repaired"] / found.norms["none"] - 1 for found in judged]
    shrinkage = finding(
        Claim("the penalty on the weights makes them smaller", "lower"),
        of_numbers(shrunk),
        "norm of all weights",
        repaired,
        none,
        f"After {judged[0].iteration} iterations the norm of all weights is "
        f"{fmean(found.norms['repaired'] for found in judged):.2f} with the repaired penalty and "
        f"{fmean(found.norms['none'] for found in judged):.2f} without one",
        unit="%",
    )
    return conclude(claim, change, shrinkage)


def _penalty_consequence(outcomes: Sequence[str]) -> str:
    """What the outcomes mean for the seed report's conclusion."""
    seed = "The seed report concluded that its penalty was ignored, and changed the library."
    if "contradicted" in outcomes:
        return f"{seed} The missing gradient does not explain that: here the faulty penalty is not ignored."
    if "not shown" in outcomes:
        return f"{seed} These trainings cannot tell whether the missing gradient explains that."
    return (
        f"{seed} The penalty was ignored, but the library was not at fault: one line was, and it is as wrong in "
        "PyTorch. What misled was the loss, which showed a penalty of the right size all along. A look at the "
        "gradient, or at the norm of the weights, would have told."
    )


def _judgement_sentences(framework: str, found: penalty.Judgement) -> str:
    headline = {
        "confirmed": "the penalty was in the loss, and training could not see it",
        "contradicted": "the faulty penalty is not without effect",
        "not shown": "the repaired penalty does not do what it should in so short a training either",
    }[found.outcome]
    alike = (
        "the same, digit for digit,"
        if found.faulty_change == 0
        else f"the same to within {found.faulty_change:.1g} of its size"
        if found.faulty_change <= penalty.SAME
        else f"another by up to {percent(found.faulty_change)}"
    )
    gradient = (
        "it has no gradient with respect to the weights, for no path leads from it to them"
        if found.gradient is None
        else f"its gradient with respect to the weights has the norm {found.gradient:.4g}"
    )
    norms = found.norms
    return (
        f"**{framework}: {headline}.** Before training the faulty penalty is {found.value:.2f}, beside a cross-entropy "
        f"of {found.cross_entropy:.2f}, and {gradient}. The gradient of the repaired penalty has the norm "
        f"{found.repaired_gradient:.4f}; λ‖w‖ is {found.expected_gradient:.4f}. In "
        f"{found.iteration} iterations the norm of all weights goes from {norms['start']:.2f} to {norms['none']:.2f} "
        f"without a penalty, to {norms['faulty']:.2f} with the faulty and to {norms['repaired']:.2f} with the repaired "
        f"one. With the faulty penalty and without, the norm of each tensor is {alike} at every record."
    )


def tensorflow_summary(run: PenaltyRun) -> Markdown:
    """What came of the TensorFlow network without a penalty, beside the seed report's accuracy where that compares."""
    row, metrics = result_row(run), run.metrics
    seed = row["seed_accuracy"]
    against = ""
    if seed is not None:
        low, high = row["test_accuracy_low"], row["test_accuracy_high"]
        side = "inside" if low <= seed <= high else "above" if seed > high else "below"
        against = f" The seed report has {percent(seed, 2)} ({row['seed_note']}), which is {side} this interval."
    return Markdown(
        f"Without a penalty the TensorFlow network was trained for {metrics['iterations']} iterations in "
        f"{duration(metrics['seconds'])} (TensorFlow {run.environment['tensorflow']}). Of the {metrics['test_images']} "
        f"test images it classifies **{percent(run.test_accuracy, 2)}** correctly (95 % interval "
        f"{percent(row['test_accuracy_low'], 2)} to {percent(row['test_accuracy_high'], 2)}), of the validation images "
        f"{percent(metrics['validation_accuracy'], 2)}.{against}"
    )


# --- Numbers ----------------------------------------------------------------------------------------------------


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")
