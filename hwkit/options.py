"""Options of a dataclass, each in one place: a field with its default, its check and a line of help."""

from __future__ import annotations

import dataclasses
import math
import numbers
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from hwkit.errors import ExperimentError, did_you_mean
from hwkit.formats import LONGEST_LABEL, is_label

Check = Callable[[str, Any], Any]  # takes the field's name and a value; gives the value to keep, or ExperimentError


def option(default: Any, check: Check, help: str, **marks: bool) -> Any:
    """A field with its default, its check and a line of help; `marks` are for whoever reads its metadata."""
    return dataclasses.field(default=default, metadata={"check": check, "help": help, **marks})


def marked(cls: type, mark: str) -> list[str]:
    """The names of the fields of `cls` that have a mark."""
    return [field.name for field in dataclasses.fields(cls) if field.metadata.get(mark)]


def check_fields(instance: Any) -> None:
    """Replace each field of a frozen dataclass by what its check makes of it.

    Raises
    ------
    ExperimentError
        For the first value that is refused.
    """
    for field in dataclasses.fields(instance):
        value = field.metadata["check"](field.name, getattr(instance, field.name))
        object.__setattr__(instance, field.name, value)


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ExperimentError, naming what exists, if one of the names is not known."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ExperimentError(f"unknown option {name!r}; {did_you_mean(name, known)}")


# --- Checks -----------------------------------------------------------------------------------------------------


def check_choice(what: str, value: Any, choices: Iterable[Any]) -> Any:
    """The value, if it is one of the choices; else ExperimentError."""
    choices = list(choices)
    if value not in choices:
        raise ExperimentError(f"unknown {what} {value!r}; {did_you_mean(value, choices)}")
    return value


def choice(*choices: str) -> Check:
    """A check for one of several words."""
    return lambda field, value: check_choice(field, value, choices)


def number(low: float, high: float = math.inf, *, kind: type = float, open: bool = False) -> Check:
    """A check for a finite number in [low, high], or in (low, high) if open.

    Parameters
    ----------
    kind : int or float; a whole float such as 3.0 counts as an int.
    """

    def is_number(value: Any) -> TypeGuard[float]:
        whole = isinstance(value, (int, numbers.Integral)) or (isinstance(value, float) and value.is_integer())
        real = isinstance(value, (int, float, numbers.Real)) and not isinstance(value, bool)
        return real and (kind is float or whole)

    def check(field: str, value: Any) -> Any:
        wanted = "a whole number" if kind is int else "a number"
        if not is_number(value):
            raise ExperimentError(f"{field} must be {wanted}, not {value!r}")
        inside = low < value < high if open else low <= value <= high
        if not inside or abs(value) > sys.float_info.max:  # beyond it, an integer has no float
            above = f"{'above' if open else 'at least'} {low:g}"
            below = "" if high == math.inf else f" and {'below' if open else 'at most'} {high:g}"
            raise ExperimentError(f"{field} must be {wanted} {above}{below}, not {value!r}")
        return kind(value)

    return check


def flag(field: str, value: Any) -> bool:
    """A check for True or False."""
    if not isinstance(value, bool):
        raise ExperimentError(f"{field} must be True or False, not {value!r}")
    return value


def label(field: str, value: Any) -> str:
    """A check for a line of text that tables and notebooks can show as it is."""
    if not isinstance(value, str):
        raise ExperimentError(f"{field} must be text, not {value!r}")
    if not is_label(value):
        raise ExperimentError(
            f"{field} must be one line of at most {LONGEST_LABEL} characters without <, >, ` and \\, "
            f"not {value[:LONGEST_LABEL]!r}"
        )
    return value


def optional(check: Check) -> Check:
    """The check, with None as a further value."""
    return lambda field, value: None if value is None else check(field, value)


def described(changes: Mapping[str, Any]) -> str:
    """Options and their values as a label shows them: "width=2, l2=0.01"; user code by its name alone."""
    return ", ".join(_described(name, value) for name, value in changes.items())


def _described(name: str, value: Any) -> str:
    if isinstance(value, str) and "@" in value:  # user code or data; see `hwkit.engine.code`
        return value.partition("@")[0]
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
