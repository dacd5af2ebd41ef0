"""The explorer: pages that look inside runs, compare them, and follow a training.

`explore(run)` and `dashboard(runs)` give pages that show themselves as the last expression of a notebook cell, and that
need no kernel: everything they show travels in them, and what they compute is computed by page/, ES modules without a
build step. `graph` translates any network for them.
"""

from __future__ import annotations

from hwkit.explorer.overview import dashboard
from hwkit.explorer.show import Page, explore, write_page

__all__ = ["Page", "dashboard", "explore", "write_page"]
