"""The training loop: `train(experiment) -> Run`.

A finished run is loaded, an interrupted one is resumed, a new one is trained. `fit` is the loop itself.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from hwkit import data, models, runs
from hwkit.data import Dataset
from hwkit.datasets import sources
from hwkit.engine import checkpoints
from hwkit.engine import provenance as environments
from hwkit.engine.checkpoints import Checkpoint, Moments
from hwkit.engine.cuda_graph import GraphedSteps
from hwkit.engine.devices import autocast, device_name, keep_freed_memory, resolve_device, resolve_precision
from hwkit.errors import ExperimentError, TrainingError
from hwkit.experiment import Experiment
from hwkit.inference import accuracy, predict, share_right
from hwkit.runs import Run

TEST_SAMPLE = 200  # random test images per record, as in the seed report
TRAIN_SAMPLE = 10_000  # training images over which the final training accuracy is taken
SEEDS_ON_GPU = 5  # where a run takes seconds; on a CPU five seeds would take an evening
CHECKPOINT_SECONDS = 15.0
READ_EVERY = 0.5  # seconds between two readings of the record from a GPU


def train(
    experiment: Experiment,
    *,
    device: str = "auto",
    progress: bool = True,
    on_record: Callable[[dict[str, float]], None] | None = None,
    live: bool = False,
    snapshots: int = 0,
) -> Run:
    """Train an experiment, or load its run if it is finished, or continue it if it was interrupted.

    Parameters
    ----------
    experiment : what to train.
    device : "auto" (cuda, else mps, else cpu), or a torch device such as "cpu" or "cuda:1".
    progress : show a progress bar with iteration, loss and accuracies.
    on_record : is called with each new row of the record, columns `runs.RECORD_COLUMNS`; where a GPU trains, with the
        newest one twice a second.
    live : show the curves of loss and accuracies in the notebook while they grow.
    snapshots : keep the weights at so many moments on the way, for `hwkit.dashboard`, each as large as the final ones.
        A run that is finished already has those it was trained with.

    Raises
    ------
    ExperimentError
        If snapshots is not a whole number of at least 0.
    TrainingError
        If the device does not exist, or the loss is no longer a finite number.
    DataError
        If the data set is missing or damaged.
    RunError
        If the run folder cannot be written.
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint was written: the same call continues from there.
    """
    if isinstance(snapshots, bool) or not isinstance(snapshots, int) or snapshots < 0:
        raise ExperimentError(f"snapshots must be a whole number of at least 0, not {snapshots!r}")
    target = resolve_device(device)
    experiment = resolved(experiment)
    finished = runs.find(experiment)
    if finished:
        return finished

    def on_wait() -> None:
        if progress:
            tqdm.write(f"{experiment.name}: another process is training this run; waiting for it", file=sys.stderr)

    with runs.lock(experiment, on_wait=on_wait) as folder:
        runs.tidy(folder)
        finished = runs.find(experiment)
        if finished:
            return finished
        fit_new = functools.partial(fit, experiment, folder, target, progress=progress, snapshots=snapshots)
        if not live:
            return fit_new(on_record=on_record)
        from hwkit.explorer.watch_training import LiveCurves  # training itself needs no notebook

        curves = LiveCurves(experiment, folder, on_record)
        return curves.finish(fit_new(on_record=curves.update))


def resolved(experiment: Experiment) -> Experiment:
    """The same experiment with a data source that is decided, downloading the data if need be.

    Raises
    ------
    DataError
        As `sources.resolve_source` does.
    """
    return experiment.replace(data=sources.resolve_source(experiment.dataset, experiment.data))


def with_seeds(experiments: Sequence[Experiment], seeds: int | None = None, device: str = "auto") -> list[Experiment]:
    """Each experiment with several seeds, from its own on upwards.

    Parameters
    ----------
    seeds : how many; None is 1, or 5 where the device is a CUDA GPU.

    Raises
    ------
    ExperimentError
        If seeds is not a whole number of at least 1.
    """
    if seeds is None:
        seeds = SEEDS_ON_GPU if resolve_device(device).type == "cuda" else 1
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ExperimentError(f"seeds must be a whole number of at least 1, or None for the default, not {seeds!r}")
    return [one.replace(seed=one.seed + step) for one in experiments for step in range(seeds)]


def fit(
    experiment: Experiment,
    folder: Path,
    device: torch.device,
    *,
    progress: bool = True,
    on_record: Callable[[dict[str, float]], None] | None = None,
    snapshots: int = 0,
) -> Run:
    """Train from the last checkpoint in `folder`, if there is one, to a finished run."""
    with fast_kernels(device):
        dataset = data.load(
            experiment.dataset,
            experiment.data,
            device=device,
            train_size=experiment.train_size,
            test_size=experiment.test_size,
            holdout=experiment.holdout,
        )
        state = TrainingState(experiment, folder, models.build(experiment), dataset, device)
        with state.random_numbers():
            loop(state, progress=progress, on_record=on_record, snapshots=snapshots)
    return state.finish()


def loop(
    state: TrainingState,
    *,
    progress: bool = True,
    on_record: Callable[[dict[str, float]], None] | None = None,
    snapshots: int = 0,
) -> None:
    """The training loop: all steps that are left, with a record and a checkpoint now and then."""
    experiment = state.experiment
    take_steps = GraphedSteps(state).steps if state.device.type == "cuda" else state.steps

    with deferred_interrupt() as interrupted, state.bar(shown=progress) as bar:
        while state.iteration < experiment.iterations:
            epoch, start = divmod(state.iteration, experiment.batches_per_epoch)
            for loss, logits, labels in take_steps(epoch, start):
                last = state.iteration == experiment.iterations
                if state.iteration % experiment.record_every == 0 or last:
                    state.record(loss, logits, labels)
                    state.take_snapshot(snapshots)
                    if last or state.reading_is_due():
                        row = state.read_records()
                        bar.set_postfix_str(summary(row), refresh=False)
                        if on_record:
                            on_record(row)
                bar.update()
                if interrupted():
                    state.save()
                    raise KeyboardInterrupt(
                        f"{experiment.name} stopped at iteration {state.iteration} of {experiment.iterations}; "
                        "run it again to continue from there"
                    )
                if time.monotonic() - state.saved_at > CHECKPOINT_SECONDS:
                    state.save()
                if last:
                    break
        # What follows, evaluating, takes seconds, in which the last steps could be lost.
        state.save()


def summary(row: dict[str, float]) -> str:
    """A row of the record as a progress bar shows it."""
    return f"loss {row['loss']:.3f}, train {row['train_accuracy']:.3f}, test {row['test_accuracy']:.3f}"


class TrainingState:
    """The state of one training: everything that a checkpoint has to hold, and the steps that change it."""

    def __init__(
        self, experiment: Experiment, folder: Path, model: nn.Module, dataset: Dataset, device: torch.device
    ) -> None:
        self.experiment = experiment
        self.folder = folder
        self.dataset = dataset
        self.device = device
        self.precision = resolve_precision(experiment.precision, device)
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.optimizer = make_optimizer(model, experiment)
        self.iteration = 0
        self.rows: list[tuple[float, ...]] = []
        self.unread: list[tuple[int, float, Tensor]] = []  # iteration, seconds, and what is still on the device
        self.read_at = 0.0
        self.seconds_before = 0.0
        self.random_state = None
        self.environment = describe_environment(device, self.precision, dataset)
        checkpoint = checkpoints.read(experiment, folder)
        if checkpoint is None:
            runs.write_json(folder / "experiment.json", experiment.as_dict())
        else:
            self.model.load_state_dict(checkpoint.model)
            load_optimizer(self.optimizer, checkpoint.moments)
            self.iteration = checkpoint.iteration
            self.rows = checkpoint.rows
            self.seconds_before = checkpoint.seconds
            before = checkpoint.environment
            # Another kind of device has another kind of generator: a run that moves goes on with fresh numbers.
            if before["device"] == device.type:
                self.random_state = checkpoint.random_state
            # A run that went on under other conditions says so, however often it was continued since.
            began_as = before.pop("began_as", None) or (before if before != self.environment else None)
            if began_as:
                self.environment["began_as"] = began_as
        self.saved_iteration = self.iteration
        self.started_at = self.saved_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time spent training, over all sessions."""
        return self.seconds_before + time.monotonic() - self.started_at

    def steps(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Take the steps of an epoch from its batch `start` on.

        Yields
        ------
        After each step: the batch's cross-entropy, float (), its logits, float (B, 10), and its labels, int64 (B,).
        """
        experiment, dataset = self.experiment, self.dataset
        batches = data.batches(
            dataset.train_images,
            dataset.train_labels,
            experiment.batch_size,
            seed=experiment.seed,
            epoch=epoch,
            augment=experiment.augment,
            start=start,
        )
        for images, labels in batches:
            self.advance()
            yield *self.descend(data.normalise(images, dataset), labels), labels

    def advance(self) -> None:
        """Go on to the next iteration and its learning rate."""
        self.iteration += 1
        rate = learning_rate_at(self.iteration, self.experiment)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def descend(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One optimiser step on a batch; returns the cross-entropy, float (), and the logits, float (B, 10)."""
        with autocast(self.device, self.precision):
            logits = self.model(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach(), logits.detach()

    def record(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Measure loss, penalty, and accuracy on this batch and on 200 random test images; the device need not wait."""
        sample = data.random_test_indices(
            len(self.dataset.test_labels), TEST_SAMPLE, seed=self.experiment.seed, iteration=self.iteration
        ).to(self.device)
        sample_logits = predict(self.model, self.dataset.test_images[sample], self.dataset, precision=self.precision)
        measured = [
            loss.double(),
            l2_penalty(self.model, self.experiment.l2).detach().double(),
            share_right(logits, labels),
            share_right(sample_logits, self.dataset.test_labels[sample]),
        ]
        self.unread.append((self.iteration, self.seconds, torch.stack(measured)))

    def reading_is_due(self) -> bool:
        """Whether to read the newest records: at once on a CPU, now and then from a GPU, which has to wait for it."""
        return self.device.type == "cpu" or time.monotonic() - self.read_at > READ_EVERY

    def read_records(self) -> dict[str, float]:
        """Add what was measured to the record's rows, and return the last row.

        Raises
        ------
        TrainingError
            If the loss is no longer a finite number.
        """
        for iteration, seconds, measured in self.unread:
            loss, penalty, train_accuracy, test_accuracy = measured.tolist()
            if not math.isfinite(loss + penalty):
                raise self._diverged(f"the loss became {loss + penalty} at iteration {iteration}")
            epoch = iteration / self.experiment.batches_per_epoch
            rate = learning_rate_at(iteration, self.experiment)
            self.rows.append(
                (iteration, epoch, loss + penalty, penalty, train_accuracy, test_accuracy, rate, round(seconds, 3))
            )
        self.unread.clear()
        self.read_at = time.monotonic()
        return dict(zip(runs.RECORD_COLUMNS, self.rows[-1], strict=True))

    def take_snapshot(self, count: int) -> None:
        """Keep the weights if, of `count` moments evenly between first and last step, one came with this record.

        Which records these are depends on the experiment alone, so an interrupted training keeps the same ones.
        """
        before = max(0, self.iteration - self.experiment.record_every)
        passed, last = ((count + 1) * step // self.experiment.iterations for step in (self.iteration, before))
        if last < passed <= count:
            runs.write_snapshot(self.folder, self.iteration, self.model.state_dict())

    def _diverged(self, what: str) -> TrainingError:
        kept = f" (the last good checkpoint, of iteration {self.saved_iteration}, is kept in {self.folder})"
        lower = f"the learning rate ({self.experiment.learning_rate:g})"
        if self.experiment.l2:
            lower += f" or l2 ({self.experiment.l2:g})"
        return TrainingError(
            f"{self.experiment.name}: {what}{kept if self.saved_iteration else ''}; lower {lower}, "
            "or use precision='fp32'"
        )

    def save(self) -> None:
        """Write a checkpoint, unless the weights have stopped being numbers: then the last good one stays."""
        if self.unread:
            self.read_records()
        if all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            checkpoint = Checkpoint(
                model=self.model.state_dict(),
                moments=self.optimizer.state_dict()["state"],
                iteration=self.iteration,
                rows=self.rows,
                seconds=self.seconds,
                environment=self.environment,
                random_state=self.random_generator().get_state(),
            )
            checkpoints.write(self.experiment, self.folder, checkpoint)
            self.saved_iteration = self.iteration
        self.saved_at = time.monotonic()

    def finish(self) -> Run:
        """Evaluate the trained network and write the finished run.

        Raises
        ------
        TrainingError
            If the network computes anything but finite numbers.
        RunError
            If the run cannot be written; the checkpoint stays.
        """
        dataset, count = self.dataset, min(TRAIN_SAMPLE, len(self.dataset.train_labels))
        logits = predict(self.model, dataset.test_images, dataset, precision="fp32")
        # In fp32 this would take twice as long, which in a short training counts.
        train_logits = predict(self.model, dataset.train_images[:count], dataset, precision=self.precision)
        test_loss = F.cross_entropy(logits, dataset.test_labels).item()
        if not (logits.isfinite().all() and train_logits.isfinite().all() and math.isfinite(test_loss)):
            raise self._diverged("the outputs of the trained network are not all finite")
        metrics = {
            "test_accuracy": accuracy(logits, dataset.test_labels),
            "test_loss": test_loss,
            "test_images": len(dataset.test_labels),
            "train_accuracy": accuracy(train_logits, dataset.train_labels[:count]),
            "train_images": count,
            "iterations": self.iteration,
            "seconds": round(self.seconds, 3),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        return runs.finish(
            self.experiment,
            self.folder,
            weights=self.model.state_dict(),
            logits=logits,
            labels=dataset.test_labels,
            record=pd.DataFrame(self.rows, columns=runs.RECORD_COLUMNS),
            environment=self.environment,
            metrics=metrics,
        )

    def bar(self, *, shown: bool) -> tqdm:
        """A progress bar over the iterations that stands where training stands."""
        return tqdm(
            total=self.experiment.iterations,
            initial=self.iteration,
            desc=self.experiment.name,
            unit="it",
            disable=not shown,
            mininterval=0.5,
        )

    @contextlib.contextmanager
    def random_numbers(self) -> Iterator[None]:
        """Dropout's random numbers for this run, without a trace in the caller's random state."""
        on_cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_cuda):
            torch.manual_seed(self.experiment.seed)
            if self.random_state is not None:
                self.random_generator().set_state(self.random_state.cpu())
            yield

    def random_generator(self) -> torch.Generator:
        """Where dropout's random numbers come from."""
        if self.device.type == "cuda":
            return torch.cuda.default_generators[self.device.index or 0]
        return torch.mps.default_generator if self.device.type == "mps" else torch.default_generator


def make_optimizer(model: nn.Module, experiment: Experiment) -> torch.optim.Adam:
    """Adam, with the L2 penalty on weight tensors only.

    The gradient of lambda/2 * sum of w^2 is lambda * w; that is what Adam's `weight_decay` adds to the gradient of a
    weight, so the penalty needs no place in the loss that is differentiated.
    """
    weights = [p for name, p in model.named_parameters() if models.is_weight(name)]
    biases = [p for name, p in model.named_parameters() if not models.is_weight(name)]
    groups = [{"params": weights, "weight_decay": experiment.l2}, {"params": biases, "weight_decay": 0.0}]
    device = weights[0].device
    if device.type == "cuda":  # a captured step reads its rate from a tensor, and counts its steps in one
        rate = torch.tensor(experiment.learning_rate, device=device)
        return torch.optim.Adam(groups, lr=rate, fused=True, capturable=True)
    return torch.optim.Adam(groups, lr=experiment.learning_rate, fused=device.type == "cpu")


def load_optimizer(optimizer: torch.optim.Optimizer, moments: Moments) -> None:
    """Give an optimiser the moments of a checkpoint, and let it keep its own options: they are for its device."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    # A fused optimiser goes through memory: a moment has to lie there as its parameter does.
    state = {
        number: {
            name: torch.empty_like(parameters[number]).copy_(value) if value.ndim else value
            for name, value in of_one.items()
        }
        for number, of_one in moments.items()
    }
    own = optimizer.state_dict()
    optimizer.load_state_dict({**own, "state": state})


def l2_penalty(model: nn.Module, l2: float) -> Tensor:
    """The penalty l2/2 * sum of squared weights over weight tensors, biases excluded; float ()."""
    weights = [p for name, p in model.named_parameters() if models.is_weight(name)]
    return l2 / 2 * sum((w.square().sum() for w in weights), torch.zeros((), device=weights[0].device))


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


def describe_environment(device: torch.device, precision: str, dataset: Dataset) -> dict[str, Any]:
    """What a run's numbers depend on beside its experiment; see `environments.describe`."""
    return {
        **environments.describe(),
        "device": device.type,
        "device_name": environments.label(device_name(device)),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "data_checksum": dataset.checksum,
    }


@contextlib.contextmanager
def fast_kernels(device: torch.device) -> Iterator[None]:
    """Compute as fast as the device can where it makes no difference to what is learned.

    On a CPU, numbers too small for a full mantissa (below 1e-38 in fp32) count as 0. Adam's running means of gradients
    that have stopped decay to such numbers, and a processor takes many times as long for them. This holds for the
    calling thread and for those that start from it, so it has to come before PyTorch's own threads do. Freed memory
    stays with the process, from here on.

    On CUDA, libraries try out which kernel is the fastest, and fp32 products are computed in TF32.
    """
    before = _flushes_denormals(), torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.set_flush_denormal(True)
    keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_flush_denormal(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_float32_matmul_precision(before[2])


def _flushes_denormals() -> bool:
    return (torch.tensor(1e-38) / 100).item() == 0


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Any]:
    """Turn the first Ctrl-C (and a polite kill) into a flag, so that no optimiser step is cut in half.

    Yields a function that tells whether one came. A second Ctrl-C interrupts at once. Outside the main thread Python
    does not let anyone listen to signals, and interrupts stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in watched}

    def handle(number: int, frame: Any) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)

    for number in watched:
        signal.signal(number, handle)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def estimate_seconds(experiment: Experiment, *, device: str = "auto") -> float:
    """Expected training time of an experiment on this machine, from a few timed steps on random images."""
    target = resolve_device(device)
    facts = sources.DATASETS[experiment.dataset]
    model = models.build(experiment).to(target, memory_format=torch.channels_last).train()
    optimizer = make_optimizer(model, experiment)
    precision = resolve_precision(experiment.precision, target)
    images = torch.rand(experiment.batch_size, facts.channels, facts.size, facts.size, device=target)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(experiment.batch_size, dtype=torch.int64, device=target)

    def steps(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            with autocast(target, precision):
                loss = F.cross_entropy(model(images).float(), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        loss.item()
        return time.perf_counter() - started

    with fast_kernels(target):
        steps(1)  # the first one pays for memory and kernel selection
        return steps(2) / 2 * experiment.iterations
