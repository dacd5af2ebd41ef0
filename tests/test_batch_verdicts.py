"""Variants of a batch against its baseline: what is said of them, and which seeds are still of use."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from hwkit.batch import verdicts
from hwkit.batch.tasks import Task, Variant
from hwkit.experiment import named_experiment

BASE, BETTER, SAME = (
    Variant("mnist", {"width": width}, True, named_experiment("mnist", width=width)) for width in (1, 2, 4)
)
IMAGES = 400


def tasks(seeds: int, *variants: Variant) -> list[Task]:
    return [Task(variant, seed, f"{variant.name}-{seed}") for variant in variants for seed in range(seeds)]


def measured(effects: dict[Variant, float], *, number: int = 0, spread: float = 0.01) -> verdicts.Measure:
    """What tasks measure on common images if variants have these effects on a chance of 0.7."""
    ease = np.random.default_rng(number).uniform(-0.2, 0.2, IMAGES)

    @functools.cache
    def measure(task: Task) -> np.ndarray:
        random = np.random.default_rng([number, task.variant.options["width"], task.seed])
        chance = 0.7 + ease + effects.get(task.variant, 0.0) + random.normal(0, spread)
        return (random.random(IMAGES) < chance).astype(float)

    return measure


def test_a_variant_is_higher_lower_or_open() -> None:
    found = verdicts.against_baseline(tasks(4, BASE, BETTER, SAME), BASE, measured({BETTER: 0.1}))
    assert [(one.variant, one.verdict) for one in found] == [(BETTER, "higher"), (SAME, "open")]
    assert found[0].estimate.low < 0.1 < found[0].estimate.high
    assert found[0].p_holm == pytest.approx(2 * found[0].p_value)
    turned = verdicts.against_baseline(tasks(4, BASE, BETTER, SAME), BETTER, measured({BETTER: 0.1}))
    assert [one.verdict for one in turned] == ["lower", "lower"]


@pytest.mark.parametrize(
    ("seeds", "verdict"), [(0, "too few seeds"), (1, "one pair"), (2, "too few seeds"), (3, "open")]
)
def test_a_verdict_takes_three_seeds(seeds: int, verdict: str) -> None:
    done = tasks(3, SAME) + tasks(seeds, BASE)
    (found,) = verdicts.against_baseline(done, BASE, measured({}))
    assert found.verdict == verdict
    assert (found.p_value is None) == (seeds < 3)


def test_numbers_of_notebooks_are_compared_by_seed() -> None:
    numbers = {BASE: [1.0, 2.0, 3.0], BETTER: [2.0, 3.1, 4.0]}
    (found,) = verdicts.against_baseline(
        tasks(3, BASE, BETTER), BASE, lambda task: np.array(numbers[task.variant][task.seed])
    )
    assert found.estimate.value == pytest.approx(1.0333, abs=1e-4)
    assert found.verdict == "higher"


def run_until_decided(effects: dict[Variant, float], ceiling: int, number: int) -> list[verdicts.Against]:
    """What a batch comes to that runs whatever is needed, group by group."""
    every, measure = tasks(ceiling, *{BASE: 0.0, **effects}), measured(effects, number=number)
    done: list[Task] = []
    for _ in range(ceiling):
        todo = [task for task in verdicts.needed(every, BASE, done, measure) if task not in done]
        if not todo:
            break
        done += todo
    return verdicts.against_baseline(done, BASE, measure, looks=ceiling // verdicts.GROUP)


def test_seeds_are_added_only_where_it_is_open_and_up_to_the_ceiling() -> None:
    sure, unsure = run_until_decided({BETTER: 0.15, SAME: 0.0}, 9, number=1)
    assert (sure.verdict, unsure.verdict) == ("higher", "open")
    assert len(unsure.seeds) == 9
    assert len(sure.seeds) < 9


def test_what_is_decided_stays_decided() -> None:
    every, measure = tasks(12, BASE, BETTER), measured({BETTER: 0.15})
    done = [task for task in every if task.seed < 6]
    assert verdicts.needed(every, BASE, done, measure) == done
    assert verdicts.against_baseline(every, BASE, measure, looks=4)[0].verdict == "higher"


def test_a_group_that_is_not_complete_is_not_looked_at() -> None:
    every, measure = tasks(9, BASE, BETTER), measured({BETTER: 0.15})
    half = [task for task in every if task.seed < 5]
    complete = [task for task in every if task.seed < 3]
    seen, seen_before = (verdicts.against_baseline(one, BASE, measure, looks=3) for one in (half, complete))
    assert seen == seen_before
    assert verdicts.needed(every, BASE, [], measure) == complete


def test_seeds_until_decided_call_equal_variants_different_in_at_most_five_percent() -> None:
    decided = [
        any(one.verdict in ("higher", "lower") for one in run_until_decided({BETTER: 0.0, SAME: 0.0}, 9, number))
        for number in range(100)
    ]
    assert np.mean(decided) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)
