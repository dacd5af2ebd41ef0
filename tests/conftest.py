"""Fixtures shared by the tests: a run store of their own, runs trained in seconds, and the real data where it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hwkit import training
from hwkit.datasets import sources
from hwkit.experiment import named_experiment
from hwkit.paths import data_root
from hwkit.runs import Run

# One thread each, in child processes too: the networks of the tests are so small that more threads only wait for each
# other, and for those of whatever else runs on the machine.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run store, and a cache beside it, that live as long as the tests, so that they never touch the user's."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWKIT_HOME", str(root))
        patch.setenv("HWKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield root


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty run store for one test."""
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def object_server() -> Iterator[str]:
    """An S3-compatible server on the loopback interface."""
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(object_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket's address, with the variables set that lead to the server."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": object_server,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{time.monotonic_ns()}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/runs"


@pytest.fixture(scope="session")
def trained_run(store: Path) -> Run:
    """MNIST's network on the stand-in set, without L2."""
    return training.train(named_experiment("mnist", "smoke", data="stand-in"), device="cpu", progress=False)


@pytest.fixture(scope="session")
def trained_run_l2(store: Path) -> Run:
    """The same with L2."""
    return training.train(named_experiment("mnist-l2", "smoke", data="stand-in"), device="cpu", progress=False)


@pytest.fixture(scope="session")
def cifar_run(store: Path) -> Run:
    """CIFAR-10's network on the stand-in set, without L2."""
    return training.train(named_experiment("cifar10", "smoke", data="stand-in"), device="cpu", progress=False)


@pytest.fixture(scope="session")
def real_data_root() -> Path:
    """The folder of the real data sets; skips the test where they are not."""
    root = data_root()
    for name in ("mnist", "cifar10"):  # the report's
        if any(check.status != "ok" for check in sources.check(name, root, checksums=False)):
            pytest.skip(f"the real {sources.DATASETS[name].title} is not in {root}; set HWKIT_DATA")
    return root
