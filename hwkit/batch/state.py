"""What is known of a batch beside its results: what failed, what is running, how long tasks took.

The results themselves say what is done. `state.json` in the store holds the rest; the driver alone writes it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock

from hwkit.batch.file import Batch
from hwkit.batch.storage import Store
from hwkit.batch.tasks import Task
from hwkit.engine import files as storage
from hwkit.errors import BatchError

SAVE_SECONDS = 2.0  # at most so often is the state written while tasks end
ALIVE_SECONDS = 60.0  # a driver that has not written for longer counts as dead


@dataclass
class Failure:
    """Which task failed, why, and when."""

    name: str
    error: str
    finished: str


@dataclass
class State:
    """The content of state.json.

    Attributes
    ----------
    failed : by key.
    seconds : how long the tasks of each subject took: how many, and in all.
    running : names of the tasks under way, when last written.
    updated : when that was, seconds since 1970; 0 where no driver is at work.
    file : the batch file that is run under this name, an absolute path; "" before its first run.
    """

    failed: dict[str, Failure] = field(default_factory=dict)
    seconds: dict[str, tuple[int, float]] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    updated: float = 0.0
    file: str = ""

    @property
    def alive(self) -> bool:
        """Whether a driver seems to be at work."""
        return time.time() - self.updated < ALIVE_SECONDS

    def failures(self, tasks: list[Task]) -> dict[str, Failure]:
        """The failures of those tasks that the batch still has, by key."""
        return {task.key: self.failed[task.key] for task in tasks if task.key in self.failed}

    def took(self, task: Task, seconds: float) -> None:
        """Note how long a task took."""
        count, total = self.seconds.get(task.variant.subject, (0, 0.0))
        self.seconds[task.variant.subject] = (count + 1, round(total + seconds, 3))

    def expected(self, task: Task) -> float | None:
        """How long a task should take, from others of the same subject, or None if none has ended yet."""
        count, total = self.seconds.get(task.variant.subject, (0, 0.0))
        return total / count if count else None


@dataclass(frozen=True)
class Plan:
    """A batch and how far it is."""

    batch: Batch
    store: Store
    tasks: list[Task]
    done: set[str]
    state: State

    @property
    def failed(self) -> list[Task]:
        """The tasks that failed and have not been run again."""
        return [task for task in self.tasks if task.key in self.state.failed and task.key not in self.done]

    @property
    def missing(self) -> list[Task]:
        """The tasks without a result that have not failed."""
        return [task for task in self.tasks if task.key not in self.done and task.key not in self.state.failed]

    def of(self, tasks: list[Task]) -> Plan:
        """The plan of some of its tasks."""
        return replace(self, tasks=tasks, done=self.done.intersection(task.key for task in tasks))


def read_state(store: Store) -> State:
    """The state of a batch; an empty one if there is none, or none that can be read: then failed tasks run again."""
    try:
        content = storage.parse_object(store.read(store.own("state.json")) or b"{}")
        failed = {key: Failure(**value) for key, value in content.get("failed", {}).items()}
        seconds = {key: (int(count), float(total)) for key, (count, total) in content.get("seconds", {}).items()}
        running, updated, file = (content.get(name, default) for name, default in _REST.items())
        state = State(failed, seconds, list(running), float(updated), file)
        texts = [file, *state.running, *(text for failure in failed.values() for text in asdict(failure).values())]
        valid = all(isinstance(text, str) for text in texts) and all(
            count > 0 and 0 <= total < math.inf for count, total in seconds.values()
        )
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return State()
    return state if valid else State()


_REST: dict[str, Any] = {"running": [], "updated": 0.0, "file": ""}


def state_of(store: Store, file: Path) -> State:
    """The state of the batch of a file, which from now on has its name in the store.

    A file that was moved, or lies on another machine, keeps its batch.

    Raises
    ------
    BatchError
        If another file on this machine has it: tasks of the one could be mistaken for those of the other.
    """
    state = read_state(store)
    if state.file and _is_another(Path(state.file), file):
        raise BatchError(
            f"{file} and {state.file} would both be batch {store.batch} in {store.address}: rename one of the two, or "
            "give it a `store` of its own"
        )
    state.file = os.path.abspath(file)
    return state


def _is_another(path: Path, file: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have
        return path.is_file() and not path.samefile(file)
    return False


class StateFile:
    """Writes a state into the store, now and then."""

    def __init__(self, store: Store, state: State) -> None:
        self.store = store
        self.state = state
        self.saved_at = 0.0

    def save(self, *, now: bool = False) -> None:
        """Write the state if it is due, or at once."""
        if now or time.monotonic() - self.saved_at > SAVE_SECONDS:
            self.state.updated = time.time()
            self._write()

    def close(self) -> None:
        """Write the state as that of a batch on which no driver is at work."""
        self.state.running, self.state.updated = [], 0.0
        self._write()

    def _write(self) -> None:
        content: dict[str, Any] = asdict(self.state)
        self.store.write(self.store.own("state.json"), (json.dumps(content, indent=1) + "\n").encode())
        self.saved_at = time.monotonic()


@contextlib.contextmanager
def only_driver(store: Store) -> Iterator[None]:
    """Hold the right to run a batch; an object store and file systems without locks let anyone.

    Raises
    ------
    BatchError
        If another process is running it.
    """
    guard = None
    if store.folder:
        place = Path(store.own("state.lock"))
        place.parent.mkdir(parents=True, exist_ok=True)
        guard = filelock.FileLock(place)
        try:
            guard.acquire(timeout=0)
        except filelock.Timeout:
            raise BatchError(
                f"batch {store.batch} is running already, in this store; `hwkit batch status` shows how far it is"
            ) from None
        except NotImplementedError:
            guard = None
    try:
        yield
    finally:
        if guard is not None:
            guard.release()


def now() -> str:
    """The time, as it is written into files."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
