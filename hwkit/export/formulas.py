"""TeX formulas made ready for pandoc: macros of the notebook expanded, old commands in their modern form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

# Macros that call themselves would never end; a formula is left as it is after this many replacements.
_MOST_REPLACEMENTS = 500
_LONGEST_FORMULA = 50_000

_DEFINITION = re.compile(
    r"\\(?:(?P<kind>(?:re)?newcommand|providecommand|DeclareMathOperator)(?P<star>\*?)\s*"
    r"(?:\{\s*\\(?P<braced>[A-Za-z]+|[^A-Za-z\s])\s*\}|\\(?P<bare>[A-Za-z]+|[^A-Za-z\s]))"
    r"\s*(?:\[(?P<count>\d)\])?\s*(?:\[(?P<default>[^\]]*)\])?\s*(?=\{)"
    r"|def\s*\\(?P<def>[A-Za-z]+|[^A-Za-z\s])(?P<parameters>(?:#\d)*)\s*(?=\{)"
    r"|let\s*\\(?P<let>[A-Za-z]+)\s*=?\s*(?P<meaning>\\[A-Za-z]+|\S))"
)
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z\s])")
# Commands that switch the font until the group ends, and what does the same to an argument.
_SWITCHES = {
    "rm": "mathrm",
    "bf": "mathbf",
    "it": "mathit",
    "sf": "mathsf",
    "tt": "mathtt",
    "cal": "mathcal",
    "frak": "mathfrak",
    "Bbb": "mathbb",
}
_SWITCH = re.compile(rf"\\({'|'.join(_SWITCHES)})(?![A-Za-z])\s*")
# What says something about type size or the page only, and what has another name.
_WITHOUT_MEANING = re.compile(
    r"\\(?:tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaylimits|nolimits"
    r"|nonumber|notag|centering|hfill|strut|mathstrut|noindent|newline(?=\s*$))(?![A-Za-z])"
)
# Commands that go with their first argument: labels, and what a page has no use for.
_WITHOUT_USE = re.compile(r"\\(?:label|tag\*?|textcolor|color|href|cssId|class|style|require)\s*\{[^{}]*\}")
_KERN = re.compile(r"\\(?:mkern|mskip|kern|hskip)\s*-?[\d.]+\s*(?:mu|em|pt|ex|cm|mm|in)")
_UNICODE = re.compile(r"\\unicode\s*\{\s*(?:x([0-9A-Fa-f]+)|(\d+))\s*\}")
_RENAMED = {
    "bm": "boldsymbol",
    "mathbbm": "mathbb",
    "mathds": "mathbb",
    "mathscr": "mathcal",
    "textnormal": "text",
    "mbox": "text",
    "hbox": "text",
    "argmax": "operatorname*{arg\\,max}",
    "argmin": "operatorname*{arg\\,min}",
    "intertext": "text",
    "smash": "",
    "cfrac": "dfrac",
    "LaTeX": "text{LaTeX}",
    "TeX": "text{TeX}",
}


@dataclass(frozen=True)
class Macro:
    """A macro of `parameters` arguments; the first has a default value if `default` is not None."""

    body: str
    parameters: int = 0
    default: str | None = None


def split_macros(text: str) -> tuple[dict[str, Macro], str]:
    r"""The macros that a text defines (`\newcommand`, `\def`, `\DeclareMathOperator`, `\let`), and the rest of it."""
    macros: dict[str, Macro] = {}
    rest, position = "", 0
    while found := _DEFINITION.search(text, position):
        if found["let"]:
            end, name, macro = found.end(), found["let"], Macro(found["meaning"])
        else:
            end = _group_end(text, found.end())
            if end is None:
                break
            body = text[found.end() + 1 : end - 1]
            if found["def"]:
                name, macro = found["def"], Macro(body, found["parameters"].count("#"))
            else:
                name = found["braced"] or found["bare"]
                if found["kind"] == "DeclareMathOperator":
                    body = f"\\operatorname{found['star']}{{{body}}}"
                macro = Macro(body, int(found["count"] or 0), found["default"])
        macros[name] = macro
        rest += text[position : found.start()]
        position = end
    return macros, rest + text[position:]


def expanded(tex: str, macros: Mapping[str, Macro]) -> str:
    """The formula with the macros replaced by what they stand for."""
    own, tex = split_macros(tex)
    macros = {**macros, **own}
    position = replaced = 0
    while macros and replaced < _MOST_REPLACEMENTS and len(tex) < _LONGEST_FORMULA:
        found = _COMMAND.search(tex, position)
        if not found:
            break
        macro = macros.get(found[1])
        if macro is None or macro.body == found[0]:
            position = found.end()
            continue
        arguments, end = _arguments(tex, found.end(), macro)
        tex = tex[: found.start()] + _joined(_filled(macro.body, arguments), tex[end:])
        position, replaced = found.start(), replaced + 1
    return tex


# Symbols under names that pandoc 3.9 still writes and Typst 0.15 no longer has.
_OLD_SYMBOLS = {
    "planck.reduce": "ħ",
    "sect": "∩",
    "sect.sq": "⊓",
    "sect.big": "⋂",
    "sect.sq.big": "⨅",
    "sect.double": "⋒",
    "sect.dot": "⩀",
    "sect.and": "⩄",
    "sect.sq.double": "⩎",
    "integral.sect": "⨙",
    "plus.circle.arrow": "⟴",
    "minus.circle": "⊖",
    "times.circle": "⊗",
    "times.circle.big": "⨂",
    "dot.circle": "⊙",
    "dot.circle.big": "⨀",
    "eq.circle": "⊜",
    "dash.circle": "⊝",
    "div.circle": "⨸",
    "bar.v.circle": "⦶",
    "parallel.circle": "⦷",
    "backslash.circle": "⦸",
    "perp.circle": "⦹",
    "lt.circle": "⧀",
    "gt.circle": "⧁",
    "bracket.l.double": "⟦",
    "bracket.r.double": "⟧",
    "brace.l.double": "⦃",
    "brace.r.double": "⦄",
    "paren.l.double": "⦅",
    "paren.r.double": "⦆",
    "shell.l.double": "⟬",
    "shell.r.double": "⟭",
    "angle.right.sq": "⦜",
    "angle.spheric.top": "⦡",
    "angle.oblique": "⦦",
    "quote.angle.l.double": "«",
    "quote.angle.r.double": "»",
    "quote.angle.l.single": "‹",
    "quote.angle.r.single": "›",
    "gimmel": "ג",
    "shin": "ש",
    "kai": "ϗ",
    "franc": "₣",
}
_OLD_SYMBOL = re.compile(
    r'"(?:\\.|[^"\\])*"|(?<![A-Za-z0-9.])('
    + "|".join(re.escape(name) for name in sorted(_OLD_SYMBOLS, key=len, reverse=True))
    + r")(?!\.?[A-Za-z0-9])"
)

# What commands in a tag, which is text, stand for; Greek letters are looked up by their names, of which one differs.
_SYMBOLS = {"ast": "∗", "star": "⋆", "dagger": "†", "ddagger": "‡", "prime": "′", "diamond": "⋄", "lambda": "λ"}

_TEXT_AND_SPACE = re.compile(r'("(?:\\.|[^"\\])*"\)?) ')
# Marks that `for_typst` sets and pandoc carries through into its Typst, where `typst_formula` acts on them.
_LIMITS_BELOW = "\ue000"
_NO_DELIMITER = {"c": "\ue001", "l": "\ue002", "r": "\ue003"}
_RIGHT_BRACE = "\ue004"
# The rules of an array: after which column or row, as the distance from this mark.
_COLUMN_RULE, _ROW_RULE = 0xE010, 0xE020
_RULES = re.compile(r'mat\((delim: (?:"[^"]*"|#none), (?:[a-z-]+: #\w+, )*) *((?:"?[\ue010-\ue02f]"? *)+)')
_SIDES = {"c": "center", "l": "left", "r": "right"}
_CASES = re.compile(r"(\\begin\{cases\}.*?\\end\{cases\})", re.DOTALL)
_NORM = re.compile(
    r"\\left\s*\\\|(?!\s*\\begin)((?:(?!\\left\b|\\right\b).|\\left\b(?:(?!\\left\b|\\right\b).)*\\right\b)*)\\right\s*\\\|",
    re.DOTALL,
)
_LINES = (
    r"\\begin\{(?:array\}\s*\{[^{}]*|matrix|aligned)\}"
    r"((?:(?!\\begin|\\end).)*)\\end\{(?:array|matrix|aligned)\}"
)
_ONE_SIDED = re.compile(rf"\\left\s*\\\{{\s*{_LINES}\s*\\right\s*\.", re.DOTALL)
_ONE_SIDED_RIGHT = re.compile(rf"\\left\s*\.\s*{_LINES}\s*\\right\s*\\\}}", re.DOTALL)
# \sideset{before}{after}\sum_{i}: the operator with its own scripts.
_SIDESET = re.compile(
    r"\\sideset\s*(?P<before>\{(?:[^{}]|\{[^{}]*\})*\})\s*(?P<after>\{(?:[^{}]|\{[^{}]*\})*\})\s*"
    r"(?P<operator>\\[A-Za-z]+(?:\s*\\limits)?(?:\s*[_^]\s*(?:\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|[^\s\\{}]))*)"
)
_ARRAY = re.compile(r"\\begin\{array\}\s*(?:\[\w\])?\s*\{([^{}]*)\}((?:(?!\\begin|\\end).)*)\\end\{array\}", re.DOTALL)
_MATRIX = re.compile(
    r"(?<!\\left[(\[|.])\\begin\{matrix\}((?:(?!\\begin|\\end).)*)\\end\{matrix\}(?!\s*\\right)", re.DOTALL
)
_BIG_OPERATOR = re.compile(r"\\mathop\s*\{\s*\\(?:mathrm|text|operatorname\*?)\s*\{([^{}]*)\}\s*\}(?:\s*\\limits)?")
_UNDER_OPERATOR = re.compile(
    r"\\underset\s*\{((?:[^{}]|\{[^{}]*\}|\\[{}])*)\}\s*\{\s*\\(?:mathrm|text|operatorname\*?)\s*\{([^{}]*)\}\s*\}"
)
_DELIMITED = re.compile(r"\\(?:left|right|middle|big|Big|bigg|Bigg)[lrm]?\s*$")


def modern(tex: str) -> str:
    r"""The formula without what pandoc does not know: `{\bf x}` becomes `{\mathbf{x}}`, labels go."""
    tex = _KERN.sub("", _WITHOUT_USE.sub("", _WITHOUT_MEANING.sub("", tex)))
    tex = _UNICODE.sub(_character, tex)
    tex = _COMMAND.sub(_renamed, tex)
    while found := _SWITCH.search(tex):
        end = _group_end(tex, found.end())
        command = f"\\{_SWITCHES[found[1]]}"
        if end is not None:
            tex = f"{tex[: found.start()]}{command}{tex[found.end() :]}"
        else:
            end = _enclosing_end(tex, found.end())
            tex = f"{tex[: found.start()]}{command}{{{tex[found.end() : end]}}}{tex[end:]}"
    return tex


def for_typst(tex: str) -> str:
    """The formula with arrays, bars and operators in a way that pandoc turns into valid and well-spaced Typst."""
    tex = _NORM.sub(r"\\lVert \1\\rVert ", tex)
    for name, bar in (("vmatrix", "|"), ("Vmatrix", "\\|")):
        tex = tex.replace(f"\\begin{{{name}}}", f"\\left{bar}\\begin{{matrix}}")
        tex = tex.replace(f"\\end{{{name}}}", f"\\end{{matrix}}\\right{bar}")
    tex = _SIDESET.sub(_with_sides, tex)
    tex = tex.replace("{smallmatrix}", "{matrix}").replace("{dcases}", "{cases}").replace("{drcases}", "{rcases}")
    tex = tex.replace("\\begin{rcases}", f"\\begin{{cases}}{_RIGHT_BRACE} ").replace("{rcases}", "{cases}")
    tex = _ONE_SIDED_RIGHT.sub(rf"\\begin{{cases}}{_RIGHT_BRACE} \1\\end{{cases}}", tex)
    tex = _ONE_SIDED.sub(r"\\begin{cases}\1\\end{cases}", tex)
    tex = _CASES.sub(_cases, tex)
    tex = _MATRIX.sub(r"\\begin{array}{c}\1\\end{array}", _ARRAY.sub(_array, tex))
    tex = _ARRAY.sub(_array, tex)
    tex = re.sub(r"\\left\s*\.((?:(?!\\left|\\right).)*)\\right\s*\|", r"\1\\bigg|", tex, flags=re.DOTALL)
    tex = re.sub(r"(?<!\\left)\\lvert\b(.*?)(?<!\\right)\\rvert\b", r"\\left|\1\\right|", tex, flags=re.DOTALL)
    tex = _paired(_paired(tex, "\\|", ("\\lVert ", "\\rVert ")), "|", ("\\left| ", "\\right| "))
    tex = _UNDER_OPERATOR.sub(r"\\operatorname*{\2}_{\1}", _BIG_OPERATOR.sub(r"\\operatorname*{\1}", tex))
    # \operatorname*{arg\,min} has its limits below it.
    return re.sub(r"\\operatorname\*\s*\{", rf"\\operatorname{{{_LIMITS_BELOW}", tex)


def _paired(tex: str, bar: str, delimiters: tuple[str, str]) -> str:
    """Bars that enclose something as delimiters: pandoc takes single ones for relations, with room around them."""
    pieces = re.split(rf"(?<!\\)({re.escape(bar)})", tex)
    index = 1
    while index + 2 < len(pieces):
        between = pieces[index + 1]
        fenced = _DELIMITED.search(pieces[index - 1]) or _DELIMITED.search(between)
        if fenced or not between.strip() or not _balanced(between) or re.search(r"&|\\\\|\\end", between):
            index += 2
            continue
        pieces[index], pieces[index + 2] = delimiters
        index += 4
    return "".join(pieces)


def _balanced(tex: str) -> bool:
    """Whether every bracket that the text closes was opened in it, and the other way round."""
    open_brackets: list[str] = []
    for bracket in re.findall(r"[()\[\]{}]", tex):
        if bracket in "([{":
            open_brackets.append(bracket)
        elif not open_brackets or open_brackets.pop() + bracket not in ("()", "[]", "{}"):
            return False
    return not open_brackets


def _cases(match: re.Match[str]) -> str:
    """Cases with room before their conditions; those without get an empty one, or pandoc sets lines after a brace."""
    cases = re.sub(r"(?<!\\)&(?!\s*\\q?quad)", r"&\\quad ", match[0])
    return cases if "&" in cases else re.sub(r"(?=\\\\|\\end\{cases\}$)", " & ", cases, count=1)


def _array(match: re.Match[str]) -> str:
    columns = re.sub(r"[^lcr]", "", match[1])
    body = re.sub(r"\\\\\s*$", "", match[2].replace("\\hline", ""))
    if columns in ("rcl", "lcl", "rll") and not re.search(r"\\left\W{1,3}\s*$", match.string[: match.start()]):
        rows = [re.sub(r"&(.*?)&", r"&\1", row, count=1) for row in body.split("\\\\")]
        return "\\begin{aligned}" + "\\\\".join(rows) + "\\end{aligned}"
    body = _rules(match[1], match[2]) + body
    if re.search(r"\\left\s*(\\?\W|\\[lr]?[a-zA-Z]+)\s*$", match.string[: match.start()]):
        return f"\\begin{{matrix}}{body}\\end{{matrix}}"
    side = columns[0] if len(set(columns)) == 1 or columns[:1] == "l" else "c"
    return f"\\begin{{pmatrix}}{_NO_DELIMITER[side]}{body}\\end{{pmatrix}}"


def _rules(columns: str, rows: str) -> str:
    """Marks for the rules between an array's columns and between its rows; those around it are left out."""
    before = [len(re.sub("[^lcr]", "", part)) for part in accumulate(columns.split("|"))]
    above = [part.count("\\\\") for part in accumulate(rows.split("\\hline"))]
    row_count = re.sub(r"\\\\\s*(\\hline\s*)*$", "", rows).count("\\\\") + 1
    return "".join(
        chr(first + place)
        for first, places, count in ((_COLUMN_RULE, before, before[-1]), (_ROW_RULE, above[:-1], row_count))
        for place in dict.fromkeys(places)
        if 0 < place < min(count, 16)
    )


