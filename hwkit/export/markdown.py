"""Markdown that `hwkit.export.reading` reads, written safely: chunks in fences that their own text cannot close."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# What ends a page in LaTeX and in Quarto, alone in a paragraph or a raw cell.
PAGE_BREAK = re.compile(r"\\(?:newpage|pagebreak|clearpage)|\{\{<\s*pagebreak\s*>\}\}")


def attributes(classes: Iterable[str] = (), identifier: str = "", values: Mapping[str, object] | None = None) -> str:
    """Attributes `{#id .class key="value"}`; keys without a value are left out."""
    parts = [f"#{identifier}"] if identifier else []
    parts += [f".{name}" for name in classes]
    for key, value in (values or {}).items():
        if value not in (None, ""):
            text = " ".join(str(value).split()).replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{key}="{text}"')
    return "{" + " ".join(parts) + "}"


def fenced(text: str, kind: str, **values: object) -> str:
    """A code block of class `kind` around `text`, with a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n\n{fence} {attributes([kind], values=values)}\n{text}\n{fence}\n\n"


def chunk(text: str, markup: str = "markdown", **values: object) -> str:
    """A piece of markup that is read by itself: nothing left open in it reaches what follows."""
    return fenced(text, "hwkit-chunk", markup=markup, **values)


def caption(text: str, **values: object) -> str:
    """A caption: paragraphs of Markdown in which no other block begins, so that "1. The loss" is no list."""
    return division(chunk(text, "inline", **values), "hwkit-caption")


def division(content: str, kind: str, identifier: str = "", **values: object) -> str:
    """A fenced division of class `kind`; `content` must be made of chunks and divisions only."""
    depth = max((len(run) for run in re.findall(r"^:::+", content, re.MULTILINE)), default=2)
    colons = ":" * (depth + 1)
    return f"\n\n{colons} {attributes([kind], identifier, values)}\n{content}\n{colons}\n\n"


def page_break() -> str:
    """The end of a page."""
    return division("", "hwkit-pagebreak")


def escaped(text: str) -> str:
    """Text in which Markdown finds no markup."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
