"""Runs on disk: what training leaves behind, and the only place where run folders are written and read.

A run folder holds

- `experiment.json`: what was trained;
- `environment.json`: versions, device, threads, precision and data checksum it was trained with;
- `initial.safetensors`, `final.safetensors`: the weights before and after training;
- `predictions.safetensors`: the final network's logits over the test images, and their labels;
- `record.csv`: loss and accuracies during training;
- `metrics.json`: the results, and the SHA-256 of every other file and of itself. It is written last: a folder that has
  it is a finished run, and a file that does not match it is damaged;
- `code.txt`, where the network or augmentation is the user's own: its source, to be read and never executed;
- `weights-ITERATION.safetensors`: the weights on the way, where the training was asked to keep some;
- `predicted-ITERATION.safetensors`: the classes predicted for the test images on the way, where the experiment asks for
  evaluations;
- `checkpoint.safetensors`: while training is under way, and never afterwards; it vouches for itself;
- `train-correct.safetensors`, once its training accuracy was compared: what can be computed again from the rest, with
  a checksum of its own. It is not part of the run; if it is missing or damaged, it is computed again.

Every file is written beside its place and moved there, so that a crash or a full disk leaves the old one whole. A
checksum tells that a file is as it was written, not who wrote it: what a run says is also checked for being possible,
and nothing that is read here can run code.

`hwkit.runs()` lists the finished runs, `hwkit.load` gives one of them.
"""

from __future__ import annotations

