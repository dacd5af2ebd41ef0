"""Analysis, figures and explorer work with networks and images that hwkit does not know."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import pictures
from test_explorer import Opened
from torch import nn

import hwkit
from hwkit import analysis, data, plots
from hwkit.chapters import negative_weights as ablation
from hwkit.data import Dataset
from hwkit.engine.layers import hidden, layers_of
from hwkit.errors import RunError
from hwkit.experiment import Experiment
from hwkit.runs import RECORD_COLUMNS, Run

EVERY = [pytest.param(*pair, id=", ".join(pair)) for pair in itertools.product(networks.LAYERS, networks.IMAGES)]
COUNT = 60
COLOUR = "64x64 colour, 37 classes"


class OwnRun(Run):
    """A run as it would be after training a network on images of one's own, without the training."""

    def model(self) -> nn.Module:
        return copy.deepcopy(vars(self)["network"])


@pytest.fixture
def own_run(tmp_path: Path) -> Callable[[str, str], Run]:
    """A run of one of `networks.LAYERS` on one of `networks.IMAGES`; it misclassifies every third image."""

    def make(network: str, kind: str) -> Run:
        _, classes = networks.IMAGES[kind]
        images, model = networks.pictures(kind, COUNT), networks.build(network, kind)
        names = [f"class number {label}" for label in range(classes)]
        labels = torch.arange(COUNT) % classes
        unlabelled = Dataset.from_arrays(images, labels, images, labels, classes=names)
        with torch.no_grad():
            logits = model(data.normalise(images, unlabelled))
        labels = logits.argmax(dim=1)
        labels[::3] = (labels[::3] + 1) % classes
        dataset = Dataset.from_arrays(images, torch.arange(COUNT) % classes, images, labels, classes=names)
        experiment = Experiment(dataset=dataset, model="Net@000000000000", name=network)
        accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
        run = OwnRun(tmp_path, experiment, {"test_accuracy": accuracy, "iterations": 50, "files": {}})
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        record = pd.DataFrame(np.linspace(0.1, 1, 50)[:, None] * np.ones(len(RECORD_COLUMNS)), columns=RECORD_COLUMNS)
        vars(run).update(network=model, labels=labels, logits=logits, record=record, environment={})
        vars(run).update(final_weights=weights, initial_weights=weights)
        return run

    return make


@pytest.mark.parametrize(("network", "kind"), EVERY)
def test_every_question_has_an_answer(network: str, kind: str, own_run: Callable[[str, str], Run]) -> None:
    run, (shape, classes) = own_run(network, kind), networks.IMAGES[kind]
    images = analysis.test_images(run)
    assert analysis.confusion(run).shape == (classes, classes)
    assert len(analysis.misclassified(run)) == COUNT / 3
    maps = analysis.activations(run, images[:3])
    layers = layers_of(run.model(), data.normalise(images[:3], run.experiment.dataset))
    assert list(maps) == [layer.name for layer in hidden(layers) if layer.has_maps]
    for found in analysis.pairs(run, 3):
        assert found.counterpart.label == found.misclassified.predicted
        assert -1 <= found.similarity <= 1 + 1e-6
    names = [name for name, _ in run.model().named_parameters()]
    assert analysis.weight_statistics(run).index.tolist() == names
    units = analysis.dead_units(run, images)
    assert units.index.tolist() == [layer.name for layer in hidden(layers)]
    assert analysis.embedding(run).positions.shape == (COUNT, 2)
    rows = analysis.calibration(run)
    assert rows["count"].sum() == COUNT
    assert 0 <= analysis.expected_calibration_error(run) <= 1
    inputs = data.normalise(images[:1], run.experiment.dataset)
    assert analysis.saliency(run.model(), inputs, classes - 1).shape == shape[1:]
    assert ablation.last_layer(run) == layers[-1].name


