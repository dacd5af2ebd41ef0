"""A batch runs what is missing, keeps what failed, and can be stopped and killed at any moment without losing a result.

Schedulers and workers are processes that talk over TCP on the loopback interface; they share only the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import own_networks
import pytest
from distributed import KilledWorker

from hwkit import callbacks, runs, training
from hwkit.batch import running as running_batch
from hwkit.batch.file import read_batch
from hwkit.batch.planning import Plan, plan
from hwkit.batch.progress import Progress
from hwkit.batch.state import State
from hwkit.cli import main
from hwkit.engine import run_files

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")

CELLS = {
    "parameters": "seed = 0\nscale = 1.0\nhow = 'well'",
    "work": (
        "import os, signal, sys, time\n"
        "print('seed', seed, 'with', os.environ['OMP_NUM_THREADS'], 'thread')\n"
        "if how == 'badly': raise ValueError('asked to')\n"
        "if how == 'slowly': time.sleep(600)\n"
        "if how == 'killed': os.kill(os.getpid(), signal.SIGKILL)"
    ),
    "result": (
        "from IPython.display import display\n"
        "scrap = {'name': 'value', 'data': scale * (seed + 1), 'encoder': 'json', 'version': 1}\n"
        "display({'application/scrapbook.scrap.json+json': scrap}, raw=True)"
    ),
}
SHORT = "set: {data: stand-in, train_size: 300, test_size: 100, epochs: 0.5}\n"
SEVERAL = SHORT.replace("0.5", "4")  # passes over the images, with a record after every second step
LONG = "set: {data: stand-in, train_size: 300, test_size: 100, epochs: 40000, record_every: 1000000, width: 0.25}\n"


def write_notebook(folder: Path) -> None:
    cells = [
        {
            "cell_type": "code",
            "id": name,
            "metadata": {"tags": [name]},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for name, source in CELLS.items()
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "quick.ipynb").write_text(json.dumps(content))


def write_batch(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(f"store: store\n{text}")
    return path


def planned(path: Path) -> Plan:
    return plan(read_batch(path))


def wait_for(happened: Callable[[], Any], seconds: float = 300.0) -> Any:
    """What `happened` returns once it is true; on a busy machine that takes a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def training_in(store: Path) -> tuple[Path, int] | None:
    """The folder of a training that has written its first checkpoint, and how far it was then."""
    unfinished = [store / name for name in runs.listing(store).unfinished]
    return (unfinished[0], run_files.read_checkpoint(unfinished[0])[1]["iteration"]) if unfinished else None


