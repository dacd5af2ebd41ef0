"""The commands of base TeX, AMS, mathtools and MathJax's small extensions, each read by a function."""

from __future__ import annotations

import re
import unicodedata

from PIL import ImageColor

from hwkit.export.formulas import symbols
from hwkit.export.formulas.parser import (
    COMMANDS,
    DISPLAY,
    SCRIPT,
    SCRIPTSCRIPT,
    TEXT,
    Parser,
    command,
    fraction,
)
from hwkit.export.formulas.reader import FormulaError, Reader, dimension, joined_tex
from hwkit.export.formulas.typst import (
    EMPTY,
    Atom,
    classed,
    fence,
    function,
    glued,
    literal,
    scripted,
    string,
    symbol,
    text_in,
)

_CLASSES = {
    **{"mathord": "ord", "mathbin": "bin", "mathrel": "rel", "mathopen": "open", "mathclose": "close"},
    **{"mathpunct": "punct", "mathinner": "inner"},
}
_LENGTH = re.compile(r"\s*[-+]?\s*[\d.]+\s*[a-z]{2}\s*")
_OPERATOR = re.compile(r"(?:[A-Za-z0-9*-]|\s|\\[,:;> ]|~)*")
_LINK = re.compile(r"(?:https?|mailto|ftp):", re.IGNORECASE)


@command(" ".join([*symbols.FUNCTIONS, *symbols.LIMIT_FUNCTIONS]))
def _function(parser: Parser, name: str) -> Atom:
    return function(name)


def _delimiters() -> None:
    """`\\langle` and its like stand in formulas, too, opening or closing by their looks or names."""
    for token, char in symbols.DELIMITERS.items():
        name = token[1:]
        if token[0] != "\\" or name in ("lt", "gt", "\\", "backslash"):
            continue
        kind = "rel" if "arrow" in name else "ord"
        if char in symbols.OPENING or name in ("lvert", "lVert"):
            kind = "open"
        elif char in symbols.CLOSING or name in ("rvert", "rVert"):
            kind = "close"
        typst = fence(char, kind) if kind in ("open", "close") else symbol(char, kind).typst
        COMMANDS[name] = lambda parser, name, atom=(typst, kind): Atom(*atom)


_delimiters()


# --- spaces, sizes, styles, fonts ------------------------------------------------------------------------------


@command(" ".join(name for name in symbols.SPACES if not name.isspace()))
def _space(parser: Parser, name: str) -> Atom:
    return Atom("", "space", em=symbols.SPACES[name])


@command("# $ % & _")
def _escaped(parser: Parser, name: str) -> Atom:
    return Atom(literal(name))


COMMANDS[""] = COMMANDS[" "] = COMMANDS["\n"] = COMMANDS["\t"] = COMMANDS["\u00a0"] = lambda parser, name: Atom(
    "", "space", em=1 / 3
)


@command("hskip hspace kern mskip mspace mkern")
def _kern(parser: Parser, name: str) -> Atom:
    parser.star()
    length = parser.dimension()
    return Atom("", "space", em=float(length[:-2])) if length.endswith("em") else Atom(f"#h({length})", "space")


@command("hfill hfil hfilll")
def _fill(parser: Parser, name: str) -> Atom:
    return Atom("", "space", em=1.0)


@command("displaystyle textstyle scriptstyle scriptscriptstyle")
def _style(parser: Parser, name: str) -> list[Atom]:
    style = ("displaystyle", "textstyle", "scriptstyle", "scriptscriptstyle").index(name)
    same = style == parser.style
    parser.style = style
    atoms = parser.row(rest=True)
    return atoms if same else _wrapped(parser, symbols.STYLES[style], atoms)


@command(" ".join(symbols.SIZES))
def _size(parser: Parser, name: str) -> list[Atom]:
    return _wrapped(parser, f"texsize(#{symbols.SIZES[name]}em, ", parser.row(rest=True))


def _wrapped(parser: Parser, function_call: str, atoms: list[Atom]) -> list[Atom]:
    """The rest of a group in a function; its class is that of what it begins with."""
    start = function_call if "(" in function_call else f"{function_call}("
    return [Atom(f"{start}{parser.typst(atoms)})", atoms[0].kind, composed=True)] if atoms else []


