"""Many notebooks: which ones files and folders name, and which PDF each becomes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwkit.errors import ReportError
from hwkit.export.files import require_distinct


@dataclass(frozen=True)
class Conversion:
    """A notebook to export, the PDF that it becomes, and the folder in which its pictures may lie."""

    notebook: Path
    pdf: Path
    root: Path


def planned(paths: Sequence[Path], output_dir: Path | None = None) -> list[Conversion]:
    """What becomes of the notebooks that files and folders name; those of a folder come in the order of their names.

    A PDF stands beside its notebook, or in the same folder below `output_dir`. Hidden files and folders are skipped.

    Raises
    ------
    ReportError
        If a path does not exist or holds no notebook, or two notebooks would become one PDF.
    """
    found: dict[str, Conversion] = {}
    for path in paths:
        inside = sorted(_notebooks_below(path)) if path.is_dir() else [path] if path.exists() else []
        if not inside:
            problem = "holds no notebook (.ipynb)" if path.is_dir() else "does not exist"
            raise ReportError(f"{path} {problem}; name notebooks, or a folder with some")
        root = path if path.is_dir() else path.parent
        for notebook in inside:
            pdf = notebook.with_suffix(".pdf")
            if output_dir is not None:
                pdf = output_dir / pdf.relative_to(root)
            found.setdefault(os.path.abspath(notebook), Conversion(notebook, pdf, root))
    require_distinct((one.notebook, one.pdf) for one in found.values())
    return list(found.values())


def _notebooks_below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(".ipynb") and not name.startswith("."):
                yield Path(place, name)
