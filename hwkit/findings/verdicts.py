"""Claims, the measurements that test them, and the verdict that the measurements give.

Every function here takes the runs of one or several seeds. With one seed, the uncertainty of a difference is that of
the images it was measured on, and the two runs are compared on the same ones. With several seeds it is the spread of
the difference over the seeds, which includes everything that chance decides in training too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from IPython.display import Markdown
from torch import Tensor

from hwkit import analysis
from hwkit.analysis import Expectation, Verdict
from hwkit.errors import RunError
from hwkit.findings.sentences import p_value, percent, points
from hwkit.runs import Run

BOOTSTRAP_DRAWS = 1000

# What an interval has to say of a claim, by what is expected and what came out.
_REASONS: dict[tuple[Expectation, Verdict], str] = {
    ("higher", "confirmed"): "The whole interval lies above zero, where the claim has it.",
    ("higher", "contradicted"): "The whole interval lies below zero: the opposite of the claim.",
    ("lower", "confirmed"): "The whole interval lies below zero, where the claim has it.",
    ("lower", "contradicted"): "The whole interval lies above zero: the opposite of the claim.",
    ("same", "confirmed"): "The whole interval lies within {margin} of zero, which is what counts as the same here.",
    ("same", "contradicted"): "The whole interval lies further than {margin} from zero, too far to count as the same.",
}
_OPEN = "The interval includes zero, so the claim and its opposite are both still possible."
_OPEN_SAME = "The interval reaches across the margin of {margin}, so it is open whether the two count as the same."


@dataclass(frozen=True)
class Estimate:
    """A measured difference, which lies between `low` and `high` at `level`.

    Attributes
    ----------
    basis : what the interval was made from, as it stands behind the numbers in a sentence.
    unit : "points" for a difference of shares, shown in percentage points; "" for any other number.
    """

    value: float
    low: float
    high: float
    basis: str
    unit: str = "points"
    level: float = 0.95

    def number(self, value: float, *, sign: bool = True) -> str:
        """A value in this estimate's unit, as text."""
        return (
            points(value, sign=sign) if self.unit == "points" else f"{value:{'+' if sign else ''}.3f}".replace("-", "−")
        )

    def __str__(self) -> str:
        low, high = self.number(self.low), self.number(self.high)
        if self.unit == "points":
            low = low.removesuffix(" points")
        return f"{self.number(self.value)} ({100 * self.level:g} % interval {low} to {high}; {self.basis})"


@dataclass(frozen=True)
class Finding:
    """A claim and the measurement that tests it; shows itself in a notebook as a paragraph.

    Attributes
    ----------
    claim : a main clause without a full stop, in the words of whoever claims it.
    expected : what the claim says of the estimate: "higher" or "lower" than zero, or the "same".
    evidence : a sentence with the numbers that were compared.
    margin : the largest difference that "same" puts up with.
    """

    claim: str
    expected: Expectation
    estimate: Estimate
    evidence: str
    margin: float = 0.01

    @property
    def verdict(self) -> Verdict:
        """What the numbers say of the claim."""
        return analysis.verdict(self.estimate, self.expected, margin=self.margin)

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, in a sentence."""
        still_open = _OPEN_SAME if self.expected == "same" else _OPEN
        reason = _REASONS.get((self.expected, self.verdict), still_open)
        return reason.format(margin=self.estimate.number(self.margin, sign=False))

    def __str__(self) -> str:
        return f"Claim: {self.claim}. Verdict: {self.verdict}. {self.evidence} {self.reason}"

    def _repr_markdown_(self) -> str:
        return f"*Claim: {self.claim}.* **Verdict: {self.verdict}.** {self.evidence} {self.reason}"


@dataclass(frozen=True)
class Findings:
    """A claim that follows from several findings, and stands or falls with them; shows itself as a paragraph."""

    claim: str
    parts: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Confirmed if all parts are, contradicted if one is."""
        verdicts = [part.verdict for part in self.parts]
        if "contradicted" in verdicts:
            return "contradicted"
        return "confirmed" if set(verdicts) == {"confirmed"} else "not distinguishable at this sample size"

    def __str__(self) -> str:
        parts = "; ".join(f"{part.claim}: {part.verdict}" for part in self.parts)
        return f"Claim: {self.claim}. Verdict: {self.verdict}. It needs {len(self.parts)} things to hold: {parts}."

    def _repr_markdown_(self) -> str:
        parts = "; ".join(f"{part.claim}: *{part.verdict}*" for part in self.parts)
        return (
            f"*Claim: {self.claim}.* **Verdict: {self.verdict}.** The claim needs {len(self.parts)} things to hold. "
            f"{parts[0].upper()}{parts[1:]}."
        )


def conclude(claim: str, *parts: Finding) -> Findings:
    """A claim that needs all of these findings to hold.

    Raises
    ------
    RunError
        If there are no findings.
    """
    if not parts:
        raise RunError(f"the claim {claim!r} rests on nothing; give the findings it follows from")
    return Findings(claim, parts)


# --- Findings on runs -------------------------------------------------------------------------------------------


def accuracy(
    claim: str, a: Run | Sequence[Run], b: Run | Sequence[Run], expected: Expectation, *, margin: float = 0.01
) -> Finding:
    """Is the test accuracy of a higher or lower than, or the same as that of b?

    Parameters
    ----------
    a, b : runs of one or several seeds, the same seeds for both.
    """
    a, b = _replicates(a, b)
    if len(a) > 1:
        estimate = over_seeds([x.test_accuracy - y.test_accuracy for x, y in zip(a, b, strict=True)])
    else:
        compared = analysis.compare_accuracies(a[0], b[0])
        basis = f"paired on the same {compared.count} images, McNemar p {p_value(compared.p_value)}; one seed"
        estimate = Estimate(compared.difference, compared.low, compared.high, basis)
    evidence = (
        f"{_name(a)} classifies {_mean(a, 'test_accuracy')} of the test images correctly and {_name(b)} "
        f"{_mean(b, 'test_accuracy')}: {estimate}."
    )
    return Finding(claim, expected, estimate, evidence, margin)


def fit(claim: str, a: Run | Sequence[Run], b: Run | Sequence[Run], expected: Expectation) -> Finding:
    """Is the accuracy of a on training images higher or lower than that of b?"""
    a, b = _replicates(a, b)
    if len(a) > 1:
        estimate = over_seeds([_train(x)[0] - _train(y)[0] for x, y in zip(a, b, strict=True)])
    else:
        low, high = _train_difference(a[0], b[0])
        basis = f"{a[0].metrics['train_images']} training images; one seed"
        estimate = Estimate(_train(a[0])[0] - _train(b[0])[0], low, high, basis)
    evidence = (
        f"{_name(a)} classifies {_mean(a, 'train_accuracy')} of its training images correctly and {_name(b)} "
        f"{_mean(b, 'train_accuracy')}: {estimate}."
    )
    return Finding(claim, expected, estimate, evidence)


def gap(claim: str, a: Run | Sequence[Run], b: Run | Sequence[Run], expected: Expectation) -> Finding:
    """Is the gap between train and test accuracy of a larger ("higher") or smaller ("lower") than that of b?"""
    a, b = _replicates(a, b)
    if len(a) > 1:
        estimate = over_seeds([gap_of(x) - gap_of(y) for x, y in zip(a, b, strict=True)])
    else:
        compared = analysis.compare_accuracies(a[0], b[0])
        change = gap_of(a[0]) - gap_of(b[0])
        low, high = difference_interval(
            _train(a[0])[0] - _train(b[0])[0],
            _train_difference(a[0], b[0]),
            compared.difference,
            (compared.low, compared.high),
        )
        basis = f"{a[0].metrics['train_images']} training and {compared.count} test images; one seed"
        estimate = Estimate(change, low, high, basis)
    evidence = f"The gap of {_name(a)} is {_mean_gap(a)} and that of {_name(b)} {_mean_gap(b)}: {estimate}."
    return Finding(claim, expected, estimate, evidence)


