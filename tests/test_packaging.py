"""pip and conda users get the same thing, importing is cheap, and notebooks are committed clean."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import hwkit
from hwkit.datasets.sources import DATASETS
from hwkit.report.build import standard_notebooks
from hwkit.report.execute import read_notebook
from hwkit.report.parameters import signature_of

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_and_pip_install_the_same_thing() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert f"python{PROJECT['requires-python']}" in conda
    # Everything but Python, pip and make comes from pyproject.toml, with the extra that the Makefile installs.
    assert {re.split("[<>=]", entry)[0] for entry in conda} == {"python", "pip", "make"}
    extras = re.search(r"^EXTRAS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    assert pip == [f"-e .[{extras}]"]


def test_every_dependency_has_a_tested_minimum_version() -> None:
    groups = [*PROJECT["optional-dependencies"].values()]
    for requirement in (requirement for group in groups for requirement in group):
        assert requirement.startswith("hwkit[") or ">=" in requirement


def test_every_public_name_exists() -> None:
    for name in hwkit.__all__:
        assert getattr(hwkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hwkit.nothing


def test_every_public_class_and_function_has_an_example() -> None:
    public = [getattr(hwkit, name) for name in hwkit.__all__ if callable(getattr(hwkit, name))]
    documented = [inspect.getdoc(type(thing).__call__ if inspect.ismodule(thing) else thing) for thing in public]
    assert len(public) > 15
    assert [text for text in documented if "Examples\n--------\n>>> " not in (text or "")] == []


def test_importing_hwkit_imports_nothing_heavy() -> None:
    code = "import hwkit, sys; print([m for m in ('torch', 'matplotlib', 'pandas', 'IPython') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs_and_with_short_cells(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            assert cell["execution_count"] is None
            lines = [line for line in "".join(cell["source"]).splitlines() if line and not line.startswith("#")]
            longest = 16 if lines and lines[0].startswith("class ") else 10  # a network stays in one piece
            assert len(lines) <= longest or "parameters" in cell["metadata"].get("tags", [])


@pytest.mark.parametrize("path", standard_notebooks(ROOT / "notebooks"), ids=lambda path: path.stem)
def test_notebooks_declare_what_the_report_asks_of_them(path: Path) -> None:
    notebook = read_notebook(path)
    known = {"results", "verdicts", "reference"} if "closing" in notebook["metadata"]["hwkit"] else {"profile", "seed"}
    assert known <= set(signature_of(notebook, path.name).known)
    assert set(notebook["metadata"]["hwkit"].get("datasets", [])) <= set(DATASETS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_begin_with_title_and_question_and_then_find_hwkit_the_same_way(path: Path) -> None:
    title, setup = read_notebook(path)["cells"][:2]
    assert title["cell_type"] == "markdown"
    assert "".join(title["source"]).startswith("# ")
    assert setup["source"] == read_notebook(NOTEBOOKS[0])["cells"][1]["source"]


def test_the_set_up_cell_takes_hwkit_from_an_uploaded_zip(tmp_path: Path) -> None:
    """Of a zip as `make colab` makes it: what the wheel holds, and the notebooks."""
    with zipfile.ZipFile(tmp_path / "hwkit-colab.zip", "w") as archive:
        archive.writestr("hwkit/__init__.py", "came_from = __file__")
    setup = "".join(read_notebook(NOTEBOOKS[0])["cells"][1]["source"])
    isolated = [sys.executable, "-I", "-S", "-c", f"{setup}\nprint(hwkit.came_from)"]  # without what is installed here
    printed = subprocess.run(isolated, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(tmp_path, printed.strip()).resolve() == tmp_path / "hwkit-colab" / "hwkit" / "__init__.py"


def test_exporting_needs_none_of_what_training_needs(tmp_path: Path) -> None:
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    names = [re.split("[<>=]", one)[0] for one in PROJECT["optional-dependencies"]["train"]]
    missing = {*names, "nbconvert", "papermill", "ipykernel", "IPython"} - {"tqdm"}
    blocked = f"import sys; sys.modules.update(dict.fromkeys({missing})); from hwkit.cli import main"
    run = f"{blocked}; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", run, "export", str(notebook)], check=True)
    assert (tmp_path / "a.pdf").exists()
