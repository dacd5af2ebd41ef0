"""The files of a run folder: locked, written whole or not at all, and vouched for by checksums.

Knows folders, files and checksums, and nothing of what was trained; `hwkit.runs` says what a run folder holds.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import safetensors
from torch import Tensor

from hwkit.engine import files
from hwkit.errors import RunError
from hwkit.formats import is_label
from hwkit.paths import CHECKPOINT

# What a damaged or forged file may look like beside a whole one: whatever goes wrong then means the same.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)
SNAPSHOT = re.compile(r"weights-(\d+)\.safetensors")
PREDICTED = re.compile(r"predicted-(\d+)\.safetensors")
FORMAT = 1  # of the run folder; a later version of hwkit must still read it


def exists(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a name that is too long, or a folder that may not be entered
        return path.exists()
    return False


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished run."""
    return exists(folder / "metrics.json")


@contextlib.contextmanager
def lock_folder(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Hold the right to write a folder of the store; see `lock`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_lock(folder / ".lock"):
            raise RunError(f"{folder / '.lock'} is not a regular file; delete it and run again")
        guard = filelock.FileLock(folder / ".lock")
        try:
            guard.acquire(timeout=0)
        except filelock.Timeout:
            on_wait()
            guard.acquire()
        except NotImplementedError:
            guard = contextlib.nullcontext()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield folder
    finally:
        if isinstance(guard, filelock.BaseFileLock):
            guard.release()


def is_lock(path: Path) -> bool:
    """Whether a file can be locked, or made: through a link, old versions of filelock would empty another file."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def tidy(folder: Path) -> None:
    """Remove what a killed process may have left behind. Only for the holder of the folder's lock."""
    leftovers = files.leftovers(folder)
    if is_finished(folder):
        leftovers += folder.glob("checkpoint.*")
    for path in leftovers:
        with contextlib.suppress(OSError):
            path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder of the store; RunError if the disk is full or read-only."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then move it there in one step.

    Raises
    ------
    RunError
        If the disk is full or read-only. What stood at `path` before still does.
    """
    try:
        files.replace(path, write)
    # safetensors wraps the operating system's error in a type of its own
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise cannot_write(path, error) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as indented JSON, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n"))


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any] | None = None) -> None:
    """Write tensors as safetensors, atomically; see `files.write_tensors`."""
    try:
        files.write_tensors(path, tensors, about)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise cannot_write(path, error) from error


def write_snapshot(folder: Path, iteration: int, weights: dict[str, Tensor]) -> None:
    """Write the weights of an unfinished training after an iteration, with a checksum, atomically."""
    write_tensors(folder / snapshot_name(iteration), weights, {"iteration": iteration})


def write_predicted(folder: Path, iteration: int, predicted: Tensor) -> None:
    """Write the classes predicted for the test images after an iteration, int64 (N,), as `write_snapshot` does."""
    write_tensors(folder / predicted_name(iteration), {"predicted": predicted.short()}, {"iteration": iteration})


def is_whole_snapshot(path: Path) -> bool:
    """Whether a file holds what `write_snapshot` or `write_predicted` wrote."""
    try:
        named = SNAPSHOT.fullmatch(path.name) or PREDICTED.fullmatch(path.name)
        return bool(named) and bool(files.read_tensors(path))
    except (OSError, ValueError):
        return False


def snapshot_name(iteration: int) -> str:
    return f"weights-{iteration:08d}.safetensors"


def predicted_name(iteration: int) -> str:
    return f"predicted-{iteration:08d}.safetensors"


def moments(pattern: re.Pattern[str], names: Iterable[str]) -> list[int]:
    """The iterations in those file names that match `SNAPSHOT` or `PREDICTED`, in order."""
    return sorted(int(match[1]) for match in map(pattern.fullmatch, names) if match)


def write_checkpoint(folder: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write the state of an unfinished training, tensors and what JSON can hold, atomically."""
    write_tensors(folder / CHECKPOINT, tensors, {"format": FORMAT, **about})


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote into a folder, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    ValueError
        If it is damaged.
    RunError
        If the system does not let us read it.
    """
    path = folder / CHECKPOINT
    try:
        tensors, about = files.read_tensors(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(
            f"cannot read {path}: {error.strerror or error}. Run again; if that does not help, delete it, and training "
            "starts again from the beginning"
        ) from error
    if about.pop("format", None) != FORMAT:
        raise ValueError("it is of another format")
    return tensors, about


def set_aside_checkpoint(folder: Path) -> Path:
    """Rename a checkpoint that cannot be used, so that training starts again from its beginning."""
    path = folder / CHECKPOINT
    aside = path.with_name(f"{CHECKPOINT}.damaged")
    try:
        path.replace(aside)
    except OSError as error:
        raise cannot_write(aside, error) from error
    return aside


def finish_result(folder: Path, content: dict[str, Any], record: pd.DataFrame) -> None:
    """Write the result folder of a training that is no `Run`; `result.json`, which makes it finished, comes last."""
    write_atomically(folder / "record.csv", lambda temporary: record.to_csv(temporary, index=False))
    content = {"format": FORMAT, **content, "files": {"record.csv": files.sha256(folder / "record.csv")}}
    write_json(folder / "result.json", {**content, "sha256": digest_of(content)})


def find_result(folder: Path) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """What `finish_result` wrote into a folder, content and record; None if it holds no finished result.

    Raises
    ------
    RunError
        If one of the files is damaged, or from a newer hwkit.
    """
    path = folder / "result.json"
    if not exists(path):
        return None
    content = read_vouched(path)
    try:
        check_metrics(content["metrics"])
        check_environment(content["environment"])
    except UNREADABLE as error:
        raise damaged(path, f"is not what a result holds there: {error}") from None
    return content, read_checked(folder, content["files"], "record.csv", lambda text: pd.read_csv(io.BytesIO(text)))


def read_checked(folder: Path, digests: dict[str, str], name: str, parse: Callable[[bytes], Any]) -> Any:
    """What `parse` makes of a file of a folder, after checking that it is the one that was written.

    Raises
    ------
    RunError
        If it cannot be read, has not its SHA-256 in `digests`, or `parse` raises one of `UNREADABLE`.
    """
    path = folder / name
    try:
        content = files.read_bytes(path, files.LARGEST_TENSORS)
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise damaged(path, problem) from None
    if hashlib.sha256(content).hexdigest() != digests.get(name):
        raise damaged(path, "is damaged: its checksum is not the one written when the run finished")
    try:
        return parse(content)
    except UNREADABLE as error:
        raise damaged(path, f"is not what a run holds there: {error}") from None


def digest_of(metrics: dict[str, Any]) -> str:
    """SHA-256 of the metrics, by which `metrics.json` vouches for itself as it does for the other files."""
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()


def read_vouched(path: Path) -> dict[str, Any]:
    """The content of a `metrics.json` or `result.json`, after checking its format and its own checksum."""
    try:
        content = files.read_object(path)
    except (OSError, ValueError) as error:
        raise damaged(path, f"is damaged: {getattr(error, 'strerror', None) or error}") from None
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise RunError(
            f"{path.parent} has run format {content['format']}, this hwkit reads up to {FORMAT}; update hwkit"
        )
    if content.pop("sha256", None) != digest_of(content):
        raise damaged(path, "is damaged: it does not match its checksum")
    named = content.get("files")
    if not isinstance(named, dict) or not all(isinstance(digest, str) for digest in named.values()):
        raise damaged(path, "is not what a run holds there: it names no files")
    return content


def check_metrics(metrics: dict[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError unless these can be the results of a training."""
    for name in ("test_accuracy", "train_accuracy"):
        if not 0 <= metrics[name] <= 1:
            raise ValueError(f"{name} is {metrics[name]!r}")
    for name in ("test_loss", "seconds"):
        if not 0 <= metrics[name] < math.inf:
            raise ValueError(f"{name} is {metrics[name]!r}")
    for name in ("test_images", "train_images", "iterations"):
        if type(metrics[name]) is not int or metrics[name] < 1:
            raise ValueError(f"{name} is {metrics[name]!r}")
    if type(metrics.get("training_version", 1)) is not int:
        raise ValueError(f"training_version is {metrics['training_version']!r}")
    datetime.datetime.fromisoformat(metrics["finished"])


def check_environment(environment: dict[str, Any]) -> None:
    """Raise ValueError or AttributeError unless a report may show all texts of an environment as they are."""
    for name, value in environment.items():
        for text in (name, *(value.values() if isinstance(value, dict) else [value])):
            if isinstance(text, str) and not is_label(text):
                raise ValueError(f"it says {text!r}")


def damaged(path: Path, problem: str) -> RunError:
    return RunError(
        f"{path} {problem}. Delete or move away the folder {path.parent} and train again (`hwkit doctor --repair` does)"
    )


def cannot_write(path: Path, error: Exception) -> RunError:
    if path.is_dir() and isinstance(error, IsADirectoryError):
        return RunError(f"{path} is in the way of a file: it is a folder. Delete it, or move it away, and run again")
    free = ""
    with contextlib.suppress(OSError):
        free = f" ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free)"
    return RunError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}{free}. Finished runs and the last "
        "checkpoint are kept. Free some space, or point HWKIT_HOME at a folder that can be written, and run again"
    )
