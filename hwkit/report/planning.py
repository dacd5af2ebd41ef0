"""What notebooks are going to train, so that a report can train it first, several at a time.

A notebook says so itself: its cell tagged "plan", which follows the one tagged "parameters", makes a list
`experiments`. A notebook without one trains what it trains while it is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hwkit.errors import HwkitError

if TYPE_CHECKING:
    from hwkit.parallel import Training


def planned_trainings(notebook: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[Training]:
    """What a notebook trains with these parameters, from running its cells tagged "parameters" and "plan".

    Raises
    ------
    HwkitError
        For parameters that the notebook itself would refuse.
    """
    import hwkit

    names: dict[str, Any] = {"hwkit": hwkit}
    if not tagged_source(notebook, "plan"):
        return []
    try:
        exec(tagged_source(notebook, "parameters"), names)
        names.update(parameters)
        exec(tagged_source(notebook, "plan"), names)
    except HwkitError:
        raise
    except Exception:  # whatever is wrong with the notebook shows, cell by cell, when it is executed
        return []
    return list(names.get("experiments", []))


def tagged_source(notebook: Mapping[str, Any], tag: str) -> str:
    """The source of all code cells with a tag."""
    cells = [cell for cell in notebook["cells"] if tag in cell["metadata"].get("tags", [])]
    return "\n".join("".join(cell["source"]) for cell in cells)
