"""A notebook as chunked Markdown: the first step of every document.

nbconvert's exporters take the same steps with a template between them (`hwkit.export.exporters`). This is without
nbconvert, whose import takes longer than a conversion; nbformat is imported only for what is not in today's format.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwkit.errors import ReportError
from hwkit.export import outputs
from hwkit.export.celloptions import option_is_off, options_from_tags, split_options
from hwkit.export.document import Part
from hwkit.export.files import LARGEST_NOTEBOOK, read_bytes
from hwkit.export.frontmatter import FrontMatter, take_front_matter
from hwkit.export.images import ImageStore
from hwkit.export.markdown import page_break
from hwkit.export.questions import questions_in
from hwkit.export.widgets import STATE

if TYPE_CHECKING:
    from nbformat import NotebookNode

PARAMETER_TAGS = frozenset({"parameters", "injected-parameters"})


class Node(dict[str, Any]):
    """A part of a notebook: a dictionary whose keys are attributes, too, as nbformat's `NotebookNode` is."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value


def read_nodes(path: Path) -> NotebookNode:
    """The notebook in a file, to be set: in format 4, whatever format the file has.

    Raises
    ------
    ReportError
        If there is none that can be read.
    """
    try:
        return parsed(read_bytes(path, LARGEST_NOTEBOOK))
    except json.JSONDecodeError as error:
        raise ReportError(f"it cannot be read: it is no notebook, as it is no JSON ({error})") from None
    except ReportError as error:
        raise ReportError(f"it cannot be read: it is no notebook, as {error}") from None
    except Exception as error:  # all that damaged files raise means the same here
        raise ReportError(f"it cannot be read: {type(error).__name__}: {error}") from error


def parsed(content: bytes | str) -> NotebookNode:
    """The notebook that a file holds, in format 4; raises whatever JSON and nbformat raise of others."""
    nb: Any = json.loads(content, object_hook=Node)
    version = nb.get("nbformat") or 4
    nb["nbformat"] = int(version) if str(version).isdecimal() else version
    if nb["nbformat"] != 4:
        import nbformat

        text = content if isinstance(content, str) else content.decode()
        nb = nbformat.convert(nbformat.reader.reads(text), 4)
    if not isinstance(nb.get("cells"), list):
        raise ReportError("it has no cells")
    for cell in nb.cells:
        cell.source = "".join(cell.get("source") or "")  # a text, or its lines
    return nb


def numbered(nb: NotebookNode, resources: dict[str, Any]) -> NotebookNode:
    """A copy of the notebook whose cells know their numbers, from 1 on, and whose front matter is taken out.

    `resources` gets what the conversion gathers: `hwkit_images` (an `ImageStore`, unless there is one),
    `hwkit_attachments`, `hwkit_macros`, `hwkit_warnings` (sentences), `hwkit_front_matter` and `hwkit_widgets` (their
    models by id).
    """
    nb = repaired(copy.deepcopy(nb))
    front = take_front_matter(nb, folder_of(resources))
    for number, cell in enumerate(nb.cells, start=1):
        cell.metadata["hwkit"] = {"number": number}
    resources.setdefault("hwkit_images", ImageStore(resources.get("hwkit_roots", ())))
    resources["hwkit_attachments"] = {}
    resources["hwkit_macros"] = {}
    resources["hwkit_warnings"] = list(front.warnings)
    resources["hwkit_front_matter"] = front
    saved = nb.metadata.get("widgets") or {}
    resources["hwkit_widgets"] = (saved.get(STATE) or {}).get("state") or {}
    return nb


def repaired(nb: NotebookNode) -> NotebookNode:
    """The notebook with what Jupyter does without where it is left out: metadata, outputs, the name of a stream.

    Values of the wrong kind that no reader can make sense of are left, for `require_valid` to name.
    """
    _fill(nb, {"metadata": {}})
    for key in [key for key, value in nb.metadata.items() if value is None]:
        del nb.metadata[key]
    for cell in nb.cells:
        _fill(cell, {"metadata": {}, "source": ""})
        if cell.setdefault("cell_type", "code" if "outputs" in cell else "markdown") != "code":
            continue
        _fill(cell, {"outputs": []})
        for output in cell.outputs:
            kind = output.setdefault("output_type", "stream" if "text" in output else "display_data")
            if kind == "stream":
                _fill(output, {"name": "stdout", "text": ""})
            elif kind == "error":
                _fill(output, {"ename": "", "evalue": "", "traceback": []})
                if isinstance(output.traceback, str):
                    output.traceback = output.traceback.split("\n")
            else:
                _fill(output, {"data": {}, "metadata": {}})
                for mime in [mime for mime, content in output.data.items() if content is None]:
                    del output.data[mime]
    return nb


