"""An experiment validates itself, and its fingerprint changes with what changes training and nothing else."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwkit.errors import ExperimentError
from hwkit.experiment import EXPERIMENTS, PROFILES, RATES, Experiment, named_experiment, option_names

# A value for each option that differs from the default of "cifar10" in the quick profile.
OTHER_VALUES = {
    "dataset": "mnist",
    "data": "stand-in",
    "kernel_size": 5,
    "width": 0.5,
    "activation": "selu",
    "pooling": "average",
    "dropout": 0.25,
    "initialisation": "truncated-normal",
    "l2": 1e-3,
    "augment": False,
    "learning_rate": 0.5,
    "schedule": "constant",
    "batch_size": 64,
    "epochs": 1.5,
    "train_size": 1000,
    "test_size": 1000,
    "holdout": 5000,
    "evaluations": 3,
    "record_every": 7,
    "seed": 1,
    "precision": "fp32",
    "model": "Net@0123456789ab",
    "optimizer": "sgd",
    "momentum": 0.5,
    "label_smoothing": 0.1,
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_named_experiment_is_valid_in_every_profile(name: str, profile: str) -> None:
    experiment = named_experiment(name, profile)
    assert (experiment.name, experiment.profile) == (name, profile)
    assert Experiment.from_dict(experiment.as_dict()) == experiment


def test_seed_profile_has_the_schedules_of_the_seed_report() -> None:
    plain, regularised = named_experiment("mnist", "seed"), named_experiment("mnist-l2", "seed")
    assert (plain.iterations, plain.batch_size, plain.learning_rate) == (8000, 500, 1e-4)
    assert (regularised.iterations, regularised.batch_size) == (84000, 5)


@pytest.mark.parametrize("option", option_names())
def test_every_option_changes_the_fingerprint(option: str) -> None:
    assert set(OTHER_VALUES) == set(option_names())
    base = named_experiment("cifar10", "quick")
    if option == "dataset":
        assert base.replace(dataset="mnist", augment=False).fingerprint != base.replace(augment=False).fingerprint
    else:
        assert base.replace(**{option: OTHER_VALUES[option]}).fingerprint != base.fingerprint


def test_labels_do_not_change_the_fingerprint() -> None:
    base = named_experiment("cifar10-l2", "quick")
    assert base.replace(name="other", profile="mine").fingerprint == base.fingerprint
    assert named_experiment("cifar10", "quick", l2=1e-3).fingerprint == base.fingerprint


@pytest.mark.parametrize("profile", PROFILES)
def test_another_optimiser_comes_with_a_rate_of_its_own(profile: str) -> None:
    usual = named_experiment("cifar10", profile)
    for optimizer, rate in RATES.items():
        changed = named_experiment("cifar10", profile, optimizer=optimizer)
        assert changed.learning_rate == (usual.learning_rate if optimizer == usual.optimizer else rate)
        assert named_experiment("cifar10", profile, optimizer=optimizer, learning_rate=0.5).learning_rate == 0.5
    assert named_experiment("cifar10", "quick", optimizer="adam").name == "cifar10[optimizer=adam]"


def test_whole_numbers_and_floats_of_one_value_are_one_experiment() -> None:
    assert named_experiment("mnist", epochs=2, batch_size=64.0) == named_experiment("mnist", epochs=2.0, batch_size=64)


def test_overrides_of_none_keep_the_profiles_value() -> None:
    assert named_experiment("mnist", "full", epochs=None, dropout=None) == named_experiment("mnist", "full")


def test_a_changed_experiment_is_labelled_as_such() -> None:
    assert named_experiment("mnist", "quick", l2=0.01, kernel_size=5).name == "mnist[l2=0.01]"
    assert named_experiment("mnist", "quick", seed=3, data="real").name == "mnist"
    assert named_experiment("mnist", "full", epochs=1).name == "mnist[epochs=1]"
    assert named_experiment("mnist", "seed", learning_rate=1e-3).name == "mnist[learning_rate=0.001]"
    full = named_experiment("cifar10", "full")
    assert named_experiment("cifar10", "full", epochs=full.epochs) == full


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "mnits"}, "unknown experiment 'mnits'; did you mean 'mnist'?"),
        ({"profile": "fast"}, "unknown profile 'fast'; known: smoke, quick, full, seed"),
        ({"learning_rat": 1}, "unknown option 'learning_rat'; did you mean 'learning_rate'?"),
        ({"l2": -1e-3}, "l2 must be a number at least 0, not -0.001"),
        ({"l2": math.nan}, "l2 must be a number at least 0, not nan"),
        ({"l2": "0.1"}, "l2 must be a number, not '0.1'"),
        ({"l2": 10**400}, "l2 must be a number at least 0, not 1000"),
        ({"epochs": 0}, "epochs must be a number above 0 and below 100000, not 0"),
        ({"epochs": math.inf}, "epochs must be a number above 0 and below 100000, not inf"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
        ({"batch_size": True}, "batch_size must be a whole number, not True"),
        ({"dropout": 1.0}, "dropout must be a number at least 0 and at most 0.95, not 1.0"),
        ({"kernel_size": 4}, "unknown kernel_size of mnist 4; known: 1, 3, 5, 7, 9"),
        ({"activation": "gelu"}, "unknown activation 'gelu'"),
        ({"augment": True}, "augment=True does not fit mnist"),
        ({"epochs": 1e308}, "epochs must be a number above 0 and below 100000"),
        ({"train_size": 70000}, "train_size must be at most 60000"),
        ({"train_size": 58000, "holdout": 5000}, "train_size must be at most 55000"),
    ],
)
def test_bad_input_is_named_with_what_would_be_right(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ExperimentError) as error:
        named_experiment(**{"name": "mnist", **arguments})
    assert complaint in str(error.value)


@given(st.sampled_from(option_names()), st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.booleans()))
def test_any_value_gives_an_experiment_or_an_experiment_error(option: str, value: object) -> None:
    with contextlib.suppress(ExperimentError):
        assert named_experiment("mnist", **{option: value}).iterations >= 1
