"""Notebooks that try to read files, run markup or swamp the page: nothing outside their folder is read or run."""

from __future__ import annotations

import base64
import io
import logging
import os
import socket

import pytest

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell  # noqa: E402
from test_exporters import picture  # noqa: E402

from hwkit.export.exporters import TypstPDFExporter  # noqa: E402
from hwkit.export.images import ImageStore  # noqa: E402

SECRET = "the secret content"
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{}</svg>'


@pytest.fixture
def folder(tmp_path):
    """A notebook's folder, with files beside it that are none of its business."""
    for name in ("secret.txt", "secret.tex", "secret.csv", "secret.typ"):
        (tmp_path / name).write_text(SECRET)
    (tmp_path / "secret.svg").write_text(PICTURE.format(f"<text>{SECRET}</text>"))
    (tmp_path / "secret.bib").write_text(f"@book{{key, author={{A. Author}}, title={{{SECRET}}}, year=2000}}")
    (tmp_path / "secret.typ").write_text(f"#let theme(body) = [{SECRET} #body]")
    (tmp_path / "secret.csl").write_text(SECRET)
    inner = tmp_path / "notebooks"
    inner.mkdir()
    for name in ("secret.bib", "secret.typ", "secret.svg", "secret.csl"):
        (inner / f"link-{name}").symlink_to(tmp_path / name)
    return inner


def export(folder, *cells):
    """The PDF's text, its source and the warnings."""
    log, messages = logging.Logger("hostile"), []
    log.addHandler(handler := logging.Handler())
    log.setLevel("WARNING")
    handler.emit = lambda record: messages.append(record.getMessage())
    exporter = TypstPDFExporter(log=log)
    resources = {"metadata": {"path": str(folder), "name": "hostile"}}
    nb = new_notebook(cells=list(cells))
    source, _ = exporter.typst_source(nb, dict(resources))
    pdf, _ = exporter.from_notebook_node(nb, dict(resources))
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)
    shown = text + source.text + "".join(content.decode("utf-8", "replace") for content in source.images.values())
    return shown, messages


