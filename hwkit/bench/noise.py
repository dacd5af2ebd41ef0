"""How much training scatters: `python -m hwkit.bench.noise` measures it for the report's experiments.

For each experiment and profile: mean and standard deviation of the test accuracy over seeds, and the standard deviation
that fresh images would leave. For each pair that the report compares: how much of the scatter its networks share when
they have the same seed. The numbers go to noise.csv and noise-pairs.csv, and docs/noise.md is written from these. Runs
that are in the run store are not trained again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hwkit import analysis, statistics
from hwkit.errors import BenchError, HwkitError
from hwkit.experiment import EXPERIMENTS, PROFILES, Experiment, named_experiment
from hwkit.export.files import replace_file
from hwkit.findings.reference import markdown_table
from hwkit.findings.verdicts import schedule_of
from hwkit.parallel import train_all
from hwkit.paths import project_root
from hwkit.runs import Run
from hwkit.statistics import MINIMUM_SEEDS
from hwkit.training import with_seeds

# What the report compares: the first less the second.
PAIRS = (
    ("mnist-l2", "mnist"),
    ("mnist-3x3", "mnist-l2"),
    ("mnist-3x3-double", "mnist-l2"),
    ("mnist-3x3-double", "mnist-3x3"),
    ("cifar10-l2", "cifar10"),
    ("cifar10-l2-strong", "cifar10"),
    ("cifar10-selu", "cifar10-l2"),
    ("cifar10-avgpool", "cifar10-l2"),
    ("cifar10", "cifar10-noaug"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, write the tables, and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m hwkit.bench.noise", description="Measure how test accuracy scatters over seeds."
    )
    parser.add_argument("experiments", nargs="*", default=list(EXPERIMENTS), metavar="NAME", help="default: all")
    parser.add_argument("--profile", nargs="+", default=["quick"], choices=PROFILES, help="default: quick")
    add_arguments(parser, seeds=5)
    return run(parser, measure, arguments)


def add_arguments(parser: argparse.ArgumentParser, *, seeds: int) -> None:
    """The options that measurements over seeds share."""
    parser.add_argument("--seeds", type=int, default=seeds, help=f"how many, from 0 on (default: {seeds})")
    parser.add_argument("--data", default="auto", help="real, stand-in or auto (default)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, ...")
    parser.add_argument("--output", type=Path, default=project_root() / "docs", help="folder (default: docs)")


def run(
    parser: argparse.ArgumentParser,
    measured: Callable[[argparse.Namespace], dict[str, pd.DataFrame]],
    arguments: Sequence[str] | None,
) -> int:
    """Write the tables that a measurement returns by file name, and print the page with them; an error is one line.

    Rows of other experiments and schedules that a file has already stay in it.
    """
    options = parser.parse_args(arguments)
    try:
        if options.seeds < MINIMUM_SEEDS:
            raise BenchError(f"{options.seeds} seeds say little of a spread; give --seeds {MINIMUM_SEEDS} or more")
        tables = measured(options)
    except HwkitError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if table.empty:  # no pair among the experiments
            continue
        path = options.output / name
        known = [pd.read_csv(path)] if path.exists() else []
        when = "profile" if "profile" in table else "schedule"
        key = [column for column in (when, "experiment", "a", "b") if column in table]
        table = pd.concat([*known, table]).drop_duplicates(key, keep="last")
        replace_file(path, table.to_csv(index=False).encode())
    replace_file(options.output / "noise.md", page(options.output).encode())
    print(page(options.output))
    return 0


def measure(options: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """The tables of experiments and of pairs, by file name."""
    rows, pairs = [], []
    for profile in options.profile:
        experiments = [named_experiment(name, profile, data=options.data) for name in options.experiments]
        correct = dict(zip(options.experiments, train(experiments, options), strict=True))
        rows += [of_experiment(e, correct[name]) for name, e in zip(options.experiments, experiments, strict=True)]
        for a, b in PAIRS:
            if a in correct and b in correct:
                pairs.append({"profile": profile, **of_pair(a, b, correct[a], correct[b])})
    return {"noise.csv": pd.DataFrame(rows), "noise-pairs.csv": pd.DataFrame(pairs)}


def train(experiments: Sequence[Experiment], options: argparse.Namespace) -> list[np.ndarray]:
    """What each experiment's networks classify correctly, (seeds, images) of 1 and 0; missing runs are trained."""
    wanted = with_seeds(experiments, options.seeds, options.device)
    runs: list[Run] = train_all(wanted, device=options.device, say=lambda line: print(line, file=sys.stderr))
    correct = [analysis.correct(run).numpy().astype(np.int8) for run in runs]
    return [np.stack(correct[start : start + options.seeds]) for start in range(0, len(correct), options.seeds)]


