from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit.data import normalise
from hwkit.datasets import standin
from hwkit.datasets.sources import DATASETS


@pytest.mark.parametrize("name", list(standin.CLASSES))
def test_the_images_have_the_shape_of_the_real_ones_and_classes_of_their_own(name):
    facts = DATASETS[name]
    train_images, train_labels, test_images, test_labels = standin.draw(name, 70, 30)

    assert train_images.shape == (70, facts.channels, facts.size, facts.size)
    assert test_images.shape == (30, facts.channels, facts.size, facts.size)
    assert (train_images.dtype, train_labels.dtype) == (torch.uint8, torch.int64)
    assert (len(train_labels), len(test_labels)) == (70, 30)
    assert len(set(standin.CLASSES[name])) == 10
    assert not set(standin.CLASSES[name]) & set(facts.classes)


def test_what_is_drawn_is_what_the_facts_say() -> None:
    assert {name for name, facts in DATASETS.items() if facts.drawn} == set(standin.CLASSES)


def test_by_default_as_many_images_are_drawn_as_the_real_set_has():
    facts = DATASETS["mnist"]
    train_images, train_labels, test_images, test_labels = standin.draw("mnist")

    assert len(train_images) == len(train_labels) == facts.train_size
    assert len(test_images) == len(test_labels) == facts.test_size
    assert train_labels.bincount().tolist() == [facts.train_size // 10] * 10
    assert test_labels.bincount().tolist() == [facts.test_size // 10] * 10


@pytest.mark.parametrize("name", list(standin.CLASSES))
def test_the_same_set_is_drawn_every_time_for_any_number_of_threads(name):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = standin.draw(name, 400, 200)
        torch.set_num_threads(3)
        second = standin.draw(name, 400, 200)
    finally:
        torch.set_num_threads(threads)

    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", list(standin.CLASSES))
def test_the_first_images_are_the_same_however_many_are_drawn(name):
    few, many = standin.draw(name, 90, 10), standin.draw(name, 450, 210)

    for part, whole in zip(few, many, strict=True):
        assert torch.equal(part, whole[: len(part)])


def test_drawing_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    standin.draw("mnist", 10, 10)

    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", list(standin.CLASSES))
def test_no_image_occurs_twice_within_or_across_training_and_test_set(name):
    train_images, _, test_images, _ = standin.draw(name, 1000, 400)
    every = torch.cat([train_images, test_images]).flatten(1)

    assert len(every.unique(dim=0)) == 1400


def test_another_seed_draws_other_images():
    assert not torch.equal(standin.draw("mnist", 10, 10)[0], standin.draw("mnist", 10, 10, seed=1)[0])


def test_the_number_of_threads_is_left_as_it_was():
    threads = torch.get_num_threads()
    standin.draw("mnist", 10, 10)

    assert torch.get_num_threads() == threads


def _train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, learning_rate: float) -> None:
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(50):
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize(("name", "epochs"), [("mnist", 2), ("cifar10", 4)])
def test_a_small_cnn_learns_what_a_linear_classifier_cannot(name, epochs):
    train_images, train_labels, test_images, test_labels = standin.draw(name, 3000, 1000)
    train_images, test_images = normalise(train_images, name), normalise(test_images, name)
    channels, pixels = train_images.shape[1], train_images[0].numel()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 10))
        cnn = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2), nn.ReLU(), nn.BatchNorm2d(16),
            nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(32),
            nn.Flatten(), nn.LazyLinear(10),
        )  # fmt: skip
        cnn(train_images[:1])
        _train(linear, train_images, train_labels, epochs=epochs, learning_rate=1e-3)
        _train(cnn, train_images, train_labels, epochs=epochs, learning_rate=3e-3)

    # Four epochs of 3000 images are only the beginning: with all of them the networks of the report go much further.
    assert _accuracy(cnn.eval(), test_images, test_labels) > _accuracy(linear, test_images, test_labels) + 0.1
