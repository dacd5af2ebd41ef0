"""Run folders of earlier versions stay readable, and a change of what training computes does not go unnoticed.

`tests/fixtures/format-N.tar.xz` is a run folder as hwkit wrote it when format N was new. It is never written again: a
later format gets one of its own, by `python tests/engine/test_long_life.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch

import hwkit
from hwkit import analysis, doctor, models, runs, training
from hwkit.engine import files, run_files
from hwkit.experiment import TRAINING_VERSION, Experiment, named_experiment

FIXTURES = Path(__file__).parents[1] / "fixtures"
FORMATS = range(1, run_files.FORMAT + 1)


SMALL = {"data": "stand-in", "precision": "fp32", "record_every": 3, "width": 0.0625, "dropout": 0.5}
SMALL |= {"train_size": 96, "test_size": 40, "batch_size": 16, "epochs": 2}


def small() -> Experiment:
    """The experiment in the fixtures, which draws on everything that training can do."""
    return named_experiment("cifar10-l2", "smoke", **SMALL)


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


# Batch normalisation after each convolution, by file: what it is added before, and what is added.
NEW_OPTION = {
    "experiment.py": (
        '    l2: float = option(0.0, number(0), "lambda',
        '    batch_norm: bool = option(False, flag, "normalise the maps of each convolution over the batch")\n',
    ),
    "models.py": (
        '        if experiment.initialisation == "truncated-normal":',
        """        if experiment.batch_norm:
            for name, layer in list(model.named_children()):
                if isinstance(layer, nn.Conv2d):
                    setattr(model, name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))
""",
    ),
}


def test_a_new_option_is_ten_lines_and_trains_no_stored_run_again(
    own_store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A copy of this hwkit with one more option finds the runs of today, and trains with the option."""
    package = Path(hwkit.__file__).parent
    shutil.copytree(package, tmp_path / "later" / "hwkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, added) in NEW_OPTION.items():
        place = tmp_path / "later" / "hwkit" / name
        source = place.read_text()
        assert source.count(before) == 1
        place.write_text(source.replace(before, added + before))
    assert sum(added.count("\n") for _, added in NEW_OPTION.values()) <= 10

    today = training.train(small(), device="cpu", progress=False)
    later = {**os.environ, "PYTHONPATH": str(tmp_path / "later")}
    same = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "hwkit.cli", "train", "cifar10-l2", "--profile=smoke", "--device=cpu", *same]
    for option in ([], ["--batch-norm=true"]):
        subprocess.run([*command, *option, "--no-progress"], env=later, cwd=tmp_path, check=True)
    loaded, trained = capfd.readouterr().out.splitlines()
    assert today.folder.name in loaded
    assert runs.load(today.folder.name).finished == today.finished
    assert "cifar10-l2[" in trained
    assert "batch_norm=True" in trained
    other = next(folder for folder in own_store.iterdir() if folder.is_dir() and folder.name != today.folder.name)
    assert any("running_mean" in name for name in files.parse_tensors((other / "final.safetensors").read_bytes()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HWKIT_HOME"] = folder
        made = training.train(small(), device="cpu", progress=False).folder
        for name in (".lock", "initial.safetensors"):
            (made / name).unlink()
        with tarfile.open(FIXTURES / f"format-{run_files.FORMAT}.tar.xz", "x:xz", preset=9) as archive:
            archive.add(made, made.name)
