"""Words in are words out: whatever stands behind markup, or at the beginning of a place, is text on the page."""

from __future__ import annotations

import html
import io
import json
import re
import unicodedata

import pytest

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from nbformat.v4 import new_code_cell, new_markdown_cell  # noqa: E402
from test_exporters import FRAME, display, notebook, picture  # noqa: E402

from hwkit.export.export import typst_source  # noqa: E402
from hwkit.export.notebooks import to_markdown  # noqa: E402
from hwkit.export.typesetting import compile_pdf  # noqa: E402

# Markdown, and what a page shows of it.
MARKUP = {
    "**a**": "a",
    "*b*": "b",
    "`c.d`": "c.d",
    "~~e~~": "e",
    "H~2~": "H2",
    "x^2^": "x2",
    "[l](http://a.b)": "l",
    "[m](#nowhere)": "m",
    "[m](#here)": "m",
    "<http://a.b>": "http://a.b",
    "![i](missing.png)": "[i: left out]",
    r"$\undefined$": r"\undefined",
    "$x$": "x",
    "<b>n</b>": "n",
    "<kbd>K</kbd>": "K",
    "<sub>o</sub>": "o",
    "[p]{.q}": "p",
    "***r***": "r",
    "@fig-s": "?fig-s?",
    "[t]{#here}": "t",
    "See __init__": "See init",
    "<input type=checkbox>": "☐",
    "a<br>": "a",
}
BEHIND = [
    *(
        ".Next",
        ".html",
        ".body",
        ".dest",
        ".at(0)",
        "(v)",
        "[w]",
        ";z",
        ";",
        ":y",
        ",",
        ".",
        "...",
        "..k",
        "{x}",
        '"q"',
    ),
    *("'s", "#y", "#let x", "*h*", "_n_", "/c", "/*c", "//c", "$5", "@", "~", "=", "-", "--", "---", "\\g", "`b`", "+"),
    *("!", "?", "&amp;", "%", "^", "|x", "<a>", "()", "[]", "*/", "\\u{41}"),
]
BEGINNINGS = [
    *(
        "1. a",
        "2. a",
        "1) a",
        "10. a b",
        "+ 5",
        "- x",
        "* x",
        "= e",
        "== e",
        "/ 10",
        "/ x: y",
        "- / x",
        "-5",
        "– a",
        "#",
    ),
    *(
        "# of a",
        "## of",
        "#let a",
        "> a",
        "`a",
        "@a",
        "<a>",
        "$5",
        "_n_.txt",
        "~a",
        "...",
        "a...",
        "//a",
        "/*a*/",
        "\\a",
    ),
    *(
        "http://a.b/c_d_e?f=*g*",
        "[a]",
        "[[a]",
        "(a)",
        ": a",
        "; a",
        "| a",
        "{a}",
        '"a"',
        "'a'",
        "--a",
        "a--b",
        "-?",
        "a\\",
    ),
    *(
        "a -- b",
        "python a.py --b 5",
        "__init__.py",
        "a_b_c",
        "1.5",
        ".5",
        "+5",
        "a-1",
        "1-2",
        "*a*",
        "**a",
        "[x] a",
        "\\",
    ),
    *("a\u2028= b", "a\u0085- b", "a\x0b+ b"),
]
# Where a text stands; `{}` is the text and `<n>` a number.
PLACES = {
    "paragraph": "{}",
    "after a word": "word {} word",
    "heading": "## {}",
    "heading with a label": "### {} {#sec-<n>}",
    "list item": "- {}\n- other",
    "numbered item": "7. {}\n8. other",
    "item of a loose list": "- {}\n\n- other",
    "task": "- [ ] {}",
    "item of an item": "- a\n  1. {}",
    "cell": "| a | b |\n|---|---|\n| {} | c |",
    "head": "| {} | b |\n|---|---|\n| a | c |",
    "quote": "> {}",
    "strong": "before **a {} a**",
    "emphasis": "before _a {} a_",
    "link": "[{}](http://a.b)",
    "span": "[{}]{.x}",
    "definition": "term\n: {}",
    "term": "{}\n: definition",
    "callout": "::: {.callout-tip}\n## {}\n\nbody\n:::",
    "caption of a table": "| a |\n|---|\n| b |\n\n: {} {#tbl-<n>}",
    "line after another": "a  \n{}",
}
PLACES_IN_HTML = {"box": "<div>{}</div>", "cell of HTML": "<table><tr><td>a</td><td>{}</td></tr></table>"}
# In these, text is not told from markup by a backslash, as no block can begin there.
LINES = ("heading", "cell", "head", "callout", "caption of a table")


def in_markdown(text):
    """Markdown that shows a text as it is."""
    return re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", text)


def signs(text):
    """The signs of a text: without spaces, with straight quotes, and the letters of formulas like others."""
    text = re.sub("[\\s\u00ad\u200b\u00a0\u2028]", "", text).translate(str.maketrans("“”„″‘’′", '""""\'\'\''))
    return "".join(unicodedata.normalize("NFKC", sign) if sign > "\U0001d400" else sign for sign in text)


