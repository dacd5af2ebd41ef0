"""Notebooks get checked parameters, a store of their own choice, and the source code they show."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import IPython
import pytest

from hwkit import models
from hwkit.errors import ParameterError, RunError
from hwkit.report import notebook

DECLARED = 'profile = "quick"  # str: how long\nl2: float = 1e-3\nepochs = None'


def run_cells(monkeypatch: pytest.MonkeyPatch, *cells: str) -> None:
    """Let check_parameters see these cells as the ones executed so far."""
    shell = SimpleNamespace(user_ns={"In": ["", *cells]})
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)


def test_declared_parameters_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    run_cells(monkeypatch, "import hwkit", DECLARED, "# Parameters\nl2 = 0.01\nepochs = 3\n")
    notebook.check_parameters()


def test_a_misspelt_parameter_is_an_error_that_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    run_cells(monkeypatch, "import hwkit", DECLARED, "# Parameters\nepoch = 3\n")
    with pytest.raises(
        ParameterError, match=r"no parameter 'epoch'; did you mean 'epochs'\? known: profile, l2, epochs"
    ):
        notebook.check_parameters()


def test_without_papermill_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    run_cells(monkeypatch, "import hwkit", DECLARED)
    notebook.check_parameters()
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    notebook.check_parameters()


def test_a_parameter_of_another_type_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As papermill's own command line gives it: `-p epochs many`."""
    run_cells(monkeypatch, "import hwkit", DECLARED, "# Parameters\nl2 = float('nan')\nprofile = True\n")
    with pytest.raises(ParameterError, match=r"parameter profile of this notebook takes str: a text.*, not True"):
        notebook.check_parameters()


def test_the_store_moves_to_a_folder_and_stays_where_it_is_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWKIT_HOME", "before")
    notebook.use_store("")
    assert os.environ["HWKIT_HOME"] == "before"
    notebook.use_store(str(tmp_path / "drive" / "runs"))
    assert os.environ["HWKIT_HOME"] == str(tmp_path / "drive" / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"store=.* cannot be used"):
        notebook.use_store(str(tmp_path / "file"))


def test_shown_source_is_the_code_without_its_docstrings() -> None:
    shown = notebook.show_source(models.MnistCNN).data
    code = shown.removeprefix("```python\n").removesuffix("\n```")
    compile(code, "shown", "exec")
    assert "self.conv1 = nn.Conv2d(1, filters[0], kernel_size" in code
    assert '"""' not in code
