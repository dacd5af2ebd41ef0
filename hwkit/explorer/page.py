"""The explorer's page: one HTML file with a test set, what networks make of it, and the networks themselves."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwkit import statistics
from hwkit.explorer import graph as graphs
from hwkit.explorer.graph import Graph
from hwkit.explorer.payload import FEW, Payload, columns_of, quantised, sprite
from hwkit.theme import CLASS_COLOURS

FOLDER = Path(__file__).parent / "page"
LIMITS = {1000: 3_000_000}  # bytes of a page with so many images; other numbers: 8 MB
STRONGEST = 8  # images kept for each channel
COMPONENTS = 16  # of the last hidden layer, for the map of the test set and for neighbours
ITERATIONS = 10  # towards them
MOST_INPUTS = 4096  # of a layer whose rounding errors are made up for: the work grows with their third power
FILM = 100_000  # weights, at most, of the first layers that are kept for each moment of a training
FILM_LEVELS = 31  # of these weights, which are looked at and do not decide a prediction
BATCH = 250  # images at a time

# Tried in this order until the page is small enough: quality of the images (None keeps every pixel), the step to whose
# multiples pixels are rounded, and levels of the weights (None is half precision).
PLANS = [(None, 1, levels) for levels in (None, 127, 110, 90, 75, 63, 45, 31)]
PLANS += [(None, step, levels) for levels in (127, 63, 31) for step in (2, 3, 4, 6)]
PLANS += [(None, 1, levels) for levels in (26, 22, 18, 15, 11, 7)]
PLANS += [(quality, 1, levels) for quality in (95, 85, 60) for levels in (127, 63, 31, 15, 7)]


@dataclass(frozen=True)
class Shown:
    """A network as the page shows it.

    Attributes
    ----------
    title : what it is called.
    model : from float (N, C, H, W) to logits (N, classes), in evaluation mode; None if only its logits are known.
    logits : float32 (N, classes), what it makes of the test images.
    moments : weights at iterations of its training, if they were kept.
    """

    title: str
    model: nn.Module | None
    logits: Tensor
    moments: dict[int, dict[str, Tensor]] = field(default_factory=dict)


def build(
    networks: Sequence[Shown],
    images: Tensor,
    labels: Tensor,
    names: Sequence[str],
    *,
    title: str,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    most: int = 1000,
    state: dict[str, Any] | None = None,
) -> str:
    """The page of one network, or of two beside each other, as the text of an HTML file.

    Parameters
    ----------
    images : of the test set, uint8 (N, C, H, W).
    labels : int64 (N,).
    names : of the classes.
    mean, std : of pixels in [0, 1], for all channels or for each: the networks take (pixel / 255 - mean) / std.
    most : how many images the page carries at most; misclassified ones come first.
    state : what is shown first, such as {"image": 17}; as in the page's address.
    """
    logits = torch.stack([network.logits for network in networks])
    wrong = (logits.argmax(dim=2) != labels).any(dim=0)
    chosen = choose(wrong, most, always=(state or {}).get("image"))
    images, shown_labels = images[chosen], labels[chosen]
    channels = images.shape[1]
    scale = [torch.as_tensor(value, dtype=torch.float32).expand(channels).view(-1, 1, 1) for value in (mean, std)]

    def prepared(pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - scale[0]) / scale[1]

    traced, problems = zip(*(_trace(network, tuple(images.shape[1:])) for network in networks), strict=True)
    films = sum(_bytes_of_film(one, graph, len(images)) for one, graph in zip(networks, traced, strict=True))
    limit = LIMITS.get(most, 8_000_000) * len(networks) - len(document(title, "")) - 5 * films // 4
    (quality, step, levels), file, seen = _plan(images.numpy(), traced, limit)

    payload = Payload()
    payload.about |= {
        "title": title,
        "names": list(names),
        "colours": list(CLASS_COLOURS),
        "shape": list(images.shape[1:]),
        "mean": scale[0].flatten().tolist(),
        "std": scale[1].flatten().tolist(),
        "ink": _ink(images),
        "images": {"count": len(images), "of": len(labels), "columns": columns_of(len(images), images.shape[3])},
        "quality": quality,
        "step": step,
        "state": state or {},
        "networks": [],
    }
    payload.add("sprite", np.frombuffer(file, np.uint8))
    payload.add("numbers", chosen.numpy(), "float32")
    payload.add("labels", shown_labels.numpy(), "uint16")
    batches = [prepared(chunk) for chunk in torch.from_numpy(np.array(seen)).split(BATCH)]
    for place, (network, graph, problem) in enumerate(zip(networks, traced, problems, strict=True)):
        about = _add_network(payload, f"{place}/", network, graph, labels, chosen, batches, levels)
        payload.about["networks"].append(about | {"problem": problem})
    if len(networks) == 2:
        payload.about["pairs"] = _pairs(*(logits.argmax(dim=2) == labels))
    return document(title, payload.encode())


def _pairs(a: Tensor, b: Tensor) -> dict[str, Any]:
    """How often both, one or neither of two networks are right, bool (N,) each, and what McNemar's test says."""
    only = [int((a & ~b).sum()), int((b & ~a).sum())]
    p = statistics.mcnemar_p_value(*only)
    return {"both": int((a & b).sum()), "only": only, "neither": int((~a & ~b).sum()), "p": p}


