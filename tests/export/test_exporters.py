"""The nbconvert exporters: any notebook becomes Typst source and a PDF."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from traitlets.config import Config

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from nbconvert.exporters import get_exporter  # noqa: E402
from PIL import Image  # noqa: E402

from hwkit.export.exporters import TypstExporter, TypstPDFExporter  # noqa: E402
from hwkit.export.fonts import shown_instead  # noqa: E402

FRAME = (
    '<div><style scoped>.x{}</style><table border="1" class="dataframe"><thead><tr style="text-align: right;">'
    "<th></th><th>name</th><th>count</th></tr></thead><tbody><tr><th>0</th><td>conv1.weight</td><td>800</td></tr>"
    "</tbody></table></div>"
)


def picture(mime="image/png", colour="red"):
    """A small picture as a notebook stores it."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(buffer, mime.split("/")[1].upper())
    return base64.b64encode(buffer.getvalue()).decode()


def display(metadata=None, **data):
    return new_output(
        "display_data", {key.replace("_", "/", 1): value for key, value in data.items()}, metadata=metadata or {}
    )


def notebook(*cells):
    return new_notebook(cells=list(cells), metadata={"language_info": {"name": "python"}})


def code(source="", *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)} if tags else {})


def text_of(pdf):
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return "\n".join(page.extract_text() for page in pages).replace("\u200b", "").replace("\u00a0", " ")


def pdf_text(*cells, **options):
    pdf, _ = TypstPDFExporter(**options).from_notebook_node(notebook(*cells))
    return text_of(pdf)


def typst_source(*cells, **options):
    return TypstExporter(**options).from_notebook_node(notebook(*cells))[0]


def test_nbconvert_finds_both_exporters_by_name_and_jupyterlab_lists_them():
    assert get_exporter("typst").export_from_notebook == "Typst"
    assert get_exporter("typstpdf").export_from_notebook == "PDF (Typst)"


def test_markdown_math_tables_and_footnotes_are_set():
    text = pdf_text(
        new_markdown_cell("# Title\n\nLoss[^1] is $x^2$.\n\n| a | b |\n|---|--:|\n| one | 2 |\n\n[^1]: A note.")
    )
    assert "Title" in text
    assert "A note." in text
    assert "one" in text
    assert "|" not in text


def test_markup_in_text_stays_text():
    text = pdf_text(new_markdown_cell("Costs $5 and #let x = 1 and *bold* and a_b @somebody <tag>."))
    assert "#let x = 1" in text
    assert "$5" in text
    assert "@somebody" in text


def test_a_cell_left_open_does_not_swallow_the_next():
    text = pdf_text(new_markdown_cell("```\nopen fence"), new_markdown_cell("## Next heading"))
    assert "## Next" not in text
    assert "Next heading" in text


def test_code_is_shown_without_its_option_lines():
    text = pdf_text(code("#| label: fig-x\n#| fig-cap: A figure: with a colon\nplot(1)"))
    assert "plot(1)" in text
    assert "fig-cap" not in text


@pytest.mark.parametrize(
    ("options", "code_shown", "output_shown"),
    [
        ("", True, True),
        ("#| echo: false\n", False, True),
        ("#| output: false\n", True, False),
        ("#| include: false\n", False, False),
    ],
)
def test_cell_options_decide_what_is_shown(options, code_shown, output_shown):
    text = pdf_text(
        code(f"{options}compute()", new_output("stream", name="stdout", text="result 42\n")), new_markdown_cell("x")
    )
    assert ("compute()" in text) is code_shown
    assert ("result 42" in text) is output_shown


def test_nbconverts_own_options_work():
    config = Config({"TagRemovePreprocessor": {"remove_cell_tags": ["skip"], "enabled": True}})
    text = pdf_text(code("hidden()", tags=["skip"]), code("shown()"), config=config)
    assert "hidden()" not in text
    assert "shown()" in text
    assert "shown()" not in pdf_text(code("shown()"), new_markdown_cell("x"), exclude_input=True)


def test_progress_bars_and_terminal_codes_leave_clean_text():
    bar = "\r  0%|          | 0/3 [00:00<?, ?it/s]\r100%|##########| 3/3 [00:00<00:00, 9.1it/s]\n"
    text = pdf_text(
        code("", new_output("stream", name="stderr", text=bar)),
        code("", new_output("stream", name="stdout", text="step 1\rstep 2\n\x1b[31mred\x1b[0m end\n")),
    )
    assert "it/s" not in text
    assert "step 1" not in text
    assert "step 2" in text
    assert "red end" in text
    assert "[31m" not in text


