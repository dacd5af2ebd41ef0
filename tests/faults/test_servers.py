"""What `make lab` starts can be reached from this machine only, and by who has its token only."""

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

import pytest

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
