"""Code of the user's own, a network or an augmentation, as a part of an experiment.

An experiment is a set of values that a file can hold. A class or function becomes one of them by its identity: its name
and a digest of its source, such as "Net@3fa9c1d2e0b4". The object itself is known to this process, and to the worker
processes it is sent to; its source is stored as text, to be shown and never executed.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib.util
import inspect
import linecache
import re
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hwkit.errors import ExperimentError

_IDENTITY = re.compile(r"[^@\n]{1,150}@[0-9a-f]{12}")
_CONSTANTS = (bool, int, float, complex, str, bytes, type(None))
_LIBRARIES = tuple(
    str(Path(folder).resolve()) for name, folder in sysconfig.get_paths().items() if name.endswith(("lib", "stdlib"))
)


@dataclass(frozen=True)
class Code:
    """A class or function that a user gave.

    Attributes
    ----------
    identity : name and digest; equal for code that does the same thing, however it is commented.
    source : its source, and that of what it refers to, for people to read.
    object : the class or function itself, or a functools.partial of it.
    """

    identity: str
    source: str
    object: Callable[..., Any]


_known: dict[str, Code] = {}


def remember(thing: Any, what: str) -> str:
    """The identity of a class or function, which `recall` knows from now on.

    Parameters
    ----------
    thing : the class or function, or a `functools.partial` of one with plain values.
    what : what it is for, for messages ("model").

    Raises
    ------
    ExperimentError
        If it is a lambda, an object of a class, or has no source: what it computes could not be fingerprinted.
    """
    code = _identify(thing, what)
    _known[code.identity] = code
    return code.identity


def recall(identity: str) -> Code | None:
    """The code of an identity, if this process has seen it."""
    return _known.get(identity)


def is_identity(value: Any) -> bool:
    """Whether a value is an identity as `remember` gives them."""
    return isinstance(value, str) and bool(_IDENTITY.fullmatch(value))


def pack(identities: list[str]) -> bytes:
    """Known code as bytes for another process of this user, which `unpack` makes known there."""
    import cloudpickle

    wanted = [_known[identity] for identity in identities if identity in _known]
    # Whoever unpacks them may not be able to import the user's modules.
    names = {_target(code.object).__module__ for code in wanted} - {"__main__"}
    folders = {Path(file).resolve().parent for name in names if (file := getattr(sys.modules[name], "__file__", None))}
    beside = {module for module in list(sys.modules.values()) if _lies_in(module, folders)}
    own = {sys.modules[name] for name in names} | beside
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(wanted)
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def unpack(packed: bytes) -> None:
    """Make known what `pack` packed. Only for bytes of one's own processes: unpickling runs code."""
    import cloudpickle

    for code in cloudpickle.loads(packed):
        _known[code.identity] = code


def _identify(thing: Any, what: str) -> Code:
    name, arguments, target = _name(thing, what), "", _target(thing)
    if isinstance(thing, functools.partial):
        given = [_plain(value, what) for value in thing.args]
        given += [f"{key}={_plain(value, what)}" for key, value in sorted(thing.keywords.items())]
        arguments = f"({', '.join(given)})"
    parts = list(_parts(target, what, set()))
    digest = hashlib.sha256("\n".join([arguments, *(meaning for meaning, _ in parts)]).encode()).hexdigest()[:12]
    return Code(f"{name}{arguments}@{digest}", "\n\n".join(source for _, source in parts), thing)


def _target(thing: Any) -> Any:
    return thing.func if isinstance(thing, functools.partial) else thing


def _name(thing: Any, what: str) -> str:
    target = _target(thing)
    if not isinstance(target, (type, FunctionType)):
        kind = type(target).__name__
        raise ExperimentError(
            f"{what} must be a class or a function, not an object of the class {kind}: pass {kind} itself, with "
            f"options as functools.partial({kind}, ...)"
        )
    if target.__name__ == "<lambda>":
        raise ExperimentError(f"{what} is a lambda, whose source cannot be found; define it with def")
    captured = {name for code in _code_objects(target) for name in code.co_freevars} - {"__class__"}
    if captured:
        raise ExperimentError(
            f"{what} {target.__name__} uses {', '.join(sorted(captured))} of the function around it, which its source "
            f"does not show; make that an argument and pass functools.partial({target.__name__}, ...)"
        )
    return target.__name__


