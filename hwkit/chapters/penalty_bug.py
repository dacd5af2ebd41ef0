"""The L2 penalty that did not train: the reference report's mistake, its repair, and short trainings with both.

The mistake was made in a TensorFlow graph, where a tensor is a node that is computed anew whenever it is needed. It is
reproduced here in PyTorch, with functions in the place of nodes, and in `hwkit.chapters.tensorflow_graph` with real
ones. Both train the MNIST network with the same loop, `fit`, and leave the same kind of result, a `PenaltyRun`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from hwkit import data, models
from hwkit.callbacks import TEST_SAMPLE
from hwkit.data import Dataset
from hwkit.datasets import sources
from hwkit.engine import run_files
from hwkit.engine.devices import autocast, fast_kernels, resolve_device, resolve_precision
from hwkit.engine.interrupts import deferred_interrupt
from hwkit.errors import ExperimentError, TrainingError, did_you_mean
from hwkit.experiment import PROFILES, Experiment, check_options
from hwkit.models import accuracy, predict
from hwkit.paths import store_root
from hwkit.training import TRAIN_SAMPLE, describe_environment, make_optimizer
from hwkit.training import resolved as resolved_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Part of every fingerprint: raise it when the same training would come out otherwise than before.
PENALTY_VERSION = 1

FRAMEWORKS = {"pytorch": "PyTorch", "tensorflow": "TensorFlow"}
# Named, not imported: the one for TensorFlow builds on this module.
TRAINERS = {"pytorch": "hwkit.chapters.penalty_bug", "tensorflow": "hwkit.chapters.tensorflow_graph"}
VERSIONS = ("none", "faulty", "repaired")  # of the penalty
WEIGHTS = ("conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight")
TRAINING_IMAGES = sources.DATASETS["mnist"].train_size

_PART = {"train_size": 2000, "test_size": 1000, "validation_size": 200}
_ALL = {"train_size": 55000, "validation_size": 5000}  # the split of TensorFlow 1's MNIST reader
_FAST = {"learning_rate": 1e-3}  # of Adam; ten times the reference's, for schedules much shorter than its own
_SEED = {"learning_rate": 1e-4, "batch_size": 500, "record_every": 20}
# How long each framework trains. What a penalty does shows within `penalty_iterations`. The TensorFlow run without one
# is a result of its own, and goes on to `iterations`: 1650 batches of 100 are three epochs, the reference's 8000 of
# 500 are 73. The step sizes are constant, so that all versions are trained alike as far as they go.
SCHEDULES: dict[str, dict[str, dict[str, Any]]] = {
    "pytorch": {
        "smoke": {**_PART, **_FAST, "batch_size": 32, "record_every": 3, "penalty_iterations": 30},
        "quick": {**_ALL, **_FAST, "batch_size": 64, "record_every": 5, "penalty_iterations": 100},
        "full": {**_ALL, **_FAST, "batch_size": 64, "record_every": 10, "penalty_iterations": 300},
        "seed": {**_ALL, **_SEED, "penalty_iterations": 1000},
    },
    "tensorflow": {
        "smoke": {**_PART, **_FAST, "batch_size": 32, "record_every": 3, "penalty_iterations": 30, "iterations": 40},
        "quick": {**_ALL, **_FAST, "batch_size": 100, "record_every": 5, "penalty_iterations": 60, "iterations": 300},
        "full": {**_ALL, **_FAST, "batch_size": 100, "record_every": 10, "penalty_iterations": 300, "iterations": 1650},
        "seed": {**_ALL, **_SEED, "penalty_iterations": 1000, "iterations": 8000},
    },
}


# --- The mistake and its repair ---------------------------------------------------------------------------------

Node = Callable[[], Tensor]  # of a graph: computes its value anew whenever it is asked for it


def faulty_weight(initial: Node, l2: float) -> tuple[nn.Parameter, Node]:
    """A weight and its penalty as in the reference report: the penalty is one on the node of the initial value."""

    def penalty() -> Tensor:
        return l2 / 2 * initial().square().sum()  # of a new draw, not of the weight

    weight = nn.Parameter(initial())
    return weight, penalty


def repaired_weight(initial: Node, l2: float) -> tuple[nn.Parameter, Node]:
    """A weight and a penalty on it."""
    weight = nn.Parameter(initial())

    def penalty() -> Tensor:
        return l2 / 2 * weight.square().sum()

    return weight, penalty


def gradient_norm(penalty: Tensor, weight: Tensor) -> float | None:
    """The norm of a penalty's gradient with respect to a weight; None if no path leads from one to the other."""
    if not penalty.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(penalty, [weight], allow_unused=True)
    return None if gradient is None else gradient.norm().item()