def confusion(
    claim: str, a: Run | Sequence[Run], b: Run | Sequence[Run], classes: tuple[int, int], expected: Expectation
) -> Finding:
    """Does a take images of either class for the other one more ("higher") or less often ("lower") than b?"""
    a, b = _replicates(a, b)
    mistaken = [[_confused(run, classes) for run in runs] for runs in (a, b)]
    if len(a) > 1:
        shares = [[flags.double().mean().item() for flags in side] for side in mistaken]
        estimate = over_seeds([x - y for x, y in zip(*shares, strict=True)])
    else:
        analysis.require_same_test_images(a[0], b[0])
        estimate = _paired_shares(mistaken[0][0], mistaken[1][0])
    counts = [sum(int(flags.sum()) for flags in side) / len(side) for side in mistaken]
    names = analysis.class_names(a[0])
    evidence = (
        f"Of {len(mistaken[0][0])} test images of {names[classes[0]]} and {names[classes[1]]}, {_name(a)} takes "
        f"{counts[0]:g} for the other class and {_name(b)} {counts[1]:g}: {estimate}."
    )
    return Finding(claim, expected, estimate, evidence)


def penalty_cost(
    claim: str,
    small: tuple[Run | Sequence[Run], Run | Sequence[Run]],
    large: tuple[Run | Sequence[Run], Run | Sequence[Run]],
    expected: Expectation,
) -> Finding:
    """Does the penalty cost the small network more ("higher") or less ("lower") test accuracy than the large one?

    The cost is the accuracy without the penalty less the accuracy with it.

    Parameters
    ----------
    small, large : the runs of a network (without, with) the penalty.
    """
    (small_plain, small_l2), (large_plain, large_l2) = _replicates(*small), _replicates(*large)
    _replicates(small_plain, large_plain)
    costs = [
        [x.test_accuracy - y.test_accuracy for x, y in zip(plain, l2, strict=True)]
        for plain, l2 in ((small_plain, small_l2), (large_plain, large_l2))
    ]
    if len(small_plain) > 1:
        estimate = over_seeds([x - y for x, y in zip(*costs, strict=True)])
    else:
        four = (small_plain[0], small_l2[0], large_plain[0], large_l2[0])
        for other in four[1:]:
            analysis.require_same_test_images(four[0], other)
        right = [correct(run) for run in four]
        estimate = over_images((right[0] - right[1]) - (right[2] - right[3]))
    evidence = (
        f"The penalty costs {_name(small_l2)} {points(statistics.fmean(costs[0]))} of test accuracy and "
        f"{_name(large_l2)} {points(statistics.fmean(costs[1]))}: {estimate}."
    )
    return Finding(claim, expected, estimate, evidence)


def smoothness(
    claim: str,
    a: Run | Sequence[Run],
    b: Run | Sequence[Run],
    layer: str,
    expected: Expectation,
    *,
    images: int = 200,
    margin: float = 0.05,
) -> Finding:
    """Are the activation maps of a layer of a smoother ("higher") or rougher ("lower") than those of b?

    Measured by `analysis.neighbour_correlation` over the first so many test images.
    """
    a, b = _replicates(a, b)
    analysis.require_same_test_images(a[0], b[0])
    shown = analysis.test_images(a[0])[:images]
    values = [
        [analysis.neighbour_correlation(analysis.activations(run, shown)[layer]) for run in runs] for runs in (a, b)
    ]
    means = [[value.mean().item() for value in side] for side in values]
    if len(a) > 1:
        estimate = over_seeds([x - y for x, y in zip(*means, strict=True)], unit="")
    else:
        estimate = replace(over_images(values[0][0] - values[1][0]), unit="")
    evidence = (
        f"The correlation of neighbouring pixels in the maps of {layer} is {statistics.fmean(means[0]):.3f} in "
        f"{_name(a)} and {statistics.fmean(means[1]):.3f} in {_name(b)}: {estimate}."
    )
    return Finding(claim, expected, estimate, evidence, margin)


