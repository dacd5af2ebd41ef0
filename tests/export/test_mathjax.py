"""Formulas beside MathJax's: the same structure in Typst's MathML and in MathJax's.

Needs node, and mathjax-full 3 in the folder HWKIT_MATHJAX: `npm install mathjax-full@3` there.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

typst = pytest.importorskip("typst")

from test_formulas import CONSTRUCTS, FIXTURES, HOLDERS  # noqa: E402

from hwkit.export.formulas import formula  # noqa: E402

FOLDER = os.environ.get("HWKIT_MATHJAX", "")
pytestmark = pytest.mark.skipif(not (FOLDER and shutil.which("node")), reason="needs node and HWKIT_MATHJAX")

# The theme's own functions, as far as MathML has something for them.
PRELUDE = "#let texcolour(colour, body) = body\n#let texsize(size, body) = body\n#let texphantom = hide\n"
# Characters that one of the two writes as another, and accents in their combining form.
SAME = str.maketrans("−∗⟂ϵϕ‖∣·", "-*⊥εφ∥|⋅", "\u2061\u2062\u2063\u2064\ufe00\ufe01")
ACCENTS = str.maketrans({"^": "̂", "~": "̃", "¯": "̄", "→": "⃗", "˙": "̇", "¨": "̈", "―": "̅"})
# Operators whose limits stand beside them in text, which MathML says in two ways.
MOVABLE = ("∑", "∏", "⋂", "lim", "max", "argmax", "argmin")


def mathjax_of(formulas: list[str]) -> list[str | None]:
    """MathJax's MathML of each formula, None if it refuses it."""
    done = subprocess.run(
        ["node", str(FIXTURES / "mathjax.js")],
        input=json.dumps(formulas),
        env={**os.environ, "NODE_PATH": str(Path(FOLDER) / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def typst_of(formulas: list[str]) -> list[str]:
    """Typst's MathML of each formula."""
    parts = [f'#html.elem("div")[{formula(tex, display=True)[0]}]' for tex in formulas]
    page = typst.compile((PRELUDE + "\n".join(parts)).encode(), format="html").decode()
    return re.findall(r"<div>(.*?)</div>", page, re.DOTALL)


def structure(node: ElementTree.Element) -> str:
    """What a MathML tree says: characters, scripts (_ ^), what stands under and over (< >), fractions, tables."""
    kind, parts = node.tag.rpartition("}")[2], list(node)
    if kind in ("mi", "mn", "mo", "mtext"):
        text = unicodedata.normalize("NFKD", "".join(node.itertext())).translate(SAME)
        return "".join(text.split())
    if kind in ("mspace", "mphantom"):
        return ""
    if kind == "mfrac":
        return f"frac({structure(parts[0])},{structure(parts[1])})"
    if kind in ("msub", "msup", "msubsup", "munder", "mover", "munderover"):
        base, *scripts = map(structure, parts)
        kind = {"munder": "msub", "mover": "msup", "munderover": "msubsup"}.get(kind, kind) if base in MOVABLE else kind
        marks = {"sub": "_", "sup": "^", "subsup": "_^", "under": "<", "over": ">", "underover": "<>"}[kind[1:]]
        if "over" in kind and len(scripts[-1]) == 1:
            scripts[-1] = scripts[-1].translate(ACCENTS)
        return base + "".join(f"{mark}{{{script}}}" for mark, script in zip(marks, scripts, strict=True) if script)
    if kind == "mtable":
        rows = [",".join(filter(None, map(structure, row))) for row in parts]
        return f"[{';'.join(rows)}]"
    return ("√" if kind in ("msqrt", "mroot") else "") + "".join(map(structure, parts))


def compared(markup: str) -> str:
    """The structure without what differs in MathML and not on paper."""
    text = structure(ElementTree.fromstring(f"<r>{markup.replace('&nbsp;', ' ')}</r>"))
    text = re.sub(r"[<>]\{[\u0305\u23de\u23df]\}|\[\]", "", text)
    return re.sub(r"\[([^\[\];,]*);([^\[\];,]*)\]", r"frac(\1,\2)", text)


def test_formulas_have_the_structure_that_mathjax_gives_them():
    chance = random.Random(1)
    holders = [holder for holder in HOLDERS if not re.search("boxed|cancel|@", holder)]
    formulas = [tex for tex in CONSTRUCTS if not re.search(r"prooftree|boxed|CD|cfrac|LaTeX|\\ce", tex)]
    leaves = ["a", "x_1", "2", r"\alpha", r"\sum_i x_i", r"\text{if }", "n", r"\int_0^1", "="]
    for _ in range(400):
        parts = [chance.choice(leaves) for _ in range(4)]
        while len(parts) > 1:
            parts.append(chance.choice(holders) % (parts.pop(0), parts.pop(0)))
        formulas += parts
    expected = mathjax_of(formulas)
    known = [bool(markup) and 'mathcolor="red"' not in markup for markup in expected]
    accepted = [(tex, str(markup)) for tex, markup, set_ in zip(formulas, expected, known, strict=True) if set_]
    assert len(accepted) > 250
    ours = typst_of([tex for tex, _ in accepted])
    different = [
        (tex, compared(mine), compared(theirs))
        for (tex, theirs), mine in zip(accepted, ours, strict=True)
        if compared(mine) != compared(theirs)
    ]
    assert different == []


# Arrows that mhchem puts together from pieces, and the signs they are.
COMPOSED = {"↽->{-⇀}": "⇌", "⟵>{⟶}": "⇄", "↽>{-⇀}": "frac(⇀,↽<{})", "↽->{⇀}": "frac(⇀>{},↽)"}
# Bonds of dashes and dots, which have no sign; scripts that stand in another order of the same place.
SAME_LOOK = re.compile(r"\\bond\{~|Fe\^\{III\}2|\\underset")


def test_chemistry_has_the_structure_that_mathjax_gives_it():
    """The formulas are those of mhchem's own tests, which are installed with MathJax."""
    source = (Path(FOLDER) / "node_modules/mhchemparser/test/test-dist.html").read_text(encoding="utf-8")
    calls = "\n".join(re.findall(r"^test\(.*$", source, re.MULTILINE))
    script = (
        f"const found = []; function test(...call) {{ found.push(call) }}\n{calls}\nconsole.log(JSON.stringify(found))"
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    formulas = [text if kind == "tex" else f"\\{kind}{{{text}}}" for kind, text, _ in json.loads(done.stdout)]
    assert len(formulas) > 100
    different = []
    for tex, ours, theirs in zip(formulas, typst_of(formulas), mathjax_of(formulas), strict=True):
        meant = compared(str(theirs))
        for pieces, sign in COMPOSED.items():
            meant = meant.replace(pieces, sign)
        if compared(ours) != meant and not SAME_LOOK.search(tex):
            different.append((tex, compared(ours), meant))
    assert different == []
