"""The reference report's results, and tables that set runs beside them.

The reference report is the course report whose networks and claims are tested here. Columns of result rows on it begin
with `seed_`, as they did in the first results.csv.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from hwkit.datasets import known_facts
from hwkit.errors import ReportError
from hwkit.experiment import Experiment
from hwkit.formats import mean_accuracy, percent, points
from hwkit.statistics import published_difference, wilson_interval

# Rides along in a notebook's outputs, so that the report finds the numbers of the runs a notebook shows.
RESULTS_MIME = "application/vnd.hwkit.results+json"


@dataclass(frozen=True)
class ReferenceResult:
    """A test accuracy that the reference report states, and what has to be known about it."""

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
REFERENCE_RESULTS = {
    "mnist": ReferenceResult(0.9896, "TensorFlow 1"),
    "mnist-tensorflow": ReferenceResult(0.9896, "8000 iterations of 500 images, learning rate 1e-4"),
    "mnist-l2": ReferenceResult(0.99265, "quoted once as 0.99286"),
    "mnist-3x3": ReferenceResult(0.9902),
    "mnist-3x3-double": ReferenceResult(0.9895),
    "cifar10": ReferenceResult(0.7901),
    "cifar10-l2": ReferenceResult(0.7808),
    "cifar10-l2-strong": ReferenceResult(0.6277),
    "cifar10-selu": ReferenceResult(0.76),
    "cifar10-avgpool": ReferenceResult(0.7964, "lambda not stated"),
}


def result_row(run: Trained) -> dict[str, Any]:
    """One run as a flat row: its numbers, the reference report's, and all that is needed to train it again.

    Only a run on the real data under one of the report's names has a `seed_accuracy`; others have None. Rows have the
    same columns whatever trained them.
    """
    experiment, metrics, environment = run.experiment, run.metrics, run.environment
    accuracy, count = metrics["test_accuracy"], metrics["test_images"]
    low, high = wilson_interval(round(accuracy * count), count)
    seed = REFERENCE_RESULTS.get(experiment.name) if experiment.data == "real" else None
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
    """Result rows, of each run and seed one, as a table that shows itself and carries the rows along for the report.

    With `reference`, columns on the reference report are there if it has a result of any row.
    """

    rows: tuple[dict[str, Any], ...]
    reference: bool = True

    @property
    def frame(self) -> pd.DataFrame:
        """What a reader wants to see, as text: a row per name, with the mean over its seeds."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(row["name"], []).append(row)
        frame = pd.DataFrame([_readable(group) for group in groups.values()]).set_index("run")
        if not self.reference or all(row["seed_accuracy"] is None for row in self.rows):
            frame = frame.drop(columns=["reference report", "difference (points)", "95 % interval"])
        return frame

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {
            "text/plain": self.frame.to_string(),
            "text/html": self.frame.to_html(),
            RESULTS_MIME: json.loads(json.dumps(self.rows)),
        }


def compare_with_seed(*runs: Trained | Sequence[Trained]) -> ResultTable:
    """The closing table of a notebook: the reference report against these runs, each one run or a list of seeds.

    Examples
    --------
    >>> hwkit.compare_with_seed(run, hwkit.train_seeds(experiment, 3))  # doctest: +SKIP
    """
    lists = [list(run) if isinstance(run, Sequence) else [run] for run in runs]
    return ResultTable(tuple(result_row(run) for of_seeds in lists for run in of_seeds))


def seed_difference(a: str, b: str) -> str:
    """The difference of the reference report's accuracies of two named experiments, as text."""
    return points(REFERENCE_RESULTS[a].accuracy - REFERENCE_RESULTS[b].accuracy, sign=True)


def pipe_table(rows: Sequence[dict[str, Any]]) -> str:
    """Result rows as a Markdown table."""
    return markdown_table(ResultTable(tuple(rows)).frame.reset_index())


def markdown_table(frame: pd.DataFrame) -> str:
    """A frame of texts as a Markdown table whose columns but the first are set right."""
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
        if not path.read_bytes().strip():
            raise ReportError(f"{path} holds no runs: no notebook of that report shows any")
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
    return f"{trained}\n\n{pipe_table(rows)}"


def unique_rows(tables: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of several tables, each run once, in the order in which they first appear."""
    rows = {row["name"] + row["fingerprint"]: row for table in tables for row in table}
    return list(rows.values())


def _readable(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The rows of one recipe as a row of the table."""
    row, accuracies = rows[0], [one["test_accuracy"] for one in rows]
    seed = row["seed_accuracy"]
    stand_in = "" if row["data"] == "real" else f" ({row['data']} data)"
    shown = {
        "run": row["name"] + stand_in,
        "λ": f"{row['l2']:g}",
        "epochs": f"{row['epochs']:.3g}",
        "seeds": f"{len(rows)}",
        "test accuracy": mean_accuracy(accuracies),
        "reference report": "–",
        "difference (points)": "–",
        "95 % interval": "–",
    }
    if seed is not None:
        theirs = known_facts(row["dataset"]).test_size
        found = published_difference(accuracies, row["test_images"], seed, theirs)
        value, low, high = (f"{100 * x:+.2f}".replace("-", "−") for x in (found.value, found.low, found.high))
        shown |= {"reference report": percent(seed), "difference (points)": value, "95 % interval": f"{low} to {high}"}
    return shown
