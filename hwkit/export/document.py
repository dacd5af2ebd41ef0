"""From chunks to one document: headings and captions numbered, references resolved, images and markup checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwkit.errors import ReportError
from hwkit.export import ast, tables
from hwkit.export.ast import Element
from hwkit.export.formulas import Macro, expanded, labels_of, number_of, tags_of_labels
from hwkit.export.images import CSS_PIXELS_PER_INCH, ImageStore
from hwkit.export.markdown import PAGE_BREAK
from hwkit.export.words import Words, letter_of

CROSS_REFERENCE = re.compile(r"^(fig|tbl|sec|eq|lst)-")
_FLOAT = re.compile(r"^(fig|tbl|lst)-")
_CALLOUTS = ("note", "tip", "warning", "important", "caution")
_MOST_COLUMNS = 8
# MathJax takes references to equations inside of formulas, too.
_REFERENCE = re.compile(r"\\(ref|eqref)\s*\{([^{}]*)\}")
_REMOTE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
# Captions that are no captions: what editors put in as alt text when an image is pasted.
_FILE_NAME_CAPTION = re.compile(
    r"^(?:image|img|drawing|title|alt(?:(?:ernative)?[ _-]?text)?|png|jpe?g|svg|picture|figure|screen ?shot[\d _.-]*"
    r"|.*\.(?:png|jpe?g|gif|svg|webp|pdf))$",
    re.IGNORECASE,
)
_BREAKS_PAGE = re.compile(r"break-(before|after)\s*:\s*(?:always|page)", re.IGNORECASE)
# What a page would play or load from elsewhere, by the name of its tag.
_EMBEDDED = {"iframe": "an embedded page", "video": "a video", "audio": "a sound"}


@dataclass
class Part:
    """One notebook of the document: what its text may refer to.

    `folders` are where its images may lie; `attachments` maps a cell's number to its attached images, by name
    and data URI. `macros` are the TeX macros that its cells define, for the formulas of all of them. `chapter` is
    the heading the part gets if its text has none.
    """

    name: str
    markdown: str
    folders: Sequence[Path] = ()
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    macros: Mapping[str, Macro] = field(default_factory=dict)
    chapter: str = ""


@dataclass
class Document:
    """A document ready to be written: its blocks as a tree of pandoc's, its images, and what was left out or amiss.

    `title` is that of the text: its heading that stood above everything, which is no heading any more if
    `title_taken`, or else its first one. `abstract` are
    the blocks of the abstract, which the theme places.
    """

    blocks: list[Element]
    images: ImageStore
    warnings: list[str]
    title: str = ""
    abstract: list[Element] = field(default_factory=list)
    # Where each formula stands ("notebook, cell 3: "), by its TeX, for messages.
    formulas: dict[str, str] = field(default_factory=dict)
    title_taken: bool = False


class DocumentBuilder:
    """Takes the trees of all parts and makes one document of them."""

    def __init__(
        self,
        images: ImageStore,
        words: Words,
        *,
        number_sections: bool,
        keep_citations: bool = False,
        take_title: bool = False,
    ) -> None:
        self.images = images
        self.keep_citations = keep_citations
        self.take_title = take_title
        self.title = ""
        self.words = words
        self.number_sections = number_sections
        self.warnings: list[str] = []
        self.formulas: dict[str, str] = {}
        # What can be referred to: id -> (what the reference says, the id it ended up with).
        self.targets: dict[str, tuple[str, str]] = {}
        # What references to parts that were left out say, by label.
        self.absent: dict[str, str] = {}
        self.identifiers: set[str] = set()
        self.counts = {"fig": 0, "tbl": 0, "eq": 0, "lst": 0}
        self.section = [0] * 6
        self.level = 0
        self.part: Part | None = None
        self.cell = ""

    def build(self, blocks_of_parts: Sequence[tuple[Part, list[Element]]]) -> list[Element]:
        """The blocks of the whole document."""
        blocks: list[Element] = []
        for part, part_blocks in blocks_of_parts:
            self.part = part
            cleaned = self._clean(part_blocks)
            if self.take_title:
                cleaned = self._without_title(cleaned)
            cleaned = _as_chapter(cleaned, part.chapter) if part.chapter else _raised(cleaned)
            blocks += self._numbered(cleaned)
        return self._resolved(blocks)

    def _without_title(self, blocks: list[Element]) -> list[Element]:
        """The blocks without their only level-1 heading, if that is the first one: it becomes the title."""
        headings = list(ast.elements(blocks, "Header"))
        tops = [heading for heading in headings if heading["c"][0] == 1]
        if len(tops) != 1 or headings[0] is not tops[0] or tops[0] not in blocks:
            return blocks
        _, attributes, inlines = tops[0]["c"]
        title = ast.text_of(inlines).strip()
        if not title or any(True for _ in ast.elements(inlines, "Math", "Image", "Note", "Cite")):
            return blocks
        self.title = title
        for name in filter(None, (attributes[0], title.replace(" ", "-"), _slug(title))):
            self.targets.setdefault(name, (f"“{title}”", ""))
        return [block for block in blocks if block is not tops[0]]

    # --- first pass: each chunk in its own context -------------------------------------------------------

    def _clean(self, node: Any) -> Any:
        return ast.changed(node, self._clean_element)

    def _clean_element(self, element: Element) -> list[Element] | None:
        kind, content = ast.parts(element)
        if kind == "Div":
            return self._clean_division(content)
        if kind == "RawBlock":
            return self._raw(*content)
        if kind == "RawInline":
            return self._raw(*content)
        if kind == "Image":
            return self._image(content)
        if kind == "Span" and "hwkit-embedded" in content[0][1]:
            return self._embedded(content[0])
        if kind == "Math":
            return self._formula(content)
        if kind == "Figure":
            return self._figure(content)
        if kind == "CodeBlock":
            # What a page writes above code that it folds, if the cell does not say.
            content[0][2].append(["word", self.words.code])
        if kind == "Table":
            tables.join_index_names(element)
        if kind in ("Para", "Plain"):
            return self._line(kind, content)
        return None

    def _clean_division(self, content: list[Any]) -> list[Element] | None:
        attributes, blocks = content
        classes = attributes[1]
        if "hwkit-chunk" in classes:
            self.cell = ast.attr_value(attributes, "cell")
            return self._clean(blocks)
        if breaks := _page_breaks(attributes):
            before, after = ([_page_break()] if side in breaks else [] for side in ("before", "after"))
            return [*before, *self._clean(blocks), *after]
        if "hwkit-figure" in classes or "hwkit-subfigure" in classes or "hwkit-listing" in classes:
            return self._captioned_figure(attributes, *_split_caption(blocks))
        if "hwkit-abstract" in classes:
            return [ast.division(self._clean(blocks), ast.attr("", ("hwkit-abstract",)))]
        if "hwkit-table" in classes:
            return self._captioned_table(attributes, *_split_caption(blocks))
        if "columns" in classes and (columns := self._columns(blocks)):
            return [columns]
        if _FLOAT.match(attributes[0]):
            return self._float(attributes, blocks)
        if ast.attr_value(attributes, "columns" if "hwkit-grid" in classes else "layout-ncol"):
            return [self._grid(attributes, self._clean(blocks))]
        if kind := callout_kind(classes):
            return [ast.division([*self._callout_title(kind, attributes, blocks), *self._clean(blocks)], attributes)]
        return None if attributes[0] else self._clean(blocks)

    def _float(self, attributes: Any, blocks: list[Element]) -> list[Element]:
        """A division with a label of its own, in Quarto's way: its last paragraph is the caption."""
        is_caption = len(blocks) > 1 and blocks[-1]["t"] in ("Para", "Plain") and not _only_images(blocks[-1])
        caption, body = (blocks[-1:], blocks[:-1]) if is_caption else ([], blocks)
        if attributes[0].startswith("tbl-"):
            return self._captioned_table(attributes, caption, body)
        if attributes[0].startswith("lst-"):
            return self._captioned_figure(ast.attr(attributes[0], ("hwkit-listing",)), caption, body)
        (figure,) = self._captioned_figure(attributes, caption, body)
        for inner in ast.elements(figure["c"][2], "Figure"):
            inner["c"][0][1].append("hwkit-subfigure")
        if ast.attr_value(attributes, "layout-ncol"):
            figure["c"][2] = [self._grid(attributes, figure["c"][2])]
        return [figure]

    def _grid(self, attributes: Any, blocks: list[Element]) -> Element:
        """Cleaned blocks side by side, each picture a block."""
        asked = ast.attr_value(attributes, "columns") or ast.attr_value(attributes, "layout-ncol")
        columns = min(int(asked), _MOST_COLUMNS) if re.fullmatch(r"0*[1-9]\d?", asked) else 0
        if not columns:
            self._warn(f"layout-ncol: {asked!r} is no number of columns; give one from 1 to {_MOST_COLUMNS}")
        cells: list[Element] = []
        for block in blocks:
            images = [inline for inline in block["c"] if inline["t"] == "Image"] if _only_images(block) else []
            cells += [ast.paragraph([image]) for image in images] or [block]
        return ast.division(cells, ast.attr("", ("hwkit-grid",), columns=str(columns or 1)))

    def _columns(self, blocks: list[Element]) -> Element | None:
        """Quarto's and pandoc's columns of text side by side; empty ones, which only keep a distance, are gone."""
        columns = [self._clean(div["c"][1]) for div in blocks if div["t"] == "Div" and "column" in div["c"][0][1]]
        cells = [ast.division(column, ast.attr("", ("hwkit-column",))) for column in columns if column]
        return ast.division(cells, ast.attr("", ("hwkit-grid",), columns=str(len(cells)))) if cells else None

    def _callout_title(self, kind: str, attributes: Any, blocks: list[Element]) -> list[Element]:
        """The title of a callout: its first heading (taken out of `blocks`), or what its kind is called."""
        title: list[Element] = []
        if blocks and blocks[0]["t"] == "Header":
            title = self._clean(blocks.pop(0)["c"][2])
        minimal = ast.attr_value(attributes, "appearance") == "minimal"
        if not title and f"callout-{kind}" in attributes[1] and kind in _CALLOUTS and not minimal:
            title = [ast.string(getattr(self.words, kind))]
        return [ast.division([ast.plain([ast.strong(title)])], ast.attr("", ("hwkit-title",)))] if title else []

    def _raw(self, markup: str, text: str) -> list[Element]:
        if markup not in ("html", "tex", "latex") and text.strip():
            self._warn(f"a raw block of format {markup!r} was left out")
        return []

    def _embedded(self, attributes: Any) -> list[Element]:
        """A line in place of what only a browser shows, with its address if it has one."""
        what, address = (ast.attr_value(attributes, key) for key in ("what", "address"))
        message = f"{_EMBEDDED.get(what, 'something')} was left out"
        self._warn(message)
        line = ast.text_inlines(message.capitalize() + (":" if address else "."))
        if address:
            shown = f"https:{address}" if address.startswith("//") else address
            line += [ast.space(), ast.link([ast.string(shown)], shown)]
        return [ast.emphasis(line)]

    def _formula(self, content: list[Any]) -> list[Element]:
        """A formula without macros; one that only defined some is gone."""
        assert self.part is not None
        if reference := _REFERENCE.fullmatch(content[1].strip()):
            link = ast.link([ast.string(content[1])], f"#{reference[2]}")
            link["c"][0][1] = ["hwkit-reference", reference[1]]
            return [link]
        tex = expanded(content[1], self.part.macros).strip()
        self.formulas.setdefault(tex, self._where())
        return [{"t": "Math", "c": [content[0], tex]}] if tex else []

    def _image(self, content: list[Any]) -> list[Element]:
        attributes, alt, (target, _) = content
        assert self.part is not None
        try:
            image = self.images.find(target, self.part.folders, self.part.attachments.get(self.cell, {}))
        except (ReportError, OSError) as error:
            self._warn(str(error))
            if _REMOTE.match(target) and ast.text_of(alt).strip():
                return alt  # a badge, mostly: its text does as well
            return [
                ast.span(
                    ast.text_inlines(f"[{ast.text_of(alt) or 'image'}: left out]"), ast.attr("", ("hwkit-missing",))
                )
            ]
        self.images.places.setdefault(image.name, self._where())
        values = _image_size(attributes, image.width, image.height)
        described = ast.attr_value(attributes, "fig-alt") or ast.text_of(alt).strip()
        values["alt"] = "" if _FILE_NAME_CAPTION.match(described) else described
        content = [ast.attr(attributes[0], (), **values), ast.text_inlines(values["alt"]), [image.name, ""]]
        return [{"t": "Image", "c": content}]

    def _figure(self, content: list[Any]) -> list[Element]:
        """A figure of Markdown or HTML; a pasted image's file name is no caption."""
        attributes, (_, caption), body = content
        cleaned = self._clean(body)
        text = ast.text_of(caption).strip()
        is_captioned = text and not _FILE_NAME_CAPTION.match(text) and cleaned
        if not attributes[0].startswith("fig-") and not is_captioned:
            return cleaned
        for image in ast.elements(cleaned, "Image"):
            _describe(image, text)
        return [{"t": "Figure", "c": [ast.attr(attributes[0]), [None, self._clean(caption)], cleaned]}]

    def _captioned_figure(self, attributes: Any, caption: list[Element], body: list[Element]) -> list[Element]:
        cleaned = self._clean(body)
        # Readers who cannot see the figure get its caption where nobody described it.
        alt = ast.attr_value(attributes, "alt") or ast.text_of(caption).strip()
        for image in ast.elements(cleaned, "Image"):
            _describe(image, alt)
        classes = tuple(name for name in attributes[1] if name in ("hwkit-subfigure", "hwkit-listing"))
        described = ast.attr(attributes[0], classes, alt=alt)
        return [{"t": "Figure", "c": [described, [None, self._clean(caption)], cleaned]}]

    def _captioned_table(self, attributes: Any, caption: list[Element], body: list[Element]) -> list[Element]:
        cleaned = self._clean(body)
        for table in ast.elements(cleaned, "Table"):
            table["c"][0][0] = attributes[0]
            table["c"][1] = [None, self._clean(caption)]
            break
        else:
            self._warn(f"the caption of {attributes[0] or 'a table'} has no table to go with")
        return cleaned

    def _line(self, kind: str, content: list[Element]) -> list[Element] | None:
        r"""A displayed equation with a label (`$$ ... $$ {#eq-x}`, an anchor, `\label`) or a `\tag` stands alone."""
        if PAGE_BREAK.fullmatch(ast.text_of(content).strip()):
            return [_page_break()]
        blocks: list[Element] = []
        rest = content
        while (found := _labelled_equation(rest)) is not None:
            index, after, label, tag = found
            if before := _trimmed(rest[:index]):
                blocks.append({"t": kind, "c": self._clean(before)})
            equation = ast.paragraph(self._clean([rest[index]]))
            tex = rest[index]["c"][1]
            tags = tags_of_labels(tex)
            labels = " ".join(tags or labels_of(tex))
            blocks.append(
                ast.division(
                    [equation],
                    ast.attr(label, ("hwkit-equation",), number=tag, labels=labels, tags=" ".join(tags.values())),
                )
            )
            rest = _trimmed(rest[after:])
        if not blocks:
            return None
        return [*blocks, {"t": kind, "c": self._clean(rest)}] if rest else blocks

    # --- second pass: numbers in document order ----------------------------------------------------------

    def _numbered(self, node: Any) -> Any:
        return ast.changed(node, self._number_element)

    def _number_element(self, element: Element) -> list[Element] | None:
        kind, content = ast.parts(element)
        if kind == "Header":
            return [self._heading(content)]
        if kind == "Figure":
            attributes, (short, caption), body = content
            is_listing = "hwkit-listing" in attributes[1]
            kind, word = ("lst", self.words.listing) if is_listing else ("fig", self.words.figure)
            label = attributes[0]
            attributes[0] = self._target(kind, label)
            numbered = self._with_number(kind, word, caption)
            self._letter(body, label or attributes[0], f"{word} {self.counts[kind]}")
            return [{"t": "Figure", "c": [attributes, [short, numbered], body]}]
        if kind == "Table" and content[1][1]:
            content[0][0] = self._target("tbl", content[0][0])
            caption = self._with_number("tbl", self.words.table, content[1][1])
            return [{"t": "Table", "c": [content[0], [None, caption], *self._numbered(content[2:])]}]
        if kind == "Div" and ast.attr_value(content[0], "tags"):
            return [self._tagged_lines(content)]
        if kind == "Div" and "hwkit-equation" in content[0][1]:
            number = ast.attr_value(content[0], "number")
            identifier = self._target("eq", content[0][0], number)
            # The lines of one equation have its number together.
            for label in ast.attr_value(content[0], "labels").split():
                self.targets.setdefault(label, (f"{self.words.equation} ({number or self.counts['eq']})", identifier))
            number = number or str(self.counts["eq"])
            return [ast.division(content[1], ast.attr(identifier, ("hwkit-equation",), number=number))]
        if kind in ("Span", "Div", "CodeBlock", "Code") and content[0][0]:
            wanted = content[0][0]
            content[0][0] = self._unique(wanted)
            self.targets.setdefault(wanted, ("", content[0][0]))
        return None

    def _tagged_lines(self, content: list[Any]) -> Element:
        """An equation whose lines show their tags: its labels refer to those of their lines."""
        labels, tags = (ast.attr_value(content[0], key).split() for key in ("labels", "tags"))
        identifier = self._unique(labels[0])
        for label, tag in zip(labels, tags, strict=False):
            self.targets.setdefault(label, (f"{self.words.equation} ({tag})", identifier))
        return ast.division(content[1], ast.attr(identifier, ("hwkit-lines",)))

    def _letter(self, body: list[Element], label: str, number: str) -> None:
        """Give the sub-figures of a figure their letters, and labels ("fig-x-1") to those without."""
        for index, figure in enumerate(ast.elements(body, "Figure")):
            attributes, caption, _ = figure["c"]
            letter = letter_of(index)
            wanted = attributes[0] or f"{label}-{index + 1}"
            attributes[0] = self._unique(wanted)
            self.targets.setdefault(wanted, (f"{number}{letter}", attributes[0]))
            first, others = (caption[1][0]["c"], caption[1][1:]) if caption[1] else ([], [])
            caption[1] = [ast.plain([ast.string(f"({letter})"), ast.space(), *first]), *others]

    def _heading(self, content: list[Any]) -> Element:
        level, attributes, inlines = content
        # A jump from level 1 to 3 would be numbered 1.0.1.
        level = min(level, self.level + 1)
        self.level = level
        numbered = self.number_sections and level <= 3 and "unnumbered" not in attributes[1]
        number = ""
        if numbered:
            self.section[level - 1] += 1
            self.section[level:] = [0] * (6 - level)
            number = ".".join(str(count) for count in self.section[:level])
        title = ast.text_of(inlines).strip()
        wanted = attributes[0] or _slug(title)
        identifier = self._unique(wanted)
        says = f"{self.words.section} {number}" if number else f"“{title}”"
        # Jupyter's own anchors keep capitals and put a dash for each space.
        for name in (wanted, title.replace(" ", "-"), _slug(title)):
            self.targets.setdefault(name, (says, identifier))
        return {
            "t": "Header",
            "c": [level, ast.attr(identifier, tuple(attributes[1]), number=number), self._numbered(inlines)],
        }

    def _target(self, kind: str, wanted: str, number: str = "") -> str:
        """Count a figure, table or equation that has no number yet, and register its label; gives its id."""
        words = self.words
        word = {"fig": words.figure, "tbl": words.table, "eq": words.equation, "lst": words.listing}[kind]
        if not number:
            self.counts[kind] += 1
            number = str(self.counts[kind])
        label = wanted or f"{kind}-number-{number}"
        if label in self.targets:
            self.warnings.append(f"the label {label!r} is used twice; references go to the first")
        identifier = self._unique(label)
        says = f"{word} ({number})" if kind == "eq" else f"{word} {number}"
        self.targets.setdefault(label, (says, identifier))
        return identifier

    def _with_number(self, kind: str, word: str, caption: list[Element]) -> list[Element]:
        """The caption with "Figure 3: " before it."""
        number = ast.strong([ast.string(f"{word}\u00a0{self.counts[kind]}:")])
        if caption and caption[0]["t"] in ("Para", "Plain"):
            return [ast.plain([number, ast.space(), *caption[0]["c"]]), *caption[1:]]
        return [ast.plain([number]), *caption]

    def _unique(self, wanted: str) -> str:
        base = re.sub(r"[^\w-]+", "-", wanted).strip("-") or "part"
        if not (base[0].isalpha() or base[0] == "_"):
            base = f"s-{base}"
        identifier, count = base, 1
        while identifier in self.identifiers:
            count += 1
            identifier = f"{base}-{count}"
        self.identifiers.add(identifier)
        return identifier

    # --- third pass: references ---------------------------------------------------------------------------

    def _resolved(self, node: Any) -> Any:
        return ast.changed(node, self._resolve_element)

    def _resolve_element(self, element: Element) -> list[Element] | None:
        kind, content = ast.parts(element)
        if kind == "Cite":
            return self._citation(content)
        if kind == "Link":
            return self._link(content)
        if kind == "Math" and "ref" in content[1]:
            return [{"t": "Math", "c": [content[0], _REFERENCE.sub(self._reference_in_formula, content[1])]}]
        return None

    def _reference_in_formula(self, match: re.Match[str]) -> str:
        return rf"\text{{{ast.text_of(self._reference(match[2], number_only=match[1]))}}}"

    def _citation(self, content: list[Any]) -> list[Element] | None:
        citations, literal = content
        if not any(CROSS_REFERENCE.match(citation["citationId"]) for citation in citations):
            return None if self.keep_citations else literal
        inlines: list[Element] = []
        for citation in citations:
            if inlines:
                inlines += [ast.string(","), ast.space()]
            inlines += self._reference(citation["citationId"])
        return inlines

    def _reference(self, label: str, *, number_only: str = "") -> list[Element]:
        r"""A reference to a label; `number_only` is the TeX command ("ref", "eqref") that wants no word before it."""
        # A full stop or colon after a reference is punctuation, though pandoc may take it for a part of it.
        bare = label.rstrip(".:")
        rest = label[len(bare) :]
        if bare not in self.targets and bare in self.absent:
            return [ast.string(self.absent[bare] + rest)]
        if bare not in self.targets:
            self.warnings.append(f"the reference @{bare} has no target: no cell or heading is labelled {bare!r}")
            return [ast.span([ast.string(f"?{bare}?")], ast.attr("", ("hwkit-missing",))), ast.string(rest)]
        says, identifier = self.targets[bare]
        if number_only and re.search(r"\d", says):
            says = says.rsplit(" ", 1)[-1]
            says = says.strip("()") if number_only == "ref" else says
        inlines = [ast.string(says.replace(" ", "\u00a0", 1))]
        return [*_linked(inlines, identifier), *([ast.string(rest)] if rest else [])]

    def _link(self, content: list[Any]) -> list[Element] | None:
        attributes, inlines, (target, _) = content
        if "hwkit-reference" in attributes[1]:
            command = attributes[1][-1]
            return self._reference(target[1:], number_only=command if command in ("ref", "eqref") else "")
        if target.startswith("#"):
            known = self.targets.get(target[1:]) or self.targets.get(_slug(target[1:].replace("-", " ")))
            if not known:
                return self._resolved(inlines)
            return _linked(self._resolved(inlines), known[1])
        if re.match(r"^(https?|mailto|ftp|doi):", target, re.IGNORECASE):
            return None
        # Relative links lead nowhere once the report has left its folder, and others may run something.
        return self._resolved(inlines)

    def _warn(self, message: str) -> None:
        self.warnings.append(self._where() + message)

    def _where(self) -> str:
        """Notebook and cell, as warnings begin."""
        places = [self.part.name if self.part else "", f"cell {self.cell}" if self.cell else ""]
        return ", ".join(filter(None, places)) + ": " if any(places) else ""


def _page_break() -> Element:
    return ast.division([], ast.attr("", ("hwkit-pagebreak",)))


def _page_breaks(attributes: Any) -> list[str]:
    """Where a division ends the page: "before" or "after" what it holds, by its class or its style."""
    if any(name in ("pagebreak", "page-break", "hwkit-pagebreak") for name in attributes[1]):
        return ["after"]
    return [found.lower() for found in _BREAKS_PAGE.findall(ast.attr_value(attributes, "style"))]


def _describe(image: Element, alt: str) -> None:
    """Give an image an alternative text, unless it has one."""
    pairs = image["c"][0][2]
    if alt and not ast.attr_value(image["c"][0], "alt"):
        image["c"][0][2] = [pair for pair in pairs if pair[0] != "alt"] + [["alt", alt]]


def _raised(blocks: list[Element]) -> list[Element]:
    """The blocks with their headings raised so that the highest are of level 1."""
    headings = list(ast.elements(blocks, "Header"))
    above = min((heading["c"][0] for heading in headings), default=1) - 1
    for heading in headings:
        heading["c"][0] -= above
    return blocks


def _linked(inlines: list[Element], identifier: str) -> list[Element]:
    """The inlines as a link; as they are where the target is the title, which no link needs to lead to."""
    return [ast.link(inlines, f"#{identifier}")] if identifier else inlines


def _as_chapter(blocks: list[Element], name: str) -> list[Element]:
    """The blocks under exactly one level-1 heading: their first one, or `name`."""
    headings = list(ast.elements(blocks, "Header"))
    tops = [heading for heading in headings if heading["c"][0] == 1]
    if not tops:
        chapter = {"t": "Header", "c": [1, ast.attr(), ast.text_inlines(name)]}
        return [chapter, *blocks]
    if len(tops) > 1:
        for heading in headings:
            if heading is not tops[0]:
                heading["c"][0] += 1
    return blocks


def _labelled_equation(inlines: list[Element]) -> tuple[int, int, str, str] | None:
    """The first displayed equation with a label or tag: its index, the index after it, the label and the tag."""
    for index, inline in enumerate(inlines):
        if inline["t"] != "Math" or inline["c"][0]["t"] != "DisplayMath":
            continue
        after = index + 1
        while after < len(inlines) and inlines[after]["t"] in ("Space", "SoftBreak"):
            after += 1
        label_after = _equation_label(inlines[after]) if after < len(inlines) else ""
        tag, label = number_of(inline["c"][1])
        if label_after:
            return index, after + 1, label_after, tag
        if tag or label:
            return index, index + 1, label, tag
    return None


def _equation_label(inline: Element) -> str:
    """The label that stands behind an equation: `{#eq-x}`, or an anchor `<a id="eq-x"></a>`."""
    kind, content = ast.parts(inline)
    written = f"{{#{content[0][0]}}}" if kind == "Span" and not content[1] else ast.text_of(inline)
    found = re.fullmatch(r"\{#(eq-[\w:.-]+)\}", written)
    return found[1] if found else ""


