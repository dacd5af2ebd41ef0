"""What the results of a batch say of its variants against a baseline, and which further seeds would be of use.

A batch file may name a `baseline`. Each other variant is then compared with it, paired by seed: runs of hwkit image by
image, everything else by its first number. p-values are adjusted for the number of comparisons (Holm).

With `seeds: until-decided` seeds come in groups, and after each group only what is still open gets more. Looking again
after each group would reject too often, so that p and intervals are those of Pocock's bounds for all looks there can
be (`statistics.sequential_p_value`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hwkit import analysis, statistics
from hwkit.batch.results import BatchResults, markdown_rows
from hwkit.batch.tasks import Task, baselines
from hwkit.errors import RunError
from hwkit.experiment import Experiment
from hwkit.export.files import replace_file
from hwkit.findings.verdicts import ALPHA, Claim, Finding, schedule_of
from hwkit.statistics import Interval, OnePair

FRACTIONS = ("test_accuracy", "train_accuracy")  # shown in percentage points


@dataclass(frozen=True)
class Against:
    """A variant against the baseline.

    Attributes
    ----------
    name : of the variant.
    variant, baseline : what is compared: the variants, of notebooks with the run.
    quantity : what is compared.
    seeds : that both have; with looks those up to the last look.
    estimate : its value less the baseline's; None where nothing can be said.
    problem : why there is none.
    p_value : with the looks before it and those that may follow accounted for; None without a verdict.
    p_holm : the same, adjusted for the number of comparisons.
    best_of : how many variants it has the highest mean of; 0 if another one has.
    """

    name: str
    variant: str
    baseline: str
    quantity: str
    seeds: tuple[Any, ...]
    estimate: Interval | OnePair | None
    problem: str = ""
    p_value: float | None = None
    p_holm: float | None = None
    best_of: int = 0

    @property
    def verdict(self) -> str:
        """ "higher" or "lower" than the baseline, "open", "one pair", or "none"."""
        if self.estimate is None:
            return "none"
        if self.p_holm is None:
            return "one pair"
        if self.p_holm > ALPHA:
            return "open"
        return "higher" if self.estimate.value > 0 else "lower"

    @property
    def finding(self) -> Finding | None:
        """The comparison in the words of the report's findings."""
        if self.estimate is None:
            return None
        claim = Claim(f"{self.variant} has a higher {self.quantity} than {self.baseline}", "higher")
        unit = "points" if self.quantity in FRACTIONS else ""
        quantity = self.quantity.replace("_", " ")
        return Finding(claim, self.estimate, quantity, self.variant, self.baseline, self.seeds, "", "", unit)

    @property
    def sentence(self) -> str:
        """The difference with its interval, and what it leaves open."""
        finding = self.finding
        if finding is None:
            return f"{self.variant}: no verdict, because {self.problem}."
        remark = f" {finding.remark}".rstrip()
        if self.verdict == "open" and finding.verdict != "open":
            remark = " By itself it would differ, but not after Holm's adjustment for the number of comparisons."
        return f"{self.variant}: {finding.measured()}.{remark}"


# --- Comparing --------------------------------------------------------------------------------------------------


def against_baseline(found: BatchResults) -> list[Against]:
    """Each variant that has results against its baseline, in the order of the batch."""
    pairs = baselines(found.plan.batch, found.plan.tasks)
    if not pairs or not found.metrics:
        return []
    compared = found.compared
    labels: dict[str, list[str]] = {}
    for name, label in zip(found.frame["variant"], compared, strict=True):
        if label not in labels.setdefault(name, []):
            labels[name].append(label)
    results = []
    for variant, baseline in pairs.items():
        own, base = labels.get(variant.name, []), labels.get(baseline.name, [])
        if own and len(own) != len(base):
            problem = f"it has results of {len(own)} runs and the baseline of {len(base)}"
            results.append(Against(variant.name, variant.name, baseline.name, found.metrics[0], (), None, problem))
        elif own:
            results += [_compare(found, variant.name, *both) for both in zip(own, base, strict=True)]
    decided = [number for number, one in enumerate(results) if one.p_value is not None]
    adjusted = statistics.holm([results[number].p_value or 0.0 for number in decided])
    for number, p in zip(decided, adjusted, strict=True):
        results[number] = replace(results[number], p_holm=p)
    highest = best(found)
    return [replace(one, best_of=highest.get(one.variant, 0)) for one in results]


