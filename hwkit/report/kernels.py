"""Which kernel executes a notebook, and how it starts: as a fork of a process that has imported everything slow.

`hwkit.report.execute` asks Jupyter by name for the provisioner that does so. Kernels that are not this interpreter's
own IPython, and kernels on systems without a fork server, start as always.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from hwkit.engine.processes import context, follow_parent, forking, settle
from hwkit.errors import ReportError
from hwkit.report.parameters import language_of

NAME = "hwkit-fork"  # under which pyproject.toml registers it


def choose_kernel(notebook: Mapping[str, Any], asked: str | None = None) -> tuple[str, str]:
    """The name of the kernel to execute a notebook with, and a warning if it is not the one that the notebook names.

    Parameters
    ----------
    asked : a kernel in place of the notebook's own.

    Raises
    ------
    ReportError
        If it is not installed, and python3 cannot take its place.
    """
    if asked:
        require_kernel(asked)
        return asked, ""
    spec = notebook["metadata"].get("kernelspec")
    own = spec.get("name") if isinstance(spec, dict) else None
    language = language_of(notebook)
    if language != "python":
        require_kernel(own or f"for {language}")
    elif own and not _is_installed(own):
        return NATIVE_KERNEL_NAME, f"its kernel {own!r} is not installed here; {NATIVE_KERNEL_NAME} took its place"
    return own or NATIVE_KERNEL_NAME, ""


def require_kernel(name: str) -> None:
    """Raise ReportError, naming those that are, if a kernel is not installed."""
    if not _is_installed(name):
        here = ", ".join(sorted(KernelSpecManager().find_kernel_specs()))
        raise ReportError(f"kernel {name!r} is not installed here, only {here}; install it, or name one with --kernel")


def _is_installed(name: Any) -> bool:
    return str(name).lower() in KernelSpecManager().find_kernel_specs()


class ForkingProvisioner(LocalProvisioner):
    """Launches kernels as forks; everything else is as with processes of their own."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel if the command is for an IPython kernel of this interpreter, else run the command."""
        if not (forking() and cmd[0] == sys.executable and cmd[1:3] == ["-m", "ipykernel_launcher"]):
            return await super().launch_kernel(cmd, **kwargs)
        self.cwd = kwargs.get("cwd") or os.getcwd()
        environment = kwargs.get("env") or dict(os.environ)
        process = context().Process(  # pyright: ignore[reportAttributeAccessIssue]  # every context has it
            target=_run_kernel, args=(cmd[3:], str(self.cwd), environment)
        )
        process.start()
        self.process = _Popen(process)
        self.pid = process.pid
        return self.connection_info


class _Popen:
    """A forked process with the part of `subprocess.Popen` that a provisioner uses."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        self.process = process
        self.pid: Any = process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run_kernel(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    settle(folder, environment)
    follow_parent()  # who asked for the kernel may be killed while the server lives on
    sys.path.insert(0, "")  # modules beside the notebook
    import torch
    from ipykernel.kernelapp import launch_new_instance

    from hwkit.engine.devices import keep_freed_memory

    keep_freed_memory()
    if environment.get("OMP_NUM_THREADS", "").isdecimal():  # read by PyTorch as it is imported, which was long ago
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    # The kernel ends with its parent, the server, which ends with the last process that can ask it for a fork.
    sys.argv = ["ipykernel_launcher", *arguments, f"--IPKernelApp.parent_handle={os.getppid()}"]
    launch_new_instance(argv=sys.argv[1:])
