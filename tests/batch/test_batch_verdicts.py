"""Variants of a batch against its baseline: what is said of them, and which seeds are still of use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from hwkit import analysis, statistics, training
from hwkit.batch import verdicts
from hwkit.batch.file import read_batch
from hwkit.batch.planning import plan
from hwkit.batch.results import BatchResults, gather
from hwkit.batch.state import Plan, State
from hwkit.batch.storage import Store
from hwkit.batch.tasks import Task, baselines, tasks_of
from hwkit.batch.verdicts import Against, against_baseline, wanted_tasks
from hwkit.cli import main
from hwkit.errors import BatchError
from hwkit.findings.reference import RESULTS_MIME, result_row

TINY = "profile: smoke\nset: {data: stand-in, train_size: 300, test_size: 200, epochs: 0.5}\n"
WIDTHS = f"experiments: mnist\n{TINY}grid: {{width: [1, 2, 4]}}\nbaseline: {{width: 1}}\n"


def results(folder: Path, text: str, numbers: dict[tuple[str, int], float]) -> BatchResults:
    """The results of a batch whose tasks, by variant and seed, left one number each."""
    (folder / "study.yaml").write_text(f"store: store\n{text}")
    batch = read_batch(folder / "study.yaml")
    return with_numbers(Plan(batch, Store(batch.store, batch.name), tasks_of(batch), set(), State()), numbers)


def with_numbers(of: Plan, numbers: dict[tuple[str, int], float]) -> BatchResults:
    rows = [
        {"variant": task.variant.name, "run": "", "seed": task.seed, "value": numbers[task.variant.name, task.seed]}
        for task in of.tasks
        if (task.variant.name, task.seed) in numbers
    ]
    frame = pd.DataFrame(rows, columns=["variant", "run", "seed", "value"])
    return BatchResults(of, frame, [""] * len(rows), ["value"], [])


def drawn(means: dict[str, float], seeds: int, number: int = 0, spread: float = 1.0) -> dict[tuple[str, int], float]:
    random = np.random.default_rng(number)
    return {(name, seed): mean + random.normal(0, spread) for name, mean in means.items() for seed in range(seeds)}


def said(found: list[Against]) -> dict[str, str]:
    return {one.variant: one.verdict for one in found}


# --- Which variant is the baseline --------------------------------------------------------------------------------


def pairs(folder: Path, text: str) -> dict[str, str]:
    found = results(folder, text, {}).plan
    return {one.name: other.name for one, other in baselines(found.batch, found.tasks).items()}


def test_options_name_a_baseline_of_each_experiment_and_a_label_one_for_all(tmp_path: Path) -> None:
    two = f"experiments: [mnist, mnist-3x3]\n{TINY}grid: {{width: [1, 2]}}\n"
    assert pairs(tmp_path, two) == {}
    assert pairs(tmp_path, f"{two}baseline: {{width: 1}}\n") == {
        "mnist[width=2]": "mnist[width=1]",
        "mnist-3x3[width=2]": "mnist-3x3[width=1]",
    }
    assert set(pairs(tmp_path, f"{two}baseline: mnist[width=2]\n").values()) == {"mnist[width=2]"}
    beside = f"{two}rows: [{{width: 1, dropout: 0.3}}]\nbaseline: {{width: 1}}\n"
    assert pairs(tmp_path, beside)["mnist[width=1, dropout=0.3]"] == "mnist[width=1]"


@pytest.mark.parametrize(
    ("baseline", "complaint"),
    [
        ("mnist[width=3]", "line 6: baseline: there is no variant 'mnist.width=3.'; did you mean"),
        ("{width: 3}", "line 6: baseline: fits no variant; there are: mnist.width=1, l2=0"),
        ("{l2: 0}", "line 6: baseline: fits 2 variants: .*; it must fit one variant of mnist"),
    ],
)
def test_a_baseline_that_is_none_is_an_error_before_anything_runs(
    baseline: str, complaint: str, tmp_path: Path
) -> None:
    text = f"experiments: mnist\n{TINY}grid: {{width: [1, 2], l2: [0, 1]}}\nbaseline: {baseline}\n"
    (tmp_path / "study.yaml").write_text(f"store: store\n{text}")
    with pytest.raises(BatchError, match=complaint):
        plan(read_batch(tmp_path / "study.yaml"))


# --- What is said -------------------------------------------------------------------------------------------------


def test_a_variant_is_higher_lower_or_open(tmp_path: Path) -> None:
    numbers = drawn({"mnist[width=1]": 5, "mnist[width=2]": 9, "mnist[width=4]": 5}, 5, spread=0.3)
    found = against_baseline(results(tmp_path, f"{WIDTHS}seeds: 5\n", numbers))
    assert said(found) == {"mnist[width=2]": "higher", "mnist[width=4]": "open"}
    assert found[0].p_holm == pytest.approx(2 * found[0].p_value)
    assert found[0].best_of == 3
    assert "is excluded, and to see half of it would take" in found[1].sentence
    turned = f"{WIDTHS.replace('baseline: {width: 1}', 'baseline: {width: 2}')}seeds: 5\n"
    assert set(said(against_baseline(results(tmp_path, turned, numbers))).values()) == {"lower"}


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "one pair"), (2, "none"), (3, "open")])
def test_a_verdict_takes_three_seeds(seeds: int, verdict: str, tmp_path: Path) -> None:
    numbers = drawn(dict.fromkeys(("mnist[width=1]", "mnist[width=2]"), 5.0), 4)
    numbers = {key: value for key, value in numbers.items() if "width=2" in key[0] or key[1] < seeds}
    (found,) = against_baseline(results(tmp_path, f"{WIDTHS}seeds: 4\n", numbers))
    assert (found.verdict, len(found.seeds), found.p_value is None) == (verdict, seeds, seeds < 3)


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> list[Task]:
    monkeypatch.setenv("HWKIT_HOME", str(folder / "store"))
    (folder / "study.yaml").write_text(f"store: store\n{text}")
    tasks = tasks_of(read_batch(folder / "study.yaml"))
    for task in tasks:
        training.train(task.experiment, device="cpu", progress=False)
    return tasks


def test_runs_are_compared_image_by_image_whether_a_training_or_a_notebook_left_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over seeds alone, or over images alone, the interval would be too narrow."""
    text = f"experiments: mnist\nseeds: 3\n{TINY}grid: {{width: [0.25, 0.5]}}\nbaseline: {{width: 0.25}}\n"
    tasks = trained(tmp_path, monkeypatch, text)
    runs = [training.train(task.experiment, device="cpu", progress=False) for task in tasks]
    correct = np.stack([analysis.correct(run).numpy() for run in runs]).astype(int)
    wanted = statistics.crossed_interval(correct[3:] - correct[:3])
    capsys.readouterr()
    (found,) = against_baseline(gather(plan(read_batch(tmp_path / "study.yaml"))))
    assert (found.estimate.low, found.estimate.high) == (wanted.low, wanted.high)

    content = new_notebook(cells=[new_code_cell("seed = 0\nwidth = 1.0", metadata={"tags": ["parameters"]})])
    (tmp_path / "hw.ipynb").write_text(json.dumps(content))
    notebooks = "notebooks: hw.ipynb\nseeds: 3\ngrid: {width: [0.25, 0.5]}\nbaseline: hw[width=0.25]\nstore: store\n"
    (tmp_path / "other.yaml").write_text(notebooks)
    executed = plan(read_batch(tmp_path / "other.yaml"))
    for task, run in zip(executed.tasks, runs, strict=True):
        outputs: list[Any] = [new_output("display_data", data={RESULTS_MIME: [result_row(run)]})]
        left = json.dumps(new_notebook(cells=[new_code_cell(outputs=outputs)]), default=str)
        executed.store.write(executed.store.own("notebooks", f"{task.key}.ipynb"), left.encode())
    (again,) = against_baseline(gather(plan(read_batch(tmp_path / "other.yaml"))))
    assert again.estimate == found.estimate

    assert main(["batch", "results", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "r.csv")]) == 0
    assert f"{100 * wanted.low:.2f}".replace("-", "−") in capsys.readouterr().out
    row = pd.read_csv(tmp_path / "r-verdicts.csv").iloc[0]
    assert (row["variant"], row["low"]) == ("mnist[width=0.5]", pytest.approx(wanted.low))


