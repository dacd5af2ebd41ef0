"""The layers of networks that hwkit does not know: which there are, and what they respond with."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import networks
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit.engine.layers import hidden, last_features, layers_of, map_features

EVERY = [pytest.param(*pair, id=", ".join(pair)) for pair in itertools.product(networks.LAYERS, networks.IMAGES)]
IMAGES = torch.rand(3, 2, 12, 12, generator=torch.Generator().manual_seed(0))
# How a ReLU may be written: as a module or function, in place or not.
RELUS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
}


class Steps(nn.Module):
    """A convolution, what follows it, and a classifier."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.steps = steps
        self.modules_of_steps = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))
        self.classify = nn.LazyLinear(2)
        with torch.no_grad():
            self(IMAGES)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for step in self.steps:
            x = step(x)
        return self.classify(x.flatten(1))


@torch.no_grad()
def response(*steps: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The activation of the convolution, and its output: float (3, 4, h, w) both."""
    model = Steps(*steps)
    (layer, _) = layers_of(model, IMAGES)
    return layer.activation, model.conv(IMAGES)


@pytest.mark.parametrize(("network", "images"), EVERY)
def test_layers_come_in_the_order_in_which_they_are_called(network: str, images: str) -> None:
    layers = layers_of(networks.build(network, images), networks.pictures(images) / 255)
    assert ", ".join(layer.name for layer in layers) == networks.LAYERS[network]


@pytest.mark.parametrize(("network", "images"), EVERY)
def test_watching_a_network_changes_nothing_in_it(network: str, images: str) -> None:
    model, inputs = networks.build(network, images), networks.pictures(images) / 255
    with torch.no_grad():
        before = model(inputs)
    given = inputs.clone()
    last = layers_of(model, inputs)[-1]
    assert torch.equal(inputs, given)
    with torch.no_grad():
        assert torch.equal(model(inputs), before)
    if last.activation.ndim == 2:
        assert torch.equal(last.activation, before)


@pytest.mark.parametrize("relu", RELUS)
def test_a_relu_is_found_however_it_is_written(relu: str) -> None:
    activation, output = response(RELUS[relu])
    assert torch.equal(activation, output.relu())


@pytest.mark.parametrize("name", ["relu", "selu", "elu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "mish"])
def test_the_activation_is_what_comes_after_the_non_linearity(name: str) -> None:
    function = getattr(F, name)
    activation, output = response(function)
    torch.testing.assert_close(activation, function(output))


@pytest.mark.parametrize("relu", RELUS)
def test_normalisation_and_dropout_come_before_it(relu: str) -> None:
    norm = nn.BatchNorm2d(4)
    activation, output = response(norm, nn.Dropout(), RELUS[relu])
    with torch.no_grad():
        torch.testing.assert_close(activation, norm(output).relu())


@pytest.mark.parametrize("relu", RELUS)
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 3, stride=2)], ids=["module", "function"])
def test_maps_are_as_large_as_before_pooling_even_if_the_non_linearity_comes_after(
    relu: str, pool: Callable[[Tensor], Tensor]
) -> None:
    activation, output = response(pool, RELUS[relu])
    assert torch.equal(activation, output.relu())
    # What the network goes on with is the maximum of these maps.
    assert torch.equal(pool(activation), pool(output).relu())
    activation, output = response(RELUS[relu], pool)
    assert torch.equal(activation, output.relu())


def test_a_non_linearity_after_a_mean_is_what_the_network_goes_on_with() -> None:
    for pool, function in ((nn.AvgPool2d(2), F.relu), (nn.MaxPool2d(2), F.gelu)):
        activation, output = response(pool, function)
        assert torch.equal(activation, function(pool(output)))


def test_without_a_non_linearity_the_activation_is_the_output() -> None:
    for steps in ((), (nn.MaxPool2d(2),), (nn.AvgPool2d(2),), (nn.Dropout(),)):
        activation, output = response(*steps)
        assert torch.equal(activation, output)


def changed(x: Tensor) -> Tensor:
    x += 1
    return x


@pytest.mark.parametrize(
    "change",
    [
        changed,
        lambda x: x.add_(1),
        lambda x: x.mul_(2),
        lambda x: torch.add(x, 1, out=x),
        lambda x: x.__setitem__(0, 5) or x,
        lambda x: x[:, :1].zero_() is None or x,
    ],
)
def test_what_is_changed_in_place_later_was_kept_as_it_was(change: Callable[[Tensor], Tensor]) -> None:
    for steps in ((F.relu, change), (F.relu, change, F.relu), (change, F.relu)):
        activation, output = response(*steps)
        expected = output.relu() if steps[0] is F.relu else output
        assert torch.equal(activation, expected)


def test_sums_in_place_give_the_layers_of_sums() -> None:
    inputs = networks.pictures("64x64 colour, 37 classes") / 255
    in_place, apart = (
        layers_of(networks.build(name, "64x64 colour, 37 classes"), inputs)
        for name in ("residual", "residual in place")
    )
    for one, other in zip(in_place, apart, strict=True):
        assert torch.equal(one.activation, other.activation)
        assert torch.equal(one.inputs, other.inputs)


def test_own_layers_and_parametrised_ones_are_layers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(3, 2, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(input=x, weight=self.kernel)

    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    torch.manual_seed(0)
    model = nn.Sequential(Scaled(), nn.ReLU(), normed, nn.Flatten(), nn.Linear(4 * 8 * 8, 2)).eval()
    layers = layers_of(model, IMAGES)
    assert [layer.name for layer in layers] == ["0", "2", "4"]
    assert layers[0].activation.min() == 0 < layers[0].activation.max()


def test_a_network_of_bare_parameters_is_one_layer() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(2, 288))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.weight.T

    (layer,) = layers_of(Bare().eval(), IMAGES)
    assert layer.activation.shape == (3, 2)
    assert hidden([layer]) == [layer]
    assert last_features([layer]).shape == (3, 288)


@pytest.mark.parametrize(
    ("network", "after", "features"),
    [
        ("residual", "head", 8),
        ("convolutions only", "layers.2", 6 * 8 * 8),
        ("one layer called twice", "last", 6),
        ("perceptron", "3", 16),
        ("modules", "8", 32),
        ("one layer", "1", 400),
    ],
)
def test_maps_hand_on_what_the_next_layer_is_given(network: str, after: str, features: int) -> None:
    images = "20x20 gray, 2 classes"
    layers = layers_of(networks.build(network, images), networks.pictures(images) / 255)
    found = map_features(layers)
    assert found.shape == (4, features)
    assert torch.equal(found, next(layer for layer in layers if layer.name == after).inputs.flatten(1))


@pytest.mark.parametrize(("network", "images"), EVERY)
def test_every_layer_has_units_and_every_network_features_to_decide_from(network: str, images: str) -> None:
    layers = layers_of(networks.build(network, images), networks.pictures(images) / 255)
    for layer in layers:
        assert layer.by_unit.shape[:2] == (4, layer.activation.shape[1])
    assert last_features(layers).ndim == 2


def test_units_of_tokens_are_their_features() -> None:
    model = nn.Sequential(nn.Flatten(2), nn.Linear(144, 5), nn.GELU(), nn.Flatten(), nn.Linear(10, 2)).eval()
    first = layers_of(model, IMAGES)[0]
    assert first.activation.shape == (3, 2, 5)
    assert first.by_unit.shape == (3, 5, 2)
