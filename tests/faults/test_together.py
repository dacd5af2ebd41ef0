"""Several processes that want the same run, and clocks that jump."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Outcome, outcome_of, small, start, train, wait_until

from hwkit import runs, training
from hwkit.engine import processes
from hwkit.experiment import Experiment


@pytest.mark.skipif(not processes.forking(), reason="needs a fork server to start so many processes")
def test_one_process_trains_and_the_others_wait_and_load(
    times: Callable[[int, int], int],
    dice: random.Random,
    undisturbed: Callable[[Experiment], Outcome],
    tmp_path: Path,
) -> None:
    started = 0
    for number in range(times(3, 50)):
        store, experiment = tmp_path / str(number), small(seed=number % 3)
        store.mkdir()
        # Every other time one of them is killed on the way: another takes over, and so a second one trains.
        victim = number % 2
        count = dice.randint(2, 8)
        begun = [store / f"begun-{i}" for i in range(count)]
        group = [start(train, experiment, path, store / "trained", store=store) for path in begun]
        started += count
        killed = None
        if victim:
            trained = store / "trained"
            wait_until(lambda: trained.exists() and trained.read_text(), group[0])  # noqa: B023
            holder = int(trained.read_text().split()[0])
            time.sleep(dice.uniform(0, 0.2))
            killed = next(process for process in group if process.pid == holder)
            killed.kill()
        for process in group:
            process.join()
            assert process is killed or process.exitcode == 0
        trained = (store / "trained").read_text().split()
        assert len(trained) == len(set(trained)) <= 1 + victim
        assert outcome_of(runs.load(runs.folder_of(experiment, store))) == undisturbed(experiment)
        assert len(runs(store)) == 1
    print(f"{number + 1} starts of 2 to 8 processes, {started} processes, one run each")


def test_clocks_that_jump_change_nothing(
    times: Callable[[int, int], int],
    dice: random.Random,
    undisturbed: Callable[[Experiment], Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, offset, suspended = time.time, 0.0, 0.0
    real_monotonic = time.monotonic

    def jumping() -> float:
        nonlocal offset
        if dice.random() < 0.2:
            offset = dice.uniform(-40, 40) * 365 * 86400
        return real() + offset

    def suspending() -> float:
        """A clock that never goes back, but may pass over the hours of a suspended machine."""
        nonlocal suspended
        if dice.random() < 0.2:
            suspended += dice.uniform(0, 10 * 3600)
        return real_monotonic() + suspended

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr("tqdm.std.time", jumping)
    monkeypatch.setattr(time, "monotonic", suspending)
    for number in range(times(3, 30)):
        monkeypatch.setenv("HWKIT_HOME", str(tmp_path / str(number)))
        run = training.train(small(seed=number % 3), device="cpu", progress=True)
        # Files from the future, or from long ago, are files like others.
        when = jumping()
        for path in run.folder.iterdir():
            os.utime(path, (when, when))
        assert outcome_of(runs.load(run.folder)) == undisturbed(small(seed=number % 3))
        assert run.metrics["seconds"] >= 0
