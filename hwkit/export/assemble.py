"""The Markdown of one notebook or several as one document: read by pandoc, numbered, with its citations."""

from __future__ import annotations

from hwkit.export import ast, pandoc
from hwkit.export.citations import load_bibliography, with_citations
from hwkit.export.document import Document, DocumentBuilder, Part
from hwkit.export.images import ImageStore
from hwkit.export.markdown import chunk, division
from hwkit.export.settings import ReportSettings
from hwkit.export.words import words_of


def build_document(
    parts: list[Part], settings: ReportSettings, images: ImageStore, *, take_title: bool = False
) -> Document:
    """The document that the parts' Markdown makes together, with its citations.

    Its title is the text of its first heading. With `take_title`, a heading that stands above all others becomes
    the title of the document and is no heading any more.
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
    texts = [division(part.markdown, "hwkit-part") for part in parts]
    if settings.abstract:
        abstract = division(chunk(settings.abstract), "hwkit-abstract")
        texts[0] = division(abstract + parts[0].markdown, "hwkit-part")
    # pandoc starts once for all parts: each of its starts costs about as much as a chapter.
    read, warnings = pandoc.markdown_to_tree("".join(texts))
    builder.warnings += warnings
    version = read["pandoc-api-version"]
    blocks = builder.build([(part, part_tree["c"][1]) for part, part_tree in zip(parts, read["blocks"], strict=True)])
    if bibliography.entries:
        blocks, warnings = with_citations(blocks, bibliography, settings, version)
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
        version,
        title_taken=bool(builder.title),
    )
