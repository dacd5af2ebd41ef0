"""nbconvert exporters: `jupyter nbconvert --to typst` and `--to typstpdf`, without LaTeX and without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import IO, Any

from nbconvert.exporters import TemplateExporter
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode, ValidationError, from_dict
from traitlets import Bool, Unicode, default

from hwkit.export import outputs
from hwkit.export.export import named, typst_source, warnings_of
from hwkit.export.notebooks import invalid, keep_shown_cells, numbered, parsed
from hwkit.export.pandoc import TEMPLATES
from hwkit.export.typesetting import TypstSource, compile_pdf
from hwkit.export.typst_writer import typst_string


class CellOptionsPreprocessor(Preprocessor):
    """Applies the options of cells, and takes their lines out of shown code."""

    enabled = Bool(True).tag(config=True)
    echo = Bool(True, help="Show the code of cells that do not say `#| echo`.").tag(config=True)
    show_parameters = Bool(True, help="Show the code of papermill's parameter cells.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Keep the cells that are shown; each carries its options in `metadata.hwkit`."""
        defaults = resources["hwkit_front_matter"].cell_options
        keep_shown_cells(nb, defaults, echo=self.echo, show_parameters=self.show_parameters)
        return nb, resources


class TypstExporter(TemplateExporter):
    """A notebook as Typst source, with its images beside it."""

    file_extension = ".typ"
    output_mimetype = "text/x-typst"
    export_from_notebook = "Typst"

    echo = Bool(True, help="Show the code of cells that do not say `#| echo`.").tag(config=True)
    show_parameters = Bool(True, help="Show the code of papermill's parameter cells.").tag(config=True)
    theme = Unicode("", help="A theme (report, article, handout) or the path of a .typ file; article if not set.").tag(
        config=True
    )
    settings_file = Unicode("", help="A report.toml with title, authors, paper, font, theme ...").tag(config=True)

    @default("template_name")
    def _template_name_default(self) -> str:
        return "hwkit"

    @default("template_extension")
    def _template_extension_default(self) -> str:
        return ".md.j2"

    def get_prefix_root_dirs(self) -> list[str]:
        """Where nbconvert looks for templates: here too."""
        return [*super().get_prefix_root_dirs(), str(TEMPLATES)]

    def default_filters(self) -> Iterable[tuple[str, Callable[..., Any]]]:
        """nbconvert's filters and those of the hwkit template."""
        yield from super().default_filters()
        for function in (outputs.code_input, outputs.code_outputs, outputs.markdown_cell, outputs.raw_cell):
            yield function.__name__, function

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(
            CellOptionsPreprocessor(parent=self, echo=self.echo, show_parameters=self.show_parameters), enabled=True
        )

    def from_file(
        self, file_stream: IO[str], resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The notebook in a file, also one that lacks something that Jupyter does without and nbformat does not."""
        return self.from_notebook_node(from_dict(parsed(file_stream.read())), resources, **kw)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The notebook's Typst source; `resources["outputs"]` gets the images."""
        source, resources = self.typst_source(nb, resources)
        self._warn(source, resources)
        # In Typst, paths have no backslashes. Images are named by their content, so that notebooks may share a folder.
        folder = str(resources.get("output_files_dir") or "").replace("\\", "_")
        text, images = source.text, {}
        for name, content in source.images.items():
            path = f"{folder}/{name}" if folder else name
            text = text.replace(typst_string(name), typst_string(path))
            images[path] = content
        resources["outputs"] = {**resources.get("outputs", {}), **images}
        return text, resources

    def typst_source(self, nb: NotebookNode, resources: dict[str, Any] | None) -> tuple[TypstSource, dict[str, Any]]:
        """The notebook's Typst source and images.

        Raises
        ------
        ReportError
            If the settings are wrong, the notebook breaks the format or cannot be converted.
        """
        resources = self._init_resources(resources or {})
        nb = numbered(nb, resources)
        try:
            markdown, resources = super().from_notebook_node(nb, resources)
        except ValidationError as error:
            raise invalid(error) from None
        return typst_source(markdown, resources, theme=self.theme, settings_file=self.settings_file), resources

    def _warn(self, source: TypstSource, resources: dict[str, Any]) -> None:
        """Say what was left out or could not be set: in the log, and in `resources["hwkit_warnings"]`."""
        name = resources.get("metadata", {}).get("name") or "notebook"
        resources["hwkit_warnings"] = named(name, warnings_of(source))
        for warning in resources["hwkit_warnings"]:
            self.log.warning("%s", warning)


class TypstPDFExporter(TypstExporter):
    """A notebook as PDF."""

    file_extension = ".pdf"
    output_mimetype = "application/pdf"
    export_from_notebook = "PDF (Typst)"

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The notebook's PDF."""
        source, resources = self.typst_source(nb, resources)
        resources["outputs"] = {}
        pdf = compile_pdf(source)
        self._warn(source, resources)
        return pdf, resources
