-- Reads each chunk of the notebook by itself, in a sandbox without files: what one cell leaves open
-- (a fence, a division, a tag) ends with that cell, as it does in Jupyter.

local MARKDOWN = "markdown+lists_without_preceding_blankline+autolink_bare_uris+tex_math_double_backslash"
  .. "-blank_before_header-blank_before_blockquote-yaml_metadata_block-pandoc_title_block-fancy_lists"
  .. "-example_lists-literate_haskell-latex_macros"
local MATH_ENVIRONMENTS = {
  align = true, alignat = true, aligned = true, cases = true, eqnarray = true, equation = true,
  flalign = true, gather = true, gathered = true, matrix = true, multline = true, split = true,
  bmatrix = true, pmatrix = true, vmatrix = true, array = true,
}

-- The citation that LaTeX's \cite{a,b} or nbconvert's <cite data-cite="a"> means; shown as `shown` without entries.
local function citation(keys, mode, shown)
  local citations = pandoc.List()
  for key in keys:gmatch("[^,%s]+") do citations:insert(pandoc.Citation(key, mode)) end
  return pandoc.Cite(shown, citations)
end

-- MathJax sets a bare LaTeX environment as an equation; any other bare LaTeX stays the text that it is.
local function tex_as_math(raw)
  if not raw.format:match("tex") then return nil end
  local environment = raw.text:match("^%s*\\begin{(%a+)%*?}")
  if environment and MATH_ENVIRONMENTS[environment] then
    return pandoc.Math("DisplayMath", raw.text)
  end
  local cite, keys = raw.text:match("^\\(%a*cite%a*)%*?{([^{}]*)}$")
  if cite then
    local mode = (cite == "citet" or cite == "textcite") and "AuthorInText" or "NormalCitation"
    return citation(keys, mode, { pandoc.Str(raw.text) })
  end
  for _, definition in ipairs({ "%a*newcommand", "providecommand", "DeclareMathOperator", "def", "let" }) do
    if raw.text:match("^%s*\\" .. definition .. "%A") then return pandoc.Str("") end
  end
  local command, argument = raw.text:match("^\\(%a+)%*?{([^{}]*)}$")
  if command == "ref" or command == "eqref" then
    return pandoc.Link({ pandoc.Str(raw.text) }, "#" .. argument, "", { class = "hwkit-reference " .. command })
  end
  return pandoc.Str(raw.text)
end

local TEX = {
  RawInline = tex_as_math,
  RawBlock = function(raw)
    local inline = tex_as_math(raw)
    return inline and pandoc.Para({ inline }) or nil
  end,
}

-- A walk over a tree takes longer than reading it did; text without a certain sign needs none.
local function walked(document, text, sign, filter)
  return text:find(sign) and document:walk(filter) or document
end

local function read_markdown(text)
  return walked(pandoc.read(text, MARKDOWN, nil, {}), text, "\\", TEX)
end

local function html_citations(inlines)
  local result, index = pandoc.List(), 1
  while index <= #inlines do
    local tag, keys
    if inlines[index].t == "RawInline" then
      tag, keys = inlines[index].text:match("^<(%a+)%s[^>]*data%-cite=[\"']([^\"']*)[\"']")
    end
    local last = index
    while tag and last < #inlines and not (inlines[last].t == "RawInline" and inlines[last].text == "</" .. tag .. ">") do
      last = last + 1
    end
    if tag and last > index then
      local shown = pandoc.List()
      for inside = index + 1, last - 1 do shown:insert(inlines[inside]) end
      result:insert(citation(keys, "NormalCitation", shown))
      index = last + 1
    else
      result:insert(inlines[index])
      index = index + 1
    end
  end
  return result
end

local function holds_html(document, text)
  if not text:find("<") then return false end
  local found = false
  local function look(raw) found = found or raw.format:match("html") ~= nil end
  document:walk({ RawInline = look, RawBlock = look })
  return found
end

-- What a page would play, or load from elsewhere, as a mark with its address.
local function embedded_marked(html)
  for _, kind in ipairs({ "iframe", "video", "audio" }) do
    html = html:gsub("<" .. kind .. "(%f[%s>][^>]*)>(.-)</" .. kind .. "%s*>", function(attributes, inside)
      local address = (attributes .. " " .. inside):match("%ssrc%s*=%s*[\"']?([^\"'%s>]+)") or ""
      if address:match("^data:") or address:match("^about:") then address = "" end
      return ('<span class="hwkit-embedded" data-what="%s" data-address="%s"></span>'):format(kind, address)
    end)
  end
  return html
end

local function read_html(html, extensions)
  return pandoc.read(embedded_marked(html), "html" .. extensions, nil, {})
end

