"""Which schedules train well: `python -m hwkit.bench.schedules` measures it on held-out training images.

Every recipe is trained without the last 5,000 training images and tested on these, so that the choice of the report's
schedules looks at no test image. The numbers go to docs/schedules.csv, and docs/schedules.md is written from them. Runs
that are in the run store are not trained again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from hwkit.bench.noise import add_arguments
from hwkit.errors import HwkitError
from hwkit.experiment import PROFILES, Experiment, named_experiment
from hwkit.export.files import replace_file
from hwkit.findings.reference import markdown_table
from hwkit.findings.verdicts import OPTIMIZERS
from hwkit.parallel import train_all
from hwkit.runs import Run
from hwkit.training import with_seeds

HOLDOUT = 5000
ADAM = {"optimizer": "adam", "momentum": 0.9}
# What is varied, and the recipes of it: those of the profile `quick` with these options changed.
RECIPES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "CIFAR-10, epochs": [
        *[("cifar10", {"epochs": epochs}) for epochs in (1, 2, 3, 4, 5)],
        *[("cifar10", {**ADAM, "learning_rate": 3e-3, "epochs": epochs}) for epochs in (1, 2, 4)],
        ("cifar10", {**ADAM, "learning_rate": 2e-3, "epochs": 10}),
    ],
    "CIFAR-10, rate, momentum and batch": [
        *[("cifar10", {"learning_rate": rate}) for rate in (0.01, 0.03)],
        *[("cifar10", {"momentum": momentum}) for momentum in (0.8, 0.95)],
        *[("cifar10", {"batch_size": size}) for size in (64, 256)],
        *[("cifar10", {**ADAM, "learning_rate": rate}) for rate in (1e-3, 6e-3)],
        *[("cifar10", {"optimizer": "sgd", "learning_rate": rate}) for rate in (0.05,)],
    ],
    "CIFAR-10, the reference report's variants": [
        (name, {}) for name in ("cifar10-l2", "cifar10-l2-strong", "cifar10-selu", "cifar10-avgpool")
    ],
    "MNIST": [
        *[("mnist", {"epochs": epochs}) for epochs in (1, 2, 3)],
        *[("mnist", {"learning_rate": rate}) for rate in (1e-3, 2e-3, 5e-3)],
        *[("mnist-l2", {"epochs": epochs}) for epochs in (2, 3)],
    ],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, write the table, and print the page."""
    parser = argparse.ArgumentParser(
        prog="python -m hwkit.bench.schedules", description="Measure recipes on held-out training images."
    )
    add_arguments(parser, seeds=1)
    options = parser.parse_args(arguments)
    try:
        rows = list(measure(options))
    except HwkitError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    replace_file(options.output / "schedules.csv", table.to_csv(index=False).encode())
    replace_file(options.output / "schedules.md", page(table).encode())
    print(page(table))
    return 0


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each recipe: what it is, and its accuracy on the held-out images."""
    recipes = [
        (part, name, named_experiment(name, "quick", holdout=HOLDOUT, data=options.data, **changes))
        for part, of_part in RECIPES.items()
        for name, changes in of_part
    ]
    wanted = with_seeds([experiment for *_, experiment in recipes], options.seeds, options.device)
    runs: list[Run] = train_all(wanted, device=options.device, say=lambda line: print(line, file=sys.stderr))
    for number, (part, name, experiment) in enumerate(recipes):
        of_recipe = pd.DataFrame([run.metrics for run in runs[number * options.seeds :][: options.seeds]])
        yield {
            "part": part,
            "experiment": name,
            "optimizer": experiment.optimizer,
            "learning_rate": experiment.learning_rate,
            "momentum": experiment.momentum,
            "batch_size": experiment.batch_size,
            "epochs": experiment.epochs,
            "seeds": options.seeds,
            "accuracy": of_recipe.test_accuracy.mean(),
            "spread": of_recipe.test_accuracy.std(ddof=1),
        }


# --- The page ---------------------------------------------------------------------------------------------------

_TITLE = f"""# How the report's schedules were chosen

Written by `python -m hwkit.bench.schedules` from [schedules.csv](schedules.csv); nothing here is edited by hand. Every
recipe was trained without the last {HOLDOUT:,} training images and tested on these: no test image was looked at. The
standard error of an accuracy of 0.80 is 0.6 points, that of 0.99 is 0.14. All schedules are one-cycle: the rate is the
peak. `hwkit bench` measures what a step costs."""


def page(table: pd.DataFrame) -> str:
    """The Markdown page: a table for each part."""
    sections = [_TITLE]
    for part, rows in table.groupby("part", sort=False):
        sections += [f"## {part}", markdown_table(pd.DataFrame([_readable(row) for row in rows.to_dict("records")]))]
    chosen = [_chosen(profile, dataset) for dataset in ("cifar10", "mnist") for profile in ("quick", "full")]
    return "\n\n".join([*sections, "## Chosen", markdown_table(pd.DataFrame(chosen))]) + "\n"


def _readable(row: dict[str, Any]) -> dict[str, str]:
    spread = f" ± {100 * row['spread']:.2f}" if row["seeds"] > 1 else ""
    return {
        "experiment": row["experiment"],
        **_settings(row["optimizer"], row),
        "accuracy on held-out images": f"{100 * row['accuracy']:.1f} %{spread}",
    }


def _chosen(profile: str, dataset: str) -> dict[str, str]:
    experiment: Experiment = named_experiment(dataset, profile)
    return {"profile": profile, "data set": dataset, **_settings(experiment.optimizer, PROFILES[profile][dataset])}


def _settings(optimizer: str, options: dict[str, Any]) -> dict[str, str]:
    return {
        "optimiser": OPTIMIZERS[optimizer],
        "peak rate": f"{options['learning_rate']:g}",
        "momentum": f"{options.get('momentum', 0.9):g}" if optimizer in ("muon", "sgd") else "–",
        "batch": f"{options['batch_size']}",
        "epochs": f"{options['epochs']:g}",
    }


if __name__ == "__main__":
    sys.exit(main())
