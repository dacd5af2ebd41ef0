"""Where the project, its data and its runs lie on disk."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

CHECKPOINT = "checkpoint.safetensors"  # in the folder of a run that is being trained


def project_root() -> Path:
    """The nearest parent of the current directory, itself included, that is an hwkit project; else the current one.

    A notebook runs in `notebooks/` and `make report` one level up: both must find the same data and runs.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if _is_project(folder)), here)


def data_root() -> Path:
    """The folder of the data sets, in torchvision's layout: `$HWKIT_DATA`, else `data` in the project."""
    chosen = os.environ.get("HWKIT_DATA")
    return Path(os.path.expanduser(chosen)) if chosen else project_root() / "data"


def store_root() -> Path:
    """The folder of the runs: `$HWKIT_HOME`, else `runs` in the project."""
    chosen = os.environ.get("HWKIT_HOME")
    return Path(os.path.expanduser(chosen)) if chosen else project_root() / "runs"


def cache_root() -> Path:
    """The folder of what can be made again at any time: `$HWKIT_CACHE`, else `.cache/hwkit` in the user's home."""
    return Path(os.path.expanduser(os.environ.get("HWKIT_CACHE") or "~/.cache/hwkit"))


def _is_project(folder: Path) -> bool:
    """Whether `folder` holds `notebooks` and a pyproject.toml of the project named hwkit."""
    if not (folder / "notebooks").is_dir():
        return False
    try:
        facts = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # a missing or unreadable file only means that this is somebody else's folder
    project = facts.get("project")
    return isinstance(project, dict) and project.get("name") == "hwkit"
