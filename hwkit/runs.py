"""Runs on disk: what training leaves behind, and the only place where run folders are written and read.

A run folder holds

- `experiment.json`: what was trained;
- `environment.json`: versions, device, threads, precision and data checksum it was trained with;
- `initial.safetensors`, `final.safetensors`: the weights before and after training;
- `predictions.safetensors`: the final network's logits over the test images, and their labels;
- `record.csv`: loss and accuracies during training;
- `metrics.json`: the results, and the SHA-256 of every other file and of itself. It is written last: a folder that has
  it is a finished run, and a file that does not match it is damaged;
- `weights-ITERATION.safetensors`: the weights on the way, where the training was asked to keep some;
- `checkpoint.safetensors`: while training is under way, and never afterwards; it vouches for itself;
- `index.safetensors`, once someone has explored the run: what can be computed again from the rest, with a checksum of
  its own. It is no part of the run, and one that is missing or damaged is made anew.

A training that is no `Run`, because it has no weights to look into, leaves a result folder: `record.csv` as above, and
`result.json` with everything else, which is written last and vouches for both.

Every file is written beside its place and moved there, so that a crash or a full disk leaves the old one whole. A
checksum tells that a file is as it was written, not who wrote it: what a run says is also checked for being possible,
and nothing that is read here can run code.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import safetensors
import torch
from torch import Tensor, nn

from hwkit import models
from hwkit.engine import catalogue
from hwkit.engine import files as storage
from hwkit.errors import RunError, did_you_mean
from hwkit.experiment import TRAINING_VERSION, Experiment, is_label
from hwkit.paths import CHECKPOINT, store_root

# What a damaged or forged checkpoint may look like beside a whole one: whatever goes wrong then means the same.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)
_SNAPSHOT = re.compile(r"weights-(\d+)\.safetensors")
FORMAT = 1  # of the run folder; a later version of hwkit must go on reading it
RECORD_COLUMNS = (
    "iteration",
    "epoch",
    "loss",
    "penalty",
    "train_accuracy",
    "test_accuracy",
    "learning_rate",
    "seconds",
)


@dataclass(frozen=True)
class Run:
    """A finished run. Files are read when first asked for, and checked against their SHA-256."""

    folder: Path
    experiment: Experiment
    metrics: dict[str, Any]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def framework(self) -> str:
        """What trained it."""
        return "PyTorch"

    @property
    def fingerprint(self) -> str:
        """The experiment's fingerprint, under the version of the training code that trained it."""
        return self.experiment.fingerprint_under(self.training_version)

    @property
    def training_version(self) -> int:
        """The version of the training code that trained it; `experiment.TRAINING_VERSION` is that of this hwkit."""
        return self.metrics.get("training_version", 1)

    @property
    def test_accuracy(self) -> float:
        """Share of the test images that the final network classifies correctly."""
        return self.metrics["test_accuracy"]

    @property
    def finished(self) -> str:
        """When training finished, to the minute, in UTC: "2026-11-23 17:35"."""
        return self.metrics["finished"][:16].replace("T", " ")

    @cached_property
    def record(self) -> pd.DataFrame:
        """Loss and accuracies during training; one row per record, columns `RECORD_COLUMNS`."""
        return self._parsed("record.csv", _parse_record)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the run was trained with: versions, device, threads, precision, data checksum."""
        return self._parsed("environment.json", _parse_environment)

    @cached_property
    def initial_weights(self) -> dict[str, Tensor]:
        """Parameters before training by name, float32."""
        return self._weights("initial.safetensors")

    @cached_property
    def final_weights(self) -> dict[str, Tensor]:
        """Parameters after training by name, float32."""
        return self._weights("final.safetensors")

    @property
    def weight_moments(self) -> list[int]:
        """The iterations after which the weights were kept: 0, those of snapshots, and the last."""
        found = (_SNAPSHOT.fullmatch(name) for name in self.metrics["files"])
        return sorted({0, self.metrics["iterations"], *(int(match[1]) for match in found if match)})

    def weights_at(self, iteration: int) -> dict[str, Tensor]:
        """Parameters after one of `weight_moments` by name, float32; any other is a RunError."""
        if iteration not in self.weight_moments:
            kept = ", ".join(map(str, self.weight_moments))
            raise RunError(f"{self.name} has no weights of iteration {iteration!r}; it has those of: {kept}")
        if iteration in (0, self.metrics["iterations"]):
            return self.final_weights if iteration else self.initial_weights
        return self._weights(_snapshot_name(iteration))

    @cached_property
    def logits(self) -> Tensor:
        """Outputs of the final network for the test images before softmax, float32 (N, 10)."""
        return self._predictions["logits"]

    @cached_property
    def labels(self) -> Tensor:
        """True classes of the test images, int64 (N,)."""
        return self._predictions["labels"]

    @cached_property
    def _predictions(self) -> dict[str, Tensor]:
        count = self.metrics["test_images"]
        wanted = {"logits": ((count, 10), torch.float32), "labels": ((count,), torch.int64)}
        found = self._parsed("predictions.safetensors", lambda content: _parse_tensors(content, wanted))
        right = int((found["logits"].argmax(dim=1) == found["labels"]).sum())
        lowest, highest = found["labels"].aminmax()
        if lowest < 0 or highest > 9 or right / count != self.test_accuracy:
            problem = f"does not agree with the test accuracy in metrics.json, {self.test_accuracy}"
            raise _damaged(self.folder / "predictions.safetensors", problem)
        return found

    def model(self) -> nn.Module:
        """The trained network, in evaluation mode, on the CPU."""
        model = models.build(self.experiment)
        model.load_state_dict(self.final_weights)
        return model.eval()

    def _weights(self, name: str) -> dict[str, Tensor]:
        built = models.build(self.experiment).state_dict()
        wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in built.items()}
        return self._parsed(name, lambda content: _parse_tensors(content, wanted))

    def _parsed(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """What `parse` makes of a file, after checking that it is the one that was written."""
        path = self.folder / name
        try:
            content = storage.read_bytes(path, storage.LARGEST_TENSORS)
        except (OSError, ValueError) as error:
            problem = f"cannot be read ({getattr(error, 'strerror', None) or error})"
            raise _damaged(path, problem) from None
        if hashlib.sha256(content).hexdigest() != self.metrics["files"].get(name):
            raise _damaged(path, "is damaged: its checksum is not the one written when the run finished")
        try:
            return parse(content)
        except _UNREADABLE as error:
            raise _damaged(path, f"is not what a run holds there: {error}") from None

    def __str__(self) -> str:
        e = self.experiment
        source = "" if e.data == "real" else f", {e.data} data"
        return (
            f"{e.name} ({e.profile}{source}): test accuracy {self.test_accuracy:.4f}, "
            f"{e.iterations} iterations in {self.metrics['seconds']:.0f} s, {self.folder.name}"
        )

    __repr__ = __str__


def folder_of(experiment: Experiment, root: Path | None = None) -> Path:
    """Where the run of an experiment lives; the same for every experiment with the same fingerprint."""
    return (root or store_root()) / f"{experiment.dataset}-{experiment.fingerprint}"


def find(experiment: Experiment, root: Path | None = None) -> Run | None:
    """The finished run of an experiment, or None. The run carries the experiment's name, whoever trained it.

    Raises
    ------
    RunError
        As `load` does, and if the folder holds the run of another experiment.
    """
    folder = folder_of(experiment, root)
    if not is_finished(folder):
        return None
    stored = load(folder)
    if stored.fingerprint != experiment.fingerprint:
        right = f"{stored.experiment.dataset}-{stored.fingerprint}"
        raise RunError(
            f"{folder} holds the run of another experiment, {stored.name}, whose place is {right}. Rename it to that, "
            "or move it away; `hwkit doctor --repair` does"
        )
    return Run(folder, experiment, stored.metrics)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished run."""
    return _exists(folder / "metrics.json")


