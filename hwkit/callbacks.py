"""What happens beside the steps of a training: records, checkpoints, progress, snapshots, early stopping, logs.

A callback is told of each step, record and epoch of a `Training`. Those of this module have one job each; a callback of
your own overrides what it needs, and is passed to `hwkit.train(..., callbacks=[...])`.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from hwkit import data, models
from hwkit.data import Dataset
from hwkit.engine import checkpoints, run_files
from hwkit.engine.checkpoints import Checkpoint
from hwkit.engine.optimizers import Optimizer
from hwkit.errors import ExperimentError, TrainingError
from hwkit.experiment import Experiment
from hwkit.models import accuracy, fraction_correct, logits_of, predict
from hwkit.runs import RECORD_COLUMNS, Run

TEST_SAMPLE = 200  # random test images per record, as in the reference report
CHECKPOINT_SECONDS = 15.0
READ_EVERY = 0.5  # seconds between two readings of the record from a GPU


@dataclass(eq=False)
class Training:
    """One training under way, as its callbacks see it.

    Attributes
    ----------
    iteration : optimiser steps taken so far.
    images, labels : the last batch, normalised, float32 (B, C, H, W), and int64 (B,).
    loss, logits : its cross-entropy, float (), and the network's outputs in training mode, float (B, classes).
    rows : the record so far, columns `runs.RECORD_COLUMNS`.
    stopped : why it stops before its last iteration; empty while it goes on.
    seconds_before : wall time of the sessions before this one.
    """

    experiment: Experiment
    folder: Path
    dataset: Dataset
    device: torch.device
    precision: str
    model: nn.Module
    optimizer: Optimizer
    generator: torch.Generator
    environment: dict[str, Any]
    callbacks: Sequence[Callback] = ()
    iteration: int = 0
    rows: list[tuple[float, ...]] = field(default_factory=list)
    stopped: str = ""
    seconds_before: float = 0.0
    images: Tensor = field(default_factory=lambda: torch.zeros(0, 1, 1, 1))
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    logits: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    saved_iteration: int = 0
    started_at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time spent training, over all sessions."""
        return self.seconds_before + time.monotonic() - self.started_at

    @property
    def last(self) -> bool:
        """Whether the step just taken is the last one."""
        return bool(self.stopped) or self.iteration == self.experiment.iterations

    def tell(self, event: str, *arguments: Any) -> None:
        """Call one of the methods of `Callback` on every callback, in their order."""
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)

    def stop(self, reason: str) -> None:
        """End the training after this step, as if it had been its last; for callbacks with a label."""
        if not self.experiment.callbacks:
            raise ExperimentError("a callback that stops a training needs a label, which makes it a part of the run")
        self.stopped = reason

    def save(self) -> None:
        """Write a checkpoint, unless a weight is not finite: then the last good one stays."""
        self.tell("on_checkpoint")
        if all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            remembered = {name: callback.state() for name, callback in _named(self.callbacks) if callback.state()}
            checkpoint = Checkpoint(
                model=self.model.state_dict(),
                moments=self.optimizer.state_dict()["state"],
                iteration=self.iteration,
                rows=self.rows,
                seconds=self.seconds,
                environment=self.environment,
                random_state=self.generator.get_state(),
                callbacks=remembered,
            )
            checkpoints.write(self.folder, self.experiment.fingerprint, checkpoint)
            self.saved_iteration = self.iteration

    def restore(self, remembered: dict[str, Any]) -> None:
        """Give callbacks what they remembered in a checkpoint."""
        for name, callback in _named(self.callbacks):
            if name in remembered:
                callback.restore(remembered[name])

    def diverged(self, what: str) -> TrainingError:
        """The error for a training whose numbers are not finite."""
        kept = f" (the last good checkpoint, of iteration {self.saved_iteration}, is kept in {self.folder})"
        lower = f"the learning rate ({self.experiment.learning_rate:g})"
        if self.experiment.l2:
            lower += f" or l2 ({self.experiment.l2:g})"
        return TrainingError(
            f"{self.experiment.name}: {what}{kept if self.saved_iteration else ''}; lower {lower}, "
            "or use precision='fp32'"
        )


