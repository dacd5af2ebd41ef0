"""Figures that a browser draws from data, as SVG: Vega by vl-convert, Plotly by kaleido, where these are installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Mapping
from typing import Any

_VEGA_MIME = re.compile(r"application/vnd\.(vega|vegalite)\.v(\d+)\+json")
_PLOTLY_MIME = "application/vnd.plotly.v1+json"
# What the pages of Altair and Plotly call with the data.
_VEGA_CALL = re.compile(r"\}\)\((?=\{)")
_PLOTLY_CALL = re.compile(r"Plotly\.(?:newPlot|react)\(\s*[\"'][^\"']*[\"'],\s*(?=\[)")
_JSON = json.JSONDecoder()
# Parts of a Plotly figure for which it asks servers.
_REMOTE_PARTS = ("mapbox", "map", "geo", "images")


def drawing(data: Mapping[str, Any]) -> str | None:
    """The SVG of an output, if it is a figure whose library is installed and that needs nothing from the network."""
    page = data.get("text/html", "") if isinstance(data.get("text/html"), str) else ""
    for mime, spec in data.items():
        if (found := _VEGA_MIME.fullmatch(mime)) and isinstance(spec, dict):
            return _vega(spec, lite=found[1] == "vegalite", version=found[2])
    if "vega" in page and (call := _VEGA_CALL.search(page)) and isinstance(spec := _parsed(page, call.end()), dict):
        schema = re.search(r"/vega(-lite)?/v(\d+)", str(spec.get("$schema", "/vega-lite/v5")))
        return _vega(spec, lite=not schema or bool(schema[1]), version=schema[2] if schema else "5")
    figure = data.get(_PLOTLY_MIME)
    if not isinstance(figure, dict) and (call := _PLOTLY_CALL.search(page)):
        figure = _plotly_of(page, call.end())
    return _plotly(figure) if isinstance(figure, dict) and figure.get("data") else None


def _vega(spec: dict[str, Any], *, lite: bool, version: str) -> str | None:
    if not importlib.util.find_spec("vl_convert"):
        return None
    import vl_convert

    try:
        if not lite:
            return vl_convert.vega_to_svg(spec, allowed_base_urls=[])
        known = [one for one in vl_convert.get_vegalite_versions() if one.split(".")[0] == version]
        return vl_convert.vegalite_to_svg(spec, vl_version=known[-1] if known else None, allowed_base_urls=[])
    except Exception:  # of a figure that is not one, or that loads its data
        return None


def _plotly(figure: Mapping[str, Any]) -> str | None:
    layout = figure.get("layout")
    if isinstance(layout, dict) and any(layout.get(part) for part in _REMOTE_PARTS):
        return None
    if not (importlib.util.find_spec("plotly") and importlib.util.find_spec("kaleido")):
        return None
    draw = importlib.import_module("plotly.io").to_image
    try:
        chosen = {key: figure[key] for key in ("data", "layout") if key in figure}
        return draw(chosen, format="svg", validate=False).decode()
    except Exception:  # kaleido needs a browser, and has many ways to say that it has none
        return None


def _plotly_of(page: str, start: int) -> dict[str, Any] | None:
    """The data and layout that a page gives to Plotly."""
    try:
        traces, end = _JSON.raw_decode(page, start)
        after = re.compile(r"\s*,\s*(?=\{)").match(page, end)
        return {"data": traces, "layout": _parsed(page, after.end()) if after else {}}
    except ValueError:
        return None


def _parsed(page: str, start: int) -> Any:
    try:
        return _JSON.raw_decode(page, start)[0]
    except ValueError:
        return None
