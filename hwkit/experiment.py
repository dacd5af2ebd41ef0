"""What to train: the `Experiment`, the report's named experiments, and the profiles that say how long."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import numbers
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwkit.datasets.sources import DATASETS, SOURCES
from hwkit.errors import ExperimentError, did_you_mean

# Part of every fingerprint: raise it when the same experiment would train to another result than before, so that
# runs of older code are never taken for runs of this code. Which those are, a test decides (tests/test_long_life.py);
# a checksum of the code would train everything again after every change of a comment.
TRAINING_VERSION = 1

# Kernel sizes that fit each network: odd ones, and for the unpadded CIFAR-10 network those that end at 2x2 pixels.
KERNEL_SIZES = {"mnist": (1, 3, 5, 7, 9), "cifar10": (3, 5)}
ACTIVATIONS = ("relu", "selu")
POOLINGS = ("max", "average")
INITIALISATIONS = ("pytorch", "truncated-normal")
SCHEDULES = ("constant", "one-cycle")
PRECISIONS = ("auto", "fp32", "bf16")
LONGEST_LABEL = 200  # characters of a name

# What the report's networks use where an experiment says nothing else.
DATASET_DEFAULTS: dict[str, dict[str, Any]] = {
    "mnist": {"kernel_size": 5, "dropout": 0.5, "augment": False},
    "cifar10": {"kernel_size": 3, "dropout": 0.0, "augment": True},
}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides what a training run computes. Frozen, and valid once it exists.

    Parameters
    ----------
    dataset : "mnist" or "cifar10".
    data : "real", "stand-in", or "auto" (real if it is there or can be downloaded).
    kernel_size : size of MNIST's two kernels (default 5) or of CIFAR-10's first kernel (default 3).
    width : factor on the number of filters of every convolution.
    activation : "relu" or "selu", after each convolution.
    pooling : "max" or "average".
    dropout : probability of dropping a feature before the last layer; default 0.5 on MNIST, 0 on CIFAR-10.
    initialisation : "pytorch" (its defaults) or "truncated-normal" (std 0.1, biases 0.1).
    l2 : lambda of the penalty lambda/2 * sum of squared weights, biases excluded; 0 is none.
    augment : random flip (p 0.5) and grayscale (p 0.1) of training images; default True on CIFAR-10 only.
    learning_rate : of Adam; the peak where the schedule is "one-cycle".
    schedule : "constant" or "one-cycle".
    batch_size : images per step.
    epochs : passes over the training images; fractions are allowed.
    train_size, test_size : use the first so many images only; None is all.
    holdout : take the last so many training images out and test on them instead of the test images, for choosing
        settings without looking at the test set.
    record_every : iterations between two records.
    seed : of initial weights, order, augmentation and dropout.
    precision : "fp32", "bf16" (autocast) or "auto" (bf16 where the device computes it natively).
    name, profile : labels; the only fields that are not part of the fingerprint.
    """

    dataset: str
    data: str = "auto"
    kernel_size: int | None = None
    width: float = 1.0
    activation: str = "relu"
    pooling: str = "max"
    dropout: float | None = None
    initialisation: str = "pytorch"
    l2: float = 0.0
    augment: bool | None = None
    learning_rate: float = 1e-3
    schedule: str = "constant"
    batch_size: int = 128
    epochs: float = 1.0
    train_size: int | None = None
    test_size: int | None = None
    holdout: int = 0
    record_every: int = 20
    seed: int = 0
    precision: str = "auto"
    name: str = "custom"
    profile: str = "custom"

    def __post_init__(self) -> None:
        _check_choice("dataset", self.dataset, DATASETS)
        for field, default in DATASET_DEFAULTS[self.dataset].items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, default)
        for field, check in _CHECKS.items():
            object.__setattr__(self, field, check(field, getattr(self, field)))
        _check_choice(f"kernel_size of {self.dataset}", self.kernel_size, KERNEL_SIZES[self.dataset])
        facts = DATASETS[self.dataset]
        _check_subset("train_size", self.train_size, facts.train_size - self.holdout)
        _check_subset("test_size", self.test_size, self.holdout or facts.test_size)
        if self.augment and facts.channels == 1:
            raise ExperimentError(
                f"augment=True does not fit {self.dataset}: mirrored digits are other digits, and grey images have "
                "no colour to drop; leave augment out"
            )

    @property
    def train_count(self) -> int:
        """Number of training images."""
        return self.train_size or DATASETS[self.dataset].train_size - self.holdout

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in a pass over the training images."""
        return batches_per_epoch(self.train_count, self.batch_size)

    @property
    def iterations(self) -> int:
        """Number of optimiser steps."""
        return max(1, round(self.epochs * self.batches_per_epoch))

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that name the run: equal for experiments that train the same thing."""
        return self.fingerprint_under(TRAINING_VERSION)

    def fingerprint_under(self, training_version: int) -> str:
        """The fingerprint that the experiment has under a version of the training code."""
        return self.fingerprints([self.seed], training_version)[0]

    def fingerprints(self, seeds: Sequence[int], training_version: int = TRAINING_VERSION) -> list[str]:
        """The fingerprints that this experiment has with other seeds, without making an experiment of each."""
        trained = self.as_dict()
        del trained["name"], trained["profile"]
        text = json.dumps({"version": training_version, **trained}, sort_keys=True)
        before, _, after = text.partition(f'"seed": {self.seed}')
        texts = [f'{before}"seed": {seed}{after}' for seed in seeds]
        return [hashlib.sha256(text.encode()).hexdigest()[:12] for text in texts]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as JSON can hold them."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Experiment:
        """The experiment with these fields; an unknown field, or no data set, is an ExperimentError."""
        check_options(fields)
        if "dataset" not in fields:
            raise ExperimentError(f"dataset is missing; known: {', '.join(DATASETS)}")
        return cls(**fields)

    def replace(self, **changes: Any) -> Experiment:
        """The same experiment with some fields changed; an unknown field is an ExperimentError."""
        check_options(changes)
        return dataclasses.replace(self, **changes)


