"""The parameters of notebooks: read, converted and checked here for reports, batches, the command line and notebooks.

papermill puts the values that are given into a cell of its own after the first cell tagged "parameters". What a
notebook takes is read from the syntax tree of that cell. Importing papermill, whose `inspect_notebook` would do, takes
ten times as long as a report in which nothing has changed; it also skips lines with two equals signs, and knows only
types that are written down. `tests/report/test_parameters.py` compares the two.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hwkit.errors import ParameterError, did_you_mean
from hwkit.report.cellcode import (
    UNREADABLE,
    assignments_of,
    code_of,
    names_bound_by,
    names_read_by,
    statements_of,
    tags_of,
    tree_of,
)
from hwkit.report.values import SPELLABLE, Text, read_value

TAG, INJECTED_TAG = "parameters", "injected-parameters"
LONGEST_SHOWN = 80  # characters of a value in a message
TYPES: dict[str, Any] = {kind.__name__: kind for kind in SPELLABLE if kind is not type(None)}
WANTED = {
    "bool": "true or false",
    "int": "a whole number such as 3",
    "float": "a number such as 0.5",
    "str": "a text (in quotes if it looks like another value)",
    "list": "a list such as [1, 2]",
    "tuple": "a tuple such as (1, 2)",
    "set": "a set, written as a list such as [1, 2]",
    "dict": "names with values such as {a: 1}",
}
# What may be given in place of another type without losing anything.
WIDER = {"float": (int,), "list": (tuple,), "tuple": (list,), "set": (list, tuple)}
_COMMENT = re.compile(rf"#\s*(?:type:\s*(\S+)|({'|'.join(TYPES)})\s*(?:$|[:;,(\[|]|of\b))")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook: the names of the types that it takes, none for any, and whether it may be None."""

    types: tuple[str, ...] = ()
    optional: bool = False

    def convert(self, value: Any) -> Any:
        """The value as the notebook is to get it; a `Text` is read as what the parameter takes.

        Raises
        ------
        ValueError
            If the parameter does not take it; the message goes on from "parameter x of notebook y".

        Examples
        --------
        >>> [Parameter((kind,)).convert(Text("no")) for kind in ("bool", "str")], Parameter(("float",)).convert(3)
        ([False, 'no'], 3.0)
        """
        read = self._read(value) if isinstance(value, Text) else value
        if read is None and self.optional:
            return None
        if any(_is(read, name) for name in self.types or TYPES):
            return read
        for name in self.types:
            if isinstance(read, WIDER.get(name, ())) and not isinstance(read, bool):
                try:
                    return TYPES[name](read)
                except (TypeError, OverflowError):  # a set of lists, a number beyond all floats
                    break
        wanted = ", or ".join(WANTED[name] for name in self.types) or "any value but none"
        takes = f"takes {' or '.join(self.types)}: " if self.types else "takes "
        shown = repr(str(value) if isinstance(value, Text) else value)
        raise ValueError(
            f"{takes}{wanted}, not {shown if len(shown) <= LONGEST_SHOWN else shown[:LONGEST_SHOWN] + '...'}"
        )

    def _read(self, text: Text) -> Any:
        """What a text stands for here: where texts are taken, a number or a word such as no is one."""
        value = read_value(text)
        if "str" not in self.types or any(_is(value, name) for name in self.types) or (value is None and text):
            return value
        return str(text)


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "bool" or not isinstance(value, bool))


@dataclass(frozen=True, eq=False)
class Signature:
    """The parameters that a notebook takes.

    Attributes
    ----------
    where : the notebook, for messages: "notebook 01_mnist.ipynb".
    known : the parameters by name.
    unknown : why there are none.
    cells : the notebook's.
    """

    where: str
    known: Mapping[str, Parameter]
    unknown: str
    cells: list[Mapping[str, Any]]

    def require(self, name: str) -> None:
        """Raise ParameterError if the notebook has no such parameter."""
        if name not in self.known:
            why = did_you_mean(name, self.known) if self.known else self.unknown
            raise ParameterError(f"{self.where} has no parameter {name!r}; {why}")

    def convert(self, name: str, value: Any) -> Any:
        """The value of a parameter as the notebook is to get it.

        Raises
        ------
        ParameterError
            If the notebook has no such parameter, or one of another type.
        """
        self.require(name)
        try:
            return self.known[name].convert(value)
        except ValueError as error:
            raise ParameterError(f"parameter {name} of {self.where} {error}") from None

    def convert_all(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all parameters that are given.

        Raises
        ------
        ParameterError
            As `convert` does, and if one of them would be `without_effect`.
        """
        converted = {name: self.convert(name, value) for name, value in given.items()}
        for problem in self.without_effect(given).values():
            raise ParameterError(problem)
        return converted

    def without_effect(self, names: Iterable[str]) -> dict[str, str]:
        """Of parameters that are given together, those whose values would not be what the notebook computes with.

        papermill injects them after the first cell that is tagged, so they have no effect on what that cell itself
        computes, nor where a later cell assigns them again before anything has read them.

        Returns
        -------
        For each such parameter an error message.
        """
        given, problems = set(names), {}
        if not given:
            return problems
        numbered = list(enumerate(self.cells, start=1))
        tagged = [number for number, cell in numbered if TAG in tags_of(cell)]
        injected = [number for number, cell in numbered if INJECTED_TAG in tags_of(cell)]
        place = (injected or tagged)[0]
        unread = set(given)
        for number, cell in numbered:
            concerned = unread and (number > place or number in tagged)
            statements = statements_of(code_of(cell)) if concerned or number == place else []
            if number in injected[:1]:
                lost = set().union(*map(names_bound_by, statements)) - given
                problems |= self._explained(given if lost else (), number, lost, _REPLACED)
            elif number <= place and number in tagged:
                for one in statements:
                    bound = names_bound_by(one)
                    early = names_read_by(one, at_once=True) & given if not bound or bound - given else ()
                    problems |= self._explained(early, number, bound, _TOO_EARLY, ast.unparse(one).partition("\n")[0])
            elif number > place:
                for one in statements:
                    unread -= names_read_by(one)
                    remedy = f"move it to cell {place}" if number in tagged else "delete one of the two"
                    problems |= self._explained(names_bound_by(one) & unread, number, (), _AGAIN, place, remedy)
        return problems

    def _explained(
        self, names: Iterable[str], cell: int, others: Iterable[str], template: str, *details: object
    ) -> dict[str, str]:
        too = f"give {', '.join(sorted(others))}, too, or "
        return {name: f"{self.where}: {template.format(name, cell, too if others else '', *details)}" for name in names}


_TOO_EARLY = (
    "`{3}` in cell {1} reads {0}, whose value papermill injects after that cell; {2}move the line to a later cell"
)
_AGAIN = "papermill injects {0} after cell {3}, and cell {1} assigns it again, so that its value would be lost; {4}"
_REPLACED = (
    "cell {1} holds the parameters of an earlier execution, which papermill would replace together; "
    "{2}take the notebook that was executed"
)


def signature_of(notebook: Mapping[str, Any], where: str) -> Signature:
    """The parameters of a notebook: what its cells tagged "parameters" assign at their top level."""
    sources = [code_of(cell) for cell in notebook["cells"] if TAG in tags_of(cell)]
    language = language_of(notebook)
    if language != "python":
        return Signature(where, {}, f"parameters are read from Python only, and it is in {language}", notebook["cells"])
    known = {name: one for source in sources for name, one in declared_by(source).items()}
    unknown = f"none of its cells is tagged `{TAG}`"
    if sources and not known:
        readable = all(map(tree_of, sources))
        unknown = f"its cell tagged `{TAG}` {'assigns nothing' if readable else 'is not Python'}"
    return Signature(where, known, unknown, notebook["cells"])


def language_of(notebook: Mapping[str, Any]) -> str:
    """The language of a notebook's code, in small letters; "python" where it does not say."""
    for section, key in (("language_info", "name"), ("kernelspec", "language")):
        found = notebook["metadata"].get(section)
        if isinstance(found, dict) and isinstance(found.get(key), str):
            return re.sub(r"^i?python\d*$", "python", found[key].lower())
    return "python"


# --- What a cell declares ---------------------------------------------------------------------------------------


def declared_by(source: str) -> dict[str, Parameter]:
    """The parameters that a cell assigns, by name; none if it is not Python.

    The types are those of the annotation (`l2: float = 0`), else of a comment that the default fits (`# type: float` as
    papermill reads it, or `# float: what it is`), else the default's.

    Examples
    --------
    >>> declared_by("l2 = None  # float: lambda")
    {'l2': Parameter(types=('float',), optional=True)}
    """
    found: dict[str, Parameter] = {}
    comments = _comments(source)
    for statement in statements_of(source):
        annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
        for name, value in assignments_of(statement):
            default = _types_of_value(value)
            types = _types_of_annotation(annotation)
            if types is None:
                types = comments.get(statement.end_lineno or 0, default)
                if default - {"None"} and not all(_fits(one, types) for one in default):
                    types = default
            named = tuple(sorted(types - {"None", "Any"})) if "Any" not in types else ()
            found[name] = Parameter(named, bool({"None", "Any"} & types) or default == {"None"})
    return found


def _fits(default: str, types: set[str]) -> bool:
    return default in types or any(TYPES.get(default) in WIDER.get(name, ()) for name in types)


def _comments(source: str) -> dict[int, set[str]]:
    """The types that comments state, by line."""
    found: dict[int, set[str]] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and (match := _COMMENT.match(token.string)):
                types = {match[2]} if match[2] else _types_of_annotation(ast.Constant(match[1]))
                if types:
                    found[token.start[0]] = types
    except (tokenize.TokenError, *UNREADABLE):
        pass  # what a magic makes of the cell: the comments up to there count
    return found


def _types_of_annotation(node: ast.expr | None) -> set[str] | None:
    """Names of types, of "None" and "Any", or None where an annotation says nothing of them."""
    match node:
        case ast.Constant(value=None):
            return {"None"}
        case ast.Constant(value=str(text)):
            try:
                return _types_of_annotation(ast.parse(text, mode="eval").body)
            except UNREADABLE:
                return None
        case ast.Name(id=name) | ast.Attribute(attr=name):
            name = name.lower() if name in ("List", "Dict", "Tuple", "Set") else name
            return {"Any"} if name == "object" else {name} if name in (*TYPES, "Any") else None
        case ast.BinOp(op=ast.BitOr()):
            return _union(node.left, node.right)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if name in ("Optional", "Union"):
                return _union(*inner, *([ast.Constant(None)] if name == "Optional" else []))
            if name == "Literal":
                return set().union(*map(_types_of_value, inner)) or None
            return _types_of_annotation(inner[0] if name in ("Annotated", "Final") else node.value)
    return None


def _union(*nodes: ast.expr) -> set[str] | None:
    found = [types for node in nodes if (types := _types_of_annotation(node)) is not None]
    return set().union(*found) if len(found) == len(nodes) else None


def _types_of_value(node: ast.expr | None) -> set[str]:
    """The type of what an expression computes, "None" for None; empty where that is not known."""
    match node:
        case ast.Constant(value=value):
            name = "None" if value is None else type(value).__name__
            return {name} & {*TYPES, "None"}
        case ast.JoinedStr():
            return {"str"}
        case ast.List() | ast.ListComp():
            return {"list"}
        case ast.Tuple():
            return {"tuple"}
        case ast.Dict() | ast.DictComp():
            return {"dict"}
        case ast.Set() | ast.SetComp():
            return {"set"}
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return {"bool"}
        case ast.UnaryOp():
            return _types_of_value(node.operand)
        case ast.Call(func=ast.Name(id=name)):
            return {name} & set(TYPES)
        case ast.BinOp():
            left, right = _types_of_value(node.left), _types_of_value(node.right)
            if left and right and left | right <= {"int", "float"}:
                return {"float"} if isinstance(node.op, ast.Div) or "float" in left | right else {"int"}
            return left if left == right else set()
    return set()
