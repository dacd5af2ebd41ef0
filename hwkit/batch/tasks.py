"""What a batch consists of: variants, which differ in options or parameters, and for each of their seeds a task.

A task's key names its result in the store. Of a training it is the name of the run's folder; of a notebook the name of
the executed notebook, with a digest of the notebook's text and all of its parameters: a notebook that was changed is
another one and is executed again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hwkit.batch.file import Batch
from hwkit.batch.parameters import Parameter, declared_parameters
from hwkit.datasets import sources
from hwkit.errors import ExperimentError, HwkitError, did_you_mean
from hwkit.experiment import Experiment, named_experiment, option_names
from hwkit.report.execute import read_notebook

LONGEST_NAME = 80  # characters of parameters in a file's name


@dataclass(frozen=True)
class NotebookSource:
    """A notebook to execute: where it came from, and its text, by whose digest the store knows it."""

    path: Path
    digest: str
    parameters: Mapping[str, Parameter] = field(hash=False)
    data: Mapping[str, str] = field(hash=False)  # what `data` becomes, where the notebook has such a parameter


@dataclass(frozen=True, eq=False)
class Variant:
    """What is run with several seeds.

    Attributes
    ----------
    subject : name of the experiment, or of the notebook without its ending.
    options : in what it differs from other variants of the same subject.
    experiment : what to train, with the seed that it has without `seeds`; None for a notebook.
    notebook : what to execute; None for an experiment.
    parameters : all parameters of the notebook but the seed.
    """

    subject: str
    options: dict[str, Any]
    experiment: Experiment | None = None
    notebook: NotebookSource | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The subject, with the options in brackets."""
        listed = ", ".join(f"{name}={short_text(value)}" for name, value in self.options.items())
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
    def experiment(self) -> Experiment:
        """What the task trains."""
        return self.variant.experiment.replace(seed=self.seed)

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
    variants = _trainings(batch) if batch.kind == "experiments" else _executions(batch)
    once: dict[str, Task] = {}
    for variant in variants:
        for task in _seeded(variant, batch.seeds):
            once.setdefault(task.key, task)
    return list(once.values())


def _seeded(variant: Variant, seeds: Sequence[int] | None) -> Iterator[Task]:
    if variant.experiment is not None:
        seeds = seeds or (variant.experiment.seed,)
        dataset = variant.experiment.dataset_name
        for seed, fingerprint in zip(seeds, variant.experiment.fingerprints(seeds), strict=True):
            yield Task(variant, seed, f"{dataset}-{fingerprint}")
    else:
        for seed in seeds or (None,):
            yield Task(variant, seed, _notebook_key(variant, seed))


# --- Experiments ------------------------------------------------------------------------------------------------


def _trainings(batch: Batch) -> Iterator[Variant]:
    """The batch's variants of experiments; the data source is decided here, for all workers."""
    found: dict[tuple[str, str], str] = {}

    def decided(dataset: str, source: str) -> str:
        if (dataset, source) not in found:
            found[dataset, source] = sources.resolve_source(dataset, source)
        return found[dataset, source]

    _check_options(batch)
    for subject in batch.subjects:
        for key, point in batch.points():
            options = {**batch.common, **point}
            try:
                experiment = named_experiment(subject, batch.profile, **options)
            except ExperimentError as error:
                raise batch.error(*_blamed(batch, subject, key, point, error)) from None
            source = decided(experiment.dataset, experiment.data)
            if source != experiment.data:
                experiment = experiment.replace(data=source)
            yield Variant(subject, point, experiment=experiment)


def _check_options(batch: Batch) -> None:
    """Raise BatchError if an experiment has no such option."""
    known = option_names()
    for key in _given(batch):
        if key[-1] not in known:
            raise batch.error(key, f"experiments have no such option; {did_you_mean(key[-1], known)}")


def _blamed(
    batch: Batch, subject: str, key: tuple[Any, ...], point: Mapping[str, Any], error: ExperimentError
) -> tuple[tuple[Any, ...], str]:
    """The key path that an error comes from and its message: one value where one is enough, else the whole point."""
    for section, options in ((("set",), batch.common), (key, point)):
        for name, value in options.items():
            try:
                named_experiment(subject, batch.profile, **{name: value})
            except ExperimentError as alone:
                if str(alone) != str(error):
                    continue
                if section == ("grid",):
                    return ("grid", name, batch.grid[name].index(value)), f"{subject}: {error}"
                return (*section, name), f"{subject}: {error}"
    listed = ", ".join(f"{name}={value!r}" for name, value in point.items())
    return key, f"{subject} with {listed}: {error}"


