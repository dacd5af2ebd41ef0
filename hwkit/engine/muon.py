"""Muon: momentum whose matrix of each layer is made orthogonal before the step.

After Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks". A convolution's weight is
taken as the matrix of its filters, (filters, inputs x height x width). Biases, and the last layer, are left to Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

ITERATIONS = 4  # of Newton and Schulz
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of their quintic, as Jordan chose them: fast rather than exact
ADAM_RATE = 0.1  # Adam's learning rate, in parts of Muon's


class Muon(torch.optim.Optimizer):
    """The optimiser of hidden layers: Nesterov's momentum, made orthogonal.

    Parameters
    ----------
    parameters : weights of two or more dimensions.
    lr : the learning rate: how far, in the spectral norm, a step moves a weight.
    weight_decay : lambda of an L2 penalty, whose gradient is added to the loss's before it is made orthogonal.
    dtype : of the iterations. bfloat16 suffices, but a processor that has to emulate it is many times slower.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float | Tensor,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move each weight that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                gradient = (
                    weight.grad.add(weight, alpha=group["weight_decay"]) if group["weight_decay"] else weight.grad
                )
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].mul_(group["momentum"]).add_(gradient)
                ahead = gradient.add(state["momentum"], alpha=group["momentum"]).flatten(1)
                by_shape.setdefault((ahead.shape[0], ahead.shape[1]), []).append((weight, ahead))
            for (rows, columns), found in by_shape.items():
                updates = orthogonal(torch.stack([ahead.to(self.dtype) for _, ahead in found]))
                updates = updates.to(found[0][0].dtype) * (-group["lr"] * max(1, rows / columns) ** 0.5)
                for (weight, _), update in zip(found, updates, strict=True):
                    weight.add_(update.view(weight.shape))


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices near to the orthogonal ones next to them, by iterations of Newton and Schulz.

    Parameters
    ----------
    matrices : float (N, rows, columns).

    Returns
    -------
    The same shape and dtype, with singular values between about 0.7 and 1.2
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class MuonWithAdam:
    """Muon for some parameters and Adam for the others, as one optimiser; its state is numbered through both."""

    def __init__(self, muon: Muon, adam: torch.optim.Adam) -> None:
        self.parts: tuple[torch.optim.Optimizer, ...] = (muon, adam)
        for group in adam.param_groups:
            group["rate"] = ADAM_RATE

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        return {parameter: state for part in self.parts for parameter, state in part.state.items()}

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        state, offset = {}, 0
        for part in self.parts:
            state |= {offset + number: of_one for number, of_one in part.state_dict()["state"].items()}
            offset += sum(len(group["params"]) for group in part.param_groups)
        return {"state": state}

    def load_state_dict(self, loaded: dict[str, Any]) -> None:
        offset = 0
        for part in self.parts:
            count = sum(len(group["params"]) for group in part.param_groups)
            state = {n - offset: of_one for n, of_one in loaded["state"].items() if offset <= n < offset + count}
            part.load_state_dict({**part.state_dict(), "state": state})
            offset += count
