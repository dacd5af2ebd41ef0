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


_WORDS = {
    "en": Words("Figure", "Table", "Equation", "Section", "Contents"),
    "de": Words("Abbildung", "Tabelle", "Gleichung", "Abschnitt", "Inhalt"),
    "fr": Words("Figure", "Tableau", "Équation", "Section", "Sommaire"),
    "es": Words("Figura", "Tabla", "Ecuación", "Sección", "Índice"),
    "it": Words("Figura", "Tabella", "Equazione", "Sezione", "Indice"),
    "pt": Words("Figura", "Tabela", "Equação", "Seção", "Índice"),
    "nl": Words("Figuur", "Tabel", "Vergelijking", "Sectie", "Inhoud"),
    "zh": Words("图", "表", "式", "节", "目录"),
    "ja": Words("図", "表", "式", "節", "目次"),
}


def words_of(language: str) -> Words:
    """The words of a language by its code; English for a language without words here."""
    return _WORDS.get(language, _WORDS["en"])
