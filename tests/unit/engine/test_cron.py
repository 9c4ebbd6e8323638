"""Cron expressions across the changes of the clock in 2026, on a virtual clock."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab, schedule

from celeriac.engine.cron import Cron
from tests.support.slow import quick_first

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
#: A zone, how much its clock changes, and when it does in 2026 (UTC): forward, and back.
ZONES = {
    "Australia/Lord_Howe": (HOUR / 2, "2026-10-03 15:30", "2026-04-04 15:00"),
    "America/Santiago": (HOUR, "2026-09-06 04:00", "2026-04-05 03:00"),
    "Europe/Berlin": (HOUR, "2026-03-29 01:00", "2026-10-25 01:00"),
    "America/New_York": (HOUR, "2026-03-08 07:00", "2026-11-01 06:00"),
    "Pacific/Chatham": (HOUR, "2026-09-26 14:00", "2026-04-04 14:00"),
}
#: The two that differ from the others come first: half an hour, and a change at midnight.
each_zone = pytest.mark.parametrize("zone", quick_first(list(ZONES), 2))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Clock:
    """A beat on a virtual clock: it looks once each `step`, at first at `start`."""

    def __init__(self, zone: str, start: datetime) -> None:
        self.now = start
        self.app = Celery("cron", set_as_current=False)
        self.app.conf.timezone = zone
        self.zone = ZoneInfo(zone)

    def local(self) -> datetime:
        """As Celery tells the time: in the application's zone."""
        return self.now.astimezone(self.zone)

    def runs(self, kind: Cron | schedule, *, until: datetime, restarts: bool = False) -> list[datetime]:
        """When it runs (UTC). With `restarts`, each look is that of a beat that has just started."""
        kind.nowfun, kind.app, last, found = self.local, self.app, self.local(), []
        while self.now <= until:
            if restarts:
                kind = pickle.loads(pickle.dumps(Cron(kind.expression)))  # type: ignore[union-attr]
                kind.nowfun, kind.app = self.local, self.app
                last = datetime.fromisoformat(last.isoformat())  # as a file keeps it
            due, wait = kind.is_due(last)
            assert wait > 0
            if due:
                found.append(self.now)
                last = self.local()
            self.now += 5 * MINUTE if restarts else timedelta(seconds=max(wait, 0.001))
        return found


def runs(zone: str, expression: str, start: datetime, days: float = 2, *, restarts: bool = False) -> list[datetime]:
    return Clock(zone, start).runs(Cron(expression), until=start + days * DAY, restarts=restarts)


@each_zone
@pytest.mark.parametrize("change", [1, 2], ids=["forward", "back"])
@pytest.mark.parametrize("expression", quick_first(["*/15 * * * *", "0,15,30,45 0-23 * * *"]))
@pytest.mark.parametrize("restarts", [False, True], ids=["one beat", "restarted"])
def test_wildcards_are_due_each_real_interval(zone: str, change: int, expression: str, restarts: bool) -> None:
    at = utc(str(ZONES[zone][change]))
    found = runs(zone, expression, at - 3 * HOUR, 0.25, restarts=restarts)
    assert len(found) == 24
    assert {after - before for before, after in pairwise(found)} == {15 * MINUTE}


@each_zone
def test_each_hour_is_each_hour_of_the_clock(zone: str) -> None:
    """Where the clock changes by a half, the interval in between does, too."""
    change = ZONES[zone][0]
    for at in map(utc, ZONES[zone][1:]):  # type: ignore[arg-type]
        gaps = [after - before for before, after in pairwise(runs(zone, "0 * * * *", at - 6 * HOUR, 0.5))]
        odd = [gap for gap in gaps if gap != HOUR]
        assert odd in ([], [HOUR / 2], [3 * HOUR / 2])
        assert (not odd) == (change == HOUR)


@each_zone
@pytest.mark.parametrize("restarts", [False, True], ids=["one beat", "restarted"])
def test_a_time_that_comes_twice_is_due_the_first_time(zone: str, restarts: bool) -> None:
    length, _, back = ZONES[zone]
    at = utc(str(back))
    first = at - length / 2  # within what comes again
    local = first.astimezone(ZoneInfo(zone))
    found = runs(zone, f"{local.minute} {local.hour} * * *", at - 2 * HOUR, 1.5, restarts=restarts)
    assert found == [first, first + DAY + length]


@each_zone
@pytest.mark.parametrize("restarts", [False, True], ids=["one beat", "restarted"])
def test_a_time_that_is_skipped_is_due_when_the_clock_has_changed(zone: str, restarts: bool) -> None:
    length, forward, _ = ZONES[zone]
    at = utc(str(forward))
    skipped = (at - MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) + MINUTE + length / 2
    found = runs(zone, f"{skipped.minute} {skipped.hour} * * *", at - 2 * HOUR, 1.5, restarts=restarts)
    assert found == [at, at + DAY - length / 2]


