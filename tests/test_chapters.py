"""The figures and numbers of the discussion chapters."""

from __future__ import annotations

import pandas as pd
import pytest
from drawn import pictures, texts, titles
from matplotlib.colors import to_hex

from hwkit import analysis, theme
from hwkit.chapters import capacity, comparison
from hwkit.errors import RunError
from hwkit.runs import Run

GRID = pd.DataFrame(
    {
        "lambda": [0.0, 1e-3, 0.0, 1e-3],
        "width": [0.5, 0.5, 1.0, 1.0],
        "train": [0.8, 0.7, 0.9, 0.85],
        "test": [0.75, 0.7, 0.8, 0.81],
        "gap": [0.05, 0.0, 0.1, 0.04],
    }
)


def test_panels_share_the_accuracy_axis(trained_run: Run, cifar_run: Run) -> None:
    figure = comparison.accuracy_panels([trained_run, trained_run, cifar_run], ["one", "two", "three"])
    assert titles(figure) == ["one", "two", "three"]
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    with pytest.raises(RunError, match="2 runs have 1 titles"):
        comparison.accuracy_panels([trained_run, cifar_run], ["one"])


def test_changes_show_what_each_run_alone_gets_wrong(trained_run: Run, trained_run_l2: Run) -> None:
    added, removed = analysis.misclassified_by_one(trained_run, trained_run_l2)
    figure = comparison.misclassified_by_one(trained_run, trained_run_l2, count=6)
    assert len(pictures(figure)) == min(6, len(added)) + min(6, len(removed))
    headings = [part.get_suptitle() for part in figure.subfigs]
    assert headings[0].startswith(f"{len(added)} images that only mnist-l2 misclassifies")
    assert headings[1].startswith(f"{len(removed)} images that only mnist misclassifies")


def test_runs_that_do_not_differ_have_no_changes_to_show(trained_run: Run) -> None:
    figure = comparison.misclassified_by_one(trained_run, trained_run)
    figure._repr_png_()
    assert pictures(figure) == []


def test_capacity_maps_show_every_number_in_its_place() -> None:
    figure = capacity.maps(GRID)
    assert texts(figure) == [
        "80.0",
        "90.0",
        "70.0",
        "85.0",
        "75.0",
        "80.0",
        "70.0",
        "81.0",
        "5.0",
        "10.0",
        "0.0",
        "4.0",
    ]


def test_capacity_lines_are_red_for_test_and_blue_for_train() -> None:
    lines = [line for line in capacity.lines(GRID).axes[0].get_lines() if len(line.get_xdata())]
    colours = {"train": theme.TRAIN["color"], "test": theme.TEST["color"]}
    for column, colour in colours.items():
        found = {tuple(line.get_ydata()) for line in lines if to_hex(line.get_color()).upper() == colour}
        assert found == {tuple(part[column]) for _, part in GRID.groupby("lambda")}
