"""A folder of notebooks that nobody here wrote: HWKIT_NOTEBOOKS=folder pytest tests/export/test_any_notebooks.py -s"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("typst")

from hwkit.errors import ReportError
from hwkit.export.exporters import TypstPDFExporter

FOLDER = os.environ.get("HWKIT_NOTEBOOKS")


@pytest.mark.skipif(not FOLDER, reason="set HWKIT_NOTEBOOKS to a folder of notebooks")
def test_nineteen_of_twenty_become_a_pdf_and_the_rest_say_why(tmp_path: Path) -> None:
    """Writes the PDFs to the folder `pdf` in the test's temporary folder, to be looked at."""
    notebooks = [path for path in sorted(Path(FOLDER).rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    assert notebooks, f"there are no notebooks in {FOLDER}"
    output = tmp_path / "pdf"
    output.mkdir()
    refused, unexplained = [], []
    for number, path in enumerate(notebooks):
        try:
            pdf, _ = TypstPDFExporter().from_filename(str(path))
        except ReportError as error:
            refused.append(f"{path}: {error}")
        except Exception as error:
            unexplained.append(f"{path}: {type(error).__name__}: {error}")
        else:
            (output / f"{number:04d}-{path.stem}.pdf").write_bytes(pdf)
    print(f"\n{len(notebooks) - len(refused) - len(unexplained)} of {len(notebooks)} notebooks, PDFs in {output}")
    print("\n".join([*refused, *unexplained]))
    assert unexplained == []
    assert len(refused) <= len(notebooks) / 20
