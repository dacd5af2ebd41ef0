"""Result tables: what they show, and what they carry along."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest

from hwkit.errors import ReportError
from hwkit.experiment import named_experiment
from hwkit.findings import reference as results
from hwkit.findings.reference import RESULTS_MIME
from hwkit.runs import Run

ROOT = Path(__file__).parents[2]


def with_seed(run: Run, seed: int) -> Run:
    return dataclasses.replace(run, experiment=run.experiment.replace(seed=seed))


def test_of_several_seeds_the_mean_and_spread_are_shown_and_all_are_carried(
    trained_run: Run, trained_run_l2: Run
) -> None:
    better = dataclasses.replace(with_seed(trained_run, 1), metrics={**trained_run.metrics, "test_accuracy": 1.0})
    table = results.compare_with_seed([trained_run, better], trained_run_l2)
    assert list(table.frame.index) == ["mnist (stand-in data)", "mnist-l2 (stand-in data)"]
    assert list(table.frame["seeds"]) == ["2", "1"]
    mean, spread = (trained_run.test_accuracy + 1) / 2, (1 - trained_run.test_accuracy) / math.sqrt(2)
    assert table.frame["test accuracy"].iloc[0] == f"{100 * mean:.1f} % ± {100 * spread:.2f}"
    carried = table._repr_mimebundle_()[RESULTS_MIME]
    assert sorted((row["name"], row["seed"]) for row in carried) == [("mnist", 0), ("mnist", 1), ("mnist-l2", 0)]


def test_a_difference_to_the_seed_report_has_the_errors_of_both(trained_run: Run) -> None:
    metrics = {**trained_run.metrics, "test_accuracy": 0.99, "test_images": 10000}
    run = dataclasses.replace(trained_run, experiment=named_experiment("mnist-l2", data="real"), metrics=metrics)
    row = results.compare_with_seed(run).frame.iloc[0]
    assert (row["reference report"], row["difference (points)"]) == ("99.3 %", "−0.27")
    low, high = (float(end.replace("−", "-")) for end in row["95 % interval"].split(" to "))
    assert (high - low) / 2 == pytest.approx(0.26, abs=0.01)
    assert results.seed_difference("mnist-3x3", "mnist-l2") == "−0.25 points"


def test_a_results_file_comes_back_as_the_table_it_was_made_of(trained_run: Run, tmp_path: Path) -> None:
    rows = [results.result_row(trained_run)]
    pd.DataFrame(rows).to_csv(tmp_path / "results.csv", index=False)
    read = results.read_rows(tmp_path / "results.csv")
    assert results.pipe_table(read) == results.pipe_table(rows)
    assert "Profile smoke, finished 20" in results.summary(read)
    assert rows[0]["environment_device_name"] in results.summary(read)


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "\x00\x01"])
def test_a_file_that_holds_no_results_is_an_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "results.csv").write_text(content)
    with pytest.raises(ReportError, match=r"results\.csv"):
        results.read_rows(tmp_path / "results.csv")


def test_the_docs_show_the_results_that_are_kept_with_them() -> None:
    kept = results.summary(results.read_rows(ROOT / "docs" / "results.csv"))
    assert kept in (ROOT / "docs" / "results.md").read_text()
