"""The few words a report adds by itself, in the languages it knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words of one language."""

    figure: str
    table: str
    equation: str
    section: str
    contents: str
    references: str
    abstract: str
    listing: str
    code: str
    # Titles of callouts that have none of their own, by Quarto's kinds.
    note: str
    tip: str
    warning: str
    important: str
    caution: str


def _words(document: str, callouts: str) -> Words:
    """The words of one language, in the order of the fields and separated by commas."""
    return Words(*document.split(", "), *callouts.split(", "))


_WORDS = {
    "en": _words(
        "Figure, Table, Equation, Section, Contents, References, Abstract, Listing, Code",
        "Note, Tip, Warning, Important, Caution",
    ),
    "de": _words(
        "Abbildung, Tabelle, Gleichung, Abschnitt, Inhalt, Literatur, Zusammenfassung, Listing, Code",
        "Hinweis, Tipp, Warnung, Wichtig, Vorsicht",
    ),
    "fr": _words(
        "Figure, Tableau, Équation, Section, Sommaire, Références, Résumé, Listing, Code",
        "Note, Astuce, Avertissement, Important, Mise en garde",
    ),
    "es": _words(
        "Figura, Tabla, Ecuación, Sección, Índice, Referencias, Resumen, Listado, Código",
        "Nota, Consejo, Advertencia, Importante, Precaución",
    ),
    "it": _words(
        "Figura, Tabella, Equazione, Sezione, Indice, Riferimenti, Sommario, Listato, Codice",
        "Nota, Suggerimento, Avvertimento, Importante, Attenzione",
    ),
    "pt": _words(
        "Figura, Tabela, Equação, Seção, Índice, Referências, Resumo, Listagem, Código",
        "Nota, Dica, Aviso, Importante, Cuidado",
    ),
    "nl": _words(
        "Figuur, Tabel, Vergelijking, Sectie, Inhoud, Literatuur, Samenvatting, Listing, Code",
        "Opmerking, Tip, Waarschuwing, Belangrijk, Let op",
    ),
    "zh": _words(
        "图, 表, 式, 节, 目录, 参考文献, 摘要, 代码, 代码",
        "注记, 提示, 警告, 重要, 注意",
    ),
    "ja": _words(
        "図, 表, 式, 節, 目次, 参考文献, 要旨, コード, コード",
        "ノート, ヒント, 警告, 重要, 注意",
    ),
}


def letter_of(index: int) -> str:
    """The letter of a part of a figure or table, counted from 0: a to z, then aa, bb, ..."""
    return "abcdefghijklmnopqrstuvwxyz"[index % 26] * (index // 26 + 1)


def words_of(language: str) -> Words:
    """The words of a language by its code; English for a language without words here."""
    return _WORDS.get(language.split("-")[0], _WORDS["en"])
