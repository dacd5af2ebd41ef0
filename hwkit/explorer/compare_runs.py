"""`dashboard(runs)`: records of several runs over each other, their weights, and a table to sort."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hwkit import analysis, plots, theme
from hwkit.errors import RunError
from hwkit.explorer import drawing
from hwkit.explorer.bridge import STYLE, Clickable, FrontEnd
from hwkit.explorer.drawing import Line
from hwkit.runs import Run, differences_note

QUANTITIES = {
    "test accuracy": "test_accuracy",
    "train accuracy": "train_accuracy",
    "loss": "loss",
    "L2 penalty": "penalty",
    "learning rate": "learning_rate",
}
AXES = {"iterations": "iteration", "epochs": "epoch", "seconds of training": "seconds"}


def dashboard(runs: Run | Sequence[Run]) -> Dashboard:
    """Records of runs over each other, a table of them to sort, and their weights.

    Raises
    ------
    RunError
        If there is no run, or a folder is gone or damaged.
    """
    return Dashboard([runs] if isinstance(runs, Run) else list(runs))


class Dashboard(FrontEnd):
    """The widget of `dashboard`; its controls are attributes, so that a program can use them as a hand does.

    Attributes
    ----------
    table : of the runs; its answers are "sort COLUMN" and "show NUMBER", which shows or hides a run.
    quantity, axis, smoothing : of the chart.
    differences : says what the runs differ in beside their experiments.
    weights_of, moment : whose weights are shown, and from when in training.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        if not runs:
            raise RunError("there is no run to show; give at least one")
        self.runs = list(runs)
        self._records = [run.record for run in runs]
        self._rows = _rows(self.runs)
        self._hidden: set[int] = set()
        self._sorted_by, self._falling = "test accuracy", True
        style, wide = {"description_width": "auto"}, ipywidgets.Layout(width="auto")
        buttons = {"button_width": "auto", "description_width": "auto"}
        self.table = Clickable(self.guarded(self._answer_table))
        self.quantity = ipywidgets.ToggleButtons(options=list(QUANTITIES), description="Chart", style=buttons)
        self.axis = ipywidgets.Dropdown(options=list(AXES), description="over", style=style, layout=wide)
        self.smoothing = ipywidgets.IntSlider(
            value=10, max=50, description="Smoothing (% of the readings)", style=style
        )
        self.smoothing.layout.width = "420px"
        self.chart = ipywidgets.HTML()
        self.differences = ipywidgets.HTML()
        names = [(_label(run, number), number) for number, run in enumerate(self.runs)]
        self.weights_of = ipywidgets.Dropdown(options=names, description="Weights of", style=style, layout=wide)
        self.moment = ipywidgets.SelectionSlider(options=[0], description="after iteration", style=style)
        self.moment.layout.width = "420px"
        self.weights = ipywidgets.HTML()
        row = ipywidgets.Layout(display="flex", flex_flow="row wrap", align_items="center", grid_gap="2px 12px")
        self.widget.children = [
            ipywidgets.HTML(STYLE),
            self.message,
            self.table,
            self.differences,
            ipywidgets.Box([self.quantity, self.axis, self.smoothing], layout=row),
            self.chart,
            ipywidgets.Box([self.weights_of, self.moment], layout=row),
            self.weights,
        ]
        for control in (self.quantity, self.axis, self.smoothing):
            control.observe(self.guarded(lambda _: self._draw_chart()), "value")
        self.weights_of.observe(self.guarded(lambda _: self._choose_weights()), "value")
        self.moment.observe(self.guarded(lambda _: self._draw_weights()), "value")
        self._draw_table()
        self._draw_chart()
        self._choose_weights()
        note = differences_note(self.runs)
        self.differences.value = f'<div class="hwkit">{html.escape(note)}</div>' if note else ""

    def __repr__(self) -> str:
        return f"Dashboard({', '.join(run.name for run in self.runs)})"

    def figure(self) -> Figure:
        """Cross-entropy (left) and accuracy on test images (right) of all runs, as moving averages."""
        with theme.applied():
            figure = theme.new_figure(height=6.4 + 0.45 * len(self.runs))
            left, right = figure.subplots(1, 2)
            plots.learning_curve(self.runs, ax=left)
            for number, record in enumerate(self._records):
                right.plot(record["epoch"], plots.smooth(record["test_accuracy"]), color=_colour(number))
            right.set(xlabel="epoch", ylabel="accuracy on 200 test images")
            left.get_legend().remove()
            figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure

    # --- The table ----------------------------------------------------------------------------------------------

    def _answer_table(self, answer: str) -> None:
        action, _, what = answer.partition(" ")
        if action == "sort":
            self._falling = not self._falling if what == self._sorted_by else what in ("test accuracy", "finished")
            self._sorted_by = what
            self._draw_table()
        else:
            self._hidden ^= {int(what)}
            self._draw_table()
            self._draw_chart()

    def _draw_table(self) -> None:
        frame = self._rows.sort_values(self._sorted_by, ascending=not self._falling, kind="stable")
        head = []
        for column in frame.columns:
            arrow, order = "", ""
            if column == self._sorted_by:
                arrow = " ▼" if self._falling else " ▲"
                order = f' aria-sort="{"descending" if self._falling else "ascending"}"'
            head.append(
                f'<th scope="col"{order}><button data-pick="sort {column}"><b>{column}{arrow}</b></button></th>'
            )
        rows = []
        for number, row in frame.iterrows():
            shown = number not in self._hidden
            state = "shown" if shown else "hidden"
            name = html.escape(_label(self.runs[number], number))
            button = (
                f'<button data-pick="show {number}" aria-label="{name}, {state} in the chart" title="show or hide">'
                f"{drawing.dot(_colour(number), filled=shown)}</button>"
            )
            cells = "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row)
            rows.append(f"<tr><td>{button}</td>{cells}</tr>")
        self.table.show(f"<table><tr><th></th>{''.join(head)}</tr>{''.join(rows)}</table>")

    # --- The chart ----------------------------------------------------------------------------------------------

    def _draw_chart(self) -> None:
        column, axis = QUANTITIES[self.quantity.value], AXES[self.axis.value]
        lines = []
        for number, (run, record) in enumerate(zip(self.runs, self._records, strict=True)):
            if number not in self._hidden:
                x, values = record[axis].to_numpy(), record[column]
                name, colour = _label(run, number), _colour(number)
                window = round(len(values) * self.smoothing.value / 100)
                if window > 1 and column != "learning_rate":
                    lines.append(Line(name, colour, x, values.to_numpy(), faint=True))
                    values = values.rolling(window, center=True, min_periods=1).mean()
                lines.append(Line(name, colour, x, values.to_numpy(), dashed=number >= len(theme.RUN_COLOURS)))
        content = drawing.chart(
            lines, self.axis.value, self.quantity.value, logarithmic=self.quantity.value in ("loss", "L2 penalty")
        )
        self.chart.value = f'<div class="hwkit">{content}</div>'

    # --- Weights ------------------------------------------------------------------------------------------------

    def _choose_weights(self) -> None:
        run = self.runs[self.weights_of.value]
        moments = run.weight_moments
        labels = [(f"{moment} of {run.experiment.iterations}", moment) for moment in moments]
        if list(self.moment.options) != labels:
            self.moment.options = labels
        if self.moment.value == moments[-1]:
            self._draw_weights()
        else:
            self.moment.value = moments[-1]

    def _draw_weights(self) -> None:
        self.say("")
        run = self.runs[self.weights_of.value]
        now, final = run.weights_at(self.moment.value), run.final_weights
        panels = {}
        for name in analysis.parameters(final):
            # One axis for all moments, or the slider would change it and not the distribution.
            edges = plots.histogram_edges([final[name], run.initial_weights[name]])
            counts, _ = np.histogram(now[name].flatten().numpy(), bins=edges)
            panels[name] = [(_colour(self.weights_of.value), counts / (now[name].numel() * np.diff(edges)), edges)]
        note = ""
        if len(run.weight_moments) == 2:
            note = (
                "<div>Only the first and the last weights were kept. To see those between, train with "
                "<code>hwkit.train(experiment, snapshots=10)</code>.</div>"
            )
        self.weights.value = f'<div class="hwkit">{drawing.histograms(panels)}{note}</div>'


def _rows(runs: Sequence[Run]) -> pd.DataFrame:
    """What the table tells of each run."""
    rows = [
        {
            "run": run.name,
            "data": run.experiment.dataset,
            "profile": run.experiment.profile,
            "λ": run.experiment.l2,
            "seed": run.experiment.seed,
            "train accuracy": run.metrics["train_accuracy"],
            "test accuracy": run.test_accuracy,
            "seconds": round(run.metrics["seconds"]),
            "finished": run.finished,
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(run: Run, number: int) -> str:
    return f"{number + 1}: {run.name}"


def _colour(number: int) -> str:
    return theme.RUN_COLOURS[number % len(theme.RUN_COLOURS)]
