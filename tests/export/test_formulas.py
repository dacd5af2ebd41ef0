"""Formulas: TeX in Typst with the same meaning, whatever MathJax sets, and macros."""

from __future__ import annotations

import io
import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hwkit.export.formulas import FormulaError, Macro, expanded, formula, modern, number_of, split_macros

pytest.importorskip("typst")

from nbformat.v4 import new_markdown_cell, new_notebook
from pypdf import PdfReader

from hwkit.export.exporters import TypstExporter, TypstPDFExporter

FIXTURES = Path(__file__).parents[1] / "fixtures"
NEWLINE = r" \\ "

CONSTRUCTS = [
    r"f(x) = \begin{cases} x^2 & \text{if } x > 0,\\ 0 & \text{otherwise}\end{cases}",
    r"\begin{align} a &= b + c \\ &= \frac{\frac{a}{b}}{\frac{c}{d}} \end{align}",
    r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix} \begin{vmatrix} a & b\\ c & d\end{vmatrix}",
    r"\begin{Vmatrix} a & b\\ c & d\end{Vmatrix} \begin{smallmatrix} a & b\\ c & d\end{smallmatrix}",
    r"\left(\begin{array}{cc|c} 1 & 0 & a\\ \hline 0 & 1 & b\end{array}\right)",
    r"\left\{\begin{array}{ll} 1 & x\\ 0 & y \end{array}\right.",
    r"\begin{array}{lcl} z & = & a \\ f(x, y) & = & x + y \end{array}",
    r"\operatorname*{arg\,min}_{\theta} \mathop{\mathrm{argmax}}_x \underset{k}{\mathrm{argmin}} \argmax_y",
    r"\hat{\boldsymbol{\beta}} = (\mathbf{X}^\top\mathbf{X})^{-1}, \mathbb{R}^n, \mathcal{N}, \mathfrak{g}",
    r"A \cap B \cup C, \hbar, \odot, \otimes, \bigcap_i A_i, \widehat{xy}, \widetilde{xyz}, \overrightarrow{AB}",
    r"\|x\|_2^2 + |y|_1 + \left\|\frac{x}{y}\right\| + \lVert z \rVert, \left. \frac{df}{dx} \right|_{x = 0}",
    r"{\bf x} + {\rm d}x, \rm{Var}(x), \bm{w}, \mathbbm{1}, \textcolor{red}{x}, a\!b, \cfrac{1}{1 + \cfrac{1}{x}}",
    r"\sum\limits_{\substack{i < j\\ j > 0}} a_{ij}, \binom{n}{k}, \underbrace{a + b}_{\text{two}}, \xrightarrow{f}",
    r"\text{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}} \quad \text{for } i = 1, \dots, K",
    r"\begin{dcases} \frac{a}{b} & x > 0\\ 0 & x < 0\end{dcases}, \require{cancel} \cancel{x}, \LaTeX",
    r"\Bigg| x \Bigg|, \sqrt[3]{x}, x^{(t + 1)}, {}^{14}C, \boxed{E = mc^2}, 5 \bmod n, \langle x, y \rangle",
    '\\text{a "quoted" `word\'} + \\unicode{x2713} + Жé + α_ℓ ≤ √2',
    r"\ce{Hg^2+ ->[I-] HgI2} + \pu{9.81 m/s2} + \ce{^{227}_{90}Th+} + \ce{SO4^2- + Ba^2+ -> BaSO4 v}",
    r"\begin{CD} A @>f>> B \\ @VgVV @| \\ C @= D \end{CD}",
    r"\begin{prooftree} \AxiomC{A} \AxiomC{B} \RightLabel{and} \BinaryInfC{A and B} \end{prooftree}",
]


def typst_of(tex: str, *, display: bool = True) -> str:
    """The Typst of a formula of which everything is known."""
    typst, unknown = formula(tex, display=display)
    assert unknown == [], tex
    return typst


def pdf_of(*cells: str) -> tuple[str, list[str]]:
    """The text of the PDF of Markdown cells, and the warnings."""
    notebook = new_notebook(cells=[new_markdown_cell(cell) for cell in cells])
    pdf, resources = TypstPDFExporter().from_notebook_node(notebook)
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    return text, resources["hwkit_warnings"]


def source_of(*cells: str) -> str:
    """The Typst source of Markdown cells, without what stands in every document."""
    notebook = new_notebook(cells=[new_markdown_cell(cell) for cell in cells])
    return TypstExporter().from_notebook_node(notebook)[0].split("#show: theme")[-1]


# --- what is accepted ------------------------------------------------------------------------------------------------


def test_every_command_of_mathjax_is_set_and_accepted_by_the_typesetter():
    """The file holds a formula that MathJax 3.2 accepts for each command and environment of all its packages."""
    formulas = (FIXTURES / "mathjax_commands.txt").read_text(encoding="utf-8").splitlines()
    formulas = [expanded(tex, {}) for tex in [*formulas, *CONSTRUCTS]]
    assert [tex for tex in formulas if formula(tex, display=True)[1] or formula(tex, display=False)[1]] == []
    _, warnings = pdf_of("\n\n".join(f"$$ {tex} $$ ${tex}$" for tex in formulas))
    assert warnings == []


@pytest.mark.parametrize("tex", ["{a", "a}", r"\frac{a}", r"\left( a", r"a \right)", "x^a^b", r"\begin{matrix} a", "#"])
def test_a_formula_that_breaks_off_is_refused(tex):
    with pytest.raises(FormulaError):
        formula(tex, display=True)


def test_what_is_unknown_in_a_formula_is_shown_and_the_rest_is_typeset():
    cells = ["fine $x$", r"bad $\undefined{x^2} + y$ and $\frac a$"]
    body = source_of(*cells)
    assert r'#hwkit-missing(raw("\\undefined"))x^2+y' in body
    assert r'#hwkit-missing(raw("\\frac a"))' in body
    _, warnings = pdf_of(*cells)
    assert warnings == [
        r"Notebook, cell 2: part of a formula is not known and is shown as source: \undefined",
        r"Notebook, cell 2: a formula could not be set and is shown as source: \frac a",
    ]


# --- what it means ---------------------------------------------------------------------------------------------------

BASES = ["x", "{X}", "=", r"\to", r"\sum", r"\lim", r"\mathrm{lim}", r"\text{a}", "{a+b}", r"\hat{x}", r"\frac{a}{b}"]


@pytest.mark.parametrize(("command", "mark"), [("overset", "^n"), ("underset", "_n"), ("stackrel", "^n")])
def test_what_stands_over_or_under_is_no_power_or_index(command, mark):
    for base, display in product(BASES, (True, False)):
        typst = typst_of(rf"a \{command}{{n}}{{{base}}} b", display=display)
        assert re.search(rf"limits\(.*\){re.escape(mark)}", typst), base


def test_a_script_of_a_relation_stands_beside_it():
    assert typst_of(r"a \to^* b \sim_n c") == "$ a scripts(→)^(∗)b scripts(∼)_n c $"


@pytest.mark.parametrize(
    ("start", "option", "rest"),
    [
        *product([r"\smash"], ["[b]", "[t]"], ["{x}", r"{\frac{q}{w}}"]),
        *product([r"\begin{aligned}", r"\begin{gathered}"], ["[t]", "[b]", "[c]"], [r"x &= y \\ z\end{NAME}"]),
        (r"\begin{array}", "[t]", r"{cc} x & y \end{NAME}"),
        (r"\xrightarrow{f} \\", "[3pt]", "x"),
        (r"\cancel", "[color=red]", "{x}"),
        (r"\mathrlap", "[t]", "{x}"),
        (r"\framebox", "[3cm][l]", "{x}"),
        (r"\unicode", "[serif]", "{65}"),
        (r"\overbracket", "[1pt][2pt]", "{x}"),
    ],
)
def test_optional_arguments_are_never_printed(start, option, rest):
    rest = rest.replace("NAME", start.removeprefix(r"\begin{").rstrip("}"))
    if start.endswith("\\\\"):
        assert "3" not in typst_of(f"{start}{option}{rest}").replace("3pt + 0.3em", "")
    else:
        assert typst_of(f"{start}{option}{rest}") == typst_of(f"{start}{rest}")


@pytest.mark.parametrize(("side", "align"), [("l", "left"), ("r", "right")])
def test_a_continued_fraction_takes_the_side_of_its_numerator(side, align):
    assert f"frac(#texaside({align}, $display(a)$, $display(b)$), display(b))" in typst_of(rf"\cfrac[{side}]{{a}}{{b}}")


@pytest.mark.parametrize("name", ["align", "align*", "aligned", "flalign", "gather", "gathered"])
@given(pairs=st.integers(2, 5), rows=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_pairs_of_columns_stand_apart(name, pairs, rows):
    line = " & ".join(f"a_{pair} &= b_{pair}" for pair in range(pairs))
    typst = typst_of(rf"\begin{{{name}}} {NEWLINE.join([line] * rows)} \end{{{name}}}")
    assert typst.count("wide") == rows * (pairs - 1)
    assert typst.count("&") == rows * (2 * pairs - 1)


@given(tagged=st.lists(st.booleans(), min_size=2, max_size=6).filter(lambda rows: sum(rows) > 1), star=st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_tag_of_several_is_shown_on_its_line(tagged, star):
    command = r"\tag*" if star else r"\tag"
    for name, cell in (("align", "a &= b"), ("gather", "a = b"), ("eqnarray", "a & = & b")):
        lines = [cell + (f"{command}{{T{row}}}" if tag else "") for row, tag in enumerate(tagged)]
        typst = typst_of(rf"\begin{{{name}}} {NEWLINE.join(lines)} \end{{{name}}}")
        rows = re.split(r"\\\n|\), \(", typst)
        assert [f'"T{row}"' in rows[row] for row in range(len(tagged))] == tagged
        assert ("\\(" in typst) is not star


def test_references_lead_to_the_tags_of_their_lines():
    text, warnings = pdf_of(
        r"$$\begin{align} a &= b \tag{A1}\label{eq:a} \\ &= c \tag{B2}\label{eq:b} \end{align}$$",
        r"See \eqref{eq:b}, \ref{eq:a} and $x \overset{\eqref{eq:b}}{=} y$.",
    )
    assert warnings == []
    assert text.count("(B2)") == 3
    assert text.count("A1") == 2


@pytest.mark.parametrize(
    ("left", "right"), [(r"\{", "."), (".", r"\}"), ("[", ")"), (r"\langle", "|"), ("]", "["), (r"\lfloor", r"\rceil")]
)
@pytest.mark.parametrize("columns", ["l", "rcl", "lcl", "ll", "c|c", "r@{,}l"])
def test_delimiters_are_as_high_as_the_array_between_them(left, right, columns):
    count = len(re.sub(r"@\{.*?\}|\|", "", columns))
    row = " & ".join("xyz"[:count])
    typst = typst_of(rf"\left{left} \begin{{array}}{{{columns}}} {row} \\ {row} \end{{array}} \right{right}")
    assert re.fullmatch(r"\$ lr\(.*mat\(.*\)[^()]*(?:class\(.*\))?\) \$", typst)
    assert typst.count(";") == 1 + typst.count("\\;")


PREAMBLE = st.sampled_from(["l", "c", "r", "|", r"@{\quad}", "!{:}", "p{3cm}", r">{\bf}", "*{2}{c}"])


@given(st.lists(PREAMBLE, min_size=1).filter(lambda parts: any(part in "lcr" for part in parts)))
@settings(max_examples=60, deadline=None)
def test_what_a_preamble_says_about_columns_leaves_them_apart(parts):
    columns = sum({"|": 0, "*{2}{c}": 2}.get(part, 0 if part[0] in "@!>" else 1) for part in parts)
    cells = [f"Z_{{{number}}}" for number in range(columns)]
    typst = typst_of(rf"\begin{{array}}{{{''.join(parts)}}} {' & '.join(cells)} \end{{array}}")
    assert re.findall(r"Z_\(?(\d+)", typst) == [str(number) for number in range(columns)]
    assert {between.count(", ") for between in re.split(r"Z_\(?\d+\)?", typst)[1:-1]} <= {1}


@pytest.mark.parametrize(
    ("tex", "part"),
    [
        (r"\begin{rcases} a \\ b \end{rcases} = c", 'delim: #(none, "}")'),
        (r"\begin{drcases} a & x \\ b & y \end{drcases} = c", 'delim: #(none, "}")'),
        (r"\left.\begin{aligned} a \\ b \end{aligned}\right\} = c", r'lr(""'),
        (r"f(x) = \begin{cases} a \\ b \end{cases}", 'delim: #("{", none)'),
        (r"\sideset{_a^b}{_c^d}\sum_{i=1}^n x_i", "attach(scripts(∑), bl: a, tl: b, br: c, tr: d)"),
        (r"\sideset{}{'}\prod_k x", "attach(scripts(∏), tr: ′)"),
        (r"\left[\begin{array}{cc|c} 1 & 0 & a\\ 0 & 1 & b\end{array}\right]", "hline: (), vline: (2, )"),
        (r"\begin{array}{|c|} \hline x \\ \hline y \\ \hline \end{array}", "hline: (0, 1, 2, ), vline: (0, 1, )"),
        (r"{a \over b} {n \choose k} {x \atop y}", "frac(a, b)binom(n, k)vec(delim: #none, gap: #0.3em, x, y)"),
        (r"\left]0, 1\right[", r'lr(class("opening", \])0\,1/**/class("closing", \[))'),
        (r"1{,}000 + x{=}y", '"1,000"+x/**/class("normal", =)y'),
        (r"p(y|x) + |x| - \|y\|", r"p\(y\|x\)+\|x\|−class("),
        (r"\text{if } x", '"if "x'),
        (r"\mathrm{d}x + \mathbf{Ab}_1 + \mathbb{R}", '"d"x+bold("Ab")_1+bb("R")'),
        (r"a \, = \, b", "a#h(0.4444em)=#h(0.4444em)b"),
        (r"\not\in \not= \not\equiv", "∉≠≢"),
        (r"f'' + x'_i{}^2", "f''+x'_i"),
        (r"{a \displaystyle b \over c}", "frac(a b, c)"),
        (r"\begin{matrix} a\, \\ b\quad \\ \text{c} \end{matrix}", 'mat(delim: #none, a thin ; b quad ; "c")'),
        (r"\overbrace{\,} + \bar\;", "overbrace(thin)+"),
        (r"{\overbrace{ab}}_n \overbrace{ab}^n", 'class("normal", overbrace(a b))_n limits(overbrace(a b))^n'),
    ],
)
def test_constructs_keep_their_meaning(tex, part):
    assert part in typst_of(tex)


# Formulas of everything that holds others; their leaves are numbers of three digits.
HOLDERS = [
    r"\frac{%s}{%s}",
    r"{%s}_{%s}",
    r"\overset{%s}{%s}",
    r"\left(%s \middle| %s\right]",
    r"\sum_{%s}^{%s}",
    r"{%s \over %s}",
    r"%s = \xrightarrow[{%s}]{a}",
    r"\begin{pmatrix} %s & = %s \\ x & y \end{pmatrix}",
    r"f = \begin{cases} %s & %s \\ x & y \end{cases}",
    r"\begin{aligned} %s & = %s \\ & + y \end{aligned}",
    r"\begin{array}{r@{,}l} %s & %s \\ \hline x & y \end{array}",
    r"\mathbf{%s}\boldsymbol{%s}",
    r"\hat{%s} \sqrt[n]{%s}",
    r"\boxed{%s} \mathrm{%s}",
    r"\text{a \(%s\) \textbf{b %s}}",
    r"{\color{blue} %s} \displaystyle %s",
    r"\vec{%s} \not= \cancelto{0}{%s}",
]


def _grown(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(HOLDERS), children, children).map(lambda part: part[0] % part[1:])


LEAVES = st.integers(100, 999).map(str)
FORMULAS = st.recursive(LEAVES, _grown, max_leaves=8)


@given(st.lists(FORMULAS, min_size=20, max_size=20))
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
def test_no_part_of_a_formula_is_lost_and_the_typesetter_accepts_all(formulas):
    for tex in formulas:
        for display in (True, False):
            written = typst_of(tex, display=display)
            assert sorted(re.findall(r"(?<![#\d])\d{3}(?!\d)", written)) == sorted(re.findall(r"\d{3}", tex))
    _, warnings = pdf_of("\n\n".join(f"$$ {tex} $$ ${tex}$" for tex in formulas))
    assert [warning for warning in warnings if "60 %" not in warning] == []


# --- what is long ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"),
    [("", ""), (r"\left(", r"\right)"), (r"\begin{align} y &= ", r" \\ &= 0 \end{align}"), (r"x \\", r"\tag{7}")],
)
def test_a_long_formula_is_broken_and_whole(start, end):
    terms = [f"z_{{{number}}}" for number in range(100, 160)]
    text, warnings = pdf_of(f"$$ {start} {' + '.join(terms)} {end} $$")
    assert warnings == []
    assert re.findall(r"1\d\d", re.sub(r"\s", "", text)) == [str(number) for number in range(100, 160)]


def test_a_formula_that_cannot_be_broken_and_is_too_small_to_read_is_named():
    wide = r"\begin{pmatrix} " + " & ".join(f"z_{{{number}}}" for number in range(100, 145)) + r" \end{pmatrix}"
    text, warnings = pdf_of("first", f"$$ {wide} $$")
    assert len(warnings) == 1
    assert warnings[0].startswith("Notebook, cell 2: a formula is shown at less than 60 % of its size: ")
    assert "144" in re.sub(r"\s", "", text)


# --- macros ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\newcommand{\R}{\mathbb{R}} x \in \R", r"x \in \mathbb{R}"),
        (r"\newcommand{\norm}[1]{\lVert#1\rVert} \norm{x}", r"\lVert x\rVert"),
        (r"\newcommand{\V}[2][x]{#1 + #2} \V{2}, \V[y]3", r"x + 2, y + 3"),
        (r"\newcommand\V[1][{[a]}]{#1} \V, \V[b]", r"{[a]}, b"),
        (r"\def\d#1{\mathrm{d}#1} \d x", r"\mathrm{d}x"),
        (r"\def\pair(#1,#2){#1/#2} \pair(a,b)", "a/b"),
        (r"\DeclareMathOperator*{\argmin}{arg\,min} \argmin_x", r"\operatorname*{arg\,min}_x"),
        (r"\let\eps\varepsilon \eps", r"\varepsilon"),
        (r"\let\lb=[ \lb", "["),
        (r"\newcommand{\V}[2][x]{#1#2} \V{\quad}\V[y]{b}", r"x\quad yb"),
        (r"\newenvironment{m}[1]{\begin{array}{#1}}{\end{array}}\begin{m}{c}a\end{m}", r"\begin{array}{c}a\end{array}"),
    ],
)
def test_macros_are_replaced_by_what_they_stand_for(tex, expected):
    assert expanded(tex, {}).strip() == expected


@pytest.mark.parametrize("inside", [r"\hat{x}", r"\boxed{\mathbf{\frac{{a}}{b}}}", r"\ce{H2O}"])
def test_commands_within_chemistry_keep_their_arguments(inside):
    assert typst_of(inside).strip("$ ") in typst_of(rf"\ce{{A + {inside}}}")


@pytest.mark.parametrize("salt", ["KCr(SO4)2.12H2O", "CuSO4.5H2O", "CuSO4 . 5H2O", "CuSO4*5H2O", "(A)3.2B"])
def test_a_dot_between_substances_is_no_decimal_point(salt):
    assert "⋅" in typst_of(rf"\ce{{{salt}}}") or "dot" in typst_of(rf"\ce{{{salt}}}")


def test_harpoons_of_unequal_length_are_told_apart():
    arrows = ["<=>", "<=>>", "<<=>", "->", "<->", "<-->"]
    for label in ("", "[up]", "[up][down]"):
        assert len({typst_of(rf"\ce{{A {arrow}{label} B}}") for arrow in arrows}) == len(arrows)


def test_delimiters_that_are_declared_grow_with_a_star_or_as_told():
    tex = r"\DeclarePairedDelimiter{\abs}{\lvert}{\rvert} \abs{x} + \abs*{y} + \abs[\Big]{z}"
    typst = typst_of(expanded(tex, {}))
    assert "lr(class" in typst
    assert "lr(size: #1.8em" in typst


