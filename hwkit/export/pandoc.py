"""pandoc, run on text in memory and without access to files or network."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hwkit.errors import ReportError

# Of the trees that are written here; pandoc 3 reads and writes this one.
API_VERSION = (1, 23, 1)
TEMPLATES = Path(__file__).parent / "templates"
_TIMEOUT_SECONDS = 120
_WARNING = re.compile(r"^\[WARNING\] (.*(?:\n  .*)*)", re.MULTILINE)


@cache
def executable() -> str:
    """The path of pandoc: the wheel's own, or the system's.

    Raises
    ------
    ReportError
        If there is none.
    """
    wheel = importlib.util.find_spec("pypandoc")  # importing it, and asking it, takes longer than looking
    bundled = Path(wheel.origin).parent / "files" / "pandoc" if wheel and wheel.origin else None
    found = shutil.which(bundled) if bundled else None
    found = found or shutil.which("pandoc")
    if not found:
        raise ReportError("pandoc was not found; run: pip install 'hwkit[export]'")
    return found


def latex_to_blocks(text: str) -> list[Any]:
    """The blocks of LaTeX, such as a `tabular`; its source if it is none."""
    try:
        return json.loads(run(text, ["--from", "latex", "--to", "json"])[0])["blocks"]
    except ReportError:
        return [{"t": "CodeBlock", "c": [["", [], []], text]}]


def tree(blocks: list[Any], meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """A document in pandoc's JSON."""
    return {"pandoc-api-version": list(API_VERSION), "meta": meta or {}, "blocks": blocks}


def tree_to(tree: dict[str, Any], options: Sequence[str]) -> tuple[str, list[str]]:
    """The tree written in another format; `options` are pandoc's, `--to` among them."""
    return run(json.dumps(tree), ["--from", "json", *options])


def run(text: str, options: Sequence[str]) -> tuple[str, list[str]]:
    """pandoc's output for `text`, and its warnings.

    Raises
    ------
    ReportError
        If pandoc fails or takes longer than two minutes.
    """
    command = [executable(), "--sandbox", *options]
    try:
        result = subprocess.run(
            command, input=text.encode("utf-8", "replace"), capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"pandoc did not finish within {_TIMEOUT_SECONDS} seconds") from error
    messages = result.stderr.decode("utf-8", "replace")
    if result.returncode != 0:
        raise ReportError(f"pandoc could not convert the text: {messages.strip()}")
    return result.stdout.decode(), [" ".join(match.split()) for match in _WARNING.findall(messages)]