# The reference report's two attempts, and what would have worked.
ATTEMPTS = ("on the initial value", "over the collection Ws", "over the variables")


def attempts(l2: float) -> dict[str, tuple[float, float | None]]:
    """Value and gradient's norm of penalties on one weight: the reference report's attempts, and one that works.

    Its collection of weights, `Ws`, is a list that holds what was put into it, which is the initial value's node.
    """
    initial = truncated_normal(torch.empty(32, 1, 5, 5), torch.Generator().manual_seed(0))
    weight, on_initial = faulty_weight(initial, l2)
    collection: list[Node] = [initial]
    penalties = (
        on_initial(),
        l2 / 2 * torch.stack([node().square().sum() for node in collection]).sum(),
        l2 / 2 * torch.stack([variable.square().sum() for variable in [weight]]).sum(),
    )
    measured = [(penalty.item(), gradient_norm(penalty, weight)) for penalty in penalties]
    return dict(zip(ATTEMPTS, measured, strict=True))


# --- What to train ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PenaltyTraining:
    """Everything that decides what a training with or without a penalty computes. Frozen, and valid once it exists.

    Parameters
    ----------
    experiment : MNIST's 5x5 network and its schedule. `l2` is the penalty's lambda: above 0, but 0 without a penalty.
    framework : "pytorch" or "tensorflow".
    version : "none", "faulty" or "repaired": of the penalty.
    validation_size : so many training images, behind those to train on, are for the validation accuracy.
    """

    experiment: Experiment
    framework: str
    version: str
    validation_size: int

    def __post_init__(self) -> None:
        e = self.experiment
        _check_choice("framework", self.framework, FRAMEWORKS)
        _check_choice("version of the penalty", self.version, VERSIONS)
        plain = Experiment(dataset="mnist")
        fixed = {"initialisation": "truncated-normal", "schedule": "constant"}
        for option in (
            "dataset",
            "kernel_size",
            "width",
            "activation",
            "pooling",
            "initialisation",
            "schedule",
            "holdout",
        ):
            wanted = fixed.get(option, getattr(plain, option))
            if getattr(e, option) != wanted:
                raise ExperimentError(
                    f"{option} must be {wanted!r} in a training with a penalty, not {getattr(e, option)!r}"
                )
        if (e.l2 > 0) != (self.version != "none"):
            wanted = "0 without a penalty" if self.version == "none" else f"above 0 for the {self.version} penalty"
            raise ExperimentError(f"l2 must be {wanted}, not {e.l2:g}")
        room = TRAINING_IMAGES - e.train_count
        if isinstance(self.validation_size, bool) or self.validation_size not in range(1, room + 1):
            raise ExperimentError(
                f"validation_size must be a whole number from 1 to {room}, the images that {e.train_count} training "
                f"images leave, not {self.validation_size!r}"
            )

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that name the result folder: equal for trainings of the same thing."""
        decisive = [PENALTY_VERSION, self.framework, self.version, self.validation_size, self.experiment.fingerprint]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def iterations(self) -> int:
        """Number of optimiser steps."""
        return self.experiment.iterations

    @property
    def folder(self) -> Path:
        """Where the result lies in the store."""
        return store_root() / f"penalty-{self.framework}-{self.fingerprint}"

    @property
    def slowness(self) -> float:
        """About how many times as long a step takes as one of the experiment, for forecasts."""
        return 3.0 if self.framework == "tensorflow" else 2.0 if self.version == "faulty" else 1.0

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as JSON can hold them."""
        return dataclasses.asdict(self)

    def resolved(self) -> PenaltyTraining:
        """The same training with a data source that is decided; see `hwkit.training.resolved`."""
        return dataclasses.replace(self, experiment=resolved_experiment(self.experiment))

    def find(self) -> PenaltyRun | None:
        """What it left in the store, or None."""
        return find(self)

    def train(self, *, device: str = "auto", progress: bool = True) -> PenaltyRun:
        """Train in its framework, or load the result if it is there; errors as of that framework's `train`."""
        trainer = importlib.import_module(TRAINERS[self.framework])
        return trainer.train(self, device=device, progress=progress)


