"""Numbers in the docs: `python -m hwkit.bench.docs` writes them from the CSV and JSON files beside the pages.

A part of a page between `<!-- NAME -->` and `<!-- end -->` is one of `PARTS`, and a page of `PAGES` is written as a
whole. With `--check` nothing is written, and pages that say something else than their files are listed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from hwkit.bench import noise, schedules, training
from hwkit.export.files import replace_file
from hwkit.findings import reference
from hwkit.formats import duration
from hwkit.paths import project_root

PART = re.compile(r"(<!-- (?P<name>[a-z-]+) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages anew, or check them."""
    parser = argparse.ArgumentParser(
        prog="python -m hwkit.bench.docs", description="Write the numbers of the docs from the files beside them."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs from its files")
    options = parser.parse_args(arguments)
    outdated = {page: text for page, text in pages(project_root()).items() if page.read_text() != text}
    for page, text in outdated.items():
        if options.check:
            print(f"{page} differs from its CSV files; run {parser.prog}", file=sys.stderr)
        else:
            replace_file(page, text.encode())
            print(page)
    return 1 if options.check and outdated else 0


def pages(root: Path) -> dict[Path, str]:
    """Every page that has numbers from files, as it should be."""
    docs = root / "docs"
    found = {docs / name: write(docs) for name, write in PAGES.items() if (docs / name).exists()}
    for page in (root / "README.md", *sorted(docs.glob("*.md"))):
        text = page.read_text()
        if page not in found and PART.search(text):
            found[page] = PART.sub(lambda part: f"{part[1]}{PARTS[part['name']](docs)}\n{part[3]}", text)
    return found


def _report_times(docs: Path) -> str:
    """Where the time of a report goes."""
    times = pd.read_csv(docs / "report-times.csv")
    rows = [
        {
            "`make report`": f"`PROFILE={row['profile']}` {row['state']}",
            "in all": duration(row["seconds"]) if row["seconds"] > 10 else f"{row['seconds']:.1f} s",
            **{step: _seconds(row[step]) for step in ("planning", "training", "notebooks", "document")},
            "pages": f"{row['pages']}",
        }
        for row in times.to_dict("records")
    ]
    return reference.markdown_table(pd.DataFrame(rows))


def _seconds(value: float) -> str:
    return "–" if pd.isna(value) else duration(value) if value > 10 else f"{value:.1f} s"


def _bench(docs: Path) -> str:
    """What `hwkit bench` printed, with the machine it ran on."""
    result = json.loads((docs / "bench.json").read_text())
    machine = result["machine"]
    return f"```text\n{machine['device_name']}, {machine['threads']} threads\n\n{training.tables(result)}\n```"


def _results(docs: Path) -> str:
    return reference.summary(reference.read_rows(docs / "results.csv"))


PARTS: dict[str, Callable[[Path], str]] = {
    "report-times": _report_times,
    "bench": _bench,
    "results": _results,
}
PAGES: dict[str, Callable[[Path], str]] = {
    "noise.md": noise.page,
    "schedules.md": lambda docs: schedules.page(pd.read_csv(docs / "schedules.csv")),
}

if __name__ == "__main__":
    sys.exit(main())