def batches_per_epoch(count: int, batch_size: int) -> int:
    """How many batches an epoch over `count` images has: full ones only, but at least one."""
    if count < 1 or batch_size < 1:
        raise ExperimentError(f"{count} images in batches of {batch_size}: both must be 1 or more")
    return max(1, count // batch_size)


def option_names() -> list[str]:
    """The fields of an experiment that a user may set."""
    return [field.name for field in dataclasses.fields(Experiment) if field.name not in ("name", "profile")]


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ExperimentError, naming what exists, if one of the keys is not a field of Experiment."""
    for option in options:
        if option not in Experiment.__dataclass_fields__:
            raise ExperimentError(f"unknown option {option!r}; {did_you_mean(option, option_names())}")


# --- Named experiments and profiles -----------------------------------------------------------------------------

EXPERIMENTS: dict[str, dict[str, Any]] = {
    "mnist": {"dataset": "mnist"},
    "mnist-l2": {"dataset": "mnist", "l2": 1e-3},
    "mnist-3x3": {"dataset": "mnist", "l2": 1e-3, "kernel_size": 3},
    "mnist-3x3-double": {"dataset": "mnist", "l2": 1e-3, "kernel_size": 3, "width": 2.0},
    "cifar10": {"dataset": "cifar10"},
    "cifar10-l2": {"dataset": "cifar10", "l2": 1e-3},
    "cifar10-l2-strong": {"dataset": "cifar10", "l2": 1e-2},
    "cifar10-selu": {"dataset": "cifar10", "l2": 1e-3, "activation": "selu"},
    "cifar10-avgpool": {"dataset": "cifar10", "l2": 1e-3, "kernel_size": 5, "pooling": "average"},
    "cifar10-noaug": {"dataset": "cifar10", "augment": False},
}

_ONE_CYCLE = {"schedule": "one-cycle", "batch_size": 128}
_SMALL = {"learning_rate": 2e-3, "epochs": 2, "train_size": 2000, "test_size": 1000, "record_every": 2}
PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    # Seconds: a part of each data set, for tests of the machinery. Its accuracies mean nothing.
    "smoke": {
        "mnist": {**_ONE_CYCLE, **_SMALL},
        "cifar10": {**_ONE_CYCLE, **_SMALL},
    },
    # Minutes on two CPU cores: one epoch over the whole data sets.
    "quick": {
        "mnist": {**_ONE_CYCLE, "learning_rate": 2e-3, "epochs": 1},
        "cifar10": {**_ONE_CYCLE, "learning_rate": 2e-3, "epochs": 1},
    },
    # As accurate as the seed report.
    "full": {
        "mnist": {**_ONE_CYCLE, "learning_rate": 2e-3, "epochs": 5},
        "cifar10": {**_ONE_CYCLE, "learning_rate": 2e-3, "epochs": 10},
    },
    # The seed report's own schedules. It states none for CIFAR-10: Adam's default rate, a common batch size and
    # enough epochs to converge stand in.
    "seed": {
        "mnist": {
            "initialisation": "truncated-normal",
            "learning_rate": 1e-4,
            "batch_size": 500,
            "epochs": 8000 * 500 / 60000,
        },
        "mnist with l2": {"learning_rate": 1e-3, "batch_size": 5, "epochs": 7, "record_every": 200},
        "cifar10": {"learning_rate": 1e-3, "batch_size": 128, "epochs": 30},
    },
}


def named_experiment(name: str, profile: str = "quick", **overrides: Any) -> Experiment:
    """A named experiment of the report, trained as long as a profile says, with single options changed.

    Parameters
    ----------
    name : one of `EXPERIMENTS`.
    profile : one of `PROFILES`.
    overrides : fields of `Experiment`; None keeps the profile's value, so that a notebook can pass all of its knobs.

    Raises
    ------
    ExperimentError
        For an unknown name, profile, option or value; the message lists what exists.
    """
    _check_choice("experiment", name, EXPERIMENTS)
    _check_choice("profile", profile, PROFILES)
    check_options(overrides)
    changes = {option: value for option, value in overrides.items() if value is not None}
    definition = {**EXPERIMENTS[name], **changes}
    plain = _unchanged(name, profile, definition["dataset"], bool(definition.get("l2")))
    return plain.replace(name=_label(plain, changes), **changes)


@functools.cache  # a batch asks for it once for each of its tasks
def _unchanged(name: str, profile: str, dataset: str, regularised: bool) -> Experiment:
    """A named experiment, trained as a profile says a data set's network is, with or without L2."""
    schedules = PROFILES[profile]
    # Only the seed report trained its regularised MNIST network otherwise than the plain one.
    schedule = (regularised and schedules.get(f"{dataset} with l2")) or schedules.get(dataset, {})
    return Experiment.from_dict({**schedule, **EXPERIMENTS[name], "name": name, "profile": profile})


def _label(plain: Experiment, changes: Mapping[str, Any]) -> str:
    """The name, with what makes this experiment another one than the profile's of that name in brackets."""
    differing = [
        f"{option}={value:g}" if isinstance(value, float) else f"{option}={value}"
        for option, value in changes.items()
        if option not in ("data", "seed", "precision", "record_every", "name", "profile")
        and value != getattr(plain, option)
    ]
    return f"{plain.name}[{', '.join(differing)}]" if differing else plain.name


# --- Validation -------------------------------------------------------------------------------------------------


def _check_choice(what: str, value: Any, choices: Any) -> Any:
    if value not in list(choices):
        raise ExperimentError(f"unknown {what} {value!r}; {did_you_mean(value, choices)}")
    return value


def _choice(choices: Any) -> Callable[[str, Any], Any]:
    return lambda field, value: _check_choice(field, value, choices)


def _number(
    kind: type, low: float, high: float = math.inf, *, exclusive: bool = False, optional: bool = False
) -> Callable[[str, Any], Any]:
    """A check for a finite number of a kind in [low, high], or in (low, high) if exclusive."""

    def check(field: str, value: Any) -> Any:
        if value is None and optional:
            return None
        whole = isinstance(value, (int, numbers.Integral)) or (isinstance(value, float) and value.is_integer())
        wanted = "a whole number" if kind is int else "a number"
        if isinstance(value, bool) or not isinstance(value, (int, float, numbers.Real)) or (kind is int and not whole):
            raise ExperimentError(f"{field} must be {wanted}, not {value!r}")
        inside = low < value < high if exclusive else low <= value <= high
        if not inside or abs(value) > sys.float_info.max:  # beyond it, an integer is no float any more
            above = f"{'above' if exclusive else 'at least'} {low:g}"
            below = "" if high == math.inf else f" and {'below' if exclusive else 'at most'} {high:g}"
            raise ExperimentError(f"{field} must be {wanted} {above}{below}, not {value!r}")
        return kind(value)

    return check


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExperimentError(f"{field} must be True or False, not {value!r}")
    return value


def is_label(text: str) -> bool:
    """Whether a text can stand in tables, titles and notebooks as it is: one printable line that is no markup."""
    return len(text) <= LONGEST_LABEL and text.isprintable() and not re.search(r"[<>`\\]|\]\(", text)


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ExperimentError(f"{field} must be text, not {value!r}")
    if not is_label(value):
        raise ExperimentError(
            f"{field} must be one line of at most {LONGEST_LABEL} characters without <, >, ` and \\, "
            f"not {value[:LONGEST_LABEL]!r}"
        )
    return value


def _check_subset(field: str, value: int | None, available: int) -> None:
    if value is not None and value > available:
        raise ExperimentError(f"{field} must be at most {available}, the images there are, not {value}")


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "data": _choice(SOURCES),
    "kernel_size": _number(int, 1),
    "width": _number(float, 0.0625, 16),
    "activation": _choice(ACTIVATIONS),
    "pooling": _choice(POOLINGS),
    "dropout": _number(float, 0, 0.95),
    "initialisation": _choice(INITIALISATIONS),
    "l2": _number(float, 0),
    "augment": _flag,
    "learning_rate": _number(float, 0, exclusive=True),
    "schedule": _choice(SCHEDULES),
    "batch_size": _number(int, 1, 50000),
    "epochs": _number(float, 0, 100_000, exclusive=True),
    "holdout": _number(int, 0, 40000),
    "train_size": _number(int, 1, optional=True),
    "test_size": _number(int, 1, optional=True),
    "record_every": _number(int, 1),
    "seed": _number(int, 0, 2**32 - 1),
    "precision": _choice(PRECISIONS),
    "name": _text,
    "profile": _text,
}
