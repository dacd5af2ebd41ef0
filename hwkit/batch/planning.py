"""The state of a batch: its tasks, which of them are done and which failed, and how long the others should take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from hwkit.batch import cluster
from hwkit.batch.file import Batch
from hwkit.batch.state import Plan, state_of
from hwkit.batch.storage import Store
from hwkit.batch.tasks import Task, Variant, baselines, tasks_of
from hwkit.errors import HwkitError
from hwkit.experiment import Experiment
from hwkit.formats import duration, size

LISTED = 30  # variants
FAILURES_SHOWN = 10
SAMPLED = 4  # kinds of tasks of a batch that are timed for the forecast
NOTEBOOK_SECONDS = 5.0  # executing a notebook whose runs are there, before one has been executed
EXECUTED_BYTES = 1_000_000  # of a notebook with its figures


def plan(batch: Batch) -> Plan:
    """Look up what of a batch is done; see `tasks_of` for the errors."""
    store = Store(batch.store, batch.name)
    tasks = tasks_of(batch)
    baselines(batch, tasks)
    found = Plan(batch, store, tasks, store.done(tasks), state_of(store, batch.path))
    if len(batch.looks) == 1:
        return found
    from hwkit.batch.results import gather  # these import torch, without which other batches are planned
    from hwkit.batch.verdicts import wanted_tasks

    return found.of(wanted_tasks(gather(found)))


def listing(found: Plan) -> list[str]:
    """The plan as lines: each variant with its seeds and how many of them are done, and the totals."""
    seeds: dict[Variant, list[Task]] = {}
    for task in found.tasks:
        seeds.setdefault(task.variant, []).append(task)
    failed = Counter(task.variant for task in found.failed)
    lines = []
    for variant, tasks in list(seeds.items())[:LISTED]:
        done = sum(task.key in found.done for task in tasks)
        counts = f"{done} of {len(tasks)} done" + (f", {failed[variant]} failed" if failed[variant] else "")
        lines.append(f"  {variant.name:<48} {_seeds(tasks):<14} {counts}")
    if len(seeds) > LISTED:
        lines.append(f"  ... and {len(seeds) - LISTED} more variants")
    if len(found.batch.looks) > 1:
        *before, last = found.batch.looks
        lines.append(
            f"seeds are added until each comparison is decided: looks at {', '.join(map(str, before))} and {last} seeds"
        )
    counts = f"{len(found.done)} done, {len(found.failed)} failed, {len(found.missing)} to run"
    return [*lines, f"{len(seeds)} variants, {len(found.tasks)} tasks: {counts}", f"store: {found.store.address}"]


def forecast(found: Plan) -> str:
    """How long the missing tasks should take on this machine, and what they will leave on the disk.

    Tasks of this batch that have ended tell best. Before that, a few steps of some of the networks are timed here.
    """
    if not found.missing:
        return "nothing to run"
    kinds: dict[str, list[Task]] = {}
    for task in found.missing:
        kinds.setdefault(task.variant.subject, []).append(task)
    seconds, bytes_left, source = 0.0, 0.0, "from the tasks that have ended"
    for tasks in kinds.values():
        step = max(1, len(tasks) // SAMPLED)
        sample = tasks[::step][:SAMPLED]
        known = found.state.expected(tasks[0])
        if known is None:
            source = "an estimate"
            known = sum(_expected_seconds(task) for task in sample) / len(sample)
        seconds += known * len(tasks)
        bytes_left += sum(_expected_bytes(task) for task in sample) / len(sample) * len(tasks)
    try:
        places = len(cluster.worker_environments(found.batch.resources, None))
    except HwkitError:  # for a cluster that has what this machine lacks
        places = 1
    at_once = min(places, len(found.missing))
    what = f"about {duration(seconds / at_once)} with {at_once} at a time ({source}), about {size(bytes_left)} of disk"
    return f"expected: {what}"


def status(found: Plan) -> Iterator[str]:
    """The state of a batch as lines: counts, what is running, what failed and why."""
    batch, state = found.batch, found.state
    yield f"{batch.name}: {len(found.done)} of {len(found.tasks)} done, {len(found.failed)} failed"
    if state.alive:
        yield f"running, last update {duration(time.time() - state.updated)} ago ({len(state.running)}):"
        yield from (f"  {name}" for name in state.running)
    elif found.missing:
        yield f"not running; `hwkit batch run {batch.path}` runs the {len(found.missing)} that are missing"
    for subject, (count, seconds) in sorted(state.seconds.items()):
        yield f"{subject}: {duration(seconds / count)} a task, over {count}"
    yield from failures(found)


def failures(found: Plan) -> Iterator[str]:
    """The failures of a batch as lines: what went wrong, where to read more, and how to run them again."""
    for task in found.failed[:FAILURES_SHOWN]:
        failure = found.state.failed[task.key]
        yield f"failed: {failure.name}: {failure.error}"
    if len(found.failed) > FAILURES_SHOWN:
        yield f"... and {len(found.failed) - FAILURES_SHOWN} more failures"
    keys = {task.key for task in found.failed}
    for folder, what in (("logs", "what they printed"), ("failed", "what was executed of them")):
        if keys & {name.rpartition(".")[0] for name in found.store.names(found.store.own(folder))}:
            yield f"{what} is in {found.store.own(folder)}"
    if keys:
        yield f"`hwkit batch retry {found.batch.path}` runs them again"


def _seeds(tasks: Sequence[Task]) -> str:
    seeds = [task.seed for task in tasks if task.seed is not None]
    if not seeds:
        return ""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]}-{seeds[-1]}"
    return f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}"


def _expected_seconds(task: Task) -> float:
    from hwkit import parallel
    from hwkit.report.execute import read_notebook
    from hwkit.report.planning import planned_trainings

    if isinstance(task.variant.work, Experiment):
        return parallel.expected_seconds(task.variant.work)
    trainings = planned_trainings(read_notebook(task.variant.work.path), task.parameters)
    missing = parallel.unfinished([parallel.resolved(one) for one in trainings])
    return NOTEBOOK_SECONDS + sum(parallel.expected_seconds(one) for one in missing)


def _expected_bytes(task: Task) -> float:
    """Of a run: its weights before and after training, and the logits, all float32, and the labels of test images."""
    experiment = task.variant.work
    if not isinstance(experiment, Experiment):
        return EXECUTED_BYTES
    from hwkit import models
    from hwkit.datasets import known_facts

    weights = sum(parameter.numel() for parameter in models.build(experiment).parameters())
    return 8 * weights + (4 * len(known_facts(experiment.dataset).classes) + 8) * experiment.test_count