def penalty_training(
    framework: str,
    version: str,
    profile: str = "quick",
    *,
    l2: float = 1e-3,
    iterations: int | None = None,
    **overrides: Any,
) -> PenaltyTraining:
    """A training of the report, as long as a profile says, with single options changed.

    Parameters
    ----------
    framework, version : see `PenaltyTraining`.
    profile : one of `hwkit.experiment.PROFILES`; see `SCHEDULES`.
    l2 : lambda of the penalty; of no consequence without one.
    iterations : optimiser steps; None is the profile's number.
    overrides : fields of `Experiment`; None keeps the profile's value.

    Raises
    ------
    ExperimentError
        For an unknown framework, version, profile, option or value; the message lists what exists.
    """
    _check_choice("framework", framework, FRAMEWORKS)
    _check_choice("version of the penalty", version, VERSIONS)
    _check_choice("profile", profile, PROFILES)
    check_options(overrides)
    changes = {option: value for option, value in overrides.items() if value is not None}
    schedule = dict(SCHEDULES[framework][profile])
    usual = schedule.pop("penalty_iterations")
    longer = schedule.pop("iterations", usual)
    usual = longer if version == "none" else usual
    validation_size = schedule.pop("validation_size")
    if iterations is not None and (isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1):
        raise ExperimentError(f"iterations must be a whole number at least 1, not {iterations!r}")
    experiment = Experiment.from_dict(
        {
            **{"dataset": "mnist", "initialisation": "truncated-normal", "l2": 0.0 if version == "none" else l2},
            **{"precision": "fp32" if framework == "tensorflow" else "auto"},
            **{**schedule, **changes, "profile": profile, "name": _label(framework, version, iterations, changes)},
        }
    )
    steps = usual if iterations is None else iterations
    per_epoch = experiment.batches_per_epoch
    return PenaltyTraining(
        experiment=experiment.replace(epochs=steps / per_epoch),
        framework=framework,
        version=version,
        validation_size=validation_size,
    )


def versions(
    framework: str,
    profile: str = "quick",
    *,
    iterations: int | None = None,
    plain_iterations: int | None = None,
    **options: Any,
) -> list[PenaltyTraining]:
    """The three trainings to compare, in the order of `VERSIONS`; see `penalty_training`.

    Parameters
    ----------
    iterations : optimiser steps with a penalty, and in PyTorch without one too.
    plain_iterations : optimiser steps without a penalty, where they are to be others.
    """
    if plain_iterations is None and framework == "pytorch":
        plain_iterations = iterations
    steps = {"none": plain_iterations}
    return [
        penalty_training(framework, version, profile, iterations=steps.get(version, iterations), **options)
        for version in VERSIONS
    ]


