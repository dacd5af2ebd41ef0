"""What `hwkit batch COMMAND FILE` does, apart from printing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hwkit.batch import cluster
from hwkit.batch.file import Batch, read_batch
from hwkit.batch.planning import Plan, forecast, listing, plan
from hwkit.batch.progress import Lines, Progress, Table
from hwkit.errors import HwkitError
from hwkit.formats import duration

FAILURES_SHOWN = 10


def plan_lines(path: Path) -> Iterator[str]:
    """The plan of a batch file, line by line: the tasks at once, then how long they should take."""
    found = plan(read_batch(path))
    yield from listing(found)
    yield forecast(found, _places(found.batch))


def _places(batch: Batch) -> int:
    try:
        return len(cluster.worker_environments(batch.resources, None))
    except HwkitError:  # for a cluster that has what this machine lacks
        return 1


def status_lines(path: Path) -> Iterator[str]:
    """How far a batch is: counts, what is running, what failed and why."""
    found = plan(read_batch(path))
    yield f"{found.batch.name}: {len(found.done)} of {len(found.tasks)} done, {len(found.failed)} failed"
    if found.state.alive:
        yield f"running, as last heard {duration(time.time() - found.state.updated)} ago ({len(found.state.running)}):"
        yield from (f"  {name}" for name in found.state.running)
    elif found.missing:
        yield f"not running; `hwkit batch run {path}` runs the {len(found.missing)} that are missing"
    for subject, (count, seconds) in sorted(found.state.seconds.items()):
        yield f"{subject}: {duration(seconds / count)} a task, over {count}"
    yield from failure_lines(found)


def failure_lines(found: Plan) -> Iterator[str]:
    """The failures of a batch, each with what went wrong and where more is to be read."""
    for task in found.failed[:FAILURES_SHOWN]:
        failure = found.state.failed[task.key]
        yield f"failed: {failure.name}: {failure.error}"
    if len(found.failed) > FAILURES_SHOWN:
        yield f"... and {len(found.failed) - FAILURES_SHOWN} more failures"
    keys = {task.key for task in found.failed}
    for folder, what in (("logs", "what they printed"), ("failed", "what was executed of them")):
        if keys & {name.rpartition(".")[0] for name in found.store.names(found.store.own(folder))}:
            yield f"{what} is in {found.store.own(folder)}"
    if found.failed:
        yield f"`hwkit batch retry {found.batch.path}` runs them again"


def progress_display(write: Callable[[str], None]) -> Callable[[Progress], Lines | Table]:
    """What shows progress: a table where there is a terminal, else lines, which go to `write`."""
    from rich.console import Console

    console = Console()
    return (lambda progress: Table(progress, console)) if console.is_terminal else lambda p: Lines(p, write)
