"""Pictures and charts for the page, as HTML: small PNGs and SVG, each drawn in a few milliseconds."""

from __future__ import annotations

import base64
import functools
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from hwkit import theme

SHEET_COLUMNS = 16


# --- Pictures ---------------------------------------------------------------------------------------------------


def data_uri(pixels: np.ndarray, colours: str | None = None) -> str:
    """Pixels, uint8 (H, W) or (H, W, 3), as the address of a PNG, in a colour map of matplotlib if one is named."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if colours:
        image.putpalette(_palette(colours))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@functools.cache
def _palette(name: str) -> bytes:
    colours = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return (255 * colours).round().astype(np.uint8).tobytes()


def shades(values: Tensor | np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as uint8 of the same shape: `low` and below become 0, `high` and above 255."""
    scaled = (np.asarray(values) - low) * (255 / max(high - low, 1e-12))
    return scaled.clip(0, 255).astype(np.uint8)


def pixels_of(image: Tensor) -> np.ndarray:
    """An image, uint8 (C, H, W), as it is shown, uint8 (H, W) or (H, W, 3): digits black on white."""
    return 255 - image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()


def picture(address: str, size: int, text: str) -> str:
    """A picture of so many CSS pixels width and height, with a text for those who cannot see it."""
    return f'<img src="{address}" width="{size}" height="{size}" alt="{html.escape(text)}">'


def thumbnails(items: Sequence[tuple[str, str, str, str]], size: int) -> str:
    """Pictures to pick from: of each its answer, its address, its caption, and the text that says what it is."""
    buttons = "".join(
        f'<button data-pick="{html.escape(answer)}" tabindex="{-bool(position)}" title="{html.escape(text)}">'
        f"{picture(address, size, text)}{html.escape(caption)}</button>"
        for position, (answer, address, caption, text) in enumerate(items)
    )
    return f'<div class="hwkit-tiles">{buttons}</div>'


