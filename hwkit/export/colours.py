"""Colours of text and of its ground, from CSS to the document: as classes of spans, which writers may pass over."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PIL import ImageColor

_INK, _GROUND = "hwkit-ink-", "hwkit-ground-"
_DECLARATION = re.compile(r"([\w-]+)\s*:\s*([^;]+)")
_PALE = 0.8  # text of more luminance than this cannot be read on white paper


def classes_of(style: str, *, ink: str = "", ground: str = "") -> list[str]:
    """The classes that say what a CSS style, and the attributes of old HTML, say of colours.

    Text as pale as on a dark page keeps its colour only where its ground has one.

    Examples
    --------
    >>> classes_of("color: red; background-color: #ff0")
    ['hwkit-ink-ff0000', 'hwkit-ground-ffff00']
    """
    said = {key.lower(): value.strip() for key, value in _DECLARATION.findall(style)}
    ground_colour = _colour(said.get("background-color") or said.get("background") or ground)
    ink_colour = _colour(said.get("color") or ink)
    if ink_colour and not ground_colour and _luminance(ink_colour) > _PALE:
        ink_colour = ""
    named = ((_INK, ink_colour), (_GROUND, ground_colour))
    return [prefix + colour for prefix, colour in named if colour]


def of_classes(classes: Sequence[str]) -> tuple[str, str]:
    """The colours of text and ground that classes say, as "#rrggbb" or empty."""
    found = ["", ""]
    for place, prefix in enumerate((_INK, _GROUND)):
        for name in classes:
            if re.fullmatch(prefix + "[0-9a-f]{6}", name):
                found[place] = f"#{name.removeprefix(prefix)}"
    return found[0], found[1]


def _colour(css: str) -> str:
    """A CSS colour as six hex digits; empty for none, for one that is transparent and for what is not known."""
    text = css.strip().lower().removesuffix("!important").strip()
    alpha = re.fullmatch(r"(rgb|hsl)a?\(([^,/]+[, ]+[^,/]+[, ]+[^,/]+?)\s*[,/]\s*([\d.]+%?)\s*\)", text)
    if alpha:
        if float(alpha[3].rstrip("%")) == 0:
            return ""
        text = f"{alpha[1]}({alpha[2]})"
    try:
        red, green, blue, *rest = ImageColor.getrgb(text)
    except (ValueError, IndexError):
        return ""
    return "" if rest == [0] else f"{red:02x}{green:02x}{blue:02x}"


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return 0.299 * red + 0.587 * green + 0.114 * blue
