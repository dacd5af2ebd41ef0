"""What a finished run got right and wrong, what its layers do with an image, what its weights look like, and whether
two runs differ by more than chance.

Everything here is a function of a run and of the images it was tested on; nothing is trained and nothing is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import data, runs, statistics
from hwkit.data import Dataset
from hwkit.datasets import sources, standin
from hwkit.engine.devices import resolve_device, resolve_precision
from hwkit.errors import RunError, did_you_mean
from hwkit.inference import BATCH_SIZE, predict
from hwkit.runs import Run, differences_note

# A weight smaller than this counts as near zero. One absolute number for every tensor, because two runs are compared
# by it and their initial weights need not be of one scale. Before training, between 0.5 % (conv1 of MNIST) and 6 %
# (fc1 of MNIST) of PyTorch's initial weights are as small as that.
NEAR_ZERO = 1e-3
TRAIN_INDEX = "train-correct.safetensors"  # in a run's folder: which training images it classifies correctly


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
    experiment = run.experiment
    dataset = data.load(
        experiment.dataset,
        experiment.data,
        train_size=experiment.train_size,
        test_size=experiment.test_size,
        holdout=experiment.holdout,
    )
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
        raise RunError(
            f"{run.folder} was tested on other images than the {sources.DATASETS[run.experiment.dataset].title} here; "
            "point HWKIT_DATA at the data it was trained with, or train it again"
        )


def class_names(run: Run) -> tuple[str, ...]:
    """The names of the ten classes, by label."""
    dataset = run.experiment.dataset
    return standin.CLASSES[dataset] if run.experiment.data == "stand-in" else sources.DATASETS[dataset].classes


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


def probabilities(run: Run) -> Tensor:
    """The softmax of the run's logits over the test images, float32 (N, 10)."""
    return run.logits.softmax(dim=1)


def predicted(run: Run) -> Tensor:
    """The class with the largest logit for each test image, int64 (N,)."""
    return run.logits.argmax(dim=1)


def correct(run: Run) -> Tensor:
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
    shares, found = probabilities(run), predicted(run)
    rows = torch.arange(len(run.labels))
    return pd.DataFrame(
        {
            "index": rows.numpy(),
            "label": run.labels.numpy(),
            "predicted": found.numpy(),
            "label_name": [names[label] for label in run.labels.tolist()],
            "predicted_name": [names[label] for label in found.tolist()],
            "predicted_probability": shares[rows, found].numpy(),
            "label_probability": shares[rows, run.labels].numpy(),
        }
    )


def mismatches(run: Run) -> pd.DataFrame:
    """The rows of `predictions` where the network is wrong, the most confident mistake first."""
    table = predictions(run)
    return _most_confident_first(table[table["label"] != table["predicted"]])


def confusion(run: Run) -> pd.DataFrame:
    """Counts of test images, int (10, 10): a row per true class, a column per predicted class, both by name."""
    names = class_names(run)
    counts = torch.bincount(run.labels * len(names) + predicted(run), minlength=len(names) ** 2)
    table = pd.DataFrame(counts.view(len(names), -1).numpy(), index=names, columns=names)
    return table.rename_axis(index="true", columns="predicted")


def per_class_accuracy(run: Run) -> pd.Series:
    """Share of each class's test images that are classified correctly, by class name; NaN for a class without any."""
    counts = confusion(run)
    correct = pd.Series(counts.to_numpy().diagonal(), index=counts.index)
    return (correct / counts.sum(axis="columns")).rename("accuracy").rename_axis("class")


def _most_confident_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `predictions` by falling probability of the prediction, then by index."""
    return table.sort_values(["predicted_probability", "index"], ascending=[False, True], ignore_index=True)


# --- Examples and pairs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Example:
    """A test image and what the network makes of it.

    Attributes
    ----------
    index : of the image in the test set.
    label, predicted : true and predicted class, with their names in `label_name` and `predicted_name`.
    probabilities : float32 (10,).
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
        """Whether the network is right."""
        return self.label == self.predicted

    @property
    def confidence(self) -> float:
        """The probability that the network gives to its prediction."""
        return self.probabilities[self.predicted].item()


