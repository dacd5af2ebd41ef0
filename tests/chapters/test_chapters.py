"""The figures and numbers of the discussion chapters."""

from __future__ import annotations

import pytest
from drawn import pictures, titles

from hwkit import analysis
from hwkit.chapters import comparison
from hwkit.errors import RunError
from hwkit.runs import Run


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
