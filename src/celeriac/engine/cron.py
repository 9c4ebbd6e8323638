"""Cron expressions as schedules of beat, correct on the days when clocks change.

Celery's `crontab` computes with the local clock, and so pauses for the hour that comes twice. Here, as in Debian's cron
(`man 8 cron`, *Debian specific*), there are two kinds of expressions:

- Wildcards follow real time. `*/15 * * * *` is due every 15 minutes, also in the hour that comes twice.
- Fixed times are due once a day: in an hour that comes twice, the first time; for a skipped hour, at its end.

The library cronsim parses the fields and finds times without a zone. This module adds time zones, because cronsim
assumes that clocks change by whole hours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery.schedules import BaseSchedule, schedstate
from cronsim import CronSim, CronSimError

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
#: Any moment, to try an expression with.
_SOME = datetime(2000, 1, 1)


class Cron(BaseSchedule):
    """A schedule by an expression `minute hour day month weekday`, in the application's time zone or its own.

    Args:
        expression: as for cron, with names (`jan`, `mon`), lists, ranges and steps. If both day and weekday are given,
            a day that matches either of them is due.
        nowfun: returns the time, in place of the application's clock.
        timezone: the name of its time zone. Default: the application's.

    Raises:
        ValueError: the expression cannot be read, or is never due, or there is no such time zone.
    """

    def __init__(
        self,
        expression: str,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
        timezone: str | None = None,
    ) -> None:
        self.expression = " ".join(expression.split())
        if len(self.expression.split()) != 5:
            raise ValueError("give five fields")
        try:
            read = CronSim(self.expression, _SOME)
            next(read)
        except CronSimError as error:
            raise ValueError(str(error)) from None
        except StopIteration:
            raise ValueError("that day does not exist") from None
        self.timezone = timezone
        if timezone is not None:
            self._zone(timezone)
        minute, hour = self.expression.split()[:2]
        self._goes_by_wall_clock = not (minute.startswith("*") or hour.startswith("*") or len(read.hours) == 24)
        super().__init__(nowfun=nowfun, app=app)

    @staticmethod
    def _zone(name: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone; expected a name such as Europe/Berlin") from None

    @cached_property
    def tz(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] (Celery's own kind of cached property)
        """The time zone of the expression."""
        return self.app.timezone if self.timezone is None else self._zone(self.timezone)

    def next_after(self, moment: datetime) -> datetime:
        """Return the next due time after `moment`, in UTC. `moment` must be aware of its zone."""
        start = moment.astimezone(UTC)
        return self._on_the_clock(start) if self._goes_by_wall_clock else self._in_real_time(start)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long until it is due after a run at `last_run_at`. Negative if that time has passed."""
        return self.next_after(self.maybe_make_aware(last_run_at)) - self._now()

    def is_due(self, last_run_at: datetime) -> Any:
        """Return whether it is due now, and in how many seconds to ask again. Several missed times count as one.

        A time that has passed more than `beat_cron_starting_deadline` seconds ago is not made up for.
        """
        now = self._now()
        due_at = self.next_after(self.maybe_make_aware(last_run_at))
        if due_at > now:
            return schedstate(False, (due_at - now).total_seconds())
        deadline: float | None = self.app.conf.beat_cron_starting_deadline
        is_late = deadline is not None and self.next_after(now - timedelta(seconds=deadline) - _SECOND) > now
        return schedstate(not is_late, (self.next_after(now) - now).total_seconds())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cron) and (self.expression, self.timezone) == (other.expression, other.timezone)

    __hash__: Any = None

    def __repr__(self) -> str:
        return f"<cron: {self.expression}{f' {self.timezone}' if self.timezone else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.expression, self.nowfun, None, self.timezone)

    def _now(self) -> datetime:
        return self.maybe_make_aware(self.now()).astimezone(UTC)

    def _on_the_clock(self, start: datetime) -> datetime:
        """Find the next time by the local clock. A time that comes twice counts the first time."""
        zone: tzinfo = self.tz
        times = CronSim(self.expression, start.astimezone(zone).replace(tzinfo=None))
        while True:
            due_at = next(times).replace(tzinfo=zone, fold=0)
            moment = due_at.astimezone(UTC)
            if moment.astimezone(zone).replace(tzinfo=None) != due_at.replace(tzinfo=None):  # the clock skips this time
                moment = _change(moment - _DAY, moment, zone) or moment
            if moment > start:
                return moment

    def _in_real_time(self, start: datetime) -> datetime:
        """Find the next time by real time: search each stretch between two clock changes, where local time is even."""
        zone: tzinfo = self.tz
        offset, reached = _offset(start, zone), start
        begin = start
        while True:
            local = (begin + offset).replace(tzinfo=None)
            due_at = next(CronSim(self.expression, local)).replace(tzinfo=UTC) - offset
            change = _change(reached, due_at, zone)
            if change is None:
                return due_at
            offset, reached = _offset(change, zone), change
            begin = change - _SECOND  # so that the moment of the change itself can be due


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _change(start: datetime, end: datetime, zone: tzinfo) -> datetime | None:
    """Return the first second after `start`, up to `end`, at which the zone's offset changes; None if it does not."""
    before = _offset(start, zone)
    while start < end:
        day = min(start + _DAY, end)
        if _offset(day, zone) != before:
            while day - start > _SECOND:
                middle = start + (day - start) / 2
                start, day = (middle, day) if _offset(middle, zone) == before else (start, middle)
            return day.replace(microsecond=0)
        start = day
    return None