def typst_formula(text: str) -> str:
    """A formula as pandoc writes it for Typst, in today's names of symbols and with the marks of `for_typst` obeyed."""
    text = text.replace('delim: "||"', 'delim: "‖"')
    # What TeX has as thick, medium and negative space pandoc rounds to whole ems.
    text = text.replace("#h(0em)", "thick").replace("#h(-1em)", "#h(-0.167em)")
    text = re.sub(rf'"{_LIMITS_BELOW}((?:\\.|[^"\\])*)"', r'op("\1", limits: #true)', text)
    for side, mark in _NO_DELIMITER.items():
        text = re.sub(
            rf'mat\(delim: "\(", *"?{mark}"? *', f"mat(delim: #none, align: #{_SIDES[side]}, column-gap: #1em, ", text
        )
        text = _RULES.sub(_with_rules, text)
        # pandoc writes a single column as a vector.
        text = re.sub(rf'vec\( *"?{mark}"? *', f"vec(delim: #none, align: #{_SIDES[side]}, ", text)
    text = re.sub(rf'cases\(((?:delim: "[^"]*", *)?) *"?{_RIGHT_BRACE}"? *', r"cases(\1reverse: #true, ", text)
    # Typst sets the space between text and what follows; TeX does not, and \\text{if } brings its own.
    text = _TEXT_AND_SPACE.sub(_without_second_space, text)
    return _OLD_SYMBOL.sub(lambda match: _OLD_SYMBOLS[match[1]] if match[1] else match[0], text)


def _with_rules(match: re.Match[str]) -> str:
    places = [ord(mark) for mark in re.findall("[\ue010-\ue02f]", match[2])]
    columns = "".join(f"{place - _COLUMN_RULE}, " for place in places if place < _ROW_RULE)
    rows = "".join(f"{place - _ROW_RULE}, " for place in places if place >= _ROW_RULE)
    gap = "" if "column-gap" in match[1] else "column-gap: #0.8em, "
    return f"mat({match[1]}{gap}augment: #(vline: ({columns}), hline: ({rows}), stroke: 0.5pt), "


def number_of(tex: str) -> tuple[str, str]:
    r"""The text of the formula's `\tag`, empty if it has none or several, and the name of its first `\label`."""
    tags = re.findall(r"\\tag\*?\s*\{([^{}]*)\}", tex)
    return _COMMAND.sub(_symbol, tags[0].replace("$", "")) if len(tags) == 1 else "", next(iter(labels_of(tex)), "")


def _symbol(match: re.Match[str]) -> str:
    """The character that a command stands for in the tag of a formula, which is text: Greek letters, signs."""
    kind = "CAPITAL" if match[1][0].isupper() else "SMALL"
    try:
        return _SYMBOLS.get(match[1]) or unicodedata.lookup(f"GREEK {kind} LETTER {match[1].upper()}")
    except KeyError:
        return match[0]


