"""The training loop: `train(experiment) -> Run`.

A finished run is loaded, an interrupted one is resumed, a new one is trained. `fit` is the loop itself; what happens
besides, records, checkpoints and progress, hangs on it as callbacks (`hwkit.callbacks`).
"""

from __future__ import annotations

import datetime
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from hwkit import callbacks as standard
from hwkit import data, datasets, models, runs
from hwkit.callbacks import Callback, Training, learning_rate_at
from hwkit.data import Dataset
from hwkit.engine import checkpoints, cuda_graph, optimizers, provenance, run_files
from hwkit.engine.checkpoints import Checkpoint
from hwkit.engine.devices import (
    autocast,
    device_name,
    dropout_generator,
    fast_kernels,
    own_random_state,
    resolve_device,
    resolve_precision,
)
from hwkit.engine.interrupts import deferred_interrupt
from hwkit.errors import ExperimentError
from hwkit.experiment import Experiment
from hwkit.models import accuracy, predict
from hwkit.runs import Run

TRAIN_SAMPLE = 10_000  # training images over which the final training accuracy is taken
# How many seeds a verdict rests on by default: three are the fewest that give one, and where a run takes seconds there
# are five. The profiles that are not named train one network of each kind, and make no verdicts.
SEEDS = {"full": 3, "seed": 3}
SEEDS_ON_GPU = 5


def train(
    experiment: Experiment,
    model: Any = None,
    *,
    callbacks: Sequence[Callback] = (),
    device: str = "auto",
    progress: bool = True,
    live: bool = False,
    snapshots: int = 0,
) -> Run:
    """Train an experiment, or load its run if it is finished, or resume it if it was interrupted.

    Parameters
    ----------
    experiment : what to train.
    model : a network of your own: a class or function that returns one, with options as a `functools.partial`. It takes
        float32 (N, C, H, W) and gives logits, float (N, classes). None is the experiment's, by default the report's.
    callbacks : what to do besides; see `hwkit.callbacks`. A finished run is loaded without calling them.
    device : "auto" (cuda, else mps, else cpu), or a torch device such as "cpu" or "cuda:1".
    progress : show a progress bar with iteration, loss and accuracies.
    live : show the curves of loss and accuracies in the notebook while they grow.
    snapshots : keep the weights at so many moments on the way, for `hwkit.dashboard`, each as large as the final ones.
        A run that is finished already has those it was trained with.

    Raises
    ------
    ExperimentError
        If the model, a callback or snapshots is not what it must be.
    TrainingError
        If the device does not exist, or the loss is no longer a finite number.
    DataError
        If the data set is missing or damaged.
    RunError
        If the run folder cannot be written.
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint was written: the same call continues from there.

    Examples
    --------
    >>> run = hwkit.train(hwkit.named_experiment("mnist-l2", "quick"))  # doctest: +SKIP
    >>> run = hwkit.train(Experiment(dataset="mnist", epochs=3), model=Net)  # doctest: +SKIP
    """
    changes = {"model": model} if model is not None else {}
    labels = standard.check(callbacks)
    experiment = experiment.varied(**changes, **({"callbacks": labels} if labels else {}))
    hooks: list[Callback] = [standard.Recorder(), standard.Snapshots(snapshots), standard.Evaluations()]
    hooks += [standard.ProgressBar()] * progress
    if live:
        # By name: training needs no notebook, and what shows curves in one builds on training.
        hooks.append(importlib.import_module("hwkit.explorer.watch_training").LiveCurves())
    hooks += [*callbacks, standard.Checkpointer()]  # the last one writes what the others remember
    target = resolve_device(device)
    experiment = resolved(experiment)
    finished = runs.find(experiment)
    if finished:
        return finished
    data.keep(experiment.dataset)

    def on_wait() -> None:
        if progress:
            tqdm.write(f"{experiment.name}: another process is training this run; waiting for it", file=sys.stderr)

    with runs.lock(experiment, on_wait=on_wait) as folder:
        run_files.tidy(folder)
        return runs.find(experiment) or train_in(folder, experiment, target, hooks)