ATTACKS = [
    '```{=typst}\n#read("../secret.txt")\n```',
    '`#read("../secret.txt")`{=typst}',
    "```{=latex}\n\\input{../secret.tex}\n```",
    r"\input{../secret.tex} \include{../secret.tex}",
    r"$\input{../secret.tex}$ $$\text{" + '"#read(\\"../secret.txt\\")' + "}$$",
    r"$\operatorname*{a\" ) #read(\"../secret.txt}_x$",
    r"$\unicode{x22} \unicode{x23}read(\unicode{x22}../secret.txt\unicode{x22})$",
    '#read("../secret.txt") #include "../secret.typ" #image("../secret.svg")',
    '![x](../secret.svg){width="1pt)#read(\\"../secret.txt\\")%"}',
    "![x](../secret.svg)",
    "![x](link-secret.svg)",
    "![x](%2e%2e/secret.svg)",
    '<img src="../secret.svg"> <object data="../secret.svg"></object> <iframe src="../secret.txt"></iframe>',
    '<svg xmlns="http://www.w3.org/2000/svg"><image href="../secret.svg"/></svg>',
    '::: {.hwkit-figure alt=\'"]#read(\\"../secret.txt\\")\'}\ntext\n:::',
    '# Heading {#x"]#read("../secret.txt") key=\'"]#read\'}\n\nSee @sec-x.',
    "``` {.hwkit-chunk markup=latex}\n\\input{../secret.tex}\n```",
    '``` {.hwkit-error title=\'"]#read("../secret.txt")\'}\nx\n```',
    "[link](../secret.txt) [run](file:///bin/sh) [js](javascript:alert(1))",
    ".. include:: ../secret.txt\n\n.. csv-table::\n   :file: ../secret.csv",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_reads_nothing_outside_the_folder(folder, attack):
    shown, _ = export(folder, new_markdown_cell(attack), new_markdown_cell("The end."))
    assert SECRET not in shown
    assert "The end." in shown
    assert "file:///bin/sh" not in shown
    assert "javascript:" not in shown


@pytest.mark.parametrize("target", ["../secret", "link-secret", "{outside}/secret", "file://{outside}/secret"])
def test_front_matter_reads_nothing_outside_the_folder(folder, target):
    target = target.format(outside=folder.parent)
    for key, suffix in (("bibliography", ".bib"), ("csl", ".csl"), ("theme", ".typ")):
        front = new_raw_cell(f"---\n{key}: {target}{suffix}\n---")
        shown, warnings = export(folder, front, new_markdown_cell("Text [@key]."))
        assert SECRET not in shown
        assert "Text" in shown
        assert any("outside the notebook's folder" in w or "was not found" in w for w in warnings), warnings


def test_files_of_the_notebook_cannot_pull_in_others(folder):
    (folder / "refs.bib").write_text(
        r"@book{key, author={A. Author}, title={\input{../secret.tex} \include{../secret}}, year=2000}"
    )
    (folder / "own.svg").write_text(
        PICTURE.format('<image href="../secret.svg"/><image href="file:///etc/passwd"/><script>x()</script>')
    )
    (folder / "own.csl").write_text(
        '<style xmlns="http://purl.org/net/xbiblio/csl"><info>'
        '<link rel="independent-parent" href="../secret.csl"/></info></style>'
    )
    front = new_raw_cell("---\nbibliography: refs.bib\ncsl: own.csl\n---")
    shown, warnings = export(folder, front, new_markdown_cell("See [@key]. ![x](own.svg)"))
    assert SECRET not in shown
    assert "passwd" not in shown
    assert "<script" not in shown
    assert any("citation style 'own.csl' could not be used" in warning for warning in warnings)


def test_a_theme_of_the_notebook_reads_its_own_folder_only(folder):
    from hwkit.errors import ReportError

    (folder / "own.typ").write_text('#let theme(abstract: none, body) = { read("../secret.txt"); body }')
    with pytest.raises(ReportError, match="could not be typeset"):
        export(folder, new_raw_cell("---\ntheme: own.typ\n---"), new_markdown_cell("x"))
    (folder / "own.typ").write_text(
        f'#let theme(abstract: none, body) = {{ read("{folder.parent}/secret.txt"); body }}'
    )
    with pytest.raises(ReportError, match="could not be typeset"):
        export(folder, new_raw_cell("---\ntheme: own.typ\n---"), new_markdown_cell("x"))


def test_a_theme_of_the_notebook_fetches_no_package(folder, monkeypatch):
    from hwkit.errors import ReportError

    (folder / "own.typ").write_text('#import ("@" + "preview/cetz:0.3.1"): *\n#let theme(abstract: none, body) = body')
    with socket.create_server(("127.0.0.1", 0)) as network:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{network.getsockname()[1]}")
        with pytest.raises(ReportError, match="failed to download package"):
            export(folder, new_raw_cell("---\ntheme: own.typ\n---"), new_markdown_cell("x"))
        network.setblocking(False)
        with pytest.raises(BlockingIOError):
            network.accept()
    assert os.environ["https_proxy"].startswith("http://127.0.0.1:")


def bomb(levels, reference):
    """An SVG of a few lines that stands for ten to the power of `levels` squares."""
    groups = (f'<g id="a{n + 1}">{reference.format(n) * 10}</g>' for n in range(levels))
    square = '<rect id="a0" width="9" height="9"/>'
    return PICTURE.format(f"<defs>{square}{''.join(groups)}</defs>{reference.format(levels)}")


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        (bomb(9, '<use href="#a{}"/>'), "draws more than 200000 elements"),
        (bomb(9, "<use xlink:href='#a{}' xmlns:xlink='http://www.w3.org/1999/xlink'/>"), "draws more than 200000"),
        (bomb(9, '<rect fill="url(#a{})"/>'), "draws more than 200000 elements"),
        (PICTURE.format('<g id="a"><use href="#a"/></g>'), "draws more than 200000 elements"),
        (PICTURE.format("<g>" * 5000 + '<use href="#a"/>' + "</g>" * 5000), "is nested too deeply"),
        (PICTURE.format('<use href="#a">'), "is damaged"),
        (f'<!DOCTYPE svg [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>{PICTURE.format("&c;")}', "defines XML entities"),
    ],
)
def test_a_picture_that_draws_without_end_is_left_out(folder, picture, problem):
    output = new_output("display_data", {"image/svg+xml": picture})
    shown, warnings = export(folder, new_code_cell("x", outputs=[output]), new_markdown_cell("The end."))
    assert "The end." in shown
    assert any(problem in warning for warning in warnings), warnings


