"""A report built from end to end in the smoke profile on the stand-in data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pypdf
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hwkit.engine import processes
from hwkit.engine.processes import Job
from hwkit.errors import ExperimentError, ParameterError, ReportError
from hwkit.export.settings import ReportSettings
from hwkit.report.build import Report, build_report, standard_notebooks
from hwkit.report.execute import read_notebook
from hwkit.report.planning import planned_trainings
from hwkit.report.selection import chosen_chapters, keep_selected, labels_of

ROOT = Path(__file__).parents[2]


def text_of(pdf: Path) -> str:
    """The text of a PDF, with white space squeezed."""
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(pdf).pages).split())


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The two task notebooks, and between them one whose second cell fails."""
    folder = tmp_path_factory.mktemp("notebooks")
    failing = new_notebook(
        cells=[
            new_code_cell('profile = "quick"\ndivisor = 0', metadata={"tags": ["parameters"]}),
            new_markdown_cell("# A chapter that fails"),
            new_code_cell("1 / divisor"),
            new_markdown_cell("## Never reached"),
        ]
    )
    nbformat.write(failing, folder / "03_failing.ipynb")
    return [ROOT / "notebooks" / "01_mnist.ipynb", folder / "03_failing.ipynb", ROOT / "notebooks" / "02_cifar10.ipynb"]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What the build says."""
    return []


@pytest.fixture(scope="module")
def report(store: Path, notebooks: list[Path], tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Report:
    output = tmp_path_factory.mktemp("build")
    settings = output / "report.toml"
    settings.write_text('title = "A test report"\nauthor = ["Ada Lovelace"]\ncourse = "Testing"\ndate = 2026-01-31\n')
    parameters = {"data": "stand-in", "pairs": 1, "device": "cpu"}
    return build_report(
        "smoke", notebooks=notebooks, parameters=parameters, settings=settings, output=output, say=lines.append
    )


def test_the_title_page_says_who_and_what_and_nothing_of_the_machine(report: Report) -> None:
    first = " ".join(pypdf.PdfReader(report.pdf).pages[0].extract_text().split())
    for text in (
        "A test report",
        "Ada Lovelace",
        "Testing",
        "31 January 2026",
        "Abstract",
        "stand-in",
        "four networks",
    ):
        assert text in first
    for text in ("smoke", "Training time", "PyTorch"):
        assert text not in first


def test_every_section_of_the_notebooks_is_in_the_pdf_and_the_html(report: Report) -> None:
    text, html = text_of(report.pdf), report.html.read_text()
    for name in ("01_mnist", "02_cifar10"):
        cells = read_notebook(ROOT / "notebooks" / f"{name}.ipynb")["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        headings = re.findall(r"^#+ (.+?)(?: \{#.*\}| <a .*)?$", prose, re.MULTILINE)
        assert len(headings) > 5
        for heading in headings:
            assert heading in text
            assert heading in html


def test_figures_and_tables_are_numbered_without_gaps_and_no_reference_is_open(report: Report) -> None:
    text = text_of(report.pdf)
    for kind in ("Figure", "Table"):
        numbers = sorted({int(n) for n in re.findall(rf"{kind} (\d+):", text)})
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 5
    assert "?fig" not in text
    assert "?tbl" not in text
    assert not [warning for warning in report.warnings if "refer" in warning]


def test_a_failing_notebook_is_named_with_cell_and_error_and_does_not_stop_the_others(
    report: Report, lines: list[str]
) -> None:
    (failed,) = report.failures
    assert failed.notebook.name == "03_failing.ipynb"
    assert failed.failure == "cell 4 (In [3]): ZeroDivisionError: division by zero"
    assert any("03_failing.ipynb: failed: cell 4" in line for line in lines)
    text = text_of(report.pdf)
    assert "ZeroDivisionError" in text
    assert "stopped at" in text
    assert "An Exception was encountered" not in text


def test_all_that_the_notebooks_train_is_trained_first(report: Report, lines: list[str]) -> None:
    assert any(re.match(r"\d networks to train, 3 notebooks to execute", line) for line in lines)
    assert {"planning", "training", "notebooks", "document"} == set(report.seconds)
    for execution in report.executions:
        errors = [o for cell in read_notebook(execution.output)["cells"] for o in cell.get("outputs", [])]
        assert not any("it/s" in "".join(output.get("text", "")) for output in errors)  # a bar of a training


TRAINING = [
    path
    for path in standard_notebooks(ROOT / "notebooks")
    if not read_notebook(path)["metadata"]["hwkit"].get("closing")
]


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_every_notebook_says_what_it_trains(path: Path) -> None:
    planned = planned_trainings(read_notebook(path), {"profile": "smoke", "data": "stand-in", "seed": 3})
    assert planned
    assert all("profile='smoke'" in str(one) for one in planned)
    assert all("seed=3" in str(one) for one in planned)


def test_a_plan_that_cannot_be_made_is_empty_and_refused_parameters_are_errors() -> None:
    broken = new_notebook(cells=[new_code_cell("experiments = [1 / 0]", metadata={"tags": ["plan"]})])
    assert planned_trainings(broken, {}) == []
    assert planned_trainings(new_notebook(cells=[new_code_cell("experiments = [1]")]), {}) == []
    with pytest.raises(ExperimentError, match="epochs"):
        planned_trainings(read_notebook(ROOT / "notebooks" / "01_mnist.ipynb"), {"epochs": -1})


def test_the_stand_in_is_announced_and_not_compared_with_the_seed_report(report: Report, lines: list[str]) -> None:
    assert any("stand-in" in line for line in lines)
    assert "drawn by hwkit itself" in text_of(report.pdf)
    results = pd.read_csv(report.csv)
    assert set(results["data"]) == {"stand-in"}
    assert results["seed_accuracy"].isna().all()


def test_the_results_hold_the_runs_and_what_reproduces_them(report: Report) -> None:
    results = pd.read_csv(report.csv)
    assert results["name"].tolist() == ["mnist", "mnist-l2", "cifar10", "cifar10-l2"]
    assert (results["test_accuracy_low"] < results["test_accuracy"]).all()
    assert (results["test_accuracy"] < results["test_accuracy_high"]).all()
    assert {"l2", "epochs", "batch_size", "seed", "fingerprint", "environment_torch"} <= set(results.columns)


def test_every_finding_is_in_the_verdicts_file_and_one_seed_makes_none(report: Report) -> None:
    verdicts = pd.read_csv(report.verdicts)
    assert verdicts["chapter"].tolist() == ["01_mnist"] * 2 + ["02_cifar10"] * 2
    assert set(verdicts["verdict"]) == {"one pair"}
    assert set(verdicts["schedule"]) == {"2 epochs of Adam on 2000 images"}
    sentence = f"{100 * verdicts['low'].iloc[0]:.2f} to {100 * verdicts['high'].iloc[0]:.2f} points"
    assert sentence.replace("-", "−") in text_of(report.pdf).replace("+", "")


def test_the_summary_is_made_of_the_primary_claims_of_the_chapters(tmp_path: Path) -> None:
    code = """
