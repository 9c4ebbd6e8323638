"""How values look: Babel's rules for the locale, made fast enough for a million cells."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cached_property, lru_cache
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError, dates, numbers

from celeriac.families.reports.rendering.errors import LayoutInvalid
from celeriac.families.reports.rendering.model import NUMBERS, Column
from celeriac.families.reports.rendering.text import one_line
from celeriac.families.reports.rendering.words import Words, words_of

NOTHING = "\u2013"  # a dash
_INFINITE = ("-Infinity", "Infinity")
_WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)
_WORD_START = re.compile(r"(?<=[a-z\d])(?=[A-Z])")
_ID = re.compile(
    r"^id_|(^|[_\W])(ids?|no|num[eé]ro|identifiant|year|month|quarter|week|weekday|day|hour|jahr|monat|quartal|woche|tag"
    r"|ann[eé]e|mois|zip|plz|postleitzahl|code_postal|phone|telefon|t[eé]l[eé]phone|mobile|fax|sku|isbn|ean|version|index)$"
    r"|(nr|number|nummer|code|番号|コード|年|年度|月|رقم|سنة|رمز)$",
    re.IGNORECASE,
)
_NO_SUM = re.compile(
    r"(^|[_\W])(unit_price|st[uü]ckpreis|einzelpreis|prix_unitaire|rate|ratio|score|rating|age|alter|lat|latitude|lng|lon"
    r"|longitude|temperature|temperatur|avg|average|mean|median|min|max|rank|単価|平均)($|_)",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"(^|[_\W])(amount|total|subtotal|revenue|turnover|sales|price|cost|costs|net|gross|profit|budget|value)($|[_\W])"
    r"|(betrag|umsatz|erl[oö]s|preis|kosten|summe|netto|brutto|gewinn|wert|montant|prix|co[uû]t|chiffre_d_affaires)"
    r"($|[_\W])|金額|売上|مبلغ",
    re.IGNORECASE,
)
#: Countries whose customs are shown for a language without a country. Others follow Babel's own choice.
_USUAL = {"de": "de_DE", "en": "en_US", "fr": "fr_FR", "ja": "ja_JP"}

#: Digits of the numbering systems that are the custom somewhere.
_DIGITS = {
    "arab": "٠١٢٣٤٥٦٧٨٩",
    "arabext": "۰۱۲۳۴۵۶۷۸۹",
    "beng": "০১২৩৪৫৬৭৮৯",
    "deva": "०१२३४५६७८९",
    "mymr": "၀၁၂၃၄၅၆၇၈၉",
}

Number = int | float | Decimal


def is_label(column: Column) -> bool:
    """Tell whether the numbers of a column are names of things, such as ids or years: nobody adds them up."""
    return column.kind == "integer" and _ID.search(_WORD_START.sub("_", column.name)) is not None


def is_additive(column: Column) -> bool:
    """Tell whether a sum of the column means something, as far as its kind and name tell."""
    if column.kind not in NUMBERS or column.kind == "percent" or is_label(column):
        return False
    return _NO_SUM.search(_WORD_START.sub("_", column.name)) is None


def is_money(column: Column) -> bool:
    """Tell whether the column holds amounts of money, as far as its kind and name tell."""
    if column.kind not in ("integer", "decimal"):
        return column.kind == "money"
    return _MONEY.search(_WORD_START.sub("_", column.name)) is not None


def number_of(value: object) -> Number | None:
    """Return the value if it is a finite number, durations in seconds, else None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    return value.total_seconds() if isinstance(value, timedelta) else None


def odd_number(value: object) -> str | None:
    """Return the name of a number that is not finite, as programs write it; None for any other value."""
    if isinstance(value, float):
        return None if math.isfinite(value) else "NaN" if math.isnan(value) else _INFINITE[value > 0]
    if isinstance(value, Decimal):
        return None if value.is_finite() else "NaN" if value.is_nan() else _INFINITE[value > 0]
    return None


def places_of(column: Column) -> int:
    """Return how many digits stand behind the point."""
    if column.decimals is not None:
        return max(0, min(column.decimals, 12))
    if column.kind == "money" and column.currency:
        return numbers.get_currency_precision(column.currency)
    return {"integer": 0, "percent": 1, "duration": 0}.get(column.kind, 2)