def start(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """A process of the hwkit or dask command, its output in a file that `said` reads, listening to interrupts."""
    code = (
        "import runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    )
    cwd.mkdir(exist_ok=True)
    output = (cwd / "output.txt").open("a")
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = {**os.environ, **environment}
    return subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=variables, text=True, start_new_session=True
    )


def said(cwd: Path) -> str:
    return (cwd / "output.txt").read_text()


@contextlib.contextmanager
def running(*arguments: object, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = start(*arguments, cwd=cwd, **environment)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def scheduler(folder: Path, port: int) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    options = ["--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    return running("distributed.cli.dask_scheduler", *options, cwd=folder)


def worker(folder: Path, port: int, *, nanny: bool = False) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    """A worker in a folder of its own, with a home and a run store of its own."""
    address = f"tcp://127.0.0.1:{port}"
    options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--nanny" if nanny else "--no-nanny"]
    own = {"HOME": str(folder), "HWKIT_HOME": str(folder / "runs")}
    return running("distributed.cli.dask_worker", address, *options, "--name", folder.name, cwd=folder, **own)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_notebooks_run_on_workers_of_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(tmp_path)
    text = "notebooks: quick.ipynb\nseeds: 2\ngrid: {scale: [1, 2.5]}\nlimits: {cell: 6}\n"
    path = write_batch(tmp_path, f"{text}rows: [{{how: badly}}, {{how: slowly}}]\n")
    assert main(["batch", "run", str(path), "--workers", "2"]) == 1
    printed = capsys.readouterr()
    assert re.search(r"\[8/8\] \w+ quick", printed.out)
    assert "dashboard: http://127.0.0.1:" in printed.out
    assert "quick[how=badly] seed 1: cell 3 (In [3]): ValueError: asked to" in printed.err
    found = planned(path)
    assert (len(found.done), len(found.failed), found.missing) == (4, 4, [])
    own = tmp_path / "store" / "batches" / "study"
    assert {file.stem for file in (own / "notebooks").iterdir()} == found.done
    assert {file.stem for file in (own / "failed").iterdir()} == {task.key for task in found.failed}
    assert "seed 1 with 1 thread" in next((own / "logs").glob("quick-scale=2.5-seed=1-*.log")).read_text()
    slow = next((own / "failed").glob("quick-how=slowly-seed=0-*.ipynb"))
    assert "seed 0" in slow.read_text()
    assert any("slowly" in one.name and "CellTimeoutError" in one.error for one in found.state.failed.values())

    # Again: nothing to do but what failed, and that only when asked.
    before = {file: file.stat().st_mtime_ns for file in (own / "notebooks").iterdir()}
    assert main(["batch", "run", str(path)]) == 1
    assert "started" not in capsys.readouterr().out
    assert main(["batch", "status", str(path)]) == 0
    assert "4 of 8 done, 4 failed" in capsys.readouterr().out
    (tmp_path / "study.yaml").write_text(path.read_text().replace(", {how: slowly}", ""))
    assert main(["batch", "retry", str(path), "--workers", "1"]) == 1
    assert capsys.readouterr().out.count(" started ") == 2
    assert {file: file.stat().st_mtime_ns for file in (own / "notebooks").iterdir()} == before

    # What came out, over seeds.
    assert main(["batch", "results", str(path), "--output", str(tmp_path / "r.csv")]) == 0
    assert "| quick[scale=2.5] |     2 | 3.7500 ± 1.7678 |" in capsys.readouterr().out
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 5


def test_seeds_are_added_until_it_is_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The difference grows with the seed: three of them leave it open, five do not, and seven are not needed."""
    write_notebook(tmp_path)
    until = "seeds: {until: decided, from: 3, step: 2, at_most: 7}\nbaseline: {scale: 1}\n"
    path = write_batch(tmp_path, f"notebooks: quick.ipynb\n{until}grid: {{scale: [1, 2.5]}}\n")
    assert len(planned(path).tasks) == 6
    assert main(["batch", "run", str(path), "--workers", "2"]) == 0
    assert "study: 10 of 10 done" in capsys.readouterr().out
    assert planned(path).missing == []
    assert main(["batch", "results", str(path), "--output", str(tmp_path / "r.csv")]) == 0
    assert re.search(r"quick.scale=2.5. *\| quick.scale=1.0. *\| +5 \| +\+4.500 .*\| higher", capsys.readouterr().out)


def test_a_network_of_ones_own_is_trained_by_workers_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One with residual blocks and batch normalisation in a file that the workers do not have, half trained before."""
    (tmp_path / "mynets.py").write_text(Path(own_networks.__file__).read_text())
    path = write_batch(
        tmp_path, f"experiments: mnist\nprofile: smoke\nmodel: mynets.py:ResidualNet\nseeds: 2\n{SEVERAL}"
    )
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "store"))
    half = planned(path).tasks[0].experiment
    with pytest.raises(KeyboardInterrupt):
        training.train(half, callbacks=[InterruptAfter(2)], device="cpu", progress=False)
    begun = run_files.read_checkpoint(runs.folder_of(half))[0]["rows"]
    assert main(["batch", "run", str(path), "--workers", "1"]) == 0
    found = planned(path)
    assert not found.missing
    resumed = runs.load(tmp_path / "store" / found.tasks[0].key)
    assert resumed.record.iloc[0]["seconds"] == pytest.approx(float(begun[0][-1]))
    assert "class Block" in resumed.code
    (tmp_path / "mynets.py").write_text((tmp_path / "mynets.py").read_text().replace("WIDTH = 8", "WIDTH = 9"))
    assert len(planned(path).missing) == 2


class InterruptAfter(callbacks.Callback):
    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def on_step(self, training: callbacks.Training) -> None:
        if training.iteration == self.iteration:
            training.save()
            raise KeyboardInterrupt


def test_a_lost_worker_costs_no_result(tmp_path: Path, port: int) -> None:
    """One of two workers is killed in the middle of a training; the other one resumes from its checkpoint."""
    path = write_batch(tmp_path, f"experiments: mnist\nprofile: smoke\n{LONG}")
    address = f"tcp://127.0.0.1:{port}"
    (task,) = planned(path).tasks
    folder = tmp_path / "store" / task.key
    workers = {name: tmp_path / name for name in ("first", "second")}
    with (
        scheduler(tmp_path / "scheduler", port),
        worker(workers["first"], port) as first,
        worker(workers["second"], port) as second,
        running("hwkit.cli", "batch", "run", path, "--scheduler", address, cwd=tmp_path / "driver") as driver,
    ):
        where = wait_for(lambda: re.search(r"started mnist seed 0 on worker (\w+)", said(tmp_path / "driver")))[1]
        wait_for(lambda: (folder / "experiment.json").exists())
        time.sleep(2.0)
        lost = first if where == "first" else second
        os.kill(lost.pid, signal.SIGKILL)
        wait_for(lambda: f"because worker {where} was lost" in said(tmp_path / "driver"))
        wait_for(lambda: (folder / run_files.CHECKPOINT).exists())
        reached = run_files.read_checkpoint(folder)[1]["iteration"]
        assert reached > 0
        # Ctrl-C, while the other worker gets ready or trains: nothing is lost.
        time.sleep(3.0)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(60) == 130
        assert "stopped: 0 of 1 done" in said(tmp_path / "driver")
        assert run_files.read_checkpoint(folder)[1]["iteration"] >= reached
        assert not planned(path).done


def test_a_scheduler_that_comes_back_is_used_again(tmp_path: Path, port: int) -> None:
    write_notebook(tmp_path)
    path = write_batch(tmp_path, "notebooks: quick.ipynb\nseeds: 4\n")
    driver_folder = tmp_path / "driver"
    arguments = ("hwkit.cli", "batch", "run", path, "--scheduler", f"tcp://127.0.0.1:{port}")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(scheduler(tmp_path / "scheduler", port))
        stack.enter_context(worker(tmp_path / "one", port))
        driver = stack.enter_context(running(*arguments, cwd=driver_folder))
        wait_for(lambda: "[1/4] done" in said(driver_folder))
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: "was lost; waiting for it to come back" in said(driver_folder))
        stack.enter_context(scheduler(tmp_path / "again", port))
        stack.enter_context(worker(tmp_path / "two", port))  # a worker ends with its scheduler
        assert driver.wait(120) == 0
    assert len(planned(path).done) == 4
    own = tmp_path / "store" / "batches" / "study"
    assert all("scrapbook" in file.read_text() for file in (own / "notebooks").iterdir())


