"""Sentences and small tables of the report whose numbers come from runs, made for the end of a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from hwkit import analysis
from hwkit.analysis import Comparison, Example, Pair
from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters import tensorflow_graph
from hwkit.chapters.penalty_bug import PenaltyRun
from hwkit.data import Dataset
from hwkit.datasets import known_facts
from hwkit.findings.reference import result_row
from hwkit.formats import duration
from hwkit.runs import Run

SMALL_GAP = 0.01  # a difference of train and test accuracy below one point is called small


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
        f"{len(mistakes)} of {len(run.labels)} test images are misclassified. "
        f"The most frequent confusions are {listed}. "
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
    """For each framework, whether the faulty penalty did nothing and the repaired one does something; and so what."""
    judged = {runs[0].framework: penalty.judge(*runs) for runs in groups}
    paragraphs = [_judgement_sentences(framework, found) for framework, found in judged.items()]
    return Markdown("\n\n".join([*paragraphs, _penalty_conclusion([found.outcome for found in judged.values()])]))


def _penalty_conclusion(outcomes: Sequence[str]) -> str:
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
        "confirmed": "confirmed: the penalty was in the loss, and training could not see it",
        "contradicted": "contradicted: the faulty penalty is not without effect",
        "not shown": "not shown: the repaired penalty does not do what it should in so short a training either",
    }[found.outcome]
    alike = (
        "the same, digit for digit,"
        if found.faulty_change == 0
        else f"the same to within {found.faulty_change:.1g} of its size"
        if found.faulty_change <= penalty.SAME
        else f"another by up to {percent(found.faulty_change)}"
    )
    gradient = "exactly 0" if found.gradient == 0 else f"{found.gradient:.4g}"
    norms = found.norms
    return (
        f"**{framework}, {headline}.** Before training the faulty penalty is {found.value:.2f}, beside a cross-entropy "
        f"of {found.cross_entropy:.2f}, and its gradient with respect to the weights is {gradient}. That of the "
        f"repaired penalty has the norm {found.repaired_gradient:.4f}; λ‖w‖ is {found.expected_gradient:.4f}. In "
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


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{decimals}f} %".replace("-", "−")


def points(difference: float, *, sign: bool = False) -> str:
    """A difference of two shares in percentage points."""
    return f"{100 * difference:{'+' if sign else ''}.2f} points".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value, as one compares it."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
