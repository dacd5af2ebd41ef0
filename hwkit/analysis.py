"""What a run classifies correctly and what not, how its layers respond to an image, and what its weights look like.

Every function takes a run, or the modules and tensors in it; nothing is trained and nothing is written. No name of a
layer, number of classes or size of image is assumed: layers are found by running the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import data, datasets, runs, statistics
from hwkit.data import Dataset
from hwkit.datasets import standin
from hwkit.engine.devices import resolve_device, resolve_precision
from hwkit.engine.layers import Layer, hidden, last_features, layers_of, map_features
from hwkit.errors import RunError, did_you_mean
from hwkit.models import is_weight, predict
from hwkit.runs import Run, differences_note

# A weight smaller than this counts as near zero. One absolute number for every tensor, because two runs are compared
# by it and their initial weights need not be of one scale. Before training, between 0.5 % (conv1 of MNIST) and 6 %
# (fc1 of MNIST) of PyTorch's initial weights are as small as that.
NEAR_ZERO = 1e-3
# The same in standard deviations of the tensor: 8 % of a normal distribution are as near to zero as that.
NEAR_ZERO_RELATIVE = 0.1
LARGEST_BATCH = 200  # images at a time: what a CPU's cache holds
MOST_NUMBERS = 2**26  # in the activations that are held at once: 256 MB

TRAIN_INDEX = "train-correct.safetensors"  # in a run's folder: which training images it classifies correctly

# Test images whose label is wrong, by data set and index: what they show (Northcutt, Athalye and Mueller, 2021,
# "Pervasive label errors in test sets destabilize machine learning benchmarks").
LABEL_ERRORS = {("cifar10", 2405): "frog"}


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several networks that give one answer, the mean of their probabilities.

    Attributes
    ----------
    logits : the logarithms of these means, float32 (N, classes).
    labels : int64 (N,).
    """

    name: str
    logits: Tensor
    labels: Tensor


Predicted = Run | Ensemble


# --- Predictions over the test set ------------------------------------------------------------------------------


def test_set(run: Run) -> Dataset:
    """The data set whose test images the run was tested on, in the order of `run.labels`.

    Raises
    ------
    RunError
        If the labels here are not those that the run was tested against.
    DataError
        If the data set is missing or damaged.
    """
    dataset = data.of(run.experiment)
    _require_labels(run, dataset.test_labels)
    return dataset


def test_images(run: Run) -> Tensor:
    """The images that the run was tested on, uint8 (N, C, H, W), in the order of `run.labels`.

    The same as those of `test_set`, and there sooner, because the training images are not read. Errors as of it.
    """
    e = run.experiment
    images, labels = data.load_test(e.dataset, e.data, test_size=e.test_size, holdout=e.holdout)
    _require_labels(run, labels)
    return images


def _require_labels(run: Run, labels: Tensor) -> None:
    """Raise RunError unless the run was tested against these labels, int64 (N,)."""
    if not torch.equal(labels, run.labels):
        title = datasets.known_facts(run.experiment.dataset).title
        raise RunError(
            f"{run.folder} was tested on other images than the {title} here; "
            "point HWKIT_DATA at the data it was trained with, or train it again"
        )


def class_names(run: Run) -> tuple[str, ...]:
    """The names of the classes, by label."""
    dataset = run.experiment.dataset
    return standin.CLASSES[dataset] if run.experiment.data == "stand-in" else datasets.known_facts(dataset).classes


def class_label(run: Run, name: int | str) -> int:
    """The label of a class given by label or by name; the ten digits of MNIST are both.

    Raises
    ------
    RunError
        If there is no such class; the message lists those that there are.
    """
    names = class_names(run)
    if isinstance(name, str) and name in names:
        return names.index(name)
    if isinstance(name, int) and 0 <= name < len(names):
        return name
    raise RunError(f"unknown class {name!r}; {did_you_mean(name, names)} (or 0 to {len(names) - 1})")


def probabilities(run: Predicted) -> Tensor:
    """The softmax of the run's logits over the test images, float32 (N, classes)."""
    return run.logits.softmax(dim=1)


def predicted(run: Predicted) -> Tensor:
    """The class with the largest logit for each test image, int64 (N,)."""
    return run.logits.argmax(dim=1)


