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
- `checkpoint.pt`: while training is under way, and never afterwards;
- `index.safetensors`, once someone has explored the run: what can be computed again from the rest, with a checksum of
  its own. It is no part of the run, and one that is missing or damaged is made anew.

A training that is no `Run`, because it has no weights to look into, leaves a result folder: `record.csv` as above, and
`result.json` with everything else, which is written last and vouches for both.

Every file is written beside its place and moved there, so that a crash or a full disk leaves the old one whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from hwkit import models
from hwkit.errors import ExperimentError, RunError, did_you_mean
from hwkit.experiment import Experiment
from hwkit.paths import store_root

CHECKPOINT_KEYS = {
    "model",
    "optimizer",
    "iteration",
    "rows",
    "seconds",
    "random_state",
    "environment",
}
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
        """The experiment's fingerprint."""
        return self.experiment.fingerprint

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
        return pd.read_csv(self._verified("record.csv"))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the run was trained with: versions, device, threads, precision, data checksum."""
        return json.loads(self._verified("environment.json").read_text())

    @cached_property
    def initial_weights(self) -> dict[str, Tensor]:
        """Parameters before training by name, float32."""
        return safetensors.torch.load_file(self._verified("initial.safetensors"))

    @cached_property
    def final_weights(self) -> dict[str, Tensor]:
        """Parameters after training by name, float32."""
        return safetensors.torch.load_file(self._verified("final.safetensors"))

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
        return safetensors.torch.load_file(self._verified(_snapshot_name(iteration)))

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
        return safetensors.torch.load_file(self._verified("predictions.safetensors"))

    def model(self) -> nn.Module:
        """The trained network, in evaluation mode, on the CPU."""
        model = models.build(self.experiment)
        model.load_state_dict(self.final_weights)
        return model.eval()

    def _verified(self, name: str) -> Path:
        path = self.folder / name
        try:
            digest = _sha256(path)
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
        else:
            if digest == self.metrics["files"].get(name):
                return path
            problem = "is damaged: its checksum is not the one written when the run finished"
        raise RunError(f"{path} {problem}. {_retrain_hint(self.folder)}")

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
    """The finished run of an experiment, or None. The run carries the experiment's name, whoever trained it."""
    folder = folder_of(experiment, root)
    if not is_finished(folder):
        return None
    stored = load(folder)
    return Run(folder, experiment, stored.metrics)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished run."""
    return (folder / "metrics.json").exists()


def load(folder: Path) -> Run:
    """The finished run in a folder.

    Raises
    ------
    RunError
        If the folder holds no finished run, or its description is damaged or from a newer hwkit.
    """
    if not is_finished(folder):
        state = "is unfinished" if (folder / "checkpoint.pt").exists() else "holds no run"
        raise RunError(f"{folder} {state}; `hwkit runs` lists the finished ones")
    metrics = _read_vouched(folder / "metrics.json")
    path = Run(folder, None, metrics)._verified("experiment.json")  # type: ignore[arg-type]
    try:
        experiment = Experiment.from_dict(_read_json(path))
    except (ExperimentError, TypeError) as error:
        raise RunError(f"{path} does not describe an experiment of this hwkit: {error}") from None
    return Run(folder, experiment, metrics)


def list_runs(root: Path | None = None) -> tuple[list[Run], list[str]]:
    """The finished runs of the store, newest first, and one line on each folder that cannot be read."""
    found, problems = [], []
    root = root or store_root()
    for metrics in sorted(root.glob("*/metrics.json")) if root.is_dir() else []:
        try:
            found.append(load(metrics.parent))
        except RunError as error:
            problems.append(str(error))
    found.sort(key=lambda run: run.metrics["finished"], reverse=True)
    return found, problems


def unfinished(root: Path | None = None) -> list[Path]:
    """Folders of the store in which training was begun and not finished."""
    root = root or store_root()
    begun = sorted(root.glob("*/checkpoint.pt")) if root.is_dir() else []
    return [path.parent for path in begun if not is_finished(path.parent)]


def resolve(reference: str, root: Path | None = None) -> Run:
    """The run that a user means: a folder's name or path, the beginning of a fingerprint, or an experiment's name.

    Of several runs with one experiment name, the newest. An unknown reference is a RunError that lists what exists.
    """
    root = root or store_root()
    for folder in (root / reference, Path(reference).expanduser()):
        if reference and (folder / "experiment.json").exists():
            return load(folder)
    found, problems = list_runs(root)
    for run in found:
        if reference == run.name or run.folder.name.split("-")[-1].startswith(reference or " "):
            return run
    names = sorted({run.name for run in found})
    listing = did_you_mean(reference, names) if names else f"there is no finished run in {root}"
    raise RunError("; ".join([f"no run {reference!r}; {listing}", *problems]))


def table(found: list[Run]) -> pd.DataFrame:
    """Name, profile, data, accuracy, duration, date and folder of runs."""
    rows = [
        {
            "name": run.name,
            "profile": run.experiment.profile,
            "data": run.experiment.data,
            "seed": run.experiment.seed,
            "test accuracy": f"{run.test_accuracy:.4f}",
            "duration": duration(run.metrics["seconds"]),
            "finished": run.finished,
            "folder": run.folder.name,
        }
        for run in found
    ]
    return pd.DataFrame(rows)


def duration(seconds: float) -> str:
    """Seconds as people write them: 42 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


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


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside `path`, then move it there in one step.

    Raises
    ------
    RunError
        If the disk is full or read-only. What stood at `path` before still does.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    # safetensors and torch wrap the operating system's error in types of their own
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as indented JSON, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n"))


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda temporary: safetensors.torch.save_file(on_cpu, temporary))


