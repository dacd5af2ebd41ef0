"""Citations and the bibliography: pandoc's citeproc, given nothing but the text and the entries."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwkit.errors import ReportError
from hwkit.export import ast, pandoc
from hwkit.export.ast import Element
from hwkit.export.files import shortened
from hwkit.export.settings import ReportSettings
from hwkit.export.words import words_of

FORMATS = {".bib": "biblatex", ".bibtex": "bibtex", ".json": "csljson", ".ris": "ris", ".yaml": "yaml", ".yml": "yaml"}
_LARGEST_FILE = 20_000_000
_KEY = re.compile(r"@\{?([\w:.#$%&+?~/*-]*[\w*])\}?")


@dataclass
class Bibliography:
    """Bibliography entries in pandoc's form, and the keys they are cited by."""

    entries: list[Any] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def load_bibliography(paths: Sequence[str]) -> tuple[Bibliography, list[str]]:
    """The entries of all files, and a warning for each file that cannot be read or understood."""
    found, warnings = Bibliography(), []
    for path in dict.fromkeys(paths):
        try:
            entries = _read(Path(path))
        except ReportError as error:
            warnings.append(str(error))
            continue
        for entry in entries:
            identifier = entry["c"]["id"]["c"]
            key = identifier if isinstance(identifier, str) else ast.text_of(identifier)
            if key not in found.keys:
                found.keys.add(key)
                found.entries.append(entry)
    return found, warnings


def _read(path: Path) -> list[Any]:
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ReportError(f"bibliography {path.name!r} has an unknown format; known: {', '.join(FORMATS)}")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ReportError(f"bibliography {path.name!r} has more than {_LARGEST_FILE // 1_000_000} MB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"bibliography {path.name!r} cannot be read: {error}; save it as UTF-8 text") from None
    if kind == "yaml":
        text, kind = f"---\n{text.strip().removeprefix('---').removesuffix('---')}\n---\n", "markdown"
    try:
        output, _ = pandoc.run(text, ["--from", kind, "--to", "json"])
    except ReportError as error:
        problem = " ".join(str(error).split(": ", 1)[-1].split())
        raise ReportError(f"bibliography {path.name!r} is not valid {path.suffix[1:]}: {problem[:300]}") from None
    return json.loads(output)["meta"].get("references", {"c": []})["c"]


def with_citations(
    blocks: list[Element], bibliography: Bibliography, settings: ReportSettings
) -> tuple[list[Element], list[str]]:
    """The blocks with every citation and the list of references written out, and warnings.

    The list stands where the text has `::: {#refs} :::`, else at the end under a heading of its own.
    """
    warnings: list[str] = []
    cited: set[str] = set()

    def checked(element: Element) -> list[Element] | None:
        if element["t"] != "Cite":
            return None
        keys = [citation["citationId"] for citation in element["c"][0]]
        cited.update(keys)
        unknown = [key for key in keys if key not in bibliography.keys]
        warnings.extend(f"the citation @{key} has no entry in the bibliography" for key in unknown)
        if not unknown:
            return None
        if element["c"][0][0]["citationMode"]["t"] == "AuthorInText":
            return element["c"][1]  # perhaps no citation at all: "@somebody" in running text
        known = [citation for citation in element["c"][0] if citation["citationId"] in bibliography.keys]
        missing = ast.span([ast.string(f"?{', '.join(unknown)}?")], ast.attr("", ("hwkit-missing",)))
        return [*([{"t": "Cite", "c": [known, element["c"][1]]}, ast.space()] if known else []), missing]

    blocks = ast.changed(blocks, checked)
    nocite = _KEY.findall(settings.nocite)
    if not (cited & bibliography.keys) and not nocite:
        return _plain(blocks), list(dict.fromkeys(warnings))
    blocks = _with_place(blocks, words_of(settings.language).references)
    meta: dict[str, Any] = {
        "references": {"t": "MetaList", "c": bibliography.entries},
        "link-citations": {"t": "MetaBool", "c": True},
        "lang": {"t": "MetaString", "c": settings.language},
    }
    if nocite:
        meta["nocite"] = {"t": "MetaInlines", "c": [ast.citation([key], [ast.string(f"@{key}")]) for key in nocite]}
    document = pandoc.tree(blocks, meta)
    options = ["--to", "json", "--citeproc"]
    try:
        output, messages = pandoc.tree_to(document, [*options, *(["--csl", settings.csl] if settings.csl else [])])
    except ReportError as error:
        if not settings.csl:
            raise
        warnings.append(f"the citation style {shortened(Path(settings.csl).name)} could not be used: {error}"[:300])
        output, messages = pandoc.tree_to(document, options)
    warnings += messages
    return _plain(_with_safe_labels(json.loads(output)["blocks"])), list(dict.fromkeys(warnings))


def _with_place(blocks: list[Element], title: str) -> list[Element]:
    """The blocks with a division for the references: theirs, or one at the end."""
    if any(division["c"][0][0] == "refs" for division in ast.elements(blocks, "Div")):
        return blocks
    place = ast.division([], ast.attr("refs"))
    if blocks and blocks[-1]["t"] == "Header":
        return [*blocks, place]
    top = min((heading["c"][0] for heading in list(ast.elements(blocks, "Header"))[1:]), default=1)
    heading = {"t": "Header", "c": [top, ast.attr("references", ("unnumbered",)), ast.text_inlines(title)]}
    return [*blocks, heading, place]


def _with_safe_labels(blocks: list[Element]) -> list[Element]:
    """The entries under labels that every format accepts; keys may hold slashes and colons."""
    entries = [d for d in ast.elements(blocks, "Div") if d["c"][0][0].startswith("ref-")]
    labels = {f"#{entry['c'][0][0]}": f"hwkit-entry-{number}" for number, entry in enumerate(entries, start=1)}
    for entry in entries:
        entry["c"][0][0] = labels[f"#{entry['c'][0][0]}"]
    for link in ast.elements(blocks, "Link"):
        target = link["c"][2]
        target[0] = f"#{labels[target[0]]}" if target[0] in labels else target[0]
    return blocks


def _plain(blocks: list[Element]) -> list[Element]:
    """The blocks with each citation replaced by its text."""
    return ast.changed(blocks, lambda element: _plain(element["c"][1]) if element["t"] == "Cite" else None)
