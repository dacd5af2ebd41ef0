"""Verdicts follow from the numbers: synthetic recipes whose truth is known get the statement that is true."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import made_up_run, right

from hwkit import analysis, models
from hwkit.chapters import average_pooling
from hwkit.errors import RunError, StatisticsError
from hwkit.experiment import named_experiment
from hwkit.findings import figures, verdicts
from hwkit.findings.verdicts import VERDICTS_MIME, Claim, Finding
from hwkit.report.build import standard_notebooks
from hwkit.report.execute import read_notebook
from hwkit.runs import Run
from hwkit.statistics import Interval, OnePair

ROOT = Path(__file__).parents[2]
# All but the chapter on training length, which describes how far the claims of the others reach.
DISCUSSION = [path for path in standard_notebooks(ROOT / "notebooks") if "03" < path.name < "13"]
HIGHER, LOWER = Claim("a is better", "higher"), Claim("a is worse", "lower")
SAME = Claim("both are alike", "same", 0.01, "it is a test")


@pytest.fixture(autouse=True)
def _known_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up runs say themselves which training images they classify correctly."""
    monkeypatch.setattr(analysis, "train_correct", lambda run: run.__dict__["made_up_train"])


def recipe(
    accuracy: float,
    seeds: int = 5,
    *,
    train: float = 0.9,
    spread: float = 0.004,
    name: str = "mnist",
    images: int = 10000,
) -> list[Run]:
    """Runs of a recipe of known accuracy on test and training images, which varies from seed to seed.

    Recipes are drawn on the same images, of which some are easy and some are hard.
    """
    random = np.random.default_rng(round(1e6 * accuracy + 1e3 * train) + len(name))
    ease = np.random.default_rng(0).uniform(-0.1, 0.1, images)
    runs = []
    for seed in range(seeds):
        right, known = (
            torch.from_numpy(random.random(images) < chance + ease + random.normal(0, spread))
            for chance in (accuracy, train)
        )
        runs.append(made_up_run(right, train=known, seed=seed, name=name))
    return runs


# --- Known truth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("claim", "a", "b", "verdict"),
    [
        (LOWER, 0.75, 0.80, "supported"),
        (LOWER, 0.80, 0.75, "opposite"),
        (HIGHER, 0.80, 0.75, "supported"),
        (HIGHER, 0.75, 0.80, "opposite"),
        (Claim("both are alike", "same", 0.03, "it is a test"), 0.801, 0.80, "the same"),
        (SAME, 0.70, 0.80, "opposite"),
    ],
)
def test_the_true_statement_is_made(claim: Claim, a: float, b: float, verdict: str, seeds: int) -> None:
    finding = verdicts.accuracy(claim, recipe(a, seeds), recipe(b, seeds))
    assert finding.verdict == verdict
    assert finding.estimate.low < a - b < finding.estimate.high
    assert f"({seeds} seeds, 3 epochs of Adam)" in finding.headline
    assert f"{verdict.capitalize()}" in str(finding)


@pytest.mark.parametrize("claim", [LOWER, HIGHER, SAME])
def test_a_difference_within_the_noise_is_open(claim: Claim) -> None:
    finding = verdicts.accuracy(claim, recipe(0.808, 3, spread=0.01), recipe(0.80, 3, spread=0.01))
    assert finding.verdict == "open"
    if claim is not SAME:
        farther = 100 * max(abs(finding.estimate.low), abs(finding.estimate.high))
        assert f"a difference of more than {farther:.2f} points either way is excluded" in str(finding)
        assert re.search(r"to see half of it would take (about \d+ seeds|more test images)", str(finding))


def test_one_seed_gives_a_statement_on_one_pair_and_no_verdict() -> None:
    (a,), (b,) = recipe(0.75, 1), recipe(0.80, 1)
    finding = verdicts.accuracy(LOWER, a, b)
    assert finding.verdict == "one pair"
    assert finding.p_value is None
    assert "One pair of networks (one seed, 3 epochs of Adam)" in str(finding)
    assert "sampling of the images alone gives" in str(finding)
    bearable = 100 * finding.estimate.robustness
    assert (
        f"It would hold for seeds if the standard deviation of a recipe over them is below {bearable:.2f} points"
        in str(finding)
    )
    for word in ("upported", "pposite", "interval"):
        assert word not in str(finding)


