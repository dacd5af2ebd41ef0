"""What a notebook says about itself: front matter in its first raw cell, as Quarto has it, and its metadata."""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hwkit.errors import ReportError
from hwkit.export import safeyaml
from hwkit.export.files import find_inside
from hwkit.export.settings import THEMES, ReportSettings

if TYPE_CHECKING:
    from nbformat import NotebookNode

_FENCED = re.compile(r"\A\s*---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n(.*))?\Z", re.DOTALL)
_KEY = re.compile(r"^([\w-]+)[ \t]*:(?=\s|$)", re.MULTILINE)
# Keys of Quarto's and pandoc's front matter, and the settings that they are.
_KEYS = {
    "title": "title",
    "subtitle": "subtitle",
    "date": "date",
    "abstract": "abstract",
    "lang": "language",
    "papersize": "paper",
    "mainfont": "font",
    "fontsize": "font_size",
    "toc": "contents",
    "number-sections": "number_sections",
    "bibliography": "bibliography",
    "csl": "csl",
    "nocite": "nocite",
    "pdf-standard": "pdf_standard",
    "theme": "theme",
    "course": "course",
}
_AUTHOR_KEYS = ("author", "authors", "affiliation")
_PAPERS = {"letter": "us-letter", "legal": "us-legal"}
# Cell options that front matter may set for all cells, under `execute`.
_CELL_OPTIONS = ("echo", "output", "include", "warning")
# Those that Quarto has among the keys of the page.
_CODE_OPTIONS = ("code-fold", "code-summary")


@dataclass
class FrontMatter:
    """The settings that a notebook asks for, its defaults for cell options, and what was not understood."""

    settings: dict[str, object] = field(default_factory=dict)
    cell_options: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def take_front_matter(nb: NotebookNode, folder: Path) -> FrontMatter:
    """The notebook's front matter, taken out of its first cell. Paths in it must lead into `folder`.

    Text may follow it if it has one of its keys, which it needs in a Markdown cell: what stands between two rules may
    be a text as well. A value that is not accepted is left out with a warning, so that the notebook is
    set all the same.
    """
    found = FrontMatter()
    values: dict[str, Any] = {key: nb.metadata[key] for key in ("title", "date", "authors") if nb.metadata.get(key)}
    cell = nb.cells[0] if nb.cells else None
    start = cell.source.removeprefix("\ufeff").replace("\r\n", "\n") if cell is not None else ""
    if cell is not None and (fenced := _FENCED.match(start)):
        values |= _taken(cell, fenced, found)
    options = values.pop("format", None)
    options = options if isinstance(options, dict) else {}
    page = options.get("html")
    values |= {key: page[key] for key in _CODE_OPTIONS if isinstance(page, dict) and key in page}
    for group in (options.get("typst"), values.pop("hwkit", None)):
        values |= group if isinstance(group, dict) else {}
    found.cell_options = {key: values.pop(key) for key in _CODE_OPTIONS if key in values}
    execute = values.pop("execute", None)
    if isinstance(execute, dict):
        found.cell_options |= {key: execute[key] for key in _CELL_OPTIONS if key in execute}
    for key, value in values.items():
        if key in _KEYS and value is not None:
            _take(key, value, folder, found)
        elif key not in _AUTHOR_KEYS:
            _warn_of_misspelling(key, found)
    found.settings |= _authors(values)
    return found


def _taken(cell: NotebookNode, fenced: re.Match[str], found: FrontMatter) -> dict[str, Any]:
    """The values of a cell that begins with something fenced, which is taken out of it if it is front matter."""
    rest = (fenced[2] or "").strip("\n")
    if cell.cell_type == "code":
        return {}
    alone = cell.cell_type == "raw" and not rest.strip()
    keys = {*_KEYS, *_AUTHOR_KEYS, "format", "execute", "hwkit"}
    if not alone and not keys.intersection(_KEY.findall(fenced[1])):
        return {}
    values = _parsed(fenced[1], "was left out" if alone else "is shown as text", found)
    if values or alone:
        cell.source = rest
    return values