def train_in(folder: Path, experiment: Experiment, device: torch.device, callbacks: Sequence[Callback]) -> Run:
    """Train from the last checkpoint in `folder`, if there is one, to a finished run. For the holder of its lock."""
    with fast_kernels(device), own_random_state(experiment.seed, device):
        training = start(folder, experiment, data.of(experiment, device), device, callbacks)
        fit(training)
        run = finish(training)
    training.tell("on_finish", run)
    return run


def fit(training: Training) -> None:
    """The training loop: all steps that are left, told to the training's callbacks."""
    experiment, model, optimizer = training.experiment, training.model, training.optimizer

    def step(images: Tensor, labels: Tensor) -> Batch:
        """One optimiser step on images, float32 (B, C, H, W); gives these, the labels, cross-entropy and logits."""
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(training.device, training.precision):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=experiment.label_smoothing)
        loss.backward()
        training.tell("on_gradients")
        optimizer.step()
        optimizer.zero_grad()
        return images, labels, loss.detach(), logits.detach()

    steps = replayed_steps if cuda_graph.usable(training.device, experiment.augment) else plain_steps
    take_steps = steps(training, step)
    training.tell("on_start")
    try:
        with deferred_interrupt() as interrupted:
            while training.iteration < experiment.iterations and not training.stopped:
                epoch, start = divmod(training.iteration, experiment.batches_per_epoch)
                for training.images, training.labels, training.loss, training.logits in take_steps(epoch, start):
                    training.tell("on_step")
                    if training.iteration % experiment.batches_per_epoch == 0:
                        training.tell("on_epoch")
                    if interrupted():
                        training.save()
                        raise KeyboardInterrupt(
                            f"{experiment.name} stopped at iteration {training.iteration} of {experiment.iterations}; "
                            "run it again to continue from there"
                        )
                    if training.last:
                        break
            training.save()  # what follows, evaluating, takes seconds, in which the last steps could be lost
    finally:
        training.tell("on_end")


Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # images, labels, loss, logits
Step = Callable[[Tensor, Tensor], Batch]
Steps = Callable[[int, int], Iterator[Batch]]


def plain_steps(training: Training, step: Step) -> Steps:
    """The steps of an epoch from its batch `start` on, one batch after the other."""

    def take(epoch: int, start: int) -> Iterator[Batch]:
        for images, labels in data.epoch_batches(training.dataset, training.experiment, epoch=epoch, start=start):
            next_iteration(training)
            yield step(data.normalise(images, training.dataset), labels)

    return take


def replayed_steps(
    training: Training, step: Step, capture: Callable[[Callable[[], Any]], Callable[[], Any]] = cuda_graph.capture
) -> Steps:
    """As `plain_steps`, each a replay of one captured step, from the choice of the batch to the update of the weights.

    What is yielded is overwritten by the next step. `capture` makes a replay of a step that has been warmed up; where
    it gives the step itself, this computes what `plain_steps` does, which a machine without a GPU can test.
    """
    feed = data.Feed(training.dataset, training.experiment)
    outputs: list[Batch] = []
    replays: list[Callable[[], Any]] = []

    def step_on_feed() -> None:
        images, labels = feed.next()
        outputs[:] = [step(data.normalise(images, training.dataset), labels)]

    def take(epoch: int, start: int) -> Iterator[Batch]:
        feed.start(epoch, start)
        if not replays:
            kept = [feed.position, *training.model.state_dict().values()]
            cuda_graph.warm_up(step_on_feed, training.optimizer, training.generator, kept, training.device)
            replays.append(capture(step_on_feed))
        for _ in range(start, training.experiment.batches_per_epoch):
            next_iteration(training)
            replays[0]()
            yield outputs[0]

    return take


def next_iteration(training: Training) -> None:
    """Go on to the next iteration and its learning rate."""
    training.iteration += 1
    optimizers.set_rate(training.optimizer, learning_rate_at(training.iteration, training.experiment))