def _fill(node: Any, values: Mapping[str, Any]) -> None:
    """Put values in place of those that a part of a notebook lacks or has as null."""
    for key, value in values.items():
        if node.get(key) is None:
            node[key] = type(node)() if value == {} else copy.copy(value)


def folder_of(resources: Mapping[str, Any]) -> Path:
    """The folder that a notebook lies in."""
    return Path(resources.get("metadata", {}).get("path") or ".")


def keep_shown_cells(nb: NotebookNode, defaults: Mapping[str, Any], *, echo: bool, show_parameters: bool) -> None:
    """Apply the cell options `echo`, `output`, `warning` and `include`, and take their lines out of the code.

    `defaults` are the options of cells that do not say otherwise. Each cell carries its options in `metadata.hwkit`.
    """
    nb.cells = [cell for cell in nb.cells if _is_shown(cell, defaults, echo, show_parameters)]


def _is_shown(cell: NotebookNode, defaults: Mapping[str, Any], echo: bool, show_parameters: bool) -> bool:
    """Whether the cell is part of the document at all; sets what of a code cell is shown."""
    tags = cell.metadata.get("tags") or []
    tags = tags.replace(",", " ").split() if isinstance(tags, str) else tags
    if cell.cell_type != "code":
        return not option_is_off(options_from_tags(tags), "include")
    options, source = split_options(cell.source)
    options = {**defaults, **options_from_tags(tags), **options}
    if option_is_off(options, "include"):
        return False
    cell.source = source
    cell.metadata.setdefault("hwkit", {})["options"] = options
    if PARAMETER_TAGS.intersection(tags):
        shown = show_parameters and not option_is_off(options, "echo")
    else:
        shown = bool(options.get("echo", echo))
    if not shown:
        cell.metadata.setdefault("transient", {})["remove_source"] = True
    if option_is_off(options, "output"):
        cell.outputs = []
    if option_is_off(options, "warning"):
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return True


def to_markdown(
    nb: NotebookNode,
    resources: dict[str, Any],
    *,
    echo: bool = True,
    show_parameters: bool = True,
    questions: bool = False,
) -> str:
    """The notebook as Markdown, or only its questions; `resources` gets what `numbered` names.

    Raises
    ------
    ReportError
        If the notebook breaks the format; the message names the cell.
    """
    try:
        shown = numbered(nb, resources)
        front: FrontMatter = resources["hwkit_front_matter"]
        if questions:
            found = questions_in(shown.cells)
            if not found:
                resources["hwkit_warnings"].append("there is no question of otter-grader or nbgrader; all is shown")
            shown.cells = found or shown.cells
        keep_shown_cells(shown, front.cell_options, echo=echo, show_parameters=show_parameters)
        return "".join(_cell(cell, shown, resources) for cell in shown.cells)
    except ReportError:
        raise
    except Exception:  # most likely of a notebook that breaks the format, which takes longer to check than to convert
        with contextlib.suppress(TypeError, AttributeError):  # what cannot be repaired is named as it is
            nb = repaired(copy.deepcopy(nb))
        require_valid(nb)
        raise


def _cell(cell: NotebookNode, nb: NotebookNode, resources: Mapping[str, Any]) -> str:
    start = page_break() if cell.metadata["hwkit"].get("page_break") else ""
    return start + _content(cell, nb, resources)


def _content(cell: NotebookNode, nb: NotebookNode, resources: Mapping[str, Any]) -> str:
    if cell.cell_type == "markdown":
        return outputs.markdown_cell(cell, resources)
    if cell.cell_type == "raw":
        return outputs.raw_cell(cell, resources)
    code = "" if cell.metadata.get("transient", {}).get("remove_source") else outputs.code_input(cell, nb)
    return code + outputs.code_outputs(cell, resources)


def require_valid(nb: NotebookNode) -> None:
    """Raises ReportError if the notebook breaks the format: in which cell, and what to do."""
    import nbformat
    from nbformat import ValidationError

    try:
        nbformat.validate(nbformat.from_dict(nb), relax_add_props=True)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: Exception) -> ReportError:
    """What to tell of a notebook that breaks the format: in which cell, and what to do."""
    place = re.search(r"\['cells'\]\[(\d+)\]", str(error))
    where = f"cell {int(place[1]) + 1}" if place else "its metadata"
    problem = str(error).splitlines()[0]
    return ReportError(f"the notebook is not valid: {where}: {problem}. Open and save it in Jupyter.")


def part_of(
    name: str, markdown: str, resources: Mapping[str, Any], *, folders: Sequence[Path] = (), chapter: str = ""
) -> Part:
    """A notebook's Markdown, and what was gathered with it, as a part of a document."""
    gathered = resources["hwkit_attachments"], resources["hwkit_macros"]
    return Part(name, markdown, [folder_of(resources), *folders], *gathered, chapter=chapter)