def of_experiment(experiment: Experiment, correct: np.ndarray) -> dict[str, Any]:
    """A row on what the networks of an experiment classify correctly, (seeds, images)."""
    accuracies = correct.mean(axis=1)
    spread = float(accuracies.std(ddof=1))
    low, high = statistics.spread_interval(spread, len(correct))
    return {
        "experiment": experiment.name,
        "profile": experiment.profile,
        "schedule": schedule_of([experiment]),
        "seeds": len(correct),
        "mean": accuracies.mean(),
        "spread": spread,
        "spread_low": low,
        "spread_high": high,
        "spread_on_fresh_images": statistics.run_spread(correct),
    }


def of_pair(a: str, b: str, correct_a: np.ndarray, correct_b: np.ndarray) -> dict[str, Any]:
    """A row on two experiments: their difference with its interval, and how they scatter together."""
    found = statistics.crossed_interval(correct_a.astype(int) - correct_b)
    return {
        "a": a,
        "b": b,
        "seeds": found.seeds,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "run_spread": found.run_spread,
        "correlation": np.corrcoef(correct_a.mean(axis=1), correct_b.mean(axis=1))[0, 1],
    }


# --- The page ---------------------------------------------------------------------------------------------------


def page(folder: Path) -> str:
    """The Markdown page with all tables whose CSV files are in a folder."""
    sections = [
        _TITLE,
        *_section(folder, "noise.csv", _NOISE, _noise_row),
        *_section(folder, "noise-pairs.csv", _PAIRS, _pair_row),
        *_section(folder, "calibration.csv", _CALIBRATION, _calibration_row),
    ]
    return "\n\n".join(sections) + "\n"


def _section(folder: Path, name: str, text: str, readable: Callable[[dict[str, Any]], dict[str, str]]) -> list[str]:
    """A part of the page: its text and its table; nothing where the file is missing."""
    if not (folder / name).exists():
        return []
    rows = pd.read_csv(folder / name).to_dict("records")
    return [text, markdown_table(pd.DataFrame([readable(row) for row in rows]))]


_TITLE = """# How much training scatters, and whether verdicts hold

Written by the commands below from the CSV files beside it; nothing here is edited by hand. All numbers are of test
accuracy. Seeds decide initial weights, order of the images, augmentation and dropout."""

_NOISE = """## Standard deviation over seeds

`python -m hwkit.bench.noise` ([noise.csv](noise.csv)). The standard deviation, with its 95 % interval, is what one
sees on the test set. The last column is what fresh images would leave of it: the rest comes from measuring each network
on a finite number of images (Jordan, 2024, theorem 2)."""

_PAIRS = """## Pairs that the report compares

`python -m hwkit.bench.noise` ([noise-pairs.csv](noise-pairs.csv)). Differences of the first less the second, in
points, with 95 % intervals for other seeds and other test images, and their standard deviation from run to run. The
correlation is that of the two accuracies over seeds: where it is high, pairing by seed pays."""

_CALIBRATION = """## False verdicts

`python -m hwkit.bench.calibration` ([calibration.csv](calibration.csv)). One recipe against itself: all ways to take
two groups of three seeds are put to the verdict of the report. At most 5 % should be called different. Student's t
over the same seeds forgets that they share a test set, and McNemar's test on two networks forgets their seeds. ± is one
standard error."""


def _noise_row(row: dict[str, Any]) -> dict[str, str]:
    return {
        "experiment": row["experiment"],
        "schedule": row["schedule"],
        "seeds": f"{row['seeds']}",
        "mean (%)": f"{100 * row['mean']:.2f}",
        "standard deviation (points)": f"{100 * row['spread']:.2f}",
        "95 % interval": f"{100 * row['spread_low']:.2f} to {100 * row['spread_high']:.2f}",
        "on fresh images": f"{100 * row['spread_on_fresh_images']:.2f}",
    }


def _pair_row(row: dict[str, Any]) -> dict[str, str]:
    low, value, high = (f"{100 * row[name]:+.2f}".replace("-", "−") for name in ("low", "difference", "high"))
    return {
        "pair": f"{row['a']} − {row['b']}",
        "profile": row["profile"],
        "seeds": f"{row['seeds']}",
        "difference (points)": value,
        "95 % interval": f"{low} to {high}",
        "run-to-run": f"{100 * row['run_spread']:.2f}",
        "correlation": f"{row['correlation']:+.2f}".replace("-", "−"),
    }


def _calibration_row(row: dict[str, Any]) -> dict[str, str]:
    ways = {"verdict": "verdict, three seeds", "student": "Student's t, three seeds", "mcnemar": "McNemar, one pair"}
    return {
        "recipe": row["experiment"],
        "schedule": row["schedule"],
        "seeds": f"{row['seeds']}",
        "splits": f"{row['splits']}",
        **{text: f"{100 * row[way]:.1f} % ± {100 * row[f'{way}_error']:.1f}" for way, text in ways.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