def _plain(value: Any, what: str) -> str:
    if _is_plain(value):
        return repr(value)
    if isinstance(value, (type, FunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    raise ExperimentError(f"{what} has the argument {value!r:.80}; arguments must be numbers, texts, lists or classes")


def _parts(target: Any, what: str, seen: set[Any]) -> Iterator[tuple[str, str]]:
    """What decides what code computes, as (meaning, source): its own, and what of the user's own code it refers to."""
    if target in seen:
        return
    seen.add(target)
    source, tree = _source(target, what)
    meaning = ast.unparse(_without_docstrings(tree))
    yield meaning, source
    for name, value in sorted(_referred(tree, _globals(target)).items()):
        if _is_plain(value):
            yield f"{name} = {value!r}", f"{name} = {value!r}"
        elif isinstance(value, (type, FunctionType)) and _is_own(value):
            yield from _parts(value, what, seen)


def _referred(tree: ast.AST, around: dict[str, Any]) -> dict[str, Any]:
    """The values that a syntax tree refers to among those around it, `name` and `module.name`, by that text."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in around:
            found[node.id] = around[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = around.get(node.value.id)
            if isinstance(module, ModuleType) and hasattr(module, node.attr):
                found[f"{node.value.id}.{node.attr}"] = getattr(module, node.attr)
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return _is_plain(list(value)) and _is_plain(list(value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _CONSTANTS)


def _source(target: Any, what: str) -> tuple[str, ast.AST]:
    """The source of a class or function and its syntax tree; inspect.getsource finds no class of a notebook's cell."""
    places: list[tuple[str, int | None]] = [(code.co_filename, code.co_firstlineno) for code in _code_objects(target)]
    if not places and target.__module__ == "__main__":  # a class without functions: the newest cell that defines it
        places = [(name, None) for name in reversed(linecache.cache)]
    for name, line in places:
        lines = linecache.getlines(name)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        wanted = (ast.ClassDef,) if isinstance(target, type) else (ast.FunctionDef,)
        for node in ast.walk(tree):
            if isinstance(node, wanted) and node.name == target.__name__ and (line is None or _holds(node, line)):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno]).rstrip() + "\n", node
    try:
        source = inspect.getsource(target)
        return source, ast.parse(textwrap.dedent(source))
    except (OSError, TypeError, SyntaxError):
        raise ExperimentError(
            f"{what} {target.__name__} has no source to fingerprint; define it in a notebook's cell or in a file"
        ) from None


def _code_objects(target: Any) -> Iterator[Any]:
    functions = [target] if isinstance(target, FunctionType) else vars(target).values()
    for function in functions:
        function = inspect.unwrap(getattr(function, "__func__", function))
        if isinstance(function, FunctionType):
            yield function.__code__


def _holds(node: ast.ClassDef | ast.FunctionDef, line: int) -> bool:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first <= line <= (node.end_lineno or line)


def _globals(target: Any) -> dict[str, Any]:
    if isinstance(target, FunctionType):
        return target.__globals__
    return vars(sys.modules[target.__module__]) if target.__module__ in sys.modules else {}


def _is_own(value: Any) -> bool:
    """Whether a class or function is the user's: not Python's, not of an installed package, not of hwkit."""
    module = sys.modules.get(value.__module__)
    if module is None or value.__module__ == "__main__":
        return True
    file = getattr(module, "__file__", None)
    if file is None or module is builtins or value.__module__.partition(".")[0] == "hwkit":
        return False
    return not str(Path(file).resolve()).startswith(_LIBRARIES)


def _without_docstrings(tree: ast.AST) -> ast.AST:
    tree = ast.parse(ast.unparse(tree))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _lies_in(module: ModuleType, folders: set[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return bool(folders) and isinstance(file, str) and module.__name__ != "__main__" and Path(file).parent in folders


def from_file(reference: str, folder: Path | None = None) -> Callable[..., Any]:
    """The class or function that "mynets.py:Net" names; runs the file, which may import those beside it.

    Parameters
    ----------
    folder : where a relative path begins; None is the current directory.

    Raises
    ------
    ExperimentError
        If there is no such file, or it fails or has no such name.
    """
    path, colon, name = reference.rpartition(":")
    if not colon or not path or not name.isidentifier():
        raise ExperimentError(f"{reference!r} does not name a class in a file; write it as mynets.py:Net")
    file = ((folder or Path()) / Path(path).expanduser()).absolute()
    if not file.is_file():
        raise ExperimentError(f"there is no file {file}; name the class or function as mynets.py:{name}")
    spec = importlib.util.spec_from_file_location(f"hwkit_own_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ExperimentError(f"{file} does not end in .py; name a Python file as in mynets.py:{name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a class looks its module up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ExperimentError(f"{file} fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.parent))
    if not hasattr(module, name):
        raise ExperimentError(f"{file} has no {name}; it has: {', '.join(_public(module)) or 'no class or function'}")
    return getattr(module, name)


def _public(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