@dataclass(frozen=True, eq=False)
class Pair:
    """A misclassified image, and a correctly classified one of the class that it was mistaken for.

    `similarity` is the cosine between the `hidden_features` of the two, from 0 to 1 in a network with ReLU.
    """

    mismatch: Example
    counterpart: Example
    similarity: float


def example(run: Run, index: int) -> Example:
    """The test image at an index, and what the network makes of it.

    Raises
    ------
    RunError
        If the test set has no such index.
    """
    count = len(run.labels)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise RunError(f"no test image {index!r}; this run was tested on {count} images, numbered 0 to {count - 1}")
    names = class_names(run)
    label, found = run.labels[index].item(), run.logits[index].argmax().item()
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
    correct : whether the network is right; None is either.
    skip : leave out the first so many that fit, to get to the next.

    Raises
    ------
    RunError
        If no image fits; the message says what there is in its place.
    """
    table = predictions(run)
    if label is not None:
        table = table[table["label"] == class_label(run, label)]
    of_label = table
    if predicted is not None:
        table = table[table["predicted"] == class_label(run, predicted)]
    if correct is not None:
        table = table[(table["label"] == table["predicted"]) == correct]
    if not 0 <= skip < len(table):
        raise RunError(_no_example(run, label, predicted, correct, skip, len(table), of_label))
    return example(run, int(_most_confident_first(table)["index"].iloc[skip]))


def _no_example(
    run: Run,
    label: int | str | None,
    predicted: int | str | None,
    correct: bool | None,
    skip: int,
    fitting: int,
    of_label: pd.DataFrame,
) -> str:
    """The message of `find_example` when it finds nothing."""
    names = class_names(run)
    wanted = "" if correct is None else "correctly classified " if correct else "misclassified "
    wanted += "test image"
    if label is not None:
        wanted += f" of class {names[class_label(run, label)]!r}"
    if predicted is not None:
        wanted += f" taken for {names[class_label(run, predicted)]!r}"
    if fitting or skip < 0:
        return f"skip={skip}: there are {fitting} such images ({wanted}), so skip can be 0 to {max(fitting - 1, 0)}"
    counts = of_label["predicted_name"].value_counts()
    exist = ", ".join(f"{name} ({count})" for name, count in counts.items()) or "none"
    whose = "test images" if label is None else "the test images of that class"
    return f"{run.name} has no {wanted}; {whose} were taken for: {exist}"


def pair(run: Run, index: int) -> Pair:
    """A misclassified image beside its counterpart.

    The counterpart is, among the correctly classified images of the class that the mismatch was mistaken for, the one
    whose `hidden_features` point most nearly the same way (largest cosine): the image that the convolutions can least
    tell from the mismatch.

    Raises
    ------
    RunError
        If the image at the index is classified correctly, or no image of the class it was mistaken for is.
    """
    mismatch = example(run, index)
    if mismatch.correct:
        raise RunError(f"test image {index} is no mismatch: it is a {mismatch.label_name!r} and taken for one")
    correct = ((run.labels == mismatch.predicted) & (predicted(run) == mismatch.predicted)).nonzero().squeeze(1)
    if not len(correct):
        raise RunError(f"no image of class {mismatch.predicted_name!r} is classified correctly, so {index} has no pair")
    images = test_images(run)
    features = hidden_features(run, images[torch.cat([torch.tensor([index]), correct])])
    similarities = torch.cosine_similarity(features[1:], features[:1])
    nearest = int(similarities.argmax())
    return Pair(mismatch, example(run, int(correct[nearest])), similarities[nearest].item())


def pairs(run: Run, count: int) -> list[Pair]:
    """Instructive pairs of a mismatch and its counterpart; fewer than `count` if there are not so many mismatches.

    Deterministic: the most confident mistakes, but first those whose combination of true and predicted class was not
    yet chosen, and among these the ones whose two classes were chosen least often.

    Raises
    ------
    RunError
        If count is negative.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise RunError(f"the number of pairs must be a whole number, 0 or more, not {count!r}")
    found = predicted(run)
    # A class without a single correct image, as after very short training, has no counterpart to offer.
    known = set(found[found == run.labels].tolist())
    left = [row for row in mismatches(run).itertuples(index=False) if row.predicted in known]
    combinations: list[tuple[int, int]] = []
    classes: list[int] = []
    chosen = []
    while left and len(chosen) < count:
        # min takes the first of equals, and the first is the most confident.
        best = min(
            left,
            key=lambda row: (
                combinations.count((row.label, row.predicted)),
                classes.count(row.label) + classes.count(row.predicted),
            ),
        )
        left.remove(best)
        combinations.append((best.label, best.predicted))
        classes += [best.label, best.predicted]
        chosen.append(pair(run, int(best.index)))
    return chosen


