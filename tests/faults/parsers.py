"""Every parser of ours, for `test_fuzz.py`, which feeds them what hypothesis comes up with, and for `fuzz.py`.

A further parser is a further entry of `PARSERS`.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from hypothesis import strategies as st
from nbformat import from_dict
from PIL import Image

from hwkit import data, runs
from hwkit.batch import file, state, tasks
from hwkit.batch.storage import Store
from hwkit.datasets import own
from hwkit.engine import files as storage
from hwkit.engine import run_files
from hwkit.errors import HwkitError
from hwkit.experiment import Experiment, option_names
from hwkit.export import celloptions, formulas, images, safeyaml
from hwkit.export.frontmatter import take_front_matter
from hwkit.export.settings import ReportSettings
from hwkit.findings import reference as results
from hwkit.report import execute, parameters, values

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Parser:
    """A parser under attack: what it is fed, how it is called with that and a folder, and which errors are its own."""

    texts: st.SearchStrategy[bytes | str]
    parse: Callable[[bytes, Path], object]
    errors: tuple[type[Exception], ...] = ()

    @property
    def inputs(self) -> st.SearchStrategy[bytes]:
        """What hypothesis comes up with, as bytes."""
        return self.texts.map(lambda text: text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    def __call__(self, content: bytes, folder: Path) -> None:
        """Parse; whatever is raised is a fault."""
        try:
            self.parse(content, folder)
        except self.errors as error:
            str(error)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FIELDS = st.dictionaries(st.sampled_from([*option_names(), "name", "profile", "typo"]), JSON, max_size=5).map(
    json.dumps
)
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


def picture(kind: str) -> bytes:
    """A whole picture of a few pixels."""
    written = io.BytesIO()
    Image.new("L", (5, 4)).save(written, kind)
    return written.getvalue()


TEXTS = JSON.map(json.dumps) | st.binary() | st.text()
TENSORS = st.binary(max_size=99) | st.tuples(
    HEADER, st.sampled_from([0, 0, 0, 1, -1, 2**40, -(2**40)]), st.binary(max_size=64)
).map(tensors)
CELL = st.just({"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "a = 1", "outputs": []})
CELLS = st.lists(CELL | st.fixed_dictionaries({"metadata": JSON, "source": JSON}) | JSON) | JSON
METADATA = st.fixed_dictionaries({"hwkit": JSON}) | JSON
NOTEBOOK = (st.fixed_dictionaries({"cells": CELLS, "metadata": METADATA}) | JSON).map(json.dumps)
CSV = words("name", "test_accuracy", "l2", ",", "\n", '"', "1", "nan", f"{','.join(runs.RECORD_COLUMNS)}\n")
BATCH = words(
    *(f"{key}: " for key in file.KEYS),
    *("mnist", "cifar10", f"{ROOT}/notebooks/01_mnist.ipynb", "smoke", "{", "}", "[", "]", ", ", "\n", "- ", "  "),
    *("l2: ", "seed: ", "data: ", "cores: ", "cell: ", "1e-3", "0.5", "3", "-1", ".nan", "&x ", "*x", "!!int ", "<<: "),
).map(lambda text: f"experiments: mnist\nset: {{data: stand-in}}\n{text}")
FAILURES = st.dictionaries(st.text(max_size=3), st.fixed_dictionaries({"name": JSON, "error": JSON}) | JSON, max_size=2)
STATE = st.fixed_dictionaries(
    {}, optional={"failed": FAILURES | JSON, "seconds": JSON, "running": JSON, "updated": JSON}
).map(json.dumps)
NUMBERS = ["test_accuracy", "train_accuracy", "test_loss", "seconds", "test_images", "train_images", "iterations"]
METRICS = st.fixed_dictionaries(
    {**{name: st.floats(0, 1) | st.integers(0, 9) | JSON for name in NUMBERS}, "finished": st.just("2026-11-23") | JSON}
).map(json.dumps)
FRONT = st.dictionaries(OPTION, JSON, max_size=4).map(yaml.safe_dump)
CELL_OPTIONS = YAML.map(lambda text: "\n".join(f"#| {line}" for line in text.splitlines()))
FACTS = {"title": st.text(max_size=9), "shape": st.lists(st.integers(), max_size=4), "classes": st.lists(st.text())}
FACTS |= {name: st.integers() | JSON for name in ("train_size", "test_size")}
FACTS |= {name: st.floats() | JSON for name in ("mean", "std")}
DESCRIPTION = st.fixed_dictionaries({name: known | JSON for name, known in FACTS.items()}).map(json.dumps)
SETTINGS = st.dictionaries(st.sampled_from([*ReportSettings.__dataclass_fields__, "typo"]), JSON, max_size=4).map(
    json.dumps
)
MAGIC = st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"\xff\xd8", b"BM", b"II*\0"])
PICTURE = st.tuples(MAGIC, st.binary(max_size=99)).map(b"".join) | st.sampled_from(["PNG", "JPEG", "GIF"]).map(picture)


# --- What turns bytes into what a parser takes -----------------------------------------------------------------------


def of_text(parse: Callable[[str, Path], object]) -> Callable[[bytes, Path], object]:
    """The parser of a text; bytes that are no UTF-8 become lone surrogates, as in JSON."""
    return lambda content, folder: parse(content.decode("utf-8", "surrogateescape"), folder)


def of_object(parse: Callable[[dict[str, Any]], object]) -> Callable[[bytes, Path], object]:
    """The parser of a JSON object."""

    def call(content: bytes, _: Path) -> object:
        try:
            fields = storage.parse_object(content)
        except ValueError:
            return None
        return parse(fields)

    return call


def in_file(parse: Callable[[Path], object], name: str) -> Callable[[bytes, Path], object]:
    """The parser of a file."""

    def call(content: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return parse(path)

    return call


def front_matter(text: str, folder: Path) -> object:
    """The front matter of a notebook of one cell."""
    cell = {"cell_type": "raw", "metadata": {}, "source": f"---\n{text}\n---"}
    return take_front_matter(from_dict({"cells": [cell], "metadata": {}}), folder)


def notebook_of(source: str) -> dict[str, Any]:
    """A notebook whose parameters are a Python source."""
    again = {"metadata": {"tags": []}, "source": source}
    return {"cells": [{"metadata": {"tags": ["parameters"]}, "source": source}, again], "metadata": {}}


def batch_tasks(path: Path) -> object:
    """The tasks of a batch file, none of which asks the network for data, and never so many that it takes long."""
    with (
        mock.patch.multiple(tasks.sources, resolve_source=lambda *_: "stand-in"),
        mock.patch.object(file, "MOST_TASKS", 99),
    ):
        return [task.name for task in tasks.tasks_of(file.read_batch(path))]


def batch_state(path: Path) -> object:
    """What a driver makes of the state that it finds."""
    found = state.read_state(Store(str(path.parents[2]), "study"))
    return found.alive, [failure.name + failure.error for failure in found.failed.values()], "".join(found.running)


OURS = (HwkitError,)
UNREADABLE = run_files.UNREADABLE  # what a run's files may raise, and `Run` says of which file it is

PARSERS: dict[str, Parser] = {
    "experiment": Parser(FIELDS, of_object(Experiment.from_dict), OURS),
    "option of the command line": Parser(PYTHON, of_text(lambda text, _: values.read_value(text))),
    "JSON": Parser(TEXTS, lambda content, _: storage.parse_object(content), (ValueError,)),
    "tensors": Parser(TENSORS, lambda content, _: storage.parse_tensors(content), (ValueError,)),
    "checkpoint": Parser(
        TENSORS, in_file(lambda path: run_files.read_checkpoint(path.parent), run_files.CHECKPOINT), (ValueError,)
    ),
    "metrics.json": Parser(TEXTS, in_file(lambda path: runs.load(path.parent), "metrics.json"), OURS),
    "data set": Parser(TENSORS, in_file(data.read_own, "datasets/x-000000000000.safetensors"), OURS),
    "facts": Parser(DESCRIPTION, of_object(own.checked_facts), (ValueError, KeyError, TypeError)),
    "metrics": Parser(METRICS, of_object(run_files.check_metrics), UNREADABLE),
    "environment": Parser(TEXTS, lambda content, _: runs._parse_environment(content), UNREADABLE),
    "record": Parser(CSV, lambda content, _: runs._parse_record(content), UNREADABLE),
    "results.csv": Parser(CSV, in_file(results.read_rows, "results.csv"), OURS),
    "report.toml": Parser(TOML, in_file(ReportSettings.load, "report.toml"), OURS),
    "settings": Parser(SETTINGS, of_object(ReportSettings.from_mapping), OURS),
    "front matter": Parser(YAML | FRONT, of_text(front_matter)),
    "cell options": Parser(CELL_OPTIONS, of_text(lambda text, _: celloptions.split_options(text))),
    "YAML": Parser(YAML, of_text(lambda text, _: safeyaml.parse(text)), (yaml.YAMLError,)),
    "formulas": Parser(TEX, of_text(lambda text, _: formulas.expanded(*reversed(formulas.split_macros(text))))),
    "notebook": Parser(NOTEBOOK, in_file(execute.read_notebook, "x.ipynb"), OURS),
    "parameters": Parser(PYTHON, of_text(lambda text, _: parameters.declared_by(text))),
    "lost parameters": Parser(
        PYTHON, of_text(lambda text, _: parameters.signature_of(notebook_of(text), "it").without_effect({"a", "b"}))
    ),
    "SVG": Parser(SVG, lambda content, _: images.ImageStore("").add(content, "image/svg+xml"), OURS),
    "picture": Parser(PICTURE, lambda content, _: images.ImageStore("").add(content, "image/png"), OURS),
    "batch file": Parser(BATCH, in_file(batch_tasks, "study.yaml"), OURS),
    "state of a batch": Parser(STATE, in_file(batch_state, "batches/study/state.json"), OURS),
}