def best(found: BatchResults) -> dict[str, int]:
    """What has the highest mean among three or more variants of one data set, and among how many."""
    if not found.metrics:
        return {}
    works = {task.variant.name: task.variant.work for task in found.plan.tasks}
    datasets = [work.dataset if isinstance(work := works[name], Experiment) else "" for name in found.frame["variant"]]
    means: dict[str, dict[str, float]] = {}
    by_label = {label: row[found.metrics[0], "mean"] for label, row in found.by_variant.to_dict("index").items()}
    for dataset, label in zip(datasets, found.compared, strict=True):
        if not math.isnan(by_label[label]):
            means.setdefault(dataset, {})[label] = by_label[label]
    return {max(of, key=of.__getitem__): len(of) for of in means.values() if len(of) > 2}


def _compare(found: BatchResults, name: str, variant: str, baseline: str) -> Against:
    """One variant's results against another's, by their labels in `found.compared`."""
    quantity, looks = found.metrics[0], found.plan.batch.looks
    own, base = _by_seed(found, variant), _by_seed(found, baseline)
    seeds = [seed for seed in own if seed in base]
    if len(looks) > 1:  # whole groups only: what is seen before a group is complete is not looked at
        wanted = [(seed, 0) for seed in found.plan.batch.seeds or ()]
        complete = next((n for n, seed in enumerate(wanted) if seed not in seeds), len(wanted))
        seeds = wanted[: max((look for look in looks if look <= complete), default=0)]
    against = Against(name, variant, baseline, quantity, tuple(seed for seed, _ in seeds), None)
    if len(seeds) in (0, 2):
        have = "two seeds in common, and a verdict takes three" if seeds else "no seed in common"
        return replace(against, problem=f"they have {have}")
    try:
        values = np.stack([_difference(found, own[seed], base[seed]) for seed in seeds])
    except RunError as error:
        return replace(against, problem=str(error))
    if len(seeds) == 1:
        pair = statistics.one_pair(values[0]) if values.ndim > 1 else OnePair(float(values[0]), 0.0)
        return replace(against, estimate=pair)
    if len(looks) == 1:
        estimate = _interval(values, 1 - ALPHA)
        return replace(against, estimate=estimate, p_value=estimate.p_value())
    level = statistics.sequential_level(len(looks), 1 - ALPHA)
    ends = [look for look in looks if look <= len(seeds)]
    smallest = min(_interval(values[:end], level).p_value() for end in ends)
    p_value = statistics.sequential_p_value(smallest, len(looks))
    return replace(against, estimate=_interval(values, level), p_value=p_value)


def _interval(values: np.ndarray, level: float) -> Interval:
    return statistics.crossed_interval(values, level) if values.ndim > 1 else statistics.student_interval(values, level)


def _by_seed(found: BatchResults, label: str) -> dict[tuple[Any, int], int]:
    """The rows of a label by seed, and by how manieth of that seed: a notebook may have trained several itself."""
    rows: dict[tuple[Any, int], int] = {}
    columns = found.compared, found.frame["seed"], found.frame[found.metrics[0]]
    for row, (of, seed, value) in enumerate(zip(*columns, strict=True)):
        if of == label and not math.isnan(value):
            seed = None if pd.isna(seed) else int(seed)
            rows[seed, sum(other == seed for other, _ in rows)] = row
    return rows


def _difference(found: BatchResults, row: int, other: int) -> np.ndarray:
    """A result less another: of runs on the test images 1, 0 or -1 for each image, (images,), else a number, ().

    Raises
    ------
    RunError
        If the runs were tested on different images.
    """
    a, b = (found.run_of(number) if found.metrics[0] == "test_accuracy" else None for number in (row, other))
    if a is None or b is None:
        values = found.frame[found.metrics[0]].to_numpy(dtype=float)
        return values[row] - values[other]
    analysis.require_same_test_images(a, b)
    return analysis.correct(a).numpy().astype(float) - analysis.correct(b).numpy()


# --- Seeds until it is decided ----------------------------------------------------------------------------------


