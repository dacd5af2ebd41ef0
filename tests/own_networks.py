"""Networks as users write them, which hwkit has never seen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 8


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class ResidualNet(nn.Module):
    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, WIDTH, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(WIDTH), Block(WIDTH))
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(F.relu(self.stem(images))).mean(dim=(2, 3)))


class ConvolutionsOnly(nn.Module):
    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 6, 5, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, classes, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class SharedLayer(nn.Module):
    """One layer called twice."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 6, 3, padding=1)
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(6, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.again(F.relu(self.first(images))))
        x = F.relu(self.again(F.max_pool2d(x, 2)))
        return self.last(x.amax(dim=(2, 3)))


def perceptron(hidden: int = 16, pixels: int = 28 * 28, classes: int = 10) -> nn.Module:
    """A network that a function makes, without any maps."""
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, classes))


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """An augmentation: images moved by up to two pixels."""
    rows, columns = torch.randint(-2, 3, (2,), generator=generator).tolist()
    return images.roll((rows, columns), dims=(2, 3))