def choose(wrong: Tensor, most: int, always: int | None = None) -> Tensor:
    """Which images a page carries, int64 (N,), in their order: misclassified ones, half of all at most, and others.

    Evenly spread over the test set, so that the same ones are chosen of every run that errs on the same.
    """
    count = len(wrong)
    if count <= most:
        return torch.arange(count)
    candidates = wrong.nonzero().squeeze(1)
    first = _spread(candidates, most // 2)
    rest = (~wrong).nonzero().squeeze(1)
    chosen = torch.cat([first, _spread(rest, most - len(first))])
    if always is not None and always not in chosen:
        chosen[-1] = always
    return chosen.sort().values


def _spread(candidates: Tensor, most: int) -> Tensor:
    if len(candidates) <= most:
        return candidates
    return candidates[(torch.arange(most) * len(candidates)) // most]


def _trace(network: Shown, shape: tuple[int, ...]) -> tuple[Graph, str | None]:
    """A network's graph, and a sentence on what the page cannot do with it."""
    if network.model is None:
        return Graph(), (
            f"{network.title} is shown by its predictions alone: its network is not at hand; "
            "hwkit.load(..., model=...) brings it."
        )
    try:
        found = graphs.trace(network.model, shape)
    except Exception as error:  # torch.export raises whatever it meets
        reason = str(error).strip().partition("\n")[0][:200]
        return Graph(), f"{network.title} is shown by its predictions alone: its network cannot be traced ({reason})."
    if found.unknown:
        needs = "the layers before it are" if found.stages else "only predictions are"
        return found, f"This page cannot compute {', '.join(found.unknown)}; {needs} shown."
    return found, None


def _plan(
    images: np.ndarray, traced: Sequence[Graph], limit: int
) -> tuple[tuple[int | None, int, int | None], bytes, np.ndarray]:
    """The best plan that fits into a number of bytes, the file of the images and how they look in it."""
    tensors = [tensor for graph in traced for tensor in graph.parameters.values()]
    rest = 20_000 + 60 * len(images)  # what there is for each image
    for graph in traced:  # strongest images of each channel, and the axes of the map
        rest += sum((2 * STRONGEST + 4) * graph.nodes[stage.node]["shape"][0] for stage in graph.stages)
        rest += 0 if graph.features is None else (2 * COMPONENTS + 4) * graph.nodes[graph.features]["shape"][0]
    weights = {levels: sum(_bytes_of(tensor, levels) for tensor in tensors) for levels in {plan[2] for plan in PLANS}}
    sprites: dict[tuple[int | None, int], tuple[bytes, np.ndarray]] = {}
    for plan in PLANS:
        quality, step, levels = plan
        room = 4 / 5 * limit - rest - weights[levels]
        if room < 0.05 * images.size / (1 if quality is None else 4) and plan != PLANS[-1]:
            continue  # not worth trying
        if (quality, step) not in sprites:
            sprites[quality, step] = sprite(images, quality, step)
        if len(sprites[quality, step][0]) <= room:
            break
    return plan, *sprites[quality, step]


def _bytes_of(tensor: Tensor, levels: int | None) -> float:
    """About how many bytes a parameter takes: a Huffman code comes close to the entropy of its whole numbers."""
    if levels is None or tensor.numel() <= FEW or tensor.ndim < 2:
        return 2.0 * tensor.numel()
    counts = np.bincount(quantised(tensor.float().numpy(), levels)[0].astype(np.int64).ravel() + levels)
    shares = counts[counts > 0] / tensor.numel()
    return tensor.numel() * float(-(shares * np.log2(shares)).sum()) / 8 + 4 * len(tensor)


def _bytes_of_film(network: Shown, graph: Graph, images: int) -> int:
    """About how many bytes the moments of a training take."""
    if len(network.moments) <= 2:
        return 0
    weights = sum(_bytes_of(graph.parameters[name], FILM_LEVELS) for name in _film_weights(graph))
    return len(network.moments) * (math.ceil(weights) + 6 * images)


def _ink(images: Tensor) -> float:
    """What part of the side the marks of gray images on a black ground fill; 0 of other images.

    Of MNIST 20 / 28: drawings from outside are fitted into as much.
    """
    if images.shape[1] != 1:
        return 0.0
    some = images[:200, 0]
    border = torch.cat([some[:, 0], some[:, -1], some[:, :, 0], some[:, :, -1]], dim=1)
    if border.float().mean() > 0.05 * 255:
        return 0.0
    marked = some > 0.2 * 255
    sides = torch.stack([marked.any(dim=axis).sum(dim=1) for axis in (1, 2)]).amax(dim=0)
    return float(sides.median()) / some.shape[-1]


def _add_network(
    payload: Payload,
    prefix: str,
    network: Shown,
    graph: Graph,
    labels: Tensor,
    chosen: Tensor,
    batches: Sequence[Tensor],
    levels: int | None,
) -> dict[str, Any]:
    """Put a network, and what it makes of the images, into a payload; returns what the page reads of it as JSON."""
    predicted = network.logits.argmax(dim=1)
    classes = network.logits.shape[1]
    counts = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
    payload.add(f"{prefix}confusion", counts.numpy(), "float32")
    payload.add(f"{prefix}right", (predicted == labels)[chosen].numpy(), "uint8")
    payload.add(f"{prefix}predicted", predicted[chosen].numpy(), "uint16")
    payload.add(f"{prefix}logits", network.logits[chosen].numpy(), "float16")
    about: dict[str, Any] = {
        "title": network.title,
        "accuracy": float((predicted == labels).double().mean()),
        "nodes": graph.nodes,
        "stages": [vars(stage) for stage in graph.stages],
        "features": None,
        "levels": levels,
    }
    if not graph.nodes:
        return about
    moments = {} if graph.unknown or levels is None else _input_moments(graph, batches[0])
    kept = {
        name: payload.add_weights(f"{prefix}weight/{name}", tensor, levels, moments.get(name))
        for name, tensor in graph.parameters.items()
    }
    complete = not graph.unknown
    output = len(graph.nodes) - 1
    wanted = [stage.node for stage in graph.stages] if complete else []
    if complete and graph.features is not None:
        about["features"] = graph.features
        wanted.append(graph.features)
    found = _over(batches, graph, wanted)
    for stage in graph.stages if complete else []:
        largest = _by_channel(found[stage.node], "max")
        best = largest.topk(min(STRONGEST, len(largest)), dim=0).indices.T
        payload.add(f"{prefix}strongest/{stage.node}", best.numpy(), "uint16")
        payload.add(f"{prefix}largest/{stage.node}", largest.amax(dim=0).clamp(-60000, 60000).numpy(), "float16")
    if complete:
        again = _over(batches, graph.with_parameters(kept), [output])[output].argmax(dim=1)
        about["agreement"] = int((again == predicted[chosen]).sum())
    if complete and graph.features is not None:
        plane = _Plane.of(_by_channel(found[graph.features], "mean"))
        positions = plane.place(_by_channel(found[graph.features], "mean"))
        payload.add_weights(f"{prefix}places", positions.T.contiguous(), 127 if len(positions) > 2000 else None)
        payload.add(f"{prefix}axes", plane.axes.T.contiguous().numpy(), "float16")
        payload.add(f"{prefix}centre", plane.centre.numpy(), "float32")
        about["explained"] = plane.explained.tolist()
        if len(network.moments) > 2:
            about["film"] = _add_film(
                payload, f"{prefix}film/", network, graph, (labels[chosen], predicted[chosen]), batches, plane
            )
    return about


def _input_moments(graph: Graph, batch: Tensor) -> dict[str, np.ndarray]:
    """The mean products of the inputs of large layers, float64 (k, k), by the names of their weights."""
    layers = {}
    for node in graph.nodes:
        if node["op"] in ("convolution", "linear") and node.get("groups", 1) == 1:
            inputs = graph.parameters[node["weight"]][0].numel()
            if inputs <= MOST_INPUTS and graph.parameters[node["weight"]].numel() > FEW:
                layers[node["weight"]] = node
    moments = {}
    for name, node in layers.items():
        places = math.prod(node["shape"][1:])
        inputs = graph.parameters[name][0].numel()
        some = batch[: max(10, 20_000_000 // (places * inputs))]
        values = graph.values(some, node["inputs"])[node["inputs"][0]]
        if node["op"] == "convolution":
            window = {option: node[option] for option in ("dilation", "padding", "stride")}
            values = F.unfold(values.contiguous(), node["kernel"], **window).transpose(1, 2).flatten(0, 1)
        products = (values.T @ values / len(values)).double()
        if products.isfinite().all():
            moments[name] = products.numpy()
    return moments


def _over(batches: Sequence[Tensor], graph: Graph, nodes: Sequence[int]) -> dict[int, Tensor]:
    """Values of nodes for all images; of maps the maximum and the mean of each, (N, channels, 2)."""
    parts: dict[int, list[Tensor]] = {node: [] for node in nodes}
    for batch in batches:
        for node, values in graph.values(batch, nodes).items():
            if values.dim() == 4:
                values = torch.stack([values.amax(dim=(2, 3)), values.mean(dim=(2, 3))], dim=2)
            parts[node].append(values)
    return {node: torch.cat(values) for node, values in parts.items()}


def _by_channel(values: Tensor, reduction: str) -> Tensor:
    """One number for each image and channel, float32 (N, channels)."""
    if values.dim() == 3:
        return values[:, :, 0 if reduction == "max" else 1]
    return values


@dataclass
class _Plane:
    """The principal components of the directions of features."""

    centre: Tensor
    axes: Tensor
    explained: Tensor

    @classmethod
    def of(cls, features: Tensor) -> _Plane:
        """Of features, float32 (N, features); the largest entry of each axis is positive, so that signs are settled."""
        # Directions alone: an image that excites everything strongly would push all others into a corner.
        directions = F.normalize(features, dim=1)
        centre = directions.mean(dim=0)
        centred = directions - centre
        # All components of thousands of features would take minutes. The random start is the same every time.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _, spreads, axes = torch.pca_lowrank(
                centred, min(2 * COMPONENTS, *centred.shape), center=False, niter=ITERATIONS
            )
        axes = axes[:, :COMPONENTS]
        axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
        return cls(centre, axes, spreads[:2] ** 2 / centred.square().sum().clamp_min(1e-12))

    def place(self, features: Tensor) -> Tensor:
        """Where features lie, float32 (N, components)."""
        return (F.normalize(features, dim=1) - self.centre) @ self.axes


def _add_film(
    payload: Payload,
    prefix: str,
    network: Shown,
    graph: Graph,
    ends: tuple[Tensor, Tensor],
    batches: Sequence[Tensor],
    plane: _Plane,
) -> dict[str, Any]:
    """Put the moments of a training into a payload: predictions, places, and the weights of the first layers.

    ends : labels, and what the finished run predicts, int64 (N,) each.
    """
    output, features = len(graph.nodes) - 1, graph.features
    assert features is not None
    small = _film_weights(graph)
    predicted, places = [], []
    for iteration, weights in network.moments.items():
        known = {name: weights[name] for name in graph.parameters if name in weights}
        found = _over(batches, graph.with_parameters(known), [output, features])
        predicted.append(found[output].argmax(dim=1))
        places.append(plane.place(_by_channel(found[features], "mean"))[:, :2])
        for name in small:
            payload.add_weights(f"{prefix}{iteration}/{name}", known[name], FILM_LEVELS)
    labels, predicted[-1] = ends  # the last moment is the finished run: its own predictions, whatever rounding does
    payload.add(f"{prefix}predicted", torch.stack(predicted).numpy(), "uint16")
    payload.add(f"{prefix}places", torch.stack(places).numpy(), "float16")
    accuracies = (torch.stack(predicted) == labels).double().mean(dim=1)
    return {"iterations": list(network.moments), "accuracies": accuracies.tolist(), "weights": small}


def _film_weights(graph: Graph) -> list[str]:
    """The parameters of the first convolutions, `FILM` weights at most, which a film has at every moment."""
    names, total = [], 0
    for node in graph.nodes:
        name = node.get("weight", "")
        if node["op"] == "convolution" and total + graph.parameters[name].numel() <= FILM:
            names += [name, *([node["bias"]] if "bias" in node else [])]
            total += graph.parameters[name].numel()
        elif node["op"] in ("convolution", "linear"):
            break
    return names


def document(title: str, payload: str, entry: str = "main.js") -> str:
    """A page as one HTML file that needs nothing else; `entry` is the module of its script that comes first."""
    style, code = _assets(entry)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head><body>"
        '<main id="app" aria-busy="true"><p class="loading">Opening …</p></main>'
        f'<script type="text/plain" id="payload">{payload}</script>'
        f'<script id="code">{code}</script></body></html>'
    )


def _assets(entry: str) -> tuple[str, str]:
    """The page's style and code."""
    return (FOLDER / "page.css").read_text(encoding="utf-8"), bundle(FOLDER / entry)


def bundle(entry: Path) -> str:
    """An ES module and all that it imports, as one script.

    Modules of this package import names from each other, "import { a, b } from './c.js'", and give no name twice.
    """
    seen: dict[Path, str] = {}

    def visit(path: Path) -> None:
        if path in seen:
            return
        seen[path] = ""  # in a circle, whoever comes first waits for functions only
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r'^import [^;]*? from "(\./[\w.]+)";', text, re.MULTILINE):
            visit(path.parent / name)
        text = re.sub(r"^import [^;]*;\n", "", text, flags=re.MULTILINE)
        del seen[path]
        seen[path] = re.sub(r"^export ", "", text, flags=re.MULTILINE)

    visit(entry)
    # In a script, "</script" would end it.
    return ('(() => {"use strict";\n' + "\n".join(seen.values()) + "})();").replace("</script", "<\\/script")
