"""What a batch consists of: variants, which differ in options or parameters, and for each of their seeds a task.

A task's key names its result in the store. Of a training it is the name of the run's folder; of a notebook the name of
the executed notebook, with a digest of the notebook's text and all of its parameters: a notebook that was changed is
another one and is executed again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hwkit.batch.file import Batch
from hwkit.datasets import sources
from hwkit.errors import ExperimentError, HwkitError, ParameterError, did_you_mean
from hwkit.experiment import Experiment, named_experiment, option_names, read_code
from hwkit.report.execute import read_notebook
from hwkit.report.parameters import Signature, signature_of
from hwkit.report.values import canonical, show_value

LONGEST_NAME = 80  # bytes of a notebook's name, and of its parameters, in a file's name, which has 255


@dataclass(frozen=True)
class NotebookSource:
    """A notebook to execute: where it came from, and its text, by whose digest the store knows it."""

    path: Path
    digest: str


@dataclass(frozen=True, eq=False)
class Variant:
    """What is run with several seeds.

    Attributes
    ----------
    subject : name of the experiment, or of the notebook without its ending, with as many of its folders as it takes to
        tell it from the batch's other notebooks.
    options : in what it differs from other variants of the same subject.
    in_grid : whether these are a point of the grid, not a row beside it.
    work : the experiment to train, with the seed that it has without `seeds`, or the notebook to execute.
    parameters : all parameters of the notebook but the seed.
    """

    subject: str
    options: dict[str, Any]
    in_grid: bool
    work: Experiment | NotebookSource
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The subject, with the options in brackets."""
        listed = ", ".join(f"{name}={show_value(value)}" for name, value in self.options.items())
        return f"{self.subject}[{listed}]" if listed else self.subject


class Task(NamedTuple):
    """One training or one execution. `seed` is None where a notebook is given none."""

    variant: Variant
    seed: int | None
    key: str

    @property
    def name(self) -> str:
        """What people read: the variant and the seed."""
        return self.variant.name if self.seed is None else f"{self.variant.name} seed {self.seed}"

    @property
    def experiment(self) -> Experiment | None:
        """What the task trains; None for a notebook."""
        work = self.variant.work
        return work.replace(seed=self.seed) if isinstance(work, Experiment) else None

    @property
    def notebook(self) -> NotebookSource | None:
        """What the task executes; None for a training."""
        return self.variant.work if isinstance(self.variant.work, NotebookSource) else None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the task's notebook is given."""
        return self.variant.parameters if self.seed is None else {**self.variant.parameters, "seed": self.seed}


def tasks_of(batch: Batch) -> list[Task]:
    """The tasks of a batch in the order of its file, each result once.

    Raises
    ------
    BatchError
        If an experiment does not take an option or its value, or a notebook a parameter; it names the line.
    DataError
        If a data set that is asked for is neither here nor can be downloaded.
    """
    resolve = functools.cache(sources.resolve_source)  # decided here, for all workers
    variants = _trainings(batch, resolve) if batch.kind == "experiments" else _executions(batch, resolve)
    once: dict[str, Task] = {}
    for variant in variants:
        for task in _seeded(variant, batch.seeds):
            once.setdefault(task.key, task)
    return list(once.values())


def _seeded(variant: Variant, seeds: Sequence[int] | None) -> Iterator[Task]:
    if isinstance(variant.work, Experiment):
        seeds = seeds or (variant.work.seed,)
        dataset = variant.work.dataset_name
        for seed, fingerprint in zip(seeds, variant.work.fingerprints(seeds), strict=True):
            yield Task(variant, seed, f"{dataset}-{fingerprint}")
    else:
        for seed in seeds or (None,):
            yield Task(variant, seed, _notebook_key(variant, variant.work.digest, seed))


