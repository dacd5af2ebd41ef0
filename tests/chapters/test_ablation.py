"""Weights are zeroed by their sign, shifts are compensated, and verdicts follow what the network still knows."""

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
    assert ablation.zeroed(WEIGHTS, 6, "most negative").tolist() == [[0, 3, 0, 1], [0.5, -0.5, -1, 2]]
    assert ablation.zeroed(WEIGHTS, 5, "most positive").tolist() == [[-4, 0, -2, 1], [0.5, -0.5, -1, 0]]
    assert WEIGHTS[0, 0] == -4  # the weights themselves stay


def test_no_weight_of_the_other_sign_goes() -> None:
    assert ablation.zeroed(WEIGHTS, 100, "most negative").tolist() == [[0, 3, 0, 1], [0.5, 0, 0, 2]]
    assert ablation.zeroed(WEIGHTS, 100, "most positive").tolist() == [[-4, 0, -2, 0], [0, -0.5, -1, 0]]


def test_of_both_signs_the_same_sum_can_be_taken_away() -> None:
    total = ablation.both_signs(WEIGHTS)
    assert total == 6.5  # of the positive weights; the negative ones have 7.5
    for choice in CHOICES:
        gone = (WEIGHTS - ablation.zeroed(WEIGHTS, total, choice, generator=torch.Generator())).abs().sum()
        assert total - 4 < gone <= total


