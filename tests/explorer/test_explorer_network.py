"""The page's own computing: any network is traced, and node computes with the page's modules what PyTorch computes."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import models
from hwkit.experiment import named_experiment
from hwkit.explorer import graph
from hwkit.explorer.payload import Payload

COMPUTE = Path(__file__).parents[1] / "page" / "compute.mjs"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


class Residual(nn.Module):
    """Batch normalisation, a sum, a concatenation, changes in place."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=2)
        self.gain = nn.Parameter(torch.rand(8, 1, 1))
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)), inplace=True)
        y = F.silu(self.second(x) * self.gain + x)
        y = torch.cat([y[:, :4], x, 0.5 * y[:, 4:]], 1)
        return self.last(self.drop(F.adaptive_avg_pool2d(y, 1).view(x.size(0), -1)))


class InPlace(nn.Module):
    """What is changed in place is seen by all who read it later."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.last = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = torch.relu_(x)
        return self.last((y + x).flatten(1))


def convolutional(channels: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 6, (5, 3), stride=(2, 1), padding=(1, 2)),
        nn.GroupNorm(3, 6),
        nn.GELU(),
        nn.AvgPool2d(3, stride=2, padding=1),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Hardswish(),
        nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        nn.ELU(0.7),
        nn.Conv2d(6, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LogSoftmax(1),
    )


def perceptron(inputs: int, classes: int) -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(inputs, 20), nn.SELU(), nn.LayerNorm(20), nn.Linear(20, 20, bias=False)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.1), nn.Dropout(), nn.Linear(20, classes), nn.Softmax(1))


ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Mish)
ACTIVATIONS += (lambda: nn.GELU("tanh"),)
NETWORKS: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {}


def _network(name: str, model: nn.Module, shape: tuple[int, int, int]) -> None:
    model(torch.zeros(2, *shape))  # for layers that learn their sizes now
    NETWORKS[name] = model.eval(), shape


torch.manual_seed(3)
_network("residual, gray", Residual(1, 7), (1, 20, 20))
_network("residual, colour", Residual(3, 12), (3, 64, 64))
_network("all-convolutional, gray", convolutional(1, 4), (1, 20, 20))
_network("all-convolutional, colour", convolutional(3, 101), (3, 64, 64))
_network("perceptron, gray", perceptron(400, 2), (1, 20, 20))
_network("perceptron, five channels", perceptron(5 * 9 * 7, 3), (5, 9, 7))
_network("in place", InPlace(), (1, 8, 8))
for activation in ACTIVATIONS:
    layer = activation()
    stack = nn.Sequential(nn.Conv2d(1, 3, 3), layer, nn.Flatten(), nn.LazyLinear(3), layer)
    _network(f"{layer}", stack, (1, 6, 6))
for pool in (nn.AdaptiveAvgPool2d((3, 5)), nn.AdaptiveMaxPool2d(4), nn.AvgPool2d(3, 2, 1, count_include_pad=False)):
    _network(f"{pool}", nn.Sequential(nn.Conv2d(2, 3, 3), pool, nn.Flatten(), nn.LazyLinear(3)), (2, 13, 11))
pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True)
_network(f"{pool}", nn.Sequential(pool, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3)), (2, 12, 12))
for name in ("mnist", "cifar10"):
    for options in ({}, {"pooling": "average", "activation": "selu", "width": 0.5}):
        experiment = named_experiment(name, "smoke", **options)
        _network(f"{name} {options}", models.build(experiment), (1, 28, 28) if name == "mnist" else (3, 32, 32))


@functools.cache
def traced(name: str) -> graph.Graph:
    return graph.trace(*NETWORKS[name])


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the page computes with each network, in one go."""
    folder = tmp_path_factory.mktemp("page")
    cases = []
    for network, (_, shape) in NETWORKS.items():
        payload = Payload()
        payload.about["nodes"] = traced(network).nodes
        for name, tensor in traced(network).parameters.items():
            payload.add(name, tensor.numpy(), "float32")
        cases.append({"payload": payload.encode(), "image": image_of(shape).flatten().tolist(), "element": 1})
    (folder / "cases.json").write_text(json.dumps(cases))
    subprocess.run(["node", COMPUTE, folder / "cases.json", folder / "results.json"], check=True)
    results = json.loads((folder / "results.json").read_text())
    return dict(zip(NETWORKS, results, strict=True))


def image_of(shape: tuple[int, int, int]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_computes_what_pytorch_computes(computed: dict[str, dict[str, Any]], name: str) -> None:
    model, shape = NETWORKS[name]
    assert not traced(name).unknown
    with torch.no_grad():
        expected = model(image_of(shape)[None])[0]
    torch.testing.assert_close(torch.tensor(computed[name]["values"][-1]), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_differentiates_as_pytorch_does(computed: dict[str, dict[str, Any]], name: str) -> None:
    model, shape = NETWORKS[name]
    image = image_of(shape)[None].requires_grad_()
    (expected,) = torch.autograd.grad(model(image)[0, 1], image)
    found = torch.tensor(computed[name]["gradients"][0], dtype=torch.float32).view(shape)
    torch.testing.assert_close(found, expected[0], atol=1e-4, rtol=1e-3)


def test_every_shown_stage_has_the_values_of_its_layer() -> None:
    model, shape = NETWORKS["mnist {}"]
    stages = traced("mnist {}").stages
    assert [(stage.label, stage.kind) for stage in stages] == [
        ("conv1", "convolution"),
        ("conv2", "convolution"),
        ("fc1", "linear"),
        ("fc2", "linear"),
    ]
    batch = torch.stack([image_of(shape)] * 3)
    with torch.no_grad():
        found = traced("mnist {}").values(batch, [stages[0].node, stages[-1].node])
        torch.testing.assert_close(found[stages[0].node], F.relu(model.conv1(batch)))
        torch.testing.assert_close(found[stages[-1].node], model(batch))


def test_a_network_for_one_size_of_batch_gets_its_images_in_such() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(int(x.shape[0]), 64)[:, :3] + torch.zeros(int(x.shape[0]), 3)

    found = graph.trace(Fixed(), (1, 8, 8))
    batch = torch.randn(7, 1, 8, 8)
    torch.testing.assert_close(found.values(batch, [len(found.nodes) - 1])[len(found.nodes) - 1], Fixed()(batch))


def test_tracing_leaves_the_network_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    before = model[0].weight.stride()
    graph.trace(model, (3, 8, 8))
    assert model[0].weight.stride() == before


def test_an_operation_that_the_page_lacks_is_named_and_what_comes_before_is_computed(tmp_path: Path) -> None:
    class Fourier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(self.conv(x).relu().flatten(1)).abs()[:, :3]

    found = graph.trace(Fourier(), (1, 8, 8))
    assert any("fft" in name for name in found.unknown)
    assert [stage.label for stage in found.stages] == ["conv"]