@pytest.mark.parametrize("kind", networks.IMAGES)
@pytest.mark.parametrize("network", ["residual", "perceptron"])
def test_every_figure_fits_its_page(network: str, kind: str, own_run: Callable[[str, str], Run]) -> None:
    run = own_run(network, kind)
    pair = analysis.pairs(run, 1)[0]
    figures = {
        "pair": plots.pair(run, pair, channels=4),
        "saliency": plots.saliency(run, pair.misclassified),
        "embedding": plots.embedding(run, images=3),
        "confusion_matrix": plots.confusion_matrix(run),
        "class_accuracies": plots.class_accuracies([run, run]),
        "misclassified": plots.misclassified(run, 8),
        "weight_distributions": plots.weight_distributions(run),
        "reliability": plots.reliability(run),
        "first_layer_filters": plots.first_layer_filters(run),
    }
    for name, figure in figures.items():
        figure.draw_without_rendering()
        box, page = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.01, name
        assert box.x1 < page[0] + 0.01, name


@pytest.mark.parametrize(("network", "kind"), EVERY)
def test_maps_of_every_network_can_be_drawn(network: str, kind: str, own_run: Callable[[str, str], Run]) -> None:
    run = own_run(network, kind)
    shown = analysis.find_example(run, correct=False)
    maps = analysis.activations(run, shown.image[None])
    figure = plots.example(run, shown, channels=3)
    titles = [part.get_suptitle().partition("\n")[0] for part in figure.subfigs[0].subfigs[1:]]
    assert len(titles) == min(len(maps), plots.MOST_LAYERS)
    assert titles == [name for name in maps if name in titles]


@pytest.mark.parametrize(("network", "kind"), EVERY)
def test_every_run_can_be_explored(network: str, kind: str, own_run: Callable[[str, str], Run]) -> None:
    run = own_run(network, kind)
    (shown,) = Opened(hwkit.explore(run, most=60).html).about["networks"]
    assert shown["problem"] is None
    assert shown["agreement"] >= 0.95 * 60
    assert len(shown["stages"]) >= (1 if network == "one layer" else 2)


