"""Figures of the report's summary: the primary claims, and the accuracies of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwkit import theme
from hwkit.datasets.sources import DATASETS
from hwkit.errors import RunError

VERDICT_COLOURS = {
    "supported": theme.RUN_COLOURS[0],
    "the same": theme.RUN_COLOURS[0],
    "opposite": theme.RUN_COLOURS[1],
    "open": theme.RUN_COLOURS[2],
    "one pair": theme.NEUTRAL,
}


def forest(rows: Sequence[dict[str, Any]]) -> Figure:
    """Differences with their intervals, a row per claim, from the rows of findings.

    Of one pair of networks the interval is that of the choice of images, drawn dotted around a hollow mark. The margin
    within which two count as the same is a band.

    Raises
    ------
    RunError
        If there are no rows.
    """
    if not rows:
        raise RunError("there is no claim to show; give the rows of findings")
    with theme.applied():
        figure = theme.new_figure(height=2.2 + 0.85 * len(rows))
        ax = figure.add_subplot()
        ax.axvline(0, color="#444444", linewidth=0.8)
        for place, row in enumerate(rows):
            low, value, high = (100 * row[name] for name in ("low", "value", "high"))
            several = row["verdict"] != "one pair"
            colour = VERDICT_COLOURS[row["verdict"]]
            ax.plot([low, high], [place, place], color=colour, linestyle="-" if several else ":", linewidth=1.6)
            ax.plot(value, place, "o", color=colour, markerfacecolor=colour if several else "white", markersize=5)
            if row["margin"] is not None:
                reach = 100 * row["margin"]
                ax.fill_between(
                    [-reach, reach], place - 0.35, place + 0.35, color=theme.NEUTRAL, alpha=0.25, linewidth=0
                )
        ax.set_yticks(range(len(rows)), [_claim(row) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        units = {row["unit"] for row in rows}
        ax.set_xlabel("difference in percentage points" + (" (where marked: in %)" if "%" in units else ""))
        shown = dict.fromkeys(row["verdict"] for row in rows)
        hollow: dict[str, dict[str, Any]] = {"one pair": {"markerfacecolor": "white", "linestyle": ":"}}
        handles = [
            Line2D([], [], marker="o", label=verdict, color=VERDICT_COLOURS[verdict], **hollow.get(verdict, {}))
            for verdict in shown
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _claim(row: dict[str, Any]) -> str:
    words, lines = row["claim"].split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 44:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines) + (" (in %)" if row["unit"] == "%" else "")


def accuracies(rows: Sequence[dict[str, Any]]) -> Figure:
    """The test accuracies of result rows, all seeds as dots and their mean, beside the seed report's.

    Raises
    ------
    RunError
        If there are no rows.
    """
    if not rows:
        raise RunError("there is no run to show; give the rows of results")
    frame = pd.DataFrame(list(rows))
    frame["title"] = frame["dataset"].map(lambda dataset: DATASETS[dataset].title)
    parts = list(frame.groupby("title", sort=False))
    counts = [len(set(part["name"])) for _, part in parts]
    with theme.applied():
        figure = theme.new_figure(height=2.2 + 0.65 * sum(counts) + 1.1 * len(parts))
        panels = figure.subplots(
            len(parts), 1, height_ratios=[count + 0.6 for count in counts], squeeze=False
        ).flatten()
        for ax, (title, part) in zip(panels, parts, strict=True):
            names = list(dict.fromkeys(part["name"]))
            places = part["name"].map(names.index)
            of_name = part.groupby("name", sort=False)
            ax.plot(part["test_accuracy"], places, ".", color=theme.NEUTRAL)
            ax.plot(of_name["test_accuracy"].mean(), np.arange(len(names)), "k|", markersize=11, markeredgewidth=1.6)
            published = of_name["seed_accuracy"].first().astype(float)
            ax.plot(published, np.arange(len(names)), "D", color=theme.RUN_COLOURS[1], markerfacecolor="none")
            ax.set_yticks(range(len(names)), names)
            ax.set_ylim(len(names) - 0.4, -0.6)
            ax.set_title(title, loc="left", fontweight="bold")
            ax.tick_params(axis="y", length=0)
        panels[-1].set_xlabel("accuracy over all test images")
        handles = [
            Line2D([], [], marker=".", linestyle="", color=theme.NEUTRAL, label="one seed"),
            Line2D([], [], marker="|", linestyle="", color="black", markersize=9, label="mean over seeds"),
            Line2D(
                [],
                [],
                marker="D",
                linestyle="",
                color=theme.RUN_COLOURS[1],
                markerfacecolor="none",
                label="seed report",
            ),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure
