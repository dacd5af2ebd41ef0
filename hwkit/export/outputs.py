"""Notebook cells and their outputs as Markdown chunks; also the filters of the nbconvert template."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwkit.errors import ReportError
from hwkit.export import terminal
from hwkit.export.figures import drawing
from hwkit.export.formulas import split_macros
from hwkit.export.images import ImageStore, StoredImage, image_bytes
from hwkit.export.markdown import PAGE_BREAK, caption, chunk, division, escaped, fenced, page_break
from hwkit.export.widgets import widget_parts
from hwkit.export.words import letter_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from hwkit.export.pages import Page

# Best first; pictures of one output are weighed against each other in `_picture`.
PICTURE_ORDER = ("image/svg+xml", "application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp")
# A vector figure is taken unless it is this many times larger than its bitmap, and larger than that size.
VECTOR_SIZE_FACTOR = 3
VECTOR_SIZE_FREE = 200_000

# More lines of one output than this are cut in the middle; very long lines count as lines of this many characters.
LONGEST_OUTPUT = 300
LINE_LENGTH = 100
LINES_KEPT = (120, 30)

# What papermill and scrapbook note down for other programs, as hwkit does under names of its own.
_RECORDS = ("application/papermill.", "application/scrapbook.")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PROGRESS_WIDGET = re.compile(r"Progress\(|\d+%\|| \[[\d:]+<|it/s")
_OBJECT_REPR = re.compile(r"^<[\w.]+ (?:object|at 0x[0-9a-f]+).*>$|^alt\.\w+\(\.\.\.\)$|^<Vega(?:Lite)? \d+ object>")
# Scripts that only get a library ready to draw.
_LOADS_LIBRARY = re.compile(r"application/vnd\.\w+_load\.|Loading BokehJS")
_LIBRARIES = re.compile(r"plotly|vega|bokeh|holoviews", re.IGNORECASE)
# The first picture of an animation that matplotlib plays with a script.
_FIRST_FRAME = re.compile(r'frames\[0\] = "data:image/png;base64,([^"]+)"')
_SCRIPT = re.compile(r"<(style|script)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
# What MathJax sets within text, by the delimiters; an environment alone is a formula, too.
_FORMULA = re.compile(
    r"\$\$(?:(?!\$\$).)+\$\$|\$[^$]+\$|\\\[(?:(?!\\\]).)+\\\]|\\\((?:(?!\\\)).)+\\\)"
    r"|\\begin\{(\w+\*?)\}(?:(?!\\end\{\1\}).)*\\end\{\1\}",
    re.DOTALL,
)
_TABLE_OF_LATEX = re.compile(r"\\begin\{(?:tabular|table|longtable|center|itemize|enumerate)")


def option_list(value: object) -> list[str]:
    """An option's value as a list of texts: `fig-cap` may be one caption or a list."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def code_input(cell: NotebookNode, notebook: NotebookNode) -> str:
    """A code cell's source as a chunk."""
    if not cell.source.strip():
        return ""
    hwkit = cell.metadata.get("hwkit", {})
    spec, info = (notebook.metadata.get(key) or {} for key in ("kernelspec", "language_info"))
    language = cell.metadata.get("magics_language") or info.get("name") or spec.get("language") or ""
    options = hwkit.get("options", {})
    number = hwkit.get("number")
    values = {"language": language, "cell": number, "summary": options.get("code-summary"), "fold": _fold(options)}
    code = fenced(cell.source, "hwkit-input", **values)
    label = str(options.get("lst-label") or options.get("label") or "")
    label = label if label.startswith("lst-") else ""
    if not label and not options.get("lst-cap"):
        return code
    return division(caption(str(options.get("lst-cap") or ""), cell=number) + code, "hwkit-listing", label)


def _fold(options: Mapping[str, Any]) -> str:
    """How a page folds a cell's code: "fold", "show" (it can be folded), "no", or "" if nothing was said."""
    return {True: "fold", False: "no", "show": "show"}.get(options.get("code-fold"), "")


