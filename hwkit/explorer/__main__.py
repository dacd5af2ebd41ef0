"""How quick the explorer is: `python -m hwkit.explorer [RUN ...] [--clicks N]` measures it on finished runs.

For each run: how long it takes to open in a fresh kernel that has imported hwkit and holds the run; from a click to the
last picture it changes, for every control (the median and the slowest of many); and how the memory of the process grows
while somebody clicks on. What the page itself takes comes on top; it takes the same for every widget.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

from hwkit import runs
from hwkit.errors import HwkitError
from hwkit.explorer import attribution
from hwkit.explorer.explore_run import COUNTERPART, NOTHING, PANELS, Explorer
from hwkit.runs import Run


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print one table per run; returns 1 if there is no run to measure on."""
    parser = argparse.ArgumentParser(prog="python -m hwkit.explorer", description="Measure how quick the explorer is.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="as `hwkit show` takes them; default: all of the store")
    parser.add_argument("--clicks", type=int, default=40, help="of each kind (default: 40)")
    parser.add_argument("--walk", type=int, default=0, help="clicks after which the memory is compared (default: none)")
    options = parser.parse_args(arguments)
    try:
        found = [runs.load(reference) for reference in options.runs] or runs.list_runs()
        if not found:
            raise HwkitError("there is no finished run; `hwkit train mnist` makes one")
        for run in found:
            measure(run, options.clicks, options.walk)
    except HwkitError as error:
        print(f"hwkit: {error}", file=sys.stderr)
        return 1
    return 0


def measure(run: Run, clicks: int, walk: int) -> None:
    """Print what was measured on one run."""
    print(run)
    widget, picture = opening(run)
    explorer = Explorer(run)
    seconds = {
        "explore(run), until the widget is there": widget,
        "and until its picture for a report is": picture,
        "index, computed unless it was kept": timed(explorer.prepare),
        "import of captum, in the background": timed(attribution.get_ready),
    }
    for name, value in seconds.items():
        print(f"  {name:<40} {value:8.3f} s")
    for name, action in actions(explorer).items():
        times = [1000 * timed(action) for _ in range(clicks)]
        print(f"  {name:<40} {statistics.median(times):8.1f} ms   slowest {max(times):6.1f} ms")
    if walk:
        every = list(actions(explorer).values())
        for step in range(100):
            every[step % len(every)]()
        before = resident()
        for step in range(walk):
            every[step % len(every)]()
        print(f"  {'memory after ' + str(walk) + ' clicks':<40} {resident() - before:+8.1f} MB of {before:.0f} MB")


def opening(run: Run) -> tuple[float, float]:
    """Seconds that a cell with `hwkit.explore(run)` takes in a fresh kernel until its two outputs are there.

    Raises
    ------
    HwkitError
        If the kernel displays anything else, which means that the cell failed.
    """
    outputs: list[float] = []
    manager, client = start_new_kernel(stderr=subprocess.DEVNULL)
    try:
        load = f"import pathlib, hwkit; run = hwkit.runs.load(pathlib.Path({str(run.folder)!r}))"
        client.execute_interactive(load, output_hook=lambda _: None)
        started = time.perf_counter()

        def note(message: dict[str, Any]) -> None:
            if message["msg_type"] == "display_data":
                outputs.append(time.perf_counter() - started)

        client.execute_interactive("hwkit.explore(run)", output_hook=note)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if len(outputs) != 2:
        raise HwkitError(f"`hwkit.explore(run)` failed in a kernel of its own; try it in a notebook with {run.folder}")
    return outputs[0], outputs[1]


def actions(explorer: Explorer) -> dict[str, Callable[[], None]]:
    """Every kind of click, by name; each changes something every time."""
    turn = iter(range(10**9))

    def panel(name: str) -> Callable[[], None]:
        def show() -> None:
            if explorer.panel.value != name:
                explorer.panel.value = name
            explorer.forward.click()

        return show

    def change(control: object, values: tuple[object, ...]) -> Callable[[], None]:
        def to_another() -> None:
            others = [value for value in values if value != control.value]
            control.value = others[next(turn) % len(others)]

        return to_another

    def cell() -> None:
        explorer.panel.value = "Confusion matrix"
        explorer.page.answer(f"{next(turn) % 10} {next(turn) % 10}")

    named: dict[str, Callable[[], None]] = {
        "next image": explorer.forward.click,
        "next mistake": explorer.mismatch_forward.click,
        "another layer": change(explorer.layer, explorer.opened.layers),
        "another channel": lambda: explorer.panes[0].maps.answer(str(next(turn) % 32)),
        "another order": change(explorer.sorting, explorer.sorting.options),
        "example of the predicted class beside": change(explorer.beside, (NOTHING, COUNTERPART)),
        "cell of the confusion matrix": cell,
    }
    return {**named, **{f"next image, {name.lower()}": panel(name) for name in PANELS}}


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def resident() -> float:
    """Memory that the process holds, in MB; 0 where the system does not tell."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 1e6


if __name__ == "__main__":
    sys.exit(main())
