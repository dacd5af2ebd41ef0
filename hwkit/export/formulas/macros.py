"""TeX macros that a notebook defines, and the labels and tags of its formulas."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from hwkit.export.formulas.reader import FormulaError, Reader, filled, joined_tex

# Macros that call themselves would never end; a formula is left as it is after this many replacements.
_MOST_REPLACEMENTS = 500
_LONGEST_FORMULA = 50_000

_DEFINITION = re.compile(
    r"\\((?:re)?newcommand|providecommand|(?:re)?newenvironment|DeclareMathOperator|DeclarePairedDelimiters?(?:X|XPP)?"
    r"|Newextarrow|[gex]?def|let)(?![A-Za-z])"
)
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z\s])")
_NAME = re.compile(r"\s*\\([A-Za-z]+|[^A-Za-z\s])\s*")
_TAG = re.compile(r"\\tag\*?\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_LABEL = re.compile(r"\\label\s*\{([^{}]*)\}")


@dataclass(frozen=True)
class Macro:
    r"""A macro of `parameters` arguments; the first has a default value if `default` is not None.

    `template`: what `\def` wants before the first argument and behind each, if anything.
    """

    body: str
    parameters: int = 0
    default: str | None = None
    template: tuple[str, ...] = ()


def split_macros(text: str) -> tuple[dict[str, Macro], str]:
    r"""The macros that a text defines (`\newcommand`, `\def`, `\DeclareMathOperator`, ...), and the rest of it.

    An environment is two macros, named as `\begin` and `\end` call it: "begin{name}", "end{name}".
    """
    macros: dict[str, Macro] = {}
    rest, position = "", 0
    while found := _DEFINITION.search(text, position):
        reader = Reader(text)
        reader.at = found.end()
        try:
            macros.update(_defined(reader, found[1]))
        except FormulaError:
            rest += text[position : found.end()]
            position = found.end()
            continue
        rest += text[position : found.start()]
        position = reader.at
    return macros, rest + text[position:]


def _defined(reader: Reader, kind: str) -> dict[str, Macro]:
    """The macros of one definition, whose command has been read."""
    if kind in ("let", "def", "gdef", "edef", "xdef"):
        name = _command_name(reader.take())
        if kind == "let":
            reader.skip("=")
            return {name: Macro(reader.take())}
        start = reader.at
        while reader.peek() not in ("{", ""):
            reader.take()
        before, *behind = re.split(r"#\d", reader.tex[start : reader.at])
        template = (before.strip(), *behind) if before.strip() or any(behind) else ()
        return {name: Macro(_group(reader), len(behind), template=template)}
    star = reader.star()
    argument = reader.raw().strip()
    if kind.endswith("environment"):
        count, default = _parameters(reader)
        begin, end = _group(reader), _group(reader)
        return {f"begin{{{argument}}}": Macro(begin, count, default), f"end{{{argument}}}": Macro(end)}
    name = _command_name(argument if argument.startswith("\\") else f"\\{argument}")
    if kind == "DeclareMathOperator":
        return {name: Macro(f"\\operatorname{'*' if star else ''}{{{_group(reader)}}}")}
    if kind == "Newextarrow":
        _group(reader)
        code = _group(reader).strip()
        return {name: Macro(f"\\LongArrow{{{chr(int(code, 16 if code[:2].lower() == '0x' else 10))}}}")}
    if kind.startswith("Declare"):
        plain = kind.endswith(("r", "rs"))
        count = "1" if plain else reader.brackets() or "1"
        before = _group(reader) if kind.endswith("XPP") else ""
        left, right = reader.raw(), reader.raw()
        after = _group(reader) if kind.endswith("XPP") else ""
        body = "#1" if plain else _group(reader)
        # The number of arguments is not known before the star is: the command reads them itself.
        parts = "".join(f"{{{part}}}" for part in (left, right, before, body, after, count))
        return {name: Macro(f"\\DelimitedPair{parts}")}
    count, default = _parameters(reader)
    return {name: Macro(_group(reader), count, default)}


def _command_name(token: str) -> str:
    match = _NAME.fullmatch(token)
    if not match:
        raise FormulaError(f"{token} is not the name of a command")
    return match[1]


def _parameters(reader: Reader) -> tuple[int, str | None]:
    count = reader.brackets()
    if count is not None and not count.strip().isdigit():
        raise FormulaError(f"{count} is not a number of arguments")
    return int(count or 0), reader.brackets()


def _group(reader: Reader) -> str:
    if reader.peek() != "{":
        raise FormulaError("a definition has no body")
    return reader.raw()


def expanded(tex: str, macros: Mapping[str, Macro]) -> str:
    """The formula with the macros replaced by what they stand for."""
    if "\\" not in tex:
        return tex
    own, tex = split_macros(tex)
    macros = {**macros, **own}
    position = replaced = 0
    while macros and replaced < _MOST_REPLACEMENTS and len(tex) < _LONGEST_FORMULA:
        found = _COMMAND.search(tex, position)
        if not found:
            break
        reader = Reader(tex)
        reader.at = found.end()
        name = found[1]
        if name in ("begin", "end") and reader.peek() == "{":
            name += f"{{{reader.raw().strip()}}}" if "}" in tex[reader.at :] else ""
        macro = macros.get(name)
        try:
            arguments = None if macro is None or macro.body == found[0] else _arguments(reader, macro)
        except FormulaError:
            arguments = None
        if macro is None or arguments is None:
            position = found.end()
            continue
        rest = joined_tex(filled(macro.body, arguments), tex[reader.at :])
        tex = joined_tex(tex[: found.start()], rest)
        position, replaced = len(tex) - len(rest), replaced + 1
    return tex


def _arguments(reader: Reader, macro: Macro) -> list[str]:
    """The arguments that follow a macro."""
    arguments: list[str] = []
    if macro.template:
        before, *behind = macro.template
        if before and not reader.tex.startswith(before, len(reader.tex) - len(reader.tex[reader.at :].lstrip())):
            raise FormulaError("the macro is not used as it is defined")
        reader.at += reader.tex[reader.at :].index(before) + len(before)
        for end in behind:
            if end.strip():
                place = reader.tex.find(end.strip(), reader.at)
                if place < 0:
                    raise FormulaError("the macro is not used as it is defined")
                arguments.append(reader.tex[reader.at : place].strip())
                reader.at = place + len(end.strip())
            else:
                arguments.append(reader.raw())
        return arguments
    if macro.default is not None:
        given = reader.brackets()
        arguments.append(macro.default if given is None else given)
    while len(arguments) < macro.parameters:
        arguments.append(reader.raw())
    return arguments


# --- labels and tags ---------------------------------------------------------------------------------------------

# What commands in a tag, which is text, stand for; Greek letters are looked up by their names, of which one differs.
_SYMBOLS = {"ast": "∗", "star": "⋆", "dagger": "†", "ddagger": "‡", "prime": "′", "diamond": "⋄", "lambda": "λ"}


def number_of(tex: str) -> tuple[str, str]:
    r"""The text of the formula's `\tag`, empty if it has none or several, and the name of its first `\label`."""
    tags = _TAG.findall(tex)
    return _COMMAND.sub(_symbol, tags[0].replace("$", "")) if len(tags) == 1 else "", next(iter(labels_of(tex)), "")


def labels_of(tex: str) -> list[str]:
    r"""The names of the formula's `\label`s: one for each of its lines that has one."""
    return _LABEL.findall(tex)


def tags_of_labels(tex: str) -> dict[str, str]:
    r"""The tag of each label of a formula with several `\tag`s: that of the same line; empty if it has fewer."""
    if len(_TAG.findall(tex)) < 2:
        return {}
    lines = [(_LABEL.search(line), number_of(line)[0]) for line in re.split(r"\\\\", tex)]
    return {label[1].strip(): tag.replace(" ", "\u00a0") for label, tag in lines if label and tag}


def _symbol(match: re.Match[str]) -> str:
    """The character that a command stands for in the tag of a formula, which is text: Greek letters, signs."""
    kind = "CAPITAL" if match[1][0].isupper() else "SMALL"
    try:
        return _SYMBOLS.get(match[1]) or unicodedata.lookup(f"GREEK {kind} LETTER {match[1].upper()}")
    except KeyError:
        return match[0]
