"""TeX in a form that pandoc turns into MathML, for pages."""

from __future__ import annotations

import re

_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z\s])")
# Commands that switch the font until the group ends, and what does the same to an argument.
_SWITCHES = {
    "rm": "mathrm",
    "bf": "mathbf",
    "it": "mathit",
    "sf": "mathsf",
    "tt": "mathtt",
    "cal": "mathcal",
    "frak": "mathfrak",
    "Bbb": "mathbb",
}
_SWITCH = re.compile(rf"\\({'|'.join(_SWITCHES)})(?![A-Za-z])\s*")
# What says something about type size or the page only, and what has another name.
_WITHOUT_MEANING = re.compile(
    r"\\(?:tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaylimits|nolimits"
    r"|nonumber|notag|centering|hfill|strut|mathstrut|noindent|newline(?=\s*$))(?![A-Za-z])"
)
# Commands that go with their first argument: labels, and what a page has no use for.
_WITHOUT_USE = re.compile(r"\\(?:label|tag\*?|textcolor|color|href|cssId|class|style|require)\s*\{[^{}]*\}")
_KERN = re.compile(r"\\(?:mkern|mskip|kern|hskip)\s*-?[\d.]+\s*(?:mu|em|pt|ex|cm|mm|in)")
_UNICODE = re.compile(r"\\unicode\s*\{\s*(?:x([0-9A-Fa-f]+)|(\d+))\s*\}")
_RENAMED = {
    "bm": "boldsymbol",
    "mathbbm": "mathbb",
    "mathds": "mathbb",
    "mathscr": "mathcal",
    "textnormal": "text",
    "mbox": "text",
    "hbox": "text",
    "argmax": "operatorname*{arg\\,max}",
    "argmin": "operatorname*{arg\\,min}",
    "intertext": "text",
    "smash": "",
    "cfrac": "dfrac",
    "LaTeX": "text{LaTeX}",
    "TeX": "text{TeX}",
}


def modern(tex: str) -> str:
    r"""The formula without what pandoc does not know: `{\bf x}` becomes `{\mathbf{x}}`, labels go."""
    tex = _KERN.sub("", _WITHOUT_USE.sub("", _WITHOUT_MEANING.sub("", tex)))
    tex = _UNICODE.sub(_character, tex)
    tex = _COMMAND.sub(_renamed, tex)
    while found := _SWITCH.search(tex):
        end = _group_end(tex, found.end())
        command = f"\\{_SWITCHES[found[1]]}"
        if end is not None:
            tex = f"{tex[: found.start()]}{command}{tex[found.end() :]}"
        else:
            end = _enclosing_end(tex, found.end())
            tex = f"{tex[: found.start()]}{command}{{{tex[found.end() : end]}}}{tex[end:]}"
    return tex


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2])
    return chr(code) if code < 0x110000 else ""


def _renamed(match: re.Match[str]) -> str:
    name = _RENAMED.get(match[1])
    if name is None:
        return match[0]
    return f"\\{name}" if name[:1].isalpha() else name


def _group_end(text: str, start: int) -> int | None:
    """The position after the group `{...}` that begins at `start`; None if none does, or it never ends."""
    if text[start : start + 1] != "{":
        return None
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return position + 1
        position += 1
    return None


def _enclosing_end(tex: str, start: int) -> int:
    """Where the group, cell or row that `start` is in ends."""
    depth = 0
    position = start
    while position < len(tex):
        character = tex[position]
        if character == "\\":
            if depth == 0 and re.match(r"\\(\\|end\b|right\b)", tex[position:]):
                return position
            position += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position
            depth -= 1
        elif character == "&" and depth == 0:
            return position
        position += 1
    return position
