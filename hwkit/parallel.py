"""Several trainings at once, as many as the machine takes.

One of these small networks leaves most of a GPU idle, and two threads train one of them less than twice as fast as one
thread does: side by side, more gets done in the same time.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from hwkit import callbacks, data, runs, training
from hwkit.callbacks import Callback
from hwkit.engine import code
from hwkit.engine.devices import resolve_device
from hwkit.engine.processes import Job, Outcome, run_jobs
from hwkit.experiment import Experiment
from hwkit.formats import duration
from hwkit.runs import Run


class OtherTraining(Protocol):
    """A training that is no `Experiment` and leaves something of its own; a chapter of the report has such.

    Attributes
    ----------
    experiment : its data and schedule.
    slowness : for forecasts: how many times as long a step takes as one of the experiment.
    """

    experiment: Experiment
    slowness: float

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def iterations(self) -> int: ...

    def resolved(self) -> OtherTraining:
        """The same training with a data source that is decided."""
        ...

    def find(self) -> Any | None:
        """What it left, if it is finished."""
        ...

    def train(self, *, device: str, progress: bool) -> Any:
        """Train, or load what it left."""
        ...


Training = Experiment | OtherTraining  # what can be trained

ON_ONE_GPU = 4  # trainings at once
TOLD_EVERY = 0.5  # seconds between two messages of a process on how far it is
EVALUATION_SHARE = 0.4  # for forecasts: what evaluating an image takes, in parts of what a training step takes for it


def train_all(
    trainings: Sequence[Training],
    model: Any = None,
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> list[Any]:
    """Train several experiments side by side, or load those that are finished; see `training.train`.

    On a CPU each process gets its share of the threads. The number of threads changes the order of additions, and with
    it the last digits of a run; `environment.json` tells how many there were.

    Parameters
    ----------
    trainings : what to train; twice the same is trained once.
    model : a network of your own for all of them; see `training.train`.
    workers : how many processes at a time; None is one per CPU thread, or four on a GPU. With 1 there is no process
        but this one, and the first training that fails is the last.
    progress : show a progress bar where there is a terminal to show it on.
    say : is called with a line on each training that has ended in a process of its own.

    Raises
    ------
    HwkitError
        As `training.train` does, for the first training that failed; with several workers after all others have been
        trained.
    KeyboardInterrupt
        On Ctrl-C, after every training has written its checkpoint: the same call continues from there.

    Examples
    --------
    >>> plain, regularised = hwkit.train_all(
    ...     [hwkit.named_experiment("mnist"), hwkit.named_experiment("mnist-l2")]
    ... )  # doctest: +SKIP
    """
    if model is not None:
        trainings = [one.varied(model=model) for one in trainings if isinstance(one, Experiment)]
    trainings = [resolved(one) for one in trainings]
    missing = unfinished(trainings)
    workers = min(workers or places(device), len(missing))
    if workers > 1:
        seconds = [expected_seconds(one, device) for one in missing]
        longest_first = sorted(range(len(missing)), key=lambda number: -seconds[number])
        missing, seconds = [missing[n] for n in longest_first], [seconds[n] for n in longest_first]
        threads = threads_each(workers)
        for one in missing:
            if isinstance(one, Experiment):
                data.keep(one.dataset)  # where the processes find it
        with _bar(seconds, shown=progress) as show:

            def ended(number: int, outcome: Outcome) -> None:
                show(number, 1.0)
                say(f"{missing[number].name}: {outcome.error}" if outcome.error else outcome.value)

            jobs = [Job(train_in_process, (one, device, threads, own_code([one]))) for one in missing]
            outcomes = run_jobs(jobs, workers, on_message=show, on_end=ended)
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
    return [train_one(one, device=device, progress=progress) for one in trainings]


def train_seeds(
    experiment: Experiment,
    seeds: int | None = None,
    model: Any = None,
    *,
    device: str = "auto",
    progress: bool = True,
) -> list[Run]:
    """Train an experiment with several seeds, from its own on upwards, side by side; see `training.with_seeds`.

    Examples
    --------
    >>> runs = hwkit.train_seeds(hwkit.named_experiment("mnist"), 3)  # doctest: +SKIP
    >>> [run.test_accuracy for run in runs]  # doctest: +SKIP
    """
    return train_all(training.with_seeds([experiment], seeds, device), model, device=device, progress=progress)


def train_one(
    one: Training, *, device: str = "auto", progress: bool = True, callbacks: Sequence[Callback] = ()
) -> Run | Any:
    """Train an experiment, told to callbacks, or another training, which knows none."""
    if isinstance(one, Experiment):
        return training.train(one, device=device, progress=progress, callbacks=callbacks)
    return one.train(device=device, progress=progress)


def resolved(one: Training) -> Training:
    """The same training with a data source that is decided, downloading the data if need be."""
    return training.resolved(one) if isinstance(one, Experiment) else one.resolved()


def unfinished(trainings: Sequence[Training]) -> list[Training]:
    """Those without a finished run, each once; their data sources have to be resolved."""
    once = {one.fingerprint: one for one in trainings}
    found = {key: runs.find(one) if isinstance(one, Experiment) else one.find() for key, one in once.items()}
    return [one for key, one in once.items() if found[key] is None]


def own_code(trainings: Sequence[Training]) -> bytes:
    """The user's own code in trainings, for `train_in_process`; empty where there is none."""
    identities = [identity for one in trainings if isinstance(one, Experiment) for identity in one.own_code]
    return code.pack(identities) if identities else b""


