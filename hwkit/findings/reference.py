"""The seed report's results, and tables that set runs beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from hwkit.analysis import wilson_interval
from hwkit.datasets import known_facts
from hwkit.engine import provenance as environments
from hwkit.errors import ReportError
from hwkit.experiment import Experiment

# Rides along in a notebook's outputs, so that the report finds the numbers of the runs a notebook shows.
RESULTS_MIME = "application/vnd.hwkit.results+json"


@dataclass(frozen=True)
class SeedResult:
    """A test accuracy that the seed report states, and what has to be known about it."""

    accuracy: float
    note: str = ""


class Trained(Protocol):
    """What a result row is made of: a `Run`, or anything else that trained what an `Experiment` can describe."""

    @property
    def experiment(self) -> Experiment:
        """What was trained, with its name and profile."""
        ...

    @property
    def metrics(self) -> dict[str, Any]:
        """Accuracies, counts of images, iterations and seconds, and when it finished."""
        ...

    @property
    def environment(self) -> dict[str, Any]:
        """What it was trained with, as `training.describe_environment` tells it."""
        ...

    @property
    def framework(self) -> str:
        """The library that trained it."""
        ...

    @property
    def fingerprint(self) -> str:
        """What its folder in the store is named after."""
        ...


# SPEC section 3: results of the report that this project grew out of.
SEED_RESULTS = {
    "mnist": SeedResult(0.9896, "TensorFlow 1"),
    "mnist-tensorflow": SeedResult(0.9896, "8000 iterations of 500 images, learning rate 1e-4"),
    "mnist-l2": SeedResult(0.99265, "quoted once as 0.99286"),
    "mnist-3x3": SeedResult(0.9902),
    "mnist-3x3-double": SeedResult(0.9895),
    "cifar10": SeedResult(0.7901),
    "cifar10-l2": SeedResult(0.7808),
    "cifar10-l2-strong": SeedResult(0.6277),
    "cifar10-selu": SeedResult(0.76),
    "cifar10-avgpool": SeedResult(0.7964, "lambda not stated"),
}


def result_row(run: Trained) -> dict[str, Any]:
    """One run as a flat row: its numbers, the seed report's, and all that is needed to train it again.

    Only a run on the real data under one of the report's names has a seed accuracy; others have None. Rows have the
    same columns whatever trained them.
    """
    experiment, metrics, environment = run.experiment, run.metrics, run.environment
    accuracy, count = metrics["test_accuracy"], metrics["test_images"]
    low, high = wilson_interval(round(accuracy * count), count)
    seed = SEED_RESULTS.get(experiment.name) if experiment.data == "real" else None
    return {
        "name": experiment.name,
        "framework": run.framework,
        "profile": experiment.profile,
        "data": experiment.data,
        "test_accuracy": accuracy,
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "seed_accuracy": seed.accuracy if seed else None,
        "seed_note": seed.note if seed else "",
        "train_accuracy": metrics["train_accuracy"],
        "test_images": count,
        "train_images": experiment.train_count,
        "iterations": metrics["iterations"],
        "seconds": metrics["seconds"],
        "finished": metrics["finished"],
        "fingerprint": run.fingerprint,
        **{key: value for key, value in experiment.as_dict().items() if key not in ("name", "profile", "data")},
        **{f"environment_{key}": value for key, value in {"tensorflow": None, **environment}.items()},
    }


@dataclass(frozen=True)
class ResultTable:
    """Result rows as a table that shows itself in a notebook and carries the rows along for the report.

    `others` are carried along and not shown: the rows of further seeds.
    """

    rows: tuple[dict[str, Any], ...]
    others: tuple[dict[str, Any], ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """What a reader wants to see of the rows, as text. The seed's column is there if any row has a seed result."""
        frame = pd.DataFrame([_readable(row) for row in self.rows]).set_index("run")
        if all(row["seed_accuracy"] is None for row in self.rows):
            frame = frame.drop(columns=["seed report", "difference"])
        return frame

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {
            "text/plain": self.frame.to_string(),
            "text/html": self.frame.to_html(),
            RESULTS_MIME: json.loads(json.dumps(self.rows + self.others)),
        }


