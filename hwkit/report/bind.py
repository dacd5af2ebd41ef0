"""Several executed notebooks as one document: a PDF, an HTML page, or both."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwkit.errors import ReportError
from hwkit.export.assemble import build_document
from hwkit.export.document import Document, Part
from hwkit.export.files import replace_file
from hwkit.export.html_writer import write_html
from hwkit.export.images import ImageStore
from hwkit.export.markdown import chunk
from hwkit.export.notebooks import part_of, read_nodes, to_markdown
from hwkit.export.settings import ReportSettings
from hwkit.export.typesetting import compile_pdf, page_count, typeset
from hwkit.export.words import words_of
from hwkit.report.selection import keep_selected


@dataclass(frozen=True)
class BookInfo:
    """What came out of `build_book`: sizes are in bytes, 0 for what was not asked for.

    `warnings` are complete sentences for the reader of the build's log: what was left out of the document,
    references without a target, characters without a font.
    """

    pages: int
    pdf_bytes: int
    html_bytes: int
    seconds: float
    warnings: tuple[str, ...]


def build_book(
    notebooks: Sequence[Path],
    *,
    settings: ReportSettings,
    facts: Mapping[str, str],
    opening: str = "",
    absent: Mapping[str, str] | None = None,
    pdf: Path | None = None,
    html: Path | None = None,
    image_folders: Sequence[Path] = (),
    system_fonts: bool = True,
) -> BookInfo:
    """Set executed notebooks, in the order given, as one document.

    Parameters
    ----------
    notebooks
        Executed notebooks. Each begins a chapter, headed by its first level-1 heading.
    settings
        Title page, theme, page.
    facts
        Rows of label and value for the title page.
    opening
        Markdown that goes before the first notebook, with its own level-1 heading.
    absent
        What a reference says that leads to a chapter that was left out, by its label.
    pdf, html
        Where to write; a file that is there is replaced only once the new one is complete.
    image_folders
        Folders, beside each notebook's own, whose images the notebooks and `opening` may show by relative
        paths.
    system_fonts
        Whether fonts installed on the machine may be used, beside those that Typst brings.

    Raises
    ------
    ReportError
        If a notebook cannot be read, the document cannot be set, or a file cannot be written.
    """
    start = time.perf_counter()
    images = ImageStore()
    warnings: list[str] = []
    parts = [Part("opening", chunk(opening), list(image_folders))] if opening.strip() else []
    bibliography = list(settings.bibliography)
    for path in notebooks:
        part, closes = _part(path, images, image_folders, bibliography, warnings, reference=settings.reference)
        if closes and _CITATION.search("".join(one.markdown for one in parts)) and bibliography:
            title = words_of(settings.language).references
            parts.append(Part("references", chunk(f"# {title} {{.unnumbered}}\n\n::: {{#refs}}\n:::\n")))
        parts.append(part)
    settings = dataclasses.replace(settings, bibliography=tuple(bibliography))
    document = build_document(parts, settings, images, absent=absent)
    document.warnings[:0] = warnings
    pdf_content = html_content = b""
    warnings = document.warnings
    if pdf is not None:
        pdf_content, warnings = _pdf(document, settings, facts, system_fonts=system_fonts)
        replace_file(pdf, pdf_content)
    if html is not None:
        html_content = write_html(document, settings, facts).encode()
        replace_file(html, html_content)
    return BookInfo(
        pages=page_count(pdf_content),
        pdf_bytes=len(pdf_content),
        html_bytes=len(html_content),
        seconds=time.perf_counter() - start,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _pdf(
    document: Document, settings: ReportSettings, facts: Mapping[str, str], *, system_fonts: bool
) -> tuple[bytes, list[str]]:
    """The PDF and what it leaves out; it keeps to the standard of the settings where all chapters allow it."""
    source = typeset(document, settings, facts, system_fonts=system_fonts)
    try:
        content = compile_pdf(source, system_fonts=system_fonts)
    except ReportError as error:
        if not settings.pdf_standard or "PDF/" not in str(error):
            raise
        problem = str(error).partition("error: ")[2].partition(" ┌")[0]
        told = f"the PDF does not keep to pdf_standard = {settings.pdf_standard!r}: {problem}"
        free = dataclasses.replace(settings, pdf_standard="")
        content, warnings = _pdf(document, free, facts, system_fonts=system_fonts)
        return content, [told, *warnings]
    return content, [*source.warnings, *source.writer.warnings]


_CITATION = re.compile(r"\[@(?!fig-|tbl-|sec-|eq-|lst-)\w")


def _part(
    path: Path,
    images: ImageStore,
    image_folders: Sequence[Path],
    bibliography: list[str],
    warnings: list[str],
    *,
    reference: bool,
) -> tuple[Part, bool]:
    """One notebook as a part of the book, and whether it is an appendix, which stands behind the references.

    Its front matter may give a bibliography, a title and cell options; its metadata, under hwkit.appendix, say the
    latter.
    """
    resources = {"hwkit_images": images, "hwkit_quiet_widgets": True, "metadata": {"path": str(path.parent)}}
    try:
        notebook = read_nodes(path)
    except ReportError as error:
        raise ReportError(f"notebook {path}: {error}") from None
    closes = bool((notebook.metadata.get("hwkit") or {}).get("appendix"))
    keep_selected(notebook, reference=reference)
    markdown = to_markdown(notebook, resources, echo=False, show_parameters=False)
    warnings += [f"{path.stem}, {warning}" for warning in resources["hwkit_warnings"]]
    given = resources["hwkit_front_matter"].settings
    bibliography += given.get("bibliography", [])
    title = str(given.get("title") or path.stem.replace("_", " "))
    return part_of(path.stem, markdown, resources, folders=image_folders, chapter=title), closes
