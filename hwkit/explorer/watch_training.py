"""`train(..., live=True)`: loss and accuracies while they come in."""

from __future__ import annotations

import base64
import html
import io
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from IPython.display import display
from PIL import Image
from torch import Tensor

from hwkit import plots, theme
from hwkit.callbacks import Callback, Training
from hwkit.explorer import drawing
from hwkit.explorer.drawing import Line
from hwkit.models import predict
from hwkit.runs import RECORD_COLUMNS, Run

EXAMPLES = 8  # test images whose predictions are shown
# JupyterLab runs the command that an element names; elsewhere there is the kernel's menu.
STOP = (
    '<p><button data-commandlinker-command="notebook:interrupt-kernel" data-commandlinker-args="{}">stop</button> or '
    "interrupt the kernel (■); the same call resumes the training.</p>"
)
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
        self.training = training
        self.experiment = training.experiment
        count = len(training.dataset.test_labels)
        self._examples = torch.arange(min(EXAMPLES, count)) * count // EXAMPLES
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

    def on_end(self, training: Training) -> None:
        if not training.last and self.rows:
            self.draw(stopped=True)

    def draw(self, *, stopped: bool = False) -> None:
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
        says = "<p>Stopped. The same call resumes the training.</p>" if stopped else STOP
        losses = [Line("loss", black, x, columns["loss"])]
        self.html = (
            '<div style="background:#fff;color:#222;font-size:13px;max-width:860px">'
            f"<b>{html.escape(self.experiment.name)}</b>, {now}"
            + drawing.chart(losses, "iteration", "loss", x_end=end, logarithmic=True)
            + drawing.chart(accuracies, "iteration", "accuracy", x_end=end)
            + self._predictions()
            + ("" if self.training.last else says)
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

    def _predictions(self) -> str:
        """Some test images, and what the network predicts of them at this moment, as HTML."""
        dataset = self.training.dataset
        images, labels = dataset.test_images[self._examples], dataset.test_labels[self._examples]
        logits = predict(self.training.model, images, dataset, precision=self.training.precision)
        confidences, predicted = logits.float().softmax(dim=1).max(dim=1)
        pictures = []
        for image, label, guess, confidence in zip(images, labels, predicted, confidences, strict=True):
            true, name = (html.escape(dataset.classes[int(c)]) for c in (label, guess))
            sign = "✓" if guess == label else "✗"
            pictures.append(
                '<figure style="display:inline-block;margin:6px 10px 6px 0;text-align:center">'
                f'<img src="{_source(image)}" alt="a test image of class {true}" width="56" '
                f'style="image-rendering:pixelated"><figcaption>{sign} {name}<br>{confidence:.0%}</figcaption></figure>'
            )
        return f"<div>{''.join(pictures)}</div>"

    def _bundle(self) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.experiment.name}

    def _update(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        if self._display is not None:  # outside a notebook nothing was displayed
            self._display.update(data, metadata=metadata or {}, raw=True)


def _source(image: Tensor) -> str:
    """An image, uint8 (C, H, W), as the address of a picture."""
    pixels = image.cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
