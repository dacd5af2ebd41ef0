"""How long a notebook takes to become a PDF in each of the ways that are installed, for `hwkit bench --export`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwkit.errors import BenchError

FORMATS = ("typstpdf", "webpdf", "pdf")
_LONGEST_SECONDS = 600
# Converts once to warm up, then on the clock.
_CONVERT = """
import sys, time
from nbconvert.exporters import get_exporter
exporter = get_exporter(sys.argv[1])()
if sys.argv[3] == "root" and sys.argv[1] == "webpdf":
    exporter.disable_sandbox = True
exporter.from_filename(sys.argv[2])
start = time.perf_counter()
exporter.from_filename(sys.argv[2])
print(time.perf_counter() - start)
"""


def measure_exports(notebook: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way to a PDF, by its name, one value per round; the ways take turns.

    Whole commands are named as they are typed, "conversion alone" is without the start of Python and Jupyter. What
    is not installed is left out.

    Raises
    ------
    BenchError
        If the notebook does not exist, or hwkit's own exporter fails on it.
    """
    if not notebook.is_file():
        raise BenchError(f"--export {notebook} does not exist; name a notebook")
    # Chromium's sandbox does not work for the superuser.
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    sandbox = ["--WebPDFExporter.disable_sandbox=True"] if is_root else []
    python, path = sys.executable, str(notebook)
    with tempfile.TemporaryDirectory() as output:
        target = [path, "--output-dir", output]
        commands = {"hwkit export": [python, "-m", "hwkit.cli", "export", *target]}
        for name in FORMATS:
            start = [python, "-m", "jupyter", "nbconvert", "--log-level=ERROR", "--to", name]
            commands[f"nbconvert --to {name}"] = [*start, *target, *sandbox]
        for name in FORMATS:
            who = "root" if is_root else "user"
            commands[f"conversion alone, {name}"] = [python, "-c", _CONVERT, name, path, who]
        found: dict[str, list[float]] = {}
        for number in range(rounds + 1):
            for name, command in list(commands.items()):
                seconds = _seconds(command, stated=name.startswith("conversion"))
                if seconds is None:
                    if name == "hwkit export":
                        raise BenchError(f"{notebook} could not be converted; `hwkit export {notebook}` says why")
                    del commands[name]
                elif number > 0:  # the first round warms up
                    found.setdefault(name, []).append(seconds)
    return found


def _seconds(command: Sequence[str], *, stated: bool) -> float | None:
    """How long a command took, or what it says it took; None if it failed."""
    start = time.perf_counter()
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if result.returncode != 0:
        return None
    return float(result.stdout.split()[-1]) if stated else time.perf_counter() - start


def table_of_exports(found: Mapping[str, Sequence[float]]) -> str:
    """A Markdown table: seconds, and how many times as long as hwkit's way; medians over the rounds."""
    lines = ["| | seconds | times as long as hwkit's |", "|:--|--:|--:|"]
    for name, seconds in found.items():
        ours = found.get("conversion alone, typstpdf" if name.startswith("conversion") else "hwkit export", [])
        ratio = statistics.median(one / our for one, our in zip(seconds, ours, strict=False)) if ours else None
        lines.append(f"| {name} | {statistics.median(seconds):.2f} | {'–' if ratio is None else f'{ratio:.1f}'} |")
    return "\n".join(lines)
