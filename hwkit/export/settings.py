"""The settings of a report: title page, page and theme, read from a `report.toml` and checked."""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwkit.errors import ReportError, did_you_mean
from hwkit.export.files import read_bytes

THEMES = ("report", "article", "handout")

# Paper names as Typst knows them, with (width, height) in millimetres.
PAPERS = {
    "a4": (210.0, 297.0),
    "a5": (148.0, 210.0),
    "b5": (176.0, 250.0),
    "us-letter": (215.9, 279.4),
    "us-legal": (215.9, 355.6),
}

# Standards of archivable and of accessible PDF that Typst checks and states.
PDF_STANDARDS = ("ua-1", "a-2b", "a-2a", "a-3b", "a-4")

_TEXTS = ("title", "subtitle", "course", "language", "paper", "font", "theme", "abstract", "csl", "nocite")
_TEXTS += ("pdf_standard", "header")
_LISTS = ("author", "affiliation", "bibliography", "chapters", "without")

SMALLEST_FONT, LARGEST_FONT = 8.0, 14.0


@dataclass(frozen=True)
class ReportSettings:
    """What a report says about itself and how it is set.

    Each field is a key of `report.toml`; `author`, `affiliation` and `bibliography` may be one text or a list.
    `theme` is one of `THEMES` or the path of a Typst file. `date` is a date, or any text; left out, it is today.
    `abstract` is Markdown. `bibliography` are paths of BibTeX, CSL-JSON, CSL-YAML or RIS files, `csl` that of a
    citation style, `nocite` keys that the bibliography lists uncited ("@*" for all). `pdf_standard` is one of
    `PDF_STANDARDS`. `header` is a line above each page, unless the theme has one of its own. Of a report of several
    notebooks, `chapters` are the names of those it has, in this order, all of them where there are none; `without` are
    names of those that it leaves out, and with `reference = false` it compares nothing with the reference report.

    Raises
    ------
    ReportError
        On a value of the wrong type or out of range; the message names key, value and what would be right.
    """

    title: str = "Report"
    subtitle: str = ""
    author: tuple[str, ...] = ()
    affiliation: tuple[str, ...] = ()
    course: str = ""
    date: datetime.date | str = dataclasses.field(default_factory=datetime.date.today)
    language: str = "en"
    paper: str = "a4"
    font: str = "Libertinus Serif"
    font_size: float = 10.5
    theme: str = "report"
    contents: bool = True
    number_sections: bool = True
    abstract: str = ""
    bibliography: tuple[str, ...] = ()
    csl: str = ""
    nocite: str = ""
    pdf_standard: str = ""
    header: str = ""
    chapters: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    reference: bool = True

    def __post_init__(self) -> None:
        for key in _TEXTS:
            _require(isinstance(getattr(self, key), str), key, getattr(self, key), "a text in quotes")
        for key in ("contents", "number_sections", "reference"):
            _require(isinstance(getattr(self, key), bool), key, getattr(self, key), "true or false")
        names_of = {
            "chapters": "notebook's name",
            "without": "notebook's name",
            "author": "name",
            "bibliography": "path",
        }
        for key, what in (*names_of.items(), ("affiliation", "affiliation")):
            names = getattr(self, key)
            _require(
                isinstance(names, tuple) and all(isinstance(name, str) for name in names),
                key,
                names,
                f"one {what} or a list of {what}s, in quotes",
            )
        _require(
            len(self.affiliation) in (0, 1, len(self.author)),
            "affiliation",
            self.affiliation,
            f"one for all authors, or one for each of the {len(self.author)}",
        )
        _require(isinstance(self.date, datetime.date | str), "date", self.date, "a date (2026-01-31) or a text")
        _require(
            isinstance(self.font_size, int | float)
            and not isinstance(self.font_size, bool)
            and SMALLEST_FONT <= self.font_size <= LARGEST_FONT,
            "font_size",
            self.font_size,
            f"a number of points from {SMALLEST_FONT:g} to {LARGEST_FONT:g}",
        )
        _require(self.paper in PAPERS, "paper", self.paper, did_you_mean(self.paper, PAPERS))
        _require(
            re.fullmatch(r"[a-z]{2,3}(-[A-Z]{2})?", self.language) is not None,
            "language",
            self.language,
            "a language code of two or three letters, such as 'en', 'de' or 'zh', with a country if need be: 'pt-BR'",
        )
        _require(
            self.pdf_standard in ("", *PDF_STANDARDS),
            "pdf_standard",
            self.pdf_standard,
            did_you_mean(self.pdf_standard, PDF_STANDARDS),
        )
        if not self.theme.endswith(".typ"):
            _require(
                self.theme in THEMES,
                "theme",
                self.theme,
                f"{did_you_mean(self.theme, THEMES)}, or the path of a .typ file",
            )

    @classmethod
    def load(cls, path: Path | None) -> ReportSettings:
        """The settings in the TOML file at `path`; the defaults if there is none.

        Paths in it (theme, bibliography, csl) are taken from the file's folder.

        Raises
        ------
        ReportError
            If the file cannot be read, is not TOML, or holds an unknown key or a wrong value.
        """
        if path is None or not path.exists():
            return cls()
        return cls.from_mapping(cls.read(path), source=str(path))

    @classmethod
    def read(cls, path: Path) -> dict[str, object]:
        """The values of a TOML file, its paths taken from its folder; see `load` for the errors."""
        try:
            text = read_bytes(path).decode()
        except (OSError, ValueError) as error:
            raise ReportError(f"{path} cannot be read: {error}. Save it as UTF-8 text.") from error
        try:
            values = tomllib.loads(text)
        except ValueError as error:
            raise ReportError(f"{path} is not valid TOML: {error}.") from error
        except RecursionError:
            raise ReportError(f"{path} is not valid TOML: it is nested too deeply.") from None
        return {key: _normalised(key, value, path.parent) for key, value in values.items()}

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, source: str = "report settings") -> ReportSettings:
        """The settings in a mapping, as parsed from TOML or from a notebook's front matter.

        Raises
        ------
        ReportError
            On an unknown key or a wrong value; the message begins with `source`.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        checked: dict[str, object] = {}
        for key, value in values.items():
            if key not in known:
                raise ReportError(f"{source}: unknown key {key!r} (value {value!r}): {did_you_mean(key, known)}")
            checked[key] = _normalised(key, value, None)
        try:
            return cls(**checked)  # type: ignore[arg-type]
        except ReportError as error:
            raise ReportError(f"{source}: {error}") from None

    @property
    def date_text(self) -> str:
        """The date as the title page prints it."""
        if not isinstance(self.date, datetime.date):
            return self.date
        if self.language[:2] in ("zh", "ja"):
            return f"{self.date.year}年{self.date.month}月{self.date.day}日"
        if self.language[:2] == "en":
            return f"{self.date.day} {self.date:%B %Y}"
        return self.date.isoformat()


def _normalised(key: str, value: object, folder: Path | None) -> object:
    """A TOML value in the type its field has; anything unexpected is left for the field's own check."""
    if key in _LISTS:
        if isinstance(value, str):
            value = (value,) if value else ()
        value = tuple(value) if isinstance(value, list) else value
    if key == "date" and isinstance(value, datetime.datetime):
        return value.date()
    if folder is None or not value:
        return value
    if key == "bibliography" and isinstance(value, tuple):
        return tuple(str(folder / path) if isinstance(path, str) else path for path in value)
    if isinstance(value, str) and (key == "csl" or (key == "theme" and value.endswith(".typ"))):
        return str(folder / value)
    return value


def _require(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise ReportError(f"{key} = {value!r} is not accepted: {expected}")
