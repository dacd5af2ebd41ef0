"""The results of a batch: a row for each task, and for each variant mean, spread and count over its seeds."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hwkit import runs
from hwkit.batch.file import Batch
from hwkit.batch.state import Plan
from hwkit.batch.storage import Store
from hwkit.batch.tasks import Task
from hwkit.errors import BatchError, HwkitError, RunError
from hwkit.experiment import option_names
from hwkit.export.files import replace_file
from hwkit.findings.reference import RESULTS_MIME, result_row, unique_rows
from hwkit.paths import project_root
from hwkit.report.execute import parse_notebook
from hwkit.report.values import show_value

SCRAP_MIME = "application/scrapbook.scrap.json+json"  # what scrapbook's `glue` leaves in a notebook
MEASURED = ("test_accuracy", "train_accuracy", "seconds")  # of a run, in the table
NO_NUMBER = "no result holds a number: end the notebooks with hwkit.compare_with_seed(run), or `glue` numbers"


@dataclass(frozen=True)
class BatchResults:
    """The results of a batch.

    Attributes
    ----------
    frame : one row for each finished task, or for each run that a notebook shows: what was run, then its results.
    folders : for each row the name of the run's folder in the store; "" where a notebook shows no run.
    metrics : the columns with results.
    problems : a line on each result that cannot be read.
    """

    plan: Plan
    frame: pd.DataFrame
    folders: list[str]
    metrics: list[str]
    problems: list[str]

    @property
    def by_variant(self) -> pd.DataFrame:
        """Mean, spread (standard deviation, NaN for one seed) and count of each metric, in the order of the batch.

        The columns are pairs such as ("test_accuracy", "mean"); the index is the variant, of notebooks with the run.
        """
        if not self.metrics:
            return pd.DataFrame()
        numbers = pd.DataFrame(self.frame[self.metrics])
        return pd.DataFrame(numbers.groupby(self.compared, sort=False).agg(["mean", "std", "count"]))

    @property
    def compared(self) -> pd.Series:
        """What each row is a result of, apart from the seed: the variant, of notebooks with the run."""
        pairs = zip(self.frame["variant"], self.frame["run"], strict=True)
        return pd.Series([f"{variant}: {run}" if run else variant for variant, run in pairs], self.frame.index)

    def run_of(self, row: int) -> runs.Run | None:
        """The run that a row is the result of, if it is in a store on this machine."""
        folder, name = self.plan.store.folder, self.folders[row]
        if folder is None or Path(name).name != name or not name:
            return None
        try:
            return runs.load_folder(folder / name)
        except RunError:
            return None

    @property
    def summary(self) -> str:
        """How much of the batch the results are of."""
        done, total = len(self.plan.done), len(self.plan.tasks)
        return f"{done} of {total} tasks are done" + (f", {len(self.plan.failed)} failed" if self.plan.failed else "")

    def markdown(self) -> str:
        """The table over seeds as Markdown whose columns are aligned: count, and of each metric mean ± spread."""
        return markdown_table(self.by_variant, self.metrics)

    def require_some(self) -> None:
        """Raise BatchError if there is no result yet."""
        if self.frame.empty:
            raise BatchError(f"batch {self.plan.batch.name} has no result yet: {self.summary}")

    def write(self, path: Path | None = None) -> Path:
        """Write all rows as CSV, by default into `build_folder`; returns where.

        Raises
        ------
        BatchError
            If there are none.
        """
        self.require_some()
        path = path or build_folder(self.plan.batch) / "results.csv"
        replace_file(path, self.frame.to_csv(index=False).encode())
        return path


def gather(plan: Plan) -> BatchResults:
    """Read the results of those tasks of a batch that are done."""
    rows: list[dict[str, Any]] = []
    folders: list[str] = []
    results: dict[str, Any] = {}
    problems: list[str] = []
    for task in plan.tasks:
        if task.key in plan.done:
            try:
                for what, found, folder in _results(task, plan):
                    rows.append({**what, **found})
                    folders.append(folder)
                    results |= found
            except HwkitError as error:
                problems.append(str(error))
    frame = pd.DataFrame(rows)
    wanted = MEASURED if plan.batch.kind == "experiments" else results
    metrics = [name for name in wanted if rows and _holds_numbers(pd.Series(frame[name]))]
    return BatchResults(plan, frame.astype(dict.fromkeys(metrics, float)), folders, metrics, problems)


def build_folder(batch: Batch) -> Path:
    """Where results and report of a batch go by default: build/batches/ and the path of its file in the project.

    The ending .yaml is left out: docs/batch-example.yaml has build/batches/docs/batch-example/.
    """
    root, file = project_root(), Path(os.path.abspath(batch.path))
    within = file.relative_to(root if file.is_relative_to(root) else file.anchor)
    return root / "build" / "batches" / (within.with_suffix("") if within.suffix == ".yaml" else within)


def markdown_table(
    by_variant: pd.DataFrame,
    metrics: Sequence[str],
    escaped: Callable[[str], str] = lambda text: text.replace("|", "\\|"),
) -> str:
    """Rows of `BatchResults.by_variant` as Markdown; the columns are as wide as what they hold."""
    if by_variant.empty:
        return NO_NUMBER
    rows = [["variant", "seeds", *(metric.replace("_", " ") for metric in metrics)]]
    for variant, row in by_variant.to_dict("index").items():
        count = max(int(row[metric, "count"]) for metric in metrics)
        shown = (_mean_and_spread(row[metric, "mean"], row[metric, "std"], metric) for metric in metrics)
        rows.append([str(variant), str(count), *shown])
    return markdown_rows([[escaped(text) for text in row] for row in rows])


def markdown_rows(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows of texts, the first with the titles, as a Markdown table with aligned columns, some of them to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = [(width, str.ljust if place in left else str.rjust) for place, width in enumerate(widths)]
    lines = [" | ".join(just(text, w) for text, (w, just) in zip(row, columns, strict=True)) for row in rows]
    rule = "|".join(f":{'-' * (w + 1)}" if just is str.ljust else f"{'-' * (w + 1)}:" for w, just in columns)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _mean_and_spread(mean: float, spread: float, metric: str) -> str:
    """Such as 0.9912 ± 0.0008; of one seed the number alone, and a dash where there is none."""
    if math.isnan(mean):
        return "–"
    layout = ".1f" if metric == "seconds" or abs(mean) >= 100 else ".4f"
    if 0 < abs(mean) < 0.001 or abs(mean) >= 1e7:
        layout = ".3g"
    return f"{mean:{layout}}" if math.isnan(spread) else f"{mean:{layout}} ± {spread:{layout}}"


def _results(task: Task, plan: Plan) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """The results of a task: for each what was run, its results, and the name of the run's folder."""
    variant, store = task.variant, plan.store
    what = {"batch": store.batch, "subject": variant.subject, "variant": variant.name, "seed": task.seed, "run": ""}
    if task.notebook is None:
        row = result_row(_load(task, plan))  # pyright: ignore[reportArgumentType]  # a cached property is one
        yield {**what, "key": task.key}, {name: row[name] for name in row if name not in what}, task.key
        return
    what |= {"key": task.key, "seed": task.parameters.get("seed")}
    given = {name: value for name, value in task.parameters.items() if name != "seed"}
    what |= {f"parameter {name}" if name in what else name: value for name, value in given.items()}
    path = store.own("notebooks", f"{task.key}.ipynb")
    notebook = parse_notebook(store.read(path) or b"", path)
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    tables = [output["data"][RESULTS_MIME] for output in outputs if RESULTS_MIME in output.get("data", {})]
    scraps = {scrap["name"]: scrap["data"] for output in outputs for scrap in _scraps(output)}
    try:
        rows = unique_rows(tables)
        found = [(_label(row, rows), {name: float(row[name]) for name in MEASURED}, _folder(row)) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError):
        problem = "holds a table of results that is not one of hwkit's; delete it and run again"
        raise BatchError(f"{path} {problem}") from None
    for label, measured, folder in found or [("", {}, "")]:
        taken = {*what, *measured}
        glued = {f"result {name}" if name in taken else name: value for name, value in scraps.items()}
        yield {**what, "run": label}, {**measured, **glued}, folder