@command(
    " ".join(symbols.FONTS.keys() - symbols.SWITCHES - {n for n in symbols.FONTS if n.startswith(("text", "emph"))})
)
def _font(parser: Parser, name: str) -> Atom:
    before, parser.font = parser.font, symbols.FONTS[name]
    atom = parser.argument()
    parser.font = before
    return Atom(atom.typst, composed=atom.composed and not atom.typst.startswith('"'))


@command(" ".join(symbols.SWITCHES))
def _font_switch(parser: Parser, name: str) -> list[Atom]:
    parser.font = symbols.FONTS[name]
    return []


@command("boldsymbol bm pmb")
def _bold(parser: Parser, name: str) -> Atom:
    atom = parser.argument()
    return Atom(f"bold({atom.typst})", atom.kind, limits=atom.limits)


# --- fractions, roots, delimiters --------------------------------------------------------------------------------


# The style of each, if not that around it, and whether it has a line.
_FRACTIONS = {
    **{"frac": (None, True), "tfrac": (TEXT, True), "dfrac": (DISPLAY, True)},
    **{"binom": (None, False), "tbinom": (TEXT, False), "dbinom": (DISPLAY, False)},
}


@command(" ".join(_FRACTIONS))
def _fraction(parser: Parser, name: str) -> Atom:
    style, line = _FRACTIONS[name]
    return _styled_fraction(parser, style, line, ("", "") if line else ("(", ")"))


@command("genfrac")
def _general_fraction(parser: Parser, name: str) -> Atom:
    left, right = (parser.delimiter() if _has_delimiter(parser) else "" for _ in range(2))
    line = not re.fullmatch(r"\s*0\s*(?:[a-z]{2})?\s*", parser.raw())
    style = parser.raw().strip()
    return _styled_fraction(parser, int(style) if style in ("0", "1", "2", "3") else None, line, (left, right))


def _styled_fraction(parser: Parser, style: int | None, line: bool, delimiters: tuple[str, str]) -> Atom:
    around = parser.style if style is None else style
    above, below = (parser.argument(min(around + 1, SCRIPTSCRIPT)).typst for _ in range(2))
    atom = fraction(above, below, line, delimiters)
    if around != parser.style:
        atom.typst = f"{symbols.STYLES[around]}({atom.typst})"
    return atom


def _has_delimiter(parser: Parser) -> bool:
    """Whether the next argument holds a delimiter; an empty one is gone over."""
    start = parser.at
    if parser.skip("{") and parser.skip("}"):
        return False
    parser.at = start
    return True


@command("cfrac")
def _continued_fraction(parser: Parser, name: str) -> Atom:
    side = (parser.brackets() or "").strip()
    above, below = (f"display({parser.argument(DISPLAY).typst})" for _ in range(2))
    if side in ("l", "r"):
        above = f"#texaside({'left' if side == 'l' else 'right'}, ${above}$, ${below}$)"
    return Atom(f"display(frac({above}, {below}))")


@command("splitfrac splitdfrac")
def _split_fraction(parser: Parser, name: str) -> Atom:
    above, below = (parser.argument().typst for _ in range(2))
    style = "display" if name == "splitdfrac" else "inline"
    return Atom(f"mat(delim: #none, row-gap: #0.2em, {style}({above})&; &{style}({below}))")


@command("sqrt")
def _root(parser: Parser, name: str) -> Atom:
    index = parser.brackets()
    degree = parser.sub(index, SCRIPTSCRIPT).typst if index and index.strip() else ""
    inside = parser.argument().typst
    return Atom(f"root({degree}, {inside})" if degree else f"sqrt({inside})")


@command("root")
def _plain_root(parser: Parser, name: str) -> Atom:
    degree = parser.sub(parser.up_to("\\of"), SCRIPTSCRIPT).typst
    return Atom(f"root({degree}, {parser.argument().typst})")


@command("uproot leftroot")
def _moved_root(parser: Parser, name: str) -> None:
    parser.raw()


@command("left")
def _left_right(parser: Parser, name: str) -> Atom:
    opening = fence(parser.delimiter(), "open")
    font, style = parser.font, parser.style
    inside = parser.typst(parser.closed_by("\\right"))
    parser.font, parser.style = font, style
    closing = fence(parser.delimiter(), "close")
    return Atom(f"lr({glued([opening, inside, closing])})")


@command("middle")
def _middle(parser: Parser, name: str) -> Atom:
    char = parser.delimiter()
    return Atom(classed("ord", f"mid({literal(char)})") if char else EMPTY)


