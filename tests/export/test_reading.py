"""Markdown and HTML mean what Jupyter shows: compared with markdown-it, which it is read like, and case by case."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("markdown_it")

from selectolax.lexbor import LexborHTMLParser

from hwkit.export import ast
from hwkit.export.delimiters import Formula, hide_formulas
from hwkit.export.dialect import attributes_in
from hwkit.export.reading import read

# Markdown and the HTML that markdown-it 15 makes of it, with the options of REFERENCE.
EXAMPLES = json.loads((Path(__file__).parents[1] / "fixtures" / "markdown-it.json").read_text(encoding="utf-8"))
REFERENCE = """
const md = require('markdown-it')({html: true, linkify: true});
md.linkify.set({fuzzyLink: false, fuzzyEmail: false});
const spec = require('commonmark-spec').tests.map(test => test.markdown.replace(/→/g, '\\t'));
console.log(JSON.stringify(spec.map(text => [text, md.render(text)])));
"""
INLINE = {"em": "em", "i": "em", "strong": "strong", "b": "strong", "s": "s", "del": "s"}


def squeezed(text):
    return re.sub(r"\s+", "", text)


def structure_of_html(html):
    """What an HTML page consists of: headings, items, cells, code, links, images, rules, quotes and emphasis."""
    found = []
    body = LexborHTMLParser(html).body
    for node in body.css(
        "h1, h2, h3, h4, h5, h6, li, td, th, pre, code, a[href], img, blockquote, hr, em, i, strong, b, s, del"
    ):
        kind, text = node.tag, squeezed(node.text())
        if kind in ("li", "blockquote", "hr"):
            found.append(kind)
        elif kind in ("td", "th"):
            found.append(("cell", text))
        elif kind == "img":
            found.append((kind, node.attributes["src"]))
        elif kind == "a":
            found.append((kind, node.attributes["href"]))
        elif kind in INLINE:
            found.append((INLINE[kind], text))
        elif kind != "code" or node.parent.tag != "pre":
            found.append((kind, text))
    return sorted(map(str, found))


def structure_of(blocks):
    """The same of a document tree."""
    kinds = {"Emph": "em", "Strong": "strong", "Strikeout": "s"}
    found = []

    def look(element):
        kind, content = ast.parts(element)
        if kind == "Header":
            found.append((f"h{content[0]}", squeezed(ast.text_of(content[2]))))
        elif kind in ("BulletList", "OrderedList"):
            found.extend(["li"] * len(content if kind == "BulletList" else content[1]))
        elif kind in ("BlockQuote", "HorizontalRule"):
            found.append("blockquote" if kind == "BlockQuote" else "hr")
        elif kind in ("CodeBlock", "Code"):
            found.append(("pre" if kind == "CodeBlock" else "code", squeezed(content[1])))
        elif kind in ("Link", "Image"):
            found.append(("a" if kind == "Link" else "img", content[2][0]))
        elif kind in kinds:
            found.append((kinds[kind], squeezed(ast.text_of(content))))
        elif kind == "Table":
            rows = [*content[3][1], *(row for body in content[4] for row in body[3])]
            found.extend(("cell", squeezed(ast.text_of(cell[4]))) for row in rows for cell in row[1])
        elif kind == "Figure":  # its caption is the text of the image
            look(content[2][0]["c"][0])
            return []
        return None

    ast.changed(blocks, look)
    return sorted(map(str, found))


@pytest.mark.parametrize("markdown", EXAMPLES)
def test_markdown_has_the_structure_that_markdown_it_finds(markdown):
    expected = structure_of_html(EXAMPLES[markdown])
    if "<summary>" in markdown:
        expected.append("('strong', 's')")
    assert structure_of(read(markdown)) == expected


def test_the_examples_of_commonmark_have_the_structure_that_markdown_it_finds():
    """Needs node, and `npm install markdown-it commonmark-spec` in this folder or above."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    command = ["node", "-e", REFERENCE]
    result = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("npm's markdown-it and commonmark-spec are not installed")
    examples = json.loads(result.stdout)
    differing = [text for text, html in examples if structure_of(read(text)) != structure_of_html(html)]
    # Links without a target are text, addresses of mail are links, and no emphasis reaches out of preformatted text.
    explained = re.compile(r"\(\)|<>|@|bar/baz bim|<pre>\n\*\*Hello")
    assert [text for text in differing if not explained.search(text)] == []
    assert len(differing) < len(examples) / 30


# --- formulas ------------------------------------------------------------------------------------------------


def formulas_in(markdown):
    return [(math["c"][0]["t"][:2], math["c"][1]) for math in ast.elements(read(markdown), "Math")]