class Formats:
    """The customs of one locale and time zone."""

    def __init__(self, locale: str, zone: str) -> None:
        name = locale.replace("-", "_")
        try:
            self.locale = Locale.parse(_USUAL.get(name, name))
            if self.locale.language == "root":
                raise ValueError("it is no language, but what all have in common")
        except (UnknownLocaleError, ValueError):
            raise LayoutInvalid(f"the locale {locale!r} is not known: give one such as 'de' or 'en-GB'") from None
        try:
            self.zone: tzinfo = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise LayoutInvalid(f"the time zone {zone!r} is not known: give one such as 'Europe/Berlin'") from None
        self.words: Words = words_of(self.locale.language)
        self.right_to_left = self.locale.text_direction == "rtl"
        self.day = lru_cache(20_000)(self._day)
        digits = _DIGITS.get(self.locale.default_numbering_system)
        self._digits = str.maketrans("0123456789", digits) if digits else None
        self._minute = lru_cache(2_000)(self._minute_of_day)
        self.around_money = lru_cache(200)(self._signs_of_money)

    @cached_property
    def _signs(self) -> dict[int, str] | None:
        """How the signs of a number in Python are written here; None if digits are not grouped by three."""
        system = self.locale.default_numbering_system
        digits = _DIGITS.get(system, "0123456789")
        group = numbers.get_group_symbol(self.locale, numbering_system="default")
        point = numbers.get_decimal_symbol(self.locale, numbering_system="default")
        minus = numbers.get_minus_sign_symbol(self.locale, numbering_system="default")
        if self.locale.decimal_formats[None].grouping != (3, 3):
            return None
        return str.maketrans({",": group, ".": point, "-": minus, **dict(zip("0123456789", digits, strict=True))})

    def digits(self, text: str) -> str:
        """Return the text with the digits of the locale: Babel leaves them as they are in Latin script."""
        return text.translate(self._digits) if self._digits else text

    def number(self, value: Number, places: int, *, group: bool = True) -> str:
        """Return the number with that many digits behind the point."""
        if not -1e60 < value < 1e60:
            return self.digits(f"{Decimal(value):.6e}")
        if isinstance(value, Decimal):
            value = _WIDE.quantize(value, Decimal(1).scaleb(-places))
        if self._signs is None and group:
            pattern = "#,##,##0" + (f".{'0' * places}" if places else "")
            with localcontext(_WIDE):
                return self.digits(numbers.format_decimal(value, pattern, self.locale, numbering_system="default"))
        text = f"{value:,.{places}f}" if places or not isinstance(value, int) else f"{value:,}"
        if text[0] == "-" and not any(sign in text for sign in "123456789"):
            text = text[1:]  # no minus before zero
        if not group:
            text = text.replace(",", "")
        return text.translate(self._signs) if self._signs else self.digits(text)

    def percent(self, value: Number, places: int) -> str:
        """Return a share as a percentage."""
        plain = self.number(value * 100, places)
        prefix, suffix = self._around_percent
        return f"{prefix}{plain}{suffix}"

    @cached_property
    def _around_percent(self) -> tuple[str, str]:
        shown = numbers.format_percent(7, locale=self.locale, numbering_system="default")
        before, _, after = shown.partition("700")
        signs: Any = cast(Any, self.locale.number_symbols).get(self.locale.default_numbering_system, {})
        sign: str = signs.get("percentSign", "%")  # Babel writes the Latin one
        return before.replace("%", sign), after.replace("%", sign)

    def money(self, value: Number, currency: str | None, places: int) -> str:
        """Return an amount with the sign of its currency."""
        if not currency or not -1e60 < value < 1e60:
            return self.number(value, places)
        shown = self.number(abs(value), places)
        is_zero = not any(sign.isdigit() and int(sign) for sign in shown)
        prefix, suffix = self.around_money(currency, value < 0 and not is_zero)
        return f"{prefix}{shown}{suffix}"

    def _signs_of_money(self, currency: str, negative: bool) -> tuple[str, str]:
        pattern = re.sub(r"0\.00", "0", self.locale.currency_formats["standard"].pattern)
        shown = numbers.format_currency(
            -7 if negative else 7, currency, pattern, self.locale, currency_digits=False, numbering_system="latn"
        )
        before, _, after = shown.partition("7")
        return before, after

    def _day(self, value: date) -> str:
        return self.digits(dates.format_date(value, "medium", self.locale))

    def _minute_of_day(self, minute: int) -> str:
        return self.digits(dates.format_time(time(minute // 60, minute % 60), "short", locale=self.locale))

    def local(self, value: datetime) -> datetime:
        """Return a point in time in the time zone of the report. One without a zone, or beyond its calendar, stays."""
        if value.tzinfo is None:
            return value
        try:
            return value.astimezone(self.zone)
        except (OverflowError, ValueError):  # the last second of the year 9999, say, which often means "for ever"
            return value

    def moment(self, value: datetime) -> str:
        """Return a point in time, in the time zone of the report if it has one itself."""
        value = self.local(value)
        return f"{self.day(value.date())} {self._minute(value.hour * 60 + value.minute)}"

    def created(self, value: datetime) -> str:
        """Return the point in time with the name of its zone."""
        local = self.local(value) if value.tzinfo else value.replace(tzinfo=self.zone)
        name = dates.get_timezone_name(local, "short", locale=self.locale)
        if name[:1] in "+-":  # the language has no name for it
            name = local.tzname() or ""
        if name[:1] in "+-":  # nor has the zone one
            name = self.digits(dates.get_timezone_gmt(local, "long", locale=self.locale).replace(":00", ""))
        return f"{self.moment(local)} {name}"

    def duration(self, seconds: Number) -> str:
        """Return hours, minutes and seconds."""
        whole = round(abs(seconds))
        text = f"{'-' if seconds < 0 else ''}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
        return self.digits(text)

    def cell(self, column: Column) -> Callable[[object], str]:
        """Return what makes the text of each value in the column."""
        shown = self._shown(column)
        kind = column.kind

        def cell(value: object) -> str:
            if value is None:
                return NOTHING
            if kind in NUMBERS:
                number = number_of(value)
                if number is not None:
                    return shown(number)
            return self.any(value)

        return cell

    def _shown(self, column: Column) -> Callable[[Number], str]:
        places = places_of(column)
        if column.kind == "duration":
            return self.duration
        if column.kind == "percent":
            return lambda value: self.percent(value, places)
        grouped = not is_label(column)
        return lambda value: self.number(value, places, group=grouped)

    def any(self, value: object) -> str:
        """Return the text of a value whose column says nothing of it."""
        if isinstance(value, str):
            return one_line(value) or NOTHING
        if value is None:
            return NOTHING
        if odd := odd_number(value):
            return odd.replace("Infinity", "∞")
        if isinstance(value, bool):
            return self.words.yes if value else self.words.no
        if isinstance(value, datetime):
            return self.moment(value)
        if isinstance(value, date):
            return self.day(value)
        if isinstance(value, time):
            return self._minute(value.hour * 60 + value.minute)
        if isinstance(value, bytes | bytearray):
            return f"[{len(value)} bytes]"
        if isinstance(value, int):
            return str(value) if abs(value) < 10**40 else f"{Decimal(value):.6e}"
        return one_line(str(value))

    def figure(self, column: Column, value: Number) -> str:
        """Return a key figure: money with its sign, large numbers without a fraction."""
        places = places_of(column)
        if column.kind == "money":
            return self.money(value, column.currency, 0 if abs(value) >= 10_000 else places)
        if column.kind == "duration":
            return self.duration(value)
        if column.kind == "percent":
            return self.percent(value, places)
        shown = self.number(value, 0 if abs(value) >= 10_000 else places)
        return f"{shown} {column.unit}" if column.unit else shown

    def title(self, column: Column) -> str:
        """Return the head of the column, with its unit or the sign of its currency."""
        words = column.title or re.sub(r"[_\s]+", " ", column.name).strip()
        title = one_line(words[:1].upper() + words[1:] if not column.title else words, 200)
        if column.kind == "money" and column.currency:
            return f"{title} {numbers.get_currency_symbol(column.currency, self.locale)}"
        return f"{title} ({one_line(column.unit, 20)})" if column.unit else title
