"""Handing the tasks of a batch to workers until all are done: what `hwkit batch run` does.

Only some tasks are with the scheduler at a time, the rest wait here: so a batch of any size starts at once, and what is
lost with a scheduler is quickly handed out again. Whether a task is done is asked of the store alone, and a worker asks
once more before it begins, so that it never matters if a task is handed out twice.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hwkit.batch import cluster
from hwkit.batch.file import Batch
from hwkit.batch.planning import plan
from hwkit.batch.progress import Lines, Progress, Table
from hwkit.batch.state import Failure, StateFile, now, only_driver
from hwkit.batch.storage import Store
from hwkit.batch.tasks import Task
from hwkit.batch.working import GRACE_SECONDS, Ending, Order, perform, stop
from hwkit.engine import code
from hwkit.errors import BatchError
from hwkit.experiment import Experiment

if TYPE_CHECKING:
    from distributed import Future

AHEAD = 3  # tasks with the scheduler for each place of a worker: one runs, the next ones are at hand
ATTEMPTS = 3  # at a task whose process is killed
WAKE_SECONDS = 0.25  # between two looks at the clock while nothing happens
COUNT_SECONDS = 5.0  # between two counts of the workers, which may come and go


def run_batch(
    batch: Batch,
    show: Callable[[Progress], Lines | Table],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    kernel: str | None = None,
    retry: bool = False,
) -> Progress:
    """Run the tasks of a batch whose results are missing.

    Parameters
    ----------
    show : makes what shows the progress.
    scheduler : address of a running Dask scheduler, such as tcp://host:8786; None starts workers on this machine.
    workers : how many workers to start here; None is as many as the machine takes.
    kernel : the name of a Jupyter kernel in place of the one that the batch names, or its notebooks.
    retry : also run those that failed before.

    Raises
    ------
    BatchError
        For what is wrong with the batch or the store, or if the scheduler goes away and does not come back.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM, after running trainings have written checkpoints.
    """
    if workers is not None and workers < 1:
        raise BatchError(f"--workers must be at least 1, not {workers}")
    if kernel and batch.kind != "notebooks":
        raise BatchError(f"--kernel {kernel} is for notebooks, and this is a batch of experiments")
    batch = replace(batch, kernel=kernel or batch.kernel)
    store = Store(batch.store, batch.name)
    with only_driver(store):
        found = plan(batch)
        state = found.state
        dropped = found.done | {task.key for task in found.tasks if retry}
        state.failed = {key: failure for key, failure in state.failed.items() if key not in dropped}
        todo = found.missing
        progress = Progress(batch.name, len(found.tasks), state, done=len(found.done), failed=len(found.failed))
        if not todo:
            return progress
        with show(progress) as shown, _workers(batch, scheduler, workers, len(todo)) as address:
            while todo:
                upload_sources(store, todo)
                run_tasks(todo, batch, address, progress, shown)
                # Of seeds until it is decided, the next ones; of others there are none.
                todo = replace(plan(batch), state=state).missing if len(batch.looks) > 1 else []
                progress.total += len(todo)
    return progress


@contextlib.contextmanager
def _workers(batch: Batch, scheduler: str | None, workers: int | None, tasks: int) -> Iterator[str]:
    """The address of a scheduler: the one that is given, or one with workers on this machine."""
    if scheduler:
        yield scheduler
        return
    if batch.kernel:
        from hwkit.report.kernels import require_kernel  # imports Jupyter's client

        require_kernel(batch.kernel)
    with cluster.local_cluster(cluster.worker_environments(batch.resources, workers)[:tasks]) as address:
        yield address


def upload_sources(store: Store, tasks: Sequence[Task]) -> None:
    """Put the notebooks, and data of the user's own, into the store, where every worker finds them."""
    for notebook in {task.notebook for task in tasks if task.notebook}:
        store.write(store.own("sources", f"{notebook.digest}.ipynb"), notebook.path.read_bytes())
    for dataset in {task.variant.work.dataset for task in tasks if isinstance(task.variant.work, Experiment)}:
        store.take_dataset(dataset)