def _folder(row: dict[str, Any]) -> str:
    """The name of the folder of a run that a notebook shows, in the store that it trained in."""
    dataset = str(row.get("dataset", "")).partition("@")[0]
    return f"{dataset}-{row['fingerprint']}" if dataset else ""


def _label(row: dict[str, Any], rows: Iterable[dict[str, Any]]) -> str:
    """A run's name, and in what it differs from a notebook's others of that name; seeds of one run have one label."""
    alike = [one for one in rows if one["name"] == row["name"]]
    fields = [name for name in (*option_names(), "profile", "framework") if name != "seed"]
    differing = [name for name in fields if any(one.get(name) != row.get(name) for one in alike)]
    listed = ", ".join(f"{name}={show_value(row.get(name))}" for name in differing)
    return f"{row['name']}[{listed}]" if listed else row["name"]


def _scraps(output: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(KeyError, TypeError):
        scrap = output["data"][SCRAP_MIME]
        if isinstance(scrap["data"], int | float | str) and isinstance(scrap["name"], str):
            yield scrap


def _holds_numbers(column: pd.Series) -> bool:
    return column.notna().any() and all(map(pd.api.types.is_number, column.dropna()))


def _load(task: Task, plan: Plan) -> runs.Run:
    """The run of a task; what results need of it is fetched if it is in an object store."""
    store = plan.store
    if store.folder:
        return runs.load(store.folder / task.key)
    here = build_folder(plan.batch) / "runs" / task.key
    local = Store(str(here.parent), store.batch)
    for name in ("experiment.json", "environment.json", "metrics.json"):
        content = store.read(store.path(task.key, name))
        if content is not None:
            local.write(str(here / name), content)
    return runs.load(here)
