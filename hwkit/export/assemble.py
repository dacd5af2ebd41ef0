"""The Markdown of one notebook or several as one document: read, numbered, with its citations."""

from __future__ import annotations

from collections.abc import Mapping

from hwkit.export import ast
from hwkit.export.citations import load_bibliography, with_citations
from hwkit.export.document import Document, DocumentBuilder, Part
from hwkit.export.images import ImageStore
from hwkit.export.markdown import chunk, division
from hwkit.export.reading import read
from hwkit.export.settings import ReportSettings
from hwkit.export.words import words_of


def build_document(
    parts: list[Part],
    settings: ReportSettings,
    images: ImageStore,
    *,
    take_title: bool = False,
    absent: Mapping[str, str] | None = None,
) -> Document:
    """The document that the parts' Markdown makes together, with its citations.

    Its title is the text of its first heading. With `take_title`, a heading that stands above all others becomes
    the title of the document and is no heading any more. `absent` says what references to parts that were left out say.
    """
    bibliography, warnings = load_bibliography(settings.bibliography)
    builder = DocumentBuilder(
        images,
        words_of(settings.language),
        number_sections=settings.number_sections,
        keep_citations=bool(bibliography.entries),
        take_title=take_title,
    )
    builder.warnings += warnings
    builder.absent = dict(absent or {})
    texts = [part.markdown for part in parts]
    if settings.abstract:
        texts[0] = division(chunk(settings.abstract), "hwkit-abstract") + texts[0]
    blocks = builder.build([(part, read(text)) for part, text in zip(parts, texts, strict=True)])
    if bibliography.entries:
        blocks, warnings = with_citations(blocks, bibliography, settings)
        builder.warnings += warnings
    is_abstract = [block["t"] == "Div" and "hwkit-abstract" in block["c"][0][1] for block in blocks]
    first = next(ast.elements(blocks, "Header"), None)
    return Document(
        [block for block, taken in zip(blocks, is_abstract, strict=True) if not taken],
        images,
        builder.warnings,
        builder.title or (ast.text_of(first).strip() if first else ""),
        [inner for block, taken in zip(blocks, is_abstract, strict=True) if taken for inner in block["c"][1]],
        builder.formulas,
        title_taken=bool(builder.title),
    )