def _label(framework: str, version: str, iterations: int | None, changes: Mapping[str, Any]) -> str:
    """The name, with what makes this another training than the report's of that name in brackets."""
    name = f"mnist-{framework}" if version == "none" else f"mnist-{framework}-{version}"
    shown = {option: value for option, value in changes.items() if option not in ("data", "seed", "precision")}
    shown |= {} if iterations is None else {"iterations": iterations}
    return f"{name}[{', '.join(f'{option}={value}' for option, value in shown.items())}]" if shown else name


def _check_choice(what: str, value: Any, choices: Any) -> None:
    if value not in list(choices):
        raise ExperimentError(f"unknown {what} {value!r}; {did_you_mean(value, choices)}")


# --- What comes out ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PenaltyRun:
    """A finished training with or without a penalty.

    Attributes
    ----------
    training : what was trained.
    metrics, environment : as those of a `Run`, and `metrics["validation_accuracy"]`.
    record : a row per record, from before the first step to after the last: `iteration`, `epoch`, `cross_entropy`,
        `penalty` (the value that the training added to it), `loss` (their sum), accuracies on the current batch, on
        200 random test images and on a validation batch, `seconds`, and `norm_` with the name of each weight tensor.
    penalties : before training, a row per weight tensor: its `norm`, `value` and `again` (the penalty, computed twice),
        and `gradient`, the norm of the penalty's gradient, NaN where there is none. Empty without a penalty.
    """

    training: PenaltyTraining
    metrics: dict[str, Any]
    environment: dict[str, Any]
    record: pd.DataFrame
    penalties: pd.DataFrame

    @property
    def experiment(self) -> Experiment:
        """The experiment in it, by which tables and figures know it."""
        return self.training.experiment

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def version(self) -> str:
        """The penalty's version: "none", "faulty" or "repaired"."""
        return self.training.version

    @property
    def framework(self) -> str:
        """What trained it, spelled as its makers do."""
        return FRAMEWORKS[self.training.framework]

    @property
    def fingerprint(self) -> str:
        """The training's fingerprint."""
        return self.training.fingerprint

    @property
    def test_accuracy(self) -> float:
        """Share of the test images that the final network classifies correctly."""
        return self.metrics["test_accuracy"]

    @property
    def norms(self) -> pd.DataFrame:
        """The norm of each weight tensor by iteration; columns `WEIGHTS`."""
        columns = {f"norm_{name}": name for name in WEIGHTS}
        return pd.DataFrame(self.record.set_index("iteration").rename(columns=columns), columns=list(WEIGHTS))


def find(training: PenaltyTraining) -> PenaltyRun | None:
    """The finished result of a training in the store, or None."""
    found = run_files.find_result(training.folder)
    if found is None:
        return None
    content, record = found
    penalties = pd.DataFrame(content["penalties"], columns=["norm", "value", "again", "gradient"], dtype=float)
    penalties.index = pd.Index(content["penalised"], name="parameter", dtype=object)
    return PenaltyRun(training, content["metrics"], content["environment"], record, penalties)


def train(training: PenaltyTraining, *, device: str = "auto", progress: bool = True) -> PenaltyRun:
    """Train in PyTorch, or load the result if it is there.

    Raises
    ------
    TrainingError
        If the device does not exist, or the loss is no longer a finite number.
    ExperimentError
        If the training is one in TensorFlow, which `hwkit.chapters.tensorflow_graph.train` does.
    DataError, RunError
        If the data set is missing or damaged; if the result cannot be written.
    """
    if training.framework != "pytorch":
        raise ExperimentError(f"{training.experiment.name} is trained by hwkit.chapters.tensorflow_graph.train")
    target = resolve_device(device)

    @contextlib.contextmanager
    def network(resolved: PenaltyTraining) -> Iterator[Network]:
        with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
            torch.manual_seed(resolved.experiment.seed)  # of dropout
            yield TorchNetwork(resolved, target)

    return load_or_fit(training, network, target, progress=progress)


