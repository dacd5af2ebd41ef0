"""Weights are zeroed by their sign and size, and what the network predicts without them is what a changed one would."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from hwkit import analysis, data
from hwkit.chapters import negative_weights as ablation
from hwkit.chapters.negative_weights import CHOICES, Ablation
from hwkit.errors import RunError
from hwkit.experiment import named_experiment
from hwkit.findings.verdicts import Claim
from hwkit.runs import Run

WEIGHTS = torch.tensor([[-4.0, 3.0, -2.0, 1.0], [0.5, -0.5, -1.0, 2.0]])


def test_the_most_negative_and_the_most_positive_weights_go_first() -> None:
    assert ablation.zeroed(WEIGHTS, 0.25, "most negative").tolist() == [[0, 3, 0, 1], [0.5, -0.5, -1, 2]]
    assert ablation.zeroed(WEIGHTS, 0.25, "most positive").tolist() == [[-4, 0, -2, 1], [0.5, -0.5, -1, 0]]
    assert WEIGHTS[0, 0] == -4  # the weights themselves stay


def test_no_weight_of_the_other_sign_goes() -> None:
    assert ablation.zeroed(WEIGHTS, 1.0, "most negative").tolist() == [[0, 3, 0, 1], [0.5, 0, 0, 2]]
    assert ablation.zeroed(WEIGHTS, 1.0, "most positive").tolist() == [[-4, 0, -2, 0], [0, -0.5, -1, 0]]


def test_random_weights_are_as_many_and_the_same_for_the_same_generator() -> None:
    one, same = (ablation.zeroed(WEIGHTS, 0.5, "random", generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert (one == 0).sum() == 4
    assert torch.equal(one, same)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_share_of_zero_changes_nothing(choice: str) -> None:
    assert torch.equal(ablation.zeroed(WEIGHTS, 0.0, choice), WEIGHTS)


def test_an_unknown_choice_or_share_is_an_error() -> None:
    with pytest.raises(RunError, match="did you mean 'most negative'"):
        ablation.zeroed(WEIGHTS, 0.1, "most negativ")
    with pytest.raises(RunError, match="between 0 and 1, not 10"):
        ablation.zeroed(WEIGHTS, 10, "random")


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1", "fc2"])
def test_all_copies_predict_what_a_network_with_their_weights_does(trained_run: Run, layer: str) -> None:
    weights = trained_run.final_weights[f"{layer}.weight"]
    copies = torch.stack([weights, 0.5 * weights, ablation.zeroed(weights, 0.2, "most positive")])
    logits, labels = ablation.predict_with(trained_run, layer, copies, images=60)
    images = data.normalise(analysis.test_set(trained_run).test_images[:60], "mnist")
    assert torch.equal(labels, trained_run.labels[:60])
    for copy, found in zip(copies, logits, strict=True):
        model = trained_run.model()
        model.load_state_dict({**trained_run.final_weights, f"{layer}.weight": copy})
        with torch.inference_mode():
            # to the precision of bfloat16, in which the copies are computed where the processor has it
            torch.testing.assert_close(found, model(images), rtol=0.05, atol=0.05)


def test_an_ablation_has_a_variant_per_choice_share_and_draw(trained_run: Run) -> None:
    found = ablation.ablate(trained_run, "fc2", shares=(0.0, 0.1, 0.5), draws=2, images=50)
    table = found.table
    assert table.value_counts("choice").to_dict() == {"most negative": 3, "most positive": 3, "random": 5}
    untouched = table.loc[table["share"] == 0, "accuracy"]
    assert untouched.nunique() == 1
    assert untouched.iloc[0] == pytest.approx(
        (analysis.predicted(trained_run) == trained_run.labels)[:50].double().mean()
    )
    assert table["accuracy"].between(0, 1).all()
    largest = table[table["share"] == 0.1].groupby("choice")["magnitude"].mean()
    assert largest["most negative"] > largest["random"]
    with pytest.raises(RunError, match=r"share 0.3 was not tried; tried: .* \[0.0, 0.1, 0.5\]"):
        found.correct("random", 0.3)


def test_what_cannot_be_ablated_is_an_error(trained_run: Run) -> None:
    with pytest.raises(RunError, match=r"no layer 'fc3'; did you mean 'fc[12]'"):
        ablation.ablate(trained_run, "fc3")
    with pytest.raises(RunError, match="draws must be 1 or more"):
        ablation.ablate(trained_run, "fc2", draws=0)
    with pytest.raises(RunError, match="images must be 1 to 1000"):
        ablation.ablate(trained_run, "fc2", images=1001)


MORE = Claim("negative weights matter more", "higher")


def made_up(right: dict[str, float], seed: int = 0, draws: int = ablation.DRAWS, count: int = 2000) -> Ablation:
    """An ablation after which about so large a fraction of images is right by each choice; without it, all are."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(count, dtype=torch.int64)
    rows, predicted = [], []
    for choice in CHOICES:
        for share, correct in ((0.0, 1.0), (0.1, right[choice])):
            for draw in range(draws if choice == "random" and share else 1):
                rows.append({"choice": choice, "share": share, "draw": draw, "magnitude": share})
                predicted.append((torch.rand(count, generator=generator) >= correct).long())
    return Ablation("fc3", pd.DataFrame(rows), torch.stack(predicted), labels)