def correct(run: Predicted) -> Tensor:
    """Whether each test image is classified correctly, bool (N,)."""
    return predicted(run) == run.labels


def train_correct(run: Run) -> Tensor:
    """Whether each image that the network was trained on is classified correctly, as it is: bool (training images,).

    Computed once for each run, and kept in its folder.

    Raises
    ------
    RunError, DataError
        As `test_set` does.
    """
    kept = runs.read_index(run, TRAIN_INDEX)
    if kept is not None:
        return kept["correct"]
    dataset, device = test_set(run), resolve_device("auto")
    model = run.model().to(memory_format=torch.channels_last).to(device)
    logits = predict(model, dataset.train_images, dataset, precision=resolve_precision("auto", device))
    correct = (logits.argmax(dim=1) == dataset.train_labels.to(device)).cpu()
    with contextlib.suppress(RunError):  # a store that cannot be written is no reason to go without
        runs.write_index(run, {"correct": correct}, TRAIN_INDEX)
    return correct


def predictions(run: Run) -> pd.DataFrame:
    """One row per test image, in test-set order.

    Columns: `index` in the test set, `label`, `predicted`, their names `label_name` and `predicted_name`, and the
    probabilities that the network gives to both, `predicted_probability` and `label_probability`.
    """
    names = class_names(run)
    softmax, found = probabilities(run), predicted(run)
    rows = torch.arange(len(run.labels))
    return pd.DataFrame(
        {
            "index": rows.numpy(),
            "label": run.labels.numpy(),
            "predicted": found.numpy(),
            "label_name": [names[label] for label in run.labels.tolist()],
            "predicted_name": [names[label] for label in found.tolist()],
            "predicted_probability": softmax[rows, found].numpy(),
            "label_probability": softmax[rows, run.labels].numpy(),
        }
    )


def misclassified(run: Run) -> pd.DataFrame:
    """The rows of `predictions` whose image is misclassified, the most confident prediction first.

    Examples
    --------
    >>> hwkit.analysis.misclassified(run)[["index", "label_name", "predicted_name"]].head(3)
    """
    table = predictions(run)
    return _most_confident_first(table.loc[table["label"] != table["predicted"]])