def start(
    folder: Path, experiment: Experiment, dataset: Dataset, device: torch.device, callbacks: Sequence[Callback] = ()
) -> Training:
    """A training at its last checkpoint in `folder`, or at its beginning; its random state must be the caller's own."""
    if experiment.model:
        models.check(experiment)
    precision = resolve_precision(experiment.precision, device)
    model = models.build(experiment).to(device).to(memory_format=torch.channels_last).train()
    training = Training(
        experiment=experiment,
        folder=folder,
        dataset=dataset,
        device=device,
        precision=precision,
        model=model,
        optimizer=make_optimizer(model, experiment),
        generator=dropout_generator(device),
        environment=describe_environment(device, precision, dataset),
        callbacks=callbacks,
    )
    checkpoint = checkpoints.read(folder, experiment.fingerprint, lambda found: fits(found, training))
    if checkpoint is None:
        run_files.write_json(folder / "experiment.json", experiment.as_dict())
    else:
        resume(training, checkpoint)
    return training


def resume(training: Training, checkpoint: Checkpoint) -> None:
    """Put a training where a checkpoint was."""
    training.model.load_state_dict(checkpoint.model)
    optimizers.load(training.optimizer, checkpoint.moments)
    training.iteration = training.saved_iteration = checkpoint.iteration
    training.rows = checkpoint.rows
    training.seconds_before = checkpoint.seconds
    training.restore(checkpoint.callbacks)
    before = checkpoint.environment
    # Another kind of device has another kind of generator: a run that moves goes on with fresh numbers.
    if before["device"] == training.device.type:
        training.generator.set_state(checkpoint.random_state.cpu())
    # A run that went on under other conditions says so, however often it was continued since.
    began_as = before.pop("began_as", None) or (before if before != training.environment else None)
    if began_as:
        training.environment["began_as"] = began_as


def fits(checkpoint: Checkpoint, training: Training) -> bool:
    """Whether a checkpoint can be one of this training: another would fail somewhere in the middle of it."""
    built = training.model.state_dict()
    return (
        {name: tensor.shape for name, tensor in checkpoint.model.items()}
        == {name: tensor.shape for name, tensor in built.items()}
        and optimizers.fits(training.optimizer, checkpoint.moments)
        and checkpoint.iteration <= training.experiment.iterations
        and all(len(row) == len(runs.RECORD_COLUMNS) for row in checkpoint.rows)
    )


