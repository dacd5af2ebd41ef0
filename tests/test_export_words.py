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
]
LATEX = [
    "$¤=1$, $y=2$",
    "¤ and $x$",
    r"$\text{¤}$",
    r"\begin{tabular}{ll} ¤ & ¤ \\ \end{tabular}",
    "¤ 100 % _ # &",
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
        return {"output_type": "stream", "name": "stdout", "text": text}
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
