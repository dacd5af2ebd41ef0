"""How compared differences depend on the length of training and on the optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from hwkit import plots, statistics, theme
from hwkit.errors import ExperimentError
from hwkit.experiment import Experiment, named_experiment
from hwkit.findings import verdicts
from hwkit.findings.verdicts import Claim, Finding
from hwkit.formats import enumerated, percent, points
from hwkit.parallel import train_all
from hwkit.runs import Run
from hwkit.statistics import MINIMUM_SEEDS, Interval, OnePair
from hwkit.training import with_seeds


@dataclass(frozen=True)
class Difference:
    """Two recipes that differ in one thing, which `a` has and `b` has not, and a claim on their test accuracy."""

    name: str
    a: str
    b: str
    claim: Claim


DIFFERENCES = (
    Difference("the L2 penalty", "cifar10-l2", "cifar10", Claim("the L2 penalty lowers accuracy", "lower")),
    Difference("SELU", "cifar10-selu", "cifar10-l2", Claim("SELU lowers accuracy", "lower")),
    Difference("augmentation", "cifar10", "cifar10-noaug", Claim("augmentation raises accuracy", "higher")),
    Difference(
        "average pooling",
        "cifar10-avgpool",
        "cifar10-l2",
        Claim("average pooling is as accurate as maximum pooling", "same", 0.01, "as in its own chapter"),
    ),
)
NAMES = tuple(dict.fromkeys(name for one in DIFFERENCES for name in (one.b, one.a)))
OPTIMIZERS = ("muon", "adam")
SHORTER = (1.0,)  # epochs, beside the profile's own length
EVALUATIONS = 7  # on the way, where the profile has none

Place = tuple[str, str, float]  # name of the experiment, optimiser, epochs


# --- What is trained --------------------------------------------------------------------------------------------


def lengths(profile: str) -> tuple[float, ...]:
    """The lengths of training, in epochs; the last is the profile's own."""
    return (*SHORTER, named_experiment("cifar10", profile).epochs)


def experiments(profile: str, epochs: Sequence[float] | None = None, **options: Any) -> dict[Place, Experiment]:
    """Every network under every optimiser and length; those that the report has anyway are the report's own.

    Parameters
    ----------
    epochs : the lengths of training; None is those of `lengths`.
    options : fields of `Experiment`; None keeps the profile's value.

    Raises
    ------
    ExperimentError
        If there is no length, or an option is wrong.
    """
    epochs = sorted(set(lengths(profile) if epochs is None else epochs))
    if not epochs:
        raise ExperimentError("epochs must list one length of training or more, such as [0.5, 1, 4]")
    evaluations = named_experiment("cifar10", profile).evaluations or EVALUATIONS
    options = {"evaluations": evaluations, **options}
    return {
        (name, optimizer, length): named_experiment(name, profile, optimizer=optimizer, epochs=length, **options)
        for length in epochs
        for optimizer in OPTIMIZERS
        for name in NAMES
    }


def train(
    planned: Mapping[Place, Experiment], seeds: int | None = None, *, device: str = "auto"
) -> dict[Place, list[Run]]:
    """The runs of every place, of each seed; those that are finished are loaded.

    Parameters
    ----------
    planned : as `experiments` returns them.
    seeds : how many, as in `training.with_seeds`.
    """
    by_place = {place: with_seeds([one], seeds, device) for place, one in planned.items()}
    trained = iter(train_all([one for of_seeds in by_place.values() for one in of_seeds], device=device))
    return {place: [next(trained) for _ in of_seeds] for place, of_seeds in by_place.items()}


# --- What is measured -------------------------------------------------------------------------------------------


def differences(runs: Mapping[Place, Sequence[Run]]) -> pd.DataFrame:
    """The compared differences in test accuracy at every moment at which all test images were classified.

    Parameters
    ----------
    runs : as `train` returns them.

    Returns
    -------
    A row per difference, optimiser, length of training and moment: `difference`, `optimizer`, `length` (epochs in all),
    `epochs` (so far), `value` with its interval `low` to `high`, and `end`, whether the training ends there. With one
    seed the interval is that of the choice of images alone.
    """
    rows = []
    for one in DIFFERENCES:
        for optimizer, length in dict.fromkeys(place[1:] for place in runs):
            of_a, of_b = verdicts.replicates(runs[one.a, optimizer, length], runs[one.b, optimizer, length])
            for moment in of_a[0].predicted_at:
                right = [np.stack([_correct_at(run, moment) for run in side]) for side in (of_a, of_b)]
                found = _interval(right[0] - right[1])
                place = {"difference": one.name, "optimizer": optimizer, "length": length}
                experiment = of_a[0].experiment
                so_far = {"epochs": moment / experiment.batches_per_epoch, "end": moment == experiment.iterations}
                rows.append({**place, **so_far, "value": found.value, "low": found.low, "high": found.high})
    return pd.DataFrame(rows).sort_values(["difference", "optimizer", "length", "epochs"], ignore_index=True)