def test_a_pair_that_the_choice_of_images_explains_says_so() -> None:
    finding = verdicts.accuracy(HIGHER, made_up_run(right(9001)), made_up_run(right(9000).flip(0)))
    assert "The choice of the images alone can explain it" in str(finding)


@pytest.mark.parametrize("find", [verdicts.accuracy, verdicts.fit, verdicts.gap])
def test_two_seeds_are_refused(find: object) -> None:
    with pytest.raises(StatisticsError, match="needs three seeds or more, not 2"):
        find(LOWER, recipe(0.75, 2), recipe(0.80, 2))


def test_equal_recipes_are_called_different_in_at_most_five_percent() -> None:
    random = np.random.default_rng(0)
    decided = 0
    for _ in range(100):
        sides = [[made_up_run(torch.from_numpy(random.random(300) < 0.8), seed=s) for s in range(3)] for _ in range(2)]
        decided += verdicts.accuracy(HIGHER, *sides).verdict != "open"
    assert decided / 100 < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 100)


# --- What is measured -------------------------------------------------------------------------------------------


def test_the_difference_is_that_of_the_accuracies_seed_by_seed() -> None:
    a, b = recipe(0.75), recipe(0.80)
    finding = verdicts.accuracy(LOWER, a, b)
    differences = [x.test_accuracy - y.test_accuracy for x, y in zip(a, b, strict=True)]
    assert finding.estimate.value == pytest.approx(np.mean(differences))
    mean = 100 * np.mean([run.test_accuracy for run in a])
    spread = 100 * np.std([run.test_accuracy for run in a], ddof=1)
    compared = f"Of the test images `mnist` classifies {mean:.2f} % (± {spread:.2f} points over seeds) correctly"
    assert finding.evidence.startswith(compared)


def test_only_a_primary_claim_tells_what_was_compared() -> None:
    a, b = recipe(0.75), recipe(0.80)
    primary = verdicts.accuracy(Claim("a is worse", "lower", primary=True), a, b)
    other = verdicts.accuracy(LOWER, a, b)
    assert primary.evidence in str(primary)
    assert "run-to-run standard deviation" in str(primary)
    assert other.evidence not in str(other)
    for finding in (primary, other):  # the difference, its interval and the scope of the verdict, in any case
        assert f"a difference of {finding.number(finding.estimate.value)} (95 % interval " in str(finding).lower()
        assert finding.headline in str(finding)


def test_runs_of_other_seeds_or_images_are_not_compared() -> None:
    with pytest.raises(RunError, match=r"seeds \[0\] and \[1\]"):
        verdicts.accuracy(HIGHER, made_up_run(right(9)), made_up_run(right(9), seed=1))
    with pytest.raises(RunError, match="different copies"):
        verdicts.accuracy(HIGHER, made_up_run(right(9)), made_up_run(right(9, of=900)))


def test_gap_and_fit_come_from_all_training_images() -> None:
    overfitted, regularised = recipe(0.80, train=0.89), recipe(0.78, train=0.80, name="mnist-l2")
    smaller, larger = verdicts.gap(LOWER, regularised, overfitted), verdicts.gap(LOWER, overfitted, regularised)
    assert (smaller.verdict, larger.verdict) == ("supported", "opposite")
    assert smaller.estimate.low < (0.80 - 0.78) - (0.89 - 0.80) < smaller.estimate.high
    assert verdicts.fit(LOWER, regularised, overfitted).verdict == "supported"
    assert verdicts.gap(LOWER, overfitted[0], overfitted[0]).estimate.value == 0
    table = verdicts.gap_table([overfitted, regularised])
    assert list(table.index) == ["mnist", "mnist-l2"]
    assert table.loc["mnist", "seeds"] == "5"
    assert float(table.loc["mnist", "gap (points)"]) == pytest.approx(9, abs=1)
    assert "of the images alone" in verdicts.gap_table([overfitted[0]])
    assert "95 % interval" not in verdicts.gap_table([overfitted[0]])


