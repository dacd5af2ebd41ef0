"""TeX's mathematics as Typst's: one pass over the formula, one function for each kind of command.

What MathJax 3 sets is set, and what it does not know is shown as it was written, in red, as it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from hwkit.export.formulas import symbols
from hwkit.export.formulas.reader import FormulaError, Reader, dimension, filled
from hwkit.export.formulas.typst import (
    EMPTY,
    Atom,
    classed,
    fence,
    literal,
    row,
    scripted,
    string,
    symbol,
    text_in,
)

if TYPE_CHECKING:
    from hwkit.export.formulas.environments import Table

# Styles of type, from that of displayed formulas to scripts of scripts; their places in symbols.STYLES.
DISPLAY, TEXT, SCRIPT, SCRIPTSCRIPT = range(4)
_ENDS = {"", "}", "&", "\\\\", "\\cr", "\\newline", "\\end", "\\right"}
BREAKS = ("\\\\", "\\cr", "\\newline")
_FRACTIONS = {
    "over",
    "atop",
    "above",
    "choose",
    "brace",
    "brack",
    "overwithdelims",
    "atopwithdelims",
    "abovewithdelims",
}
_NUMBER = re.compile(r"\d+(?:\{,\}\d{3})*(?:\.\d*)?|\.\d+")
_WORD = re.compile(r"[A-Za-z0-9]+")
_FOREIGN = re.compile(r"[^\W\d_a-zA-Z\u0370-\u03ff]+")
_PRIMES = ("'", "’")

Handler = Callable[["Parser", str], "Atom | list[Atom] | None"]
# What reads each command's arguments and gives its atoms.
COMMANDS: dict[str, Handler] = {}


def command(names: str) -> Callable[[Handler], Handler]:
    """Register the function that reads the commands of these names."""

    def register(handler: Handler) -> Handler:
        COMMANDS.update(dict.fromkeys(names.split(), handler))
        return handler

    return register


class Parser(Reader):
    """Reads a formula; `unknown` lists the commands that are shown as source."""

    def __init__(self, tex: str, *, style: int, parent: Parser | None = None) -> None:
        super().__init__(tex)
        self.style = style
        self.font = parent.font if parent else ""
        self.unknown: list[str] = parent.unknown if parent else []
        self.colours: dict[str, str] = parent.colours if parent else {}
        self.expansions = parent.expansions if parent else 0
        # The environment being read, for \hline, \tag and the like (`environments.Table`).
        self.table: Table | None = parent.table if parent else None

    # --- rows and groups -----------------------------------------------------------------------------------

    def row(self, *, rest: bool = False) -> list[Atom]:
        r"""The atoms up to the end of the group, cell or line, with their scripts; the `rest` may end at `\over`."""
        atoms: list[Atom] = []
        while (token := self.peek()) not in _ENDS:
            if token[0] == "\\" and token[1:] in _FRACTIONS:
                if rest:
                    break
                self.take()
                return [self._fraction_of_rows(token[1:], atoms)]
            if token in ("^", "_") or token in _PRIMES:
                base = Atom(EMPTY)
            else:
                found = self.atom(self.take())
                if not isinstance(found, Atom):
                    atoms += found or []
                    continue
                base = found
            atoms.append(self._with_scripts(base) if base.kind != "space" else base)
        return atoms

    def typst(self, atoms: Iterable[Atom]) -> str:
        """The atoms as Typst, spaced for the style at hand."""
        return row(atoms, script=self.style >= SCRIPT)

    def closed_by(self, end: str) -> list[Atom]:
        """The atoms up to a token, which is behind afterwards; line breaks are no more than spaces there."""
        atoms = self.row()
        while (token := self.take()) != end:
            if token not in BREAKS:
                raise FormulaError(f"{end} is missing" if token in ("", "\\end") else f"{token} is misplaced")
            self.line_break()
            atoms += [Atom("", "space", em=1.0), *self.row()]
        return atoms

    def line_break(self) -> str:
        r"""Read what may follow `\\`: a star, and a height, which is returned if there is one."""
        if self.tex.startswith("*", self.at):
            self.at += 1
        if self.tex.startswith("[", self.at):
            return dimension(self.brackets() or "")
        return ""

    def group(self) -> Atom:
        """What stands up to the next closing brace, as one atom."""
        font, style = self.font, self.style
        atoms = self.closed_by("}")
        self.font, self.style = font, style
        return self.one(atoms)

    def one(self, atoms: list[Atom]) -> Atom:
        """Atoms as an ordinary one: no operator or relation any more to what stands beside it."""
        if not atoms:
            return Atom(EMPTY)
        if len(atoms) == 1 and atoms[0].kind in ("ord", "inner") and not atoms[0].limits:
            return atoms[0]
        typst = self.typst(atoms)
        if all(atom.kind in ("ord", "open", "close") for atom in (atoms[0], atoms[-1])):
            return Atom(typst, composed=True)
        return Atom(classed("ord", typst))

    def argument(self, style: int | None = None) -> Atom:
        """The next argument in a style: a group, or one atom without scripts."""
        before, font = self.style, self.font
        self.style = before if style is None else style
        token = self.take()
        if token in _ENDS or token in ("^", "_"):
            raise FormulaError("an argument is missing")
        if token.isdigit() or (len(token) == 1 and token.isalpha()):
            found: Atom | list[Atom] | None = self._letter(token)
        elif token == "{":
            atoms = self.closed_by("}")
            one = len(atoms) == 1 and atoms[0].kind != "space"
            found = atoms[0] if one else Atom(self.typst(atoms) or EMPTY, composed=True)
        elif token[1:] in symbols.MACROS and token[1:] not in COMMANDS:
            found = self.sub(self._macro(token[1:]))
        else:
            found = self.atom(token)
        self.style, self.font = before, font
        if not isinstance(found, Atom):
            return self.one(found or [])
        return found if found.kind != "space" else Atom(self.typst([found]) or EMPTY)

    def atom(self, token: str) -> Atom | list[Atom] | None:
        """What a token and its arguments are: one atom that takes scripts, or any number that do not."""
        if token[0] == "\\":
            return self._command(token)
        if token.isdigit() or (token == "." and self.tex[self.at : self.at + 1].isdigit()):
            return self._number(token)
        if token == "{":
            return self.group()
        if token.isascii() and token.isalpha():
            return self._letters(token)
        if token == "~":
            return Atom("", "space", em=symbols.SPACES["~"])
        if token == "#":
            raise FormulaError("# stands outside of a macro")
        kind = symbols.CLASSES.get({"-": "−", "*": "∗"}.get(token, token))
        if kind:
            return symbol(token, kind)
        return self._letter(token) if len(token) > 1 or not token.isalpha() else self._foreign(token)

    def sub(self, tex: str, style: int | None = None) -> Atom:
        """A piece of TeX that was read as such, as one atom."""
        parser = Parser(tex, style=self.style if style is None else style, parent=self)
        atoms = parser.closed_by("")
        return Atom(parser.typst(atoms) or EMPTY, composed=True)

    # --- letters, numbers, commands ------------------------------------------------------------------------

    def _letters(self, token: str) -> Atom:
        """A letter, or in a font of words all letters and digits that come next."""
        if self.font:
            start = self.at - len(token)
            match = _WORD.match(self.tex, start)
            if match and match.end() > self.at:
                self.at = match.end()
                return Atom(text_in(self.font, match[0]))
        return self._letter(token)

    def _letter(self, char: str) -> Atom:
        if self.font and char.isascii() and char.isalnum():
            return Atom(text_in(self.font, char))
        return Atom(literal(char))

    def _number(self, token: str) -> Atom:
        match = _NUMBER.match(self.tex, self.at - len(token))
        if not match:
            return self._letter(token)
        self.at = match.end()
        digits = match[0].replace("{,}", ",")
        if self.font:
            return Atom(text_in(self.font, digits))
        return Atom(string(digits) if "," in digits else digits.replace(".", "\\.") if digits.endswith(".") else digits)

    def _foreign(self, token: str) -> Atom:
        """Letters of no formula, such as Chinese ones, which stand together as text; Greek ones are symbols."""
        match = _FOREIGN.match(self.tex, self.at - len(token))
        if not match:
            return Atom(literal(token))
        self.at = match.end()
        return Atom(text_in(self.font, match[0]))

    def _command(self, token: str) -> Atom | list[Atom] | None:
        name = token[1:]
        if handler := COMMANDS.get(name):
            return handler(self, name)
        if known := symbols.SYMBOLS.get(name):
            return symbol(*known)
        if letter := symbols.GREEK.get(name):
            return Atom(text_in(self.font, letter) if self.font and letter.isupper() else letter)
        if name[:2] in ("up", "Up", "va") and (turned := self._turned(name)):
            return turned
        if name in symbols.MACROS:
            self.expand(self._macro(name))
            return []
        return self.as_source(token)

    def _turned(self, name: str) -> Atom | None:
        r"""Greek letters that stand upright or slanted unlike the others: `\upalpha`, `\Upgamma`, `\varGamma`."""
        plain = name[3:] if name.startswith("var") else name[2:]
        letter = symbols.GREEK.get(plain.capitalize() if name[0] == "U" else plain)
        return Atom(f"{'italic' if name.startswith('var') else 'upright'}({letter})") if letter else None

    def _macro(self, name: str) -> str:
        """What a macro with the arguments that follow stands for."""
        count, body = symbols.MACROS[name]
        return filled(body, [self.raw() for _ in range(count)])

    def as_source(self, token: str) -> Atom:
        """A command that is not known, shown as it was written."""
        self.unknown.append(token)
        return Atom(f"#hwkit-missing(raw({string(token)}))")

    # --- scripts and fractions -----------------------------------------------------------------------------

    def _with_scripts(self, base: Atom) -> Atom:
        below = above = None
        primes, limits = 0, None
        while True:
            token = self.peek()
            if token in _PRIMES:
                primes += 1
                self.take()
            elif token in ("^", "_"):
                self.take()
                script = self.argument(max(SCRIPT, min(self.style + 1, SCRIPTSCRIPT))).typst
                if (above if token == "^" else below) is not None:
                    raise FormulaError(f"two {'superscripts' if token == '^' else 'subscripts'} follow each other")
                above, below = (script, below) if token == "^" else (above, script)
            elif token in ("\\limits", "\\nolimits", "\\displaylimits"):
                limits = {"\\limits": True, "\\nolimits": False}.get(token)
                self.take()
            else:
                break
        if below is None and above is None and not primes:
            return base
        return scripted(base, below, above, primes, limits)

    def _fraction_of_rows(self, name: str, above: list[Atom]) -> Atom:
        r"""`a \over b` and its relatives: all of the group before and after the command."""
        delimiters = {"choose": ("(", ")"), "brace": ("{", "}"), "brack": ("[", "]")}.get(name, ("", ""))
        if name.endswith("withdelims"):
            delimiters = (self.delimiter(), self.delimiter())
        line = name.startswith("over")
        if name.startswith("above"):
            line = not re.match(r"-?0[a-z]", self.dimension())
        below = self.row()
        if self.peek()[1:] in _FRACTIONS:
            raise FormulaError("a fraction within a fraction needs braces")
        return fraction(self.typst(above), self.typst(below), line, delimiters)

    def delimiter(self) -> str:
        r"""The character of a delimiter, as `\left` takes them; "" for the one that shows nothing."""
        token = self.take()
        if token == "{":
            token = self.up_to("}").strip()
        if token not in symbols.DELIMITERS:
            raise FormulaError(f"{token} is no delimiter")
        return symbols.DELIMITERS[token]


def fraction(above: str, below: str, line: bool, delimiters: tuple[str, str]) -> Atom:
    """A fraction, or without its line two things one above the other."""
    above, below = above or EMPTY, below or EMPTY
    if not line and delimiters == ("(", ")"):
        return Atom(f"binom({above}, {below})")
    typst = f"frac({above}, {below})" if line else f"vec(delim: #none, gap: #0.3em, {above}, {below})"
    if any(delimiters):
        typst = f"lr({fence(delimiters[0], 'open')}{typst}{fence(delimiters[1], 'close')})"
    return Atom(typst)
