"""The workers of a batch: some on this machine, started for it and ended with it, or those of a running Dask scheduler.

What is started here listens on the loopback interface alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hwkit.batch.file import Resources
from hwkit.errors import BatchError
from hwkit.version import __version__

if TYPE_CHECKING:
    from distributed import Client

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 10.0  # for a scheduler to answer at the start
RECONNECT_SECONDS = 300.0  # for a scheduler that was lost to come back


def worker_environments(resources: Resources, workers: int | None) -> list[dict[str, str]]:
    """The environment variables of each worker of this machine: one worker for each task that runs at a time.

    Tasks that ask for GPUs get one each or share one, others a group of CPU cores each.

    Parameters
    ----------
    workers : how many; None is as many as the machine takes.

    Raises
    ------
    BatchError
        If a task takes more than the machine has.
    """
    threads = {"OMP_NUM_THREADS": str(resources.cores)}
    if resources.gpus is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if resources.cores > cores:
            raise BatchError(f"resources.cores is {resources.cores}, and this machine has {cores}")
        return [threads] * (workers or cores // resources.cores)
    gpus = visible_gpus()
    if resources.gpus > len(gpus):
        raise BatchError(
            f"resources.gpus is {resources.gpus:g}, this machine has {len(gpus)}; leave it out to compute on the CPU"
        )
    if resources.gpus <= 1:
        groups = gpus * int(1 / resources.gpus + 1e-9)  # the first workers, if there are few, have a GPU each
    else:
        whole = int(resources.gpus)
        groups = [",".join(gpus[start : start + whole]) for start in range(0, len(gpus) - whole + 1, whole)]
    groups = (groups * (workers or 1))[:workers] if workers else groups
    return [{**threads, "CUDA_VISIBLE_DEVICES": group} for group in groups]


def visible_gpus() -> list[str]:
    """The CUDA GPUs of this machine, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named if len(named) == count else [str(number) for number in range(count)]


@contextlib.contextmanager
def local_cluster(environments: list[dict[str, str]]) -> Iterator[str]:
    """A scheduler in this process and a worker process for each environment; yields the scheduler's address."""
    import dask.config
    from distributed import Nanny, Scheduler, SpecCluster

    options = {
        "nthreads": 1,
        "host": LOOPBACK,
        "dashboard_address": f"{LOOPBACK}:0",
        "memory_limit": 0,  # what a task computes is in a process of its own, whose memory Dask does not see
        "preload": ["hwkit.batch.working"],
        "silence_logs": logging.CRITICAL,
    }
    workers = {
        number: {"cls": Nanny, "options": {**options, "name": str(number), "env": environment}}
        for number, environment in enumerate(environments, 1)
    }
    # 0 is any free port
    scheduler = {"cls": Scheduler, "options": {"host": LOOPBACK, "port": 0, "dashboard_address": f"{LOOPBACK}:8787"}}
    for name in ("distributed", "bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), dask.config.set({"distributed.admin.log-format": "%(message)s"}):
        warnings.simplefilter("ignore")  # such as that the dashboard's usual port is taken, and another one is used
        running: Any = SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)  # type: ignore
        with running as cluster:
            yield cluster.scheduler_address


def connect(address: str, seconds: float = CONNECT_SECONDS) -> Client:
    """A connection to a scheduler, tried for `seconds`.

    Raises
    ------
    BatchError
        If no scheduler answers.
    """
    from distributed import Client

    deadline = time.monotonic() + seconds
    while True:
        try:
            return Client(address, timeout=max(1.0, min(10.0, deadline - time.monotonic())), set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            if isinstance(error, ValueError) or time.monotonic() > deadline:
                reason = " ".join(str(error).split())
                raise BatchError(
                    f"no Dask scheduler answers at {address} ({reason}); `dask scheduler` starts one and prints its "
                    "address. What is finished is kept"
                ) from None
            time.sleep(0.5)


def dashboard_of(client: Client) -> str:
    """The address of the scheduler's dashboard, or an empty text."""
    with contextlib.suppress(Exception):  # one that was switched off, or never came up, is nothing to fail for
        return client.dashboard_link or ""
    return ""


def places_of(client: Client) -> int:
    """How many tasks all workers together run at a time."""
    return sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())


def check_workers(client: Client, resources: Resources, say: Callable[[str], None]) -> None:
    """Check that workers can run tasks.

    Raises
    ------
    BatchError
        If workers have another version of hwkit, or none.
    """
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        say("no worker has come to the scheduler yet; waiting for one")
    found: Any = client.run(_version, on_error="return")
    for worker, version in found.items():
        if version != __version__:
            what = f"has hwkit {version}" if isinstance(version, str) else f"has no hwkit ({version})"
            raise BatchError(f"worker {worker} {what}, here is {__version__}; install the same there")
    if resources.gpus and workers and not any("GPU" in worker["resources"] for worker in workers.values()):
        say("no worker offers GPUs, and resources.gpus asks for them: start workers with --resources GPU=1")


def _version() -> str:
    return __version__
