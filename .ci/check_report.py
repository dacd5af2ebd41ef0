"""Check that a built report holds the sections, figures and tables that its notebooks promise."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pypdf


def main(build: Path) -> int:
    """Print what is missing from the report in `build`; returns the number of such things."""
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(build / "report.pdf").pages)
    html = (build / "report.html").read_text(encoding="utf-8")
    figures, tables, headings = 0, 0, []
    for notebook in sorted((build / "notebooks").glob("*.ipynb")):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if "no-pdf" in cell["metadata"].get("tags", []):
                continue
            if cell["cell_type"] == "markdown":
                headings += re.findall(r"^#+ (.+?)(?: \{.*\}| <a .*)?$", source, flags=re.MULTILINE)
            if "#| include: false" in source:
                continue
            pictures = [o for o in cell.get("outputs", []) if any(k.startswith("image/") for k in o.get("data", {}))]
            figures += len(pictures)
            tables += "#| label: tbl-" in source
    # The summary at the front has one figure and one table more.
    squeezed = "".join(text.split())
    missing = [f"section {h!r}" for h in headings if "".join(h.split()) not in squeezed]
    missing += [f"figure {n}" for n in range(1, figures + 2) if f"Figure{n}:" not in squeezed]
    missing += [f"table {n}" for n in range(1, tables + 2) if f"Table{n}:" not in squeezed]
    missing += [f"section {h!r} of the HTML" for h in headings if h.split("{")[0].strip() not in html]
    results = pd.read_csv(build / "results.csv")
    missing += ["results.csv: rows"] * results.empty
    for item in missing:
        print(f"missing from the report: {item}")
    print(f"report: {len(headings)} sections, {figures} figures, {tables} tables, {len(results)} runs in results.csv")
    return len(missing)


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1])) else 0)
