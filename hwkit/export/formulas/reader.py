"""Reading TeX: tokens, arguments, dimensions, and macros put in place of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hwkit.export.formulas.symbols import UNITS

_TOKEN = re.compile(
    r"(?:\s|[\u200b-\u200f\u2060\ufeff]|%[^\n]*(?:\n|$))*(\\(?:[A-Za-z]+|.)|.[\u0300-\u036f]*|$)", re.DOTALL
)
_DIMENSION = re.compile(rf"\s*([-+]?)\s*(\d+(?:[.,]\d*)?|[.,]\d+)\s*({'|'.join(UNITS)})\s?")
# A macro that calls itself would never end.
_MOST_EXPANSIONS = 10_000
_LONGEST = 200_000


class FormulaError(Exception):
    """What is wrong with a formula that cannot be typeset, as MathJax would say it."""


class Reader:
    """A position in a formula's TeX."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        self.at = 0
        self.expansions = 0

    def peek(self) -> str:
        r"""The next token, "" at the end: a command with its backslash, or a character."""
        match = _TOKEN.match(self.tex, self.at)
        return match[1] if match else ""

    def take(self) -> str:
        """The next token; it is behind afterwards."""
        match = _TOKEN.match(self.tex, self.at)
        if not match:
            return ""
        self.at = match.end()
        return match[1]

    def skip(self, token: str) -> bool:
        """Go over a token if it comes next."""
        found = self.peek() == token
        if found:
            self.take()
        return found

    def raw(self) -> str:
        """The TeX of the next argument: what stands between its braces, or one token.

        Raises
        ------
        FormulaError
            If there is none, or its braces do not close.
        """
        token = self.take()
        if token in ("", "}", "&", "\\\\", "\\end"):
            raise FormulaError("an argument is missing")
        return self.up_to("}") if token == "{" else token

    def up_to(self, end: str) -> str:
        """The TeX up to a token outside of all braces, which is behind afterwards."""
        start, depth = self.at, 0
        while True:
            token = self.take()
            if token == end and depth == 0:
                return self.tex[start : self.at - len(token)]
            if token == "{":
                depth += 1
            elif token == "}":
                depth -= 1
            if not token or depth < 0:
                raise FormulaError(f"{end} is missing")

    def brackets(self) -> str | None:
        """The TeX of an optional argument, `[...]`; None if it does not come next."""
        return self.up_to("]") if self.skip("[") else None

    def skip_brackets(self, most: int) -> None:
        """Go over optional arguments, so many if they are there."""
        for _ in range(most):
            self.brackets()

    def star(self) -> bool:
        """Whether the command has a star."""
        return self.skip("*")

    def dimension(self) -> str:
        """A length as Typst writes it, in braces or bare: `-0.5em`, `3mm`."""
        if self.peek() == "{":
            return dimension(self.raw())
        match = _DIMENSION.match(self.tex, self.at)
        if not match:
            raise FormulaError("a length is missing")
        self.at = match.end()
        return dimension(match[0])

    def expand(self, body: str, arguments: Sequence[str] = ()) -> None:
        """Put what a macro stands for in place of what was read."""
        self.expansions += 1
        rest = self.tex[self.at :]
        if self.expansions > _MOST_EXPANSIONS or len(rest) > _LONGEST:
            raise FormulaError("its macros call each other without end")
        body = filled(body, arguments)
        self.tex, self.at = joined_tex(body, rest), 0


def dimension(text: str) -> str:
    """A length of TeX in Typst's units.

    Raises
    ------
    FormulaError
        If it is none.
    """
    match = _DIMENSION.fullmatch(text)
    if not match:
        raise FormulaError(f"{text!r} is not a length")
    factor, unit = UNITS[match[3]]
    return f"{match[1]}{float(match[2].replace(',', '.')) * factor:.4g}{unit}"


def filled(body: str, arguments: Sequence[str]) -> str:
    """A macro's body with `#1`, `#2`, ... replaced."""
    if not arguments:
        return body
    result = ""
    for piece in re.split(r"(#\d)", body):
        if re.fullmatch(r"#\d", piece):
            number = int(piece[1])
            piece = arguments[number - 1] if 0 < number <= len(arguments) else ""
        result = joined_tex(result, piece)
    return result


def joined_tex(before: str, after: str) -> str:
    r"""Two pieces of TeX one after the other: a letter after a command's name must not become part of it."""
    gap = " " if after[:1].isalpha() and re.search(r"\\[A-Za-z]+$", before[-40:]) else ""
    return before + gap + after
