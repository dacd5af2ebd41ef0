"""The checkpoint of a training under way: everything that it takes to go on exactly as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwkit import models, runs
from hwkit.experiment import Experiment

Moments = dict[int, dict[str, Tensor]]  # of an optimiser: by the number of a parameter, and by their own name


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training.

    Attributes
    ----------
    model : parameters by name, float32.
    moments : of the optimiser: `exp_avg` and `exp_avg_sq` as their parameter, and `step`, float32 ().
    iteration : steps taken so far.
    rows : the record so far, columns `runs.RECORD_COLUMNS`.
    seconds : wall time so far.
    environment : what it was trained with; see `training.describe_environment`.
    random_state : of dropout's random numbers, uint8 (n,).
    """

    model: dict[str, Tensor]
    moments: Moments
    iteration: int
    rows: list[tuple[float, ...]]
    seconds: float
    environment: dict[str, Any]
    random_state: Tensor


def write(experiment: Experiment, folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the run's folder, whole or not at all.

    Raises
    ------
    RunError
        If it cannot be written; the one before is still there.
    """
    rows = torch.tensor(checkpoint.rows, dtype=torch.float64).view(-1, len(runs.RECORD_COLUMNS))
    tensors = {"rows": rows, "random_state": checkpoint.random_state}
    tensors |= {f"model.{name}": tensor for name, tensor in checkpoint.model.items()}
    for number, of_one in checkpoint.moments.items():
        tensors |= {f"moments.{number}.{name}": tensor for name, tensor in of_one.items()}
    about = {
        "fingerprint": experiment.fingerprint,
        "iteration": checkpoint.iteration,
        "seconds": checkpoint.seconds,
        "environment": checkpoint.environment,
    }
    runs.write_checkpoint(folder, tensors, about)


def read(experiment: Experiment, folder: Path) -> Checkpoint | None:
    """The checkpoint in a run's folder, on the CPU, or None if there is none that belongs to this experiment.

    One that is damaged, or of another experiment, is set aside: training then starts again from its beginning.

    Raises
    ------
    RunError
        If there is one that the system does not let us read.
    """
    try:
        return load(experiment, folder)
    except FileNotFoundError:
        return None
    except ValueError:
        runs.set_aside_checkpoint(folder)
        return None


def load(experiment: Experiment, folder: Path) -> Checkpoint:
    """The checkpoint in a run's folder, on the CPU; changes nothing.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or of another experiment.
    RunError
        If the system does not let us read it.
    """
    tensors, about = runs.read_checkpoint(folder)
    try:
        checkpoint = _from_file(tensors, about)
        if about["fingerprint"] == experiment.fingerprint and _fits(checkpoint, experiment):
            return checkpoint
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"it is no checkpoint: {error!r}") from None
    raise ValueError("it is the checkpoint of another experiment")


def _from_file(tensors: dict[str, Tensor], about: dict[str, Any]) -> Checkpoint:
    moments: Moments = {}
    for key, tensor in tensors.items():
        if key.startswith("moments."):
            _, number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = tensor
    model = {key.removeprefix("model."): tensor for key, tensor in tensors.items() if key.startswith("model.")}
    rows = [(int(row[0]), *row[1:]) for row in tensors["rows"].tolist()]
    runs.check_environment(about["environment"])
    return Checkpoint(
        model, moments, about["iteration"], rows, about["seconds"], about["environment"], tensors["random_state"]
    )


def _fits(checkpoint: Checkpoint, experiment: Experiment) -> bool:
    """Whether a checkpoint can be one of this experiment: another would fail somewhere in the middle of training."""
    built = models.build(experiment).state_dict()
    optimised = sorted(built, key=models.is_weight, reverse=True)  # as `training.make_optimizer` numbers them
    moments = {
        number: {"step": torch.Size(), "exp_avg": built[name].shape, "exp_avg_sq": built[name].shape}
        for number, name in enumerate(optimised)
    }
    return (
        _shapes(checkpoint.model) == _shapes(built)
        and {number: _shapes(of_one) for number, of_one in checkpoint.moments.items()} == moments
        and type(checkpoint.iteration) is int
        and 0 < checkpoint.iteration <= experiment.iterations
        and checkpoint.seconds >= 0
        and "device" in checkpoint.environment
    )


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