def markdown_cell(cell: NotebookNode, resources: Mapping[str, Any]) -> str:
    """A Markdown cell as a chunk of its own; its attachments and TeX macros are remembered for the document."""
    number = cell.metadata.get("hwkit", {}).get("number")
    for name, bundle in (cell.get("attachments") or {}).items():
        for mime, content in (bundle or {}).items():
            if _is_image(mime):
                body = "".join(content) if isinstance(content, list) else content
                encoding = "" if mime == "image/svg+xml" else ";base64"
                resources["hwkit_attachments"].setdefault(str(number), {})[name] = f"data:{mime}{encoding},{body}"
    resources["hwkit_macros"].update(split_macros(cell.source)[0])
    return chunk(cell.source, cell=number)


def raw_cell(cell: NotebookNode, resources: Mapping[str, Any]) -> str:
    """A raw cell: its text as it is, Markdown and HTML set; other formats are left out with a warning."""
    number = cell.metadata.get("hwkit", {}).get("number")
    mime = (cell.metadata.get("raw_mimetype") or cell.metadata.get("format") or "text/plain").lower()
    if not cell.source.strip():
        return ""
    if PAGE_BREAK.fullmatch(cell.source.strip()):
        return page_break()
    if mime == "text/markdown":
        return chunk(cell.source, cell=number)
    if mime == "text/html":
        page = _page(cell.source)
        return chunk(page.html if page else "", "html", cell=number)
    if mime == "text/plain":
        return fenced(cell.source, "text", cell=number)
    resources["hwkit_warnings"].append(f"cell {number}: a raw cell of format {mime} was left out")
    return ""


def code_outputs(cell: NotebookNode, resources: Mapping[str, Any]) -> str:
    """All outputs of a code cell, its labelled and captioned figure or table among them."""
    return _CellOutputs(cell, resources).markdown()


