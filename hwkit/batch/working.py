"""What a worker does with one task: it runs it in a process of its own and puts the result into the store.

A process of its own can be interrupted and killed, and writes into a log of its own; on Linux it is a fork of a process
that has imported everything (see `hwkit.engine.processes`). When a worker dies, its process notices, writes a
checkpoint and ends; the next worker resumes from there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hwkit.batch.file import Limits
from hwkit.batch.storage import MARKER, Store
from hwkit.batch.tasks import Task
from hwkit.engine.processes import Job, Outcome, run_jobs
from hwkit.errors import BatchError, HwkitError, ProcessDied
from hwkit.experiment import Experiment
from hwkit.paths import CHECKPOINT, store_root

GRACE_SECONDS = 30.0  # for a checkpoint, or for a kernel to end, after an interrupt
MIRROR_SECONDS = 15.0  # between two uploads of log and checkpoint to an object store
TELL_SECONDS = 2.0  # between two messages on a task's progress

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Order:
    """What a worker needs beside the task.

    Attributes
    ----------
    store : where results go.
    limits : of time.
    cores : how many threads a task computes with.
    kernel : the name of a Jupyter kernel in place of those that notebooks name.
    session : names one call of `hwkit batch run`: what it may stop, and where it hears of events.
    code : the user's own networks and augmentations, as `hwkit.engine.code.pack` packs them.
    """

    store: Store
    limits: Limits
    cores: int
    kernel: str | None
    session: str
    code: bytes = b""


@dataclass(frozen=True)
class Ending:
    """How a task ended.

    Attributes
    ----------
    state : "done"; "failed"; "died", if its process was killed; "stopped", if the batch was.
    seconds : how long it took here.
    message : the result, or what went wrong.
    """

    state: Literal["done", "failed", "died", "stopped"]
    seconds: float = 0.0
    message: str = ""


_stopped: set[str] = set()  # sessions whose tasks are to end


def stop(session: str) -> None:
    """Let all tasks of a session on this worker end: trainings write a checkpoint."""
    _stopped.add(session)


def dask_setup(worker: Any) -> None:
    """What Dask calls in each worker of our own: Ctrl-C is the driver's to handle, not that of its workers."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def perform(task: Task, order: Order) -> Ending:
    """Run a task on a Dask worker; telling of its events under the name of the session."""
    from distributed import get_worker

    worker = get_worker()

    def tell(event: dict[str, Any]) -> None:
        worker.log_event(order.session, {"key": task.key, "where": str(worker.name), **event})

    return carry_out(task, order, tell)


def carry_out(task: Task, order: Order, tell: Tell = lambda event: None) -> Ending:
    """Run a task, unless its result is there or the session was stopped. Whatever goes wrong is in the `Ending`."""
    if order.session in _stopped:
        return Ending("stopped")
    started = time.monotonic()
    try:
        if order.store.has(task):
            return Ending("done", message="was there")
        tell({"event": "started"})
        with tempfile.TemporaryDirectory(prefix="hwkit-batch-") as scratch:
            working = _Execution if task.notebook else _Training
            ending = working(task, order, Path(scratch), tell).run()
    except HwkitError as error:
        ending = Ending("failed", message=str(error))
    except Exception as error:  # of the store's library, say: the task failed, and the batch goes on
        ending = Ending("failed", message=f"{type(error).__name__}: {error}")
    return replace(ending, seconds=round(time.monotonic() - started, 3))


class _Work:
    """One task under way."""

    after_limit: str  # what to do when it took too long

    def __init__(self, task: Task, order: Order, scratch: Path, tell: Tell) -> None:
        self.task, self.order, self.store, self.scratch, self.tell = task, order, order.store, scratch, tell
        self.home = self.store.folder or store_root().absolute()
        address = self.store.own("logs", f"{task.key}.log")
        self.log = Path(address) if self.store.folder else scratch / "log"
        self.log_address = address
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started = self.mirrored = time.monotonic()
        self.told = 0.0

    def run(self) -> Ending:
        """Do the work in a process, and bring what it left into the store."""
        self.prepare()
        # Dask marks its workers as daemons, which may have no children; ours end with the worker on their own.
        multiprocessing.current_process().daemon = False
        try:
            (outcome,) = run_jobs([self.job()], 1, on_message=self.hear, on_tick=self.tick, grace=GRACE_SECONDS)
        except KeyboardInterrupt:
            self.mirror()
            return Ending("stopped")
        except _TooLong as error:
            outcome = Outcome(error=error)
        try:
            return self.finish(outcome)
        finally:
            self.close_log()

    def prepare(self) -> None:
        """Bring here what the work needs."""

    def job(self) -> Job:
        """What the process is to do."""
        raise NotImplementedError

    def finish(self, outcome: Outcome) -> Ending:
        """Put the result into the store."""
        raise NotImplementedError

    def failed(self, error: Exception) -> Ending:
        """The ending for an error."""
        known = isinstance(error, HwkitError)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        return Ending("died" if isinstance(error, ProcessDied) else "failed", message=message)

    def hear(self, number: int, fraction: float) -> None:
        """Pass on the fraction of the work that is done."""
        if time.monotonic() - self.told > TELL_SECONDS:
            self.told = time.monotonic()
            self.tell({"event": "progress", "fraction": round(float(fraction), 4)})

    def tick(self) -> None:
        """Stop the work if it has to be stopped, and keep the store up to date."""
        if self.order.session in _stopped:
            raise KeyboardInterrupt
        limit = self.order.limits.task
        if limit and time.monotonic() - self.started > limit:
            raise _TooLong(f"took longer than limits.task, {limit} s; {self.after_limit}")
        if time.monotonic() - self.mirrored > MIRROR_SECONDS:
            self.mirror()

    def mirror(self) -> None:
        """Copy to an object store what is worth keeping of unfinished work."""
        if not self.store.folder and self.log.exists():
            self.store.write(self.log_address, self.log.read_bytes())
        self.mirrored = time.monotonic()

    def close_log(self) -> None:
        """Keep the log if there is anything in it."""
        if self.log.exists() and not self.log.stat().st_size:
            self.log.unlink()
        self.mirror()


class _TooLong(BatchError):
    """A task took longer than it may."""


class _Training(_Work):
    """Training an experiment: in the store where that is a folder, else here, and then uploaded."""

    after_limit = "`hwkit batch retry` resumes it from its checkpoint"

    @property
    def experiment(self) -> Experiment:
        """What is trained."""
        assert self.task.experiment is not None
        return self.task.experiment

    def prepare(self) -> None:
        if not self.store.folder:
            self.store.give_dataset(self.experiment.dataset, self.home)
            self.store.download_run(self.task.key, self.home)
        self.uploaded_at = self.checkpoint_time()

    def job(self) -> Job:
        return Job(_train, (self.experiment, str(self.home), self.order.cores, str(self.log), self.order.code))

    def finish(self, outcome: Outcome) -> Ending:
        if outcome.error:
            self.mirror()
            return self.failed(outcome.error)
        if not self.store.folder:
            self.store.upload_run(self.home / self.task.key)
        return Ending("done", message=outcome.value)

    def mirror(self) -> None:
        super().mirror()
        newest = self.checkpoint_time()
        if not self.store.folder and newest != self.uploaded_at:
            self.store.upload_checkpoint(self.home / self.task.key)
            self.uploaded_at = newest

    def checkpoint_time(self) -> float:
        """When the newest checkpoint was written; 0 if there is none, or the run is finished."""
        folder = self.home / self.task.key
        try:
            return 0.0 if (folder / MARKER).exists() else (folder / CHECKPOINT).stat().st_mtime
        except OSError:
            return 0.0


class _Execution(_Work):
    """Executing a notebook: here, and then copied into the store, to one place or another."""

    after_limit = "raise the limit, and `hwkit batch retry` executes it again"

    def prepare(self) -> None:
        notebook = self.task.notebook
        assert notebook is not None
        self.source = self.scratch / notebook.path.name
        text = self.store.read(self.store.own("sources", f"{notebook.digest}.ipynb"))
        if text is None:
            raise BatchError(f"notebook {notebook.path.name} is not in the store; run the batch again")
        self.source.write_bytes(text)
        self.output = self.scratch / "executed.ipynb"
        # Where this worker has the notebook's own folder, what lies beside the notebook is there too.
        self.folder = notebook.path.parent if notebook.path.exists() else self.scratch

    def job(self) -> Job:
        order = self.order
        arguments = (self.source, self.output, self.folder, self.task.parameters, order.limits.cell, order.kernel)
        return Job(_execute, (*arguments, str(self.home), order.cores, str(self.log)))

    def finish(self, outcome: Outcome) -> Ending:
        error = outcome.error or (outcome.value.failure and BatchError(outcome.value.failure))
        place = self.store.own("failed" if error else "notebooks", f"{self.task.key}.ipynb")
        if self.output.exists():
            self.store.write(place, self.output.read_bytes())
        if error:
            return self.failed(error)
        self.store.delete(self.store.own("failed", f"{self.task.key}.ipynb"))
        return Ending("done", message=outcome.value.warning)


def _train(
    tell: Callable[[float], None], experiment: Experiment, home: str, cores: int, log: str, packed: bytes
) -> str:
    """Train, in a process of its own; returns the result as text."""
    _settle(home, cores, log)
    from hwkit import parallel

    reached = parallel.train_in_process(tell, experiment, "auto", cores, packed)  # "NAME: test accuracy 0.9, 20 s"
    return reached.partition(": ")[2].partition(",")[0]


def _execute(
    tell: Callable[[float], None],
    source: Path,
    output: Path,
    folder: Path,
    parameters: dict[str, Any],
    cell_seconds: int | None,
    kernel: str | None,
    home: str,
    cores: int,
    log: str,
) -> Any:
    """Execute a notebook, in a process of its own."""
    _settle(home, cores, log)
    from hwkit.report.execute import execute

    with open(log, "a", encoding="utf-8", buffering=1) as file:
        options = {"folder": folder, "log": file, "cell_seconds": cell_seconds, "kernel": kernel}
        return execute(source, output, parameters, progress=False, **options)


def _settle(home: str, cores: int, log: str) -> None:
    """Let this process keep its runs in `home`, compute with `cores` threads, and write into the log."""
    os.environ["HWKIT_HOME"] = home
    os.environ["OMP_NUM_THREADS"] = str(cores)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
