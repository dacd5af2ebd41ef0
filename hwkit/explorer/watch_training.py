"""`train(..., live=True)`: loss and accuracies while they come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets
import numpy as np
from IPython.display import display

from hwkit import plots, theme
from hwkit.engine import checkpoints
from hwkit.experiment import Experiment
from hwkit.explorer import drawing
from hwkit.explorer.bridge import STYLE, bundle
from hwkit.explorer.drawing import Line
from hwkit.runs import RECORD_COLUMNS, Run

SECONDS = 0.5  # at least, from one drawing to the next
SHARE = 0.01  # of the time, at most, that goes into drawing: less than the 2 % that it may cost


class LiveCurves:
    """Curves of a training under way, shown in the notebook and drawn again as its record grows.

    Drawing waits for the longer of half a second and a hundred times what the last drawing took, so that it never
    takes more than a hundredth of the time, on however slow a machine.

    Parameters
    ----------
    experiment : what is trained.
    folder : of its run; what it recorded before it was interrupted is drawn too.
    on_record : is called with each new row, as `training.train` calls it.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        on_record: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self.experiment = experiment
        self.on_record = on_record
        checkpoint = checkpoints.read(experiment, folder)
        self.rows: list[Sequence[float]] = list(checkpoint.rows) if checkpoint else []
        self.page = ipywidgets.HTML()
        self.drawings = 0
        self._next = 0.0
        self.widget = ipywidgets.VBox([ipywidgets.HTML(STYLE), self.page])
        self._display = display(self.widget, display_id=True)

    def update(self, row: dict[str, float]) -> None:
        """Take a new row of the record, columns `RECORD_COLUMNS`, and draw it unless it is too soon."""
        self.rows.append([row[column] for column in RECORD_COLUMNS])
        if self.on_record:
            self.on_record(row)
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

    def finish(self, run: Run) -> Run:
        """Draw the whole record of the finished run, leave a figure for readers without a front end, return the run."""
        # A GPU hands on a part of the rows only.
        self.rows = run.record[list(RECORD_COLUMNS)].to_numpy().tolist()
        self.draw()
        data, metadata = bundle(self.widget, plots.training_curves(run), str(run))
        if self._display is not None:  # outside a notebook nothing was displayed
            self._display.update(data, metadata=metadata, raw=True)
        return run
