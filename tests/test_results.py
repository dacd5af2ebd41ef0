"""Result tables: what they show, and what they carry along."""

from __future__ import annotations

import dataclasses

from hwkit import results
from hwkit.results import RESULTS_MIME
from hwkit.runs import Run


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
