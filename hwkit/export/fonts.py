"""Which characters of a document have a font, decided by the typesetter itself, and which fonts would help."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typst
from fontTools import unicodedata as scripts

from hwkit.errors import ReportError

# Faces tried after the text face, before the typesetter's own search; those not installed are passed over.
_SIMPLIFIED = ("Noto Serif CJK SC", "Source Han Serif SC", "Songti SC", "SimSun", "Noto Sans CJK SC", "PingFang SC")
_TRADITIONAL = ("Noto Serif CJK TC", "Songti TC", "PMingLiU")
_JAPANESE = ("Noto Serif CJK JP", "Hiragino Mincho ProN", "Yu Mincho", "MS Mincho")
_KOREAN = ("Noto Serif CJK KR", "AppleMyungjo", "Batang")
_LAST = ("DejaVu Sans", "Noto Emoji", "Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji", "DejaVu Sans Mono")
_MONO = ("DejaVu Sans Mono", "Noto Sans Mono CJK SC", "Noto Sans CJK SC")
EMBEDDED = "Libertinus Serif"

# What to install for a script, by its ISO 15924 code: font family, and the package that Debian and Ubuntu have.
_CJK = ("Noto Serif CJK", "fonts-noto-cjk")
_REMEDIES = {"Hani": _CJK, "Hira": _CJK, "Kana": _CJK, "Hang": _CJK, "Bopo": _CJK}
# Packages on PyPI that hold fonts: the extra `fonts`.
_SCRIPTS = ("arabic", "devanagari", "khmer", "tamil", "telugu", "thai")
_PACKAGES = ("cvttf_NotoSansCJK_Regular", *(f"fontpkg_noto_sans_{script}" for script in _SCRIPTS))
_EMOJI_REMEDY = ("Noto Color Emoji", "fonts-noto-color-emoji")
# Symbols inside the typesetter that look like an emoji, or mean the same.
_LIKE_EMOJI = {
    "✅": "✔",
    "❌": "✘",
    "❎": "✘",
    "⭐": "★",
    "🌟": "★",
    "👉": "☞",
    "❗": "!",
    "❓": "?",
    "➕": "+",
    "➖": "−",
}

# Joiners and variation selectors have no glyph of their own.
_INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u00ad]")
# What the fonts inside the typesetter have in any case: Latin, Greek, Cyrillic, punctuation, arrows, mathematics.
ALWAYS_THERE = re.compile(
    "[\u00a0-\u017f\u0370-\u03ff\u0400-\u045f\u2010-\u2027\u2030-\u2040\u2070-\u209c\u20ac\u2190-\u23cf\u25a0-\u25ff"
    "\u27c0-\u27ff\u2900-\u2aff]"
)
_NEVER_ASSIGNED = "\U0010fffe"


@dataclass(frozen=True)
class FontSet:
    """The fonts of this machine as the typesetter finds them."""

    fonts: typst.Fonts
    families: frozenset[str]

    def text_faces(self, wanted: str, language: str) -> list[str]:
        """The families for text, in the order they are tried: only installed ones."""
        east_asian = {
            "ja": (*_JAPANESE, *_SIMPLIFIED, *_KOREAN),
            "ko": (*_KOREAN, *_SIMPLIFIED, *_JAPANESE),
        }.get(language, (*_SIMPLIFIED, *_TRADITIONAL, *_JAPANESE, *_KOREAN))
        faces = [wanted, EMBEDDED, *east_asian, *_LAST]
        return list(dict.fromkeys(face for face in faces if face in self.families))

    def code_faces(self) -> list[str]:
        """The families for code and output."""
        return [face for face in _MONO if face in self.families]

    def missing(self, text: str, faces: list[str]) -> set[str]:
        """The characters of `text` that no installed font has."""
        asked = sorted({c for c in set(text) if ord(c) > 0x7E and not _INVISIBLE.match(c) and not c.isspace()})
        return self._unknown([c for c in asked if not ALWAYS_THERE.match(c)], faces)

    def _unknown(self, asked: list[str], faces: list[str]) -> set[str]:
        if not asked:
            return set()
        blank, *glyphs = self._glyphs([_NEVER_ASSIGNED, *asked], faces)
        return {c for c, glyph in zip(asked, glyphs, strict=True) if glyph == blank}

    def _glyphs(self, characters: list[str], faces: list[str]) -> list[str]:
        """The glyph that the typesetter draws for each character: one line of a drawing for each."""
        families = ", ".join(f'"{face}"' for face in faces)
        cells = "".join(f'#probe("\\u{{{ord(c):x}}}")\n' for c in characters)
        source = (
            "#set page(width: 40pt, height: auto, margin: 10pt)\n"
            f"#set text(font: ({families},), size: 8pt)\n"
            # Every character stands alone in a clipped box, which the drawing shows as a group of its own.
            "#let probe(c) = block(width: 20pt, height: 20pt, clip: true, above: 0pt, below: 0pt, text(c))\n"
        )
        drawing: Any = typst.compile(
            (source + cells).encode(), format="svg", font_paths=self.fonts, ignore_system_fonts=True
        )
        svg = (drawing[0] if isinstance(drawing, list) else drawing).decode()
        groups = svg.split("<defs")[0].split("clip-path=")[1:]
        if len(groups) != len(characters):
            raise ReportError("the typesetter's drawing of the characters in use could not be read")
        return [" ".join(re.findall(r'href="#(\w+)"', group)) for group in groups]


@cache
def font_set(*, system: bool = True) -> FontSet:
    """The fonts of this machine and of packages with fonts, searched once; else only those inside the typesetter."""
    fonts = typst.Fonts(include_system_fonts=system, font_paths=_packaged() if system else [])
    return FontSet(fonts, frozenset(fonts.families()))


def _packaged() -> list[str]:
    """The folders of the packages with fonts (extra `fonts`) that are installed; looking for one takes no import."""
    found = filter(None, map(importlib.util.find_spec, _PACKAGES))
    return [str(Path(spec.origin).parent) for spec in found if spec.origin]


def missing_message(characters: Iterable[str]) -> str:
    """One line on characters without a font: which, of which script, and what to install."""
    by_remedy: dict[tuple[str, str, str], list[str]] = {}
    for character in sorted(characters):
        by_remedy.setdefault(_remedy(character), []).append(character)
    parts = []
    for (script, family, package), found in by_remedy.items():
        shown = ", ".join(f"{c} (U+{ord(c):04X})" for c in found[:8]) + (", ..." if len(found) > 8 else "")
        parts.append(f"{len(found)} of {script}: {shown}; install the font {family} (Debian, Ubuntu: {package})")
    message = "no installed font has these characters, they are shown by name or as “?”: " + "; ".join(parts)
    return message + "; `pip install 'hwkit[fonts]'` brings some"


def shown_instead(character: str) -> str:
    """What stands for a character without a font: for an emoji a symbol like it or its name, else a question mark."""
    if "🏻" <= character <= "🏿":
        return ""  # the colour of the skin of the emoji before
    if "🇦" <= character <= "🇿":
        return chr(ord(character) - ord("🇦") + ord("A"))  # two of them make a flag
    if not _is_emoji(character):
        return "?"
    name = unicodedata.name(character, "").lower().replace(" ", "-")
    return _LIKE_EMOJI.get(character, f":{name}:" if name else "?")


def _is_emoji(character: str) -> bool:
    is_symbol = unicodedata.category(character) == "So" and ord(character) >= 0x2600
    return is_symbol and scripts.script(character) == "Zyyy"


def _remedy(character: str) -> tuple[str, str, str]:
    code = scripts.script(character)
    if code in _REMEDIES:
        return ("the Chinese, Japanese and Korean scripts", *_REMEDIES[code])
    if _is_emoji(character):
        return ("the emoji", *_EMOJI_REMEDY)
    name = scripts.script_name(code).replace("_", " ")
    family = "Noto Sans Symbols 2" if code in ("Zyyy", "Zinh", "Zzzz") else f"Noto Sans {name}"
    return (f"the {name} script", family, "fonts-noto-core")
