"""Training does what the report says, can be stopped at any moment, and goes on as if it had not been."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from hwkit import callbacks, data, models, parallel, runs, training
from hwkit.engine import checkpoints, devices, run_files
from hwkit.errors import RunError, TrainingError
from hwkit.experiment import Experiment, named_experiment
from hwkit.runs import Run

# Everything that draws random numbers at once: augmentation and dropout.
TINY = {"data": "stand-in", "dropout": 0.5, "train_size": 640, "test_size": 200, "batch_size": 32, "record_every": 5}


FILES = ("experiment.json", "environment.json", "record.csv")
FILES += ("initial.safetensors", "final.safetensors", "predictions.safetensors")


def tiny(**changes: object) -> Experiment:
    return named_experiment("cifar10-l2", "smoke", **{**TINY, **changes})


def train(experiment: Experiment) -> Run:
    return training.train(experiment, device="cpu", progress=False)


def same_weights(a: Run, b: Run) -> bool:
    return all(torch.equal(a.final_weights[name], b.final_weights[name]) for name in a.final_weights)


def test_gradient_of_the_penalty_is_lambda_times_the_weight_and_spares_biases() -> None:
    model = models.build(named_experiment("cifar10"))
    l2 = 0.37
    models.l2_penalty(model, l2).backward()
    for parameter in model.parameters():
        if models.is_weight(parameter):
            torch.testing.assert_close(parameter.grad, l2 * parameter.detach())
        else:
            assert parameter.grad is None


def test_penalty_value_is_half_lambda_times_the_sum_of_squares() -> None:
    model = models.build(named_experiment("cifar10"))
    squares = sum((w.double() ** 2).sum().item() for name, w in model.state_dict().items() if "weight" in name)
    assert models.l2_penalty(model, 0.01).item() == pytest.approx(0.01 / 2 * squares, rel=1e-5)


def test_an_optimiser_step_is_one_on_the_loss_with_the_penalty_in_it() -> None:
    experiment = named_experiment("cifar10-l2-strong", optimizer="adam")
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    stepped = []
    for explicit in (True, False):
        model = models.build(experiment)
        optimizer = training.make_optimizer(model, experiment.replace(l2=0.0) if explicit else experiment)
        for _ in range(3):
            loss = F.cross_entropy(model(images), labels)
            if explicit:
                loss = loss + models.l2_penalty(model, experiment.l2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        stepped.append(model.state_dict())
    for name in stepped[0]:
        torch.testing.assert_close(stepped[0][name], stepped[1][name], rtol=1e-4, atol=1e-6)


def test_smoothed_labels_give_every_class_its_part(own_store: Path) -> None:
    class Losses(callbacks.Callback):
        def on_step(self, training: Any) -> None:
            log_p = training.logits.float().log_softmax(dim=1)
            of_truth = log_p.gather(1, training.labels[:, None]).squeeze(1)
            expected.append(-(0.8 * of_truth + 0.2 * log_p.mean(dim=1)).mean().item())
            found.append(training.loss.item())

    expected, found = [], []
    training.train(tiny(label_smoothing=0.2), device="cpu", progress=False, callbacks=[Losses()])
    assert found == pytest.approx(expected, rel=1e-3)


def test_one_cycle_rises_to_its_peak_and_falls_to_zero() -> None:
    experiment = tiny(epochs=10)
    rates = [callbacks.learning_rate_at(i, experiment) for i in range(1, experiment.iterations + 1)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(experiment.learning_rate)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_record_has_the_rows_and_columns_it_promises(own_store: Path) -> None:
    run = train(tiny())
    assert tuple(run.record.columns) == runs.RECORD_COLUMNS
    assert run.record["iteration"].tolist() == list(range(5, run.experiment.iterations + 1, 5))
    assert run.record["test_accuracy"].between(0, 1).all()
    assert (run.record["loss"] > run.record["penalty"]).all()
    assert (run.record["penalty"] > 0).all()


def test_the_training_accuracy_of_a_record_is_measured_without_dropout(own_store: Path) -> None:
    """With a learning rate this small the network is as it was built, so each batch has the accuracy that it has."""
    experiment = tiny(dropout=0.95, learning_rate=1e-12, epochs=1, record_every=1, precision="fp32")
    run = train(experiment)
    dataset, network = data.of(experiment, torch.device("cpu")), run.model()
    batches = [
        models.accuracy(models.predict(network, images.byte(), dataset), labels)
        for images, labels in data.epoch_batches(dataset, experiment, epoch=0)
    ]
    assert run.record.train_accuracy.tolist() == batches


def test_predictions_on_the_way_are_kept_at_even_distances_and_end_with_the_final_ones(own_store: Path) -> None:
    run = train(tiny(evaluations=3, epochs=4, record_every=1))
    moments = list(run.predicted_at)
    assert moments == [math.ceil(run.metrics["iterations"] * step / 4) for step in (1, 2, 3, 4)]
    assert torch.equal(run.predicted_at[moments[-1]], run.logits.argmax(dim=1))
    assert any(not torch.equal(run.predicted_at[one], run.predicted_at[moments[-1]]) for one in moments[:-1])
    assert list(train(tiny(epochs=4, record_every=1)).predicted_at) == moments[-1:]


def test_final_accuracy_is_that_of_the_stored_weights_over_the_test_set(trained_run: Run) -> None:
    e = trained_run.experiment
    dataset = data.load(e.dataset, e.data, train_size=e.train_size, test_size=e.test_size)
    with torch.no_grad():
        logits = trained_run.model()(data.normalise(dataset.test_images, dataset))
    right = (logits.argmax(1) == dataset.test_labels).float().mean().item()
    assert trained_run.test_accuracy == pytest.approx(right, abs=0.002)
    assert trained_run.test_accuracy > 0.3  # chance is 0.1


def test_a_finished_run_is_loaded_and_not_trained_again(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train_in", lambda *_, **__: pytest.fail("trained again"))
    again = train(trained_run.experiment.replace(name="another label"))
    assert again.folder == trained_run.folder
    assert again.name == "another label"


def test_same_seed_same_result_other_seed_other_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for store, seed in (("a", 0), ("b", 0), ("c", 1)):
        monkeypatch.setenv("HWKIT_HOME", str(tmp_path / store))
        found.append(train(tiny(seed=seed)))
    assert same_weights(found[0], found[1])
    assert not same_weights(found[0], found[2])


def test_training_leaves_the_callers_random_state_alone(own_store: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    train(tiny())
    assert torch.equal(torch.get_rng_state(), state)


CHILD = """
import sys
from hwkit import callbacks, training
from hwkit.experiment import Experiment
import json
callbacks.CHECKPOINT_SECONDS = 0.0
train_in = training.train_in
training.train_in = lambda *arguments: print("trained") or train_in(*arguments)
training.train(Experiment.from_dict(json.loads(sys.argv[1])), device="cpu", progress=False)
"""


def start_child(experiment: Experiment, store: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "HWKIT_HOME": str(store)}
    arguments = [sys.executable, "-c", CHILD, json.dumps(experiment.as_dict())]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def test_tiny_numbers_count_as_zero_while_training_and_as_before_after_it(own_store: Path) -> None:
    tenth_of_the_smallest: list[float] = []

    class Tenth(callbacks.Callback):
        def on_record(self, training: callbacks.Training, row: dict[str, float]) -> None:
            tenth_of_the_smallest.append((torch.tensor(torch.finfo(torch.float32).tiny) / 10).item())

    training.train(tiny(), device="cpu", progress=False, callbacks=[Tenth()])
    assert set(tenth_of_the_smallest) == {0.0}
    assert (torch.tensor(torch.finfo(torch.float32).tiny) / 10).item() > 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_training_goes_on_to_the_bit_for_bit_same_result(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny(epochs=5)
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "undisturbed"))
    undisturbed = train(experiment)

    child = start_child(experiment, tmp_path / "killed")
    folder = runs.folder_of(experiment, tmp_path / "killed")
    wait_for(folder / run_files.CHECKPOINT, child)
    child.send_signal(number)
    child.communicate()
    assert child.returncode != 0
    assert not runs.is_finished(folder)
    assert 0 < checkpoints.read(folder, experiment.fingerprint).iteration < experiment.iterations

    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "killed"))
    resumed = train(experiment)
    assert same_weights(resumed, undisturbed)
    assert torch.equal(resumed.logits, undisturbed.logits)
    columns = [column for column in runs.RECORD_COLUMNS if column != "seconds"]
    assert resumed.record[columns].equals(undisturbed.record[columns])
    assert not (folder / run_files.CHECKPOINT).exists()


def test_two_processes_that_want_the_same_run_train_it_once(tmp_path: Path) -> None:
    experiment = tiny(epochs=5)
    children = [start_child(experiment, tmp_path) for _ in range(2)]
    said = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(said) == ["", "trained\n"]
    found, problems = runs.read_store(tmp_path)
    assert len(found) == 1
    assert not problems


def test_a_loss_that_is_no_number_stops_and_is_never_a_finished_run(own_store: Path) -> None:
    experiment = tiny(learning_rate=1e30, schedule="constant", precision="fp32", epochs=20)
    with pytest.raises(TrainingError, match=r"loss became (nan|inf).*lower the learning rate"):
        train(experiment)
    assert runs.find(experiment) is None


def test_a_network_that_computes_no_numbers_is_never_a_finished_run(own_store: Path) -> None:
    experiment = tiny(learning_rate=1e12, schedule="constant", precision="fp32", epochs=0.01)
    assert experiment.iterations == 1
    with pytest.raises(TrainingError, match="not all finite"):
        train(experiment)
    assert runs.find(experiment) is None


def test_a_penalty_that_is_no_number_stops_too_and_keeps_the_last_good_checkpoint(
    own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam divides such a gradient away, so that cross-entropy and weights stay finite while the loss is not."""
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    experiment = tiny(l2=1e37, precision="fp32")
    with pytest.raises(TrainingError, match=r"became inf at iteration 5 \(the last good checkpoint, of iteration 4"):
        train(experiment)
    assert runs.find(experiment) is None
    assert checkpoints.load(runs.folder_of(experiment), experiment.fingerprint).iteration == 4


