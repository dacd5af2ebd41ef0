"""What batches cost: `python -m hwkit.bench.batches` measures it against the bars, on a machine that does nothing else.

- the overhead of a task: as many tasks that do nothing, on two workers;
- the time until the plan of a large batch is there, imports included;
- 20 notebooks on two workers against a shell loop over `papermill`, which should come to the same results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from hwkit.batch import cluster
from hwkit.batch.file import read_batch
from hwkit.batch.planning import plan
from hwkit.batch.progress import Lines, Progress
from hwkit.batch.results import gather
from hwkit.batch.running import run_tasks
from hwkit.batch.state import State
from hwkit.batch.tasks import Task, tasks_of
from hwkit.batch.working import Ending, Order

OVERHEAD_BAR = 0.020  # seconds for each task
PLAN_BAR = 2.0  # seconds
LOOP_BAR = 0.6  # of the shell loop's time

# What a quick notebook does: import, read data, compute, draw.
CELLS = (
    "import hwkit\nimages = hwkit.data.load('mnist', 'stand-in')",
    "counts = [(images.train_images[images.train_labels == c].long() * (seed + c)).sum().item() for c in range(10)]",
    "hwkit.plots.samples(images)",
    "from IPython.display import display\n"
    "scrap = {'name': 'total', 'data': sum(counts), 'encoder': 'json', 'version': 1}\n"
    "display({'application/scrapbook.scrap.json+json': scrap}, raw=True)",
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m hwkit.bench.batches", description="Measure what batches cost.")
    parser.add_argument("--tasks", type=int, default=1000, help="that do nothing (default: 1000)")
    parser.add_argument("--planned", type=int, default=100_000, help="tasks of the plan (default: 100000)")
    parser.add_argument("--notebooks", type=int, default=20, help="0 leaves them out (default: 20)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hwkit-bench-") as folder:
        here = Path(folder)
        seconds = overhead(options.tasks, here)
        _tell(f"overhead of a task, of {options.tasks}", f"{1000 * seconds:.1f} ms", seconds <= OVERHEAD_BAR, "20 ms")
        seconds = planning(options.planned, here)
        _tell(f"plan of {options.planned} tasks", f"{seconds:.2f} s", seconds <= PLAN_BAR, "2 s")
        if options.notebooks:
            loop, batch, same = against_loop(options.notebooks, here)
            what = f"{options.notebooks} notebooks: {batch:.1f} s, shell loop {loop:.1f} s"
            _tell(what, f"{batch / loop:.2f}", batch / loop <= LOOP_BAR, f"{LOOP_BAR}")
            _tell("the same results", "yes" if same else "no", same, "yes")
    return 0


def nothing(task: Task, order: Order) -> Ending:
    """A task that does nothing."""
    return Ending("done")


def overhead(count: int, folder: Path) -> float:
    """Seconds for each of so many tasks that do nothing, on two workers that are up already."""
    batch = read_batch(
        _written(folder / "trivial.yaml", f"experiments: mnist\nset: {{data: stand-in}}\nseeds: {count}")
    )
    tasks = tasks_of(batch)
    progress = Progress(batch.name, len(tasks), State())
    with cluster.local_cluster([{}, {}]) as address:
        return (
            _timed(lambda: run_tasks(tasks, batch, address, progress, Lines(progress, lambda line: None), nothing))
            / count
        )


def planning(count: int, folder: Path) -> float:
    """Seconds from a command's start until it lists the plan of about so many tasks, with five seeds each."""
    values = [number / 1e4 for number in range(1, 1 + max(1, round((count / 5) ** 0.5)))]
    text = f"experiments: mnist\nset: {{data: stand-in}}\nseeds: 5\ngrid: {{l2: {values}, learning_rate: {values}}}"
    path = _written(folder / "large.yaml", text)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from hwkit.batch.file import read_batch\nfrom hwkit.batch.planning import listing, plan\n"
        "print(*listing(plan(read_batch(Path(sys.argv[1])))), sep='\\n')"
    )
    return _timed(lambda: subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True))


def against_loop(count: int, folder: Path) -> tuple[float, float, bool]:
    """Seconds of a shell loop over papermill and of a batch of the same notebooks, and whether they found the same."""
    cells = [new_code_cell("seed = 0", metadata={"tags": ["parameters"]}), *map(new_code_cell, CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "quick.ipynb")
    loop = f'for seed in $(seq 0 {count - 1}); do "$0" -m papermill quick.ipynb loop-$seed.ipynb -p seed $seed; done'
    environment = {**os.environ, "HWKIT_HOME": str(folder / "store")}

    def run(command: list[Any]) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)

    loop_seconds = _timed(lambda: run(["bash", "-ec", loop, sys.executable]))
    path = _written(folder / "quick.yaml", f"notebooks: quick.ipynb\nseeds: {count}")
    batch_seconds = _timed(lambda: run([sys.executable, "-m", "hwkit.cli", "batch", "run", path, "--workers", "2"]))
    found = gather(plan(read_batch(path))).frame["total"].tolist()
    return loop_seconds, batch_seconds, found == [_total(folder / f"loop-{seed}.ipynb") for seed in range(count)]


def _total(notebook: Path) -> int:
    outputs = [output for cell in json.loads(notebook.read_text())["cells"] for output in cell["outputs"]]
    scraps = [output["data"].get("application/scrapbook.scrap.json+json") for output in outputs if "data" in output]
    return next(scrap["data"] for scrap in scraps if scrap)


def _written(path: Path, text: str) -> Path:
    path.write_text(f"{text}\nstore: store\n")
    return path


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _tell(what: str, value: str, met: bool, bar: str) -> None:
    print(f"{what:<52} {value:>10}   bar {bar:>6}: {'met' if met else 'missed'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
