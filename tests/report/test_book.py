"""Books of notebooks: one PDF and one HTML page with numbers and references across notebooks."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from hwkit import theme  # noqa: E402
from hwkit.errors import ReportError  # noqa: E402
from hwkit.export.fonts import ALWAYS_THERE, font_set  # noqa: E402
from hwkit.export.settings import ReportSettings  # noqa: E402
from hwkit.findings.reference import ResultTable  # noqa: E402
from hwkit.report.bind import build_book  # noqa: E402

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"><rect width="9" height="9"/></svg>'


def write(folder, name, *cells):
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=list(cells), metadata={"language_info": {"name": "python"}}), path)
    return path


def figure(label, caption, source="plot()", **options):
    lines = [f"#| label: {label}", f"#| fig-cap: {caption}", *(f"#| {k}: {v}" for k, v in options.items())]
    output = new_output("display_data", {"image/svg+xml": SVG, "text/plain": "<Figure size 640x480 with 1 Axes>"})
    return new_code_cell("\n".join([*lines, source]), outputs=[output])


@pytest.fixture
def notebooks(tmp_path):
    first = write(
        tmp_path,
        "01_first",
        new_markdown_cell("# First task\n\nSee @fig-b in the other notebook."),
        new_code_cell("epochs = 3", metadata={"tags": ["parameters"]}),
        figure("fig-a", "Figure of the first.", "hidden_code()"),
        new_code_cell("#| echo: true\nshown_code()"),
    )
    second = write(
        tmp_path,
        "02_second",
        new_markdown_cell("# Second task\n\n## Part {#sec-part}\n\nBack to @fig-a and @tbl-summary."),
        figure("fig-b", "Figure of the second.", **{"fig-alt": "A blue box"}),
    )
    return [first, second]


SETTINGS = ReportSettings(title="Small CNNs", subtitle="Homework", author=("Ada Lovelace",), course="Deep Learning")
OPENING = "# Summary\n\n| run | accuracy |\n|---|--:|\n| mnist | 0.99 |\n\n: All runs. {#tbl-summary}\n"


def build(paths, folder, **changes):
    arguments = {"settings": SETTINGS, "facts": {"Profile": "smoke"}, "opening": OPENING} | changes
    return build_book(paths, pdf=folder / "report.pdf", html=folder / "report.html", **arguments)


def pages(folder):
    reader = pypdf.PdfReader(folder / "report.pdf")
    return [page.extract_text().replace("\u00a0", " ") for page in reader.pages]


def test_a_book_has_a_title_page_with_contents_and_chapters_that_run_on(notebooks, tmp_path):
    info = build(notebooks, tmp_path)
    found = pages(tmp_path)
    assert info.pages == len(found) == 2
    assert info.warnings == ()
    for text in ("Small CNNs", "Homework", "Ada Lovelace", "Deep Learning", "Profile", "smoke"):
        assert text in found[0]
    for text in ("Contents", "Summary", "First task", "Second task", "Part"):
        assert text in found[0]
    for text in ("1 Summary", "2 First task", "3 Second task"):
        assert text in found[1]


def test_what_report_toml_leaves_out_is_gone_and_what_leads_there_says_so(notebooks, tmp_path):
    info = build(notebooks[:1], tmp_path, absent={"fig-b": "“Second task” (left out)"}, opening="# Summary")
    assert info.warnings == ()
    assert "See “Second task” (left out) in the other notebook." in "\n".join(pages(tmp_path))


def test_cells_on_the_reference_report_and_empty_readings_are_left_out(tmp_path):
    rows = [{"name": "mnist", "data": "real", "dataset": "mnist", "l2": 0.0, "epochs": 1.0, "test_accuracy": 0.9}]
    rows[0] |= {"seed_accuracy": 0.99, "test_images": 10000}
    table = ResultTable(tuple(rows))._repr_mimebundle_()
    assert "reference report" in table["text/html"]
    prompt, own = "*What do you see? Replace this text.*", "The *second* one leans to the left."
    cells = [
        new_markdown_cell("# One"),
        new_markdown_cell("It is unlike the other one.", metadata={"tags": ["reference"]}),
        new_code_cell("compare()", outputs=[new_output("display_data", table)]),
        new_markdown_cell(prompt, metadata={"tags": ["your-reading"]}),
        new_markdown_cell(own, metadata={"tags": ["your-reading"]}),
    ]
    path = write(tmp_path, "one", *cells)
    for reference in (True, False):
        build([path], tmp_path, settings=dataclasses.replace(SETTINGS, reference=reference), opening="")
        text = "\n".join(pages(tmp_path)) + (tmp_path / "report.html").read_text()
        assert ("unlike the other" in text) is reference
        assert ("reference report" in text) is reference
        assert "90.0 %" in text
        assert "What do you see" not in text
        assert "leans to the left" in text


def test_the_list_of_references_stands_before_the_appendix(tmp_path):
    (tmp_path / "a.bib").write_text("@book{a, author={Adams, Ann}, title={On A}, publisher={P}, year={2001}}")
    first = write(tmp_path, "one", new_markdown_cell("# One\n\nSee [@a]."))
    last = write(tmp_path, "two", new_markdown_cell("# Tables"))
    content = nbformat.read(last, 4)
    content.metadata["hwkit"] = {"appendix": True}
    nbformat.write(content, last)
    settings = ReportSettings(title="Book", bibliography=(str(tmp_path / "a.bib"),))
    build([first, last], tmp_path, settings=settings, opening="")
    titles = [entry.title for entry in pypdf.PdfReader(tmp_path / "report.pdf").outline]
    assert titles == ["1 One", "References", "2 Tables"]
    build([last], tmp_path, settings=settings, opening="")
    assert [entry.title for entry in pypdf.PdfReader(tmp_path / "report.pdf").outline] == ["1 Tables"]


def test_an_accessible_pdf_has_texts_for_figures_and_formulas(tmp_path):
    axes = theme.new_axes(4)
    axes.plot([0, 1], [0.4, 0.8], label="test")
    data, metadata = axes.figure._repr_svg_()
    shown = new_output("display_data", {"image/svg+xml": data}, metadata={"image/svg+xml": metadata})
    text = "# One {#sec-one}\n\nWith $x_i$ and $\\frac{a}{b}$(1):\n\n$$\\sum_i x_i = 1$$ {#eq-a}\n\nSee @eq-a, [@a]."
    (tmp_path / "a.bib").write_text("@book{a, author={Adams, Ann}, title={On A}, publisher={P}, year={2001}}")
    path = write(
        tmp_path, "one", new_markdown_cell(text), new_code_cell("#| fig-cap: A line.\nplot()", outputs=[shown])
    )
    bibliography = (str(tmp_path / "a.bib"),)
    settings = dataclasses.replace(SETTINGS, pdf_standard="ua-1", abstract="Found.", bibliography=bibliography)
    assert build([path], tmp_path, settings=settings).warnings == ()
    assert "test rises from 0.4 to 0.8" in str(alternatives(tmp_path / "report.pdf"))
    assert "\\sum_i x_i = 1" in str(alternatives(tmp_path / "report.pdf"))


def test_a_chapter_that_misses_the_standard_costs_the_standard_and_not_the_report(tmp_path):
    silent = new_code_cell("plot()", outputs=[new_output("display_data", {"image/svg+xml": SVG})])
    path = write(tmp_path, "one", new_markdown_cell("# One\n\nThe text."), silent)
    info = build([path], tmp_path, settings=dataclasses.replace(SETTINGS, pdf_standard="ua-1"), opening="")
    (warning,) = info.warnings
    assert "does not keep to pdf_standard = 'ua-1'" in warning
    assert "The text." in "\n".join(pages(tmp_path))


def alternatives(pdf):
    """The alternative texts in the tree of a tagged PDF."""
    todo, found = [pypdf.PdfReader(pdf).trailer["/Root"]["/StructTreeRoot"]], []
    while todo:
        element = todo.pop().get_object()
        if isinstance(element, dict):
            found += [element["/Alt"]] if "/Alt" in element else []
            children = element.get("/K", [])
            todo += children if isinstance(children, list) else [children]
    return found


def test_charts_are_part_of_the_page_in_colours_that_go_dark_and_other_drawings_are_not(tmp_path):
    axes = theme.new_axes(4)
    axes.plot([0, 1], [0.4, 0.8], label="test", **theme.TEST)
    data, metadata = axes.figure._repr_svg_()
    risky = data.replace("<g ", '<g onload="steal()" ', 1)
    outputs = [
        new_output("display_data", {"image/svg+xml": one}, metadata={"image/svg+xml": metadata})
        for one in (data, risky)
    ]
    path = write(tmp_path, "one", new_markdown_cell("# One"), new_code_cell("plot()", outputs=outputs))
    build([path], tmp_path, opening="")
    html = (tmp_path / "report.html").read_text()
    (chart,) = re.findall(r"<svg class=\"chart\".*?</svg>", html, re.DOTALL)
    assert 'aria-label="' in chart
    assert "test rises from 0.4 to 0.8" in chart
    assert "var(--c-cc3311, #cc3311)" in chart
    assert html.count("data:image/svg+xml;base64,") == 1
    assert "onload" not in html
    assert 'font-family: "Libertinus Serif"' in html


def test_numbers_run_on_and_references_reach_across_notebooks(notebooks, tmp_path):
    build(notebooks, tmp_path)
    text = "\n".join(pages(tmp_path))
    assert "See Figure 2 in the other notebook." in text
    assert "Back to Figure 1 and Table 1." in text
    assert "Figure 2: Figure of the second." in text
    assert "Table 1: All runs." in text


def test_code_is_hidden_unless_the_cell_says_echo(notebooks, tmp_path):
    build(notebooks, tmp_path)
    text = "\n".join(pages(tmp_path))
    assert "shown_code" in text
    assert "hidden_code" not in text
    assert "epochs = 3" not in text


def test_the_page_in_html_has_the_same_structure_and_stands_alone(notebooks, tmp_path):
    build(notebooks, tmp_path)
    html = (tmp_path / "report.html").read_text()
    for text in ("Small CNNs", "Contents", "Second task", "Figure of the second.", 'alt="A blue box"', "shown_code"):
        assert text in html
    assert "Figure\u00a02" in html
    assert "data:image/svg+xml;base64," in html
    assert 'src="images/' not in html
    assert "http" not in html.replace("http://www.w3.org", "")


@pytest.mark.parametrize(("cell", "short"), [("0.8265–0.8708", True), ("a sentence, which may well be broken", False)])
def test_tables_of_short_cells_keep_each_on_one_line_of_the_page(notebooks, tmp_path, cell, short):
    build(notebooks[:1], tmp_path, opening=f"# Summary\n\n| run | interval |\n|---|---|\n| mnist | {cell} |\n")
    assert ('class="table short"' in (tmp_path / "report.html").read_text()) is short


def test_the_pdf_states_title_author_and_language_and_is_tagged(notebooks, tmp_path):
    build(notebooks, tmp_path)
    reader = pypdf.PdfReader(tmp_path / "report.pdf")
    assert reader.metadata.title == "Small CNNs"
    assert reader.metadata.author == "Ada Lovelace"
    assert reader.trailer["/Root"]["/Lang"] == "en"
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"] is not None
    assert len(reader.outline) >= 3


def test_the_bibliographies_of_all_notebooks_become_one(tmp_path):
    entry = "@book{{{key}, author={{{author}}}, title={{Title of {key}}}, publisher={{P}}, year={{2001}}}}"
    (tmp_path / "a.bib").write_text(entry.format(key="a", author="Adams, Ann"))
    (tmp_path / "b.bib").write_text(entry.format(key="b", author="Brown, Bob"))
    first = write(tmp_path, "one", new_raw_cell("---\nbibliography: b.bib\n---"), new_markdown_cell("# One\n\nBy @b."))
    second = write(tmp_path, "two", new_markdown_cell("# Two\n\nBy [@a; @b]."))
    settings = ReportSettings(title="Book", bibliography=(str(tmp_path / "a.bib"),), abstract="In *short*, @a.")
    info = build([first, second], tmp_path, settings=settings, opening="")
    assert info.warnings == ()
    text = "\n".join(pages(tmp_path))
    assert "In short, Adams (2001)." in text
    assert "By Brown (2001)." in text
    assert "(Adams 2001; Brown 2001)" in text
    assert text.count("Title of") == text.count("Title of a") + text.count("Title of b") == 2
    assert [entry.title for entry in pypdf.PdfReader(tmp_path / "report.pdf").outline] == [
        "1 One",
        "2 Two",
        "References",
    ]
    html = (tmp_path / "report.html").read_text()
    for part in ("<em>short</em>", 'id="hwkit-entry-1"', 'href="#hwkit-entry-2"', "References</h1>"):
        assert part in html


def test_formulas_are_mathml_in_the_page(tmp_path):
    formula = r"\operatorname*{argmin}_x \|x\|, \begin{array}{l} a \\ b \end{array}"
    write(tmp_path, "one", new_markdown_cell(f"# One\n\n${formula}$"))
    build([tmp_path / "one.ipynb"], tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<math" in html
    assert "argmin" in html
    assert not [character for character in html if "\ue000" <= character <= "\uf8ff"]


def test_a_failed_notebook_shows_its_error(tmp_path):
    error = new_output("error", ename="ValueError", evalue="bad value", traceback=["ValueError: bad value"])
    path = write(tmp_path, "broken", new_code_cell("f()", outputs=[error]))
    build([path], tmp_path)
    assert "ValueError: bad value" in "\n".join(pages(tmp_path))


def test_a_notebook_without_a_heading_gets_its_name_as_chapter(tmp_path):
    build([write(tmp_path, "03_extra_run", new_markdown_cell("Only text."))], tmp_path)
    assert "2 03 extra run" in "\n".join(pages(tmp_path))


def test_a_missing_target_is_visible_and_warned_of(tmp_path):
    info = build([write(tmp_path, "one", new_markdown_cell("# One\n\nSee @fig-none."))], tmp_path)
    assert "?fig-none?" in "\n".join(pages(tmp_path))
    assert any("@fig-none" in warning for warning in info.warnings)


def test_an_existing_pdf_survives_a_failed_build(tmp_path):
    (tmp_path / "report.pdf").write_bytes(b"old")
    (tmp_path / "damaged.ipynb").write_text("no notebook")
    with pytest.raises(ReportError, match=r"damaged\.ipynb: it cannot be read"):
        build([tmp_path / "damaged.ipynb"], tmp_path)
    assert (tmp_path / "report.pdf").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.ipynb", "report.pdf"]


def test_characters_without_a_font_are_named_with_the_font_to_install(notebooks, tmp_path):
    settings = ReportSettings(title="Report", author=("王小明",))
    info = build(notebooks, tmp_path, settings=settings, system_fonts=False)
    (warning,) = info.warnings
    assert "王 (U+738B)" in warning
    assert "Noto Serif CJK" in warning
    assert "???" in pages(tmp_path)[0]


def test_chinese_names_are_letters_where_a_font_has_them(notebooks, tmp_path):
    fonts = font_set()
    if fonts.missing("王小明", fonts.text_faces("Libertinus Serif", "en")):
        pytest.skip("no installed font has Chinese")
    info = build(notebooks, tmp_path, settings=ReportSettings(title="Report", author=("王小明",)))
    assert info.warnings == ()
    assert "王小明" in pages(tmp_path)[0]


def test_coverage_is_decided_by_real_glyphs():
    fonts = font_set(system=False)
    missing = fonts.missing("a×÷é→王✓\U0001f680ß", fonts.text_faces("Libertinus Serif", "en"))
    assert missing == {"王", "\U0001f680"} | (missing & {"✓"})


def test_what_is_taken_to_be_there_is_there():
    fonts = font_set(system=False)
    taken = [chr(code) for code in range(0xA1, 0x2300) if ALWAYS_THERE.match(chr(code))]
    drawn = [character for character in taken if unicodedata.category(character) not in ("Cn", "Cf", "Zs")]
    assert fonts._unknown(drawn, fonts.text_faces("Libertinus Serif", "en")) == set()


def test_the_opening_may_hold_a_figure(notebooks, tmp_path):
    picture = "data:image/svg+xml;utf8,%3Csvg%20width='90'%20height='40'%3E%3C/svg%3E"
    opening = f"# Summary\n\n![Caption of it.]({picture}){{#fig-sum}}\n\nSee @fig-sum."
    info = build(notebooks, tmp_path, opening=opening)
    text = "\n".join(pages(tmp_path))
    assert "Figure 1: Caption of it." in text
    assert "See Figure 1." in text
    assert [w for w in info.warnings if "tbl-summary" not in w] == []


def test_sizes_are_those_of_the_files(notebooks, tmp_path):
    info = build(notebooks, tmp_path)
    assert info.pdf_bytes == (tmp_path / "report.pdf").stat().st_size
    assert info.html_bytes == (tmp_path / "report.html").stat().st_size


def page_of_code(folder, options):
    """The HTML of a notebook with one cell of code with these options."""
    nbformat.write(new_notebook(cells=[new_code_cell(f"#| echo: true\n{options}\nx = 1")]), folder / "a.ipynb")
    build_book([folder / "a.ipynb"], settings=ReportSettings(), facts={}, html=folder / "a.html")
    return (folder / "a.html").read_text().partition("<main>")[2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("#| code-fold: true", "<details><summary>Code</summary>"),
        ("#| code-fold: show", "<details open><summary>Code</summary>"),
        ("#| code-fold: true\n#| code-summary: How", "<details><summary>How</summary>"),
    ],
)
def test_code_folds_in_html(tmp_path, options, expected):
    assert expected in page_of_code(tmp_path, options)


def test_code_does_not_fold_where_the_cell_says_so(tmp_path):
    assert "<details" not in page_of_code(tmp_path, "#| code-fold: false\n#| code-summary: How")
