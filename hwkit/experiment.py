"""What to train: the `Experiment`, the report's named experiments, and the profiles that say how long."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwkit import datasets
from hwkit.engine import code
from hwkit.errors import ExperimentError
from hwkit.options import (
    check_choice,
    check_fields,
    check_names,
    choice,
    described,
    flag,
    label,
    marked,
    number,
    option,
    optional,
)

# Part of every fingerprint: raise it when the same experiment would train to another result than before, so that
# runs of older code are never taken for runs of this code. Which those are, tests/engine/test_long_life.py decides; a
# checksum of the code would train everything again after every change of a comment.
TRAINING_VERSION = 1

# A fingerprint is over these fields, which the first runs had, and over those of the others that differ from their
# defaults: a new option leaves the fingerprints of all stored runs as they are.
FIRST_FIELDS = ("dataset", "data", "kernel_size", "width", "activation", "pooling", "dropout", "initialisation", "l2")
FIRST_FIELDS += ("augment", "learning_rate", "schedule", "batch_size", "epochs", "train_size", "test_size", "holdout")
FIRST_FIELDS += ("record_every", "seed", "precision")

# The report's networks, by the images they take, (channels, height, width): the kernel sizes that fit (odd ones, and
# for the unpadded CIFAR-10 network those that end at 2x2 pixels), and what they use where an experiment is silent.
KERNEL_SIZES = {"mnist": (1, 3, 5, 7, 9), "cifar10": (3, 5)}
NETWORKS = {(1, 28, 28): "mnist", (3, 32, 32): "cifar10"}
NETWORK_DEFAULTS: dict[str, dict[str, Any]] = {
    "mnist": {"kernel_size": 5, "dropout": 0.5},
    "cifar10": {"kernel_size": 3, "dropout": 0.0},
}
AUGMENTED = ("cifar10", "cifar100")  # data sets whose images may be mirrored and grayed without another label


def _dataset(field: str, value: Any) -> str:
    if not isinstance(value, str):
        identity = getattr(value, "identity", None)
        if not isinstance(identity, str):
            known = ", ".join(datasets.DATASETS)
            raise ExperimentError(f"{field} must be a hwkit.Dataset or a name ({known}), not {value!r:.80}")
        value = identity
    return value if datasets.is_own(value) else check_choice(field, value, datasets.DATASETS)


def _model(field: str, value: Any) -> str:
    return value if value == "" or code.is_identity(value) else code.remember(value, field)


def _augment(field: str, value: Any) -> bool | str:
    if isinstance(value, (bool, int, float)) or value is None:
        return flag(field, value)
    return value if code.is_identity(value) else code.remember(value, field)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides what a training run computes. Frozen, and valid once it exists.

    Each field below is an option with its default, its check and a line of help; `hwkit train --help` lists them. A
    field marked `network` is an option of the report's own networks and is passed to their constructors.

    Examples
    --------
    >>> wide = Experiment(dataset="cifar10", width=2.0, epochs=5)
    >>> own = Experiment(dataset="mnist", model=Net, optimizer="sgd", learning_rate=0.05)  # doctest: +SKIP
    """

    dataset: Any = option(None, _dataset, "a data set by name (mnist, cifar10, ...), or a hwkit.Dataset")
    data: str = option("auto", choice(*datasets.SOURCES), "real, stand-in, or auto: real if it is at hand")
    model: Any = option(
        "", _model, "a network of your own: a class, or a function that returns one, such as mynets.py:Net", code=True
    )
    kernel_size: int | None = option(
        None, optional(number(1, kind=int)), "of both kernels on MNIST, of the first on CIFAR-10", network=True
    )
    width: float = option(1.0, number(0.0625, 16), "factor on the number of filters", network=True)
    activation: str = option("relu", choice("relu", "selu"), "after each convolution: relu or selu", network=True)
    pooling: str = option("max", choice("max", "average"), "max or average", network=True)
    dropout: float | None = option(
        None, optional(number(0, 0.95)), "probability of dropping a feature before the last layer", network=True
    )
    initialisation: str = option(
        "pytorch", choice("pytorch", "truncated-normal"), "pytorch's default, or truncated-normal (std 0.1, biases 0.1)"
    )
    l2: float = option(0.0, number(0), "lambda of the penalty lambda/2 * sum of squared weights, biases excluded")
    augment: Any = option(
        None,
        optional(_augment),
        "random flips (p 0.5) and grayscale (p 0.1) of training images, or your own function: mine.py:moved",
        code=True,
    )
    optimizer: str = option(
        "adam", choice("adam", "adamw", "sgd", "muon"), "adam, adamw (l2 is decoupled), sgd or muon"
    )
    momentum: float = option(0.9, number(0, 1), "of sgd and muon, in Nesterov's form")
    label_smoothing: float = option(
        0.0, number(0, 0.9), "part of each training label's weight that is spread over all classes"
    )
    learning_rate: float = option(1e-3, number(0, open=True), "the peak where the schedule is one-cycle")
    schedule: str = option("constant", choice("constant", "one-cycle"), "constant or one-cycle")
    batch_size: int = option(128, number(1, 50000, kind=int), "images per step")
    epochs: float = option(1.0, number(0, 100_000, open=True), "passes over the training images, fractions allowed")
    train_size: int | None = option(None, optional(number(1, kind=int)), "the first n training images only")
    test_size: int | None = option(None, optional(number(1, kind=int)), "the first n test images only")
    holdout: int = option(0, number(0, 40000, kind=int), "test on the last n training images, taken out of training")
    record_every: int = option(20, number(1, kind=int), "iterations between two records")
    evaluations: int = option(0, number(0, 1000, kind=int), "times to test on all test images on the way")
    seed: int = option(0, number(0, 2**32 - 1, kind=int), "of initial weights, order, augmentation and dropout")
    precision: str = option("auto", choice("auto", "fp32", "bf16"), "fp32, bf16, or auto: bf16 where it is native")
    callbacks: str = option("", label, "what callbacks change about the training; `train` fills it in", hidden=True)
    name: str = option("custom", label, "a label", hidden=True)
    profile: str = option("custom", label, "a label", hidden=True)

    def __post_init__(self) -> None:
        check_fields(self)
        facts = datasets.facts(self.dataset)
        self._fill("augment", self.dataset in AUGMENTED)
        if self.model:
            self._clear_network_options()
        else:
            self._fit_network(facts)
        if facts is None:  # of a stored run on data of the user's own, which is not at hand
            return
        _check_subset("train_size", self.train_size, facts.train_size - self.holdout)
        _check_subset("test_size", self.test_size, self.holdout or facts.test_size)
        if self.augment is True and facts.shape[0] == 1:
            raise ExperimentError(
                f"augment=True does not fit {self.dataset_name}: mirrored digits are other digits, and grey images "
                "have no colour to drop; leave augment out, or pass a function of your own"
            )

    def _fill(self, field: str, value: Any) -> None:
        if getattr(self, field) is None:
            object.__setattr__(self, field, value)

    def _fit_network(self, facts: datasets.Facts | None) -> None:
        """Fill in the options of the report's network for these images, and check those that depend on it."""
        network = _network(facts)
        for field, value in _network_defaults(facts).items():
            self._fill(field, value)
        if network:
            check_choice(f"kernel_size of {network}", self.kernel_size, KERNEL_SIZES[network])

    def _clear_network_options(self) -> None:
        """Refuse options of the report's networks beside a network of the user's own; their defaults do not count."""
        facts = datasets.facts(self.dataset)
        defaults = _network_defaults(facts)
        for field in marked(Experiment, "network"):
            value, default = getattr(self, field), Experiment.__dataclass_fields__[field].default
            if value not in (default, defaults.get(field, default)):
                net = self.model.partition("@")[0]
                raise ExperimentError(
                    f"{field}={value!r} is an option of hwkit's own networks, not of {net}; leave it out, or pass "
                    f"functools.partial({net.partition('(')[0]}, {field}={value!r})"
                )
            object.__setattr__(self, field, default)

    @property
    def network_options(self) -> dict[str, Any]:
        """What the constructors of the report's networks take."""
        return {field: getattr(self, field) for field in marked(Experiment, "network")}

    @property
    def own_code(self) -> list[str]:
        """The identities of the user's own code in this experiment; see `hwkit.engine.code`."""
        return [value for value in (self.model, self.augment) if code.is_identity(value)]

    @property
    def dataset_name(self) -> str:
        """The name of its data set: "digits" of "digits@3fa9c1d2e0b4"."""
        return self.dataset.partition("@")[0]

    @property
    def train_count(self) -> int:
        """Number of training images."""
        return self.train_size or datasets.known_facts(self.dataset).train_size - self.holdout

    @property
    def test_count(self) -> int:
        """Number of images it is tested on."""
        return self.test_size or self.holdout or datasets.known_facts(self.dataset).test_size

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
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        decisive = {
            name: value
            for name, value in self.as_dict().items()
            if name in FIRST_FIELDS or (value != defaults[name] and name not in ("name", "profile"))
        }
        text = json.dumps({"version": training_version, **decisive}, sort_keys=True)
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
            raise ExperimentError(f"dataset is missing; known: {', '.join(datasets.DATASETS)}")
        return cls(**fields)

    def replace(self, **changes: Any) -> Experiment:
        """The same experiment with some fields changed; an unknown field is an ExperimentError.

        With another data set, what was left to the defaults for the first one has those for the other.
        """
        check_options(changes)
        if changes.get("dataset", self.dataset) != self.dataset:
            defaults = {"augment": self.dataset in AUGMENTED, **_network_defaults(datasets.facts(self.dataset))}
            left = {field: None for field, value in defaults.items() if getattr(self, field) == value}
            changes = {**left, **changes}
        return dataclasses.replace(self, **changes)

    def varied(self, **changes: Any) -> Experiment:
        """The same experiment with some fields changed, and a label that says so: "mnist-l2[width=2, Net]"."""
        changed = self.replace(**changes)
        unlabelled = ("data", "seed", "precision", "record_every", "name", "profile")
        shown = {
            option: getattr(changed, option)
            for option in changes
            if option not in unlabelled and getattr(changed, option) != getattr(self, option)
        }
        if not shown:
            return changed
        name, _, before = self.name.removesuffix("]").partition("[")
        name = self.dataset_name if name == "custom" else name
        return changed.replace(name=f"{name}[{', '.join([*filter(None, [before]), described(shown)])}]")


