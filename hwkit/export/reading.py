"""Markdown and HTML to pandoc's document tree: through HTML, as in Jupyter, so that each means what a browser shows.

The text may hold chunks and divisions of `hwkit.export.markdown`. Each chunk is read by itself: what one cell leaves
open (a fence, a division, a tag) ends with that cell, as it does in Jupyter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markdown_it.token import Token

from hwkit.export import ast, pandoc
from hwkit.export.ast import Element
from hwkit.export.delimiters import hide_formulas
from hwkit.export.dialect import attributes_in, directive_in, parser
from hwkit.export.html_reader import KEPT, blocks_of

# Directives within directives, chunks within chunks.
_DEEPEST = 6

# MyST's notes, and the callouts that they are.
_ADMONITIONS = {
    **dict.fromkeys(("note", "seealso", "admonition"), "note"),
    **dict.fromkeys(("tip", "hint"), "tip"),
    "important": "important",
    **dict.fromkeys(("warning", "attention"), "warning"),
    **dict.fromkeys(("caution", "danger", "error"), "caution"),
}
# Directives whose text stands on paper where it stands in the notebook, and those that only a book's builder obeys.
_FLOWING = re.compile(
    "margin|sidebar|topic|dropdown|details|epigraph|pull-quote|highlights|tab-set|tab-item|exercise|solution|card|grid"
    "|grid-item|grid-item-card|list-table|table|aside|div|proof|theorem|lemma|definition|example|remark|corollary"
    "|algorithm"
)
_OF_A_BOOK = ("tableofcontents", "toctree", "contents", "bibliography", "index")
_PROGRAMS = ("code-block", "code", "sourcecode", "code-cell")
_OPTION = re.compile(r":([\w-]+):[ \t]*([^\n]*)\n?")
_GITHUB_NOTE = re.compile(r"\[!([A-Z]+)\]")


def read(text: str, markup: str = "markdown", depth: int = 0) -> list[Element]:
    """The blocks of a text; `markup` is "markdown", "inline" (Markdown without blocks: captions), "html" or "latex"."""
    if markup == "html":
        return blocks_of(text)
    if markup == "latex":
        return pandoc.latex_to_blocks(text)
    return _Markdown(depth).inline(text) if markup == "inline" else _Markdown(depth).blocks(text)


class _Markdown:
    """One text on its way."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.kept: list[list[Element]] = []

    def blocks(self, text: str) -> list[Element]:
        source, self.hidden = hide_formulas(text.replace("\r\n", "\n").replace("\r", "\n"))
        env: dict[str, Any] = {"kept": self.kept}
        return self._finished(self._html(parser().parse(source, env), env))

    def inline(self, text: str) -> list[Element]:
        """Paragraphs without any other block: "1. The loss" is no list."""
        source, self.hidden = hide_formulas(text)
        env: dict[str, Any] = {"kept": self.kept}
        paragraphs = [part.strip() for part in re.split(r"\n\s*\n", source) if part.strip()]
        return self._finished("".join(f"<p>{parser().renderInline(part, env)}</p>" for part in paragraphs))

    def _html(self, tokens: Sequence[Token], env: dict[str, Any]) -> str:
        """The tokens as HTML, those of fences and directives as what they mean."""
        md = parser()
        pieces: list[str] = []
        start = 0
        for index, token in enumerate(tokens):
            if token.type in ("fence", "directive"):
                pieces.append(md.renderer.render(tokens[start:index], md.options, env))
                blocks = self._fence(token) if token.type == "fence" else self._directive(token)
                pieces.append(blocks if isinstance(blocks, str) else self._keep(blocks))
                start = index + 1
        return "".join([*pieces, md.renderer.render(tokens[start:], md.options, env)])

    def _keep(self, blocks: list[Element]) -> str:
        self.kept.append(blocks)
        return f'<div {KEPT}="{len(self.kept) - 1}"></div>\n'

    def _finished(self, html: str) -> list[Element]:
        blocks = blocks_of(html, kept=self.kept, hidden=self.hidden)
        if "hwkit-note-text" in html:
            blocks = _with_notes(blocks)
        return ast.changed_inside(blocks, _meant) if "callout" in html or "tabset" in html or "[!" in html else blocks

    # --- fences ----------------------------------------------------------------------------------------------

    def _fence(self, token: Token) -> list[Element] | str:
        """What fenced text is: a chunk, a directive, a formula, markup of another format, or code."""
        text = self.hidden.restored(token.content).removesuffix("\n")
        info = self.hidden.restored(token.info).strip()
        if raw := re.fullmatch(r"\{=(\w+)\}", info):
            return f"{token.content}\n" if raw[1].startswith("html") else [ast.raw_block(raw[1], text)]
        braced = info.find("{")
        attributes, _ = (attributes_in(info, braced) if braced >= 0 else None) or ({}, 0)
        classes = attributes.get("class", "").split()
        if "hwkit-chunk" in classes and self.depth < _DEEPEST:
            return [self._chunk(text, attributes)]
        if not attributes and (directive := directive_in(info)):
            return self._directed(*directive, text, "fence")
        language = re.split(r"[\s{]", info, maxsplit=1)[0]
        if language == "math":
            return [ast.paragraph([ast.math(text, display=True)])]
        caption = attributes.pop("lst-cap", "")
        identifier = attributes.pop("id", "")
        attributes.pop("class", "")
        values = {key: value for key, value in attributes.items()}
        names = [name for name in (language, *classes) if name]
        if caption:
            return _captioned_program(text, names, identifier, self._title(caption))
        return [ast.code_block(text, ast.attr(identifier, tuple(names), **values))]

    def _chunk(self, text: str, attributes: dict[str, str]) -> Element:
        """A chunk of `hwkit.export.markdown`, read by itself."""
        cell, markup = attributes.get("cell", ""), attributes.get("markup", "markdown")
        blocks = read(text, markup, self.depth + 1)
        return ast.division(blocks, ast.attr("", ("hwkit-chunk",), cell=cell, markup=markup))

    def _directive(self, token: Token) -> list[Element]:
        text = self.hidden.restored(token.content).removesuffix("\n")
        return self._directed(token.meta["name"], self.hidden.restored(token.meta["title"]), text, "division")

    def _directed(self, name: str, title: str, text: str, written_as: str) -> list[Element]:
        """A MyST directive; one that nobody knows is a division, or the code of its language."""
        name = name.removeprefix("prf:")
        options, body = _options(text)
        label = options.get("name") or options.get("label") or ""
        if self.depth >= _DEEPEST:
            return [ast.code_block(text, ast.attr())]
        if name == "math":
            tex = body + (f"\\label{{{label}}}" if label else "")
            return [ast.paragraph([ast.math(tex, display=True)])]
        if name in _ADMONITIONS:
            heading = [ast.header(2, self._title(title))] if title else []
            return [ast.division(heading + self._inside(body), ast.attr("", (f"callout-{_ADMONITIONS[name]}",)))]
        if name in ("figure", "image"):
            size = {"width": options["width"]} if "width" in options else {}
            image = {
                "t": "Image",
                "c": [ast.attr("", (), **size), ast.text_inlines(options.get("alt", "")), [title, ""]],
            }
            if name == "image":
                return [ast.paragraph([image])]
            return [{"t": "Figure", "c": [ast.attr(label), [None, self._inside(body)], [ast.plain([image])]]}]
        if name in _OF_A_BOOK:
            return []
        if name in _PROGRAMS:
            names = [title] if title else []
            if "caption" in options:
                return _captioned_program(body, names, label, self._title(options["caption"]))
            return [ast.code_block(body, ast.attr(label, tuple(names)))]
        if _FLOWING.fullmatch(name) or written_as == "division":
            heading = [ast.paragraph([ast.strong(self._title(title))])] if title else []
            return heading + self._inside(body)
        return [ast.code_block(f"{title}\n{text}" if title else text, ast.attr("", (name,)))]

    def _inside(self, text: str) -> list[Element]:
        return read(text, "markdown", self.depth + 1)

    def _title(self, text: str) -> list[Element]:
        return [inline for block in read(text, "inline", self.depth + 1) for inline in block["c"]]


