"""Where results go: a folder, or an object store by any address that fsspec knows (s3://, gs://, ...).

    STORE/DATASET-FINGERPRINT/                  a run; finished once it has metrics.json
    STORE/datasets/NAME-DIGEST.safetensors      data of the user's own that runs are trained on
    STORE/batches/NAME/sources/DIGEST.ipynb     the batch's notebooks, as they are executed
    STORE/batches/NAME/notebooks/KEY.ipynb      an executed notebook, which appears whole and only if it succeeded
    STORE/batches/NAME/failed/KEY.ipynb         one that failed, up to the failing cell
    STORE/batches/NAME/logs/KEY.log             what the task wrote while it ran
    STORE/batches/NAME/state.json               what failed, what is running, how long tasks took

A folder is shared by all workers: runs are trained in it, guarded by their locks. An object store has no locks and no
half-written files: a worker trains in a folder of its own and uploads the run when it is finished, metrics.json last.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hwkit.batch.tasks import Task
from hwkit.datasets import is_own, own
from hwkit.engine import files as storage
from hwkit.errors import BatchError, remedy
from hwkit.paths import CHECKPOINT, store_root

MARKER = "metrics.json"  # what makes a run folder a finished run


@dataclass(frozen=True)
class Store:
    """A store and the batch whose files it is asked for."""

    address: str
    batch: str

    @property
    def folder(self) -> Path | None:
        """The store as a folder that everyone shares, or None for an object store."""
        return None if "://" in self.address else Path(self.address)

    @cached_property
    def _files(self) -> Any:
        """fsspec's file system for the address."""
        import fsspec

        return fsspec.core.url_to_fs(self.address)[0]

    @property
    def _fresh(self) -> Any:
        """The file system, without the listings that it remembers: others write, too."""
        self._files.invalidate_cache()
        return self._files

    def path(self, *parts: str) -> str:
        """The address of something in the store."""
        return "/".join([self.address, *parts])

    def own(self, *parts: str) -> str:
        """The address of something of this batch."""
        return self.path("batches", self.batch, *parts)

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None if there is none."""
        try:
            with _explained(path):
                return Path(path).read_bytes() if self.folder else self._files.cat_file(path)
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        with _explained(path):
            if not self.folder:
                self._files.pipe_file(path, content)
                return
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            storage.replace(target, lambda temporary: temporary.write_bytes(content))

    def delete(self, path: str) -> None:
        """Delete a file if it is there."""
        with contextlib.suppress(FileNotFoundError), _explained(path):
            if self.folder:
                Path(path).unlink()
            else:
                self._files.rm_file(path)

    def names(self, folder: str) -> set[str]:
        """The names of what a folder holds; empty if there is none."""
        try:
            with _explained(folder):
                if self.folder:
                    return set(os.listdir(folder)) if os.path.isdir(folder) else set()
                return {found.rstrip("/").rpartition("/")[2] for found in self._fresh.ls(folder, False)}
        except FileNotFoundError:
            return set()

    # --- Tasks ---------------------------------------------------------------------------------------------------

    def has(self, task: Task) -> bool:
        """Whether the result of one task is complete."""
        path = self.own("notebooks", f"{task.key}.ipynb") if task.notebook else self.path(task.key, MARKER)
        with _explained(path):
            return os.path.exists(path) if self.folder else self._fresh.exists(path)

    def done(self, tasks: Iterable[Task]) -> set[str]:
        """The keys of those tasks whose result is complete."""
        executed = self.names(self.own("notebooks"))
        wanted, done = [], set()
        for task in tasks:
            if task.notebook is None:
                wanted.append(task.key)
            elif f"{task.key}.ipynb" in executed:
                done.add(task.key)
        return done | self._finished_runs(wanted) if wanted else done

    def _finished_runs(self, keys: list[str]) -> set[str]:
        begun = self.names(self.address)
        if self.folder:
            return {key for key in keys if key in begun and os.path.exists(f"{self.address}/{key}/{MARKER}")}
        if not begun.intersection(keys):
            return set()
        with _explained(self.address):
            found = self._fresh.glob(self.path("*", MARKER))
        return {path.split("/")[-2] for path in found}.intersection(keys)

    # --- Data of the user's own ----------------------------------------------------------------------------------

    def take_dataset(self, name: str) -> None:
        """Put a data set into the store, where every worker finds it, if it is one of the user's own."""
        if not is_own(name):
            return
        from hwkit import data

        if self.folder:
            data.keep(name, self.folder)
            return
        data.keep(name)
        file = own.path_in(store_root(), name)
        if file.name not in self.names(self.path(own.FOLDER)):
            self.write(self.path(own.FOLDER, file.name), file.read_bytes())

    def give_dataset(self, name: str, folder: Path) -> None:
        """Fetch a data set that `take_dataset` put into an object store into the store `folder`."""
        file = own.path_in(folder, name)
        content = self.read(self.path(own.FOLDER, file.name)) if is_own(name) and not file.exists() else None
        if content is not None:
            Store(str(folder), self.batch).write(str(file), content)

    # --- Runs in an object store ---------------------------------------------------------------------------------

    def upload_run(self, folder: Path) -> None:
        """Upload a finished run, the marker last, and drop the checkpoint that may have been uploaded before."""
        names = [path.name for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        for name in [*(name for name in names if name != MARKER), MARKER]:
            self.write(self.path(folder.name, name), (folder / name).read_bytes())
        self.delete(self.path(folder.name, CHECKPOINT))

    def upload_checkpoint(self, folder: Path) -> None:
        """Upload what another worker needs to resume an unfinished training."""
        with contextlib.suppress(FileNotFoundError):  # finished meanwhile
            self.write(self.path(folder.name, CHECKPOINT), (folder / CHECKPOINT).read_bytes())

    def download_run(self, key: str, folder: Path) -> None:
        """Fetch a run, or the checkpoint of an unfinished one, into `folder`/key, unless more is there already."""
        target = folder / key
        if (target / MARKER).exists():
            return
        names = self.names(self.path(key))
        if MARKER not in names:
            names &= {CHECKPOINT} if not (target / CHECKPOINT).exists() else set()
        if not names:
            return
        local = Store(str(folder), self.batch)
        for name in [*sorted(names - {MARKER}), *(names & {MARKER})]:
            content = self.read(self.path(key, name))
            if content is not None:
                local.write(local.path(key, name), content)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Say of which place an error of the file system is, and what helps."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (ImportError, ValueError) as error:  # fsspec's for an address whose library is not here or unknown
        raise BatchError(f"store {path!r} cannot be used: {error}") from None
    except OSError as error:
        raise BatchError(f"store: cannot use {path!r}: {error.strerror or error}; {remedy(error)}") from None
    except Exception as error:  # every object store has error classes of its own
        raise BatchError(f"store: cannot use {path!r}: {error}; check address and credentials") from None
