"""TeX's environments: matrices, arrays, cases, aligned lines, diagrams and proofs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from hwkit.export.formulas import symbols
from hwkit.export.formulas.commands import text
from hwkit.export.formulas.parser import BREAKS, DISPLAY, SCRIPT, TEXT, Parser, command
from hwkit.export.formulas.reader import FormulaError, Reader
from hwkit.export.formulas.typst import EMPTY, Atom, classed, glued, literal, space


@dataclass(frozen=True)
class Environment:
    """How an environment looks.

    `columns` are the sides of its columns ("l", "c", "r"), repeated where there are more; `gap` ems lie between two
    columns, none within the pairs of `paired` ones. `style` is the style of its cells.
    `arguments` are what its TeX begins with: "columns" or "count" in braces, "[columns]" or "[position]" if wanted.
    `lines`: on its own in a displayed formula it is a number of lines, which may break over pages.
    """

    columns: str = "c"
    delimiters: tuple[str, str] = ("", "")
    gap: float = 1.0
    paired: bool = False
    style: int = TEXT
    arguments: str = ""
    lines: bool = False


def _environments() -> dict[str, Environment]:
    found = {
        "array": Environment(arguments="[position] columns"),
        "subarray": Environment(arguments="columns", style=SCRIPT, gap=0.0),
        "crampedsubarray": Environment(arguments="columns", style=SCRIPT, gap=0.0),
    }
    for prefix, delimiters in {"": ("", ""), "p": "()", "b": "[]", "B": "{}", "v": "||", "V": "‖‖"}.items():
        matrix = Environment(delimiters=(delimiters[0], delimiters[1]))
        small = replace(matrix, style=SCRIPT, gap=1 / 3)
        for name, one in ((f"{prefix}matrix", matrix), (f"{prefix}smallmatrix", small)):
            found[name] = one
            found[f"{name}*"] = replace(one, arguments="[columns]")
    for name, left, right in (("cases", "{", ""), ("rcases", "", "}")):
        cases = Environment("l", (left, right))
        found |= {name: cases, f"d{name}": replace(cases, style=DISPLAY)}
    found |= {f"{name}*": one for name, one in list(found.items()) if name.endswith("cases")}
    pairs = Environment("rl", gap=2.0, paired=True, style=DISPLAY, lines=True)
    single = Environment("c", style=DISPLAY, lines=True)
    for name in ("align", "flalign", "xalignat", "alignat", "gather", "multline", "eqnarray", "equation", "xxalignat"):
        lines = single if name in ("gather", "multline", "equation") else pairs
        if name == "eqnarray":
            lines = replace(pairs, columns="rcl", gap=symbols.THICK, paired=False)
        if name.endswith("alignat"):
            lines = replace(lines, gap=0.0 if name == "alignat" else 2.0, arguments="count")
        found |= {name: lines, f"{name}*": lines}
    found["aligned"] = replace(pairs, arguments="[position]")
    found["alignedat"] = replace(pairs, gap=0.0, arguments="[position] count")
    found["split"] = replace(pairs, gap=0.0)
    for name, side in (("gathered", "c"), ("lgathered", "l"), ("rgathered", "r"), ("multlined", "c")):
        found[name] = replace(single, columns=side, arguments="[position] [position]")
    found["numcases"] = found["subnumcases"] = Environment("l", arguments="left")
    return found


ENVIRONMENTS = _environments()


@dataclass
class Table:
    """What an environment holds, row by row, as it is read.

    `cells`: each row's cells in Typst, with the class of what they begin with. `tags`: each row's tag, or "". `rules`:
    before which rows a rule stands, and whether it is dashed. `between`: what stands before a column instead of a gap.
    `left`, `right`: what stands beside all rows.
    """

    environment: Environment
    name: str = ""
    columns: str = ""
    cells: list[list[tuple[str, str]]] = field(default_factory=lambda: [[]])
    tags: list[str] = field(default_factory=lambda: [""])
    rules: list[tuple[int, bool]] = field(default_factory=list)
    column_rules: list[tuple[int, bool]] = field(default_factory=list)
    between: dict[int, str] = field(default_factory=dict)
    sides: dict[int, str] = field(default_factory=dict)
    left: str = ""
    right: str = ""
    style: int = TEXT
    outside: int = DISPLAY
    # Those of the last cell.
    atoms: list[Atom] = field(default_factory=list)

    @property
    def width(self) -> int:
        """The number of columns."""
        return max(len(self.columns) if self.environment.arguments.endswith("columns") else 0, *map(len, self.cells))

    def side(self, column: int) -> str:
        """Where the cells of a column stand: "l", "c" or "r"."""
        columns = self.columns or "c"
        if self.environment.paired:
            return columns[column % len(columns)]
        return columns[min(column, len(columns) - 1)]

    def gap(self, column: int) -> float:
        """The ems between a column and the one before."""
        return 0.0 if self.environment.paired and column % 2 else self.environment.gap


@dataclass(slots=True)
class Lines(Atom):
    """An environment, which may be laid out as lines over the width of the page."""

    table: Table = field(kw_only=True)


def read_table(parser: Parser, table: Table, end: str) -> None:
    """Read rows and cells up to a token, which is behind afterwards."""
    outer, parser.table = parser.table, table
    font, table.outside = parser.font, parser.style
    table.style = parser.style if parser.style >= SCRIPT else table.environment.style
    textual = table.name.endswith(("cases*", "numcases"))
    while True:
        parser.font, parser.style = font, table.style
        if textual and table.cells[-1] and not parser.peek().startswith("\\text"):
            cell = [text(parser, _raw_cell(parser), "upright")]
        else:
            cell = parser.row()
        table.cells[-1].append((parser.typst(cell), cell[0].kind if cell else ""))
        table.atoms = cell
        token = parser.take()
        if token == end:
            break
        if token in BREAKS:
            height = parser.line_break() if token == "\\\\" else ""
            if height and not height.startswith("-"):
                typst, kind = table.cells[-1][-1]
                strut = f"#box(height: {height} + 0.3em, baseline: {height} + 0.3em)"
                table.cells[-1][-1] = (typst + strut, kind)
            table.cells.append([])
            table.tags.append("")
        elif token != "&":
            raise FormulaError(f"{end} is missing" if token in ("", "\\end") else f"{token} is misplaced")
    if len(table.cells) > 1 and table.cells[-1] == [("", "")] and not table.tags[-1]:
        table.cells.pop()
        table.tags.pop()
    parser.table, parser.font, parser.style = outer, font, table.outside


def _raw_cell(parser: Parser) -> str:
    """The TeX up to the end of the cell."""
    start, depth = parser.at, 0
    while (token := parser.peek()) and (depth or token not in ("&", "}", *BREAKS, "\\end")):
        depth += {"{": 1, "}": -1}.get(token, 0)
        parser.take()
    return parser.tex[start : parser.at].strip()


# --- Typst ---------------------------------------------------------------------------------------------------------


def matrix(table: Table) -> str:
    """The table as Typst's matrix: at one height on the line, never broken over pages."""
    environment, width = table.environment, table.width
    sides = [table.side(column) for column in range(width)]
    gaps = [table.gap(column) for column in range(1, width)]
    even = not table.between and len(set(gaps)) <= 1
    rows = []
    for cells, tag in zip(table.cells, table.tags, strict=True):
        shown = []
        for column in range(width):
            typst, kind = cells[column] if column < len(cells) else ("", "")
            if environment.lines and kind in ("rel", "bin") and column:
                typst = EMPTY + typst  # TeX begins these cells with {}
            if typst and table.style == DISPLAY:
                typst = f"display({typst})"
            if tag and column == width - 1:
                typst += f"#h(2em){tag}"
            if not even:
                before = table.between.get(column) or (space(gaps[column - 1]) if column else "")
                typst = glued([before, typst])
            if len(set(sides)) > 1:
                typst = {"l": f"&{typst}", "r": f"{typst}&", "c": typst}[sides[column]]
            shown.append(typst)
        rows.append(", ".join(shown))
    delimiters = ", ".join(f'"{char}"' if char else "none" for char in environment.delimiters)
    options = [f"delim: #({delimiters})" if any(environment.delimiters) else "delim: #none"]
    if len(set(sides)) == 1 and sides[0] != "c":
        options.append(f"align: #{'left' if sides[0] == 'l' else 'right'}")
    gap = gaps[0] if even and gaps else 0.0 if gaps else 1.0
    if gap != 1.0:
        options.append(f"column-gap: #{gap:.4g}em")
    if table.style >= SCRIPT:
        options.append("row-gap: #0.2em")
    if table.rules or table.column_rules:
        options.append(_augmented(table))
    typst = f"mat({', '.join(options)}, {' ; '.join(rows)})"
    around = max(table.style - 1, DISPLAY)
    if around != table.outside:
        typst = f"{symbols.STYLES[around]}({typst})"
    if table.left or table.right:
        typst = f"lr({glued([EMPTY, table.left, typst, table.right, EMPTY])})"
    return typst