def baselines(batch: Batch, tasks: Sequence[Task]) -> dict[Variant, Variant]:
    """The baseline of each other variant; empty if the batch names none.

    A label names one variant for all. Parameters name one of each subject, with which its others are compared.

    Raises
    ------
    BatchError
        If there is no such variant, or parameters fit several of a subject.
    """
    variants = list(dict.fromkeys(task.variant for task in tasks))
    if batch.baseline is None:
        return {}
    if isinstance(batch.baseline, str):
        named = {variant.name: variant for variant in variants}
        if batch.baseline not in named:
            raise batch.error(
                ("baseline",), f"there is no variant {batch.baseline!r}; {did_you_mean(batch.baseline, named)}"
            )
        return {variant: named[batch.baseline] for variant in variants if variant.name != batch.baseline}
    found: dict[Variant, Variant] = {}
    wanted = batch.baseline.items()
    for subject in dict.fromkeys(variant.subject for variant in variants):
        own = [variant for variant in variants if variant.subject == subject]
        exact = [one for one in own if one.options == batch.baseline]
        fitting = exact or [
            one for one in own if all(name in one.options and one.options[name] == v for name, v in wanted)
        ]
        if len(fitting) != 1:
            listed = ", ".join(one.name for one in (fitting or own)[:5])
            problem = f"fits {len(fitting)} variants: {listed}" if fitting else f"fits no variant; there are: {listed}"
            raise batch.error(("baseline",), f"{problem}; it must fit one variant of {subject}")
        found |= {one: fitting[0] for one in own if one is not fitting[0]}
    return found


# --- Experiments ------------------------------------------------------------------------------------------------


def _trainings(batch: Batch, resolve: Callable[[str, str], str]) -> Iterator[Variant]:
    """The batch's variants of experiments."""
    known = option_names()
    for key in (key for key, section in batch.sections() for key in ((*key, name) for name in section)):
        if key[-1] not in known:
            raise batch.error(key, f"not an option of experiments; {did_you_mean(key[-1], known)}")
    build = _Builder(batch)
    for subject in batch.subjects:
        for key, point in batch.points():
            try:
                experiment = build(subject, {**batch.common, **point})
            except ExperimentError as error:
                raise batch.error(*_blamed(build, subject, key, point, error)) from None
            source = resolve(experiment.dataset, experiment.data)
            if source != experiment.data:
                experiment = experiment.replace(data=source)
            yield Variant(subject, point, key == ("grid",), experiment)


class _Builder:
    """Makes experiments of options; a network of the user's own is loaded once, and tried on each data set."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.load = functools.cache(functools.partial(read_code, folder=batch.path.parent))
        self.tried: set[tuple[str, str]] = set()

    def __call__(self, subject: str, options: Mapping[str, Any]) -> Experiment:
        loaded = {name: self.load(name, one) if isinstance(one, str) else one for name, one in options.items()}
        experiment = named_experiment(subject, self.batch.profile or "quick", **loaded)
        network = experiment.model, experiment.dataset
        if experiment.model and network not in self.tried:
            from hwkit import models  # imports torch, without which other batches are read

            models.check(experiment)
            self.tried.add(network)
        return experiment


def _blamed(
    build: _Builder, subject: str, key: tuple[Any, ...], point: Mapping[str, Any], error: ExperimentError
) -> tuple[tuple[Any, ...], str]:
    """The key path that an error comes from and its message: one value where one is enough, else the whole point."""
    batch = build.batch
    for section, options in ((("set",), batch.common), (key, point)):
        for name, value in options.items():
            try:
                build(subject, {name: value})
            except ExperimentError as alone:
                if str(alone) != str(error):
                    continue
                if section == ("grid",):
                    return ("grid", name, batch.grid[name].index(value)), f"{subject}: {error}"
                return (*section, name), f"{subject}: {error}"
    listed = ", ".join(f"{name}={value!r}" for name, value in point.items())
    return key, f"{subject} with {listed}: {error}"


# --- Notebooks --------------------------------------------------------------------------------------------------


def _executions(batch: Batch, resolve: Callable[[str, str], str]) -> Iterator[Variant]:
    """The batch's variants of notebooks."""
    paths = [Path(subject) for subject in batch.subjects]
    notebooks = [_read(batch, *one) for one in zip(range(len(paths)), paths, distinct_names(paths), strict=True)]
    for subject, source, signature, datasets in notebooks:
        converted = _converted(batch, signature)
        fixed = {} if batch.profile is None else {"profile": batch.profile}
        for key, point in converted.points():
            given = {**fixed, **converted.common, **point}
            if datasets and "data" in signature.known and given.get("data", "auto") in sources.SOURCES:
                # One kernel must not draw a stand-in while another has downloaded the real data.
                found = [resolve(dataset, given.get("data", "auto")) for dataset in datasets]
                given["data"] = "stand-in" if "stand-in" in found else "real"
            yield Variant(subject, point, key == ("grid",), source, given)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """For each file its name without the ending, after as many of its folders as it takes to tell it from the others.

    Examples
    --------
    >>> distinct_names([Path("a/hw.ipynb"), Path("b/hw.ipynb"), Path("b/other.ipynb")])
    ['a/hw', 'b/hw', 'other']
    """
    whole = [path.with_suffix("").parts for path in paths]
    if len(set(whole)) < len(whole):  # files that differ in their ending alone
        whole = [path.parts for path in paths]
    names = []
    for parts in whole:
        others = [one for one in whole if one != parts]
        length = next(n for n in range(1, len(parts) + 1) if all(one[-n:] != parts[-n:] for one in others))
        names.append(str(PurePosixPath(*parts[-length:])))
    return names


