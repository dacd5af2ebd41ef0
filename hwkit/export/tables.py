"""How a table fits a page: alignment, type size, and columns too many for one table."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from hwkit.export import ast
from hwkit.export.ast import Element
from hwkit.export.colours import of_classes

_NUMBER = re.compile(
    r"^[+\-−±]?[$€£]?\s?(?:\d[\d,'  ]*\.?\d*|\.\d+)(?:[eE][+\-−]?\d+)?\s?(?:%|[a-zµ]{1,3}\b)?"
    r"(?:\s?±\s?[\d.]+)?$|^(?:nan|NaN|NA|None|inf|-inf|–|—|-|)$"
)
# Widths in ems of a text face, generous enough for bold.
_WIDE, _CAPITAL, _DIGIT, _LETTER, _NARROW = 1.0, 0.72, 0.52, 0.5, 0.3
_SMALLEST_SCALE = 0.66
# What two cells keep between them, in ems of the table's own type.
_GAP = 1.1
_LINES_OF_A_CELL = 4
# Tables up to this many lines are kept on one page; the larger of these may move to where there is room.
LINES_KEPT_TOGETHER = 40
LINES_KEPT_IN_PLACE = 6


@dataclass(frozen=True)
class Cell:
    """A table cell: its blocks and what it spans."""

    blocks: list[Element]
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True)
class TableLayout:
    """A table ready to be set: `head` and `body` are rows of cells, `alignments` "left" or "right" by column.

    `scale` is the type size as a share of the table's normal size. `shares` are the parts of the width that is left
    which columns of wrapped text take; the others, 0 there, are as wide as their content. `lines` are about as many as
    it has on the page.
    """

    head: list[list[Cell]]
    body: list[list[Cell]]
    alignments: list[str]
    scale: float
    shares: list[float]
    lines: int

    @property
    def breakable(self) -> bool:
        """Whether the table may go on over several pages."""
        return self.lines > LINES_KEPT_TOGETHER

    @property
    def floating(self) -> bool:
        """Whether a captioned table may move to the top or bottom of a page."""
        return LINES_KEPT_IN_PLACE < self.lines <= LINES_KEPT_TOGETHER


def layouts(table: Element, width: float) -> list[TableLayout]:
    """The tables that one table of the tree becomes on a line `width` ems wide: one, or several side by side parts.

    A table too wide for the line is first set smaller; what then still does not fit is cut between columns,
    the first column repeated.
    """
    _, _, column_specs, (_, head_rows), bodies, (_, foot_rows) = table["c"]
    head = [_row(row) for row in head_rows]
    body = [_row(row) for section in bodies for row in section[2] + section[3]] + [_row(row) for row in foot_rows]
    count = len(column_specs)
    if not count or not (head or body):
        return []
    placed = _Grid(head, body, count)
    needed = [placed.minimum(column) + _GAP for column in range(count)]
    wanted = [placed.natural(column) + _GAP for column in range(count)]
    stated = [spec[0]["t"] for spec in column_specs]
    alignments = [placed.alignment(column, stated[column]) for column in range(count)]
    scale = min(1.0, width / sum(needed))
    if scale < _SMALLEST_SCALE and not placed.has_spans and count > 2:
        return _cut(head, body, alignments, needed, wanted, width)
    scale = max(scale, 0.4)
    shares = _shares(needed, wanted, width / scale)
    lines = [
        max((_lines(cell, room - _GAP) for cell, room in zip(row, shares, strict=False) if room), default=1)
        for row in body
    ]
    return [TableLayout(head, body, alignments, scale, shares, sum(lines))]


def _shares(needed: list[float], wanted: list[float], width: float) -> list[float]:
    """How wide columns are whose text is wrapped, so that the table fits `width` ems; 0 of others.

    Only as many are wrapped, the widest first, as it takes for none to need more than `_LINES_OF_A_CELL`. Each has room
    for its longest word; beyond that, their longest cells take about the same number of lines.
    """
    wrapped: set[int] = set()
    room = width - sum(wanted)
    for column in sorted(range(len(wanted)), key=lambda column: -wanted[column]):
        if room >= sum(max(needed[one], wanted[one] / _LINES_OF_A_CELL) for one in wrapped):
            break
        if wanted[column] > needed[column] + 2:
            wrapped.add(column)
            room += wanted[column]
    lines = 1.0
    while sum(max(needed[column], wanted[column] / lines) for column in wrapped) > room and lines < 50:
        lines *= 1.05
    return [max(needed[c], wanted[c] / lines) if c in wrapped else 0.0 for c in range(len(wanted))]


def _lines(cell: Cell, room: float) -> int:
    """About how many lines a cell's text takes in a column `room` ems wide."""
    return max(1, math.ceil(_ems(ast.text_of(cell.blocks)) / max(room, 1.0)))


def ground_of(cell: Cell) -> str:
    """The colour of a cell's ground: that of the span that is all its content."""
    block: Element = cell.blocks[0] if len(cell.blocks) == 1 else {"t": ""}
    inlines = block["c"] if block["t"] in ("Plain", "Para") else []
    return of_classes(inlines[0]["c"][0][1])[1] if len(inlines) == 1 and inlines[0]["t"] == "Span" else ""


