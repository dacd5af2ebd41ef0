"""A whole formula, from TeX to Typst."""

from __future__ import annotations

from dataclasses import replace

from hwkit.export.formulas import chemistry, commands, environments  # noqa: F401  they register their commands
from hwkit.export.formulas.environments import ENVIRONMENTS, Lines, Table, lines, matrix, read_table
from hwkit.export.formulas.parser import DISPLAY, TEXT, Parser
from hwkit.export.formulas.typst import EMPTY, glued

_TOP = {style: replace(ENVIRONMENTS["align"], style=style) for style in (DISPLAY, TEXT)}


def formula(tex: str, *, display: bool) -> tuple[str, list[str]]:
    """A formula in Typst, dollars and all, and the parts of it that are shown as source.

    Raises
    ------
    FormulaError
        If MathJax would refuse it, too: braces that do not close, arguments that are missing.
    """
    parser = Parser(tex, style=DISPLAY if display else TEXT)
    table = Table(_TOP[parser.style], "align", "rl", outside=parser.style)
    read_table(parser, table, "")
    typst = None
    if len(table.cells) > 1 or table.width > 1:
        if table.width == 1:
            table.environment, table.columns = ENVIRONMENTS["gather"], "c"
        typst = lines(table) if display else f"${matrix(table)}$"
    elif display:
        typst = _laid_out(table)
    if typst is None:
        inside = table.cells[0][0][0] or EMPTY
        typst = f"$ {inside} $" if display else f"${inside}$"
    return typst, parser.unknown


def _laid_out(top: Table) -> str | None:
    """A formula that is nothing but lines, perhaps with a full stop behind them, as lines."""
    atoms = [atom for atom in top.atoms if atom.kind != "space"]
    head, rest = atoms[:1], atoms[1:]
    if not head or not isinstance(head[0], Lines) or any(len(atom.typst) > 2 for atom in rest):
        return None
    table = head[0].table
    if rest:
        typst, kind = table.cells[-1][-1]
        table.cells[-1][-1] = (glued([typst, *(atom.typst for atom in rest)]), kind)
    return lines(table)
