"""A network that hwkit has never seen is trained, resumed, repeated and loaded as the report's own are."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from own_networks import ConvolutionsOnly, ResidualNet, SharedLayer, perceptron, shifted
from torch import Tensor, nn

import hwkit
from hwkit import callbacks, models, runs, training
from hwkit.engine import code, run_files
from hwkit.errors import ExperimentError, RunError
from hwkit.experiment import Experiment, named_experiment
from hwkit.parallel import train_seeds

NETWORKS = [ResidualNet, ConvolutionsOnly, SharedLayer, perceptron, functools.partial(perceptron, hidden=8)]


def tiny(**changes: object) -> Experiment:
    sizes = {"train_size": 320, "test_size": 100, "batch_size": 32, "record_every": 5}
    return Experiment(dataset="mnist", data="stand-in", **{**sizes, **changes})


def train(experiment: Experiment, model: object = None, **options: object) -> runs.Run:
    return training.train(experiment, model, device="cpu", progress=False, **options)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: getattr(network, "__name__", "partial"))
def test_any_network_is_trained_and_loaded(network: Callable[[], nn.Module], own_store: Path) -> None:
    run = train(tiny(), network)
    again = hwkit.load(run.name, model=network)
    assert again.folder == run.folder
    logits = again.model()(hwkit.data.normalise(hwkit.data.of(run.experiment).test_images, "mnist"))
    torch.testing.assert_close(logits.detach(), run.logits, rtol=1e-3, atol=1e-3)
    assert train(tiny(), network).finished == run.finished


def test_the_name_of_a_run_says_which_network_it_has(own_store: Path) -> None:
    assert train(tiny(epochs=0.1), SharedLayer).name == "mnist[SharedLayer]"
    assert train(tiny(epochs=0.1), functools.partial(perceptron, hidden=8)).name == "mnist[perceptron(hidden=8)]"
    wide = named_experiment("mnist-l2", "smoke", data="stand-in", train_size=320, test_size=100, epochs=0.1)
    assert train(wide, SharedLayer).name == "mnist-l2[train_size=320, test_size=100, epochs=0.1, SharedLayer]"


def test_without_its_network_a_run_has_its_numbers_and_says_what_its_network_needs(own_store: Path) -> None:
    run = train(tiny(), SharedLayer)
    script = f"""
        from pathlib import Path
        import hwkit
        run = hwkit.load(Path({str(run.folder)!r}))
        assert abs(run.test_accuracy - {run.test_accuracy}) < 1e-12
        assert run.logits.shape == (100, 10) and len(run.record) > 0 and "again" in " ".join(run.final_weights)
        assert "class SharedLayer" in run.code
        try:
            run.model()
        except hwkit.errors.RunError as error:
            print(error)
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert "has a network of your own, SharedLayer; pass it: hwkit.load('mnist[SharedLayer]', model=SharedLayer)" in (
        told.stdout
    )


def test_a_changed_network_is_another_run_and_a_changed_comment_is_not(tmp_path: Path) -> None:
    def identity(source: str, number: int) -> str:
        path = tmp_path / f"net{number}.py"
        path.write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(source))
        return code.remember(code.from_file(f"{path}:Net"), "model")

    plain = """
        SIZE = 4
        class Layer(nn.Linear): ...
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = Layer(784, SIZE)
            def forward(self, x):
                return self.layer(x.flatten(1))
    """
    first = identity(plain, 0)
    commented = plain.replace("def forward", "# of images\n            def forward").replace(
        "class Net(nn.Module):", 'class Net(nn.Module):\n            """A net."""'
    )
    assert identity(commented, 1) == first
    changes = [
        ("flatten(1)", "flatten(1) * 2"),
        ("SIZE = 4", "SIZE = 5"),
        ("Linear): ...", "Linear):\n            scale = 2"),
    ]
    assert len({first, *(identity(plain.replace(*change), number) for number, change in enumerate(changes, 2))}) == 4


def test_a_run_of_another_network_of_the_same_name_is_refused(own_store: Path, tmp_path: Path) -> None:
    run = train(tiny(epochs=0.1), SharedLayer)
    (tmp_path / "other.py").write_text(
        "from torch import nn\nclass SharedLayer(nn.Linear):\n    def forward(self, x): ...\n"
    )
    other = code.from_file(f"{tmp_path}/other.py:SharedLayer")
    with pytest.raises(RunError, match="was trained with another model than SharedLayer as it is now"):
        hwkit.load(run.name, model=other)


