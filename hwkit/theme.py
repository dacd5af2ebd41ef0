"""How the report's figures look: sizes, fonts and colours, and the figure that keeps to them.

The theme never touches the user's own settings: figures are drawn within it, and it ends with them.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import matplotlib
import matplotlib.style
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 16.0  # cm: the text width of an A4 page with the report's margins, so that figures print at their own size
RESOLUTION = 200  # dots per inch: sharp in print, and half a page stays below 200 kB

# Red is test and blue is train, as in the seed report. These shades are of Paul Tol's "vibrant" scheme, which
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
    "font.family": "DejaVu Sans",  # ships with matplotlib, so figures look the same on every machine
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlepad": 4,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
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
    "image.interpolation": "nearest",
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
    return matplotlib.style.context(["default", SETTINGS])


class ReportFigure(Figure):
    """A figure that is drawn with the theme whenever it is drawn, and that a notebook shows by itself.

    It never enters pyplot's list of open figures, so a notebook shows it once: where it is the value of a cell.
    """

    def draw(self, renderer: Any) -> None:
        """Draw with the theme: matplotlib reads some settings, those of ticks for instance, only now."""
        with applied():
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture for a notebook, with its size in CSS pixels (96 per inch), at which it has its printed size."""
        buffer = io.BytesIO()
        # `savefig` would draw twice, first to lay out, which drawing does anyway.
        FigureCanvasAgg(self).print_png(buffer)
        width, height = (round(96 * inches) for inches in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


def new_figure(height: float, width: float = WIDTH) -> ReportFigure:
    """An empty figure of a size in cm, whose axes are laid out such that nothing overlaps."""
    with applied():
        return ReportFigure(figsize=(width / 2.54, height / 2.54), dpi=RESOLUTION, layout="constrained")


def new_axes(height: float, width: float = WIDTH) -> Axes:
    """The only axes of a new figure of a size in cm."""
    with applied():
        return new_figure(height, width).add_subplot()