def _captioned_program(text: str, names: Sequence[str], label: str, caption: list[Element]) -> list[Element]:
    """A program with a caption, in Quarto's syntax: ```{#lst-x .python lst-cap="..."}."""
    above = ast.division([ast.plain(caption)], ast.attr("", ("hwkit-caption",)))
    program = ast.code_block(text, ast.attr("", tuple(names)))
    return [ast.division([above, program], ast.attr(label, ("hwkit-listing",)))]


def _options(text: str) -> tuple[dict[str, str], str]:
    """The lines `:key: value` that a directive begins with, and what follows them."""
    options: dict[str, str] = {}
    position = 0
    while match := _OPTION.match(text, position):
        options[match[1]] = match[2].strip()
        position = match.end()
    return options, text[position:]


# --- what divisions and quotes mean ----------------------------------------------------------------------------


def _meant(element: Element) -> Element:
    if element["t"] == "BlockQuote":
        return _github_note(element)
    if element["t"] == "Div":
        attributes, blocks = element["c"]
        title = ast.attr_value(attributes, "title")
        if title and any(name.startswith("callout-") for name in attributes[1]):
            attributes[2] = [pair for pair in attributes[2] if pair[0] != "title"]
            blocks.insert(0, ast.header(2, [i for block in read(title, "inline") for i in block["c"]]))
        elif "panel-tabset" in attributes[1]:
            # Tabs, which paper has not, stand one after the other.
            tabs = ast.changed(
                blocks, lambda e: [ast.paragraph([ast.strong(e["c"][2])])] if e["t"] == "Header" else None
            )
            return ast.division(tabs, attributes)
    return element


