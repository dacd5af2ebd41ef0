"""Claims, the measurements that test them, and what the numbers say of them.

A claim is about a recipe: a network, its penalty, its data and its schedule. Every function here takes the runs of two
recipes, of the same seeds. From three seeds on, the interval of their difference covers what other seeds and other
test images would give, and the claim gets a verdict. One seed gives a statement on one pair of networks. Two seeds are
refused.

>>> claim = Claim("SELU lowers test accuracy", "lower", primary=True)  # before any run is read
>>> finding = accuracy(claim, selu_runs, relu_runs)
>>> finding.verdict
'supported'
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from torch import Tensor

from hwkit import analysis, statistics
from hwkit.errors import RunError, did_you_mean
from hwkit.experiment import Experiment
from hwkit.formats import capitalised, mean_accuracy, mean_and_all, percent, points
from hwkit.runs import Run, Runs, as_list
from hwkit.statistics import Interval, OnePair

Expectation = Literal["higher", "lower", "same"]
Verdict = Literal["supported", "opposite", "open", "the same", "one pair"]

EXPECTATIONS = ("higher", "lower", "same")
ALPHA = 0.05  # of every verdict; its interval is one of 95 %
# Rides along in a notebook's outputs, so that the report's summary and verdicts.csv have the numbers of the text.
VERDICTS_MIME = "application/vnd.hwkit.verdicts+json"
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "muon": "Muon"}


class Recipe(Protocol):
    """One of the runs of a recipe: a `Run`, or anything else with a name that trained an experiment."""

    @property
    def name(self) -> str: ...

    @property
    def experiment(self) -> Experiment: ...


# --- Claims and findings ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A claim that a measurement can decide. A notebook shows its primary claim before the runs are read.

    Parameters
    ----------
    text : a main clause without a full stop, in the words of whoever claims it.
    expected : what it says of the difference a - b: "higher" or "lower" than zero, or the "same"; None of a claim that
        follows from several findings.
    margin : the largest difference that "same" puts up with; 0 of other claims.
    reason : why this margin, as a main clause without a full stop.
    primary : whether it is the one claim that its chapter is judged by. Holm's correction is over these.
    reference : what the reference report says of it, for the summary.

    Raises
    ------
    RunError
        If the expectation is unknown, or "same" comes without a margin and its reason, or a margin without "same".
    """

    text: str
    expected: Expectation | None = None
    margin: float = 0.0
    reason: str = ""
    primary: bool = False
    reference: str = ""

    def __post_init__(self) -> None:
        if self.expected not in (None, *EXPECTATIONS):
            raise RunError(f"unknown expectation {self.expected!r}; {did_you_mean(self.expected, EXPECTATIONS)}")
        if (self.expected == "same") != (self.margin > 0 and bool(self.reason)):
            raise RunError(
                f"{self.text!r} expects {self.expected!r} with the margin {self.margin!r} ({self.reason!r}); a claim "
                'that two are the "same" needs a margin above 0 and its reason, and others take none'
            )

    def _repr_markdown_(self) -> str:
        kind = "Primary claim of this chapter, fixed before any of its runs are read" if self.primary else "Claim"
        margin = f" Differences up to {self.margin:g} count as none: {self.reason}." if self.margin else ""
        return f"**{kind}:** {self.text}.{margin}"


