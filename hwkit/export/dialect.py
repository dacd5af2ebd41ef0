"""Markdown as Jupyter reads it (CommonMark and GitHub's tables, links and strikeouts), and what hwkit knows beyond it.

That is of Quarto: attributes (`{#id .class key="value"}`), divisions (`:::`), spans, citations and references (`@key`),
captions of tables, sub- and superscripts; of MyST: roles; of LaTeX: `\\cite`, `\\ref` and definitions of macros; and
footnotes, definition lists and task lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.gfm_autolink import gfm_autolink_plugin

from hwkit.export import ast
from hwkit.export.ast import Element
from hwkit.export.formulas import split_macros
from hwkit.export.html_reader import KEPT

# Blocks that nest deeper than this are text.
_DEEPEST = 40

_ATTRIBUTE = re.compile(
    r"""\s*(?:\#(?P<id>[^\s{}"'=]+)|\.(?P<class>[^\s{}"'=]+)|(?P<unnumbered>-)(?=[\s}])"""
    r"""|(?P<key>[A-Za-z][\w:.-]*)=(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<bare>[^\s{}"']+)))"""
)
_DIVISION = re.compile(r":{3,}[ \t]*(\{.*\}|[\w-]+)[ \t]*([^\n]*?):*[ \t]*$")
_DIVISION_END = re.compile(r":{3,}[ \t]*$")
_DIRECTIVE = re.compile(r"\{([A-Za-z][\w:-]*)\}[ \t]*(.*)$")
# As pandoc's keys, but for < and >: `@key<br>` is a key and a tag.
_KEY = r"@(?:\{(?P<braced>[^{}\s]+)\}|(?P<key>[A-Za-z0-9_](?:(?!&#?\w+;)[:.#$%&+?~/-]?\w)*))"
_IN_TEXT = re.compile(rf"{_KEY}(?:\s?\[(?P<after>[^\[\]@]*)\])?(?!@)")
_ONE_OF_GROUP = re.compile(rf"(?P<before>[^@]*?)(?P<suppress>-?)(?<![\w@]){_KEY}(?P<after>[^@]*)$", re.DOTALL)
_TEX = re.compile(r"\\(?P<command>[A-Za-z]*cite[A-Za-z]*|ref|eqref)\*?\{(?P<keys>[^{}\n]*)\}")
_DEFINES = re.compile(r"\\(?:(?:re)?newcommand|providecommand|DeclareMathOperator|def|let)\b")
_ROLE = re.compile(r"\{([A-Za-z:-]+)\}(`+)(.+?)\2(?!`)", re.DOTALL)
_SCRIPTS = {
    "~": (re.compile(r"~([^\s~^]{1,40})~(?!~)"), "Subscript"),
    "^": (re.compile(r"\^([^\s^~\[\]]{1,40})\^(?!\w)"), "Superscript"),
}
_HEADING_ATTRIBUTES = re.compile(r"[ \t]*(\{[^{}]*\})[ \t]*#*[ \t]*$")
_HEADING_ANCHOR = re.compile(r"""[ \t]*<a (?:id|name)=["']([^"'<>\s]+)["']></a>[ \t]*$""")
_CAPTION = re.compile(r"(?:Table)?:[ \t]+(?=\S)")
_CAPTION_ATTRIBUTES = re.compile(r"\s*(\{[^{}]*\})\s*$")

# MyST's roles that refer to something, and those whose text stays.
_REFERENCES = {"ref": "named", "numref": "named", "eq": "eqref"}
_TEXT_ROLES = ("doc", "term", "download", "abbr", "index")


@cache
def parser() -> MarkdownIt:
    """The parser; its renderer keeps nodes of the tree in `env["kept"]` and writes a mark for each."""
    md = MarkdownIt("commonmark", {"html": True, "maxNesting": _DEEPEST, "tasklists": True})
    md.enable(["table", "strikethrough"]).use(deflist_plugin).use(gfm_autolink_plugin)
    md.use(footnote_plugin, inline=False, move_to_end=False)
    # What addresses may lead to is decided where the document is built; those of data are long.
    md.validateLink = lambda url: True  # type: ignore[method-assign]
    normalised = md.normalizeLink
    md.normalizeLink = lambda url: url if url.startswith("data:") else normalised(url)  # type: ignore[method-assign]
    ends_paragraph: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list", "footnote_def", "table"]}
    md.block.ruler.before("fence", "division", _division, ends_paragraph)
    md.core.ruler.before("inline", "attributes", _attributes_of_blocks)
    md.core.ruler.push("figures", _figures)
    first: dict[str, Callable[[StateInline, bool], bool]] = {"tex": _tex, "role": _role, "attributes": _attributes}
    for name, rule in first.items():
        md.inline.ruler.before("escape", name, rule)
    later = {"citation": _citation, "group": _citation_group, "span": _span, "script": _script}
    for name, rule in later.items():
        md.inline.ruler.after("link", name, rule)
    for name in ("kept", "footnote_ref", "footnote_reference_open", "footnote_reference_close"):
        md.add_render_rule(name, globals()[f"_render_{name}"])
    return md


