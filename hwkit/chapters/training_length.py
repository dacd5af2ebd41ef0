"""How compared differences depend on the length of training and on the optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hwkit.errors import ExperimentError
from hwkit.experiment import Experiment, named_experiment
from hwkit.parallel import train_all
from hwkit.runs import Run
from hwkit.training import with_seeds


@dataclass(frozen=True)
class Difference:
    """Two recipes that differ in one thing, and the claim on it: `a` has it, `b` has not."""

    name: str
    a: str
    b: str


DIFFERENCES = (
    Difference("L2 penalty", "cifar10-l2", "cifar10"),
    Difference("SELU", "cifar10-selu", "cifar10-l2"),
    Difference("augmentation", "cifar10", "cifar10-noaug"),
    Difference("average pooling", "cifar10-avgpool", "cifar10-l2"),
)
NAMES = tuple(dict.fromkeys(name for one in DIFFERENCES for name in (one.b, one.a)))
OPTIMIZERS = ("muon", "adam")
SHORTER = (0.5, 1.0)  # epochs, beside the profile's own length
EVALUATIONS = 7  # on the way, where the profile has none

Place = tuple[str, str, float]  # name of the experiment, optimiser, epochs


def lengths(profile: str) -> tuple[float, ...]:
    """The lengths of training, in epochs; the last is the profile's own."""
    return (*SHORTER, named_experiment("cifar10", profile).epochs)


def experiments(profile: str, epochs: Sequence[float] | None = None, **options: Any) -> dict[Place, Experiment]:
    """Every network under every optimiser and length; those that the report has anyway are the report's own.

    Parameters
    ----------
    epochs : the lengths of training; None is those of `lengths`.
    options : fields of `Experiment`; None keeps the profile's value.

    Raises
    ------
    ExperimentError
        If there is no length, or an option is wrong.
    """
    epochs = sorted(set(lengths(profile) if epochs is None else epochs))
    if not epochs:
        raise ExperimentError("epochs must list one length of training or more, such as [0.5, 1, 4]")
    evaluations = named_experiment("cifar10", profile).evaluations or EVALUATIONS
    return {
        (name, optimizer, length): named_experiment(
            name, profile, optimizer=optimizer, epochs=length, evaluations=evaluations, **options
        )
        for length in epochs
        for optimizer in OPTIMIZERS
        for name in NAMES
    }


def train(
    planned: dict[Place, Experiment], seeds: int | None = None, *, device: str = "auto"
) -> dict[Place, list[Run]]:
    """The runs of every place, of each seed; those that are finished are loaded.

    Parameters
    ----------
    planned : as `experiments` returns them.
    seeds : how many, as in `training.with_seeds`.
    """
    by_place = {place: with_seeds([one], seeds, device) for place, one in planned.items()}
    trained = iter(train_all([one for of_seeds in by_place.values() for one in of_seeds], device=device))
    return {place: [next(trained) for _ in of_seeds] for place, of_seeds in by_place.items()}
