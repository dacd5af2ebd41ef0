"""Optimisers by name, with the L2 penalty on weight tensors only, and their state as a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hwkit.engine.muon import Muon, MuonWithAdam

Optimizer = torch.optim.Optimizer | MuonWithAdam
Moments = dict[int, dict[str, Tensor]]  # of an optimiser: by the number of a parameter, and by their own name


def make(
    name: str,
    model: nn.Module,
    is_weight: Callable[[Tensor], bool],
    *,
    rate: float,
    l2: float,
    momentum: float,
    precision: str = "fp32",
) -> Optimizer:
    """An optimiser over the trainable parameters of a network.

    The gradient of lambda/2 * sum of w^2 is lambda * w. That is what `weight_decay` adds to the gradient of a weight in
    Adam and SGD, so the penalty needs no place in the loss that is differentiated. Adam then rescales it with the rest
    of the gradient; AdamW does not, and takes rate * lambda * w off each weight (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    name : "adam", "adamw", "sgd" or "muon".
    is_weight : which parameters the penalty is on.
    rate : the learning rate of the first step.
    l2 : lambda of the penalty.
    momentum : of SGD and Muon, in Nesterov's form.
    precision : "fp32" or "bf16", of Muon's iterations.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trainable if is_weight(parameter)]
    others = [parameter for parameter in trainable if not is_weight(parameter)]
    groups = [{"params": weights, "weight_decay": l2}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    device = trainable[0].device
    on_cuda = device.type == "cuda"
    options: dict = {"lr": rate, "fused": device.type in ("cpu", "cuda")}
    if on_cuda:  # a captured step reads its rate from a tensor, and counts its steps in one
        options["lr"] = torch.tensor(rate, device=device)
    if name == "sgd":
        return torch.optim.SGD(groups, **options, momentum=momentum, nesterov=momentum > 0)
    if name == "muon" and len(weights) > 1:
        *hidden, last = weights
        groups = [{"params": [last], "weight_decay": l2}, {"params": others, "weight_decay": 0.0}]
        adam = torch.optim.Adam([group for group in groups if group["params"]], **options, capturable=on_cuda)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return MuonWithAdam(Muon(hidden, options["lr"], momentum, l2, dtype), adam)
    kind = {"muon": torch.optim.Adam, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind(groups, **options, capturable=on_cuda)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        rate_here = rate * group.get("rate", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate_here)
        else:
            group["lr"] = rate_here


def load(optimizer: Optimizer, moments: Moments) -> None:
    """Give an optimiser the moments of a checkpoint, and let it keep its own options: they are for its device."""
    parameters = _numbered(optimizer)
    # A fused optimiser goes through memory: a moment has to lie there as its parameter does.
    state = {
        number: {
            name: torch.empty_like(parameters[number]).copy_(value) if value.ndim else value
            for name, value in of_one.items()
        }
        for number, of_one in moments.items()
    }
    own = optimizer.state_dict()
    optimizer.load_state_dict({**own, "state": state})


def fits(optimizer: Optimizer, moments: Moments) -> bool:
    """Whether moments can be those of this optimiser after a step: others would fail somewhere in training."""
    wanted = {number: _moments_of(optimizer, parameter) for number, parameter in enumerate(_numbered(optimizer))}
    return {number: {name: value.shape for name, value in of_one.items()} for number, of_one in moments.items()} == {
        number: shapes for number, shapes in wanted.items() if shapes
    }


def _moments_of(optimizer: Optimizer, parameter: Tensor) -> dict[str, torch.Size]:
    """The shapes of what an optimiser remembers of a parameter after a step, by their names."""
    if isinstance(optimizer, MuonWithAdam):
        part = next(part for part in optimizer.parts if any(parameter is one for one in _numbered(part)))
        return _moments_of(part, parameter)
    if isinstance(optimizer, Muon):
        return {"momentum": parameter.shape}
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer": parameter.shape} if optimizer.defaults["momentum"] else {}
    return {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}


def _numbered(optimizer: Optimizer) -> list[Tensor]:
    """The parameters in the order in which an optimiser's state numbers them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