@pytest.mark.parametrize(
    ("markdown", "formulas"),
    [
        ("$ x = 1 $ and $ \\alpha$ and $y $", [("In", " x = 1 "), ("In", " \\alpha"), ("In", "y ")]),
        ("$$\na\n\n$$ b $$", [("Di", " b ")]),
        ("$$\n- a\n# b\n$$", [("Di", "\n- a\n# b\n")]),
        ("\\\\(a_1 * b * c\\\\) \\\\[d\\\\]", [("In", "a_1 * b * c"), ("Di", "d")]),
        ("\\begin{align}\na &= b \\\\\nc\n\\end{align}", [("Di", "\\begin{align}\na &= b \\\\\nc\n\\end{align}")]),
        ("$a_b$ and *c* and $d_e$", [("In", "a_b"), ("In", "d_e")]),
        ("**$x$** | [$y$](u) | <b>$z$</b>", [("In", "x"), ("In", "y"), ("In", "z")]),
        ("| $a|b$ | c |\n|---|---|\n| $x$ | $$y$$ |", [("In", "a|b"), ("In", "x"), ("Di", "y")]),
        ("$\\text{costs \\$5}$", [("In", "\\text{costs \\$5}")]),
        ("${$}$ $a", [("In", "{$}")]),
        ("> $$\n> x\n> y\n> $$", [("Di", "\n x\n y\n ")]),
        ("# $x$ {#a}\n\n$$y$$ {#eq-y}", [("In", "x"), ("Di", "y")]),
        ("<td>$x$</td><p>$$y$$", [("In", "x"), ("Di", "y")]),
        ("```math\nx\n```", [("Di", "x")]),
        ("It costs $5.", []),
        ("It costs \\$5 to \\$10.", []),
        ("`$a$` and ``$b$``\n\n```\n$c$\n```\n\n    $d$", []),
        ("\\begin{tabular}{c} a \\end{tabular}", []),
        ("@@0@@ $x$ @@1@@", [("In", "x")]),
        ("$a$$b$", [("In", "a$$b")]),
    ],
)
def test_formulas_are_where_jupyter_finds_them(markdown, formulas):
    assert formulas_in(markdown) == formulas


@pytest.mark.parametrize(
    "markdown", ["@@0@@ $x$ @@1@@", "`$a$` @@7@@", "    $d$ e", "[$x$ y](http://a.b/$z$)", "a $ b"]
)
def test_what_stands_around_formulas_stays(markdown):
    text, hidden = hide_formulas(markdown)
    assert hidden.restored(text) == markdown
    pieces = hidden.split(text)
    assert "".join(f"${piece.tex}$" if isinstance(piece, Formula) else piece for piece in pieces) == markdown


# --- what Jupyter reads in another way than pandoc ------------------------------------------------------------


def text_of(markdown):
    return " ".join(ast.text_of(read(markdown)).split())


@pytest.mark.parametrize(
    "text",
    [
        *(
            "python train.py --epochs 5",
            "a --- b",
            "wait...",
            "W^[1]",
            "x^2+y^2",
            "a~b c~d",
            "~/a and ~/b",
            "[@nobody]",
        ),
        *(
            "me@there.org",
            "(c) 5'10\"",
            "| a | no table",
            "{.x}",
            "a{b}",
            "{x}`",
            "::",
            "a :: b",
            "\\newpage",
            "@",
            "@-",
            "[@]",
        ),
        *("50% {#x", "\\alpha", "C:\\temp", "a_b_c", "^a^ b", "~5 to ~6", "{{< pagebreak >}}", "x[^1]"),
    ],
)
def test_text_is_no_markup_of_another_dialect(text):
    shown = text_of(f"before {text}\nafter")
    assert shown == f"before {text} after"
    assert not any(True for _ in ast.elements(read(text), "Superscript", "Subscript", "Note", "Math", "Span"))


@pytest.mark.parametrize(
    ("markdown", "kind", "text"),
    [
        ("H~2~O", "Subscript", "2"),
        ("CO~2~.", "Subscript", "2"),
        ("x^2^", "Superscript", "2"),
        ("10^-3^ m", "Superscript", "-3"),
        ("<sub>3</sub>", "Subscript", "3"),
        ("{sub}`4`", "Subscript", "4"),
    ],
)
def test_scripts(markdown, kind, text):
    assert [ast.text_of(found["c"]) for found in ast.elements(read(markdown), kind)] == [text]


@pytest.mark.parametrize(
    "info", ["python", 'python title="a.py"', "{.python}", "python {.x}", "{python}", ".python", "Python"]
)
def test_the_language_of_fenced_code(info):
    (block,) = read(f"```{info}\nx = 1\n```")
    assert block["c"][1] == "x = 1"
    assert block["c"][0][1][0].lower().lstrip(".") == "python"


def test_cells_of_tables_hold_html_and_markdown():
    markdown = "| a |\n|---|\n| x<br>y<sub>1</sub> <b>c</b> **d** `e` ![f](g.png) [h](i) $j$ |"
    (table,) = read(markdown)
    kinds = [inline["t"] for inline in table["c"][4][0][3][0][1][0][4][0]["c"] if inline["t"] not in ("Str", "Space")]
    assert kinds == ["LineBreak", "Subscript", "Strong", "Strong", "Code", "Image", "Link", "Math"]


