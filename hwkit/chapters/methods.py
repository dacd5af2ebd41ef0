"""The report's methods in tables: data, layers, settings and how these were chosen, and a training that is resumed."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from IPython.display import Markdown
from torch import Tensor

from hwkit import models, paths, training
from hwkit.callbacks import TEST_SAMPLE, Callback
from hwkit.chapters.smaller_filters import receptive_fields
from hwkit.data import Dataset
from hwkit.datasets import known_facts
from hwkit.engine.layers import layers_of
from hwkit.experiment import Experiment
from hwkit.findings.reference import markdown_table
from hwkit.findings.verdicts import OPTIMIZERS
from hwkit.formats import enumerated, percent

SCHEDULES = "docs/schedules.csv"  # in the project, as `python -m hwkit.bench.schedules` writes it


def data_table(*datasets: Dataset) -> pd.DataFrame:
    """Images, sizes and classes of data sets, a row per data set."""
    rows = {}
    for dataset in datasets:
        facts = known_facts(dataset.name)
        rows[facts.title + ("" if dataset.source != "stand-in" else " (drawn stand-in)")] = {
            "training images": f"{len(dataset.train_labels):,}",
            "test images": f"{len(dataset.test_labels):,}",
            "size": f"{facts.shape[2]}×{facts.shape[1]}, {'gray' if facts.channels == 1 else 'RGB'}",
            "classes": f"{len(dataset.classes)}: {', '.join(dataset.classes[:2])}, ..., {dataset.classes[-1]}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("data set")


def layer_table(*experiments: Experiment) -> pd.DataFrame:
    """The weighted layers of the networks of experiments, a row per layer.

    The output is that after the activation and, with an arrow, after pooling. Multiply-adds are those of one image. The
    receptive field, in pixels, is what one value of the output before pooling depends on.
    """
    rows = []
    for experiment in experiments:
        facts = known_facts(experiment.dataset)
        model = models.build(experiment).eval()
        found, fields = layers_of(model, torch.zeros(1, *facts.shape)), receptive_fields(model, facts.shape)
        for layer, after in zip(found, [*found[1:], None], strict=True):
            weight = getattr(layer.module, "weight", None)
            assert isinstance(weight, Tensor)
            places = layer.activation.shape[-2:].numel() if layer.has_maps else 1
            output = "×".join(map(str, layer.activation.shape[1:]))
            if layer.has_maps:
                pooled = _pooling(layer.activation, after and after.inputs)
                if pooled > 1:
                    size = "×".join(str(side // pooled) for side in layer.activation.shape[2:])
                    output += f" → {layer.activation.shape[1]}×{size}"
            rows.append(
                {
                    "network": facts.title,
                    "layer": layer.name,
                    "kernel": "×".join(map(str, weight.shape[2:])) if layer.has_maps else "–",
                    "output": output,
                    "parameters": f"{sum(parameter.numel() for parameter in layer.module.parameters()):,}",
                    "multiply-adds": f"{weight.numel() * places:,}",
                    "receptive field": str(fields[layer.name]) if layer.has_maps else "whole image",
                }
            )
    frame = pd.DataFrame(rows)
    frame["network"] = frame["network"].where(~frame["network"].duplicated(), "")
    return frame.set_index("network")


def _pooling(maps: Tensor, inputs: Tensor | None) -> int:
    """The side of the squares that are pooled between maps, (1, C, H, W), and what the next layer is given."""
    if inputs is None:
        return 1
    left = inputs.numel() / maps.shape[1]
    return max(1, int(math.sqrt(maps[0, 0].numel() / left))) if left else 1


def settings_table(*experiments: Experiment) -> pd.DataFrame:
    """How experiments are trained, a column per experiment's data set and a row per setting."""
    columns = {}
    for one in experiments:
        columns[known_facts(one.dataset).title] = {
            "optimiser": OPTIMIZERS[one.optimizer],
            "learning rate, peak": f"{one.learning_rate:g}",
            "learning rate, course": one.schedule.replace("-", " "),
            "momentum": f"{one.momentum:g}, Nesterov"
            if one.optimizer in ("muon", "sgd")
            else "0.9 and 0.999 (Adam's β)",
            "batch size": f"{one.batch_size}",
            "epochs": f"{one.epochs:.3g} ({one.iterations:,} steps)",
            "training images": f"{one.train_count:,}",
            "penalty λ, where there is one": "0.001, on weights and not on biases",
            "dropout before the last layer": f"{one.dropout:g}" if one.dropout else "none",
            "augmentation": "flips and grayscale" if one.augment else "none",
            "initial weights": {"pytorch": "PyTorch's default"}.get(one.initialisation, one.initialisation),
        }
    return pd.DataFrame(columns).rename_axis("setting")


