"""Folders of many notebooks: worker processes, limits, summary, report, watching, questions, binding, execution."""

from __future__ import annotations

import csv
import io
import os
import signal
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from hwkit.cli import main  # noqa: E402
from hwkit.export import export, folder  # noqa: E402
from hwkit.export.export import Conversion, Options  # noqa: E402


def write(path, *cells, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells) or [new_markdown_cell("# Hello")], metadata=metadata), path)
    return path


def pages(pdf):
    return [page.extract_text().replace("\u00a0", " ") for page in pypdf.PdfReader(pdf).pages]


@pytest.fixture
def course(tmp_path):
    for student in ("alice", "bob"):
        write(tmp_path / student / "hw.ipynb", new_markdown_cell(f"# Of {student}"))
    return tmp_path


def test_what_came_of_all_is_said_and_written_down(course, capsys):
    write(course / "carol" / "hw.ipynb", new_markdown_cell("![x](no.png)\n\n![y](none.png)"))
    (course / "dan.ipynb").write_text("no notebook")
    report = course / "new" / "out.csv"
    assert main(["export", str(course), "--report", str(report)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "4 notebooks: 3 written, 1 of them with warnings, 1 failed" in err
    assert err.splitlines()[-1].startswith(f"  {course / 'dan.ipynb'}: it cannot be read")
    rows = list(csv.DictReader(report.open()))
    found = [(Path(row["notebook"]).parent.name, row["status"], row["cell"]) for row in rows]
    assert found[:4] == [("alice", "written", ""), ("bob", "written", ""), *[("carol", "written", "1")] * 2]
    assert rows[2]["message"].startswith("image 'no.png'")
    assert [rows[4][key] for key in ("pdf", "status")] == ["", "failed"]


def test_a_report_has_to_be_a_csv_file(course, capsys):
    with pytest.raises(SystemExit):
        main(["export", str(course), "--report", str(course / "alice" / "hw.ipynb")])
    assert ".csv" in capsys.readouterr().err


def hang_or_die(one, options):
    """What a worker does here in place of an export."""
    if one.notebook.stem == "hangs":
        threading.Event().wait()
    if one.notebook.stem == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return folder.Result(one, (str(os.getpid()),))


def conversions(names):
    return [Conversion(Path(f"{name}.ipynb"), Path(f"{name}.pdf"), Path()) for name in names]


def test_a_notebook_that_hangs_or_kills_its_process_is_named_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(folder, "_exported", hang_or_die)
    ended = []
    names = ["a", "hangs", "b", "dies", *map(str, range(20))]
    done = lambda: ended.append(1)  # noqa: E731
    results = list(folder.export_all(conversions(names), Options(seconds=3), on_done=done))
    assert [result.conversion.notebook.stem for result in results] == names
    problems = {result.conversion.notebook.stem: result.problem for result in results if result.problem}
    assert problems.keys() == {"hangs", "dies"}
    assert "longer than 3 seconds" in problems["hangs"]
    assert "died" in problems["dies"]
    assert len(ended) == len(names)


def test_workers_are_replaced_before_they_grow(monkeypatch):
    monkeypatch.setattr(folder, "_exported", hang_or_die)
    results = list(folder.export_all(conversions(map(str, range(3 * folder.NOTEBOOKS_PER_WORKER))), Options()))
    workers = [result.warnings[0] for result in results]
    assert max(workers.count(worker) for worker in workers) <= folder.NOTEBOOKS_PER_WORKER
    assert str(os.getpid()) not in workers


def test_what_is_saved_is_exported_again_and_what_is_new_is_exported(course):
    results = folder.watch([course], course / "pdf", Options())
    assert [next(results).conversion.place for _ in range(2)] == ["alice", "bob"]
    write(course / "bob" / "hw.ipynb", new_markdown_cell("Another text"))
    assert next(results).conversion.place == "bob"
    assert "Another text" in pages(course / "pdf" / "bob" / "hw.pdf")[0]
    (course / "carol.ipynb").write_text("half of a noteb")
    assert next(results).problem
    results.close()


QUESTIONS = [
    new_markdown_cell("Introduction"),
    new_markdown_cell("<!-- BEGIN QUESTION -->\n\n**Question 1** of two"),
    new_code_cell("answer = 1", outputs=[new_output("stream", text="one")]),
    new_markdown_cell("<!-- END QUESTION -->\n\nBetween\n\n<!-- BEGIN QUESTION -->\n\n**Question 2**"),
    new_markdown_cell("*My* words"),
    new_raw_cell("Raw words"),
    new_markdown_cell("<!-- END QUESTION -->"),
    new_code_cell("grader.check_all()"),
]


def test_questions_are_kept_each_on_its_page_under_the_folder_of_the_student(course, capsys):
    write(course / "alice" / "hw.ipynb", *QUESTIONS)
    assert main(["export", str(course), "--questions"]) == 0
    first, second = pages(course / "alice" / "hw.pdf")
    for text in ("alice", "Question 1", "answer = 1", "one"):
        assert text in first
    for text in ("alice", "Question 2", "My words", "Raw words"):
        assert text in second
    for text in ("Introduction", "Between", "grader", "BEGIN", "-->"):
        assert text not in first + second
    # A notebook without any is shown as a whole.
    assert "bob/hw.ipynb: there is no question" in capsys.readouterr().err
    assert "Of bob" in pages(course / "bob" / "hw.pdf")[0]


def test_solutions_of_nbgrader_are_questions(tmp_path):
    graded = [
        new_markdown_cell("Task"),
        new_code_cell("solved = 1"),
        new_code_cell("assert solved"),
        new_markdown_cell("Essay"),
    ]
    for cell, known in zip(graded, [{}, {"solution": True}, {"grade": True}, {"task": True}], strict=True):
        cell.metadata["nbgrader"] = known
    path = write(tmp_path / "hw.ipynb", new_markdown_cell("Text"), *graded)
    assert main(["export", str(path), "--questions"]) == 0
    first, second = pages(tmp_path / "hw.pdf")
    assert "solved = 1" in first
    assert "Essay" in second
    assert not any(text in first + second for text in ("Task", "Text", "assert"))


def test_notebooks_are_bound_with_an_outline_and_what_cannot_be_read_is_named(course, capsys):
    write(course / "alice" / "hw.ipynb", new_markdown_cell("# Title\n\n## Part\n\n![x](no.png)"))
    (course / "carol.ipynb").write_text("no notebook")
    assert main(["export", str(course), "--bind", "--output-dir", str(course / "out")]) == 1
    out, err = capsys.readouterr()
    pdf = course / "out" / f"{course.name}.pdf"
    assert out.strip() == str(pdf)
    assert "carol.ipynb: it cannot be read" in err
    assert "alice/hw.ipynb, cell 1: image" in err
    outline = pypdf.PdfReader(pdf).outline
    assert [entry.title for entry in outline if not isinstance(entry, list)] == ["alice/hw", "bob/hw"]


def test_a_notebook_is_executed_where_it_lies_and_stays_as_it_is(tmp_path, capsys):
    sources = ["print(open('data.txt').read() * 2)", "1 / 0", "print('af' + 'ter')"]
    spec = {"name": "conda-env-xyz", "display_name": "x", "language": "python"}
    path = write(tmp_path / "hw.ipynb", *map(new_code_cell, sources), kernelspec=spec)
    before = path.read_bytes()
    (tmp_path / "data.txt").write_text("found")
    assert main(["export", str(path), "--execute"]) == 0
    text = pages(tmp_path / "hw.pdf")[0]
    assert "foundfound" in text
    assert "ZeroDivisionError" in text
    assert "after" in text
    assert "the kernel 'conda-env-xyz' is not installed" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_notebook_that_never_ends_is_named(tmp_path, capsys):
    path = write(tmp_path / "hw.ipynb", new_code_cell("while True: pass"))
    assert main(["export", str(path), "--execute", "--limit", "5"]) == 1
    assert "limit of time" in capsys.readouterr().err


def test_a_terminal_sees_a_progress_bar(course, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    assert main(["export", str(course)]) == 0
    assert "/2 " in shown.getvalue()


BREAKS = ["\\newpage", "\\pagebreak", "{{< pagebreak >}}", "::: {.pagebreak}\n:::", "::: {.page-break}\n:::"]
BREAKS += ['<div style="page-break-after: always;"></div>', '<div style="break-before: page"></div>']


@pytest.mark.parametrize("mark", BREAKS)
def test_marks_of_other_tools_end_a_page(tmp_path, mark):
    cells = [new_markdown_cell(f"First\n\n{mark}\n\nSecond"), new_raw_cell("\\newpage"), new_markdown_cell("Third")]
    export.export_pdf(write(tmp_path / "a.ipynb", *cells))
    assert [page.split("\n")[0] for page in pages(tmp_path / "a.pdf")] == ["First", "Second", "Third"]


@pytest.mark.parametrize("place", ["- item\n\n  {}", "> {}", "::: {{.callout-note}}\n{}\n:::", "1. a\n\n   {}"])
def test_a_page_break_within_something_does_no_harm(tmp_path, place):
    path = write(tmp_path / "a.ipynb", new_markdown_cell(f"First\n\n{place.format(BREAKS[0])}\n\nLast"))
    _, warnings = export.export_pdf(path)
    assert "Last" in pages(tmp_path / "a.pdf")[-1]
    assert warnings == []


@pytest.mark.parametrize("prefix", ["remove-", "hide-", "remove_", "hide_"])
@pytest.mark.parametrize(
    ("what", "hidden"),
    [("cell", "source printed warned"), ("input", "source"), ("output", "printed"), ("stderr", "warned")],
)
def test_tags_hide_without_configuration(tmp_path, prefix, what, hidden):
    outputs = [new_output("stream", text="printed"), new_output("stream", name="stderr", text="warned")]
    tagged = new_code_cell("source", outputs=outputs, metadata={"tags": [prefix + what]})
    export.export_pdf(write(tmp_path / "a.ipynb", tagged, new_markdown_cell("End")))
    text = pages(tmp_path / "a.pdf")[0]
    for word in ("source", "printed", "warned"):
        # All outputs, warnings too, are hidden with the output.
        assert (word in text) == (word not in hidden and not (what == "output" and word == "warned"))


@pytest.mark.parametrize("tag", ["remove-cell", "hide-cell", "no-pdf"])
def test_tags_hide_text_as_well(tmp_path, tag):
    cells = [new_markdown_cell("Hidden", metadata={"tags": [tag]}), new_raw_cell("Raw", metadata={"tags": [tag]})]
    export.export_pdf(write(tmp_path / "a.ipynb", *cells, new_markdown_cell("End")))
    assert pages(tmp_path / "a.pdf")[0].split() == ["End", "1"]