def finish(training: Training) -> Run:
    """Evaluate the trained network and write the finished run.

    Raises
    ------
    TrainingError
        If the network computes anything but finite numbers.
    RunError
        If the run cannot be written; the checkpoint stays.
    """
    model, dataset = training.model, training.dataset
    count = min(TRAIN_SAMPLE, len(dataset.train_labels))
    logits = predict(model, dataset.test_images, dataset, precision="fp32")
    # In fp32 this would take twice as long, which in a short training counts.
    train_logits = predict(model, dataset.train_images[:count], dataset, precision=training.precision)
    test_loss = F.cross_entropy(logits, dataset.test_labels).item()
    if not (logits.isfinite().all() and train_logits.isfinite().all() and math.isfinite(test_loss)):
        raise training.diverged("the outputs of the trained network are not all finite")
    metrics = {
        "test_accuracy": accuracy(logits, dataset.test_labels),
        "test_loss": test_loss,
        "test_images": len(dataset.test_labels),
        "train_accuracy": accuracy(train_logits, dataset.train_labels[:count]),
        "train_images": count,
        "iterations": training.iteration,
        "seconds": round(training.seconds, 3),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return runs.finish(
        training.experiment,
        training.folder,
        weights=model.state_dict(),
        logits=logits,
        labels=dataset.test_labels,
        record=pd.DataFrame(training.rows, columns=runs.RECORD_COLUMNS),
        environment=training.environment,
        metrics={**metrics, **({"stopped": training.stopped} if training.stopped else {})},
    )


def resolved(experiment: Experiment) -> Experiment:
    """The same experiment with a data source that is decided, downloading the data if need be.

    Raises
    ------
    DataError
        As `datasets.resolve_source` does.
    """
    return experiment.replace(data=datasets.resolve_source(experiment.dataset, experiment.data))


def with_seeds(experiments: Sequence[Experiment], seeds: int | None = None, device: str = "auto") -> list[Experiment]:
    """Each experiment with several seeds, from its own on upwards; how many, see `seed_count`.

    Examples
    --------
    >>> [one.seed for one in hwkit.with_seeds([hwkit.named_experiment("mnist")], 3)]
    [0, 1, 2]
    """
    return [
        one.replace(seed=one.seed + step)
        for one in experiments
        for step in range(seed_count(one.profile, seeds, device))
    ]


def seed_count(profile: str, seeds: int | None = None, device: str = "auto") -> int:
    """How many seeds an experiment of a profile is trained with.

    Parameters
    ----------
    seeds : how many; None is the profile's number: 1 or, in the profiles of `SEEDS`, 3, and 5 on a CUDA GPU.

    Raises
    ------
    ExperimentError
        If seeds is not a whole number of at least 1.
    """
    if seeds is None:
        on_gpu = profile in SEEDS and resolve_device(device).type == "cuda"
        return SEEDS_ON_GPU if on_gpu else SEEDS.get(profile, 1)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ExperimentError(f"seeds must be a whole number of at least 1, or None for the default, not {seeds!r}")
    return seeds


def make_optimizer(model: nn.Module, experiment: Experiment) -> optimizers.Optimizer:
    """The experiment's optimiser over a network on its device, with the L2 penalty on weight tensors only."""
    return optimizers.make(
        experiment.optimizer,
        model,
        models.is_weight,
        rate=experiment.learning_rate,
        l2=experiment.l2,
        momentum=experiment.momentum,
        precision=resolve_precision(experiment.precision, next(model.parameters()).device),
    )


def describe_environment(device: torch.device, precision: str, dataset: Dataset) -> dict[str, Any]:
    """What a run's numbers depend on beside its experiment; see `provenance.describe`."""
    return {
        **provenance.describe(),
        "device": device.type,
        "device_name": provenance.label(device_name(device)),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "data_checksum": dataset.checksum,
    }


class _Stopwatch(Callback):
    """Stops after three steps; the first pays for memory and the choice of kernels, the others are timed."""

    label = "timed"
    seconds = 0.0

    def on_step(self, training: Training) -> None:
        training.loss.item()
        if training.iteration == 1:
            self.seconds = -time.perf_counter()
        elif training.iteration == 3:
            self.seconds += time.perf_counter()
            training.stop("timed")


def seconds_per_step(experiment: Experiment, *, device: str = "auto") -> float:
    """Expected time of an optimiser step of an experiment on this machine, from timed steps on random images."""
    target = resolve_device(device)
    facts = datasets.known_facts(experiment.dataset)
    batch = min(experiment.batch_size, experiment.train_count)
    images = torch.randint(0, 256, (batch, *facts.shape), dtype=torch.uint8, device=target)
    labels = torch.zeros(batch, dtype=torch.int64, device=target)
    dataset = Dataset(experiment.dataset, "stand-in", facts.classes, images, labels, images, labels)
    timed = experiment.replace(train_size=batch, holdout=0, test_size=None, epochs=3, callbacks="timed")
    stopwatch = _Stopwatch()
    model = models.build(timed).to(target).to(memory_format=torch.channels_last).train()
    with fast_kernels(target), own_random_state(0, target):
        training = Training(
            experiment=timed,
            folder=Path(),
            dataset=dataset,
            device=target,
            precision=resolve_precision(timed.precision, target),
            model=model,
            optimizer=make_optimizer(model, timed),
            generator=dropout_generator(target),
            environment={},
            callbacks=[stopwatch],
        )
        training.save = lambda: None  # type: ignore[method-assign]  # nothing of it is worth keeping
        fit(training)
    return stopwatch.seconds / 2