@pytest.mark.parametrize(
    "markdown",
    [
        "| a |\n|---|\n| b |\n\n: Caption *of* it {#tbl-x}",
        "| a |\n|---|\n| b |\n: Caption *of* it {#tbl-x}",
        "| a |\n|---|\n| b |\n\nTable: Caption *of* it {#tbl-x}",
        ": Caption *of* it {#tbl-x}\n\n| a |\n|---|\n| b |",
    ],
)
def test_a_table_has_a_caption_and_a_label(markdown):
    (table,) = read(markdown)
    assert table["c"][0][0] == "tbl-x"
    assert ast.text_of(table["c"][1]) == "Caption of it"
    assert len(table["c"][4][0][3]) == 1


def test_a_footnote_that_nothing_refers_to_is_text():
    blocks = read("a[^1] b[^1]\n\n[^1]: One\n\n[^2]: Two")
    assert [ast.text_of(note["c"]) for note in ast.elements(blocks, "Note")] == ["One", "One"]
    assert text_of("a[^1]\n\n[^1]: One\n\n[^2]: Two") == "aTwo"


def test_footnotes_that_refer_to_each_other_come_to_an_end():
    assert "[^1]" in json.dumps(read("a[^1]\n\n[^1]: b[^2]\n\n[^2]: c[^1]"))


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("{#a}", {"id": "a"}),
        ("{.b .c}", {"class": "b c"}),
        ("""{width=50% alt='it "is"' x="a\\"b"}""", {"width": "50%", "alt": 'it "is"', "x": 'a"b'}),
        ("{-}", {"class": "unnumbered"}),
        ("{}", None),
        ("{a}", None),
        ("{#a", None),
        ("{a=}", None),
    ],
)
def test_attributes(text, attributes):
    found = attributes_in(text)
    assert (found and found[0]) == attributes


# --- HTML ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<div style='display: none'>a</div><p hidden>b</p>c", "c"),
        ("<script>a</script><style>b</style>c<!-- d -->", "c"),
        ("<p>a<p>b<div>c", "abc"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "abc"),
        ("<select><option>a</select><button>b</button><textarea>c</textarea>", "abc"),
        ("<dl><dt>a<dd>b<div><dt>c<dd>d</div></dl>", "abcd"),
        ("<a href=u><div>a</div></a><b><p>b</p></b>", "ab"),
        ("<ul>a<li>b</li>c<p>d</p></ul>", "abcd"),
        ("<table>a<tr><td>b<caption>c</caption></table>", "abc"),
        ("<blink>a</blink><custom-tag>b</custom-tag>", "ab"),
        ("<fieldset><legend>a</legend>b</fieldset>", "ab"),
        ("<ruby>a<rp>(</rp><rt>b</rt></ruby>", "ab"),
        ("<div>" * 300 + "a" + "</div>" * 300 + "b", "ab"),
        ("<table><tr><td>" * 30 + "a", "a"),
        ("<ol>" + "<li><ol>" * 200 + "a", "a"),
        ("<object data='x.svg'>a</object>", "a"),
        ("<math><mi>a</mi></math>", "a"),
    ],
)
def test_what_a_browser_shows_is_kept_and_nothing_else(html, text):
    assert sorted(squeezed(ast.text_of(read(html, "html")))) == sorted(text)


def test_the_cells_of_a_table_fill_its_columns():
    html = "<table><tr><td colspan=2>a<td rowspan=9>b<tr><td>c<tr><td>d<td>e<td>f<tr></table>"
    (table,) = read(html, "html")
    rows = [[(ast.text_of(cell[4]), cell[2], cell[3]) for cell in row[1]] for row in table["c"][4][0][3]]
    assert len(table["c"][2]) == 4
    assert rows == [
        [("a", 1, 2), ("b", 3, 1), ("", 1, 1)],
        [("c", 1, 1), ("", 1, 1), ("", 1, 1)],
        [("d", 1, 1), ("e", 1, 1), ("f", 1, 1)],
    ]


def test_formulas_in_html_are_where_mathjax_finds_them():
    html = r"<td>$a$</td><p>\(b\) \[c\] $5</p><code>$d$</code>\begin{align}e\end{align}"
    assert [math["c"][1] for math in ast.elements(read(html, "html"), "Math")][:3] == ["a", "b", "c"]


def test_a_drawing_is_an_image_and_the_signs_on_buttons_are_none():
    blocks = read('<svg viewBox="0 0 9 9"><path d="M0 0"/></svg><button><svg></svg></button>', "html")
    (image,) = ast.elements(blocks, "Image")
    assert image["c"][2][0].startswith("data:image/svg+xml;base64,")
