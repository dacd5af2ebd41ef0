"""The comparison of a batch's variants as a PDF: `hwkit batch report`."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hwkit import theme
from hwkit.batch import verdicts
from hwkit.batch.results import NO_NUMBER, BatchResults, build_folder, gather, markdown_table
from hwkit.batch.state import Plan
from hwkit.errors import BatchError, ReportError
from hwkit.export.settings import ReportSettings
from hwkit.formats import duration
from hwkit.paths import project_root
from hwkit.report.bind import build_book
from hwkit.report.values import show_value
from hwkit.theme import RUN_COLOURS

SHOWN = 40  # variants in figure and table: the best ones
LABELLED = 12  # values of an option, at most


@dataclass(frozen=True)
class Comparison:
    """The PDF that was written."""

    pdf: Path
    pages: int
    warnings: tuple[str, ...]


def build_comparison(plan: Plan, *, output: Path | None = None, settings: Path | None = None) -> Comparison:
    """Set the results of a batch side by side as a PDF.

    Parameters
    ----------
    output : default report.pdf in `build_folder`.
    settings : a report.toml, for author, course and theme; default the project's, if it has one.

    Raises
    ------
    BatchError
        If no task with a number for a result is done.
    ReportError
        For settings that are wrong, or if the PDF cannot be made.
    """
    found = gather(plan)
    found.require_some()
    if not found.metrics:
        raise BatchError(f"batch {plan.batch.name} has nothing to compare: {NO_NUMBER}")
    if settings and not settings.exists():
        raise ReportError(f"there is no settings file {settings}")
    pdf = output or build_folder(plan.batch) / "report.pdf"
    looks = dataclasses.replace(
        ReportSettings.load(settings or project_root() / "report.toml"),
        title=f"Batch {plan.batch.name}",
        subtitle="Comparison of its variants",
        abstract="",
        contents=False,
    )
    facts = {"Tasks": found.summary, "Variants": str(len({task.variant for task in plan.tasks}))}
    if "seconds" in found.metrics:
        facts["Computing time"] = duration(sum(found.frame["seconds"].dropna()))
    if plan.batch.kind == "experiments":
        facts["Trained on"] = "; ".join(sorted(set(found.frame["environment_device_name"])))
    if (found.frame.get("data", pd.Series(dtype=str)) == "stand-in").any():
        facts["Data"] = "drawn stand-in, not the real data"
    info = build_book([], settings=looks, facts=facts, opening=opening(found), pdf=pdf)
    return Comparison(pdf, info.pages, info.warnings)


def opening(found: BatchResults) -> str:
    """The report's text, as Markdown: the variants as figure and table, the effect of the grid's options, failures."""
    metric = found.metrics[0]
    title = _plain(metric.replace("_", " "))
    table = shown_variants(found)
    names = [str(name) for name in table.index]
    hidden = len(found.by_variant) - len(table)
    parts = [
        "# Comparison",
        f"@fig-variants and @tbl-variants compare the variants by {title}: the mean over seeds, and each seed."
        + (f" Of {hidden + len(table)} variants the {len(table)} highest are shown." if hidden else ""),
        _picture(variants_figure(found, names), "variants", f"Mean {title} (bar) and each seed (dot)."),
        markdown_table(table, found.metrics, _plain),
        f": Mean ± standard deviation over seeds of each variant; {found.summary}. {{#tbl-variants}}",
    ]
    varied = [name for name, values in found.plan.batch.grid.items() if len(values) > 1]
    if varied and any(task.variant.in_grid for task in found.plan.tasks if task.key in found.plan.done):
        parts += [
            "## Options of the grid",
            f"Each panel of @fig-options groups the tasks of the grid by one option alone: what its values change in "
            f"{title}, averaged over all others.",
            _picture(options_figure(found, varied), "options", f"{title.capitalize()} by the value of each option."),
        ]
    compared = verdicts.against_baseline(found)
    remarks = [_plain(line) for line in verdicts.remarks(found, compared)]
    if compared:
        parts += [
            "## Against the baseline",
            f"@tbl-baseline compares {title} with the baseline, paired by seed.",
            verdicts.markdown(compared, _plain),
            f": Differences in {title} to the baseline. {{#tbl-baseline}}",
        ]
    parts += ["\n".join(f"- {line}" for line in remarks)] * bool(remarks)
    failed = found.plan.failed
    if failed:
        state = found.plan.state.failed
        lines = [f"- {_plain(task.name)}: {_plain(state[task.key].error)}" for task in failed[:SHOWN]]
        parts += ["## What failed", "\n".join(lines)]
    return "\n\n".join(parts)


def shown_variants(found: BatchResults) -> pd.DataFrame:
    """The variants that figure and table show: all in their order, or of too many the highest."""
    table = found.by_variant
    if len(table) <= SHOWN:
        return table
    return table.sort_values(by=[(found.metrics[0], "mean")], ascending=False).head(SHOWN)


def variants_figure(found: BatchResults, variants: Sequence[str]) -> Figure:
    """The first metric of each variant: the mean as a bar of one line, each seed as a dot."""
    metric = found.metrics[0]
    named = found.compared
    with theme.applied():
        figure = theme.new_figure(height=2.0 + 0.55 * len(variants))
        ax = figure.subplots()
        for place, variant in enumerate(variants):
            values = found.frame.loc[named == variant, metric].to_numpy(dtype=float)
            ax.plot(values, np.full(len(values), place), "o", color=RUN_COLOURS[0], markersize=3.5, alpha=0.7)
            ax.plot([np.nanmean(values)] * 2, [place - 0.3, place + 0.3], color="black", linewidth=1.6)
        ax.set_yticks(range(len(variants)), variants, parse_math=False)
        ax.set_ylim(len(variants) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(metric.replace("_", " "), parse_math=False)
    return figure


def options_figure(found: BatchResults, options: Sequence[str]) -> Figure:
    """The first metric by the value of each option: every task of the grid as a dot, each subject's means as a line.

    Rows beside the grid are left out: what they change they change for some values of the other options only.
    """
    metric = found.metrics[0]
    in_grid = {task.variant.name: task.variant.options for task in found.plan.tasks if task.variant.in_grid}
    frame = found.frame[found.frame["variant"].isin(in_grid)]
    subjects = dict(zip(dict.fromkeys(frame["subject"]), itertools.cycle(RUN_COLOURS), strict=False))
    columns = min(2, len(options))
    rows = -(-len(options) // columns)
    with theme.applied():
        figure = theme.new_figure(height=1.0 + 4.6 * rows)
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for ax in panels[len(options) :]:
            ax.set_visible(False)
        for ax, option in zip(panels, options, strict=False):
            shown = {variant: show_value(options[option]) for variant, options in in_grid.items()}
            values = list(dict.fromkeys(shown.values()))
            places = np.array([values.index(shown[variant]) for variant in frame["variant"]])
            for subject, colour in subjects.items():
                ours = (frame["subject"] == subject).to_numpy()
                ax.plot(places[ours], frame.loc[ours, metric], "o", color=colour, markersize=3.5, alpha=0.6)
                means = frame.loc[ours, metric].groupby(places[ours]).mean()
                ax.plot(means.index, means, color=colour, linewidth=1.2, label=subject.replace("$", r"\$"))
            labelled = range(0, len(values), -(-len(values) // LABELLED))
            ax.set_xticks(labelled, [values[place] for place in labelled], parse_math=False)
            ax.set_xlim(-0.5, len(values) - 0.5)
            ax.set_xlabel(option)
        for ax in panels[::columns]:
            ax.set_ylabel(metric.replace("_", " "), parse_math=False)
        if len(subjects) > 1:
            panels[0].legend()
    return figure


def _picture(figure: Figure, label: str, caption: str) -> str:
    drawn = io.BytesIO()
    with theme.applied():
        figure.savefig(drawn, format="svg")
    picture = base64.b64encode(drawn.getvalue()).decode()
    return f"![{caption}](data:image/svg+xml;base64,{picture}){{#fig-{label}}}"


def _plain(text: str) -> str:
    """Text in which Markdown finds no markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]{}<>#$|@~^" else letter for letter in " ".join(text.split()))