def findings(runs: Mapping[Place, Sequence[Run]]) -> dict[str, list[Finding]]:
    """The claims of `DIFFERENCES` under each optimiser at the longest training, by the optimiser."""
    longest = max(length for *_, length in runs)
    return {
        optimizer: [
            verdicts.accuracy(one.claim, list(runs[one.a, optimizer, longest]), list(runs[one.b, optimizer, longest]))
            for one in DIFFERENCES
        ]
        for optimizer in OPTIMIZERS
    }


def interactions(runs: Mapping[Place, Sequence[Run]]) -> list[Interval | OnePair]:
    """By how much each difference is larger under Muon than under Adam at the longest training."""
    longest = max(length for *_, length in runs)
    found = []
    for one in DIFFERENCES:
        sides = []
        for optimizer in OPTIMIZERS:
            of_a, of_b = verdicts.replicates(
                list(runs[one.a, optimizer, longest]), list(runs[one.b, optimizer, longest])
            )
            ends = [np.stack([_correct_at(run, max(run.predicted_at)) for run in side]) for side in (of_a, of_b)]
            sides.append(ends[0] - ends[1])
        found.append(_interval(sides[0] - sides[1], runs=4))
    return found


def _correct_at(run: Run, moment: int) -> np.ndarray:
    """Whether each test image was classified correctly at a moment, as a number: float64 (N,)."""
    return (run.predicted_at[moment] == run.labels).double().numpy()


def _interval(difference: np.ndarray, runs: int = 2) -> Interval | OnePair:
    """What differences (seeds, images) give."""
    if len(difference) < MINIMUM_SEEDS:
        return statistics.one_pair(difference[0], runs=runs)
    return statistics.crossed_interval(difference)


# --- In words ---------------------------------------------------------------------------------------------------


def claim_table(runs: Mapping[Place, Sequence[Run]]) -> pd.DataFrame:
    """The claims under each optimiser, with difference, interval and verdict, and what tells the optimisers apart."""
    found, between = findings(runs), interactions(runs)
    titles = {name: verdicts.OPTIMIZERS[name] for name in OPTIMIZERS}
    rows = []
    for number, one in enumerate(DIFFERENCES):
        row = {"claim": one.claim.text}
        for optimizer, title in titles.items():
            finding = found[optimizer][number]
            verdict = "" if finding.verdict == "one pair" else f": {finding.verdict}"
            row[f"under {title}"] = _with_ends(finding.estimate) + verdict
        row[" − ".join(titles.values())] = _with_ends(between[number])
        rows.append(row)
    return pd.DataFrame(rows).set_index("claim")


def reading_of_lengths(frame: pd.DataFrame) -> Markdown:
    """What the length of training does to the sign of each difference, a sentence per optimiser.

    Parameters
    ----------
    frame : as `differences` returns it.
    """
    ends: Any = frame[frame["end"]]
    sentences = []
    for optimizer in OPTIMIZERS:
        clauses: dict[str, list[str]] = {}
        for one in DIFFERENCES:
            chosen = (ends["difference"] == one.name) & (ends["optimizer"] == optimizer)
            clauses.setdefault(_course(ends[chosen]), []).append(one.name)
        parts = [text.format(enumerated(names), s="s" if len(names) == 1 else "") for text, names in clauses.items()]
        sentences.append(f"Under {verdicts.OPTIMIZERS[optimizer]}, {'; '.join(parts)}.")
    return Markdown(" ".join(sentences))


def reading_of_courses(frame: pd.DataFrame) -> Markdown:
    """What becomes of the first difference seen in the longest training, at its end; a sentence per optimiser.

    Parameters
    ----------
    frame : as `differences` returns it.
    """
    sentences = []
    for optimizer in OPTIMIZERS:
        turned, faded = [], []
        for one in DIFFERENCES:
            chosen: Any = frame[(frame["difference"] == one.name) & (frame["optimizer"] == optimizer)]
            rows = chosen[chosen["length"] == chosen["length"].max()].sort_values("epochs").to_dict("records")
            first, last = next((row for row in rows if _sign(row)), rows[-1]), rows[-1]
            if _sign(first) == -_sign(last) != 0:
                turned.append(
                    f"{one.name} ({_signed(first)} after {first['epochs']:.2f} epochs, {_signed(last)} at the end)"
                )
            elif _sign(first) and not _sign(last):
                faded.append(f"{one.name} ({_signed(first)} after {first['epochs']:.2f} epochs)")
        parts = [f"the sign changes for {enumerated(turned)}"] if turned else []
        if faded:
            parts.append(f"an early difference fades until it cannot be told from zero for {enumerated(faded)}")
        parts = parts or ["no difference that is seen early changes its sign or fades"]
        sentences.append(f"In the longest training under {verdicts.OPTIMIZERS[optimizer]}, {'; '.join(parts)}.")
    return Markdown(" ".join(sentences))