def test_backspaces_take_back_what_stands_before_them():
    text = pdf_text(code("", new_output("stream", name="stdout", text="N\bNA\bAM\bME\bE\n    print - x\n")))
    assert text.startswith("NAME")


@pytest.mark.parametrize(
    "target",
    [
        '<a id="here"></a><a name="old"></a>',
        "::: {#here .callout-tip}\nBody.\n:::",
        "```{#here .python}\nx = 1\n```",
        "::: {#here}\nBody.\n:::",
        "[Words]{#here}",
    ],
)
def test_a_link_leads_to_whatever_carries_its_anchor(target):
    assert "there" in pdf_text(new_markdown_cell(f"Go [there](#here).\n\n{target}\n\nEnd."))


def test_data_frames_become_tables():
    source = typst_source(code("", display(text_html=FRAME, text_plain="name count")))
    assert "hwkit-table(" in source
    assert "align: (right, left, right, )" in source
    assert "scoped" not in source


def test_a_wide_table_is_cut_into_parts_that_repeat_the_first_column():
    head = "".join(f"<th>feature_{i}</th>" for i in range(30))
    row = "".join(f"<td>{i}.123456</td>" for i in range(30))
    html = f"<table><thead><tr><th>name</th>{head}</tr></thead><tbody><tr><th>first</th>{row}</tr></tbody></table>"
    source = typst_source(code("", display(text_html=html)))
    body = source[source.index("#show: theme") :]
    assert body.count("#hwkit-table(") > 1
    assert body.count("[first]") == body.count("#hwkit-table(")
    assert "feature\\_29" in body


def test_a_labelled_figure_is_captioned_numbered_and_referred_to():
    text = pdf_text(
        new_markdown_cell("See @fig-loss and @tbl-frame in @sec-results."),
        code("#| label: fig-loss\n#| fig-cap: The *loss*.", display(image_png=picture())),
        code("#| label: tbl-frame\n#| tbl-cap: A frame.", display(text_html=FRAME)),
        new_markdown_cell("## Results {#sec-results}"),
    )
    assert "See Figure 1 and Table 1 in “Results”." in text
    assert "Figure 1: The loss." in text
    assert "Table 1: A frame." in text


def test_an_anchor_labels_a_heading_or_an_equation_and_links_keep_their_words():
    anchored = new_markdown_cell('# Title\n\n# Results <a id="sec-results"></a>\n\n$$x$$ <a id="eq-x"></a>\n\nText.')
    links = new_markdown_cell("See @sec-results, @eq-x and [the section on results](#sec-results).")
    text = " ".join(pdf_text(anchored, links).split())
    assert "See “Results”, Equation (1) and the section on results." in text


def test_a_link_to_a_label_of_a_notebook_that_is_not_there_keeps_its_words():
    text = pdf_text(new_markdown_cell("See [the section on data](00_methods.ipynb#sec-data)."))
    assert "See the section on data." in text


@pytest.mark.parametrize("reference", ["@fig-x.", "@fig-x)", "@fig-x goes on."])
def test_a_reference_at_the_beginning_of_a_line_stays_in_its_paragraph(reference):
    source, _ = TypstExporter().from_notebook_node(notebook(new_markdown_cell(f"Before,\n{reference}")))
    assert re.search(r"Before,\s#", source)
    assert not re.search(r"Before,\s*\n\s*\n", source)


def test_a_table_that_only_some_runs_have_brings_its_caption(caplog):
    shown = display(metadata={"hwkit": {"caption": "A frame."}}, text_html=FRAME)
    text = pdf_text(code("#| label: tbl-frame", shown), new_markdown_cell("See @tbl-frame."))
    assert "Table 1: A frame." in text
    assert "See Table 1." in text
    with caplog.at_level("WARNING"):
        exporter = TypstPDFExporter()
        exporter.log.propagate = True
        exporter.from_notebook_node(notebook(code("#| label: tbl-frame")))
    assert not caplog.text


def test_a_caption_computed_at_run_time_wins():
    metadata = {"hwkit": {"caption": "Accuracy 0.99.", "label": "fig-run", "alt": "Curve"}}
    text = pdf_text(
        code("#| label: fig-a\n#| fig-cap: Static.", display(metadata=metadata, image_png=picture())),
        new_markdown_cell("See @fig-run."),
    )
    assert "Figure 1: Accuracy 0.99." in text
    assert "Static" not in text
    assert "See Figure 1." in text


def test_a_reference_without_target_is_shown_and_warned_of(caplog):
    with caplog.at_level("WARNING"):
        exporter = TypstPDFExporter()
        exporter.log.propagate = True
        pdf, _ = exporter.from_notebook_node(notebook(new_markdown_cell("See @fig-nowhere.")))
    assert "?fig-nowhere?" in text_of(pdf)
    assert "fig-nowhere" in caplog.text


def test_errors_are_framed_without_terminal_codes():
    error = new_output(
        "error", ename="ValueError", evalue="bad value 42", traceback=["\x1b[31mValueError\x1b[0m: bad value 42"]
    )
    text = pdf_text(code("f()", error))
    assert "ValueError: bad value 42" in text
    assert "[31m" not in text


def test_no_raw_json_of_widgets_or_own_kinds_is_shown():
    widget = display()
    widget.data = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "IntSlider(value=3)"}
    own = display()
    own.data = {"application/vnd.hwkit.run+json": {"accuracy": 0.5}}
    text = pdf_text(code("x", widget, own))
    assert "model_id" not in text
    assert "accuracy" not in text
    assert "interactive widget was left out" in text


@pytest.mark.parametrize(
    "mime",
    [
        "application/papermill.record+json",
        "application/scrapbook.scrap.json+json",
        "application/scrapbook.scrap.text+json",
        "application/vnd.hwkit.run+json",
    ],
)
def test_records_for_other_programs_are_left_out_silently(mime, caplog):
    noted, shown = display(), display()
    noted.data = {mime: {"name": "noted"}}
    shown.data = {mime: {"name": "noted"}, "text/plain": "shown"}
    text = pdf_text(code("x", *([noted, shown] if "hwkit" not in mime else [noted])))
    assert "noted" not in text
    assert "hwkit" in mime or "shown" in text
    assert caplog.messages == []


def test_images_from_attachments_data_uris_and_files_are_found(tmp_path):
    (tmp_path / "figure.png").write_bytes(base64.b64decode(picture(colour="blue")))
    cell = new_markdown_cell(
        f"![a](attachment:a.png) ![b](data:image/png;base64,{picture(colour='green')}) ![c](figure.png)",
        attachments={"a.png": {"image/png": picture()}},
    )
    resources = {"metadata": {"path": str(tmp_path), "name": "book"}}
    _, resources = TypstExporter().from_notebook_node(notebook(cell), resources)
    assert len(resources["outputs"]) == 3


def test_spaces_in_the_head_of_a_data_uri_do_no_harm(caplog):
    page = f'<img src="data: image/png; base64,{picture()}">'
    assert "image(" in typst_source(code("", display(text_html=page)))
    assert caplog.text == ""


def test_an_image_shown_twice_is_stored_once():
    output = display(image_png=picture())
    _, resources = TypstExporter().from_notebook_node(notebook(code("a", output), code("b", output)))
    assert len(resources["outputs"]) == 1


@pytest.mark.parametrize("target", ["../secret.png", "/etc/hostname", "link.png", "http://example.org/x.png"])
def test_nothing_outside_the_notebooks_folder_is_read(tmp_path, target, caplog):
    (tmp_path / "secret.png").write_bytes(base64.b64decode(picture()))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    resources = {"metadata": {"path": str(folder), "name": "book"}}
    _, resources = TypstExporter().from_notebook_node(notebook(new_markdown_cell(f"![x]({target})")), resources)
    assert resources["outputs"] == {}


def test_typst_markup_in_a_notebook_is_not_run():
    attack = '```{=typst}\n#read("/etc/passwd")\n```\n\n`#read("/etc/passwd")`{=typst}\n\nBut #read("x") is text.'
    text = pdf_text(new_markdown_cell(attack), new_raw_cell('#read("/etc/passwd")'))
    assert "root:" not in text
    assert '#read("x") is text' in text.replace("“", '"').replace("”", '"')


def test_html_among_markdown_means_what_it_says():
    text = pdf_text(
        new_markdown_cell('<div class="alert alert-info"><b>Note:</b> careful</div>\n\na<br>b $x$ <kbd>K</kbd>')
    )
    assert "Note: careful" in text
    assert "<b>" not in text