def write_snapshot(folder: Path, iteration: int, weights: dict[str, Tensor]) -> None:
    """Write the weights of an unfinished training after an iteration, atomically."""
    write_tensors(folder / _snapshot_name(iteration), weights)


def _snapshot_name(iteration: int) -> str:
    return f"weights-{iteration:08d}.safetensors"


def write_index(run: Run, tensors: dict[str, Tensor]) -> None:
    """Keep tensors that were computed from a run in its folder, with checksums of them and of the run.

    Raises
    ------
    RunError
        If the folder was deleted or cannot be written.
    """
    metadata = {"run": _digest_of(run.metrics), "sha256": _digest_of_tensors(tensors)}
    write_atomically(
        run.folder / "index.safetensors",
        lambda temporary: safetensors.torch.save_file(tensors, temporary, metadata=metadata),
    )


def read_index(run: Run) -> dict[str, Tensor] | None:
    """What `write_index` kept; None if there is nothing, or it is damaged or belongs to another run."""
    try:
        with safetensors.safe_open(run.folder / "index.safetensors", framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
    except (OSError, safetensors.SafetensorError):
        return None
    expected = {"run": _digest_of(run.metrics), "sha256": _digest_of_tensors(tensors)}
    return tensors if metadata == expected else None


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of an unfinished training, atomically."""
    write_atomically(folder / "checkpoint.pt", lambda temporary: torch.save(state, temporary))


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state of an unfinished training, on the CPU, or None if there is none that can be read.

    A damaged checkpoint is set aside as `checkpoint.pt.damaged`: training then starts again from its beginning.
    """
    path = folder / "checkpoint.pt"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}. Nothing is lost; run again") from error
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # torch names no class for "this is not a file that I wrote"
        state = None
    if not isinstance(state, dict) or set(state) != CHECKPOINT_KEYS:
        write_atomically(path.with_name("checkpoint.pt.damaged"), lambda temporary: temporary.write_bytes(content))
        path.unlink()
        return None
    return state


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
    """Write what a finished training leaves behind; `metrics.json`, which makes it a finished run, comes last."""
    write_json(folder / "experiment.json", experiment.as_dict())
    write_json(folder / "environment.json", environment)
    write_tensors(folder / "initial.safetensors", models.build(experiment).state_dict())
    write_tensors(folder / "final.safetensors", weights)
    write_tensors(folder / "predictions.safetensors", {"logits": logits, "labels": labels})
    write_atomically(folder / "record.csv", lambda temporary: record.to_csv(temporary, index=False))
    hashed = ("experiment.json", "environment.json", "record.csv")
    hashed += ("initial.safetensors", "final.safetensors", "predictions.safetensors")
    hashed += tuple(sorted(path.name for path in folder.iterdir() if _SNAPSHOT.fullmatch(path.name)))
    files = {name: _sha256(folder / name) for name in hashed}
    metrics = {"format": FORMAT, **metrics, "files": files}
    write_json(folder / "metrics.json", {**metrics, "sha256": _digest_of(metrics)})
    tidy(folder)
    return load(folder)


def tidy(folder: Path) -> None:
    """Remove what a killed process may have left behind. Only for the holder of the folder's lock."""
    leftovers = list(folder.glob(".*.????????"))  # the temporary files of write_atomically
    if is_finished(folder):
        leftovers += folder.glob("checkpoint.pt*")
    for path in leftovers:
        with contextlib.suppress(OSError):
            path.unlink()


def finish_result(folder: Path, content: dict[str, Any], record: pd.DataFrame) -> None:
    """Write the result folder of a training that is no `Run`; `result.json`, which makes it finished, comes last."""
    write_atomically(folder / "record.csv", lambda temporary: record.to_csv(temporary, index=False))
    content = {"format": FORMAT, **content, "files": {"record.csv": _sha256(folder / "record.csv")}}
    write_json(folder / "result.json", {**content, "sha256": _digest_of(content)})


def find_result(folder: Path) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """What `finish_result` wrote into a folder, content and record; None if it holds no finished result.

    Raises
    ------
    RunError
        If one of the files is damaged, or from a newer hwkit.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    content = _read_vouched(path)
    record = folder / "record.csv"
    if not record.exists() or _sha256(record) != content["files"]["record.csv"]:
        raise RunError(f"{record} is missing or damaged. {_retrain_hint(folder)}")
    return content, pd.read_csv(record)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(metrics: dict[str, Any]) -> str:
    """SHA-256 of the metrics, by which `metrics.json` vouches for itself as it does for the other files."""
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()


def _digest_of_tensors(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the names and contents of tensors, by which an index vouches for itself."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy())
    return digest.hexdigest()


def _read_vouched(path: Path) -> dict[str, Any]:
    """The content of a `metrics.json` or `result.json`, after checking its format and its own checksum."""
    content = _read_json(path)
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise RunError(
            f"{path.parent} has run format {content['format']}, this hwkit reads up to {FORMAT}; update hwkit"
        )
    if content.pop("sha256", None) != _digest_of(content):
        raise RunError(f"{path} is damaged: it does not match its checksum. {_retrain_hint(path.parent)}")
    return content


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}. {_retrain_hint(path.parent)}") from None
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object. {_retrain_hint(path.parent)}")
    return content


def _retrain_hint(folder: Path) -> str:
    return f"Delete or move away the folder {folder} and train again"


def _cannot_write(path: Path, error: Exception) -> RunError:
    free = ""
    with contextlib.suppress(OSError):
        free = f" ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free)"
    return RunError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}{free}. Finished runs and the last "
        "checkpoint are kept. Free some space, or point HWKIT_HOME at a folder that can be written, and run again"
    )
