"""What parameters a notebook declares, and of which type, so that a wrong one is an error before anything runs."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}
_TYPE_COMMENT = re.compile(rf"#\s*(?:type:\s*)?({'|'.join(TYPES)})\b")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook. `type` is one of `TYPES`, or None where any value will do."""

    type: str | None
    optional: bool

    def takes(self, value: Any) -> bool:
        """Whether the parameter can have this value."""
        if value is None or self.type is None:
            return self.optional or value is not None
        if isinstance(value, bool):
            return self.type == "bool"
        return isinstance(value, TYPES[self.type])


def declared_parameters(notebook: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of a notebook by name: what its cell tagged "parameters" assigns at its top level.

    The type is that of the annotation (`l2: float = 0`), else of a comment (`# type: float` as papermill reads it, or
    `# float: what it is`), else of the default. A default of None makes it optional.
    """
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    found: dict[str, Parameter] = {}
    for cell in cells:
        found |= _assigned("".join(cell["source"]))
    return found


def _assigned(source: str) -> dict[str, Parameter]:
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}  # a notebook in another language: papermill may know it, we do not
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for statement in statements:
        if isinstance(statement, ast.AnnAssign):
            targets, annotation = [statement.target], ast.unparse(statement.annotation)
        elif isinstance(statement, ast.Assign):
            targets, annotation = statement.targets, ""
        else:
            continue
        default = _literal(statement.value)
        comment = _TYPE_COMMENT.match(comments.get(statement.end_lineno, ""))
        stated = re.match(r"\w+", annotation)
        names = [stated and stated[0], comment and comment[1], type(default).__name__]
        of_type = next((name for name in names if name in TYPES), None)
        optional = default is None or "None" in annotation or "Optional" in annotation
        found |= {target.id: Parameter(of_type, optional) for target in targets if isinstance(target, ast.Name)}
    return found


def _literal(value: ast.expr | None) -> Any:
    """What an expression says, or an object of no type that is known here."""
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ...
