"""Intervals and tests for differences between trained networks.

What is compared are recipes, not single networks, so two kinds of chance enter: which images are in the test set, and
what training does with its seed. With `MINIMUM_SEEDS` seeds or more, `crossed_interval` accounts for both. With one
there is a statement on one pair of networks, `OnePair`, and no verdict.

Pure functions on arrays, which know nothing of runs. Distributions come from scipy.special, which scipy.stats calls,
and which imports in a quarter of its time.

>>> random = np.random.default_rng(0)
>>> correct_a, correct_b = random.random((2, 3, 5000)) < [[[0.80]], [[0.75]]]  # three seeds, 5000 images
>>> found = crossed_interval(correct_a.astype(int) - correct_b)
>>> f"{100 * found.value:.1f} points, 95 % interval {100 * found.low:.1f} to {100 * found.high:.1f}"
'4.6 points, 95 % interval 3.7 to 5.6'
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from hwkit.errors import StatisticsError

MINIMUM_SEEDS = 3  # of a verdict: with two, Student's t has one degree of freedom, and its quantile is 12.7


# --- Three seeds or more ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """An estimate from several seeds, whose true value lies between `low` and `high` at `level`.

    Attributes
    ----------
    se : standard error of `value`.
    df : degrees of freedom of Student's t.
    seeds : how many.
    run_spread : standard deviation from seed to seed that would be left with infinitely many images.
    image_se : the part of `se` that comes from the choice of images, which more seeds do not make smaller.
    """

    value: float
    low: float
    high: float
    se: float
    df: float
    seeds: int
    run_spread: float
    image_se: float = 0.0
    level: float = 0.95

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p of the hypothesis that the true value is `null`: 1 - level where an end of the interval is.

        >>> student_interval([1.0, 2.0, 3.0]).p_value(2.0)
        1.0
        """
        return min(1.0, 2 * min(self.p_below(null), self.p_above(null)))

    def p_below(self, null: float) -> float:
        """One-sided p of the hypothesis that the true value is `null` or less."""
        return self._tail(null - self.value)

    def p_above(self, null: float) -> float:
        """One-sided p of the hypothesis that the true value is `null` or more."""
        return self._tail(self.value - null)

    def _tail(self, distance: float) -> float:
        if self.se == 0:
            return 0.0 if distance < 0 else 1.0
        return float(special.stdtr(self.df, distance / self.se))


def crossed_interval(difference: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of a difference over random seeds and over the images that could have been drawn.

    Seeds and images are crossed random effects (Searle, Casella and McCulloch, 1992, Variance Components, ch. 4). With
    the mean squares MS_a of seeds, MS_b of images and MS_e of the rest, the mean over n seeds and N images has

        SE^2 = max(MS_a + MS_b - MS_e, MS_b) / (n N)

    and the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2, 110-114). Where MS_a < MS_e the variance
    is MS_b alone, and he gives no answer: his sum may come near zero, and the N - 1 of MS_b forget the spread over
    seeds that may hide in the noise. Twice his df with MS_b as the sum keep the coverage of 95 % intervals between 94
    and 98 % in simulation (tests/test_statistics.py).

    Parameters
    ----------
    difference : (seeds, images), such as correct_A - correct_B paired by seed, or the values of one recipe.

    Raises
    ------
    StatisticsError
        If there are fewer than `MINIMUM_SEEDS` seeds or two images, or the level is not between 0 and 1.
    """
    return _crossed([_matrix(difference)], level)


def gap_interval(train: ArrayLike, test: ArrayLike, level: float = 0.95) -> Interval:
    """mean(train) - mean(test), over seeds and over two independent sets of images.

    As `crossed_interval`. A seed's two means come from the same networks, so MS_a is that of their difference.

    Parameters
    ----------
    train, test : (seeds, training images) and (seeds, test images), of the same seeds in the same order.

    Raises
    ------
    StatisticsError
        As `crossed_interval` does, and if the two have different numbers of seeds.
    """
    train, test = _matrix(train), _matrix(test)
    if len(train) != len(test):
        raise StatisticsError(f"train has {len(train)} seeds and test {len(test)}; give both for the same seeds")
    return _crossed([train, -test], level)


def _crossed(parts: Sequence[NDArray], level: float) -> Interval:
    """The interval of the sum of the means of parts (seeds, images), each over images of its own."""
    seeds = len(parts[0])
    require_seeds(seeds)
    # Mean squares divided by the number of images: all are variances of a mean over the images.
    squares = [np.array(_mean_squares(part)[1:]) / part.shape[1] for part in parts]
    by_seed = np.sum([part.mean(axis=1) for part in parts], axis=0)
    of_seeds = float(by_seed.var(ddof=1))
    of_images, of_rest = np.sum(squares, axis=0).tolist()
    variance = max(of_seeds + of_images - of_rest, of_images)
    scatter = of_seeds**2 / (seeds - 1)
    for (images, rest), part in zip(squares, parts, strict=True):
        scatter += (images**2 + rest**2 / (seeds - 1)) / (part.shape[1] - 1)
    df = variance**2 / scatter if scatter else math.inf
    return _interval(
        value=float(by_seed.mean()),
        se=math.sqrt(variance / seeds),
        df=max(1.0, df if of_seeds >= of_rest else 2 * df),
        seeds=seeds,
        run_spread=math.sqrt(max(0.0, of_seeds - of_rest)),
        image_se=math.sqrt(max(0.0, of_images - of_rest) / seeds),
        level=level,
    )


def student_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of one number for each seed, such as a norm, with Student's t (Student, 1908, Biometrika 6, 1-25).

    Raises
    ------
    StatisticsError
        If there are fewer than `MINIMUM_SEEDS` values, or the level is not between 0 and 1.
    """
    values = np.asarray(values, dtype=float)
    require_seeds(len(values))
    spread = float(values.std(ddof=1))
    return _interval(
        value=float(values.mean()),
        se=spread / math.sqrt(len(values)),
        df=len(values) - 1,
        seeds=len(values),
        run_spread=spread,
        level=level,
    )