def test_a_failing_evaluation_keeps_the_last_step(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = tiny()
    real_finish = runs.finish
    monkeypatch.setattr(runs, "finish", lambda *_, **__: (_ for _ in ()).throw(RunError("no space")))
    with pytest.raises(RunError):
        train(experiment)
    assert checkpoints.read(runs.folder_of(experiment), experiment.fingerprint).iteration == experiment.iterations
    monkeypatch.setattr(runs, "finish", real_finish)
    assert train(experiment).metrics["iterations"] == experiment.iterations


def test_leftovers_of_killed_processes_are_removed(own_store: Path) -> None:
    experiment = tiny()
    folder = runs.folder_of(experiment)
    folder.mkdir(parents=True)
    (folder / ".checkpoint.safetensors.abcd1234").write_bytes(b"half")
    train(experiment)
    assert {path.name for path in folder.iterdir()} - {".lock"} == {*FILES, "metrics.json"}


def test_a_run_continued_elsewhere_says_how_it_began_however_often(
    own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, here = tiny(), training.device_name(torch.device("cpu"))
    with monkeypatch.context() as patched:
        patched.setattr(runs, "finish", lambda *_, **__: (_ for _ in ()).throw(RunError("no space")))
        for machine in (here, "another machine", "another machine"):
            patched.setattr(training, "device_name", lambda device, machine=machine: machine)
            with pytest.raises(RunError):
                train(experiment)
    monkeypatch.setattr(training, "device_name", lambda device: "another machine")
    environment = train(experiment).environment
    assert environment["device_name"] == "another machine"
    assert environment["began_as"]["device_name"] == here


def test_an_unknown_device_is_named_with_those_that_exist() -> None:
    with pytest.raises(TrainingError, match=r"device 'tpu' is not here; use auto or one of: .*cpu"):
        devices.resolve_device("tpu")


def test_an_unwritable_store_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").write_text("a file where the store should be")
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "runs"))
    with pytest.raises(RunError, match=r"cannot write .*HWKIT_HOME"):
        train(tiny())


