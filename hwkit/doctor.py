"""`hwkit doctor`: looks through the run store and the data sets, and repairs or sets aside what is damaged.

Nothing is ever deleted that cannot be made again: what is damaged moves to `set-aside/` in its own folder, under a name
of its own, so that the next training or download finds its place free.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from hwkit import data, datasets, models, runs
from hwkit.datasets import own, sources
from hwkit.engine import checkpoints, run_files
from hwkit.engine import files as storage
from hwkit.errors import DataError, HwkitError, RunError
from hwkit.experiment import TRAINING_VERSION, Experiment
from hwkit.paths import data_root, store_root

SET_ASIDE = "set-aside"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes
    ----------
    path : the file or folder.
    problem : what is wrong, as the end of a sentence that begins with the path.
    remedy : what `repair` does, in the infinitive; "" where only a person can help, or nothing has to be done.
    repair : does it; raises OSError or HwkitError if that fails.
    alarming : whether something is amiss; else it is only good to know.
    """

    path: Path
    problem: str
    remedy: str = ""
    repair: Callable[[], None] | None = None
    alarming: bool = True

    def __str__(self) -> str:
        return f"{self.path} {self.problem}"


def examine(store: Path | None = None, data: Path | None = None) -> Iterator[Finding]:
    """What is wrong with the run store and the data sets; reads every file of them.

    Parameters
    ----------
    store, data : default those of `hwkit.paths`.
    """
    yield from examine_store(store or store_root())
    yield from examine_data(data or data_root())


# --- The run store ----------------------------------------------------------------------------------------------


def examine_store(store: Path) -> Iterator[Finding]:
    """What is wrong with a run store."""
    if not store.exists():
        return
    if not store.is_dir():
        yield Finding(store, "is a file where the run store should be: move it away, or point HWKIT_HOME elsewhere")
        return
    problem = _unwritable(store)
    if problem:
        yield Finding(
            store,
            f"cannot be written ({problem}): finished runs can be read, but nothing can be trained. Free some space, "
            "change its permissions, or point HWKIT_HOME at another folder",
        )
    yield from _examine_own_data(store / own.FOLDER)
    for folder in sorted(path for path in store.iterdir() if path.is_dir()):
        if folder.name in (SET_ASIDE, own.FOLDER):
            continue
        with _held(folder) as ours:
            if ours:  # else it is being trained, and none of our business
                yield from _examine_folder(folder)


def _examine_own_data(folder: Path) -> Iterator[Finding]:
    """What is wrong with the data sets of the user's own that a store keeps."""
    if not folder.is_dir():
        return
    for path in storage.leftovers(folder):
        yield Finding(path, "was left behind by a process that was killed", "delete it", path.unlink)
    for path in sorted(folder.glob("*.safetensors")):
        try:
            data.read_own(path)
        except DataError as error:
            yield Finding(path, str(error).removeprefix(f"{path} "), *_set_aside(path))


def _examine_folder(folder: Path) -> Iterator[Finding]:
    for path in storage.leftovers(folder):
        yield Finding(path, "was left behind by a process that was killed", "delete it", path.unlink)
    lock = folder / ".lock"
    if not run_files.is_lock(lock):
        yield Finding(lock, "is not a regular file, so that nothing can be trained here", *_set_aside(lock))
    with contextlib.suppress(OSError):
        if (folder / "result.json").exists():
            yield from _examine_result(folder)
        elif runs.is_finished(folder):
            yield from _examine_run(folder)
        else:
            yield from _examine_unfinished(folder)


def _examine_run(folder: Path) -> Iterator[Finding]:
    try:
        run = runs.load(folder)
        runs.read_everything(run)
    except RunError as error:
        if "update hwkit" in str(error):
            yield Finding(folder, f"is from a newer hwkit: {error}")
        elif _initial_weights_alone_are_damaged(folder):
            path = folder / "initial.safetensors"
            yield Finding(path, "is damaged, and can be drawn again", "draw it again", lambda: _redraw(folder))
        else:
            yield _damaged(folder, error)
        return
    right = folder.with_name(runs.folder_name(run.experiment, run.fingerprint))
    if folder != right:
        problem = f"holds the run whose place is {right.name}"
        if right.exists():
            yield Finding(folder, f"{problem}, where there is another", *_set_aside(folder))
        else:
            yield Finding(folder, problem, f"rename it to {right.name}", lambda: folder.replace(right) and None)
        return
    if datasets.facts(run.experiment.dataset) is None:
        name = run.experiment.dataset_name
        problem = f"was trained on data of your own, {name}, which no store keeps: pass it where images are needed"
        yield Finding(folder, problem, alarming=False)
    if run.training_version != TRAINING_VERSION:
        yield Finding(
            folder,
            f"was trained by an older version of the training code ({run.training_version}, now {TRAINING_VERSION}): "
            "it can be read, and is never taken for a run of this version",
            alarming=False,
        )