def _network(facts: datasets.Facts | None) -> str:
    """The report's network that takes a data set's images; "" if there is none, or nothing is known of them."""
    return NETWORKS.get(facts.shape, "") if facts else ""


def _network_defaults(facts: datasets.Facts | None) -> dict[str, Any]:
    return NETWORK_DEFAULTS.get(_network(facts), {})


def batches_per_epoch(count: int, batch_size: int) -> int:
    """How many batches an epoch over `count` images has: full ones only, but at least one."""
    if count < 1 or batch_size < 1:
        raise ExperimentError(f"{count} images in batches of {batch_size}: both must be 1 or more")
    return max(1, count // batch_size)


def option_names() -> list[str]:
    """The fields of an experiment that a user may set."""
    hidden = marked(Experiment, "hidden")
    return [field.name for field in dataclasses.fields(Experiment) if field.name not in hidden]


def read_code(option: str, value: Any, folder: Path | None = None) -> Any:
    """The value of an option that was typed: a network or an augmentation as "mynets.py:Net" is loaded from its file.

    The file is run, so that this is for what the user wrote only. Any other value is returned as it is.

    Parameters
    ----------
    folder : where a relative path begins; None is the current directory.

    Raises
    ------
    ExperimentError
        As `hwkit.engine.code.from_file` and `remember` do.
    """
    if not isinstance(value, str) or option not in marked(Experiment, "code"):
        return value
    return code.remember(code.from_file(value, folder), option)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ExperimentError, naming what exists, if one of the keys is not a field of Experiment."""
    check_names([name for name in options if name not in Experiment.__dataclass_fields__], option_names())


def _check_subset(field: str, value: int | None, available: int) -> None:
    if value is not None and value > available:
        raise ExperimentError(f"{field} must be at most {available}, the images there are, not {value}")


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

# Learning rates where an experiment has another optimiser than its profile and names no rate of its own.
RATES = {"adam": 3e-3, "adamw": 3e-3, "sgd": 0.05, "muon": 0.02}
_ONE_CYCLE = {"schedule": "one-cycle", "batch_size": 128}
_MUON = {**_ONE_CYCLE, "optimizer": "muon", "learning_rate": 0.02}
_SMALL = {"learning_rate": 2e-3, "epochs": 2, "train_size": 2000, "test_size": 1000, "record_every": 2}
PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    # Seconds: a part of each data set, for tests of the machinery. Its accuracies mean nothing.
    "smoke": {
        "mnist": {**_ONE_CYCLE, **_SMALL},
        "cifar10": {**_ONE_CYCLE, **_SMALL},
    },
    # Minutes on two CPU cores, and worth handing in. docs/schedules.md has the evidence for these rates and lengths.
    "quick": {
        "mnist": {**_ONE_CYCLE, "learning_rate": 3e-3, "epochs": 2},
        "cifar10": {**_MUON, "epochs": 2},
    },
    # An hour on two CPU cores, three seeds of everything: as accurate as the reference report, or more.
    "full": {
        "mnist": {**_ONE_CYCLE, "learning_rate": 3e-3, "epochs": 3},
        "cifar10": {**_MUON, "epochs": 4, "evaluations": 7},
    },
    # The reference report's own schedules. It states none for CIFAR-10: Adam's default rate, a common batch size and
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
        Another optimiser than the profile's comes with its rate of `RATES`, unless there is one among the overrides.

    Raises
    ------
    ExperimentError
        For an unknown name, profile, option or value; the message lists what exists.

    Examples
    --------
    >>> named_experiment("cifar10-l2", "full", seed=1).name
    'cifar10-l2'
    >>> named_experiment("mnist", width=2.0).name
    'mnist[width=2]'
    """
    check_choice("experiment", name, EXPERIMENTS)
    check_choice("profile", profile, PROFILES)
    check_options(overrides)
    changes = {option: value for option, value in overrides.items() if value is not None}
    definition = {**EXPERIMENTS[name], **changes}
    dataset = _dataset("dataset", definition["dataset"])
    usual = _unchanged(name, profile, dataset, bool(definition.get("l2")))
    varied = usual.varied(**changes)
    if varied.optimizer == usual.optimizer or "learning_rate" in changes:
        return varied
    return varied.replace(learning_rate=RATES[varied.optimizer])


@functools.cache  # a batch asks for it once for each of its tasks
def _unchanged(name: str, profile: str, dataset: str, regularised: bool) -> Experiment:
    """A named experiment, trained as a profile says the report's network for its images is, with or without L2."""
    schedules, network = PROFILES[profile], _network(datasets.facts(dataset))
    # Only the reference report trained its regularised MNIST network otherwise than the plain one.
    schedule = (regularised and schedules.get(f"{network} with l2")) or schedules.get(network, {})
    return Experiment.from_dict({**schedule, **EXPERIMENTS[name], "name": name, "profile": profile})
