"""`train(..., live=True)`: loss and accuracies while they come in."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ipywidgets
import numpy as np
from IPython.display import display

from hwkit import plots, theme
from hwkit.callbacks import Callback, Training
from hwkit.explorer import drawing
from hwkit.explorer.bridge import STYLE, bundle
from hwkit.explorer.drawing import Line
from hwkit.runs import RECORD_COLUMNS, Run

SECONDS = 0.5  # at least, from one drawing to the next
SHARE = 0.01  # of the time, at most, that goes into drawing: less than the 2 % that it may cost


class LiveCurves(Callback):
    """Curves of a training under way, shown in the notebook and drawn again as its record grows.

    Drawing waits for the longer of half a second and a hundred times what the last drawing took, so that it never
    takes more than a hundredth of the time, on however slow a machine.
    """

    def __init__(self) -> None:
        self.drawings = 0
        self._next = 0.0

    def on_start(self, training: Training) -> None:
        self.experiment = training.experiment
        self.rows: list[Sequence[float]] = list(training.rows)  # also those from before an interrupt
        self.page = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([ipywidgets.HTML(STYLE), self.page])
        self._display = display(self.widget, display_id=True)

    def on_record(self, training: Training, row: dict[str, float]) -> None:
        self.rows.append([row[column] for column in RECORD_COLUMNS])
        started = time.monotonic()
        if started >= self._next:
            self.draw()
            taken = time.monotonic() - started
            self._next = started + max(SECONDS, taken / SHARE)

    def draw(self) -> None:
        """Draw the record so far."""
        self.drawings += 1
        step = max(1, len(self.rows) // drawing.MOST_POINTS)
        columns = dict(zip(RECORD_COLUMNS, np.array([*self.rows[:-1:step], self.rows[-1]]).T, strict=True))
        x, black = columns["iteration"], theme.RUN_COLOURS[2]
        curves = [("test_accuracy", theme.TEST, "test"), ("train_accuracy", theme.TRAIN, "train")]
        accuracies = [
            Line(name, style["color"], x, columns[column], dashed=name == "train") for column, style, name in curves
        ]
        now = f"iteration {int(x[-1])} of {self.experiment.iterations}, {columns['seconds'][-1]:.0f} s"
        self.page.value = (
            f'<div class="hwkit"><b>{self.experiment.name}</b>, {now}'
            + drawing.chart([Line("loss", black, x, columns["loss"])], "iteration", "loss", logarithmic=True)
            + drawing.chart(accuracies, "iteration", "accuracy")
            + "</div>"
        )

    def on_finish(self, training: Training, run: Run) -> None:
        # A GPU hands on a part of the rows only.
        self.rows = run.record[list(RECORD_COLUMNS)].to_numpy().tolist()
        self.draw()
        # For readers without a front end, a figure.
        data, metadata = bundle(self.widget, plots.training_curves(run), str(run))
        if self._display is not None:  # outside a notebook nothing was displayed
            self._display.update(data, metadata=metadata, raw=True)
