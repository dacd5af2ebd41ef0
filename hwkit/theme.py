"""How the report's figures look: sizes, fonts and colours, and the figure that keeps to them and describes itself.

The theme never touches the user's own settings: figures are drawn within it, and it ends with them.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 16.2  # cm: the text width of an A4 page with the report's margins, so that figures print at their own size
RESOLUTION = 200  # dots per inch: sharp in print, and half a page stays below 200 kB

# The typeface of the report's text, for Latin, Greek and the signs of figures; page and typesetter have it, too.
FONTS = Path(__file__).parent / "fonts"
TYPEFACE = "Libertinus Serif"
MOST_POINTS = 1500  # of one scatter; more are drawn as one picture within the figure, whose text stays text

# Red is test and blue is train, as in the reference report. These shades are of Paul Tol's "vibrant" scheme, which
# readers with any colour vision can tell apart (https://sronpersonalpages.nl/~pault/); the line styles differ too.
TRAIN: dict[str, Any] = {"color": "#0077BB", "linestyle": (0, (4, 1.5))}
TEST: dict[str, Any] = {"color": "#CC3311", "linestyle": "-"}
VALIDATION: dict[str, Any] = {"color": "#EE7733", "linestyle": (0, (1, 1))}

# One colour per run, of Okabe and Ito's colour-blind safe palette (https://jfly.uni-koeln.de/color/) without its blue
# and its red, which are taken by train and test.
RUN_COLOURS = ("#009E73", "#E69F00", "#000000", "#56B4E9", "#CC79A7", "#F0E442")
# One colour per class: matplotlib's "tab10", whose ten colours are told apart most easily.
CLASS_COLOURS = ("#1F77B4", "#FF7F0E", "#2CA02C", "#D62728", "#9467BD")
CLASS_COLOURS += ("#8C564B", "#E377C2", "#7F7F7F", "#BCBD22", "#17BECF")
CORRECT, WRONG, NEUTRAL = "#009E73", "#CC3311", "#9A9A9A"

SETTINGS: dict[str, Any] = {
    "font.family": [TYPEFACE, "DejaVu Sans"],  # the second has what the first lacks
    "font.size": 9,
    "mathtext.fontset": "custom",
    "mathtext.rm": TYPEFACE,
    "mathtext.it": f"{TYPEFACE}:italic",
    "mathtext.bf": f"{TYPEFACE}:bold",
    **{f"mathtext.{name}": TYPEFACE for name in ("cal", "sf", "tt")},
    "svg.fonttype": "none",  # text, in the typeface of what shows the figure
    "svg.hashsalt": "hwkit",  # so that the same figure is the same file
    "axes.titlesize": 9,
    "axes.titlepad": 4,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.handlelength": 2.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.grid.which": "major",
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=RUN_COLOURS),
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "grid.linestyle": "-",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "image.interpolation": "none",  # a picture keeps its own pixels in a vector figure
    "image.composite_image": False,
    "figure.facecolor": "white",
    "figure.dpi": RESOLUTION,
    "savefig.dpi": "figure",
    "savefig.facecolor": "auto",
    "savefig.bbox": None,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}


def applied() -> contextlib.AbstractContextManager[None]:
    """A context in which matplotlib's settings are its defaults and the theme; afterwards they are what they were."""
    _add_fonts()
    return matplotlib.style.context(["default", SETTINGS])


@functools.cache
def _add_fonts() -> None:
    for path in sorted(FONTS.glob("*.otf")):
        font_manager.fontManager.addfont(path)