def test_a_full_disk_keeps_the_last_checkpoint(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = tiny(epochs=2)
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    real_save, saved = safetensors.torch.save_file, []

    def save_while_there_is_room(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        if len(saved) == 3:
            Path(path).write_bytes(b"half a check")
            raise OSError(28, "No space left on device")
        saved.append(json.loads(metadata["about"])["iteration"])
        real_save(tensors, path, metadata)

    monkeypatch.setattr(safetensors.torch, "save_file", save_while_there_is_room)
    with pytest.raises(RunError, match=r"No space left on device.*last checkpoint are kept"):
        train(experiment)
    folder = runs.folder_of(experiment)
    assert checkpoints.read(folder, experiment.fingerprint).iteration == saved[-1]
    assert not list(folder.glob(".checkpoint*"))


def test_forecast_grows_with_the_number_of_iterations() -> None:
    short, long = tiny(epochs=1), tiny(epochs=200)
    assert 0 < parallel.expected_seconds(short, "cpu") < parallel.expected_seconds(long, "cpu")


@pytest.mark.real_data
def test_real_mnist_is_learned_within_a_fraction_of_an_epoch(real_data_root: Path, own_store: Path) -> None:
    run = train(named_experiment("mnist-l2", "quick", data="real", epochs=0.2, test_size=2000))
    assert run.test_accuracy > 0.9
    assert math.isfinite(run.metrics["test_loss"])
