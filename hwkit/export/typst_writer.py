"""The document as Typst source, written so that no text can be code and none ends what it stands in.

Three rules make that so. Text is only written by `typst_text`, which escapes every character that means something
to Typst in any place. Everything else is a call, and calls are only written by `_call`, which ends them with a
semicolon: what follows is text, whatever it begins with. And what comes from elsewhere (code, addresses, labels) stands
in calls as strings, written by `typst_string`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hwkit.export import ast, tables, terminal
from hwkit.export.ast import Element
from hwkit.export.colours import of_classes
from hwkit.export.document import Document, callout_kind
from hwkit.export.formulas import FormulaError, formula

# Jupyter's names of languages that Typst's highlighter knows under another.
LANGUAGES = {"ipython": "python", "ipython3": "python", "c++": "cpp", "r": "r", "julia": "julia"}
# Comments around each formula, so that one that the typesetter does not accept can be found again. No string and no
# text holds the sign that a comment begins with.
FORMULA = re.compile(r"/\*formula (\d+)\*/(.*?)/\*end\*/", re.DOTALL)
# Formulas of fewer characters of Typst fit into a line.
_LONG = 100
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# What breaks a line in Typst, where a heading or a list could begin.
_LINE_ENDS = re.compile("[\n\r\x0b\x0c\x85\u2028\u2029]+")
# Signs that mean something anywhere; those that do at the beginning of a line or beside others of their kind, which
# are left as they are within words and numbers.
_SIGNS = re.compile(r"[\\#$*_`<@\[\]~/=+]|(?<![^\W\d_])-|-(?![^\W\d_])|(?<![^\W\d_])\.(?!\w)|(?<=\.)\.|^[.:]")
# What would become an opening quotation mark or a prime, and is neither: the one of "(x)'s" and "1990's".
_APOSTROPHE = re.compile(r"(?<=[\w)\]])'(?=[^\W\d_])")
_WRAPPERS = {
    "Emph": "emph",
    "Strong": "strong",
    "Strikeout": "strike",
    "Underline": "underline",
    "Subscript": "sub",
    "Superscript": "super",
    "SmallCaps": "smallcaps",
}
_QUOTES = {"SingleQuote": "'", "DoubleQuote": '"'}
_NUMBERINGS = {"LowerAlpha": "a", "UpperAlpha": "A", "LowerRoman": "i", "UpperRoman": "I"}


def typst_string(text: str) -> str:
    """A Typst string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    escaped = _CONTROLS.sub("", escaped.replace("/*", "/\\u{2a}"))
    return f'"{escaped}"'


def typst_text(text: str) -> str:
    """Text that is nothing but text, wherever in a line it stands; straight quotes become the language's own.

    Examples
    --------
    >>> typst_text("1. #let x = a-b -- 0.5")
    '1\\\\. \\\\#let x \\\\= a-b \\\\-\\\\- 0.5'
    """
    text = _APOSTROPHE.sub("’", _CONTROLS.sub("", _LINE_ENDS.sub(" ", text)))
    return _SIGNS.sub(r"\\\g<0>", text)


def typst_array(items: Iterable[str]) -> str:
    """A Typst array of expressions."""
    return "(" + "".join(f"{item}, " for item in items) + ")"


def _call(name: str, *arguments: str, body: str | None = None) -> str:
    """A call in markup: `#name(arguments)[body];`. What follows cannot become a part of it."""
    listed = f"({', '.join(arguments)})" if arguments or body is None else ""
    return f"#{name}{listed}{'' if body is None else f'[{body}]'};"


