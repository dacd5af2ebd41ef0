"""The workers of a batch get a GPU or a share of one each, or a group of CPU cores."""

from __future__ import annotations

import os

import pytest

from hwkit.batch import cluster
from hwkit.batch.file import Resources
from hwkit.errors import BatchError


def gpus_of(gpus: float, workers: int | None = None) -> list[str]:
    environments = cluster.worker_environments(Resources(gpus=gpus), workers)
    return [environment["CUDA_VISIBLE_DEVICES"] for environment in environments]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("gpus", "workers", "visible"),
    [
        (1, None, ["0", "1"]),
        (0.5, None, ["0", "1", "0", "1"]),
        (0.3, None, ["0", "1"] * 3),
        (2, None, ["0,1"]),
        (0.5, 2, ["0", "1"]),
        (1, 3, ["0", "1", "0"]),
    ],
)
@pytest.mark.usefixtures("two_gpus")
def test_workers_see_one_gpu_a_share_or_several(gpus: float, workers: int | None, visible: list[str]) -> None:
    assert gpus_of(gpus, workers) == visible


@pytest.mark.usefixtures("two_gpus")
def test_gpus_that_were_chosen_outside_are_those_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-3f")
    assert gpus_of(1) == ["5", "GPU-3f"]


@pytest.mark.usefixtures("two_gpus")
def test_more_gpus_than_there_are_is_an_error() -> None:
    with pytest.raises(BatchError, match=r"resources\.gpus is 3, this machine has 2; leave it out"):
        gpus_of(3)


def test_without_gpus_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    environments = cluster.worker_environments(Resources(cores=3), None)
    assert environments == [{"OMP_NUM_THREADS": "3"}] * 2
    with pytest.raises(BatchError, match=r"resources\.cores is 9, and this machine has 8"):
        cluster.worker_environments(Resources(cores=9), None)


def test_a_worker_process_has_the_environment_that_was_meant_for_it() -> None:
    with cluster.local_cluster([{"CUDA_VISIBLE_DEVICES": name} for name in ("3", "5")]) as address:
        client = cluster.connect(address)
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        assert sorted(seen.values()) == ["3", "5"]
        assert all(worker.startswith(f"tcp://{cluster.LOOPBACK}:") for worker in seen)
        client.close()
