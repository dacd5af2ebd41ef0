"""Files: written whole or not at all, and read only where a notebook may read."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from hwkit.errors import ReportError, remedy

LARGEST_NOTEBOOK = 2**30  # bytes; one with a hundred large figures has a tenth
LARGEST_TEXT = 2**26


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
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise ReportError(f"{problem}; {remedy(error)}, or name another place") from error


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


def require_distinct(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Refuse to write two files to one place, or one file over another that is read: pairs are (read, written).

    Raises
    ------
    ReportError
        Names both files, and what they would become.
    """
    pairs = list(pairs)
    read: dict[str, list[tuple[Path, Path]]] = {}
    written: dict[str, list[tuple[Path, Path]]] = {}
    for source, _ in pairs:
        read.setdefault(_folded(_place(source)), []).append((source, source))
    for source, target in pairs:
        key = _folded(_place(target))
        for other, place in read.get(key, []):
            if _same_file(place, target):
                raise ReportError(f"{other} would be overwritten by what is made of {source}; name another place")
        for other, place in written.setdefault(key, []):
            if _same_file(place, target):
                way = "rename one, or name the folder that holds both"
                raise ReportError(f"{other} and {source} would both be written to {target}; {way}")
        written[key].append((source, target))


def _place(path: Path) -> str:
    return os.path.join(os.path.realpath(path.parent), path.name)


def _folded(name: str) -> str:
    """What all names have in common that a file system may take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _same_file(path: Path, other: Path) -> bool:
    """Whether two paths that are folded to one lead to the same file."""
    return _place(path) == _place(other) or _folds_names(other.parent)


def _folds_names(folder: Path) -> bool:
    """Whether a file system takes names for one that differ in case or accents; the folder in it may not exist yet."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix="hwkit-\u00e9-", dir=there) as probe:
            name = os.path.basename(probe)
            others = (name.swapcase(), unicodedata.normalize("NFD", name))
            return any(os.path.exists(os.path.join(there, other)) for other in others)
    except OSError:
        return True  # it cannot be written to, either


def find_inside(target: str, folders: Sequence[Path], what: str, *, roots: Sequence[Path] = ()) -> Path:
    """The file that `target` names below one of `folders`, or from there within the one of `roots` that holds it.

    Symbolic links are followed before that is checked. Backslashes, and letters in the other case, are taken as on the
    systems where such names are written.

    Raises
    ------
    ReportError
        If it is outside of them or missing; the message calls it a `what` ("image").
    """
    outside = False
    for folder in folders:
        for name in dict.fromkeys([target, target.replace("\\", "/")]):
            try:
                start = folder.resolve()
                within = next((root for root in map(Path.resolve, roots) if start.is_relative_to(root)), start)
                path = (start / name).resolve()
                if path.is_relative_to(within):
                    path = path if path.is_file() else _spelt_otherwise(path, within).resolve()
                if not path.is_relative_to(within):
                    outside = True
                elif path.is_file():
                    return path
            except (OSError, ValueError, RuntimeError):
                continue  # a name that no file can have, or links that go in circles
    if outside:
        raise ReportError(f"{what} {shortened(target)} is outside the notebook's folder and was left out")
    raise ReportError(f"{what} {shortened(target)} was not found in the notebook's folder")


def _spelt_otherwise(path: Path, root: Path) -> Path:
    """The path with each name that does not exist as the one name beside it that differs in case or accents only."""
    found = root
    for part in path.relative_to(root).parts:
        if not (found / part).exists():
            alike = [name for name in os.listdir(found) if _folded(name) == _folded(part)]
            part = alike[0] if len(alike) == 1 else part
        found /= part
    return found


def shortened(target: str) -> str:
    """A path or address for a message: quoted, and cut if it is long."""
    return repr(target if len(target) <= 80 else target[:77] + "...")
