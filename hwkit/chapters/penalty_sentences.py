"""What the chapter on the penalty without a gradient says of its runs: sentences, tables and its conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pandas as pd
from IPython.display import Markdown

from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters import tensorflow_graph
from hwkit.chapters.penalty_bug import PenaltyRun
from hwkit.datasets import known_facts
from hwkit.findings.reference import result_row
from hwkit.findings.verdicts import Claim, Conclusion, conclude, finding, of_numbers
from hwkit.formats import percent, points
from hwkit.statistics import published_difference


def tensorflow_note(choice: str) -> Markdown:
    """One line on whether this chapter has a part in TensorFlow, for the notebook's parameter `tensorflow`."""
    if tensorflow_graph.wanted(choice):
        return Markdown("The same is done in a TensorFlow graph, as the reference report did it.")
    return Markdown(
        "What follows was computed in PyTorch alone; the same in TensorFlow's own graph is part of the chapter where "
        "TensorFlow is at hand (`pip install 'hwkit[tensorflow]'`)."
    )


def attempts_table(l2: float, choice: str) -> pd.DataFrame:
    """The reference report's attempts at a penalty and one that works, a row each: value and gradient's norm.

    Parameters
    ----------
    choice : the notebook's parameter `tensorflow`.
    """
    found = {"PyTorch": penalty.attempts(l2)}
    if tensorflow_graph.wanted(choice):
        found["TensorFlow"] = tensorflow_graph.attempts(l2)
    columns = {
        (framework, title): [text(of_one[name]) for name in penalty.ATTEMPTS]
        for framework, of_one in found.items()
        for title, text in (("value", _value), ("gradient", _gradient))
    }
    table = pd.DataFrame(columns, index=pd.Index(penalty.ATTEMPTS, name="penalty"))
    table.columns = pd.MultiIndex.from_tuples(list(columns))
    return table


def _value(found: tuple[float, float | None]) -> str:
    return f"{found[0]:.5f}"


def _gradient(found: tuple[float, float | None]) -> str:
    return "none" if found[1] is None else f"{found[1]:.5f}"


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
    """What the trainings of a framework reached after the same number of steps, a row per run."""
    rows = []
    for runs in groups:
        steps = min(run.metrics["iterations"] for run in runs)
        for run in runs:
            record = run.record.set_index("iteration")
            moment = max(iteration for iteration in record.index if iteration <= steps)
            row = record.loc[moment]
            rows.append(
                {
                    "framework": run.framework,
                    "penalty": run.version,
                    "steps": f"{moment}",
                    "‖w‖": f"{penalty.overall_norm(run.norms.loc[moment]):.2f}",
                    "its value": f"{row['penalty']:.3f}",
                    "cross-entropy": f"{row['cross_entropy']:.3f}",
                }
            )
    return pd.DataFrame(rows).set_index("framework")


def penalty_verdict(groups: Sequence[Sequence[PenaltyRun]]) -> Markdown:
    """For each framework, what the faulty and the repaired penalty did in these trainings; and what follows."""
    judged = {runs[0].framework: penalty.judge(*runs) for runs in groups}
    paragraphs = [_judgement_sentences(framework, found) for framework, found in judged.items()]
    return Markdown("\n\n".join([*paragraphs, _consequence([found.outcome for found in judged.values()])]))


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


def _consequence(outcomes: Sequence[str]) -> str:
    """What the outcomes mean for the reference report's conclusion."""
    reference = "The reference report concluded that its penalty was ignored, and changed the library."
    if "contradicted" in outcomes:
        return f"{reference} The missing gradient does not explain that: here the faulty penalty is not ignored."
    if "not shown" in outcomes:
        return f"{reference} These trainings cannot tell whether the missing gradient explains that."
    return (
        f"{reference} The penalty was ignored, but the library was not at fault: one line was, and it is as wrong in "
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
        "has no gradient with respect to any weight"
        if found.gradient is None
        else f"has a gradient whose norm is {found.gradient:.4g}"
    )
    norms = found.norms
    return (
        f"**{framework}: {headline}.** Beside a cross-entropy of {found.cross_entropy:.2f} the faulty penalty adds "
        f"{found.value:.2f} to the loss and {gradient}; the repaired one has {found.repaired_gradient:.4f}, where λ‖w‖ "
        f"is {found.expected_gradient:.4f}. With the faulty penalty and without, the norm of each tensor is {alike} at "
        f"every record. In {found.iteration} steps the norm of all weights goes from {norms['start']:.2f} to "
        f"{norms['none']:.2f} without a penalty, and to {norms['repaired']:.2f} with the repaired one."
    )


def tensorflow_summary(run: PenaltyRun) -> Markdown:
    """What came of the TensorFlow network without a penalty, beside the reference's accuracy where that compares."""
    row, metrics = result_row(run), run.metrics
    count, reference = metrics["test_images"], row["seed_accuracy"]
    against = ""
    if reference is not None:
        theirs = known_facts(run.experiment.dataset).test_size
        found = published_difference([run.test_accuracy], count, reference, theirs)
        low, high = (points(end, sign=True) for end in (found.low, found.high))
        against = (
            f" The reference report has {percent(reference, 2)} ({row['seed_note']}), a difference of "
            f"{points(found.value, sign=True)} ({low.removesuffix(' points')} to {high})."
        )
    return Markdown(
        f"Without a penalty the TensorFlow network was trained further, for {metrics['iterations']} steps in all. It "
        f"classifies **{percent(run.test_accuracy, 2)}** of the {count} test images correctly, and "
        f"{percent(metrics['validation_accuracy'], 2)} of {run.training.validation_size} validation images.{against}"
    )
