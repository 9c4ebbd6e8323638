"""What a report says of all its rows: totals, sums by period, sums by category. Memory does not grow with the rows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Context, Decimal, localcontext

from celeriac.families.reports.rendering.columns import index_of
from celeriac.families.reports.rendering.formats import (
    NOTHING,
    Formats,
    Number,
    is_additive,
    is_label,
    is_money,
    number_of,
)
from celeriac.families.reports.rendering.model import NUMBERS, Column, Layout
from celeriac.families.reports.rendering.periods import day_of, time_of
from celeriac.families.reports.rendering.text import one_line

_EXACT = Context(prec=80)
_CATEGORIES_AT_MOST = 50
_CATEGORIES_TRIED = 6
#: Columns of these names say who or where one is. They make poor categories.
_PERSONAL = re.compile(
    r"(name|nom|e-?mail|street|address|strasse|straße|adresse|phone|notes?|comments?)$", re.IGNORECASE
)
_DAYS_AT_MOST = 20_000
_FIGURES_AT_MOST = 4
_DRAWN_AT_MOST = 1e60


@dataclass(slots=True)
class Sum:
    """A sum that mixes exact numbers and floats, with how many there were."""

    count: int = 0
    exact: int | Decimal = 0
    rough: float = 0.0

    def add(self, values: Sequence[object]) -> None:
        """Add all finite numbers among the values."""
        found = set(map(type, values))
        if found <= {int, type(None)}:
            numbers: Iterable[Number] = [value for value in values if value is not None]  # type: ignore[misc]
        else:
            numbers = [number for value in values if (number := number_of(value)) is not None]
        numbers = list(numbers)
        self.count += len(numbers)
        rough = [number for number in numbers if isinstance(number, float)]
        self.rough += _sum(rough)
        if len(rough) < len(numbers):
            with localcontext(_EXACT):
                self.exact += sum(number for number in numbers if not isinstance(number, float))

    @property
    def value(self) -> Number:
        """The sum. It is infinite if floats do not hold it."""
        if not self.rough:
            return self.exact
        if self.exact and math.isfinite(self.rough):
            with localcontext(_EXACT):
                return self.exact + Decimal(self.rough)
        return self.rough


def _sum(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


@dataclass(slots=True)
class Category:
    """Sums of the chart's measure by the values of one column: in all, and by day."""

    index: int
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    by_day: dict[tuple[date | None, str], float] = field(default_factory=lambda: defaultdict(float))


