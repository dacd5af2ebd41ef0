"""Pieces of a formula in Typst, and how they are put together with TeX's spaces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwkit.export.formulas.symbols import CLOSING, FUNCTIONS, LIMIT_FUNCTIONS, OPENING, OTHER_IN_TYPST, SPACING, THIN

# TeX's classes under Typst's names.
TYPST_CLASS = {
    **{"ord": "normal", "op": "large", "bin": "binary", "rel": "relation", "open": "opening", "close": "closing"},
    **{"punct": "punctuation", "inner": "normal"},
}
_PLAIN = {"-": "−", "*": "∗", "=": "=", "+": "+"}
# An atom that shows nothing, TeX's {}.
EMPTY = '""'
# What Typst would read as a root or stretch to what stands between.
_ESCAPED = set("√∛∜" + OPENING + CLOSING)
_SPACE_NAMES = {0.1667: "thin", 0.2222: "med", 0.2778: "thick", 1.0: "quad", 2.0: "wide"}


@dataclass(slots=True)
class Atom:
    """A piece of a formula: its Typst, and its class in TeX ("ord", "op", "bin", ..., or "space" of `em` ems).

    `limits`: whether Typst sets scripts above and below it of itself ("auto"), or has to be told to ("always").
    `composed`: it has scripts or several parts, so that scripts need a call around it.
    """

    typst: str
    kind: str = "ord"
    limits: str = ""
    composed: bool = False
    em: float = 0.0


def string(text: str) -> str:
    """A string literal, which is upright text in a formula."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def literal(char: str) -> str:
    """A character as itself: no operator, bracket or mark of Typst's."""
    if char in _PLAIN:
        return _PLAIN[char]
    return f"\\{char}" if (char.isascii() and not char.isalnum()) or char in _ESCAPED else char


def symbol(char: str, kind: str) -> Atom:
    """A character in its class."""
    typst = literal(char)
    if char in OTHER_IN_TYPST.get(kind, ""):
        typst = f'class("{TYPST_CLASS[kind]}", {typst})'
    return Atom(typst, kind, limits="auto" if kind == "op" else "")


def fence(char: str, kind: str) -> str:
    """A delimiter that opens or closes (`kind`), whatever it looks like; nothing for none."""
    if not char:
        return EMPTY
    usual = OPENING if kind == "open" else CLOSING
    return literal(char) if char in usual else f'class("{TYPST_CLASS[kind]}", {literal(char)})'


def classed(kind: str, typst: str) -> str:
    """The Typst with a class of its own."""
    return f'class("{TYPST_CLASS[kind]}", {typst})'


def function(name: str) -> Atom:
    """A function by its name in TeX, `\\sin` or `\\lim`."""
    assert name in FUNCTIONS or name in LIMIT_FUNCTIONS
    return Atom(name, "op", limits="auto" if name in LIMIT_FUNCTIONS else "")


def space(em: float) -> str:
    """A space of so many ems."""
    return _SPACE_NAMES.get(round(em, 4)) or f"#h({em:.4g}em)"


def text_in(font: str, text: str) -> str:
    """Text in a font, which is a list of Typst's functions from the inside out; text is upright by itself."""
    typst = string(text)
    for name in font.split():
        if name != "upright":
            typst = f"{name}({typst})"
    return typst


def row(atoms: Iterable[Atom], *, script: bool = False) -> str:
    """Atoms one after the other. Typst sets their spaces, except beside explicit ones and dots, where we do."""
    pieces: list[str] = []
    last = ""  # the class of the atom before
    gap: float | None = None  # the explicit space after it
    for atom in atoms:
        if atom.kind == "space":
            if atom.typst:
                pieces.append(atom.typst)
            gap = (gap or 0.0) + atom.em
            continue
        kind = "ord" if atom.kind == "bin" and last in ("", "op", "bin", "rel", "open", "punct") else atom.kind
        typst = atom.typst
        usual = SPACING.get((last, kind), 0.0)
        beside_dots = "inner" in (last, kind) and usual == THIN and "op" not in (last, kind) and last != "punct"
        if gap is not None or beside_dots:
            width = (gap or 0.0) + (0.0 if script else usual)
            if abs(width) > 1e-9:
                pieces.append(space(width))
            if kind == "bin" and not script:
                typst = classed("bin", typst)
        gap, last = None, kind
        pieces.append(typst)
    if gap:
        pieces.append(space(gap))
    return glued(pieces)


def glued(pieces: Iterable[str]) -> str:
    """Pieces of Typst as one; a space between two words, or a comment where text would keep the space."""
    result: list[str] = []
    before = ""
    for piece in pieces:
        if not piece:
            continue
        if before and _is_word(before[-1]) and _is_word(piece[0]):
            result.append("/**/" if '"' in piece else " ")
        result.append(piece)
        before = piece
    return "".join(result)


def _is_word(char: str) -> bool:
    return f"a{char}".isidentifier()


def scripted(base: Atom, below: str | None, above: str | None, primes: int, limits: bool | None) -> Atom:
    """An atom with its scripts; `limits` says that they stand above and below it, or that they do not."""
    typst = base.typst
    if base.composed:
        typst = classed(base.kind, typst)
    if limits or (limits is None and base.limits == "always"):
        typst = f"limits({typst})"
    elif limits is not None or (base.kind == "rel" and not base.limits):
        typst = f"scripts({typst})"
    typst += "'" * primes
    if below is not None:
        typst += f"_{_argument(below)}"
    if above is not None:
        typst += f"^{_argument(above)}"
    return Atom(typst, base.kind, composed=True)


def _argument(typst: str) -> str:
    return typst if len(typst) == 1 and typst.isalnum() else f"({typst or EMPTY})"
