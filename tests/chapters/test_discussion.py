"""What the discussion chapters measure, on networks and runs of which the answer is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import made_up_run, right
from networks import IMAGES, LAYERS, build
from torch import nn

from hwkit import analysis, data
from hwkit.chapters import augmentation, average_pooling, comparison, selu, smaller_filters
from hwkit.chapters.smaller_filters import receptive_fields
from hwkit.engine import code
from hwkit.errors import RunError
from hwkit.findings.verdicts import Claim
from hwkit.models import CifarCNN, MnistCNN
from hwkit.report.execute import read_notebook
from hwkit.report.planning import planned_trainings
from hwkit.runs import Run

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
HIGHER, LOWER = Claim("a is more", "higher"), Claim("a is less", "lower")


# --- Receptive fields -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_each_layer_of_the_report_s_network_sees_what_arithmetic_says(kernel: int) -> None:
    fields = receptive_fields(MnistCNN(kernel_size=kernel), (1, 28, 28))
    assert fields["conv1"].size == (kernel, kernel)
    second = kernel + 1 + 2 * (kernel - 1)  # pooling adds a pixel, and then each step spans two
    assert fields["conv2"].size == (second, second)
    assert fields["fc1"].size == fields["fc2"].size == (28, 28)


def test_pooling_does_not_change_what_a_unit_sees() -> None:
    largest, mean = (receptive_fields(CifarCNN(pooling=pooling), (3, 32, 32)) for pooling in ("max", "average"))
    assert largest == mean


def test_strides_dilation_and_kernels_that_are_not_square_are_seen() -> None:
    strided = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Conv2d(2, 2, 3, dilation=2))
    assert str(receptive_fields(strided, (1, 40, 40))["2"]) == "11×11"
    assert receptive_fields(nn.Sequential(nn.Conv2d(1, 2, (1, 5))), (1, 20, 20))["0"].size == (1, 5)


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("network", LAYERS)
def test_fields_are_found_in_any_network(network: str, images: str) -> None:
    shape, _ = IMAGES[images]
    model = build(network, images)
    fields = receptive_fields(model, shape)
    assert ", ".join(fields) == LAYERS[network]
    sizes = [math.prod(field.size) for field in fields.values()]
    assert sizes == sorted(sizes)  # a later layer sees what an earlier one does, and more
    assert sizes[-1] <= math.prod(shape[1:])
    assert not any(parameter.isnan().any() or parameter.dtype != torch.float32 for parameter in model.parameters())


# --- Mistakes ---------------------------------------------------------------------------------------------------


def missing(*images: int, seed: int = 0, name: str = "mnist", of: int = 1000) -> Run:
    """A run that misclassifies these images of so many."""
    correct = torch.ones(of, dtype=torch.bool)
    correct[list(images)] = False
    return made_up_run(correct, seed=seed, name=name)


def test_a_mistake_is_simple_if_most_jurors_make_none() -> None:
    jury = [[missing(0, 1), missing(0, 2), missing(0, 3)]]
    assert (~smaller_filters.simple_images(jury)).nonzero().flatten().tolist() == [0]
    several = [missing(0, *range(10, 40), seed=seed, name="mnist-3x3") for seed in range(3)]
    few = [missing(0, 1, seed=seed, name="mnist-l2") for seed in range(3)]
    finding = smaller_filters.simple_mistakes(HIGHER, several, few, jury)
    assert finding.verdict == "supported"
    assert finding.estimate.value == pytest.approx((30 - 1) / 1000)
    assert "misclassifies 30 (30, 30, 30) and `mnist-l2` 1 (1, 1, 1)" in finding.evidence
    assert smaller_filters.simple_mistakes(HIGHER, several[0], few[0], jury).verdict == "one pair"
    table = smaller_filters.mistake_table([several, few], jury, 3, 4)
    assert table.loc["mnist-3x3", "all mistakes"] == "31 (31, 31, 31)"
    assert table.loc["mnist-3x3", "simple"] == "30 (30, 30, 30)"
    names = analysis.class_names(few[0])
    assert table.loc["mnist-3x3", f"{names[3]} taken for {names[4]}"] == "3 (3, 3, 3)"


def test_mistakes_are_exchanged_and_their_balance_is_the_difference() -> None:
    a, b = missing(0, 1, 2, name="mnist-l2"), missing(2, 3, name="mnist-3x3")
    text = smaller_filters.exchange_summary(a, b).data
    assert "`mnist-3x3` alone misclassifies 1 image and `mnist-l2` alone 2, against 1 that both miss:" in text
    assert "+0.10 points" in text
    assert "0.3 %" in text


def test_of_several_seeds_those_images_are_shown_that_most_of_them_miss() -> None:
    runs = [missing(5, 6, seed=0), missing(5, seed=1), missing(6, 7, seed=2)]
    others = [missing(seed=0), missing(seed=1), missing(6, seed=2)]
    found = comparison.misclassified_in_most(runs, others)
    assert found["index"].tolist() == [5]  # 6 in one seed alone: in the other, both miss it
    assert found["seeds"].tolist() == [2]
    assert comparison.misclassified_in_most(runs[:1], others[:1])["index"].tolist() == [5, 6]


# --- Accuracies -------------------------------------------------------------------------------------------------


def test_dots_are_all_seeds_and_bars_their_means() -> None:
    figure = comparison.seed_dots([[0.8, 0.82, 0.84], [0.7, 0.7, 0.7]], ["new", "old"], "test accuracy")
    bars, dots = figure.axes[0].get_lines()[::2], figure.axes[0].get_lines()[1::2]
    assert [list(line.get_xdata()) for line in dots] == [[0.8, 0.82, 0.84], [0.7, 0.7, 0.7]]
    assert [line.get_xdata()[0] for line in bars] == pytest.approx([0.82, 0.7])
    assert "new 82.0 %; old 70.0 %" in figure.alt


def test_the_order_of_accuracies_says_which_seeds_overlap() -> None:
    good, fair, poor = (
        [made_up_run(right(count), seed=seed) for seed, count in enumerate(counts)]
        for counts in ((9000, 9100), (8000, 8200), (8100, 7900))
    )
    text = comparison.order_summary([poor, good, fair], ["C", "A", "B"]).data
    assert text.startswith("From the most accurate to the least: A (90.5 %), B (81.0 %), C (80.0 %).")
    assert text.endswith("Every seed of A is above every seed of B; the seeds of B and C overlap.")
    single = comparison.order_summary([poor[0], good[0]], ["C", "A"]).data
    assert single == "From the most accurate to the least: A (90.0 %), C (81.0 %)."


# --- The course of training and the layers ----------------------------------------------------------------------


def trained(counts: dict[int, int], *, seed: int = 0, name: str = "cifar10-l2") -> Run:
    """A run that classifies so many of the images correctly after each of these iterations."""
    run = made_up_run(right(counts[max(counts)]), seed=seed, name=name)
    run.__dict__["predicted_at"] = {
        moment: torch.where(right(count), run.labels, (run.labels + 1) % 10) for moment, count in counts.items()
    }
    run.__dict__["record"] = pd.DataFrame({"epoch": np.arange(5) / 4, "test_accuracy": 0.8, "train_accuracy": 0.8})
    return run


def test_the_difference_is_followed_over_training() -> None:
    tested = [trained({390: 6000, 780: 8000 - 10 * seed}, seed=seed, name="cifar10-selu") for seed in range(3)]
    base = [trained({390: 5000, 780: 8500, 1000: 0}, seed=seed) for seed in range(3)]
    for run in base:
        run.__dict__["predicted_at"].pop(1000)
    table = selu.difference_over_training(tested, base)
    assert table["iteration"].tolist() == [390, 780]
    assert table["epoch"].tolist() == pytest.approx([1, 2], abs=0.01)
    assert table["value"].tolist() == pytest.approx([0.1, -0.051])
    assert (table["low"] < table["value"]).all()
    assert table["seed 2"].tolist() == pytest.approx([0.1, -0.052])
    text = selu.course_summary(tested, base, "SELU", "ReLU").data
    assert "After 1 epoch, SELU leads by 10.00 points; at the end, after 2, ReLU leads by 5.10 points." in text
    assert "above zero at 1 and below it at 1, and includes it at 0" in text
    figure = selu.course(tested, base, "SELU − ReLU")
    assert "SELU − ReLU in test accuracy over training: +10.00 points" in figure.alt


def test_one_evaluation_at_the_end_tells_no_course() -> None:
    tested, base = trained({780: 8000}, name="cifar10-selu"), trained({780: 8500})
    text = selu.course_summary(tested, base, "SELU", "ReLU").data
    assert "at the end only, where ReLU leads by 5.00 points" in text


def weighted(initial: dict[str, torch.Tensor], final: dict[str, torch.Tensor]) -> Run:
    run = made_up_run(right(9))
    run.__dict__["initial_weights"], run.__dict__["final_weights"] = initial, final
    return run


def test_the_distance_of_a_layer_is_in_norms_of_its_initial_weights() -> None:
    start = torch.tensor([[1.0, -1.0, 3.0], [1.0, -1.0, -3.0]])
    names = ("conv1.weight", "fc3.weight")
    initial = {**dict.fromkeys(names, start), "fc3.bias": torch.ones(3)}
    kept = weighted(initial, {**initial, "fc3.weight": 2 * start})
    numbers = selu.layer_numbers(kept)
    assert list(numbers.index) == list(names)
    assert numbers["distance"].tolist() == pytest.approx([0, 1])
    assert numbers["cosine"].tolist() == pytest.approx([1, 1])
    moved = weighted(initial, {**initial, "conv1.weight": -start, "fc3.weight": 2 * start})
    text = selu.layers_summary([kept, moved], ["ReLU", "SELU"]).data
    assert "with ReLU, `conv1.weight` moves least (0.00) and `fc3.weight` most (1.00)" in text
    assert "with SELU, `fc3.weight` moves least (1.00) and `conv1.weight` most (2.00)" in text
    assert "`conv1.weight` has turned by 0° under ReLU and by 180° under SELU" in text


# --- Pooling and augmentation -----------------------------------------------------------------------------------


def test_smoothness_says_where_the_second_recipe_is_smoother(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"mnist": {"conv1": 0.5, "conv2": 0.2}, "mnist-l2": {"conv1": 0.4, "conv2": 0.3}}
    monkeypatch.setattr(average_pooling, "smoothness", lambda run: known[run.name])
    groups, titles = [[missing()], [missing(name="mnist-l2")]], ["max", "average"]
    text = average_pooling.smoothness_summary(groups, titles).data
    assert "agree more with average than with max in `conv2`." in text
    assert "0.400 against 0.500" in text
    assert average_pooling.smoothness_table(groups, titles).loc["max", "conv1"] == "0.500"
    assert average_pooling.finding(HIGHER, groups[1], groups[0], "conv1").estimate.value == pytest.approx(-0.1)


def test_two_changes_are_told_apart() -> None:
    runs = [made_up_run(right(count)) for count in (8200, 8040, 8170)]
    text = average_pooling.parts_summary(*runs).data
    assert "−0.30 points between first and last has two parts, −1.60 points with the pooling and +1.30 points" in text
    assert "opposite directions" in text
    assert "the same way" in average_pooling.parts_summary(runs[1], runs[2], runs[0]).data


def test_test_images_are_changed_as_training_images_are() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(augmentation.changed(augmentation.changed(images, "mirrored"), "mirrored"), images)
    gray = augmentation.changed(images, "gray")
    assert torch.equal(gray[:, :1].expand_as(gray), gray)
    assert torch.equal(augmentation.changed(images, "as they are"), images)


def test_a_network_is_tested_on_changed_images(cifar_run: Run) -> None:
    table = augmentation.correct_table([cifar_run], ["both"])
    by_change = table.set_index("change")["correct"]
    assert by_change["as they are"].tolist() == analysis.correct(cifar_run).double().tolist()
    inputs = data.normalise(analysis.test_images(cifar_run)[:50].flip(-1), "cifar10")
    with torch.inference_mode():
        predicted = cifar_run.model()(inputs).argmax(dim=1)
    agreement = (by_change["mirrored"][:50] == (predicted == cifar_run.labels[:50]).double().numpy()).mean()
    assert agreement > 0.9  # of the last digits of logits that are nearly alike, each machine has its own
    figure = augmentation.changes_figure(table)
    assert [len(ax.get_lines()) for ax in figure.axes] == [2, 2, 2]


def known_table(lost: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Three seeds of each training, which classify 8000 images correctly and lose so many if mirrored and if gray."""
    rows: list[dict[str, Any]] = []
    for title, (mirrored, gray) in lost.items():
        for seed in range(3):
            counts = {"as they are": 8000, "mirrored": 8000 - mirrored, "gray": 8000 - gray - 10 * seed}
            run = made_up_run(right(8000), seed=seed, name="cifar10")
            rows += [
                {"training": title, "run": run, "change": change, "correct": right(count).double().numpy()}
                for change, count in counts.items()
            ]
    return pd.DataFrame(rows)


