"""`train(..., live=True)`: loss and accuracies while they come in."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from IPython.display import display

from hwkit import plots, theme
from hwkit.callbacks import Callback, Training
from hwkit.explorer import drawing
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
        self.html = "<p>The first record is on its way …</p>"
        self._display = display(self._bundle(), display_id=True, raw=True)

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
        columns: dict[str, Any] = dict(
            zip(RECORD_COLUMNS, np.array([*self.rows[:-1:step], self.rows[-1]]).T, strict=True)
        )
        x, black = columns["iteration"], theme.RUN_COLOURS[2]
        curves = [("test_accuracy", theme.TEST, "test"), ("train_accuracy", theme.TRAIN, "train")]
        accuracies = [
            Line(name, style["color"], x, columns[column], dashed=name == "train") for column, style, name in curves
        ]
        now = f"iteration {int(x[-1])} of {self.experiment.iterations}, {columns['seconds'][-1]:.0f} s"
        end = self.experiment.iterations
        losses = [Line("loss", black, x, columns["loss"])]
        self.html = (
            '<div style="background:#fff;color:#222;font-size:13px;max-width:860px">'
            f"<b>{html.escape(self.experiment.name)}</b>, {now}"
            + drawing.chart(losses, "iteration", "loss", x_end=end, logarithmic=True)
            + drawing.chart(accuracies, "iteration", "accuracy", x_end=end)
            + ("" if x[-1] >= end else "<p>Interrupt the kernel (■) to stop; the same call resumes the training.</p>")
            + "</div>"
        )
        self._update(self._bundle())

    def on_finish(self, training: Training, run: Run) -> None:
        # A GPU hands on a part of the rows only.
        self.rows = run.record[list(RECORD_COLUMNS)].to_numpy().tolist()
        self.draw()
        # For readers of reports, a figure.
        content, size = cast(Any, plots.training_curves(cast(Any, run)))._repr_png_()
        picture = {"image/png": base64.b64encode(content).decode(), "text/plain": str(run)}
        self._update(self._bundle() | picture, {"image/png": size})

    def _bundle(self) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.experiment.name}

    def _update(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        if self._display is not None:  # outside a notebook nothing was displayed
            self._display.update(data, metadata=metadata or {}, raw=True)
