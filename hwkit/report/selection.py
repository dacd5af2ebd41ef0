"""Which chapters and which cells a report shows, as its report.toml and the tags of the cells say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwkit.errors import ReportError, did_you_mean
from hwkit.export.settings import ReportSettings
from hwkit.report.execute import read_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

REFERENCE_TAG = "reference"  # of cells that compare with the reference report
READING_TAG = "your-reading"  # of Markdown cells for the author's own words
# The text that such a cell has at first: a prompt in italics from its first character to its last.
_PROMPT = re.compile(r"\s*([*_])(?!\1)[^*]+\1\s*")
_LABELS = re.compile(r"""(?:\{#|<a id=["'])((?:sec|eq)-[\w-]+)|^#\| label: ([\w-]+)""", re.MULTILINE)

# A link to a label, in words that name what it labels: "the figure below", "the section on MNIST".
_LINK = re.compile(
    r"\[(?:the )?(?:figure|table|section|equation|listing)\b[^\]]*\]"
    r"\((?:[\w.-]+\.ipynb)?#((?:fig|tbl|sec|eq|lst)-[\w-]+)\)",
    re.IGNORECASE,
)


def chosen_chapters(notebooks: Sequence[Path], settings: ReportSettings) -> list[Path]:
    """The notebooks that report.toml asks for: those of `chapters` in its order, or all, but for those `without`.

    Raises
    ------
    ReportError
        If it names a chapter that there is not, or leaves none.
    """
    known = {path.stem: path for path in notebooks}
    for key in ("chapters", "without"):
        for name in getattr(settings, key):
            if name not in known:
                raise ReportError(f"report.toml: {key} names {name!r}, and {did_you_mean(name, known)}")
    chosen = [name for name in settings.chapters or known if name not in settings.without]
    if not chosen:
        raise ReportError("report.toml leaves no chapter; take one out of `without`")
    return [known[name] for name in chosen]


def labels_of(notebook: Path) -> dict[str, str]:
    """What references can lead to in a notebook: its labels, and what each says where the chapter is left out."""
    cells = read_notebook(notebook)["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    title = re.search(r"^# (.+?)(?: \{.*\}| <a .*)?$", text, re.MULTILINE)
    name = f"“{title[1] if title else notebook.stem}” (left out)"
    return {section or label: name for section, label in _LABELS.findall(text)}


def keep_selected(notebook: NotebookNode, *, reference: bool) -> None:
    """Take out of an executed notebook what its report does not show, and make references of links to its labels.

    Such a link reads well in Jupyter, and a number in the report. Cells for the author's reading are there once their
    prompt is no more; with `reference` off, cells tagged for the reference report are gone, and tables of results
    have no columns on it.
    """
    notebook.cells = [cell for cell in notebook.cells if _is_selected(cell, reference)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(r"@\1", cell.source)
    if not reference:
        for cell in notebook.cells:
            for output in cell.get("outputs") or []:
                _without_reference(output.get("data") or {})


def _is_selected(cell: Mapping[str, Any], reference: bool) -> bool:
    tags = (cell.get("metadata") or {}).get("tags") or []
    if READING_TAG in tags and (not cell["source"].strip() or _PROMPT.fullmatch(cell["source"])):
        return False
    return reference or REFERENCE_TAG not in tags


def _without_reference(data: dict[str, Any]) -> None:
    """Replace a table of results among an output's data by the same without the reference report."""
    from hwkit.findings.reference import RESULTS_MIME, ResultTable

    if RESULTS_MIME in data:
        data |= ResultTable(tuple(data[RESULTS_MIME]), reference=False)._repr_mimebundle_()
