"""From a document to Typst source and from there to PDF: theme, fonts and the compiler."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import typst

from hwkit.errors import ReportError
from hwkit.export.document import Document
from hwkit.export.files import find_inside
from hwkit.export.fonts import EMBEDDED, font_set, missing_message, shown_instead
from hwkit.export.images import MIME_OF_SUFFIX
from hwkit.export.pandoc import TEMPLATES
from hwkit.export.settings import PAPERS, ReportSettings
from hwkit.export.typst_writer import FORMULA, TypstWriter, typst_array, typst_string
from hwkit.export.words import words_of

SIDE_MARGIN_MM = 24.0
VERTICAL_MARGINS_MM = 58.0
_HANDOUT_MARGIN_MM, _HANDOUT_GUTTER_MM = 16.0, 8.0
CODE_POINTS = 8.2
# DejaVu Sans Mono: every character is 0.602 em wide. Code stands in a box with padding on both sides.
_CODE_EM = 0.602
_CODE_PADDING_POINTS = 18.0
_TABLE_SIZE = 0.9
_POINTS_PER_MM = 72 / 25.4
_MOST_ATTEMPTS = 25
_TOO_WIDE = re.compile(r"unknown font family: hwkit formula-(\d+)")
_NAMED_FILE = re.compile(r'"([^"\n]+\.(?:typ|png|jpe?g|gif|svg|webp|pdf|json|toml|yaml|csv))"')


_LEFT_OUT = """<svg xmlns="http://www.w3.org/2000/svg" width="180" height="24">
<text x="4" y="16" font-family="Libertinus Serif" font-size="13" fill="#b3261e">[image: left out]</text></svg>"""


@dataclass(frozen=True)
class TypstSource:
    """A complete Typst file, the images and other files it needs by their paths, and the warnings on the way to it.

    `writer` is what wrote it; it knows the formulas and warns of those that cannot be set. `image_places` says where
    each image is shown.
    """

    text: str
    images: Mapping[str, bytes]
    warnings: list[str]
    writer: TypstWriter
    pdf_standard: str = ""
    image_places: Mapping[str, str] = field(default_factory=dict)
    # By the name of an image, another that shows the same.
    substitutes: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


def typeset(
    document: Document, settings: ReportSettings, facts: Mapping[str, str], *, system_fonts: bool = True
) -> TypstSource:
    """The Typst source of a document in its theme.

    Raises
    ------
    ReportError
        If the theme file cannot be read.
    """
    fonts = font_set(system=system_fonts)
    warnings = list(document.warnings)
    if settings.font not in fonts.families:
        installed = ", ".join(sorted(fonts.families)[:40])
        warnings.append(f"font = {settings.font!r} is not installed, {EMBEDDED} is used; installed: {installed}")
    faces = fonts.text_faces(settings.font, settings.language)
    line_points = _line_points(settings)
    writer = TypstWriter(
        line_ems=line_points / (settings.font_size * _TABLE_SIZE),
        code_columns=int((line_points - _CODE_PADDING_POINTS) / (CODE_POINTS * _CODE_EM)),
        described_formulas=settings.pdf_standard.startswith("ua"),
    )
    body, abstract = writer.write(document)
    head = _head(settings, document.title, facts, faces, fonts.code_faces())
    start = f"#show: theme.with(abstract: [\n{abstract}\n])" if abstract else "#show: theme"
    text = "\n".join([head, _theme_source(settings.theme), start, "", body])
    if missing := fonts.missing(head + abstract + body, faces):
        warnings.append(missing_message(missing))
        text = text.translate({ord(character): shown_instead(character) for character in missing})
    used = {name: content for name, content in document.images.files.items() if name in text}
    used |= _theme_files(settings.theme)
    files = document.images.files
    others = {name: (other, files[other]) for name, other in document.images.substitutes.items() if name in used}
    return TypstSource(text, used, warnings, writer, settings.pdf_standard, document.images.places, others)


def _line_points(settings: ReportSettings) -> float:
    """The width of a text line: the page without its margins, half of it in the handout's two columns."""
    width = PAPERS[settings.paper][0]
    if settings.theme == "handout":
        return (width - 2 * _HANDOUT_MARGIN_MM - _HANDOUT_GUTTER_MM) / 2 * _POINTS_PER_MM
    return (width - 2 * SIDE_MARGIN_MM) * _POINTS_PER_MM


