"""Runs from strangers: whatever they claim, they run no code, reach nothing outside, and exhaust nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from hwkit import analysis, runs, training
from hwkit.engine import catalogue, run_files
from hwkit.engine import files as storage
from hwkit.engine import provenance as environments
from hwkit.errors import ExperimentError, RunError
from hwkit.experiment import TRAINING_VERSION, Experiment, named_experiment
from hwkit.runs import Run


@pytest.fixture
def copy(trained_run: Run, tmp_path: Path) -> Path:
    """A copy of a finished run, to forge."""
    return Path(shutil.copytree(trained_run.folder, tmp_path / "store" / trained_run.folder.name))


def forge(folder: Path, name: str, content: bytes, **claims: Any) -> None:
    """Replace a file of a run, and let metrics.json vouch for it and for whatever else is claimed."""
    if name:
        (folder / name).write_bytes(content)
    metrics = json.loads((folder / "metrics.json").read_text()) | claims
    metrics.pop("sha256")
    if name:
        metrics["files"][name] = hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()
    (folder / "metrics.json").write_text(json.dumps({**metrics, "sha256": digest}))


def header(**tensors: Any) -> bytes:
    """A safetensors file that claims tensors and holds eight bytes."""
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


HUGE = {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 2**62]}
FORGED_TENSORS = {
    "claims 2^60 elements": header(**{"conv1.weight": HUGE}),
    "claims a header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "other shapes": safetensors.torch.save({"conv1.weight": torch.zeros(1)}),
    "a pickle": b"\x80\x04cposix\nsystem\n(S'touch hacked'\ntR.",
    "an archive": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("content", FORGED_TENSORS.values(), ids=FORGED_TENSORS)
@pytest.mark.parametrize("name", ["final.safetensors", "initial.safetensors", "predictions.safetensors"])
def test_forged_tensors_are_refused(copy: Path, name: str, content: bytes) -> None:
    forge(copy, name, content)
    with pytest.raises(RunError, match=rf"{name} is not what a run holds there"):
        runs.read_everything(runs.load(copy))


def test_weights_that_are_no_numbers_are_refused(copy: Path) -> None:
    weights = safetensors.torch.load((copy / "final.safetensors").read_bytes())
    weights["fc2.bias"][3] = float("nan")
    forge(copy, "final.safetensors", safetensors.torch.save(weights))
    with pytest.raises(RunError, match="not all of its values are finite"):
        runs.load(copy).model()


@pytest.mark.parametrize(
    "claims",
    [
        {"test_accuracy": 1.01},
        {"test_accuracy": float("nan")},
        {"test_accuracy": "0.99"},
        {"test_accuracy": None},
        {"seconds": -1},
        {"seconds": float("inf")},
        {"iterations": 2.5},
        {"test_images": 0},
        {"finished": "<script>"},
        {"finished": 5},
        {"files": None},
        {"files": {"record.csv": 5}},
        {"training_version": "1"},
    ],
)
def test_results_that_cannot_be_are_refused_and_do_not_hide_other_runs(copy: Path, claims: dict[str, Any]) -> None:
    forge(copy, "", b"", **claims)
    with pytest.raises(RunError, match=r"metrics\.json is not what a run holds there"):
        runs.load(copy)
    found, (problem,) = runs.read_store(copy.parent)
    assert found == []
    assert copy.name in problem


def test_an_accuracy_that_the_predictions_do_not_bear_out_is_refused(copy: Path) -> None:
    forge(copy, "", b"", test_accuracy=0.999)
    with pytest.raises(RunError, match=r"does not agree with the test accuracy in metrics\.json, 0\.999"):
        _ = runs.load(copy).logits


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b"\xff\xfe", b"null"])
@pytest.mark.parametrize("name", ["metrics.json", "experiment.json", "environment.json"])
def test_json_made_to_break_its_reader_is_refused(copy: Path, name: str, content: bytes) -> None:
    if name == "metrics.json":
        (copy / name).write_bytes(content)
    else:
        forge(copy, name, content)
    with pytest.raises(RunError, match=name):
        runs.read_everything(runs.load(copy))


@pytest.mark.parametrize("content", [b"", b"iteration,loss\n1,2\n", b"\x00" * 100, b"a" * 10**6, b'"' * 1001])
def test_a_forged_record_is_refused(copy: Path, content: bytes) -> None:
    forge(copy, "record.csv", content)
    with pytest.raises(RunError, match=r"record\.csv is not what a run holds there"):
        _ = runs.load(copy).record


MARKUP = ["<img src=x onerror=alert(1)>", '`#read("../x")`{=typst}', "[x](javascript:alert(1))", "a\nb", "x" * 201]


@pytest.mark.parametrize("name", MARKUP)
def test_names_that_are_markup_are_refused_wherever_they_come_from(copy: Path, name: str) -> None:
    with pytest.raises(ExperimentError, match="name must be one line"):
        Experiment(dataset="mnist", name=name)
    described = json.loads((copy / "experiment.json").read_text())
    forge(copy, "experiment.json", json.dumps({**described, "name": name}).encode())
    with pytest.raises(RunError, match=r"experiment\.json does not describe an experiment"):
        runs.load(copy)
    environment = json.loads((copy / "environment.json").read_text())
    forge(copy, "experiment.json", json.dumps(described).encode())
    forge(copy, "environment.json", json.dumps({**environment, "device_name": name}).encode())
    with pytest.raises(RunError, match=r"environment\.json is not what a run holds there"):
        _ = runs.load(copy).environment


@pytest.mark.parametrize(
    "fields", [{"epochs": 1e300}, {"width": 1e9}, {"batch_size": 2**60}, {"train_size": 2**60}, {"surprise": 1}]
)
def test_an_experiment_that_asks_for_too_much_is_refused(copy: Path, fields: dict[str, Any]) -> None:
    described = json.loads((copy / "experiment.json").read_text())
    forge(copy, "experiment.json", json.dumps({**described, **fields}).encode())
    with pytest.raises(RunError, match=r"experiment\.json does not describe an experiment"):
        runs.load(copy)


def test_a_run_in_the_place_of_another_is_not_taken_for_it(trained_run_l2: Run, trained_run: Run, copy: Path) -> None:
    place = runs.folder_of(trained_run_l2.experiment, copy.parent)
    copy.rename(place)
    with pytest.raises(RunError, match=f"holds the run of another experiment, mnist, whose place is {copy.name}"):
        runs.find(trained_run_l2.experiment, copy.parent)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "a pipe"])
@pytest.mark.parametrize("name", ["metrics.json", "final.safetensors", run_files.CHECKPOINT])
def test_files_that_never_end_are_refused(copy: Path, name: str, target: str) -> None:
    (copy / name).unlink(missing_ok=True)
    if target == "a pipe":
        os.mkfifo(copy / name)
    else:
        (copy / name).symlink_to(target)
    with pytest.raises(RunError, match=name):
        run_files.read_checkpoint(copy) if name == run_files.CHECKPOINT else runs.load(copy).model()


def test_links_in_a_run_folder_are_never_written_through(tmp_path: Path, own_store: Path) -> None:
    """A folder from a stranger, in which every file that training writes is a link to one of ours."""
    experiment = named_experiment("mnist", "smoke", data="stand-in", train_size=64, test_size=20, width=0.0625)
    mine = tmp_path / "thesis.tex"
    mine.write_text("my thesis")
    folder = runs.folder_of(experiment)
    folder.mkdir(parents=True)
    written = ("experiment.json", "environment.json", "record.csv", "initial.safetensors", "final.safetensors")
    for name in (*written, "predictions.safetensors", "index.safetensors"):
        (folder / name).symlink_to(mine)
    (folder / ".lock").symlink_to(mine)
    with pytest.raises(RunError, match=r"\.lock is not a regular file; delete it"):
        training.train(experiment, device="cpu", progress=False)
    (folder / ".lock").unlink()
    run = training.train(experiment, device="cpu", progress=False)
    runs.write_index(run, {"a": torch.zeros(1)})
    assert mine.read_text() == "my thesis"
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize("reference", ["../../etc", "x" * 5000, "a\0b", "", "/dev", "."])
def test_a_reference_that_leads_nowhere_is_a_clear_error(copy: Path, reference: str) -> None:
    with pytest.raises(RunError):
        runs.load(reference, root=copy.parent)


# --- Older training code and other environments -----------------------------------------------------------------


def as_trained_by(version: int, folder: Path) -> Path:
    """The folder as a version of the training code would have left it."""
    experiment = runs.load(folder).experiment
    forge(folder, "", b"", training_version=version)
    return folder.rename(folder.with_name(f"{experiment.dataset}-{experiment.fingerprint_under(version)}"))


def test_a_run_of_older_training_code_can_be_read_and_is_never_taken_for_a_new_one(copy: Path) -> None:
    experiment = runs.load(copy).experiment
    old = as_trained_by(TRAINING_VERSION - 1, copy)
    assert old.name != copy.name
    run = runs.load(old)
    runs.read_everything(run)
    assert run.fingerprint == experiment.fingerprint_under(TRAINING_VERSION - 1) != experiment.fingerprint
    assert runs.find(experiment, old.parent) is None
    with pytest.raises(RunError, match="no run 'mnist'"):
        runs.load("mnist", root=old.parent)
    assert runs.load(old.name, root=old.parent).folder == old
    assert "older training code" in catalogue.table(runs.listing(old.parent).runs, TRAINING_VERSION)


def test_a_run_of_newer_training_code_asks_for_an_update(copy: Path) -> None:
    forge(copy, "", b"", training_version=TRAINING_VERSION + 1)
    with pytest.raises(RunError, match=r"newer hwkit.*update hwkit"):
        runs.load(copy)


def test_a_comparison_says_what_the_runs_differ_in_beside_their_experiments(copy: Path, trained_run: Run) -> None:
    assert analysis.compare_accuracies(trained_run, runs.load(copy)).note == ""
    environment = json.loads((copy / "environment.json").read_text())
    changed = {**environment, "threads": 64, "precision": "fp16", "torch": "2.0.0"}
    forge(copy, "environment.json", json.dumps(changed).encode())
    compared = analysis.compare_accuracies(trained_run, replace(runs.load(copy), experiment=trained_run.experiment))
    for text in ("threads", "64", "fp16", "2.0.0", "differ in more than their experiments"):
        assert text in str(compared)


def test_an_environment_tells_what_a_number_depends_on(trained_run: Run) -> None:
    found = trained_run.environment
    assert {"hwkit", "training_code", "python", "torch", "numpy", "platform", "instructions"} < set(found)
    assert {"device", "device_name", "threads", "precision", "data_checksum"} < set(found)
    assert found["training_code"] == environments.training_code()
    assert environments.label("A <b>`CPU`</b>\n") == "A ?b??CPU??/b?"


def test_a_read_of_a_file_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(ValueError, match="more than 10 bytes"):
        storage.read_bytes(tmp_path / "large", 10)


def test_tensors_come_back_as_they_were_written(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "empty": torch.zeros(0, 8, dtype=torch.float64), "number": torch.tensor(2.0)}
    storage.write_tensors(tmp_path / "file", tensors, {"x": [1, "y"]})
    found, about = storage.read_tensors(tmp_path / "file")
    assert about == {"x": [1, "y"]}
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in tensors.items()}
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_an_experiment_of_another_version_has_another_fingerprint() -> None:
    experiment = Experiment(dataset="mnist")
    assert len({experiment.fingerprint_under(version) for version in range(4)}) == 4
    assert experiment.fingerprint == experiment.fingerprint_under(TRAINING_VERSION)
