"""Muon makes the step of a hidden layer orthogonal, and leaves the rest to Adam."""

from __future__ import annotations

import pytest
import torch

from hwkit import models, training
from hwkit.engine.muon import Muon, MuonWithAdam, orthogonal
from hwkit.experiment import named_experiment


@pytest.mark.parametrize("shape", [(3, 8, 27), (1, 64, 16), (2, 5, 5)])
def test_an_orthogonal_matrix_has_singular_values_near_one_and_the_same_directions(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    values = torch.linalg.svdvals(orthogonal(matrices).float())
    assert values.max() < 1.3
    assert values.median() > 0.6
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ orthogonal(matrices).float() @ vh.mT
    assert (turned.diagonal(dim1=1, dim2=2) > 0.3).all()
    assert (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).abs().max() < 0.1


def test_layers_of_one_shape_move_as_each_alone() -> None:
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(6, 3, 2, 2)) for _ in range(3)]
    alone = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    for weight, same in zip(weights, alone, strict=True):
        weight.grad = torch.randn_like(weight)
        same.grad = weight.grad.clone()
    Muon(weights, 0.1, 0.9, 0.0).step()
    for weight, same in zip(weights, alone, strict=True):
        Muon([same], 0.1, 0.9, 0.0).step()
        torch.testing.assert_close(weight, same, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_iterations_are_as_precise_as_the_training(precision: str, dtype: torch.dtype) -> None:
    experiment = named_experiment("cifar10", optimizer="muon", precision=precision)
    optimizer = training.make_optimizer(models.build(experiment), experiment)
    assert isinstance(optimizer, MuonWithAdam)
    (muon,) = (part for part in optimizer.parts if isinstance(part, Muon))
    assert muon.dtype == dtype
    assert orthogonal(torch.ones(1, 2, 3, dtype=dtype)).dtype == dtype


def test_biases_and_the_last_layer_are_left_to_adam() -> None:
    experiment = named_experiment("cifar10", optimizer="muon")
    model = models.build(experiment)
    optimizer = training.make_optimizer(model, experiment)
    assert isinstance(optimizer, MuonWithAdam)
    names = {parameter: name for name, parameter in model.named_parameters()}
    muon, adam = ([names[p] for group in part.param_groups for p in group["params"]] for part in optimizer.parts)
    assert muon == ["conv1.weight", "conv2.weight", "conv3.weight", "fc1.weight", "fc2.weight"]
    assert adam[0] == "fc3.weight"
    assert len(muon) + len(adam) == len(names)


def test_adam_steps_at_a_tenth_of_the_learning_rate() -> None:
    experiment = named_experiment("cifar10", optimizer="muon", learning_rate=0.02, schedule="constant")
    model = models.build(experiment)
    optimizer = training.make_optimizer(model, experiment)
    training.optimizers.set_rate(optimizer, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.002, 0.002])
