"""The parts of a notebook that staff read: the questions that otter marks, and the solutions that nbgrader knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

_MARK = re.compile(r"<!--\s*(BEGIN|END)\s+QUESTION\s*-->", re.IGNORECASE)


def questions_in(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Copies of the cells of questions; the first of each, but that of all, has `page_break` in its `metadata.hwkit`.

    A question of otter-grader is what stands between `<!-- BEGIN QUESTION -->` and `<!-- END QUESTION -->`. Where
    nobody wrote such marks, each cell for a solution or task of nbgrader is one.
    """
    found = list(_marked(cells)) or [_begun(cell) for cell in cells if _is_solution(cell)]
    if found:
        found[0].metadata["hwkit"]["page_break"] = False
    return found


def _marked(cells: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    inside = begins = False
    for cell in cells:
        if cell.cell_type != "markdown":
            if inside:
                yield _begun(cell) if begins else cell
                begins = False
            continue
        position = 0
        for mark in [*_MARK.finditer(cell.source), None]:
            text = cell.source[position : mark.start() if mark else None]
            if inside and text.strip():
                part = type(cell)(cell, source=text.strip("\n"))
                yield _begun(part) if begins else part
                begins = False
            if mark:
                inside = begins = mark[1].upper() == "BEGIN"
                position = mark.end()


def _begun(cell: NotebookNode) -> NotebookNode:
    """The cell as the first one of a question."""
    metadata = type(cell)(cell.metadata)
    metadata["hwkit"] = {**cell.metadata.get("hwkit", {}), "page_break": True}
    return type(cell)(cell, metadata=metadata)


def _is_solution(cell: NotebookNode) -> bool:
    graded = cell.metadata.get("nbgrader")
    return isinstance(graded, dict) and bool(graded.get("solution") or graded.get("task"))