def attributes_in(text: str, start: int = 0) -> tuple[dict[str, str], int] | None:
    """The attributes `{#id .class key="value"}` at a place of a text, and where they end; None if there are none.

    Examples
    --------
    >>> attributes_in('{#a .b .c width=50%}')
    ({'id': 'a', 'class': 'b c', 'width': '50%'}, 20)
    """
    if text[start : start + 1] != "{":
        return None
    found: dict[str, str] = {}
    position = start + 1
    while match := _ATTRIBUTE.match(text, position):
        if match["id"]:
            found["id"] = match["id"]
        elif match["key"]:
            value = next(value for value in match.group("double", "single", "bare") if value is not None)
            found[match["key"]] = re.sub(r"\\([\\\"'])", r"\1", value)
        else:
            found["class"] = f"{found.get('class', '')} {match['class'] or 'unnumbered'}".strip()
        position = match.end()
    end = re.compile(r"\s*\}").match(text, position)
    return (found, end.end()) if found and end else None


def directive_in(info: str) -> tuple[str, str] | None:
    """The name of a MyST directive and its argument, if a fence begins with one: `{note} Title`."""
    match = _DIRECTIVE.match(info.strip())
    return (match[1], match[2].strip()) if match else None


# --- blocks --------------------------------------------------------------------------------------------------


