"""A document as one HTML file that stands alone: images inside, formulas as MathML, nothing fetched."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwkit.export import ast, pandoc, tables, terminal
from hwkit.export.ast import Element
from hwkit.export.document import Document, callout_kind
from hwkit.export.formulas import modern
from hwkit.export.images import data_uri
from hwkit.export.pandoc import TEMPLATES
from hwkit.export.settings import ReportSettings
from hwkit.export.typst_writer import LANGUAGES
from hwkit.export.words import words_of

# Tables without a longer text keep each cell on one line.
_SHORT_CELL = 30
_IMAGE = re.compile(r"<img\b[^>]*>")
_ATTRIBUTE = re.compile(r'\b(src|alt|style|width)="([^"]*)"')
# Drawings of matplotlib stand in the page itself, where they have its typeface and its dark colours; others, which
# might hold what acts, stay pictures.
_DRAWING = re.compile(r"<svg\b.*</svg>", re.DOTALL)
_ACTS = re.compile(r"\son\w+\s*=|<(?:script|foreignObject|style|a)\b(?! type=\"text/css\")|javascript:", re.IGNORECASE)
_COLOURS = "ffffff|000000|444444|dddddd|9a9a9a|0077bb|cc3311|ee7733|009e73|e69f00|cc79a7"  # of report.css
_COLOUR = re.compile(rf"(?<=: )#({_COLOURS})\b", re.IGNORECASE)
_IDENTIFIER = re.compile(r'(\bid="|href="#|url\(#)')
_PICTURES = ("<image", "QuadMesh")  # whose own colours need a light ground
FONTS = TEMPLATES.parents[1] / "fonts"
_FACES = {
    "LibertinusSerif-Regular.otf": ("Libertinus Serif", "font-weight: normal"),
    "LibertinusSerif-Bold.otf": ("Libertinus Serif", "font-weight: bold"),
    "LibertinusSerif-Italic.otf": ("Libertinus Serif", "font-style: italic"),
    "ReportMath.woff": ("Report Math", "font-weight: normal"),
}


def write_html(document: Document, settings: ReportSettings, facts: Mapping[str, str]) -> str:
    """The document's HTML page."""
    abstract = [ast.division(document.abstract, ast.attr("", ("abstract",)))] if document.abstract else []
    blocks = ast.changed([*abstract, *document.blocks], _element)
    options = [
        *("--to", "html5", "--standalone", "--template", str(TEMPLATES / "html" / "report.html")),
        *("--mathml", "--wrap", "none", "--section-divs", "--toc", "--toc-depth", "2"),
        *("--highlight-style", "pygments"),
        *("--metadata", f"pagetitle={settings.title or document.title}", "--metadata", f"lang={settings.language}"),
        *("--variable", f"title-block={_title_block(settings, facts)}"),
        *("--variable", f"contents-title={html.escape(words_of(settings.language).contents)}"),
        *("--variable", f"style={_template('report.css')}"),
        *("--variable", f"script={_template('report.js')}"),
    ]
    if settings.contents:
        options += ["--variable", "show-contents=true"]
    page, _ = pandoc.tree_to(pandoc.tree(blocks), options)
    page = _IMAGE.sub(lambda match: _embedded(match[0], document), page)
    return page.replace("<style>", f"<style>\n{_faces(settings, formulas='<math' in page)}", 1)


def _template(name: str) -> str:
    return (TEMPLATES / "html" / name).read_text(encoding="utf-8")


def _faces(settings: ReportSettings, *, formulas: bool) -> str:
    """Rules for the typefaces of the page, which it holds itself; for text only where the report has that face."""
    wanted = {"Libertinus Serif"} & {settings.font} | ({"Report Math"} if formulas else set())
    rules = []
    for name, (family, style) in _FACES.items():
        if family in wanted:
            content = base64.b64encode((FONTS / name).read_bytes()).decode()
            kind = f"font/{Path(name).suffix[1:]}"
            rules.append(f'@font-face {{ font-family: "{family}"; {style}; src: url(data:{kind};base64,{content}); }}')
    return "\n".join([*rules, ""])


def _embedded(tag: str, document: Document) -> str:
    """An image's content in place of its name: a drawing as it is, anything else as data."""
    given = dict(_ATTRIBUTE.findall(tag))
    name = html.unescape(given.get("src", ""))
    content = document.images.files.get(name)
    if content is None:
        return tag
    if name.endswith(".svg") and (drawn := _drawing(name, content.decode("utf-8", "replace"), given)):
        return drawn
    return tag.replace(f'src="{given["src"]}"', f'src="{data_uri(name, content)}"')


def _drawing(name: str, svg: str, given: Mapping[str, str]) -> str:
    """A chart of matplotlib as a part of the page, in colours that report.css changes; empty for any other drawing."""
    found = _DRAWING.search(svg)
    if "matplotlib" not in svg.lower() or not found or _ACTS.search(svg):
        return ""
    text = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", found[0], flags=re.DOTALL)
    text = _COLOUR.sub(lambda match: f"var(--c-{match[1].lower()}, {match[0]})", text)
    text = _IDENTIFIER.sub(rf"\g<1>{Path(name).stem[:8]}-", text)
    kind = "chart pictures" if any(part in svg for part in _PICTURES) else "chart"
    width = given.get("style") or (f"width:{given['width']}" if "width" in given else "")
    described = f'class="{kind}" role="img" aria-label="{given.get("alt", "")}" style="{width}"'
    return text.replace("<svg ", f"<svg {described} ", 1)