def test_a_network_of_a_notebook_is_trained_with_several_seeds_side_by_side(own_store: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "import torch.nn as nn, hwkit\nimport torch.nn.functional as F",
        "class Frozen(nn.Identity): ...\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(1, 4, 5, stride=3)\n"
        "        self.frozen = Frozen()\n"
        "        self.fc = nn.Linear(4 * 8 * 8, 10)\n"
        "    def forward(self, images):\n"
        "        return self.fc(F.relu(self.conv(images)).flatten(1))\n",
        "e = hwkit.Experiment(dataset='mnist', data='stand-in', train_size=320, test_size=100, batch_size=32)\n"
        "runs = hwkit.train_seeds(e, 3, model=Net, device='cpu', progress=False)\n"
        "print([run.experiment.seed for run in runs], len({run.folder for run in runs}), runs[0].name)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert notebook.cells[-1].outputs[-1]["text"].splitlines()[-1] == "[0, 1, 2] 3 mnist[Net]"


def test_processes_side_by_side_train_a_network_as_one_after_the_other(
    own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = train_seeds(tiny(), 2, ResidualNet, device="cpu", progress=False)
    monkeypatch.setenv("HWKIT_HOME", str(own_store / "alone"))
    for run in together:
        alone = train(run.experiment)
        assert all(torch.equal(value, run.final_weights[name]) for name, value in alone.final_weights.items())


class Interrupt(callbacks.Callback):
    def on_step(self, training: callbacks.Training) -> None:
        if training.iteration == 7:
            training.save()
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "sgd"}, {"optimizer": "adamw"}, {"optimizer": "muon"}, {"augment": shifted}]
)
def test_an_interrupted_training_resumes_to_the_bit_for_bit_same_result(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny(l2=1e-3, epochs=2, **changes)
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "undisturbed"))
    undisturbed = train(experiment, ResidualNet)
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "interrupted"))
    with pytest.raises(KeyboardInterrupt):
        train(experiment, ResidualNet, callbacks=[Interrupt()])
    resumed = train(experiment, ResidualNet)
    assert resumed.metrics["iterations"] == 20
    for name, value in undisturbed.final_weights.items():
        assert torch.equal(value, resumed.final_weights[name])


def test_optimisers_and_augmentations_are_part_of_the_fingerprint_and_their_defaults_are_not() -> None:
    assert len({tiny(**changes).fingerprint for changes in ({}, {"optimizer": "sgd"}, {"augment": shifted})}) == 3
    assert tiny(optimizer="adam", momentum=0.9).fingerprint == tiny().fingerprint


def test_a_new_option_leaves_the_fingerprints_of_stored_runs_as_they_are() -> None:
    """A later version's option, here batch normalisation in the report's networks, changes what differs only."""
    import dataclasses

    from hwkit.options import flag, option

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(Experiment):
        batch_norm: bool = option(False, flag, "normalise each convolution", network=True)

    fields = named_experiment("cifar10-l2", "full", data="real").as_dict()
    assert Later(**fields).fingerprint == Experiment(**fields).fingerprint
    assert Later(**fields, batch_norm=True).fingerprint != Experiment(**fields).fingerprint


class NoParameters(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10]


class NeedsWidth(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()


class Elsewhere(nn.Linear):
    def __init__(self) -> None:
        super().__init__(784, 10, device="meta")


class Fails(nn.Linear):
    def __init__(self) -> None:
        super().__init__(100, 10)


def features() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 5))


def nothing() -> None:
    return None


def captured() -> Callable[[], nn.Module]:
    width = 3

    def inside() -> nn.Module:
        return nn.Linear(width, 10)

    return inside


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda: nn.Linear(784, 10), "model is a lambda"),
        (nn.Linear(784, 10), "model must be a class or a function, not an object of the class Linear: pass Linear"),
        ("Net", "model must be a class or a function, not an object of the class str"),
        (captured(), "model inside uses width of the function around it"),
        (functools.partial(perceptron, hidden=torch.ones(1)), "arguments must be numbers, texts, lists or classes"),
        (NoParameters, "NoParameters has no parameters to train"),
        (NeedsWidth, r"NeedsWidth\(\) fails: .*'width'; give its arguments by functools.partial\(NeedsWidth, ...\)"),
        (Elsewhere, "Elsewhere puts tensors on meta; build it on the CPU"),
        (Fails, r"Fails fails on images of shape \(2, 1, 28, 28\)"),
        (
            features,
            r"gives shape \(2, 5\) for images of shape \(2, 1, 28, 28\); it must give logits of shape \(2, 10\)",
        ),
        (nothing, r"nothing\(\) gives a NoneType; it must give a torch.nn.Module"),
        (nn.Identity, "Identity has no parameters to train"),
    ],
)
def test_what_is_no_network_for_these_images_is_one_sentence_before_training(
    model: object, complaint: str, own_store: Path
) -> None:
    with pytest.raises(ExperimentError, match=complaint):
        train(tiny(), model)
    assert not any(run_files.is_finished(folder) for folder in own_store.glob("*"))