def _parsed(text: str, consequence: str, found: FrontMatter) -> dict[str, Any]:
    try:
        values = safeyaml.parse(text)
    except yaml.YAMLError as error:
        problem = str(getattr(error, "problem", None) or error)
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" in line {line + 2}" if line is not None else ""
        found.warnings.append(f"cell 1: the front matter is no valid YAML{where} ({problem}) and {consequence}")
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(key): value for key, value in values.items()}


def _take(key: str, value: Any, folder: Path, found: FrontMatter) -> None:
    """Check one value and keep it, or warn of it."""
    name = _KEYS[key]
    if key == "theme" and (not isinstance(value, str) or (value not in THEMES and not value.endswith(".typ"))):
        return  # a theme of Quarto's web pages
    try:
        value = _normalised(name, value, folder)
        ReportSettings.from_mapping({name: value})
    except ReportError as error:
        found.warnings.append(f"cell 1: front matter: {str(error).removeprefix('report settings: ')}")
        return
    found.settings[name] = value


def _normalised(name: str, value: Any, folder: Path) -> Any:
    """A value of front matter as the setting has it."""
    if name in ("title", "subtitle", "abstract", "course", "nocite"):
        return " ".join(map(str, value)) if isinstance(value, list) else str(value).strip()
    if name == "language":
        code, _, rest = str(value).replace("_", "-").partition("-")
        country = re.search(r"(?:^|-)([A-Za-z]{2})(?:-|$)", rest)
        return code.lower() + (f"-{country[1].upper()}" if country else "")
    if name == "paper":
        paper = str(value).lower().removesuffix("paper")
        return _PAPERS.get(paper, paper)
    if name == "font_size":
        size = re.fullmatch(r"([\d.]+)\s*(?:pt)?", str(value))
        return float(size[1]) if size else value
    if name == "date" and str(value).lower() in ("today", "now", "last-modified"):
        return datetime.date.today()
    if name == "bibliography":
        paths = value if isinstance(value, list) else [value]
        return [str(find_inside(str(path), [folder], "bibliography")) for path in paths]
    if name == "csl":
        return str(find_inside(str(value), [folder], "citation style"))
    if name == "theme" and str(value).endswith(".typ"):
        return str(find_inside(str(value), [folder], "theme"))
    return value


def _authors(values: Mapping[str, Any]) -> dict[str, object]:
    """Author names and affiliations: texts, or mappings with `name` and `affiliation`, one or many."""
    given = values.get("author") or values.get("authors") or []
    names, affiliations = [], []
    for author in given if isinstance(given, list) else [given]:
        fields = author if isinstance(author, dict) else {"name": author}
        name = _text(fields.get("name"))
        if name:
            names.append(name)
            affiliations.append(_text(fields.get("affiliations") or fields.get("affiliation")))
    if not names:
        return {}
    if not any(affiliations):
        shared = _text(values.get("affiliation"))
        return {"author": names, "affiliation": [shared] if shared else []}
    return {"author": names, "affiliation": affiliations}


def _text(value: Any) -> str:
    """A name as one text: Quarto writes them as texts, as lists, and as mappings."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        parts = [value.get("name") or value.get("literal")] if value.get("name") or value.get("literal") else []
        parts = parts or [value.get(key) for key in ("given", "family", "department") if value.get(key)]
        return " ".join(map(str, parts))
    return str(value).strip()


def _warn_of_misspelling(key: str, found: FrontMatter) -> None:
    """Quarto knows hundreds of keys, which are passed over; one that is nearly one of ours is not."""
    close = difflib.get_close_matches(key, [*_KEYS, *_AUTHOR_KEYS], n=1, cutoff=0.8)
    if close:
        found.warnings.append(f"cell 1: front matter: unknown key {key!r}: did you mean {close[0]!r}?")
