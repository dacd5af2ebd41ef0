"""HTML of outputs, as pandoc reads it: what a browser hides is gone, drawings are pictures, colours are stated."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from hwkit.export.colours import classes_of

# What no page shows. Its text is for a browser that runs no scripts, or that does not trust the notebook.
_UNSEEN = "script, template, noscript, [hidden], input[type=hidden]"
# Fields whose value is text that somebody reads.
_TYPED = ("text", "number", "search", "email", "url", "tel", "date", "time", "button", "submit", "reset")
_UNTRUSTED = "Make this Notebook Trusted to load map: File -> Trust Notebook"
_HIDES = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
# Boxes that only a browser's style sheets put in order: xarray's data sets, scikit-learn's models. Text does as well.
_IN_BOXES = re.compile(r"""class=["'][^"']*\b(?:xr|sk)-""")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# Of a style, what a table or a line of text on paper has as well.
_KEPT = ("color", "background", "background-color", "font-weight", "display", "visibility")
_BLOCKS = "p, div, ul, ol, table, pre, h1, h2, h3, h4, h5, h6, blockquote"
_MOST_SELECTORS = 5000  # of one output: a styled table of a few thousand cells has about as many
# Elements that have no end tag, which XML wants.
_VOID = re.compile(r"<(br|hr|img|input|wbr)\b([^<>]*?)/?>")


@dataclass(frozen=True)
class Page:
    """HTML for pandoc, the text that a reader sees of it, and whether it has tables, and pictures or what is played."""

    html: str
    text: str
    pictures: bool
    table: bool

    def says_more_than(self, plain: str) -> bool:
        """Whether a reader sees more of the page than the plain text that stands for it says."""
        if (plain and _IN_BOXES.search(self.html)) or "Loading BokehJS" in self.text:
            return False
        return self.pictures or self.table or "".join(self.text.split()) not in "".join(plain.split())


def read_page(markup: str) -> Page:
    """What a browser would show of the HTML of an output, its scripts aside."""
    tree = LexborHTMLParser(markup.replace(_UNTRUSTED, ""))
    _inline_styles(tree)
    for node in tree.css("[style]"):
        if _HIDES.search(node.attributes.get("style") or ""):
            node.attrs["hidden"] = ""
    while node := tree.css_first(_UNSEEN):
        node.decompose()
    for node in tree.css("button"):
        if not node.text().strip():
            node.attrs["hidden"] = ""  # an icon to be clicked
    while node := tree.css_first("button[hidden]"):
        node.decompose()
    for node in tree.css("input"):
        if (node.attributes.get("type") or "text") in _TYPED:
            node.insert_after(f" {node.attributes.get('value') or node.attributes.get('placeholder') or ''} ")
    for node in tree.css("option, legend, summary, label"):
        node.insert_after(" ")
    drawings = []
    while node := tree.css_first("svg"):
        drawings.append(_drawing(node.html or ""))
        node.replace_with(f"hwkit-drawing-{len(drawings) - 1};")
    while node := tree.css_first("style"):  # not before: those within drawings are theirs
        node.decompose()
    _mark_colours(tree)
    if tree.body is None:
        return Page("", "", pictures=False, table=False)
    html = re.sub(
        r"hwkit-drawing-(\d+);",
        lambda match: drawings[int(match[1])] if int(match[1]) < len(drawings) else match[0],
        tree.body.inner_html or "",
    )
    text = re.sub(r"hwkit-drawing-\d+;", "", tree.body.text(separator=" "))
    pictures = bool(drawings) or tree.css_first("img, iframe, video, audio") is not None
    return Page(html, text.strip(), pictures, table=tree.css_first("table") is not None)


def _mark_colours(tree: LexborHTMLParser) -> None:
    """State the colours of text as classes of spans, those of a table's cell as a span around what is in it."""
    for node in tree.css("font, span, td, th"):
        given = node.attributes
        ground = given.get("bgcolor") or ""
        classes = classes_of(given.get("style") or "", ink=given.get("color") or "", ground=ground)
        if not classes or (node.tag in ("td", "th") and node.css_first(_BLOCKS)):
            continue
        around = LexborHTMLParser(f'<span class="{" ".join(classes)}"></span>').css_first("span")
        assert around is not None
        for child in list(node.iter(include_text=True)):
            around.insert_child(child)
            child.remove()
        node.insert_child(around)


def _inline_styles(tree: LexborHTMLParser) -> None:
    """Write what style sheets say of elements into the elements themselves; the last rule counts."""
    rules = [(one.strip(), said) for several, said in _rules(tree) for one in several.split(",") if one.strip()]
    for selector, declarations in reversed(rules[:_MOST_SELECTORS]):
        try:
            nodes = tree.css(selector)
        except SelectolaxError:  # a selector that browsers know; none of our styles depends on it
            continue
        for node in nodes:
            # Before the element's own style, which counts more, and before what later rules said.
            node.attrs["style"] = ";".join(filter(None, [declarations, node.attributes.get("style") or ""]))


def _rules(tree: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    """Selectors and declarations of the style sheets, of these what is kept."""
    for sheet in tree.css("style"):
        for selectors, body in _RULE.findall(_COMMENT.sub("", sheet.text())):
            if selectors.strip().startswith("@") or ":" in selectors.replace("::", "").replace(":nth-child", ""):
                continue  # of print or of states such as :hover
            declarations = [one.strip() for one in body.split(";")]
            kept = [one for one in declarations if one.split(":")[0].strip().lower() in _KEPT]
            if kept:
                yield selectors, ";".join(kept)


def _drawing(svg: str) -> str:
    """An SVG within HTML as a picture, which has to be XML of its own."""
    svg = _VOID.sub(r"<\1\2/>", svg)
    svg = svg.replace("&nbsp;", "&#160;")
    for name, space in (("xmlns:xlink", "http://www.w3.org/1999/xlink"), ("xmlns", "http://www.w3.org/2000/svg")):
        if not re.search(rf"<svg\b[^>]*\s{name}=", svg):
            svg = svg.replace("<svg", f'<svg {name}="{space}"', 1)
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg.encode("utf-8", "replace")).decode()}">'
