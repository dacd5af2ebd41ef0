"""What a notebook says about itself: front matter in Quarto's syntax, citations, themes."""

from __future__ import annotations

import io
import logging
import re

import pytest

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell  # noqa: E402

from hwkit.export.exporters import TypstPDFExporter  # noqa: E402
from hwkit.export.frontmatter import take_front_matter  # noqa: E402

REFERENCES = r"""
@article{lecun1998, author={LeCun, Yann and Bottou, L{\'e}on}, title={Gradient-based learning}, journal={Proc. IEEE},
  year=1998, volume=86, pages={2278--2324}}
@book{dl:2016/a, author={Goodfellow, Ian}, title={Deep Learning}, publisher={MIT Press}, year=2016}
@book{never, author={Nobody, Nemo}, title={Never Cited}, year=2001}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "refs.bib").write_text(REFERENCES)
    return tmp_path


def front(text, folder, **metadata):
    nb = new_notebook(cells=[new_raw_cell(f"---\n{text}\n---")], metadata=metadata)
    return take_front_matter(nb, folder)


def export(folder, *cells, **options):
    """The PDF and the warnings."""
    log, messages = logging.Logger("front matter"), []
    log.addHandler(handler := logging.Handler())
    log.setLevel("WARNING")
    handler.emit = lambda record: messages.append(record.getMessage())
    resources = {"metadata": {"path": str(folder), "name": "study"}}
    pdf, _ = TypstPDFExporter(log=log, **options).from_notebook_node(new_notebook(cells=list(cells)), resources)
    return pypdf.PdfReader(io.BytesIO(pdf)), messages


def text_of(reader):
    return "\n".join(page.extract_text() for page in reader.pages).replace("\u00a0", " ")


def test_quartos_keys_become_settings(folder):
    found = front(
        "title: A study\nsubtitle: Of it\nauthor: Ada\ndate: 2026-01-31\nlang: pt-BR\npapersize: letter\n"
        "fontsize: 11pt\ntoc: true\nnumber-sections: true\nbibliography: refs.bib\n"
        "format: {typst: {toc: false}, html: x}\n"
        "theme: cosmo\nhwkit: {course: DL, theme: handout}\nexecute: {echo: false}\njupyter: python3",
        folder,
    )
    assert found.warnings == []
    assert found.settings["title"] == "A study"
    assert found.settings["author"] == ["Ada"]
    assert found.settings["language"] == "pt-BR"
    assert found.settings["paper"] == "us-letter"
    assert found.settings["font_size"] == 11
    assert found.settings["contents"] is False
    assert found.settings["number_sections"] is True
    assert found.settings["bibliography"] == [str(folder / "refs.bib")]
    assert (found.settings["course"], found.settings["theme"]) == ("DL", "handout")
    assert found.cell_options == {"echo": False}


@pytest.mark.parametrize(
    ("authors", "names", "affiliations"),
    [
        ("author: Ada", ["Ada"], []),
        ("author: [Ada, Grace]", ["Ada", "Grace"], []),
        ("author:\n  - name: Ada\n    affiliation: U\n  - name: {given: Grace, family: Hopper}", None, ["U", ""]),
        ("author: {name: Ada, affiliations: [{name: U}, V]}", ["Ada"], ["U, V"]),
        ("author: [Ada, Grace]\naffiliation: U", ["Ada", "Grace"], ["U"]),
    ],
)
def test_authors_come_in_all_forms_of_quarto(folder, authors, names, affiliations):
    settings = front(authors, folder).settings
    assert settings["author"] == (names or ["Ada", "Grace Hopper"])
    assert settings["affiliation"] == affiliations


@pytest.mark.parametrize("kind", [new_raw_cell, new_markdown_cell])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_front_matter_stands_in_a_raw_or_a_markdown_cell_with_any_line_ends(folder, kind, end):
    nb = new_notebook(cells=[kind(f"---{end}title: A study{end}author: Ada{end}---{end}")])
    assert take_front_matter(nb, folder).settings["title"] == "A study"
    assert nb.cells[0].source == ""


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("kind", [new_raw_cell, new_markdown_cell])
def test_text_behind_front_matter_is_text(folder, kind, mark):
    nb = new_notebook(cells=[kind(f"{mark}---\ntitle: A study\n---\n\n# One\n\nText")])
    assert take_front_matter(nb, folder).settings["title"] == "A study"
    assert nb.cells[0].source == "# One\n\nText"


@pytest.mark.parametrize("text", ["Note: a text", "Just words", "a: [", "- title: x", "", "# title"])
def test_text_between_two_rules_is_no_front_matter(folder, text):
    nb = new_notebook(cells=[new_markdown_cell(f"---\n{text}\n---\nmore")])
    found = take_front_matter(nb, folder)
    assert (found.settings, found.warnings) == ({}, [])
    assert text in nb.cells[0].source


@pytest.mark.parametrize("value", ["title: Study: part 2", "author: [Ada", "date: @today"])
def test_front_matter_of_a_markdown_cell_that_is_no_yaml_is_shown_and_named(folder, value):
    nb = new_notebook(cells=[new_markdown_cell(f"---\n{value}\n---")])
    found = take_front_matter(nb, folder)
    assert value in nb.cells[0].source
    assert len(found.warnings) == 1
    assert "is shown as text" in found.warnings[0]


@pytest.mark.parametrize("theme", ["article", "report", "handout"])
@pytest.mark.parametrize("value", ["author: Ada L.", "date: 5 May 2026", "subtitle: Of it", "hwkit: {course: DL 101}"])
def test_what_a_notebook_without_a_title_says_about_itself_is_shown(folder, theme, value):
    cells = [new_raw_cell(f"---\n{value}\n---"), new_markdown_cell("# One\n\n# Two")]
    assert value.split(": ")[-1].strip("{}") in text_of(export(folder, *cells, theme=theme)[0])


def test_notebook_metadata_counts_and_front_matter_wins(folder):
    found = front("title: Front", folder, title="Metadata", authors=[{"name": "Ada"}])
    assert found.settings["title"] == "Front"
    assert found.settings["author"] == ["Ada"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("papersize: a44", "paper = 'a44' is not accepted"),
        ("titel: x", "unknown key 'titel': did you mean 'title'"),
        ("title: [", "no valid YAML"),
        ("bibliography: none.bib", "bibliography 'none.bib' was not found"),
        ("toc: maybe", "contents = 'maybe' is not accepted"),
    ],
)
def test_what_is_not_accepted_is_warned_of_and_left_out(folder, text, warning):
    found = front(text, folder)
    assert found.settings == {}
    assert len(found.warnings) == 1
    assert warning in found.warnings[0]
    assert found.warnings[0].startswith("cell 1: ")


def test_title_page_language_abstract_and_metadata(folder):
    cell = new_raw_cell(
        "---\ntitle: Ein Versuch\nauthor: [{name: Ada, affiliation: U}, {name: Bea, affiliation: V}]\nlang: de\n"
        "abstract: Wir *messen* $x^2$.\nhwkit: {theme: report}\n---"
    )
    reader, warnings = export(folder, cell, new_markdown_cell("## Eins\n\nText.\n\n## Zwei\n\nText."))
    assert warnings == []
    first = reader.pages[0].extract_text()
    for part in ("Ein Versuch", "Zusammenfassung", "Wir messen", "Ada1, Bea2", "1U", "2V", "Inhalt"):
        assert part in first
    assert reader.trailer["/Root"]["/Lang"] == "de"
    assert reader.metadata.title == "Ein Versuch"
    assert [entry.title for entry in reader.outline] == ["Eins", "Zwei"]


def test_the_only_top_heading_becomes_the_title(folder):
    reader, warnings = export(folder, new_markdown_cell("# The title\n\n## A\n\nBack [up](#The-title)."))
    assert warnings == []
    assert reader.metadata.title == "The title"
    assert [entry.title for entry in reader.outline] == ["A"]
    assert text_of(reader).count("The title") == 1


@pytest.mark.parametrize("theme", ["article", "report", "handout"])
def test_every_theme_sets_every_kind_of_content(folder, theme):
    picture = {"image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="90"></svg>'}
    cells = [
        new_raw_cell("---\ntitle: All\nauthor: Ada\nabstract: Short.\nbibliography: refs.bib\n---"),
        new_markdown_cell("# One\n\nBy @lecun1998, see @fig-a and @tbl-a.\n\n::: {.callout-tip}\nTip.\n:::"),
        new_code_cell("#| label: fig-a\n#| fig-cap: It.\n#| code-summary: Draw it\nf()", outputs=[]),
        new_code_cell("#| label: fig-a\n#| fig-cap: It.\nf()", outputs=[new_output("display_data", picture)]),
        new_markdown_cell("| a | b |\n|---|---|\n| 1 | 2 |\n\n: Things. {#tbl-a}\n\n$$ x $$ {#eq-a}"),
        new_code_cell("g()", outputs=[new_output("error", ename="E", evalue="bad", traceback=["E: bad"])]),
    ]
    reader, warnings = export(folder, *cells, theme=theme)
    assert warnings == []
    text = text_of(reader)
    for part in ("All", "Ada", "Short.", "LeCun and Bottou (1998)", "Figure 1", "Table 1", "Tip.", "(1)", "E: bad"):
        assert part in text
    assert "Draw it" in text
    assert text.index("References") < text.index("Gradient-Based Learning")


def test_citations_are_written_out_and_what_is_cited_is_listed(folder):
    cells = [
        new_raw_cell("---\nbibliography: refs.bib\n---"),
        new_markdown_cell(
            "@lecun1998 and [see @dl:2016/a, p. 3], \\cite{lecun1998}, <cite data-cite='lecun1998'>(here)</cite>."
        ),
    ]
    text = text_of(export(folder, *cells)[0])
    assert "LeCun and Bottou (1998) and (see Goodfellow 2016, 3), (LeCun and Bottou 1998)" in text
    assert "(here)" not in text
    assert "LeCun, Yann, and Léon Bottou. 1998." in text
    assert "Never Cited" not in text


BEHIND_KEYS = [
    "'s Behind",
    "<br>Behind",
    "</b> Behind",
    "<b>Behind</b>",
    "&nbsp;Behind",
    "&Behind",
    "--Behind",
    "'s Behind",
    ". Behind",
]
PLACES = ["{}", "- {}", "> {}", "## {}", "| a |\n|---|\n| {} |", "**{}**", "term\n: {}", "x[^1]\n\n[^1]: {}"]


@pytest.mark.parametrize("key", ["@dl:2016/a", "[see @dl:2016/a, p. 3]", "@{dl:2016/a}"])
def test_a_citation_ends_before_what_follows_it(folder, key):
    behind = [text for text in BEHIND_KEYS if key[0] == "[" or not text.startswith("&B")]
    cells = [new_markdown_cell(place.replace("{}", key + text)) for place in PLACES for text in behind]
    reader, warnings = export(folder, new_raw_cell("---\nbibliography: refs.bib\n---"), *cells)
    assert warnings == []
    text = text_of(reader)
    assert text.count("Goodfellow") == len(cells) + 1  # the entry itself
    assert text.count("Behind") == len(cells)
    assert not re.search("@|<|‘", text)


def test_a_citation_without_entry_is_shown_and_warned_of(folder):
    cells = [new_raw_cell("---\nbibliography: refs.bib\n---"), new_markdown_cell("[@lecun1998; @nothing] @handle")]
    reader, warnings = export(folder, *cells)
    assert "?nothing?" in text_of(reader)
    assert "@handle" in text_of(reader)
    assert warnings[0] == "study: the citation @nothing has no entry in the bibliography"


def test_a_numeric_style_and_a_place_for_the_list(folder):
    (folder / "numbers.csl").write_text(
        '<style xmlns="http://purl.org/net/xbiblio/csl" class="in-text" version="1.0"><info><title>n</title><id>n</id>'
        '<updated>2020-01-01T00:00:00+00:00</updated></info><citation><layout prefix="[" suffix="]">'
        '<text variable="citation-number"/></layout></citation><bibliography second-field-align="flush"><layout>'
        '<text variable="citation-number" prefix="[" suffix="]"/><text variable="title"/></layout></bibliography>'
        "</style>"
    )
    cells = [
        new_raw_cell("---\nbibliography: refs.bib\ncsl: numbers.csl\nnocite: '@never'\n---"),
        new_markdown_cell("# One\n\nSee [@lecun1998].\n\n# Sources\n\n::: {#refs}\n:::\n\n# Last"),
    ]
    text = text_of(export(folder, *cells)[0])
    assert "See [1]." in text
    places = [text.index(part) for part in ("Sources", "Gradient-based learning", "Never cited", "Last")]
    assert places == sorted(places)
    assert "References" not in text


def test_without_a_bibliography_an_at_sign_is_text(folder):
    reader, warnings = export(folder, new_markdown_cell("Write to @lecun1998."))
    assert "@lecun1998" in text_of(reader)
    assert warnings == []


def test_a_theme_of_ones_own_gets_the_settings_and_the_text(folder):
    (folder / "own.typ").write_text(
        "#let theme(abstract: none, document-body) = {\n  show: common\n"
        '  [OWN #hwkit.title by #hwkit.authors.join()]\n  image("logo.svg")\n  document-body\n}\n'
    )
    (folder / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"></svg>')
    cells = [new_raw_cell("---\ntitle: T\nauthor: Ada\ntheme: own.typ\n---"), new_markdown_cell("Text.")]
    assert "OWN T by Ada" in text_of(export(folder, *cells)[0])
    assert "OWN T by Ada" in text_of(
        export(
            folder,
            new_raw_cell("---\ntitle: T\nauthor: Ada\n---"),
            new_markdown_cell("x"),
            theme=str(folder / "own.typ"),
        )[0]
    )


def test_a_font_that_is_not_there_is_replaced_with_a_warning(folder):
    reader, warnings = export(folder, new_raw_cell("---\nmainfont: No Such Font\n---"), new_markdown_cell("Text."))
    assert "Text." in text_of(reader)
    assert "'No Such Font' is not installed, Libertinus Serif is used" in warnings[0]


def test_an_accessible_pdf_is_one_by_the_standard(folder):
    picture = {"image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"></svg>'}
    cells = [
        new_raw_cell("---\ntitle: T\nlang: en\npdf-standard: ua-1\n---"),
        new_markdown_cell("# One\n\nText.\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        new_code_cell("#| fig-cap: A picture.\nf()", outputs=[new_output("display_data", picture)]),
    ]
    reader, warnings = export(folder, *cells)
    assert warnings == []
    assert "pdfuaid" in reader.trailer["/Root"]["/Metadata"].get_object().get_data().decode()


def test_execute_options_of_the_front_matter_hold_for_cells_that_do_not_say_otherwise(folder):
    front_cell = new_raw_cell("---\nexecute: {echo: false}\n---")
    reader, _ = export(folder, front_cell, new_code_cell("hidden()"), new_code_cell("#| echo: true\nshown()"))
    assert "hidden()" not in text_of(reader)
    assert "shown()" in text_of(reader)


def test_output_asis_is_markdown(folder):
    output = new_output("stream", text="**bold** and\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    reader, _ = export(folder, new_code_cell("#| output: asis\nf()", outputs=[output]))
    assert "bold and" in text_of(reader)
    assert "|" not in text_of(reader)
