"""Every parser of ours, fed with whatever hypothesis comes up with: it gives a value or its own error.

A further parser is a further line of `PARSERS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from nbformat.v4 import new_notebook, new_raw_cell

from hwkit import cli, results, runs, storage
from hwkit.errors import HwkitError
from hwkit.experiment import Experiment, option_names
from hwkit.notebook import assigned_names
from hwkit.report import celloptions, execute, formulas, images, safeyaml
from hwkit.report.frontmatter import take_front_matter
from hwkit.report.settings import ReportSettings


@dataclass(frozen=True)
class Parser:
    """A parser under attack: what it is fed, how it is called with that and a folder, and which errors are its own."""

    inputs: st.SearchStrategy[Any]
    parse: Callable[[Any, Path], object]
    errors: tuple[type[Exception], ...]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FIELDS = st.dictionaries(st.sampled_from([*option_names(), "name", "profile", "typo"]), JSON, max_size=5)
OPTION = st.sampled_from(["label", "fig-cap", "echo", "date", "title", "author", "hwkit", "execute", "x"])


def words(*known: str) -> st.SearchStrategy[str]:
    """Texts made of words that mean something to a parser, and of anything else."""
    return st.lists(st.sampled_from(known) | st.text(max_size=6), max_size=30).map("".join)


TEX = words("\\newcommand", "\\def", "\\let", "\\a", "{", "}", "[1]", "#1", "\\frac", "_", "^", "\\unicode{x41}", " ")
YAML = words("a: ", "- ", "&x ", "*x", "\n", "  ", "{", "[", "!!int ", "2026-99-99", '"', "'", "|", ">", "? ", "0x")
TOML = words("title = ", "author = ", "date = ", "[x]", '"a"', "[[", "\n", "2026-01-31", "07:32:00", "1e999", "{a=1}")
PYTHON = words("a = ", "b: int = ", "(", ")", "[", "\n", "  ", "1", "'", '"""', "%pip", "\0", "lambda: ", "*")
SVG = words("<svg ", "width=", '"1e9999pt"', '"1.2.3px"', "height='4'", "viewBox='0 0 1 x'", ">", "<script", "/>")
HEADER = st.dictionaries(
    st.text(max_size=8),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "BF16", "I64", "F4", "F8_E4M3", "X"]),
            "shape": st.lists(st.integers(-1, 2**62), max_size=4),
            "data_offsets": st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
        }
    )
    | JSON,
    max_size=3,
)


def tensors(parts: tuple[dict[str, Any], int, bytes]) -> bytes:
    claimed, extra, body = parts
    text = json.dumps(claimed).encode()
    return struct.pack("<q", len(text) + extra) + text + body


def in_file(parse: Callable[[Path], object], name: str) -> Callable[[bytes | str, Path], object]:
    """The parser of a file, called with its content."""

    def call(content: bytes | str, folder: Path) -> object:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
        return parse(path)

    return call


