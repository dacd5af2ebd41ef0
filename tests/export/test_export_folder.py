"""Folders of notebooks: no PDF overwrites another, hidden files are skipped, every warning names its notebook."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

typst = pytest.importorskip("typst")

from nbconvert.nbconvertapp import NbConvertApp  # noqa: E402
from PIL import Image  # noqa: E402
from test_exporters import picture  # noqa: E402

from hwkit.cli import main  # noqa: E402
from hwkit.errors import ReportError  # noqa: E402
from hwkit.export import files  # noqa: E402
from hwkit.export.files import require_distinct  # noqa: E402
from hwkit.export.folder import planned  # noqa: E402


def write(path, text="# Hello"):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), path)
    return path


def targets(paths, output_dir=None):
    return [str(one.pdf) for one in planned(paths, output_dir)]


def test_the_folders_below_the_one_that_was_given_are_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(Path("submissions/alice/hw1.ipynb"))
    write(Path("submissions/bob/deep/hw1.ipynb"))
    assert main(["export", "submissions", "--output-dir", "pdf"]) == 0
    assert capsys.readouterr().out.split() == ["pdf/alice/hw1.pdf", "pdf/bob/deep/hw1.pdf"]
    assert Path("pdf/bob/deep/hw1.pdf").read_bytes().startswith(b"%PDF")


def test_a_notebook_that_is_named_twice_is_exported_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("a/hw.ipynb"))
    assert targets([Path("a"), Path("a/hw.ipynb"), tmp_path / "a"], Path("pdf")) == ["pdf/hw.pdf"]


def test_hidden_files_and_folders_are_skipped_unless_they_are_named(tmp_path):
    for name in ("a.ipynb", "._a.ipynb", ".venv/b.ipynb", "x/.git/c.ipynb", "x/.ipynb_checkpoints/d.ipynb"):
        write(tmp_path / name)
    assert targets([tmp_path]) == [str(tmp_path / "a.pdf")]
    assert targets([tmp_path / ".venv"]) == [str(tmp_path / ".venv" / "b.pdf")]


@pytest.mark.parametrize("given", [["a", "b"], ["a/hw.ipynb", "b/hw.ipynb"], ["a", "b/hw.ipynb"], ["b", "a/../a"]])
def test_two_notebooks_that_would_become_one_pdf_are_named_and_nothing_is_written(tmp_path, capsys, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    write(Path("a/hw.ipynb"))
    write(Path("b/hw.ipynb"))
    assert main(["export", *given, "--output-dir", "pdf"]) == 2
    error = capsys.readouterr().err
    assert "a/hw.ipynb" in error
    assert "b/hw.ipynb" in error
    assert not Path("pdf").exists()


def test_a_pdf_never_takes_the_place_of_a_notebook(tmp_path):
    notebook = write(tmp_path / "hw.pdf")
    with pytest.raises(ReportError, match="would be overwritten"):
        planned([notebook])
    link = tmp_path / "elsewhere"
    link.symlink_to(tmp_path)
    with pytest.raises(ReportError, match="would be overwritten"):
        planned([notebook], link)


ALIKE = [("HW.ipynb", "hw.ipynb"), ("é.ipynb", unicodedata.normalize("NFD", "é.ipynb")), ("ß.ipynb", "SS.ipynb")]


@pytest.mark.parametrize("names", ALIKE)
def test_names_that_differ_in_case_or_accents_only_collide_where_the_file_system_says_so(tmp_path, monkeypatch, names):
    pairs = [(Path("in") / name, tmp_path / "new" / name) for name in names]
    require_distinct(pairs)
    monkeypatch.setattr(files, "_folds_names", lambda folder: True)
    with pytest.raises(ReportError) as error:
        require_distinct(pairs)
    assert all(name in str(error.value) for name in names)


def test_a_disk_is_asked_without_leaving_anything_on_it(tmp_path):
    assert not files._folds_names(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_every_warning_names_its_notebook(tmp_path, capsys):
    missing = "![x](nowhere.png) and [link]{.x} 𒀀"
    for name in ("alice/hw.ipynb", "bob/hw.ipynb"):
        write(tmp_path / name, missing)
    assert main(["export", str(tmp_path)]) == 0
    *lines, summary = capsys.readouterr().err.splitlines()
    assert summary == "2 notebooks: 2 written, 2 of them with warnings"
    for name in ("alice/hw.ipynb", "bob/hw.ipynb"):
        assert any(line.startswith(f"hwkit: {tmp_path / name}, cell 1: image") for line in lines)
    assert all(line.startswith(f"hwkit: {tmp_path}{os.sep}") for line in lines)


def test_pictures_may_lie_anywhere_inside_the_folder_that_was_given(tmp_path, capsys):
    (tmp_path / "course" / "images").mkdir(parents=True)
    Image.new("RGB", (40, 20), "red").save(tmp_path / "course" / "images" / "x.png")
    Image.new("RGB", (40, 20), "red").save(tmp_path / "secret.png")
    notebook = write(tmp_path / "course" / "week1" / "a.ipynb", "![x](../images/x.png) ![y](../../secret.png)")
    assert main(["export", str(tmp_path / "course")]) == 0
    assert "secret.png' is outside" in (error := capsys.readouterr().err)
    assert "images/x.png" not in error
    assert main(["export", str(notebook)]) == 0
    assert "../images/x.png' is outside" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["Plot.PNG", "plot.png", "IMG/plot.png", r"img\plot.png", r"..\b\img\Plot.png", "É.png"]
)
def test_pictures_are_found_as_other_systems_write_their_names(tmp_path, capsys, name):
    for place in ("plot.png", "img/plot.png", unicodedata.normalize("NFD", "é.png")):
        (tmp_path / "b" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), "red").save(tmp_path / "b" / place)
    write(tmp_path / "b" / "a.ipynb", f'<img src="{name}">')
    assert main(["export", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


STRANGE = ['it\'s "x"', "emoji 🎉", r"back\slash", "a#b%20c", "dot.ted", "$x$ *b* _c_ `d` <e>", "@f [g](h) ![i](j)"]


@pytest.mark.parametrize("name", STRANGE)
def test_names_that_are_markup_elsewhere_are_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    output = new_output("display_data", {"image/png": picture()})
    nbformat.write(new_notebook(cells=[new_code_cell("x", outputs=[output])]), f"{name}.ipynb")
    for kind, suffix in (("typst", "typ"), ("typstpdf", "pdf")):
        app = NbConvertApp()
        app.initialize(["--to", kind, glob.escape(f"{name}.ipynb")])
        app.start()
        assert Path(f"{name}.{suffix}").stat().st_size > 1000
    Path(f"{name}.typ").rename("main.typ")  # Typst itself knows no backslash in a name
    assert typst.compile("main.typ").startswith(b"%PDF")
    assert main(["export", ".", "--output-dir", "out"]) == 0
    assert Path("out", f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_cannot_show_a_name_gets_all_pdfs(tmp_path, encoding):
    names = ["a.ipynb", "ノート 🎉.ipynb", "z.ipynb"]
    for name in names:
        write(tmp_path / name, "![x](missing-🎉.png)")
    command = [sys.executable, "-m", "hwkit.cli", "export", "."]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(path.stem for path in tmp_path.glob("*.pdf")) == sorted(Path(name).stem for name in names)