def _with_sides(match: re.Match[str]) -> str:
    before, after = (match[side][1:-1].strip() for side in ("before", "after"))
    after = "^{\\prime}" if after == "'" else after
    return f"{f'{{}}{before}' if before else ''}{match['operator']}{f'{{}}{after}' if after else ''}"


def _without_second_space(match: re.Match[str]) -> str:
    """Text and the space after it in Typst; no space before a bracket, or where the text ends with one."""
    no_space = match[1].rstrip(")").endswith(' "') or re.match(r"\\[(\[]", match.string[match.end() :])
    return match[1] if no_space else match[0]


def labels_of(tex: str) -> list[str]:
    r"""The names of the formula's `\label`s: one for each of its lines that has one."""
    return re.findall(r"\\label\s*\{([^{}]*)\}", tex)


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2])
    return chr(code) if code < 0x110000 else ""


def _renamed(match: re.Match[str]) -> str:
    name = _RENAMED.get(match[1])
    if name is None:
        return match[0]
    return f"\\{name}" if name[:1].isalpha() else name


def _group_end(text: str, start: int) -> int | None:
    """The position after the group `{...}` that begins at `start`; None if none does, or it never ends."""
    if text[start : start + 1] != "{":
        return None
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return position + 1
        position += 1
    return None


