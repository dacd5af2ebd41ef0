"""Files: written whole or not at all, and read only where a notebook may read."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from hwkit.errors import ReportError

LARGEST_NOTEBOOK = 2**30  # bytes; one with a hundred large figures has a tenth
LARGEST_TEXT = 2**26

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, with the permissions that the user's umask leaves.

    Raises
    ------
    ReportError
        If the folder or the file cannot be written; what stood there before still does.
    """
    # Not derived from the file's name, which may be as long as names can be.
    temporary = path.with_name(f".hwkit-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        remedy = "free some space" if error.errno in _NO_ROOM else "check its folder's permissions"
        problem = error.strerror or error
        raise ReportError(f"{path} cannot be written: {problem}; {remedy}, or name another place") from error


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The content of a regular file: a pipe or a device would never end.

    Raises
    ------
    OSError
        If it is missing, not a regular file, or cannot be read.
    ValueError
        If it has more bytes than `largest`.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is not a regular file")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest} bytes")
    return content


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
