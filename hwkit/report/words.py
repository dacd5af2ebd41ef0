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


_WORDS = {
    "en": Words(
        *("Figure", "Table", "Equation", "Section", "Contents", "References", "Abstract", "Listing", "Code"),
        *("Note", "Tip", "Warning", "Important", "Caution"),
    ),
    "de": Words(
        *(
            "Abbildung",
            "Tabelle",
            "Gleichung",
            "Abschnitt",
            "Inhalt",
            "Literatur",
            "Zusammenfassung",
            "Listing",
            "Code",
        ),
        *("Hinweis", "Tipp", "Warnung", "Wichtig", "Vorsicht"),
    ),
    "fr": Words(
        *("Figure", "Tableau", "Équation", "Section", "Sommaire", "Références", "Résumé", "Listing", "Code"),
        *("Note", "Astuce", "Avertissement", "Important", "Mise en garde"),
    ),
    "es": Words(
        *("Figura", "Tabla", "Ecuación", "Sección", "Índice", "Referencias", "Resumen", "Listado", "Código"),
        *("Nota", "Consejo", "Advertencia", "Importante", "Precaución"),
    ),
    "it": Words(
        *("Figura", "Tabella", "Equazione", "Sezione", "Indice", "Riferimenti", "Sommario", "Listato", "Codice"),
        *("Nota", "Suggerimento", "Avvertimento", "Importante", "Attenzione"),
    ),
    "pt": Words(
        *("Figura", "Tabela", "Equação", "Seção", "Índice", "Referências", "Resumo", "Listagem", "Código"),
        *("Nota", "Dica", "Aviso", "Importante", "Cuidado"),
    ),
    "nl": Words(
        *("Figuur", "Tabel", "Vergelijking", "Sectie", "Inhoud", "Literatuur", "Samenvatting", "Listing", "Code"),
        *("Opmerking", "Tip", "Waarschuwing", "Belangrijk", "Let op"),
    ),
    "zh": Words(
        *("图", "表", "式", "节", "目录", "参考文献", "摘要", "代码", "代码"),
        *("注记", "提示", "警告", "重要", "注意"),
    ),
    "ja": Words(
        *("図", "表", "式", "節", "目次", "参考文献", "要旨", "コード", "コード"),
        *("ノート", "ヒント", "警告", "重要", "注意"),
    ),
}


def words_of(language: str) -> Words:
    """The words of a language by its code; English for a language without words here."""
    return _WORDS.get(language.split("-")[0], _WORDS["en"])
