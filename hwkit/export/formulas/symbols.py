"""What TeX's commands stand for: symbols and their classes, functions, accents, colours, and macros written in TeX.

Names, characters and classes are those of MathJax 3 with all its packages (base, ams, mathtools, ...).
"""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


GREEK = _pairs("""
    Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω alpha α beta β gamma γ delta δ
    epsilon ϵ zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ omicron ο pi π rho ρ sigma σ tau τ
    upsilon υ phi ϕ chi χ psi ψ omega ω varepsilon ε vartheta ϑ varpi ϖ varrho ϱ varsigma ς varphi φ digamma ϝ
    varkappa ϰ
""")
# The other symbols by their class, which decides on the space around them (chapter 17 of The TeXbook).
_OF_CLASS = {
    "ord": """
    ohm Ω degree ° celsius ℃ perthousand ‰ micro µ beth ℶ gimel ℷ daleth ℸ backprime ‵ hslash ℏ varnothing ∅
    blacktriangle ▴ triangledown ▽ blacktriangledown ▾ square ◻ Box ◻ blacksquare ◼ lozenge ◊ Diamond ◊
    blacklozenge ⧫ circledS Ⓢ bigstar ★ sphericalangle ∢ measuredangle ∡ nexists ∄ complement ∁ mho ℧ eth ð Finv Ⅎ
    diagup ╱ Game ⅁ diagdown ╲ yen ¥ circledR ® checkmark ✓ maltese ✠ surd √ S § wp ℘ partial ∂ infty ∞ prime ′
    emptyset ∅ nabla ∇ top ⊤ bot ⊥ angle ∠ triangle △ backslash ∖ forall ∀ exists ∃ neg ¬ lnot ¬ flat ♭ natural ♮
    sharp ♯ clubsuit ♣ diamondsuit ♢ heartsuit ♡ spadesuit ♠ hbar ℏ imath ı jmath ȷ ell ℓ Re ℜ Im ℑ aleph ℵ vdots ⋮
    """,
    "bin": """
    dotplus ∔ ltimes ⋉ smallsetminus ∖ rtimes ⋊ Cap ⋒ doublecap ⋒ leftthreetimes ⋋ Cup ⋓ doublecup ⋓
    rightthreetimes ⋌ barwedge ⊼ curlywedge ⋏ veebar ⊻ curlyvee ⋎ doublebarwedge ⩞ boxminus ⊟ circleddash ⊝
    boxtimes ⊠ circledast ⊛ boxdot ⊡ circledcirc ⊚ boxplus ⊞ centerdot ⋅ divideontimes ⋇ intercal ⊺
    blacktriangleleft ◂ blacktriangleright ▸ vartriangle △ triangleleft ◃ triangleright ▹ bigtriangleup △
    bigtriangledown ▽ wedge ∧ land ∧ vee ∨ lor ∨ cap ∩ cup ∪ ddagger ‡ dagger † sqcap ⊓ sqcup ⊔ uplus ⊎ amalg ⨿
    diamond ⋄ bullet ∙ wr ≀ div ÷ divsymbol ÷ odot ⊙ oslash ⊘ otimes ⊗ ominus ⊖ oplus ⊕ mp ∓ pm ± circ ∘ bigcirc ◯
    setminus ∖ cdot ⋅ ast ∗ times × star ⋆
    """,
    "rel": """
    leqq ≦ geqq ≧ leqslant ⩽ geqslant ⩾ eqslantless ⪕ eqslantgtr ⪖ lesssim ≲ gtrsim ≳ lessapprox ⪅ gtrapprox ⪆
    approxeq ≊ lessdot ⋖ gtrdot ⋗ lll ⋘ llless ⋘ ggg ⋙ gggtr ⋙ lessgtr ≶ gtrless ≷ lesseqgtr ⋚ gtreqless ⋛
    lesseqqgtr ⪋ gtreqqless ⪌ doteqdot ≑ Doteq ≑ eqcirc ≖ risingdotseq ≓ circeq ≗ fallingdotseq ≒ triangleq ≜
    backsim ∽ thicksim ∼ backsimeq ⋍ thickapprox ≈ subseteqq ⫅ supseteqq ⫆ Subset ⋐ Supset ⋑ sqsubset ⊏ sqsupset ⊐
    preccurlyeq ≼ succcurlyeq ≽ curlyeqprec ⋞ curlyeqsucc ⋟ precsim ≾ succsim ≿ precapprox ⪷ succapprox ⪸
    vartriangleleft ⊲ lhd ⊲ vartriangleright ⊳ rhd ⊳ trianglelefteq ⊴ unlhd ⊴ trianglerighteq ⊵ unrhd ⊵ vDash ⊨
    Vdash ⊩ Vvdash ⊪ smallsmile ⌣ shortmid ∣ smallfrown ⌢ shortparallel ∥ bumpeq ≏ between ≬ Bumpeq ≎ pitchfork ⋔
    varpropto ∝ backepsilon ∍ therefore ∴ because ∵ eqsim ≂ Join ⋈ nless ≮ ngtr ≯ nleq ≰ ngeq ≱ nleqslant ⩽̸
    ngeqslant ⩾̸ nleqq ≦̸ ngeqq ≧̸ lneq ⪇ gneq ⪈ lneqq ≨ gneqq ≩ lvertneqq ≨ gvertneqq ≩ lnsim ⋦ gnsim ⋧ lnapprox ⪉
    gnapprox ⪊ nprec ⊀ nsucc ⊁ npreceq ⪯̸ nsucceq ⪰̸ precneqq ⪵ succneqq ⪶ precnsim ⋨ succnsim ⋩ precnapprox ⪹
    succnapprox ⪺ nsim ≁ ncong ≇ nshortmid ∤ nshortparallel ∦ nmid ∤ nparallel ∦ nvdash ⊬ nvDash ⊭ nVdash ⊮ nVDash ⊯
    ntriangleleft ⋪ ntriangleright ⋫ ntrianglelefteq ⋬ ntrianglerighteq ⋭ nsubseteq ⊈ nsupseteq ⊉ nsubseteqq ⫅̸
    nsupseteqq ⫆̸ subsetneq ⊊ supsetneq ⊋ varsubsetneq ⊊ varsupsetneq ⊋ subsetneqq ⫋ supsetneqq ⫌ varsubsetneqq ⫋
    varsupsetneqq ⫌ leftleftarrows ⇇ rightrightarrows ⇉ leftrightarrows ⇆ rightleftarrows ⇄ Lleftarrow ⇚
    Rrightarrow ⇛ twoheadleftarrow ↞ twoheadrightarrow ↠ leftarrowtail ↢ rightarrowtail ↣ looparrowleft ↫
    looparrowright ↬ leftrightharpoons ⇋ rightleftharpoons ⇌ curvearrowleft ↶ curvearrowright ↷ circlearrowleft ↺
    circlearrowright ↻ Lsh ↰ Rsh ↱ upuparrows ⇈ downdownarrows ⇊ upharpoonleft ↿ upharpoonright ↾ downharpoonleft ⇃
    restriction ↾ multimap ⊸ downharpoonright ⇂ leftrightsquigarrow ↭ rightsquigarrow ⇝ leadsto ⇝ dashrightarrow ⇢
    dashleftarrow ⇠ nleftarrow ↚ nrightarrow ↛ nLeftarrow ⇍ nRightarrow ⇏ nleftrightarrow ↮ nLeftrightarrow ⇎
    propto ∝ sqsubseteq ⊑ sqsupseteq ⊒ parallel ∥ mid ∣ dashv ⊣ vdash ⊢ leq ≤ le ≤ geq ≥ ge ≥ lt < gt > succ ≻
    prec ≺ approx ≈ succeq ⪰ preceq ⪯ supset ⊃ subset ⊂ supseteq ⊇ subseteq ⊆ in ∈ ni ∋ notin ∉ owns ∋ gg ≫ ll ≪
    sim ∼ simeq ≃ perp ⟂ equiv ≡ asymp ≍ smile ⌣ frown ⌢ ne ≠ neq ≠ cong ≅ doteq ≐ bowtie ⋈ models ⊨
    Leftrightarrow ⇔ Leftarrow ⇐ Rightarrow ⇒ leftrightarrow ↔ leftarrow ← gets ← rightarrow → to → mapsto ↦
    leftharpoonup ↼ leftharpoondown ↽ rightharpoonup ⇀ rightharpoondown ⇁ nearrow ↗ searrow ↘ nwarrow ↖ swarrow ↙
    hookrightarrow ↪ hookleftarrow ↩ longleftarrow ⟵ Longleftarrow ⟸ longrightarrow ⟶ Longrightarrow ⟹
    Longleftrightarrow ⟺ longleftrightarrow ⟷ longmapsto ⟼
    """,
    "op": """
    iiiint ⨌ coprod ∐ bigvee ⋁ bigwedge ⋀ biguplus ⨄ bigcap ⋂ bigcup ⋃ int ∫ intop ∫ iint ∬ iiint ∭ prod ∏ sum ∑
    bigotimes ⨂ bigoplus ⨁ bigodot ⨀ oint ∮ bigsqcup ⨆
    """,
    "inner": """
    ldots … cdots ⋯ ddots ⋱ dotsc … dotsb ⋯ dotsm ⋯ dotsi ⋯ dotso …
    """,
    "punct": "ldotp . cdotp ⋅ colon :",
    # Those of mathtools.
    "rel ": "coloneqq ≔ Coloneqq ⩴ eqqcolon ≕ eqcolon ∹ dblcolon ∷",
}
# The character and the class of each command.
SYMBOLS = {name: (char, kind.strip()) for kind, text in _OF_CLASS.items() for name, char in _pairs(text).items()}
_ASCII = {"bin": "+−∗", "rel": "=<>:", "punct": ",;", "open": "([", "close": ")]!?"}
# The class of a character that is written as such.
CLASSES = {char: kind for char, kind in SYMBOLS.values() if kind != "punct"}
CLASSES |= {char: kind for kind, chars in _ASCII.items() for char in chars}
# Characters to which Typst gives another class than TeX, by the class that TeX gives them.
OTHER_IN_TYPST = {"bin": "◯‡†", "punct": ".:⋅", "close": "?", "ord": "▴▽▾◻◼◊⧫★△∖√\\\u2016|⏐"}

