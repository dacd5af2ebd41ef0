"""Pandoc's document tree as JSON: a few constructors, and one way to walk and change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

# An element is {"t": type, "c": content}; blocks and inlines stand in lists.
Element = dict[str, Any]
Attr = list[Any]


def parts(element: Element) -> tuple[str, Any]:
    """The type and the content of an element."""
    return element["t"], element.get("c")


def attr(identifier: str = "", classes: tuple[str, ...] = (), **values: str) -> Attr:
    """Pandoc's attribute triple."""
    return [identifier, list(classes), [[key, value] for key, value in values.items()]]


def attr_value(attributes: Attr, key: str, default: str = "") -> str:
    """One key's value in an attribute triple."""
    return next((value for name, value in attributes[2] if name == key), default)


def string(text: str) -> Element:
    return {"t": "Str", "c": text}


def space() -> Element:
    return {"t": "Space"}


def text_inlines(text: str) -> list[Element]:
    """Plain text as inlines, spaces breakable."""
    inlines: list[Element] = []
    for word in text.split():
        inlines += [space(), string(word)] if inlines else [string(word)]
    return inlines


def strong(inlines: list[Element]) -> Element:
    return {"t": "Strong", "c": inlines}


def emphasis(inlines: list[Element]) -> Element:
    return {"t": "Emph", "c": inlines}


def plain(inlines: list[Element]) -> Element:
    return {"t": "Plain", "c": inlines}


def paragraph(inlines: list[Element]) -> Element:
    return {"t": "Para", "c": inlines}


def header(level: int, inlines: list[Element]) -> Element:
    return {"t": "Header", "c": [level, attr(), inlines]}


def link(inlines: list[Element], target: str) -> Element:
    return {"t": "Link", "c": [attr(), inlines, [target, ""]]}


def span(inlines: list[Element], attributes: Attr) -> Element:
    return {"t": "Span", "c": [attributes, inlines]}


def division(blocks: list[Element], attributes: Attr) -> Element:
    return {"t": "Div", "c": [attributes, blocks]}


def math(tex: str, *, display: bool = False) -> Element:
    return {"t": "Math", "c": [{"t": "DisplayMath" if display else "InlineMath"}, tex]}


def citation(keys: Iterable[str], shown: list[Element], *, in_text: bool = False) -> Element:
    """A citation of several keys, shown as `shown` where there are no entries for them."""
    mode = "AuthorInText" if in_text else "NormalCitation"
    return {"t": "Cite", "c": [[cited(key.strip(), mode=mode) for key in keys if key.strip()], shown]}


def reference(label: str, command: str, shown: list[Element]) -> Element:
    r"""What `\ref`, `\eqref` (the commands) and MyST's roles ("named") refer to."""
    return {"t": "Link", "c": [attr("", ("hwkit-reference", command)), shown, [f"#{label}", ""]]}


def cited(key: str, before: str = "", after: str = "", *, mode: str = "NormalCitation") -> dict[str, Any]:
    """One key of a citation with the texts before and after it."""
    return {
        "citationId": key,
        "citationPrefix": text_inlines(before),
        "citationSuffix": text_inlines(after),
        "citationMode": {"t": mode},
        "citationNoteNum": 0,
        "citationHash": 0,
    }


def code_block(text: str, attributes: Attr) -> Element:
    return {"t": "CodeBlock", "c": [attributes, text]}


def raw_block(markup: str, text: str) -> Element:
    return {"t": "RawBlock", "c": [markup, text]}


def raw_inline(markup: str, text: str) -> Element:
    return {"t": "RawInline", "c": [markup, text]}


def changed(node: Any, change: Callable[[Element], list[Element] | None]) -> Any:
    """A tree in which `change` replaced elements, outermost first.

    `change` gets each element and gives the elements to put in its place, which are not visited again, or
    None to keep the element and go on inside it.
    """
    if isinstance(node, list):
        result = []
        for item in node:
            if isinstance(item, dict) and "t" in item:
                replacement = change(item)
                if replacement is not None:
                    result.extend(replacement)
                    continue
            result.append(changed(item, change))
        return result
    if isinstance(node, dict):
        return {key: changed(value, change) for key, value in node.items()}
    return node


def changed_inside(node: Any, change: Callable[[Element], Element]) -> Any:
    """A tree in which `change` replaced elements, innermost first."""
    if isinstance(node, list):
        return [changed_inside(item, change) for item in node]
    if isinstance(node, dict):
        inside = {key: changed_inside(value, change) for key, value in node.items()}
        return change(inside) if "t" in inside else inside
    return node


def elements(node: Any, *types: str) -> Iterator[Element]:
    """All elements of the given types in a tree, in document order."""
    if isinstance(node, dict):
        if node.get("t") in types:
            yield node
        for value in node.values():
            yield from elements(value, *types)
    elif isinstance(node, list):
        for item in node:
            yield from elements(item, *types)


def text_of(node: Any) -> str:
    """The plain text of a tree."""
    if isinstance(node, list):
        return "".join(text_of(item) for item in node)
    if not isinstance(node, dict):
        return ""
    if "t" not in node:
        return text_of(node.get("c"))
    kind, content = parts(node)
    if kind == "Str":
        return content
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind in ("Code", "Math", "CodeBlock"):
        return content[1]
    if kind == "Quoted":
        return f"“{text_of(content[1])}”"
    if kind in ("Note", "RawInline", "RawBlock", "Image"):
        return ""
    if kind in ("Link", "Span", "Div"):
        return text_of(content[1])
    if kind == "Header":
        return text_of(content[2])
    if kind == "Cite":
        return text_of(content[1])
    return text_of(content)