def run_spread(values: ArrayLike) -> float:
    """Standard deviation from seed to seed that would be left with infinitely many images.

    sqrt(max(0, MS_a - MS_e) / N). Its square is N / (N - 1) times the estimate of theorem 2 of Jordan (2024, "On the
    variance of neural network training with respect to test sets and distributions").

    Parameters
    ----------
    values : (seeds, images): 1 where a recipe's network is right and 0 elsewhere, or differences of these.

    Raises
    ------
    StatisticsError
        If there are fewer than two seeds or images.
    """
    values = _matrix(values)
    if len(values) < 2:
        raise StatisticsError("one seed has no spread; give two or more")
    of_seeds, _, of_rest = _mean_squares(values)
    return math.sqrt(max(0.0, of_seeds - of_rest) / values.shape[1])


def spread_interval(spread: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of a standard deviation that was estimated from so many normal values, from chi squared.

    >>> "{:.2f} to {:.2f}".format(*spread_interval(1.0, 5))
    '0.60 to 2.87'
    """
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (spread * math.sqrt((count - 1) / float(special.chdtri(count - 1, tail))) for tail in tails)
    return low, high


def require_seeds(count: int) -> None:
    """Raise StatisticsError if so many seeds are too few for a verdict."""
    if count < MINIMUM_SEEDS:
        raise StatisticsError(
            f"a verdict needs three seeds or more, not {count}: with two, the ends of a 95 % interval are 12.7 "
            "standard errors away. Train three, or one for a statement on one pair of networks"
        )


def _mean_squares(values: NDArray) -> tuple[float, float, float]:
    """MS_a of seeds, MS_b of images and MS_e of the rest, for values (seeds, images)."""
    seeds, images = values.shape
    by_seed, by_image = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_image + values.mean()
    return (
        images * float(by_seed.var(ddof=1)),
        seeds * float(by_image.var(ddof=1)),
        float(np.square(rest).sum()) / ((seeds - 1) * (images - 1)),
    )


def _matrix(values: ArrayLike) -> NDArray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise StatisticsError(f"the values must have the shape (seeds, two images or more), not {values.shape}")
    return values


def _interval(
    *, value: float, se: float, df: float, seeds: int, run_spread: float, image_se: float = 0.0, level: float
) -> Interval:
    margin = t_quantile(df, level) * se
    return Interval(value, value - margin, value + margin, se, df, seeds, run_spread, image_se, level)


def t_quantile(df: float, level: float = 0.95) -> float:
    """The t within which Student's distribution has the fraction `level` of its mass; with infinite df, the normal's.

    >>> f"{t_quantile(2):.3f} {t_quantile(math.inf):.3f}"
    '4.303 1.960'
    """
    if not 0 < level < 1:
        raise StatisticsError(f"level must be between 0 and 1, such as 0.95, not {level!r}")
    upper = 0.5 + level / 2
    return float(special.ndtri(upper) if math.isinf(df) else special.stdtrit(df, upper))


# --- One seed ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnePair:
    """A difference between single networks, of which nothing follows for others trained with another seed.

    Attributes
    ----------
    image_se : standard error from the choice of images; 0 for a number that no image enters, such as a norm.
    runs : networks in the difference: 2, or 4 for a difference of two differences.
    """

    value: float
    image_se: float
    runs: int = 2
    level: float = 0.95

    @property
    def low(self) -> float:
        """The lower end of what the sampling of images alone gives."""
        return self.value - t_quantile(math.inf, self.level) * self.image_se

    @property
    def high(self) -> float:
        """The upper end of what the sampling of images alone gives."""
        return self.value + t_quantile(math.inf, self.level) * self.image_se

    @property
    def robustness(self) -> float:
        """Up to which standard deviation over seeds, of one network, the interval would still exclude zero.

        0 where the images alone can explain the difference.

        >>> round(100 * OnePair(-0.015, 0.0036).robustness, 2)  # points
        0.48
        """
        bearable = (self.value / t_quantile(math.inf, self.level)) ** 2 - self.image_se**2
        return math.sqrt(max(0.0, bearable) / self.runs)


def one_pair(difference: ArrayLike, *, runs: int = 2, level: float = 0.95) -> OnePair:
    """The mean of a difference between single networks over images, (images,)."""
    difference = np.asarray(difference, dtype=float)
    return OnePair(float(difference.mean()), _standard_error(difference), runs, level)


def one_pair_gap(train: ArrayLike, test: ArrayLike, *, runs: int = 2, level: float = 0.95) -> OnePair:
    """mean(train) - mean(test) of single networks, over two independent sets of images."""
    train, test = np.asarray(train, dtype=float), np.asarray(test, dtype=float)
    se = math.hypot(_standard_error(train), _standard_error(test))
    return OnePair(float(train.mean() - test.mean()), se, runs, level)


def _standard_error(values: NDArray) -> float:
    if values.ndim != 1 or len(values) < 2:
        raise StatisticsError(f"the values must have the shape (two images or more,), not {values.shape}")
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """McNemar's exact test: how often chance makes two equally good networks differ at least as much as these.

    Under that assumption each image that only one network gets right is the toss of a fair coin; two-sided (McNemar,
    1947, Psychometrika 12, 153-157). It is about two networks, not about two recipes (Dietterich, 1998, Neural
    Computation 10, 1895-1923).

    >>> mcnemar_p_value(only_a=5, only_b=0)
    0.0625
    """
    return min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


# --- Equivalence, several claims, planning ----------------------------------------------------------------------


def equivalence_p_value(estimate: Interval, margin: float) -> float:
    """p of two one-sided tests that the true value lies between -margin and margin (Schuirmann, 1987, J. Pharmacokin.
    Biopharm. 15, 657-680). Both ends of a 95 % interval lie inside where it is below 0.025.

    Raises
    ------
    StatisticsError
        If the margin is not above 0.
    """
    if not margin > 0:
        raise StatisticsError(f"margin must be above 0, not {margin!r}: no data show that a difference is exactly 0")
    return max(estimate.p_below(-margin), estimate.p_above(margin))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in their order (Holm, 1979, Scand. J. Statist. 6, 65-70).

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def sequential_p_value(p_value: float, looks: int) -> float:
    """The p of the smallest of the p-values of several looks at growing data, which would reject too often by itself.

    Pocock (1977, Biometrika 64, 191-199): all looks have the same bound. The probability to cross it comes from the
    recursion of Armitage, McPherson and Rowe (1969, J. R. Statist. Soc. A 132, 235-244) for looks after equal steps;
    with an earlier end it is smaller.

    Parameters
    ----------
    p_value : the smallest of the two-sided p-values so far. looks : how many are planned at most.

    >>> [round(sequential_p_value(p, looks=4), 3) for p in (0.05, 0.0182)]
    [0.126, 0.05]
    """
    bound = -float(special.ndtri(max(p_value, 1e-300) / 2))
    if bound <= 0:
        return 1.0
    places, weights = np.polynomial.legendre.leggauss(60)
    # Density of the sum after each look, where no look before has crossed its bound.
    inside, density = bound * places, _normal(bound * places) * bound * weights
    for look in range(2, looks + 1):
        before, reach = inside, bound * math.sqrt(look)
        inside = reach * places
        density = (_normal(inside[:, None] - before) @ density) * reach * weights
    return min(1.0, max(0.0, 1 - float(density.sum())))


@functools.cache
def sequential_level(looks: int, level: float = 0.95) -> float:
    """The level of each look's interval with which all looks cover together at `level` (Jennison and Turnbull, 1989,
    J. R. Statist. Soc. B 51, 305-361: repeated confidence intervals).

    >>> round(sequential_level(4), 4)
    0.9818
    """
    low, high = 0.0, 1 - level
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if sequential_p_value(middle, looks) < 1 - level else (low, middle)
    return 1 - low


def _normal(values: NDArray) -> NDArray:
    return np.exp(-np.square(values) / 2) / math.sqrt(2 * math.pi)


def seeds_needed(
    spread: float, difference: float, *, image_se: float = 0.0, power: float = 0.8, level: float = 0.95
) -> float:
    """How many seeds a side show a difference with the given power; infinity where its images are too few for that.

    2 (z_level + z_power)^2 spread^2 / difference^2, which is 15.7 spread^2 / difference^2, but at least
    `MINIMUM_SEEDS`. Seeds leave the standard error `image_se` of the images where it is.

    Parameters
    ----------
    spread : standard deviation over seeds of one recipe; of a paired difference it is that divided by sqrt(2).

    >>> seeds_needed(spread=0.5, difference=0.7)
    9
    """
    quantiles = t_quantile(math.inf, level) + float(special.ndtri(power))
    room = (difference / quantiles) ** 2 - image_se**2
    return max(MINIMUM_SEEDS, math.ceil(2 * spread**2 / room)) if room > 0 else math.inf


# --- Single accuracies, published numbers -----------------------------------------------------------------------


def wilson_interval(successes: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson, 1927, J. Am. Stat. Assoc. 22, 209-212).

    Unlike the normal interval it stays within [0, 1] and is right for proportions near 1, as accuracies are.

    Raises
    ------
    StatisticsError
        If there are no trials, more successes than trials, or the level is not between 0 and 1.
    """
    if count < 1 or not 0 <= successes <= count:
        raise StatisticsError(
            f"{successes} successes in {count} trials: there must be a trial, and successes among them only"
        )
    z = t_quantile(math.inf, level)
    share = successes / count
    centre = share + z**2 / (2 * count)
    margin = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = ((centre + side * margin) / (1 + z**2 / count) for side in (-1, 1))
    # Rounding would leave 1e-19 where the formula gives exactly 0 or 1.
    return (0.0 if successes == 0 else low), (1.0 if successes == count else high)


