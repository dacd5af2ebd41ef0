"""Intervals cover what they say, verdicts err as rarely as they say, and formulas give the published numbers."""

from __future__ import annotations

import doctest
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwkit import analysis, statistics
from hwkit.errors import StatisticsError
from hwkit.statistics import OnePair, crossed_interval, gap_interval, one_pair, student_interval

IMAGES = 300
REPEATS = 1000  # of each simulation: the Monte-Carlo error of a coverage of 95 % is 0.7 points
COVERED = (0.93, 0.985)  # 93 to 98 %, and the Monte-Carlo error


def correct(random: np.random.Generator, seeds: int, *, spread: float, effect: float = 0.0) -> NDArray:
    """What two recipes get right, bool (REPEATS, 2, seeds, IMAGES), on images drawn anew for each repeat.

    The first is better by `effect`; images differ in difficulty and in the effect, and the accuracy of each network by
    the standard deviation `spread`. Networks of one seed agree more often than others, as the same shape makes them.
    """
    difficulty = random.choice([0.15, 0.5, 0.85], p=[0.1, 0.2, 0.7], size=(REPEATS, 1, 1, IMAGES))
    own_effect = random.choice([-0.1, 0.0, 0.1], p=[0.25, 0.5, 0.25], size=(REPEATS, 1, IMAGES))
    of_run = random.normal(0, spread, (REPEATS, 2, seeds, 1))
    chances = difficulty + np.stack([own_effect / 2 + effect, -own_effect / 2], axis=1) + of_run
    own, shared = (random.random((REPEATS, count, seeds, IMAGES), dtype=np.float32) for count in (2, 1))
    return np.where(random.random(own.shape, dtype=np.float32) < 0.5, shared, own) < chances


def differences(random: np.random.Generator, seeds: int, **given: float) -> NDArray:
    """The differences of what they get right, int8 (REPEATS, seeds, IMAGES)."""
    both = correct(random, seeds, **given).astype(np.int8)
    return both[:, 0] - both[:, 1]


def test_the_examples_of_the_docstrings_are_right() -> None:
    assert doctest.testmod(statistics).failed == 0


# --- Coverage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.005, 0.02])
def test_crossed_intervals_cover_the_difference_of_recipes(seeds: int, spread: float) -> None:
    random = np.random.default_rng(seeds)
    found = [crossed_interval(one) for one in differences(random, seeds, spread=spread, effect=0.02)]
    assert COVERED[0] < np.mean([one.low <= 0.02 <= one.high for one in found]) < COVERED[1]


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.005])
def test_equal_recipes_are_called_different_in_at_most_five_percent(seeds: int, spread: float) -> None:
    random = np.random.default_rng(seeds)
    values = [crossed_interval(one).p_value() for one in differences(random, seeds, spread=spread)]
    assert np.mean(np.array(values) <= 0.05) < 1 - COVERED[0]


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("together", [-1, 0, 1])
def test_gap_intervals_cover_however_the_accuracies_of_a_network_vary_together(seeds: int, together: int) -> None:
    random = np.random.default_rng(seeds)
    covered = []
    for _ in range(REPEATS):
        better = random.normal(0, 0.02, (seeds, 1))
        test_chances = random.choice([0.3, 0.9], size=IMAGES) + together * better
        train_chances = random.choice([0.5, 0.9], size=2 * IMAGES) + better
        gap = gap_interval(
            random.random((seeds, 2 * IMAGES)) < train_chances, random.random((seeds, IMAGES)) < test_chances
        )
        covered.append(gap.low <= 0.1 <= gap.high)
    assert COVERED[0] < np.mean(covered) < COVERED[1]


def test_student_intervals_cover_where_every_network_has_a_number_of_its_own() -> None:
    random = np.random.default_rng(0)
    found = [student_interval(random.normal(5, 2, 3)) for _ in range(REPEATS)]
    assert COVERED[0] < np.mean([one.low <= 5 <= one.high for one in found]) < COVERED[1]