def places(device: str) -> int:
    """How many trainings at once a device takes."""
    return ON_ONE_GPU if resolve_device(device).type == "cuda" else torch.get_num_threads()


def threads_each(workers: int) -> int:
    """How many CPU threads each of so many processes gets."""
    return max(1, torch.get_num_threads() // workers)


def expected_seconds(one: Training, device: str = "auto") -> float:
    """Expected training time where one thread, or one of several places on a GPU, trains it."""
    experiment = one if isinstance(one, Experiment) else one.experiment
    slowness = 1.0 if isinstance(one, Experiment) else one.slowness
    # What does not change how long a step takes is left out, so that each kind of network is measured once.
    same = {"l2": 0.0, "seed": 0, "epochs": 1, "augment": False, "dropout": None, "callbacks": ""}
    kind = experiment.replace(**same, name="kind", profile="kind")
    evaluated = experiment.test_count + min(training.TRAIN_SAMPLE, experiment.train_count)
    steps = experiment.iterations + EVALUATION_SHARE * evaluated / experiment.batch_size
    return slowness * _seconds_per_step(kind, device) * steps


@functools.lru_cache
def _seconds_per_step(experiment: Experiment, device: str) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return training.seconds_per_step(experiment, device=device)
    finally:
        torch.set_num_threads(threads)


class Teller(Callback):
    """Tells another process now and then which fraction of a training is done."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self.tell, self.told_at = tell, time.monotonic()

    def on_record(self, training: callbacks.Training, row: dict[str, float]) -> None:
        if time.monotonic() - self.told_at > TOLD_EVERY:
            self.told_at = time.monotonic()
            self.tell(row["iteration"] / training.experiment.iterations)


def train_in_process(
    tell: Callable[[float], None], one: Training, device: str, threads: int, packed: bytes = b""
) -> str:
    """Train in a process of its own, and tell now and then which fraction of it is done; returns what was reached.

    Parameters
    ----------
    packed : what `own_code` gave.
    """
    if packed:
        code.unpack(packed)
    torch.set_num_threads(threads)
    run = train_one(one, device=device, progress=False, callbacks=[Teller(tell)])
    return f"{run.name}: test accuracy {run.test_accuracy:.4f}, {duration(run.metrics['seconds'])}"


@contextlib.contextmanager
def _bar(seconds: Sequence[float], *, shown: bool) -> Iterator[Callable[[int, float], None]]:
    """A progress bar over expected seconds; gives a function to call with a training's number and its done share."""
    done = [0.0] * len(seconds)
    layout = "{percentage:3.0f}% |{bar}| {elapsed} so far, about {remaining} to go"
    disable = None if shown else True  # None is where there is no terminal
    with tqdm(total=sum(seconds), bar_format=layout, disable=disable, mininterval=TOLD_EVERY) as bar:

        def show(number: int, share: float) -> None:
            bar.update((share - done[number]) * seconds[number])
            done[number] = share

        yield show
