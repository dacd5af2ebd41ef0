"""How long `make report` takes: `python -m hwkit.bench.reports quick` measures it from an empty run store.

Each profile is built twice in a temporary folder: from nothing, and again when nothing has changed. The numbers go to
docs/report-times.csv, in which the other profiles stay as they are; `python -m hwkit.bench.docs` writes them into the
pages.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from hwkit.engine.devices import device_name, resolve_device
from hwkit.errors import HwkitError
from hwkit.experiment import PROFILES
from hwkit.export.files import replace_file
from hwkit.paths import project_root
from hwkit.report.build import build_report

KEY = ["profile", "state"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the reports, and add what they took to the table."""
    parser = argparse.ArgumentParser(
        prog="python -m hwkit.bench.reports", description="Measure how long a report takes from an empty run store."
    )
    parser.add_argument("profiles", nargs="+", choices=PROFILES, metavar="PROFILE", help=", ".join(PROFILES))
    parser.add_argument("--output", type=Path, default=project_root() / "docs", help="folder (default: docs)")
    options = parser.parse_args(arguments)
    path = options.output / "report-times.csv"
    for profile in options.profiles:
        try:
            measured = pd.DataFrame(measure(profile, say=lambda line: print(line, flush=True)))
        except HwkitError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            return 2
        known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=measured.columns)
        table = pd.concat([known, measured]).drop_duplicates(KEY, keep="last")
        replace_file(path, table.to_csv(index=False).encode())
    return 0


def measure(profile: str, say: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """A row for a report from nothing, and one for the same report again: seconds of each step, pages, machine."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="hwkit-") as name:
        store, output = Path(name, "runs"), Path(name, "build")
        with mock.patch.dict("os.environ", {"HWKIT_HOME": str(store)}):
            for state in ("from an empty store", "nothing changed"):
                report = build_report(profile, output=output, say=say)
                rows.append(
                    {
                        "profile": profile,
                        "state": state,
                        "pages": report.pages,
                        "seconds": round(sum(report.seconds.values()), 1),
                        **{step: round(seconds, 1) for step, seconds in report.seconds.items()},
                        "device": device_name(resolve_device("auto")),
                    }
                )
    return rows


if __name__ == "__main__":
    sys.exit(main())
