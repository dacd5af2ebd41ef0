r"""Where formulas stand in a text, as Jupyter finds them: before Markdown is read, so that none of it is markup.

Between dollars there may be spaces (`$ x $`) but no blank line, braces must match, and code holds no formula.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# What a text is cut at. Behind an odd place in the list stands a delimiter.
_MARKDOWN = re.compile(r"(\$\$?|\\(?:begin|end)\{[a-zA-Z]*\*?\}|\\[{}$]|[{}]|(?:\n[^\S\n]*)+|@@\d+@@|\\\\[()\[\]])")
# In HTML there is no backslash before the backslash of `\(`.
_HTML = re.compile(r"(\$\$?|\\(?:begin|end)\{[a-zA-Z]*\*?\}|\\[{}$]|[{}]|(?:\n[^\S\n]*)+|@@\d+@@|\\[()\[\]])")
_FENCED = re.compile(r"^(?P<fence>`{3,}|~{3,})[^`\n]*\n.*?^(?P=fence)", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"(?<![\\`])(`+)(?!`)[^\n]*?[^`\n]\1(?!`)")
_DOLLAR_IN_CODE = "\ue0d0"
_MARK = re.compile(r"@@(\d+)@@")
_CLOSING = {"$": "$", "$$": "$$", "\\\\(": "\\\\)", "\\\\[": "\\\\]", "\\(": "\\)", "\\[": "\\]"}
# The environments that MathJax knows and that are a formula without dollars.
_ENVIRONMENT = re.compile(
    r"\\begin\{((?:align|alignat|aligned|cases|eqnarray|equation|flalign|gather|gathered|matrix|multline|split"
    r"|[bBpvV]matrix|smallmatrix|array|dcases|rcases|subarray|alignedat|numcases|CD)\*?)\}"
)


@dataclass(frozen=True)
class Formula:
    """A formula in a text: its TeX, and whether it is displayed."""

    tex: str
    display: bool = False


@dataclass
class Hidden:
    """What was taken out of a text, by its number: the sources of formulas, delimiters and all."""

    sources: list[str] = field(default_factory=list)

    def split(self, text: str) -> Iterator[str | Formula]:
        """The text cut at its marks, with a formula in the place of each; a mark of no formula is its source."""
        before = ""
        for index, piece in enumerate(_MARK.split(text)):
            if index % 2 == 0:
                before += piece.replace(_DOLLAR_IN_CODE, "$")
                continue
            source = self._source(piece)
            formula = _formula(source)
            if formula is None:
                before += source
            else:
                yield before
                yield formula
                before = ""
        yield before

    def restored(self, text: str) -> str:
        """The text with all sources put back."""
        return _MARK.sub(lambda mark: self._source(mark[1]), text).replace(_DOLLAR_IN_CODE, "$")

    def _source(self, number: str) -> str:
        place = int(number) if len(number) < 8 else len(self.sources)
        return self.sources[place].replace(_DOLLAR_IN_CODE, "$") if place < len(self.sources) else f"@@{number}@@"


def hide_formulas(text: str, *, escaped: bool = True) -> tuple[str, Hidden]:
    r"""The text with a mark (`@@0@@`) in the place of each formula, and the formulas.

    `escaped` is for Markdown, where `\\(x\\)` is a formula and code is none; HTML has `\(x\)`.

    Examples
    --------
    >>> hide_formulas("Let $ x $ be `$1`.")[0].replace("\ue0d0", "$")
    'Let @@0@@ be `$1`.'
    """
    if escaped and ("`" in text or "~~~" in text):
        for code in (_FENCED, _CODE_SPAN):
            text = code.sub(lambda found: found[0].replace("$", _DOLLAR_IN_CODE), text)
    pieces = (_MARKDOWN if escaped else _HTML).split(text)
    hidden = Hidden()
    start: int | None = None
    last: int | None = None  # the last closing delimiter within braces
    end, braces, index = "", 0, 1

    def take(first: int, final: int) -> None:
        pieces[first : final + 1] = [_hide("".join(pieces[first : final + 1]), hidden), *[""] * (final - first)]

    while index < len(pieces):
        piece = pieces[index]
        if piece.startswith("@"):
            hidden.sources.append(piece)
            pieces[index] = f"@@{len(hidden.sources) - 1}@@"
        elif start is None:
            if piece in _CLOSING or piece.startswith("\\begin"):
                start, last, braces = index, None, 0
                end = _CLOSING.get(piece) or piece.replace("begin", "end", 1)
        elif piece == end:
            if braces:
                last = index
            else:
                take(start, index)
                start = None
        elif piece.count("\n") > 1:
            if last is not None:
                take(start, last)
                index = last
            start = None
        elif piece == "{":
            braces += 1
        elif piece == "}" and braces:
            braces -= 1
        index += 2
    if start is not None and last is not None:
        take(start, last)
    return "".join(pieces), hidden


def _hide(source: str, hidden: Hidden) -> str:
    hidden.sources.append(hidden.restored(source))
    return f"@@{len(hidden.sources) - 1}@@"


def _formula(source: str) -> Formula | None:
    """What a source means; None if it is no formula but text that looks like one, or a LaTeX environment of text."""
    quoted = re.sub(r"\n\s*>", "\n", source)
    if quoted.count("\n") and len(re.findall(r"\n\s*>", source)) == source.count("\n"):
        source = quoted  # within a block quote
    if source.startswith("$$"):
        return Formula(source[2:-2], display=True)
    if source.startswith("$"):
        return Formula(source[1:-1])
    if bracket := re.match(r"\\{1,2}([(\[])", source):
        size = bracket.end()
        return Formula(source[size:-size], display=bracket[1] == "[")
    return Formula(source, display=True) if _ENVIRONMENT.match(source) else None
