"""Values as people write them, on a command line or in a batch file: the same text is the same value in both."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any

WORDS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
    **dict.fromkeys(("null", "none", "~", ""), None),
    **dict.fromkeys(("nan", ".nan"), math.nan),
    **dict.fromkeys(("inf", "+inf", ".inf", "+.inf"), math.inf),
    **dict.fromkeys(("-inf", "-.inf"), -math.inf),
}
SPELLABLE = (bool, int, float, str, tuple, list, dict, set, type(None))


class Text(str):
    """A value as it was typed: what it is depends on the type of the parameter that it is for."""


def read_value(text: str) -> Any:
    """The value that a text is: a word such as true, no, null or nan, a Python literal, YAML in brackets, or a text.

    Examples
    --------
    >>> [read_value(text) for text in ("no", "1e-3", "(3, 4)", "{a: yes}", "2026-01-31", "010", "'no'")]
    [False, 0.001, (3, 4), {'a': True}, '2026-01-31', '010', 'no']
    """
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _read_yaml(text) if text.startswith(("[", "{")) else text
    return value if isinstance(value, SPELLABLE) else text  # 1j and b"x" are not what somebody means


def _read_yaml(text: str) -> Any:
    import yaml  # takes as long to import as a report in which nothing has changed takes in all

    from hwkit.report.plainyaml import parse

    try:
        return parse(text)
    except yaml.YAMLError:
        return text


def show_value(value: Any) -> str:
    """A value as a terminal and a report show it: no two look alike, and `read_value` reads it back."""
    if not isinstance(value, str):
        return str(value)
    plain = value.isprintable() and not set(value) & set(",=[](){}#") and read_value(value) == value
    return value if plain else repr(value)


def python_code(value: Any) -> str:
    """A value as Python code, which for NaN and infinity its `repr` is not; sets have an order."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{python_code(key)}: {python_code(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple | set):
        items = [python_code(one) for one in value]
        if isinstance(value, set):
            return f"{{{', '.join(sorted(items))}}}" if items else "set()"
        return f"[{', '.join(items)}]" if isinstance(value, list) else f"({', '.join(items)}{',' * (len(items) == 1)})"
    return repr(value)


def has_json(value: Any) -> bool:
    """Whether JSON has this value: not so tuples, sets, keys that are no texts, NaN, and texts that are no Unicode."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return bool(text.encode()) and json.loads(text) == value
    except (TypeError, ValueError):
        return False


def canonical(values: Mapping[str, Any]) -> str:
    """A text that is the same for the same values, and another one for others."""
    return json.dumps(
        {name: one if has_json(one) else python_code(one) for name, one in values.items()}, sort_keys=True
    )
