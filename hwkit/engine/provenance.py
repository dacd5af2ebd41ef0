"""What a run's numbers depend on beside its experiment, and whether runs that are compared differ in it."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwkit.formats import LONGEST_LABEL
from hwkit.version import __version__

# The modules that decide what a training computes.
TRAINING_CODE = ("callbacks.py", "data.py", "experiment.py", "models.py", "training.py")
TRAINING_CODE += ("datasets/arrays.py", "datasets/reading.py", "datasets/sources.py", "datasets/standin.py")
TRAINING_CODE += ("engine/cuda_graph.py", "engine/devices.py", "engine/muon.py", "engine/optimizers.py")
# What is shown of a difference, in this order: what a reader knows by these names.
SHOWN = {
    "training_version": "training version",
    "device_name": "device",
    "precision": "precision",
    "threads": "threads",
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "instructions": "instruction set",
    "numpy": "NumPy",
    "python": "Python",
    "platform": "system",
    "hwkit": "hwkit",
    "training_code": "training code",
    "data_checksum": "data checksum",
    "began_as": "beginning on another machine",
}


def describe() -> dict[str, Any]:
    """The software that trains here, as `environment.json` keeps it; `training.describe_environment` adds the rest."""
    import numpy as np
    import torch

    return {
        "hwkit": __version__,
        "training_code": training_code(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,
        "platform": label(platform.platform()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


@functools.cache
def training_code() -> str:
    """Twelve hex digits of a SHA-256 over the source of `TRAINING_CODE`."""
    digest = hashlib.sha256()
    for name in TRAINING_CODE:
        digest.update((Path(__file__).parents[1] / name).read_bytes())
    return digest.hexdigest()[:12]


def label(text: str) -> str:
    """A system's text as a line that a report can show as it is; see `formats.is_label`."""
    return re.sub(r"[<>`\\]|\](?=\()", "?", "".join(c for c in text if c.isprintable()))[:LONGEST_LABEL]


def differences(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What environments differ in: by its name in `SHOWN`, the value in each. What one of them lacks is left out."""
    found = {}
    for key, name in SHOWN.items():
        values = [environment.get(key) for environment in environments]
        if key == "began_as":  # only those have it that did begin elsewhere
            values = ["yes" if value else "no" for value in values]
        if None not in values and len(set(map(str, values))) > 1:
            found[name] = values
    return found


def note(names: Sequence[str], environments: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on what runs differ in beside their experiments; empty if that is nothing.

    Parameters
    ----------
    names : of the runs, for the reader.
    environments : theirs, in the same order.
    """
    parts = []
    for what, values in differences(environments).items():
        groups: dict[str, list[str]] = {}
        for name, value in zip(names, values, strict=True):
            groups.setdefault(_short(value), []).append(name)
        shown = " and ".join(f"{value} ({', '.join(dict.fromkeys(group))})" for value, group in groups.items())
        parts.append(f"{what} {shown}")
    return f"These runs differ in more than their experiments: {'; '.join(parts)}." if parts else ""


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}..." if re.fullmatch(r"[0-9a-f]{64}", text) else text