def test_what_a_change_costs_is_compared_between_trainings() -> None:
    table = known_table({"both": (100, 200), "neither": (400, 1000)})
    finding = augmentation.robustness(LOWER, table, "both", "neither", "gray")
    assert finding.verdict == "supported"
    assert finding.estimate.value == pytest.approx(-0.08)
    assert (
        "Graying all test images costs the network trained with both 2.10 ± 0.10 points, with neither"
        in finding.evidence
    )
    losses = augmentation.loss_table(table)
    assert losses.loc["neither", "as they are"].startswith("80.0 %")
    assert losses.loc["neither", "lost if mirrored (points)"] == "4.00 ± 0.00"
    text = augmentation.changes_summary(table).data
    assert (
        "costs most after training with neither, 4.00 points, and least after training with both, 1.00 points" in text
    )


@pytest.mark.parametrize(
    ("notebook", "more"),
    [
        ("06_average_pooling", ["cifar10-avgpool[kernel_size=3]"]),
        ("08_augmentation", ["cifar10[flip_only]", "cifar10[gray_only]"]),
    ],
)
def test_the_default_profile_leaves_out_what_tells_two_changes_apart(notebook: str, more: list[str]) -> None:
    content = read_notebook(NOTEBOOKS / f"{notebook}.ipynb")
    options = {"data": "stand-in", "device": "cpu"}
    names = {
        profile: {one.name for one in planned_trainings(content, {"profile": profile, **options})}
        for profile in ("smoke", "quick", "full", "seed")
    }
    assert names["smoke"] == names["full"] == names["seed"]
    assert names["full"] - names["quick"] == set(more)


def test_each_half_of_the_augmentation_is_as_likely_as_in_the_whole() -> None:
    content = read_notebook(NOTEBOOKS / "08_augmentation.ipynb")
    planned = planned_trainings(content, {"profile": "smoke", "data": "stand-in"})
    identities = [one.augment for one in planned if isinstance(one.augment, str)]
    halves = {identity.partition("@")[0]: code.recall(identity) for identity in identities}
    images = torch.randint(0, 256, (4000, 3, 2, 2), dtype=torch.uint8)
    for name, probability in (("flip_only", data.FLIP_PROBABILITY), ("gray_only", data.GRAYSCALE_PROBABILITY)):
        changed = halves[name].object(images, torch.Generator().manual_seed(0))
        share = (changed != images).flatten(1).any(dim=1).double().mean().item()
        assert share == pytest.approx(probability, abs=0.03)


def test_seeds_that_differ_cannot_be_set_beside_each_other() -> None:
    with pytest.raises(RunError, match="seed by seed"):
        comparison.misclassified_by_one([missing(seed=0)], [missing(seed=1)])