def _augmented(table: Table) -> str:
    """The rules of an array; Typst has one stroke for all of them."""
    rows = "".join(f"{row}, " for row in sorted({min(row, len(table.cells)) for row, _ in table.rules}))
    columns = "".join(f"{column}, " for column in sorted({column for column, _ in table.column_rules}))
    dashed = all(dashed for _, dashed in (*table.rules, *table.column_rules))
    stroke = '(thickness: 0.5pt, dash: "dashed")' if dashed else "0.5pt"
    return f"augment: #(hline: ({rows}), vline: ({columns}), stroke: {stroke})"


def lines(table: Table) -> str | None:
    """The table as the lines of a displayed formula, with their tags if there are several; None if it is no lines."""
    if not table.environment.lines or table.left or table.right:
        return None
    tagged = sum(map(bool, table.tags)) > 1
    if len(table.columns) == 1 and table.width > 1:
        table.environment, table.columns = ENVIRONMENTS["align"], "rl"
    name = table.name.rstrip("*")
    if name == "multline" and len(table.cells) > 1:
        sides = ["left", *["center"] * (len(table.cells) - 2), "right"]
        rows = [f"({table.sides.get(row, sides[row])}, ${cells[0][0]}$), " for row, cells in enumerate(table.cells)]
        return f"#hwkit-multline({''.join(rows)})"
    if table.columns == "c":
        if tagged:
            rows = [
                f"($ {cells[0][0]} $, {f'${tag}$' if tag else 'none'}), "
                for cells, tag in zip(table.cells, table.tags, strict=True)
            ]
            return f"#hwkit-tagged-rows({''.join(rows)})"
        return f"$ {_joined_lines([cells[0][0] for cells in table.cells])} $"
    rows = []
    relation = next((cells[1][0] for cells in table.cells if len(cells) > 1 and cells[1][0]), "")
    for cells, tag in zip(table.cells, table.tags, strict=True):
        if table.columns == "rcl" and len(cells) > 2:
            middle, last = cells[1], cells[2]
            # An empty middle is as wide as the others.
            start = middle[0] or (f"texphantom({relation})" if relation else "")
            cells = [cells[0], (glued([start, last[0]]), middle[1] or last[1]), *cells[3:]]
        shown = []
        for column, (typst, kind) in enumerate(cells):
            if kind == "bin" and column % 2 and typst[0] in "+−±∓":
                typst = classed("bin", typst[0]) + typst[1:]
            gap = table.gap(column) if column and not column % 2 else 0.0
            shown.append(glued([space(gap) if gap and typst else "", typst]))
        if tagged:
            shown += [""] * (table.width - len(cells))
            shown.append(f"#tag(${tag}$)" if tag else "")
            if table.width == 1:
                shown.insert(1, "")
        rows.append(" &".join(shown))
    if table.columns == "l":
        rows = [f"&{typst}" for typst in rows]
    body = f"$ {_joined_lines(rows)} $"
    return f"#hwkit-tagged(tag => {body})" if tagged else body