def compile_pdf(source: TypstSource, *, system_fonts: bool = True) -> bytes:
    """The PDF of a Typst source.

    It is compiled in an empty folder that holds nothing but its images. A formula that Typst does not accept is
    shown as its TeX, an image that it does not accept as a line, with a warning among `source.writer.warnings`.

    Raises
    ------
    ReportError
        If Typst does not accept the source for another reason; the message holds its diagnosis.
    """
    text = source.text
    with tempfile.TemporaryDirectory(prefix="hwkit-") as folder:
        root = Path(folder)
        for name, content in source.images.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for _ in range(_MOST_ATTEMPTS):
            try:
                return _compiled(source, text, root, system_fonts)
            except typst.TypstError as error:
                diagnosis = getattr(error, "diagnostic", "") or str(error)
                repaired = _without_formulas(text, re.findall(r"main\.typ:(\d+):(\d+)", diagnosis), source.writer)
                if repaired == text:
                    repaired = _without_bad_images(source, text, root)
                if repaired == text:
                    raise ReportError(f"the report could not be typeset: {_shortened(diagnosis)}") from error
                text = repaired
    raise ReportError("too many formulas could not be typeset: " + "; ".join(source.writer.warnings[-3:]))


def _compiled(source: TypstSource, text: str, root: Path, system_fonts: bool) -> bytes:
    main = root / "main.typ"
    main.write_text(text, encoding="utf-8")
    fonts = font_set(system=system_fonts).fonts
    with _no_packages():
        pdf, warnings = typst.compile_with_warnings(
            main,
            format="pdf",
            root=root,
            font_paths=fonts,
            ignore_system_fonts=True,
            pdf_standards=[source.pdf_standard] if source.pdf_standard else [],  # pyright: ignore[reportArgumentType]
            package_path=root,
            package_cache_path=root,
        )
    # The theme asks for a font of this name where it makes a formula too small to read (common.typ).
    too_wide = {int(number) for warning in warnings for number in _TOO_WIDE.findall(warning.message)}
    for number in sorted(too_wide):
        source.writer.formula_too_wide(number)
    return pdf


@contextlib.contextmanager
def _no_packages() -> Iterator[None]:
    """Keep Typst from fetching packages, which a stranger's theme may name: it asks a proxy that is not there."""
    nobody = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    before = {name: os.environ.get(name) for name in nobody}
    os.environ.update(nobody)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _without_formulas(text: str, places: Iterable[tuple[str, str]], writer: TypstWriter) -> str:
    """The Typst source with the formulas at some places (line, column) shown as their TeX."""
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    positions = [starts[int(line) - 1] + int(column) for line, column in places]

    def shown(match: re.Match[str]) -> str:
        bad = any(match.start() <= position < match.end() for position in positions)
        return writer.formula_as_source(int(match[1])) if bad else match[0]

    return FORMULA.sub(shown, text)


def _without_bad_images(source: TypstSource, text: str, root: Path) -> str:
    """The Typst source with another picture for each that cannot be set: one that says so."""
    (root / "left-out.svg").write_text(_LEFT_OUT, encoding="utf-8")
    for name in source.images:
        quoted = typst_string(name)
        if quoted not in text or Path(name).suffix not in MIME_OF_SUFFIX:
            continue
        try:
            # Its stub takes a root for an input.
            compile_ = cast(Any, typst.compile)
            compile_(f"#image({quoted})".encode(), root=str(root), format="pdf", ignore_system_fonts=True)
        except typst.TypstError as error:
            if name in source.substitutes:
                other, content = source.substitutes[name]
                (root / other).write_bytes(content)
                text = text.replace(quoted, typst_string(other))
                continue
            problem = _shortened(str(error).split(":", 1)[-1])
            where = source.image_places.get(name, "")
            source.writer.warnings.append(f"{where}an image could not be set and was left out: {problem}")
            text = text.replace(quoted, typst_string("left-out.svg"))
    return text