@dataclass(frozen=True)
class Finding:
    """A claim and the measurement that tests it; shows itself in a notebook as a paragraph.

    Attributes
    ----------
    estimate : the difference a - b.
    quantity : what differs, such as "test accuracy".
    a, b : names of the recipes.
    seeds : that both were trained with.
    schedule : such as "10 epochs of Adam"; effects change their sign with it.
    evidence : a main clause with the numbers that were compared.
    unit : "points" for a difference of fractions, shown in percentage points; "%" for a relative change; "" for any
        other number.
    """

    claim: Claim
    estimate: Interval | OnePair
    quantity: str
    a: str
    b: str
    seeds: tuple[int, ...]
    schedule: str
    evidence: str
    unit: str = "points"

    @property
    def verdict(self) -> Verdict:
        """What the numbers say of the claim; "one pair" is none."""
        if isinstance(self.estimate, OnePair):
            return "one pair"
        low, high, expected = self.estimate.low, self.estimate.high, self.claim.expected
        if expected == "same":
            if low > -self.claim.margin and high < self.claim.margin:
                return "the same"
            return "opposite" if low > self.claim.margin or high < -self.claim.margin else "open"
        if low <= 0 <= high:
            return "open"
        return "supported" if (low > 0) == (expected == "higher") else "opposite"

    @property
    def p_value(self) -> float | None:
        """Two-sided p of the verdict, at most 0.05 where it is neither open nor one pair; None for one pair."""
        if isinstance(self.estimate, OnePair):
            return None
        if self.claim.expected != "same":
            return self.estimate.p_value()
        margin = self.claim.margin
        outside = min(self.estimate.p_below(margin), self.estimate.p_above(-margin))
        return min(1.0, 2 * min(outside, statistics.equivalence_p_value(self.estimate, margin)))

    @property
    def contradicts(self) -> bool:
        """Whether the estimate itself, whatever its error, lies where the claim does not have it."""
        if self.claim.expected == "same":
            return abs(self.estimate.value) > self.claim.margin
        return self.estimate.value <= 0 if self.claim.expected == "higher" else self.estimate.value >= 0

    def number(self, value: float, *, sign: bool = True) -> str:
        """A value in the estimate's unit, as text."""
        if self.unit == "points":
            return points(value, sign=sign)
        text = f"{100 * value:{'+' if sign else ''}.2f} %" if self.unit == "%" else f"{value:{'+' if sign else ''}.3f}"
        return text.replace("-", "−")

    @property
    def headline(self) -> str:
        """The verdict with its scope, such as "Supported (3 seeds, 10 epochs of Adam)"."""
        within = "" if self.verdict != "the same" else f" within {self.number(self.claim.margin, sign=False)}"
        return _headline(self.verdict + within, self)

    def measured(self, *, with_spread: bool = True) -> str:
        """The estimate with its interval, as a phrase, and how much the difference varies from run to run."""
        difference, low, high = (self.number(x) for x in (self.estimate.value, self.estimate.low, self.estimate.high))
        ends = f"{low.removesuffix(' points')} to {high}"
        if isinstance(self.estimate, Interval):
            spread = f"; run-to-run standard deviation {self.number(self.estimate.run_spread, sign=False)}"
            level = f"{100 * self.estimate.level:g} % interval"
            return f"a difference of {difference} ({level} {ends}{spread if with_spread else ''})"
        if self.estimate.image_se == 0:
            return f"a difference of {difference}"
        return f"a difference of {difference} (sampling of the images alone gives {ends})"

    @property
    def remark(self) -> str:
        """What the numbers leave open, in a sentence; empty of a verdict that says it all."""
        estimate, verdict = self.estimate, self.verdict
        if isinstance(estimate, OnePair):
            if self.claim.expected == "same":
                return "Nothing follows from it for other seeds."
            if estimate.robustness == 0:
                return "The choice of the images alone can explain it, so nothing follows for other seeds."
            bearable = self.number(estimate.robustness, sign=False)
            return f"It would hold for seeds if the standard deviation of a recipe over them is below {bearable}."
        if self.claim.expected == "same":
            margin = self.number(self.claim.margin, sign=False)
            where = {"the same": "", "opposite": "lies beyond", "open": "reaches across"}[verdict]
            return where and f"The interval {where} the margin of {margin}."
        if verdict != "open":
            return ""
        farther = max(abs(estimate.low), abs(estimate.high))
        if farther == 0:
            return "The two do not differ in anything that was measured."
        of_seeds = max(0.0, estimate.se**2 - estimate.image_se**2) * estimate.seeds
        needed = statistics.seeds_needed(math.sqrt(of_seeds / 2), farther / 2, image_se=estimate.image_se)
        how = "more test images, whatever the number of seeds" if math.isinf(needed) else f"about {needed} seeds"
        excluded = f"a difference of more than {self.number(farther, sign=False)} either way is excluded"
        return f"The interval includes zero: {excluded}, and to see half of it would take {how}."

    @property
    def row(self) -> dict[str, Any]:
        """The finding as a row of verdicts.csv, of what JSON can hold."""
        estimate = self.estimate
        several = estimate if isinstance(estimate, Interval) else None
        return {
            "claim": self.claim.text,
            "primary": self.claim.primary,
            "expected": self.claim.expected,
            "margin": self.claim.margin or None,
            "verdict": self.verdict,
            "quantity": self.quantity,
            "a": self.a,
            "b": self.b,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "level": estimate.level,
            "unit": self.unit,
            "seeds": " ".join(map(str, self.seeds)),
            "schedule": self.schedule,
            "p_value": self.p_value,
            "df": several and several.df,
            "run_spread": several and several.run_spread,
            "robustness": estimate.robustness if isinstance(estimate, OnePair) else None,
            "reference": self.claim.reference,
        }

    @property
    def account(self) -> str:
        """The numbers behind the verdict: of a primary claim with what was compared, of another the difference."""
        if self.claim.primary:
            return f"{self.evidence}: {self.measured()}. {self.remark}".strip()
        return f"{capitalised(self.measured(with_spread=False))}. {self.remark}".strip()

    def __str__(self) -> str:
        return f"Claim: {self.claim.text}. {self.headline}. {self.account}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return _mimebundle(self, self.account)