def test_workers_that_share_only_an_object_store_go_on_where_another_was(
    tmp_path: Path, port: int, bucket: str
) -> None:
    """The task of a worker that is killed goes on, in another folder, from the checkpoint in the store."""
    path = tmp_path / "study.yaml"
    path.write_text(f"experiments: mnist\nprofile: smoke\n{LONG}store: {bucket}\n")
    (task,) = planned(path).tasks
    store = planned(path).store
    folders = {name: tmp_path / name for name in ("first", "second")}
    address = f"tcp://127.0.0.1:{port}"
    with (
        scheduler(tmp_path / "scheduler", port),
        worker(folders["first"], port) as first,
        worker(folders["second"], port) as second,
        running("hwkit.cli", "batch", "run", path, "--scheduler", address, cwd=tmp_path / "driver") as driver,
    ):
        where = wait_for(lambda: re.search(r"started mnist seed 0 on worker (\w+)", said(tmp_path / "driver")))[1]
        wait_for(lambda: store.names(store.path(task.key)))
        os.kill((first if where == "first" else second).pid, signal.SIGKILL)
        wait_for(lambda: f"because worker {where} was lost" in said(tmp_path / "driver"))
        other = folders["second" if where == "first" else "first"] / "runs" / task.key
        wait_for(lambda: (other / run_files.CHECKPOINT).exists())
        (tmp_path / "uploaded").mkdir()
        store.download_run(task.key, tmp_path / "uploaded")
        reached = run_files.read_checkpoint(tmp_path / "uploaded" / task.key)[1]["iteration"]
        assert run_files.read_checkpoint(other)[1]["iteration"] >= reached > 0
        driver.send_signal(signal.SIGINT)
        assert driver.wait(60) == 130
    assert not planned(path).done


