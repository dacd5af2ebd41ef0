"""YAML from strangers: plain values only, of a size and depth that can be held in memory."""

from __future__ import annotations

from typing import Any

import yaml

LONGEST = 100_000  # characters; front matter has a few hundred


class _Loader(yaml.SafeLoader):
    """Refuses aliases: nine lines of them can stand for a text of gigabytes."""

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
    try:
        return yaml.load(text, _Loader)
    except (ValueError, TypeError, AttributeError, LookupError) as error:  # of a date such as 2026-99-99, for instance
        raise yaml.YAMLError(str(error)) from None
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