def weights(
    claim: str,
    a: Run | Sequence[Run],
    b: Run | Sequence[Run],
    parameter: str,
    statistic: str,
    expected: Expectation,
    *,
    margin: float = 0.1,
) -> Finding:
    """Is a statistic of a weight tensor larger, smaller or the same in a?

    With one seed the interval is a percentile bootstrap over the weights of the tensor (Efron, 1979, Annals of
    Statistics 7, 1-26), which takes them for independent draws: it says how well so many weights fix the statistic.

    Parameters
    ----------
    parameter : its name, "fc3.weight" for instance.
    statistic : one of `WEIGHT_STATISTICS`.
    margin : the largest difference that "same" puts up with.

    Raises
    ------
    RunError
        If the statistic is unknown, or a run lacks the parameter.
    """
    a, b = _replicates(a, b)
    if statistic not in WEIGHT_STATISTICS:
        raise RunError(f"unknown statistic {statistic!r}; known: {', '.join(WEIGHT_STATISTICS)}")
    for run in (*a, *b):
        if parameter not in run.final_weights:
            raise RunError(f"{run.name} has no parameter {parameter!r}; it has {', '.join(run.final_weights)}")
    phrase, measure, difference = WEIGHT_STATISTICS[statistic]
    values = [[measure(run.final_weights[parameter].flatten()) for run in runs] for runs in (a, b)]
    if len(a) > 1:
        estimate = over_seeds([difference(x, y) for x, y in zip(*values, strict=True)], unit="")
    else:
        tensors = [runs[0].final_weights[parameter].flatten() for runs in (a, b)]
        low, high = bootstrap_interval(lambda x, y: difference(measure(x), measure(y)), *tensors)
        basis = f"bootstrap over the {tensors[0].numel()} weights; one seed"
        estimate = Estimate(difference(values[0][0], values[1][0]), low, high, basis, unit="")
    means = [statistics.fmean(side) for side in values]
    evidence = (
        f"{phrase} of `{parameter}` is {means[0]:.3f} in {_name(a)} and {means[1]:.3f} in {_name(b)}: {estimate}."
    )
    return Finding(claim, expected, estimate, evidence, margin)


def _offset(values: Tensor) -> float:
    """How far the mean lies from zero, in standard deviations."""
    return (values.mean().abs() / values.std(correction=0)).item()


def _spread(values: Tensor) -> float:
    return values.std(correction=0).item()


# By name: how it is called in a sentence, what it is of a tensor (N,), and how two of them are compared.
WEIGHT_STATISTICS: dict[str, tuple[str, Callable[[Tensor], float], Callable[[float, float], float]]] = {
    "offset": ("The distance of the mean from zero, in standard deviations,", _offset, lambda x, y: x - y),
    "spread": ("The standard deviation", _spread, lambda x, y: x / y - 1),
}


# --- Tables -----------------------------------------------------------------------------------------------------