def test_students_t_over_seeds_alone_forgets_the_test_set_that_they_share() -> None:
    random = np.random.default_rng(0)
    drawn = [random.normal(random.normal(0, 0.3, IMAGES), 0.4, (10, IMAGES)) for _ in range(REPEATS)]
    over_seeds = [student_interval(one.mean(axis=1)) for one in drawn]
    both = [crossed_interval(one) for one in drawn]
    assert np.mean([one.low <= 0 <= one.high for one in over_seeds]) < 0.7
    assert COVERED[0] < np.mean([one.low <= 0 <= one.high for one in both]) < COVERED[1]


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_differences_to_a_published_number_cover_the_difference_of_recipes(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    spread = 0.02 if seeds > 1 else 0.0
    covered = []
    for _ in range(REPEATS):
        chances = random.choice([0.05, 0.5, 0.95], p=[0.1, 0.2, 0.7], size=IMAGES) + random.normal(
            0, spread, (seeds, 1)
        )
        ours = (random.random((seeds, IMAGES)) < chances).mean(axis=1)
        theirs = random.binomial(IMAGES, 0.77 + random.normal(0, spread)) / IMAGES
        found = statistics.published_difference(ours, IMAGES, theirs, IMAGES)
        covered.append(found.low <= 0 <= found.high)
    assert COVERED[0] < np.mean(covered) < COVERED[1]


def test_the_error_of_a_difference_to_the_reference_report() -> None:
    found = statistics.published_difference([0.79], 10000, 0.7901, 10000)
    assert 100 * (found.high - found.value) == pytest.approx(1.13, abs=0.01)


# --- What the numbers are ---------------------------------------------------------------------------------------


def test_a_crossed_interval_by_hand() -> None:
    values = [[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, -1]]
    # Means of seeds 1/2, 1/4, 1/2; of images 1, 1/3, 2/3, -1/3; of all 5/12.
    total = 7 - 12 * (5 / 12) ** 2
    of_seeds = 4 / 48
    of_images = 3 * (1 + 1 / 9 + 4 / 9 + 1 / 9 - 4 * (5 / 12) ** 2) / 3
    of_rest = (total - 2 * of_seeds - 3 * of_images) / 6
    assert of_seeds < of_rest
    found = crossed_interval(values)
    df = 2 * of_images**2 / (of_seeds**2 / 2 + of_images**2 / 3 + of_rest**2 / 6)
    se = math.sqrt(of_images / 12)
    assert (found.value, found.se, found.df) == pytest.approx((5 / 12, se, df))
    assert found.high == pytest.approx(5 / 12 + statistics.t_quantile(df) * se)
    assert (found.run_spread, found.seeds) == (0, 3)
    assert found.image_se == pytest.approx(math.sqrt((of_images - of_rest) / 12))


def test_an_interval_ends_where_the_p_value_is_five_percent() -> None:
    found = crossed_interval(differences(np.random.default_rng(0), 3, spread=0.05, effect=0.1)[0])
    assert found.p_value(found.low) == pytest.approx(0.05)
    assert found.p_value(found.high) == pytest.approx(0.05)
    assert found.p_value(found.value) == 1


def test_networks_that_are_alike_in_everything_differ_by_exactly_nothing() -> None:
    found = crossed_interval(np.zeros((3, 10)))
    assert (found.low, found.high, found.p_value()) == (0, 0, 1)
    assert student_interval([2.0, 2.0, 2.0]).p_value() == 0


def test_the_run_spread_is_that_of_jordans_theorem() -> None:
    right = correct(np.random.default_rng(0), 20, spread=0.1)[0, 0].astype(float)
    jordan = right.mean(axis=1).var(ddof=1) - right.var(axis=0, ddof=1).sum() / IMAGES**2
    assert statistics.run_spread(right) == pytest.approx(math.sqrt(jordan * IMAGES / (IMAGES - 1)))
    assert statistics.run_spread(right) == pytest.approx(0.1, rel=0.3)
    assert crossed_interval(right).run_spread == pytest.approx(statistics.run_spread(right))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_verdict_asks_for_three_seeds(count: int) -> None:
    values = np.zeros((count, 10))
    for make in (crossed_interval, lambda d: gap_interval(d, d), lambda d: student_interval(d[:, 0])):
        with pytest.raises(StatisticsError, match="needs three seeds or more"):
            make(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: crossed_interval([0.1, 0.2, 0.3]), r"shape \(seeds, two images or more\), not \(3,\)"),
        (lambda: crossed_interval(np.zeros((3, 1))), "two images or more"),
        (lambda: crossed_interval(np.zeros((3, 9)), level=95), "between 0 and 1"),
        (lambda: gap_interval(np.zeros((3, 9)), np.zeros((4, 9))), "train has 3 seeds and test 4"),
        (lambda: statistics.run_spread(np.zeros((1, 9))), "one seed has no spread"),
        (lambda: one_pair(np.zeros((3, 9))), "two images or more"),
        (lambda: statistics.equivalence_p_value(student_interval([1, 2, 3]), 0), "margin must be above 0"),
    ],
)
def test_what_no_interval_can_be_made_of_is_an_error(make: object, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        make()


# --- One pair, equivalence, several claims, planning ------------------------------------------------------------


def test_a_difference_of_one_pair_would_just_hold_at_its_robustness() -> None:
    pair = one_pair(np.repeat([1, 0, -1], [300, 600, 100]))
    with_seeds = math.hypot(pair.image_se, math.sqrt(2) * pair.robustness)
    assert pair.value - statistics.t_quantile(math.inf) * with_seeds == pytest.approx(0)
    assert pair.low > 0
    four = one_pair(np.repeat([1, 0, -1], [300, 600, 100]), runs=4)
    assert four.robustness == pytest.approx(pair.robustness / math.sqrt(2))


def test_a_difference_that_the_images_can_explain_has_no_robustness() -> None:
    pair = one_pair(np.repeat([1, 0, -1], [52, 900, 48]))
    assert pair.low < 0 < pair.high
    assert pair.robustness == 0


def test_the_gap_of_one_pair_has_the_errors_of_both_sets() -> None:
    train, test = np.repeat([1, 0], [500, 500]), np.repeat([1, 0], [200, 300])
    pair = statistics.one_pair_gap(train, test)
    assert pair.value == pytest.approx(0.1)
    assert pair.image_se == pytest.approx(math.hypot(one_pair(train).image_se, one_pair(test).image_se))


def test_a_number_that_no_image_enters_is_exact() -> None:
    exact = OnePair(0.3, 0.0)
    assert exact.low == exact.high == 0.3


def test_recipes_at_the_margin_are_called_the_same_in_at_most_five_percent() -> None:
    random = np.random.default_rng(0)
    found = [crossed_interval(one) for one in differences(random, 5, spread=0.005, effect=0.05)]
    same = [statistics.equivalence_p_value(one, 0.05) < 0.025 for one in found]
    assert 0 < np.mean(same) < 0.05
    assert same == [one.low > -0.05 and one.high < 0.05 for one in found]


def test_holm_keeps_the_error_of_the_whole_family() -> None:
    assert statistics.holm([]) == []
    # The example of Wright (1992), Biometrics 48, 1005-1013.
    assert statistics.holm([0.5, 0.01]) == pytest.approx([0.5, 0.02])
    random = np.random.default_rng(0)
    families = [min(statistics.holm(list(random.random(9)))) <= 0.05 for _ in range(REPEATS)]
    assert 0.03 < np.mean(families) < 0.065


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_keeps_the_order_and_lies_between_the_p_value_and_bonferronis(values: list[float]) -> None:
    adjusted = statistics.holm(values)
    for p, found in zip(values, adjusted, strict=True):
        assert p <= found <= min(1, len(values) * p)
    assert sorted(range(len(values)), key=values.__getitem__) == sorted(
        range(len(values)), key=lambda n: (adjusted[n], values[n])
    )


@pytest.mark.parametrize(("looks", "bound"), [(1, 1.960), (2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)])
def test_repeated_looks_have_pococks_bounds(looks: int, bound: float) -> None:
    assert statistics.t_quantile(math.inf, statistics.sequential_level(looks)) == pytest.approx(bound, abs=0.001)


def test_looking_again_and_again_keeps_the_five_percent() -> None:
    random = np.random.default_rng(0)
    for spread in (0.0, 0.02):
        smallest = [
            min(crossed_interval(one[:seeds]).p_value() for seeds in (3, 6, 9, 12))
            for one in differences(random, 12, spread=spread)
        ]
        assert np.mean(np.array(smallest) <= 0.05) > 0.06  # without a correction
        corrected = [statistics.sequential_p_value(p, looks=4) for p in smallest]
        assert np.mean(np.array(corrected) <= 0.05) < 1 - COVERED[0]


def test_p_values_of_looks_never_fall_and_end_at_one() -> None:
    values = [statistics.sequential_p_value(p, looks=3) for p in (0.0, 1e-9, 0.01, 0.2, 0.9, 1.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert values[-1] == 1
    assert statistics.sequential_p_value(0.03, looks=1) == pytest.approx(0.03, abs=1e-6)


def test_as_many_seeds_as_are_needed_find_the_difference_four_times_in_five() -> None:
    seeds = statistics.seeds_needed(spread=0.01, difference=0.01)
    assert seeds == math.ceil(15.7)
    random = np.random.default_rng(0)
    drawn = 0.01 + random.normal(0, 0.01, (REPEATS, seeds)) - random.normal(0, 0.01, (REPEATS, seeds))
    assert 0.72 < np.mean([student_interval(one).low > 0 for one in drawn]) < 0.85


def test_no_number_of_seeds_makes_up_for_too_few_images() -> None:
    assert statistics.seeds_needed(0.01, 0.01, image_se=0.004) == math.inf
    assert 16 < statistics.seeds_needed(0.01, 0.01, image_se=0.002) < 40
    assert statistics.seeds_needed(0.01, 0.1) == statistics.MINIMUM_SEEDS


# --- Published numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        # Table I of Newcombe (1998), Statistics in Medicine 17, 857-872, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(successes: int, count: int, low: float, high: float) -> None:
    assert statistics.wilson_interval(successes, count) == pytest.approx((low, high), abs=5e-5)


@given(count=st.integers(1, 20000), share=st.floats(0, 1), level=st.floats(0.5, 0.999))
def test_a_wilson_interval_holds_the_proportion_and_stays_within_zero_and_one(
    count: int, share: float, level: float
) -> None:
    successes = round(share * count)
    low, high = statistics.wilson_interval(successes, count, level)
    assert 0 <= low <= successes / count <= high <= 1


@pytest.mark.parametrize(("successes", "count", "level"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 95)])
def test_impossible_proportions_are_errors(successes: int, count: int, level: float) -> None:
    with pytest.raises(StatisticsError):
        statistics.wilson_interval(successes, count, level)


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (5, 0, 2 / 2**5),
        (1, 7, 2 * (1 + 8) / 2**8),
        (9, 3, 2 * (1 + 12 + 66 + 220) / 2**12),
    ],
)
def test_mcnemar_is_a_coin_toss_worked_out_by_hand(only_a: int, only_b: int, expected: float) -> None:
    assert statistics.mcnemar_p_value(only_a, only_b) == pytest.approx(expected)
    assert statistics.mcnemar_p_value(only_b, only_a) == pytest.approx(expected)


