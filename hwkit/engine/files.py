"""Files on disk: written whole or not at all, and read only where they are regular files.

All that hwkit keeps goes through `replace`, and all that it reads back through `read_bytes` and `sha256`, so that what
is promised of files (docs/promises.md) is promised here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LARGEST_TEXT = 64 * 2**20  # bytes; a record of half a million rows has about as many
LARGEST_TENSORS = 4 * 2**30  # bytes; the checkpoint of the largest network that an experiment may ask for has a quarter


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then move it there in one step; it outlasts a power cut from then on.

    Raises
    ------
    OSError, and whatever `write` raises
        What stood at `path` before still does, and nothing is left beside it. (A process that is killed leaves a
        hidden file with eight random characters at its end: `leftovers` finds these.)
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Let the moves of files in a folder outlast a power cut, in their order, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def leftovers(folder: Path) -> list[Path]:
    """Files that `replace` was about to write when its process was killed."""
    return sorted(folder.glob(".*.????????"))


def open_plain(path: Path) -> BufferedReader:
    """Open a file to read its bytes, if it is one: a pipe or a device would never end.

    Raises
    ------
    OSError
        If it is missing, not a regular file, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is not a regular file")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The content of a regular file; OSError as `open_plain`, ValueError if it has more bytes than `largest`."""
    with open_plain(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest} bytes")
    return content


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file, as hex digits; OSError as `open_plain`."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; OSError as `open_plain`, ValueError if it holds anything else."""
    return parse_object(read_bytes(path))


def parse_object(content: bytes | str) -> dict[str, Any]:
    """The JSON object that a text is; ValueError if it is anything else."""
    try:
        found = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it does not hold a JSON object")
    return found


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any] | None = None) -> None:
    """Write tensors as safetensors; with `about`, which JSON can hold, also that and a checksum over both."""
    import safetensors.torch

    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = None
    if about is not None:
        text = json.dumps(about)
        metadata = {"about": text, "sha256": _digest(on_cpu, text)}
    replace(path, lambda temporary: safetensors.torch.save_file(on_cpu, temporary, metadata=metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file and what `write_tensors` was told about them.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it is damaged, or has no checksum.
    """
    content = read_bytes(path, LARGEST_TENSORS)
    tensors = parse_tensors(content)
    metadata = parse_object(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    text = metadata.get("about", "")
    if metadata.get("sha256") != _digest(tensors, text):
        raise ValueError("it does not match its checksum")
    return tensors, parse_object(text)


def read_about(path: Path) -> tuple[dict[str, Any], int]:
    """What `write_tensors` was told, and how many bytes of tensors follow it; the tensors are not read or checked.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it was not written by `write_tensors`.
    """
    with open_plain(path) as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, LARGEST_TEXT))
        size = os.fstat(file.fileno()).st_size
    metadata = parse_object(header).get("__metadata__")
    text = metadata.get("about") if isinstance(metadata, dict) else None
    return parse_object(text or ""), size - 8 - length


def parse_tensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file's content, on the CPU; ValueError if it is not.

    A header that claims more than the file holds is refused before anything is allocated.
    """
    import safetensors.torch

    try:
        return safetensors.torch.load(content)
    except Exception as error:  # its own, and whatever torch raises on types that it does not have
        raise ValueError(f"it is not a complete safetensors file ({error})") from None


def require_tensors(
    tensors: dict[str, Tensor], wanted: dict[str, tuple[tuple[int, ...], torch.dtype]]
) -> dict[str, Tensor]:
    """The tensors in the order of those wanted; ValueError unless they have the same names, shapes and types."""
    if {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()} != wanted:
        raise ValueError("its tensors have other names, shapes or types")
    return {name: tensors[name] for name in wanted}  # a file does not keep the network's order


def _digest(tensors: dict[str, Tensor], about: str) -> str:
    """SHA-256 of a text and of the names, types, shapes and contents of tensors on the CPU."""
    import torch

    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