class Summary:
    """Gathers what a report says of its rows, batch by batch."""

    def __init__(self, columns: Sequence[Column], layout: Layout, formats: Formats) -> None:
        self.columns = columns
        self.layout = layout
        self.formats = formats
        self.count = 0
        self.sums = [Sum() for _ in columns]
        self._summed = [index for index, column in enumerate(columns) if column.kind in NUMBERS]
        self.figures = self._figures()
        self.period = self._period()
        totalled = [index for index in self.figures if is_totalled(columns[index])]
        self.measure = totalled[0] if totalled else None
        #: By day, a sum for each key figure; None where there was no number.
        self.by_day: dict[date, list[float | None]] = {}
        self.rows_by_day: dict[date, int] = defaultdict(int)
        kinds = [index for index, column in enumerate(columns) if column.kind in ("text", "boolean")]
        kinds = sorted(kinds, key=lambda index: _PERSONAL.search(columns[index].name) is not None)
        self.categories = [Category(index) for index in kinds[:_CATEGORIES_TRIED]]
        #: The last day that has a row, and the last time of that day, if the rows have times.
        self.latest: tuple[date, time] | None = None

    def _figures(self) -> list[int]:
        if self.layout.figures is not None:
            return [self.index_of(name) for name in self.layout.figures if name][:8]
        fit = [
            index
            for index, column in enumerate(self.columns)
            if is_totalled(column) or (column.kind in NUMBERS and not is_label(column) and column.total is None)
        ]
        return sorted(fit, key=lambda index: _rank(self.columns[index]))[: _FIGURES_AT_MOST - 1]

    def _period(self) -> int | None:
        if self.layout.period is not None:
            return self.index_of(self.layout.period) if self.layout.period else None
        return next((i for i, column in enumerate(self.columns) if column.kind in ("date", "datetime")), None)

    def index_of(self, name: str) -> int:
        """Return where the column of that name is."""
        return index_of(self.columns, name)

    def add(self, batch: Sequence[tuple[object, ...]]) -> None:
        """Take account of some rows."""
        if not batch:
            return
        self.count += len(batch)
        columns = list(zip(*batch, strict=True))
        for index in self._summed:
            self.sums[index].add(columns[index])
        days = self._days(columns)
        measured = (
            [_float(value) for value in columns[self.measure]] if self.measure is not None else [1.0] * len(batch)
        )
        self._add_days(columns, days)
        self._add_categories(columns, days, measured)

    def _days(self, columns: Sequence[Sequence[object]]) -> list[date | None]:
        if self.period is None:
            return []
        values = columns[self.period]
        days = [day_of(value, self.formats) for value in values]
        last = max(filter(None, days), default=None)
        if last is not None and (self.latest is None or last >= self.latest[0]):
            times = [time_of(value, self.formats) for value, day in zip(values, days, strict=True) if day == last]
            self.latest = max((last, max(times)), self.latest or (last, time.min))
        return days

    def _add_days(self, columns: Sequence[Sequence[object]], days: list[date | None]) -> None:
        counts = self.rows_by_day
        for day in days:
            if day is not None:
                counts[day] += 1
        for place, index in enumerate(self.figures):
            for day, value in zip(days, columns[index], strict=False):
                if day is None:
                    continue
                sums = self.by_day.get(day)
                if sums is None:
                    sums = self.by_day[day] = [None] * len(self.figures)
                if value is not None:
                    sums[place] = (sums[place] or 0.0) + _float(value)
        if len(counts) > _DAYS_AT_MOST:
            self._coarsen()

    def _coarsen(self) -> None:
        """Keep years instead of days: this many days span more than fifty years."""
        counts, sums = self.rows_by_day, self.by_day
        self.rows_by_day, self.by_day = defaultdict(int), {}
        for day, count in counts.items():
            self.rows_by_day[day.replace(month=1, day=1)] += count
        for day, values in sums.items():
            kept = self.by_day.setdefault(day.replace(month=1, day=1), [None] * len(values))
            kept[:] = [a if b is None else (a or 0.0) + b for a, b in zip(kept, values, strict=True)]

    def _add_categories(
        self, columns: Sequence[Sequence[object]], days: list[date | None], values: list[float]
    ) -> None:
        for category in list(self.categories):
            names = columns[category.index]
            if len(set(map(str, names))) + len(category.sums) > 2 * _CATEGORIES_AT_MOST:
                self.categories.remove(category)
                continue
            sums, by_day = category.sums, category.by_day
            for position, value in enumerate(values):
                name = names[position]
                text = name if isinstance(name, str) else "" if name is None else self.formats.any(name)
                sums[text] += value
                if days:
                    by_day[days[position], text] += value
            if len(sums) > _CATEGORIES_AT_MOST or len(by_day) > 200_000:
                self.categories.remove(category)

    def clean_name(self, name: str) -> str:
        """Return the name of a category as it is shown."""
        return one_line(name, 40) if name else NOTHING


def _rank(column: Column) -> tuple[bool, bool, int]:
    """Return where a key figure stands: sums before averages, and money before all that is counted."""
    order = ("money", "integer", "decimal", "duration", "percent")
    return not is_totalled(column), not is_money(column), order.index(column.kind)


def is_totalled(column: Column) -> bool:
    """Tell whether a column has a total."""
    if column.kind not in NUMBERS:
        return False
    if column.total is not None:
        return column.total
    return is_additive(column)


def _float(value: object) -> float:
    """Return a number for charts and comparisons; those that no chart can show are cut."""
    if isinstance(value, float):
        return max(-_DRAWN_AT_MOST, min(value, _DRAWN_AT_MOST)) if math.isfinite(value) else 0.0
    number = number_of(value)
    return 0.0 if number is None else float(max(-_DRAWN_AT_MOST, min(number, _DRAWN_AT_MOST)))