def confusions(run: Run, first: int | str, second: int | str) -> pd.DataFrame:
    """The mismatches between two classes, either way round, most confident first; rows of `predictions`."""
    between = [class_label(run, first), class_label(run, second)]
    table = mismatches(run)
    return table[table["label"].isin(between) & table["predicted"].isin(between)].reset_index(drop=True)


def confused_pair(runs: Sequence[Run], first: int | str, second: int | str) -> tuple[Run, Pair] | None:
    """The most confident mismatch between two classes of the first run that has one, beside its counterpart.

    None if no run confuses the two, or none that does recognises a single image of the class it takes it for.
    """
    for run in runs:
        found = predicted(run)
        known = set(found[found == run.labels].tolist())
        for row in confusions(run, first, second).itertuples(index=False):
            if row.predicted in known:
                return run, pair(run, int(row.index))
    return None


# --- Hidden layers ----------------------------------------------------------------------------------------------


def activations(run: Run, images: Tensor) -> dict[str, Tensor]:
    """What each convolution makes of images, after its activation function and before pooling.

    Parameters
    ----------
    images : uint8 (N, C, H, W).

    Returns
    -------
    By the layer's name, from the input on: float32 (N, channels, height, width)
    """
    model = run.model()
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in model.conv_layers}
    for layer, chunks in outputs.items():
        module = model.get_submodule(layer)
        module.register_forward_hook(lambda _, __, output, chunks=chunks: chunks.append(model.activation(output)))
    _forward(run, model, images)
    return {layer: torch.cat(chunks) for layer, chunks in outputs.items()}


def neighbour_correlation(maps: Tensor) -> Tensor:
    """How alike pixels beside each other are in maps, float (N, channels, h, w): float64 (N,), from -1 to 1.

    The correlation of each pixel with its right and lower neighbours, over all channels of an image that respond at
    all. Large patches of one colour have a correlation near 1; specks on a dark ground have one near 0.
    """
    values = maps.double()
    values = values - values.mean(dim=(2, 3), keepdim=True)
    variance = values.square().mean(dim=(2, 3))
    right = (values[..., :, 1:] * values[..., :, :-1]).mean(dim=(2, 3))
    below = (values[..., 1:, :] * values[..., :-1, :]).mean(dim=(2, 3))
    responds = variance > 0
    correlations = torch.where(responds, (right + below) / 2 / variance.clamp_min(1e-300), 0.0)
    return correlations.sum(dim=1) / responds.sum(dim=1).clamp_min(1)


def smoothness(run: Run, layer: str) -> float:
    """The `neighbour_correlation` of a layer's maps, averaged over all test images."""
    values = [neighbour_correlation(activations(run, chunk)[layer]) for chunk in test_images(run).split(500)]
    return torch.cat(values).mean().item()


def hidden_features(run: Run, images: Tensor) -> Tensor:
    """What the convolutions hand on to the first fully connected layer: pooled and flattened, float32 (N, features).

    Parameters
    ----------
    images : uint8 (N, C, H, W).
    """
    model = run.model()
    chunks: list[Tensor] = []
    model.get_submodule("fc1").register_forward_pre_hook(lambda _, inputs: chunks.append(inputs[0]))
    _forward(run, model, images)
    return torch.cat(chunks)


def hidden_layers(model: nn.Module) -> dict[str, Callable[[Tensor], Tensor]]:
    """Every layer between the images and the logits, and the activation function that its outputs go through."""
    linear = [name for name, module in model.named_children() if isinstance(module, nn.Linear)]
    return {**dict.fromkeys(model.conv_layers, model.activation), **dict.fromkeys(linear[:-1], F.relu)}


@torch.inference_mode()
def _forward(run: Run, model: nn.Module, images: Tensor) -> None:
    """Run images, uint8 (N, C, H, W), through a network for the sake of its hooks."""
    shape = (sources.DATASETS[run.experiment.dataset].channels, *(sources.DATASETS[run.experiment.dataset].size,) * 2)
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images) or tuple(images.shape[1:]) != shape:
        raise RunError(
            f"images must be uint8 (N, {', '.join(map(str, shape))}), not {images.dtype} {tuple(images.shape)}; "
            "one image needs image.unsqueeze(0)"
        )
    for chunk in images.split(BATCH_SIZE["cpu"]):
        model(data.normalise(chunk, run.experiment.dataset).contiguous(memory_format=torch.channels_last))


# --- Weights ----------------------------------------------------------------------------------------------------


def parameter_names(names: Iterable[str]) -> list[str]:
    """Names of parameters, each once, as the report lists them: layer by layer, the weight before the bias.

    A file of weights does not keep the network's order; the layers' own names sort into it.
    """
    return sorted(set(names), key=lambda name: (name.partition(".")[0], not name.endswith("weight"), name))


def weight_statistics(weights: Run | Mapping[str, Tensor], near_zero: float = NEAR_ZERO) -> pd.DataFrame:
    """Statistics of every weight and bias tensor.

    Parameters
    ----------
    weights : a run, whose final weights are taken, or tensors by name.
    near_zero : weights of smaller absolute value count as near zero.

    Returns
    -------
    A row per tensor, by name: `count`, `mean`, `std`, `skew` (third standardised moment, 0 for a symmetric tensor;
    NaN where all are equal), and the shares `near_zero` and `negative`.
    """
    tensors = weights.final_weights if isinstance(weights, Run) else weights
    rows = {}
    for name in parameter_names(tensors):
        values = tensors[name].double().flatten()
        mean, std = values.mean(), values.std(correction=0)
        rows[name] = {
            "count": values.numel(),
            "mean": mean.item(),
            "std": std.item(),
            "skew": (((values - mean) / std) ** 3).mean().item(),
            "near_zero": (values.abs() < near_zero).double().mean().item(),
            "negative": (values < 0).double().mean().item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def compare_weights(a: Run, b: Run, near_zero: float = NEAR_ZERO) -> pd.DataFrame:
    """Standard deviation, skew and the shares near zero and below it of every tensor, for two runs side by side.

    Returns
    -------
    A row per tensor that either run has; columns `(statistic, "a" or "b")`, NaN where a run lacks the tensor or its
    tensor has no such statistic.
    """
    columns = ["std", "skew", "near_zero", "negative"]
    tables = {side: weight_statistics(run, near_zero)[columns] for side, run in (("a", a), ("b", b))}
    order = parameter_names([*a.final_weights, *b.final_weights])
    joined = pd.concat(tables, axis="columns").swaplevel(axis="columns").reindex(order)
    return joined[[(column, side) for column in columns for side in tables]]


# --- Accuracies and their uncertainty ---------------------------------------------------------------------------


def accuracy_interval(run: Run, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for the run's test accuracy: how far chance in the choice of test images may have moved it.

    It says nothing of how the accuracy would move with another seed.
    """
    return statistics.wilson_interval(int(correct(run).sum()), len(run.labels), level)


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


def changed_mismatches(a: Run, b: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The mistakes that b adds to those of a, and those that it removes.

    Returns
    -------
    (added, removed) : images that only a gets right, with b's predictions, and images that only b gets right, with
        a's predictions; rows of `predictions`, the most confident mistake first.

    Raises
    ------
    RunError
        If the runs were tested on different images.
    """
    require_same_test_images(a, b)
    a_mismatches, b_mismatches = mismatches(a), mismatches(b)
    added = b_mismatches[~b_mismatches["index"].isin(a_mismatches["index"])]
    removed = a_mismatches[~a_mismatches["index"].isin(b_mismatches["index"])]
    return added.reset_index(drop=True), removed.reset_index(drop=True)
