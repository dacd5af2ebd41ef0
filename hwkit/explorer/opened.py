"""A run opened for looking around: its network, test images and predictions at hand, to answer in milliseconds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hwkit import analysis, data, runs
from hwkit.datasets import known_facts
from hwkit.engine.layers import Layer, hidden, last_features, layers_of
from hwkit.explorer import index
from hwkit.explorer.index import Index
from hwkit.runs import Run

ORDERS = ("by index", "surest first", "least sure first")
KINDS = ("all", "mistakes", "correct")


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture and how a network classifies it.

    Attributes
    ----------
    image : uint8 (C, H, W).
    probabilities : float32 (classes,).
    label : the true class, if it is known.
    number : of the test image; None for a picture from outside.
    """

    image: Tensor
    probabilities: Tensor
    label: int | None = None
    number: int | None = None

    @property
    def predicted(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())


class OpenRun:
    """A finished run with everything loaded that a click may ask for.

    Attributes
    ----------
    run : the run.
    names : of the classes, by label.
    images, labels : of the test set, uint8 (N, C, H, W) and int64 (N,).
    predicted : int64 (N,).
    probabilities : float32 (N, classes).
    layers : the names of the hidden layers, in the order in which they are called.
    index : what `hwkit.explorer.index` found, None until `prepare` was called.
    """

    def __init__(self, run: Run) -> None:
        """Raises RunError or DataError if the run or its data set cannot be read."""
        self.run = run
        self.names = analysis.class_names(run)
        self.images, self.labels = analysis.test_images(run), run.labels
        self.predicted = analysis.predicted(run)
        self.probabilities = analysis.probabilities(run)
        self.index: Index | None = index.kept(run)
        self.model = run.model().to(memory_format=torch.channels_last)
        self.layers = tuple(layer.name for layer in hidden(self._layers(self.images[0])))

    def __len__(self) -> int:
        return len(self.labels)

    def prepare(self) -> None:
        """Look through the whole test set, unless somebody did before; takes seconds."""
        if self.index is None:
            self.index = index.of(self.run)

    @property
    def gone(self) -> bool:
        """Whether the run's folder was deleted since."""
        return not runs.is_finished(self.run.folder)

    def subject(self, number: int) -> Subject:
        """A test image."""
        return Subject(self.images[number], self.probabilities[number], int(self.labels[number]), number)

    @torch.inference_mode()
    def outsider(self, image: Tensor) -> Subject:
        """A picture from outside, uint8 (C, H, W)."""
        return Subject(image, self.model(self._inputs(image))[0].softmax(dim=0))

    def activations(self, image: Tensor) -> dict[str, Tensor]:
        """How each hidden layer responds to an image, uint8 (C, H, W): float32 (channels, h, w).

        As `analysis.activations`; a layer without maps has such of one pixel.
        """
        return {
            layer.name: layer.activation[0].contiguous() if layer.has_maps else layer.by_unit[0].unsqueeze(2)
            for layer in hidden(self._layers(image))
        }

    def position(self, subject: Subject) -> Tensor | None:
        """Where a picture lies on the index's plane, float32 (2,); None while there is no index."""
        if self.index is None:
            return None
        if subject.number is not None:
            return self.index.positions[subject.number]
        return self.index.place(last_features(self._layers(subject.image)))[0]

    def counterpart(self, number: int) -> int | None:
        """A correctly classified image of the class that a test image was taken for; None if there is none.

        The one whose hidden features are most alike, once there is an index; until then the one of which the network is
        surest.
        """
        if self.index is not None:
            found = int(self.index.counterparts[number])
            return found if found >= 0 else None
        label = int(self.predicted[number])
        fitting = self.matching(label, label, "correct", 0, 1, "surest first")
        return next((int(other) for other in fitting if other != number), None)

    def matching(
        self, label: int | None, predicted: int | None, kind: str, low: float, high: float, order: str
    ) -> np.ndarray:
        """The numbers of the test images that fit, int64 (M,).

        Parameters
        ----------
        label, predicted : true and predicted class; None is any.
        kind : one of `KINDS`.
        low, high : of the probability of the prediction.
        order : one of `ORDERS`.
        """
        confidence = self.probabilities.gather(1, self.predicted[:, None]).squeeze(1)
        fits = (confidence >= low) & (confidence <= high)
        if label is not None:
            fits &= self.labels == label
        if predicted is not None:
            fits &= self.predicted == predicted
        if kind != "all":
            fits &= (self.labels == self.predicted) == (kind == "correct")
        found = fits.nonzero().squeeze(1)
        if order != "by index":
            found = found[confidence[found].argsort(descending=order == "surest first", stable=True)]
        return found.numpy()

    def neighbouring_mismatch(self, number: int, step: int) -> int | None:
        """The next (step 1) or previous (step -1) misclassified image of the test set; None at its end."""
        wrong = (self.labels != self.predicted).nonzero().squeeze(1)
        beyond = wrong[wrong > number][:1] if step > 0 else wrong[wrong < number][-1:]
        return int(beyond) if len(beyond) else None

    def _layers(self, image: Tensor) -> list[Layer]:
        """The network's layers for one image, uint8 (C, H, W)."""
        return layers_of(self.model, self._inputs(image))

    def _inputs(self, image: Tensor) -> Tensor:
        """What the network is given for one image, uint8 (C, H, W): float32 (1, C, H, W)."""
        pixels = data.normalise(image.unsqueeze(0), self.run.experiment.dataset)
        return pixels.contiguous(memory_format=torch.channels_last)

    def comparable(self, other: Run) -> bool:
        """Whether another run was tested on the same images, as far as its experiment tells."""
        return all(
            getattr(self.run.experiment, field) == getattr(other.experiment, field)
            for field in ("dataset", "data", "holdout", "test_size")
        )

    def __repr__(self) -> str:
        return f"{self.run.name} on {known_facts(self.run.experiment.dataset).title}"


class Openings:
    """The runs opened last; going back to one of them takes no time, and there are never more than a few in memory."""

    LIMIT = 4

    def __init__(self) -> None:
        self._opened: OrderedDict[str, OpenRun] = OrderedDict()

    def open(self, run: Run) -> OpenRun:
        """The run, opened now or before."""
        key = str(run.folder)
        if key not in self._opened:
            self._opened[key] = OpenRun(run)
        self._opened.move_to_end(key)
        while len(self._opened) > self.LIMIT:
            self._opened.popitem(last=False)
        return self._opened[key]
