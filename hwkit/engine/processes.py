"""Jobs side by side, each in a process of its own; on Linux such a process is ready in milliseconds.

A process that imports PyTorch and pandas, and for notebooks matplotlib and IPython, is seconds old before it does any
work. Python's fork server imports them once; a fork of it takes milliseconds. The server itself never computes, so its
forks start without threads and without a CUDA context. On other systems processes are spawned, and import for
themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from hwkit.errors import HwkitError, ProcessDied

# What the processes of this package use, with all that these import in turn. The last one loads data sets.
PRELOADED = [
    "torch",
    "pandas",
    "seaborn",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "papermill",
    "hwkit.findings.sentences",
]
PRELOADED += ["hwkit.preloaded"]
DATASETS = "HWKIT_PRELOADED_DATASETS"  # the environment variable that tells the server their names
TICK = 0.2  # seconds between two calls of `on_tick`
INLINE = "module://matplotlib_inline.backend_inline"


@dataclass(frozen=True)
class Job:
    """A call to be made in another process: function and arguments have to be picklable.

    The function gets one argument more, before the others: another function, which sends a message to `run_jobs`.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with a value, or with an error."""

    value: Any = None
    error: Exception | None = None


def run_jobs(
    jobs: Sequence[Job],
    workers: int,
    *,
    on_message: Callable[[int, Any], None] = lambda number, message: None,
    on_start: Callable[[int], None] = lambda number: None,
    on_end: Callable[[int, Outcome], None] = lambda number, outcome: None,
    on_tick: Callable[[], None] | None = None,
    grace: float | None = None,
) -> list[Outcome]:
    """Run jobs in their order, `workers` at a time; the outcomes come in the order of the jobs.

    Parameters
    ----------
    workers : how many processes at a time, at least 1.
    on_start, on_end, on_message : are called here, with the job's number, when it starts, ends or has sent a message.
    on_tick : is called here a few times a second while jobs run.
    grace : seconds that an interrupted job has to end before it is killed; None is as long as it takes.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after every running job was interrupted and has ended. So is any other exception of one of the
        functions that are called here.
    """
    waiting = deque(range(len(jobs)))
    running: dict[Any, tuple[int, BaseProcess]] = {}  # by the connection to it
    outcomes: dict[int, Outcome] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                number = waiting.popleft()
                connection, process = _start(jobs[number])
                running[connection] = number, process
                on_start(number)
            for connection in wait(list(running), TICK if on_tick else None):
                number, process = running[connection]
                message = _receive(connection)  # pyright: ignore[reportArgumentType]
                if isinstance(message, Outcome):
                    process.join()
                    del running[connection]
                    outcomes[number] = _explained(message, process)
                    on_end(number, outcomes[number])
                else:
                    on_message(number, message)
            if on_tick:
                on_tick()
    finally:
        for _, process in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGINT)
        for _, process in running.values():
            process.join(grace)
            if process.exitcode is None:
                process.kill()
                process.join()
    return [outcomes[number] for number in range(len(jobs))]


def context(datasets: Iterable[str] = ()) -> BaseContext:
    """The multiprocessing context in which to start processes; the first call starts the server.

    Parameters
    ----------
    datasets : names of real data sets for a server that is started now to load; its forks share that memory, and need
        neither read nor check them again.
    """
    if not forking():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # not everywhere

    forked = multiprocessing.get_context("forkserver")
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None and server._forkserver_pid is None and sys.version_info < (3, 14):
        # This process is itself a fork of a server. Python would start another one for it, which imports everything
        # again; the server's address and its pipe are here, and all that is needed.
        server.ensure_running = lambda: None
        return forked
    forked.set_forkserver_preload(PRELOADED)
    # matplotlib reads this when it is imported, and a kernel's matplotlib is imported in the server.
    backend = os.environ.get("MPLBACKEND", INLINE)
    with _environment("MPLBACKEND", backend), _environment(DATASETS, " ".join(datasets)):
        forkserver.ensure_running()
    return forked


def forking() -> bool:
    """Whether processes are forked here."""
    return sys.platform == "linux"


def settle(folder: str, environment: Mapping[str, str]) -> None:
    """Make a new process one of its own, in a folder and with environment variables; to be called first in it.

    In a session of its own it gets no Ctrl-C from the terminal: who started it decides what an interrupt means, and it
    listens even where a shell has started all of them in the background, deaf to interrupts. A fork has folder and
    variables of the server, as they were when it started, and draws the random numbers of all its kind.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(os, "setsid"):
        with contextlib.suppress(PermissionError):  # it leads a session already
            os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _start(job: Job) -> tuple[Connection, BaseProcess]:
    here, there = multiprocessing.Pipe(duplex=False)
    process = context().Process(  # pyright: ignore[reportAttributeAccessIssue]  # every context has it
        target=_work, args=(job, there, os.getcwd(), dict(os.environ))
    )
    with _without_script():
        process.start()
    there.close()
    return here, process


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Start a process that does not run the user's script again.

    What it needs travels by value. multiprocessing would import the script in each process, and one that trains without
    `if __name__ == "__main__":` would start anew in all of them.
    """
    script = sys.modules["__main__"]
    kept = {name: vars(script)[name] for name in ("__file__", "__spec__") if name in vars(script)}
    vars(script).pop("__file__", None)
    vars(script)["__spec__"] = None
    try:
        yield
    finally:
        vars(script).update(kept)


def _work(job: Job, connection: Connection, folder: str, environment: dict[str, str]) -> None:
    """What a process does: the job, and as its last message the outcome."""
    settle(folder, environment)
    follow_parent()

    def tell(message: Any) -> None:
        # Whoever listened may have been killed. That is for `follow_parent` to deal with: an error here would end the
        # job before it has written its checkpoint.
        with contextlib.suppress(ConnectionError):
            connection.send(message)

    try:
        outcome = Outcome(job.function(tell, *job.arguments))
    except KeyboardInterrupt:
        return
    except Exception as error:
        outcome = Outcome(error=error)
    tell(outcome if _survives_pickling(outcome) else Outcome(error=HwkitError(repr(outcome.error))))


def follow_parent() -> None:
    """From now on, end this process politely when the one that started it has died: nobody waits for its work then."""

    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()


def _receive(connection: Connection) -> Any:
    try:
        return connection.recv()
    except EOFError:
        return Outcome()


def _explained(outcome: Outcome, process: BaseProcess) -> Outcome:
    """The outcome, with an error for a process that was killed before it could tell one."""
    if process.exitcode == 0:
        return outcome
    status = process.exitcode or 0
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return Outcome(error=ProcessDied(f"a process died with {how}, perhaps because memory ran out; run it again"))


def _survives_pickling(outcome: Outcome) -> bool:
    try:
        pickle.loads(pickle.dumps(outcome))
    except Exception:
        return False
    return True


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """An environment variable for the processes started within."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