def test_mcnemar_copes_with_thousands_of_images() -> None:
    assert statistics.mcnemar_p_value(1500, 1500) == 1
    # The normal approximation with continuity correction, good to a percent at this size.
    z = (1600 - 1500 - 1) / math.sqrt(3100)
    assert statistics.mcnemar_p_value(1600, 1500) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


@pytest.mark.parametrize(("df", "expected"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (120, 1.980)])
def test_t_quantiles_are_those_of_the_tables(df: float, expected: float) -> None:
    assert statistics.t_quantile(df) == pytest.approx(expected, abs=0.0006)


# --- Probabilities and ensembles --------------------------------------------------------------------------------


def predicted(probabilities: Any, labels: Any) -> Any:
    """Test images with these probabilities, (images, classes), and labels, as analysis takes them."""
    return SimpleNamespace(logits=torch.as_tensor(probabilities).double().log(), labels=torch.as_tensor(labels))


def calibration_error(probabilities: Any, labels: Any) -> float:
    return analysis.expected_calibration_error(predicted(probabilities, labels))


def test_confidence_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 50000)
    labels = (random.random(50000) > confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert calibration_error(probabilities, labels) < 0.01
    overconfident = np.stack([np.full(50000, 0.999), np.full(50000, 0.001)], axis=1)
    assert calibration_error(overconfident, labels) == pytest.approx(0.999 - 0.75, abs=0.01)


def test_scores_by_hand() -> None:
    found = predicted([[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]], [0, 0, 1])
    expected = -(math.log(0.8) + math.log(0.4) + math.log(0.5)) / 3
    assert analysis.log_loss(found) == pytest.approx(expected)
    assert analysis.expected_calibration_error(found) == pytest.approx((0.2 + 0.6 + 0.5) / 3)


def test_an_ensemble_is_the_mean_of_probabilities_and_better_than_networks_that_err_apart() -> None:
    logits = np.log([[[0.9, 0.1]], [[0.5, 0.5]]])
    assert statistics.ensemble(logits) == pytest.approx(np.array([[0.7, 0.3]]))
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 1000)
    networks = 2 * np.eye(10)[labels] + random.normal(0, 1.5, (5, 1000, 10))
    together, alone = (statistics.ensemble(part) for part in (networks, networks[:1]))
    assert (together.argmax(axis=1) == labels).mean() > (alone.argmax(axis=1) == labels).mean()
    assert analysis.log_loss(predicted(together, labels)) < analysis.log_loss(predicted(alone, labels))