def test_runs_on_different_images_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"experiments: mnist\nseeds: 3\n{TINY}grid: {{holdout: [0, 200]}}\nbaseline: {{holdout: 0}}\n"
    trained(tmp_path, monkeypatch, text)
    (found,) = against_baseline(gather(plan(read_batch(tmp_path / "study.yaml"))))
    assert found.verdict == "none"
    assert "tested on different images" in found.sentence


def test_the_best_of_many_is_said_to_be_selected(tmp_path: Path) -> None:
    numbers = drawn({"mnist[width=1]": 5, "mnist[width=2]": 9, "mnist[width=4]": 5}, 4, spread=0.3)
    found = results(tmp_path, f"{WIDTHS}seeds: 4\n", numbers)
    compared = against_baseline(found)
    assert "higher (selected: highest of 3)" in verdicts.markdown(compared)
    assert verdicts.remarks(found, compared)[0].startswith("Verdicts hold for other seeds, after ")
    assert any(
        "mnist[width=2] has the highest value of 3 variants" in line for line in verdicts.remarks(found, compared)
    )


# --- Seeds until it is decided ------------------------------------------------------------------------------------

UNTIL = f"{WIDTHS}seeds: {{until: decided, from: 3, step: 2, at_most: 9}}\n"


def run_until_decided(every: Plan, numbers: dict[tuple[str, int], float]) -> list[Against]:
    """What a batch comes to that runs whatever is wanted, group by group."""
    known: dict[tuple[str, int], float] = {}
    while True:
        found = with_numbers(every, known)
        wanted = {(task.variant.name, task.seed) for task in wanted_tasks(found)}
        if wanted <= known.keys():
            return against_baseline(found)
        known |= {key: numbers[key] for key in wanted}