class TypstWriter:
    """Writes documents for a page whose line holds `line_ems` ems of table type and `code_columns` code characters.

    With `described_formulas`, each formula has its TeX for readers who cannot see it, which PDF/UA asks for.
    """

    def __init__(self, *, line_ems: float, code_columns: int, described_formulas: bool = False) -> None:
        self.described_formulas = described_formulas
        self.line_ems = line_ems
        self.code_columns = code_columns
        # The formulas written so far: TeX, and where it stands. Their numbers are their places here.
        self.formulas: list[tuple[str, str]] = []
        self.warnings: list[str] = []

    def write(self, document: Document) -> tuple[str, str]:
        """The document's body and its abstract in Typst; a formula that breaks off is shown as source."""
        self.where = document.formulas
        abstract = self._blocks(document.abstract).strip()
        return self._blocks(document.blocks), abstract

    def formula_as_source(self, number: int) -> str:
        """Typst that shows a formula as it was written, and a warning among `warnings`."""
        tex, where = self.formulas[number]
        self.warnings.append(f"{where}a formula could not be set and is shown as source: {' '.join(tex.split())[:160]}")
        return _call("hwkit-missing", f"raw({typst_string(tex)})")

    def formula_too_wide(self, number: int) -> None:
        """Add to `warnings` that a formula is hard to read."""
        tex, where = self.formulas[number]
        self.warnings.append(f"{where}a formula is shown at less than 60 % of its size: {' '.join(tex.split())[:160]}")

    # --- lines -----------------------------------------------------------------------------------------------

    def _inlines(self, inlines: list[Element]) -> str:
        written = ""
        for inline in inlines:
            follows = written and inline["t"] == "Str" and not written[-1].isspace()
            if follows and inline["c"].startswith("'") and inline["c"][1:2].isalpha():
                inline = ast.string(f"’{inline['c'][1:]}")
            written += self._inline(inline)
        return written

    def _inline(self, inline: Element) -> str:
        kind, content = ast.parts(inline)
        if kind == "Str":
            return typst_text(content)
        if kind in ("Space", "SoftBreak"):
            return " "
        if kind == "LineBreak":
            return _call("linebreak")
        if kind in _WRAPPERS:
            return _call(_WRAPPERS[kind], body=self._inlines(content))
        if kind == "Quoted":
            quote = _QUOTES[content[0]["t"]]
            return quote + self._inlines(content[1]) + quote
        if kind == "Code":
            return _call("raw", typst_string(content[1])) + _label(content[0][0])
        if kind == "Math":
            return self._formula(content[1], display=content[0]["t"] == "DisplayMath")
        if kind == "Link":
            address = content[2][0]
            target = f"label({typst_string(address[1:])})" if address.startswith("#") else typst_string(address)
            return _call("link", target, body=self._inlines(content[1])) + _label(content[0][0])
        if kind == "Image":
            return _call("hwkit-inline-image", *_image_arguments(inline))
        if kind == "Note":
            return _call("footnote", body=self._blocks(content).strip())
        if kind == "Span":
            return self._span(*content)
        return self._inlines(content[1]) if kind == "Cite" else ""

    def _span(self, attributes: Any, inlines: list[Element]) -> str:
        if "hwkit-missing" in attributes[1]:
            return _call("hwkit-missing", body=self._inlines(inlines))
        written = self._inlines(inlines)
        for name, colour in zip(("text", "highlight"), of_classes(attributes[1]), strict=True):
            written = _call(name, _fill(colour), body=written) if colour else written
        return _anchor(attributes[0]) + written

    def _formula(self, tex: str, *, display: bool) -> str:
        """A formula between marks, by which it is found again if Typst does not accept it."""
        number, where = len(self.formulas), self.where.get(tex, "")
        self.formulas.append((tex, where))
        try:
            typst, unknown = formula(tex, display=display)
        except (FormulaError, RecursionError):
            return self.formula_as_source(number)
        if unknown:
            parts = ", ".join(dict.fromkeys(" ".join(part.split())[:80] for part in unknown))
            self.warnings.append(f"{where}part of a formula is not known and is shown as source: {parts}")
        # One that may be wider than the page can be named.
        label = f"<formula-{number}>" if display and len(typst) > _LONG and typst.endswith("$") else ""
        if self.described_formulas:
            typst, label = f"#[#set math.equation(alt: {typst_string(' '.join(tex.split()))});{typst}{label}];", ""
        return f"/*formula {number}*/{typst}{label}/*end*/"

    # --- blocks ----------------------------------------------------------------------------------------------

    def _blocks(self, blocks: list[Element]) -> str:
        return "".join(map(self._block, blocks, [*blocks[1:], None]))

    def _content(self, blocks: list[Element]) -> str:
        """Blocks as an argument: content in brackets."""
        return f"[{self._blocks(blocks).strip()}]"

    def _block(self, block: Element, following: Element | None) -> str:
        # A list in the item of a list stands as close below its text as the items to each other.
        is_above_list = block["t"] == "Plain" and following is not None and following["t"].endswith("List")
        return self._written(block) + ("\n" if is_above_list else "\n\n")

    def _written(self, block: Element) -> str:
        kind, content = ast.parts(block)
        if kind in ("Para", "Plain"):
            return self._paragraph(content)
        if kind == "Header":
            return self._heading(content)
        if kind == "CodeBlock":
            return self._code(*content) + _label(content[0][0])
        if kind == "BulletList":
            return _call("list", _tight(content), *map(self._content, content))
        if kind == "OrderedList":
            return self._numbered_list(*content)
        if kind == "DefinitionList":
            items = [(f"[{self._inlines(term)}]", "".join(map(self._blocks, texts)).strip()) for term, texts in content]
            return _call("terms", *(f"terms.item({term}, [{text}])" for term, text in items))
        if kind == "BlockQuote":
            return _call("quote", "block: true", body=self._blocks(content).strip())
        if kind == "HorizontalRule":
            return _call("hwkit-rule")
        if kind == "LineBlock":
            return _call("linebreak").join(map(self._inlines, content))
        if kind == "Figure":
            return self._figure(content)
        if kind == "Table":
            return self._table(block)
        return self._division(*content) if kind == "Div" else ""

    def _paragraph(self, inlines: list[Element]) -> str:
        """A paragraph; one of nothing but images shows them on lines of their own."""
        visible = [inline for inline in inlines if inline["t"] not in ("Space", "SoftBreak", "LineBreak")]
        if not visible or any(inline["t"] != "Image" for inline in visible):
            return self._inlines(inlines)
        return _call("hwkit-plot", _images(visible))

    def _heading(self, content: list[Any]) -> str:
        level, attributes, inlines = content
        number = ast.attr_value(attributes, "number")
        numbering = f"numbering: (..) => {typst_string(number)}" if number else "numbering: none"
        return _call("heading", f"level: {level}", numbering, body=self._inlines(inlines)) + _label(attributes[0])

    def _numbered_list(self, style: list[Any], items: list[list[Element]]) -> str:
        sign = _NUMBERINGS.get(style[1]["t"], "1")
        arguments = [f"start: {style[0]}", f'numbering: "{sign}."', _tight(items)]
        return _call("enum", *arguments, *map(self._content, items))

    def _code(self, attributes: Any, text: str) -> str:
        classes = attributes[1]
        kinds = [name.removeprefix("hwkit-") for name in classes if name.startswith("hwkit-")]
        kind = kinds[0] if kinds else ""
        if kind in ("stream", "result", "error"):
            return self._output(kind, attributes, text)
        if kind in ("note", "typst"):
            return _call(f"hwkit-{kind}", typst_string(text))
        language = ast.attr_value(attributes, "language") if kind == "input" else (classes or [""])[0]
        language = LANGUAGES.get(language.lower(), language.lower())
        lines = (terminal.shortened_rule(line.rstrip(), self.code_columns) for line in text.expandtabs(4).split("\n"))
        code = "\n".join(lines)
        summary = f"summary: {typst_string(ast.attr_value(attributes, 'summary'))}"
        return _call("hwkit-code", typst_string(code), f"lang: {typst_string(language)}", summary)

    def _output(self, kind: str, attributes: Any, text: str) -> str:
        pieces = [
            f"({typst_string(span.text)}, {typst_string(span.colour) if span.colour else 'none'}, {_bool(span.bold)})"
            for span in terminal.spans(terminal.wrapped(text, self.code_columns))
        ]
        if kind == "error":
            title = typst_string(ast.attr_value(attributes, "title"))
            return _call("hwkit-error", title, typst_array(pieces))
        warning = ast.attr_value(attributes, "name") == "stderr"
        return _call("hwkit-output", typst_array(pieces), f"stderr: {_bool(warning)}")

    def _figure(self, content: list[Any]) -> str:
        attributes, (_, caption), body = content
        caption_argument = f"caption: {self._content(caption)}"
        label = _label(attributes[0])
        for kind in ("listing", "subfigure"):
            if f"hwkit-{kind}" in attributes[1]:
                return _call(f"hwkit-{kind}", caption_argument, body=self._blocks(body)) + label
        images = list(ast.elements(body, "Image"))
        others = ast.text_of(body).strip() or any(True for _ in ast.elements(body, "Table", "Div", "Figure"))
        if images and not others:
            return _call("hwkit-figure", _images(images), caption_argument) + label
        alt = ast.attr_value(attributes, "alt")
        described = f"alt: {typst_string(alt) if alt else 'none'}"
        return _call("hwkit-figure-of", described, caption_argument, body=self._blocks(body)) + label

    def _table(self, element: Element) -> str:
        attributes, (_, caption) = element["c"][0], element["c"][1]
        parts = [
            self._one_table(layout, [] if index else caption) + ("" if index else _label(attributes[0]))
            for index, layout in enumerate(tables.layouts(element, self.line_ems))
        ]
        return "\n\n".join(parts)

    def _one_table(self, layout: tables.TableLayout, caption: list[Element]) -> str:
        widths = (f"{share:.2f}fr" if share else "auto" for share in layout.shares)
        arguments = [
            f"scale: {layout.scale:.3f}",
            f"headed: {_bool(bool(layout.head))}",
            f"float: {_bool(layout.floating)}",
            f"breakable: {_bool(layout.breakable)}",
            f"columns: {typst_array(widths)}",
            f"align: {typst_array(layout.alignments)}",
            f"caption: {self._content(caption) if caption else 'none'}",
        ]
        if layout.head:
            arguments.append(f"table.header({self._rows(layout.head, ', align: center')}\nhwkit-midrule)")
        return _call("hwkit-table", *arguments, self._rows(layout.body))

    def _rows(self, rows: list[list[tables.Cell]], spanning: str = "") -> str:
        """The rows' cells; those over several columns get the arguments `spanning`."""
        return "".join("\n" + " ".join(f"{self._cell(cell, spanning)}," for cell in row) for row in rows)

    def _cell(self, cell: tables.Cell, spanning: str) -> str:
        arguments, blocks = [], cell.blocks
        if cell.rows > 1 or cell.columns > 1:
            more = spanning if cell.columns > 1 else ""
            arguments.append(f"rowspan: {cell.rows}, colspan: {cell.columns}{more}")
        if ground := tables.ground_of(cell):
            arguments.append(_fill(ground))
            blocks = tables.without_ground(cell)
        return (f"table.cell({', '.join(arguments)})" if arguments else "") + self._content(blocks)

    def _references(self, attributes: Any, entries: list[Element]) -> str:
        """The list of references: one labelled entry after the other."""
        hanging = f"hanging: {_bool('hanging-indent' in attributes[1])}"
        written = []
        for entry in (entry for entry in entries if entry["t"] == "Div"):
            inlines = [inline for block in entry["c"][1] for inline in block["c"]]
            number = [i for i in inlines if i["t"] == "Span" and "csl-left-margin" in i["c"][0][1]]
            rest = [inline for inline in inlines if inline not in number]
            arguments = hanging, f"number: [{self._inlines(number)}]"
            written.append(_call("hwkit-reference", *arguments, body=self._inlines(rest)) + _label(entry["c"][0][0]))
        return "\n\n".join(written)

    def _division(self, attributes: Any, blocks: list[Element]) -> str:
        label = _label(attributes[0])
        if "hwkit-equation" in attributes[1]:
            number = typst_string(ast.attr_value(attributes, "number"))
            return _call("hwkit-equation", number, body=self._inline(blocks[0]["c"][0])) + label
        if "hwkit-lines" in attributes[1]:
            return _anchor(attributes[0]) + self._blocks(blocks).rstrip()
        if "hwkit-pagebreak" in attributes[1]:
            # Of a column, for page breaks may not stand within a box; where there is one column, it is the same.
            return _call("colbreak", "weak: true")
        if "csl-bib-body" in attributes[1]:
            return self._references(attributes, blocks)
        if "hwkit-grid" in attributes[1]:
            cells = [self._content([block]) for block in blocks]
            return _call("hwkit-grid", f"columns: {ast.attr_value(attributes, 'columns')}", *cells)
        if "hwkit-column" in attributes[1]:
            return _call("align", "left", body=self._blocks(blocks))
        if kind := callout_kind(attributes[1]):
            return _call("hwkit-callout", typst_string(kind), body=self._blocks(blocks)) + label
        return _anchor(attributes[0]) + self._blocks(blocks).rstrip()


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _label(identifier: str) -> str:
    return _call("label", typst_string(identifier)) if identifier else ""


def _anchor(identifier: str) -> str:
    """A place of its own that a link can lead to: of two labels on one element Typst knows only the last."""
    return _call("metadata", "none") + _label(identifier) if identifier else ""


def _tight(items: list[list[Element]]) -> str:
    return f"tight: {_bool(all(not item or item[0]['t'] != 'Para' for item in items))}"


def _fill(colour: str) -> str:
    return f'fill: rgb("{colour}")'


def _images(images: list[Element]) -> str:
    return typst_array(f"hwkit-image({', '.join(_image_arguments(image))})" for image in images)


def _image_arguments(image: Element) -> list[str]:
    attributes, _, (name, _) = image["c"]
    arguments = [typst_string(name)]
    if width := ast.attr_value(attributes, "width"):
        arguments.append(f"width: {width}")
    if alt := ast.attr_value(attributes, "alt"):
        arguments.append(f"alt: {typst_string(alt)}")
    return arguments
