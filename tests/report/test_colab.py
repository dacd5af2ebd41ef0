"""A Colab runtime that dies at any moment: the notebook, run again in a new one, goes on from what Drive has kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from hwkit import runs
from hwkit.paths import project_root

manager = pytest.importorskip("jupyter_client.manager")

NOTEBOOK = project_root() / "notebooks" / "01_mnist.ipynb"
# Colab's own module, as far as the notebooks use it: Drive's content appears where it is mounted.
DRIVE = """
import os, pathlib
def mount(place):
    pathlib.Path(place).mkdir(parents=True)
    (pathlib.Path(place) / "MyDrive").symlink_to(os.environ["DRIVE_CONTENT"])
"""
# Where Drive is mounted cannot be written here. Every step is kept, and what a training goes on from is noted.
BEFORE = """
import os, pathlib
import hwkit, hwkit.report.notebook
from hwkit import callbacks, training
from hwkit.engine import checkpoints
hwkit.report.notebook.COLAB_DRIVE = pathlib.Path("drive").resolve()
callbacks.CHECKPOINT_SECONDS = 0.0
read = checkpoints.read
def noted(*arguments):
    found = read(*arguments)
    if found is not None:
        print("goes on from step", found.iteration)
    return found
checkpoints.read = noted
"""


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """What Drive holds; it outlives all runtimes."""
    module = tmp_path / "modules" / "google" / "colab"
    module.mkdir(parents=True)
    (module / "drive.py").write_text(DRIVE)
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


class Runtime:
    """A fresh machine with a kernel, on which the cells of the notebook are run one after the other."""

    def __init__(self, folder: Path, drive: Path) -> None:
        folder.mkdir()
        path = [str(drive.parent / "modules"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "DRIVE_CONTENT": str(drive)}
        del environment["HWKIT_HOME"]
        self.manager, self.client = manager.start_new_kernel(cwd=str(folder), env=environment)
        self.parameters = f"""
profile, data, device = "smoke", "stand-in", "cpu"
store = {str(folder.resolve() / "drive" / "MyDrive" / "hwkit")!r}
"""

    def sources(self) -> Iterator[str]:
        """The code of the notebook, as somebody fills it in."""
        cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
        for number, cell in enumerate(cells):
            yield cell.source
            if number == 0:  # hwkit is at hand
                yield BEFORE
            if "parameters" in cell.metadata.get("tags", []):
                yield self.parameters

    def run(self) -> str:
        """Run all cells; gives what they printed."""
        printed: list[str] = []

        def note(message: dict) -> None:
            assert message["msg_type"] != "error", message["content"]["evalue"]
            printed.append(message["content"].get("text", "") if message["msg_type"] == "stream" else "")

        for source in self.sources():
            self.client.execute_interactive(source, output_hook=note, timeout=300)
        return "".join(printed)

    def run_until(self, condition) -> None:
        """Send off all cells, and wait for something that they do."""
        for source in self.sources():
            self.client.execute(source)
        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end
            assert self.manager.is_alive()
            time.sleep(0.002)


@contextmanager
def runtime(folder: Path, drive: Path) -> Iterator[Runtime]:
    """A runtime that dies without notice at the end."""
    machine = Runtime(folder, drive)
    try:
        yield machine
    finally:
        machine.client.stop_channels()
        machine.manager.shutdown_kernel(now=True)  # kill -9


def test_a_runtime_that_dies_is_continued_by_the_next(tmp_path: Path, drive: Path) -> None:
    store = drive / "hwkit"
    with runtime(tmp_path / "first", drive) as machine:
        machine.run_until(lambda: any(store.glob("*/checkpoint.safetensors")))
    assert runs(store) == []
    with runtime(tmp_path / "second", drive) as machine:
        printed = machine.run()
    assert "goes on from step" in printed
    assert sorted(run.experiment.name for run in runs(store)) == ["mnist", "mnist-l2"]
