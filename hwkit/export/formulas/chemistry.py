r"""mhchem: `\ce{2 H2O}` for reactions and `\pu{9.8 m/s2}` for quantities, as TeX that the parser reads on."""

from __future__ import annotations

import re

from hwkit.export.formulas.parser import Parser, command
from hwkit.export.formulas.typst import Atom

# A script without braces, and what stands in braces or brackets.
_BARE = r"\$[^$]*\$|-?\d+(?:[+-](?![A-Za-z0-9(\[]))?|[A-Za-z][+-]?(?![a-z])|[+-]|\.+|[*']|\\[A-Za-z]+"
_BRACED = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_BRACKETS = r"\[((?:[^\[\]{}]|\{[^{}]*\}|\$[^$]*\$|\[[^\]]*\])*)\]"
_ARROWS = {
    **{"->": "xrightarrow", "→": "xrightarrow", "<-": "xleftarrow", "<->": "xleftrightarrow", "<-->": "xtofrom"},
    **{"<=>": "xrightleftharpoons", "⇌": "xrightleftharpoons"},
}
# Arrows with nothing over or under them, and those of two harpoons of which one is longer.
_PLAIN = {"->": "longrightarrow", "→": "longrightarrow", "<-": "longleftarrow", "<->": "longleftrightarrow"}
_UNEQUAL = {"<=>>": ("xrightharpoonup", "leftharpoondown"), "<<=>": ("rightharpoonup", "xleftharpoondown")}
_BONDS = {
    **{"-": "-", "1": "-", "=": "=", "2": "=", "#": r"\equiv", "3": r"\equiv", "...": r"{\cdot}{\cdot}{\cdot}"},
    **{"....": r"{\cdot}{\cdot}{\cdot}{\cdot}", "->": r"\rightarrow", "<-": r"\leftarrow", "~": r"\tripledash"},
    **{"~-": r"\mathrel{\underset{-}{\tripledash}}", "~--": r"\mathrel{\underset{=}{\tripledash}}"},
    **{"~=": r"\mathrel{\underset{=}{\tripledash}}", "-~-": r"\mathrel{\overset{-}{\underset{-}{\tripledash}}}"},
}
# What may come next within a reaction, the first that fits: named by how it is written down.
_NEXT = re.compile(
    rf"""
    (?P<arrow><=>>|<<=>|<=>|<-->|<->|->|<-|→|⇌)(?:{_BRACKETS})?(?:{_BRACKETS})?\s*
    |(?P<gas>\s+\(?(?:\^|v)\)?(?=\s|$))
    |(?P<state>\s*\((?:aq|s|l|g|ad|am|cr|lc|vit|(?:\\ca\s*)?\$[^$]*\$)(?:,[^()]*)?\))
    |(?P<space>\s+)
    |(?P<formula>\$(?:[^$\\]|\\.)*\$|\\\((?:[^\\]|\\[^)])*\\\))
    |(?P<bond>\\bond){_BRACED}
    |(?P<about>\\ca(?![A-Za-z])\s*)
    |(?P<two>\\(?:frac|overset|underset|textcolor|color|stackrel))\s*{_BRACED}\s*{_BRACED}
    |(?P<one>\\(?:text|mathrm|mathbf|boldsymbol|bf|underbrace|overbrace|cancel))\s*{_BRACED}
    |(?P<command>\\(?:[A-Za-z]+|[{{}}%&$\#,;:!\s])\s*(?:\{{\}})?)
    |(?P<scripts>(?:[_^](?:{_BRACED}|{_BARE}))+)
    |(?P<text>{_BRACED})
    |(?P<letters>[A-Za-z]+)
    |(?P<amount>(?:\(\d+/\d+\)|(?:\d+|[a-z])/\d+|\d*[.,]?\d+))
    |(?P<sign>[+\-=#])
    |(?P<dot>[*.·](?=\s*[\dA-Za-z(\[]))
    |(?P<stop>[,;]\s*)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SCRIPT = re.compile(rf"([_^])(?:{_BRACED}|({_BARE}))")
_SCRIPTS_BEFORE = re.compile(rf"(?:[_^]{_BRACED})+$")


@command("ce")
def _reaction(parser: Parser, name: str) -> list[Atom]:
    parser.expand(f"{{{reaction(parser.raw())}}}")
    return []


@command("pu")
def _quantity(parser: Parser, name: str) -> list[Atom]:
    parser.expand(f"{{{quantity(parser.raw())}}}")
    return []


def reaction(source: str) -> str:
    r"""The TeX of what `\ce` holds: `2 H2O` is `2\,\mathrm{H}_{2}\mathrm{O}`."""
    source = source.strip()
    result = ""
    at = 0
    fresh = True  # at the beginning of a substance, where numbers are amounts and scripts belong to what follows
    while at < len(source):
        match = _NEXT.match(source, at)
        assert match is not None
        start, at = at, match.end()
        written = match[0]
        kind = next(name for name, value in match.groupdict().items() if value is not None)
        groups = [group for group in match.groups()[match.re.groupindex[kind] :] if group is not None]
        rest = source[at:]
        if kind == "arrow":
            labels = [reaction(label) for label in groups[:2]] + ["", ""]
            result += rf"{{}}\mathrel{{{_arrow(match['arrow'], labels[0], labels[1])}}}{{}}"
            fresh = True
        elif kind == "gas":
            result += r"\uparrow{}" if "^" in written else r"\downarrow{}"
            result += "~" if rest.strip() and rest[:1].isspace() and not _is_operator(rest.lstrip()) else ""
        elif kind == "state":
            inside = written.strip()[1:-1].replace("\\ca", "{\\sim}")
            parts = re.findall(r"\$[^$]*\$|\{[^{}]*\}|[^${}]+", inside)
            words = "".join(part if part[0] in "${" else rf"\mathrm{{{part}}}" for part in parts)
            result += rf"\mskip2mu({_without_dollars(words)})"
        elif kind == "space":
            operator = _is_operator(rest)
            if not fresh and rest and not operator:
                result += "~"
            if operator and rest:
                sign = re.match(r"\\pm|.", rest)
                result += rf"{{}}{sign[0] if sign else ''}{{}}"
                at += sign.end() if sign else 0
                at += len(source[at:]) - len(source[at:].lstrip())
            fresh = True
        elif kind == "formula":
            result += _without_dollars(written)
            fresh = fresh and rest[:1].isspace()
            if fresh:
                result, at = result + r"\,", at + len(rest) - len(rest.lstrip())
        elif kind == "bond":
            result += f"{{{_BONDS.get(groups[0].strip(), '-')}}}"
        elif kind == "about":
            result += r"{\sim}"
        elif kind == "two":
            first = groups[0] if "color" in written[:11] else reaction(groups[0])
            result += rf"{match['two']}{{{first}}}{{{reaction(groups[1])}}}"
            fresh = False
        elif kind == "one":
            result += rf"{match['one']}{{{groups[0] if 'text' in written[:6] else reaction(groups[0])}}}"
            fresh = False
        elif kind == "command":
            groups, at = _groups(source, at)
            result += written + groups if groups or written[1] in "{},;:! %&$#" else rf"\mathrm{{{written.strip()}}}"
            fresh = False
        elif kind == "scripts":
            before_element = re.match(r"[A-Z]", rest) and re.fullmatch(r"\^\d+(_-?\d+)?", written)
            result += "{}" if fresh or before_element else ""
            for script in _SCRIPT.findall(written):
                result = _attached(result, _script(*script))
            fresh = False
        elif kind == "text":
            result += rf"{{\text{{{groups[0]}}}}}" if groups[0] else "{}"
            fresh = False
        elif kind == "letters":
            result, at = _letters(result, written, source, start, fresh)
            fresh = False
        elif kind == "amount":
            if fresh or (source[start - 1 : start] in "([{" and result.endswith(r"\,")):
                number = written.replace(",", "{,}")
                result += re.sub(r"^(\w+)/(\d+)$", r"\\tfrac{\1}{\2}", number)
                if re.match(r"\s*[^\s)\]+\-=]", rest):
                    result += r"\,"
                at += len(rest) - len(rest.lstrip())
            else:
                digits = re.match(r"\d*", written)[0]  # type: ignore[index]
                if not digits:  # the dot of "(SO4)2.12H2O"
                    result, at, fresh = result + r"\,{\cdot}\,", start + 1, True
                    continue
                result, at = _attached(result, f"_{{{digits}}}"), start + len(digits)
                fresh = False
        elif kind == "sign":
            sign = _sign(written, rest, fresh)
            result = _attached(result, sign) if sign[0] == "^" else result + sign
            fresh = fresh and written not in "+-"
        elif kind == "dot":
            result += r"\,{\cdot}\,"
            fresh = True
            at += len(rest) - len(rest.lstrip())
        elif kind == "stop":
            result += rf"{{{written.strip()}}}" + (r"\;" if written[1:] else r"\mkern1mu")
            fresh = True
        else:
            result += written
            fresh = fresh and written in "(["
    return result


def _arrow(arrow: str, above: str, below: str) -> str:
    """An arrow with what stands over and under it; of unequal harpoons, the long one is the upper or the lower."""
    if arrow in _UNEQUAL:
        over, under = (rf"\{name}" for name in _UNEQUAL[arrow])
        upper = rf"{over}{{{above or chr(92) + 'quad'}}}" if over[1] == "x" else rf"\overset{{{above}}}{{{over}}}"
        lower = rf"{under}[{below}]{{\quad}}" if under[1] == "x" else rf"\underset{{{below}}}{{{under}}}"
        return rf"\substack{{{upper} \\ {lower}}}"
    return (
        rf"\{_ARROWS[arrow]}[{below}]{{{above}}}" if above or below else rf"\{_PLAIN.get(arrow, _ARROWS[arrow] + '{}')}"
    )


def _groups(source: str, at: int) -> tuple[str, int]:
    """The arguments in braces that stand at a place of the source, and where they end."""
    start = at
    while at < len(source) and source[at] == "{":
        depth, end = 0, at
        for end in range(at, len(source)):
            depth += (source[end] == "{") - (source[end] == "}")
            if not depth:
                break
        if depth:
            break
        at = end + 1
    return source[start:at], at


def _attached(result: str, script: str) -> str:
    """What is written so far with a script, of which it may bear one of the kind already."""
    bears = _SCRIPTS_BEFORE.search(result)
    return result + ("{}" if bears and script[0] in re.findall(r"(?:^|\})([_^])", bears[0]) else "") + script


def _is_operator(rest: str) -> bool:
    return re.match(r"(?:[+\-=]|\\pm)(?:\s|$)", rest) is not None


def _letters(result: str, written: str, source: str, start: int, fresh: bool) -> tuple[str, int]:
    """Letters of a substance, after an amount such as the n of `nH2O` or `n H2O`."""
    amount = re.compile(r"([a-z])(/\d+)?(\s*)(?=[A-Z(\[])").match(source, start) if fresh else None
    if amount and not re.match(r"[a-z]Pr|[a-z]Bu", written):
        number = rf"\tfrac{{{amount[1]}}}{{{amount[2][1:]}}}" if amount[2] else amount[1]
        return rf"{result}{number}\,", amount.end()
    if fresh and re.fullmatch("[a-z]", written) and source[start + 1 : start + 2] == "-":
        return rf"{result}{written}", start + 1
    return rf"{result}\mathrm{{{written}}}", start + len(written)


def _sign(sign: str, rest: str, fresh: bool) -> str:
    """A plus or minus is a charge where a substance ends, a bond or an operator elsewhere."""
    if sign == "#":
        return r"{\equiv}"
    if sign == "=":
        return "{=}"
    if not fresh and re.match(r"$|[\s)\]},;^_]", rest):
        return f"^{{{sign}}}"
    return "{-}" if sign == "-" else "{}+{}" if not fresh else "+"


def _script(mark: str, braced: str, bare: str) -> str:
    inside = braced or bare
    if inside.startswith("$"):
        return f"{mark}{{{_without_dollars(inside)}}}"
    if inside.startswith("{"):
        return rf"{mark}{{\text{{{inside.strip('{}')}}}}}"
    if mark == "^" and inside == "x":
        return r"^{\times}"
    pieces = re.findall(r"\$[^$]*\$|\\[A-Za-z]+|[A-Za-z]+|.", inside)
    words = "".join(_script_piece(mark, piece, inside) for piece in pieces)
    return f"{mark}{{{words}}}"


def _script_piece(mark: str, piece: str, whole: str) -> str:
    if piece.startswith("$"):
        return _without_dollars(piece)
    if piece.isalpha():
        # A letter on its own is a number, as in NO_x; everything else is a name.
        italic = len(piece) == 1 and piece.islower() and (len(whole) <= 2 or whole[-1] in "+-" or "," in whole)
        return piece if italic else rf"\mathrm{{{piece}}}"
    if piece == "." and mark == "^":
        return r"\bullet "
    return {"'": r"\prime ", ",": "{,}"}.get(piece, piece)


def _without_dollars(tex: str) -> str:
    return re.sub(r"\$((?:[^$\\]|\\.)*)\$|\\\(|\\\)", r"\1", tex)


_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:\(\d+\))?)?(?:\s*(?P<pm>\\pm|\+-|±)\s*(?P<error>[\d.,]+))?"
    r"(?:(?P<e>[eE]|\s*(?:\\cdot|\\times|\*|x)\s*10\^)\{?(?P<power>[+-]?\d+)\}?)?(?P<unit>.*)",
    re.DOTALL,
)
_UNIT = re.compile(
    r"(?P<power>\^?\{?[+-]?\d+\}?)|(?P<dot>[*.])|(?P<space>\s+)|(?P<degree>°)|(?P<letters>[^\W\d]+|[%‰])"
    r"|(?P<other>\\[A-Za-z]+|.)"
)
_BETWEEN_UNITS = {"dot": r"\mkern1mu{\cdot}\mkern1mu", "space": r"\mkern3mu", "degree": r"{}^{\circ}"}


def quantity(source: str) -> str:
    r"""The TeX of what `\pu` holds: `9.8 m/s2` is `9.8~\mathrm{m}/\mathrm{s}^{2}`."""
    match = _QUANTITY.fullmatch(source)
    assert match is not None
    result = _grouped(match["number"] or "")
    if match["pm"]:
        result += rf"{{}}\pm{{}}{_grouped(match['error'])}"
    if match["power"]:
        sign = r"\times" if match["e"] == "E" or "x" in match["e"] or "times" in match["e"] else r"\cdot"
        result += rf"{sign} 10^{{{match['power']}}}" if result else rf"10^{{{match['power']}}}"
    unit = match["unit"]
    if unit.strip():
        above, over, below = unit.partition("//")
        units = rf"\tfrac{{{_units(above)}}}{{{quantity(below)}}}" if over else _units(unit)
        result += ("~" if result else "") + units
    return result


def _units(source: str) -> str:
    result = ""
    for match in _UNIT.finditer(source.strip()):
        kind, piece = str(match.lastgroup), match[0]
        if kind == "letters":
            result += rf"\mathrm{{{piece.replace('%', chr(92) + '%')}}}"
        elif kind == "power":
            result += f"^{{{piece.strip('^{}')}}}"
        else:
            result += _BETWEEN_UNITS.get(kind, piece)
    return result


def _grouped(number: str) -> str:
    """A number of five digits or more with thin spaces between groups of three."""
    match = re.fullmatch(r"([+-]?)(\d*)([.,]?)(\d*)(.*)", number)
    assert match is not None
    sign, whole, point, decimals, rest = match.groups()
    if len(whole) > 4:
        whole = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", r"\\mkern2mu ", whole)
    if len(decimals) > 4:
        decimals = re.sub(r"(\d{3})(?=\d)", r"\1\\mkern2mu ", decimals)
    return f"{sign}{whole}{'{,}' if point == ',' else point}{decimals}{rest}"
