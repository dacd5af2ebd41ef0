"""Writing what a report consists of: whole files or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hwkit.errors import ReportError


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    ReportError
        If the folder or the file cannot be written; what stood there before still does.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(content)
        try:
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error}") from error
