"""The progress of a batch: a table that stays up to date in a terminal, or else a line for each event."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hwkit.batch.state import State
from hwkit.batch.tasks import Task
from hwkit.batch.working import Ending
from hwkit.formats import duration

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

REDRAW_SECONDS = 0.5
LINES_LEFT = 8  # of the terminal, for all but the running tasks
ENDED_SHOWN = 4  # lines on the tasks that ended last


@dataclass
class Running:
    """A running task: since when, where, and the fraction that is done, if known."""

    task: Task
    worker: str
    since: float
    fraction: float = 0.0


@dataclass
class Progress:
    """Counts of a batch under way.

    Attributes
    ----------
    total, done, failed : numbers of tasks, those of earlier calls included.
    places : how many tasks run at a time.
    """

    name: str
    total: int
    state: State
    done: int = 0
    failed: int = 0
    places: int = 0
    dashboard: str = ""
    note: str = ""
    running: dict[str, Running] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Tasks that have not begun."""
        return max(0, self.total - self.done - self.failed - len(self.running))

    def started(self, task: Task, worker: str) -> None:
        """Note that a worker has begun a task, perhaps anew after another worker was lost."""
        self.running[task.key] = Running(task, worker, time.monotonic())

    def told(self, key: str, fraction: float) -> None:
        """Note the fraction of a task that is done."""
        if key in self.running:
            self.running[key].fraction = fraction

    def finished(self, task: Task, ending: Ending) -> str:
        """Note how a task ended; returns the line on it."""
        running = self.running.pop(task.key, None)
        if ending.state == "done":
            self.done += 1
        elif ending.state in ("failed", "died"):
            self.failed += 1
        where = f" on worker {running.worker}" if running else ""
        message = f": {ending.message}" if ending.message else ""
        line = f"{ending.state} {task.name} in {duration(ending.seconds)}{where}{message}"
        self.ended = [*self.ended[1 - ENDED_SHOWN :], line]
        return line

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, or None before the first task has ended."""
        now = time.monotonic()
        left = 0.0
        for running in self.running.values():
            so_far = now - running.since
            expected = so_far / running.fraction if running.fraction > 0.05 else self.state.expected(running.task)
            if expected is None:
                return None
            left += max(0.0, expected - so_far)
        times = self.state.seconds.values()
        count, total = sum(count for count, _ in times), sum(seconds for _, seconds in times)
        if self.waiting and not count:
            return None
        return (left + self.waiting * (total / count if count else 0.0)) / max(1, self.places)

    def summary(self) -> str:
        """The counts in one line."""
        counts = {"running": len(self.running), "waiting": self.waiting, "failed": self.failed}
        parts = [f"{self.done} of {self.total} done", *(f"{count} {what}" for what, count in counts.items() if count)]
        left = self.seconds_left() if self.running or self.waiting else None
        return ", ".join(parts if left is None else [*parts, f"about {duration(left)} left"])


def display(write: Callable[[str], None]) -> Callable[[Progress], Lines | Table]:
    """What shows progress: a table where there is a terminal, else lines, which go to `write`."""
    from rich.console import Console

    console = Console()
    return (lambda progress: Table(progress, console)) if console.is_terminal else lambda p: Lines(p, write)


class Lines:
    """Shows progress as lines, one for each event."""

    def __init__(self, progress: Progress, write: Callable[[str], None]) -> None:
        self.progress = progress
        self.write = write

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def say(self, line: str) -> None:
        """Write a line with the time."""
        self.write(f"{time.strftime('%H:%M:%S')} {line}")

    def event(self, line: str) -> None:
        """Write a line on a task."""
        progress = self.progress
        self.say(f"[{progress.done + progress.failed}/{progress.total}] {line}")

    def refresh(self) -> None:
        """Nothing stays on the screen that would have to be drawn again."""


class Table:
    """Shows progress as a table that is drawn again and again; lines scroll above it."""

    def __init__(self, progress: Progress, console: Console) -> None:
        from rich.live import Live

        self.progress = progress
        self.console = console
        self.live: Live = Live(console=console, auto_refresh=False, transient=False)
        self.drawn = 0.0

    def __enter__(self) -> Table:
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.note = self.progress.dashboard = ""  # which ends with the batch
        self.live.update(self.render(), refresh=True)
        self.live.__exit__(None, None, None)

    def say(self, line: str) -> None:
        """Write a line above the table."""
        self.console.print(line, markup=False, highlight=False)

    def event(self, line: str) -> None:
        """Failures stay on the screen; what else ended shows in the table for a while."""
        if line.startswith(("failed", "died", "started again")):
            self.say(line)

    def refresh(self) -> None:
        """Draw the table, if it is due."""
        if time.monotonic() - self.drawn > REDRAW_SECONDS:
            self.drawn = time.monotonic()
            self.live.update(self.render(), refresh=True)

    def render(self) -> Group:
        """The table: running tasks, the last ones that ended, the counts."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table as Grid
        from rich.text import Text

        progress = self.progress
        grid = Grid(box=None, expand=True, pad_edge=False, header_style="bold", show_header=bool(progress.running))
        for title, options in {
            "running": {"ratio": 3, "no_wrap": True, "overflow": "ellipsis"},
            "worker": {"no_wrap": True, "max_width": 24, "overflow": "ellipsis"},
            "time": {"justify": "right", "no_wrap": True},
            "": {"ratio": 1, "min_width": 10},
        }.items():
            grid.add_column(title, **options)
        now = time.monotonic()
        room = max(1, self.console.height - LINES_LEFT - ENDED_SHOWN)
        shown = list(progress.running.values())[:room]
        for one in shown:
            bar = ProgressBar(total=1.0, completed=one.fraction) if one.fraction else Text("")
            grid.add_row(Text(one.task.name), one.worker, duration(now - one.since), bar)
        hidden = len(progress.running) - len(shown)
        lines = [Text(f"... and {hidden} more")] if hidden else []
        lines += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in progress.ended]
        counts = Grid(box=None, expand=True, pad_edge=False, show_header=False)
        counts.add_column(no_wrap=True)
        counts.add_column(ratio=1)
        counts.add_row(
            Text(f"{progress.name}: {progress.summary()} ", style="bold"),
            ProgressBar(total=max(1, progress.total), completed=progress.done),
        )
        note = progress.note or (f"dashboard: {progress.dashboard}   Ctrl-C stops" if progress.dashboard else "")
        return Group(grid, *lines, counts, Text(note, style="dim"))