def test_macros_that_call_each_other_come_to_an_end():
    assert len(expanded(r"\a", {"a": Macro(r"\b\b"), "b": Macro(r"\a\a")})) < 100_000


def test_a_macro_of_one_cell_holds_in_the_others_and_leaves_no_formula_of_its_own():
    body = source_of(r"$$\newcommand{\E}{\mathbb{E}}$$", r"Then $\E[x]$.")
    assert 'bb("E")' in body
    assert body.count("/*formula") == 1


def test_definitions_are_taken_out_of_the_text():
    macros, rest = split_macros(r"a \newcommand{\R}{\mathbb{R}} b")
    assert macros == {"R": Macro(r"\mathbb{R}")}
    assert rest == "a  b"


@pytest.mark.parametrize(
    ("tex", "expected"),
    [(r"{\bf x} + y", r"{\mathbf{x}} + y"), (r"\rm{Var}(x)", r"\mathrm{Var}(x)"), (r"x \label{eq:a}", "x ")],
)
def test_pages_get_old_commands_in_their_modern_form(tex, expected):
    assert modern(tex) == expected


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_every_label_of_an_equation_of_several_lines_has_its_number():
    source = source_of(
        r"\begin{align} a &= b \label{eq:a} \\ c &= d \label{eq:c} \end{align}",
        r"See \eqref{eq:a}, \eqref{eq:c} and, as a formula, $\eqref{eq:c}$.",
    )
    assert source.count('#link(label("eq-a"))[(1)]') == 3


def test_a_tag_and_a_label_number_an_equation_that_text_can_refer_to():
    assert number_of(r"x \tag{3.1} \label{eq:x}") == ("3.1", "eq:x")
    source = source_of(
        r"\begin{equation}\label{eq:loss} L = 0 \end{equation}", r"By \eqref{eq:loss} and @eq-two.", "$$y$$ {#eq-two}"
    )
    assert '#hwkit-equation("1")' in source
    assert '#link(label("eq-loss"))[(1)]' in source


def test_typst_source_holds_no_marks_of_formulas_in_text():
    text, _ = TypstExporter().from_notebook_node(new_notebook(cells=[new_markdown_cell("/*formula 0*/ x /*end*/ $y$")]))
    assert "y" in text


@pytest.mark.parametrize(
    ("tag", "shown"), [("$*$", "*"), (r"$\alpha$", "α"), (r"\dagger", "†"), (r"$\Omega_1$", "Ω_1"), (r"\odd", r"\odd")]
)
def test_a_tag_in_dollars_is_shown_as_text(tag, shown):
    assert number_of(rf"x \tag{{{tag}}}") == (shown, "")