def test_the_penalty_cost_is_a_difference_of_differences() -> None:
    small = recipe(0.70), recipe(0.60, name="mnist-l2")
    large = recipe(0.80), recipe(0.79, name="mnist-l2")
    found = verdicts.penalty_cost(HIGHER, small, large)
    assert found.verdict == "supported"
    assert found.estimate.low < 0.09 < found.estimate.high
    assert verdicts.penalty_cost(HIGHER, large, small).verdict == "opposite"
    one = verdicts.penalty_cost(HIGHER, *([run[0] for run in side] for side in (small, large)))
    assert one.estimate.runs == 4


def test_confusions_of_two_classes_are_compared_on_their_images_only() -> None:
    labels = torch.arange(10000) % 10
    clean = [made_up_run(torch.ones(10000, dtype=torch.bool), seed=seed) for seed in range(3)]
    confused = [made_up_run(~((labels == 3) & right(5000 + seed)), seed=seed) for seed in range(3)]  # half the threes
    found = verdicts.confusion(HIGHER, confused, clean, (3, 4))
    assert found.verdict == "supported"
    assert found.estimate.value == pytest.approx(500 / 2000)
    assert found.evidence.startswith("Of 2000 test images")
    nothing = verdicts.confusion(HIGHER, confused, clean, (3, 7))
    assert (nothing.estimate.value, nothing.verdict) == (0, "open")
    assert "do not differ in anything" in str(nothing)


def test_a_confusion_that_happens_once_is_no_finding() -> None:
    labels = torch.arange(10000) % 10
    once = [made_up_run(~((labels == 3) & right(4)), seed=seed) for seed in range(3)]
    never = [made_up_run(torch.ones(10000, dtype=torch.bool), seed=seed) for seed in range(3)]
    assert verdicts.confusion(HIGHER, once, never, (3, 4)).verdict == "open"


def test_weights_of_one_network_are_exact_and_have_no_interval() -> None:
    generator = torch.Generator().manual_seed(0)

    def with_weights(mean: float, std: float, seeds: int = 3) -> list[Run]:
        runs = [made_up_run(right(9), seed=seed) for seed in range(seeds)]
        for run in runs:
            values = mean + std * torch.randn(10, 256, generator=generator)
            run.__dict__["final_weights"] = {"fc3.weight": values}
        return runs

    leaning, centred, wide = with_weights(-0.05, 0.1), with_weights(0.0, 0.1), with_weights(0.0, 0.2)
    alike = Claim("alike", "same", 0.1, "it is a test")
    assert verdicts.weights(LOWER, centred, leaning, "fc3.weight", "offset").verdict == "supported"
    assert verdicts.weights(LOWER, leaning, centred, "fc3.weight", "offset").verdict == "opposite"
    assert verdicts.weights(alike, leaning, centred, "fc3.weight", "spread").verdict == "the same"
    assert verdicts.weights(alike, wide, centred, "fc3.weight", "spread").verdict == "opposite"
    one = verdicts.weights(LOWER, centred[0], leaning[0], "fc3.weight", "offset")
    assert one.estimate.low == one.estimate.high == one.estimate.value
    assert "interval" not in str(one)
    with pytest.raises(RunError, match="unknown statistic 'median'"):
        verdicts.weights(alike, wide, wide, "fc3.weight", "median")
    with pytest.raises(RunError, match=r"no parameter 'fc9\.weight'"):
        verdicts.weights(alike, wide, wide, "fc9.weight", "spread")


def test_smoothness_is_one_number_for_each_network(trained_run: Run, trained_run_l2: Run) -> None:
    found = average_pooling.finding(HIGHER, trained_run, trained_run_l2, "conv1")
    shown = average_pooling.neighbour_correlation(
        analysis.activations(trained_run, analysis.test_images(trained_run))["conv1"]
    )
    assert average_pooling.smoothness(trained_run)["conv1"] == pytest.approx(shown.mean().item())
    assert found.estimate.image_se == 0
    assert "interval" not in str(found)


