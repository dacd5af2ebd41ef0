"""Words in are words out: what authors wrote and what their code showed is in the PDF, or a warning names the cell."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")

from hwkit.export import export_pdf  # noqa: E402

# In each, every ¤ is a word of its own.
MARKDOWN = [
    "¤ plain ¤\n\n¤",
    "## ¤\n\n- ¤\n- ¤\n\n1. ¤",
    "| ¤ | ¤ |\n|---|---|\n| ¤ | **¤** |",
    "> ¤\n\n`¤` [¤](http://a.b) <b>¤</b> <div>¤</div>\n\n```\n¤\n```",
    "¤[^1]\n\n[^1]: ¤",
    "<table><tr><th>¤</th></tr><tr><td>¤<br>¤</td></tr></table>",
    "- [ ] ¤\n- [x] ¤",
    "¤\n: ¤\n: ¤",
    "::: {.callout-note}\n## ¤\n¤\n:::",
    "```{note} ¤\n¤\n```",
    ":::{figure} missing.png\n¤\n:::",
    "<details><summary>¤</summary>\n\n¤ **¤**\n\n</details>",
    "- ¤\n  - ¤\n    - ¤\n\n      ¤",
    "![¤](missing.png) x",
    "![¤](missing.png)",
    "| ¤<br>¤ | <b>¤</b> |\n|:-:|--:|\n| ¤ | `¤` |",
    "::: {.columns}\n::: {.column}\n¤\n:::\n::: {.column}\n¤\n:::\n:::",
    "::: {.panel-tabset}\n## ¤\n¤\n## ¤\n¤\n:::",
    "$\\text{¤} + ¤$ $$\\begin{cases} \\text{¤} \\\\ ¤ \\end{cases}$$",
    "Setext ¤\n===\n¤\n---\n¤",
    "{term}`¤` {doc}`¤ <x>` {abbr}`¤ (x)` {unknown}`¤`",
    "> [!NOTE] ¤\n> ¤",
    "<p align='center'>¤</p><center>¤</center><h1>¤</h1>",
    "[¤][ref] x\n\n[ref]: http://a.b",
    "<http://a.b/¤> https://c.d/¤ a@¤.de",
    "~~¤~~ ^¤^ ==¤== ++¤++",
    "\\¤ \\(¤\\) \\\\[¤\\\\]",
    "¤  \n¤\\\n¤",
    "    ¤ indented\n\n\t¤",
    "***¤*** __¤__ _¤_ ¤*¤*¤",
    "1. ¤\n   ```\n   ¤\n   ```\n2. ¤",
    "<table><tr><td>\n\n**¤**\n\n</td></tr></table>",
    "| a |\n|---|\n| ¤ |\n\n: ¤ {#tbl-x}",
    "```{list-table} ¤\n* - ¤\n  - ¤\n```",
    "```{code-block} python\n:caption: ¤\n¤\n```",
    "````\n```\n¤\n```\n````",
    "% ¤ \n¤ # ¤",
    "+++\n¤",
    "(label)=\n## ¤",
    "<img src='missing.png' alt='¤'>",
    "$$¤ \\tag{¤}$$",
    "* * *\n¤\n***",
    "`` ¤ ` ¤ ``",
    "H~¤~O",
    "[^¤]",
    "[^n]: ¤",
    "<cite>¤</cite> <q>¤</q> <var>¤</var> <samp>¤</samp> <abbr title='x'>¤</abbr> <del>¤</del><ins>¤</ins>",
    "<ruby>¤<rt>¤</rt></ruby>",
    "```mermaid\ngraph ¤\n```",
    "```{=html}\n<b>¤</b>\n```",
    "```{unknown} ¤\n:key: v\n¤\n```",
    "<video controls>¤</video>",
    "<a href=''>¤</a><a name='x'>¤</a>",
    "<blockquote>¤<footer>¤</footer></blockquote>",
    "{{< video ¤ >}} {{ ¤ }}",
    "@¤ [@¤]",
    "&¤; &lt;¤&gt;",
    "| ¤ |\n| ¤ |",
    "¤ | ¤\n--|--\n¤ | ¤",
    "<dl><dt>¤</dt><dd>¤</dd></dl>",
    "\\begin{itemize}\\item ¤\\end{itemize}",
    "\\newcommand{\\x}{¤} $\\x$",
    "\\textbf{¤} \\section{¤}",
]
HTML = [
    "<b>¤</b> ¤",
    "<p>¤</p><ul><li>¤<li>¤</ul>",
    "<table><tr><td>¤<td><i>¤</i><tr><td>¤<br>¤</table>",
    "<table><caption>¤</caption><thead><tr><th>¤</th></tr></thead><tbody><tr><td><ul><li>¤</li></ul></td></tr></tbody></table>",
    "<table><tr><td><table><tr><td>¤</td></tr></table></td><td>¤</td></tr><tfoot><tr><td>¤</td></tr></tfoot></table>",
    '<svg width="200" height="40"><text x="5" y="20">¤</text></svg>',
    '<svg viewBox="0 0 90 40"><foreignObject width="90" height="40"><div>¤<br>¤</div></foreignObject></svg>',
    "<div><details><summary>¤</summary>¤</details><button>¤</button><input value='¤'></div>",
    "<style>.x{color:red}</style><pre>¤\n¤</pre><code>¤</code>",
    "<select><option>¤<option>¤</select><fieldset><legend>¤</legend>¤</fieldset>",
    "<h3>¤</h3><dl><dt>¤<dd>¤</dl><center>¤</center><font color='red'>¤</font>",
    "<!doctype html><html><head><title>x</title></head><body>¤</body></html>",
    "¤ <script>x()</script> ¤ <!-- y --> ¤",
    "<textarea>¤</textarea>",
    "<table><tr><td rowspan=2 colspan=3>¤<td>¤<tr><td>¤<td>¤</table>",
    "<figure><img src='missing.png' alt='¤'><figcaption>¤</figcaption></figure>",
    "<svg width='90' height='40'><text><tspan>¤</tspan><tspan dy='9'>¤</tspan></text><title>x</title></svg>",
    "<label>¤<input type=text value='¤'></label><meter value=1>¤</meter><progress>¤</progress>",
    "<iframe srcdoc='<b>¤</b>'></iframe>",
    "<details open><summary>¤</summary><p>¤</details>",
    "<div style='display:flex'><div>¤</div><div>¤</div></div>",
    "<ul><li>¤<ol><li>¤</ol></ul>",
    "<section><article><header>¤</header>¤</article></section><nav>¤</nav><aside>¤</aside>",
    "<ruby>¤<rp>(</rp><rt>¤</rt></ruby><bdi>¤</bdi><mark>¤</mark><small>¤</small><big>¤</big><tt>¤</tt><s>¤</s>",
    "<object>¤</object><video>¤</video><audio>¤</audio><canvas>¤</canvas>",
    "<input type=button value='¤'><input type=submit value='¤'><button><b>¤</b></button>",
    "<table><tr><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td></tr></table>",
    "<table><tr><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td></tr><tr><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td></tr><tr><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td><td>¤</td></tr></table>",
    "<marquee>¤</marquee><blink>¤</blink><foo-bar>¤</foo-bar>",
    "<math><mi>¤</mi><mo>=</mo><mtext>¤</mtext></math>",
    "<p>¤<p>¤<hr>¤<br/>¤",
    "<plaintext>¤",
    "<title>x</title>¤<body>¤",
    "<a href='javascript:x'>¤</a><img alt='¤'>",
    "<pre><code>¤\n<b>¤</b></code></pre>",
    "<div>¤<table><caption><b>¤</b> ¤</caption><tr><td>¤</table>¤</div>",
    "<table><colgroup><col></colgroup><tr><th scope=row>¤</th><td></td></tr></table>",
    "<table><tr><td><svg width='9' height='9'></svg>¤</td><td><img src='missing.png' alt='¤'></td></tr></table>",
    "<dialog open>¤</dialog><template><p>x</p></template>¤",
    "$¤$ and \\(¤\\) <code>$¤$</code>",
]
PRINTED = [
    "¤\n¤",
    "100%|██████████| 938/938 [00:01<00:00, 550.00it/s, ¤=0.05]",
    "¤: 100%|██████████| 10/10 [00:01<00:00, 9.1it/s]",
    "Epoch 1/2\n  1/938 [....] - ETA: 1s - loss: 2\n938/938 [====] - 2s - loss: 0.2 - ¤: 0.9",
    "\x1b[1m938/938\x1b[0m \x1b[32m━━━━━\x1b[0m \x1b[1m2s\x1b[0m 2ms/step - ¤: 0.9",
    "gone\r¤ and ¤",
    "\x1b[31m¤\x1b[0m ¤",
    "<Figure size 640x480 with 1 Axes> ¤",
    "¤\x0c¤\x0b¤",
    "\x1b]8;;http://a\x07¤\x1b]8;;\x07 ¤",
    "\x1b[2K\r¤\n\x1b[1A¤",
    "\x1b[38;5;200m¤\x1b[48;2;1;2;3m¤",
    "a\tb\t¤",
    "¤\r\n¤\r",
    "¤ 한국어 العربية ¤ 中文¤ 🎉¤",
    "Epoch 1: 100%|██| 4/4 [00:00<00:00, 9it/s]\n¤",
    "10/10 ━━━━━━━━ 0s 3ms/step ¤",
    "| ¤ | ¤ |\n|---|\n",
    "0%|  | 0/3 [00:00<?, ?it/s]¤\n 33%|█| 1/3 [00:00<00:00, 3it/s]¤\n",
    "┌──┐\n│¤ │\n└──┘",
    "\x00¤\x01¤\x7f",
    "100%|██| 3/3 [00:01<00:00, 2.0it/s]\n¤ 1\n100%|██| 3/3 [00:01<00:00, 2.0it/s]\n¤ 2",
    "¤\u2028¤\x85¤",
]
LATEX = [
    "$¤=1$, $y=2$",
    "¤ and $x$",
    r"$\text{¤}$",
    r"\begin{tabular}{ll} ¤ & ¤ \\ \end{tabular}",
    "¤ 100 % _ # &",
    "\\begin{align}¤ &= ¤\\end{align}",
    "\\begin{itemize}\\item ¤ \\item ¤\\end{itemize}",
    "\\textbf{¤} \\emph{¤}",
    "\\begin{table}\\caption{¤}\\begin{tabular}{l} ¤\\end{tabular}\\end{table}",
    "$$¤$$ ¤ \\[¤\\]",
    "\\displaystyle \\left[\\begin{matrix}¤\\end{matrix}\\right]",
    "¤ \\\\ ¤",
    "\\begin{longtable}{lr}\\toprule ¤ & ¤\\\\ \\midrule \\endhead ¤ & ¤ \\\\ \\bottomrule\\end{longtable}",
    "$\\verb|¤|$",
    "\\text{¤ $¤$}",
    "\\begin{tabular}{lll} \\multicolumn{2}{c}{¤} & ¤\\\\ ¤ & \\multirow{2}{*}{¤} & ¤ \\\\ \\end{tabular}",
    "\\begin{equation}\\text{¤}\\label{a}\\end{equation}",
]
PLAIN = ["¤", "<Figure size 640x480 with 1 Axes> ¤", "{'¤': ¤}", "Name(¤)", "alt.¤(...)"]


class Words:
    """Makes words that nothing breaks, hyphenates or contains in another, and remembers in which cell each stands."""

    def __init__(self):
        self.count = itertools.count(1000)
        self.cells = {}
        self.cell = 0

    def fill(self, template):
        def word(match):
            made = f"zq{next(self.count)}x"
            self.cells[made] = self.cell
            return made

        return re.sub("¤", word, template)


def output(kind, words, template):
    text = words.fill(template)
    if kind == "stream":
        return {"output_type": "stream", "name": "stdout", "text": f"{text}\n"}  # or the next may overwrite it
    if kind == "error":
        return {"output_type": "error", "ename": "ValueError", "evalue": text, "traceback": [words.fill("¤")]}
    data = {kind: text}
    if kind == "text/html":
        data["text/plain"] = "<IPython.core.display.HTML object>"
    return {"output_type": "display_data", "data": data, "metadata": {}}


OUTPUTS = st.one_of(
    st.tuples(st.just("stream"), st.sampled_from(PRINTED)),
    st.tuples(st.just("error"), st.sampled_from(["¤", "¤\n¤", "¤ " * 60])),
    st.tuples(st.just("text/html"), st.sampled_from(HTML)),
    st.tuples(st.just("text/latex"), st.sampled_from(LATEX)),
    st.tuples(st.just("text/plain"), st.sampled_from(PLAIN)),
    st.tuples(st.just("text/markdown"), st.sampled_from(MARKDOWN)),
    st.tuples(st.just("application/json"), st.just('"¤"')),
    st.tuples(st.just("application/vnd.unknown+json"), st.just('"¤"')),
)
CELLS = st.one_of(
    st.tuples(st.just("markdown"), st.sampled_from(MARKDOWN)),
    st.tuples(st.just("raw"), st.sampled_from(["¤ ¤", "answer: ¤\n\n- ¤"])),
    st.tuples(st.just("raw:text/html"), st.sampled_from(HTML)),
    st.tuples(st.just("raw:text/latex"), st.just("¤")),
    st.tuples(st.just("code"), st.sampled_from(["¤ = 1", "#| ¤\nx", "# ¤\n#| echo: ¤", "%%time\n¤"])),
    st.lists(OUTPUTS, min_size=1, max_size=3),
)


def notebook(shape, words):
    cells = []
    for number, one in enumerate(shape, start=1):
        words.cell = number
        if isinstance(one, list):
            outputs = [output(kind, words, template) for kind, template in one]
            cells.append({"cell_type": "code", "metadata": {}, "source": "", "execution_count": 1, "outputs": outputs})
            continue
        kind, _, mime = one[0].partition(":")
        cell = {"cell_type": kind, "metadata": {"raw_mimetype": mime} if mime else {}, "source": words.fill(one[1])}
        cells.append({**cell, "execution_count": None, "outputs": []} if kind == "code" else cell)
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def lost_words(folder, shape):
    """The words that are not in the PDF, though no warning names their cell; by the source that they stood in."""
    words = Words()
    nb = notebook(shape, words)
    path = folder / "a.ipynb"
    path.write_text(json.dumps(nb))
    pdf, warnings = export_pdf(path)
    pages = [unicodedata.normalize("NFKC", page.extract_text()) for page in pypdf.PdfReader(pdf).pages]
    pages = [re.sub(r"\d+\s*$", "", page) for page in pages]  # a line that goes on has no page number within
    text = re.sub(r"[\s\u200b↪]", "", "".join(pages))  # letters of formulas are letters, lines are broken anywhere
    named = {int(number) for number in re.findall(r"cell (\d+): ", "\n".join(warnings))}
    lost = {cell for word, cell in words.cells.items() if word not in text and cell not in named}
    return [nb["cells"][cell - 1] for cell in sorted(lost)]


def test_every_kind_of_content_is_in_the_pdf(tmp_path):
    shape = [("markdown", text) for text in MARKDOWN]
    shape += [("raw:text/html", text) for text in HTML] + [("raw", "¤ ¤"), ("raw:text/latex", "¤")]
    shape += [("code", "#| ¤\nx"), ("code", "¤ = 1")]
    shape += [[("text/html", text)] for text in HTML] + [[("stream", text)] for text in PRINTED]
    shape += [[("text/latex", text)] for text in LATEX] + [[("text/plain", text)] for text in PLAIN]
    shape += [[("error", "¤ " * 60)], [("application/json", '"¤"')], [("application/vnd.unknown+json", '"¤"')]]
    assert lost_words(tmp_path, shape) == []


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(shape=st.lists(CELLS, min_size=10, max_size=30))
def test_no_mixture_of_content_loses_words(tmp_path_factory, shape):
    assert lost_words(tmp_path_factory.mktemp("words"), shape) == []
