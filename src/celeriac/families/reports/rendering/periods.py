"""Periods of time: which length fits the data, and how a period is called."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta

from babel import dates

from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.words import Length


def day_of(value: object, formats: Formats) -> date | None:
    """Return the day of a date or a point in time, or None."""
    if isinstance(value, datetime):
        return formats.local(value).date()
    return value if isinstance(value, date) else None


def time_of(value: object, formats: Formats) -> time:
    """Return the time of a point in time; for a day its end, for it is there as a whole."""
    if isinstance(value, datetime):
        return formats.local(value).time()
    return time.max


def start_of(day: date, length: Length) -> date:
    """Return the first day of the period that the day is in."""
    match length:
        case "day":
            return day
        case "week":
            return day - timedelta(day.weekday()) if day.toordinal() > 7 else date.min
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            return day.replace(month=1, day=1)


def next_start(start: date, length: Length) -> date:
    """Return the first day of the period after the one that begins on `start`."""
    if start.year >= 9999:
        return date.max
    days = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}[length]
    return start_of(start + timedelta(days), length)


def length_for(days: Collection[date]) -> Length:
    """Return the length of periods for which the data is made, else the one that gives some ten to forty of them."""
    first, last = min(days), max(days)
    span = (last - first).days
    if len(days) > 1 and all(day.day == 1 for day in days):
        if all(day.month == 1 for day in days):
            return "year"
        return "quarter" if all(day.month % 3 == 1 for day in days) else "month"
    if span <= 31:
        return "day"
    return "week" if span <= 120 else "month" if span <= 1_200 else "year"


def is_complete(start: date, length: Length, days: Collection[date], today: date | None) -> bool:
    """Tell whether the data covers the whole period: it is over, and has been when the report was made."""
    end = next_start(start, length)
    if today is not None and today < end:
        return False
    if all(start_of(day, length) == day for day in days):
        return True  # one row stands for a whole period
    return (end - max(days)).days - 1 <= (end - start).days // 7


def name_of(start: date, length: Length, formats: Formats, *, year: bool) -> str:
    """Return the name of the period, short enough for an axis."""
    skeleton = {"day": "MMMd", "week": "MMMd", "month": "MMM", "quarter": "QQQ", "year": "y"}[length]
    if year and length != "year":
        skeleton = {"MMMd": "yMMMd", "MMM": "yMMM", "QQQ": "yQQQ"}[skeleton]
    return formats.digits(dates.format_skeleton(skeleton, start, locale=formats.locale))
