"""The checkpoint of a running training: everything that is needed to resume it exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwkit.engine import run_files
from hwkit.engine.optimizers import Moments


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training.

    Attributes
    ----------
    model : parameters and buffers by name.
    moments : of the optimiser, such as Adam's `exp_avg` and `exp_avg_sq` as their parameter, and `step`, float32 ().
    iteration : steps taken so far.
    rows : the record so far, columns `callbacks.RECORD_COLUMNS`.
    seconds : wall time so far.
    environment : what it was trained with.
    random_state : of dropout's random numbers, uint8 (n,).
    callbacks : what callbacks remember, by their names.
    """

    model: dict[str, Tensor]
    moments: Moments
    iteration: int
    rows: list[tuple[float, ...]]
    seconds: float
    environment: dict[str, Any]
    random_state: Tensor
    callbacks: dict[str, Any] = field(default_factory=dict)


def write(folder: Path, fingerprint: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the run's folder, whole or not at all.

    Raises
    ------
    RunError
        If it cannot be written; the one before is still there.
    """
    rows = torch.tensor(checkpoint.rows, dtype=torch.float64)
    tensors = {"rows": rows, "random_state": checkpoint.random_state}
    tensors |= {f"model.{name}": tensor for name, tensor in checkpoint.model.items()}
    for number, of_one in checkpoint.moments.items():
        tensors |= {f"moments.{number}.{name}": tensor for name, tensor in of_one.items()}
    about = {
        "fingerprint": fingerprint,
        "iteration": checkpoint.iteration,
        "seconds": checkpoint.seconds,
        "environment": checkpoint.environment,
        "callbacks": checkpoint.callbacks,
    }
    run_files.write_checkpoint(folder, tensors, about)


def read(folder: Path, fingerprint: str, fits: Callable[[Checkpoint], bool] = lambda found: True) -> Checkpoint | None:
    """The checkpoint in a run's folder, on the CPU, or None if there is none that belongs to this experiment.

    One that is damaged, of another experiment or does not fit is set aside: training then starts from its beginning.

    Raises
    ------
    RunError
        If there is one that the system does not let us read.
    """
    try:
        return load(folder, fingerprint, fits)
    except FileNotFoundError:
        return None
    except ValueError:
        run_files.set_aside_checkpoint(folder)
        return None


def load(folder: Path, fingerprint: str, fits: Callable[[Checkpoint], bool] = lambda found: True) -> Checkpoint:
    """The checkpoint in a run's folder, on the CPU; changes nothing.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, of another experiment, or does not fit.
    RunError
        If the system does not let us read it.
    """
    tensors, about = run_files.read_checkpoint(folder)
    try:
        found = _from_file(tensors, about)
        whole = type(found.iteration) is int and found.iteration > 0 and found.seconds >= 0
        if about["fingerprint"] == fingerprint and whole and "device" in found.environment and fits(found):
            return found
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"it is not a checkpoint: {error!r}") from None
    raise ValueError("it is the checkpoint of another experiment")


def _from_file(tensors: dict[str, Tensor], about: dict[str, Any]) -> Checkpoint:
    moments: Moments = {}
    for key, tensor in tensors.items():
        if key.startswith("moments."):
            _, number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = tensor
    model = {key.removeprefix("model."): tensor for key, tensor in tensors.items() if key.startswith("model.")}
    rows: list[tuple[float, ...]] = [(int(row[0]), *row[1:]) for row in tensors["rows"].tolist()]
    run_files.check_environment(about["environment"])
    callbacks = dict(about.get("callbacks", {}))
    return Checkpoint(
        model=model,
        moments=moments,
        iteration=about["iteration"],
        rows=rows,
        seconds=about["seconds"],
        environment=about["environment"],
        random_state=tensors["random_state"],
        callbacks=callbacks,
    )