class _CellOutputs:
    """The outputs of one cell on their way to Markdown."""

    def __init__(self, cell: NotebookNode, resources: Mapping[str, Any]) -> None:
        self.cell = cell
        hwkit = cell.metadata.get("hwkit", {})
        self.number = hwkit.get("number")
        self.options: Mapping[str, Any] = hwkit.get("options", {})
        self.store: ImageStore = resources["hwkit_images"]
        self.warnings: list[str] = resources["hwkit_warnings"]
        self.resources = resources
        self.label = str(self.options.get("label", "") or "")
        self.captions = option_list(self.options.get("fig-cap"))
        self.subcaptions = option_list(self.options.get("fig-subcap"))
        self.alts = option_list(self.options.get("fig-alt") or _alt_of(cell.metadata))
        self.table_captions = option_list(self.options.get("tbl-cap"))
        self.table_subcaptions = option_list(self.options.get("tbl-subcap"))
        self.figures = 0
        self.tables = 0
        # Pictures that are shown together at the end: those of one figure, or those side by side.
        self.joined: list[str] = []
        self.side_by_side = bool(self.options.get("layout-ncol") or self.options.get("layout-nrow"))

    def markdown(self) -> str:
        parts = [part for output in _streams_joined(self.cell.outputs) if (part := self._output(output))]
        self._require_shown(("fig-cap", self.captions, self.figures), ("tbl-cap", self.table_captions, self.tables))
        if self.joined:
            content = "".join(self.joined)
            if self.side_by_side:
                content = division(content, "hwkit-grid", columns=self._columns())
            if len(self.captions) == 1:
                content = self._figure(content, self.captions[0], self.label, self._alt(0))
            parts.append(content)
        return "".join(parts)

    def _require_shown(self, *given: tuple[str, Sequence[str], int]) -> None:
        """Warn of captions that have no figure or table to stand at."""
        if self.options.get("output") is False:
            return
        for option, captions, count in given:
            for text in captions[count:] if len(captions) > 1 or not count else ():
                self._warn(f"{option}: {text!r} has no output to stand at and was left out")

    def _columns(self) -> object:
        """How many pictures stand side by side."""
        rows = self.options.get("layout-nrow")
        if isinstance(rows, int) and rows > 0:
            return -(-len(self.joined) // rows)
        return self.options.get("layout-ncol")

    def _output(self, output: NotebookNode) -> str:
        if output.output_type == "stream" and output.name == "stdout" and self.options.get("output") == "asis":
            return self._maybe_table(chunk(_joined(output.text), cell=self.number), _joined(output.text), {})
        if output.output_type == "stream":
            return self._text(output.text, "hwkit-stream", name=output.name)
        if output.output_type == "error":
            return self._error(output)
        if output.output_type in ("display_data", "execute_result"):
            try:
                return self._bundle(output.data, output.metadata)
            except ReportError as error:
                self._warn(str(error))
                return self._note(f"An output was left out: {error}")
        self._warn(f"an output of type {output.output_type!r} was left out")
        return ""

    def _bundle(self, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
        """One MIME bundle by its best representation."""
        data = {mime: _joined(value) for mime, value in data.items() if not mime.startswith(_RECORDS)}
        if not data:
            return ""
        plain = data.get("text/plain", "")
        if "text/markdown" in data:
            return self._maybe_table(chunk(data["text/markdown"], cell=self.number), data["text/markdown"], metadata)
        if "text/latex" in data and not re.search(r"<(table|pre)\b", data.get("text/html", "")):
            return self._latex(data["text/latex"])
        page = _page(data.get("text/html", ""))
        animated = _FIRST_FRAME.search(data.get("text/html", ""))
        has_picture = animated or any(map(_is_image, data))
        if page and not animated and page.says_more_than(plain) and (page.text or not has_picture):
            return self._maybe_table(chunk(page.html, "html", cell=self.number), page.html, metadata)
        if has_picture:
            return self._image(*self._picture(data), metadata)
        if "text/typst" in data:
            return self._typst(str(data["text/typst"]))
        if _LIBRARIES.search(" ".join([*data, str(data.get("text/html", ""))])) and (svg := drawing(data)):
            return self._image(self.store.add(svg.encode(), "image/svg+xml"), "image/svg+xml", metadata)
        if _WIDGET in data:
            return self._widget(plain, data[_WIDGET])
        if any(mime.startswith("application/vnd.hwkit.") for mime in data) or _LOADS_LIBRARY.search(" ".join(data)):
            return ""
        if plain and not (_OBJECT_REPR.match(plain) and len(data) > 1):
            return self._text(plain, "hwkit-result")
        if "application/json" in data:
            value = data["application/json"]
            return self._text(value if isinstance(value, str) else json.dumps(value, indent=2), "hwkit-result")
        return self._left_out(data)

    def _picture(self, data: Mapping[str, Any]) -> tuple[StoredImage, str]:
        """The picture to show, and its type: vectors before bitmaps, unless they are much larger or damaged."""
        if frame := _FIRST_FRAME.search(data.get("text/html", "")):
            data = {"image/png": frame[1].replace("\\\n", ""), **data}
        stored: list[tuple[StoredImage, str]] = []
        problem = None
        for mime in dict.fromkeys([*PICTURE_ORDER, *filter(_is_image, data)]):
            try:
                if mime in data:
                    stored.append((self.store.add(image_bytes(data[mime], mime), mime), mime))
            except ReportError as error:
                problem = problem or error
        if not stored:
            raise problem or ReportError("it has no picture")
        vectors = [found for found in stored if found[1] in PICTURE_ORDER[:2]]
        bitmaps = [found for found in stored if found[1] not in PICTURE_ORDER[:2]]
        if not (vectors and bitmaps):
            return stored[0]
        (vector, _), (bitmap, _) = vectors[0], bitmaps[0]
        limit = max(VECTOR_SIZE_FREE, VECTOR_SIZE_FACTOR * len(self.store.files[bitmap.name]))
        if len(self.store.files[vector.name]) > limit:
            return bitmaps[0]
        self.store.substitutes[vector.name] = bitmap.name
        return vectors[0]

    def _image(self, image: StoredImage, mime: str, metadata: Mapping[str, Any]) -> str:
        given = _mapping(metadata.get("hwkit"))
        described = _mapping(metadata.get(mime))
        index, self.figures = self.figures, self.figures + 1
        alt = str(given.get("alt") or described.get("alt") or metadata.get("alt") or self._alt(index))
        text = self._image_chunk(image, alt, self._width(mime, metadata, image))
        if given.get("caption"):
            label = str(given.get("label") or self._label(index, ("fig-",)))
            return self._figure(text, str(given["caption"]), label, alt)
        if len(self.captions) == 1:
            if index < len(self.subcaptions):
                below = caption(self.subcaptions[index], cell=self.number)
                text = division(text + below, "hwkit-subfigure", alt=alt)
            self.joined.append(text)
            return ""
        if index < len(self.captions):
            text = self._figure(text, self.captions[index], self._label(index, ("fig-",)), alt)
        if self.side_by_side:
            self.joined.append(text)
            return ""
        return text

    def _image_chunk(self, image: StoredImage, alt: str, width: str) -> str:
        # As HTML: a lone image in Markdown would become a figure that takes its alt text for a caption.
        size = f' width="{html.escape(width)}"' if width else ""
        return chunk(f'<p><img src="{image.name}" alt="{html.escape(alt)}"{size}></p>', "html", cell=self.number)

    def _width(self, mime: str, metadata: Mapping[str, Any], image: StoredImage) -> str:
        """The width asked for: by cell option, or in CSS pixels by the output (retina figures say so)."""
        asked = self.options.get("fig-width") or self.options.get("out-width")
        if isinstance(asked, str) and re.fullmatch(r"[\d.]+\s*(%|in|cm|mm|px|pt)", asked):
            return asked.replace(" ", "")
        size = metadata.get(mime)
        if isinstance(size, dict) and isinstance(size.get("width"), int | float):
            return f"{size['width']}px"
        return ""

    def _figure(self, content: str, text: str, label: str, alt: str) -> str:
        body = content + caption(text, cell=self.number)
        return division(body, "hwkit-figure", label if label.startswith("fig-") else "", alt=alt)

    def _maybe_table(self, content: str, markup: str, metadata: Mapping[str, Any]) -> str:
        given = _mapping(metadata.get("hwkit"))
        text = str(given.get("caption") or "")
        is_table = "<table" in markup or re.search(r"^\s*\|.*\|\s*$", markup, re.MULTILINE)
        if not is_table:
            return content
        index, self.tables = self.tables, self.tables + 1
        if index < len(self.table_subcaptions):
            content += chunk(f"({letter_of(index)}) {self.table_subcaptions[index]}", cell=self.number)
        if not text and index < len(self.table_captions):
            text = self.table_captions[index]
        if not text:
            return content
        label = str(given.get("label") or self._label(index, ("tbl-",)))
        body = caption(text, cell=self.number) + content
        return division(body, "hwkit-table", label)

    def _label(self, index: int, prefixes: Sequence[str]) -> str:
        """The cell's label for its first figure or table; `-2`, `-3`, ... is added for the next ones."""
        if not self.label.startswith(tuple(prefixes)):
            return ""
        return self.label if index == 0 else f"{self.label}-{index + 1}"

    def _alt(self, index: int) -> str:
        if not self.alts:
            return ""
        return self.alts[min(index, len(self.alts) - 1)]

    def _latex(self, text: str) -> str:
        """LaTeX as MathJax sets it: formulas within text that is no markup. A formula alone is displayed."""
        text = text.strip()
        if _TABLE_OF_LATEX.search(text):
            return chunk(text, "latex", cell=self.number)
        formula = _FORMULA.fullmatch(text)
        if formula and not text.startswith("$$"):
            body = re.sub(r"^(?:\$|\\[\[(])|(?:\$|\\[\])])$", "", text).strip()
            return chunk(f"$${body.removeprefix(chr(92) + 'displaystyle').strip()}$$", cell=self.number)
        if formula:
            return chunk(text, cell=self.number)
        position, parts = 0, []
        for found in _FORMULA.finditer(text):
            parts += [escaped(text[position : found.start()]), found[0]]
            position = found.end()
        return chunk("".join([*parts, escaped(text[position:])]), cell=self.number)

    def _typst(self, source: str) -> str:
        """Typst that an output is: evaluated by itself, which can reach no file, and shown as text if it fails."""
        from hwkit.export.typesetting import problem_of

        if problem := problem_of(source):
            self._warn(f"an output in Typst could not be set and is shown as source: {problem}")
            return self._text(source, "hwkit-result")
        return fenced(source, "hwkit-typst", cell=self.number)

    def _error(self, output: NotebookNode) -> str:
        message = terminal.plain(output.evalue).strip()
        trace = "\n".join(output.get("traceback") or [])
        if message not in terminal.plain(trace):
            trace = f"{trace}\n{output.ename}: {message}".strip()
        title = f"{output.ename}: {message[:200].strip()}" if message else output.ename
        return self._text(trace or title, "hwkit-error", title=title)

    def _widget(self, plain: str, view: Any) -> str:
        """A widget by the state that the notebook has of it, if any; it has no other static form."""
        if self.resources.get("hwkit_quiet_widgets"):
            return ""
        if parts := list(widget_parts(self.resources["hwkit_widgets"], _mapping(view).get("model_id"))):
            shown = [
                self._text(part, "hwkit-result") if isinstance(part, str) else self._output(part) for part in parts
            ]
            return "".join(shown)
        if _PROGRESS_WIDGET.search(plain):
            self._warn("a progress bar was left out: the notebook does not have its last state")
            return ""
        self._warn("an interactive widget was left out")
        return self._note("An interactive widget was left out; run the notebook to use it.")

    def _left_out(self, data: Mapping[str, Any]) -> str:
        """A line in place of what needs a browser to draw it; scripts that draw nothing go silently."""
        page = str(data.get("text/html", ""))
        kinds = [kind for kind in data if kind not in ("text/plain", "text/html", "application/javascript")]
        drawn = _LIBRARIES.search(" ".join([*kinds, page]))
        if drawn and (kinds or _draws(page)):
            what = f"An interactive {drawn[0].lower()} figure"
        elif kinds:
            what = f"An output of type {', '.join(sorted(kinds))}"
        elif _draws(page):
            what = "An interactive output"
        else:
            return ""  # a script that draws nothing
        self._warn(f"{what[0].lower()}{what[1:]} was left out: it has no static form")
        return self._note(f"{what} was left out: it has no static form.")

    def _text(self, text: str, kind: str, **values: object) -> str:
        text = terminal.printed(_joined(text))
        lines = text.split("\n")
        if len(text) > LONGEST_OUTPUT * LINE_LENGTH:
            lines = [piece for line in lines for piece in _pieces(terminal.plain(line))]
        if len(lines) > LONGEST_OUTPUT:
            first, last = LINES_KEPT
            self._warn(f"{len(lines) - first - last} of {len(lines)} output lines were left out")
            gap = f"... {len(lines) - first - last} lines left out ..."
            text = "\n".join([*lines[:first], gap, *lines[-last:]])
        return fenced(text, kind, cell=self.number, **values) if text.strip() else ""

    def _note(self, text: str) -> str:
        return fenced(text, "hwkit-note", cell=self.number)

    def _warn(self, message: str) -> None:
        self.warnings.append(f"cell {self.number}: {message}")


def _streams_joined(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """The outputs with what was printed in several goes, one right after the other, in one."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and last.output_type == output.output_type == "stream" and last.name == output.name:
            joined[-1] = type(last)(last, text=_joined(last.text) + _joined(output.text))
        else:
            joined.append(output)
    return joined


def _pieces(line: str) -> list[str]:
    return [line[start : start + LINE_LENGTH] for start in range(0, len(line), LINE_LENGTH)] or [""]


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value


def _is_image(mime: str) -> bool:
    return mime.startswith("image/") or mime == "application/pdf"


def _page(markup: str) -> Page | None:
    if not markup:
        return None
    from hwkit.export.pages import read_page  # not every notebook has HTML to parse

    return read_page(markup)


def _alt_of(metadata: Mapping[str, Any]) -> object:
    """The alternative text that a cell's metadata has for its figures, as MyST and others put it."""
    myst = _mapping(metadata.get("mystnb") or metadata.get("render"))
    return metadata.get("alt") or metadata.get("alt_text") or _mapping(myst.get("image")).get("alt")


def _mapping(value: object) -> Mapping[str, Any]:
    """What metadata has where a mapping should be; nothing if it is none."""
    return value if isinstance(value, Mapping) else {}


def _draws(markup: str) -> bool:
    """Whether a page's scripts have a place that they draw in."""
    return "<script" in markup and re.search(r"<div\b[^>]*\bid=", _SCRIPT.sub("", markup)) is not None
