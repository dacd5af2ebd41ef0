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
    from hwkit import analysis, callbacks, data, experiment, explorer, models, plots, runs, training
    from hwkit.callbacks import Callback
    from hwkit.data import Dataset
    from hwkit.experiment import Experiment, named_experiment
    from hwkit.explorer import dashboard, explore
    from hwkit.findings.reference import compare_with_seed
    from hwkit.parallel import train_all, train_seeds
    from hwkit.report.notebook import check_parameters, markdown, show_figure, show_source, use_store
    from hwkit.runs import load
    from hwkit.training import train, with_seeds

_MODULES = {name: f"hwkit.{name}" for name in ("analysis", "callbacks", "data", "errors", "experiment", "explorer")}
_MODULES |= {name: f"hwkit.{name}" for name in ("models", "parallel", "plots", "runs", "training")}
_MODULES |= {
    "accuracy_gap": "hwkit.chapters.accuracy_gap",
    "ablation": "hwkit.chapters.negative_weights",
    "augmentation": "hwkit.chapters.augmentation",
    "average_pooling": "hwkit.chapters.average_pooling",
    "capacity": "hwkit.chapters.capacity",
    "comparison": "hwkit.chapters.comparison",
    "devices": "hwkit.engine.devices",
    "methods": "hwkit.chapters.methods",
    "notebook": "hwkit.report.notebook",
    "penalty": "hwkit.chapters.penalty_bug",
    "penalty_steps": "hwkit.chapters.penalty_steps",
    "penalty_sentences": "hwkit.chapters.penalty_sentences",
    "prose": "hwkit.findings.sentences",
    "results": "hwkit.findings.reference",
    "selu": "hwkit.chapters.selu",
    "smaller_filters": "hwkit.chapters.smaller_filters",
    "sources": "hwkit.datasets.sources",
    "summary": "hwkit.findings.summary",
    "tensorflow_graph": "hwkit.chapters.tensorflow_graph",
    "training_length": "hwkit.chapters.training_length",
    "verdicts": "hwkit.findings.verdicts",
}
_HOMES = {
    "Experiment": "hwkit.experiment",
    "named_experiment": "hwkit.experiment",
    "explore": "hwkit.explorer",
    "dashboard": "hwkit.explorer",
    "Callback": "hwkit.callbacks",
    "Dataset": "hwkit.data",
    "load": "hwkit.runs",
    "train": "hwkit.training",
    "train_all": "hwkit.parallel",
    "train_seeds": "hwkit.parallel",
    "with_seeds": "hwkit.training",
    "compare_with_seed": "hwkit.findings.reference",
    "check_parameters": "hwkit.report.notebook",
    "markdown": "hwkit.report.notebook",
    "show_figure": "hwkit.report.notebook",
    "show_source": "hwkit.report.notebook",
    "use_store": "hwkit.report.notebook",
}

__all__ = ["__version__", *_MODULES, *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hwkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