@command(" ".join(f"{size}{side}" for size in symbols.BIG for side in ("", "l", "m", "r")))
def _big(parser: Parser, name: str) -> Atom:
    size = symbols.BIG[name] if name in symbols.BIG else symbols.BIG[name[:-1]]
    kind = {"l": "open", "m": "rel", "r": "close"}.get(name[-1], "ord")
    char = parser.delimiter()
    if not char:
        return Atom(EMPTY)
    side = "close" if kind == "close" or char in symbols.CLOSING else "open"
    typst = f"lr(size: #{size}em, {fence(char, side)})"
    return Atom(typst if side == kind else classed(kind, typst), kind)


@command("DelimitedPair")
def _declared_pair(parser: Parser, name: str) -> Atom | list[Atom]:
    r"""What `\DeclarePairedDelimiter` defines: `\abs{x}`, `\abs*{x}` with high bars, `\abs[\Big]{x}`."""
    left, right, before, body, after, count = (parser.raw() for _ in range(6))
    high = parser.star()
    size = (parser.brackets() or "").strip()
    arguments = [parser.raw() for _ in range(int(count))]
    marks = (
        ("\\left", "\\right", "\\middle") if high else (f"{size}l", f"{size}r", f"{size}m") if size else ("", "", "")
    )
    body = body.replace("\\delimsize", marks[2] if marks[2] else "")
    parser.expand(f"{before}{{}}{marks[0]}{left}{body}{marks[1]}{right}{after}", arguments)
    return []


# --- accents, braces, arrows, what stands over and under -----------------------------------------------------------


@command(" ".join(symbols.ACCENTS))
def _accent(parser: Parser, name: str) -> Atom:
    inside = parser.argument().typst
    mark = symbols.ACCENTS[name]
    if name.startswith("wide") or len(inside) == 1:
        return Atom(f"{mark}({inside})")
    return Atom(f"accent({inside}, {mark}, size: #0%)")


@command(" ".join(symbols.BRACES))
def _brace(parser: Parser, name: str) -> Atom:
    if name.endswith("bracket"):
        parser.skip_brackets(2)
    return Atom(f"{name}({parser.argument().typst})", limits="" if name.endswith("line") else "always")


@command(" ".join(symbols.ARROWS_OVER))
def _arrow_over(parser: Parser, name: str) -> Atom:
    return Atom(f"accent({parser.argument().typst}, {string(symbols.ARROWS_OVER[name])})")


@command(" ".join(symbols.LONG_ARROWS))
def _long_arrow(parser: Parser, name: str) -> Atom:
    return _stretched(parser, symbols.LONG_ARROWS[name])


@command("LongArrow")
def _declared_arrow(parser: Parser, name: str) -> Atom:
    r"""What `\Newextarrow` defines."""
    return _stretched(parser, parser.raw())


def _stretched(parser: Parser, arrow: str) -> Atom:
    """An arrow somewhat longer than what stands over and under it."""
    under = parser.brackets()
    below = parser.sub(under, SCRIPT).typst if under and under.strip() else EMPTY
    above = parser.argument(SCRIPT).typst
    over, under = (glued(["thick", label, "thick"]) if label != EMPTY else None for label in (above, below))
    size = "" if over or under else ", size: #1.8em"
    return scripted(Atom(f"stretch({literal(arrow)}{size})", "rel", limits="always"), under, over, 0, None)


@command("overset underset overunderset")
def _over_and_under(parser: Parser, name: str) -> Atom:
    above = parser.argument(SCRIPT).typst if "over" in name else None
    below = parser.argument(SCRIPT).typst if "under" in name else None
    return scripted(parser.argument(), below, above, 0, True)


@command("buildrel")
def _built_relation(parser: Parser, name: str) -> Atom:
    above = parser.sub(parser.up_to("\\over"), SCRIPT).typst
    return Atom(classed("rel", scripted(parser.argument(), None, above, 0, True).typst), "rel")


@command(" ".join(_CLASSES))
def _class(parser: Parser, name: str) -> Atom:
    return Atom(classed(_CLASSES[name], parser.argument().typst), _CLASSES[name])


@command("mathop")
def _operator(parser: Parser, name: str) -> Atom:
    return Atom(f"op({parser.argument().typst}, limits: #true)", "op", limits="auto")