def run_tasks(
    tasks: Sequence[Task],
    batch: Batch,
    address: str,
    progress: Progress,
    shown: Lines | Table,
    function: Callable[[Task, Order], Ending] = perform,
) -> None:
    """Run tasks on the workers of a scheduler; see `run_batch` for the errors. `function` is what a worker does."""
    store = Store(batch.store, batch.name)
    works = (task.variant.work for task in tasks)
    identities = {identity for work in works if isinstance(work, Experiment) for identity in work.own_code}
    packed = code.pack(sorted(identities)) if identities else b""
    order = Order(store, batch.limits, batch.resources.cores, batch.kernel, uuid.uuid4().hex, packed)
    driver = _Driver(tasks, batch, order, address, progress, shown, function)
    with _sigterm_as_interrupt(), contextlib.closing(StateFile(store, progress.state)) as driver.file:
        driver.run()


class _Driver:
    """Hands out tasks and receives how they ended."""

    def __init__(
        self,
        tasks: Sequence[Task],
        batch: Batch,
        order: Order,
        address: str,
        progress: Progress,
        shown: Lines | Table,
        function: Callable[[Task, Order], Ending],
    ) -> None:
        self.waiting = deque(tasks)
        self.flying: dict[str, tuple[Task, Future]] = {}
        self.batch, self.order, self.address = batch, order, address
        self.progress, self.shown, self.function = progress, shown, function
        self.heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.attempts: Counter[str] = Counter()
        self.handed_out = 0
        self.stopping = False
        self.client: Any = None  # a distributed.Client, once connected
        self.counted_at = 0.0
        self.file: StateFile

    def run(self) -> None:
        try:
            self.connect(cluster.CONNECT_SECONDS)
            while self.waiting or self.flying:
                self.hand_out()
                self.listen()
        except KeyboardInterrupt:
            self.stop()
            self.progress.running.clear()  # also of what a worker could not say to have ended within the grace period
            raise KeyboardInterrupt(
                f"stopped: {self.progress.summary()}; `hwkit batch run {self.batch.path}` continues"
            ) from None
        finally:
            if self.client:
                self.client.close(timeout=2)

    def connect(self, seconds: float) -> None:
        self.client = cluster.connect(self.address, seconds)
        self.client.subscribe_topic(self.order.session, lambda event: self.heard.put(("event", event[1])))
        self.count()
        cluster.check_workers(self.client, self.batch.resources, self.shown.say)
        self.progress.dashboard = cluster.dashboard_of(self.client)
        self.shown.event(f"{self.progress.places} at a time; dashboard: {self.progress.dashboard}")

    def count(self) -> None:
        """Update the number of tasks that the workers run at a time."""
        self.progress.places = cluster.places_of(self.client)
        self.counted_at = time.monotonic()

    def hand_out(self) -> None:
        """Keep workers supplied with tasks."""
        needs = {"GPU": self.batch.resources.gpus} if self.batch.resources.gpus and self.is_remote else None
        while self.waiting and len(self.flying) < AHEAD * max(1, self.progress.places):
            task = self.waiting.popleft()
            key = f"{task.name}-{task.key}-{uuid.uuid4().hex[:8]}"
            future = self.client.submit(
                self.function, task, self.order, key=key, resources=needs, pure=False, priority=-self.handed_out
            )  # in the file's order: of equals, Dask runs any first
            self.handed_out += 1
            self.flying[task.key] = task, future
            future.add_done_callback(lambda future, name=task.key: self.heard.put(("ended", (name, future))))

    @property
    def is_remote(self) -> bool:
        """Whether the workers are somebody else's; of our own there is one for each fraction of a GPU."""
        return not self.address.startswith(f"tcp://{cluster.LOOPBACK}")

    def listen(self) -> None:
        """Wait for events, handle those that came, and show the progress."""
        with contextlib.suppress(queue.Empty):
            kind, what = self.heard.get(timeout=WAKE_SECONDS)
            while True:
                self.hear(kind, what)
                kind, what = self.heard.get_nowait()
        if time.monotonic() - self.counted_at > COUNT_SECONDS and self.client.status == "running":
            self.count()
        self.progress.state.running = [one.task.name for one in self.progress.running.values()]
        self.file.save()
        self.shown.refresh()

    def hear(self, kind: str, what: Any) -> None:
        if kind == "event":
            self.hear_event(what)
        else:
            key, future = what
            if key in self.flying and self.flying[key][1] is future:
                self.hear_ending(key, future)

    def hear_event(self, event: dict[str, Any]) -> None:
        """A message of a worker on a running task."""
        if event["key"] not in self.flying:
            return
        task = self.flying[event["key"]][0]
        if event["event"] == "progress":
            self.progress.told(task.key, event["fraction"])
            return
        lost = self.progress.running.get(task.key)
        again = f" again, because worker {lost.worker} was lost" if lost else ""
        self.progress.started(task, event["where"])
        self.shown.event(f"started{again} {task.name} on worker {event['where']}")

    def hear_ending(self, key: str, future: Future) -> None:
        """A task has ended, or was lost together with the scheduler."""
        task, _ = self.flying.pop(key)
        if future.status in ("cancelled", "lost"):
            self.progress.running.pop(key, None)
            self.waiting.appendleft(task)
            if self.client.status != "running":
                self.reconnect()
            return
        ending = _ending_of(future)
        self.attempts[key] += 1
        if ending.state == "stopped" or (self.stopping and ending.state != "done"):  # a kill is no failure then
            self.progress.running.pop(key, None)
            self.shown.event(f"stopped {task.name}")
            return
        if ending.state == "died" and self.attempts[key] < ATTEMPTS:
            self.progress.running.pop(key, None)
            self.waiting.append(task)
            self.shown.event(f"died {task.name}: {ending.message}; it will be run again")
            return
        self.progress.state.failed.pop(key, None)
        if ending.state == "done":
            self.progress.state.took(task, ending.seconds)
        else:
            self.progress.state.failed[key] = Failure(task.name, ending.message, now())
        self.shown.event(self.progress.finished(task, ending))

    def reconnect(self) -> None:
        """Wait for a lost scheduler; its tasks are handed out again."""
        self.shown.say(f"the scheduler at {self.address} was lost; waiting for it to come back")
        self.waiting.extendleft(task for task, _ in self.flying.values())
        self.flying.clear()
        self.progress.running.clear()
        self.client.close(timeout=1)
        self.connect(cluster.RECONNECT_SECONDS)

    def stop(self) -> None:
        """Let running tasks end: trainings write a checkpoint. Another Ctrl-C does not wait for them."""
        self.stopping = True
        training = self.batch.kind == "experiments"
        left = "trainings write a checkpoint" if training else "notebooks under way will be executed again"
        self.progress.note = f"stopping: {left}; Ctrl-C again stops at once"
        self.shown.say(self.progress.note)
        if not self.client or self.client.status != "running":
            return
        self.waiting.clear()
        with contextlib.suppress(KeyboardInterrupt):
            deadline = time.monotonic() + GRACE_SECONDS
            while self.flying and time.monotonic() < deadline:
                # Repeatedly: after a SIGTERM to all processes, workers come back as new ones.
                self.client.run(stop, self.order.session, on_error="ignore")
                self.listen()


def _ending_of(future: Future) -> Ending:
    """How a task ended that Dask has done with."""
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Ending("failed", message="every worker that ran it was killed, perhaps because memory ran out")
    except Exception as error:  # whatever kept the task from being run at all
        return Ending("failed", message=f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, with which clusters end jobs, as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
