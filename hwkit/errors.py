"""The errors hwkit raises on bad input. Each message names the value, what would be right, and what to do next."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class HwkitError(Exception):
    """Base of every error that hwkit raises on purpose; the command line prints its message without a traceback."""


class ExperimentError(HwkitError, ValueError):
    """An experiment was asked for by a wrong name, option or value."""


class DataError(HwkitError):
    """A data set is missing, damaged or cannot be downloaded."""


class StatisticsError(HwkitError, ValueError):
    """Too few seeds for a verdict, or numbers that no interval can be made of."""


class RunError(HwkitError):
    """A run folder is damaged, cannot be written or cannot be found."""


class TrainingError(HwkitError):
    """Training cannot start or cannot go on: no such device, or a loss that is not a number."""


class ParameterError(HwkitError, ValueError):
    """A notebook was given a parameter that it does not declare."""


class ReportError(HwkitError):
    """A notebook could not be executed or exported."""


class BenchError(HwkitError):
    """A contestant of the benchmark failed, or there is no place for its result."""


class ProcessDied(HwkitError):
    """A process was killed, by the system or by somebody, before it could say how its work went."""


class BatchError(HwkitError, ValueError):
    """A batch file asks for what there is not, or a batch cannot be run as it says."""


def did_you_mean(value: object, known: Iterable[object]) -> str:
    """The end of an error message on an unknown word: the closest known one, and all of them."""
    words = [str(word) for word in known]
    if not words:
        return "there is none"
    close = difflib.get_close_matches(str(value), words, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(words)}"


def remedy(error: OSError) -> str:
    """What helps against an error of the system, or what to look at where it does not say enough."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "check its permissions"
    return "check the path"
