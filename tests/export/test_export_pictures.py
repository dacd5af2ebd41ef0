"""Pictures of every kind that a notebook may point to: shown as they are, whatever their files are named."""

from __future__ import annotations

import base64
import io

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

pytest.importorskip("typst")

from hwkit.errors import ReportError
from hwkit.export.export import typst_source
from hwkit.export.images import ImageStore
from hwkit.export.notebooks import to_markdown
from hwkit.export.typesetting import compile_pdf

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="40">{}</svg>'


def bitmap(kind="PNG", size=(40, 20), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind, **options)
    return buffer.getvalue()


def converted(*cells, folder="."):
    """The Typst source of a notebook."""
    resources = {"metadata": {"name": "a", "path": str(folder)}}
    return typst_source(to_markdown(new_notebook(cells=list(cells)), resources), resources)


def shown(data, **metadata):
    return new_code_cell("", outputs=[new_output("display_data", data, metadata=metadata)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"a.{suffix}", bitmap("JPEG")) for suffix in ("jfif", "jpe", "JPG")),
        ("a.bmp", bitmap("BMP")),
        ("a.tif", bitmap("TIFF")),
        ("a.ico", bitmap("ICO")),
        ("plot", bitmap()),
        ("drawing", SVG.format("").encode()),
        ("drawing.png", SVG.format("").encode()),
        ("a.svg", bitmap()),
    ],
)
def test_a_picture_is_what_its_content_says(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    source = converted(new_markdown_cell(f"![]({name})"), folder=tmp_path)
    assert source.warnings == []
    assert len(source.images) == 1


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    source = converted(new_markdown_cell("![](notes.txt)"), folder=tmp_path)
    assert "cell 1: image 'notes.txt'" in source.warnings[0]
    assert "save it as PNG" in source.warnings[0]


@pytest.mark.parametrize("kind", ["bmp", "tiff", "jpg"])
def test_other_types_are_shown_from_attachments_outputs_and_addresses(kind):
    content = base64.b64encode(bitmap("JPEG" if kind == "jpg" else kind.upper())).decode()
    cells = [
        new_markdown_cell("![](attachment:x)", attachments={"x": {f"image/{kind}": content}}),
        new_markdown_cell(f"![](data:image/{kind};base64,{content})"),
        shown({f"image/{kind}": content, "text/plain": "<Image>"}),
    ]
    source = converted(*cells)
    assert source.warnings == []
    assert source.text.count("image(") >= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_photo_is_as_wide_as_it_was_held(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = ImageStore().add(bitmap(kind, (400, 200), exif=exif), "image/jpeg")
    assert (image.width < image.height) == (orientation >= 5)


FIGURE = {"image/png": base64.b64encode(bitmap()).decode(), "text/plain": "<Figure>"}


@pytest.mark.parametrize(
    "vector",
    [
        {"image/svg+xml": "<svg>"},
        {"image/svg+xml": SVG.format('<image href="data:image/png;base64,AAAA"/>')},
        {"image/svg+xml": SVG.format("<g>")},
        {"application/pdf": base64.b64encode(b"nothing").decode()},
        {"application/pdf": base64.b64encode(b"%PDF-1.7 nothing").decode()},
    ],
)
def test_a_bitmap_takes_the_place_of_a_vector_figure_that_fails(vector):
    source = converted(shown({**FIGURE, **vector}))
    assert compile_pdf(source).startswith(b"%PDF")
    assert [*source.warnings, *source.writer.warnings] == []


def test_labels_of_drawings_are_text_and_no_excuse_is_shown():
    label = (
        '<foreignObject width="{0}" height="{0}"><div xmlns="http://www.w3.org/1999/xhtml">{1}</div></foreignObject>'
    )
    excuse = '<switch><g requiredFeatures="x"/><a><text>Text is not SVG - cannot display</text></a></switch>'
    beside = '<text x="60" y="34" font-size="12px">Long lab...</text>'
    switch = f"<switch>{label.format('100%', 'Long label<br/>below')}{beside}</switch>"
    store = ImageStore()
    name = store.add(
        SVG.format(f"{switch}{label.format(40, 'Node &amp; edge')}{excuse}").encode(), "image/svg+xml"
    ).name
    drawn = store.files[name].decode()
    assert "Long label" in drawn
    assert "below" in drawn
    assert "Node &amp; edge" in drawn
    assert "Long lab..." not in drawn
    assert "cannot display" not in drawn
    assert "foreignObject" not in drawn


def test_a_drawing_within_html_keeps_its_own_style():
    drawing = SVG.format("<style>.a {fill: #00ff00}</style><rect class='a' width='9' height='9'/><text>a&nbsp;b</text>")
    source = converted(shown({"text/html": f"<style>p {{color: red}}</style><p>{drawing}</p>", "text/plain": "x"}))
    (content,) = source.images.values()
    assert b".a {fill: #00ff00}" in content
    assert compile_pdf(source).startswith(b"%PDF")


@pytest.mark.parametrize("depth", [10_000])
def test_a_drawing_nested_too_deeply_is_named(depth):
    with pytest.raises(ReportError, match=r"nested too deeply|damaged"):
        ImageStore().add(SVG.format("<switch>" * depth + "</switch>" * depth).encode(), "image/svg+xml")


COLAB = """<div id="df-1" class="colab-df-container"><div><style scoped>.dataframe {{ }}</style>
<table border="1" class="dataframe"><thead><tr><th></th><th>name</th></tr></thead><tbody><tr><th>0</th><td>{0}</td></tr>
</tbody></table></div><div class="colab-df-buttons"><style>.colab-df-quickchart {{ display:none; }}</style>
<button class="colab-df-convert" style="display:none;"><svg viewBox="0 -960 960 960"><path d="M120-120v-720Z"/></svg>
</button><button class="x"><svg width="24px" viewBox="0 0 24 24"><g><path d="M19 3H5c-1.1"/></g></svg></button>
<div class="colab-df-quickchart">hidden</div><script>const x = "<b>";</script></div></div>"""


def test_a_data_frame_of_colab_is_its_table():
    source = converted(shown({"text/html": COLAB.format("value"), "text/plain": "   name"}))
    assert "value" in source.text
    assert "hidden" not in source.text[source.text.index("#show: theme") :]
    assert source.images == {}
    assert source.warnings == []


@pytest.mark.parametrize(
    ("cell", "metadata"),
    [
        ({}, {"image/png": {"alt": "Words"}}),
        ({}, {"alt": "Words"}),
        ({"alt": "Words"}, {}),
        ({"mystnb": {"image": {"alt": "Words"}}}, {}),
    ],
)
def test_the_alternative_text_of_a_figure_is_where_others_put_it(cell, metadata):
    one = shown(FIGURE, **metadata)
    one.metadata.update(cell)
    assert 'alt: "Words"' in converted(one).text
