"""The batch file: YAML that says what to run, read and checked before anything starts.

Errors name the file, the line and the key. Whether the options fit the experiments, and the parameters the notebooks,
is checked by `tasks`, which knows the lines from here.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hwkit.engine import files as storage
from hwkit.errors import BatchError, did_you_mean
from hwkit.experiment import EXPERIMENTS, PROFILES
from hwkit.export import safeyaml
from hwkit.paths import store_root
from hwkit.report.plainyaml import Loader

KEYS = ("experiments", "notebooks", "profile", "model", "seeds", "set", "grid", "rows")
KEYS += ("baseline", "resources", "limits", "store", "kernel")
LARGEST_SEED = 2**32 - 1
LARGEST_FILE = 2**20  # bytes; a row takes about 40
MOST_TASKS = 1_000_000
UNTIL_DECIDED = {"from": 3, "step": 3, "at_most": 12}  # seeds, where the file says no more
MOST_LOOKED_AT = 100


@dataclass(frozen=True)
class Resources:
    """What one task takes: CPU cores, and GPUs (0.25 is four tasks at a time on each; None is none asked for)."""

    cores: int = 1
    gpus: float | None = None


@dataclass(frozen=True)
class Limits:
    """Seconds after which a notebook's cell, or a task as a whole, has failed; None is no limit."""

    cell: int | None = None
    task: int | None = None


@dataclass(frozen=True)
class Batch:
    """A batch file's content.

    Attributes
    ----------
    path : the file.
    kind : "experiments" or "notebooks".
    subjects : names of experiments, or paths of notebooks, relative ones from the file's folder.
    profile : how long to train; None leaves it to the notebooks.
    seeds : None where the file gives none.
    looks : numbers of seeds after which results are compared with the baseline; several if seeds are added.
    baseline : the label of a variant, or options or parameters that tell it from its subject's others.
    common : options or parameters of every task, the network that `model` names among them.
    grid : options or parameters, each with its values; every combination is run.
    rows : further combinations, which may say otherwise than `common`.
    lines : line numbers by key path, such as ("grid", "l2", 1).
    store : where results go, an absolute path or an address.
    kernel : the name of a Jupyter kernel in place of those that notebooks name.
    """

    path: Path
    kind: str
    subjects: tuple[str, ...]
    profile: str | None
    seeds: tuple[int, ...] | None
    looks: tuple[int, ...]
    baseline: str | dict[str, Any] | None
    common: dict[str, Any]
    grid: dict[str, list[Any]]
    rows: tuple[dict[str, Any], ...]
    resources: Resources
    limits: Limits
    store: str
    kernel: str | None
    lines: dict[tuple[Any, ...], int]

    @property
    def name(self) -> str:
        """What the batch is called: its file's name without the ending."""
        return self.path.stem

    def points(self) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """What the tasks differ in, each with the key path that it comes from: the grid's points, then the rows."""
        if self.grid or not self.rows:
            for values in itertools.product(*self.grid.values()):
                yield ("grid",), dict(zip(self.grid, values, strict=True))
        for number, row in enumerate(self.rows):
            yield ("rows", number), row

    def sections(self) -> list[tuple[tuple[Any, ...], Mapping[str, Any]]]:
        """All that gives options or parameters, each with its key path: `set`, the grid, and the rows."""
        return [
            (("set",), self.common),
            (("grid",), self.grid),
            *((("rows", n), row) for n, row in enumerate(self.rows)),
        ]

    def error(self, key: tuple[Any, ...], message: str) -> BatchError:
        """An error that names file, line and key; of a key that the file does not hold, the line of what holds it."""
        if key == ("set", "model") and ("model",) in self.lines:
            key = ("model",)
        held = next(key[:end] for end in range(len(key), -1, -1) if key[:end] in self.lines)
        return _error(self.path, self.lines[held], key, message)