def test_smooth_maps_have_alike_neighbours_and_specks_do_not() -> None:
    ramp = torch.arange(16.0).repeat(16, 1)
    specks = torch.zeros(16, 16)
    specks[::4, ::4] = 1
    maps = torch.stack([ramp, specks, torch.zeros(16, 16)])[:, None]
    smooth, rough, blank = average_pooling.neighbour_correlation(maps)
    assert smooth > 0.8
    assert rough < 0.1
    assert blank == 0


# --- Claims -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        {"expected": "better"},
        {"expected": "same"},
        {"expected": "same", "margin": 0.01},
        {"expected": "same", "margin": 0.0, "reason": "none"},
        {"expected": "higher", "margin": 0.01, "reason": "none"},
    ],
)
def test_a_claim_says_what_it_expects_and_sameness_its_margin_and_why(claim: dict[str, object]) -> None:
    with pytest.raises(RunError, match=r"unknown expectation|needs a margin above 0 and its reason"):
        Claim("x", **claim)


def test_a_claim_that_expects_nothing_tests_nothing_by_itself() -> None:
    with pytest.raises(RunError, match="expects nothing"):
        verdicts.accuracy(Claim("x"), made_up_run(right(9)), made_up_run(right(9)))


def test_a_primary_claim_says_that_it_was_fixed_before() -> None:
    assert "fixed before any of its runs are read" in Claim("x is so", "higher", primary=True)._repr_markdown_()
    assert "0.01" in SAME._repr_markdown_()
    assert "it is a test" in SAME._repr_markdown_()


@pytest.mark.parametrize("path", DISCUSSION, ids=lambda path: path.stem)
def test_every_discussion_has_one_primary_claim_before_it_trains(path: Path) -> None:
    cells = ["".join(cell["source"]) for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    (primary,) = [number for number, source in enumerate(cells) if "primary=True" in source]
    training = [number for number, source in enumerate(cells) if re.search(r"\btrain(_seeds|_grid)?\(", source)]
    assert primary < min(training)
    assert any(re.search(r"\(claim, ", source) for source in cells[max(training) :])


# --- Conclusions ------------------------------------------------------------------------------------------------


def part(low: float, high: float, claim: Claim = HIGHER) -> Finding:
    value, df = (low + high) / 2, 10
    se = (high - low) / 2 / 2.228
    estimate = Interval(value, low, high, se, df, 3, 0.01)
    return Finding(claim, estimate, "accuracy", "a", "b", (0, 1, 2), "1 epoch of Adam", "These are the numbers")


def test_a_conclusion_is_supported_if_all_parts_are() -> None:
    yes, maybe, same = part(0.01, 0.02), part(-0.01, 0.02), part(-0.001, 0.002, SAME)
    assert verdicts.conclude(Claim("all"), yes, yes, same).verdict == "supported"
    assert verdicts.conclude(Claim("all"), yes, maybe).verdict == "open"
    assert "A is better: *supported*" in verdicts.conclude(Claim("all"), yes)._repr_mimebundle_()["text/markdown"]
    with pytest.raises(RunError, match="rests on nothing"):
        verdicts.conclude(Claim("nothing"))


def test_opposite_needs_a_part_at_a_level_that_is_divided_among_the_parts() -> None:
    yes, no, just = part(0.01, 0.02), part(-0.03, -0.02), part(-0.0201, -0.0001)
    assert just.verdict == "opposite"
    assert verdicts.conclude(Claim("all"), just).verdict == "opposite"
    assert verdicts.conclude(Claim("all"), yes, just).verdict == "open"
    assert verdicts.conclude(Claim("all"), yes, no).verdict == "opposite"


def test_a_conclusion_shows_the_numbers_of_the_part_that_decides() -> None:
    sure, unsure, no = part(0.01, 0.02), part(0.001, 0.04), part(-0.03, -0.02)
    assert verdicts.conclude(Claim("all"), sure, unsure).row["high"] == 0.04
    assert verdicts.conclude(Claim("all"), sure, no, unsure).row["high"] == -0.02
    row = verdicts.conclude(Claim("all", primary=True, reference="so"), sure, unsure).row
    assert (row["claim"], row["primary"], row["reference"]) == ("all", True, "so")


def test_a_conclusion_from_pairs_is_no_verdict() -> None:
    alone = Finding(
        HIGHER, OnePair(0.02, 0.001), "accuracy", "a", "b", (0,), "1 epoch of Adam", "These are the numbers"
    )
    assert verdicts.conclude(Claim("all"), alone, alone).verdict == "one pair"
    assert verdicts.conclude(Claim("all"), alone, alone).p_value is None


# --- What is carried along --------------------------------------------------------------------------------------


def test_a_finding_carries_the_numbers_of_its_sentence() -> None:
    finding = verdicts.accuracy(LOWER, recipe(0.75), recipe(0.80))
    bundle = finding._repr_mimebundle_()
    (row,) = bundle[VERDICTS_MIME]
    assert json.loads(json.dumps(row)) == row
    assert row["verdict"] == "supported"
    assert f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f} points".replace("-", "−") in bundle["text/markdown"]
    assert (row["seeds"], row["schedule"]) == ("0 1 2 3 4", "3 epochs of Adam")
    assert row["p_value"] < 0.05


