"""The commands that measure how training scatters and whether verdicts hold: their numbers and their page."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwkit.bench import calibration, noise
from hwkit.experiment import named_experiment
from hwkit.runs import Run


def made_up(seeds: int, *, spread: float = 0.0, images: int = 400, seed: int = 0) -> np.ndarray:
    """What the networks of a recipe classify correctly, bool (seeds, images), and how much they scatter."""
    random = np.random.default_rng(seed)
    return random.random((seeds, images)) < random.uniform(0.6, 1, images) + random.normal(0, spread, (seeds, 1))


def test_all_splits_have_two_groups_of_three_without_a_common_seed() -> None:
    found = list(calibration.splits(7))
    assert len(found) == 7 * 10  # 7 seeds to leave out, and 10 ways to halve the other six
    assert all(len({*a, *b}) == 6 for a, b in found)
    assert len({frozenset([a, b]) for a, b in found}) == len(found)


def test_a_recipe_is_rarely_called_different_from_itself_but_by_tests_that_forget_seeds() -> None:
    rates = pd.DataFrame([calibration.false_verdicts(made_up(7, spread=0.06, seed=seed)) for seed in range(12)]).mean()
    assert rates["splits"] == 70
    assert rates["verdict"] < 0.08
    assert rates["mcnemar"] > 0.2
    assert rates["mcnemar_error"] > 0


def test_a_row_of_the_noise_table_by_hand() -> None:
    correct = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    row = noise.of_experiment(named_experiment("mnist", "quick"), correct)
    assert (row["mean"], row["spread"]) == pytest.approx((0.75, 0.25))
    assert row["spread_low"] < 0.25 < row["spread_high"]
    assert row["spread_on_fresh_images"] < row["spread"]
    assert (row["experiment"], row["schedule"], row["seeds"]) == ("mnist", "2 epochs of Adam", 3)


def test_networks_that_share_their_scatter_are_correlated() -> None:
    a = made_up(5, spread=0.1)
    pair = noise.of_pair("a", "b", a, np.where(np.arange(400) < 20, 0, a))
    assert pair["correlation"] > 0.9
    assert pair["low"] < pair["difference"] < pair["high"]


def test_every_pair_is_of_experiments_of_the_report() -> None:
    for a, b in noise.PAIRS:
        assert named_experiment(a).dataset == named_experiment(b).dataset


def test_the_page_is_written_from_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def trained(experiments: list, options: argparse.Namespace) -> list[np.ndarray]:
        return [made_up(options.seeds, seed=number) for number, _ in enumerate(experiments)]

    monkeypatch.setattr(noise, "train", trained)
    monkeypatch.setattr(calibration, "LEAST_SEEDS", 7)
    assert noise.main(["mnist", "mnist-l2", "--output", str(tmp_path), "--seeds", "3"]) == 0
    assert calibration.main(["mnist", "--output", str(tmp_path), "--seeds", "7"]) == 0
    page = (tmp_path / "noise.md").read_text()
    assert page in capsys.readouterr().out
    mean = pd.read_csv(tmp_path / "noise.csv")["mean"].iloc[0]
    assert f"| mnist | 2 epochs of Adam | 3 | {100 * mean:.2f} |" in page
    assert "| mnist-l2 − mnist | quick | 3 |" in page
    assert re.search(r"\| mnist\[width=0\.25\] \| 2 epochs of Adam \| 7 \| 70 \| \d+\.\d % ± ", page)
    assert noise.main(["mnist", "--profile", "full", "--output", str(tmp_path), "--seeds", "3"]) == 0
    assert noise.main(["mnist", "--output", str(tmp_path), "--seeds", "4"]) == 0
    table = pd.read_csv(tmp_path / "noise.csv")  # rows of the same are replaced, and others stay
    assert sorted(zip(table["experiment"], table["profile"], table["seeds"], strict=True)) == [
        ("mnist", "full", 3),
        ("mnist", "quick", 4),
        ("mnist-l2", "quick", 3),
    ]


@pytest.mark.parametrize(("main", "seeds"), [(noise.main, "2"), (calibration.main, "11")])
def test_too_few_seeds_are_an_error(main: object, seeds: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["mnist", "--seeds", seeds]) == 2
    assert f"{seeds} seeds" in capsys.readouterr().err


def test_what_runs_classify_correctly_comes_seed_by_seed(trained_run: Run) -> None:
    options = argparse.Namespace(seeds=1, device="cpu")
    (correct,) = noise.train([trained_run.experiment], options)
    assert correct.shape == (1, trained_run.metrics["test_images"])
    assert correct.mean() == pytest.approx(trained_run.test_accuracy)
