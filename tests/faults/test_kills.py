"""kill -9 at any moment loses nothing: not while training, not while saving, not while a report is built."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pypdf
import pytest
from harness import Outcome, outcome_of, small, start, train, wait_until
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hwkit import doctor, processes, runs
from hwkit.experiment import Experiment
from hwkit.report.build import build_report

pytestmark = pytest.mark.skipif(not processes.forking(), reason="needs a fork server to start so many processes")


def test_a_training_killed_at_any_moment_comes_to_the_same_result(
    times: Callable[[int, int], int],
    dice: random.Random,
    undisturbed: Callable[[Experiment], Outcome],
    tmp_path: Path,
) -> None:
    kills = finished = tries = 0
    while kills < times(6, 180):
        tries += 1
        store, experiment = tmp_path / str(tries), small(seed=tries % 3)
        expected = undisturbed(experiment)
        folder = runs.folder_of(experiment, store)
        store.mkdir()
        for life in range(4):
            begun = store / f"begun-{life}"
            process = start(train, experiment, begun, store=store)
            wait_until(begun.exists, process)
            time.sleep(dice.uniform(0, expected.seconds))
            process.kill()
            process.join()
            kills += process.exitcode != 0
            found, problems = runs.list_runs(store)
            assert problems == []
            for run in found:
                assert outcome_of(run) == expected
            # Neither a file written by half nor a checkpoint that cannot be used: leftovers at most.
            assert {finding.remedy for finding in doctor.examine_store(store)} <= {"delete it"}
        process = start(train, experiment, store / "begun-last", store=store)
        process.join()
        assert process.exitcode == 0
        assert outcome_of(runs.load(folder)) == expected
        finished += 1
        assert not list(folder.glob("*.damaged"))
    print(f"{kills} kills, {finished} trainings, none lost")


def _build(folder: Path, begun: Path) -> None:
    begun.touch()
    build_report("smoke", notebooks=[folder / "one.ipynb", folder / "two.ipynb"], output=folder / "build")


def _cells(word: str) -> list[nbformat.NotebookNode]:
    title = new_markdown_cell(f"# Chapter {word}")
    return [title, new_code_cell("import time\ntime.sleep(0.2)"), new_code_cell(f"print('the end of ' + '{word}')")]


def test_a_report_killed_at_any_moment_is_built_by_the_next_attempt(
    times: Callable[[int, int], int], dice: random.Random, tmp_path: Path
) -> None:
    for number in range(times(1, 20)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for word in ("one", "two"):
            nbformat.write(new_notebook(cells=_cells(word)), folder / f"{word}.ipynb")
        process = start(_build, folder, folder / "begun", store=folder)
        wait_until((folder / "begun").exists, process)
        time.sleep(dice.uniform(0, 8))
        process.kill()
        process.join()
        output = folder / "build"
        if (output / "report.pdf").exists():  # then it is a whole one
            assert "the end of one" in _text_of(output / "report.pdf")
        report = build_report("smoke", notebooks=[folder / "one.ipynb", folder / "two.ipynb"], output=output)
        assert not report.failures
        assert "the end of one" in _text_of(report.pdf)
        assert "the end of two" in _text_of(report.pdf)


def _text_of(pdf: Path) -> str:
    return "".join(page.extract_text() for page in pypdf.PdfReader(pdf).pages).replace("\u00a0", " ")