import contextlib
import io
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from hwkit import models
from hwkit.datasets import own
from hwkit.engine import catalogue, code, files, provenance, run_files
from hwkit.engine.run_files import PREDICTED, SNAPSHOT, UNREADABLE, damaged, exists, is_finished
from hwkit.errors import RunError, did_you_mean
from hwkit.experiment import TRAINING_VERSION, Experiment
from hwkit.paths import CHECKPOINT, store_root

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
        """Fraction of the test images that the final network classifies correctly."""
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
        return sorted({0, self.metrics["iterations"], *run_files.moments(SNAPSHOT, self.metrics["files"])})

    def weights_at(self, iteration: int) -> dict[str, Tensor]:
        """Parameters after one of `weight_moments` by name, float32; any other is a RunError."""
        if iteration not in self.weight_moments:
            kept = ", ".join(map(str, self.weight_moments))
            raise RunError(f"{self.name} has no weights of iteration {iteration!r}; it has those of: {kept}")
        if iteration in (0, self.metrics["iterations"]):
            return self.final_weights if iteration else self.initial_weights
        return self._weights(run_files.snapshot_name(iteration))

    @cached_property
    def predicted_at(self) -> dict[int, Tensor]:
        """The classes predicted for the test images by iteration, int64 (N,); the last ones are the final network's.

        Those before are there if the experiment has `evaluations`.
        """
        count = self.metrics["test_images"]

        def parse(content: bytes) -> Tensor:
            wanted = {"predicted": ((count,), torch.int16)}
            return files.require_tensors(_parse_tensors(content), wanted)["predicted"].long()

        moments = run_files.moments(PREDICTED, self.metrics["files"])
        found = {iteration: self._parsed(run_files.predicted_name(iteration), parse) for iteration in moments}
        return {**found, self.metrics["iterations"]: self.logits.argmax(dim=1)}

    @cached_property
    def logits(self) -> Tensor:
        """Outputs of the final network for the test images before softmax, float32 (N, classes)."""
        return self._predictions["logits"]

    @cached_property
    def labels(self) -> Tensor:
        """True classes of the test images, int64 (N,)."""
        return self._predictions["labels"]

    @cached_property
    def _predictions(self) -> dict[str, Tensor]:
        count = self.metrics["test_images"]

        def parse(content: bytes) -> dict[str, Tensor]:
            found = _parse_tensors(content)
            classes = found["logits"].shape[1]
            wanted = {"logits": ((count, classes), torch.float32), "labels": ((count,), torch.int64)}
            return files.require_tensors(found, wanted)

        found = self._parsed("predictions.safetensors", parse)
        right = int((found["logits"].argmax(dim=1) == found["labels"]).sum())
        lowest, highest = found["labels"].aminmax()
        if lowest < 0 or highest >= found["logits"].shape[1] or right / count != self.test_accuracy:
            problem = f"does not agree with the test accuracy in metrics.json, {self.test_accuracy}"
            raise damaged(self.folder / "predictions.safetensors", problem)
        return found

    def model(self) -> nn.Module:
        """The trained network, in evaluation mode, on the CPU.

        Raises
        ------
        RunError
            If it is a network of your own and was not passed to `load`.
        """
        model = models.build(self.experiment)
        model.load_state_dict(self.final_weights)
        return model.eval()

    @cached_property
    def code(self) -> str:
        """The source of the user's own network or augmentation, to be read; empty where there is none."""
        return self._parsed("code.txt", bytes.decode) if "code.txt" in self.metrics["files"] else ""

    def _weights(self, name: str) -> dict[str, Tensor]:
        def parse(content: bytes) -> dict[str, Tensor]:
            found = _parse_tensors(content)
            if not models.known(self.experiment):
                return found  # what shapes a network of the user's own has, only the network knows
            built = models.build(self.experiment).state_dict()
            wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in built.items()}
            return files.require_tensors(found, wanted)

        return self._parsed(name, parse)

    def _parsed(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        return run_files.read_checked(self.folder, self.metrics["files"], name, parse)

    def __str__(self) -> str:
        e = self.experiment
        source = "" if e.data == "real" else f", {e.data} data"
        return (
            f"{e.name} ({e.profile}{source}): test accuracy {self.test_accuracy:.4f}, "
            f"{self.metrics['iterations']} iterations in {self.metrics['seconds']:.0f} s, {self.folder.name}"
        )

    __repr__ = __str__


Runs = Run | Sequence[Run]  # of one recipe: one seed, or several in a list


def as_list(runs: Runs) -> list[Run]:
    """The runs of a recipe as a list, which one run alone makes too."""
    return [runs] if isinstance(runs, Run) else list(runs)


def folder_of(experiment: Experiment, root: Path | None = None) -> Path:
    """Where the run of an experiment lives; the same for every experiment with the same fingerprint."""
    return (root or store_root()) / folder_name(experiment, experiment.fingerprint)


def folder_name(experiment: Experiment, fingerprint: str) -> str:
    """The name of a run's folder: its data set and its fingerprint."""
    return f"{experiment.dataset_name}-{fingerprint}"


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
    stored = load_folder(folder)
    if stored.fingerprint != experiment.fingerprint:
        right = folder_name(stored.experiment, stored.fingerprint)
        raise RunError(
            f"{folder} holds the run of another experiment, {stored.name}, whose place is {right}. Rename it to that, "
            "or move it away; `hwkit doctor --repair` does"
        )
    return Run(folder, experiment, stored.metrics)


def load_folder(folder: Path) -> Run:
    """The finished run in a folder.

    Raises
    ------
    RunError
        If the folder holds no finished run, or its description is damaged or from a newer hwkit.
    """
    if not is_finished(folder):
        state = "is unfinished" if exists(folder / CHECKPOINT) else "holds no run"
        raise RunError(f"{folder} {state}; `hwkit runs` lists the finished ones")
    metrics = run_files.read_vouched(folder / "metrics.json")
    try:
        run_files.check_metrics(metrics)
    except UNREADABLE as error:
        raise damaged(folder / "metrics.json", f"is not what a run holds there: {error}") from None
    if metrics.get("training_version", 1) > TRAINING_VERSION:
        raise RunError(
            f"{folder} was trained by a newer hwkit (training version {metrics['training_version']}, this one has "
            f"{TRAINING_VERSION}); update hwkit"
        )
    own.look_in(folder.parent)
    described = Run(folder, None, metrics)  # type: ignore[arg-type]
    try:
        experiment = described._parsed(
            "experiment.json", lambda content: Experiment.from_dict(files.parse_object(content))
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
        "code.txt": lambda: run.code,
    }
    for name, read in readers.items():
        if name not in but:
            read()
    for iteration in run.weight_moments[1:-1]:
        run.weights_at(iteration)
    _ = run.predicted_at


def read_store(root: Path | None = None) -> tuple[list[Run], list[str]]:
    """The finished runs of the store, newest first, and one line on each folder that cannot be read."""
    found, problems = [], []
    root = root or store_root()
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []:
        try:
            if is_finished(folder):
                found.append(load_folder(folder))
        except RunError as error:
            problems.append(str(error))
    found.sort(key=lambda run: run.metrics["finished"], reverse=True)
    return found, problems


def load(reference: str | Path, *, model: Any = None, dataset: Any = None, root: Path | None = None) -> Run:
    """A finished run.

    Parameters
    ----------
    reference : the name of its experiment, its folder (a path, or its name in the store), or the beginning of its
        fingerprint. Of several runs with one name, the newest that this version of the training code trained; those
        of older versions have to be named by their folder.
    model : the class or function of the network, if it is one of your own: a run folder holds its weights and, as text
        to be read, its source. Without it there is everything but `Run.model`.
    dataset : the `hwkit.Dataset`, if it is one of your own and not kept in the store, where training keeps it.

    Raises
    ------
    RunError
        If there is no such run, with a list of those there are; if it is damaged; if the model or the data set is
        another one than it was trained with.

    Examples
    --------
    >>> hwkit.load("mnist-l2").test_accuracy  # doctest: +SKIP
    0.9933
    """
    run = _find_reference(reference, root or store_root())
    for field, given in (("model", model), ("dataset", dataset)):
        stored = getattr(run.experiment, field)
        if given is not None:
            identity = Experiment.__dataclass_fields__[field].metadata["check"](field, given)
            if identity != stored:
                raise RunError(
                    f"{run.folder} was trained with another {field} than {identity.partition('@')[0]} as it is now: "
                    f"{stored or 'one of hwkit'}, not {identity}; undo its changes, or train again"
                )
    return run


def _find_reference(reference: str | Path, root: Path) -> Run:
    if isinstance(reference, Path):
        return load_folder(reference)
    for folder in (root / reference, Path(reference).expanduser()):
        if reference and exists(folder / "experiment.json"):
            return load_folder(folder)
    stored = listing(root)
    current = [line for line in stored.runs if line.training_version == TRAINING_VERSION]
    for line in current:
        if reference == line.name or line.folder.split("-")[-1].startswith(reference or " "):
            return load_folder(root / line.folder)
    names = sorted({line.name for line in current})
    known = did_you_mean(reference, names) if names else f"there is no finished run in {root}"
    raise RunError("; ".join([f"no run {reference!r}; {known}", *stored.problems]))


def differences_note(runs: Sequence[Run]) -> str:
    """A sentence on what runs differ in beside their experiments; empty if that is nothing.

    Data checksums count only where the runs are of the same data set and size.
    """
    fields = ("dataset", "data", "train_size", "test_size", "holdout")
    same_data = len({tuple(getattr(run.experiment, field) for field in fields) for run in runs}) == 1
    environments = [{**run.environment, "training_version": run.training_version} for run in runs]
    if not same_data:
        environments = [{**environment, "data_checksum": None} for environment in environments]
    return provenance.note([run.name for run in runs], environments)


def listing(root: Path | None = None) -> catalogue.Listing:
    """What a store holds, in short, reading only what has changed since the last time."""
    return catalogue.list_store(root or store_root(), TRAINING_VERSION, line_of)


def line_of(folder: Path) -> catalogue.Line:
    """What `hwkit runs` shows of the run in a folder; RunError as `load_folder`."""
    run = load_folder(folder)
    e, m = run.experiment, run.metrics
    what = (folder.name, run.name, e.profile, e.data, e.seed)
    return catalogue.Line(*what, m["test_accuracy"], m["seconds"], m["finished"], run.training_version)


# --- Writing ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def lock(
    experiment: Experiment, root: Path | None = None, on_wait: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Hold the right to train an experiment: creates its folder, and waits while another process holds it.

    `on_wait` is called once if there is something to wait for. Yields the folder. The operating system releases the
    lock of a process that dies. On file systems without locks (some network mounts) there is none.
    """
    with run_files.lock_folder(folder_of(experiment, root), on_wait) as folder:
        yield folder


def write_index(run: Run, tensors: dict[str, Tensor], name: str = "index.safetensors") -> None:
    """Keep tensors that were computed from a run in its folder, with checksums of them and of the run.

    Raises
    ------
    RunError
        If the folder was deleted or cannot be written.
    """
    run_files.write_tensors(run.folder / name, tensors, {"run": run_files.digest_of(run.metrics)})


def read_index(run: Run, name: str = "index.safetensors") -> dict[str, Tensor] | None:
    """What `write_index` kept; None if there is nothing, or it is damaged or belongs to another run."""
    try:
        tensors, about = files.read_tensors(run.folder / name)
    except (OSError, *UNREADABLE):
        return None
    return tensors if about == {"run": run_files.digest_of(run.metrics)} else None


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

    A snapshot that was damaged since it was written is left out.
    """
    run_files.write_json(folder / "experiment.json", experiment.as_dict())
    run_files.write_json(folder / "environment.json", environment)
    run_files.write_tensors(folder / "initial.safetensors", models.build(experiment).state_dict())
    run_files.write_tensors(folder / "final.safetensors", weights)
    run_files.write_tensors(folder / "predictions.safetensors", {"logits": logits, "labels": labels})
    run_files.write_atomically(folder / "record.csv", lambda temporary: record.to_csv(temporary, index=False))
    hashed = ("experiment.json", "environment.json", "record.csv")
    hashed += ("initial.safetensors", "final.safetensors", "predictions.safetensors")
    if experiment.own_code:
        sources = [
            f"# {identity}\n{found.source}" for identity in experiment.own_code if (found := code.recall(identity))
        ]
        run_files.write_atomically(folder / "code.txt", lambda temporary: temporary.write_text("\n\n".join(sources)))
        hashed += ("code.txt",)
    hashed += tuple(sorted(path.name for path in folder.iterdir() if run_files.is_whole_snapshot(path)))
    digests = {name: files.sha256(folder / name) for name in hashed}
    metrics = {"format": run_files.FORMAT, "training_version": TRAINING_VERSION, **metrics, "files": digests}
    run_files.write_json(folder / "metrics.json", {**metrics, "sha256": run_files.digest_of(metrics)})
    run_files.tidy(folder)
    return load_folder(folder)


class _Runs(types.ModuleType):
    """This module, which can be called: `hwkit.runs()` gives the finished runs."""

    def __call__(self, root: Path | None = None) -> list[Run]:
        """The finished runs of the store, newest first; each folder that cannot be read is a warning.

        Examples
        --------
        >>> max(hwkit.runs(), key=lambda run: run.test_accuracy)  # doctest: +SKIP
        """
        found, problems = read_store(root)
        for problem in problems:
            warnings.warn(problem, stacklevel=2)
        return found


sys.modules[__name__].__class__ = _Runs


def _parse_environment(content: bytes) -> dict[str, Any]:
    environment = files.parse_object(content)
    run_files.check_environment(environment)
    return environment


def _parse_record(content: bytes) -> pd.DataFrame:
    record = pd.read_csv(io.BytesIO(content))
    if tuple(record.columns) != RECORD_COLUMNS:
        raise ValueError(f"its columns are {', '.join(map(str, record.columns))[:200]}")
    if not all(map(pd.api.types.is_numeric_dtype, record.dtypes)):
        raise ValueError("it holds values that are not numbers")
    return record


def _parse_tensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file; ValueError unless they are finite."""
    tensors = files.parse_tensors(content)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ValueError("not all of its values are finite")
    return tensors
