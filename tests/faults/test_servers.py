"""What `make lab` and `hwkit batch run` start can be reached from this machine only, the lab by its token only."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_batch_run import running, wait_for, write_batch, write_notebook

ROOT = Path(__file__).parents[2]


def test_make_lab_listens_on_loopback_and_asks_for_its_token(tmp_path: Path) -> None:
    (recipe,) = re.findall(r"^lab:.*\n\t\$\(PY\) (.*) \$\(ARGS\)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, *shlex.split(recipe), "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    environment = {**os.environ, "HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert _answer(port, "127.0.0.1", server) == 403
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            socket.create_connection((_address_of_this_machine(), port), timeout=5)
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()


def test_all_that_a_batch_starts_listens_on_loopback(tmp_path: Path) -> None:
    """The scheduler, its dashboard, the workers, and the kernels of the notebooks."""
    write_notebook(tmp_path)
    path = write_batch(tmp_path, "notebooks: quick.ipynb\nset: {how: slowly}\n")
    with running("hwkit.cli", "batch", "run", path, "--workers", "1", cwd=tmp_path / "driver") as driver:
        logs = tmp_path / "store" / "batches" / "study" / "logs"
        wait_for(lambda: any("seed" in log.read_text() for log in logs.glob("*.log")))  # the kernel executes its cell
        process = psutil.Process(driver.pid)
        listening = [
            found.laddr.ip
            for one in (process, *process.children(recursive=True))
            for found in one.net_connections("inet")
            if found.status == psutil.CONN_LISTEN
        ]
    assert len(listening) >= 4 + 5  # a kernel has five
    assert set(listening) <= {"127.0.0.1", "::1"}


def _answer(port: int, host: str, server: subprocess.Popen[bytes]) -> int:
    """The status with which a server answers a request without a token, as soon as it answers at all."""
    while True:
        assert server.poll() is None, "the server ended"
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            connection.request("GET", "/api/contents")
            return connection.getresponse().status
        except ConnectionRefusedError:
            time.sleep(0.2)


def _address_of_this_machine() -> str:
    """An address of this machine that is none of loopback; skips the test where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; an address for documentation
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return probe.getsockname()[0]
