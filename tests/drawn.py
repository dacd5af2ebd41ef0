"""What is drawn in a figure, for tests that look at one."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D


def labelled(figure: Figure, label: str) -> Line2D:
    """The line of a figure's first axes with a label."""
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == label]
    return line


def pictures(figure: Figure) -> list[AxesImage]:
    return [picture for ax in figure.axes for picture in ax.get_images()]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def titles(figure: Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]