def compare_with_seed(*runs: Trained | Sequence[Trained]) -> ResultTable:
    """The closing table of a notebook: the seed report against these runs; of a list of seeds, the first is shown."""
    lists = [list(run) if isinstance(run, Sequence) else [run] for run in runs]
    rows = tuple(result_row(of_seeds[0]) for of_seeds in lists)
    return ResultTable(rows, tuple(result_row(run) for of_seeds in lists for run in of_seeds[1:]))


def seed_notes(rows: Sequence[dict[str, Any]]) -> str:
    """What has to be known about the seed report's numbers for these rows, as a sentence; empty if nothing."""
    notes = [f"{row['name']}: {row['seed_note']}" for row in rows if row["seed_note"]]
    return f"On the seed report's numbers: {'; '.join(notes)}." if notes else ""


def environment_note(rows: Sequence[dict[str, Any]]) -> str:
    """What the runs of these rows differ in beside their experiments, as a sentence; empty if that is nothing."""
    prefix = "environment_"
    found = [{key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)} for row in rows]
    # Rows of different data sets lie side by side.
    return environments.note([row["name"] for row in rows], [{**one, "data_checksum": None} for one in found])


def pipe_table(rows: Sequence[dict[str, Any]]) -> str:
    """Result rows as a Markdown table."""
    frame = ResultTable(tuple(rows)).frame.reset_index()
    lines = [
        "| " + " | ".join(frame.columns) + " |",
        "|" + "|".join([":--", *["--:"] * (len(frame.columns) - 1)]) + "|",
    ]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in frame.itertuples(index=False))])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a report's results.csv.

    Raises
    ------
    ReportError
        If there is no such file, or it is another kind of file.
    """
    try:
        frame = pd.read_csv(path)
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        summary(rows)
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}; `hwkit report` writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError, LookupError):
        raise ReportError(f"{path} is not the results.csv of a report; `hwkit report` writes one") from None
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Result rows as a Markdown table under a line that says what trained them, and when."""
    devices = sorted({f"{row['environment_device_name']}, {row['environment_precision']}" for row in rows})
    profiles = sorted({row["profile"] for row in rows})
    finished = max(row["finished"] for row in rows)[:10]
    trained = f"Profile {', '.join(profiles)}, finished {finished}, trained on: {'; '.join(devices)}."
    return f"{trained}\n\n{pipe_table(first_seeds(rows))}"


def accuracy_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Result rows as `plots.accuracy_comparison` takes them: dataset, accuracy, low, high and seed, by name."""
    frame = pd.DataFrame(list(rows))
    return pd.DataFrame(
        {
            "dataset": frame["dataset"].map(lambda dataset: known_facts(dataset).title),
            "accuracy": frame["test_accuracy"],
            "low": frame["test_accuracy_low"],
            "high": frame["test_accuracy_high"],
            "seed": frame["seed_accuracy"].astype(float),
        }
    ).set_index(frame["name"])


def unique_rows(tables: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of several tables, each run once, in the order in which they first appear."""
    rows = {row["name"] + row["fingerprint"]: row for table in tables for row in table}
    return list(rows.values())


def first_seeds(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the rows that differ in nothing but their seed, the one with the lowest, in the order of `rows`."""
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        first.setdefault(row["name"], row)
    return [row for row in rows if row is first[row["name"]]]


def _readable(row: dict[str, Any]) -> dict[str, str]:
    accuracy, seed = row["test_accuracy"], row["seed_accuracy"]
    stand_in = "" if row["data"] == "real" else f" ({row['data']} data)"
    return {
        "run": row["name"] + stand_in,
        "λ": f"{row['l2']:g}",
        "epochs": f"{row['epochs']:.3g}",
        "train": f"{row['train_accuracy']:.4f}",
        "test": f"{accuracy:.4f}",
        "95 % interval": f"{row['test_accuracy_low']:.4f}–{row['test_accuracy_high']:.4f}",
        "seed report": "–" if seed is None else f"{seed:.4f}",
        "difference": "–" if seed is None else f"{accuracy - seed:+.4f}".replace("-", "−"),
    }