def test_a_killed_driver_loses_no_finished_task(tmp_path: Path) -> None:
    rows = "rows: [{width: 0.5}, {epochs: 9000}]\n"
    path = write_batch(tmp_path, f"experiments: mnist\nprofile: smoke\nseeds: 2\n{SHORT}{rows}")
    driver_folder = tmp_path / "driver"
    with running("hwkit.cli", "batch", "run", path, "--workers", "1", cwd=driver_folder) as driver:
        wait_for(lambda: "started mnist[epochs=9000]" in said(driver_folder))
        finished = planned(path).done
        folder, reached = wait_for(lambda: training_in(tmp_path / "store"))
        time.sleep(1.0)
        os.kill(driver.pid, signal.SIGKILL)
        # Its workers end with it, and what they train writes a checkpoint.
        wait_for(lambda: run_files.read_checkpoint(folder)[1]["iteration"] > reached)
    assert finished
    assert finished <= planned(path).done


def test_a_polite_kill_of_driver_and_workers_at_once_stops_them(tmp_path: Path) -> None:
    """As a cluster ends a job: every process gets the signal, and Dask would start killed workers again."""
    path = write_batch(tmp_path, f"experiments: mnist\nprofile: smoke\nseeds: 2\n{LONG}")
    driver_folder = tmp_path / "driver"
    with running("hwkit.cli", "batch", "run", path, "--workers", "1", cwd=driver_folder) as driver:
        wait_for(lambda: "started mnist seed 0" in said(driver_folder))
        folder, reached = wait_for(lambda: training_in(tmp_path / "store"))
        time.sleep(1.0)
        os.killpg(driver.pid, signal.SIGTERM)
        assert driver.wait(60) == 130
    assert "stopped: 0 of 2 done, 2 waiting" in said(driver_folder)
    assert run_files.read_checkpoint(folder)[1]["iteration"] > reached


@pytest.mark.parametrize("ended", ["killed", "not heard of"])
def test_a_stopped_batch_counts_what_its_workers_could_not_end_as_waiting(
    ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_batch, "GRACE_SECONDS", 0.0 if ended == "not heard of" else 60.0)
    path = write_batch(tmp_path, "experiments: mnist\nprofile: smoke\nseeds: 2\n")
    tasks, state = planned(path).tasks, State()
    said: list[str] = []
    shown: Any = SimpleNamespace(say=said.append, event=said.append, refresh=lambda: None)
    order: Any = SimpleNamespace(session="one")
    progress = Progress("study", 2, state)
    driver: Any = running_batch._Driver(tasks, read_batch(path), order, "tcp://127.0.0.1:1", progress, shown, str)
    driver.client = SimpleNamespace(status="running", run=lambda *_, **__: None, close=lambda timeout: None)
    driver.file, driver.counted_at = SimpleNamespace(save=lambda: None), time.monotonic()

    def killed() -> Any:
        raise KilledWorker("mnist", None, 3)

    def interrupted(seconds: float) -> None:
        future = SimpleNamespace(status="error", result=killed)
        driver.flying[tasks[0].key] = driver.waiting.popleft(), future
        progress.started(tasks[0], "1")
        if ended == "killed":
            driver.heard.put(("ended", (tasks[0].key, future)))
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "connect", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped: 0 of 2 done, 2 waiting;"):
        driver.run()
    assert not state.failed


def test_results_and_report_compare_the_variants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_batch(tmp_path, f"experiments: mnist\nprofile: smoke\nseeds: 2\n{SHORT}grid: {{width: [0.25, 0.5]}}\n")
    assert main(["batch", "run", str(path), "--workers", "1"]) == 0
    assert main(["batch", "results", str(path), "--output", str(tmp_path / "r.csv")]) == 0
    table = capsys.readouterr().out
    assert re.search(r"\| mnist\[width=0.25\] \|     2 \| 0\.\d{4} ± 0\.\d{4} \|", table)
    assert "4 of 4 tasks are done" in table
    assert main(["batch", "report", str(path), "--output", str(tmp_path / "r.pdf")]) == 0
    import pypdf

    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "r.pdf").pages)
    assert "Batch study" in text
    assert "mnist[width=0.25]" in text
    assert "drawn stand-in" in text
