"""TeX formulas in Typst: a parser of what MathJax 3 sets, and the macros that notebooks define."""

from hwkit.export.formulas.for_pandoc import modern as modern
from hwkit.export.formulas.macros import Macro as Macro
from hwkit.export.formulas.macros import expanded as expanded
from hwkit.export.formulas.macros import labels_of as labels_of
from hwkit.export.formulas.macros import number_of as number_of
from hwkit.export.formulas.macros import split_macros as split_macros
from hwkit.export.formulas.macros import tags_of_labels as tags_of_labels
from hwkit.export.formulas.reader import FormulaError as FormulaError
from hwkit.export.formulas.translate import formula as formula