from hwkit.findings.verdicts import Claim, Finding
from hwkit.statistics import student_interval

claim = Claim("CLAIM is so", "higher", primary=True, reference="stated")
display(Finding(claim, student_interval(VALUES), "accuracy", "a", "b", (0, 1, 2), "9 epochs of Adam", "It is measured"))
"""
    values = {"One": "[0.011, 0.012, 0.013]", "Two": "[-0.02, 0.01, 0.02]"}
    paths = [tmp_path / f"{name}.ipynb" for name in values]
    run = "display(hwkit.compare_with_seed(hwkit.train(hwkit.named_experiment('mnist', 'smoke', data='stand-in'))))"
    for path, (name, listed) in zip(paths, values.items(), strict=True):
        cells = [new_markdown_cell(f"# {name}"), new_code_cell(code.replace("CLAIM", name).replace("VALUES", listed))]
        nbformat.write(new_notebook(cells=[*cells, new_code_cell(f"import hwkit\n{run}")]), path)
    report = build_report("smoke", notebooks=paths, output=tmp_path / "build")
    verdicts = pd.read_csv(report.verdicts)
    assert verdicts["verdict"].tolist() == ["supported", "open"]
    assert verdicts["p_holm"].tolist() == pytest.approx([2 * verdicts["p_value"][0], verdicts["p_value"][1]])
    text = text_of(report.pdf)
    assert "One is so 3 seeds, 9 epochs of Adam +1.20" in text
    assert "Table 1: The primary claims" in text
    assert not [warning for warning in report.warnings if "primary" in warning]


def test_closing_notebooks_come_last_and_get_what_the_others_found(tmp_path: Path) -> None:
    finding = """
from hwkit.findings.verdicts import Claim, Finding
from hwkit.statistics import OnePair

claim = Claim("this is so", "higher", primary=True)
display(Finding(claim, OnePair(VALUE, 0.001), "accuracy", "a", "b", (0,), "1 epoch of Adam", "It is measured"))
"""
    parameters = new_code_cell('verdicts = ""\nreference = True', metadata={"tags": ["parameters"]})
    said = """
import hwkit

