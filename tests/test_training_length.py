"""The chapter on training length: what it trains, and what it says of synthetic runs with known truth."""

from __future__ import annotations

import pytest

from hwkit.chapters import training_length
from hwkit.errors import ExperimentError
from hwkit.experiment import named_experiment


def test_every_network_is_trained_with_both_optimisers_for_each_length() -> None:
    planned = training_length.experiments("full", data="real", precision="auto", seed=3)
    assert set(planned) == {
        (name, optimizer, length)
        for name in training_length.NAMES
        for optimizer in training_length.OPTIMIZERS
        for length in training_length.lengths("full")
    }
    for (_, optimizer, length), one in planned.items():
        assert (one.optimizer, one.epochs, one.seed) == (optimizer, length, 3)
        assert one.evaluations


def test_the_longest_trainings_with_the_profiles_optimiser_are_the_reports_own() -> None:
    planned = training_length.experiments("full")
    for name in training_length.NAMES:
        own = named_experiment(name, "full")
        one = planned[name, own.optimizer, own.epochs]
        assert (one.name, one.fingerprint) == (own.name, own.fingerprint)


def test_an_optimiser_comes_with_its_own_learning_rate() -> None:
    rates = {place[1]: one.learning_rate for place, one in training_length.experiments("full").items()}
    assert rates["muon"] != rates["adam"]


def test_no_length_at_all_is_an_error() -> None:
    with pytest.raises(ExperimentError, match="one length of training or more"):
        training_length.experiments("full", [])
