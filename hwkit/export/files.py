"""Files of a report: read from where a notebook may read only, written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwkit.engine import files as storage
from hwkit.errors import ReportError

LARGEST_NOTEBOOK = 2**30  # bytes; one with a hundred large figures has a tenth


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    ReportError
        If the folder or the file cannot be written; what stood there before still does.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.replace(path, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        problem = error.strerror or error
        raise ReportError(f"{path} cannot be written: {problem}; free some space, or name another --output") from error


def find_inside(target: str, folders: Sequence[Path], what: str) -> Path:
    """The file that `target` names below one of `folders`, symbolic links followed before the check.

    Raises
    ------
    ReportError
        If it is outside of them or missing; the message calls it a `what` ("image").
    """
    outside = False
    for folder in folders:
        root = folder.resolve()
        try:
            path = (root / target).resolve()
            if not path.is_relative_to(root):
                outside = True
            elif path.is_file():
                return path
        except (OSError, ValueError, RuntimeError):
            continue  # a name that no file can have, or links that go in circles
    if outside:
        raise ReportError(f"{what} {shortened(target)} is outside the notebook's folder and was left out")
    raise ReportError(f"{what} {shortened(target)} was not found in the notebook's folder")


def shortened(target: str) -> str:
    """A path or address for a message: quoted, and cut if it is long."""
    return repr(target if len(target) <= 80 else target[:77] + "...")
