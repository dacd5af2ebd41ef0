"""The step that a GPU replays computes what the plain steps do. Here it is replayed by calling it again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hwkit import data, models, training
from hwkit.callbacks import Training
from hwkit.engine import optimizers
from hwkit.engine.devices import own_random_state
from hwkit.experiment import Experiment, named_experiment
from hwkit.training import make_optimizer, train

CPU = torch.device("cpu")


def state_of(experiment: Experiment, folder: Path) -> Training:
    folder.mkdir()
    return training.start(folder, experiment, data.of(experiment), CPU)


def taken(state: Training, *, graphed: bool, starts: list[tuple[int, int]], limit: int) -> list[torch.Tensor]:
    """The losses of the first steps from each start (epoch, batch) on."""
    losses = []

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = state.model(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        return loss.detach(), logits.detach(), labels

    plain, replayed = training.plain_steps, training.replayed_steps
    take = replayed(state, step, capture=lambda step: step) if graphed else plain(state, step)
    with own_random_state(0, CPU):
        for epoch, start in starts:
            for number, (loss, _, _) in enumerate(take(epoch, start), start=1):
                losses.append(loss.clone())
                if number == limit:
                    break
    return losses


@pytest.mark.parametrize("name", ["mnist-l2", "cifar10"])
def test_replayed_steps_are_the_plain_steps(name: str, tmp_path: Path) -> None:
    experiment = named_experiment(name, "smoke", data="stand-in", train_size=300, batch_size=32, test_size=10)
    plain, graphed = (state_of(experiment, tmp_path / kind) for kind in ("plain", "graphed"))
    starts = [(0, 0), (1, 4)]  # an epoch from its beginning, and another from the middle
    expected = taken(plain, graphed=False, starts=starts, limit=5)
    found = taken(graphed, graphed=True, starts=starts, limit=5)
    assert len(expected) == 10
    assert torch.equal(torch.stack(found), torch.stack(expected))
    for weight, same in zip(plain.model.parameters(), graphed.model.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_warming_up_leaves_a_resumed_training_as_it_was(tmp_path: Path) -> None:
    experiment = named_experiment("mnist", "smoke", data="stand-in", train_size=300, batch_size=32, test_size=10)
    plain, graphed = (state_of(experiment, tmp_path / kind) for kind in ("plain", "graphed"))
    for state in (plain, graphed):
        taken(state, graphed=False, starts=[(0, 0)], limit=2)
    expected = taken(plain, graphed=False, starts=[(0, 2)], limit=3)
    assert torch.equal(torch.stack(taken(graphed, graphed=True, starts=[(0, 2)], limit=3)), torch.stack(expected))


def test_a_learning_rate_on_the_device_follows_the_schedule(tmp_path: Path) -> None:
    experiment = named_experiment("mnist", "smoke", data="stand-in", train_size=300, batch_size=32, test_size=10)
    state = state_of(experiment, tmp_path / "run")
    rates = [torch.zeros(()) for _ in state.optimizer.param_groups]
    for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    training.next_iteration(state)
    assert state.optimizer.param_groups[0]["lr"] is rates[0]
    assert 0 < rates[0].item() == rates[1].item() < experiment.learning_rate


def test_a_checkpoint_brings_moments_but_not_the_options_of_another_device() -> None:
    experiment = named_experiment("mnist", "smoke")
    model = models.build(experiment)
    optimizer = make_optimizer(model, experiment)
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    other = make_optimizer(model, experiment)
    optimizers.load(other, optimizer.state_dict()["state"])
    assert [group["capturable"] for group in other.param_groups] == [False, False]
    assert [group["lr"] for group in other.param_groups] == [experiment.learning_rate] * 2
    first = next(model.parameters())
    assert torch.equal(other.state[first]["exp_avg"], optimizer.state[first]["exp_avg"])
    other.step()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cuda_graph_trains_as_the_same_steps_without_one(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = named_experiment("mnist", "smoke", data="stand-in", dropout=0.0, precision="fp32")
    with_graph = train(experiment, device="cuda", progress=False)
    monkeypatch.setenv("HWKIT_HOME", str(own_store / "plain"))
    monkeypatch.setattr("hwkit.engine.cuda_graph.usable", lambda *_: False)
    without = train(experiment, device="cuda", progress=False)
    assert with_graph.test_accuracy == pytest.approx(without.test_accuracy, abs=0.02)
    for name, weight in without.final_weights.items():
        assert torch.allclose(weight, with_graph.final_weights[name], atol=1e-2)
