"""Formulas: macros expanded, TeX in a form that pandoc knows, Typst in a form that Typst knows."""

from __future__ import annotations

import pytest

from hwkit.export.formulas import Macro, expanded, modern, number_of, split_macros

pytest.importorskip("typst")

from nbformat.v4 import new_markdown_cell, new_notebook

from hwkit.export.exporters import TypstExporter, TypstPDFExporter

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
]


def warnings_and_source(*texts):
    exporter = TypstPDFExporter()
    source, _ = exporter.typst_source(new_notebook(cells=[new_markdown_cell(text) for text in texts]), None)
    from hwkit.export.typesetting import compile_pdf

    compile_pdf(source)
    return [*source.warnings, *source.writer.warnings], source.text


@pytest.mark.parametrize("tex", CONSTRUCTS)
def test_constructs_of_a_machine_learning_text_are_set(tex):
    warnings, source = warnings_and_source(f"$$ {tex} $$")
    assert warnings == []
    assert "hwkit-missing(raw" not in source.split("#show: theme")[-1]


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\newcommand{\R}{\mathbb{R}} x \in \R", r"x \in \mathbb{R}"),
        (r"\newcommand{\norm}[1]{\lVert#1\rVert} \norm{x}", r"\lVert x\rVert"),
        (r"\newcommand{\V}[2][x]{#1 + #2} \V{2}, \V[y]3", r"x + 2, y + 3"),
        (r"\def\d#1{\mathrm{d}#1} \d x", r"\mathrm{d}x"),
        (r"\DeclareMathOperator*{\argmin}{arg\,min} \argmin_x", r"\operatorname*{arg\,min}_x"),
        (r"\let\eps\varepsilon \eps", r"\varepsilon"),
    ],
)
def test_macros_are_replaced_by_what_they_stand_for(tex, expected):
    assert expanded(tex, {}).strip() == expected


def test_macros_that_call_each_other_come_to_an_end():
    assert len(expanded(r"\a", {"a": Macro(r"\b\b"), "b": Macro(r"\a\a")})) < 100_000


def test_a_macro_of_one_cell_holds_in_the_others_and_leaves_no_formula_of_its_own():
    warnings, source = warnings_and_source(r"$$\newcommand{\E}{\mathbb{E}}$$", r"Then $\E[x]$.")
    assert warnings == []
    body = source.split("#show: theme")[-1]
    assert 'bb("E")' in body
    assert body.count("/*formula") == 1


def test_definitions_are_taken_out_of_the_text():
    macros, rest = split_macros(r"a \newcommand{\R}{\mathbb{R}} b")
    assert macros == {"R": Macro(r"\mathbb{R}")}
    assert rest == "a  b"


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"{\bf x} + y", r"{\mathbf{x}} + y"),
        (r"\rm{Var}(x)", r"\mathrm{Var}(x)"),
        (r"x \label{eq:a}", "x "),
    ],
)
def test_old_commands_get_their_modern_form(tex, expected):
    assert modern(tex) == expected


@pytest.mark.parametrize(
    ("tex", "rules"),
    [
        (r"\left[\begin{array}{cc|c} 1 & 0 & a\\ 0 & 1 & b\end{array}\right]", "hline: (), vline: (2, )"),
        (
            r"\begin{array}{|c|c|} \hline x & y \\ \hline 0 & 1 \\ 1 & 0 \\ \hline \end{array}",
            "hline: (0, 1, 3, ), vline: (0, 1, 2, )",
        ),
    ],
)
def test_rules_between_the_columns_and_rows_of_an_array_are_drawn(tex, rules):
    warnings, source = warnings_and_source(f"$${tex}$$")
    assert warnings == []
    assert rules in source


def test_every_label_of_an_equation_of_several_lines_has_its_number():
    text = [
        r"\begin{align} a &= b \label{eq:a} \\ c &= d \label{eq:c} \end{align}",
        r"See \eqref{eq:a}, \eqref{eq:c} and, as a formula, $\eqref{eq:c}$.",
    ]
    warnings, source = warnings_and_source(*text)
    assert warnings == []
    assert source.count("#link(<eq-a>)[\\(1)]") == 3


def test_a_tag_and_a_label_number_an_equation_that_text_can_refer_to():
    assert number_of(r"x \tag{3.1} \label{eq:x}") == ("3.1", "eq:x")
    text = [
        r"\begin{equation}\label{eq:loss} L = 0 \end{equation}",
        r"By \eqref{eq:loss} and @eq-two.",
        "$$y$$ {#eq-two}",
    ]
    warnings, source = warnings_and_source(*text)
    assert warnings == []
    assert '#hwkit-equation("1")' in source
    assert "#link(<eq-loss>)[\\(1)]" in source


def test_what_is_unknown_in_a_formula_is_shown_and_the_rest_is_typeset():
    warnings, source = warnings_and_source("fine $x$", r"bad $\undefined{x^2} + y$ and $\frac a$")
    assert warnings[0].endswith(r"cell 2: part of a formula is not known and is shown as source: \undefined")
    assert warnings[1].endswith(r"cell 2: a formula could not be set and is shown as source: \frac a")
    assert len(warnings) == 2
    body = source.split("#show: theme")[-1]
    assert r'#hwkit-missing(raw("\\undefined"))x^2+y' in body
    assert r'#hwkit-missing(raw("\\frac a"))' in body


def test_typst_source_holds_no_marks_of_formulas_in_text():
    text, _ = TypstExporter().from_notebook_node(new_notebook(cells=[new_markdown_cell("/*formula 0*/ x /*end*/ $y$")]))
    assert "y" in text


@pytest.mark.parametrize(
    ("tag", "shown"), [("$*$", "*"), (r"$\alpha$", "α"), (r"\dagger", "†"), (r"$\Omega_1$", "Ω_1"), (r"\odd", r"\odd")]
)
def test_a_tag_in_dollars_is_shown_as_text(tag, shown):
    assert number_of(rf"x \tag{{{tag}}}") == (shown, "")