def _joined_lines(rows: list[str]) -> str:
    return " \\\n".join(row or EMPTY for row in rows)


# --- commands ------------------------------------------------------------------------------------------------------


@command("begin")
def _begin(parser: Parser, name: str) -> Atom | list[Atom] | None:
    environment = parser.raw().strip()
    if environment in _SPECIAL:
        return _SPECIAL[environment](parser, _body(parser, environment))
    if environment == "empheq":
        return _emphasised(parser)
    if environment in ("subequations", "displaymath", "math", "spreadlines"):
        if environment == "spreadlines":
            parser.dimension()
        atoms = parser.closed_by("\\end")
        _check_end(parser, environment)
        return atoms
    if environment not in ENVIRONMENTS:
        body = _body(parser, environment)
        return parser.as_source(f"\\begin{{{environment}}}{body}\\end{{{environment}}}")
    usual = ENVIRONMENTS[environment]
    table = Table(usual, environment, "" if "columns" in usual.arguments.split() else usual.columns)
    for argument in usual.arguments.split():
        if argument == "[position]":
            parser.brackets()
        elif argument == "[columns]":
            table.columns = re.sub("[^lcr]", "", parser.brackets() or "") or "c"
        elif argument == "columns":
            _preamble(parser, parser.raw(), table)
        elif argument == "count":
            parser.raw()
        else:
            table.left = glued([parser.argument().typst, classed("ord", "mid(\\{)"), "thin"])
    read_table(parser, table, "\\end")
    _check_end(parser, environment)
    if environment.startswith("equation") and len(table.cells) == 1 and table.width == 1:
        if parser.table is not None and table.tags[0]:
            parser.table.tags[-1] = table.tags[0]
        return table.atoms
    if environment.startswith("equation") and table.width > 1:
        table.environment, table.columns = ENVIRONMENTS["align"], "rl"
    return Lines(matrix(table), composed=True, table=table)