def test_seeds_are_added_only_where_it_is_open_and_up_to_the_ceiling(tmp_path: Path) -> None:
    numbers = drawn({"mnist[width=1]": 5, "mnist[width=2]": 25, "mnist[width=4]": 5}, 9)
    sure, unsure = run_until_decided(results(tmp_path, UNTIL, {}).plan, numbers)
    assert (sure.verdict, unsure.verdict) == ("higher", "open")
    assert len(unsure.seeds) == 9
    assert len(sure.seeds) in (3, 5, 7)


def test_a_group_that_is_not_complete_is_not_looked_at(tmp_path: Path) -> None:
    numbers = drawn({"mnist[width=1]": 5, "mnist[width=2]": 25, "mnist[width=4]": 5}, 9)
    seen = [
        against_baseline(results(tmp_path, UNTIL, {key: one for key, one in numbers.items() if key[1] < seeds}))
        for seeds in (3, 4)
    ]
    assert seen[0] == seen[1]
    assert {task.seed for task in wanted_tasks(results(tmp_path, UNTIL, {}))} == {0, 1, 2}


def test_seeds_until_decided_call_equal_variants_different_in_at_most_five_percent(tmp_path: Path) -> None:
    """Any of the variants, in any of the looks."""
    every, repeats = results(tmp_path, UNTIL, {}).plan, 60
    names = dict.fromkeys((task.variant.name for task in every.tasks), 5.0)
    decided = [
        set(said(run_until_decided(every, drawn(names, 9, number))).values()) != {"open"} for number in range(repeats)
    ]
    assert np.mean(decided) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)