# --- Notebooks --------------------------------------------------------------------------------------------------


def _executions(batch: Batch) -> Iterator[Variant]:
    """The batch's variants of notebooks."""
    notebooks = [_read_source(batch, number) for number in range(len(batch.subjects))]
    fixed = {} if batch.profile is None else {"profile": batch.profile}
    for notebook in notebooks:
        _check_parameters(batch, notebook)
    for notebook in notebooks:
        for _, point in batch.points():
            given = {**fixed, **batch.common, **point}
            data = notebook.data.get(given.get("data", "auto"))
            if data:
                given["data"] = data
            yield Variant(notebook.path.stem, point, notebook=notebook, parameters=given)


def _read_source(batch: Batch, number: int) -> NotebookSource:
    path = Path(batch.subjects[number])
    try:
        content = read_notebook(path)
    except HwkitError as error:
        key = ("notebooks", number)
        raise batch.error(key if key in batch.lines else key[:1], str(error)) from None
    parameters = declared_parameters(content)
    datasets = content["metadata"].get("hwkit", {}).get("datasets", [])
    data = {}
    if datasets and "data" in parameters:
        # One kernel must not draw a stand-in while another has downloaded the real data.
        asked = {batch.common.get("data", "auto"), *batch.grid.get("data", []), *(r.get("data") for r in batch.rows)}
        for source in asked & set(sources.SOURCES):
            found = {sources.resolve_source(name, source) for name in datasets}
            data[source] = "stand-in" if "stand-in" in found else "real"
    return NotebookSource(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16], parameters, data)


def _check_parameters(batch: Batch, notebook: NotebookSource) -> None:
    """Raise BatchError if the notebook has no such parameter, or one of another type."""
    known = notebook.parameters
    named = f"notebook {notebook.path.name}"
    listed = ", ".join(f"{name} ({parameter.type or 'any'})" for name, parameter in known.items()) or "none at all"
    if batch.profile is not None:
        _require(batch, ("profile",), "profile" in known, f"{named} has no parameter profile; known: {listed}")
    if batch.seeds is not None:
        _require(batch, ("seeds",), "seed" in known, f"{named} has no parameter seed; known: {listed}")
    for key, value in _given(batch).items():
        name = key[-1]
        if name not in known:
            raise batch.error(key, f"{named} has no parameter {name!r}; {did_you_mean(name, known)}")
        values = value if key[0] == "grid" else [value]
        for number, one in enumerate(values):
            if not known[name].takes(one):
                place = (*key, number) if key[0] == "grid" else key
                raise batch.error(place, f"{named} takes {known[name].type} here, not {one!r}; known: {listed}")


def _require(batch: Batch, key: tuple[Any, ...], holds: bool, message: str) -> None:
    if not holds:
        raise batch.error(key, message)


def _notebook_key(variant: Variant, seed: int | None) -> str:
    """The name of the executed notebook: subject, what it differs in, seed, and a digest of all that decides it."""
    seeded = {} if seed is None else {"seed": seed}
    shown = "-".join(f"{name}={short_text(value)}" for name, value in {**variant.options, **seeded}.items())
    text = json.dumps([variant.notebook.digest, {**variant.parameters, **seeded}], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return "-".join(filter(None, [variant.subject, _file_name(shown), digest]))


# --- Shared -----------------------------------------------------------------------------------------------------


def _given(batch: Batch) -> dict[tuple[Any, ...], Any]:
    """Every option or parameter that the batch gives, by key path; those of the grid with a list of values."""
    sections: dict[tuple[Any, ...], Mapping[str, Any]] = {("set",): batch.common, ("grid",): batch.grid}
    sections |= {("rows", number): row for number, row in enumerate(batch.rows)}
    return {(*key, name): value for key, section in sections.items() for name, value in section.items()}


def short_text(value: Any) -> str:
    """A value as a terminal and a report may show it."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if text.isprintable() else repr(value)


_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+-]+")


def _file_name(text: str) -> str:
    return _UNSAFE.sub("_", text)[:LONGEST_NAME]
