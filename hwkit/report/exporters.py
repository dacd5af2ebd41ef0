"""nbconvert exporters: `jupyter nbconvert --to typst` and `--to typstpdf`, without LaTeX and without a browser."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode, ValidationError
from traitlets import Bool, Unicode, default
from traitlets.config import Config

from hwkit.errors import ReportError
from hwkit.report import outputs, pandoc, tree
from hwkit.report.cells import CellOptionsPreprocessor
from hwkit.report.citations import load_bibliography, with_citations
from hwkit.report.document import Document, DocumentBuilder, Part
from hwkit.report.frontmatter import FrontMatter, take_front_matter
from hwkit.report.images import ImageStore
from hwkit.report.markdown import chunk, division
from hwkit.report.pandoc import TEMPLATES
from hwkit.report.settings import ReportSettings
from hwkit.report.typesetting import TypstSource, compile_pdf, typeset
from hwkit.report.words import words_of


class NotebookMarkdownExporter(TemplateExporter):
    """A notebook as chunked Markdown: the first step of every report.

    Leaves in `resources`: `hwkit_images` (an `ImageStore`), `hwkit_attachments` and `hwkit_warnings` (sentences).
    """

    file_extension = ".md"
    output_mimetype = "text/markdown"
    export_from_notebook: str | None = None

    echo = Bool(True, help="Show the code of cells that do not say `#| echo`.").tag(config=True)
    show_parameters = Bool(True, help="Show the code of papermill's parameter cells.").tag(config=True)

    @default("template_name")
    def _template_name_default(self) -> str:
        return "hwkit"

    @default("template_extension")
    def _template_extension_default(self) -> str:
        return ".md.j2"

    @property
    def default_config(self) -> Config:
        """nbconvert's own defaults, with neighbouring streams joined."""
        config = Config({"CoalesceStreamsPreprocessor": {"enabled": True}})
        config.merge(super().default_config)
        return config

    def get_prefix_root_dirs(self) -> list[str]:
        """Where nbconvert looks for templates: here too."""
        return [*super().get_prefix_root_dirs(), str(TEMPLATES)]

    def default_filters(self) -> Iterable[tuple[str, Callable[..., Any]]]:
        """nbconvert's filters and those of the hwkit template."""
        yield from super().default_filters()
        for function in (outputs.code_input, outputs.code_outputs, outputs.markdown_cell, outputs.raw_cell):
            yield function.__name__, function

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(
            CellOptionsPreprocessor(parent=self, echo=self.echo, show_parameters=self.show_parameters), enabled=True
        )

    def markdown(self, nb: NotebookNode, resources: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """The notebook as Markdown; cells are numbered from 1 as they stand in it.

        Raises
        ------
        ReportError
            If the notebook breaks the format; the message names the cell.
        """
        nb = copy.deepcopy(nb)
        resources = self._init_resources(resources or {})
        front = take_front_matter(nb, _folder(resources))
        for number, cell in enumerate(nb.cells, start=1):
            cell.metadata["hwkit"] = {"number": number}
        folder = resources.get("output_files_dir") or ""
        resources.setdefault("hwkit_images", ImageStore(str(folder)))
        resources["hwkit_attachments"] = {}
        resources["hwkit_macros"] = {}
        resources["hwkit_warnings"] = list(front.warnings)
        resources["hwkit_front_matter"] = front
        try:
            return super().from_notebook_node(nb, resources)
        except ValidationError as error:
            place = re.search(r"\['cells'\]\[(\d+)\]", str(error))
            where = f"cell {int(place[1]) + 1}" if place else "its metadata"
            problem = str(error).splitlines()[0]
            raise ReportError(f"the notebook is not valid: {where}: {problem}. Open and save it in Jupyter.") from None


def _folder(resources: Mapping[str, Any]) -> Path:
    """The folder that a notebook lies in."""
    return Path(resources.get("metadata", {}).get("path") or ".")


class TypstExporter(NotebookMarkdownExporter):
    """A notebook as Typst source, with its images beside it."""

    file_extension = ".typ"
    output_mimetype = "text/x-typst"
    export_from_notebook = "Typst"

    theme = Unicode("", help="A theme (report, article, handout) or the path of a .typ file; article if not set.").tag(
        config=True
    )
    settings_file = Unicode("", help="A report.toml with title, authors, paper, font, theme ...").tag(config=True)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The notebook's Typst source; `resources["outputs"]` gets the images."""
        source, resources = self.typst_source(nb, resources)
        self._warn(source, resources)
        resources["outputs"] = {**resources.get("outputs", {}), **source.images}
        return source.text, resources

    def typst_source(self, nb: NotebookNode, resources: dict[str, Any] | None) -> tuple[TypstSource, dict[str, Any]]:
        """The notebook's Typst source and images.

        Raises
        ------
        ReportError
            If the settings are wrong or the notebook cannot be converted.
        """
        markdown, resources = self.markdown(nb, resources)
        name = str(resources.get("metadata", {}).get("name") or "notebook")
        front: FrontMatter = resources["hwkit_front_matter"]
        settings = self._settings(front)
        part = Part(name, markdown, [_folder(resources)], resources["hwkit_attachments"], resources["hwkit_macros"])
        document = build_document([part], settings, resources["hwkit_images"], take_title=not settings.title)
        if document.title_taken:
            settings = dataclasses.replace(settings, title=document.title)
        document.warnings[:0] = [f"{name}, {warning}" for warning in resources["hwkit_warnings"]]
        document.title = document.title or name
        return typeset(document, settings, {}), resources

    def _warn(self, source: TypstSource, resources: dict[str, Any]) -> None:
        """Say what was left out or could not be set: in the log, and in `resources["hwkit_warnings"]`."""
        resources["hwkit_warnings"] = list(dict.fromkeys([*source.warnings, *source.writer.warnings]))
        for warning in resources["hwkit_warnings"]:
            self.log.warning("%s", warning)

    def _settings(self, front: FrontMatter) -> ReportSettings:
        """The settings of the file, over them those of the front matter, over them those of the command line."""
        values: dict[str, Any] = {"title": "", "date": "", "theme": "article", "number_sections": False}
        if self.settings_file:
            path = Path(self.settings_file)
            if not path.exists():
                raise ReportError(f"settings_file = {str(path)!r} does not exist")
            values |= ReportSettings.read(path)
        values |= front.settings
        if self.theme:
            values["theme"] = self.theme
        values.setdefault("contents", values["theme"] == "report")
        return ReportSettings.from_mapping(values, source=self.settings_file or "notebook")


class TypstPDFExporter(TypstExporter):
    """A notebook as PDF."""

    file_extension = ".pdf"
    output_mimetype = "application/pdf"
    export_from_notebook = "PDF (Typst)"

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The notebook's PDF."""
        source, resources = self.typst_source(nb, resources)
        resources["outputs"] = {}
        pdf = compile_pdf(source)
        self._warn(source, resources)
        return pdf, resources


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
    first = next(tree.elements(blocks, "Header"), None)
    return Document(
        [block for block, taken in zip(blocks, is_abstract, strict=True) if not taken],
        images,
        builder.warnings,
        builder.title or (tree.text_of(first).strip() if first else ""),
        [inner for block, taken in zip(blocks, is_abstract, strict=True) if taken for inner in block["c"][1]],
        builder.formulas,
        version,
        title_taken=bool(builder.title),
    )
