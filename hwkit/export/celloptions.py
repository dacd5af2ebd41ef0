"""Cell options in Quarto's syntax: `#| key: value` lines at the top of a code cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from hwkit.export import safeyaml

_OPTION_LINE = re.compile(r"^(?:#|//|--|%%?)\|\s?(.*)$")
_KEY_VALUE = re.compile(r"^([A-Za-z][\w.-]*):\s*(.*)$")
# What tags of Jupyter Book, nbconvert's examples and others hide, as options.
_HIDING_TAGS = {
    "input": "echo",
    "output": "output",
    "stderr": "warning",
    "cell": "include",
}


def split_options(source: str) -> tuple[dict[str, Any], str]:
    """The options in the first lines of a cell's source, and the source without these lines.

    A line that starts with a cell magic (`%%time`), and blank lines, may stand before the options.
    """
    lines = source.splitlines()
    start = 0
    while start < len(lines) and (not lines[start].strip() or _is_cell_magic(lines[start])):
        start += 1
    end = start
    while end < len(lines) and _OPTION_LINE.match(lines[end]):
        end += 1
    if end == start:
        return {}, source
    options = _parsed([_OPTION_LINE.match(line).group(1) for line in lines[start:end]])  # type: ignore[union-attr]
    if not options:
        return {}, source  # comments, or another tool's directives
    rest = [*lines[:start], *lines[end:]]
    return options, "\n".join(rest).strip("\n")


def option_is_off(options: Mapping[str, Any], key: str) -> bool:
    """Whether an on/off option such as `echo` was switched off."""
    return options.get(key) is False


def options_from_tags(tags: list[str]) -> dict[str, bool]:
    """The options that tags stand for: `remove-` or `hide-` with cell, input, output or stderr, and `no-pdf`."""
    names = [str(tag).replace("_", "-") for tag in tags]
    hidden = [name.partition("-")[2] for name in names if name.startswith(("hide-", "remove-"))]
    hidden += ["cell"] if "no-pdf" in names else []
    return {_HIDING_TAGS[what]: False for what in hidden if what in _HIDING_TAGS}


def _is_cell_magic(line: str) -> bool:
    return line.startswith("%%") and not line.startswith("%%|")


def _parsed(lines: list[str]) -> dict[str, Any]:
    try:
        options = safeyaml.parse("\n".join(lines))
    except yaml.YAMLError:
        options = None
    if isinstance(options, dict):
        return {str(key): value for key, value in options.items()}
    # A caption such as `fig-cap: Loss: train and test` is no valid YAML, yet what is meant is plain.
    found = [match.groups() for match in map(_KEY_VALUE.match, lines) if match]
    return {key: _scalar(value) for key, value in found}


def _scalar(text: str) -> object:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text.strip("\"'")