def _examine_result(folder: Path) -> Iterator[Finding]:
    try:
        run_files.find_result(folder)
    except RunError as error:
        yield _damaged(folder, error)


def _examine_unfinished(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.suffix in (".json", ".csv", ".safetensors") and path.name != run_files.CHECKPOINT:
            yield Finding(path, "is a folder where training will write a file", *_set_aside(path))
    path = folder / run_files.CHECKPOINT
    if not path.exists():
        return
    try:
        experiment = _experiment_of(folder)
        if experiment:
            checkpoints.load(folder, experiment.fingerprint)
        else:
            run_files.read_checkpoint(folder)
    except (OSError, ValueError, TypeError, HwkitError) as error:
        yield Finding(
            path,
            f"cannot be used, so that training starts from the beginning: {error}",
            f"rename it to {path.name}.damaged",
            lambda: run_files.set_aside_checkpoint(folder) and None,
        )


def _experiment_of(folder: Path) -> Experiment | None:
    """What is trained in a folder; None if its experiment.json is damaged, which training does without."""
    try:
        experiment = Experiment.from_dict(storage.read_object(folder / "experiment.json"))
    except (OSError, ValueError, TypeError, HwkitError):
        return None
    return experiment if runs.folder_of(experiment).name == folder.name else None


def _initial_weights_alone_are_damaged(folder: Path) -> bool:
    """Whether nothing is wrong with a run but its weights before training, which the seed gives again."""
    try:
        run = runs.load(folder)
        runs.read_everything(run, but=("initial.safetensors",))
        with tempfile.TemporaryDirectory() as elsewhere:
            drawn = Path(elsewhere) / "initial.safetensors"
            run_files.write_tensors(drawn, models.build(run.experiment).state_dict())
            return storage.sha256(drawn) == run.metrics["files"].get(drawn.name)
    except HwkitError:
        return False


def _redraw(folder: Path) -> None:
    path, run = folder / "initial.safetensors", runs.load(folder)
    if path.is_dir():
        _move_aside(path)
    run_files.write_tensors(path, models.build(run.experiment).state_dict())


def _damaged(folder: Path, error: RunError) -> Finding:
    return Finding(folder, f"is damaged: {error}", *_set_aside(folder))


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, if nobody else does; without writing to a folder that has none, or may not be written."""
    path = folder / ".lock"
    if not path.is_file() or not run_files.is_lock(path):
        yield True
        return
    guard = filelock.FileLock(path)
    try:
        guard.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    except (OSError, NotImplementedError):
        yield True
        return
    try:
        yield True
    finally:
        guard.release()


def _unwritable(folder: Path) -> str:
    """Why nothing can be written to a folder; "" if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


# --- The data sets ----------------------------------------------------------------------------------------------


def examine_data(root: Path) -> Iterator[Finding]:
    """What is wrong with the data sets below a root, every checksum compared."""
    for name, facts in sources.DATASETS.items():
        try:
            files = sources.check(name, root)
        except DataError as error:
            yield Finding(root, f"is no place for data: {error}")
            return
        missing = [file for file in files if file.status == "missing"]
        for file in files:
            if file.status == "damaged":
                yield Finding(file.path, f"{file.detail}", *_set_aside(file.path))
        if missing and len(missing) < len(facts.files):
            yield Finding(missing[0].path, f"is not there: {facts.title} is incomplete; run again with a network")
    for staging in sorted(root.glob(".download-*")):
        if staging.is_dir():
            yield Finding(staging, "was left behind by a download that was killed", *_set_aside(staging))


# --- Setting aside ----------------------------------------------------------------------------------------------


def _set_aside(path: Path) -> tuple[str, Callable[[], None]]:
    return f"move it to {path.parent / SET_ASIDE}", lambda: _move_aside(path)


def _move_aside(path: Path) -> None:
    """Move a file or folder into `set-aside` beside it, under a name that is free there."""
    place = path.parent / SET_ASIDE
    place.mkdir(exist_ok=True)
    free = place / path.name
    number = 1
    while free.exists():
        number += 1
        free = place / f"{path.name}-{number}"
    path.replace(free)