@dataclass(frozen=True)
class Conclusion:
    """A claim that needs several findings to hold; shows itself as a paragraph."""

    claim: Claim
    parts: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Supported if all parts are; opposite if one is, at a level of error that is divided among them."""
        if self.p_value is None:
            return "one pair"
        if {part.verdict for part in self.parts} <= {"supported", "the same"}:
            return "supported"
        return "opposite" if self.deciding.contradicts and self.p_value <= ALPHA else "open"

    @property
    def p_value(self) -> float | None:
        """The p of the part that decides, times the number of parts where it contradicts; None for one pair."""
        p = self.deciding.p_value
        return p if p is None or not self.deciding.contradicts else min(1.0, len(self.parts) * p)

    @property
    def deciding(self) -> Finding:
        """The part that the claim stands or falls with: the surest one of those that contradict it, or the least sure
        one where none does."""
        against = [part for part in self.parts if part.contradicts]
        return max(against, key=_surety) if against else min(self.parts, key=_surety)

    @property
    def headline(self) -> str:
        """The verdict with its scope."""
        return _headline(self.verdict, self.deciding)

    @property
    def row(self) -> dict[str, Any]:
        """A row of verdicts.csv, with the numbers of the part that decides."""
        own = {"claim": self.claim.text, "primary": self.claim.primary, "reference": self.claim.reference}
        return {**self.deciding.row, **own, "verdict": self.verdict, "p_value": self.p_value}

    def __str__(self) -> str:
        parts = "; ".join(f"{part.claim.text}: {part.verdict}" for part in self.parts)
        return f"Claim: {self.claim.text}. {self.headline}. It needs {len(self.parts)} things to hold: {parts}."

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        parts = "; ".join(f"{part.claim.text}: *{part.verdict}*" for part in self.parts)
        return _mimebundle(self, f"The claim needs {len(self.parts)} things to hold. {capitalised(parts)}.")


def conclude(claim: Claim, *parts: Finding) -> Conclusion:
    """A claim that needs all of these findings to hold.

    Raises
    ------
    RunError
        If there are no findings.
    """
    if not parts:
        raise RunError(f"the claim {claim.text!r} rests on nothing; give the findings that it follows from")
    return Conclusion(claim, parts)


def _surety(part: Finding) -> tuple[float, bool]:
    same = part.claim.expected == "same"  # of parts that are equally sure, a difference says more than none
    if isinstance(part.estimate, OnePair):
        return (math.inf if same else part.estimate.robustness), same
    return -(part.p_value or 0.0), same


def _headline(verdict: str, finding: Finding) -> str:
    name = "One pair of networks" if verdict == "one pair" else verdict.capitalize()
    return f"{name} ({_count(finding.seeds)}, {finding.schedule})"


def _count(seeds: Sequence[int]) -> str:
    return "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def _mimebundle(finding: Finding | Conclusion, text: str) -> dict[str, Any]:
    return {
        "text/plain": str(finding),
        "text/markdown": f"*Claim: {finding.claim.text}.* **{finding.headline}.** {text}",
        VERDICTS_MIME: json.loads(json.dumps([finding.row])),
    }


# The columns of verdicts.csv; a notebook's outputs come back with their keys in the order of the alphabet.
COLUMNS = ("chapter", "claim", "primary", "verdict", "value", "low", "high", "level", "unit", "seeds", "schedule")
COLUMNS += (
    "p_value",
    "p_holm",
    "df",
    "run_spread",
    "robustness",
    "expected",
    "margin",
    "quantity",
    "a",
    "b",
    "reference",
)


def adjusted(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of findings, those of primary claims with `p_holm`: their p adjusted by Holm for the number of these."""
    family = [row for row in rows if row["primary"] and row["p_value"] is not None]
    found = dict(zip(map(id, family), statistics.holm([row["p_value"] for row in family]), strict=True))
    return [{**row, "p_holm": found.get(id(row))} for row in rows]


