"""A document tree in Typst's language; what needs more than pandoc knows calls the theme's own functions."""

from __future__ import annotations

import re
from typing import Any

from hwkit.export import ast, pandoc, tables, terminal
from hwkit.export.ast import Element
from hwkit.export.colours import of_classes
from hwkit.export.document import Document, callout_kind
from hwkit.export.formulas import FormulaError, formula

# Jupyter's names of languages that Typst's highlighter knows under another.
LANGUAGES = {"ipython": "python", "ipython3": "python", "c++": "cpp", "r": "r", "julia": "julia"}
# Comments around each formula, so that one that the typesetter does not accept can be found again.
_END_OF_ABSTRACT = "/*hwkit: the abstract ends*/"
# Formulas of fewer characters of Typst fit into a line.
_LONG = 100
FORMULA = re.compile(r"/\*formula (\d+)\*/(.*?)/\*end\*/", re.DOTALL)


def typst_string(text: str) -> str:
    """A Typst string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    escaped = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", "", escaped)
    return f'"{escaped}"'


def typst_array(items: list[str]) -> str:
    """A Typst array of expressions."""
    return "(" + "".join(f"{item}, " for item in items) + ")"


class TypstWriter:
    """Writes documents for a page whose line holds `line_ems` ems of table type and `columns` code characters."""

    def __init__(self, *, line_ems: float, code_columns: int) -> None:
        self.line_ems = line_ems
        self.code_columns = code_columns
        # The formulas written so far: TeX, and where it stands. Their numbers are their places here.
        self.formulas: list[tuple[str, str]] = []
        self.warnings: list[str] = []

    def write(self, document: Document) -> tuple[str, str]:
        """The document's body and its abstract in Typst; a formula that breaks off is shown as source."""
        self.where = document.formulas
        end = [ast.raw_block("typst", _END_OF_ABSTRACT)]
        converted = Document(
            [*self._blocks(document.abstract), *end, *self._blocks(document.blocks)],
            document.images,
            document.warnings,
            api_version=document.api_version,
        )
        text, _ = pandoc.tree_to(converted.tree(), ["--to", "typst", "--wrap", "none"])
        abstract, _, body = text.partition(_END_OF_ABSTRACT)
        return body, abstract.strip()

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
        return f"/*formula {number}*/{typst}{label}/*end*/"

    def formula_as_source(self, number: int) -> str:
        """Typst that shows a formula as it was written, and a warning among `warnings`."""
        tex, where = self.formulas[number]
        self.warnings.append(f"{where}a formula could not be set and is shown as source: {' '.join(tex.split())[:160]}")
        return f"#hwkit-missing(raw({typst_string(tex)}))"

    def formula_too_wide(self, number: int) -> None:
        """Add to `warnings` that a formula is hard to read."""
        tex, where = self.formulas[number]
        self.warnings.append(f"{where}a formula is shown at less than 60 % of its size: {' '.join(tex.split())[:160]}")

    def _blocks(self, node: Any) -> Any:
        return ast.changed(node, self._element)

    def _element(self, element: Element) -> list[Element] | None:
        kind, content = element["t"], element.get("c")
        if kind == "Header":
            return [self._heading(content)]
        if kind == "CodeBlock":
            return [ast.raw_block("typst", self._code(*content) + _label(content[0][0]))]
        if kind == "Figure":
            return self._figure(content)
        if kind == "Table":
            return self._table(element)
        if kind in ("Para", "Plain"):
            return self._paragraph(content)
        if kind == "Image":
            return [ast.raw_inline("typst", f"#hwkit-inline-image({_image_arguments(element)})")]
        if kind == "Div":
            return self._division(content)
        if kind == "Span" and "hwkit-missing" in content[0][1]:
            return [
                ast.raw_inline("typst", "#hwkit-missing["),
                *self._blocks(content[1]),
                ast.raw_inline("typst", "]"),
            ]
        if kind == "Span" and any(colours := of_classes(content[0][1])):
            start = "".join(_coloured(*colours))
            ends = "]" * sum(map(bool, colours))
            return [ast.raw_inline("typst", start), *self._blocks(content[1]), ast.raw_inline("typst", ends)]
        if kind == "Span" and content[0][0]:
            # An anchor of its own: of two labels on one element Typst knows only the last.
            anchor = ast.raw_inline("typst", f"#metadata(none){_label(content[0][0])}")
            return [anchor, ast.span(self._blocks(content[1]), ast.attr("", tuple(content[0][1])))]
        if kind == "Math":
            return [ast.raw_inline("typst", self._formula(content[1], display=content[0]["t"] == "DisplayMath"))]
        if kind == "HorizontalRule":
            return [ast.raw_block("typst", "#hwkit-rule()")]
        return None

    def _heading(self, content: list[Any]) -> Element:
        level, attributes, inlines = content
        number = ast.attr_value(attributes, "number")
        numbering = f"(..) => {typst_string(number)}" if number else "none"
        start = ast.raw_inline("typst", f"#heading(level: {level}, numbering: {numbering})[")
        end = ast.raw_inline("typst", f"]{_label(attributes[0])}")
        return ast.paragraph([start, *self._blocks(inlines), end])

    def _code(self, attributes: Any, text: str) -> str:
        classes = attributes[1]
        kinds = [name.removeprefix("hwkit-") for name in classes if name.startswith("hwkit-")]
        kind = kinds[0] if kinds else ""
        if kind in ("stream", "result", "error"):
            return self._output(kind, attributes, text)
        if kind in ("note", "typst"):
            return f"#hwkit-{kind}({typst_string(text)})"
        language = ast.attr_value(attributes, "language") if kind == "input" else (classes or [""])[0]
        language = LANGUAGES.get(language.lower(), language.lower())
        lines = (terminal.shortened_rule(line.rstrip(), self.code_columns) for line in text.expandtabs(4).split("\n"))
        code = "\n".join(lines)
        summary = typst_string(ast.attr_value(attributes, "summary"))
        return f"#hwkit-code({typst_string(code)}, lang: {typst_string(language)}, summary: {summary})"

    def _output(self, kind: str, attributes: Any, text: str) -> str:
        pieces = [
            f"({typst_string(span.text)}, {typst_string(span.colour) if span.colour else 'none'}, "
            f"{'true' if span.bold else 'false'})"
            for span in terminal.spans(terminal.wrapped(text, self.code_columns))
        ]
        if kind == "error":
            title = typst_string(ast.attr_value(attributes, "title"))
            return f"#hwkit-error({title}, {typst_array(pieces)})"
        warning = ast.attr_value(attributes, "name") == "stderr"
        return f"#hwkit-output({typst_array(pieces)}, stderr: {'true' if warning else 'false'})"

    def _figure(self, content: list[Any]) -> list[Element]:
        attributes, (_, caption), body = content
        images = list(ast.elements(body, "Image"))
        others = ast.text_of(body).strip() or any(True for _ in ast.elements(body, "Table", "Div", "Figure"))
        alt = ast.attr_value(attributes, "alt")
        caption_inlines = caption[0]["c"] if caption else []
        if "hwkit-listing" in attributes[1] or "hwkit-subfigure" in attributes[1]:
            kind = "listing" if "hwkit-listing" in attributes[1] else "subfigure"
            return [
                ast.plain(
                    [
                        ast.raw_inline("typst", f"#hwkit-{kind}(caption: ["),
                        *self._blocks(caption_inlines),
                        ast.raw_inline("typst", "])["),
                    ]
                ),
                *self._blocks(body),
                ast.raw_block("typst", f"]{_label(attributes[0])}"),
            ]
        if images and not others:
            parts = typst_array([f"hwkit-image({_image_arguments(image)})" for image in images])
            start = f"#hwkit-figure({parts}, caption: ["
            return [
                ast.paragraph(
                    [
                        ast.raw_inline("typst", start),
                        *self._blocks(caption_inlines),
                        ast.raw_inline("typst", f"]){_label(attributes[0])}"),
                    ]
                )
            ]
        start = f"#hwkit-figure-of(alt: {typst_string(alt) if alt else 'none'}, caption: ["
        return [
            ast.plain([ast.raw_inline("typst", start), *self._blocks(caption_inlines), ast.raw_inline("typst", "])[")]),
            *self._blocks(body),
            ast.raw_block("typst", f"]{_label(attributes[0])}"),
        ]

    def _table(self, element: Element) -> list[Element]:
        attributes, (_, caption) = element["c"][0], element["c"][1]
        parts = tables.layouts(element, self.line_ems)
        blocks: list[Element] = []
        for index, layout in enumerate(parts):
            captioned = caption if index == 0 else []
            blocks += self._one_table(layout, captioned, attributes[0] if index == 0 else "")
        return blocks

    def _one_table(self, layout: tables.TableLayout, caption: list[Element], identifier: str) -> list[Element]:
        columns = typst_array(["1fr" if wrapped else "auto" for wrapped in layout.wrapped])
        start = (
            f"#hwkit-table(scale: {layout.scale:.3f}, headed: {_bool(bool(layout.head))}, "
            f"float: {_bool(layout.floating)}, breakable: {_bool(layout.breakable)}, "
            f"columns: {columns}, align: {typst_array(layout.alignments)}, caption: "
        )
        if caption:
            head = [
                ast.raw_inline("typst", start + "["),
                *self._blocks(caption[0]["c"]),
                ast.raw_inline("typst", "],"),
            ]
        else:
            head = [ast.raw_inline("typst", start + "none,")]
        blocks = [ast.plain(head)]
        if layout.head:
            blocks += [
                ast.raw_block("typst", "table.header("),
                *self._cells(layout.head, ", align: center"),
                ast.raw_block("typst", "hwkit-midrule),"),
            ]
        blocks += self._cells(layout.body)
        return [*blocks, ast.raw_block("typst", f"){_label(identifier)}")]

    def _cells(self, rows: list[list[tables.Cell]], spanning: str = "") -> list[Element]:
        """The rows' cells; those over several columns get the arguments `spanning`."""
        blocks: list[Element] = []
        for row in rows:
            for cell in row:
                arguments, written = [], cell.blocks
                if cell.rows > 1 or cell.columns > 1:
                    more = spanning if cell.columns > 1 else ""
                    arguments.append(f"rowspan: {cell.rows}, colspan: {cell.columns}{more}")
                if ground := tables.ground_of(cell):
                    arguments.append(f'fill: rgb("{ground}")')
                    written = tables.without_ground(cell)
                spans = f"table.cell({', '.join(arguments)})" if arguments else ""
                content = self._blocks(written)
                if len(content) == 1 and content[0]["t"] in ("Plain", "Para"):
                    inlines = content[0]["c"]
                    blocks.append(
                        ast.plain([ast.raw_inline("typst", f"{spans}["), *inlines, ast.raw_inline("typst", "],")])
                    )
                elif not content:
                    blocks.append(ast.raw_block("typst", f"{spans}[],"))
                else:
                    blocks += [ast.raw_block("typst", f"{spans}["), *content, ast.raw_block("typst", "],")]
        return blocks

    def _references(self, attributes: Any, entries: list[Element]) -> list[Element]:
        """The list of references: one labelled entry after the other."""
        hanging = "hanging-indent" in attributes[1]
        blocks: list[Element] = []
        for entry in (entry for entry in entries if entry["t"] == "Div"):
            inlines = [inline for block in entry["c"][1] for inline in block["c"]]
            number = [i for i in inlines if i["t"] == "Span" and "csl-left-margin" in i["c"][0][1]]
            rest = [inline for inline in inlines if inline not in number]
            start = f"#hwkit-reference(hanging: {_bool(hanging)}, number: ["
            blocks.append(
                ast.paragraph(
                    [
                        ast.raw_inline("typst", start),
                        *self._blocks(number),
                        ast.raw_inline("typst", "])["),
                        *self._blocks(rest),
                        ast.raw_inline("typst", f"]{_label(entry['c'][0][0])}"),
                    ]
                )
            )
        return blocks

    def _paragraph(self, inlines: list[Element]) -> list[Element] | None:
        """A paragraph of nothing but images shows them on lines of their own."""
        visible = [inline for inline in inlines if inline["t"] not in ("Space", "SoftBreak", "LineBreak")]
        if not visible or any(inline["t"] != "Image" for inline in visible):
            return None
        parts = typst_array([f"hwkit-image({_image_arguments(image)})" for image in visible])
        return [ast.raw_block("typst", f"#hwkit-plot({parts})")]

    def _division(self, content: list[Any]) -> list[Element] | None:
        attributes, blocks = content
        if "hwkit-equation" in attributes[1]:
            number = ast.attr_value(attributes, "number")
            equation = blocks[0]["c"][0]
            return [
                ast.paragraph(
                    [
                        ast.raw_inline("typst", f"#hwkit-equation({typst_string(number)})["),
                        *self._blocks([equation]),
                        ast.raw_inline("typst", f"]{_label(attributes[0])}"),
                    ]
                )
            ]
        if "hwkit-lines" in attributes[1]:
            return [ast.raw_block("typst", f"#metadata(none){_label(attributes[0])}"), *self._blocks(blocks)]
        if "csl-bib-body" in attributes[1]:
            return self._references(attributes, blocks)
        if "hwkit-grid" in attributes[1]:
            start = f"#hwkit-grid(columns: {ast.attr_value(attributes, 'columns')},"
            cells: list[Element] = []
            for block in blocks:
                cells += [ast.raw_block("typst", "["), *self._blocks([block]), ast.raw_block("typst", "],")]
            return [ast.raw_block("typst", start), *cells, ast.raw_block("typst", ")")]
        if "hwkit-pagebreak" in attributes[1]:
            # Of a column, for page breaks may not stand within a box; where there is one column, it is the same.
            return [ast.raw_block("typst", "#colbreak(weak: true)")]
        if "hwkit-column" in attributes[1]:
            return [ast.raw_block("typst", "#align(left)["), *self._blocks(blocks), ast.raw_block("typst", "]")]
        kind = callout_kind(attributes[1])
        if not kind:
            return None
        return [
            ast.raw_block("typst", f"#hwkit-callout({typst_string(kind)})["),
            *self._blocks(blocks),
            ast.raw_block("typst", f"]{_label(attributes[0])}"),
        ]


def _coloured(ink: str, ground: str) -> list[str]:
    """The beginnings of calls that colour what follows in brackets."""
    calls = (("highlight", ground), ("text", ink))
    return [f'#{name}(fill: rgb("{colour}"))[' for name, colour in calls if colour]


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _label(identifier: str) -> str:
    return f"#label({typst_string(identifier)})" if identifier else ""


def _image_arguments(image: Element) -> str:
    attributes, _, (name, _) = image["c"]
    arguments = [typst_string(name)]
    if width := ast.attr_value(attributes, "width"):
        arguments.append(f"width: {width}")
    if alt := ast.attr_value(attributes, "alt"):
        arguments.append(f"alt: {typst_string(alt)}")
    return ", ".join(arguments)
