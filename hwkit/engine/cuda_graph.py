"""Training steps that a GPU replays on its own, from the choice of the batch to the update of the weights.

A step of one of these networks is some hundred kernels, and launching them from Python takes several times as long as
running them. A CUDA graph is launched as one. Everything that changes from step to step lives on the device: the order
of the epoch and the place in it, what augmentation does to each image, and the learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hwkit import data

if TYPE_CHECKING:
    from hwkit.training import TrainingState

WARM_UP = 3  # steps before the capture, in which libraries choose their kernels and allocate what they keep

Replay = Callable[[], object]


class GraphedSteps:
    """The steps of a training as replays of one captured step; the counterpart of `TrainingState.steps`.

    Parameters
    ----------
    capture : makes a replay of a step that has been warmed up. Where the step itself is taken for its replay, it
        computes what `TrainingState.steps` does, which is how a machine without a GPU can test it.
    """

    def __init__(self, state: TrainingState, capture: Callable[[Replay], Replay] | None = None) -> None:
        self.state = state
        self.capture = capture or capture_on_cuda
        self.replay: Replay | None = None
        count, device = len(state.dataset.train_images), state.device
        self.offsets = torch.arange(min(state.experiment.batch_size, count), device=device)
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self.order = torch.zeros(count, dtype=torch.int64, device=device)
        self.flip = torch.zeros(count, dtype=torch.bool, device=device)
        self.grayscale = torch.zeros(count, dtype=torch.bool, device=device)

    def steps(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Take the steps of an epoch from its batch `start` on; see `TrainingState.steps`.

        What is yielded is overwritten by the next step.
        """
        experiment = self.state.experiment
        plan = data.epoch_plan(len(self.order), seed=experiment.seed, epoch=epoch)
        for held, drawn in zip((self.order, self.flip, self.grayscale), plan, strict=True):
            held.copy_(drawn)
        self.position.fill_(start * experiment.batch_size)
        if self.replay is None:
            self.replay = self._warm_up_and_capture()
        for _ in range(start, experiment.batches_per_epoch):
            self.state.advance()
            self.replay()
            yield self.loss, self.logits, self.labels

    def _step(self) -> None:
        dataset = self.state.dataset
        here = self.position + self.offsets
        chosen = self.order.index_select(0, here)
        images = dataset.train_images.index_select(0, chosen)
        self.labels = dataset.train_labels.index_select(0, chosen)
        if self.state.experiment.augment:
            images = data.augment(images, self.flip.index_select(0, here), self.grayscale.index_select(0, here))
        self.loss, self.logits = self.state.descend(data.normalise(images, dataset), self.labels)
        self.position += len(self.offsets)

    def _warm_up_and_capture(self) -> Replay:
        """Capture the step, and leave weights, optimiser, random numbers and position as they were before."""
        model, optimizer = self.state.model, self.state.optimizer
        generator = self.state.random_generator()
        position, random_state = self.position.clone(), generator.get_state()
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        moments = {p: {name: value.clone() for name, value in of.items()} for p, of in optimizer.state.items()}

        stream = torch.cuda.Stream() if self.state.device.type == "cuda" else None
        if stream:
            stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step()
        if stream:
            torch.cuda.current_stream().wait_stream(stream)

        model.load_state_dict(weights)
        for parameter, of in optimizer.state.items():
            for name, value in of.items():  # in place: the graph will go on using these tensors
                value.copy_(moments[parameter][name]) if parameter in moments else value.zero_()
        self.position.copy_(position)
        generator.set_state(random_state)
        return self.capture(self._step)


def capture_on_cuda(step: Replay) -> Replay:
    """A step as a CUDA graph; capturing it does not run it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
