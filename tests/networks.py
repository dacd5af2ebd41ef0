"""Networks of many kinds for images of any size, none of which hwkit knows."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from own_networks import WIDTH, Block, ConvolutionsOnly, ResidualNet, SharedLayer, perceptron
from torch import Tensor, nn


class InPlaceBlock(Block):
    """The same block, as those write it who save memory."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        y += x
        return F.relu(y, inplace=True)


class InPlaceNet(ResidualNet):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        for number, block in enumerate(self.blocks):
            self.blocks[number] = InPlaceBlock(WIDTH)
            self.blocks[number].load_state_dict(block.state_dict())


def in_modules(channels: int, classes: int) -> nn.Module:
    """Everything a module; activation after pooling, and after normalisation; grouped and strided convolutions."""
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, stride=2),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, groups=2),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 16),
        nn.Dropout(),
        nn.ReLU(),
        nn.Linear(16, classes),
    )


IMAGES = {"20x20 gray, 2 classes": ((1, 20, 20), 2), "64x64 colour, 37 classes": ((3, 64, 64), 37)}
LAYERS = {
    "residual": "stem, blocks.0.conv1, blocks.0.conv2, blocks.1.conv1, blocks.1.conv2, head",
    "residual in place": "stem, blocks.0.conv1, blocks.0.conv2, blocks.1.conv1, blocks.1.conv2, head",
    "convolutions only": "layers.0, layers.2",
    "one layer called twice": "first, again, again (2), last",
    "perceptron": "1, 3",
    "modules": "0, 3, 8, 11",
    "one layer": "1",
}


def build(network: str, images: str, seed: int = 0) -> nn.Module:
    """One of the networks in `LAYERS` for one of `IMAGES`, in evaluation mode, after one pass in training mode."""
    shape, classes = IMAGES[images]
    pixels = math.prod(shape)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = {
            "residual": lambda: ResidualNet(shape[0], classes),
            "residual in place": lambda: InPlaceNet(shape[0], classes),
            "convolutions only": lambda: ConvolutionsOnly(shape[0], classes),
            "one layer called twice": lambda: SharedLayer(shape[0], classes),
            "perceptron": lambda: perceptron(pixels=pixels, classes=classes),
            "modules": lambda: in_modules(shape[0], classes),
            "one layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)),
        }[network]()
        model.train()(pictures(images, 8, seed=2) / 255)
    return model.eval()


def pictures(images: str, count: int = 4, seed: int = 1) -> Tensor:
    """Random images, uint8 (count, C, H, W)."""
    shape, _ = IMAGES[images]
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
