"""Do verdicts hold? `python -m hwkit.bench.calibration` trains recipes with many seeds, and compares each with itself.

All ways to take two groups of three from a recipe's seeds are put to the verdict, which should call at most 5 % of them
different. Beside it stand what is usual elsewhere: Student's t over the seeds, and McNemar's test on one pair of
networks. The numbers go to docs/calibration.csv, and docs/noise.md is written from them.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hwkit import statistics
from hwkit.bench import noise
from hwkit.errors import BenchError
from hwkit.experiment import PROFILES, named_experiment
from hwkit.findings.verdicts import ALPHA, schedule_of
from hwkit.statistics import MINIMUM_SEEDS

LEAST_SEEDS = 12
WIDTH = 0.25  # of the networks, which then train in seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, write the table, and print the page that it is on."""
    parser = argparse.ArgumentParser(
        prog="python -m hwkit.bench.calibration", description="Count false verdicts between equal recipes."
    )
    parser.add_argument("experiments", nargs="*", default=["mnist", "cifar10"], metavar="NAME", help="mnist cifar10")
    parser.add_argument("--profile", default="quick", choices=PROFILES, help="default: quick")
    parser.add_argument("--width", type=float, default=WIDTH, help=f"of the networks (default: {WIDTH:g})")
    noise.add_arguments(parser, seeds=LEAST_SEEDS)
    return noise.run(parser, measure, arguments)


def measure(options: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """The table, by its file's name."""
    if options.seeds < LEAST_SEEDS:
        raise BenchError(f"{options.seeds} seeds make too few splits; give --seeds {LEAST_SEEDS} or more")
    experiments = [
        named_experiment(name, options.profile, width=options.width, data=options.data) for name in options.experiments
    ]
    rows = [
        {"experiment": one.name, "schedule": schedule_of([one]), "seeds": options.seeds, **false_verdicts(correct)}
        for one, correct in zip(experiments, noise.train(experiments, options), strict=True)
    ]
    return {"calibration.csv": pd.DataFrame(rows)}


def false_verdicts(correct: np.ndarray) -> dict[str, float]:
    """In what fraction of comparisons a recipe is called different from itself.

    Parameters
    ----------
    correct : (seeds, images): 1 where the network of a seed is right and 0 elsewhere.

    Returns
    -------
    `splits`, how many there are; and the fractions by `verdict`, by `student` and by `mcnemar`, each with its standard
    error. That is the jackknife's over seeds (Efron and Stein, 1981, Annals of Statistics 9, 586-596), because splits
    have seeds in common.
    """
    outcomes: dict[str, list[tuple[set[int], bool]]] = {"verdict": [], "student": [], "mcnemar": []}
    for a, b in splits(len(correct)):
        difference = correct[list(a)].astype(int) - correct[list(b)]
        by_seed = statistics.student_interval(difference.mean(axis=1))
        outcomes["verdict"].append(({*a, *b}, statistics.crossed_interval(difference).p_value() <= ALPHA))
        outcomes["student"].append(({*a, *b}, by_seed.p_value() <= ALPHA))
    for a, b in itertools.combinations(range(len(correct)), 2):
        only_a, only_b = (int((correct[x] > correct[y]).sum()) for x, y in ((a, b), (b, a)))
        outcomes["mcnemar"].append(({a, b}, statistics.mcnemar_p_value(only_a, only_b) <= ALPHA))
    result: dict[str, float] = {"splits": len(outcomes["verdict"])}
    for way, found in outcomes.items():
        without = [np.mean([false for used, false in found if seed not in used]) for seed in range(len(correct))]
        result[way] = float(np.mean([false for _, false in found]))
        result[f"{way}_error"] = math.sqrt((len(correct) - 1) * float(np.var(without)))
    return result


def splits(seeds: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All ways to take two groups of three from so many seeds, without a seed in common; each pair of groups once.

    >>> len(list(splits(12)))
    9240
    """
    for a in itertools.combinations(range(seeds), MINIMUM_SEEDS):
        others = [seed for seed in range(a[0] + 1, seeds) if seed not in a]
        yield from ((a, b) for b in itertools.combinations(others, MINIMUM_SEEDS))


if __name__ == "__main__":
    sys.exit(main())