def published_difference(
    accuracies: Sequence[float], images: int, published: float, published_images: int, level: float = 0.95
) -> Interval:
    """Our mean accuracy less a published one, which has an error too: of the images, and of the seed it was run with.

    The images of both count as independent, for it is not known which ones the other network got right. With fewer
    than `MINIMUM_SEEDS` seeds the spread over seeds is unknown, and the interval is of the images alone.

    Parameters
    ----------
    accuracies : of our networks, one for each seed.
    images, published_images : on which the accuracies were taken.
    """
    seeds, mean = len(accuracies), float(np.mean(accuracies))
    sampling = mean * (1 - mean) / images + published * (1 - published) / published_images
    # The published number is from one run, whose recipe is taken to be as variable as ours.
    variance = float(np.var(accuracies, ddof=1)) if seeds >= MINIMUM_SEEDS else 0.0
    training = variance * (1 + 1 / seeds)
    total = training + sampling
    return _interval(
        value=mean - published,
        se=math.sqrt(total),
        df=total**2 / (training**2 / (seeds - 1)) if training else math.inf,
        seeds=seeds,
        run_spread=math.sqrt(variance),
        image_se=math.sqrt(sampling),
        level=level,
    )


# --- Probabilities and ensembles --------------------------------------------------------------------------------


def ensemble(logits: ArrayLike) -> NDArray:
    """The mean probabilities, float64 (images, classes), of networks with logits (seeds, images, classes)."""
    return special.softmax(np.asarray(logits, dtype=float), axis=2).mean(axis=0)
