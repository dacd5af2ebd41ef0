"""What browsers show of an SVG and the typesetter does not: labels that are HTML, and the first of several variants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_SVG = "http://www.w3.org/2000/svg"
_BOX, _SWITCH, _TEXT, _SPAN, _GROUP = (
    f"{{{_SVG}}}{name}" for name in ("foreignObject", "switch", "text", "tspan", "g")
)
_LINE_HEIGHT = 1.2
_ENDS_LINE = ("br", "div", "p", "li", "tr", "h1", "h2", "h3", "h4", "table", "ul", "ol")
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def with_labels(svg: str) -> str:
    """The SVG with the text of its `foreignObject`s as text of its own, and of each `switch` what a browser shows.

    draw.io and mermaid write their labels as HTML; draw.io adds a text that says that this cannot be displayed.

    Raises
    ------
    ElementTree.ParseError
        If it is not XML.
    """
    if "foreignObject" not in svg and "<switch" not in svg:
        return svg
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for index, child in reversed(list(enumerate(parent))):
            if child.tag == _SWITCH:
                parent[index] = child = _chosen(child)
            if child.tag == _BOX:
                parent[index] = _label(child)
    return ElementTree.tostring(root, encoding="unicode")


def _chosen(switch: Element) -> Element:
    """What a browser shows of a switch: its first child that is for readers of all languages."""
    children = [child for child in switch if not child.get("systemLanguage")]
    if not children:
        return Element(f"{{{_SVG}}}g")
    box = children[0].find(f".//{_BOX}") if children[0].tag != _BOX else children[0]
    instead = next((child for child in children[1:] if child.tag == _TEXT), None)
    if box is None or instead is None:
        return children[0]
    # The text that stands in for the label knows its place, but is often cut.
    lines = list(_lines(box))
    for child in list(instead):
        instead.remove(child)
    _write(instead, lines, float(re.sub(r"[^\d.]", "", instead.get("font-size", "")) or 12))
    return instead


def _label(box: Element) -> Element:
    """The text of a box of HTML, in its middle."""
    lines = list(_lines(box))
    markup = ElementTree.tostring(box, encoding="unicode")
    size = re.search(r"font-size:\s*([\d.]+)px", markup)
    points = float(size[1]) if size else 14.0
    colour = re.search(r"[^-]color:\s*([^;\"]+)", markup)
    x, y, width, height = (_number(box.get(key)) for key in ("x", "y", "width", "height"))
    text = Element(_TEXT, {"x": f"{x + width / 2:g}", "text-anchor": "middle", "font-size": f"{points:g}"})
    text.set("y", f"{y + height / 2 + points * (0.35 - _LINE_HEIGHT * (len(lines) - 1) / 2):g}")
    text.set("font-family", "sans-serif")
    if colour:
        text.set("fill", colour[1].strip())
    if box.get("transform"):
        text.set("transform", box.get("transform", ""))
    _write(text, lines, points)
    return text


def _write(text: Element, lines: list[str], points: float) -> None:
    text.text = lines[0] if lines else ""
    for line in lines[1:]:
        span = ElementTree.SubElement(
            text, f"{{{_SVG}}}tspan", {"x": text.get("x", "0"), "dy": f"{points * _LINE_HEIGHT:g}"}
        )
        span.text = line


def _lines(box: Element) -> Iterator[str]:
    """The lines of text in a box of HTML."""
    line: list[str] = []
    for part in _parts(box):
        if part is None:
            if joined := " ".join("".join(line).split()):
                yield joined
            line = []
        else:
            line.append(part)
    if joined := " ".join("".join(line).split()):
        yield joined


def _parts(element: Element) -> Iterator[str | None]:
    """The pieces of text in an element; None is the end of a line."""
    ends = isinstance(element.tag, str) and element.tag.rsplit("}", 1)[-1] in _ENDS_LINE
    if ends:
        yield None
    yield element.text or ""
    for child in element:
        yield from _parts(child)
        yield child.tail or ""
    if ends:
        yield None


def _number(text: str | None) -> float:
    found = re.match(r"\s*(-?[\d.]+)\s*(?:px)?\s*$", text or "")
    return float(found[1]) if found else 0.0