DELIMITERS = {
    **{char: char for char in "()[]/|"},
    **{"<": "⟨", ">": "⟩", "\\lt": "⟨", "\\gt": "⟩", ".": "", "\\\\": "\\", "\\|": "‖", "\\{": "{", "\\}": "}"},
    **{f"\\{name}": char for name, char in _pairs("""
    lmoustache ⎰ rmoustache ⎱ lgroup ⟮ rgroup ⟯ arrowvert ⏐ Arrowvert ‖ bracevert ⎪ Vert ‖ vert | uparrow ↑
    downarrow ↓ updownarrow ↕ Uparrow ⇑ Downarrow ⇓ Updownarrow ⇕ backslash \\ rangle ⟩ langle ⟨ rbrace } lbrace {
    rceil ⌉ lceil ⌈ rfloor ⌋ lfloor ⌊ lbrack [ rbrack ] lvert | rvert | lVert ‖ rVert ‖ ulcorner ⌜ urcorner ⌝
    llcorner ⌞ lrcorner ⌟ lparen ( rparen )
    """).items()},
}  # fmt: skip
OPENING, CLOSING = "([{⟨⌈⌊⌜⌞⟮⎰⟦", ")]}⟩⌉⌋⌝⌟⟯⎱⟧"

# Functions, which Typst has under the same names; the second ones have their limits below them.
_NAMES = "arcsin arccos arctan arg cos cosh cot coth csc deg dim exp hom ker lg ln log sec sin sinh tan tanh"
FUNCTIONS = _NAMES.split()
LIMIT_FUNCTIONS = ["det", "gcd", "inf", "lim", "liminf", "limsup", "max", "min", "Pr", "sup"]