class Callback:
    """Told of what happens in a training; override what you need.

    A callback that changes what is trained, by `Training.stop` or in `on_gradients`, has a `label` with its settings,
    which becomes a part of the experiment: with other settings, it is another run. One without a label only watches.

    Examples
    --------
    >>> class Norms(hwkit.Callback):
    ...     def on_record(self, training, row):
    ...         print(row["iteration"], sum(p.norm() for p in training.model.parameters()))
    >>> hwkit.train(experiment, callbacks=[Norms()])  # doctest: +SKIP
    """

    label: str = ""

    def on_start(self, training: Training) -> None:
        """Before the first step, also of a training that resumes."""

    def on_gradients(self, training: Training) -> None:
        """Between the backward pass and the optimiser's step. On a GPU only what a CUDA graph can replay."""

    def on_step(self, training: Training) -> None:
        """After each optimiser step."""

    def on_record(self, training: Training, row: dict[str, float]) -> None:
        """After a new row of the record, columns `runs.RECORD_COLUMNS`; on a GPU the newest twice a second."""

    def on_epoch(self, training: Training) -> None:
        """After the last step of an epoch."""

    def on_checkpoint(self, training: Training) -> None:
        """Before a checkpoint is written."""

    def on_end(self, training: Training) -> None:
        """When the steps end: done, interrupted or failed."""

    def on_finish(self, training: Training, run: Run) -> None:
        """When the finished run is written."""

    def state(self) -> dict[str, Any]:
        """What JSON can hold of what it has to remember when a training resumes."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""


def check(callbacks: Sequence[Any]) -> str:
    """The labels of callbacks that change what is trained, as the experiment holds them.

    Raises
    ------
    ExperimentError
        If one of them is no `Callback`, or acts on gradients without a label.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback):
            given = f"the class {callback.__name__}" if isinstance(callback, type) else repr(callback)
            raise ExperimentError(f"callbacks must be objects of hwkit.Callback's subclasses, not {given}")
        if type(callback).on_gradients is not Callback.on_gradients and not callback.label:
            name = type(callback).__name__
            raise ExperimentError(f'{name} acts on gradients, so it needs a label: {name}.label = "what it does"')
    return ", ".join(callback.label for callback in callbacks if callback.label)


def _named(callbacks: Sequence[Callback]) -> list[tuple[str, Callback]]:
    return [(f"{number} {type(callback).__name__}", callback) for number, callback in enumerate(callbacks)]


# --- What every training has ------------------------------------------------------------------------------------


class Recorder(Callback):
    """Measures loss, penalty, and accuracy on the batch and on 200 random test images, every `record_every` iterations.

    The loss is that of the step; both accuracies are those of the network after it, in evaluation mode. The device need
    not wait: what was measured is read at once on a CPU, and twice a second from a GPU.
    """

    def __init__(self) -> None:
        self.unread: list[tuple[int, float, Tensor]] = []  # iteration, seconds, and what is still on the device
        self.read_at = 0.0

    def on_step(self, training: Training) -> None:
        if training.iteration % training.experiment.record_every and not training.last:
            return
        self.measure(training)
        if training.last or training.device.type == "cpu" or time.monotonic() - self.read_at > READ_EVERY:
            self.on_checkpoint(training)
            training.tell("on_record", dict(zip(RECORD_COLUMNS, training.rows[-1], strict=True)))

    def measure(self, training: Training) -> None:
        """Measure a row of the record, without waiting for it."""
        experiment, dataset, device = training.experiment, training.dataset, training.device
        sample = data.random_test_indices(
            len(dataset.test_labels), TEST_SAMPLE, seed=experiment.seed, iteration=training.iteration
        ).to(device)
        logits = predict(training.model, dataset.test_images[sample], dataset, precision=training.precision)
        measured = [
            training.loss.double(),
            models.l2_penalty(training.model, experiment.l2).detach().double(),
            fraction_correct(logits_of(training.model, training.images, training.precision), training.labels),
            fraction_correct(logits, dataset.test_labels[sample]),
        ]
        self.unread.append((training.iteration, training.seconds, torch.stack(measured)))

    def on_checkpoint(self, training: Training) -> None:
        """Read what was measured into rows; TrainingError if the loss is not finite."""
        for iteration, seconds, measured in self.unread:
            loss, penalty, train_accuracy, test_accuracy = measured.tolist()
            if not math.isfinite(loss + penalty):
                raise training.diverged(f"the loss became {loss + penalty} at iteration {iteration}")
            epoch = iteration / training.experiment.batches_per_epoch
            rate = learning_rate_at(iteration, training.experiment)
            row = (iteration, epoch, loss + penalty, penalty, train_accuracy, test_accuracy, rate, round(seconds, 3))
            training.rows.append(row)
        self.unread.clear()
        self.read_at = time.monotonic()


class Checkpointer(Callback):
    """Writes a checkpoint every 15 seconds."""

    def on_start(self, training: Training) -> None:
        self.saved_at = time.monotonic()

    def on_step(self, training: Training) -> None:
        if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
            training.save()
            self.saved_at = time.monotonic()


class ProgressBar(Callback):
    """Shows iteration, loss and accuracies."""

    def on_start(self, training: Training) -> None:
        e = training.experiment
        self.bar = tqdm(total=e.iterations, initial=training.iteration, desc=e.name, unit="it", mininterval=0.5)

    def on_step(self, training: Training) -> None:
        self.bar.update()

    def on_record(self, training: Training, row: dict[str, float]) -> None:
        self.bar.set_postfix_str(
            f"loss {row['loss']:.3f}, train {row['train_accuracy']:.3f}, test {row['test_accuracy']:.3f}", refresh=False
        )

    def on_end(self, training: Training) -> None:
        self.bar.close()


