"""The benchmark behind `hwkit bench`: how fast hwkit trains, beside what one would write instead and beside the limit.

Speed is measured in images per second of whole training steps, data pipeline and augmentation included. Each contestant
(see `contestants`) trains in a process of its own, which stands still except in its windows: a second to warm up,
then steps on the clock for some seconds. The contestants take turns, window by window and in alternating order, so that
a machine that grows warmer or busier does so for all of them; ratios are taken within a round, and of all rounds the
median counts. Runs side by side begin their window together, and each goes on training until all have ended it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import math
import multiprocessing
import multiprocessing.connection
import os
import platform
import signal
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwkit import data
from hwkit.bench.baselines import CONTESTANTS, Job, Step, present, synchronise
from hwkit.datasets.sources import DATASETS, resolve_source
from hwkit.engine.devices import device_name, resolve_device, resolve_precision
from hwkit.engine.processes import follow_parent
from hwkit.errors import BenchError, ExperimentError, HwkitError
from hwkit.experiment import Experiment, named_experiment
from hwkit.statistics import MINIMUM_SEEDS, student_interval
from hwkit.version import __version__

Say = Callable[[str], None]

ENDLESS_EPOCHS = 90_000  # more than any contestant gets through
WARM_UP_STEPS = 5  # at least: more than the four batches that two workers of a loader hold ready
SETTLE_SECONDS = 0.5  # after a window, for the step under way and for loaders that fill their queues
BUSY_LOAD = 0.5  # processes that run beside the benchmark, above which its numbers are suspect

# By data set: an accuracy, and who is to reach it by which schedule; one that only just reaches it is the fastest.
GOALS: dict[str, list[tuple[float, dict[str, tuple[str, dict[str, Any]]]]]] = {
    "mnist": [(0.99, {"hwkit": ("hwkit", {}), "plain loop": ("plain", {})})],
    "cifar10": [
        (
            0.79,
            {
                "hwkit, Muon": ("hwkit", {"epochs": 2.25}),
                "hwkit, Adam": ("hwkit", {"optimizer": "adam", "epochs": 7}),
                "plain loop": ("plain", {"optimizer": "adam", "epochs": 7}),
            },
        ),
        (0.85, {"hwkit, Muon": ("hwkit", {"epochs": 10})}),
    ],
}
EVALUATIONS_PER_EPOCH = 4
ALLOWED_POINTS = {"mnist": 0.1, "cifar10": 0.3}  # between fast and fp32 training, in points of test accuracy at `full`
NOTEBOOK_BAR = 0.25


@dataclass(frozen=True)
class Effort:
    """How long speed is measured.

    Attributes
    ----------
    rounds : windows of each contestant.
    seconds : on the clock in each window.
    warm_up : seconds of steps before them, in which a GPU that stood still speeds up again.
    starts : fresh processes of each contestant, for the time to its first step.
    """

    rounds: int
    seconds: float
    warm_up: float
    starts: int


# As long as the time between two checkpoints: one falls due while others have their turn and is written while warming
# up, the next one lies in the window.
FULL = Effort(rounds=5, seconds=15.0, warm_up=1.0, starts=3)
QUICK = Effort(rounds=3, seconds=1.0, warm_up=0.2, starts=1)


@dataclass(frozen=True)
class Comparison:
    """Two contestants whose speeds are divided, and the quotient to be reached, by the kind of device."""

    title: str
    faster: str
    slower: str
    bars: Mapping[str, float]


COMPARISONS = (
    Comparison("hwkit / plain loop", "hwkit", "plain", {"cpu": 2.3}),
    Comparison("hwkit / plain loop, 2 workers", "hwkit", "plain-2", {"cuda": 20.0}),
    Comparison("hwkit, several runs at once / plain loop", "hwkit-several", "plain", {"cpu": 2.7}),
    Comparison("hwkit / compute limit", "hwkit", "limit", {"cpu": 0.92, "cuda": 0.80}),
    Comparison("hwkit / product of matrices", "hwkit", "matrix", {"cpu": 0.70}),
    Comparison("compute limit / product of matrices", "limit", "matrix", {}),
    Comparison("hwkit, Muon / Adam", "hwkit-muon", "hwkit", {}),
    Comparison("hwkit, recording on / off", "hwkit", "hwkit-unrecorded", {"cpu": 0.97}),
    Comparison("hwkit / Lightning", "hwkit", "lightning", {}),
    Comparison("hwkit / Lightning, 2 workers", "hwkit", "lightning-2", {}),
)


def bench(
    datasets: Sequence[str] = ("mnist", "cifar10"),
    *,
    device: str = "auto",
    source: str = "auto",
    quick: bool = False,
    rounds: int | None = None,
    runs: int | None = None,
    speed: bool = True,
    to_accuracy: bool = False,
    check_accuracy: str | None = None,
    seeds: int = 3,
    notebooks: bool = False,
    folder: Path,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Measure, and return all numbers, as JSON can hold them; `tables` turns them into text.

    Parameters
    ----------
    datasets : "mnist", "cifar10" or both.
    device, source : as in `training.train` and `data.load`.
    quick : seconds instead of minutes, on 2000 training images; shows that everything works, and little more.
    rounds : windows of each contestant; None is 5, or 3 with `quick`.
    runs : how many train side by side; default as many as `parallel.train_all` would.
    speed : measure images per second, memory and time to the first step.
    to_accuracy : measure seconds to a test accuracy.
    check_accuracy : a profile, at which fast training is held against fp32; None is not at all.
    seeds : how many of them for both.
    notebooks : measure what a notebook costs beside what it computes.
    folder : for temporary files; on the disk where runs lie, because checkpoints are part of training.
    say : is called with lines on what is going on.

    Raises
    ------
    ExperimentError, TrainingError, DataError
        For what is wrong before anything is measured.
    BenchError
        If a contestant fails.
    """
    from hwkit.parallel import places  # not for the contestants' processes, which have to start as their like does

    target = resolve_device(device)
    runs = places(device) if runs is None else runs
    effort = QUICK if quick else FULL
    rounds = effort.rounds if rounds is None else rounds
    for option, value in (("runs", runs), ("seeds", seeds), ("rounds", rounds)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ExperimentError(f"{option} must be a whole number of at least 1, not {value!r}")
    sizes = {"train_size": 2000, "test_size": 1000} if quick else {}
    effort = dataclasses.replace(effort, rounds=rounds)
    experiments = [
        named_experiment(name, "full", optimizer="adam", data=resolve_source(name, source), **sizes)
        for name in dict.fromkeys(datasets)
    ]
    if check_accuracy:
        validity = [named_experiment(one.dataset, check_accuracy, data=one.data) for one in experiments]

    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    result: dict[str, Any] = {"machine": describe_machine(target, runs, busy), "datasets": {}}
    say(f"{result['machine']['device_name']}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    if busy > BUSY_LOAD:
        say(f"the machine is busy (load {busy:.1f}): measure again when it is quiet")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".bench-") as name:
        workplace = Path(name)
        for number, experiment in enumerate(experiments):
            found: dict[str, Any] = {"source": experiment.data, "experiment": experiment.as_dict()}
            result["datasets"][experiment.dataset] = found
            if experiment.data != "real":
                say(f"{experiment.dataset}: on the stand-in set, not the real data")
            if speed:
                contestants = present(runs=runs)
                found["speed"] = measure_speed(experiment, target, contestants, effort, runs, workplace, say)
            if to_accuracy:
                found["to_accuracy"] = measure_to_accuracy(experiment, target, seeds, workplace, say)
            if check_accuracy:
                found["validity"] = compare_accuracies(validity[number], seeds, device, say)
        if notebooks:
            result["notebooks"] = measure_notebooks(2 if quick else 5, workplace, say)
    return result


def describe_machine(device: torch.device, runs: int, load: float) -> dict[str, Any]:
    """What the numbers depend on beside the code."""
    versions = {}
    for package in ("torch", "torchvision", "lightning"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hwkit": __version__,
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "device": device.type,
        "device_name": device_name(device),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "precision": resolve_precision("auto", device),
        "runs_at_once": runs,
        "load_at_start": None if math.isnan(load) else round(load, 2),
    }


def _cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- Speed --------------------------------------------------------------------------------------------------------


def measure_speed(
    experiment: Experiment,
    device: torch.device,
    contestants: Sequence[str],
    effort: Effort,
    runs: int,
    folder: Path,
    say: Say,
) -> dict[str, Any]:
    """Images per second, seconds to the first step and peak memory of each contestant, and their comparisons."""
    endless = experiment.replace(epochs=ENDLESS_EPOCHS)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    say(f"{experiment.dataset}: starting the contestants")
    with contextlib.ExitStack() as stack:
        groups = {}
        for name in contestants:
            groups[name] = [
                stack.enter_context(Worker(name, endless.replace(seed=endless.seed + copy), device, folder))
                for copy in range(runs if CONTESTANTS[name].several else 1)
            ]
            for worker in groups[name]:
                worker.receive("first step")
        for number in range(effort.rounds):
            for name in contestants if number % 2 == 0 else reversed(contestants):
                rates[name].append(measure_window(groups[name], effort))
            latest = ", ".join(f"{CONTESTANTS[name].title} {rates[name][-1]:.0f}" for name in contestants)
            say(f"{experiment.dataset}: round {number + 1} of {effort.rounds}, images per second: {latest}")
        facts = {name: [worker.finish() for worker in group] for name, group in groups.items()}
    # Only now, when the system has read all files once: the first start after a reboot is another matter.
    starts: dict[str, list[float]] = {name: [] for name in contestants if CONTESTANTS[name].program}
    for number in range(effort.starts):
        say(f"{experiment.dataset}: time to the first step, {number + 1} of {effort.starts}")
        for name in starts if number % 2 == 0 else reversed(starts):
            with Worker(name, endless, device, folder) as worker:
                starts[name].append(worker.receive("first step") - worker.started_at)
                worker.finish()
    return {
        "effort": vars(effort),
        "contestants": {
            name: {
                "title": CONTESTANTS[name].title,
                "images_per_second": summary(rates[name]),
                "seconds_to_first_step": summary(starts[name]) if name in starts else None,
                **facts[name][0],
                # of all processes together
                "peak_memory_mib": _total(fact["peak_memory_mib"] for fact in facts[name]),
                "peak_gpu_memory_mib": _total(fact["peak_gpu_memory_mib"] for fact in facts[name]),
            }
            for name in contestants
        },
        "comparisons": compare(rates, device.type),
    }


def measure_window(group: Sequence[Worker], effort: Effort) -> float:
    """Images per second of some contestants together, over one window that begins for all at once."""
    for worker in group:
        worker.send(("window", effort.warm_up, effort.seconds))
    for worker in group:
        worker.receive("warm")
    for worker in group:
        worker.send(("go",))
    windows = [worker.receive("window") for worker in group]
    for worker in group:
        worker.send(("pause",))
    time.sleep(SETTLE_SECONDS)
    return sum(images / seconds for images, seconds in windows)


def compare(rates: Mapping[str, Sequence[float]], device_type: str) -> list[dict[str, Any]]:
    """The comparisons between contestants that took part, by their images per second of each round."""
    return [
        judged(
            comparison.title,
            [a / b for a, b in zip(rates[comparison.faster], rates[comparison.slower], strict=True)],
            at_least=comparison.bars.get(device_type),
        )
        for comparison in COMPARISONS
        if comparison.faster in rates and comparison.slower in rates
    ]


def judged(
    title: str, values: Sequence[float], *, at_least: float | None = None, at_most: float | None = None
) -> dict[str, Any]:
    """A figure and whether its median reaches its bar; `met` is None where there is no bar."""
    found = summary(values)
    met = None
    if at_least is not None:
        met = found["median"] >= at_least
    if at_most is not None:
        met = found["median"] <= at_most
    return {"title": title, **found, "at_least": at_least, "at_most": at_most, "met": met}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and largest of repeated measurements, and all of them."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "all": list(values)}


def _total(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


# --- Seconds to an accuracy, validity, notebooks ------------------------------------------------------------------


def measure_to_accuracy(
    experiment: Experiment, device: torch.device, seeds: int, folder: Path, say: Say
) -> list[dict[str, Any]]:
    """Seconds of training until the test accuracy is at least that of each of `GOALS`, a row for each way to it.

    The whole test set is looked at four times an epoch, and at the end, while the clock stands. The clock starts after
    the first step. A seed whose schedule ended below the goal has None among its row's `seconds`.
    """
    rows = []
    sizes = {"data": experiment.data, "train_size": experiment.train_size, "test_size": experiment.test_size}
    for goal, ways in GOALS[experiment.dataset]:
        for title, (contestant, changes) in ways.items():
            seconds, best = [], []
            for seed in range(seeds):
                recipe = named_experiment(experiment.dataset, "quick", **sizes, seed=seed, **changes)
                with Worker(contestant, recipe, device, folder, goal=goal) as worker:
                    evaluations = worker.receive("end")["evaluations"]
                reached = evaluations[-1]["test_accuracy"] >= goal
                seconds.append(evaluations[-1]["seconds"] if reached else None)
                best.append(max(evaluation["test_accuracy"] for evaluation in evaluations))
                how = f"{seconds[-1]:.1f} s" if reached else f"not reached, {best[-1]:.4f} at best"
                say(f"{experiment.dataset}: {title} to a test accuracy of {goal}, seed {seed}: {how}")
            rows.append({"goal": goal, "title": title, "epochs": recipe.epochs, "seconds": seconds, "best": best})
    return rows


def compare_accuracies(experiment: Experiment, seeds: int, device: str, say: Say) -> dict[str, Any]:
    """Test accuracy of fast training minus that of fp32 training with the same seeds, in points.

    Runs that are in the run store already are not trained again.
    """
    from hwkit.parallel import train_all
    from hwkit.training import with_seeds

    say(f"{experiment.dataset}: profile {experiment.profile} with {seeds} seeds, as it is and in fp32")
    trained = train_all(with_seeds([experiment, experiment.replace(precision="fp32")], seeds), device=device, say=say)
    accuracies = [run.test_accuracy for run in trained]
    fast, reference = accuracies[:seeds], accuracies[seeds:]
    # Rounded, because 0.801 - 0.8 is a little more than 0.001.
    differences = [round(100 * (a - b), 6) for a, b in zip(fast, reference, strict=True)]
    mean = statistics.fmean(differences)
    allowed = ALLOWED_POINTS[experiment.dataset] if experiment.profile == "full" else None
    return {
        "profile": experiment.profile,
        "fast": fast,
        "fp32": reference,
        "difference": mean,
        "standard_error": statistics.stdev(differences) / math.sqrt(seeds) if seeds > 1 else None,
        "allowed": allowed,
        "met": None if allowed is None else abs(mean) <= allowed,
    }


def measure_notebooks(rounds: int, folder: Path, say: Say) -> dict[str, Any]:
    """Seconds to execute a notebook that only imports hwkit and torch, by plain papermill and as `hwkit report` does.

    Both have papermill imported already, and one execution before those on the clock.
    """
    import nbformat
    import papermill

    from hwkit.report.execute import execute

    notebook, output = folder / "empty.ipynb", folder / "executed.ipynb"
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import hwkit, torch")])
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(content, notebook)

    def by_hwkit() -> None:
        execution = execute(notebook, output, {}, progress=False)
        if execution.failure:
            raise BenchError(f"the empty notebook failed in {execution.failure}")

    ways = {
        "papermill": lambda: papermill.execute_notebook(str(notebook), str(output), progress_bar=False),
        "hwkit": by_hwkit,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        say(f"an empty notebook, by papermill and by hwkit: {number or 'warming up'} of {rounds}")
        for name in ways if number % 2 == 0 else reversed(ways):
            started = time.perf_counter()
            ways[name]()
            if number:
                seconds[name].append(time.perf_counter() - started)
    ratios = [a / b for a, b in zip(seconds["hwkit"], seconds["papermill"], strict=True)]
    return {
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "comparisons": [judged("empty notebook, hwkit / papermill", ratios, at_most=NOTEBOOK_BAR)],
    }


# --- A contestant's process ---------------------------------------------------------------------------------------


class Worker:
    """A fresh process in which a contestant trains, seen from the benchmark.

    Messages go both ways as tuples, the kind first. With a `goal`, a test accuracy, the contestant trains without
    asking until it is reached; else it makes its first step and waits to be told.
    """

    def __init__(
        self, name: str, experiment: Experiment, device: torch.device, folder: Path, goal: float | None = None
    ) -> None:
        # A fork would share the imports, and with CUDA not work at all.
        context = multiprocessing.get_context("spawn")
        own_folder = Path(tempfile.mkdtemp(dir=folder, prefix=f"{name}-"))
        self.name = name
        self.connection, other_end = context.Pipe()
        self.process = context.Process(
            target=_work, args=(other_end, name, Job(experiment, device, own_folder), goal), name=name
        )
        self.started_at = time.monotonic()  # the one clock that all processes share
        # Ctrl-C is for the benchmark, which then hangs up; a process inherits what it is to ignore.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        other_end.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()
        self.process.join(1)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def send(self, message: tuple[Any, ...]) -> None:
        """Tell the contestant something; if it has died, the next `receive` says so."""
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(message)

    def receive(self, kind: str) -> Any:
        """The content of the contestant's next message.

        Raises
        ------
        BenchError
            If it failed or its process died.
        """
        multiprocessing.connection.wait([self.connection, self.process.sentinel])
        try:
            found, content = self.connection.recv() if self.connection.poll() else ("died", None)
        except EOFError:
            found, content = "died", None
        if found == kind:
            return content
        title = CONTESTANTS[self.name].title
        if found == "failed":
            raise BenchError(f"{title} failed: {content}")
        self.process.join(10)
        raise BenchError(
            f"{title} ended without a word, with exit code {self.process.exitcode}; -9 would be a lack of memory"
        )

    def finish(self) -> dict[str, Any]:
        """End the contestant, and return its facts."""
        self.send(("stop",))
        facts = self.receive("end")
        self.process.join()
        return facts


class _Stop(Exception):
    """Raised out of a contestant's step when it has been told to stop."""


def _work(connection: multiprocessing.connection.Connection, name: str, job: Job, goal: float | None) -> None:
    """A worker's process: train, and send its facts at the end."""
    follow_parent()
    try:
        if job.device.type == "cuda":
            torch.cuda.set_device(job.device)
        if CONTESTANTS[name].several and job.device.type == "cpu":
            torch.set_num_threads(1)
        job.facts["threads"] = torch.get_num_threads()
        steps = _windows(connection, job.device) if goal is None else _evaluations(job, goal)
        next(steps)
        step: Step = lambda images, model: steps.send((images, model))  # noqa: E731
        with contextlib.suppress(_Stop):
            CONTESTANTS[name].train(job, step)
        connection.send(("end", {**job.facts, **_peak_memory(job.device)}))
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return
    except BaseException as error:
        connection.send(("failed", str(error) if isinstance(error, HwkitError) else traceback.format_exc()))


def _windows(
    connection: multiprocessing.connection.Connection, device: torch.device
) -> Generator[None, tuple[int, nn.Module], None]:
    """Is sent the number of images of each step, and holds the contestant up where it has to wait for its turn."""
    yield
    synchronise(device)
    connection.send(("first step", time.monotonic()))
    while True:
        command = connection.recv()
        if command[0] == "stop":
            raise _Stop
        _, warm_up, seconds = command
        started = time.perf_counter()
        steps = 0
        while steps < WARM_UP_STEPS or time.perf_counter() - started < warm_up:
            yield
            steps += 1
        synchronise(device)
        connection.send(("warm", None))
        connection.recv()  # "go", when its neighbours are warm too
        started = time.perf_counter()
        images = 0
        while time.perf_counter() - started < seconds:
            images += (yield)[0]
        synchronise(device)
        connection.send(("window", (images, time.perf_counter() - started)))
        while not connection.poll():  # keeps its neighbours company until their windows have ended too
            yield
        connection.recv()  # "pause"


def _evaluations(job: Job, goal: float) -> Generator[None, tuple[int, nn.Module], None]:
    """Is sent the images and the model of each step, and looks at the test accuracy while the clock stands."""
    from hwkit.models import accuracy, predict

    experiment = job.experiment
    dataset = data.load(experiment.dataset, experiment.data, device=job.device, test_size=experiment.test_size)
    per_epoch = experiment.batches_per_epoch * experiment.batch_size
    total = experiment.iterations * experiment.batch_size
    evaluations = job.facts["evaluations"] = []
    images, _ = yield
    synchronise(job.device)
    started, seconds = time.perf_counter(), 0.0
    due = per_epoch / EVALUATIONS_PER_EPOCH
    while True:
        count, model = yield
        images += count
        if images < min(due, total):
            continue
        synchronise(job.device)
        seconds += time.perf_counter() - started
        test_accuracy = accuracy(predict(model, dataset.test_images, dataset), dataset.test_labels)
        evaluations.append({"images": images, "seconds": seconds, "test_accuracy": test_accuracy})
        if test_accuracy >= goal:
            raise _Stop
        due += per_epoch / EVALUATIONS_PER_EPOCH
        synchronise(job.device)
        started = time.perf_counter()


def _peak_memory(device: torch.device) -> dict[str, float | None]:
    """The most memory that this process has held, in MiB; None where the system does not tell.

    Worker processes of a DataLoader are not in it.
    """
    resident = None
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as status:
        peaks = [int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:")]
        resident = peaks[0] if peaks else None
    on_gpu = torch.cuda.max_memory_reserved(device) / 2**20 if device.type == "cuda" else None
    return {"peak_memory_mib": resident, "peak_gpu_memory_mib": on_gpu}


# --- Text ---------------------------------------------------------------------------------------------------------


def tables(result: Mapping[str, Any]) -> str:
    """The result of `bench` for people to read."""
    parts = []
    for name, found in result["datasets"].items():
        title = DATASETS[name].title + ("" if found["source"] == "real" else " stand-in, not the real data")
        batch_size = found["experiment"]["batch_size"]
        if "speed" in found:
            speed = found["speed"]
            rows = [
                (
                    one["title"],
                    one["configuration"],
                    str(one["threads"]),
                    _spread(one["images_per_second"], 0),
                    _spread(one["seconds_to_first_step"], 1) if one["seconds_to_first_step"] else "–",
                    _or_dash(one["peak_memory_mib"], 0),
                    _or_dash(one["peak_gpu_memory_mib"], 0),
                )
                for one in speed["contestants"].values()
            ]
            head = ("", "computes in", "threads", "images/s", "first step s", "peak MiB", "GPU MiB")
            parts.append(
                f"{title}: batch {batch_size}, medians of {speed['effort']['rounds']} windows (least to largest)"
            )
            parts += [_aligned([head, *rows]), _comparison_table(speed["comparisons"])]
        if "to_accuracy" in found:
            head = ("", "goal", "epochs", "reached", "median s", "mean s, 95 % interval")
            rows = [_reached(row) for row in found["to_accuracy"]]
            parts += [f"{title}: seconds of training to a test accuracy", _aligned([head, *rows])]
        if "validity" in found:
            check = found["validity"]
            head = ("profile", "seeds", "difference", "standard error", "allowed", "")
            row = (check["profile"], str(len(check["fast"])), f"{check['difference']:+.2f}")
            row += (_or_dash(check["standard_error"], 2), _or_dash(check["allowed"], 1), _verdict(check["met"]))
            parts += [f"{title}: test accuracy minus that of fp32, in points", _aligned([head, row])]
    if "notebooks" in result:
        rows = [(name, _spread(values, 2)) for name, values in result["notebooks"]["seconds"].items()]
        parts += ["An empty notebook", _aligned([("", "s"), *rows])]
        parts.append(_comparison_table(result["notebooks"]["comparisons"]))
    return "\n\n".join(parts)


def _reached(row: Mapping[str, Any]) -> tuple[str, ...]:
    seconds = [one for one in row["seconds"] if one is not None]
    start = (row["title"], f"{row['goal']:g}", f"{row['epochs']:g}", f"{len(seconds)} of {len(row['seconds'])}")
    if not seconds:
        return (*start, "–", f"best {max(row['best']):.4f}")
    mean = f"{statistics.fmean(seconds):.1f}"
    if len(seconds) >= MINIMUM_SEEDS:
        interval = student_interval(seconds)
        mean += f" ({interval.low:.1f} to {interval.high:.1f})"
    return (*start, f"{statistics.median(seconds):.1f}", mean)


def _comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("", "ratio", "bar", "")
    return _aligned([head, *((row["title"], _spread(row, 2), _bar(row), _verdict(row["met"])) for row in rows)])


def _bar(row: Mapping[str, Any]) -> str:
    if row["at_least"] is not None:
        return f"at least {row['at_least']:g}"
    return "–" if row["at_most"] is None else f"at most {row['at_most']:g}"


def _verdict(met: bool | None) -> str:
    return {None: "", True: "met", False: "not met"}[met]


def _spread(found: Mapping[str, Any], digits: int) -> str:
    return f"{found['median']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def _or_dash(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    )
