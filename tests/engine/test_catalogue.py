"""A store is listed without reading what has not changed, and what is remembered never shows another number."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hwkit import runs
from hwkit.engine import catalogue, run_files
from hwkit.experiment import TRAINING_VERSION
from hwkit.runs import Run


@pytest.fixture
def root(trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one run, and an empty cache."""
    monkeypatch.setenv("HWKIT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained_run.folder, tmp_path / "store" / trained_run.folder.name)
    return tmp_path / "store"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders whose run is read, as they are read."""
    names: list[str] = []
    load = runs.load_folder

    def noted(folder: Path) -> Run:
        names.append(folder.name)
        return load(folder)

    monkeypatch.setattr(runs, "load_folder", noted)
    return names


def remembered(root: Path) -> Path:
    return next((root.parent / "cache").iterdir())


def rewritten(folder: Path, **changes: object) -> None:
    """Another result in a run's folder, of the same size, with a checksum that matches."""
    content = json.loads((folder / "metrics.json").read_text())
    del content["sha256"]
    content |= changes
    run_files.write_json(folder / "metrics.json", {**content, "sha256": run_files.digest_of(content)})


def test_a_line_says_what_the_run_says(trained_run: Run, root: Path) -> None:
    for _ in range(2):
        (line,) = runs.listing(root).runs
        assert (line.name, line.test_accuracy, line.seed) == ("mnist", trained_run.test_accuracy, 0)
        table = catalogue.table([line], TRAINING_VERSION)
        for text in ("smoke", "stand-in", f"{trained_run.test_accuracy:.4f}", trained_run.finished, line.folder):
            assert text in table


def test_what_has_not_changed_is_not_read_again(root: Path, trained_run_l2: Run, read: list[str]) -> None:
    (name,) = os.listdir(root)
    runs.listing(root)
    runs.listing(root)
    assert read == [name]
    shutil.copytree(trained_run_l2.folder, root / trained_run_l2.folder.name)
    assert {line.name for line in runs.listing(root).runs} == {
        "mnist",
        "mnist-l2",
    }
    assert read == [name, trained_run_l2.folder.name]
    shutil.rmtree(root / name)
    assert [line.name for line in runs.listing(root).runs] == ["mnist-l2"]
    assert len(read) == 2


def test_a_rewritten_run_is_read_again_even_with_its_old_time(root: Path) -> None:
    (folder,) = root.iterdir()
    before = (folder / "metrics.json").stat()
    runs.listing(root)
    rewritten(folder, test_accuracy=0.5)
    os.utime(folder / "metrics.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert runs.listing(root).runs[0].test_accuracy == 0.5


@pytest.mark.parametrize("file", ["metrics.json", "experiment.json"])
def test_a_damaged_run_is_a_problem_though_it_was_whole_before(root: Path, file: str) -> None:
    (folder,) = root.iterdir()
    runs.listing(root)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content.replace(b"0", b"1", 1))
    found = runs.listing(root)
    assert found.runs == []
    assert folder.name in found.problems[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-40],
        lambda content: content.replace(b"mnist", b"mnits"),
        lambda content: b"{}",
        lambda content: b"\xff" * 100,
        lambda content: b"[" * 100_000,
    ],
)
def test_a_damaged_memory_is_made_anew(root: Path, damage, read: list[str]) -> None:
    before = runs.listing(root)
    file = remembered(root)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert runs.listing(root) == before
    assert len(read) == 2
    assert file.read_bytes() == whole


def test_a_memory_of_another_store_or_version_is_not_taken(
    root: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.listing(root)
    file = remembered(root)
    shutil.copyfile(file, catalogue._place({"store": str(tmp_path / "other")}))
    assert runs.listing(tmp_path / "other").runs == []
    monkeypatch.setattr(catalogue, "__version__", "0.0.0")
    runs.listing(root)
    assert len(read) == 2


def test_a_store_brings_no_memory_of_its_own(root: Path) -> None:
    """What a stranger sends is read; nothing is kept in the store, which may be read-only."""
    before = sorted(root.rglob("*"))
    runs.listing(root)
    assert sorted(root.rglob("*")) == before


def test_a_cache_that_cannot_be_written_only_costs_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root.parent / "file"
    file.write_text("no folder")
    monkeypatch.setenv("HWKIT_CACHE", str(file))
    assert [line.name for line in runs.listing(root).runs] == ["mnist"]
    assert file.read_text() == "no folder"


def test_listings_at_the_same_time_agree(root: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: runs.listing(root), range(20)))
    assert all(one == found[0] for one in found)
    assert [path.name for path in (root.parent / "cache").iterdir()] == [remembered(root).name]


def test_a_listing_of_known_runs_does_without_torch(root: Path) -> None:
    runs.listing(root)
    code = (
        "import sys\nfrom hwkit.cli import main\nstatus = main(['runs'])\n"
        "print(status, [name for name in ('torch', 'pandas') if name in sys.modules])"
    )
    environment = {**os.environ, "HWKIT_HOME": str(root)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "mnist" in told.stdout
    assert told.stdout.endswith("\n0 []\n")
