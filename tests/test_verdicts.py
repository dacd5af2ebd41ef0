"""Verdicts follow from the numbers: each of the three comes out where the numbers say so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hwkit import analysis, models
from hwkit.errors import RunError
from hwkit.experiment import named_experiment
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Estimate, Finding
from hwkit.runs import Run

OPEN = "not distinguishable at this sample size"


def made_up_run(correct: Tensor, *, train: float = 0.9, seed: int = 0, name: str = "mnist") -> Run:
    """A run that is right where `correct`, bool (N,), says so, and takes the other images for the next class."""
    labels = torch.arange(len(correct)) % 10
    predicted = torch.where(correct, labels, (labels + 1) % 10)
    metrics = {
        "test_accuracy": correct.double().mean().item(),
        "test_images": len(correct),
        "train_accuracy": train,
        "train_images": 10000,
    }
    run = Run(Path("nowhere"), named_experiment(name, "smoke", data="stand-in", seed=seed), metrics)
    run.__dict__["_predictions"] = {"logits": 5.0 * torch.eye(10)[predicted], "labels": labels}
    run.__dict__["environment"] = {}
    return run


def right(count: int, of: int = 10000) -> Tensor:
    """The first `count` of so many images are right."""
    return torch.arange(of) < count


@pytest.mark.parametrize(
    ("low", "high", "expected", "verdict"),
    [
        (0.001, 0.02, "higher", "confirmed"),
        (-0.001, 0.02, "higher", OPEN),
        (-0.02, -0.001, "higher", "contradicted"),
        (-0.02, -0.001, "lower", "confirmed"),
        (-0.02, 0.001, "lower", OPEN),
        (0.001, 0.02, "lower", "contradicted"),
        (-0.009, 0.009, "same", "confirmed"),
        (-0.009, 0.011, "same", OPEN),
        (0.011, 0.03, "same", "contradicted"),
    ],
)
def test_the_sentence_is_chosen_by_the_interval(low: float, high: float, expected: str, verdict: str) -> None:
    estimate = Estimate((low + high) / 2, low, high, "made up")
    finding = Finding("smaller is worse", expected, estimate, "These are the numbers.")
    assert finding.verdict == verdict
    assert f"Verdict: {verdict}." in str(finding)
    assert f"**Verdict: {verdict}.**" in finding._repr_markdown_()
    other = Finding("x", expected, Estimate(0, -1, 1, "made up"), "")
    assert (finding.reason == other.reason) == (verdict == OPEN)


def test_two_networks_are_compared_image_by_image_in_all_three_ways() -> None:
    better, worse = made_up_run(right(9900)), made_up_run(right(9800))
    almost = made_up_run(right(9895))
    assert verdicts.accuracy("a is worse", worse, better, "lower").verdict == "confirmed"
    assert verdicts.accuracy("a is worse", better, worse, "lower").verdict == "contradicted"
    shuffled = made_up_run(right(9900).flip(0))
    assert verdicts.accuracy("a is worse", shuffled, almost, "lower").verdict == OPEN
    # The same images are wrong in both, so even five of them are a difference that the pairing can show.
    assert verdicts.accuracy("a is worse", almost, better, "lower").estimate.high < 0.0001
    sentence = str(verdicts.accuracy("a is worse", worse, better, "lower"))
    assert "98.00 %" in sentence
    assert "99.00 %" in sentence
    assert "−1.00 points" in sentence
    assert "paired on the same 10000 images" in sentence


def test_equivalence_needs_the_whole_interval_within_the_margin() -> None:
    a, b = made_up_run(right(9000)), made_up_run(right(8990))
    assert verdicts.accuracy("the same", a, b, "same").verdict == "confirmed"
    assert verdicts.accuracy("the same", a, b, "same", margin=0.0005).verdict == OPEN
    assert verdicts.accuracy("the same", a, made_up_run(right(8500)), "same").verdict == "contradicted"


def test_over_several_seeds_the_spread_decides() -> None:
    base = [made_up_run(right(9800 + shift), seed=seed) for seed, shift in enumerate((0, 10, -10, 5))]
    steady = [made_up_run(right(9850 + shift), seed=seed) for seed, shift in enumerate((0, 10, -10, 5))]
    noisy = [made_up_run(right(9850 + shift), seed=seed) for seed, shift in enumerate((-100, 90, -90, 120))]
    found = verdicts.accuracy("a is better", steady, base, "higher")
    assert found.verdict == "confirmed"
    assert found.estimate.value == pytest.approx(0.005)
    assert "4 seeds" in str(found)
    assert verdicts.accuracy("a is better", noisy, base, "higher").verdict == OPEN
    assert verdicts.accuracy("a is better", base, steady, "higher").verdict == "contradicted"


def test_runs_of_other_seeds_are_not_compared() -> None:
    with pytest.raises(RunError, match=r"seeds \[0\] and \[1\]"):
        verdicts.accuracy("x", made_up_run(right(9)), made_up_run(right(9), seed=1), "higher")


def test_the_gap_and_the_fit_come_from_train_and_test_accuracy() -> None:
    overfitted, regularised = made_up_run(right(8000), train=0.95), made_up_run(right(7800), train=0.80)
    assert verdicts.gap_of(overfitted) == pytest.approx(0.15)
    assert verdicts.gap("smaller", regularised, overfitted, "lower").verdict == "confirmed"
    assert verdicts.gap("smaller", overfitted, regularised, "lower").verdict == "contradicted"
    assert verdicts.fit("worse", regularised, overfitted, "lower").verdict == "confirmed"
    alike = made_up_run(right(8000), train=0.951)
    assert verdicts.gap("smaller", alike, overfitted, "lower").verdict == OPEN
    strong = made_up_run(right(7800), train=0.80, name="mnist-l2")
    assert list(verdicts.gap_table([overfitted, [strong]])["gap (points)"]) == ["15.00", "2.00"]


def test_a_conclusion_stands_or_falls_with_its_parts() -> None:
    def part(low: float, high: float) -> Finding:
        return Finding("it is so", "higher", Estimate(0.0, low, high, "made up"), "")

    yes, no, maybe = part(1, 2), part(-2, -1), part(-1, 1)
    assert verdicts.conclude("all", yes, yes).verdict == "confirmed"
    assert verdicts.conclude("all", yes, maybe).verdict == OPEN
    assert verdicts.conclude("all", yes, maybe, no).verdict == "contradicted"
    assert "It is so: *confirmed*" in verdicts.conclude("all", yes, yes)._repr_markdown_()
    with pytest.raises(RunError, match="rests on nothing"):
        verdicts.conclude("nothing")


def test_the_penalty_cost_is_a_difference_of_differences_on_the_same_images() -> None:
    small = made_up_run(right(7000)), made_up_run(right(6500))
    large = made_up_run(right(8000)), made_up_run(right(7950))
    found = verdicts.penalty_cost("more", small, large, "higher")
    assert found.estimate.value == pytest.approx(0.045)
    assert found.verdict == "confirmed"
    assert verdicts.penalty_cost("more", large, small, "higher").verdict == "contradicted"
    assert verdicts.penalty_cost("more", small, small, "higher").verdict == OPEN


def test_confusions_of_two_classes_are_compared_on_their_images_only() -> None:
    labels = torch.arange(10000) % 10
    clean = made_up_run(torch.ones(10000, dtype=torch.bool))
    confused = made_up_run(~((labels == 3) & (right(5000))))  # half of the threes are taken for fours
    found = verdicts.confusion("more", confused, clean, (3, 4), "higher")
    assert found.verdict == "confirmed"
    assert found.estimate.value == pytest.approx(500 / 2000)
    assert "Of 2000 test images" in str(found)
    assert verdicts.confusion("more", confused, clean, (3, 7), "higher").estimate.value == 0


def test_weights_of_one_layer_are_compared_by_offset_and_spread() -> None:
    generator = torch.Generator().manual_seed(0)

    def run_with(mean: float, std: float) -> Run:
        run = made_up_run(right(9))
        run.__dict__["final_weights"] = {"fc3.weight": mean + std * torch.randn(10, 256, generator=generator)}
        return run

    leaning, centred, wide = run_with(-0.05, 0.1), run_with(0.0, 0.1), run_with(0.0, 0.2)
    assert verdicts.weights("centred", centred, leaning, "fc3.weight", "offset", "lower").verdict == "confirmed"
    assert verdicts.weights("centred", leaning, centred, "fc3.weight", "offset", "lower").verdict == "contradicted"
    assert verdicts.weights("same", leaning, centred, "fc3.weight", "spread", "same").verdict == "confirmed"
    assert verdicts.weights("same", wide, centred, "fc3.weight", "spread", "same").verdict == "contradicted"
    with pytest.raises(RunError, match="unknown statistic 'median'"):
        verdicts.weights("x", wide, wide, "fc3.weight", "median", "same")
    with pytest.raises(RunError, match=r"no parameter 'fc9\.weight'"):
        verdicts.weights("x", wide, wide, "fc9.weight", "spread", "same")


def test_smoothness_compares_the_maps_of_two_networks(trained_run: Run, trained_run_l2: Run) -> None:
    same = verdicts.smoothness("smoother", trained_run, trained_run, "conv2", "higher", images=20)
    assert same.estimate.value == 0
    assert same.verdict == OPEN
    assert -1 < verdicts.smoothness("x", trained_run, trained_run_l2, "conv1", "same", images=20).estimate.value < 1


def test_smooth_maps_have_alike_neighbours_and_specks_do_not() -> None:
    ramp = torch.arange(16.0).repeat(16, 1)
    specks = torch.zeros(16, 16)
    specks[::4, ::4] = 1
    smooth, rough, blank = analysis.neighbour_correlation(torch.stack([ramp, specks, torch.zeros(16, 16)])[:, None])
    assert smooth > 0.8
    assert rough < 0.1
    assert blank == 0


@pytest.mark.parametrize(
    ("degrees", "level", "expected"),
    # Table 26.10 of Abramowitz and Stegun (1964)
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (4, 0.95, 2.776), (9, 0.95, 2.262), (4, 0.99, 4.604), (120, 0.95, 1.980)],
)
def test_t_quantiles_are_those_of_the_tables(degrees: int, level: float, expected: float) -> None:
    assert verdicts.t_quantile(degrees, level) == pytest.approx(expected, abs=0.0006)


def test_t_intervals_hold_the_mean_and_widen_with_the_spread() -> None:
    estimate = verdicts.over_seeds([0.01, 0.02, 0.03])
    margin = 4.3027 * 0.01 / math.sqrt(3)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (0.02, 0.02 - margin, 0.02 + margin), abs=1e-6
    )
    for values in ([], [0.1]):
        with pytest.raises(RunError, match="no spread"):
            verdicts.over_seeds(values)
    with pytest.raises(RunError, match="t quantile"):
        verdicts.t_quantile(0)


def test_intervals_of_independent_estimates_add_like_right_angles() -> None:
    assert verdicts.difference_interval(5, (2, 8), 1, (-3, 5)) == (-1, 9)


def test_the_seeds_are_named(trained_run: Run) -> None:
    assert "with seed 0" in verdicts.seeds_summary(trained_run).data
    several = verdicts.seeds_summary([made_up_run(right(9, of=10), seed=seed) for seed in (4, 5)]).data
    assert "seeds 4 to 5" in several
    assert "0.9000, 0.9000 (mean 0.9000)" in several


def test_model_layers_of_the_claims_exist() -> None:
    names = dict(models.build(named_experiment("cifar10-selu")).named_parameters())
    assert {"conv1.weight", "fc3.weight"} <= set(names)