def _enclosing_end(tex: str, start: int) -> int:
    """Where the group, cell or row that `start` is in ends."""
    depth = 0
    position = start
    while position < len(tex):
        character = tex[position]
        if character == "\\":
            if depth == 0 and re.match(r"\\(\\|end\b|right\b)", tex[position:]):
                return position
            position += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position
            depth -= 1
        elif character == "&" and depth == 0:
            return position
        position += 1
    return position


def _arguments(tex: str, position: int, macro: Macro) -> tuple[list[str], int]:
    """The arguments that follow a macro at `position`, and where they end."""
    arguments: list[str] = []
    if macro.default is not None:
        optional = re.compile(r"\s*\[([^\]]*)\]").match(tex, position)
        arguments.append(optional[1] if optional else macro.default)
        position = optional.end() if optional else position
    while len(arguments) < macro.parameters:
        start = position + len(tex[position:]) - len(tex[position:].lstrip())
        end = _group_end(tex, start)
        if end is not None:
            arguments.append(tex[start + 1 : end - 1])
        else:
            # Without braces the argument is the next command or character.
            token = re.compile(r"\\(?:[A-Za-z]+|.)|.", re.DOTALL).match(tex, start)
            arguments.append(token[0] if token else "")
            end = token.end() if token else start
        position = end
    return arguments, position


def _filled(body: str, arguments: list[str]) -> str:
    """The macro's body with `#1`, `#2`, ... replaced."""
    result = ""
    for piece in re.split(r"(#\d)", body):
        number = int(piece[1]) if re.fullmatch(r"#\d", piece) else 0
        if number:
            piece = arguments[number - 1] if number <= len(arguments) else ""
        result = _joined(result, piece)
    return result


def _joined(before: str, after: str) -> str:
    r"""Two pieces of TeX one after the other: a letter after a command's name must not become part of it."""
    gap = " " if re.search(r"\\[A-Za-z]+$", before) and after[:1].isalpha() else ""
    return before + gap + after
