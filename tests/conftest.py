"""Fixtures shared by the tests: a run store of their own, runs trained in seconds, and the real data where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hwkit import sources, training
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
    for name in sources.DATASETS:
        if any(check.status != "ok" for check in sources.check(name, root, checksums=False)):
            pytest.skip(f"the real {sources.DATASETS[name].title} is not in {root}; set HWKIT_DATA")
    return root
