"""The explorer: widgets that walk through a run, compare runs, and watch a training.

`explore(run)` and `dashboard(runs)` give objects that show themselves as the last expression of a notebook cell. Where
nobody can click, in a report, each leaves a figure instead.

It is made of ipywidgets alone, whose front ends come with JupyterLab, Notebook, VS Code and Colab. What ipywidgets has
no widget for, clicks on pictures and a pad to draw on, is HTML with a few lines of JavaScript (`bridge`).
"""

from __future__ import annotations

from hwkit.explorer.compare_runs import Dashboard, dashboard
from hwkit.explorer.explore_run import Explorer, explore

__all__ = ["Dashboard", "Explorer", "dashboard", "explore"]
