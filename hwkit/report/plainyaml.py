"""YAML whose values are read as on the command line.

YAML's own rules differ from version to version and from Python's: to PyYAML 1e-3 is a text, 010 is 8, 1:30 is 90, and
2026-01-31 a date.
"""

from __future__ import annotations

from typing import Any

import yaml

from hwkit.export import safeyaml
from hwkit.report.values import read_value

PLAIN = "!plain"


class Loader(safeyaml.Loader):
    """Gives plain scalars to `read_value`; those in quotes are texts."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        """The tag of a node that has none."""
        return PLAIN if kind is yaml.ScalarNode and implicit[0] else super().resolve(kind, value, implicit)


Loader.add_constructor(PLAIN, lambda loader, node: read_value(node.value))


def parse(text: str) -> Any:
    """The value that a YAML text is; yaml.YAMLError as `safeyaml.parse`."""
    with safeyaml.errors_of_yaml():
        return yaml.load(text, Loader)
