"""YAML from strangers: plain values only, of a size and depth that can be held in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import yaml

LONGEST = 100_000  # characters; front matter has a few hundred


class Loader(yaml.SafeLoader):
    """Refuses aliases: nine lines of them can stand for a text of gigabytes.

    Not the loader in C: that one crashes on what is nested some ten thousand deep.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not accepted", event.start_mark)
        return super().compose_node(parent, index)


def parse(text: str) -> Any:
    """The value that a YAML text is.

    Raises
    ------
    yaml.YAMLError
        If it is no valid YAML, too long, nested too deeply, or has aliases or values that cannot be.
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"it has more than {LONGEST} characters")
    with errors_of_yaml():
        return yaml.load(text, Loader)


@contextlib.contextmanager
def errors_of_yaml() -> Iterator[None]:
    """Turn what else a loader raises on values that cannot be, and on deep nesting, into a yaml.YAMLError."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # of 2026-99-99, for instance
        raise yaml.YAMLError(str(error)) from None
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
