"""One notebook to Typst source and PDF; what `hwkit export` does, without Jupyter's own start."""

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


def notebooks_in(paths: Sequence[Path]) -> list[Path]:
    """The notebooks that files and folders name, those of a folder and below it in the order of their names.

    Raises
    ------
    ReportError
        If a path does not exist or holds no notebook.
    """
    found: list[Path] = []
    for path in paths:
        inside = [path] if path.is_file() else sorted(path.rglob("*.ipynb"))
        inside = [one for one in inside if ".ipynb_checkpoints" not in one.parts]
        if not inside:
            problem = "holds no notebook (.ipynb)" if path.is_dir() else "does not exist"
            raise ReportError(f"{path} {problem}; name notebooks, or a folder with some")
        found += inside
    return list(dict.fromkeys(found))


def export_pdf(
    notebook: Path, *, output_dir: Path | None = None, theme: str = "", settings: str = ""
) -> tuple[Path, list[str]]:
    """Write a notebook as PDF, as it is, beside it or into `output_dir`.

    Returns the PDF's path, and a sentence on each thing that was left out or could not be set.

    `theme` and `settings` are the options `theme` and `settings_file` of the exporter.

    Raises
    ------
    ReportError
        If the notebook cannot be read or converted, or the PDF cannot be written.
    """
    resources: dict[str, Any] = {"metadata": {"name": notebook.stem, "path": str(notebook.parent)}}
    read = read_nodes(notebook)
    try:
        source = typst_source(to_markdown(read, resources), resources, theme=theme, settings_file=settings)
        content = compile_pdf(source)
    except ReportError:
        raise
    except Exception as error:  # of a notebook that is valid and yet unlike any seen; the next ones are converted
        raise ReportError(f"it cannot be converted: {type(error).__name__}: {error}") from error
    pdf = (output_dir or notebook.parent) / f"{notebook.stem}.pdf"
    pdf.parent.mkdir(parents=True, exist_ok=True)
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
    name = str(resources.get("metadata", {}).get("name") or "notebook")
    settings = _settings(resources["hwkit_front_matter"], theme, settings_file)
    part = part_of(name, markdown, resources)
    document = build_document([part], settings, resources["hwkit_images"], take_title=not settings.title)
    if document.title_taken:
        settings = dataclasses.replace(settings, title=document.title)
    document.warnings[:0] = [f"{name}, {warning}" for warning in resources["hwkit_warnings"]]
    document.title = document.title or name
    return typeset(document, settings, {})


def warnings_of(source: TypstSource) -> list[str]:
    """What was left out or could not be set, each once; complete when the source is compiled."""
    return list(dict.fromkeys([*source.warnings, *source.writer.warnings]))


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
