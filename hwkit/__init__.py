"""hwkit: a course-report kit for small image classifiers.

>>> import hwkit
>>> run = hwkit.train(hwkit.named_experiment("mnist", "quick"))
>>> hwkit.plots.accuracy_curves(run)

Names are imported when they are first used, so that `import hwkit` itself costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hwkit.version import __version__

if TYPE_CHECKING:
    from hwkit import (
        ablation,
        analysis,
        attribution,
        capacity,
        data,
        experiment,
        explorer,
        index,
        models,
        parallel,
        penalty,
        plots,
        prose,
        results,
        runs,
        sources,
        tensorflow_graph,
        training,
        verdicts,
    )
    from hwkit.experiment import Experiment, named_experiment
    from hwkit.explorer import dashboard, explore
    from hwkit.notebook import check_parameters, markdown, show_figure, show_source, use_store
    from hwkit.parallel import train_all, train_seeds
    from hwkit.results import compare_with_seed
    from hwkit.training import train, with_seeds

_MODULES = ("ablation", "analysis", "attribution", "capacity", "data", "devices", "errors", "experiment", "explorer")
_MODULES += ("index", "inference", "models", "notebook", "parallel", "penalty", "plots", "prose", "results", "runs")
_MODULES += ("sources", "tensorflow_graph", "training", "verdicts")
_HOMES = {
    "Experiment": "hwkit.experiment",
    "named_experiment": "hwkit.experiment",
    "explore": "hwkit.explorer",
    "dashboard": "hwkit.explorer",
    "train": "hwkit.training",
    "train_all": "hwkit.parallel",
    "train_seeds": "hwkit.parallel",
    "with_seeds": "hwkit.training",
    "compare_with_seed": "hwkit.results",
    "check_parameters": "hwkit.notebook",
    "markdown": "hwkit.notebook",
    "show_figure": "hwkit.notebook",
    "show_source": "hwkit.notebook",
    "use_store": "hwkit.notebook",
}

__all__ = ["__version__", *_MODULES, *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"hwkit.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hwkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
