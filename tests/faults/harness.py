"""What the fault suite attacks with: small trainings in processes that can be killed, and disks that fail."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from hwkit import callbacks, runs, training
from hwkit.engine import files as storage
from hwkit.engine import processes
from hwkit.experiment import Experiment, named_experiment
from hwkit.export import files as exported
from hwkit.runs import Run

# Everything that draws random numbers at once, in a network and a data set as small as they come.
SMALL = {"data": "stand-in", "width": 0.0625, "dropout": 0.5, "train_size": 96, "test_size": 40, "batch_size": 16}
SMALL |= {"epochs": 2, "record_every": 3, "precision": "fp32"}


def small(**changes: Any) -> Experiment:
    """An experiment of twelve steps, with L2, augmentation and dropout."""
    return named_experiment("cifar10-l2", "smoke", **{**SMALL, **changes})


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a training computed, bit for bit: what must not depend on what happened on the way."""

    weights: dict[str, torch.Tensor]
    logits: torch.Tensor
    record: list[list[float]]
    accuracy: float
    seconds: float  # that the process took, from its first line to its last

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Outcome)
        return (
            self.weights.keys() == other.weights.keys()
            and all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)
            and torch.equal(self.logits, other.logits)
            and self.record == other.record
            and self.accuracy == other.accuracy
        )


def outcome_of(run: Run, seconds: float = 0.0) -> Outcome:
    """The outcome of a finished run, every file of it read and checked."""
    runs.read_everything(run)
    record = run.record.drop(columns="seconds").to_numpy().tolist()
    return Outcome(run.final_weights, run.logits, record, run.test_accuracy, seconds)


# --- Processes --------------------------------------------------------------------------------------------------


def start(function: Callable[..., None], *arguments: Any, store: Path) -> BaseProcess:
    """Call a function in a process of its own, which has the run store `store`."""
    environment = {**os.environ, "HWKIT_HOME": str(store), "OMP_NUM_THREADS": "1"}
    process = processes.context().Process(target=_call, args=(function, arguments, os.getcwd(), environment))
    process.start()
    return process


def _call(function: Callable[..., None], arguments: tuple[Any, ...], folder: str, environment: dict[str, str]) -> None:
    processes.settle(folder, environment)
    torch.set_num_threads(1)
    function(*arguments)


def train(experiment: Experiment, begun: Path, trained: Path | None = None) -> None:
    """Train with a checkpoint after every step; `begun` appears before, and `trained` gets a line if it trains."""
    callbacks.CHECKPOINT_SECONDS = 0.0
    if trained is not None:
        fit = training.fit

        def noted(*arguments: Any, **options: Any) -> Run:
            with trained.open("a") as file:
                file.write(f"{os.getpid()}\n")
            return fit(*arguments, **options)

        training.fit = noted
    begun.touch()
    training.train(experiment, device="cpu", progress=False, snapshots=2)


def wait_until(condition: Callable[[], bool], process: BaseProcess) -> None:
    """Wait for something that a process does; an error if it ends without."""
    while not condition():
        if not process.is_alive():
            assert condition(), f"the process ended with {process.exitcode}"
        time.sleep(0.001)


def trained_elsewhere(experiment: Experiment, store: Path) -> Outcome:
    """What an experiment comes to in a process of its own where nothing goes wrong."""
    process = start(train, experiment, store / "begun", store=store)
    wait_until((store / "begun").exists, process)
    started = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return outcome_of(runs.load(runs.folder_of(experiment, store)), time.monotonic() - started)


# --- Disks that fail --------------------------------------------------------------------------------------------


class FailingDisk:
    """Stands in for the `os` and `tempfile` of `hwkit.engine.files` and `hwkit.export.files`: one of the writes fails.

    Parameters
    ----------
    failing : the number of the write that fails, from 0; later ones fail too if `for_good`.
    stage : where in it: "open", "write" (after `share` of the bytes), "sync" or "move".
    code : the errno of the failure.
    """

    STAGES = ("open", "write", "sync", "move")

    def __init__(self, failing: int, stage: str, code: int = errno.EIO, share: float = 0.5, *, for_good: bool = False):
        self.failing, self.stage, self.code, self.share, self.for_good = failing, stage, code, share, for_good
        self.writes = -1
        self.failed = 0

    def install(self, monkeypatch: Any) -> FailingDisk:
        """Let all that hwkit writes go to this disk."""
        import tempfile

        changed = {"fsync": self._fsync, "replace": self._replace}
        monkeypatch.setattr(storage, "os", SimpleNamespace(**{**vars(os), **changed}))
        monkeypatch.setattr(storage, "tempfile", SimpleNamespace(**{**vars(tempfile), "mkstemp": self._mkstemp}))
        monkeypatch.setattr(exported, "os", SimpleNamespace(**{**vars(os), **changed, "open": self._create}))
        self._tempfile_mkstemp = tempfile.mkstemp
        return self

    def _reached(self, stage: str) -> bool:
        due = self.writes == self.failing or (self.for_good and self.writes > self.failing)
        return due and stage == self.stage

    def _fail(self) -> None:
        self.failed += 1
        raise OSError(self.code, os.strerror(self.code))

    def _mkstemp(self, *arguments: Any, **options: Any) -> tuple[int, str]:
        self.writes += 1
        if self._reached("open"):
            self._fail()
        return self._tempfile_mkstemp(*arguments, **options)

    def _create(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self.writes += 1
            if self._reached("open"):
                self._fail()
        return os.open(path, flags, mode)

    def _fsync(self, handle: int) -> None:
        if self._reached("write"):
            os.ftruncate(handle, int(self.share * os.fstat(handle).st_size))
            self._fail()
        if self._reached("sync"):
            self._fail()
        os.fsync(handle)

    def _replace(self, source: Path, target: Path) -> None:
        if self._reached("move"):
            self._fail()
        os.replace(source, target)
