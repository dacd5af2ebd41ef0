"""What a terminal would show: carriage returns, backspaces, progress bars and ANSI colours in output text."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_RULE = re.compile(r"\s*(?:#|//|%)?\s*[-=_*~#.+|─━═ ]*([-=_*~#─━═])\1{9}[-=_*~#.+|─━═ ]*")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
# The bars of tqdm, "Epoch 1:  40%|████      | 4/10 [00:01<00:02,  3.1it/s, loss=0.5]", and Keras, "4/10 [===>....] - ".
_BARS = (
    re.compile(r"^(?P<name>.*?):?\s*\d+%\|[^|]*\|\s*(?P<count>[\d.]+)\w*/(?P<total>[\d.]+\w*)\s*\[(?P<state>[^\]]*)\]"),
    re.compile(r"^(?P<name>)\s*(?P<count>\d+)/(?P<total>\d+) (?:\[=*>?\.*\]|━+)"),
)
# What tqdm says of its own speed: "00:01<00:02,  3.1it/s".
_SPEED = re.compile(r"[\d:?]+<[\d:?]+,\s*(?:\?|[\d.]+)\s*\w*/?\w*")
# Colours that stay readable as print on a light ground, in the order of the ANSI codes.
_COLOURS = ("#24292f", "#b3261e", "#1b6e3a", "#8a5a00", "#1f4e9e", "#7b2d8b", "#0b6b78", "#6b7280")


@dataclass(frozen=True)
class Span:
    """A run of output text of one look; `colour` is a CSS colour or empty."""

    text: str
    colour: str = ""
    bold: bool = False


def printed(text: str) -> str:
    """The text as a terminal leaves it behind, with colour codes kept.

    Of a progress bar, the last state is kept, unless it says nothing but how fast it was.
    """
    kept: list[str] = []
    before = None
    for line in (_overwritten(line) for line in text.replace("\r\n", "\n").split("\n")):
        bar = _bar(plain(line))
        if bar and before and bar.follows(before):
            kept.pop()
        kept.append(line)
        before = bar
    kept = [line for line in kept if not ((bar := _bar(plain(line))) and bar.says_nothing)]
    return _CONTROLS.sub("", "\n".join(kept)).strip("\n").rstrip()


@dataclass(frozen=True)
class _Bar:
    """The state of a progress bar in one line."""

    name: str
    total: str
    count: float
    says_nothing: bool
    ends_in_text: bool

    def follows(self, other: _Bar) -> bool:
        """Whether this is a later state of the bar that the other is one of, and may take its place."""
        same = (self.name, self.total) == (other.name, other.total)
        return same and self.count > other.count and not other.ends_in_text


def _bar(line: str) -> _Bar | None:
    found = next(filter(None, (pattern.match(line) for pattern in _BARS)), None)
    if not found:
        return None
    of_tqdm = "state" in found.groupdict()  # Keras writes its numbers behind the bar
    speed_only = of_tqdm and _SPEED.fullmatch(found["state"].strip()) is not None
    ends_in_text = of_tqdm and bool(line[found.end() :].strip())
    says_nothing = speed_only and not found["name"].strip() and not ends_in_text
    with contextlib.suppress(ValueError):
        return _Bar(found["name"], found["total"], float(found["count"]), says_nothing, ends_in_text)
    return None


def plain(text: str) -> str:
    """The text without any escape sequence."""
    return _ESCAPES.sub("", text)


def spans(text: str) -> list[Span]:
    """The text cut at its colour codes; other escape sequences are dropped."""
    found: list[Span] = []
    colour, bold, position = "", False, 0
    for match in _ESCAPES.finditer(text):
        if match.start() > position:
            found.append(Span(text[position : match.start()], colour, bold))
        position = match.end()
        if match.group(1) is not None:
            colour, bold = _after_codes(match.group(1), colour, bold)
    if position < len(text):
        found.append(Span(text[position:], colour, bold))
    return found


def wrapped(text: str, width: int) -> str:
    """The text with every line longer than `width` characters cut; a cut line goes on after an arrow."""
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(line.expandtabs(8), width))


def shortened_rule(line: str, width: int) -> str:
    """The line, or of one that is nothing but a rule ("=====", "# -----") as much as has room."""
    return line[:width] if _RULE.fullmatch(line) else line


def _overwritten(line: str) -> str:
    """One line after its carriage returns and backspaces: what was written last stands."""
    line = line.rstrip("\r")
    if "\r" in line:
        shown = ""
        for part in line.split("\r"):
            # An ANSI code has no width; lines that carry one are replaced as a whole.
            shown = part if "\x1b" in part + shown else part + shown[len(part) :]
        line = shown
    while "\b" in line:
        # Not a raw string: to the regular expression \b would be the edge of a word.
        line = re.sub("[^\b]?\b", "", line, count=1)
    return line


def _after_codes(codes: str, colour: str, bold: bool) -> tuple[str, bool]:
    numbers = [int(code) for code in codes.split(";") if code] or [0]
    index = 0
    while index < len(numbers):
        code = numbers[index]
        if code == 0:
            colour, bold = "", False
        elif code == 1:
            bold = True
        elif code == 22:
            bold = False
        elif 30 <= code <= 37:
            colour = _COLOURS[code - 30]
        elif 90 <= code <= 97:
            colour = _COLOURS[code - 90]
        elif code == 39:
            colour = ""
        elif code in (38, 48):
            # 256 colours (38;5;n) and true colour (38;2;r;g;b); a background (48) is passed over.
            kind = numbers[index + 1] if index + 1 < len(numbers) else 0
            if kind == 5 and index + 2 < len(numbers):
                colour = _of_256(numbers[index + 2]) if code == 38 else colour
                index += 2
            elif kind == 2 and index + 4 < len(numbers):
                colour = "#{:02x}{:02x}{:02x}".format(*(min(n, 255) for n in numbers[index + 2 : index + 5]))
                index += 4
        index += 1
    return colour, bold


def _of_256(number: int) -> str:
    if number < 16:
        return _COLOURS[number % 8]
    if number >= 232:
        return "#6b7280"
    cube = number - 16
    # Darkened to two thirds: these colours are made for a black ground.
    red, green, blue = (int(level * 34) for level in (cube // 36, cube // 6 % 6, cube % 6))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _pieces(line: str, width: int) -> list[str]:
    visible = _ESCAPES.sub("", line)
    if len(visible) <= width:
        return [line]
    line = shortened_rule(visible, width)
    if len(line) <= width:
        return [line]
    step = width - 2
    return [line[:width], *("↪ " + line[start : start + step] for start in range(width, len(line), step))]
