"""The report's two convolutional networks and their parameter table.

Both are small enough to read in one go. Layer names, and with them the names of the parameters, are those of the
report (`conv1.weight`, `fc1.bias`, ...); every variant of it is one of these two classes with other options.
"""

from __future__ import annotations

import math

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import experiment as options
from hwkit.experiment import Experiment

ACTIVATIONS = dict(zip(options.ACTIVATIONS, (F.relu, F.selu), strict=True))
POOLINGS = dict(zip(options.POOLINGS, (F.max_pool2d, F.avg_pool2d), strict=True))


def activated_pool(model: nn.Module, x: Tensor) -> Tensor:
    """The model's activation and its 2x2 pooling, of feature maps, float (N, C, H, W).

    Both activations rise, so they commute with taking the maximum; after it they have a quarter of the values to do.
    """
    if model.pooling is F.max_pool2d:
        return model.activation(F.max_pool2d(x, 2))
    return model.pooling(model.activation(x), 2)


class MnistCNN(nn.Module):
    """Two padded convolutions, each with activation and 2x2 pooling, and two fully connected layers.

    Takes images, float (N, 1, 28, 28), and returns logits, float (N, 10).

    Parameters
    ----------
    kernel_size : odd size of both convolution kernels; the padding keeps the image size.
    width : factor on the 32 and 64 filters of the convolutions.
    activation : "relu" or "selu", applied after each convolution (the fully connected layer keeps ReLU).
    pooling : "max" or "average".
    dropout : probability of dropping a feature between the fully connected layers while training.
    """

    conv_layers = ("conv1", "conv2")

    def __init__(
        self,
        kernel_size: int = 5,
        width: float = 1.0,
        activation: str = "relu",
        pooling: str = "max",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        filters = [round(32 * width), round(64 * width)]
        self.conv1 = nn.Conv2d(1, filters[0], kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv2d(filters[0], filters[1], kernel_size, padding=kernel_size // 2)
        self.fc1 = nn.Linear(filters[1] * 7 * 7, 1024)
        self.fc2 = nn.Linear(1024, 10)
        self.activation = ACTIVATIONS[activation]
        self.pooling = POOLINGS[pooling]
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        x = activated_pool(self, self.conv1(images))
        x = activated_pool(self, self.conv2(x))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(self.dropout(x))


class CifarCNN(nn.Module):
    """Three unpadded convolutions, each with activation and 2x2 pooling, and three fully connected layers.

    Takes images, float (N, 3, 32, 32), and returns logits, float (N, 10).

    Parameters
    ----------
    kernel_size : size of the first convolution's kernel, 3 or 5; the other two stay 3x3.
    width : factor on the 64, 128 and 256 filters of the convolutions.
    activation : "relu" or "selu", applied after each convolution (the fully connected layers keep ReLU).
    pooling : "max" or "average".
    dropout : probability of dropping a feature before the last layer while training.
    """

    conv_layers = ("conv1", "conv2", "conv3")

    def __init__(
        self,
        kernel_size: int = 3,
        width: float = 1.0,
        activation: str = "relu",
        pooling: str = "max",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        filters = [round(64 * width), round(128 * width), round(256 * width)]
        self.conv1 = nn.Conv2d(3, filters[0], kernel_size)
        self.conv2 = nn.Conv2d(filters[0], filters[1], 3)
        self.conv3 = nn.Conv2d(filters[1], filters[2], 3)
        self.fc1 = nn.Linear(filters[2] * 2 * 2, 128)  # 32 -> 15 (kernel 3) or 14 (kernel 5) -> 6 -> 2 pixels
        self.fc2 = nn.Linear(128, 256)
        self.fc3 = nn.Linear(256, 10)
        self.activation = ACTIVATIONS[activation]
        self.pooling = POOLINGS[pooling]
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        x = activated_pool(self, self.conv1(images))
        x = activated_pool(self, self.conv2(x))
        x = activated_pool(self, self.conv3(x))
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(self.dropout(x))


MODELS: dict[str, type[nn.Module]] = {"mnist": MnistCNN, "cifar10": CifarCNN}


def build(experiment: Experiment) -> nn.Module:
    """The experiment's network, freshly initialised from its seed (float32, on the CPU)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        model = MODELS[experiment.dataset](
            kernel_size=experiment.kernel_size,
            width=experiment.width,
            activation=experiment.activation,
            pooling=experiment.pooling,
            dropout=experiment.dropout,
        )
        if experiment.initialisation == "truncated-normal":
            for name, parameter in model.named_parameters():
                if is_weight(name):
                    nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)
                else:
                    nn.init.constant_(parameter, 0.1)
    return model


def is_weight(name: str) -> bool:
    """Whether a parameter is a weight tensor (what L2 regularisation applies to) and not a bias."""
    return name.endswith("weight")


def parameter_table(model: nn.Module) -> pd.DataFrame:
    """Name, shape and count of each trainable parameter, and the total in the last row."""
    rows = [
        {"parameter": name, "shape": " × ".join(map(str, p.shape)), "count": math.prod(p.shape)}
        for name, p in model.named_parameters()
        if p.requires_grad
    ]
    rows.append({"parameter": "total", "shape": "", "count": sum(row["count"] for row in rows)})
    return pd.DataFrame(rows).set_index("parameter")
