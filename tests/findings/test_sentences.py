"""The sentences and tables of the task chapters: what they say follows from the numbers, whichever these are."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch
from test_analysis import made_up_run
from torch import Tensor, nn

from hwkit import analysis, models
from hwkit.errors import RunError
from hwkit.findings import sentences
from hwkit.runs import Run

WEIGHT = torch.linspace(-1, 1, 201, dtype=torch.float64).float().view(3, 67)


def with_weights(initial: Tensor, final: Tensor, **fields: object) -> Run:
    """A run of one weight tensor and a bias, with given values before and after training."""
    run = made_up_run(torch.tensor([0, 1]), torch.tensor([0, 1]), **fields)
    bias = {"fc.bias": torch.zeros(3)}
    vars(run).update(initial_weights={"fc.weight": initial, **bias}, final_weights={"fc.weight": final, **bias})
    return run


# --- The network ------------------------------------------------------------------------------------------------


def test_a_network_written_out_is_checked_to_be_the_one_that_was_trained(trained_run: Run) -> None:
    class Other(models.MnistCNN):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + images.mean(dim=(2, 3))[:, :1] * torch.arange(10)

    assert "the network that was trained" in sentences.network_check(models.MnistCNN(), trained_run).data
    with pytest.raises(RunError, match="gives other logits"):
        sentences.network_check(Other(), trained_run)
    with pytest.raises(RunError, match="this network is not that of mnist"):
        sentences.network_check(nn.Linear(3, 3), trained_run)


def test_what_sets_two_trainings_apart_is_named() -> None:
    plain = made_up_run(torch.tensor([0]), torch.tensor([0]))
    alike = dataclasses.replace(plain, experiment=plain.experiment.replace(l2=1e-3))
    longer = dataclasses.replace(plain, experiment=plain.experiment.replace(l2=1e-3, batch_size=5, epochs=7))
    assert "λ is all that sets them apart" in sentences.set_apart(plain, alike).data
    assert "differ in their batch size and number of epochs" in sentences.set_apart(plain, longer).data


@pytest.mark.parametrize(("optimizer", "word"), [("adam", "mean square"), ("muon", "orthogonal"), ("sgd", "fraction")])
def test_what_a_step_makes_of_the_penalty_is_that_of_the_optimiser(optimizer: str, word: str) -> None:
    run = made_up_run(torch.tensor([0]), torch.tensor([0]), optimizer=optimizer)
    assert word in sentences.penalty_step(run, known="another").data
    assert word not in sentences.penalty_step(run, known=optimizer).data


# --- Weights ----------------------------------------------------------------------------------------------------


def test_weights_that_grow_and_are_then_held_back_are_named() -> None:
    plain, penalised = with_weights(WEIGHT, 2 * WEIGHT), with_weights(WEIGHT, 0.5 * WEIGHT, l2=1e-3)
    text = sentences.weights_summary(plain, penalised).data
    assert "all weight tensors grow wider than at the start, `fc.weight` most, 2 times" in text
    assert "all weight tensors end narrower than without" in text
    assert "In none do more weights lie" in text


def test_nothing_is_said_to_grow_or_shrink_that_does_not() -> None:
    same = with_weights(WEIGHT, WEIGHT)
    text = sentences.weights_summary(same, same).data
    assert "no weight tensor grows" in text
    assert "none of them ends narrower" in text


@pytest.mark.parametrize(("kept", "moral"), [(1.0, "hardly another shape"), (0.1, "the weights part into many")])
def test_sparser_is_told_from_narrower(kept: float, moral: str) -> None:
    """Scaled down all together, or all but a few of them zeroed."""
    values = torch.randn(1, 20000, generator=torch.Generator().manual_seed(0))
    penalised = values * 0.01 if kept == 1 else values * (torch.arange(20000) % 10 == 0)
    text = sentences.weights_summary(with_weights(values, values), with_weights(values, penalised)).data
    assert moral in text


def test_the_weight_table_has_weights_by_dimensions_and_no_bias() -> None:
    table = sentences.weight_table(with_weights(WEIGHT, WEIGHT), with_weights(WEIGHT, 2 * WEIGHT))
    assert list(table.index) == ["fc.weight"]
    assert float(table.loc["fc.weight", "σ with"]) == pytest.approx(
        2 * float(table.loc["fc.weight", "σ initial"]), rel=1e-3
    )


# --- Misclassified images ---------------------------------------------------------------------------------------


def test_a_known_label_error_is_named_where_it_is_shown() -> None:
    labels = torch.zeros(10000, dtype=torch.int64)
    predicted = labels.clone()
    labels[2405], predicted[2405] = 3, 6  # labelled cat, predicted frog
    run = made_up_run(labels, predicted, dataset="cifar10")
    assert "test image 2405, is labelled cat and shows a frog, which is what the network says" in (
        sentences.label_errors(run, 5).data
    )
    predicted[2405] = 5
    wrong = made_up_run(labels, predicted, dataset="cifar10")
    assert "which is not what the network says, either: dog" in sentences.label_errors(wrong, 5).data
    assert sentences.label_errors(run, 0).data == ""
    drawn = dataclasses.replace(run, experiment=run.experiment.replace(data="stand-in"))
    assert sentences.label_errors(drawn, 5).data == ""


def test_a_pair_is_read_by_ink_layers_and_the_other_network(trained_run: Run, trained_run_l2: Run) -> None:
    texts = [
        sentences.pair_reading(trained_run_l2, pair, trained_run).data for pair in analysis.pairs(trained_run_l2, 3)
    ]
    assert len(set(texts)) == 3
    for text in texts:
        assert "of their ink" in text
        assert "in its pixels" in text
        assert "Without the penalty" in text
        assert "reference report" not in text  # of drawn images there is none


@pytest.mark.parametrize(
    ("places", "moral"),
    [
        ([0.1, 0.2, 0.3], "leave it on the side of cat, and only the last one decides for dog"),
        ([0.1, 0.7, 0.9], "`conv1` is the first layer that has it nearer to dog"),
        ([0.8, 0.6, 0.9], "the furthest that a layer brings it back is 0.60"),
        ([0.6, 0.7, 0.9], "every layer takes it further"),
    ],
)
def test_the_way_through_the_layers_has_its_moral(places: list[float], moral: str) -> None:
    series = pd.Series(places, index=["pixels", "conv1", "conv2"])
    assert moral in sentences._layers_reading(series, "cat", "dog")


def test_shared_ink_is_where_both_have_it() -> None:
    left, whole = torch.zeros(28, 28), torch.zeros(28, 28)
    left[12:16, 2:8] = 1
    whole[12:16, 2:26] = 1
    text = sentences._shared_ink(left, whole, "1", "7")
    assert text.startswith("They share 25 % of their ink, most of it at the left;")


def test_probabilities_are_never_rounded_to_nothing_or_to_certainty(trained_run: Run) -> None:
    (pair,) = analysis.pairs(trained_run, 1)
    sure = torch.full((10,), 1e-6)
    sure[pair.counterpart.label] = 1 - 9e-6
    shown = dataclasses.replace(pair.counterpart, probabilities=sure)
    assert "0.99999" in sentences.example_phrase(shown)


# --- Confidence -------------------------------------------------------------------------------------------------


def test_seeds_make_an_ensemble_beside_the_single_networks(trained_run: Run, trained_run_l2: Run) -> None:
    one = sentences.confidence_groups(trained_run, trained_run_l2)
    assert list(one) == ["without L2", "with L2"]
    several = sentences.confidence_groups([trained_run] * 3, [trained_run_l2] * 3)
    table = sentences.confidence_table(several)
    assert list(table.index[2:]) == ["ensemble of 3 without L2", "ensemble of 3 with L2"]
    # three times the same network says what it says alone
    assert table.iloc[0].tolist() == table.iloc[2].tolist()
    assert "three seeds" in sentences.confidence_summary([trained_run] * 3, [trained_run_l2] * 3).data