def test_options_of_the_reports_networks_are_refused_beside_another_network() -> None:
    with pytest.raises(
        ExperimentError, match=r"kernel_size=3 is an option of hwkit's own networks, not of SharedLayer"
    ):
        named_experiment("mnist-3x3").varied(model=SharedLayer)
    assert named_experiment("mnist").varied(model=SharedLayer).kernel_size is None


def test_an_augmentation_has_to_give_images_as_it_gets_them(own_store: Path) -> None:
    with pytest.raises(ExperimentError, match="cropped must give images as it gets them"):
        train(tiny(augment=cropped), SharedLayer)


def cropped(images: Tensor, generator: torch.Generator) -> Tensor:
    return images[:, :, 2:-2, 2:-2]


class Watching(callbacks.Callback):
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_start(self, training: callbacks.Training) -> None:
        self.events.append("start")

    def on_epoch(self, training: callbacks.Training) -> None:
        self.events.append(f"epoch after {training.iteration}")

    def on_end(self, training: callbacks.Training) -> None:
        self.events.append("end")

    def on_finish(self, training: callbacks.Training, run: runs.Run) -> None:
        self.events.append(f"finished {run.name}")


def test_callbacks_are_told_what_happens_and_watching_changes_nothing(own_store: Path) -> None:
    watching = Watching()
    run = train(tiny(epochs=2), callbacks=[watching])
    assert watching.events == ["start", "epoch after 10", "epoch after 20", "end", "finished custom"]
    assert run.fingerprint == training.resolved(tiny(epochs=2)).fingerprint


def test_early_stopping_stops_and_is_another_run(own_store: Path) -> None:
    experiment = tiny(epochs=30, holdout=100, learning_rate=0.1, optimizer="sgd")
    run = train(experiment, callbacks=[callbacks.EarlyStopping(patience=2)])
    assert run.metrics["iterations"] < experiment.iterations
    assert "no better than" in run.metrics["stopped"]
    assert runs.find(training.resolved(experiment)) is None
    runs.read_everything(hwkit.load(run.folder))


def test_early_stopping_remembers_over_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = tiny(epochs=30, holdout=100, learning_rate=0.1, optimizer="sgd")
    found = []
    for interrupted in (False, True):
        monkeypatch.setenv("HWKIT_HOME", str(tmp_path / str(interrupted)))
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                train(experiment, callbacks=[callbacks.EarlyStopping(patience=3), Interrupt()])
        found.append(train(experiment, callbacks=[callbacks.EarlyStopping(patience=3)]).metrics["iterations"])
    assert found[0] == found[1]


def test_clipped_gradients_train_another_run(own_store: Path) -> None:
    plain, clipped = train(tiny()), train(tiny(), callbacks=[callbacks.ClipGradients(0.01)])
    assert clipped.name == "mnist[callbacks=gradients clipped to 0.01]"
    assert plain.folder != clipped.folder
    assert not torch.equal(plain.final_weights["fc1.weight"], clipped.final_weights["fc1.weight"])


def test_a_log_has_the_rows_of_the_record_and_overwrites_nothing(own_store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    run = train(tiny(), callbacks=[callbacks.CSVLogger(log)])
    assert log.read_text().splitlines()[0] == (run.folder / "record.csv").read_text().splitlines()[0]
    assert len(log.read_text().splitlines()) == len(run.record) + 1
    log.write_text("mine\n")
    with pytest.raises(ExperimentError, match=r"log\.csv is there and is not such a log"):
        train(tiny(seed=1), callbacks=[callbacks.CSVLogger(log)])
    assert log.read_text() == "mine\n"


def test_callbacks_that_would_change_a_run_unnoticed_are_refused(own_store: Path) -> None:
    class Doubling(callbacks.Callback):
        def on_gradients(self, training: callbacks.Training) -> None: ...

    class Stopping(callbacks.Callback):
        def on_step(self, training: callbacks.Training) -> None:
            training.stop("enough")

    for wrong, complaint in (
        (Doubling(), "needs a label"),
        (Stopping(), "needs a label"),
        (Watching, "not the class Watching"),
        (callbacks.EarlyStopping(), "needs held-out training images"),
    ):
        with pytest.raises(ExperimentError, match=complaint):
            train(tiny(), callbacks=[wrong])


def test_building_a_network_leaves_the_callers_random_state_alone() -> None:
    state = torch.get_rng_state()
    experiment = tiny().varied(model=ResidualNet)
    models.check(experiment)
    first, second = models.build(experiment), models.build(experiment)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.head.weight, second.head.weight)
