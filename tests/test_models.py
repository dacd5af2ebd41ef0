"""Every network of the report has the parameters that it states."""

from __future__ import annotations

import pytest
import torch

from hwkit import experiment, models
from hwkit.experiment import EXPERIMENTS, named_experiment

MNIST = {
    "conv1.weight": 800,
    "conv1.bias": 32,
    "conv2.weight": 51200,
    "conv2.bias": 64,
    "fc1.weight": 3211264,
    "fc1.bias": 1024,
    "fc2.weight": 10240,
    "fc2.bias": 10,
    "total": 3274634,
}
DOUBLE = dict(zip(MNIST, (576, 64, 73728, 128, 6422528, 1024, 10240, 10, 6508298), strict=True))
CIFAR = {
    "conv1.weight": 1728,
    "conv1.bias": 64,
    "conv2.weight": 73728,
    "conv2.bias": 128,
    "conv3.weight": 294912,
    "conv3.bias": 256,
    "fc1.weight": 131072,
    "fc1.bias": 128,
    "fc2.weight": 32768,
    "fc2.bias": 256,
    "fc3.weight": 2560,
    "fc3.bias": 10,
    "total": 537610,
}
COUNTS = {
    "mnist": MNIST,
    "mnist-l2": MNIST,
    "mnist-3x3": {**MNIST, "conv1.weight": 288, "conv2.weight": 18432, "total": 3241354},
    "mnist-3x3-double": DOUBLE,
    "cifar10": CIFAR,
    "cifar10-l2": CIFAR,
    "cifar10-l2-strong": CIFAR,
    "cifar10-selu": CIFAR,
    "cifar10-avgpool": {**CIFAR, "conv1.weight": 4800, "total": 540682},
    "cifar10-noaug": CIFAR,
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_parameter_table_has_the_counts_of_the_report(name: str) -> None:
    table = models.parameter_table(models.build(named_experiment(name)))
    assert table["count"].to_dict() == COUNTS[name]


@pytest.mark.parametrize("kernel_size", experiment.KERNEL_SIZES["cifar10"])
def test_cifar_network_takes_every_kernel_size_it_offers(kernel_size: int) -> None:
    model = models.CifarCNN(kernel_size=kernel_size)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("kernel_size", experiment.KERNEL_SIZES["mnist"])
def test_mnist_network_takes_every_kernel_size_it_offers(kernel_size: int) -> None:
    model = models.MnistCNN(kernel_size=kernel_size)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("pooling", models.POOLINGS)
@pytest.mark.parametrize("activation", models.ACTIVATIONS)
def test_blocks_compute_pooling_of_the_activated_convolution(pooling: str, activation: str) -> None:
    model = models.CifarCNN(activation=activation, pooling=pooling)
    images = torch.randn(2, 3, 32, 32)
    x = images
    for conv in (model.conv1, model.conv2, model.conv3):
        x = models.POOLINGS[pooling](models.ACTIVATIONS[activation](conv(x)), 2)
    x = torch.relu(model.fc2(torch.relu(model.fc1(x.flatten(1)))))
    assert torch.equal(model(images), model.fc3(x))


def test_same_seed_gives_the_same_initial_weights_and_leaves_the_callers_random_state() -> None:
    state = torch.get_rng_state()
    first, second = (models.build(named_experiment("cifar10", seed=3)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)
    other = models.build(named_experiment("cifar10", seed=4)).state_dict()
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_truncated_normal_initialisation_is_that_of_the_seed_report() -> None:
    model = models.build(named_experiment("mnist", "seed"))
    weights = model.fc1.weight
    assert weights.abs().max() <= 0.2
    # A normal distribution cut off at two standard deviations keeps 0.88 of its standard deviation.
    assert weights.std().item() == pytest.approx(0.088, abs=0.001)
    assert (model.conv2.bias == 0.1).all()
