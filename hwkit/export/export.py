"""Notebooks to Typst source and PDF, without Jupyter's own start; `hwkit.export.folder` has many of them at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwkit.errors import ReportError
from hwkit.export.assemble import build_document
from hwkit.export.document import Part
from hwkit.export.files import replace_file
from hwkit.export.frontmatter import FrontMatter
from hwkit.export.images import ImageStore
from hwkit.export.markdown import chunk, escaped
from hwkit.export.notebooks import part_of, read_nodes, to_markdown
from hwkit.export.settings import ReportSettings
from hwkit.export.typesetting import TypstSource, compile_pdf, typeset


@dataclass(frozen=True)
class Conversion:
    """A notebook to export, the PDF that it becomes, and the folder in which its pictures may lie."""

    notebook: Path
    pdf: Path
    root: Path

    @property
    def place(self) -> str:
        """The notebook's folder within the one that was given, such as a student's; empty for that folder itself."""
        place = self.notebook.parent.relative_to(self.root).as_posix()
        return "" if place == "." else place


@dataclass(frozen=True)
class Options:
    """How to export.

    Attributes
    ----------
    theme : the name of a theme, or the path of a .typ file; default the notebook's own, or "article".
    settings : the path of a report.toml.
    questions : keep only what `hwkit.export.questions` finds, and put the notebook's folder into the page header.
    execute : run the notebook first, in its own folder; the file stays as it is.
    seconds : after which a notebook has failed, of many; one that is executed in any case.
    """

    theme: str = ""
    settings: str = ""
    questions: bool = False
    execute: bool = False
    seconds: float = 300.0


def export_pdf(
    notebook: Path, pdf: Path | None = None, *, root: Path | None = None, options: Options | None = None
) -> tuple[Path, list[str]]:
    """Write a notebook as PDF.

    Parameters
    ----------
    pdf : where to; default beside the notebook.
    root : the folder in which its pictures may lie; default the notebook's own.

    Returns
    -------
    The PDF's path, and a sentence on each thing that was left out or could not be set, such as "cell 3: ...".

    Raises
    ------
    ReportError
        If the notebook cannot be read, executed or converted, or the PDF cannot be written.
    """
    one = Conversion(notebook, pdf or notebook.with_suffix(".pdf"), root or notebook.parent)
    options = options or Options()
    resources = _resources(one)
    with _explained():
        markdown = _markdown(one, resources, options)
        header = {"header": one.place} if options.questions else {}
        source = typst_source(markdown, resources, theme=options.theme, settings_file=options.settings, **header)
        content = compile_pdf(source)
    replace_file(one.pdf, content)
    return one.pdf, warnings_of(source)


def bind_pdf(conversions: Sequence[Conversion], pdf: Path, *, options: Options) -> tuple[list[str], dict[Path, str]]:
    """Write notebooks as one PDF, each a chapter that is named by its path.

    Returns
    -------
    The warnings, and by its path the problem of each notebook that could not be read or executed.

    Raises
    ------
    ReportError
        If there is none left, or the document cannot be made or written.
    """
    images = ImageStore(list(dict.fromkeys(one.root for one in conversions)))
    parts: list[Part] = []
    warnings: list[str] = []
    failed: dict[Path, str] = {}
    for one in conversions:
        name = (Path(one.place) / one.notebook.stem).as_posix()
        resources = {**_resources(one), "hwkit_images": images}
        try:
            with _explained():
                markdown = chunk(f"# {escaped(name)}") + _markdown(one, resources, options)
        except ReportError as error:
            failed[one.notebook] = str(error)
            continue
        warnings += named(str(one.notebook), resources["hwkit_warnings"])
        parts.append(part_of(str(one.notebook), markdown, resources, chapter=name))
    if not parts:
        raise ReportError(f"no notebook could be read, so that {pdf} was not written")
    settings = _settings(FrontMatter(settings={"title": pdf.stem}), options.theme or "report", options.settings)
    document = build_document(parts, settings, images)
    document.warnings[:0] = warnings
    source = typeset(document, settings, {})
    replace_file(pdf, compile_pdf(source))
    return warnings_of(source), failed


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Whatever happens to a notebook that is valid and yet unlike any seen is an error of its own; others go on."""
    try:
        yield
    except (ReportError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise ReportError(f"it cannot be converted: {type(error).__name__}: {error}") from error


def _markdown(one: Conversion, resources: dict[str, Any], options: Options) -> str:
    """The notebook as Markdown, executed first if that was asked for; `resources` gets what goes with it."""
    nb, warnings = read_nodes(one.notebook), []
    if options.execute:
        from hwkit.export.execution import executed

        nb, warnings = executed(nb, one.notebook.parent, until=time.monotonic() + options.seconds)
    markdown = to_markdown(nb, resources, questions=options.questions)
    resources["hwkit_warnings"][:0] = warnings
    return markdown


def _resources(one: Conversion) -> dict[str, Any]:
    return {"metadata": {"name": one.notebook.stem, "path": str(one.notebook.parent)}, "hwkit_roots": [one.root]}


def typst_source(
    markdown: str, resources: Mapping[str, Any], *, theme: str = "", settings_file: str = "", header: str = ""
) -> TypstSource:
    """The Typst source and images of one notebook, whose Markdown left `resources` (`hwkit.export.notebooks`).

    Raises
    ------
    ReportError
        If the settings are wrong or the notebook cannot be converted.
    """
    settings = _settings(resources["hwkit_front_matter"], theme, settings_file)
    if header:
        settings = dataclasses.replace(settings, header=header)
    part = part_of("", markdown, resources)  # the only one needs no name in warnings
    document = build_document([part], settings, resources["hwkit_images"], take_title=not settings.title)
    if document.title_taken:
        settings = dataclasses.replace(settings, title=document.title)
    document.warnings[:0] = resources["hwkit_warnings"]
    document.title = document.title or str(resources.get("metadata", {}).get("name") or "notebook")
    return typeset(document, settings, {})


def warnings_of(source: TypstSource) -> list[str]:
    """What was left out or could not be set, each once; complete when the source is compiled."""
    return list(dict.fromkeys([*source.warnings, *source.writer.warnings]))


def named(notebook: str, warnings: Sequence[str]) -> list[str]:
    """Warnings with the notebook that they are of, in front of the cell: "a/hw.ipynb, cell 3: ..."."""
    return [f"{notebook}{', ' if warning.startswith('cell ') else ': '}{warning}" for warning in warnings]


def _settings(front: FrontMatter, theme: str, settings_file: str) -> ReportSettings:
    """The settings of the file, over them those of the front matter, over them the theme asked for."""
    values: dict[str, Any] = {"title": "", "date": "", "theme": "article", "number_sections": False}
    if settings_file:
        path = Path(settings_file)
        if not path.exists():
            raise ReportError(f"settings_file = {str(path)!r} does not exist")
        values |= ReportSettings.read(path)
    values |= front.settings
    if theme:
        values["theme"] = theme
    values.setdefault("contents", values["theme"] == "report")
    return ReportSettings.from_mapping(values, source=settings_file or "notebook")
