"""The layers of any network, found by running it: what each is given, and what it responds with.

A layer is a module with a weight tensor of its own, a parameter of two or more dimensions. Its response, the
activation, is what comes after the normalisation and the non-linearity that follow it, whether these are modules or
functions. Forward hooks see modules alone, so a `TorchFunctionMode` watches the calls of PyTorch as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Functions of PyTorch by name, without the "_" of those that change their argument. These rise, so they commute with
# taking the maximum ...
RISING = {"relu", "selu", "elu", "celu", "leaky_relu", "relu6", "hardtanh", "clamp", "clamp_min", "clip"}
RISING |= {"tanh", "sigmoid", "hardsigmoid", "softplus", "softsign", "logsigmoid"}
# ... and these do not.
OTHERS = {"gelu", "silu", "mish", "hardswish", "prelu"}
NORMALISATIONS = {"batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"}
MAXIMA = {"max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d"}
MEANS = {"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool2d", "lp_pool2d"}
# Of no effect in evaluation mode, and on how an activation looks.
WITHOUT_EFFECT = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
WITHOUT_EFFECT |= {"contiguous", "float", "to"}


@dataclass(eq=False)
class Layer:
    """One call of a layer.

    Attributes
    ----------
    name : as in `model.named_modules()`; a second call of the same layer is "NAME (2)".
    module : the layer itself.
    inputs : what it was given, float (N, ...).
    activation : its output after the normalisation and the non-linearity that follow directly, float (N, ...); the
        output itself where neither does. A map is taken before pooling, even if the non-linearity comes after the
        maximum is taken. What other layers contribute, as the sum of a residual block, is left out.
    """

    name: str
    module: nn.Module
    inputs: Tensor
    activation: Tensor

    @property
    def has_maps(self) -> bool:
        """Whether the activation is maps, (N, C, H, W)."""
        return self.activation.ndim == 4

    @property
    def by_unit(self) -> Tensor:
        """The activation by unit, a channel or a feature: float (N, units, places)."""
        axis = -1 if isinstance(self.module, nn.Linear) else 1
        values = self.activation.movedim(axis, 1)
        return values.reshape(*values.shape[:2], -1)


@torch.no_grad()
def layers_of(model: nn.Module, images: Tensor) -> list[Layer]:
    """Run a network once and return its layers in the order in which they are called.

    Parameters
    ----------
    model : in evaluation mode; any module that takes `images`.
    images : float (N, C, H, W), on the model's device.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9 * 9, 2))
    >>> [(layer.name, tuple(layer.activation.shape)) for layer in layers_of(model, torch.rand(5, 1, 20, 20))]
    [('0', (5, 8, 18, 18)), ('4', (5, 2))]
    """
    watch = _Watch()
    weighted = {name: module for name, module in model.named_modules() if name and has_weight(module)} or {"": model}
    hooks = [
        module.register_forward_hook(watch.hook(name), with_kwargs=True, always_call=False)
        for name, module in weighted.items()
    ]
    try:
        with watch:
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return watch.layers


def hidden(layers: list[Layer]) -> list[Layer]:
    """All layers but the last, which gives the logits; that one too if there is no other."""
    return layers[:-1] or layers


def map_features(layers: list[Layer]) -> Tensor:
    """What the layers with maps hand on to the rest of the network, such as the pooled maps: float (N, features).

    These are the inputs of the layer after the last hidden one with maps; without maps, those of the last layer.
    """
    after = [place + 1 for place, layer in enumerate(layers[:-1]) if layer.has_maps]
    return layers[after[-1] if after else -1].inputs.flatten(1)


def last_features(layers: list[Layer]) -> Tensor:
    """The inputs of the last layer, from which it decides; for a layer with maps their means. Float (N, features)."""
    inputs = layers[-1].inputs
    return inputs.mean(dim=(2, 3)) if layers[-1].has_maps else inputs.flatten(1)


def has_weight(module: nn.Module) -> bool:
    """Whether a module has a weight tensor of its own and not only those of the modules in it."""
    own = [*module.parameters(recurse=False)]
    parametrisations = getattr(module, "parametrizations", None)  # as torch.nn.utils.parametrizations.weight_norm adds
    if isinstance(parametrisations, nn.Module):
        own += parametrisations.parameters()
    return any(parameter.ndim >= 2 for parameter in own)


class _Watch(TorchFunctionMode):
    """Sees the calls of PyTorch while a network runs, and keeps the layers up to date with what follows them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._calls: Counter[str] = Counter()
        # By the identity of a tensor, which is kept alive here: the layer that may go on from there, and whether the
        # maximum was taken in between.
        self._ends: dict[int, tuple[Tensor, Layer, str]] = {}

    def hook(self, name: str) -> Callable[..., None]:
        """A forward hook that notes the calls of a layer."""

        def note(module: nn.Module, args: Sequence[Any], kwargs: dict[str, Any], output: Any) -> None:
            inputs = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
            output = output[0] if isinstance(output, tuple) else output  # as attention returns
            if isinstance(inputs, Tensor) and isinstance(output, Tensor):
                self._calls[name] += 1
                count = self._calls[name]
                layer = Layer(name if count == 1 else f"{name} ({count})", module, inputs, output)
                self.layers.append(layer)
                self._ends[id(output)] = output, layer, ""

        return note

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = args[0] if args else kwargs.get("input")
        _, layer, pooled = self._ends.get(id(given), (None, None, ""))
        written = kwargs.get("out", given if _is_in_place(name, kwargs) else None)
        if isinstance(written, Tensor):
            self._keep_from(written)
        result = func(*args, **kwargs)
        name = name.strip("_")
        if layer is None or not isinstance(result, Tensor):
            return result
        if name in RISING | OTHERS:
            # Taken before pooling, where that gives the numbers that the network goes on with.
            if pooled == "maximum" and name in RISING:
                before_pooling = layer.activation if written is None else layer.activation.clone()
                layer.activation = func(before_pooling, *args[1:], **kwargs)
            else:
                layer.activation = result
            self._ends = {key: end for key, end in self._ends.items() if end[1] is not layer}
        elif name in NORMALISATIONS:
            layer.activation = result
            self._ends[id(result)] = result, layer, ""
        elif name in MAXIMA | MEANS | WITHOUT_EFFECT:
            pooled = "mean" if name in MEANS else pooled or ("maximum" if name in MAXIMA else "")
            self._ends[id(result)] = result, layer, pooled
        return result

    def _keep_from(self, written: Tensor) -> None:
        """Keep copies of what is about to be written over, which nothing goes on from then."""
        storage = written.untyped_storage().data_ptr()
        for layer in self.layers:
            for name in ("inputs", "activation"):
                if getattr(layer, name).untyped_storage().data_ptr() == storage:
                    setattr(layer, name, getattr(layer, name).clone())
        self._ends = {key: end for key, end in self._ends.items() if end[0].untyped_storage().data_ptr() != storage}


def _is_in_place(name: str, kwargs: dict[str, Any]) -> bool:
    """Whether a function of PyTorch changes its first argument, by its conventions for names."""
    dunder = name.startswith("__") and name.endswith("__")
    return bool(kwargs.get("inplace")) or (name[2:3] == "i" or name == "__setitem__" if dunder else name.endswith("_"))
