"""kill -9 at any moment loses nothing: not while training, saving, building a report or running a batch."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pypdf
import pytest
from harness import SMALL, Outcome, outcome_of, small, start, train, wait_until
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_batch_run import running, said, wait_for

from hwkit import doctor, runs
from hwkit.engine import processes
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
            found, problems = runs.read_store(store)
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


def _batch(store: Path, seeds: int) -> Path:
    """A batch of small trainings in a folder of its own."""
    store.mkdir()
    options = ", ".join(f"{name}: {value}" for name, value in SMALL.items())
    text = f"experiments: cifar10-l2\nprofile: smoke\nset: {{{options}}}\nseeds: {seeds}\nstore: .\n"
    (store / "study.yaml").write_text(text)
    return store / "study.yaml"


def test_a_batch_killed_at_any_moment_and_place_comes_to_the_same_results(
    times: Callable[[int, int], int],
    dice: random.Random,
    undisturbed: Callable[[Experiment], Outcome],
    tmp_path: Path,
) -> None:
    """What is killed is the driver, one of its workers, or any process that they started."""
    seeds = 4
    expected = {runs.folder_of(small(seed=seed)).name: undisturbed(small(seed=seed)) for seed in range(seeds)}
    victims: Counter[str] = Counter()
    for number in range(times(1, 12)):
        path = _batch(tmp_path / f"batch-{number}", seeds)
        command = ("hwkit.cli", "batch", "retry", path, "--workers", 2)
        first = path.parent / "first"
        with running(*command, cwd=first, OMP_NUM_THREADS="1") as driver:
            wait_for(lambda: "started" in said(first))  # noqa: B023
            time.sleep(dice.uniform(0, 3))
            family = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
            victim = dice.choice(family[: dice.choice([1, len(family)])])
            victims["driver" if victim is family[0] else "others"] += 1
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
            if victim is family[0]:
                assert psutil.wait_procs(family, timeout=120)[1] == [], "it left processes behind"
            driver.wait()
        found, problems = runs.read_store(path.parent)
        assert problems == []
        assert all(outcome_of(run) == expected[run.folder.name] for run in found)
        assert {finding.remedy for finding in doctor.examine_store(path.parent)} <= {"delete it"}
        with running(*command, cwd=path.parent / "second", OMP_NUM_THREADS="1") as driver:
            assert driver.wait() == 0, said(path.parent / "second")
        found, problems = runs.read_store(path.parent)
        assert problems == []
        assert {run.folder.name: outcome_of(run) for run in found} == expected
    print(f"kills of batches: {victims['driver']} of drivers, {victims['others']} of other processes, no task lost")


def _text_of(pdf: Path) -> str:
    return "".join(page.extract_text() for page in pypdf.PdfReader(pdf).pages).replace("\u00a0", " ")
