"""What notebooks are going to train, so that a report can train it first, several at a time.

A notebook says so itself: its cell tagged "plan", which follows the one tagged "parameters", makes a list
`experiments`. A notebook without one trains what it trains while it is executed.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from types import SimpleNamespace
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
    try:
        for tree in _tagged(notebook, TAG):
            exec(compile(tree, TAG, "exec"), names)
        names.update(parameters)
        for tree in plan:
            exec(compile(tree, "plan", "exec"), names)
        # A notebook that is not of hwkit may mean something else by the tag.
        return [one for one in names.get("experiments", []) if hasattr(one, "fingerprint")]
    except HwkitError:
        raise
    except Exception:  # whatever is wrong with the notebook shows, cell by cell, when it is executed
        return []


def _tagged(notebook: Mapping[str, Any], tag: str) -> list[ast.Module]:
    """The code of all cells with a tag that is Python."""
    trees = [tree_of(code_of(cell)) for cell in notebook["cells"] if tag in tags_of(cell)]
    return [tree for tree in trees if tree is not None]