# --- Training ---------------------------------------------------------------------------------------------------


class Network(Protocol):
    """What `fit` has to know of a network, whichever framework it lives in. Images are uint8 (N, 1, 28, 28)."""

    precision: str
    packages: dict[str, str]  # versions to note beside the usual ones

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One optimiser step on the cross-entropy and the penalty."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """Outputs without dropout, float32 (N, 10), on the CPU."""
        ...

    def norms(self) -> dict[str, float]:
        """The norm of each weight tensor, by name."""
        ...

    def penalties(self) -> dict[str, float]:
        """The penalty on each weight tensor, computed anew; empty without a penalty."""
        ...

    def penalty_gradients(self) -> dict[str, float | None]:
        """The norm of its gradient with respect to the weight tensor; None where there is none."""
        ...


class TorchNetwork:
    """MNIST's network with weights, and penalties on them, that `faulty_weight` or `repaired_weight` made."""

    packages: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, training: PenaltyTraining, device: torch.device) -> None:
        experiment = training.experiment
        self.device = device
        self.precision = resolve_precision(experiment.precision, device)
        self.model = models.build(experiment).to(device).to(memory_format=torch.channels_last).train()
        self.weights = {name: p for name, p in self.model.named_parameters() if models.is_weight(p)}
        self.penalty_nodes: dict[str, Node] = {}
        generator = torch.Generator().manual_seed(experiment.seed)
        for name, weight in self.weights.items():
            initial = truncated_normal(weight, generator)
            if training.version == "none":
                made = nn.Parameter(initial())
            else:
                make = faulty_weight if training.version == "faulty" else repaired_weight
                made, self.penalty_nodes[name] = make(initial, experiment.l2)
            layer, _ = name.split(".")
            self.model.get_submodule(layer).weight = self.weights[name] = made
        # The penalty is in the loss here, for better or worse, and not in the optimiser.
        self.optimizer = make_optimizer(self.model, experiment.replace(l2=0.0))

    def step(self, images: Tensor, labels: Tensor) -> None:
        batch = data.normalise(images.to(self.device), "mnist").contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            logits = self.model(batch)
        loss = F.cross_entropy(logits.float(), labels.to(self.device))
        loss = loss + sum(penalty() for penalty in self.penalty_nodes.values())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def logits(self, images: Tensor) -> Tensor:
        return predict(self.model, images, "mnist", precision=self.precision).cpu()

    def norms(self) -> dict[str, float]:
        return {name: weight.detach().double().norm().item() for name, weight in self.weights.items()}

    def penalties(self) -> dict[str, float]:
        return {name: penalty().item() for name, penalty in self.penalty_nodes.items()}

    def penalty_gradients(self) -> dict[str, float | None]:
        return {name: gradient_norm(penalty(), self.weights[name]) for name, penalty in self.penalty_nodes.items()}


def truncated_normal(like: Tensor, generator: torch.Generator) -> Node:
    """A node that draws the initial value of a weight: its shape and device, standard deviation 0.1, cut at two."""

    def draw() -> Tensor:
        value = torch.empty(like.shape)  # on the CPU, where a seed gives the same numbers on every machine
        nn.init.trunc_normal_(value, std=0.1, a=-0.2, b=0.2, generator=generator)
        return value.to(like.device)

    return draw


def load_or_fit(
    training: PenaltyTraining,
    network: Callable[[PenaltyTraining], contextlib.AbstractContextManager[Network]],
    device: torch.device,
    *,
    progress: bool,
) -> PenaltyRun:
    """The finished result of a training; if there is none, train the network that `network` opens, and write it."""
    training = training.resolved()
    found = find(training)
    if found:
        return found
    with run_files.lock_folder(training.folder) as folder:
        found = find(training)
        if found:
            return found
        with fast_kernels(device), network(training) as opened:
            content, record = fit(training, opened, device, progress=progress)
        run_files.finish_result(folder, content, record)
    found = find(training)
    assert found is not None
    return found