def _check_end(parser: Parser, name: str) -> None:
    end = parser.raw().strip()
    if end != name:
        raise FormulaError(f"\\begin{{{name}}} ends with \\end{{{end}}}")


def _body(parser: Parser, name: str) -> str:
    """The TeX up to the end of an environment, which is behind afterwards."""
    end = parser.tex.find(f"\\end{{{name}}}", parser.at)
    if end < 0:
        raise FormulaError(f"\\end{{{name}}} is missing")
    body, parser.at = parser.tex[parser.at : end], end + len(f"\\end{{{name}}}")
    return body


def _preamble(parser: Parser, tex: str, table: Table) -> None:
    """The columns of an array: sides, rules, and what `@{...}` and `!{...}` put between them."""
    reader = Reader(tex)
    while token := reader.take():
        place = len(table.columns)
        if token in "lcr":
            table.columns += token
        elif token in "|:":
            table.column_rules.append((place, token == ":"))
        elif token in "pmbw":
            reader.raw()
            table.columns += "l"
        elif token in "@!":
            inside = parser.sub(reader.raw(), table.environment.style).typst
            gap = space(0.5) if token == "!" else ""
            table.between[place] = f"{gap}{inside}{gap}"
        elif token == "*":
            count, columns = reader.raw().strip(), reader.raw()
            reader.expand(columns * min(int(count), 99) if count.isdigit() else columns)
        elif token in "<>":
            reader.raw()
    table.between.pop(len(table.columns), None)
    if table.between.get(0) == EMPTY:
        del table.between[0]


@command("hline hdashline toprule midrule bottomrule")
def _rule(parser: Parser, name: str) -> None:
    if parser.table is None:
        raise FormulaError(f"\\{name} stands outside of an array")
    parser.table.rules.append((len(parser.table.cells) - 1, name == "hdashline"))


@command("cline")
def _short_rule(parser: Parser, name: str) -> None:
    parser.raw()


@command("tag")
def _tag(parser: Parser, name: str) -> None:
    bare = parser.star()
    words = text(parser, parser.raw(), "upright").typst
    if parser.table is not None:
        parser.table.tags[-1] = words if bare else f"\\({words}\\)"


