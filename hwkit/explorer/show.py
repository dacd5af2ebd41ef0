"""`explore(run)`: the explorer's page of a run, in a notebook or as a file."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

from hwkit import analysis, plots
from hwkit.datasets.sources import DATASETS
from hwkit.engine import files
from hwkit.explorer import page
from hwkit.explorer.page import Shown
from hwkit.runs import Run

HEIGHT = 780  # pixels of the page in a notebook


def explore(
    run: Run, other: Run | None = None, *, image: int | None = None, layer: str | None = None, most: int = 1000
) -> Explorer:
    """Look inside a run: its test images and mistakes, every layer, and why and what if.

    The page that it shows needs no kernel: it works in a notebook that was closed and opened again, and as a file.

    Parameters
    ----------
    run : a finished run.
    other : a second one, tested on the same images, to be seen beside it.
    image : the test image that is shown first; None is the misclassified one of whose prediction it is most confident.
    layer : the layer that is shown first.
    most : how many test images the page carries at most; misclassified ones come first.

    Raises
    ------
    RunError
        If a run's folder is gone or damaged, the two were tested on different images, or there is no such image.
    DataError
        If the data set is missing.

    Examples
    --------
    >>> hwkit.explore(run)
    >>> hwkit.explore(run, other, image=2654, layer="conv2").save("page.html")
    """
    if other is not None:
        analysis.require_same_test_images(run, other)
    if image is not None:
        analysis.example(run, image)
    shown = [_shown(one) for one in (run, other) if one is not None]
    facts = DATASETS[run.experiment.dataset]
    given = {"image": image, "layer": layer}
    content = page.build(
        shown,
        analysis.test_images(run),
        run.labels,
        analysis.class_names(run),
        title=" and ".join(one.title for one in shown),
        mean=facts.mean,
        std=facts.std,
        most=most,
        state={name: value for name, value in given.items() if value is not None},
    )
    return Explorer(run, content, image)


def _shown(run: Run) -> Shown:
    moments = run.weight_moments
    weights = {moment: run.weights_at(moment) for moment in moments} if len(moments) > 2 else {}
    return Shown(run.name, run.model(), run.logits, weights)


class Explorer:
    """The page of `explore`, which shows itself as the value of a notebook's cell.

    Attributes
    ----------
    html : the page, an HTML file's text.
    """

    def __init__(self, run: Run, content: str, image: int | None = None) -> None:
        self.html = content
        self._run = run
        self._image = image

    def __repr__(self) -> str:
        return f"Explorer({self._run.name}, {len(self.html) / 1e6:.1f} MB)"

    def save(self, path: str | Path) -> Path:
        """Write the page into a file, to be opened in any browser."""
        path = Path(path)
        files.replace(path, lambda temporary: temporary.write_text(self.html, encoding="utf-8"))
        return path

    def figure(self) -> plots.Figure:
        """What stands in for the page where there are no frames: an image and the strongest channels of its layers."""
        wrong = analysis.mismatches(self._run)["index"]
        number = self._image if self._image is not None else int(wrong.iloc[0]) if len(wrong) else 0
        return plots.example(self._run, analysis.example(self._run, number), channels=16)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The page in a frame of its own, before a figure that is seen where frames are taken out."""
        picture, size = self.figure()._repr_png_()
        source = base64.b64encode(picture).decode()
        folder = html.escape(str(self._run.folder))
        # The frame covers the figure. Notebooks that are not trusted lose the frame, and the figure is left.
        content = (
            f'<div style="position:relative;min-height:{HEIGHT}px"><figure style="margin:0">'
            f'<img src="data:image/png;base64,{source}" width="{size["width"]}" alt="an image and its hidden layers">'
            "<figcaption>The explorer opens when this notebook is trusted (in JupyterLab: View, Activate Command "
            f"Palette, Trust Notebook), or with <code>hwkit explore {folder}</code>.</figcaption></figure>"
            f'<iframe title="hwkit explorer: {html.escape(self._run.name)}" srcdoc="{html.escape(self.html)}" '
            f'style="position:absolute;inset:0;width:100%;height:{HEIGHT}px;border:0;background:#fff"></iframe></div>'
        )
        return {"text/html": content, "image/png": source, "text/plain": repr(self)}, {"image/png": size}
