"""The figure of the report's summary: the primary claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D

from hwkit import theme
from hwkit.errors import RunError
from hwkit.theme import ReportFigure

VERDICT_COLOURS = {
    "supported": theme.RUN_COLOURS[0],
    "the same": theme.RUN_COLOURS[0],
    "opposite": theme.RUN_COLOURS[1],
    "open": theme.RUN_COLOURS[2],
    "one pair": theme.NEUTRAL,
}
MARKERS = {"the same": "s", "opposite": "D", "open": "X"}  # told apart without colours
# Differences so many times as large as most are drawn on a scale that is logarithmic beyond one point.
WIDEST = 5
TICKS = (1, 2, 5, 10, 20, 50)


def forest(rows: Sequence[dict[str, Any]]) -> ReportFigure:
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
        figure = theme.new_figure(height=1.6 + 0.6 * len(rows))
        ax = figure.add_subplot()
        ax.axvline(0, color="#444444", linewidth=0.8)
        for place, row in enumerate(rows):
            low, value, high = (100 * row[name] for name in ("low", "value", "high"))
            several = row["verdict"] != "one pair"
            colour = VERDICT_COLOURS[row["verdict"]]
            ax.plot([low, high], [place, place], color=colour, linestyle="-" if several else ":", linewidth=1.6)
            ax.plot(
                value,
                place,
                MARKERS.get(row["verdict"], "o"),
                color=colour,
                markerfacecolor=colour if several else "white",
                markersize=5,
            )
            if row["margin"] is not None:
                reach = 100 * row["margin"]
                ax.fill_between(
                    [-reach, reach], place - 0.35, place + 0.35, color=theme.NEUTRAL, alpha=0.25, linewidth=0
                )
        ax.set_yticks(range(len(rows)), [_claim(row) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        reach = sorted(100 * max(abs(row["low"]), abs(row["high"])) for row in rows)
        if reach[-1] > WIDEST * max(reach[len(reach) // 2], 1):
            shown = [tick for tick in TICKS if tick < 1.5 * reach[-1]]
            ticks = [*(-tick for tick in reversed(shown)), 0, *shown]
            low, high = ax.get_xlim()
            ax.set_xscale("symlog", linthresh=1, linscale=1)
            ax.set_xticks(ticks, [f"{tick:+g}".replace("-", "−") if tick else "0" for tick in ticks])
            ax.set_xlim(low, high)
            ax.minorticks_off()
        units = {row["unit"] for row in rows}
        marked = " (where marked: in %)" if "%" in units else ""
        scale = ", logarithmic beyond ±1" if ax.get_xscale() == "symlog" else ""
        ax.set_xlabel(f"percentage points{marked}{scale}")
        shown = dict.fromkeys(row["verdict"] for row in rows)
        hollow: dict[str, dict[str, Any]] = {"one pair": {"markerfacecolor": "white", "linestyle": ":"}}
        handles = [
            Line2D(
                [],
                [],
                marker=MARKERS.get(verdict, "o"),
                label=verdict,
                color=VERDICT_COLOURS[verdict],
                **hollow.get(verdict, {}),
            )
            for verdict in shown
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    figure.alt = " ".join(f"{row['claim']}: {_difference(row)}, {row['verdict']}." for row in rows)
    return figure


def _difference(row: dict[str, Any]) -> str:
    low, value, high = (f"{(100 if row['unit'] else 1) * row[name]:.3g}" for name in ("low", "value", "high"))
    unit = {"points": " points", "%": " %"}.get(row["unit"], "")
    return f"{value}{unit} ({low} to {high})".replace("-", "−")


def _claim(row: dict[str, Any]) -> str:
    words, lines = row["claim"].split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 58:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines) + (" (in %)" if row["unit"] == "%" else "")