@command("shoveleft shoveright")
def _shove(parser: Parser, name: str) -> Atom:
    parser.brackets()
    if parser.table is not None:
        parser.table.sides[len(parser.table.cells) - 1] = name.removeprefix("shove")
    return parser.argument()


@command("rowcolor columncolor cellcolor")
def _coloured_cell(parser: Parser, name: str) -> None:
    parser.skip_brackets(1)
    parser.raw()
    parser.skip_brackets(2)


@command("matrix pmatrix array cases eqalign displaylines eqalignno leqalignno")
def _plain_table(parser: Parser, name: str) -> Atom:
    r"""Plain TeX's `\matrix{a & b \cr c & d}`."""
    usual = {"pmatrix": "pmatrix", "cases": "cases*", "displaylines": "gathered"}
    environment = replace(
        ENVIRONMENTS[usual.get(name, "aligned" if name.endswith(("eqalign", "alignno")) else "matrix")]
    )
    table = Table(environment, usual.get(name, name), environment.columns)
    if not parser.skip("{"):
        raise FormulaError(f"\\{name} has no argument")
    read_table(parser, table, "}")
    if name.endswith("alignno"):
        table.tags = [cells.pop()[0] if len(cells) > 2 else "" for cells in table.cells]
    return Lines(matrix(table), composed=True, table=table)


def _emphasised(parser: Parser) -> Atom:
    """empheq: lines with something beside all of them."""
    options = parser.brackets() or ""
    name = parser.raw().split("=")[0].strip()
    if name not in ENVIRONMENTS:
        raise FormulaError(f"the environment {name} is unknown")
    table = Table(ENVIRONMENTS[name], name, ENVIRONMENTS[name].columns)
    reader = Reader(options)
    while key := re.compile(r"\s*,?\s*(left|right)\s*=\s*").match(options, reader.at):
        reader.at = key.end()
        start, depth = reader.at, 0
        while (token := reader.peek()) and (depth or token != ","):
            depth += {"{": 1, "}": -1}.get(token, 0)
            reader.take()
        setattr(table, key[1], parser.sub(options[start : reader.at], DISPLAY).typst)
    read_table(parser, table, "\\end")
    _check_end(parser, "empheq")
    return Lines(matrix(table), composed=True, table=table)


_EMPHEQ = {
    "brace": "{}",
    "brack": "[]",
    "angle": "⟨⟩",
    "paren": "()",
    "vert": "||",
    "Vert": "‖‖",
    "floor": "⌊⌋",
    "ceil": "⌈⌉",
}


@command(" ".join(f"empheq{big}{side}{kind}" for big in ("", "big") for side in "lr" for kind in _EMPHEQ))
def _empheq_delimiter(parser: Parser, name: str) -> Atom:
    side, kind = re.fullmatch(r"empheq(?:big)?([lr])(\w+)", name).groups()  # type: ignore[union-attr]
    return Atom(classed("ord", f"mid({literal(_EMPHEQ[kind][side == 'r'])})"))


@command("empheql empheqr empheqbigl empheqbigr")
def _empheq_any_delimiter(parser: Parser, name: str) -> Atom:
    char = parser.delimiter()
    return Atom(classed("ord", f"mid({literal(char)})") if char else EMPTY)


# --- diagrams and proofs ---------------------------------------------------------------------------------------------