class ReportFigure(Figure):
    """A figure that is drawn with the theme whenever it is drawn, and that a notebook shows by itself.

    It never enters pyplot's list of open figures, so a notebook shows it once: where it is the value of a cell.

    Attributes
    ----------
    alt : what it shows, for readers who cannot see it; empty for what `description` reads off its axes.
    """

    alt = ""

    def draw(self, renderer: Any) -> None:
        """Draw with the theme: matplotlib reads some settings, those of ticks for instance, only now."""
        with applied():
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        """The picture for a notebook, with its size in CSS pixels (96 per inch), at which it has its printed size."""
        buffer = io.BytesIO()
        # `savefig` would draw twice, first to lay out, which drawing does anyway.
        FigureCanvasAgg(self).print_png(buffer)
        return buffer.getvalue(), self._described()

    def _repr_svg_(self) -> tuple[str, dict[str, Any]]:
        """The same as a drawing, for the report."""
        return svg(self), self._described()

    def _described(self) -> dict[str, Any]:
        width, height = (round(96 * inches) for inches in self.get_size_inches())
        return {"width": width, "height": height, "alt": self.alt or description(self)}


def svg(figure: Figure) -> str:
    """A figure as SVG, with text as text, and with the points of a large scatter as one picture."""
    buffer = io.BytesIO()
    for points in figure.findobj(Collection):
        if len(np.atleast_1d(points.get_offsets())) > MOST_POINTS:  # type: ignore[attr-defined]
            points.set_rasterized(True)
    with applied():
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue().decode()


def new_figure(height: float, width: float = WIDTH) -> ReportFigure:
    """An empty figure of a size in cm, whose axes are laid out such that nothing overlaps."""
    with applied():
        return ReportFigure(figsize=(width / 2.54, height / 2.54), dpi=RESOLUTION, layout="constrained")


def new_axes(height: float, width: float = WIDTH) -> Axes:
    """The only axes of a new figure of a size in cm."""
    with applied():
        return new_figure(height, width).add_subplot()


# --- Alternative texts ------------------------------------------------------------------------------------------

MOST_LINES = 8  # of one panel, and panels of one figure, that a description goes into


def description(figure: Figure) -> str:
    """What a figure shows, in sentences read off its axes: titles, labels, and where each named line begins and ends.

    Examples
    --------
    >>> ax = new_axes(5)
    >>> _ = ax.plot([0, 2], [0.41, 0.8], label="test"), ax.set_xlabel("epochs"), ax.set_ylabel("accuracy")
    >>> description(ax.figure)
    'Accuracy over epochs: test rises from 0.41 to 0.8.'
    """
    panels = [panel for panel in figure.axes if panel.axison or panel.images]
    pictures = [panel for panel in panels if panel.images and not panel.lines]
    found = list(filter(None, (_panel(panel) for panel in panels if panel not in pictures)))
    texts = found[:MOST_LINES]
    if len(found) > MOST_LINES:
        texts.append(f"{len(found) - MOST_LINES} more panels.")
    if pictures:
        titles = [title for title in (" ".join(panel.get_title().split()) for panel in pictures) if title]
        named = (
            f": {'; '.join(titles[:MOST_LINES])}{', and more' if len(titles) > MOST_LINES else ''}" if titles else ""
        )
        texts.append(f"{len(pictures)} picture{'s' if len(pictures) > 1 else ''}{named}.")
    return " ".join(texts)


def _panel(panel: Axes) -> str:
    """A sentence on a panel; empty if it has neither a name nor a named line."""
    x, y = panel.get_xlabel(), panel.get_ylabel()
    name = " over ".join(filter(None, (y, x))) if y else x
    title = panel.get_title() or panel.get_title(loc="left")
    head = " ".join(": ".join(filter(None, (title, name))).split())
    lines = list(_courses(panel.lines))
    if not head and not lines:
        return ""
    head = head or "A panel"
    return f"{head[0].upper()}{head[1:]}{': ' if lines else ''}{'; '.join(lines[:MOST_LINES])}."


def _courses(lines: Any) -> Iterator[str]:
    """Where the lines that have a name begin and end."""
    for line in lines:
        if not isinstance(line, Line2D) or str(line.get_label()).startswith("_"):
            continue
        values = np.asarray(line.get_ydata(), dtype=float)
        values = values[np.isfinite(values)]
        if len(values) > 1:
            first, last = f"{values[0]:.3g}", f"{values[-1]:.3g}"
            verb = "stays at" if first == last else f"{'rises' if values[-1] > values[0] else 'falls'} from {first} to"
            yield f"{line.get_label()} {verb} {last}"
