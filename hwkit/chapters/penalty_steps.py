"""What one step of an optimiser makes of the L2 penalty, weight by weight."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor, nn

from hwkit import analysis, data, models, plots, theme
from hwkit.engine import optimizers
from hwkit.errors import RunError
from hwkit.experiment import RATES
from hwkit.findings.verdicts import OPTIMIZERS
from hwkit.formats import percent
from hwkit.runs import Run

BATCHES = 12  # whose gradients fill the moments before the step; Adam's first moment forgets in about ten
GROUPS = 10  # of weights, by the size of their gradient
MOMENTUM = 0.9  # of Muon; plain SGD has none
SMALLEST = 1e-9  # pull that is told from none


def pulls(run: Run, parameter: str | None = None, *, batches: int = BATCHES) -> pd.DataFrame:
    """Which part of each weight the penalty alone takes off in one step, under each optimiser.

    The network stays where it is while the optimiser's moments fill with the gradients of some batches. Then it takes
    one step with the penalty and, from the same place and moments filled without it, one step without. The difference
    of the two is the penalty's doing: the pull is minus its regression on the weights, over a group of weights.

    Parameters
    ----------
    run : a network that was trained with a penalty.
    parameter : the weight tensor; None is the largest of those that Muon moves, which are all but the last.
    batches : how many gradients, of the run's own training batches.

    Returns
    -------
    A row per optimiser and group of weights with a gradient: `optimizer`, `gradient` (the median of their root mean
    squares), `pull`, and `dead`, the fraction of all weights that have none.

    Raises
    ------
    RunError
        If the run has no penalty, or no such weight.
    """
    if not run.experiment.l2:
        raise RunError(f"{run.name} was trained without a penalty; give a run with one, such as cifar10-l2")
    model = run.model()
    weights = [name for name, tensor in model.named_parameters() if models.is_weight(tensor)]
    parameter = parameter or max(weights[:-1] or weights, key=lambda name: model.get_parameter(name).numel())
    if parameter not in weights:
        raise RunError(f"{run.name} has no weight {parameter!r}; it has {', '.join(weights)}")
    gradients = _gradients(run, model, batches)
    size = torch.stack([one[parameter] for one in gradients]).double().square().mean(dim=0).sqrt().flatten()
    alive = size.nonzero().squeeze(1)  # behind a dead unit a weight has no gradient at all
    groups = alive[size[alive].argsort()].chunk(GROUPS)
    weight = model.get_parameter(parameter).detach().double().flatten()
    rows = []
    for name in ("sgd", "adam", "adamw", "muon"):
        with_penalty, without = (_step(model, gradients, name, l2)[parameter] for l2 in (run.experiment.l2, 0.0))
        moved = (with_penalty.double() - without.double()).flatten()
        for group in groups:
            pull = -(moved[group] @ weight[group]) / weight[group].square().sum()
            found = {"gradient": size[group].median().item(), "pull": pull.item()}
            rows.append({"optimizer": name, **found, "dead": 1 - len(alive) / len(size)})
    return pd.DataFrame(rows)


def _gradients(run: Run, model: nn.Module, count: int) -> list[dict[str, Tensor]]:
    """The gradients of the cross-entropy of training batches, by the name of the parameter."""
    dataset = analysis.test_set(run)
    drawn = (data.epoch_batches(dataset, run.experiment, epoch=epoch, start=0) for epoch in itertools.count())
    found = []
    for images, labels in itertools.islice(itertools.chain.from_iterable(drawn), count):
        loss = F.cross_entropy(model(data.normalise(images, dataset)), labels)
        named = dict(model.named_parameters())
        found.append(dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True)))
    return found


def _step(model: nn.Module, gradients: Sequence[dict[str, Tensor]], name: str, l2: float) -> dict[str, Tensor]:
    """By how much the last of these gradients moves each parameter; those before fill the optimiser's moments."""
    moved = copy.deepcopy(model)
    momentum = MOMENTUM if name == "muon" else 0.0
    optimizer = optimizers.make(name, moved, models.is_weight, rate=RATES[name], l2=l2, momentum=momentum)
    for number, of_batch in enumerate(gradients):
        optimizers.set_rate(optimizer, RATES[name] if number == len(gradients) - 1 else 0.0)
        for parameter, tensor in moved.named_parameters():
            tensor.grad = of_batch[parameter].clone()
        optimizer.step()
    before = dict(model.named_parameters())
    return {parameter: (tensor - before[parameter]).detach() for parameter, tensor in moved.named_parameters()}