def _diagram(parser: Parser, tex: str) -> Atom:
    """amscd's CD: objects and arrows in turn, rows of arrows between them."""
    rows: list[list[str]] = [[""]]
    reader = Reader(tex)
    start = 0

    def end_of_object() -> None:
        rows[-1][-1] += parser.sub(tex[start:before], TEXT).typst if tex[start:before].strip() else ""

    while True:
        before = reader.at
        token = reader.take()
        if token == "" or token in BREAKS:
            before = reader.at - len(token)
            end_of_object()
            start = reader.at
            if token == "":
                break
            rows.append([""])
        elif token == "@":
            before = reader.at - 1
            end_of_object()
            kind = reader.take()
            labels = [reader.up_to(kind) for _ in range(2)] if kind in "<>VA" else []
            typst = _diagram_arrow(parser, kind, *labels)
            # Between two objects, or in a row of its own below one.
            if kind in "<>=" or (kind in ".|" and len(rows) % 2):
                rows[-1] += [typst, ""]
            else:
                rows[-1][-1] = typst
                rows[-1] += ["", ""]
            start = reader.at
    width = max(map(len, rows))
    cells = " ; ".join(", ".join(row + [""] * (width - len(row))) for row in rows if any(row))
    return Atom(f"display(mat(delim: #none, column-gap: #0.3em, row-gap: #0.5em, {cells}))", composed=True)


def _diagram_arrow(parser: Parser, kind: str, first: str = "", second: str = "") -> str:
    labels = [parser.sub(tex, SCRIPT).typst if tex.strip() else "" for tex in (first, second)]
    if kind in "<>=":
        arrow = f"stretch({ {'<': '←', '>': '→', '=': '='}[kind] }, size: #(100% + 1.5em))"
        above, below = (f"({label or 'quad'})" for label in labels)
        return f"{arrow}^{above}_{below}" if any(labels) else f"{arrow}^quad"
    if kind == ".":
        return ""
    arrow = f"stretch({ {'V': '↓', 'A': '↑', '|': '‖'}[kind] }, size: #1.8em)"
    left, right = (f"script({label})" if label else "" for label in labels)
    return f"#texlap(right, ${left}$){arrow}#texlap(left, ${right}$)" if any(labels) else arrow


_INFERENCES = {
    **{f"{word}Inf{end}": count for count, word in enumerate(("Unary", "Binary", "Trinary", "Quaternary", "Quinary"), 1)
       for end in ("C", "")},
    **{"UIC": 1, "BIC": 2, "TIC": 3},
}  # fmt: skip


def _proof(parser: Parser, tex: str) -> Atom:
    """bussproofs: premises over lines over conclusions, as they are stacked."""
    stack: list[str] = []
    left = right = ""
    line = "0.5pt"
    reader = Reader(tex)
    while token := reader.take():
        name = token[1:]
        if name in ("AxiomC", "AXC", "Axiom"):
            stack.append(_judgement(parser, reader, name))
        elif name in _INFERENCES:
            count = _INFERENCES[name]
            if len(stack) < count:
                raise FormulaError(f"{token} has too few premises")
            premises, stack = stack[len(stack) - count :], stack[: len(stack) - count]
            conclusion = _judgement(parser, reader, name)
            parts = ", ".join(f"${part}$" for part in (*premises, conclusion))
            stack.append(f"#texinference({parts}, line: {line}, left: ${left}$, right: ${right}$)")
            left = right = ""
            line = "0.5pt"
        elif name in ("RightLabel", "RL"):
            right = text(parser, reader.raw(), "upright").typst
        elif name in ("LeftLabel", "LL"):
            left = text(parser, reader.raw(), "upright").typst
        elif name.endswith(("noLine", "NoLine")):
            line = "none"
        elif name.endswith("ashedLine"):
            line = '(thickness: 0.5pt, dash: "dashed")'
        elif token.startswith("\\") and not name.endswith(("Line", "Top", "Bottom")):
            raise FormulaError(f"{token} is unknown in a proof")
    if len(stack) != 1:
        raise FormulaError("a proof has one conclusion")
    return Atom(f"display({stack[0]})", composed=True)


def _judgement(parser: Parser, reader: Reader, name: str) -> str:
    r"""What is said at a line of a proof: text in braces, or a formula between dollars with `\fCenter` in it."""
    if name.endswith("C"):
        return text(parser, reader.raw(), "upright").typst
    if reader.take() != "$":
        raise FormulaError(f"\\{name} needs a formula between dollars")
    return parser.sub(reader.up_to("$").replace("\\fCenter", "{}\\vdash{}"), TEXT).typst


_SPECIAL = {"CD": _diagram, "prooftree": _proof}
