"""`explore(run)`: the explorer's page of a run, in a notebook or as a file."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from matplotlib.figure import Figure

from hwkit import analysis, plots
from hwkit.datasets import known_facts
from hwkit.engine import files
from hwkit.errors import RunError
from hwkit.explorer import page
from hwkit.explorer.page import Shown
from hwkit.runs import Run

HEIGHT = 780  # pixels of the page in a notebook


def explore(
    run: Run, other: Run | None = None, *, image: int | None = None, layer: str | None = None, most: int = 1000
) -> Page:
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
    facts = known_facts(run.experiment.dataset)
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
    return Page(content, lambda: _figure(run, image), f"Explorer({run.name})", f"hwkit explorer: {run.name}")


def write_page(runs: Sequence[Run], path: str | Path) -> Path:
    """Write the page of a run, or of two beside each other, into a file that a report can link to; returns its path.

    Raises
    ------
    RunError, DataError
        As `explore`.

    Examples
    --------
    >>> hwkit.explorer.write_page([run], "build/explore-mnist.html")
    """
    return explore(*runs).save(path)


def _shown(run: Run) -> Shown:
    moments = run.weight_moments
    weights = {moment: run.weights_at(moment) for moment in moments} if len(moments) > 2 else {}
    try:
        model = run.model()
    except RunError:  # a network of the user's own, which was not passed to `load`
        model = None
    return Shown(run.name, model, run.logits, weights)


def _figure(run: Run, image: int | None) -> Figure:
    """What stands in for the page where there are no frames: an image and the strongest channels of its layers."""
    if image is None:
        wrong = (run.logits.argmax(dim=1) != run.labels).nonzero().squeeze(1)
        confidence = run.logits.softmax(dim=1).amax(dim=1)
        image = int(wrong[confidence[wrong].argmax()]) if len(wrong) else 0
    return plots.example(run, analysis.example(run, image), channels=16)


class Page:
    """A page that shows itself as the value of a notebook's cell.

    Attributes
    ----------
    html : the text of its HTML file.
    figure : draws what stands in for it where there are no frames.
    """

    def __init__(self, content: str, figure: Callable[[], Figure], text: str, title: str) -> None:
        self.html = content
        self.figure = figure
        self._text = text
        self._title = title

    def __repr__(self) -> str:
        return self._text

    def save(self, path: str | Path) -> Path:
        """Write the page into a file, to be opened in any browser."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, lambda temporary: temporary.write_text(self.html, encoding="utf-8"))
        return path

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The page in a frame of its own, which covers a figure that is seen where frames are taken out."""
        picture, size = cast(Any, self.figure())._repr_png_()
        source = base64.b64encode(picture).decode()
        content = (
            f'<div style="position:relative;min-height:{HEIGHT}px"><figure style="margin:0">'
            f'<img src="data:image/png;base64,{source}" width="{size["width"]}" alt="{html.escape(self._text)}">'
            "<figcaption>This is a page to click through. It opens when the notebook is trusted (in JupyterLab, the "
            "command Trust Notebook), or in a browser with <code>hwkit explore</code>.</figcaption></figure>"
            f'<iframe title="{html.escape(self._title)}" srcdoc="{html.escape(self.html)}" '
            f'style="position:absolute;inset:0;width:100%;height:{HEIGHT}px;border:0;background:#fff"></iframe></div>'
        )
        return {"text/html": content, "image/png": source, "text/plain": repr(self)}, {"image/png": size}