def test_the_p_value_is_five_percent_where_an_end_of_the_interval_decides() -> None:
    assert part(0.0, 0.02).p_value == pytest.approx(0.05, rel=1e-3)
    assert part(-0.004, 0.01, SAME).p_value == pytest.approx(0.05, rel=1e-3)
    assert part(0.01, 0.03, SAME).p_value == pytest.approx(0.05, rel=1e-3)
    assert part(0.004, 0.012, SAME).p_value > 0.05


def test_holm_is_over_the_primary_claims_that_have_a_verdict() -> None:
    def row(p: float | None, primary: bool = True) -> dict[str, object]:
        return {
            **part(0.01, 0.02).row,
            "primary": primary,
            "p_value": p,
            "verdict": "open" if p is None else "supported",
        }

    found = verdicts.adjusted([row(0.01), row(0.04), row(0.001, primary=False), row(None)])
    assert [one["p_holm"] for one in found] == [pytest.approx(0.02), pytest.approx(0.04), None, None]
    found = verdicts.adjusted([row(0.04), row(0.03)])
    table = verdicts.summary_table(found)
    assert list(table["p (Holm)"]) == ["0.060", "0.060"]
    assert all("on its own; open after Holm" in verdict for verdict in table["verdict"])


def test_the_summary_lists_and_draws_the_claims() -> None:
    alone = Finding(
        HIGHER, OnePair(0.02, 0.001), "accuracy", "a", "b", (0,), "1 epoch of Adam", "These are the numbers"
    )
    found = [part(0.01, 0.02), part(-0.001, 0.002, SAME), alone]
    rows = verdicts.adjusted([{**one.row, "primary": True} for one in found])
    table = verdicts.summary_table(rows)
    assert list(table["verdict"]) == ["supported", "the same", "one pair"]
    assert list(table["95 % interval"]) == ["+1.00 to +2.00", "−0.10 to +0.20", "+1.80 to +2.20 (images)"]
    assert table["scope"].iloc[0] == "3 seeds, 1 epoch of Adam"
    assert set(rows[0]) | {"chapter"} == set(verdicts.COLUMNS)
    figure = figures.forest(rows)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "a is better",
        "both are alike",
        "a is better",
    ]
    with pytest.raises(RunError, match="no claim to show"):
        figures.forest([])


def test_a_schedule_on_a_part_of_the_images_says_so() -> None:
    assert verdicts.schedule_of([named_experiment("mnist", "smoke")]) == "2 epochs of Adam on 2000 images"
    assert verdicts.schedule_of([named_experiment("mnist", "quick")]) == "2 epochs of Adam"


def test_model_layers_of_the_claims_exist() -> None:
    names = dict(models.build(named_experiment("cifar10-selu")).named_parameters())
    assert {"conv1.weight", "fc3.weight"} <= set(names)
