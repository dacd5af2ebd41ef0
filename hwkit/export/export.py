"""One notebook to Typst source and PDF, without Jupyter's own start; `hwkit.export.folder` has many of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwkit.errors import ReportError
from hwkit.export.assemble import build_document
from hwkit.export.files import replace_file
from hwkit.export.frontmatter import FrontMatter
from hwkit.export.notebooks import part_of, read_nodes, to_markdown
from hwkit.export.settings import ReportSettings
from hwkit.export.typesetting import TypstSource, compile_pdf, typeset


def export_pdf(
    notebook: Path, pdf: Path | None = None, *, root: Path | None = None, theme: str = "", settings: str = ""
) -> tuple[Path, list[str]]:
    """Write a notebook as PDF, as it is: nothing is executed.

    Parameters
    ----------
    pdf : where to; default beside the notebook.
    root : the folder in which its pictures may lie; default the notebook's own.
    theme, settings : the options `theme` and `settings_file` of the exporter.

    Returns
    -------
    The PDF's path, and a sentence on each thing that was left out or could not be set, such as "cell 3: ...".

    Raises
    ------
    ReportError
        If the notebook cannot be read or converted, or the PDF cannot be written.
    """
    resources: dict[str, Any] = {"metadata": {"name": notebook.stem, "path": str(notebook.parent)}, "hwkit_root": root}
    read = read_nodes(notebook)
    try:
        source = typst_source(to_markdown(read, resources), resources, theme=theme, settings_file=settings)
        content = compile_pdf(source)
    except ReportError:
        raise
    except Exception as error:  # of a notebook that is valid and yet unlike any seen; the next ones are converted
        raise ReportError(f"it cannot be converted: {type(error).__name__}: {error}") from error
    pdf = pdf or notebook.with_suffix(".pdf")
    replace_file(pdf, content)
    return pdf, warnings_of(source)


def typst_source(
    markdown: str, resources: Mapping[str, Any], *, theme: str = "", settings_file: str = ""
) -> TypstSource:
    """The Typst source and images of one notebook, whose Markdown left `resources` (`hwkit.export.notebooks`).

    Raises
    ------
    ReportError
        If the settings are wrong or the notebook cannot be converted.
    """
    settings = _settings(resources["hwkit_front_matter"], theme, settings_file)
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