def test_random_weights_are_the_same_for_the_same_generator() -> None:
    one, same = (ablation.zeroed(WEIGHTS, 7, "random", generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert (one == 0).any()
    assert torch.equal(one, same)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_total_of_zero_changes_nothing(choice: str) -> None:
    assert torch.equal(ablation.zeroed(WEIGHTS, 0, choice), WEIGHTS)


def test_an_unknown_choice_or_total_is_an_error() -> None:
    with pytest.raises(RunError, match="did you mean 'most negative'"):
        ablation.zeroed(WEIGHTS, 1, "most negativ")
    with pytest.raises(RunError, match="0 or more, not -1"):
        ablation.zeroed(WEIGHTS, -1, "random")


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1", "fc2"])
def test_all_copies_predict_what_a_network_with_their_weights_does(trained_run: Run, layer: str) -> None:
    weights = trained_run.final_weights[f"{layer}.weight"]
    copies = torch.stack([weights, 0.5 * weights, weights.clamp_min(0)])
    logits, labels = ablation.predict_with(trained_run, layer, copies, images=60)
    images = data.normalise(analysis.test_set(trained_run).test_images[:60], "mnist")
    assert torch.equal(labels, trained_run.labels[:60])
    for copy, found in zip(copies, logits[0], strict=True):
        model = trained_run.model()
        model.load_state_dict({**trained_run.final_weights, f"{layer}.weight": copy})
        with torch.inference_mode():
            # to the precision of bfloat16, in which the copies are computed where the processor has it
            torch.testing.assert_close(found, model(images), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layer", ["conv2", "fc1"])
def test_compensated_units_keep_their_mean_output(trained_run: Run, layer: str) -> None:
    weights = trained_run.final_weights[f"{layer}.weight"]
    images = data.normalise(analysis.test_set(trained_run).test_images[:60], "mnist")
    model = trained_run.model()
    module = model.get_submodule(layer)
    given: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        model(images)
        bias = ablation._biases(module, given[0].mean(dim=0), weights.clamp_min(0)[None])[1][0]
        before, after = module(given[0]), ablation._apply(module, given[0], weights.clamp_min(0), bias)
    torch.testing.assert_close(before.transpose(0, 1).flatten(1).mean(1), after.transpose(0, 1).flatten(1).mean(1))


def test_weights_that_stay_need_no_compensation(trained_run: Run) -> None:
    weights = trained_run.final_weights["fc2.weight"]
    logits, _ = ablation.predict_with(trained_run, "fc2", weights[None], images=60)
    torch.testing.assert_close(logits[0], logits[1])


def test_an_ablation_has_a_variant_per_choice_part_draw_and_compensation(trained_run: Run) -> None:
    found = ablation.ablate(trained_run, "fc2", parts=(0.0, 0.5, 1.0), draws=2, images=50)
    table = found.table
    counts = {"most negative": 3, "most positive": 3, "random": 5, "all negative": 1}
    assert table.value_counts("choice").to_dict() == {choice: 2 * count for choice, count in counts.items()}
    untouched = table.loc[table["part"] == 0, "accuracy"]
    assert untouched.nunique() == 1
    assert untouched.iloc[0] == pytest.approx(analysis.correct(trained_run)[:50].double().mean())
    with pytest.raises(RunError, match=r"part 0.3 was not tried; tried: .* \[0.0, 0.5, 1.0\]"):
        found.correct("random", 0.3)


def test_what_cannot_be_ablated_is_an_error(trained_run: Run) -> None:
    with pytest.raises(RunError, match=r"no layer 'fc3'; did you mean 'fc[12]'"):
        ablation.ablate(trained_run, "fc3")
    with pytest.raises(RunError, match="draws must be 1 or more"):
        ablation.ablate(trained_run, "fc2", draws=0)
    with pytest.raises(RunError, match="parts must be between 0 and 1"):
        ablation.ablate(trained_run, "fc2", parts=(0.5, 2.0))
    with pytest.raises(RunError, match="images must be 1 to 1000"):
        ablation.ablate(trained_run, "fc2", images=1001)


LESS = Claim("without negative weights it is less accurate", "lower")


def made_up(right: dict[str, float], seed: int = 0, draws: int = ablation.DRAWS, count: int = 2000) -> Ablation:
    """An ablation after which about so large a fraction of images is right by each choice; without it, all are."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(count, dtype=torch.int64)
    rows, predicted = [], []
    for compensated in (False, True):
        for choice in CHOICES:
            for part, correct in ((0.0, 1.0), (1.0, right[choice])):
                for draw in range(draws if choice == "random" and part else 1):
                    rows.append({"choice": choice, "part": part, "draw": draw, "compensated": compensated})
                    predicted.append((torch.rand(count, generator=generator) >= correct).long())
        rows.append({"choice": "all negative", "part": 1.0, "draw": 0, "compensated": compensated})
        predicted.append((torch.rand(count, generator=generator) >= right["most negative"] - 0.1).long())
    return Ablation("fc3", pd.DataFrame(rows), "positive", torch.stack(predicted), labels)


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
    finding = ablation.finding(LESS, found, networks(3), "most positive")
    assert finding.verdict == verdict
    assert finding.estimate.value == pytest.approx(negative - positive, abs=0.03)
    assert ablation.finding(LESS, found, networks(3), "nothing").verdict == "supported"
    text = ablation.reading(found).data
    assert "With everything in place 100.0 %" in text
    assert "where all positive weights are gone" in text
    assert "does little here" in text


def test_the_spread_of_random_draws_is_part_of_the_error() -> None:
    right = {"most negative": 0.8, "most positive": 0.8, "random": 0.9}
    alike, apart = made_up(right), made_up(right)
    v = apart.variants
    for number, row in enumerate(v.index[(v["choice"] == "random") & (v["part"] > 0) & v["compensated"]]):
        apart.predicted[row] = (torch.arange(2000) >= (0.8 + 0.02 * number) * 2000).long()
    errors = [ablation.finding(LESS, [one], networks(1), "random").estimate.image_se for one in (alike, apart)]
    assert errors[1] > 0.06 / math.sqrt(10) > 2 * errors[0]
    with pytest.raises(RunError, match="3 random draws are too few to compare with; take at least 10"):
        ablation.finding(LESS, [made_up(right, draws=3)], networks(1), "random")


def test_one_network_gives_no_verdict_on_the_idea() -> None:
    found = made_up({"most negative": 0.7, "most positive": 0.8, "random": 0.6})
    for against in ("nothing", *CHOICES[1:]):
        finding = ablation.finding(LESS, [found], networks(1), against)
        assert finding.verdict == "one pair"
        assert finding.estimate.runs == 1


def test_networks_of_other_seeds_lose_other_random_weights(trained_run: Run) -> None:
    other = dataclasses.replace(trained_run, experiment=trained_run.experiment.replace(seed=1))
    vars(other).update(_predictions=trained_run._predictions, final_weights=trained_run.final_weights)
    one, two = (ablation.ablate(run, "fc2", parts=(1.0,), draws=1, images=200) for run in (trained_run, other))
    assert torch.equal(one.predicted[0], two.predicted[0])
    assert not torch.equal(one.predicted[2], two.predicted[2])


def test_curves_are_the_means_of_the_draws(trained_run: Run) -> None:
    ablated = ablation.ablate(trained_run, "fc2", parts=(0.0, 1.0), draws=3, images=50)
    drawn = ablated.table[lambda table: table["compensated"] & (table["part"] == 1)]
    lines = [line for line in ablation.curves([ablated]).axes[1].get_lines() if len(line.get_xdata()) == 2]
    for choice, line in zip(CHOICES, lines, strict=False):
        assert line.get_ydata()[-1] == pytest.approx(drawn[drawn["choice"] == choice]["accuracy"].mean())
    with pytest.raises(RunError, match="no ablation to show"):
        ablation.curves([])


# --- Margins ----------------------------------------------------------------------------------------------------


def test_margins_are_the_sum_of_what_both_signs_give(cifar_run: Run) -> None:
    frame = ablation.margins([cifar_run])
    recognised = analysis.recognised_classes(cifar_run)
    assert frame["class"].tolist() == list(analysis.class_names(cifar_run))
    assert set(frame.index[frame["negative"] != 0]) == recognised
    assert "Negative terms carry" in ablation.margin_summary(frame).data
    assert len(ablation.margin_figure(frame).axes) == 1


def test_a_network_whose_classes_have_negative_weights_only_for_their_rivals_wins_by_them(cifar_run: Run) -> None:
    other = dataclasses.replace(cifar_run)
    weights = dict(cifar_run.final_weights)
    names, count = analysis.class_names(cifar_run), weights["fc3.weight"].shape[1]
    weights["fc3.weight"] = -torch.ones(len(names), count)
    weights["fc3.weight"][0] = 0.0  # after the mean is taken off, the others lie a little below zero
    logits = torch.zeros(len(cifar_run.labels), len(names))
    logits[:, 0], logits[:, 1] = 1.0, 0.5
    vars(other).update(final_weights=weights, _predictions={"logits": logits, "labels": cifar_run.labels})
    frame = ablation.margins([other]).set_index("class")
    row = frame.loc[names[0]]
    assert row["negative"] / (row["negative"] + row["positive"]) == pytest.approx(1 / len(names), abs=1e-3)


def test_lifting_all_classes_changes_no_prediction(cifar_run: Run) -> None:
    assert "none changes" in ablation.sign_is_a_convention(cifar_run).data


def test_the_last_layer_is_the_one_with_the_classes(trained_run: Run, cifar_run: Run) -> None:
    def rows(run: Run) -> Tensor:
        return ablation.layer_weights(run, ablation.last_layer(run))

    assert len(rows(trained_run)) == len(rows(cifar_run)) == 10


def test_the_table_takes_either_sign_away_in_each_layer(trained_run: Run) -> None:
    frame = ablation.sign_effects([trained_run], images=50)
    table = ablation.sign_table(frame)
    assert list(table.index) == ablation.layer_names(trained_run)
    negative = (trained_run.final_weights["fc2.weight"] < 0).double().mean().item()
    assert table.loc["fc2", "negative"] == f"{100 * negative:.1f} %"
    assert frame.loc["fc2", "all weights"] == pytest.approx(analysis.correct(trained_run)[:50].double().mean())
    least = frame["no negative weights, compensated"].idxmin()
    assert f"are missed most in `{least}`" in ablation.sign_reading(frame).data