def tiles(
    pixels: np.ndarray, titles: Mapping[int, str], *, colours: str | None = None, chosen: int | None = None
) -> str:
    """Small square pictures to pick from by number, all in one PNG.

    Parameters
    ----------
    pixels : uint8 (N, h, h) or (N, h, h, 3).
    titles : of the numbers to show, in this order; the number itself stands below pictures of more than one pixel.
    chosen : the number that is picked now.
    """
    count, size = len(pixels), pixels.shape[1]
    zoom = 12 if size == 1 else max(1, round(48 / size))
    columns, shown = min(SHEET_COLUMNS, count), zoom * size
    sheet = np.zeros((math.ceil(count / columns) * columns, *pixels.shape[1:]), np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(-1, columns, *pixels.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(-1, columns * size, *pixels.shape[3:])
    stop = chosen if chosen in titles else next(iter(titles), None)
    buttons = []
    for number, title in titles.items():
        row, column = divmod(number, columns)
        buttons.append(
            f'<button data-pick="{number}" tabindex="{-(number != stop)}" title="{title}" aria-label="{title}"'
            f"{' aria-pressed=true' * (number == chosen)}>"
            f'<i style="width:{shown}px;height:{shown}px;background-position:-{column * shown}px -{row * shown}px"></i>'
            f"{number if size > 1 else ''}</button>"
        )
    style = f"--sheet:url({data_uri(sheet, colours)});--size:{columns * shown}px auto"
    return f'<div class="hwkit-tiles{" small" * (size == 1)}" style="{style}">{"".join(buttons)}</div>'


def bars(names: Sequence[str], values: Sequence[float], label: int | None, predicted: int) -> str:
    """Probabilities as bars: the true class green, a wrong prediction red, and marked in words too."""
    rows = []
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        colour, word = theme.NEUTRAL, ""
        if number == predicted:
            colour, word = theme.WRONG if label is not None else theme.TRAIN["color"], "predicted"
        if number == label:
            colour, word = theme.CORRECT, "true, predicted" if number == predicted else "true"
        rows.append(
            f'<span>{html.escape(name)}</span><span><b style="width:{70 * value:.1f}px;background:{colour}"></b>'
            f"{value:.3f} {word}</span>"
        )
    return f'<div class="hwkit-bars">{"".join(rows)}</div>'


def dot(colour: str, *, filled: bool = True) -> str:
    """A dot of a legend, with a rim that is seen on dark and on bright pages."""
    return f'<span class="hwkit-dot" style="background:{colour if filled else "none"}"></span>'


def matrix(names: Sequence[str], counts: np.ndarray) -> str:
    """A confusion matrix, int (10, 10), whose cells are picked as "true predicted"; mistakes are coloured."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    strength = np.sqrt(wrong / max(1, wrong.max()))
    colours = matplotlib.colormaps["YlOrBr"](0.6 * strength)[..., :3]
    rows = []
    for label, name in enumerate(names):
        cells = []
        for predicted, count in enumerate(counts[label]):
            background = "#D9D9D9" if label == predicted else matplotlib.colors.to_hex(colours[label, predicted])
            what = f"{count} of true class {name}, taken for {names[predicted]}"
            cells.append(
                f'<td><button data-pick="{label} {predicted}" tabindex="{-(label + predicted > 0)}" '
                f'title="{html.escape(what)}" aria-label="{html.escape(what)}" '
                f'style="background:{background};color:#111">{count or ""}</button></td>'
            )
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{html.escape(name[:6])}</th>' for name in names)
    return f'<table class="matrix"><tr><th>true \\ predicted</th>{head}</tr>{"".join(rows)}</table>'


# --- Charts -----------------------------------------------------------------------------------------------------


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


def chart(lines: Sequence[Line], x_label: str, y_label: str, *, logarithmic: bool = False) -> str:
    """Lines over common axes as SVG, with a legend of those that are not faint."""
    lines = [_thinned(line) for line in lines if len(line.x)]
    values = np.concatenate([line.y for line in lines] or [np.array([0.1, 1.0])])
    values = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    span = (values.min(), values.max()) if len(values) else (0.1, 1.0)
    ticks = _powers(*span) if logarithmic else _steps(*span)
    x_span = 0.0, max([line.x[-1] for line in lines], default=1.0)
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


def histograms(panels: Mapping[str, Sequence[tuple[str, np.ndarray, np.ndarray]]]) -> str:
    """A small histogram per panel as SVG, on logarithmic axes of density.

    Parameters
    ----------
    panels : by title, of each distribution its colour, its density, float (bins,), and the edges, float (bins + 1,).
    """
    columns, width, height = 4, 205, 120
    rows = math.ceil(len(panels) / columns)
    parts = []
    for place, (title, distributions) in enumerate(panels.items()):
        row, column = divmod(place, columns)
        left, top = column * (width + 12), row * (height + 46) + 18
        parts.append(_text(left + 2, top - 5, title, "start"))
        densities = np.concatenate([density[density > 0] for _, density, _ in distributions])
        low, high = np.log10(densities.min()) - 0.3, np.log10(densities.max()) + 0.1
        for colour, density, edges in distributions:
            share = (edges - edges[0]) / max(edges[-1] - edges[0], 1e-12)
            heights = (np.log10(np.maximum(density, 10**low)) - low) / (high - low) * height
            steps = "".join(
                f"V{top + height - rise:.1f}H{left + width * end:.1f}"
                for rise, end in zip(heights, share[1:], strict=True)
            )
            outline = f"M{left} {top + height}{steps}V{top + height}"
            parts.append(f'<path d="{outline}" fill="{colour}" fill-opacity="0.35" stroke="{colour}"/>')
        edges = distributions[0][2]
        parts.append(f'<path d="M{left} {top + height}h{width}" stroke="#444"/>')
        parts.append(_text(left + 2, top + height + 14, f"{edges[0]:.2g}", "start"))
        parts.append(_text(left + width, top + height + 14, f"{edges[-1]:.2g}", "end"))
    size = f"{columns * (width + 12)} {rows * (height + 46)}"
    return f'<svg viewBox="0 0 {size}" role="img" aria-label="weight distributions">{"".join(parts)}</svg>'


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