def _division(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A division `::: {.class}`, `::: class` or `:::{directive} Title`, up to its `:::` or its parent's end."""
    if state.is_code_block(start) or not (opened := _DIVISION.match(_line(state, start))):
        return False
    directive = directive_in(f"{opened[1]} {opened[2]}")
    attributes = attributes_in(opened[1]) if opened[1].startswith("{") else ({"class": opened[1]}, 0)
    if not directive and (attributes is None or opened[2]):
        return False
    if silent:
        return True
    last = _end_of_division(state, start, end)
    if directive:
        token = state.push("directive", "", 0)
        token.meta = {"name": directive[0], "title": directive[1]}
        token.content = state.getLines(start + 1, last, state.blkIndent, False)
    else:
        assert attributes is not None
        state.push("division_open", "div", 1).attrs = dict(attributes[0])
        before = state.lineMax, state.parentType
        state.lineMax, state.parentType = last, "division"
        state.md.block.tokenize(state, start + 1, last)
        state.lineMax, state.parentType = before
        state.push("division_close", "div", -1)
    state.line = min(last + 1, end)
    return True


def _end_of_division(state: StateBlock, start: int, end: int) -> int:
    """The line that closes the division that begins at `start`, or the one after its parent's last."""
    depth, fence = 1, ""
    for number in range(start + 1, end):
        line = _line(state, number)
        if state.sCount[number] < state.blkIndent and line:
            return number
        if fenced := re.match(r"(`{3,})[^`]*$|(~{3,})", line):
            mark = fenced[1] or fenced[2]
            if not fence:
                fence = mark
            elif mark.startswith(fence) and line.strip() == mark:
                fence = ""
        elif not fence and _DIVISION_END.match(line):
            depth -= 1
            if not depth:
                return number
        elif not fence and _DIVISION.match(line):
            depth += 1
    return end


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _attributes_of_blocks(state: StateCore) -> None:
    """Attributes at the end of headings, and captions of tables, which stand in a paragraph below or above them."""
    tokens = state.tokens
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            title = tokens[index + 1]
            title.content = _HEADING_ANCHOR.sub(r" {#\1}", title.content)
            _take_attributes(token, title, _HEADING_ATTRIBUTES)
    places = [index for index, token in enumerate(tokens) if token.type in ("table_open", "table_close")]
    for place in reversed(places):
        if tokens[place].type == "table_close":
            opening = max(index for index in places if index < place)
            caption = _caption_at(tokens, place + 1) or _caption_row(tokens, place)
            if caption:
                _put_caption(tokens, opening, caption)
        elif tokens[place + 1].type != "caption_open" and (caption := _caption_at(tokens, place - 3)):
            _put_caption(tokens, place - 3, caption)


def _caption_at(tokens: list[Token], place: int) -> Token | None:
    """The caption in the paragraph at a place, which is taken out."""
    if place < 0 or [token.type for token in tokens[place : place + 2]] != ["paragraph_open", "inline"]:
        return None
    inline = tokens[place + 1]
    if not (begin := _CAPTION.match(inline.content)):
        return None
    inline.content = inline.content[begin.end() :]
    del tokens[place : place + 3]
    return inline


def _caption_row(tokens: list[Token], close: int) -> Token | None:
    """A caption right below the last row of a table, which makes a row of it."""
    opening = max(index for index in range(close) if tokens[index].type == "tr_open")
    first, *others = [token for token in tokens[opening:close] if token.type == "inline"]
    if not first.content.startswith(": ") or any(other.content for other in others):
        return None
    first.content = first.content[2:].lstrip()
    ends = [index for index in range(opening, close) if tokens[index].type == "tr_close"]
    del tokens[opening : ends[0] + 1]
    return first


def _put_caption(tokens: list[Token], opening: int, caption: Token) -> None:
    _take_attributes(tokens[opening], caption, _CAPTION_ATTRIBUTES)
    tokens[opening + 1 : opening + 1] = [
        Token("caption_open", "caption", 1),
        caption,
        Token("caption_close", "caption", -1),
    ]


def _take_attributes(element: Token, inline: Token, pattern: re.Pattern[str]) -> None:
    """Move the attributes at the end of a text to an element."""
    found = pattern.search(inline.content)
    attributes = attributes_in(found[1]) if found else None
    if found and attributes:
        inline.content = inline.content[: found.start()]
        element.attrs.update(attributes[0])


def _figures(state: StateCore) -> None:
    """A paragraph of nothing but an image with a text is a figure with a caption, as in Quarto."""
    for index, token in enumerate(state.tokens):
        children = token.children or []
        if token.type != "inline" or [child.type for child in children] != ["image"]:
            continue
        opening, closing = state.tokens[index - 1], state.tokens[index + 1]
        if opening.type != "paragraph_open" or opening.hidden:
            continue
        image = children[0]
        if not (text := image.children):
            continue
        opening.tag = closing.tag = "figure"
        if identifier := image.attrs.pop("id", ""):
            opening.attrs["id"] = identifier
        caption = [Token("caption_open", "figcaption", 1), *text, Token("caption_close", "figcaption", -1)]
        token.children = [image, *caption]


# --- lines ---------------------------------------------------------------------------------------------------


def _keep(state: StateInline, silent: bool, end: int, node: Element | None) -> bool:
    """Put a node of the tree in the place of the text up to `end`, or nothing."""
    if not silent and node:
        state.push("kept", "", 0).meta = {"node": node}
    state.pos = end
    return True


def _citation(state: StateInline, silent: bool) -> bool:
    """`@key`, perhaps with `[p. 3]` behind it; `@fig-x` is a reference."""
    if state.src[state.pos] != "@" or re.match(r"[\w@./]", state.src[state.pos - 1 : state.pos] if state.pos else ""):
        return False
    match = _IN_TEXT.match(state.src, state.pos, state.posMax)
    if not match:
        return False
    after = match["after"] if match["after"] and re.match(r"\s*(?:p|ch|sec|\d)", match["after"]) else None
    end = match.end() if after is not None or match["after"] is None else match.start("after") - 1
    shown = ast.text_inlines(state.src[state.pos : end].rstrip())
    key = ast.cited(match["braced"] or match["key"], after=after or "", mode="AuthorInText")
    if after is None:
        end = match.end("braced") + 1 if match["braced"] else match.end("key")
        shown = [ast.string(state.src[state.pos : end])]
    return _keep(state, silent, end, {"t": "Cite", "c": [[key], shown]})


def _citation_group(state: StateInline, silent: bool) -> bool:
    """`[see @a, p. 3; -@b]`."""
    if state.src[state.pos] != "[":
        return False
    end = state.src.find("]", state.pos, state.posMax)
    if "@" not in state.src[state.pos : end] or end < 0:
        return False
    parts = [_ONE_OF_GROUP.match(part) for part in state.src[state.pos + 1 : end].split(";")]
    if not all(parts):
        return False
    keys = [
        ast.cited(
            part["braced"] or part["key"],
            part["before"],
            part["after"],
            mode="SuppressAuthor" if part["suppress"] else "NormalCitation",
        )
        for part in parts
        if part
    ]
    shown = ast.text_inlines(state.src[state.pos : end + 1])
    return _keep(state, silent, end + 1, {"t": "Cite", "c": [keys, shown]})


def _tex(state: StateInline, silent: bool) -> bool:
    r"""`\cite{a}`, `\ref{b}`, and definitions of macros, which formulas obey and no page shows."""
    if state.src[state.pos] != "\\":
        return False
    if match := _TEX.match(state.src, state.pos, state.posMax):
        command, shown = match["command"], [ast.string(match[0])]
        if command in ("ref", "eqref"):
            return _keep(state, silent, match.end(), ast.reference(match["keys"], command, shown))
        in_text = command in ("citet", "textcite")
        return _keep(state, silent, match.end(), ast.citation(match["keys"].split(","), shown, in_text=in_text))
    if _DEFINES.match(state.src, state.pos):
        ends = re.compile(r"\}|\\let.*?\\\w+.*?(?:\\\w+|\S)").finditer(state.src, state.pos, state.posMax)
        for end in (found.end() for found in ends):
            if not split_macros(state.src[state.pos : end])[1]:
                return _keep(state, silent, end, None)
    return False


def _role(state: StateInline, silent: bool) -> bool:
    """MyST's roles: "{ref}`fig-x`", "{math}`a^2`", "{cite}`key`"; of "{term}`word`" and the like, the text stays."""
    match = _ROLE.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "{" else None
    node = _of_role(match[1], match[3].strip()) if match else None
    return _keep(state, silent, match.end(), node) if match and node else False


def _of_role(role: str, text: str) -> Element | None:
    named = re.fullmatch(r"(.*?)\s*<([^<>]+)>", text, re.DOTALL)
    shown, target = (named[1], named[2]) if named else ("", text)
    if role == "math":
        return ast.math(text)
    if role in _REFERENCES:
        if shown and "%s" not in shown:
            return ast.link(ast.text_inlines(shown), f"#{target}")
        return ast.reference(target, _REFERENCES[role], [ast.string(text)])
    if role.startswith("cite"):
        return ast.citation(text.split(","), [ast.string(text)], in_text=role == "cite:t")
    if role in ("sub", "sup"):
        return {"t": "Subscript" if role == "sub" else "Superscript", "c": ast.text_inlines(text)}
    return ast.span(ast.text_inlines(shown or text), ast.attr()) if role in _TEXT_ROLES else None


def _attributes(state: StateInline, silent: bool) -> bool:
    """Attributes right behind an image, a link or code."""
    last = state.tokens[-1] if state.tokens and not state.pending else None
    if state.src[state.pos] != "{" or last is None or last.type not in ("image", "code_inline", "link_close"):
        return False
    raw = re.compile(r"\{=(\w+)\}").match(state.src, state.pos) if last.type == "code_inline" else None
    found = attributes_in(state.src, state.pos)
    if not raw and not found:
        return False
    if not silent and raw:
        last.type, last.tag, last.meta = "kept", "", {"node": ast.raw_inline(raw[1], last.content)}
    elif not silent and found:
        links = [token for token in state.tokens if token.type == "link_open"]
        (links[-1] if last.type == "link_close" else last).attrs.update(found[0])
    state.pos = raw.end() if raw else found[1] if found else state.pos
    return True


def _span(state: StateInline, silent: bool) -> bool:
    """`[words]{#id .class}`."""
    if state.src[state.pos] != "[":
        return False
    end = state.md.helpers.parseLinkLabel(state, state.pos)
    found = attributes_in(state.src, end + 1) if end >= 0 else None
    if not found:
        return False
    if not silent:
        before = state.posMax
        state.pos, state.posMax = state.pos + 1, end
        state.push("span_open", "span", 1).attrs = dict(found[0])
        state.md.inline.tokenize(state)
        state.push("span_close", "span", -1)
        state.posMax = before
    state.pos = found[1]
    return True


def _script(state: StateInline, silent: bool) -> bool:
    """`H~2~O` and `x^2^`: right behind a word and without spaces; `x^2+y^2` is neither."""
    pattern, kind = _SCRIPTS.get(state.src[state.pos], (None, ""))
    if pattern is None or not re.match(r"[\w)\]}*`]", state.src[state.pos - 1 : state.pos] if state.pos else ""):
        return False
    match = pattern.match(state.src, state.pos, state.posMax)
    if not match:
        return False
    if not silent:
        tag = kind[:3].lower()
        state.push("script_open", tag, 1)
        before, state.posMax = state.posMax, match.end(1)
        state.pos = match.start(1)
        state.md.inline.tokenize(state)
        state.posMax = before
        state.push("script_close", tag, -1)
    state.pos = match.end()
    return True


# --- HTML ----------------------------------------------------------------------------------------------------


def _render_kept(self: RendererHTML, tokens: Sequence[Token], index: int, options: object, env: dict) -> str:
    env["kept"].append([tokens[index].meta["node"]])
    return f'<span {KEPT}="{len(env["kept"]) - 1}"></span>'


def _render_footnote_ref(self: RendererHTML, tokens: Sequence[Token], index: int, options: object, env: dict) -> str:
    note = ast.span([], ast.attr("", ("hwkit-note-reference",), label=tokens[index].meta["label"]))
    env["kept"].append([note])
    return f'<span {KEPT}="{len(env["kept"]) - 1}"></span>'


def _render_footnote_reference_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: object, env: dict
) -> str:
    return f'<div class="hwkit-note-text" data-label="{escapeHtml(tokens[index].meta["label"])}">'


def _render_footnote_reference_close(*_: object) -> str:
    return "</div>"
