"""Run folders of earlier versions stay readable, and a change of what training computes does not go unnoticed.

`tests/fixtures/format-N.tar.xz` is a run folder as hwkit wrote it when format N was new. It is never written again: a
later format gets one of its own, by `python tests/test_long_life.py`.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch

from hwkit import analysis, doctor, models, runs, training
from hwkit.engine import run_files
from hwkit.experiment import TRAINING_VERSION, Experiment, named_experiment

FIXTURES = Path(__file__).parent / "fixtures"
FORMATS = range(1, run_files.FORMAT + 1)


def small() -> Experiment:
    """The experiment in the fixtures, which draws on everything that training can do."""
    options = {"width": 0.0625, "dropout": 0.5, "train_size": 96, "test_size": 40, "batch_size": 16, "epochs": 2}
    return named_experiment("cifar10-l2", "smoke", data="stand-in", precision="fp32", record_every=3, **options)


@pytest.fixture(params=FORMATS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store with the run folder of a format."""
    with tarfile.open(FIXTURES / f"format-{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    # Half of the bytes, which the seed gives again; their checksum is in metrics.json.
    (folder,) = tmp_path.iterdir()
    run_files.write_tensors(folder / "initial.safetensors", models.build(small()).state_dict())
    return tmp_path


def test_a_run_of_every_format_is_read_in_full(store: Path) -> None:
    (run,), problems = runs.read_store(store)
    assert problems == []
    runs.read_everything(run)
    assert run.experiment.as_dict() == small().as_dict()
    assert run.test_accuracy == (run.logits.argmax(dim=1) == run.labels).double().mean().item()
    assert run.weight_moments == [0, 12]
    assert len(analysis.misclassified(run)) == round(40 * (1 - run.test_accuracy))
    assert run.environment["precision"] == "fp32"
    assert list(doctor.examine_store(store)) == []


def test_a_run_of_every_format_is_found_in_place_of_training_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,), _ = runs.read_store(store)
    if run.training_version != TRAINING_VERSION:
        assert runs.find(small(), store) is None
        return
    monkeypatch.setenv("HWKIT_HOME", str(store))
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert training.train(small(), device="cpu", progress=False).folder == run.folder


def test_training_computes_what_it_did_under_this_training_version(store: Path, own_store: Path) -> None:
    """If this fails because training was meant to change: raise TRAINING_VERSION in hwkit/experiment.py."""
    (before,), _ = runs.read_store(store)
    if before.training_version != TRAINING_VERSION:
        pytest.skip("the fixture is of another version of the training code")
    now = training.train(small(), device="cpu", progress=False)
    assert now.folder.name == before.folder.name
    # Machines and versions of PyTorch add in different orders; a changed rule moves numbers much further.
    columns = [column for column in runs.RECORD_COLUMNS if column not in ("seconds", "train_accuracy", "test_accuracy")]
    pd.testing.assert_frame_equal(now.record[columns], before.record[columns], rtol=1e-3)
    for name, weights in before.final_weights.items():
        torch.testing.assert_close(now.final_weights[name], weights, rtol=1e-2, atol=1e-4)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HWKIT_HOME"] = folder
        made = training.train(small(), device="cpu", progress=False).folder
        for name in (".lock", "initial.safetensors"):
            (made / name).unlink()
        with tarfile.open(FIXTURES / f"format-{run_files.FORMAT}.tar.xz", "x:xz", preset=9) as archive:
            archive.add(made, made.name)