def fit(
    training: PenaltyTraining, network: Network, device: torch.device, *, progress: bool
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The training loop: what `run_files.finish_result` writes, content and record."""
    experiment = training.experiment
    dataset, validation = load_data(training)
    measured, again, gradients = network.penalties(), network.penalties(), network.penalty_gradients()
    norms = network.norms()
    penalties = [[norms[name], measured[name], again[name], gradients[name]] for name in measured]
    per_epoch = experiment.batches_per_epoch
    rows: list[dict[str, float]] = []
    started = time.monotonic()
    bar = tqdm(total=experiment.iterations, desc=experiment.name, unit="it", disable=not progress, mininterval=0.5)
    with bar, deferred_interrupt() as interrupted:
        for iteration, (images, labels) in enumerate(_endless_batches(dataset, experiment)):
            last = iteration == experiment.iterations
            if iteration % experiment.record_every == 0 or last:
                row = _measure(training, network, dataset, validation, iteration, images, labels)
                row |= {"epoch": iteration / per_epoch, "seconds": round(time.monotonic() - started, 3)}
                rows.append(row)
                shown = {"loss": "loss", "train": "train_accuracy", "test": "test_accuracy"}
                bar.set_postfix({label: f"{row[column]:.3f}" for label, column in shown.items()}, refresh=False)
            if last:
                break
            if interrupted():
                raise KeyboardInterrupt(f"{experiment.name} stopped at iteration {iteration}; it will start again")
            network.step(images, labels)
            bar.update()
    content = {
        "training": training.as_dict(),
        "metrics": {
            **_final_accuracies(network, dataset, validation),
            "iterations": experiment.iterations,
            "seconds": round(time.monotonic() - started, 3),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        "environment": {**describe_environment(device, network.precision, dataset), **network.packages},
        "penalised": list(measured),
        "penalties": penalties,
    }
    return content, pd.DataFrame(rows)


def load_data(training: PenaltyTraining) -> tuple[Dataset, tuple[Tensor, Tensor]]:
    """MNIST with the images to train on, and the validation images, uint8 (N, 1, 28, 28), with their labels."""
    count = training.experiment.train_count
    whole = data.load(
        "mnist",
        training.experiment.data,
        train_size=count + training.validation_size,
        test_size=training.experiment.test_size,
    )
    dataset = dataclasses.replace(
        whole, train_images=whole.train_images[:count], train_labels=whole.train_labels[:count]
    )
    return dataset, (whole.train_images[count:], whole.train_labels[count:])


def _endless_batches(dataset: Dataset, experiment: Experiment) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after the other."""
    images, labels, epoch = dataset.train_images, dataset.train_labels, 0
    while True:
        yield from data.batches(images, labels, experiment.batch_size, seed=experiment.seed, epoch=epoch)
        epoch += 1


def _measure(
    training: PenaltyTraining,
    network: Network,
    dataset: Dataset,
    validation: tuple[Tensor, Tensor],
    iteration: int,
    images: Tensor,
    labels: Tensor,
) -> dict[str, float]:
    """A row of the record: what the network, without dropout, makes of the batch that it is trained on next."""
    experiment = training.experiment
    draw = {"seed": experiment.seed, "iteration": iteration}
    tested = data.random_test_indices(len(dataset.test_labels), TEST_SAMPLE, **draw)
    validated = data.random_test_indices(len(validation[1]), experiment.batch_size, **draw)
    logits = network.logits(torch.cat([images, dataset.test_images[tested], validation[0][validated]]))
    parts = logits.split([len(images), len(tested), len(validated)])
    cross_entropy = F.cross_entropy(parts[0], labels).item()
    if not math.isfinite(cross_entropy):
        raise TrainingError(
            f"{experiment.name}: the loss became {cross_entropy} at iteration {iteration}; lower the learning rate "
            f"({experiment.learning_rate:g}) or use precision='fp32'"
        )
    penalty = sum(network.penalties().values())
    return {
        "iteration": iteration,
        "cross_entropy": cross_entropy,
        "penalty": penalty,
        "loss": cross_entropy + penalty,
        "train_accuracy": accuracy(parts[0], labels),
        "test_accuracy": accuracy(parts[1], dataset.test_labels[tested]),
        "validation_accuracy": accuracy(parts[2], validation[1][validated]),
        **{f"norm_{name}": norm for name, norm in network.norms().items()},
    }


def _final_accuracies(network: Network, dataset: Dataset, validation: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Accuracies of the trained network over all test, all validation and the first 10000 training images."""
    count = min(TRAIN_SAMPLE, len(dataset.train_labels))
    logits = network.logits(dataset.test_images)
    return {
        "test_accuracy": accuracy(logits, dataset.test_labels),
        "test_loss": F.cross_entropy(logits, dataset.test_labels).item(),
        "test_images": len(dataset.test_labels),
        "validation_accuracy": accuracy(network.logits(validation[0]), validation[1]),
        "train_accuracy": accuracy(network.logits(dataset.train_images[:count]), dataset.train_labels[:count]),
        "train_images": count,
    }


# --- The verdict ------------------------------------------------------------------------------------------------

SAME = 1e-3  # norms that differ by less, relative to their size, are called the same: rounding reaches 1e-4
SHRUNK = 1e-2  # and a norm that is smaller by more than this is called smaller


@dataclass(frozen=True)
class Judgement:
    """What three trainings say about the penalty without a gradient.

    Attributes
    ----------
    outcome : "confirmed": the faulty penalty has no gradient and trains like none, the repaired one has lambda times
        the weights and shrinks them. "contradicted": the faulty penalty has a gradient, or trains otherwise than none.
        "not shown": the faulty one does nothing, but nor does the repaired one do what it should.
    iteration : up to which all three were trained.
    value : of the faulty penalty before training; and `cross_entropy` of the first batch.
    gradient : norm of its gradient with respect to all weights; None where there is none.
    repaired_gradient, expected_gradient : of the repaired one, and lambda times the norm of all weights.
    faulty_change : the largest relative difference of a weight norm between faulty and none, over the record.
    norms : of all weights at `iteration`, by version; and `start`, before training.
    """

    outcome: str
    iteration: int
    value: float
    cross_entropy: float
    gradient: float | None
    repaired_gradient: float
    expected_gradient: float
    faulty_change: float
    norms: dict[str, float]


def judge(none: PenaltyRun, faulty: PenaltyRun, repaired: PenaltyRun) -> Judgement:
    """Whether the faulty penalty did nothing and the repaired one does something, from three trainings.

    Raises
    ------
    ExperimentError
        If they are not one training with the penalty in its three versions.
    """
    _require_comparable(none, faulty, repaired)
    common: Any = none.norms.index.intersection(faulty.norms.index).intersection(repaired.norms.index)
    plain, wrong = none.norms.loc[common], faulty.norms.loc[common]
    faulty_change = float(np.max(((wrong - plain).abs() / plain).to_numpy()))
    norms = {run.version: overall_norm(run.norms.loc[common[-1]]) for run in (none, faulty, repaired)}
    gradients: Any = faulty.penalties["gradient"]
    gradient = None if gradients.isna().all() else overall_norm(gradients.fillna(0.0))
    repaired_gradient = overall_norm(repaired.penalties["gradient"].fillna(0.0))
    expected = repaired.experiment.l2 * overall_norm(repaired.penalties["norm"])
    if gradient or faulty_change > SAME:
        outcome = "contradicted"
    elif math.isclose(repaired_gradient, expected, rel_tol=SAME) and norms["repaired"] < (1 - SHRUNK) * norms["none"]:
        outcome = "confirmed"
    else:
        outcome = "not shown"
    return Judgement(
        outcome=outcome,
        iteration=int(common[-1]),
        value=float(np.sum(faulty.penalties["value"].to_numpy())),
        cross_entropy=faulty.record["cross_entropy"].tolist()[0],
        gradient=gradient,
        repaired_gradient=repaired_gradient,
        expected_gradient=expected,
        faulty_change=faulty_change,
        norms={"start": overall_norm(plain.iloc[0]), **norms},
    )


def _require_comparable(*three: PenaltyRun) -> None:
    if tuple(run.version for run in three) != VERSIONS:
        given = ", ".join(run.version for run in three)
        raise ExperimentError(f"the versions to compare must be {', '.join(VERSIONS)}, in this order, not {given}")
    described = []
    for run in three:
        settings = run.training.as_dict()
        del settings["version"]
        ignored = ("name", "profile", "epochs", "l2")
        settings["experiment"] = {k: v for k, v in settings["experiment"].items() if k not in ignored}
        described.append(settings)
    if described[0] != described[1] or described[1] != described[2]:
        raise ExperimentError("the trainings to compare differ in more than their penalty; train all three alike")


def overall_norm(norms: Any) -> float:
    """The norm of all tensors together, from the norm of each."""
    return math.sqrt((norms**2).sum())


def effects_figure(groups: Sequence[Sequence[PenaltyRun]]) -> Figure:
    """The penalty and the norm of each weight tensor over training, a line per version of the penalty.

    A row of panels per framework, which ends where its shortest run does; the axes of values begin at zero.

    Parameters
    ----------
    groups : the runs of each framework.

    Raises
    ------
    ExperimentError
        If there is no run.
    """
    from matplotlib.lines import Line2D  # trainings import this module, too, and draw nothing
    from matplotlib.ticker import MaxNLocator

    from hwkit import theme

    groups = [list(runs) for runs in groups if runs]
    if not groups:
        raise ExperimentError("there is no run to show; give at least one framework's")
    # A run with the faulty penalty lies exactly on the one without: the broad line below it stays visible.
    styles: dict[str, dict[str, Any]] = {
        "none": {"color": theme.NEUTRAL, "linewidth": 3.5, "alpha": 0.6, "label": "no penalty"},
        "faulty": {"color": theme.RUN_COLOURS[1], "linestyle": (0, (3, 1.5)), "label": "faulty penalty"},
        "repaired": {"color": theme.RUN_COLOURS[0], "label": "repaired penalty"},
    }
    names = ["penalty", *WEIGHTS]
    with theme.applied():
        figure = theme.new_figure(height=1 + 2.8 * len(groups))
        axes = figure.subplots(len(groups), len(names), squeeze=False)
        for row, runs in zip(axes, groups, strict=True):
            for ax, name in zip(row, names, strict=True):
                for run in runs:
                    values = run.norms.assign(penalty=run.record.set_index("iteration")["penalty"])[name]
                    ax.plot(values.index, values, **styles[run.version])
                ax.set_title(name if name == "penalty" else f"‖{name}‖", loc="left", fontweight="bold", fontsize=7)
                ax.set(xlim=(0, min(run.record["iteration"].max() for run in runs)), xlabel="iteration")
                ax.set_ylim(0, 1.12 * max(ax.get_ylim()[1], 1e-9))
                ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            row[0].set_ylabel(runs[0].framework, fontweight="bold")
        handles = [Line2D([], [], **style) for style in styles.values()]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
        courses = [
            f"{run.framework}, {styles[run.version]['label']}: {overall_norm(run.norms.iloc[0]):.1f} to "
            f"{overall_norm(run.norms.iloc[-1]):.1f}"
            for runs in groups
            for run in runs
        ]
        figure.alt = f"Penalty and weight norms over training. Norm of all weights: {'; '.join(courses)}."
    return figure