def test_a_picture_within_a_picture_is_no_second_svg():
    inner = base64.b64encode(bomb(9, '<use href="#a{}"/>').encode()).decode()
    store = ImageStore()
    store.add(PICTURE.format(f'<image href="data:image/svg+xml;base64,{inner}"/>').encode(), "image/svg+xml")
    store.add(PICTURE.format(f'<image href="data:image/png;base64,{picture()}"/>').encode(), "image/svg+xml")
    first, second = store.files.values()
    assert b"data:" not in first
    assert b"data:image/png" in second


@pytest.mark.parametrize(
    "inner", [base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 50).decode(), picture("image/jpeg"), "AAAA", "!"]
)
def test_a_damaged_picture_within_a_picture_is_left_out_and_the_rest_is_set(folder, inner):
    drawing = PICTURE.format(f'<image href="data:image/png;base64,{inner}" width="9" height="9"/>')
    (folder / "a.svg").write_text(drawing)
    output = new_output("display_data", {"image/svg+xml": drawing, "text/plain": "<SVG>"})
    cells = [new_markdown_cell("![alt](a.svg)"), new_code_cell("x", outputs=[output]), new_markdown_cell("After")]
    shown, warnings = export(folder, *cells)
    assert "After" in shown
    assert any("cell 1: image 'a.svg': an SVG image holds a picture" in warning for warning in warnings), warnings
    assert any("cell 2: an SVG image holds a picture" in warning for warning in warnings), warnings


def test_an_image_that_only_the_typesetter_finds_damaged_is_left_out_and_named(folder):
    (folder / "a.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    shown, warnings = export(folder, new_markdown_cell("Before\n\n![alt](a.pdf)\n\nAfter"))
    assert "After" in shown
    assert any("cell 1: an image could not be set and was left out" in warning for warning in warnings), warnings


@pytest.mark.parametrize(("name", "kind"), [("a.png", "JPEG"), ("a.jpg", "PNG"), ("a.png", "BMP"), ("a.gif", "WEBP")])
def test_a_picture_under_the_wrong_name_is_shown(folder, name, kind):
    (folder / name).write_bytes(base64.b64decode(picture(f"image/{kind.lower()}")))
    _, warnings = export(folder, new_markdown_cell(f"![alt]({name})"))
    assert warnings == []


@pytest.mark.parametrize("mime", ["text/latex", "text/markdown", "text/html"])
def test_outputs_read_nothing_outside_the_folder(folder, mime):
    markup = r'\input{../secret.tex} <img src="../secret.svg"> `#read("../secret.txt")`{=typst} <p>text</p>'
    output = new_output("display_data", {mime: markup})
    shown, _ = export(folder, new_code_cell("x", outputs=[output]))
    assert SECRET not in shown


def test_a_huge_output_is_cut_and_said_so(folder):
    lines = new_output("stream", text="\n".join(f"line {i}" for i in range(200_000)))
    line = new_output("stream", name="stderr", text="x" * 3_000_000)
    shown, warnings = export(folder, new_code_cell("loop()", outputs=[lines, line]))
    assert "line 199999" in shown
    assert len(shown) < 1_000_000
    assert sum("left out" in warning for warning in warnings) == 2
