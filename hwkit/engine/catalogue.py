"""What `hwkit runs` lists: a line on each run of a store, without reading them all each time.

What was read of a run is remembered in the user's cache folder, never in the store, which a stranger may have sent. It
counts for as long as the run's description is the very same files (inode, size, times of change), and the file has a
checksum: one that is missing, damaged or cannot be written only costs time. Whoever loads a run reads the run itself.

Importing this module, and listing runs that have not changed, does without torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hwkit.engine import files
from hwkit.errors import RunError
from hwkit.formats import duration
from hwkit.paths import CHECKPOINT, cache_root
from hwkit.version import __version__

LARGEST = 2**30  # bytes of remembered lines; a hundred thousand runs have about thirty million


class Line(NamedTuple):
    """A finished run in short."""

    folder: str
    name: str
    profile: str
    data: str
    seed: int
    test_accuracy: float
    seconds: float
    finished: str
    training_version: int


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    Attributes
    ----------
    runs : the finished ones, newest first.
    unfinished : names of folders in which training was begun and not finished.
    problems : a line on each folder that cannot be read.
    """

    runs: list[Line]
    unfinished: list[str]
    problems: list[str]


def list_store(root: Path, version: int, read: Callable[[Path], Line]) -> Listing:
    """List the runs of a store, reading those that are new or changed.

    Parameters
    ----------
    version : of the training code; with another one, other runs may be readable.
    read : the line on the run in a folder; RunError if it cannot be read.
    """
    root = root.absolute()
    header = {"hwkit": __version__, "training_version": version, "store": str(root)}
    remembered = _recall(header)
    known: dict[str, tuple[str, Line]] = {}
    unfinished, problems = [], []
    for name in _folders(root):
        mark = _mark(f"{root}/{name}")
        if mark is None:
            if os.path.exists(f"{root}/{name}/{CHECKPOINT}"):
                unfinished.append(name)
            continue
        found = remembered.get(name)
        if found is None or found[0] != mark:
            try:
                found = mark, read(root / name)
            except RunError as error:
                problems.append(str(error))
                continue
        known[name] = found
    if known != remembered:
        _remember(header, known)
    newest_first = sorted((line for _, line in known.values()), key=lambda line: line.finished, reverse=True)
    return Listing(newest_first, unfinished, problems)


def table(lines: list[Line], version: int) -> str:
    """Lines as people read them, in aligned columns."""
    rows = [("name", "profile", "data", "seed", "test accuracy", "duration", "finished", "folder")]
    for line in lines:
        older = "" if line.training_version == version else " (older training code)"
        measured = (str(line.seed), f"{line.test_accuracy:.4f}", duration(line.seconds))
        minute = line.finished[:16].replace("T", " ")
        rows.append((line.name, line.profile, line.data, *measured, minute, line.folder + older))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{side}{width}}}" for side, width in zip("<<<>>><<", widths, strict=True))
    return "\n".join(layout.format(*row).rstrip() for row in rows)


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _mark(folder: str) -> str | None:
    """What changes whenever a run's description is written anew; None if the run is not finished."""
    try:
        found = [os.stat(f"{folder}/metrics.json")]
    except OSError:
        return None
    with contextlib.suppress(OSError):
        found.append(os.stat(f"{folder}/experiment.json"))
    return " ".join(f"{one.st_ino}.{one.st_size}.{one.st_mtime_ns}.{one.st_ctime_ns}" for one in found)


# --- Remembering ------------------------------------------------------------------------------------------------


Header = dict[str, Any]  # what a file has to be about


def _place(header: Header) -> Path:
    """The file that remembers a store."""
    return cache_root() / f"runs-{hashlib.sha256(os.fsencode(header['store'])).hexdigest()[:16]}.json"


def _remember(header: Header, known: dict[str, tuple[str, Line]]) -> None:
    content = json.dumps({**header, "runs": known}).encode()
    digest = hashlib.sha256(content).hexdigest().encode()
    with contextlib.suppress(OSError):  # no room or no right to write there: then the next listing reads again
        _place(header).parent.mkdir(parents=True, exist_ok=True)
        files.replace(_place(header), lambda temporary: temporary.write_bytes(digest + b"\n" + content))


def _recall(header: Header) -> dict[str, tuple[str, Line]]:
    """What `_remember` wrote; nothing if that is missing, damaged or about something else."""
    try:
        digest, _, content = files.read_bytes(_place(header), LARGEST).partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return {}
        found = files.parse_object(content)
        runs = found.pop("runs")
        return {name: (mark, Line(*line)) for name, (mark, line) in runs.items()} if found == header else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
