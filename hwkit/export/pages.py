"""HTML of outputs, made ready to be read: style sheets are written into the elements, what a browser hides is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

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
_MOST_SELECTORS = 5000  # of one output: a styled table of a few thousand cells has about as many


@dataclass(frozen=True)
class Page:
    """HTML, the text that a reader sees of it, and whether it has tables, and pictures or what is played."""

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
    for node in tree.css("button"):
        if not node.text().strip():
            node.attrs["hidden"] = ""  # an icon to be clicked
    while node := tree.css_first(_UNSEEN):
        node.decompose()
    for node in tree.css("input"):
        if (node.attributes.get("type") or "text") in _TYPED:
            node.insert_after(f" {node.attributes.get('value') or node.attributes.get('placeholder') or ''} ")
    for node in tree.css("option, legend, label"):
        node.insert_after(" ")
    if tree.body is None:
        return Page("", "", pictures=False, table=False)
    html = tree.body.inner_html or ""
    while node := tree.css_first("style, svg"):
        node.decompose()
    pictures = re.search(r"<(?:img|svg|iframe|video|audio)\b", html) is not None
    return Page(html, tree.body.text(separator=" ").strip(), pictures, table="<table" in html)


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