def _github_note(quote: Element) -> Element:
    """GitHub's notes, "> [!NOTE] Title", as the callouts that they are."""
    first: Element = quote["c"][0] if quote["c"] else ast.paragraph([])
    kind = _GITHUB_NOTE.fullmatch(ast.text_of(first["c"][:1])) if first["t"] == "Para" else None
    if not kind:
        return quote
    breaks = [place for place, inline in enumerate(first["c"]) if inline["t"] in ("SoftBreak", "LineBreak")]
    end = breaks[0] if breaks else len(first["c"])
    title, body = first["c"][1:end], first["c"][end + 1 :]
    title = title[1:] if title and title[0]["t"] == "Space" else title
    blocks = [*([ast.header(2, title)] if title else []), *([ast.paragraph(body)] if body else []), *quote["c"][1:]]
    return ast.division(blocks, ast.attr("", (f"callout-{kind[1].lower()}",)))


def _with_notes(blocks: list[Element]) -> list[Element]:
    """The blocks with the texts of footnotes where they are referred to; a text without a reference stays."""
    texts: dict[str, list[Element]] = {}
    referred: set[str] = set()

    def label_of(element: Element, kind: str) -> str | None:
        is_kind = element["t"] in ("Span", "Div") and kind in element["c"][0][1]
        return ast.attr_value(element["c"][0], "label") if is_kind else None

    for division in ast.elements(blocks, "Div"):
        if (label := label_of(division, "hwkit-note-text")) is not None:
            texts.setdefault(label, division["c"][1])
    for mark in ast.elements(blocks, "Span"):
        if (label := label_of(mark, "hwkit-note-reference")) is not None:
            referred.add(label)

    def placed(element: Element, inside: frozenset[str] = frozenset()) -> list[Element] | None:
        if (label := label_of(element, "hwkit-note-reference")) is not None:
            if label in inside or label not in texts:
                return [ast.string(f"[^{label}]")]
            note = ast.changed(texts[label], lambda e: placed(e, inside | {label}))
            return [{"t": "Note", "c": note}]
        if (label := label_of(element, "hwkit-note-text")) is not None:
            return [] if label in referred else ast.changed(element["c"][1], placed)
        return None

    return ast.changed(blocks, placed)