def without_ground(cell: Cell) -> list[Element]:
    """The blocks of a cell that has a ground, whose text then needs none."""
    (block,) = cell.blocks
    attributes, inlines = block["c"][0]["c"]
    classes = tuple(name for name in attributes[1] if not name.startswith("hwkit-ground-"))
    return [{"t": "Plain", "c": [ast.span(inlines, ast.attr(attributes[0], classes))]}]


def join_index_names(table: Element) -> None:
    """Put the names of a DataFrame's index, which pandas gives a row of their own, into the head row above it."""
    head_rows = table["c"][3][1]
    if len(head_rows) < 2:
        return
    above, names = (row[1] for row in head_rows[-2:])
    named = [bool(ast.text_of(cell[4]).strip()) for cell in names]
    free = [not ast.text_of(cell[4]).strip() for cell in above]
    spans = any(cell[2] > 1 or cell[3] > 1 for cell in above + names)
    if spans or len(above) != len(names) or any(n and not f for n, f in zip(named, free, strict=True)):
        return
    head_rows[-2][1] = [name if has_name else cell for has_name, name, cell in zip(named, names, above, strict=True)]
    del head_rows[-1]


def alignments(table: Element) -> list[str]:
    """How each column of a table is aligned: as it says, or "right" (numbers) or "left"."""
    _, _, column_specs, (_, head_rows), bodies, _ = table["c"]
    body = [_row(row) for section in bodies for row in section[2] + section[3]]
    grid = _Grid([_row(row) for row in head_rows], body, len(column_specs))
    return [grid.alignment(column, spec[0]["t"]) for column, spec in enumerate(column_specs)]


def _cut(
    head: list[list[Cell]],
    body: list[list[Cell]],
    alignments: list[str],
    needed: list[float],
    wanted: list[float],
    width: float,
) -> list[TableLayout]:
    """Several tables with as many columns each as fit at a small size; the first column stands in all."""
    room = width / 0.8 - needed[0]
    parts_needed = -(-sum(needed[1:]) // room)
    # Parts of about the same width look better than full ones and a rest.
    room = min(room, sum(needed[1:]) / max(parts_needed, 1) + max(needed[1:]))
    groups: list[list[int]] = [[]]
    used = 0.0
    for column in range(1, len(needed)):
        if groups[-1] and used + needed[column] > room:
            groups.append([])
            used = 0.0
        groups[-1].append(column)
        used += needed[column]
    parts = []
    for group in groups:
        columns = [0, *group]
        take = lambda row, columns=columns: [row[column] for column in columns]  # noqa: E731
        least, most = ([widths[column] for column in columns] for widths in (needed, wanted))
        scale = max(0.4, min(0.8, width / sum(least)))
        parts.append(
            TableLayout(
                [take(row) for row in head],
                [take(row) for row in body],
                [alignments[column] for column in columns],
                scale,
                _shares(least, most, width / scale),
                len(body),
            )
        )
    return parts


def _row(row: Any) -> list[Cell]:
    return [Cell(cell[4], rows=cell[2], columns=cell[3]) for cell in row[1]]


class _Grid:
    """Which texts stand in which column, spans unfolded."""

    def __init__(self, head: list[list[Cell]], body: list[list[Cell]], count: int) -> None:
        self.head_texts: list[list[str]] = [[] for _ in range(count)]
        self.body_texts: list[list[str]] = [[] for _ in range(count)]
        self.has_spans = False
        self._place(head, self.head_texts, count)
        self._place(body, self.body_texts, count)

    def _place(self, rows: list[list[Cell]], texts: list[list[str]], count: int) -> None:
        taken = [0] * count
        for row in rows:
            column = 0
            for cell in row:
                while column < count and taken[column]:
                    column += 1
                if cell.rows > 1 or cell.columns > 1 or column >= count:
                    self.has_spans = True
                if cell.columns == 1 and column < count:
                    texts[column].append(" ".join(ast.text_of(cell.blocks).split()))
                for spanned in range(column, min(column + cell.columns, count)):
                    taken[spanned] = cell.rows
                column += cell.columns
            taken = [max(0, rows_left - 1) for rows_left in taken]

    def minimum(self, column: int) -> float:
        """The width in ems of the column's longest unbreakable word; numbers are never broken."""
        words = [
            part
            for text in self.head_texts[column] + self.body_texts[column]
            for part in ([text] if _NUMBER.match(text) else re.split(r"(?<=[-/])|\s+", text))
        ]
        return max((_ems(word) for word in words), default=0.0)

    def natural(self, column: int) -> float:
        return max((_ems(text) for text in self.head_texts[column] + self.body_texts[column]), default=0.0)

    def alignment(self, column: int, stated: str) -> str:
        if stated != "AlignDefault":
            return stated.removeprefix("Align").lower()
        texts = self.body_texts[column]
        return "right" if any(texts) and all(_NUMBER.match(text) for text in texts) else "left"


def _ems(text: str) -> float:
    return sum(_em(character) for character in text)


def _em(character: str) -> float:
    if character.isdigit():
        return _DIGIT
    if unicodedata.east_asian_width(character) in "WF":
        return _WIDE
    if character in "ijl.,:;!|'` ":
        return _NARROW
    return _CAPITAL if character.isupper() or character in "mw@%—_" else _LETTER
