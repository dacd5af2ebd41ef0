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


_WORDS = {
    "en": Words("Figure", "Table", "Equation", "Section", "Contents", "References", "Abstract"),
    "de": Words("Abbildung", "Tabelle", "Gleichung", "Abschnitt", "Inhalt", "Literatur", "Zusammenfassung"),
    "fr": Words("Figure", "Tableau", "Équation", "Section", "Sommaire", "Références", "Résumé"),
    "es": Words("Figura", "Tabla", "Ecuación", "Sección", "Índice", "Referencias", "Resumen"),
    "it": Words("Figura", "Tabella", "Equazione", "Sezione", "Indice", "Riferimenti", "Sommario"),
    "pt": Words("Figura", "Tabela", "Equação", "Seção", "Índice", "Referências", "Resumo"),
    "nl": Words("Figuur", "Tabel", "Vergelijking", "Sectie", "Inhoud", "Literatuur", "Samenvatting"),
    "zh": Words("图", "表", "式", "节", "目录", "参考文献", "摘要"),
    "ja": Words("図", "表", "式", "節", "目次", "参考文献", "要旨"),
}


def words_of(language: str) -> Words:
    """The words of a language by its code; English for a language without words here."""
    return _WORDS.get(language.split("-")[0], _WORDS["en"])