def _trimmed(inlines: list[Element]) -> list[Element]:
    while inlines and inlines[0]["t"] in ("Space", "SoftBreak"):
        inlines = inlines[1:]
    while inlines and inlines[-1]["t"] in ("Space", "SoftBreak"):
        inlines = inlines[:-1]
    return inlines


def _split_caption(blocks: list[Element]) -> tuple[list[Element], list[Element]]:
    caption: list[Element] = []
    body: list[Element] = []
    for block in blocks:
        is_caption = block["t"] == "Div" and "hwkit-caption" in block["c"][0][1]
        (caption if is_caption else body).append(block)
    return caption, body


def _only_images(block: Element) -> bool:
    """Whether a block is a paragraph of nothing but images."""
    if block["t"] not in ("Para", "Plain"):
        return False
    visible = [inline for inline in block["c"] if inline["t"] not in ("Space", "SoftBreak", "LineBreak")]
    return bool(visible) and all(inline["t"] == "Image" for inline in visible)


def callout_kind(classes: Sequence[str]) -> str:
    """The kind of a callout division: Quarto's `callout-note` or Bootstrap's `alert-info`."""
    for name in classes:
        match = re.fullmatch(r"(?:callout|alert)-(\w+)", name)
        if match:
            return match.group(1)
    return ""