def test_the_most_probable_of_many_classes_are_shown_and_the_true_one(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("modules", COLOUR)
    shown = analysis.find_example(run, correct=False)
    bars = plots.example(run, shown).axes[1]
    names = [label.get_text() for label in bars.get_yticklabels()]
    assert len(names) == plots.MOST_CLASSES
    assert {shown.label_name, shown.predicted_name} <= set(names)
    widths = sorted((bar.get_width() for bar in bars.patches), reverse=True)
    assert widths[:9] == pytest.approx(shown.probabilities.sort(descending=True).values[:9].tolist())


def test_a_deep_network_shows_its_first_and_last_maps(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("residual", COLOUR)
    figure = plots.pair(run, analysis.pairs(run, 1)[0], channels=4)
    titles = [part.get_suptitle().partition("\n")[0] for part in figure.subfigs[0].subfigs]
    assert titles[1] == "stem"
    assert titles[-1] == "blocks.1.conv2"
    assert len(titles) == 1 + plots.MOST_LAYERS


def test_a_fully_connected_first_layer_shows_what_its_units_look_for(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("perceptron", COLOUR)
    drawn = plots.filter_pictures(run)
    assert drawn.shape == (16, 64, 64, 3)
    weights = run.final_weights["1.weight"].view(16, 3, 64, 64)
    assert torch.equal((drawn.permute(0, 3, 1, 2) - 0.5).sign(), weights.sign())
    assert len(pictures(plots.first_layer_filters(run))) == 16


def test_what_batch_normalisation_counts_is_no_weight(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("residual", COLOUR)
    assert "blocks.0.norm1.running_mean" in run.final_weights
    assert list(analysis.parameters(run)) == list(analysis.parameters(run.model()))


def test_of_a_network_with_many_tensors_the_weights_are_shown(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("residual", COLOUR)
    figure = plots.weight_distributions(run)
    shown = [ax.get_title(loc="left") for ax in figure.axes]
    assert shown == [name for name, tensor in analysis.parameters(run).items() if tensor.ndim > 1]
    assert len(analysis.parameters(run)) > plots.MOST_TENSORS


def test_units_that_never_respond_are_dead(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("modules", COLOUR)
    network = vars(run)["network"]
    with torch.no_grad():
        network[0].bias[:2] = -1e3  # two channels of the first layer
        network[8].bias[:5] = -1e3  # five units of the fully connected one
    found = analysis.dead_units(run, analysis.test_images(run))
    assert found.loc["0", ["units", "dead"]].tolist() == [6, 2]
    assert found.loc["8", "dead"] >= 5
    assert found.loc["3", "dead"] == 0


def test_large_networks_are_run_over_fewer_images_at_a_time(
    own_run: Callable[[str, str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = own_run("residual", COLOUR)
    images = analysis.test_images(run)
    whole = analysis.activations(run, images)
    monkeypatch.setattr(analysis, "MOST_NUMBERS", 10**6)
    parts = list(analysis.layers(run, images))
    assert len(parts) > 1
    for name, maps in analysis.activations(run, images).items():
        torch.testing.assert_close(maps, whole[name])


def test_a_plane_has_two_axes_whatever_the_features() -> None:
    for count, features in ((5, 1), (2, 300), (50, 7), (40, 5000)):
        values = torch.randn(count, features, generator=torch.Generator().manual_seed(0))
        found = analysis.plane(values)
        assert found.positions.shape == (count, 2)
        assert found.axes.shape == (features, 2)
        assert 0 <= found.explained.sum() <= 1 + 1e-6
        assert torch.equal(found.positions, analysis.plane(values).positions)
        torch.testing.assert_close(found.place(values), found.positions, atol=1e-4, rtol=1e-3)


def test_the_plane_is_that_of_the_principal_components() -> None:
    values = torch.randn(300, 40, generator=torch.Generator().manual_seed(0)) * torch.linspace(3, 1, 40)
    found = analysis.plane(values)
    directions = torch.nn.functional.normalize(values, dim=1)
    lengths, vectors = torch.linalg.eigh(torch.cov(directions.double().T))
    torch.testing.assert_close(found.explained.double(), lengths[[-1, -2]] / lengths.sum(), rtol=1e-4, atol=1e-6)
    agreement = (vectors[:, [-1, -2]].T @ found.axes.double()).diagonal().abs()
    torch.testing.assert_close(agreement, torch.ones(2, dtype=torch.float64), rtol=1e-3, atol=0)


def test_calibration_is_worked_out_by_hand() -> None:
    run = Run(Path("nowhere"), Experiment(dataset="mnist", data="real"), {"test_accuracy": 0.5})
    shares = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    vars(run).update(logits=shares.log(), labels=torch.tensor([0, 0, 0, 1]))
    rows = analysis.calibration(run, bins=10)
    assert rows["count"].tolist() == [2, 2]
    assert rows["low"].tolist() == pytest.approx([0.6, 0.9])
    assert rows["accuracy"].tolist() == [0.5, 1.0]
    assert rows["confidence"].tolist() == pytest.approx([0.65, 0.95])
    assert analysis.expected_calibration_error(run, bins=10) == pytest.approx((0.15 + 0.05) / 2)
    assert math.isclose(analysis.probabilities(run)[2, 0].item(), 0.65, rel_tol=1e-6)


def test_a_network_that_was_trained_is_explored_without_a_word_about_it(own_store: Path) -> None:
    from own_networks import ResidualNet

    experiment = Experiment(dataset="mnist", data="stand-in", train_size=320, test_size=100, epochs=1)
    run = hwkit.train(experiment, model=ResidualNet, device="cpu", progress=False)
    (shown,) = Opened(hwkit.explore(run).html).about["networks"]
    assert shown["problem"] is None
    names = [name for name, _ in run.model().named_parameters()]
    assert analysis.weight_statistics(run).index.tolist() == names
    assert plots.pair(run, analysis.pairs(run, 1)[0]).axes


def test_filters_that_are_no_pictures_are_an_error(own_run: Callable[[str, str], Run]) -> None:
    run = own_run("perceptron", COLOUR)
    network = vars(run)["network"]
    network[0] = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    network[1] = nn.Linear(3 * 8 * 8, 16)
    with pytest.raises(RunError, match=r"the weights of 1 have the shape \(16, 192\)"):
        plots.first_layer_filters(run)
