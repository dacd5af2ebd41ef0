"""What came out of a batch: a row for each task, and for each variant mean, spread and count over its seeds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hwkit import runs
from hwkit.batch.planning import Plan
from hwkit.batch.storage import Store
from hwkit.batch.tasks import Task
from hwkit.errors import BatchError, HwkitError
from hwkit.export.files import replace_file
from hwkit.findings.reference import RESULTS_MIME, result_row
from hwkit.paths import project_root

SCRAP_MIME = "application/scrapbook.scrap.json+json"  # what scrapbook's `glue` leaves in a notebook
MEASURED = ("test_accuracy", "train_accuracy", "seconds")  # of a run, in the table
DESCRIPTIVE = ("batch", "subject", "variant", "seed", "key", "profile", "run")  # columns of text or identity


@dataclass(frozen=True)
class BatchResults:
    """The results of a batch.

    Attributes
    ----------
    frame : one row for each finished task, or for each run that a notebook shows: what was run, then what came out.
    metrics : the columns that say what came out.
    options : the columns that say in what variants differ.
    problems : a line on each result that cannot be read.
    """

    plan: Plan
    frame: pd.DataFrame
    metrics: list[str]
    options: list[str]
    problems: list[str]

    @property
    def by_variant(self) -> pd.DataFrame:
        """Mean, spread (standard deviation, NaN for one seed) and count of each metric, in the order of the batch.

        The columns are pairs such as ("test_accuracy", "mean"); the index is the variant, of notebooks with the run.
        """
        if self.frame.empty:
            return pd.DataFrame()
        named = self.frame["variant"] + self.frame["run"].map(lambda run: f": {run}" if run else "")
        return self.frame[self.metrics].groupby(named, sort=False).agg(["mean", "std", "count"])

    @property
    def summary(self) -> str:
        """How much of the batch the results are of."""
        done, total = len(self.plan.done), len(self.plan.tasks)
        return f"{done} of {total} tasks are done" + (f", {len(self.plan.failed)} failed" if self.plan.failed else "")

    def markdown(self) -> str:
        """The table over seeds as Markdown whose columns are aligned: count, and of each metric mean ± spread."""
        return markdown_table(self.by_variant, self.metrics)

    def write(self, path: Path | None = None) -> Path:
        """Write all rows as CSV, by default to build/batches/NAME/results.csv of the project; returns where.

        Raises
        ------
        BatchError
            If there are none.
        """
        if self.frame.empty:
            raise BatchError(f"batch {self.plan.batch.name} has no result yet: {self.summary}")
        path = path or build_folder(self.plan) / "results.csv"
        replace_file(path, self.frame.to_csv(index=False).encode())
        return path


def gather(plan: Plan) -> BatchResults:
    """Read the results of those tasks of a batch that are done."""
    rows, problems = [], []
    for task in plan.tasks:
        if task.key in plan.done:
            try:
                rows += list(_rows(task, plan.store))
            except HwkitError as error:
                problems.append(str(error))
    frame = pd.DataFrame(rows)
    options = list(dict.fromkeys(name for task in plan.tasks for name in task.variant.options))
    if plan.batch.kind == "experiments":
        metrics = list(MEASURED)
    else:
        given = {*DESCRIPTIVE, *options, *plan.batch.common}
        metrics = [name for name in frame if name not in given and pd.api.types.is_numeric_dtype(frame[name])]
    return BatchResults(plan, frame, metrics, options, problems)


def build_folder(plan: Plan) -> Path:
    """Where results and report of a batch go unless somebody says otherwise."""
    return project_root() / "build" / "batches" / plan.batch.name


def markdown_table(by_variant: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Rows of `BatchResults.by_variant` as Markdown; the columns are as wide as what they hold."""
    if by_variant.empty or not metrics:
        return "no task with a number for a result is done"
    rows = [["variant", "seeds", *(metric.replace("_", " ") for metric in metrics)]]
    for variant, row in by_variant.iterrows():
        count = max(int(row[metric, "count"]) for metric in metrics)
        rows.append([str(variant), str(count), *(_mean_and_spread(row[metric], metric) for metric in metrics)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "|".join([f":{'-' * (widths[0] + 1)}", *(f"{'-' * (width + 1)}:" for width in widths[1:])])
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _mean_and_spread(row: pd.Series, metric: str) -> str:
    """Such as 0.9912 ± 0.0008; of one seed the number alone, and a dash where there is none."""
    if not row["count"]:
        return "–"
    digits = 1 if metric == "seconds" or abs(row["mean"]) >= 100 else 4
    spread = "" if pd.isna(row["std"]) else f" ± {row['std']:.{digits}f}"
    return f"{row['mean']:.{digits}f}{spread}"


def _rows(task: Task, store: Store) -> Iterator[dict[str, Any]]:
    variant = task.variant
    what = {"batch": store.batch, "subject": variant.subject, "variant": variant.name, "seed": task.seed}
    if variant.experiment is not None:
        row = result_row(_load(task, store))
        yield {**what, "run": "", "key": task.key, **{name: row[name] for name in row if name not in what}}
        return
    what |= {"key": task.key, **variant.parameters}
    content = store.read(store.own("notebooks", f"{task.key}.ipynb")) or b'{"cells": []}'
    outputs = [output for cell in json.loads(content)["cells"] for output in cell.get("outputs", [])]
    tables = [output["data"][RESULTS_MIME] for output in outputs if RESULTS_MIME in output.get("data", {})]
    scraps = {scrap["name"]: scrap["data"] for output in outputs for scrap in _scraps(output)}
    once = {row["name"] + row["fingerprint"]: row for table in tables for row in table}
    for row in once.values():
        yield {**what, "run": row["name"], **{name: row[name] for name in MEASURED}, **scraps}
    if not once:
        yield {**what, "run": "", **scraps}


def _scraps(output: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(KeyError, TypeError):
        scrap = output["data"][SCRAP_MIME]
        if isinstance(scrap["data"], int | float | str):
            yield scrap


def _load(task: Task, store: Store) -> runs.Run:
    """The run of a task; what results need of it is fetched if it is in an object store."""
    if store.folder:
        return runs.load(store.folder / task.key)
    here = build_folder_of(store) / task.key
    local = Store(str(here.parent), store.batch)
    for name in ("experiment.json", "environment.json", "metrics.json"):
        content = store.read(store.path(task.key, name))
        if content is not None:
            local.write(str(here / name), content)
    return runs.load(here)


def build_folder_of(store: Store) -> Path:
    """Where the descriptions of runs in an object store are kept while results are made of them."""
    return project_root() / "build" / "batches" / store.batch / "runs"
