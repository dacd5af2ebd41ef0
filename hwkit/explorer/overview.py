"""`dashboard(runs)`: records of several runs over each other, their settings and weights, and a table to sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from hwkit import plots, runs
from hwkit.errors import RunError
from hwkit.explorer import page
from hwkit.explorer.payload import Payload
from hwkit.explorer.show import Page
from hwkit.runs import RECORD_COLUMNS, Run

READINGS = 1000  # of a record, at most
BINS = 60  # of a histogram of weights


def dashboard(shown: Run | Sequence[Run]) -> Page:
    """Records of runs over each other, a table of them to sort, what they differ in, and their weights.

    Like the explorer, it needs no kernel.

    Raises
    ------
    RunError
        If there is no run, or a folder is gone or damaged.

    Examples
    --------
    >>> hwkit.dashboard(hwkit.runs())
    """
    shown = [shown] if isinstance(shown, Run) else list(shown)
    if not shown:
        raise RunError("there is no run to show; give at least one")
    payload = Payload()
    payload.about |= {"runs": [_add_run(payload, place, run) for place, run in enumerate(shown)]}
    payload.about["note"] = runs.differences_note(shown) if len(shown) > 1 else None
    content = page.document("runs", payload.encode(), "dashboard.js")
    names = ", ".join(run.name for run in shown)
    return Page(content, lambda: plots.learning_curve(cast(Any, shown)), f"Dashboard({names})", "hwkit dashboard")


def _add_run(payload: Payload, place: int, run: Run) -> dict[str, Any]:
    """Put a run's record and histograms into a payload; returns what the page reads of it as JSON."""
    record = run.record
    step = max(1, -(-len(record) // READINGS))
    thinned = record.iloc[sorted({*range(0, len(record), step), len(record) - 1})]
    for column in RECORD_COLUMNS:
        payload.add(f"{place}/{column}", thinned[column].to_numpy(), "float32")
    settings = {key: value for key, value in run.experiment.as_dict().items() if isinstance(value, (int, float, str))}
    same = {key: value for key, value in settings.items() if key != "seed"}
    return {
        "name": run.name,
        "folder": run.folder.name,
        "data": run.experiment.dataset,
        "profile": run.experiment.profile,
        "seed": run.experiment.seed,
        "group": repr(sorted(same.items())),
        "settings": settings,
        "train_accuracy": run.metrics["train_accuracy"],
        "test_accuracy": run.test_accuracy,
        "seconds": round(run.metrics["seconds"]),
        "finished": run.finished,
        "moments": run.weight_moments,
        "parameters": _add_weights(payload, place, run),
    }


def _add_weights(payload: Payload, place: int, run: Run) -> list[dict[str, Any]]:
    """Histograms of every parameter at every moment; one axis for all moments, or it would change, not the weights."""
    names = [name for name, tensor in run.final_weights.items() if tensor.is_floating_point()]
    names.sort(key=lambda name: (name.rpartition(".")[0], name.endswith("bias")))
    counts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    edges = {}
    for name in names:
        ends = [weights[name] for weights in (run.initial_weights, run.final_weights)]
        low = min(float(tensor.min()) for tensor in ends)
        edges[name] = (low, max(float(tensor.max()) for tensor in ends) + 1e-9)
    for moment in run.weight_moments:
        weights = run.weights_at(moment)
        for name in names:
            counts[name].append(np.histogram(weights[name].numpy(), bins=BINS, range=edges[name])[0])
    for number, name in enumerate(names):
        payload.add(f"{place}/weights/{number}", np.stack(counts[name]), "float32")
    return [{"name": name, "range": edges[name], "bins": BINS} for name in names]
