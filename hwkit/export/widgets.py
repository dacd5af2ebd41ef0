"""What a notebook's saved state of its widgets says: the texts and outputs that stood on the page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

STATE = "application/vnd.jupyter.widget-state+json"
_REFERENCE = "IPY_MODEL_"
_DEEPEST = 20
_INLINE = ("HBoxModel",)


def widget_parts(state: Mapping[str, Any], model_id: Any, depth: int = 0) -> Iterator[Any]:
    """The texts of a widget and of those in it, as `str`, and the outputs that it caught, as the format has them.

    `state` maps the widgets' ids to their models, as `metadata.widgets` of a notebook does. Of a control, what it is
    set to is its text; a bar has none.
    """
    model = _mapping(state.get(model_id) if isinstance(model_id, str) else None)
    values = _mapping(model.get("state"))
    if depth > _DEEPEST or not values:
        return
    if isinstance(values.get("outputs"), list):
        yield from values["outputs"]
    children = values.get("children")
    if not isinstance(children, list):
        if text := _text(str(model.get("model_name")), values):
            yield text
        return
    titles = values.get("titles") or list(_mapping(values.get("_titles")).values())
    parts: list[Any] = [str(title) for title in titles if isinstance(title, str)]
    for child in children:
        parts += widget_parts(state, str(child).removeprefix(_REFERENCE), depth + 1)
    if model.get("model_name") in _INLINE and all(isinstance(part, str) for part in parts):
        parts = [" ".join(parts)]
    yield from parts


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(name: str, values: Mapping[str, Any]) -> str:
    """What stands at or in one widget."""
    if name.startswith(("HTML", "Label")):
        shown = re.sub(r"<[^<>]*>", " ", str(values.get("value") or ""))
        return " ".join([str(values.get("description") or ""), html.unescape(shown)]).replace("\xa0", " ").strip()
    description = str(values.get("description") or "")
    labels, index = values.get("_options_labels"), values.get("index")
    value = values.get("value")
    if isinstance(labels, list) and isinstance(index, int) and 0 <= index < len(labels):
        value = labels[index]
    if "Progress" in name or not isinstance(value, str | int | float):
        return description
    return f"{description}: {value}" if description else str(value)