CELL = st.just({"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "a = 1", "outputs": []})
CELLS = st.lists(CELL | st.fixed_dictionaries({"metadata": JSON, "source": JSON}) | JSON) | JSON
METADATA = st.fixed_dictionaries({"hwkit": JSON}) | JSON
NOTEBOOK = (st.fixed_dictionaries({"cells": CELLS, "metadata": METADATA}) | JSON).map(json.dumps)
CSV = words("name", "test_accuracy", "l2", ",", "\n", '"', "1", "nan")

PARSERS: dict[str, Parser] = {
    "experiment": Parser(FIELDS, lambda fields, _: Experiment.from_dict(fields), (HwkitError,)),
    "option of the command line": Parser(PYTHON, lambda text, _: cli._value(text), ()),
    "JSON": Parser(JSON.map(json.dumps) | st.binary() | st.text(), lambda x, _: storage.parse_object(x), (ValueError,)),
    "tensors": Parser(
        st.tuples(HEADER, st.sampled_from([0, 0, 0, 1, -1, 2**40, -(2**40)]), st.binary(max_size=64)).map(tensors)
        | st.binary(max_size=64),
        lambda content, _: storage.parse_tensors(content),
        (ValueError,),
    ),
    "checkpoint": Parser(
        st.binary(max_size=200), in_file(lambda path: runs.read_checkpoint(path.parent), runs.CHECKPOINT), (ValueError,)
    ),
    "metrics": Parser(
        JSON.map(json.dumps) | st.binary(), in_file(lambda path: runs.load(path.parent), "metrics.json"), (HwkitError,)
    ),
    "record": Parser(
        st.binary() | CSV.map(str.encode), lambda content, _: runs._parse_record(content), runs._UNREADABLE
    ),
    "results.csv": Parser(CSV, in_file(results.read_rows, "results.csv"), (HwkitError,)),
    "report.toml": Parser(TOML | st.binary(), in_file(ReportSettings.load, "report.toml"), (HwkitError,)),
    "settings": Parser(
        st.dictionaries(st.sampled_from([*ReportSettings.__dataclass_fields__, "typo"]), JSON, max_size=4),
        lambda values, _: ReportSettings.from_mapping(values),
        (HwkitError,),
    ),
    "front matter": Parser(
        YAML | st.dictionaries(OPTION, JSON, max_size=4).map(yaml.safe_dump),
        lambda text, folder: take_front_matter(new_notebook(cells=[new_raw_cell(f"---\n{text}\n---")]), folder),
        (),
    ),
    "cell options": Parser(
        YAML.map(lambda text: "\n".join(f"#| {line}" for line in text.splitlines())),
        lambda text, _: celloptions.split_options(text),
        (),
    ),
    "YAML": Parser(YAML, lambda text, _: safeyaml.parse(text), (yaml.YAMLError,)),
    "formulas": Parser(TEX, lambda text, _: formulas.expanded(*reversed(formulas.split_macros(text))), ()),
    "notebook": Parser(NOTEBOOK, in_file(execute.read_notebook, "x.ipynb"), (HwkitError,)),
    "parameters": Parser(PYTHON, lambda text, _: assigned_names(text), ()),
    "SVG": Parser(SVG, lambda text, _: images.ImageStore("").add(text.encode(), "image/svg+xml"), (HwkitError,)),
    "picture": Parser(
        st.tuples(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"\xff\xd8"]), st.binary(max_size=99)),
        lambda parts, _: images.ImageStore("").add(b"".join(parts), "image/png"),
        (HwkitError,),
    ),
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_gives_a_value_or_its_own_error(name: str, times: Callable[[int, int], int], tmp_path: Path) -> None:
    parser = PARSERS[name]
    count = times(100, int(os.environ.get("HWKIT_FAULTS_EXAMPLES", "20000")))
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    done = 0

    @seed(int(os.environ.get("HWKIT_FAULTS_SEED", "0")))
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=quiet)
    @given(parser.inputs)
    def attack(content: Any) -> None:
        nonlocal done
        done += 1
        with contextlib.suppress(*parser.errors):
            parser.parse(content, tmp_path)

    attack()
    print(f"{name}: {done} inputs")


def test_aliases_that_stand_for_gigabytes_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = "\n".join([*lines, "title: *a11"])
    found = take_front_matter(new_notebook(cells=[new_raw_cell(f"---\n{bomb}\n---")]), tmp_path)
    assert any("aliases" in warning for warning in found.warnings)
    assert found.settings == {}


def test_a_picture_that_claims_a_hundred_million_pixels_is_refused() -> None:
    import zlib

    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = part(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    picture = b"\x89PNG\r\n\x1a\n" + size + part(b"IDAT", zlib.compress(bytes(10**6))) + part(b"IEND", b"")
    with pytest.raises(HwkitError, match="10000 x 10000 pixels; make it smaller"):
        images.ImageStore("").add(picture, "image/png")


@pytest.mark.parametrize("content", ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "title = '''" + "x" * 10**6])
def test_settings_made_to_break_their_reader_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.toml").write_text(content)
    with pytest.raises(HwkitError, match=r"report\.toml"):
        ReportSettings.load(tmp_path / "report.toml")