STYLES: dict[str, dict[str, Any]] = {
    "sgd": {"color": "#000000", "linestyle": ":", "marker": "D"},
    "adam": {"color": theme.RUN_COLOURS[4], "marker": "o"},
    "adamw": {"color": theme.NEUTRAL, "linestyle": (0, (4, 1.5)), "marker": "s"},
    "muon": {"color": theme.RUN_COLOURS[0], "linestyle": "-", "marker": "^"},
}


@plots.themed
def pull_figure(frame: pd.DataFrame) -> Figure:
    """The pull over the size of the gradient, on logarithmic axes, a line per optimiser.

    Parameters
    ----------
    frame : as `pulls` returns it.
    """
    drawn = theme.new_figure(height=5)
    ax = drawn.add_subplot()
    for name, rows in frame.groupby("optimizer", sort=False):
        ax.plot(rows["gradient"], rows["pull"].clip(lower=SMALLEST), label=OPTIMIZERS[str(name)], **STYLES[str(name)])
    ax.set(xscale="log", yscale="log", xlabel="size of a weight's gradient (root mean square over batches)")
    ax.set_ylabel("part of the weight\ntaken off in one step")
    ax.yaxis.set_major_locator(LogLocator(numticks=8))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    drawn.alt = f"Pull of the penalty over the size of the gradient. {_in_words(frame)}"
    return drawn


def pull_summary(run: Run, frame: pd.DataFrame) -> Markdown:
    """What the figure shows, and how long the penalty alone would take to halve a weight."""
    typical = frame.groupby("optimizer")["pull"].median().clip(lower=SMALLEST)
    halved = {name: float(np.log(2) / typical[name]) for name in ("sgd", "adam", "adamw", "muon")}
    steps, dead = run.metrics["iterations"], float(frame["dead"].iloc[0])
    left_out = (
        f" Left out are the {percent(dead)} of the weights that have no gradient here: under Adam the penalty moves "
        "them by the whole learning rate in every step."
        if dead
        else ""
    )
    idle = [OPTIMIZERS[name] for name, count in halved.items() if count > 5 * steps]
    verdict = f"in the {steps} steps of this training it could hardly act under {' or '.join(idle)}. " if idle else ""
    return Markdown(
        f"{_in_words(frame)} With λ = {run.experiment.l2:g} and a typical gradient, the penalty alone would halve a "
        f"weight within about {_rounded(halved['adam'])} steps of Adam, {_rounded(halved['muon'])} of Muon, "
        f"{_rounded(halved['sgd'])} of SGD and {_rounded(halved['adamw'])} of AdamW; {verdict}"
        f"One λ is another penalty under each.{left_out}"
    )


def _in_words(frame: pd.DataFrame) -> str:
    ratios = {}
    for name, rows in frame.groupby("optimizer", sort=False):
        pull = rows.sort_values("gradient")["pull"].clip(lower=SMALLEST).to_numpy()
        ratios[OPTIMIZERS[str(name)]] = pull[0] / pull[-1]
    alike = [name for name, ratio in ratios.items() if abs(ratio - 1) < 0.02]
    parts = (
        [f"{' and '.join(alike)} take{'s' if len(alike) == 1 else ''} the same part off every weight"] if alike else []
    )
    for name, ratio in ratios.items():
        if name not in alike:
            ends = ("smallest", "largest") if ratio > 1 else ("largest", "smallest")
            times = max(ratio, 1 / ratio)
            shown = f"{times:.2g}" if times < 100 else _rounded(times)
            parts.append(
                f"{name} takes {shown} times as much off the tenth of the weights with the {ends[0]} gradients as "
                f"off that with the {ends[1]}"
            )
    return f"{'; '.join(parts)}."


def _rounded(count: float) -> str:
    """A count in two significant digits, thousands separated."""
    digits = max(0, len(str(int(count))) - 2)
    return f"{round(count, -digits):,.0f}".replace(",", " ")