def test_long_lines_stay_on_the_page():
    pdf, _ = TypstPDFExporter().from_notebook_node(
        notebook(code("", new_output("stream", name="stdout", text="x" * 1000)), code("y" * 400))
    )
    text = text_of(pdf)
    assert text.count("x") >= 1000
    assert max(line.count("x") for line in text.splitlines()) < 110
    assert max(line.count("y") for line in text.splitlines()) < 110


def test_the_command_line_writes_a_pdf(tmp_path):
    nbformat.write(notebook(new_markdown_cell("# Hello")), tmp_path / "hello.ipynb")
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "typstpdf", "hello.ipynb", "--output-dir", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert "Hello" in text_of((tmp_path / "out" / "hello.pdf").read_bytes())


def test_figures_of_one_cell_stand_side_by_side_with_letters_and_labels():
    options = "#| label: fig-all\n#| fig-cap: All\n#| fig-subcap: [Left, Right]\n#| layout-ncol: 2\n"
    cells = code(f"{options}plot()", display(image_png=picture()), display(image_png=picture(colour="blue")))
    text = pdf_text(new_markdown_cell("As @fig-all and @fig-all-2 show."), cells)
    assert "As Figure 1 and Figure 1b show" in text
    assert "(a) Left" in text
    assert "(b) Right" in text
    assert "Figure 1: All" in text
    assert "columns: 2," in typst_source(cells)


def test_a_division_with_a_label_is_a_float_whose_last_paragraph_is_the_caption(tmp_path):
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.png")
    figure = "::: {#fig-two layout-ncol=2}\n![One](a.png){#fig-one}\n\n![Two](a.png)\n\nBoth *of* them.\n:::"
    table = "::: {#tbl-x}\n\n| a |\n|---|\n| 1 |\n\nNumbers.\n:::"
    resources = {"metadata": {"path": str(tmp_path)}}
    cells = notebook(new_markdown_cell(f"@fig-two, @fig-one, @fig-two-2, @tbl-x.\n\n{figure}\n\n{table}"))
    text = text_of(TypstPDFExporter().from_notebook_node(cells, resources)[0])
    assert "Figure 1, Figure 1a, Figure 1b, Table 1." in text
    assert "Figure 1: Both of them." in text
    assert "Table 1: Numbers." in text


@pytest.mark.parametrize("label", ["lst-label: lst-f", "label: lst-f"])
def test_programs_have_captions_and_numbers(label):
    text = pdf_text(
        new_markdown_cell('See @lst-f and @lst-g.\n\n```{#lst-g .sql lst-cap="A *query*"}\nSELECT 1\n```'),
        code(f"#| {label}\n#| lst-cap: A function\ndef f(): pass"),
    )
    assert "See Listing 2 and Listing 1." in text
    assert "Listing 1: A query" in text
    assert "Listing 2: A function" in text


def test_a_listing_longer_than_a_page_goes_on_over_the_next():
    lines = "\n".join(f"line_{number} = {number}" for number in range(150))
    text = pdf_text(code(f"#| lst-cap: Long\n{lines}"))
    assert "line_0 " in text
    assert "line_149" in text


@pytest.mark.parametrize("columns", ["0", "many", "-3", '"2); #panic(1'])
def test_a_number_of_columns_that_is_none_is_named(columns, caplog):
    cell = code(f"#| layout-ncol: {columns}\nplot()", display(image_png=picture()))
    assert pdf_text(cell, new_markdown_cell("after"))
    if columns != "0":
        assert "layout-ncol" in caplog.text


@pytest.mark.parametrize(
    ("markdown", "title"),
    [
        ("::: {.callout-note}\nBody.\n:::", "Note"),
        ("::: {.callout-tip}\n## My title\nBody.\n:::", "My title"),
        ('::: {.callout-warning title="Mind"}\nBody.\n:::', "Mind"),
        ("::: {.callout-note title='A *stressed* title'}\nBody.\n:::", "A stressed title"),
        ("> [!IMPORTANT]\n> Body.", "Important"),
        ("> [!NOTE] My *own* title\n> Body.", "My own title"),
        ("```{note}\nBody.\n```", "Note"),
        ("```{admonition} It's *mine*\n:class: tip\nBody.\n```", "It’s mine"),
        (":::{hint} Try\nBody.\n:::", "Try"),
        ('::: {.callout-note appearance="minimal"}\nBody.\n:::', ""),
    ],
)
def test_callouts_have_a_title(markdown, title):
    assert pdf_text(new_markdown_cell(markdown)).split("\n")[:2] == [*filter(None, [title]), "Body."][:2] + (
        [] if title else ["1"]
    )


