"""Lines over common axes as SVG, drawn in a few milliseconds."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name, colour and points, float (N,) each, and how strongly it is drawn."""

    name: str
    colour: str
    x: np.ndarray
    y: np.ndarray
    faint: bool = False
    dashed: bool = False


WIDTH, HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40
MOST_POINTS = 400  # of one line: more than there are pixels to tell them apart


def chart(lines: Sequence[Line], x_label: str, y_label: str, *, x_end: float, logarithmic: bool = False) -> str:
    """Lines over common axes as SVG, with a legend; `x_end` is the right end of the horizontal axis."""
    lines = [_thinned(line) for line in lines if len(line.x)]
    values = np.concatenate([line.y for line in lines] or [np.array([0.1, 1.0])])
    values = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    span = (values.min(), values.max()) if len(values) else (0.1, 1.0)
    ticks = _powers(*span) if logarithmic else _steps(*span)
    x_span = 0.0, x_end
    scale = np.log10 if logarithmic else np.asarray
    low, high = (float(scale(end)) for end in (min(span[0], ticks[0]), max(span[1], ticks[-1])))

    def across(x: Any) -> Any:
        return _LEFT + (np.asarray(x) - x_span[0]) / max(x_span[1] - x_span[0], 1e-12) * (WIDTH - _LEFT - _RIGHT)

    def down(y: Any) -> Any:
        return HEIGHT - _BOTTOM - (scale(y) - low) / max(high - low, 1e-12) * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in ticks:
        y = float(down(tick))
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="#DDD"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:g}", "end"))
    for tick in _steps(*x_span):
        if tick <= x_span[1]:
            parts.append(_text(float(across(tick)), HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle"))
    for line in lines:
        good = np.isfinite(line.y) & ((line.y > 0) | (not logarithmic))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across(line.x[good]), down(line.y[good]), strict=True))
        style = 'stroke-width="1" opacity="0.3"' if line.faint else 'stroke-width="2"'
        style += ' stroke-dasharray="6 3"' * line.dashed
        name = f"<title>{html.escape(line.name)}</title>"
        parts.append(f'<polyline points="{points}" fill="none" stroke="{line.colour}" {style}>{name}</polyline>')
    parts.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 6, x_label, "middle"))
    parts.append(f'<g transform="rotate(-90)">{_text(-(HEIGHT - _BOTTOM) / 2, 14, y_label, "middle")}</g>')
    drawing = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(y_label)}">{"".join(parts)}</svg>'
    )
    return drawing + _legend([line for line in lines if not line.faint])


def _thinned(line: Line) -> Line:
    step = math.ceil(len(line.x) / MOST_POINTS)
    # The last point is where a training stands: it is never left out.
    chosen = np.unique(np.append(np.arange(0, len(line.x), step), len(line.x) - 1))
    return Line(line.name, line.colour, line.x[chosen], line.y[chosen], line.faint, line.dashed)


def _steps(low: float, high: float) -> list[float]:
    """Round numbers that span a range evenly."""
    return [round(float(tick), 10) for tick in MaxNLocator(5).tick_values(low, high)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten that span a range; fewer where it is wide."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(max(high, low * 1.01))) + 1)
    ticks = [step * 10.0**exponent for exponent in exponents for step in ((1, 2, 5) if len(exponents) < 4 else (1,))]
    below = max((tick for tick in ticks if tick <= low), default=ticks[0])
    above = min((tick for tick in ticks if tick >= high), default=ticks[-1])
    return [float(f"{tick:.6g}") for tick in ticks if below <= tick <= above]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222">{html.escape(text)}</text>'


def _legend(lines: Sequence[Line]) -> str:
    entries = "".join(
        f'<span style="margin-right:18px;white-space:nowrap"><b style="display:inline-block;width:22px;'
        f"border-top:3px {'dashed' if line.dashed else 'solid'} {line.colour};filter:drop-shadow(0 0 1px #999);"
        f'vertical-align:middle"></b> '
        f"{html.escape(line.name)}</span>"
        for line in lines
    )
    return f"<div>{entries}</div>"
