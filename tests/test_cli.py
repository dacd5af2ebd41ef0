"""The command line does what the README says, and bad input is one line that begins with `hwkit:`."""

from __future__ import annotations

import shutil
from pathlib import Path

import own_networks
import pytest

from hwkit import data, runs
from hwkit.cli import main
from hwkit.errors import DataError
from hwkit.runs import Run

TRAIN = ["train", "mnist-l2", "--profile", "smoke", "--data", "stand-in", "--device", "cpu", "--no-progress"]


def test_train_runs_and_show_tell_of_the_same_run(trained_run_l2: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TRAIN) == 0
    assert f"test accuracy {trained_run_l2.test_accuracy:.4f}" in capsys.readouterr().out
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    for text in ("mnist-l2", "smoke", "stand-in", f"{trained_run_l2.test_accuracy:.4f}", trained_run_l2.folder.name):
        assert text in table
    assert main(["show", trained_run_l2.folder.name]) == 0
    shown = capsys.readouterr().out
    assert "3274634" in shown
    assert str(trained_run_l2.folder) in shown


def test_options_change_the_experiment(own_store: Path) -> None:
    changes = ["--train-size", "300", "--test-size", "100", "--l2", "0.5", "--epochs", "0.5", "--kernel-size", "3"]
    assert main([*TRAIN, *changes]) == 0
    (found,), _ = runs.read_store()
    experiment = found.experiment
    assert (experiment.train_size, experiment.l2, experiment.epochs, experiment.kernel_size) == (300, 0.5, 0.5, 3)


def test_a_network_in_a_file_is_trained_loaded_and_shown(
    own_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"{tmp_path / 'mynets.py'}:ResidualNet"
    (tmp_path / "mynets.py").write_text(Path(own_networks.__file__).read_text())
    small = ["--train-size", "300", "--test-size", "100", "--epochs", "0.5"]
    for _ in range(2):
        assert main([*TRAIN, *small, "--model", model]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert "ResidualNet" in first
    (run,) = runs()
    assert main(["show", run.folder.name, "--model", model]) == 0
    assert main(["train", "mnist", "--model", f"{tmp_path}/no.py:Net"]) == 2
    assert f"there is no file {tmp_path}/no.py" in capsys.readouterr().err


def test_an_empty_store_says_how_to_fill_it(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert f"no finished runs in {own_store}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "mnits"], "unknown experiment 'mnits'; did you mean 'mnist'?"),
        (["train", "mnist", "--l2", "-1"], "l2 must be a number at least 0, not -1"),
        (["train", "mnist", "--epochs", "0"], "epochs must be a number above 0 and below 100000, not 0"),
        (["train", "mnist", "--profile", "fast"], "unknown profile 'fast'"),
        (["train", "mnist", "--device", "abacus"], "device 'abacus' is not here"),
        (["show", "nothing"], "no run 'nothing'"),
        (["report", "-p", "epochs"], "parameter 'epochs' has no value"),
        (["report", "missing.ipynb"], "notebook missing.ipynb cannot be read"),
        (["report", "--profile", "fast"], "unknown profile 'fast'"),
        (["report", "-p", "epoch=3"], "has no parameter 'epoch'; did you mean 'epochs'?"),
        (["report", "--profile", "quick", "-p", "profile=smoke"], "the profile is given twice: 'quick' and 'smoke'"),
        (["report", "-p", "epochs=0"], "epochs must be a number above 0 and below 100000, not 0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("hwkit: ")
    assert error.count("\n") == 1
    assert complaint in error


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train"], ["train", "mnist", "--wings", "2"]])
def test_a_wrong_command_line_is_one_line_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("hwkit: ")


def test_a_damaged_run_is_named_and_the_others_are_listed(
    trained_run: Run,
    trained_run_l2: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    for run in (trained_run, trained_run_l2):
        shutil.copytree(run.folder, tmp_path / run.folder.name)
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path))
    weights = tmp_path / trained_run.folder.name / "final.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert main(["show", trained_run.folder.name]) == 2
    error = capsys.readouterr().err
    assert "final.safetensors is damaged" in error
    assert "train again" in error
    assert main(["runs"]) == 0


def test_data_tells_of_missing_and_damaged_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HWKIT_DATA", str(tmp_path))
    assert main(["data"]) == 0
    assert "missing" in capsys.readouterr().out
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\x00" * 100)
    assert main(["data"]) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().out
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        data.load("mnist")


def test_doctor_finds_sets_aside_and_leaves_the_rest(
    trained_run: Run,
    trained_run_l2: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for run in (trained_run, trained_run_l2):
        shutil.copytree(run.folder, tmp_path / run.folder.name)
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path))
    monkeypatch.setenv("HWKIT_DATA", str(tmp_path / "data"))
    damaged, mended = tmp_path / trained_run.folder.name, tmp_path / trained_run_l2.folder.name
    (damaged / "final.safetensors").write_bytes(b"")
    (mended / "initial.safetensors").write_bytes(b"")
    (mended / ".record.csv.abcd1234").write_bytes(b"half")
    assert main(["doctor"]) == 1
    assert f"would move it to {tmp_path / 'set-aside'}" in capsys.readouterr().out
    assert damaged.exists()
    assert main(["doctor", "--repair"]) == 0
    assert "done: draw it again" in capsys.readouterr().out
    assert (tmp_path / "set-aside" / damaged.name / "final.safetensors").exists()
    assert not damaged.exists()
    assert not (mended / ".record.csv.abcd1234").exists()
    runs.read_everything(runs.load(mended))
    assert main(["doctor"]) == 0
