"""What the process has imported of which those that export notebooks are forks; never imported by name."""

from hwkit.export import export, fonts, outputs, pages  # noqa: F401

# Looking for the fonts of the machine takes longer than a small notebook.
fonts.font_set()