def optimizer_sentence(*experiments: Experiment) -> Markdown:
    """Which optimiser trains which data set, and why it is Muon where it is."""
    by: dict[str, list[str]] = {}
    for one in experiments:
        by.setdefault(one.optimizer, []).append(known_facts(one.dataset).title)
    said = [f"{OPTIMIZERS[name]} trains the networks of {enumerated(titles)}" for name, titles in by.items()]
    text = f"{enumerated(said)}."
    if "muon" in by:
        text += (
            " Muon [@jordan2024muon] takes the momentum of each weight matrix, of a convolution the matrix of its "
            "filters, and makes it orthogonal before it steps, so that no direction of the matrix dominates; biases "
            "and the last layer are left to Adam. It is used where it reaches a given accuracy in far fewer epochs."
        )
    if "adam" in by or "muon" in by:
        text += (
            " Under Adam [@kingma2015] a penalty's gradient is divided by the size of recent gradients like any "
            "other, so it is not the weight decay of that name [@loshchilov2019]."
        )
    return Markdown(text)


def schedule_evidence() -> Markdown:
    """The accuracies on held-out training images by which the schedules were chosen; empty where no file has them."""
    path = paths.project_root() / SCHEDULES
    if not path.is_file():
        return Markdown("")
    frame: Any = pd.read_csv(path)
    plain = frame[frame["experiment"].isin(["mnist", "cifar10"]) & frame["part"].isin(["CIFAR-10, epochs", "MNIST"])]
    recipe = ["experiment", "optimizer", "learning_rate"]
    table = plain.drop_duplicates([*recipe, "epochs"]).pivot(index=recipe, columns="epochs", values="accuracy")
    table = table.sort_index(ascending=[True, False, False]).map(
        lambda value: "–" if pd.isna(value) else percent(value)
    )
    table.columns = [f"{epochs:g} epoch{'s' * (epochs != 1)}" for epochs in table.columns]
    shown = table.reset_index().astype(str)
    shown["experiment"] = [known_facts(name).title for name in shown["experiment"]]
    shown["optimizer"] = shown["optimizer"].map(OPTIMIZERS)
    shown = shown.rename(columns=dict(zip(recipe, ("data set", "optimiser", "peak rate"), strict=True)))
    caption = (
        "Accuracy of the plain networks on training images that were held out, by optimiser, peak learning rate and "
        "length of training."
    )
    return Markdown(f"{markdown_table(shown)}\n\n: {caption} {{#tbl-methods-schedules}}")


def reading_sentence(accuracies: Sequence[float]) -> Markdown:
    """How far a reading of test accuracy during training lies from the truth by chance, at some accuracies."""
    errors = [f"{100 * math.sqrt(p * (1 - p) / TEST_SAMPLE):.1f} points at {percent(p, 0)}" for p in accuracies]
    return Markdown(
        f"A reading on {TEST_SAMPLE} images has a standard error of {enumerated(errors)}, which is the scatter of "
        "the dots in the curves of the next chapters. No comparison rests on such readings: the accuracies that are "
        "compared are taken over all test images once training has ended."
    )


def parameter_counts(*experiments: Experiment) -> pd.DataFrame:
    """Parameters of the networks of experiments: a row per tensor and the total, a column per network."""
    counts = {one.name: {name: p.numel() for name, p in models.build(one).named_parameters()} for one in experiments}
    frame = pd.DataFrame(counts)
    frame.loc["total"] = frame.sum()
    return frame.map(lambda count: "–" if pd.isna(count) else f"{int(count):,}").rename_axis("parameter")


# --- A training that is interrupted ------------------------------------------------------------------------------


def weights_after(experiment: Experiment, *sessions: Sequence[Callback]) -> dict[str, Tensor]:
    """The trained weights of an experiment that is trained in a store of its own, in one session after the other.

    Parameters
    ----------
    sessions : the callbacks of each session; all but the last one end with a RuntimeError.
    """
    before = os.environ.get("HWKIT_HOME")
    with tempfile.TemporaryDirectory(prefix="hwkit-") as folder:
        os.environ["HWKIT_HOME"] = folder
        try:
            for callbacks in sessions[:-1]:
                try:
                    training.train(experiment, callbacks=callbacks, device="cpu", progress=False)
                except RuntimeError:
                    continue
            run = training.train(experiment, callbacks=sessions[-1], device="cpu", progress=False)
            return dict(run.final_weights)
        finally:
            if before is None:
                del os.environ["HWKIT_HOME"]
            else:
                os.environ["HWKIT_HOME"] = before


def difference_sentence(a: dict[str, Tensor], b: dict[str, Tensor]) -> Markdown:
    """By how much the weights of a training in one session and of one in two differ."""
    largest = max((a[name] - b[name]).abs().max().item() for name in a)
    count = sum(tensor.numel() for tensor in a.values())
    same = "they are the same, bit for bit" if largest == 0 else "they are not the same"
    return Markdown(
        f"The largest difference between the {count:,} weights of the uninterrupted and of the resumed training is "
        f"{largest:g}: {same}."
    )