def _read(batch: Batch, number: int, path: Path, subject: str) -> tuple[str, NotebookSource, Signature, list[str]]:
    """A notebook of the batch: its subject, its text, what parameters it takes, and the data sets that it needs."""
    try:
        content = read_notebook(path)
    except HwkitError as error:
        key = ("notebooks", number)
        raise batch.error(key if key in batch.lines else key[:1], str(error)) from None
    source = NotebookSource(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    signature = signature_of(content, f"notebook {subject}{path.suffix}")
    return subject, source, signature, content["metadata"].get("hwkit", {}).get("datasets", [])


def _converted(batch: Batch, signature: Signature) -> Batch:
    """The batch with the values that a notebook is to get.

    Raises
    ------
    BatchError
        If the notebook has no such parameter, or one of another type, or would compute with another value.
    """

    def convert(key: tuple[Any, ...], name: str, value: Any) -> Any:
        try:
            return signature.convert(name, value)
        except ParameterError as error:
            whole = name not in signature.known and key[0] == "grid"  # not one of its values is wrong, but the name
            raise batch.error(key[:-1] if whole else key, str(error)) from None

    def convert_all(section: Mapping[str, Any], *key: Any) -> dict[str, Any]:
        return {name: convert((*key, name), name, value) for name, value in section.items()}

    always: dict[str, tuple[Any, ...]] = {name: ("set", name) for name in batch.common}
    if batch.profile is not None:
        convert(("profile",), "profile", batch.profile)
        always["profile"] = ("profile",)
    if batch.seeds is not None:
        convert(("seeds",), "seed", batch.seeds[0])
        always["seed"] = ("seeds",)
    converted = dataclasses.replace(
        batch,
        common=convert_all(batch.common, "set"),
        grid={
            name: [convert(("grid", name, number), name, value) for number, value in enumerate(values)]
            for name, values in batch.grid.items()
        },
        rows=tuple(convert_all(row, "rows", number) for number, row in enumerate(batch.rows)),
    )
    for key, names in [*([(("grid",), batch.grid)] if batch.grid or not batch.rows else []), *batch.sections()[2:]]:
        keys = {**always, **{name: (*key, name) for name in names}}
        for name, problem in signature.without_effect(keys).items():
            raise batch.error(keys[name], problem)
    return converted


def _notebook_key(variant: Variant, digest: str, seed: int | None) -> str:
    """The name of the executed notebook: subject, what it differs in, seed, and a digest of all that decides it."""
    seeded = {} if seed is None else {"seed": seed}
    shown = "-".join(f"{name}={show_value(value)}" for name, value in {**variant.options, **seeded}.items())
    name = _cut(variant.subject.replace("/", "_"))
    # The same text in another folder is another notebook.
    where = [] if name == variant.subject else [variant.subject]
    text = json.dumps([digest, json.loads(canonical({**variant.parameters, **seeded})), *where])
    return "-".join(filter(None, [name, _file_name(shown), hashlib.sha256(text.encode()).hexdigest()[:10]]))


_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+-]+")


def _file_name(text: str) -> str:
    return _cut(_UNSAFE.sub("_", text))


def _cut(text: str) -> str:
    """The beginning of a text that has at most `LONGEST_NAME` bytes of UTF-8, in whole characters."""
    return text.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")