def misclassified_by_one(a: Run, b: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images that b alone misclassifies, and those that a alone does.

    Returns
    -------
    (by_b, by_a) : rows of `misclassified`, of b and of a.

    Raises
    ------
    RunError
        If the runs were tested on different images.
    """
    require_same_test_images(a, b)
    of_a, of_b = misclassified(a), misclassified(b)
    by_b, by_a = of_b.loc[~of_b["index"].isin(of_a["index"])], of_a.loc[~of_a["index"].isin(of_b["index"])]
    return by_b.reset_index(drop=True), by_a.reset_index(drop=True)


def confusion(run: Run) -> pd.DataFrame:
    """Counts of test images, int (classes, classes): a row per true class, a column per prediction, both by name."""
    names = class_names(run)
    counts = torch.bincount(run.labels * len(names) + predicted(run), minlength=len(names) ** 2)
    table = pd.DataFrame(counts.view(len(names), -1).numpy(), index=names, columns=names)
    return table.rename_axis(index="true", columns="predicted")


def per_class_accuracy(run: Run) -> pd.Series:
    """Fraction of each class's test images that are classified correctly, by class name; NaN where there are none."""
    counts = confusion(run)
    correct = pd.Series(counts.to_numpy().diagonal(), index=counts.index)
    return (correct / counts.sum(axis="columns")).rename("accuracy").rename_axis("class")


def calibration(run: Predicted, bins: int = 15) -> pd.DataFrame:
    """How often predictions of a confidence are correct: the rows of a reliability diagram.

    Returns
    -------
    A row for each of `bins` intervals of confidence of equal width, from 0 to 1, that any test image is in: the
    interval's ends `low` and `high`, the `count` of images, their mean `confidence` and `accuracy`.
    """
    confidence, found = probabilities(run).double().max(dim=1)
    number = (confidence * bins).long().clamp_max(bins - 1)
    frame = pd.DataFrame({"confidence": confidence, "accuracy": (found == run.labels).double(), "bin": number})
    rows = frame.groupby("bin").agg(
        count=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    ends = {"low": rows.index / bins, "high": (rows.index + 1) / bins}
    return rows.assign(**ends).loc[:, ["low", "high", "count", "confidence", "accuracy"]].reset_index(drop=True)


def expected_calibration_error(run: Predicted, bins: int = 15) -> float:
    """The mean distance of confidence and accuracy over the bins of `calibration`, weighted by their counts.

    (Naeini, Cooper and Hauskrecht, 2015, "Obtaining well calibrated probabilities using Bayesian binning".)
    """
    rows = calibration(run, bins)
    return float(np.average((rows["confidence"] - rows["accuracy"]).abs(), weights=rows["count"]))


def log_loss(run: Predicted) -> float:
    """The negative log-likelihood of the true classes, in nats a test image: the cross-entropy over the test set."""
    return F.cross_entropy(run.logits.double(), run.labels).item()


def ensemble(runs: Sequence[Run], name: str = "ensemble") -> Ensemble:
    """The ensemble of runs, of other seeds for instance (Lakshminarayanan, Pritzel and Blundell, 2017).

    Raises
    ------
    RunError
        If the runs were tested on different images.

    Examples
    --------
    >>> hwkit.analysis.expected_calibration_error(hwkit.analysis.ensemble(runs))
    """
    for run in runs[1:]:
        require_same_test_images(runs[0], run)
    mean = torch.from_numpy(statistics.ensemble(torch.stack([run.logits for run in runs]).numpy()))
    return Ensemble(name, mean.clamp_min(1e-300).log().float(), runs[0].labels)


def _most_confident_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `predictions` by falling probability of the prediction, then by index."""
    return table.sort_values(["predicted_probability", "index"], ascending=[False, True], ignore_index=True)


# --- Examples and pairs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Example:
    """A test image and how the network classifies it.

    Attributes
    ----------
    index : of the image in the test set.
    label, predicted : true and predicted class, with their names in `label_name` and `predicted_name`.
    probabilities : float32 (classes,).
    image : uint8 (C, H, W).
    """

    index: int
    label: int
    predicted: int
    label_name: str
    predicted_name: str
    probabilities: Tensor
    image: Tensor

    @property
    def correct(self) -> bool:
        """Whether the image is classified correctly."""
        return self.label == self.predicted

    @property
    def confidence(self) -> float:
        """The probability that the network gives to its prediction."""
        return self.probabilities[self.predicted].item()


@dataclass(frozen=True, eq=False)
class Pair:
    """A misclassified image, and a correctly classified one of the class that it was misclassified as.

    `similarity` is the cosine between the `hidden_features` of the two, from 0 to 1 in a network with ReLU.
    """

    misclassified: Example
    counterpart: Example
    similarity: float


def example(run: Run, index: int) -> Example:
    """The test image at an index, and how the network classifies it.

    Raises
    ------
    RunError
        If the test set has no such index.
    """
    count = len(run.labels)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise RunError(f"no test image {index!r}; this run was tested on {count} images, numbered 0 to {count - 1}")
    names = class_names(run)
    label, found = int(run.labels[index]), int(run.logits[index].argmax())
    return Example(
        index=index,
        label=label,
        predicted=found,
        label_name=names[label],
        predicted_name=names[found],
        probabilities=run.logits[index].softmax(dim=0),
        image=test_images(run)[index],
    )


def find_example(
    run: Run,
    *,
    label: int | str | None = None,
    predicted: int | str | None = None,
    correct: bool | None = None,
    skip: int = 0,
) -> Example:
    """The test image that fits and of whose prediction the network is most confident.

    Parameters
    ----------
    label, predicted : true and predicted class, by label or name; None is any.
    correct : whether it is classified correctly; None is either.
    skip : leave out the first `skip` images that fit, to get to the next.

    Raises
    ------
    RunError
        If no image fits; the message says which there are.

    Examples
    --------
    >>> hwkit.analysis.find_example(run, label="horse", correct=True)
    """
    table = predictions(run)
    if label is not None:
        table = table.loc[table["label"] == class_label(run, label)]
    of_label = table
    if predicted is not None:
        table = table.loc[table["predicted"] == class_label(run, predicted)]
    if correct is not None:
        table = table.loc[(table["label"] == table["predicted"]) == correct]
    if 0 <= skip < len(table):
        return example(run, int(_most_confident_first(table)["index"].iloc[skip]))

    names = class_names(run)
    wanted = "" if correct is None else "correctly classified " if correct else "misclassified "
    wanted += "test image"
    if label is not None:
        wanted += f" of class {names[class_label(run, label)]!r}"
    if predicted is not None:
        wanted += f" predicted as {names[class_label(run, predicted)]!r}"
    if len(table):
        raise RunError(
            f"skip={skip}: there are {len(table)} such images ({wanted}), so skip can be 0 to {len(table) - 1}"
        )
    exist = ", ".join(f"{name} ({count})" for name, count in of_label.value_counts("predicted_name").items())
    whose = "test images" if label is None else "the test images of that class"
    raise RunError(f"{run.name} has no {wanted}; {whose} were predicted as: {exist or 'none'}")


def pair(run: Run, index: int) -> Pair:
    """A misclassified image beside its counterpart.

    The counterpart is, among the correctly classified images of the class that the image was misclassified as, the one
    whose `hidden_features` point most nearly the same way (largest cosine): the image that the convolutions can least
    tell from it.

    Raises
    ------
    RunError
        If the image at the index is classified correctly, or no image of the predicted class is.
    """
    shown = example(run, index)
    if shown.correct:
        raise RunError(f"test image {index} is not misclassified: it is a {shown.label_name!r} and predicted as one")
    correct = ((run.labels == shown.predicted) & (predicted(run) == shown.predicted)).nonzero().squeeze(1)
    if not len(correct):
        raise RunError(f"no image of class {shown.predicted_name!r} is classified correctly, so {index} has no pair")
    images = test_images(run)
    features = hidden_features(run, images[torch.cat([torch.tensor([index]), correct])])
    similarities = torch.cosine_similarity(features[1:], features[:1])
    nearest = int(similarities.argmax())
    return Pair(shown, example(run, int(correct[nearest])), similarities[nearest].item())


def pairs(run: Run, count: int, preferred: Sequence[tuple[int, int]] = ()) -> list[Pair]:
    """Instructive pairs of a misclassified image and its counterpart; fewer than `count` if there are not so many.

    Deterministic: the most confident predictions, but first those whose combination of true and predicted class was
    not yet chosen, and among these the ones whose two classes were chosen least often.

    Parameters
    ----------
    preferred : combinations of a true and a predicted class that come before all others, where they occur.

    Raises
    ------
    RunError
        If count is negative.

    Examples
    --------
    >>> for pair in hwkit.analysis.pairs(run, 4):
    ...     hwkit.plots.pair(run, pair)
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise RunError(f"the number of pairs must be a whole number, 0 or more, not {count!r}")
    # A class without a single correct image, as after very short training, has no counterpart to offer.
    known = recognised_classes(run)
    left = [row for row in misclassified(run).to_dict("records") if row["predicted"] in known]
    combinations: list[tuple[int, int]] = []
    classes: list[int] = []
    chosen = []
    while left and len(chosen) < count:
        # min takes the first of equals, and the first is the most confident.
        best = min(
            left,
            key=lambda row: (
                combinations.count((row["label"], row["predicted"])),
                (row["label"], row["predicted"]) not in preferred,
                classes.count(row["label"]) + classes.count(row["predicted"]),
            ),
        )
        left.remove(best)
        combinations.append((best["label"], best["predicted"]))
        classes += [best["label"], best["predicted"]]
        chosen.append(pair(run, best["index"]))
    return chosen


def sides(run: Run, shown: Example, images: int = 100) -> pd.Series:
    """Where each layer puts a misclassified image between its true class and the class it was misclassified as.

    The responses of a layer to the first `images` correctly classified test images of each of the two classes have two
    means. What is returned is the place of the image's projection on the line through them: 0 at the mean of the true
    class, 1 at that of the predicted one, and nearer to that from 0.5 on.

    Returns
    -------
    float64 by name: "pixels", and the hidden layers in their order. Empty if no test image of a class is classified
    correctly.
    """
    found = predicted(run)
    members = [
        ((run.labels == label) & (found == label)).nonzero().squeeze(1)[:images]
        for label in (shown.label, shown.predicted)
    ]
    if not all(map(len, members)):
        return pd.Series(dtype=float)
    pictures = test_images(run)[torch.cat([torch.tensor([shown.index]), *members])]
    responses = {"pixels": [pictures.double().flatten(1)]}
    for part in layers(run, pictures):
        for layer in hidden(part):
            responses.setdefault(layer.name, []).append(layer.activation.double().flatten(1))
    places = {}
    for name, parts in responses.items():
        image, own, other = torch.cat(parts).split([1, *map(len, members)])
        start, line = own.mean(dim=0), other.mean(dim=0) - own.mean(dim=0)
        places[name] = (((image[0] - start) @ line) / line.square().sum().clamp_min(1e-12)).item()
    return pd.Series(places)


def recognised_classes(run: Run) -> set[int]:
    """The labels of the classes of which at least one test image is classified correctly."""
    found = predicted(run)
    return set(found[found == run.labels].tolist())


# --- Hidden layers ----------------------------------------------------------------------------------------------


def layers(run: Run, images: Tensor) -> Iterator[list[Layer]]:
    """The layers of the run's network in the order in which they are called, for as many images at a time as is wise.

    Parameters
    ----------
    images : uint8 (N, C, H, W), of the size that the run was trained on.

    Yields
    ------
    As `layers_of` returns them, for one part of the images after the other.

    Raises
    ------
    RunError
        If the images have another type or shape, or there are none.
    """
    shape = datasets.known_facts(run.experiment.dataset).shape
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != shape:
        raise RunError(
            f"images must be uint8 (N, {', '.join(map(str, shape))}), not {images.dtype} {tuple(images.shape)}; "
            "one image needs image.unsqueeze(0)"
        )
    model = run.model().to(memory_format=torch.channels_last)
    inputs = data.normalise(images[:1], run.experiment.dataset)
    numbers = sum(layer.inputs.numel() + layer.activation.numel() for layer in layers_of(model, inputs))
    for chunk in images.split(min(LARGEST_BATCH, max(1, MOST_NUMBERS // max(1, numbers)))):
        inputs = data.normalise(chunk, run.experiment.dataset).contiguous(memory_format=torch.channels_last)
        yield layers_of(model, inputs)


def difference_of_logits(model: nn.Module, run: Run, images: int = 500) -> float:
    """How far another network with a run's trained weights is from the run's logits, relative to the largest of these.

    For a network that is written out in a notebook, to see that it is the one that was trained. The weights are loaded
    into it; what remains is rounding, some 1e-6, if the two compute the same.

    Parameters
    ----------
    images : how many test images are tried, the first ones.

    Raises
    ------
    RunError
        If the parameters of the two do not agree in name or shape.
    """
    try:
        model.load_state_dict(run.final_weights)
    except RuntimeError as error:
        raise RunError(f"this network is not that of {run.name}: {' '.join(str(error).split())}") from None
    wanted = run.logits[:images]
    found = predict(model, test_images(run)[:images], run.experiment.dataset)
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def activations(run: Run, images: Tensor) -> dict[str, Tensor]:
    """How each hidden layer with maps responds to images, after its non-linearity and before pooling; see `Layer`.

    Parameters
    ----------
    images : uint8 (N, C, H, W).

    Returns
    -------
    By the layer's name, in the order in which they are called: float32 (N, channels, height, width).

    Examples
    --------
    >>> {name: maps.shape for name, maps in hwkit.analysis.activations(run, images[:2]).items()}
    {'conv1': torch.Size([2, 32, 28, 28]), 'conv2': torch.Size([2, 64, 14, 14])}
    """
    chunks: dict[str, list[Tensor]] = {}
    for found in layers(run, images):
        for layer in hidden(found):
            if layer.has_maps:
                chunks.setdefault(layer.name, []).append(layer.activation)
    return {name: torch.cat(parts) for name, parts in chunks.items()}


def hidden_features(run: Run, images: Tensor) -> Tensor:
    """What the layers with maps hand on to the rest of the network, such as the pooled maps: float32 (N, features).

    Parameters
    ----------
    images : uint8 (N, C, H, W).
    """
    return torch.cat([map_features(found) for found in layers(run, images)])


def saliency(model: nn.Module, inputs: Tensor, label: int) -> Tensor:
    """How strongly each pixel moves the logit of a class (Simonyan et al., 2013, arXiv:1312.6034).

    Parameters
    ----------
    model : in evaluation mode.
    inputs : what the network is given, float (1, C, H, W).
    label : of the class.

    Returns
    -------
    The largest absolute gradient of the logit over the channels, float32 (H, W).
    """
    inputs = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs)[0, label], inputs)
    return gradient[0].abs().amax(dim=0)


@dataclass(frozen=True, eq=False)
class Plane:
    """Images laid out on the plane in which their directions differ most, the first two principal components.

    Attributes
    ----------
    centre : float32 (features,): the mean direction.
    axes : float32 (features, 2): the components.
    positions : float32 (N, 2): the images on these axes.
    explained : float32 (2,): the fraction of the variance along each.
    """

    centre: Tensor
    axes: Tensor
    positions: Tensor
    explained: Tensor

    def place(self, features: Tensor) -> Tensor:
        """Where other features, float32 (N, features), lie on the plane: float32 (N, 2)."""
        return (F.normalize(features, dim=1) - self.centre) @ self.axes


def plane(features: Tensor) -> Plane:
    """Lay out images by their features, float32 (N, features), for two images or more.

    Directions alone: an image that excites everything strongly would otherwise push all others into a corner. The sign
    of a component is arbitrary; here its largest entry is positive, so that every machine draws one picture.
    """
    directions = F.normalize(features, dim=1)
    centre = directions.mean(dim=0)
    centred = (directions - centre).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, lengths, vectors = torch.svd_lowrank(centred, q=min(12, *centred.shape), niter=12)
    axes = F.pad(vectors[:, :2], (0, 2 - min(2, vectors.shape[1])))  # a single feature has one component
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    explained = F.pad(lengths[:2].square(), (0, 2 - min(2, len(lengths)))) / centred.square().sum().clamp_min(1e-12)
    return Plane(centre, axes.float(), (centred @ axes).float(), explained.float())


def embedding(run: Run) -> Plane:
    """The test images laid out by what the last layer is given; takes seconds, for it runs the network over them."""
    return plane(last_layer_inputs(run, test_images(run)))


def last_layer_inputs(run: Run, images: Tensor) -> Tensor:
    """What the last layer is given for images, uint8 (N, C, H, W): float32 (N, features)."""
    return torch.cat([last_features(found) for found in layers(run, images)])


# --- Weights ----------------------------------------------------------------------------------------------------


def parameters(weights: Run | nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a network by name, in its order, without what normalisation layers keep beside them.

    Parameters
    ----------
    weights : a run, whose final weights are taken; a network; or tensors by name.
    """
    if isinstance(weights, nn.Module):
        return {name: parameter.detach() for name, parameter in weights.named_parameters()}
    tensors = weights.final_weights if isinstance(weights, Run) else weights
    # As PyTorch calls them.
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] not in statistics}


def weight_names(weights: Run | nn.Module | Mapping[str, Tensor]) -> list[str]:
    """The names of the weight tensors, which a penalty is on: the parameters of two dimensions or more."""
    return [name for name, tensor in parameters(weights).items() if is_weight(tensor)]


def weight_statistics(weights: Run | nn.Module | Mapping[str, Tensor], near_zero: float = NEAR_ZERO) -> pd.DataFrame:
    """Statistics of every weight and bias tensor.

    Parameters
    ----------
    weights : as `parameters` takes them.
    near_zero : weights of smaller absolute value count as near zero.

    Returns
    -------
    A row per tensor, by name: `count`, `mean`, `std`, `skew` (third standardised moment, 0 for a symmetric tensor;
    NaN where all are equal), and the fractions `near_zero`, `near_zero_relative` (within a tenth of the standard
    deviation) and `negative`.
    """
    rows = {}
    for name, tensor in parameters(weights).items():
        values = tensor.double().flatten()
        mean, std = values.mean(), values.std(correction=0)
        rows[name] = {
            "count": values.numel(),
            "mean": mean.item(),
            "std": std.item(),
            "skew": (((values - mean) / std) ** 3).mean().item(),
            "near_zero": (values.abs() < near_zero).double().mean().item(),
            "near_zero_relative": (values.abs() < NEAR_ZERO_RELATIVE * std).double().mean().item(),
            "negative": (values < 0).double().mean().item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def dead_units(run: Run, images: Tensor) -> pd.DataFrame:
    """How many units of each hidden layer never respond: those whose activation is the same whatever they are shown.

    Parameters
    ----------
    images : uint8 (N, C, H, W); over few images, units that respond seldom count as dead.

    Returns
    -------
    A row per hidden layer, by name: `units` (channels, where a layer has maps) and how many of them are `dead`.
    """
    lowest: dict[str, Tensor] = {}
    highest: dict[str, Tensor] = {}
    for found in layers(run, images):
        for layer in hidden(found):
            values = layer.by_unit.movedim(1, 0).flatten(1)
            low, high = values.aminmax(dim=1)
            lowest[layer.name] = torch.minimum(lowest.get(layer.name, low), low)
            highest[layer.name] = torch.maximum(highest.get(layer.name, high), high)
    rows = {
        name: {"units": len(low), "dead": int((highest[name] - low <= 1e-6 * highest[name].abs()).sum())}
        for name, low in lowest.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


# --- Accuracies and their uncertainty ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Two runs, a and b, on the same test images; of what other seeds would give it says nothing.

    Attributes
    ----------
    a_name, b_name : of the experiments.
    count : test images.
    a_accuracy, b_accuracy : shares of them classified correctly.
    difference : a_accuracy - b_accuracy; `low` to `high` is what sampling of the test images alone gives at `level`.
    only_a, only_b : images that only the one run gets right.
    p_value : of McNemar's exact test that neither run is better.
    note : what the runs differ in beside their experiments, as a sentence; "" if that is nothing.
    """

    a_name: str
    b_name: str
    count: int
    a_accuracy: float
    b_accuracy: float
    difference: float
    low: float
    high: float
    level: float
    only_a: int
    only_b: int
    p_value: float
    note: str = ""

    def __str__(self) -> str:
        return (
            f"{self.a_name} {self.a_accuracy:.4f}, {self.b_name} {self.b_accuracy:.4f}: difference "
            f"{100 * self.difference:+.2f} points ({100 * self.level:g} % interval {100 * self.low:+.2f} to "
            f"{100 * self.high:+.2f}; McNemar p = {self.p_value:.2g})" + (f". {self.note}" if self.note else "")
        )


def compare_accuracies(a: Run, b: Run, level: float = 0.95) -> Comparison:
    """Compare two runs, image by image, on the test images that both were tested on.

    Raises
    ------
    RunError
        If the runs were tested on different images.
    """
    require_same_test_images(a, b)
    a_correct, b_correct = correct(a), correct(b)
    only_a = int((a_correct & ~b_correct).sum())
    only_b = int((b_correct & ~a_correct).sum())
    pair = statistics.one_pair(a_correct.int() - b_correct.int(), level=level)
    return Comparison(
        a_name=a.name,
        b_name=b.name,
        count=len(a_correct),
        a_accuracy=a_correct.double().mean().item(),
        b_accuracy=b_correct.double().mean().item(),
        difference=pair.value,
        low=pair.low,
        high=pair.high,
        level=level,
        only_a=only_a,
        only_b=only_b,
        p_value=statistics.mcnemar_p_value(only_a, only_b),
        note=differences_note([a, b]),
    )


def require_same_test_images(a: Run, b: Run) -> None:
    """Raise RunError unless two runs were tested on the same images in the same order."""
    fields = ("dataset", "data", "holdout", "test_size")
    differing = [field for field in fields if getattr(a.experiment, field) != getattr(b.experiment, field)]
    if differing:
        found = ", ".join(
            f"{field} {getattr(a.experiment, field)!r} and {getattr(b.experiment, field)!r}" for field in differing
        )
        raise RunError(
            f"{a.name} and {b.name} were tested on different images ({found}) and cannot be compared image by image; "
            "train both with the same of these"
        )
    if not torch.equal(a.labels, b.labels):
        raise RunError(
            f"{a.name} and {b.name} were tested on different copies of {a.experiment.dataset}; train one of them again"
        )
