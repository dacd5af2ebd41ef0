"""`hwkit report` on notebooks that are not of hwkit: odd kernels, cells that may raise, parameters of every type."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from hwkit.cli import main
from hwkit.errors import ReportError
from hwkit.report.execute import read_notebook
from hwkit.report.kernels import choose_kernel


def notebook_in(folder: Path, name: str, *cells: tuple[str, str], **metadata: Any) -> None:
    """A notebook of code cells, each a pair of its tag and its source."""
    made = new_notebook(cells=[new_code_cell(source, metadata={"tags": tag.split()}) for tag, source in cells])
    (folder / name).write_text(json.dumps({**made, "metadata": metadata}))


def printed_in(notebook: Path) -> str:
    outputs = [output for cell in read_notebook(notebook)["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", "")) for output in outputs)


TYPED = "%matplotlib inline\nflag = True\nsize = (1, 1)\nrate: float = None\nname = ''\nwhat = {0}"


@pytest.fixture(scope="module")
def folder(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed {notebooks}")
    missing = {"name": "conda-env-xyz", "display_name": "mine", "language": "python"}
    notebook_in(folder, "1raises.ipynb", ("raises-exception", "1 / 0"), ("", "print('afterwards')"))
    notebook_in(folder, "2kernel.ipynb", ("", "print('ran')"), kernelspec=missing)
    notebook_in(
        folder, "3typed.ipynb", ("parameters", TYPED), ("", "print(flag, size, rate, name, what)"), kernelspec=None
    )
    notebook_in(folder, "4leaves.ipynb", ("", "import sys\nsys.exit(0)"), ("", "print('never')"))
    notebook_in(folder, "5fails.ipynb", ("raises-exception", "1 / 0"), ("", "int('x')"), ("", "print('never')"))
    notebook_in(folder, "6profile.ipynb", ("parameters", "profile = True"), ("", "print(profile)"))
    notebook_in(folder, "7foreign.ipynb", ("", "cat(1)"), kernelspec={**missing, "name": "ir", "language": "R"})
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> tuple[int, str, str]:
    """Exit status, and what was printed, of a report of all of them by their relative paths."""
    given = ["flag=no", "size=[3, 4]", "rate=1", "name=(3, 4)", "what=[nan]"]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        names = sorted(path.name for path in folder.glob("*.ipynb"))
        status = main(["report", *names, "--output", "out", *(word for one in given for word in ("-p", one))])
    return status, out.getvalue(), err.getvalue()


def test_values_are_what_the_types_make_of_the_texts(folder: Path, report: tuple[int, str, str]) -> None:
    assert printed_in(folder / "out" / "notebooks" / "3typed.ipynb") == "False (3, 4) 1.0 (3, 4) {nan}\n"


def test_the_default_profile_is_not_given_to_a_notebook_that_means_something_else(
    folder: Path, report: tuple[int, str, str]
) -> None:
    assert printed_in(folder / "out" / "notebooks" / "6profile.ipynb") == "True\n"
    assert "profile quick" not in report[1]


def test_cells_that_may_raise_do(folder: Path, report: tuple[int, str, str]) -> None:
    assert printed_in(folder / "out" / "notebooks" / "1raises.ipynb") == "afterwards\n"
    assert "1raises" not in report[2]


def test_what_fails_is_named_once_and_is_not_up_to_date(report: tuple[int, str, str]) -> None:
    status, out, err = report
    assert status == 1
    assert "up to date" not in out.partition("\n")[2]
    assert "5fails.ipynb failed: cell 2 (In [2]): ValueError: invalid literal" in err
    assert "7foreign.ipynb failed: kernel 'ir' is not installed here, only" in err
    assert "executed up to there in" in err
    assert "7foreign.ipynb\n" not in err.partition("executed")[2]


def test_a_missing_kernel_and_an_early_end_are_warnings(folder: Path, report: tuple[int, str, str]) -> None:
    assert printed_in(folder / "out" / "notebooks" / "2kernel.ipynb") == "ran\n"
    assert (
        "warning: 2kernel.ipynb: its kernel 'conda-env-xyz' is not installed here; python3 took its place" in report[1]
    )
    assert "warning: 4leaves.ipynb: cell 1 ended it with sys.exit" in report[1]


def test_a_report_without_runs_says_so(
    folder: Path, report: tuple[int, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", str(folder / "out" / "results.csv")]) == 2
    assert capsys.readouterr().err.endswith("results.csv holds no runs: no notebook of that report shows any\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-p", "flag=1"], "parameter flag of notebook 3typed.ipynb takes bool: true or false, not '1'"),
        (["-p", "rate=fast"], "parameter rate of notebook 3typed.ipynb takes float: a number such as 0.5, not 'fast'"),
        (["-p", "flag=no", "-p", "flag=yes"], "parameter flag is given twice: 'no' and 'yes'; give one"),
        (["-p", "=no"], "parameter '=no' has no name; write it as NAME=VALUE"),
        (["--kernel", "none"], "kernel 'none' is not installed here, only"),
        (["--output", "3typed.ipynb"], "cannot make 3typed.ipynb"),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(
    arguments: list[str],
    complaint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(["report", "3typed.ipynb", "--output", "other", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (folder / "other" / "notebooks").exists()


@pytest.mark.parametrize("spec", [None, {}, 3, {"name": None}, {"name": 3}, {"name": ""}, {"name": "../../x"}])
def test_a_python_notebook_always_has_a_kernel(spec: Any) -> None:
    assert choose_kernel({"metadata": {"kernelspec": spec}})[0] == "python3"


def test_a_kernel_that_is_asked_for_has_to_be_there() -> None:
    spec = {"metadata": {"kernelspec": {"name": "conda-env-xyz"}}}
    assert choose_kernel(spec, "python3") == ("python3", "")
    with pytest.raises(ReportError, match=r"kernel 'conda' is not installed here, only .*python3"):
        choose_kernel(spec, "conda")
