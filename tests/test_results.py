"""Result tables: what they show, and what they carry along."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from hwkit.errors import ReportError
from hwkit.findings import reference as results
from hwkit.findings.reference import RESULTS_MIME
from hwkit.runs import Run

ROOT = Path(__file__).parents[1]


def with_seed(run: Run, seed: int) -> Run:
    return dataclasses.replace(run, experiment=run.experiment.replace(seed=seed))


def test_of_several_seeds_the_first_is_shown_and_all_are_carried(trained_run: Run, trained_run_l2: Run) -> None:
    table = results.compare_with_seed([trained_run, with_seed(trained_run, 1)], trained_run_l2)
    assert list(table.frame.index) == ["mnist (stand-in data)", "mnist-l2 (stand-in data)"]
    carried = table._repr_mimebundle_()[RESULTS_MIME]
    assert sorted((row["name"], row["seed"]) for row in carried) == [("mnist", 0), ("mnist", 1), ("mnist-l2", 0)]


def test_the_summary_takes_the_lowest_seed_of_each_run(trained_run: Run, trained_run_l2: Run) -> None:
    rows = [results.result_row(run) for run in (with_seed(trained_run, 2), trained_run_l2, with_seed(trained_run, 1))]
    assert [(row["name"], row["seed"]) for row in results.first_seeds(rows)] == [("mnist-l2", 0), ("mnist", 1)]


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
