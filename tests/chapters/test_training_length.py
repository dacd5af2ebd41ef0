"""The chapter on training length: what it trains, and what it says of synthetic runs with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch

from hwkit import training
from hwkit.chapters import penalty_steps, training_length
from hwkit.errors import ExperimentError, RunError
from hwkit.experiment import RATES, Experiment, named_experiment
from hwkit.runs import Run


@pytest.fixture(autouse=True)
def three_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_length, "SHORTER", (0.5, 1.0))


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


# --- Synthetic runs with known truth ----------------------------------------------------------------------------

IMAGES = 4000
Effects = dict[tuple[str, str, float], float]  # of a name, optimiser and length: accuracy beyond that of all others


def networks(effects: Effects, seeds: int = 3) -> dict[training_length.Place, list[Run]]:
    """Runs of every place, 80 % accurate at the end, 40 % on the way, and more or less where `effects` says so.

    A network of the same seed misclassifies the same images, but for its effect.
    """
    planned = training_length.experiments("full", data="stand-in")
    return {
        place: [network(one, seed, effects.get(place, 0.0)) for seed in range(seeds)] for place, one in planned.items()
    }


def network(experiment: Experiment, seed: int, effect: float) -> Run:
    drawn = torch.rand(IMAGES, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(IMAGES) % 10
    at = {
        moment: torch.where(drawn < accuracy + effect, labels, (labels + 1) % 10)
        for moment, accuracy in ((experiment.iterations // 2, 0.4), (experiment.iterations, 0.8))
    }
    final = at[experiment.iterations]
    metrics = {"test_accuracy": (final == labels).double().mean().item(), "test_images": IMAGES}
    run = Run(Path("nowhere"), experiment.replace(seed=seed), metrics)
    vars(run).update(_predictions={"logits": 5.0 * torch.eye(10)[final], "labels": labels}, predicted_at=at)
    return run


def everywhere(name: str, effect: float, optimizers: Sequence[str] = training_length.OPTIMIZERS) -> Effects:
    return {(name, optimizer, length): effect for optimizer in optimizers for length in training_length.lengths("full")}


def test_differences_are_measured_at_every_moment_with_an_interval() -> None:
    frame = training_length.differences(networks(everywhere("cifar10-selu", 0.05)))
    moments = 2
    assert len(frame) == len(training_length.DIFFERENCES) * len(training_length.OPTIMIZERS) * 3 * moments
    selu = frame[frame["difference"] == "SELU"]
    assert selu["value"].tolist() == pytest.approx([0.05] * len(selu), abs=0.015)
    assert (selu["low"] > 0).all()
    assert set(frame.loc[frame["difference"] == "augmentation", "value"]) == {0.0}
    assert selu.loc[selu["end"], "epochs"].tolist() == selu.loc[selu["end"], "length"].tolist()


def test_a_sign_that_flips_is_named_with_both_ends() -> None:
    effects = {**everywhere("cifar10-selu", 0.05), ("cifar10-selu", "muon", 4.0): -0.03}
    text = training_length.reading_of_lengths(training_length.differences(networks(effects))).data
    muon, adam = text.split("Under Adam")
    assert "SELU raises accuracy after 0.5 epochs (by " in muon
    assert "and lowers accuracy after 4 epochs (by " in muon
    assert "SELU raises accuracy at every length" in adam
    assert "the L2 penalty, augmentation and average pooling make cannot be told from zero at any length" in adam


def test_an_effect_that_shows_at_one_length_only_is_no_more_than_that() -> None:
    effects = {("cifar10-noaug", "adam", 1.0): 0.04}
    text = training_length.reading_of_lengths(training_length.differences(networks(effects))).data
    assert "augmentation lowers accuracy after one epoch (by" in text.split("Under Adam")[1]
    assert "make{s}" not in text
    assert "makes no difference that can be told from zero after 0.5 epochs and 4 epochs" in text


def test_a_difference_that_turns_or_fades_on_the_way_is_named() -> None:
    frame = training_length.differences(networks(everywhere("cifar10-selu", 0.05)))
    assert training_length.reading_of_courses(frame).data.count("no difference that is seen early") == 2
    early = (frame["optimizer"] == "muon") & ~frame["end"] & (frame["difference"] == "SELU")
    frame.loc[early, ["value", "low", "high"]] = [-0.03, -0.04, -0.02]
    early = (frame["optimizer"] == "adam") & ~frame["end"] & (frame["difference"] == "augmentation")
    frame.loc[early, ["value", "low", "high"]] = [-0.03, -0.04, -0.02]
    muon, adam = training_length.reading_of_courses(frame).data.split(" In the longest training under Adam")
    assert "the sign changes for SELU (−3.00 points after 2.00 epochs, +" in muon
    assert "an early difference fades until it cannot be told from zero for augmentation (−3.00 points" in adam


def test_claims_are_told_apart_by_the_optimisers_they_hold_under() -> None:
    effects = {**everywhere("cifar10-noaug", -0.04), **everywhere("cifar10-selu", -0.05, ["adam"])}
    runs = networks(effects)
    text = training_length.reading_of_optimizers(runs).data
    assert "augmentation raises accuracy and average pooling is as accurate as maximum pooling under both" in text
    assert "SELU lowers accuracy under Adam, but not under Muon" in text
    assert "neither of them supports that the L2 penalty lowers accuracy" in text
    assert "beyond what chance gives, for SELU (+" in text
    table = training_length.claim_table(runs)
    assert table.loc["SELU lowers accuracy", "under Adam"].endswith("supported")
    assert table.loc["SELU lowers accuracy", "under Muon"].endswith("open")


def test_optimisers_that_agree_are_not_said_to_differ() -> None:
    text = training_length.reading_of_optimizers(networks(everywhere("cifar10-l2", -0.03))).data
    assert "For none of the four" in text


def test_one_seed_gives_statements_on_pairs() -> None:
    runs = networks(everywhere("cifar10-selu", -0.05), seeds=1)
    assert training_length.reading_of_optimizers(runs).data.startswith("In these pairs of networks, SELU lowers")
    assert training_length.claim_table(runs).iloc[0]["under Muon"].endswith(")")


def test_the_end_of_a_short_training_is_set_beside_the_middle_of_a_long_one() -> None:
    text = training_length.reading_of_schedules(networks({})).data
    assert "The schedule of one epoch under Muon ends at 80" in text
    assert "has 40" in text or "has 39" in text


def test_the_figure_has_a_panel_per_difference_and_optimiser() -> None:
    frame = training_length.differences(networks(everywhere("cifar10-selu", 0.05)))
    figure = training_length.figure(frame)
    assert len(figure.axes) == len(training_length.DIFFERENCES) * len(training_length.OPTIMIZERS)
    text = training_length.alternative_text(frame)
    assert "SELU: Adam, 0.5 epochs: +5." in text or "SELU: Adam, 0.5 epochs: +4." in text


# --- What a step makes of the penalty ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cifar_run_l2(store: Path) -> Run:
    return training.train(named_experiment("cifar10-l2", "smoke", data="stand-in"), device="cpu", progress=False)


@pytest.fixture(scope="module")
def pulls(cifar_run_l2: Run) -> pd.DataFrame:
    return penalty_steps.pulls(cifar_run_l2, batches=3)


def test_sgd_and_adamw_take_the_same_part_off_every_weight(pulls: pd.DataFrame, cifar_run_l2: Run) -> None:
    l2 = cifar_run_l2.experiment.l2
    for name in ("sgd", "adamw"):
        found = pulls.loc[pulls["optimizer"] == name, "pull"].tolist()
        assert found == pytest.approx([RATES[name] * l2] * len(found), rel=0.02)


def test_adam_pulls_hardest_where_the_gradient_is_smallest(pulls: pd.DataFrame) -> None:
    found = pulls[pulls["optimizer"] == "adam"].sort_values("gradient")["pull"].tolist()
    assert found[0] > 2 * found[-1]


def test_the_figure_is_read_in_words(pulls: pd.DataFrame, cifar_run_l2: Run) -> None:
    text = penalty_steps.pull_summary(cifar_run_l2, pulls).data
    assert "SGD and AdamW take the same part off every weight" in text
    assert "times as much off the tenth of the weights with the smallest gradients" in text
    assert len(penalty_steps.pull_figure(pulls).axes[0].get_lines()) == 4


def test_a_network_without_a_penalty_has_no_pull(cifar_run: Run) -> None:
    with pytest.raises(RunError, match="trained without a penalty"):
        penalty_steps.pulls(cifar_run)