def _sign(row: Mapping[str, Any]) -> int:
    """1 or -1 where the interval of a row excludes zero, else 0."""
    return 1 if row["low"] > 0 else -1 if row["high"] < 0 else 0


def _signed(row: Mapping[str, Any]) -> str:
    return points(row["value"], sign=True)


def _course(ends: pd.DataFrame) -> str:
    """What becomes of a difference from the shortest training to the longest: a clause with a place for its name."""
    rows = ends.sort_values("length").to_dict("records")
    signs = [_sign(row) for row in rows]
    signed = [number for number, sign in enumerate(signs) if sign]
    if not signed:
        return "the difference that {0} make{s} cannot be told from zero at any length"
    first, last = signed[0], signed[-1]
    verbs = {1: "raise{s} accuracy", -1: "lower{s} accuracy"}
    if signs[first] != signs[last]:
        turned = signs.index(signs[last])
        return f"{{0}} {verbs[signs[first]]} {_after(rows[first])} and {verbs[signs[last]]} {_after(rows[turned])}"
    if len(signed) == len(signs):
        return f"{{0}} {verbs[signs[first]]} at every length"
    where = enumerated([_after(rows[number]) for number in signed])
    open_ = enumerated([_epochs(row["length"]) for row, sign in zip(rows, signs, strict=True) if not sign])
    return f"{{0}} {verbs[signs[first]]} {where}, and make{{s}} no difference that can be told from zero after {open_}"


def _after(row: Mapping[str, Any]) -> str:
    return f"after {_epochs(row['length'])} (by {points(abs(row['value']))})"


def _epochs(length: float) -> str:
    return "one epoch" if length == 1 else f"{length:.3g} epochs"


def reading_of_optimizers(runs: Mapping[Place, Sequence[Run]]) -> Markdown:
    """Which claims hold under both optimisers and which under one, and whether the effects themselves differ."""
    found, between = findings(runs), interactions(runs)
    muon, adam = (verdicts.OPTIMIZERS[name] for name in OPTIMIZERS)
    outcomes = list(zip(*([_holds(one) for one in found[name]] for name in OPTIMIZERS), strict=True))
    claims = [one.claim.text for one in DIFFERENCES]
    groups = {
        "{0} under both optimisers": [c for c, o in zip(claims, outcomes, strict=True) if o == (True, True)],
        f"{{0}} under {muon}, but not under {adam}": [
            c for c, o in zip(claims, outcomes, strict=True) if o == (True, False)
        ],
        f"{{0}} under {adam}, but not under {muon}": [
            c for c, o in zip(claims, outcomes, strict=True) if o == (False, True)
        ],
        "neither of them supports that {0}": [c for c, o in zip(claims, outcomes, strict=True) if o == (False, False)],
    }
    parts = [text.format(enumerated(texts)) for text, texts in groups.items() if texts]
    schedule = found[OPTIMIZERS[0]][0]
    scope = "In these pairs of networks" if schedule.verdict == "one pair" else "At the longest training"
    apart = [
        f"{one.name} ({points(found.value, sign=True)})"
        for one, found in zip(DIFFERENCES, between, strict=True)
        if found.low > 0 or found.high < 0
    ]
    told = (
        f"The effect itself differs between the optimisers, beyond what chance gives, for {enumerated(apart)}; the "
        f"number is the effect under {muon} less that under {adam}."
        if apart
        else "For none of the four does the interval of the difference between the optimisers exclude zero: where a "
        "claim holds under one of them only, that alone does not show that they differ."
    )
    return Markdown(f"{scope}, {'; '.join(parts)}. {told}")


def _holds(finding: Finding) -> bool:
    """Whether a claim is supported, or, of one pair of networks, whether its images alone would support it."""
    if isinstance(finding.estimate, Interval):
        return finding.verdict in ("supported", "the same")
    low, high, claim = finding.estimate.low, finding.estimate.high, finding.claim
    if claim.expected == "same":
        return -claim.margin < low and high < claim.margin
    return low > 0 if claim.expected == "higher" else high < 0


