"""Several trainings at once, as many as the machine takes.

One of these small networks leaves most of a GPU idle, and two threads train one of them less than twice as fast as one
thread does: side by side, more gets done in the same time.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from hwkit import runs, training
from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters import tensorflow_graph
from hwkit.chapters.penalty_bug import PenaltyRun, PenaltyTraining
from hwkit.datasets.sources import DATASETS
from hwkit.engine.devices import resolve_device
from hwkit.engine.processes import Job, Outcome, run_jobs
from hwkit.experiment import Experiment
from hwkit.formats import duration
from hwkit.runs import Run

Training = Experiment | PenaltyTraining  # what can be trained

ON_ONE_GPU = 4  # trainings at once
TOLD_EVERY = 0.5  # seconds between two messages of a process on how far it is
# For the forecast only: by how much slower than the same network here TensorFlow's graph is, and a penalty that draws
# initial weights at every step; and what evaluating an image takes, in parts of what a training step takes for it.
TENSORFLOW_FACTOR = 3.0
FAULTY_FACTOR = 2.0
EVALUATION_SHARE = 0.4


def train_all(
    trainings: Sequence[Training],
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> list[Run | PenaltyRun]:
    """Train several experiments side by side, or load those that are finished; see `training.train`.

    On a CPU each process gets its share of the threads. The number of threads changes the order of additions, and with
    it the last digits of a run; `environment.json` tells how many there were.

    Parameters
    ----------
    trainings : what to train; twice the same is trained once.
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
    """
    trainings = [resolved(one) for one in trainings]
    missing = unfinished(trainings)
    workers = min(workers or places(device), len(missing))
    if workers > 1:
        seconds = [expected_seconds(one, device) for one in missing]
        longest_first = sorted(range(len(missing)), key=lambda number: -seconds[number])
        missing, seconds = [missing[n] for n in longest_first], [seconds[n] for n in longest_first]
        threads = threads_each(workers)
        with _bar(seconds, shown=progress) as show:

            def ended(number: int, outcome: Outcome) -> None:
                show(number, 1.0)
                say(f"{missing[number].name}: {outcome.error}" if outcome.error else outcome.value)

            jobs = [Job(train_in_process, (one, device, threads)) for one in missing]
            outcomes = run_jobs(jobs, workers, on_message=show, on_end=ended)
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
    return [train_one(one, device=device, progress=progress) for one in trainings]


def train_seeds(
    experiment: Experiment, seeds: int | None = None, *, device: str = "auto", progress: bool = True
) -> list[Run]:
    """Train an experiment with several seeds, from its own on upwards, side by side; see `training.with_seeds`."""
    return train_all(training.with_seeds([experiment], seeds, device), device=device, progress=progress)


def train_one(one: Training, *, device: str = "auto", progress: bool = True, **options: Any) -> Run | PenaltyRun:
    """Train an experiment, or a training with a penalty in whichever framework it is for."""
    if isinstance(one, Experiment):
        return training.train(one, device=device, progress=progress, **options)
    trainer = tensorflow_graph if one.framework == "tensorflow" else penalty
    return trainer.train(one, device=device, progress=progress)


def resolved(one: Training) -> Training:
    """The same training with a data source that is decided, downloading the data if need be."""
    return training.resolved(one) if isinstance(one, Experiment) else penalty.resolved(one)


def unfinished(trainings: Sequence[Training]) -> list[Training]:
    """Those without a finished run, each once; their data sources have to be resolved."""
    once = {one.fingerprint: one for one in trainings}
    return [one for one in once.values() if (runs if isinstance(one, Experiment) else penalty).find(one) is None]


def places(device: str) -> int:
    """How many trainings at once a device takes."""
    return ON_ONE_GPU if resolve_device(device).type == "cuda" else torch.get_num_threads()


def threads_each(workers: int) -> int:
    """How many CPU threads each of so many processes gets."""
    return max(1, torch.get_num_threads() // workers)


def expected_seconds(one: Training, device: str = "auto") -> float:
    """Expected training time where one thread, or one of several places on a GPU, trains it."""
    experiment = one if isinstance(one, Experiment) else one.experiment
    factor = 1.0
    if isinstance(one, PenaltyTraining) and one.framework == "tensorflow":
        factor = TENSORFLOW_FACTOR
    elif isinstance(one, PenaltyTraining) and one.version == "faulty":
        factor = FAULTY_FACTOR
    # What does not change how long a step takes is left out, so that each kind of network is measured once.
    kind = experiment.replace(l2=0.0, seed=0, epochs=1, augment=None, dropout=None, name="kind", profile="kind")
    test_size = experiment.test_size or experiment.holdout or DATASETS[experiment.dataset].test_size
    evaluated = test_size + min(training.TRAIN_SAMPLE, experiment.train_count)
    steps = experiment.iterations + EVALUATION_SHARE * evaluated / experiment.batch_size
    return factor * _seconds_per_step(kind, device) * steps


@functools.lru_cache
def _seconds_per_step(experiment: Experiment, device: str) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return training.estimate_seconds(experiment, device=device) / experiment.iterations
    finally:
        torch.set_num_threads(threads)


def train_in_process(tell: Callable[[float], None], one: Training, device: str, threads: int) -> str:
    """Train in a process of its own, and tell now and then which share of it is done; returns what was reached."""
    torch.set_num_threads(threads)
    told_at = time.monotonic()

    def on_record(row: dict[str, float]) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > TOLD_EVERY:
            told_at = time.monotonic()
            tell(row["iteration"] / one.iterations)

    options = {"on_record": on_record} if isinstance(one, Experiment) else {}
    run = train_one(one, device=device, progress=False, **options)
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