def read_batch(path: Path) -> Batch:
    """Read and check a batch file.

    Raises
    ------
    BatchError
        If it cannot be read, is too long or not YAML, or has an unknown key or a value of the wrong kind.
    """
    if path.name.startswith("."):  # "...yaml" would name the folder above that of all batches
        raise BatchError(f"batch file {path}: a batch is named after its file, and its name must not begin with a dot")
    try:
        text = storage.read_bytes(path, LARGEST_FILE).decode("utf-8")
    except OSError as error:
        raise BatchError(f"batch file {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BatchError(f"batch file {path} is not UTF-8 text") from None
    except ValueError as error:
        raise BatchError(f"batch file {path} cannot be read: {error}") from None
    reader = _Reader(path)
    content = reader.read(text)
    return reader.batch(content)


class _Reader:
    """Turns the text of a batch file into a `Batch`, remembering the line of every key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[tuple[Any, ...], int] = {(): 1}

    def read(self, text: str) -> dict[str, Any]:
        """The file's content as plain values."""
        try:
            with safeyaml.errors_of_yaml():
                loader = Loader(text)
                node = loader.get_single_node()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            raise _error(self.path, mark.line + 1 if mark else 1, (), f"is not YAML: {_problem_of(error)}") from None
        content = None if node is None else self._plain(loader, node, ())
        if not isinstance(content, dict):
            raise self.error((), f"must hold keys with values; known: {', '.join(KEYS)}")
        return content

    def _plain(self, loader: Any, node: yaml.Node, key: tuple[Any, ...]) -> Any:
        """A YAML node as dictionaries, lists, texts and numbers; the line of each is noted under its key path."""
        self.lines[key] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, item, (*key, number)) for number, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            try:
                with safeyaml.errors_of_yaml():
                    return loader.construct_object(node)
            except yaml.YAMLError as error:  # such as of the date 2026-99-99
                raise self.error(key, f"is not a value: {_problem_of(error)}") from None
        content: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode) or not name.isidentifier():
                raise _error(self.path, line, key, "a key must be a word")
            if name in content:
                raise _error(self.path, line, (*key, name), "is given twice; leave one out")
            content[name] = self._plain(loader, value_node, (*key, name))
            self.lines[(*key, name)] = line
        return content

    def error(self, key: tuple[Any, ...], message: str) -> BatchError:
        return _error(self.path, self.lines.get(key, 1), key, message)

    def batch(self, content: dict[str, Any]) -> Batch:
        for name in content:
            if name not in KEYS:
                raise self.error((name,), f"unknown key; {did_you_mean(name, KEYS)}")
        kinds = [name for name in ("experiments", "notebooks") if name in content]
        if len(kinds) != 1:
            raise self.error((), "must name either `experiments` or `notebooks`, not both")
        kind = kinds[0]
        subjects = self._subjects(kind, content[kind])
        profile = content.get("profile", "quick" if kind == "experiments" else None)
        if profile is not None and profile not in PROFILES:
            raise self.error(("profile",), f"unknown profile {profile!r}; {did_you_mean(profile, PROFILES)}")
        common = {**self._model(kind, content), **self._options(("set",), content.get("set", {}))}
        grid = self._grid(content.get("grid", {}))
        rows = content.get("rows", [])
        if not isinstance(rows, list) or ("rows" in content and not rows):
            raise self.error(("rows",), f"must be a list such as [{{l2: 0.01}}, {{width: 2}}], not {rows!r}")
        rows = tuple(self._options(("rows", number), row) for number, row in enumerate(rows))
        seeds, looks = self._seeds(content.get("seeds"))
        baseline = content.get("baseline")
        if baseline is not None and not isinstance(baseline, str):
            baseline = self._options(("baseline",), baseline)
        if len(looks) > 1 and baseline is None:
            raise self.error(("seeds",), "until decided needs a `baseline`, against which it is decided")
        batch = Batch(
            path=self.path,
            kind=kind,
            subjects=subjects,
            profile=profile,
            seeds=seeds,
            looks=looks,
            baseline=baseline,
            common=common,
            grid=grid,
            rows=rows,
            resources=Resources(**self._numbers("resources", content, {"cores": int, "gpus": float})),
            limits=Limits(**self._numbers("limits", content, {"cell": int, "task": int})),
            store=self._store(content.get("store")),
            kernel=self._kernel(kind, content.get("kernel")),
            lines=self.lines,
        )
        self._require_given_once(batch)
        points = (math.prod(map(len, grid.values())) if grid or not rows else 0) + len(rows)
        count = len(subjects) * points * len(seeds or [0])
        if count > MOST_TASKS:
            raise self.error((), f"asks for {count} tasks; the limit is {MOST_TASKS}")
        return batch

    def _subjects(self, kind: str, value: Any) -> tuple[str, ...]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise self.error((kind,), f"must be a name or a list of names, not {value!r}")
        for number, name in enumerate(names):
            if kind == "experiments" and name not in EXPERIMENTS:
                message = f"unknown experiment {name!r}; {did_you_mean(name, EXPERIMENTS)}"
                raise self.error((kind, number) if isinstance(value, list) else (kind,), message)
        if kind == "notebooks":
            names = [os.path.abspath(self.path.parent / Path(name).expanduser()) for name in names]
        return tuple(dict.fromkeys(names))

    def _model(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """`model: mynets.py:Net` as an option of all tasks."""
        if "model" not in content:
            return {}
        if kind != "experiments" or not isinstance(content["model"], str):
            wanted = (
                "a class in a file, such as mynets.py:Net" if kind == "experiments" else "left out: notebooks have none"
            )
            raise self.error(("model",), f"must be {wanted}, not {content['model']!r}")
        if "model" in content.get("set", {}):
            raise self.error(("model",), "is in `set` already; leave one of the two out")
        return {"model": content["model"]}

    def _options(self, key: tuple[Any, ...], value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(key, f"must hold names with values, such as {{l2: 0.01}}, not {value!r}")
        return value

    def _grid(self, value: Any) -> dict[str, list[Any]]:
        for name, values in self._options(("grid",), value).items():
            if not isinstance(values, list) or not values:
                raise self.error(("grid", name), f"must be a list such as [0, 0.001], not {values!r}")
        return value

    def _seeds(self, value: Any) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
        """The seeds, and after how many of them one looks at the results."""
        if value is None:
            return None, (1,)
        if _is_whole(value) and 1 <= value <= MOST_TASKS:
            return tuple(range(value)), (value,)
        if isinstance(value, list) and value and all(_is_whole(seed) and 0 <= seed <= LARGEST_SEED for seed in value):
            seeds = tuple(dict.fromkeys(value))
            return seeds, (len(seeds),)
        if value == "until-decided" or isinstance(value, dict):
            given = {"until": "decided", **UNTIL_DECIDED, **(value if isinstance(value, dict) else {})}
            first, step, most = (given[name] for name in UNTIL_DECIDED)
            valid = given["until"] == "decided" and len(given) == 4 and all(map(_is_whole, (first, step, most)))
            # With longer steps than the first one, looks are less correlated than Pocock's bounds assume.
            if valid and 3 <= first <= most <= MOST_LOOKED_AT and 1 <= step <= first:
                looks = tuple(range(first, most + 1, step))
                return tuple(range(looks[-1])), looks
            shown = ", ".join(f"{name}: {number}" for name, number in UNTIL_DECIDED.items())
            raise self.error(
                ("seeds",),
                f"must be such as {{until: decided, {shown}}}, from 3 seeds or more in steps that are no longer, "
                f"and {MOST_LOOKED_AT} at most, not {value!r}",
            )
        known = f"a number such as 5 (up to {MOST_TASKS}), a list of seeds from 0 to {LARGEST_SEED}, or until-decided"
        raise self.error(("seeds",), f"must be {known}, not {value!r}")

    def _numbers(self, section: str, content: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
        values = self._options((section,), content.get(section, {}))
        for name, value in values.items():
            if name not in kinds:
                raise self.error((section, name), f"unknown key; {did_you_mean(name, kinds)}")
            whole = kinds[name] is int
            valid = _is_whole(value) if whole else isinstance(value, int | float) and not isinstance(value, bool)
            if not valid or not 0 < value < math.inf:
                raise self.error((section, name), f"must be a {'whole ' * whole}number above 0, not {value!r}")
        return values

    def _store(self, value: Any) -> str:
        if value is None:
            return str(store_root().absolute())
        if not isinstance(value, str) or not value or "::" in value:
            raise self.error(("store",), f"must be a folder or an address such as s3://bucket/runs, not {value!r}")
        return value.rstrip("/") if "://" in value else str((self.path.parent / Path(value).expanduser()).absolute())

    def _kernel(self, kind: str, value: Any) -> str | None:
        if value is not None and (kind != "notebooks" or not isinstance(value, str)):
            wanted = "the name of a Jupyter kernel" if kind == "notebooks" else "left out: experiments have none"
            raise self.error(("kernel",), f"must be {wanted}, not {value!r}")
        return value

    def _require_given_once(self, batch: Batch) -> None:
        """Raise BatchError where two keys say the same thing: in the grid and in `set`, or seed and seeds."""
        reserved = {"profile": "profile" if ("profile",) in self.lines else None, "seed": batch.seeds}
        for key, section in batch.sections():
            for name in section:
                if reserved.get(name) is not None:
                    other = "seeds" if name == "seed" else name
                    raise self.error((*key, name), f"is given by `{other}` already; leave one of the two out")
                if key == ("grid",) and name in batch.common:
                    raise self.error((*key, name), "is in `set` already; leave one of the two out")


def _problem_of(error: yaml.YAMLError) -> str:
    return " ".join((getattr(error, "problem", None) or str(error)).split())


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _error(path: Path, line: int, key: tuple[Any, ...], message: str) -> BatchError:
    named = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")
    return BatchError(f"{path}, line {line}: {f'{named}: ' if named else ''}{message}")