def reading_of_schedules(runs: Mapping[Place, Sequence[Run]]) -> Markdown:
    """What the long training has reached where a shorter one ends: the schedules differ, not only their lengths."""
    name, optimizer = "cifar10", OPTIMIZERS[0]
    short, long = sorted({length for *_, length in runs})[-2:]
    of_short, of_long = list(runs[name, optimizer, short]), list(runs[name, optimizer, long])
    per_epoch = of_long[0].experiment.batches_per_epoch
    moment = min(of_long[0].predicted_at, key=lambda iteration: abs(iteration / per_epoch - short))
    ended = np.mean([run.test_accuracy for run in of_short])
    passing = np.mean([_correct_at(run, moment).mean() for run in of_long])
    worth = (
        f": the small rates at the end of a schedule are worth {points(float(ended - passing))}"
        if ended > passing
        else ""
    )
    return Markdown(
        f"A point on the way is not the end of a shorter training. The schedule of {_epochs(short)} under "
        f"{verdicts.OPTIMIZERS[optimizer]} ends at {percent(float(ended))}; that of {_epochs(long)} has "
        f"{percent(float(passing))} after {moment / per_epoch:.2f} epochs. The first has lowered its learning rate to "
        f"zero there, and the second has not{worth}."
    )


def _with_ends(found: Interval | OnePair) -> str:
    value, low, high = (points(x, sign=True).removesuffix(" points") for x in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


# --- Figure -----------------------------------------------------------------------------------------------------

COLOURS = {"muon": theme.RUN_COLOURS[0], "adam": theme.RUN_COLOURS[4]}
STYLES: tuple[dict[str, Any], ...] = (
    {"linestyle": (0, (1, 1)), "marker": "^"},
    {"linestyle": (0, (4, 1.5)), "marker": "s"},
    {"linestyle": "-", "marker": "o"},
)


@plots.themed
def figure(frame: pd.DataFrame) -> Figure:
    """The differences over the epochs trained, a row of panels per difference and a column per optimiser.

    A line is one length of training; its band is the interval, and its last point, filled, the end of the training.

    Parameters
    ----------
    frame : as `differences` returns it.
    """
    drawn = theme.new_figure(height=2.5 * len(DIFFERENCES) + 1.6)
    panels = drawn.subplots(len(DIFFERENCES), len(OPTIMIZERS), sharex=True, sharey="row", squeeze=False)
    found = sorted(frame["length"].unique())
    styles = dict(zip(found, [STYLES[number % len(STYLES)] for number in range(len(found))], strict=True))
    for row, one in zip(panels, DIFFERENCES, strict=True):
        for ax, optimizer in zip(row, OPTIMIZERS, strict=True):
            chosen: Any = frame[(frame["difference"] == one.name) & (frame["optimizer"] == optimizer)]
            for length, style in styles.items():
                _draw_course(ax, chosen[chosen["length"] == length], COLOURS[optimizer], style)
            ax.axhline(0, color="black", linewidth=0.7)
        row[0].set_ylabel(f"{one.name}\n(points)")
    for ax, optimizer in zip(panels[0], OPTIMIZERS, strict=True):
        ax.set_title(verdicts.OPTIMIZERS[optimizer], loc="left", fontweight="bold")
    _epoch_axis(panels[0][0], found, min(frame["epochs"]))
    drawn.supxlabel("epochs trained so far", fontsize=8)
    handles = [
        Line2D([], [], color="#444444", label=f"{_epochs(length)} in all", **style) for length, style in styles.items()
    ]
    drawn.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    drawn.alt = alternative_text(frame)
    return drawn


def _draw_course(ax: Axes, rows: pd.DataFrame, colour: str, style: Mapping[str, Any]) -> None:
    """One difference over one training, in points."""
    x = rows["epochs"]
    ax.fill_between(x, 100 * rows["low"], 100 * rows["high"], color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, 100 * rows["value"], color=colour, markerfacecolor="white", markersize=3.5, **style)
    end: Any = rows[rows["end"]]
    errors = np.abs(100 * (end[["low", "high"]].to_numpy().T - end["value"].to_numpy()))
    ax.errorbar(
        end["epochs"], 100 * end["value"], errors, color=colour, marker=style["marker"], linestyle="", markersize=5
    )


def _epoch_axis(ax: Axes, ends: Sequence[float], first: float) -> None:
    """A logarithmic axis with a tick where a training ends; without one, the short trainings would share a corner."""
    ax.set_xscale("log")
    ticks = sorted({*ends, 0.1})
    ax.set_xticks([tick for tick in ticks if tick >= 0.9 * first])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def alternative_text(frame: pd.DataFrame) -> str:
    """The figure for readers who do not see it: each difference at the end of each training."""
    ends: Any = frame[frame["end"]]
    parts = []
    for one in DIFFERENCES:
        of_one = ends[ends["difference"] == one.name]
        values = [
            f"{verdicts.OPTIMIZERS[row['optimizer']]}, {row['length']:.3g} epochs: {points(row['value'], sign=True)}"
            for row in of_one.sort_values(["optimizer", "length"]).to_dict("records")
        ]
        parts.append(f"{one.name}: {'; '.join(values)}")
    return f"Differences in test accuracy at the end of training. {'. '.join(parts)}."
