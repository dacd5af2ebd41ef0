"""The nbconvert preprocessor that reads cell options and decides what of each cell is shown."""

from __future__ import annotations

from typing import Any

from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from traitlets import Bool

from hwkit.report.celloptions import option_is_off, options_from_tags, split_options

PARAMETER_TAGS = frozenset({"parameters", "injected-parameters"})


class CellOptionsPreprocessor(Preprocessor):
    """Applies `echo`, `output` and `include`, takes option lines out of shown code."""

    enabled = Bool(True).tag(config=True)
    echo = Bool(True, help="Show the code of cells that do not say `#| echo`.").tag(config=True)
    show_parameters = Bool(True, help="Show the code of papermill's parameter cells.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Keep the cells that are shown; each carries its options in `metadata.hwkit`."""
        front = resources.get("hwkit_front_matter")
        self.defaults = front.cell_options if front else {}
        kept = []
        for cell in nb.cells:
            if cell.cell_type != "code" or self._prepared(cell):
                kept.append(cell)
        nb.cells = kept
        return nb, resources

    def _prepared(self, cell: NotebookNode) -> bool:
        """Whether the code cell is part of the document at all; sets what of it is shown."""
        tags = list(cell.metadata.get("tags") or [])
        options, source = split_options(cell.source)
        options = {**self.defaults, **options_from_tags(tags), **options}
        if option_is_off(options, "include"):
            return False
        cell.source = source
        cell.metadata.setdefault("hwkit", {})["options"] = options
        if PARAMETER_TAGS.intersection(tags):
            shown = self.show_parameters and not option_is_off(options, "echo")
        else:
            shown = bool(options.get("echo", self.echo))
        if not shown:
            cell.metadata.setdefault("transient", {})["remove_source"] = True
        if option_is_off(options, "output"):
            cell.outputs = []
        if option_is_off(options, "warning"):
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        return True
