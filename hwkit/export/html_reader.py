"""HTML as a browser reads it, as a document tree: for outputs of cells and for what Markdown becomes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from hwkit.export import ast
from hwkit.export.ast import Element
from hwkit.export.colours import classes_of
from hwkit.export.delimiters import Hidden, hide_formulas

# The attribute of an element that stands for a node of the tree: its place among those that `blocks_of` is given.
KEPT = "hwkit-kept"
_INLINE = {
    **dict.fromkeys(("b", "strong"), "Strong"),
    **dict.fromkeys(("i", "em", "cite", "var", "dfn"), "Emph"),
    **dict.fromkeys(("s", "del", "strike"), "Strikeout"),
    **dict.fromkeys(("u", "ins"), "Underline"),
    "sub": "Subscript",
    "sup": "Superscript",
}
_CODE = ("code", "samp", "tt", "kbd")
_EMBEDDED = ("iframe", "video", "audio", "embed", "object")
_UNSEEN = ("script", "style", "template", "noscript", "head", "title", "col", "colgroup", "source", "track", "rp")
_BLOCK_SELECTOR = (
    "address, article, aside, blockquote, body, center, details, dialog, dd, div, dl, dt, fieldset, figcaption, figure,"
    " footer, form, h1, h2, h3, h4, h5, h6, header, hgroup, hr, html, legend, li, main, nav, ol, p, pre, search,"
    " section, summary, table, ul"
)
_BLOCKS = frozenset(_BLOCK_SELECTOR.split(", "))
_HIDDEN = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
_TEXT_ALIGN = re.compile(r"(?:^|;)\s*text-align\s*:\s*(left|right|center)\b", re.IGNORECASE)
_ALIGNMENTS = {"left": "AlignLeft", "right": "AlignRight", "center": "AlignCenter"}
_NUMBERINGS = {"a": "LowerAlpha", "A": "UpperAlpha", "i": "LowerRoman", "I": "UpperRoman"}
_VOID = re.compile(r"<(br|hr|img|input|wbr)\b([^<>]*?)/?>")
_SPACES = re.compile(r"([ \t\n\r\f]+)")
# Deeper than any page that someone meant; what lies below is text.
_DEEPEST = 60
_MOST_COLUMNS = 500


def blocks_of(html: str, *, kept: Sequence[list[Element]] = (), hidden: Hidden | None = None) -> list[Element]:
    """The blocks of an HTML text.

    An element with the attribute `hwkit-kept="n"` stands for `kept[n]`. `hidden` are the formulas that were taken out
    of the text (`hwkit.export.delimiters`); without it, formulas are found where MathJax finds them.
    """
    body = LexborHTMLParser(html).body
    return _Reader(kept, hidden, body).blocks(body, ast.paragraph) if body else []


class _Reader:
    def __init__(self, kept: Sequence[list[Element]], hidden: Hidden | None, body: LexborNode) -> None:
        self.kept = kept
        self.hidden = hidden
        # Elements of a line that hold blocks, as `<a><div>`: to be read as the boxes that they are.
        self.boxes: set[int] = set()
        for block in body.css(_BLOCK_SELECTOR) if body else []:
            above = block.parent
            while above is not None and above.tag not in _BLOCKS and above.mem_id not in self.boxes:
                self.boxes.add(above.mem_id)
                above = above.parent
        self.depth = 0

    # --- blocks ----------------------------------------------------------------------------------------------

    def blocks(self, parent: LexborNode, line: Callable[[list[Element]], Element]) -> list[Element]:
        """What is inside an element; `line` makes a block of text that stands in no block of its own."""
        if self.depth > _DEEPEST:
            return [ast.paragraph(words)] if (words := ast.text_inlines(parent.text())) else []
        self.depth += 1
        blocks: list[Element] = []
        run: list[Element] = []
        for node in _children(parent):
            if node.tag in _BLOCKS or node.mem_id in self.boxes:
                found = self._block(node, line)
                blocks += [*_lines(run, line), *found]
                run = []
            else:
                run += self._inline(node)
        self.depth -= 1
        return blocks + _lines(run, line)

    def _block(self, node: LexborNode, line: Callable[[list[Element]], Element]) -> list[Element]:
        tag = node.tag or ""
        attributes = node.attributes
        if KEPT in attributes:
            return self._kept(attributes)
        if _is_hidden(attributes):
            return []
        if tag == "p":
            return _lines(self._inlines(node), ast.paragraph)
        if re.fullmatch("h[1-6]", tag):
            return [{"t": "Header", "c": [int(tag[1]), self._attr(node), _trimmed(self._inlines(node))]}]
        if tag in ("ul", "ol"):
            return self._list(node)
        if tag == "dl":
            return self._definitions(node)
        if tag == "blockquote":
            return [{"t": "BlockQuote", "c": self.blocks(node, ast.paragraph)}]
        if tag == "pre":
            return [self._code_block(node)]
        if tag == "hr":
            return [{"t": "HorizontalRule"}]
        if tag == "table":
            return self._table(node)
        if tag == "figure":
            return [self._figure(node)]
        if tag == "summary":
            title = _trimmed(self._inlines(node))
            return [ast.paragraph([ast.strong(title)])] if title else []
        if tag in _EMBEDDED:
            return [ast.paragraph(self._inline(node))]
        return self._div(node)

    def _div(self, node: LexborNode) -> list[Element]:
        inside = self.blocks(node, ast.paragraph)
        if look := _INLINE.get(node.tag or ""):
            for block in inside:
                block["c"] = [{"t": look, "c": block["c"]}] if block["t"] == "Para" else block["c"]
        attributes = self._attr(node)
        return [ast.division(inside, attributes)] if any(attributes) else inside

    def _list(self, node: LexborNode) -> list[Element]:
        items: list[list[Element]] = []
        for child in _children(node):
            if child.tag == "li" and not _is_hidden(child.attributes):
                items.append(self.blocks(child, ast.plain))
            elif inside := self.blocks_of_one(child):
                # A list right inside of a list belongs to the item before it.
                items[-1:] = [[*items[-1], *inside]] if items else [inside]
        if not items:
            return []
        if node.tag == "ul":
            return [{"t": "BulletList", "c": items}]
        start, kind = _number(node.attributes.get("start"), 1), node.attributes.get("type") or ""
        style = [start, {"t": _NUMBERINGS.get(kind, "Decimal")}, {"t": "Period"}]
        return [{"t": "OrderedList", "c": [style, items]}]

    def blocks_of_one(self, node: LexborNode) -> list[Element]:
        """The blocks that a node is by itself."""
        if node.tag in _BLOCKS or node.mem_id in self.boxes:
            return self._block(node, ast.plain)
        return _lines(self._inline(node), ast.plain)

    def _definitions(self, node: LexborNode) -> list[Element]:
        pairs: list[list[Any]] = []
        parts = [part for child in _children(node) for part in (_children(child) if child.tag == "div" else [child])]
        for part in parts:
            if part.tag == "dt":
                pairs.append([_trimmed(self._inlines(part)), []])
            elif inside := self.blocks(part, ast.plain) if part.tag == "dd" else self.blocks_of_one(part):
                pairs = pairs or [[[], []]]
                pairs[-1][1].append(inside)
        return [{"t": "DefinitionList", "c": pairs}] if pairs else []

    def _code_block(self, node: LexborNode) -> Element:
        attributes = self._attr(node)
        code = node.css_first("code")
        name = str(code.attributes.get("class") or "") if code is not None else ""
        attributes[1] += [part.removeprefix("language-") for part in name.split()]
        text = self._source(node.text())
        return ast.code_block(text.removesuffix("\n"), attributes)

    def _figure(self, node: LexborNode) -> Element:
        captions = [child for child in _children(node) if child.tag == "figcaption"]
        caption = [block for child in captions for block in self.blocks(child, ast.plain)]
        for child in captions:
            child.decompose()
        return {"t": "Figure", "c": [self._attr(node), [None, caption], self.blocks(node, ast.plain)]}

    # --- tables ----------------------------------------------------------------------------------------------

    def _table(self, node: LexborNode) -> list[Element]:
        self.depth += _DEEPEST // 8  # a table's tree is deep
        table = self._table_of(node)
        self.depth -= _DEEPEST // 8
        return table

    def _table_of(self, node: LexborNode) -> list[Element]:
        caption: list[Element] = []
        sections: dict[str, list[list[LexborNode]]] = {"thead": [], "tbody": [], "tfoot": []}
        for part in _children(node):
            if part.tag == "caption":
                caption = self.blocks(part, ast.plain)
            for row in _children(part):
                cells = [cell for cell in _children(row) if cell.tag in ("td", "th")]
                if row.tag == "tr" and cells and not _is_hidden(row.attributes):
                    visible = [cell for cell in cells if not _is_hidden(cell.attributes)]
                    sections.get(part.tag or "", sections["tbody"]).append(visible)
        head, body, foot = sections.values()
        while not head and len(body) > 1 and all(cell.tag == "th" for cell in body[0]):
            head.append(body.pop(0))
        rows = [self._rows(section) for section in (head, body, foot)]
        count = min(max((width for _, width in rows), default=0), _MOST_COLUMNS)
        if not count:
            return []
        head_rows, body_rows, foot_rows = (_filled(section, count) for section, _ in rows)
        labels = 0
        while body and all(len(row) > labels and row[labels].tag == "th" for row in body):
            labels += 1
        columns = [[{"t": _column_alignment(head + body, column)}, {"t": "ColWidthDefault"}] for column in range(count)]
        return [
            {
                "t": "Table",
                "c": [
                    self._attr(node),
                    [None, caption],
                    columns,
                    [ast.attr(), head_rows],
                    [[ast.attr(), min(labels, count), [], body_rows]],
                    [ast.attr(), foot_rows],
                ],
            }
        ]

    def _rows(self, rows: list[list[LexborNode]]) -> tuple[list[Any], int]:
        """Rows of pandoc's cells, and how many columns they take."""
        result, widest = [], 0
        reaching = [0]  # in how many rows from here on each column is taken by a cell from above
        for index, row in enumerate(rows):
            column, cells = 0, []
            for node in row:
                while column < len(reaching) and reaching[column]:
                    column += 1
                spans = [_number(node.attributes.get(key), 1) for key in ("rowspan", "colspan")]
                down = min(spans[0] or len(rows), len(rows) - index)
                across = min(max(spans[1], 1), max(_MOST_COLUMNS - column, 1))
                reaching += [0] * (column + across - len(reaching))
                reaching[column : column + across] = [down] * across
                align = {"t": _ALIGNMENTS.get(_alignment(node), "AlignDefault")}
                cells.append([ast.attr(), align, down, across, self._cell(node)])
                column += across
            widest = max(widest, len(reaching))
            reaching = [max(0, rows_left - 1) for rows_left in reaching]
            result.append([ast.attr(), cells])
        return result, widest

    def _cell(self, node: LexborNode) -> list[Element]:
        """The blocks of a table's cell; its colours are those of a span around its line."""
        blocks = self.blocks(node, ast.plain)
        given = {key: node.attributes.get(key) or "" for key in ("style", "color", "bgcolor")}
        colours = classes_of(given["style"], ink=given["color"], ground=given["bgcolor"])
        if colours and len(blocks) == 1 and blocks[0]["t"] == "Plain":
            return [ast.plain([ast.span(blocks[0]["c"], ast.attr("", tuple(colours)))])]
        return blocks

    # --- lines -----------------------------------------------------------------------------------------------

    def _inlines(self, parent: LexborNode) -> list[Element]:
        if self.depth > _DEEPEST:
            return ast.text_inlines(parent.text())
        self.depth += 1
        inlines = [inline for node in _children(parent) for inline in self._inline(node)]
        self.depth -= 1
        return inlines

    def _inline(self, node: LexborNode) -> list[Element]:
        tag = node.tag or ""
        if tag == "-text":
            return self._text(node.text_content or "")
        attributes = node.attributes
        if tag.startswith("-") or tag in _UNSEEN or _is_hidden(attributes):
            return []
        if KEPT in attributes:
            return self._kept(attributes)
        if tag == "br":
            return [{"t": "LineBreak"}]
        if tag == "img":
            alt = ast.text_inlines(self._source(attributes.get("alt") or ""))
            return [{"t": "Image", "c": [self._attr(node), alt, [self._source(attributes.get("src") or ""), ""]]}]
        if tag == "svg":
            return self._drawing(node)
        if tag == "math":
            tex = node.css_first('annotation[encoding="application/x-tex"]')
            return [ast.math(tex.text())] if tex is not None else ast.text_inlines(node.text())
        if tag == "input":
            box = {"checkbox": ("☐", "☒"), "radio": ("○", "◉")}.get(attributes.get("type") or "")
            return [ast.string(box["checked" in attributes]), ast.space()] if box else []
        if tag in _EMBEDDED and (tag != "object" or not node.text().strip()):
            inner = node.css_first("source[src]")
            address = next((a for a in (*_addresses(node), *_addresses(inner)) if not re.match("data:|about:", a)), "")
            return [ast.span([], ast.attr("", ("hwkit-embedded",), what=tag, address=address))]
        if tag in _CODE:
            text = " ".join(self._source(node.text()).split("\n"))
            return [{"t": "Code", "c": [self._attr(node), text]}] if text else []
        return self._styled(tag, node)

    def _styled(self, tag: str, node: LexborNode) -> list[Element]:
        """Inlines with a look, a link or an anchor."""
        attributes = self._attr(node)
        cited = ast.attr_value(attributes, "cite")
        inside = self._inlines(node)
        if cited and tag in ("cite", "a", "span"):
            return [ast.citation(cited.split(","), inside)]
        if tag == "a" and ast.attr_value(attributes, "href"):
            link = ast.link(inside, ast.attr_value(attributes, "href"))
            if attributes[0]:
                link["c"][0][0] = attributes[0]
            return [link]
        if tag == "q":
            return [{"t": "Quoted", "c": [{"t": "DoubleQuote"}, inside]}]
        if kind := _INLINE.get(tag):
            inside = [{"t": kind, "c": inside}] if inside else []
        if tag == "a":
            attributes[0] = attributes[0] or ast.attr_value(attributes, "name")
        colours = classes_of(ast.attr_value(attributes, "style"), ink=ast.attr_value(attributes, "color"))
        classes = (*attributes[1], *colours) if tag == "span" else tuple(colours)
        return [ast.span(inside, ast.attr(attributes[0], classes))] if attributes[0] or classes else inside

    def _drawing(self, node: LexborNode) -> list[Element]:
        """A drawing in SVG; the signs on buttons are none."""
        above = node.parent
        while above is not None:
            if above.tag == "button":
                return []
            above = above.parent
        # Of HTML, XML lacks entities and wants end tags.
        text = _VOID.sub(r"<\1\2/>", node.html or "").replace("&nbsp;", "&#160;")
        if not re.match(r"<svg\b[^>]*\sxmlns=", text):
            text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        if "xlink:" in text and "xmlns:xlink" not in text:
            text = text.replace("<svg", '<svg xmlns:xlink="http://www.w3.org/1999/xlink"', 1)
        uri = f"data:image/svg+xml;base64,{base64.b64encode(text.encode('utf-8', 'replace')).decode()}"
        return [{"t": "Image", "c": [ast.attr(), [], [uri, ""]]}]

    def _text(self, text: str) -> list[Element]:
        """A run of text: words, spaces, and formulas."""
        hidden = self.hidden
        if hidden is None:
            text, hidden = hide_formulas(text, escaped=False) if "$" in text or "\\" in text else (text, Hidden())
        inlines: list[Element] = []
        for piece in hidden.split(text):
            if not isinstance(piece, str):
                inlines.append(ast.math(piece.tex, display=piece.display))
                continue
            for word in _SPACES.split(piece):
                if word.isspace() and _SPACES.fullmatch(word):
                    inlines.append({"t": "SoftBreak"} if "\n" in word else ast.space())
                elif word:
                    inlines.append(ast.string(word))
        return inlines

    def _source(self, text: str) -> str:
        """Text that holds no formulas, such as code: with the signs that looked like some."""
        return self.hidden.restored(text) if self.hidden else text

    def _attr(self, node: LexborNode) -> list[Any]:
        values = {key: self._source(value or "") for key, value in node.attributes.items()}
        pairs = {key.removeprefix("data-"): value for key, value in values.items() if key not in ("id", "class")}
        return ast.attr(values.get("id", ""), tuple(values.get("class", "").split()), **pairs)

    def _kept(self, attributes: dict[str, str | None]) -> list[Element]:
        place = _number(attributes[KEPT], -1)
        return list(self.kept[place]) if 0 <= place < len(self.kept) else []


