"""Several trainings at once come out as one after the other, and one that fails does not take others with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hwkit import parallel, runs, training
from hwkit.chapters import penalty_bug as penalty
from hwkit.engine import run_files
from hwkit.errors import ExperimentError, TrainingError
from hwkit.experiment import Experiment, named_experiment
from hwkit.parallel import train_all, train_seeds
from hwkit.runs import Run


def tiny(**changes: object) -> Experiment:
    return named_experiment("mnist", "smoke", **{"data": "stand-in", "epochs": 0.2, "test_size": 100, **changes})


def test_side_by_side_is_the_same_as_one_after_the_other(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [tiny(), tiny(seed=1), tiny(l2=1e-3), tiny()]
    lines: list[str] = []
    together = train_all(wanted, device="cpu", workers=2, progress=False, say=lines.append)
    assert len(lines) == 3
    assert all("test accuracy" in line for line in lines)
    monkeypatch.setenv("HWKIT_HOME", str(own_store / "one by one"))
    for run, experiment in zip(together, wanted, strict=True):
        alone = training.train(experiment, device="cpu", progress=False)
        assert run.environment["threads"] == alone.environment["threads"] == 1
        for name, weight in alone.final_weights.items():
            assert torch.equal(weight, run.final_weights[name])
        assert torch.equal(run.logits, alone.logits)


def test_what_is_finished_is_loaded(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "run_jobs", lambda *_, **__: pytest.fail("started processes"))
    first, second = train_all([trained_run.experiment] * 2, device="cpu", workers=2)
    assert first.folder == second.folder == trained_run.folder


def test_trainings_with_a_penalty_are_trained_too(own_store: Path) -> None:
    versions = penalty.versions("pytorch", "smoke", data="stand-in", iterations=2)
    found = train_all([tiny(), *versions], device="cpu", workers=2, progress=False)
    assert [run.name for run in found[1:]] == [version.name for version in versions]


def test_one_that_fails_does_not_stop_the_others(own_store: Path) -> None:
    diverging = tiny(learning_rate=1e30, epochs=1)
    lines: list[str] = []
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train_all([diverging, tiny(), tiny(seed=1)], device="cpu", workers=2, progress=False, say=lines.append)
    assert any(line.startswith(f"{diverging.name}: ") and "the loss became" in line for line in lines)
    assert runs.find(tiny()) is not None
    assert runs.find(tiny(seed=1)) is not None


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_an_interrupt_leaves_checkpoints(own_store: Path) -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # deaf, if the tests run in the background\n"
        "from hwkit.experiment import named_experiment\n"
        "from hwkit.parallel import train_all\n"
        "long = [named_experiment('mnist', 'smoke', data='stand-in', epochs=500, seed=s) for s in (0, 1)]\n"
        "train_all(long, device='cpu', workers=2, progress=False)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(own_store.glob("*/experiment.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    parent.send_signal(signal.SIGINT)
    try:
        assert "KeyboardInterrupt" in parent.communicate(timeout=120)[1]
    finally:
        parent.kill()
    folders = [own_store / name for name in runs.listing().unfinished]
    assert len(folders) == 2
    assert all(run_files.read_checkpoint(folder)[1]["iteration"] > 0 for folder in folders)


def test_seeds_count_up_from_the_experiments_own(trained_run: Run) -> None:
    experiment = named_experiment("mnist", "smoke", data="stand-in", epochs=0.1)
    found = train_seeds(experiment.replace(seed=7), 2, device="cpu", progress=False)
    assert [run.experiment.seed for run in found] == [7, 8]
    assert not torch.equal(found[0].logits, found[1].logits)
    (only,) = train_seeds(trained_run.experiment, device="cpu", progress=False)
    assert only.folder == trained_run.folder


@pytest.mark.parametrize("seeds", [0, -1, 1.5, True, "2"])
def test_a_number_of_seeds_that_is_none_is_an_error(seeds: object) -> None:
    with pytest.raises(ExperimentError, match="seeds must be a whole number"):
        train_seeds(named_experiment("mnist", "smoke"), seeds, device="cpu")


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("cpu", {"smoke": 1, "quick": 1, "full": 3, "seed": 3, "custom": 1}),
        ("cuda", {"smoke": 1, "quick": 1, "full": 5, "seed": 5, "custom": 1}),
    ],
)
def test_long_profiles_train_the_seeds_of_a_verdict_and_short_ones_one(
    device: str, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "resolve_device", lambda _: torch.device(device))
    assert {profile: training.seed_count(profile) for profile in expected} == expected
    assert training.seed_count("smoke", 7) == 7
    (one, *others) = training.with_seeds([named_experiment("mnist", "full", seed=4)])
    assert [run.seed for run in (one, *others)] == list(range(4, 4 + expected["full"]))


def test_longer_trainings_are_expected_to_take_longer() -> None:
    assert 0 < parallel.expected_seconds(tiny(), "cpu") < parallel.expected_seconds(tiny(epochs=50), "cpu")
    in_torch, in_graph = (penalty.penalty_training(name, "faulty", "full") for name in ("pytorch", "tensorflow"))
    assert parallel.expected_seconds(in_torch, "cpu") < parallel.expected_seconds(in_graph, "cpu")


def test_a_script_needs_no_main_guard_to_train_side_by_side(tmp_path: Path) -> None:
    script = tmp_path / "train_two.py"
    script.write_text(
        """
import hwkit
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
options = dict(data="stand-in", train_size=256, test_size=100, epochs=1)
for run in hwkit.train_seeds(hwkit.Experiment(dataset="mnist", **options), 2, model=Net, progress=False):
    print(run.experiment.seed, type(run.model()).__name__)
"""
    )
    environment = {**os.environ, "HWKIT_HOME": str(tmp_path / "runs")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "0 Net\n1 Net\n", done.stderr
