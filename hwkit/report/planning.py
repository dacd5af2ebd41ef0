"""What notebooks are going to train, so that a report can train it first, several at a time.

A notebook says so itself: its cell tagged "plan", which follows the one tagged "parameters", makes a list
`experiments`. A notebook without one trains what it trains while it is executed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import linecache
from collections.abc import Mapping
from types import CodeType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from hwkit.errors import HwkitError
from hwkit.report.cellcode import code_of, tags_of, tree_of
from hwkit.report.parameters import TAG

if TYPE_CHECKING:
    from hwkit.parallel import Training

MAGICS = ("run_line_magic", "run_cell_magic", "system", "getoutput")  # what IPython makes of % and !


def planned_trainings(notebook: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[Training]:
    """What a notebook trains with these parameters, from running its cells tagged "parameters" and "plan".

    Raises
    ------
    HwkitError
        For parameters that the notebook itself would refuse.
    """
    plan = _tagged(notebook, "plan")
    if not plan:
        return []
    shell = SimpleNamespace(**dict.fromkeys(MAGICS, lambda *_: None))  # magics do nothing here
    names: dict[str, Any] = {"hwkit": importlib.import_module("hwkit"), "get_ipython": lambda: shell}
    names["__name__"] = "__main__"  # of what the cells define, as in a notebook
    try:
        for code in _tagged(notebook, TAG):
            exec(code, names)
        names.update(parameters)
        for code in plan:
            exec(code, names)
        # A notebook that is not of hwkit may mean something else by the tag.
        return [one for one in names.get("experiments", []) if hasattr(one, "fingerprint")]
    except HwkitError:
        raise
    except Exception:  # whatever is wrong with the notebook shows, cell by cell, when it is executed
        return []


def _tagged(notebook: Mapping[str, Any], tag: str) -> list[CodeType]:
    """All cells with a tag that are Python, compiled."""
    sources = [code_of(cell) for cell in notebook["cells"] if tag in tags_of(cell)]
    return [_compiled(tree) for tree in map(tree_of, sources) if tree is not None]


def _compiled(tree: ast.Module) -> CodeType:
    """A cell's code, whose source `linecache` has: an experiment tells a function that a cell defines by its source."""
    source = ast.unparse(tree)
    name = f"<cell {hashlib.sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec")