@each_zone
def test_a_day_has_one_midnight(zone: str) -> None:
    found = runs(zone, "0 0 * * *", utc("2026-01-01 00:00"), 365)
    days = [moment.astimezone(ZoneInfo(zone)).date() for moment in found]
    assert all(after - before == DAY for before, after in pairwise(days))
    assert len(days) == 365


def test_a_schedule_that_is_new_in_the_repeated_hour_waits_for_the_next_day() -> None:
    back = utc("2026-10-25 01:00")
    found = runs("Europe/Berlin", "30 2 * * *", back + 10 * MINUTE, 1.5)
    assert found == [utc("2026-10-26 01:30")]


def test_what_was_due_while_beat_was_down_is_due_once() -> None:
    clock = Clock("Europe/Berlin", utc("2026-10-25 01:10"))  # 02:10, the second time
    daily = Cron("30 2 * * *", nowfun=clock.local, app=clock.app)
    down_since = utc("2026-10-24 10:00").astimezone(clock.zone)
    assert daily.is_due(down_since).is_due
    due, wait = daily.is_due(clock.local())
    assert (due, wait) == (False, (utc("2026-10-26 01:30") - clock.now).total_seconds())


def test_an_interval_is_real_time() -> None:
    for at in ("2026-03-29 01:00", "2026-10-25 01:00"):
        start = utc(at) - 3 * HOUR
        found = Clock("Europe/Berlin", start).runs(schedule(20 * MINUTE), until=start + 6 * HOUR)
        assert {after - before for before, after in pairwise(found)} == {20 * MINUTE}


def test_celerys_own_crontab_is_silent_for_more_than_an_hour_as_the_documentation_says() -> None:
    start = utc("2026-10-24 23:00")
    found = Clock("Europe/Berlin", start).runs(crontab("*/15"), until=start + 4 * HOUR)  # type: ignore[arg-type]
    assert max(after - before for before, after in pairwise(found)) == 75 * MINUTE


def test_nothing_is_due_after_the_starting_deadline() -> None:
    clock = Clock("UTC", utc("2026-06-01 12:30"))
    daily = Cron("0 12 * * *", nowfun=clock.local, app=clock.app)
    yesterday = clock.now - DAY
    assert daily.is_due(yesterday).is_due
    clock.app.conf.beat_cron_starting_deadline = 60
    assert daily.is_due(yesterday) == (False, 23.5 * 3600)
    clock.app.conf.beat_cron_starting_deadline = 1800
    assert daily.is_due(yesterday).is_due


def test_a_schedule_is_kept_and_compared_by_its_expression() -> None:
    cron = Cron(" 15  3 * * * ")
    assert pickle.loads(pickle.dumps(cron)) == cron == Cron("15 3 * * *") != Cron("16 3 * * *")
    assert repr(cron) == "<cron: 15 3 * * *>"
    assert cron != crontab("15", "3")


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 9 * * mon-fri", "2026-01-01 09:00"),
        ("0 0 1 jul *", "2026-07-01 00:00"),
        ("0 12 13 * fri", "2026-01-02 12:00"),
        ("0 0 L * *", "2026-01-31 00:00"),
        ("*/5 * 1 1 *", "2026-01-01 00:05"),
        ("*/5 * 1 3 *", "2026-03-01 00:00"),
    ],
)
def test_expressions(expression: str, first: str) -> None:
    cron = Cron(expression, app=Clock("UTC", utc("2026-01-01 00:00")).app)
    assert cron.next_after(utc("2026-01-01 00:00")) == utc(first)


def test_a_schedule_may_have_a_time_zone_of_its_own() -> None:
    clock = Clock("UTC", utc("2026-03-28 12:00"))
    daily = Cron("30 3 * * *", timezone="Europe/Berlin")
    assert clock.runs(daily, until=utc("2026-03-30 12:00")) == [utc("2026-03-29 01:30"), utc("2026-03-30 01:30")]
    winter = Clock("UTC", utc("2026-01-01 12:00"))
    assert winter.runs(daily, until=utc("2026-01-02 12:00")) == [utc("2026-01-02 02:30")]
    again = pickle.loads(pickle.dumps(daily))
    assert again == daily != Cron("30 3 * * *")
    assert again.timezone == "Europe/Berlin"


def test_a_time_zone_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'Europe/Berlyn' is no time zone"):
        Cron("30 3 * * *", timezone="Europe/Berlyn")
