"""pandoc, run on text in memory and without access to files or network."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pypandoc

from hwkit.errors import ReportError

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
    try:
        return pypandoc.get_pandoc_path()
    except OSError as error:
        raise ReportError("pandoc was not found; run: pip install 'hwkit[report]'") from error


def markdown_to_tree(markdown: str) -> tuple[dict[str, Any], list[str]]:
    """The document tree of chunked Markdown (see `hwkit.report.markdown`), and pandoc's warnings."""
    options = [
        "--from",
        "markdown-yaml_metadata_block-citations",
        "--to",
        "json",
        "--lua-filter",
        str(TEMPLATES / "read.lua"),
    ]
    text, warnings = run(markdown, options)
    return json.loads(text), warnings


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
            command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"pandoc did not finish within {_TIMEOUT_SECONDS} seconds") from error
    messages = result.stderr.decode("utf-8", "replace")
    if result.returncode != 0:
        raise ReportError(f"pandoc could not convert the text: {messages.strip()}")
    return result.stdout.decode(), [" ".join(match.split()) for match in _WARNING.findall(messages)]
