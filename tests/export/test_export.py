"""`hwkit export`: notebooks and folders of notebooks become PDFs."""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

pytest.importorskip("typst")

from hwkit.cli import main


def write(path, text="# Hello"):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), path)
    return path


def test_notebooks_and_folders_become_pdfs_beside_them_or_elsewhere(tmp_path, capsys):
    write(tmp_path / "folder" / "a.ipynb")
    write(tmp_path / "folder" / ".ipynb_checkpoints" / "old.ipynb")
    single = write(tmp_path / "b.ipynb")
    assert main(["export", str(single), str(tmp_path / "folder"), "--theme", "report"]) == 0
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "folder" / "a.pdf").read_bytes().startswith(b"%PDF")
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["export", str(single), "--output-dir", str(tmp_path / "new" / "out")]) == 0
    assert (tmp_path / "new" / "out" / "b.pdf").exists()


def test_a_notebook_that_cannot_be_read_is_named_and_the_others_are_written(tmp_path, capsys):
    (tmp_path / "broken.ipynb").write_text("no notebook")
    write(tmp_path / "good.ipynb")
    assert main(["export", str(tmp_path)]) == 1
    assert "broken.ipynb: it cannot be read" in capsys.readouterr().err
    assert (tmp_path / "good.pdf").exists()


def test_what_was_left_out_is_named_with_its_cell(tmp_path, capsys):
    assert main(["export", str(write(tmp_path / "a.ipynb", "![x](nowhere.png)"))]) == 0
    assert "a.ipynb, cell 1: image 'nowhere.png' was not found" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "says"), [("nowhere.ipynb", "does not exist"), ("empty", "holds no notebook")])
def test_a_path_without_notebooks_is_an_error(tmp_path, capsys, name, says):
    (tmp_path / "empty").mkdir()
    assert main(["export", str(tmp_path / name)]) == 2
    assert says in capsys.readouterr().err


def test_no_grammar_of_uris_is_built_for_a_report():
    check = "import hwkit.report.bind, sys; assert sys.modules['rfc3987_syntax'] is None"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_nbconverts_way_leads_to_the_same_document(tmp_path):
    from hwkit.export.export import typst_source
    from hwkit.export.exporters import TypstExporter
    from hwkit.export.notebooks import read_nodes, to_markdown

    printed = [new_output("stream", text=text) for text in ("in two ", "goes\n")]
    warned = new_output("stream", name="stderr", text="warned")
    error = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    cells = [
        new_raw_cell("---\ntitle: A title\nexecute:\n  warning: false\n---"),
        new_markdown_cell("# One\n\n$a^2$ and [a](#b)"),
        new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        new_code_cell("#| echo: false\nprint()", outputs=[*printed, warned]),
        new_code_cell("#| include: false\nhidden", outputs=[new_output("stream", text="hidden")]),
        new_code_cell("raise", outputs=[error]),
        new_raw_cell("<b>bold</b>", metadata={"raw_mimetype": "text/html"}),
    ]
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), path)
    resources = {"metadata": {"name": "a", "path": str(tmp_path)}}
    source = typst_source(to_markdown(read_nodes(path), resources), resources)
    assert "in two goes" in source.text
    assert "warned" not in source.text
    assert source.text == TypstExporter().from_filename(str(path))[0]


def test_export_starts_without_half_of_jupyter():
    check = "import hwkit.report.bind, hwkit.export.export, sys; assert not {'nbconvert', 'nbformat'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_notebook_of_an_old_format_is_converted(tmp_path, capsys):
    cells = [{"cell_type": "heading", "level": 1, "metadata": {}, "source": ["Old"]}]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells, "metadata": {}}]}
    (tmp_path / "old.ipynb").write_text(json.dumps(old))
    assert main(["export", str(tmp_path / "old.ipynb")]) == 0
    assert (tmp_path / "old.pdf").read_bytes().startswith(b"%PDF")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda nb: nb["cells"][1].update(outputs=[5]), "cell 2"),
        (lambda nb: nb["cells"][1].update(source=5), "it cannot be read"),
        (lambda nb: nb.pop("cells"), "it is no notebook, as it has no cells"),
        (lambda nb: nb.update(cells=None), "it is no notebook, as it has no cells"),
        (lambda nb: nb["cells"][1].update(cell_type="markdown", attachments={"a": 5}), "cell 2"),
    ],
)
def test_a_notebook_that_breaks_the_format_is_named_with_its_cell(tmp_path, capsys, damage, says):
    nb = new_notebook(cells=[new_markdown_cell("# Fine"), new_code_cell("x = 1")])
    damage(nb)
    (tmp_path / "a.ipynb").write_text(json.dumps(nb))
    assert main(["export", str(tmp_path / "a.ipynb")]) == 1
    assert says in capsys.readouterr().err


