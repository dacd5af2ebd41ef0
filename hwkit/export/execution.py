"""Running a notebook before it is exported."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hwkit.errors import ReportError
from hwkit.export.notebooks import Node, repaired

if TYPE_CHECKING:
    from nbformat import NotebookNode


def executed(nb: NotebookNode, folder: Path, *, until: float) -> tuple[NotebookNode, list[str]]:
    """The notebook as it is after a run in `folder`, and warnings. A cell that fails shows its error; the others run.

    `until` is the time (`time.monotonic`) at which it must be done.

    Raises
    ------
    ReportError
        If its kernel cannot be started or dies, or the time is over.
    """
    import nbformat
    from jupyter_client.kernelspec import NoSuchKernel, get_kernel_spec
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    nb = repaired(nb)
    spec = nb.metadata.get("kernelspec") or {}
    kernel, warnings = str(spec.get("name") or "python3"), []
    language = str(spec.get("language") or (nb.metadata.get("language_info") or {}).get("name") or "python")
    in_python = language.lower() in ("python", "ipython")
    try:
        get_kernel_spec(kernel)
    except NoSuchKernel:
        if not in_python:
            problem = f"its kernel {kernel!r} for {language} is not installed; install it, or export without --execute"
            raise ReportError(problem) from None
        warnings.append(f"the kernel {kernel!r} is not installed; the notebook ran with 'python3'")
        kernel = "python3"
    client = NotebookClient(
        nbformat.from_dict(nb),
        kernel_name=kernel,
        allow_errors=True,
        timeout_func=lambda cell: max(1, int(until - time.monotonic())),
        # Or a kernel warns of its loopback connection, and now and then tells of the interrupt that ends it.
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"] if in_python else [],
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        result = client.execute()
    except CellTimeoutError:
        raise ReportError("it was not executed within its limit of time; allow more with --limit") from None
    except DeadKernelError:
        raise ReportError("its kernel died while it was executed") from None
    return json.loads(json.dumps(result), object_hook=Node), warnings