found = hwkit.summary.read("", verdicts).verdicts
print(len(found), found[0]["value"], reference)
"""
    closing = new_notebook(cells=[new_markdown_cell("# End"), parameters, new_code_cell(said)])
    closing.metadata["hwkit"] = {"closing": True}
    nbformat.write(closing, tmp_path / "0_end.ipynb")
    paths = [tmp_path / "0_end.ipynb", tmp_path / "1_start.ipynb"]
    (tmp_path / "report.toml").write_text("reference = false")

    def built(value: str) -> list[str]:
        start = new_notebook(cells=[new_markdown_cell("# Start"), new_code_cell(finding.replace("VALUE", value))])
        nbformat.write(start, paths[1])
        settings = tmp_path / "report.toml"
        report = build_report("smoke", notebooks=paths, settings=settings, output=tmp_path / "build")
        assert f"1 {value} False" in text_of(report.pdf)
        return [execution.notebook.stem for execution in report.executions]

    assert built("0.25") == ["1_start", "0_end"]
    assert built("0.5") == ["1_start", "0_end"]
    again = build_report("smoke", notebooks=paths, settings=tmp_path / "report.toml", output=tmp_path / "build")
    assert not again.executions


@pytest.mark.parametrize("words", ["the figure below", "The figure of the loss", "Figure", "the section on data"])
@pytest.mark.parametrize("file", ["", "01_mnist.ipynb"])
def test_a_link_that_names_what_its_label_labels_is_a_reference_in_the_report(words: str, file: str) -> None:
    label = "sec-data" if "section" in words else "fig-loss"
    links = f"[{words}]({file}#{label}), [other words]({file}#{label}), [{words}](#elsewhere)"
    notebook = new_notebook(cells=[new_markdown_cell(links), new_code_cell(links)])
    keep_selected(notebook, reference=True)
    assert notebook.cells[0].source == f"@{label}, [other words]({file}#{label}), [{words}](#elsewhere)"
    assert notebook.cells[1].source == links


def test_every_link_of_the_notebooks_leads_to_a_label_of_the_notebook_it_names() -> None:
    paths = {path.name: path for path in Path(__file__).parents[2].joinpath("notebooks").glob("*.ipynb")}
    links = 0
    for name, path in paths.items():
        text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
        assert not re.search(r"^#.*\{#", text, re.MULTILINE), name  # JupyterLab would show it
        for target, label in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", text):
            assert label in labels_of(paths[target or name]), (name, label)
            links += 1
    assert links > 50


def test_chapters_are_chosen_by_name_and_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.ipynb" for name in ("01_a", "02_b", "03_c")]
    for path in paths:
        title = f'# The {path.stem} <a id="sec-{path.stem}"></a>'
        cells = [new_markdown_cell(title), new_markdown_cell("## Part {#sec-part}")]
        nbformat.write(new_notebook(cells=[*cells, new_code_cell("#| label: fig-x\n1")]), path)

    def chosen(**options: Any) -> list[str]:
        return [path.stem for path in chosen_chapters(paths, ReportSettings.from_mapping(options))]

    assert chosen() == ["01_a", "02_b", "03_c"]
    assert chosen(without="02_b") == ["01_a", "03_c"]
    assert chosen(chapters=["03_c", "01_a"], without=["01_a"]) == ["03_c"]
    assert labels_of(paths[1]) == dict.fromkeys(("sec-02_b", "sec-part", "fig-x"), "“The 02_b” (left out)")
    with pytest.raises(ReportError, match=r"without names '02_a'.*02_b"):
        chosen(without=["02_a"])
    with pytest.raises(ReportError, match="leaves no chapter"):
        chosen(chapters=["01_a"], without=["01_a"])


def test_a_second_build_executes_only_what_failed(
    report: Report, notebooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwkit import training

    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("trained again"))
    outputs = [report.pdf.parent / "notebooks" / path.name for path in notebooks]
    before = [path.stat().st_mtime_ns for path in outputs]
    again = build_report(
        "smoke",
        notebooks=notebooks,
        parameters={"data": "stand-in", "pairs": 1, "device": "cpu", "divisor": 2},
        settings=report.pdf.parent / "report.toml",
        output=report.pdf.parent,
    )
    after = [path.stat().st_mtime_ns for path in outputs]
    assert [execution.notebook.name for execution in again.executions] == ["03_failing.ipynb"]
    assert not again.failures
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert "Never reached" in text_of(again.pdf)


def test_an_interrupted_execution_is_not_taken_for_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = tmp_path / "small.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Small"), new_code_cell("print('whole')")]), notebook)
    output = tmp_path / "build"
    assert len(build_report("smoke", notebooks=[notebook], output=output).executions) == 1
    assert not build_report("smoke", notebooks=[notebook], output=output).executions

    def interrupted(jobs: list[Job], workers: int, on_start: Callable[[int], None], **_: object) -> None:
        on_start(0)
        nbformat.write(new_notebook(cells=[new_markdown_cell("# Half of it")]), jobs[0].arguments[1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(processes, "run_jobs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_report("smoke", notebooks=[notebook], output=output, force=True)
    again = build_report("smoke", notebooks=[notebook], output=output)
    assert len(again.executions) == 1
    assert "whole" in text_of(again.pdf)


def test_notebooks_of_one_name_and_missing_settings_are_errors(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "same.ipynb" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        nbformat.write(new_notebook(), path)
    with pytest.raises(ReportError, match=r"a/same\.ipynb and .*b/same\.ipynb would both"):
        build_report("smoke", notebooks=paths, output=tmp_path / "build")
    with pytest.raises(ReportError, match="there is no settings file"):
        build_report("smoke", notebooks=paths[:1], settings=tmp_path / "no.toml", output=tmp_path / "build")


def test_no_notebook_is_overwritten_with_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "notebooks" / "own.ipynb"
    path.parent.mkdir()
    nbformat.write(new_notebook(), path)
    before = path.read_bytes()
    with pytest.raises(ReportError, match=r"own\.ipynb would be overwritten"):
        build_report("smoke", notebooks=[path], output=tmp_path)
    assert path.read_bytes() == before


def test_a_notebook_that_was_executed_is_not_called_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), "failing.ipynb")
    report = build_report("smoke", notebooks=[Path("failing.ipynb")], output=Path("build"))
    assert [execution.notebook for execution in report.failures] == [Path("failing.ipynb")]
    assert report.reused == ()


def test_a_report_with_nothing_to_do_imports_no_torch(tmp_path: Path) -> None:
    """It takes tenths of a second then, and else seconds."""
    notebook = new_notebook(cells=[new_markdown_cell("# One"), new_code_cell("1 + 1")])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    script = (
        "import sys\nfrom pathlib import Path\nfrom hwkit.report.build import build_report\n"
        f"build_report(notebooks=[Path({str(tmp_path / 'one.ipynb')!r})], output=Path({str(tmp_path / 'out')!r}))\n"
        "print('torch' in sys.modules)"
    )
    run = [sys.executable, "-c", script]
    subprocess.run(run, cwd=ROOT, check=True)
    assert subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout == "False\n"


def test_a_chapter_of_other_profiles_may_be_left_out_in_any(tmp_path: Path) -> None:
    (tmp_path / "report.toml").write_text('without = ["13_training_length"]\n')
    for profile in ("quick", "full"):
        with pytest.raises(ParameterError, match="seeds=2"):  # which is looked at after the chapters
            build_report(profile, parameters={"seeds": 2}, settings=tmp_path / "report.toml", output=tmp_path / "out")


def test_nothing_is_executed_for_bad_input(notebooks: list[Path], tmp_path: Path) -> None:
    for error, parameters in (
        (ParameterError, {"epoch": 3}),
        (ParameterError, {"seeds": 2}),
        (ExperimentError, {"epochs": 0}),
        (ExperimentError, {"seed": -1}),
        (ExperimentError, {"l2": -1}),
    ):
        with pytest.raises(error):
            build_report("smoke", notebooks=notebooks, parameters={"data": "stand-in", **parameters}, output=tmp_path)
    (tmp_path / "no.ipynb").write_text(json.dumps({"no": "notebook"}))
    with pytest.raises(ReportError, match="is not a Jupyter notebook"):
        build_report("smoke", notebooks=[tmp_path / "no.ipynb"], output=tmp_path)
    assert not (tmp_path / "notebooks").exists()


def test_a_notebook_may_stay_out_of_the_report(tmp_path: Path) -> None:
    for name, metadata in (("01_in", {}), ("02_out", {"hwkit": {"report": False}})):
        nbformat.write(new_notebook(metadata=metadata), tmp_path / f"{name}.ipynb")
    assert [path.stem for path in standard_notebooks(tmp_path)] == ["01_in"]


def test_a_notebook_may_be_in_the_reports_of_some_profiles_only(tmp_path: Path) -> None:
    for name, metadata in (("01_any", {}), ("02_long", {"hwkit": {"profiles": ["full", "smoke"]}})):
        nbformat.write(new_notebook(metadata=metadata), tmp_path / f"{name}.ipynb")
    found = {profile: [path.stem for path in standard_notebooks(tmp_path, profile)] for profile in ("quick", "full")}
    assert found == {"quick": ["01_any"], "full": ["01_any", "02_long"]}
    assert [path.stem for path in standard_notebooks(tmp_path)] == ["01_any", "02_long"]
