"""Data sets of the user's own: what identifies them, what is known of them, and the copy that a store keeps.

An experiment names such a data set by its identity, such as "digits@3fa9c1d2e0b4": its name, and the beginning of a
SHA-256 over its images, labels and class names. Training keeps it once, as `datasets/digits-3fa9c1d2e0b4.safetensors`
in the store, where other processes and later sessions find it. No tensor is made here and PyTorch is not imported;
`hwkit.data` makes and reads the tensors.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from hwkit.datasets.sources import DATASETS, Facts, is_own
from hwkit.engine import files
from hwkit.errors import DataError, did_you_mean
from hwkit.formats import is_label
from hwkit.paths import store_root

FOLDER = "datasets"  # of a store
MOST_CLASSES = 1000
DESCRIBED = ("title", "shape", "classes", "train_size", "test_size", "mean", "std")

_known: dict[str, Facts] = {}  # by identity
_stores: dict[Path, None] = {}  # those that runs were loaded from, beside the one that runs are trained into


def register(facts: Facts, checksum: str) -> str:
    """Make a data set known to this process by its identity, which is returned; `checksum` is that of its tensors."""
    identity = _identity(description(facts, checksum))
    _known[identity] = facts
    return identity


def description(facts: Facts, checksum: str) -> dict[str, Any]:
    """All that identifies a data set, as JSON can hold it."""
    return {**{name: getattr(facts, name) for name in DESCRIBED}, "checksum": checksum}


def _identity(description: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:12]
    return f"{description['title']}@{digest}"


def facts(name: str) -> Facts | None:
    """The facts of a data set by name, or of the user's own by identity; None if it is unknown, or its copy damaged."""
    try:
        return known_facts(name)
    except DataError:
        return None


def known_facts(name: str) -> Facts:
    """As `facts`, with a DataError where there are none.

    Those of the user's own data are known to the process that made it; elsewhere they are read from the store.
    """
    found = DATASETS.get(name) or _known.get(name)
    if found is None:
        if not is_own(name):
            raise DataError(f"unknown data set {name!r}: {did_you_mean(name, DATASETS)}")
        found = _known[name] = read_facts(find(name))
    return found


# ------------------------------------------------------------------------------------------------ copies in stores


def look_in(store: Path) -> None:
    """Look for data sets in this store, too: a run was loaded from it."""
    _stores[store.absolute()] = None


def path_in(store: Path, identity: str) -> Path:
    """Where a store keeps a data set of the user's own."""
    return store / FOLDER / f"{identity.replace('@', '-')}.safetensors"


def identity_of(path: Path) -> str:
    """The identity of the data set that a file of a store's `FOLDER` holds, by its name."""
    name, _, digest = path.stem.rpartition("-")
    return f"{name}@{digest}"


def find(identity: str) -> Path:
    """The file that holds a data set of the user's own; DataError, with the remedy, if no store has one."""
    for store in (store_root(), *_stores):
        if path_in(store, identity).exists():
            return path_in(store, identity)
    name = identity.partition("@")[0]
    raise DataError(
        f"{name} is a data set of your own, and {path_in(store_root(), identity)} is not there; make it again with "
        "hwkit.Dataset.from_arrays or from_folder, and pass it: hwkit.load(..., dataset=...)"
    )


def read_facts(path: Path) -> Facts:
    """What is known of the data set in a file of a store; its images are not read.

    Raises
    ------
    DataError
        If the file is damaged, or holds another data set than its name says.
    """
    try:
        about, size = files.read_about(path)
        facts = checked_facts(about)
        if _identity(about) != identity_of(path):
            raise ValueError("it describes another data set")
        # An image is bytes, a label is an int64.
        if size != (facts.train_size + facts.test_size) * (math.prod(facts.shape) + 8):
            raise ValueError("it is cut off or too long")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from None
    return facts


def status_table() -> list[dict[str, str]]:
    """One row per data set of the user's own in the run store, as `sources.status_table` has them."""
    rows = []
    for path in sorted((store_root() / FOLDER).glob("*.safetensors")):
        try:
            facts = read_facts(path)
            images, status, detail = f"{facts.train_size} + {facts.test_size} images", "ok", ""
        except DataError as error:
            images, status, detail = "images unknown", "damaged", str(error)
        source = {"source": "your own", "location": str(path.parent)}
        rows.append({"data set": identity_of(path), "images": images, "status": status, "detail": detail, **source})
    return rows


def damaged(path: Path, error: Exception) -> DataError:
    """The error for a data set in a store that cannot be used."""
    problem = getattr(error, "strerror", None) or error
    return DataError(
        f"{path} is damaged: {problem}; delete it, and train with the data set again or pass it: "
        "hwkit.load(..., dataset=...)"
    )


def checked_facts(about: dict[str, Any]) -> Facts:
    """The facts in a description; ValueError, KeyError or TypeError unless a data set can have them."""
    given = {name: about[name] for name in DESCRIBED}
    facts = Facts(**{**given, "shape": tuple(given["shape"]), "classes": tuple(given["classes"])})
    counts = (*facts.shape, facts.train_size, facts.test_size)
    if not all(type(count) is int and count > 0 for count in counts) or len(facts.shape) != 3:
        raise ValueError(f"its sizes are {counts}")
    if facts.shape[0] not in (1, 3):
        raise ValueError(f"its images have {facts.shape[0]} channels")
    if not (2 <= len(set(facts.classes)) == len(facts.classes) <= MOST_CLASSES and all(map(is_label, facts.classes))):
        raise ValueError("its classes have no names that can be shown")
    if not 0 <= facts.mean <= 1 or not 0 < facts.std <= 1:
        raise ValueError(f"its mean and standard deviation are {facts.mean!r} and {facts.std!r}")
    return facts
