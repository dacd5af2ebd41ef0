"""What is in a run folder can be trusted: whole, checked, and found again by what a user calls it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hwkit import data, doctor, models, runs, training
from hwkit.engine import checkpoints, run_files
from hwkit.engine.checkpoints import Checkpoint
from hwkit.errors import RunError
from hwkit.experiment import named_experiment
from hwkit.formats import duration
from hwkit.runs import Run

# All that a finished run holds beside metrics.json.
FILES = (
    "experiment.json",
    "environment.json",
    "record.csv",
    "initial.safetensors",
    "final.safetensors",
    "predictions.safetensors",
)


@pytest.fixture
def copy(trained_run: Run, tmp_path: Path) -> Path:
    """A copy of a finished run, to damage."""
    return Path(shutil.copytree(trained_run.folder, tmp_path / trained_run.folder.name))


def read_everything(folder: Path) -> None:
    run = runs.load(folder)
    run.model()
    _ = run.initial_weights, run.logits, run.labels, run.record, run.environment


def test_a_run_folder_holds_what_it_promises_and_nothing_else(trained_run: Run) -> None:
    found = {path.name for path in trained_run.folder.iterdir()}
    # Another test may have explored it.
    assert found - {".lock", "index.safetensors"} == {*FILES, "metrics.json"}
    read_everything(trained_run.folder)


def test_initial_and_final_weights_are_those_before_and_after_training(trained_run: Run) -> None:
    initial = models.build(trained_run.experiment).state_dict()
    assert all(torch.equal(initial[name], value) for name, value in trained_run.initial_weights.items())
    assert not torch.equal(initial["conv1.weight"], trained_run.final_weights["conv1.weight"])


@pytest.mark.parametrize("damage", ["cut off", "bit flipped", "empty", "missing", "text", "a folder"])
@pytest.mark.parametrize("name", [*FILES, "metrics.json"])
def test_a_damaged_file_is_named_with_the_remedy(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "bit flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not what it was")
    elif damage == "a folder":
        path.mkdir()
    with pytest.raises(RunError) as error:
        read_everything(copy)
    assert str(copy) in str(error.value)
    if not (name == "metrics.json" and damage == "missing"):
        assert name in str(error.value)
        assert "train again" in str(error.value)


def test_a_folder_of_a_newer_format_says_so(copy: Path) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({**metrics, "format": run_files.FORMAT + 1}))
    with pytest.raises(RunError, match="update hwkit"):
        runs.load(copy)


def test_listing_names_damaged_folders_and_goes_on(copy: Path, trained_run_l2: Run) -> None:
    (copy / "metrics.json").write_text("{")
    shutil.copytree(trained_run_l2.folder, copy.parent / trained_run_l2.folder.name)
    found, problems = runs.read_store(copy.parent)
    assert [run.name for run in found] == ["mnist-l2"]
    assert len(problems) == 1
    assert copy.name in problems[0]


def test_a_run_is_found_by_name_folder_path_and_fingerprint(trained_run: Run) -> None:
    root = trained_run.folder.parent
    fingerprint = trained_run.experiment.fingerprint
    for reference in (trained_run.folder.name, str(trained_run.folder), fingerprint, fingerprint[:6]):
        assert runs.load(reference, root=root).folder == trained_run.folder
    assert runs.load("mnist", root=root).name == "mnist"


def test_an_unknown_run_is_an_error_that_lists_what_exists(trained_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run 'mnits'; did you mean 'mnist'\?"):
        runs.load("mnits", root=trained_run.folder.parent)
    with pytest.raises(RunError, match="there is no finished run"):
        runs.load("mnist", root=tmp_path)


def test_an_unfinished_folder_is_no_run(trained_run: Run, copy: Path) -> None:
    (copy / "metrics.json").unlink()
    (copy / run_files.CHECKPOINT).write_bytes(b"")
    assert runs.listing(copy.parent).unfinished == [copy.name]
    assert runs.find(trained_run.experiment, copy.parent) is None


def test_a_damaged_checkpoint_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / run_files.CHECKPOINT).write_bytes(b"PK\x03\x04 and then nothing")
    assert checkpoints.read(tmp_path, "0" * 12) is None
    assert (tmp_path / f"{run_files.CHECKPOINT}.damaged").exists()


@pytest.mark.parametrize("place", [20, -1, -5000])
def test_a_checkpoint_with_a_flipped_bit_is_not_believed(tmp_path: Path, place: int) -> None:
    run_files.write_checkpoint(tmp_path, {"weight": torch.randn(40, 50)}, {"iteration": 3})
    assert run_files.read_checkpoint(tmp_path)[1] == {"iteration": 3}
    content = bytearray((tmp_path / run_files.CHECKPOINT).read_bytes())
    content[place] ^= 2
    (tmp_path / run_files.CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match=r"safetensors|checksum"):
        run_files.read_checkpoint(tmp_path)


def test_the_checkpoint_of_another_experiment_is_set_aside(trained_run: Run, tmp_path: Path) -> None:
    experiment = trained_run.experiment
    model = models.build(experiment).state_dict()
    optimised = sorted(model, key=lambda name: models.is_weight(model[name]), reverse=True)
    moments = {
        number: {"step": torch.tensor(3.0), "exp_avg": model[name].clone(), "exp_avg_sq": model[name].clone()}
        for number, name in enumerate(optimised)
    }
    state = torch.zeros(8, dtype=torch.uint8)
    written = Checkpoint(model, moments, 3, [(3, *[0.5] * 7)], 1.5, {"device": "cpu"}, state)
    checkpoints.write(tmp_path, experiment.fingerprint, written)
    found = checkpoints.read(tmp_path, experiment.fingerprint)
    assert (found.iteration, found.rows, found.seconds) == (3, written.rows, 1.5)
    assert checkpoints.read(tmp_path, experiment.replace(seed=1).fingerprint) is None
    assert (tmp_path / f"{run_files.CHECKPOINT}.damaged").exists()
    # Under the right name, and yet no checkpoint of this network.
    folder = tmp_path / "run"
    folder.mkdir()
    checkpoints.write(folder, experiment.fingerprint, replace(written, moments=dict(list(moments.items())[1:])))
    assert training.start(folder, experiment, data.of(experiment), torch.device("cpu")).iteration == 0
    assert (folder / f"{run_files.CHECKPOINT}.damaged").exists()


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"iteration": Attack()}, tmp_path / run_files.CHECKPOINT)
    assert checkpoints.read(tmp_path, "0" * 12) is None
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left on device"):
        run_files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_of_a_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").mkdir()
    with pytest.raises(RunError, match=r"experiment\.json is in the way of a file: it is a folder\. Delete it"):
        run_files.write_json(tmp_path / "experiment.json", {})


@pytest.mark.parametrize("damage", [Path.mkdir, lambda path: path.write_text("{}"), lambda path: None])
def test_the_doctor_clears_the_way_of_an_unfinished_training_and_keeps_its_checkpoint(tmp_path: Path, damage) -> None:
    folder = runs.folder_of(named_experiment("mnist"), tmp_path)
    folder.mkdir()
    run_files.write_checkpoint(folder, {"a": torch.ones(2)}, {"iteration": 5})
    damage(folder / "experiment.json")
    for finding in list(doctor.examine_store(tmp_path)):
        assert "is a folder where training will write a file" in finding.problem
        finding.repair()
    assert not (folder / "experiment.json").is_dir()
    assert run_files.read_checkpoint(folder)[1]["iteration"] == 5


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")]
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
