"""What a notebook needs beside the library itself: checked parameters, a place for its runs, captions, source code."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwkit.errors import ParameterError, RunError
from hwkit.report.cellcode import assignments_of, statements_of
from hwkit.report.parameters import Signature, declared_by

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import Markdown
    from matplotlib.figure import Figure

# papermill begins the cell it injects after the one tagged "parameters" with this line
INJECTED_MARK = "# Parameters"
COLAB_DRIVE = Path("/content/drive")


def check_parameters() -> None:
    """Refuse parameters that the notebook does not take. To be called in the cell after the parameters.

    papermill itself only warns, and then runs with the default in place of what was misspelt. Without papermill there
    is nothing to check.

    Raises
    ------
    ParameterError
        Names the unknown parameter and the known ones, or the value and what is wanted.

    Examples
    --------
    >>> hwkit.check_parameters()
    """
    from IPython import get_ipython

    shell = get_ipython()
    cells = [] if shell is None else [source for source in shell.user_ns["In"] if source.strip()]
    injected = max((i for i, cell in enumerate(cells) if cell.startswith(INJECTED_MARK)), default=0)
    if injected:
        signature = Signature("this notebook", declared_by(cells[injected - 1]), "its parameters are not Python", [])
        for name, value in (pair for one in statements_of(cells[injected]) for pair in assignments_of(one)):
            signature.require(name)
            try:
                given = ast.literal_eval(value or ast.Constant(None))
            except ValueError:
                continue  # float('nan') is no literal
            signature.convert(name, given)


def use_store(folder: str) -> None:
    """Keep runs in this folder from now on; an empty text leaves them where they are.

    A folder on Google Drive, such as "/content/drive/MyDrive/hwkit", is mounted first: runs there outlive the Colab
    session.

    Raises
    ------
    RunError, ParameterError
        If the folder cannot be made, or is no text.

    Examples
    --------
    >>> hwkit.use_store("/content/drive/MyDrive/hwkit/runs")  # doctest: +SKIP
    """
    if not isinstance(folder, str):
        raise ParameterError(f"store must be a folder's name in quotes, not {folder!r}")
    if not folder:
        return
    path = Path(folder).expanduser()
    if path.is_relative_to(COLAB_DRIVE) and not (COLAB_DRIVE / "MyDrive").exists():
        from google.colab import drive  # pyright: ignore[reportMissingImports]  # there in Colab only, and so is this folder

        drive.mount(str(COLAB_DRIVE))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"store={folder!r} cannot be used: {error.strerror}; name a folder that can be written"
        ) from None
    os.environ["HWKIT_HOME"] = str(path)


def show_source(*objects: Any) -> Markdown:
    """The source code of classes or functions without their docstrings, for the notebook and the report.

    Examples
    --------
    >>> hwkit.show_source(hwkit.models.MnistCNN)  # doctest: +SKIP
    """
    from IPython.display import Markdown

    code = "\n\n".join(_without_docstrings(textwrap.dedent(inspect.getsource(item))).strip() for item in objects)
    return Markdown(f"```python\n{code}\n```")


def _without_docstrings(source: str) -> str:
    """Python source with the docstrings of its classes and functions taken out."""
    lines = source.splitlines()
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            end = docstring.end_lineno or docstring.lineno
            while not lines[end].strip():
                end += 1  # the blank lines behind it go too
            dropped.update(range(docstring.lineno - 1, end))
    return "\n".join(line for number, line in enumerate(lines) if number not in dropped)


def markdown(text: str) -> Markdown:
    """Text as Markdown output, with the indentation of the code around it taken away.

    Examples
    --------
    >>> hwkit.markdown(f"Test accuracy is **{run.test_accuracy:.3f}**.")  # doctest: +SKIP
    """
    from IPython.display import Markdown

    return Markdown(inspect.cleandoc(text))


def show_figure(figure: Figure | pd.DataFrame, caption: str) -> None:
    """Display a figure or table that only some runs have, or one of several of a cell; the report numbers it.

    Examples
    --------
    >>> hwkit.show_figure(hwkit.plots.accuracy_curves(run), f"Accuracy of {run.name}.")  # doctest: +SKIP
    """
    from IPython.display import display

    display(figure, metadata={"hwkit": {"caption": caption}})