def problem_of(source: str) -> str:
    """Why Typst does not take a piece of markup that is evaluated within a document; empty if it does."""
    start = (TEMPLATES / "typst" / "evaluated.typ").read_text(encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory(prefix="hwkit-") as folder:
            (main := Path(folder) / "main.typ").write_text(f"{start}#hwkit-typst({typst_string(source)})", "utf-8")
            cast(Any, typst.compile)(main, root=folder, format="pdf", ignore_system_fonts=True)
    except typst.TypstError as error:
        return _shortened(str(error))[:200]
    return ""


def page_count(pdf: bytes) -> int:
    """How many pages a PDF made by Typst has."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def _shortened(diagnosis: str) -> str:
    return " ".join(re.sub(r"[^\s]*main\.typ", "main.typ", diagnosis).split())[:800]


def _theme_source(theme: str) -> str:
    common = "".join((TEMPLATES / "typst" / name).read_text("utf-8") for name in ("common.typ", "evaluated.typ"))
    path = Path(theme) if theme.endswith(".typ") else TEMPLATES / "typst" / f"{theme}.typ"
    try:
        return common + "\n" + path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"theme = {theme!r} cannot be read: {error}") from error


def _theme_files(theme: str) -> dict[str, bytes]:
    """The files that a theme of one's own names (a logo, a module) by their paths, from its folder only."""
    if not theme.endswith(".typ"):
        return {}
    files: dict[str, bytes] = {}
    todo = [Path(theme).name]
    while todo:
        name = todo.pop()
        try:
            content = find_inside(name, [Path(theme).parent], "file").read_bytes()
        except (ReportError, OSError):
            continue  # Typst says so if the theme needs it
        files[name] = content
        if name.endswith(".typ"):
            named = _NAMED_FILE.findall(content.decode("utf-8", "replace"))
            todo += [path for path in named if path not in files and not path.startswith(("/", "@"))]
    del files[Path(theme).name]
    return files


def _head(
    settings: ReportSettings, title: str, facts: Mapping[str, str], faces: list[str], code_faces: list[str]
) -> str:
    """The dictionary of settings that the theme reads."""
    height = PAPERS[settings.paper][1] - VERTICAL_MARGINS_MM
    values = {
        "title": typst_string(settings.title),
        "document-title": typst_string(settings.title or title),
        "subtitle": typst_string(settings.subtitle),
        "authors": typst_array([typst_string(name) for name in settings.author]),
        "affiliations": typst_array([typst_string(name) for name in settings.affiliation]),
        "course": typst_string(settings.course),
        "date": typst_string(settings.date_text),
        "header": typst_string(settings.header),
        "facts": typst_array([f"({typst_string(k)}, {typst_string(str(v))})" for k, v in facts.items()]),
        "language": typst_string(settings.language.split("-")[0]),
        "region": typst_string(settings.language.split("-")[1]) if "-" in settings.language else "none",
        "paper": typst_string(settings.paper),
        "font": typst_array([typst_string(face) for face in faces]),
        "mono": typst_array([typst_string(face) for face in [*code_faces, *faces]]),
        "size": f"{settings.font_size}pt",
        "margin": f"{SIDE_MARGIN_MM}mm",
        "tallest": f"{height - 25:.0f}mm",
        "contents": "true" if settings.contents else "false",
        # Reports show little code, so that captioned figures may move to the top of a page.
        "placement": "top" if settings.theme == "report" else "none",
        "words-contents": typst_string(words_of(settings.language).contents),
        "words-abstract": typst_string(words_of(settings.language).abstract),
    }
    lines = "\n".join(f"  {key}: {value}," for key, value in values.items())
    return f"#let hwkit = (\n{lines}\n)"
