"""Figures that set a variant of a network beside the original, for several chapters of the discussion."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from hwkit import analysis, plots, theme
from hwkit.errors import RunError
from hwkit.runs import Run


@plots.themed
def accuracy_panels(runs: Sequence[Run], titles: Sequence[str] | None = None) -> Figure:
    """The accuracy curves of several runs side by side, two in a row, with one accuracy axis for all.

    Parameters
    ----------
    titles : of the panels, one per run; default the runs' names.

    Raises
    ------
    RunError
        If there is no run, or not one title per run.
    """
    runs = plots.listed(runs)
    titles = [plots.shortened(run.name, 36) for run in runs] if titles is None else list(titles)
    if len(titles) != len(runs):
        raise RunError(f"{len(runs)} runs have {len(titles)} titles; give each run one")
    figure, axes = plots.panels(len(runs), 2, height=5.5, sharey=True)
    for ax, run, title in zip(axes, runs, titles, strict=True):
        plots.draw_accuracies(ax, run)
        ax.set_title(title)
    axes[0].set_ylim(plots.lowest_accuracy(runs), 1.005)
    figure.supylabel("accuracy", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@plots.themed
def misclassified_by_one(a: Run, b: Run, count: int = 16) -> Figure:
    """The images that b alone misclassifies (above) and those that a alone does (below).

    At most `count` of each, the most confident predictions first, each under "true → predicted".

    Raises
    ------
    RunError
        If the runs were tested on different images, or count is below 1.
    """
    if count < 1:
        raise RunError(f"count must be 1 or more, not {count}")
    parts = list(zip((b, a), analysis.misclassified_by_one(a, b), strict=True))
    heights = [plots.gallery_height(a, min(count, len(found))) + 0.8 for _, found in parts]
    figure = theme.new_figure(height=sum(heights))
    places = figure.subfigures(2, 1, height_ratios=heights, squeeze=False).flatten()
    for place, (run, found) in zip(places, parts, strict=True):
        shown = "" if len(found) <= count else f", {count} of them shown"
        title = f"{len(found)} images that only {plots.shortened(run.name, 48)} misclassifies{shown}"
        place.suptitle(title, x=0.01, horizontalalignment="left", fontsize=8, fontweight="bold")
        plots.draw_gallery(place, a, found.head(count))
    return figure
