"""A step of computation that a GPU replays on its own.

A step of one of these networks is some hundred kernels, and launching them from Python takes several times as long as
running them. A CUDA graph is launched as one. Everything that changes from step to step has to live on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hwkit.engine.optimizers import Optimizer

WARM_UP = 3  # steps before the capture, in which libraries choose their kernels and allocate what they keep

Replay = Callable[[], Any]


def usable(device: torch.device, augment: bool | str) -> bool:
    """Whether steps can be captured: on CUDA, unless a function of the user's own augments the images."""
    return device.type == "cuda" and isinstance(augment, bool)


def warm_up(
    step: Replay,
    optimizer: Optimizer,
    generator: torch.Generator,
    kept: Sequence[Tensor],
    device: torch.device,
) -> None:
    """Take a few steps, and leave optimiser, random numbers and the `kept` tensors as they were before."""
    before, random_state = [tensor.clone() for tensor in kept], generator.get_state()
    moments = {p: {name: value.clone() for name, value in of.items()} for p, of in optimizer.state.items()}

    stream = torch.cuda.Stream() if device.type == "cuda" else None
    if stream:
        stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    if stream:
        torch.cuda.current_stream().wait_stream(stream)

    with torch.no_grad():
        for tensor, value in zip(kept, before, strict=True):
            tensor.copy_(value)
        for parameter, of in optimizer.state.items():
            for name, value in of.items():  # in place: the graph will go on using these tensors
                value.copy_(moments[parameter][name]) if parameter in moments else value.zero_()
    generator.set_state(random_state)


def capture(step: Replay) -> Replay:
    """A step as a CUDA graph; capturing it does not run it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