ACCENTS = _pairs("""
    acute acute grave grave ddot dot.double tilde tilde bar macron breve breve check caron hat hat vec arrow dot dot
    mathring circle dddot dot.triple ddddot dot.quad widetilde tilde widehat hat
""")
# Marks as wide as what they stand over or under: brackets, and arrows by their accents.
BRACES = ["overline", "underline", "overbrace", "underbrace", "overparen", "underparen", "overbracket", "underbracket"]
ARROWS_OVER = _pairs("""
    overrightarrow → overleftarrow ← overleftrightarrow ↔ underrightarrow \u20ef underleftarrow \u20ee
    underleftrightarrow \u034d
""")
# Arrows as long as what stands over and under them.
LONG_ARROWS = _pairs("""
    xrightarrow → xleftarrow ← xleftrightarrow ↔ xLeftarrow ⇐ xRightarrow ⇒ xLeftrightarrow ⇔ xhookleftarrow ↩
    xhookrightarrow ↪ xmapsto ↦ xrightharpoondown ⇁ xleftharpoondown ↽ xrightleftharpoons ⇌ xrightharpoonup ⇀
    xleftharpoonup ↼ xleftrightharpoons ⇋ xtwoheadrightarrow ↠ xtwoheadleftarrow ↞ xlongequal = xtofrom ⇄
    xRightleftharpoons ⇌ xLeftrightharpoons ⇋
""")
NEGATED = _pairs("∣ ∤ ∥ ∦ ∃ ∄ ⟂ ⊥̸ ~ ≁")

