"""What the results of a batch say of its variants against a baseline, and which further seeds would be of use.

A batch file may name a `baseline`. Each other variant is then compared with it, paired by seed: trainings image by
image, notebooks by their first number. p-values are adjusted for the number of variants (Holm).

With `seeds: until-decided` the seeds come in groups of three, and after each group only what is still open goes on.
Looking again after each group would reject too often, so that p is that of Pocock's bounds for all looks that there can
be, and the intervals hold for all of them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwkit import statistics
from hwkit.findings.verdicts import ALPHA
from hwkit.statistics import MINIMUM_SEEDS, Interval, OnePair

if TYPE_CHECKING:
    from hwkit.batch.tasks import Task, Variant

GROUP = MINIMUM_SEEDS  # seeds between two looks
LEVEL = 1 - ALPHA

# What a task measured: 1 for each test image that a training classifies correctly, (images,), or one number, ().
Measure = Callable[["Task"], np.ndarray]


@dataclass(frozen=True)
class Against:
    """A variant against the baseline.

    Attributes
    ----------
    seeds : that both have.
    estimate : its value less the baseline's; None where two seeds, or none, give nothing to say.
    p_value : with the looks before it and those that may follow accounted for; None without a verdict.
    p_holm : the same, adjusted for the number of variants.
    """

    variant: Variant
    baseline: Variant
    seeds: tuple[int | None, ...]
    estimate: Interval | OnePair | None
    p_value: float | None = None
    p_holm: float | None = None

    @property
    def verdict(self) -> str:
        """ "higher" or "lower" than the baseline, "open", "one pair", or "too few seeds"."""
        if self.estimate is None:
            return "too few seeds"
        if self.p_holm is None:
            return "one pair"
        if self.p_holm > ALPHA:
            return "open"
        return "higher" if self.estimate.value > 0 else "lower"


def against_baseline(tasks: Sequence[Task], baseline: Variant, measure: Measure, looks: int = 1) -> list[Against]:
    """Each variant of tasks that are done against the baseline, in the order of the tasks.

    Parameters
    ----------
    looks : at how many groups of seeds one may look, of `seeds: until-decided`; 1 is at all seeds at once.
    """
    by_variant: dict[Variant, dict[int | None, Task]] = {}
    for task in tasks:
        by_variant.setdefault(task.variant, {})[task.seed] = task
    base = by_variant.pop(baseline, {})
    found = [_compare(variant, own, baseline, base, measure, looks) for variant, own in by_variant.items()]
    decided = [number for number, one in enumerate(found) if one.p_value is not None]
    adjusted = statistics.holm([found[number].p_value or 0.0 for number in decided])
    for number, p in zip(decided, adjusted, strict=True):
        found[number] = replace(found[number], p_holm=p)
    return found


def _compare(
    variant: Variant,
    own: dict[int | None, Task],
    baseline: Variant,
    base: dict[int | None, Task],
    measure: Measure,
    looks: int,
) -> Against:
    seeds = tuple(seed for seed in own if seed in base)
    if looks > 1:  # whole groups only: what is seen before a group is complete is not looked at
        seeds = seeds[: len(seeds) // GROUP * GROUP]
    if len(seeds) in (0, 2):
        return Against(variant, baseline, seeds, None)
    values = np.stack([measure(own[seed]) - measure(base[seed]) for seed in seeds])
    if len(seeds) == 1:
        pair = statistics.one_pair(values[0]) if values.ndim > 1 else OnePair(float(values[0]), 0.0)
        return Against(variant, baseline, seeds, pair)
    level = statistics.sequential_level(looks, LEVEL)
    ends = range(GROUP, len(seeds) + 1, GROUP) if looks > 1 else [len(seeds)]
    smallest = min(_interval(values[:end], level).p_value() for end in ends)
    p_value = statistics.sequential_p_value(smallest, looks)
    return Against(variant, baseline, seeds, _interval(values, level), p_value)


def _interval(values: np.ndarray, level: float) -> Interval:
    return statistics.crossed_interval(values, level) if values.ndim > 1 else statistics.student_interval(values, level)


def needed(tasks: Sequence[Task], baseline: Variant, done: Sequence[Task], measure: Measure) -> list[Task]:
    """Those tasks, of all seeds up to the ceiling, that are of use by what is known.

    These are the first group of seeds of every variant and, where a variant is still open against the baseline, the
    group after those that are complete, of the variant and of the baseline.
    """
    looks = max(1, len({task.seed for task in tasks}) // GROUP)
    groups: dict[Variant, int] = {}
    for one in against_baseline(done, baseline, measure, looks):
        groups[one.variant] = len(one.seeds) // GROUP + (one.verdict in ("open", "too few seeds"))
    groups[baseline] = max(groups.values(), default=1)
    places: Counter[Variant] = Counter()
    wanted = []
    for task in tasks:
        if places[task.variant] < GROUP * max(1, groups.get(task.variant, 1)):
            wanted.append(task)
        places[task.variant] += 1
    return wanted
