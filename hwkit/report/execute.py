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
from hwkit.report.cellcode import tags_of
from hwkit.report.parameters import signature_of
from hwkit.report.values import has_json, python_code

ERROR_MARK = "papermill-error-cell-tag"  # papermill tags the cells it adds to a failed notebook with this


@dataclass(frozen=True)
class Execution:
    """How one notebook went.

    Attributes
    ----------
    failure : names the cell and the error; None if there was none.
    warning : what the reader of the results has to know; empty if nothing.
    """

    notebook: Path
    output: Path
    seconds: float
    failure: str | None = None
    warning: str = ""


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook file as JSON; see `parse_notebook`.

    Raises
    ------
    ReportError
        If there is no such file or it is no notebook.
    """
    if path.is_dir():
        raise ReportError(f"{path} is a folder; name the notebooks in it")
    try:
        return parse_notebook(storage.read_bytes(path, LARGEST_NOTEBOOK), str(path))
    except OSError as error:
        raise ReportError(f"notebook {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ReportError(f"notebook {path} cannot be read: {error}") from None


def parse_notebook(content: bytes, name: str) -> dict[str, Any]:
    """A notebook as JSON: its cells have a source and metadata with a list of tags, its outputs are objects.

    Raises
    ------
    ReportError
        If it is no notebook.
    """
    try:
        notebook = storage.parse_object(content)
        for cell in notebook["cells"]:
            source = cell["source"]
            if not isinstance(cell["metadata"].get("tags", []), list) or not isinstance("".join(source), str):
                raise TypeError
            for output in cell.get("outputs", []):
                output.get("data", {}).keys()
        notebook["metadata"].get("hwkit", {}).get("datasets", []).copy()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReportError(f"{name} is not a Jupyter notebook (format 4)") from None
    return notebook


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    progress: bool = True,
    folder: Path | None = None,
    log: TextIO | None = None,
    cell_seconds: int | None = None,
    kernel: str | None = None,
) -> Execution:
    """Run a notebook in a fresh kernel and write it, with its outputs, to `output`; a failure up to the failing cell.

    Parameters
    ----------
    parameters : by name, for the notebook's cell tagged "parameters".
    progress : show a progress bar over the cells.
    folder : where the kernel works; None is the notebook's folder.
    log : where to write what the cells print, while they run.
    cell_seconds : after which a cell has failed; None is no limit.
    kernel : the name of a kernel in place of the notebook's own.

    Raises
    ------
    ParameterError
        If the notebook does not take one of the parameters. Nothing was run then.
    ReportError
        If the kernel is not installed, and python3 cannot take its place.
    """
    import papermill  # imports half of Jupyter, which a report that reuses everything can do without
    from papermill.exceptions import PapermillExecutionError

    from hwkit.report.kernels import choose_kernel

    content = read_notebook(notebook)
    given = signature_of(content, f"notebook {notebook.name}").convert_all(parameters)
    kernel, warning = choose_kernel(content, kernel)
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    failure = None
    try:
        with _forked_kernels(), _exact_values():
            papermill.execute_notebook(
                _literal_path(notebook),
                _literal_path(output),
                {name: one if has_json(one) else _Code(python_code(one)) for name, one in given.items()},
                kernel_name=kernel,
                language="python",  # in which parameters are injected; there are none for other languages
                cwd=str(folder or notebook.parent),
                progress_bar=progress,
                stdout_file=log,
                stderr_file=log,
                execution_timeout=cell_seconds,
                # Or a kernel warns of its loopback connection, and now and then tells of the interrupt that ends it.
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
    except PapermillExecutionError as error:
        if _stopped_at(output):
            failure = f"cell {error.cell_index + 1} (In [{error.exec_count}]): {error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that dies or does not start has no exception class of its own
        failure = f"{type(error).__name__}: {error}"
    else:
        if number := _stopped_at(output):
            warning += (
                f"{'; ' if warning else ''}cell {number} ended it with sys.exit: the cells below were not executed"
            )
    return Execution(notebook, output, time.monotonic() - started, failure, warning)


def _literal_path(path: Path) -> str:
    """A path in which papermill finds no places for parameters: to it, it is a format string."""
    return str(path).replace("{", "{{").replace("}", "}}")


class _Code(str):
    """Python code of a value that JSON does not have: papermill injects it as it is, and keeps it as text."""


@contextlib.contextmanager
def _exact_values() -> Iterator[None]:
    """Within, papermill injects `_Code`; by itself it makes texts of tuples and of the keys of dictionaries."""
    from papermill.translators import PythonTranslator, papermill_translators

    class Translator(PythonTranslator):
        @classmethod
        def translate_str(cls, val: str) -> str:
            return str(val) if isinstance(val, _Code) else super().translate_str(val)

    papermill_translators.register("python", Translator)
    try:
        yield
    finally:
        papermill_translators.register("python", PythonTranslator)


@contextlib.contextmanager
def _forked_kernels() -> Iterator[None]:
    """Kernels that are started within begin as forks of a process that has imported everything; see `kernels`."""
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    from hwkit.report.kernels import NAME

    factory = KernelProvisionerFactory.instance()
    before, factory.default_provisioner_name = factory.default_provisioner_name, NAME
    try:
        yield
    finally:
        factory.default_provisioner_name = before


def _stopped_at(output: Path) -> int | None:
    """The number of the cell with which an execution came to an end; errors of those tagged "raises-exception" do not.

    The cells that papermill adds around an error are taken out: the report shows the error itself.
    """
    content = read_notebook(output)
    cells = [cell for cell in content["cells"] if ERROR_MARK not in tags_of(cell)]
    if len(cells) < len(content["cells"]):
        content["cells"] = cells
        replace_file(output, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    numbered = enumerate(cells, start=1)
    return next((number for number, cell in numbered if cell["metadata"].get("papermill", {}).get("exception")), None)


def outputs_of_kind(notebook: Path, mime: str) -> list[Any]:
    """The data of all outputs of one MIME kind in an executed notebook, in order."""
    outputs = [output for cell in read_notebook(notebook)["cells"] for output in cell.get("outputs", [])]
    return [output["data"][mime] for output in outputs if mime in output.get("data", {})]