-- HTML tags among Markdown reach pandoc's tree as raw text. Written out as HTML and read back, they
-- become what they mean; what HTML cannot carry stays behind and is put back afterwards.
local function with_html_understood(document)
  local kept = {}
  local function keep(placeholder)
    return function(element)
      kept[#kept + 1] = element
      return placeholder(pandoc.Attr("hwkit-kept-" .. #kept)), false
    end
  end
  local span = keep(function(attr) return pandoc.Span({}, attr) end)
  local block = keep(function(attr) return pandoc.Div({}, attr) end)
  document = document:walk({
    traverse = "topdown", Math = span, Note = span, Cite = span, CodeBlock = block,
    Figure = block, Table = block,
    RawInline = function(raw) if not raw.format:match("html") then return span(raw) end end,
    RawBlock = function(raw) if not raw.format:match("html") then return block(raw) end end,
  })
  local html = pandoc.write(document, "html-task_lists", { wrap_text = "none" })
  local function restore(placeholder)
    local index = placeholder.identifier:match("^hwkit%-kept%-(%d+)$")
    return index and kept[tonumber(index)] or nil
  end
  return read_html(html, ""):walk({ Span = restore, Div = restore })
end

-- A program with a caption, in Quarto's syntax: ```{#lst-x .python lst-cap="..."}
local function captioned_program(block)
  local caption, label = block.attributes["lst-cap"], block.identifier
  block.attributes["lst-cap"], block.identifier = nil, ""
  return pandoc.Div({ pandoc.Div(read_markdown(caption).blocks, { class = "hwkit-caption" }), block }, { id = label, class = "hwkit-listing" })
end

-- A callout's stated title, which may hold markup, as the heading that it may have instead. Tabs, which paper has not,
-- stand one after the other.
local function divisions(div)
  local title = div.attributes.title
  if title and title ~= "" and div.classes:find_if(function(class) return class:match("^callout%-") end) then
    div.attributes.title = nil
    div.content:insert(1, pandoc.Header(2, pandoc.utils.blocks_to_inlines(read_markdown(title).blocks)))
  elseif div.classes:includes("panel-tabset") then
    return div:walk({ Header = function(header) return pandoc.Para({ pandoc.Strong(header.content) }) end })
  end
  return div
end

-- MyST's roles, "{ref}`fig-x`", "{math}`a^2`", "{cite}`key`"; of others, "{term}`word`", the text stays.
local REFERENCES = { ref = "named", numref = "named", eq = "eqref" }
local TEXT_ROLES = { doc = true, term = true, download = true, abbr = true, index = true }
local function of_role(role, text)
  local shown, target = text:match("^(.-)%s*<([^<>]+)>$")
  if shown == "" then shown = nil end
  if role == "math" then return pandoc.Math("InlineMath", text) end
  if REFERENCES[role] and shown and not shown:find("%%s") then return pandoc.Link(shown, "#" .. target) end
  if REFERENCES[role] then
    return pandoc.Link({ pandoc.Str(text) }, "#" .. (target or text), "", { class = "hwkit-reference " .. REFERENCES[role] })
  end
  if role:match("^cite") then return citation(text, role == "cite:t" and "AuthorInText" or "NormalCitation", { pandoc.Str(text) }) end
  if role == "sub" then return pandoc.Subscript(text) elseif role == "sup" then return pandoc.Superscript(text) end
  return TEXT_ROLES[role] and pandoc.Str(shown or text) or nil
end

local function roles(inlines)
  local result = pandoc.List()
  for _, inline in ipairs(inlines) do
    local last = result[#result]
    local before, role
    if inline.t == "Code" and last and last.t == "Str" then before, role = last.text:match("^(.*){([%a:]+)}$") end
    local meant = role and of_role(role, inline.text)
    if meant then result[#result] = pandoc.Str(before) end
    result:insert(meant or inline)
  end
  return result
end

-- MyST's directives, "```{note} Title" and ":::{note}", with fences that pandoc knows.
local ADMONITIONS = {
  note = "note", tip = "tip", hint = "tip", seealso = "note", admonition = "note", important = "important",
  warning = "warning", attention = "warning", caution = "caution", danger = "caution", error = "caution",
}
-- Directives whose text stands on paper where it stands in the notebook, and those that only a book's builder obeys.
local function names(text)
  local found = {}
  for name in text:gmatch("%S+") do found[name] = true end
  return found
end
local FLOWING = names("margin sidebar topic dropdown details epigraph pull-quote highlights tab-set tab-item exercise solution card grid"
  .. " grid-item grid-item-card list-table table aside div proof theorem lemma definition example remark corollary algorithm")
local OF_A_BOOK = names("tableofcontents toctree contents bibliography index")
local PROGRAMS = names("code-block code sourcecode code-cell")

local function with_directives(text)
  local function fence(start, name, title)
    name = name:gsub("^prf:", "")
    title = title:gsub("'", "’")
    if ADMONITIONS[name] then return ("%s {.callout-%s title='%s'}"):format(start, ADMONITIONS[name], title) end
    return ("%s {.%s directive='yes' title='%s'}"):format(start, name, title)
  end
  return ("\n" .. text):gsub("(\n *```+){([%a:-]+)} *([^\n]*)", fence):gsub("(\n *:::+) *{([%a:-]+)} *([^\n]*)", fence):sub(2)
end

-- The lines ":key: value" that a directive begins with, and what follows them.
local function options_of(text)
  local options = {}
  while true do
    local key, value, rest = text:match("^:([%w_-]+): *([^\n]*)\n?(.*)$")
    if not key then return options, text end
    options[key], text = value, rest
  end
end

local FENCE = "[`~:>] ?[`~:[]"
local fenced

-- The text inside a directive, which may hold others.
local function flowing(text)
  return walked(walked(read_markdown(text), text, FENCE, { CodeBlock = fenced }), text, "{[%a:]+}`", { Inlines = roles }).blocks
end

local function directive(block, kind, title)
  local options, body = options_of(block.text)
  local label = options.name or options.label or ""
  if kind == "figure" or kind == "image" then
    local image = pandoc.Image(options.alt or "", title, "", { width = options.width })
    if kind == "image" then return pandoc.Para({ image }) end
    return pandoc.Figure({ pandoc.Plain({ image }) }, { long = flowing(body) }, pandoc.Attr(label))
  end
  if OF_A_BOOK[kind] then return {} end
  if PROGRAMS[kind] then
    local program = pandoc.CodeBlock(body, pandoc.Attr(label, { title }))
    if not options.caption then return program end
    program.attributes["lst-cap"] = options.caption
    return captioned_program(program)
  end
  if not FLOWING[kind] then return nil end
  local blocks = pandoc.List(flowing(body))
  if title ~= "" then blocks:insert(1, pandoc.Para({ pandoc.Strong(pandoc.utils.blocks_to_inlines(read_markdown(title).blocks)) })) end
  return blocks
end

-- Fenced text: a program with a caption, a directive, or GitHub's "```math".
function fenced(block)
  if block.attributes["lst-cap"] then return captioned_program(block) end
  local kind, title = block.classes[1] or "", block.attributes.title or ""
  if kind == "math" then
    local options, body = options_of(block.text)
    local label = options.label or options.name
    return pandoc.Para({ pandoc.Math("DisplayMath", body .. (label and ("\\label{%s}"):format(label) or "")) })
  end
  if kind:match("^callout%-") then
    local _, body = options_of(block.text)
    return divisions(pandoc.Div(flowing(body), block.attr))
  end
  if block.attributes.directive then return directive(block, kind, title) end
end

-- GitHub's notes, "> [!NOTE] Title", as the callouts that they are.
local function note_as_callout(quote)
  local first = quote.content[1]
  local kind = first and first.t == "Para" and first.content[1].t == "Str" and first.content[1].text:match("^%[!(%u+)%]$")
  if not kind then return nil end
  local title, body = pandoc.List(), pandoc.List()
  local part = title
  for index = 2, #first.content do
    local inline = first.content[index]
    if inline.t == "SoftBreak" then part = body end
    if #part > 0 or (inline.t ~= "Space" and inline.t ~= "SoftBreak") then part:insert(inline) end
  end
  quote.content[1] = pandoc.Para(body)
  if #title > 0 then quote.content:insert(1, pandoc.Header(2, title)) end
  return pandoc.Div(quote.content, { class = "callout-" .. kind:lower() })
end

local function read(text, markup)
  if markup == "html" then return read_html(text, "+tex_math_dollars") end
  if markup == "latex" then return pandoc.read(text, "latex", nil, {}) end
  -- At the beginning of a line, a reference before a full stop or bracket looks like an item of an example list, and
  -- pandoc ends the paragraph before it, though it is told that there are no such lists.
  text = text:gsub("([^\n])\n(@%a+%-[%w_-]+[%.%)])", "%1 %2")
  local document = walked(read_markdown(with_directives(text)), text, "data%-cite", { Inlines = html_citations })
  document = walked(document, text, "{[%a:]+}`", { Inlines = roles })
  document = walked(document, text, FENCE, { CodeBlock = fenced, BlockQuote = note_as_callout, Div = divisions })
  return holds_html(document, text) and with_html_understood(document) or document
end

local function with_paragraphs(blocks)
  return pandoc.Blocks(blocks:map(function(block) return block.t == "Plain" and pandoc.Para(block.content) or block end))
end

function CodeBlock(block)
  if not block.classes:includes("hwkit-chunk") then return nil end
  local markup = block.attributes.markup
  -- In HTML, text of two boxes has no more between it than text of two lines; on paper it does.
  local document = read(block.text, markup)
  local blocks = walked(with_paragraphs(document.blocks), block.text, "<div", {
    Div = function(div) return pandoc.Div(with_paragraphs(div.content), div.attr) end,
  })
  local attributes = { cell = block.attributes.cell, markup = markup }
  return pandoc.Div(blocks, pandoc.Attr("", { "hwkit-chunk" }, attributes))
end