class Snapshots(Callback):
    """Keeps the weights at `count` moments, evenly between first and last step, each as large as the final ones.

    Which records they come with depends on the experiment alone, so an interrupted training keeps the same ones.
    """

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ExperimentError(f"snapshots must be a whole number of at least 0, not {count!r}")
        self.count = count

    def on_step(self, training: Training) -> None:
        if _is_due(training, self.count):
            run_files.write_snapshot(training.folder, training.iteration, training.model.state_dict())


class Evaluations(Callback):
    """Keeps the predictions for all test images at the experiment's `evaluations` moments, spread as snapshots are."""

    def on_step(self, training: Training) -> None:
        if _is_due(training, training.experiment.evaluations):
            dataset = training.dataset
            logits = predict(training.model, dataset.test_images, dataset, precision=training.precision)
            run_files.write_predicted(training.folder, training.iteration, logits.argmax(dim=1))


def _is_due(training: Training, count: int) -> bool:
    """Whether the step just taken is the first record after one of `count` moments between the first and the last."""
    e, iteration = training.experiment, training.iteration
    if not count or (iteration % e.record_every and not training.last):
        return False
    before = max(0, iteration - e.record_every)
    passed, previous = ((count + 1) * step // e.iterations for step in (iteration, before))
    return previous < passed <= count


# --- What users may add -----------------------------------------------------------------------------------------


class EarlyStopping(Callback):
    """Stops when the accuracy on held-out training images has not risen for some epochs.

    The experiment must hold images out (`holdout=5000`): stopping by the test images would tune on them.

    Parameters
    ----------
    patience : epochs without a better accuracy.
    least : by how much an accuracy has to be better.
    """

    def __init__(self, patience: int = 2, least: float = 0.0) -> None:
        self.patience, self.least = patience, least
        self.best, self.waited = -1.0, 0
        self.label = f"early stopping (patience {patience}, least {least:g})"

    def on_start(self, training: Training) -> None:
        if not training.experiment.holdout:
            raise ExperimentError("EarlyStopping needs held-out training images: set holdout, for instance to 5000")

    def on_epoch(self, training: Training) -> None:
        dataset = training.dataset
        logits = predict(training.model, dataset.test_images, dataset, precision=training.precision)
        reached = accuracy(logits, dataset.test_labels)
        if reached > self.best + self.least:
            self.best, self.waited = reached, 0
        else:
            self.waited += 1
        if self.waited >= self.patience:
            training.stop(f"no better than {self.best:.4f} on held-out images for {self.patience} epochs")

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]


class ClipGradients(Callback):
    """Scales gradients down to a norm, over all parameters together, where theirs is larger."""

    def __init__(self, norm: float) -> None:
        self.norm = norm
        self.label = f"gradients clipped to {norm:g}"

    def on_gradients(self, training: Training) -> None:
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), self.norm)


class CSVLogger(Callback):
    """Writes each row of the record to a CSV file while training goes on; it goes on with a file of its own rows."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_start(self, training: Training) -> None:
        if self.path.exists() and self.path.read_text().partition("\n")[0] != ",".join(RECORD_COLUMNS):
            raise ExperimentError(f"{self.path} is there and is not such a log; name another file")

    def on_record(self, training: Training, row: dict[str, float]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(RECORD_COLUMNS)
            writer.writerow([row[column] for column in RECORD_COLUMNS])


class TensorBoardLogger(Callback):
    """Writes each row of the record for TensorBoard, into a folder of the experiment's name below `folder`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def on_start(self, training: Training) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise TrainingError("TensorBoardLogger needs tensorboard: pip install tensorboard") from None
        self.writer = SummaryWriter(self.folder / training.folder.name)

    def on_record(self, training: Training, row: dict[str, float]) -> None:
        for column in RECORD_COLUMNS[2:-1]:
            self.writer.add_scalar(column, row[column], int(row["iteration"]))

    def on_end(self, training: Training) -> None:
        self.writer.close()


def learning_rate_at(iteration: int, experiment: Experiment) -> float:
    """The learning rate of a step, counted from 1.

    "one-cycle" (Smith, 2018, "A disciplined approach to neural network hyper-parameters"): up from a tenth of the
    peak in a straight line over the first quarter of the steps, then down to zero along half a cosine.
    """
    if experiment.schedule == "constant":
        return experiment.learning_rate
    position = iteration / experiment.iterations
    warm_up = 0.25
    if position < warm_up:
        return experiment.learning_rate * (0.1 + 0.9 * position / warm_up)
    return experiment.learning_rate * 0.5 * (1 + math.cos(math.pi * (position - warm_up) / (1 - warm_up)))
