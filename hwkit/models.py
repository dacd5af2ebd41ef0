"""The report's two convolutional networks, networks of the user's own, and of any: its parameters, its predictions.

Layer names, and with them the names of the parameters, are those of the report (`conv1.weight`, `fc1.bias`, ...);
every variant of it is one of these two classes with other options.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import data
from hwkit.data import Dataset
from hwkit.datasets import facts, known_facts
from hwkit.engine import code
from hwkit.engine.devices import autocast
from hwkit.errors import ExperimentError, RunError
from hwkit.experiment import NETWORKS, Experiment

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"relu": F.relu, "selu": F.selu}
POOLINGS: dict[str, Callable[..., Tensor]] = {"max": F.max_pool2d, "average": F.avg_pool2d}

# Images at a time in `predict`: what a CPU's cache holds, and what keeps a GPU busy.
BATCH_SIZE = {"cpu": 200, "cuda": 5000}


def activated_pool(model: MnistCNN | CifarCNN, x: Tensor) -> Tensor:
    """The model's activation and its 2x2 pooling, of feature maps, float (N, C, H, W).

    Both activations rise, so they commute with taking the maximum; after it they have a quarter of the values to do.
    """
    if model.pooling is F.max_pool2d:
        return model.activation(F.max_pool2d(x, 2))
    return model.pooling(model.activation(x), 2)


class MnistCNN(nn.Module):
    """Two padded convolutions, each with activation and 2x2 pooling, and two fully connected layers.

    Takes images, float (N, 1, 28, 28), and returns logits, float (N, classes).

    Parameters
    ----------
    kernel_size : odd size of both convolution kernels; the padding keeps the image size.
    width : factor on the 32 and 64 filters of the convolutions.
    activation : "relu" or "selu", applied after each convolution (the fully connected layer keeps ReLU).
    pooling : "max" or "average".
    dropout : probability of dropping a feature between the fully connected layers while training.
    classes : number of logits.
    """

    def __init__(
        self,
        kernel_size: int = 5,
        width: float = 1.0,
        activation: str = "relu",
        pooling: str = "max",
        dropout: float = 0.5,
        classes: int = 10,
    ) -> None:
        super().__init__()
        filters = [round(32 * width), round(64 * width)]
        self.conv1 = nn.Conv2d(1, filters[0], kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv2d(filters[0], filters[1], kernel_size, padding=kernel_size // 2)
        self.fc1 = nn.Linear(filters[1] * 7 * 7, 1024)
        self.fc2 = nn.Linear(1024, classes)
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

    Takes images, float (N, 3, 32, 32), and returns logits, float (N, classes).

    Parameters
    ----------
    kernel_size : size of the first convolution's kernel, 3 or 5; the other two stay 3x3.
    width : factor on the 64, 128 and 256 filters of the convolutions.
    activation : "relu" or "selu", applied after each convolution (the fully connected layers keep ReLU).
    pooling : "max" or "average".
    dropout : probability of dropping a feature before the last layer while training.
    classes : number of logits.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        width: float = 1.0,
        activation: str = "relu",
        pooling: str = "max",
        dropout: float = 0.0,
        classes: int = 10,
    ) -> None:
        super().__init__()
        filters = [round(64 * width), round(128 * width), round(256 * width)]
        self.conv1 = nn.Conv2d(3, filters[0], kernel_size)
        self.conv2 = nn.Conv2d(filters[0], filters[1], 3)
        self.conv3 = nn.Conv2d(filters[1], filters[2], 3)
        self.fc1 = nn.Linear(filters[2] * 2 * 2, 128)  # 32 -> 15 (kernel 3) or 14 (kernel 5) -> 6 -> 2 pixels
        self.fc2 = nn.Linear(128, 256)
        self.fc3 = nn.Linear(256, classes)
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
    """The experiment's network, freshly initialised from its seed (float32, on the CPU).

    Raises
    ------
    RunError
        If it is a network of the user's own that this process has not been given.
    ExperimentError
        If the user's class or function does not give a network that can be trained on these images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        if experiment.model:
            model = _build_own(experiment)
        else:
            facts = known_facts(experiment.dataset)
            if facts.shape not in NETWORKS:
                shape = " x ".join(map(str, facts.shape))
                raise ExperimentError(f"no network of hwkit takes images of {shape} ({facts.title}); pass model=")
            network = MODELS[NETWORKS[facts.shape]]
            model = network(**experiment.network_options, classes=len(facts.classes))
        if experiment.initialisation == "truncated-normal":
            for name, parameter in model.named_parameters():
                if is_weight(parameter):
                    nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)
                elif name.endswith("bias"):
                    nn.init.constant_(parameter, 0.1)
    return model


