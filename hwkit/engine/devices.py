"""Where and how precisely to compute: devices, bf16 autocast, and what this machine has of them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
from collections.abc import Iterator

import torch

from hwkit.errors import TrainingError


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 autocast, or none for fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def resolve_device(device: str) -> torch.device:
    """The torch device for "auto", or for a name after checking that it exists here.

    Raises
    ------
    TrainingError
        If there is no such device; the message lists those that there are.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available = [f"cuda:{index}" for index in range(torch.cuda.device_count())] + available
    if torch.backends.mps.is_available():
        available = ["mps", *available]
    if device == "auto":
        return torch.device(available[0])
    if device in available or (device == "cuda" and "cuda:0" in available):
        return torch.device("cuda:0" if device == "cuda" else device)
    raise TrainingError(f"device {device!r} is not here; use auto or one of: {', '.join(available)}")


def resolve_precision(precision: str, device: torch.device) -> str:
    """ "fp32" or "bf16" for "auto": bf16 where the device computes it natively."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})
    return "bf16" if native else "fp32"


def _cpu_flags() -> set[str]:
    """The processor's instruction sets, as Linux names them; empty on other systems."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("flags"):
                return set(line.split())
    return set()


def device_name(device: torch.device) -> str:
    """The name of the processor or GPU behind a device, for people to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep memory that it has freed, for its next tensors: up to 1 GiB that other processes lack.

    Otherwise glibc gives large blocks back to the system, which hands them out again page by page, each set to zero:
    a fifth of the time of a training step on a CPU. Where there is no glibc, nothing changes.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**25)  # the largest that it takes
        mallopt(trim_threshold, 2**30)


@contextlib.contextmanager
def fast_kernels(device: torch.device) -> Iterator[None]:
    """Compute as fast as the device can where it makes no difference to what is learned.

    On a CPU, numbers too small for a full mantissa (below 1e-38 in fp32) count as 0. Adam's running means of gradients
    that have stopped decay to such numbers, and a processor takes many times as long for them. This holds for the
    calling thread and for those that start from it, so it has to come before PyTorch's own threads do. Freed memory
    stays with the process, from here on.

    On CUDA, libraries try out which kernel is the fastest, and fp32 products are computed in TF32.
    """
    before = _flushes_denormals(), torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.set_flush_denormal(True)
    keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_flush_denormal(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_float32_matmul_precision(before[2])


def _flushes_denormals() -> bool:
    return (torch.tensor(1e-38) / 100).item() == 0


@contextlib.contextmanager
def own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from a seed, without a trace in the caller's random state."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def dropout_generator(device: torch.device) -> torch.Generator:
    """Where dropout's random numbers on a device come from."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator
