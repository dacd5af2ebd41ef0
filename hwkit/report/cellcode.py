"""What the code of a notebook's cells assigns and reads, from its syntax tree: nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

DEEPEST = 100  # levels of a syntax tree
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
_KEEPS_NAMES = re.compile(r"\s*%%(?:time|capture)\b.*\n")  # cell magics whose code runs as if it stood there alone


def tags_of(cell: Mapping[str, Any]) -> list[Any]:
    """The tags of a cell."""
    return cell["metadata"].get("tags", [])


def code_of(cell: Mapping[str, Any]) -> str:
    """The source of a code cell; an empty text for other cells."""
    return "".join(cell["source"]) if cell.get("cell_type", "code") == "code" else ""


def tree_of(source: str) -> ast.Module | None:
    """The syntax tree of a cell, in which magics are the calls that IPython makes of them.

    None if it is not Python, or nested so deeply that walking through the tree would fail.
    """
    try:
        tree = ast.parse(source)
    except UNREADABLE:
        from IPython.core.inputtransformer2 import TransformerManager  # takes long to import

        try:
            tree = ast.parse(TransformerManager().transform_cell(_KEEPS_NAMES.sub("", source, count=1)))
        except UNREADABLE:
            return None
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return None if level else tree


def statements_of(source: str) -> list[ast.stmt]:
    """The statements at the top level of a cell; none if it is not Python."""
    tree = tree_of(source)
    return tree.body if tree else []


def assignments_of(statement: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """The names that an assignment assigns, and the expression for each, or None where none stands for it alone."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _pairs(target, statement.value)
    elif isinstance(statement, ast.AnnAssign):
        yield from _pairs(statement.target, statement.value)


def _pairs(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        alike = len(values) == len(target.elts)
        for number, one in enumerate(target.elts):
            yield from _pairs(one, values[number] if alike else None)


def names_bound_by(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a new value whatever happens: of assignments, imports, definitions, loops."""
    match statement:
        case ast.AnnAssign(value=None):
            return set()
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.For():
            return {name for name, _ in _pairs(statement.target, None)}
        case ast.AugAssign(target=ast.Name(id=name)):
            return {name}
        case _:
            return {name for name, _ in assignments_of(statement)}


def names_read_by(statement: ast.stmt, *, at_once: bool = False) -> set[str]:
    """The names that a statement reads, also in a magic; with `at_once` without those in bodies of functions."""
    found: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Load() | ast.Del()) | ast.AugAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")))):
                found.update(re.findall(r"\w+", ast.unparse(node)))
        if at_once and isinstance(node, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.args.defaults, *filter(None, node.args.kw_defaults), *getattr(node, "decorator_list", [])]
        else:
            waiting += ast.iter_child_nodes(node)
    return found