def known(experiment: Experiment) -> bool:
    """Whether this process can build the experiment's network: it may be the user's own, or be for their own data."""
    if experiment.model:
        return code.recall(experiment.model) is not None
    return facts(experiment.dataset) is not None


def require(experiment: Experiment) -> None:
    """Raise RunError, with the remedy, if the experiment's network is one that this process has not been given."""
    if experiment.model and code.recall(experiment.model) is None:
        net = experiment.model.partition("@")[0]
        raise RunError(
            f"{experiment.name} has a network of your own, {net}; pass it: hwkit.load({experiment.name!r}, model={net})"
        )


def _build_own(experiment: Experiment) -> nn.Module:
    require(experiment)
    name, known = experiment.model.partition("@")[0], code.recall(experiment.model)
    assert known is not None
    try:
        model = known.object()
    except TypeError as error:
        raise ExperimentError(
            f"{name}() fails: {error}; give its arguments by functools.partial({name}, ...), and it must need no others"
        ) from error
    if not isinstance(model, nn.Module):
        raise ExperimentError(f"{name}() gives a {type(model).__name__}; it must give a torch.nn.Module")
    parameters = list(model.parameters())
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in parameters):
        raise ExperimentError(
            f"{name} has lazy layers, whose sizes are unknown before the first batch; give their sizes"
        )
    if not any(parameter.requires_grad for parameter in parameters):
        raise ExperimentError(f"{name} has no parameters to train; register them as nn.Parameter or layers in __init__")
    elsewhere = {str(tensor.device) for tensor in model.state_dict().values()} - {"cpu"}
    if elsewhere:
        raise ExperimentError(f"{name} puts tensors on {', '.join(elsewhere)}; build it on the CPU, hwkit moves it")
    types = {str(parameter.dtype) for parameter in parameters} - {"torch.float32"}
    if types:
        raise ExperimentError(f"{name} has parameters of {', '.join(types)}; they must be torch.float32")
    return model


def check(experiment: Experiment) -> None:
    """Run the experiment's network on two black images before it is trained.

    Raises
    ------
    ExperimentError
        If it fails, or does not give two rows of finite logits, one for each class.
    """
    facts = known_facts(experiment.dataset)
    name, model = experiment.model.partition("@")[0], build(experiment)
    given, wanted = (2, *facts.shape), (2, len(facts.classes))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            logits = model(torch.zeros(given))
        except Exception as error:
            raise ExperimentError(f"{name} fails on images of shape {given}: {error}") from error
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ExperimentError(
            f"{name} gives {found} for images of shape {given}; it must give logits of shape {wanted}, one for each of "
            f"the {wanted[1]} classes of {facts.title}"
        )


def l2_penalty(model: nn.Module, l2: float) -> Tensor:
    """The penalty l2/2 * sum of squared weights over weight tensors, biases excluded; float ()."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad and is_weight(parameter)]
    device = next(model.parameters()).device
    return l2 / 2 * sum((weight.square().sum() for weight in weights), torch.zeros((), device=device))


def is_weight(parameter: Tensor) -> bool:
    """Whether a parameter is a weight tensor, which the L2 penalty is on, and not a bias or a normalisation's scale."""
    return parameter.ndim >= 2


def parameter_table(model: nn.Module) -> pd.DataFrame:
    """Name, shape and count of each trainable parameter, and the total in the last row."""
    rows = [
        {"parameter": name, "shape": " × ".join(map(str, p.shape)), "count": math.prod(p.shape)}
        for name, p in model.named_parameters()
        if p.requires_grad
    ]
    rows.append({"parameter": "total", "shape": "", "count": sum(row["count"] for row in rows)})
    return pd.DataFrame(rows).set_index("parameter")


def predict(model: nn.Module, images: Tensor, dataset: Dataset | str, *, precision: str = "fp32") -> Tensor:
    """Logits, float32 (N, classes), of a network in evaluation mode for images, uint8 (N, C, H, W), on its device."""
    device = next(model.parameters()).device
    chunks = images.split(BATCH_SIZE.get(device.type, 1000))
    return torch.cat([logits_of(model, data.normalise(chunk.to(device), dataset), precision) for chunk in chunks])


def logits_of(model: nn.Module, images: Tensor, precision: str = "fp32") -> Tensor:
    """Logits, float32 (N, classes), of a network in evaluation mode for normalised images, float32 (N, C, H, W)."""
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(images.device, precision):
        logits = model(images.contiguous(memory_format=torch.channels_last)).float()
    model.train(was_training)
    return logits


def fraction_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Fraction of rows whose largest logit is at the label, float64 (), on their device."""
    return (logits.argmax(dim=1) == labels).sum().double() / len(labels)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Fraction of rows whose largest logit is at the label."""
    return fraction_correct(logits, labels).item()