def shown(sources):
    """What the PDF shows of each Markdown text."""
    # Each stands between marks, which are told from it and end whatever it began.
    return parts_of([new_markdown_cell(part) for n, source in enumerate(sources) for part in (f"⟦{n}⟧", source)])


def parts_of(cells):
    """What the PDF shows behind each of the marks ⟦0⟧, ⟦1⟧, ..."""
    resources = {"metadata": {"name": "words", "path": "."}}
    pdf = compile_pdf(typst_source(to_markdown(notebook(*cells), resources), resources))
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)
    pieces = re.split(r"⟦(\d+)⟧", text)
    found = dict(zip(map(int, pieces[1::2]), map(signs, pieces[2::2]), strict=True))
    return [found[n] for n in range(len(found))]


def wrong(template, texts):
    """What the page shows in the place of each text that it should show; `texts` by their Markdown."""
    sources = [template.replace("<n>", str(n)).replace("{}", source) for n, source in enumerate(texts)]
    pages = zip(sources, texts.values(), shown(sources), strict=True)
    return [(source, page) for source, text, page in pages if signs(text) not in page]


@pytest.mark.parametrize("place", PLACES)
def test_a_text_is_the_same_wherever_it_stands(place):
    assert wrong(PLACES[place], {in_markdown(text): text for text in BEGINNINGS}) == []


@pytest.mark.parametrize("place", PLACES_IN_HTML)
def test_a_text_in_html_is_the_same_wherever_it_stands(place):
    assert wrong(PLACES_IN_HTML[place], {html.escape(text): text for text in BEGINNINGS}) == []


@pytest.mark.parametrize("place", LINES)
def test_where_no_block_can_begin_none_does(place):
    texts = ["1. The loss", "2) a", "+ 5", "- x", "/ 10", "= e", "> 5", "# of epochs", ": a", "- / x"]
    assert wrong(PLACES[place], {text: text for text in texts}) == []


@pytest.mark.parametrize("markup", MARKUP)
def test_what_follows_markup_is_text(markup):
    assert wrong("{}", {markup + in_markdown(text): MARKUP[markup] + text for text in BEHIND}) == []


@pytest.mark.parametrize("place", PLACES)
def test_what_follows_markup_is_text_wherever_it_stands(place):
    behind = [".Next", "(v)", "[w]", ";z", "...", '"q"', "_n_", "/*c"]
    # A reference in a heading would lead to the heading.
    texts = [
        (markup, text) for markup in MARKUP for text in behind if not (place.startswith("heading") and "@" in markup)
    ]
    assert wrong(PLACES[place], {markup + in_markdown(text): MARKUP[markup] + text for markup, text in texts}) == []


def test_an_apostrophe_behind_markup_is_no_opening_quote():
    texts = [f"{markup}'s" for markup in MARKUP if not re.search("<br>|<input", markup)]
    texts += ["(a)'s", "[b]'s", "1990's", "don't"]
    for markup in texts:
        resources = {"metadata": {"name": "words", "path": "."}}
        source = typst_source(to_markdown(notebook(new_markdown_cell(markup)), resources), resources).text
        assert re.search(r"’[st]", source), markup


CAPTIONS = [
    "1. The loss",
    "# of epochs",
    "- x",
    "+ 5",
    "/ 10",
    "**a**.Next",
    "One.\n\nTwo.",
    "a | b",
    "> 5",
    "$x$.body",
]


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("fig-cap", {"image_png": picture()}),
        ("tbl-cap", {"text_html": FRAME}),
        ("fig-subcap", {"image_png": picture()}),
    ],
)
def test_a_caption_is_lines_of_text(kind, output):
    cells = []
    for n, caption in enumerate(CAPTIONS):
        options = [f"#| {kind}: {json.dumps([caption])}", "#| fig-cap: All" * (kind == "fig-subcap")]
        cells += [new_markdown_cell(f"⟦{n}⟧"), new_code_cell("\n".join(options), outputs=[display(**output)])]
    found = parts_of(cells)
    meant = [signs(caption.replace("**", "").replace("$", "")) for caption in CAPTIONS]
    assert [(text, page) for text, page in zip(meant, found, strict=True) if text not in page] == []


@settings(max_examples=5, deadline=None)
@given(st.lists(st.text("ab1 .-+=/*_#$@<>[](){}~`\\'\"|!?^&%;:,\u2028é", min_size=1), min_size=60, max_size=60))
def test_no_text_is_code(texts):
    # To Jupyter, a backslash and a bracket are a formula however many backslashes stand before them.
    texts = [re.sub(r"\\+(?=[()\[\]])", "", " ".join(text.split())) for text in texts]
    texts = [text for text in texts if text]
    for template in ("{}", "a **b**{}", "<i>a</i>{}"):
        assert wrong(template, {in_markdown(text): text for text in texts}) == []
