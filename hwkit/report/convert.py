"""Notebooks to PDF without Jupyter's own start: what `hwkit export` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwkit.errors import ReportError
from hwkit.report.exporters import TypstPDFExporter
from hwkit.report.files import replace_file


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
    exporter = TypstPDFExporter(theme=theme, settings_file=settings)
    try:
        content, resources = exporter.from_filename(str(notebook))
    except ReportError:
        raise
    except Exception as error:  # nbformat raises many kinds on damaged files; all mean the same here
        raise ReportError(f"it cannot be read: {error}") from error
    pdf = (output_dir or notebook.parent) / f"{notebook.stem}.pdf"
    pdf.parent.mkdir(parents=True, exist_ok=True)
    replace_file(pdf, content)
    return pdf, resources["hwkit_warnings"]