def _title_block(settings: ReportSettings, facts: Mapping[str, str]) -> str:
    lines = [
        ("p", "course", settings.course),
        ("h1", "title", settings.title),
        ("p", "subtitle", settings.subtitle),
        ("p", "author", ", ".join(settings.author)),
        ("p", "affiliation", " · ".join(dict.fromkeys(filter(None, settings.affiliation)))),
        ("p", "date", settings.date_text),
    ]
    parts = [f'<{tag} class="{name}">{html.escape(text)}</{tag}>' for tag, name, text in lines if text]
    if facts:
        rows = (f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
        parts.append(f'<table class="facts">{"".join(rows)}</table>')
    return "\n".join(parts)


def _element(element: Element) -> list[Element] | None:
    kind, content = ast.parts(element)
    if kind == "Header":
        return [_heading(content)]
    if kind == "CodeBlock":
        return [_code(*content)]
    if kind == "Table":
        return [_table(element)]
    if kind == "Image":
        return [_image(content)]
    if kind == "Math":
        return [{"t": "Math", "c": [content[0], modern(content[1])]}]
    if kind == "Div":
        return _division(content)
    return None


def _heading(content: list[Any]) -> Element:
    level, attributes, inlines = content
    number = ast.attr_value(attributes, "number")
    if number:
        label = ast.span([ast.string(number)], ast.attr("", ("section-number",)))
        inlines = [label, ast.space(), *inlines]
    return {"t": "Header", "c": [level, ast.attr(attributes[0]), ast.changed(inlines, _element)]}


def _code(attributes: Any, text: str) -> Element:
    kinds = [name.removeprefix("hwkit-") for name in attributes[1] if name.startswith("hwkit-")]
    kind = kinds[0] if kinds else ""
    if kind in ("stream", "result", "error"):
        pieces = "".join(_span(span) for span in terminal.spans(text))
        name = "stderr" if ast.attr_value(attributes, "name") == "stderr" else kind
        return ast.raw_block("html", f'<pre class="output {name}">{pieces}</pre>')
    if kind == "note":
        return ast.raw_block("html", f'<p class="note">{html.escape(text)}</p>')
    language = ast.attr_value(attributes, "language") if kind == "input" else (attributes[1] or [""])[0]
    language = LANGUAGES.get(language.lower(), language.lower())
    block = ast.code_block(text, ast.attr("", (language,) if language else ()))
    summary, fold = (ast.attr_value(attributes, key) for key in ("summary", "fold"))
    if fold == "no" or not (summary or fold):
        return block
    opened = " open" if fold == "show" else ""
    start = ast.raw_block(
        "html", f"<details{opened}><summary>{html.escape(summary or ast.attr_value(attributes, 'word'))}</summary>"
    )
    return ast.division([start, block, ast.raw_block("html", "</details>")], ast.attr())


def _span(span: terminal.Span) -> str:
    style = f"color:{span.colour};" * bool(span.colour) + "font-weight:bold;" * span.bold
    text = html.escape(span.text)
    return f'<span style="{style}">{text}</span>' if style else text


def _table(element: Element) -> Element:
    """The table with its number columns aligned right, in a box that scrolls when it is too wide."""
    content = ast.changed(element["c"], _element)
    for spec, side in zip(content[2], tables.alignments(element), strict=True):
        spec[0] = {"t": {"right": "AlignRight", "center": "AlignCenter"}.get(side, "AlignLeft")}
    # The alignment of single cells, as pandas writes it, would win over the column's.
    heads = [cell for row in content[3][1] for cell in row[1]]
    for cell in _cells(content):
        cell[1] = {"t": "AlignCenter" if cell in heads and cell[3] > 1 else "AlignDefault"}
    short = all(len(ast.text_of(cell[4])) <= _SHORT_CELL for cell in _cells(content))
    classes = ("table", "short") if short else ("table",)
    # In reach of the keyboard, which scrolls it.
    return ast.division([{"t": "Table", "c": content}], ast.attr("", classes, tabindex="0"))


def _cells(content: list[Any]) -> list[Any]:
    rows = [*content[3][1], *content[5][1]]
    for body in content[4]:
        rows += [*body[2], *body[3]]
    return [cell for row in rows for cell in row[1]]


def _image(content: list[Any]) -> Element:
    attributes, alt, target = content
    values = {key: value for key, value in attributes[2] if key in ("width", "alt")}
    return {"t": "Image", "c": [ast.attr(attributes[0], (), **values), alt, target]}


def _division(content: list[Any]) -> list[Element] | None:
    attributes, blocks = content
    if "hwkit-equation" in attributes[1]:
        number = ast.attr_value(attributes, "number")
        label = ast.raw_block("html", f'<span class="equation-number">({html.escape(number)})</span>')
        return [ast.division([*ast.changed(blocks, _element), label], ast.attr(attributes[0], ("equation",)))]
    if "hwkit-grid" in attributes[1]:
        columns = ast.attr_value(attributes, "columns")
        style = f"grid-template-columns: repeat({columns}, minmax(0, 1fr))"
        return [ast.division(ast.changed(blocks, _element), ast.attr("", ("grid",), style=style))]
    kind = callout_kind(attributes[1])
    if kind:
        return [ast.division(ast.changed(blocks, _element), ast.attr(attributes[0], ("callout", f"callout-{kind}")))]
    return None
