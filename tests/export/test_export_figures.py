"""Outputs that another program draws: Vega-Lite, Plotly, Typst; and what stands beside figures."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
from nbformat.v4 import new_markdown_cell

pytest.importorskip("typst")

from test_export_pictures import converted, shown

from hwkit.export import figures, terminal
from hwkit.export.typesetting import compile_pdf

VALUES = {"values": [{"a": "A", "b": 28}, {"a": "B", "b": 55}]}
BARS = {"data": VALUES, "mark": "bar", "encoding": {"x": {"field": "a"}, "y": {"field": "b", "type": "quantitative"}}}
BARS = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", **BARS}
PAGE = '<div id="altair-viz-1"></div><script>(function(spec, embedOpt){{ x }})({}, {{"mode": "vega-lite"}});</script>'


@pytest.mark.parametrize(
    "data",
    [
        {"application/vnd.vegalite.v5+json": BARS, "text/plain": "<VegaLite 5 object>"},
        {"text/html": PAGE.format(json.dumps(BARS)), "text/plain": "alt.Chart(...)"},
    ],
)
def test_vega_lite_is_drawn(data):
    pytest.importorskip("vl_convert")
    source = converted(shown(data))
    assert next(iter(source.images)).endswith(".svg")
    assert source.warnings == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.csv", "/etc/passwd", "data.csv"])
def test_a_figure_that_loads_its_data_is_not_drawn(address):
    pytest.importorskip("vl_convert")
    source = converted(shown({"application/vnd.vegalite.v5+json": {**BARS, "data": {"url": address}}}))
    assert source.images == {}
    assert "cell 1: an interactive vega figure was left out" in source.warnings[0]


@pytest.fixture
def kaleido(monkeypatch):
    """Stands in for Plotly with kaleido, which needs a browser: draws a rectangle, and tells what it was given."""
    given = []

    def to_image(figure, **_):
        given.append(figure)
        return b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'

    plotly, io = ModuleType("plotly"), ModuleType("plotly.io")
    io.to_image, plotly.io = to_image, io
    monkeypatch.setitem(sys.modules, "plotly", plotly)
    monkeypatch.setitem(sys.modules, "plotly.io", io)
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: name)
    return given


FIGURE = {"data": [{"type": "bar", "y": [1, 2]}], "layout": {"title": {"text": "x"}}}
CALL = '<div><script>Plotly.newPlot(  "id", {data}, {layout}, {{"responsive": true}} )</script></div>'


@pytest.mark.parametrize(
    "data",
    [
        {"application/vnd.plotly.v1+json": {**FIGURE, "config": {"plotlyServerURL": "https://plot.ly"}}},
        {"text/html": CALL.format(**{key: json.dumps(value) for key, value in FIGURE.items()})},
    ],
)
def test_plotly_is_drawn_by_kaleido(kaleido, data):
    assert len(converted(shown(data)).images) == 1
    assert kaleido == [FIGURE]


@pytest.mark.parametrize("layout", [{"mapbox": {"style": "x"}}, {"geo": {"scope": "x"}}, {"images": [{"source": "x"}]}])
def test_a_plotly_figure_that_asks_servers_is_not_drawn(kaleido, layout):
    source = converted(shown({"application/vnd.plotly.v1+json": {**FIGURE, "layout": layout}}))
    assert kaleido == []
    assert "plotly figure was left out" in source.warnings[0]


def test_an_output_in_typst_is_set():
    source = converted(shown({"text/typst": "= Title\n#table(columns: 2)[a][b] $x^2$", "text/plain": "x"}))
    assert compile_pdf(source).startswith(b"%PDF")
    assert source.warnings == []


ATTACKS = ['#read("/etc/passwd")', '#import "@preview/cetz:0.3.1"', '#image("x.png")', "#hwkit.title", "#{", "] #x ["]
ATTACKS += ["#set page(width: 1cm)", "#while true {}", "#let f(x) = f(x)\n#f(1)"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_typst_that_reaches_further_is_shown_as_source(attack):
    source = converted(shown({"text/typst": attack}), new_markdown_cell("After"))
    assert "cell 1: an output in Typst could not be set" in source.warnings[0]
    assert compile_pdf(source).startswith(b"%PDF")


@pytest.mark.parametrize("rule", ["=" * 200, "-" * 101, "# " + "─" * 150, "+----------+" * 20, "  " + "*" * 120])
def test_a_rule_takes_one_line(rule):
    assert len(terminal.wrapped(rule, 80).split("\n")) == 1
    assert terminal.wrapped("word " + rule, 80).count("\n") >= 1


STYLED = """<style>td {color: green} #T_a_row0_col0 {background-color: #67001f; color: #f1f1f1}</style>
<table id="T_a"><tr><td id="T_a_row0_col0">1</td><td>2</td></tr></table>"""


def test_a_styled_data_frame_keeps_its_colours():
    source = converted(shown({"text/html": STYLED, "text/plain": "<pandas.io.formats.style.Styler at 0x7f>"}))
    assert 'table.cell(fill: rgb("#67001f"))' in source.text
    assert '#text(fill: rgb("#f1f1f1"))[1]' in source.text
    assert '#text(fill: rgb("#008000"))[2]' in source.text
    assert compile_pdf(source).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("markup", "typst"),
    [
        ("<font color='red'>word</font>", '#text(fill: rgb("#ff0000"))[word]'),
        ("<span style='color: rgb(0, 0, 255)'>word</span>", '#text(fill: rgb("#0000ff"))[word]'),
        ("<span style='background: yellow'>word</span>", '#highlight(fill: rgb("#ffff00"))[word]'),
        ("<span style='color: white'>word</span>", "word"),
        ("<span style='color: nothing'>word</span>", "word"),
    ],
)
def test_coloured_words_keep_what_can_be_read_on_paper(markup, typst):
    body = converted(shown({"text/html": f"<p>{markup}</p>"})).text.rsplit("#show: theme", 1)[1]
    assert typst in body
    assert ("rgb(" in body) == ("rgb(" in typst)
