"""What a device is asked for: memory."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

# The size of what malloc has from the system block by block, to be given back as soon as it is freed; of a new process,
# because malloc goes by what was freed before.
COUNT_BLOCKS = """
import ctypes, sys
import torch
from hwkit.engine.devices import keep_freed_memory

class Mallinfo2(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2
if sys.argv[1] == "keep":
    keep_freed_memory()
before = mallinfo2().hblkhd
activations = torch.ones(6_000_000)
print(mallinfo2().hblkhd - before)
"""


def bytes_to_be_given_back(how: str) -> int:
    command = [sys.executable, "-c", COUNT_BLOCKS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="tunes glibc"
)
def test_memory_that_is_kept_does_not_go_back_to_the_system() -> None:
    assert bytes_to_be_given_back("give back") >= 24_000_000
    assert bytes_to_be_given_back("keep") == 0