# Fonts as the Typst functions that make them, from the inside out; "text" marks letters that run together as words.
FONTS = {
    **dict.fromkeys(("mathrm", "mathup", "symrm", "symup", "rm", "textrm", "textup", "text", "textnormal"), "upright"),
    **dict.fromkeys(("mathbf", "mathbfup", "symbf", "symbfup", "bf", "textbf"), "upright bold"),
    **dict.fromkeys(("mathit", "symit", "it", "mit", "textit", "emph", "textsl"), "italic"),
    **dict.fromkeys(("mathbfit", "symbfit"), "italic bold"),
    **dict.fromkeys(("mathbb", "Bbb", "symbb", "bbFont", "mathbbm", "mathds"), "bb"),
    **dict.fromkeys(("mathfrak", "symfrak", "frak"), "frak"),
    **dict.fromkeys(("mathbffrak", "symbffrak"), "frak bold"),
    **dict.fromkeys(("mathcal", "symcal", "cal"), "cal"),
    **dict.fromkeys(("mathbfcal", "symbfcal"), "cal bold"),
    **dict.fromkeys(("mathscr", "symscr", "scr"), "scr"),
    **dict.fromkeys(("mathbfscr", "symbfscr"), "scr bold"),
    **dict.fromkeys(("mathsf", "mathsfup", "symsf", "symsfup", "sf", "textsf"), "upright sans"),
    **dict.fromkeys(("mathbfsf", "mathbfsfup", "symbfsf", "symbfsfup"), "upright sans bold"),
    **dict.fromkeys(("mathsfit", "symsfit"), "italic sans"),
    **dict.fromkeys(("mathbfsfit", "symbfsfit"), "italic sans bold"),
    **dict.fromkeys(("mathtt", "symtt", "tt", "texttt"), "mono"),
    **dict.fromkeys(("mathnormal", "symnormal", "oldstyle"), ""),
}
SWITCHES = {"rm", "bf", "it", "mit", "bbFont", "frak", "cal", "scr", "sf", "tt", "oldstyle"}
SIZES = {
    **{"tiny": 0.5, "Tiny": 0.6, "scriptsize": 0.7, "footnotesize": 0.8, "small": 0.85, "normalsize": 1.0},
    **{"large": 1.2, "Large": 1.44, "LARGE": 1.73, "huge": 2.07, "Huge": 2.49},
}
STYLES = ("display", "inline", "script", "sscript")
BIG = {"big": 1.2, "Big": 1.8, "bigg": 2.4, "Bigg": 3.0}

# Spaces in em.
THIN, MEDIUM, THICK = 1 / 6, 2 / 9, 5 / 18
SPACES = {
    **{",": THIN, "thinspace": THIN, ":": MEDIUM, ">": MEDIUM, ";": THICK, "!": -THIN, "negthinspace": -THIN},
    **{"negmedspace": -MEDIUM, "negthickspace": -THICK, "enspace": 0.5, "quad": 1.0, "qquad": 2.0},
    **dict.fromkeys((" ", "\n", "~", "space", "nobreakspace"), 1 / 3),
}
# The space between two classes; where there is none, TeX sets none.
SPACING = {
    **{(left, "op"): THIN for left in ("ord", "op", "close", "inner")},
    **{("op", right): THIN for right in ("ord", "op", "inner")},
    **{(left, "bin"): MEDIUM for left in ("ord", "close", "inner")},
    **{("bin", right): MEDIUM for right in ("ord", "op", "open", "inner")},
    **{(left, "rel"): THICK for left in ("ord", "op", "close", "inner")},
    **{("rel", right): THICK for right in ("ord", "op", "open", "inner")},
    **{("punct", right): THIN for right in ("ord", "op", "rel", "open", "close", "punct", "inner")},
    **{("inner", right): THIN for right in ("ord", "open", "punct", "inner")},
    **{(left, "inner"): THIN for left in ("ord", "close")},
}
UNITS = {
    **{"em": (1, "em"), "ex": (0.431, "em"), "mu": (1 / 18, "em"), "pt": (1, "pt"), "pc": (12, "pt")},
    **{"px": (0.75, "pt"), "in": (1, "in"), "cm": (1, "cm"), "mm": (1, "mm")},
}

# Symbols within text: those of the package textcomp, without the "text" that their names begin with.
TEXT_SYMBOLS = _pairs(r"""
    asciicircum ^ asciitilde ~ asteriskcentered * backslash \ bar | braceleft { braceright } bullet • dagger †
    daggerdbl ‡ ellipsis … emdash — endash – exclamdown ¡ greater > less < ordfeminine ª ordmasculine º paragraph ¶
    periodcentered · questiondown ¿ quotedblleft “ quotedblright ” quoteleft ‘ quoteright ’ section § underscore _
    visiblespace ␣ acutedbl ˝ asciiacute ´ asciibreve ˘ asciicaron ˇ asciidieresis ¨ asciimacron ¯ gravedbl ˵
    tildelow ˷ baht ฿ cent ¢ colonmonetary ₡ currency ¤ dollar $ dong ₫ euro € florin ƒ guarani ₲ lira ₤ naira ₦
    peso ₱ sterling £ won ₩ yen ¥ circledP ℗ copyleft 🄯 copyright © registered ® servicemark ℠ trademark ™ bardbl ‖
    bigcircle ◯ blank ␢ brokenbar ¦ discount ⁒ estimated ℮ interrobang ‽ interrobangdown ⸘ musicalnote ♪ numero №
    openbullet ◦ pertenthousand ‱ perthousand ‰ recipe ℞ referencemark ※ langle 〈 rangle 〉 lbrackdbl ⟦ rbrackdbl ⟧
    lquill ⁅ rquill ⁆ celsius ℃ degree ° div ÷ downarrow ↓ fractionsolidus ⁄ leftarrow ← lnot ¬ mho ℧ minus − mu µ
    ohm Ω onehalf ½ onequarter ¼ onesuperior ¹ pm ± rightarrow → surd √ threequarters ¾ threesuperior ³ times ×
    twosuperior ² uparrow ↑ born * died † divorced ⚮ married ⚭
""")
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEXT_SYMBOLS |= {f"{name}oldstyle": str(digit) for digit, name in enumerate(_DIGITS)}
TEXT_SYMBOLS |= {"centoldstyle": "¢", "dollaroldstyle": "$", "compwordmark": "\u200c"}
TEXT_ACCENTS = _pairs("' \u0301 ’ \u0301 ` \u0300 ^ \u0302 \" \u0308 ~ \u0303 = \u0304 . \u0307 u \u0306 v \u030c")

# Colours of the package color (dvips); all others are CSS's.
COLOURS = _pairs("""
    Apricot FBB982 Aquamarine 00B5BE Bittersweet C04F17 Black 221E1F Blue 2D2F92 BlueGreen 00B3B8 BlueViolet 473992
    BrickRed B6321C Brown 792500 BurntOrange F7921D CadetBlue 74729A CarnationPink F282B4 Cerulean 00A2E3
    CornflowerBlue 41B0E4 Cyan 00AEEF Dandelion FDBC42 DarkOrchid A4538A Emerald 00A99D ForestGreen 009B55
    Fuchsia 8C368C Goldenrod FFDF42 Gray 949698 Green 00A64F GreenYellow DFE674 JungleGreen 00A99A Lavender F49EC4
    LimeGreen 8DC73E Magenta EC008C Mahogany A9341F Maroon AF3235 Melon F89E7B MidnightBlue 006795 Mulberry A93C93
    NavyBlue 006EB8 OliveGreen 3C8031 Orange F58137 OrangeRed ED135A Orchid AF72B0 Peach F7965A Periwinkle 7977B8
    PineGreen 008B72 Plum 92268F ProcessBlue 00B0F0 Purple 99479B RawSienna 974006 Red ED1B23 RedOrange F26035
    RedViolet A1246B Rhodamine EF559F RoyalBlue 0071BC RoyalPurple 613F99 RubineRed ED017D Salmon F69289
    SeaGreen 3FBC9D Sepia 671800 SkyBlue 46C5DD SpringGreen C6DC67 Tan DA9D76 TealBlue 00AEB3 Thistle D883B7
    Turquoise 00B4CE Violet 58429B VioletRed EF58A0 White FFFFFF WildStrawberry EE2967 Yellow FFF200
    YellowGreen 98CC70 YellowOrange FAA21A
""")

# Macros in TeX: how many arguments they take, and what they stand for.
MACROS = {
    name: (int(count), body)
    for name, count, body in (
        line.split(maxsplit=2)
        for line in r"""
stackrel 2 \mathrel{\mathop{#2}\limits^{#1}}
stackbin 2 \mathbin{\mathop{#2}\limits^{#1}}
boxed 1 \fbox{$\displaystyle{#1}$}
bmod 0 \mathbin{\mathrm{mod}}
pmod 1 \pod{\mathrm{mod}\kern6mu #1}
pod 1 \kern12mu(#1)
mod 1 \kern12mu\mathrm{mod}\,\,#1
iff 0 \;\Longleftrightarrow\;
implies 0 \;\Longrightarrow\;
impliedby 0 \;\Longleftarrow\;
skew 3 {#2{#3}}
TeX 0 \mathrm{T\kern-.14em\lower.5ex{E}\kern-.115em X}
LaTeX 0 \mathrm{L\kern-.325em\raise.21em{\scriptstyle{A}}\kern-.17em}\TeX
substack 1 \begin{subarray}{c}#1\end{subarray}
crampedsubstack 1 \begin{subarray}{c}#1\end{subarray}
injlim 0 \operatorname*{inj\,lim}
projlim 0 \operatorname*{proj\,lim}
varliminf 0 \mathop{\underline{\mathrm{lim}}}
varlimsup 0 \mathop{\overline{\mathrm{lim}}}
varinjlim 0 \mathop{\underrightarrow{\mathrm{lim}}}
varprojlim 0 \mathop{\underleftarrow{\mathrm{lim}}}
argmax 0 \operatorname*{arg\,max}
argmin 0 \operatorname*{arg\,min}
idotsint 0 \int\cdots\int
mathstrut 0 \vphantom{(}
bra 1 {\langle{#1}\vert}
ket 1 {\vert{#1}\rangle}
Bra 1 {\left\langle{#1}\right\vert}
Ket 1 {\left\vert{#1}\right\rangle}
ketbra 2 {\vert{#1}\rangle\langle{#2}\vert}
Ketbra 2 {\left\vert{#1}\right\rangle\left\langle{#2}\right\vert}
bigtimes 0 \mathop{\Large\boldsymbol{\times}}
longrightleftharpoons 0 \rightleftharpoons
longRightleftharpoons 0 \rightleftharpoons
longLeftrightharpoons 0 \leftrightharpoons
longleftrightarrows 0 \leftrightarrows
tripledash 0 \text{⋯}
centernot 1 \not{#1}
Coloneq 0 \mathrel{::-}
coloneq 0 \mathrel{:-}
Eqqcolon 0 \mathrel{=::}
Eqcolon 0 \mathrel{-::}
colonapprox 0 \mathrel{:\approx}
Colonapprox 0 \mathrel{::\approx}
colonsim 0 \mathrel{:\sim}
Colonsim 0 \mathrel{::\sim}
nuparrow 0 \not\uparrow
ndownarrow 0 \not\downarrow
vcentcolon 0 \mathrel{:}
And 0 \&
notChar 0 \not{}
centerOver 2 {\mathrlap{#1}\mathclap{#2}\hphantom{#1}}
Bbbk 0 \mathbb{k}
smallint 0 \textstyle\int
""".strip().split("\n")
    )
}
