"""CSV: numbers stay numbers, and no text is run as a formula by the spreadsheet that opens it."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from celeriac.families.reports.rendering.columns import chosen
from celeriac.families.reports.rendering.formats import Formats, odd_number
from celeriac.families.reports.rendering.model import Layout, Progress, Rendered, Rows
from celeriac.families.reports.rendering.text import storable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_AT_FIRST = frozenset("=+-@ ")
_BETWEEN = "\ue000"
# Finds out for a whole column at once whether one of its texts needs a closer look.
_SUSPICIOUS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|\ue000[\\s=+\\-@\uff1d\uff0b\uff0d\uff20]"
)
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")


def render_csv(rows: Rows, layout: Layout, path: Path, progress: Progress) -> Rendered:
    """Write the rows as CSV in UTF-8. Values are those of the data, not of the locale: a program reads them as well."""
    formats = Formats(layout.locale, layout.timezone)
    columns = list(rows.columns)
    wanted = chosen(columns, layout.columns)
    options = layout.csv
    text = disarmed if options.spreadsheet_safe else storable
    whole = wanted == list(range(len(columns)))
    count = 0
    with path.open("w", encoding="utf-8-sig" if options.bom else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=options.delimiter, lineterminator="\r\n")
        heads = [formats.title(column) if options.titles else column.name for column in columns]
        writer.writerow([text(heads[index]) for index in wanted])
        for batch in rows.batches():
            values = list(zip(*batch, strict=True)) if batch else []
            made = [_texts(values[index], text, formats, options.decimal) for index in wanted] if values else []
            writer.writerows(zip(*made, strict=True) if made or not whole else ())
            count += len(batch)
            progress(count, None)
    return Rendered(count, None, path.stat().st_size, "csv")


def _texts(values: tuple[object, ...], text: Callable[[str], str], formats: Formats, decimal: str) -> Sequence[object]:
    """Return the values of one column as the csv module writes them best."""
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if kinds <= {int} or kinds == {date}:
        return values
    if kinds == {float} and decimal == "." and math.isfinite(sum(filter(None, values))):  # type: ignore[arg-type]
        return values
    if kinds == {str} and _are_harmless(list(filter(None, values))):  # type: ignore[arg-type]
        return values
    if decimal == ".":
        return [_plain(value, text, formats) for value in values]
    numbers = (float, Decimal, timedelta)
    plain = ((value, _plain(value, text, formats)) for value in values)
    return [str(shown).replace(".", decimal) if isinstance(value, numbers) else shown for value, shown in plain]


def _are_harmless(texts: Sequence[str]) -> bool:
    joined = "".join(texts)
    if joined.isascii() and joined.isprintable() and _AT_FIRST.isdisjoint({text[0] for text in texts}):
        return True  # found in half of the time that the expression takes
    return not _SUSPICIOUS.search(_BETWEEN + _BETWEEN.join(texts))


def _plain(value: object, text: Callable[[str], str], formats: Formats) -> object:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return value if math.isfinite(value) else text(odd_number(value) or "")
    if isinstance(value, Decimal):
        if not value.is_finite():
            return text(odd_number(value) or "")
        return f"{value:f}" if abs(value.adjusted()) < 400 else str(value)
    if isinstance(value, datetime):
        return formats.local(value).isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    return value if value is None or isinstance(value, int) else text(str(value))


def disarmed(value: str) -> str:
    """Return the text with an apostrophe before it if a spreadsheet would run it. Texts that are numbers stay."""
    value = storable(value)
    if value.startswith(_FORMULA) or (value[:1].isspace() and value.lstrip().startswith(_FORMULA)):
        return value if _NUMBER.fullmatch(value) else "'" + value
    return value