def _exists(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a name that is too long, or a folder that may not be entered
        return path.exists()
    return False


def load(folder: Path) -> Run:
    """The finished run in a folder.

    Raises
    ------
    RunError
        If the folder holds no finished run, or its description is damaged or from a newer hwkit.
    """
    if not is_finished(folder):
        state = "is unfinished" if _exists(folder / CHECKPOINT) else "holds no run"
        raise RunError(f"{folder} {state}; `hwkit runs` lists the finished ones")
    metrics = _read_vouched(folder / "metrics.json")
    try:
        _check_metrics(metrics)
    except _UNREADABLE as error:
        raise _damaged(folder / "metrics.json", f"is not what a run holds there: {error}") from None
    if metrics.get("training_version", 1) > TRAINING_VERSION:
        raise RunError(
            f"{folder} was trained by a newer hwkit (training version {metrics['training_version']}, this one has "
            f"{TRAINING_VERSION}); update hwkit"
        )
    described = Run(folder, None, metrics)  # type: ignore[arg-type]
    try:
        experiment = described._parsed(
            "experiment.json", lambda content: Experiment.from_dict(storage.parse_object(content))
        )
    except RunError as error:
        raise RunError(str(error).replace("is not what a run holds there", "does not describe an experiment")) from None
    return Run(folder, experiment, metrics)


def read_everything(run: Run, but: tuple[str, ...] = ()) -> None:
    """Read and check every file of a run, except those named in `but`; RunError for the first that is damaged."""
    readers = {
        "record.csv": lambda: run.record,
        "environment.json": lambda: run.environment,
        "final.safetensors": lambda: run.final_weights,
        "initial.safetensors": lambda: run.initial_weights,
        "predictions.safetensors": lambda: run.logits,
    }
    for name, read in readers.items():
        if name not in but:
            read()
    for iteration in run.weight_moments[1:-1]:
        run.weights_at(iteration)


def list_runs(root: Path | None = None) -> tuple[list[Run], list[str]]:
    """The finished runs of the store, newest first, and one line on each folder that cannot be read."""
    found, problems = [], []
    root = root or store_root()
    for folder in _folders(root):
        try:
            if is_finished(folder):
                found.append(load(folder))
        except RunError as error:
            problems.append(str(error))
    found.sort(key=lambda run: run.metrics["finished"], reverse=True)
    return found, problems


def _folders(root: Path | None) -> list[Path]:
    root = root or store_root()
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def resolve(reference: str, root: Path | None = None) -> Run:
    """The run that a user means: a folder's name or path, the beginning of a fingerprint, or an experiment's name.

    Of several runs with one experiment name, the newest that this version of the training code trained; those of older
    versions have to be named by their folder. An unknown reference is a RunError that lists what exists.
    """
    root = root or store_root()
    for folder in (root / reference, Path(reference).expanduser()):
        if reference and _exists(folder / "experiment.json"):
            return load(folder)
    found = catalogue.list_store(root)
    current = [line for line in found.runs if line.training_version == TRAINING_VERSION]
    for line in current:
        if reference == line.name or line.folder.split("-")[-1].startswith(reference or " "):
            return load(root / line.folder)
    names = sorted({line.name for line in current})
    listing = did_you_mean(reference, names) if names else f"there is no finished run in {root}"
    raise RunError("; ".join([f"no run {reference!r}; {listing}", *found.problems]))


# --- Writing ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def lock(
    experiment: Experiment, root: Path | None = None, on_wait: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Hold the right to train an experiment: creates its folder, and waits while another process holds it.

    `on_wait` is called once if there is something to wait for. Yields the folder. The operating system releases the
    lock of a process that dies. On file systems without locks (some network mounts) there is none.
    """
    with lock_folder(folder_of(experiment, root), on_wait) as folder:
        yield folder


@contextlib.contextmanager
def lock_folder(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Hold the right to write a folder of the store; see `lock`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_lock(folder / ".lock"):
            raise RunError(f"{folder / '.lock'} is no plain file; delete it and run again")
        guard = filelock.FileLock(folder / ".lock")
        try:
            guard.acquire(timeout=0)
        except filelock.Timeout:
            on_wait()
            guard.acquire()
        except NotImplementedError:
            guard = contextlib.nullcontext()
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield folder
    finally:
        if isinstance(guard, filelock.BaseFileLock):
            guard.release()


def is_lock(path: Path) -> bool:
    """Whether a file can be locked, or made: through a link, old versions of filelock would empty another file."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside `path`, then move it there in one step.

    Raises
    ------
    RunError
        If the disk is full or read-only. What stood at `path` before still does.
    """
    try:
        storage.replace(path, write)
    # safetensors wraps the operating system's error in a type of its own
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise _cannot_write(path, error) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as indented JSON, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n"))


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any] | None = None) -> None:
    """Write tensors as safetensors, atomically; see `storage.write_tensors`."""
    try:
        storage.write_tensors(path, tensors, about)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise _cannot_write(path, error) from error


def write_snapshot(folder: Path, iteration: int, weights: dict[str, Tensor]) -> None:
    """Write the weights of an unfinished training after an iteration, with a checksum, atomically."""
    write_tensors(folder / _snapshot_name(iteration), weights, {"iteration": iteration})


def _is_whole_snapshot(path: Path) -> bool:
    """Whether a file holds the weights that `write_snapshot` wrote."""
    try:
        return bool(_SNAPSHOT.fullmatch(path.name)) and bool(storage.read_tensors(path))
    except (OSError, ValueError):
        return False


def _snapshot_name(iteration: int) -> str:
    return f"weights-{iteration:08d}.safetensors"


def write_index(run: Run, tensors: dict[str, Tensor]) -> None:
    """Keep tensors that were computed from a run in its folder, with checksums of them and of the run.

    Raises
    ------
    RunError
        If the folder was deleted or cannot be written.
    """
    write_tensors(run.folder / "index.safetensors", tensors, {"run": _digest_of(run.metrics)})


def read_index(run: Run) -> dict[str, Tensor] | None:
    """What `write_index` kept; None if there is nothing, or it is damaged or belongs to another run."""
    try:
        tensors, about = storage.read_tensors(run.folder / "index.safetensors")
    except (OSError, *_UNREADABLE):
        return None
    return tensors if about == {"run": _digest_of(run.metrics)} else None


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
        tensors, about = storage.read_tensors(path)
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
        raise _cannot_write(aside, error) from error
    return aside


def finish(
    experiment: Experiment,
    folder: Path,
    *,
    weights: dict[str, Tensor],
    logits: Tensor,
    labels: Tensor,
    record: pd.DataFrame,
    environment: dict[str, Any],
    metrics: dict[str, Any],
) -> Run:
    """Write what a finished training leaves behind; `metrics.json`, which makes it a finished run, comes last.

    A snapshot that was damaged since it was written is no part of the run.
    """
    write_json(folder / "experiment.json", experiment.as_dict())
    write_json(folder / "environment.json", environment)
    write_tensors(folder / "initial.safetensors", models.build(experiment).state_dict())
    write_tensors(folder / "final.safetensors", weights)
    write_tensors(folder / "predictions.safetensors", {"logits": logits, "labels": labels})
    write_atomically(folder / "record.csv", lambda temporary: record.to_csv(temporary, index=False))
    hashed = ("experiment.json", "environment.json", "record.csv")
    hashed += ("initial.safetensors", "final.safetensors", "predictions.safetensors")
    hashed += tuple(sorted(path.name for path in folder.iterdir() if _is_whole_snapshot(path)))
    files = {name: storage.sha256(folder / name) for name in hashed}
    metrics = {"format": FORMAT, "training_version": TRAINING_VERSION, **metrics, "files": files}
    write_json(folder / "metrics.json", {**metrics, "sha256": _digest_of(metrics)})
    tidy(folder)
    return load(folder)


def tidy(folder: Path) -> None:
    """Remove what a killed process may have left behind. Only for the holder of the folder's lock."""
    leftovers = storage.leftovers(folder)
    if is_finished(folder):
        leftovers += folder.glob("checkpoint.*")
    for path in leftovers:
        with contextlib.suppress(OSError):
            path.unlink()


def finish_result(folder: Path, content: dict[str, Any], record: pd.DataFrame) -> None:
    """Write the result folder of a training that is no `Run`; `result.json`, which makes it finished, comes last."""
    write_atomically(folder / "record.csv", lambda temporary: record.to_csv(temporary, index=False))
    content = {"format": FORMAT, **content, "files": {"record.csv": storage.sha256(folder / "record.csv")}}
    write_json(folder / "result.json", {**content, "sha256": _digest_of(content)})


def find_result(folder: Path) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """What `finish_result` wrote into a folder, content and record; None if it holds no finished result.

    Raises
    ------
    RunError
        If one of the files is damaged, or from a newer hwkit.
    """
    path = folder / "result.json"
    if not _exists(path):
        return None
    content = _read_vouched(path)
    stored = Run(folder, None, content)  # type: ignore[arg-type]
    try:
        _check_metrics(content["metrics"])
        check_environment(content["environment"])
    except _UNREADABLE as error:
        raise _damaged(path, f"is not what a result holds there: {error}") from None
    return content, stored._parsed("record.csv", lambda text: pd.read_csv(io.BytesIO(text)))


def _digest_of(metrics: dict[str, Any]) -> str:
    """SHA-256 of the metrics, by which `metrics.json` vouches for itself as it does for the other files."""
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()


def _read_vouched(path: Path) -> dict[str, Any]:
    """The content of a `metrics.json` or `result.json`, after checking its format and its own checksum."""
    try:
        content = storage.read_object(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, f"is damaged: {getattr(error, 'strerror', None) or error}") from None
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise RunError(
            f"{path.parent} has run format {content['format']}, this hwkit reads up to {FORMAT}; update hwkit"
        )
    if content.pop("sha256", None) != _digest_of(content):
        raise _damaged(path, "is damaged: it does not match its checksum")
    files = content.get("files")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise _damaged(path, "is not what a run holds there: it names no files")
    return content


def _check_metrics(metrics: dict[str, Any]) -> None:
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


def _parse_environment(content: bytes) -> dict[str, Any]:
    environment = storage.parse_object(content)
    check_environment(environment)
    return environment


def _parse_record(content: bytes) -> pd.DataFrame:
    record = pd.read_csv(io.BytesIO(content))
    if tuple(record.columns) != RECORD_COLUMNS:
        raise ValueError(f"its columns are {', '.join(map(str, record.columns))[:200]}")
    if not all(map(pd.api.types.is_numeric_dtype, record.dtypes)):
        raise ValueError("it holds other things than numbers")
    return record


def _parse_tensors(content: bytes, wanted: dict[str, tuple[tuple[int, ...], torch.dtype]]) -> dict[str, Tensor]:
    """The tensors of a file; ValueError unless they have the wanted names, shapes and types and are finite."""
    tensors = storage.parse_tensors(content)
    if {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()} != wanted:
        raise ValueError("its tensors have other names, shapes or types")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ValueError("its numbers are not all finite")
    return tensors


def _damaged(path: Path, problem: str) -> RunError:
    return RunError(
        f"{path} {problem}. Delete or move away the folder {path.parent} and train again (`hwkit doctor --repair` does)"
    )


def _cannot_write(path: Path, error: Exception) -> RunError:
    if path.is_dir() and isinstance(error, IsADirectoryError):
        return RunError(f"{path} is in the way of a file: it is a folder. Delete it, or move it away, and run again")
    free = ""
    with contextlib.suppress(OSError):
        free = f" ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free)"
    return RunError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}{free}. Finished runs and the last "
        "checkpoint are kept. Free some space, or point HWKIT_HOME at a folder that can be written, and run again"
    )