@pytest.mark.parametrize(
    ("markup", "line"),
    [
        (
            '<iframe width="5" src="https://a.org/map?x=1"></iframe>',
            "An embedded page was left out: https://a.org/map?x=1",
        ),
        ('<video controls src="clip.mp4">Your browser is old.</video>', "A video was left out: clip.mp4"),
        ('<audio><source src="data:audio/wav;base64,AAAA">Your browser is old.</audio>', "A sound was left out."),
        ('<iframe srcdoc="&lt;p&gt;"></iframe>', "An embedded page was left out."),
    ],
)
def test_what_only_a_browser_plays_or_loads_leaves_a_line_with_its_address(markup, line, caplog):
    output = display(text_html=markup, text_plain="<IPython.core.display.HTML object>")
    assert pdf_text(code("show()", output)).split("\n")[1:-1] == [line]
    assert "cell 1: " in caplog.text
    # In Markdown it is told from its source among code.
    assert pdf_text(new_markdown_cell(f"Look: {markup} `<video src=x></video>`")).startswith(
        f"Look: {line} <video src=x></video>"
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            {
                "application/vnd.vegalite.v5+json": {},
                "text/plain": "<VegaLite 5 object>\n\nIf you see this message, ...",
            },
            "An interactive vega figure was left out",
        ),
        ({"application/vnd.plotly.v1+json": {}}, "An interactive plotly figure was left out"),
        (
            {"text/html": '<div id="altair-viz-1"></div><script>vega</script>', "text/plain": "alt.Chart(...)"},
            "vega figure",
        ),
        (
            {"text/html": '<div><div id="1" class="plotly-graph-div"></div><script>x</script></div>'},
            "plotly figure was",
        ),
        ({"text/html": '<div id="1"></div><script>x</script>'}, "An interactive output was left out"),
        ({"text/html": "<script>window.PlotlyConfig = {};</script>"}, ""),
        ({"text/html": '<div><span id="a">Loading BokehJS ...</span></div>'}, ""),
        ({"application/vnd.bokehjs_load.v0+json": "", "application/javascript": "x"}, ""),
    ],
)
def test_figures_that_a_script_draws_leave_a_line_and_scripts_that_draw_nothing_do_not(data, line):
    shown = pdf_text(code("show()", new_output("display_data", data))).split("\n")[1:-1]
    assert line in " ".join(shown)
    assert bool(shown) == bool(line)


def test_an_animation_is_shown_by_its_first_picture():
    page = '<div class="animation"><img id="i"><button>+</button></div><script>\n frames[0] = "data:image/png;base64,'
    page += f'{picture()[:40]}\\\n{picture()[40:]}\\\n"\n frames[1] = "x"</script>'
    source, resources = TypstExporter().from_notebook_node(notebook(code("", display(text_html=page))))
    assert list(resources["outputs"].values()) == [base64.b64decode(picture())]
    assert "left out" not in source


def test_what_stands_in_boxes_of_html_stands_in_paragraphs():
    assert pdf_text(code("", display(text_html="<div>one</div><div>two</div>"))).split("\n")[:2] == ["one", "two"]


def test_a_map_does_not_ask_for_trust():
    page = "<div><span>Make this Notebook Trusted to load map: File -> Trust Notebook</span><iframe></iframe></div>"
    assert "Trust" not in pdf_text(code("", display(text_html=page, text_plain="<folium.folium.Map at 0x7f>")))


def test_a_model_of_scikit_learn_is_shown_by_its_text():
    page = '<div id="sk-1" class="sk-top-container"><pre>Ridge()</pre><table><tr><td>alpha</td></tr></table></div>'
    text = pdf_text(code("model", display(text_html=page, text_plain="Ridge()")))
    assert "Ridge()" in text
    assert "alpha" not in text


def test_an_error_without_a_message_ends_without_a_colon():
    assert '#hwkit-error("AssertionError",' in typst_source(
        code("assert 0", new_output("error", ename="AssertionError", evalue="", traceback=["AssertionError: "]))
    )


def test_emoji_without_a_font_are_told_by_name():
    assert shown_instead("🚀") == ":rocket:"
    assert shown_instead("✅") == "✔"
    assert shown_instead("🏽") == ""
    assert shown_instead("🇩") + shown_instead("🇪") == "DE"
    assert shown_instead("中") == "?"