@command("operatorname")
def _named_operator(parser: Parser, name: str) -> Atom:
    limits = parser.star()
    tex = parser.raw()
    if _OPERATOR.fullmatch(tex):
        words = re.sub(r"\\[,:;> ]|~", "\u2009", re.sub(r"\s", "", tex))
        typst = string(words)
    else:
        font, parser.font = parser.font, "upright"
        typst = parser.sub(tex).typst
        parser.font = font
    return Atom(f"op({typst}{', limits: #true' if limits else ''})", "op", limits="auto" if limits else "")


@command("sideset")
def _side_set(parser: Parser, name: str) -> Atom:
    """Scripts at the four corners of an operator, whose own limits come after."""
    (before, left), (after, right) = _corner_scripts(parser), _corner_scripts(parser)
    base = parser.argument()
    pieces = [
        f"{key}: {typst}" for key, typst in zip(("bl", "tl", "br", "tr"), (*before, *after), strict=True) if typst
    ]
    core = f"attach(scripts({base.typst}), {', '.join(pieces)})" if pieces else base.typst
    return Atom(f"op({glued([left, core, right])}, limits: #true)", "op", limits="auto")


def _corner_scripts(parser: Parser) -> tuple[tuple[str, str], str]:
    """The scripts (below, above) that an argument of `\\sideset` begins with, and what else it holds."""
    inner = Parser(parser.raw(), style=SCRIPT, parent=parser)
    below = above = ""
    while (token := inner.peek()) and token in "_^'":
        inner.take()
        typst = "′" if token == "'" else inner.argument(SCRIPT).typst
        above, below = (above, typst) if token == "_" else (above + typst, below)
    return (below, above), inner.typst(inner.closed_by(""))


@command("prescript")
def _before(parser: Parser, name: str) -> Atom:
    above, below = (parser.argument(SCRIPT).typst for _ in range(2))
    base = parser.argument().typst
    pieces = [f"{key}: {typst}" for key, typst in (("tl", above), ("bl", below)) if typst != EMPTY]
    return Atom(f"attach({base}, {', '.join(pieces)})" if pieces else base)


@command("adjustlimits")
def _aligned_limits(parser: Parser, name: str) -> list[Atom]:
    return [_limited(parser), _limited(parser)]


def _limited(parser: Parser) -> Atom:
    base = parser.argument()
    if not parser.skip("_"):
        raise FormulaError("\\adjustlimits needs two operators with subscripts")
    return scripted(base, parser.argument(SCRIPT).typst, None, 0, None)


@command("not")
def _not(parser: Parser, name: str) -> Atom | list[Atom]:
    before = parser.at
    token = parser.take()
    if token in ("", "}", "&", "^", "_"):
        parser.at = before
        return Atom("⧸", "rel")
    atom = parser.atom(token) if token != "{" else parser.group()
    if not isinstance(atom, Atom):
        return [Atom("⧸", "rel"), *(atom or [])]
    bare = atom.typst.removeprefix("\\")
    if len(bare) == 1:
        negated = symbols.NEGATED.get(bare) or unicodedata.normalize("NFC", bare + "\u0338")
        return Atom(negated, atom.kind)
    return Atom(classed(atom.kind, f"cancel({atom.typst})"), atom.kind)


@command("dots")
def _dots(parser: Parser, name: str) -> Atom:
    token = parser.peek()
    kind = symbols.SYMBOLS.get(token[1:], ("", ""))[1] if token[:1] == "\\" else symbols.CLASSES.get(_minus(token), "")
    return Atom("⋯" if kind in ("bin", "rel") else "…", "inner")


def _minus(token: str) -> str:
    return {"-": "−", "*": "∗"}.get(token, token)


# --- text and boxes ------------------------------------------------------------------------------------------------


@command("text textrm textup textnormal textbf textit textsf texttt emph textsl mbox hbox")
def _text(parser: Parser, name: str) -> Atom:
    return text(parser, parser.raw(), symbols.FONTS.get(name, "upright"))


@command("fbox framebox")
def _framed(parser: Parser, name: str) -> Atom:
    if name == "framebox":
        parser.skip_brackets(2)
    return _box(text(parser, parser.raw(), "upright").typst, "stroke: 0.5pt")


def _box(typst: str, look: str) -> Atom:
    return Atom(f"#texbox({look})[${typst}$]")


@command("colorbox")
def _coloured_box(parser: Parser, name: str) -> Atom:
    ground = _colour(parser, None)
    return _box(text(parser, parser.raw(), "upright").typst, f"fill: {ground}")


@command("fcolorbox")
def _framed_coloured_box(parser: Parser, name: str) -> Atom:
    edge, ground = _colour(parser, None), _colour(parser, None)
    return _box(text(parser, parser.raw(), "upright").typst, f"stroke: 1pt + {edge}, fill: {ground}")


@command("bbox")
def _padded_box(parser: Parser, name: str) -> Atom:
    """`\\bbox[red, 5px, border: 1px solid blue]{x}`: each part if it is there."""
    looks = []
    for part in map(str.strip, (parser.brackets() or "").split(",")):
        if _LENGTH.fullmatch(part):
            looks.append(f"pad: {dimension(part)}")
        elif border := re.match(r"border\s*:\s*([\d.]+\s*[a-z]{2})?(?:\s*(?:solid|dashed|dotted))?\s*(.*)", part):
            width = dimension(border[1]) if border[1] else "1pt"
            looks.append(f"stroke: {width} + {_named_colour(parser, '', border[2] or 'black')}")
        elif part and ":" not in part:
            looks.append(f"fill: {_named_colour(parser, '', part)}")
    return _box(parser.argument().typst, ", ".join(looks))


@command("cancel bcancel xcancel")
def _cancelled(parser: Parser, name: str) -> Atom:
    parser.brackets()
    how = {"cancel": "", "bcancel": ", inverted: #true", "xcancel": ", cross: #true"}[name]
    return Atom(f"cancel({parser.argument().typst}{how})")


@command("cancelto")
def _cancelled_to(parser: Parser, name: str) -> Atom:
    parser.brackets()
    value = parser.argument(SCRIPT).typst
    return Atom(f"#texcancelto(${parser.argument().typst}$)^({value})", composed=True)


_SIDES = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
_ENCLOSED = {
    **{"box": "stroke: 0.5pt", "roundedbox": "stroke: 0.5pt, radius: 0.3em", "circle": "stroke: 0.5pt, radius: 50%"},
    **{"longdiv": "stroke: (left: 0.5pt, top: 0.5pt)", "actuarial": "stroke: (right: 0.5pt, top: 0.5pt)"},
    **{"madruwb": "stroke: (right: 0.5pt, bottom: 0.5pt)", "phasorangle": "stroke: (left: 0.5pt, bottom: 0.5pt)"},
}
_STRIKES = {
    **{"updiagonalstrike": "", "downdiagonalstrike": ", inverted: #true", "horizontalstrike": ", angle: #90deg"},
    **{"verticalstrike": ", angle: #0deg", "updiagonalarrow": "", "northeastarrow": ""},
}


@command("enclose")
def _enclosed(parser: Parser, name: str) -> Atom:
    notations = re.split(r"[\s,]+", parser.raw().strip())
    parser.brackets()
    typst = parser.argument().typst
    sides = ", ".join(f"{side}: 0.5pt" for side in _SIDES if side in notations)
    for notation in notations:
        if notation in _STRIKES:
            typst = f"cancel({typst}{_STRIKES[notation]})"
        elif notation == "radical":
            typst = f"sqrt({typst})"
        elif notation in _ENCLOSED:
            typst = _box(typst, _ENCLOSED[notation]).typst
    return _box(typst, f"stroke: ({sides})") if sides else Atom(typst, composed=True)


@command("phantom hphantom vphantom")
def _phantom(parser: Parser, name: str) -> Atom:
    typst = parser.argument().typst
    if name == "phantom":
        return Atom(classed("ord", f"texphantom({typst})"))
    return Atom(f"#tex{name.replace('phantom', 'space')}(${typst}$)")


@command("smash")
def _smashed(parser: Parser, name: str) -> Atom:
    """Its height counts here, which moves the lines around it apart."""
    parser.brackets()
    return parser.argument()


@command("mathllap mathrlap mathclap crampedllap crampedrlap crampedclap")
def _overlapping(parser: Parser, name: str) -> Atom:
    parser.brackets()
    return _lapped(parser.argument().typst, name[-4])


@command("llap rlap")
def _plain_lap(parser: Parser, name: str) -> Atom:
    return _lapped(parser.argument().typst, name[0])


@command("clap textllap textrlap textclap")
def _text_lap(parser: Parser, name: str) -> Atom:
    return _lapped(text(parser, parser.raw(), "upright").typst, name[-4])


def _lapped(typst: str, side: str) -> Atom:
    return Atom(f"#texlap({ {'l': 'right', 'r': 'left', 'c': 'center'}[side] }, ${typst}$)")


@command("raise lower")
def _raised(parser: Parser, name: str) -> Atom:
    length = parser.dimension()
    up = length if name == "raise" else length[1:] if length.startswith("-") else f"-{length}"
    return Atom(f"#box(baseline: -({up}))[${parser.argument().typst}$]")


@command("moveleft moveright")
def _moved(parser: Parser, name: str) -> list[Atom]:
    length = parser.dimension()
    back = length[1:] if length.startswith("-") else f"-{length}"
    first, second = (length, back) if name == "moveright" else (back, length)
    return [Atom(f"#h({first})", "space"), parser.argument(), Atom(f"#h({second})", "space")]


@command("rule Rule Space")
def _rule(parser: Parser, name: str) -> Atom:
    raised = parser.brackets() if name == "rule" else None
    width, height = parser.dimension(), parser.dimension()
    depth = parser.dimension() if name != "rule" else f"-({dimension(raised)})" if raised else "0pt"
    fill = "" if name == "Space" else ", fill: black"
    return Atom(
        f"#box(width: {width}, height: {height} + {depth if name != 'rule' else '0pt'}, baseline: {depth}{fill})"
    )


@command("strut xmathstrut")
def _strut(parser: Parser, name: str) -> Atom:
    if name == "xmathstrut":
        parser.skip_brackets(1)
        parser.raw()
    return Atom("#box(height: 1.16em, baseline: 0.3em)")


@command("mathmbox cramped vcenter mathmakebox")
def _as_it_is(parser: Parser, name: str) -> Atom:
    if name == "mathmakebox":
        parser.skip_brackets(2)
    elif name == "cramped":
        parser.brackets()
    return parser.argument()


# Commands and marks within text, among them those that begin a formula, and the words between them.
_TEXT = re.compile(r"(\$|\\\()|\\([A-Za-z]+\s*|.)|([{}~%]|``|''|[`'])|[^\\${}~%`']+|.", re.DOTALL)
_MARKS = {"``": "“", "''": "”", "`": "‘", "'": "’", "~": "\u00a0"}
_TEXT_SPACES = {",": "\u2009", "thinspace": "\u2009", ";": "\u2005", "quad": "\u2003", "qquad": "\u2003\u2003"}


def text(parser: Parser, tex: str, font: str) -> Atom:
    r"""What `\text` and its like hold: words, and formulas, fonts and symbols among them, as one atom."""
    pieces: list[str] = []
    words = ""
    fonts = [font]
    following = ""  # the font of a group that begins next
    at = 0

    def end_of_words() -> None:
        nonlocal words
        if words:
            pieces.append(text_in(fonts[-1], words))
        words = ""

    while at < len(tex):
        match = _TEXT.match(tex, at)
        assert match is not None
        at = match.end()
        name, mark = (match[2] or "").strip() or (match[2] or "")[:1], match[3] or ""
        if match[1]:
            end_of_words()
            reader = Reader(tex)
            reader.at = at
            inside = Parser(reader.up_to("$" if match[1] == "$" else "\\)"), style=TEXT, parent=parser)
            inside.font = ""
            pieces.append(inside.typst(inside.closed_by("")))
            at = reader.at
        elif mark == "{":
            end_of_words()
            fonts.append(following or fonts[-1])
            following = ""
        elif mark == "}":
            end_of_words()
            fonts = fonts[:-1] or [font]
        elif mark == "%":
            at = (tex + "\n").index("\n", at) + 1
        elif mark:
            words += _MARKS[mark]
        elif not name:
            words += re.sub(r"\s+", " ", match[0])
        elif name in symbols.FONTS:
            end_of_words()
            if name in symbols.SWITCHES:
                fonts[-1] = symbols.FONTS[name]
            else:
                following = symbols.FONTS[name]
        elif name in symbols.TEXT_ACCENTS and (letter := re.compile(r"\{(.)\}|(.)").match(tex, at)):
            at = letter.end()
            words += unicodedata.normalize("NFC", (letter[1] or letter[2]) + symbols.TEXT_ACCENTS[name])
        elif name in symbols.SIZES:
            pass
        elif shown := _in_text(name):
            words += shown
        else:
            end_of_words()
            inside = Parser(tex[match.start() :], style=TEXT, parent=parser)
            inside.font = fonts[-1]
            found = inside.atom(inside.take())
            pieces.append(inside.typst([found] if isinstance(found, Atom) else found or []))
            tex, at = inside.tex, inside.at
    end_of_words()
    return Atom(glued(pieces) or EMPTY, composed=len(pieces) > 1)


def _in_text(name: str) -> str:
    """The characters that a command stands for within text, "" if it is none of text."""
    if name in _TEXT_SPACES:
        return _TEXT_SPACES[name]
    if not name.isalpha():
        return " " if name in (" ", "\\", "\n", ":", ">", "!") else name
    return symbols.TEXT_SYMBOLS.get(name.removeprefix("text"), "") if name.startswith("text") else ""


@command(" ".join(f"text{name}" for name in symbols.TEXT_SYMBOLS))
def _text_symbol(parser: Parser, name: str) -> Atom:
    return Atom(string(symbols.TEXT_SYMBOLS[name.removeprefix("text")]))


@command("verb")
def _verbatim(parser: Parser, name: str) -> Atom:
    mark = parser.take()
    end = parser.tex.find(mark, parser.at) if mark else -1
    if end < 0:
        raise FormulaError("the end of \\verb is missing")
    inside, parser.at = parser.tex[parser.at : end], end + 1
    return Atom(f"mono({string(inside)})")


@command("unicode")
def _character(parser: Parser, name: str) -> Atom:
    parser.skip_brackets(2)
    match = re.fullmatch(r"\s*(?:0?x([0-9A-Fa-f]+)|(\d+))\s*", parser.raw())
    code = (int(match[1], 16) if match[1] else int(match[2])) if match else 0x110000
    if not 32 <= code < 0x110000 or 0xD800 <= code < 0xE000:
        raise FormulaError("\\unicode needs the number of a character")
    return Atom(string(chr(code)))


@command("mmlToken")
def _token(parser: Parser, name: str) -> Atom:
    kind, _, words = parser.raw(), parser.brackets(), parser.raw()
    return Atom(string(words) if words else EMPTY, "op" if kind == "mo" else "ord")


# --- colours ----------------------------------------------------------------------------------------------------------


def _colour(parser: Parser, model: str | None) -> str:
    return _named_colour(parser, model or "", parser.raw().strip())


def _named_colour(parser: Parser, model: str, value: str) -> str:
    """A colour in Typst; one that nobody knows is black."""
    if value in parser.colours and not model:
        return parser.colours[value]
    numbers = [float(number) for number in re.findall(r"\d*\.?\d+", value)]
    try:
        if model == "rgb":
            code = "".join(f"{min(255, round(255 * number)):02x}" for number in numbers[:3])
        elif model == "RGB":
            code = "".join(f"{min(255, round(number)):02x}" for number in numbers[:3])
        elif model == "gray":
            code = f"{min(255, round(255 * numbers[0])):02x}" * 3
        elif model == "HTML":
            code = value
        else:
            code = symbols.COLOURS.get(value) or "".join(f"{part:02x}" for part in ImageColor.getrgb(value)[:3])
    except (ValueError, IndexError):
        return "black"
    return f'rgb("#{code}")' if re.fullmatch("[0-9A-Fa-f]{6}", code) else "black"


@command("color")
def _colour_switch(parser: Parser, name: str) -> list[Atom]:
    colour = _colour(parser, parser.brackets())
    return _wrapped(parser, f"texcolour(#{colour}, ", parser.row(rest=True))


@command("textcolor")
def _coloured(parser: Parser, name: str) -> Atom:
    colour = _colour(parser, parser.brackets())
    inside = parser.argument()
    return Atom(f"texcolour(#{colour}, {inside.typst})", inside.kind)


@command("definecolor")
def _define_colour(parser: Parser, name: str) -> None:
    new, model, value = parser.raw(), parser.raw(), parser.raw()
    parser.colours[new] = _named_colour(parser, model, value)


# --- what a page does with formulas, and what has no use on paper --------------------------------------------------


@command("href")
def _link(parser: Parser, name: str) -> Atom:
    address, inside = parser.raw().strip(), parser.argument()
    return Atom(f"#link({string(address)})[${inside.typst}$]") if _LINK.match(address) else inside