def wanted_tasks(results: BatchResults) -> list[Task]:
    """Those tasks of a batch that are of use by its results; all of them unless seeds are run until it is decided.

    These are the first group of seeds of every variant and, where a variant is still open against its baseline, the
    group after those that are complete, of the variant and of its baseline.
    """
    plan, looks = results.plan, results.plan.batch.looks
    if len(looks) < 2:
        return plan.tasks
    pairs = baselines(plan.batch, plan.tasks)
    found = against_baseline(results)
    counts = dict.fromkeys((task.variant for task in plan.tasks), looks[0])
    for variant, baseline in pairs.items():
        for one in (one for one in found if one.name == variant.name):
            least = len(one.seeds) + (one.verdict == "open")
            counts[variant] = max(counts[variant], next((look for look in looks if look >= least), looks[-1]))
        counts[baseline] = max(counts[baseline], counts[variant])
    places = {seed: place for place, seed in enumerate(plan.batch.seeds or ())}
    return [task for task in plan.tasks if places[task.seed or 0] < counts[task.variant]]


# --- Showing ----------------------------------------------------------------------------------------------------


def markdown(compared: Sequence[Against], escaped: Any = lambda text: text.replace("|", "\\|")) -> str:
    """The comparisons as a Markdown table."""
    rows = [["variant", "baseline", "seeds", "difference", "95 % interval", "p (Holm)", "verdict"]]
    for one in compared:
        finding, estimate = one.finding, one.estimate
        if finding is None or estimate is None:
            shown = ["–", "–"]
        else:
            of_images = " (images)" if isinstance(estimate, OnePair) and estimate.image_se else ""
            low, high = (finding.number(end).removesuffix(" points") for end in (estimate.low, estimate.high))
            shown = [finding.number(estimate.value), f"{low} to {high}{of_images}" if low != high else "–"]
        p = "–" if one.p_holm is None else "< 0.001" if one.p_holm < 0.001 else f"{one.p_holm:.3f}"
        best = f" (selected: highest of {one.best_of})" if one.best_of else ""
        rows.append([one.variant, one.baseline, str(len(one.seeds)), *shown, p, one.verdict + best])
    return markdown_rows([[escaped(text) for text in row] for row in rows], left=(0, 1, 6))


def remarks(found: BatchResults, compared: Sequence[Against]) -> list[str]:
    """What the comparisons rest on and leave open, and that the best of many was selected; a sentence each."""
    batch, lines = found.plan.batch, []
    works = [task.variant.work for task in found.plan.tasks]
    trained = schedule_of(work for work in works if isinstance(work, Experiment))
    if any(one.p_holm is not None for one in compared):
        # The numbers of notebooks have one value for each seed, whose interval knows nothing of images.
        images = " and other test images" if any(one.estimate and one.estimate.image_se for one in compared) else ""
        lines.append(
            f"Verdicts hold for other seeds{images}{f', after {trained}' if trained else ''}; p is "
            f"adjusted for {sum(one.p_holm is not None for one in compared)} comparisons (Holm)."
        )
    if len(batch.looks) > 1:
        looks = ", ".join(map(str, batch.looks))
        lines.append(f"Intervals and p hold for all looks, at {looks} seeds (Pocock's bounds).")
    lines += [one.sentence for one in compared if one.verdict in ("open", "one pair", "none")]
    lines += [
        f"{label} has the highest {found.metrics[0].replace('_', ' ')} of {count} variants. Because these seeds "
        "selected it, its mean is biased upwards; to report a number, run it with other seeds."
        for label, count in best(found).items()
    ]
    return lines


def write(compared: Sequence[Against], results: Path) -> Path:
    """Write the comparisons as CSV beside the results, as results-verdicts.csv; returns where."""
    rows = []
    for one in compared:
        numbers = one.finding.row if one.finding else {}
        keys = ("value", "low", "high", "level", "unit", "df", "run_spread", "robustness")
        rows.append(
            {
                **{name: getattr(one, name) for name in ("variant", "baseline", "quantity", "verdict")},
                **{name: numbers.get(name) for name in keys},
                "seeds": " ".join(map(str, one.seeds)),
                **{name: getattr(one, name) for name in ("p_value", "p_holm", "best_of", "problem")},
            }
        )
    path = results.with_name(f"{results.stem}-verdicts.csv")
    replace_file(path, pd.DataFrame(rows).to_csv(index=False).encode())
    return path