def summary_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows of primary claims, as `adjusted` returns them, as texts: a row per claim."""
    shown = []
    for row in rows:
        low, value, high = (_in_unit(row[name], row["unit"]) for name in ("low", "value", "high"))
        seeds, p = row["seeds"].split(), row["p_holm"]
        alone = " (on its own; open after Holm)" if row["verdict"] not in ("open", "one pair") and p > ALPHA else ""
        of_images = " (images)" if row["verdict"] == "one pair" else ""
        shown.append(
            {
                "claim": row["claim"],
                "scope": f"{_count(seeds)}, {row['schedule']}",
                "difference": value,
                "95 % interval": "exact" if low == high else f"{low} to {high}{of_images}",
                "p (Holm)": "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
                "verdict": row["verdict"] + alone,
                "reference report": row["reference"] or "–",
            }
        )
    frame = pd.DataFrame(shown)
    return frame if any(row["p_holm"] is not None for row in rows) else frame.drop(columns="p (Holm)")


def _in_unit(value: float, unit: str) -> str:
    number = f"{value:+.3f}" if not unit else f"{100 * value:+.2f}{' %' if unit == '%' else ''}"
    return number.replace("-", "−")


# --- Findings on runs -------------------------------------------------------------------------------------------


def accuracy(claim: Claim, a: Runs, b: Runs) -> Finding:
    """The difference in test accuracy, image by image.

    Parameters
    ----------
    a, b : runs of one seed or of three and more, the same seeds for both.

    Raises
    ------
    RunError
        If seeds or test images differ.
    StatisticsError
        If there are two seeds.
    """
    a, b = replicates(a, b)
    right = [[_test_correct(run) for run in side] for side in (a, b)]
    return _on_images(claim, "test accuracy", "Of the test images", a, b, right)


def fit(claim: Claim, a: Runs, b: Runs) -> Finding:
    """The difference in accuracy on all images that were trained on, without augmentation; see `accuracy`."""
    a, b = replicates(a, b)
    right = [[_train_correct(run) for run in side] for side in (a, b)]
    return _on_images(claim, "training accuracy", "Of the images that it was trained on", a, b, right)


def gap(claim: Claim, a: Runs, b: Runs) -> Finding:
    """The difference in the gap between training and test accuracy; see `accuracy`."""
    a, b = replicates(a, b)
    (a_train, a_test), (b_train, b_test) = (_both_correct(side) for side in (a, b))
    if len(a) == 1:
        estimate = statistics.one_pair_gap(a_train[0] - b_train[0], a_test[0] - b_test[0])
    else:
        estimate = statistics.gap_interval(a_train - b_train, a_test - b_test)
    gaps = [_mean(x.mean(axis=1) - y.mean(axis=1)) for x, y in ((a_train, a_test), (b_train, b_test))]
    evidence = f"The gap between training and test accuracy is {gaps[0]} in {_name(a)} and {gaps[1]} in {_name(b)}"
    return finding(claim, estimate, "gap of training and test accuracy", a, b, evidence)


def penalty_cost(claim: Claim, small: tuple[Runs, Runs], large: tuple[Runs, Runs]) -> Finding:
    """By how much more test accuracy a penalty costs one network than another; the cost is accuracy without less with.

    Parameters
    ----------
    small, large : the runs of a network (without, with) the penalty.
    """
    (small_plain, small_l2), (large_plain, large_l2) = replicates(*small), replicates(*large)
    replicates(small_plain, large_plain)
    costs = [
        np.stack([_test_correct(x) - _test_correct(y) for x, y in zip(plain, l2, strict=True)])
        for plain, l2 in ((small_plain, small_l2), (large_plain, large_l2))
    ]
    evidence = (
        f"The penalty costs {_name(small_plain)} {_mean(costs[0].mean(axis=1))} of test accuracy and "
        f"{_name(large_plain)} {_mean(costs[1].mean(axis=1))}"
    )
    estimate = of_images(costs[0] - costs[1], runs=4)
    return finding(claim, estimate, "cost of the penalty in test accuracy", small_l2, large_l2, evidence)


def confusion(claim: Claim, a: Runs, b: Runs, classes: tuple[int, int]) -> Finding:
    """The difference in how often images of two classes are misclassified as the other one; see `accuracy`."""
    a, b = replicates(a, b)
    first, second = analysis.class_names(a[0])[classes[0]], analysis.class_names(a[0])[classes[1]]
    mistaken = [[_confused(run, classes) for run in side] for side in (a, b)]
    counts = [mean_and_all([one.sum() for one in side]) for side in mistaken]
    evidence = (
        f"Of {len(mistaken[0][0])} test images of {first} and {second}, {_name(a)} takes {counts[0]} for the other "
        f"class and {_name(b)} {counts[1]}"
    )
    estimate = of_images(np.stack(mistaken[0]) - np.stack(mistaken[1]))
    return finding(claim, estimate, f"confusion of {first} and {second}", a, b, evidence)


def weights(claim: Claim, a: Runs, b: Runs, parameter: str, statistic: str) -> Finding:
    """The difference in a statistic of a weight tensor, which of one network is exact and has no interval.

    Parameters
    ----------
    parameter : its name, "fc3.weight" for instance.
    statistic : one of `WEIGHT_STATISTICS`.

    Raises
    ------
    RunError
        If the statistic is unknown, or a run lacks the parameter.
    """
    a, b = replicates(a, b)
    if statistic not in WEIGHT_STATISTICS:
        raise RunError(f"unknown statistic {statistic!r}; {did_you_mean(statistic, WEIGHT_STATISTICS)}")
    for run in (*a, *b):
        if parameter not in run.final_weights:
            raise RunError(f"{run.name} has no parameter {parameter!r}; {did_you_mean(parameter, run.final_weights)}")
    phrase, measure = WEIGHT_STATISTICS[statistic]
    values = [[measure(run.final_weights[parameter].double()) for run in side] for side in (a, b)]
    return on_numbers(claim, f"{statistic} of {parameter}", f"{phrase} of `{parameter}`", a, b, values)


# By name: how it is called in a sentence, and what it is of a tensor.
WEIGHT_STATISTICS: dict[str, tuple[str, Callable[[Tensor], float]]] = {
    "offset": (
        "The distance of the mean from zero, in standard deviations,",
        lambda values: (values.mean().abs() / values.std(correction=0)).item(),
    ),
    "spread": ("The logarithm of the standard deviation", lambda values: values.std(correction=0).log().item()),
}


def _on_images(
    claim: Claim, quantity: str, of_what: str, a: list[Run], b: list[Run], right: list[list[np.ndarray]]
) -> Finding:
    """The difference of two fractions of images, given what each run classifies correctly."""
    means = [_mean([one.mean() for one in side], _percent) for side in right]
    evidence = f"{of_what} {_name(a)} classifies {means[0]} correctly and {_name(b)} {means[1]}"
    estimate = of_images(np.stack(right[0]) - np.stack(right[1]))
    return finding(claim, estimate, quantity, a, b, evidence)


def on_numbers(
    claim: Claim, quantity: str, phrase: str, a: list[Run], b: list[Run], values: list[list[float]]
) -> Finding:
    """The difference of a number of each network."""
    means = [_mean(side, _number, _number) for side in values]
    estimate = of_numbers([x - y for x, y in zip(*values, strict=True)])
    evidence = f"{phrase} is {means[0]} in {_name(a)} and {means[1]} in {_name(b)}"
    return finding(claim, estimate, quantity, a, b, evidence, unit="")


def of_numbers(differences: Sequence[float]) -> Interval | OnePair:
    """What differences of a number of each network give, one for each seed."""
    return OnePair(float(differences[0]), 0.0) if len(differences) == 1 else statistics.student_interval(differences)


def of_images(differences: np.ndarray, runs: int = 2) -> Interval | OnePair:
    """What differences (seeds, images) give."""
    if len(differences) == 1:
        return statistics.one_pair(differences[0], runs=runs)
    return statistics.crossed_interval(differences)


def finding(
    claim: Claim,
    estimate: Interval | OnePair,
    quantity: str,
    a: Sequence[Recipe],
    b: Sequence[Recipe],
    evidence: str,
    unit: str = "points",
) -> Finding:
    """A finding on recipes, with names, seeds and schedule from their runs; see `Finding`."""
    if claim.expected is None:
        raise RunError(f"the claim {claim.text!r} expects nothing of a difference; say higher, lower or same")
    seeds = tuple(run.experiment.seed for run in a)
    schedule = schedule_of(run.experiment for run in (*a, *b))
    return Finding(claim, estimate, quantity, a[0].name, b[0].name, seeds, schedule, evidence, unit)


# --- Tables -----------------------------------------------------------------------------------------------------


def gap_table(runs: Sequence[Runs]) -> pd.DataFrame:
    """Training accuracy, test accuracy and the gap between them with its interval, a row per recipe.

    Of one seed the interval is of the choice of images alone, and its column says so.
    """
    rows = {}
    for replicates in map(as_list, runs):
        train, test = _both_correct(replicates)
        if len(replicates) == 1:
            estimate, column = statistics.one_pair_gap(train[0], test[0], runs=1), "of the images alone"
        else:
            estimate, column = statistics.gap_interval(train, test), "95 % interval"
        rows[replicates[0].name] = {
            "λ": f"{replicates[0].experiment.l2:g}",
            "seeds": f"{len(replicates)}",
            "training accuracy": mean_accuracy(train.mean(axis=1).tolist()),
            "test accuracy": mean_accuracy(test.mean(axis=1).tolist()),
            "gap (points)": f"{100 * estimate.value:.2f}".replace("-", "−"),
            column: f"{100 * estimate.low:.2f} to {100 * estimate.high:.2f}".replace("-", "−"),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


# --- Shared -----------------------------------------------------------------------------------------------------


def schedule_of(experiments: Iterable[Experiment]) -> str:
    """For how long and with what these were trained, such as "10 epochs of Adam"."""
    found = []
    for e in experiments:
        images = f" on {e.train_size} images" if e.train_size else ""
        epochs = "1 epoch" if e.epochs == 1 else f"{e.epochs:.3g} epochs" if e.epochs > 1 else f"{e.iterations} steps"
        found.append(f"{epochs} of {OPTIMIZERS.get(e.optimizer, e.optimizer)}{images}")
    return " and ".join(dict.fromkeys(found))


def _test_correct(run: Run) -> np.ndarray:
    return analysis.correct(run).numpy().astype(float)


def _train_correct(run: Run) -> np.ndarray:
    return analysis.train_correct(run).numpy().astype(float)


def _both_correct(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """What runs classify correctly: (seeds, training images) and (seeds, test images)."""
    return np.stack([_train_correct(run) for run in runs]), np.stack([_test_correct(run) for run in runs])


def replicates(a: Runs, b: Runs) -> tuple[list[Run], list[Run]]:
    """Both as lists, checked to have the same seeds, and to have been tested on the same images."""
    a, b = as_list(a), as_list(b)
    seeds = [[run.experiment.seed for run in runs] for runs in (a, b)]
    if not a or seeds[0] != seeds[1]:
        raise RunError(f"runs are compared seed by seed, and these have the seeds {seeds[0]} and {seeds[1]}")
    for run in (*a[1:], *b):
        analysis.require_same_test_images(a[0], run)
    return a, b


def _name(runs: Sequence[Run]) -> str:
    return f"`{runs[0].name}`"


def _mean(
    values: Sequence[float], text: Callable[[float], str] = points, spread: Callable[[float], str] = points
) -> str:
    """The mean and, of several seeds, their standard deviation, as text."""
    mean = text(float(np.mean(values)))
    return mean if len(values) == 1 else f"{mean} (± {spread(float(np.std(values, ddof=1)))} over seeds)"


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _percent(fraction: float) -> str:
    return percent(fraction, 2)


def _confused(run: Run, classes: tuple[int, int]) -> np.ndarray:
    """For each test image of two classes, 1 where it is misclassified as the other one, (images,)."""
    labels, found = run.labels.numpy(), analysis.predicted(run).numpy()
    first, second = classes
    mistaken = ((labels == first) & (found == second)) | ((labels == second) & (found == first))
    return mistaken[np.isin(labels, classes)].astype(float)
