"""Windows: the hours in which a policy may run, by the clock of a time zone.

A window is a span of real time, from one time of day to another. It belongs to the day on which it begins. Where a
clock change skips its beginning or end, the end of the gap counts; where it repeats them, the first counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from celeriac.core.exact import Exact
from celeriac.families.cleanup.holds import Hold

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = "expected two times of day, such as 22:00-06:00"
_ONE_DAY = timedelta(days=1)
#: A day may have no window, if a clock change skips all of it. Two weeks have one in any case.
_DAYS_AHEAD = 15


class Window(Exact):
    """When a policy may run."""

    hours: str = "00:00-24:00"
    """From when to when: `22:00-06:00`."""
    days: tuple[Day, ...] = Field(default=_DAYS, min_length=1)
    """The days on which it begins: `[sat, sun]`. Unset: all."""
    timezone: str = "UTC"
    """The time zone's name: `Europe/Berlin`."""

    @field_validator("hours")
    @classmethod
    def _two_times(cls, value: str) -> str:
        begin, end = _times(value)
        if begin == end:
            raise ValueError(f"{value!r} begins when it ends; {_FORM}, or 00:00-24:00 for whole days")
        return value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value[:100]!r} is no time zone; expected a name such as Europe/Berlin") from None
        return value

    def is_open(self, now: datetime) -> bool:
        """Return whether the policy may run at that moment, which has a zone."""
        return any(begin <= now.astimezone(UTC) < end for begin, end in self._spans(now))

    def opens_in(self, now: datetime) -> float:
        """Return seconds until it opens; 0 if it is open."""
        if self.is_open(now):
            return 0.0
        return min((begin - now).total_seconds() for begin, _ in self._spans(now) if begin > now.astimezone(UTC))

    def hold(self, now: datetime) -> Hold | None:
        """Return why the policy may not run at that moment; None if it may."""
        seconds = self.opens_in(now)
        return Hold(f"the window {self} is closed", seconds) if seconds > 0 else None

    def __str__(self) -> str:
        days = "" if set(self.days) == set(_DAYS) else f" {','.join(self.days)}"
        return f"{self.hours}{days} {self.timezone}"

    def _spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the windows around that moment, in UTC."""
        begin, end = self._begin_and_end
        today = now.astimezone(self._zone).date()
        for ahead in range(-2, _DAYS_AHEAD):
            day = today + ahead * _ONE_DAY
            if _DAYS[day.weekday()] in self.days:
                first = _instant(day, begin, self._zone)
                last = _instant(day if end > begin else day + _ONE_DAY, end, self._zone)
                if first < last:
                    yield first, last

    @cached_property
    def _begin_and_end(self) -> tuple[timedelta, timedelta]:
        return _times(self.hours)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def _times(hours: str) -> tuple[timedelta, timedelta]:
    begin, dash, end = hours.partition("-")
    if not dash:
        raise ValueError(f"{hours[:100]!r} is no window; {_FORM}")
    return _time(begin.strip(), hours), _time(end.strip(), hours)


def _time(text: str, hours: str) -> timedelta:
    if text == "24:00":
        return _ONE_DAY
    hour, _, minute = text.partition(":")
    is_number = len(hour) <= 2 and len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdigit()
    if not hour or not is_number or int(hour) > 23 or int(minute) > 59:
        raise ValueError(f"{hours[:100]!r} is no window; {_FORM}")
    return timedelta(hours=int(hour), minutes=int(minute))


def _instant(day: date, since_midnight: timedelta, zone: ZoneInfo) -> datetime:
    """Return when the clocks of a zone first show that time, or pass it."""
    local = datetime.combine(day, time()) + since_midnight
    first = local.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    before, after = local.replace(tzinfo=zone, fold=1).astimezone(UTC), first  # it is skipped somewhere in between
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
