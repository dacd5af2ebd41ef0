"""Running notebooks with papermill: parameters checked first, failures described, what they found out kept."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from hwkit.engine import files as storage
from hwkit.errors import ReportError
from hwkit.export.files import LARGEST_NOTEBOOK, replace_file
from hwkit.report.notebook import assigned_names, require_declared

ERROR_MARK = "papermill-error-cell-tag"  # papermill tags the cells it adds to a failed notebook with this


@dataclass(frozen=True)
class Execution:
    """How one notebook went. `failure` names the cell and the error, and is None if there was none."""

    notebook: Path
    output: Path
    seconds: float
    failure: str | None = None


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook file as JSON.

    Raises
    ------
    ReportError
        If there is no such file or it is no notebook.
    """
    try:
        content = storage.parse_object(storage.read_bytes(path, LARGEST_NOTEBOOK))
        for cell in content["cells"]:
            source = cell["source"]
            if not isinstance(cell["metadata"].get("tags", []), list) or not isinstance("".join(source), str):
                raise TypeError
            for output in cell.get("outputs", []):
                output.get("data", {}).keys()
        content["metadata"].get("hwkit", {}).get("datasets", []).copy()
    except OSError as error:
        raise ReportError(f"notebook {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReportError(f"{path} is not a Jupyter notebook (format 4)") from None
    return content


def declared_parameters(notebook: Mapping[str, Any]) -> list[str]:
    """The parameters of a notebook: the names that its cell tagged "parameters" assigns."""
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    return [name for cell in cells for name in assigned_names("".join(cell["source"]))]


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Raise ParameterError if the notebook does not declare one of the parameters."""
    require_declared(list(parameters), declared_parameters(read_notebook(notebook)), f"notebook {notebook.name}")


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    progress: bool = True,
    folder: Path | None = None,
    log: TextIO | None = None,
    cell_seconds: int | None = None,
) -> Execution:
    """Run a notebook in a fresh kernel and write it, with its outputs, to `output`; a failure up to the failing cell.

    Parameters
    ----------
    parameters : by name, for the notebook's cell tagged "parameters".
    progress : show a progress bar over the cells.
    folder : where the kernel works; None is the notebook's folder.
    log : where to write what the cells print, while they run.
    cell_seconds : after which a cell has failed; None is no limit.

    Raises
    ------
    ParameterError
        If the notebook does not declare one of the parameters. Nothing was run then.
    """
    import papermill  # imports half of Jupyter, which a report that reuses everything can do without
    from papermill.exceptions import PapermillExecutionError

    check_parameters(notebook, parameters)
    kernel = read_notebook(notebook)["metadata"].get("kernelspec", {})
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    failure = None
    try:
        with _forked_kernels():
            papermill.execute_notebook(
                str(notebook),
                str(output),
                dict(parameters),
                kernel_name=kernel.get("name", "python3"),
                language=kernel.get("language", "python"),
                cwd=str(folder or notebook.parent),
                progress_bar=progress,
                stdout_file=log,
                stderr_file=log,
                execution_timeout=cell_seconds,
                # Or a kernel warns of its loopback connection, and now and then tells of the interrupt that ends it.
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
    except PapermillExecutionError as error:
        remove_error_marks(output)
        failure = f"cell {error.cell_index + 1} (In [{error.exec_count}]): {error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that dies or does not start has no exception class of its own
        failure = f"{type(error).__name__}: {error}"
    return Execution(notebook, output, time.monotonic() - started, failure)


@contextlib.contextmanager
def _forked_kernels() -> Iterator[None]:
    """Kernels that are started within begin as forks of a process that has imported everything; see `kernels`."""
    from jupyter_client.provisioning import KernelProvisionerFactory

    from hwkit.report.kernels import NAME

    factory = KernelProvisionerFactory.instance()
    before, factory.default_provisioner_name = factory.default_provisioner_name, NAME
    try:
        yield
    finally:
        factory.default_provisioner_name = before


def remove_error_marks(path: Path) -> None:
    """Take out the cells that papermill adds around an error: the report shows the error itself."""
    content = read_notebook(path)
    content["cells"] = [cell for cell in content["cells"] if ERROR_MARK not in cell["metadata"].get("tags", [])]
    replace_file(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def outputs_of_kind(notebook: Path, mime: str) -> list[Any]:
    """The data of all outputs of one MIME kind in an executed notebook, in order."""
    outputs = [output for cell in read_notebook(notebook)["cells"] for output in cell.get("outputs", [])]
    return [output["data"][mime] for output in outputs if mime in output.get("data", {})]