def gap_table(runs: Sequence[Run | Sequence[Run]]) -> pd.DataFrame:
    """Train accuracy, test accuracy and the gap between them with its interval, a row per run or list of seeds."""
    rows = {}
    for replicates in map(_as_list, runs):
        if len(replicates) > 1:
            estimate = over_seeds([gap_of(run) for run in replicates])
        else:
            (run,) = replicates
            train, test = _train(run), _test(run)
            low, high = difference_interval(train[0], _wilson(*train), test[0], _wilson(*test))
            estimate = Estimate(train[0] - test[0], low, high, "one seed")
        rows[replicates[0].name] = {
            "λ": f"{replicates[0].experiment.l2:g}",
            "train accuracy": _mean(replicates, "train_accuracy"),
            "test accuracy": _mean(replicates, "test_accuracy"),
            "gap (points)": f"{100 * estimate.value:.2f}".replace("-", "−"),
            "95 % interval": f"{100 * estimate.low:.2f} to {100 * estimate.high:.2f}".replace("-", "−"),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def seeds_summary(*runs: Run | Sequence[Run]) -> Markdown:
    """Which seeds the verdicts rest on and, if they are several, what each of them gave."""
    replicates = [_as_list(one) for one in runs]
    seeds = [run.experiment.seed for run in replicates[0]]
    if len(seeds) == 1:
        return Markdown(
            f"Every network was trained once, with seed {seeds[0]}. The intervals below say how far the choice of "
            "images may have moved a difference; they do not say how far another seed would."
        )
    listed = "; ".join(
        f"`{one[0].name}` {', '.join(f'{run.test_accuracy:.4f}' for run in one)}"
        f" (mean {statistics.fmean(run.test_accuracy for run in one):.4f})"
        for one in replicates
    )
    return Markdown(
        f"Every network was trained {len(seeds)} times, with the seeds {seeds[0]} to {seeds[-1]}. Test accuracies in "
        f"this order: {listed}. Figures and counts show the first; verdicts rest on all."
    )


# --- Intervals --------------------------------------------------------------------------------------------------


def over_seeds(values: Sequence[float], unit: str = "points", level: float = 0.95) -> Estimate:
    """The mean of one value per seed, with Student's t interval (Student, 1908, Biometrika 6, 1-25).

    Raises
    ------
    RunError
        If there are fewer than two values: one has no spread.
    """
    if len(values) < 2:
        raise RunError(f"{len(values)} seeds have no spread; train at least two")
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    margin = t_quantile(len(values) - 1, level) * deviation / math.sqrt(len(values))
    basis = f"{len(values)} seeds, paired by seed, Student's t"
    return Estimate(mean, mean - margin, mean + margin, basis, unit, level)


def over_images(values: Tensor, level: float = 0.95) -> Estimate:
    """The mean of one value per image, float (N,), with its normal interval: there are thousands of images."""
    values = values.double()
    mean = values.mean().item()
    quantile = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    margin = quantile * values.std(correction=1).item() / math.sqrt(len(values))
    return Estimate(
        mean, mean - margin, mean + margin, f"paired on the same {len(values)} images; one seed", level=level
    )


def t_quantile(degrees: int, level: float = 0.95) -> float:
    """The t within which Student's distribution with so many degrees of freedom has the share `level` of its mass.

    By bisection of the finite sums 26.7.3 and 26.7.4 of Abramowitz and Stegun (1964, Handbook of Mathematical
    Functions), in the angle whose tangent is t / sqrt(degrees).

    Raises
    ------
    RunError
        If there are no degrees of freedom, or the level is not between 0 and 1.
    """
    if degrees < 1 or not 0 < level < 1:
        raise RunError(f"no t quantile for {degrees} degrees of freedom at level {level!r}; at least 1, and 0 to 1")
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_mass(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _t_mass(angle: float, degrees: int) -> float:
    """The share of Student's distribution within plus and minus sqrt(degrees) * tan(angle)."""
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(3 if odd else 2, degrees - 1, 2):
        term *= (power - 1) / power * math.cos(angle) ** 2
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def difference_interval(
    a: float, a_interval: tuple[float, float], b: float, b_interval: tuple[float, float]
) -> tuple[float, float]:
    """The interval of a - b from the intervals of two independent estimates.

    The method of variance estimates recovery (Zou and Donner, 2008, Statistics in Medicine 27, 1693-1702). For
    estimates that vary together, such as accuracies on the same images, it is wider than need be.
    """
    low = a - b - math.hypot(a - a_interval[0], b_interval[1] - b)
    high = a - b + math.hypot(a_interval[1] - a, b - b_interval[0])
    return low, high


def bootstrap_interval(
    statistic: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of two samples, float (N,) and (M,), drawn anew independently."""
    generator = torch.Generator().manual_seed(seed)

    def redrawn(sample: Tensor) -> Tensor:
        return sample[torch.randint(len(sample), (len(sample),), generator=generator)]

    found = torch.tensor([statistic(redrawn(a), redrawn(b)) for _ in range(BOOTSTRAP_DRAWS)], dtype=torch.float64)
    low, high = found.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return low, high


# --- Shared -----------------------------------------------------------------------------------------------------


def correct(run: Run) -> Tensor:
    """1 for each test image that the run classifies correctly and 0 for the others, float64 (N,)."""
    return (analysis.predicted(run) == run.labels).double()


def gap_of(run: Run) -> float:
    """Accuracy on training images, unaugmented, less that on test images."""
    return run.metrics["train_accuracy"] - run.test_accuracy


def _as_list(runs: Run | Sequence[Run]) -> list[Run]:
    return [runs] if isinstance(runs, Run) else list(runs)


def _replicates(a: Run | Sequence[Run], b: Run | Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Both as lists, checked to have the same seeds."""
    a, b = _as_list(a), _as_list(b)
    seeds = [[run.experiment.seed for run in runs] for runs in (a, b)]
    if not a or seeds[0] != seeds[1]:
        raise RunError(f"runs are compared seed by seed, and these have the seeds {seeds[0]} and {seeds[1]}")
    return a, b


def _name(runs: Sequence[Run]) -> str:
    return f"`{runs[0].name}`"


def _mean(runs: Sequence[Run], metric: str) -> str:
    """An accuracy, or with several seeds its mean and standard deviation, as text."""
    values = [run.metrics[metric] for run in runs]
    spread = f" (± {100 * statistics.stdev(values):.2f} over seeds)" if len(values) > 1 else ""
    return percent(statistics.fmean(values), 2) + spread


def _mean_gap(runs: Sequence[Run]) -> str:
    return points(statistics.fmean([gap_of(run) for run in runs]))


def _train(run: Run) -> tuple[float, int]:
    """Accuracy on training images, and how many they are."""
    return run.metrics["train_accuracy"], run.metrics["train_images"]


def _test(run: Run) -> tuple[float, int]:
    return run.test_accuracy, run.metrics["test_images"]


def _wilson(share: float, count: int) -> tuple[float, float]:
    return analysis.wilson_interval(round(share * count), count)


def _train_difference(a: Run, b: Run) -> tuple[float, float]:
    """The interval of the difference in training accuracy.

    The images are the same, but a run keeps only how many of them were right: the interval is wider than need be.
    """
    a_train, b_train = _train(a), _train(b)
    return difference_interval(a_train[0], _wilson(*a_train), b_train[0], _wilson(*b_train))


def _confused(run: Run, classes: tuple[int, int]) -> Tensor:
    """For each test image of either class whether it is taken for the other one, bool (N,)."""
    first, second = classes
    found, labels = analysis.predicted(run), run.labels
    mistaken = ((labels == first) & (found == second)) | ((labels == second) & (found == first))
    return mistaken[(labels == first) | (labels == second)]


def _paired_shares(a: Tensor, b: Tensor) -> Estimate:
    """The difference of the shares of two flags of the same images, bool (N,)."""
    both, only_a, only_b = int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum())
    low, high = analysis.paired_interval(both, only_a, only_b, len(a) - both - only_a - only_b)
    p = p_value(analysis.mcnemar_p_value(only_a, only_b))
    basis = f"paired on the same {len(a)} images, McNemar p {p}; one seed"
    return Estimate((only_a - only_b) / len(a), low, high, basis)