RECOVERABLE = [
    lambda nb: nb["cells"][1]["outputs"][1]["data"].update({"image/png": None}),
    lambda nb: nb["cells"][1]["outputs"][1]["data"].update({"image/png": {"a": 1}}),
    lambda nb: nb["cells"][0].update(attachments={"a.png": None}),
    lambda nb: nb["cells"][1]["metadata"].update(tags="one, two"),
    lambda nb: nb.update(nbformat="4"),
    lambda nb: nb["cells"][1]["outputs"][3].update(traceback="as one text told"),
    lambda nb: nb["cells"][1]["outputs"][3].pop("traceback"),
    lambda nb: nb["cells"][0].update(source="written with a lone \ud83d surrogate"),
]


@pytest.mark.parametrize("damage", RECOVERABLE)
def test_a_notebook_with_what_jupyter_makes_sense_of_is_exported(tmp_path, damage):
    nb = full_notebook()
    damage(nb)
    (tmp_path / "a.ipynb").write_text(json.dumps(nb))
    assert main(["export", str(tmp_path / "a.ipynb")]) == 0


def full_notebook():
    """A notebook of all kinds of cells and outputs, as JSON."""
    outputs = [
        new_output("stream", text="printed"),
        new_output("display_data", {"text/plain": "displayed"}),
        new_output("execute_result", {"text/plain": "resulting"}),
        new_output("error", ename="ValueError", evalue="told", traceback=["ValueError: told"]),
    ]
    cells = [new_markdown_cell("written"), new_code_cell("computed", outputs=outputs), new_raw_cell("raw")]
    metadata = {"language_info": {"name": "python"}, "kernelspec": {"name": "python3", "display_name": "Python"}}
    return json.loads(json.dumps(new_notebook(cells=cells, metadata=metadata)))


def every_part(node, path=()):
    """The paths of all entries of dictionaries in a notebook."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(node, dict):
            yield (*path, key)
        if isinstance(value, dict | list):
            yield from every_part(value, (*path, key))


# Without these there is nothing to show, or nobody can tell what it is.
TOLD = {"cells", "cell_type", "output_type", "data", "text/plain", "source", "text", "traceback", "ename", "evalue"}


@pytest.mark.parametrize("damage", ["left out", "null"])
@pytest.mark.parametrize("part", [part for part in every_part(full_notebook()) if part[-1] not in TOLD], ids=str)
def test_what_jupyter_does_without_may_be_left_out(tmp_path, part, damage):
    nb = node = full_notebook()
    for key in part[:-1]:
        node = node[key]
    node[part[-1]] = None
    if damage == "left out":
        del node[part[-1]]
    shown = source_of(tmp_path, nb)
    outputs = () if part[-1] == "outputs" else ("printed", "displayed", "resulting", "told")
    assert [word for word in ("written", "computed", *outputs) if word not in shown] == []


def test_a_traceback_of_one_text_is_one(tmp_path):
    nb = full_notebook()
    nb["cells"][1]["outputs"][3]["traceback"] = "Traceback\nValueError: told"
    assert "Traceback\\nValueError: told" in source_of(tmp_path, nb)


def test_nbconvert_takes_such_notebooks_as_well(tmp_path):
    from hwkit.export.exporters import TypstExporter

    nb = full_notebook()
    del nb["cells"][0]["metadata"], nb["cells"][1]["outputs"][0]["name"], nb["cells"][1]["outputs"][1]["metadata"]
    (tmp_path / "a.ipynb").write_text(json.dumps(nb))
    assert "printed" in TypstExporter().from_filename(str(tmp_path / "a.ipynb"))[0]


def source_of(folder, nb):
    """The Typst source that a notebook becomes."""
    from hwkit.export.export import typst_source
    from hwkit.export.notebooks import read_nodes, to_markdown

    (folder / "a.ipynb").write_text(json.dumps(nb))
    resources = {"metadata": {"name": "a", "path": str(folder)}}
    return typst_source(to_markdown(read_nodes(folder / "a.ipynb"), resources), resources).text


@pytest.mark.parametrize(
    "data",
    [
        {"text/html": "<table><tr></tr></table>"},
        {"text/html": "<svg><foreignObject/></svg>"},
        {"text/latex": r"\begin{tabular}{l} unclosed"},
        {"text/latex": "$"},
        {"image/png": "!!!"},
        {"application/json": None},
        {"application/vnd.vegalite.v5+json": {"mark": 5}},
        {"application/vnd.jupyter.widget-view+json": {"model_id": 5}, "text/plain": "HBox()"},
        {"text/plain": "\x00\x1b[99999mq\x1b]8;;http://x\x07l\ud800"},
    ],
)
def test_an_output_that_makes_no_sense_leaves_the_rest_as_it_is(tmp_path, data):
    from hwkit.export import export_pdf

    output = {"output_type": "display_data", "data": data, "metadata": {"image/png": None, "hwkit": 5, "alt": ["x"]}}
    code = {"cell_type": "code", "metadata": {}, "source": "x", "execution_count": None, "outputs": [output]}
    nb = {"cells": [code], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (tmp_path / "a.ipynb").write_text(json.dumps(nb))
    assert export_pdf(tmp_path / "a.ipynb")[0].read_bytes().startswith(b"%PDF")
