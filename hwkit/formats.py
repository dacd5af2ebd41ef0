"""Quantities and labels as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import fmean, stdev

LONGEST_LABEL = 200  # characters of a name


def duration(seconds: float) -> str:
    """Seconds as people write them: 42 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes as people write them: 420 kB, 3.1 MB, 12 GB."""
    unit = "B"
    for larger in ("kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, larger
    return f"{count:.1f} {unit}" if 1 <= count < 9.95 and unit != "B" else f"{count:.0f} {unit}"


def is_label(text: str) -> bool:
    """Whether a text can stand in tables, titles and notebooks as it is: one printable line without markup."""
    return len(text) <= LONGEST_LABEL and text.isprintable() and not re.search(r"[<>`\\]|\]\(", text)


def percent(fraction: float, decimals: int = 1) -> str:
    """A fraction as a percentage: 80.4 %."""
    return f"{100 * fraction:.{decimals}f} %".replace("-", "−")


def points(difference: float, *, sign: bool = False) -> str:
    """A difference of two fractions in percentage points: −1.50 points."""
    return f"{100 * difference:{'+' if sign else ''}.2f} points".replace("-", "−")


def mean_accuracy(values: Sequence[float]) -> str:
    """The mean accuracy over seeds in percent and its standard deviation in points: 80.4 % ± 0.31. Of one, that one."""
    return percent(fmean(values)) + (f" ± {100 * stdev(values):.2f}" if len(values) > 1 else "")


def mean_and_all(counts: Sequence[float]) -> str:
    """The mean of counts, one for each seed, and all of them: 4.3 (3, 5, 5). Of one, that one."""
    mean = f"{sum(counts) / len(counts):.4g}"
    return mean if len(counts) == 1 else f"{mean} ({', '.join(f'{count:g}' for count in counts)})"


def probability(value: float) -> str:
    """A probability in the digits that matter: neither is a small one 0 nor a large one 1.

    >>> [probability(p) for p in (0.5, 0.01234, 0.00004, 0.99998)]
    ['0.500', '0.012', '4e-5', '0.99998']
    """
    if value >= 1:  # as rounded to float32
        return ">0.9999999"
    if value < 0.001:
        return f"{value:.0e}".replace("e-0", "e-") if value > 1e-12 else "<1e-12"
    return f"{value:.3f}" if value <= 0.999 else f"{value:.{math.ceil(-math.log10(1 - value))}f}"


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def capitalised(text: str) -> str:
    """The text with its first letter as a sentence begins, and the others as they are."""
    return text[:1].upper() + text[1:]


def in_words(count: int) -> str:
    """A count as text writes it: in words up to twelve."""
    return NUMBERS[count] if 0 <= count < len(NUMBERS) else f"{count:,}"


def enumerated(parts: Sequence[str]) -> str:
    """A list in a sentence.

    >>> enumerated(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
