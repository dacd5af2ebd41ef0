"""Any notebook as PDF or HTML: no LaTeX, no browser.

>>> from pathlib import Path
>>> from hwkit.export import export_pdf
>>> pdf, warnings = export_pdf(Path("homework.ipynb"))

The other doors are `hwkit export` and nbconvert's exporters. The package imports nothing of hwkit but its errors, and
its names when they are first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwkit.export.export import Options, export_pdf
    from hwkit.export.folder import export_all, planned

_HOMES = {
    "Options": "hwkit.export.export",
    "export_all": "hwkit.export.folder",
    "export_pdf": "hwkit.export.export",
    "planned": "hwkit.export.folder",
}

__all__ = ["Options", "export_all", "export_pdf", "planned"]

# Where JupyterLab is, jsonschema imports this package to check URIs, of which notebooks have none. Building its grammar
# takes longer than all other imports of an export together; jsonschema does without what cannot be imported.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