@command("class cssId style texttip mathtip toggle")
def _shown(parser: Parser, name: str) -> Atom | list[Atom]:
    """Commands that show one of their arguments: the last, or the first where others wait for a mouse."""
    if name == "toggle":
        first = parser.argument()
        parser.up_to("\\endtoggle")
        return first
    if name.endswith("tip"):
        first = parser.argument()
        parser.raw()
        return first
    parser.raw()
    return parser.argument()


@command("ref eqref refeq")
def _reference(parser: Parser, name: str) -> Atom:
    """A reference that leads nowhere; the others were replaced before."""
    label = parser.raw()
    return Atom(string(label if name == "ref" else f"({label})"))


@command("label require newtagform renewtagform usetagform mathtoolsset")
def _unused(parser: Parser, name: str) -> None:
    parser.star()
    parser.raw()
    if name.endswith("newtagform"):
        parser.skip_brackets(1)
        parser.raw()
        parser.raw()


@command(
    "nonumber notag nonscript displaylimits limits nolimits centering noindent protect relax MTFlushSpaceAbove "
    "MTFlushSpaceBelow allowbreak nobreak displaybreak"
)
def _nothing(parser: Parser, name: str) -> None:
    return None


@command("minCDarrowwidth minCDarrowheight")
def _arrow_size(parser: Parser, name: str) -> None:
    parser.dimension()


@command("mathchoice")
def _choice(parser: Parser, name: str) -> Atom:
    return [parser.argument() for _ in range(4)][parser.style]


# --- macros with more than plain arguments ----------------------------------------------------------------------------


@command("braket Braket set Set")
def _bra_and_ket(parser: Parser, name: str) -> list[Atom]:
    inside = parser.raw()
    if name == "braket":
        body = rf"{{\langle{{{inside}}}\rangle}}"
    elif name == "set":
        body = rf"{{\{{{_bars(inside, chr(92) + 'mid', 1)}\}}}}"
    elif name == "Braket":
        body = rf"{{\left\langle{{}}{_bars(inside, chr(92) + 'middle' + chr(92) + 'vert', 99)}\right\rangle}}"
    else:
        bar = r"\;\middle\vert\;"
        body = rf"{{\left\{{{{}}{_bars(inside, bar, 1)}\right\}}}}"
    parser.expand(body)
    return []


def _bars(tex: str, bar: str, most: int) -> str:
    """The TeX with the first bars outside of its braces replaced; two of them are a double bar."""
    reader = Reader(tex)
    result, depth, count = "", 0, 0
    while token := reader.take():
        depth += {"{": 1, "}": -1}.get(token, 0)
        if token in ("|", "\\|") and depth == 0 and count < most:
            double = token == "\\|" or reader.skip("|")
            token = bar.replace("vert", "Vert").replace("mid", "parallel") if double else bar
            count += 1
        result = joined_tex(result, token)
    return result


@command("MoveEqLeft")
def _moved_left(parser: Parser, name: str) -> list[Atom]:
    ems = parser.brackets() or "2"
    parser.expand(rf"\hspace{{{ems}em}}&\hspace{{-{ems}em}}")
    return []


@command("Aboxed")
def _boxed_pair(parser: Parser, name: str) -> list[Atom]:
    """A box around both sides of an alignment."""
    left, _, right = parser.raw().partition("&")
    parser.expand(r"\mathrlap{\boxed{#1{}#2}}\kern.267em\phantom{#1}&\phantom{{}#2}\kern.267em", [left, right])
    return []


@command("ArrowBetweenLines vdotswithin shortvdotswithin intertext shortintertext")
def _between_lines(parser: Parser, name: str) -> list[Atom]:
    star = parser.star()
    if name == "ArrowBetweenLines":
        arrow = parser.brackets() or r"\Updownarrow"
        parser.expand((rf"&&\quad {arrow}" if star else rf"{arrow}\quad ") + r"\\")
    elif name.endswith("intertext"):
        parser.expand(r"&\text{#1}\\", [parser.raw()])
    else:
        dots = rf"\mathrel{{\vphantom{{{parser.raw()}}}\vdots}}"
        parser.expand(dots if name == "vdotswithin" else rf"{dots}&\\" if star else rf"&{dots}\\")
    return []


@command("centercolon ordinarycolon MTThinColon")
def _colon(parser: Parser, name: str) -> Atom:
    return symbol(":", "rel")