def networks(count: int) -> list[Run]:
    """The runs of so many seeds, of which nothing but the experiment matters."""
    experiment = named_experiment("cifar10", "full", data="stand-in")
    return [Run(Path("nowhere"), experiment.replace(seed=seed), {}) for seed in range(count)]


@pytest.mark.parametrize(
    ("negative", "positive", "verdict"),
    [(0.5, 0.8, "supported"), (0.8, 0.5, "opposite"), (0.8, 0.8, "open")],
)
def test_the_idea_is_judged_over_seeds(negative: float, positive: float, verdict: str) -> None:
    right = {"most negative": negative, "most positive": positive, "random": 0.95}
    found = [made_up(right, seed) for seed in range(3)]
    finding = ablation.finding(MORE, found, networks(3), "most positive")
    assert finding.verdict == verdict
    assert finding.estimate.value == pytest.approx(positive - negative, abs=0.03)
    assert "(3 seeds, 10 epochs of Adam)" in str(finding)
    row = ablation.effect_table([ablation.together(found)]).loc["fc3"]
    assert row["nothing zeroed"] == "100.0 %"
    assert float(row["random"].split()[0]) == pytest.approx(95, abs=0.5)


def test_the_spread_of_random_draws_is_part_of_the_error() -> None:
    right = {"most negative": 0.8, "most positive": 0.8, "random": 0.9}
    alike = made_up(right)
    apart = made_up(right)
    draws = apart.variants.index[(apart.variants["choice"] == "random") & (apart.variants["share"] > 0)]
    for number, row in enumerate(draws):
        apart.predicted[row] = (torch.arange(2000) >= (0.8 + 0.02 * number) * 2000).long()
    errors = [ablation.finding(MORE, [one], networks(1), "random").estimate.image_se for one in (alike, apart)]
    assert errors[1] > 0.06 / math.sqrt(10) > 2 * errors[0]
    with pytest.raises(RunError, match="3 random draws are too few to compare with; take at least 10"):
        ablation.finding(MORE, [made_up(right, draws=3)], networks(1), "random")


def test_one_network_gives_no_verdict_on_the_idea() -> None:
    found = made_up({"most negative": 0.7, "most positive": 0.8, "random": 0.6})
    for against in CHOICES[1:]:
        finding = ablation.finding(MORE, [found], networks(1), against)
        assert finding.verdict == "one pair"
        assert finding.estimate.runs == 1


def test_networks_of_other_seeds_lose_other_random_weights(trained_run: Run) -> None:
    other = dataclasses.replace(trained_run, experiment=trained_run.experiment.replace(seed=1))
    vars(other).update(_predictions=trained_run._predictions, final_weights=trained_run.final_weights)
    one, two = (ablation.ablate(run, "fc2", shares=(0.5,), draws=1, images=200) for run in (trained_run, other))
    assert torch.equal(one.predicted[0], two.predicted[0])
    assert not torch.equal(one.predicted[2], two.predicted[2])


def test_a_class_without_its_negative_weights_is_chosen_more_often(cifar_run: Run) -> None:
    effects = ablation.class_effects([cifar_run], share=0.3, draws=1).set_index(["choice", "class"])
    effects = effects[["recall", "false_alarms"]]
    # The features come from a ReLU, so the sign of the change is arithmetic.
    assert (effects.loc["most negative"] >= 0).all(axis=None)
    assert (effects.loc["most positive"] <= 0).all(axis=None)
    assert list(effects.loc["random"].index) == list(analysis.class_names(cifar_run))


def test_the_last_layer_is_the_one_with_the_classes(trained_run: Run, cifar_run: Run) -> None:
    def rows(run: Run) -> Tensor:
        return ablation.layer_weights(run, ablation.last_layer(run))

    assert len(rows(trained_run)) == len(rows(cifar_run)) == 10
