"""Key figures, each with its change from one period to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any

from celeriac.families.reports.rendering.formats import Number, number_of
from celeriac.families.reports.rendering.periods import day_of, is_complete, length_for, name_of, start_of
from celeriac.families.reports.rendering.summary import Summary, is_totalled
from celeriac.families.reports.rendering.words import Length

_EVENING = time(21)
#: Fewer rows in a period say too little, unless each row stands for a whole period itself.
_ROWS_AT_LEAST = 5
_CHANGE_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure as it is shown. `tone` is "good", "bad" or empty. `change` is empty if nothing can be compared."""

    label: str
    value: str
    change: str = ""
    tone: str = ""
    versus: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The last complete period and the one before it."""

    days: Mapping[date, date]
    last: date
    before: date
    label: str


def comparison(summary: Summary) -> Comparison | None:
    """Return which periods are compared, or None if the data has none."""
    days = summary.rows_by_day
    if len(days) < 2:
        return None
    length = length_for(days)
    starts = {day: start_of(day, length) for day in days}
    periods = sorted(set(starts.values()))
    created = summary.layout.created_at
    today = day_of(created, summary.formats) if created else None
    if length == "day" and summary.latest is not None and summary.latest[1] < _EVENING:
        periods.pop()  # the rows end in the middle of the day
    while periods and not is_complete(periods[-1], length, days, today):
        periods.pop()
    if len(periods) < 2:
        return None
    last, before = periods[-1], periods[-2]
    if not (length != "day" and all(start == day for day, start in starts.items())):
        counts = [sum(days[day] for day, start in starts.items() if start == one) for one in (last, before)]
        if min(counts) < _ROWS_AT_LEAST:
            return None
    return Comparison(starts, last, before, _label(last, before, length, summary))


def _label(last: date, before: date, length: Length, summary: Summary) -> str:
    year = last.year != before.year
    names = [name_of(start, length, summary.formats, year=year) for start in (last, before)]
    return summary.formats.words.versus.format(*names)


def has_figures(summary: Summary) -> bool:
    """Tell whether the report has key figures."""
    return summary.count > 0 and (summary.layout.figures is None or len(summary.layout.figures) > 0)


def figures_of(summary: Summary) -> list[dict[str, Any]]:
    """Return the key figures, as JSON."""
    if not has_figures(summary):
        return []
    compared = comparison(summary)
    shown = [_figure(summary, place, index, compared) for place, index in enumerate(summary.figures)]
    if summary.layout.figures is None:
        shown.append(_count(summary, compared))
    return [asdict(figure) for figure in shown if figure]


def _figure(summary: Summary, place: int, index: int, compared: Comparison | None) -> Figure | None:
    column, total = summary.columns[index], summary.sums[index]
    formats = summary.formats
    title = column_title(summary, index)
    if not total.count:
        return None
    if not is_totalled(column):
        mean = number_of(Decimal(total.value) / total.count)
        return Figure(formats.words.average.format(title), formats.figure(column, mean)) if mean is not None else None
    value = number_of(total.value)
    if value is None:
        return None
    sums = {day: number for day, values in summary.by_day.items() if (number := values[place]) is not None}
    change = _change(summary, compared, sums, better_down=column.name in summary.layout.better_down)
    return Figure(title, formats.figure(column, value), *change)


def column_title(summary: Summary, index: int) -> str:
    """Return the title of a column without its currency or unit, which the figure has itself."""
    column = summary.columns[index]
    return summary.formats.title(type(column)(column.name, column.title, "text"))


def _count(summary: Summary, compared: Comparison | None) -> Figure:
    change = _change(summary, compared, dict(summary.rows_by_day), better_down=False)
    return Figure(summary.formats.words.rows, summary.formats.number(summary.count, 0), *change)


def _change(
    summary: Summary, compared: Comparison | None, sums: Mapping[date, Number], *, better_down: bool
) -> Sequence[str]:
    if compared is None:
        return ()
    by_period: dict[date, float] = defaultdict(float)
    for day, value in sums.items():
        by_period[compared.days[day]] += float(value)
    if compared.before not in by_period or compared.last not in by_period:
        return ()
    before, last = by_period[compared.before], by_period[compared.last]
    if before <= 0 or last < 0:
        return ()
    change = last / before - 1
    if abs(change) > _CHANGE_AT_MOST:
        return ()
    shown = summary.formats.percent(abs(change), 1)
    if round(abs(change), 3) == 0:
        return f"= {shown}", "", compared.label
    tone = "good" if (change > 0) != better_down else "bad"
    return f"{'▲' if change > 0 else '▼'} {shown}", tone, compared.label