@pytest.mark.parametrize("alt", ["image.png", "alt", "alt text", "Screenshot 2024-01-01", "drawing"])
def test_the_name_of_a_pasted_image_is_no_caption(alt):
    attached = new_markdown_cell(f"![{alt}](attachment:a.png)", attachments={"a.png": {"image/png": picture()}})
    assert "Figure" not in pdf_text(attached)


def test_a_head_over_several_columns_stands_in_their_middle():
    table = (
        "<table><thead><tr><th></th><th colspan='2' halign='left'>x</th></tr><tr><th></th><th>min</th><th>max</th></tr>"
        "</thead><tbody><tr><th>a</th><td>1</td><td>2</td></tr></tbody></table>"
    )
    assert "colspan: 2, align: center)" in typst_source(code("", display(text_html=table)))


def test_tabs_stand_one_after_the_other_without_headings_of_their_own():
    source = typst_source(new_markdown_cell("# Top\n\n::: {.panel-tabset}\n## One\nfirst\n\n## Two\nsecond\n:::"))
    assert source.count("#heading(") == 0
    assert "second" in source


def test_the_first_row_of_a_table_without_a_head_is_a_row_like_the_others():
    table = "<table><tr><td>Method:</td><td>Least Squares</td></tr><tr><td>Date:</td><td>today</td></tr></table>"
    assert "headed: false" in typst_source(code("", display(text_html=table)))
    assert "headed: true" in typst_source(code("", display(text_html=FRAME)))


def test_a_long_line_of_code_goes_on_deeper_than_it_began():
    pdf, _ = TypstPDFExporter().from_notebook_node(
        notebook(code(f"if x:\n    call({'argument, ' * 15}last)\n    y = 1"))
    )
    lines = pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text(extraction_mode="layout").split("\n")
    depth = {
        word: len(line) - len(line.lstrip()) for line in lines for word in ("call", "last", "y = 1") if word in line
    }
    assert depth["last"] > depth["call"] == depth["y = 1"]


def test_a_table_whose_cells_are_not_closed_is_a_table():
    table = "<table><tr><th>name<th>count</tr><tr><td>a<td>1</tr></table>"
    assert "#hwkit-table(" in typst_source(code("", display(text_html=table)))


def test_a_table_whose_rows_are_not_closed_is_a_table():
    markup = "<table><thead><tr><th>name<th>count<tbody><tr><td>one<td>1<tr><td>two<td>2</table>"
    source = typst_source(code("x", display(text_html=markup)))
    assert "#hwkit-table(" in source
    assert re.search(r"\[two\],\s*\[2\],", source)


def test_tables_of_one_cell_have_captions_of_their_own_below_that_of_all():
    options = "#| label: tbl-both\n#| tbl-cap: Both\n#| tbl-subcap:\n#|   - First\n#|   - Second"
    text = pdf_text(code(options, display(text_html=FRAME), display(text_html=FRAME)), new_markdown_cell("@tbl-both"))
    assert re.search(r"Table 1: Both.*\(a\) First.*\(b\) Second.*Table 1", text, re.DOTALL)


def test_columns_of_text_stand_side_by_side():
    markdown = "::: {.columns}\n::: {.column width='60%'}\nLeft\n\n- item\n:::\n::: {.column}\nRight\n:::\n:::"
    assert "#hwkit-grid(columns: 2," in typst_source(new_markdown_cell(markdown))


MYST = """```{figure} picture.png
:name: fig-x
:width: 50%

A *caption*.
```

See {numref}`fig-x`, {math}`a^2`, {eq}`sum`, a {term}`word` and {doc}`the other <other>`.

```{math}
:label: sum
a + b
```

````{tab-set}
```{tab-item} Title
Inside a **tab**.
```
````

```{code-block} python
:caption: A program
x = 1
```

```{tableofcontents}
```

```{python}
y = 2
```
"""


def test_mysts_directives_and_roles_mean_what_they_say(tmp_path):
    (tmp_path / "picture.png").write_bytes(base64.b64decode(picture()))
    cells = notebook(new_markdown_cell(MYST))
    pdf, resources = TypstPDFExporter().from_notebook_node(cells, {"metadata": {"path": str(tmp_path), "name": "a"}})
    text = " ".join(text_of(pdf).split())
    assert resources["hwkit_warnings"] == []
    for part in ("Figure 1: A caption.", "See Figure 1,", "(1), a word and the other.", "Title Inside a tab."):
        assert part in text
    for part in ("Listing 1: A program", "x = 1", "y = 2"):
        assert part in text
    assert "{" not in text
