"""Which images of two classes are confused, for the chapters on smaller filters."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hwkit import analysis
from hwkit.analysis import Pair
from hwkit.runs import Run


def confusions(run: Run, first: int | str, second: int | str) -> pd.DataFrame:
    """The misclassified images between two classes, either way round; rows of `analysis.misclassified`."""
    between = [analysis.class_label(run, first), analysis.class_label(run, second)]
    table = analysis.misclassified(run)
    return table.loc[table["label"].isin(between) & table["predicted"].isin(between)].reset_index(drop=True)


def confused_pair(runs: Sequence[Run], first: int | str, second: int | str) -> tuple[Run, Pair] | None:
    """The first run that confuses two classes, and its most confident confusion of them beside its counterpart.

    None if no run confuses the two, or none that does recognises a single image of the predicted class.
    """
    for run in runs:
        known = analysis.recognised_classes(run)
        for row in confusions(run, first, second).to_dict("records"):
            if row["predicted"] in known:
                return run, analysis.pair(run, row["index"])
    return None