def _children(node: LexborNode) -> list[LexborNode]:
    children = []
    child = node.first_child
    while child is not None:
        children.append(child)
        child = child.next
    return children


def _lines(run: list[Element], line: Callable[[list[Element]], Element]) -> list[Element]:
    run = _trimmed(run)
    return [line(run)] if run else []


def _trimmed(inlines: list[Element]) -> list[Element]:
    """Inlines without the spaces at their ends and those that follow another."""
    gaps = ("Space", "SoftBreak")
    kept: list[Element] = []
    for inline in inlines:
        if inline["t"] in gaps and (not kept or kept[-1]["t"] in (*gaps, "LineBreak")):
            continue
        if inline["t"] == "LineBreak" and kept and kept[-1]["t"] in gaps:
            kept.pop()
        kept.append(inline)
    while kept and kept[-1]["t"] in (*gaps, "LineBreak"):
        kept.pop()
    return kept


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or bool(_HIDDEN.search(attributes.get("style") or ""))


def _number(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"\s*\d{1,6}\s*", text, re.ASCII) else default


def _addresses(node: LexborNode | None) -> list[str]:
    found = node.attributes if node is not None else {}
    return [value for key in ("src", "data") if (value := found.get(key))]


def _alignment(cell: LexborNode) -> str:
    style = _TEXT_ALIGN.search(cell.attributes.get("style") or "")
    return (style[1] if style else cell.attributes.get("align") or "").lower()


def _column_alignment(rows: list[list[LexborNode]], column: int) -> str:
    """What the first cell of a column that says so has to say about its alignment."""
    plain = (row for row in rows if not any("colspan" in cell.attributes for cell in row[:column]))
    stated = (_alignment(row[column]) for row in plain if column < len(row))
    return _ALIGNMENTS.get(next(stated, ""), "AlignDefault")


def _filled(rows: list[Any], count: int) -> list[Any]:
    """The rows with an empty cell in each place that none takes."""
    reaching = [0] * count
    for _, cells in rows:
        for column in range(count):
            reaching[column] = max(0, reaching[column] - 1)
        column = 0
        for cell in cells:
            while column < count and reaching[column]:
                column += 1
            reaching[column : column + cell[3]] = [cell[2]] * len(reaching[column : column + cell[3]])
            column += cell[3]
        cells += [[ast.attr(), {"t": "AlignDefault"}, 1, 1, []] for taken in reaching if not taken]
        reaching = [max(rows_left, 1) for rows_left in reaching]
    return rows