def _image_size(attributes: Any, width: float | None, height: float | None) -> dict[str, str]:
    """Width and height for the writers: `x%` of the line, or inches."""
    style = ast.attr_value(attributes, "style")
    asked = ast.attr_value(attributes, "width") or _style_value(style, "width")
    asked_height = ast.attr_value(attributes, "height") or _style_value(style, "height")
    if re.fullmatch(r"\d+(\.\d+)?%", asked):
        return {"width": asked}
    inches, inches_high = _length(asked), _length(asked_height)
    if inches is None and inches_high is not None and width and height:
        inches = inches_high * width / height
    inches = inches or width
    return {"width": f"{inches:.3f}in"} if inches else {}


def _style_value(style: str, key: str) -> str:
    match = re.search(rf"(?:^|;)\s*{key}\s*:\s*([^;]+)", style)
    return match.group(1).strip() if match else ""


def _length(text: str) -> float | None:
    match = re.fullmatch(r"(\d*\.?\d+)\s*(px|pt|in|cm|mm|em|)", text)
    if not match:
        return None
    per_inch = {"px": CSS_PIXELS_PER_INCH, "": CSS_PIXELS_PER_INCH, "pt": 72, "in": 1, "cm": 2.54, "mm": 25.4, "em": 6}
    return float(match.group(1)) / per_inch[match.group(2)]


def _slug(title: str) -> str:
    """A heading's identifier as GitHub and Quarto make it."""
    text = unicodedata.normalize("NFC", title).lower()
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text).strip())
