"""The few words of a report that do not come from its data, in the languages that we can check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Length = Literal["day", "week", "month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class Words:
    """`created`, `average`, `by`, `versus` and `unshown` are patterns for `str.format`."""

    page: str
    source: str
    created: str
    total: str
    rows: str
    average: str
    by: str
    versus: str
    data: str
    yes: str
    no: str
    empty: str
    other: str
    report: str
    periods: Mapping[Length, str]
    unshown: str


_ENGLISH = Words(
    page="Page",
    source="Source",
    created="Created {}",
    total="Total",
    rows="Rows",
    average="Ø {}",
    by="{} by {}",
    versus="{} vs. {}",
    data="All rows",
    yes="yes",
    no="no",
    empty="There are no rows.",
    other="Other",
    report="Report",
    periods={"day": "day", "week": "week", "month": "month", "quarter": "quarter", "year": "year"},
    unshown="Characters for which there is no font are missing: {}",
)
_WORDS: Mapping[str, Words] = {
    "en": _ENGLISH,
    "de": Words(
        page="Seite",
        source="Quelle",
        created="Erstellt am {}",
        total="Summe",
        rows="Zeilen",
        average="Ø {}",
        by="{} nach {}",
        versus="{} zu {}",
        data="Alle Zeilen",
        yes="ja",
        no="nein",
        empty="Es gibt keine Zeilen.",
        other="Übrige",
        report="Bericht",
        periods={"day": "Tag", "week": "Woche", "month": "Monat", "quarter": "Quartal", "year": "Jahr"},
        unshown="Zeichen, für die es keine Schrift gibt, fehlen: {}",
    ),
    "fr": Words(
        page="Page",
        source="Source",
        created="Créé le {}",
        total="Total",
        rows="Lignes",
        average="Ø {}",
        by="{} par {}",
        versus="{} vs {}",
        data="Toutes les lignes",
        yes="oui",
        no="non",
        empty="Aucune ligne.",
        other="Autres",
        report="Rapport",
        periods={"day": "jour", "week": "semaine", "month": "mois", "quarter": "trimestre", "year": "année"},
        unshown="Les caractères sans police disponible manquent : {}",
    ),
    "ja": Words(
        page="ページ",
        source="出典",
        created="作成日時 {}",
        total="合計",
        rows="行数",
        average="平均 {}",
        by="{1}別 {0}",
        versus="{0}({1}比)",
        data="全データ",
        yes="はい",
        no="いいえ",
        empty="データがありません。",
        other="その他",
        report="レポート",
        periods={"day": "日", "week": "週", "month": "月", "quarter": "四半期", "year": "年"},
        unshown="対応するフォントがない文字は表示されません: {}",
    ),
    "ar": Words(
        page="صفحة",
        source="المصدر",
        created="تاريخ الإنشاء {}",
        total="المجموع",
        rows="عدد الصفوف",
        average="متوسط {}",
        by="{} حسب {}",
        versus="{} مقارنة بـ {}",
        data="كل الصفوف",
        yes="نعم",
        no="لا",
        empty="لا توجد صفوف.",
        other="أخرى",
        report="تقرير",
        periods={"day": "اليوم", "week": "الأسبوع", "month": "الشهر", "quarter": "ربع السنة", "year": "السنة"},
        unshown="لا تظهر الحروف التي لا يتوفر لها خط: {}",
    ),
}


def words_of(language: str) -> Words:
    """Return the words of the language; those of other languages are English."""
    return _WORDS.get(language, _ENGLISH)
